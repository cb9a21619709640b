"""Apple Haptic and Audio Pattern (AHAP): continuous events shaped by parameter curves, transients at onsets.

Intensity control multiplies, sharpness control adds; both act on every event of the pattern. A curve takes at most 16
points and a continuous event lasts at most 30 s, so both are split.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.haptic import body, onsets
from stale_diffusion.jsonio import each, with_list
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import Track, keyframes

MAX_EVENT_SECONDS = 30
MAX_POINTS = 16
SHARPNESS = (65.0, 300.0)  # Hz at sharpness 0 and 1, as the MPEG haptics reference software reads it
TRANSIENT_SHARPNESS = 0.25  # added to the sharpness of the moment: a tap is crisper than the hum under it


def to_ahap(movie: Movie) -> dict[str, Any]:
    """The touch of a movie as an AHAP document, one actuator."""
    document: dict[str, Any] = json.loads("".join(stream(movie)))
    return document


def stream(movie: Movie) -> Iterator[str]:
    """The same as text, in pieces."""
    track, amplitude = movie.touch, body(movie.touch).round(3)
    pattern = heapq.merge(_hums(track, amplitude), _taps(track, amplitude), key=_time)
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
    return {"Event": {"Time": round(time, 4), "EventType": kind, "EventParameters": parameters}}


def _hums(track: Track, amplitude: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Continuous events at full intensity, and the curves that shape them, in order of time."""
    rate = float(track.rate)
    hertz = track.channel("frequency").astype(np.float64)
    sharpness = np.clip((hertz - SHARPNESS[0]) / (SHARPNESS[1] - SHARPNESS[0]), 0, 1).round(3)
    for first, last in active(amplitude, int(MAX_EVENT_SECONDS * track.rate)):
        event = _event("HapticContinuous", first / rate, 1.0, 0.0)
        event["Event"]["EventDuration"] = round(max(last - first, 1) / rate, 4)
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
        control = [
            {"Time": round((t - times[0]) / rate, 4), "ParameterValue": round(v, 3)}
            for t, v in zip(times, points, strict=True)
        ]
        time = round((first + times[0]) / rate, 4)
        yield {"ParameterCurve": {"ParameterID": name, "Time": time, "ParameterCurveControlPoints": control}}


def _taps(track: Track, amplitude: NDArray[np.float64]) -> Iterator[dict[str, Any]]:
    """Transients; what they are to reach is divided by the intensity control of their moment."""
    for peak, rise in onsets(amplitude, track.rate):
        under = float(amplitude[peak])
        intensity = min(1.0, (under + rise) / 2 / max(under, 0.05))
        yield _event("HapticTransient", float(peak / track.rate), intensity, TRANSIENT_SHARPNESS)
