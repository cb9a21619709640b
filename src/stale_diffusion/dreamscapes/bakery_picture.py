"""What a bakery oven looks like: its mouth and bread in their glow, flames, steam, haze of heat, flour in the light.

Shapes: H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.bakery_layout import FOCAL, MARGIN, Layout, layout, project
from stale_diffusion.dreamscapes.bakery_plate import bake, plate
from stale_diffusion.dreamscapes.noise import grid_of, sample, smoothstep, texture, tint
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.scene import Stage


@dataclass(frozen=True)
class Moment:
    """What a frame needs of the stage."""

    t: float
    k: Layout
    fire: float
    steam: float
    done: float  # how far the bread is baked
    life: float
    opened: float  # the door
    burst: float  # of steam
    oven: Tensor  # light of the oven, the sky, the sun and the lamp, RGB each
    sky: Tensor
    sun: Tensor
    lamp: Tensor
    exposure: float
    shift: tuple[float, float]
    zoom: float
    device: torch.device

    def rgb(self, *values: float) -> Tensor:
        """A colour on the device of the picture."""
        return torch.tensor(values, device=self.device)


_SUN = (-1.0, -0.35, -0.15, 0.0, 0.2, 0.5, 1.0)
_SKY = np.array([[0.004, 0.006, 0.014], [0.007, 0.010, 0.024], [0.05, 0.08, 0.16], [0.26, 0.28, 0.34],
                 [0.75, 0.80, 0.86], [0.95, 1.02, 1.1], [0.95, 1.02, 1.1]])  # fmt: skip
_BEAM = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [1.3, 0.52, 0.16], [3.0, 2.0, 1.1], [3.4, 2.9, 2.2],
                  [3.4, 3.0, 2.4]])  # fmt: skip


def _flicker(t: float) -> float:
    """Restless firelight, about [-1, 1]; its steps stay far under what could flash."""
    return math.sin(4.1 * t + 1.9 * math.sin(1.7 * t)) * 0.6 + math.sin(9.7 * t + 2.3 * math.sin(2.9 * t)) * 0.4


def _moment(stage: Stage, t: float, opened: float, burst: float, device: torch.device) -> Moment:
    static = {name: stage.static(name, t) for name in ("hour", "cloud", "height", "pan", "focal", "drift")}
    height = -math.cos(2 * math.pi * static["hour"])
    sky, beam = (np.array([np.interp(height, _SUN, c[:, i]) for i in range(3)]) for c in (_SKY, _BEAM))
    light, cloud = stage.value("light", t), static["cloud"]
    sky = (sky + 0.6 * cloud * (sky.mean() * np.array([0.96, 1.0, 1.05]) - sky)) * (1.25 - 0.5 * cloud)
    beam = beam * light**1.3
    k, fire = layout(stage.segment(t).variant), stage.value("fire", t)
    dark = min(max((0.30 - height) / 0.4, 0.0), 1.0)
    lamp = np.array([1.0, 0.66, 0.36]) * (0.22 + 0.75 * dark) * (1.0 if k.shade else 0.75)
    if k.brick:  # 1000 to 1900 K of embers and flames
        hot = np.array([1.0, 0.43 + 0.12 * fire, 0.13 + 0.10 * fire])
        oven = hot * (0.35 + 3.4 * fire**1.2) * (1 + 0.10 * fire * _flicker(t))
    else:  # a lamp of 2700 K and elements that glow
        hot = np.array([1.0, 0.60 - 0.08 * fire, 0.28 - 0.07 * fire])
        oven = hot * (0.8 + 2.0 * fire) * (1 + 0.35 * opened)
    mean = 0.42 * oven.mean() + 0.55 * sky.mean() + 0.14 * beam.mean() + 0.5 * lamp.mean()
    exposure = 1.75 / (0.35 + float(mean))
    sway = 0.03 * static["drift"]
    shift = (0.16 * (static["pan"] - 0.5) + sway * math.sin(0.1 * t),
             0.10 * (static["height"] - 0.5) + 0.5 * sway * math.sin(0.077 * t))  # fmt: skip
    zoom = 1.04 + 0.28 * static["focal"] + 0.015 * math.sin(0.06 * t)
    glow, day, ray, bulb = (torch.tensor(c, dtype=torch.float32, device=device) for c in (oven, sky, beam, lamp))
    steam, flow, life = (stage.value(name, t) for name in ("steam", "flow", "life"))
    return Moment(t, k, fire, steam, flow, life, opened, burst, glow, day, ray, bulb, exposure, shift, zoom, device)


def _noise(kind: tuple[int, int, float], x: Tensor, y: Tensor) -> Tensor:
    """Noise of (seed, size, slope) at x, y in tiles, on their device."""
    return sample(texture(*kind, device=str(x.device)), x, y)


def _mouth(k: Layout, floor: float) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of an opening on the plate's plane."""
    left, low = project(-k.mouth[0], floor, 0.0)
    right, high = project(k.mouth[0], floor + k.mouth[1], 0.0)
    return left, right, low, high


def _room(m: Moment, u: Tensor, v: Tensor, still: Tensor, aspect: float) -> Tensor:
    """The oven and the counter in the light of the moment, (H, W, 3); heat bends what is above the mouths."""
    _, right, _, high = _mouth(m.k, m.k.decks[-1])
    _, _, base, _ = _mouth(m.k, m.k.decks[0])
    heat = smoothstep(base - 0.05, base + 0.10, v) * smoothstep(high + 0.75, high - 0.1, v)
    heat = (
        heat
        * smoothstep(right + 0.35, right - 0.15, u.abs())
        * (0.0022 * m.fire * (0.35 + 0.65 * max(m.opened, float(m.k.brick))))
    )
    wave = _noise((91, 256, 1.8), u * 1.3, v * 0.8 - 0.55 * m.t)
    bent = u + heat * wave, v + 0.7 * heat * _noise((92, 256, 1.8), u * 1.5, v * 0.9 - 0.6 * m.t)
    grid = grid_of(bent[0] / (aspect * MARGIN), -bent[1] / MARGIN)
    c = F.grid_sample(still, grid, padding_mode="border", align_corners=False)[0]
    light = torch.stack([m.oven, m.sky, m.sun, m.lamp], 1) @ c[3:7].flatten(1)
    bread, crust, inside, glow = c[7], c[8], c[9], c[10]
    done = 0.04 + 0.86 * m.done
    albedo = c[:3].permute(1, 2, 0)
    loaves = (bread.amax(0) > 0).nonzero()
    if loaves.shape[0]:
        span = slice(int(loaves[0]), int(loaves[-1]) + 1)
        albedo[:, span] += bread[:, span, None] * bake(crust[:, span] / bread[:, span].clamp(min=0.05), done)
    out = albedo * light.view(3, *bread.shape).permute(1, 2, 0)
    if m.k.brick:
        pulse = 0.75 + 0.25 * _noise((93, 256, 1.6), u * 1.5 + 0.05 * m.t, v * 2 - 0.03 * m.t)
        ember = (glow.clamp(min=0) * pulse).clamp(min=0)
        out += tint(ember * (0.4 + 1.5 * m.fire), m.rgb(1.6, 0.34, 0.05))
    else:
        haze = inside * (0.05 + 0.10 * m.steam + 0.25 * m.burst)
        out += haze[..., None] * (0.5 * m.oven - out)
    out -= tint(glow.clamp(max=0), 1.2 * m.lamp)
    return out


def _flames(out: Tensor, view: View, m: Moment) -> None:
    """Flames over the embers at the back of a brick oven, in place: tongues of advected noise behind the mouth."""
    k = m.k
    if m.fire < 0.06:
        return
    u, v = view.u / m.zoom + m.shift[0], view.v / m.zoom + m.shift[1]
    cu, cv = project(-k.side * 0.36, 0.02, 0.80)
    scale = FOCAL / 2.85
    rows = ((v[:, 0] > cv - 0.05) & (v[:, 0] < cv + 0.46 * scale)).nonzero()[:, 0]
    columns = ((u[0] > cu - 0.34 * scale) & (u[0] < cu + 0.34 * scale)).nonzero()[:, 0]
    if not len(rows) or not len(columns):
        return
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    x, y = (u[:, box[1]] - cu) / scale, (v[box[0]] - cv) / scale
    warp = _noise((94, 256, 1.9), x * 0.9 + 0.2, y * 0.7 - 0.55 * m.t)
    x = x.expand_as(warp) + 0.05 * warp * (y / 0.15).clamp(0, 1.5)
    tall = (0.05 + 0.27 * m.fire) * (1 + 0.12 * _flicker(m.t))
    tongues = _noise((95, 256, 1.7), x * 1.6, y * 0.8 - 1.05 * m.t) + 0.5 * _noise(
        (96, 256, 1.5), x * 3.4, y * 1.6 - 1.7 * m.t
    )
    body = 1.15 * torch.exp(-((x / 0.135) ** 2)) - y.clamp(min=0) / tall + 0.30 * tongues
    heat = smoothstep(0.05, 0.9, body) * smoothstep(-0.05, 0.02, y)
    half, top = k.mouth
    face = (u[:, box[1]] / FOCAL * 2.05, 0.47 + (v[box[0]] - 0.30) / FOCAL * 2.05)  # where the ray passes the face
    spring = top - half * 0.75
    inside = torch.sqrt(face[0] ** 2 + ((face[1] - spring) / 0.75).clamp(min=0) ** 2)
    seen = smoothstep(half + 0.004, half - 0.004, inside) * smoothstep(-0.004, 0.004, face[1])
    light = tint(heat * heat.sqrt(), m.rgb(3.4, 1.05, 0.16)) + tint((heat**2) ** 2, m.rgb(1.6, 1.5, 0.6))
    out[box] += (seen * min(1.0, 3 * m.fire))[..., None] * light * (0.5 + 0.5 * m.fire)


def _door(out: Tensor, view: View, m: Moment) -> None:
    """The glass doors of a deck oven, in place: they fold down as they open; the window is mirrored in them."""
    k = m.k
    across_, up_ = view.u / m.zoom + m.shift[0], view.v / m.zoom + m.shift[1]
    soft = view.pixel / m.zoom
    for i, floor in enumerate(k.decks):
        _, right, low, high = _mouth(k, floor)
        opened = m.opened if i == 0 else 0.0
        top = low + (high - low) * math.cos(opened * math.pi / 2)
        bottom = min(low, top - 0.11 * (high - low))
        rows = ((up_[:, 0] > bottom - soft) & (up_[:, 0] < top + soft)).nonzero()
        columns = (across_[0].abs() < right + soft).nonzero()
        if not rows.shape[0] or not columns.shape[0]:
            continue
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        u, v, part = across_[:, box[1]], up_[box[0]], out[box]
        inside = ((right - u.abs()) / soft + 0.5).clamp(0, 1) * ((v - low) / soft + 0.5).clamp(0, 1)
        inside = inside * ((top - v) / soft + 0.5).clamp(0, 1)
        across, up = u / right, (v - low) / max(top - low, 1e-3)
        frame = smoothstep(0.93, 0.945, across.abs()) + smoothstep(0.12, 0.10, up) + smoothstep(0.86, 0.88, up)
        frame = frame.clamp(0, 1)
        mirror = smoothstep(0.10, 0.32, (across * k.side - 0.25 - 0.15 * up)) * smoothstep(
            0.70, 0.62, across * k.side - 0.15 * up
        )
        pane = part * m.rgb(0.80, 0.78, 0.74) + tint(0.05 * mirror, m.sky + 0.1 * m.sun) + 0.012 * (m.sky + m.lamp)
        steel = tint(0.05 + 0.06 * up, 0.5 * m.sky + 0.3 * m.lamp + 0.04 * m.oven)
        part += inside[..., None] * (torch.lerp(pane, steel, frame[..., None]) - part)
        bar = ((top - v - 0.055 * (high - low)) / (0.05 * (high - low))).abs() * 1.0
        grip = smoothstep(1.0, 0.75, bar) * smoothstep(0.72, 0.70, across.abs())
        shine = 0.25 + 0.75 * torch.exp(-((((top - v) / (high - low) - 0.035) / 0.018) ** 2))
        metal = tint(shine, 0.30 * m.sky + 0.40 * m.lamp + 0.10 * m.oven)
        part += grip[..., None] * (metal - part)


def _steam(m: Moment, view: View) -> tuple[Tensor, Tensor]:
    """Steam at a third of the size, brought up to the view: radiance (rows, W, 3), cover (rows, W)."""
    small = View.whole(max(view.width // 3, 48), max(view.height // 3, 27), view.device)
    u, v = small.u / m.zoom + m.shift[0], small.v / m.zoom + m.shift[1]
    k = m.k
    cover = torch.zeros(small.height, small.width, device=view.device)
    _, right, low, high = _mouth(k, 0.0)
    tops = [
        (
            0.0,
            high if k.brick else low + 0.1,
            right * 0.8,
            (0.22 - 0.10 * k.brick + 0.5 * m.opened + 1.6 * m.burst) * m.steam + 0.8 * m.burst,
        )
    ]
    for b in k.resting[:3]:
        tops.append((*project(b.x, b.y + b.tall, b.z), 0.05, 0.20 * m.steam + 0.03))
    for i, (x0, y0, wide, amount) in enumerate(tops):
        up = (v - y0).clamp(min=0)
        slow = _noise((71, 256, 2.8), (u - x0) / 3.2 + 0.37 * i, up * 0.35 - m.t * 0.08)
        x = u - x0 + 0.16 * slow * up - 0.05 * torch.sin(0.4 * m.t + 2 * up + i) * up
        curl = _noise((72, 256, 2.3), x / 1.3 + 0.3 * i, torch.sqrt(up + 0.04) * 0.75 - m.t * 0.14)
        fine = _noise((73, 256, 2.0), x / 0.9 + 0.02 * curl, torch.sqrt(up + 0.04) * 0.7 - m.t * 0.20 + 0.05 * slow)
        plume = torch.exp(-((x / (wide + 0.25 * up)) ** 2)) * smoothstep(0.0, 0.12, up) * torch.exp(-up * 1.5)
        ridge = (
            0.10
            + (1 - (curl * 0.7).abs()).clamp(min=0) ** 2 * 0.55
            + 0.6 * (0.35 + 0.3 * fine + 0.3 * slow).clamp(0, 1.5)
        )
        cover = 1 - (1 - cover) * torch.exp(-1.1 * amount * plume * ridge)
    warm = torch.exp(-(((v - low) / 0.7) ** 2))
    behind = 0.30 * m.sky + 0.06 * m.sun + 0.30 * m.lamp + 0.16 * warm[..., None] * m.oven
    both = torch.cat([cover[..., None] * behind, cover[..., None]], -1).permute(2, 0, 1)[None]
    both = F.interpolate(both, (view.height, view.width), mode="bilinear", align_corners=False)
    both = both[0, :, view.top : view.top + view.rows]
    return both[:3].permute(1, 2, 0), both[3]


def _shaft(m: Moment, view: View) -> Tensor:
    """Sunlight through the window as flour in the air shows it, (rows, W, 3), and lamplight about the lamp."""
    u, v = view.u / m.zoom + m.shift[0], view.v / m.zoom + m.shift[1]
    k = m.k
    sx, sy, _ = k.sun
    slope = sy / abs(sx)
    off = v - 0.25 - slope * (u * k.side - 0.2)  # across the shaft
    along = u * k.side
    edge = smoothstep(-0.36, -0.26, off) * smoothstep(0.30, 0.18, off)
    bar = 1 - 0.5 * smoothstep(0.06, 0.02, (off + 0.02).abs())
    dust = 0.6 + 0.22 * _noise((98, 256, 2.0), u * 0.45 - 0.008 * m.t, v * 0.45 + 0.006 * m.t)
    dust = dust + 0.18 * _noise((99, 256, 1.7), u * 1.1 - 0.013 * m.t, v * 1.1 + 0.010 * m.t)
    shaft = edge * bar * dust.clamp(min=0) * smoothstep(-1.1, 1.4, along) * (0.012 + 0.05 * m.life)
    return tint(shaft, m.sun)


def _motes(out: Tensor, view: View, m: Moment) -> None:
    """Grains of flour that float in the light, in place: splatted between pixels, so that they glide."""
    count = int(60 + 240 * m.life)
    rng = np.random.default_rng([m.k.seed, 7])
    x0, y0, z0 = rng.uniform(-2, 2, count), rng.uniform(-1.2, 1.2, count), rng.uniform(0.5, 1.6, count)
    phase = rng.uniform(0, 6.28, (3, count))
    x = x0 + 0.05 * np.sin(0.31 * m.t + phase[0]) + 0.012 * m.t * rng.uniform(-1, 1, count)
    y = y0 + 0.04 * np.sin(0.23 * m.t + phase[1]) - 0.010 * m.t * rng.uniform(0.3, 1, count)
    x, y = (x + 2) % 4 - 2, (y + 1.2) % 2.4 - 1.2
    sx, sy, _ = m.k.sun
    off = y - 0.25 - sy / abs(sx) * (x * m.k.side - 0.2)
    shaft = np.clip((off + 0.36) / 0.1, 0, 1) * np.clip((0.30 - off) / 0.12, 0, 1)
    glow = np.exp(-((x / 0.9) ** 2) - ((y + 0.1) / 0.5) ** 2)
    twinkle = 0.6 + 0.4 * np.sin(0.9 * m.t + phase[2])
    fade = np.clip((1.2 - abs(y)) * 6, 0, 1) * np.clip((2 - abs(x)) * 6, 0, 1)  # none appears at once
    colour = (shaft[:, None] * m.sun.cpu().numpy() * 0.10 + glow[:, None] * m.oven.cpu().numpy() * 0.012
              + 0.02 * m.lamp.cpu().numpy()) * (twinkle * fade)[:, None]  # fmt: skip
    px = ((x - m.shift[0]) * m.zoom / z0 + view.aspect) / view.pixel - 0.5
    py = (1 - (y - m.shift[1]) * m.zoom / z0) / view.pixel - 0.5 - view.top
    size = np.maximum(1.0, 0.0045 / view.pixel / z0)
    reach = int(np.ceil(size.max()))
    for dy in range(-reach + 1, reach + 1):
        for dx in range(-reach + 1, reach + 1):
            r, c = np.floor(py) + dy, np.floor(px) + dx
            weight = np.clip(1 - abs(r - py) / size, 0, 1) * np.clip(1 - abs(c - px) / size, 0, 1)
            ok = (r >= 0) & (r < view.rows) & (c >= 0) & (c < view.width) & (weight > 0)
            index = tuple(torch.from_numpy(i[ok].astype(np.int64)).to(out.device) for i in (r, c))
            value = torch.from_numpy((colour * weight[:, None])[ok]).float().to(out.device)
            out.index_put_(index, value, accumulate=True)


def render(stage: Stage, t: float, view: View, opened: float, burst: float) -> Tensor:
    """The picture at time t, (rows, W, 3), linear light."""
    m = _moment(stage, t, opened, burst, view.device)
    still = plate(stage.segment(t).variant, view.width, view.height, view.device)
    steam, veil = _steam(m, view)

    def shade(band: View) -> Tensor:
        out = _room(m, band.u / m.zoom + m.shift[0], band.v / m.zoom + m.shift[1], still, band.aspect)
        (_flames if m.k.brick else _door)(out, band, m)
        rows = slice(band.top - view.top, band.top - view.top + band.rows)
        return out.mul_(1 - veil[rows, :, None]).add_(steam[rows]).add_(_shaft(m, band))

    out = in_bands(view, shade)
    _motes(out, view, m)
    edge = 1 - 0.14 * ((view.u / view.aspect) ** 2 + view.v**2)
    return out.mul_((m.exposure * edge)[..., None]).clamp_(min=0)
