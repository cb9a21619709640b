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
        str | None,
        typer.Option(
            help="Some of them, with commas: timeline,recipe,hjif,ahap,haptic,tact,sem,playsem,aroma,cues,cartridges,"
            "taste.json,card,srt,vtt,csv,wav."
        ),
    ] = None,
    cartridges: Annotated[
        Path | None, typer.Option(help="TOML that says which note is in which chamber of the Aroma Shooter.")
    ] = None,
    patch: Annotated[Path | None, typer.Option(help="The room that cues.csv is for, a TOML file.")] = None,
) -> None:
    """Write touch, smell and taste for haptic, scent and sensory-effect tools, for a show, and for a kitchen."""
    from stale_diffusion.formats import aroma
    from stale_diffusion.formats import export as formatting
    from stale_diffusion.movie import Movie

    wanted = [f.strip() for f in formats.split(",")] if formats is not None else None
    loaded = aroma.cartridges_of(_read(cartridges), str(cartridges)) if cartridges else None
    movie = Movie.open(file)
    effects = None
    if patch is not None:
        from stale_diffusion.show.patch import load_patch

        effects = load_patch(patch, {name: track.channels for name, track in movie.tracks.items()})
        if "cues.csv" not in formatting.endings(movie, wanted):
            raise StaleError("--patch is for cues.csv, which is not among what is written.", mend="--formats cues.csv",
                             usage=True)  # fmt: skip
    written = formatting.export(movie, to, wanted, loaded)
    if effects is not None:
        from stale_diffusion.show import cues

        formatting.write_atomically(to / "movie.cues.csv", (t.encode() for t in cues.stream(movie, effects)))
    for path in written:
        typer.echo(str(path))
    if any(path.name.endswith("aroma.json") for path in written):
        for line in aroma.report(movie, loaded):
            typer.echo(f"aroma: {line}", err=True)


def _read(path: Path) -> bytes:
    """A small file that somebody wrote; what is larger than it may be is read no further."""
    from stale_diffusion.errors import StaleError
    from stale_diffusion.formats.aroma import MAX_MAP_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_MAP_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StaleError(f"{path} cannot be read.", why, "check the name and the folder", usage=True) from None


def doctor(
    runs: Annotated[list[Path] | None, typer.Argument(help="Trainings whose checkpoints are verified.")] = None,
) -> None:
    """Check this installation: versions, number type, codecs, the shipped model; and every hash of some trainings."""
    from itertools import chain

    from stale_diffusion.doctoring import examine, examine_run

    sound = True
    for name, found, good in chain(examine(), *(examine_run(run) for run in runs or [])):
        sound &= good
        typer.echo(f"{'ok ' if good else 'BAD'}  {name:<16} {found}")
    if not sound:
        raise typer.Exit(1)
