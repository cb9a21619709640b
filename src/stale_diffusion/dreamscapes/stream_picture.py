"""The picture of a forest stream: light, water and haze on the lie of the land that stream_ground.py computes once.

Shapes: H rows, W columns of the canvas, which is a little larger than the picture; N pixels of water.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stale_diffusion.dreamscapes import light
from stale_diffusion.dreamscapes.noise import sample, smoothstep, texture
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.stream_ground import MARGIN, Lie, lie
from stale_diffusion.scene import Stage


def _colour(c: tuple[float, float, float]) -> Tensor:
    return torch.tensor(c, dtype=torch.float32)[:, None, None]


def _look(x: Tensor, y: Tensor, tile: Tensor) -> Tensor:
    """A texture at points (N,)."""
    return sample(tile, x[None], y[None])[0]


def _dapples(stage: Stage, t: float, x: Tensor, y: Tensor, footprint: Tensor) -> Tensor:
    """Sun through the leaves: soft blobs (each an image of the sun) that sway with the canopy, (H, W)."""
    wind = stage.value("wind", t)
    phase = stage.integral("wind", t)
    sway = 0.010 * np.sin(0.9 * t + 1.1 * phase) * (0.25 + wind)
    flutter = 0.006 * np.sin(2.7 * t + 2.0 * phase + 1) * (0.15 + wind)
    a = sample(texture(81, 512, 1.5, 6.0), x * 0.13 + sway, y * 0.10 + flutter)
    b = sample(texture(82, 512, 1.5, 8.0), x * 0.37 - 2.2 * flutter, y * 0.28 + 1.6 * sway)
    far = smoothstep(0.05, 0.35, footprint)  # where they are smaller than pixels, their mean
    return 1.3 * smoothstep(0.0, 1.5, a + 0.5 * b * (1 - far)) * (1 - 0.9 * far) + 0.33 * far


def _shafts(stage: Stage, t: float, u: Tensor, v: Tensor, sky: light.Light) -> Tensor:
    """Beams from where the sun stands, (H, W)."""
    sx, sy, sz = sky.toward
    su, sv = (1.5 * sx / max(abs(sz), 0.35)), 0.42 + 1.3 * sy / max(abs(sz), 0.6)
    du, dv = u - su, sv + 0.5 - v
    angle = torch.atan2(du.expand(v.shape[0], -1), dv)
    far = (du * du + dv * dv) ** 0.5
    rays = sample(texture(83, 512, 1.2, 5.0), angle * 0.35 + 0.0008 * t, far * 0.006 + 0.0012 * t)
    return smoothstep(-0.3, 2.2, rays) * smoothstep(0.1, 0.7, far) / (0.5 + far * far)


def _water(
    stage: Stage, t: float, land: Lie, picture: Tensor, sun: Tensor, ambient: Tensor, key: Tensor, sky: Tensor
) -> Tensor:
    """The light of the pixels of water, (3, N)."""
    h, w = picture.shape[1:]
    flow = stage.value("flow", t)
    way = (0.28 * t + 1.7 * stage.integral("flow", t)) % 1000  # a whole number of tiles at every scale below
    x, z = land.across, land.along
    calm, near = 0.30 + 0.75 * flow, (4.0 / (z + 4.0)) ** 2
    big, fine = texture(84, 512, 2.1, 5.0), texture(85, 512, 2.3, 9.0)
    warp = _look(x * 0.12 + 0.3, (z + 0.35 * way) * 0.10, big)
    a = _look(x * 0.30 + 0.05 * warp, (z + way) * 0.22, big)
    a2 = _look(x * 0.30 + 0.05 * warp + 0.004, (z + way) * 0.22 + 0.004, big)
    b = _look(x * 0.75 + 0.04 * a, (z + 1.25 * way) * 0.62, fine)
    b2 = _look(x * 0.8 + 0.04 * a - 0.5, (z + 0.8 * way) * 0.7 + 0.13 * (t % 100), fine)
    tilt_z = calm * (0.55 * a * (8 / (z + 8)) + near * (0.5 * b + 0.3 * b2))
    tilt_x = calm * (4.0 * (a2 - a) + near * (0.35 * b - 0.3 * b2))
    burst = torch.zeros_like(x)
    for e in stage.events("splash", t - 1.5, t + 1e-6):
        age, far = t - e.time, 2 + 9 * e.distance
        away = ((x - 1.1 * e.x) ** 2 + (z - far + (0.28 + 1.7 * flow) * age) ** 2) ** 0.5
        ring = torch.exp(-(((away - 0.9 * age) / 0.14) ** 2)) * (e.strength * np.exp(-age / 0.5))
        tilt_z = tilt_z + ring * torch.sin(28 * (away - 0.9 * age))
        burst = burst + torch.exp(-((away / (0.10 + 0.22 * e.strength + 0.3 * age)) ** 2)) * min(
            1.0, age / 0.06
        ) * np.exp(-age / 0.4)
    # what is mirrored: the shore above, shaken
    row = land.mirror_row - (70.0 * h / 380) * tilt_z * (0.5 + 1.5 / (z + 1))
    col = land.column + (26.0 * h / 380) * tilt_x
    grid = torch.stack([(col + 0.5) / w * 2 - 1, (row + 0.5) / h * 2 - 1], -1)
    mirrored = F.grid_sample(
        picture[None], grid[None, None], mode="bilinear", padding_mode="reflection", align_corners=False
    )[0, :, 0]
    overhead = smoothstep(0.45 * h, -0.1 * h, row - 0.12 * h * b * near)
    gaps = smoothstep(0.0, 1.6, _look(col * (1.1 / h), row * (0.45 / h), texture(87, 256, 1.7, 4.0)))
    mirrored = mirrored + (sky * (0.12 + 1.3 * gaps) - mirrored) * (0.85 * overhead)
    cosine = (land.grazing - 0.32 * tilt_z).clamp(0.01, 1)
    fresnel = 0.035 + 0.965 * (1 - cosine) ** 5
    # the bed, seen through the shaken surface
    row = land.row + (24.0 * h / 380) * tilt_z * land.deep.clamp(max=0.4) * (1 + 3 / (z + 1))
    col = land.column + (24.0 * h / 380) * tilt_x * land.deep.clamp(max=0.4) * (1 + 3 / (z + 1))
    grid = torch.stack([(col + 0.5) / w * 2 - 1, (row + 0.5) / h * 2 - 1], -1)
    bed = F.grid_sample(picture[None], grid[None, None], mode="bilinear", padding_mode="border", align_corners=False)[
        0, :, 0
    ]
    through = torch.exp(-land.deep * torch.tensor([[2.6], [1.7], [2.2]]))
    net = (1 - 0.8 * (b - b2).abs()).clamp(min=0) ** 3  # where waves gather the light
    caustic = 1 + near * (0.2 + sun) * (1.5 * net - 0.3)
    body = torch.tensor([[0.010], [0.014], [0.009]]) * (ambient + 0.7 * key * sun)
    seen = bed * 1.6 * through * caustic + body * (1 - through)
    out = seen * (1 - fresnel) + mirrored * fresnel
    glitter = smoothstep(3.6, 5.6, a + 1.2 * b + b2) * sun * near * (0.3 + 0.7 * flow)
    out = out + key * 0.8 * glitter
    # foam: streaks that the current draws out
    f1 = _look(x * 0.62 + 0.05 * a, (z + way) * 0.20, fine)
    f2 = _look(x * 1.6 + 0.08 * b, (z + 1.1 * way) * 0.7, texture(86, 512, 1.2, 16.0)) * (4 / (z + 4))
    ready = land.foam * (0.2 + 1.1 * flow) + 0.25 * flow * flow + burst
    foam = smoothstep(0.4, 1.5, ready * 1.25 + (0.2 + ready).clamp(max=1) * (0.22 * f1 + 0.26 * f2 + 0.08 * b)) * 0.85
    white = torch.tensor([[0.56], [0.60], [0.61]]) * (0.62 * ambient + key * (0.1 + 0.6 * sun) * sun) * (1 + 0.18 * f2)
    return out + (white - out) * foam


def picture(stage: Stage, t: float, view: View) -> Tensor:
    """The stream at time t, linear light, (rows, W, 3)."""
    variant = stage.segment(t).variant
    sky = light.stage_light(stage, t)
    side = float(np.clip(sky.toward[0], -1, 1))
    land = lie(variant, view.width, view.height)
    h, w = land.depth.shape
    level = stage.value("light", t)
    grey = float(np.dot(sky.ambient, (0.21, 0.72, 0.07)))
    ambient = (0.4 * _colour(sky.ambient) + 0.6 * grey * _colour((0.97, 1.02, 0.85))) * 3.4
    key = _colour(sky.key) * (0.1 + 1.2 * level) * 6.5
    gain = float(
        np.clip(0.95 / (0.85 * float(ambient.mean()) + 0.2 * float(key.mean())), 0.6, 40) ** 0.55
    )  # a photographer's
    ambient, key = ambient * gain, key * gain
    sun = _dapples(stage, t, land.x + land.y * 0.8 * side, land.y, land.depth * view.pixel)
    out = land.ambient * ambient + land.lit * key * (sun * (1 + side * land.lean))
    air = _colour(sky.horizon) * gain * torch.tensor([0.80, 0.95, 0.78])[:, None, None]
    bright = (_colour(sky.horizon) * 1.6 + _colour(sky.glow) * 0.4) * gain
    out = out + (bright - out) * (land.gap * 0.95)
    thick = 0.006 + 0.05 * stage.static("haze", t) ** 1.5
    veil = 1 - torch.exp(-thick * land.depth)
    u = (torch.arange(w)[None] + 0.5 - w / 2) * view.pixel
    v = (h / 2 - torch.arange(h)[:, None] - 0.5) * view.pixel
    mist = air * (0.42 + 0.2 * (v + 1).clamp(0, 2) * 0.5) + key * 0.05
    out = out + (mist - out) * veil
    step = max(1, round(h / 100))
    beams = _shafts(stage, t, u[:, step // 2 :: step], v[step // 2 :: step], sky)
    beams = F.interpolate(beams[None, None], (h, w), mode="bilinear", align_corners=False)[0, 0]
    out = out + key * (beams * veil * 0.35)
    flat = out.reshape(3, -1)
    water = _water(stage, t, land, out, sun.flatten()[land.water], ambient[:, 0], key[:, 0], 2.2 * bright[:, 0])
    haze = veil.flatten()[land.water]
    water = water + (mist.expand(3, h, w).reshape(3, -1)[:, land.water] - water) * haze
    flat[:, land.water] += (water - flat[:, land.water]) * land.cover
    if sky.night > 0:  # by night the eye sees little colour
        dim = (out * _colour((0.21, 0.72, 0.07))).sum(0) * _colour((0.72, 0.95, 1.3))
        out = out + (dim - out) * (0.7 * sky.night)
    return _turn(out, land.loose, stage, t, view)


def _sway(stage: Stage, t: float, gx: Tensor, gy: Tensor, loose: Tensor, much: float) -> Tensor:
    """How far leaves and plants have moved in the wind, (rows, W), pixels."""
    phase = 0.5 * t + 2.2 * stage.integral("wind", t)
    coarse = F.interpolate(torch.stack([gx, gy])[None], scale_factor=0.25, mode="bilinear", align_corners=False)[0]
    gust = sample(texture(88, 256, 1.8, 2.0), coarse[0] * 0.2 - 0.06 * (phase % 100), coarse[1] * 0.2)
    flutter = sample(texture(89, 256, 1.2, 6.0), coarse[0] * 0.9, coarse[1] * 0.9 + 0.11 * (phase % 100))
    wave = (0.0060 * (gust + 0.6 * float(np.sin(phase))) + 0.0035 * flutter)[None, None]
    grid = torch.stack([gx, gy], -1)[None]
    mask = F.grid_sample(loose[None, None], grid, mode="bilinear", align_corners=False)[0, 0]
    return much * mask * F.interpolate(wave, gx.shape, mode="bilinear", align_corners=False)[0, 0]


def _turn(out: Tensor, loose: Tensor, stage: Stage, t: float, view: View) -> Tensor:
    """Cut the picture out of the canvas where the camera looks, (rows, W, 3)."""
    h, w = out.shape[1:]
    zoom = 1.06 - 0.06 * stage.static("focal", t)  # at 1 a pixel of the canvas is one of the picture
    phase, sway = stage.segment(t).variant, stage.static("drift", t)
    aside = 0.75 * (2 * stage.static("pan", t) - 1) + 0.25 * sway * np.sin(0.12 * t + phase)
    above = 0.75 * (2 * stage.static("height", t) - 1) + 0.25 * sway * np.sin(0.17 * t + 2 * phase)
    du, dv = aside * (MARGIN - 0.004 - zoom) * view.aspect, above * (MARGIN - 0.004 - zoom)
    gx = ((view.u * zoom + du) / view.pixel / w * 2).expand(view.rows, -1)
    gy = (-(view.v * zoom + dv) / view.pixel / h * 2).expand(-1, view.width)
    if (wind := stage.value("wind", t)) > 0.02:
        shake = _sway(stage, t, gx, gy, loose, wind * view.height)
        gx, gy = gx + shake / w, gy + 0.4 * shake / h
    cut = F.grid_sample(out[None], torch.stack([gx, gy], -1)[None], mode="bilinear", align_corners=False)[0]
    vignette = 1 - 0.22 * ((view.u / view.aspect) ** 2 * 0.6 + view.v**2 * 0.4)
    return (cut * vignette).permute(1, 2, 0).to(view.device)
