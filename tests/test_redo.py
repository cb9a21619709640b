"""One sense anew in one span, everything else as it was; on a small network with random weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stale_diffusion import edit
from stale_diffusion.edit import Span, parse_span, parse_strength
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import Generator, Preview
from stale_diffusion.media import packet_hashes
from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.movie import Movie
from stale_diffusion.redo import _blended, _shares, _weights, redo
from stale_diffusion.streams import STREAMS

sys.path.insert(0, str(Path(__file__).parent / "formats"))
from storm import make_movie


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = Denoiser(Shape(32, 1, 2, sizes_of(STREAMS)))
    for port in model.write.values():
        torch.nn.init.normal_(port.weight, std=0.3)
    return Generator(model, "0" * 64)


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine seconds on disk: two segments and a quarter, with a scene."""
    path = tmp_path_factory.mktemp("storm") / "storm.mkv"
    made = make_movie(9)
    assert made.scene is not None
    made.scene = np.concatenate([made.scene, made.scene])
    made.save(path, (64, 36), Fraction(6))
    return path


SPANS = [
    ["smell@3-6.5"],
    ["touch@00:02.5-00:05.2", "smell@00:04-00:08"],
    ["taste@0-1", "taste@8-9"],
]


@pytest.mark.parametrize("asked", SPANS, ids=[" ".join(s) for s in SPANS])
def test_only_the_span_of_the_sense_changes(
    asked: list[str], generator: Generator, storm: Path, tmp_path: Path
) -> None:
    before = Movie.open(storm)
    spans = [parse_span(text) for text in asked]
    made = redo(generator, before, spans, seed=3, steps=2)
    path = tmp_path / "again.mkv"
    edit.write(made, path)
    after = Movie.open(path)
    for sense, track in before.tracks.items():
        mine = [span for span in spans if span.sense == sense]
        inside = sum((span.samples(track, before.seconds) for span in mine), np.zeros(len(track.values), bool))
        assert np.array_equal(after.tracks[sense].values[~inside], track.values[~inside])
        changed = (after.tracks[sense].values != track.values).any(1)
        assert changed[inside].mean() > 0.5 if mine else not changed.any()
        assert after.tracks[sense].origin == ("edited" if mine and sense == "taste" else track.origin)
    same = [a == b for a, b in zip(packet_hashes(path), packet_hashes(storm), strict=True)]
    assert same[:3] == [True, True, not any(span.sense == "touch" for span in spans)]  # picture, sound, vibration


def test_the_same_seed_is_the_same_and_another_is_another(generator: Generator, storm: Path) -> None:
    movie = Movie.open(storm)
    span = [Span("smell", 0.5, 3.5)]
    one, same, other = (redo(generator, movie, span, seed=seed, steps=2).smell.values for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_what_is_kept_is_given(generator: Generator, storm: Path) -> None:
    movie = Movie.open(storm)
    span = [Span("smell", 0.5, 3.5)]
    one = redo(generator, movie, span, seed=1, steps=2).smell.values
    for change in ("touch", "smell"):  # another sense; the sense itself before the span
        values = movie.tracks[change].values.copy()
        values[: len(values) // 2 if change == "touch" else 1] = values.max(0) / 2
        other = replace(movie, tracks=movie.tracks | {change: replace(movie.tracks[change], values=values)})
        assert not np.array_equal(redo(generator, other, span, seed=1, steps=2).smell.values[3:6], one[3:6])
    unscened = replace(movie, scene=None)
    assert not np.array_equal(redo(generator, unscened, span, seed=1, steps=2).smell.values, one)


def test_a_plot_that_is_given_is_heeded(generator: Generator, storm: Path) -> None:
    movie = Movie.open(storm)
    coffee = movie.smell.channels.index("coffee")
    made = redo(generator, movie, [Span("smell", 8)], "strong coffee", seed=1, steps=2)
    assert made.smell.values[17, coffee] > 0.3 and made.smell.origin == "generated"


def test_strength_is_of_what_is_made(generator: Generator, storm: Path) -> None:
    movie = Movie.open(storm)
    span = [Span("smell", 0.5, 3.5)]
    none = redo(generator, movie, span, seed=1, steps=2, strength={"smell": 0.0}).smell.values
    assert not none[3:5].any()
    assert np.array_equal(none[:1], movie.smell.values[:1]) and np.array_equal(none[7:], movie.smell.values[7:])


def test_each_step_can_be_watched(generator: Generator, storm: Path) -> None:
    seen: list[Preview] = []
    redo(generator, Movie.open(storm), [Span("taste", 3, 5)], seed=1, steps=2, watch=seen.append)
    assert [(p.segment, p.segments, p.step) for p in seen] == [(0, 3, 1), (0, 3, 2), (1, 3, 1), (1, 3, 2)]


def test_tokens_outside_a_span_are_not_stale() -> None:
    mask = np.zeros(256, bool)
    mask[80:128] = True  # of 1.25 s to 2 s: half of one token, the whole of the next
    shares = dict(_shares({"touch": mask}, 0))
    assert shares["touch.vibration"].ravel().tolist() == [0, 0, 0.5, 1, 0, 0, 0, 0]
    assert shares["touch.air"].ravel().tolist() == [48 / 256]


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 59), st.integers(1, 60), st.integers(0, 70))
def test_old_and_new_fade_inside_the_span_only(n: int, first: int, length: int, fade: int) -> None:
    mask = np.zeros(n, bool)
    mask[first : first + length] = True
    weights = _weights(mask, fade)
    assert not weights[~mask].any() and np.all(weights[mask] > 0) and np.all(weights <= 1)
    assert mask.all() <= bool(np.all(weights == 1))
    if mask.any():
        assert weights.max() == 1


def test_a_fade_has_no_step() -> None:
    movie = make_movie(14)
    mask = np.zeros(14 * 64, bool)
    mask[256:768] = True
    made = np.zeros_like(movie.touch.values) + np.float32([1, 1, 200, 30, 10])
    blended = _blended(movie.touch, made, mask)
    calm = movie.touch.values[:, 3:]
    steps = np.abs(np.diff(blended.values[:, 3:], axis=0))
    assert steps.max() < np.abs(made[:, 3:] - calm).max() / 20
    assert np.array_equal(blended.values[400:600], made[400:600].astype(np.float32)) or np.allclose(
        blended.values[400:600], made[400:600], atol=1e-4
    )


GOOD = {
    "smell@00:10-00:14": Span("smell", 10, 14),
    "Smell@10-14.5": Span("smell", 10, 14.5),
    " touch ": Span("touch"),
    "taste@1:02:03.25-1:02:04": Span("taste", 3723.25, 3724),
    "taste@90:00-90:01": Span("taste", 5400, 5401),
}


@pytest.mark.parametrize("text", GOOD)
def test_spans_are_read(text: str) -> None:
    assert parse_span(text) == GOOD[text]
    assert parse_span(str(GOOD[text])) == GOOD[text]


BAD = {
    "sight@0-1": "no sense", "gravity": "no sense", "": "no sense", "smell@": "no span", "smell@5": "no span",
    "smell@4-4": "does not begin before", "smell@00:14-00:10": "smell@00:10-00:14", "smell@a-b": "no span",
    "smell@-1-3": "no span", "smell@1e3-2e3": "no span", "smell@00:75-00:80": "no span", "smell@1:2:3:4-5": "no span",
    "smell@NaN-inf": "no span", "smell@٣-٤": "no span",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(StaleError) as caught:
        parse_span(text)
    assert BAD[text] in str(caught.value) and caught.value.usage and caught.value.mend


@pytest.mark.parametrize("text", ["smell", "smell=", "smell=-1", "smell=nan", "smell=9", "smell=1e0", "light=0.5"])
def test_what_is_no_strength_is_refused(text: str) -> None:
    with pytest.raises(StaleError) as caught:
        parse_strength(text)
    assert caught.value.usage
    assert parse_strength("smell=0,5") == parse_strength(" SMELL=.5") == ("smell", 0.5)


def test_spans_outside_the_movie(generator: Generator, storm: Path) -> None:
    movie = Movie.open(storm)
    for text, says in (("smell@9-10", "outside"), ("smell@00:05-00:20", "ends at 00:09"), ("smell@1.1-1.2", "0.5 s")):
        with pytest.raises(StaleError, match=says):
            redo(generator, movie, [parse_span(text)], steps=2)
    del movie.tracks["smell"]
    with pytest.raises(StaleError, match="no smell"):
        redo(generator, movie, [parse_span("smell")], steps=2)
    with pytest.raises(StaleError, match="file of its own"):
        redo(generator, make_movie(4), [parse_span("smell")], steps=2)
