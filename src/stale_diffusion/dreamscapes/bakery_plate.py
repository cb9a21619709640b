"""An oven, its bread and the counter before it as a plate: rays cast once a variant, light kept apart from colour.

A plate keeps the reflectance of what each pixel sees and how much of four lights of unit strength reaches it (the
oven, the window's sky, the sun through it, the lamp); bread in the oven is kept apart, because it browns. A frame adds
the lights up (bakery_picture).

Shapes: R rays, H rows, W columns. World: x right, y up, z away, metres; the oven's floor is y = 0, its face z = 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.bakery_layout import (
    DEEP,
    EYE,
    FOCAL,
    HORIZON,
    MARGIN,
    TABLE,
    Layout,
    Loaf,
    layout,
    rgb,
)
from stale_diffusion.dreamscapes.noise import hash2, sample, smoothstep, texture

CHANNELS = 11  # albedo 3, oven, sky, sun, lamp, bread, crust, inside, glow


class _Rays:
    """Rays of a plate and what they hit so far: distance, normal, reflectance, and marks."""

    def __init__(self, u: Tensor, v: Tensor) -> None:
        d = torch.stack([u / FOCAL, (v - HORIZON) / FOCAL, torch.ones_like(u)], -1)
        self.d = d / d.norm(dim=-1, keepdim=True)
        self.t = torch.full_like(u, 50.0)
        self.normal = torch.zeros_like(d)
        self.albedo = torch.zeros_like(d)
        self.bread, self.crust, self.inside, self.glow = (torch.zeros_like(u) for _ in range(4))

    def at(self, t: Tensor) -> Tensor:
        """Points at distance t, (R, 3)."""
        points: Tensor = rgb(*EYE) + t[:, None] * self.d
        return points

    def take(
        self,
        which: Tensor,
        t: Tensor,
        normal: Tensor,
        albedo: Tensor,
        rows: Tensor | None = None,
        **marks: Tensor | float,
    ) -> None:
        """Where `which` is and nearer than what was hit: values of all rays, or of some of them, `rows` (K,)."""
        before = self.t if rows is None else self.t[rows]
        mine = (which & (t > 1e-3) & (t < before)).nonzero()[:, 0]
        into = mine if rows is None else rows[mine]
        self.t[into], self.normal[into], self.albedo[into] = t[mine], normal[mine], albedo[mine]
        for name in ("bread", "crust", "inside", "glow"):
            value = marks.get(name, 0.0)
            getattr(self, name)[into] = value[mine] if isinstance(value, Tensor) else value


def _noise(seed: int, slope: float, x: Tensor, y: Tensor) -> Tensor:
    """Noise of deviation 1 at points (R,), x and y in tiles."""
    return sample(texture(seed, 512, slope), x[None], y[None])[0]


def _bricks(k: Layout, x: Tensor, y: Tensor) -> Tensor:
    """Brickwork about an arch, (R, 3): running bond, a ring of bricks on edge, soot above the mouth."""
    half, top = k.mouth
    spring = top - half * 0.75
    px, py = x, (y - spring) / 0.75
    r, angle = torch.sqrt(px**2 + py.clamp(min=0) ** 2), torch.atan2(py.clamp(min=0), px)
    out = r - half  # metres outside the mouth
    ring = (out < 0.115) & (out > -0.01) & (y > -0.01)
    row = torch.where(ring, torch.zeros_like(y), torch.floor(y / 0.068))
    along = torch.where(ring, angle * half / 0.072 + (py < 0) * (y - spring) / 0.07, x / 0.215 + 0.5 * (row % 2))
    across = torch.where(ring, out / 0.115, y / 0.068 - row)
    cell, fx = torch.floor(along), along - torch.floor(along)
    wide = torch.where(ring, torch.full_like(x, 0.07), torch.full_like(x, 0.032))
    rough = _noise(75, 1.0, x * 1.9, y * 1.9)
    edge = torch.minimum(torch.minimum(fx, 1 - fx) / wide, torch.minimum(across, 1 - across) / 0.085) + 0.35 * rough
    mortar = smoothstep(1.1, 0.55, edge)
    tone = hash2(cell, row + 31 * ring.float(), k.seed % 53)
    stone = rgb(*k.tone) * (0.62 + 0.75 * tone + 0.16 * rough + 0.1 * _noise(76, 1.6, x, y))[:, None].clamp(min=0.15)
    stone = stone * (1 + 0.25 * (tone - 0.5)[:, None] * rgb(0.4, 0.0, -0.4))
    colour = stone + mortar[:, None] * (rgb(0.33, 0.29, 0.25) * (0.8 + 0.15 * rough)[:, None] - stone)
    ledge = (y < 0.0) & (y > -0.055) & (x.abs() < half + 0.09)
    slab = rgb(0.30, 0.265, 0.225) * (0.85 + 0.16 * rough + 0.9 * smoothstep(-0.018, 0.0, y))[:, None].clamp(min=0.1)
    colour = torch.where(ledge[:, None], slab * (1 - 0.8 * smoothstep(-0.048, -0.055, y))[:, None], colour)
    soot = torch.exp(-(((y - top) / 0.30) ** 2)) * torch.exp(-((x / (0.8 * half)) ** 2)) * (y > 0.1)
    return colour * (1 - 0.72 * soot * (0.85 + 0.2 * rough)).clamp(0.12, 1)[:, None]


def _steel(k: Layout, x: Tensor, y: Tensor) -> Tensor:
    """The face of a deck oven, (R, 3): brushed sheets, seams, black frames, a panel of knobs."""
    half, top = k.mouth
    brushed = _noise(77, 0.7, x * 0.25, y * 9)
    colour = rgb(*k.tone) * (1 + 0.10 * brushed + 0.06 * _noise(76, 1.8, x, y))[:, None]
    for floor in k.decks:
        frame = torch.maximum((x.abs() - half) / 1.0, ((y - floor - top / 2).abs() - top / 2))
        colour = torch.where(((frame > -0.01) & (frame < 0.028))[:, None], rgb(0.03, 0.03, 0.032), colour)
        seam = ((y - floor + 0.075).abs() < 0.0028) | ((x.abs() - half - 0.06).abs() < 0.0022)
        colour = torch.where(seam[:, None], 0.25 * colour, colour)
        for i in range(3):
            kx, ky = x - k.side * (half + 0.15), y - floor - 0.04 - 0.075 * i
            r = torch.sqrt(kx**2 + ky**2)
            knob = rgb(0.04, 0.04, 0.042) * (1 + 2.5 * (ky > 0.004) * (r > 0.015))[:, None]
            colour = torch.where((r < 0.022)[:, None], knob, colour)
    return colour.clamp(min=0.01)


def _loaf(rays: _Rays, b: Loaf, style: int | None, baking: bool) -> None:
    """Intersect a loaf; its crust is floured and slashed in one of three styles; buns are neither."""
    c, s = math.cos(b.turn), math.sin(b.turn)
    axes = rgb(b.long, b.tall, b.wide)
    turn = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]], dtype=torch.float32)
    o = ((rgb(*EYE) - rgb(b.x, b.y + 0.28 * b.tall, b.z)) @ turn.T) / axes
    reach = 1.3 * max(b.long, b.tall, b.wide)
    to = rgb(b.x, b.y, b.z) - rgb(*EYE)
    near = ((rays.d @ to) ** 2 > (to @ to) - reach**2).nonzero()[:, 0]
    if not len(near):
        return
    d = (rays.d[near] @ turn.T) / axes
    a, h, e = (d * d).sum(-1), d @ o, float(o @ o) - 1
    root = h * h - a * e
    near, d, a, h, root = (x[root > 0] for x in (near, d, a, h, root))
    t = (-h - root.sqrt()) / a
    p = o + t[:, None] * d
    x, y, z = p.unbind(-1)
    wrap = 1 + 1.6 * (1 - y)  # so that the pattern does not streak down the sides
    wx, wz = x * wrap, z * wrap
    grain = _noise(78, 1.0, 0.16 * wx + b.seed, 0.16 * wz + 7 * b.seed)
    blotch = _noise(79, 1.7, 0.10 * wx + b.seed, 0.10 * wz + 3 * b.seed)
    crust = 0.13 * grain + 0.20 * blotch + 0.26 * (y - 0.6)
    slash, lip = torch.zeros_like(x), torch.zeros_like(x)
    if style is not None:
        for i in ((0,), (-1, 0, 1), (-1.5, -0.5, 0.5, 1.5))[style]:
            line = z + 0.22 + 0.1 * x if style == 0 else (x - 0.46 * i) * 0.85 + 0.5 * (z + 0.2)
            line, end = line + 0.035 * blotch, (x if style == 0 else z + 0.25).abs()
            here = smoothstep(0.78, 0.55, end) * (y > 0.1)
            slash = torch.maximum(slash, torch.exp(-((line / 0.085) ** 2)) * here)
            lip = torch.maximum(lip, torch.exp(-(((line + 0.11) / 0.04) ** 2)) * here)
        crust = crust - (0.55 + 0.12 * grain) * slash + 0.38 * lip
    bump = 0.16 * grain + 0.5 * lip - 0.3 * slash
    normal = F.normalize((p / axes) @ turn, dim=-1)
    normal = F.normalize(normal + bump[:, None] * rgb(0.35, 0.35, -0.5), dim=-1)
    all_ = torch.ones_like(x, dtype=torch.bool)
    if baking:
        rays.take(all_, t, normal, torch.zeros_like(p), near, bread=1.0, crust=crust, inside=1.0)
        return
    flour = (smoothstep(0.5, 1.6, blotch + 0.5 * grain) * (style is not None) * 0.5)[:, None]
    baked = bake(crust, 0.72 + 0.2 * b.seed)
    rays.take(all_, t, normal, baked + flour * (rgb(0.62, 0.58, 0.5) - baked), near)


_CRUST = ((0.00, (0.66, 0.56, 0.40)), (0.30, (0.58, 0.42, 0.22)), (0.55, (0.42, 0.215, 0.070)),
          (0.80, (0.245, 0.098, 0.028)), (1.10, (0.085, 0.034, 0.014)))  # fmt: skip


def bake(crust: Tensor, done: Tensor | float) -> Tensor:
    """The colour of crust, (..., 3): dough, golden, brown, dark as it is done; (Purlis 2010 measures the same path)."""
    s = (done + 0.55 * crust * smoothstep(0.02, 0.5, torch.as_tensor(done))).clamp(0, 1.1)
    planes = torch.stack([torch.full_like(s, channel) for channel in _CRUST[0][1]])
    for (a, before), (b, after) in pairwise(_CRUST):
        share = ((s - a) / (b - a)).clamp(0, 1)
        for plane, low, high in zip(planes, before, after, strict=True):
            plane += (high - low) * share
    return planes.movedim(0, -1)


def _oven(rays: _Rays, k: Layout) -> None:
    """The oven's face with its mouths, and what is inside: floor, walls, vault, embers."""
    d, half, top = rays.d, k.mouth[0], k.mouth[1]
    face = -EYE[2] / d[:, 2].clamp(min=1e-4)
    p = rays.at(face)
    x, y = p[:, 0], p[:, 1]
    if k.brick:
        spring = top - half * 0.75
        open_ = (torch.sqrt(x**2 + ((y - spring) / 0.75).clamp(min=0) ** 2) < half) & (y > 0)
        colour = _bricks(k, x, y)
    else:
        open_ = torch.zeros_like(x, dtype=torch.bool)
        for floor in k.decks:
            open_ = open_ | ((x.abs() < half) & (y > floor) & (y < floor + top))
        colour = _steel(k, x, y)
    out = rgb(0.0, 0.0, -1.0).expand_as(d)
    rough = 0.22 * _noise(75, 1.0, x * 1.9, y * 1.9) * (1.0 if k.brick else 0.05)
    bumpy = F.normalize(out + torch.stack([rough, rough.roll(7), torch.zeros_like(rough)], -1), dim=-1)
    rays.take(~open_, face, bumpy, colour)
    for floor in k.decks:
        mine = open_ & (y > floor - 1e-3) & (y < floor + top + 1e-3)
        _chamber(rays, k, floor, mine)


def _chamber(rays: _Rays, k: Layout, floor: float, mine: Tensor) -> None:
    """The inside of an oven behind the rays `mine` that go in."""
    d, half, top = rays.d, k.mouth[0], k.mouth[1]
    one = torch.ones_like(rays.t)
    down = (floor - EYE[1]) / torch.where(d[:, 1].abs() < 1e-5, one * -1e-5, d[:, 1])
    p = rays.at(down)
    stone = rgb(0.24, 0.19, 0.15) if k.brick else rgb(0.22, 0.20, 0.18)
    grain = 1 + 0.22 * _noise(75, 1.1, p[:, 0], p[:, 2]) + 0.16 * _noise(76, 1.6, p[:, 0] * 0.6, p[:, 2] * 0.6)
    ash = torch.zeros_like(grain)
    if k.brick:
        ash = torch.exp(-(((p[:, 0] + k.side * 0.36) / 0.19) ** 2) - ((p[:, 2] - 0.78) / 0.22) ** 2)
    ember = ash * (0.6 + 0.6 * _noise(80, 0.9, p[:, 0] * 2.5, p[:, 2] * 2.5)).clamp(0, 2)
    tint = stone * grain.clamp(min=0.3)[:, None]
    rays.take(mine & (p[:, 2] < DEEP), down, rgb(0, 1, 0).expand_as(d), tint, inside=1.0, glow=ember)
    back = (DEEP - EYE[2]) / d[:, 2].clamp(min=1e-4)
    q = rays.at(back)
    wall = (rgb(*k.tone) * 0.62 if k.brick else rgb(0.25, 0.23, 0.21)) * (
        1 + 0.3 * _noise(76, 1.3, q[:, 0] * 1.2, q[:, 1] * 1.2)
    )[:, None].clamp(min=0.2)
    rays.take(mine, back, rgb(0, 0, -1).expand_as(d), wall, inside=1.0)
    if not k.brick:
        up = (floor + top + 0.015 - EYE[1]) / torch.where(d[:, 1].abs() < 1e-5, one * 1e-5, d[:, 1])
        rays.take(
            mine & (rays.at(up)[:, 2] > 0),
            up,
            rgb(0, -1, 0).expand_as(d),
            rgb(0.20, 0.185, 0.17).expand_as(d),
            inside=1.0,
        )
        side = torch.where(d[:, 0] > 0, half + 0.05, -half - 0.05) / torch.where(
            d[:, 0].abs() < 1e-5, one * 1e-5, d[:, 0]
        )
        normal = torch.stack([-d[:, 0].sign(), 0 * one, 0 * one], -1)
        tint = rgb(0.21, 0.195, 0.18).expand_as(d)
        rays.take(mine & (rays.at(side)[:, 2] > 0), side, normal, tint, inside=1.0)
        return
    a, b, centre = half + 0.17, top + 0.10, 0.02  # the vault: an elliptic barrel along z
    dx, dy, oy = d[:, 0] / a, d[:, 1] / b, (EYE[1] - centre) / b
    qa, qb, qc = dx**2 + dy**2, dy * oy, oy**2 - 1
    t = (-qb + (qb**2 - qa * qc).clamp(min=0).sqrt()) / qa.clamp(min=1e-9)
    p = rays.at(t)
    n = F.normalize(torch.stack([-p[:, 0] / a**2, -(p[:, 1] - centre) / b**2, 0 * one], -1), dim=-1)
    around = torch.atan2(p[:, 1] / b, p[:, 0] / a)
    joint = smoothstep(0.10, 0.03, (torch.frac(around * 7) - 0.5).abs()) + smoothstep(
        0.06, 0.02, (torch.frac(p[:, 2] * 5) - 0.5).abs()
    )
    shade = (0.70 + 0.25 * _noise(76, 1.3, around, p[:, 2])) * (1 - 0.4 * joint.clamp(0, 1))
    rays.take(mine & (p[:, 2] > 0), t, n, rgb(*k.tone) * 0.75 * shade.clamp(min=0.15)[:, None], inside=1.0)


def _counter(rays: _Rays, k: Layout) -> None:
    """The wooden counter with flour on it."""
    d = rays.d
    t = (TABLE - EYE[1]) / torch.where(d[:, 1].abs() < 1e-5, torch.full_like(rays.t, -1e-5), d[:, 1])
    p = rays.at(t)
    x, z = p[:, 0], p[:, 2]
    plank = torch.floor(z / 0.145 + 40)
    offset = hash2(plank, plank * 0 + 3, k.seed % 41)
    grain = _noise(81, 1.2, x * 0.35 + offset, z * 4.2) + 0.6 * _noise(82, 0.8, x * 0.9 + offset, z * 9)
    colour = rgb(*k.wood) * (0.82 + 0.28 * offset + 0.13 * grain)[:, None].clamp(min=0.25)
    gap = smoothstep(0.485, 0.496, (torch.frac(z / 0.145 + 40) - 0.5).abs())
    colour = colour * (1 - 0.75 * gap)[:, None]
    drift = _noise(83, 1.5, x * 0.45 + 0.2, z * 0.45) + 0.35 * _noise(75, 0.8, x * 1.8, z * 1.8)
    flour = smoothstep(
        0.55, 2.1, drift + 1.3 * torch.exp(-(((x + 0.1 * k.side) / 0.45) ** 2) - ((z + 0.75) / 0.2) ** 2)
    )
    colour = colour + (0.85 * flour)[:, None] * (rgb(0.66, 0.64, 0.60) - colour)
    rays.take((z < -0.10) & (z > -1.9), t, rgb(0, 1, 0).expand_as(d), colour)


def _shelf(rays: _Rays, k: Layout) -> None:
    """The lamp's shade, where it is seen."""
    if not k.shade:
        return
    lx, ly, lz = k.lamp
    t = (lz - EYE[2]) / rays.d[:, 2]
    p = rays.at(t)
    x, y = p[:, 0] - lx, p[:, 1] - ly
    width = 0.045 + 0.11 * ((0.10 - y) / 0.10).clamp(0, 1) ** 0.7
    inside = (y > 0) & (y < 0.12) & (x.abs() < width)
    cord = (y >= 0.12) & (x.abs() < 0.004)
    round_ = (x / width).clamp(-1, 1)
    n = F.normalize(torch.stack([round_, 0.35 + 0 * x, -(1 - round_**2).clamp(min=0).sqrt()], -1), dim=-1)
    rays.take(
        inside, t, n, (rgb(0.55, 0.26, 0.15) * (0.7 + 0.5 * torch.exp(-((round_ + 0.4 * k.side) ** 2) * 9))[:, None])
    )
    rays.take(cord, t, n, rgb(0.03, 0.03, 0.03).expand_as(rays.d))
    bulb = torch.sqrt(x**2 + (y + 0.004) ** 2)
    rays.take(bulb < 0.032, t - 0.01, n, rgb(0.8, 0.8, 0.8).expand_as(rays.d), glow=-4.0)


def _shadow(p: Tensor, light: Tensor, loaves: tuple[Loaf, ...], soft: float) -> Tensor:
    """Light that comes past the loaves from a point, (R,)."""
    to = light - p
    far = to.norm(dim=-1)
    d = to / far[:, None]
    out = torch.ones(len(p))
    for b in loaves:
        c = rgb(b.x, b.y + 0.45 * b.tall, b.z) - p
        s = (c * d).sum(-1).clamp(min=0)
        flat = (c - s[:, None] * d) / rgb(0.5 * (b.long + b.wide), b.tall, 0.5 * (b.long + b.wide))
        gap = flat.norm(dim=-1) - 0.92
        own = (s > 0.5 * b.tall) & (s < far)
        out = out * torch.where(own, smoothstep(-0.25, 0.25 + soft * 3, gap), torch.ones(()))
    return out


def _hollow(p: Tensor, n: Tensor, loaves: tuple[Loaf, ...]) -> Tensor:
    """How open points are to the light of all around, past the loaves, (R,)."""
    out = torch.ones(len(p))
    for b in loaves:
        c = rgb(b.x, b.y + 0.4 * b.tall, b.z) - p
        far = c.norm(dim=-1).clamp(min=0.3 * b.tall)
        size = 0.8 * math.sqrt(b.tall * max(b.long, b.wide))
        out = out * (1 - 0.75 * ((n * c).sum(-1) / far).clamp(0, 1) * (size / far).clamp(max=1) ** 2)
    return out


def _panes(k: Layout, p: Tensor) -> Tensor:
    """The sun through the window's panes at points, (R,)."""
    to = rgb(*k.sun)
    s = (1.9 * k.side - p[:, 0]) / to[0]
    y, z = p[:, 1] + s * to[1], p[:, 2] + s * to[2]
    across, up = (
        smoothstep(-2.35, -2.28, z) * smoothstep(-1.05, -1.12, z),
        smoothstep(0.75, 0.82, y) * smoothstep(2.1, 2.03, y),
    )
    bars = smoothstep(0.018, 0.045, (z + 1.7).abs()) * smoothstep(0.018, 0.045, (y - 1.42).abs())
    return across * up * bars


def _lights(rays: _Rays, k: Layout) -> Tensor:
    """What reaches each point of the oven, the sky, the sun and the lamp, (R, 4)."""
    p, n = rays.at(rays.t), rays.normal
    out = torch.zeros(len(p), 4)
    outside = (rays.inside < 0.5).nonzero()[:, 0]
    q, m = p[outside], n[outside]
    free = torch.ones(len(q))
    front = (q[:, 2] < -0.04).nonzero()[:, 0]  # the counter and what lies on it: shadows fall there
    half, top = k.mouth
    oven = torch.zeros(len(q))
    for floor in k.decks:
        for i in (-0.55, 0.55):
            spot = rgb(i * half, floor + 0.45 * top, -0.01)
            to = spot - q
            square = (to * to).sum(-1).clamp(min=4e-3)
            cosine = ((m * to).sum(-1) / square.sqrt() * 0.85 + 0.15).clamp(min=0)
            leaving = ((-q[:, 2] + 0.03) / square.sqrt()).clamp(0, 1)
            free[front] = _shadow(q[front], spot, k.resting, 0.12)
            oven = oven + free * cosine * leaving / square * (2 * half * top / 2) / math.pi
    bevel = torch.sqrt(q[:, 0] ** 2 + (q[:, 1] - 0.2) ** 2)
    oven = oven + 0.06 * torch.exp(-bevel / 0.5) * (q[:, 2].abs() < 0.02) + 0.012
    window = rgb(1.9 * k.side, 1.35, -1.7)
    to = window - q
    square = (to * to).sum(-1)
    sky = ((m * to).sum(-1) / square.sqrt() * 0.8 + 0.2).clamp(min=0) * 1.7 / square / math.pi
    free[front] = _shadow(q[front], window, k.resting, 0.35)
    sky = sky * free + 0.045 * (1 + 0.5 * m[:, 1] - 0.3 * m[:, 2])
    sunny = _panes(k, q) * (m @ rgb(*k.sun)).clamp(min=0)
    struck = (sunny > 0).nonzero()[:, 0]
    sunny[struck] *= _shadow(q[struck], q[struck] + 3 * rgb(*k.sun), k.resting, 0.02)
    bulb = rgb(*k.lamp) - rgb(0, 0.05, 0)
    to = bulb - q
    square = (to * to).sum(-1).clamp(min=0.01)
    lamp = ((m * to).sum(-1) / square.sqrt() * 0.9 + 0.1).clamp(min=0) / square * 0.30
    shade = smoothstep(-0.15, 0.25, to[:, 1] / square.sqrt())
    free[front] = _shadow(q[front], bulb, k.resting, 0.10)
    lamp = lamp * free * (0.25 + 0.75 * shade) + 0.055 * (1 - 0.35 * m[:, 2])
    near = torch.ones(len(q))
    near[front] = _hollow(q[front], m[front], k.resting)
    out[outside] = torch.stack([oven, sky, sunny + 0.02, lamp], -1) * near[:, None]
    within = (rays.inside > 0.5).nonzero()[:, 0]
    out[within] = _within(k, p[within], n[within])
    return out


def _within(k: Layout, p: Tensor, n: Tensor) -> Tensor:
    """Light inside an oven, (R, 4): embers at the back corner and the hot vault; or the lamp and the elements."""
    half, top = k.mouth
    floor = torch.zeros(len(p))
    for f in k.decks:
        floor = torch.where(p[:, 1] > f - 0.05, torch.full_like(floor, f), floor)
    if k.brick:
        source = rgb(-k.side * 0.36, 0.10, 0.78).expand_as(p)
        strength, base = 0.30, 0.22
    else:
        source = torch.stack(
            [torch.full_like(floor, -k.side * 0.8 * half), floor + 0.8 * top, torch.full_like(floor, 0.35)], -1
        )
        strength, base = 0.13, 0.36
    to = source - p
    square = (to * to).sum(-1).clamp(min=0.008)
    direct = ((n * to).sum(-1) / square.sqrt() * 0.8 + 0.2).clamp(min=0) * strength / square
    direct = 2.2 * direct / (direct + 2.2)
    hollow = _hollow(p, n, k.baking)
    past = _shadow(p, source, k.baking, 0.12) if k.brick else torch.ones(len(p))
    oven = (direct * (0.3 + 0.7 * past) + base * (0.75 + 0.25 * n[:, 1])) * hollow
    front = torch.exp(-p[:, 2].clamp(min=0) / 0.22)
    day = 0.10 * front * (0.4 - 0.6 * n[:, 2]).clamp(min=0)
    return torch.stack([oven, day, 0 * day, 0.8 * day], -1)


@lru_cache(maxsize=3)
def plate(variant: int, width: int, height: int, device: torch.device) -> Tensor:
    """The still picture, (1, CHANNELS, H, W), MARGIN times as wide and high as the frame; each texel four rays."""
    k = layout(variant)
    columns, rows = round(width * MARGIN) * 2, round(height * MARGIN) * 2
    reach = (width / height * MARGIN, MARGIN)
    u = ((torch.arange(columns) + 0.5) / columns * 2 - 1) * reach[0]
    style = None if k.sweet else k.seed // 10 % 3
    bands = []
    for top in range(0, rows, 120):
        v = (1 - (torch.arange(top, min(top + 120, rows)) + 0.5) / rows * 2) * reach[1]
        rays = _Rays(*(g.reshape(-1) for g in torch.meshgrid(v, u, indexing="ij")[::-1]))
        _oven(rays, k)
        _counter(rays, k)
        for b in k.baking:
            _loaf(rays, b, style, True)
        for b in k.resting:
            _loaf(rays, b, style, False)
        _shelf(rays, k)
        marks = torch.stack([rays.bread, rays.crust, rays.inside, rays.glow], -1)
        channels = torch.cat([rays.albedo, _lights(rays, k), marks], -1)
        bands.append(F.avg_pool2d(channels.T.reshape(1, CHANNELS, len(v), columns), 2))
    return torch.cat(bands, 2).to(device)
