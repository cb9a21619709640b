"""`--best-of N`: several movies of one plot, of which the best is kept (eq. 1), within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stale_diffusion import guidance as eq1
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import Generator
from stale_diffusion.movie import Movie
from stale_diffusion.recipe import keshas
from stale_diffusion.senses.base import Bits

Make = Callable[[int, dict[str, Bits]], Movie]
"""(seed, where the bits go) -> a movie."""
STILLS, SIZE = 6, (320, 180)


@dataclass(frozen=True)
class Candidate:
    """A movie, the bits it was made from, and how good it is; more is better."""

    movie: Movie
    bits: dict[str, Bits]
    score: float


def sharpness(movie: Movie) -> float:
    """Eq. 1's objective: DoG energy of the decoded picture, of six stills at 320x180."""
    if movie.screen is None:
        return 0.0
    return eq1.energy(np.stack([*movie.screen.stills(STILLS, SIZE)]))


def best_of(
    generator: Generator, make: Make, plot: str | Sequence[str], seed: int, count: int, by: str = "score"
) -> Candidate:
    """Make `count` movies from seed, seed + 1, ... and keep the best; its recipe names its own seed and the whole cost.

    Args:
        by: "score", y-hat of the crying-joy token: how well senses and plot belong together; or "dog", eq. 1.

    Raises:
        StaleError: another `by`, or fewer than one movie.
    """
    if by not in ("score", "dog"):
        raise StaleError(f"The best cannot be told by {by!r}.", mend="--by score, or --by dog", usage=True)
    if count < 1:
        raise StaleError(f"The best of {count} movies cannot be kept.", mend="--best-of 4", usage=True)
    best, cost = None, 0.0
    for i in range(count):
        bits: dict[str, Bits] = {}
        movie = make(seed + i, bits)
        assert movie.recipe is not None and movie.recipe.cost_dollars is not None
        cost += movie.recipe.cost_dollars
        score = 0.0 if count == 1 else sharpness(movie) if by == "dog" else generator.score(bits, plot)
        if best is None or score > best.score:
            best = Candidate(movie, bits, score)
    assert best is not None and best.movie.recipe is not None and best.movie.recipe.xz_bits is not None
    best.movie.recipe = replace(best.movie.recipe, cost_dollars=cost, keshas=keshas(best.movie.recipe.xz_bits, cost))
    return best
