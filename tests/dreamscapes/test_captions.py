"""Free plots: every place at every strength and hour has words, they are true of the scene, and no test's sentence is
among them."""

from importlib import import_module

import numpy as np
import pytest

from stale_diffusion.dreamscapes import captions
from stale_diffusion.dreamscapes.corpus import clip, draw
from stale_diffusion.dreamscapes.perform import _MODULES, BUILT


def test_every_place_and_hour_has_words() -> None:
    said = captions.phrases()
    assert set(captions.STRENGTH) == set(BUILT)
    for place in BUILT:
        assert {len(said[place, s]) >= 5 for s in ("weak", "mid", "strong")} == {True}, place
    assert all(len(said["", hour]) >= 10 for hour in ("night", "dawn", "day", "dusk"))
    assert {place for place, _ in said} == {*BUILT, ""}


def test_no_sentence_that_judges_is_taught() -> None:
    """Neither a whole one nor five words of one in a row."""

    def runs(text: str) -> set[str]:
        words = "".join(c if c.isalnum() or c == " " else " " for c in text.lower()).split()
        return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}

    taught = set().union(*(runs(words) for known in captions.phrases().values() for words in known))
    for module in sorted({m.split(".")[0] for m in _MODULES.values()}):
        for plot, _ in import_module(f"stale_diffusion.dreamscapes.{module}").HELD_OUT_WORDINGS:
            assert not runs(plot) & taught, plot


@pytest.mark.parametrize("place", BUILT)
def test_free_words_are_true_of_the_scene(place: str) -> None:
    rng = np.random.default_rng(3)
    said = captions.phrases()
    strengths = {words: s for (p, s), known in said.items() if p == place for words in known}
    hours = {words: h for (p, h), known in said.items() if not p for words in known}
    for _ in range(30):
        segments, _ = draw(rng, 2, place)
        plot = captions.free(segments, rng)
        told = {s for words, s in strengths.items() if s != "mid" and words in plot.lower()}
        assert told <= {captions.strength(segments)}, plot
        timed = {h for words, h in hours.items() if plot.endswith(f" {words}") or plot.startswith(f"{words},")}
        assert timed <= {captions.hour(segments)}, plot


def test_a_corpus_tells_some_clips_freely_and_its_bits_stay() -> None:
    grammar, free = (clip(5, seed=3, segments=2, rendered=False, free=share) for share in (0.0, 1.0))
    assert grammar.caption != free.caption
    assert all(np.array_equal(grammar.bits[n], b) for n, b in free.bits.items())
