"""What all tests share, and what they must not leave behind."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests run side by side, a process a core: two of several threads each would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A suite that runs in the background (`make test &`) is started with SIGINT ignored, and so would be all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The key that marks and signs is made in a folder of the tests' own, not in the user's.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="stale-diffusion-tests-")

END = 60.0  # seconds that the interpreter may take to end after the last test


def left_behind() -> list[str]:
    """Threads that hold up the interpreter's end, and processes that the tests started, if they still live."""
    threads = [f"thread {t.name}" for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    multiprocessing.active_children()  # buries its dead
    processes = []
    for pid in [p for task in Path("/proc/self/task").glob("*/children") for p in task.read_text().split()]:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        # a decoder's child is kept for the next clip on purpose, and ended at exit
        if (
            command
            and "multiprocessing.resource_tracker" not in command
            and "stale_diffusion.clips.safe" not in command
        ):
            processes.append(f"process {pid}: {command[:200]}")
    return threads + processes


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Whoever leaves a thread or a process behind has failed: a user's program would not end either."""
    yield
    until = time.monotonic() + 5
    while (left := left_behind()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """An interpreter that does not end shows where it stands, and is ended."""
    faulthandler.dump_traceback_later(END, exit=True, file=sys.__stderr__)
