"""How far a picture or a sound is from its source: what the codecs, and bits that rot, are judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses.hearing import RATE

Array = NDArray[Any]


def psnr(source: Array, other: Array) -> float:
    """dB over all pixels and channels."""
    return float(-10 * np.log10(np.mean((source.astype(np.float64) - other) ** 2) / 255**2))


def log_mel(sound: Array) -> Array:
    """64 mel bands in dB, floor -100, window 1024, hop 256."""
    mel: Array = 700 * np.expm1(np.linspace(0, np.log1p(RATE / 2 / 700), 66))
    hertz = np.arange(513) * RATE / 1024
    bank = np.stack([np.interp(hertz, mel[i : i + 3], [0, 1, 0]) for i in range(64)])
    window = np.hanning(1025)[:1024]
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, 512), 1024)[::256] * window
    return 10 * np.log10(np.maximum(np.abs(np.fft.rfft(frames)) ** 2 @ bank.T / (window.sum() / 2) ** 2, 1e-10))


def mel_distance(source: Array, other: Array) -> float:
    """Mean absolute difference in dB."""
    return float(np.mean(np.abs(log_mel(source) - log_mel(other))))
