"""timeline.json: within a level, silence exact, hostile files refused."""

from __future__ import annotations

import json
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stale_diffusion import jsonio, timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.touch import Touch
from stale_diffusion.timeline import Track

TOUCH = Touch.channels
LIMITS = np.array([timeline.RANGES[name] for name in TOUCH]).T


def touch(values: Any, origin: str = "generated") -> Track:
    """A touch track of (T, 5) values."""
    return Track("touch", Fraction(64), TOUCH, "1, 1, Hz, degC, m/s", np.asarray(values, np.float32), origin)  # type: ignore[arg-type]


def round_trip(track: Track) -> Track:
    """Written and read again."""
    return timeline.from_json(timeline.to_json(track.seconds, {track.sense: track}))[1][track.sense]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
def test_values_come_back_within_half_a_level(seed: int, samples: int, rough: float, silent: float) -> None:
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.standard_normal((samples, 5)) * rough * 0.2, axis=0) + rng.random(5)
    unit = np.abs((walk + 1) % 2 - 1)
    unit[:, :2] *= rng.random((samples, 2)) >= silent
    low, high, level = LIMITS
    values = (low + unit * (high - low)).astype(np.float32)
    track = touch(values)
    back = round_trip(track)
    assert back.values.shape == track.values.shape
    assert np.all(np.abs(back.values - track.values) <= level / 2 + 1e-6)
    assert np.all(back.values[:, :2][values[:, :2] == 0] == 0)
    assert (back.sense, back.rate, back.channels, back.unit, back.origin) == (
        track.sense, track.rate, track.channels, track.unit, track.origin,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.sampled_from(["2", "4", "30000/1001"]))
def test_intensities_at_any_rate(levels: list[float], rate: str) -> None:
    track = Track("odour", Fraction(rate), ("ozone",), "intensity", np.float32(levels)[:, None], "derived")
    back = round_trip(track)
    assert back.seconds == track.seconds
    assert np.abs(back.values - track.values).max() <= timeline.ANY[2] / 2 + 1e-6


def test_a_straight_line_needs_two_keyframes() -> None:
    at, values = timeline.keyframes(np.linspace(0, 1, 1000), 0.001)
    assert at.tolist() == [0, 999]
    assert values.tolist() == [0, 1]


def test_keyframes_pass_every_sample_within_tolerance() -> None:
    wave = np.sin(np.arange(2000) / 30) * np.exp(-np.arange(2000) / 800)
    at, values = timeline.keyframes(wave, 0.02)
    assert np.abs(np.interp(np.arange(2000), at, values) - wave).max() <= 0.02
    assert len(at) < 200


def test_quiet_vibration_keeps_its_shape() -> None:
    t = np.arange(640) / 64
    quiet = 0.004 + 0.003 * np.sin(2 * t)
    track = touch(np.stack([quiet, quiet * 0, 60 + t, 20 + t, t], -1))
    assert np.abs(round_trip(track).values[:, 0] - quiet).max() < 0.0025


def test_the_pieces_are_the_whole() -> None:
    track = touch(np.tile([0, 0, 60, 20, 0], (64, 1)))
    pieces = list(timeline.stream(1.0, {"touch": track}))
    assert len(pieces) > 5
    assert json.loads("".join(pieces)) == json.loads(timeline.to_json(1.0, {"touch": track}))


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "CHUNK", 16)
    t = np.arange(100) / 64
    track = touch(np.stack([t / 2, t * 0, 60 + 50 * t, 20 - t, 4 * t], -1))
    back = round_trip(track)
    assert np.abs(back.values - track.values).max(0)[0] <= 1 / 126
    channels = json.loads(timeline.to_json(track.seconds, {"touch": track}))["tracks"][0]["channels"]
    times = [pair[0] for pair in channels[0]["keyframes"]]
    assert len(set(times)) == len(times) >= 100 / 16
    assert times[-1] == t[-1]


def test_what_is_out_of_range_is_clipped_and_can_be_read() -> None:
    back = round_trip(touch([[1.5, -0.5, 500, 70, -3]] * 4))
    assert back.values.tolist() == [[1, 0, 300, 50, 0]] * 4


def test_a_sense_of_its_own_is_kept() -> None:
    magnetism = Track("magnetism", Fraction(8), ("north", "down"), "deg", np.float32([[0, 3], [10, -4]]), "given")
    back = round_trip(magnetism)
    assert np.abs(back.values - magnetism.values).max() < 0.05


def valid() -> dict[str, Any]:
    """A small valid timeline as plain data."""
    track = Track("odour", Fraction(2), ("ozone",), "intensity", np.float32([[0.1], [0.2]]), "given")
    loaded: dict[str, Any] = json.loads(timeline.to_json(1.0, {"odour": track}))
    return loaded


def broken(path: list[Any], value: Any) -> str:
    """The valid timeline with one field replaced."""
    root = valid()
    at: Any = root
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(root)


CHANNEL = ["tracks", 0, "channels", 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "\x00",
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"seconds": NaN}',
        '{"seconds": Infinity}',
        '{"seconds": ' + "9" * 5000 + "}",
        broken(["version"], 2),
        broken(["format"], "hjif"),
        broken(["seconds"], -1),
        broken(["seconds"], 1e300),
        broken(["seconds"], True),
        broken(["seconds"], "1"),
        broken(["tracks"], {}),
        broken(["tracks"], [3]),
        broken(["tracks"], valid()["tracks"] * 2),
        broken(["tracks"], valid()["tracks"] * 1000),
        broken(["tracks", 0, "rate"], "0"),
        broken(["tracks", 0, "rate"], "1/0"),
        broken(["tracks", 0, "rate"], "1e9"),
        broken(["tracks", 0, "rate"], 2),
        broken(["tracks", 0, "origin"], "stolen"),
        broken(["tracks", 0, "sense"], "smell"),
        broken(["tracks", 0, "sense"], "touch"),
        broken(["tracks", 0, "samples"], 10**9),
        broken(["tracks", 0, "samples"], 20),
        broken(["tracks", 0, "channels"], []),
        broken(["tracks", 0, "channels"], valid()["tracks"][0]["channels"] * 2),
        broken([*CHANNEL, "name"], ""),
        broken([*CHANNEL, "name"], "x\x1b[2J"),
        broken([*CHANNEL, "keyframes"], []),
        broken([*CHANNEL, "keyframes"], [[0, 0.1]] * 50),
        broken([*CHANNEL, "keyframes"], [[0]]),
        broken([*CHANNEL, "keyframes"], [[0, "1"]]),
        broken([*CHANNEL, "keyframes"], [[0, True]]),
        broken([*CHANNEL, "keyframes"], [[0, 1e300]]),
        broken([*CHANNEL, "keyframes"], [[0.5, 0.1], [0.0, 0.1]]),
    ],
)
def test_hostile_timelines_are_refused(text: str) -> None:
    with pytest.raises(StaleError):
        timeline.from_json(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(StaleError):
        timeline.from_json(b"\xff\xfe\x00")


def test_large_files_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonio, "MAX_BYTES", 100)
    with pytest.raises(StaleError, match="larger"):
        timeline.from_json(json.dumps(valid()))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_a_timeline_or_one_clear_error(data: st.DataObject) -> None:
    text = bytearray(json.dumps(valid()).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(StaleError):
        timeline.from_json(bytes(text))


def test_tracks_may_not_ask_for_more_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred bytes can name a track of hours: what counts is what all of them come to."""
    channels = [{"name": "a", "unit": "1", "keyframes": [[0, 0]]}]
    tracks = [
        {"sense": f"s{k}", "origin": "given", "rate": "10", "samples": 1000, "channels": channels} for k in range(4)
    ]
    text = json.dumps({"format": timeline.FORMAT, "version": 1, "seconds": 100, "tracks": tracks})
    monkeypatch.setattr(timeline, "MAX_VALUES", 4000)
    assert len(timeline.from_json(text)[1]) == 4
    monkeypatch.setattr(timeline, "MAX_VALUES", 3999)
    with pytest.raises(StaleError, match="timeline"):
        timeline.from_json(text)
