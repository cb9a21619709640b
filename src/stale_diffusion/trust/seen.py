"""Finding the mark in sight: at which speed, scale and place it lies, and what it says.

Shapes: T frames, H rows and W columns of the unit grid, N carriers, K = 51, S speeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from stale_diffusion.trust.carriers import Carriers, Complex, rayleigh, score
from stale_diffusion.trust.sight import BAND, HERTZ, TILE, UNITS, K

RATE = 8  # pictures a second that are looked at
WINDOW = 20  # seconds that are looked at together
NEIGHBOURS = 9  # units: what a picture is compared with, to take away what is wider than a wave
CALM = 1.5  # levels of activity below which a picture counts as flat
SPEEDS = tuple(1.02**k for k in range(-15, 16))  # 0.74 to 1.35
SCALES = tuple(1.1 * 1.015**-k for k in range(58))  # 1.1 to 0.47 of the original's shorter side
FINE = tuple(1.0025**k for k in range(-4, 5))
FOUND = -6.0  # log10 of the chance below which a mark is there

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Alignment:
    """Where a mark lies: speed of time, scale of the picture, place of its corner in units."""

    speed: float = 1.0
    scale: float = 1.0
    y: float = 0.0
    x: float = 0.0


NOMINAL = Alignment()


def flattened(frames: Floats) -> Floats:
    """Grey pictures (T, H, W) less what is wider than a wave, over their activity."""
    x = torch.from_numpy(frames)[:, None]

    def around(t: torch.Tensor) -> torch.Tensor:
        half = NEIGHBOURS // 2
        t = avg_pool2d(t, (NEIGHBOURS, 1), 1, (half, 0), count_include_pad=False)
        return avg_pool2d(t, (1, NEIGHBOURS), 1, (0, half), count_include_pad=False)

    mean = around(x)
    rest = x - mean
    return np.asarray((rest / (around(rest * rest).sqrt() + CALM))[:, 0].numpy())


def turning(frames: Floats, speeds: Sequence[float]) -> NDArray[np.complex64]:
    """What turns at each speed, (S, H, W); what stands still, or in a long window drifts, is taken away first."""
    t = (np.arange(len(frames)) / RATE).astype(np.float64)
    e = np.exp(-2j * np.pi * HERTZ * np.outer(speeds, t))
    degree = 2 if t[-1] * HERTZ > 3 else 0
    still, _ = np.linalg.qr(np.vander(t - t.mean(), degree + 1))
    e -= (e @ still) @ still.T
    flat = frames.reshape(len(frames), -1)
    real, imaginary = (part.astype(np.float32) @ flat for part in (e.real, e.imag))
    return np.asarray(real + 1j * imaginary, np.complex64).reshape(len(speeds), *frames.shape[1:])


def spectrum(image: NDArray[np.complex64], scale: float) -> Complex:
    """The wave numbers of a turning image (H, W), its shorter side `scale` of the original's, (K, K)."""
    step = scale * UNITS / min(image.shape)
    height, width = image.shape
    return np.asarray(_line(height, step) @ image @ _line(width, step).T, np.complex128)


@lru_cache(256)
def _line(n: int, step: float) -> NDArray[np.complex64]:
    return np.exp(-2j * np.pi * np.outer(K, (np.arange(n) + 0.5) * step) / TILE).astype(np.complex64)


def best_place(found: Complex, carriers: Carriers, grid: int = TILE) -> tuple[float, float, float]:
    """Score and place (y, x) in units where the pilots agree best, of grid^2 places."""
    steps = np.zeros((grid, grid), complex)
    values = found[BAND]
    pilot = carriers.pilot
    rows, columns = np.nonzero(BAND)
    unit = values[pilot] / np.maximum(np.abs(values[pilot]), 1e-12)
    steps[K[rows[pilot]] % grid, K[columns[pilot]] % grid] = unit * carriers.phase[pilot].conj()
    scores = np.abs(np.fft.fft2(steps)) ** 2 / pilot.sum()
    at = int(scores.argmax())
    return float(scores.flat[at]), at // grid * TILE / grid, at % grid * TILE / grid


def moved(found: Complex, y: float, x: float) -> Complex:
    """The carriers (N,) of wave numbers (K, K) seen from a corner at (y, x) units."""
    phase = np.exp(-2j * np.pi * (K[:, None] * y + K[None, :] * x) / TILE)
    return np.asarray((found * phase)[BAND])


@dataclass(frozen=True)
class Search:
    """What a search came to.

    Args:
        where: the best alignment.
        score: of the pilots there.
        tried: log10 of the number of alignments that the chance is corrected for.
    """

    where: Alignment
    score: float
    tried: float

    @property
    def log10_p(self) -> float:
        """log10 of the chance of such a score without a mark, corrected for all that was tried."""
        return min(0.0, rayleigh(self.score) + self.tried)


def search(frames: Floats, carriers: Carriers) -> Search:
    """Look for a mark in one window of flattened pictures (T, H, W).

    First as it was made (half of the chance of an error is spent there), then at other scales, at other speeds, at
    both, and around the best of them; the first that is found ends it.
    """
    at_rest = turning(frames, [1.0])[0]
    best = Search(NOMINAL, score(moved(spectrum(at_rest, 1.0), 0, 0), carriers), math.log10(2))
    if best.log10_p < FOUND:
        return best
    tried, found = 0, (0.0, NOMINAL)
    for speeds, scales in (((1.0,), SCALES), (SPEEDS, (1.0,)), (SPEEDS, SCALES)):
        for image, speed in zip(turning(frames, speeds), speeds, strict=True):
            for scale in scales:
                value, y, x = best_place(spectrum(image, scale), carriers)
                found = max(found, (value, Alignment(speed, scale, y, x)), key=lambda one: one[0])
        tried += len(speeds) * len(scales) * TILE**2
        if Search(found[1], found[0], math.log10(2 * tried)).log10_p < FOUND:
            break
    around = found[1]
    for f, image in zip(FINE, turning(frames, [around.speed * f for f in FINE]), strict=True):
        for g in FINE:
            value, y, x = best_place(spectrum(image, around.scale * g), carriers, 2 * TILE)
            found = max(found, (value, Alignment(around.speed * f, around.scale * g, y, x)), key=lambda one: one[0])
    tried += len(FINE) ** 2 * 4 * TILE**2
    any_place = Search(found[1], found[0], math.log10(2 * tried))
    return any_place if any_place.log10_p < best.log10_p else best
