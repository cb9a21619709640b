"""What a movie may not show: refuse learn, refuse look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def learn(
    good: Annotated[Path, typer.Option(help="A folder of clips that may be seen; a few dozen.")],
    bad: Annotated[Path, typer.Option(help="A folder of clips that may not.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The prude to write, .safetensors.")],
    false_alarms: Annotated[float, typer.Option(help="Share of good clips that may be refused.")] = 0.05,
    scenes: Annotated[int, typer.Option(help="Dreamscapes to look at, for the steering; 0: no steering.", min=0)] = 120,
    seed: Annotated[int, typer.Option(help="The same seed and clips make the same prude.")] = 0,
) -> None:
    """Learn from two folders of clips what a movie may not show."""
    from stale_diffusion.commands.options import check_prude_name
    from stale_diffusion.console import console
    from stale_diffusion.trust import learning

    check_prude_name(output)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    prude, found = learning.learn(good, bad, false_alarms, scenes=scenes, seed=seed, say=say)
    prude.save(output)
    typer.echo(f"precision {found.precision:.3f}, recall {found.recall:.3f}, AUC {found.auc:.3f}; false alarms "
               f"{found.false_alarms:.3f} (asked: {false_alarms:g}), of {found.good} good and {found.bad} bad clips, "
               "each held out")  # fmt: skip
    if false_alarms * (found.good + 1) < 1:
        say(f"{found.good} good clips promise no rate below {1 / (found.good + 1):.3f}: the threshold is a guess there")
    typer.echo(str(output))


def look(
    file: Annotated[Path, typer.Argument(help="A movie or a clip.")],
    prude: Annotated[Path, typer.Argument(help="What refuse learn wrote.")],
) -> None:
    """Say which moments of a movie a prude refuses, and write nothing; exit code 1 where it refuses some."""
    from stale_diffusion.edit import clock
    from stale_diffusion.movie import Filmed
    from stale_diffusion.trust.features import watch
    from stale_diffusion.trust.prude import load_prude
    from stale_diffusion.trust.refusing import Refusal

    judge, screen = load_prude(prude), Filmed(file)
    verdict = judge.judge(watch(screen))
    for a, b, why in Refusal.of(verdict).spans:
        typer.echo(f"{clock(a)}-{clock(min(b, screen.seconds))}  {' and '.join(why)}")
    typer.echo(f"{file}: highest score {verdict.worst:+.2f}, refused above 0", err=True)
    if verdict.refused.any():
        raise typer.Exit(1)
