"""Checkpoints: safetensors and JSON in a folder, written atomically, the last two kept.

RUN/step-000000123/ holds its tensors and state.json, written last, with the sha256 of every file; all of it is written
as step-000000123.part, synchronised, and renamed: a folder without state.json never happened. One process writes
model, average and optimizer.safetensors. Ranks write their own shards through torch.distributed.checkpoint, as
safetensors too (shards/), and the first one the whole average; any number of ranks reads either form.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stale_diffusion.errors import StaleError
from stale_diffusion.training.ranks import Ranks, alike, one, whole

KEPT = 2
Groups = Mapping[str, Mapping[str, Tensor]]


def sync(path: Path) -> None:
    """What was written to a file or a folder is on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """A small file, whole or not at all, whatever happens."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    sync(part)
    part.replace(path)
    sync(path.parent)


def save(run: Path, step: int, groups: Groups, state: Mapping[str, Any], ranks: Ranks | None = None) -> Path:
    """Write a checkpoint of a step; the ones before stay until this one is whole. All ranks must call it.

    Raises:
        StaleError: on every rank, where one could not write.
    """
    ranks = ranks or one()
    final, part = run / f"step-{step:09d}", run / f"step-{step:09d}.part"
    hashes: dict[str, str] = {}
    error: StaleError | None = None
    try:
        if ranks.first:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
    except OSError as e:
        error = _unsaved(run, step, e)
    ranks.agree(error)
    try:
        hashes = _write(part, groups) if ranks.world == 1 else _write_shards(part, groups, ranks)
    except Exception as e:  # whatever it is, the other ranks must hear of it
        error = _unsaved(run, step, e)
    try:
        ranks.agree(error)
        hashes = {name: sha for own in ranks.gather(hashes) for name, sha in own.items()}
        if ranks.first:
            error = _finish(part, final, {"step": step, "sha256": dict(sorted(hashes.items())), **state})
        ranks.agree(error)
    except StaleError:
        if ranks.first:
            shutil.rmtree(part, ignore_errors=True)
        raise
    return final


def _unsaved(run: Path, step: int, error: Exception) -> StaleError:
    if not isinstance(error, OSError | SafetensorError) and type(error).__name__ != "CheckpointException":
        raise error
    why = str(error).splitlines()[0]
    return StaleError(f"Could not save step {step}.", why, f"Free some space for {run}, then resume.")


def _write(part: Path, groups: Groups) -> dict[str, str]:
    for name, tensors in groups.items():
        _write_file(part / f"{name}.safetensors", tensors)
    return {f"{name}.safetensors": digest(part / f"{name}.safetensors") for name in groups}


def _write_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path)
    sync(path)


def _write_shards(part: Path, groups: Groups, ranks: Ranks) -> dict[str, str]:
    """This rank's shards, and on the first one the whole average, which is what models are read from."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save as save_shards

    average = {name: whole(tensor).cpu() for name, tensor in groups["average"].items()}
    flat = {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}
    folder = part / "shards"
    save_shards(flat, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    if ranks.first:
        _write_file(part / "average.safetensors", average)
    own = sorted(folder.glob(f"shard-{ranks.rank + 1:05d}-*"))
    for path in own:
        sync(path)
    hashes = {f"shards/{path.name}": digest(path) for path in own}
    return hashes | ({"average.safetensors": digest(part / "average.safetensors")} if ranks.first else {})


def _finish(part: Path, final: Path, state: dict[str, Any]) -> StaleError | None:
    """The manifest, the rename, and the end of what is older than the last two."""
    try:
        missing = [name for name in state["sha256"] if not (part / name).is_file()]
        if missing:
            raise FileNotFoundError(f"{missing[0]} was not written where the first rank can see it")
        write_text(part / "state.json", json.dumps(state, indent=1))
        if (part / "shards").is_dir():
            sync(part / "shards")
        shutil.rmtree(final, ignore_errors=True)
        os.replace(part, final)
        sync(final.parent)
        for old in steps(final.parent)[:-KEPT]:
            shutil.rmtree(old)
    except OSError as e:
        return _unsaved(final.parent, state["step"], e)
    return None


def steps(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, sound or not."""
    return sorted(p for p in run.glob("step-*") if not p.suffix and (p / "state.json").is_file())


def examine(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The state of a checkpoint, and what is wrong with it: one line a file whose bytes are not what was saved."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
        hashes = dict(state["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        return None, [f"state.json: {e}"]
    wrong = []
    for name, sha in hashes.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif digest(path) != sha:
            wrong.append(f"{name} is not what was saved")
    return state, wrong


def newest(run: Path) -> tuple[Path | None, dict[str, Any], list[Path]]:
    """The newest whole checkpoint, its state, and the damaged ones that are newer."""
    damaged: list[Path] = []
    for folder in reversed(steps(run)):
        state, wrong = examine(folder)
        if state is not None and not wrong:
            return folder, state, damaged
        damaged.append(folder)
    return None, {}, damaged


def latest(run: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]], list[Path]] | None:
    """The newest whole checkpoint: its state, its tensors, and the damaged ones that were passed over."""
    folder, state, damaged = newest(run)
    return None if folder is None else (state, tensors_of(folder, state), damaged)


def tensors_of(folder: Path, state: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """All tensors of a checkpoint, whole, {group: {name: tensor}}, in whichever form they were written."""
    if not (folder / "shards").is_dir():
        return {Path(name).stem: load_file(folder / name) for name in state["sha256"]}
    found = {name: torch.zeros(m.size, dtype=m.properties.dtype) for name, m in _metadata(folder).items()}
    _load(folder, found, alone=True)
    return _grouped(found)


def fill(folder: Path, state: Mapping[str, Any], targets: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint as this rank holds them: in shards like `targets` where they are sharded.

    Args:
        targets: {group/name: a tensor of the same size}; what is not in it is read whole.
    """
    if not (folder / "shards").is_dir():
        read = {f"{g}/{n}": t for g, tensors in tensors_of(folder, state).items() for n, t in tensors.items()}
        return _grouped({name: alike(t, targets[name]) if name in targets else t for name, t in read.items()})
    found = {
        name: torch.zeros_like(targets[name], dtype=m.properties.dtype)
        if name in targets
        else torch.zeros(m.size, dtype=m.properties.dtype)
        for name, m in _metadata(folder).items()
    }
    _load(folder, found, alone=not torch.distributed.is_initialized())
    return _grouped(found)


def _metadata(folder: Path) -> dict[str, Any]:
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    return dict(HuggingFaceStorageReader(str(folder / "shards")).read_metadata().state_dict_metadata)


def _load(folder: Path, into: dict[str, Tensor], *, alone: bool) -> None:
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that one process is one process
        load(into, storage_reader=HuggingFaceStorageReader(str(folder / "shards")), no_dist=alone)


def _grouped(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for full, tensor in flat.items():
        group, _, name = full.partition("/")
        groups.setdefault(group, {})[name] = tensor
    return groups


def differences(one_run: Path, other: Path) -> list[str]:
    """In what the newest whole checkpoints of two runs differ, bit by bit and in whichever form they were written:
    step, data order, and every tensor of model, averages, optimisers and random states. Empty: in nothing.

    Raises:
        StaleError: one of them has no whole checkpoint; that is no difference, and no identity either.
    """
    found = []
    for run in (one_run, other):
        last = latest(run)
        if last is None:
            raise StaleError(f"{run} has no whole checkpoint to compare.")
        found.append(last)
    (state, tensors, _), (state2, tensors2, _) = found
    pairs = [(key, state.get(key), state2.get(key)) for key in ("step", "order")]
    out = [f"{key}: {a} and {b}" for key, a, b in pairs if a != b]
    ours, theirs = ({f"{g}/{n}": t for g, ts in both.items() for n, t in ts.items()} for both in (tensors, tensors2))
    out += [f"{name}: only in one" for name in sorted(ours.keys() ^ theirs.keys())]
    shared = sorted(ours.keys() & theirs.keys())
    return out + [f"{name}: other bits" for name in shared if not same(ours[name], theirs[name])]


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same bits, NaNs included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8))


def fingerprint(state: Mapping[str, Any], tensors: Groups) -> str:
    """sha256 of all that `differences` looks at."""
    hashed = hashlib.sha256(json.dumps([state["step"], state.get("order")]).encode())
    for group in sorted(tensors):
        for name in sorted(tensors[group]):
            t = tensors[group][name]
            hashed.update(f"{group}/{name} {t.dtype} {tuple(t.shape)}".encode())
            hashed.update(t.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def flatten(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of optimisers as named tensors: optimiser.parameter.entry."""
    return {
        f"{name}.{i}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, optimizer in optimizers.items()
        for i, entries in optimizer.state_dict()["state"].items()
        for key, value in entries.items()
    }


def unflatten(optimizers: Mapping[str, torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Put what `flatten` gave back into optimisers of the same parameters."""
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for full, value in tensors.items():
            owner, index, key = full.split(".", 2)
            if owner == name:
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def set_aside(damaged: Iterable[Path]) -> None:
    """Rename damaged checkpoints, so that they neither count among the kept ones nor stand in the way."""
    for folder in damaged:
        target = folder.with_name(folder.name + ".damaged")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(folder, target)
