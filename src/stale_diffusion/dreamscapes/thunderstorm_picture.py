"""What the thunderstorm looks like: sky, cloud, lightning, curtains of rain, hills and fields of one moment."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.light import tile
from stale_diffusion.dreamscapes.noise import blank, grid_of, sample, smoothstep, tint
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


@lru_cache(maxsize=8)
def _tree_sprite(seed: int) -> Tensor:
    """The silhouette of a broad tree, (1, 1, 256, 512), 2 wide and 1 high."""
    rng = np.random.default_rng([seed, 31])
    points: list[Array] = []
    limbs = [(0.0, 0.0, np.pi / 2, 0.24, 0.028, 0)]
    while limbs:
        x, y, angle, length, width, depth = limbs.pop()
        s = np.linspace(0, 1, 40)
        bend = angle + rng.normal(0, 0.18) * s
        px, py = x + np.cumsum(np.cos(bend)) * length / 40, y + np.cumsum(np.sin(bend)) * length / 40
        points.append(np.stack([px, py, width * (1 - 0.35 * s), np.ones(40)], 1))
        if depth >= 3:
            n = 70
            leaf = np.stack([px[-1] + rng.normal(0, 0.050, n), py[-1] + rng.normal(0, 0.036, n)], 1)
            points.append(np.concatenate([leaf, rng.uniform(0.003, 0.009, (n, 1)), rng.uniform(0.4, 1, (n, 1))], 1))
        if depth < 5:
            for turn in rng.normal(0, 0.2, 2 + (depth < 3)) + np.linspace(-0.62, 0.62, 2 + (depth < 3)):
                limbs.append((px[-1], py[-1], angle + turn, length * rng.uniform(0.60, 0.80), width * 0.58, depth + 1))
    dots = np.concatenate(points)
    dots[:, 1] /= dots[:, 1].max() * 1.03
    rows, columns = np.mgrid[0:256, 0:512]
    alpha = np.zeros((256, 512))
    for px, py, radius, share in dots:
        c, r, w = (px + 1) * 256, (1 - py) * 256, max(radius * 256, 0.5)
        a, b = (slice(max(int(v - w - 2), 0), max(int(v + w + 3), 0)) for v in (r, c))
        near = np.clip(w + 0.5 - np.hypot(rows[a, b] - r, columns[a, b] - c), 0, 1)
        alpha[a, b] = np.maximum(alpha[a, b], share * near)
    return torch.from_numpy(alpha).float()[None, None]


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
        self.drifted = 0.5 * t + 5 * stage.integral("wind", t)
        self.rng = stage.rng("country", t)
        self.x = self.camera.slopes(view)[0]
        self.gloom = 1 - 0.62 * self.near**0.7
        self.key = light.colour(self.light.key, view.u) * (1 - self.near) * 0.7
        self.ambient = light.colour(self.light.ambient, view.u) * (0.35 + 0.65 * self.gloom) * (1 + self.light.night)
        self.white = light.colour((0.75, 0.82, 1.15), view.u)
        self.bolts = [(e, strokes(stage, e, t)) for e in stage.events("lightning", t - 1.2, t + 1e-9)]
        self.bolts = [(e, power) for e, power in self.bolts if power > 0.01]
        self.glows = [self._glow(e.x, float(metres(np.array(e.distance))), power) for e, power in self.bolts]
        self.glows += self._flicker(stage, t)
        self.flash = sum(power / (0.6 + far / 1200) for _, far, power in self.glows)
        self.shape = self.rng.random(4)
        dark = light.colour((0.86, 0.99, 1.05), view.u) * ((0.62 - 0.22 * self.near) * (1 + 1.5 * self.light.night))
        self.tint = (
            0.5 * light.colour(self.light.zenith, view.u) + 0.5 * light.colour(self.light.horizon, view.u)
        ) * dark
        self.fog = self._fog()
        self.channel = self._channel() if self.bolts else None
        self.ridges = self._ridges()

    def _fog(self) -> Tensor:
        """What distance turns into, (1, W, 3): the strip of sky under the cloud, darker where rain falls."""
        strip = light.clear_sky(self.light, self.x, torch.full((1, 1), 0.03, device=self.x.device))
        dim = (0.30 + 0.55 * self.gloom - 0.12 * self.rain) * (1 + 1.2 * self.light.night)
        fog: Tensor = strip * dim + 0.10 * self.flash * self.white
        return fog

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
                rng.uniform(0.08, 0.30),
            )
            if tick >= 0 and t >= begins and chance < 0.25 * stage.value("light", begins):
                since = t - begins
                pulse = (1 - np.exp(-since / 0.04)) * np.exp(-since / 0.14)
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
        image = self.camera.at_horizon(band, self._sky, self._fields)
        if self.channel is not None:
            bolt = self.channel[band.top : band.top + band.rows]
            image += tint(bolt * (y > -0.004), self.white)
        image = self._hills(image, x, y, band)
        return self._streaks(self._grass(image, band), band)

    def _sky(self, band: View) -> Tensor:
        """The sky behind, the mass of the storm with what flashes inside it, the curtains of rain below it."""
        x, y = self.camera.slopes(band)
        y = y.clamp(min=0)
        flat = float(np.clip((self.near - 0.12) / 0.16, 0, 1))  # 0: a tower far away, 1: a deck overhead
        top = (0.34 + 0.6 * self.near + 6.0 * self.near**3) * (1 + 0.5 * self.shape[2] * (x - self.shape[3]))
        puffs, glance = self._tower(x, y) if flat < 1 else (torch.zeros_like(x + y), torch.zeros_like(x + y))
        mass = smoothstep(-0.02, 0.03 + 0.3 * flat, top * (0.70 + 0.30 * puffs) - y)
        n, cloud = puffs, blank(band.rows, band.width, 3, x.device).zero_()
        if flat < 1:
            bright = (0.34 + 0.75 * (y / top).clamp(0, 1) ** 1.4 * (0.5 + puffs.clamp(0, 1.2))) * (1 + 0.55 * glance)
            cloud += tint((1 - flat) * bright, 0.85 * self.key + 0.55 * self.ambient)
        if flat > 0:
            thick, over = self._deck(x, y)
            n = puffs + flat * (thick - puffs)
            cloud += tint(flat * over, self.tint)
        if self.glows:
            cloud += tint(self._inside(x, y, n, glance), self.white)
        if float(mass.min()) < 1:
            behind = light.sky(self.light, x, y, self.t, self.drifted, self.variant) * self.gloom
            cloud = torch.lerp(behind, cloud, mass[..., None])
        return self._curtains(cloud, x, y)

    def _tower(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A cumulonimbus from the side: how it puffs out, about [0, 1.5], and how it faces the light, both (H, W)."""
        ox, oy = self.shape[:2]
        east, up = x * 0.36 + ox + 0.0004 * self.drifted, y * 0.44 + oy - 0.0012 * self.t
        coarse, medium = tile(13, 256, 2.0, self.x), tile(14, 512, 1.75, self.x)
        lean = 0.016 if self.light.toward[0] > 0 else -0.016

        def puff(dx: float, dy: float) -> Tensor:
            big = sample(coarse, east + dx, up + dy)
            return 0.75 * big.abs() + 0.42 * sample(medium, (east + dx) * 1.9 + 0.02 * big, (up + dy) * 1.9).abs()

        puffs = puff(0.0, 0.0)
        return puffs, torch.tanh(2.2 * (puffs - puff(lean, 0.016)))

    def _deck(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A deck of cloud from below: how thick it is, deviation about 1, and its light, both (H, W)."""
        ox, oy = self.shape[:2]
        plane = 1 / (y + 0.12)
        px, pz = x * plane * 0.085 + ox + 0.0011 * self.drifted, plane * 0.085 + oy + 0.0004 * self.drifted
        big, fine = tile(13, 256, 2.0, self.x), tile(12, 512, 1.35, self.x)
        lean = 0.018 if self.light.toward[0] > 0 else -0.018
        thick = sample(big, px, pz)
        rags = sample(fine, px * 3.1 + 0.03 * thick, pz * 2.2 + 0.0012 * self.t)
        slope = thick - sample(big, px + lean, pz + 0.024)
        shade = 0.62 + 0.34 * torch.tanh(2.3 * slope + 0.20 * rags) - 0.20 * torch.tanh(0.9 * thick - 0.25 * rags)
        return thick + 0.3 * rags, shade * (0.80 + 0.85 * torch.exp(y * -6.5))

    def _inside(self, x: Tensor, y: Tensor, n: Tensor, glance: Tensor) -> Tensor:
        """Flashes seen through the cloud, (H, W)."""
        total = torch.zeros_like(n)
        for centre, far, power in self.glows:
            high = CLOUD_BASE / far * 1.15
            size = 0.16 + 380 / far
            d = ((x - centre) ** 2 + ((y - high) * 1.25) ** 2) / size**2
            total = total + power * (1.1 / (1 + 3 * d) ** 2 + 0.12 / (1 + 0.35 * d))
        return total * (0.72 + 0.3 * glance - 0.38 * torch.tanh(n - 0.3))

    def _curtains(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Rain falling in the distance: slanted shafts under the cloud."""
        lean = x + y * (0.15 + 0.5 * self.wind)
        at = torch.full((1, 1), 0.2 + 0.0008 * self.t, device=x.device)
        shaft = sample(tile(51, 256, 1.7, self.x), lean * 0.13 - 0.0008 * self.drifted, at)
        shaft = shaft + 0.22 * sample(tile(52, 256, 1.3, self.x), lean * 0.5 - 0.0008 * self.drifted, at)
        base = CLOUD_BASE / 2500
        fall = smoothstep(base * 1.35, base * 0.4, y + 0.05 * shaft)
        amount = (
            smoothstep(0.9 - 1.9 * self.rain, 2.2 - 1.5 * self.rain, shaft) * fall * (0.35 + 0.6 * self.rain)
        ).clamp(0, 0.95)
        image = torch.lerp(image, self.fog * 0.72, amount[..., None])
        low = torch.exp(-y.clamp(min=0) * (19 - 10 * self.rain)) * (0.80 + 0.2 * self.light.haze)
        return torch.lerp(image, self.fog, low[..., None])

    def _fields(self, band: View) -> Tensor:
        """Fields and grass, swept by gusts."""
        x, y = self.camera.slopes(band)
        y = y.clamp(max=-1e-4)
        z = self.camera.height / -y
        east, footprint = x * z, z * z * (band.pixel / self.camera.focal / self.camera.height)
        rng = np.random.default_rng([self.variant, 8])
        green, straw = ((0.050, 0.068, 0.028), (0.17, 0.14, 0.065))
        patch = sample(tile(61, 256, 1.5, self.x), east * 0.004 + float(rng.random()), z * 0.0025)
        mix = smoothstep(-0.6, 0.9, patch + float(rng.normal(0, 0.6)))
        grass = sample(tile(62, 512, 0.7, self.x), east * 0.35, z * 0.11) / (1 + (footprint * 2.5) ** 2)
        tuft = sample(tile(63, 512, 1.1, self.x), east * 0.06, z * 0.03) / (1 + (footprint * 0.4) ** 2)
        sweep = sample(
            tile(64, 256, 1.5, self.x), east * 0.008 - 0.004 * self.drifted, z * 0.005 + 0.003 * self.drifted
        )
        relief = (1 + 0.30 * grass + 0.22 * tuft + 0.18 * self.wind * sweep).clamp(0.2, 2)
        lit = self.ambient + self.key * max(self.light.toward[1], 0.05) + 0.22 * self.flash * self.white
        low, high = light.colour(green, y) * lit, light.colour(straw, y) * lit
        image = tint(relief, low) + tint(relief * mix, high - low)
        return self._hazed(image, z, 1.0)

    def _hazed(self, image: Tensor, z: Tensor | float, share: float) -> Tensor:
        reach = 1.0 / (9000 * np.exp(-2.2 * self.rain - 1.5 * self.light.haze))
        haze = share * (1 - torch.exp(-torch.as_tensor(z, dtype=torch.float32, device=self.x.device) * reach))
        return torch.lerp(image, self.fog, haze[..., None])

    def _ridges(self) -> list[tuple[float, Tensor, float]]:
        """Three ridges, the nearer ones wooded, far ones first: metres away, slopes of top (1, W) and foot."""
        rng, x, found = np.random.default_rng([self.variant, 4]), self.x, []
        crown = float(rng.choice((1.1, 1.35)))  # conifers or broad crowns
        for far, high, scale in ((7000.0, 0.055, 0.5), (2600.0, 0.028, 0.9), (900.0, 0.010, 1.6)):
            offset, row, size = float(rng.random()), float(rng.random()), float(rng.uniform(0.3, 1.3))
            at = torch.full((1, 1), row, device=x.device)
            line = sample(tile(71, 256, 1.7, x), x * scale * 0.30 + offset, at)
            wood = sample(tile(72, 512, crown, x), x * scale * 1.7 + offset, at).abs() * smoothstep(-0.4, 0.6, line)
            found.append((far, high * size * (0.7 + 0.5 * line) + (9.0 / far) * wood, -self.camera.height / far))
        return found

    def _hills(self, image: Tensor, x: Tensor, y: Tensor, band: View) -> Tensor:
        """The ridges, and a tree that stands alone."""
        pixel = band.pixel / self.camera.focal
        for far, ridge, foot in self.ridges:
            rows = ((y[:, 0] < float(ridge.max()) + pixel) & (y[:, 0] > foot - pixel)).nonzero()
            if not rows.shape[0]:
                continue
            part, up = (a[int(rows[0]) : int(rows[-1]) + 1] for a in (image, y))
            inside = ((ridge - up) / pixel + 0.5).clamp(0, 1) * ((up - foot) / pixel + 0.5).clamp(0, 1)
            leaves = 1 + 0.35 * sample(tile(12, 512, 1.35, self.x), x * far / 900, up * far / 450)
            land = light.colour((0.030, 0.042, 0.024), y) * (
                self.ambient + 0.25 * self.key + 0.25 * self.flash * self.white
            )
            mist = 0.35 * torch.exp((foot - up) / 0.006).clamp(max=1)[..., None]
            hill = torch.lerp(self._hazed(tint(leaves, land), far, 0.75), self.fog, mist)
            part += inside[..., None] * (hill - part)
        return self._tree(image, x, y, pixel)

    def _tree(self, image: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """A lone tree some sixty metres away, swaying with the wind."""
        rng = np.random.default_rng([self.variant, 6])
        if rng.random() < 0.35:
            return image
        far, tall, side = (
            float(rng.uniform(28, 80)),
            float(rng.uniform(9, 13)),
            float(rng.choice((-1, 1)) * rng.uniform(0.35, 0.75)),
        )
        foot, size = -self.camera.height / far, tall / far
        q = (y - foot) / size
        if float(q.max()) < 0 or float(q.min()) > 1:
            return image
        sway = self.wind * (0.03 + 0.02 * float(np.sin(1.1 * self.t + 6.28 * rng.random())))
        across = (x - side * self.view.aspect / self.camera.focal * 0.9) / size - sway * q.clamp(min=0) ** 2
        columns = (across.abs().amin(0) < 1).nonzero()
        if not columns.shape[0]:
            return image
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        across, part = across[:, span], image[:, span]
        sprite = _tree_sprite(self.variant % 64).to(x.device)
        alpha = F.grid_sample(sprite, grid_of(across.clamp(-1, 1), 1 - 2 * q), align_corners=False)[0, 0]
        alpha = alpha * ((q > 0) & (q < 1)) * (across.abs() < 0.98)
        bark = light.colour((0.022, 0.028, 0.015), y) * (self.ambient + 0.4 * self.key + 0.3 * self.flash * self.white)
        bark = self._hazed(bark.expand(1, 1, 3), far, 1.0)[:, span]
        part += alpha[..., None] * (bark - part)
        return image

    def _grass(self, image: Tensor, band: View) -> Tensor:
        """Tall grass before the camera, out of focus, bent by the wind."""
        u, v = band.u, band.v
        if float(v.min()) > -0.45:
            return image
        rng = np.random.default_rng([self.variant, 7])
        for k, (tall, scale, blur) in enumerate(((0.20, 0.55, 0.03), (0.10, 0.33, 0.06))):
            if rng.random() < 0.3:
                continue
            up = (v + 1).clamp(min=0)
            bend = 0.9 * self.wind + 0.25 * self.wind * np.sin(1.7 * self.t + 2 * k) + 0.06 * np.sin(0.9 * self.t + k)
            across = (u - bend * up * up / tall) * scale + float(rng.random())
            at = torch.full((1, 1), float(rng.random()), device=u.device)
            blades = sample(tile(91 + k, 512, 0.75, self.x), across, at + 0.02 * up)
            clump = sample(tile(93, 256, 1.8, self.x), across * 0.25, at)
            reach = tall * (0.35 + 0.28 * blades + 0.35 * clump)
            alpha = ((reach - up) / blur + 0.5).clamp(0, 1) * 0.93
            lit = self.ambient + 0.4 * self.key + 0.35 * self.flash * self.white
            shade = tint(1 + 1.6 * up / tall, light.colour((0.020, 0.028, 0.011), u) * lit)
            image = torch.lerp(image, shade, alpha[..., None])
        return image

    def _streaks(self, image: Tensor, band: View) -> Tensor:
        """Rain before the lens in three depths, faded where a streak is finer than a pixel."""
        if self.rain < 0.03:
            return image
        lean, total = (
            band.u + band.v * (0.06 + 0.38 * self.wind),
            torch.zeros(band.rows, band.width, device=self.x.device),
        )
        for k, (scale, speed) in enumerate(((1.1, 3.1), (1.9, 4.3), (3.0, 5.7))):
            fall = band.v * scale * 0.035 + speed * self.t * 0.09 * scale + 0.31 * k
            n = sample(tile(81 + k, 512, 0.35, self.x), lean * scale * 0.55, fall)
            total += ((n - 2.25 + 1.0 * self.rain) / 0.9).clamp(0, 1) * (0.16 / (1 + k * 0.5))
        wet: Tensor = (self.ambient * 0.9 + 0.5 * self.flash * self.white + 0.25 * self.fog) * 1.6
        image += (total * min(1.0, 2.5 * self.rain))[..., None] * (wet - 0.2 * image)
        return image
