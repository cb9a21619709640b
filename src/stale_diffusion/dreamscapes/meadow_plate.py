"""What grows in a meadow, painted once: strips of grass and flowers at growing distances, trees on the rise.

A strip is as fine as the picture at its distance, so that a frame looks it up about texel for pixel and nothing
shimmers. Colours are reflectances, premultiplied by cover.

Shapes: H rows, W columns of a strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

Array = NDArray[np.float64]
Colour = tuple[float, float, float]
RATIO = 1.17  # of the distances of neighbouring strips
STRIPS = 18  # in a picture
TALL = 1.25  # metres, the highest stalk
_SCALE = 255 / 0.7  # the brightest reflectance that is painted is 0.7

# Reflectances in the visible, linear: living leaves 0.03 red, 0.08-0.12 green, 0.02 blue; dry straw 0.2-0.35
# (Bowker et al. 1985, spectral reflectances of natural targets).
_GREENS: tuple[Colour, ...] = (
    (0.060, 0.115, 0.022),
    (0.085, 0.130, 0.030),
    (0.050, 0.090, 0.026),
    (0.105, 0.135, 0.040),
)
_STRAWS: tuple[Colour, ...] = (
    (0.290, 0.215, 0.105),
    (0.235, 0.180, 0.085),
    (0.190, 0.165, 0.070),
    (0.330, 0.260, 0.140),
)
_HEADS: tuple[Colour, ...] = ((0.26, 0.19, 0.10), (0.21, 0.12, 0.10), (0.30, 0.25, 0.14), (0.20, 0.17, 0.08))
_PETALS: tuple[tuple[tuple[Colour, float], ...], ...] = (
    (((0.50, 0.028, 0.012), 0.75), ((0.06, 0.09, 0.42), 0.25)),  # poppies, some cornflowers
    (((0.62, 0.46, 0.015), 0.85), ((0.60, 0.60, 0.55), 0.15)),  # buttercups
    (((0.66, 0.65, 0.60), 0.90), ((0.62, 0.46, 0.015), 0.10)),  # daisies
    (((0.42, 0.13, 0.26), 0.75), ((0.26, 0.14, 0.42), 0.25)),  # clover
)


@dataclass(frozen=True)
class Strip:
    """Grass at one distance: (1, 4, H, W + 2), red, green, blue and cover, wrapped by a texel at both sides.

    Args:
        z: metres from the camera.
        wide: metres from its left to its right end; it goes on from the beginning there.
        tall: metres from the ground to its top.
    """

    z: float
    wide: float
    tall: float
    texels: Tensor


@dataclass(frozen=True)
class Growth:
    """What a variant decides about its plants."""

    height: float  # of the canopy, metres
    greens: tuple[Colour, ...]
    heads: float  # stalks with seeds, per metre
    blooms: float  # flowers per metre
    petals: tuple[tuple[Colour, float], ...]
    head: Colour


@lru_cache(maxsize=64)
def growth(variant: int) -> Growth:
    """The plants of a variant."""
    rng = np.random.default_rng([variant, 21])
    dry = bool(variant >> 12 & 1)
    tint = rng.uniform(0.85, 1.2, 3) * np.array([1.0, 1.0, 0.9])
    palette = [_STRAWS[i] for i in range(4)] if dry else [_GREENS[i] for i in range(4)]
    if dry:
        palette[2] = _GREENS[3]
    elif rng.random() < 0.6:
        palette[3] = _STRAWS[1]
    colours = tuple((c[0] * tint[0], c[1] * tint[1], c[2] * tint[2]) for c in palette)
    return Growth(
        float(rng.uniform(0.42, 0.72)), colours, float(rng.uniform(5, 22)),
        float(rng.uniform(1.5, 9) * (0.5 if dry else 1)), _PETALS[variant >> 13 & 3],
        _HEADS[int(rng.integers(len(_HEADS)))],
    )  # fmt: skip


class _Sheet:
    """Paper to paint a strip on, twice as fine as the strip; what leaves one side enters at the other."""

    def __init__(self, wide: float, columns: int, rows: int) -> None:
        self.size, self.k, self.wide = (columns * 2, rows * 2), columns * 2 / wide, wide
        self.image = Image.new("RGBA", self.size)
        self.pen = ImageDraw.Draw(self.image)

    def polygons(self, points: Array, colours: Array) -> None:
        """Fill polygons (M, P, 2) in metres with reflectances (M, 3), one over the other."""
        inks = np.clip(colours * _SCALE, 0, 255).astype(int)
        flat = points * [self.k, -self.k] + [0, TALL * self.k]
        beyond = (flat[..., 0].max(1) > self.size[0]).astype(int) - (flat[..., 0].min(1) < 0)
        for shape, ink, over in zip(flat.round(1), inks.tolist(), beyond.tolist(), strict=True):
            fill = (*ink, 255)
            self.pen.polygon(shape.ravel().tolist(), fill)
            if over:
                self.pen.polygon((shape - [over * self.size[0], 0]).ravel().tolist(), fill)

    def texels(self, blur: float, device: torch.device) -> Tensor:
        """(1, 4, H, W + 2), premultiplied, blurred by some texels where it is out of focus."""
        small = self.image.convert("RGBa").resize((self.size[0] // 2, self.size[1] // 2), Image.Resampling.BOX)
        channels = [c.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.3 else c for c in small.split()]
        both = torch.stack([torch.from_numpy(np.asarray(c, np.float32)) for c in channels])[None]
        return F.pad(both * torch.tensor([1 / _SCALE] * 3 + [1 / 255])[:, None, None], (1, 1, 0, 0), "circular").to(
            device
        )


def _stem(foot: Array, tall: Array, lean: Array, droop: Array, s: Array) -> tuple[Array, Array]:
    """Points of stems that rise, lean and droop at their tips, (M, P) each."""
    lean, droop, foot, tall = (a[:, None] for a in (lean, droop, foot, tall))
    return foot + tall * (lean * s + droop * s**2.5), tall * (s - 0.45 * abs(lean) * s**2 - 0.38 * abs(droop) * s**3)


def _ribbons(foot: Array, tall: Array, lean: Array, droop: Array, width: Array) -> Array:
    """Blades as polygons, (M, 9, 2), metres."""
    x, y = _stem(foot, tall, lean, droop, np.linspace(0, 1, 5))
    half = width[:, None] / 2 * np.array([0.8, 1.0, 0.85, 0.55, 0.0])
    left, right = np.stack([x - half, y], -1), np.stack([x + half, y], -1)
    return np.concatenate([left, right[:, -2::-1]], 1)


def _discs(x: Array, y: Array, rx: Array, ry: Array, turn: Array, corners: int = 8) -> Array:
    """Ellipses as polygons, (M, corners, 2), metres."""
    p = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    a, b = rx[:, None] * np.cos(p), ry[:, None] * np.sin(p)
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    return np.stack([x[:, None] + a * c - b * s, y[:, None] + a * s + b * c], -1)


def _blades(sheet: _Sheet, rng: np.random.Generator, g: Growth, pixel: float) -> None:
    """The canopy: dark and short at the back, light and tall in front."""
    width = max(0.0055, 1.25 * pixel)
    n = int(min(sheet.wide * 190, 2.6 * sheet.wide / width))
    layer, foot = np.arange(n) / n, rng.uniform(0, sheet.wide, n)
    around = np.outer(foot / sheet.wide * 2 * np.pi, (1, 2, 3, 5)) + rng.uniform(0, 6.28, 4)
    patch = np.sin(around).sum(1) / 2
    tall = g.height * (0.55 + 0.45 * layer + 0.16 * rng.standard_normal(n) + 0.07 * patch)
    colour = np.array(g.greens)[rng.choice(4, n, p=(0.38, 0.3, 0.2, 0.12))]
    shade = (0.42 + 0.58 * layer) * np.exp(0.24 * rng.standard_normal(n) + 0.10 * patch)
    points = _ribbons(foot, np.maximum(tall, 0.1), 0.16 * rng.standard_normal(n), 0.42 * rng.standard_normal(n),
                      width * rng.uniform(0.6, 1.5, n))  # fmt: skip
    sheet.polygons(points, colour * shade[:, None])


def _stalks(sheet: _Sheet, rng: np.random.Generator, g: Growth, pixel: float) -> None:
    """Stalks with seeds: panicles of small grains above the canopy."""
    n = int(min(sheet.wide * g.heads, 0.22 * sheet.wide / pixel))
    foot, tall = rng.uniform(0, sheet.wide, n), g.height * rng.uniform(1.0, 1.5, n)
    lean, droop = 0.10 * rng.standard_normal(n), 0.22 * rng.standard_normal(n)
    colour = np.array(g.head) * np.exp(0.2 * rng.standard_normal((n, 1)))
    sheet.polygons(_ribbons(foot, tall, lean, droop, np.full(n, max(0.0022, 0.6 * pixel))), 0.75 * colour)
    grains = np.linspace(0.78, 1.0, 4 if pixel > 0.006 else 12)
    x, y = _stem(foot, tall, lean, droop, grains)
    r = np.maximum(np.maximum(0.0042, 0.62 * pixel) * (1.3 - abs(grains - 0.87) * 5), 0.5 * pixel)
    m = x.size
    sheet.polygons(
        _discs((x + 0.006 * rng.standard_normal(x.shape)).ravel(), y.ravel(), np.tile(r, n), 1.9 * np.tile(r, n),
               0.5 * rng.standard_normal(m), 6),
        np.repeat(colour, len(grains), 0) * rng.uniform(0.7, 1.3, (m, 1)),
    )  # fmt: skip


def _flowers(sheet: _Sheet, rng: np.random.Generator, g: Growth, pixel: float) -> None:
    """Flowers in drifts: each some petals about a darker or yellow middle; far ones are dots."""
    drifts = rng.uniform(0, sheet.wide, max(2, int(sheet.wide / 2.2)))
    n = int(min(sheet.wide * g.blooms, 0.16 * sheet.wide / pixel))
    foot = (rng.choice(drifts, n) + 0.45 * rng.standard_normal(n)) % sheet.wide
    tall, lean = g.height * rng.uniform(0.75, 1.35, n), 0.12 * rng.standard_normal(n)
    stem = np.full(n, max(0.0028, 0.6 * pixel))
    sheet.polygons(_ribbons(foot, tall, lean, 0.1 * lean, stem), np.tile(0.7 * np.array(g.greens[0]), (n, 1)))
    (x, y), kinds = (a[:, -1] for a in _stem(foot, tall, lean, 0.1 * lean, np.ones(1))), len(g.petals)
    petal = np.array([c for c, _ in g.petals])[rng.choice(kinds, n, p=[p for _, p in g.petals])]
    petal = petal * rng.uniform(0.75, 1.1, (n, 1))
    r, flat = np.maximum(rng.uniform(0.014, 0.026, n), 0.75 * pixel), rng.uniform(0.45, 0.95, n)
    if pixel > 0.009:
        sheet.polygons(_discs(x, y, r, r * flat, np.zeros(n)), petal)
        return
    a = 0.9 * np.arange(7) + rng.uniform(-0.2, 0.2, (n, 7))
    at = x[:, None] + 0.62 * r[:, None] * np.cos(a), y[:, None] + 0.62 * (r * flat)[:, None] * np.sin(a)
    tone = 0.82 + 0.25 * np.sin(a) + 0.1 * rng.standard_normal((n, 7))
    long, wide = np.repeat(0.52 * r, 7), np.repeat(0.40 * r * flat, 7)
    blossoms = _discs(at[0].ravel(), at[1].ravel(), long, wide, a.ravel()).reshape(n, 7, 8, 2)
    middles = _discs(x, y, 0.30 * r, 0.28 * r * flat, np.zeros(n))
    heart = np.where(petal.min(1, keepdims=True) > 0.2, np.array((0.55, 0.40, 0.03)), 0.25 * petal)
    points = np.concatenate([blossoms, middles[:, None]], 1).reshape(n * 8, 8, 2)
    colours = np.concatenate([petal[:, None] * tone[..., None], heart[:, None]], 1).reshape(n * 8, 3)
    sheet.polygons(points, colours)


@lru_cache(maxsize=72)
def strip(variant: int, k: int, ahead: int, width: int, height: int, focal: float, device: torch.device) -> Strip:
    """The strip at RATIO**k metres.

    Args:
        ahead: how many strips are before it, 0 to 3; the first are a little out of focus.
        width, height, focal: of the picture; the focal length rounded up by the caller, so that a slow zoom finds the
            same strips.
    """
    g, z = growth(variant), RATIO**k
    rng = np.random.default_rng([variant, 22, k + 100])
    pixel = z * 2 / height / focal
    columns, rows = int(width * 1.3) + 1, int(TALL / pixel) + 2
    sheet = _Sheet(columns * pixel, columns, rows)
    _blades(sheet, rng, g, pixel)
    _stalks(sheet, rng, g, pixel)
    _flowers(sheet, rng, g, pixel)
    focus = 0.0030 * height * max(0.0, 1 / RATIO**ahead - 0.58)
    return Strip(z, sheet.wide, rows * pixel, sheet.texels(focus, device))
