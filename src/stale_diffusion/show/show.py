"""The show: levels go out on the movie's clock while it plays, zeros whenever it does not.

Shapes: E effects.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import final

from stale_diffusion.errors import StaleError
from stale_diffusion.show.clock import Clock
from stale_diffusion.show.cues import Programme
from stale_diffusion.show.limits import Limiter
from stale_diffusion.show.outputs import Output
from stale_diffusion.show.watchdog import BEAT, Watchdog, be_punctual, silence

REFRESH = 0.9  # seconds after which everything is told again: datagrams get lost, devices are switched on late
AFTER_A_MOVE = 0.05  # the same after a pause or a seek; then twice, four times as long, up to REFRESH


@final
class Show:
    """Sends a programme to its outputs, on a thread of its own, from `__enter__` to `__exit__`.

    Zeros go out on pause, at the end and at the exit; a watchdog process sends them when this one dies. The thread
    sleeps until the next sample, move of the clock, or end of a limit: it does not poll.

    Args:
        clock: the movie's.
        programme: the movie's effects.
        outputs: at least one.
    """

    def __init__(self, clock: Clock, programme: Programme, outputs: Sequence[Output]) -> None:
        self._clock, self._programme, self._outputs = clock, programme, tuple(outputs)
        self._limiters = [Limiter(e) if e.limit_seconds is not None else None for e in programme.effects]
        self._told = [0] * len(programme.effects)
        self._thread = threading.Thread(target=self._guard, name="show", daemon=True)
        self._stop = self._playing = False
        self._down: set[str] = set()  # outputs whose network is down
        self.failure: StaleError | None = None
        self._refresh, self._gap, self._beat = -math.inf, AFTER_A_MOVE, -math.inf

    def __enter__(self) -> Show:
        self._watchdog = Watchdog(self._outputs)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._clock.pause()  # wakes the thread
        self._thread.join()

    def _guard(self) -> None:
        """Whatever happens, zeros are the last thing sent."""
        be_punctual()
        try:
            self._run()
        except StaleError as error:
            self.failure = error
        except Exception as error:
            self.failure = StaleError("The show has stopped.", f"{type(error).__name__}: {error}", "start it again")
        finally:
            silence(self._outputs)
            self._watchdog.dismiss()
            self._clock.pause()
        if self.failure is not None:
            from stale_diffusion.console import show_error

            show_error(self.failure)

    def _run(self) -> None:
        moves = 0
        while not self._stop:
            now = time.monotonic()
            if now >= self._beat:
                self._beat = now + BEAT
                if not self._watchdog.beat():
                    raise StaleError("The watchdog has gone.", "no show without it", "start it again")
            position, playing = self._clock.now()
            if playing != self._playing:  # the end is no move of the clock
                self._playing, self._refresh, self._gap = playing, -math.inf, AFTER_A_MOVE
            heard = self._clock.wait(moves, self._tick(position, playing, now))
            if heard != moves:
                moves, self._refresh, self._gap = heard, -math.inf, AFTER_A_MOVE

    def _tick(self, position: float, playing: bool, now: float) -> float:
        """Send what is new; the seconds to sleep after that."""
        wanted = self._programme.at(position) if playing else [0] * len(self._told)
        due = math.inf
        for i, limiter in enumerate(self._limiters):
            if limiter is not None:
                wanted[i] = limiter(wanted[i], now)
                due = min(due, limiter.due())
        changed = [i for i, level in enumerate(wanted) if level != self._told[i]]
        if now >= self._refresh:
            changed = list(range(len(wanted)))
            self._refresh, self._gap = now + self._gap, min(2 * self._gap, REFRESH)
        self._told = wanted
        waits = [self._refresh, self._beat, due]
        if playing:
            waits.append(now + self._programme.after(position) - position)
        for output in self._outputs:
            self._send(output, changed, now)
            waits.append(now + output.due(now))
        return min(waits) - time.monotonic()

    def _send(self, output: Output, changed: Sequence[int], now: float) -> None:
        try:
            if changed:
                output.send(self._told, changed)
            output.flush(now)
            if changed and output.due(now) == math.inf:  # something went out
                self._down.discard(output.name)
        except BlockingIOError:
            pass  # the network is slower than the show: the next refresh tells
        except OSError as error:  # the refresh goes on trying, and tells everything once it is back
            if output.name not in self._down:
                from stale_diffusion.console import console

                self._down.add(output.name)
                console.print(f"{output.name}: {error.strerror or error}; trying on", markup=False, soft_wrap=True)
