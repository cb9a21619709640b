"""The shore: the same bits give the same light and sound, seamless; waves are felt when they break."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.shore import HELD_OUT_WORDINGS, Shore
from stale_diffusion.scene import Event, Segment, Stage, decode, encode, fit_curve
from stale_diffusion.senses.smell import NOTES

SHORE = Shore()


def calm(swell: float, wind: float, events: tuple[Event, ...] = (), hour: float = 0.5) -> Stage:
    curves = {"swell": fit_curve(np.full(16, swell)), "wind": fit_curve(np.full(16, wind))}
    segment = Segment("shore", "shore", 7, {"hour": hour, "cloud": 0.2}, curves)
    return Stage([replace(segment, events=events), segment, segment])


def drawn(seed: int, segments: int = 3) -> Stage:
    return Stage(decode(encode(SHORE.draw(np.random.default_rng(seed), segments))))


@pytest.mark.parametrize("seed", range(6))
def test_lanes_are_in_range(seed: int) -> None:
    stage, t = drawn(seed), np.arange(768) / 64
    touch, smell, taste = SHORE.touch(stage, t), SHORE.smell(stage, t), SHORE.taste(stage, t)
    low, high = np.array([0, 0, 20, -10, 0]), np.array([1, 1, 300, 50, 20])
    assert touch.shape == (768, 5)
    assert ((touch >= low) & (touch <= high)).all()
    assert smell.shape == (768, len(NOTES))
    assert ((smell >= 0) & (smell <= 1)).all()
    assert ((taste >= 0) & (taste <= 1)).all()


def test_picture_is_a_function_of_bits_and_time() -> None:
    view = View.whole(160, 96)
    first, again, later = (SHORE.picture(drawn(3), t, view) for t in (5.0, 5.0, 5.5))
    assert torch.isfinite(first).all()
    assert float(first.min()) >= 0
    assert torch.equal(first, again)
    assert not torch.allclose(first, later, atol=1e-3)


def test_picture_is_the_same_at_every_size() -> None:
    stage = drawn(4)
    small, large = SHORE.picture(stage, 6.0, View.whole(160, 96)), SHORE.picture(stage, 6.0, View.whole(640, 384))
    shrunk = F.avg_pool2d(large.clamp(0, 1).permute(2, 0, 1)[None], 4)[0].permute(1, 2, 0)
    assert float((shrunk - small.clamp(0, 1)).abs().mean()) < 0.03


def test_bands_of_a_view_fit_together() -> None:
    stage, whole = drawn(5), View.whole(96, 54)
    parts = [SHORE.picture(stage, 6.0, replace(whole, top=top, rows=27)) for top in (0, 27)]
    assert torch.allclose(torch.cat(parts), SHORE.picture(stage, 6.0, whole), atol=1e-3)


def test_sound_has_no_seam() -> None:
    stage = drawn(2)
    whole = SHORE.sound(stage, 0, 48000, 24000)
    halves = [SHORE.sound(stage, start, 24000, 24000) for start in (0, 24000)]
    assert np.allclose(whole, np.concatenate(halves), atol=1e-5)
    assert np.abs(whole).max() < 0.9


def test_a_wave_is_heard_and_felt_when_it_breaks() -> None:
    stage = calm(0.4, 0.0, (Event("wave", 2.0, 0.9, 0.0, 0.2),))
    seat = SHORE.touch(stage, np.array([1.9, 2.5]))[:, 0]
    sound = SHORE.sound(stage, 0, 24000 * 4, 24000)
    assert seat[1] > seat[0] + 0.3
    assert sound[24000 * 5 // 2 : 24000 * 3].std() > 3 * sound[24000 : 24000 * 2].std()


def test_spray_is_salty() -> None:
    still, stormy = calm(0.1, 0.1), calm(0.9, 0.9, (Event("wave", 1.0, 0.9, 0.0, 0.2),))
    t = np.array([2.5])
    assert SHORE.taste(stormy, t)[0, 2] > SHORE.taste(still, t)[0, 2] + 0.2
    assert SHORE.taste(still, t)[0, [0, 1, 3, 4]].tolist() == [0, 0, 0, 0]


def test_captions_follow_the_scene_and_vary() -> None:
    rng = np.random.default_rng(0)
    wild = " ".join(SHORE.caption(calm(0.95, 0.95, hour=0.0).segments, rng) for _ in range(200)).lower()
    mild = " ".join(SHORE.caption(calm(0.05, 0.05).segments, rng) for _ in range(200)).lower()
    assert "raging" in wild
    assert "raging" not in mild
    assert "night" in wild
    assert "night" not in mild
    assert "flat calm" in mild
    assert "flat calm" not in wild
    scenes = [SHORE.draw(rng, 1) for _ in range(60)]
    captions = {SHORE.caption(scene, rng) for scene in scenes for _ in range(10)}
    assert len(captions) > 300
    assert not captions & {text for text, _ in HELD_OUT_WORDINGS}
