"""Undoing damage: restore."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stale_diffusion.commands.options import (
    KeyPath,
    ModelPath,
    NoWatermark,
    Seed,
    SheetPath,
    check_copy,
    check_output,
    key_of,
)
from stale_diffusion.errors import StaleError

if TYPE_CHECKING:
    from stale_diffusion.movie import Movie
    from stale_diffusion.restoring.damage import Findings


def restore(
    file: Annotated[Path, typer.Argument(help="A damaged movie or clip.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The movie to write: .mkv, .mp4 or .webm; never FILE itself.")
    ] = None,
    damage: Annotated[bool, typer.Option("--damage", help="Only show what is wrong; repair nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What is wrong as JSON, on stdout.")] = False,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SENSE=SHARE",
            help="The share of flipped bits of touch, smell or taste, where it is known: touch=0.1. Repeatable.",
        ),
    ] = None,
    plot: Annotated[str | None, typer.Option(help="What happens in it, for senses that are lost.")] = None,
    seed: Seed = None,
    model: ModelPath = None,
    sheet: SheetPath = None,
    key: KeyPath = None,
    no_watermark: NoWatermark = False,
) -> None:
    """Find what is damaged in a movie, and undo it; what is sound is kept as it is."""
    from stale_diffusion import console
    from stale_diffusion.movie import Movie

    _check(file, output, damage)
    rates = dict(_rate(text) for text in rate or [])
    movie = Movie.open(file)
    if output is not None and not damage:
        check_copy(output, file)
    from stale_diffusion.generate import load  # torch takes its time: what is refused, is refused at once
    from stale_diffusion.restoring.finding import find
    from stale_diffusion.restoring.restore import restore

    signing = None if damage else key_of(key, no_watermark)
    generator = load(model)
    found = find(movie, generator, lambda what: console.console.print(what, style="dim"))
    _show(found, as_json)
    if damage:
        if sheet is not None:
            _sheet(movie, sheet, found)
        return
    assert output is not None
    seed = secrets.randbelow(2**31) if seed is None else seed
    made, _ = restore(generator, movie, plot, seed, findings=found, rates=rates)
    words = ["restore", *(w for text in rate or [] for w in ("--rate", text)), "--seed", str(seed)]
    _write(replace(made, key=signing), output, words, sheet)


def _check(file: Path, output: Path | None, damage: bool) -> None:
    """Refuse a call that could not end well."""
    if output is None and not damage:
        mend = f"-o {file.stem}-restored.mkv, or --damage to look only"
        raise StaleError("A movie to write is missing.", mend=mend, usage=True)
    if output is None:
        return
    if output.suffix.lower() in (".png", ".webp"):
        raise StaleError(f"{output} is a picture.", "a movie is restored to a movie", "-o FILE.mkv", usage=True)
    if output.exists() and file.exists() and output.samefile(file):
        why = "what was not found to be damaged would be lost with what was"
        raise StaleError("A movie is never overwritten by its restoration.", why, "-o another.mkv", usage=True)
    check_output(output, 3 * file.stat().st_size if file.is_file() else 0)


def _rate(text: str) -> tuple[str, float]:
    sense, _, share = text.partition("=")
    try:
        return sense.strip().casefold(), float(share)
    except ValueError:
        raise StaleError(f"{text!r} is no rate.", mend="--rate touch=0.1", usage=True) from None


def _show(found: Findings, as_json: bool) -> None:
    import json

    from rich.console import Console

    from stale_diffusion.restoring.report import table

    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        Console().print(table(found))


def _write(made: Movie, output: Path, words: list[str], sheet: Path | None) -> None:
    from stale_diffusion import console, edit
    from stale_diffusion.movie import Filmed, Movie
    from stale_diffusion.restoring.mending import Restored

    options: dict[str, Any] = {}
    if isinstance(made.screen, Restored):
        options = {"size": made.screen.size, "fps": made.screen.fps}
    copied = isinstance(made.screen, Filmed)
    if made.recipe is not None:
        made = replace(made, recipe=replace(made.recipe, edits=[*made.recipe.edits, shlex.join(words)]))
    with console.bar("writing") as bar:
        files = edit.write(made, output, progress=lambda share: bar.update(bar.task_ids[0], completed=share), **options)
    if copied:
        console.console.print("picture and sound are copied packet for packet")
    if sheet is not None:
        files.append(_sheet(Movie.open(output), sheet, None))
    for path in files:
        console.console.print(str(path), markup=False, soft_wrap=True)


def _sheet(movie: Movie, target: Path, found: Findings | None) -> Path:
    from stale_diffusion.formats import export, sheet

    target.parent.mkdir(parents=True, exist_ok=True)
    lanes = [(d.sense, d.kind, d.start, d.end, d.share) for d in found.damages] if found else []
    export.write_atomically(target, [sheet.to_png(movie, lanes)])
    return target
