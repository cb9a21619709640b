"""The wood about a forest stream: trunks, leaves and ferns, painted once for a variant into buffers of a picture.

Units are metres; x to the right, y up, z ahead. Shapes: H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture

Array = NDArray[np.float64]


def is_conifer(variant: int) -> bool:
    """Whether the forest of a variant is of conifers (else of broad-leaved trees): the highest bit says so."""
    return variant >= 32768


def mix(a: Tensor, b: Tensor | tuple[float, float, float], m: Tensor) -> Tensor:
    """From a to b, colours (3, H, W), as m (H, W) goes from 0 to 1."""
    if not isinstance(b, Tensor):
        b = torch.tensor(b)[:, None, None]
    return a + (b - a) * m


@dataclass(frozen=True)
class Ground:
    """The stream of a variant as functions of x and z."""

    rng: np.random.Generator
    bends: Array
    width: float
    stones: Array  # (K, 6): x, z, radius, height, turn, stretch
    steps: Array  # where the water falls
    falls: Array

    def middle(self, z: Tensor) -> Tensor:
        """x of the middle of the stream."""
        a, b, c, d = self.bends.tolist()
        out: Tensor = (a * torch.sin(0.33 * z + b) + c * torch.sin(0.12 * z + d)) * (z / 7).clamp(max=1)
        return out

    def half(self, z: Tensor) -> Tensor:
        """Half the width of the stream."""
        out: Tensor = self.width * (
            1 + 0.22 * torch.sin(0.75 * z + self.bends[1]) + 0.1 * torch.sin(1.9 * z + self.bends[3])
        )
        return out

    def level(self, x: Tensor, z: Tensor) -> Tensor:
        """Height of the water."""
        out: Tensor = 0.012 * z
        wobble = 0.25 * torch.sin(1.3 * x + self.bends[1]) + 0.12 * torch.sin(3.7 * x + self.bends[3])
        for at, fall in zip(self.steps.tolist(), self.falls.tolist(), strict=True):
            out = out + fall * smoothstep(-0.13, 0.13, z - at - wobble)
        return out


def ground_of(variant: int) -> Ground:
    """The stream of a variant."""
    rng = np.random.default_rng([variant, 51])
    bends = np.array([rng.uniform(0.2, 0.9), rng.uniform(0, 6.28), rng.uniform(0.3, 1.6), rng.uniform(0, 6.28)])
    width = float(rng.uniform(0.75, 1.5))
    steps = np.sort(np.exp(rng.uniform(np.log(2.6), np.log(16), rng.integers(2, 6))))
    falls = rng.uniform(0.04, 0.2, len(steps))
    ground = Ground(rng, bends, width, np.zeros((0, 6)), steps, falls)
    n = int(rng.integers(60, 120))
    z = np.exp(rng.uniform(np.log(1.7), np.log(24), n))
    at_edge = rng.random(n) < 0.55
    tz = torch.tensor(z, dtype=torch.float32)
    middle, half = ground.middle(tz).numpy(), ground.half(tz).numpy()
    side = rng.choice((-1, 1), n)
    x = middle + np.where(at_edge, side * (half + rng.normal(0.05, 0.3, n)), rng.uniform(-1, 1, n) * half * 0.95)
    radius = np.clip(0.13 * rng.random(n) ** -0.55, 0, 0.75) * np.where(at_edge, 1.15, 0.8) * np.clip(z / 3.2, 0.55, 1)
    stones = np.stack(
        [x, z, radius, radius * rng.uniform(0.5, 0.95, n), rng.uniform(0, 3.14, n), rng.uniform(0.65, 1, n)], -1
    )
    return Ground(rng, bends, width, stones, steps, falls)


@lru_cache(maxsize=4)
def _leaves(conifer: bool) -> Tensor:
    """A tile of leaves or needles, (1, 2, 514, 514): how much of it is leaf, and its shade."""
    rng = np.random.default_rng(71 + conifer)
    size, scale = 512, 2
    shade, alpha = (Image.new("L", (size * scale, size * scale), 0) for _ in range(2))
    draw, mask = ImageDraw.Draw(shade), ImageDraw.Draw(alpha)
    full = size * scale
    for _ in range(1000 if conifer else 760):
        x, y, angle, tone = rng.uniform(0, full), rng.uniform(0, full), rng.uniform(0, 6.28), rng.uniform(60, 255)
        long = rng.uniform(42, 84) if not conifer else rng.uniform(60, 130)
        c, s = np.cos(angle), np.sin(angle)
        if conifer:
            spine = np.linspace(0, 1, 22)[:, None] * np.array([c, s]) * long
            shapes = [
                np.array([p, p + 15 * np.array([np.cos(angle + k), np.sin(angle + k)]), p + 2.5])
                for p in spine
                for k in (-0.9, 0.9)
            ]
        else:
            p = np.linspace(0, 2 * np.pi, 14)
            u, v = 0.5 - 0.5 * np.cos(p), 0.30 * np.sin(p) * (1.2 - 0.35 * np.cos(p))
            shapes = [np.stack([u * c - v * s, u * s + v * c], -1) * long]
        for ox in (-full, 0, full):
            for oy in (-full, 0, full):
                if not (-140 < x + ox < full + 140 and -140 < y + oy < full + 140):
                    continue
                for i, shape in enumerate(shapes):
                    points = [(float(a) + x + ox, float(b) + y + oy) for a, b in shape]
                    draw.polygon(points, fill=int(tone * (0.85 + 0.15 * (i % 2))))
                    mask.polygon(points, fill=255)
    tile = np.stack(
        [np.asarray(i.resize((size, size), Image.Resampling.BOX), np.float32) / 255 for i in (alpha, shade)]
    )
    return F.pad(torch.from_numpy(tile)[None], (1, 1, 1, 1), mode="circular")


def _foliage(tile: Tensor, u: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Cover and shade of a tile of leaves at `scale` units a tile."""
    u, v = u.expand(len(v), -1), v.expand(-1, u.shape[1])
    return sample(tile[:, :1], u / scale, v / scale), sample(tile[:, 1:], u / scale, v / scale)


@dataclass
class Canvas:
    """The buffers while they are painted, (…, H, W)."""

    u: Tensor
    v: Tensor
    ambient: Tensor
    lit: Tensor
    lean: Tensor
    loose: Tensor
    gap: Tensor
    depth: Tensor
    x: Tensor
    y: Tensor

    @classmethod
    def empty(cls, u: Tensor, v: Tensor, focal: float) -> Canvas:
        """Open sky."""
        h, w = len(v), u.shape[1]
        far = (u / focal * 60 + 0 * v, v / focal * 60 + 0 * u)
        dark = (torch.zeros(3, h, w), torch.zeros(3, h, w), torch.zeros(h, w), torch.zeros(h, w))
        return cls(u, v, *dark, torch.ones(h, w), torch.full((h, w), 99.0), *far)

    def over(self, ground: dict[str, Tensor]) -> None:
        """Lay the ground over what is farther."""
        m = ground["found"] & (ground["depth"] < self.depth)
        self.gap *= ~m
        for name in ("ambient", "lit", "lean", "loose", "depth", "x", "y"):
            setattr(self, name, torch.where(m, ground[name], getattr(self, name)))

    def part(self, u: tuple[float, float], v: tuple[float, float]) -> Canvas | None:
        """The part between two u and two v, sharing memory; none where it is empty."""
        cols = ((self.u[0] >= u[0]) & (self.u[0] <= u[1])).nonzero()
        rows = ((self.v[:, 0] >= v[0]) & (self.v[:, 0] <= v[1])).nonzero()
        if not len(cols) or not len(rows):
            return None
        c, r = slice(int(cols[0]), int(cols[-1]) + 1), slice(int(rows[0]), int(rows[-1]) + 1)
        rest = (
            a[..., r, c] for a in (self.ambient, self.lit, self.lean, self.loose, self.gap, self.depth, self.x, self.y)
        )
        return Canvas(self.u[:, c], self.v[r], *rest)

    def paint(
        self,
        where: Tensor,
        ambient: Tensor,
        lit: Tensor,
        depth: float,
        focal: float,
        loose: float,
        lean: Tensor | float = 0,
    ) -> None:
        """Lay something at a depth over what is farther, `where` (H, W) in [0, 1]."""
        m = where * (self.depth > depth)
        self.ambient += (ambient - self.ambient) * m
        self.lit += (lit - self.lit) * m
        self.lean += (lean - self.lean) * m
        self.loose += (loose - self.loose) * m
        self.gap *= 1 - m
        hard = m > 0.5
        self.depth.masked_fill_(hard, depth)
        self.x += (self.u / focal * depth - self.x) * m
        self.y += (self.v / focal * depth - self.y) * m


def _soft(a: Tensor, radius: float) -> Tensor:
    """Out of focus: box filters on a coarser grid where that is enough, radius in pixels, (H, W)."""
    if radius < 0.5:
        return a
    step = max(1, int(radius / 2))
    small = F.avg_pool2d(a[None, None], step, ceil_mode=True, count_include_pad=False) if step > 1 else a[None, None]
    k = 2 * round(radius / step) + 1
    for size, pad in (((1, k), (k // 2, k // 2, 0, 0)), ((k, 1), (0, 0, k // 2, k // 2))) * 2:
        small = F.avg_pool2d(F.pad(small, pad, mode="replicate"), size, 1)
    return F.interpolate(small, a.shape, mode="bilinear", align_corners=False)[0, 0] if step > 1 else small[0, 0]


def _green(shade: Tensor, conifer: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Colours of leaves: seen by the light of the sky, and with the sun behind them, (3, H, W)."""
    base = np.array([0.034, 0.060, 0.025]) if conifer else np.array([0.058, 0.090, 0.027])
    glow = np.array([0.040, 0.072, 0.022]) if conifer else np.array([0.10, 0.155, 0.032])
    base = base * rng.uniform(0.8, 1.25, 3)
    tones, clear = (0.35 + 1.1 * shade)[None], (0.1 + 1.5 * shade * shade)[None]
    return (
        torch.tensor(base, dtype=torch.float32)[:, None, None] * tones,
        torch.tensor(glow, dtype=torch.float32)[:, None, None] * clear,
    )


def _trunk(c: Canvas, conifer: bool, z: float, cu: float, ru: float, lean: float, foot: float, focal: float) -> None:
    """A trunk of half width ru that stands at cu, foot, mossy below."""
    centre = cu + lean * (c.v - foot) + 0.15 * ru * torch.sin(3 * c.v + z)
    flare = 1 + 0.7 * torch.exp(-(c.v - foot).clamp(min=0) / (2.2 * ru)) - 0.1 * (c.v - foot).clamp(0, 2)
    q = (c.u - centre) / (ru * flare)
    where = smoothstep(1.06, 0.94, q.abs()) * smoothstep(-0.3 * ru, 0.3 * ru, c.v - foot)
    bark = sample(texture(67, 512, 0.9, 6.0), torch.asin(q.clamp(-1, 1)) * 0.12 + z, c.v / ru * 0.016 + z)
    tone = (1 + 0.4 * bark).clamp(0.2, 2) * (0.35 + 0.65 * (1 - q * q).clamp(min=0.04) ** 0.5)
    wood = torch.tensor((0.085, 0.055, 0.038) if conifer else (0.095, 0.082, 0.062))[:, None, None]
    green = smoothstep(0.9, -0.4, (c.v - foot) / (6 * ru) + 0.5 * bark - 0.35 * q)
    colour = mix(wood.expand_as(c.ambient), (0.07, 0.105, 0.02), 0.8 * green) * tone
    c.paint(where, colour, 0.6 * colour, z, focal, 0.03, 0.9 * q.clamp(-1, 1))


def wood(c: Canvas, variant: int, focal: float, eye: float, horizon: float) -> None:
    """Backdrop, trunks from far to near, and leaves between them, painted in place."""
    conifer, ground = is_conifer(variant), ground_of(variant)
    rng = np.random.default_rng([variant, 52])
    tile = _leaves(conifer)
    high = ((c.v - horizon) / (1.1 - horizon)).clamp(0, 1)
    wide, tall = (0.09, 0.34) if conifer else (0.13, 0.15)  # spruce boughs lie in storeys
    clump = sample(texture(66, 512, 1.4), c.u * wide + rng.random(), c.v * tall + rng.random())
    for depth, scale, dense in ((60.0, 0.13, 0.35), (38.0, 0.17, 0.1), (22.0, 0.24, -0.25)):
        cover, shade = _foliage(tile, c.u + rng.random(), c.v + rng.random(), scale)
        here = smoothstep(
            -0.5,
            0.4,
            clump * (1 if depth > 30 else -1) + dense + 0.9 * (cover - 0.5) - (0.5 if depth > 50 else 0) * (high - 0.4),
        )
        holes = sample(texture(68, 512, 1.3, 5.0), c.u * 0.22 + 0.013 * depth, c.v * 0.22 + rng.random())
        here = here * (1 - smoothstep(0.5, 1.1, holes + 0.9 * high))
        blur = 0.009 * (1 - 12 / depth) / float(c.u[0, 1] - c.u[0, 0])
        ambient, lit = _green(_soft(shade * cover, blur), conifer, rng)
        c.paint(_soft(here, blur), ambient, lit, depth, focal, 8 / depth)
    n = int(rng.integers(16, 34))
    for z in np.sort(np.exp(rng.uniform(np.log(5.0), np.log(45), n)))[::-1].tolist():
        tz = torch.tensor(z)
        edge = float(ground.half(tz)) + 0.7
        x = float(ground.middle(tz)) + float(rng.choice((-1, 1))) * (edge + float(rng.exponential(0.22 * z + 0.5)))
        r = float(rng.uniform(0.10, 0.30)) * (0.7 if conifer else 1.0)
        lean, cu, ru = float(rng.normal(0, 0.03)), x / z * focal, r / z * focal
        foot = horizon + (float(ground.level(torch.tensor(x), tz)) + 0.25 - eye) / z * focal
        near = 1.8 * ru + abs(lean) * 2 + 0.01
        part = c.part((cu - near, cu + near), (foot - ru, 2.0))
        if part is not None:
            _trunk(part, conifer, z, cu, ru, lean, foot, focal)
    cover, shade = _foliage(tile, c.u + rng.random(), c.v + rng.random(), 0.34)
    bough = sample(texture(66, 512, 1.4), c.u * wide + rng.random(), c.v * tall + rng.random())
    here = smoothstep(0.3, 0.7, cover) * smoothstep(-0.15, 0.1, bough - 1.0 + 1.9 * high)
    ambient, lit = _green(shade, conifer, rng)
    c.paint(here, 0.7 * ambient, lit, 9.0, focal, 0.6)


def boughs(c: Canvas, variant: int, focal: float) -> None:
    """Twigs that hang into the picture from above, a little out of focus, drawn leaf by leaf."""
    rng, conifer = np.random.default_rng([variant, 54]), is_conifer(variant)
    step, corner = float(c.u[0, 1] - c.u[0, 0]), np.array([float(c.u[0, 0]), float(c.v[0, 0])])
    sides = rng.normal(rng.choice((-1.3, 1.3)), 0.5, 40)
    for z in (4.6, 3.4, 2.5):
        shade, alpha = (Image.new("L", (c.u.shape[1], len(c.v)), 0) for _ in range(2))
        pens = ImageDraw.Draw(shade), ImageDraw.Draw(alpha)
        for _ in range(int(rng.integers(3, 10))):
            start = np.array([rng.choice(sides), 1.12 - 0.25 * rng.random() ** 2])
            for points, tone in _twig(rng, conifer):
                on = ((points * focal / z + start - corner) / step * [1, -1]).tolist()
                for pen, fill in zip(pens, (tone, 255), strict=True):
                    pen.polygon([tuple(p) for p in on], fill=fill)
        blur = 0.0035 * (4.6 / z) ** 2 / step / 2
        where, shades = (_soft(torch.from_numpy(np.asarray(i, np.float32) / 255), blur) for i in (alpha, shade))
        ambient, lit = _green(shades / where.clamp(min=0.05), conifer, rng)
        c.paint(where, 0.75 * ambient, lit, z, focal, 4 / z)


def _twig(rng: np.random.Generator, conifer: bool) -> list[tuple[Array, int]]:
    """The leaves of a twig from where it begins at 0, metres, each with its shade."""
    angle, long, tone = rng.normal(0, 0.8), rng.uniform(0.35, 0.9), rng.uniform(70, 190)
    nodes = int(long * (60 if conifer else 22))
    s = np.linspace(0, 1, nodes)
    spine = long * np.stack([s * np.sin(angle), -s * np.cos(angle) - 0.3 * s**2], -1)
    along = np.gradient(spine, axis=0)
    along /= np.linalg.norm(along, axis=1)[:, None]
    p = np.linspace(0, 2 * np.pi, 9)[:-1]
    outline = np.stack([0.5 - 0.5 * np.cos(p), (0.10 if conifer else 0.27) * np.sin(p) * (1.2 - 0.4 * np.cos(p))], -1)
    leaves = []
    for k in range(1, nodes):
        for side in (-1, 1):
            turn = np.arctan2(along[k, 1], along[k, 0]) + side * rng.uniform(0.5, 1.1)
            size = (0.10 * (1.1 - s[k]) if conifer else 0.085) * rng.uniform(0.7, 1.2)
            c, d = np.cos(turn), np.sin(turn)
            shape = size * outline @ np.array([[c, d], [-d, c]]) * [1, rng.uniform(0.5, 1)] + spine[k]
            leaves.append((shape, int(np.clip(tone * rng.uniform(0.6, 1.5), 20, 255))))
    return leaves


def ferns(c: Canvas, variant: int, focal: float, eye: float, horizon: float) -> None:
    """Ferns on the banks, drawn leaf by leaf."""
    rng, ground = np.random.default_rng([variant, 53]), ground_of(variant)
    step = float(c.u[0, 1] - c.u[0, 0])
    for z in np.sort(np.exp(rng.uniform(np.log(1.9), np.log(9), int(rng.integers(10, 26)))))[::-1].tolist():
        tz = torch.tensor(z)
        x = float(ground.middle(tz)) + float(rng.choice((-1, 1))) * (
            float(ground.half(tz)) + 0.25 + float(rng.exponential(0.7))
        )
        root = np.array([x, float(ground.level(torch.tensor(x), tz)) + 0.12])
        at = root * focal / z + np.array([0, horizon - eye * focal / z])
        part = c.part(
            (at[0] - 0.75 * focal / z, at[0] + 0.75 * focal / z), (at[1] - 0.4 * focal / z, at[1] + 0.7 * focal / z)
        )
        if part is None:
            continue
        corner = np.array([float(part.u[0, 0]), float(part.v[0, 0])])
        shade, alpha = (Image.new("L", (part.u.shape[1], len(part.v)), 0) for _ in range(2))
        pens = ImageDraw.Draw(shade), ImageDraw.Draw(alpha)
        for _ in range(int(rng.integers(5, 10))):
            for points, tone in _frond(rng):
                on = ((points * focal / z + at - corner) / step * [1, -1]).tolist()
                for pen, fill in zip(pens, (tone, 255), strict=True):
                    pen.polygon([tuple(p) for p in on], fill=fill)
        where = torch.from_numpy(np.asarray(alpha, np.float32) / 255)
        ambient, lit = _green(torch.from_numpy(np.asarray(shade, np.float32) / 255), False, rng)
        part.paint(where, ambient, 0.8 * lit, z, focal, 2 / z)


def _frond(rng: np.random.Generator) -> list[tuple[Array, int]]:
    """The leaflets of a frond from its root at 0, metres, each with its shade."""
    angle, long, tone = rng.uniform(0.35, 2.8), rng.uniform(0.28, 0.6), rng.uniform(60, 230)
    s = np.linspace(0, 1, 20)
    spine = long * np.stack([s * np.cos(angle), s * np.sin(angle) - 0.45 * s**2 * (0.4 + abs(np.cos(angle)))], -1)
    along = np.gradient(spine, axis=0)
    along /= np.linalg.norm(along, axis=1)[:, None]
    leaflets = []
    for k in range(1, 20):
        leaf = long * 0.24 * (1 - s[k]) ** 0.8 * min(1.0, 3 * s[k] + 0.2)
        for side in (-1, 1):
            normal = np.array([-along[k, 1], along[k, 0]]) * side
            tip = spine[k] + leaf * (0.85 * normal + 0.45 * along[k]) - np.array([0, 0.2 * leaf])
            shape = np.stack([spine[k] - 0.016 * along[k], tip, spine[k] + 0.022 * along[k]])
            leaflets.append((shape, int(np.clip(tone * (0.8 + 0.2 * side + 0.25 * s[k]), 0, 255))))
    return leaflets
