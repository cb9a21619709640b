"""What a lighthouse in fog looks like: sea and rocks, air that thickens towards the water, and the beam that turns.

Fog: extinction by Koschmieder's law, 3.912 / visibility, thinning with height; banks drift through it. The beam is
scattered once on its way to the eye (the airlight integral of a point source; Sun et al. 2005), with the inverse
square of the distance and the forward peak of droplets (Henyey and Greenstein 1941, g = 0.8; fog is about 0.85).

Shapes: H rows, W columns; x is (1, W), y is (H, 1), slopes of rays. Metres: right, up, ahead.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, light, lighthouse_plate, water
from stale_diffusion.dreamscapes.light import tile
from stale_diffusion.dreamscapes.lighthouse_sound import metres
from stale_diffusion.dreamscapes.noise import grid_of, sample, smoothstep, tint
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.scene import Event, Stage

CLEAR, THICK = 24_000.0, 85.0  # metres of visibility without fog and in the thickest
DEPTH = (50.0, 230.0)  # metres over which thin and thick fog thins by e with height
SPREAD = 0.030  # radians, deviation of the beam about its axis; a real one is narrower than a pixel
FORWARD = 0.80  # g of the phase function
CANDLE = 8000.0  # the beam's strength, stray light aside
LAMP = (1.0, 0.86, 0.62)  # the colour of a 3000 K filament behind glass
_SEAS = ((0.012, 0.040, 0.046), (0.016, 0.034, 0.036), (0.010, 0.030, 0.042), (0.022, 0.042, 0.038))


def is_lit(hour: float, fog: float) -> float:
    """How brightly the lamp burns, [0, 1]: from dusk to dawn, and by day in fog."""
    dark = float(lanes.between(0.30, 0.0, light.sun_height(hour)))
    return max(dark, float(lanes.between(0.30, 0.55, fog)))


class Picture:
    """One frame: what all its bands share."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.t, self.view = t, view
        self.variant = stage.segment(t).variant
        self.coast = c = lighthouse_plate.coast(self.variant)
        self.light = light.stage_light(stage, t)
        self.camera = light.Camera.of(stage, t, (c.eye, c.eye), c.tilt + 0.20 * (stage.static("height", t) - 0.5))
        self.fog_level, self.wind, self.swell = (stage.value(n, t) for n in ("steam", "wind", "swell"))
        self.drifted = 4 + 0.4 * t + 4 * stage.integral("wind", t)
        through = 1 - 0.9 * float(np.clip((self.light.cloud - 0.5) / 0.4, 0, 1))
        self.sun = through * (0.25 + 0.75 * stage.value("light", t)) * math.exp(-2.2 * self.fog_level**2)
        self.x = self.camera.slopes(view)[0]
        self.key, self.ambient = (light.colour(k, self.x) for k in (self.light.key, self.light.ambient))
        self.key = self.key * self.sun
        self.thick = 3.912 / (CLEAR * (THICK / CLEAR) ** (self.fog_level**0.62))
        self.layer = DEPTH[0] + (DEPTH[1] - DEPTH[0]) * self.fog_level**2
        grey = 0.55 * light.colour(self.light.horizon, self.x) + 0.35 * light.colour(self.light.zenith, self.x)
        self.white = grey + 0.25 * (self.ambient - 0.6 * grey) + 0.10 * self.key
        flat = (self.white * light.colour((0.3, 0.5, 0.2), self.x)).sum()  # much scattered light loses its colour
        self.white = (self.white + 0.75 * self.fog_level * (flat - self.white)) * (1 + 0.3 * self.fog_level)
        hue = stage.rng("sea", t)
        self.water = light.colour(_SEAS[int(hue.integers(len(_SEAS)))], self.x)
        self.lit = is_lit(stage.static("hour", t), self.fog_level)
        self.lamp = light.colour(LAMP, self.x)
        self.window = c.window * float(lanes.between(0.25, -0.1, light.sun_height(stage.static("hour", t))))
        self.waves = stage.events("wave", t - 3.2, t)
        self.tiles = water.waves(t, 0.35, view.device)
        self.mirror = water.Mirror(self.light, t, self.drifted, self.variant, view.device)
        self.banks = self._banks()
        self.air = self._airlight()

    def _bearing(self, k: int) -> tuple[float, float, float]:
        """The axis of beam k: the lens turns once in `turn` seconds."""
        angle = 2 * math.pi * (self.t / self.coast.turn + self.coast.phase + k / self.coast.beams)
        return math.sin(angle), -0.004, math.cos(angle)

    def _small(self, step: int) -> tuple[Tensor, Tensor]:
        """Slopes of a picture `step` times coarser: x (1, W), y (H, 1), of the whole picture."""
        view = View.whole(max(self.view.width // step, 32), max(self.view.height // step, 18), self.view.device)
        return self.camera.slopes(view)

    def _large(self, small: Tensor) -> Tensor:
        """A coarse picture (K, h, w) at this view, (rows, W, K)."""
        full = F.interpolate(small[None], (self.view.height, self.view.width), mode="bilinear", align_corners=False)[0]
        return full[:, self.view.top : self.view.top + self.view.rows].permute(1, 2, 0)

    def _banks(self) -> Tensor:
        """How much thicker or thinner the fog is, near and far, (rows, W, 2), about 1: banks that drift by."""
        x, y = self._small(4)
        drift = 0.012 * self.t + 0.10 * self.drifted
        rise = torch.sign(y) * y.abs() ** 0.8
        near = sample(tile(71, 256, 2.2, x), 0.30 * x + 0.021 * drift, 0.85 * rise + 0.004 * self.t)
        near = near + 0.5 * sample(tile(72, 256, 2.0, x), 0.8 * x + 0.05 * drift, 2.0 * rise - 0.007 * self.t)
        far = sample(tile(73, 256, 2.0, x), 0.6 * x + 0.010 * drift, 2.6 * rise + 0.002 * self.t)
        both = torch.stack([1 + 0.28 * near, 1 + 0.36 * far + 0.12 * near])
        return self._large(both).clamp(0.25, 2.2)

    def _depth(self, y: Tensor, z: Tensor, banks: Tensor) -> Tensor:
        """Optical depth of the air to z metres ahead, (H, W)."""
        climb = (y * z / self.layer).clamp(-3, 40)
        column = torch.where(climb.abs() < 1e-3, 1 - climb / 2, -torch.expm1(-climb) / climb)
        share = (z / 150).clamp(0, 1)
        depth: Tensor = (
            self.thick
            * math.exp(-self.coast.eye / self.layer)
            * z
            * column
            * torch.lerp(banks[..., 0], banks[..., 1], share)
        )
        return depth

    def _airlight(self) -> Tensor:
        """The beams and the glow of the lamp in the fog, (rows, W, 3), a little coarser than the picture."""
        x, y = self._small(2)
        rays = torch.stack(
            [x.expand(len(y), -1), y.expand(-1, x.shape[1]), torch.ones(len(y), x.shape[1], device=x.device)]
        )
        d = rays * torch.rsqrt(x * x + y * y + 1)
        lx, ly, lz = self.coast.lamp
        lamp = torch.tensor((lx, ly - self.coast.eye, lz), device=x.device)[:, None, None]
        nearest = (d * lamp).sum(0)  # metres along the ray to where it passes the lamp
        beside = nearest * d - lamp
        gap = (beside * beside).sum(0).sqrt().clamp(min=0.4)
        m = beside / gap
        first = torch.atan2(-nearest, gap)
        thick = self.thick * math.exp(-ly / self.layer) * 1.4
        reach = torch.where(y < -1e-3, self.coast.eye / (-y).clamp(min=1e-3), torch.full_like(y, 4000.0)) / d[2]
        last = torch.atan2(reach - nearest, gap)
        glow = (last - first).clamp(min=0) * torch.exp(-thick * (0.8 * lamp.norm() + 0.5 * gap))
        total = 0.0035 * glow / gap**0.8
        n = torch.cross(m, d, dim=0)
        grain = 3 * float(y[0, 0] - y[1, 0]) * lz  # metres of a coarse pixel at the lamp, and a little more
        spread = torch.sqrt(SPREAD**2 + (grain / gap) ** 2)
        for k in range(self.coast.beams):
            b = torch.tensor(self._bearing(k), device=x.device)[:, None, None]
            off = (b * n).sum(0)
            bm, bd = (b * m).sum(0), (b * d).sum(0)
            at = torch.atan2(bd, bm)
            inside = smoothstep(-1.2, 1.2, (at - first) / SPREAD) * smoothstep(-1.2, 1.2, (last - at) / SPREAD)
            r = gap / torch.cos(at.clamp(-1.54, 1.54))
            along = (nearest + gap * torch.tan(at.clamp(-1.54, 1.54))).clamp(min=0)
            cosine = -torch.sin(at)
            wide = 1 + FORWARD**2 - 2 * FORWARD * cosine
            phase = (0.5 - 0.5 * FORWARD**2) / (wide * wide.sqrt()) + 0.14
            fade = torch.exp(-thick * (0.75 * along + 0.75 * r))  # light that is scattered forward is not lost
            profile = torch.exp(-(off**2) / (2 * spread**2)) * SPREAD * 2.5066 * (SPREAD / spread)
            total = total + inside * profile * phase * fade / gap * (bm > 0)
        shown = self.lit * CANDLE * 0.33 * thick**0.75 * total  # a little kinder to thin mist than in truth
        return self._large((6 * shown / (6 + shown))[None]).clamp(min=0)

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        return in_bands(self.view, self._shade)

    def _shade(self, band: View) -> Tensor:
        x, y = self.camera.slopes(band)
        rows = slice(band.top - self.view.top, band.top - self.view.top + band.rows)
        banks, air = self.banks[rows], self.air[rows]
        image = self.camera.at_horizon(band, self._sky, self._sea)
        z = torch.where(y < -6e-4, self.coast.eye / (-y).clamp(min=6e-4), torch.full_like(y, 9000.0)).expand(
            len(y), x.shape[1]
        )
        image, z = self._land(image, x, y, z)
        image = torch.lerp(self._white(x, y), image, torch.exp(-self._depth(y, z, banks))[..., None])
        for e in self.waves:
            image = self._spray(image, x, y, e)
        if self.lit > 0:
            image += tint(air[..., 0] + self._lantern(x, y, band.pixel / self.camera.focal), self.lamp)
        return image.mul_(1 + 0.6 * self.light.night)  # a longer exposure by night

    def _white(self, x: Tensor, y: Tensor) -> Tensor:
        """What the fog itself looks like, (H, W, 3): brighter above, and about the sun."""
        sx, sy, sz = self.light.toward
        cosine = (x * sx + y * sy + sz) * torch.rsqrt(x * x + y * y + 1)
        g = 0.72
        wide = 1 + g * g - 2 * g * cosine
        sunny = (0.16 - 0.16 * g * g) / (wide * wide.sqrt())
        lift = 1 + 0.45 * (y / 0.35).clamp(-0.45, 1)
        return tint(0.86 * lift, self.white) + tint(sunny, self.key)

    def _sky(self, band: View) -> Tensor:
        x, y = self.camera.slopes(band)
        return light.sky(self.light, x, y, self.t, self.drifted, self.variant)

    def _sea(self, band: View) -> Tensor:
        """Water to the horizon: it mirrors the sky, and the lamp in a broken column."""
        x, y = self.camera.slopes(band)
        y = y.clamp(max=-2e-4)
        z = self.coast.eye / -y
        footprint = z * z * (band.pixel / self.camera.focal / self.coast.eye)
        breeze = 0.30 + 0.70 * self.wind
        steep = (0.10 * breeze, 0.085 * breeze, 0.035 + 0.07 * self.swell, 0.02 + 0.07 * self.swell)
        (sx, sz, crest), hidden = water.surface(self.tiles, steep, x * z, z, footprint)
        rx, ry, share = water.reflect(x, y, sx, sz, hidden)
        lit = self.water * (self.ambient + self.key * max(self.light.toward[1], 0.0))
        body = tint(1 + 4 * crest.clamp(-0.1, 0.15), lit)
        image = torch.lerp(body, self.mirror(rx, ry), share[..., None])
        if float(self.key.max()) > 0.01:
            image += tint(0.5 * water.glitter(self.light, x, y, sx, sz, hidden), self.key)
        if self.lit <= 0:
            return image
        lx, ly, lz = self.coast.lamp
        wide = 0.0012 + 0.6 * hidden
        spot = torch.exp(-((rx - lx / lz) ** 2 + 0.5 * (ry - (ly - self.coast.eye) / lz) ** 2) / (2 * wide))
        flash = 0.12 + sum(self._facing(k) for k in range(self.coast.beams))
        image += tint(spot * share * ((0.004 / wide).clamp(max=1.5) * (self.lit * 2.2 * flash)), self.lamp)
        return image

    def _facing(self, k: int) -> float:
        """How far beam k points at the camera, [0, 1]."""
        lx, _, lz = self.coast.lamp
        bx, _, bz = self._bearing(k)
        cosine = -(bx * lx + bz * lz) / math.hypot(lx, lz)
        return math.exp(-(math.acos(max(-1.0, min(1.0, cosine))) ** 2) / (2 * (1.6 * SPREAD) ** 2))

    def _land(self, image: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Lay land and tower into the image, and say how far each pixel is, (H, W)."""
        focal = 2 ** (math.ceil(math.log2(self.camera.focal) * 4 - 1e-6) / 4)
        reach = 1.19 * self.view.aspect / focal + 0.25
        plate = lighthouse_plate.plate(self.variant, 2 / self.view.height / focal, reach, self.view.device)
        low, high = lighthouse_plate.LOW, lighthouse_plate.HIGH
        first = int((y > high).sum())
        if first == len(y):
            return image, z
        down = (1 - 2 * (y[first:].clamp(min=low) - low) / (high - low)).expand(-1, x.shape[1])
        grid = grid_of(x / reach, down)
        cover = F.grid_sample(plate[:, 7:8], grid, padding_mode="border", align_corners=False)[0, 0]
        columns = cover.amax(0).nonzero()
        if not columns.shape[0]:
            return image, z
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        found = F.grid_sample(plate, grid[:, :, span], padding_mode="border", align_corners=False)[0]
        cover = found[7]
        colour, n, far = (found[i:j] / cover.clamp(min=1e-3) for i, j in ((0, 3), (3, 6), (6, 7)))
        sx, sy, sz = self.light.toward
        facing = (n[0] * sx + n[1] * sy + n[2] * sz).clamp(min=0)
        lift = 1 + 0.8 * self.light.night
        lit = tint(0.62 + 0.38 * n[1], lift * self.ambient) + tint(facing, self.key)
        surface = colour.permute(1, 2, 0) * lit
        wet = smoothstep(0.35, 0.9, n[1]) * smoothstep(3.3, 1.5, far[0])  # near rocks shine with water
        surface += tint(0.10 * wet, self.white)
        if self.window > 0:
            surface += tint((found[8] - 1.0).clamp(0, 1), self.window * light.colour((1.6, 0.95, 0.40), x))
        image[first:, span] += cover[..., None] * (surface - image[first:, span])
        metres_ = z.clone()
        metres_[first:, span] = torch.where(cover > 0.5, torch.exp(far[0]), z[first:, span])
        return image, metres_

    def _lantern(self, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """The lamp behind its panes, as bright as its beams face the camera, (H, W); its glare grows with them."""
        lx, ly, lz = self.coast.lamp
        dx, dy = x - lx / lz, y - (ly - self.coast.eye) / lz
        flash = sum(self._facing(k) for k in range(self.coast.beams))
        clear = math.exp(-0.75 * self.thick * math.exp(-ly / self.layer) * lz)
        size = max(0.6 / lz, 0.7 * pixel)
        r2 = dx * dx + dy * dy
        core = torch.exp(-r2 / (2 * size * size)) * min(1.0, (0.6 / lz / pixel) ** 2 + 0.3)
        veil = 0.0010 / (r2 + 0.0009) * (0.3 + flash) * 0.10 + torch.exp(-r2.sqrt() / 0.02) * 0.25 * flash
        return self.lit * clear * (core * (1.6 + 9 * flash) + veil * (0.35 + 1.2 * flash))

    def _spray(self, image: Tensor, x: Tensor, y: Tensor, e: Event) -> Tensor:
        """White water thrown up where a wave meets the rocks: it rises, hangs and falls within 2.5 s."""
        c, age = self.coast, self.t - e.time
        if e.distance < 0.45:  # on the rocks before the camera, else at the foot of the tower's
            far = 10 + 0.6 * (float(metres(np.array(e.distance))) - 8)
            cx = self.camera.turn + math.copysign(0.12 + 0.5 * abs(e.x), c.fore) * self.view.aspect / self.camera.focal
        else:
            far = c.away - (20 + 2.4 * c.top if c.rock else 27)
            cx = (c.east + (0.7 * e.x * (14 + 2 * c.top) if c.rock else c.side * (8 + 26 * e.x))) / far
        if e.strength < 0.15:
            return image
        grow = 1 - math.exp(-age / 0.25)
        high = (0.6 + 5.5 * e.strength**1.3) * max(grow - (age / 2.6) ** 2, 0.0) / far
        wide = (1.2 + 3.0 * e.strength) * (0.6 + 0.4 * age) / far
        foot = -self.coast.eye / far
        if high <= 0 or float(y.min()) > foot + 2.2 * high or float(y.max()) < foot - 0.3 * high:
            return image
        px, py = (x - cx) / wide, (y - foot) / high
        lump = sample(tile(74, 256, 1.5, x), 0.22 * px + e.time, 0.25 * py - 0.18 * age)
        fine = sample(tile(12, 512, 1.2, x), 0.9 * px + e.time, 0.8 * py - 0.35 * age)
        body = torch.exp(-(px**2)) * smoothstep(-0.12, 0.12, py) * smoothstep(1.5, 0.1, py + 0.35 * lump)
        thin = math.exp(-age / 1.1)
        alpha = (body * (0.85 + 0.5 * lump + 0.35 * fine) * thin).clamp(0, 0.92)
        colour = 0.78 * (self.ambient * (1.15 + 0.9 * self.light.night) + 0.6 * self.key)
        return image + alpha[..., None] * (colour - image)
