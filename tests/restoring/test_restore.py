"""A damaged file in, a mended one out; what is sound keeps its packets."""

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stale_diffusion.cli import app
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import Generator, load
from stale_diffusion.media import MovieWriter, packet_hashes, probe, read_frames, read_sound
from stale_diffusion.movie import Movie
from stale_diffusion.restoring.restore import restore
from stale_diffusion.senses import SENSES

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))
from storm import make_movie

SIZE, FPS = (64, 48), Fraction(12)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load()


def pan(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(80, 230, (2, 8, 3)), np.ones((24, 24, 1))).astype(np.uint8)
    return [np.ascontiguousarray(wide[:48, k : k + 64]) for k in range(count)]


def write(path: Path, frames: list[np.ndarray], sound: np.ndarray) -> Path:
    with MovieWriter(path, SIZE, FPS, 48_000, 2, subtitles=()) as out:
        for k, frame in enumerate(frames):
            out.frame(frame)
            out.sound(sound[k * 4000 : (k + 1) * 4000])
    return path


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((48_000 * 3 + 15, 2))
    return (0.025 * np.lib.stride_tricks.sliding_window_view(x, 16, 0).sum(-1)).astype(np.float32)


def test_a_sound_movie_is_copied_packet_for_packet(generator: Generator, sound: np.ndarray, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", pan(36), sound)
    made, found = restore(generator, Movie.open(path))
    assert found.sound
    made.save(tmp_path / "b.mkv")
    assert packet_hashes(tmp_path / "b.mkv") == packet_hashes(path)


def test_black_pictures_are_mended_and_the_sound_is_copied(
    generator: Generator, sound: np.ndarray, tmp_path: Path
) -> None:
    frames = pan(36)
    hurt = [np.zeros_like(f) if 12 <= k < 15 else f for k, f in enumerate(frames)]
    path = write(tmp_path / "a.mkv", hurt, sound)
    made, found = restore(generator, Movie.open(path))
    assert [(d.sense, d.kind) for d in found.damages] == [("sight", "black")]
    assert made.screen is not None
    assert made.screen.anew == ("sight",)
    made.save(tmp_path / "b.mkv", SIZE, FPS)
    assert packet_hashes(tmp_path / "b.mkv")[1] == packet_hashes(path)[1]
    again = list(read_frames(tmp_path / "b.mkv", FPS, SIZE))
    assert len(again) == 36
    for k in range(12, 15):
        assert np.abs(again[k].astype(int) - frames[k]).mean() < 25  # black: 150


def test_a_drop_out_and_a_click_are_mended_and_the_picture_is_copied(
    generator: Generator, sound: np.ndarray, tmp_path: Path
) -> None:
    hurt = sound.copy()
    hurt[60_000:64_800] = 0
    hurt[100_000:100_003] = 0.9
    path = write(tmp_path / "a.mkv", pan(36), hurt)
    made, found = restore(generator, Movie.open(path))
    assert {d.kind for d in found.damages} == {"drop-out", "click"}
    made.save(tmp_path / "b.mkv", SIZE, FPS)
    assert packet_hashes(tmp_path / "b.mkv")[0] == packet_hashes(path)[0]
    again = np.concatenate(list(read_sound(tmp_path / "b.mkv", 48_000, 2)))
    assert again[60_000:64_800].std() == pytest.approx(0.1, rel=0.3)
    assert np.abs(again[99_990:100_010]).max() < 0.6
    kept = np.r_[0:59_990, 64_810:99_900, 100_100:140_000]
    assert np.abs(again[kept] - hurt[kept]).max() < 1e-4


def test_rotten_lanes_are_found_by_the_model_and_undone(generator: Generator, tmp_path: Path) -> None:
    storm = make_movie(8)
    smell = SENSES["smell"]
    true = storm.tracks["smell"].values
    code = smell.encode(np.resize(true, (2 * smell.samples, true.shape[1])))["smell"]
    flips = np.where(np.random.default_rng(0).random(code.shape) < 0.1, -1, 1).astype(np.int8)
    rotten = smell.decode({"smell": code * flips})[: len(true)]
    storm.tracks["smell"] = replace(storm.tracks["smell"], values=rotten, origin="generated")
    storm.save(tmp_path / "a.mkv", SIZE, FPS)
    movie = Movie.open(tmp_path / "a.mkv")
    made, found = restore(generator, movie)
    assert "smell" in {d.sense for d in found.damages if d.kind == "bit rot"}
    error = [np.abs(t.tracks["smell"].values - true).mean() for t in (movie, made)]
    assert error[1] < 0.6 * error[0]
    told = restore(generator, movie, rates={"smell": 0.1})[0]
    assert np.abs(told.tracks["smell"].values - true).mean() < 0.6 * error[0]
    with pytest.raises(StaleError, match="not a rate"):
        restore(generator, movie, rates={"smell": 0.7})


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["restore", *map(str, words)])


def test_the_command_line_shows_damage_and_writes(sound: np.ndarray, tmp_path: Path) -> None:
    frames = [np.zeros_like(f) if 12 <= k < 15 else f for k, f in enumerate(pan(36))]
    path = write(tmp_path / "a.mkv", frames, sound)
    shown = run(path, "--damage", "--json", "--sheet", tmp_path / "a.png")
    assert shown.exit_code == 0, shown.output
    assert [d["kind"] for d in json.loads(shown.stdout)["damages"]] == ["black"]
    assert (tmp_path / "a.png").stat().st_size > 5000
    made = run(path, "-o", tmp_path / "b.mkv")
    assert made.exit_code == 0, made.output
    assert "black pictures" in made.stdout
    assert probe(tmp_path / "b.mkv").seconds == pytest.approx(3, abs=0.1)
    assert not list(tmp_path.glob("*.part"))


def test_the_command_line_refuses_what_cannot_end_well(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"no movie")
    calls = (([path], "-o"), ([path, "-o", path], "never overwritten"), ([path, "-o", tmp_path / "c.png"], "picture"),
             ([tmp_path / "no", "-o", tmp_path / "c.mkv"], "does not exist"), ([tmp_path, "--damage"], "folder"),
             ([path, "--damage"], "not a readable"), ([path, "--damage", "--rate", "touch"], "rate"))  # fmt: skip
    for words, said in calls:
        error = run(*words).exception
        assert isinstance(error, StaleError)
        assert said in str(error)
