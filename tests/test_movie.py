"""A movie saved and opened again is the same movie."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from stale_diffusion import inspecting, media, timeline
from stale_diffusion import movie as movies
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed, Movie, pack_scene, unpack_scene

sys.path.insert(0, str(Path(__file__).parent / "formats"))
from storm import make_movie

SMALL = {"size": (64, 36), "fps": Fraction(8)}


def assert_same_tracks(a: Movie, b: Movie) -> None:
    """Every track within one quantisation level, same clock, origin and channels."""
    assert set(a.tracks) == set(b.tracks)
    for name, track in a.tracks.items():
        other = b.tracks[name]
        level = np.array([timeline.RANGES[c][2] for c in track.channels])
        assert other.values.shape == track.values.shape
        assert np.all(np.abs(other.values - track.values) <= level)
        assert (other.rate, other.channels, other.unit, other.origin) == (
            track.rate, track.channels, track.unit, track.origin,
        )  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Movie, Path]:
    """A movie and the file it was saved to."""
    made, path = make_movie(), tmp_path_factory.mktemp("movie") / "storm.mkv"
    assert made.save(path, **SMALL) == [path]
    return made, path


def test_open_gives_back_what_was_saved(saved: tuple[Movie, Path]) -> None:
    made, path = saved
    back = Movie.open(path)
    assert_same_tracks(made, back)
    assert back.seconds == made.seconds
    assert back.scene is not None
    assert made.scene is not None
    assert np.array_equal(back.scene, made.scene)
    assert back.recipe is not None
    assert (back.recipe.plot, back.recipe.seed, back.recipe.width, back.recipe.fps) == (made.title, 7, 64, "8")
    assert back.recipe.senses == {"touch": "generated", "smell": "generated", "taste": "derived", "balance": "derived"}


def test_the_file_has_its_tracks(saved: tuple[Movie, Path]) -> None:
    probe = media.probe(saved[1])
    assert probe.video is not None
    assert (probe.video.width, probe.video.height, probe.video.fps) == (64, 36, 8)
    assert [track.title for track in probe.audio] == ["sound", "touch"]
    assert [track.rate for track in probe.audio] == [48_000, 8_000]
    assert len(probe.subtitles) == 4
    assert set(media.read_attachments(saved[1])) == {
        "timeline.json", "recipe.json", "movie.hjif", "movie.ahap", "movie.haptic", "movie.tact", "movie.sem.xml",
        "movie.playsem.json", "movie.aroma.json", "movie.taste.json",
    }  # fmt: skip
    assert len(list(media.read_frames(saved[1]))) == 48
    assert sum(map(len, media.read_sound(saved[1], 48_000, 2))) == 6 * 48_000


def test_touch_is_a_vibration_in_the_file(saved: tuple[Movie, Path]) -> None:
    shaker = np.concatenate(list(media.read_sound(saved[1], 8_000, 2, track=1)))
    assert len(shaker) == 6 * 8_000
    assert np.abs(shaker[:15_900]).max() == 0  # silence until the thunder
    assert 0.7 < np.abs(shaker[16_000:18_000, 0]).max() <= 0.95
    assert np.abs(np.diff(shaker[31_000:33_000, 0])).max() < 0.1  # no click where segments join


def test_progress_rises_to_one(tmp_path: Path) -> None:
    told: list[float] = []
    make_movie(5.0).save(tmp_path / "a.mkv", **SMALL, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.1, 9.0), st.integers(0, 1000))
def test_any_length_and_any_values(tmp_path: Path, seconds: float, seed: int) -> None:
    made, rng = make_movie(seconds), np.random.default_rng(seed)
    for name, track in made.tracks.items():
        low, high, _ = np.array([timeline.RANGES[c] for c in track.channels]).T
        count = max(1, round(seconds * track.rate))
        values = low + rng.random((count, len(track.channels))) * (high - low)
        made.tracks[name] = replace(track, values=values.astype(np.float32))
    path = tmp_path / "any.mkv"
    made.save(path, size=(32, 32), fps=Fraction(4))
    assert_same_tracks(made, Movie.open(path))


def test_sidecars_beside_an_mp4(tmp_path: Path) -> None:
    made = make_movie(2.0)
    files = made.save(tmp_path / "storm.mp4", **SMALL)
    assert files[0].name == "storm.mp4"
    assert {"storm.timeline.json", "storm.recipe.json", "storm.hjif", "storm.smell.srt"} <= {f.name for f in files}
    assert_same_tracks(made, Movie.open(files[0]))


def test_long_movies_have_sidecars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stale_diffusion.formats import mkv

    monkeypatch.setattr(mkv, "SIDECAR_SECONDS", 1)
    made = make_movie(2.0)
    files = made.save(tmp_path / "long.mkv", **SMALL)
    assert media.read_attachments(files[0]) == {}
    assert (tmp_path / "long.timeline.json") in files
    assert_same_tracks(made, Movie.open(files[0]))


def test_a_filmed_movie_is_copied_packet_for_packet(saved: tuple[Movie, Path], tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    bare = make_movie(4.0)
    bare.tracks, bare.recipe = {}, None
    bare.save(clip, **SMALL)
    opened = Movie.open(clip)
    assert (opened.tracks, opened.recipe, opened.scene) == ({}, None, None)
    opened.tracks = make_movie(4.0).tracks
    opened.save(tmp_path / "complete.mkv")
    assert media.packet_hashes(tmp_path / "complete.mkv")[:2] == media.packet_hashes(clip)
    assert_same_tracks(opened, Movie.open(tmp_path / "complete.mkv"))


def test_completing_again_replaces_the_tracks(saved: tuple[Movie, Path], tmp_path: Path) -> None:
    opened = Movie.open(saved[1])
    opened.save(tmp_path / "again.mkv")
    assert [track.title for track in media.probe(tmp_path / "again.mkv").audio] == ["sound", "touch"]
    assert isinstance(opened.screen, Filmed)
    first = next(iter(opened.screen.sound(48_000)))
    assert first.shape[1] == 2
    assert next(islice(opened.screen.frames((32, 18), Fraction(2)), 1)).shape == (18, 32, 3)


def test_the_recipe_can_be_left_out(tmp_path: Path) -> None:
    made = make_movie(1.0)
    made.save(tmp_path / "secret.mkv", **SMALL, recipe=False)
    assert made.recipe is not None
    assert made.recipe.plot.encode() not in (tmp_path / "secret.mkv").read_bytes()
    assert Movie.open(tmp_path / "secret.mkv").recipe is None


@pytest.mark.parametrize("fps", [Fraction(0), Fraction(-1), Fraction(1000)])
def test_impossible_rates_are_refused(tmp_path: Path, fps: Fraction) -> None:
    with pytest.raises(StaleError):
        make_movie(1.0).save(tmp_path / "a.mkv", (64, 36), fps)
    assert not list(tmp_path.iterdir())


def test_a_screen_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    made = make_movie(1.0)
    made.seconds = 8.0
    with pytest.raises(StaleError, match="ended"):
        made.save(tmp_path / "a.mkv", **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_damaged_sidecar_is_one_clear_error(tmp_path: Path) -> None:
    files = make_movie(1.0).save(tmp_path / "a.mp4", **SMALL)
    sidecar = tmp_path / "a.timeline.json"
    sidecar.write_bytes(sidecar.read_bytes()[:-9])
    with pytest.raises(StaleError, match="timeline"):
        Movie.open(files[0])


def test_files_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    files = make_movie(1.0).save(tmp_path / "a.mp4", **SMALL)
    (tmp_path / "a.timeline.json").write_text('{"clips": []}')
    (tmp_path / "a.recipe.json").write_text('{"flour": "500 g"}')
    opened = Movie.open(files[0])
    assert (opened.tracks, opened.recipe) == ({}, None)


def test_missing_senses_are_named() -> None:
    with pytest.raises(StaleError, match="no smell"):
        _ = Movie(1.0).smell
    with pytest.raises(StaleError, match="neither"):
        Movie(1.0).save("nowhere.mkv")


def test_titles_are_one_short_line() -> None:
    made = make_movie(1.0)
    assert made.recipe is not None
    made.recipe = replace(made.recipe, plot="rain\n\x1b[2J  on\ttin " + "and on " * 10_000)
    assert made.title.startswith("rain [2J on tin and on")
    assert len(made.title) <= 200


@given(st.integers(1, 5), st.integers(0, 99))
def test_scene_round_trip(segments: int, seed: int) -> None:
    scene = np.where(np.random.default_rng(seed).random((segments, *movies.SCENE_TOKENS)) > 0.5, 1, -1).astype(np.int8)
    assert np.array_equal(unpack_scene(pack_scene(scene)), scene)


@pytest.mark.parametrize("text", ["", "!", "AAAA"])
def test_damaged_scenes_are_refused(text: str) -> None:
    with pytest.raises(StaleError):
        unpack_scene(text)


def test_inspect_names_everything(saved: tuple[Movie, Path]) -> None:
    found = inspecting.inspect(saved[1])
    assert found["seconds"] == 6
    assert found["tracks"]["taste"]["origin"] == "derived"
    assert found["tracks"]["touch"]["channels"][3]["unit"] == "degC"
    assert found["recipe"]["seed"] == 7
    assert {a["name"] for a in found["attachments"]} >= {"timeline.json", "movie.hjif"}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(inspecting.show(found))
    text = console.export_text()
    assert "ozone" in text
    assert "vanilla" not in text
    assert "▇" in text


def test_contact_sheet_is_written(saved: tuple[Movie, Path], tmp_path: Path) -> None:
    assert Movie.open(saved[1]).contact_sheet(tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"
