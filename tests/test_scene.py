"""The scene: bits and values, and the stage that lays them on the clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stale_diffusion import scene
from stale_diffusion.errors import StaleError
from stale_diffusion.scene import Event, Segment, Stage

unit = st.floats(0, 1)


def segment(**curves: float) -> Segment:
    return Segment("shore", "shore", 7, {}, {n: scene.fit_curve(np.full(16, v)) for n, v in curves.items()})


@given(st.integers(0, 2**32 - 1))
def test_any_bits_are_a_scene_and_come_back_as_the_same_scene(seed: int) -> None:
    bits = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (2, *[scene.STREAM.tokens, 32]))
    once = scene.encode(scene.decode(bits))
    assert np.array_equal(scene.encode(scene.decode(once)), once)


@given(unit, unit, st.floats(0, 3.99), st.integers(0, 65535))
def test_values_come_back_within_a_level(hour: float, strength: float, time: float, variant: int) -> None:
    event = Event("lightning", time, strength, 2 * strength - 1, strength)
    [back] = scene.decode(scene.encode([Segment("campfire", "aurora", variant, {"hour": hour}, {}, (event,))]))
    assert (back.place, back.next, back.variant) == ("campfire", "aurora", variant)
    assert back.statics["hour"] == pytest.approx(hour, abs=1 / 255)
    [same] = back.events
    assert same.kind == "lightning" and same.time == pytest.approx(time, abs=4 / 511)
    assert same.strength == pytest.approx(strength, abs=1 / 63) and same.x == pytest.approx(event.x, abs=2 / 63)


def test_a_curve_comes_back_smooth_and_a_curve_at_rest_stays_at_rest() -> None:
    wave = 0.5 + 0.3 * np.sin(np.arange(16) / 4)
    [back] = scene.decode(scene.encode([Segment("shore", "shore", 0, {}, {"wind": scene.fit_curve(wave)})]))
    stage = Stage([back])
    assert np.abs(stage.values("wind", (np.arange(16) + 0.5) / 4) - wave).max() < 0.05
    assert np.all(stage.values("fire", np.linspace(0, 4, 50)) == 0)


def test_a_stage_joins_curves_without_a_step() -> None:
    stage = Stage([segment(wind=0.2), segment(wind=0.9), segment(wind=0.1)])
    values = stage.values("wind", np.arange(0, 12, 1 / 200))
    assert np.abs(np.diff(values)).max() < 0.01
    assert values[-1] == pytest.approx(0.1, abs=0.01)


def test_the_integral_of_a_curve_is_its_integral_and_survives_forgetting() -> None:
    rng = np.random.default_rng(0)
    segments = [segment(flow=float(v)) for v in rng.random(6)]
    whole, forgetful = Stage(segments), Stage()
    for s in segments:
        forgetful.append(s, keep=2)
    t = np.linspace(16.1, 23.9, 40)
    grid = np.arange(0, 24, 1 / 500)
    truth = np.concatenate([[0], np.cumsum(whole.values("flow", grid)) / 500])
    for s in t:
        assert whole.integral("flow", s) == pytest.approx(np.interp(s, np.append(grid, 24), truth), abs=0.01)
        assert forgetful.integral("flow", s) == pytest.approx(whole.integral("flow", s), abs=1e-9)
        assert forgetful.value("flow", s) == whole.value("flow", s)


def test_events_have_absolute_times_and_a_segment_holds_twelve() -> None:
    drop = Segment("shore", "shore", 0, {}, {}, (Event("drop", 1.5),))
    assert [e.time for e in Stage([drop, drop]).events("drop", 0, 8)] == [1.5, 5.5]
    assert Stage([drop, drop]).events("bird", 0, 8) == []
    with pytest.raises(StaleError, match="at most 12"):
        Segment("shore", "shore", 0, {}, {}, tuple(Event("drop", i / 4) for i in range(13)))


def test_the_hour_goes_the_short_way_round() -> None:
    late, early = (Segment("shore", "shore", 0, {"hour": h}) for h in (0.98, 0.02))
    stage = Stage([late, early])
    hours = [stage.static("hour", 4 + s) for s in np.linspace(0, 1.2, 20)]
    assert all(h > 0.97 or h < 0.03 for h in hours)
