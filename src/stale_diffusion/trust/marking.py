"""A screen whose pictures and sound carry a mark."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import final

from stale_diffusion.movie import RGB, Movie, Screen, Sound
from stale_diffusion.recipe import Recipe
from stale_diffusion.trust import golay
from stale_diffusion.trust.heard import RATE, SoundMark
from stale_diffusion.trust.keys import Key
from stale_diffusion.trust.sight import SightMark

FIELDS = (
    "plot",
    "seed",
    "steps",
    "guidance",
    "model",
    "picture",
    "scene",
)  # of a recipe, what picture and sound are of


def digest(recipe: Recipe) -> bytes:
    """4 bytes that say from which recipe a picture and a sound were made."""
    said = json.dumps([getattr(recipe, name) for name in FIELDS], ensure_ascii=True)
    return hashlib.sha256(said.encode()).digest()[:4]


def payload(movie: Movie, key: Key) -> bytes:
    """What a mark says, 8 bytes: 4 of the key's id, 4 of the recipe's digest."""
    return bytes.fromhex(key.public.id) + digest(movie.described())


@final
class Marked(Screen):
    """Another screen, marked with a key."""

    def __init__(self, screen: Screen, key: Key, payload: bytes) -> None:
        self.screen, self.key, self.payload = screen, key, payload
        self.kind = screen.kind
        self._signs = golay.encode(payload)

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.screen.seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """The pictures, marked."""
        mark = SightMark(self.key.secret, self._signs, size)
        for i, frame in enumerate(self.screen.frames(size, fps)):
            yield mark(frame, float(i / fps))

    def sound(self, rate: int) -> Iterator[Sound]:
        """The sound, marked at 48 kHz; a sheet's lane or a preview at another rate is not."""
        chunks = self.screen.sound(rate)
        return SoundMark(self.key.secret, self._signs).stream(chunks) if rate == RATE else chunks


def marked(movie: Movie, key: Key) -> Movie:
    """The same movie; what is generated for eye and ear carries a mark, and its file will be signed."""
    assert movie.screen is not None
    return replace(movie, screen=Marked(movie.screen, key, payload(movie, key)), key=key)
