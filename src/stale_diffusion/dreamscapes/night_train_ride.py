"""How a night train rides: its way along the line, the joints of the rails, the sway, and trains that pass.

Shapes: T ticks, J joints crossed, E events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.scene import Event, Stage

TOP_SPEED = 42.0  # m/s at flow 1: 150 km/h, a fast sleeper
NEAREST = 1.5  # seconds from an event of a crossing or a train to where it is beside the window
_RAILS = (18.3, 20.0, 25.0, 30.0)  # metres a rail: 60 ft in Britain, 20 and 25 m in France and Russia, 30 m in Germany
# Axles from the seat, metres, and how loud they are there: our bogie, the next car's and our far one (wheelbase 2.5 m,
# pivots 19 m apart, as under a UIC-X car; 7.4 m over the buffers between the pivots of two cars).
_AXLES = ((-1.25, 1.0), (1.25, 0.9), (-8.65, 0.36), (-6.15, 0.33), (17.75, 0.16), (20.25, 0.14))


def way(stage: Stage, t: float) -> float:
    """Metres along the line since the movie began."""
    return TOP_SPEED * stage.integral("flow", t)


def speed(stage: Stage, t: Array) -> Array:
    """Metres a second, (T,)."""
    return TOP_SPEED * stage.values("flow", t)


def joints(stage: Stage, since: float, until: float) -> tuple[Array, Array, Array]:
    """The axles that cross a joint in [since, until): times, how hard [0, 1], and number of the joint, each (J,).

    The blow of a wheel at a joint grows with its speed (Thompson 2009, ch. 4).
    """
    grid = np.arange(np.floor(since * 32), np.ceil(until * 32) + 1) / 32
    at = np.array([way(stage, float(s)) for s in grid])
    rng = stage.rng("rails", max(since, stage.start))
    rail, off, worn = _RAILS[int(rng.integers(len(_RAILS)))], float(rng.random()), float(rng.uniform(0.5, 1.0))
    found: list[Array] = []
    for place, share in _AXLES:
        front = (at + place) / rail + off
        number = np.arange(np.floor(front[0]) + 1, np.floor(front[-1]) + 1)
        if not len(number):
            continue
        rising = front + 1e-9 * np.arange(len(front))
        time = np.interp(number, rising, grid)
        v = speed(stage, time) / TOP_SPEED
        uneven = 0.55 + 0.45 * np.abs(np.sin(number * 12.9898 + 78.233 * off))
        found.append(np.stack([time, share * worn * uneven * (0.15 + 0.85 * v) * np.clip(v / 0.05, 0, 1), number]))
    if not found:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    rows = np.concatenate(found, 1)
    rows = rows[:, (rows[0] >= since) & (rows[0] < until)]
    times, loud, numbers = rows[:, np.argsort(rows[0], kind="stable")]
    return times, loud, numbers


def sway(stage: Stage, t: Array) -> Array:
    """How the car body sways, (T,), about [-1, 1] at full speed: its lower and upper roll at 0.7 and 1.1 Hz (Wickens,
    Fundamentals of Rail Vehicle Dynamics, 2003), which a slow train does not excite."""
    v = stage.values("flow", t)
    a, b, c = stage.rng("sway", float(np.min(t))).uniform(0, 6.28, 3)
    beat = 0.6 + 0.4 * np.sin(0.37 * t + c)
    return np.asarray(v * (0.6 * beat * np.sin(2 * np.pi * 0.7 * t + a) + 0.4 * np.sin(2 * np.pi * 1.1 * t + b)))


def train_seconds(e: Event) -> float:
    """How long a passing train is beside the window: its length over the sum of both speeds."""
    return 1.2 + 3.3 * e.strength


def beside(events: Sequence[Event], t: Array) -> Array:
    """How much of a train is beside the window, (T,): nothing before its time, all within 0.3 s of NEAREST / 4."""
    near = np.zeros_like(t)
    for e in events:
        age, end = t - e.time, NEAREST / 4 + train_seconds(e)
        here = np.clip((age - 0.1) / 0.3, 0, 1) * np.clip((end - age) / 0.3, 0, 1)
        near += (0.55 + 0.45 * e.strength) * here * here * (3 - 2 * here)
    return near
