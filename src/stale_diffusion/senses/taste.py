"""Taste: the five basic tastes, twice a second; one token a taste. No standard exists: docs/files.md documents ours."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses.base import Bits, Sense, Stream, Values
from stale_diffusion.senses.smell import CODE

if TYPE_CHECKING:
    from stale_diffusion.dreamscapes.place import Place
    from stale_diffusion.scene import Stage

TASTES = ("sweet", "sour", "salty", "bitter", "umami")


@final
class Taste(Sense):
    """(T, 5): sweet, sour, salty, bitter, umami, [0, 1], at 2 Hz."""

    name = "taste"
    unit = "intensity"
    rate = Fraction(2)
    channels = TASTES
    streams = (Stream("taste", 1, len(TASTES) * CODE.width, (1, 1, 1)),)
    limits = ((0.0, 1.0, 1 / 31),) * len(TASTES)

    @property
    def fields(self) -> dict[str, list[int]]:
        """Five tastes of eight coefficients."""
        return {self.name: [*CODE.bits] * len(TASTES)}

    def encode(self, values: Values) -> dict[str, Bits]:
        """(S * 8, 5) -> taste (S, 1, 240), taste after taste."""
        blocks = np.asarray(values, np.float64).reshape(-1, self.samples, len(self.channels))
        return {self.name: CODE.encode(blocks.swapaxes(1, 2)).reshape(len(blocks), 1, -1)}

    def decode(self, bits: dict[str, Bits]) -> NDArray[np.float32]:
        """The inverse of `encode`, within one level."""
        blocks = CODE.decode(bits[self.name].reshape(-1, len(self.channels), CODE.width)).swapaxes(1, 2)
        return blocks.reshape(-1, len(self.channels)).astype(np.float32)

    def perform(self, place: Place, stage: Stage, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """As the place says."""
        return place.taste(stage, t)
