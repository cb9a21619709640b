"""What is in a movie file: tracks, units, durations, origins, recipe; as data, and as lanes in a terminal."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stale_diffusion.formats.notes import notes
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.timeline import RANGES, Track

BLOCKS = " ▁▂▃▄▅▆▇█"
COLUMNS = 46  # width of a lane: all fits a terminal of 80
PRESENT = 0.05  # a note or taste below this is not shown
HIDDEN = ("senses", "scene", "seconds", "width", "height", "fps")  # of the recipe: shown elsewhere
LABELS = {"xz_bits": "xz bits", "cost_dollars": "dollars", "keshas": "Ke$ha", "sleep_safe": "sleep-safe"}
COLOURS = {"touch": "#d08c60", "smell": "#7fae7a", "taste": "#c878a0"}


def inspect(path: str | Path) -> dict[str, Any]:
    """What a media file holds, as plain data.

    Raises:
        StaleError: it is missing, not media, or damaged.
    """
    movie = Movie.open(path)
    assert isinstance(movie.screen, Filmed)
    probe = movie.screen.probe
    video = asdict(probe.video) | {"fps": float(probe.video.fps)} if probe.video else None
    recipe = asdict(movie.recipe) | {"scene": movie.recipe.scene is not None} if movie.recipe else None
    return {
        "path": str(path),
        "container": probe.container,
        "seconds": round(movie.seconds, 3),
        "video": video,
        "audio": [asdict(track) for track in probe.audio],
        "subtitles": [dict(zip(("codec", "language", "title"), track, strict=True)) for track in probe.subtitles],
        "attachments": [dict(zip(("name", "mime", "size"), file, strict=True)) for file in probe.attachments],
        "tracks": {name: _track(track) for name, track in movie.tracks.items()},
        "recipe": recipe,
    }


def _track(track: Track) -> dict[str, Any]:
    channels = []
    for c, (name, unit) in enumerate(zip(track.channels, track.units, strict=True)):
        values = track.values[:, c]
        low, high, _ = RANGES.get(name, (0.0, 1.0, 0.0))
        lane = (_peaks(values) - low) / (high - low)
        channels.append(
            {
                "name": name,
                "unit": unit,
                "min": round(float(values.min(initial=np.inf)), 3) if len(values) else None,
                "mean": round(float(values.mean()), 3) if len(values) else None,
                "max": round(float(values.max(initial=-np.inf)), 3) if len(values) else None,
                "lane": [round(float(v), 3) for v in np.clip(lane, 0, 1)],
            }
        )
    return {
        "rate": float(track.rate),
        "samples": len(track.values),
        "seconds": round(track.seconds, 3),
        "origin": track.origin,
        "channels": channels,
    }


def _peaks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest value in each of COLUMNS stretches of time."""
    if not len(values):
        return np.zeros(0)
    edges = np.linspace(0, len(values), COLUMNS + 1).astype(int)
    last = len(values) - 1
    return np.array([values[min(a, last) : max(b, min(a, last) + 1)].max() for a, b in pairwise(edges.tolist())])


def show(found: dict[str, Any]) -> RenderableType:
    """The result of `inspect` for a terminal: a head, then each sense as lanes."""
    parts: list[RenderableType] = [_head(found)]
    for name, track in found["tracks"].items():
        parts.append(_lanes(name, track, found["seconds"]))
    if not found["tracks"]:
        parts.append(Text("No touch, smell or taste. Add them: stale-diffusion complete CLIP -o FILE.mkv", "dim"))
    return Group(*parts)


def _head(found: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("file", Text(f"{found['path']}  ({found['container']}, {found['seconds']:.2f} s)"))
    if found["video"]:
        video = found["video"]
        table.add_row(
            "sight", Text(f"{video['width']}x{video['height']}, {video['fps']:g} frames a second, {video['codec']}")
        )
    for audio in found["audio"]:
        name = "vibration" if audio["title"] == "touch" else "hearing"
        table.add_row(name, Text(f"{audio['codec']}, {audio['rate']} Hz, {audio['channels']} channels"))
    if found["subtitles"]:
        table.add_row("subtitles", Text(", ".join(s["title"] or s["language"] for s in found["subtitles"])))
    if found["attachments"]:
        files = ", ".join(f"{a['name']} ({a['size'] / 1024:.1f} kB)" for a in found["attachments"])
        table.add_row("attachments", Text(files))
    for name, value in (found["recipe"] or {}).items():
        if value is not None and name not in HIDDEN:
            table.add_row(LABELS.get(name, name), Text(_plain(value)))
    return table


def _plain(value: Any) -> str:
    """A value of the recipe for a person."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and value >= 1_000_000 else str(value)


def _lanes(name: str, track: dict[str, Any], seconds: float) -> Table:
    title = f"{name}  {track['origin']}, {track['rate']:g} Hz, {track['seconds']:.2f} s"
    table = Table(title=Text(title, "bold"), title_justify="left", box=None, padding=(0, 1), show_header=False)
    table.add_column(justify="right", width=14, no_wrap=True)
    table.add_column(width=COLUMNS, no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    shown = 0
    for channel in track["channels"]:
        bounded = name != "touch"
        if channel["max"] is None or (bounded and channel["max"] < PRESENT):
            continue
        colour = notes()[channel["name"]].colour if channel["name"] in notes() else COLOURS.get(name, "cyan")
        blocks = "".join(BLOCKS[math.ceil(v * 8 - 0.1)] for v in channel["lane"])
        unit = "" if channel["unit"] in ("1", "intensity") else f" {channel['unit']}"
        spread = f"{channel['min']:.3g} to {channel['max']:.3g}{unit}"
        table.add_row(channel["name"].replace("_", " "), Text(blocks, colour), spread)
        shown += 1
    if not shown:
        table.add_row("silent", "", "")
    else:
        table.add_row("", Text(f"0{f'{seconds:g} s':>{COLUMNS - 1}}", "dim"), "")
    return table
