"""What an aurora night looks like: sky, stars, curtains and the land or water that they light.

Shapes: H rows, W columns, K stars.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import light, water
from stale_diffusion.dreamscapes.aurora_land import EYE, HIGH, LOW, WIDE, ground, plate
from stale_diffusion.dreamscapes.aurora_sky import Storm, curtains
from stale_diffusion.dreamscapes.light import Camera, colour
from stale_diffusion.dreamscapes.noise import blank, grid_of, sample, tint
from stale_diffusion.dreamscapes.place import Array, View, in_bands
from stale_diffusion.dreamscapes.winter import FAR, GLOW, MIRROR, OPEN, SKY
from stale_diffusion.scene import Stage

_STARS = 5200
_TURN = 7.29e-5  # rad/s of the sky about the pole
_METEOR = 0.7  # seconds at most


def _look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image (1, C, H, W) at x to the right and y down in [-1, 1], (C, rows, columns), bilinear."""
    return F.grid_sample(image, grid_of(x, y), mode="bilinear", padding_mode="border", align_corners=False)[0]


@lru_cache(maxsize=8)
def _catalogue(variant: int) -> tuple[Array, Array, Array, Array]:
    """Stars: directions (K, 3), light of three channels (K, 3), phases (K, 4) and rates (K, 4) of their twinkle."""
    rng = np.random.default_rng([variant, 33])
    v = rng.standard_normal((_STARS, 3))
    v[: _STARS // 3] *= np.array([1.0, 0.35, 1.0])  # a third of them near the Milky Way
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    # Ten times as many stars for each 2.5 / 1.25 magnitudes: N(>flux) ~ flux^-1.25.
    flux = 0.042 * rng.random(_STARS) ** (-1 / 1.25)
    # Planck colours from 3,500 K to 12,000 K, linear, by the B-V of bright stars (mostly blue-white).
    warm = rng.beta(1.3, 2.2, _STARS)[:, None]
    tint = (1 - warm) * np.array([0.80, 0.92, 1.28]) + warm * np.array([1.32, 0.94, 0.58])
    return v, np.minimum(flux, 2.5)[:, None] * tint, rng.uniform(0, 6.28, (_STARS, 4)), rng.uniform(3, 16, (_STARS, 4))


class Picture:
    """One frame: what its parts share."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.stage, self.t, self.view = stage, t, view
        self.variant = stage.segment(t).variant
        self.below = ground(self.variant)
        rng = stage.rng("night", t)
        self.lean, self.fan = float(rng.normal(0, 0.10)), float(rng.uniform(-0.10, 0.22))
        self.moon = float(rng.random() < 0.45) * float(rng.uniform(0.15, 0.7))
        low = -0.30 - 0.32 * stage.static("height", t)
        base = Camera.of(stage, t, (EYE, EYE), low)
        self.camera = Camera(EYE, 0.62 + 0.34 * base.focal / 1.6, base.tilt, 1.6 * base.turn)
        self.light = light.stage_light(stage, t)
        self.key = colour(self.light.key, view.u) * (self.moon if self.light.night > 0 else 1.0)
        self.plate, self.peak = plate(self.variant, view.height, view.device)
        self.wind = 3.0 * t + 8 * stage.integral("wind", t)
        self.dim = 1 - 0.8 * self.light.haze
        self._aurora()

    def _aurora(self) -> None:
        """The curtains as a panorama, and the light that they throw on the land."""
        whole = View.whole(self.view.width, self.view.height)
        x, y = self.camera.slopes(whole)
        top = max(float(y[0]), 0.2)
        self.top = top / (1 + self.fan * top)
        wide = max(abs(float(x[0, 0])), abs(float(x[0, -1]))) + abs(self.lean) * top
        self.wide = wide / min(1.0, 1 + self.fan * top)
        step = 1.5 * whole.pixel / self.camera.focal
        columns, rows = int(2 * self.wide / step) + 1, int(self.top / step) + 1
        rise = (self.top * (1 - (torch.arange(rows) + 0.5) / rows))[:, None]
        storm = Storm.of(self.stage, self.t)
        self.panorama = curtains(storm, -self.wide, 2 * self.wide / columns, columns, rise)[None].to(self.view.device)
        shine = self.panorama.mean((0, 2, 3)) * (self.top / 1.3)
        self.shine = 1.0 * shine + 0.4 * shine.mean()
        self.ambient = 1.7 * colour(self.light.ambient, self.view.u) + self.shine

    def _curtains(self, x: Tensor, y: Tensor) -> Tensor:
        """The aurora at slopes x, y, (H, W, 3): the field's lean shears it, its dip fans it out."""
        y = y.clamp(min=0)
        spread = 1 / (1 + self.fan * y)
        px, py = (x - self.lean * y) * spread / self.wide, 1 - 2 * y * spread / self.top
        return _look(self.panorama, px, py).permute(1, 2, 0)

    def _land(self, x: Tensor, y: Tensor, channels: slice = slice(None)) -> Tensor:
        """Channels of the plate at slopes x, y, (C, H, W)."""
        return _look(self.plate[:, channels], x / WIDE, 1 - 2 * (y - LOW) / (HIGH - LOW))

    def above(self, band: View) -> Tensor:
        """Sky and land over the horizon, and how much of the stars comes through, (rows, W, 4)."""
        x, y = self.camera.slopes(band)
        image = light.clear_sky(self.light, x, y)
        if self.moon > 0 or self.light.night < 1:
            disc, halo = light.body(self.light, x, y)
            image = image + tint(disc + halo, self.key)
        glow = self._curtains(x, y)
        galaxy = (0.016 * self.light.night * self.dim) * self._land(x, y, slice(GLOW, GLOW + 1))[0]
        image = image + glow + tint(galaxy, colour((0.95, 0.97, 1.08), x))
        through = torch.ones_like(galaxy)
        if self.light.cloud > 0.08:
            density, cloud = light.clouds(self.light, x, y, self.t, self.wind, self.variant)
            night = self.light.night
            cloud = cloud * (1 - night + 0.8 * night * self.moon) + night * (0.26 * self.ambient + 0.10 * glow)
            image = torch.lerp(image, cloud, (0.9 * density)[..., None])
            through = (1 - density) ** 2
        if float(y[-1]) < self.peak:
            layers = self._land(x, y)
            image, through = self._lit(image, layers, x, y), through * layers[SKY]
        out = blank(band.rows, band.width, 4, x.device)
        out[..., :3], out[..., 3] = image, through
        return out

    def _lit(self, behind: Tensor, layers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The land of a plate in the light of the moment, over what is behind it, (H, W, 3)."""
        far = torch.exp(layers[FAR])
        sun = 0.35 + 0.65 * max(self.light.toward[1], 0.0)
        lit = layers[:3].permute(1, 2, 0) * tint(layers[OPEN], self.ambient * 0.95 + self.key * sun)
        haze = 1 - torch.exp(-far * (0.00002 + 0.0004 * self.light.haze**2))
        mist = light.clear_sky(self.light, x, y.clamp(min=0.02)) + 0.4 * self.shine
        return torch.lerp(torch.lerp(lit, mist, haze[..., None]), behind, layers[SKY][..., None])

    def land(self, band: View) -> Tensor:
        """The ground under the horizon, (rows, W, 3)."""
        x, y = self.camera.slopes(band)
        layers = self._land(x, y)
        image = self._lit(torch.zeros(()), layers, x, y)
        if self.below == "ice":
            grazing = 0.03 + 0.97 * (1 + y * torch.rsqrt(1 + y * y)).clamp(0, 1) ** 5
            image = torch.lerp(image, self._mirrored(x, -y, 8), (layers[MIRROR] * grazing)[..., None])
        return image

    def _mirrored(self, x: Tensor, y: Tensor, blur: int = 1) -> Tensor:
        """The sky image of this frame at slopes x, y > 0, (H, W, 3)."""
        image = self.sky if blur == 1 else self.soft
        px = (x - self.camera.turn) * self.camera.focal / self.view.aspect
        py = (1 - (y * self.camera.focal + self.camera.tilt)) / (1 - self.camera.tilt) * 2 - 1
        return _look(image, px, py).permute(1, 2, 0)

    def lake(self, band: View) -> Tensor:
        """Open water, (rows, W, 3): ripples turn the mirror."""
        x, y = self.camera.slopes(band)
        y = y.clamp(max=-3e-4)
        swell, wind = self.stage.value("swell", self.t), self.stage.value("wind", self.t)
        rough = 0.02 + 0.98 * swell
        z = EYE / -y
        footprint = z * z * (band.pixel / self.camera.focal / EYE)
        steep = (0.045 * rough, 0.05 * rough * (0.4 + wind), 0.035 * rough, 0.012 * rough)
        (sx, sz, _), hidden = water.surface(self.tiles, steep, x * z, z, footprint)
        hidden = 2e-5 + (hidden - 2e-3).clamp(min=0) * 0.5
        calm = 0.5 + 0.5 * sample(light.tile(371, 256, 1.6, x), x * z / 400, z / 300).clamp(-1, 1)  # cat's paws
        sx, sz = sx * calm, sz * calm
        rx, ry, share = water.reflect(x, y, sx, sz, hidden)
        body = colour((0.010, 0.020, 0.024), x) * self.ambient * 6
        image = torch.lerp(body, self._mirrored(rx, ry), share[..., None])
        if self.light.night > 0 and self.moon > 0:
            image += tint(0.5 * water.glitter(self.light, x, y, sx, sz, hidden + 4e-4), self.key)
        layers = self._land(x, y)
        return self._lit(image, layers, x, y)

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        view, whole = self.view, View.whole(self.view.width, self.view.height, self.view.device)
        self.edge = (1 - self.camera.tilt) / view.pixel
        rows = min(int(np.floor(self.edge)) + 1, view.height)
        if self.below == "snow":
            return self._points(self.camera.at_horizon(view, lambda v: in_bands(v, self.above), self._ground), view)
        over = View(whole.width, whole.height, 0, rows, view.device)
        sky = self._points(in_bands(over, self.above), over)
        self.sky = sky.permute(2, 0, 1)[None]
        self.soft = F.avg_pool2d(self.sky, 8, ceil_mode=True)
        self.tiles = water.waves(self.t, 0.3, view.device) if self.below == "lake" else torch.zeros(())
        shade = self.lake if self.below == "lake" else self.land
        return self.camera.at_horizon(view, lambda v: sky[v.top : v.top + v.rows], lambda v: in_bands(v, shade))

    def _ground(self, view: View) -> Tensor:
        """The land, which no star shines through, (rows, W, 4)."""
        out = blank(view.rows, view.width, 4, view.device)
        out[..., :3], out[..., 3] = in_bands(view, self.land), 0.0
        return out

    def _points(self, image: Tensor, view: View) -> Tensor:
        """Stars and meteors over an image (rows, W, 4), where its last channel lets them through: (rows, W, 3)."""
        x, y = self.camera.slopes(view)
        stars = self._star_points() if self.light.night > 0 else np.zeros((0, 5))
        at = np.concatenate([stars, self._meteor_points()])
        image, through = image[..., :3], image[..., 3:]
        if not len(at):
            return image
        spread = max(0.62, 0.0017 / view.pixel)
        layer = blank(view.rows, view.width, 3, view.device).zero_()
        step = view.pixel / self.camera.focal
        _splat(layer, (at[:, 0] - float(x[0, 0])) / step, (float(y[0, 0]) - at[:, 1]) / step, at[:, 2:], spread)
        return image + layer * through

    def _star_points(self) -> Array:
        """Stars in front of the camera, (K, 5): slopes x, y and light.

        Extinction is 0.16, 0.21, 0.32 magnitudes an air mass in red, green, blue; twinkling has a deviation of
        0.05 X^1.75 at air mass X (Young 1967) and near the horizon a colour of its own.
        """
        v, flux, phase, rate = _catalogue(self.variant)
        angle = _TURN * self.t
        turned = v @ np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        keep = (turned[:, 2] > 0.15) & (turned[:, 1] > 0.005)
        d, flux, phase, rate = turned[keep], flux[keep], phase[keep], rate[keep]
        mass = 1 / (d[:, 1:2] + 0.04)
        waves = np.sin(rate * self.t + phase)
        depth = np.minimum(0.05 * mass**1.75, 0.55)
        hue = np.stack([waves[:, 1], waves[:, 2], waves[:, 3]], 1) * 0.35 * np.clip(mass / 6, 0, 1)
        shine = np.clip(1 + depth * (0.7 * waves[:, :1] + 0.5 * waves[:, 1:2] * waves[:, 2:3] + hue), 0.05, 2)
        fade = 10 ** (-0.4 * mass * np.array([0.16, 0.21, 0.32]))
        grow = self.light.night * self.dim * min(1.0, (0.0056 / self.view.pixel) ** 1.0)
        return np.concatenate([d[:, :2] / d[:, 2:], flux * shine * fade * grow], 1)

    def _meteor_points(self) -> Array:
        """The streaks of the events `spark`, (N, 5): a head that brightens and a train that fades."""
        rows = [np.zeros((0, 5))]
        for e in self.stage.events("spark", self.t - 1.2, self.t):
            rng = np.random.default_rng([int(e.time * 512), 34])
            age, seconds = self.t - e.time, _METEOR * (0.4 + 0.6 * e.strength)
            heading, length = rng.uniform(-2.6, -0.5), 0.15 + 0.55 * e.strength
            s = np.linspace(0, 1, 160)
            x = 1.1 * e.x + length * s * np.cos(heading)
            y = 0.35 + 0.7 * e.distance + length * s * np.sin(heading) * 0.7
            passed = age - s * seconds
            glow = np.where(passed > 0, np.exp(-passed / 0.09), 0) * np.sin(np.pi * s) ** 0.7
            tint = np.array([0.75, 1.0, 0.85]) + s[:, None] * np.array([0.25, -0.05, -0.05])
            rows.append(np.concatenate([np.stack([x, y], 1), 0.5 * (0.3 + e.strength) * glow[:, None] * tint], 1))
        return np.concatenate(rows)


def _splat(out: Tensor, column: Array, row: Array, colour_K3: Array, spread: float) -> None:
    """Add round points of a constant energy to an image (H, W, 3), in place; positions in pixels from its corner."""
    h, w = out.shape[:2]
    reach = int(np.ceil(2.3 * spread))
    keep = (column > -reach) & (column < w + reach) & (row > -reach) & (row < h + reach)
    c, r = torch.from_numpy(column[keep]).float() - 0.5, torch.from_numpy(row[keep]).float() - 0.5
    light_K3 = torch.from_numpy(colour_K3[keep]).float()
    d = torch.arange(-reach, reach + 1)
    columns, rows = c.round().long()[:, None] + d, r.round().long()[:, None] + d
    across = torch.exp(-((columns - c[:, None]) ** 2) / (2 * spread**2)) * ((columns >= 0) & (columns < w))
    down = torch.exp(-((rows - r[:, None]) ** 2) / (2 * spread**2)) * ((rows >= 0) & (rows < h))
    across, down = across / (spread * 2.507), down / (spread * 2.507)
    weight = down[:, :, None] * across[:, None, :] * (1.7 * spread) ** 2 * min(1.0, 1.7 * 0.62)
    at = rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None, :]
    values = light_K3[:, None, None] * weight[..., None]
    out.view(-1, 3).index_add_(0, at.reshape(-1).to(out.device), values.reshape(-1, 3).to(out.device))


def render(stage: Stage, t: float, view: View) -> Tensor:
    """The picture of an aurora at time t, (rows, W, 3), linear light."""
    return Picture(stage, t, view).render()
