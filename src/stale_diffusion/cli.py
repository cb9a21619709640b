"""The command line: `stale-diffusion VERB`. Data goes to stdout, progress to stderr."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stale_diffusion.errors import StaleError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Five-sense movies from a diffusion model whose noise is bit rot.")  # fmt: skip
dreamscapes = typer.Typer(no_args_is_help=True, help="The five-sense data set: places rendered from scenes.")
app.add_typer(dreamscapes, name="dreamscapes")

BYTES_A_SECOND = 1_000_000  # at 640x360: 430 kB of shore, the costliest place, measured; written twice, rounded up
Output = Annotated[Path, typer.Option("--output", "-o", help="The movie to write: .mkv or .mp4.")]
Seed = Annotated[int | None, typer.Option(help="The same seed makes the same movie; drawn and printed if missing.")]
Steps = Annotated[int, typer.Option(help="Steps of the reverse process a segment.")]
Guidance = Annotated[float, typer.Option(help="How strongly the plot pulls; 1 is the network's own odds.")]
Price = Annotated[float, typer.Option(help="Dollars an hour of this machine.", envvar="STALE_DIFFUSION_PRICE")]
ModelPath = Annotated[str | None, typer.Option("--model", help="A .safetensors model or a training's folder.")]
SheetPath = Annotated[Path | None, typer.Option("--sheet", help="Write the contact sheet (.png) as well.")]
NoRecipe = Annotated[bool, typer.Option("--no-recipe", help="Leave the recipe out of the file.")]


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise StaleError(f"{text!r} is not a size.", mend="--size 640x360", usage=True) from None
    if not (32 <= width <= 7680 and 32 <= height <= 4320) or width % 2 or height % 2:
        raise StaleError(f"{text} is not a possible size.", "Width and height are even, 32x32 to 7680x4320.",
                         "--size 640x360", usage=True)  # fmt: skip
    return width, height


def _check_output(path: Path, needed: float) -> None:
    """Refuse at once what would fail in the end: a wrong name, a folder, too little room for `needed` bytes."""
    if path.is_dir():
        raise StaleError(f"{path} is a folder.", mend=f"-o {path / 'movie.mkv'}", usage=True)
    if path.suffix.lower() not in (".mkv", ".mp4"):
        raise StaleError(
            f"{path} is not a movie's name.", "It ends in neither .mkv nor .mp4.", f"-o {path}.mkv", usage=True
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StaleError(f"The folder {path.parent} cannot be made.", str(e), usage=True) from e
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        why = f"It takes about {needed / 1e6:.0f} MB; {free / 1e6:.0f} MB are free in {path.parent}."
        raise StaleError("There is no room for this movie.", why, "Free some space, or write elsewhere with -o.")


def _check_length(seconds: float, steps: int) -> None:
    from stale_diffusion.timeline import MAX_SECONDS

    if not 0 < seconds <= MAX_SECONDS:
        why = "A movie lasts more than 0 s and at most a day."
        raise StaleError(f"A movie of {seconds:g} seconds cannot be made.", why, "--seconds 20", usage=True)
    if steps < 1:
        raise StaleError(f"{steps} steps cannot be taken.", mend="Ask for --steps 16.", usage=True)


def _save(movie: Any, output: Path, sheet: Path | None, started: float, **options: Any) -> None:
    from stale_diffusion import console

    with console.bar("writing") as bar:
        files = movie.save(output, progress=lambda share: bar.update(bar.task_ids[0], completed=share), **options)
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        files.append(movie.contact_sheet(sheet))
    console.summary(movie, files, time.monotonic() - started)


@app.command()
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

    _check_length(seconds, steps)
    pixels, rate = _size(size), _rate(fps)
    _check_output(output, seconds * BYTES_A_SECOND * pixels[0] * pixels[1] / (640 * 360))
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


def _rate(fps: float) -> Any:
    from fractions import Fraction

    if not 1 <= fps <= 240:
        raise StaleError(f"{fps} frames a second cannot be made.", "1 to 240 can.", "--fps 24", usage=True)
    return Fraction(fps).limit_denominator(1001)


@app.command()
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

    _check_length(1, steps)
    _check_output(output, 2 * clip.stat().st_size if clip.is_file() else 0)
    if output.exists() and clip.exists() and output.samefile(clip):
        raise StaleError("The movie would overwrite its clip.", mend="Give -o another name.", usage=True)
    started = time.monotonic()
    movie = Movie.open(clip)
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


@app.command()
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


@app.command()
def export(
    file: Path,
    to: Annotated[Path, typer.Option("--to", help="The folder to write into.")],
    formats: Annotated[
        str | None, typer.Option(help="Some of them, with commas: hjif,ahap,haptic,sem,aroma,srt.")
    ] = None,
) -> None:
    """Write touch, smell and taste for haptic, scent and sensory-effect tools."""
    from stale_diffusion.formats.export import export as write
    from stale_diffusion.movie import Movie

    wanted = [f.strip() for f in formats.split(",")] if formats else None
    for path in write(Movie.open(file), to, wanted):
        typer.echo(str(path))


@app.command()
def ingest(
    folder: Path,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of shards to write.")],
    limit: Annotated[int | None, typer.Option(help="At most so many clips.")] = None,
) -> None:
    """Turn a folder of clips, as yt-dlp leaves it, into shards of bits to train on."""
    from stale_diffusion.clips.ingest import Entry
    from stale_diffusion.clips.ingest import ingest as run

    def say(entry: Entry) -> None:
        typer.echo(f"{entry.status:<9} {entry.file}" + (f": {entry.reason}" if entry.reason else ""), err=True)

    report = run(folder, output, limit=limit, report=say)
    counts = {status: report.count(status) for status in ("ingested", "kept", "skipped")}
    typer.echo(", ".join(f"{n} {status}" for status, n in counts.items()) + f"; {output / 'report.csv'} says why")


@app.command()
def train(
    config: Path,
    run: Annotated[Path | None, typer.Option(help="The folder of the run; runs/NAME of the config if missing.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that render Dreamscapes.")] = 2,
) -> None:
    """Train a model from a config, or go on with it; Ctrl-C saves first."""
    from stale_diffusion.training.run import train_config

    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: stop.append(n))
    folder = run or Path("runs") / config.stem
    train_config(config, folder, workers, lambda: bool(stop))
    if stop:
        typer.echo(f"saved; go on with: stale-diffusion train {config} --run {folder}", err=True)
        raise typer.Exit(128 + stop[0])


@app.command()
def doctor() -> None:
    """Check this installation: versions, number type, codecs, the shipped model."""
    from stale_diffusion.doctoring import examine

    sound = True
    for name, found, good in examine():
        sound &= good
        typer.echo(f"{'ok ' if good else 'BAD'}  {name:<16} {found}")
    if not sound:
        raise typer.Exit(1)


@dreamscapes.command()
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

    for path in write(place, output, hours, seed, _size(size), _rate(fps)):
        typer.echo(str(path))


def main() -> None:
    """Run the command line; a StaleError becomes one message and an exit code."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(standalone_mode=True)
    except StaleError as e:
        if debug:
            raise
        from stale_diffusion.console import show_error

        show_error(e)
        raise SystemExit(e.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
