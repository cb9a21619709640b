"""Is what is made safe to fall asleep to: `python benchmarks/sleep.py`.

Movies of every place are mastered, written and audited as files; the same scenes without the master beside them. In
pieces: PLACES=shore,campfire SEEDS=0,1 LENGTH=20 SIZE=320x180; each adds its rows to out/bench/sleep.rows.json, and the
report is about all rows of the same length and size that are there.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from report import OUT, Figure, report
from stale_diffusion import scene
from stale_diffusion.dreamscapes.perform import BUILT, place
from stale_diffusion.movie import Movie
from stale_diffusion.screens import Performed
from stale_diffusion.trust import limits
from stale_diffusion.trust.sleep_safe import mastered, safe_frames

PLACES = os.environ.get("PLACES", ",".join(BUILT)).split(",")
SEEDS = [int(s) for s in os.environ.get("SEEDS", "0").split(",")]
LENGTH = float(os.environ.get("LENGTH", "20"))
SIZE = os.environ.get("SIZE", "320x180")
FPS = Fraction(24)
ROWS = OUT / "sleep.rows.json"


def drawn(name: str, seed: int) -> Movie:
    """A true movie of a place."""
    segments = place(name).draw(np.random.default_rng([seed, *name.encode()]), math.ceil(LENGTH / 4))
    return Movie(LENGTH, Performed(scene.encode(segments), LENGTH))


def judged(movie: Movie, folder: Path) -> dict[str, Any]:
    """What the audit finds in a movie's file."""
    width, height = (int(n) for n in SIZE.split("x"))
    path = folder / "movie.mkv"
    movie.save(path, (width, height), FPS)
    begun = time.process_time()
    found = limits.audit(path)
    spent = time.process_time() - begun
    rows = {f.name: {"value": f.value, "time": f.time, "kept": f.kept} for f in found}
    return {"findings": rows, "safe": all(f.kept for f in found), "audit_seconds": spent}


def milliseconds(size: tuple[int, int] = (640, 360), count: int = 96) -> float:
    """What the master takes of a processor for a picture that needs nothing, ms."""
    frames = [np.random.default_rng(i).integers(60, 120, (*size[::-1], 3), np.uint8) for i in range(4)]

    def stream() -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
        for i in range(count):
            yield frames[i % 4]

    begun = time.process_time()
    for _ in safe_frames(stream(), FPS):
        pass
    return (time.process_time() - begun) / count * 1000


def main() -> None:
    """Measure what is asked for, and report all that was measured."""
    begun = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    for name in PLACES:
        for seed in SEEDS:
            with TemporaryDirectory() as folder:
                movie = drawn(name, seed)
                row = {"raw": judged(movie, Path(folder)), "safe": judged(mastered(movie), Path(folder))}
            rows[f"{name}/{seed}/{LENGTH:g}/{SIZE}"] = row
            ROWS.write_text(json.dumps(rows, indent=1))
            print(name, seed, *(f"{k}={v['value']}" for k, v in row["safe"]["findings"].items()), flush=True)
    mine = [row for key, row in rows.items() if key.endswith(f"/{LENGTH:g}/{SIZE}")]
    report("sleep", [*figures(mine), Figure("milliseconds_a_frame", milliseconds(), "ms", 1.5, "lower")], begun)


def figures(rows: list[dict[str, Any]]) -> list[Figure]:
    """The worst of all rows beside the worst without the master."""

    def worst(kind: str, name: str, how: Callable[[float], float] = float) -> float:
        return max(how(row[kind]["findings"][name]["value"] or 0.0) for row in rows)

    def off(value: float) -> float:
        return abs(value - limits.LOUDNESS)

    count = len(rows)
    out = [Figure("movies", count, "1", None, "higher")]
    share = {kind: sum(row[kind]["safe"] for row in rows) / count for kind in ("raw", "safe")}
    out.append(Figure("share_that_is_safe", share["safe"], "1", share["raw"], "higher"))
    for name, unit in (("general flashes", "1/s"), ("general flicker", "1/5 s"), ("red flashes", "1/s"),
                       ("onset", "LU")):  # fmt: skip
        out.append(Figure(f"worst_{name.replace(' ', '_')}", worst("safe", name), unit, worst("raw", name), "lower"))
    peak = [max(row[kind]["findings"]["true peak"]["value"] or -99 for row in rows) for kind in ("safe", "raw")]
    out.append(Figure("worst_true_peak", peak[0], "dBTP", peak[1], "lower"))
    away = worst("safe", "loudness", off), worst("raw", "loudness", off)
    out.append(Figure("furthest_from_minus_27_lufs", away[0], "LU", away[1], "lower"))
    heavy = sum(row["safe"]["audit_seconds"] for row in rows) / count / LENGTH
    return [*out, Figure("audit_seconds_a_second", heavy, "s", 1, "lower")]


if __name__ == "__main__":
    main()
