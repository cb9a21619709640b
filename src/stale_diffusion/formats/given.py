"""Touch that somebody else made: what the readers of haptic files share.

A reader turns its file into strokes, and `touch` paints them on the clock of touch. Where strokes overlap at one place
of the body the stronger is felt, as an actuator that is driven by both would be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.jsonio import refusal
from stale_diffusion.senses.touch import FREQUENCY, Touch
from stale_diffusion.timeline import MAX_SECONDS, Track

RATE = float(Touch.rate)
CALM = {"seat": 0.0, "back": 0.0, "temperature": 20.0, "wind": 0.0}  # where a file says nothing
HUM = 60.0  # Hz, where a file says nothing of the frequency
MAX_POINTS = 1_000_000  # of one file
OVERLAP = 64  # strokes that may lie over each other on the average

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stroke:
    """A piece of one lane, straight lines between its points; one point is a tap.

    Args:
        lanes: what it moves, of seat, back, temperature, wind.
        times: seconds, ascending, (K,).
        values: in the unit of the lane, (K,).
        hertz: frequency of a vibration, (K,).
    """

    lanes: tuple[str, ...]
    times: Array
    values: Array
    hertz: Array


def touch(strokes: Sequence[Stroke], seconds: float, source: str) -> Track:
    """The touch track, (T, 5), that the strokes make.

    Args:
        seconds: the least duration; strokes that last longer make it longer.

    Raises:
        StaleError: it would be longer than a day, or strokes lie over each other by the hundred.
    """
    seconds = max([seconds, *(float(stroke.times[-1]) + 1 / RATE for stroke in strokes)])
    if seconds > MAX_SECONDS + 1:
        raise refusal(source, "it is longer than a day")
    n = max(1, round(seconds * RATE))
    if sum(stroke.times[-1] - stroke.times[0] for stroke in strokes) > OVERLAP * (seconds + 60):
        raise refusal(source, f"more than {OVERLAP} of its effects lie over each other")
    lanes = {name: np.full(n, calm) for name, calm in CALM.items()}
    strength, hertz = np.zeros(n), np.full(n, np.nan)
    for stroke in strokes:
        first, at, values, pitch = _sampled(stroke, n)
        cut = slice(first, first + len(at))
        for lane in stroke.lanes:
            painted = lanes[lane][cut]
            painted[:] = values if lane in ("temperature", "wind") else np.maximum(painted, values)
        louder = values > strength[cut]
        if {"seat", "back"} & set(stroke.lanes):
            strength[cut][louder], hertz[cut][louder] = values[louder], pitch[louder]
    columns = (lanes["seat"], lanes["back"], _filled(hertz), lanes["temperature"], lanes["wind"])
    limits = ((0, 1), (0, 1), FREQUENCY, (-10, 50), (0, 20))
    clipped = [np.clip(column, low, high) for column, (low, high) in zip(columns, limits, strict=True)]
    return Track("touch", Touch.rate, Touch.channels, Touch.unit, np.stack(clipped, -1).astype(np.float32), "given")


def _sampled(stroke: Stroke, n: int) -> tuple[int, Array, Array, Array]:
    """First sample that a stroke reaches, times, values, frequencies; a short one reaches at least the nearest."""
    first, last = math.ceil(stroke.times[0] * RATE - 1e-6), math.floor(stroke.times[-1] * RATE + 1e-6)
    if last < first:
        first = last = round(float(stroke.times[int(stroke.values.argmax())]) * RATE)
    first, last = min(first, n - 1), min(last, n - 1)
    at = np.arange(first, last + 1) / RATE
    if first == last:
        at = np.clip(at, stroke.times[0], stroke.times[-1])
    return first, at, np.interp(at, stroke.times, stroke.values), np.interp(at, stroke.times, stroke.hertz)


def _filled(hertz: Array) -> Array:
    """Frequencies (T,) with the gaps, in which nothing vibrates, bridged."""
    known = np.flatnonzero(~np.isnan(hertz))
    return np.interp(np.arange(len(hertz)), known, hertz[known]) if len(known) else np.full(len(hertz), HUM)
