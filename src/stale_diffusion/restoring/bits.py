"""Bit rot: how many bits of each segment have flipped, by what the model thinks of them, and the likeliest true bits.

The share p of flipped bits is where the model agrees with itself: told that a share p has flipped, it must find that
share unlikely. That is the fixed point of expectation-maximisation, reached in a few calls. Its staleness is where the
reverse process starts.

Shapes: S segments, L tokens, D bits, N bits of all streams side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.channel import COSINE
from stale_diffusion.sample import ancestral, pack, unpack
from stale_diffusion.senses.base import Bits

if TYPE_CHECKING:
    from stale_diffusion.generate import Generator

Rates = dict[str, NDArray[np.float64]]
"""{stream: share of flipped bits of each segment, (S,)}."""
ROUNDS = 8
FIRST, LEAST, MOST = 0.1, 1e-4, 0.499
# One step, its last and so greedy: the signs of the posterior. More steps only add draws that must be right by chance
# (make bench NAME=restore PART=bits: errors 1.7 times as many with 8).
STEPS = 1


def staleness(rate: float) -> float:
    """The staleness t at which a share `rate` of the bits has flipped, in [0, 1]."""
    return float(COSINE.inverse(torch.tensor(1 - 2 * min(max(rate, 0.0), 0.5), dtype=torch.float64)))


def estimate(
    generator: Generator, bits: Mapping[str, Bits], plot: str = "", given: Mapping[str, Bits] | None = None
) -> Rates:
    """The share of flipped bits of each stream and segment.

    Args:
        bits: {stream: (S, L, D)}, damaged by an unknown share of flips, independent of one another.
        plot: what the movie is about; empty: not known.
        given: streams that are sound, for the model to judge by.
    """
    found = {n: np.zeros(len(b)) for n, b in bits.items()}
    for s in range(_segments(bits)):
        for name, rate in _one(generator, _at(bits, s), _at(given or {}, s), plot).items():
            found[name][s] = rate
    return found


def _one(generator: Generator, bits: dict[str, Tensor], given: dict[str, Tensor], plot: str) -> dict[str, float]:
    shapes = {n: generator.streams[n] for n in bits}
    denoise = generator.denoiser(given, shapes, plot)
    x = pack(bits)
    rates = dict.fromkeys(bits, FIRST)
    for _ in range(ROUNDS):
        eta = denoise(x, _stale(rates, shapes))
        flipped = unpack(torch.where(x > 0, 1 - eta, eta), shapes)
        rates = {n: float(flipped[n].mean().clamp(LEAST, MOST)) for n in bits}
    return {n: rate if rate > LEAST else 0.0 for n, rate in rates.items()}


def undo(
    generator: Generator, bits: Mapping[str, Bits], rates: Mapping[str, NDArray[np.float64]], plot: str = "",
    given: Mapping[str, Bits] | None = None, *, seed: int = 0, steps: int = STEPS,
) -> dict[str, Bits]:  # fmt: skip
    """The likeliest true bits, {stream: (S, L, D)}: the reverse process, from the staleness of each segment.

    Args:
        bits, plot, given: as for `estimate`.
        rates: share of flipped bits, {stream: (S,)}; 0 leaves a segment as it is.
        seed: of the draws, where `steps` > 1.
    """
    out = {n: b.copy() for n, b in bits.items()}
    for s in range(_segments(bits)):
        wrong = {n: float(rates[n][s]) for n in bits if rates[n][s] > 0}
        if not wrong:
            continue
        here, known = _at(bits, s), _at(given or {}, s)
        known |= {n: b for n, b in here.items() if n not in wrong}
        here = {n: here[n] for n in wrong}
        shapes = {n: generator.streams[n] for n in wrong}
        rng = torch.Generator().manual_seed(int(np.random.SeedSequence([seed % 2**64, s]).generate_state(1)[0]))
        start = _stale(wrong, shapes)
        for step in ancestral(generator.denoiser(known, shapes, plot), pack(here), start, steps, [rng]):
            for n, b in unpack(step.bits, shapes).items():
                out[n][s] = b[0].numpy()
    return out


def _segments(bits: Mapping[str, Bits]) -> int:
    return max((len(b) for b in bits.values()), default=0)


def _at(bits: Mapping[str, Bits], s: int) -> dict[str, Tensor]:
    return {n: torch.from_numpy(b[s : s + 1].copy()) for n, b in bits.items() if s < len(b)}


def _stale(rates: Mapping[str, float], shapes: Mapping[str, tuple[int, int]]) -> Tensor:
    return pack({n: torch.full((1, *shapes[n]), staleness(rate), dtype=torch.float64) for n, rate in rates.items()})
