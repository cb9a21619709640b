"""Nearest neighbours by cosine among very many short vectors: an inverted file over spherical k-means.

Faiss does this too; sixty lines over torch's matrix product are enough here, and add no second OpenMP to the process.

Shapes: N vectors in the index, Q queries, D dimensions, L lists, k neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

LISTED = 1000  # vectors a list, about
PROBES = 8  # lists that a query looks into
_ROUNDS, _SAMPLE = 8, 64  # of k-means; vectors a list that it is fitted on


class Index:
    """Vectors (N, D) of unit length; up to 20,000 are searched exhaustively."""

    def __init__(self, vectors_ND: Tensor, seed: int = 0) -> None:
        n = len(vectors_ND)
        lists = 1 if n <= 20_000 else min(4096, n // LISTED)
        self.centres = _kmeans(vectors_ND, lists, seed)
        own = torch.cat([(part @ self.centres.T).argmax(1) for part in torch.split(vectors_ND, 65_536)])
        self.order = own.argsort(stable=True)
        self.vectors = vectors_ND[self.order]
        self.bounds = torch.cat([torch.zeros(1, dtype=torch.long), own.bincount(minlength=lists).cumsum(0)])

    def search(self, queries_QD: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k nearest of each query: cosines (Q, k), falling, and indices (Q, k); -1 where there are fewer."""
        q, lists = len(queries_QD), len(self.centres)
        probes = min(PROBES, lists)
        chosen = (queries_QD @ self.centres.T).topk(probes, 1).indices.flatten()
        by_list = chosen.argsort(stable=True)
        edges = torch.cat([torch.zeros(1, dtype=torch.long), chosen.bincount(minlength=lists).cumsum(0)])
        scores = torch.full((q * probes, k), -2.0)
        found = torch.full((q * probes, k), -1)
        for l in range(lists):
            slots = by_list[edges[l] : edges[l + 1]]
            first, last = int(self.bounds[l]), int(self.bounds[l + 1])
            if not len(slots) or first == last:
                continue
            for part in torch.split(slots, 4096):
                near = (queries_QD[part // probes] @ self.vectors[first:last].T).topk(min(k, last - first), 1)
                scores[part, : near.values.shape[1]] = near.values
                found[part, : near.values.shape[1]] = self.order[first + near.indices]
        best = scores.view(q, -1).topk(k, 1)
        return best.values, found.view(q, -1).gather(1, best.indices)


def _kmeans(vectors_ND: Tensor, lists: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sample = vectors_ND[torch.randperm(len(vectors_ND), generator=generator)[: _SAMPLE * lists]]
    centres = sample[:lists].clone()
    if lists == 1:
        return centres
    for _ in range(_ROUNDS):
        own = (sample @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, own, sample)
        filled = own.bincount(minlength=lists) > 0
        centres[filled] = torch.nn.functional.normalize(sums[filled], dim=1)
    return centres
