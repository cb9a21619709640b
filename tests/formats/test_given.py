"""Haptic files read back: any touch, written and read, is itself within a level; hostile files are one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storm import make_movie

from stale_diffusion.errors import StaleError
from stale_diffusion.formats import ahap, haptic, hjif
from stale_diffusion.movie import Movie, Track
from stale_diffusion.timeline import RANGES

READERS: dict[str, Callable[..., Track]] = {"hjif": hjif.read, "ahap": ahap.read, "haptic": haptic.read}


def any_movie(seconds: float, seed: int, rough: float) -> Movie:
    """Touch of any shape: noise, stretches of silence, knocks."""
    movie, rng = make_movie(seconds), np.random.default_rng(seed)
    n = max(1, round(seconds * 64))
    low, high, _ = np.array([RANGES[c] for c in movie.touch.channels]).T
    noise = rng.random((n, 5))
    knots = np.arange(0, n + 16, 16)
    smooth = np.stack([np.interp(np.arange(n), knots, rng.random(len(knots))) for _ in range(5)], -1)
    values = low + (rough * noise + (1 - rough) * smooth) * (high - low)
    values[:, :2] *= (np.sin(np.arange(n) / 9 + seed) > 0)[:, None]  # silences
    movie.tracks["touch"] = replace(movie.touch, values=values.astype(np.float32))
    return movie


def level(channel: str) -> float:
    return RANGES[channel][2]


LENGTHS, SEEDS, ROUGH = st.floats(0.05, 150), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0])


@settings(max_examples=25, deadline=None)
@given(LENGTHS, SEEDS, ROUGH)
def test_hjif_gives_back_what_was_written(seconds: float, seed: int, rough: float) -> None:
    track = any_movie(seconds, seed, rough).touch
    back = hjif.read("".join(hjif.stream(any_movie(seconds, seed, rough))))
    assert abs(len(back.values) - len(track.values)) <= 1
    n = min(len(back.values), len(track.values))
    for c, name in enumerate(track.channels):
        error = np.abs(back.values[:n, c] - track.values[:n, c])
        if name == "frequency":  # where nothing vibrates it has no meaning
            error = error[track.values[:n, :2].max(axis=1) > 0]
        assert error.max(initial=0) <= level(name) + 1e-3, name


@settings(max_examples=25, deadline=None)
@given(LENGTHS, SEEDS, ROUGH)
def test_ahap_gives_back_one_actuator(seconds: float, seed: int, rough: float) -> None:
    movie = any_movie(seconds, seed, rough)
    back, body = ahap.read("".join(ahap.stream(movie))), haptic.body(movie.touch)
    assert abs(len(back.values) - len(body)) <= 1
    n = min(len(back.values), len(body))
    assert np.abs(back.values[:n, 0] - body[:n]).max() <= level("seat_amplitude") + 1e-3
    hertz = np.clip(movie.touch.values[:n, 2], *ahap.SHARPNESS)[body[:n] > 0]
    assert np.abs(back.values[:n, 2][body[:n] > 0] - hertz).max(initial=0) <= 0.025 * 235


@settings(max_examples=25, deadline=None)
@given(LENGTHS, SEEDS, ROUGH)
def test_haptic_gives_back_one_actuator(seconds: float, seed: int, rough: float) -> None:
    movie = any_movie(seconds, seed, rough)
    back, body = haptic.read("".join(haptic.stream(movie))), haptic.body(movie.touch)
    assert abs(len(back.values) - len(body)) <= 1
    n = min(len(back.values), len(body))
    assert np.abs(back.values[:n, 0] - body[:n]).max() <= level("seat_amplitude") + 1e-3
    assert np.abs(np.log(back.values[:n, 2] / movie.touch.values[:n, 2])).max() <= np.log(15) / 63


def band(kind: str, effects: list[Any], **more: Any) -> dict[str, Any]:
    limits = {"lower_frequency_limit": 60, "upper_frequency_limit": 240}
    channel = {
        "id": 0,
        "description": "left hand",
        "gain": 0.5,
        "bands": [{"band_type": kind, "effects": effects} | limits],
    }
    perception = {"perception_modality": "Vibrotactile", "channels": [channel]} | more
    return {"timescale": 500, "perceptions": [perception]}


def test_hjif_of_others_transients_references_gain() -> None:
    frames = [
        {"relative_position": 0, "amplitude_modulation": 0.8, "frequency_modulation": 100},
        {"relative_position": 250},
    ]
    track = hjif.read(json.dumps(band("Transient", [{"effect_type": "Basis", "position": 500, "keyframes": frames}])))
    felt = np.flatnonzero(track.values[:, 0])
    assert felt.tolist() == [64, 96]
    assert track.values[64, :3] == pytest.approx([0.4, 0.4, 100])  # gain 0.5, at both places
    library = [
        {
            "id": 3,
            "effect_type": "Basis",
            "keyframes": [
                {"relative_position": 0, "amplitude_modulation": 1},
                {"relative_position": 100, "amplitude_modulation": 1},
            ],
        }
    ]
    text = json.dumps(
        band("VectorialWave", [{"effect_type": "Reference", "id": 3, "position": 250}], effect_library=library)
    )
    track = hjif.read(text)
    assert (track.values[:, 0] > 0).sum() == pytest.approx(0.2 * 64, abs=1)
    assert track.values[40, 2] == pytest.approx(120)  # in the middle of its band


def test_ahap_of_others_events_and_controls() -> None:
    hum = {
        "Time": 0.5,
        "EventType": "HapticContinuous",
        "EventDuration": 1.0,
        "EventParameters": [
            {"ParameterID": "HapticIntensity", "ParameterValue": 0.8},
            {"ParameterID": "HapticSharpness", "ParameterValue": 0.0},
        ],
    }
    tap = {"Time": 2.0, "EventType": "HapticTransient"}
    sound = {"Time": 9.0, "EventType": "AudioCustom", "EventWaveformPath": "../../etc/passwd"}
    softer = {"ParameterID": "HapticIntensityControl", "Time": 1.0, "ParameterValue": 0.5}
    pattern = [{"Event": hum}, {"Event": tap}, {"Event": sound}, {"Parameter": softer}]
    track = ahap.read(json.dumps({"Version": 1, "Pattern": pattern}))
    assert track.seconds == pytest.approx(2.0, abs=1 / 32)
    assert track.values[40, :3] == pytest.approx([0.8, 0.8, 65])
    assert track.values[70, 0] == pytest.approx(0.4)
    assert track.values[128, 0] == pytest.approx(0.5)
    assert track.values[110, 0] == 0


def test_curves_of_an_ahap_that_overlap_are_cut() -> None:
    points = [{"Time": t, "ParameterValue": v} for t, v in ((0, 0.0), (2, 1.0))]
    curves = [
        {"ParameterCurve": {"ParameterID": "HapticIntensityControl", "Time": t, "ParameterCurveControlPoints": points}}
        for t in (0, 1)
    ]
    hum = {"Time": 0, "EventType": "HapticContinuous", "EventDuration": 3}
    values = ahap.read(json.dumps({"Pattern": [{"Event": hum}, *curves]})).values[:, 0]
    assert values[[32, 63, 96, 128, 190]] == pytest.approx([0.25, 0.49, 0.25, 0.5, 0.98], abs=0.02)


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


HOSTILE = [
    "", "[]", "null", "{", "{}", "\x00", '{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}',
    nested(40), nested(100_000),
    '{"Pattern": 5, "perceptions": {}, "signals": []}',
    '{"Pattern": [5]}', '{"Pattern": [{"Event": {"Time": -1, "EventType": "HapticTransient"}}]}',
    '{"Pattern": [{"Event": {"Time": 1e300, "EventType": "HapticTransient"}}]}',
    '{"Pattern": [{"Event": {"Time": "0", "EventType": "HapticTransient"}}]}',
    '{"Pattern": [{"Event": {"Time": 0, "EventType": ["HapticTransient"]}}]}',
    '{"Pattern": [{"Event": {"Time": 0, "EventType": "HapticContinuous", "EventDuration": 1e9}}]}',
    '{"timescale": 0, "perceptions": []}', '{"perceptions": [null]}', '{"perceptions": [{"perception_modality": 3}]}',
    '{"perceptions": [{"perception_modality": "Wind", "channels": [{"bands": [7]}]}]}',
    json.dumps(band("WaveletWave", [])), json.dumps(band("VectorialWave", [7])),
    json.dumps(band("VectorialWave", [{"position": 0, "keyframes": [7]}])),
    json.dumps(band("VectorialWave", [{"position": 0, "keyframes": [{"relative_position": 1e12}]}])),
    json.dumps(band("VectorialWave", [{"position": 0, "keyframes": [{"amplitude_modulation": "loud"}]}])),
    json.dumps(band("VectorialWave", [{"effect_type": "Reference", "position": 0, "id": 9}])),
    json.dumps(band("VectorialWave", [{"effect_type": "Reference", "position": 0, "id": []}])),
]  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_files_are_one_clear_error(kind: str, text: str) -> None:
    with pytest.raises(StaleError) as error:
        READERS[kind](text.encode(), f"NAME.{kind}")
    assert error.value.what.startswith(f"NAME.{kind}")
    assert error.value.why
    assert error.value.mend


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_files_are_read_or_refused(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    from stale_diffusion.formats import export

    data = bytearray(b"".join(export.pieces(make_movie(1.0), kind)))
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(len(data))] = rng.choice(list(b'0919.-e"{}[],:xE'))
    try:
        track = READERS[kind](bytes(data))
    except StaleError:
        return
    assert np.isfinite(track.values).all()
    assert track.seconds <= 86_402


def test_effects_over_each_other_by_the_thousand_are_refused() -> None:
    frames = [
        {"relative_position": 0, "amplitude_modulation": 1},
        {"relative_position": 40_000_000, "amplitude_modulation": 1},
    ]
    effects = [{"effect_type": "Basis", "position": 0, "keyframes": frames}] * 2000
    with pytest.raises(StaleError, match="cannot be read"):
        hjif.read(json.dumps(band("VectorialWave", effects)))
    hum = {"Event": {"Time": 0, "EventType": "HapticContinuous", "EventDuration": 80_000}}
    with pytest.raises(StaleError, match="cannot be read"):
        ahap.read(json.dumps({"Pattern": [hum] * 2000}))


def test_the_designers_files_are_read(tmp_path: Path) -> None:
    """The shape that Lofelt Studio writes: no emphasis at most points, times that are no multiple of ours."""
    points = [
        {"time": 0.0010204081, "amplitude": 0.04},
        {"time": 0.005, "amplitude": 0.58, "emphasis": {"amplitude": 0.73, "frequency": 0.43}},
        {"time": 0.5, "amplitude": 0},
    ]
    document = {"version": {"major": 1}, "signals": {"continuous": {"envelopes": {"amplitude": points}}}}
    track = haptic.read(json.dumps(document))
    assert track.origin == "given"
    assert len(track.values) == pytest.approx(32, abs=1)
    assert track.values[1, 0] == pytest.approx(0.56, abs=0.02)
