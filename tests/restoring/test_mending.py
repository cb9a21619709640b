"""What is put in place of damage: pictures, sound, bits."""

import numpy as np
import pytest

from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.generate import Generator, load
from stale_diffusion.media import minterpolate
from stale_diffusion.restoring import bits, pictures, sounds

RATE = 24_000


def test_bands_add_up() -> None:
    import torch

    picture = torch.rand(1, 36, 64)
    assert torch.allclose(sum(pictures.bands(picture)), picture, atol=1e-5)


def test_what_stands_still_stays_and_what_fades_is_between() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (36, 64, 3), dtype=np.uint8)
    for made in pictures.kriged([picture] * 4, [picture] * 4, 5, 24):
        assert np.abs(made.astype(int) - picture).max() <= 1
    ramp = [np.full((36, 64, 3), 40 + 5 * k, np.uint8) for k in range(30)]
    made = list(pictures.kriged(ramp[:8], ramp[18:26], 10, 24))
    assert [int(m.mean()) for m in made] == pytest.approx([int(r.mean()) for r in ramp[8:18]], abs=6)


def test_foam_that_forgets_itself_becomes_its_mean() -> None:
    rng = np.random.default_rng(1)
    foam = [np.clip(128 + 40 * rng.standard_normal((36, 64, 3)), 0, 255).astype(np.uint8) for _ in range(30)]
    made = list(pictures.kriged(foam[:8], foam[22:], 14, 24))[7].astype(float)
    held = np.mean((foam[7].astype(float) - foam[15]) ** 2)
    assert np.mean((made - foam[15]) ** 2) < 0.65 * held


def test_one_side_or_one_picture_is_enough() -> None:
    picture = np.full((16, 16, 3), 90, np.uint8)
    for before, after in (([picture], []), ([], [picture]), ([picture], [picture])):
        made = list(pictures.filled(before, after, 3, 24))
        assert len(made) == 3
        assert all((m == 90).all() for m in made)


def test_minterpolate_moves_what_moves() -> None:
    rng = np.random.default_rng(2)
    wide = np.kron(rng.integers(0, 256, (12, 40)), np.ones((8, 8))).astype(np.uint8)
    pan = [np.repeat(wide[:96, 2 * k : 2 * k + 160, None], 3, 2) for k in range(8)]
    made = minterpolate(pan[:3], pan[5:], 2)
    assert len(made) == 2
    blend = np.mean([(a.astype(float) - t) ** 2 for a, t in zip([pan[2], pan[5]], pan[3:5], strict=True)])
    assert np.mean([(m.astype(float) - t) ** 2 for m, t in zip(made, pan[3:5], strict=True)]) < blend


def test_only_the_black_blocks_are_patched() -> None:
    picture, guess = np.full((32, 48, 3), 10, np.uint8), np.full((32, 48, 3), 200, np.uint8)
    mask = np.zeros((2, 3), bool)
    mask[0, 1] = True
    made = pictures.patched(picture, guess, mask)
    assert (made[:16, 16:32] == 200).all()
    assert (made[20:] == 10).all()


def test_a_tone_is_predicted_exactly_and_a_click_is_gone() -> None:
    t = np.arange(RATE) / RATE
    tone = np.stack([0.3 * np.sin(2 * np.pi * 440 * t), 0.2 * np.cos(2 * np.pi * 1000 * t)], -1).astype(np.float32)
    hurt = tone.copy()
    hurt[12_000:12_030] = 0.9
    made = sounds.predicted(hurt, [(12_000, 12_030)])
    assert np.abs(made - tone).max() < 0.02
    assert np.array_equal(made[:12_000], tone[:12_000])


def test_a_hole_is_filled_with_the_level_of_its_sides() -> None:
    rng = np.random.default_rng(3)
    before, after = (rng.standard_normal((RATE, 2)).astype(np.float32) * level for level in (0.05, 0.2))
    short = sounds.filled(before, after, 480, RATE)
    assert np.allclose(short[0], before[-1])
    assert np.allclose(short[-1], after[0])
    made = sounds.filled(before, after, 2 * RATE, RATE, seed=1)
    assert made.shape == (2 * RATE, 2)
    parts = made.reshape(4, -1, 2).std((1, 2))
    assert np.all(np.diff(parts) > 0)
    assert 0.03 < parts[0] < 0.12
    assert 0.1 < parts[-1] < 0.25
    assert not sounds.filled(before[:0], after[:0], 100, RATE).any()


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load()


def test_rot_is_measured_and_undone(generator: Generator) -> None:
    true = {n: b for n, b in clip(3, seed=9005, segments=1, rendered=False).bits.items() if n in generator.streams}
    rng = np.random.default_rng(0)
    flips = {n: np.where(rng.random(b.shape) < 0.08, -1, 1).astype(np.int8) for n, b in true.items()}
    rotten = {n: b * flips[n] for n, b in true.items()}
    rates = bits.estimate(generator, rotten)
    total = sum(b.size for b in true.values())
    known = sum((f < 0).sum() for f in flips.values()) / total
    found = sum(float(rates[n][0]) * b.size for n, b in true.items()) / total
    assert found == pytest.approx(known, rel=0.2)
    undone = bits.undo(generator, rotten, rates)
    wrong = sum(int((undone[n] != b).sum()) for n, b in true.items())
    assert wrong < 0.4 * sum(int((f < 0).sum()) for f in flips.values())
    sound = bits.estimate(generator, true)
    assert max(float(r[0]) for r in sound.values()) < 0.01
    untouched = bits.undo(generator, true, {n: np.zeros(1) for n in true})
    assert all(np.array_equal(untouched[n], b) for n, b in true.items())
