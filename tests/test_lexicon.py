"""Captions to smell, taste and air: phrases, inflections, negations, hashtags, emoji, and what is left alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from stale_diffusion.clips import lexicon
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES


def smells(caption: str) -> set[str]:
    return {note for note, value in zip(NOTES, lexicon.derive(caption)[0], strict=True) if value > 0}


def tastes(caption: str) -> set[str]:
    return {taste for taste, value in zip(TASTES, lexicon.derive(caption)[1], strict=True) if value > 0}


@pytest.mark.parametrize("caption", ["a wave", "Waves!", "#OceanWaves", "#oceanwaves", "the 🌊", "WAVES AT DUSK"])
def test_the_sea_smells_of_salt_however_it_is_written(caption: str) -> None:
    assert "sea salt" in smells(caption)
    assert tastes(caption) == {"salty"}


@pytest.mark.parametrize(
    ("caption", "present", "absent"),
    [
        ("no smoke, just coffee", "coffee", "wood smoke"),
        ("a meadow without any rain", "cut grass", "rain on stone"),
        ("it isn't raining in the pine forest", "pine", "rain on stone"),
        ("no sea or waves, but flowers", "flowers", "sea salt"),
        ("not only coffee but cake", "coffee", "wood smoke"),
        ("a coffee table among the roses", "flowers", "coffee"),
        ("she is waving in the meadow", "cut grass", "sea salt"),
        ("coffee streams into a mug", "coffee", "moss"),
        ("a winding road through fields", "cut grass", "cold air"),
        ("live stream from the bakery", "baked bread", "moss"),
    ],
)
def test_phrases_and_negations(caption: str, present: str, absent: str) -> None:
    assert present in smells(caption)
    assert absent not in smells(caption)


def test_the_longest_phrase_wins() -> None:
    pine, plain = lexicon.derive("a pine forest")[0], lexicon.derive("a forest")[0]
    assert pine[NOTES.index("pine")] > plain[NOTES.index("pine")]
    assert pine[NOTES.index("leaf litter")] == 0 < plain[NOTES.index("leaf litter")]


def test_a_taste_needs_something_to_taste() -> None:
    assert tastes("a cup of coffee") == {"sour", "bitter"}
    assert tastes("thunderstorm over the mountains at night") == set()
    assert tastes("cherry blossoms") == set()


def test_strength_words_and_repetition() -> None:
    wet_earth = NOTES.index("wet earth")
    faint, plain, strong = (lexicon.derive(f"{w} thunder")[0][wet_earth] for w in ("distant", "", "heavy"))
    assert faint < plain < strong
    assert np.array_equal(lexicon.derive("rain")[0], lexicon.derive("rain rain #rain")[0])


def test_air() -> None:
    assert lexicon.derive("plain words")[2:] == (None, None)
    day, night = (lexicon.derive(f"rain {when}")[2] for when in ("", "at night"))
    assert day is not None
    assert night is not None
    assert night < day
    calm, windy = (lexicon.derive(f"{how} sea")[3] for how in ("calm", "windy"))
    assert calm is not None
    assert windy is not None
    assert calm < 1 < 5 < windy
    some, strong = (lexicon.derive(f"a meadow in {how} wind")[3] for how in ("some", "strong"))
    assert some is not None
    assert strong is not None
    assert 2 < some < 6 < strong
    snow = lexicon.derive("snow falling")[2]
    assert snow is not None
    assert snow < 0


ODD = ["", "海の波", "шум моря", "شاطئ", "\ud800 \0", "#" * 5000, "# #_ #1", "🔥🔥 lit", "a'b'c", "#" + "x" * 500]


@pytest.mark.parametrize("caption", ODD)
def test_what_is_not_understood_is_nothing(caption: str) -> None:
    notes, taste, temperature, wind = lexicon.derive(caption)
    assert not notes.any()
    assert not taste.any()
    assert (temperature, wind) == (None, None)


def test_a_long_caption_stays_in_range() -> None:
    notes, taste, temperature, wind = lexicon.derive("hot sea rain coffee #oceanwaves storm snow " * 3000)
    assert notes.shape == (24,)
    assert taste.shape == (5,)
    assert notes.max() <= 1
    assert taste.max() <= 1
    assert temperature is not None
    assert -10 <= temperature <= 50
    assert wind is not None
    assert 0 <= wind <= 20


@pytest.mark.parametrize("name", ["smell_lexicon.csv", "taste_lexicon.csv", "air_lexicon.csv"])
def test_tables_name_every_term_once_and_its_source(name: str) -> None:
    path = Path(lexicon.__file__).with_name(name)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["source"] for row in rows)
    terms = [tuple(map(lexicon.stem, term.split())) for row in rows for term in row["term"].split("|")]
    assert len(terms) == len(set(terms)), sorted(t for t in set(terms) if terms.count(t) > 1)
    assert max(map(len, terms)) <= lexicon.LONGEST


def test_precision_and_recall_on_hand_labelled_captions() -> None:
    """54 captions labelled by hand before the table was looked at; docs/train.md has the figures."""
    path = Path(__file__).parent / "data" / "captions.csv"
    counts = {"smell": [0, 0, 0, 0], "taste": [0, 0, 0, 0]}  # found, of how many; right, of how many
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            must, may, taste = (set(filter(None, row[c].split("|"))) for c in ("notes", "maybe", "tastes"))
            assert must | may <= set(NOTES) and taste <= set(TASTES)
            notes, levels, _, _ = lexicon.derive(row["caption"])
            strong = {n for n, v in zip(NOTES, notes, strict=True) if v >= 0.2}
            tasted = {t for t, v in zip(TASTES, levels, strict=True) if v >= 0.15}
            for name, found, wanted, fine in (("smell", strong, must, must | may), ("taste", tasted, taste, taste)):
                new = (len(found & wanted), len(wanted), len(found & fine), len(found))
                counts[name] = [a + b for a, b in zip(counts[name], new, strict=True)]
    recall, precision = ({k: c[i] / c[i + 1] for k, c in counts.items()} for i in (0, 2))
    assert recall["smell"] > 0.9 and precision["smell"] > 0.83, (recall, precision)
    assert recall["taste"] > 0.9 and precision["taste"] > 0.72, (recall, precision)
