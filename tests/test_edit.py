"""Editing as a person does it, by the command line: lanes out and in, a sense anew, weaker, kept, given."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from stale_diffusion import edit
from stale_diffusion.cli import app
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import export
from stale_diffusion.formats.beside import fitted, touch_beside
from stale_diffusion.media import packet_hashes
from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.model.weights import write_model
from stale_diffusion.movie import Movie
from stale_diffusion.streams import STREAMS

sys.path.insert(0, str(Path(__file__).parent / "formats"))
from storm import make_movie

CLIP = Path(__file__).parent / "data/sea_island_05.mp4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    shape = Shape(32, 1, 2, sizes_of(STREAMS))
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_model(Denoiser(shape).state_dict(), shape.to_json(), path, {})
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six seconds of storm as .mkv, and as .mp4 with sidecars."""
    folder = tmp_path_factory.mktemp("saved")
    for ending in ("mkv", "mp4"):
        make_movie().save(folder / f"storm.{ending}", (64, 36), Fraction(6))
    return {ending: folder / f"storm.{ending}" for ending in ("mkv", "mp4")}


@pytest.fixture
def storm(saved: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(saved["mkv"], tmp_path))


def run(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


def refused(*words: object) -> StaleError:
    with pytest.raises(StaleError) as caught:
        run(*words)
    assert caught.value.why or caught.value.mend
    return caught.value


def set_cell(path: Path, row: int, column: int, text: str) -> None:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    rows[row][column] = text
    path.write_text("\n".join(map(",".join, rows)))


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_lanes_go_out_are_edited_and_come_back(
    ending: str, saved: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in saved[ending].parent.glob("storm.*" if ending == "mp4" else "storm.mkv"):
        shutil.copy(path, tmp_path)
    movie, lanes = tmp_path / f"storm.{ending}", tmp_path / "lanes"
    before, names = Movie.open(movie), sorted(p.name for p in tmp_path.iterdir())
    run("export", movie, "--to", lanes, "--formats", "csv,wav")
    run("import-lanes", lanes, movie)
    assert movie.read_bytes() == saved[ending].read_bytes()
    assert "nothing was changed" in capsys.readouterr().err
    set_cell(lanes / "movie.taste.csv", 4, 1, "0.5")
    run("import-lanes", lanes, movie)
    out, err = capsys.readouterr()
    assert str(movie) in out and "taste  edited: 1 of 12 samples changed, 00:01.5 to 00:02" in err
    after = Movie.open(movie)
    assert after.taste.origin == "edited" and after.taste.values[3, 0] == 0.5
    assert after.recipe is not None and before.recipe is not None
    assert after.recipe.senses == {**before.recipe.senses, "taste": "edited"}
    assert after.recipe.edits == ["import-lanes taste"] and after.recipe.scene == before.recipe.scene
    assert packet_hashes(movie)[:3] == packet_hashes(saved[ending])[:3]  # picture, sound, touch
    for sense, track in before.tracks.items():
        changed = after.tracks[sense].values != track.values
        assert changed.sum() == (sense == "taste")
    signed = [] if movie.suffix == ".mkv" else [f"{movie.stem}.manifest.json"]  # who edits signs; an .mkv holds it
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, *signed, "lanes"])


def test_an_edited_movie_may_be_another_file(storm: Path, saved: dict[str, Path], tmp_path: Path) -> None:
    run("export", storm, "--to", tmp_path / "lanes", "--formats", "csv")
    set_cell(tmp_path / "lanes/movie.smell.csv", 1, 1, "1")
    run("import-lanes", tmp_path / "lanes", storm, "-o", tmp_path / "edited.mkv")
    assert storm.read_bytes() == saved["mkv"].read_bytes()
    assert Movie.open(tmp_path / "edited.mkv").smell.origin == "edited"


def test_many_edits_do_not_wear_a_movie_out(storm: Path, saved: dict[str, Path], tmp_path: Path) -> None:
    first = Movie.open(storm)
    for k in range(4):
        run("export", storm, "--to", tmp_path / "lanes", "--formats", "csv")
        set_cell(tmp_path / "lanes/movie.touch.csv", 1 + k, 1, f"0.{k + 1}")
        run("import-lanes", tmp_path / "lanes", storm)
    last = Movie.open(storm)
    assert last.touch.values[:4, 0] == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1 / 126)
    assert np.array_equal(last.touch.values[4:], first.touch.values[4:])
    assert packet_hashes(storm)[:2] == packet_hashes(saved["mkv"])[:2]
    assert last.recipe and len(last.recipe.edits) == 4


def test_redo_strength_and_keep(storm: Path, saved: dict[str, Path], model: Path, tmp_path: Path) -> None:
    small = ["--model", model, "--steps", 2, "--seed", 5]
    before = Movie.open(storm)
    run("complete", storm, "--redo", "smell@00:04-00:06", "--strength", "smell=0.5", *small)
    after = Movie.open(storm)
    assert np.array_equal(after.smell.values[:8], before.smell.values[:8])
    assert not np.array_equal(after.smell.values[8:], before.smell.values[8:])
    assert np.array_equal(after.touch.values, before.touch.values)
    assert np.array_equal(after.taste.values, before.taste.values)
    assert after.recipe and after.recipe.plot == "a storm, and then the sea" and after.recipe.seed == 7
    redone = "complete --redo smell@00:04-00:06 --seed 5 --steps 2 --guidance 1.5 --strength smell=0.5"
    assert after.recipe.edits == [redone]
    assert packet_hashes(storm)[:3] == packet_hashes(saved["mkv"])[:3]
    run("complete", storm, "--strength", "touch=0.5", "-o", tmp_path / "weak.mkv")
    weak = Movie.open(tmp_path / "weak.mkv")
    assert weak.touch.origin == "edited" and weak.recipe and weak.recipe.edits == [
        redone, "complete --strength touch=0.5",
    ]  # fmt: skip
    assert np.abs(weak.touch.values[:, :2] - before.touch.values[:, :2] / 2).max() < 1 / 63
    assert np.array_equal(weak.touch.values[:, 3], before.touch.values[:, 3])
    run("complete", storm, "--keep", "touch", "-o", tmp_path / "kept.mkv", *small)
    kept = Movie.open(tmp_path / "kept.mkv")
    assert np.array_equal(kept.touch.values, before.touch.values)
    assert {sense for sense, track in kept.tracks.items() if track.origin == "generated"} == {*kept.tracks}
    assert not np.array_equal(kept.smell.values, after.smell.values)
    assert not np.array_equal(kept.taste.values, after.taste.values)


def test_what_is_there_is_kept_and_what_is_missing_is_added(storm: Path, model: Path, tmp_path: Path) -> None:
    movie = Movie.open(storm)
    del movie.tracks["smell"]
    part = tmp_path / "part.mkv"
    movie.save(part)
    run("complete", part, "-o", tmp_path / "whole.mkv", "--strength", "smell=0", "--model", model, "--steps", 2)
    whole = Movie.open(tmp_path / "whole.mkv")
    assert np.array_equal(whole.touch.values, movie.touch.values)
    assert whole.taste.origin == "derived" and whole.smell.origin == "generated" and not whole.smell.values.any()
    assert whole.recipe and whole.recipe.plot == "a storm, and then the sea" and whole.recipe.scene


@pytest.mark.parametrize("ending", ["hjif", "haptic", "ahap"])
def test_touch_beside_a_clip_is_given_and_kept(ending: str, model: Path, tmp_path: Path) -> None:
    clip = Path(shutil.copy(CLIP, tmp_path / "holiday.mp4"))
    made = export.export(make_movie(3), tmp_path / "made", [ending])[0]
    shutil.copy(made, tmp_path / f"holiday.{ending}")
    run("complete", clip, "-o", tmp_path / "o.mkv", "--model", model, "--steps", 2, "--seed", 1)
    movie = Movie.open(tmp_path / "o.mkv")
    assert movie.touch.origin == "given" and movie.smell.origin == "generated"
    assert movie.recipe and movie.recipe.senses["touch"] == "given"
    seconds = movie.seconds
    found = touch_beside(clip, seconds)
    assert found and found[1].name == f"holiday.{ending}"
    levels = np.array([1 / 63, 1 / 63, 280 / 63, 60 / 63, 20 / 63])
    assert np.all(np.abs(movie.touch.values - found[0].values) <= levels)
    felt = movie.touch.values[:, :2].max(1)
    assert felt[:120].max() < 0.05 < 0.8 < felt[128:140].max()  # thunder at 2 s
    assert not felt[3 * 64 + 2 :].any()  # the clip is longer
    if ending != "hjif":
        return
    (tmp_path / f"holiday.{ending}").unlink()
    run("complete", clip, "-o", tmp_path / "n.mkv", "--model", model, "--steps", 2, "--seed", 1)
    other = Movie.open(tmp_path / "n.mkv")
    assert not np.array_equal(other.smell.values, movie.smell.values)  # the network heeds what it is given


def test_given_touch_is_cut_or_held() -> None:
    track = make_movie(6).touch
    assert np.array_equal(fitted(track, 2).values, track.values[:128])
    longer = fitted(track, 8).values
    assert longer.shape == (512, 5) and not longer[384:, :2].any()
    assert np.array_equal(longer[384:, 2:], np.tile(track.values[-1, 2:], (128, 1)))


def test_damaged_touch_beside_a_clip_is_named(tmp_path: Path, model: Path) -> None:
    clip = Path(shutil.copy(CLIP, tmp_path / "holiday.mp4"))
    (tmp_path / "holiday.ahap").write_text("{")
    assert "holiday.ahap" in refused("complete", clip, "-o", tmp_path / "o.mkv", "--model", model).what
    assert not (tmp_path / "o.mkv").exists()


BAD = [
    (["complete", "{storm}"], "movie to write is missing"),
    (["complete", "{storm}", "-o", "{tmp}/o.mkv"], "nothing to be made.*--redo"),
    (["complete", "{clip}"], "movie to write is missing"),
    (["complete", "{clip}", "-o", "{clip}"], "would overwrite"),
    (["complete", "{clip}", "--strength", "smell=0.5"], "never overwritten"),
    (["complete", "{clip}", "--redo", "smell", "-o", "{tmp}/o.mkv"], "has no smell"),
    (["complete", "{clip}", "--keep", "touch", "-o", "{tmp}/o.mkv"], "has no touch"),
    (["complete", "{storm}", "--redo", "sight"], "no sense 'sight'"),
    (["complete", "{storm}", "--redo", "smell@9-12"], "outside the movie"),
    (["complete", "{storm}", "--redo", "smell@5-4"], "does not begin before"),
    (["complete", "{storm}", "--keep", "touch", "--redo", "smell"], "cannot go together"),
    (["complete", "{storm}", "--strength", "smell=loud"], "no strength"),
    (["complete", "{storm}", "--strength", "smell=1", "--strength", "smell=0"], "two strengths"),
    (["complete", "{storm}", "--redo", "smell", "--strength", "hearing=0"], "no sense 'hearing'"),
    (["complete", "{tmp}/absent.mkv", "--redo", "smell"], "absent.mkv does not exist"),
    (["complete", "{tmp}/text.mkv", "--redo", "smell"], "not a readable media file"),
    (["complete", "{storm}", "--redo", "smell", "--model", "{tmp}/text.mkv"], "not a model"),
    (["import-lanes", "{tmp}/absent", "{storm}"], "absent does not exist"),
    (["import-lanes", "{tmp}/empty", "{storm}"], "no lanes"),
    (["import-lanes", "{tmp}/lanes", "{clip}"], "has no touch"),
    (["import-lanes", "{tmp}/lanes", "{tmp}/text.mkv"], "not a readable media file"),
    (["import-lanes", "{tmp}/lanes", "{tmp}/absent.mkv"], "absent.mkv does not exist"),
    (["import-lanes", "{tmp}/lanes", "{tmp}"], "is a folder"),
    (["import-lanes", "{tmp}/lanes", "{storm}", "-o", "{tmp}/o.txt"], "o.txt"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[" ".join(w) for w, _ in BAD])
def test_bad_input_is_one_clear_error(words: list[str], says: str, storm: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mkv").write_text("not a movie")
    (tmp_path / "empty").mkdir()
    export.export(make_movie(), tmp_path / "lanes", ["csv"])
    clip = Path(shutil.copy(CLIP, tmp_path / "clip.mp4"))
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    error = refused(*(word.format(storm=storm, tmp=tmp_path, clip=clip) for word in words))
    assert re.search(says, str(error), re.DOTALL), str(error)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_a_full_disk_leaves_the_movie_as_it_was(storm: Path, saved: dict[str, Path]) -> None:
    import resource
    import signal

    made = edit.recorded(Movie.open(storm), ["again"])
    limits, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, limits[1]))
        with pytest.raises(StaleError, match="disk is full"):
            edit.write(made, storm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert storm.read_bytes() == saved["mkv"].read_bytes()
    assert [path.name for path in storm.parent.iterdir()] == [storm.name]


def test_a_folder_that_cannot_be_written_to(storm: Path) -> None:
    """Root may write anywhere, so the folder is one in /proc, where nobody can make a file."""
    movie = Movie.open(storm)
    with pytest.raises(StaleError, match="was not written"):
        edit.write(movie, Path("/proc/self/storm.mkv"))


def test_a_link_stays_a_link(storm: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mkv"
    link.symlink_to(storm)
    run("complete", link, "--strength", "smell=0")
    assert link.is_symlink() and not Movie.open(storm).smell.values.any()


def test_edits_are_in_what_inspect_says(storm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("complete", storm, "--strength", "taste=0")
    capsys.readouterr()
    run("inspect", storm, "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"]["edits"] == ["complete --strength taste=0"]
    assert found["tracks"]["taste"]["origin"] == "edited"


def test_the_commands_of_the_page_run(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs/edit.md").read_text("utf-8")
    code = "".join(re.findall(r"^```sh run\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    commands = code.replace("\\\n", " ").splitlines()
    assert len(commands) >= 10
    monkeypatch.chdir(tmp_path)
    shutil.copy(CLIP, "holiday.mp4")
    for command in commands:
        program, *words = shlex.split(command)
        if program != "stale-diffusion":
            subprocess.run(command, shell=True, check=True)
            continue
        small = ["--model", model, "--steps", 2] if words[0] in ("generate", "complete") else []
        words = [{"320x180": "64x36"}.get(word, word) for word in words]
        run(*words, *small)
        if words[0] == "import-lanes":
            movie = Movie.open("storm.mkv")
            assert movie.smell.channel("coffee")[4:8] == pytest.approx(0.8, abs=1 / 62)
            assert movie.smell.origin == "edited" and movie.touch.origin == "generated"
    assert Movie.open("holiday.mkv").touch.origin == "given"
    movie = Movie.open("storm.mkv")
    assert movie.recipe and [line.split("--seed")[0].strip() for line in movie.recipe.edits] == [
        "import-lanes smell", "complete --redo smell@00:02-00:06", "complete --redo smell@00:04-00:06",
        "complete --strength touch=0.5",
    ]  # fmt: skip
    assert "import-lanes smell" in capsys.readouterr().out
