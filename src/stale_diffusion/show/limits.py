"""How long an effect may stay on: a hard limit that no seek, no pause and no flicker gets round."""

from __future__ import annotations

import math
from typing import final

from stale_diffusion.show.patch import FULL, Effect


@final
class Limiter:
    """Time at level of one effect, counted in the time of the room, not of the movie.

    Time above the effect's `limit_above` adds up to `limit_seconds`; then it rests, held at `limit_above`, until
    `rest_seconds` have passed. Time below takes off what has added up, as fast as a whole rest takes off a whole
    stretch: going off for a moment does not buy a new stretch.
    """

    def __init__(self, effect: Effect) -> None:
        self._cap = math.floor(FULL * effect.limit_above + 1e-9)
        self._most, self._rest = effect.limit_seconds or math.inf, effect.rest_seconds
        self._used = 0.0
        self._resting = False
        self._level = 0
        self._time = -math.inf

    def __call__(self, wanted: int, now: float) -> int:
        """The level (0 to 255) that may be given at `now` (seconds, never going back) where `wanted` is wanted."""
        self._pass(now)
        self._level = min(wanted, self._cap) if self._resting else wanted
        return self._level

    def due(self) -> float:
        """The time at which another call would answer otherwise to the same wish; infinity where it would not."""
        if self._level > self._cap:
            return self._time + self._most - self._used
        return self._time + self._used * self._rest / self._most if self._resting else math.inf

    def _pass(self, now: float) -> None:
        passed, self._time = (now - self._time if self._time > -math.inf else 0.0), now
        if math.isinf(self._most):
            return
        if self._level > self._cap:
            self._used = min(self._used + passed, self._most)
            self._resting = self._resting or self._used >= self._most - 1e-9
        elif self._used:
            self._used = max(0.0, self._used - passed * self._most / self._rest)
            if self._used < 1e-9:
                self._used, self._resting = 0.0, False
