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
from stale_diffusion.formats.given import HUM, MAX_POINTS, RATE, Array, Stroke, touch
from stale_diffusion.jsonio import Fields, each, read_object, refusal, with_list
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import MAX_SECONDS, Track, keyframes, within_level

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


# -------------------------------------------------------------------------------------------------------- reading

VIBRATION = ("Vibrotactile", "VibrotactileTexture", "Vibration")
SPANS = {"Temperature": ("temperature", NEUTRAL, SPAN), "Wind": ("wind", 0.0, MAX_WIND)}
MAX_LIST = 4096  # perceptions, channels, bands: far more than level 1 of the standard allows


def read(data: bytes | str, source: str = ".hjif file") -> Track:
    """Touch from an .hjif document: vibration of channels named seat or back (of both, where named otherwise),
    temperature and wind on the scale that this program writes; other modalities are left out.

    Raises:
        StaleError: it is damaged, holds no such touch, or holds wavelets.
    """
    root, fields = read_object(data, source), Fields(source)
    scale = fields.number(root, "timescale", 1, 48_000, TIMESCALE)
    strokes: list[Stroke] = []
    points = 0
    for stroke in _strokes(fields, scale, root):
        strokes.append(stroke)
        points += len(stroke.times)
        if points > MAX_POINTS:  # counted as they come: a reference costs its writer nothing
            raise refusal(source, f"it has more than {MAX_POINTS} keyframes")
    if not strokes:
        raise refusal(source, "it has neither vibration nor temperature nor wind")
    return touch(strokes, 0.0, source)


def _strokes(fields: Fields, scale: float, root: dict[str, Any]) -> Iterator[Stroke]:
    for perception in fields.list(root, "perceptions", MAX_LIST):
        modality = fields.text(perception, "perception_modality")
        if modality in VIBRATION or modality in SPANS:
            reader = _Reader(fields, scale, modality, perception)
            for channel in fields.list(perception, "channels", MAX_LIST):
                yield from reader.channel(channel)


class _Reader:
    """The channels of one perception as strokes."""

    def __init__(self, fields: Fields, scale: float, modality: str, perception: dict[str, Any]) -> None:
        self.fields, self.scale, self.modality = fields, scale, modality
        library = perception.get("effect_library") or []
        known = library if isinstance(library, list) else []
        self.library = {e["id"]: e for e in known if isinstance(e, dict) and isinstance(e.get("id"), int)}

    def channel(self, channel: Any) -> Iterator[Stroke]:
        bands = self.fields.list(channel, "bands", MAX_LIST)
        gain = self.fields.number(channel, "gain", -1e3, 1e3, 1.0)
        named = str(channel.get("description", "")).lower()
        places = tuple(place for place in ("seat", "back") if place in named) or ("seat", "back")
        for band in bands:
            kind = self.fields.text(band, "band_type")
            if kind == "WaveletWave":
                raise refusal(
                    self.fields.source, "it holds wavelets, which are not read: export it with vectorial bands"
                )
            limits = [self.fields.number(band, f"{end}_frequency_limit", 0, 1e6) for end in ("lower", "upper")]
            hum = HUM if kind == "Curve" else math.sqrt(max(limits[0], FREQUENCY[0]) * max(limits[1], FREQUENCY[0]))
            for effect in self.fields.list(band, "effects", MAX_POINTS):
                yield from self.effect(effect, kind, places, gain, hum)

    def effect(self, effect: Any, kind: str, places: tuple[str, ...], gain: float, hum: float) -> Iterator[Stroke]:
        position = self.fields.number(effect, "position", 0, MAX_SECONDS * self.scale)
        if effect.get("effect_type") == "Reference":
            effect = self.library.get(
                self.fields.number(effect, "id", -1e9, 1e9)
            )  # none of that name: `list` says what is missing
        frames = sorted(self.fields.list(effect, "keyframes", MAX_POINTS), key=self.position)
        times = np.array([self.seconds(position + self.position(frame)) for frame in frames])
        values = self.curve(frames, times, "amplitude_modulation", 1.0 if kind == "Transient" else 0.0) * gain
        hertz = self.curve(frames, times, "frequency_modulation", hum)
        if self.modality in SPANS:
            lane, neutral, span = SPANS[self.modality]
            places, values = (lane,), neutral + span * values
        else:
            values = np.abs(values)
        if kind == "Transient":  # every keyframe is a tap
            yield from (
                Stroke(places, times[i : i + 1], values[i : i + 1], hertz[i : i + 1]) for i in range(len(times))
            )
        elif len(times):
            yield Stroke(places, times, values, hertz)

    def position(self, frame: Any) -> float:
        return self.fields.number(frame, "relative_position", 0, MAX_SECONDS * self.scale, 0)

    def seconds(self, ticks: float) -> float:
        """Positions are whole ticks; the sample that lies within half a tick is the one that was meant."""
        sample = ticks / self.scale * RATE
        near = abs(sample - round(sample)) <= min(0.25, 0.5 * RATE / self.scale + 1e-6)
        return (round(sample) if near else sample) / RATE

    def curve(self, frames: list[Any], times: Array, name: str, default: float) -> Array:
        """One property of the keyframes; where a keyframe does not say, between its neighbours that do."""
        said = [i for i, frame in enumerate(frames) if name in frame]
        points = [self.fields.number(frames[i], name, -1e6, 1e6) for i in said]
        return np.interp(times, times[said], points) if said else np.full(len(times), default)
