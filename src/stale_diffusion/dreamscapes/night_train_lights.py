"""Lights along the line: towns, farms, street lamps, cars, signals, crossings; each stands at a place of its own.

A light at X metres along the line, Z metres away and h metres up is seen at ((X - way) / Z, (h - EYE) / Z): near ones
fly, far ones stand. What is lit depends on how many lights the scene wants now (the curve life).

Shapes: K lights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.dreamscapes.night_train_ride import NEAREST, TOP_SPEED, way
from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.scene import Event, Stage

EYE = 2.9  # metres from the fields to the eye: a low bank, and the floor of the car
Floats = NDArray[np.floating]
# Linear colours: high-pressure sodium, warm and neutral LED, tungsten windows, television, mercury.
_KINDS = np.array([[1.0, 0.50, 0.10], [1.0, 0.72, 0.40], [0.85, 0.92, 1.0], [1.0, 0.58, 0.24], [0.45, 0.60, 1.0],
                   [0.55, 1.0, 0.80]])  # fmt: skip
_RED, _GREEN, _AMBER, _WHITE = (1.0, 0.05, 0.02), (0.08, 1.0, 0.45), (1.0, 0.45, 0.04), (1.0, 0.93, 0.80)


@dataclass(frozen=True)
class Lights:
    """K lights: slopes, metres away, radius in metres, light (3), and speed across the picture (slope a second)."""

    x: Array
    y: Array
    far: Array
    radius: Array
    light: Array
    speed: Array


def _in_view(stage: Stage, t: float, length: float, reach: float) -> range:
    """The cells of the line, `length` metres each, that lie within `reach` metres of where we are."""
    at = way(stage, t)
    return range(int(np.floor((at - reach - length) / length)), int(np.floor((at + reach + length) / length)) + 1)


def _cells(
    stage: Stage, t: float, tag: int, length: float, far: float, wide: float
) -> list[tuple[int, np.random.Generator]]:
    """The cells of the line that are in view, with a generator each."""
    variant = stage.segment(t).variant
    found = _in_view(stage, t, length, wide * far)
    return [(k, np.random.default_rng([variant, tag, k & 0xFFFFFFFF])) for k in found]


def _shown(life: float, chance: Array) -> Array:
    """How bright lights of these chances are where `life` of them are lit: they fade, so that none pops up."""
    return np.clip((life - chance) / 0.06, 0, 1)


def _row(x: Floats, h: Floats, z: Floats, radius: Floats, light: Floats) -> Array:
    return np.concatenate([np.stack([x, h, z, radius], 1), light], 1)


def _still(
    stage: Stage, t: float, cell: Callable[[int, int], tuple[Array, float]], length: float, reach: float, life: float
) -> list[Array]:
    """Lights that stand where they are, of the cells in view: those whose chance has come shine."""
    variant = stage.segment(t).variant
    rows = []
    for k in _in_view(stage, t, length, reach):
        found, chance = cell(variant, k)
        shown = float(_shown(life, np.array(chance)))
        if shown > 0:
            rows.append(found * np.array([1, 1, 1, 1, shown, shown, shown]))
    return rows


@lru_cache(maxsize=256)
def _town(variant: int, k: int) -> tuple[Array, float]:
    """A cluster of lights kilometres away, on the slope of a hill, (K, 7), and its chance."""
    rng = np.random.default_rng([variant, 1, k & 0xFFFFFFFF])
    n, chance = int(rng.integers(6, 70)), rng.random()
    z = rng.uniform(1500, 5200)
    x = (k + rng.random()) * 1400 + rng.normal(0, 90 + 260 * rng.random(), n)
    h = np.abs(rng.normal(0, 14, n)) + rng.uniform(0, 40)
    kinds = _KINDS[rng.choice(6, n, p=[0.34, 0.26, 0.16, 0.16, 0.02, 0.06])]
    flux = 0.45 * rng.random(n) ** 2.2 + 0.03
    return _row(x, h, np.full(n, z) + rng.normal(0, 100, n), np.full(n, 0.8), kinds * flux[:, None]), chance


@lru_cache(maxsize=256)
def _farm(variant: int, k: int) -> tuple[Array, float]:
    """A farm or hamlet 90 to 700 m away: a yard lamp, some windows."""
    rng = np.random.default_rng([variant, 2, k & 0xFFFFFFFF])
    n, chance = int(rng.integers(1, 6)), rng.random()
    z = float(np.exp(rng.uniform(np.log(90), np.log(700))))
    x = (k + rng.random()) * 170 + rng.normal(0, 14, n)
    h = np.where(rng.random(n) < 0.35, rng.uniform(4, 6, n), rng.uniform(1.2, 2.2, n))
    kinds = _KINDS[rng.choice(6, n, p=[0.14, 0.24, 0.08, 0.46, 0.06, 0.02])]
    return _row(x, h, np.full(n, z), np.full(n, 0.42), kinds * rng.uniform(0.2, 1.2, n)[:, None]), chance


@lru_cache(maxsize=256)
def _suburb(variant: int, k: int) -> tuple[Array, float]:
    """Houses and blocks of a town beside the line, 60 to 260 m away: windows in rows, storeys of 2.9 m."""
    rng = np.random.default_rng([variant, 7, k & 0xFFFFFFFF])
    n, chance, z = int(rng.integers(2, 16)), 0.25 + 0.9 * rng.random(), rng.uniform(60, 260)
    x = (k + rng.random()) * 48 + 3.0 * rng.integers(-4, 5, n)
    h = 1.8 + 2.9 * rng.integers(0, 1 + int(rng.integers(1, 5)), n)
    kinds = _KINDS[rng.choice(6, n, p=[0.04, 0.30, 0.14, 0.44, 0.08, 0.0])]
    return _row(x, h, np.full(n, z), np.full(n, 0.5), kinds * rng.uniform(0.15, 0.8, n)[:, None]), chance


def _streets(stage: Stage, t: float, wide: float, life: float) -> list[Array]:
    """Street lamps every 33 m along stretches of a road, 30 to 110 m away, and the cars on it."""
    rows = []
    for k, rng in _cells(stage, t, 3, 660.0, 110.0, wide + 3):
        chance, z, kind = rng.random(), rng.uniform(30, 110), int(rng.choice([0, 0, 1, 2]))
        n, lit = int(rng.integers(6, 20)), float(_shown(life - 0.22, np.array(chance)))
        x = (k + 0.5) * 660 + (np.arange(n) - n / 2) * 33.0
        rows.append(
            _row(x, np.full(n, 7.0), np.full(n, z), np.full(n, 0.20), np.tile(2.6 * lit * _KINDS[kind], (n, 1)))
        )
        pool = np.tile(0.085 * lit * _KINDS[kind], (n, 1))
        rows.append(_row(x, np.full(n, 0.1), np.full(n, z), np.full(n, -6.0), pool))  # a pool of light, flat
        cars, going = int(rng.integers(0, 4)), rng.choice((-1.0, 1.0))
        for _ in range(cars):
            place = (rng.uniform(-330, 330) + going * rng.uniform(14, 25) * t + 330) % 660 - 330
            seen = float(_shown(life + 0.15, np.array(rng.random()))) * float(np.clip((330 - abs(place)) / 40, 0, 1))
            tint = np.array(_WHITE if going > 0 else _RED) * (1.3 if going > 0 else 0.5) * seen
            rows.append(_row((k + 0.5) * 660 + place + np.array([-0.7, 0.7]), np.full(2, 0.7), np.full(2, z + 4),
                             np.full(2, 0.12), np.tile(tint, (2, 1))))  # fmt: skip
    return rows


def _lineside(stage: Stage, t: float, wide: float, life: float) -> list[Array]:
    """Signals beside the line, platform lamps of stations that are not stopped at, beacons on far masts."""
    rows = []
    for k, rng in _cells(stage, t, 4, 1100.0, 6.0, wide):
        colour = (_GREEN, _RED, _AMBER)[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
        x, h = np.full(1, (k + rng.random()) * 1100), np.full(1, rng.uniform(2.6, 4.2))
        rows.append(_row(x, h, np.full(1, 3.4), np.full(1, 0.09), 2.2 * np.array([colour])))
    for k, rng in _cells(stage, t, 5, 2600.0, 8.0, wide + 20):
        lit, n = float(_shown(life - 0.45, np.array(rng.random()))), 9
        x = (k + 0.5) * 2600 + (np.arange(n) - n / 2) * 24
        kind = _KINDS[int(rng.choice([0, 1, 2, 5]))]
        rows.append(_row(x, np.full(n, 5.2), np.full(n, 7.0), np.full(n, 0.22), np.tile(2.4 * lit * kind, (n, 1))))
    for k, rng in _cells(stage, t, 6, 5200.0, 8000.0, wide):
        blink = 0.5 + 0.5 * np.sin(2 * np.pi * (t / 1.6 + rng.random()))  # ICAO asks for 20 to 60 flashes a minute
        x, h = np.full(1, (k + rng.random()) * 5200), np.full(1, rng.uniform(80, 190))
        rows.append(_row(x, h, np.full(1, rng.uniform(4000, 8000)), np.full(1, 1.0),
                         0.25 * blink**3 * np.array([_RED])))  # fmt: skip
    return rows


def _crossings(stage: Stage, events: list[Event], t: float) -> list[Array]:
    """The two red lamps of a level crossing that blink in turn, and the lamps of the cars that wait."""
    rows = []
    for e in events:
        at = way(stage, e.time) + TOP_SPEED * stage.value("flow", e.time) * NEAREST
        z = 4.0 * 10.0**e.distance
        turn = np.sin(2 * np.pi * 0.8 * (t - e.time))
        both = np.clip(np.array([0.5 + turn, 0.5 - turn]), 0.05, 1) * 1.6
        rows.append(_row(at + np.array([-0.35, 0.35]), np.full(2, 2.6), np.full(2, z), np.full(2, 0.10),
                         both[:, None] * np.array([_RED])))  # fmt: skip
        rows.append(_row(at + np.array([-0.7, 0.7]), np.full(2, 0.75), np.full(2, z + 7), np.full(2, 0.12),
                         np.tile(1.5 * np.array([_WHITE]), (2, 1))))  # fmt: skip
    return rows


def lights(stage: Stage, t: float, wide: float) -> Lights:
    """Every light that may be in view at time t, between slopes -wide and wide."""
    life = stage.value("life", t)
    rows = _still(stage, t, _town, 1400.0, wide * 5200.0, life * 0.8 + 0.30)
    rows += _still(stage, t, _farm, 170.0, wide * 700.0, 0.75 * life + 0.10)
    rows += _still(stage, t, _suburb, 48.0, wide * 260.0, life)
    rows += [row for kind in (_streets, _lineside) for row in kind(stage, t, wide, life)]
    rows += _crossings(stage, stage.events("bell", t - 9, t), t)
    all_ = np.concatenate(rows)
    at, pace = way(stage, t), TOP_SPEED * stage.value("flow", t)
    x, z = (all_[:, 0] - at) / all_[:, 2], all_[:, 2]
    keep = (np.abs(x) < wide + 0.2) & (all_[:, 4:].max(1) > 1e-4)
    a, x, z = all_[keep], x[keep], z[keep]
    return Lights(x, (a[:, 1] - EYE) / z, z, a[:, 3], a[:, 4:], pace / z)
