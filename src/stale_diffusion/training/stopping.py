"""Being told to stop: SIGTERM and Ctrl-C save within seconds, however long a step takes.

A step is left to end if it does so in GRACE seconds. If not, a second thread saves what was there before the step
began, which no step touches until it updates the weights, and ends the process.
(Ranks must agree on a step: they end theirs.)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GRACE = 2.0


class Stop:
    """What the training asks after each step.

    Args:
        rescue: saves what can be saved while a step runs; None until there is something to save.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.rescue: Callable[[], None] | None = None
        self._over = threading.Event()

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Heed SIGINT and SIGTERM while this lasts."""
        ours, wake = os.pipe()
        os.set_blocking(wake, False)
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._hear) for number in signals}
        woken = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        watcher = threading.Thread(target=self._watch, args=(ours,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.write(wake, b"\0")  # to close it is not enough: a forked child may hold it open, too
            watcher.join()
            os.close(wake)
            os.close(ours)

    def _hear(self, number: int, _: object) -> None:
        first, self.number = self.number is None, number
        if self.rescue is None and first:  # nothing has been learnt yet
            raise SystemExit(128 + number)

    def _watch(self, pipe: int) -> None:
        """The byte comes from the interpreter's own handler, at once, also while the main thread is deep in torch."""
        heard = os.read(pipe, 1)
        if not heard or self._over.wait(GRACE):
            return
        status = 128 + heard[0]
        try:
            if self.rescue is not None:
                self.rescue()
        except BaseException as e:
            os.write(2, f"error {e}\n".encode())
            status = 1
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(status)
