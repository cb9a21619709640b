"""The taste of a movie as JSON that its schema accepts, and as a card to prepare."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from storm import make_movie

from stale_diffusion.formats import card, taste
from stale_diffusion.movie import Movie
from stale_diffusion.senses.taste import TASTES

SCHEMA = json.loads(resources.files("stale_diffusion.formats").joinpath("taste.schema.json").read_text("utf-8"))


def written(movie: Movie) -> dict[str, Any]:
    document: dict[str, Any] = json.loads("".join(taste.stream(movie)))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def steady(seconds: float, **levels: float) -> Movie:
    movie = make_movie(seconds)
    values = np.zeros((round(seconds * 2), 5), np.float32)
    for name, level in levels.items():
        values[:, TASTES.index(name)] = level
    movie.tracks["taste"] = replace(movie.taste, values=values)
    return movie


def test_the_page_shows_the_schema_that_ships() -> None:
    page = (Path(__file__).parents[2] / "docs/files.md").read_text("utf-8")
    blocks = re.findall(r"^```json schema\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert SCHEMA in [json.loads(block) for block in blocks]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 200), st.integers(0, 1000), st.floats(0.5, 8))
def test_any_taste_is_within_a_level_and_fits_the_schema(seconds: float, seed: int, power: float) -> None:
    movie, rng = make_movie(seconds), np.random.default_rng(seed)
    n = max(1, round(seconds * 2))
    values = (rng.random((n, 5)) ** power).astype(np.float32)
    movie.tracks["taste"] = replace(movie.taste, values=values)
    document = written(movie)
    for c, name in enumerate(TASTES):
        times, levels = np.array(document["tastes"][name]).T
        assert np.abs(np.interp(np.arange(n) / 2, times, levels) - values[:, c]).max() <= 1 / 31
    for before, after in pairwise(document["servings"]):
        assert after["start"] - before["start"] >= taste.APART
    cups = {(cup["taste"], cup["strength"]) for cup in document["cups"]}
    assert cups == {(s["taste"], s["strength"]) for s in document["servings"]}


def test_what_is_wrong_does_not_fit_the_schema() -> None:
    good = written(steady(10, salty=0.5))
    for bad in ({"tastes": {}}, {"servings": [{"start": -1, "taste": "salty", "strength": "clear"}]}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(good | bad)


def test_servings_follow_the_taste() -> None:
    movie = steady(100, salty=0.0)
    values = movie.taste.values
    values[20:60, TASTES.index("salty")] = np.linspace(0.2, 0.8, 40)  # from 10 s to 30 s: comes and grows
    values[120:124, TASTES.index("sweet")] = 0.4
    planned = [(s.start, s.taste, s.strength) for s in taste.servings(movie)]
    assert planned == [(10.0, "salty", "faint"), (25.0, "salty", "strong"), (60.0, "sweet", "clear")]
    assert [s.start for s in taste.servings(steady(100, umami=0.7))] == [0.0, 45.0, 90.0]


def test_a_card_prints_on_a4(movie: Movie) -> None:
    page = Image.open(io.BytesIO(card.to_png(movie)))
    assert page.size == (2480, 3508)
    assert page.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    pdf = card.to_pdf(movie)
    assert pdf.startswith(b"%PDF")
    assert pdf == card.to_pdf(movie)
    assert re.search(rb"/MediaBox \[ 0 0 595\.\d+ 841\.\d+ \]", pdf)


def test_a_long_movie_has_more_pages() -> None:
    movie = steady(3600, bitter=0.5)
    movie.taste.values[:, 0] = (np.arange(7200) % 60 < 20) * 0.8
    assert len(taste.servings(movie)) > 100
    assert card.to_pdf(movie).count(b"/Type /Page\n") > 1


def test_nothing_to_taste_is_said(still: Movie) -> None:
    assert taste.servings(still) == []
    assert written(still)["cups"] == []
    assert card.to_png(still)


def test_every_cup_has_a_recipe() -> None:
    assert tuple(taste.CUPS) == TASTES
    assert all(tuple(cups) == taste.STRENGTHS for cups in taste.CUPS.values())
