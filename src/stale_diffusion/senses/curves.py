"""A curve as bits: an orthonormal DCT a block, uniform levels of one step, Gray code.

One step for all coefficients spreads the error evenly; the code leaves out nothing a curve of its kind holds, so a
value comes back within one level. A curve at rest is all zero levels, exactly.

Shapes: B blocks, N samples a block, K coefficients, D bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses.base import Bits
from stale_diffusion.senses.transform import gray_decode, gray_encode


@dataclass(frozen=True)
class BlockCode:
    """A code for blocks of N samples in [0, 1].

    Args:
        samples: N.
        bits: bits of each coefficient, (K,), lowest frequency first; K <= N.
        step: the distance of two levels, in units of the samples.
        floor: the level of the first coefficient that means zero; those below it are for lapped blocks, whose mean may
            swing a little below what they hold.
    """

    samples: int
    bits: tuple[int, ...]
    step: float
    floor: int = 0

    @property
    def width(self) -> int:
        """D, bits a block."""
        return sum(self.bits)

    @cached_property
    def _basis(self) -> NDArray[np.float64]:
        n, k = np.arange(self.samples)[:, None], np.arange(len(self.bits))[None]
        scale = np.where(k == 0, np.sqrt(1 / self.samples), np.sqrt(2 / self.samples))
        return np.asarray(scale * np.cos(np.pi * k * (n + 0.5) / self.samples))

    @cached_property
    def _zero(self) -> NDArray[np.int64]:
        """The level that means zero: `floor` for the mean of a curve in [0, 1], the middle for the rest."""
        return np.array([self.floor, *(2 ** (b - 1) for b in self.bits[1:])])

    def encode(self, blocks: NDArray[np.float64]) -> Bits:
        """(..., N) in [0, 1] -> bits (..., D)."""
        return self.pack(blocks @ self._basis)

    def decode(self, bits: Bits) -> NDArray[np.float64]:
        """Bits (..., D) -> (..., N) in [0, 1]."""
        return np.asarray(np.clip(self.unpack(bits) @ self._basis.T, 0, 1))

    def pack(self, coefficients: NDArray[np.float64]) -> Bits:
        """Coefficients (..., K) of an orthonormal transform -> bits (..., D)."""
        levels = np.rint(coefficients / self.step).astype(np.int64) + self._zero
        parts = [gray_encode(np.clip(levels[..., k], 0, 2**b - 1), b) for k, b in enumerate(self.bits)]
        return np.concatenate(parts, -1)

    def unpack(self, bits: Bits) -> NDArray[np.float64]:
        """The inverse of `pack`, within half a step a coefficient."""
        edges = np.cumsum((0, *self.bits))
        levels = np.stack([gray_decode(bits[..., a:b]) for a, b in pairwise(edges)], -1)
        return np.asarray((levels - self._zero) * self.step)
