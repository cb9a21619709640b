"""Stale weights out of 18-month-old Git commit histories: which models a repository ever held, how old, and what a span
of them averages to.

Only Git's object store is read; nothing of the repository is checked out or run.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from stale_diffusion.errors import StaleError

LARGEST = 4 * 2**30
_GIT = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never")


@dataclass(frozen=True)
class Find:
    """Args: commit, date: when it was committed; path; blob; size: bytes; days: its age now; parameters: 0 where it is
    a pointer to Git LFS, whose content Git does not hold."""

    commit: str
    date: datetime
    path: str
    blob: str
    size: int
    days: float
    parameters: int


def _git(repo: Path, *args: str, limit: int = LARGEST) -> bytes:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    try:
        done = subprocess.run(["git", *_GIT, "-C", str(repo), *args], capture_output=True, check=False, env=environment)
    except FileNotFoundError as e:
        raise StaleError("Git is not installed.", mend="sudo apt install git") from e
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise StaleError(f"Git cannot read {repo}.", why[-1] if why else "", "Name a Git repository.", usage=True)
    return done.stdout[:limit]


def excavate(repo: Path, before: str = "now") -> list[Find]:
    """All models (safetensors with a network's shape in the header) that a history ever held, newest first.

    Args:
        before: as Git reads dates, "18 months ago" or "2024-05-01"; commits of that time or later are left out.
    """
    log = _git(repo, "log", "--all", f"--before={before}", "--format=%x01%H %ct", "--raw", "--no-abbrev", "-z",
               "--no-renames", "--no-ext-diff", "--no-textconv", "--diff-filter=AM", "--", "*.safetensors")  # fmt: skip
    found: dict[tuple[str, str], Find] = {}
    for record in log.split(b"\x01")[1:]:
        fields = record.decode("utf-8", "replace").split("\0")
        commit, stamp = fields[0].split()
        date = datetime.fromtimestamp(int(stamp), UTC)
        rows = [f.strip() for f in fields[1:] if f.strip()]
        for row, path in zip(rows[::2], rows[1::2], strict=False):
            blob = row.split()[3]
            size = int(_git(repo, "cat-file", "-s", blob))
            if (path, blob) not in found and size <= LARGEST and (about := _about(repo, blob)) is not None:
                days = (datetime.now(UTC) - date).total_seconds() / 86400
                found[path, blob] = Find(commit, date, path, blob, size, days, about)
    return list(found.values())


def _about(repo: Path, blob: str) -> int | None:
    """How many parameters a blob has; None where it is no model of this program."""
    data = _git(repo, "cat-file", "blob", blob)
    if data.startswith(b"version https://git-lfs"):
        return 0
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        json.loads(header["__metadata__"]["shape"])
        sizes = [e["shape"] for name, e in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError):
        return None
    return sum(int(torch.tensor(s).prod()) if s else 1 for s in sizes)


def read(repo: Path, find: Find) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the shape of a find."""
    if not find.parameters:
        raise StaleError(f"{find.path} of {find.commit[:10]} is in Git LFS.", mend=f"git -C {repo} lfs fetch --all")
    data = _git(repo, "cat-file", "blob", find.blob)
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return load(data), json.loads(header["__metadata__"]["shape"])
    except (SafetensorError, ValueError, KeyError) as e:
        raise StaleError(f"{find.path} of {find.commit[:10]} is damaged.", str(e)) from e


def average(repo: Path, finds: Sequence[Find]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The mean of some finds of one shape; of the newest one's shape, if they differ, the others are left out."""
    if not finds:
        raise StaleError("There is nothing to average.", mend="Ask for a later --before.", usage=True)
    first, shape = read(repo, finds[0])
    total, count = {n: t.double() for n, t in first.items()}, 1
    for find in finds[1:]:
        tensors, other = read(repo, find)
        if other == shape:
            count += 1
            for name, t in tensors.items():
                total[name] += t.double()
    return {n: (t / count).float() for n, t in total.items()}, shape
