"""taste.json: the taste of a movie, and what to give a person to taste, when.

No standard for taste exists; this is ours, and `taste.schema.json` says what may be in it. The curves are those of
timeline.json. A serving is a sip: when a taste comes or grows, long enough after the last one to have swallowed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.jsonio import dumps, each, with_list
from stale_diffusion.movie import Movie
from stale_diffusion.senses.taste import TASTES
from stale_diffusion.timeline import chunked_keyframes, within_level

FORMAT = "stale-diffusion taste"
ENTER, LEAVE = 0.12, 0.06  # a taste is there; it is gone
CLEAR, STRONG = 0.35, 0.65  # levels from which a taste is clear, and strong
STRENGTHS = ("faint", "clear", "strong")
APART = 15.0  # seconds from one serving to the next: to sip, taste and swallow
AGAIN = 45.0  # seconds after which a taste that stays is served again
AHEAD = 4.0  # seconds in which a taste that comes is still growing: it is served as strong as it becomes
SPOON = 5  # millilitres

# What is in the cup of each taste and strength, for 100 millilitres; all but water is measured in a kitchen.
CUPS: dict[str, dict[str, str]] = {
    "sweet": {
        "faint": "1 teaspoon of honey in 100 ml of warm water",
        "clear": "2 tablespoons of honey in 100 ml of warm water",
        "strong": "honey as it is, on the tip of a spoon",
    },
    "sour": {
        "faint": "1 teaspoon of lemon juice in 100 ml of water",
        "clear": "2 tablespoons of lemon juice in 100 ml of water",
        "strong": "lemon juice as it is, a few drops",
    },
    "salty": {
        "faint": "a pinch of salt (0.5 g) in 100 ml of water",
        "clear": "1/4 teaspoon of salt (1.5 g) in 100 ml of water",
        "strong": "1/2 teaspoon of salt (3 g) in 100 ml of water, as the sea",
    },
    "bitter": {
        "faint": "1 tablespoon of black coffee in 100 ml of water",
        "clear": "black coffee and water, half and half",
        "strong": "strong black coffee, without sugar",
    },
    "umami": {
        "faint": "1/2 teaspoon of miso in 100 ml of hot water",
        "clear": "1 teaspoon of miso in 100 ml of hot water",
        "strong": "1 tablespoon of miso in 100 ml of hot water",
    },
}


@dataclass(frozen=True)
class Serving:
    """A sip: seconds from the start, what it tastes of, and how strongly."""

    start: float
    taste: str
    strength: str


def stream(movie: Movie) -> Iterator[str]:
    """The taste of a movie as text, in pieces."""
    track = movie.taste
    head = {"format": FORMAT, "version": 1, "title": movie.title, "seconds": round(movie.seconds, 3),
            "origin": track.origin, "unit": "0 nothing, 1 as strong as food gets"}  # fmt: skip
    yield dumps(head)[:-1] + ',"tastes":{'
    for c, name in enumerate(track.channels):
        yield ("," if c else "") + f'"{name}":['
        rounded, slack = within_level(name, track.values[:, c])
        for k, (_, at, values) in enumerate(chunked_keyframes(rounded, slack)):
            times = np.round(at / float(track.rate), 6).tolist()
            yield ("," if k else "") + dumps([list(pair) for pair in zip(times, values.tolist(), strict=True)])[1:-1]
        yield "]"
    yield "},"
    planned = servings(movie)
    entries = ({"start": s.start, "taste": s.taste, "strength": s.strength} for s in planned)
    cups = sorted({(s.taste, s.strength) for s in planned}, key=_order)
    prepared = [{"taste": taste, "strength": strength, "recipe": CUPS[taste][strength]} for taste, strength in cups]
    yield from _rest({"cups": prepared}, entries)
    yield "\n"


def _rest(record: dict[str, Any], entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    first, *others = with_list(record, "servings", each(entries))
    yield first[1:]
    yield from others


def _order(cup: tuple[str, str]) -> tuple[int, int]:
    return TASTES.index(cup[0]), STRENGTHS.index(cup[1])


def servings(movie: Movie) -> list[Serving]:
    """What to give, in order of time: the strongest of what comes or grows, at least APART seconds apart."""
    track, rate = movie.taste, float(movie.taste.rate)
    values = track.values.astype(np.float64)
    found: list[Serving] = []
    told = np.full(values.shape[1], -1)  # the strength last served while the taste stayed; -1: none
    when = np.full(values.shape[1], -AGAIN)
    for i in range(len(values)):
        time = i / rate
        told[values[i] < LEAVE] = -1
        if time > movie.seconds - 2 or (found and time - found[-1].start < APART):
            continue
        coming = values[i : i + max(1, int(AHEAD * rate))].max(axis=0)
        level = _strength(np.minimum(coming, values[i] + 0.3))
        due = (values[i] >= ENTER) & ((level > told) | (time - when >= AGAIN))
        if due.any():
            c = int(np.where(due, values[i], -1.0).argmax())
            found.append(Serving(time, track.channels[c], STRENGTHS[level[c]]))
            told[c], when[c] = level[c], time
    return found


def _strength(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index into STRENGTHS of each level."""
    return (values >= CLEAR).astype(np.int64) + (values >= STRONG)
