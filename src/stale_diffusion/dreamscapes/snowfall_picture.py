"""What snowfall looks like: the plate in the light of the hour, fading into falling snow, smoke, and flakes in depth.

Shapes: H rows, W columns, K flakes.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.light import Camera
from stale_diffusion.dreamscapes.noise import grid_of, sample, smoothstep
from stale_diffusion.dreamscapes.place import Array, View, in_bands
from stale_diffusion.dreamscapes.snowfall_plate import EYE, HALO, HIGH, LOW, WIDE, is_village, scenery
from stale_diffusion.dreamscapes.winter import FAR, GLOW, OPEN, SKY, SPILL
from stale_diffusion.scene import Stage

WARM = (1.0, 0.52, 0.17)  # a lamp of 2,700 K, linear
GALE = 7.0  # m/s that flakes are carried at wind 1
FALL = 1.05  # m/s: snow aggregates fall at 0.8 to 1.5 m/s whatever their size (Locatelli and Hobbs 1974)
_NEAREST, _STEP, _LAYERS = 0.8, 1.36, 10  # metres: layers of flakes from 0.8 to 13 m
_RADIUS = 0.0046  # metres of a middling flake
_SHUTTER = 1 / 48  # s


def _planes(c: light.Colour | Tensor, device: torch.device) -> Tensor:
    """A colour that broadcasts against planes, (3, 1, 1)."""
    return torch.as_tensor(c, dtype=torch.float32, device=device).view(3, 1, 1)


def _look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image (1, C, H, W) at x to the right and y down in [-1, 1], (C, rows, columns), bilinear."""
    return F.grid_sample(image, grid_of(x, y), mode="bilinear", padding_mode="border", align_corners=False)[0]


@lru_cache(maxsize=32)
def _chances(variant: int, layer: int, count: int) -> Array:
    """What is fixed of each flake of a layer, (K, 8) in [0, 1)."""
    return np.random.default_rng([variant, 43, layer]).random((count, 8))


class Picture:
    """One frame: what its bands share."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.stage, self.t, self.view = stage, t, view
        self.variant = stage.segment(t).variant
        self.scenery = scenery(self.variant, view.height, view.device)
        base = Camera.of(stage, t, (EYE, EYE), -0.06 - 0.26 * stage.static("height", t))
        self.camera = Camera(EYE, base.focal / 1.6 * 1.5 * (1 + 0.012 * math.sin(0.06 * t)), base.tilt, base.turn)
        self.light = light.stage_light(stage, t)
        self.snow, self.wind = stage.value("rain", t), stage.value("wind", t)
        self.side = 1.0 if stage.rng("side", t).random() < 0.5 else -1.0
        self._lights()

    def _lights(self) -> None:
        """Sky, snow's light and lamps of the moment, (3, 1, 1) each."""
        night, device = self.light.night, self.view.device
        # An overcast night over lit snow is 5 to 10 times brighter than a clear one (Jechow and Hoelker 2019).
        town = (2.6 if is_village(self.variant) else 1.2) * night
        sky = 0.62 * _planes(self.light.zenith, device) + 0.50 * _planes(self.light.horizon, device)
        self.sky = sky * (1 + 1.4 * night) + 0.005 * town * _planes((1.0, 0.78, 0.58), device)
        self.sky = self.sky * (0.80 + 0.20 * night)  # exposed for the snow
        self.ambient = self.sky * 1.12
        fire = self.stage.value("fire", self.t)
        flicker = 1 + 0.02 * math.sin(7.3 * self.t + 2 * math.sin(2.9 * self.t))
        dark = 0.35 + 0.65 * (1 - light.daylight(self.hour))
        self.warm = _planes(WARM, device) * ((0.10 + 1.5 * fire) * flicker * dark)
        self.fade = 0.0012 + 0.020 * self.snow**1.5 + 0.010 * self.light.haze**2  # per metre; 3.9 over the visibility

    @property
    def hour(self) -> float:
        """The hour of the day in [0, 1)."""
        return self.stage.static("hour", self.t)

    def _shade(self, band: View) -> Tensor:
        """A band in the light of the moment: the plate behind falling snow, smoke, powder and flakes, (rows, W, 3)."""
        x, y = self.camera.slopes(band)
        layers = _look(self.scenery.layers, x / WIDE, 1 - 2 * (y - LOW) / (HIGH - LOW))
        far = torch.exp(layers[FAR])
        cloud = sample(light.tile(421, 256, 1.8, x), x * 0.35 + 0.004 * self.t, y * 0.7 + 0.1)
        sky = self.sky * (1 + 0.05 * cloud + 0.10 * torch.exp(-y.clamp(min=0) * 5))
        glow = layers[HALO] * self.warm
        lit = layers[OPEN] * self.ambient + layers[SPILL] * self.warm + 0.5 * glow
        image = layers[:3] * lit + layers[GLOW] * self.warm
        drifts = sample(light.tile(422, 256, 1.4, x), x * 0.8 + self.blown * 0.02, y * 0.8 + 0.03 * self.t)
        thick = 1 - torch.exp(-far * (self.fade * (1 + 0.22 * min(1.0, 2 * self.snow) * drifts)))
        thick = torch.maximum(thick, layers[SKY])
        image = image + thick * (sky - image)
        image = image + glow * ((0.012 + 0.05 * self.snow) + (0.02 + 0.24 * self.snow) * thick)
        rows = slice(band.top - self.view.top, band.top - self.view.top + band.rows)
        if self.smoke is not None:
            image = image + self.smoke[band.top : band.top + band.rows] * (0.85 * self.sky - image)
        for veil in self.powder:
            image = image + veil[rows] * (self.ambient * 0.95 - image)
        white = self.ambient * (1.08 + 0.7 * self.light.night) + 1.2 * glow
        return (image + self.fall[rows] * (white - image)).permute(1, 2, 0)

    @property
    def blown(self) -> float:
        """Metres that the wind has carried the air, to the right."""
        return self.side * (0.25 * self.t + GALE * self.stage.integral("wind", self.t))

    def _flakes(self, layer: int) -> tuple[Array, Array, Array, tuple[float, float]]:
        """Flakes of a layer in the plane: places (K, 2), deviations (K,), cover (K,); and the streak (du, dv)."""
        view, f = self.view, self.camera.focal
        d = _NEAREST * _STEP**layer
        high, wide = 2.6, 2 * view.aspect + 0.6
        volume = high * wide * d * d / f**2 * d * (_STEP - 1)
        chance = _chances(self.variant, layer, int(min(34.0 * volume + 8, 2600)))
        amount = 0.02 + 0.98 * self.snow**1.25
        born = np.clip((amount - chance[:, 0]) / 0.05, 0, 1)
        chance, born = chance[born > 0], born[born > 0]
        t, drift = self.t, self.blown
        speed = FALL * (0.65 + 0.7 * chance[:, 3])
        phase = 6.283 * chance[:, 4:6]
        sway = 0.035 * np.sin(1.1 * t * (0.7 + chance[:, 6]) + phase[:, 0]) + 0.05 * np.sin(0.5 * t + phase[:, 1])
        turn = self.camera.turn * f
        u = (chance[:, 1] * wide + (drift * (0.85 + 0.3 * chance[:, 7]) + sway) * f / d - turn) % wide - wide / 2
        v = (chance[:, 2] * high - (speed * t + 0.25 * sway) * f / d + self.camera.tilt) % high - high / 2
        radius = _RADIUS * (0.55 + 0.9 * chance[:, 6] ** 2) * f / d
        blur = 0.0045 * f * abs(1 / d - 1 / 9)  # out of focus: the lens looks at 9 m
        deviation = np.sqrt((0.55 * radius) ** 2 + (0.5 * blur) ** 2 + (0.55 * view.pixel) ** 2)
        cover = born * 1.5 * (radius / deviation) ** 2
        carried = self.side * (0.25 + GALE * self.wind) * f / d * _SHUTTER, -FALL * f / d * _SHUTTER
        return np.stack([u, v], 1), deviation, np.minimum(cover, 1.2), carried

    def _fall(self) -> Tensor:
        """How much of each pixel flakes cover, (rows, W)."""
        view = self.view
        out = torch.zeros(view.rows, view.width)
        for layer in range(_LAYERS):
            at, deviation, cover, streak = self._flakes(layer)
            if len(at):
                _streaks(out, view, at, deviation, cover, streak)
        return (1 - torch.exp(-out)).to(view.device)

    def _smoke(self) -> Tensor | None:
        """How much smoke of the chimney is before each pixel of the whole picture, (H, W)."""
        amount = self.stage.value("steam", self.t)
        if amount < 0.02:
            return None
        cx, cy, far = self.scenery.chimney
        small = View.whole(max(self.view.width // 4, 32), max(self.view.height // 4, 18), self.view.device)
        x, y = self.camera.slopes(small)
        right, up = (x - cx) * far, (y - cy) * far
        rise = up.clamp(min=0)
        slow = sample(light.tile(423, 256, 2.2, x), right / 14, up / 14 - 0.05 * self.t)
        across = right - self.side * (0.25 + 3.2 * self.wind) * rise**0.8 - 0.5 * slow * rise**0.5
        wide = 0.22 + 0.20 * rise
        wisp = sample(
            light.tile(424, 256, 1.7, x), across / 6 + 0.1 * slow, torch.sqrt(rise + 0.3) * 0.9 - 0.13 * self.t
        )
        plume = torch.exp(-((across / wide) ** 2)) * smoothstep(-0.05, 0.25, up) * torch.exp(-rise / 6)
        cover = (plume * (0.75 + 0.45 * wisp).clamp(min=0) * amount * 0.9).clamp(0, 0.8) * math.exp(-far * self.fade)
        return F.interpolate(
            cover[None, None], (self.view.height, self.view.width), mode="bilinear", align_corners=False
        )[0, 0]

    def _powder(self) -> list[Tensor]:
        """Snow that boughs let go, (rows, W) each: a veil that falls and widens."""
        x, y = self.camera.slopes(self.view)
        veils = []
        for e in self.stage.events("creak", self.t - 4, self.t):
            age, near = self.t - e.time, 4.0 * 10.0**e.distance
            want = self.camera.turn + 0.8 * e.x * self.view.aspect / self.camera.focal
            ledge = min(self.scenery.ledges, key=lambda p: abs(p[0] - want) + 0.3 * abs(math.log(p[2] / near)))
            fallen = min(0.5 * 3.5 * age * age, 1.2 * age + 0.2)
            right, up = (x - ledge[0]) * ledge[2], (y - ledge[1]) * ledge[2] + fallen * 0.6
            wide, tall = 0.35 + 0.35 * age, 0.4 + 0.55 * fallen
            blob = torch.exp(-(((right - self.side * self.wind * 2 * age) / wide) ** 2) - (up / tall) ** 2)
            wisp = sample(light.tile(425, 256, 1.5, x), right * 0.12 + e.time, up * 0.08 + 0.2 * age)
            fade = float(np.clip(age / 0.15, 0, 1)) * math.exp(-age / 1.1) * (0.35 + 0.65 * e.strength)
            veils.append((0.9 * fade * blob * (0.8 + 0.5 * wisp)).clamp(0, 0.85))
        return veils

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        self.fall, self.smoke, self.powder = self._fall(), self._smoke(), self._powder()
        return in_bands(self.view, self._shade)


def _streaks(out: Tensor, view: View, at: Array, deviation: Array, cover: Array, streak: tuple[float, float]) -> None:
    """Add flakes to the cover (rows, W), in place: round points drawn out along (du, dv) while the shutter is open."""
    pixel, (du, dv) = view.pixel, streak
    length = math.hypot(du, dv)
    along = np.sqrt(deviation**2 + length**2 / 12)
    reach = math.ceil(2.4 * float(along.max()) / pixel)
    column, row = (at[:, 0] + view.aspect) / pixel - 0.5, (1 - at[:, 1]) / pixel - 0.5 - view.top
    keep = (column > -reach) & (column < view.width + reach) & (row > -reach) & (row < view.rows + reach)
    if not keep.any():
        return
    c, r, thin, long, weight = (
        torch.from_numpy(v[keep]).float() for v in (column, row, deviation / pixel, along / pixel, cover)
    )
    wide = math.ceil(reach * abs(du) / length + 2.4 * float(deviation.max()) / pixel) if length > 0 else reach
    tall = math.ceil(reach * abs(dv) / length + 2.4 * float(deviation.max()) / pixel) if length > 0 else reach
    columns = c.round().long()[:, None] + torch.arange(-wide, wide + 1)
    rows = r.round().long()[:, None] + torch.arange(-tall, tall + 1)
    dx, dy = (columns - c[:, None])[:, None, :], (rows - r[:, None])[:, :, None]
    ex, ey = (du / length, -dv / length) if length > 0 else (1.0, 0.0)
    p, q = (dx * ex + dy * ey) / long[:, None, None], (dy * ex - dx * ey) / thin[:, None, None]
    peak = (weight * thin / long)[:, None, None]
    inside = ((rows >= 0) & (rows < view.rows))[:, :, None] & ((columns >= 0) & (columns < view.width))[:, None, :]
    value = peak * torch.exp(-0.5 * (p * p + q * q)) * inside
    index = rows.clamp(0, view.rows - 1)[:, :, None] * view.width + columns.clamp(0, view.width - 1)[:, None, :]
    out.view(-1).index_add_(0, index.reshape(-1), value.reshape(-1))


def render(stage: Stage, t: float, view: View) -> Tensor:
    """The picture of snowfall at time t, (rows, W, 3), linear light."""
    return Picture(stage, t, view).render()
