"""Movies that repeat: no seam in any sense, packets copied, sound alone."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stale_diffusion import media
from stale_diffusion.errors import StaleError
from stale_diffusion.looping import JOIN, check_loop, looped
from stale_diffusion.movie import Movie, Screen
from stale_diffusion.screens import Unseen
from stale_diffusion.senses import SENSES
from stale_diffusion.timeline import Track

LOOP, SIZE, FPS = 12.0, (32, 32), Fraction(12)


class Rising(Screen):
    """Light, pitchless noise and senses that rise all the time: a repetition shows."""

    kind = "performed"
    seconds = LOOP + JOIN

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[np.ndarray]:
        for i in range(round(self.seconds * fps)):
            yield np.full((size[1], size[0], 3), round(40 + 8 * i / fps), np.uint8)

    def sound(self, rate: int) -> Iterator[np.ndarray]:
        noise = np.random.default_rng(0).standard_normal((round(self.seconds * rate), 2)) * 0.05
        for at in range(0, len(noise), 4 * rate):
            yield noise[at : at + 4 * rate].astype(np.float32)


def rising(turns: int = 3) -> Movie:
    tracks = {}
    for name in ("touch", "smell", "taste"):
        sense = SENSES[name]
        ramp = np.linspace(0.1, 0.9, round((LOOP + JOIN) * sense.rate), dtype=np.float32)[:, None]
        values = np.repeat(ramp, len(sense.channels), 1)
        if name == "touch":
            values = values * np.array([1, 1, 100, 20, 5], np.float32) + np.array([0, 0, 50, 0, 0], np.float32)
        tracks[name] = Track(name, sense.rate, sense.channels, sense.unit, values, "generated")
    return looped(Movie(LOOP + JOIN, Rising(), tracks), LOOP, turns * LOOP)


def test_there_is_no_seam_in_any_sense() -> None:
    movie = rising()
    assert movie.screen is not None
    light = np.array([f[0, 0, 0] for f in movie.screen.frames(SIZE, FPS)], float)
    turn = round(LOOP * FPS)
    assert len(light) == 3 * turn and np.array_equal(light[:turn], light[turn : 2 * turn])
    assert abs(light[turn] - light[turn - 1]) <= 3  # it has 96 levels to go back
    for name, track in movie.tracks.items():
        count = round(LOOP * track.rate)
        assert len(track.values) == 3 * count
        steps = np.abs(np.diff(track.values[:, 0]))
        assert steps[count - 1] <= 1.01 * steps[: count - 1].max(), name
    rate = 8000
    heard = np.concatenate(list(movie.screen.sound(rate)))
    turn = round(LOOP * rate)
    assert len(heard) == 3 * turn
    assert np.allclose(heard[:turn], heard[turn : 2 * turn], atol=1e-4)
    levels = heard[: 2 * turn].reshape(-1, rate // 2 * 2).std(1)
    assert levels.min() > 0.8 * levels.max()


def test_a_file_repeats_its_packets(tmp_path: Path) -> None:
    [path] = rising().save(tmp_path / "night.mkv", SIZE, FPS)
    assert media.probe(path).seconds == pytest.approx(36, abs=0.1)
    frames = list(media.read_frames(path))
    assert len(frames) == 36 * 12
    assert np.array_equal(frames[5], frames[5 + 12 * 12]) and np.array_equal(frames[-1], frames[12 * 12 - 1])
    sound = np.concatenate(list(media.read_sound(path, 48_000, 2)))
    turn = round(LOOP * 48_000)
    assert len(sound) == 3 * turn
    assert np.array_equal(sound[turn : 2 * turn], sound[2 * turn :])
    assert np.array_equal(sound[5 * 48_000 : turn], sound[turn + 5 * 48_000 : 2 * turn])
    assert np.abs(sound[:480]).max() < 0.01 < np.abs(sound[turn : turn + 480]).max()  # it rises, once
    opened = Movie.open(path)
    assert opened.seconds == 36
    n = len(opened.smell.values) // 3
    assert np.allclose(opened.smell.values[:n], opened.smell.values[n : 2 * n], atol=0.01)


@pytest.mark.parametrize("ending", [".flac", ".opus", ".m4a", ".wav", ".mka"])
def test_sound_alone(tmp_path: Path, ending: str) -> None:
    movie = rising(2)
    assert movie.screen is not None
    movie.screen = Unseen(movie.screen)
    path, *beside = movie.save(tmp_path / f"night{ending}")
    probe = media.probe(path)
    assert probe.video is None and probe.seconds == pytest.approx(24, abs=0.1)
    assert {"touch", "smell", "taste"} <= Movie.open(path).tracks.keys()
    assert bool(beside) == (ending != ".mka")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(("seconds", "loop"), [(60, 7), (60, 8), (60, 24), (8, 12), (60, float("nan"))])
def test_a_loop_that_does_not_fit_is_refused(seconds: float, loop: float) -> None:
    with pytest.raises(StaleError) as error:
        check_loop(seconds, loop)
    assert error.value.usage and error.value.mend
