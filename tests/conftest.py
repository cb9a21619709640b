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
DECODER = "stale_diffusion.clips.safe"


def read(path: Path) -> str:
    """What the kernel says, or nothing of a thread or process that has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def left_behind() -> list[str]:
    """Threads that hold up the interpreter's end, and processes that the tests started, if they still live."""
    threads = [f"thread {t.name}" for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    multiprocessing.active_children()  # buries its dead
    processes = []
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in read(children).split():
            command = read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()
            # a decoder's child is kept for the next clip on purpose, and ended at exit
            if command and not any(name in command for name in ("multiprocessing.resource_tracker", DECODER)):
                processes.append(f"process {pid}: {command[:200]}")
    return threads + processes


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Whoever leaves a thread or a process behind has failed: a user's program would not end either."""
    yield
    until = time.monotonic() + 20
    while (left := left_behind()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left, f"left behind: {left}"


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """An interpreter that does not end shows where it stands, and is ended."""
    faulthandler.dump_traceback_later(END, exit=True, file=sys.__stderr__)
