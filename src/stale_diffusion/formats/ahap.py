"""Apple Haptic and Audio Pattern (AHAP): continuous events shaped by parameter curves, transients at onsets.

Intensity control multiplies, sharpness control adds; both act on every event of the pattern. A curve takes at most 16
points and a continuous event lasts at most 30 s, so both are split.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.haptic import body, onsets
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import keyframes

MAX_EVENT_SECONDS = 30.0
MAX_POINTS = 16
SHARPNESS = (65.0, 300.0)  # Hz at sharpness 0 and 1, as the MPEG haptics reference software reads it
TRANSIENT_SHARPNESS = 0.25  # added to the sharpness of the moment: a tap is crisper than the hum under it


def to_ahap(movie: Movie) -> dict[str, Any]:
    """The touch of a movie as an AHAP document, one actuator."""
    track = movie.touch
    amplitude, rate = body(track).round(3), float(track.rate)
    hertz = track.channel("frequency").astype(np.float64)
    sharpness = np.clip((hertz - SHARPNESS[0]) / (SHARPNESS[1] - SHARPNESS[0]), 0, 1).round(3)
    pattern: list[dict[str, Any]] = []
    for first, last in active(amplitude):
        pattern += _continuous(first / rate, min(last / rate, movie.seconds))
        cut = slice(first, last + 1)
        pattern += _curves("HapticIntensityControl", amplitude[cut], 0.008, first / rate, rate)
        pattern += _curves("HapticSharpnessControl", sharpness[cut], 0.02, first / rate, rate)
    for peak, rise in onsets(amplitude, track.rate):
        intensity = min(1.0, (float(amplitude[peak]) + rise) / 2 / max(float(amplitude[peak]), 0.05))
        pattern.append(_event("HapticTransient", peak / rate, intensity, TRANSIENT_SHARPNESS))
    pattern.sort(key=lambda entry: next(iter(entry.values()))["Time"])
    about = {"Project": movie.title, "Description": "seat and back as one actuator"}
    return {"Version": 1.0, "Metadata": about, "Pattern": pattern}


def dumps(movie: Movie) -> str:
    """The AHAP document as text."""
    return json.dumps(to_ahap(movie), separators=(",", ":"))


def active(amplitude: NDArray[np.float64]) -> list[tuple[int, int]]:
    """First and last sample of each stretch that is not silent, with the silence that frames it."""
    on = np.flatnonzero(np.diff(np.concatenate([[0], (amplitude > 0).astype(int), [0]])))
    return [(max(0, a - 1), min(b, len(amplitude) - 1)) for a, b in on.reshape(-1, 2).tolist() if b > a]


def _event(kind: str, time: float, intensity: float, sharpness: float) -> dict[str, Any]:
    parameters = [
        {"ParameterID": "HapticIntensity", "ParameterValue": round(intensity, 3)},
        {"ParameterID": "HapticSharpness", "ParameterValue": round(sharpness, 3)},
    ]
    return {"Event": {"Time": round(time, 4), "EventType": kind, "EventParameters": parameters}}


def _continuous(start: float, end: float) -> list[dict[str, Any]]:
    events = []
    while end - start > 1e-6:
        event = _event("HapticContinuous", start, 1.0, 0.0)
        event["Event"]["EventDuration"] = round(min(MAX_EVENT_SECONDS, end - start), 4)
        events.append(event)
        start += MAX_EVENT_SECONDS
    return events


def _curves(
    name: str, values: NDArray[np.float64], tolerance: float, start: float, rate: float
) -> list[dict[str, Any]]:
    """Parameter curves of at most 16 points; each begins where the one before ends."""
    at, kept = keyframes(values, np.where(values > 0, tolerance, 0.0))
    curves = []
    for k in range(0, max(1, len(at) - 1), MAX_POINTS - 1):
        times, points = at[k : k + MAX_POINTS], kept[k : k + MAX_POINTS]
        control = [
            {"Time": round(float(t - times[0]) / rate, 4), "ParameterValue": round(float(v), 3)}
            for t, v in zip(times, points, strict=True)
        ]
        time = round(start + float(times[0]) / rate, 4)
        curve = {"ParameterID": name, "Time": time, "ParameterCurveControlPoints": control}
        curves.append({"ParameterCurve": curve})
    return curves
