"""Export, sidecars and attachments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stale_diffusion import timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import export
from stale_diffusion.movie import Movie


def test_export_writes_everything(movie: Movie, tmp_path: Path) -> None:
    paths = export.export(movie, tmp_path / "new" / "folder")
    assert [path.name.removeprefix("movie.") for path in paths] == list(export.FORMATS)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in paths)
    for path in paths:
        if path.suffix in (".json", ".hjif", ".ahap", ".haptic"):
            json.loads(path.read_text("utf-8"))
    assert timeline.from_json(paths[0].read_bytes())[0] == movie.seconds


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (["hjif"], ["movie.hjif"]),
        (["sem", ".AROMA"], ["movie.sem.xml", "movie.aroma.json"]),
        (["srt"], [f"movie.{s}.srt" for s in ("smell", "taste", "touch", "balance")]),
        (["timeline.json"], ["movie.timeline.json"]),
        (["tact", "playsem"], ["movie.tact", "movie.playsem.json"]),
        (["card"], ["movie.card.png", "movie.card.pdf"]),
        (["pdf", "vtt"], ["movie.card.pdf", *(f"movie.{s}.vtt" for s in ("smell", "taste", "touch", "balance"))]),
        (["smell.vtt"], ["movie.smell.vtt"]),
    ],
)
def test_some_formats(movie: Movie, tmp_path: Path, asked: list[str], names: list[str]) -> None:
    assert [path.name for path in export.export(movie, tmp_path, asked)] == names


def test_unknown_format_is_refused(movie: Movie, tmp_path: Path) -> None:
    for name in ("docx", "", "json"):
        with pytest.raises(StaleError, match="There is no format") as error:
            export.export(movie, tmp_path, [name])
        assert set(export.NAMES) <= set(error.value.why.replace(",", "").split())
    assert not list(tmp_path.iterdir())


def test_every_name_is_a_format_and_every_format_has_a_name(movie: Movie) -> None:
    assert {ending for name in export.NAMES for ending in export.endings(movie, [name])} == set(export.FORMATS)


def test_what_is_for_the_kitchen_does_not_lie_beside_the_movie(movie: Movie, tmp_path: Path) -> None:
    names = {path.name for path in export.write_sidecars(movie, tmp_path / "a.mp4")}
    assert {"a.taste.json", "a.smell.vtt", "a.smell.srt"} <= names
    assert not any("card" in name for name in names)


def test_only_what_there_is(movie: Movie, tmp_path: Path) -> None:
    del movie.tracks["touch"], movie.tracks["smell"], movie.tracks["balance"]
    movie.recipe = None
    assert [path.name for path in export.export(movie, tmp_path)] == [
        f"movie.{ending}"
        for ending in (
            "timeline.json",
            "cues.csv",
            "taste.json",
            "card.png",
            "card.pdf",
            "taste.srt",
            "taste.vtt",
            "taste.csv",
        )
    ]


def test_folder_that_is_a_file(movie: Movie, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StaleError):
        export.export(movie, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(StaleError, match="not written"):
        export.write_atomically(tmp_path / "absent" / "x.json", [b"{}"])
    (tmp_path / "x.json").mkdir()
    with pytest.raises(StaleError):
        export.write_atomically(tmp_path / "x.json", [b"{}"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_attachments_are_named_after_the_movie(movie: Movie) -> None:
    files = export.attachments(movie)
    assert list(files)[:3] == ["timeline.json", "recipe.json", "movie.hjif"]
    assert not any(name.endswith(".srt") for name in files)  # subtitles are tracks there
    movie.recipe = None
    assert "recipe.json" not in export.attachments(movie)
