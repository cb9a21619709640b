"""Auditing movies: whether one may fall asleep to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stale_diffusion.errors import StaleError


def audit(
    file: Annotated[Path, typer.Argument(help="Any movie or sound file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, on stdout.")] = False,
    against: Annotated[
        Path | None, typer.Option(help="Shards or clips a model was trained on: find what the movie copies of them.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="With --against: clips that were not trained on, to say what is usual.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="With --against: write segments and their nearest clips side by side, PNG.")
    ] = None,
) -> None:
    """Measure a movie against the sleep-safe limits, or --against what a model was trained on; exit code 1 where it
    breaks one, or copies."""
    if against is not None:
        copies(file, against, held_out, picture, as_json)
        return
    if held_out is not None or picture is not None:
        raise StaleError("--held-out and --picture belong to --against.", mend="--against SHARDS", usage=True)
    from stale_diffusion import console
    from stale_diffusion.trust import limits

    with console.bar("watching") as bar:
        found = limits.audit(file, lambda share: bar.update(bar.task_ids[0], completed=share))
    safe = all(finding.kept for finding in found)
    if as_json:
        typer.echo(json.dumps(limits.report(file, found), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for line in limits.lines(found):
            typer.echo(line)
        typer.echo("safe to fall asleep to" if safe else "not safe to fall asleep to")
    if not safe:
        raise typer.Exit(1)


def copies(file: Path, against: Path, held_out: Path | None, picture: Path | None, as_json: bool) -> None:
    """Say for each segment of a movie which training clip is nearest, and whether it is a copy."""
    from stale_diffusion.console import console
    from stale_diffusion.formats.export import write_atomically
    from stale_diffusion.trust import remembering

    found = remembering.remember(
        file, against, held_out, lambda line: console.print(line, markup=False, soft_wrap=True)
    )
    if as_json:
        typer.echo(json.dumps(remembering.report(file, found), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for line in remembering.lines(found):
            typer.echo(line)
        copied = len({f.start for f in found if f.copied})
        typer.echo(f"{copied} of {len({f.start for f in found})} segments are copies")
    if picture is not None:
        write_atomically(picture, [remembering.picture(found)])
    if any(f.copied for f in found):
        raise typer.Exit(1)
