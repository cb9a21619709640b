"""What lies behind the pane of rain on glass, out of focus: a city with its lights, or a garden.

Shapes: H rows, W columns; K points of light.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Stage

Array = NDArray[np.float64]
WIDE = 2.7  # half the width of what drops can show


def is_garden(variant: int) -> bool:
    """Whether the window of a variant looks on a garden (else on a city): the highest bit says so."""
    return variant >= 32768


def f32(a: Array) -> Tensor:
    """A tensor of single precision."""
    return torch.tensor(a, dtype=torch.float32)


@dataclass(frozen=True)
class Lights:
    """Points of light: position, linear colour with brightness, radius over the usual one, each (K, ...)."""

    x: Array
    y: Array
    colour: Array
    size: Array

    def __add__(self, other: Lights) -> Lights:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Lights(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Town:
    """What is fixed in the view of a variant."""

    horizon: float
    vanish: float
    heights: Array  # of the houses, from left to right
    tints: Array
    lights: Lights
    early: Array  # the share of the night in which each light is on
    signals: Array
    cars: Array  # lane, period, phase, chance


_WARM = np.array([[1.0, 0.60, 0.24], [1.0, 0.74, 0.42], [1.0, 0.88, 0.68], [0.78, 0.88, 1.0]])
_NEON = np.array(
    [[1.0, 0.05, 0.25], [0.05, 0.7, 1.0], [0.9, 0.1, 0.9], [0.1, 1.0, 0.45], [0.2, 0.25, 1.0], [1.0, 0.3, 0.04]]
)


@lru_cache(maxsize=16)
def _town(variant: int) -> Town:
    rng = np.random.default_rng([variant, 31])
    horizon, vanish = rng.uniform(-0.5, -0.15), rng.uniform(-0.8, 0.8)
    columns = np.linspace(-WIDE, WIDE, 28)
    valley = np.clip(np.abs(columns - vanish) / 1.1, 0.12, 1)  # houses are lower, because farther, down the street
    heights = horizon + (0.25 + 1.25 * rng.beta(1.6, 1.4, 28)) * valley
    n = 64
    house = rng.integers(28, size=n)
    storey = (
        np.round((horizon + 0.1 + np.maximum(heights[house] - horizon - 0.14, 0.05) * rng.random(n)) / 0.085) * 0.085
    )
    spots = [columns[house] + rng.integers(-1, 2, n) * 0.062, storey]
    window = _WARM[rng.choice(4, n, p=(0.3, 0.36, 0.22, 0.12))] * rng.lognormal(-1.7, 0.7, n)[:, None]
    s = np.repeat(np.geomspace(0.16, 1.9, 7), 2)
    side = np.tile((-1, 1), 7)
    lamp = (
        (_WARM[0] if rng.random() < 0.5 else _WARM[2])
        * rng.uniform(0.8, 1.5)
        * np.clip(0.25 + 0.6 * s, 0, 1.2)[:, None]
    )
    m = int(rng.integers(6, 15))
    neon = _NEON[rng.integers(6, size=m)] * rng.lognormal(-0.55, 0.5, m)[:, None]
    x = np.concatenate([spots[0], vanish + side * (0.25 + 0.85 * s), rng.uniform(-2.2, 2.2, m)])
    y = np.concatenate([spots[1], horizon + 0.1 + 0.62 * s, horizon + rng.uniform(0.03, 0.5, m)])
    lights = Lights(x, y, np.concatenate([window, lamp, neon]), rng.uniform(0.82, 1.12, len(x)))
    early = np.concatenate([rng.random(n), np.full(14, -1.0), rng.uniform(-0.6, 0.6, m)])
    signals = np.stack(
        [
            vanish + rng.uniform(-0.9, 0.9, 3),
            horizon + rng.uniform(0.12, 0.35, 3),
            rng.uniform(11, 19, 3),
            rng.random(3),
        ],
        -1,
    )
    cars = np.stack(
        [rng.choice((-1, 1), 12) * rng.uniform(0.25, 0.75, 12), rng.uniform(7, 15, 12), rng.random(12), rng.random(12)],
        -1,
    )
    return Town(
        horizon,
        vanish,
        heights,
        rng.uniform(0.5, 1.0, (28, 1)) * rng.uniform(0.82, 1.1, (28, 3)),
        lights,
        early,
        signals,
        cars,
    )


def _traffic(town: Town, stage: Stage, t: float) -> Lights:
    """Head and tail lamps of the cars in the street, signals, and the lamps of a car that passes close by."""
    x, y, colour, size = [], [], [], []
    life = stage.value("life", t)
    for lane, period, phase, chance in town.cars:
        turn = t / period + phase
        shown = np.clip((life * 1.1 - (chance + 0.618 * np.floor(turn)) % 1) * 8, 0, 1)
        p = turn % 1
        oncoming = lane < 0
        s = 0.07 * np.exp(3.4 * (p if oncoming else 1 - p))
        fade = min(p, 1 - p, 0.08) / 0.08 * shown
        lamp = np.array([1.0, 0.9, 0.72]) * 1.15 if oncoming else np.array([1.0, 0.06, 0.03]) * 0.7
        for wheel in (-1, 1):
            x.append(town.vanish + (lane + 0.11 * wheel) * s)
            y.append(town.horizon - 0.16 * s + 0.02)
            colour.append(lamp * fade * min(1.0, 0.35 + s))
            size.append(1.0)
    for sx, sy, period, phase in town.signals:
        step = int(np.searchsorted((0.45, 0.53), (t / period + phase) % 1))
        hue = ([0.1, 1.0, 0.5], [1.0, 0.55, 0.05], [1.0, 0.05, 0.03])[step]
        x.append(sx)
        y.append(sy)
        colour.append(np.array(hue) * 0.75)
        size.append(1.0)
    for e in stage.events("passing", t - 6, t + 1e-6):
        way = (t - e.time) / 1.5 - 1
        for lamp_at in (-0.16, 0.16):
            x.append(-np.sign(e.x) * (1.9 * way + lamp_at))
            y.append(town.horizon - 0.28 + 0.1 * e.distance)
            shine = np.clip(1.8 - abs(way), 0, 1) * np.clip((t - e.time) * 2, 0, 1)
            colour.append(np.array([1.0, 0.92, 0.78]) * shine * 1.7 * e.strength / (1 + e.distance))
            size.append(1.35)
    return Lights(np.array(x), np.array(y), np.array(colour), np.array(size))


def _splat(
    out: Tensor, x: Array, y: Array, rx: Array, ry: Array, colour: Array, reach: tuple[float, float], disc: bool
) -> None:
    """Add discs (or soft streaks) to a picture (3, H, W) that spans u in reach[0] and v in reach[1], in place."""
    _, h, w = out.shape
    step_x, step_y = 2 * reach[0] / w, 2 * reach[1] / h
    near = (np.abs(x) < reach[0] + rx) & (np.abs(y) < reach[1] + ry) & (colour.sum(1) > 1e-3)
    if not near.any():
        return
    x, y, rx, ry, colour = (a[near] for a in (x, y, rx, ry, colour))
    px, py = (torch.arange(-n, n + 1) for n in (int(rx.max() / step_x) + 2, int(ry.max() / step_y) + 2))
    cx, cy = (x + reach[0]) / step_x - 0.5, (reach[1] - y) / step_y - 0.5
    col = (torch.from_numpy(np.round(cx)).long()[:, None] + px)[:, None, :]
    row = (torch.from_numpy(np.round(cy)).long()[:, None] + py)[:, :, None]
    dx = (col - f32(cx)[:, None, None]) * f32(step_x / rx)[:, None, None]
    dy = (row - f32(cy)[:, None, None]) * f32(step_y / ry)[:, None, None]
    d = dx * dx + dy * dy
    edge = float(np.clip(2.2 * step_y / ry.min(), 0.1, 0.9))
    shape = (
        smoothstep(1 + edge, 1 - edge, d) * (0.82 + 0.3 * d)
        if disc
        else torch.exp(-1.5 * d) * (1 - d).clamp(min=0) ** 2
    )
    inside = (col >= 0) & (col < w) & (row >= 0) & (row < h)
    index = (row.clamp(0, h - 1) * w + col.clamp(0, w - 1)).flatten()
    shape = (shape * inside).flatten()
    patch = d[0].numel()
    for c in range(3):
        weights = f32(colour[:, c]).repeat_interleave(patch)
        out[c].view(-1).index_add_(0, index, shape * weights)


def blur(x: Tensor, k: int) -> Tensor:
    """Two box filters of k x k pixels, (3, H, W)."""
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x[None], (k // 2, k // 2, 0, 0), mode="replicate"), (1, k), 1)[0]
        x = F.avg_pool2d(F.pad(x[None], (0, 0, k // 2, k // 2), mode="replicate"), (k, 1), 1)[0]
    return x


def _city(stage: Stage, t: float, x: Tensor, y: Tensor, sky: light.Light, day: float) -> Tensor:
    """Houses, sky and wet street without their lights, (3, H, W)."""
    town = _town(stage.segment(t).variant)
    glow = torch.tensor([0.034, 0.025, 0.020]) * (1 - day) * (0.6 + 0.8 * sky.haze)
    zenith, horizon = (torch.tensor(c, dtype=torch.float32)[:, None, None] for c in (sky.zenith, sky.horizon))
    rise = ((y - town.horizon) / 1.6).clamp(0, 1)
    air = horizon + (zenith - horizon) * rise + glow[:, None, None] * (1.2 - rise)
    cell = ((x + WIDE) / (2 * WIDE) * 28).clamp(0, 27.99).long()[0]
    heights = torch.tensor(town.heights, dtype=torch.float32)[cell][None]
    tints = torch.tensor(town.tints, dtype=torch.float32)[cell].T[:, None, :]
    wall = 0.23 * torch.tensor(sky.ambient)[:, None, None] * tints
    wall = wall + torch.tensor([0.055, 0.034, 0.018])[:, None, None] * (1 - day) * tints * torch.exp(
        (town.horizon - y) * 2.2
    )
    far = (0.25 + 0.45 * sky.haze) * (
        1 - ((x - town.vanish).abs() / 1.5).clamp(0, 1)
    )  # farther down the street: hazier
    wall = wall + (air - wall) * far
    scene = torch.where(y < heights, wall, air)
    mirror = torch.tensor(sky.horizon)[:, None, None] * (0.34 + 0.2 * (town.horizon - y).clamp(0, 1))
    street = mirror * (0.5 + 0.5 * torch.exp(-(((x - town.vanish) / 0.7) ** 2))) + glow[:, None, None] * 0.5
    return torch.where(y < town.horizon, street, scene)


_LEAVES = (
    (0.13, 0.22, 0.05),
    (0.09, 0.16, 0.05),
    (0.20, 0.24, 0.05),
    (0.07, 0.13, 0.07),
    (0.30, 0.16, 0.04),
    (0.22, 0.07, 0.04),
)


def _garden(stage: Stage, t: float, x: Tensor, y: Tensor, sky: light.Light, day: float) -> Tensor:
    """Trees and bushes in four depths before the sky, and a lawn, (3, H, W)."""
    rng = stage.rng("garden", t)
    lawn = float(rng.uniform(-0.8, -0.35))
    sway = 0.012 * stage.value("wind", t) * (np.sin(1.1 * t) + 0.5 * np.sin(2.3 * t + 1))
    window = f32(np.array([0.030, 0.022, 0.012]))[:, None, None] * (1 - day)  # the light of the house
    ambient = f32(np.array(sky.ambient))[:, None, None] * 1.6
    air = f32(np.array(sky.horizon))[:, None, None] * (0.9 + 0.1 * y)
    scene = air.expand(-1, -1, x.shape[1])
    tall = rng.uniform(0.1, 0.9)
    for k, (top, rough, size) in enumerate(
        ((tall, 0.55, 0.22), (0.5 * tall, 0.5, 0.3), (-0.05, 0.3, 0.45), (lawn + 0.2, 0.16, 0.7))
    ):
        ox, oy = rng.random(2)
        big = sample(texture(41, 256, 1.4), x * size + sway * k * 0.3 + ox, y * size + oy)
        fine = sample(texture(42, 256, 1.0), x * 2.4 * size + ox, y * 2.4 * size + 0.3 * sway)
        hue = f32(np.array(_LEAVES[rng.choice(6, p=(0.28, 0.26, 0.16, 0.16, 0.08, 0.06))]) * rng.uniform(0.75, 1.2))[
            :, None, None
        ]
        tone = (0.42 + 0.3 * big + 0.3 * fine + 0.25 * (y - top)).clamp(0.06, 1.5)
        leaves = hue * (ambient * tone**1.3 + window * (k + 1) * 0.5 * (1 + fine).clamp(min=0))
        leaves = leaves + (air - leaves) * (0.42 - 0.14 * k) * (0.4 + sky.haze)
        scene = scene + (leaves - scene) * smoothstep(0.16, -0.12, y - top - rough * (big + 0.4 * fine))
    blades = sample(texture(42, 256, 1.0), x * 0.4, y * 1.6)
    deep = (lawn - y).clamp(0, 1)
    grass = (
        f32(np.array([0.10, 0.16, 0.05]))[:, None, None] * (ambient + window * 3) * (0.75 + 0.25 * blades - 0.35 * deep)
    )
    path = torch.exp(-(((x - rng.uniform(-1.5, 1.5) - rng.uniform(-1.2, 1.2) * deep) / (0.1 + 0.35 * deep)) ** 2))
    grass = grass + (0.4 * air + 0.1 * ambient - grass) * (0.7 * path)  # a wet path mirrors the sky
    return scene + (grass - scene) * smoothstep(0.05, -0.05, y - lawn)


def _garden_lights(stage: Stage, t: float, sky: light.Light, day: float) -> Lights:
    """Sky that gleams through gaps and on wet leaves, flowers, and by night a few lamps."""
    rng = stage.rng("garden lights", t)
    n = 70
    x, y = rng.uniform(-2.5, 2.5, n), 0.05 + np.abs(rng.normal(0, 0.6, n))
    gleam = rng.lognormal(-2.2, 0.8, n)[:, None] * np.array(sky.horizon) * np.array([0.9, 1.0, 0.75])
    gleam *= 1 + 0.3 * np.sin(t * rng.uniform(0.5, 2, n) + 6.28 * rng.random(n))[:, None] * stage.value("wind", t)
    m = 26
    bed = rng.uniform(-2.2, 2.2)
    hues = np.array([[0.9, 0.2, 0.45], [0.95, 0.85, 0.8], [0.95, 0.7, 0.1], [0.55, 0.3, 0.85], [0.9, 0.15, 0.1]])
    blooms = (
        hues[rng.integers(5, size=3)][rng.integers(3, size=m)]
        * rng.uniform(0.2, 0.6, m)[:, None]
        * np.array(sky.ambient)
    )
    k = int(rng.integers(2, 6))
    lamps = _WARM[rng.integers(3, size=k)] * rng.uniform(0.5, 1.4, k)[:, None] * np.clip(1 - 1.4 * day, 0, 1)
    return Lights(
        np.concatenate([x, bed + rng.normal(0, 0.9, m), rng.uniform(-1.7, 1.7, k)]),
        np.concatenate([y, rng.normal(-0.5, 0.12, m), rng.uniform(-0.4, 0.4, k)]),
        np.concatenate([gleam, blooms, lamps]),
        np.concatenate([rng.uniform(0.6, 1.2, n), rng.uniform(0.5, 0.9, m), rng.uniform(0.8, 1.2, k)]),
    )


def behind(stage: Stage, t: float, rows: int, reach: tuple[float, float], radius: float, day: float) -> Tensor:
    """The scene behind the pane, (3, rows, columns), with a circle of confusion of `radius`."""
    variant = stage.segment(t).variant
    garden = is_garden(variant)
    sky = light.light_at(stage.static("hour", t), 0.2, 0.95, stage.static("haze", t))
    columns = round(rows * reach[0] / reach[1])
    coarse = max(24, round(min(rows, 2.6 * reach[1] / radius)))
    view = View.whole(round(coarse * reach[0] / reach[1]), coarse)
    swing = stage.static("drift", t) * 0.05 * np.sin(0.13 * t + variant)
    pan, height = 0.7 * (stage.static("pan", t) - 0.5) + swing, 0.24 * (stage.static("height", t) - 0.5)
    x, y = view.u / view.aspect * reach[0] + pan, view.v * reach[1] + height
    base = (_garden if garden else _city)(stage, t, x, y, sky, day)
    out = (
        F.interpolate(blur(base, 3)[None], (rows, columns), mode="bicubic", align_corners=False)[0]
        .clamp(min=0)
        .contiguous()
    )
    if garden:
        lamps = _garden_lights(stage, t, sky, day)
    else:
        town = _town(variant)
        late = abs((stage.static("hour", t) + 0.5) % 1 - 0.5) * 2  # 0 at midnight
        on = np.clip((0.35 + 0.6 * late - town.early) * 6, 0, 1)[:, None] * (0.12 + 0.88 * np.clip(1 - 1.5 * day, 0, 1))
        fixed = Lights(town.lights.x, town.lights.y, town.lights.colour * on, town.lights.size)
        lamps = fixed + _traffic(town, stage, t)
        wet = lamps.y > town.horizon - 0.4
        mirrored = np.minimum(2 * town.horizon - lamps.y, town.horizon - 0.05)[wet] - height
        streak = lamps.colour[wet] * 0.25
        size = np.full(int(wet.sum()), max(radius, 0.05))
        _splat(out, lamps.x[wet] - pan, mirrored, 0.8 * size, size * 2.6, streak, reach, disc=False)
    # the same light on a smaller disc is brighter; a little of it glows in the rain between
    colour = lamps.colour * (0.09 / radius) ** 1.4
    spread = np.full(len(lamps.x), 4.5 * radius)
    _splat(out, lamps.x - pan, lamps.y - height, radius * lamps.size, radius * lamps.size, colour, reach, disc=True)
    _splat(out, lamps.x - pan, lamps.y - height, spread, spread, 0.06 * colour, reach, disc=False)
    return out
