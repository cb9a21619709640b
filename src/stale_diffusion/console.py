"""What a person sees in the terminal: progress, a preview a step, a summary. All of it on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stale_diffusion.errors import StaleError

if TYPE_CHECKING:
    from stale_diffusion.generate import Preview
    from stale_diffusion.movie import Movie

console = Console(stderr=True, highlight=False)
_BLOCKS = " ▁▂▃▄▅▆▇█"


def spark(values: list[float]) -> str:
    """Values in [0, 1] as a row of blocks."""
    return "".join(_BLOCKS[min(8, max(0, round(8 * v)))] for v in values)


@contextmanager
def bar(label: str) -> Iterator[Progress]:
    """A progress bar with the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=False) as progress:
        progress.add_task(label, total=1.0)
        yield progress


def preview_line(preview: Preview) -> str:
    """One step in one line: how stale, how sure, and what it looks like so far."""
    share = f"segment {preview.segment + 1}/{preview.segments} step {preview.step:>2}/{preview.steps}"
    line = f"{share}  stale {preview.staleness:4.2f}  sure {preview.certainty:4.2f}"
    if "scene" in preview.bits:
        from stale_diffusion import scene

        segment = scene.decode(preview.bits["scene"][None])[0]
        line += f"  {segment.place}, {24 * segment.statics['hour']:04.1f} h"
    if "touch.vibration" in preview.bits:
        from stale_diffusion.senses import SENSES

        names = ("touch.vibration", "touch.air")
        felt = SENSES["touch"].decode({n: preview.bits[n][None] for n in names})
        line += "  " + spark([float(v) ** 0.5 for v in felt[:, :2].max(1).reshape(16, -1).max(1)])
    return line


def summary(movie: Movie, files: list[Path], seconds: float) -> None:
    """What was made, what it cost, where it lies."""
    recipe = movie.described()
    tracks = ", ".join(f"{name} ({origin})" for name, origin in recipe.senses.items())
    filmed = " and ".join(s for s in ("sight", "hearing") if recipe.senses.get(s) == "given")
    ear = "the sound as it was given, the picture performed from the scene that was guessed from it"
    picture = {
        "performed": ear if filmed == "hearing" else "performed from the scene",
        "painted": "painted by the network",
        "filmed": f"{filmed} as filmed",
    }
    rows = [
        ("plot", recipe.plot or "(none)"),
        ("picture and sound", picture.get(str(recipe.picture), "none")),
        ("seed, steps", f"{recipe.seed}, {recipe.steps}"),
        ("seconds", f"{movie.seconds:g} of movie, made in {seconds:.1f}"),
        ("tracks", tracks),
        ("xz bits", f"{recipe.xz_bits:,}"),
        ("cost", f"${recipe.cost_dollars:.6f} for the network's {recipe.segments} segments"),
        ("Ke$has", f"{recipe.keshas:,.0f}  (xz bits per 50 cents)"),
        ("files", "\n".join(str(f) for f in files)),
    ]
    for name, value in rows:
        first, *more = str(value).splitlines() or [""]
        console.print(f"  {name:<18} {first}", markup=False, soft_wrap=True)
        for line in more:
            console.print(f"  {'':<18} {line}", markup=False, soft_wrap=True)


def show_error(error: StaleError) -> None:
    """What happened, why, and what mends it."""
    console.print("[bold red]error[/] ", end="")
    console.print(error.what, markup=False, soft_wrap=True)
    for label, text in (("why", error.why), ("mend", error.mend)):
        if text:
            console.print(f"{label + ':':<5} {text}", markup=False, soft_wrap=True)
