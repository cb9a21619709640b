"""Perform a scene: picture, sound and, as ground truth, what is felt, from the places it names.

Where one place turns into another (the curve "mix"), both are performed and dissolve: light in linear light, sound and
touch by level.

Shapes: H rows, W columns, N samples, T ticks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import lru_cache, partial
from importlib import import_module
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes.noise import texture
from stale_diffusion.dreamscapes.place import Place, View, linger
from stale_diffusion.scene import Segment, Stage
from stale_diffusion.senses import felt
from stale_diffusion.senses.base import SEGMENT_SECONDS

KEEP = 5  # segments a stage remembers while it streams: thunder and reverberation reach back up to 16 s
_MODULES = {
    "shore": "shore.Shore",
    "rain on glass": "rain_glass.RainOnGlass",
    "forest stream": "stream.ForestStream",
    "campfire": "campfire.Campfire",
    "thunderstorm": "thunderstorm.Thunderstorm",
    "kettle and coffee": "kettle.Kettle",
    "snowfall": "snowfall.Snowfall",
    "night train": "night_train.NightTrain",
    "aurora": "aurora.Aurora",
    "meadow": "meadow.Meadow",
    "bakery oven": "bakery.Bakery",
    "lighthouse": "lighthouse.Lighthouse",
}
BUILT = tuple(_MODULES)
"""The places that can be performed today; the layout of the scene has room for more (scene.PLACES)."""


@lru_cache
def place(name: str) -> Place:
    """The place of a name; a name that is not built yet is performed as the first that is."""
    module, cls = _MODULES.get(name, _MODULES[BUILT[0]]).split(".")
    return cast(Place, getattr(import_module(f"stale_diffusion.dreamscapes.{module}"), cls)())


def _cast(stage: Stage, since: float, until: float) -> list[str]:
    """The places that are on stage at some time of [since, until)."""
    steps = np.append(np.arange(since, until, SEGMENT_SECONDS), max(since, until - 1e-6))
    names = [n for t in steps for n in (stage.segment(float(t)).place, stage.segment(float(t)).next)]
    return list(dict.fromkeys(names))


def _weights(stage: Stage, name: str, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a place is on stage, (T,); the weights of all places add up to one."""
    mix = stage.values("mix", t)
    here = np.array([stage.segment(float(s)).place == name for s in t])
    there = np.array([stage.segment(float(s)).next == name for s in t])
    return np.asarray(here * (1 - mix) + there * mix)


def _blend(stage: Stage, t: NDArray[np.float64], lane: Callable[[Place], NDArray[np.float64]]) -> NDArray[np.float64]:
    names = _cast(stage, float(t[0]), float(t[-1]) + 1e-6)
    if len(names) == 1:
        return lane(place(names[0]))
    return np.asarray(sum(_weights(stage, n, t)[:, None] * lane(place(n)) for n in names))


def lanes(stage: Stage) -> dict[str, NDArray[np.float32]]:
    """Ground truth of what is felt over a whole stage, {sense: (T, C)}; smells linger."""
    out = {}
    for name, sense in felt().items():
        t = np.arange(stage.start, stage.end, 1 / float(sense.rate))
        values = _blend(stage, t, partial(sense.perform, stage=stage, t=t))
        if name == "smell":
            values = linger(values, float(sense.rate))
        out[name] = sense.from_unit(sense.to_unit(values))
    return out


def light(stage: Stage, t: float, view: View) -> Tensor:
    """Linear light at time t, (H, W, 3)."""
    segment, mix = stage.segment(t), stage.value("mix", t)
    if segment.next == segment.place or mix < 1 / 256:
        return place(segment.place).picture(stage, t, view)
    if mix > 255 / 256:
        return place(segment.next).picture(stage, t, view)
    return torch.lerp(place(segment.place).picture(stage, t, view), place(segment.next).picture(stage, t, view), mix)


_FILMIC = (2.51, 0.03, 2.43, 0.59, 0.14)  # Narkowicz 2015, a fit of the ACES reference curve
_WHITE = 7.25  # light from which on the curve is 1
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_STEPS = 32_768  # of the curve's table, even in the root of light: nowhere more than 0.05 levels of 255 wide


@lru_cache(maxsize=32)
def _curve(contrast: float, device: torch.device) -> Tensor:
    """The tone curve of film, sRGB's transfer and a contrast in [-0.5, 0.5], as a table of levels (_STEPS,), [0, 255]
    and half a level for rounding."""
    x = torch.linspace(0, 1, _STEPS, dtype=torch.float64) ** 2 * _WHITE
    a, b, c, d, e = _FILMIC
    x = ((x * (a * x + b)) / (x * (c * x + d) + e)).clamp(0, 1)
    x = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    x = x + 0.6 * contrast * x * (1 - x) * (2 * x - 1)
    return (x * 255 + 0.5).float().to(device)


@lru_cache(maxsize=4)
def _grain(width: int, height: int, device: torch.device) -> Tensor:
    """White noise of 0.55 levels for the dither, with room to move it about by up to 508 rows and columns."""
    tile = 0.55 * texture(20, 512, 0.0, 1.0, str(device))[0, 0, 1:-1, 1:-1]
    rows, columns = height + 509, width + 509
    return tile.repeat(rows // 512 + 1, columns // 512 + 1)[:rows, :columns].contiguous()


def develop(linear: Tensor, stage: Stage, t: float) -> Tensor:
    """From light to a picture as film sees it: exposure, warmth, saturation, tone curve, dither; uint8 (H, W, 3)."""
    exposure, warmth, saturation, contrast = (
        stage.static(name, t) - 0.5 for name in ("exposure", "warmth", "saturation", "contrast")
    )
    gain = np.array([1 + 0.3 * warmth, 1.0, 1 - 0.3 * warmth]) * 2 ** (4 * exposure)
    share = 1 + 0.8 * saturation
    mixed = (share * np.eye(3) + (1 - share) * _LUMA) * gain * ((_STEPS - 1) ** 2 / _WHITE)  # out = mixed @ light
    matrix = torch.from_numpy(mixed).to(linear)
    h, w, _ = linear.shape
    curve, shift = _curve(float(contrast), linear.device), int(t * 977) % 509
    grain = _grain(w, h, linear.device)[shift:, shift * 3 % 509 :]
    out = torch.empty(h, w, 3, dtype=torch.uint8, device=linear.device)
    step = max(1, 40_000 // w)  # rows that stay in the cache
    for top in range(0, h, step):
        planes = linear[top : top + step].permute(2, 0, 1).clamp(min=0).reshape(3, -1)
        at = (matrix @ planes).clamp_(0, (_STEPS - 1) ** 2).sqrt_().to(torch.int32).clamp_(min=0)
        levels = torch.index_select(curve, 0, at.view(-1)).view(3, -1, w)
        levels += grain[top : top + levels.shape[1], :w]
        out[top : top + step] = levels.clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)
    return out


def frame(stage: Stage, t: float, size: tuple[int, int], device: torch.device | str = "cpu") -> NDArray[np.uint8]:
    """The picture at time t, uint8 (H, W, 3); size is (width, height) in pixels."""
    return np.asarray(develop(light(stage, t, View.whole(*size, device)), stage, t).cpu().numpy())


def sound(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """Stereo sound of samples start .. start + n of the movie, (N, 2), softly limited below full scale."""
    t = (start + np.arange(n)) / rate
    names = _cast(stage, start / rate, (start + n) / rate)
    if len(names) == 1:
        out = place(names[0]).sound(stage, start, n, rate)
    else:
        coarse = np.arange(start, start + n + 480, 480) / rate
        weights = [np.interp(t, coarse, np.sqrt(_weights(stage, name, coarse)))[:, None] for name in names]
        parts = [w * place(name).sound(stage, start, n, rate) for w, name in zip(weights, names, strict=True)]
        out = np.sum(parts, 0)
    loud = 0.7 + 0.25 * np.tanh((np.abs(out) - 0.7) / 0.25)
    return np.where(np.abs(out) < 0.7, out, np.sign(out) * loud).astype(np.float32)


def stages(segments: list[Segment]) -> Iterator[tuple[int, Stage]]:
    """A stage that moves through a scene: (index, stage whose last segment that is)."""
    stage = Stage()
    for i, segment in enumerate(segments):
        stage.append(segment, keep=KEEP)
        yield i, stage


def frames(
    segments: list[Segment], size: tuple[int, int], fps: Fraction, device: torch.device | str = "cpu"
) -> Iterator[NDArray[np.uint8]]:
    """All frames of a scene in order, rendered a frame a core: each is a pure function of time."""
    torch.set_num_threads(1)  # a frame is small: one thread a frame beats all threads on one
    workers = os.cpu_count() or 1
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for i, stage in stages(segments):
            until = int(fps * SEGMENT_SECONDS * (i + 1))
            times = [float(k / fps) for k in range(done, until)]
            for at in range(0, len(times), 2 * workers):
                yield from pool.map(partial(frame, stage, size=size, device=device), times[at : at + 2 * workers])
            done = until
