"""The picture of rain on glass: a scene out of focus, and water on the pane that shows it small and upside down.

The water is one height field: drops are caps, runnels are heads with a film and beads behind them, and what overlaps
merges. Its slope bends the view: a drop is a strong lens, so it inverts what lies behind. Mist blurs and lifts the view
where no water has wiped it away.

Shapes: H rows, W columns; K drops, R runnels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes.light import daylight
from stale_diffusion.dreamscapes.noise import grid_of, sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import View, in_bands
from stale_diffusion.dreamscapes.rain_glass_view import WIDE, behind, blur, f32
from stale_diffusion.scene import Stage

Array = NDArray[np.float64]
MEMORY = 11.5  # seconds after which the pane has forgotten a runnel
_CAP = 0.5  # height of a drop over its radius


@lru_cache(maxsize=16)
def _drops(variant: int) -> Array:
    """Drops that may sit on the pane, apart from each other, (K, 9): x, y, radius, and six random numbers."""
    rng = np.random.default_rng([variant, 32])
    n = 2600
    radius = np.sort(np.clip(0.0075 * rng.random(n) ** -0.48, 0, 0.055))[::-1]
    at = np.stack([rng.uniform(-1.85, 1.85, n), rng.uniform(-1.05, 1.05, n)], -1)
    kept: list[int] = []
    for i in range(n):
        if not kept or (np.hypot(*(at[kept] - at[i]).T) > 1.08 * (radius[kept] + radius[i])).all():
            kept.append(i)
    return np.concatenate([at[kept], radius[kept, None], rng.random((len(kept), 6))], 1)


@dataclass(frozen=True)
class Runnels:
    """Water that runs down, R of them; positions at any height and time."""

    x: Array
    y: Array  # where it starts
    radius: Array
    born: Array
    fall: Array  # (R, 97): how far the head has come, at _SECONDS
    wave: Array  # (R, 4): phases of its path

    def path(self, y: Array) -> Array:
        """Where its path is at heights y (R, ...), the same shape."""
        a, b, c, d = (self.wave[:, k].reshape(-1, *[1] * (y.ndim - 1)) for k in range(4))
        x = self.x.reshape(a.shape)
        return np.asarray(
            x
            + 0.022 * np.sin(5 * y + a)
            + 0.012 * np.sin(13 * y + b)
            + 0.005 * np.sin(31 * y + c)
            + 0.03 * (d - 0.5) * y
        )

    def passed(self, y: Array, t: float) -> Array:
        """Seconds since the head passed heights y (R, N): negative where it has not yet, or starts below."""
        since = np.stack(
            [np.interp(y0 - row, fall, _SECONDS, right=99) for y0, row, fall in zip(self.y, y, self.fall, strict=True)]
        )
        return np.where(y > self.y[:, None], -1, t - self.born[:, None] - since)


_SECONDS = np.linspace(0, 12, 97)


def _runnels(stage: Stage, t: float) -> Runnels:
    """The runnels that the pane remembers: events `runnel`, and heavy drops, which run after a while."""
    rows = []
    for kind in ("runnel", "drop"):
        for e in stage.events(kind, t - MEMORY, t):
            rng = np.random.default_rng([int(e.time * 512), int((e.x + 1) * 4096)])
            heavy = kind == "runnel" or e.strength > 0.45
            wait = 0.0 if kind == "runnel" else rng.uniform(0.5, 3.0)
            top = 1.0 - 2.0 * e.distance
            radius = 0.020 + 0.028 * e.strength
            speed = (0.1 + 0.75 * e.strength * rng.uniform(0.6, 1.2)) * heavy
            s = np.maximum(_SECONDS - wait, 0)
            b, w, p = rng.uniform(0.5, 0.9), rng.uniform(1.2, 3.5), rng.uniform(0, 6.28)
            fall = speed * (s - b / w * (np.sin(w * s + p) - np.sin(p))) + 1e-4 * _SECONDS
            rows.append((e.x * 1.72, top, radius, e.time, fall, rng.uniform(0, 6.28, 4) * [1, 1, 1, 0.16]))
    if not rows:
        none = np.zeros(0)
        return Runnels(none, none, none, none, np.zeros((0, 97)), np.zeros((0, 4)))
    return Runnels(*(np.array(c) for c in zip(*rows, strict=True)))


def _sitting(stage: Stage, t: float, runs: Runnels) -> tuple[Array, Array]:
    """The drops that sit on the pane at t, (K, 9), and their radii now (K,)."""
    drops = _drops(stage.segment(t).variant)
    period = 6 + 5 * drops[:, 3]
    turn = t / period + drops[:, 4]
    age, k = (turn % 1) * period, np.floor(turn)
    chance = (drops[:, 5] + 0.61803 * k) % 1
    rain = stage.values("rain", np.maximum(t - age, stage.start))
    stays = drops[:, 6] < 0.2
    there = np.where(stays, 1.0, chance < 0.04 + 0.96 * rain**0.9)
    life = np.where(stays, 1.0, np.clip(age / 0.07, 0, 1) * np.clip((period - age) / 1.5, 0, 1))
    if len(runs.x):
        y = np.broadcast_to(drops[None, :, 1], (len(runs.x), len(drops)))
        gone = runs.passed(y, t)
        hit = (np.abs(runs.path(y) - drops[None, :, 0]) < 0.85 * runs.radius[:, None] + 0.6 * drops[None, :, 2]) & (
            gone > 0
        )
        back = 4 + 7 * drops[:, 7]
        life = life * np.where(hit, np.clip((gone - back) / 0.5, 0, 1), 1).min(0)
    radius = drops[:, 2] * there * life * (0.75 + 0.5 * rain)
    keep = radius > 0.004
    return drops[keep], radius[keep]


def _put(field: Tensor, index: Tensor, value: Tensor) -> None:
    field.view(-1).scatter_reduce_(0, index.flatten(), value.flatten(), "amax")


def _caps(field: Tensor, view: View, x: Array, y: Array, r: Array, form: Array) -> None:
    """Draw drops into a height field (H, W) in place; form (K, 2) in [0, 1] makes each a little different."""
    h, w = field.shape
    for low, high in ((0, 0.016), (0.016, 0.03), (0.03, 1.0)):
        mine = (r > low) & (r <= high)
        if not mine.any():
            continue
        a, b, c, f = x[mine], y[mine], r[mine], form[mine]
        n = int(1.35 * c.max() / view.pixel) + 2
        p = torch.arange(-n, n + 1)
        cx, cy = (a + view.aspect) / view.pixel - 0.5, (1 - b) / view.pixel - 0.5
        col = (torch.from_numpy(np.round(cx)).long()[:, None] + p)[:, None, :]
        row = (torch.from_numpy(np.round(cy)).long()[:, None] + p)[:, :, None]
        radius, px, py, fa, fb = (
            torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (c, cx, cy, f[:, 0], f[:, 1])
        )
        dx, dy = (col - px) * view.pixel / radius, (py - row) * view.pixel / radius
        dx = dx * (0.9 + 0.25 * fa) * (1 + 0.22 * dy) + 0.25 * (fb - 0.5) * dy  # heavier below, leaning
        dy = dy * (0.86 + 0.12 * fb)
        cap = _CAP * radius * (1 - dx * dx - dy * dy)
        ok = (col >= 0) & (col < w) & (row >= 0) & (row < h)
        _put(field, row.clamp(0, h - 1) * w + col.clamp(0, w - 1), torch.where(ok, cap, torch.zeros(())).clamp(min=0))


def _run(field: Tensor, wiped: Tensor, view: View, runs: Runnels, t: float) -> None:
    """Draw runnels into the height field and into what they have wiped clear of mist, in place."""
    if not len(runs.x):
        return
    h, w = field.shape
    y = np.broadcast_to(view.v.numpy().astype(np.float64).T, (len(runs.x), h))
    age, path = runs.passed(y, t), runs.path(y)
    head = runs.y - np.array([np.interp(t - b, _SECONDS, f) for b, f in zip(runs.born, runs.fall, strict=True)])
    n = int(1.3 * runs.radius.max() / view.pixel) + 2
    cx = (path + view.aspect) / view.pixel - 0.5
    col = torch.from_numpy(np.round(cx)).long()[..., None] + torch.arange(-n, n + 1)
    r = f32(runs.radius)[:, None, None]
    dx = (col - f32(cx)[..., None]) * view.pixel / r
    since, v = f32(age)[..., None], f32(y)[..., None]
    behind = since > 0
    old = (since / MEMORY).clamp(0, 1)
    film = _CAP * 0.5 * r * (0.5 - dx * dx / 0.5) * (1 - since / 3.5).clamp(0, 1)
    step = 1.9 * r
    cell = torch.floor(v / step)
    jitter = torch.sin(cell * 127.1 + f32(runs.wave[:, :1] * 91.7)[..., None]) * 43758.5453
    jitter = jitter - torch.floor(jitter)
    bead_r = (0.14 + 0.36 * jitter) * (1 - old) ** 0.5
    bead_x, bead_y = dx - 0.5 * (jitter - 0.5), (v - (cell + 0.3 + 0.4 * jitter) * step) / r
    bead = _CAP * r * bead_r * (1 - (bead_x * bead_x + bead_y * bead_y) / (bead_r * bead_r + 1e-4))
    dy = (v - f32(head)[:, None, None]) / r
    dy = torch.where(dy > 0, dy / 2.1, dy / 1.15)
    cap = 1.1 * _CAP * r * (1 - (dx * dx) * (1 + 0.5 * dy.clamp(min=0)) - dy * dy)
    height = torch.maximum(torch.where(behind, torch.maximum(film, bead), torch.zeros(())), cap).clamp(min=0)
    ok = (col >= 0) & (col < w)
    index = torch.arange(h)[:, None] * w + col.clamp(0, w - 1)
    _put(field, index, height * ok)
    _put(wiped, index, torch.where(behind & ok, smoothstep(1.25, 0.75, dx.abs()) * (1 - old) ** 1.5, torch.zeros(())))


def _look(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """An image (3, H, W) at x to the right and y down in [-1, 1], (3, rows, columns), bilinear."""
    return F.grid_sample(image[None], grid_of(x, y), mode="bilinear", padding_mode="border", align_corners=False)[0]


def _through_film(stage: Stage, t: float, far: Tensor, view: View) -> Tensor:
    """The scene (3, H, W) through water that flows down the pane in hard rain."""
    film = max(0.0, stage.value("rain", t) - 0.35)
    if film == 0:
        return _look(far, view.u / view.aspect, -view.v)
    down = (0.1 * t + 0.25 * stage.integral("rain", t)) % 100
    wave, ripple = texture(44, 256, 1.7, 3.0), texture(45, 256, 1.5, 4.0)
    a = sample(wave, view.u * 0.30, view.v * 0.10 + 0.6 * down)
    b = sample(ripple, view.u * 0.7 + 0.03 * a, view.v * 0.22 + down)
    x, y = (view.u + film * (0.045 * a + 0.03 * b)) / view.aspect, -(view.v + film * (0.05 * b - 0.03 * a))
    return _look(far, x, y)


def picture(stage: Stage, t: float, view: View) -> Tensor:
    """The pane at time t, linear light, (rows, W, 3)."""
    full = View.whole(view.width, view.height)
    h, w, aspect = full.height, full.width, full.aspect
    day = daylight(stage.static("hour", t))
    radius = 0.05 + 0.085 * stage.static("focal", t)
    # out of focus, or small in a drop: neither needs the full size
    far = behind(stage, t, int(np.clip(h / 2, 72, 180)), (aspect, 1.0), radius, day)
    near = behind(stage, t, int(np.clip(h / 3.3, 54, 108)), (WIDE, 1.6), 0.035, day)
    field, wiped = torch.zeros(h, w), torch.zeros(h, w)
    runs = _runnels(stage, t)
    drops, size = _sitting(stage, t, runs)
    _caps(field, full, drops[:, 0], drops[:, 1], size, drops[:, 7:9])
    _run(field, wiped, full, runs, t)

    coarse = blur(F.avg_pool2d(far[None], far.shape[1] // 30)[0], 5)
    smooth = F.interpolate(coarse[None], (h // 4, w // 4), mode="bicubic", align_corners=False).clamp(min=0)
    veil = F.interpolate(smooth, (h, w), mode="bilinear", align_corners=False)[0]
    gx = F.pad((field[:, 2:] - field[:, :-2]) / (2 * full.pixel), (1, 1))
    gy = F.pad((field[:-2] - field[2:]) / (2 * full.pixel), (0, 0, 1, 1))

    def pane(band: View) -> Tensor:
        rows = slice(band.top, band.top + band.rows)
        base = _through_film(stage, t, far, band)
        breath = 0.5 + 0.5 * smoothstep(0.4, -1.0, band.v)  # mist is thicker below
        fine = sample(texture(43, 512, 0.7, 8.0), band.u * 0.8, band.v * 0.8) * min(1.0, 0.0056 / band.pixel)
        mist = (stage.value("steam", t) * breath * (1 + 0.10 * fine)).clamp(0, 1) * (1 - wiped[rows])
        base = base + (veil[:, rows] * 1.06 - base) * (0.9 * mist)
        out = base + _drop_light(base, near, gx[rows], gy[rows], band, day) * _wet(field[rows], band)
        return (out * (1 - 0.1 * ((band.u / aspect) ** 2 + band.v**2))).permute(1, 2, 0)

    return in_bands(replace(view, device=full.device), pane).to(view.device)


def _wet(field: Tensor, view: View) -> Tensor:
    """How much of each pixel water covers, (H, W), of its height."""
    return (field / (2 * _CAP * view.pixel)).clamp(0, 1)


def _drop_light(base: Tensor, near: Tensor, gx: Tensor, gy: Tensor, view: View, day: float) -> Tensor:
    """What a drop adds to what is behind it, (3, H, W): its slopes gx, gy turn the view, its rim is dark."""
    steep = gx * gx + gy * gy
    bend = 1.15 + 0.5 * steep
    seen = _look(near, (view.u + bend * gx) / WIDE, -(view.v + bend * gy) / 1.6)
    rim = 1 - 0.8 * smoothstep(0.5, 1.25, steep)
    glint = torch.exp(-((gx + 0.38) ** 2 + (gy - 0.5) ** 2) * 55) * (0.02 + 0.35 * day)
    return seen * rim + glint - base
