"""All that a movie carries besides picture and sound, as files: in a folder, beside a movie, or attached to one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from stale_diffusion import timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import ahap, aroma, haptic, hjif, lanes, sem, subtitles, wav
from stale_diffusion.movie import Movie
from stale_diffusion.show import cues

SENSES = ("smell", "taste", "touch")  # subtitle lanes
EDITED = (".csv", ".wav")  # what a person edits: exported, neither attached nor laid beside a movie

# ending -> (media type, senses of which it needs at least one, pieces of the text)
FORMATS: dict[str, tuple[str, tuple[str, ...], Callable[[Movie], Iterable[str | bytes]]]] = {
    "timeline.json": ("application/json", (), lambda movie: timeline.stream(movie.seconds, movie.tracks)),
    "recipe.json": ("application/json", (), lambda movie: [movie.described().to_json()]),
    "hjif": ("application/json", ("touch",), hjif.stream),
    "ahap": ("application/json", ("touch",), ahap.stream),
    "haptic": ("application/json", ("touch",), haptic.stream),
    "sem.xml": ("application/xml", ("touch", "smell"), sem.stream),
    "aroma.json": ("application/json", ("smell",), aroma.stream),
    "cues.csv": ("text/csv", ("touch", "smell", "taste"), cues.stream),
    "smell.srt": ("application/x-subrip", ("smell",), lambda movie: [subtitles.to_srt(movie, "smell")]),
    "taste.srt": ("application/x-subrip", ("taste",), lambda movie: [subtitles.to_srt(movie, "taste")]),
    "touch.srt": ("application/x-subrip", ("touch",), lambda movie: [subtitles.to_srt(movie, "touch")]),
    **{f"{sense}.csv": ("text/csv", (sense,), partial(lanes.stream, sense=sense)) for sense in timeline.CLOCKS},
    "touch.wav": ("audio/wav", ("touch",), wav.stream),
}


def endings(movie: Movie, formats: Iterable[str] | None = None) -> list[str]:
    """The formats a movie has something for; "srt", "csv" and "sem" name what they begin or end with.

    Raises:
        StaleError: a format is unknown.
    """
    wanted = list(FORMATS) if formats is None else [_ending(name) for name in formats]
    chosen = [ending for ending in FORMATS if any(ending == w or ending.endswith("." + w) for w in wanted)]
    had = {e: not FORMATS[e][1] or any(sense in movie.tracks for sense in FORMATS[e][1]) for e in chosen}
    had["recipe.json"] = movie.recipe is not None
    return [e for e in chosen if had[e]]


def _ending(name: str) -> str:
    plain = name.strip().lstrip(".").lower()
    found = [e for e in FORMATS if plain == e or e.startswith(plain + ".") or e.endswith("." + plain)]
    if not found:
        raise StaleError(f"There is no format {name!r}.", f"formats are {', '.join(FORMATS)}", usage=True)
    return plain if plain in FORMATS or all(e.endswith("." + plain) for e in found) else found[0]


def pieces(movie: Movie, ending: str) -> Iterator[bytes]:
    """One format of a movie, text as UTF-8, in pieces."""
    for piece in FORMATS[ending][2](movie):
        yield piece if isinstance(piece, bytes) else piece.encode()


def export(movie: Movie, folder: str | Path, formats: Iterable[str] | None = None) -> list[Path]:
    """Write the formats of a movie into a folder, which is made when absent.

    Args:
        formats: endings such as "hjif", "sem", "srt"; None: all that the movie has something for.

    Returns:
        The files written, named movie.ENDING.
    """
    chosen = endings(movie, formats)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StaleError(f"{target} cannot be used.", error.strerror or str(error), "name another folder") from None
    paths = [target / f"movie.{ending}" for ending in chosen]
    for path, ending in zip(paths, chosen, strict=True):
        write_atomically(path, pieces(movie, ending))
    return paths


def write_sidecars(movie: Movie, path: Path) -> list[Path]:
    """Write NAME.timeline.json and the rest beside the movie NAME.mp4."""
    written = []
    for ending in (e for e in endings(movie) if not e.endswith(EDITED)):
        sidecar = path.with_suffix(f".{ending}")
        write_atomically(sidecar, pieces(movie, ending))
        written.append(sidecar)
    return written


def attachments(movie: Movie) -> dict[str, tuple[str, bytes]]:
    """{name: (media type, bytes)} to attach to a Matroska file; subtitles are tracks there."""
    chosen = [e for e in endings(movie) if not e.endswith((".srt", *EDITED))]
    named = {e if e in ("timeline.json", "recipe.json") else f"movie.{e}": e for e in chosen}
    return {name: (FORMATS[ending][0], b"".join(pieces(movie, ending))) for name, ending in named.items()}


def write_atomically(path: Path, data: Iterable[bytes]) -> None:
    """Write NAME.part, then rename: a file is whole or absent."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.writelines(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "free some space" if full else f"mkdir -p {path.parent}"
        raise StaleError(f"{path} was not written.", error.strerror or str(error), mend) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
