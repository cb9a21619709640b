"""Training: train, pause, resume, average, excavate, share."""

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


def average(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    length: Annotated[float, typer.Option(help="Of the average, a share of the run (EDM2): 0 to .28.")] = 0.1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="RUN/average-LENGTH.safetensors.")] = None,
) -> None:
    """Rebuild the weight average of any length from a run's history, as a model file."""
    from stale_diffusion.model.weights import write_model
    from stale_diffusion.training import averages

    tensors, state, missing = averages.rebuild(run, length)
    target = output or run / f"average-{length:g}.safetensors"
    about = {"trained on": f"step {state['step']} of {run.name}, average of length {length:g}"}
    write_model(tensors, state["shape"], target, about)
    typer.echo(f"{missing:.1%} of the profile is missed", err=True)
    typer.echo(str(target))


def excavate(
    repo: Annotated[Path, typer.Argument(help="A Git repository.")],
    before: Annotated[str, typer.Option(help='As Git reads dates: "18 months ago", 2024-05-01.')] = "now",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a model: the newest found.")] = None,
    span: Annotated[int, typer.Option(help="With --output: the mean of so many of the newest.")] = 1,
) -> None:
    """Find models in a Git history, list their ages, take one out, or average a span."""
    from stale_diffusion.errors import StaleError
    from stale_diffusion.model.weights import write_model
    from stale_diffusion.training import excavate as digging

    finds = digging.excavate(repo, before)
    for f in finds:
        size = f"{f.parameters / 1e6:.1f} M parameters" if f.parameters else "in Git LFS"
        typer.echo(f"{f.commit[:10]}  {f.date:%Y-%m-%d}  {f.days / 30.44:5.1f} months  {size:<18}  {f.path}")
    if not finds:
        raise StaleError(f"No model in {repo} is older than that.", mend="stale-diffusion excavate REPO --before now")
    if output is not None:
        tensors, shape = digging.average(repo, finds[: max(1, span)])
        write_model(tensors, shape, output, {"excavated": ", ".join(f.commit[:10] for f in finds[: max(1, span)])})


def share(
    model: Annotated[str, typer.Argument(help="A training's folder or a model file.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    licence: Annotated[str, typer.Option(help="Of the weights, for the card.")] = "other",
) -> None:
    """Write a model as a folder for others: safetensors, config and card, ready for the hub."""
    from stale_diffusion.model import weights

    weights.share(weights.read_model(model)[0], folder, {"licence": licence})
    typer.echo(str(folder))


def _train(config: Path, run: Path, workers: int) -> None:
    from stale_diffusion.training.run import train_config
    from stale_diffusion.training.stopping import Stop

    stop = Stop()
    with stop.listening():
        done = train_config(config, run, workers, stop)
    if stop.number is not None and not done:
        typer.echo(f"saved; go on with: stale-diffusion resume {run}", err=True)
        raise typer.Exit(128 + stop.number)
