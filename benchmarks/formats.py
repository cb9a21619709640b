"""How large every format of an hour of movie is, how long it takes to write, and whether memory grows with the movie.

The hour is a minute of each place of Dreamscapes, ten times over: touch, smell and taste as they come, a small picture
(64x36, 2 a second) and a tone, because the formats are measured and not the codecs. Containers are written by a process
of their own, whose peak of memory is that of one kind of file: once for a minute, once for the hour.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats import export
from stale_diffusion.movie import MOVIES, Movie, Screen, Track
from stale_diffusion.recipe import Recipe
from stale_diffusion.senses.smell import Smell
from stale_diffusion.senses.taste import Taste
from stale_diffusion.senses.touch import Touch

HOUR, MINUTE = 3600, 60
SIZE, FPS = (64, 36), Fraction(2)


@final
class Slope(Screen):
    """A colour that moves, and a tone: next to nothing to compute."""

    kind = "performed"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @property
    def seconds(self) -> float:
        """Duration."""
        return self._seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Pictures, (H, W, 3)."""
        y, x = np.mgrid[0 : size[1], 0 : size[0]]
        for k in range(round(self._seconds * fps)):
            yield np.stack([(x + k) % 256, (2 * y + k // 3) % 256, (x + y) % 256], -1).astype(np.uint8)

    def sound(self, rate: int) -> Iterator[NDArray[np.float32]]:
        """Stereo, a second a chunk."""
        tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate).astype(np.float32)
        for _ in range(round(self._seconds)):
            yield np.repeat(tone[:, None], 2, 1)


def lanes() -> dict[str, NDArray[np.float32]]:
    """Touch, smell and taste of a minute of each place."""
    from stale_diffusion.dreamscapes.perform import BUILT
    from stale_diffusion.dreamscapes.render import truth

    minutes = [truth(name, MINUTE, 1) for name in BUILT]
    return {sense: np.concatenate([movie.tracks[sense].values for movie in minutes]) for sense in minutes[0].tracks}


def a_movie(values: dict[str, NDArray[np.float32]], seconds: int) -> Movie:
    """A movie of so many seconds, the lanes over and over."""
    tracks = {}
    for sense in (Touch(), Smell(), Taste()):
        n = seconds * int(sense.rate)
        wrapped = np.take(values[sense.name], np.arange(n), axis=0, mode="wrap")
        tracks[sense.name] = Track(sense.name, sense.rate, sense.channels, sense.unit, wrapped, "derived")
    recipe = Recipe("an hour of weather", created="2026-01-01T00:00:00+00:00")
    return Movie(float(seconds), Slope(seconds), tracks, recipe)


def one(lanes_file: Path, path: Path, seconds: int) -> None:
    """In a process of its own: write a movie, print seconds taken, its bytes and the process's peak of memory."""
    movie = a_movie(dict(np.load(lanes_file)), seconds)
    started = time.perf_counter()
    files = movie.save(path, SIZE, FPS)
    taken = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux
    print(json.dumps({"seconds": taken, "megabytes": files[0].stat().st_size / 1e6, "peak": peak}))


def measured(lanes_file: Path, path: Path, seconds: int) -> dict[str, float]:
    """`one` in a child."""
    command = [sys.executable, __file__, "one", str(lanes_file), str(path), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table and write out/bench/formats.json."""
    from report import Figure, report

    began, figures, values = time.monotonic(), [], lanes()
    movie = a_movie(values, HOUR)
    movie.edges = np.array([frame[:2, 0] for frame in Slope(HOUR).frames((64, 36), Fraction(2))])  # light, seen already
    for ending in export.FORMATS:
        started = time.perf_counter()
        size = sum(map(len, export.pieces(movie, ending)))
        figures += [
            Figure(f"{ending}_megabytes", size / 1e6, "MB", "one hour", "lower"),
            Figure(f"{ending}_seconds", time.perf_counter() - started, "s", "one hour", "lower"),
        ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "lanes.npz", **values)
        for suffix in MOVIES:
            minute, hour = (measured(folder / "lanes.npz", folder / f"a{suffix}", s) for s in (MINUTE, HOUR))
            figures += [
                Figure(f"{suffix}_megabytes", hour["megabytes"], "MB", "one hour of 64x36, 2 a second", "lower"),
                Figure(f"{suffix}_seconds", hour["seconds"], "s", "with sidecars", "lower"),
                Figure(f"{suffix}_peak_megabytes", hour["peak"], "MB", minute["peak"], "lower"),
            ]
    report("formats", figures, began)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
