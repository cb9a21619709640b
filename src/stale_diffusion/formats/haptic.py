"""Lofelt / Meta .haptic: one actuator, envelopes of amplitude and frequency in [0, 1], emphasis at onsets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.given import MAX_POINTS, Stroke, touch
from stale_diffusion.jsonio import Fields, dumps, each, joined, read_object, refusal
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import MAX_SECONDS, Track, chunked_keyframes

HERTZ = (20.0, 300.0)  # frequency 0 and 1, on a logarithmic scale
ONSET_RISE = 0.08  # rise of the amplitude that is felt as a beginning: where haptic designers set an emphasis
ONSET_SHARE = 0.15  # ... and at least so much of the amplitude itself (`make bench NAME=touch`)
ONSET_SECONDS = 1 / 64  # ... within this time


def body(track: Track) -> NDArray[np.float64]:
    """Amplitude where there is one actuator for the whole body, (T,): the stronger of seat and back."""
    places = [track.channel(f"{place}_amplitude").astype(np.float64) for place in ("seat", "back")]
    return np.clip(np.maximum(*places), 0, 1)


def pitch(track: Track) -> NDArray[np.float64]:
    """Frequency as [0, 1] on the logarithmic scale between HERTZ, (T,)."""
    low, high = np.log(HERTZ)
    hertz = np.maximum(track.channel("frequency").astype(np.float64), 1.0)
    return np.asarray(np.clip((np.log(hertz) - low) / (high - low), 0, 1))


def onsets(
    amplitude: NDArray[np.float64], rate: Fraction, least: float = ONSET_RISE, within: float = ONSET_SECONDS
) -> list[tuple[int, float]]:
    """Beginnings felt in an amplitude (T,): [(sample of the peak, rise)], in order of time.

    An onset is a rise by `least`, and by ONSET_SHARE of what it rises to, within `within` seconds; the next one counts
    twice as long later.
    """
    reach = max(1, round(within * rate))
    before = np.concatenate([amplitude[:1].repeat(reach), amplitude])[: len(amplitude)]  # a movie may begin midway
    rise = amplitude - before
    found: list[tuple[int, float]] = []
    free = 0
    for i in np.flatnonzero(rise >= np.maximum(least, ONSET_SHARE * amplitude)).tolist():
        if i >= free:
            peak = i + int(rise[i : i + reach + 1].argmax())
            found.append((peak, float(rise[peak])))
            free = max(peak + 1, i + 2 * reach)
    return found


def to_haptic(movie: Movie) -> dict[str, Any]:
    """The touch of a movie as a .haptic document (version 1.0.0)."""
    document: dict[str, Any] = json.loads("".join(stream(movie)))
    return document


def stream(movie: Movie) -> Iterator[str]:
    """The same as text, in pieces."""
    metadata = {
        "editor": "Stale Diffusion", "author": "", "source": "", "project": movie.title, "tags": [],
        "description": "seat and back as one actuator; frequency 0-1 is 20-300 Hz, logarithmic",
    }  # fmt: skip
    yield dumps({"version": {"major": 1, "minor": 0, "patch": 0}, "metadata": metadata})[:-1]
    yield ',"signals":{"continuous":{"envelopes":{"amplitude":['
    yield from joined(each(_held(_amplitudes(movie.touch), "amplitude", movie.seconds)))
    yield '],"frequency":['
    yield from joined(each(_held(_pitches(movie.touch), "frequency", movie.seconds)))
    yield "]}}}}\n"


def _amplitudes(track: Track) -> Iterator[dict[str, Any]]:
    """Breakpoints of the amplitude; an onset is one of its own, with an emphasis not weaker than what lies under it."""
    amplitude, frequency = body(track).round(4), pitch(track).round(4)
    strong = dict(onsets(amplitude, track.rate))
    peaks = np.array(list(strong), np.int64)
    slack = np.where(amplitude > 0, 0.008, 0.0)
    slack[peaks] = 0
    for start, at, _ in chunked_keyframes(amplitude, slack):
        inside = peaks[(peaks >= start) & (peaks <= at[-1])]
        for i in np.union1d(at, inside).tolist():
            point: dict[str, Any] = {"time": round(float(i / track.rate), 6), "amplitude": float(amplitude[i])}
            if i in strong:
                emphasis = min(1.0, float(amplitude[i]) + 0.25 * strong[i])
                point["emphasis"] = {"amplitude": round(emphasis, 4), "frequency": float(frequency[i])}
            yield point


def _pitches(track: Track) -> Iterator[dict[str, Any]]:
    frequency = pitch(track).round(4)
    for _, at, values in chunked_keyframes(frequency, 0.01):
        for i, value in zip(at.tolist(), values.tolist(), strict=True):
            yield {"time": round(float(i / track.rate), 6), "frequency": value}


def _held(points: Iterator[dict[str, Any]], name: str, seconds: float) -> Iterator[dict[str, Any]]:
    """An envelope is never empty, and the last value is held to the end."""
    last = {"time": 0.0, name: 0.0}
    count = 0
    for count, last in enumerate(points, 1):  # noqa: B007
        yield last
    if count == 0 or last["time"] < seconds:
        yield {"time": round(seconds, 6) if count else 0.0, name: last[name]}


def read(data: bytes | str, source: str = ".haptic file") -> Track:
    """Touch from a .haptic document: the same at seat and back, 20 degrees, no wind. Emphasis is left out: it marks an
    onset of the envelope, and the envelope has it.

    Raises:
        StaleError: it is damaged.
    """
    envelopes: Any = read_object(data, source)
    for name in ("signals", "continuous", "envelopes"):
        envelopes = envelopes.get(name) if isinstance(envelopes, dict) else None
    fields = Fields(source)
    times, amplitude = _points(envelopes, "amplitude", fields)
    if not len(times):
        raise refusal(source, "it has no amplitude envelope")
    low, high = np.log(HERTZ)
    pitch_times, pitches = _points(envelopes, "frequency", fields) if envelopes.get("frequency") else (times, times * 0)
    hertz = np.exp(low + np.interp(times, pitch_times, pitches) * (high - low))
    track = touch([Stroke(("seat", "back"), times, amplitude, hertz)], 0.0, source)
    at = np.arange(len(track.values)) / float(track.rate)
    track.values[:, 2] = np.exp(low + np.interp(at, pitch_times, pitches) * (high - low))
    return track


def _points(envelopes: Any, name: str, fields: Fields) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and values of one envelope, checked."""
    points = fields.list(envelopes, name, MAX_POINTS)
    pairs = np.array([[fields.number(p, "time", 0, MAX_SECONDS), fields.number(p, name, 0, 1)] for p in points])
    pairs = pairs.reshape(-1, 2)
    if np.any(np.diff(pairs[:, 0]) < 0):
        raise refusal(fields.source, f"{name} is not in order of time")
    return pairs[:, 0], pairs[:, 1]
