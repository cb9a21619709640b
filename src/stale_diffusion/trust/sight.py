"""The mark in sight: faint, wide waves that drift over the picture, stronger where the picture is busy.

A frame is measured in units of 1/180 of its shorter side. The mark is the real part of a sum of waves
exp(i(2 pi k x / 128 + w t)), k whole, each 5 to 20 units long, turning once in 4 seconds. What stands still in a
picture is orthogonal to what turns; cutting and stretching time change the common phase and the speed, cutting and
scaling the picture the phases along k and the scale: few numbers, all searched.

Shapes: H rows, W columns, T frames, N carriers, K = 51 whole numbers -25 ... 25.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stale_diffusion.trust.carriers import Carriers, Complex, draw

UNITS = 180  # along the shorter side
TILE = 128  # units after which the waves repeat
LONGEST, SHORTEST = 20.0, 5.0  # wave lengths, units
HERTZ = 0.25
FLAT = 0.3  # root mean square of the mark in levels where the picture is flat
SHARE = 0.3  # and that of the local activity, where there is more than grain
GRAIN = 1.0  # levels
MOST = 2.4  # so no picture is ever below 40 dB
ACROSS = 45  # blocks along the shorter side, in each of which the activity is measured
DARK = 48.0  # levels below which the mark fades out: a level is more light there

K = np.arange(-25, 26)
_LENGTH = TILE / np.maximum(np.hypot(K[:, None], K[None, :]), 1e-9)
# no wave along an axis: horizons and the blocks of a codec lie there
BAND = (_LENGTH >= SHORTEST) & (_LENGTH <= LONGEST) & (K[:, None] != 0) & (K[None, :] != 0)
COUNT = int(BAND.sum())

RGB = NDArray[np.uint8]
Floats = NDArray[np.float32]


def carriers(secret: bytes) -> Carriers:
    """The carriers of a secret."""
    return draw(secret, "sight", COUNT)


class SightMark:
    """Marks pictures of one size.

    Args:
        secret: of the key.
        signs: of the bits, (144,).
        size: (width, height).
    """

    def __init__(self, secret: bytes, signs: NDArray[np.float32], size: tuple[int, int]) -> None:
        width, height = size
        unit = min(size) / UNITS
        spectrum = np.zeros(BAND.shape, complex)
        spectrum[BAND] = carriers(secret).marked(signs)
        waves = _waves(height, 1 / unit).T.conj() @ spectrum @ _waves(width, 1 / unit).conj()
        waves *= np.sqrt(2 / COUNT)  # the real part has a mean square of 1
        self._cos, self._sin = waves.real.astype(np.float32), -waves.imag.astype(np.float32)
        self._block = max(2, round(min(size) / ACROSS))
        rows, columns = (max(1, side // self._block) for side in (height, width))
        self._grid = rows, columns
        self._down, self._along = _between(height, rows), _between(width, columns)
        self._dither = np.random.default_rng(0).random((height + 64, width + 64), np.float32)

    def __call__(self, rgb: RGB, time: float) -> RGB:
        """A picture (H, W, 3) at a time in seconds, marked; rounding is dithered."""
        angle = 2 * np.pi * HERTZ * time
        mark = self._cos * np.float32(np.cos(angle))
        mark += self._sin * np.float32(np.sin(angle))
        mark *= self._stretched(self.strength(rgb))
        height, width = mark.shape
        y, x = (round(time * 977) * step % 64 for step in (29, 43))
        mark += self._dither[y : y + height, x : x + width]
        delta = torch.from_numpy(np.floor(mark, out=mark).astype(np.int16))[..., None]
        return np.asarray((torch.tensor(rgb).short() + delta).clamp_(0, 255).byte().numpy())

    def _stretched(self, grid: Floats) -> Floats:
        """Blocks to pixels by linear interpolation; not by matrices, whose threads would hinder the painter's."""
        (top, bottom, y), (left, right, x) = self._down, self._along
        lines = grid[top] + (grid[bottom] - grid[top]) * y[:, None]
        start = np.take(lines, left, axis=1)
        return np.asarray(start + (np.take(lines, right, axis=1) - start) * x)

    def strength(self, rgb: RGB) -> Floats:
        """Root mean square of the mark in levels, per block: what the calmest neighbour allows."""
        step = 2 if self._block % 2 == 0 else 1
        b, (rows, columns) = self._block // step, self._grid
        seen = rgb[: rows * self._block : step, : columns * self._block : step, 1].astype(np.float32)

        def mean(pixels: Floats) -> Floats:
            lines = pixels.reshape(rows, b, columns * b).sum(1)
            return np.asarray(lines.reshape(rows, columns, b).sum(2) / b**2)

        light = mean(seen)
        activity = np.maximum(np.sqrt(np.maximum(mean(seen * seen) - light**2, 0)) - GRAIN, 0)
        found = np.clip(FLAT + SHARE * _least(activity), FLAT, MOST) * np.clip(light / DARK, 0, 1)
        return np.asarray(found, np.float32)


def _least(grid: Floats) -> Floats:
    """The least of each 3 x 3 neighbourhood."""
    padded = np.pad(grid, 1, mode="edge")
    rows = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))


def _between(out: int, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """For each of `out` pixels the two of n blocks it lies between, and how far it is from the first, in [0, 1)."""
    at = np.clip((np.arange(out) + 0.5) * n / out - 0.5, 0, n - 1)
    first = np.floor(at).astype(np.intp)
    return first, np.minimum(first + 1, n - 1), (at - first).astype(np.float32)


def _waves(n: int, step: float) -> Complex:
    """exp(-2 pi i k x / 128) at n pixels, `step` units apart, (K, n)."""
    at = (np.arange(n) + 0.5) * step
    return np.asarray(np.exp(-2j * np.pi * np.outer(K, at) / TILE))
