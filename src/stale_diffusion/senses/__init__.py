"""The five senses: each with its clock, its unit and its code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stale_diffusion.senses.base import SEGMENT_SECONDS, Sense, Stream

if TYPE_CHECKING:
    SENSES: dict[str, Sense]
    """The senses in order: sight, hearing, touch, smell, taste."""

__all__ = ["SEGMENT_SECONDS", "SENSES", "Sense", "Stream"]


def __getattr__(name: str) -> Any:
    """SENSES is built on first use: the codes of sight and hearing read their tables from disk."""
    if name != "SENSES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stale_diffusion.senses.hearing import Hearing
    from stale_diffusion.senses.sight import Sight
    from stale_diffusion.senses.smell import Smell
    from stale_diffusion.senses.taste import Taste
    from stale_diffusion.senses.touch import Touch

    globals()[name] = {sense.name: sense for sense in (Sight(), Hearing(), Touch(), Smell(), Taste())}
    return globals()[name]
