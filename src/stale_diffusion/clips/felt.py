"""How strongly a sound is felt: followers of its bands, mixed as professional haptic designers would have it.

A follower rises at once (or in a few milliseconds) and dies away exponentially; `touch_fit.json` says how much each
one counts. The weights are fitted on one half of 105 sounds with the haptics that designers made for them (provenance
in the file; `TRAIN=1 make bench NAME=touch` fits them again and measures on the other half).

Shapes: n samples, N samples of the envelope at ENVELOPE_RATE, T ticks of the control rate.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ENVELOPE_RATE = 1000  # Hz
FLOOR = 10 ** (-60 / 20)  # peak below which nothing is felt
LOUDNESS = 0.5  # exponent of the loudest peak around: a whisper of a clip is felt, though less
AROUND = 4.0  # seconds on either side that a moment is measured against
FULL = 0.3  # peak that drives an actuator fully
FOLLOWERS = tuple((0.0, 0.0, rise, fall) for rise in (0.0, 0.003, 0.008) for fall in (0.015, 0.03, 0.06, 0.12)) + tuple(
    (low, high, 0.003, fall)
    for low, high in ((20.0, 120.0), (120.0, 400.0), (400.0, 1200.0), (1200.0, 3600.0), (3600.0, 11000.0))
    for fall in (0.03, 0.1)
)  # (low Hz, high Hz, rise s, fall s); 0 to 0 Hz is the whole sound


@cache
def fitted() -> tuple[Array, float]:
    """The weight of every follower and the exponent of their sum, as touch_fit.json has them."""
    record = json.loads(Path(__file__).with_name("touch_fit.json").read_text(encoding="utf-8"))
    return np.array([record["weights"][name(f)] for f in FOLLOWERS]), float(record["exponent"])


def name(follower: tuple[float, float, float, float]) -> str:
    """What a follower is called in touch_fit.json."""
    low, high, rise, fall = follower
    return f"{f'{low:g}-{high:g} Hz' if high else 'all'}, {1000 * rise:g} ms up, {1000 * fall:g} ms down"


def amplitude(sound: NDArray[np.float32], rate: int, ticks: int, control_rate: int) -> Array:
    """How strongly a sound (n,) is felt around each tick k / control_rate seconds, (T,) in [0, 1]."""
    if not len(sound) or not ticks:
        return np.zeros(ticks)
    mix_TF, peak_T = features(sound, rate, ticks, control_rate)
    weights, exponent = fitted()
    loud = np.minimum(peak_T / FULL, 1) ** LOUDNESS
    return np.asarray(np.clip((mix_TF @ weights) ** exponent * loud, 0, 1))


def features(sound: NDArray[np.float32], rate: int, ticks: int, control_rate: int) -> tuple[Array, Array]:
    """Followers at each tick over the highest peak around, (T, F) in [0, 1], and that peak, (T,)."""
    whole = _peaks(np.asarray(sound, np.float64), rate)
    at = np.arange(ticks) * ENVELOPE_RATE / control_rate
    bands = {(0.0, 0.0): whole} | {
        (low, high): _peaks(_bandpass(sound, rate, low, high), rate) for low, high, _, _ in FOLLOWERS if high
    }
    mix_TF = np.stack(
        [
            np.interp(at, np.arange(len(whole)) + 0.5, follow(np.maximum(bands[low, high] - FLOOR, 0), rise, fall))
            for low, high, rise, fall in FOLLOWERS
        ],
        -1,
    )
    slow = _highest(whole, int(AROUND * ENVELOPE_RATE))
    peak_T = np.interp(at, np.arange(len(slow)) + 0.5, slow)
    return mix_TF / np.maximum(peak_T, FLOOR)[:, None], peak_T


def follow(envelope: Array, rise: float, fall: float) -> Array:
    """A peak follower, (N,): it never lies under what decays from an earlier peak within `fall` seconds to 1 / e."""
    decay = np.arange(len(envelope)) / (fall * ENVELOPE_RATE)
    out = np.empty_like(envelope)
    held, step = -np.inf, int(300 * fall * ENVELOPE_RATE)  # in pieces: exp(decay) must stay finite
    for start in range(0, len(envelope), step):
        piece = slice(start, start + step)
        local = decay[piece] - decay[start]
        top = np.maximum.accumulate(np.concatenate([[held], np.log(envelope[piece] + 1e-9) + local]))[1:]
        out[piece] = np.exp(top - local)
        held = top[-1] - local[-1] - 1 / (fall * ENVELOPE_RATE)
    if not rise:
        return out
    tail = np.exp(-np.arange(int(8 * rise * ENVELOPE_RATE) + 1) / (rise * ENVELOPE_RATE))
    return np.convolve(out, tail / tail.sum())[: len(out)]


def _peaks(sound: Array, rate: int) -> Array:
    """The highest |sample| of each millisecond, (N,)."""
    edges = np.arange(-(-len(sound) * ENVELOPE_RATE // rate)) * rate // ENVELOPE_RATE
    return np.asarray(np.maximum.reduceat(np.abs(sound), edges))


def _bandpass(sound: NDArray[np.float32], rate: int, low: float, high: float) -> Array:
    """A band, by its spectrum: the size of a second-order Butterworth band's response, no delay."""
    size = 1 << (len(sound) + rate // 4).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / rate)
    lower = (hertz / low) ** 2 / np.sqrt(1 + (hertz / low) ** 4)
    upper = 1 / np.sqrt(1 + (hertz / high) ** 4)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, size) * lower * upper, size)[: len(sound)])


def _highest(values: Array, reach: int) -> Array:
    """The highest value within `reach` on either side, (N,), by doubling."""
    out = np.pad(values, reach)
    width, window = 1, 2 * reach + 1
    while width < window:
        step = min(width, window - width)
        out = np.maximum(out[:-step], out[step:])
        width += step
    return out[: len(values)]
