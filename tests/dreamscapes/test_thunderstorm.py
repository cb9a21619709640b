"""The thunderstorm: the flash is seen, then heard and felt, metres / 343 seconds later."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.thunderstorm import HELD_OUT_WORDINGS, SOUND_SPEED, Thunderstorm, metres
from stale_diffusion.scene import Event, Segment, Stage, decode, encode, fit_curve
from stale_diffusion.senses.smell import NOTES

STORM = Thunderstorm()


def still(near: float, rain: float, events: tuple[Event, ...] = (), hour: float = 0.0) -> Stage:
    curves = {"near": fit_curve(np.full(16, near)), "rain": fit_curve(np.full(16, rain))}
    segment = Segment("thunderstorm", "thunderstorm", 7, {"hour": hour, "cloud": 0.8}, curves)
    return Stage([replace(segment, events=events), segment, segment])


def drawn(seed: int, segments: int = 3) -> Stage:
    return Stage(decode(encode(STORM.draw(np.random.default_rng(seed), segments))))


@pytest.mark.parametrize("seed", range(6))
def test_lanes_are_in_range(seed: int) -> None:
    stage, t = drawn(seed), np.arange(768) / 64
    touch, smell, taste = STORM.touch(stage, t), STORM.smell(stage, t), STORM.taste(stage, t)
    low, high = np.array([0, 0, 20, -10, 0]), np.array([1, 1, 300, 50, 20])
    assert touch.shape == (768, 5)
    assert ((touch >= low) & (touch <= high)).all()
    assert smell.shape == (768, len(NOTES))
    assert ((smell >= 0) & (smell <= 1)).all()
    assert not taste.any()


@pytest.mark.parametrize("distance", [0.1, 0.5, 1.0])
def test_thunder_is_heard_and_felt_together_after_the_flash(distance: float) -> None:
    stage = still(0.5, 0.0, (Event("lightning", 1.0, 0.8, 0.2, distance),))
    arrival = 1.0 + float(metres(np.array(distance))) / SOUND_SPEED
    t = np.arange(0, 12, 1 / 64)
    seat = STORM.touch(stage, t)[:, 0]
    level = np.abs(STORM.sound(stage, 0, 12 * 12000, 12000)).max(1).reshape(-1, 1200).max(1)
    felt = t[np.argmax(seat > seat[0] + 0.03)]
    heard = np.argmax(level > 3 * np.median(level[: int(10 * arrival) - 1])) / 10
    assert felt == pytest.approx(arrival, abs=0.15)
    assert heard == pytest.approx(arrival, abs=0.25)


def test_lightning_is_seen_at_once() -> None:
    stage = still(0.5, 0.0, (Event("lightning", 2.0, 0.8, 0.0, 0.4),))
    before, during, after = (STORM.picture(stage, t, View.whole(96, 54)).mean() for t in (1.95, 2.01, 3.9))
    assert float(during) > 1.5 * float(before)
    assert float(after) == pytest.approx(float(before), rel=0.3)


def test_picture_is_a_function_of_bits_and_time() -> None:
    view = View.whole(160, 96)
    first, again, later = (STORM.picture(drawn(3), t, view) for t in (5.0, 5.0, 6.0))
    assert torch.isfinite(first).all()
    assert float(first.min()) >= 0
    assert torch.equal(first, again)
    assert not torch.allclose(first, later, atol=1e-3)


def test_picture_is_the_same_at_every_size() -> None:
    stage = drawn(4)
    small, large = STORM.picture(stage, 6.0, View.whole(160, 96)), STORM.picture(stage, 6.0, View.whole(640, 384))
    shrunk = F.avg_pool2d(large.clamp(0, 1).permute(2, 0, 1)[None], 4)[0].permute(1, 2, 0)
    assert float((shrunk - small.clamp(0, 1)).abs().mean()) < 0.03


def test_bands_of_a_view_fit_together() -> None:
    stage, whole = drawn(5), View.whole(96, 54)
    t = stage.events("lightning", 0, 12)[0].time + 0.01 if stage.events("lightning", 0, 12) else 6.0
    parts = [STORM.picture(stage, t, replace(whole, top=top, rows=27)) for top in (0, 27)]
    assert torch.allclose(torch.cat(parts), STORM.picture(stage, t, whole), atol=1e-3)


def test_sound_has_no_seam() -> None:
    stage = drawn(2)
    whole = STORM.sound(stage, 0, 48000, 24000)
    halves = [STORM.sound(stage, start, 24000, 24000) for start in (0, 24000)]
    assert np.allclose(whole, np.concatenate(halves), atol=1e-5)
    assert np.abs(whole).max() <= 0.9


def test_rain_wets_the_earth_and_close_lightning_leaves_ozone() -> None:
    dry, wet = still(0.5, 0.0), still(0.5, 0.5, (Event("lightning", 1.0, 0.9, 0.0, 0.0),))
    t = np.array([4.0])
    for note, more in (("wet earth", 0.3), ("ozone", 0.1), ("rain on stone", 0.1)):
        k = NOTES.index(note)
        assert STORM.smell(wet, t)[0, k] > STORM.smell(dry, t)[0, k] + more


def test_captions_follow_the_scene_and_vary() -> None:
    rng = np.random.default_rng(0)
    wild = " ".join(STORM.caption(still(0.95, 0.95).segments, rng) for _ in range(200)).lower()
    mild = " ".join(STORM.caption(still(0.03, 0.0, hour=0.5).segments, rng) for _ in range(200)).lower()
    assert "overhead" in wild
    assert "overhead" not in mild
    assert "torrent" in wild
    assert "torrent" not in mild
    assert "night" in wild
    assert "night" not in mild
    assert "no rain yet" in mild
    assert "no rain yet" not in wild
    scenes = [STORM.draw(rng, 1) for _ in range(60)]
    captions = {STORM.caption(scene, rng) for scene in scenes for _ in range(10)}
    assert len(captions) > 300
    assert not captions & {text for text, _ in HELD_OUT_WORDINGS}
