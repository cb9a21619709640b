"""The picture of a kettle and a cup by a window: the plate's lights added up as hour and clouds will.

On top of it the out-of-focus world behind the glass, coffee in the cup, gas flames, and steam in the light.

Shapes: H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.kettle_plate import (
    EYE,
    FOCAL,
    HORIZON,
    MARGIN,
    Layout,
    cup_radius,
    layout,
    plate,
    rgb,
)
from stale_diffusion.dreamscapes.noise import grid_of, sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.scene import Stage

_LIGHTS = (
    (1.0, 0.62, 0.25),
    (1.0, 0.8, 0.5),
    (0.9, 0.95, 1.0),
    (1.0, 0.2, 0.12),
    (0.4, 0.75, 1.0),
)  # of a town at night


@lru_cache(maxsize=8)
def outside(variant: int, device: torch.device) -> Tensor:
    """The world behind the glass, far out of focus, (1, 6, 200, 356): RGB by day, RGB of the lights at night."""
    rng = np.random.default_rng([variant, 3])
    v = torch.linspace(1.25, -1.25, 200)[:, None]
    u = torch.linspace(-2.2, 2.2, 356)[None]
    wander = sample(texture(variant % 997, 256, 2.2), u * 0.12, torch.zeros_like(u))
    skyline = float(rng.uniform(0.35, 0.95)) + 0.22 * wander
    crowns = sample(texture(variant % 997 + 1, 256, 2.2), u * 0.25, v * 0.25)
    tree = smoothstep(0.22, -0.22, v - skyline + 0.16 * crowns)
    leaf = sample(texture(variant % 997 + 1, 256, 2.1), u * 0.3, v * 0.3)
    season = rgb(0.13, 0.19, 0.06) if rng.random() < 0.7 else rgb(0.26, 0.16, 0.05)
    green = season * (1 + 0.55 * leaf.clamp(-1.2, 1.8))[..., None]
    day = (rgb(0.92, 0.97, 1.0) + 0 * green) * (1 - tree[..., None]) + tree[..., None] * green
    night = torch.zeros(200, 356, 3) + rgb(0.004, 0.006, 0.012)
    for i in range(90):
        x, y, size = rng.uniform(-2.2, 2.2), rng.uniform(-0.6, 1.2), rng.uniform(0.05, 0.11)
        d = torch.sqrt((u - x) ** 2 + (v - y) ** 2)
        disc = smoothstep(size + 0.012, size - 0.012, d) * (0.8 + 0.2 * smoothstep(size * 0.6, size, d))
        hue = rgb(*_LIGHTS[int(rng.choice(5, p=[0.4, 0.25, 0.15, 0.12, 0.08]))])
        if i < 45:
            night = night + (disc * float(rng.gamma(1.0, 0.3)) * smoothstep(0.9, 0.4, torch.tensor(y)))[..., None] * hue
        else:
            day = day + (disc * tree * float(rng.gamma(1.0, 0.25)))[..., None] * rgb(0.85, 0.95, 0.6)
    return torch.cat([day, night], -1).permute(2, 0, 1)[None].to(device)


def _cars(world: Tensor, stage: Stage, m: Moment) -> None:
    """Headlights of the cars that pass, on the world behind the glass (1, 3, H, W), in place."""
    y = torch.linspace(1.25, -1.25, world.shape[2], device=m.device)[:, None]
    x = torch.linspace(-2.2, 2.2, world.shape[3], device=m.device)[None]
    for e in stage.events("passing", m.t - 8, m.t):
        since = m.t - e.time
        at = e.x + (since - 1.0) * (0.7 if e.distance > 0.5 else -0.7)
        glow = (0.4 + e.strength) * -math.expm1(-since) * math.exp(-since / 1.5) * m.night
        for apart in (-0.07, 0.07):
            d = torch.sqrt((x - at - apart) ** 2 + (y - 0.1) ** 2)
            lamp = smoothstep(0.085, 0.06, d) * 2.5 + 0.012 / (0.03 + 5 * d**2)
            world += glow * lamp * m.rgb(1.0, 0.9, 0.72)[:, None, None]


def project(x: float, y: float, z: float) -> tuple[float, float]:
    """Where a point of the world is on the plate's plane."""
    s = FOCAL / (z - EYE[2])
    return x * s, HORIZON + (y - EYE[1]) * s


@dataclass(frozen=True)
class Moment:
    """What a frame needs of the stage."""

    t: float
    k: Layout
    steam: float
    full: float
    fire: float
    rain: float
    sky: Tensor  # the window's sky, the sun and the lamp: their light, RGB each
    sun: Tensor
    lamp: Tensor
    exposure: float
    night: float
    jet: float  # the whistle blows a jet
    pours: tuple[tuple[float, float], ...]  # seconds since each began, its length
    milk: bool
    shift: tuple[float, float]
    zoom: float
    device: torch.device

    def rgb(self, *values: float) -> Tensor:
        """A colour on the device of the picture."""
        return torch.tensor(values, device=self.device)


_SUN = (-1.0, -0.35, -0.15, 0.0, 0.2, 0.5, 1.0)
_SKY = np.array([[0.004, 0.006, 0.013], [0.007, 0.010, 0.022], [0.05, 0.08, 0.16], [0.26, 0.27, 0.33],
                 [0.75, 0.78, 0.82],                  [0.95, 1.0, 1.06], [0.95, 1.0, 1.06]])  # fmt: skip
_BEAM = np.array(
    [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1.1, 0.45, 0.14], [2.6, 1.7, 0.95], [2.9, 2.5, 1.95], [2.9, 2.6, 2.1]]
)


def _moment(stage: Stage, t: float, jet: float, pours: tuple[tuple[float, float], ...], device: torch.device) -> Moment:
    static = {name: stage.static(name, t) for name in ("hour", "cloud", "height", "pan", "focal", "drift")}
    height = -math.cos(2 * math.pi * static["hour"])
    sky, beam = (np.array([np.interp(height, _SUN, c[:, i]) for i in range(3)]) for c in (_SKY, _BEAM))
    light, cloud = stage.value("light", t), static["cloud"]
    sky = (sky + 0.6 * cloud * (sky.mean() * np.array([0.96, 1.0, 1.05]) - sky)) * (1.25 - 0.5 * cloud)
    dark = min(max((0.25 - height) / 0.4, 0.0), 1.0)
    lamp = np.array([1.0, 0.64, 0.34]) * (0.04 + 0.9 * dark)
    exposure = 1.5 / (0.55 + 0.75 * float(sky.mean()) + 0.3 * light * float(beam.mean()))
    sway = 0.03 * static["drift"]
    shift = (
        0.14 * (static["pan"] - 0.5) + sway * math.sin(0.1 * t),
        0.1 * (static["height"] - 0.5) + 0.5 * sway * math.sin(0.077 * t),
    )
    zoom = 1.02 + 0.14 * (static["focal"] - 0.4) + 0.015 * math.sin(0.06 * t)
    lights = (torch.tensor(c, dtype=torch.float32, device=device) for c in (sky, beam * light**1.3, lamp))
    segment = stage.segment(t)
    sky_light, beam_light, lamp_light = lights
    steam, full, fire, rain = (stage.value(name, t) for name in ("steam", "flow", "fire", "rain"))
    night = min(max((-0.05 - height) / 0.25, 0.0), 1.0)
    return Moment(t, layout(segment.variant), steam, full, fire, rain, sky_light, beam_light, lamp_light, exposure,
                  night, jet, pours, segment.variant >= 32768, shift, zoom, device)  # fmt: skip


def _noise(kind: tuple[int, int, float], x: Tensor, y: Tensor) -> Tensor:
    """Noise of (seed, size, slope) at x, y in tiles, on their device."""
    return sample(texture(*kind, device=str(x.device)), x, y)


def _look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image (1, C, H, W) at x to the right and y down in [-1, 1], (C, rows, columns), bilinear."""
    return F.grid_sample(image, grid_of(x, y), mode="bilinear", padding_mode="border", align_corners=False)[0]


def _room(m: Moment, u: Tensor, v: Tensor, still: Tensor, world: Tensor, aspect: float) -> Tensor:
    """The room in the light of the moment with the world behind the glass, (H, W, 3)."""
    c = _look(still, u / (aspect * MARGIN), -v / MARGIN)
    light = torch.stack([m.sky, m.sun, m.lamp])  # (3 lights, 3 colours)
    room = (c[:9].reshape(3, 3, *c.shape[1:]) * light[..., None, None]).sum(0)
    streaks = torch.zeros((), device=m.device)
    if m.rain > 0.02:
        run = _noise((67, 256, 2.2), u * 0.5, v * 0.22 + 0.05 * m.t)
        streaks = 0.16 * m.rain * run + 0.10 * m.rain * _noise((68, 256, 2.0), u * 1.1, v * 0.4 + 0.11 * m.t)
    out = room + c[9] * _look(world, (u + 0.1 * streaks) / 2.2, -(v + 0.2 * streaks) / 1.25) * (1 + streaks)
    return out.permute(1, 2, 0) * m.exposure


def _cup_box(view: View, m: Moment) -> tuple[slice, slice]:
    """The rows and columns of the view that hold the cup and what is above it."""
    (left, low), (right, _) = (project(m.k.cup[0] + side * 0.06, 0, m.k.cup[1]) for side in (-1, 1))
    columns = (round(((x - m.shift[0]) * m.zoom + view.aspect) / view.pixel) for x in (left, right))
    bottom = round((1 - (low - m.shift[1]) * m.zoom) / view.pixel) - view.top
    first, last = (min(max(x, 0), view.width) for x in columns)
    return slice(0, min(max(bottom, 0), view.rows)), slice(first, last)


def _coffee(out: Tensor, view: View, m: Moment, still: Tensor) -> None:
    """The coffee in the cup, with the window on its skin and rings where it is poured, and the stream, in place."""
    k = m.k
    y = 0.058 + 0.022 * m.full
    rows, columns = _cup_box(view, m)
    patch = out[rows, columns]
    if not patch.numel():
        return
    u = view.u[:, columns] / m.zoom + m.shift[0]
    v = view.v[rows] / m.zoom + m.shift[1]
    bowl = _look(still[:, 10:], u / (view.aspect * MARGIN), -v / MARGIN)[0]
    s = (EYE[1] - y) * FOCAL / (HORIZON - v).clamp(min=0.05)
    x, z = u * s / FOCAL - k.cup[0], s + EYE[2] - k.cup[1]
    r = torch.sqrt(x**2 + z**2)
    inner = float(cup_radius(y - 0.008)) - 0.0005
    skin = bowl * smoothstep(inner + 0.0015, inner - 0.0005, r)
    pouring = max((min(p / 0.3, 1, max((n - p) / 0.4, 0)) for p, n in m.pours), default=0.0)
    ring = 0.05 + pouring
    wave = ring * torch.sin(r * 900 - 26 * m.t) * torch.exp(-r * 40) + 0.1 * torch.sin(x * 240 + 2 * m.t) * torch.sin(
        z * 200 - 1.3 * m.t
    )
    facing = smoothstep(-0.5, 0.9, z / 0.04 + 0.5 * wave) * 0.055 + 0.012
    body = m.rgb(0.16, 0.085, 0.040) if m.milk else m.rgb(0.020, 0.008, 0.003)
    ambient = 0.22 * m.sky + 0.20 * m.sun + 0.5 * m.lamp
    rim = smoothstep(inner - 0.004, inner, r)[..., None]
    light = (
        body * ambient * (1 + 3 * rim)
        + facing[..., None] * (m.sky + 0.15 * m.lamp)
        + 0.25 * rim * m.rgb(0.10, 0.04, 0.012) * ambient
    )
    patch += skin[..., None] * (light * m.exposure - patch)
    for since, seconds in m.pours:
        _stream(patch, u, v, m, bowl, y, since, seconds, view.pixel)


LIP = 0.21  # the pouring spout's height, metres
BACK = 0.018  # the coffee lands this much behind the middle of the cup


def _stream(
    patch: Tensor,
    u: Tensor,
    v: Tensor,
    m: Moment,
    bowl: Tensor,
    level: float,
    since: float,
    seconds: float,
    pixel: float,
) -> None:
    """A stream of coffee falling into the cup, in place: amber against the light, dark in its core."""
    scale = FOCAL / (m.k.cup[1] + BACK - EYE[2])
    y = EYE[1] + (v - HORIZON) / scale
    drop = (LIP - y).clamp(min=0)
    fall = (torch.sqrt(0.01 + 2 * drop / 9.8) - 0.1) + 0.22
    here = smoothstep(0.0, 0.03, since - fall) * smoothstep(seconds + 0.02, seconds - 0.05, since - fall + 0.22)
    sway = 0.0012 * torch.sin(38 * y - 24 * m.t) * smoothstep(0.0, 0.15, drop) + 0.0005 * torch.sin(90 * y - 51 * m.t)
    width = 0.0052 * (1 - 0.35 * smoothstep(0.0, 0.1, drop)) * (1 + 0.08 * torch.sin(120 * y - 60 * m.t))
    x = (u / scale - m.k.cup[0] - sway) / width
    soft = pixel / scale / 0.004
    inside = ((y > 0.083) | (bowl > 0.5)) & (y > level - 0.001) & (y < LIP + 0.002)
    alpha = smoothstep(1 + soft / 2, 1 - soft / 2, x.abs()) * here * inside
    deep = m.rgb(0.26, 0.15, 0.07) if m.milk else m.rgb(0.085, 0.028, 0.006)
    edge = (x.abs().clamp(0, 1) ** 2)[..., None]
    glint = torch.exp(-((x + 0.35) ** 2) * 14)[..., None]
    light = (deep * (0.6 + 2.2 * edge) + 0.3 * glint) * (0.55 * m.sky + 0.3 * m.sun + 0.6 * m.lamp) * m.exposure
    patch += alpha[..., None] * 0.95 * (light - patch)


def _spout(out: Tensor, view: View, m: Moment, since: float, seconds: float) -> None:
    """The spout of the pot that pours, from the upper right, in place: it comes in 0.25 s and leaves in 0.7 s."""
    away = max(1 - since / 0.25, (since - seconds) / 0.7, 0.0) ** 2
    scale = FOCAL / (m.k.cup[1] + BACK - EYE[2])
    u, v = view.u / m.zoom + m.shift[0], view.v / m.zoom + m.shift[1]
    x = u / scale - m.k.cup[0] - 0.002 - 0.35 * away
    y = EYE[1] + (v - HORIZON) / scale - LIP - 0.22 * away
    bend = 0.075 * (1 - torch.exp(-(x.clamp(min=-0.02) / 0.05))) + 0.14 * x.clamp(min=0)
    thick = 0.0065 + 0.035 * x.clamp(0, 0.5)
    slope = 1 / torch.sqrt(1 + (0.14 + 1.5 * torch.exp(-(x.clamp(min=-0.02) / 0.05))) ** 2)
    q = (y - bend) * slope / thick
    soft = view.pixel / scale / 0.007
    alpha = smoothstep(1 + soft / 2, 1 - soft / 2, q.abs()) * smoothstep(-0.009, -0.0055, x)
    bright = (
        0.10 + 0.75 * torch.exp(-(((q - 0.45) / 0.22) ** 2)) + 0.30 * torch.exp(-(((q + 0.5) / 0.3) ** 2)) - 0.06 * q
    )
    blur = min(0.4 * soft, 1.0)
    bright = bright + blur * (0.35 - bright)
    warm = 0.10 + 0.9 * torch.exp(-(((q - 0.2) / 0.12) ** 2)) + 0.15 * (q < -0.2)
    tint = m.rgb(*m.k.coat) if m.k.metal else m.rgb(0.82, 0.83, 0.85)
    light = tint * (bright[..., None] * (m.sky + 0.12 * m.sun) + warm[..., None] * 0.5 * m.lamp) * m.exposure
    out += alpha[..., None] * (light - out)


def _steam(m: Moment, view: View) -> tuple[Tensor, Tensor]:
    """Steam at a third of the size, brought up to the view: radiance (rows, W, 3), cover (rows, W)."""
    small = View.whole(max(view.width // 3, 48), max(view.height // 3, 27), view.device)
    u, v = small.u / m.zoom + m.shift[0], small.v / m.zoom + m.shift[1]
    k = m.k
    cover = shade = torch.zeros(small.height, small.width, device=view.device)
    su, sv = project(k.kettle[0] + 0.157 * k.wide, 0.045 + 0.133 * k.tall, k.kettle[1])
    cu, cv = project(k.cup[0], 0.07, k.cup[1])
    warm = 0.3 + 0.35 * m.full
    for x0, y0, amount, wide, push in (
        (su, sv, m.steam**1.2 * 2.6 + 0.8 * m.jet, 0.04, 0.5 + 0.5 * m.jet),
        (cu, cv, 0.34 * warm, 0.1, 0.0),
    ):
        up = (v - y0).clamp(min=0)
        bend = push * (1 - torch.exp(-up * 3.5)) * 0.32 + 0.05 * torch.sin(0.5 * m.t + 1.7 * up) * up
        x = u - x0 - bend
        slow = _noise((71, 256, 2.8), x / 3.2 + x0, up * 0.35 - m.t * 0.10)
        x = x + 0.13 * slow * up
        curl = _noise((72, 256, 2.3), x / 1.3 + 0.3 * x0 + 0.02 * slow, torch.sqrt(up + 0.04) * 0.75 - m.t * 0.17)
        fine = _noise((73, 256, 2.0), x / 0.9 + 0.02 * curl, torch.sqrt(up + 0.04) * 0.7 - m.t * 0.24 + 0.05 * slow)
        spread = wide + (0.22 + 0.12 * m.jet) * up
        plume = torch.exp(-((x / spread) ** 2)) * smoothstep(0.0, 0.07, up) * torch.exp(-up * (1.3 - 0.5 * m.steam))
        ridge = (
            0.12
            + (1 - (curl * 0.7).abs()).clamp(min=0) ** 2 * 0.6
            + 0.6 * (0.4 + 0.3 * fine + 0.3 * slow).clamp(0, 1.5)
        )
        layer = 1 - torch.exp(-1.6 * amount * plume * ridge)
        shade = shade + layer * (0.62 + 0.3 * curl.clamp(-0.6, 1.4) - 1) * (1 - cover)
        cover = 1 - (1 - cover) * (1 - layer)
    behind = m.sky * 1.0 + m.sun * 0.3 + m.lamp * 0.5
    both = torch.cat([(cover * (1 + shade))[..., None] * behind * m.exposure, cover[..., None]], -1).permute(2, 0, 1)[
        None
    ]
    both = F.interpolate(both, (view.height, view.width), mode="bilinear", align_corners=False)[
        0, :, view.top : view.top + view.rows
    ]
    return both[:3].permute(1, 2, 0), both[3]


def _gas(out: Tensor, view: View, m: Moment) -> None:
    """A ring of small blue flames under the kettle, in place."""
    x0, z0 = m.k.kettle
    scale = FOCAL / (z0 - 0.05 - EYE[2])
    u, v = view.u / m.zoom + m.shift[0], view.v / m.zoom + m.shift[1]
    x, y = u / scale - x0, EYE[1] + (v - HORIZON) / scale - 0.016
    across = (x / 0.062).clamp(-1, 1)
    tongue = 0.5 + 0.5 * torch.cos(torch.asin(across * 0.999) * 11)
    lick = _noise((74, 128, 1.4), x * 4, torch.zeros_like(x) + 2.3 * m.t)
    tall = (0.006 + 0.018 * m.fire) * (0.5 + 0.5 * tongue) * (1 + 0.15 * lick)
    rise = (y / tall).clamp(-0.5, 2)
    body = (
        smoothstep(-0.35, 0.15, rise) * smoothstep(1.25, 0.2, rise) * (0.25 + 0.75 * tongue) * (1 - across.abs() ** 6)
    )
    glow = torch.exp(-((x / 0.09) ** 2) - ((y + 0.004) / 0.022) ** 2)
    light = body[..., None] * m.rgb(0.10, 0.28, 1.0) * 0.8 + glow[..., None] * m.rgb(0.004, 0.014, 0.05)
    out += light * min(max((m.fire - 0.02) / 0.13, 0.0), 1.0) * (0.35 + 0.5 * m.exposure)


def render(stage: Stage, t: float, view: View, jet: float, pours: tuple[tuple[float, float], ...]) -> Tensor:
    """The picture at time t, (rows, W, 3), linear light."""
    m = _moment(stage, t, jet, pours, view.device)
    variant = stage.segment(t).variant
    still = plate(variant, view.width, view.height, view.device)
    both = outside(variant, view.device)
    world = both[:, :3] * m.sky[:, None, None] * 1.25 + both[:, 3:] * m.night * 0.9
    if m.night > 0:
        _cars(world, stage, m)
    steam, veil = _steam(m, view)
    out = in_bands(
        view, lambda b: _room(m, b.u / m.zoom + m.shift[0], b.v / m.zoom + m.shift[1], still, world, b.aspect)
    )
    _coffee(out, view, m, still)
    for since, seconds in pours:
        if since < seconds + 0.7:
            _spout(out, view, m, since, seconds)
    if m.fire > 0.02:
        _gas(out, view, m)
    edge = 1 - 0.13 * ((view.u / view.aspect) ** 2 + view.v**2)
    return (out * (1 - veil[..., None]) + steam) * edge[..., None]
