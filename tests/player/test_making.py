"""Making a movie in a process that can be held up, let go and ended; and the movie that grows meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.media import read_frames, read_sound
from stale_diffusion.movie import Movie
from stale_diffusion.player.making import Making, Wish, free_name

SMALL = {"steps": 3, "size": [96, 54], "fps": 6}


@pytest.fixture(scope="module")
def making(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Making]:
    made = Making(tmp_path_factory.mktemp("made"), str(small_model), SMALL)
    yield made
    made.close()


def until(making: Making, true: Callable[[dict], bool]) -> dict:
    for _ in range(3600):
        state = making.state(0)
        assert state is not None and state["phase"] != "failed", state
        if true(state):
            return state
        time.sleep(0.05)
    raise AssertionError(making.state(0))


def test_a_movie_is_made_seen_while_it_grows_and_is_a_movie(making: Making) -> None:
    with pytest.raises(StaleError, match="Nothing is growing"):
        making.grown()
    making.start(Wish("Slow rain / on <tin>", 5.0, 7))
    with pytest.raises(StaleError, match="already"):
        making.start(Wish("", 1.0, 1))
    state = until(making, lambda s: s["phase"] == "done")
    assert state["name"] == "slow-rain-on-tin-7.mkv" and state["written"] == state["slots"] == 3
    kinds = [news["kind"] for news in state["news"]]
    assert kinds.count("step") == 2 * 3 and kinds.count("slot") == 3 and kinds[-1] == "done"
    assert [n["number"] for n in state["news"]] == list(range(1, len(kinds) + 1))
    step = next(n for n in state["news"] if n["kind"] == "step")
    assert len(step["lanes"]["smell"]) == 24 and step["count"] > 1000 and step["place"]
    assert making.still(step["still"])[:2] == making.slot(0)[:2] == b"\xff\xd8"
    assert b'"captions"' in making.lanes()
    movie = Movie.open(making.folder / state["name"])
    assert movie.recipe is not None and movie.recipe.plot == "Slow rain / on <tin>" and movie.recipe.seed == 7
    grown = making._job.folder / "growing.mp4"  # type: ignore[union-attr]
    assert grown.stat().st_size == making.grown().length
    frames, kept = list(read_frames(grown)), list(read_frames(movie.screen.path))  # type: ignore[union-attr]
    assert len(frames) == len(kept) == 30
    assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, kept, strict=True)]) < 8
    heard, whole = (np.concatenate(list(read_sound(p, 48_000, 2))) for p in (grown, making.folder / state["name"]))
    assert np.array_equal(heard, whole)
    assert sorted(p.name for p in making.folder.iterdir()) == [state["name"]]


def test_it_waits_while_paused_and_leaves_nothing_when_cancelled(making: Making) -> None:
    making.start(Wish("rain", 600.0, 1))
    until(making, lambda s: s["phase"] == "dreaming" and s["number"] > 3)
    making.order("pause")
    paused = until(making, lambda s: any(n["kind"] == "paused" for n in s["news"]))
    time.sleep(0.3)
    assert making.state(0)["number"] == paused["number"] and making.state(0)["paused"]  # type: ignore[index]
    making.order("resume")
    until(making, lambda s: s["number"] > paused["number"] + 2)
    with pytest.raises(StaleError):
        making.order("explode")
    making.order("cancel")
    until(making, lambda s: s["phase"] == "cancelled")
    assert not list(making.folder.glob("rain*"))


def test_cancelling_while_it_is_written_leaves_nothing_either(making: Making) -> None:
    making.start(Wish("rain", 60.0, 2))
    state = until(making, lambda s: s["written"] > 1)
    assert state["phase"] == "rendering" and list(making.folder.glob("rain*"))
    making.close()
    assert not list(making.folder.glob("rain*"))


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    made = Making(tmp_path, str(tmp_path / "no.safetensors"), SMALL)
    made.start(Wish("rain", 1.0, 1))
    for _ in range(3600):
        state = made.state(0)
        if state and state["phase"] == "failed":
            break
        time.sleep(0.05)
    assert state is not None and state["phase"] == "failed" and "no.safetensors" in state["error"]
    made.close()


def test_names_are_of_the_plot_and_never_a_path(tmp_path: Path) -> None:
    for plot in ("../../etc/passwd", "", "a" * 500, "..", "CON: <b>", "ночь у моря", "\x00\n"):
        path = free_name(tmp_path, Wish.read({"plot": plot, "seed": 3}))
        assert path.parent == tmp_path and path.suffix == ".mkv" and len(path.name) < 80
    (tmp_path / "rain-3.mkv").touch()
    assert free_name(tmp_path, Wish("rain", 1, 3)).name == "rain-3-2.mkv"
