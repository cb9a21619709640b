"""What a meadow looks like: sky, hills, cloud shadows, and grass in which the wind runs.

Wind over a canopy moves in coherent gusts that travel a little faster than the wind at its top and bend the stalks in
waves (honami; Finnigan 1979, Py et al. 2006): the same field bends the strips, and silvers the rise beyond them.

Shapes: H rows, W columns; x is (1, W), y is (H, 1). Metres: east to the right, z ahead.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import light, meadow_hills, meadow_plate
from stale_diffusion.dreamscapes.light import tile
from stale_diffusion.dreamscapes.meadow_plate import RATIO, STRIPS
from stale_diffusion.dreamscapes.noise import blank, grid_of, sample, smoothstep, tint
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.dreamscapes.water import far_colour
from stale_diffusion.scene import Event, Stage

LEAF_THROUGH = (1.20, 1.12, 0.55)  # light that comes through a leaf is yellower (Gates 1965)


class Picture:
    """One frame of the meadow: what all its bands share."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.t, self.view = t, view
        self.variant = stage.segment(t).variant
        self.land, self.growth = meadow_hills.land(self.variant), meadow_plate.growth(self.variant)
        self.light = light.stage_light(stage, t)
        canopy = self.growth.height
        self.camera = light.Camera.of(stage, t, (canopy + 0.28, canopy + 1.0), self.land.tilt)
        nearest = 0.86 * (self.camera.height - 0.3 * canopy) * self.camera.focal / (1 + self.land.tilt)
        self.first = math.ceil(math.log(nearest) / math.log(RATIO))
        self.last = self.first + STRIPS - 1
        sway = stage.static("drift", t)
        self.dolly = (0.05 + 0.30 * sway) * math.sin(0.085 * t + self.variant)
        self.wind, self.wet = stage.value("wind", t), stage.value("rain", t)
        self.run = 0.7 * t + 6.5 * stage.integral("wind", t)
        self.drifted = 4 + 0.4 * t + 4 * stage.integral("wind", t)
        rng = stage.rng("breeze", t)
        self.side = float(rng.choice((-1, 1)))
        angle = float(rng.uniform(-0.5, 0.5))
        self.heading = (self.side * math.cos(angle), math.sin(angle))
        self.gusts = [(t - e.time, e.strength) for e in stage.events("gust", t - 16, t + 8)]
        self.flyers = stage.events("passing", t - 2.6, t)
        if self.light.night < 0.5:
            self.flyers += stage.events("bird", t - 5, t)
        through = 1 - 0.9 * float(np.clip((self.light.cloud - 0.5) / 0.4, 0, 1))
        self.sun = through * (0.15 + 0.85 * stage.value("light", t))
        self.through = through
        broken = 4 * self.light.cloud * (1 - self.light.cloud)
        self.patchy = 1.3 * max(broken - 0.25, 0.0)
        self.x = self.camera.slopes(view)[0]
        self.key, self.ambient = (light.colour(c, self.x) for c in (self.light.key, self.light.ambient))
        self.fog = 0.94 * far_colour(self.light, self.x)
        self.centre = self._clouds(torch.zeros(1, 1, device=view.device), torch.zeros(1, 1, device=view.device))
        sx, sy, sz = self.light.toward
        behind = max(sz, 0.0) * (1 - 0.6 * max(sy, 0.0))  # how much light comes through leaves
        hue = 1 + behind * (light.colour(LEAF_THROUGH, self.x) - 1)
        lift = 1 + 0.9 * self.light.night  # eyes and films adapt
        self.sky = 1.4 * lift * self.ambient
        self.beam = lift * (0.45 + 0.40 * max(sy, 0.0) + 0.55 * behind + 0.15 * abs(sx)) * hue * self.key
        self.mean = self._far_mean()

    def _focal(self) -> float:
        """The focal length, rounded up to a quarter of an octave."""
        return float(2 ** (math.ceil(math.log2(self.camera.focal) * 4 - 1e-6) / 4))

    def _panorama(self) -> tuple[int, float, float]:
        """What the painted panoramas depend on: variant, size of a pixel and reach, in slopes."""
        return self.variant, 2 / self.view.height / self._focal(), 1.19 * self.view.aspect / self._focal() + 0.25

    def _plants(self, k: int) -> meadow_plate.Strip:
        """Strip k of this picture."""
        ahead = min(k - self.first, 3)
        return meadow_plate.strip(
            self.variant, k, ahead, self.view.width, self.view.height, self._focal(), self.view.device
        )

    def _far_mean(self) -> Tensor:
        """The mean reflectance of the farthest strip about the top of its canopy, (3,): so the rise goes on from it."""
        far = self._plants(self.last)
        rows = far.texels.shape[2]
        top, low = (int(rows * (1 - share * self.growth.height / far.tall)) for share in (1.15, 0.55))
        low = max(low, top + 1)  # in a picture of few pixels the strip has few rows
        colour, cover = far.texels[0, :, top:low].mean((1, 2)).split([3, 1])  # type: ignore[no-untyped-call]
        return self._dim(colour / cover.clamp(min=0.05))

    def _dim(self, colour: Tensor) -> Tensor:
        """Plants, (3, ...), as the eye sees them by night: with less colour (Purkinje)."""
        if self.light.night == 0:
            return colour
        share = 0.65 * self.light.night
        grey = torch.outer(torch.tensor((0.95, 1.0, 1.06)), torch.tensor((0.2, 0.7, 0.1)))
        mixed = ((1 - share) * torch.eye(3) + share * grey).to(colour)
        return (mixed @ colour.reshape(3, -1)).reshape(colour.shape)

    def _haze(self, z: Tensor) -> Tensor:
        """How much of the light from z metres is lost in the air: visibility 50 km down to 2 km (Koschmieder)."""
        return 1 - torch.exp(-z * (0.00006 + 0.0016 * self.light.haze**2))

    def _clouds(self, east: Tensor, z: Tensor) -> Tensor:
        """The noise of the clouds' shadows on the ground, about [-2, 2]."""
        along = 9.0 * self.drifted
        return sample(tile(25, 256, 1.9, east), (east - self.heading[0] * along) / 1700 + 0.1 * self.variant,
                      (z - self.heading[1] * along) / 1700)  # fmt: skip

    def _sunlit(self, east: Tensor, z: Tensor) -> Tensor:
        """How much of the key light falls there, [0, 1]: at the camera as the scene says, farther by the clouds."""
        if self.patchy == 0:
            return torch.full_like(east, self.sun)
        away = (z / 70).clamp(0, 1)
        wave = self._clouds(east, z.expand_as(east)) - self.centre
        return (self.sun + self.patchy * away * wave).clamp(0.10 * self.through, max(self.through, self.sun))

    def _bend(self, east: Tensor, z: Tensor | float) -> Tensor:
        """How far the wind bends the grass, 0 upright, about 1 in a strong gust."""
        hx, hz = self.heading
        along, across = east * hx + z * hz, z * hx - east * hz
        big = sample(tile(26, 256, 1.5, east), (along - 1.15 * self.run) / 61, across / 95)
        fine = sample(tile(27, 256, 1.3, east), (along - 1.3 * self.run) / 17.3, across / 29)
        field = (0.50 + 0.30 * big + 0.22 * fine).clamp(0, 1.5)
        bend = self.wind * (0.12 + 0.95 * field)
        for age, strength in self.gusts:
            since = (age - along / 9.0).clamp(min=0)
            bend = bend + 0.55 * strength * (1 - torch.exp(-since / 0.6)) * torch.exp(-since / 1.3)
        return bend

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        base = RATIO**self.last
        foot = self.camera.tilt - self.camera.focal * (self.camera.height - 0.5 * self.growth.height) / base
        rows = int(np.clip(int((1 - foot) / self.view.pixel) + 1 - self.view.top, 0, self.view.rows))
        planes = torch.empty(3, self.view.rows, self.view.width, device=self.view.device)
        planes[:, rows:] = (0.25 * self.mean * self.sky)[:, None, None]
        if rows:
            planes[:, :rows] = in_bands(replace(self.view, rows=rows), self._country).permute(2, 0, 1)
        for k in range(self.last, self.first - 1, -1):
            self._strip(planes, k)
        for e in self.flyers:
            self._flyer(planes, e)
        return planes.permute(1, 2, 0)

    def _flyer(self, planes: Tensor, e: Event) -> None:
        """A lark that hangs in the air and sings, or a bumblebee that crosses before the camera: a few pixels, in
        place."""
        age, view, focal = self.t - e.time, self.view, self.camera.focal
        path = np.random.default_rng([self.variant, int(e.time * 128)]).random(4).tolist()
        if e.kind == "bird":
            size, shown = 0.09 / (15 + 60 * e.distance), min(max(age, 0.0), max(5 - age, 0.0), 1.0)
            u = 0.8 * view.aspect * e.x + focal * (0.004 * age * (path[0] - 0.5) + 0.002 * math.sin(1.3 * age))
            v = self.camera.tilt + focal * (0.10 + 0.22 * path[1] + 0.006 * age) + 0.2 * size * math.sin(40 * age)
            flat, tone = 0.5 + 0.45 * math.sin(52 * age), 0.25
        else:
            along, near = 3.5 * (age - 1.0), 0.5 + 0.8 * e.distance
            far, shown = near + 0.5, min(max(age * 3, 0.0), max((2.6 - age) * 3, 0.0), 1.0)
            size = 0.011 / far
            u = focal * (math.copysign(1.0, e.x) * along + 0.08 * math.sin(5 * age + 6 * path[0])) / far
            v = self.camera.tilt + focal * (-0.18 + 0.3 * path[1] - 0.3 + 0.05 * math.sin(4.1 * age + path[2])) / far
            flat, tone = 0.8, 0.5
        size = size * focal
        reach = 3 * size + 2 * view.pixel
        rows, columns = (
            slice(max(int((a - reach) / view.pixel), 0), max(int((a + reach) / view.pixel) + 1, 0))
            for a in (1 - v - view.top * view.pixel, u + view.aspect)
        )
        patch = planes[:, rows, columns]
        if shown <= 0 or not patch.numel():
            return
        soft = size + view.pixel  # out of focus, or smaller than a pixel
        d = ((view.u[:, columns] - u) / soft) ** 2 + ((view.v[rows] - v) / (soft * flat + view.pixel)) ** 2
        cover = shown * (size / soft) ** 2 * torch.exp(-1.2 * d)
        hue = light.colour((0.10, 0.075, 0.04), self.x) * tone
        body = hue * (self.sky + 0.5 * self.key * self.sun)
        patch += cover * (body[:, None, None] - patch)

    def _country(self, band: View) -> Tensor:
        """Sky, the country beyond, the rise of the meadow and its trees, (rows, W, 3)."""
        x, y = self.camera.slopes(band)
        pixel, crest = band.pixel / self.camera.focal, meadow_hills.crest(self.land, x)
        above = int((y > float(crest.min()) - 2 * pixel).sum())
        image = blank(len(y), x.shape[1], 3, x.device)
        if above:
            image[:above] = self._distance(x, y[:above])
        first = int((y > float(crest.max()) + 2 * pixel).sum())
        if first < len(y):
            near = self._rise(x, y[first:], pixel, crest)
            inside = ((crest - y[first:above]) / pixel + 0.5).clamp(0, 1)[..., None]
            image[first:above] += inside * (near[: above - first] - image[first:above])
            image[above:] = near[above - first :]
        return self._trees(image, x, y)

    def _distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Sky and the hills or mountains under it, (H, W, 3)."""
        panorama = self._panorama()
        plate, low, high = meadow_hills.country(*panorama, self.view.device)
        first = int((y > high).sum())
        image = light.sky(self.light, x, y, self.t, self.drifted, self.variant)
        if first == len(y):
            return image
        y = y[first:].clamp(min=low)
        grid = grid_of(x / panorama[2], 1 - 2 * (y - low) / (high - low))
        found = F.grid_sample(plate, grid, padding_mode="border", align_corners=False)[0]
        cover = found[6]
        colour, east, north, far = (found[:6] / cover.clamp(min=1e-3)).split([3, 1, 1, 1])  # type: ignore[no-untyped-call]
        z, norm = torch.exp(far[0]), torch.rsqrt(1 + east[0] ** 2 + north[0] ** 2)
        sx, sy, sz = self.light.toward
        facing = ((sy - sx * east[0] - sz * north[0]) * norm).clamp(min=0) + 0.06
        lift = 1 + 0.7 * self.light.night
        lit = tint(0.45 + 0.55 * norm, lift * self.ambient) + tint(self._sunlit(x * z, z) * facing, lift * self.key)
        surface = self._dim(colour).permute(1, 2, 0) * lit
        blue = self.fog + 0.4 * (1.7 * light.colour(self.light.zenith, x) - self.fog)  # far air is bluer
        air = torch.lerp(blue, image[first:], ((z - 2500) / 7000).clamp(0, 1)[..., None])  # in the end it is the sky
        surface = torch.lerp(surface, air, self._haze(z)[..., None])
        image[first:] += cover[..., None] * (surface - image[first:])
        return image

    def _rise(self, x: Tensor, y: Tensor, pixel: float, crest: Tensor) -> Tensor:
        """The meadow from the end of the strips to its crest, (H, W, 3)."""
        foot, far = RATIO**self.last, self.land.crest
        low = -self.camera.height / foot
        s = ((crest - y) / (crest - low).clamp(min=1e-3)).clamp(0, 1)
        z = 1 / (1 / far + s * (1 / foot - 1 / far))
        east = x * z
        lit = tint(self._sunlit(east, z), 0.88 * self.beam) + 0.92 * self.sky
        return torch.lerp(self._grassland(east, z, s, pixel) * lit, self.fog, self._haze(z)[..., None])

    def _grassland(self, east: Tensor, z: Tensor, s: Tensor, pixel: float) -> Tensor:
        """The meadow beyond the strips: as they end, greener where it is seen more from above, with drifts of flowers
        and the waves of the wind; s is 1 at its foot."""
        foot = z * z * pixel / self.camera.height
        seen = 1 / (1 + (foot / 25) ** 2)
        waves = self._bend(east, z) - 0.6 * self.wind
        patch = sample(tile(12, 512, 1.35, east), east / 90, z / 160)
        speck = sample(tile(41, 512, 0.8, east), east / 7, z / 30)
        shade = 1 + 0.60 * waves * seen + 0.13 * patch + 0.10 * speck
        green = self._dim(light.colour(self.growth.greens[0], east))
        base = (tint(0.55 * (1 - s).sqrt(), green - self.mean) + self.mean) * shade.clamp(0.3, 2)[..., None]
        bloom = smoothstep(0.3, 1.9, patch + 0.5 * speck) * min(self.growth.blooms * 0.022, 0.2)
        petal = self._dim(light.colour(self.growth.petals[0][0], east))
        return torch.lerp(base, petal, (bloom * (1 - s))[..., None])

    def _trees(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The trees on the rise, over the image, in place."""
        panorama = self._panorama()
        plate, low, high = meadow_hills.trees(*panorama, self.view.device)
        first, last = int((y > high).sum()), int((y > low).sum())
        if last <= first:
            return image
        y, behind = y[first:last], image[first:last]
        stir = 0.0006 * self.wind * torch.sin(1.7 * self.t + 40 * x) * ((y - low) / 0.1).clamp(0, 1)
        grid = grid_of((x + stir) / panorama[2], 1 - 2 * (y - low) / (high - low))
        shade, side, hue, cover = F.grid_sample(plate, grid, align_corners=False)[0]
        sx, sy, sz = self.light.toward
        full = cover.clamp(min=1e-3)
        turned = ((2 * side / full - 1) * sx + 0.35 + 0.4 * max(sy, 0.0) - 0.35 * sz).clamp(min=0.05)
        green, warm = (self._dim(light.colour(c, x)) for c in ((0.030, 0.048, 0.018), (0.030, 0.030, 0.004)))
        leaf = (tint(hue / full, warm) + green) * (1.9 * shade / full)[..., None]
        far = torch.full_like(x, self.land.crest)
        key = self._sunlit(x * far, far) * (0.9 * turned + 0.30 * max(sz, 0.0) * (shade / full - 0.3).clamp(min=0))
        colour = leaf * (tint(key, self.key) + self.ambient) * (1 + 0.8 * self.light.night)
        colour = torch.lerp(colour, self.fog, self._haze(far)[..., None])
        image[first:last] = torch.lerp(behind, colour, cover[..., None])
        return image

    def _strip(self, planes: Tensor, k: int) -> None:
        """Lay a strip of grass over what is behind it, planes (3, rows, W), in place."""
        camera, view, strip = self.camera, self.view, self._plants(k)
        z, eye, canopy = strip.z, camera.height, self.growth.height
        mound = 0.10 * min(1.0, z / 8)
        tops = (camera.tilt + camera.focal * (y / z) for y in (1.6 * canopy + mound - eye, 0.08 * canopy - mound - eye))
        first, last = (min(max(int((1 - v) / view.pixel) - view.top, 0), view.rows) for v in tops)
        last = min(last + 2, view.rows)
        if last <= first:
            return
        x, y = camera.slopes(replace(view, top=view.top + first, rows=last - first))
        east, row = x * z + self.dolly, torch.full((1, 1), 0.37 * k, device=x.device)
        up = eye + y * z - mound * sample(tile(21, 256, 2.5, x), east / 23 + 0.31 * k, row)
        bend = self._bend(east, z)
        flutter = sample(tile(21, 256, 2.5, x), (east - 0.9 * self.run) / 9, 0.3 * row + 0.025 * self.t)
        q = (up / canopy).clamp(0, 1.8)
        lean = 0.50 * canopy * self.side * bend / (1 + 0.5 * bend) + 0.035 * (0.25 + self.wind) * flutter
        n = strip.texels.shape[-1] - 2
        u = (east - lean * q * q.sqrt()) / strip.wide
        u = (u - torch.floor(u)) * (2 * n / (n + 2)) + (2 / (n + 2) - 1)
        grid = grid_of(u, 1 - (2 / strip.tall) * (1 + 0.16 * bend**2) * up)
        colour, cover = F.grid_sample(strip.texels, grid, align_corners=False)[0].split([3, 1])  # type: ignore[no-untyped-call]
        colour = self._dim(colour) * self._lit(east, q, bend, z)
        air = float(self._haze(torch.tensor(z)))
        if air > 0.004:
            colour = colour.mul_(1 - air).addcmul_(cover, air * self.fog.permute(2, 0, 1))
        planes[:, first:last].mul_(1 - cover).add_(colour)

    def _lit(self, east: Tensor, q: Tensor, bend: Tensor, z: float) -> Tensor:
        """Light on the plants of a strip, (3, H, W): sky and sun reach down into the canopy less and less."""
        sunlit = self._sunlit(east, torch.full((1, 1), z, device=east.device))
        into = smoothstep(0.05, 1.0, q)
        deep = (0.26 + 0.74 * into) * (1 - 0.25 * self.wet)
        open_ = (0.08 + 0.92 * into**2) * (sunlit * (1 + 0.30 * (bend - 0.5 * self.wind)))
        return (self.sky[:, None, None] * deep).addcmul_(self.beam[:, None, None], open_)
