"""What a place is: its climate, and how it is seen, heard, felt, smelt and tasted from one scene.

Everything a place performs is a pure function of the stage (the scene on the movie's clock) and of absolute time, so
frames can be rendered in any order, at any size and rate, on any device, and a movie of any length needs no state.

Shapes: H rows, W columns, N samples of sound, T ticks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes.noise import blank
from stale_diffusion.scene import Segment, Stage

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A band of rows of the picture plane: pixel centres with v up in [-1, 1] and u in [-aspect, aspect].

    Args:
        width, height: the whole picture, pixels.
        top, rows: the band, pixels from the top.
        device: where to render.
    """

    width: int
    height: int
    top: int
    rows: int
    device: torch.device

    @classmethod
    def whole(cls, width: int, height: int, device: torch.device | str = "cpu") -> View:
        """The whole picture."""
        return cls(width, height, 0, height, torch.device(device))

    @property
    def pixel(self) -> float:
        """The size of a pixel in units of u and v: detail finer than this must fade out, or it shimmers."""
        return 2 / self.height

    @property
    def aspect(self) -> float:
        """Half the width of the plane."""
        return self.width / self.height

    @property
    def u(self) -> Tensor:
        """(1, W), from left to right."""
        return ((torch.arange(self.width, device=self.device) + 0.5) * self.pixel - self.aspect)[None]

    @property
    def v(self) -> Tensor:
        """(rows, 1), from top to bottom."""
        return (1 - (torch.arange(self.top, self.top + self.rows, device=self.device) + 0.5) * self.pixel)[:, None]


def in_bands(view: View, shade: Callable[[View], Tensor], pixels: int = 30_000) -> Tensor:
    """Shade a picture band by band, (rows, W) -> (rows, W, C): bands of about 30,000 pixels stay in the cache."""
    step = max(1, pixels // view.width)
    bands = [replace(view, top=view.top + y, rows=min(step, view.rows - y)) for y in range(0, view.rows, step)]
    first = shade(bands[0])
    out = blank(view.rows, view.width, first.shape[-1], view.device)
    out[: len(first)] = first
    for i, band in enumerate(bands[1:], 1):
        out[i * step : i * step + band.rows] = shade(band)
    return out


class Place(ABC):
    """An abstract place; one final subclass a file."""

    name: str

    @abstractmethod
    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """Draw a scene from the climate of this place: the true distribution that the network learns."""

    @abstractmethod
    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """Say what is there, how strong, when, in one of many ways."""

    @abstractmethod
    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Light at time t, (rows, W, 3), linear BT.709 primaries, 1 = diffuse white before exposure, float32."""

    @abstractmethod
    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Pressure, (N, 2), samples start .. start + n of the movie at `rate`; about -20 dBFS when loud."""

    @abstractmethod
    def touch(self, stage: Stage, t: Array) -> Array:
        """(T, 5): seat and back amplitude [0, 1], frequency 20-300 Hz, temperature -10..50 C, wind 0-20 m/s."""

    @abstractmethod
    def smell(self, stage: Stage, t: Array) -> Array:
        """(T, 24): how strongly each note of senses.smell.NOTES is released, [0, 1]; lingering is added by `linger`."""

    @abstractmethod
    def taste(self, stage: Stage, t: Array) -> Array:
        """(T, 5): sweet, sour, salty, bitter, umami on the tongue, [0, 1]; zeros where nothing is tasted."""


def drift(rng: np.random.Generator, segments: int, mean: float, spread: float, seconds: float = 8.0) -> Array:
    """A smooth random curve around `mean`, (segments, 16) at 4 Hz, clipped to [0, 1].

    Args:
        spread: standard deviation.
        seconds: time over which it forgets itself.
    """
    n = segments * 16
    taps = np.hanning(max(3, int(seconds * 4))) + 1e-9
    noise = np.convolve(rng.standard_normal(n + len(taps) - 1), taps / np.sqrt((taps**2).sum()), "valid")
    return np.clip(mean + spread * noise, 0, 1).reshape(segments, 16)


def anywhere(rng: np.random.Generator, *names: str) -> dict[str, float]:
    """Statics drawn uniformly from [0, 1)."""
    return {name: float(rng.random()) for name in names}


def middling(rng: np.random.Generator, spread: float, edge: float, *names: str) -> dict[str, float]:
    """Statics drawn around 0.5 with standard deviation `spread`, at least `edge` away from 0 and 1."""
    return {name: float(np.clip(rng.normal(0.5, spread), edge, 1 - edge)) for name in names}


def linger(released: Array, rate: float, build: float = 1.5, decay: float = 9.0) -> Array:
    """What is smelt of what is released: it builds up in `build` seconds and lingers for `decay`, (T, C) -> (T, C).

    A first-order room model: dc/dt = (r - c) / tau, tau = build where c rises and decay where it falls.
    """
    out = np.empty_like(released)
    level = released[0].copy()
    for i, r in enumerate(released):
        tau = np.where(r > level, build, decay)
        level = level + (r - level) * (1 - np.exp(-1 / (rate * tau)))
        out[i] = level
    return out
