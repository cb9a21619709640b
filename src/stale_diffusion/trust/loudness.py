"""Loudness as ITU-R BS.1770-5 counts it: K-weighted power of tenths of a second, gated over blocks.

For a guard that must know beforehand what a gain would do; a file is judged by FFmpeg's ebur128, with which this agrees
within 0.1 LU (tests).

Shapes: N samples, 2 channels, T tenths of a second, P taps.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]
Array = NDArray[np.float64]

TENTH = 10  # a second
BLOCK = 4  # tenths of a gating block
ABSOLUTE, RELATIVE = -70.0, -10.0  # gates, LUFS and LU
OFFSET = -0.691  # dB, so that a full-scale sine at 1 kHz in one channel is -3.01 LUFS
_BINS = np.arange(-70.0, 6.0, 0.1)  # of the histogram, LUFS
_POWERS = 10 ** ((_BINS + 0.05 - OFFSET) / 10)
SILENCE = 1e-12


def decibels(power: float) -> float:
    """LUFS of a mean K-weighted power, at least -120."""
    return OFFSET + 10 * math.log10(max(power, SILENCE))


@lru_cache(maxsize=8)
def _k_filter(n: int, rate: int) -> NDArray[np.complex128]:
    """H(f) of the K-weighting at the frequencies of a real spectrum of n samples, (n // 2 + 1, 1)."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(n))
    # the two filters of BS.1770 as their analogue prototypes, so that any rate will do
    f0, gain, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k, vh = math.tan(math.pi * f0 / rate), 10 ** (gain / 20)
    vb = vh**0.4996667741545416
    tops = (vh + vb * k / q + k * k, 2 * (k * k - vh), vh - vb * k / q + k * k)
    shelf = (tops[0] + tops[1] * z + tops[2] * z * z) / _poles(k, q, z)
    f0, q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * f0 / rate)
    high = (1 - 2 * z + z * z) / (_poles(k, q, z) / (1 + k / q + k * k))
    return np.asarray(shelf * high)[:, None]


def _poles(k: float, q: float, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return (1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z * z


class Weighed:
    """K-weighted sound, piece by piece: filtered by spectra, each piece with a quarter of a second before it."""

    def __init__(self, rate: int, channels: int = 2) -> None:
        self.rate = rate
        self._before = np.zeros((rate // 4, channels), np.float32)

    def powers(self, sound: Sound, a_second: int) -> Array:
        """Mean power of each whole piece of 1 / a_second seconds, the channels added up, (T,)."""
        both = np.concatenate([self._before, sound])
        self._before = both[-len(self._before) :]
        length = len(both) + len(both) % 2
        spectrum = np.fft.rfft(both, length, axis=0) * _k_filter(length, self.rate)
        heard = np.fft.irfft(spectrum, length, axis=0)[len(both) - len(sound) : len(both)]
        n = self.rate // a_second
        return np.asarray((heard[: len(heard) // n * n].reshape(-1, n * sound.shape[1]) ** 2).sum(1) / n)


class Gated:
    """Integrated loudness of what was heard, which may fade from memory.

    Args:
        memory: seconds after which what was heard counts e times less; infinity: never.
    """

    def __init__(self, memory: float = math.inf) -> None:
        self.memory, self.counts = memory, np.zeros(len(_BINS))
        self._tail = np.zeros(0)

    def blocks(self, tenths: Array) -> Array:
        """Powers of the gating blocks that end in these tenths, the ones before being remembered."""
        all_T = np.concatenate([self._tail, tenths])
        return np.convolve(all_T, np.full(BLOCK, 1 / BLOCK), "valid") if len(all_T) >= BLOCK else np.zeros(0)

    def add(self, tenths: Array) -> None:
        """Hear some more."""
        self.counts *= math.exp(-len(tenths) / TENTH / self.memory)
        np.add.at(self.counts, _places(self.blocks(tenths)), 1)
        self._tail = np.concatenate([self._tail, tenths])[-(BLOCK - 1) :]

    def loudness(self, more: Array | None = None) -> float:
        """LUFS of all that was heard, and of more blocks (powers); -inf where everything is below the gate."""
        counts = self.counts
        if more is not None and len(more):
            counts = counts.copy()
            np.add.at(counts, _places(more), 1)
        counts = counts.copy()
        counts[0] = 0  # what lies below the absolute gate
        if not counts.sum():
            return -math.inf
        gate = decibels(float(counts @ _POWERS / counts.sum())) + RELATIVE
        counts[gate > _BINS + 0.05] = 0
        return decibels(float(counts @ _POWERS / counts.sum())) if counts.sum() else -math.inf


def _places(blocks: Array) -> NDArray[np.int64]:
    """Bins of the histogram; what is below the absolute gate lands in the first."""
    level = OFFSET + 10 * np.log10(np.maximum(blocks, SILENCE))
    return np.asarray(np.clip(np.floor((level - _BINS[0]) * 10), 0, len(_BINS) - 1), np.int64)


@lru_cache(maxsize=1)
def _phases(taps: int = 24) -> Array:
    """Three filters that read between two samples, at 1/4, 1/2 and 3/4, (3, P)."""
    at = np.arange(taps) - taps / 2 + 1
    rows = []
    for part in (0.25, 0.5, 0.75):
        x = at - part
        row = np.sinc(x) * (0.5 + 0.5 * np.cos(np.pi * x / (taps / 2 + 0.5)))
        rows.append(row / row.sum())
    return np.stack(rows)


def true_peaks(sound: Sound) -> Array:
    """The highest value at four times the rate in the neighbourhood of each sample, any channel, (N,)."""
    peaks = np.asarray(np.abs(sound).max(1), np.float64)
    if len(sound) < 25:
        return peaks
    for channel in sound.T:
        for phase in _phases():
            between = np.abs(np.convolve(channel, phase[::-1], "full")[11 : 11 + len(channel)])
            np.maximum(peaks, between, out=peaks)
    return peaks
