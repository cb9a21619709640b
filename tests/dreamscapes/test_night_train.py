"""Night train: the rhythm of the rails in ear and seat, parallax, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import drawn, steady, two_sizes

from stale_diffusion.dreamscapes import night_train_lights
from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.dreamscapes.night_train import HELD_OUT_WORDINGS, NightTrain
from stale_diffusion.dreamscapes.night_train_ride import NEAREST, TOP_SPEED, joints, way
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = NightTrain()
RATE = 24000


def scene(flow: float = 0.5, events: tuple[Event, ...] = (), **levels: float) -> list[Segment]:
    """Two segments at a steady speed at night; the events are in the first."""
    levels = {"flow": flow, "life": 0.5, "light": 0.4} | levels
    return steady(PLACE, levels, events, 1234, hour=0.02, cloud=0.3)


def test_nights_dusks_dawns_slow_and_fast_rides_occur() -> None:
    segments = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    assert {"night", "dawn", "dusk"} <= {part_of_day(s.statics["hour"]) for s in segments}
    means = [s.curves["flow"][0] / 4 for s in segments]
    assert min(means) < 0.2
    assert max(means) > 0.85
    assert 0.2 < np.mean([s.curves["rain"][0] > 0.2 for s in segments]) < 0.5


def test_captions_say_how_fast_and_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    slow, fast = ({PLACE.caption(scene(f), rng) for _ in range(300)} for f in (0.1, 0.9))
    assert len(slow | fast) > 300
    assert any("full speed" in text.lower() for text in fast)
    assert not any("full speed" in text.lower() or "racing" in text.lower() for text in slow)
    assert not any(word in text.lower() for text in slow | fast for word in ("coffee", " rain", "dawn", "evening"))
    assert any("coffee" in PLACE.caption(scene(0.5, steam=0.6), rng).lower() for _ in range(40))
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (slow | fast)


def test_axles_cross_joints_as_often_as_the_speed_says() -> None:
    stage = Stage(scene(0.5))
    times, loud, numbers = joints(stage, 0.0, 8.0)
    own = times[loud > 0.6 * loud.max()]
    assert way(stage, 8.0) == pytest.approx(8 * 0.5 * TOP_SPEED, rel=0.02)
    rail = way(stage, 8.0) / np.ptp(numbers)
    assert 15 < rail < 40
    assert (np.diff(times) >= 0).all()
    assert np.isclose(np.diff(own).min(), 2.5 / (0.5 * TOP_SPEED), atol=0.01)  # the two axles of a bogie


def test_joints_are_felt_when_they_are_heard() -> None:
    stage = Stage(scene(0.25, life=0.0))
    times, loud, _ = joints(stage, 0.5, 7.5)
    strong = times[loud > 0.7 * loud.max()]
    t = np.arange(0, 8, 1 / 64)
    felt = PLACE.touch(stage, t)[:, 0]
    heard = np.abs(PLACE.sound(stage, 0, 8 * RATE, RATE)).max(1)
    for time in strong:
        near = (t >= time - 0.02) & (t < time + 0.08)
        assert felt[near].max() > 1.5 * np.median(felt)
        at = int(time * RATE)
        assert heard[at : at + 1200].max() > 2 * heard[at - 1200 : at - 100].mean()


def test_near_things_fly_and_far_ones_stand() -> None:
    stage = Stage(scene(0.8, life=0.9))
    found = night_train_lights.lights(stage, 2.0, 1.2)
    near, far = found.speed[found.far < 120], found.speed[found.far > 1500]
    assert len(near) and len(far)
    assert near.min() > 8 * far.max()
    assert np.allclose(found.speed * found.far, 0.8 * TOP_SPEED, rtol=0.02)


def test_more_lights_where_there_is_more_life() -> None:
    few, many = (night_train_lights.lights(Stage(scene(0.3, life=x)), 2.0, 1.2).light.sum() for x in (0.0, 0.95))
    assert many > 2 * few


@pytest.mark.parametrize("kind", ["passing", "bell"])
def test_what_goes_by_is_heard_and_seen_from_its_time_on(kind: str) -> None:
    event = Event(kind, 1.0, 0.8, x=0.6, distance=0.1)
    with_, without = Stage(scene(0.4, (event,))), Stage(scene(0.4))
    heard = np.abs(PLACE.sound(with_, 0, 4 * RATE, RATE) - PLACE.sound(without, 0, 4 * RATE, RATE)).max(1)
    assert heard[: int(0.95 * RATE)].max() < 1e-3
    assert heard[int(1.1 * RATE) :].max() > 0.01
    view = View.whole(128, 72)
    before, after = (
        (PLACE.picture(with_, t, view) - PLACE.picture(without, t, view)).abs().max() for t in (0.95, 1.0 + NEAREST)
    )
    assert float(before) == 0
    assert float(after) > 0.02
    if kind == "passing":
        t = np.array([0.95, 1.0 + NEAREST])
        felt = (PLACE.touch(with_, t) - PLACE.touch(without, t))[:, 0]
        assert felt[0] == 0
        assert felt[1] > 0.1


def test_coffee_is_smelt_where_it_stands_and_tasted_after_the_cup_clinks() -> None:
    t = np.arange(0, 4, 0.125)
    clink = (Event("clink", 2.0, 0.8),)
    with_, without = (Stage(scene(0.5, clink, steam=s)) for s in (0.6, 0.0))
    assert PLACE.smell(with_, t)[:, NOTES.index("coffee")].min() > 0.3
    assert not PLACE.taste(without, t).any()
    bitter = PLACE.taste(with_, t)[:, 3]
    assert bitter[t < 2].max() < 0.15 < 0.4 < bitter[t > 2.5].max()


def test_rain_turns_the_view_and_a_fast_train_is_louder() -> None:
    view = View.whole(160, 90)
    dry, wet = (PLACE.picture(Stage(scene(0.5, rain=r)), 2.0, view) for r in (0.0, 0.9))
    assert float((wet - dry).abs().mean()) > 0.02 * float(dry.mean())
    slow, fast = (PLACE.sound(Stage(scene(f)), 0, RATE, RATE).std() for f in (0.1, 0.95))
    assert fast > 4 * slow


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    for seed in (1, 2):
        stage = drawn(PLACE, seed, 2)
        small, less = two_sizes(PLACE, stage, 3.0)
        assert float((less - small).abs().mean()) < 0.12 * float(small.mean()) + 0.005
        part = PLACE.picture(stage, 3.0, View(160, 96, 40, 16, torch.device("cpu")))
        assert torch.equal(part, small[40:56])
