"""What every place keeps: the same bits give the same light and sound, seamless, and lanes in range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import drawn

from stale_diffusion.dreamscapes import perform
from stale_diffusion.dreamscapes.place import Place, View
from stale_diffusion.scene import decode, encode
from stale_diffusion.senses.smell import NOTES

OPEN = ("shore", "thunderstorm")


@pytest.fixture(params=perform.BUILT)
def place(request: pytest.FixtureRequest) -> Place:
    return perform.place(request.param)


def test_a_scene_is_drawn_from_its_seed_and_survives_its_bits(place: Place) -> None:
    one, two = (place.draw(np.random.default_rng(5), 4) for _ in range(2))
    assert np.array_equal(encode(one), encode(two))
    assert not np.array_equal(encode(one), encode(place.draw(np.random.default_rng(6), 4)))
    back = decode(encode(one))
    assert [s.place for s in back] == [place.name] * 4
    assert [len(s.events) for s in back] == [len(s.events) for s in one]
    for name, curve in one[0].curves.items():
        assert back[0].curves[name] == pytest.approx(curve, abs=0.13)


def test_lanes_are_in_range(place: Place) -> None:
    low, high = np.array([0, 0, 20, -10, 0]), np.array([1, 1, 300, 50, 20])
    for seed in range(8):
        stage, t = drawn(place, seed), np.arange(768) / 64
        touch, smell, taste = place.touch(stage, t), place.smell(stage, t), place.taste(stage, t)
        assert touch.shape == (768, 5)
        assert ((touch >= low) & (touch <= high)).all()
        assert smell.shape == (768, len(NOTES))
        assert ((smell >= 0) & (smell <= 1)).all()
        assert taste.shape == (768, 5)
        assert ((taste >= 0) & (taste <= 1)).all()


def test_picture_is_a_function_of_bits_and_time(place: Place) -> None:
    view = View.whole(160, 96)
    first, later, again = (place.picture(drawn(place, 3), t, view) for t in (5.0, 6.0, 5.0))
    assert first.shape == (96, 160, 3)
    assert first.dtype == torch.float32
    assert torch.isfinite(first).all()
    assert float(first.min()) >= 0
    assert torch.equal(first, again)
    assert not torch.allclose(first, later, atol=1e-3)


@pytest.mark.parametrize("name", OPEN)
def test_bands_of_open_country_fit_together(name: str) -> None:
    place, whole = perform.place(name), View.whole(96, 54)
    stage = drawn(place, 5)
    flash = [e.time + 0.01 for e in stage.events("lightning", 0, 12)]
    t = flash[0] if flash else 6.0
    parts = [place.picture(stage, t, replace(whole, top=top, rows=27)) for top in (0, 27)]
    assert torch.allclose(torch.cat(parts), place.picture(stage, t, whole), atol=1e-3)


@pytest.mark.parametrize("name", OPEN)
def test_open_country_is_the_same_at_every_size(name: str) -> None:
    place = perform.place(name)
    small, large = (place.picture(drawn(place, 4), 6.0, View.whole(160 * k, 96 * k)) for k in (1, 4))
    shrunk = F.avg_pool2d(large.clamp(0, 1).permute(2, 0, 1)[None], 4)[0].permute(1, 2, 0)
    assert float((shrunk - small.clamp(0, 1)).abs().mean()) < 0.03


def test_sound_in_two_parts_is_the_sound_in_one(place: Place) -> None:
    stage = drawn(place, 2)
    whole = place.sound(stage, 12000, 60000, 24000)
    parts = [place.sound(stage, start, n, 24000) for start, n in ((12000, 23456), (35456, 36544))]
    assert whole.shape == (60000, 2)
    # The rooms' reverberation is a Fourier transform over the part.
    assert np.allclose(whole, np.concatenate(parts), atol=1e-5 if place.name in OPEN else 1e-3)
    assert np.abs(whole).max() <= 0.9
