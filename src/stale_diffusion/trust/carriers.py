"""Waves with secret phases that carry a mark, and the test that finds them.

A carrier is one complex number of a spectrum; the key gives it a phase. Some carriers are pilots, whose phases say
where and when; the rest belong to bits, whose sign turns them by half. Only phases are looked at, so under any picture
and any sound the null law is that of a random walk of unit steps (the Rayleigh test): the randomness is the key's.

Shapes: N carriers, P pilots, A alignments.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.trust.golay import BITS

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Carriers:
    """What a key makes of N carriers.

    Args:
        phase: of each, unit complex numbers (N,).
        bit: the bit that each belongs to, (N,); -1: a pilot.
    """

    phase: Complex
    bit: NDArray[np.int64]

    @property
    def pilot(self) -> NDArray[np.bool_]:
        """Which are pilots, (N,)."""
        return self.bit < 0

    def marked(self, signs: NDArray[np.float32]) -> Complex:
        """The carriers with the signs of the bits on them, (N,)."""
        return np.where(self.pilot, 1.0, signs[self.bit]) * self.phase

    def soft(self, seen: Complex) -> NDArray[np.float32]:
        """Soft signs of the bits (144,) from the coefficients of a spectrum (N,); the pilots give the common phase.

        Each is in standard deviations of a mark that is not there.
        """
        turned = _units(seen) * self.phase.conj()
        common = turned[self.pilot].sum()
        real = (turned * (common.conj() / max(abs(common), 1e-12))).real
        each = np.bincount(self.bit[~self.pilot], minlength=BITS)
        found = np.bincount(self.bit[~self.pilot], real[~self.pilot], BITS) / np.sqrt(each / 2)
        return found.astype(np.float32)


def draw(secret: bytes, label: str, count: int, pilots: float = 0.3) -> Carriers:
    """Carriers of a secret: phases and places from SHAKE-256, the same on every machine.

    Args:
        label: of the use; another label gives independent carriers.
        pilots: the share of carriers that are pilots.
    """
    stream = hashlib.shake_256(secret + b"\0" + label.encode()).digest(16 * count)
    drawn = np.frombuffer(stream, "<u8").reshape(2, count)
    phase = np.exp(2j * np.pi * (drawn[0] >> np.uint64(11)).astype(np.float64) / 2**53)
    order = np.argsort(drawn[1], kind="stable")
    each = int(count * (1 - pilots)) // BITS
    bit = np.full(count, -1, np.int64)
    bit[order[: each * BITS]] = np.arange(each * BITS) % BITS
    return Carriers(phase, bit)


def rayleigh(total: float, windows: int = 1) -> float:
    """log10 of the chance that a mark that is not there scores so high.

    Args:
        total: sum over windows of |sum of P unit steps|^2 / P.
        windows: how many; the sum is then gamma distributed with that shape.
    """
    if total <= 0:
        return 0.0
    terms = [k * math.log(total) - math.lgamma(k + 1) for k in range(windows)]
    top = max(terms)
    return min(0.0, (-total + top + math.log(sum(math.exp(t - top) for t in terms))) / math.log(10))


def score(seen: Complex, carriers: Carriers) -> float:
    """|sum|^2 / P of the pilots' unit steps, from coefficients (N,): 1 by chance, P at most."""
    pilot = carriers.pilot
    return float(abs((_units(seen[pilot]) * carriers.phase[pilot].conj()).sum()) ** 2 / pilot.sum())


def _units(seen: Complex) -> Complex:
    return np.asarray(seen / np.maximum(np.abs(seen), 1e-12))
