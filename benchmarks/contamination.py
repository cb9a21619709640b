"""Near-duplicates across two sets: planted ones found, clean clips left alone, and our own sets compared.

    make bench NAME=contamination    # about fifteen minutes on two cores; DREAMS=240 rendered clips

The clips: real ones, camera moves over photographs and sounds of DATA, and rendered Dreamscapes, dealt into two halves
by the recording (or photograph, or seed) that they come from. On one half the lines are chosen (printed as `line_*`;
those in trust/contamination.py are what that gave), on the other one they are tested. In each half a third of the
recordings is planted into the test set in five ways; a third is clean: nothing of their recording is in the training
set.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from plants import CHANGES, of_screen, read, write
from report import Figure, data_folder, report
from stale_diffusion.dreamscapes.perform import BUILT
from stale_diffusion.dreamscapes.render import truth
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed
from stale_diffusion.trust import prints
from stale_diffusion.trust.contamination import LINES, Pair, against
from stale_diffusion.trust.fingerprint import Print

DREAMS = int(os.environ.get("DREAMS", "240"))
SEED = 83_000


@dataclass(frozen=True)
class Item:
    """A clip of the experiment: fingerprint, recording it comes from, and what was done to it ("" if nothing)."""

    print: Print
    source: str
    change: str


def _share(source: str) -> int:
    return zlib.crc32(source.encode()) % 6  # half: 0-2 or 3-5; within a half: planted, trained on only, clean


def real_items(data: Path, folder: Path) -> list[tuple[Path, str]]:
    """Every clip of DATA and its recording."""
    with (data / "clips/manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [(data / "clips" / r["file"], f"{r['source_repo']} {r['source_path']}") for r in rows
            if r["file"].split("/")[0] in ("real", "photo-moves", "sounds")]  # fmt: skip


def of_real(entry: tuple[Path, str]) -> list[Item]:
    """A real clip as it is, and its plants where it is one to be planted."""
    torch.set_num_threads(1)
    path, source = entry
    try:
        items = [Item(prints.of_screen(path.stem, Filmed(path)), source, "")]
    except StaleError:
        return []
    if _share(source) % 3 == 0:
        items += planted(path.stem, source, read(path))
    return items


def of_dream(index: int) -> list[Item]:
    """A rendered clip of 4 s, encoded, and its plants."""
    torch.set_num_threads(1)
    place = BUILT[index % len(BUILT)]
    movie = truth(place, 4, SEED + index)
    assert movie.screen is not None
    source, name = f"dream {index}", f"{place} {index}"
    if _share(source) % 3 != 0:
        return [Item(prints.of_screen(name, movie.screen), source, "")]
    return [Item(prints.of_screen(name, movie.screen), source, ""), *planted(name, source, of_screen(movie.screen))]


def planted(name: str, source: str, clip: object) -> list[Item]:
    """The clip in five disguises, every one encoded at crf 35; a sound alone has no picture to be cropped."""
    out = []
    for change, how in CHANGES.items():
        if clip.frames is None and change not in ("crf35", "speed"):  # type: ignore[attr-defined]
            continue
        rng = np.random.default_rng(zlib.crc32(f"{name} {change}".encode()))
        with tempfile.TemporaryDirectory() as folder:
            path = write(how(clip, rng), Path(folder) / "plant.mp4", 35)  # type: ignore[arg-type]
            out.append(Item(prints.of_screen(f"{name} {change}", Filmed(path)), source, change))
    return out


def gathered(data: Path) -> Iterator[Item]:
    """All clips and plants, from two processes."""
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        for items in pool.map(of_real, real_items(data, data), chunksize=4):
            yield from items
        for items in pool.map(of_dream, range(DREAMS), chunksize=4):
            yield from items


def compared(items: list[Item]) -> list[tuple[Item, list[Pair], set[str]]]:
    """Each test item, the nearest training clip in each sense, and the names that are its own recording's."""
    train = [i for i in items if not i.change and _share(i.source) % 3 != 2]
    test = [i for i in items if i.change or _share(i.source) % 3 == 2]
    names = defaultdict(set)
    for i in train:
        names[i.source].add(i.print.name)
    library = prints.Library(i.print for i in train)
    found = against(library, (i.print for i in test))
    return [(i, pairs, names[i.source]) for i, pairs in zip(test, found, strict=True)]


def choose(rows: list[tuple[Item, list[Pair], set[str]]], sense: str) -> float:
    """The line halfway between the highest clean score and the lowest twentieth of the planted ones, if it is above."""
    clean = [p.match.score for i, pairs, _ in rows if not i.change for p in pairs if p.sense == sense]
    true = [p.match.score for i, pairs, own in rows if (i.change and i.change != "dub") or sense == "sight"
            for p in pairs if p.sense == sense and p.train in own and i.change]  # fmt: skip
    top, low = max(clean), float(np.quantile(true, 0.03))
    print(f"{sense}: clean max {top:.3f}, 99 % {np.quantile(clean, 0.99):.3f} of {len(clean)}; "
          f"planted 3 % {low:.3f}, median {np.median(true):.3f} of {len(true)}")  # fmt: skip
    return max(top + 0.02, (top + low) / 2)


def tested(rows: list[tuple[Item, list[Pair], set[str]]], lines: dict[str, float]) -> list[Figure]:
    """Recall of each change and clean clips reported, at some lines."""
    hits: dict[str, list[bool]] = defaultdict(list)
    clean, wrong = [], []
    for item, pairs, own in rows:
        over = [p for p in pairs if p.match.score > lines[p.sense]]
        if item.change:
            hits[item.change].append(any(p.train in own for p in over))
        else:
            clean.append(bool(over))
            wrong += over
    for p in wrong:
        print(f"  clean, reported: {p.test} ~ {p.train} ({p.sense} {p.match.score:.3f} {p.match.how})")
    every = [h for part in hits.values() for h in part]
    return [
        Figure("recall", float(np.mean(every)), "1", f"{len(every)} planted; goal 0.95", "higher"),
        *(Figure(f"recall_{c}", float(np.mean(h)), "1", f"{sum(h)} of {len(h)}", "higher") for c, h in hits.items()),
        Figure("clean_clips_reported_share", float(np.mean(clean)), "1", f"{sum(clean)} of {len(clean)}", "lower"),
    ]


def speed(count: int = 20_000) -> list[Figure]:
    """Made-up fingerprints: seconds to build a library of `count` and to compare, and what 100,000 would take."""
    rng = np.random.default_rng(0)

    def made(n: int) -> Iterator[Print]:
        for i in range(n):
            base = rng.normal(0, 40, (1, 6, 10)).repeat(4, 1).repeat(4, 2) + rng.normal(0, 20, (10, 24, 40)) + 128
            yield Print(str(i), np.clip(base, 0, 255).astype(np.uint8), rng.normal(20, 6, (125, 32)).astype(np.float32))

    begun = time.monotonic()
    library = prints.Library(made(count))
    built = time.monotonic()
    small = max(200, count // 40)
    for _ in against(library, made(small)):
        pass
    done = time.monotonic()
    each = (done - built) / small
    words = f"{built - begun:.0f} s to index {count}, {1000 * each:.0f} ms a test clip; one process, decoding left out"
    return [
        Figure(
            "minutes_for_100000_a_side", (5 * 20_000 / count * (built - begun) + 1e5 * each) / 60, "min", words, "lower"
        )
    ]


def main() -> None:
    started = time.monotonic()
    torch.set_num_threads(1)
    data = data_folder()
    items = list(gathered(data))
    print(f"{len(items)} clips and plants, {time.monotonic() - started:.0f} s", flush=True)
    halves = [[i for i in items if _share(i.source) // 3 == h] for h in (0, 1)]
    choosing, testing = (compared(h) for h in halves)
    lines = {sense: choose(choosing, sense) for sense in ("sight", "sound")}
    figures = tested(testing, LINES)
    figures += [Figure(f"line_{s}", line, "1", f"ships: {LINES[s]:g}", "lower") for s, line in lines.items()]
    figures += speed()
    report("contamination", figures, started)


if __name__ == "__main__":
    sys.exit(main())
