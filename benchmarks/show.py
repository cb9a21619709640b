"""How punctual a show is: `python benchmarks/show.py` (LENGTH=60: a minute instead of ten).

A movie of true Dreamscapes is played, by the patch of examples/room.toml, from a process of its own to a python-osc
server and a sacn receiver on loopback. Each cue's arrival, as the kernel stamps it (Linux), is held against the
timeline. Then the player is paused, and killed, and the time until the receivers have heard nothing but zeros is taken.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer
from sacn import sACNreceiver
from sacn.receiving.receiver_socket_udp import ReceiverSocketUDP

from report import Figure, report
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import BUILT, lanes
from stale_diffusion.movie import Movie, Track
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.show.clock import Clock
from stale_diffusion.show.cues import Programme
from stale_diffusion.show.outputs import Osc, Sacn
from stale_diffusion.show.patch import load_patch
from stale_diffusion.show.show import Show

PATCH = Path(__file__).parents[1] / "examples/room.toml"
HOST, UNIVERSE = "127.0.0.1", 7
VISIT = 5  # segments in each place
NEAR = 0.5  # seconds within which an arrival may belong to a cue
EARLY = 0.001  # seconds by which it may be before it: the movie's beginning is read off to so much
TIMESTAMPS = 35  # SO_TIMESTAMPNS, which Python has no name for
Heard = list[tuple[float, int]]  # (monotonic time, level) of one effect


def a_movie(seconds: float) -> Movie:
    """Touch, smell and taste of one place after the other; neither picture nor sound."""
    visits = [lanes(Stage(draw(np.random.default_rng([11, i]), VISIT, BUILT[i % len(BUILT)])[0]))
              for i in range(math.ceil(seconds / (VISIT * SEGMENT_SECONDS)))]  # fmt: skip
    tracks = {}
    for name in ("touch", "smell", "taste"):
        sense = SENSES[name]
        values = np.concatenate([v[name] for v in visits])[: round(seconds * sense.rate)]
        tracks[name] = Track(name, Fraction(sense.rate), sense.channels, sense.unit, values, "derived")
    return Movie(seconds, None, tracks)


def player(seconds: float, osc: int, dmx: int) -> None:
    """The process that is measured: says when the movie began, pauses and plays on at a word, and ends when killed."""
    movie = a_movie(seconds)
    programme = Programme(movie, load_patch(PATCH))
    clock = Clock(seconds)
    outputs = [Osc(HOST, osc, [e.osc for e in programme.effects]),
               Sacn(HOST, dmx, UNIVERSE, [e.dmx for e in programme.effects])]  # fmt: skip
    with Show(clock, programme, outputs):
        time.sleep(1)
        before = resource.getrusage(resource.RUSAGE_SELF)
        clock.play()
        print(time.monotonic() - clock.now()[0], flush=True)
        while clock.now()[1]:
            time.sleep(0.5)
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, flush=True)
        print(
            int(any(os.sched_getscheduler(int(t)) & 7 == os.SCHED_RR for t in os.listdir("/proc/self/task"))),
            flush=True,
        )
        clock.seek(0)
        for word in sys.stdin:
            (clock.play if word == "play\n" else clock.pause)()
            print(time.monotonic(), flush=True)


def receive(source: socket.socket, size: int) -> tuple[bytes, float, Any]:
    """A datagram, the monotonic time of its arrival (a busy receiver reads it later), and its sender."""
    data, notes, _, sender = source.recvmsg(size, 64)
    seconds, nanoseconds = struct.unpack("@ll", notes[0][2])
    return data, seconds + nanoseconds / 1e9 - (time.time() - time.monotonic()), sender


class OscServer(BlockingOSCUDPServer):
    """python-osc's server; knows when the message that it handles arrived."""

    arrived = 0.0

    def get_request(self) -> Any:
        data, self.arrived, sender = receive(self.socket, self.max_packet_size)
        return (data, self.socket), sender


class DmxSocket(ReceiverSocketUDP):
    """sacn's socket; knows when the packet that it hands on arrived."""

    arrived = 0.0

    def receive_loop(self) -> None:
        self._socket.settimeout(0.1)
        self._enabled_flag = True
        while self._enabled_flag:
            self._listener.on_periodic_callback(time.time())
            with suppress(TimeoutError):
                data, self.arrived, _ = receive(self._socket, 2048)
                self._listener.on_data(list(data), time.time())


class Receivers:
    """What arrives, by effect."""

    def __init__(self, programme: Programme) -> None:
        self.heard: list[Heard] = [[] for _ in programme.effects]
        self._channels = [(i, e.dmx) for i, e in enumerate(programme.effects) if e.dmx]
        addresses = {e.osc: i for i, e in enumerate(programme.effects) if e.osc}
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(
            lambda address, value: self._take(addresses[address], round(255 * value), self.server.arrived)
        )
        self.server = OscServer((HOST, 0), dispatcher)
        self.server.socket.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HOST, 0))
            self.dmx_port = free.getsockname()[1]
        self.receiver = sACNreceiver(bind_port=self.dmx_port)
        self._socket = self.receiver._handler.socket = DmxSocket(self.receiver._handler, "0.0.0.0", self.dmx_port)
        self._socket._socket.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
        self.receiver.register_listener("universe", self._packet, universe=UNIVERSE)
        self.receiver.start()

    def _take(self, i: int, level: int, arrived: float) -> None:
        heard = self.heard[i]
        if level != (heard[-1][1] if heard else 0):
            heard.append((arrived, level))

    def _packet(self, packet: Any) -> None:
        for i, channel in self._channels:
            self._take(i, packet.dmxData[channel - 1], self._socket.arrived)

    def dark(self) -> bool:
        """Whether the last that was heard of every effect is zero."""
        return not any(heard and heard[-1][1] for heard in self.heard)

    def close(self) -> None:
        self.server.shutdown()
        self.receiver.stop()


def lateness(listed: Heard, heard: Heard) -> list[float]:
    """Seconds by which each listed (time, level) of an effect was heard late; infinity for never.

    What is heard is the last cue of that level that was due: a player that comes too late has left out the others.
    """
    late, times = [math.inf] * len(listed), [due for due, _ in listed]
    for time_heard, level in heard:
        k = bisect_right(times, time_heard + EARLY) - 1
        while k >= 0 and listed[k][1] != level and time_heard - times[k] < NEAR:
            k -= 1
        if k >= 0 and listed[k][1] == level and math.isinf(late[k]) and time_heard - times[k] < NEAR:
            late[k] = time_heard - times[k]
    return late


def wait(so: Callable[[], bool]) -> float:
    """The monotonic time at which something becomes so; infinity after ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if so():
            return time.monotonic()
        time.sleep(0.0005)
    return math.inf


def figures_of(kind: str, late: list[float]) -> list[Figure]:
    """Shares and quantiles of one way to the devices."""
    ms = 1000 * np.maximum(np.array(late), 0)
    heard = ms[np.isfinite(ms)]
    return [
        Figure(f"{kind}_within_10_ms", float((ms <= 10).mean()), "1", 0.99, "higher"),
        Figure(f"{kind}_off_half", float(np.median(heard)), "ms", None, "lower"),
        Figure(f"{kind}_off_99_percent", float(np.quantile(heard, 0.99)), "ms", 10, "lower"),
        Figure(f"{kind}_off_most", float(heard.max()), "ms", None, "lower"),
        Figure(f"{kind}_cues", len(ms), "cues", None, "higher"),
        Figure(f"{kind}_never_heard", float(len(ms) - len(heard)), "cues", f"of {len(ms)}", "lower"),
    ]


def main() -> None:
    """Measure and write out/bench/show.json."""
    started, seconds = time.monotonic(), float(os.environ.get("LENGTH", "600"))
    programme = Programme(a_movie(seconds), load_patch(PATCH))
    receivers = Receivers(programme)
    command = [sys.executable, __file__, str(seconds), str(receivers.server.server_address[1]), str(receivers.dmx_port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        began = float(process.stdout.readline())
        work, real_time = float(process.stdout.readline()), float(process.stdout.readline())
        wait(receivers.dark)
        heard = [list(h) for h in receivers.heard]
        stops = []
        for stop in ("pause\n", "kill"):
            process.stdin.write("play\n")
            process.stdin.flush()
            process.stdout.readline()
            wait(lambda: not receivers.dark())
            time.sleep(1)
            if stop == "kill":
                now = time.monotonic()
                process.send_signal(signal.SIGKILL)
            else:
                process.stdin.write(stop)
                process.stdin.flush()
                now = float(process.stdout.readline())
            stops.append(wait(receivers.dark) - now)
    finally:
        process.kill()
        process.wait()
        receivers.close()
    late: dict[str, list[float]] = {"osc": [], "sacn": []}
    for i, effect in enumerate(programme.effects):
        listed = [(began + cue.seconds, cue.level) for cue in programme.cues() if cue.index == i]
        late["osc" if effect.osc else "sacn"] += lateness(listed, heard[i])
    report("show", [
        *figures_of("osc", late["osc"]), *figures_of("sacn", late["sacn"]),
        Figure("pause_to_zero", 1000 * max(0.0, stops[0]), "ms", None, "lower"),
        Figure("kill_to_zero", 1000 * stops[1], "ms", None, "lower"),
        Figure("real_time_priority", real_time, "1", "1 where the system gives it", "higher"),
        Figure("share_of_a_core", work / seconds, "1", None, "lower"),
        Figure("load_average", os.getloadavg()[0], "1", f"of {os.cpu_count()} cores, over the last minute", "lower"),
    ], started)  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        player(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
