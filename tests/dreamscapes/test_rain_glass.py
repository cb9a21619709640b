"""Rain on glass: pure functions of scene and time, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes import rain_glass_picture, rain_glass_view
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.rain_glass import HELD_OUT_WORDINGS, NEAREST, RainOnGlass
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = RainOnGlass()
CITY, GARDEN = 11302, 52858


def scene(rain: float = 0.5, events: tuple[Event, ...] = (), hour: float = 0.95, variant: int = CITY) -> list[Segment]:
    """Two segments of steady rain without wind; the events are in the first."""
    return steady(PLACE, {"rain": rain, "steam": 0.3}, events, variant, hour=hour)


def test_drizzle_and_downpour_city_and_garden_occur() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    means = [s.curves["rain"][0] / 4 for s in drawn]
    assert min(means) < 0.15
    assert max(means) > 0.8
    assert {rain_glass_view.is_garden(s.variant) for s in drawn} == {True, False}
    wet, dry = (
        [len(s.events) for s, m in zip(drawn, means, strict=True) if (m > 0.5) == hard] for hard in (True, False)
    )
    assert np.mean(wet) > 2 * np.mean(dry)


def test_captions_follow_the_rain_and_are_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    weak, strong = ({PLACE.caption(scene(r), rng) for _ in range(400)} for r in (0.08, 0.95))
    assert not weak & strong
    assert len(weak | strong) > 300
    assert not any(word in text for text in weak for word in ("heavy", "downpour", "torrential", "streams down"))
    assert not any(word in text for text in strong for word in ("drizzle", "gentle", "garden", "morning", "afternoon"))
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (weak | strong)


def test_a_drop_is_seen_heard_and_felt_at_its_moment() -> None:
    drop = Event("drop", 2.0, 0.9, x=0.5, distance=0.5)
    with_, without = Stage(scene(0.1, (drop,))), Stage(scene(0.1))
    heard = np.abs(PLACE.sound(with_, 0, 96000, 24000) - PLACE.sound(without, 0, 96000, 24000)).max(1)
    assert heard[: 2 * 24000 - 24].max() < 1e-4
    assert heard[2 * 24000 : 2 * 24000 + 1200].max() > 0.02
    t = np.array([1.95, 2.02])
    felt = PLACE.touch(with_, t)[:, 1] - PLACE.touch(without, t)[:, 1]
    assert felt[0] == pytest.approx(0, abs=1e-9)
    assert felt[1] > 0.2
    view = View.whole(160, 96)
    assert torch.equal(PLACE.picture(with_, 1.9, view), PLACE.picture(without, 1.9, view))
    changed = (PLACE.picture(with_, 2.2, view) - PLACE.picture(without, 2.2, view)).abs().sum(-1)
    row, column = divmod(int(changed.argmax()), 160)
    assert abs(row - 48) < 14
    assert abs(column - 80 - 0.5 * 1.72 * 48) < 14


def test_a_passing_car_is_nearest_to_ear_and_seat_together() -> None:
    stage = Stage(scene(0.1, (Event("passing", 0.5, 1.0, x=-0.8, distance=0.1),)))
    t = np.arange(0, 4, 1 / 64)
    felt = t[PLACE.touch(stage, t)[:, 0].argmax()]
    energy = (PLACE.sound(stage, 0, 96000, 24000).astype(float) ** 2).reshape(64, -1).mean(1)
    heard = (energy.argmax() + 0.5) / 16
    assert felt == pytest.approx(0.5 + NEAREST, abs=0.15)
    assert heard == pytest.approx(felt, abs=0.4)


def test_the_garden_smells_of_earth_and_nothing_has_a_taste() -> None:
    t = np.arange(0, 8, 0.5)
    town, garden = (PLACE.smell(Stage(scene(0.6, variant=v)), t) for v in (CITY, GARDEN))
    earth = NOTES.index("wet earth")
    assert (garden[:, earth] > 1.5 * town[:, earth]).all()
    assert garden.min() >= 0
    assert garden.max() <= 1
    assert not PLACE.taste(Stage(scene()), t).any()


def test_sound_is_louder_in_hard_rain() -> None:
    levels = [PLACE.sound(Stage(scene(r)), 0, 24000, 24000).std() for r in (0.1, 0.9)]
    assert levels[1] > 3 * levels[0]
    assert np.abs(PLACE.sound(Stage(scene(1.0)), 0, 24000, 24000)).max() < 0.9


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    for seed in (2, 0):
        stage = Stage(PLACE.draw(np.random.default_rng(seed), 2))
        small, less = two_sizes(PLACE, stage, 3.0)
        assert (less - small).abs().mean() < 0.06 * small.mean() + 0.01
        part = PLACE.picture(stage, 3.0, View(160, 96, 40, 16, torch.device("cpu")))
        assert torch.allclose(part, small[40:56], atol=1e-5)


def test_drops_on_the_pane_do_not_overlap_and_are_more_in_hard_rain() -> None:
    x, y, r = rain_glass_picture._drops(7)[:, :3].T
    far = np.hypot(x[:, None] - x, y[:, None] - y) - (r[:, None] + r)
    assert (far + 9 * np.eye(len(x)) > 0).all()
    few, many = (
        len(rain_glass_picture._sitting(s, 3.0, rain_glass_picture._runnels(s, 3.0))[1])
        for s in map(Stage, (scene(0.05), scene(0.9)))
    )
    assert many > 1.5 * few
