"""A movie as a still, and as a loop that goes round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from storm import make_movie

from stale_diffusion.errors import StaleError
from stale_diffusion.formats.still import _round
from stale_diffusion.movie import Movie
from stale_diffusion.recipe import from_json


def test_a_still_is_a_picture_with_its_recipe(movie: Movie, tmp_path: Path) -> None:
    assert movie.save(tmp_path / "storm.png", (64, 36)) == [tmp_path / "storm.png"]
    picture = Image.open(tmp_path / "storm.png")
    assert picture.size == (64, 36)
    assert picture.info["Title"] == "a storm, and then the sea"
    assert from_json(picture.info["recipe.json"]).seed == 7
    movie.save(tmp_path / "secret.png", (64, 36), recipe=False)
    assert b"storm" not in (tmp_path / "secret.png").read_bytes()
    assert not set(Image.open(tmp_path / "secret.png").info)


def played(loop: Image.Image) -> float:
    """Seconds that a loop takes; frames that look the same are stored as one."""
    return sum(frame.info["duration"] for frame in ImageSequence.Iterator(loop) if frame.load() or True) / 1000


def test_a_loop_is_silent_short_and_endless(tmp_path: Path) -> None:
    made = make_movie(12.0)
    told: list[float] = []
    made.save(tmp_path / "loop.webp", (64, 36), progress=told.append)
    loop = Image.open(tmp_path / "loop.webp")
    assert (loop.info["loop"], loop.size) == (0, (64, 36))
    assert played(loop) == pytest.approx(8, abs=0.1)
    assert told == sorted(told)
    assert told[-1] == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "loop.webp"]


@pytest.mark.parametrize("blend", [0, 4])
def test_a_loop_goes_round_without_a_jump(blend: int) -> None:
    ramp = [np.full((2, 2, 3), 10 * k, np.uint8) for k in range(20)]
    looped = [int(frame[0, 0, 0]) for frame in _round(iter(ramp), 20 - blend, blend)]
    assert len(looped) == 20 - blend
    assert looped[0] == 10 * blend
    if blend:
        assert looped[-1] == pytest.approx(looped[0], abs=50)  # 190 without the blend
        assert np.abs(np.diff([*looped, looped[0]])).max() <= 50


def test_a_very_short_movie_is_a_loop_too(tmp_path: Path) -> None:
    make_movie(0.5).save(tmp_path / "short.webp", (32, 32))
    assert played(Image.open(tmp_path / "short.webp")) == pytest.approx(0.5, abs=0.1)


def test_a_filmed_movie_keeps_its_size(movie: Movie, tmp_path: Path) -> None:
    movie.save(tmp_path / "clip.webm", (64, 48), 8)
    opened = Movie.open(tmp_path / "clip.webm")
    assert set(opened.tracks) == {"touch", "smell", "taste", "balance"}  # from the sidecars
    opened.save(tmp_path / "clip.png")
    opened.save(tmp_path / "clip.webp")
    assert {Image.open(tmp_path / f"clip.{end}").size for end in ("png", "webp")} == {(64, 48)}


def test_without_a_picture_there_is_none(tmp_path: Path) -> None:
    for ending in ("png", "webp"):
        with pytest.raises(StaleError, match="no picture"):
            Movie(1.0).save(tmp_path / f"a.{ending}")
    assert not list(tmp_path.iterdir())
