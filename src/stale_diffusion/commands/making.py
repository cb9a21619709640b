"""Making movies: generate, complete."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stale_diffusion.commands.options import (
    BYTES_A_SECOND,
    Guidance,
    ModelPath,
    NoRecipe,
    Output,
    Price,
    Seed,
    SheetPath,
    Steps,
    check_copy,
    check_length,
    check_output,
    parse_rate,
    parse_size,
)
from stale_diffusion.errors import StaleError


def generate(
    plot: Annotated[str, typer.Argument(help="What is to happen; empty: anything.", envvar="STALE_DIFFUSION_PLOT")],
    output: Output,
    seconds: Annotated[float, typer.Option(help="Length.", envvar="STALE_DIFFUSION_SECONDS")] = 20,
    seed: Seed = None,
    steps: Steps = 16,
    size: Annotated[str, typer.Option(help="Width x height of the picture.")] = "640x360",
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 24,
    paint: Annotated[bool, typer.Option("--paint", help="The network paints picture and sound itself.")] = False,
    guidance: Guidance = 1.5,
    model: ModelPath = None,
    sheet: SheetPath = None,
    price: Price = 0.10,
    no_recipe: NoRecipe = False,
) -> None:
    """Generate a five-sense movie from a plot."""
    from stale_diffusion import console
    from stale_diffusion.resume import Unfinished

    check_length(seconds, steps)
    pixels, rate = parse_size(size), parse_rate(fps)
    check_output(output, seconds * BYTES_A_SECOND * pixels[0] * pixels[1] / (640 * 360))
    started = time.monotonic()
    from stale_diffusion.generate import load

    generator = load(model)
    unfinished = Unfinished(output, {"plot": plot, "steps": steps, "guidance": guidance, "paint": paint,
                                     "model": generator.digest, "seconds": seconds})  # fmt: skip
    seed, sampled = unfinished.load(seed)
    if seed is None:
        seed = secrets.randbelow(2**31)
    if sampled:
        console.console.print(f"going on with {unfinished.path}", markup=False, soft_wrap=True)
    console.console.print(f"seed {seed}")
    try:
        movie = generator.generate(
            plot, seconds, seed, steps, paint=paint, guidance=guidance, price=price, sampled=sampled,
            watch=lambda p: console.console.print(console.preview_line(p), markup=False, soft_wrap=True),
        )  # fmt: skip
        unfinished.save(seed, sampled)  # so that a rendering that is interrupted need not be dreamt again
        _save(movie, output, sheet, started, size=pixels, fps=rate, recipe=not no_recipe)
    except KeyboardInterrupt:
        if sampled:
            unfinished.save(seed, sampled)
            mend = f"run the same command again: it goes on with {unfinished.path}"
            console.console.print(f"\nstopped; {mend}", markup=False, soft_wrap=True)
        raise
    unfinished.forget()


def complete(
    clip: Annotated[Path, typer.Argument(help="A video; its picture and sound are kept packet for packet.")],
    output: Output,
    plot: Annotated[str | None, typer.Option(help="What happens in it; else the caption in NAME.info.json.")] = None,
    seed: Seed = None,
    steps: Steps = 16,
    guidance: Guidance = 1.5,
    model: ModelPath = None,
    sheet: SheetPath = None,
    price: Price = 0.10,
    no_recipe: NoRecipe = False,
) -> None:
    """Add touch, smell and taste to a real clip."""
    from stale_diffusion import console
    from stale_diffusion.movie import Movie

    check_length(1, steps)
    check_output(output, 2 * clip.stat().st_size if clip.is_file() else 0)
    if output.exists() and clip.exists() and output.samefile(clip):
        raise StaleError("The movie would overwrite its clip.", mend="Give -o another name.", usage=True)
    started = time.monotonic()
    movie = Movie.open(clip)
    check_copy(output, clip)
    if plot is None:
        from stale_diffusion.clips.ingest import read_info

        plot = read_info(clip).caption
    from stale_diffusion.generate import load

    seed = secrets.randbelow(2**31) if seed is None else seed
    console.console.print(f"seed {seed}")
    made = load(model).complete(
        movie, plot, seed, steps, guidance=guidance, price=price,
        watch=lambda p: console.console.print(console.preview_line(p), markup=False, soft_wrap=True),
    )  # fmt: skip
    _save(made, output, sheet, started, recipe=not no_recipe)


def _save(movie: Any, output: Path, sheet: Path | None, started: float, **options: Any) -> None:
    from stale_diffusion import console

    with console.bar("writing") as bar:
        files = movie.save(output, progress=lambda share: bar.update(bar.task_ids[0], completed=share), **options)
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        files.append(movie.contact_sheet(sheet))
    console.summary(movie, files, time.monotonic() - started)
