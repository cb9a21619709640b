"""What a lighthouse in fog looks like."""

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
        self.camera = light.Camera.of(stage, t, (3, 9), 0.0)
        self.variant = stage.segment(t).variant

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        return in_bands(self.view, self._shade)

    def _shade(self, band: View) -> Tensor:
        x, y = self.camera.slopes(band)
        image = light.sky(self.light, x, y, self.t, 8 * self.t, self.variant)
        return torch.where((y < 0)[..., None], 0.5 * image, image)
