"""The coast of a lighthouse as a plate: headland or rock, tower, rocks before the camera; without light and fog.

The land is a height field; each column is marched from near to far, and a pixel sees the first ground that is as high
as its ray, where the ray is still above the sea.

Shapes: H rows, W columns, J steps of a march, C its columns, R its rows. x and y are slopes of rays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.light import tile
from stale_diffusion.dreamscapes.lighthouse_sound import tower_metres
from stale_diffusion.dreamscapes.noise import sample, smoothstep

NEAREST, FARTHEST, STEPS = 2.6, 520.0, 320
LOW, HIGH = -0.75, 0.40  # slopes of the plate's bottom and top


@dataclass(frozen=True)
class Coast:
    """What a variant decides; metres and slopes."""

    seed: int
    eye: float
    away: float  # to the tower
    east: float  # the tower stands so far to the right
    side: float  # the headland goes on to this side
    rock: bool  # on a rock in the sea
    top: float  # height of the ground under it
    tall: float  # of the tower
    wide: float  # its radius at the foot
    bands: int  # of red; 0: none
    window: bool
    fore: float  # where the rocks before the camera are
    tilt: float
    stone: tuple[float, float, float]
    turn: float  # seconds of a turn of the lens
    beams: int
    phase: float

    @property
    def lamp(self) -> tuple[float, float, float]:
        """Where the lamp is: metres to the right, above the sea, ahead."""
        return self.east, self.top + 1.09 * self.tall, self.away


_STONES = ((0.115, 0.108, 0.100), (0.135, 0.115, 0.095), (0.085, 0.085, 0.088), (0.160, 0.148, 0.130))


@lru_cache(maxsize=64)
def coast(variant: int) -> Coast:
    """The coast of a variant."""
    rng = np.random.default_rng([variant, 66])
    away, rock = tower_metres(variant), bool(variant >> 14 & 1)
    beams = 2 if variant >> 13 & 1 else 1
    side = float(rng.choice((-1, 1)))
    return Coast(
        variant % 4093, float(rng.uniform(4.2, 7.5)), away, float(away * side * rng.uniform(-0.02, 0.20)), side, rock,
        float(rng.uniform(4.5, 8) if rock else rng.uniform(10, 24)), float(rng.uniform(17, 30)),
        float(rng.uniform(2.4, 3.3)), int(rng.integers(2, 5)) if variant >= 32768 else 0, bool(variant >> 12 & 1),
        float(rng.choice((-1, 1)) * rng.uniform(0.3, 0.9)), float(rng.uniform(-0.02, 0.20)),
        _STONES[int(rng.integers(len(_STONES)))], float(rng.uniform(4.5, 8) * beams), beams, float(rng.random()),
    )  # fmt: skip


def _height(c: Coast, east: Tensor, z: Tensor, foot: Tensor) -> Tensor:
    """Metres of the ground above the sea, negative in the water, at points (J, C)."""
    s = 0.173 * c.seed
    rough = 1 - (sample(tile(21, 256, 2.3, east), east / 46 + s, z / 46) * 0.8).abs()
    fine = sample(tile(23, 512, 1.9, east), east / 17 + s, z / 17) / (1 + (2.5 * foot) ** 2)
    wander = sample(tile(21, 256, 2.2, east), east / 150 + s, z / 150)
    if c.rock:
        size = 17 + 2.4 * c.top
        r = torch.sqrt((east - c.east) ** 2 + ((z - c.away) / 0.8) ** 2) + 6 * wander - 4 * rough
        land = c.top * smoothstep(size, 0.40 * size, r) * (0.93 + 0.05 * rough) + 1.6 * (rough - 0.4)
        land = torch.where(r < size + 9, land + 0.3 * fine - 4.2 * smoothstep(0.7 * size, 1.3 * size, r), land * 0 - 2)
        flat = smoothstep(7, 4, torch.sqrt((east - c.east) ** 2 + (z - c.away) ** 2))
    else:
        over = c.side * (east - c.east) + 17 + 9 * wander + 4 * rough
        back = z - c.away + 26 + 8 * wander + 4 * rough
        rise = 1 + 0.25 * (over / 120).clamp(0, 2)
        land = c.top * rise * smoothstep(-4, 12, over) ** 0.7 * smoothstep(-4, 13, back) ** 0.7 * (0.95 + 0.06 * wander)
        land = land + (1.3 * (rough - 0.35) + 0.35 * fine) * smoothstep(-9, 0, torch.minimum(over, back))
        land = land - 3.5 * smoothstep(2, -9, torch.minimum(over, back))
        flat = smoothstep(9, 5, torch.sqrt((east - c.east) ** 2 + (z - c.away) ** 2))
    land = land + flat * (c.top - land)
    crags = 1 - (sample(tile(21, 256, 2.5, east), east / 15 + s, z / 15) * 0.8).abs()
    grit = sample(tile(23, 512, 1.9, east), east / 3.1 + s, z / 3.1)
    lie = smoothstep(15, 3.5, z) * (
        0.25 + 0.75 * smoothstep(-0.5, 1.1, east / z * 1.4 * (1 if c.fore > 0 else -1) + 0.3)
    )
    near = (c.eye - 1.9) * lie * (0.62 + 0.42 * crags) + 0.45 * (crags - 0.8) + 0.09 * grit - 0.55
    return torch.where(z < 17, torch.maximum(near, land), land)


def _ground(c: Coast, east: Tensor, z: Tensor, height: Tensor, up: Tensor) -> Tensor:
    """Reflectances of rock, turf on what is level, weed and wet stone by the water, (R, C, 3)."""
    s = 0.173 * c.seed
    mottle = sample(tile(12, 512, 1.3, east), east / 11 + s, z / 11 + 0.05 * height)
    strata = sample(tile(30, 256, 1.2, east), east / 60 + s, height / 7 + 0.1 * mottle)
    tint = torch.tensor(c.stone, device=east.device)
    rock = tint * (1 + 0.30 * mottle + 0.22 * strata)[..., None].clamp(min=0.2)
    turf = torch.tensor((0.070, 0.082, 0.032), device=east.device) * (1 + 0.22 * mottle)[..., None].clamp(min=0.3)
    green = smoothstep(0.80, 0.93, up) * smoothstep(3.5, 6.5, height) * (0 if c.rock else 1)
    out = rock + green[..., None] * (turf - rock)
    wet = smoothstep(2.2, 0.6, height + 0.4 * mottle)[..., None]
    return (out * (1 - 0.62 * wet)).clamp(min=0.004)


def _plane(across: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """(1, C) and (R, 1) as (R, C) each."""
    return across.expand(len(up), -1), up.expand(-1, across.shape[1])


def _tower(c: Coast, x: Tensor, y: Tensor, planes: Tensor, pixel: float) -> Tensor:
    """Lay the tower (and by it, the keeper's house) over the plate, planes (9, R, C)."""
    u, h = _plane(x * c.away - c.east, y * c.away + c.eye - c.top)  # metres beside its axis and above its foot
    metre = pixel * c.away / 2
    parts = [
        (-0.4, 0.97, 1.0, 0.62, (0.56, 0.55, 0.52)), (0.955, 0.985, 0.80, 0.80, (0.10, 0.10, 0.10)),
        (0.985, 1.035, 0.78, 0.78, (0.14, 0.14, 0.14)), (1.03, 1.15, 0.48, 0.46, (0.05, 0.055, 0.06)),
        (1.15, 1.225, 0.52, 0.06, (0.12, 0.025, 0.020) if c.bands else (0.08, 0.08, 0.085)),
    ]  # fmt: skip
    for low, high, below, above, paint in parts:
        s = ((h / c.tall - low) / (high - low)).clamp(0, 1)
        half = c.wide * (below + (above - below) * (s if high < 1.16 else s**1.6))
        inside = ((half - u.abs()) / metre + 0.5).clamp(0, 1)
        inside = (
            inside * ((h - low * c.tall) / metre + 0.5).clamp(0, 1) * ((high * c.tall - h) / metre + 0.5).clamp(0, 1)
        )
        across = (u / half).clamp(-1, 1)
        colour = torch.tensor(paint)[:, None, None] * torch.ones_like(inside)
        if c.bands and low < 0:
            band = torch.cos(math.pi * (2 * c.bands - 1) * (h / c.tall).clamp(0, 0.97) / 0.97)
            red = torch.tensor((0.36, 0.035, 0.025))[:, None, None]
            colour = colour + smoothstep(0.12, -0.12, band) * (red - colour)
        if low < 0:
            stain = sample(tile(12, 512, 1.4, x), u / 20 + 0.3, h / 70)
            colour = colour * (0.93 + 0.07 * stain) * (0.75 + 0.25 * smoothstep(-1, 4, h))
            slits = ((u.abs() < 0.32) & ((h / c.tall * 4.2 + 0.4) % 1 < 0.10) & (h < 0.85 * c.tall)).float()
            colour = colour * (1 - 0.85 * slits)
        if 1.03 <= low < 1.1:  # the bars of the lantern
            bars = smoothstep(0.28, 0.16, (torch.frac(across * 2.5 + 10) - 0.5).abs())
            colour = colour * (1 - 0.6 * bars) + 0.02
        n = torch.stack([across, 0.0 * across, -(1 - across**2).clamp(min=0).sqrt()])
        mark = torch.full_like(u, 1.0 if 1.03 <= low < 1.1 else 0.0)
        layer = torch.cat([colour, n, torch.stack([torch.full_like(u, math.log(c.away)), torch.ones_like(u), mark])])
        planes = planes + inside * (layer - planes)
    return planes


def _house(c: Coast, x: Tensor, y: Tensor, planes: Tensor, pixel: float) -> Tensor:
    """The keeper's house beside the tower: two walls, a roof, a window that may be lit (mark 2)."""
    beside = c.east + c.side * (c.wide + 7.5)
    u, h = _plane(x * c.away - beside, y * c.away + c.eye - c.top)
    metre = pixel * c.away / 2

    def edge(d: Tensor) -> Tensor:
        return (d / metre + 0.5).clamp(0, 1)

    wall = edge(4.6 - u.abs()) * edge(3.4 - h) * edge(h + 5)
    roof = edge(5.0 - u.abs() - 0.35 * (h - 3.4).clamp(min=0)) * edge(5.9 - h) * edge(h - 3.3)
    chimney = edge(0.45 - (u - 2.8).abs()) * edge(7.0 - h) * edge(h - 5)
    pane = edge(0.5 - ((u.abs() - 1.8).abs())) * edge(0.62 - (h - 1.9).abs())
    one = torch.ones_like(u)
    for mask, paint, n, mark in (
        (chimney, (0.30, 0.28, 0.26), (0.0, 0.0, -1.0), 0.0),
        (wall, (0.50, 0.49, 0.46), (0.1 * c.side, 0.0, -0.99), 0.0),
        (roof, (0.085, 0.080, 0.082), (0.0, 0.7, -0.7), 0.0), (pane * wall, (0.03, 0.03, 0.035), (0.0, 0.0, -1.0), 2.0),
    ):  # fmt: skip
        rows = [one * v for v in (*paint, *n, math.log(c.away), 1.0, mark)]
        planes = planes + mask * (torch.stack(rows) - planes)
    return planes


@lru_cache(maxsize=4)
def plate(variant: int, pixel: float, reach: float, device: torch.device) -> Tensor:
    """The land, (1, 9, H, W): reflectance, normal, logarithm of metres, cover, and what glows (1 the lantern, 2 a
    window), premultiplied; from -reach to reach and from HIGH to LOW in slopes.

    Args:
        pixel: the size of a texel, slopes.
    """
    c = coast(variant)
    columns, rows = int(2 * reach / pixel) * 2, int((HIGH - LOW) / pixel) * 2
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None] * reach
    y = (HIGH - (torch.arange(rows) + 0.5) * (HIGH - LOW) / rows)[:, None]
    z = torch.exp(torch.linspace(math.log(NEAREST), math.log(FARTHEST), STEPS))[:, None]
    height = _height(c, x * z, z, 0.5 * pixel * z)
    rise = torch.where(height > 0, (height - c.eye) / z, torch.full_like(height, -9.0))
    seen = torch.cummax(rise, 0).values
    j = torch.searchsorted(seen.T.contiguous(), y.T.expand(columns, -1).contiguous()).T
    k = j.clamp(max=STEPS - 1)
    above, below = torch.gather(seen, 0, k), torch.gather(torch.cat([seen[:1] - 1, seen]), 0, k)
    part = ((y - below) / (above - below).clamp(min=1e-6)).clamp(0, 1)
    part = torch.where(below < -5, torch.ones_like(part), part)
    far = torch.exp(torch.log(z[:, 0])[k] + (part - 1) * math.log(FARTHEST / NEAREST) / (STEPS - 1))
    ground = ((j < STEPS) & (c.eye + y * far > -0.02)).nonzero().unbind(1)
    far = far[ground][None]  # from here on only what is land, (1, K)
    east, foot = x[0, ground[1]] * far, 0.5 * pixel * far
    step = (2 * foot).clamp(min=0.03)
    h, right, beyond = (_height(c, east + dx, far + dz, foot) for dx, dz in ((0, 0), (step, 0), (0, step)))
    normal = F.normalize(torch.stack([-(right - h) / step, torch.ones_like(h), -(beyond - h) / step]), dim=0)
    albedo = _ground(c, east, far, h, normal[1]).permute(2, 0, 1)
    planes = torch.zeros(9, rows, columns)
    planes[:8, ground[0], ground[1]] = torch.cat([albedo, normal, far.log()[None], torch.ones_like(far)[None]])[:, 0]
    for paint, middle, half in ((_house, c.east + c.side * (c.wide + 7.5), 5.5), (_tower, c.east, 1.2 * c.wide)):
        if c.rock and paint is _house:
            continue
        inside = ((x[0] * c.away - middle).abs() < half).nonzero()[:, 0]
        if len(inside):
            box = slice(int(inside[0]), int(inside[-1]) + 1)
            planes[:, :, box] = paint(c, x[:, box], y, planes[:, :, box], pixel)
    return F.avg_pool2d(planes[None], 2).to(device)
