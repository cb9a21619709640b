"""Subtitles that can be read: length, speed, order, no flicker."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest

from stale_diffusion.formats import subtitles
from stale_diffusion.formats.subtitles import Line
from stale_diffusion.movie import Movie
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES


def check(lines: list[Line], seconds: float) -> None:
    """The rules of readable subtitles."""
    for line in lines:
        assert 1 <= len(line.text.split("\n")) <= 2
        assert all(len(part) <= 42 for part in line.text.split("\n"))
        assert line.seconds >= 1.5
        assert len(line.text) / line.seconds <= 17
        assert line.start + line.seconds <= seconds + 1e-6
    for before, after in pairwise(lines):
        assert before.start + before.seconds <= after.start
        assert before.text != after.text


@pytest.mark.parametrize("sense", ["smell", "taste", "touch"])
def test_lines_are_readable(movie: Movie, sense: str) -> None:
    lines = subtitles.to_lines(movie, sense)
    assert lines
    check(lines, movie.seconds)


@pytest.mark.parametrize("seed", range(6))
def test_lines_are_readable_whatever_happens(movie: Movie, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = movie.seconds = float(rng.uniform(2, 120))
    for sense, scale in (("smell", 1.0), ("taste", 1.0), ("touch", np.array([1, 1, 300, 50, 20]))):
        track = movie.tracks[sense]
        n, c = round(seconds * track.rate), len(track.channels)
        values = (rng.random((n, c)) ** rng.uniform(1, 6) * scale).astype(np.float32)
        movie.tracks[sense] = replace(track, values=values)
        check(subtitles.to_lines(movie, sense), seconds)


def test_thunder_is_told_when_it_is_felt(movie: Movie) -> None:
    jolts = [line for line in subtitles.to_lines(movie, "touch") if "jolt" in line.text]
    assert jolts[0].start == pytest.approx(2.0, abs=0.1)


def test_smells_are_told_in_their_order(movie: Movie) -> None:
    text = subtitles.to_srt(movie, "smell")
    assert text.index("ozone") < text.index("wet earth")


def test_a_level_that_trembles_is_told_once(movie: Movie) -> None:
    values = np.zeros((60, len(NOTES)), np.float32)
    values[:, 3] = 0.15 + 0.02 * np.tile([1, -1], 30)
    movie.seconds = 30.0
    movie.tracks["smell"] = replace(movie.smell, values=values)
    assert len(subtitles.to_lines(movie, "smell")) == 1


def test_what_stays_long_is_named_again_in_other_words(movie: Movie) -> None:
    values = np.zeros((240, len(NOTES)), np.float32)
    values[:, 5] = 0.6
    movie.seconds = 120.0
    movie.tracks["smell"] = replace(movie.smell, values=values)
    texts = [line.text for line in subtitles.to_lines(movie, "smell")]
    assert 3 <= len(texts) <= 8
    assert len(set(texts[:3])) == 3


def test_silence_has_no_lines(still: Movie) -> None:
    assert [subtitles.to_lines(still, sense) for sense in ("smell", "taste", "touch")] == [[], [], []]
    still.tracks.clear()
    assert subtitles.to_lines(still, "smell") == []


def test_srt_is_subrip(movie: Movie) -> None:
    blocks = subtitles.to_srt(movie, "smell").strip().split("\n\n")
    for i, block in enumerate(blocks, 1):
        number, times, *text = block.split("\n")
        assert int(number) == i
        assert re.fullmatch(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}", times)
        assert text


def test_every_note_and_taste_has_its_words() -> None:
    table = json.loads(resources.files("stale_diffusion.formats").joinpath("phrases.json").read_text("utf-8"))
    assert tuple(table["smell"]) == NOTES
    assert tuple(table["taste"]) == TASTES
    said = [
        p
        for lane in ("smell", "taste", "touch")
        for words in table[lane].values()
        for k in words
        if k != "noun"
        for p in words[k]
    ]
    assert len(said) == len(set(said)) > 150
    assert all(len(phrase) <= 42 for phrase in said)
