"""A sense as a table, NAME.SENSE.csv, that a person edits in a spreadsheet: written, and read back with suspicion.

A row a sample, the time in seconds, then a column a channel with its unit. Spreadsheets write such a table back with
semicolons, tabs, decimal commas, a byte order mark, quotes, empty columns and rows: all of that is read. What could
mean two things is refused, and so is everything that a movie cannot hold.

Shapes: T samples, C channels.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import ANY, RANGES, Track

TIME = "time"
CELL = 48  # bytes that a cell may take on the average
BLOCK = 4096  # rows written at once
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def stream(movie: Movie, sense: str) -> Iterator[str]:
    """One sense of a movie as a table, in pieces."""
    track = movie.tracks[sense]
    titles = [f"{TIME} [s]", *(f"{name} [{unit}]" for name, unit in zip(track.channels, track.units, strict=True))]
    yield ",".join(titles) + "\r\n"
    places = [digits(name) for name in track.channels]
    for start in range(0, len(track.values), BLOCK):
        block = track.values[start : start + BLOCK].tolist()
        for i, row in enumerate(block, start):
            cells = (_text(value, d) for value, d in zip(row, places, strict=True))
            yield f"{_text(float(i / track.rate), 6)},{','.join(cells)}\r\n"


def digits(channel: str) -> int:
    """Decimal places of a channel: a thousandth of its quantisation level."""
    return math.ceil(-math.log10(RANGES.get(channel, ANY)[2] / 1000))


def _text(value: float, places: int) -> str:
    short = f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"
    return "0" if short == "-0" else short


def read(path: Path, track: Track) -> NDArray[np.float32]:
    """The values of an edited table, (T, C), for a track; a cell that says what was written keeps its exact value.

    Raises:
        StaleError: a column or a row is missing or twice there, a cell is no number or out of range, or it is no table.
    """
    rows = _rows(path, (len(track.values) + 64) * (len(track.channels) + 1) * CELL)
    order = _columns(path, rows[0][1], track.channels)
    values = np.empty((len(rows) - 1, 1 + len(track.channels)))
    for i, (line, cells) in enumerate(rows[1:]):
        if any(cell.strip() for cell in cells[len(rows[0][1]) :]):
            raise _refused(path, f"line {line} has more cells than the first line has columns")
        for c, column in enumerate(order):
            cell = cells[column].strip() if column < len(cells) else ""
            values[i, c] = _number(path, line, (TIME, *track.channels)[c], cell)
    return _settled(path, _in_time(path, values, track), track)


def _refused(path: Path, why: str, mend: str = "") -> StaleError:
    return StaleError(f"{path} cannot be put back.", why, mend or "mend the table, or export it again")


def _rows(path: Path, most: int) -> list[tuple[int, list[str]]]:
    """Numbered lines of cells, the titles first, empty lines left out."""
    text = _decoded(path, most)
    lines = text.splitlines()
    if lines and re.fullmatch(r"sep=[,;\t]", lines[0].strip('" ')):  # what a spreadsheet is told, and may keep
        lines[0] = ""
    titles = next((line for line in lines if line.strip()), "")
    separator = max(";\t,", key=titles.count)
    try:
        reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _refused(path, f"it is not a table: {error}") from None
    if not rows:
        raise _refused(path, "it is empty")
    return rows


def _decoded(path: Path, most: int) -> str:
    try:
        if path.stat().st_size > most:
            raise _refused(path, f"it has more than {most:,} bytes, more than the rows of this movie can take")
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path, error.strerror or str(error), f"chmod +r {path}") from None
    try:
        text = data.decode(_MARKS.get(data[:2], "utf-8-sig"))
    except UnicodeDecodeError:
        raise _refused(path, "it is not text in UTF-8", "save it as CSV UTF-8") from None
    text = text.lstrip("\ufeff")
    if "\0" in text:
        raise _refused(path, "it is not text but a binary file", "save it as CSV, not as a spreadsheet")
    return text


def _columns(path: Path, titles: list[str], channels: tuple[str, ...]) -> list[int]:
    """Where time and each channel stand; units in brackets may be missing, empty columns may be there."""
    names = [re.sub(r"\s*[\[(][^\])]*[\])]$", "", title.strip()).casefold() for title in titles]
    wanted = [TIME, *channels]
    missing = [name for name in wanted if name.casefold() not in names]
    if missing:
        why = f"column {missing[0]!r} is missing" + (f", and {len(missing) - 1} more" if missing[1:] else "")
        raise _refused(path, why, f"the first line names {', '.join(wanted)}")
    known = {name.casefold() for name in wanted}
    for name, title in zip(names, titles, strict=True):
        if name and name not in known:
            raise _refused(path, f"column {title.strip()!r} is none of this sense", "delete it")
        if name and names.count(name) > 1:
            raise _refused(path, f"column {title.strip()!r} is there twice", "delete one")
    return [names.index(name.casefold()) for name in wanted]


def _number(path: Path, line: int, column: str, cell: str) -> float:
    if not cell:
        raise _refused(path, f"line {line}: {column} is empty", "write 0 for nothing")
    if not _NUMBER.fullmatch(cell) or len(cell) > CELL:
        raise _refused(path, f"line {line}: {column} is {cell[:CELL]!r}, not a number", "write 0.5 or 0,5")
    return float(cell.replace(",", "."))


def _in_time(path: Path, rows: NDArray[np.float64], track: Track) -> NDArray[np.float64]:
    """The rows in order of time, each at its sample, (T, C)."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    expected = np.arange(len(track.values)) / float(track.rate)
    shared = min(len(rows), len(expected))
    off = np.flatnonzero(np.abs(rows[:shared, 0] - expected[:shared]) > 0.25 / float(track.rate))
    if not len(off) and len(rows) == len(expected):
        return rows[:, 1:]
    i = int(off[0]) if len(off) else shared
    if i < len(rows) and (i == len(expected) or rows[i, 0] < expected[i]):
        amiss = f"the row at {_text(rows[i, 0], 6)} s is one too many"
    else:
        amiss = f"the row at {_text(expected[i], 6)} s is missing"
    every = _text(1 / float(track.rate), 6)
    why = f"{amiss}: {len(rows):,} rows, and {track.sense} has {len(expected):,}, one each {every} s"
    raise _refused(path, why, "a lane keeps its rows: write 0 where nothing is to be")


def _settled(path: Path, values: NDArray[np.float64], track: Track) -> NDArray[np.float32]:
    """Values in range; what says the same as was written stays what it was."""
    out = track.values.copy()
    for c, name in enumerate(track.channels):
        low, high, _ = RANGES.get(name, ANY)
        column = values[:, c]
        outside = np.flatnonzero(~((column >= low) & (column <= high)))
        if len(outside):
            when, value = _text(outside[0] / float(track.rate), 6), _text(float(column[outside[0]]), 6)
            unit = track.units[c]
            raise _refused(path, f"{name} at {when} s is {value}; it goes from {low:g} to {high:g} [{unit}]")
        edited = np.abs(column - out[:, c]) > 1.01 * 10.0 ** -digits(name)
        out[edited, c] = column[edited]
    return out
