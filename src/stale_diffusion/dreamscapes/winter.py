"""What winter places share: a canvas to paint a plate on without its light, and snow-laden firs.

Channels of a canvas: albedo (3), openness to the sky, metres away, sky (1 where nothing stands), glow of what shines by
itself, spill of that light on what is around, share of bare ice.

Shapes: C = 9 channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture

CHANNELS = 9
OPEN, FAR, SKY, GLOW, SPILL, MIRROR = 3, 4, 5, 6, 7, 8
SNOW = (0.80, 0.84, 0.88)  # albedo of fresh snow, a little bluish as the sky's light comes back out of it
_NEEDLES = (0.020, 0.032, 0.022)

Value = Tensor | float


@dataclass(frozen=True)
class Canvas:
    """A plate that is being painted: layers (C, H, W) over u (1, W) and v (H, 1); `pixel` is its pixel in u and v."""

    layers: Tensor
    u: Tensor
    v: Tensor
    pixel: float

    @classmethod
    def blank(cls, u: Tensor, v: Tensor, pixel: float) -> Canvas:
        """Nothing but sky."""
        layers = torch.zeros(CHANNELS, v.shape[0], u.shape[1])
        layers[FAR], layers[SKY] = 1e4, 1.0
        return cls(layers, u, v, pixel)

    def box(self, left: float, right: float, low: float, high: float) -> Canvas | None:
        """The part of it within some u and v, sharing its memory; None where there is none."""
        columns = ((self.u[0] > left - self.pixel) & (self.u[0] < right + self.pixel)).nonzero()
        rows = ((self.v[:, 0] > low - self.pixel) & (self.v[:, 0] < high + self.pixel)).nonzero()
        if not len(columns) or not len(rows):
            return None
        c, r = slice(int(columns[0]), int(columns[-1]) + 1), slice(int(rows[0]), int(rows[-1]) + 1)
        return Canvas(self.layers[:, r, c], self.u[:, c], self.v[r], self.pixel)

    def cover(
        self, alpha: Tensor, colour: Sequence[Value], open_: Value, far: Value, glow: Value = 0.0, spill: Value = 0.0
    ) -> None:
        """Lay something over, (H, W) coverage, in place."""
        for layer, value in zip(self.layers, (*colour, open_, far, 0.0, glow, spill, 0.0), strict=True):
            layer += alpha * (value - layer)

    def edge(self, inside: Tensor) -> Tensor:
        """Coverage of a shape whose signed distance in u and v is positive inside."""
        return (inside / self.pixel + 0.5).clamp(0, 1)


def line(seed: int, slope: float, x: Tensor, row: float) -> Tensor:
    """Smooth noise along a line, of x in tiles of 256 texels."""
    return sample(texture(seed, 256, slope), x, torch.full((1, 1), row))


def fir(canvas: Canvas, foot: tuple[float, float], tall: float, far: float, laden: float, seed: int) -> None:
    """A fir: tiers of drooping branches, snow on each, dark below.

    Args:
        foot: u, v of its foot.
        tall: height in v.
        far: metres away.
        laden: how much snow it bears, [0, 1].
    """
    rng = np.random.default_rng([seed, 3])
    slim, tiers, lean = rng.uniform(0.17, 0.27), rng.uniform(9, 15), rng.normal(0, 0.012)
    part = canvas.box(foot[0] - 0.36 * tall, foot[0] + 0.36 * tall, foot[1] - 0.02 * tall, foot[1] + 1.05 * tall)
    if part is None:
        return
    h = (part.v - foot[1]) / tall
    a = (part.u - foot[0]) / tall - lean * h
    side = a.abs()
    pixel = part.pixel / tall  # of the tree's height
    tier = slim / tiers  # about how high a tier is
    rough = sample(texture(301, 256, 0.9), a * 0.9 + 0.137 * seed, h * 0.9) / (1 + (pixel / tier) ** 2)
    down = (1 - h).clamp(min=0)
    g = tiers * (down - 0.55 * side).clamp(min=0) ** 0.8
    frond = sample(texture(302, 256, 0.7), a / slim * 0.10 + 0.31 * torch.floor(g), 0.071 * seed + 0 * h)
    g = (g + 0.20 * frond + 0.10 * rough).clamp(min=0)
    k = torch.floor(g)
    q = g - k
    ragged = sample(texture(302, 256, 0.3), k * 0.173 + 0.29 * torch.sign(a) + 0.071 * seed, k * 0.31)
    width = slim * down**0.9 * (1.12 + 0.13 * ragged)
    reach = width * (0.55 + 0.45 * q**0.7) * (1 + 0.06 * rough)
    alpha = ((reach - side) / pixel + 0.5).clamp(0, 1) * smoothstep(0.01, 0.03, h + 0.015 * frond) * (down > 0)
    needles = sample(texture(303, 512, 0.4), part.u * 3.1, part.v * 3.1)
    inner = (side / width.clamp(min=1e-3)).clamp(0, 1)
    seen = float(np.clip(0.5 * tier / pixel - 0.3, 0, 1))  # far trees blend snow and needles
    snow = smoothstep(0.80, 0.42, q + 0.13 * rough + 0.07 * needles * seen - 0.12 * inner)
    snow = (laden * (snow * seen + 0.45 * (1 - seen)) * (0.65 + 0.35 * inner)).clamp(0, 1)
    light = (0.22 + 0.72 * (1 - q) * seen + 0.4 * (1 - seen)) * (0.6 + 0.4 * inner) * (0.7 + 0.3 * h)
    light = light * (1 + (0.10 * needles + 0.14 * rough) * seen)
    colour = [c + snow * (s - c) for c, s in zip(_NEEDLES, SNOW, strict=True)]
    part.cover(alpha, colour, light.clamp(0.05, 1), far)
