"""The surface of open water: a spectrum of waves turned into slopes by a Fourier transform, and how it shines.

Waves are a sum of plane waves under the dispersion of deep water, as in Tessendorf, Simulating Ocean Water (2001), in
four tiles of growing size; what is too fine for a pixel goes into the roughness of the glitter (Cox and Munk 1954).

Shapes: C tiles, N texels, H rows, W columns.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.light import Light, clear_sky, sky
from stale_diffusion.dreamscapes.noise import grid_of, smoothstep

LENGTHS = (4.7, 19.0, 83.0, 370.0)  # metres a tile
_TEXELS = 128


@lru_cache(maxsize=8)
def _spectrum(length: float, heading: float, seed: int) -> tuple[Tensor, Tensor]:
    """Amplitudes of slope x, slope z and height of waves towards -z, (3, N, N/2 + 1), and their rad/s."""
    n = _TEXELS
    kx = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)[:, None]
    kz = torch.fft.rfftfreq(n, 1 / n, dtype=torch.float64)[None]
    k = torch.hypot(kx, kz).clamp(min=1)
    angle = torch.atan2(kx.expand_as(k), kz.expand_as(k)) - heading
    spread = torch.cos(angle).clamp(min=0) ** 3 * torch.where((k >= 3) & (k <= n / 3), 1.0, 0.0) * (kz > 0)
    noise = torch.randn(n, n // 2 + 1, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))
    height = noise * spread * k**-2.0
    fields = torch.stack([1j * kx * height, 1j * kz * height, height * 2])
    slopes = torch.fft.irfft2(fields[:2], s=(n, n))
    metres = 2 * torch.pi / length
    return fields / torch.sqrt((slopes**2).sum(0).mean()), torch.sqrt(9.81 * k * metres * (1 + (k * metres / 370) ** 2))


def waves(t: float, heading: float = 0.25, device: str | torch.device = "cpu") -> Tensor:
    """Slope x, slope z and height of the tiles at time t, (C, 3, N + 2, N + 2); slopes have deviation 1."""
    tiles = []
    for seed, length in enumerate(LENGTHS):
        fields, omega = _spectrum(length, heading * (1 - 0.25 * seed), seed)
        phase = torch.remainder(omega * t, 2 * torch.pi).float()
        moved = fields.to(torch.complex64) * torch.complex(phase.cos(), phase.sin())
        tiles.append(torch.fft.irfft2(moved, s=(_TEXELS, _TEXELS)))
    return F.pad(torch.stack(tiles), (1, 1, 1, 1), mode="circular").to(device)


def look_up(tile: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """All channels of a padded tile (K, N + 2, N + 2) at x (its first axis), z in tiles, (K, H, W), bilinear."""
    n = tile.shape[-1] - 2
    z, x = ((c - torch.floor(c)) * (2 * n / (n + 2)) + (2 / (n + 2) - 1) for c in (z, x))
    return F.grid_sample(tile[None], grid_of(z, x), mode="bilinear", padding_mode="border", align_corners=False)[0]


def surface(tiles: Tensor, steep: tuple[float, ...], x: Tensor, z: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes (x, z) and crest height of the sea, (3, H, W), and the variance of slopes finer than a pixel, (H, 1).

    Args:
        steep: deviation of the slopes of each tile.
        x, z: metres, (H, W) and (H, 1).
        footprint: length of a pixel on the water, metres, (H, 1).
    """
    total = torch.zeros(3, *x.shape, device=x.device)
    hidden = torch.full_like(footprint, 2e-3)
    for tile, length, s in zip(tiles, LENGTHS, steep, strict=True):
        seen = 1 / (1 + (footprint * (9 / length)) ** 2)
        hidden = hidden + s * s * (1 - seen * seen)
        if float(seen.max()) > 0.03:
            total += look_up(tile, x / length, z / length) * (s * seen)
    return total, hidden


class Mirror:
    """The sky as water and wet sand reflect it: a small panorama, made once a frame."""

    _WIDE, _HIGH = 2.5, 3.0

    def __init__(self, light: Light, t: float, wind: float, seed: int, device: torch.device) -> None:
        x = torch.linspace(-self._WIDE, self._WIDE, 160, device=device)[None]
        q = torch.linspace(0, 1, 96, device=device)[:, None]
        self.panorama = sky(light, x, self._HIGH * q * q + 1e-3, t, wind, seed, points=False).permute(2, 0, 1)[None]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """The sky at slopes x, y >= 0, (H, W) -> (H, W, 3)."""
        grid = grid_of(x / self._WIDE, 2 * torch.sqrt(y.clamp(min=0) / self._HIGH) - 1)
        return F.grid_sample(self.panorama, grid, padding_mode="border", align_corners=True)[0].permute(1, 2, 0)


def fifth(x: Tensor) -> Tensor:
    """x to the fifth, as Schlick's Fresnel share has it: by products, an eighth of what a power takes."""
    square = x * x
    return square * square * x


def reflect(x: Tensor, y: Tensor, slope_x: Tensor, slope_z: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where water of these slopes sends the ray (x, y, 1): its slopes x, y then, and the Fresnel share."""
    norm = torch.rsqrt(1 + slope_x * slope_x + slope_z * slope_z)
    facing = (x * -slope_x + y - slope_z) * norm  # d . n, negative
    cosine = (-facing * torch.rsqrt(x * x + y * y + 1)).clamp(0.0, 1)
    grazing = fifth(1 - cosine) / (1 + 22.7 * hidden.sqrt() ** 1.5)
    turn = 2 * facing * norm
    ahead = (1 + turn * slope_z).clamp(min=0.25)
    up = (y - turn).abs() / ahead + 0.8 * hidden.sqrt() * 0.5
    return (x + turn * slope_x) / ahead, up, 0.02 + 0.98 * grazing


def glitter(light: Light, x: Tensor, y: Tensor, slope_x: Tensor, slope_z: Tensor, hidden: Tensor) -> Tensor:
    """How much of the sun or moon the facets send to the eye, (H, W), to be multiplied by the key light."""
    sx, sy, sz = light.toward
    back = torch.rsqrt(x * x + y * y + 1)
    half_x, half_y, half_z = sx - x * back, sy - y * back, sz - back
    variance = hidden + 1.5e-3
    off = (slope_x + half_x / half_y) ** 2 + (slope_z + half_z / half_y) ** 2
    spread = torch.exp(-off / (2 * variance)) / (2 * torch.pi * variance)
    along = (sx * half_x + sy * half_y + sz * half_z) * torch.rsqrt(half_x**2 + half_y**2 + half_z**2)
    fresnel = 0.02 + 0.98 * fifth(1 - along)
    return (spread * fresnel / (4 * (-y * back).clamp(min=0.10))).clamp(max=12) * smoothstep(
        -0.02, 0.02, torch.tensor(sy)
    )


def far_colour(light: Light, x: Tensor) -> Tensor:
    """The haze that the distance turns into, (1, W, 3): the sky just above the horizon."""
    return clear_sky(light, x, torch.full((1, 1), 0.01, device=x.device))
