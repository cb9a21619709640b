"""Houses, lamps and churches for winter plates: boxes under snow, in true perspective, with lit windows.

World: x right, y up, z ahead, metres, the eye at (0, EYE, 0); slopes are x / z and (y - EYE) / z.

Shapes: H rows, W columns, P corners of a polygon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.dreamscapes.winter import SNOW, Canvas

EYE = 1.8
_WALLS = ((0.085, 0.050, 0.030), (0.170, 0.034, 0.024), (0.280, 0.190, 0.085), (0.36, 0.34, 0.31), (0.13, 0.10, 0.075))
"""Albedo: dark logs, falu red, ochre, lime plaster, grey boards."""


@dataclass(frozen=True)
class Lamp:
    """A window or a street lamp as a light: where it is, where it faces (0, 0 all round), how strong."""

    x: float
    y: float
    z: float
    toward: tuple[float, float]
    power: float


@dataclass(frozen=True)
class House:
    """A house on its ground: metres, `turn` in radians from facing us."""

    x: float
    z: float
    wide: float
    deep: float
    wall: float
    roof: float
    turn: float
    seed: int

    def at(self, a: float, y: float, b: float) -> Array:
        """A corner in the world: a to its right, y up, b behind its front, from the middle of its front."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.array([self.x + a * c - b * s, y, self.z + a * s + b * c])

    def seen_side(self) -> int:
        """Which of its long walls can be seen: -1 left, 1 right, 0 neither."""
        for side in (-1, 1):
            out = self.at(side, 0, 0) - self.at(0, 0, 0)
            if float(out @ self.at(side * self.wide / 2, 0, self.deep / 2)) < 0:
                return side
        return 0


def slopes(points: Array) -> Array:
    """Points of the world (P, 3) in the picture, (P, 2)."""
    return np.stack([points[:, 0] / points[:, 2], (points[:, 1] - EYE) / points[:, 2]], 1)


def polygon(c: Canvas, points: Array) -> tuple[Canvas, Tensor] | None:
    """The box of a convex polygon in slopes (P, 2), and how far inside it each pixel is, in u and v."""
    part = c.box(points[:, 0].min(), points[:, 0].max(), points[:, 1].min(), points[:, 1].max())
    if part is None:
        return None
    after = np.roll(points, -1, 0)
    area = float((points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]).sum())
    inside = torch.full((part.v.shape[0], part.u.shape[1]), 9.0)
    for (x0, y0), (x1, y1) in zip(points.tolist(), after.tolist(), strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        if length < 1e-9:
            continue
        distance = ((x1 - x0) * (part.v - y0) - (y1 - y0) * (part.u - x0)) / length
        inside = torch.minimum(inside, distance if area > 0 else -distance)
    return part, inside


def _quad(c: Canvas, corners: Array, colour: tuple[float, ...], open_: float, far: float, glow: float = 0.0) -> None:
    found = polygon(c, slopes(corners))
    if found is not None:
        part, inside = found
        part.cover(part.edge(inside), colour, open_, far, glow)


def _wall(c: Canvas, house: House, ends: Array, gable: float, light: float) -> None:
    """A wall between two corners of the house, (2, 2) of (a, b); boards or logs run along it."""
    low = np.stack([house.at(a, 0.0, b) for a, b in ends])
    high = np.stack([house.at(a, house.wall, b) for a, b in ends])
    corners = [low[0], low[1], high[1], high[0]]
    if gable:
        corners.insert(3, house.at(float(ends[:, 0].mean()), house.wall + house.roof, float(ends[:, 1].mean())))
    found = polygon(c, slopes(np.stack(corners)))
    if found is None:
        return
    part, inside = found
    (x0, _, z0), (x1, _, z1) = low
    s = ((part.u * z0 - x0) / ((x1 - x0) - part.u * (z1 - z0))).clamp(-0.1, 1.1)
    z = z0 + s * (z1 - z0)
    up = EYE + part.v * z
    board = 0.24
    pixel = part.pixel * float(z0)
    q = up / board - torch.floor(up / board)
    fade = float(np.clip(1.2 - 2.5 * pixel / board, 0, 1))
    groove = 1 - 0.45 * fade * smoothstep(0.80, 1.0, q) - 0.25 * fade * smoothstep(0.25, 0.0, q)
    grain = sample(texture(401, 256, 1.0), s * 1.7 + 0.13 * house.seed, up * 0.9 + 0.31 * torch.floor(up / board))
    tone = groove * (1 + 0.14 * grain) * (0.75 + 0.25 * smoothstep(0.0, 1.0, up))
    under = 1 - 0.45 * smoothstep(0.6, 0.0, house.wall - up) * (0 if gable else 1)
    rime = smoothstep(0.35, 0.0, up + 0.10 * grain) * 0.9  # snow blown against the foot
    base = _WALLS[house.seed % len(_WALLS)]
    colour = [w * tone + rime * (s_ - w * tone) for w, s_ in zip(base, SNOW, strict=True)]
    part.cover(part.edge(inside), colour, light * under, float(z0))


def _window(c: Canvas, house: House, at: tuple[float, float, float], along: tuple[float, float], size: float,
            lit: float, lamps: list[Lamp]) -> None:  # fmt: skip
    """A window at (a, y, b) of a wall that runs along (da, db): frame, two by two panes, snow on the sill."""
    a, y, b = at
    da, db = along
    w, h = 0.5 * size, 0.62 * size

    def rect(left: float, right: float, low: float, high: float) -> Array:
        return np.stack([house.at(a + s * da, y + k, b + s * db)
                         for s, k in ((left, low), (right, low), (right, high), (left, high))])  # fmt: skip

    middle = house.at(a, y, b)
    far = float(middle[2]) - 0.05
    _quad(c, rect(-w - 0.09, w + 0.09, -h - 0.09, h + 0.09), (0.30, 0.28, 0.25), 0.5, far)
    found = polygon(c, slopes(rect(-w, w, -h, h)))
    if found is not None:
        part, inside = found
        v = (EYE + part.v * far - y) / h  # -1 at the sill, 1 above
        u = (part.u * far - float(middle[0])) / w
        curtain = smoothstep(0.45, 0.95, u.abs() + 0.12 * v)
        ceiling = torch.exp(-(((v - 0.45) / 0.7) ** 2) - (u / 1.4) ** 2)
        glow = lit * (0.45 + 0.85 * ceiling) * (1 - 0.45 * curtain)
        part.cover(part.edge(inside), (0.02, 0.022, 0.026), 0.5, far, glow)
    for bar in (rect(-0.035, 0.035, -h, h), rect(-w, w, 0.10, 0.17)):
        _quad(c, bar, (0.28, 0.26, 0.23), 0.45, far, 0.05 * lit)
    _quad(c, rect(-w - 0.12, w + 0.12, -h - 0.16, -h - 0.02), SNOW, 0.85, far)
    if lit > 0.1:
        normal = house.at(db, 0, -da) - house.at(0, 0, 0)
        if normal[0] * middle[0] + normal[2] * middle[2] > 0:
            normal = -normal
        lamps.append(Lamp(float(middle[0]), y, float(middle[2]), (float(normal[0]), float(normal[2])), lit * size))


def _roof(c: Canvas, house: House, side: int, snow: float) -> None:
    """One slope of the roof under its snow: eaves, ridge, thickness."""
    a, over = house.wide / 2, 0.45
    eave, drop = side * (a + over), house.roof * over / a
    front, back = -over, house.deep + over
    ridge_y, eave_y = house.wall + house.roof, house.wall - drop
    far = float(house.at(0, 0, house.deep / 2)[2])
    under = [house.at(eave, eave_y, front), house.at(0, ridge_y, front), house.at(0, ridge_y, back),
             house.at(eave, eave_y, back)]  # fmt: skip
    _quad(c, np.stack(under), (0.05, 0.045, 0.04), 0.3, far)
    top = [p + np.array([0, snow * (0.8 if i in (0, 3) else 1.0), 0]) for i, p in enumerate(under)]
    found = polygon(c, slopes(np.stack(top)))
    if found is not None:
        part, inside = found
        soft = sample(texture(402, 256, 1.6), part.u * 2.1 + 0.17 * house.seed, part.v * 2.1)
        light = 0.92 + 0.05 * soft - 0.12 * smoothstep(0.5 / far, 0.0, inside)
        part.cover(part.edge(inside + 0.05 / far * soft), SNOW, light, far)
    for i, j, shade in ((0, 1, 0.62), (0, 3, 0.50)):  # the thickness seen from the front and along the eaves
        edge = np.stack([under[i], under[j], top[j], top[i]])
        found = polygon(c, slopes(edge))
        if found is not None:
            part, inside = found
            soft = sample(texture(402, 256, 1.4), part.u * 3.3 + 0.11 * house.seed, part.v * 3.3)
            part.cover(part.edge(inside + 0.03 / far * soft), SNOW, shade, far)


def house(c: Canvas, h: House, lit: float, snow: float, lamps: list[Lamp]) -> tuple[float, float, float]:
    """Paint a house; add its lit windows to `lamps`; where its chimney's mouth is, (x, y, z)."""
    rng, a = np.random.default_rng([h.seed, 41]), h.wide / 2
    seen = h.seen_side()
    near = seen or 1
    _roof(c, h, -near, snow)
    _wall(c, h, np.array([[-a, 0.0], [a, 0.0]]), 1.0, 0.62)
    if seen:
        _wall(c, h, np.array([[near * a, 0.0], [near * a, h.deep]]), 0.0, 0.50)
    floors = 2 if h.wall > 4 else 1
    for floor in range(floors):
        y = 1.55 + 2.7 * floor
        for k in range(2 if h.wide < 7 else 3):
            at = (k - (0.5 if h.wide < 7 else 1.0)) * h.wide / (2.3 if h.wide < 7 else 3.2)
            power = lit * float(rng.choice([0.0, 0.7, 1.0], p=[0.22, 0.3, 0.48]))
            _window(c, h, (at, y, -0.02), (1.0, 0.0), 0.95, power, lamps)
        for k in range(max(2, int(h.deep / 3)) if seen else 0):
            b = (k + 0.5) * h.deep / max(2, int(h.deep / 3))
            power = lit * float(rng.choice([0.0, 0.7, 1.0], p=[0.3, 0.3, 0.4]))
            _window(c, h, (near * (a + 0.02), y, b), (0.0, 1.0), 0.9, power, lamps)
    if h.roof > 1.6:
        _window(c, h, (0.0, h.wall + 0.42 * h.roof, -0.02), (1.0, 0.0), 0.62, lit * float(rng.random() < 0.6), lamps)
    _roof(c, h, near, snow)
    return _chimney(c, h, near, snow)


def _chimney(c: Canvas, h: House, near: int, snow: float) -> tuple[float, float, float]:
    """A chimney on the near slope, with a cap of snow; its mouth."""
    a, b, size = near * 0.22 * h.wide, 0.6 * h.deep, 0.34
    low, high = h.wall + 0.45 * h.roof, h.wall + h.roof + 0.75
    middle = h.at(a, high, b)
    far = float(middle[2]) - 0.5
    for side, colour, light in ((0, (0.13, 0.08, 0.065), 0.6), (1, (0.10, 0.065, 0.055), 0.45)):
        ends = ((a - size, b - size), (a + size, b - size)) if side == 0 else (
            (a + near * -size, b - size), (a + near * -size, b + size))  # fmt: skip
        (a0, b0), (a1, b1) = ends
        corners = np.stack([h.at(a0, low, b0), h.at(a1, low, b1), h.at(a1, high, b1), h.at(a0, high, b0)])
        _quad(c, corners, colour, light, far)
    cap = np.stack([h.at(a + s * 1.15 * size, high + k, b - size) for s, k in
                    ((-1, -0.02), (1, -0.02), (0.9, 0.6 * snow), (-0.9, 0.6 * snow))])  # fmt: skip
    _quad(c, cap, SNOW, 0.85, far)
    return float(middle[0]), float(middle[1]) + 0.1, float(middle[2])


def church(c: Canvas, x: float, z: float, seed: int, lit: float, snow: float, lamps: list[Lamp]) -> None:
    """A nave and a tower with a steep spire."""
    turn = 0.35 if x > 0 else -0.35
    nave = House(x, z, 8.0, 15.0, 5.5, 5.0, turn, 3 + 5 * seed)
    house(c, nave, 0.7 * lit, snow, lamps)
    tower, half = House(x, z - 1.0, 5.0, 5.0, 13.0, 0.0, turn, 3 + 5 * seed), 2.5
    _wall(c, tower, np.array([[-half, 0.0], [half, 0.0]]), 0.0, 0.60)
    side = -1 if x > 0 else 1
    _wall(c, tower, np.array([[side * half, 0.0], [side * half, 5.0]]), 0.0, 0.48)
    _window(c, tower, (0.0, 10.8, -0.02), (1.0, 0.0), 1.1, 0.25 * lit, [])
    tip, over = tower.at(0, 24.0, half), half + 0.3
    for ends, light in ((((-over, -0.3), (over, -0.3)), 0.75), (((side * over, -0.3), (side * over, 5.3)), 0.55)):
        corners = np.stack([tower.at(ends[0][0], 12.9, ends[0][1]), tower.at(ends[1][0], 12.9, ends[1][1]), tip])
        found = polygon(c, slopes(corners))
        if found is not None:
            part, inside = found
            patch = sample(texture(402, 256, 1.4), part.u * 4, part.v * 6)
            white = smoothstep(-0.6, 0.4, patch)
            colour = [0.06 + white * (s - 0.06) for s in SNOW]
            part.cover(part.edge(inside), colour, light, float(tip[2]))


def street_lamp(c: Canvas, x: float, z: float, lamps: list[Lamp]) -> None:
    """A post of 4 m with a lantern under a cap of snow."""
    for half, low, high, colour, glow in ((0.05, 0.0, 3.7, (0.03, 0.03, 0.03), 0.0), (0.17, 3.65, 4.1, (0.3, 0.25, 0.2),
                                          5.0), (0.22, 4.1, 4.28, SNOW, 0.0)):  # fmt: skip
        corners = np.array([[x - half, low, z], [x + half, low, z], [x + half, high, z], [x - half, high, z]])
        _quad(c, corners, colour, 0.8, z, glow)
    lamps.append(Lamp(x, 3.85, z, (0.0, 0.0), 2.6))
