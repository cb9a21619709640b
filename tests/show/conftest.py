"""Receivers on loopback, and a movie whose levels are known."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer
from sacn import sACNreceiver

from stale_diffusion.movie import Movie, Track
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.touch import Touch

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])


def soon(so: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether something becomes so; a busy machine has time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if so():
            return True
        time.sleep(0.005)
    return so()


class OscLog:
    """What a python-osc server has received: (monotonic time, address, value)."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, float]] = []
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(
            lambda address, *values: self.events.append((time.monotonic(), address, *values))
        )
        self.server = BlockingOSCUDPServer((HOST, 0), dispatcher)  # the threading one loses the order of messages
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def values(self, address: str) -> list[float]:
        """Values of one address, repetitions left out."""
        found: list[float] = []
        for _, a, value in list(self.events):
            if a == address and (not found or found[-1] != value):
                found.append(value)
        return found

    def last(self, address: str) -> float | None:
        return next((value for _, a, value in reversed(list(self.events)) if a == address), None)


class DmxLog:
    """What a sacn receiver has received on universe 7: (monotonic time, slots), and how often the stream ended."""

    def __init__(self) -> None:
        self.events: list[tuple[float, tuple[int, ...]]] = []
        self.ends = 0
        self.port = free_port()
        self.receiver = sACNreceiver(bind_port=self.port)
        self.receiver.register_listener("universe", self.take, universe=7)
        self.receiver.register_listener("availability", self.availability)
        self.receiver.start()

    def take(self, packet: object) -> None:
        self.events.append((time.monotonic(), packet.dmxData))  # type: ignore[attr-defined]

    def availability(self, universe: int, changed: str) -> None:
        self.ends += changed == "timeout"

    def last(self, channel: int) -> int | None:
        return self.events[-1][1][channel - 1] if self.events else None


@pytest.fixture
def osc() -> Iterator[OscLog]:
    log = OscLog()
    yield log
    log.server.shutdown()
    log.server.server_close()


@pytest.fixture
def dmx() -> Iterator[DmxLog]:
    log = DmxLog()
    yield log
    log.receiver.stop()


def make_movie(seconds: float = 4.0) -> Movie:
    """The seat shakes harder sample by sample; ozone from 1 s to 2 s; wind full throughout; 30 degrees."""
    n = round(seconds * 64)
    touch = np.zeros((n, 5), np.float32)
    touch[:, 0] = np.arange(n) % 64 / 64
    touch[:, 2:] = (100, 30, 20)
    smell = np.zeros((round(seconds * 2), len(NOTES)), np.float32)
    smell[2:4, NOTES.index("ozone")] = 0.8
    tracks = {
        "touch": Track("touch", Fraction(64), Touch.channels, Touch.unit, touch, "generated"),
        "smell": Track("smell", Fraction(2), NOTES, "intensity", smell, "generated"),
    }
    return Movie(seconds, None, tracks)


@pytest.fixture
def movie() -> Movie:
    return make_movie()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
