"""The clearing around a campfire as a plate: what light does there, rendered once a variant, without the light.

Channels: colour, openness to the sky, irradiance from two places of the fire per unit of power, ember and sky
masks, haze.

Shapes: H rows, W columns. World: x right, y up, z away, metres; the fire is at (0, 0, FIRE).
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

FIRE = 3.2
EYE = 1.1
FOCAL = 2.25
HORIZON = 0.16
MARGIN = 1.22  # the plate is this much larger than the frame


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

    def cover(
        self, alpha: Tensor, colour: Tensor, light: tuple[Tensor, Tensor], open_: Tensor | float, far: float
    ) -> None:
        """Lay something over, (H, W) coverage."""
        self.colour += alpha[..., None] * (colour - self.colour)
        self.left += alpha * (light[0] - self.left)
        self.right += alpha * (light[1] - self.right)
        self.open += alpha * (open_ - self.open)
        self.haze += alpha * (1 - math.exp(-far / 20) - self.haze)
        self.sky *= 1 - alpha
        self.ember *= 1 - alpha


def rgb(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _firelight(p: tuple[Tensor | float, ...], n: tuple[Tensor | float, ...]) -> tuple[Tensor, Tensor]:
    """Irradiance at points p with normals n from both lights of the fire."""
    out = []
    for x in (-0.16, 0.16):
        to = (x - p[0], 0.5 - p[1], FIRE - p[2])
        square = to[0] ** 2 + to[1] ** 2 + to[2] ** 2
        cosine = (n[0] * to[0] + n[1] * to[1] + n[2] * to[2]) / torch.sqrt(torch.as_tensor(square))
        out.append((cosine * 0.8 + 0.2).clamp(min=0) * (0.8 / (square + 0.35) + 0.012))
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
    base = rgb(0.15, 0.095, 0.055) if pines else rgb(0.135, 0.105, 0.06)
    tint = sample(texture(seed + 5, 256, 1.2), x / 3, z / 3)[..., None]
    colour = base * (0.35 + 1.3 * litter.clamp(0.05, 1.2))[..., None] * (1 + 0.16 * tint * rgb(1.0, 0.5, -0.4))
    grey = rgb(0.16, 0.15, 0.145) * (0.25 + 0.75 * smoothstep(-0.8, 1.6, height))[..., None]
    colour = colour + ash[..., None] * (grey - colour)
    reach = 1 / (r**2 + 0.7)
    low = 0.5 / torch.sqrt(r**2 + 0.25)
    lit = reach * (low + 0.30 * (relief + 0.4)).clamp(0.02, 1.5)
    side = (0.35 * x / (r + 0.3)).clamp(-0.4, 0.4)
    embers = smoothstep(0.55, 0.15, r + 0.05 * height)
    below = (v < HORIZON).float().expand_as(x).clone()
    return Surface(colour * below[..., None], below.clone(), lit * (1 - side) * below, lit * (1 + side) * below,
                   embers * below,                    1 - below, (1 - torch.exp(-z / 20)) * below)  # fmt: skip


def _trunk(
    s: Surface, u: Tensor, v: Tensor, x0: float, z0: float, r0: float, lean: float, seed: int, pixel: float, pines: bool
) -> None:
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
    base = rgb(0.17, 0.10, 0.065) if pines else rgb(0.125, 0.11, 0.09)
    shade = (0.75 + 0.22 * grain).clamp(0.15, 1.5)
    s.cover(alpha, base * shade[..., None], light, 0.45 * shade, z0)


def _hills(s: Surface, u: Tensor, v: Tensor, seed: int) -> None:
    """Wooded hills far behind, (H, W)."""
    zero = torch.zeros_like(v)
    for k, (far, high, rough) in enumerate(((160.0, 0.16, 0.05), (70.0, 0.075, 0.03))):
        ridge = (
            sample(texture(seed + 40 + k, 256, 1.7), u * 0.13, zero) * rough
            + sample(texture(9, 256, 0.8), u, zero) * 0.004
        )
        alpha = smoothstep(0.006, -0.006, v - HORIZON - high * 0.6 - ridge) * (v > HORIZON - 0.02)
        dark = torch.zeros_like(alpha)
        s.cover(alpha, rgb(0.045, 0.06, 0.035), (dark, dark), 0.6, far)


def _leaves(s: Surface, u: Tensor, v: Tensor, z: float, seed: int, pixel: float, pines: bool) -> None:
    """A veil of foliage at distance z: crowns above, undergrowth below."""
    y = EYE + (v - HORIZON) / FOCAL * z
    x = u / FOCAL * z
    clumps = sample(texture(seed, 256, 1.7), x / 14, y / 9)
    fine = sample(texture(seed + 1, 512, 0.75), x / 2.6, y / (1.6 if pines else 2.6))
    fine = fine / (1 + (pixel * z / FOCAL / 0.03) ** 2)
    high = (0.5 + 0.05 * z + 0.5 * clumps).clamp(min=0.05)
    bush = smoothstep(1, 0, y / high) * 1.9
    gap = ((u - 0.3 * math.sin(seed)).abs() * 1.2).clamp(max=1.4) - 0.8 - 1.1 * (seed * 0.0618 % 1.0)
    crown = smoothstep(2.2, 6.0, y + 0.9 * clumps + 0.16 * z * gap) * 1.6
    alpha = smoothstep(0.75, 1.2, bush + crown + 0.42 * clumps + 0.55 * fine) * smoothstep(-0.05, 0.1, y)
    light = _firelight((x, y, torch.full_like(x, z)), (0.25 * fine, 0.35 + 0.2 * clumps, -0.8))
    base = rgb(0.05, 0.075, 0.035) if pines else rgb(0.075, 0.10, 0.035)
    gleam = (0.8 + 0.45 * fine).clamp(0.15, 2)
    s.cover(alpha, base * gleam[..., None], light, 0.5 * gleam, z)


def _stone(
    s: Surface,
    u: Tensor,
    v: Tensor,
    c: tuple[float, float, float],
    size: tuple[float, float, float],
    seed: int,
    pixel: float,
) -> None:
    """A round stone: an ellipsoid with a rough skin."""
    one = torch.ones(len(v), u.shape[1])
    d = torch.stack([u / FOCAL / size[0] * one, (v - HORIZON) / FOCAL / size[1] * one, one / size[2]])
    o = rgb(-c[0] / size[0], (EYE - c[1]) / size[1], -c[2] / size[2])[:, None, None]
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
    s.cover(alpha, rgb(0.19, 0.18, 0.17) * soot[..., None], light, 0.35 + 0.45 * n[1].clamp(0, 1), c[2])


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
    char = (0.55 + (0.12 + 0.23 * hot) * grain).clamp(0.06, 1.2)
    wood = rgb(0.17, 0.105, 0.06) * (1 - hot[..., None]) + rgb(0.028, 0.025, 0.024) * hot[..., None]
    under = 0.25 + 0.75 * smoothstep(-1.0, 0.4, round_ * (1.0 if eu > 0 else -1.0))
    s.cover(alpha, wood * (char * under)[..., None] * 1.4, light, 0.4 * char, FIRE)
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


@dataclass(frozen=True)
class Layout:
    """What stands where in a variant, metres."""

    trunks: list[tuple[float, float, float, float]]  # x, z, radius, lean
    stones: list[tuple[float, float, float]]  # angle around the fire, size, height as a share of it
    logs: np.ndarray  # (N, 5) of chance
    benches: list[tuple[int, float, float]]  # side, x, z


def _layout(variant: int) -> Layout:
    rng = np.random.default_rng([variant, 1])
    trunks: list[tuple[float, float, float, float]] = []
    many = int(rng.integers(9, 27))
    while len(trunks) < many:
        z = float(rng.uniform(5.2, 9) if len(trunks) < 6 else rng.uniform(8, 26))
        x = float(rng.uniform(-1.35, 1.35) * z)
        radius = float(rng.uniform(0.09, 0.24) * (0.8 + z / 40))
        if abs(x) > (0.35 if z < 9 else 0.0) + 0.3 and all(abs(x / z - a / b) > 0.035 for a, b, *_ in trunks[-8:]):
            trunks.append((x, z, radius, float(rng.normal(0, 0.018))))
    n = int(rng.integers(14, 19))
    angles = np.arange(n) / n * 2 * np.pi + rng.normal(0, 0.09, n)
    stones = [(float(a), float(rng.uniform(0.075, 0.13)), float(rng.uniform(0.55, 0.9))) for a in angles]
    logs = rng.random((6, 5))
    benches = [
        (side, float(rng.uniform(1.2, 1.7)), float(rng.uniform(3.6, 4.4))) for side in (-1, 1) if rng.random() < 0.55
    ]
    return Layout(trunks, stones, logs, benches)


def _build(u: Tensor, v: Tensor, variant: int, pixel: float) -> Tensor:
    """A band of the plate, (9, H, W)."""
    pines, seed = variant >= 32768, variant % 1000 * 10
    place = _layout(variant)
    trunks, stones, logs, benches = place.trunks, place.stones, place.logs, place.benches
    s = _ground(u, v, seed, pixel, pines)
    posts = [(x, z, r, 1e3) for x, z, r, _ in trunks if z < 14]
    posts += [(0.74 * math.cos(a), FIRE + 0.74 * math.sin(a), w, 1.7) for a, w, _ in stones]
    posts += [(side * (x + 0.34 * k), z + 0.07 * k, 0.3, 1.4) for side, x, z in benches for k in range(6)]
    _shadows(s, u, v, posts)
    _hills(s, u, v, seed)
    veils = [(z, seed + 20 + i) for i, z in enumerate((30.0, 21.0, 15.0, 10.5))]
    for z in sorted({*(z for z, _ in veils), *(trunk[1] for trunk in trunks)}, reverse=True):
        for i, (x, far, r, lean) in enumerate(trunks):
            if far == z:
                _trunk(s, u, v, x, z, r, lean, i, pixel, pines)
        for far, leaf in veils:
            if far == z:
                _leaves(s, u, v, z, leaf, pixel, pines)
    for a, w, h in sorted(stones, key=lambda stone: -math.sin(stone[0])):
        if math.sin(a) > 0:
            _stone(
                s, u, v, (0.74 * math.cos(a), 0.3 * w * h, FIRE + 0.74 * math.sin(a)), (w, w * h, w), int(a * 50), pixel
            )
    for side, x, z in benches:
        here, there = np.array([side * x, 0.12, z]), np.array([side * (x + 1.7), 0.12, z + 0.35])
        _log(s, u, v, here, there, 0.14, 3 + side, pixel)
    for i, k in enumerate(logs):
        angle = 2 * np.pi * (i + 0.5 * k[0]) / len(logs)
        foot = np.array([0.6 * math.cos(angle), 0.05, FIRE + 0.55 * math.sin(angle)])
        top = np.array(
            [-0.12 * math.cos(angle) + 0.08 * (k[1] - 0.5), 0.12 + 0.33 * k[2], FIRE - 0.1 * math.sin(angle)]
        )
        _log(s, u, v, foot, top, 0.045 + 0.03 * float(k[3]), i + 7 * (variant % 13), pixel)
    for a, w, h in sorted(stones, key=lambda stone: -math.sin(stone[0])):
        if math.sin(a) <= 0:
            _stone(
                s, u, v, (0.74 * math.cos(a), 0.3 * w * h, FIRE + 0.74 * math.sin(a)), (w, w * h, w), int(a * 50), pixel
            )
    return torch.stack([*s.colour.unbind(-1), s.open, s.left, s.right, s.ember, s.sky, s.haze])


@lru_cache(maxsize=4)
def plate(variant: int, width: int, height: int, device: torch.device) -> Tensor:
    """The clearing of a variant for pictures of this size, (1, 9, H, W): it reaches MARGIN times beyond the frame."""
    finer = 2 if height < 240 else 1  # small pictures would alias
    pixel = 2 / height / finer
    rows, columns = round(height * MARGIN) * finer, round(width * MARGIN) * finer
    u = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None] * (width / height) * MARGIN
    v = (1 - (torch.arange(rows) + 0.5) / rows * 2)[:, None] * MARGIN
    step = max(1, 24_000 // columns)
    bands = [_build(u, v[y : y + step], variant, pixel) for y in range(0, rows, step)]
    return F.avg_pool2d(torch.cat(bands, 1)[None], finer).to(device)
