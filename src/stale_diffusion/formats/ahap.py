"""Apple Haptic and Audio Pattern (AHAP): continuous events shaped by parameter curves, transients at onsets.

Intensity control multiplies, sharpness control adds; both act on every event of the pattern. A curve takes at most 16
points and a continuous event lasts at most 30 s, so both are split.
"""

from __future__ import annotations

import heapq
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.given import MAX_POINTS as MAX_READ
from stale_diffusion.formats.given import RATE, Array, Stroke, touch
from stale_diffusion.formats.haptic import body, onsets
from stale_diffusion.jsonio import Fields, each, read_object, refusal, with_list
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import MAX_SECONDS, Track, keyframes

MAX_EVENT_SECONDS = 30
MAX_POINTS = 16
SHARPNESS = (65.0, 300.0)  # Hz at sharpness 0 and 1, as the MPEG haptics reference software reads it
MAX_SAMPLES = 2**26  # that all events of a file that is read last together
TRANSIENT_SHARPNESS = 0.25  # added to the sharpness of the moment: a tap is crisper than the hum under it


def to_ahap(movie: Movie) -> dict[str, Any]:
    """The touch of a movie as an AHAP document, one actuator."""
    document: dict[str, Any] = json.loads("".join(stream(movie)))
    return document


def stream(movie: Movie) -> Iterator[str]:
    """The same as text, in pieces."""
    track, amplitude = movie.touch, body(movie.touch).round(3)
    end = _curve("HapticIntensityControl", movie.seconds, [(0.0, 0.0)])  # so that a reader knows how long it is quiet
    pattern = heapq.merge(_hums(track, amplitude), _taps(track, amplitude), [end], key=_time)
    about = {"Project": movie.title, "Description": "seat and back as one actuator"}
    yield from with_list({"Version": 1.0, "Metadata": about}, "Pattern", each(pattern))
    yield "\n"


def active(amplitude: NDArray[np.float64], longest: int) -> Iterator[tuple[int, int]]:
    """First and last sample of each stretch that is not silent, with the silence that frames it.

    Args:
        longest: samples after which a stretch is split; the parts share a sample.
    """
    on = np.flatnonzero(np.diff(np.concatenate([[0], (amplitude > 0).astype(np.int8), [0]])))
    for a, b in on.reshape(-1, 2).tolist():
        first, last = max(0, a - 1), min(b, len(amplitude) - 1)
        for start in range(first, max(last, first + 1), longest):
            yield start, min(start + longest, last)


def _time(entry: dict[str, Any]) -> float:
    time: float = next(iter(entry.values()))["Time"]
    return time


def _event(kind: str, time: float, intensity: float, sharpness: float) -> dict[str, Any]:
    parameters = [
        {"ParameterID": "HapticIntensity", "ParameterValue": round(intensity, 3)},
        {"ParameterID": "HapticSharpness", "ParameterValue": round(sharpness, 3)},
    ]
    return {"Event": {"Time": round(time, 6), "EventType": kind, "EventParameters": parameters}}


def _hums(track: Track, amplitude: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Continuous events at full intensity, and the curves that shape them, in order of time."""
    rate = float(track.rate)
    hertz = track.channel("frequency").astype(np.float64)
    sharpness = np.clip((hertz - SHARPNESS[0]) / (SHARPNESS[1] - SHARPNESS[0]), 0, 1).round(3)
    for first, last in active(amplitude, int(MAX_EVENT_SECONDS * track.rate)):
        event = _event("HapticContinuous", first / rate, 1.0, 0.0)
        event["Event"]["EventDuration"] = round(max(last - first, 1) / rate, 6)
        yield event
        cut = slice(first, last + 1)
        slack = np.where(amplitude[cut] > 0, 0.008, 0.0)
        curves = (
            _curves("HapticIntensityControl", *keyframes(amplitude[cut], slack), first, rate),
            _curves("HapticSharpnessControl", *keyframes(sharpness[cut], 0.02), first, rate),
        )
        yield from heapq.merge(*curves, key=_time)


def _curves(
    name: str, at: NDArray[np.int64], values: NDArray[np.float64], first: int, rate: float
) -> Iterator[dict[str, Any]]:
    """Parameter curves of at most 16 points; each begins where the one before ends."""
    for k in range(0, max(1, len(at) - 1), MAX_POINTS - 1):
        times, points = at[k : k + MAX_POINTS].tolist(), values[k : k + MAX_POINTS].tolist()
        shape = [((t - times[0]) / rate, v) for t, v in zip(times, points, strict=True)]
        yield _curve(name, (first + times[0]) / rate, shape)


def _curve(name: str, time: float, points: list[tuple[float, float]]) -> dict[str, Any]:
    control = [{"Time": round(t, 6), "ParameterValue": round(v, 3)} for t, v in points]
    return {"ParameterCurve": {"ParameterID": name, "Time": round(time, 6), "ParameterCurveControlPoints": control}}


def _taps(track: Track, amplitude: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Transients; what they are to reach is divided by the intensity control of their moment."""
    for peak, rise in onsets(amplitude, track.rate):
        under = float(amplitude[peak])
        intensity = min(1.0, (under + rise) / 2 / max(under, 0.05))
        yield _event("HapticTransient", float(peak / track.rate), intensity, TRANSIENT_SHARPNESS)


# -------------------------------------------------------------------------------------------------------- reading

Points = list[tuple[float, float]]


def read(data: bytes | str, source: str = ".ahap file") -> Track:
    """Touch from an AHAP document: the same at seat and back, 20 degrees, no wind; sounds are left out.

    Event parameters other than intensity and sharpness (attack, decay, release) are not read.

    Raises:
        StaleError: it is damaged, or nothing in it is felt.
    """
    fields = Fields(source)
    events, curves = _parts(fields, fields.list(read_object(data, source), "Pattern", MAX_READ))
    intensity, sharpness = (_control(curves, f"Haptic{name}Control") for name in ("Intensity", "Sharpness"))
    strokes = []
    for start, end, level, sharp in events:
        inner = np.arange(np.ceil(start * RATE - 1e-6), np.floor(end * RATE + 1e-6) + 1) / RATE
        times = np.clip(inner, start, end) if len(inner) else np.array([start])
        felt = level * np.interp(times, *intensity) if len(intensity[0]) else np.full(len(times), level)
        added = np.interp(times, *sharpness) if len(sharpness[0]) else np.zeros(len(times))
        hertz = SHARPNESS[0] + np.clip(sharp + added, 0, 1) * (SHARPNESS[1] - SHARPNESS[0])
        strokes.append(Stroke(("seat", "back"), times, np.clip(felt, 0, 1), hertz))
    ends = [time for _, points in curves for time, _ in points]
    if not events and not ends:
        raise refusal(source, "nothing in it is felt")
    return touch(strokes, max(ends, default=0.0), source)


def _parts(fields: Fields, pattern: Sequence[Any]) -> tuple[list[tuple[float, ...]], list[tuple[str, Points]]]:
    """Haptic events (start, end, intensity, sharpness), and controls (name, [(time, value)]) in order of time."""
    events: list[tuple[float, ...]] = []
    curves: list[tuple[str, Points]] = []
    samples = 0.0
    for entry in pattern:
        part: Any
        kind, part = next(iter(entry.items()), ("", None)) if isinstance(entry, dict) else ("", None)
        start = fields.number(part, "Time", 0, MAX_SECONDS, 0)
        if kind == "Event" and fields.text(part, "EventType").startswith("Haptic"):
            long = part["EventType"] == "HapticContinuous"
            seconds = fields.number(part, "EventDuration", 0, MAX_SECONDS, 0) if long else 0.0
            said = _parameters(fields, part)
            events.append((start, start + seconds, said.get("HapticIntensity", 1.0), said.get("HapticSharpness", 0.5)))
            samples += seconds * RATE
            if samples > MAX_SAMPLES:
                raise refusal(fields.source, "its events lie over each other by the hundred")
        elif kind == "Parameter":
            curves.append((fields.text(part, "ParameterID"), [(start, _value(fields, part))]))
        elif kind == "ParameterCurve":
            points = fields.list(part, "ParameterCurveControlPoints", MAX_READ)
            at = sorted((start + fields.number(p, "Time", 0, MAX_SECONDS, 0), _value(fields, p)) for p in points)
            curves.append((fields.text(part, "ParameterID"), at))
        elif kind != "Event":
            raise refusal(fields.source, "an entry of its Pattern is neither Event nor Parameter nor ParameterCurve")
    return events, sorted((curve for curve in curves if curve[1]), key=lambda curve: curve[1][0][0])


def _value(fields: Fields, record: Any) -> float:
    return fields.number(record, "ParameterValue", -100, 100)


def _parameters(fields: Fields, event: dict[str, Any]) -> dict[str, float]:
    said = fields.list(event, "EventParameters", 64) if "EventParameters" in event else []
    return {fields.text(p, "ParameterID"): _value(fields, p) for p in said}


def _control(curves: list[tuple[str, Points]], name: str) -> tuple[Array, Array]:
    """One control over the whole pattern: each curve holds its last value until the next begins."""
    neutral = 1.0 if "Intensity" in name else 0.0
    times: list[float] = []
    values: list[float] = []
    for _, points in (curve for curve in curves if curve[0] == name):
        start = points[0][0]
        i = bisect_left(times, start)  # a curve that is not over when the next begins is cut there
        held = (
            float(np.interp(start, times[max(i - 1, 0) : i + 1], values[max(i - 1, 0) : i + 1])) if times else neutral
        )
        del times[i:], values[i:]
        times += [max(start - 1e-6, 0.0), *(time for time, _ in points)]
        values += [held, *(value for _, value in points)]
    return np.array(times), np.array(values)
