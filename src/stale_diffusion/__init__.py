"""Stale Diffusion: five-sense movies from a diffusion model whose noise is bit rot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stale_diffusion.errors import StaleError
from stale_diffusion.version import VERSION as __version__

if TYPE_CHECKING:
    from stale_diffusion.generate import Generator, load
    from stale_diffusion.movie import Movie, Track

__all__ = ["Generator", "Movie", "StaleError", "Track", "__version__", "load"]
_HOMES = {"Generator": "generate", "load": "generate", "Movie": "movie", "Track": "movie"}


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and `import stale_diffusion` should not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
