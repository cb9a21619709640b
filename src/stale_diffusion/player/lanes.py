"""The lanes of a movie as JSON for the page: numbers and words, nothing that a browser could take for code.

Shapes: T samples, C channels, W columns.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats import export, subtitles
from stale_diffusion.formats.notes import notes
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.senses import felt
from stale_diffusion.timeline import RANGES, Track

Array = NDArray[np.float64]

COLUMNS = 2400  # samples of a channel in one answer at most
TASTES = {"sweet": "#d58aa5", "sour": "#c9c95a", "salty": "#7f9db0", "bitter": "#8a6a58", "umami": "#b8863e"}
OTHER = "#9a8fb0"  # an additional sense
CAPTIONED = export.SENSES
RECIPE = ("plot", "seed", "steps", "picture", "created", "keshas", "cost_dollars", "xz_bits", "model", "source")
SOUND_RATE = 8000
HEARD_SECONDS = 10 * 60  # a longer file is heard here and there only
LOOKS = 240


def about(movie: Movie, name: str) -> dict[str, Any]:
    """What the page says of a movie: title, length, picture, the recipe, captions."""
    probe = movie.screen.probe if isinstance(movie.screen, Filmed) else None
    recipe = asdict(movie.recipe) if movie.recipe is not None else {}
    return {
        "name": name,
        "title": movie.title,
        "seconds": movie.seconds,
        "size": [probe.video.width, probe.video.height] if probe and probe.video else None,
        "sound": probe is None or bool(probe.audio),
        "recipe": {key: recipe[key] for key in RECIPE if recipe.get(key) is not None},
        "origins": {sense: track.origin for sense, track in movie.tracks.items()},
        "captions": captions(movie),
    }


def captions(movie: Movie) -> list[dict[str, Any]]:
    """The sentences of smell, taste and touch in order of time."""
    lines = [
        {"sense": sense, "start": line.start, "end": line.start + line.seconds, "text": line.text}
        for sense in CAPTIONED
        for line in subtitles.to_lines(movie, sense)
    ]
    return sorted(lines, key=lambda line: (line["start"], line["sense"]))


def lanes(movie: Movie, start: float, end: float, columns: int = COLUMNS) -> dict[str, Any]:
    """The tracks between two times, at most `columns` values a channel.

    Returns:
        {start, end, tracks: [{sense, origin, rate, channels: [{name, unit, colour, low, high, values}]}]}; value i
        stands at start + i / rate.
    """
    start = min(max(0.0, start), movie.seconds)
    end = min(max(start, end), movie.seconds)
    columns = min(max(1, columns), COLUMNS)
    tracks = [_track(track, start, end, columns) for track in movie.tracks.values()]
    return {"start": start, "end": end, "tracks": tracks}


def _track(track: Track, start: float, end: float, columns: int) -> dict[str, Any]:
    first, last = (Fraction(t).limit_denominator(1_000_000) * track.rate for t in (start, end))
    cut = track.values[int(first) : max(int(first) + 1, math.ceil(last) + 1)].astype(np.float64)
    step = max(1, math.ceil(len(cut) / columns))
    channels = []
    for c, (name, unit) in enumerate(zip(track.channels, track.units, strict=True)):
        low, high, level = RANGES.get(name, (0.0, 1.0, 1 / 63))
        digits = max(0, math.ceil(-math.log10(level / 10)))
        values = reduced(cut[:, c], step, highest=name.endswith("amplitude")).round(digits)
        channels.append({"name": name, "unit": unit, "colour": colour(track.sense, name), "low": low, "high": high,
                         "values": values.tolist()})  # fmt: skip
    rate = float(track.rate / step)
    return {"sense": track.sense, "origin": track.origin, "rate": rate, "start": float(int(first) / track.rate),
            "channels": channels}  # fmt: skip


def reduced(values: Array, step: int, *, highest: bool) -> Array:
    """Values (T,) as (W,), each of `step`: the highest (a knock of 15 ms stays to be seen) or the mean."""
    if step == 1 or not len(values):
        return values
    edges = np.arange(0, len(values), step)
    if highest:
        return np.asarray(np.maximum.reduceat(values, edges))
    return np.add.reduceat(values, edges) / np.diff(np.append(edges, len(values)))


def colour(sense: str, channel: str) -> str:
    """The colour of a channel, #rrggbb."""
    if sense == "smell" and channel in notes():
        return notes()[channel].colour
    return TASTES.get(channel, OTHER)


def channels() -> dict[str, list[dict[str, Any]]]:
    """Name, colour and range of each channel of what is felt, in the order of the network's channels."""
    return {
        sense.name: [
            {"name": name, "colour": colour(sense.name, name), "low": low, "high": high}
            for name, (low, high, _) in zip(sense.channels, sense.limits, strict=True)
        ]
        for sense in felt().values()
    }


def heard(movie: Movie, columns: int = 600) -> list[list[float]]:
    """Loudness and brightness of the sound, each [0, 1], in `columns` equal steps of time; empty without sound."""
    screen = movie.screen
    if screen is None:
        return []
    loud, bright = np.zeros(columns), np.zeros(columns)
    if isinstance(screen, Filmed) and movie.seconds > HEARD_SECONDS:
        for k in range(LOOKS):
            chunks = list(screen.sound(SOUND_RATE, k * movie.seconds / LOOKS, 0.25))
            found = heard_in(np.concatenate(chunks), 1) if chunks else [[0.0, 0.0]]
            loud[k * columns // LOOKS : (k + 1) * columns // LOOKS] = found[0][0]
            bright[k * columns // LOOKS : (k + 1) * columns // LOOKS] = found[0][1]
        return np.stack([loud, bright], 1).round(3).tolist()  # type: ignore[no-any-return]
    chunks = list(screen.sound(SOUND_RATE))
    if not chunks:
        return []
    sound = np.concatenate(chunks)
    whole = np.zeros((max(1, round(movie.seconds * SOUND_RATE)), 2), np.float32)
    whole[: len(sound)] = sound[: len(whole)]
    return heard_in(whole, columns)


def heard_in(sound: NDArray[np.float32], columns: int) -> list[list[float]]:
    """The same of samples (N, 2) in -1..1 at any rate: root mean square over 50 dB; how fast it changes."""
    mono = sound.mean(axis=1).astype(np.float64)
    edges = np.linspace(0, len(mono), columns + 1).astype(int)[:-1]
    counts = np.maximum(np.diff(np.append(edges, len(mono))), 1)
    power = np.add.reduceat(mono**2, edges) / counts
    change = np.add.reduceat(np.diff(mono, prepend=mono[:1]) ** 2, edges) / counts
    loud = np.clip(1 + 10 * np.log10(power + 1e-12) / 50, 0, 1)
    bright = np.clip(np.sqrt(change / (power + 1e-12)) / 1.2, 0, 1)
    return np.stack([loud, bright], 1).round(3).tolist()  # type: ignore[no-any-return]
