"""What the thunderstorm looks like: sky, cloud, lightning, curtains of rain, hills and fields of one moment."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import Array, View, in_bands
from stale_diffusion.scene import Event, Stage

NEAREST, FARTHEST = 250.0, 2700.0  # metres of a flash, event.distance 0 and 1: at most 7.9 s to its thunder
CLOUD_BASE = 850.0  # metres above the ground


def metres(distance: Array) -> Array:
    """How far away lightning strikes, for event.distance in [0, 1]."""
    return np.asarray(NEAREST + (FARTHEST - NEAREST) * distance)


def strokes(stage: Stage, e: Event, t: float) -> float:
    """How bright a flash is at time t: 1 to 4 return strokes within half a second, each gone in 70 ms."""
    rng = np.random.default_rng([stage.segment(e.time).variant, int(e.time * 128)])
    count = int(rng.integers(1, 4)) + (e.strength > 0.6)
    begins = e.time + np.concatenate([[0.0], np.cumsum(rng.uniform(0.05, 0.16, count - 1))])
    since = t - begins
    powers = rng.uniform(0.5, 1.0, count) * (since >= 0) * np.exp(-np.maximum(since, 0) / 0.07)
    return (0.4 + 0.8 * e.strength) * float(powers.sum())


@lru_cache(maxsize=16)
def _bolt(seed: int) -> Array:
    """A lightning channel with branches as points (P, 3): across and up in units of its height, brightness."""
    rng = np.random.default_rng(seed)
    n = 257
    trunk = np.zeros(n)
    for step in (128, 64, 32, 16, 8, 4, 2, 1):  # midpoint displacement
        at = np.arange(step, n - 1, 2 * step) if step < 128 else np.array([128])
        trunk[at] = (trunk[at - step] + trunk[at + step]) / 2 + rng.normal(0, 0.13 * (step / 128) ** 0.85, len(at))
    trunk += rng.normal(0, 0.12) * np.linspace(1, 0, n)
    down = np.linspace(1, 0, n)
    parts = [np.stack([trunk, down, np.ones(n)], 1)]
    for _ in range(int(rng.integers(4, 9))):
        first, length = int(rng.integers(20, 190)), int(rng.integers(20, 70))
        turns = np.cumsum(rng.normal(0, 0.0035, length)) + np.cumsum(
            np.full(length, rng.choice((-1, 1)) * rng.uniform(0.001, 0.0035))
        )
        fall = np.linspace(0, length / n * rng.uniform(0.5, 1.0), length)
        parts.append(np.stack([trunk[first] + turns, down[first] - fall, 0.45 * np.linspace(1, 0.15, length)], 1))
    return np.concatenate(parts)


class Picture:
    """One frame of the storm: what all its bands share.

    x, y are slopes of rays, z metres ahead, east metres to the right; (1, W), (H, 1), (H, 1), (H, W).
    """

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.t, self.view = t, view
        self.light = light.stage_light(stage, t)
        self.camera = light.Camera.of(stage, t, (2.5, 12.0), -0.42)
        self.variant = stage.segment(t).variant
        self.near, self.rain, self.wind = (stage.value(name, t) for name in ("near", "rain", "wind"))
        self.drifted = 0.6 * t + 8 * stage.integral("wind", t)
        self.rng = stage.rng("country", t)
        self.x = self.camera.slopes(view)[0]
        self.gloom = 1 - 0.62 * self.near**0.7
        self.key = light.colour(self.light.key, view.u) * (1 - self.near) * 0.7
        self.ambient = light.colour(self.light.ambient, view.u) * (0.35 + 0.65 * self.gloom)
        self.white = light.colour((0.75, 0.82, 1.15), view.u)
        self.bolts = [(e, strokes(stage, e, t)) for e in stage.events("lightning", t - 1.2, t + 1e-9)]
        self.bolts = [(e, power) for e, power in self.bolts if power > 0.01]
        self.glows = [self._glow(e.x, float(metres(np.array(e.distance))), power) for e, power in self.bolts]
        self.glows += self._flicker(stage, t)
        self.flash = sum(power / (0.6 + far / 1200) for _, far, power in self.glows)
        self.fog = self._fog()
        self.channel = self._channel() if self.bolts else None

    def _fog(self) -> Tensor:
        """What distance turns into, (1, W, 3): the strip of sky under the cloud, darker where rain falls."""
        strip = light.clear_sky(self.light, self.x, torch.full((1, 1), 0.03, device=self.x.device))
        return strip * (0.30 + 0.55 * self.gloom - 0.12 * self.rain) + 0.10 * self.flash * self.white

    def _glow(self, x: float, far: float, power: float) -> tuple[float, float, float]:
        """A light in the cloud: slope to the right, metres away, brightness."""
        return self.camera.turn + x * 0.85 * self.view.aspect / self.camera.focal, far, power

    def _flicker(self, stage: Stage, t: float) -> list[tuple[float, float, float]]:
        """Sheet lightning inside the cloud, too far to be heard, at the rate of the curve `light`."""
        found = []
        for tick in range(int(t // 0.5) - 1, int(t // 0.5) + 1):
            rng = np.random.default_rng([self.variant, max(tick, 0), 9])
            begins, chance, x, power = (
                tick * 0.5 + 0.5 * rng.random(),
                rng.random(),
                rng.uniform(-1, 1),
                rng.uniform(0.1, 0.4),
            )
            if tick >= 0 and t >= begins and chance < 0.35 * stage.value("light", begins):
                since = t - begins
                pulse = np.exp(-since / 0.12) * (0.7 + 0.3 * np.sin(60 * since))
                found.append(self._glow(x, 2600.0, float(power * pulse)))
        return found

    def _channel(self) -> Tensor:
        """The bolts of this moment as a picture of the whole frame with bloom, (height, W)."""
        view = self.view
        out = torch.zeros(view.height * view.width, device=view.device)
        for (e, power), (x, far, _) in zip(self.bolts, self.glows, strict=False):
            points = _bolt(self.variant * 512 + int(e.time * 128) % 512)
            height = CLOUD_BASE / far
            at = np.linspace(0, len(points) - 1, 12 * len(points))
            across, down, bright = (np.interp(at, np.arange(len(points)), points[:, k]) for k in range(3))
            jump = np.interp(at, np.arange(len(points) - 1) + 0.5, np.hypot(*np.diff(points[:, :2], axis=0).T)) > 0.05
            step = np.hypot(np.gradient(across), np.gradient(down)) * height * self.camera.focal / view.pixel
            column = ((x + across * height - self.camera.turn) * self.camera.focal + view.aspect) / view.pixel - 0.5
            row = (1 - (down * height * self.camera.focal + self.camera.tilt)) / view.pixel - 0.5
            weight = np.where(jump, 0, step) * bright * power * min(1.6, 0.5 + 500 / far) * (view.height / 360)
            for dr, dc in ((0, 0), (0, 1), (1, 0), (1, 1)):
                r, c = np.floor(row) + dr, np.floor(column) + dc
                share = weight * np.clip(1 - abs(r - row), 0, 1) * np.clip(1 - abs(c - column), 0, 1)
                ok = (r >= 0) & (r < view.height) & (c >= 0) & (c < view.width)
                index = torch.from_numpy((r * view.width + c)[ok].astype(np.int64)).to(view.device)
                out.index_add_(0, index, torch.from_numpy(share[ok]).float().to(view.device))
        return self._bloom(out.view(1, 1, view.height, view.width))

    def _bloom(self, sharp: Tensor) -> Tensor:
        """A bright core, and light spread by rain and lens."""
        height, width = sharp.shape[-2:]
        total = 5.0 * sharp
        for share, size in ((0.9, 90), (1.1, 30), (1.6, 11)):
            small = F.interpolate(sharp, (size, max(2, round(size * width / height))), mode="area")
            small = F.avg_pool2d(F.pad(small, (2, 2, 2, 2)), 3, 1)
            small = F.avg_pool2d(small, 3, 1)
            total = total + share * (height / 360) * F.interpolate(
                small, (height, width), mode="bilinear", align_corners=False
            )
        return total[0, 0]

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        return in_bands(self.view, self._band)

    def _band(self, band: View) -> Tensor:
        x, y = self.camera.slopes(band)
        horizon = int(np.clip(np.ceil((1 - self.camera.tilt) / band.pixel - 0.5) - band.top, 0, band.rows))
        parts = []
        if horizon > 0:
            parts.append(self._sky(x, y[:horizon]))
        if horizon < band.rows:
            parts.append(self._fields(x, y[horizon:].clamp(max=-1e-4), band))
        image = torch.cat(parts)
        if self.channel is not None:
            bolt = self.channel[band.top : band.top + band.rows]
            image = image + (bolt * (y > -0.004))[..., None] * self.white
        image = self._hills(image, x, y, band)
        return self._streaks(image, band)

    def _sky(self, x: Tensor, y: Tensor) -> Tensor:
        """The sky behind, the mass of the storm with what flashes inside it, the curtains of rain below it."""
        image = light.sky(self.light, x, y, self.t, self.drifted, self.variant) * self.gloom
        plane = 1 / (y + 0.11)
        ox, oy = float(self.rng_offset(0)), float(self.rng_offset(1))
        px, pz = x * plane * 0.13 + ox + 0.0016 * self.drifted, plane * 0.13 + oy
        big, fine = texture(11, 512, 1.7), texture(12, 512, 1.35)
        over = sample(big, px, pz) + 0.42 * sample(fine, px * 2.3, pz * 2.3 + 0.0012 * self.t)
        bulk = sample(big, x * 0.21 + oy + 0.0006 * self.drifted, y * 0.34 + ox) + 0.5 * sample(
            fine, x * 0.62, y * 0.8 - 0.0015 * self.t + oy
        )
        flat = smoothstep(0.25, 0.9, torch.tensor(self.near))
        n = flat * over + (1 - flat) * bulk
        lit_from = 0.02 if self.light.toward[0] > 0 else -0.02
        relief = n - (
            flat
            * (
                sample(big, px + lit_from, pz - 0.02)
                + 0.42 * sample(fine, (px + lit_from) * 2.3, (pz - 0.02) * 2.3 + 0.0012 * self.t)
            )
            + (1 - flat)
            * (
                sample(big, x * 0.21 + oy + 0.0006 * self.drifted + lit_from, y * 0.34 + ox + 0.015)
                + 0.5 * sample(fine, (x + lit_from * 3) * 0.62, (y + 0.03) * 0.8 - 0.0015 * self.t + oy)
            )
        )
        top = 0.30 + 2.2 * self.near**1.5
        lobe = sample(big, x * 0.09 + ox, torch.full((1, 1), oy, device=x.device))
        mass = smoothstep(-0.02, 0.10 + 0.15 * self.near, top * (1 + 0.35 * lobe) + 0.10 * bulk - y)
        tint = 0.55 * light.colour(self.light.zenith, y) + 0.45 * light.colour(self.light.horizon, y)
        tint = tint * light.colour((0.86, 0.98, 1.03), y)
        dark = (0.52 - 0.20 * self.near) * (1 + 0.42 * torch.tanh(1.3 * relief) - 0.16 * torch.tanh(n))
        edge = (1 - mass) * 0.5 + 0.25 * (1 - self.near) * (y / max(top, 0.1)).clamp(0, 1)
        cloud = tint * dark[..., None] + (edge * (0.5 + 0.5 * torch.tanh(2 * relief)))[..., None] * (
            self.key + 0.3 * tint
        )
        cloud = cloud + self._inside(x, y, n, relief)[..., None] * self.white
        image = image + mass[..., None] * (cloud - image)
        return self._curtains(image, x, y)

    def rng_offset(self, k: int) -> float:
        """A constant of this sky."""
        return float(np.random.default_rng([self.variant, 3 + k]).random())

    def _inside(self, x: Tensor, y: Tensor, n: Tensor, relief: Tensor) -> Tensor:
        """Flashes seen through the cloud, (H, W)."""
        total = torch.zeros_like(n)
        for centre, far, power in self.glows:
            high = CLOUD_BASE / far * 1.15
            size = 0.16 + 380 / far
            d = ((x - centre) ** 2 + ((y - high) * 1.25) ** 2) / size**2
            total = total + power * (1.1 / (1 + 3 * d) ** 2 + 0.12 / (1 + 0.35 * d))
        return total * (0.62 + 0.30 * torch.tanh(1.5 * relief) - 0.22 * torch.tanh(n))

    def _curtains(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Rain falling in the distance: slanted shafts under the cloud."""
        lean = x + y * (0.15 + 0.5 * self.wind)
        at = torch.full((1, 1), 0.2 + 0.0008 * self.t, device=x.device)
        shaft = sample(texture(51, 256, 1.4), lean * 0.22 - 0.0012 * self.drifted, at) + 0.30 * sample(
            texture(52, 256, 0.9), lean * 0.8, at
        )
        base = CLOUD_BASE / 2500
        fall = smoothstep(base * 1.35, base * 0.4, y + 0.05 * shaft)
        amount = (
            smoothstep(0.9 - 1.9 * self.rain, 2.2 - 1.5 * self.rain, shaft) * fall * (0.35 + 0.6 * self.rain)
        ).clamp(0, 0.95)
        low = torch.exp(-y.clamp(min=0) * (26 - 16 * self.rain)) * (0.35 + 0.5 * self.light.haze)
        amount = amount + (1 - amount) * low.expand_as(amount)
        return image + amount[..., None] * (self.fog - image)

    def _fields(self, x: Tensor, y: Tensor, band: View) -> Tensor:
        """Fields and grass, swept by gusts."""
        z = self.camera.height / -y
        east, footprint = x * z, z * z * (band.pixel / self.camera.focal / self.camera.height)
        rng = np.random.default_rng([self.variant, 8])
        green, straw = ((0.055, 0.085, 0.026), (0.20, 0.16, 0.07))
        patch = sample(texture(61, 256, 1.5), east * 0.004 + float(rng.random()), z * 0.0025)
        mix = smoothstep(-0.6, 0.9, patch + float(rng.normal(0, 0.6)))[..., None]
        albedo = light.colour(green, y) + mix * (light.colour(straw, y) - light.colour(green, y))
        grass = sample(texture(62, 512, 0.7), east * 0.35, z * 0.11) / (1 + (footprint * 2.5) ** 2)
        tuft = sample(texture(63, 512, 1.1), east * 0.06, z * 0.03) / (1 + (footprint * 0.4) ** 2)
        sweep = sample(texture(64, 256, 1.5), east * 0.008 - 0.004 * self.drifted, z * 0.005 + 0.003 * self.drifted)
        relief = (1 + 0.30 * grass + 0.22 * tuft + 0.18 * self.wind * sweep).clamp(0.2, 2)
        image = (
            albedo
            * relief[..., None]
            * (self.ambient + self.key * max(self.light.toward[1], 0.05) + 0.22 * self.flash * self.white)
        )
        return self._hazed(image, z, 1.0)

    def _hazed(self, image: Tensor, z: Tensor | float, share: float) -> Tensor:
        reach = 1.0 / (9000 * np.exp(-2.2 * self.rain - 1.5 * self.light.haze))
        haze = share * (1 - torch.exp(-torch.as_tensor(z, dtype=torch.float32) * reach))
        return image + haze[..., None] * (self.fog - image)

    def _hills(self, image: Tensor, x: Tensor, y: Tensor, band: View) -> Tensor:
        """Three ridges, the nearest with trees on it."""
        rng = np.random.default_rng([self.variant, 4])
        for far, high, scale in ((7000.0, 0.05, 0.5), (2600.0, 0.028, 0.9), (900.0, 0.012, 1.6)):
            offset, row, size = rng.random(), rng.random(), rng.uniform(0.3, 1.3)
            at = torch.full((1, 1), float(row), device=x.device)
            line = sample(texture(71, 256, 1.8), x * scale * 0.16 + float(offset), at)
            trees = (sample(texture(72, 512, 0.9), x * scale * 1.1 + float(offset), at)).abs()
            ridge = high * size * (0.7 + 0.55 * line) + (300 / far) * 0.02 * (trees * smoothstep(-0.3, 0.8, line)) * 1.6
            inside = ((ridge - y) / (band.pixel / self.camera.focal) + 0.5).clamp(0, 1) * (
                y > -self.camera.height / far
            )
            if float(inside.max()) <= 0:
                continue
            dark = light.colour((0.030, 0.042, 0.026), y) * (
                self.ambient + 0.25 * self.key + 0.25 * self.flash * self.white
            )
            hill = self._hazed(dark.expand(1, x.shape[1], 3), torch.tensor([[far]]), 1.0)
            image = image + inside[..., None] * (hill - image)
        return image

    def _streaks(self, image: Tensor, band: View) -> Tensor:
        """Rain before the lens in three depths, faded where a streak is finer than a pixel."""
        if self.rain < 0.03:
            return image
        u, v = band.u, band.v
        light_ = self.ambient * 0.9 + 0.5 * self.flash * self.white + 0.25 * self.fog
        for k, (scale, speed) in enumerate(((1.1, 3.1), (1.9, 4.3), (3.0, 5.7))):
            lean = u + v * (0.06 + 0.38 * self.wind)
            tile = texture(81 + k, 512, 0.35)
            n = sample(tile, lean * scale * 0.55, v * scale * 0.035 + speed * self.t * 0.09 * scale + 0.31 * k)
            streak = ((n - 2.25 + 1.0 * self.rain) / 0.9).clamp(0, 1) * (0.16 / (1 + k * 0.5))
            image = image + (streak * min(1.0, 2.5 * self.rain))[..., None] * (light_ * 1.6 - 0.2 * image)
        return image
