"""Are probabilities what they say? Reliability of a denoiser's eta by staleness: numbers, and a picture.

Shapes: B images, N = 784 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from digits import SCHEDULE
from stale_diffusion.channel import corrupt
from stale_diffusion.sample import Denoiser

STALENESS = (0.2, 0.4, 0.6, 0.8, 1.0)
BINS = 20
PANEL, GAP, TOP = 150, 24, 44


@dataclass(frozen=True)
class Curve:
    """Args: staleness; said, found, share (BINS,): mean eta of the bits in a bin, share of them that are +1, share of
    all bits; error: expected calibration error, the mean of |said - found| over bits."""

    staleness: float
    said: Tensor
    found: Tensor
    share: Tensor
    error: float


def curve(eta: Tensor, x_0: Tensor, staleness: float) -> Curve:
    """Bits sorted into even bins of eta."""
    eta, plus = eta.flatten().double(), (x_0.flatten() > 0).double()
    which = (eta * BINS).long().clamp(max=BINS - 1)
    count = torch.zeros(BINS, dtype=torch.float64).index_add(0, which, torch.ones_like(eta))
    said = torch.zeros(BINS, dtype=torch.float64).index_add(0, which, eta) / count
    found = torch.zeros(BINS, dtype=torch.float64).index_add(0, which, plus) / count
    share = count / count.sum()
    return Curve(staleness, said, found, share, float((share * (said - found).abs()).nan_to_num().sum()))


def curves(denoise: Denoiser, x_0: Tensor, generator: torch.Generator) -> list[Curve]:
    """One curve a staleness of `STALENESS`."""
    found = []
    for staleness in STALENESS:
        t = torch.full(x_0.shape, staleness, dtype=torch.float64)
        found.append(curve(denoise(corrupt(x_0, t, generator, SCHEDULE), t), x_0, staleness))
    return found


def picture(arms: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """A PNG: a row an arm, a column a staleness; said across, found upwards; a dot's area is the share of bits."""
    width = 110 + len(STALENESS) * (PANEL + GAP)
    image = Image.new("RGB", (width, TOP + len(arms) * (PANEL + GAP)), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for column, staleness in enumerate(STALENESS):
        draw.text((110 + column * (PANEL + GAP), 8), f"staleness {staleness}", "black", font)
    for row, (name, found) in enumerate(arms.items()):
        y = TOP + row * (PANEL + GAP)
        draw.text((4, y + PANEL / 2 - 8), name.replace("_", "\n"), "black", font)
        for column, one in enumerate(found):
            _panel(draw, 110 + column * (PANEL + GAP), y, one, font)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _panel(draw: ImageDraw.ImageDraw, x: int, y: int, one: Curve, font: ImageFont.FreeTypeFont) -> None:
    draw.rectangle((x, y, x + PANEL, y + PANEL), outline="#999999")
    draw.line((x, y + PANEL, x + PANEL, y), "#bbbbbb")
    seen = [i for i in range(BINS) if one.share[i] > 0]
    points = [(x + PANEL * float(one.said[i]), y + PANEL * (1 - float(one.found[i]))) for i in seen]
    draw.line(points, "#1f5fbf", 2)
    for i, (across, down) in zip(seen, points, strict=True):
        radius = 1.5 + 10 * float(one.share[i]) ** 0.5
        draw.ellipse((across - radius, down - radius, across + radius, down + radius), "#1f5fbf")
    draw.text((x + 6, y + 4), f"{100 * one.error:.2f} %", "black", font)
