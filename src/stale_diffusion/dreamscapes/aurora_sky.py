"""Curtains of northern lights: sheets of glowing air along the field lines, from 95 to 400 km up.

A curtain stands on a folded line in the plane 100 km up and rises along the field. In a picture whose verticals stay
vertical, a point X km to the right and Z km away is in column X / Z, and a height of h km is at slope h / Z: so what
stands in each column at each distance, times the light at each height, is the picture - one product of matrices, exact
for any fold. The field's lean shears it.

Colours: the oxygen line at 557.7 nm (peak near 110 km), its slow red line at 630 nm (above 180 km, where nothing
quenches it), N2+ at 391 and 428 nm (violet) and the red N2 bands at the lower border of fast, hard electrons
(Chamberlain, Physics of the Aurora and Airglow, 1961).

Shapes: N points of a curtain, Z distances, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import texture
from stale_diffusion.scene import Stage

# Linear BT.709 of the lines, brought into the gamut as film does it: with white.
GREEN, RED, VIOLET, BORDER = (0.10, 1.0, 0.28), (1.0, 0.07, 0.13), (0.32, 0.10, 1.0), (1.0, 0.12, 0.42)
_NEAR, _FAR, _BINS = 70.0, 900.0, 112  # km; a bin is 2.3 % of the distance, less than the soft lower border
_DENSE = 3  # points of a curtain a column


@dataclass(frozen=True)
class Storm:
    """The aurora of a moment: how bright, how restless, and the phases that its motion has run through."""

    light: float
    flow: float
    phase: float  # seconds, faster the more flow
    t: float
    seed: int

    @classmethod
    def of(cls, stage: Stage, t: float) -> Storm:
        """The aurora of a stage at time t."""
        seed = stage.segment(t).variant
        return cls(stage.value("light", t), stage.value("flow", t), 0.25 * t + 1.9 * stage.integral("flow", t), t, seed)


def _spline(x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The first of four knots around x, and their weights in a cubic B-spline."""
    i = torch.floor(x)
    f = x - i
    g = 1 - f
    return i.long() - 1, [g**3 / 6, (3 * f**3 - 6 * f**2 + 4) / 6, (3 * g**3 - 6 * g**2 + 4) / 6, f**3 / 6]


def _wave(seed: int, slope: float, x: Tensor, y: float) -> Tensor:
    """Noise along a line (N,), smooth to the second derivative in x and y: the light of a curtain goes with the inverse
    of how fast it folds, so the kinks of bilinear noise would show as a fence of rays."""
    tile = texture(seed, 256, slope)[0, 0, 1:-1, 1:-1]
    first, weights = _spline(torch.tensor(y % 1.0 * 256))
    row = sum((w * tile[int(first + k) % 256] for k, w in enumerate(weights)), torch.zeros(256))
    first, weights = _spline(x * 256)
    return sum((w * row[(first + k) % 256] for k, w in enumerate(weights)), torch.zeros(x.shape))


def _curtain(
    storm: Storm, k: int, rng: np.random.Generator, wide: float, points: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Curtain k: X and Z in km, light of low hard rays and of tall soft ones at each point, (N,) each."""
    away = float(np.exp(rng.uniform(np.log((220, 150, 150)[k]), np.log((460, 520, 620)[k]))))
    slant, row, start = rng.normal(0, 0.22), rng.random(), rng.random()
    s = torch.linspace(-1.35, 1.35, points) * away * wide  # km along the arc
    p, busy = storm.phase, 0.25 + 0.75 * storm.flow
    drift = (0.010, -0.013, 0.008)[k] * p
    big = _wave(311, 2.0, s / 2600 + start + 0.12 * drift, row + 0.0009 * p)
    mid = _wave(312, 1.9, s / 900 + start + 0.5 * drift, row + 0.0040 * p)
    curl = _wave(313, 1.8, s / 420 + start + drift, 0.3 + row + 0.009 * p)
    curl_x = _wave(313, 1.8, s / 420 + start + drift, 0.37 + row + 0.009 * p)
    fold = away / 300 * busy
    x = s + 44 * fold * curl_x + 12 * fold * mid
    z = away + slant * s + away * 0.20 * big + 36 * fold * mid + 30 * fold * curl
    patch = _wave(314, 1.6, s / 1500 + 0.7 * start + 0.2 * drift, row + 0.006 * p)
    sheet = torch.exp(1.15 * patch + 0.25 * mid - 0.3)
    fine = _wave(315, 1.3, s / 300 + start + 1.7 * drift, row + 0.05 * p)
    finer = _wave(316, 1.1, s / 170 + start + 2.9 * drift, row + 0.09 * p)
    rays = torch.exp((0.16 + 0.30 * storm.flow) * fine + (0.08 + 0.22 * storm.flow) * finer)
    tall = torch.exp(0.18 * fine + 0.80 * _wave(317, 1.4, s / 500 + start + 1.2 * drift, row + 0.02 * p) - 0.3)
    ends = 1 / (1 + (s / (away * 2.4)) ** 4)
    return x, z.clamp(min=_NEAR * 1.02), sheet * rays * ends, sheet * tall * ends


def _stand(storm: Storm, left: float, step: float, columns: int) -> tuple[Tensor, Tensor]:
    """What glows in each column at each distance, hard and soft, (Z, W) each."""
    rng = np.random.default_rng([storm.seed, 31])
    shares = (1.0, *(float(v) for v in rng.random(2) ** 2.2))
    log_step = float(np.log(_FAR / _NEAR)) / (_BINS - 1)
    out = torch.zeros(2, _BINS * columns)
    for k, share in enumerate(shares):
        x, z, hard, soft = _curtain(storm, k, rng, -left, _DENSE * columns)
        if share < 0.04:
            continue
        column, row = (x / z - left) / step - 0.5, torch.log(z / _NEAR) / log_step
        length = F.pad(torch.hypot(torch.diff(x), torch.diff(z)), (0, 1), mode="constant", value=0.0)
        light = torch.stack([hard, soft]) * share * length / z / step
        c, r = torch.floor(column), torch.floor(row).clamp(0, _BINS - 2)
        fc, fr = column - c, (row - r).clamp(0, 1)
        for dr, wr in ((0, 1 - fr), (1, fr)):
            for dc, wc in ((0, 1 - fc), (1, fc)):
                inside = (c + dc >= 0) & (c + dc < columns)
                index = ((r + dr) * columns + (c + dc).clamp(0, columns - 1)).long()
                out.index_add_(1, index, light * (wr * wc * inside))
    return out[0].view(_BINS, columns), out[1].view(_BINS, columns)


def _profiles(h: Tensor, light: float) -> tuple[Tensor, Tensor]:
    """Light along the field at heights h km, of hard and of soft electrons, (3, *h) each."""

    def layer(peak: float, under: float, over: float) -> Tensor:
        below, above = ((h - peak) / under).clamp(max=0), ((h - peak) / over).clamp(min=0)
        return torch.exp(-(below**2)) * torch.exp(-above) * (1 + above)

    def mix(*parts: tuple[Tensor, tuple[float, float, float], float]) -> Tensor:
        return torch.stack([sum(p * c[i] * a for p, c, a in parts) for i in range(3)])  # type: ignore[misc]

    fierce = light * light
    hard = mix((layer(107, 7, 13), GREEN, 1.0), (layer(103, 5, 16), VIOLET, 0.10 + 0.30 * fierce),
               (layer(98, 4, 3.5), BORDER, 0.55 * fierce))  # fmt: skip
    soft = mix((layer(116, 11, 24), GREEN, 0.40), (layer(220, 32, 42), RED, 0.035 + 0.075 * light),
               (layer(135, 25, 45), VIOLET, 0.03 + 0.06 * fierce))  # fmt: skip
    return hard, soft


def curtains(storm: Storm, left: float, step: float, columns: int, y: Tensor) -> Tensor:
    """The aurora at slopes x = left + (i + 0.5) step and y (H, 1) > 0, linear light (3, H, W).

    Light falls off with air mass near the horizon (0.2 magnitudes each), and a soft veil surrounds each curtain.
    """
    hard, soft = _stand(storm, left, step, columns)
    # A sheet is about a kilometre thick (Borovsky 1993 gives 0.1 to 10): some 0.004 in slope at 250 km.
    taps = max(1, round(0.0035 / step))
    kernel = torch.hann_window(2 * taps + 3, periodic=False)[1:-1]
    kernel = (kernel / kernel.sum())[None, None]
    hard = F.conv1d(hard[:, None], kernel, padding=taps)[:, 0]
    soft = F.avg_pool1d(F.conv1d(soft[:, None], kernel, padding=taps), 2 * taps + 1, 1, taps)[:, 0]
    wide = max(1, round(0.06 / step))
    veil = F.avg_pool1d(F.avg_pool1d(soft[:, None], 2 * wide + 1, 1, wide), 2 * wide + 1, 1, wide)[:, 0]
    distance = _NEAR * (_FAR / _NEAR) ** (torch.arange(_BINS) / (_BINS - 1))
    by_hard, by_soft = _profiles(y * distance, storm.light)
    mass = torch.exp(-0.18 / (y * torch.rsqrt(1 + y * y) + 0.05))
    gain = 0.030 + 0.27 * storm.light**2.0
    both = gain * mass * (by_hard @ hard + by_soft @ (0.65 * soft + 0.45 * veil))
    film: Tensor = both / (1 + 0.55 * both.amax(0))  # keeps the hue of what is too bright
    return film
