"""What authors do to a movie that is there: lanes put back, intensities scaled, the file written over itself."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import lanes, wav
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.timeline import RANGES, Track

INTENSITIES = {"touch": ("seat_amplitude", "back_amplitude", "wind")}
"""The channels that a strength scales; of other senses all. A temperature or a frequency is no intensity."""
MAX_STRENGTH = 4.0


def import_lanes(movie: Movie, folder: str | Path) -> Movie:
    """The movie with the lanes of a folder, as `export` wrote them and a person edited them.

    A sense of which no value changed stays as it is, with its origin; the others become `edited`.

    Args:
        folder: it holds NAME.SENSE.csv for one sense or more, or NAME.touch.wav.

    Raises:
        StaleError: there is no lane, a lane of a sense that the movie lacks, or one that cannot be read.
    """
    found = _lanes(Path(folder))
    tracks = dict(movie.tracks)
    for sense in dict.fromkeys(sense for sense, _ in found):
        if sense not in tracks:
            what = f"{found[sense, 'csv' if (sense, 'csv') in found else 'wav']} cannot be put back."
            raise StaleError(what, f"the movie has no {sense}", "stale-diffusion complete adds what is missing")
        tracks[sense] = _edited(tracks[sense], found.get((sense, "csv")), found.get((sense, "wav")))
    changed = [sense for sense, track in tracks.items() if track is not movie.tracks[sense]]
    return recorded(replace(movie, tracks=tracks), [f"import-lanes {sense}" for sense in changed])


def _lanes(folder: Path) -> dict[tuple[str, str], Path]:
    """(sense, ending) -> the file of the lane."""
    if not folder.is_dir():
        what = f"{folder} is not a folder." if folder.exists() else f"{folder} does not exist."
        raise StaleError(what, mend=f"stale-diffusion export FILE --to {folder}", usage=True)
    kinds = [(sense, "csv") for sense in timeline.CLOCKS] + [("touch", "wav")]
    found = {}
    try:
        names = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix)
    except OSError as error:
        raise StaleError(f"{folder} cannot be read.", error.strerror or str(error), f"chmod +rx {folder}") from None
    for sense, ending in kinds:
        paths = [p for p in names if p.name.lower().endswith(f".{sense}.{ending}") and not p.name.startswith(".")]
        if len(paths) > 1:
            why = f"{paths[0].name} and {paths[1].name} are both {sense}"
            raise StaleError(f"The lanes of {folder} are of more than one movie.", why, "delete one", usage=True)
        if paths:
            found[sense, ending] = paths[0]
    if not found:
        other = next((p.name for p in names if p.suffix.lower() in (".xlsx", ".xls", ".ods", ".numbers")), None)
        why = f"no {', '.join(f'movie.{sense}.{ending}' for sense, ending in kinds)}"
        mend = f"save {other} as CSV" if other else f"stale-diffusion export FILE --to {folder}"
        raise StaleError(f"There are no lanes in {folder}.", why, mend, usage=True)
    return found


def _edited(track: Track, table: Path | None, sound: Path | None) -> Track:
    """A track with its edited table and, for touch, its edited sound; the track itself if neither says anything new."""
    values = track.values if table is None else lanes.read(table, track)
    if sound is not None:
        heard = wav.read(sound, track)
        both = ((values != track.values) & (heard != track.values)).any(1)
        if both.any():
            when = clock(float(np.flatnonzero(both)[0] / track.rate))
            why = f"at {when} {table.name if table else ''} and {sound.name} both say something new"
            raise StaleError("The lanes of touch contradict each other.", why, "export one of the two again")
        values = np.where(heard != track.values, heard, values)
    if np.array_equal(values, track.values):
        return track
    return replace(track, values=values, origin="edited")


def scaled(track: Track, strength: float) -> Track:
    """A track with its intensities times `strength`, in range; see INTENSITIES."""
    return replace(track, values=scale(track.sense, track.channels, track.values, strength), origin="edited")


def scale(sense: str, channels: tuple[str, ...], values: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Values (T, C) of a sense with their intensities times `strength`, in range."""
    out = values.copy()
    for c, name in enumerate(channels):
        if name in INTENSITIES.get(sense, channels):
            low, high, _ = RANGES.get(name, timeline.ANY)
            out[:, c] = np.clip(values[:, c] * np.float32(strength), low, high)
    return out


def recorded(movie: Movie, edits: Iterable[str]) -> Movie:
    """The movie with edits in its recipe, if it has one."""
    if movie.recipe is None:
        return movie
    return replace(movie, recipe=replace(movie.recipe, edits=[*movie.recipe.edits, *edits]))


def write(
    movie: Movie, path: Path, *, recipe: bool = True, progress: Callable[[float], None] | None = None, **options: Any
) -> list[Path]:
    """Write a movie as `Movie.save` does; its own file is replaced only once the new one is whole.

    Returns:
        The files written, the movie first.

    Raises:
        StaleError: it cannot be written; whatever was there is as it was.
    """
    own = isinstance(movie.screen, Filmed) and path.exists() and path.samefile(movie.screen.path)
    if not own:
        return movie.save(path, recipe=recipe, progress=progress, **options)
    path = path.resolve()  # a link stays a link
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as folder:
            made = movie.save(Path(folder) / path.name, recipe=recipe, progress=progress)
            shutil.copymode(path, made[0])
            for file in made:
                os.replace(file, path.with_name(file.name))
    except OSError as error:
        why = error.strerror or str(error)
        raise StaleError(f"{path} was not written.", why, f"chmod u+w {path.parent}, or write elsewhere: -o") from None
    return [path.with_name(file.name) for file in made]


def clock(seconds: float) -> str:
    """Seconds as a person writes them: 00:10, 01:02:03.5."""
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:06.3f}".rstrip("0").rstrip(".")
    return f"{hours:02d}:{minutes:02d}:{tail}" if hours else f"{minutes:02d}:{tail}"


@dataclass(frozen=True)
class Span:
    """What is to be made anew: a sense, from `start` to `end` in seconds; the whole of it where end is infinite."""

    sense: str
    start: float = 0.0
    end: float = math.inf

    def __str__(self) -> str:
        whole = self.start == 0 and math.isinf(self.end)
        return self.sense if whole else f"{self.sense}@{clock(self.start)}-{clock(self.end)}"

    def samples(self, track: Track, seconds: float) -> NDArray[np.bool_]:
        """Which samples of its track, (T,), in a movie of so many seconds.

        Raises:
            StaleError: it lies outside the movie, or between two samples.
        """
        if self.start >= seconds or (self.end > seconds + 0.5 and not math.isinf(self.end)):
            what = f"{self} lies outside the movie."
            raise StaleError(what, f"it ends at {clock(seconds)}", f"--redo {self.sense}@00:00-{clock(seconds)}",
                             usage=True)  # fmt: skip
        at = np.arange(len(track.values)) / float(track.rate)
        inside = (at >= self.start - 1e-6) & (at < self.end - 1e-6)
        if not inside.any():
            why = f"{self.sense} has one value each {float(1 / track.rate):g} s"
            raise StaleError(f"{self} lies between two values.", why, "make the span longer", usage=True)
        return inside


def parse_span(text: str) -> Span:
    """`smell@00:10-00:14` (also seconds, hours, fractions: `smell@10-14.5`), or `smell` for the whole of it."""
    sense, at, times = text.strip().partition("@")
    sense = known_sense(sense)
    if not at:
        return Span(sense)
    found = re.fullmatch(r"([\d:.]+)\s*-\s*([\d:.]+)", times.strip(), re.ASCII)
    start, end = (_seconds(part) for part in found.groups()) if found else (None, None)
    if start is None or end is None:
        what = f"{text!r} is no span of time."
        raise StaleError(what, mend=f"write it as {sense}@00:10-00:14 or {sense}@10-14.5", usage=True)
    if end <= start:
        why = f"it ends at {clock(end)}, and does not begin before that"
        raise StaleError(f"{text!r} is no span of time.", why, f"{sense}@{clock(end)}-{clock(start)}", usage=True)
    return Span(sense, start, end)


def _seconds(text: str) -> float | None:
    """SS, MM:SS or HH:MM:SS, the last with a fraction."""
    if not re.fullmatch(r"(\d{1,5}:)?(\d{1,5}:)?\d{1,5}(\.\d{0,6})?", text, re.ASCII):
        return None
    parts = [float(part) for part in text.split(":")]
    if any(part >= 60 for part in parts[1:]):
        return None
    return sum(part * 60.0**i for i, part in enumerate(reversed(parts)))


def parse_strength(text: str) -> tuple[str, float]:
    """`smell=0.5`: the sense, and what its intensities are multiplied by."""
    sense, equals, factor = text.partition("=")
    sense = known_sense(sense)
    plain = factor.strip().replace(",", ".")
    value = float(plain) if re.fullmatch(r"\d{1,3}(\.\d{0,9})?|\.\d{1,9}", plain, re.ASCII) else -1.0
    if not equals or not 0 <= value <= MAX_STRENGTH:
        what = f"{text!r} is no strength."
        raise StaleError(what, f"it is a number from 0 to {MAX_STRENGTH:g}", f"--strength {sense}=0.5", usage=True)
    return sense, value


def known_sense(text: str) -> str:
    """The name of a sense that can be edited.

    Raises:
        StaleError: there is no such sense, or it is picture or sound.
    """
    sense = text.strip().casefold()
    if sense not in timeline.CLOCKS:
        why = f"senses are {', '.join(timeline.CLOCKS)}; picture and sound stay as they are"
        raise StaleError(f"There is no sense {text!r} to edit.", why, "--redo smell@00:10-00:14", usage=True)
    return sense
