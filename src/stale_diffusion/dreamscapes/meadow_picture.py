"""What a meadow looks like."""

from __future__ import annotations

import torch
from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.scene import Stage


class Picture:
    """One frame."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.t, self.view = t, view
        self.light = light.stage_light(stage, t)
        self.camera = light.Camera.of(stage, t, (0.9, 2.2), 0.1)
        self.variant = stage.segment(t).variant
        self.drifted = 4 + 0.4 * t + 4 * stage.integral("wind", t)

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        return in_bands(self.view, self._shade)

    def _shade(self, band: View) -> Tensor:
        x, y = self.camera.slopes(band)
        image = light.sky(self.light, x, y, self.t, self.drifted, self.variant)
        return torch.where((y < 0)[..., None], light.colour((0.05, 0.09, 0.02), y), image)
