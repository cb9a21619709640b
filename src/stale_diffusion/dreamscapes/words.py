"""What the captions of the places share: choosing words by a level, and putting sentences together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stale_diffusion.scene import Segment


def mean(segments: list[Segment], name: str) -> float:
    """The mean of a curve over a clip; a segment without it counts as 0."""
    # The zeroth DCT coefficient is four times the mean.
    return float(np.mean([s.curves[name][0] if name in s.curves else 0.0 for s in segments]) / 4)


def mean_where_given(segments: list[Segment], name: str) -> float:
    """The mean of a curve over the segments of a clip that have it; 0 where none has."""
    return float(np.mean([s.curves[name][0] / 4 for s in segments if name in s.curves] or [0.0]))


def pick(words: Sequence[str], rng: np.random.Generator) -> str:
    """One of some wordings."""
    return str(words[int(rng.integers(len(words)))])


def graded(words: tuple[tuple[str, ...], ...], value: float, rng: np.random.Generator) -> str:
    """A wording for a value in [0, 1]; the threshold between neighbours is soft."""
    level = int(np.clip(value * len(words) + rng.normal(0, 0.12), 0, len(words) - 1e-6))
    return str(rng.choice(words[level]))


def level(value: float, rng: np.random.Generator) -> int:
    """0 weak, 1 middling, 2 strong, with soft thresholds."""
    return int(np.searchsorted((0.34, 0.62), value + rng.normal(0, 0.03)))


def some(details: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One to three of some details, in any order."""
    return [details[i] for i in rng.permutation(len(details))[: 1 + int(rng.integers(3))]]


def joined(parts: Sequence[str], rng: np.random.Generator) -> str:
    """Parts with commas, or as sentences."""
    return (", " if rng.random() < 0.7 else ". ").join(parts)


def written(text: str, rng: np.random.Generator) -> str:
    """As it is, or with capitals and a full stop."""
    return ". ".join(p[0].upper() + p[1:] for p in text.split(". ")) + "." if rng.random() < 0.4 else text
