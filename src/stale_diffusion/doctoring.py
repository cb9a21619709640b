"""The doctor: what this installation has and what it lacks, one finding a line."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from stale_diffusion.errors import StaleError


def examine() -> Iterator[tuple[str, str, bool]]:
    """Yield (name, finding, whether it is good)."""
    import torch

    from stale_diffusion import media
    from stale_diffusion.machine import fastest_type, matrix_rate
    from stale_diffusion.model.weights import read_model
    from stale_diffusion.version import VERSION

    yield "stale-diffusion", VERSION, True
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", True
    yield "torch, av", f"{version('torch')}, {version('av')}", True
    yield "cores", str(os.cpu_count()), True
    dtype = fastest_type()
    yield "number type", f"{str(dtype).removeprefix('torch.')} at {matrix_rate(dtype) / 1e9:.0f} GFLOP/s", True
    yield "gpu", torch.cuda.get_device_name() if torch.cuda.is_available() else "none; none is needed", True
    missing = media.missing_encoders()
    yield "encoders", f"missing: {', '.join(missing)}" if missing else "all there", not missing
    free = shutil.disk_usage(".").free / 1e9
    yield "disk", f"{free:.1f} GB free here", free > 1
    try:
        model, digest = read_model()
        size = sum(p.numel() for p in model.parameters()) / 1e6
        yield "model", f"{size:.1f} M parameters, sha256 {digest[:16]}", True
    except StaleError as e:
        yield "model", f"{e.what} {e.mend}", False


def examine_run(run: Path) -> Iterator[tuple[str, str, bool]]:
    """The same of a training's folder: every checkpoint and every snapshot of its averages against its hash."""
    from stale_diffusion.training import averages, checkpoint

    folders = sorted(p for p in run.glob("step-*") if p.is_dir() and not p.suffix)
    if not folders:
        yield run.name, f"{run} holds no checkpoint", False
    for folder in folders:
        state, wrong = checkpoint.examine(folder)
        files = len(state["sha256"]) if state else 0
        yield folder.name, "; ".join(wrong) or f"{files} files are what was saved", not wrong
    try:
        wrong = averages.history(run)
        yield "history", "; ".join(wrong) or f"{len(averages.hashes_of(run))} snapshots are what was saved", not wrong
    except StaleError as e:
        yield "history", f"{e.what} {e.mend}", False
