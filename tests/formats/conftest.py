"""Movies for the formats."""

from __future__ import annotations

import numpy as np
import pytest
from storm import make_movie

from stale_diffusion.movie import Movie, Track


@pytest.fixture
def movie() -> Movie:
    """Six seconds of storm."""
    return make_movie()


@pytest.fixture
def still() -> Movie:
    """A movie in which nothing is felt, smelt or tasted."""
    made = make_movie(4.0)
    for name, track in made.tracks.items():
        values = np.zeros_like(track.values)
        if name == "touch":
            values[:, 2:] = (60, 20, 0)
        made.tracks[name] = Track(name, track.rate, track.channels, track.unit, values, track.origin)
    return made
