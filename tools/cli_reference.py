"""Write docs/cli.md from the typer app: `python tools/cli_reference.py`. A test checks that it is up to date."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import typer
from typer.models import ArgumentInfo, ParamMeta
from typer.utils import get_params_from_function

from stale_diffusion.cli import app

TARGET = Path(__file__).parents[1] / "docs/cli.md"
HEAD = """# The command line

Made by `python tools/cli_reference.py` from the program itself; do not edit it. `stale-diffusion VERB --help` says the
same.

Data goes to stdout, progress to stderr. Exit codes: 0 done, 1 failed, 2 called wrongly, 130 stopped by Ctrl-C (143 by
SIGTERM, `train` only). An error is one message: what, why, and what mends it; `--debug`, anywhere, shows the traceback
as well.
"""


def commands(program: typer.Typer, prefix: str = "stale-diffusion") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command of an app, by its full name."""
    for command in program.registered_commands:
        assert command.callback is not None
        yield f"{prefix} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for group in program.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{prefix} {group.name}")


def kind(annotation: Any) -> str:
    """The type of a parameter as a word."""
    if isinstance(annotation, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    name = str(annotation.__name__)
    return {"str": "text", "int": "integer", "float": "number"}.get(name, name.lower())


def row(parameter: ParamMeta, default: Any) -> tuple[bool, str, str]:
    """Whether a parameter is an argument, how it is called in a usage line, and its row of the table."""
    info, required = parameter.default, default is inspect.Parameter.empty
    plain = not hasattr(info, "help")  # a bare annotation: a required argument without words of its own
    argument = plain or isinstance(info, ArgumentInfo)
    name = parameter.name.upper() if argument else f"--{parameter.name.replace('_', '-')}"
    names = name if argument or not info.param_decls else ", ".join(info.param_decls)
    value = "" if argument or parameter.annotation is bool else f" {kind(parameter.annotation)}"
    said = "" if plain else (info.help or "")
    variable = f" Environment: `{info.envvar}`." if not plain and info.envvar else ""
    start = "required" if required else "" if default is None or default is False else f"`{default}`"
    short = names.split(", ")[-1]
    return argument, short + value if not argument else name, f"| `{names}{value}` | {said}{variable} | {start} |"


def section(name: str, callback: Callable[..., Any]) -> str:
    """The reference of one command."""
    defaults = inspect.signature(callback).parameters
    rows = [(row(p, defaults[n].default), defaults[n]) for n, p in get_params_from_function(callback).items()]
    usage = [name] + [call for (_, call, _), p in rows if p.default is inspect.Parameter.empty]
    usage += ["[OPTIONS]"] if any(p.default is not inspect.Parameter.empty for _, p in rows) else []
    parts = [f"## {name.removeprefix('stale-diffusion ')}", inspect.getdoc(callback) or "", f"    {' '.join(usage)}"]
    if rows:
        table = "\n".join(line for (_, _, line), _ in rows)
        parts.append(f"| argument or option | what it is | default |\n|---|---|---|\n{table}")
    return "\n\n".join(parts)


def reference() -> str:
    """The whole page."""
    return "\n\n".join([HEAD.strip(), *(section(name, callback) for name, callback in commands(app))]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
