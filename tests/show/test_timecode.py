"""MIDI timecode over a real port (mido's, over TCP on loopback): what goes out, and a clock that follows."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from mido import Message
from mido.sockets import PortServer

from conftest import HOST, soon
from stale_diffusion.errors import StaleError
from stale_diffusion.show.clock import Clock
from stale_diffusion.show.timecode import Follower, Leader, open_port, rate_of, to_fields, to_seconds


@pytest.fixture
def ports() -> Iterator[tuple[Any, Any]]:
    """Two ends of one MIDI connection."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        number = s.getsockname()[1]
    server = PortServer(HOST, number)
    near = open_port(f"{HOST}:{number}", "out")
    far = server.accept()
    yield near, far
    near.close()
    far.close()
    server.close()


def test_rates() -> None:
    assert [rate_of(f) for f in (Fraction(24), Fraction(25), Fraction(30), Fraction(60), None)] == [0, 1, 3, 3, 3]
    assert rate_of(Fraction(30000, 1001)) == rate_of(Fraction(24000, 1001)) == 3  # real time, not the film's


@pytest.mark.parametrize("kind", [0, 1, 3])
def test_a_timecode_and_back(kind: int) -> None:
    for frames in (0, 1, 23, 24, 25, 29, 30, 1799, 107892, 23 * 3600 * 24):
        assert to_seconds(*to_fields(frames, kind), kind) == pytest.approx(frames / (24, 25, 0, 30)[kind])


def test_drop_frame() -> None:
    assert to_seconds(0, 1, 0, 2, 2) == pytest.approx(1800 / 30 * 1.001)  # numbers 0 and 1 are left out each minute
    assert to_seconds(0, 10, 0, 0, 2) == pytest.approx(600, abs=0.002)  # but not each tenth
    assert to_seconds(1, 0, 0, 0, 2) == pytest.approx(3600, abs=0.005)


def decoded(messages: list[Message]) -> list[tuple[int, float]]:
    """(index of the last message, seconds when the first was sent) of every eight quarter frames in order."""
    found, pieces = [], []
    for i, m in enumerate(messages):
        if m.type != "quarter_frame":
            pieces = []
            continue
        pieces = [*pieces, m.frame_value] if m.frame_type == len(pieces) else []
        if len(pieces) == 8:
            frame, second, minute, hour = (pieces[j] | pieces[j + 1] << 4 for j in (0, 2, 4, 6))
            found.append((i, to_seconds(hour & 31, minute, second, frame, hour >> 5)))
            pieces = []
    return found


def test_it_leads(ports: tuple[Any, Any]) -> None:
    near, far = ports
    clock, heard = Clock(7200), []

    def listen(until: Any) -> bool:
        heard.extend((time.monotonic(), clock.now()[0], m) for m in far.iter_pending())
        return bool(until())

    clock.seek(3661.5)
    with Leader(clock, near, 1):
        clock.play()
        assert soon(lambda: listen(lambda: len(heard) > 60))
        clock.seek(30)
        assert soon(lambda: listen(lambda: len(heard) > 120))
        clock.pause()
        stands = clock.now()[0]
        assert soon(lambda: listen(lambda: heard[-1][2].type == "sysex"))
        count = len(heard)
        time.sleep(0.3)
        listen(lambda: False)
        assert len(heard) == count  # paused, nothing is sent
    messages = [m for _, _, m in heard]
    full = [(i, m) for i, m in enumerate(messages) if m.type == "sysex"]
    assert tuple(full[0][1].data) == (127, 127, 1, 1, 1 << 5 | 1, 1, 1, 12)  # 01:01:01:12 at 25
    assert tuple(full[-2][1].data) == (127, 127, 1, 1, 1 << 5, 0, 30, 0)
    last = full[-1][1].data
    assert to_seconds(last[4] & 31, *last[5:], 1) == pytest.approx(stands, abs=0.04)
    assert all(m.frame_type == (n % 8) for n, m in enumerate(messages[full[-2][0] + 1 : full[-1][0]]))
    late = [clock_then - said - 1.75 / 25 for i, said in decoded(messages) for clock_then in (heard[i][1],)]
    assert len(late) > 8 and min(map(abs, late)) < 0.01  # the time that it says is the time that it is


def test_it_follows_and_stands_when_nothing_comes(ports: tuple[Any, Any]) -> None:
    near, far = ports
    led, clock = Clock(7200), Clock(3600)
    led.seek(100)
    with Follower(clock, far):
        with Leader(led, near, 0):
            assert soon(lambda: clock.now() == (100, False))  # a full message is a place, not a start
            led.play()
            assert soon(lambda: clock.now()[1])
            time.sleep(0.6)
            assert soon(lambda: abs(clock.now()[0] - led.now()[0]) < 0.01)
            led.seek(2000)
            assert soon(lambda: abs(clock.now()[0] - led.now()[0]) < 0.01 and clock.now()[1])
            led.pause()
            assert soon(lambda: not clock.now()[1])
            assert clock.now()[0] == pytest.approx(led.now()[0], abs=1 / 24)
            led.seek(3700)  # beyond the end of this movie
            led.play()
            assert soon(lambda: clock.now() == (3600, False))
            led.seek(10)
            assert soon(lambda: clock.now()[1] and clock.now()[0] < 60)
        assert soon(lambda: not clock.now()[1])  # the leader has gone


def test_a_leader_that_is_killed_is_followed_into_stillness() -> None:
    clock = Clock(100)
    follower = Follower(clock, None)
    for i in range(16):
        follower.hear(Message("quarter_frame", frame_type=i % 8, frame_value=6 if i % 8 == 7 else 0), 10 + i / 120)
    assert clock.now()[1]
    follower.check(10.3)
    assert clock.now()[1]
    follower.check(10.5)
    assert not clock.now()[1]


def test_pieces_out_of_order_say_nothing() -> None:
    clock = Clock(100)
    follower = Follower(clock, None)
    for i in (3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2, 1, 0, 0, 1, 2, 4, 5, 6, 7):
        follower.hear(Message("quarter_frame", frame_type=i, frame_value=0), 1.0)
    follower.hear(Message("sysex", data=(0x7F, 0x7F, 1, 1)), 1.0)
    follower.hear(Message("sysex", data=(0x7F, 0x7F, 1, 1, 127, 127, 127)), 1.0)
    follower.hear(Message("sysex", data=()), 1.0)
    follower.hear(Message("note_on"), 1.0)
    assert clock.now() == (0, False)


def test_late_messages_do_not_shake_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that come up to 30 ms late, at random: the clock is off by no more than the fastest of them."""
    import random

    now, draw = [0.0], random.Random(3)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(1000)
    follower = Follower(clock, None)
    worst = 0.0
    for quarter in range(2000):
        sent = quarter / 100
        fields = to_fields(quarter // 8 * 2, 1)
        piece = quarter % 8
        value = fields[3 - piece // 2] >> 4 * (piece % 2) & 15 | (2 if piece == 7 else 0)
        now[0] = max(now[0], sent + draw.random() * 0.03)
        follower.hear(Message("quarter_frame", frame_type=piece, frame_value=value), now[0])
        if quarter > 400:
            worst = max(worst, abs(clock.now()[0] - now[0]))
    assert worst < 0.015


def test_nobody_there() -> None:
    with socket.socket() as s:
        s.bind((HOST, 0))
        number = s.getsockname()[1]
    with pytest.raises(StaleError, match="nobody answers"):
        open_port(f"{HOST}:{number}", "out")
    with pytest.raises(StaleError, match="nobody answers"):
        open_port(f"{HOST}:99999", "in")


def test_a_port_that_is_not_there() -> None:
    """Where there is MIDI the name is unknown, where there is none python-rtmidi says so, or is missing."""
    with pytest.raises(StaleError) as error:
        open_port("no such port", "out")
    assert error.value.mend and "\n" not in error.value.why
