"""What the window of a night train shows: dark country in layers that part, lights, rain, and the room in the glass.

Shapes: planes are (3, H, W); H rows, W columns, K lights or drops.
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
from stale_diffusion.dreamscapes.night_train_car import (
    ALBEDO,
    CUP,
    GLASS,
    GLOW,
    HIGH,
    LIT,
    MIRROR,
    WIDE,
    car,
)
from stale_diffusion.dreamscapes.night_train_lights import EYE, lights
from stale_diffusion.dreamscapes.night_train_ride import TOP_SPEED, beside, sway, way
from stale_diffusion.dreamscapes.noise import grid_of, sample, smoothstep
from stale_diffusion.dreamscapes.place import Array, View
from stale_diffusion.scene import Stage

_LAMP = (1.0, 0.56, 0.22)  # 2,700 K, linear
_SHUTTER = 1 / 48  # s
_GLASS = 0.15  # two panes of two faces each mirror about 4 % a face
_DROPS = 900


def _planes(c: light.Colour | Tensor, device: torch.device) -> Tensor:
    """A colour that broadcasts against planes, (3, 1, 1)."""
    return torch.as_tensor(c, dtype=torch.float32, device=device).view(3, 1, 1)


def _look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image (1, C, H, W) at x to the right and y down in [-1, 1], (C, rows, columns), bilinear."""
    return F.grid_sample(image, grid_of(x, y), mode="bilinear", padding_mode="border", align_corners=False)[0]


class Picture:
    """One frame: the country at the pixels of the pane, then what is before it."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.stage, self.t, self.view = stage, t, view
        self.variant = stage.segment(t).variant
        self.car = car(self.variant, view.height, view.device)
        base = Camera.of(stage, t, (EYE, EYE), 0.0)
        room = np.random.default_rng([self.variant, 52]).uniform(-0.25, 0.25)
        self.room = Camera(
            EYE, base.focal / 1.6 * 1.08 * 0.5 + 0.75, -0.12 + 0.16 * stage.static("height", t), base.turn + room
        )
        self.way, self.pace = way(stage, t), TOP_SPEED * stage.value("flow", t)
        swing = float(sway(stage, np.array([t]))[0])
        rattle = stage.value("flow", t) * math.sin(37 * t + 3 * math.sin(5 * t))
        self.shake = 0.0035 * swing, 0.0030 * swing + 0.0007 * rattle
        self.light = light.stage_light(stage, t)
        self.lamp = _planes(_LAMP, view.device) * (0.08 + 1.1 * stage.value("light", t) ** 1.3)
        # The eye opens to the night outside where the lamp is low.
        self.ambient = _planes(self.light.ambient, view.device) * (1 + 1.6 * self.light.night)

    def _layers(self) -> tuple[Tensor, Tensor, Tensor]:
        """The plate of the compartment at the pixels of the view, with their slopes."""
        x, y = self.room.slopes(self.view)
        x, y = x - 0.25 * self.shake[0], y - 0.25 * self.shake[1]
        return _look(self.car.layers[:, :8], x / WIDE, -y / HIGH), x, y

    def _country(self, x: Tensor, y: Tensor) -> Tensor:
        """Everything outside at slopes of the room, (3, H, W)."""
        eye = 0.02 + 0.10 * (self.stage.rng("eye", self.t).random() - 0.5)
        x, y, pixel = x + self.shake[0], y + self.shake[1] + eye, self.view.pixel / self.room.focal
        fog = light.clear_sky(self.light, x, torch.full((1, 1), 0.02, device=x.device)).permute(2, 0, 1)
        image = self._fields(fog, x, y, pixel)
        above = int((y[:, 0] > 0).sum())
        if above:
            image = torch.cat([self._hills(self._sky(x, y[:above], pixel), fog, x, y[:above], pixel), image], 1)
        self._shine(image, x, y, pixel)
        return self._beside(image, x, y, pixel)

    def _sky(self, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """Sky, clouds, stars and moon, (3, H, W); all but the points at half the size."""
        h, w = y.shape[0], x.shape[1]
        size = max(2, h // 2), max(2, w // 2)
        half_x = F.interpolate(x[None], size[1], mode="linear", align_corners=True)[0]
        half_y = F.interpolate(y[None, :, 0][None], size[0], mode="linear", align_corners=True)[0, 0][:, None]
        soft = light.sky(self.light, half_x, half_y, self.t, self.t + 4, self.variant, points=False)
        image = F.interpolate(soft.permute(2, 0, 1)[None], (h, w), mode="bilinear", align_corners=True)[0]
        image = image * (1 - 0.3 * self.light.night)  # the room is lit: the eye does not open to the sky
        clear = self.light.night * (1 - 0.8 * self.light.haze) * max(0.0, 1 - 1.8 * self.light.cloud)
        if clear > 0:
            image = image + clear * light.stars(x, y, self.t, self.variant) * _planes((0.9, 0.95, 1.1), x.device)
        sx, sy, sz = self.light.toward
        shown = float(np.clip(1.4 - 1.8 * self.light.cloud, 0, 1))
        if sz > 0.2 and shown > 0:
            radius = 0.0108
            disc = ((radius - torch.hypot(x - sx / sz, (y - sy / sz) * sz)) / pixel + 0.5).clamp(0, 1)
            image = image + (6 * shown * disc) * _planes(self.light.key, x.device)
        return image

    def _ridge(self, seed: int, x: Tensor, far: float, length: float, slope: float, row: float) -> Tensor:
        """Noise along the line at a distance, (1, W), blurred by the way of the shutter."""
        shifts = self.pace * _SHUTTER / far * np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
        return torch.stack([self._noise(seed, x + float(k), far, length, slope, row) for k in shifts]).mean(0)

    def _noise(self, seed: int, x: Tensor, far: float, length: float, slope: float, row: float) -> Tensor:
        """Noise along the line at a distance, (1, W)."""
        at = torch.full((1, 1), row, device=x.device)
        return sample(light.tile(seed, 256, slope, x), (x * far + self.way) / length, at)

    def _hills(self, image: Tensor, fog: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """Mountains or low hills, then woods, as shapes against the sky, over it in place."""
        rng, mountains = self.stage.rng("land", self.t), self.variant >= 32768
        high_far, high_near = (0.15, 0.060) if mountains else (0.022, 0.018)
        layers = ((9000.0, high_far, 12000.0, 1.7, 0.30), (3200.0, high_near, 5200.0, 1.7, 0.15),
                  (420.0, 0.024, 900.0, 1.5, 0.045))  # fmt: skip
        for k, (far, high, length, slope, pale) in enumerate(layers):
            row = float(rng.random())
            swell = self._ridge(510 + k, x, far, 2.2 * length, slope, row)
            crag = 1 - 1.3 * self._ridge(513, x, far, 1.1 * length, 1.7, row).abs()
            tops = self._ridge(514, x, far, 60.0, 1.0, row) * (1 if far < 1000 else 0.0)
            ridge = high * (0.70 + 0.45 * swell + (0.30 * crag if mountains and k < 2 else 0.0))
            ridge = (ridge + 0.0035 * tops * smoothstep(-1.5, 0.2, swell)).clamp(min=0.002)
            first = int((y[:, 0] > float(ridge.max()) + pixel).sum())
            if first >= len(y):
                continue
            part, v = image[:, first:], y[first:]
            inside = ((ridge - v) / pixel + 0.5).clamp(0, 1)
            east, gully = (x * far + self.way) / length, light.tile(515, 512, 1.8, x)
            folds = sample(gully, 0.8 * east + 0.25 * v / high, 0.3 * v / high).abs()
            relief = (folds - sample(gully, 0.8 * east + 0.004 + 0.25 * v / high, 0.3 * v / high).abs()) * 7
            relief = relief.clamp(-1, 1)
            snow = smoothstep(0.3, 0.9, v / high + 0.25 * relief) * 0.5 if mountains and k == 0 else torch.zeros(())
            land = self.ambient * ((0.035 + snow) * (1 + 0.35 * relief).clamp(min=0.2))
            land = land + (pale * (0.5 + self.light.haze)) * (fog - land)
            part += inside * (land - part)
        return image

    def _fields(self, fog: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """The ground from the woods to the track, streaming by, (3, rows, W); our windows light what is near."""
        y = y[int((y[:, 0] > 0).sum()) :].clamp(max=-1.5e-3)
        z = EYE / -y
        east, foot = x * z, z * z * (pixel / EYE)
        blur = self.pace * _SHUTTER
        tone, near = torch.zeros_like(east), torch.zeros_like(east)
        for seed, metres, slope in ((521, 130.0, 1.7), (522, 17.0, 1.4), (523, 2.6, 1.1)):
            fade = 1 / (1 + (torch.maximum(foot * 0.3, torch.full_like(foot, blur * 0.6)) * 6 / metres) ** 2)
            noise = sample(light.tile(seed, 512, slope, x), (east + self.way) / metres / 5, z / metres / 3) * fade
            tone, near = tone + noise * (0.5 if metres > 50 else 0.3), near + noise * 0.4
        # Blurred along the way there are still lines: what lies between the rails and the fields is drawn out.
        lines = sample(light.tile(524, 256, 0.9, x), (east + self.way) / 400, z * 0.11) * smoothstep(40, 6, z)
        albedo = (0.11 * (1 + 0.6 * tone + 0.18 * lines)).clamp(min=0.006)
        key = _planes(self.light.key, x.device) * (0.5 * max(self.light.toward[1], 0.0))
        ground = albedo * (self.ambient * 1.2 + 1.6 * key)
        ground = ground + (1 - torch.exp(-z / (1800 - 1500 * self.light.haze))) * (0.8 * fog - ground)
        windows = 0.55 + 0.45 * torch.cos(2 * torch.pi * east / 2.4 + 1.1)
        spread = 3.0 / (3.0 + (z - 4.5).clamp(min=0) ** 2) * (0.35 + 0.65 * windows)
        lit = 0.26 * self.lamp + 0.05 * _planes(_LAMP, x.device)
        bed = (0.13 * (1 + 0.45 * near + 0.5 * lines)).clamp(min=0.01)
        out: Tensor = ground + (bed * spread) * lit
        return out

    def _shine(self, image: Tensor, x: Tensor, y: Tensor, step: float) -> None:
        """Lights of the country, in place: drawn out by their speed, with a bloom."""
        found = lights(self.stage, self.t, max(abs(float(x[0, 0])), abs(float(x[0, -1]))))
        if not len(found.x):
            return
        column = (found.x - float(x[0, 0])) / step
        row = (float(y[0, 0]) - found.y) / step
        clear = np.exp(-found.far * (0.00006 + 0.0012 * self.light.haze**2))[:, None]
        flat = found.radius < 0
        size = np.abs(found.radius) / found.far / step
        sharp = np.sqrt((0.5 * size) ** 2 + 0.62**2)
        streak = found.speed * _SHUTTER / step
        # What a lamp sends us falls with the square of its distance; film and eye see that by a weaker power.
        bright = 1.7 * found.light * clear * np.where(flat, 1.0, np.minimum((90 / found.far) ** 0.55, 3.0))[:, None]
        gain = np.minimum(1.0, (size / sharp) ** 2 * 4 + 0.45)[:, None] * (0.0028 / self.view.pixel + 0.5)
        tall = np.where(flat, np.maximum(sharp * 0.16, 0.7), sharp)
        _splat(image, column, row, sharp, tall, streak, bright * np.where(flat[:, None], 1.0, gain))
        halo = ~flat & (bright.max(1) > 0.25)
        wide = np.full(int(halo.sum()), (0.014 + 0.04 * self.light.haze) / step)
        _splat(image, column[halo], row[halo], wide, wide, streak[halo], bright[halo] * 0.035)

    def _beside(self, image: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """Poles and wires along the line, bushes, and another train."""
        old = self.stage.rng("poles", self.t)
        if old.random() < 0.6:
            image = self._wires(image, x, y, pixel, float(old.uniform(9, 16)))
        for k, (far, high) in enumerate(((26.0, 2.6), (10.0, 1.7))):
            blur = self.pace * _SHUTTER / far
            taps = 1 + int(min(6, blur / (1.5 * pixel)))
            tops, leaf = [], torch.zeros_like(x)
            for shift in ((np.arange(taps) + 0.5) / taps - 0.5).tolist():
                at = x + shift * blur
                lump, leaf = self._noise(531 + k, at, far, 240.0, 1.6, 0.3), self._noise(533, at, far, 9.0, 1.0, 0.6)
                tops.append((high * (0.9 * lump - 1.25 + 0.25 * leaf) - EYE + 0.9) / far)
            first = int((y[:, 0] > float(torch.stack(tops).max()) + pixel).sum())
            if first >= len(y):
                continue
            part, v = image[:, first:], y[first:]
            alpha = torch.stack([((top - v) / pixel + 0.5).clamp(0, 1) for top in tops]).mean(0)
            glow = (0.10 * self.lamp) * (0.020 if far > 12 else 0.06) * (1 + 0.4 * leaf)
            part += alpha * (self.ambient * 0.035 + glow - part)
        return self._train(image, x, y)

    def _wires(self, image: Tensor, x: Tensor, y: Tensor, pixel: float, far: float) -> Tensor:
        """Telegraph wires that sag from pole to pole, every 50 m."""
        span, dark = 50.0, self.ambient * 0.02
        q = (x * far + self.way) / span
        q = q - torch.floor(q)
        pole = ((0.14 / far + 0.5 * self.pace * _SHUTTER / far) - torch.minimum(q, 1 - q) * span / far) / max(
            pixel, self.pace * _SHUTTER / far
        )
        share = min(1.0, 0.28 / (0.28 + self.pace * _SHUTTER)) * 0.9
        image = image + (share * (pole + 0.5).clamp(0, 1) * (y < (6.6 - EYE) / far)) * (dark - image)
        for k in range(3):
            level = (6.3 - 0.42 * k - (0.9 + 0.12 * k) * 4 * q * (1 - q) - EYE) / far
            thin = 0.6 * max(0.012 / far, 0.35 * pixel)
            line = ((thin - (y - level).abs()) / pixel + 0.5).clamp(0, 1) * min(1.0, 0.75 * thin / pixel + 0.25)
            image = image + 0.7 * line * (dark - image)
        return image

    def _train(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Another train beside us: a dark body and a band of windows that the shutter draws together."""
        events = self.stage.events("passing", self.t - 9, self.t)
        here = float(np.clip(beside(events, np.array([self.t]))[0] / 0.75, 0, 1))
        if here <= 0.003:
            return image
        far, last = 2.3, events[-1]
        q = (x * far + 68.0 * (self.t - last.time)) / 2.7
        bars = 0.85 + 0.08 * torch.cos(2 * torch.pi * q) + 0.12 * torch.cos(2 * torch.pi * q / 9.5)
        up = y * far + EYE  # lamps under the ceiling, racks, heads and seats: all drawn out into bands
        bands = 0.30 + 1.1 * torch.exp(-(((up - 3.12) / 0.07) ** 2)) + 0.30 * smoothstep(2.75, 3.0, up)
        bands = bands * (1 - 0.45 * smoothstep(2.72, 2.6, up)) + 0.06 * sample(
            light.tile(542, 256, 0.8, x), x * 0 + 0.4, up / 9
        )
        window = smoothstep(2.32, 2.42, up) * smoothstep(3.34, 3.24, up)
        body = smoothstep((4.2 - EYE) / far, (3.9 - EYE) / far, y) * smoothstep((0.5 - EYE) / far, (0.9 - EYE) / far, y)
        tint = _planes((1.0, 0.72, 0.42) if last.x > 0 else (0.95, 0.92, 0.82), x.device)
        shell = self.ambient * 0.05 + 0.006 * tint
        inside = shell + 0.34 * tint * (bars * bands.clamp(min=0.05)) * window
        return image + (here * body) * (inside - image)

    def _wet(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The country through the drops on the pane, (3, H, W)."""
        rain = self.stage.value("rain", self.t)
        if rain < 0.02:
            return image
        _, h, w = image.shape
        dx, dy, cover = _drops(self.stage, self.t, rain, x, y)
        u = (torch.arange(w, device=x.device) + 0.5)[None] * (2 / w) - 1
        v = (torch.arange(h, device=x.device) + 0.5)[:, None] * (2 / h) - 1
        seen = _look(image[None], u - dx * (1.2 * self.view.height / w), v + dy * (1.2 * self.view.height / h))
        mean = F.avg_pool2d(image[None], 8, ceil_mode=True)
        veil = F.interpolate(mean, (h, w), mode="bilinear", align_corners=False)[0]
        rim = (1 - 2.6 * (dx * dx + dy * dy)).clamp(min=0.3)
        lens = (0.75 * seen + 0.5 * veil) * rim + 0.008 * self.lamp
        image = image + 0.10 * rain * (veil - image)
        image = image + cover * (lens - image)
        return image

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        layers, x, y = self._layers()
        glass = layers[GLASS]
        inside = layers[LIT] * (self.lamp / _planes(_LAMP, x.device)) + layers[ALBEDO] * (self.ambient * 0.35)
        image = inside.add_(layers[GLOW] * (self.lamp * 1.5))
        left, right, low, high = self.car.glass
        rows = ((y[:, 0] < high + 0.02) & (y[:, 0] > low - 0.02)).nonzero()
        columns = ((x[0] > left - 0.02) & (x[0] < right + 0.02)).nonzero()
        if len(rows) and len(columns):
            r, c = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
            out = self._wet(self._country(x[:, c], y[r]), x[:, c], y[r])
            pane = glass[:, r, c]
            image[:, r, c] += pane * (out * (1 - _GLASS) + self._mirrored(x[:, c], y[r]) - image[:, r, c])
        image = self._coffee(image, x, y)
        edge = (self.view.u / self.view.aspect) ** 2 + self.view.v**2
        return image.mul_(1 - 0.13 * edge).clamp_(min=0).permute(1, 2, 0)

    def _mirrored(self, x: Tensor, y: Tensor) -> Tensor:
        """The compartment in the glass, twice, as its two panes show it; it sways against the country."""
        dx, dy = 0.9 * self.shake[0], 0.9 * self.shake[1]
        once = _look(self.car.layers[:, MIRROR], (x - dx) / WIDE, -(y - dy) / HIGH)
        twice = _look(self.car.layers[:, MIRROR], (x - dx + 0.013) / WIDE, -(y - dy - 0.004) / HIGH)
        both: Tensor = (0.62 * once + 0.38 * twice) * (_GLASS * 1.25) * self.lamp
        return both

    def _coffee(self, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The cup and its steam, where there is coffee."""
        there = float(np.clip(self.stage.value("steam", self.t) / 0.1, 0, 1))
        if there <= 0:
            return image
        cup = _look(self.car.layers[:, CUP], x / WIDE, -y / HIGH)[0]
        cx, brim = self.car.cup
        side = ((x - cx) / 0.05).clamp(-1, 1)
        china = (0.30 - 0.12 * side) * self.lamp + self.ambient * 0.25
        image = image + (there * cup) * (china - image)
        up = ((y - brim) / 0.30).clamp(min=0)
        sway_ = 0.025 * torch.sin(9 * up - 1.3 * self.t) * up
        wisp = sample(light.tile(541, 256, 1.6, x), (x - cx) * 0.9 + 0.02 * self.t, up * 0.35 - 0.10 * self.t)
        plume = torch.exp(-(((x - cx - sway_) / (0.022 + 0.035 * up)) ** 2)) * torch.exp(-1.6 * up) * (y > brim)
        out: Tensor = image + there * 0.16 * (plume * (0.6 + 0.6 * wisp).clamp(min=0)) * (
            self.lamp * 0.8 + self.ambient * 0.4
        )
        return out


def _splat(out: Tensor, column: Array, row: Array, wide: Array, tall: Array, streak: Array, colour_K3: Array) -> None:
    """Add soft points to planes (3, H, W), in place: deviations in pixels, drawn out sideways by `streak` pixels, which
    keeps their light."""
    _, h, w = out.shape
    along = np.sqrt(wide**2 + streak**2 / 12)
    classes = np.ceil(np.log2(np.maximum(along, 0.5))).astype(int) * 64 + np.ceil(
        np.log2(np.maximum(tall, 0.5))
    ).astype(int)
    for one in np.unique(classes):  # of about a size, so that small ones do not get the patches of large ones
        part = np.flatnonzero(classes == one)
        reach, high = math.ceil(2.5 * float(along[part].max())), math.ceil(2.5 * float(tall[part].max()))
        keep = part[(column[part] > -reach) & (column[part] < w + reach) & (row[part] > -high) & (row[part] < h + high)]
        if not len(keep):
            continue
        c, r, a, b, weight = (
            torch.from_numpy(np.ascontiguousarray(v[keep])).float() for v in (column, row, along, tall, wide / along)
        )
        columns = (c - 0.5).round().long()[:, None] + torch.arange(-reach, reach + 1)
        rows = (r - 0.5).round().long()[:, None] + torch.arange(-high, high + 1)
        across = torch.exp(-(((columns + 0.5 - c[:, None]) / a[:, None]) ** 2) / 2) * ((columns >= 0) & (columns < w))
        down = torch.exp(-(((rows + 0.5 - r[:, None]) / b[:, None]) ** 2) / 2) * ((rows >= 0) & (rows < h))
        patch = (weight[:, None, None] * down[:, :, None] * across[:, None, :]).reshape(-1)
        index = (rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None, :]).reshape(-1)
        colour = torch.from_numpy(colour_K3[keep]).float()
        size = len(patch) // len(keep)
        for channel in range(3):
            values = patch * colour[:, channel].repeat_interleave(size)
            out[channel].view(-1).index_add_(0, index.to(out.device), values.to(out.device))


@lru_cache(maxsize=8)
def _chances(variant: int) -> Array:
    return np.random.default_rng([variant, 53]).random((_DROPS, 8))


def _drops(stage: Stage, t: float, rain: float, x: Tensor, y: Tensor) -> Tensor:
    """Drops on the pane: how they turn the view (dx, dy) and cover it, (3, H, W).

    A drop sits, then the wind of the ride takes it backwards and down; the faster the train, the flatter its path.
    """
    chance = _chances(stage.segment(t).variant)
    chance = chance[chance[:, 0] < 0.05 + 0.95 * rain]
    period = 3.5 + 5 * chance[:, 1]
    turn = t / period + chance[:, 2]
    life, k = turn % 1, np.floor(turn)
    pace = stage.value("flow", t)
    runs = np.clip((life - 0.55 - 0.3 * chance[:, 3]) / 0.45, 0, 1) ** 2
    reach = (0.25 + 1.1 * chance[:, 4]) * (0.25 + 0.75 * pace)
    steep = 1.0 / (0.35 + 2.2 * pace)
    at_x = ((chance[:, 5] + 0.618 * k) % 1 * 2.3 - 1.0) - runs * reach
    at_y = (chance[:, 6] + 0.381 * k) % 1 * 1.5 - 0.5 - runs * reach * steep
    radius = (0.0055 + 0.013 * chance[:, 7] ** 3) * np.clip(life / 0.05, 0, 1) * np.clip((1 - life) / 0.08, 0, 1)
    long = 1 + 2.5 * np.clip(runs * 3, 0, 1) * (0.3 + 0.7 * pace)
    step = float(x[0, 1] - x[0, 0])
    out = torch.zeros(3, y.shape[0], x.shape[1])
    column, row, size = (at_x - float(x[0, 0])) / step, (float(y[0, 0]) - at_y) / step, radius / step
    keep = (size > 0.3) & (column > -9) & (column < x.shape[1] + 9) & (row > -9) & (row < y.shape[0] + 9)
    for low, high in ((0.3, 2.0), (2.0, 4.0), (4.0, 99.0)):
        mine = keep & (size > low) & (size <= high)
        if mine.any():
            _caps(out, column[mine], row[mine], size[mine], long[mine], math.atan2(steep, 1.0))
    return out.to(x.device)


def _caps(out: Tensor, column: Array, row: Array, size: Array, long: Array, angle: float) -> None:
    """Draw drops as caps, drawn out along their path, into (dx, dy, cover) (3, H, W), in place."""
    _, h, w = out.shape
    reach = math.ceil(float((size * long).max())) + 1
    c, r, s, e = (torch.from_numpy(v).float()[:, None, None] for v in (column, row, size, long))
    d = torch.arange(-reach, reach + 1)
    columns = torch.from_numpy(np.round(column)).long()[:, None] + d
    rows = torch.from_numpy(np.round(row)).long()[:, None] + d
    dx, dy = (columns[:, None, :] - c) / s, -(rows[:, :, None] - r) / s
    p = (dx * math.cos(angle) + dy * math.sin(angle)) / e
    q = -dx * math.sin(angle) + dy * math.cos(angle)
    square = p * p + q * q
    alpha = ((1 - torch.sqrt(square + 1e-9)) * s + 0.5).clamp(0, 1)
    ok = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None, :] & (alpha > 0)
    index = (rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None, :])[ok]
    for plane, value in zip(out, (0.32 * dx.expand_as(alpha), 0.32 * dy.expand_as(alpha), alpha), strict=True):
        plane.view(-1).index_put_((index,), value[ok])


def render(stage: Stage, t: float, view: View) -> Tensor:
    """The picture of a night train at time t, (rows, W, 3), linear light; a band of it is cut from the whole."""
    whole = View.whole(view.width, view.height, view.device)
    return Picture(stage, t, whole).render()[view.top : view.top + view.rows]
