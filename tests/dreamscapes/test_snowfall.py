"""Snowfall: pure functions of scene and time, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import drawn, steady, two_sizes

from stale_diffusion.dreamscapes.light import quarter_of_day
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.snowfall import HELD_OUT_WORDINGS, LANDS, Snowfall
from stale_diffusion.dreamscapes.snowfall_picture import Picture
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = Snowfall()
COTTAGE, VILLAGE = 12000, 48000
RATE = 24000


def scene(rain: float = 0.5, events: tuple[Event, ...] = (), variant: int = COTTAGE, **levels: float) -> list[Segment]:
    """Two segments of steady snow at night; the events are in the first."""
    levels = {"rain": rain, "wind": 0.05, "fire": 0.6, "steam": 0.0} | levels
    return steady(PLACE, levels, events, variant, hour=0.02, cloud=0.9)


def test_all_hours_strengths_and_both_places_occur() -> None:
    segments = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    assert {quarter_of_day(s.statics["hour"]) for s in segments} == {"night", "dawn", "day", "dusk"}
    means = [s.curves["rain"][0] / 4 for s in segments]
    assert min(means) < 0.15
    assert max(means) > 0.85
    assert {s.variant >= 32768 for s in segments} == {True, False}
    assert not any(e.kind == "bell" for s in segments for e in s.events if s.variant < 32768)


def test_captions_say_how_hard_it_snows_on_what_and_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    weak, strong = ({PLACE.caption(scene(r), rng) for _ in range(300)} for r in (0.08, 0.95))
    village = {PLACE.caption(scene(0.9, variant=VILLAGE), rng) for _ in range(100)}
    assert len(weak | strong) > 300
    assert not weak & strong
    assert not any("heav" in text.lower() or "thick" in text.lower() for text in weak)
    assert not any("village" in text.lower() for text in weak | strong)
    assert any("village" in text.lower() for text in village)
    assert not any(
        word in text.lower() for text in weak | strong for word in ("daytime", "dawn", "noon", "wind drives")
    )
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (weak | strong | village)


def test_snow_that_slides_off_a_bough_is_heard_felt_seen_and_smelt() -> None:
    bough = Event("creak", 2.0, 0.9, x=0.1, distance=0.2)
    with_, without = Stage(scene(0.1, (bough,))), Stage(scene(0.1))
    heard = np.abs(PLACE.sound(with_, 0, 4 * RATE, RATE) - PLACE.sound(without, 0, 4 * RATE, RATE)).max(1)
    assert heard[: 2 * RATE - 24].max() < 1e-4
    assert heard[2 * RATE : int((2 + LANDS) * RATE)].max() > 0.01
    assert heard.argmax() / RATE == pytest.approx(2 + LANDS, abs=0.15)
    t = np.arange(0, 4, 1 / 64)
    felt = (PLACE.touch(with_, t) - PLACE.touch(without, t))[:, 0]
    assert felt[t < 2 + LANDS].max() == pytest.approx(0, abs=1e-9)
    assert t[felt.argmax()] == pytest.approx(2 + LANDS, abs=0.1)
    pine = NOTES.index("pine")
    assert PLACE.smell(with_, t)[-1, pine] > PLACE.smell(without, t)[-1, pine] + 0.05
    view = View.whole(160, 90)
    assert torch.equal(PLACE.picture(with_, 1.9, view), PLACE.picture(without, 1.9, view))
    changed = (PLACE.picture(with_, 2.6, view) - PLACE.picture(without, 2.6, view)).abs()
    assert float(changed.max()) > 0.1 * float(PLACE.picture(without, 2.6, view).mean())


def test_more_flakes_fall_in_hard_snow_and_they_fall() -> None:
    few, many = (Picture(Stage(scene(r)), 3.0, View.whole(160, 90))._fall() for r in (0.05, 0.9))
    assert float(many.mean()) > 4 * float(few.mean()) > 0
    picture, later = (Picture(Stage(scene(0.3, wind=0.0)), t, View.whole(160, 90)) for t in (3.0, 3.02))
    here, there = picture._flakes(4)[0], later._flakes(4)[0]
    step = there[:, 1] - here[:, 1]
    assert (step[np.abs(step) < 1] < 0).all()


def test_the_windows_light_the_snow() -> None:
    dark, lit = (PLACE.picture(Stage(scene(0.2, fire=f)), 1.0, View.whole(160, 90)) for f in (0.0, 0.9))
    more = lit - dark
    assert float(more.max()) > 0.3
    assert float(more[..., 0].mean()) > 2 * float(more[..., 2].mean())


def test_wind_is_louder_colder_and_carries_the_smoke_away() -> None:
    t = np.array([1.0])
    calm, storm = (Stage(scene(0.5, wind=w, steam=0.6)) for w in (0.05, 0.8))
    levels = [PLACE.sound(s, 0, RATE, RATE).std() for s in (calm, storm)]
    assert levels[1] > 4 * levels[0]
    assert PLACE.touch(storm, t)[0, 3] < PLACE.touch(calm, t)[0, 3] - 1
    smoke = NOTES.index("wood smoke")
    assert PLACE.smell(storm, t)[0, smoke] < PLACE.smell(calm, t)[0, smoke]
    assert not PLACE.taste(storm, t).any()


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    for seed in (0, 3):
        stage = drawn(PLACE, seed, 2)
        small, less = two_sizes(PLACE, stage, 3.0)
        assert float((less - small).abs().mean()) < 0.05 * float(small.mean()) + 0.005
        part = PLACE.picture(stage, 3.0, View(160, 96, 40, 16, torch.device("cpu")))
        assert torch.allclose(part, small[40:56], atol=1e-4)
