"""Training: train, pause, resume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Path,
    run: Annotated[Path | None, typer.Option(help="The folder of the run; runs/NAME of the config if missing.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that render Dreamscapes.")] = 2,
) -> None:
    """Train a model from a config, or go on with it; Ctrl-C saves first."""
    _train(config, run or Path("runs") / config.stem, workers)


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    workers: Annotated[int, typer.Option(help="Processes that render Dreamscapes.")] = 2,
) -> None:
    """Go on with a training that was paused, stopped or killed, where it was."""
    import os

    from stale_diffusion.errors import StaleError
    from stale_diffusion.training.facts import read_facts

    config = run.resolve() / "config.toml"
    if not config.is_file():
        raise StaleError(f"There is no run {run}.", mend="ls runs", usage=True)
    facts, folder = read_facts(run), run.resolve()
    if facts is not None and Path(facts.folder).is_dir():
        os.chdir(facts.folder)  # where the config's relative paths begin
    _train(config, folder, workers)


def pause(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    wait: Annotated[float, typer.Option(help="Seconds to wait for it to end.")] = 60,
) -> None:
    """Ask a training in another terminal to save and end; `resume` goes on with it."""
    from stale_diffusion.training import checkpoint, claim

    claim.pause(run, wait)
    steps = checkpoint.steps(run)
    typer.echo(f"paused at {steps[-1].name}" if steps else "paused before its first checkpoint")


def _train(config: Path, run: Path, workers: int) -> None:
    from stale_diffusion.training.run import train_config
    from stale_diffusion.training.stopping import Stop

    stop = Stop()
    with stop.listening():
        done = train_config(config, run, workers, stop)
    if stop.number is not None and not done:
        typer.echo(f"saved; go on with: stale-diffusion resume {run}", err=True)
        raise typer.Exit(128 + stop.number)
