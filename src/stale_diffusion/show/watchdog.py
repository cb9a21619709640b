"""The watchdog: a process of its own that puts every effect to zero when the player dies, hangs or is stopped.

Its standard input says on the first line which outputs there are, then a byte now and then that the player lives, and
`q` that it has left things in order. The end of the input without that, or two seconds of silence, sends the zeros.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import final

from stale_diffusion.errors import StaleError
from stale_diffusion.show.outputs import Output, from_spec

BEAT = 0.25  # seconds between signs of life
PATIENCE = 2.0  # seconds of silence after which the player counts as hanging
START = 60.0  # seconds that a busy machine may take to start the process
REPEATS = (0.0, 0.1, 0.4)  # seconds: datagrams get lost


@final
class Watchdog:
    """The player's end: starts the process and shows it that the player lives.

    Raises:
        StaleError: it did not start.
    """

    def __init__(self, outputs: Sequence[Output]) -> None:
        command = [sys.executable, "-P", "-m", "stale_diffusion.show.watchdog"]
        # a session of its own: Ctrl-C and a closed terminal, which end the player, are not meant for it
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._pipe = self._process.stdin.fileno()
        config = json.dumps([output.spec() for output in outputs])
        with contextlib.suppress(OSError):  # then the answer is missing
            os.write(self._pipe, config.encode() + b"\n")
        ready, _, _ = select.select([self._process.stdout], [], [], START)
        if not ready or self._process.stdout.read(1) != b"r":
            self._process.kill()
            raise StaleError("The watchdog did not start.", "no show without it", f"look at: {' '.join(command)}")
        os.set_blocking(self._pipe, False)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def beat(self) -> bool:
        """Give a sign of life; false where the watchdog is no longer there to see it."""
        try:
            os.write(self._pipe, b".")
        except BlockingIOError:  # 64 kB of signs unread
            return self._process.poll() is None
        except OSError:
            return False
        return True

    def dismiss(self) -> None:
        """The player has sent the zeros itself: let the watchdog go."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"q")
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def silence(outputs: Sequence[Output]) -> None:
    """Zeros to every output, several times, whatever fails meanwhile; then goodbye."""
    started = time.monotonic()
    for delay in REPEATS:
        time.sleep(max(0.0, started + delay - time.monotonic()))
        for output in outputs:
            with contextlib.suppress(OSError):
                output.zero()
    for output in outputs:
        with contextlib.suppress(OSError):
            output.close()


def be_punctual() -> None:
    """Ask the system to wake this thread before others, as audio programs do; where it says no, as often, be it so."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def main() -> None:
    """Watch standard input until it ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    be_punctual()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda n, _: stopped.append(n))
    config = b""
    while not config.endswith(b"\n"):
        piece = os.read(0, 2**16)
        if not piece:
            return  # the player died before anything was sent
        config += piece
    outputs = [from_spec(spec) for spec in json.loads(config)]
    os.write(1, b"r")
    while not stopped:
        ready, _, _ = select.select([0], [], [], PATIENCE)
        said = os.read(0, 2**16) if ready else b""
        if b"q" in said:
            return
        if not said:
            break
    silence(outputs)
    with contextlib.suppress(OSError):  # the terminal may be gone as well
        print("The player does not answer: the watchdog has put every effect to zero.", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
