"""MPEG haptics interchange format, .hjif (ISO/IEC 23090-31): vibration at seat and back, temperature, wind.

The conformance rules are those of the MPEG reference software: version a year from 2023, profile Main, level 1 (at
most 128 channels of 7 bands), an ISO 8601 date with an offset, avatar ids from 1, channel ids unique, integer
positions in units of 1 / timescale and integer frequencies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.ahap import active
from stale_diffusion.jsonio import each, with_list
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import Track, keyframes, within_level

TIMESCALE = 1000  # ticks a second
FREQUENCY = (20, 300)  # Hz
NEUTRAL, SPAN = 20.0, 30.0  # degrees: amplitude 0 is 20 C, -1 is -10 C, 1 is 50 C
MAX_WIND = 20.0  # m/s at amplitude 1
MAX_EFFECT_SECONDS = 60


def to_hjif(movie: Movie) -> dict[str, Any]:
    """The touch of a movie as an .hjif document; dated as its recipe, so that one movie gives one file."""
    document: dict[str, Any] = json.loads("".join(stream(movie)))
    return document


def stream(movie: Movie) -> Iterator[str]:
    """The same as text, in pieces."""
    track = movie.touch
    warmth = np.clip((track.channel("temperature").astype(np.float64) - NEUTRAL) / SPAN, -1, 1)
    wind = np.clip(track.channel("wind").astype(np.float64) / MAX_WIND, 0, 1)
    perceptions = [
        _perception(0, "Vibrotactile", "vibration", [_vibration(0, "seat", track), _vibration(1, "back", track)]),
        _perception(1, "Temperature", "30 x amplitude + 20 degrees C", [_curve(2, "air", track, warmth)]),
        _perception(2, "Wind", "20 x amplitude metres a second", [_curve(3, "front", track, wind)]),
    ]
    head = {
        "version": "2023",
        "profile": "Main",
        "level": 1,
        "date": _date(movie),
        "description": f"Stale Diffusion: {movie.title}",
        "timescale": TIMESCALE,
        "avatars": [{"id": 1, "lod": 0, "type": "Vibration"}],
        "syncs": [],
    }
    yield from with_list(head, "perceptions", perceptions)
    yield "\n"


def _date(movie: Movie) -> str:
    """ISO 8601 with an offset: the reference software's pattern wants one, and takes no Z."""
    created = movie.recipe.created if movie.recipe else None
    try:
        date = datetime.fromisoformat(created or "2023-01-01")
    except ValueError:
        date = datetime(2023, 1, 1)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _perception(number: int, modality: str, description: str, channels: Iterable[Iterable[str]]) -> Iterator[str]:
    record = {
        "id": number,
        "avatar_id": 1,
        "description": description,
        "perception_modality": modality,
        "effect_library": [],
        "reference_devices": [],
    }
    return with_list(record, "channels", channels)


def _channel(number: int, description: str, band: dict[str, Any], effects: Iterator[dict[str, Any]]) -> Iterator[str]:
    """A channel of one band."""
    record = {
        "id": number,
        "description": description,
        "gain": 1.0,
        "mixing_coefficient": 1.0,
        "body_part_mask": 0,
    }
    return with_list(record, "bands", [with_list(band, "effects", each(effects))])


def _effect(position: int, frames: list[dict[str, Any]], phase: float = 0.0) -> dict[str, Any]:
    return {
        "effect_type": "Basis",
        "position": position,
        "phase": round(phase, 4),
        "base_signal": "Sine",
        "keyframes": frames,
    }


def _vibration(number: int, place: str, track: Track) -> Iterator[str]:
    """A place of the body: amplitude and frequency as keyframes, one vectorial effect a stretch of vibration."""
    band = {
        "band_type": "VectorialWave",
        "lower_frequency_limit": FREQUENCY[0],
        "upper_frequency_limit": FREQUENCY[1],
    }
    return _channel(number, place, band, _waves(place, track))


def _waves(place: str, track: Track) -> Iterator[dict[str, Any]]:
    """Effects of at most MAX_EFFECT_SECONDS; where one goes on from another, so does its phase."""
    values = np.clip(track.channel(f"{place}_amplitude").astype(np.float64), 0, 1)
    phase, end = 0.0, -1
    for first, last in active(values, int(MAX_EFFECT_SECONDS * track.rate)):
        cut = slice(first, last + 1)
        frames: dict[int, dict[str, Any]] = {}
        for i, v in _pairs(*keyframes(*within_level("seat_amplitude", values[cut]))):
            frames.setdefault(i, {})["amplitude_modulation"] = round(v, 4)
        hertz = np.clip(track.channel("frequency")[cut].astype(np.float64), *FREQUENCY)
        pitches = [(i, round(v)) for i, v in _pairs(*keyframes(hertz, 2.0))]
        for i, v in pitches:
            frames.setdefault(i, {})["frequency_modulation"] = v
        start = _ticks(first, track)
        phase = phase if first == end else 0.0
        ordered = [{"relative_position": _ticks(first + i, track) - start} | frames[i] for i in sorted(frames)]
        yield _effect(start, ordered, phase)
        turns = sum((j - i) * (f + g) / 2 for (i, f), (j, g) in pairwise(pitches)) / float(track.rate)
        phase, end = (phase + 2 * math.pi * turns) % (2 * math.pi), last


def _curve(number: int, description: str, track: Track, values: NDArray[np.float64]) -> Iterator[str]:
    """A slow signal: straight lines between keyframes."""
    band = {
        "band_type": "Curve",
        "curve_type": "Linear",
        "lower_frequency_limit": 0,
        "upper_frequency_limit": int(track.rate / 2),
    }
    return _channel(number, description, band, _lines(track, values.round(4)))


def _lines(track: Track, values: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Effects of MAX_EFFECT_SECONDS, each reaching to where the next begins: after its last keyframe a curve is 0."""
    longest = int(MAX_EFFECT_SECONDS * track.rate)
    for start in range(0, max(1, len(values) - 1), longest):
        position = _ticks(start, track)
        frames = [
            {"relative_position": _ticks(start + i, track) - position, "amplitude_modulation": round(v, 4)}
            for i, v in _pairs(*keyframes(values[start : start + longest + 1], 0.01))
        ]
        if frames:
            yield _effect(position, frames)


def _pairs(at: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[int, float]]:
    return list(zip(at.tolist(), values.tolist(), strict=True))


def _ticks(sample: int, track: Track) -> int:
    return round(sample / track.rate * TIMESCALE)
