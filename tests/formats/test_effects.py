"""Light, water and fog; Python_PlaySEM's JSON as its parser takes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from storm import make_movie

from stale_diffusion import scene
from stale_diffusion.formats import ambient, playsem, sem
from stale_diffusion.movie import Movie
from stale_diffusion.scene import Event, Segment, fit_curve

STEADY = {name: fit_curve(np.full(16, 0.8)) for name in ("rain", "wind")}


def at(place: str, seconds: float = 8.0, haze: float = 0.2, **more: Any) -> Movie:
    """A movie whose scene is known."""
    made = make_movie(seconds)
    segment = Segment(place, place, 1, statics={"haze": haze}, curves=STEADY, **more)
    made.scene = scene.encode([segment] * int(np.ceil(seconds / 4)))
    return made


def test_the_room_takes_the_colour_of_the_edges() -> None:
    frame = np.zeros((40, 100, 3), np.uint8)
    frame[:, :20], frame[:, 80:] = (250, 40, 0), (0, 0, 200)
    left, right = ambient.edges(frame)
    assert (left.tolist(), right.tolist()) == ([250, 40, 0], [0, 0, 200])
    assert (ambient.named(left / 255.0), ambient.named(right / 255.0)) == ("scarlet", "blue")
    assert ambient.named(np.array([0.3, 0.3, 0.3])) == "white"
    assert ambient.named(np.zeros(3)) in ambient.COLOURS
    assert ambient.hexadecimal(np.array([0.5, 0.25, 0.0])) == "#ff8000"


def test_a_flicker_of_the_picture_does_not_flash_the_room() -> None:
    movie = make_movie(10.0)
    movie.edges = np.tile(np.array([[[255] * 3] * 2, [[0] * 3] * 2], np.uint8), (10, 1, 1))
    changes = [effect for effect in sem.lights(ambient.light(movie).mean(1), 10.0) if effect.intensity is not None]
    assert len(changes) <= 5  # twenty, were it not smoothed; the ends have nothing beyond them to be smoothed with
    assert len(ambient.light(movie)) == 20


def test_lights_are_pairs_that_fill_the_movie(movie: Movie) -> None:
    effects = list(sem.lights(ambient.light(movie).mean(1), movie.seconds))
    assert [e.intensity is not None for e in effects] == [True, False] * (len(effects) // 2)
    assert effects[-1].seconds == movie.seconds
    for effect in effects[::2]:
        (term,) = re.findall(r'color="urn:mpeg:mpeg-v:01-SI-ColorCS-NS:(\w+)"', effect.xml())
        assert term in ambient.COLOURS


def test_what_is_seen_while_writing_is_what_the_file_shows(tmp_path: Path) -> None:
    movie = make_movie(6.0)
    movie.save(tmp_path / "a.mkv", (64, 36), Fraction(8))
    seen = ambient.light(make_movie(6.0))
    read = ambient.light(Movie.open(tmp_path / "a.mkv"))
    assert seen.shape == read.shape == (12, 2, 3)
    assert np.abs(seen - read).max() < 0.15  # a moving gradient, and H.264 between them


def test_rain_wets_only_under_the_open_sky() -> None:
    water, fog = ambient.weather(at("thunderstorm"))
    assert water.shape == (16,)
    assert water.min() > 0.5
    assert fog.max() == 0
    assert ambient.weather(at("rain on glass"))[0].max() == 0
    assert ambient.weather(at("kettle and coffee", haze=0.9))[1].max() == 0
    assert ambient.weather(at("forest stream", haze=0.9))[1].min() > 0.5


def test_a_near_wave_splashes_and_a_far_one_does_not() -> None:
    near, far = (at("shore", events=(Event("wave", 1.0, 1.0, 0.5, d),)) for d in (0.1, 1.0))
    assert ambient.weather(near)[0][3] > 0.5
    assert ambient.weather(far)[0].max() < 0.1


def test_a_filmed_clip_has_no_weather() -> None:
    movie = at("thunderstorm")
    assert movie.recipe is not None
    movie.recipe = replace(movie.recipe, picture="filmed")
    assert ambient.weather(movie)[0].shape == (0,)
    assert "SprayingType" not in sem.to_sem(movie)


def test_water_and_fog_are_effects() -> None:
    text = sem.to_sem(at("thunderstorm", haze=0.95))
    assert 'sprayingType="urn:mpeg:mpeg-v:01-SI-SprayingTypeCS-NS:water"' in text
    assert 'xsi:type="sev:FogType" activate="true" intensity-value=' in text


def parse_timeline(text: str) -> list[dict[str, Any]]:
    """What Python_PlaySEM's EffectMetadata demands of each effect."""
    document = json.loads(text)
    assert isinstance(document["metadata"], dict)
    for effect in document["effects"]:
        assert set(effect) == {"effect_type", "timestamp", "duration", "intensity", "location", "parameters"}
        assert all(isinstance(effect[key], int) for key in ("timestamp", "duration", "intensity"))
        assert effect["timestamp"] >= 0
        assert effect["duration"] >= 0
        assert 0 <= effect["intensity"] <= 100
        assert effect["location"] in ("everywhere", "left", "right")
    return list(document["effects"])


def test_playsem_effects_have_durations_and_end(movie: Movie) -> None:
    movie.scene = None
    effects = parse_timeline("".join(playsem.stream(movie)))
    assert [e["timestamp"] for e in effects] == sorted(e["timestamp"] for e in effects)
    assert {e["effect_type"] for e in effects} == {"vibration", "wind", "temperature", "scent", "light"}
    for kind in ("vibration", "wind", "scent", "light"):
        own = [e for e in effects if e["effect_type"] == kind and e["location"] in ("everywhere", "left")]
        clock = own[0]["timestamp"]
        for effect in own:  # each begins where the one before ended, or after one of intensity 0
            assert effect["timestamp"] >= clock
            clock = effect["timestamp"] + effect["duration"]
        assert (own[-1]["intensity"], own[-1]["duration"]) == (0, 0)  # nothing is left on
    scents = [e["parameters"]["scent"] for e in effects if e["effect_type"] == "scent" and e["intensity"]]
    assert scents[0] == "ozone"
    assert scents[-1] == "mother_earth"
    lights = [e for e in effects if e["effect_type"] == "light" and e["intensity"]]
    assert {e["location"] for e in lights} == {"left", "right"}
    assert all(re.fullmatch("#[0-9a-f]{6}", e["parameters"]["color"]) for e in lights)
    warm = next(e for e in effects if e["effect_type"] == "temperature")
    assert warm["parameters"]["temperature"] == pytest.approx(14, abs=1)
