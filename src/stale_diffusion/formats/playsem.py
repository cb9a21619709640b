"""JSON of Python_PlaySEM: one effect a line, each with its time, duration and strength in whole numbers.

Its player starts an effect and never ends it, so an effect that nothing follows is followed by one of intensity 0.
Light has a left and a right. `temperature`, `spraying` and `fog` are read and passed on to a device that is configured
for them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import numpy as np

from stale_diffusion.formats import ambient, sem
from stale_diffusion.formats.notes import notes
from stale_diffusion.formats.sem import Effect
from stale_diffusion.jsonio import each, with_list
from stale_diffusion.movie import Movie


def stream(movie: Movie) -> Iterator[str]:
    """The effects of a movie as Python_PlaySEM reads them, in pieces."""
    colours = ambient.light(movie)
    sides = [sem.lights(colours[:, i], movie.seconds, side) for i, side in enumerate(("left", "right"))]
    effects = heapq.merge(*map(_timed, [*sem.lanes(movie), *sides]), key=lambda effect: effect["timestamp"])
    head = {"metadata": {"title": movie.title, "duration": round(movie.seconds * 1000)}}
    yield from with_list(head, "effects", each(effects))
    yield "\n"


def _timed(lane: Iterator[Effect]) -> Iterator[dict[str, Any]]:
    """On and off as one effect with a duration; off comes out by itself where nothing follows at once."""
    ended: Effect | None = None
    for on in lane:
        off = next(lane)
        if ended is not None and ended.seconds < on.seconds:
            yield _effect(ended, 0)
        yield _effect(on, max(1, round(off.seconds * 1000) - round(on.seconds * 1000)))
        ended = off
    if ended is not None:
        yield _effect(ended, 0)


def _effect(effect: Effect, duration: int) -> dict[str, Any]:
    strength = 0.0 if effect.intensity is None else (effect.intensity - effect.low) / (effect.high - effect.low) * 100
    parameters: dict[str, Any] = {}
    if effect.name:
        parameters["scent"] = notes()[effect.name].scent
    if effect.colour:
        shown = ambient.hexadecimal(np.array(effect.colour))
        parameters |= {"color": shown, "rgb": [int(shown[i : i + 2], 16) for i in (1, 3, 5)]}
    if effect.kind == "Temperature" and effect.intensity is not None:
        parameters["temperature"] = round(effect.intensity)
    if effect.kind == "Vibration" and duration:
        parameters["duration"] = duration
    return {
        "effect_type": effect.kind.lower(),
        "timestamp": round(effect.seconds * 1000),
        "duration": duration,
        "intensity": round(strength),
        "location": effect.location or "everywhere",
        "parameters": parameters,
    }
