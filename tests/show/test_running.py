"""`play` as a person runs it: headless in a terminal, by a page's clock, by incoming timecode; and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from mido.sockets import PortServer

from conftest import HOST, DmxLog, OscLog, make_movie, soon
from stale_diffusion.errors import StaleError
from stale_diffusion.media import MovieWriter
from stale_diffusion.movie import Movie
from stale_diffusion.show import running
from stale_diffusion.show.clock import Clock
from stale_diffusion.show.running import Wanted
from stale_diffusion.show.timecode import Leader
from stale_diffusion.show.watchdog import Watchdog
from stale_diffusion.timeline import to_json


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five minutes of grey with touch and smell: however slow the machine is, it plays on."""
    path = tmp_path_factory.mktemp("show") / "movie.mp4"
    with MovieWriter(path, (64, 36), Fraction(1)) as writer:
        for _ in range(300):
            writer.frame(np.full((36, 64, 3), 90, np.uint8))
        writer.close()
    path.with_suffix(".timeline.json").write_text(to_json(300.0, make_movie(300.0).tracks))
    return path


@pytest.fixture
def player() -> Iterator[Any]:
    """Starts `play` in a terminal of its own: (process, the terminal's other end)."""
    started: list[tuple[subprocess.Popen[bytes], int]] = []

    def start(*words: str) -> tuple[subprocess.Popen[bytes], int]:
        here, there = pty.openpty()
        command = [sys.executable, "-m", "stale_diffusion", "play", *words]
        process = subprocess.Popen(command, stdin=there, stdout=there, stderr=subprocess.PIPE)
        os.close(there)
        started.append((process, here))
        return process, here

    yield start
    for process, here in started:
        process.kill()
        process.communicate()
        os.close(here)


def lit(osc: OscLog) -> bool:
    return osc.last("/stale/touch/wind") == 1


def dark(osc: OscLog) -> bool:
    return {a: v for _, a, v in osc.events if v} != {} and not any({a: v for _, a, v in list(osc.events)}.values())


def test_headless_in_a_terminal(file: Path, player: Any, osc: OscLog, dmx: DmxLog) -> None:
    process, keys = player(str(file), "--headless", "--osc", f"{HOST}:{osc.port}", "--sacn", f"7@{HOST}:{dmx.port}")
    assert soon(lambda: lit(osc) and dmx.last(4) == 255, 60)
    os.write(keys, b" ")
    assert soon(lambda: dark(osc) and not any(dmx.events[-1][1]))
    os.write(keys, b"x ")
    assert soon(lambda: lit(osc))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert soon(lambda: dark(osc) and dmx.ends > 0)
    said = process.stderr.read().decode()
    assert f"OSC to {HOST}" in said and "sACN universe 7" in said and "Traceback" not in said


def test_headless_ends_with_the_movie(osc: OscLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nobody:  # no terminal, so no keys
        monkeypatch.setattr(sys, "stdin", nobody)
        running.headless(make_movie(0.5), Wanted(osc=f"{HOST}:{osc.port}"))
    assert soon(lambda: dark(osc))


def test_headless_fails_with_its_show(
    osc: OscLog, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Watchdog, "beat", lambda _: False)
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(SystemExit) as error:
            running.headless(make_movie(60), Wanted(osc=f"{HOST}:{osc.port}"))
    assert error.value.code == 1 and capfd.readouterr().err.count("watchdog has gone") == 1


def test_incoming_timecode_plays_the_movie(file: Path, player: Any, osc: OscLog) -> None:
    server = PortServer(HOST, 0)
    number = server._socket.getsockname()[1]
    process, _ = player(str(file), "--timecode", "in", "--midi", f"{HOST}:{number}", "--osc", f"{HOST}:{osc.port}")
    assert soon(lambda: running_ports(server), 60)
    assert soon(lambda: osc.events != [], 60)
    clock = Clock(300)
    with Leader(clock, server.ports[0], 1):
        assert not any(v for _, _, v in osc.events)  # it waits
        clock.play()
        assert soon(lambda: lit(osc))
        clock.pause()
        assert soon(lambda: dark(osc))
        clock.play()
        assert soon(lambda: lit(osc))
    server.close()  # the leader's machine is unplugged
    assert soon(lambda: dark(osc))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def running_ports(server: PortServer) -> bool:
    port = server.accept(block=False)
    if port:
        server.ports.append(port)
    return bool(server.ports)


def test_a_page_s_clock_drives_the_show(movie: Movie, osc: OscLog) -> None:
    with running.clock_of(movie, Wanted(osc=f"{HOST}:{osc.port}")) as clock:
        assert clock is not None and clock.seconds == movie.seconds
        clock.play()
        assert soon(lambda: lit(osc))
    assert soon(lambda: dark(osc))
    for nothing in (running.clock_of(None, Wanted(osc="x")), running.clock_of(movie, Wanted())):
        with nothing as clock:
            assert clock is None


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Wanted(patch=Path("x")), "--patch alone"),
        (Wanted(midi="x"), "--midi alone"),
        (Wanted(timecode="sideways"), "neither out nor in"),
        (Wanted(osc=""), "no address"),
        (Wanted(sacn=""), "no universe"),
    ],
)
def test_what_makes_no_sense_is_refused(movie: Movie, wanted: Wanted, why: str) -> None:
    with pytest.raises(StaleError, match=why) as error, running.clock_of(movie, wanted):
        pass
    assert error.value.exit_code == 2


def test_nothing_to_send_is_said(movie: Movie, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[[effect]]\nsense = 'touch'\nchannel = 'wind'\nosc = '/fan'")
    wanted = Wanted(sacn=f"1@{HOST}", patch=tmp_path / "p.toml")
    with pytest.raises(StaleError, match="--sacn has nothing to send"), running.clock_of(movie, wanted):
        pass
    bare = Movie(4.0, None, {})
    with pytest.raises(StaleError, match="no track"), running.clock_of(bare, Wanted(osc=f"{HOST}:9")):
        pass
    with pytest.raises(StaleError, match="nothing to do"):
        running.headless(movie, Wanted())


@pytest.mark.parametrize(
    ("module", "wanted"),
    [("pythonosc", Wanted(osc="h:1")), ("sacn", Wanted(sacn="1")), ("mido", Wanted(timecode="out"))],
)
def test_a_package_that_is_missing_is_named_with_its_command(
    movie: Movie, module: str, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))
    with pytest.raises(StaleError) as error, running.clock_of(movie, wanted):
        pass
    assert error.value.mend == 'pip install "stale-diffusion[show]"'


def test_the_page_drives_the_devices_and_its_death_is_zero(file: Path, osc: OscLog) -> None:
    command = [
        sys.executable,
        "-m",
        "stale_diffusion",
        "play",
        str(file),
        "--no-browser",
        "--osc",
        f"{HOST}:{osc.port}",
    ]
    player = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert player.stdout is not None
        base, token = player.stdout.readline().strip().split("/#")
        for action, so in (("play", lit), ("pause", dark), ("play", lit)):
            body = json.dumps({"movie": file.name, "action": action, "position": 1.0}).encode()
            headers = {"content-type": "application/json", "origin": base, "x-token": token}
            with urlopen(Request(f"{base}/api/transport", body, headers)) as answer:
                assert json.load(answer) == {"clock": True}
            assert soon(lambda so=so: so(osc))
        player.kill()
        assert soon(lambda: dark(osc))
    finally:
        player.kill()
        player.communicate()
