"""Find all damage of a movie: its tracks as they are decoded, what its recipe says that it had, its lanes as bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from stale_diffusion import media
from stale_diffusion.movie import RESERVED, Filmed, Movie
from stale_diffusion.restoring import bits, listening, seeing
from stale_diffusion.restoring.damage import MISSING, ROT, Damage, Findings, merged
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.base import Bits

if TYPE_CHECKING:
    from stale_diffusion.generate import Generator

FELT = ("touch", "smell", "taste")
MADE = ("generated", "derived")  # lanes that the model can judge; what a person wrote may be as unlikely as it likes
LEAST, LEAST_BITS = 0.01, 6  # share and number of flipped bits below which a lane is sound: a lane that was joined at
# its segments' borders, or cut, is no longer quite what its bits said
CUT_SHORT = 1.0  # seconds that a track may end before the movie does


def find(movie: Movie, generator: Generator | None = None, say: Callable[[str], None] = lambda what: None) -> Findings:
    """All damage of a movie that has a file; with a generator, also the bit rot of its lanes.

    Args:
        say: told what is looked at.
    """
    assert isinstance(movie.screen, Filmed)
    probe, path = movie.screen.probe, movie.screen.path
    damages: list[Damage] = []
    blocks: dict[float, seeing.Mask] = {}
    looked: list[str] = []
    if probe.video:
        say("looking at the picture")
        end = _End()
        found, blocks = seeing.look(end.watch(media.read_marks(path)), movie.seconds)
        damages += found + _ends_early("sight", end.at, movie.seconds)
        looked.append("sight")
    track = own_sound(movie.screen)
    if track is not None:
        say("listening to the sound")
        rate, end = probe.audio[track].rate, _End()
        marks = list(end.watch(media.read_marks(path, track)))
        chunks = media.read_sound(path, rate, min(2, probe.audio[track].channels), track=track, max_gap=tight(marks))
        damages += listening.look(marks, chunks, rate) + _ends_early("hearing", end.at, movie.seconds)
        looked.append("hearing")
    damages += _missing(movie, track is not None)
    rates: bits.Rates = {}
    if generator is not None and any(name in movie.tracks for name in FELT):
        say("asking the model about the lanes")
        lanes = encoded(movie)
        rates = bits.estimate(generator, lanes, given=scene_of(movie, lanes))
        damages += _rot(movie, rates)
        looked += [name for name in FELT if name in movie.tracks]
    return Findings(movie.seconds, tuple(merged(damages)), rates, blocks, tuple(looked))


class _End:
    """Remembers when a track ends, as it passes."""

    def __init__(self) -> None:
        self.at = 0.0

    def watch(self, marks: Iterable[media.Marked]) -> Iterator[media.Marked]:
        """The same marks."""
        for mark in marks:
            self.at = max(self.at, float(mark.time + mark.seconds))
            yield mark


def own_sound(screen: Filmed) -> int | None:
    """Index of the first sound track that is the movie's own."""
    return next((i for i, audio in enumerate(screen.probe.audio) if audio.title.lower() not in RESERVED), None)


def tight(marks: list[media.Marked]) -> Fraction:
    """The gap, in seconds, from which a sound is missing: most of a frame, or more where the clock wavers."""
    usual = max((m.seconds for m in marks), default=Fraction(1, 50))
    overlap = max((a.time + a.seconds - b.time for a, b in pairwise(marks)), default=Fraction(0))
    return max(usual * 4 / 5, 2 * overlap, Fraction(1, 250))


def _ends_early(sense: str, end: float, seconds: float) -> list[Damage]:
    return [Damage(sense, MISSING, end, seconds)] if 0 < end < seconds - CUT_SHORT else []


def _missing(movie: Movie, heard: bool) -> list[Damage]:
    """Senses that the recipe says were there, and are not."""
    assert isinstance(movie.screen, Filmed)
    said = set(movie.recipe.senses) if movie.recipe else set()
    if movie.recipe and movie.recipe.picture in ("performed", "painted"):
        said |= {"sight", "hearing"}
    has = {*movie.tracks, *(["sight"] if movie.screen.probe.video else []), *(["hearing"] if heard else [])}
    return [Damage(sense, MISSING, 0.0, movie.seconds) for sense in SENSES if sense in said - has]


def encoded(movie: Movie) -> dict[str, Bits]:
    """The lanes of a movie as bits, {stream: (S, L, D)}; the last segment holds its last value."""
    out: dict[str, Bits] = {}
    for name in FELT:
        if name in movie.tracks:
            values, samples = movie.tracks[name].values, SENSES[name].samples
            segments = -(-len(values) // samples)
            at = np.minimum(np.arange(segments * samples), len(values) - 1)
            out |= SENSES[name].encode(values[at])
    return out


def scene_of(movie: Movie, lanes: dict[str, Bits]) -> dict[str, Bits]:
    """The scene, where the movie brings one that is long enough."""
    count = max((len(b) for b in lanes.values()), default=0)
    return {"scene": movie.scene} if movie.scene is not None and len(movie.scene) >= count else {}


def _rot(movie: Movie, rates: bits.Rates) -> list[Damage]:
    found = []
    for name in FELT:
        if name not in movie.tracks or movie.tracks[name].origin not in MADE:
            continue
        streams = [s for s in SENSES[name].streams if s.name in rates]
        size = sum(s.tokens * s.bits for s in streams)
        for k in range(len(rates[streams[0].name])):
            rate = sum(float(rates[s.name][k]) * s.tokens * s.bits for s in streams) / size
            if rate > LEAST and rate * size > LEAST_BITS:
                start = float(k * SEGMENT_SECONDS)
                found.append(Damage(name, ROT, start, min(start + SEGMENT_SECONDS, movie.seconds), rate))
    return found
