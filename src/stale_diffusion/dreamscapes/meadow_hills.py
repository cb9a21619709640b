"""What is beyond the grass: the rise of the meadow with its trees, woods and fields, far hills or mountains.

Country and trees are painted once into panoramas about as fine as the picture, without light; a frame lights them.

Shapes: H rows, W columns; x is (1, W), y is (H, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from stale_diffusion.dreamscapes.light import tile
from stale_diffusion.dreamscapes.noise import hash2, sample, smoothstep

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Land:
    """The lie of the land of a variant; slopes and metres."""

    seed: int
    alpine: bool
    rise: float  # how high the crest of the meadow is, slope
    lean: float  # and how much higher on its right
    crest: float  # metres to it
    far: float  # height of the farthest ridge, slope
    woods: float  # how wooded the hills are
    tree: tuple[float, float] | None  # x and height (slopes) of the lone tree
    tilt: float  # where the horizon is in the picture


@lru_cache(maxsize=64)
def land(variant: int) -> Land:
    """The land of a variant."""
    rng = np.random.default_rng([variant, 23])
    alpine = variant >= 32768
    tree = (float(rng.uniform(-0.42, 0.42)), float(rng.uniform(0.075, 0.17))) if variant >> 11 & 1 else None
    return Land(
        variant % 4096, alpine, float(rng.uniform(0.004, 0.055)), float(rng.normal(0, 0.05)),
        float(rng.uniform(110, 260)), float(rng.uniform(0.11, 0.26) if alpine else rng.uniform(0.03, 0.075)),
        float(rng.uniform(0, 1)), tree, float(rng.uniform(-0.12, 0.34)),
    )  # fmt: skip


def line(land: Land, x: Tensor, k: int, scale: float, slope: float = 2.2) -> Tensor:
    """Smooth noise along ridge k, (1, W): a function of the slope x."""
    at = torch.full((1, 1), (0.37 * k + 0.618 * land.seed) % 1, device=x.device)
    return sample(tile(21, 256, slope, x), x * scale + 0.137 * land.seed, at)


def crest(land: Land, x: Tensor) -> Tensor:
    """The crest of the meadow's own rise, (1, W), slopes."""
    return land.rise * (1 + 0.45 * line(land, x, 0, 0.16)) + land.lean * x * land.rise * 6


def _fade(foot: Tensor, metres: float) -> Tensor:
    """How much of a detail of some metres shows where a pixel covers `foot` metres."""
    return 1 / (1 + (3 * foot / metres) ** 2)


def _wooded(land: Land, east: Tensor, z: Tensor) -> Tensor:
    """How wooded the country is, 0 to 1."""
    n = sample(tile(28, 256, 1.6, east), east / 1900, z / 2300 + 0.1 * land.seed)
    return smoothstep(-0.1, 0.25, n + 1.5 * land.woods - 0.7 + (0.5 if land.alpine else 0.0))


def _height(land: Land, east: Tensor, z: Tensor, foot: Tensor, crowns: float) -> tuple[Tensor, Tensor]:
    """Metres of the country above the meadow (with a share of its trees' crowns), and how wooded it is, at points."""
    s = 0.137 * land.seed
    rolling = sample(tile(21, 256, 2.4, east), east / 5200 + s, z / 5200)
    away = ((z - 350) / 2600).clamp(0, 1)
    height = away * (14 + 46 * (rolling + 0.3))
    if not land.alpine:
        hills = sample(tile(26, 256, 2.2, east), east / 7400 + s, z / 6100 + s)
        height = height + (0.8 * land.rise + 0.45 * land.far * (1.1 + 0.8 * hills).clamp(min=0)) * (z - 700).clamp(
            0, 6500
        )
    wood = _wooded(land, east, z)
    if land.alpine:
        big = sample(tile(23, 512, 1.9, east), east / 21000 + s, z / 17000 + s)
        ridge = 1 - (sample(tile(22, 512, 1.75, east), east / 9000 + s, z / 8000) * 0.62).abs()
        rock = sample(tile(12, 512, 1.5, east), east / 2100, z / 2100) * _fade(foot, 40)
        up = smoothstep(2200, 8500, z)
        height = 25 * away * (1 + rolling) + up * land.far * 7600 * (0.50 + 0.30 * big + 0.42 * ridge + 0.035 * rock)
        height = height + 330 * smoothstep(900, 2600, z) * (0.35 + 0.5 * rolling + 0.25 * ridge)
        wood = wood * smoothstep(0.52, 0.36, height / (land.far * 8000))
    if crowns:
        top = sample(tile(29, 512, 1.0, east), east / 640, z / 640) * _fade(foot, 11)
        height = height + crowns * wood * smoothstep(380, 520, z) * (11 + 4 * top)
    return height, wood


def _cover(land: Land, east: Tensor, z: Tensor, height: Tensor, steep: Tensor, wood: Tensor, foot: Tensor) -> Tensor:
    """Reflectances of the country, (R, C, 3): woods, fields with hedges, pastures, rock and snow."""
    warp = 0.12 * sample(tile(30, 256, 1.6, east), east / 1500, z / 1500)
    fx, fz = east / 210 + warp, z / 290 + 0.35 * torch.floor(east / 210 + warp) + 0.7 * warp
    kind = hash2(torch.floor(fx), torch.floor(fz), land.seed % 61)
    hedge = smoothstep(
        0.46, 0.485, torch.maximum((fx - torch.floor(fx) - 0.5).abs(), (fz - torch.floor(fz) - 0.5).abs())
    )
    mottle = sample(tile(12, 512, 1.35, east), east / 330, z / 330)

    def c(*rgb: float) -> Tensor:
        return torch.tensor(rgb, device=east.device)

    green, ripe = c(0.078, 0.112, 0.034), c(0.190, 0.165, 0.075)
    field = green + (smoothstep(0.62, 0.66, kind) * 0.8 + 0.12 * mottle.clamp(-1, 2))[..., None] * (ripe - green)
    field = field * (0.86 + 0.3 * torch.frac(kind * 7))[..., None]
    if land.alpine:
        field = green * (1 + 0.16 * mottle)[..., None] + 0.25 * smoothstep(0.2, 1.2, mottle)[..., None] * (ripe - green)
        hedge = torch.zeros_like(hedge)
    crowns = sample(tile(29, 512, 1.0, east), east / 640, z / 640) * _fade(foot, 11)
    forest = c(0.022, 0.036, 0.018) if land.alpine else c(0.034, 0.055, 0.020)
    dark = forest * (1 + 0.45 * crowns.clamp(-1.6, 2.2) + 0.18 * mottle)[..., None]
    out = field + torch.maximum(wood, hedge)[..., None] * (dark - field)
    if land.alpine:
        high = height / (land.far * 8000) + 0.07 * mottle
        rock = c(0.115, 0.108, 0.102) * (1 + 0.22 * mottle)[..., None]
        out = out + smoothstep(0.46, 0.60, high + 0.35 * (steep - 0.5))[..., None] * (rock - out)
        snow = smoothstep(0.70, 0.86, high - 0.22 * (steep - 0.7).clamp(min=0))[..., None]
        out = out + snow * (c(0.66, 0.68, 0.71) - out)
    return out.clamp(min=0.004)


@lru_cache(maxsize=4)
def country(variant: int, pixel: float, reach: float, device: torch.device) -> tuple[Tensor, float, float]:
    """The country beyond the rise, seen once: (1, 7, H, W) of reflectance, slopes of the ground to east and north,
    logarithm of metres, and cover (premultiplied), and the slopes of its bottom and top.

    Each column is marched from near to far; a pixel sees the first ground that is as high as its ray. `pixel` and
    `reach` as in `trees`.
    """
    here = land(variant)
    columns = int(2 * reach / pixel) * 2
    x = torch.linspace(-reach, reach, columns + 1)[None, :-1] + reach / columns
    z = torch.exp(torch.linspace(math.log(330), math.log(16000), 300))[:, None]
    height, _ = _height(here, x * z, z, 0.5 * pixel * z, 1.0)
    seen = torch.cummax((height - 1.7) / z, 0).values
    low, high = float(crest(here, x).min()) - 4 * pixel, float(seen.max()) + 2 * pixel
    rows = max(4, int((high - low) / pixel)) * 2
    y = (high - (torch.arange(rows) + 0.5) * (high - low) / rows)[:, None]
    j = torch.searchsorted(seen.T.contiguous(), y.T.expand(columns, -1).contiguous()).T  # (R, C)
    k = j.clamp(max=len(z) - 1)
    below, above = torch.gather(torch.cat([seen[:1] - 1, seen]), 0, k), torch.gather(seen, 0, k)
    part = ((y - below) / (above - below).clamp(min=1e-6)).clamp(0, 1)
    ground = (j < len(z)).nonzero().unbind(1)
    log = torch.log(z[:, 0])[k[ground]] + (part[ground] - 1) * math.log(16000 / 330) / 299
    far = torch.exp(log)[None]  # from here on only what is land, (1, K)
    east, foot = x[0, ground[1]] * far, 0.5 * pixel * far
    step = (2.0 * foot).clamp(min=3)
    h, wood = _height(here, east, far, foot, 0.0)
    right, beyond = (_height(here, east + dx, far + dz, foot, 0.0)[0] for dx, dz in ((step, 0), (0, step)))
    gx, gz = (right - h) / step, (beyond - h) / step
    albedo = _cover(here, east, far, h, torch.sqrt(gx**2 + gz**2), wood, foot).permute(2, 0, 1)
    planes = torch.zeros(7, rows, columns)
    planes[:, ground[0], ground[1]] = torch.cat([albedo, torch.stack([gx, gz, far.log(), torch.ones_like(far)])])[:, 0]
    return F.avg_pool2d(planes[None], 2).to(device), low, high


def _broadleaf(pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, tall: float, hue: int) -> None:
    """A broad-leaved tree of `tall` pixels with its foot at (x, y): a trunk, and leaves in clumps, lit from above."""
    wide = tall * rng.uniform(0.40, 0.58)
    trunk = tall * 0.02 + 0.4
    pen.polygon([(x - trunk, y), (x - 0.6 * trunk, y - 0.5 * tall), (x + 0.6 * trunk, y - 0.5 * tall), (x + trunk, y)],
                (40, 128, 0, 255))  # fmt: skip
    clumps = int(np.clip(tall * 0.5, 5, 26))
    a, r = rng.uniform(0, 6.28, clumps), np.sqrt(rng.random(clumps))
    cx, cy = np.cos(a) * r * 0.72, np.sin(a) * r * 0.72
    order = np.argsort(-cy * 0.3 + rng.standard_normal(clumps) * 0.4)[::-1]
    leaf = max(0.85, tall * 0.016)
    for i in order:
        size = rng.uniform(0.26, 0.42)
        n = int(np.clip((size * wide / leaf) ** 2 * 0.9, 8, 90))
        b, q = rng.uniform(0, 6.28, n), rng.random(n) ** 0.5
        px, py = np.cos(b) * q, np.sin(b) * q
        for dx, dy in zip(px[np.argsort(py)[::-1]], np.sort(py)[::-1], strict=True):
            up = -(0.55 * dy + 0.45 * cy[i])  # screen y is down: light comes from above
            side = 0.55 * dx + 0.5 * cx[i]
            ink = (int(np.clip(112 + 95 * up + 24 * rng.standard_normal(), 18, 255)),
                   int(np.clip(128 + 110 * side, 0, 255)), hue, 255)  # fmt: skip
            mx, my = x + (cx[i] + size * dx) * wide, y - tall * 0.57 + (cy[i] + size * dy * 0.9) * tall * 0.42
            s = leaf * rng.uniform(0.7, 1.5)
            pen.ellipse((mx - s, my - 0.75 * s, mx + s, my + 0.75 * s), ink)


def _conifer(pen: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, tall: float, hue: int) -> None:
    """A spruce of `tall` pixels: whorls of hanging branches that widen downwards."""
    wide = tall * rng.uniform(0.15, 0.22)
    whorls = int(np.clip(tall * 0.4, 6, 40))
    lopsided = rng.uniform(0.85, 1.15)
    for i in range(whorls):
        s = (i + 0.5) / whorls
        low = y - tall * (1 - s) * 0.97
        for _ in range(3):
            side = rng.choice((-1, 1))
            half = wide * s**0.85 * rng.uniform(0.35, 1.12) * lopsided**side
            ink = (int(np.clip(80 + 46 * (1 - s) + 34 * rng.standard_normal(), 15, 220)), 128 + 70 * side, hue, 255)
            drop = tall * rng.uniform(0.02, 0.07) * (0.4 + s)
            pen.polygon([(x, low - 0.06 * tall), (x + side * half, low + drop),
                         (x + 0.4 * side * half, low + 0.5 * drop),
                         (x - 0.1 * side * half, low)], ink)  # fmt: skip


@lru_cache(maxsize=4)
def trees(variant: int, pixel: float, reach: float, device: torch.device) -> tuple[Tensor, float, float]:
    """The trees on the meadow's rise: (1, 4, H, W) of shade, side that they turn, hue and cover (premultiplied), and
    the slopes of its bottom and top.

    Args:
        pixel: the size of a pixel in slopes, rounded by the caller.
        reach: the slope at the right end; its left is at -reach.
    """
    here, rng = land(variant), np.random.default_rng([variant, 24])
    x = torch.linspace(-reach, reach, 512)[None]
    ground = crest(here, x)[0].numpy()
    low, high = float(ground.min()) - 0.03, float(ground.max()) + (0.2 if here.tree else 0.08)
    columns, rows = int(2 * reach / pixel), int((high - low) / pixel)
    image = Image.new("RGBA", (columns * 2, rows * 2))
    pen = ImageDraw.Draw(image)

    def plant(at: float, tall: float, sink: float) -> None:
        foot = float(np.interp(at, x[0].numpy(), ground)) - sink
        paint = _conifer if here.alpine and rng.random() < 0.85 else _broadleaf
        across, down = (at + reach) / pixel * 2, (high - foot) / pixel * 2
        paint(pen, rng, across, down, tall / pixel * 2, int(rng.integers(40, 255)))

    for _ in range(int(1 + 5 * here.woods)):  # a few woods and hedges along the crest
        centre, wide = rng.uniform(-1.4, 1.4), rng.uniform(0.05, 0.35)
        for at in np.sort(rng.normal(centre, wide, int(10 + wide * 90)))[:: rng.choice((-1, 1))]:
            if abs(at) < reach - 0.05:
                plant(float(at), float(rng.uniform(0.018, 0.038) * 200 / here.crest), 0.0)
    if here.tree:
        plant(here.tree[0], here.tree[1], 0.35 * here.rise)
    small = image.convert("RGBa").resize((columns, rows), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, np.float32) / 255).permute(2, 0, 1)[None].to(device), low, high
