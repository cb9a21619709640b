"""Scenes for tests: steady ones with the events that a test is about, and drawn ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from stale_diffusion.dreamscapes.place import Place, View
from stale_diffusion.scene import Event, Segment, Stage, decode, encode, fit_curve


def steady(
    place: Place, levels: dict[str, float], events: tuple[Event, ...], variant: int, **statics: float
) -> list[Segment]:
    """Two segments with constant curves and the other statics of a drawn scene; the events are in the first."""
    first = place.draw(np.random.default_rng(3), 1)[0]
    curves = {name: fit_curve(np.full(16, level)) for name, level in levels.items()}
    calm = replace(first, variant=variant, curves=curves, statics={**first.statics, **statics}, events=())
    return [replace(calm, events=events), calm]


def bare(place: Place, levels: dict[str, float], events: tuple[Event, ...], **statics: float) -> Stage:
    """Three segments with constant curves and these statics only; the events are in the first."""
    curves = {name: fit_curve(np.full(16, level)) for name, level in levels.items()}
    segment = Segment(place.name, place.name, 7, statics, curves)
    return Stage([replace(segment, events=events), segment, segment])


def drawn(place: Place, seed: int, segments: int = 3) -> Stage:
    """A scene of a place's climate, as its bits keep it."""
    return Stage(decode(encode(place.draw(np.random.default_rng(seed), segments))))


def two_sizes(place: Place, stage: Stage, t: float) -> tuple[Tensor, Tensor]:
    """A picture at 160 x 96, and at 320 x 192 with its pixels averaged two by two, each (96, 160, 3)."""
    small, large = (place.picture(stage, t, View.whole(160 * k, 96 * k)) for k in (1, 2))
    return small, large.unflatten(0, (96, 2)).unflatten(2, (160, 2)).mean((1, 3))
