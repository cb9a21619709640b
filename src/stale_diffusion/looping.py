"""A movie that repeats without a seam: what comes after its end dissolves into its beginning, in every sense.

Everything performed is a function of time, so a little more than one turn is made, and at the end of a turn it fades
into what the turn began with. What lies before that beginning is left out: it was on its way in.

Shapes: H rows, W columns, N samples, T samples of a track.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from tempfile import TemporaryFile
from typing import final

import numpy as np

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import RGB, Movie, Screen, Sound
from stale_diffusion.senses import SEGMENT_SECONDS, touch
from stale_diffusion.timeline import Track

JOIN = float(SEGMENT_SECONDS)  # seconds in which the end dissolves into the beginning
SHORTEST = 3 * JOIN


def check_loop(seconds: float, loop: float) -> None:
    """Refuse a loop that is no whole number of segments, or does not fill the movie a whole number of times.

    Raises:
        StaleError: so it is, with what would do.
    """
    if not (SHORTEST <= loop < math.inf and loop % SEGMENT_SECONDS == 0):
        fits = max(SHORTEST, SEGMENT_SECONDS * round(loop / SEGMENT_SECONDS)) if math.isfinite(loop) else 600
        why = f"a loop is a multiple of {SEGMENT_SECONDS} seconds, {SHORTEST:g} at least"
        raise StaleError(f"A loop of {loop:g} seconds cannot be made.", why, f"--loop {fits:g}", usage=True)
    if seconds < loop or seconds % loop:
        why = f"{seconds:g} seconds are no whole number of loops of {loop:g}"
        mend = f"--seconds {loop * max(1, math.ceil(seconds / loop)):g}"
        raise StaleError("The last loop would be cut off.", why, mend, usage=True)


@final
class Looped(Screen):
    """A screen of period + JOIN seconds that goes round in `period` seconds, for `seconds`."""

    period: float

    def __init__(self, screen: Screen, period: float, seconds: float) -> None:
        self.screen, self.period, self._seconds = screen, period, seconds
        self.kind, self._turns = screen.kind, round(seconds / period)

    @property
    def seconds(self) -> float:
        """Duration, all turns together."""
        return self._seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures; each turn is made anew, so whoever can repeat takes one turn only."""
        for _ in range(self._turns):
            yield from self._turn(size, fps)

    def _turn(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        count, join = round(self.period * fps), max(1, round(JOIN * fps))
        frames = self.screen.frames(size, fps)
        yield from islice(frames, join, count)
        begun = self.screen.frames(size, fps)
        for i, (end, start) in enumerate(zip(islice(frames, join), begun, strict=False)):
            part = _ease((i + 0.5) / join)
            yield (end + part * (start.astype(np.float32) - end) + 0.5).astype(np.uint8)

    def sound(self, rate: int) -> Iterator[Sound]:
        """Sound, made once and then read from a temporary file."""
        with TemporaryFile() as kept:
            for chunk in self._heard(rate):
                kept.write(np.round(np.clip(chunk, -1, 1) * 32767).astype(np.int16).tobytes())
                yield chunk
            for _ in range(self._turns - 1):
                kept.seek(0)
                while data := kept.read(4 * rate * SEGMENT_SECONDS):
                    yield (np.frombuffer(data, np.int16).reshape(-1, 2) / np.float32(32767)).astype(np.float32)

    def _heard(self, rate: int) -> Iterator[Sound]:
        count, join, at = round(self.period * rate), round(JOIN * rate), 0
        start = np.zeros((0, 2), np.float32)
        for chunk in self.screen.sound(rate):
            first, at = at, at + len(chunk)
            if len(start) < join:
                start = np.concatenate([start, chunk])[:join]
            yield from (piece for piece in (chunk[max(0, join - first) : max(0, count - first)],) if len(piece))
            late = np.arange(max(first, count), min(at, count + join)) - count
            if len(late):
                part = (late[:, None] + 0.5) / join * math.pi / 2  # the two are strangers: their powers add up
                yield (chunk[late + count - first] * np.cos(part) + start[late] * np.sin(part)).astype(np.float32)

    def stills(self, count: int, size: tuple[int, int]) -> Iterator[RGB]:
        """Pictures of one turn."""
        return self.screen.stills(count, size)


def _ease(x: float) -> float:
    return x * x * (3 - 2 * x)


def looped(movie: Movie, loop: float, seconds: float) -> Movie:
    """A movie of loop + JOIN seconds as one that repeats every `loop` seconds, `seconds` long."""
    assert movie.screen is not None
    turns = round(seconds / loop)
    tracks = {name: _track(track, loop, turns) for name, track in movie.tracks.items()}
    return replace(movie, seconds=seconds, screen=Looped(movie.screen, loop, seconds), tracks=tracks)


def _track(track: Track, loop: float, turns: int) -> Track:
    count, join = round(loop * track.rate), round(JOIN * track.rate)
    values = track.values.astype(np.float64)
    if track.sense == "touch":
        values = touch.to_unit(track.values)
    values = np.concatenate([values, np.repeat(values[-1:], max(0, count + join - len(values)), 0)])
    part = np.array([_ease((i + 0.5) / join) for i in range(join)])[:, None]
    turn = np.concatenate([values[join:count], values[count : count + join] * (1 - part) + values[:join] * part])
    once = touch.from_unit(turn) if track.sense == "touch" else turn
    return replace(track, values=np.tile(once.astype(np.float32), (turns, 1)))
