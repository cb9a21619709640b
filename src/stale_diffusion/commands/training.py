"""Training: train."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer


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
