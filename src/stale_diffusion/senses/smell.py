"""Smell: how strong each note of a fixed vocabulary is, twice a second; eight notes a token."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses.base import Bits, Sense, Stream, Values
from stale_diffusion.senses.curves import BlockCode

if TYPE_CHECKING:
    from stale_diffusion.dreamscapes.place import Place
    from stale_diffusion.scene import Stage

NOTES = (
    "sea salt", "seaweed", "wet earth", "ozone", "rain on stone", "wood smoke", "resin", "pine", "moss", "leaf litter",
    "cut grass", "flowers", "coffee", "warm milk", "baked bread", "vanilla", "cold air", "hot metal", "dust", "fruit",
    "soap", "leather", "spice", "animal",
)  # fmt: skip
LEVEL = 1 / 24
CODE = BlockCode(8, (7, 7, 6, 6, 6, 6, 5, 5), 1 / 31)  # so that 8 rounded coefficients together stay under a level


@final
class Smell(Sense):
    """(T, 24): the intensity of each of NOTES, [0, 1], at 2 Hz."""

    name = "smell"
    unit = "intensity"
    rate = Fraction(2)
    channels = NOTES
    streams = (Stream("smell", 3, 8 * CODE.width, (1, 1, 3), kinds=3),)
    limits = ((0.0, 1.0, 1 / 31),) * len(NOTES)

    @property
    def fields(self) -> dict[str, list[int]]:
        """Eight notes of eight coefficients a token."""
        return {self.name: [*CODE.bits] * 8}

    def encode(self, values: Values) -> dict[str, Bits]:
        """(S * 8, 24) -> smell (S, 3, 384), note after note."""
        blocks = np.asarray(values, np.float64).reshape(-1, self.samples, len(self.channels))
        return {self.name: CODE.encode(blocks.swapaxes(1, 2)).reshape(len(blocks), 3, -1)}

    def decode(self, bits: dict[str, Bits]) -> NDArray[np.float32]:
        """The inverse of `encode`, within one level."""
        blocks = CODE.decode(bits[self.name].reshape(-1, len(self.channels), CODE.width)).swapaxes(1, 2)
        return blocks.reshape(-1, len(self.channels)).astype(np.float32)

    def perform(self, place: Place, stage: Stage, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """As the place says; how it lingers is added to what all places release."""
        return place.smell(stage, t)
