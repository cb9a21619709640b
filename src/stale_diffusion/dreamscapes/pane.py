"""The picture of rain on glass: a scene out of focus, and water on the pane that shows it small and upside down.

The water is one height field: drops are caps, runnels are heads with a film and beads behind them, and what overlaps
merges. Its slope bends the view: a drop is a strong lens, so it inverts what lies behind. Mist blurs and lifts the view
where no water has wiped it away.

Shapes: H rows, W columns; K drops, R runnels, P pixels a patch side; lights are (x, y, colour, brightness) rows.
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
MEMORY = 11.5  # seconds after which the pane has forgotten a runnel
_ROWS = 180  # of the scene out of focus: it holds nothing finer
_CAP = 0.5  # height of a drop over its radius
_WIDE = 2.7  # half the width of what drops can show


def daylight(hour: float) -> float:
    """How much of the day there is at an hour in [0, 1): 0 at night, 1 by day, between them at dawn and dusk."""
    s = np.clip((-np.cos(2 * np.pi * hour) + 0.12) / 0.6, 0, 1)
    return float(s * s * (3 - 2 * s))


def is_garden(variant: int) -> bool:
    """Whether the window of a variant looks on a garden (else on a city): the highest bit says so."""
    return variant >= 32768


# ---------------------------------------------------------------------------------------------- behind the pane


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
    columns = np.linspace(-_WIDE, _WIDE, 28)
    valley = np.clip(np.abs(columns - vanish) / 1.1, 0.12, 1)  # houses are lower, because farther, down the street
    heights = horizon + (0.25 + 1.25 * rng.beta(1.6, 1.4, 28)) * valley
    n = 64
    house = rng.integers(28, size=n)
    storey = (
        np.round((horizon + 0.1 + np.maximum(heights[house] - horizon - 0.14, 0.05) * rng.random(n)) / 0.085) * 0.085
    )
    spots = [columns[house] + rng.integers(-1, 2, n) * 0.062, storey]
    window = _WARM[rng.choice(4, n, p=(0.3, 0.36, 0.22, 0.12))] * rng.lognormal(-0.85, 0.7, n)[:, None]
    s = np.repeat(np.geomspace(0.16, 1.9, 7), 2)
    side = np.tile((-1, 1), 7)
    lamp = (
        (_WARM[0] if rng.random() < 0.5 else _WARM[2])
        * rng.uniform(2.0, 3.6)
        * np.clip(0.55 + 0.4 * s, 0, 1.2)[:, None]
    )
    m = int(rng.integers(6, 15))
    neon = _NEON[rng.integers(6, size=m)] * rng.lognormal(0.35, 0.5, m)[:, None]
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
        lamp = np.array([1.0, 0.9, 0.72]) * 3.2 if oncoming else np.array([1.0, 0.06, 0.03]) * 1.6
        for wheel in (-1, 1):
            x.append(town.vanish + (lane + 0.11 * wheel) * s)
            y.append(town.horizon - 0.16 * s + 0.02)
            colour.append(lamp * fade * min(1.0, 0.35 + s))
            size.append(1.0)
    for sx, sy, period, phase in town.signals:
        p = (t / period + phase) % 1
        hue = ([0.1, 1.0, 0.5], [1.0, 0.55, 0.05], [1.0, 0.05, 0.03])[int(np.searchsorted((0.45, 0.53), p))]
        x.append(sx), y.append(sy), colour.append(np.array(hue) * 1.5), size.append(1.0)
    for e in stage.events("passing", t - 6, t + 1e-6):
        p = (t - e.time) / 1.5 - 1
        for wheel in (-0.16, 0.16):
            x.append(-np.sign(e.x) * (1.9 * p + wheel))
            y.append(town.horizon - 0.28 + 0.1 * e.distance)
            fade = np.clip(1.8 - abs(p), 0, 1) * np.clip((t - e.time) * 2, 0, 1)
            colour.append(np.array([1.0, 0.92, 0.78]) * fade * 3.4 * e.strength / (1 + e.distance))
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
    to = {"dtype": torch.float32}
    dx = (col - torch.tensor(cx, **to)[:, None, None]) * torch.tensor(step_x / rx, **to)[:, None, None]
    dy = (row - torch.tensor(cy, **to)[:, None, None]) * torch.tensor(step_y / ry, **to)[:, None, None]
    d = dx * dx + dy * dy
    edge = float(np.clip(2.2 * step_y / ry.min(), 0.1, 0.9))
    shape = (
        smoothstep(1 + edge, 1 - edge, d) * (0.82 + 0.3 * d) if disc else torch.exp(-2.5 * d) * (1 - d / 4).clamp(min=0)
    )
    inside = (col >= 0) & (col < w) & (row >= 0) & (row < h)
    index = (row.clamp(0, h - 1) * w + col.clamp(0, w - 1)).flatten()
    shape = (shape * inside).flatten()
    patch = d[0].numel()
    for c in range(3):
        weights = torch.tensor(colour[:, c], **to).repeat_interleave(patch)
        out[c].view(-1).index_add_(0, index, shape * weights)


def _blur(x: Tensor, k: int) -> Tensor:
    """Two box filters of k x k pixels, (3, H, W)."""
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x[None], (k // 2, k // 2, 0, 0), mode="replicate"), (1, k), 1)[0]
        x = F.avg_pool2d(F.pad(x[None], (0, 0, k // 2, k // 2), mode="replicate"), (k, 1), 1)[0]
    return x


def _city(stage: Stage, t: float, x: Tensor, y: Tensor, sky: light.Light, day: float) -> Tensor:
    """Houses, sky and wet street without their lights, (3, H, W)."""
    town = _town(stage.segment(t).variant)
    glow = torch.tensor([0.050, 0.030, 0.017]) * (1 - day) * (0.6 + 0.8 * sky.haze)
    zenith, horizon = (torch.tensor(c, dtype=torch.float32)[:, None, None] for c in (sky.zenith, sky.horizon))
    rise = ((y - town.horizon) / 1.6).clamp(0, 1)
    air = horizon + (zenith - horizon) * rise + glow[:, None, None] * (1.2 - rise)
    cell = ((x + _WIDE) / (2 * _WIDE) * 28).clamp(0, 27.99).long()[0]
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


def _garden(stage: Stage, t: float, x: Tensor, y: Tensor, sky: light.Light, day: float) -> Tensor:
    """Leaves in three depths before the sky, a lawn and a hedge, (3, H, W)."""
    rng = stage.rng("garden", t)
    ox, oy, lawn, gap = rng.random(), rng.random(), rng.uniform(-0.75, -0.3), rng.uniform(0.15, 0.75)
    sway = 0.012 * stage.value("wind", t) * (np.sin(1.1 * t) + 0.5 * np.sin(2.3 * t + 1))
    ambient = torch.tensor(sky.ambient)[:, None, None] * 1.15
    air = torch.tensor(sky.horizon)[:, None, None] * (0.9 + 0.1 * y)
    x = x + sway * (1 + y)
    big, fine = (
        sample(texture(41, 256, 1.4), x * 0.16 + ox, y * 0.16 + oy),
        sample(texture(42, 256, 1.0), x * 0.5 + oy, y * 0.5 + ox),
    )
    tone = (0.5 + 0.22 * big + 0.28 * fine).clamp(0, 1.2)
    dark, bright = (torch.tensor(c)[:, None, None] for c in ((0.030, 0.060, 0.022), (0.22, 0.36, 0.085)))
    leaves = (dark + (bright - dark) * tone**1.6) * ambient * 1.5
    leaves = leaves + (air - leaves) * (0.08 + 0.3 * sky.haze) * smoothstep(-0.6, 0.8, big)
    cover = smoothstep(0.25, -0.35, y - gap - 0.45 * big - 0.22 * fine)
    scene = air + (leaves - air) * cover
    hedge = smoothstep(0.12, -0.12, y - lawn - 0.25 - 0.08 * big)
    scene = scene + (dark * ambient * (1.2 + 0.5 * fine) - scene) * hedge
    grass = (
        torch.tensor((0.13, 0.25, 0.055))[:, None, None]
        * ambient
        * (1.5 + 0.25 * fine)
        * (0.8 + 0.5 * (lawn - y).clamp(0, 1))
    )
    return scene + (grass - scene) * smoothstep(0.05, -0.05, y - lawn)


def _garden_lights(stage: Stage, t: float, sky: light.Light, day: float) -> Lights:
    """Sky that gleams through gaps and on wet leaves, flowers, and by night a few lamps."""
    rng = stage.rng("garden lights", t)
    n = 70
    x, y = rng.uniform(-2.5, 2.5, n), rng.normal(0.45, 0.45, n)
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
    lamps = _WARM[rng.integers(3, size=k)] * rng.uniform(0.8, 2.6, k)[:, None] * np.clip(1 - 1.4 * day, 0, 1)
    return Lights(
        np.concatenate([x, bed + rng.normal(0, 0.9, m), rng.uniform(-1.7, 1.7, k)]),
        np.concatenate([y, rng.normal(-0.5, 0.12, m), rng.uniform(-0.4, 0.4, k)]),
        np.concatenate([gleam, blooms, lamps]),
        np.concatenate([rng.uniform(0.6, 1.2, n), rng.uniform(0.5, 0.9, m), rng.uniform(0.8, 1.2, k)]),
    )


def _behind(stage: Stage, t: float, rows: int, reach: tuple[float, float], blur: float, day: float) -> Tensor:
    """The scene behind the pane, (3, rows, columns), with a circle of confusion of radius `blur`."""
    variant = stage.segment(t).variant
    garden = is_garden(variant)
    sky = light.light_at(stage.static("hour", t), 0.2, 0.95, stage.static("haze", t))
    columns = round(rows * reach[0] / reach[1])
    coarse = max(24, round(min(rows, 2.6 * reach[1] / blur)))
    view = View.whole(round(coarse * reach[0] / reach[1]), coarse)
    swing = stage.static("drift", t) * 0.05 * np.sin(0.13 * t + variant)
    pan, height = 0.7 * (stage.static("pan", t) - 0.5) + swing, 0.24 * (stage.static("height", t) - 0.5)
    x, y = view.u / view.aspect * reach[0] + pan, view.v * reach[1] + height
    base = (_garden if garden else _city)(stage, t, x, y, sky, day)
    out = (
        F.interpolate(_blur(base, 3)[None], (rows, columns), mode="bicubic", align_corners=False)[0]
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
        streak = lamps.colour[wet] * 0.2
        size = np.full(int(wet.sum()), max(blur, 0.05))
        _splat(out, lamps.x[wet] - pan, mirrored, 0.8 * size, size * 2.6, streak, reach, disc=False)
    # an eighth of the light of a disc lies in its glow: rain in the air
    spread = np.full(len(lamps.x), 3.2 * blur)
    _splat(out, lamps.x - pan, lamps.y - height, blur * lamps.size, blur * lamps.size, lamps.colour, reach, disc=True)
    _splat(out, lamps.x - pan, lamps.y - height, spread, spread, 0.07 * lamps.colour, reach, disc=False)
    return out


# ---------------------------------------------------------------------------------------------- on the pane


@lru_cache(maxsize=16)
def _drops(variant: int) -> Array:
    """Drops that may sit on the pane of a variant, (K, 9): x, y, radius, and six random numbers; they do not overlap."""
    rng = np.random.default_rng([variant, 32])
    n = 2600
    radius = np.sort(np.clip(0.0075 * rng.random(n) ** -0.48, 0, 0.055))[::-1]
    at = np.stack([rng.uniform(-1.85, 1.85, n), rng.uniform(-1.05, 1.05, n)], -1)
    kept: list[int] = []
    for i in range(n):
        if not kept or (np.hypot(*(at[kept] - at[i]).T) > 1.08 * (radius[kept] + radius[i])).all():
            kept.append(i)
    return np.concatenate([at[kept], radius[kept, None], rng.random((len(kept), 6))], 1)


@dataclass(frozen=True)
class Runnels:
    """Water that runs down, R of them; positions at any height and time."""

    x: Array
    y: Array  # where it starts
    radius: Array
    born: Array
    fall: Array  # (R, 97): how far the head has come, at _SECONDS
    wave: Array  # (R, 4): phases of its path

    def path(self, y: Array) -> Array:
        """Where its path is at heights y (R, ...), the same shape."""
        a, b, c, d = (self.wave[:, k].reshape(-1, *[1] * (y.ndim - 1)) for k in range(4))
        x = self.x.reshape(a.shape)
        return np.asarray(
            x
            + 0.022 * np.sin(5 * y + a)
            + 0.012 * np.sin(13 * y + b)
            + 0.005 * np.sin(31 * y + c)
            + 0.03 * (d - 0.5) * y
        )

    def passed(self, y: Array, t: float) -> Array:
        """Seconds since the head passed heights y (R, N): negative where it has not yet, or starts below."""
        since = np.stack(
            [np.interp(y0 - row, fall, _SECONDS, right=99) for y0, row, fall in zip(self.y, y, self.fall, strict=True)]
        )
        return np.where(y > self.y[:, None], -1, t - self.born[:, None] - since)


_SECONDS = np.linspace(0, 12, 97)


def _runnels(stage: Stage, t: float) -> Runnels:
    """The runnels that the pane remembers: events `runnel`, and heavy drops, which run after a while."""
    rows = []
    for kind in ("runnel", "drop"):
        for e in stage.events(kind, t - MEMORY, t):
            rng = np.random.default_rng([int(e.time * 512), int((e.x + 1) * 4096)])
            heavy = kind == "runnel" or e.strength > 0.45
            wait = 0.0 if kind == "runnel" else rng.uniform(0.5, 3.0)
            top = 1.0 - 2.0 * e.distance
            radius = 0.017 + 0.026 * e.strength
            speed = (0.1 + 0.75 * e.strength * rng.uniform(0.6, 1.2)) * heavy
            s = np.maximum(_SECONDS - wait, 0)
            b, w, p = rng.uniform(0.5, 0.9), rng.uniform(1.2, 3.5), rng.uniform(0, 6.28)
            fall = speed * (s - b / w * (np.sin(w * s + p) - np.sin(p))) + 1e-4 * _SECONDS
            rows.append((e.x * 1.72, top, radius, e.time, fall, rng.uniform(0, 6.28, 4) * [1, 1, 1, 0.16]))
    if not rows:
        return Runnels(*(np.zeros(0) for _ in range(4)), np.zeros((0, 97)), np.zeros((0, 4)))
    return Runnels(*(np.array(c) for c in zip(*rows, strict=True)))


def _sitting(stage: Stage, t: float, runs: Runnels) -> tuple[Array, Array]:
    """The drops that sit on the pane at t, (K, 9), and their radii now (K,)."""
    drops = _drops(stage.segment(t).variant)
    period = 6 + 5 * drops[:, 3]
    turn = t / period + drops[:, 4]
    age, k = (turn % 1) * period, np.floor(turn)
    chance = (drops[:, 5] + 0.61803 * k) % 1
    rain = stage.values("rain", np.maximum(t - age, stage.start))
    stays = drops[:, 6] < 0.4
    there = np.where(stays, 1.0, chance < 0.12 + 0.85 * rain)
    life = np.where(stays, 1.0, np.clip(age / 0.07, 0, 1) * np.clip((period - age) / 1.5, 0, 1))
    if len(runs.x):
        y = np.broadcast_to(drops[None, :, 1], (len(runs.x), len(drops)))
        gone = runs.passed(y, t)
        hit = (np.abs(runs.path(y) - drops[None, :, 0]) < 0.85 * runs.radius[:, None] + 0.6 * drops[None, :, 2]) & (
            gone > 0
        )
        back = 4 + 7 * drops[:, 7]
        life = life * np.where(hit, np.clip((gone - back) / 0.5, 0, 1), 1).min(0)
    radius = drops[:, 2] * there * life
    keep = radius > 0.004
    return drops[keep], radius[keep]


def _put(field: Tensor, index: Tensor, value: Tensor) -> None:
    field.view(-1).scatter_reduce_(0, index.flatten(), value.flatten(), "amax")


def _caps(field: Tensor, view: View, x: Array, y: Array, r: Array, form: Array) -> None:
    """Draw drops into a height field (H, W) in place; form (K, 2) in [0, 1] makes each a little different."""
    h, w = field.shape
    for low, high in ((0, 0.016), (0.016, 0.03), (0.03, 1.0)):
        mine = (r > low) & (r <= high)
        if not mine.any():
            continue
        a, b, c, f = x[mine], y[mine], r[mine], form[mine]
        n = int(1.35 * c.max() / view.pixel) + 2
        p = torch.arange(-n, n + 1)
        cx, cy = (a + view.aspect) / view.pixel - 0.5, (1 - b) / view.pixel - 0.5
        col = (torch.from_numpy(np.round(cx)).long()[:, None] + p)[:, None, :]
        row = (torch.from_numpy(np.round(cy)).long()[:, None] + p)[:, :, None]
        radius, px, py, fa, fb = (
            torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (c, cx, cy, f[:, 0], f[:, 1])
        )
        dx, dy = (col - px) * view.pixel / radius, (py - row) * view.pixel / radius
        dx = dx * (0.9 + 0.25 * fa) * (1 + 0.22 * dy) + 0.25 * (fb - 0.5) * dy  # heavier below, leaning
        dy = dy * (0.86 + 0.12 * fb)
        cap = _CAP * radius * (1 - dx * dx - dy * dy)
        ok = (col >= 0) & (col < w) & (row >= 0) & (row < h)
        _put(field, row.clamp(0, h - 1) * w + col.clamp(0, w - 1), torch.where(ok, cap, torch.zeros(())).clamp(min=0))


def _run(field: Tensor, wiped: Tensor, view: View, runs: Runnels, t: float) -> None:
    """Draw runnels into the height field and into what they have wiped clear of mist, in place."""
    if not len(runs.x):
        return
    h, w = field.shape
    y = np.broadcast_to(view.v.numpy().astype(np.float64).T, (len(runs.x), h))
    age, path = runs.passed(y, t), runs.path(y)
    head = runs.y - np.array([np.interp(t - b, _SECONDS, f) for b, f in zip(runs.born, runs.fall, strict=True)])
    n = int(1.3 * runs.radius.max() / view.pixel) + 2
    cx = (path + view.aspect) / view.pixel - 0.5
    col = torch.from_numpy(np.round(cx)).long()[..., None] + torch.arange(-n, n + 1)
    f32 = {"dtype": torch.float32}
    r = torch.tensor(runs.radius, **f32)[:, None, None]
    dx = (col - torch.tensor(cx, **f32)[..., None]) * view.pixel / r
    since, v = torch.tensor(age, **f32)[..., None], torch.tensor(y, **f32)[..., None]
    behind = since > 0
    old = (since / MEMORY).clamp(0, 1)
    film = _CAP * 0.38 * r * (0.42 - dx * dx / 0.42) * (1 - since / 2.6).clamp(0, 1)
    step = 1.9 * r
    cell = torch.floor(v / step)
    jitter = torch.sin(cell * 127.1 + torch.tensor(runs.wave[:, :1] * 91.7, **f32)[..., None]) * 43758.5453
    jitter = jitter - torch.floor(jitter)
    bead_r = (0.14 + 0.36 * jitter) * (1 - old) ** 0.5
    bead_x, bead_y = dx - 0.5 * (jitter - 0.5), (v - (cell + 0.3 + 0.4 * jitter) * step) / r
    bead = _CAP * r * bead_r * (1 - (bead_x * bead_x + bead_y * bead_y) / (bead_r * bead_r + 1e-4))
    dy = (v - torch.tensor(head, **f32)[:, None, None]) / r
    dy = torch.where(dy > 0, dy / 2.1, dy / 1.15)
    cap = 1.1 * _CAP * r * (1 - (dx * dx) * (1 + 0.5 * dy.clamp(min=0)) - dy * dy)
    height = torch.maximum(torch.where(behind, torch.maximum(film, bead), torch.zeros(())), cap).clamp(min=0)
    ok = (col >= 0) & (col < w)
    index = torch.arange(h)[:, None] * w + col.clamp(0, w - 1)
    _put(field, index, height * ok)
    _put(wiped, index, torch.where(behind & ok, smoothstep(1.25, 0.75, dx.abs()) * (1 - old) ** 1.5, torch.zeros(())))


def picture(stage: Stage, t: float, view: View) -> Tensor:
    """The pane at time t, linear light, (rows, W, 3)."""
    full = View.whole(view.width, view.height)
    h, w, aspect = full.height, full.width, full.aspect
    day = daylight(stage.static("hour", t))
    blur = 0.05 + 0.085 * stage.static("focal", t)
    far = _behind(stage, t, _ROWS, (aspect, 1.0), blur, day)
    near = _behind(stage, t, 108, (_WIDE, 1.6), 0.035, day)
    field, wiped = torch.zeros(h, w), torch.zeros(h, w)
    runs = _runnels(stage, t)
    drops, radius = _sitting(stage, t, runs)
    _caps(field, full, drops[:, 0], drops[:, 1], radius, drops[:, 7:9])
    _run(field, wiped, full, runs, t)

    base = F.interpolate(far[None], (h, w), mode="bilinear", align_corners=False)[0]
    veil = F.interpolate(F.avg_pool2d(far[None], 12), (h, w), mode="bicubic", align_corners=False)[0].clamp(min=0)
    breath = 0.5 + 0.5 * smoothstep(0.4, -1.0, full.v)  # mist is thicker below
    fine = sample(texture(43, 512, 0.7, 8.0), full.u * 0.8, full.v * 0.8) * min(1.0, 0.0056 / full.pixel)
    mist = (stage.value("steam", t) * breath * (1 + 0.10 * fine)).clamp(0, 1) * (1 - wiped)
    base = base + (veil * 1.06 - base) * (0.9 * mist)

    gx = F.pad((field[:, 2:] - field[:, :-2]) / (2 * full.pixel), (1, 1))
    gy = F.pad((field[:-2] - field[2:]) / (2 * full.pixel), (0, 0, 1, 1))
    wet = (field / (2 * _CAP * full.pixel)).clamp(0, 1)
    steep = gx * gx + gy * gy
    bend = 1.15 + 0.5 * steep
    grid = torch.stack([(full.u + bend * gx) / _WIDE, -(full.v + bend * gy) / 1.6], -1)
    seen = F.grid_sample(near[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]
    rim = 1 - 0.8 * smoothstep(0.5, 1.25, steep)
    glint = torch.exp(-((gx + 0.38) ** 2 + (gy - 0.5) ** 2) * 55) * (0.02 + 0.35 * day)
    out = base + (seen * rim + glint - base) * wet
    vignette = 1 - 0.1 * ((full.u / aspect) ** 2 + full.v**2)
    return (out * vignette).permute(1, 2, 0)[view.top : view.top + view.rows].to(view.device)
