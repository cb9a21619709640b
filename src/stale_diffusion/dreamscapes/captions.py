"""Plots in free words: how people say a place, its strength and its hour, beside what the places' own grammars say.

captions.csv holds phrases: of a place at a strength (weak, mid, strong; `mid` fits any), and of a part of the day.
Titles, tags, half sentences and a few other languages are among them, because a plot is what a person types. They share
no sentence with the places' HELD_OUT_WORDINGS, which judge what was learnt.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.scene import Segment

STRENGTH = {
    "shore": "swell", "rain on glass": "rain", "forest stream": "flow", "campfire": "fire",
    "thunderstorm": "near", "kettle and coffee": "steam", "snowfall": "rain", "night train": "flow",
    "aurora": "light", "meadow": "wind", "bakery oven": "fire", "lighthouse": "steam",
}  # fmt: skip
"""The curve that makes a place weak or strong."""
WEAK, STRONG = 1 / 3, 2 / 3
_TIMED = 0.6  # share of plots that say the hour
_TWICE = 0.2  # share that say the place twice, in other words
_SLIPS = 0.05  # share of plots with a letter too few
_FORMS = ("{what} {when}", "{what}, {when}", "{when}, {what}", "{when}: {what}", "{what} ({when})", "{what}. {when}")


@cache
def phrases() -> dict[tuple[str, str], tuple[str, ...]]:
    """{(place, strength) or ("", part of the day): what may be said of it}."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    text = (files("stale_diffusion") / "dreamscapes/captions.csv").read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        found[row["place"], row["says"]].append(row["words"])
    return {key: tuple(words) for key, words in found.items()}


def strength(segments: Sequence[Segment]) -> str:
    """weak, mid or strong, by the mean of the place's curve, whose range is [0, 4]."""
    place = segments[0].place
    mean = float(np.mean([s.curves.get(STRENGTH[place], (0.0,))[0] / 4 for s in segments]))
    return "weak" if mean < WEAK else "strong" if mean > STRONG else "mid"


def hour(segments: Sequence[Segment]) -> str:
    """night, dawn, day or dusk, as the scene begins."""
    part = part_of_day(float(segments[0].statics["hour"]))
    return part if part in ("night", "dawn", "dusk") else "day"


def free(segments: Sequence[Segment], rng: np.random.Generator) -> str:
    """A plot of a scene of one place, as a person might type it."""
    said = phrases()
    place = segments[0].place
    known = said[place, strength(segments)] + (() if rng.random() < 0.5 else said[place, "mid"])
    what = str(rng.choice(known))
    if rng.random() < _TWICE:
        what = f"{rng.choice(said[place, 'mid'])}, {what}"
    if rng.random() < _TIMED:
        what = str(rng.choice(_FORMS)).format(what=what, when=rng.choice(said["", hour(segments)]))
    if rng.random() < 0.3:
        what = what[0].upper() + what[1:]
    if rng.random() < _SLIPS:
        at = int(rng.integers(1, len(what)))
        what = what[:at] + what[at + 1 :]
    return what
