"""The movie's clock: where the playhead stands and whether it moves; one for the page, the show and the timecode."""

from __future__ import annotations

import math
import threading
import time
from typing import final

from stale_diffusion.errors import StaleError


@final
class Clock:
    """A playhead on the monotonic clock, paused at 0 at first; any thread may move it and any thread may read it.

    Args:
        seconds: length of the movie, above 0; the playhead stops there and is paused.

    Raises:
        StaleError: the length is not a positive number.
    """

    def __init__(self, seconds: float) -> None:
        if not (math.isfinite(seconds) and seconds > 0):
            raise StaleError(f"A clock cannot run for {seconds} seconds.", mend="open a movie that has a length")
        self.seconds = float(seconds)
        self._lock = threading.Condition()
        self._moves = 0  # how often somebody moved it
        self._position = 0.0  # where the playhead stood at self._since
        self._since: float | None = None  # monotonic time at which it began to move; None while paused

    def play(self) -> None:
        """Move on from here; at the end, or while it moves already, nothing happens."""
        with self._lock:
            position, playing = self._read()
            if not playing and position < self.seconds:
                self._since = time.monotonic()
                self._moved()

    def pause(self) -> None:
        """Stand still here."""
        with self._lock:
            self._position, _ = self._read()
            self._since = None
            self._moved()

    def seek(self, position: float) -> None:
        """Go to a position in seconds, clamped to the movie; playing goes on if it was playing.

        Raises:
            StaleError: the position is not a number.
        """
        if math.isnan(position):
            raise StaleError("A position must be a number of seconds.", usage=True)
        with self._lock:
            _, playing = self._read()
            self._position = min(max(position, 0.0), self.seconds)
            self._since = time.monotonic() if playing and self._position < self.seconds else None
            self._moved()

    def now(self) -> tuple[float, bool]:
        """(position in seconds, [0, seconds]; whether it moves)."""
        with self._lock:
            return self._read()

    def wait(self, moves: int, timeout: float) -> int:
        """Sleep until somebody plays, pauses or seeks, at most `timeout` seconds, without polling.

        Args:
            moves: what the last call answered, 0 at first; a move since then ends the sleep at once.
            timeout: in seconds; what is negative is none.

        Returns:
            How often the clock has been moved by hand so far (running on and reaching the end are no moves).
        """
        with self._lock:
            self._lock.wait_for(lambda: self._moves != moves, timeout)
            return self._moves

    def _moved(self) -> None:
        self._moves += 1
        self._lock.notify_all()

    def _read(self) -> tuple[float, bool]:
        if self._since is None:
            return self._position, False
        position = self._position + time.monotonic() - self._since
        if position >= self.seconds:
            self._position, self._since = self.seconds, None
            return self.seconds, False
        return position, True
