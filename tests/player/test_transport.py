"""The clock follows the page, and stands still where the page falls silent."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.player.transport import DRIFT, Transport
from stale_diffusion.show.clock import Clock


def test_play_pause_seek_and_beat() -> None:
    clock = Clock(60)
    transport = Transport(clock)
    transport.tell("play", 10.0)
    assert clock.now()[1] and 10.0 <= clock.now()[0] < 12
    transport.tell("seek", 30.0)
    assert clock.now()[1] and 30.0 <= clock.now()[0] < 32
    transport.tell("pause", 31.5)
    assert clock.now() == (31.5, False)
    transport.tell("beat", 31.5)  # a page that was taken to be gone is there again
    assert clock.now()[1]


def test_a_beat_corrects_what_can_be_noticed_and_no_less() -> None:
    clock = Clock(60)
    transport = Transport(clock)
    transport.tell("play", 0.0)
    clock.pause()
    clock.seek(20.0)
    transport.tell("beat", 20.0 + DRIFT / 2)
    assert clock.now()[0] < 20.0 + DRIFT / 2  # not moved: it only began to run
    transport.tell("beat", 40.0)
    assert clock.now()[0] >= 40.0


def test_a_page_that_falls_silent_stops_the_clock() -> None:
    clock = Clock(60)
    transport = Transport(clock, silence=0.12)

    async def play_and_vanish() -> None:
        watch = asyncio.create_task(transport.watch())
        transport.tell("play", 0.0)
        while clock.now()[1]:
            await asyncio.sleep(0.01)
        watch.cancel()

    with ThreadPoolExecutor(1) as pool:  # a browser of another test keeps a loop running in this thread
        pool.submit(asyncio.run, asyncio.wait_for(play_and_vanish(), 20)).result()
    assert clock.now()[0] >= 0.12


@pytest.mark.parametrize(
    ("action", "position"), [("stop", 0), ("play", -1), ("play", float("nan")), ("play", float("inf"))]
)
def test_nonsense_is_refused(action: str, position: float) -> None:
    with pytest.raises(StaleError):
        Transport(Clock(1)).tell(action, position)
