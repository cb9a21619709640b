"""Checkpoints: safetensors and JSON in a folder, written atomically, the last two kept.

RUN/step-000000123/ holds model, average and optimiser tensors, and state.json with their hashes, which is written
last: a folder without it never happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stale_diffusion.errors import StaleError

KEPT = 2


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(run: Path, step: int, groups: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """Write a checkpoint of a step; the one before stays until this one is whole."""
    run.mkdir(parents=True, exist_ok=True)
    final, part = run / f"step-{step:09d}", run / f"step-{step:09d}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        for name, tensors in groups.items():
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, part / f"{name}.safetensors")
            _sync(part / f"{name}.safetensors")
        hashes = {f"{name}.safetensors": digest(part / f"{name}.safetensors") for name in groups}
        (part / "state.json").write_text(json.dumps({"step": step, "sha256": hashes, **state}, indent=1))
        _sync(part / "state.json")
    except OSError as e:
        shutil.rmtree(part, ignore_errors=True)
        raise StaleError(f"Could not save step {step}.", str(e), f"Free some space for {run}, then resume.") from e
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)
    _sync(run)
    for old in _steps(run)[:-KEPT]:
        shutil.rmtree(old)
    return final


def _steps(run: Path) -> list[Path]:
    return sorted(p for p in run.glob("step-*") if p.suffix != ".part" and (p / "state.json").is_file())


def _whole(folder: Path) -> dict[str, Any] | None:
    """The state of a checkpoint whose files are what their hashes say, or None."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
        sound = all(digest(folder / name) == sha for name, sha in state["sha256"].items())
    except (OSError, ValueError, KeyError):
        return None
    return state if sound else None


def latest(run: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]], list[Path]] | None:
    """The newest whole checkpoint: its state, its tensors, and the damaged ones that were passed over."""
    damaged: list[Path] = []
    for folder in reversed(_steps(run)):
        state = _whole(folder)
        if state is not None:
            tensors = {Path(name).stem: load_file(folder / name) for name in state["sha256"]}
            return state, tensors, damaged
        damaged.append(folder)
    return None


def flatten(optimizers: dict[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of optimisers as named tensors: optimiser.parameter.entry."""
    return {
        f"{name}.{i}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, optimizer in optimizers.items()
        for i, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
    }


def unflatten(optimizers: dict[str, torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put what `flatten` gave back into optimisers of the same parameters."""
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for full, value in tensors.items():
            owner, index, key = full.split(".", 2)
            if owner == name:
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
