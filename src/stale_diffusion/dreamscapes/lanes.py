"""What the places share in drawing events and in turning them into lanes: point processes, envelopes, columns.

Shapes: S segments, T ticks, E events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve
from stale_diffusion.senses.base import SEGMENT_SECONDS
from stale_diffusion.senses.smell import NOTES


def between(low: float, high: float, x: Array | float) -> Array:
    """0 below low, 1 above high, smooth between (low > high turns it round)."""
    s = np.clip((np.asarray(x, float) - low) / (high - low), 0, 1)
    return np.asarray(s * s * (3 - 2 * s))


def happens(rng: np.random.Generator, rate: Array) -> Array:
    """Times of a Poisson process, seconds; `rate` (16,) is in events a second at 4 Hz."""
    counts = rng.poisson(np.clip(rate, 0, None) / 4)
    return (np.repeat(np.arange(16), counts) + rng.random(int(counts.sum()))) / 4


def happenings(rng: np.random.Generator, kind: str, rate: Array, weak: float) -> list[tuple[int, Event]]:
    """A point process with `rate` events a second, (S, 16) at 4 Hz: (segment, event); strengths are Beta(1.6, weak)."""
    found = []
    for s, tick in zip(*np.nonzero(rng.random(rate.shape) < rate / 4), strict=True):
        time = float(min((tick + rng.random()) / 4, 3.99))
        event = Event(kind, time, float(rng.beta(1.6, weak)), float(rng.uniform(-1, 1)), float(rng.random()))
        found.append((int(s), event))
    return found


def assembled(
    place: str,
    variant: int,
    statics: Sequence[Mapping[str, float]],
    curves: Mapping[str, Array],
    happened: Sequence[tuple[int, Event]],
    first: Sequence[str] = (),
) -> list[Segment]:
    """Segments from their statics (S,), curves (S, 16) and events (segment, event).

    Args:
        first: kinds of events that stay where there are too many; the strongest of the others stay beside them.
    """
    out = []
    for s, at in enumerate(statics):
        mine = sorted((e for i, e in happened if i == s), key=lambda e: (e.kind not in first, -e.strength))[:SLOTS]
        fitted = {name: fit_curve(samples[s]) for name, samples in curves.items()}
        out.append(Segment(place, place, variant, at, fitted, tuple(sorted(mine, key=lambda e: e.time))))
    return out


def gusty(wind: Array, events: Sequence[Event]) -> Array:
    """The wind of a segment, (16,), with what its gusts add."""
    for e in events:
        if e.kind == "gust":
            after = (np.arange(16) + 0.5) / 4 - e.time
            wind = np.clip(wind + 0.3 * e.strength * np.exp(-((after - 0.8) ** 2) / 1.2), 0, 1)
    return wind


def pulse(since: Array, attack: Array | float, decay: Array | float) -> Array:
    """An envelope that rises in `attack` seconds and falls by e in `decay`, 0 before it begins."""
    s = np.maximum(since, 0)
    return np.asarray((1 - np.exp(-s / attack)) * np.exp(-s / decay) * (since > 0))


def recent(stage: Stage, kind: str, t: Array, memory: float) -> tuple[Array, Array, Array]:
    """Times, strengths and distances, each (E, 1), of the events of the last `memory` seconds before times t."""
    found = stage.events(kind, float(t[0]) - memory, float(t[-1]) + 1e-6)
    rows = np.array([(e.time, e.strength, e.distance) for e in found]).reshape(-1, 3)
    return rows[:, :1], rows[:, 1:2], rows[:, 2:]


def pulses(stage: Stage, kind: str, t: Array, attack: float, decay: float) -> Array:
    """The sum over events of strength x (1 - exp(-s/attack)) x exp(-s/decay), (T,)."""
    events = stage.events(kind, float(t.min()) - 8 * decay, float(t.max()) + 1e-6)
    since = t[None] - np.array([e.time for e in events]).reshape(-1, 1)
    strength = np.array([e.strength for e in events]).reshape(-1, 1)
    s = np.maximum(since, 0)
    return np.asarray((strength * -np.expm1(-s / attack) * np.exp(-s / decay)).sum(0))


def envelope(events: Sequence[Event], t: Array, attack: float, decay: float, spreading: float = 0.0) -> Array:
    """Sum of strengths, each with an exponential attack and decay in seconds, (T,).

    Args:
        spreading: 1 divides each strength by 1 + distance, 0 does not.
    """
    if not events:
        return np.zeros_like(t)
    age = np.maximum(t[:, None] - np.array([e.time for e in events]), 0)
    weights = np.array([e.strength / (1 + spreading * e.distance) for e in events])
    return np.asarray((1 - np.exp(-age / attack)) * np.exp(-age / decay) @ weights)


def slow(read: Callable[[float], float], t: Array) -> Array:
    """Something slow at many times, (T,): read four times a second, on the movie's clock, and interpolated."""
    knots = np.arange(np.floor(t.min() * 4), np.ceil(t.max() * 4) + 1) / 4
    return np.interp(t, knots, [read(s) for s in knots.tolist()])


def constant(stage: Stage, t: Array, read: Callable[[Segment], float]) -> Array:
    """A number that each segment decides by itself (mostly by its variant) at many times, (T,)."""
    index = np.clip((t - stage.start) // SEGMENT_SECONDS, 0, len(stage.segments) - 1).astype(int)
    return np.asarray(np.array([float(read(s)) for s in stage.segments])[index])


def felt(seat: Array, back: Array, hertz: Array, celsius: Array, wind: Array) -> Array:
    """The five columns of touch, (T, 5), in range (the temperature is left as it is)."""
    columns = [np.clip(seat, 0, 1), np.clip(back, 0, 1), np.clip(hertz, 20, 300), celsius, np.clip(wind, 0, 20)]
    return np.stack(columns, -1)


def released(strengths: Mapping[str, Array], ticks: int) -> Array:
    """The notes that are released, by name, (T, 24), clipped to [0, 1]."""
    out = np.zeros((ticks, len(NOTES)))
    for note, strength in strengths.items():
        out[:, NOTES.index(note)] = np.clip(strength, 0, 1)
    return out
