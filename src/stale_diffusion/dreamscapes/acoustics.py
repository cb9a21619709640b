"""Sound from first principles: shaped noise, resonances, grains, reverberation; all on the movie's sample clock.

Every function is pure in absolute time: the same samples come out whatever the block they are asked for in.

Shapes: N samples, F frequencies.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]
Array = NDArray[np.float64]
_HOP_SECONDS = 1 / 24


def shaped_noise(
    tag: str, start: int, n: int, rate: int, spectrum: Callable[[Array, float], Array], channels: int = 2
) -> Sound:
    """Noise whose amplitude spectrum changes with time, (N, channels): overlap-add of random-phase frames.

    Args:
        tag: names the noise; another tag is independent noise.
        start: first sample on the movie's clock; samples before 0 are allowed.
        spectrum: (frequencies in Hz (F,), seconds) -> amplitude density (F,); 1 everywhere is white noise of
            deviation 1.
        channels: independent channels.
    """
    hop = int(rate * _HOP_SECONDS)
    size = 2 * hop
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)  # sine squared adds up to one in power
    f = np.asarray(np.fft.rfftfreq(size, 1 / rate), np.float64)
    first, last = start // hop - 1, (start + n - 1) // hop
    out = np.zeros(((last - first + 2) * hop, channels))
    for k in range(first, last + 1):
        rng = np.random.default_rng([zlib.crc32(tag.encode()), k & 0xFFFFFFFF])
        phases = np.exp(2j * np.pi * rng.random((channels, len(f))))
        amplitude = np.clip(spectrum(f, (k + 1) * hop / rate), 0, None) * np.sqrt(size)
        frame = np.fft.irfft(phases * amplitude, size) * window
        out[(k - first) * hop : (k - first) * hop + size] += frame.T
    offset = start - first * hop
    return out[offset : offset + n].astype(np.float32)


def band(f: Array, low: float, high: float, order: float = 2.0) -> Array:
    """A band-pass response with slopes of 6 * order dB an octave, (F,), 1 inside; frequencies in Hz."""
    f = np.maximum(f, 1e-3)
    return np.asarray(1 / np.sqrt((1 + (low / f) ** (2 * order)) * (1 + (f / high) ** (2 * order))))


def resonance(f: Array, centre: float, q: float) -> Array:
    """The response of one resonance, (F,), 1 at its centre."""
    f = np.maximum(f, 1e-3)
    return np.asarray(1 / np.sqrt(1 + (q * (f / centre - centre / f)) ** 2))


def add_grain(out: Sound, start: int, rate: int, time: float, wave: Array, x: float = 0.0) -> None:
    """Add a mono waveform that begins at `time` seconds of the movie, panned to x in [-1, 1], into (N, 2), in place.

    The pan is equal power with an interaural delay of up to 0.6 ms.
    """
    angle = (np.clip(x, -1, 1) + 1) * np.pi / 4
    for channel, (gain, lag) in enumerate(((np.cos(angle), max(x, 0) * 6e-4), (np.sin(angle), max(-x, 0) * 6e-4))):
        at = round((time + lag) * rate) - start
        a, b = max(at, 0), min(at + len(wave), len(out))
        if a < b:
            out[a:b, channel] += (gain * wave[a - at : b - at]).astype(np.float32)


def ring(rate: int, seconds: float, modes: list[tuple[float, float, float]], attack: float = 0.001) -> Array:
    """Damped sinusoids, (N,): modes are (Hz, amplitude, seconds to fall by 60 dB)."""
    t = np.arange(int(seconds * rate)) / rate
    wave = sum(a * np.exp(-6.91 * t / t60) * np.sin(2 * np.pi * hz * t) for hz, a, t60 in modes if hz < rate / 2)
    return np.asarray(wave * np.minimum(1, t / attack))


def burst(rng: np.random.Generator, rate: int, seconds: float, low: float, high: float, attack: float = 0.001) -> Array:
    """A burst of band-limited noise that decays by 60 dB in `seconds`, (N,), peak near 1."""
    n = max(16, int(seconds * rate))
    spectrum = np.fft.rfft(rng.standard_normal(n)) * band(
        np.asarray(np.fft.rfftfreq(n, 1 / rate), np.float64), low, high
    )
    wave = np.fft.irfft(spectrum, n)
    t = np.arange(n) / rate
    wave *= np.exp(-6.91 * t / seconds) * np.minimum(1, t / attack)
    return np.asarray(wave / (np.abs(wave).max() + 1e-9))


def reverberate(dry: Sound, rate: int, seconds: float, wet: float, seed: int = 1, damping: float = 4000.0) -> Sound:
    """Add the tail of a diffuse room, (N, 2) -> (N, 2): noise, down by 60 dB in `seconds`, dark above `damping` Hz.

    Ask for `seconds` more before the part that you need: the tail of what came before is in there.
    """
    n = int(seconds * rate)
    rng = np.random.default_rng(seed)
    tail = rng.standard_normal((n, 2)) * np.exp(-6.91 * np.arange(n) / n)[:, None]
    size = 1 << int(np.ceil(np.log2(len(dry) + n)))
    f = np.fft.rfftfreq(size, 1 / rate)[:, None]
    response = np.fft.rfft(tail / np.sqrt((tail**2).sum(0)), size, axis=0) / np.sqrt(1 + (f / damping) ** 2)
    echo = np.fft.irfft(np.fft.rfft(dry, size, axis=0) * response, size, axis=0)[: len(dry)]
    return np.asarray(dry + wet * echo, np.float32)
