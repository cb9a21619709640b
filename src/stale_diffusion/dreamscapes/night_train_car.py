"""The compartment of a night train as a plate: panel, frame, curtains, table, lamp, and what the glass mirrors.

In slopes about the middle of the window: x to the right, y up; the eye is a metre from the glass.

Channels: panel and things in lamplight (3), their albedo for the light from outside (3), glow of the lamp, glass, the
mirror image of the compartment in lamplight (3), the cup.

Shapes: C = 12 channels, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture

WIDE, HIGH = 1.75, 1.05  # the slopes that a plate covers
FOCAL = 1.45  # at which a pixel of the plate is a pixel of the picture
LIT, ALBEDO, GLOW, GLASS, MIRROR, CUP = slice(0, 3), slice(3, 6), slice(6, 7), slice(7, 8), slice(8, 11), slice(11, 12)
_PANELS = ((0.20, 0.105, 0.055), (0.42, 0.37, 0.28), (0.11, 0.13, 0.155), (0.16, 0.14, 0.115), (0.30, 0.24, 0.17))
"""Albedo: walnut, cream laminate, blue-grey, grey-green felt, beech."""
_CLOTHS = ((0.22, 0.028, 0.030), (0.30, 0.19, 0.06), (0.05, 0.075, 0.14), (0.05, 0.10, 0.065), (0.33, 0.29, 0.23))
_LAMP = (1.0, 0.56, 0.22)  # 2,700 K, linear


@dataclass(frozen=True)
class Car:
    """A plate (1, C, H, W) and where things are in slopes."""

    layers: Tensor
    glass: tuple[float, float, float, float]  # left, right, bottom, top of the pane
    cup: tuple[float, float]  # the brim of the cup


@dataclass(frozen=True)
class _Layout:
    left: float
    right: float
    low: float
    high: float
    round: float
    side: float  # where the lamp stands: -1 left, 1 right
    lamp: tuple[float, float]
    panel: tuple[float, float, float]
    cloth: tuple[float, float, float]
    curtains: tuple[bool, bool]
    seed: int


def _layout(variant: int) -> _Layout:
    rng = np.random.default_rng([variant, 50])
    half, side = float(rng.uniform(0.80, 1.05)), float(rng.choice((-1, 1)))
    low, high = float(rng.uniform(-0.46, -0.36)), float(rng.uniform(0.46, 0.62))
    lamp = (side * half * float(rng.uniform(0.55, 0.85)), low + 0.16)
    return _Layout(
        -half, half, low, high, float(rng.uniform(0.04, 0.13)), side, lamp, _PANELS[int(rng.integers(len(_PANELS)))],
        _CLOTHS[int(rng.integers(len(_CLOTHS)))], (bool(rng.random() < 0.75), bool(rng.random() < 0.75)),
        int(rng.integers(1000)),
    )  # fmt: skip


def _round(x: Tensor, y: Tensor, box: tuple[float, float, float, float], radius: float) -> Tensor:
    """Signed distance to a rounded rectangle, positive inside."""
    left, right, low, high = box
    dx = (x - (left + right) / 2).abs() - (right - left) / 2 + radius
    dy = (y - (low + high) / 2).abs() - (high - low) / 2 + radius
    out = torch.hypot(dx.clamp(min=0), dy.clamp(min=0)) + torch.maximum(dx, dy).clamp(max=0)
    return radius - out


def _soft(d: Tensor, s: float = 0.02) -> Tensor:
    """Coverage of a signed distance, out of focus by s."""
    return (d / s + 0.5).clamp(0, 1)


class _Painter:
    """A plate that is being painted, over x (1, W) and y (H, 1)."""

    def __init__(self, p: _Layout, x: Tensor, y: Tensor, pixel: float) -> None:
        self.p, self.x, self.y, self.pixel = p, x, y, pixel
        self.layers = torch.zeros(12, y.shape[0], x.shape[1])
        lx, ly = p.lamp
        r = (x - lx) ** 2 + (y - ly) ** 2
        above = smoothstep(-0.25, 0.35, y - ly)  # the shade sends most light down and some up
        self.light = (1.25 - 0.55 * above) * (0.10 / (0.05 + r) + 0.10)

    def edge(self, inside: Tensor) -> Tensor:
        """Coverage of a signed distance."""
        return (inside / self.pixel + 0.5).clamp(0, 1)

    def cover(
        self, alpha: Tensor, colour: tuple[float, float, float], tone: Tensor | float, glass: float = 0.0
    ) -> None:
        """Lay a surface over: its colour times tone, lit by the lamp."""
        tone = torch.as_tensor(tone).expand_as(alpha)
        for i in range(3):
            lit = colour[i] * tone * self.light * _LAMP[i]
            self.layers[i] += alpha * (lit - self.layers[i])
            self.layers[3 + i] += alpha * (colour[i] * tone - self.layers[3 + i])
        self.layers[6] *= 1 - alpha
        self.layers[7] += alpha * (glass - self.layers[7])

    def panel(self) -> None:
        """The wall around the window: veneer or laminate, with a seam."""
        grain = sample(texture(501, 512, 1.4), self.x * 0.25 + 0.1 * self.p.seed, self.y * 2.4)
        fine = sample(texture(502, 512, 0.7), self.x * 0.7, self.y * 5.0) / (1 + (self.pixel * 180) ** 2)
        tone = 1 + 0.12 * grain + 0.05 * fine
        seam = torch.exp(-(((self.y + 0.78) / 0.006) ** 2)) * 0.5
        self.cover(torch.ones_like(tone), self.p.panel, (tone - seam).clamp(min=0.2))

    def window(self) -> None:
        """A frame with rounded corners, a rubber seal, the pane."""
        p = self.p
        box = (p.left, p.right, p.low, p.high)
        d = _round(self.x, self.y, box, p.round)
        frame = d + 0.075
        shine = 0.7 + 0.5 * smoothstep(0.0, 0.03, frame) - 0.5 * smoothstep(0.035, 0.07, frame)
        self.cover(self.edge(frame), (0.30, 0.28, 0.26), shine)
        self.cover(self.edge(d + 0.022), (0.016, 0.016, 0.018), 1.0)
        self.cover(self.edge(d), (0.0, 0.0, 0.0), 0.0, 1.0)

    def curtain(self, side: int) -> None:
        """A curtain drawn to one side, in folds."""
        p = self.p
        at = p.left if side < 0 else p.right
        inner = at - side * (
            0.10 + 0.05 * torch.sin(2.4 * self.y + p.seed) + 0.10 * (self.y - p.low).clamp(min=0) ** 1.5
        )
        folds = (
            26 * (self.x - 0.15 * side * self.y) + 1.6 * torch.sin(2.1 * self.y + p.seed) + 0.7 * torch.sin(9 * self.x)
        )
        fold = torch.sin(folds)
        weave = sample(texture(503, 512, 0.5), self.x * 4, self.y * 4) / (1 + (self.pixel * 300) ** 2)
        tone = (0.62 + 0.38 * fold - 0.12 * (fold < -0.5) + 0.06 * weave) * (0.9 + 0.3 * torch.sin(folds * 0.5 + 1))
        inside = side * (self.x - inner) + 0.012 * fold
        hem = torch.minimum(p.high + 0.12 - self.y, self.y - p.low + 0.10 + 0.01 * fold)
        stop = at + side * 0.26
        inside = torch.minimum(torch.minimum(inside, hem), side * (stop - self.x))
        self.cover(self.edge(inside), p.cloth, tone.clamp(0.20, 1.3))

    def table(self) -> None:
        """A small table below the pane: its top towards us, its edge."""
        p = self.p
        level = p.low - 0.035
        half = 0.62 * p.right - 0.35 * (self.y - level)
        top = torch.minimum(level - self.y, half - self.x.abs())
        grain = sample(texture(501, 512, 1.2), self.x * 1.2, self.y * 4 + 0.3)
        self.cover(self.edge(torch.minimum(top, self.y - level + 0.17)), p.panel, 1.25 + 0.15 * grain)
        front = torch.minimum(torch.minimum(level - 0.17 - self.y, self.y - level + 0.195), half - self.x.abs())
        self.cover(self.edge(front), p.panel, 0.55)

    def lamp(self) -> None:
        """A little lamp with a cloth shade on the table."""
        lx, ly = self.p.lamp
        foot = torch.minimum(0.008 - (self.x - lx).abs(), torch.minimum(ly - self.y, self.y - ly + 0.22))
        self.cover(self.edge(foot), (0.35, 0.26, 0.12), 0.8)
        base = 1 - ((self.x - lx) / 0.05) ** 2 - ((self.y - ly + 0.215) / 0.014) ** 2
        self.cover(self.edge(base * 0.01), (0.35, 0.26, 0.12), 0.7)
        shade = self._shade(self.x, self.y, lx, ly)
        alpha = self.edge(shade)
        self.cover(alpha, (0.5, 0.4, 0.3), 0.5)
        glow = 1.15 - 4.5 * (self.y - ly - 0.02).abs() - 5 * (self.x - lx) ** 2 / 0.06
        self.layers[6] = torch.maximum(self.layers[6], alpha * glow.clamp(min=0.25))

    @staticmethod
    def _shade(x: Tensor, y: Tensor, lx: float, ly: float) -> Tensor:
        wide = 0.105 - 0.30 * (y - ly)
        return torch.minimum(wide - (x - lx).abs(), 0.085 - (y - ly - 0.04).abs())

    def cup(self) -> tuple[float, float]:
        """A cup on the table, in a channel of its own; its brim."""
        cx, foot = -0.30 * self.p.side * self.p.right, self.p.low - 0.095
        y = self.y - foot
        body = torch.minimum(0.040 + 0.10 * y - (self.x - cx).abs(), torch.minimum(y, 0.085 - y))
        handle = 0.010 - (torch.hypot(self.x - cx - 0.062, (y - 0.045) * 1.1) - 0.026).abs()
        self.layers[11] = torch.maximum(self.edge(body), self.edge(handle))
        return cx, foot + 0.088

    def mirror(self) -> None:
        """What the pane mirrors: the other wall, a door to the corridor, seats, a rack, the lamp once more."""
        p, rng = self.p, np.random.default_rng([self.p.seed, 51])
        x, y = self.x + 0 * self.y, self.y + 0 * self.x
        lx, ly = 0.82 * p.lamp[0], 0.82 * p.lamp[1] + 0.01
        near = 0.06 / (0.06 + (x - lx) ** 2 + (y - ly) ** 2) + 0.10
        tone = 0.10 * near * (1 + 0.2 * sample(texture(501, 512, 1.5), x * 0.3 + 0.4, y * 1.5))
        door = float(rng.uniform(-0.3, 0.3))
        pane = _soft(_round(x, y, (door - 0.10, door + 0.10, -0.12, 0.34), 0.02), 0.012)
        jamb = _soft(_round(x, y, (door - 0.17, door + 0.17, -0.6, 0.42), 0.02), 0.012)
        tone = tone * (1 - 0.35 * jamb) + 0.16 * pane * (0.8 + 0.4 * smoothstep(-0.1, 0.3, y))
        rack = _soft(0.010 - (y - 0.40 - 0.02 * x).abs(), 0.010)
        tone = tone + 0.10 * near * rack
        for k in range(int(rng.integers(1, 3))):
            bx = float(rng.uniform(-0.5, 0.5))
            case = _soft(_round(x, y, (bx - 0.12, bx + 0.12, 0.41, 0.53 - 0.03 * k), 0.02), 0.015)
            tone = tone * (1 - 0.6 * case) + 0.05 * near * case
        for side in (-1, 1):
            sx = side * 0.47
            seat = _soft(_round(x, y, (sx - 0.17, sx + 0.17, -0.7, 0.16), 0.07), 0.02)
            cloth = _soft(_round(x, y, (sx - 0.11, sx + 0.11, -0.02, 0.14), 0.03), 0.02)
            tone = tone * (1 - seat) + near * seat * (0.07 + 0.20 * cloth)
        shade = _soft(self._shade(x / 0.82, y / 0.82, lx / 0.82, ly / 0.82), 0.03)
        tone = tone + 1.5 * shade
        colour = torch.tensor(_LAMP)[:, None, None] * torch.tensor([0.9, 0.95, 1.0])[:, None, None]
        self.layers[MIRROR] = tone * colour


def _build(p: _Layout, x: Tensor, y: Tensor, pixel: float) -> tuple[Tensor, tuple[float, float]]:
    painter = _Painter(p, x, y, pixel)
    painter.panel()
    painter.window()
    for side, there in zip((-1, 1), p.curtains, strict=True):
        if there:
            painter.curtain(side)
    painter.table()
    painter.lamp()
    cup = painter.cup()
    painter.mirror()
    return painter.layers, cup


@lru_cache(maxsize=4)
def car(variant: int, height: int, device: torch.device) -> Car:
    """The compartment of a variant for pictures `height` pixels high, over -WIDE..WIDE and -HIGH..HIGH."""
    finer = 2 if height < 240 else 1  # small pictures would alias
    pixel = 2 / height / FOCAL / finer
    columns, rows = finer * round(2 * WIDE / pixel / finer), finer * round(2 * HIGH / pixel / finer)
    x = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None] * WIDE
    y = (1 - (torch.arange(rows) + 0.5) / rows * 2)[:, None] * HIGH
    p = _layout(variant)
    layers, cup = _build(p, x, y, pixel)
    return Car(F.avg_pool2d(layers[None], finer).to(device), (p.left, p.right, p.low, p.high), cup)
