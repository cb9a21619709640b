"""Data to train on: ingest, dreamscapes render."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stale_diffusion.commands.options import parse_rate, parse_size


def ingest(
    folder: Path,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of shards to write.")],
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes at work; all cores if not given.")] = None,
    ray: Annotated[str | None, typer.Option(help="The address of a Ray cluster that does the work instead.")] = None,
) -> None:
    """Turn a folder of clips, as yt-dlp leaves it, into shards of bits to train on."""
    from stale_diffusion.clips.crew import cores
    from stale_diffusion.clips.ingest import Entry
    from stale_diffusion.clips.ingest import ingest as run

    def say(entry: Entry) -> None:
        typer.echo(f"{entry.status:<9} {entry.file}" + (f": {entry.reason}" if entry.reason else ""), err=True)

    report = run(folder, output, limit=limit, report=say, workers=workers or cores(), ray=ray)
    counts = {status: report.count(status) for status in ("ingested", "kept", "skipped")}
    typer.echo(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {output / 'report.csv'} says why")


def render(
    place: Annotated[str, typer.Argument(help="A place, or all.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write into.")],
    hours: Annotated[float, typer.Option(help="Hours of each place.")] = 0.01,
    seed: Annotated[int, typer.Option(help="Fixes every movie.")] = 0,
    size: Annotated[str, typer.Option(help="Width x height of the picture.")] = "640x360",
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 24,
) -> None:
    """Render places as five-sense movies with ground truth."""
    from stale_diffusion.dreamscapes.render import render as write

    for path in write(place, output, hours, seed, parse_size(size), parse_rate(fps)):
        typer.echo(str(path))


def contamination(
    train: Annotated[Path, typer.Argument(help="The training set: a folder of clips, or of shards.")],
    test: Annotated[Path, typer.Argument(help="The test set: the same.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the pairs as CSV as well.")] = None,
) -> None:
    """Find clips of a test set whose like, in sight or in sound, is in the training set; exit code 1 if there are."""
    from stale_diffusion.console import console
    from stale_diffusion.formats.export import write_atomically
    from stale_diffusion.trust.contamination import contamination as compare
    from stale_diffusion.trust.contamination import table

    found = compare(train, test, lambda line: console.print(line, markup=False, soft_wrap=True))
    lines = table(found)
    for line in lines if found.pairs else []:
        typer.echo(line)
    if output is not None:
        write_atomically(output, ["".join(f"{line}\n" for line in lines).encode(errors="replace")])
    share = len(found.contaminated) / found.tested
    typer.echo(f"{len(found.contaminated)} of {found.tested} test clips ({share:.2%}) are like one of "
               f"{found.trained} training clips", err=True)  # fmt: skip
    if found.pairs:
        raise typer.Exit(1)
