"""Power-function averages of the weights, and the thin history from which any other is rebuilt (EDM2, Karras 2024).

The average of length s weighs the weights of step t by t^g, where g follows from s, the standard deviation of the
profile as a share of the run. Two are kept all along; snapshots of both are a basis in which the profile of any other
length is solved for by least squares (EDM2, Algorithm 3).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stale_diffusion.errors import StaleError
from stale_diffusion.training import checkpoint

BASIS: Mapping[str, float] = {"short": 0.05, "long": 0.10}
LONGEST = 0.28  # beyond 1 / sqrt(12) = .289, a flat profile, there is none


def power(length: float) -> float:
    """The exponent g of the average of a length, share of the run (EDM2, eq. 126).

    Raises:
        StaleError: the length is not within 0 and .28.
    """
    if not 0 < length <= LONGEST:
        why = f"It is a share of the run above 0 and at most {LONGEST}, where nearly all steps weigh the same."
        raise StaleError(f"There is no average of length {length:g}.", why, "--length 0.1", usage=True)
    roots = np.roots([1, 7, 16 - length**-2, 12 - length**-2])
    return float(roots.real.max())


@torch.no_grad()
def blend(mean: Mapping[str, Tensor], weights: Mapping[str, Tensor], step: int, length: float) -> None:
    """Take the weights after step number `step` (0 the first) into an average, in place."""
    beta = (1 - 1 / (step + 1)) ** (power(length) + 1)
    for name, w in weights.items():
        mean[name].lerp_(w.float(), 1 - beta)


@dataclass(frozen=True)
class Snapshot:
    """Args: step: after so many steps; kind: of BASIS; path, prefix: where its tensors are."""

    step: int
    kind: str
    path: Path
    prefix: str


def keep(run: Path, step: int, means: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Add a snapshot of the basis, {kind: {name: tensor}}, to RUN/history, in float16, with its hash."""
    folder = run / "history"
    path = folder / f"step-{step:09d}.safetensors"
    part = path.with_name(path.name + ".part")
    try:
        folder.mkdir(exist_ok=True)
        half = {f"{k}/{n}": t.to(torch.float16).contiguous() for k, mean in means.items() for n, t in mean.items()}
        save_file(half, part)
        checkpoint.sync(part)
        hashes = hashes_of(run) | {path.name: checkpoint.digest(part)}
        part.replace(path)
        checkpoint.write_text(folder / "sha256.json", json.dumps(hashes, indent=1, sort_keys=True))
    except Exception as e:
        part.unlink(missing_ok=True)
        raise StaleError(f"Could not keep the averages of step {step}.", str(e), f"Free some space for {run}.") from e


def hashes_of(run: Path) -> dict[str, str]:
    """sha256 of the snapshots of a run, by file name."""
    path = run / "history/sha256.json"
    try:
        return {str(k): str(v) for k, v in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as e:
        raise StaleError(f"{path} is damaged.", str(e), "Delete it: unchecked snapshots are not used.") from e


def history(run: Path) -> list[str]:
    """What is wrong with a run's snapshots, one line a file."""
    found = hashes_of(run)
    return [
        f"history/{name} is not what was saved"
        for name, sha in found.items()
        if not (run / "history" / name).is_file() or checkpoint.digest(run / "history" / name) != sha
    ]


def rebuild(run: Path, length: float) -> tuple[dict[str, Tensor], dict[str, Any], float]:
    """The average of a length at the newest whole checkpoint, from the history.

    Returns:
        The weights; the checkpoint's state; and how well the profile is met: the norm of what is missing as a share of
        the profile's own, 0 at best.

    Raises:
        StaleError: the run has no history.
    """
    g = power(length)
    folder, state, _ = checkpoint.newest(run)
    if folder is None:
        raise StaleError(f"{run} has no whole checkpoint.", mend="ls runs", usage=True)
    last = checkpoint.tensors_of(folder, state)
    if not BASIS.keys() <= last.keys():
        raise StaleError(f"{run} keeps no history.", "Its config says history = 0, or it is of an older version.")
    step = int(state["step"])
    wrong = {line.split("/")[1].split()[0] for line in history(run)}
    shots = [
        Snapshot(int(name[5:14]), kind, run / "history" / name, kind)
        for name in sorted(hashes_of(run).keys() - wrong)
        for kind in BASIS
        if int(name[5:14]) < step
    ]
    times = [float(s.step) for s in shots] + [float(step)] * len(BASIS)
    powers = [power(BASIS[s.kind]) for s in shots] + [power(x) for x in BASIS.values()]
    weights, missing = solve(times, powers, float(step), g)
    total = {n: torch.zeros_like(t, dtype=torch.float64) for n, t in last["average"].items()}
    for weight, shot in zip(weights, shots, strict=False):
        for name, t in load_file(shot.path).items():
            kind, _, own = name.partition("/")
            if kind == shot.kind:
                total[own] += weight * t.double()
    for weight, kind in zip(weights[len(shots) :], BASIS, strict=True):
        for name, t in last[kind].items():
            total[name] += weight * t.double()
    return {n: t.float() for n, t in total.items()}, state, missing


def solve(times: list[float], powers: list[float], time: float, g: float) -> tuple[list[float], float]:
    """The weights of some profiles (t / T_i)^g_i whose sum is nearest to that of g at `time`, and what is missing."""
    t_i, g_i = np.array(times), np.array(powers)
    inner = _product(t_i[:, None], g_i[:, None], t_i[None], g_i[None])
    against = _product(t_i, g_i, np.array(time), np.array(g))
    own = float(_product(np.array(time), np.array(g), np.array(time), np.array(g)))
    # The profiles nearly depend on each other; a pseudo-inverse keeps float16's rounding from being blown up.
    weights = np.linalg.lstsq(inner, against, rcond=1e-9)[0]
    rest = own - 2 * weights @ against + weights @ inner @ weights
    return weights.tolist(), float(np.sqrt(max(rest, 0.0) / own))


def _product(t_a: Any, g_a: Any, t_b: Any, g_b: Any) -> Any:
    """The inner product of two profiles, each normalised to sum 1 over its own time (EDM2, Algorithm 3)."""
    ratio = t_a / t_b
    exponent = np.where(t_a < t_b, g_b, -g_a)
    return (g_a + 1) * (g_b + 1) * ratio**exponent / ((g_a + g_b + 1) * np.maximum(t_a, t_b))
