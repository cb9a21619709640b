"""A kettle, a cup and a window as a plate: ray-marched once a variant, under three lights of unit strength.

The lights: the window's sky, the sun through the window, the lamp of the room. A frame adds them up (kettle_picture).

Shapes: R rays, H rows, W columns. World: x right, y up, z away, metres; the table is y = 0, the window z = GLASS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture

EYE = (0.0, 0.42, -1.0)
FOCAL = 3.6
HORIZON = 0.78
GLASS = 0.9
EDGE = 0.55  # where the table ends
MARGIN = 1.16
LAMP = (-0.5, 1.0, -0.35)


@dataclass(frozen=True)
class Layout:
    """What a variant decides."""

    kettle: tuple[float, float]
    cup: tuple[float, float]
    left: float  # the window from left to right, metres
    right: float
    sun: tuple[float, float, float]
    table: tuple[float, float, float]
    coat: tuple[float, float, float]
    metal: bool
    china: tuple[float, float, float]
    wall: tuple[float, float, float]
    seed: int
    wide: float  # the kettle's proportions
    tall: float
    saucer: bool


_TABLES = ((0.30, 0.17, 0.085), (0.14, 0.07, 0.038), (0.42, 0.29, 0.18), (0.22, 0.12, 0.06), (0.50, 0.47, 0.43))
_COATS = (
    (0.85, 0.86, 0.88),
    (0.93, 0.60, 0.42),
    (0.36, 0.03, 0.025),
    (0.55, 0.50, 0.38),
    (0.03, 0.10, 0.16),
    (0.04, 0.12, 0.08),
    (0.62, 0.60, 0.55),
    (0.50, 0.28, 0.04),
    (0.30, 0.42, 0.48),
)
_CHINA = ((0.70, 0.69, 0.66), (0.10, 0.22, 0.38), (0.45, 0.22, 0.12), (0.30, 0.34, 0.30), (0.62, 0.55, 0.42))
_WALLS = ((0.55, 0.52, 0.46), (0.42, 0.46, 0.45), (0.60, 0.50, 0.40), (0.35, 0.38, 0.42))


@lru_cache(maxsize=64)
def layout(variant: int) -> Layout:
    """Where things stand and what they are made of, by variant."""
    rng = np.random.default_rng([variant, 2])
    coat = int(rng.integers(len(_COATS)))
    left = float(rng.uniform(-0.95, -0.55))
    sun = np.array([rng.uniform(-0.55, 0.55), rng.uniform(0.45, 0.75), 1.0])
    sun /= np.linalg.norm(sun)
    return Layout(
        (float(rng.uniform(-0.26, -0.17)), float(rng.uniform(0.06, 0.14))),
        (float(rng.uniform(0.12, 0.22)), float(rng.uniform(-0.03, 0.04))),
        left, left + float(rng.uniform(1.15, 1.6)), (float(sun[0]), float(sun[1]), float(sun[2])),
        _TABLES[int(rng.integers(len(_TABLES)))], _COATS[coat], coat < 2, _CHINA[int(rng.integers(len(_CHINA)))],
        _WALLS[int(rng.integers(len(_WALLS)))], variant % 997 * 10,
        float(rng.uniform(0.88, 1.04)), float(rng.uniform(0.85, 1.25)), bool(rng.random() < 0.75),
    )  # fmt: skip


def rgb(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


# Signed distances (R,) of points (R, 3).

Field = Callable[[Tensor, Layout], Tensor]


def _norm(*parts: Tensor) -> Tensor:
    return torch.sqrt(sum((p * p for p in parts), torch.zeros(())))


def _cone(p: Tensor, a: tuple[float, float, float], b: tuple[float, float, float], ra: float, rb: float) -> Tensor:
    """A round-ended stick from a to b, its radius from ra to rb."""
    start, axis = rgb(*a), rgb(*b) - rgb(*a)
    q = p - start
    h = ((q @ axis) / (axis @ axis)).clamp(0, 1)
    d = q - h[:, None] * axis
    return torch.sqrt((d * d).sum(-1)) - (ra + (rb - ra) * h)


def _meld(a: Tensor, b: Tensor, k: float) -> Tensor:
    """The union with a fillet of k metres."""
    h = (k - (a - b).abs()).clamp(min=0) / k
    return torch.minimum(a, b) - h * h * k / 4


def _kettle(p: Tensor, k: Layout) -> Tensor:
    q = (p - rgb(k.kettle[0], 0.045, k.kettle[1])) / rgb(k.wide, k.tall, k.wide)
    r = _norm(q[:, 0], q[:, 2])
    y = q[:, 1]
    profile = 0.1 - 5 * (y - 0.035).clamp(min=0) ** 2 - 8 * (0.03 - y).clamp(min=0) ** 2
    body = torch.maximum(torch.maximum((r - profile) * 0.75, -y), y - 0.125) - 0.002
    lid = (_norm(r / 1.0, (y - 0.122) * 2.4) - 0.052) * 0.42
    knob = _norm(r, y - 0.153) - 0.011
    spout = _meld(
        _cone(q, (0.075, 0.04, 0), (0.125, 0.075, 0), 0.021, 0.014),
        _cone(q, (0.125, 0.075, 0), (0.155, 0.125, 0), 0.014, 0.0095),
        0.015,
    )
    ring = _norm(_norm(q[:, 0], (y - 0.1) * 0.85) - 0.079, q[:, 2]) - 0.0065
    handle = torch.maximum(ring, 0.094 - y)
    whole = torch.minimum(_meld(_meld(body, lid, 0.006), spout, 0.018), torch.minimum(handle, knob))
    return whole * min(k.wide, k.tall, 1.0)


def _burner(p: Tensor, k: Layout) -> Tensor:
    q = p - rgb(k.kettle[0], 0.0, k.kettle[1])
    r = _norm(q[:, 0], q[:, 2])
    plate = torch.maximum(r - 0.098, (q[:, 1] - 0.008).abs() - 0.008) - 0.003
    spin = torch.remainder(torch.atan2(q[:, 2], q[:, 0]), math.pi / 3) - math.pi / 6
    arm = torch.maximum(
        (r * torch.sin(spin)).abs() - 0.004, torch.maximum((q[:, 1] - 0.030).abs() - 0.012, (r - 0.068).abs() - 0.028)
    )
    return torch.minimum(plate, arm)


def cup_radius(y: Tensor | float) -> Tensor | float:
    """Outer radius of the cup at a height, metres."""
    return 0.031 + 0.16 * y


def _cup(p: Tensor, k: Layout) -> Tensor:
    q = p - rgb(k.cup[0], 0.008, k.cup[1])
    r, y = _norm(q[:, 0], q[:, 2]), q[:, 1]
    side = (r - cup_radius(y) - 0.004 * smoothstep(0.0, 0.03, y)) * 0.98
    outer = torch.maximum(side, (y - 0.039).abs() - 0.037)
    inner = torch.maximum((r - cup_radius(y) + 0.001) * 0.98, 0.006 - y)
    bowl = torch.maximum(outer, -inner) - 0.0012
    ring = _norm(_norm(q[:, 0] - 0.047, y - 0.042) - 0.019, q[:, 2]) - 0.0042
    handle = torch.maximum(ring, cup_radius(y) - r)
    if not k.saucer:
        return _meld(bowl, handle, 0.006)
    saucer = torch.maximum(r - 0.082, (y + 0.003 - 0.10 * (r - 0.03).clamp(min=0)).abs() - 0.0025) - 0.0008
    return torch.minimum(_meld(bowl, handle, 0.006), saucer)


# Light.


def _panes(x: Tensor, y: Tensor, k: Layout, soft: Tensor | float) -> Tensor:
    """How much of the window's glass is at (x, y) of its plane, blurred over `soft` metres."""
    u, v, wide = x + soft / 2, y + soft / 2, soft + 1e-3
    across = smoothstep(0, 1, (u - k.left) / wide) * smoothstep(1, 0, (u - k.right) / wide)
    up = smoothstep(0, 1, (v - 0.02) / wide) * smoothstep(1, 0, (v - 1.3) / (soft + 0.01))
    post = smoothstep(1, 0, ((x - (k.left + k.right) / 2).abs() - 0.018 + soft / 2) / (soft + 0.004))
    bar = post + smoothstep(1, 0, ((y - 0.42).abs() - 0.012 + soft / 2) / (soft + 0.006))
    return across * up * (1 - bar.clamp(0, 1) * (0.035 / (0.035 + soft)))


def _blocked(p: Tensor, to: Tensor, k: Layout, softness: float) -> Tensor:
    """Light that comes past kettle and cup, (R,), from the direction or displacement `to` (R, 3) or (3,)."""
    out = torch.ones(len(p))
    to = to.expand_as(p)
    flat = to[:, 0] ** 2 + to[:, 2] ** 2 + 1e-9
    for (x, z), low, high, r in (
        (k.kettle, 0.07, 0.03 + 0.095 * k.tall, 0.088 * k.wide),
        (k.kettle, 0.008, 0.014, 0.09),
        (k.cup, 0.012, 0.072, 0.037),
        (k.cup, 0.004, 0.006, 0.08 if k.saucer else 0.03),
    ):
        s = (((x - p[:, 0]) * to[:, 0] + (z - p[:, 2]) * to[:, 2]) / flat).clamp(min=0)
        y = p[:, 1] + s * to[:, 1]
        gap = _norm(p[:, 0] + s * to[:, 0] - x, p[:, 2] + s * to[:, 2] - z, y - y.clamp(low, high)) - r
        w = softness * s * torch.sqrt(flat) + 0.004
        out = out * smoothstep(-1.0, 1.0, gap / w)
    return out


def _sun(p: Tensor, k: Layout) -> Tensor:
    """Sunlight through the window at points of the room, (R,)."""
    to = rgb(*k.sun)
    s = (GLASS - p[:, 2]) / to[2]
    return _panes(p[:, 0] + s * to[0], p[:, 1] + s * to[1], k, 0.03) * _blocked(p, to, k, 0.03)


def _diffuse(p: Tensor, n: Tensor, k: Layout, shadows: bool) -> Tensor:
    """Irradiance / pi from window, sun and lamp, (R, 3 lights)."""
    window = torch.zeros(len(p))
    for x in (k.left + 0.2, (k.left + k.right) / 2, k.right - 0.2):
        for y in (0.25, 0.9):
            to = rgb(x, y, GLASS) - p
            square = (to * to).sum(-1)
            cosine = ((n * to).sum(-1) / torch.sqrt(square)).clamp(min=0)
            past = _blocked(p, to, k, 0.22) if shadows else 1.0
            window = window + past * cosine * to[:, 2].clamp(min=0) / torch.sqrt(square) / square
    window = window * (k.right - k.left) * 1.28 / 6 / math.pi
    sun = (n @ rgb(*k.sun)).clamp(min=0) * (
        _sun(p, k)
        if shadows
        else _panes(
            p[:, 0] + (GLASS - p[:, 2]) * k.sun[0] / k.sun[2],
            p[:, 1] + (GLASS - p[:, 2]) * k.sun[1] / k.sun[2],
            k,
            0.03,
        )
    )
    to = rgb(*LAMP) - p
    square = (to * to).sum(-1)
    lamp = (
        ((n * to).sum(-1) / torch.sqrt(square)).clamp(min=0) / square * (_blocked(p, to, k, 0.14) if shadows else 1.0)
    )
    room = 0.5 + 0.5 * n[:, 1] * 0.4 - 0.25 * n[:, 2]
    return torch.stack([window + 0.18 * room, sun + 0.05 * room, lamp * 0.5 + 0.10 * room], -1)


def _mirror(p: Tensor, r: Tensor, k: Layout, soft: float) -> Tensor:
    """What a mirror at p sees in the direction r, (R, 3 lights)."""
    s = (GLASS - p[:, 2]) / r[:, 2].clamp(min=1e-3)
    x, y = p[:, 0] + s * r[:, 0], p[:, 1] + s * r[:, 1]
    glass = _panes(x, y, k, soft) * (r[:, 2] > 0) * (0.35 + 0.65 * smoothstep(0.1, 0.9, y))
    down = smoothstep(0.16, -0.16, r[:, 1])
    t = p[:, 1] / (-r[:, 1]).clamp(min=0.03)
    on = torch.stack([p[:, 0] + t * r[:, 0], torch.zeros_like(t), p[:, 2] + t * r[:, 2]], -1)
    near = smoothstep(1.2, 0.2, on[:, 2].abs())
    table = sum(k.table) / 3
    room = 0.10 + 0.10 * r[:, 1] + 0.05 * smoothstep(-0.2, -0.9, r[:, 2])
    to = rgb(*LAMP) - p
    bulb = ((r * to).sum(-1) / torch.sqrt((to * to).sum(-1))).clamp(0, 1)
    window = glass * (1 - down) + down * table * (0.12 + 0.5 * near) + room * (1 - down) * (1 - glass)
    sun = down * table * 1.3 * _sun(on, k) * near + 0.05 * room
    lamp = (
        5 * bulb ** (60 / (soft + 0.1))
        + 0.6 * smoothstep(0.90, 0.97, bulb) * 0.2
        + room * 0.7
        + down * table * 0.5 * near
    )
    return torch.stack([window, sun, lamp], -1)


# The plate.


def _march(o: Tensor, d: Tensor, k: Layout, field: Field, near: float, far: float) -> tuple[Tensor, Tensor]:
    """Sphere tracing: distance to the surface and the least of field / distance on the way, (R,)."""
    t, least = torch.full((len(d),), near), torch.full((len(d),), 9.0)
    best, alive = t.clone(), torch.arange(len(d))
    for _ in range(64):
        at = t[alive]
        h = field(o + at[:, None] * d[alive], k)
        closer = h / at < least[alive]
        least[alive], best[alive] = torch.where(closer, h / at, least[alive]), torch.where(closer, at, best[alive])
        t[alive] = at + h * 0.92
        alive = alive[(h.abs() > 1e-4) & (at < far)]
        if not len(alive):
            break
    return best, least


def _normal(p: Tensor, k: Layout, field: Field) -> Tensor:
    """The gradient of a distance field, by four taps."""
    taps = rgb(1, -1, -1), rgb(-1, -1, 1), rgb(-1, 1, -1), rgb(1, 1, 1)
    n = sum((e * field(p + 1e-3 * e, k)[:, None] for e in taps), torch.zeros(()))
    return n / torch.sqrt((n * n).sum(-1, keepdim=True) + 1e-12)


def _shine(
    p: Tensor,
    n: Tensor,
    d: Tensor,
    k: Layout,
    albedo: Tensor,
    gloss: tuple[float, float, float] | None,
    soft: float,
    shadows: bool,
) -> Tensor:
    """Radiance under unit lights, (R, 3 lights, 3 colours): metal of tint `gloss`, else diffuse under a coat."""
    turn = (n * d).sum(-1, keepdim=True)
    seen = _mirror(p, d - 2 * turn * n, k, soft)
    fresnel = (1 - turn[:, 0].abs()).clamp(0, 1) ** 5
    if gloss is not None:
        tint = rgb(*gloss) + fresnel[:, None] * (1 - rgb(*gloss)) * 0.6
        return seen[..., None] * tint[:, None] * 0.9 + 0.04 * _diffuse(p, n, k, False)[..., None] * albedo[:, None]
    coat = (0.04 + 0.5 * fresnel)[:, None]
    return _diffuse(p, n, k, shadows)[..., None] * albedo[:, None] * (1 - coat[..., None]) + (coat * seen)[..., None]


def _table(d: Tensor, k: Layout, pixel: float) -> Tensor:
    """The wooden table, (R, 3, 3): boards, grain, varnish."""
    t = EYE[1] / (-d[:, 1]).clamp(min=0.02)
    p = torch.stack([EYE[0] + t * d[:, 0], torch.zeros_like(t), EYE[2] + t * d[:, 2]], -1)
    x, z = p[:, 0], p[:, 2]
    foot = pixel * t / FOCAL / (-d[:, 1]).clamp(min=0.05)
    board = torch.floor(z / 0.14 + 0.3)
    shift = torch.remainder(torch.sin(board * 12.9 + k.seed) * 437.5, 1.0)
    slow = sample(texture(61, 512, 1.5), (x * 0.5 + shift)[None], (z * 1.4 + shift)[None])[0]
    grain = sample(texture(62, 512, 0.9), (x * 0.55 + shift * 3)[None], (z * 6 + 0.25 * slow)[None])[0] / (
        1 + (foot / 0.004) ** 2
    )
    groove = smoothstep(0.5, 0.485, (torch.remainder(z / 0.14 + 0.3, 1.0) - 0.5).abs())
    tone = (1 + 0.16 * slow + 0.2 * grain + 0.25 * (shift - 0.5)) * (0.55 + 0.45 * groove)
    albedo = rgb(*k.table) * tone.clamp(0.15, 2)[:, None] ** rgb(0.9, 1.05, 1.2)
    n = torch.stack([0.012 * grain, torch.ones_like(x), 0.03 * grain], -1)
    n = n / torch.sqrt((n * n).sum(-1, keepdim=True))
    light = _shine(p, n, d, k, albedo, None, 0.3, True)
    near = torch.ones_like(x)
    for (cx, cz), r in ((k.kettle, 0.1), (k.cup, 0.06 if k.saucer else 0.03)):
        near = near * (0.25 + 0.75 * smoothstep(-0.015, 0.07, _norm(x - cx, z - cz) - r))
    return light * near[:, None, None]


def _plant(x: Tensor, y: Tensor, k: Layout, out: Tensor, glass: Tensor) -> tuple[Tensor, Tensor]:
    """A potted plant on the sill, in front of the glass, for two variants of three."""
    rng = np.random.default_rng([k.seed, 4])
    if rng.random() > 0.67:
        return out, glass
    at, tall = float(rng.choice([0.12, 0.72, 0.88])) * (k.right - k.left) + k.left, float(rng.uniform(0.1, 0.15))
    frond = sample(texture(69, 256, 2.3), (x * 1.3 + 0.37 * k.seed)[None], (y * 1.3)[None])[0]
    leaves = smoothstep(1.3, 0.7, _norm((x - at) / tall, (y - 0.11 - tall) / (1.2 * tall)) - 0.25 * frond)
    clay = (
        smoothstep(0.016, -0.016, (x - at).abs() - 0.055 - 0.15 * (y - 0.06))
        * smoothstep(0.135, 0.11, y)
        * smoothstep(-0.01, 0.015, y)
    )
    for alpha, colour, glow in (
        (leaves, rgb(0.10, 0.17, 0.045), 0.4 + 0.2 * frond),
        (clay, rgb(0.42, 0.17, 0.09), torch.full_like(x, 0.26)),
    ):
        light = torch.stack([glow, 0.5 * glow, 0.3 + 0 * x], -1).clamp(min=0.05)
        out = out + alpha[:, None, None] * (light[..., None] * colour - out)
        glass = glass * (1 - alpha)
    return out, glass


def _wall(u: Tensor, v: Tensor, k: Layout) -> tuple[Tensor, Tensor]:
    """The wall, the window's frame, a curtain, all out of focus: (R, 3, 3) and the share of glass (R,)."""
    depth = (GLASS - EYE[2]) / FOCAL
    x, y = u * depth, EYE[1] + (v - HORIZON) * depth
    soft = 0.035
    glass = _panes(x, y, k, soft)
    frame = smoothstep(-0.075, -0.055, torch.minimum(x - k.left, k.right - x)) * smoothstep(-0.08, -0.055, y)
    rough = 1 + 0.03 * sample(texture(63, 256, 1.5), (x * 0.6)[None], (y * 0.6)[None])[0]
    square = (x - LAMP[0]) ** 2 + (y - LAMP[1]) ** 2 + (GLASS - LAMP[2]) ** 2
    base = rgb(*k.wall) * rough[:, None]
    base = base + frame[:, None] * (rgb(0.62, 0.60, 0.56) - base)
    light = torch.stack([0.24 + 0.12 * frame, 0.03 + 0.04 * frame, 0.9 / square + 0.08], -1)
    out = light[..., None] * base[:, None] * (1 - glass)[:, None, None]
    out, glass = _plant(x, y, k, out, glass)
    for side, at in ((1, k.left), (-1, k.right)):
        into = (x - at) * side
        fold = sample(texture(64, 256, 2.0), (0 * x + 0.4 * side)[None], (y * 0.25)[None])[0]
        hang = smoothstep(0.16, 0.10, into - 0.05 * fold) * smoothstep(-0.22, -0.17, into)
        pleat = (0.62 + 0.22 * sample(texture(65, 256, 1.8), (x * 1.5)[None], (y * 0.05 + 0.3)[None])[0]).clamp(
            0.12, 1.2
        )
        through = smoothstep(-0.03, 0.05, into)
        cloth = torch.stack([0.08 + 0.42 * through, 0.02 + 0.30 * through, 0.7 / square], -1) * pleat[:, None]
        cloth = cloth[..., None] * rgb(0.62, 0.55, 0.44)
        out = out + hang[:, None, None] * (cloth - out)
        glass = glass * (1 - hang)
    return out, glass


def _lit(field: Field, p: Tensor, n: Tensor, d: Tensor, k: Layout) -> tuple[Tensor, Tensor]:
    """Radiance (R, 3 lights, 3 colours) of points of one thing, and which of them are inside the cup, (R,)."""
    speck = sample(texture(66, 256, 1.0), (p[:, 0] * 3)[None], (p[:, 1] * 3 + p[:, 2])[None])[0]
    if field is _burner:
        return _shine(p, n, d, k, torch.full_like(p, 0.025), None, 0.25, False) * 0.6, torch.zeros(len(p))
    if field is _kettle:
        black = smoothstep(0.045 + 0.118 * k.tall, 0.045 + 0.121 * k.tall, p[:, 1]) * (
            _norm(p[:, 0] - k.kettle[0], p[:, 2] - k.kettle[1]) < 0.1
        )
        albedo = rgb(*k.coat) * (1 - black[:, None]) + 0.02
        dark = _shine(p, n, d, k, torch.full_like(p, 0.02), None, 0.12, False)
        light = _shine(p, n + 0.005 * speck[:, None], d, k, albedo, k.coat if k.metal else None, 0.06, False)
        return light + black[:, None, None] * (dark - light), torch.zeros(len(p))
    q = p - rgb(k.cup[0], 0.008, k.cup[1])
    r = _norm(q[:, 0], q[:, 2])
    inward = n[:, 0] * q[:, 0] + n[:, 2] * q[:, 2] < 0
    bowl = ((r < cup_radius(q[:, 1]) - 0.0005) & (q[:, 1] > 0.004) & inward).float()
    light = _shine(p, n, d, k, rgb(*k.china) * (1 + 0.03 * speck)[:, None], None, 0.08, False)
    depth = (0.075 - q[:, 1]).clamp(0, 0.075) / 0.075
    return light * (1 - bowl * 0.75 * depth)[:, None, None], bowl


def _trace(u: Tensor, v: Tensor, k: Layout, pixel: float, field: Field) -> tuple[Tensor, Tensor]:
    """One thing along rays, (R, 12): eleven channels times cover, cover; and which rays see its outline, (R,)."""
    d = torch.stack([u / FOCAL, (v - HORIZON) / FOCAL, torch.ones_like(u)], -1)
    d = d / torch.sqrt((d * d).sum(-1, keepdim=True))
    o = rgb(*EYE)
    t, least = _march(o, d, k, field, 0.8, 1.35)
    out, edge = torch.zeros(len(u), 12), least < 1.2 * pixel / FOCAL
    hit = (least < 0.9 * pixel / FOCAL).nonzero()[:, 0]
    p, d = o + t[hit, None] * d[hit], d[hit]
    n = _normal(p, k, field)
    light, bowl = _lit(field, p, n, d, k)
    light = light * (smoothstep(-0.01, 0.06, p[:, 1]) * 0.5 + 0.5)[:, None, None]
    cover = smoothstep(0.9, 0.1, least[hit] * FOCAL / pixel)[:, None]
    out[hit] = (
        torch.cat([light.flatten(1), torch.zeros(len(hit), 1), bowl[:, None], torch.ones(len(hit), 1)], -1) * cover
    )
    edge[hit] = ((n * d).sum(-1).abs() < 0.2) | (cover[:, 0] < 1)
    return out, edge


def _lay(
    out: Tensor, k: Layout, u: Tensor, v: Tensor, pixel: float, field: Field, box: tuple[float, ...], refine: bool
) -> None:
    """Lay one thing over the plate (R, 11) inside a box of the plane, in place; fine outlines take four rays."""
    inside = ((u > box[0]) & (u < box[1]) & (v > box[2]) & (v < box[3])).nonzero()[:, 0]
    if not len(inside):
        return
    seen, edge = _trace(u[inside], v[inside], k, pixel, field)
    fine, q = inside[edge], pixel / 4
    if refine and len(fine):
        corners = [_trace(u[fine] + x, v[fine] + y, k, pixel / 2, field)[0] for x in (-q, q) for y in (-q, q)]
        seen[edge] = torch.stack(corners).mean(0)
    out[inside] = out[inside] * (1 - seen[:, 11:]) + seen[:, :11]


def _build(u: Tensor, v: Tensor, k: Layout, pixel: float, refine: bool) -> Tensor:
    """Rays of the plate, (R,) -> (R, 11)."""
    d = torch.stack([u / FOCAL, (v - HORIZON) / FOCAL, torch.ones_like(u)], -1)
    d = d / torch.sqrt((d * d).sum(-1, keepdim=True))
    wall, glass = _wall(u, v, k)
    table = _table(d, k, pixel)
    rim = HORIZON - FOCAL * EYE[1] / (EDGE - EYE[2])
    on = smoothstep(rim + 0.012, rim - 0.012, v)
    out = torch.cat(
        [(wall + on[:, None, None] * (table - wall)).flatten(1), (glass * (1 - on))[:, None], torch.zeros(len(u), 1)],
        -1,
    )

    def box(x: float, z: float, wide: float, high: float) -> tuple[float, float, float, float]:
        far = (z - 0.09 - EYE[2]) / FOCAL
        return (
            (x - wide) / far,
            (x + wide) / far,
            HORIZON - (EYE[1] + 0.02) / far,
            HORIZON + (high - EYE[1]) / ((z - EYE[2]) / FOCAL) + 0.05,
        )

    _lay(out, k, u, v, pixel, _burner, box(*k.kettle, 0.17, 0.08), refine)
    _lay(out, k, u, v, pixel, _kettle, box(*k.kettle, 0.20, 0.09 + 0.19 * k.tall), refine)
    _lay(out, k, u, v, pixel, _cup, box(*k.cup, 0.12, 0.12), refine)
    return out


@lru_cache(maxsize=4)
def plate(variant: int, width: int, height: int, device: torch.device) -> Tensor:
    """What three unit lights show, (1, 11, H, W), MARGIN times beyond the frame: RGB under the window's sky,
    the sun and the lamp, the share of glass, the inside of the cup."""
    finer = 2 if height < 240 else 1  # small pictures would alias
    k, pixel = layout(variant), 2 / height / finer
    rows, columns = round(height * MARGIN) * finer, round(width * MARGIN) * finer
    u = ((torch.arange(columns) + 0.5) / columns * 2 - 1) * (width / height) * MARGIN
    v = (1 - (torch.arange(rows) + 0.5) / rows * 2) * MARGIN
    bands = []
    step = max(1, 40_000 // columns)
    for y in range(0, rows, step):
        vv, uu = torch.meshgrid(v[y : y + step], u, indexing="ij")
        bands.append(_build(uu.reshape(-1), vv.reshape(-1), k, pixel, finer == 1).T.reshape(11, -1, columns))
    return F.avg_pool2d(torch.cat(bands, 1)[None], finer).to(device)
