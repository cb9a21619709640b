"""All that a movie carries besides picture and sound, as files: in a folder, beside a movie, or attached to one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stale_diffusion import timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import ahap, aroma, card, haptic, hjif, lanes, playsem, sem, subtitles, tact, taste, wav
from stale_diffusion.movie import Movie
from stale_diffusion.senses import FELT, felt
from stale_diffusion.show import cues

SENSES = ("smell", "taste", "touch", *(name for name, sense in felt().items() if sense.speaks))  # subtitle lanes
Pieces = Iterable[str | bytes]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Args:
        ending: of its name; what comes before a dot, or after one, names it too ("sem", "srt").
        media: its media type.
        needs: senses of which a movie must have at least one.
        pieces: the file, text or bytes.
        beside: whether it lies beside a movie, and is attached to one; else it is exported only.
    """

    ending: str
    media: str
    needs: tuple[str, ...]
    pieces: Callable[[Movie], Pieces]
    beside: bool = True


def _subtitles(sense: str) -> list[Format]:
    return [
        Format(f"{sense}.srt", "application/x-subrip", (sense,), lambda movie: [subtitles.to_srt(movie, sense)]),
        Format(f"{sense}.vtt", "text/vtt", (sense,), lambda movie: [subtitles.to_vtt(movie, sense)]),
    ]


JSON = "application/json"
_ALL = (
    Format("timeline.json", JSON, (), lambda movie: timeline.stream(movie.seconds, movie.tracks)),
    Format("recipe.json", JSON, (), lambda movie: [movie.described().to_json()]),
    Format("hjif", JSON, ("touch",), hjif.stream),
    Format("ahap", JSON, ("touch",), ahap.stream),
    Format("haptic", JSON, ("touch",), haptic.stream),
    Format("tact", JSON, ("touch",), tact.stream),
    Format("sem.xml", "application/xml", ("touch", "smell", *FELT[3:]), sem.stream),
    Format("playsem.json", JSON, ("touch", "smell"), playsem.stream),
    Format("aroma.json", JSON, ("smell",), aroma.stream),
    Format("cues.csv", "text/csv", FELT, cues.stream, beside=False),
    Format("cartridges.toml", "application/toml", ("smell",), lambda movie: [aroma.to_map(movie)], beside=False),
    Format("taste.json", JSON, ("taste",), taste.stream),
    Format("card.png", "image/png", ("taste",), lambda movie: [card.to_png(movie)], beside=False),
    Format("card.pdf", "application/pdf", ("taste",), lambda movie: [card.to_pdf(movie)], beside=False),
    *(kind for sense in SENSES for kind in _subtitles(sense)),
    # what a person edits; import-lanes takes it back
    *(Format(f"{s}.csv", "text/csv", (s,), partial(lanes.stream, sense=s), beside=False) for s in timeline.CLOCKS),
    Format("touch.wav", "audio/wav", ("touch",), wav.stream, beside=False),
)
FORMATS = {kind.ending: kind for kind in _ALL}
# what `--formats` takes: the shortest name of each
NAMES = (
    "timeline", "recipe", "hjif", "ahap", "haptic", "tact", "sem", "playsem", "aroma", "cues", "cartridges",
    "taste.json", "card", "srt", "vtt", "csv", "wav",
)  # fmt: skip


def endings(movie: Movie, formats: Iterable[str] | None = None) -> list[str]:
    """The formats a movie has something for; "srt", "card" and "sem" name what they begin or end with.

    Raises:
        StaleError: a format is unknown.
    """
    wanted = set(FORMATS) if formats is None else {ending for name in formats for ending in _named(name)}
    had = {e: not kind.needs or any(sense in movie.tracks for sense in kind.needs) for e, kind in FORMATS.items()}
    had["recipe.json"] = movie.recipe is not None
    return [ending for ending in FORMATS if ending in wanted and had[ending]]


def _named(name: str) -> list[str]:
    """The endings that a name stands for."""
    plain = name.strip().lstrip(".").lower()
    found = [e for e in FORMATS if plain == e] or [e for e in FORMATS if plain in (e.split(".")[0], e.split(".")[-1])]
    if not found or plain == "json":
        why = f"formats are {', '.join(NAMES)}"
        raise StaleError(f"There is no format {name!r}.", why, "--formats hjif,ahap,srt", usage=True)
    return found


def pieces(movie: Movie, ending: str, cartridges: Mapping[int, str] | None = None) -> Iterator[bytes]:
    """One format of a movie, text as UTF-8, in pieces."""
    made = aroma.stream(movie, cartridges) if ending == "aroma.json" else FORMATS[ending].pieces(movie)
    for piece in made:
        yield piece.encode() if isinstance(piece, str) else piece


def export(
    movie: Movie,
    folder: str | Path,
    formats: Iterable[str] | None = None,
    cartridges: Mapping[int, str] | None = None,
) -> list[Path]:
    """Write the formats of a movie into a folder, which is made when absent.

    Args:
        formats: endings such as "hjif", "sem", "srt"; None: all that the movie has something for.
        cartridges: note in each chamber of the Aroma Shooter; None: the movie's strongest notes.

    Returns:
        The files written, named movie.ENDING.
    """
    chosen = endings(movie, formats)
    if cartridges is not None and "aroma.json" not in chosen:
        why = "only aroma.json needs one, and it is not among what is written"
        raise StaleError("A cartridge map was given for nothing.", why, "add aroma to --formats", usage=True)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StaleError(f"{target} cannot be used.", error.strerror or str(error), "name another folder") from None
    paths = [target / f"movie.{ending}" for ending in chosen]
    for path, ending in zip(paths, chosen, strict=True):
        write_atomically(path, pieces(movie, ending, cartridges))
    return paths


def write_sidecars(movie: Movie, path: Path) -> list[Path]:
    """Write NAME.timeline.json and the rest beside the movie NAME.mp4."""
    written = []
    for ending in (e for e in endings(movie) if FORMATS[e].beside):
        sidecar = path.with_suffix(f".{ending}")
        write_atomically(sidecar, pieces(movie, ending))
        written.append(sidecar)
    return written


def attachments(movie: Movie) -> dict[str, tuple[str, bytes]]:
    """{name: (media type, bytes)} to attach to a Matroska file; subtitles are tracks there."""
    chosen = [e for e in endings(movie) if FORMATS[e].beside and not e.endswith((".srt", ".vtt"))]
    named = {e if e in ("timeline.json", "recipe.json") else f"movie.{e}": e for e in chosen}
    return {name: (FORMATS[ending].media, b"".join(pieces(movie, ending))) for name, ending in named.items()}


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
