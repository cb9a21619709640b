"""The lie of a forest stream: what stands where, computed once for a variant, a camera and a size.

The ground and the water are one height field on a grid of rays (depth x column); for each pixel the first point of its
ray that rises to it is seen (the classic voxel-space method, all columns at once). What grows there is painted into the
same buffers by stream_wood.py. What changes with time (light, water, haze) is left to stream_picture.py.

Units are metres; x to the right, y up (0 is the water at the camera), z ahead. Shapes: D depths, C columns, H rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.stream_wood import Canvas, Ground, boughs, ferns, ground_of, is_conifer, mix, wood

MARGIN = 1.12  # the canvas is larger than the picture, so that the camera can turn
HORIZON = 0.42


@dataclass(frozen=True)
class Lie:
    """What is fixed in the picture, on a canvas of H rows and W columns.

    Args:
        ambient: (3, H, W), colour under the light of the whole sky.
        lit: (3, H, W), colour in the sun, to be multiplied by the dapples.
        lean: (H, W), from -1 to 1: how much more it is lit by a sun on the right.
        loose: (H, W), how far it sways in the wind, leaves about 1.
        gap: (H, W), how much open sky shows.
        depth: (H, W), metres.
        x, y: (H, W), where the light falls: the place of a pixel seen along the sun's rays, metres.
        water: flat indices of the pixels of water, (N,).
        cover: how much of such a pixel is water, (N,).
        across, along: of the water, metres from the left and from the camera, (N,).
        deep: depth of the water, metres, (N,).
        foam: how ready it is to foam, (N,).
        row, column, mirror_row: of the pixel itself, and the row mirrored there, in pixels of the canvas, (N,).
        grazing: sine of the angle at which it is seen, (N,).
    """

    ambient: Tensor
    lit: Tensor
    lean: Tensor
    loose: Tensor
    gap: Tensor
    depth: Tensor
    x: Tensor
    y: Tensor
    water: Tensor
    cover: Tensor
    across: Tensor
    along: Tensor
    deep: Tensor
    foam: Tensor
    row: Tensor
    mirror_row: Tensor
    column: Tensor
    grazing: Tensor


def _stones(ground: Ground, x: Tensor, z: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Height of the stones (very low where there is none), the foam they make, and which stone it is, each (D, C)."""
    top, foam, which = torch.full_like(x, -9.0), torch.zeros_like(x), torch.zeros_like(x)
    zs, slopes = z[:, 0].contiguous(), (x[-1] / z[-1, 0]).contiguous()
    rough = sample(texture(61, 512, 1.8, 3.0), x * 0.35, z * 0.35)
    for k, (sx, sz, r, high, turn, stretch) in enumerate(ground.stones.tolist()):
        i, j = (int(torch.searchsorted(zs, v)) for v in (sz - 4.2 * r, sz + 1.4 * r))
        far, near = max(sz - 4.2 * r, 0.5), sz + 1.4 * r
        lo, hi = min((sx - 1.6 * r) / far, (sx - 1.6 * r) / near), max((sx + 1.6 * r) / far, (sx + 1.6 * r) / near)
        a, b = int(torch.searchsorted(slopes, lo)), int(torch.searchsorted(slopes, hi))
        if i >= j or a >= b:
            continue
        px, pz = x[i:j, a:b] - sx, z[i:j, a:b] - sz
        c, s = np.cos(turn), np.sin(turn)
        qx, qz = (px * c + pz * s) / r, (pz * c - px * s) / (r * stretch)
        q = qx * qx + qz * qz + 0.16 * rough[i:j, a:b]
        body = high * (1 - q.clamp(min=0) ** 1.25).clamp(min=0) ** 0.5 + 0.05 * r * rough[i:j, a:b]
        base = level[i:j, a:b] - 0.35 * high
        height = torch.where(q < 1, base + body, torch.full_like(q, -9.0))
        old = top[i:j, a:b]
        which[i:j, a:b] = torch.where(height > old, torch.full_like(old, k + 1.0), which[i:j, a:b])
        top[i:j, a:b] = torch.maximum(old, height)
        wake = torch.exp(-((px / (0.9 * r + 0.1 * pz.abs())) ** 2)) * torch.where(
            pz < 0, torch.exp(pz / (1.1 * r + 0.1)), torch.exp(-pz / (0.3 * r))
        )
        emerges = min(1.0, max(0.0, high * 0.65 / 0.12))
        foam[i:j, a:b] = torch.maximum(foam[i:j, a:b], wake * emerges * min(1.0, r / 0.22))
    return top, foam, which


def _surface(variant: int, x: Tensor, z: Tensor) -> dict[str, Tensor]:
    """The ground on a grid of rays: heights, colours, foam."""
    ground = ground_of(variant)
    shift = ground.rng.random(4).tolist()
    level = ground.level(x, z)
    d = (x - ground.middle(z)).abs() - ground.half(z)
    n1 = sample(texture(62, 512, 1.5), x * 0.11 + shift[0], z * 0.11 + shift[1])
    n2 = sample(texture(63, 512, 1.7, 3.0), x * 0.42 + shift[2], z * 0.42 + shift[3])
    n3 = sample(texture(64, 512, 1.1, 24.0), x * 0.55 + shift[1], z * 0.55)
    land = (d / 0.5).clamp(0, 1)
    d = d + 0.16 * n1 + 0.05 * n2
    bank = 0.3 * (1 - torch.exp(-d.clamp(min=0) / 0.3)) + 0.16 * d.clamp(min=0) + 0.02 * d.clamp(min=0) ** 2
    bank = bank + land * (0.10 * n1 + 0.05 * n2 + 0.010 * n3 * smoothstep(1.5, 5.0, z))
    bed = -0.06 - 0.3 * (-d / 0.8).clamp(0, 1) + 0.03 * n2 + 0.012 * n3
    soil = level + torch.where(d > 0, bank, bed)
    top, foam, which = _stones(ground, x, z, level)
    height = torch.maximum(soil, top)
    stone = smoothstep(-0.02, 0.03, top - soil)
    falling = torch.zeros_like(x)
    for at in ground.steps.tolist():
        wobble = 0.25 * torch.sin(1.3 * x + ground.bends[1]) + 0.12 * torch.sin(3.7 * x + ground.bends[3])
        q = z - at - wobble
        falling = torch.maximum(
            falling,
            torch.exp(-((q + 0.1) ** 2) / torch.where(q < -0.1, 0.05, 0.02)) + 0.3 * torch.exp(q / 0.7) * (q < -0.1),
        )
    return {
        "level": level, "height": height, "stone": stone, "which": which, "d": d, "n1": n1, "n2": n2,
        "foam": torch.maximum(foam, falling),
    }  # fmt: skip


def _normals(h: Tensor, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit normals of a height field on a grid of rays, each (D, C)."""
    smooth = h[None, None]
    for _ in range(2):  # near the camera the bilinear texels of the noise would show as facets
        smooth = F.avg_pool2d(F.pad(smooth, (2, 2, 2, 2), mode="replicate"), 5, 1)
    h = h + (smooth[0, 0] - h) * smoothstep(6.0, 2.0, z)
    dz = torch.gradient(h, dim=0)[0] / torch.gradient(z[:, 0])[0][:, None]
    slope = x[-1] / z[-1, 0]
    dx = torch.gradient(h, dim=1)[0] / (torch.gradient(slope)[0] * z)
    dz = dz - slope * dx
    up = torch.rsqrt(1 + dx * dx + dz * dz)
    return -dx * up, up, -dz * up


def _cobbles(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Rounded pebbles: their shade from rim to middle [0, 1] and a random number for each, (H, W)."""
    best, kind = torch.full_like(x, 9.0), torch.zeros_like(x)
    cx, cz = torch.floor(x), torch.floor(z)
    for dx in (-1, 0, 1):
        for dz in (-1, 0, 1):
            hash_ = torch.sin((cx + dx) * 127.1 + (cz + dz) * 311.7) * 43758.5453
            hash_ = hash_ - torch.floor(hash_)
            other = (hash_ * 91.7) % 1
            d = (x - cx - dx - 0.15 - 0.7 * hash_) ** 2 + (z - cz - dz - 0.15 - 0.7 * other) ** 2
            d = d / (0.35 + 0.5 * other)
            kind = torch.where(d < best, hash_, kind)
            best = torch.minimum(best, d)
    return (1 - 1.6 * best).clamp(min=0) ** 0.5, kind


def _colours(s: dict[str, Tensor], conifer: bool) -> Tensor:
    """Albedo of the ground where it is seen, (3, H, W)."""
    x, z, h, up, n1, n2 = (s[k] for k in ("x", "z", "height", "up", "n1", "n2"))
    n3 = sample(texture(64, 512, 0.6, 24.0), x * 0.55, z * 0.55 + 0.6 * h)
    above = h - s["level"]
    tone = sample(texture(65, 512, 1.1, 8.0), x * 0.6 + 3.1 * s["which"], z * 0.6 + 0.65 * h)
    one = torch.ones_like(h)[None]
    rock = torch.tensor([0.175, 0.165, 0.150])[:, None, None] * (
        1 + 0.32 * tone + 0.1 * torch.sin(s["which"] * 7.3)
    ).clamp(0.3, 2)
    rock = rock * (1 + torch.tensor([0.06, 0.0, -0.08])[:, None, None] * torch.sin(s["which"] * 3.9))
    rock = mix(rock, (0.30, 0.31, 0.26), 0.6 * smoothstep(1.2, 2.0, tone))  # lichen
    litter = (0.085, 0.052, 0.030) if conifer else (0.11, 0.072, 0.038)
    soil = torch.tensor(litter)[:, None, None] * (1 + 0.55 * n3 + 0.25 * n2).clamp(0.25, 2.6)
    plant = torch.tensor([0.058, 0.088, 0.027])[:, None, None] * (1 + 0.5 * n3 + 0.3 * n2).clamp(0.2, 2.5)
    soil = soil + (plant - soil) * smoothstep(-0.5, 0.5, n1 + 0.5 * n2 + 0.05 * (z - 6))
    moss = torch.tensor([0.085, 0.135, 0.022])[:, None, None] * (1 + 0.42 * n3 + 0.15 * tone).clamp(0.3, 2.4) * one
    mossy = smoothstep(0.45, 0.85, up + 0.18 * n2 + 0.10 * tone) * smoothstep(0.03, 0.16, above + 0.03 * n2)
    stone = mix(rock, moss, mossy * 0.92)
    ground = mix(soil, moss, 0.75 * smoothstep(0.2, -0.25, s["d"] - 0.35 + 0.25 * n2))
    albedo = mix(ground, stone, s["stone"])
    dome, kind = _cobbles(x * 9, z * 9)
    dome2, kind2 = _cobbles(x * 4 + 0.3 * n2, z * 4)
    pebble = torch.tensor([0.20, 0.165, 0.120])[:, None, None] * (0.35 + 0.5 * kind + 0.5 * dome + 0.35 * kind2 * dome2)
    pebble = pebble * (1 + torch.tensor([0.14, 0.0, -0.16])[:, None, None] * (kind2 - 0.4)) * (1 + 0.12 * n3)
    albedo = mix(albedo, pebble, smoothstep(0.06, 0.0, above + 0.03 * n2) * (1 - s["stone"]))
    wet = smoothstep(0.07, 0.015, above + 0.012 * n2)
    albedo = albedo * (1 - 0.5 * wet)
    return albedo


def _openness(h: Tensor, level: Tensor, z: Tensor) -> Tensor:
    """How much of the sky's light comes to each point, (D, C): less in hollows and close above the water."""
    padded = F.pad(h[None, None], (12, 12, 12, 12), mode="replicate")
    smooth = F.avg_pool2d(F.avg_pool2d(padded, (25, 1), 1), (1, 25), 1)[0, 0]
    hollow = (0.80 + 2.4 * (h - smooth) / (0.15 + 0.02 * z)).clamp(0.3, 1.15)
    return hollow * (0.6 + 0.4 * smoothstep(0.0, 0.12, h - level))


def _march(
    variant: int, u: Tensor, v: Tensor, focal: float, eye: float
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor], Tensor, Tensor]:
    """Cast all rays: for each pixel (H, W) the index of the ray point seen, the way to it from the one before, and
    whether there is any; with it the surface and the grid's x, z (D, W)."""
    depths = int(np.clip(1.4 * len(v), 280, 1100))
    z = torch.exp(torch.linspace(float(np.log(0.45)), float(np.log(42.0)), depths))[:, None]
    x = u / focal * z
    z = z.expand_as(x).contiguous()
    s = _surface(variant, x, z)
    seen = torch.maximum(s["height"], s["level"])
    rise = HORIZON + focal * (seen - eye) / z  # where each point would be in the picture
    top = torch.cummax(rise, 0).values
    want = v.flip(0).expand(-1, x.shape[1]).T.contiguous()  # (W, H) from below
    index = torch.searchsorted(top.T.contiguous(), want).T.flip(0)
    found = index < depths
    index = index.clamp(1, depths - 1)
    before, after = torch.gather(rise, 0, index - 1), torch.gather(rise, 0, index)
    way = ((v - before) / (after - before).clamp(min=1e-5)).clamp(0, 1)
    return index, way, found, s, x, z


@lru_cache(maxsize=3)
def lie(variant: int, width: int, height: int) -> Lie:
    """The lie of a variant for a size of picture: the eye is 0.8-1.6 m above the water."""
    rng = np.random.default_rng([variant, 50])
    eye, focal = float(rng.uniform(0.8, 1.6)), float(rng.uniform(1.25, 1.9))
    fine = 2 if height <= 480 else 1
    pixel = 2 / height / fine
    h, w = (2 * round(n * MARGIN / 2) * fine for n in (height, width))
    u = ((torch.arange(w) + 0.5 - w / 2) * pixel)[None]
    v = ((h / 2 - torch.arange(h) - 0.5) * pixel)[:, None]
    canvas = Canvas.empty(u, v, focal)
    ground = _ground(variant, u, v, focal, eye)
    canvas.over(ground)
    wood(canvas, variant, focal, eye, HORIZON)
    ferns(canvas, variant, focal, eye, HORIZON)
    boughs(canvas, variant, focal)
    return _gather(canvas, ground, fine, eye)


def _ground(variant: int, u: Tensor, v: Tensor, focal: float, eye: float) -> dict[str, Tensor]:
    """What is seen of the ground and the water, each (..., H, W)."""
    index, way, found, s, x, z = _march(variant, u, v, focal, eye)
    normals = _normals(s["height"], x, z)

    def see(field: Tensor) -> Tensor:
        before, after = torch.gather(field, 0, index - 1), torch.gather(field, 0, index)
        return before + (after - before) * way

    seen = {k: see(a) for k, a in s.items() if k != "which"} | {"x": see(x), "z": see(z), "up": see(normals[1])}
    seen["which"] = torch.gather(s["which"], 0, index)
    high = (0.8 * seen["up"] + 0.45 * see(normals[2])).clamp(min=0.02)  # to a sun that stands high and ahead
    colour = _colours(seen, is_conifer(variant))
    surface = torch.maximum(seen["height"], seen["level"])
    depth = torch.where(found, seen["z"], torch.full_like(surface, 90.0))
    return {
        "ambient": colour * see(_openness(s["height"], s["level"], z)) * (0.45 + 0.55 * seen["up"]),
        "lit": colour * high,
        "lean": (0.6 * see(normals[0]) / (high + 0.1)).clamp(-1, 1),
        "loose": 0.7 * (1 - seen["stone"]) * smoothstep(0.05, 0.4, seen["d"]) / (1 + 0.4 * depth),
        "depth": depth,
        "x": seen["x"],
        "y": surface + depth,
        "found": found,
        "water": (found & (seen["level"] > seen["height"] + 0.004)).float(),
        "deep": (seen["level"] - seen["height"]).clamp(min=0),
        "foam": seen["foam"],
        "across": seen["x"] - ground_of(variant).middle(seen["z"]),
    }


def _gather(c: Canvas, ground: dict[str, Tensor], fine: int, eye: float) -> Lie:
    """Average to the pixels of the canvas, and list those of water with what they need."""

    def less(a: Tensor) -> Tensor:
        return F.avg_pool2d(a[None] if a.dim() == 3 else a[None, None], fine)[0].squeeze(0)

    water = ground["water"] * (c.depth >= ground["depth"] - 1e-3)
    cover = less(water)
    h, w = cover.shape
    rows = torch.arange(h)[:, None].expand(h, w)
    dry = torch.where(cover < 0.5, rows, torch.full_like(rows, -1))
    shore = torch.cummax(dry, 0).values.float()[None, None]  # the nearest row above that is not water, made smooth
    wide = 2 * (w // 50) + 1
    shore = F.avg_pool2d(F.pad(shore, (wide // 2, wide // 2, 0, 0), mode="replicate"), (1, wide), 1)[0, 0]
    mirror = (2 * torch.minimum(shore, rows.float()) - rows).clamp(min=0).flatten()
    at = (cover > 0.02).flatten().nonzero()[:, 0]

    def wet(a: Tensor) -> Tensor:
        return (less(a * water) / cover.clamp(min=0.02)).flatten()[at]

    far = wet(ground["depth"])
    grazing = eye / (far * far + eye * eye) ** 0.5
    return Lie(
        less(c.ambient), less(c.lit), less(c.lean), less(c.loose), less(c.gap), less(c.depth), less(c.x), less(c.y),
        at, cover.flatten()[at], wet(ground["across"]), far, wet(ground["deep"]), wet(ground["foam"]),
        (at // w).float(), mirror[at], (at % w).float(), grazing,
    )  # fmt: skip
