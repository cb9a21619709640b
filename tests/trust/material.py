"""Clips to compare: hills that drift, rain that never repeats itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import media

Frames = NDArray[np.uint8]
SIZE = (320, 192)


def scenery(seed: int, seconds: float = 3) -> Frames:
    """Hills of noise that drift, (T, 192, 320, 3), 12 a second."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((192, 400)))
    far = np.hypot(np.fft.fftfreq(192)[:, None], np.fft.rfftfreq(400)[None])
    wide = np.fft.irfft2(spectrum / (far + 0.01) ** 1.3, s=(192, 400))
    wide = np.clip(128 + 45 * wide / wide.std(), 0, 255).astype(np.uint8)
    return np.stack([np.repeat(wide[:, k : k + 320, None], 3, 2) for k in range(round(12 * seconds))])


def rain(seed: int, seconds: float = 3) -> NDArray[np.float32]:
    """Drops, (N, 2) at 48 kHz: all of it sounds the same, and no two seconds are."""
    rng = np.random.default_rng(seed)
    n = round(48_000 * seconds)
    drops = np.where(rng.random(n) < 30 / 48_000, rng.exponential(1, n), 0)
    heard = np.convolve(drops, np.exp(-np.arange(2000) / 300) * rng.standard_normal(2000), "same")
    heard = 0.05 * heard + 0.003 * rng.standard_normal(n)
    return np.repeat(heard[:, None], 2, 1).clip(-1, 1).astype(np.float32)


def write(path: Path, frames: Frames | None, sound: NDArray[np.float32], fps: Fraction = Fraction(12)) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    size = None if frames is None else (frames.shape[2], frames.shape[1])
    with media.MovieWriter(path, size, fps, touch_rate=None) as out:
        for frame in () if frames is None else frames:
            out.frame(np.ascontiguousarray(frame))
        out.sound(sound)
    return path
