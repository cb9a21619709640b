"""Performing: every place at many seeds, turns from one place into another, and the seams between blocks."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from stale_diffusion import scene
from stale_diffusion.dreamscapes import corpus, perform
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import PLACES, Stage
from stale_diffusion.screens import Performed
from stale_diffusion.senses.touch import FREQUENCY, TEMPERATURE, WIND


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def drawn(name: str | None, seed: int, segments: int = 2) -> Stage:
    segments_, _ = draw(np.random.default_rng([11, seed]), segments, name)
    return Stage(scene.decode(scene.encode(segments_)))


def turning(seed: int = 0) -> Stage:
    segments, _ = corpus._turn(np.random.default_rng(seed), 3, "campfire")
    return Stage(scene.decode(scene.encode(segments)))


def test_every_place_that_is_built_has_a_name_in_the_scene() -> None:
    assert set(perform.BUILT) <= set(PLACES) and len(perform.BUILT) >= 6
    assert all(perform.place(name).name == name for name in perform.BUILT)


@pytest.mark.parametrize("name", perform.BUILT)
def test_lanes_and_captions_of_many_scenes_are_in_range(name: str) -> None:
    for seed in range(25):
        rng = np.random.default_rng([11, seed])
        segments, caption = draw(rng, 2, name)
        assert caption.strip() == caption and 3 <= len(caption) <= 400
        lanes = perform.lanes(Stage(scene.decode(scene.encode(segments))))
        felt = lanes["touch"]
        for channel, (low, high) in enumerate(((0, 1), (0, 1), FREQUENCY, TEMPERATURE, (0, WIND[1]))):
            assert felt[:, channel].min() >= low - 1e-3 and felt[:, channel].max() <= high + 1e-3
        assert felt.shape == (512, 5) and lanes["smell"].shape == (16, 24) and lanes["taste"].shape == (16, 5)
        assert all(np.isfinite(v).all() and v.min() >= -10.001 for v in lanes.values())
        assert lanes["smell"].max() <= 1 and lanes["smell"].max() > 0.02


@pytest.mark.parametrize("name", perform.BUILT)
def test_sound_of_many_scenes_is_finite_and_not_clipped(name: str) -> None:
    for seed in range(6):
        sound = perform.sound(drawn(name, seed), 24_000, 24_000, 12_000)
        assert sound.shape == (24_000, 2) and np.isfinite(sound).all() and np.abs(sound).max() < 0.96
        assert sound.std() > 1e-5


def test_a_turn_dissolves_every_sense() -> None:
    stage = turning()
    first, second = stage.segments[0].place, stage.segments[-1].place
    assert first != second
    at = next(i for i, s in enumerate(stage.segments) if s.next == second) * 4
    size = (64, 36)
    before, middle, after = (perform.frame(stage, t, size).astype(float) for t in (at + 0.1, at + 2.0, at + 4.2))
    for end in (before, after):
        assert 0 < np.abs(middle - end).mean() < np.abs(before - after).mean() + 20
    sound = perform.sound(stage, 8000 * at, 8000 * 5, 8000)
    assert np.isfinite(sound).all()
    smell = perform.lanes(stage)["smell"]
    assert not np.allclose(smell[0], smell[-1], atol=0.05)


def test_weights_of_the_places_on_stage_add_up_to_one() -> None:
    stage = turning()
    t = np.linspace(0, stage.end - 1e-3, 200)
    names = perform._cast(stage, 0, stage.end)
    assert np.allclose(sum(perform._weights(stage, n, t) for n in names), 1)


def test_sound_in_blocks_is_sound_in_one() -> None:
    stage = drawn("shore", 3)
    whole = perform.sound(stage, 0, 48_000, 12_000)
    blocks = [perform.sound(stage, i, 12_000, 12_000) for i in range(0, 48_000, 12_000)]
    assert np.allclose(np.concatenate(blocks), whole, atol=2e-3)


def test_a_performed_movie_is_as_long_as_it_says_at_any_rate() -> None:
    segments, _ = draw(np.random.default_rng(0), 2, "campfire")
    screen = Performed(scene.encode(segments), 5.5)
    frames = list(screen.frames((64, 36), Fraction(6)))
    assert len(frames) == 33 and frames[0].shape == (36, 64, 3) and frames[0].dtype == np.uint8
    sound = np.concatenate(list(screen.sound(8000)))
    assert sound.shape == (44_000, 2) and sound[0, 0] == 0 and abs(sound[-1, 0]) < 1e-3
    assert not np.array_equal(frames[0], frames[-1])


def test_statics_develop_the_picture() -> None:
    segments, _ = draw(np.random.default_rng(2), 1, "shore")
    bright, dark = (
        Stage([scene.Segment(s.place, s.next, s.variant, {**s.statics, "exposure": e}, s.curves, s.events)])
        for s, e in ((segments[0], 0.7), (segments[0], 0.3))
    )
    assert perform.frame(bright, 1.0, (64, 36)).mean() > perform.frame(dark, 1.0, (64, 36)).mean() + 10


@pytest.mark.parametrize("name", perform.BUILT)
def test_two_scenes_share_no_noise(name: str) -> None:
    def heard(variant: int) -> np.ndarray:
        segments = [replace(s, variant=variant) for s in drawn(name, 3, 1).segments]
        return perform.sound(Stage(segments), 0, 24_000, 12_000)[:, 0]

    one, other = heard(70), heard(71)
    assert np.array_equal(one, heard(70))
    quiet = [np.diff(w) for w in (one, other)]  # the hiss, not the events
    assert abs(np.corrcoef(*quiet)[0, 1]) < 0.3


@pytest.mark.parametrize("size", [(64, 36), (32, 18), (16, 9)])
def test_the_smallest_meadow_is_finite(size: tuple[int, int]) -> None:
    assert torch.isfinite(perform.light(drawn("meadow", 3), 1.3, View.whole(*size))).all()


def test_film_turns_black_white_and_grey_into_what_the_curve_says() -> None:
    stage = drawn("shore", 0)
    still = Stage([replace(stage.segments[0], statics={n: 0.5 for n in stage.segments[0].statics})])
    linear = torch.tensor([0.0, 0.18, 1.0, 1e4])[:, None, None].expand(4, 400, 3)
    a, b, c, d, e = perform._FILMIC
    x = 0.18
    film = (x * (a * x + b)) / (x * (c * x + d) + e)
    grey = 255 * (1.055 * film ** (1 / 2.4) - 0.055)
    shown = perform.develop(linear, still, 0.5).float().mean((1, 2))
    assert shown[0] < 1 and abs(float(shown[1]) - grey) < 0.2 and shown[3] > 254
