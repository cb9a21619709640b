"""Forest stream: pure functions of scene and time, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.stream import HELD_OUT_WORDINGS, ForestStream
from stale_diffusion.dreamscapes.stream_ground import lie
from stale_diffusion.dreamscapes.stream_wood import is_conifer
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = ForestStream()
BEECH, SPRUCE = 4253, 51445


def scene(flow: float = 0.5, events: tuple[Event, ...] = (), hour: float = 0.5, variant: int = BEECH) -> list[Segment]:
    """Two segments of a steady stream without wind; the events are in the first."""
    return steady(PLACE, {"flow": flow, "light": 0.7}, events, variant, hour=hour, cloud=0.2)


def test_birds_sing_by_day_and_frogs_at_night() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 2) for i in range(150)]
    for kind, by_day in (("bird", True), ("frog", False)):
        hours = [s.statics["hour"] for clip in drawn for s in clip for e in s.events if e.kind == kind]
        assert len(hours) > 20
        assert (
            np.mean([0.2 < h < 0.8 for h in hours]) > 0.9 if by_day else np.mean([0.31 < h < 0.69 for h in hours]) < 0.1
        )
    flows = [clip[0].curves["flow"][0] / 4 for clip in drawn]
    assert min(flows) < 0.15
    assert max(flows) > 0.8
    assert {is_conifer(clip[0].variant) for clip in drawn} == {True, False}


def test_captions_follow_the_water_and_are_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    weak, strong = ({PLACE.caption(scene(f), rng) for _ in range(400)} for f in (0.08, 0.95))
    assert not weak & strong
    assert len(weak | strong) > 300
    assert not any(word in text for text in weak for word in ("rushing", "roar", "torrent", "wild", "foam"))
    assert not any(word in text for text in strong for word in ("gentle", "trickle", "quiet", "night", "moon", "dawn"))
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (weak | strong)


def test_a_splash_is_heard_and_felt_at_its_moment() -> None:
    splash = Event("splash", 1.5, 0.9, x=-0.6, distance=0.1)
    with_, without = Stage(scene(0.1, (splash,))), Stage(scene(0.1))
    heard = np.abs(PLACE.sound(with_, 0, 96000, 24000) - PLACE.sound(without, 0, 96000, 24000))
    assert heard[: int(1.5 * 24000) - 24].max() < 1e-4
    moment = heard[int(1.5 * 24000) : int(1.7 * 24000)]
    assert moment.max() > 0.02
    assert moment[:, 0].mean() > 1.2 * moment[:, 1].mean()  # it is on the left
    t = np.array([1.45, 1.53])
    felt = PLACE.touch(with_, t)[:, 1] - PLACE.touch(without, t)[:, 1]
    assert felt[0] == pytest.approx(0, abs=1e-9)
    assert felt[1] > 0.2


def test_a_bird_is_heard_as_late_as_its_distance() -> None:
    bird = Event("bird", 1.0, 0.9, distance=1.0)
    with_, without = Stage(scene(0.1, (bird,))), Stage(scene(0.1))
    heard = np.abs(PLACE.sound(with_, 0, 96000, 24000) - PLACE.sound(without, 0, 96000, 24000)).max(1)
    first = int((heard > 1e-3).argmax()) / 24000
    assert 1.0 + 33 / 343 - 0.002 < first < 1.0 + 33 / 343 + 0.03


def test_touch_and_smell_follow_the_scene() -> None:
    t = np.arange(0, 8, 1 / 16)
    trickle, torrent = (PLACE.touch(Stage(scene(f)), t) for f in (0.1, 0.95))
    assert (torrent[:, 0] > 4 * trickle[:, 0]).all()
    night = PLACE.touch(Stage(scene(0.1, hour=0.0)), t)
    assert (night[:, 3] < trickle[:, 3] - 4).all()
    for lane in (trickle, torrent, night):
        assert lane[:, :2].min() >= 0
        assert lane[:, :2].max() <= 1
        assert ((lane[:, 2] >= 20) & (lane[:, 2] <= 300)).all()
    beech, spruce = (PLACE.smell(Stage(scene(variant=v)), t) for v in (BEECH, SPRUCE))
    assert spruce[:, NOTES.index("pine")].min() > 0.2
    assert not beech[:, NOTES.index("pine")].any()
    assert beech.min() >= 0
    assert beech.max() <= 1


def test_sound_is_louder_in_a_torrent() -> None:
    levels = [PLACE.sound(Stage(scene(f)), 0, 24000, 24000).std() for f in (0.1, 0.9)]
    assert levels[1] > 3 * levels[0]
    assert np.abs(PLACE.sound(Stage(scene(1.0)), 0, 24000, 24000)).max() < 0.9


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    stage = Stage(scene(0.6))
    small, less = two_sizes(PLACE, stage, 3.0)
    coarse = [F.avg_pool2d(a.permute(2, 0, 1)[None], 8) for a in (less, small)]
    assert (coarse[0] - coarse[1]).abs().mean() < 0.12 * small.mean()
    part = PLACE.picture(stage, 3.0, View(160, 96, 40, 16, torch.device("cpu")))
    assert torch.allclose(part, small[40:56], atol=1e-5)


def test_the_water_moves_and_the_wood_stands() -> None:
    stage = Stage(scene(0.6, hour=0.0))  # by night: no dapples that sway
    stage.segments[0].statics["drift"] = 0.0  # type: ignore[index]
    land = lie(BEECH, 160, 96)
    water = torch.zeros(land.depth.numel())
    water[land.water] = land.cover
    assert 0.05 < float(water.mean()) < 0.7
    assert float(land.deep.min()) >= 0
    one, two = (PLACE.picture(stage, t, View.whole(160, 96)) for t in (1.0, 1.4))
    change = (one - two).abs().sum(-1)
    assert change[60:, 50:110].mean() > 2 * change[:25].mean()


def test_water_that_has_flowed_a_thousand_metres_does_not_jump() -> None:
    calm = scene(0.5)[1]
    segments = [calm] * 230
    stage = Stage(segments)
    t = float(np.interp(1000, [0.28 * s + 1.7 * stage.integral("flow", s) for s in range(920)], np.arange(920)))
    view = View.whole(160, 96)
    before, at, after = (PLACE.picture(stage, t + dt, view) for dt in (-0.04, -0.0005, 0.0395))
    assert (after - at).abs().mean() < 2 * (at - before).abs().mean() + 1e-4
