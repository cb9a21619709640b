"""What a sense is: how it is measured, on which clock, in which unit, and how it becomes bits.

Shapes: S segments of SEGMENT_SECONDS, L tokens a segment, D bits a token, T samples, C channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stale_diffusion.dreamscapes.place import Place
    from stale_diffusion.scene import Stage

SEGMENT_SECONDS = 4
"""One segment is what the network sees at once; a movie is a whole number of them, cut to length when written."""

Bits = NDArray[np.int8]  # values in {-1, +1}
Values = NDArray[Any]


@dataclass(frozen=True)
class Stream:
    """One kind of token of a sense: in each segment (tokens, bits), every bit in {-1, +1}.

    Args:
        name: `sense` or `sense.part`, for example "sight.coarse".
        tokens: tokens a segment (L).
        bits: bits a token (D), a multiple of 8.
        grid: (time, rows, columns) of the tokens, in C order; its product is `tokens`.
        kinds: token l is of kind l % kinds; bits of two kinds mean different things, and the network reads and writes
            each kind by weights of its own.
    """

    name: str
    tokens: int
    bits: int
    grid: tuple[int, int, int]
    kinds: int = 1

    def __post_init__(self) -> None:
        if self.bits % 8 or int(np.prod(self.grid)) != self.tokens or self.tokens % self.kinds:
            raise ValueError(f"{self.name}: bits must be a multiple of 8 and the grid must hold all tokens")

    @property
    def sense(self) -> str:
        """The sense this stream belongs to: "sight" for "sight.coarse"."""
        return self.name.split(".")[0]


class Sense(ABC):
    """An abstract sense; final subclasses are sight, hearing, touch, smell, taste, balance (and yours: docs/senses.md).

    What is felt (all but sight and hearing) also says its `limits`, and how a place performs it.
    """

    name: str
    unit: str
    rate: Fraction  # samples a second
    channels: tuple[str, ...]
    streams: tuple[Stream, ...]
    limits: tuple[tuple[float, float, float], ...]  # of each channel: lowest and highest value, a level of the code
    closes: float = 2.0  # seconds within which generated segments are made to meet

    @property
    def fields(self) -> dict[str, list[int]]:
        """Which bits of a token are one Gray-coded number, {stream: widths in order}; nothing said: each bit alone."""
        return {}

    @property
    def samples(self) -> int:
        """Samples in one segment."""
        return int(self.rate * SEGMENT_SECONDS)

    @abstractmethod
    def encode(self, values: Values) -> dict[str, Bits]:
        """Turn S segments of values, (S * samples, ...), into bits, {stream: (S, L, D)}."""

    @abstractmethod
    def decode(self, bits: dict[str, Bits]) -> Values:
        """Turn bits, {stream: (S, L, D)}, back into values, (S * samples, ...)."""

    def to_unit(self, values: Values) -> NDArray[np.float64]:
        """Physical values (T, C) as [0, 1], clipped to the limits."""
        low, high, _ = np.array(self.limits).T
        return np.asarray(np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1))

    def from_unit(self, unit: NDArray[np.float64]) -> NDArray[np.float32]:
        """The inverse of `to_unit`."""
        low, high, _ = np.array(self.limits).T
        return np.asarray(low + unit * (high - low), np.float32)

    def perform(self, place: Place, stage: Stage, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a place of Dreamscapes does to this sense at times t, (T, C), in physical units; at rest by default."""
        return np.zeros((len(t), len(self.channels)))

    def effects(self, values: Values, seconds: float) -> Iterator[tuple[float, str]]:
        """(time, element) of MPEG-V effects of a track (T, C), in order of time; none by default."""
        return iter(())

    @property
    def speaks(self) -> bool:
        """Whether it has subtitles by `lines`."""
        return type(self).lines is not Sense.lines

    def lines(self, values: Values, seconds: float) -> list[tuple[float, float, str]]:
        """(start, seconds, text) of what subtitles say of a track (T, C); nothing by default."""
        return []
