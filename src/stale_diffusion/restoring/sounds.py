"""Missing samples, from those around.

A click or a hole of some milliseconds: the samples that make the error of linear prediction least (Janssen, Veldhuis
and Vries 1986), exact for what a short memory foretells. Up to a second: the sound of both sides, mirrored and
cross-faded. A longer hole: noise shaped, band by band and frame by frame, until its levels are those between the two
sides; the sign of a waveform is not to be had back, what it sounds like is.

Shapes: T samples, C channels, F frames, K bands, B bins.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.restoring.listening import predictor

Array = NDArray[np.float32]
ORDER = 64
AROUND = 2048  # samples on either side that the predictor is fitted on
EXACT, MIRROR = 0.004, 1.0  # seconds up to which samples are predicted, and up to which both sides are mirrored
SIDE = 0.3  # seconds on either side that a level is read from
BANDS = 48
FADE = 0.005  # seconds


def predicted(sound: Array, spans: list[tuple[int, int]]) -> Array:
    """Sound (T, C) with the samples in `spans` (first, last exclusive) chosen for the least error of prediction."""
    out = sound.copy()
    for channel in range(sound.shape[1]):
        for first, last in spans:
            out[first:last, channel] = _least_error(out[:, channel], first, last)
    return out


def _least_error(x: Array, first: int, last: int) -> Array:
    begin, end = max(0, first - AROUND), min(len(x), last + AROUND)
    part, a, b = x[begin:end].astype(np.float64), first - begin, last - begin
    known = np.concatenate([part[:a], part[b:]])
    order = min(ORDER, len(known) // 4)
    if order < 2 or not known.any():
        return np.zeros(last - first, np.float32)
    kernel = np.concatenate([[1.0], -predictor(known, order)])
    n = b - a
    r = np.correlate(kernel, kernel, "full")[order:]
    lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    normal: NDArray[np.float64] = np.where(lags <= order, r[np.minimum(lags, order)], 0.0) + 1e-9 * r[0] * np.eye(n)
    part[a:b] = 0
    errors = np.convolve(part, kernel)[a : b + order]
    right = -np.correlate(errors, kernel, "valid")[:n]
    limit = 2 * float(np.abs(known).max())
    return np.asarray(np.clip(np.linalg.solve(normal, right), -limit, limit), np.float32)


@lru_cache(maxsize=4)
def _bank(rate: int, size: int) -> NDArray[np.float32]:
    """Triangles (K, B) in mel that add up to one at every bin."""
    bins = np.arange(size // 2 + 1) * rate / size
    centres = 700 * np.expm1(np.linspace(0, np.log1p(rate / 2 / 700), BANDS))
    return np.stack([np.interp(bins, centres, row) for row in np.eye(BANDS)]).astype(np.float32)


def _spectra(x: Array, size: int) -> NDArray[np.complex64]:
    """(T,) -> (F, B), hops of half a window, frames centred on them, square-root Hann windows."""
    padded = np.pad(x, (size // 2, size // 2 + (-len(x)) % (size // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    return np.fft.rfft(frames * _window(size)).astype(np.complex64)


def _sound(spectra: NDArray[np.complex64], size: int, length: int) -> Array:
    frames = np.fft.irfft(spectra, size) * _window(size)
    out = np.zeros((len(frames) + 1) * (size // 2))
    for k, frame in enumerate(frames):
        out[k * size // 2 : k * size // 2 + size] += frame
    return out[size // 2 : size // 2 + length].astype(np.float32)


def _window(size: int) -> Array:
    return np.sin(np.pi * (np.arange(size) + 0.5) / size).astype(np.float32)


def levels(x: Array, rate: int, size: int) -> NDArray[np.float32]:
    """Band levels in dB, (F, K)."""
    power = np.abs(_spectra(x, size)) ** 2 @ _bank(rate, size).T
    return np.asarray(10 * np.log10(power + 1e-9), np.float32)


def shaped(before: Array, after: Array, count: int, rate: int, seed: int = 0) -> Array:
    """`count` samples (count, C) between two sides (T, C), noise with the levels between theirs; one may be empty."""
    size = 1 << round(np.log2(rate / 100))  # about 10 ms
    channels = before.shape[1] if len(before) else after.shape[1]
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(count).astype(np.float32)
    sides = [s for s in (before[-round(SIDE * rate) :], after[: round(SIDE * rate)]) if len(s) >= size]
    if not sides:
        return np.zeros((count, channels), np.float32)
    alike = _alike(sides)
    out = np.zeros((count, channels), np.float32)
    for c in range(channels):
        own = rng.standard_normal(count).astype(np.float32)
        carrier = np.sqrt(alike) * common + np.sqrt(1 - alike) * own
        ends = [np.median(levels(s[:, c], rate, size), 0) for s in sides]
        frames = len(_spectra(carrier, size))
        at = np.linspace(0, 1, frames)[:, None]
        target = ends[0] + at * (ends[-1] - ends[0])
        out[:, c] = _to_levels(carrier, target, rate, size)
    return out


def _alike(sides: list[Array]) -> float:
    """How much the channels have in common, in [0, 1]."""
    joint = np.concatenate(sides)
    if joint.shape[1] < 2 or not np.std(joint, 0).all():
        return 1.0
    return float(np.clip(np.corrcoef(joint[:, 0], joint[:, 1])[0, 1], 0, 1))


def _to_levels(carrier: Array, target_FK: NDArray[np.float32], rate: int, size: int, rounds: int = 3) -> Array:
    wanted, x = 10 ** (target_FK / 10), carrier
    for _ in range(rounds):
        own = _spectra(x, size)
        power = np.abs(own) ** 2 @ _bank(rate, size).T
        gain = np.sqrt(wanted / np.maximum(power, 1e-12))
        x = _sound(own * (gain @ _bank(rate, size)), size, len(x))
    return x


def filled(before: Array, after: Array, count: int, rate: int, seed: int = 0) -> Array:
    """`count` samples between two sides (T, C), by what is best for a hole of that length: `make bench NAME=restore
    PART=sounds`."""
    if count / rate > MIRROR or not len(before) or not len(after):
        return shaped(before, after, count, rate, seed)
    if count / rate > EXACT:
        return mirrored(before, after, count)
    sides = before[-AROUND:], after[:AROUND]
    first, gap = len(sides[0]), np.zeros((count, before.shape[1]), np.float32)
    return predicted(np.concatenate([sides[0], gap, sides[1]]), [(first, first + count)])[first : first + count]


def mirrored(before: Array, after: Array, count: int) -> Array:
    """`count` samples (count, C): both sides played backwards from the hole, and to and fro, cross-faded in power.

    It joins both ends without a step, and is the very sound that is around.
    """
    left = np.pad(before[::-1][:count], ((0, max(0, count - len(before))), (0, 0)), mode="symmetric")
    right = np.pad(after[:count], ((0, max(0, count - len(after))), (0, 0)), mode="symmetric")[::-1]
    share = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    return np.asarray(left * np.sqrt(1 - share) + right * np.sqrt(share), np.float32)
