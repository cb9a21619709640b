"""Whose run a folder is: one training at a time, and the word by which another terminal pauses it.

RUN/lock is held by the first process of a training, with its pid and host in it; RUN/ranks.lock by all of its
processes, so that nobody goes on in a folder into which a left-over rank of a killed training may still write.
The system lets go of both when a process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from stale_diffusion.errors import StaleError
from stale_diffusion.training.ranks import Ranks

LINGER = 15.0  # seconds that children of a killed training may take to notice
_held: list[int] = []


def drop() -> None:
    """In a child process: let go of the parent's locks, which a fork would keep beyond the parent's death."""
    for handle in _held:
        os.close(handle)
    _held.clear()


@contextmanager
def claim(run: Path, ranks: Ranks) -> Iterator[None]:
    """Hold a run's folder; while the first rank prepares, the others wait at `enter`.

    Raises:
        StaleError: another training holds it.
    """
    with ExitStack() as stack:
        error = None
        everyone = stack.enter_context(_open(run / "ranks.lock"))
        if ranks.first:
            try:
                own = stack.enter_context(_open(run / "lock"))
                _take(own, run)
                _take(everyone, run)
                _say_who(own)
                (run / "pause").unlink(missing_ok=True)
            except StaleError as e:
                error = e
        ranks.agree(error)
        yield
        if ranks.first:
            own.truncate(0)


def enter(run: Path, ranks: Ranks) -> None:
    """After what the first rank prepares: wait for it without a time limit, then be one of those who hold the run."""
    if ranks.world > 1:
        fcntl.flock(_held[0], fcntl.LOCK_SH)


@contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    with path.open("a+") as file:
        _held.append(file.fileno())
        try:
            yield file
        finally:
            if file.fileno() in _held:
                _held.remove(file.fileno())


def _take(file: IO[str], run: Path) -> None:
    """An exclusive lock; a holder whose process is gone is waited for."""
    until = time.monotonic() + LINGER
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            who = holder(run)
            gone = who is None or (who["host"] == socket.gethostname() and not _alive(int(who["pid"])))
            if gone and time.monotonic() < until:
                time.sleep(0.05)
                continue
        by = f"By process {who['pid']} on {who['host']}, since {who['since']}." if who else "By another process."
        mend = f"stale-diffusion pause {run}, or give another --run."
        raise StaleError(f"{run} is being trained already.", by, mend)


def _say_who(file: IO[str]) -> None:
    file.truncate(0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
    file.flush()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def holder(run: Path) -> dict[str, str] | None:
    """Who wrote itself into RUN/lock last; None where nobody did."""
    try:
        who = json.loads((run / "lock").read_text())
        return {key: str(who[key]) for key in ("pid", "host", "since")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def busy(run: Path) -> bool:
    """Whether a training holds the folder now."""
    try:
        with (run / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def pause(run: Path, patience: float) -> None:
    """Ask the training in a folder to save and end, and wait until it has.

    Args:
        patience: seconds to wait at most.

    Raises:
        StaleError: nobody trains there, or it has not ended in time; the request then stays.
    """
    if not run.is_dir():
        raise StaleError(f"There is no run {run}.", mend="ls runs", usage=True)
    if not busy(run):
        raise StaleError(f"Nobody trains in {run}.", mend=f"stale-diffusion resume {run} goes on with it.")
    (run / "pause").touch()
    until = time.monotonic() + patience
    while busy(run):
        if time.monotonic() > until:
            why = f"It has not finished its step within {patience:g} seconds; it will pause after it."
            raise StaleError(f"{run} is still running.", why, f"stale-diffusion pause {run} --wait 600")
        time.sleep(0.1)


def asked_to_pause(run: Path) -> bool:
    """Whether somebody has asked for a pause."""
    return (run / "pause").exists()
