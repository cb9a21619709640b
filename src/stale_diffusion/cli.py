"""The command line: `stale-diffusion VERB`. Data goes to stdout, progress to stderr."""

from __future__ import annotations

import os
import sys

import typer

from stale_diffusion.commands import (
    auditing,
    data,
    editing,
    looking,
    making,
    playing,
    refusing,
    restoring,
    training,
    verifying,
)  # fmt: skip
from stale_diffusion.errors import StaleError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Five-sense movies from a diffusion model whose noise is bit rot.")  # fmt: skip
for verb in (making.generate, making.complete, restoring.restore, looking.inspect, looking.export, editing.import_lanes,
             auditing.audit, verifying.verify, playing.play, data.ingest, training.train, training.pause,
             training.resume, training.average, training.excavate, training.share, looking.doctor):  # fmt: skip
    app.command()(verb)
app.command()(data.contamination)

dreamscapes = typer.Typer(no_args_is_help=True, help="The five-sense data set: places rendered from scenes.")
dreamscapes.command()(data.render)
app.add_typer(dreamscapes, name="dreamscapes")

refuse = typer.Typer(no_args_is_help=True, help="A filter that its owner trains.")
refuse.command()(refusing.learn)
refuse.command()(refusing.look)
app.add_typer(refuse, name="refuse")


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
