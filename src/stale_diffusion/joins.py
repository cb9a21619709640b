"""Where segments meet: slow lanes go on, whatever the network left between two segments.

The codes are exact and know nothing of this; it is for what is generated, segment by segment.

Shapes: S segments, T samples a segment, C channels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses import SENSES, touch
from stale_diffusion.senses.smell import LEVEL


def close_gaps(segments: NDArray[np.float64], samples: int, slack: float) -> NDArray[np.float64]:
    """Fade out, over the first `samples` of a segment, what it misses of the one before beyond `slack`, (S, T, C)."""
    fade = 0.5 + 0.5 * np.cos(np.pi * np.arange(samples) / samples)
    out = segments.copy()
    for before, after in pairwise(out):
        gap = before[-1] - after[0]
        after[:samples] += (gap - np.clip(gap, -slack, slack)) * fade[:, None]
    return np.clip(out, 0, 1)


def join(sense: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What was generated of a felt sense (S * T, C) without steps where segments meet.

    Vibration closes within a fifth of a second, warmth and wind within one, smell and taste, which linger, within two.
    """
    if sense == "touch":
        unit = touch.to_unit(values)
        segments = unit.reshape(-1, SENSES[sense].samples, 5)
        vibration = close_gaps(segments[..., :3], touch.RATE // 5, 2 * LEVEL)
        air = close_gaps(segments[..., 3:], touch.RATE, LEVEL / 4)
        return touch.from_unit(np.concatenate([vibration, air], -1).reshape(-1, 5))
    its = SENSES[sense]
    segments = its.to_unit(values).reshape(-1, its.samples, values.shape[-1])
    closed = close_gaps(segments, round(its.closes * its.rate), float(4 * LEVEL / its.rate))  # what a tick may move
    return its.from_unit(closed.reshape(values.shape))
