"""Meadow: wind that is heard, felt and seen, words that follow the scene, and a variant's bits that decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.dreamscapes.meadow import HELD_OUT_WORDINGS, Meadow
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = Meadow()
RATE = 12_000


def scene(wind: float = 0.3, events: tuple[Event, ...] = (), variant: int = 7, **more: float) -> list[Segment]:
    """Two segments of steady wind at noon under a clear sky; the events are in the first."""
    levels = {"wind": wind, "light": 1.0, "life": more.pop("life", 0.0), "rain": more.pop("rain", 0.0)}
    statics = {"hour": 0.5, "cloud": 0.1, "haze": 0.1, "warmth": 0.5, "height": 0.5, "focal": 0.5, "sun": 0.6, **more}
    return steady(PLACE, levels, events, variant, **statics)


def test_all_hours_and_strengths_occur_and_bells_ring_in_the_mountains_only() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    assert {part_of_day(s.statics["hour"]) for s in drawn} >= {"night", "dawn", "noon", "dusk"}
    means = [s.curves["wind"][0] / 4 for s in drawn]
    assert min(means) < 0.1
    assert max(means) > 0.7
    assert {s.variant >= 32768 for s in drawn if any(e.kind == "bell" for e in s.events)} == {True}
    assert all(part_of_day(s.statics["hour"]) != "night" for s in drawn if any(e.kind == "passing" for e in s.events))


def test_captions_follow_the_scene_and_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    still, stormy = ({PLACE.caption(scene(w), rng) for _ in range(300)} for w in (0.03, 0.95))
    assert not still & stormy
    assert len(still | stormy) > 300
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (still | stormy)
    assert not any(word in text.lower() for text in still | stormy for word in ("night", "dusk", "cowbell", "shower"))
    night = " ".join(PLACE.caption(scene(0.3, variant=40000, hour=0.0), rng) for _ in range(200)).lower()
    assert "night" in night and "mountain" in night and "noon" not in night
    wet = " ".join(PLACE.caption(scene(0.3, rain=0.6), rng) for _ in range(100)).lower()
    assert "rain" in wet


def test_a_gust_is_heard_and_felt_when_it_comes() -> None:
    gust = (Event("gust", 1.5, 0.9, 0.3),)
    stage, quiet = Stage(scene(0.25, gust)), Stage(scene(0.25))
    t = np.arange(256) / 64
    felt = PLACE.touch(stage, t) - PLACE.touch(quiet, t)
    assert np.abs(felt[t < 1.5]).max() < 1e-9
    assert 1.9 < t[felt[:, 4].argmax()] < 2.8
    assert felt[:, 4].max() > 1
    heard, before = (PLACE.sound(s, 2 * RATE, RATE, RATE).std() for s in (stage, quiet))
    assert heard > 1.5 * before


def test_wind_is_louder_and_cooler_and_carries_scent_away() -> None:
    still, stormy = Stage(scene(0.05)), Stage(scene(0.9))
    weak, strong = (PLACE.sound(s, RATE, RATE, RATE).std() for s in (still, stormy))
    assert strong > 4 * weak
    t = np.array([1.0])
    assert PLACE.touch(still, t)[0, 3] > PLACE.touch(stormy, t)[0, 3] + 2
    flowers = NOTES.index("flowers")
    assert PLACE.smell(still, t)[0, flowers] > 1.3 * PLACE.smell(stormy, t)[0, flowers]
    assert PLACE.taste(still, t).max() == 0


def test_wet_earth_smells_after_rain() -> None:
    t, earth = np.array([1.0]), NOTES.index("wet earth")
    assert PLACE.smell(Stage(scene(rain=0.8)), t)[0, earth] > PLACE.smell(Stage(scene()), t)[0, earth] + 0.4


def test_lanes_follow_the_variant_of_their_segment() -> None:
    first, second = scene()
    stage = Stage([first, replace(second, variant=40000)])
    animal = PLACE.smell(stage, np.array([1.0, 6.0]))[:, NOTES.index("animal")]
    assert animal[0] == 0 < animal[1]


@pytest.mark.parametrize("kind", ["bird", "passing", "bell"])
def test_what_lives_there_is_heard(kind: str) -> None:
    event = (Event(kind, 0.5, 0.8, 0.4, 0.2),)
    pair = (PLACE.sound(Stage(scene(0.0, e, 40000)), 0, 2 * RATE, RATE) for e in (event, ()))
    there, alone = pair
    assert np.abs(there - alone).max() > 0.005
    assert np.abs((there - alone)[: RATE // 2 - 10]).max() < 1e-6


def test_crickets_sing_by_night() -> None:
    day, night = (PLACE.sound(Stage(scene(0.0, life=0.9, hour=h)), 0, 2 * 24_000, 24_000) for h in (0.5, 0.0))
    power = [np.abs(np.fft.rfft(s[:, 0]))[2 * 4200 : 2 * 4900].sum() for s in (day, night)]
    assert power[1] > 2 * power[0]


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    stage, view = Stage(scene(0.4)), View.whole(160, 96)
    small, large = two_sizes(PLACE, stage, 1.3)
    assert float((small - large).abs().mean()) < 0.2 * float(small.mean())
    band = View(160, 96, 30, 30, view.device)
    assert torch.allclose(PLACE.picture(stage, 0.5, band), PLACE.picture(stage, 0.5, view)[30:60], atol=1e-3)


def test_the_wind_bends_the_grass_and_the_variant_makes_another_meadow() -> None:
    view = View.whole(96, 54)
    calm, windy, other = (PLACE.picture(Stage(s), 1.0, view) for s in (scene(0.0), scene(0.9), scene(0.0, variant=9)))
    assert float((calm - windy)[40:].abs().mean()) > 0.05 * float(calm[40:].mean())
    assert float((calm - other).abs().mean()) > 0.1 * float(calm.mean())
