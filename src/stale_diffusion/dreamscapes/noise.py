"""Noise for pictures: tileable textures of a given spectral slope, sampled anywhere without a seam.

A texture made once by a Fourier transform costs one bilinear look-up where layered value noise costs an octave each.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@lru_cache(maxsize=64)
def texture(seed: int, size: int = 512, slope: float = 1.5, low: float = 2.0, device: str = "cpu") -> Tensor:
    """A tile of Gaussian noise with amplitude ~ f^-slope, (1, 1, size + 2, size + 2), mean 0, deviation 1.

    Args:
        slope: 1 is pink, 1.5-2 like clouds; with slope 0 it is white.
        low: frequencies below this many cycles a tile are left out, so that the tile does not show.
    """
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn(size, size, generator=generator))
    fy = torch.fft.fftfreq(size)[:, None] * size
    fx = torch.fft.rfftfreq(size)[None] * size
    f = torch.sqrt(fx**2 + fy**2)
    tile = torch.fft.irfft2(spectrum * torch.where(f >= low, f.clamp(min=1) ** -slope, torch.zeros(())), s=(size, size))
    tile = (tile - tile.mean()) / tile.std()
    return F.pad(tile[None, None], (1, 1, 1, 1), mode="circular").to(device)


def sample(tile: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Look a texture up at x, y in tiles (any real numbers, wrapping), bilinear; x and y broadcast to (H, W)."""
    size = tile.shape[-1] - 2
    # Texel 1 of the padded tile is texel 0. Each axis is folded before it is broadcast: half the work.
    u, v = ((c - torch.floor(c)) * (2 * size / (size + 2)) + (2 / (size + 2) - 1) for c in (x, y))
    return F.grid_sample(tile, grid_of(u, v), mode="bilinear", padding_mode="border", align_corners=False)[0, 0]


def grid_of(x: Tensor, y: Tensor) -> Tensor:
    """The places that F.grid_sample looks up, (1, H, W, 2): x and y broadcast to (H, W), in [-1, 1]."""
    planes = torch.empty(2, max(x.shape[0], y.shape[0]), max(x.shape[1], y.shape[1]), device=x.device)
    planes[0], planes[1] = x, y
    return planes.permute(1, 2, 0)[None]


def tint(mask: Tensor, colour: Tensor) -> Tensor:
    """A colour (3,) by a mask (H, W), as an image (H, W, 3).

    Its planes lie one after the other in memory, and so do those of all that is computed from it: loops over pixels
    take a sixth of the time of loops over three channels.
    """
    return torch.mul(mask, colour[:, None, None]).permute(1, 2, 0)


def blank(rows: int, columns: int, channels: int, device: torch.device) -> Tensor:
    """Room for an image (H, W, C), plane after plane."""
    return torch.empty(channels, rows, columns, device=device).permute(1, 2, 0)


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 below low, 1 above high, smooth between (low > high turns it round)."""
    s = ((x - low) / (high - low)).clamp(0, 1)
    return s * s * (3 - 2 * s)


def hash2(x: Tensor, y: Tensor, seed: float = 0.0) -> Tensor:
    """A random number in [0, 1) for each integer cell (x, y)."""
    h = torch.sin(x * 127.1 + y * 311.7 + seed * 74.7) * 43758.5453
    return h - torch.floor(h)
