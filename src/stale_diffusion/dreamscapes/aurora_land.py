"""What lies under an aurora, as a plate without its light: mountains, a far shore, a lake, ice or snow with firs.

In slopes: x to the right, y up, the horizon at 0; metres from an eye EYE above the ground.

Shapes: C channels (winter.py), H rows, W columns.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.winter import FAR, GLOW, MIRROR, SKY, SNOW, Canvas, fir, line

EYE = 1.8
WIDE, LOW, HIGH = 2.25, -0.75, 1.65  # the slopes that a plate covers: x, and y from LOW to HIGH
FOCAL = 1.3  # at which a pixel of the plate is a pixel of the picture
_ROCK = (0.050, 0.052, 0.056)


def ground(variant: int) -> str:
    """One of lake, snow (with firs), ice: the two upper bits of a variant."""
    return ("lake", "lake", "snow", "ice")[(variant >> 14) & 3]


def _galaxy(c: Canvas, rng: np.random.Generator) -> None:
    """The Milky Way behind everything, in GLOW: a band of clouds of stars with lanes of dust."""
    tilt, high = rng.uniform(-0.9, 0.9), rng.uniform(0.2, 1.1)
    norm = torch.rsqrt(1 + c.u * c.u + c.v * c.v)
    across = (c.v - high - np.sin(tilt) * c.u) * norm * float(np.cos(tilt))
    clouds = sample(texture(331, 512, 1.5), c.u * 0.33 + rng.random(), c.v * 0.33)
    dust = sample(texture(332, 512, 1.4), c.u * 0.45, c.v * 0.45 + rng.random())
    band = torch.exp(-((across / 0.20) ** 2)) * (1 + 0.45 * clouds).clamp(min=0)
    lane = torch.exp(-(((across - 0.02 + 0.03 * clouds) / 0.055) ** 2)) * smoothstep(-0.3, 1.2, dust)
    c.layers[GLOW] = (0.15 + band * (1 - 0.75 * lane)) * (c.v > 0)


def _peaks(x: Tensor, rng: np.random.Generator, wide: float) -> Tensor:
    """A skyline in [0, 1]: peaks with straight flanks, rougher the finer, (1, W)."""
    ridge = torch.zeros_like(x)
    warped = x + 0.10 * wide * line(357, 1.6, x * 0.35 / wide, float(rng.random()))
    for _ in range(int(5.5 * WIDE / wide)):
        at, high, left, right = rng.uniform(-WIDE, WIDE), rng.beta(2, 2), rng.uniform(0.35, 1.4), rng.uniform(0.35, 1.4)
        off = (warped - at) / wide
        flank = 1 - off.abs() / torch.where(off < 0, left, right)
        ridge = torch.maximum(ridge, high * flank)
    rough = line(355, 1.35, x * 0.55 / wide, float(rng.random()))
    return (ridge + 0.045 * rough * (0.3 + ridge)).clamp(min=0)


def _facets(x: Tensor, y: Tensor) -> Tensor:
    """The height of gullies and spurs, (H, W)."""
    broad, fine = texture(351, 512, 1.9), texture(352, 512, 1.6)
    return -sample(broad, x, y).abs() - 0.45 * sample(fine, 2.3 * x, 2.3 * y).abs()


def _mountains(c: Canvas, rng: np.random.Generator) -> None:
    """One to three ridges, farther ones paler; snow lies where they are not steep, one side is lit."""
    wild, count, lit = rng.uniform(0.2, 1.0), int(rng.integers(1, 4)), float(rng.choice((-1, 1)))
    for k in range(count):
        far, wide = 18000.0 * 0.5**k, rng.uniform(0.35, 0.8) / (1 + 0.3 * k)
        high = 0.34 * wild * (1.0, 0.62, 0.36)[k + 3 - count if count < 3 else k] * (0.6 + 0.4 * wide)
        ridge = high * _peaks(c.u, rng, wide) + 0.004
        part = c.box(-9, 9, -0.001, float(ridge.max()) + 0.01)
        if part is None:
            continue
        alpha = part.edge(ridge - part.v)
        below = (ridge - part.v).clamp(min=0)
        x, y = part.u * 0.16 / wide + 0.137 * k + 0.05 * below, (0.5 * part.v - 0.35 * below) * 0.3 / wide
        relief = ((_facets(x, y) - _facets(x + 0.0025 * lit, y + 0.001)) * 5).clamp(-1, 1)
        rock = sample(texture(356, 512, 1.2), 6 * x, 14 * y)
        snow = smoothstep(-0.25, 0.55, 0.35 + 0.22 * rock - 0.5 * relief.abs() + 0.5 * (part.v / high)) * 0.92
        colour = [r + snow * (s - r) for r, s in zip(_ROCK, SNOW, strict=True)]
        part.cover(alpha, colour, (0.55 + 0.45 * relief).clamp(0.10, 1.1), far)


def _shore(c: Canvas, rng: np.random.Generator, thick: float) -> None:
    """The far shore: a line of wood, its tops serrated."""
    far, high = float(rng.uniform(500, 2500)), float(rng.uniform(8, 22))
    tops = line(352, 0.6, c.u * far / 900, 0.3) + 1.5 * line(353, 1.6, c.u * 0.6, float(rng.random()))
    ridge = (high / far * (0.9 + 0.22 * tops) * thick).clamp(min=0.001)
    part = c.box(-9, 9, -0.002, float(ridge.max()) + 0.01)
    if part is not None:
        part.cover(part.edge(ridge - part.v), (0.05, 0.055, 0.05), 0.30, far)


def _snowfield(c: Canvas, rng: np.random.Generator, bare: float) -> None:
    """The land from the horizon down: drifts, ripples of the wind, sparkle; `bare` of it is dark ice."""
    part = c.box(-9, 9, -9, 0)
    if part is None:
        return
    z = EYE / (-part.v).clamp(min=1.2e-3)
    east, foot = part.u * z, part.pixel * z * z / EYE
    height, relief = torch.zeros_like(east), torch.zeros_like(east)
    for seed, metres, slope, weight in ((361, 60.0, 1.8, 0.9), (362, 11.0, 1.5, 0.8), (363, 1.7, 1.1, 0.5)):
        tile, fade = texture(seed, 512, slope), 1 / (1 + (foot * 22 / metres) ** 2)
        h = sample(tile, east / metres / 4, z / metres / 2.5)
        lee = sample(tile, east / metres / 4 + 0.006, z / metres / 2.5 + 0.010)
        height, relief = height + weight * fade * h, relief + weight * fade * (h - lee) * 3.2
    sparkle = sample(texture(364, 512, 0.0), east * 3, z * 3) / (1 + (foot * 130) ** 2)
    open_ = (0.86 + 0.13 * relief + 0.03 * height + 0.05 * sparkle).clamp(0.25, 1.25)
    ice = smoothstep(-0.35, 0.45, bare * 3 - 1.5 - 0.9 * height) if bare > 0 else torch.zeros_like(east)
    cracks = sample(texture(365, 512, 1.2), east / 30, z / 30).abs() + 0.4 * foot
    white = torch.exp(-cracks * 28) + 0.5 * torch.exp(-sample(texture(366, 512, 1.2), east / 13, z / 13).abs() * 40)
    dark = ice * (1 - 0.55 * (white / (1 + foot * 8)).clamp(0, 1))
    colour = [s * (1 - dark) + dark * d for s, d in zip(SNOW, (0.035, 0.055, 0.065), strict=True)]
    part.cover(torch.ones_like(east), colour, open_ * (1 - 0.25 * dark), z)
    part.layers[MIRROR] = dark


def _hills(c: Canvas, rng: np.random.Generator) -> None:
    """Low hills of snow behind the firs."""
    for far in (420.0, 190.0):
        swell = line(358, 2.0, c.u * 0.16, float(rng.random()))
        ridge = (0.016 + 0.022 * rng.random()) * (0.6 + 0.6 * swell) - 0.002
        part = c.box(-9, 9, -0.02, float(ridge.max()) + 0.01)
        if part is None:
            continue
        below = (ridge - part.v).clamp(min=0)
        drift = sample(texture(359, 512, 1.7), part.u * 0.5, below * 5 + far / 1000)
        part.cover(part.edge(ridge - part.v), SNOW, (0.80 + 0.10 * drift - 2.2 * below).clamp(0.2, 1.1), far)


def _firs(c: Canvas, rng: np.random.Generator, count: int, nearest: float, gap: float) -> None:
    """Firs over the land, more at the sides than in the middle; far ones first."""
    middle, laden = rng.uniform(-0.5, 0.5), float(rng.uniform(0.6, 1.0))
    stands = []
    for _ in range(count):
        z = float(nearest * (160 / nearest) ** (rng.random() ** 0.75))
        x = float(rng.uniform(-WIDE, WIDE))
        if abs(x - middle) > gap * (0.3 + 0.7 * rng.random()) * (1.2 - z / 200):
            stands.append((z, x))
    for z, x in sorted(stands, reverse=True):
        tall = float(rng.uniform(5, 15)) / z
        fir(c, (x, -EYE / z), tall, z, laden, int(rng.integers(10_000)))


def _build(variant: int, c: Canvas) -> None:
    """Paint the land of a variant."""
    rng, below = np.random.default_rng([variant, 30]), ground(variant)
    _galaxy(c, rng)
    _mountains(c, rng)
    if below == "lake":
        _shore(c, rng, 1.0)
        if rng.random() < 0.5:
            _firs(c, rng, int(rng.integers(3, 9)), 9.0, 1.5)
        return
    _shore(c, rng, 0.8)
    if below == "snow":
        _hills(c, rng)
    _snowfield(c, rng, 0.0 if below == "snow" else float(rng.uniform(0.45, 0.85)))
    if below == "snow":
        _firs(c, rng, int(rng.integers(14, 60)), 11.0, float(rng.uniform(0.3, 0.8)))


@lru_cache(maxsize=4)
def plate(variant: int, height: int, device: torch.device) -> tuple[Tensor, float]:
    """The land of a variant for pictures `height` pixels high, (1, C, H, W), over WIDE and LOW..HIGH, and the slope of
    its highest point."""
    finer = 2 if height < 240 else 1  # small pictures would alias
    pixel = 2 / height / FOCAL / finer
    columns, rows = finer * round(2 * WIDE / pixel / finer), finer * round((HIGH - LOW) / pixel / finer)
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None] * WIDE
    y = (HIGH - (torch.arange(rows) + 0.5) / rows * (HIGH - LOW))[:, None]
    canvas = Canvas.blank(x, y, pixel)
    _build(variant, canvas)
    stands = (canvas.layers[SKY] < 1).any(1).nonzero()
    canvas.layers[FAR] = torch.log(canvas.layers[FAR])
    return F.avg_pool2d(canvas.layers[None], finer).to(device), float(y[int(stands[0])]) + 2 * pixel * finer
