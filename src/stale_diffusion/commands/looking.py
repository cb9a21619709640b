"""Looking at movies and at this installation: inspect, export, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stale_diffusion.errors import StaleError


def inspect(file: Path, as_json: Annotated[bool, typer.Option("--json", help="As JSON, on stdout.")] = False) -> None:
    """Show the tracks, units, durations and recipe of a movie."""
    from stale_diffusion import inspecting

    found = inspecting.inspect(file)
    if as_json:
        import json

        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        from rich.console import Console

        Console().print(inspecting.show(found))


def export(
    file: Path,
    to: Annotated[Path, typer.Option("--to", help="The folder to write into.")],
    formats: Annotated[
        str | None, typer.Option(help="Some of them, with commas: hjif,ahap,haptic,sem,aroma,srt,csv,wav.")
    ] = None,
    patch: Annotated[Path | None, typer.Option(help="The room that cues.csv is for, a TOML file.")] = None,
) -> None:
    """Write touch, smell and taste for haptic, scent and sensory-effect tools."""
    from stale_diffusion.formats import export as formatting
    from stale_diffusion.movie import Movie

    wanted = [f.strip() for f in formats.split(",")] if formats else None
    movie = Movie.open(file)
    if patch is None:
        paths = formatting.export(movie, to, wanted)
    else:
        from stale_diffusion.show import cues
        from stale_diffusion.show.patch import load_patch

        effects = load_patch(patch, {name: track.channels for name, track in movie.tracks.items()})
        if "cues.csv" not in formatting.endings(movie, wanted):
            raise StaleError("--patch is for cues.csv, which is not among what is written.", mend="--formats cues.csv",
                             usage=True)  # fmt: skip
        paths = formatting.export(movie, to, wanted)
        formatting.write_atomically(to / "movie.cues.csv", (t.encode() for t in cues.stream(movie, effects)))
    for path in paths:
        typer.echo(str(path))


def doctor() -> None:
    """Check this installation: versions, number type, codecs, the shipped model."""
    from stale_diffusion.doctoring import examine

    sound = True
    for name, found, good in examine():
        sound &= good
        typer.echo(f"{'ok ' if good else 'BAD'}  {name:<16} {found}")
    if not sound:
        raise typer.Exit(1)
