"""How every benchmark ends: a table on stdout, and out/bench/NAME.json in one shape."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

OUT = Path("out/bench")


@dataclass(frozen=True)
class Figure:
    """One measured number beside what it is compared with.

    Args:
        name: as DESIGN section 9 lists it, or a printed figure of your own.
        value: the measurement; a NaN is written as null.
        unit: "dB", "1", "bits", "s"...
        reference: what `value` is held against: a number, or words where there is none.
        better: "lower" or "higher".
    """

    name: str
    value: float
    unit: str
    reference: float | str | None
    better: Literal["lower", "higher"]


def data_folder() -> Path:
    """The folder of measured material, from DATA (default ../shared); one clear error where it is absent."""
    folder = Path(os.environ.get("DATA", "../shared"))
    if not folder.is_dir():
        why = "the benchmark measures on what is kept there"
        sys.exit(f"{folder} is not a folder\nwhy:  {why}\nmend: DATA=/path/to/shared make bench")
    return folder


def machine() -> str:
    """Processor, cores and system in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_processor()}, {cores} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _commit() -> str:
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return git.stdout.strip() or "unknown"


def report(name: str, figures: Sequence[Figure], started: float) -> Path:
    """Print the table and write out/bench/NAME.json; `started` is time.monotonic() at the start. Returns the file."""
    table = Table("figure", "value", "unit", "reference", "better", title=name)
    for figure in figures:
        reference = f"{figure.reference:.6g}" if isinstance(figure.reference, float | int) else figure.reference or ""
        table.add_row(figure.name, f"{figure.value:.6g}", figure.unit, reference, figure.better)
    Console().print(table)
    record = {
        "figures": [asdict(f) | {"value": f.value if f.value == f.value else None} for f in figures],
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        "commit": _commit(),
        "machine": machine(),
        "seconds": round(time.monotonic() - started, 1),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    part = OUT / f"{name}.json.part"
    part.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(part, OUT / f"{name}.json")
    return OUT / f"{name}.json"
