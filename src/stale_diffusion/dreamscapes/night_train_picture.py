"""The picture."""

from __future__ import annotations

from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Stage


def render(stage: Stage, t: float, view: View) -> Tensor:
    """The sky at time t, (rows, W, 3), linear light."""
    x, y = light.Camera.of(stage, t, (1.4, 2.0), 0.0).slopes(view)
    return light.sky(light.stage_light(stage, t), x, y, t, 0.0, stage.segment(t).variant)
