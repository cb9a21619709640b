"""bHaptics .tact: what its player reads, and that the touch is in it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storm import make_movie

from stale_diffusion.formats import tact
from stale_diffusion.movie import Movie


def played(document: dict[str, Any], side: str, dot: int, seconds: float) -> np.ndarray:
    """Strength of a motor at each millisecond, as the player drives it."""
    strength = np.zeros(round(seconds * 1000) + 50)
    for track in document["project"]["tracks"]:
        for effect in track["effects"]:
            mode = effect["modes"][side]
            assert mode["mode"] == "DOT_MODE"
            for part in mode["dotMode"]["feedback"]:
                assert 0 <= part["startTime"] < part["endTime"] <= effect["offsetTime"]
                for point in part["pointList"]:
                    if point["index"] == dot:
                        at = effect["startTime"]
                        strength[at + part["startTime"] : at + part["endTime"]] = point["intensity"]
    return strength


def check(document: dict[str, Any], seconds: float) -> None:
    """The members that files of bHaptics Designer have, and their types."""
    assert set(document) == {"project", "durationMillis", "intervalMillis", "size"}
    project = document["project"]
    assert {"createdAt", "updatedAt", "name", "description", "mediaFileDuration", "layout", "tracks"} <= set(project)
    assert project["layout"]["type"] == "Tactot"
    layouts = project["layout"]["layouts"]
    assert [[dot["index"] for dot in layouts[side]] for side in ("VestFront", "VestBack")] == [list(range(20))] * 2
    for effect in project["tracks"][0]["effects"]:
        assert set(effect) == {"name", "startTime", "offsetTime", "modes"}
        assert all(isinstance(effect[key], int) for key in ("startTime", "offsetTime"))
        assert set(effect["modes"]) == {"VestFront", "VestBack"}
        assert effect["startTime"] + effect["offsetTime"] <= seconds * 1000 + 1
        assert effect["offsetTime"] <= 30_000
        for mode in effect["modes"].values():
            assert set(mode) == {"mode", "dotMode", "pathMode"}
            for part in mode["dotMode"]["feedback"]:
                assert all(0 < point["intensity"] <= 1 for point in part["pointList"])


def test_the_thunder_is_in_the_front(movie: Movie) -> None:
    document = json.loads("".join(tact.stream(movie)))
    check(document, 6)
    front, behind = played(document, "VestFront", 16, 6), played(document, "VestBack", 5, 6)
    assert not front[:1990].any()
    assert front[2050] == pytest.approx(0.88, abs=0.05)
    assert behind[3000:6000].any()
    assert not played(document, "VestBack", 16, 6).any()
    assert "".join(tact.stream(movie)) == "".join(tact.stream(movie))


@settings(max_examples=25, deadline=None)
@given(st.floats(0.02, 90), st.integers(0, 1000))
def test_every_strength_is_within_a_level(seconds: float, seed: int) -> None:
    movie, rng = make_movie(seconds), np.random.default_rng(seed)
    n = max(1, round(seconds * 64))
    values = np.zeros((n, 5), np.float32)
    values[:, :2] = rng.random((n, 2)) * (np.sin(np.arange(n) / 30 + seed) > 0)[:, None]
    movie.tracks["touch"] = replace(movie.touch, values=values)
    document = json.loads("".join(tact.stream(movie)))
    check(document, max(seconds, n / 64))
    for side, dot, column in (("VestFront", 12, 0), ("VestBack", 11, 1)):
        strength = played(document, side, dot, seconds)
        for k in range(n // 3):  # the peak of three samples, for 47 ms
            peak = values[3 * k : 3 * k + 3, column].max()
            assert abs(strength[round((3 * k + 1.5) / 64 * 1000)] - peak) <= 1 / 20 + 1e-6


def test_silence_is_silent(still: Movie) -> None:
    assert json.loads("".join(tact.stream(still)))["project"]["tracks"][0]["effects"] == []
