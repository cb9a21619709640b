"""The page moves the clock; where the page falls silent, the clock stands still."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from stale_diffusion.errors import StaleError

if TYPE_CHECKING:
    from stale_diffusion.show.clock import Clock

SILENCE = 3.0
DRIFT = 0.06  # seconds between page and clock that are left alone: less than network and timers are off by
ACTIONS = ("play", "pause", "seek", "beat")


class Transport:
    """Carries out what the page says: play, pause, seek, and every second that it still plays (beat).

    Args:
        clock: what devices follow; None: nothing follows.
        silence: seconds without a word of a page that plays after which it is taken to be gone.
    """

    def __init__(self, clock: Clock | None, silence: float = SILENCE) -> None:
        self.clock, self.silence = clock, silence
        self._heard = 0.0

    def tell(self, action: str, position: float) -> None:
        """What the page did, and where its playhead is.

        Raises:
            StaleError: the action is unknown or the position is no time.
        """
        if action not in ACTIONS or not math.isfinite(position) or position < 0:
            raise StaleError("This is no order to the clock.", f"orders are {', '.join(ACTIONS)}", usage=True)
        self._heard = time.monotonic()
        if self.clock is None:
            return
        now, playing = self.clock.now()
        if action == "pause":
            self.clock.pause()
        if action in ("pause", "seek") or abs(now - position) > DRIFT:
            self.clock.seek(position)
        if action in ("play", "beat") and not playing:
            self.clock.play()

    async def watch(self) -> None:
        """Pause the clock where a page that played has fallen silent; runs until it is cancelled."""
        while True:
            await asyncio.sleep(self.silence / 12)
            if self.clock is not None and self.clock.now()[1] and time.monotonic() - self._heard > self.silence:
                self.clock.pause()
