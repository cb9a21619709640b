"""The picture of a campfire: the clearing's plate under a slowly moving camera, lit by the fire of the moment.

In front of it flames of advected noise, sparks and smoke; behind it the sky of the hour.

Shapes: H rows, W columns, N points of light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.campfire_plate import EYE, FIRE, FOCAL, HORIZON, MARGIN, plate
from stale_diffusion.dreamscapes.noise import blank, grid_of, sample, smoothstep, texture, tint
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.scene import Stage

FIRELIGHT = (1.0, 0.44, 0.14)


def flutter(t: float) -> float:
    """How the flames pulse, about -1.7..1.7: seen in the light and heard in the draught."""
    return math.sin(17 * t + 3 * math.sin(2.3 * t)) + 0.7 * math.sin(31 * t + 2 * math.sin(3.7 * t))


_SUN = (-1.0, -0.4, -0.18, -0.02, 0.15, 0.45, 1.0)
_ZENITH = np.array([[0.007, 0.011, 0.024], [0.012, 0.022, 0.050], [0.025, 0.050, 0.120], [0.09, 0.15, 0.30],
                    [0.20, 0.34, 0.62],                     [0.30, 0.50, 0.90], [0.30, 0.52, 0.98]])  # fmt: skip
_LOW = np.array([[0.014, 0.018, 0.030], [0.035, 0.038, 0.062], [0.20, 0.16, 0.17], [0.60, 0.38, 0.26],
                 [0.95, 0.75, 0.55],                  [0.95, 0.98, 1.0], [0.95, 1.0, 1.05]])  # fmt: skip
_EXPOSURE = (1.1, 1.1, 1.05, 0.95, 0.8, 0.66, 0.62)


def sky_colours(hour: float, cloud: float, device: torch.device) -> tuple[Tensor, Tensor, float]:
    """Radiance at the zenith and at the horizon, and the camera's exposure, by the height of the sun."""
    sun = -math.cos(2 * math.pi * hour)
    both = [np.array([np.interp(sun, _SUN, table[:, c]) for c in range(3)]) for table in (_ZENITH, _LOW)]
    grey = (0.5 * both[0] + 0.35 * both[1]).mean() * np.array([0.98, 1.0, 1.04])
    share = 0.85 * cloud**1.5
    zenith, low = (torch.tensor(c + share * (grey - c), dtype=torch.float32, device=device) for c in both)
    return zenith, low, float(np.interp(sun, _SUN, _EXPOSURE))


@dataclass(frozen=True)
class Moment:
    """What every band of a frame needs."""

    t: float
    fire: float
    power: float
    lean: float
    smoke: float
    cloud: float
    haze: float
    zenith: Tensor
    low: Tensor
    exposure: float
    flare: float  # how bright the flames are beside the rest: less by day
    night: float
    twilight: float
    sun: float  # where the sun or the moon stands, u
    shift: tuple[float, float]
    zoom: float
    seed: int
    device: torch.device

    def rgb(self, *values: float) -> Tensor:
        """A colour on the device of the picture."""
        return torch.tensor(values, device=self.device)


def _moment(stage: Stage, t: float, device: torch.device) -> Moment:
    static = {
        name: stage.static(name, t) for name in ("hour", "cloud", "haze", "height", "pan", "focal", "drift", "sun")
    }
    fire, wind = stage.value("fire", t), stage.value("wind", t)
    gusts = [(t - e.time, e.strength) for e in stage.events("gust", t - 6, t)]
    gust = sum(k * (1 - math.exp(-s / 0.5)) * math.exp(-s / 1.0) for s, k in gusts)
    side = 1 if stage.rng("side", t).random() < 0.5 else -1
    lean = side * (1.1 * wind**1.4 + 1.6 * gust) + 0.12 * math.sin(0.9 * t + 2 * math.sin(0.37 * t))
    settle = sum(e.strength * math.exp(-(t - e.time) / 0.5) for e in stage.events("creak", t - 4, t))
    power = (0.035 + 1.25 * fire**1.25) * (
        1 + 0.35 * settle + (0.06 + 0.05 * wind) * flutter(t) + 0.05 * math.sin(1.9 * t)
    )
    zenith, low, exposure = sky_colours(static["hour"], static["cloud"], device)
    sun = -math.cos(2 * math.pi * static["hour"])
    night, twilight = min(max((-0.12 - sun) / 0.25, 0.0), 1.0), max(1 - abs(sun + 0.12) / 0.25, 0.0)
    exposure *= 1 + 0.8 * max(1 - 2 * fire, 0.0) * night  # the eye opens to embers
    flare = (0.35 + 0.65 * exposure) / (1 + 0.9 * float((zenith + low).mean()) * exposure)
    sway = static["drift"] * 0.05
    zoom = 1.0 + 0.22 * (static["focal"] - 0.45) + 0.02 * math.sin(0.05 * t)
    shift = (
        0.16 * (static["pan"] - 0.5) + sway * math.sin(0.11 * t),
        0.1 * (static["height"] - 0.5) + 0.5 * sway * math.sin(0.083 * t),
    )
    return Moment(t, fire, power, lean, stage.value("steam", t), static["cloud"], static["haze"], zenith, low, exposure,
                  flare, night, twilight, 3.0 * static["sun"] - 1.5, shift, zoom, stage.segment(t).variant % 1000 * 10,
                  device)  # fmt: skip


def _noise(kind: tuple[int, int, float], x: Tensor, y: Tensor) -> Tensor:
    """Noise of (seed, size, slope) at x, y in tiles, on their device."""
    return sample(texture(*kind, device=str(x.device)), x, y)


def _backdrop(m: Moment, u: Tensor, v: Tensor, pixel: float) -> Tensor:
    """The sky behind the trees, (H, W, 3): gradient, clouds, stars."""
    up = ((v - HORIZON) / 1.1).clamp(0, 1)
    sky = blank(v.shape[0], u.shape[1], 3, u.device)
    sky[:] = tint(up**0.6, m.zenith - m.low) + m.low
    far = 1 / (up + 0.28)
    veil = _noise((m.seed + 3, 512, 1.7), u * far * 0.11 + 0.004 * m.t, far * 0.35)
    cover = smoothstep(1.3 - 2.4 * m.cloud, 2.3 - 2.4 * m.cloud, veil + 0.4)
    light = (0.55 * m.low + 0.5 * m.zenith) * (1.15 - 0.5 * m.night)
    sky = torch.lerp(sky, light, (cover * 0.8)[..., None])
    if m.twilight > 0:
        glow = m.twilight * torch.exp(-(((u - m.sun) / 1.1) ** 2) - up * 4.5) * (1 - 0.6 * cover)
        sky += tint(glow, m.rgb(0.55, 0.20, 0.06))
    if m.night > 0:
        r = torch.sqrt((u - m.sun) ** 2 + (v - 0.78) ** 2)
        moon = smoothstep(0.034, 0.034 - 2 * pixel, r) * (1.1 + 0.16 * veil.clamp(-2, 2)) + 0.0016 / (0.012 + r**2)
        sky += tint(m.night * moon * (1 - 0.85 * cover), m.rgb(0.92, 0.96, 1.0))
        sky += (m.night * (1 - cover))[..., None] * _stars(u, v, m, pixel)
    return sky


def _stars(u: Tensor, v: Tensor, m: Moment, pixel: float) -> Tensor:
    """Stars of many magnitudes, one at most in each cell of a fixed grid, (H, W, 3); they twinkle slowly."""
    cell = 0.042
    x, y = u / cell, v / cell
    columns, column = torch.floor(x).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    rows, row = torch.floor(y).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    cx, cy = columns[None], rows[:, None]
    h = torch.sin(cx * 127.1 + cy * 311.7 + m.seed) * 43758.5453
    h = h - torch.floor(h)
    g = torch.sin(cx * 269.5 + cy * 183.3 + m.seed) * 24634.6345
    g = g - torch.floor(g)
    size = max(0.0022, 0.75 * pixel)
    k = h * 7 + g * 3
    k = k - torch.floor(k)
    bright = 0.9 * (k**11 * 1.5) * (0.0025 / size) ** 2 * (1 + 0.3 * torch.sin(m.t * (2 + 5 * g) + 40 * h))
    hues = torch.stack([0.75 + 0.5 * g, torch.full_like(g, 0.95), 1.25 - 0.5 * g])
    stars = torch.cat([torch.stack([cx + 0.15 + 0.7 * h, cy + 0.15 + 0.7 * g]), bright * hues])
    seen = stars[:, row[:, 0]][:, :, column[0]]  # of the cell of each pixel
    return (seen[2:] * torch.exp(((x - seen[0]) ** 2 + (y - seen[1]) ** 2) * -((cell / size) ** 2))).permute(1, 2, 0)


def _look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image (1, C, H, W) at x to the right and y down in [-1, 1], (C, rows, columns), bilinear."""
    return F.grid_sample(image, grid_of(x, y), mode="bilinear", padding_mode="border", align_corners=False)[0]


def _scene(m: Moment, u: Tensor, v: Tensor, clearing: Tensor, aspect: float, pixel: float) -> Tensor:
    """The clearing in the light of the moment, (H, W, 3)."""
    c = _look(clearing, u / (aspect * MARGIN), -v / MARGIN)
    ambient = (0.55 * m.zenith + 0.45 * m.low) * 1.3
    swing = 0.22 * math.sin(9.3 * m.t + 2 * math.sin(2.9 * m.t))
    fire = m.power * 3.3 * ((1 - swing) * c[4] + (1 + swing) * c[5])
    light = tint(c[3], ambient) + tint(fire, m.rgb(*FIRELIGHT))
    out = c[:3].permute(1, 2, 0) * light
    if float(c[7].max()) > 0:
        out += c[7][..., None] * _backdrop(m, u, v, pixel)
    thick = ((0.06 + 0.75 * m.haze**1.5) * c[8]).clamp(0, 1)
    glow = m.power * 0.06 / (0.25 + u**2 + (v + 0.3) ** 2)
    mist = tint(glow, 0.35 * m.rgb(*FIRELIGHT)) + ambient * 0.55
    out = torch.lerp(out, mist, thick[..., None])
    pulse = _noise((17, 128, 1.4), u * 1.1 + 0.03 * m.t, v * 1.6 - 0.05 * m.t)
    heat = c[6] * (0.55 + 0.3 * pulse + 0.5 * m.fire).clamp(0.05, 1.6) ** 2
    return out.mul_(m.exposure).add_(tint(heat, m.rgb(2.6, 0.42, 0.05) * (0.4 + 0.6 * m.exposure)))


def _flame_size(m: Moment) -> tuple[float, float]:
    """Height and half width of the flames, metres."""
    return 0.12 + 1.25 * m.fire**1.15 * (1 + 0.05 * flutter(m.t)), 0.16 + 0.27 * m.fire**0.7


def _flame_box(m: Moment, view: View) -> tuple[int, int, float, float]:
    """First and last column that flames can reach, and their lowest and highest v."""
    metre, (height, width) = FIRE / FOCAL, _flame_size(m)
    top, base = 1.76 * height, HORIZON - EYE / metre
    sway, half = m.lean * 0.45 * top**1.4, 1.6 * width + 0.3
    reach = (min(sway, 0.0) - half) / metre, (max(sway, 0.0) + half) / metre
    first, last = (round(((u - m.shift[0]) * m.zoom + view.aspect) / view.pixel) for u in reach)
    return max(first, 0), min(last, view.width), base - 0.07 / metre, base + (top + 0.06) / metre


def _flames(m: Moment, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Flames as two sheets of advected noise: radiance (H, W, 3) and cover (H, W)."""
    metre = FIRE / FOCAL
    y = (v - (HORIZON - EYE / metre)) * metre - 0.06
    height, width = _flame_size(m)
    shape = len(v), u.shape[1]
    radiance, cover = blank(*shape, 3, u.device).zero_(), torch.zeros(shape, device=u.device)
    for k, (offset, scale, gain) in enumerate(((-0.2, 0.85, 0.7), (0.2, 0.8, 0.7), (0.0, 1.1, 0.9))):
        yn = y / (height * scale)
        rise = torch.sqrt(y.clamp(min=0) + 0.12)
        x = u * metre - m.lean * 0.45 * y.clamp(min=0) ** 1.4 - offset * width * 2.0
        slow = _noise((31 + k, 256, 2.0), x / 3.0 + 0.37 * k, rise * 0.8 - m.t * 0.42)
        x = x + (0.03 + 0.10 * yn.clamp(0, 1.5)) * slow
        fine = _noise((34 + k, 256, 1.9), x / 1.5 + 0.61 * k, rise * 0.8 - m.t * 0.62)
        streak = _noise((41 + k, 256, 1.6), x / 0.9 + 0.05 * fine, rise * 0.55 - m.t * 0.68)
        wide = width * (1.15 - yn).clamp(min=0.22) ** 0.9 * smoothstep(-0.25, 0.22, yn)
        body = 1 - ((x + 0.05 * fine * yn.clamp(0, 1)) / wide.clamp(min=0.01)) ** 2
        d = (
            body * 0.8
            + (0.2 + 0.6 * yn.clamp(0, 1)) * (0.6 * fine + 0.55 * streak)
            - 1.1 * yn.clamp(min=0) ** 1.3
            - 1.5 * (yn - 0.9).clamp(min=0)
        )
        d = smoothstep(0.0, 0.85, d) * smoothstep(-0.12, 0.05, y) * smoothstep(1.6, 1.15, yn)
        hot = gain * d * (0.45 + 0.45 * streak + 0.35 * body.clamp(0, 1)).clamp(min=0.06)
        warm = (1 - 0.75 * yn).clamp(0, 1)
        radiance += tint(hot, m.rgb(1.0, 0.21, 0.018)) + tint(hot * warm, m.rgb(0.0, 0.13, 0.03))
        cover = cover + d * 0.35
    return radiance * 3.0 * min(max((m.fire - 0.03) / 0.15, 0.0), 1.0), cover.clamp(0, 1)


def _fine_flames(m: Moment, u: Tensor, v: Tensor, pixel: float) -> tuple[Tensor, Tensor]:
    """Flames, from four points a pixel where pixels are large."""
    if pixel < 0.009:
        return _flames(m, u, v)
    parts = [_flames(m, u + x * pixel, v + y * pixel) for x in (-0.25, 0.25) for y in (-0.25, 0.25)]
    return sum((p[0] for p in parts), torch.zeros(())) / 4, sum((p[1] for p in parts), torch.zeros(())) / 4


def _smoke(m: Moment, view: View) -> tuple[Tensor, Tensor]:
    """Smoke at a quarter of the size, brought up to the view: radiance (rows, W, 3), cover (rows, W)."""
    small = View.whole(max(view.width // 4, 32), max(view.height // 4, 18), view.device)
    metre = FIRE / FOCAL
    u, v = small.u / m.zoom + m.shift[0], small.v / m.zoom + m.shift[1]
    y = (v - (HORIZON - EYE / metre)) * metre - 0.15
    up = y.clamp(min=0)
    x = u * metre - m.lean * (0.3 * up**1.3)
    slow = _noise((51, 256, 2.6), x / 5 + 0.1, y / 5 - m.t * 0.07)
    wisp = _noise((52, 256, 1.85), (x + 0.25 * slow * up) / 3.2, torch.sqrt(up + 0.2) * 0.9 - m.t * 0.16 + 0.06 * slow)
    wide = 0.22 + 0.2 * m.fire + (0.28 + 0.1 * abs(m.lean)) * up
    plume = (
        torch.exp(-(((x - 0.12 * slow * up) / wide) ** 2)) * smoothstep(0.1, 0.7, y - 0.5 * m.fire) / (1 + 0.25 * up)
    )
    cover = (plume * (0.55 + 0.5 * wisp).clamp(min=0) * m.smoke * 0.95).clamp(0, 0.85)
    ambient = (0.5 * m.zenith + 0.5 * m.low) * 0.8
    lit = m.power * 0.42 / (0.25 + x**2 + (y - 0.2) ** 2)
    light = (ambient + m.rgb(*FIRELIGHT) * lit[..., None]) * m.exposure
    both = torch.cat([light * cover[..., None], cover[..., None]], -1).permute(2, 0, 1)[None]
    both = F.interpolate(both, (view.height, view.width), mode="bilinear", align_corners=False)[
        0, :, view.top : view.top + view.rows
    ]
    return both[:3].permute(1, 2, 0), both[3]


def _born(stage: Stage, t: float, fire: float) -> list[tuple[float, float, float, np.random.Generator, int]]:
    """Sources of sparks alive at t: (time, x in metres, how hard they are thrown, generator, count)."""
    found = []
    for tick in range(math.floor((t - 2.5) * 4), math.floor(t * 4) + 1):
        rng = np.random.default_rng([8, stage.segment(tick / 4).variant, tick & 0xFFFFFFFF])
        found.append((tick / 4, 0.0, 0.25, rng, int(rng.poisson(0.15 + 2.2 * fire**1.5))))
    for kind, few, many, force in (("spark", 8, 34, 0.4), ("crack", 3, 14, 1.0), ("creak", 12, 46, 0.6)):
        for e in stage.events(kind, t - 2.5, t):
            rng = np.random.default_rng([int(e.time * 1000), few])
            found.append((e.time, 0.25 * e.x, force, rng, int(few + many * e.strength)))
    return found


def _sparks(stage: Stage, m: Moment) -> np.ndarray:
    """Sparks as (N, 4): plane u, v, brightness, share of life; five points along each streak of 1/60 s."""
    points = []
    for time, x0, force, rng, n in _born(stage, m.t, m.fire):
        k, hurl = rng.random((7, n)), rng.standard_normal((2, n)) * force
        born = time + 0.35 * k[0] ** 2
        life = 0.5 + 1.6 * k[1]
        for lag in (0.0, 1 / 240, 1 / 120, 1 / 80, 1 / 60):
            s = np.maximum(m.t - lag - born, 0)
            drag = (1 - np.exp(-5 * s)) / 5
            y = 0.25 + 0.25 * k[2] + (0.8 + 1.5 * k[3]) * s + np.abs(hurl[1]) * drag * 2.2 - 0.1 * s**2
            curl = 0.05 * s * np.sin(9 * s * (0.5 + k[4]) + 30 * k[5]) + 0.1 * s * np.sin(3 * m.t + 4 * y)
            x = x0 + 0.3 * (k[4] - 0.5) + 2.2 * hurl[0] * drag + m.lean * 0.35 * s * y + curl
            glow = (
                np.clip(1 - s / life, 0, 1) ** 0.7
                * (m.t - lag > born)
                * (0.35 + k[6])
                * (0.75 + 0.25 * np.sin(40 * s + 50 * k[0]))
            )
            u, v = x / FIRE * FOCAL, HORIZON + (y - EYE) / FIRE * FOCAL
            points.append(np.stack([u, v, glow, np.clip(s / life, 0, 1)], 1))
    return np.concatenate(points) if points else np.zeros((0, 4))


def _splat(out: Tensor, view: View, m: Moment, points: np.ndarray) -> None:
    """Add sparks as small round lights, in place."""
    points = points[points[:, 2] > 0.01]
    if not len(points):
        return
    p = torch.tensor(points, dtype=torch.float32, device=view.device)
    column = ((p[:, 0] - m.shift[0]) * m.zoom + view.aspect) / view.pixel - 0.5
    row = (1 - (p[:, 1] - m.shift[1]) * m.zoom) / view.pixel - 0.5 - view.top
    size = max(0.0032 / view.pixel, 0.55)
    reach = math.ceil(2.2 * size)
    d = torch.arange(-reach, reach + 1, device=view.device)
    rows, columns = row.round().long()[:, None, None] + d[:, None], column.round().long()[:, None, None] + d
    square = (rows - row[:, None, None]) ** 2 + (columns - column[:, None, None]) ** 2
    inside = (rows >= 0) & (rows < view.rows) & (columns >= 0) & (columns < view.width)
    weight = torch.exp(-square / (2 * size**2)) * inside * (0.0032 / view.pixel / size) ** 2
    colour = torch.stack([torch.ones_like(p[:, 3]), 0.5 - 0.28 * p[:, 3], 0.16 - 0.13 * p[:, 3]], -1)
    light = (3.2 * (0.25 + 0.75 * m.exposure) * p[:, 2, None] * colour)[:, None, None] * weight[..., None]
    at = rows.clamp(0, view.rows - 1) * view.width + columns.clamp(0, view.width - 1)
    out.view(-1, 3).index_add_(0, at.reshape(-1), light.reshape(-1, 3))


def render(stage: Stage, t: float, view: View) -> Tensor:
    """The picture of a campfire at time t, (rows, W, 3), linear light."""
    m = _moment(stage, t, view.device)
    clearing = plate(stage.segment(t).variant, view.width, view.height, view.device)

    haze, veil = _smoke(m, view)
    box = _flame_box(m, view)

    def shade(band: View) -> Tensor:
        u, v = band.u / m.zoom + m.shift[0], band.v / m.zoom + m.shift[1]
        out = _scene(m, u, v, clearing, band.aspect, band.pixel)
        if float(v[-1]) < box[3] and float(v[0]) > box[2] and box[0] < box[1]:
            flames, cover = _fine_flames(m, u[:, box[0] : box[1]], v, band.pixel / m.zoom)
            part = out[:, box[0] : box[1]]
            part *= 1 - 0.35 * cover[..., None]
            part += flames * m.flare
        glow = m.power / (0.03 + (u - 0.08 * m.lean) ** 2 + ((v + 0.32) * 0.85) ** 2)
        out += tint(glow, 0.012 * m.rgb(*FIRELIGHT) * (0.3 + 0.7 * m.exposure))
        rows = slice(band.top - view.top, band.top - view.top + band.rows)
        edge = (band.u / band.aspect) ** 2 + band.v**2
        return out.mul_(1 - veil[rows, :, None]).add_(haze[rows]).mul_((1 - 0.16 * edge)[..., None])

    out = in_bands(view, shade)
    _splat(out, view, m, _sparks(stage, m))
    return out
