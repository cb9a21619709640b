"""`contamination TRAIN TEST`: clips of a test set whose like, in sight or in sound, is in the training set."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from stale_diffusion.trust.fingerprint import Match, Print, Stills, match_sight, match_sound
from stale_diffusion.trust.prints import Library, of_set

LINES = {"sight": 0.53, "sound": 0.45}
"""Scores above which two clips are one: between the clouds of docs/remember.md, until `make bench
NAME=contamination` has chosen them on one half of all clips and tested them on the other."""
HOPELESS = 0.2  # of one still; clean clips have about 0.13
BATCH = 256


@dataclass(frozen=True)
class Pair:
    """A test clip and its like in the training set: in which sense, how alike in [0, 1], and how it was changed."""

    test: str
    train: str
    sense: str
    match: Match


@dataclass(frozen=True)
class Report:
    """The pairs, at most one a test clip and sense, and how many clips were compared with how many."""

    pairs: list[Pair]
    tested: int
    trained: int

    @property
    def contaminated(self) -> set[str]:
        """The test clips that have their like in the training set."""
        return {pair.test for pair in self.pairs}


def contamination(train: Path, test: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Compare two sets; the training set's fingerprints are kept in memory, the test set is streamed.

    Raises:
        StaleError: a set is missing or has nothing to compare.
    """
    library = Library(of_set(train, lambda line: say(f"train: skipped {line}")))
    say(f"{len(library.prints)} clips of {train} are fingerprinted")
    pairs, tested = [], 0
    for found in against(library, of_set(test, lambda line: say(f"test: skipped {line}"))):
        tested += 1
        pairs += [p for p in found if p.match.score > LINES[p.sense]]
        if tested % 1000 == 0:
            say(f"{tested} clips of {test} are compared, {len(pairs)} pairs")
    return Report(pairs, tested, len(library.prints))


def against(library: Library, prints: Iterator[Print]) -> Iterator[list[Pair]]:
    """For each clip its nearest clip of the library in each sense, whatever the score."""
    while batch := list(islice(prints, BATCH)):
        for one, near in zip(batch, library.candidates(batch), strict=True):
            yield [pair for sense, found in near.items() if (pair := nearest(one, sense, found, library))]


def _hopeless(other: Stills, one: Stills) -> bool:
    """Whether one still of a clip already says that the other shows something else; saves most of the work."""
    middle = len(one) // 2
    return match_sight(other[::2], one[middle : middle + 1]).score < HOPELESS


def nearest(one: Print, sense: str, candidates: list[int], library: Library) -> Pair | None:
    """The closest of some clips of the library, compared in full; None where there is none."""
    best: Pair | None = None
    for i in candidates:
        other = library.prints[i]
        if sense == "sight":
            assert one.stills is not None and other.stills is not None
            if _hopeless(other.stills, one.stills):
                continue
            match = match_sight(other.stills, one.stills)
        else:
            assert one.levels is not None and other.levels is not None
            match = match_sound(other.levels, one.levels)
        if best is None or match.score > best.match.score:
            best = Pair(one.name, other.name, sense, match)
    return best


def table(report: Report) -> list[str]:
    """The pairs as lines of CSV, the surest first: test, train, sense, score, how."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("test", "train", "sense", "score", "how"))
    for pair in sorted(report.pairs, key=lambda p: -p.match.score):
        rows.writerow((pair.test, pair.train, pair.sense, f"{min(pair.match.score, 1):.3f}", pair.match.how))
    return text.getvalue().splitlines()
