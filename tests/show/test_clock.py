"""The clock stands, moves, is clamped, ends paused, and may be used from many threads."""

import math
import threading
import time

import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.show.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> tuple[Clock, list[float]]:
    """A clock and the monotonic time it reads, to be set."""
    time_now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: time_now[0])
    return Clock(10), time_now


def test_it_stands_moves_and_stands(clock: tuple[Clock, list[float]]) -> None:
    c, t = clock
    t[0] += 3
    assert c.now() == (0, False)
    c.play()
    t[0] += 3
    assert c.now() == (3, True)
    c.play()  # playing already: no jump
    t[0] += 1
    c.pause()
    t[0] += 5
    assert c.now() == (4, False)
    c.play()
    t[0] += 1
    assert c.now() == (5, True)


def test_a_seek_keeps_on_playing_and_is_clamped(clock: tuple[Clock, list[float]]) -> None:
    c, t = clock
    c.seek(4)
    assert c.now() == (4, False)
    c.play()
    c.seek(-2)
    t[0] += 1
    assert c.now() == (1, True)
    c.seek(1e9)
    assert c.now() == (10, False)
    c.seek(math.inf)
    assert c.now() == (10, False)


def test_it_ends_paused_at_its_length(clock: tuple[Clock, list[float]]) -> None:
    c, t = clock
    c.play()
    t[0] += 60
    assert c.now() == (10, False)
    c.play()  # at the end there is nowhere to go
    t[0] += 1
    assert c.now() == (10, False)
    c.seek(9)
    assert c.now() == (9, False)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_clock_needs_a_length(seconds: float) -> None:
    with pytest.raises(StaleError, match="clock"):
        Clock(seconds)


def test_a_seek_needs_a_number() -> None:
    with pytest.raises(StaleError, match="number"):
        Clock(1).seek(math.nan)


def test_many_threads_may_move_it() -> None:
    c = Clock(5)
    stop = threading.Event()
    wrong = []

    def move(i: int) -> None:
        while not stop.is_set():
            (c.play, c.pause, lambda: c.seek(float(i)))[i]()

    threads = [threading.Thread(target=move, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        position, _ = c.now()
        if not 0 <= position <= 5:
            wrong.append(position)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_sleeper_wakes_at_every_move_and_only_then() -> None:
    c = Clock(5)
    assert c.wait(0, 0.001) == 0  # nobody moved it
    for count, move in enumerate((c.play, lambda: c.seek(1), c.pause), 1):
        thread = threading.Timer(0.02, move)
        thread.start()
        assert c.wait(count - 1, 60) == count
    assert c.wait(0, 60) == 3  # a move that was missed does not let it sleep
