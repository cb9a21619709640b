"""hjif, ahap and .haptic: the rules that their readers check, and the values they carry."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.formats import ahap, haptic, hjif
from stale_diffusion.movie import Movie


def keys_everywhere(value: Any) -> list[Any]:
    """All leaves of a JSON document."""
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in keys_everywhere(v)]
    return [leaf for v in value for leaf in keys_everywhere(v)] if isinstance(value, list) else [value]


# the checks of the MPEG reference software (IOJson: required members and semantic conformance)
DATE = re.compile(r"[+-]?\d{4}(-[01]\d(-[0-3]\d(T[0-2]\d:[0-5]\d:?([0-5]\d(.\d+)?)?[+-][0-2]\d:[0-5]\dZ?)?)?)?")
PERCEPTION = {
    "id",
    "avatar_id",
    "description",
    "perception_modality",
    "effect_library",
    "reference_devices",
    "channels",
}
CHANNEL = {"id", "description", "gain", "mixing_coefficient", "body_part_mask", "bands"}


def check_band(band: dict[str, Any]) -> None:
    assert band["band_type"] in ("VectorialWave", "Curve")
    assert ("curve_type" in band) == (band["band_type"] == "Curve")
    assert isinstance(band["lower_frequency_limit"], int)
    assert band["lower_frequency_limit"] <= band["upper_frequency_limit"]
    end = -1
    for effect in band["effects"]:
        assert set(effect) == {"effect_type", "position", "phase", "base_signal", "keyframes"}
        assert isinstance(effect["position"], int)
        assert effect["position"] >= end
        at = [frame["relative_position"] for frame in effect["keyframes"]]
        assert all(isinstance(p, int) for p in at)
        assert at == sorted(at)
        assert all(-1 <= f.get("amplitude_modulation", 0) <= 1 for f in effect["keyframes"])
        assert all(isinstance(f.get("frequency_modulation", 0), int) for f in effect["keyframes"])
        end = effect["position"] + at[-1]


def test_hjif_is_conformant(movie: Movie) -> None:
    document = hjif.to_hjif(movie)
    required = {"version", "profile", "level", "date", "description", "timescale", "avatars", "perceptions", "syncs"}
    assert set(document) == required
    assert re.fullmatch(r"20[2-9]\d", document["version"])
    assert DATE.fullmatch(document["date"])
    assert (document["profile"], document["level"]) == ("Main", 1)
    avatars = {avatar["id"] for avatar in document["avatars"]}
    assert 0 not in avatars
    channels = [c for p in document["perceptions"] for c in p["channels"]]
    assert len({c["id"] for c in channels}) == len(channels) == 4
    for perception in document["perceptions"]:
        assert set(perception) == PERCEPTION
        assert perception["avatar_id"] in avatars
    for channel in channels:
        assert set(channel) == CHANNEL
        for band in channel["bands"]:
            check_band(band)
    assert {p["perception_modality"] for p in document["perceptions"]} == {"Vibrotactile", "Temperature", "Wind"}


def test_hjif_carries_the_vibration(movie: Movie) -> None:
    seat = hjif.to_hjif(movie)["perceptions"][0]["channels"][0]["bands"][0]["effects"]
    assert len(seat) == 1
    assert seat[0]["position"] == 2000  # silence until the thunder
    frames = [f for f in seat[0]["keyframes"] if "amplitude_modulation" in f]
    times = [(seat[0]["position"] + f["relative_position"]) / 1000 for f in frames]
    read = np.interp(np.arange(130, 384) / 64, times, [f["amplitude_modulation"] for f in frames])
    assert np.abs(read - movie.touch.values[130:, 0]).max() < 1 / 63
    assert {f["frequency_modulation"] for f in seat[0]["keyframes"] if "frequency_modulation" in f} >= {100}


def test_hjif_temperature_is_in_its_unit(movie: Movie) -> None:
    frames = hjif.to_hjif(movie)["perceptions"][1]["channels"][0]["bands"][0]["effects"][0]["keyframes"]
    assert frames[0]["amplitude_modulation"] * 30 + 20 == pytest.approx(14, abs=0.5)


def test_hjif_curves_have_no_gaps(movie: Movie, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hjif, "MAX_EFFECT_SECONDS", 2)
    effects = hjif.to_hjif(movie)["perceptions"][1]["channels"][0]["bands"][0]["effects"]
    assert [e["position"] for e in effects] == [0, 2000, 4000]
    assert [e["keyframes"][-1]["relative_position"] for e in effects] == [2000, 2000, 1984]
    ends = [30 * e["keyframes"][-1]["amplitude_modulation"] + 20 for e in effects]
    assert ends == pytest.approx([12, 10, 8.02], abs=0.4)


def test_ahap_obeys_core_haptics(movie: Movie) -> None:
    document = ahap.to_ahap(movie)
    assert document["Version"] == 1.0
    times = [next(iter(entry.values()))["Time"] for entry in document["Pattern"]]
    assert times == sorted(times)
    for entry in document["Pattern"]:
        (kind, body), *rest = entry.items()
        assert not rest
        if kind == "Event":
            assert body["EventType"] in ("HapticContinuous", "HapticTransient")
            assert body.get("EventDuration", 0) <= 30
            assert all(0 <= p["ParameterValue"] <= 1 for p in body["EventParameters"])
        else:
            points = body["ParameterCurveControlPoints"]
            assert kind == "ParameterCurve"
            assert 1 <= len(points) <= 16
            assert points[0]["Time"] == 0
            assert [p["Time"] for p in points] == sorted(p["Time"] for p in points)


def test_ahap_curves_join_and_follow_the_amplitude(movie: Movie) -> None:
    points = [
        (c["ParameterCurve"]["Time"] + p["Time"], p["ParameterValue"])
        for c in ahap.to_ahap(movie)["Pattern"]
        if c.get("ParameterCurve", {}).get("ParameterID") == "HapticIntensityControl"
        for p in c["ParameterCurve"]["ParameterCurveControlPoints"]
    ]
    times, values = np.array(points).T
    assert np.all(np.diff(times) >= 0)
    at = np.arange(140, 380) / 64
    assert np.abs(np.interp(at, times, values) - haptic.body(movie.touch)[140:380]).max() < 0.02


def test_ahap_splits_what_lasts(movie: Movie) -> None:
    long = movie.touch.values[:1].repeat(64 * 70, 0)
    long[:, 0] = 0.5
    movie.seconds = 70.0
    movie.tracks["touch"] = type(movie.touch)(**(vars(movie.touch) | {"values": long}))
    events = [e["Event"] for e in ahap.to_ahap(movie)["Pattern"] if e.get("Event", {}).get("EventDuration")]
    assert [e["Time"] for e in events] == pytest.approx([0, 30, 60], abs=0.02)
    assert sum(e["EventDuration"] for e in events) == pytest.approx(70, abs=0.05)
    waves = hjif.to_hjif(movie)["perceptions"][0]["channels"][0]["bands"][0]["effects"]
    assert [w["position"] for w in waves] == [0, 60_000]
    assert waves[1]["phase"] == pytest.approx(0, abs=0.01) or waves[1]["phase"] == pytest.approx(2 * np.pi, abs=0.01)


def test_onset_is_where_the_thunder_is(movie: Movie) -> None:
    document = haptic.to_haptic(movie)
    envelope = document["signals"]["continuous"]["envelopes"]["amplitude"]
    strong = [p for p in envelope if "emphasis" in p]
    assert strong[0]["time"] == pytest.approx(2.0, abs=1 / 32)
    assert all(p["emphasis"]["amplitude"] >= p["amplitude"] for p in strong)
    found = haptic.onsets(movie.touch.channel("seat_amplitude").astype(float), Fraction(64))
    assert len(found) == 1


def test_haptic_round_trip(movie: Movie) -> None:
    read = haptic.read("".join(haptic.stream(movie)))
    want = haptic.body(movie.touch)
    assert read.seconds == pytest.approx(movie.seconds, abs=1 / 64)
    assert np.abs(read.values[: len(want), 0] - want).max() < 0.01
    assert np.abs(np.log(read.values[: len(want), 2] / movie.touch.values[:, 2])).max() < 0.06


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"signals": {"continuous": {"envelopes": {"amplitude": []}}}}',
        '{"signals": {"continuous": {"envelopes": {"amplitude": [{"time": 0, "amplitude": 2}]}}}}',
        '{"signals": {"continuous": {"envelopes": {"amplitude": [{"time": true, "amplitude": 1}]}}}}',
        '{"signals": {"continuous": {"envelopes": {"amplitude": [{"time": 1, "amplitude": 0}, '
        '{"time": 0, "amplitude": 0}]}}}}',
        '{"signals": {"continuous": []}}',
        '{"signals": 1}',
    ],
)
def test_damaged_haptic_is_refused(text: str) -> None:
    with pytest.raises(StaleError):
        haptic.read(text)


def test_silence_is_silent(still: Movie) -> None:
    assert all("Event" not in entry for entry in ahap.to_ahap(still)["Pattern"])
    assert hjif.to_hjif(still)["perceptions"][0]["channels"][0]["bands"][0]["effects"] == []
    envelope = haptic.to_haptic(still)["signals"]["continuous"]["envelopes"]["amplitude"]
    assert {p["amplitude"] for p in envelope} == {0.0}
    leaves = keys_everywhere(hjif.to_hjif(still))
    assert all(leaf == leaf for leaf in leaves)  # no NaN
