"""The senses: each with its clock, its unit and its code, one file a sense."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stale_diffusion.senses.base import SEGMENT_SECONDS, Sense, Stream

if TYPE_CHECKING:
    SENSES: dict[str, Sense]
    """The senses by name, in the order of LISTED."""

LISTED = (
    "sight.Sight",
    "hearing.Hearing",
    "touch.Touch",
    "smell.Smell",
    "taste.Taste",
    "balance.Balance",
)
"""Module and class of each sense, the module named as the sense is. A new one is a file and a line here, at the end:
the streams of a model stand in this order."""

FELT = tuple(entry.split(".")[0] for entry in LISTED[2:])
"""The names of the senses that are kept as tracks: all but sight and hearing."""

__all__ = ["FELT", "LISTED", "SEGMENT_SECONDS", "SENSES", "Sense", "Stream", "felt"]


def _made(entry: str) -> Sense:
    module, cls = entry.split(".")
    sense: Sense = getattr(import_module(f"{__name__}.{module}"), cls)()
    return sense


@lru_cache
def felt() -> dict[str, Sense]:
    """The senses of FELT by name; none of them reads tables from disk."""
    return {sense.name: sense for sense in map(_made, LISTED[2:])}


def __getattr__(name: str) -> Any:
    """SENSES is built on first use: the codes of sight and hearing read their tables from disk."""
    if name != "SENSES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = {sense.name: sense for sense in map(_made, LISTED[:2])} | felt()
    return globals()[name]
