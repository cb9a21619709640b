"""The sleep-safe master: what flashes is calmed, what is harmless passes, sound is even."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.media import LoudnessMeter
from stale_diffusion.movie import Movie, Screen
from stale_diffusion.recipe import Recipe
from stale_diffusion.trust import flashes
from stale_diffusion.trust.limits import LIMITS, LOUDNESS
from stale_diffusion.trust.sleep_safe import Bedtime, Mastered, bedtime_frames, mastered, safe_frames, safe_sound

RATE, FPS = 48_000, Fraction(24)
RNG = np.random.default_rng(3)
GROUND = RNG.integers(50, 110, (90, 160, 3), dtype=np.uint8)


def worst(frames: list[np.ndarray]) -> dict:
    watch = flashes.Watch(flashes.Meter())
    for i, frame in enumerate(frames):
        watch.see(flashes.shrunk(frame), i / 24)
    return {key: found.changes for key, found in watch.worst.items()}


@pytest.mark.parametrize("colour", [(255, 255, 255), (210, 0, 0), (0, 0, 0)])
def test_a_strobe_is_calmed(colour: tuple[int, int, int]) -> None:
    other = np.full_like(GROUND, colour)
    strobe = [other if i // 3 % 2 else GROUND for i in range(168)]
    assert max(worst(strobe).values()) > 6
    calm = list(safe_frames(iter(strobe), FPS))
    found = worst(calm)
    assert len(calm) == len(strobe)
    assert max(found["general", "second"], found["red", "second"]) <= 5
    assert max(found["general", "long"], found["red", "long"]) <= 16


def test_a_storm_keeps_its_first_stroke_and_its_rain() -> None:
    light = {20: 3.0, 21: 2.2, 22: 1.0, 23: 2.8, 24: 1.2, 26: 2.5, 27: 1.0, 29: 2.6, 30: 1.1, 32: 2.0}
    storm = [np.clip(np.roll(GROUND, 5 * i, 0) * light.get(i, 1.0), 0, 255).astype(np.uint8) for i in range(60)]
    assert worst(storm)["general", "second"] > 6
    calm = list(safe_frames(iter(storm), FPS))
    assert worst(calm)["general", "second"] <= 5
    assert np.array_equal(calm[20], storm[20])
    frozen = sum(np.array_equal(a, b) for a, b in pairwise(calm))
    assert frozen < 6  # a quarter of a second at most


def test_what_is_harmless_passes_unchanged() -> None:
    frames = [np.roll(GROUND, i, 1) for i in range(30)]
    assert all(np.array_equal(a, b) for a, b in zip(safe_frames(iter(frames), FPS), frames, strict=True))


def heard(sound: np.ndarray) -> tuple[float | None, float | None]:
    meter = LoudnessMeter(RATE)
    meter.add(sound)
    return meter.result()[:2]


def pieces(sound: np.ndarray, seconds: float = 4) -> Iterator[np.ndarray]:
    n = round(seconds * RATE)
    yield from (sound[at : at + n] for at in range(0, len(sound), n))


def safe(sound: np.ndarray, piece: float = 4) -> np.ndarray:
    out = np.concatenate(list(safe_sound(pieces(sound, piece), RATE, Bedtime(len(sound) / RATE))))
    assert len(out) == len(sound)
    return out


@pytest.mark.parametrize("level", [0.001, 0.03, 0.5])
@pytest.mark.parametrize("piece", [4, 1.234])
def test_any_level_becomes_minus_27_lufs(level: float, piece: float) -> None:
    sound = (RNG.standard_normal((round(13.05 * RATE), 2)) * level).astype(np.float32)
    loud, peak = heard(safe(sound, piece))
    assert loud == pytest.approx(LOUDNESS, abs=0.5)
    assert peak is not None and peak <= -3


def test_thunder_out_of_nothing_is_softened() -> None:
    sound = (RNG.standard_normal((20 * RATE, 2)) * 0.003).astype(np.float32)
    sound[9 * RATE : 12 * RATE] *= 200 * np.exp(-np.arange(3 * RATE) / RATE)[:, None]
    out = safe(sound)
    loud, peak = heard(out)
    assert loud == pytest.approx(LOUDNESS, abs=0.5)
    assert peak is not None and peak <= -3
    tenths = (out.reshape(-1, RATE // 10 * 2) ** 2).mean(1)
    rises = 10 * np.log10(tenths[10:] / np.convolve(tenths, np.full(10, 0.1), "valid")[:-1])
    assert rises[15:-25].max() < 12
    assert rises[70:90].max() > 2  # it is still thunder


def test_silence_stays_silent() -> None:
    assert not safe(np.zeros((6 * RATE, 2), np.float32)).any()


def test_bedtime_dims_and_warms_and_ends_dark() -> None:
    grey = np.full((32, 32, 3), 180, np.uint8)
    bedtime = Bedtime(60, 0.5)
    out = list(bedtime_frames(iter([grey] * 60), Fraction(1), bedtime))
    assert np.array_equal(out[29], grey)
    means = np.array([frame.mean((0, 1)) for frame in out])
    assert (np.diff(means[30:].mean(1)) < 0).all()
    assert means[50, 0] > means[50, 1] > means[50, 2]
    assert means[59].max() < 30
    assert bedtime.hush(np.array([20.0]))[0] == pytest.approx(1)
    assert bedtime.hush(np.array([59.99]))[0] < 1e-3


def test_a_movie_with_a_bedtime_is_as_loud_as_a_whole() -> None:
    sound = (RNG.standard_normal((40 * RATE, 2)) * 0.1).astype(np.float32)
    out = np.concatenate(list(safe_sound(pieces(sound), RATE, Bedtime(40, 0.2))))
    assert heard(out)[0] == pytest.approx(LOUDNESS, abs=0.5)
    levels = [out[at * RATE : (at + 2) * RATE].std() for at in (20, 32, 36, 38)]
    assert all(a > 1.3 * b for a, b in pairwise(levels))


class Blank(Screen):
    kind = "performed"
    seconds = 8.0

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[np.ndarray]:
        for i in range(round(8 * fps)):
            yield np.full((size[1], size[0], 3), 255 * (i % 2), np.uint8)

    def sound(self, rate: int) -> Iterator[np.ndarray]:
        yield from pieces((np.random.default_rng(0).standard_normal((8 * rate, 2)) * 0.3).astype(np.float32))


def test_a_mastered_movie_says_so_in_its_recipe() -> None:
    movie = mastered(Movie(8.0, Blank(), recipe=Recipe("a strobe")))
    assert isinstance(movie.screen, Mastered)
    assert movie.recipe is not None and movie.recipe.sleep_safe and movie.recipe.limits == LIMITS
    assert worst(list(movie.screen.frames((32, 32), FPS)))["general", "second"] <= 5
    assert heard(np.concatenate(list(movie.screen.sound(RATE))))[0] == pytest.approx(LOUDNESS, abs=0.5)
    with pytest.raises(StaleError):
        mastered(movie, -1)
