"""Campfire: pure functions of scene and time, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes.campfire import HELD_OUT_WORDINGS, Campfire
from stale_diffusion.dreamscapes.light import quarter_of_day
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = Campfire()


def scene(fire: float = 0.6, events: tuple[Event, ...] = (), hour: float = 0.95, variant: int = 40000) -> list[Segment]:
    """Two segments with a steady fire; the events are in the first."""
    return steady(PLACE, {"fire": fire, "steam": 0.3}, events, variant, hour=hour)


def test_all_hours_and_strengths_occur() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    assert {quarter_of_day(s.statics["hour"]) for s in drawn} == {"night", "dawn", "day", "dusk"}
    means = [s.curves["fire"][0] / 4 for s in drawn]
    assert min(means) < 0.15
    assert max(means) > 0.85
    assert all(0 <= e.time < 4 for s in drawn for e in s.events)


def test_captions_say_how_big_the_fire_is_and_never_a_held_out_wording() -> None:
    held = {text for text, _ in HELD_OUT_WORDINGS}
    small, large = scene(0.08), scene(0.95)
    rng = np.random.default_rng(0)
    weak, strong = ({PLACE.caption(s, rng) for _ in range(300)} for s in (small, large))
    assert not weak & strong
    assert any("roaring" in text for text in strong)
    assert not any("roaring" in text.lower() or "bonfire" in text.lower() for text in weak)
    assert not any(word in text.lower() for text in weak | strong for word in ("daylight", "dawn", "dusk"))
    assert len(weak | strong) > 300
    assert not held & (weak | strong)


def test_a_crack_is_felt_heard_and_smelt_when_it_happens() -> None:
    stage = Stage(scene(0.4, (Event("crack", 2.0, 0.9),)))
    quiet = Stage(scene(0.4))
    t = np.arange(256) / 64
    felt = (PLACE.touch(stage, t) - PLACE.touch(quiet, t))[:, 1]
    assert felt[t < 2.0].max() == pytest.approx(0, abs=1e-9)
    assert 2.0 <= t[felt.argmax()] < 2.05
    heard = np.abs(PLACE.sound(stage, 0, 4 * 24000, 24000) - PLACE.sound(quiet, 0, 4 * 24000, 24000)).max(1)
    assert heard[: int(1.999 * 24000)].max() < 1e-5
    assert 2.0 <= heard.argmax() / 24000 < 2.05
    resin = (PLACE.smell(stage, t) - PLACE.smell(quiet, t))[:, NOTES.index("resin")]
    assert resin[t > 2.2].max() > 0.1
    assert resin[t < 2].max() == 0


def test_it_is_warmer_by_a_bigger_fire() -> None:
    small, large = (PLACE.touch(Stage(scene(f)), np.array([1.0]))[0, 3] for f in (0.1, 0.9))
    assert large > small + 8


def test_a_bonfire_is_louder_than_embers() -> None:
    weak, strong = (np.sqrt((PLACE.sound(Stage(scene(f)), 0, 48000, 24000) ** 2).mean()) for f in (0.1, 0.9))
    assert strong > 4 * weak
    assert 0.02 < strong < 0.2


def test_the_picture_is_the_same_at_any_size() -> None:
    stage = Stage(scene(0.7, (Event("crack", 1.0, 0.8),)))
    small, large = two_sizes(PLACE, stage, 1.3)
    assert float((small - large).abs().mean()) < 0.12 * float(small.mean())


def test_a_band_of_the_picture_is_that_band() -> None:
    stage, view = Stage(scene()), View.whole(160, 96)
    band = View(160, 96, 40, 20, view.device)
    assert torch.allclose(PLACE.picture(stage, 0.5, band), PLACE.picture(stage, 0.5, view)[40:60], atol=1e-4)


def test_the_fire_lights_the_ground() -> None:
    weak, strong = (PLACE.picture(Stage(scene(f)), 0.5, View.whole(160, 96))[80:] for f in (0.1, 0.9))
    assert float(strong.mean()) > 3 * float(weak.mean())
    assert float(strong[..., 0].mean()) > 2 * float(strong[..., 2].mean())
