"""Bakery oven: heat, crust and door agree across the senses, words follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes.bakery import HELD_OUT_WORDINGS, TASTED, Bakery, door
from stale_diffusion.dreamscapes.bakery_plate import bake
from stale_diffusion.dreamscapes.bakery_sound import open_seconds
from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES

PLACE = Bakery()
RATE = 12_000
BRICK, SWEET = 32768, 1 << 14


def scene(fire: float = 0.6, events: tuple[Event, ...] = (), variant: int = 7, **more: float) -> list[Segment]:
    """Two segments of steady heat by night; the events are in the first."""
    levels = {"fire": fire, "steam": 0.2, "light": 0.0, "life": 0.0, "flow": more.pop("flow", 0.5)}
    return steady(PLACE, levels, events, variant, **{"hour": 0.05, "focal": 0.5, "height": 0.5, "pan": 0.5, **more})


def test_all_hours_and_strengths_occur_and_bread_only_browns() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 2) for i in range(120)]
    assert {part_of_day(s[0].statics["hour"]) for s in drawn} >= {"night", "dawn", "noon", "dusk"}
    heat = [s[0].curves["fire"][0] / 4 for s in drawn]
    assert min(heat) < 0.2
    assert max(heat) > 0.8
    assert all(b.curves["flow"][0] >= a.curves["flow"][0] - 1e-6 for a, b in drawn)
    assert all(s.variant >= BRICK for pair in drawn for s in pair if any(e.kind == "spark" for e in s.events))


def test_captions_follow_the_scene_and_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    cool, hot = ({PLACE.caption(scene(f), rng) for _ in range(300)} for f in (0.05, 0.95))
    assert len(cool | hot) > 300
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (cool | hot)
    assert any("blazing" in text.lower() for text in hot)
    assert not any(word in text.lower() for text in cool for word in ("blazing", "full heat", "glare"))
    assert not any(
        word in text.lower() for text in cool | hot for word in ("noon", "brick", "vanilla", "buns", "a oven")
    )
    sweet = " ".join(PLACE.caption(scene(variant=BRICK + SWEET), rng) for _ in range(200)).lower()
    assert "buns" in sweet and "brick" in sweet and "loaves" not in sweet


def test_the_open_door_is_seen_heard_felt_and_smelt() -> None:
    event = Event("creak", 1.0, 0.5)
    stage, shut = Stage(scene(0.8, (event,))), Stage(scene(0.8))
    t = np.arange(512) / 64
    ajar = door(stage, t)
    assert ajar[t < 1].max() == 0
    assert t[ajar > 0.5].min() == pytest.approx(1.25, abs=0.05)
    assert t[ajar > 0.5].max() == pytest.approx(1 + open_seconds(event) - 0.2, abs=0.05)
    felt = (PLACE.touch(stage, t) - PLACE.touch(shut, t))[:, 3]
    assert felt[ajar > 0.9].min() > 3
    bread = (PLACE.smell(stage, t) - PLACE.smell(shut, t))[:, NOTES.index("baked bread")]
    assert bread[ajar > 0.9].min() > 0.05
    heard = np.abs(PLACE.sound(stage, 0, 2 * RATE, RATE) - PLACE.sound(shut, 0, 2 * RATE, RATE)).max(1)
    assert heard[: RATE - 10].max() < 1e-4 < heard[RATE : RATE * 3 // 2].max()
    view = View.whole(96, 54)
    assert float((PLACE.picture(stage, 2.0, view) - PLACE.picture(shut, 2.0, view)).abs().max()) > 0.05


def test_broken_bread_is_tasted_and_buns_are_sweeter() -> None:
    bite, t = (Event("crack", 1.0, TASTED + 0.1),), np.arange(0, 4, 0.5)
    bread, buns = (PLACE.taste(Stage(scene(events=bite, variant=v)), t) for v in (7, 7 + SWEET))
    salty, sweet = TASTES.index("salty"), TASTES.index("sweet")
    assert bread[:2, salty].max() == 0
    assert bread[3, salty] > 0.2
    assert buns[3, sweet] > 1.5 * bread[3, sweet]
    assert PLACE.taste(Stage(scene(events=(Event("crack", 1.0, TASTED - 0.1),))), t)[:, salty].max() == 0


def test_a_hot_oven_is_warm_and_brown_bread_smells() -> None:
    t, bread = np.array([1.0]), NOTES.index("baked bread")
    cool, hot = (PLACE.touch(Stage(scene(f)), t)[0, 3] for f in (0.1, 0.95))
    assert hot > cool + 8
    raw, brown = (PLACE.smell(Stage(scene(flow=f)), t)[0, bread] for f in (0.0, 1.0))
    assert brown > raw + 0.3
    smoke = NOTES.index("wood smoke")
    steel, brick = (PLACE.smell(Stage(scene(variant=v)), t)[0, smoke] for v in (7, BRICK))
    assert steel == 0 < brick


@pytest.mark.parametrize("kind", ["crack", "clink", "pour", "bell", "spark"])
def test_every_event_is_heard_when_it_happens(kind: str) -> None:
    there, alone = (PLACE.sound(Stage(scene(0.5, e)), 0, 2 * RATE, RATE) for e in ((Event(kind, 0.5, 0.8),), ()))
    assert np.abs(there - alone).max() > 0.004
    assert np.abs((there - alone)[: RATE // 2 - RATE // 12]).max() < 1e-4


def test_crust_browns() -> None:
    colours = bake(torch.zeros(5), torch.linspace(0, 1, 5)).sum(-1)
    assert bool((colours.diff() < 0).all())


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    stage, view = Stage(scene(0.6, variant=BRICK)), View.whole(160, 96)
    small, large = two_sizes(PLACE, stage, 1.3)
    assert float((small - large).abs().mean()) < 0.2 * float(small.mean())
    band = View(160, 96, 30, 30, view.device)
    assert torch.allclose(PLACE.picture(stage, 0.5, band), PLACE.picture(stage, 0.5, view)[30:60], atol=1e-3)


def test_firelight_does_not_flash() -> None:
    stage = Stage(scene(0.9, variant=BRICK))
    means = [float(PLACE.picture(stage, 1 + k / 24, View.whole(64, 36)).mean()) for k in range(24)]
    assert max(means) < 1.35 * min(means)
