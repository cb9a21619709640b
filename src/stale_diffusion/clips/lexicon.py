"""From a caption to smell, taste and air: what its words say, by tables anyone can read and mend.

Tables (CSV beside this file, each row with its source): one or more terms joined by "|", and what they stand for. The
longest term at a place wins, so that "pine forest" is not also a forest and "coffee table" smells of nothing. Words are
folded to a stem on both sides (waves, rainy, baking); "no smoke" and "smoke-free" count for nothing.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES

IRREGULAR = {"leaves": "leaf", "wolves": "wolf", "loaves": "loaf", "hooves": "hoof", "skies": "sky"}
WHOLE = frozenset((
    "winding", "waving", "spring", "evening", "morning", "during", "king", "ring", "thing", "string", "sing", "wing",
))  # fmt: skip # words that only look inflected
NEGATORS = frozenset((
    "no", "not", "without", "never", "none", "neither", "nor", "lacks", "lacking", "cannot", "cant", "isnt", "arent",
    "wasnt", "werent", "dont", "doesnt", "didnt", "wont",
))  # fmt: skip
ENDS = frozenset((".", "but", "with", "except", "just", "only"))  # of what a negation reaches
EXTENDS = frozenset(("or", "nor", "and"))
FAINT = frozenset(("distant", "faint", "slight", "gentle", "far", "some", "light", "soft", "little"))
STRONG = frozenset(("heavy", "strong", "thick", "intense", "fresh"))
FILLERS = frozenset((
    "and", "the", "day", "night", "time", "vibes", "sound", "sounds", "asmr", "video", "relaxing", "nature", "lover",
    "for", "sleep", "mood",
))  # fmt: skip # words of hashtags that are in no table
SCOPE = 3  # words that a negation reaches
LONGEST = 5  # words in a term
MAX_LETTERS = 20_000
CALM = 0.5  # m/s in the table: what is said to be calm stays so, whatever else blows

T = TypeVar("T")
Table = dict[tuple[str, ...], T]


def stem(word: str) -> str:
    """Fold an English word to a stem (plural, -ing, -ed, -y, a final e), alike in the tables and in the caption."""
    if word in IRREGULAR:
        return stem(IRREGULAR[word])
    if word in WHOLE or len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("ches", "shes", "sses", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and word not in WHOLE:
            word = word[: -len(ending)]
            break
    if word.endswith("y") and len(word) >= 5:
        word = word[:-1]
    if word.endswith("e") and len(word) >= 5:  # "fire" is not "fir"
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiousl":
        word = word[:-1]
    return word


def _words(text: str) -> list[str]:
    """Lower-case words, "." for every break of a sentence; other scripts fall away."""
    plain = unicodedata.normalize("NFKD", text[:MAX_LETTERS])
    plain = "".join(f" {_emoji()[c]} " if c in _emoji() else c for c in plain if not unicodedata.combining(c))
    plain = re.sub(r"#(\w+)", lambda m: f" . {_split_hashtag(m[1])} . ", plain)
    plain = re.sub(r"n['’]t\b", "nt", plain.lower()).replace("'s", "").replace("’s", "")
    return re.findall(r"[a-z']+|[.,;:!?\n()]", re.sub(r"[,;:!?\n()]", ".", plain))


def _split_hashtag(tag: str) -> str:
    """ "RainyNight" by its capitals, "rainynight" by known words where they cover all of it; else as it is."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|_|(?<=\D)(?=\d)|(?<=\d)(?=\D)", " ", tag)
    if " " in parts or len(tag) > 40:
        return parts
    known, best = _vocabulary(), {0: ()} if tag else {}
    reached: dict[int, tuple[str, ...]] = dict(best)
    for end in range(1, len(tag) + 1):
        for start in range(max(0, end - 16), end):
            word = tag[start:end].lower()
            fits = start in reached and (stem(word) in known or word in FILLERS) and len(word) > 2
            if fits and (end not in reached or len(reached[start]) + 1 < len(reached[end])):
                reached[end] = (*reached[start], word)
    return " ".join(reached.get(len(tag), (tag,)))


@cache
def _emoji() -> dict[str, str]:
    """Obvious ones; fire and a puff of air are said of things that neither burn nor blow."""
    with Path(__file__).with_name("emoji.csv").open(encoding="utf-8", newline="") as file:
        return {row["emoji"]: row["words"] for row in csv.DictReader(file)}


@cache
def _vocabulary() -> frozenset[str]:
    tables = (_smells(), _tastes(), _airs())
    return frozenset(word for table in tables for term in table for word in term if len(word) > 2)


def _rows(name: str) -> Iterator[tuple[list[tuple[str, ...]], dict[str, str]]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield [tuple(stem(word) for word in term.split()) for term in row["term"].split("|")], row


def _load(name: str, value: Callable[[dict[str, str]], T]) -> Table[T]:
    return {term: value(row) for terms, row in _rows(name) for term in terms}


@cache
def _smells() -> Table[NDArray[np.float64]]:
    return _load("smell_lexicon.csv", _notes)


def _notes(row: dict[str, str]) -> NDArray[np.float64]:
    values = np.zeros(len(NOTES))
    for part in filter(None, row["notes"].split("; ")):
        note, _, strength = part.rpartition(" ")
        values[NOTES.index(note)] = float(strength)
    return values


@cache
def _tastes() -> Table[NDArray[np.float64]]:
    return _load("taste_lexicon.csv", lambda row: np.array([float(row[taste]) for taste in TASTES]))


@cache
def _airs() -> Table[tuple[float | None, float | None, float | None]]:
    columns = ("temperature", "warmer", "wind")

    def value(row: dict[str, str]) -> tuple[float | None, float | None, float | None]:
        temperature, warmer, wind = (float(row[c]) if row[c] else None for c in columns)
        return temperature, warmer, wind

    return _load("air_lexicon.csv", value)


def _negated(words: list[str]) -> list[bool]:
    """Which words a negation reaches: SCOPE words after it, to the end of the sentence part, on over "or"."""
    out, left = [False] * len(words), 0
    for i, word in enumerate(words):
        if word in NEGATORS and words[i + 1 : i + 2] != ["only"]:
            left = SCOPE + 1
        elif word == "free" and i:
            out[i - 1] = True
        elif word in ENDS:
            left = 0
        elif word in EXTENDS and left > 0:
            left += 2
        out[i] = out[i] or left > 0
        left -= left > 0
    return out


def _matches(words: list[str], table: Table[T]) -> Iterator[tuple[T, float]]:
    """Longest terms first from left to right, each term once, with a factor for a word like "faint" before it."""
    stems, negated, seen = [stem(w) for w in words], _negated(words), set()
    i = 0
    while i < len(stems):
        for length in range(min(LONGEST, len(stems) - i), 0, -1):
            term = tuple(stems[i : i + length])
            if term in table:
                if not any(negated[i : i + length]) and term not in seen:
                    seen.add(term)
                    before = words[i - 1] if i else ""
                    yield table[term], 0.5 if before in FAINT else 1.2 if before in STRONG else 1.0
                i += length - 1
                break
        i += 1


def derive(caption: str) -> tuple[NDArray[np.float32], NDArray[np.float32], float | None, float | None]:
    """What a caption says to nose, tongue and skin.

    Returns:
        Smell notes (24,) and tastes (5,) in [0, 1], temperature in C and wind in m/s; None where nothing is said.
        Several terms add up as 1 - product(1 - strength).
    """
    words = _words(caption)
    nothing, no_taste = np.ones(len(NOTES)), np.ones(len(TASTES))
    for notes, factor in _matches(words, _smells()):
        nothing *= 1 - np.clip(notes * factor, 0, 1)
    for tastes, factor in _matches(words, _tastes()):
        no_taste *= 1 - np.clip(tastes * factor, 0, 1)
    airs = list(_matches(words, _airs()))
    temperature, wind = _temperature([air for air, _ in airs]), _wind(airs)
    return (1 - nothing).astype(np.float32), (1 - no_taste).astype(np.float32), temperature, wind


def _temperature(airs: list[tuple[float | None, float | None, float | None]]) -> float | None:
    """The mean of what is said, a mild day where only the hour is; the hour moves it."""
    said = [t for t, _, _ in airs if t is not None]
    hour = [w for _, w, _ in airs if w is not None]
    if not said and not hour:
        return None
    return float(
        np.clip((np.mean(said) if said else 18.0) + (min(hour, key=lambda h: -abs(h)) if hour else 0.0), -10, 50)
    )


def _wind(airs: list[tuple[tuple[float | None, float | None, float | None], float]]) -> float | None:
    """The strongest wind said, unless the caption says that it is calm."""
    said = [(wind, factor) for (_, _, wind), factor in airs if wind is not None]
    if not said:
        return None
    if min(said)[0] == CALM:
        return CALM
    return min(20.0, max(wind * factor for wind, factor in said))
