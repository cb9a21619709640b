"""Where it snows, as a plate without its light: a lone cottage among firs, or a village with a church and lamps.

Shapes: C channels (winter.py), H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.winter import FAR, SKY, SNOW, SPILL, Canvas, fir, line
from stale_diffusion.dreamscapes.winter_house import EYE, House, Lamp, church, house, street_lamp

WIDE, LOW, HIGH = 1.55, -0.85, 0.95  # the slopes that a plate covers
FOCAL = 1.9  # at which a pixel of the plate is a pixel of the picture
HALO = 8  # channel of the light that the air around lamps scatters; here no ice needs it
_BARK = (0.045, 0.038, 0.032)


def is_village(variant: int) -> bool:
    """Whether a variant is a village; the others are a lone cottage."""
    return variant >= 32768


@dataclass(frozen=True)
class Scenery:
    """A plate (1, C, H, W), the mouth of its chimney and what can shed snow, each (slope x, slope y, metres away)."""

    layers: Tensor
    chimney: tuple[float, float, float]
    ledges: tuple[tuple[float, float, float], ...]


def _hills(c: Canvas, rng: np.random.Generator) -> None:
    """Wooded hills behind, two or three, the farther the paler."""
    for k in range(int(rng.integers(2, 4))):
        far = 1500.0 * 0.42**k
        swell = line(411, 1.8, c.u * (0.12 + 0.06 * k), float(rng.random()))
        tops = line(412, 0.7, c.u * (0.9 + 0.9 * k), float(rng.random()))
        high = (0.17, 0.10, 0.06)[k] * rng.uniform(0.4, 1.2)
        ridge = (high * (1 + 0.45 * swell) + 0.006 * (1 + k) * tops).clamp(min=0.003)
        part = c.box(-9, 9, -0.01, float(ridge.max()) + 0.01)
        if part is None:
            continue
        below = (ridge - part.v).clamp(min=0)
        trees = sample(texture(413, 512, 0.9), part.u * (1.2 + k), part.v * (0.9 + 0.7 * k))
        stand = sample(texture(414, 256, 1.7), part.u * 0.5 + 0.3 * k, part.v * 0.9)
        wood = smoothstep(-0.8, 0.3, stand + 0.3 * trees + 0.4)
        snow = (0.55 - 0.35 * wood + 0.10 * trees).clamp(0.05, 1)
        colour = [n + snow * (s - n) for n, s in zip((0.03, 0.04, 0.035), SNOW, strict=True)]
        part.cover(part.edge(ridge - part.v), colour, (0.6 + 0.1 * trees - 0.5 * below).clamp(0.2, 1), far)


def _ground(c: Canvas, rng: np.random.Generator, lane: tuple[float, float]) -> None:
    """Drifts, and a trodden lane that starts below us and ends at (x, z)."""
    part = c.box(-9, 9, -9, 0)
    if part is None:
        return
    z = EYE / (-part.v).clamp(min=2e-3)
    east, foot = part.u * z, part.pixel * z * z / EYE
    relief, height = torch.zeros_like(east), torch.zeros_like(east)
    off = float(rng.random())
    for seed, metres, slope, weight in ((415, 22.0, 1.9, 1.0), (416, 5.0, 1.6, 0.55), (417, 0.9, 1.2, 0.28)):
        tile, fade = texture(seed, 512, slope), 1 / (1 + (foot * 25 / metres) ** 2)
        x, y = east / metres / 4 + off, z / metres / 3
        h = sample(tile, x, y)
        relief += weight * fade * (h - sample(tile, x + 0.007, y + 0.009)) * 2.6
        height += weight * fade * h
    bend = 1.2 * torch.sin(z * 0.11 + 6.28 * off)
    middle = lane[0] * (z / lane[1]).clamp(max=1.1) + bend * (z / lane[1] * (1 - z / lane[1])).clamp(min=0)
    side = east - middle + 0.12 * height
    trodden = smoothstep(1.15, 0.55, side.abs()) * smoothstep(lane[1] + 0.5, lane[1] - 1.5, z)
    steps = sample(texture(418, 512, 0.9), east * 0.45, z * 0.45) / (1 + (foot * 9) ** 2)
    open_ = 0.93 + 0.11 * relief + 0.02 * height - trodden * (0.10 + 0.10 * steps)
    open_ = open_ + 0.10 * smoothstep(0.5, 1.0, side.abs()) * smoothstep(1.6, 1.0, side.abs()) * torch.sign(side)
    part.cover(torch.ones_like(east), SNOW, open_.clamp(0.3, 1.15), z)


def _light_up(c: Canvas, lamps: list[Lamp]) -> tuple[Tensor, Tensor]:
    """What lamps throw on the ground, and on the snow that falls in front of the picture, (H, W) each."""
    spill, halo = torch.zeros(c.layers.shape[1:]), torch.zeros(c.layers.shape[1:])
    z = EYE / (-c.v).clamp(min=2e-3)
    east = c.u * z
    for lamp in lamps:
        dx, dz = east - lamp.x, z - lamp.z
        square = dx * dx + dz * dz + lamp.y * lamp.y
        facing = (dx * lamp.toward[0] + dz * lamp.toward[1]) * torch.rsqrt(square)
        cosine = facing.clamp(min=0) if lamp.toward != (0.0, 0.0) else 1.0
        spill += lamp.power * 3.4 * cosine * lamp.y / (square + 0.5) ** 1.5
        x, y = lamp.x / lamp.z, (lamp.y - EYE) / lamp.z
        r = ((c.u - x) ** 2 + (c.v - y) ** 2) * lamp.z**2  # metres squared
        halo += 0.20 * lamp.power * (1 / (1 + 2.2 * r) + 0.25 / (1 + 0.12 * r))
    return spill * (c.v < 0), halo


def _birch(c: Canvas, x: float, z: float, tall: float, rng: np.random.Generator) -> None:
    """A bare tree: a stem and forking branches, with snow on their upper sides."""

    def branch(x0: float, y0: float, angle: float, length: float, thick: float, depth: int) -> None:
        x1, y1 = x0 + length * np.sin(angle), y0 + length * np.cos(angle)
        part = c.box(min(x0, x1) - thick, max(x0, x1) + thick, min(y0, y1) - thick, max(y0, y1) + thick)
        if part is not None:
            along = ((part.u - x0) * (x1 - x0) + (part.v - y0) * (y1 - y0)) / (length * length)
            s = along.clamp(0, 1)
            dx, dy = part.u - x0 - s * (x1 - x0), part.v - y0 - s * (y1 - y0)
            wide = thick * (1 - 0.35 * s)
            alpha = ((wide - torch.hypot(dx, dy)) / part.pixel + 0.5).clamp(0, 1)
            alpha = torch.maximum(alpha, (wide / part.pixel).clamp(max=1) * (torch.hypot(dx, dy) < 0.5 * part.pixel))
            snow = smoothstep(0.0, 0.5, dy / wide) * min(1.0, abs(np.sin(angle)) * 1.6)
            colour = [b + snow * (w - b) for b, w in zip(_BARK, SNOW, strict=True)]
            part.cover(alpha, colour, 0.55, z)
        if depth:
            for _ in range(int(rng.integers(2, 4))):
                turn = float(rng.normal(0, 0.28)) + 0.22 * float(np.sign(rng.normal()))
                branch(x1, y1, angle * 0.85 + turn, length * rng.uniform(0.62, 0.85), thick * 0.66, depth - 1)

    branch(x / z, -EYE / z, float(rng.normal(0, 0.05)), 0.24 * tall / z, 0.010 * tall / z, 6)


def _stands(rng: np.random.Generator, count: int, nearest: float, farthest: float, gap: float, middle: float
            ) -> list[tuple[float, float]]:  # fmt: skip
    """Where firs stand, (z, slope x), the farthest first: more of them far away, and none in front of `middle`."""
    found = []
    for _ in range(count):
        z = float(nearest * (farthest / nearest) ** (rng.random() ** 0.8))
        x = float(rng.uniform(-WIDE, WIDE))
        if abs(x - middle) > gap * (1.0 if z < 40 else 0.4):
            found.append((z, x))
    return sorted(found, reverse=True)


@dataclass(frozen=True)
class _Thing:
    """Something to paint, by its distance."""

    z: float
    kind: str
    x: float
    house: House | None = None


def _lone(rng: np.random.Generator) -> list[_Thing]:
    """A cottage, firs, perhaps a birch."""
    z, x = float(rng.uniform(13, 24)), float(rng.uniform(-0.42, 0.42))
    turn = float(np.sign(-x + 1e-3) * rng.uniform(0.25, 0.75)) * -1
    home = House(x * z, z, float(rng.uniform(5.2, 8)), float(rng.uniform(6.5, 9.5)), float(rng.uniform(2.5, 2.9)),
                 float(rng.uniform(2.2, 3.6)), turn, int(rng.integers(1000)))  # fmt: skip
    things = [_Thing(z, "house", x, home)]
    things += [_Thing(far, "fir", at) for far, at in _stands(rng, int(rng.integers(40, 110)), 10, 120, 0.42, x)]
    things += [_Thing(float(rng.uniform(9, 16)), "birch", float(-np.sign(x) * rng.uniform(0.4, 1.1)))] * int(
        rng.random() < 0.5
    )
    if rng.random() < 0.4:
        things.append(_Thing(z - 5.0, "lamp", x + float(rng.choice((-1, 1))) * 0.30))
    return things


def _village(rng: np.random.Generator) -> list[_Thing]:
    """Houses along both sides of a lane, lamps, a church behind, some trees."""
    things = []
    for k in range(int(rng.integers(7, 12))):
        z = 15 + 7.5 * k + float(rng.uniform(0, 5))
        side = 1 if k % 2 else -1
        x = side * float(rng.uniform(6.5, 11) + 0.22 * z)
        things.append(_Thing(z, "house", x / z, House(x, z, float(rng.uniform(5.5, 8.5)), float(rng.uniform(7, 11)),
                      float(rng.choice((2.8, 2.9, 5.4))), float(rng.uniform(2.6, 4.2)),
                      float(side * rng.uniform(0.15, 0.9)), int(rng.integers(1000)))))  # fmt: skip
    far = float(rng.uniform(75, 120))
    things.append(_Thing(far, "church", float(rng.uniform(-0.25, 0.25))))
    things += [_Thing(12.0 + 13 * k, "lamp", float(rng.choice((-1, 1)) * rng.uniform(2.8, 3.6)) / (12.0 + 13 * k))
               for k in range(int(rng.integers(2, 5)))]  # fmt: skip
    things += [_Thing(z, "fir", x) for z, x in _stands(rng, int(rng.integers(14, 40)), 22, 160, 0.25, 0.0)]
    if rng.random() < 0.6:
        things.append(_Thing(float(rng.uniform(8, 14)), "birch", float(rng.choice((-1, 1)) * rng.uniform(0.45, 1.0))))
    return things


def _build(variant: int, c: Canvas) -> tuple[tuple[float, float, float], list[tuple[float, float, float]]]:
    """Paint a variant; the mouth of its chimney and its ledges, in slopes."""
    rng = np.random.default_rng([variant, 40])
    village = is_village(variant)
    things = _village(rng) if village else _lone(rng)
    snow, laden = float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.55, 1.0))
    homes = [t for t in things if t.house is not None]
    _hills(c, rng)
    _ground(c, rng, (0.0, 90.0) if village else (homes[0].x * homes[0].z, homes[0].z - 0.5))
    mouth, ledges, lamps = (0.0, 0.3, 30.0), [], []  # type: ignore[var-annotated]
    for thing in sorted(things, key=lambda t: -t.z):
        if thing.house is not None:
            mouth = house(c, thing.house, 1.0, snow, lamps)
            ledges.append((thing.x, (thing.house.wall - EYE) / thing.z, thing.z))
        elif thing.kind == "fir":
            tall = float(rng.uniform(4, 13))
            fir(c, (thing.x, -EYE / thing.z), tall / thing.z, thing.z, laden, int(rng.integers(10_000)))
            ledges.append((thing.x, (0.45 * tall - EYE) / thing.z, thing.z))
        elif thing.kind == "birch":
            _birch(c, thing.x * thing.z, thing.z, float(rng.uniform(6, 9)), rng)
        elif thing.kind == "lamp":
            street_lamp(c, thing.x * thing.z, thing.z, lamps)
        else:
            church(c, thing.x * thing.z, thing.z, int(rng.integers(100)), 1.0, snow, lamps)
    # Light that spreads is smooth: a third of the size is enough.
    coarse = Canvas.blank(c.u[:, 1::3], c.v[1::3], 3 * c.pixel)
    spread = torch.stack(_light_up(coarse, lamps))[None]
    spill, halo = F.interpolate(spread, c.layers.shape[1:], mode="bilinear", align_corners=False)[0]
    # Only the ground takes the spill: what stands on it hides it.
    open_ground = (c.layers[FAR] - EYE / (-c.v).clamp(min=2e-3)).abs() < 1e-3 * c.layers[FAR]
    c.layers[SPILL] += spill * open_ground
    c.layers[HALO] = halo
    return (mouth[0] / mouth[2], (mouth[1] - EYE) / mouth[2], mouth[2]), ledges


@lru_cache(maxsize=4)
def scenery(variant: int, height: int, device: torch.device) -> Scenery:
    """The plate of a variant for pictures `height` pixels high, over WIDE and LOW..HIGH."""
    finer = 2 if height < 240 else 1  # small pictures would alias
    pixel = 2 / height / FOCAL / finer
    columns, rows = finer * round(2 * WIDE / pixel / finer), finer * round((HIGH - LOW) / pixel / finer)
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None] * WIDE
    y = (HIGH - (torch.arange(rows) + 0.5) / rows * (HIGH - LOW))[:, None]
    canvas = Canvas.blank(x, y, pixel)
    chimney, ledges = _build(variant, canvas)
    canvas.layers[FAR] = torch.log(canvas.layers[FAR])
    return Scenery(F.avg_pool2d(canvas.layers[None], finer).to(device), chimney, tuple(ledges))


__all__ = ["EYE", "HALO", "HIGH", "LOW", "SKY", "WIDE", "Scenery", "is_village", "scenery"]
