"""Editing movies that are there: import-lanes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer


def import_lanes(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where export wrote the lanes that were edited.")],
    file: Annotated[Path, typer.Argument(help="The movie that they belong to.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write another movie; else FILE is replaced.")
    ] = None,
) -> None:
    """Put edited lanes (.csv of each sense, .wav of touch) back into their movie."""
    from stale_diffusion import edit
    from stale_diffusion.commands.options import check_output
    from stale_diffusion.movie import Movie
    from stale_diffusion.trust.keys import own

    target = file if output is None else output
    check_output(target, 2 * file.stat().st_size if file.is_file() else 0)
    movie = Movie.open(file)
    edited = replace(edit.import_lanes(movie, folder), key=own())
    changed = {name: track for name, track in edited.tracks.items() if track is not movie.tracks[name]}
    if changed or output is not None:
        write(edited, target, changes(movie, edited))
    else:
        from stale_diffusion.console import console

        console.print(f"the lanes say what {file} says: nothing was changed", markup=False, soft_wrap=True)


def changes(before: Any, after: Any) -> list[str]:
    """A line a sense that changed: how many samples, between which times."""
    import numpy as np

    from stale_diffusion.edit import clock

    lines = []
    for name, track in after.tracks.items():
        if name in before.tracks and track is not before.tracks[name]:
            at = np.flatnonzero((track.values != before.tracks[name].values).any(1))
            when = f"{len(at)} of {len(track.values)} samples changed"
            if len(at):
                when += f", {clock(at[0] / float(track.rate))} to {clock((at[-1] + 1) / float(track.rate))}"
            lines.append(f"{name:<6} {track.origin}: {when}")
    return lines


def write(movie: Any, target: Path, said: list[str], **options: Any) -> list[Path]:
    """Write an edited movie and say what changed, on stderr, and where it lies, on stdout."""
    from stale_diffusion import console, edit

    with console.bar("writing") as bar:
        files = edit.write(
            movie, target, progress=lambda share: bar.update(bar.task_ids[0], completed=share), **options
        )
    for line in said:
        console.console.print(line, markup=False, soft_wrap=True)
    for path in files:
        typer.echo(str(path))
    return files
