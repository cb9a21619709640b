"""The plot as vectors: a static word-piece table (distilled from all-MiniLM-L6-v2), looked up, no encoder at run time.

Shapes: B plots, P pieces, E = 128 dimensions.
"""

from __future__ import annotations

from functools import cached_property
from importlib.resources import files
from typing import Any, final

import torch
from safetensors.torch import load
from torch import Tensor

DIMENSIONS = 128
PIECES = 24  # word pieces of a plot that the network reads; the first vector is the mean over up to MEANT pieces
MEANT = 512


@final
class PlotEncoder:
    """Text to vectors; the same text gives the same vectors anywhere."""

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str((files("stale_diffusion") / "weights/tokenizer.json").read_text("utf-8"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _table(self) -> Tensor:
        tensors = load((files("stale_diffusion") / "weights/plot.safetensors").read_bytes())
        return tensors["codes"].float() * tensors["scale"].float()[:, None]

    def words(self) -> dict[str, Tensor]:
        """All whole words of three letters or more that the table knows, {word: (E,)}."""
        pieces = self._tokenizer.get_vocab()
        return {w: self._table[i] for w, i in pieces.items() if len(w) > 2 and w.isascii() and w.isalpha()}

    def __call__(self, plots: list[str]) -> tuple[Tensor, Tensor]:
        """Plots as vectors (B, P, E) and a mask (B, P), true where there is a piece; P is 1 + that of the longest plot.

        The first vector is the mean of all pieces, scaled to unit norm: the plot's gist. An empty plot, or one in which
        no piece is known, has an empty mask: the network then imagines.
        """
        vectors_BPE = torch.zeros(len(plots), 1 + PIECES, DIMENSIONS)
        mask_BP = torch.zeros(len(plots), 1 + PIECES, dtype=torch.bool)
        for b, plot in enumerate(plots):
            # A plot is read up to 4,000 characters: far more than MEANT pieces, far less than a hostile one.
            encoding = self._tokenizer.encode(plot[:4000].lower(), add_special_tokens=False)
            ids = [i for i, piece in zip(encoding.ids, encoding.tokens, strict=True) if piece != "[UNK]"][:MEANT]
            if not ids:
                continue
            found_PE = self._table[ids]
            mean_E = found_PE.mean(0)
            vectors_BPE[b, 0] = mean_E / mean_E.norm().clamp(min=1e-6) * 3  # about the norm of a rare word
            n = min(len(ids), PIECES)
            vectors_BPE[b, 1 : 1 + n] = found_PE[:n]
            mask_BP[b, : 1 + n] = True
        longest = max(1, int(mask_BP.sum(1).max()))
        return vectors_BPE[:, :longest], mask_BP[:, :longest]
