"""What the shore looks like: sky, sea, breakers, wash and sand of one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stale_diffusion.dreamscapes import light, water
from stale_diffusion.dreamscapes.light import tile
from stale_diffusion.dreamscapes.noise import sample, smoothstep, tint
from stale_diffusion.dreamscapes.place import Array, View, in_bands
from stale_diffusion.scene import Event, Stage

NEAREST, FARTHEST = 7.0, 36.0  # metres at which a wave breaks, event.distance 0 and 1
BORE_SPEED = 3.6  # m/s of the broken wave on its way in (a bore on about 1.3 m of water)
MEMORY = 12.0  # seconds for which a wave or gust matters

_SANDS = ((0.46, 0.37, 0.26), (0.52, 0.46, 0.37), (0.34, 0.29, 0.23), (0.40, 0.33, 0.24), (0.20, 0.18, 0.165))
_WATERS = (
    (0.012, 0.075, 0.085),
    (0.010, 0.055, 0.080),
    (0.022, 0.090, 0.080),
    (0.020, 0.050, 0.055),
    (0.014, 0.080, 0.105),
)


def metres(distance: Array) -> Array:
    """How far from the camera a wave breaks, for event.distance in [0, 1]."""
    return np.asarray(NEAREST + (FARTHEST - NEAREST) * distance)


@dataclass(frozen=True)
class Breaker:
    """A wave at one moment: where its crest is at each column, how high, how broken, and how far it has run up."""

    age: float
    strength: float
    foam: float  # how much of the foam that it leaves is still there, [0, 1]
    crest: Tensor  # metres from the camera, (1, W)
    height: Tensor  # metres, (1, W)
    broken: Tensor  # [0, 1.2], (1, W)
    reach: Tensor  # metres of run-up now, (1, W)
    wet: Tensor  # metres of run-up that still glisten, (1, W)


class Picture:
    """One frame of the shore: what all its bands share.

    x, y are slopes of rays, z metres ahead, east metres to the right; (1, W), (H, 1), (H, 1), (H, W).
    """

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.t, self.view = t, view
        self.light = light.stage_light(stage, t)
        self.camera = light.Camera.of(stage, t, (1.35, 2.3), 0.24)
        self.variant = stage.segment(t).variant
        self.wind, self.swell = stage.value("wind", t), stage.value("swell", t)
        self.drifted = 4 + 0.4 * t + 4 * stage.integral("wind", t)
        rng = stage.rng("shore", t)
        self.sand = light.colour(_SANDS[int(rng.integers(len(_SANDS)))], view.u)
        self.water = light.colour(_WATERS[int(rng.integers(len(_WATERS)))], view.u)
        self.side, self.coast = float(rng.choice((-1, 1))), rng.random(3).tolist()
        through = 1 - 0.9 * float(np.clip((self.light.cloud - 0.5) / 0.4, 0, 1))
        self.sun = through * (0.25 + 0.75 * stage.value("light", t))
        self.key = light.colour(self.light.key, view.u) * self.sun
        self.ambient = light.colour(self.light.ambient, view.u)
        self.x = self.camera.slopes(view)[0]
        nearest = self.camera.height * self.camera.focal / (1 + self.camera.tilt)
        self.rest = nearest * (1.95 - 0.75 * stage.value("near", t)) + 0.6
        self.base = (
            self.rest
            + 0.05 * self.rest * self._line(self.rest, 0.11, 0.5, 2)
            + 0.4 * self._line(self.rest, 0.03, 0.1, 1)
        )
        self.breakers = [self._breaker(e) for e in stage.events("wave", t - MEMORY, t)]
        self.birds = stage.events("bird", t - 7, t)
        zero = torch.zeros_like(self.base)
        self.front = self.base - torch.stack([zero, *(b.reach for b in self.breakers)]).amax(0)
        self.glisten = self.base - torch.stack([zero + 0.15 * self.rest, *(b.wet for b in self.breakers)]).amax(0)
        self.tiles = water.waves(t, 0.3, view.device)
        self.mirror = water.Mirror(self.light, t, self.drifted, self.variant, view.device)
        self.fog = water.far_colour(self.light, self.x)

    def _line(self, z: float, scale: float, row: float, octaves: int) -> Tensor:
        """Smooth noise along a line at z metres, (1, W): a function of metres to the right."""
        total = torch.zeros_like(self.x)
        for k in range(octaves):
            at = torch.full((1, 1), row + 0.37 * k, device=self.x.device)
            total = total + sample(tile(21, 256, 2.5, self.x), self.x * (z * scale * 3**k / 6), at) / 2.4**k
        return total

    def _breaker(self, e: Event) -> Breaker:
        """The wave of an event now: its crest comes in at the speed of a bore, then runs up the sand and drains."""
        age, far = self.t - e.time, max(float(metres(np.array(e.distance))), self.rest + 2.5)
        row = (e.time * 0.618) % 1
        z = far - BORE_SPEED * age
        arrival = (far - self.rest) / BORE_SPEED
        line = max(z, self.rest)
        crest = line + (0.5 + 0.05 * line) * self._line(line, 0.10, row, 2)
        off = (self.x - self.camera.turn) * line - e.x * 0.45 * line
        width = 5 + 16 * e.strength
        along = torch.exp(-((off / width) ** 4)) * (1 + 0.25 * self._line(line, 0.3, row + 0.2, 2))
        shoal = float(np.clip((z - self.rest) / 2.5, 0, 1))
        rise = float(np.clip(age / 1.0, 0, 1)) ** 0.7 * (0.45 + 0.55 * np.exp(-age / 3.0)) * shoal
        since = age - arrival
        leaving = float(np.clip((MEMORY - age) / 2, 0, 1))
        reach = leaving * _run_up(since) * (0.6 + 2.3 * e.strength) * self.rest / 6
        peak = (
            leaving
            * _run_up(min(since, 1.5))
            * (0.6 + 2.3 * e.strength)
            * self.rest
            / 6
            * max(0.0, 1 - max(0.0, since - 1.5) / 9)
        )
        lobes = 1 + 0.17 * self._line(self.rest, 0.30, row + 0.4, 1)
        return Breaker(
            age,
            e.strength,
            leaving * float(np.exp(-max(since, 0) / 2.5)),
            crest,
            (0.16 + 1.15 * e.strength) * rise * along,
            ((age - off.abs() / 9) / 1.1).clamp(0, 1.2) * along.clamp(0, 1),
            (reach * lobes * along.clamp(0.2, 1.2)).clamp(min=0),
            (peak * lobes * along.clamp(0.2, 1.2)).clamp(min=0),
        )

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        return self.camera.at_horizon(
            self.view, lambda view: in_bands(view, self._above), lambda view: in_bands(view, self._below)
        )

    def _above(self, band: View) -> Tensor:
        """Sky and headland."""
        x, y = self.camera.slopes(band)
        image = light.sky(self.light, x, y, self.t, self.drifted, self.variant)
        for k, far in enumerate((9000.0, 3500.0)):
            self._headland(image, x, y, band.pixel / self.camera.focal, k, far)
        for e in self.birds:
            self._gull(image, x, y, e)
        return self._over_breakers(band, image, x, y)

    def _gull(self, image: Tensor, x: Tensor, y: Tensor, e: Event) -> None:
        """A gull that glides by for seven seconds from its cry on, into the image."""
        age, pixel = self.t - e.time, float(x[0, 1] - x[0, 0])
        path = np.random.default_rng([self.variant, int(e.time * 128)]).random(4).tolist()
        size = 0.026 / (0.4 + 2.6 * e.distance)
        centre = self.camera.turn + e.x * 0.8 * self.view.aspect / self.camera.focal
        centre += float(np.sign(path[0] - 0.5)) * size * 3 * age * (0.6 + path[1])
        high = 0.05 + 0.30 * float(path[2]) + 0.15 * size * float(np.sin(0.7 * age + 6 * path[3]))
        shown = float(np.clip(age, 0, 1) * np.clip((7 - age) / 1.5, 0, 1))
        columns = ((x[0] - centre).abs() < 1.05 * size).nonzero()
        if shown <= 0 or not len(columns):
            return
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        across, image = (x[:, span] - centre) / size, image[:, span]
        p, q = across.abs(), (y - high) / size + (0.5 * path[0] - 0.25) * across
        inside = q.abs() < 0.8
        beat = 0.30 + 0.22 * float(np.sin(7 * age)) * (1 if path[3] > 0.4 else 0.25)
        wing = beat * (1.5 * p - 1.2 * p * p)
        thick = 0.06 * (1 - p).clamp(min=0) ** 0.6 + 0.05 * (1 - 6 * p).clamp(min=0)
        alpha: Tensor = ((thick - (q - wing).abs()) * size / pixel + 0.5).clamp(0, 1) * inside
        share = shown * min(1.0, 0.12 * size / pixel)
        bird = (self.ambient + 0.25 * self.key) * 0.28
        image += (share * alpha)[..., None] * (bird - image)

    def _headland(self, image: Tensor, x: Tensor, y: Tensor, pixel: float, k: int, far: float) -> None:
        """A headland on one side of the bay, where this coast has one, into the image."""
        if self.coast[k] < 0.35:
            return
        across = (self.side * (1 - 2 * k) * x - 0.45 + 0.9 * self.coast[2 - k]).clamp(min=0)
        at = torch.full((1, 1), float(self.coast[k]), device=x.device)
        rough = sample(tile(22, 256, 1.7, self.x), x * 0.35 + float(self.coast[1]), at)
        ridge = (0.10 * across / (0.35 + across) + 0.012 * rough * (across > 0)) * (0.5 + self.coast[k])
        above = int((y > float(ridge.max()) + pixel).sum())
        if above == len(y):
            return
        image, y = image[above:], y[above:]
        inside: Tensor = ((ridge * smoothstep(0.0, 0.08, across) - y) / pixel + 0.5).clamp(0, 1) * smoothstep(
            0.0, 0.004, ridge
        )
        green = tint(
            1 + 0.3 * sample(tile(12, 512, 1.35, self.x), x * 1.5, y * 4), light.colour((0.045, 0.060, 0.045), x)
        )
        haze = 1.0 - float(np.exp(-far * (0.00012 + 0.0008 * self.light.haze)))
        land = green * (self.ambient + 0.6 * self.key)
        image += inside[..., None] * (land + haze * (self.fog - land) - image)

    def _below(self, band: View) -> Tensor:
        """Sea and sand."""
        x, y = self.camera.slopes(band)
        y = y.clamp(max=-2e-4)
        z = self.camera.height / -y
        footprint = z * z * (band.pixel / self.camera.focal / self.camera.height)
        east = x * z
        inside = z - self.front  # metres behind the edge of the water
        edge = (inside / footprint.clamp(max=0.5) + 0.5).clamp(0, 1)[..., None]
        if float(inside.max()) <= 0:
            image = self._beach(x, y, z, east, footprint)
        elif float(inside.min()) >= 1:
            image = self._sea(x, y, z, east, footprint, inside)
        else:
            sand, sea = self._beach(x, y, z, east, footprint), self._sea(x, y, z, east, footprint, inside)
            image = sand + edge * (sea - sand)
        return self._over_breakers(band, image, x, y)

    def _sea(self, x: Tensor, y: Tensor, z: Tensor, east: Tensor, footprint: Tensor, inside: Tensor) -> Tensor:
        """Water from its edge to the horizon: Fresnel reflection, its own colour, glitter, foam, haze."""
        calm = (inside / 7).clamp(0.10, 1)
        breeze = 0.35 + 0.65 * self.wind
        steep = (0.10 * breeze, 0.085 * breeze, 0.045 + 0.06 * self.swell, 0.02 + 0.06 * self.swell)
        (sx, sz, crest), hidden = water.surface(self.tiles, steep, east, z, footprint)
        sx, sz = sx * calm, sz * calm
        rx, ry, share = water.reflect(x, y, sx, sz, hidden)
        depth = (0.045 * inside).clamp(0, 3)
        lit = self.ambient + self.key * max(self.light.toward[1], 0.0)
        clear = torch.exp(tint(-depth, light.colour((3.4, 1.5, 1.2), x)))
        cover = self._cover(z, inside)
        hue = tint(1 + 4 * crest.clamp(-0.04, 0.12), self.water) + 0.11 * cover[..., None] ** 2
        body = torch.lerp(hue, 0.68 * self.sand, clear) * lit
        image = torch.lerp(body, self.mirror(rx, ry), share[..., None])
        image += tint(0.6 * water.glitter(self.light, x, y, sx, sz, hidden), self.key)
        foam, shade = self._foam(cover, z, east, footprint)
        white = tint(0.80 * shade, self.ambient * 1.1 + self.key * (0.25 + 0.6 * self.light.toward[1]))
        image = torch.lerp(image, white, foam[..., None])
        haze = 1 - torch.exp(-z * (0.0003 + 0.004 * self.light.haze**2))
        return torch.lerp(image, self.fog, haze[..., None])

    def _cover(self, z: Tensor, inside: Tensor) -> Tensor:
        """How foamy the water is, (H, W): behind each bore, and along the edge of the wash."""
        depth = inside.clamp(min=0)
        cover = 0.85 * torch.exp(depth / -0.13) + 0.30 * torch.exp(depth / -1.8)
        for b in self.breakers:
            passed, age = (z - b.crest) / BORE_SPEED, max(b.age, 0.1)
            if float(passed[0].max()) <= 0 or float(passed[-1].min()) > 2.2 * age:
                continue  # it is yet to come, or nothing of its trail is left
            trail = torch.exp(passed.clamp(min=0) / -2.0 - ((passed / age) ** 2) ** 2) * (passed > 0)
            cover = torch.maximum(cover, trail * b.broken * (b.foam * min(1.0, 0.30 + 0.9 * b.strength)))
        return cover.clamp(0, 1)

    def _foam(self, cover: Tensor, z: Tensor, east: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the water is white: a web of lines that closes where it is foamy; and its relief, both (H, W)."""
        flow = z + 0.12 * self.t
        warp = sample(tile(33, 256, 1.8, self.x), east * 0.02, flow * 0.02)
        a = sample(tile(31, 512, 1.35, self.x), east * 0.052 + 0.02 * warp, flow * 0.045)
        b = sample(tile(32, 512, 1.45, self.x), east * 0.15 - 0.03 * warp, flow * 0.13 + 0.03 * self.t * 0.3)
        seen = 1 / (1 + (footprint * 2.2) ** 2)
        web = torch.minimum((a + 0.30 * b).abs(), (b - 0.25 * a).abs() * 0.9 + 0.12)
        mask = ((1.15 * cover**1.6 - web) / (0.16 + 0.8 * footprint.clamp(max=1)) + 0.3).clamp(0, 1)
        mean = (1.1 * cover * cover.sqrt()).clamp(max=1)
        mask = mean + seen * (mask - mean)
        return mask * smoothstep(0.02, 0.20, cover) * (0.50 + 0.50 * cover), 1 + seen * (0.10 * b - 0.08 * a)

    def _beach(self, x: Tensor, y: Tensor, z: Tensor, east: Tensor, footprint: Tensor) -> Tensor:
        """Sand: dry and grainy, or dark and mirror-like where a wave has just been."""
        dunes = sample(tile(42, 256, 1.5, self.x), east * 0.11, z * 0.16)
        wet = smoothstep(-0.5, 0.35, (z - self.glisten) / (0.1 * self.rest) + 0.25 * dunes)
        fine = 1 / (1 + (footprint * 60) ** 2)
        rough, lean = tile(41, 512, 0.8, self.x), 0.004 * (1 if self.light.toward[0] > 0 else -1)
        grain = sample(rough, east * 0.8, z * 0.8)
        slant = (sample(rough, east * 0.8 + lean, z * 0.8 + 0.004) - grain) * (
            0.5 + 0.5 / (0.25 + abs(self.light.toward[1]))
        )
        relief = 1 + (0.05 * grain - 0.11 * slant) * fine * (1 - 0.75 * wet) + 0.07 * dunes * (1 - 0.6 * wet)
        lit = self.ambient * 0.95 + self.key * (max(self.light.toward[1], 0.0) + 0.05)
        base = tint(relief * (1 - 0.50 * wet), self.sand * lit)
        slope = 0.014 * sample(tile(43, 256, 1.2, self.x), east * 0.25, z * 0.25)
        rx, ry, share = water.reflect(x, y, slope, slope, torch.full_like(z, 4e-4))
        mirror = self.mirror(rx, ry)
        root = share.sqrt()
        image = torch.lerp(base, mirror, (wet**2 * (0.06 + 0.94 * root * root.sqrt()) * 0.9)[..., None])
        shade = torch.exp((z - self.front) / (0.012 * self.rest)).clamp(0, 1)  # the lip of the wash throws a shadow
        return image * (1 - 0.35 * shade)[..., None]

    def _over_breakers(self, band: View, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Draw the faces of the waves over a band, far ones first."""
        for b in sorted(self.breakers, key=lambda b: -float(b.crest.mean())):
            foot, top = -self.camera.height / b.crest, (b.height - self.camera.height) / b.crest
            tall = float((top - foot).max())
            low, high = float(foot.min()) - 0.1 * tall, float(foot.max()) + 1.8 * tall  # ragged, at most
            rows = ((y[:, 0] > low) & (y[:, 0] < high)).nonzero()
            if float(b.height.max()) < 0.02 or not len(rows):
                continue
            span = slice(int(rows[0]), int(rows[-1]) + 1)
            self._face(b, image[span], x, y[span], foot, top, band.pixel / self.camera.focal)
        return image

    def _face(self, b: Breaker, image: Tensor, x: Tensor, y: Tensor, foot: Tensor, top: Tensor, pixel: float) -> None:
        """The face of one wave, into the image: green where the sun shines through, white where it has broken."""
        east = x * b.crest
        q = (y - foot) / (top - foot).clamp(min=1e-4)
        up = q * b.height
        noise = sample(tile(31, 512, 1.35, self.x), east * 0.09 + b.age * 0.01, up * 0.22 - 0.10 * b.age)
        noise = noise + 0.5 * sample(tile(32, 512, 1.25, self.x), east * 0.35, up * 0.7 - 0.35 * b.age)
        white = smoothstep(-0.25, 0.45, q - 1.05 + 1.15 * b.broken + 0.22 * noise)
        ragged = 0.10 * noise * b.broken.clamp(0, 1)
        swelling = ((q + 0.12 * noise * white) / (0.5 - 0.36 * white)).clamp(0, 1)
        soft = (pixel * b.crest / b.height.clamp(min=1e-3)).clamp(min=0.03) + 0.10 * white
        inside = ((1 - q + ragged) / soft).clamp(0, 1) * swelling * (q > -0.1)
        lit = self.ambient + self.key * 0.7
        through = 0.35 + 0.9 * q.clamp(0, 1) ** 2
        green = tint(through, self.water * light.colour((0.9, 1.5, 1.35), x) * lit)
        green += 0.10 * self.mirror(x, (0.3 + 0.4 * q).clamp(0, 2))
        shade = 0.55 + 0.42 * q.clamp(0, 1.1) + 0.13 * noise
        face = torch.lerp(green, tint(shade, 0.85 * (self.ambient * 1.05 + self.key * 0.62)), white[..., None])
        haze = 1 - torch.exp(-b.crest * (0.0003 + 0.004 * self.light.haze**2))
        face = torch.lerp(face, self.fog, haze[..., None])
        image += inside[..., None] * (face - image)


def _run_up(since: float) -> float:
    """How far the wash of a wave is up the sand, [0, 1], `since` seconds after it arrives: up in 1.5 s, down in 4.5."""
    if since <= 0:
        return 0.0
    return float(
        np.sin(np.pi / 2 * min(since / 1.5, 1.0)) * (0.5 + 0.5 * np.cos(np.pi * np.clip((since - 1.5) / 4.5, 0, 1)))
    )
