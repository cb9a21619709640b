"""What the formats know of each odour note: its MPEG-V ScentCS term, its colour in pictures, how long it lingers in a
still room after a puff, its odour profile.

Lingering and profiles are judgements made by hand for this project (CC0), not measurements.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

SCENT_CS = "urn:mpeg:mpeg-v:01-SI-ScentCS-NS:"  # ISO/IEC 23005-6, A.2.3


@dataclass(frozen=True)
class Note:
    """An odour note: name, ScentCS term, colour (#rrggbb), seconds it lingers, unit vector of odour qualities."""

    name: str
    scent: str
    colour: str
    linger: float
    profile: NDArray[np.float64]

    @property
    def urn(self) -> str:
        """The ScentCS term as a URN."""
        return SCENT_CS + self.scent


@cache
def notes() -> dict[str, Note]:
    """All notes by name, in the order of senses.smell.NOTES."""
    with resources.files(__package__).joinpath("notes.csv").open(encoding="utf-8") as table:
        rows = list(csv.reader(table))[1:]
    found = {}
    for name, scent, colour, linger, *qualities in rows:
        profile = np.array(qualities, np.float64)
        found[name] = Note(name, scent, colour, float(linger), profile / np.linalg.norm(profile))
    return found


def similarity(a: str, b: str) -> float:
    """Odour similarity of two notes, [0, 1]: cosine of their profiles."""
    table = notes()
    return float(table[a].profile @ table[b].profile)
