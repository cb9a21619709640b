"""Auditing movies: whether one may fall asleep to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def audit(
    file: Annotated[Path, typer.Argument(help="Any movie or sound file.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, on stdout.")] = False,
) -> None:
    """Measure a movie against the sleep-safe limits, each with its worst moment; exit code 1 where one is broken."""
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
