"""What a bakery oven looks like."""

from __future__ import annotations

import torch
from torch import Tensor

from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Stage


def render(stage: Stage, t: float, view: View, open_: float) -> Tensor:
    """The picture at time t, (rows, W, 3), linear light."""
    fire = stage.value("fire", t)
    glow = torch.exp(-3 * (view.u**2 + (view.v + 0.002 * t) ** 2))[..., None]
    return glow * (0.1 + fire + open_) * torch.tensor([1.0, 0.5, 0.2], device=view.device) + 0.02
