"""The contact sheet shows what there is, where it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from storm import make_movie

from stale_diffusion.formats import sheet
from stale_diffusion.movie import Movie


def ink(picture: Image.Image) -> np.ndarray:
    """How far each pixel is from paper."""
    pixels = np.asarray(picture, np.float64)
    return np.abs(pixels - pixels[2, 2]).sum(-1)


def test_the_sheet_is_a_png_with_its_title(movie: Movie) -> None:
    picture = Image.open(io.BytesIO(sheet.to_png(movie)))
    assert picture.format == "PNG"
    assert picture.info["Title"] == movie.title
    assert picture.width == sheet.WIDTH
    assert 400 < picture.height < 1200
    assert (ink(picture) > 30).mean() > 0.08


def test_a_lane_for_each_note_present(movie: Movie, still: Movie) -> None:
    with_notes = sheet.contact_sheet(movie).height
    assert with_notes - sheet.contact_sheet(still).height > 30


def test_thunder_is_drawn_at_its_time(movie: Movie) -> None:
    del movie.tracks["smell"], movie.tracks["taste"]
    movie.screen = None
    drawn = ink(sheet.contact_sheet(movie).crop((sheet.LEFT, 100, sheet.WIDTH - sheet.RIGHT, 146)))
    height = (drawn > 60).sum(axis=0)
    at = int(2.05 / 6 * len(height))
    assert height[: at - 30].max() <= 3
    assert height[at + 2] > 30


def test_a_movie_of_nothing_still_has_a_sheet() -> None:
    assert sheet.contact_sheet(Movie(0.5)).width == sheet.WIDTH


def test_long_files_are_looked_at_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = make_movie(6.0)
    movie.save(tmp_path / "a.mkv", (64, 36), 8)
    opened = Movie.open(tmp_path / "a.mkv")
    opened.tracks = {}
    whole = np.asarray(sheet.contact_sheet(opened), np.float64)
    monkeypatch.setattr(sheet, "LONG_SECONDS", 1)
    monkeypatch.setattr(sheet, "LOOKS", 30)
    looked = np.asarray(sheet.contact_sheet(opened), np.float64)
    assert whole.shape == looked.shape
    assert np.abs(whole - looked).mean() < 4  # a tone is a tone


def test_stills_of_a_file_are_those_of_the_screen(tmp_path: Path) -> None:
    movie = make_movie(4.0)
    movie.save(tmp_path / "a.mkv", (64, 36), 8)
    assert movie.screen is not None
    screen = Movie.open(tmp_path / "a.mkv").screen
    assert screen is not None
    for a, b in zip(movie.screen.stills(4, (64, 36)), screen.stills(4, (64, 36)), strict=True):
        assert np.abs(a.astype(float) - b).mean() < 25  # 4:2:0 of a steep gradient
