"""MPEG haptics interchange format, .hjif (ISO/IEC 23090-31): vibration at seat and back, temperature, wind.

The conformance rules are those of the MPEG reference software: version a year from 2023, profile Main, level 1 (at
most 128 channels of 7 bands), an ISO 8601 date with an offset, avatar ids from 1, channel ids unique, integer
positions in units of 1 / timescale and integer frequencies.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.ahap import active
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import Track, channel_keyframes, keyframes

TIMESCALE = 1000  # ticks a second
FREQUENCY = (20, 300)  # Hz
NEUTRAL, SPAN = 20.0, 30.0  # degrees: amplitude 0 is 20 C, -1 is -10 C, 1 is 50 C
MAX_WIND = 20.0  # m/s at amplitude 1


def to_hjif(movie: Movie, date: datetime | None = None) -> dict[str, Any]:
    """The touch of a movie as an .hjif document.

    Args:
        date: of the document; by default the recipe's, so that one movie gives one file, or 2023-01-01.
    """
    track = movie.touch
    seat, back = (_vibration(i, place, track) for i, place in enumerate(("seat", "back")))
    warmth = np.clip((track.channel("temperature") - NEUTRAL) / SPAN, -1, 1)
    wind = np.clip(track.channel("wind") / MAX_WIND, 0, 1)
    return {
        "version": "2023",
        "profile": "Main",
        "level": 1,
        "date": _iso(date or _created(movie)),
        "description": f"Stale Diffusion: {movie.title}",
        "timescale": TIMESCALE,
        "avatars": [{"id": 1, "lod": 0, "type": "Vibration"}],
        "perceptions": [
            _perception(0, "Vibrotactile", "vibration of seat and back", [seat, back]),
            _perception(1, "Temperature", "air; 30 x amplitude + 20 degrees C", [_curve(2, "air", track, warmth)]),
            _perception(2, "Wind", "20 x amplitude metres a second", [_curve(3, "front", track, wind)]),
        ],
        "syncs": [],
    }


def dumps(movie: Movie) -> str:
    """The .hjif document as text."""
    return json.dumps(to_hjif(movie), separators=(",", ":"))


def _created(movie: Movie) -> datetime:
    created = movie.recipe.created if movie.recipe else None
    try:
        return datetime.fromisoformat(created or "2023-01-01")
    except ValueError:
        return datetime(2023, 1, 1)


def _iso(date: datetime) -> str:
    """ISO 8601 with an offset: the reference software's pattern wants one, and takes no Z."""
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _perception(number: int, modality: str, description: str, channels: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": number,
        "avatar_id": 1,
        "description": description,
        "perception_modality": modality,
        "effect_library": [],
        "reference_devices": [],
        "channels": channels,
    }


def _channel(number: int, description: str, band: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "description": description,
        "gain": 1.0,
        "mixing_coefficient": 1.0,
        "body_part_mask": 0,
        "bands": [band],
    }


def _effect(position: int, frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {"effect_type": "Basis", "position": position, "phase": 0.0, "base_signal": "Sine", "keyframes": frames}


def _vibration(number: int, place: str, track: Track) -> dict[str, Any]:
    """A place of the body: one vectorial effect a stretch of vibration, amplitude and frequency as keyframes."""
    values = np.clip(track.channel(f"{place}_amplitude"), 0, 1).astype(np.float64)
    effects = []
    for first, last in active(values):
        cut = slice(first, last + 1)
        frames: dict[int, dict[str, Any]] = {}
        for i, v in _pairs(*channel_keyframes("seat_amplitude", values[cut])):
            frames.setdefault(i, {})["amplitude_modulation"] = round(v, 4)
        hertz = np.clip(track.channel("frequency")[cut].astype(np.float64), *FREQUENCY)
        for i, v in _pairs(*keyframes(hertz, 2.0)):
            frames.setdefault(i, {})["frequency_modulation"] = round(v)
        start = _ticks(first, track)
        ordered = [{"relative_position": _ticks(first + i, track) - start} | frames[i] for i in sorted(frames)]
        effects.append(_effect(start, ordered))
    band = {
        "band_type": "VectorialWave",
        "lower_frequency_limit": FREQUENCY[0],
        "upper_frequency_limit": FREQUENCY[1],
        "effects": effects,
    }
    return _channel(number, place, band)


def _curve(number: int, description: str, track: Track, values: NDArray[np.float32]) -> dict[str, Any]:
    """A slow signal: one effect over the whole movie, straight lines between keyframes."""
    at, kept = keyframes(values.astype(np.float64).round(4), 0.01)
    frames = [{"relative_position": _ticks(i, track), "amplitude_modulation": round(v, 4)} for i, v in _pairs(at, kept)]
    band = {
        "band_type": "Curve",
        "curve_type": "Linear",
        "lower_frequency_limit": 0,
        "upper_frequency_limit": int(track.rate / 2),
        "effects": [_effect(0, frames)] if frames else [],
    }
    return _channel(number, description, band)


def _pairs(at: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[int, float]]:
    return list(zip(at.tolist(), values.tolist(), strict=True))


def _ticks(sample: int, track: Track) -> int:
    return round(sample / track.rate * TIMESCALE)
