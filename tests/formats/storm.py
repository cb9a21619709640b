"""A short movie with all senses: six seconds of storm, made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from stale_diffusion.movie import Movie, Screen, Track
from stale_diffusion.recipe import Recipe
from stale_diffusion.senses.balance import AXES
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES

CHANNELS = ("seat_amplitude", "back_amplitude", "frequency", "temperature", "wind")


class Gradient(Screen):
    """A moving gradient and a tone."""

    kind = "performed"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @property
    def seconds(self) -> float:
        return self._seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[np.ndarray]:
        width, height = size
        y, x = np.mgrid[0:height, 0:width]
        for k in range(round(self._seconds * fps) + 1):
            yield np.stack([(x * 2 + int(40 * k / fps)) % 256, (y * 3) % 256, (x + y) % 256], -1).astype(np.uint8)

    def sound(self, rate: int) -> Iterator[np.ndarray]:
        n = 0
        while n < self._seconds * rate:  # an odd chunk length: the writer must not depend on it
            tone = 0.2 * np.sin(2 * np.pi * 220 * (n + np.arange(997)) / rate)
            yield np.stack([tone, tone], -1).astype(np.float32)
            n += 997


def make_movie(seconds: float = 6.0) -> Movie:
    """Thunder at 2 s felt in the seat, ozone then wet earth, salt at the end."""
    t = np.arange(round(seconds * 64)) / 64
    u = np.arange(round(seconds * 2)) / 2
    seat = np.where(t > 2, 0.9 * np.exp(-(t - 2)), 0.0)
    back = 0.3 * (np.sin(40 * t) > 0.9) * (t > 3)
    touch = np.stack([seat, back, 60 + 20 * t, 14 - t, 3 + np.sin(t)], -1).astype(np.float32)
    smell = np.zeros((len(u), len(NOTES)), np.float32)
    smell[:, NOTES.index("ozone")] = 0.8 * np.exp(-((u - 1) ** 2))
    smell[:, NOTES.index("wet earth")] = 0.6 / (1 + np.exp(-3 * (u - 3)))
    taste = np.zeros((len(u), len(TASTES)), np.float32)
    taste[:, TASTES.index("salty")] = np.clip(u - 2, 0, 0.7)
    balance = np.zeros((round(seconds * 16), len(AXES)), np.float32)
    balance[32:64, AXES.index("heave")], balance[32:64, AXES.index("roll")] = 0.03, -3
    tracks = {
        "touch": Track("touch", Fraction(64), CHANNELS, "1, 1, Hz, degC, m/s", touch, "generated"),
        "smell": Track("smell", Fraction(2), NOTES, "intensity", smell, "generated"),
        "taste": Track("taste", Fraction(2), TASTES, "intensity", taste, "derived"),
        "balance": Track("balance", Fraction(16), AXES, "m, m, m, deg, deg, deg", balance, "derived"),
    }
    scene = np.where(np.random.default_rng(0).random((2, 25, 32)) > 0.5, 1, -1).astype(np.int8)
    recipe = Recipe("a storm, and then the sea", seed=7, steps=16, created="2026-01-02T03:04:05+00:00")
    return Movie(seconds, Gradient(seconds), tracks, recipe, scene)
