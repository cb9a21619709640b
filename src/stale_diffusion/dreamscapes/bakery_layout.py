"""What a variant decides about a bakery: which oven, what is baked, where loaves rest, light and materials.

World: x right, y up, z away, metres; the oven's floor is y = 0, its face z = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

EYE = (0.0, 0.47, -2.05)
FOCAL = 2.35
HORIZON = 0.30
MARGIN = 1.06
TABLE = -0.13  # the counter's height
DEEP = 1.1  # of the oven, metres

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Loaf:
    """An ellipsoid of bread: where its foot is, its half axes, its turn about the vertical."""

    x: float
    y: float
    z: float
    long: float
    tall: float
    wide: float
    turn: float
    seed: float


@dataclass(frozen=True)
class Layout:
    """What a variant decides."""

    brick: bool
    sweet: bool
    side: float  # the window is on this side, -1 or 1
    lamp: Vector
    shade: bool  # a copper lamp is seen
    mouth: tuple[float, float]  # half the width and the height of an opening
    decks: tuple[float, ...]  # the floors of the openings
    baking: tuple[Loaf, ...]
    resting: tuple[Loaf, ...]
    wood: Vector
    wall: Vector
    tone: Vector  # of the bricks or of the steel
    seed: int
    sun: Vector


_WOODS = ((0.32, 0.19, 0.10), (0.42, 0.29, 0.17), (0.20, 0.115, 0.062), (0.36, 0.24, 0.14), (0.50, 0.48, 0.44))
_WALLS = ((0.55, 0.50, 0.42), (0.48, 0.49, 0.47), (0.58, 0.47, 0.34), (0.36, 0.34, 0.31))
_BRICKS = ((0.30, 0.125, 0.075), (0.36, 0.20, 0.12), (0.24, 0.13, 0.095), (0.42, 0.33, 0.24), (0.22, 0.19, 0.175))
_STEELS = ((0.40, 0.405, 0.41), (0.30, 0.29, 0.28), (0.055, 0.052, 0.05), (0.12, 0.16, 0.15))


def _row(rng: np.random.Generator, brick: bool, sweet: bool, half: float, floor: float, z: float) -> list[Loaf]:
    """A row of loaves or buns across the oven."""
    long = rng.uniform(0.052, 0.066) if sweet else rng.uniform(0.095, 0.135)
    gap, out = 2.25 * long, []
    n = int(2 * half * 0.9 / gap)
    for i in range(n):
        x = (i - (n - 1) / 2) * gap + rng.normal(0, 0.006)
        size = long * rng.uniform(0.93, 1.06)
        tall = size * (rng.uniform(0.70, 0.85) if sweet else rng.uniform(0.62, 0.80))
        wide = size * (1.0 if sweet else rng.uniform(0.85, 1.25))
        out.append(Loaf(x, floor, z + rng.normal(0, 0.012), size, tall, wide, rng.normal(0, 0.25), rng.random()))
    return out


@lru_cache(maxsize=64)
def layout(variant: int) -> Layout:
    """Where things are and what they are made of, by variant."""
    rng = np.random.default_rng([variant, 71])
    brick, sweet, side = variant >= 32768, bool(variant >> 14 & 1), 1.0 if variant >> 13 & 1 else -1.0
    mouth = (rng.uniform(0.40, 0.50), rng.uniform(0.36, 0.44)) if brick else (rng.uniform(0.60, 0.70), 0.235)
    decks = (0.0,) if brick else (0.0, 0.43)
    baking: list[Loaf] = []
    for floor in decks:
        for z in (0.62, 0.40, 0.19) if not brick else (0.52, 0.24):
            half = mouth[0] * (1.25 if brick else 1.05)
            baking += [
                b for b in _row(rng, brick, sweet, half, floor, z) if not (brick and b.x * side < -0.18 and z > 0.3)
            ]
    resting: list[Loaf] = []
    corner = -side * rng.uniform(0.42, 0.60)
    for _ in range(int(rng.integers(6, 14))):
        size = rng.uniform(0.055, 0.068) if sweet else rng.uniform(0.11, 0.145)
        at = corner + rng.normal(0, 0.17), rng.uniform(-0.86, -0.40)
        if all(math.hypot(at[0] - b.x, at[1] - b.z) > 1.5 * size for b in resting):
            resting.append(Loaf(at[0], TABLE, at[1], size, size * 0.72, size * (1 if sweet else 0.72),
                                rng.uniform(-0.9, 0.9), rng.random()))  # fmt: skip
    tones = _BRICKS if brick else _STEELS
    sun = np.array([side * rng.uniform(0.75, 1.0), rng.uniform(0.45, 0.75), -rng.uniform(0.25, 0.5)])
    sun /= np.linalg.norm(sun)
    return Layout(
        brick, sweet, side, (side * rng.uniform(0.45, 0.75), rng.uniform(0.75, 0.85), rng.uniform(-0.95, -0.75)),
        bool(variant >> 12 & 1), mouth, decks, tuple(baking), tuple(resting), _WOODS[int(rng.integers(len(_WOODS)))],
        _WALLS[int(rng.integers(len(_WALLS)))], tones[int(rng.integers(len(tones)))], variant % 997 * 10,
        (float(sun[0]), float(sun[1]), float(sun[2])),
    )  # fmt: skip


def project(x: float, y: float, z: float) -> tuple[float, float]:
    """Where a point of the world is on the plate's plane."""
    s = FOCAL / (z - EYE[2])
    return x * s, HORIZON + (y - EYE[1]) * s


def rgb(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
