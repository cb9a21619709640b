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
from stale_diffusion.dreamscapes.noise import sample, smoothstep
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
    grid = torch.stack(torch.broadcast_tensors(x, y), -1)[None]  # type: ignore[no-untyped-call]
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


class Picture:
    """One frame: the country at the pixels of the pane, then what is before it."""

    def __init__(self, stage: Stage, t: float, view: View) -> None:
        self.stage, self.t, self.view = stage, t, view
        self.variant = stage.segment(t).variant
        self.car = car(self.variant, view.height, view.device)
        base = Camera.of(stage, t, (EYE, EYE), 0.0)
        room = np.random.default_rng([self.variant, 52]).uniform(-0.25, 0.25)
        self.room = Camera(EYE, base.focal / 1.6 * 1.08, -0.12 + 0.16 * stage.static("height", t), base.turn + room)
        self.way, self.pace = way(stage, t), TOP_SPEED * stage.value("flow", t)
        swing = float(sway(stage, np.array([t]))[0])
        rattle = stage.value("flow", t) * math.sin(37 * t + 3 * math.sin(5 * t))
        self.shake = 0.0035 * swing, 0.0030 * swing + 0.0007 * rattle
        self.light = light.stage_light(stage, t)
        self.lamp = _planes(_LAMP, view.device) * (0.02 + 1.1 * stage.value("light", t) ** 1.4)
        # The eye opens to the night outside where the lamp is low.
        self.ambient = _planes(self.light.ambient, view.device) * (1 + 0.9 * self.light.night)

    def _layers(self) -> tuple[Tensor, Tensor, Tensor]:
        """The plate of the compartment at the pixels of the view, with their slopes."""
        x, y = self.room.slopes(self.view)
        x, y = x - 0.25 * self.shake[0], y - 0.25 * self.shake[1]
        return _look(self.car.layers, x / WIDE, -y / HIGH), x, y

    def _country(self, view: View) -> Tensor:
        """Everything outside, at the pixels of a view, (3, rows, W)."""
        x, y = self.room.slopes(view)
        x, y = x + self.shake[0], y + self.shake[1] + 0.02 + 0.10 * (self.stage.rng("eye", self.t).random() - 0.5)
        image = light.sky(self.light, x, y, self.t, self.t + 4, self.variant).permute(2, 0, 1).contiguous()
        fog = light.clear_sky(self.light, x, torch.full((1, 1), 0.02)).permute(2, 0, 1)
        image = self._hills(image, fog, x, y, view.pixel / self.room.focal)
        image = self._fields(image, fog, x, y)
        self._shine(image, view, x, y)
        return self._beside(image, x, y, view.pixel / self.room.focal)

    def _ridge(self, seed: int, x: Tensor, far: float, length: float, slope: float, row: float) -> Tensor:
        """Noise along the line at a distance, (1, W), blurred by the way of the shutter."""
        blur = self.pace * _SHUTTER / length
        at = torch.full((1, 1), row, device=x.device)
        tile = light.tile(seed, 256, slope, x)
        east = (x * far + self.way) / length
        return torch.stack([sample(tile, east + k * blur, at) for k in (-0.4, -0.2, 0.0, 0.2, 0.4)]).mean(0)

    def _hills(self, image: Tensor, fog: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """Mountains or low hills, then woods, as shapes against the sky."""
        rng, mountains = self.stage.rng("land", self.t), self.variant >= 32768
        layers = [(9000.0, 0.20 if mountains else 0.022, 9000.0, 1.75, 0.34), (3200.0, 0.075 if mountains else 0.018,
                  4200.0, 1.7, 0.16), (420.0, 0.030, 900.0, 1.5, 0.05)]  # fmt: skip
        haze = 0.25 + 0.75 * self.light.haze
        for k, (far, high, length, slope, pale) in enumerate(layers):
            row = float(rng.random())
            swell = self._ridge(510 + k, x, far, 2.2 * length, slope, row)
            rough = self._ridge(513, x, far, length * 0.13, 1.1, row)
            tops = self._ridge(514, x, far, 26.0, 0.6, row) * (1 if far < 1000 else 0.0)
            ridge = high * (0.75 + 0.55 * swell + 0.06 * rough) + 0.0045 * tops * smoothstep(-1.5, 0.2, swell)
            inside = ((ridge.clamp(min=0.001) - y) / pixel + 0.5).clamp(0, 1)
            relief = sample(light.tile(515, 512, 1.5, x), (x * far + self.way) / (3 * length), y * far / length)
            snow = smoothstep(0.085, 0.16, y + 0.02 * relief) * 0.6 if mountains and k == 0 else torch.zeros(())
            land = self.ambient * (0.035 + snow) * (1 + 0.3 * relief)
            land = land + (pale * (0.5 + haze)) * (fog - land)
            image = image + inside * (land - image)
        return image

    def _fields(self, image: Tensor, fog: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The ground from the woods to the track, streaming by; our own windows light what is near."""
        if float(y[-1]) > 0:
            return image
        rows = int((y[:, 0] > 0).sum())
        top, y = image[:, :rows], y[rows:].clamp(max=-1.5e-3)
        z = EYE / -y
        east, foot = x * z, z * z * (self.view.pixel / self.room.focal / EYE)
        blur = self.pace * _SHUTTER
        tone, near = torch.zeros_like(east), torch.zeros_like(east)
        for seed, metres, slope in ((521, 130.0, 1.7), (522, 17.0, 1.4), (523, 2.6, 1.1)):
            fade = 1 / (1 + (torch.maximum(foot * 0.3, torch.tensor(blur * 0.6)) * 6 / metres) ** 2)
            noise = sample(light.tile(seed, 512, slope, x), (east + self.way) / metres / 5, z / metres / 3)
            tone, near = tone + noise * fade * (0.5 if metres > 50 else 0.3), near + noise * fade * 0.4
        # Blurred along the way there are still lines: what lies between the rails and the fields is drawn out.
        lines = sample(light.tile(524, 256, 0.9, x), (east + self.way) / 400, z * 0.11) * smoothstep(40, 6, z)
        albedo = (0.050 * (1 + 0.6 * tone + 0.18 * lines)).clamp(min=0.006)
        sun = max(self.light.toward[1], 0.0) * self.light.key[1]
        ground = albedo * (self.ambient * 1.1 + 0.5 * sun * _planes(self.light.key, x.device))
        ground = ground + (1 - torch.exp(-z / (1800 - 1500 * self.light.haze))) * (fog - ground)
        windows = 0.55 + 0.45 * torch.cos(2 * torch.pi * east / 2.4 + 1.1)
        spread = 3.0 / (3.0 + (z - 4.5).clamp(min=0) ** 2) * (0.35 + 0.65 * windows)
        bed = (0.13 * (1 + 0.45 * near + 0.5 * lines)).clamp(min=0.01)
        ground = ground + bed * spread * (0.20 * self.lamp + 0.022 * _planes(_LAMP, x.device))
        return torch.cat([top, ground], 1)

    def _shine(self, image: Tensor, view: View, x: Tensor, y: Tensor) -> None:
        """Lights of the country, in place: drawn out by their speed, with a bloom."""
        found = lights(self.stage, self.t, max(abs(float(x[0, 0])), abs(float(x[0, -1]))))
        if not len(found.x):
            return
        step = view.pixel / self.room.focal
        column = (found.x - float(x[0, 0])) / step
        row = (float(y[0, 0]) - found.y) / step
        clear = np.exp(-found.far * (0.00006 + 0.0012 * self.light.haze**2))[:, None]
        flat = found.radius < 0
        size = np.abs(found.radius) / found.far / step
        sharp = np.sqrt((0.5 * size) ** 2 + 0.62**2)
        streak = found.speed * _SHUTTER / step
        # What a lamp sends us falls with the square of its distance; film and eye see that by a weaker power.
        bright = found.light * clear * np.where(flat, 1.0, np.minimum((90 / found.far) ** 0.55, 3.0))[:, None]
        gain = np.minimum(1.0, (size / sharp) ** 2 * 4 + 0.16)[:, None] * (0.0056 / view.pixel * 0.5 + 0.5)
        tall = np.where(flat, np.maximum(sharp * 0.16, 0.7), sharp)
        _splat(image, column, row, sharp, tall, streak, bright * np.where(flat[:, None], 1.0, gain))
        halo = ~flat & (bright.max(1) > 0.25)
        wide = np.full(int(halo.sum()), (0.022 + 0.05 * self.light.haze) / step)
        _splat(image, column[halo], row[halo], wide, wide, streak[halo], bright[halo] * 0.045)

    def _beside(self, image: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
        """Poles and wires along the line, bushes, and another train."""
        old = self.stage.rng("poles", self.t)
        if old.random() < 0.6:
            image = self._wires(image, x, y, pixel, float(old.uniform(9, 16)))
        for k, (far, high) in enumerate(((26.0, 2.6), (10.0, 1.7))):
            lump = self._ridge(531 + k, x, far, 240.0, 1.6, 0.3)
            leaf = self._ridge(533, x, far, 9.0, 1.0, 0.6 + 0.1 * k)
            top = (high * (lump - 0.35 + 0.22 * leaf) - EYE + 1.2) / far
            soft = max(pixel, 0.10 * self.pace * _SHUTTER / far)
            alpha = ((top - y) / soft + 0.5).clamp(0, 1)
            glow = (0.10 * self.lamp) * (0.020 if far > 12 else 0.06) * (1 + 0.5 * leaf)
            image = image + alpha * (self.ambient * 0.018 + glow - image)
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
        bars = 0.62 + 0.10 * torch.cos(2 * torch.pi * q) + 0.10 * torch.cos(2 * torch.pi * q / 9.5)
        window = smoothstep((2.35 - EYE) / far, (2.55 - EYE) / far, y) * smoothstep(
            (3.35 - EYE) / far, (3.15 - EYE) / far, y
        )
        body = smoothstep((4.2 - EYE) / far, (3.9 - EYE) / far, y) * smoothstep((0.5 - EYE) / far, (0.9 - EYE) / far, y)
        tint = _planes((1.0, 0.78, 0.50) if last.x > 0 else (0.86, 0.95, 1.0), x.device)
        shell = self.ambient * 0.05 + 0.006 * tint
        inside = shell + 0.42 * tint * bars * window
        return image + (here * body) * (inside - image)

    def _wet(self, image: Tensor, view: View) -> Tensor:
        """The country through the drops on the pane, (3, rows, W)."""
        rain = self.stage.value("rain", self.t)
        if rain < 0.02:
            return image
        shift = _drops(self.variant, self.t, rain, self.stage, view, self.room)
        u, v = view.u / view.aspect, 1 - (torch.arange(view.rows, device=view.device) + 0.5)[:, None] * (2 / view.rows)
        dx, dy, cover = shift.to(view.device)
        seen = _look(image[None], u - dx * 0.9 / view.aspect, -v + dy * 1.8 * view.height / view.rows)
        mean = F.avg_pool2d(image[None], 8, ceil_mode=True)
        veil = F.interpolate(mean, image.shape[1:], mode="bilinear", align_corners=False)[0]
        rim = (1 - 0.55 * (dx * dx + dy * dy) * 5).clamp(min=0.3)
        lens = (0.7 * seen + 0.45 * veil) * rim + 0.006 * self.lamp
        film = 0.10 * rain
        return image * (1 - film) + film * veil + cover * (lens - image)

    def render(self) -> Tensor:
        """(rows, W, 3)."""
        layers, x, y = self._layers()
        glass = layers[GLASS]
        left, right, low, high = self.car.glass
        rows = ((y[:, 0] < high + 0.03) & (y[:, 0] > low - 0.03)).nonzero()
        inside = layers[LIT] * self.lamp / _planes(_LAMP, x.device) + layers[ALBEDO] * self.ambient * 0.22
        inside = inside + layers[GLOW] * self.lamp * 1.5
        image = inside * (1 - glass)
        if len(rows):
            a, b = int(rows[0]), int(rows[-1]) + 1
            part = View(self.view.width, self.view.height, self.view.top + a, b - a, self.view.device)
            out = self._wet(self._country(part), part)
            mirror = self._mirrored(x, y[a:b])
            image[:, a:b] += glass[:, a:b] * (out * (1 - _GLASS) + mirror)
        image = self._coffee(image, layers[CUP], x, y)
        edge = (self.view.u / self.view.aspect) ** 2 + self.view.v**2
        return (image * (1 - 0.13 * edge)).permute(1, 2, 0).clamp(min=0)

    def _mirrored(self, x: Tensor, y: Tensor) -> Tensor:
        """The compartment in the glass, twice, as its two panes show it; it sways against the country."""
        dx, dy = 0.9 * self.shake[0], 0.9 * self.shake[1]
        once = _look(self.car.layers[:, MIRROR], (x - dx) / WIDE, -(y - dy) / HIGH)
        twice = _look(self.car.layers[:, MIRROR], (x - dx + 0.013) / WIDE, -(y - dy - 0.004) / HIGH)
        return (0.62 * once + 0.38 * twice) * (_GLASS * 1.25) * self.lamp

    def _coffee(self, image: Tensor, cup: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The cup and its steam, where there is coffee."""
        there = float(np.clip(self.stage.value("steam", self.t) / 0.1, 0, 1))
        if there <= 0:
            return image
        cx, brim = self.car.cup
        side = ((x - cx) / 0.05).clamp(-1, 1)
        china = (0.30 - 0.18 * side * (1 if self.car.glass[0] else 1)) * self.lamp + self.ambient * 0.25
        image = image + (there * cup) * (china - image)
        up = ((y - brim) / 0.30).clamp(min=0)
        sway_ = 0.025 * torch.sin(9 * up - 1.3 * self.t) * up
        wisp = sample(light.tile(541, 256, 1.6, x), (x - cx) * 0.9 + 0.02 * self.t, up * 0.35 - 0.10 * self.t)
        plume = torch.exp(-(((x - cx - sway_) / (0.022 + 0.035 * up)) ** 2)) * torch.exp(-1.6 * up) * (y > brim)
        return image + there * 0.16 * (plume * (0.6 + 0.6 * wisp).clamp(min=0)) * (self.lamp * 0.8 + self.ambient * 0.4)


def _splat(out: Tensor, column: Array, row: Array, wide: Array, tall: Array, streak: Array, colour_K3: Array) -> None:
    """Add soft points to planes (3, H, W), in place: deviations in pixels, drawn out sideways by `streak` pixels; a point
    keeps its light when it is drawn out."""
    _, h, w = out.shape
    along = np.sqrt(wide**2 + streak**2 / 12)
    classes = np.ceil(np.log2(np.maximum(along, 0.5))).astype(int) * 64 + np.ceil(np.log2(np.maximum(tall, 0.5))).astype(int)
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


def _drops(variant: int, t: float, rain: float, stage: Stage, view: View, camera: Camera) -> Tensor:
    """Drops on the pane: how they turn the view (dx, dy) and cover it, (3, rows, W).

    A drop sits, then the wind of the ride takes it backwards and down; the faster the train, the flatter its path.
    """
    chance = _chances(variant)
    amount = 0.05 + 0.95 * rain
    chance = chance[chance[:, 0] < amount]
    period = 3.5 + 5 * chance[:, 1]
    turn = t / period + chance[:, 2]
    life, k = turn % 1, np.floor(turn)
    pace = stage.value("flow", t)
    runs = np.clip((life - 0.55 - 0.3 * chance[:, 3]) / 0.45, 0, 1) ** 2
    reach = (0.25 + 1.1 * chance[:, 4]) * (0.25 + 0.75 * pace)
    steep = 1.0 / (0.35 + 2.2 * pace)
    x = ((chance[:, 5] + 0.618 * k) % 1 * 2.3 - 1.15) * 1.1 - runs * reach
    y = (chance[:, 6] + 0.381 * k) % 1 * 1.3 - 0.55 - runs * reach * steep
    radius = (0.0055 + 0.013 * chance[:, 7] ** 3) * np.clip(life / 0.05, 0, 1) * np.clip((1 - life) / 0.08, 0, 1)
    long = 1 + 2.5 * np.clip(runs * 3, 0, 1) * (0.3 + 0.7 * pace)
    out = torch.zeros(3, view.rows, view.width)
    step = view.pixel / camera.focal
    column = (x + view.aspect / camera.focal - camera.turn) / step
    row = ((1 - camera.tilt) / camera.focal - y) / step - view.top
    size = radius / step
    keep = (size > 0.3) & (column > -9) & (column < view.width + 9) & (row > -9) & (row < view.rows + 9)
    angle = math.atan2(steep, 1.0)
    for low, high in ((0.3, 2.0), (2.0, 4.0), (4.0, 99.0)):
        mine = keep & (size > low) & (size <= high)
        if mine.any():
            _caps(out, column[mine], row[mine], size[mine], long[mine], angle)
    return out


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
    """The picture of a night train at time t, (rows, W, 3), linear light."""
    return Picture(stage, t, view).render()
