"""What a run was begun with and must go on with, lest a resumed run be another one: number type and threads.

A probe may answer otherwise on a busy machine, so its first answer is kept in RUN/run.json.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from stale_diffusion.console import console
from stale_diffusion.errors import StaleError
from stale_diffusion.machine import fastest_type
from stale_diffusion.training.checkpoint import write_text
from stale_diffusion.training.config import Train
from stale_diffusion.training.ranks import Ranks

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Facts:
    """Args: device: "cpu" or "cuda"; dtype: a name of TYPES; threads: of torch, 0 on a GPU; folder: where relative
    paths of the config begin."""

    device: str
    dtype: str
    threads: int
    folder: str


def read_facts(run: Path) -> Facts | None:
    """What RUN/run.json says; None where there is none."""
    path = run / "run.json"
    try:
        facts = Facts(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as e:
        raise StaleError(
            f"{path} is damaged.", str(e), "Delete it: number type and threads are then probed anew."
        ) from e
    if facts.dtype not in TYPES:
        raise StaleError(f"{path} is damaged.", f"There is no number type {facts.dtype!r}.", "Delete it.")
    return facts


def settle(run: Path, train: Train, ranks: Ranks) -> Facts:
    """The facts of a run, kept ones first, the same on every rank; sets torch's threads."""
    facts, error = None, None
    if ranks.first:
        try:
            facts = _settled(run, train, ranks.device.type)
        except StaleError as e:
            error = e
        except OSError as e:
            error = StaleError(f"{run} cannot be written.", str(e), "Check the folder and the disk.")
    ranks.agree(error)
    agreed: Facts = ranks.gather(facts)[0]
    if agreed.threads and agreed.threads != torch.get_num_threads():
        torch.set_num_threads(agreed.threads)
    return agreed


def _settled(run: Path, train: Train, device: str) -> Facts:
    if train.dtype and train.dtype not in TYPES:
        raise StaleError(
            f"There is no number type {train.dtype!r}.", f"dtype is one of {', '.join(TYPES)}.", usage=True
        )
    old = read_facts(run)
    if old is not None and old.device == device and train.dtype in ("", old.dtype):
        return old
    dtype = train.dtype or next(name for name, kind in TYPES.items() if kind == fastest_type(device))
    facts = Facts(device, dtype, torch.get_num_threads() if device == "cpu" else 0, str(Path.cwd()))
    if old is not None:
        said = f"warning: this run went on {old.device} in {old.dtype}, now on {device} in {dtype}: not bit for bit"
        console.print(said, markup=False)
    write_text(run / "run.json", json.dumps(asdict(facts), indent=1))
    return facts
