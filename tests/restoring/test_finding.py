"""Damage is found; stills, fades, cuts and silence are not damage."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from stale_diffusion.media import Marked
from stale_diffusion.restoring import listening, seeing
from stale_diffusion.restoring.damage import BLACK, BLOCKS, CLICK, CORRUPT, DROPOUT, FROZEN, LOST, Damage, merged

FPS, RATE = 24, 24_000


def shot(count: int = 72, speed: float = 1.0, seed: int = 0) -> NDArray[np.uint8]:
    """A camera that pans over a texture, (T, 96, 160)."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(70, 220, (3, 12))
    wide = np.kron(coarse, np.ones((48, 48)))
    kernel = np.ones(9) / 9
    wide = np.apply_along_axis(lambda r: np.convolve(r, kernel, "same"), 1, wide)
    return np.stack([wide[:96, 20 + int(k * speed) :][:, :160] for k in range(count)]).astype(np.uint8)


def marks(frames: NDArray[np.uint8], **flags: set[int]) -> list[Marked]:
    tick = Fraction(1, FPS)
    corrupt, keys, left = (flags.get(n, set()) for n in ("corrupt", "keys", "lost"))
    return [Marked(k * tick, tick, k in corrupt, k in keys, f) for k, f in enumerate(frames) if k not in left]


def look(frames: NDArray[np.uint8], **flags: set[int]) -> list[Damage]:
    return seeing.look(marks(frames, **flags), len(frames) / FPS)[0]


def spans(found: list[Damage]) -> list[tuple[str, int, int]]:
    return [(d.kind, round(d.start * FPS), round(d.end * FPS)) for d in found]


def test_black_pictures_within_a_shot_are_damage() -> None:
    frames = shot()
    frames[30:36] = 0
    assert spans(look(frames)) == [(BLACK, 30, 36)]


def test_fades_and_cuts_to_black_are_not() -> None:
    frames = shot().astype(np.float32)
    faded = frames.copy()
    fade = np.clip(np.abs(np.arange(72) - 36) / 12 - 0.5, 0, 1)
    faded *= fade[:, None, None]
    assert not look(faded.astype(np.uint8))
    cut = shot()
    cut[40:50], cut[50:] = 0, shot(22, seed=5)
    assert not look(cut)  # another shot comes after it
    ends = shot()
    ends[:10] = ends[60:] = 0
    assert not look(ends)


def test_a_freeze_is_damage_and_a_still_is_not() -> None:
    frames = shot()
    frames[30:42] = frames[29]
    assert spans(look(frames)) == [(FROZEN, 30, 42)]
    still = np.concatenate([shot(30), np.repeat(shot(30)[-1:], 24, 0), shot(60)[30:60]])
    assert not look(still)  # motion goes on from where it stopped
    assert not look(np.repeat(shot(1), 48, 0))
    slides = np.concatenate([np.repeat(shot(1, seed=s), 24, 0) for s in range(3)])
    assert not look(slides)


def test_black_blocks_are_found_where_they_are_and_dark_ones_left() -> None:
    frames = shot()
    frames[20:26, 32:64, 48:80] = 0
    found, masks = seeing.look(marks(frames), 3.0)
    assert spans(found) == [(BLOCKS, 20, 26)]
    assert len(masks) == 6
    where = np.argwhere(masks[20 / FPS])
    assert sorted(map(tuple, where.tolist())) == [(2, 3), (2, 4), (3, 3), (3, 4)]
    night = (shot() // 12).astype(np.uint8)
    assert not look(night)


def test_missing_pictures_and_what_the_decoder_says() -> None:
    assert spans(look(shot(), lost={20, 21, 22})) == [(LOST, 20, 23)]
    assert spans(look(shot(), corrupt={20}, keys={0, 24, 48})) == [(CORRUPT, 20, 24)]
    frames, tick = shot(30), Fraction(1, FPS)
    times = np.cumsum(np.random.default_rng(1).integers(1, 9, 30))
    screen = [Marked(int(t) * tick, tick, False, False, f) for t, f in zip(times, frames, strict=True)]
    assert not [d for d in seeing.look(screen, 10.0)[0] if d.kind == LOST]  # a recorded screen has no even clock


def noise(seconds: float = 3, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    x = np.convolve(rng.standard_normal(int(seconds * RATE)), np.ones(6) / 6, "same") * 0.1
    return np.repeat(x[:, None], 2, 1).astype(np.float32)


def heard(x: NDArray[np.float32]) -> list[Damage]:
    frame = RATE // 50
    even = [Marked(Fraction(k, 50), Fraction(1, 50), False, True, np.zeros((0, 0), np.uint8)) for k in range(150)]
    return listening.look(even, [x[i : i + frame] for i in range(0, len(x), frame)], RATE)


def test_drop_outs_are_damage_and_silence_is_not() -> None:
    x = noise()
    x[RATE : RATE + 2400] = 0
    (found,) = heard(x)
    assert found.kind == DROPOUT
    assert found.start == pytest.approx(1, abs=0.001)
    assert found.end == pytest.approx(1.1, abs=0.001)
    quiet = noise()
    quiet *= np.clip(np.abs(np.arange(len(quiet)) / RATE - 1.5) * 2 - 0.3, 0, 1)[:, None].astype(np.float32)
    assert not heard(quiet)
    assert not heard(np.zeros((3 * RATE, 2), np.float32))


def test_clicks_are_found_and_a_crackle_that_rings_is_not() -> None:
    x = noise()
    places = [20_000, 33_000, 52_000]
    for at in places:
        x[at : at + 3] = 0.8
    found = heard(x)
    assert [d.kind for d in found] == [CLICK] * 3
    assert [round(d.start * RATE) for d in found] == pytest.approx(places, abs=3)
    fire = noise()
    ring = np.exp(-np.arange(400) / 80) * np.random.default_rng(2).standard_normal(400)
    for at in places:
        fire[at : at + 400] += (0.5 * ring)[:, None].astype(np.float32)
    assert not heard(fire)


def test_missing_sound_and_a_clock_that_wavers() -> None:
    frame = Fraction(1, 50)
    nothing = np.zeros((0, 0), np.uint8)
    lost = [Marked(k * frame, frame, False, True, nothing) for k in range(100) if k not in (40, 41)]
    (found,) = listening.look(lost, [noise(2)], RATE)
    assert (found.kind, round(found.start, 3), round(found.end, 3)) == (LOST, 0.8, 0.84)
    wavering = [Marked(k * frame + Fraction(k % 2, 60), frame, False, True, nothing) for k in range(100)]
    assert not listening.look(wavering, [noise(2)], RATE)


def test_spans_that_touch_are_one() -> None:
    parts = [Damage("sight", LOST, 0.0, 0.5), Damage("sight", LOST, 0.5, 1.0, 0.5), Damage("sight", BLACK, 1.0, 2.0)]
    assert merged(parts) == [Damage("sight", BLACK, 1.0, 2.0), Damage("sight", LOST, 0.0, 1.0, 0.75)]
