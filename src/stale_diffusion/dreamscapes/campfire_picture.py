"""The picture of a campfire: a plate of the clearing rendered once a variant, and the fire that lights it frame by frame.

The plate holds what light does there, not the light: colour, openness to the sky, irradiance from two places of the
fire, ember and sky masks. A frame is a look-up in the plate under a slowly moving camera, lit by the fire of the moment,
with flames of advected noise, sparks and smoke in front.

Shapes: H rows, W columns, C plate channels. World: x right, y up, z away, metres; the fire is at (0, 0, FIRE).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.scene import Stage

FIRE = 3.2
EYE = 1.1
FOCAL = 2.25
HORIZON = 0.16
MARGIN = 1.22  # the plate is this much larger than the frame
FIRELIGHT = (1.0, 0.44, 0.14)


@dataclass
class Surface:
    """What is seen in each pixel of a plate, (H, W) each; colour (H, W, 3)."""

    colour: Tensor
    open: Tensor  # share of the sky that lights it
    left: Tensor  # irradiance from the left of the fire, per unit of power
    right: Tensor
    ember: Tensor
    sky: Tensor
    haze: Tensor  # 1 - exp(-distance / 20 m)

    def cover(self, alpha: Tensor, colour: Tensor, light: tuple[Tensor, Tensor], open_: Tensor | float, far: float) -> None:
        """Lay something over, (H, W) coverage."""
        self.colour += alpha[..., None] * (colour - self.colour)
        self.left += alpha * (light[0] - self.left)
        self.right += alpha * (light[1] - self.right)
        self.open += alpha * (open_ - self.open)
        self.haze += alpha * (1 - math.exp(-far / 20) - self.haze)
        self.sky *= 1 - alpha
        self.ember *= 1 - alpha


def _rgb(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _firelight(p: tuple[Tensor | float, ...], n: tuple[Tensor | float, ...]) -> tuple[Tensor, Tensor]:
    """Irradiance at points p with normals n from both lights of the fire."""
    out = []
    for x in (-0.16, 0.16):
        to = (x - p[0], 0.5 - p[1], FIRE - p[2])
        square = to[0] ** 2 + to[1] ** 2 + to[2] ** 2
        cosine = (n[0] * to[0] + n[1] * to[1] + n[2] * to[2]) / torch.sqrt(torch.as_tensor(square))
        out.append((cosine * 0.8 + 0.2).clamp(min=0) * (1 / (square + 0.25) + 0.008))
    return out[0], out[1]


def _ground(u: Tensor, v: Tensor, seed: int, pixel: float, pines: bool) -> Surface:
    """The forest floor: needles or leaves, bumps raked by the firelight, ash and embers under the fire."""
    down = (HORIZON - v).clamp(min=0.012)
    z = FOCAL * EYE / down
    x = u / FOCAL * z
    foot = pixel * z * z / (FOCAL * EYE)
    r = torch.sqrt(x**2 + (z - FIRE) ** 2)
    tx, tz = -x / (r + 0.1), (FIRE - z) / (r + 0.1)
    height, relief = torch.zeros_like(r), torch.zeros_like(r)
    for k, (size, slope, weight) in enumerate(((6.0, 1.6, 0.8), (1.7, 1.1, 1.0), (0.55, 0.7, 0.8))):
        tile, fade = texture(seed + k, 512, slope), 1 / (1 + (foot / (size / 60)) ** 2)
        h = sample(tile, x / size, z / size)
        step = size / 160
        toward = sample(tile, (x + step * tx) / size, (z + step * tz) / size)
        height += weight * fade * h
        relief += weight * fade * (toward - h) * 2.2
    litter = 0.5 + 0.18 * height
    ash = smoothstep(0.78, 0.3, r + 0.06 * height)
    base = _rgb(0.15, 0.095, 0.055) if pines else _rgb(0.135, 0.105, 0.06)
    tint = sample(texture(seed + 5, 256, 1.2), x / 3, z / 3)[..., None]
    colour = base * (0.35 + 1.3 * litter.clamp(0.05, 1.2))[..., None] * (1 + 0.16 * tint * _rgb(1.0, 0.5, -0.4))
    grey = _rgb(0.16, 0.15, 0.145) * (0.25 + 0.75 * smoothstep(-0.8, 1.6, height))[..., None]
    colour = colour + ash[..., None] * (grey - colour)
    reach = 1 / (r**2 + 0.35)
    low = 0.5 / torch.sqrt(r**2 + 0.25)
    lit = reach * (low + 0.30 * (relief + 0.4)).clamp(0.02, 1.5)
    side = (0.35 * x / (r + 0.3)).clamp(-0.4, 0.4)
    embers = smoothstep(0.55, 0.15, r + 0.05 * height)
    below = (v < HORIZON).float().expand_as(x).clone()
    return Surface(colour * below[..., None], below.clone(), lit * (1 - side) * below, lit * (1 + side) * below, embers * below,
                   1 - below, (1 - torch.exp(-z / 20)) * below)  # fmt: skip


def _trunk(s: Surface, u: Tensor, v: Tensor, x0: float, z0: float, r0: float, lean: float, seed: int, pixel: float, pines: bool) -> None:
    """A tree trunk as a rough vertical cylinder."""
    y = EYE + (v - HORIZON) / FOCAL * z0
    bark = texture(77, 256, 1.0)
    across = u / FOCAL * z0 - x0 - lean * y
    rough = sample(bark, torch.full_like(v, 0.17 * seed), y / 3.0)
    radius = r0 * (1 + 0.5 * torch.exp(-y.clamp(min=0) / 0.22) + 0.05 * rough - 0.012 * y)
    q = across / radius.clamp(min=0.01)
    edge = pixel * z0 / FOCAL / r0
    alpha = smoothstep(1 + edge, 1 - edge, q.abs()) * smoothstep(-0.01, 0.03, y)
    if float(alpha.max()) == 0:
        return
    inside = q.clamp(-0.99, 0.99)
    angle = torch.asin(inside)
    fade = 1 / (1 + (pixel * z0 * 14) ** 2)
    grain = sample(bark, angle * r0 * 1.1 + seed * 0.31, y / 2.2) * fade
    slide = sample(bark, (angle + 0.12) * r0 * 1.1 + seed * 0.31, y / 2.2) * fade
    normal = (inside + 0.5 * (grain - slide), 0.1 * grain, -torch.sqrt(1 - inside**2))
    light = _firelight((x0 + r0 * inside, y, z0 - r0), normal)
    base = _rgb(0.17, 0.10, 0.065) if pines else _rgb(0.125, 0.11, 0.09)
    shade = (0.75 + 0.22 * grain).clamp(0.15, 1.5)
    s.cover(alpha, base * shade[..., None], light, 0.45 * shade, z0)


def _leaves(s: Surface, u: Tensor, v: Tensor, z: float, seed: int, pixel: float, pines: bool) -> None:
    """A veil of foliage at distance z: crowns above, undergrowth below."""
    y = EYE + (v - HORIZON) / FOCAL * z
    x = u / FOCAL * z
    clumps = sample(texture(seed, 256, 1.7), x / 14, y / 9)
    fine = sample(texture(seed + 1, 512, 0.75), x / 2.6, y / (1.6 if pines else 2.6))
    fine = fine / (1 + (pixel * z / FOCAL / 0.03) ** 2)
    bush = smoothstep(1.1 + 0.5 * clumps, 0.0, y) * 1.7
    gap = ((u - 0.25 * math.sin(seed)).abs() * 1.3).clamp(max=1.4) - 0.9
    crown = smoothstep(2.2, 6.0, y + 0.9 * clumps + 0.16 * z * gap) * 1.6
    alpha = smoothstep(0.75, 1.2, bush + crown + 0.42 * clumps + 0.55 * fine) * smoothstep(-0.05, 0.1, y)
    light = _firelight((x, y, torch.full_like(x, z)), (0.25 * fine, 0.35 + 0.2 * clumps, -0.8))
    base = _rgb(0.05, 0.075, 0.035) if pines else _rgb(0.075, 0.10, 0.035)
    gleam = (0.8 + 0.45 * fine).clamp(0.15, 2)
    s.cover(alpha, base * gleam[..., None], light, 0.5 * gleam, z)


def _stone(s: Surface, u: Tensor, v: Tensor, c: tuple[float, float, float], size: tuple[float, float, float], seed: int, pixel: float) -> None:
    """A round stone: an ellipsoid with a rough skin."""
    d = torch.stack(torch.broadcast_tensors(u / FOCAL / size[0], (v - HORIZON) / FOCAL / size[1], torch.tensor(1 / size[2])))
    o = _rgb(-c[0] / size[0], (EYE - c[1]) / size[1], -c[2] / size[2])[:, None, None]
    dd, od = (d * d).sum(0), (o * d).sum(0)
    miss = (o * o).sum(0) - od**2 / dd
    rough = sample(texture(91, 256, 1.5), u * 0.5 + 0.37 * seed, v * 0.5)
    soft = pixel * c[2] / FOCAL / size[0] * 2
    alpha = smoothstep(1 + soft, 1 - soft, miss + 0.2 * rough)
    if float(alpha.max()) == 0:
        return
    depth = (-od - torch.sqrt((1 - miss).clamp(min=0) * dd)) / dd
    p = o + depth * d
    grain = sample(texture(92, 256, 0.9), u * 1.3 + 0.1 * seed, v * 1.3)
    n = p / torch.tensor(size)[:, None, None]
    n = n / torch.sqrt((n * n).sum(0) + 1e-9) + 0.35 * torch.stack([rough, grain * 0.6, -rough - 0.5 * grain])
    at = tuple(p[i] * size[i] + c[i] for i in range(3))
    light = _firelight(at, (n[0], n[1], n[2]))
    soot = (0.7 + 0.2 * grain + 0.12 * rough).clamp(0.1, 1.4)
    s.cover(alpha, _rgb(0.19, 0.18, 0.17) * soot[..., None], light, 0.35 + 0.45 * n[1].clamp(0, 1), c[2])


def _log(s: Surface, u: Tensor, v: Tensor, a: np.ndarray, b: np.ndarray, r: float, seed: int, pixel: float) -> None:
    """A log from a to b, charred where it is in the fire, with embers in its cracks."""

    def project(p: np.ndarray) -> tuple[float, float]:
        return float(p[0] / p[2] * FOCAL), float(HORIZON + (p[1] - EYE) / p[2] * FOCAL)

    (ua, va), (ub, vb) = project(a), project(b)
    length = math.hypot(ub - ua, vb - va) + 1e-6
    eu, ev = (ub - ua) / length, (vb - va) / length
    along = (u - ua) * eu + (v - va) * ev
    across = (u - ua) * -ev + (v - va) * eu
    share = (along / length).clamp(0, 1)
    z = a[2] + share * (b[2] - a[2])
    width = r * FOCAL / z
    bark = texture(77, 256, 1.0)
    rough = sample(bark, share * 0.35 + 0.21 * seed, across * 0.1 + 0.3 * seed)
    over = (along - length * share).abs()
    q = torch.sqrt(across**2 + (over * 1.6) ** 2) / (width * (1 + 0.06 * rough))
    soft = pixel / (r * FOCAL / FIRE)
    alpha = smoothstep(1 + soft, 1 - soft, q)
    round_ = (across / width).clamp(-1, 1)
    grain = sample(bark, share * 0.5 + 0.13 * seed, torch.asin(round_ * 0.99) * 0.12 + 0.4 * seed)
    p = [a[i] + share * (b[i] - a[i]) for i in range(3)]
    n = (-ev * round_ + 0.3 * grain, eu * round_ + 0.15, -torch.sqrt(1 - round_**2) + 0.2 * grain)
    light = _firelight((p[0], p[1] + r * round_, p[2] - r), n)
    hot = smoothstep(0.62, 0.2, torch.sqrt(p[0] ** 2 + (p[2] - FIRE) ** 2))
    char = (0.55 + 0.35 * grain).clamp(0.06, 1.2)
    wood = _rgb(0.17, 0.105, 0.06) * (1 - hot[..., None]) + _rgb(0.028, 0.025, 0.024) * hot[..., None]
    s.cover(alpha, wood * char[..., None] * 1.4, light, 0.4 * char, FIRE)
    s.ember += alpha * hot * smoothstep(-0.15, -1.1, grain + 0.5 * round_)


def _shadows(s: Surface, u: Tensor, v: Tensor, posts: list[tuple[float, float, float, float]]) -> None:
    """Darken the ground behind posts (x, z, radius, reach as a share of their distance to the fire)."""
    z = FOCAL * EYE / (HORIZON - v).clamp(min=0.012)
    x = u / FOCAL * z
    dim = torch.ones_like(x)
    for x0, z0, r0, reach in posts:
        far = math.hypot(x0, z0 - FIRE)
        ex, ez = x0 / far, (z0 - FIRE) / far
        along = (x * ex + (z - FIRE) * ez) / far
        across = (x * ez - (z - FIRE) * ex).abs() / (r0 * along.clamp(min=0.2))
        dark = smoothstep(1.5, 0.6, across) * smoothstep(0.95, 1.1, along) * smoothstep(reach * 1.1, reach * 0.8, along)
        dim *= 1 - 0.8 * dark
    s.left *= dim
    s.right *= dim


def _layout(variant: int) -> tuple[list[tuple[float, float, float, float]], list[tuple[float, float, float]], np.ndarray]:
    """Trunks (x, z, radius, lean), stones (angle, size, height), logs (N, angle and lie) of this variant."""
    rng = np.random.default_rng([variant, 1])
    trunks = []
    while len(trunks) < 26:
        z = float(rng.uniform(5.2, 9) if len(trunks) < 6 else rng.uniform(8, 26))
        x = float(rng.uniform(-1.35, 1.35) * z)
        radius = float(rng.uniform(0.09, 0.24) * (0.8 + z / 40))
        if abs(x) > (0.35 if z < 9 else 0.0) + 0.3 and all(abs(x / z - a / b) > 0.035 for a, b, *_ in trunks[-8:]):
            trunks.append((x, z, radius, float(rng.normal(0, 0.018))))
    n = int(rng.integers(14, 19))
    angles = np.arange(n) / n * 2 * np.pi + rng.normal(0, 0.09, n)
    stones = [(float(a), float(rng.uniform(0.075, 0.13)), float(rng.uniform(0.55, 0.9))) for a in angles]
    logs = rng.random((6, 5))
    return trunks, stones, logs


def _build(u: Tensor, v: Tensor, variant: int, pixel: float) -> Tensor:
    """A band of the plate, (9, H, W)."""
    pines, seed = variant >= 32768, variant % 1000 * 10
    trunks, stones, logs = _layout(variant)
    s = _ground(u, v, seed, pixel, pines)
    _shadows(s, u, v, [(x, z, r, 1e3) for x, z, r, _ in trunks if z < 14] +
             [(0.74 * math.cos(a), FIRE + 0.74 * math.sin(a), w, 1.7) for a, w, _ in stones])  # fmt: skip
    things = [(z, "trunk", (x, z, r, lean, i)) for i, (x, z, r, lean) in enumerate(trunks)]
    things += [(z, "leaves", (z, seed + 20 + i)) for i, z in enumerate((30.0, 21.0, 15.0, 10.5))]
    for z, kind, what in sorted(things, key=lambda thing: -thing[0]):
        if kind == "trunk":
            _trunk(s, u, v, what[0], z, what[2], what[3], int(what[4]), pixel, pines)
        else:
            _leaves(s, u, v, z, int(what[1]), pixel, pines)
    for a, w, h in sorted(stones, key=lambda stone: -math.sin(stone[0])):
        if math.sin(a) > 0:
            _stone(s, u, v, (0.74 * math.cos(a), 0.3 * w * h, FIRE + 0.74 * math.sin(a)), (w, w * h, w), int(a * 50), pixel)
    for i, k in enumerate(logs):
        angle = 2 * np.pi * (i + 0.5 * k[0]) / len(logs)
        foot = np.array([0.6 * math.cos(angle), 0.05, FIRE + 0.55 * math.sin(angle)])
        top = np.array([-0.12 * math.cos(angle) + 0.08 * (k[1] - 0.5), 0.12 + 0.33 * k[2], FIRE - 0.1 * math.sin(angle)])
        _log(s, u, v, foot, top, 0.045 + 0.03 * float(k[3]), i + 7 * (variant % 13), pixel)
    for a, w, h in sorted(stones, key=lambda stone: -math.sin(stone[0])):
        if math.sin(a) <= 0:
            _stone(s, u, v, (0.74 * math.cos(a), 0.3 * w * h, FIRE + 0.74 * math.sin(a)), (w, w * h, w), int(a * 50), pixel)
    return torch.stack([*s.colour.unbind(-1), s.open, s.left, s.right, s.ember, s.sky, s.haze])


@lru_cache(maxsize=4)
def plate(variant: int, width: int, height: int, device: torch.device) -> Tensor:
    """The clearing of a variant for pictures of this size, (1, 9, H, W): it reaches MARGIN times beyond the frame."""
    pixel = 2 / height
    rows, columns = round(height * MARGIN), round(width * MARGIN)
    u = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None] * (width / height) * MARGIN
    v = (1 - (torch.arange(rows) + 0.5) / rows * 2)[:, None] * MARGIN
    step = max(1, 24_000 // columns)
    bands = [_build(u, v[y : y + step], variant, pixel) for y in range(0, rows, step)]
    return torch.cat(bands, 1)[None].to(device)


def flutter(t: float) -> float:
    """How the flames pulse, about -1.7..1.7: seen in the light and heard in the draught."""
    return math.sin(17 * t + 3 * math.sin(2.3 * t)) + 0.7 * math.sin(31 * t + 2 * math.sin(3.7 * t))


_SUN = (-1.0, -0.4, -0.18, -0.02, 0.15, 0.45, 1.0)
_ZENITH = np.array([[0.006, 0.010, 0.022], [0.008, 0.014, 0.032], [0.015, 0.032, 0.085], [0.09, 0.15, 0.30], [0.20, 0.34, 0.62],
                    [0.30, 0.50, 0.90], [0.30, 0.52, 0.98]])  # fmt: skip
_LOW = np.array([[0.013, 0.017, 0.028], [0.018, 0.023, 0.040], [0.11, 0.10, 0.13], [0.60, 0.38, 0.26], [0.95, 0.75, 0.55],
                 [0.95, 0.98, 1.0], [0.95, 1.0, 1.05]])  # fmt: skip
_EXPOSURE = (1.0, 1.0, 0.9, 0.6, 0.45, 0.36, 0.33)


def sky_colours(hour: float, cloud: float) -> tuple[Tensor, Tensor, float]:
    """Radiance at the zenith and at the horizon, and the camera's exposure, by the height of the sun."""
    sun = -math.cos(2 * math.pi * hour)
    both = [np.array([np.interp(sun, _SUN, table[:, c]) for c in range(3)]) for table in (_ZENITH, _LOW)]
    grey = (0.5 * both[0] + 0.35 * both[1]).mean() * np.array([0.98, 1.0, 1.04])
    share = 0.85 * cloud**1.5
    zenith, low = (torch.tensor(c + share * (grey - c), dtype=torch.float32) for c in both)
    return zenith, low, float(np.interp(sun, _SUN, _EXPOSURE))


@dataclass
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
    night: float
    shift: tuple[float, float]
    zoom: float
    seed: int


def _moment(stage: Stage, t: float) -> Moment:
    static = {name: stage.static(name, t) for name in ("hour", "cloud", "haze", "height", "pan", "focal", "drift")}
    fire, wind = stage.value("fire", t), stage.value("wind", t)
    gusts = [(t - e.time, e.strength) for e in stage.events("gust", t - 6, t)]
    gust = sum(k * (1 - math.exp(-s / 0.5)) * math.exp(-s / 1.0) for s, k in gusts)
    side = 1 if stage.rng("side", t).random() < 0.5 else -1
    lean = side * (1.1 * wind**1.4 + 1.6 * gust) + 0.12 * math.sin(0.9 * t + 2 * math.sin(0.37 * t))
    power = (0.035 + 1.25 * fire**1.25) * (1 + (0.06 + 0.05 * wind) * flutter(t) + 0.05 * math.sin(1.9 * t))
    zenith, low, exposure = sky_colours(static["hour"], static["cloud"])
    sway = static["drift"] * 0.05
    zoom = 1.0 + 0.22 * (static["focal"] - 0.45) + 0.02 * math.sin(0.05 * t)
    shift = (0.16 * (static["pan"] - 0.5) + sway * math.sin(0.11 * t), 0.1 * (static["height"] - 0.5) + 0.5 * sway * math.sin(0.083 * t))
    sun = -math.cos(2 * math.pi * static["hour"])
    night = min(max((-0.12 - sun) / 0.25, 0.0), 1.0)
    return Moment(t, fire, power, lean, stage.value("steam", t), static["cloud"], static["haze"], zenith, low, exposure, night,
                  shift, zoom, stage.segment(t).variant % 1000 * 10)  # fmt: skip


def _backdrop(m: Moment, u: Tensor, v: Tensor, pixel: float) -> Tensor:
    """The sky behind the trees, (H, W, 3): gradient, clouds, stars."""
    up = ((v - HORIZON) / 1.1).clamp(0, 1)
    sky = m.low + (up**0.6)[..., None] * (m.zenith - m.low)
    sky = sky.expand(v.shape[0], u.shape[1], 3)
    far = 1 / (up + 0.28)
    veil = sample(texture(m.seed + 3, 512, 1.7), u * far * 0.11 + 0.004 * m.t, far * 0.35)
    cover = smoothstep(1.3 - 2.4 * m.cloud, 2.3 - 2.4 * m.cloud, veil + 0.4)
    light = (0.55 * m.low + 0.5 * m.zenith) * (1.15 - 0.5 * m.night)
    sky = sky + (cover * 0.8)[..., None] * (light - sky)
    if m.night > 0:
        sky = sky + (m.night * (1 - cover))[..., None] * _stars(u, v, m, pixel)
    return sky


def _stars(u: Tensor, v: Tensor, m: Moment, pixel: float) -> Tensor:
    """Stars of many magnitudes, one at most in each cell of a fixed grid, (H, W, 3); they twinkle slowly."""
    cell = 0.055
    x, y = torch.broadcast_tensors(u / cell, v / cell)
    cx, cy = torch.floor(x), torch.floor(y)
    h = torch.sin(cx * 127.1 + cy * 311.7 + m.seed) * 43758.5453
    h = h - torch.floor(h)
    g = torch.sin(cx * 269.5 + cy * 183.3 + m.seed) * 24634.6345
    g = g - torch.floor(g)
    size = max(0.0022, 0.75 * pixel)
    square = ((x - cx - 0.15 - 0.7 * h) ** 2 + (y - cy - 0.15 - 0.7 * g) ** 2) * (cell / size) ** 2
    k = h * 7 + g * 3
    k = k - torch.floor(k)
    bright = k**7 * (0.0025 / size) ** 2 * (1 + 0.3 * torch.sin(m.t * (2 + 5 * g) + 40 * h)) * torch.exp(-square)
    tint = torch.stack([0.75 + 0.5 * g, torch.full_like(g, 0.95), 1.25 - 0.5 * g], -1)
    return 0.55 * bright[..., None] * tint


def _scene(m: Moment, u: Tensor, v: Tensor, clearing: Tensor, aspect: float, pixel: float) -> Tensor:
    """The clearing in the light of the moment, (H, W, 3)."""
    grid = torch.stack(torch.broadcast_tensors(u / (aspect * MARGIN), -v / MARGIN), -1)[None]
    c = F.grid_sample(clearing, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    ambient = (0.55 * m.zenith + 0.45 * m.low) * 1.3
    swing = 0.22 * math.sin(9.3 * m.t + 2 * math.sin(2.9 * m.t))
    fire = m.power * 2.4 * ((1 - swing) * c[4] + (1 + swing) * c[5])
    light = ambient * c[3][..., None] + _rgb(*FIRELIGHT) * fire[..., None]
    out = c[:3].permute(1, 2, 0) * light + c[7][..., None] * _backdrop(m, u, v, pixel)
    thick = ((0.06 + 0.75 * m.haze**1.5) * c[8]).clamp(0, 1)
    glow = m.power * 0.06 / (0.25 + u**2 + (v + 0.3) ** 2)
    mist = ambient * 0.55 + _rgb(*FIRELIGHT) * glow[..., None] * 0.35
    out = out + thick[..., None] * (mist - out)
    pulse = sample(texture(17, 128, 1.4), u * 1.1 + 0.03 * m.t, v * 1.6 - 0.05 * m.t)
    heat = c[6] * (0.55 + 0.3 * pulse + 0.5 * m.fire).clamp(0.05, 1.6) ** 2
    return out * m.exposure + heat[..., None] * _rgb(2.6, 0.42, 0.05) * (0.4 + 0.6 * m.exposure)


def _flames(m: Moment, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Flames as two sheets of advected noise: radiance (H, W, 3) and cover (H, W)."""
    metre = FIRE / FOCAL
    y = (v - (HORIZON - EYE / metre)) * metre - 0.06
    height = 0.12 + 1.25 * m.fire**1.15 * (1 + 0.05 * flutter(m.t))
    width = 0.16 + 0.27 * m.fire**0.7
    radiance, cover = torch.zeros(*torch.broadcast_shapes(u.shape, v.shape), 3), torch.zeros(())
    for k, (offset, scale, gain) in enumerate(((-0.2, 0.85, 0.7), (0.2, 0.8, 0.7), (0.0, 1.1, 0.9))):
        yn = y / (height * scale)
        rise = torch.sqrt(y.clamp(min=0) + 0.12)
        x = u * metre - m.lean * 0.35 * y.clamp(min=0) ** 1.4 - offset * width * 2.0
        slow = sample(texture(31 + k, 256, 2.0), x / 3.0 + 0.37 * k, rise * 0.8 - m.t * 0.42)
        x = x + (0.03 + 0.10 * yn.clamp(0, 1.5)) * slow
        fine = sample(texture(34 + k, 256, 1.9), x / 1.5 + 0.61 * k, rise * 0.8 - m.t * 0.62)
        streak = sample(texture(41 + k, 256, 1.6), x / 0.9 + 0.05 * fine, rise * 0.55 - m.t * 0.68)
        wide = width * (1.15 - yn).clamp(min=0.05) ** 0.9 * smoothstep(-0.25, 0.22, yn)
        body = 1 - ((x + 0.05 * fine * yn) / wide.clamp(min=0.01)) ** 2
        d = body * 0.8 + (0.2 + 0.6 * yn.clamp(0, 1)) * (0.6 * fine + 0.55 * streak) - 1.1 * yn.clamp(min=0) ** 1.3
        d = smoothstep(0.0, 0.7, d) * smoothstep(-0.12, 0.05, y)
        hot = gain * d * (0.45 + 0.45 * streak + 0.35 * body.clamp(0, 1)).clamp(min=0.06)
        warm = (1 - 0.75 * yn).clamp(0, 1)[..., None]
        radiance = radiance + hot[..., None] * (_rgb(1.0, 0.27, 0.03) + warm * _rgb(0.0, 0.12, 0.04))
        cover = cover + d * 0.35
    return radiance * 3.4 * smoothstep(0.03, 0.18, torch.tensor(m.fire)), cover.clamp(0, 1)


def _smoke(m: Moment, view: View) -> tuple[Tensor, Tensor]:
    """Smoke at a quarter of the size, brought up to the view: radiance (rows, W, 3), cover (rows, W)."""
    small = View.whole(max(view.width // 4, 32), max(view.height // 4, 18), view.device)
    metre = FIRE / FOCAL
    u, v = small.u / m.zoom + m.shift[0], small.v / m.zoom + m.shift[1]
    y = (v - (HORIZON - EYE / metre)) * metre - 0.15
    up = y.clamp(min=0)
    x = u * metre - m.lean * (0.3 * up**1.3)
    slow = sample(texture(51, 256, 1.9), x / 5 + 0.1, y / 5 - m.t * 0.07)
    wisp = sample(texture(52, 256, 1.5), (x + 0.25 * slow * up) / 3.2, torch.sqrt(up + 0.2) * 0.9 - m.t * 0.16 + 0.06 * slow)
    wide = 0.22 + 0.2 * m.fire + (0.28 + 0.1 * abs(m.lean)) * up
    plume = torch.exp(-(((x - 0.12 * slow * up) / wide) ** 2)) * smoothstep(0.1, 0.7, y - 0.5 * m.fire) / (1 + 0.25 * up)
    cover = (plume * (0.55 + 0.5 * wisp).clamp(min=0) * m.smoke * 0.95).clamp(0, 0.85)
    ambient = (0.5 * m.zenith + 0.5 * m.low) * 0.8
    lit = m.power * 0.42 / (0.25 + x**2 + (y - 0.2) ** 2)
    light = (ambient + _rgb(*FIRELIGHT) * lit[..., None]) * m.exposure
    both = torch.cat([light * cover[..., None], cover[..., None]], -1).permute(2, 0, 1)[None]
    both = F.interpolate(both, (view.height, view.width), mode="bilinear", align_corners=False)[0, :, view.top : view.top + view.rows]
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
    """Sparks as (N, 4): plane u, v, brightness, share of life; three points along each streak of 1/60 s."""
    points = []
    for time, x0, force, rng, n in _born(stage, m.t, m.fire):
        k, hurl = rng.random((7, n)), rng.standard_normal((2, n)) * force
        born = time + 0.35 * k[0] ** 2
        life = 0.5 + 1.6 * k[1]
        for lag in (0.0, 1 / 120, 1 / 60):
            s = np.maximum(m.t - lag - born, 0)
            drag = (1 - np.exp(-5 * s)) / 5
            y = 0.25 + 0.25 * k[2] + (0.8 + 1.5 * k[3]) * s + np.abs(hurl[1]) * drag * 2.2 - 0.1 * s**2
            curl = 0.05 * s * np.sin(9 * s * (0.5 + k[4]) + 30 * k[5]) + 0.1 * s * np.sin(3 * m.t + 4 * y)
            x = x0 + 0.3 * (k[4] - 0.5) + 2.2 * hurl[0] * drag + m.lean * 0.35 * s * y + curl
            glow = np.clip(1 - s / life, 0, 1) ** 0.7 * (m.t - lag > born) * (0.35 + k[6]) * (0.75 + 0.25 * np.sin(40 * s + 50 * k[0]))
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
    light = (5.0 * (0.25 + 0.75 * m.exposure) * p[:, 2, None] * colour)[:, None, None] * weight[..., None]
    at = rows.clamp(0, view.rows - 1) * view.width + columns.clamp(0, view.width - 1)
    out.view(-1, 3).index_add_(0, at.reshape(-1), light.reshape(-1, 3))


def render(stage: Stage, t: float, view: View) -> Tensor:
    """The picture of a campfire at time t, (rows, W, 3), linear light."""
    m = _moment(stage, t)
    clearing = plate(stage.segment(t).variant, view.width, view.height, view.device)

    haze, veil = _smoke(m, view)

    def shade(band: View) -> Tensor:
        u, v = band.u / m.zoom + m.shift[0], band.v / m.zoom + m.shift[1]
        out = _scene(m, u, v, clearing, band.aspect, band.pixel)
        flames, cover = _flames(m, u, v)
        glow = m.power / (0.03 + (u - 0.08 * m.lean) ** 2 + ((v + 0.32) * 0.85) ** 2)
        out = out * (1 - 0.5 * cover[..., None]) + flames * (0.35 + 0.65 * m.exposure)
        out = out + 0.012 * glow[..., None] * _rgb(*FIRELIGHT) * (0.3 + 0.7 * m.exposure)
        rows = slice(band.top - view.top, band.top - view.top + band.rows)
        out = out * (1 - veil[rows, :, None]) + haze[rows]
        edge = (band.u / band.aspect) ** 2 + band.v**2
        return out * (1 - 0.16 * edge)[..., None]

    out = in_bands(view, shade)
    _splat(out, view, m, _sparks(stage, m))
    return out
