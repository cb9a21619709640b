"""What comes beside a movie, or in it, from anybody: read as data, within limits, or refused in one clear error."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from storm import make_movie

from stale_diffusion import inspecting, media
from stale_diffusion import movie as movies
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Movie

TIMELINE = '{"format": "stale-diffusion timeline", "version": 1, "seconds": 1.0, "tracks": []}'
RECIPE = '{"format": "stale-diffusion recipe", "version": 1, "plot": "rain"}'


def clip_with(path: Path, attachments: dict[str, bytes]) -> Path:
    """A clip of another program's, with attachments of any name."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=8)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for name, data in attachments.items():
            out.add_attachment(name, "application/json", data)
        for k in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((24, 16), 30 * k, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 8)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../../tmp/owned.json", "owned.json"),
        ("/etc/cron.d/owned", "owned"),
        ("..\\..\\owned.exe", "owned.exe"),
        ("..", "attachment"),
        ("a\x1b[2Jb\n", "a?[2Jb?"),
    ],
)
def test_attachment_names_never_become_paths(tmp_path: Path, name: str, kept: str) -> None:
    clip = clip_with(tmp_path / "clip.mkv", {name: b"{}"})
    before = sorted(tmp_path.iterdir())
    assert list(media.read_attachments(clip)) == [kept]
    assert inspecting.inspect(clip)["attachments"][0]["name"] == kept
    assert Movie.open(clip).tracks == {}
    assert sorted(tmp_path.iterdir()) == before


BAD = {
    "timeline.json": [
        TIMELINE[:-1],
        TIMELINE.replace("1.0", "NaN"),
        TIMELINE.replace("1.0", "1e999"),
        TIMELINE.replace('"version": 1', '"version": 1, "version": 1'),
        TIMELINE.replace('"version": 1', '"version": 2'),
        TIMELINE.replace("[]", "[" * 50 + "]" * 50),
        TIMELINE.replace("[]", "[" * 200_000 + "]" * 200_000),
        TIMELINE.replace("[]", '[{"sense": "smell"}]'),
        TIMELINE.replace("1.0", "1e9"),
    ],
    "recipe.json": [
        RECIPE[:-1],
        RECIPE.replace('"rain"', "7"),
        RECIPE.replace("}", ', "guidance": 1e999}'),
        RECIPE.replace("}", ', "seed": ' + "9" * 5000 + "}"),
        RECIPE.replace("}", ', "scene": "!!"}'),
        RECIPE.replace("}", ', "senses": {"smell": "stolen"}}'),
        RECIPE.replace("}", ', "x": ' + '{"a":' * 60 + "1" + "}" * 60 + "}"),
    ],
}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_bad_companions_are_one_clear_error(tmp_path: Path, name: str, text: str, inside: bool) -> None:
    clip = clip_with(tmp_path / "clip.mkv", {name: text.encode()} if inside else {})
    if not inside:
        (tmp_path / f"clip.{name}").write_text(text)
    with pytest.raises(StaleError) as error:
        Movie.open(clip)
    assert name.split(".")[0] in str(error.value)
    assert error.value.mend


def test_companions_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_with(tmp_path / "clip.mkv", {})
    (tmp_path / "clip.timeline.json").write_text(TIMELINE + " " * 5000)
    assert Movie.open(clip).seconds == 1
    monkeypatch.setattr(movies, "MAX_BYTES", 4096)
    with pytest.raises(StaleError, match=r"clip\.timeline\.json"):
        Movie.open(clip)
    (tmp_path / "clip.timeline.json").write_text("another program's " * 5000)  # not ours: not read, no error
    assert Movie.open(clip).tracks == {}
    full = clip_with(tmp_path / "full.mkv", {"a.bin": b"x" * 9000})
    monkeypatch.setattr(media.reading, "MAX_ATTACHMENT_BYTES", 8192)
    with pytest.raises(StaleError, match="attachments"):
        Movie.open(full)


def test_sidecars_that_are_no_files_are_not_read(tmp_path: Path) -> None:
    clip = clip_with(tmp_path / "clip.mkv", {})
    os.mkfifo(tmp_path / "clip.timeline.json")
    (tmp_path / "clip.recipe.json").mkdir()
    opened = Movie.open(clip)
    assert (opened.tracks, opened.recipe) == ({}, None)


def test_a_movie_of_ours_with_a_stolen_name_stays_in_its_folder(tmp_path: Path) -> None:
    """The plot is a stranger's text; it names no file anywhere."""
    made = make_movie(1.0)
    assert made.recipe is not None
    made.recipe = type(made.recipe)(**(vars(made.recipe) | {"plot": "../../x\0\n<script>&\"'"}))
    made.save(tmp_path / "a.webm", (32, 32), 4)
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))
    opened = Movie.open(tmp_path / "a.webm")
    assert opened.recipe is not None
    assert json.loads(opened.recipe.to_json())["plot"] == made.recipe.plot
