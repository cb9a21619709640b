"""What the codecs share: orthonormal transforms, quantisers, and levels as Gray-coded bits.

Shapes: N examples, P inputs, K coefficients, B bits a level, D bits in all.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stale_diffusion.senses.base import Bits

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Tensors = Mapping[str, NDArray[np.generic]]

WEIGHTS = Path(__file__).parent.parent / "weights" / "codecs.safetensors"


@lru_cache(maxsize=1)
def codec_weights() -> dict[str, NDArray[np.generic]]:
    """The fitted tables that ship with the package (made by `stale_diffusion.training.fit_codecs`)."""
    return dict(load_file(WEIGHTS))


def gray_encode(levels: Ints, bits: int) -> Bits:
    """Levels (...,) in [0, 2^bits) -> (..., bits) in {-1, +1}, highest bit first; neighbours differ in one bit."""
    levels = np.asarray(levels)
    gray = levels ^ (levels >> 1)
    ones = (gray[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return (2 * ones - 1).astype(np.int8)


def gray_decode(bits: Bits) -> NDArray[np.int64]:
    """The inverse of `gray_encode`: (..., B) in {-1, +1} -> levels (...,)."""
    binary = np.logical_xor.accumulate(bits > 0, axis=-1)
    weights = 1 << np.arange(bits.shape[-1] - 1, -1, -1)
    return np.asarray(binary @ weights, np.int64)


def dct(n: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II, (n, n): row k is the k-th cosine."""
    k, x = np.arange(n)[:, None], np.arange(n)[None]
    rows = np.sqrt(2 / n) * np.cos(np.pi * k * (x + 0.5) / n)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


def lapped(n: int, block: int) -> NDArray[np.float64]:
    """The lapped orthogonal transform of n samples in blocks, (n, n) orthonormal: no seams when coarsely quantised.

    An orthonormal filter across every inner border, then the DCT of each block (Malvar 1990; Tran, Liang and Tu 2003).
    """
    half = block // 2
    eye, flip = np.eye(half), np.eye(half)[::-1]
    k, x = np.arange(half)[:, None], np.arange(half)[None]
    dct4 = np.sqrt(2 / half) * np.cos(np.pi * (k + 0.5) * (x + 0.5) / half)
    rotation = flip @ dct(half).T @ dct4 @ flip
    butterfly = np.block([[eye, flip], [flip, -eye]])
    turn = np.block([[eye, 0 * eye], [0 * eye, rotation]])
    border = butterfly @ turn @ butterfly / 2
    rows = np.eye(n)
    for start in range(block - half, n - block, block):
        rows[start : start + block] = border @ rows[start : start + block]
    return np.asarray(np.kron(np.eye(n // block), dct(block)) @ rows)


def lloyd_max(samples: Floats, bits: int, rounds: int = 20) -> NDArray[np.float64]:
    """The 2^bits levels of least squared error for `samples` (Lloyd 1982), made symmetric about zero, ascending."""
    ordered = np.sort(np.abs(np.asarray(samples, np.float64).ravel()))
    ordered = np.concatenate([-ordered[::-1], ordered])
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    levels = np.quantile(ordered, (np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(rounds):
        inner = np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
        edges = np.concatenate([[0], inner, [len(ordered)]])
        counts = np.diff(edges)
        levels = np.where(counts > 0, np.diff(sums[edges]) / np.maximum(counts, 1), levels)
    return np.asarray((levels - levels[::-1]) / 2)


def quantise(values: Floats, levels: Floats) -> NDArray[np.int64]:
    """The index of the nearest of the ascending `levels`, elementwise."""
    return np.asarray(np.searchsorted((levels[1:] + levels[:-1]) / 2, values), np.int64)


def allot(errors: Sequence[Sequence[float]], total: int) -> NDArray[np.uint8]:
    """Bits for each coefficient: every bit goes where it lowers the squared error most (Shoham and Gersho 1988).

    Args:
        errors: for each coefficient its squared error at 0, 1, 2... bits.
        total: bits to give away; more than the errors have room for is a ValueError.
    """
    bits = np.zeros(len(errors), np.uint8)
    queue = [(e[1] - e[0], k) for k, e in enumerate(errors)]
    heapq.heapify(queue)
    for _ in range(total):
        if not queue:
            raise ValueError(f"{total} bits do not fit into {len(errors)} coefficients")
        _, k = heapq.heappop(queue)
        bits[k] += 1
        if bits[k] + 1 < len(errors[k]):
            heapq.heappush(queue, (errors[k][bits[k] + 1] - errors[k][bits[k]], k))
    return bits


@dataclass(frozen=True)
class LevelCode:
    """Coefficients as Gray-coded levels: coefficient k has bits[k] > 0 bits and its own ascending levels.

    Args:
        bits: (K,), each >= 1.
        levels: K arrays of 2^bits[k].
    """

    bits: NDArray[np.uint8]
    levels: tuple[NDArray[np.float32], ...]

    @property
    def width(self) -> int:
        """D, bits in all."""
        return int(self.bits.sum())

    def encode(self, values_NK: Floats) -> Bits:
        """(N, K) -> (N, D)."""
        columns = zip(values_NK.T, self.bits, self.levels, strict=True)
        return np.concatenate([gray_encode(quantise(v, q), int(b)) for v, b, q in columns], -1)

    def decode(self, bits_ND: Bits) -> NDArray[np.float32]:
        """(N, D) -> (N, K)."""
        parts = np.split(bits_ND, np.cumsum(self.bits)[:-1], axis=-1)
        return np.stack([q[gray_decode(part)] for part, q in zip(parts, self.levels, strict=True)], -1)

    def round(self, values_NK: Floats) -> NDArray[np.float32]:
        """What decoding gives back, without the bits."""
        return np.stack([q[quantise(v, q)] for v, q in zip(values_NK.T, self.levels, strict=True)], -1)

    def tensors(self, name: str) -> dict[str, NDArray[np.generic]]:
        """For the weights file; `load` is the inverse."""
        return {f"{name}.bits": self.bits, f"{name}.levels": np.concatenate(self.levels).astype(np.float16)}

    @classmethod
    def load(cls, tensors: Tensors, name: str) -> LevelCode:
        """From the weights file."""
        bits = tensors[f"{name}.bits"].astype(np.uint8)
        levels = np.split(tensors[f"{name}.levels"].astype(np.float32), np.cumsum(1 << bits.astype(np.int64))[:-1])
        return cls(bits, tuple(levels))

    @classmethod
    def fit(cls, values_NK: Floats, total: int, most: int = 7) -> tuple[LevelCode, NDArray[np.intp]]:
        """Fit levels and give away `total` bits; the code and the coefficients it keeps, in falling variance."""
        books, errors = [], []
        for column in np.asarray(values_NK, np.float64).T:
            book = [np.zeros(1), *(lloyd_max(column, b) for b in range(1, most + 1))]
            books.append(book)
            errors.append([float(np.mean((column - q[quantise(column, q)]) ** 2)) for q in book])
        bits = allot(errors, total)
        kept = np.nonzero(bits)[0]
        kept = kept[np.argsort([-errors[k][0] for k in kept], kind="stable")]
        return cls(bits[kept], tuple(books[k][bits[k]].astype(np.float16).astype(np.float32) for k in kept)), kept


@dataclass(frozen=True)
class ClassCode:
    """A vector as the number of a class and levels in that class's KLT; the encoder takes the class of least error.

    Args:
        bases: C orthonormal bases, (K, P) each.
        codes: C level codes of one width.
    """

    bases: tuple[NDArray[np.float32], ...]
    codes: tuple[LevelCode, ...]

    @property
    def class_bits(self) -> int:
        """Bits that name the class; they come first."""
        return (len(self.codes) - 1).bit_length()

    @property
    def width(self) -> int:
        """D, bits in all."""
        return self.class_bits + self.codes[0].width

    def errors(self, vectors_NP: Floats) -> NDArray[np.float32]:
        """The squared error of each class, (N, C)."""
        energy = np.sum(vectors_NP**2, -1)
        out = []
        for basis, code in zip(self.bases, self.codes, strict=True):
            values = vectors_NP @ basis.T
            out.append(energy - np.sum(values**2, -1) + np.sum((values - code.round(values)) ** 2, -1))
        return np.stack(out, -1)

    def encode(self, vectors_NP: Floats) -> Bits:
        """(N, P) -> (N, D)."""
        best = self.errors(vectors_NP).argmin(-1)
        bits = np.empty((len(vectors_NP), self.width), np.int8)
        bits[:, : self.class_bits] = gray_encode(best, self.class_bits)
        for c in np.unique(best):
            bits[best == c, self.class_bits :] = self.codes[c].encode(vectors_NP[best == c] @ self.bases[c].T)
        return bits

    def decode(self, bits_ND: Bits) -> NDArray[np.float32]:
        """(N, D) -> (N, P)."""
        best = gray_decode(bits_ND[:, : self.class_bits])
        vectors = np.zeros((len(bits_ND), self.bases[0].shape[1]), np.float32)
        for c in np.unique(best):
            vectors[best == c] = self.codes[c].decode(bits_ND[best == c, self.class_bits :]) @ self.bases[c]
        return vectors

    def tensors(self, name: str) -> dict[str, NDArray[np.generic]]:
        """For the weights file; `load` is the inverse."""
        out: dict[str, NDArray[np.generic]] = {}
        for c, (basis, code) in enumerate(zip(self.bases, self.codes, strict=True)):
            out |= {f"{name}.{c}.basis": basis.astype(np.float16), **code.tensors(f"{name}.{c}")}
        return out

    @classmethod
    def load(cls, tensors: Tensors, name: str) -> ClassCode:
        """From the weights file."""
        count = sum(key.startswith(f"{name}.") and key.endswith(".basis") for key in tensors)
        bases = tuple(tensors[f"{name}.{c}.basis"].astype(np.float32) for c in range(count))
        return cls(bases, tuple(LevelCode.load(tensors, f"{name}.{c}") for c in range(count)))
