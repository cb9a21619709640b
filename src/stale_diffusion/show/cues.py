"""What every effect of a patch does in a movie: looked up by position while it plays, or listed as cues, or as CSV.

Shapes: T samples of a track, E effects.
"""

from __future__ import annotations

import csv
import heapq
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from stale_diffusion.movie import Movie
from stale_diffusion.show.limits import Limiter
from stale_diffusion.show.patch import FULL, Effect, load_patch

BLOCK = 2**16  # samples of a track whose changes are listed at once


@dataclass(frozen=True)
class Cue:
    """One change of one effect.

    Args:
        seconds: when it is sent on the movie's clock, the device's latency taken off.
        index: of the effect, in `Programme.effects`.
        level: 0 to 255.
    """

    seconds: float
    index: int
    level: int


@final
class Programme:
    """The levels of those effects of a patch that the movie has a track for.

    Sample i of a track holds from i / rate on, less the latency; before the first and after the last an effect is off.
    """

    def __init__(self, movie: Movie, patch: Sequence[Effect]) -> None:
        has = [e for e in patch if e.sense in movie.tracks and e.channel in movie.tracks[e.sense].channels]
        tracks = [movie.tracks[e.sense] for e in has]
        self.effects = tuple(has)
        self.seconds = movie.seconds
        # a byte a sample and effect: nine hours of the whole default patch are 11 MB; the 0 is what follows the end
        self._levels = [
            np.append(e.levels(t.channel(e.channel)), np.uint8(0)) for e, t in zip(has, tracks, strict=True)
        ]
        self._rate = np.array([float(t.rate) for t in tracks])
        self._latency = np.array([e.latency for e in has])
        self._last = np.array([len(levels) - 1 for levels in self._levels])

    def at(self, position: float) -> list[int]:
        """Levels (E,) to be sent at a position in seconds."""
        at = np.clip(np.floor((position + self._latency) * self._rate), 0, self._last).astype(int).tolist()
        return [int(levels[i]) for levels, i in zip(self._levels, at, strict=True)]

    def after(self, position: float) -> float:
        """The next position at which a sample of any effect begins; at the latest the end of the movie."""
        if not self.effects:
            return self.seconds
        i = np.floor((position + self._latency) * self._rate + 1e-9)
        return min(float(((i + 1) / self._rate - self._latency).min()), self.seconds)

    def cues(self) -> Iterator[Cue]:
        """Every change, limits and all, of a performance from beginning to end, in order of time."""
        streams = (self._changes(e) for e in range(len(self.effects)))
        yield from heapq.merge(*streams, key=lambda cue: (cue.seconds, cue.index))

    def _changes(self, e: int) -> Iterator[Cue]:
        limiter, told, wanted = Limiter(self.effects[e]), 0, 0
        for time, level in self._wishes(e):
            while (due := limiter.due()) < time:
                allowed = limiter(wanted, due)
                if allowed != told:
                    yield Cue(due, e, allowed)
                told = allowed
            wanted, allowed = level, limiter(level, time)
            if allowed != told:
                yield Cue(time, e, allowed)
            told = allowed

    def _wishes(self, e: int) -> Iterator[tuple[float, int]]:
        """(time, level) of an effect without its limit on time."""
        levels, rate, latency = self._levels[e], float(self._rate[e]), float(self._latency[e])
        first = min(math.floor(latency * rate), len(levels) - 1)
        yield 0.0, int(levels[first])
        for start in range(first, len(levels) - 1, BLOCK):
            block = levels[start : start + BLOCK + 1]
            for i in (np.flatnonzero(np.diff(block)) + start + 1).tolist():
                time = i / rate - latency
                if time >= self.seconds:
                    break
                yield time, int(levels[i])
        yield self.seconds, 0


def stream(movie: Movie, patch: Sequence[Effect] | None = None) -> Iterator[str]:
    """The cues as CSV, a line at a time; without a patch by the one that ships."""
    programme = Programme(movie, load_patch(None) if patch is None else patch)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("seconds", "effect", "sense", "channel", "osc", "dmx", "level", "dmx_value"))
    for cue in programme.cues():
        e = programme.effects[cue.index]
        level = f"{cue.level / FULL:.4f}"
        rows.writerow((f"{cue.seconds:.4f}", e.name, e.sense, e.channel, e.osc, e.dmx, level, cue.level))
        if text.tell() > 2**16:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()
