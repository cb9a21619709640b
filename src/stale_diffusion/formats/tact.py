"""bHaptics .tact: a vest of 2 x 20 motors, five rows of four in front and behind, driven dot by dot.

The structure is that of files which bHaptics Designer exports: project (layout, tracks of effects, each with a mode for
VestFront and VestBack), intervalMillis, size, durationMillis. Motors have strength and no frequency. Times are whole
milliseconds from the start of their effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.jsonio import dumps, each, joined
from stale_diffusion.movie import Movie

LOWER_FRONT = tuple(range(12, 20))  # the seat: the two lowest rows in front
UPPER_BACK = tuple(range(12))  # the back: the three upper rows behind
INTERVAL_MS = 20  # of the player's clock
SAMPLES = 3  # of touch that share one strength: 47 ms, two of the player's ticks
LEVELS = 20  # strengths told apart
MAX_EFFECT_SECONDS = 30
Levels = NDArray[np.int64]


def stream(movie: Movie) -> Iterator[str]:
    """The touch of a movie as a .tact document, in pieces."""
    created = _milliseconds(movie)
    project = {"createdAt": created, "updatedAt": created, "id": "", "name": movie.title, "description": "",
               "mediaFileDuration": int(np.ceil(movie.seconds)), "layout": _layout()}  # fmt: skip
    yield '{"project":' + dumps(project)[:-1] + ',"tracks":[{"enable":true,"effects":['
    yield from joined(each(_effects(movie)))
    end = round(movie.seconds * 1000)
    yield ']}]},"durationMillis":' + str(end) + f',"intervalMillis":{INTERVAL_MS},"size":20}}\n'


def _milliseconds(movie: Movie) -> int:
    """When the movie was made, so that one movie gives one file."""
    created = movie.recipe.created if movie.recipe else None
    try:
        date = datetime.fromisoformat(created or "2023-01-01")
    except ValueError:
        date = datetime(2023, 1, 1)
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000)


def _layout() -> dict[str, Any]:
    dots = [{"index": i, "x": round(i % 4 / 3, 3), "y": i // 4 / 4} for i in range(20)]
    return {"type": "Tactot", "name": "Tactot", "layouts": {"VestFront": dots, "VestBack": dots}}


def _effects(movie: Movie) -> Iterator[dict[str, Any]]:
    """One effect a stretch in which something vibrates, of at most MAX_EFFECT_SECONDS."""
    track = movie.touch
    levels = [_levels(track.channel(f"{place}_amplitude")) for place in ("seat", "back")]
    step = SAMPLES / float(track.rate) * 1000
    on = np.flatnonzero(np.diff(np.maximum(*levels) > 0, prepend=False, append=False)).reshape(-1, 2).tolist()
    longest = int(MAX_EFFECT_SECONDS * 1000 / step)
    parts = [(first, min(first + longest, end)) for a, end in on for first in range(a, end, longest)]
    for number, (first, end) in enumerate(parts, 1):
        start, seats, backs = round(first * step), levels[0][first:end], levels[1][first:end]
        edges = [round(k * step) - start for k in range(first, end + 1)]
        edges[-1] = min(edges[-1], max(round(movie.seconds * 1000) - start, edges[-2] + 1))
        modes = {"VestFront": _mode(seats, edges, LOWER_FRONT), "VestBack": _mode(backs, edges, UPPER_BACK)}
        yield {"name": f"Effect {number}", "startTime": start, "offsetTime": edges[-1], "modes": modes}


def _levels(amplitude: NDArray[np.float32]) -> Levels:
    """The peak of each SAMPLES samples, in LEVELS; a vibration that is there is never rounded away."""
    starts = np.arange(0, len(amplitude), SAMPLES)
    peaks = np.maximum.reduceat(np.clip(amplitude.astype(np.float64), 0, 1), starts) if len(amplitude) else amplitude
    return np.where(peaks > 0.25 / LEVELS, np.maximum(1, np.round(peaks * LEVELS)), 0).astype(np.int64)


def _mode(levels: Levels, edges: list[int], dots: tuple[int, ...]) -> dict[str, Any]:
    """The dots of one side: a feedback for every run of one strength, silence left out."""
    runs = np.flatnonzero(np.diff(levels, prepend=-1)).tolist()
    feedback = [
        {
            "startTime": edges[a],
            "endTime": edges[b],
            "playbackType": "NONE",
            "pointList": [{"index": dot, "intensity": round(float(levels[a]) / LEVELS, 3)} for dot in dots],
        }
        for a, b in zip(runs, [*runs[1:], len(levels)], strict=True)
        if levels[a]
    ]
    silent = {"startTime": 0, "endTime": edges[-1], "playbackType": "NONE", "pointList": []}
    path = {"movingPattern": "CONST_SPEED", "playbackType": "NONE", "visible": True, "pointList": []}
    return {
        "mode": "DOT_MODE",
        "dotMode": {"dotConnected": False, "feedback": feedback or [silent]},
        "pathMode": {"feedback": [path]},
    }
