"""The mark in sound: the level of each band sways by less than a decibel, in secret phases that return every 4 seconds.

A sum of 45 slow sways (1 to 12 Hz) multiplies each of 27 bands (280 Hz to 10.7 kHz), so it is hidden by the sound that
it changes, and silence stays silence. Codecs keep the level of a band: that is what they are made for.

Shapes: N samples, C channels, F windows of 1,024 samples every 512, B = 27 bands, J = 45 sways.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.trust.carriers import Carriers, Complex, draw, rayleigh, score

RATE = 48_000
SIZE, HOP = 1024, 512
PERIOD = 4  # seconds, 375 hops
DEPTH = 0.08  # root mean square of a band's relative change: 0.65 dB
# edges in bins of 47 Hz: a narrow band sways too much by itself
BANDS = np.array([6, 10, 14, 18, 22, 26, 30, 35, 40, 45, 51, 57, 63, 70, 77, 84, 92, 100, 109, 118, 128, 139, 151, 164,
                  178, 193, 210, 228])  # fmt: skip
SWAYS = np.arange(4, 49)  # per period
PILOTS = 0.2
COUNT = (len(BANDS) - 1) * len(SWAYS)
PLACES = 512  # of a period that are tried as its beginning
QUIET = 1e-9  # power of a bin below which there is nothing to be heard

Sound = NDArray[np.float32]
_WINDOW = np.sqrt(np.hanning(SIZE + 1)[:-1]).astype(np.float32)


def carriers(secret: bytes) -> Carriers:
    """The carriers of a secret."""
    return draw(secret, "hearing", COUNT, PILOTS)


class SoundMark:
    """Marks a stream of sound, chunk by chunk; what comes out is as long as what goes in, up to 21 ms later.

    Args:
        secret: of the key.
        signs: of the bits, (144,).
    """

    def __init__(self, secret: bytes, signs: NDArray[np.float32]) -> None:
        spectrum = carriers(secret).marked(signs).reshape(len(BANDS) - 1, len(SWAYS))
        hops = PERIOD * RATE // HOP
        turns = np.exp(2j * np.pi * np.outer(SWAYS, np.arange(hops)) / hops)
        sway = (spectrum @ turns).real * DEPTH * math.sqrt(2 / len(SWAYS))
        bins = np.zeros((hops, SIZE // 2 + 1), np.float32)
        for b, (low, high) in enumerate(pairwise(BANDS)):
            bins[:, low:high] = sway[b][:, None]
        self._sway = np.clip(bins, -3 * DEPTH, 3 * DEPTH)

    def stream(self, chunks: Iterable[Sound]) -> Iterator[Sound]:
        """Chunks (N, C) of any length in -1..1, marked."""
        held: Sound | None = None
        done = 0  # hops
        for chunk in chunks:
            if held is None:  # the first window begins a hop before the sound
                held = np.zeros((HOP, chunk.shape[1]), np.float32)
                carried = np.zeros((HOP, chunk.shape[1]), np.float32)
            held = np.concatenate([held, chunk])
            count = len(held) // HOP - 1
            if count > 0:
                out, carried = self._mark(held, count, done, carried)
                yield out[HOP:] if done == 0 else out
                held, done = held[count * HOP :], done + count
        if held is not None:
            left = len(held) - HOP * (done == 0)
            padded = np.pad(held, ((0, 2 * HOP), (0, 0)))
            out, _ = self._mark(padded, len(padded) // HOP - 1, done, carried)
            yield out[HOP * (done == 0) :][:left]

    def _mark(self, held: Sound, count: int, done: int, carried: Sound) -> tuple[Sound, Sound]:
        """The first `count` hops of what is held, and what their last window adds to the next one."""
        spectrum = np.fft.rfft(_windows(held, count) * _WINDOW, axis=-1)
        sway = self._sway[(done + np.arange(count)) % len(self._sway)]
        change = np.fft.irfft(spectrum * sway[:, None], axis=-1).astype(np.float32) * _WINDOW
        first, second = change[..., :HOP], change[..., HOP:]
        added = first.copy()
        added[1:] += second[:-1]
        added[0] += carried.T
        out = held[: count * HOP] + added.transpose(0, 2, 1).reshape(count * HOP, -1)
        return np.clip(out, -1, 1), second[-1].T


def _windows(sound: Sound, count: int) -> Sound:
    """Windows (F, C, 1024) of sound (N, C)."""
    view = np.lib.stride_tricks.sliding_window_view(sound, SIZE, axis=0)
    return np.asarray(view[: count * HOP : HOP])


def levels(sound: Sound) -> NDArray[np.float64]:
    """Log power of the bands over all channels, (F, B), of sound (N, C) at 48 kHz."""
    padded = np.pad(sound, ((HOP, HOP), (0, 0)))
    windows = _windows(padded, len(padded) // HOP - 1)
    power = (np.abs(np.fft.rfft(windows * _WINDOW)) ** 2).sum(1) + QUIET
    return np.asarray(np.log(np.add.reduceat(power, BANDS, axis=-1)[:, :-1]), np.float64)


def swaying(level: NDArray[np.float64]) -> Complex:
    """The sways of levels (F, B), as coefficients (B * J,)."""
    n = len(level)
    slow = np.stack([_smooth(band) for band in level.T], 1)
    rest = np.clip(level - slow, -1.5, 1.5) * np.sin(np.pi * (np.arange(n) + 0.5) / n)[:, None]
    turns = np.exp(-2j * np.pi * np.outer(SWAYS, np.arange(n)) * HOP / (PERIOD * RATE))
    return np.asarray((turns @ rest).T.reshape(-1))


def _smooth(band: NDArray[np.float64], width: int = 141) -> NDArray[np.float64]:
    """A running mean of 1.5 seconds."""
    padded = np.pad(band, width // 2, mode="edge")
    total = np.cumsum(np.concatenate([[0.0], padded]))
    return np.asarray((total[width:] - total[:-width]) / width)


def moved(seen: Complex, place: float) -> Complex:
    """Coefficients of a sound that begins `place` of a period late."""
    turned = seen.reshape(-1, len(SWAYS)) * np.exp(-2j * np.pi * SWAYS * place)
    return np.asarray(turned.reshape(-1))


def search(seen: Complex, carriers: Carriers) -> tuple[float, float, float]:
    """Where in its period a sound begins (0 ... 1), the score there, log10 of how many places that is corrected for."""
    as_made = score(seen, carriers)
    places = np.arange(PLACES) / PLACES
    scores = [score(moved(seen, place), carriers) for place in places]
    best = int(np.argmax(scores))
    nominal, any_place = math.log10(2), math.log10(2 * PLACES)
    if rayleigh(as_made) + nominal <= rayleigh(scores[best]) + any_place:
        return 0.0, as_made, nominal
    return float(places[best]), scores[best], any_place
