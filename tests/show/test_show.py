"""The show against real receivers on loopback: values, order, latency, limits; zeros on pause, end, exit and death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import HOST, DmxLog, OscLog, alive, make_movie, soon
from stale_diffusion.movie import Movie
from stale_diffusion.show.clock import Clock
from stale_diffusion.show.cues import Programme
from stale_diffusion.show.outputs import Osc, Sacn
from stale_diffusion.show.patch import parse_patch
from stale_diffusion.show.show import Show

ROOM = b"""
[[effect]]
sense = "touch"
channel = "seat_amplitude"
osc = "/seat"
dmx = 1
[[effect]]
sense = "touch"
channel = "wind"
osc = "/fan"
dmx = 2
limit = 0.8
[[effect]]
sense = "smell"
channel = "ozone"
osc = "/ozone"
dmx = 3
latency = 400
[[effect]]
sense = "touch"
channel = "temperature"
range = [20, 40]
osc = "/heater"
dmx = 4
limit_seconds = 0.5
rest_seconds = 0.25
"""


def programme(movie: Movie) -> Programme:
    return Programme(movie, parse_patch(ROOM, "room"))


@pytest.fixture
def movie(request: pytest.FixtureRequest) -> Movie:
    """Four seconds, or as many as the test says."""
    return make_movie(getattr(request, "param", 4.0))


long = pytest.mark.parametrize("movie", [600.0], indirect=True)  # it plays on, however slow the machine is


@pytest.fixture
def show(movie: Movie, osc: OscLog, dmx: DmxLog) -> Iterator[tuple[Clock, Show]]:
    clock, made = Clock(movie.seconds), programme(movie)
    outputs = [
        Osc(HOST, osc.port, [e.osc for e in made.effects]),
        Sacn(HOST, dmx.port, 7, [e.dmx for e in made.effects]),
    ]
    with Show(clock, made, outputs) as running:
        yield clock, running


def dark(osc: OscLog, dmx: DmxLog) -> bool:
    return (
        dmx.events != []
        and not any(dmx.events[-1][1])
        and not any(map(osc.last, ("/seat", "/fan", "/ozone", "/heater")))
    )


def lit(osc: OscLog, dmx: DmxLog) -> bool:
    return dmx.last(2) == 204 and osc.last("/fan") == pytest.approx(0.8)


def test_values_arrive_in_order_and_everything_is_off_at_the_end(
    show: tuple[Clock, Show], osc: OscLog, dmx: DmxLog, movie: Movie
) -> None:
    clock, _ = show
    time.sleep(0.3)
    assert not any(v for _, _, v in osc.events)  # nothing before it plays
    clock.play()
    assert soon(lambda: clock.now() == (4.0, False))
    assert soon(lambda: dark(osc, dmx))
    made = programme(movie)
    for i, effect in enumerate(made.effects):
        if effect.channel == "temperature":
            continue  # below: its limit runs in the room's time
        listed = [0, *(c.level for c in made.cues() if c.index == i)]
        heard = [round(255 * v) for v in osc.values(effect.osc)]
        left = iter(listed)
        assert all(level in left for level in heard)  # what was heard is what is listed, in its order
        assert len(heard) >= 0.9 * len(listed)
    assert max(round(255 * v) for v in osc.values("/fan")) == 204
    heater = osc.values("/heater")
    assert heater[:5] == [0, pytest.approx(128 / 255), 0, pytest.approx(128 / 255), 0]
    on = next(t for t, a, v in osc.events if a == "/heater" and v)
    off = next(t for t, a, v in osc.events if a == "/heater" and not v and t > on)
    assert 0.45 < off - on < 2


@long
def test_a_pause_is_zero_and_play_goes_on(show: tuple[Clock, Show], osc: OscLog, dmx: DmxLog) -> None:
    clock, _ = show
    clock.play()
    assert soon(lambda: lit(osc, dmx))
    clock.pause()
    assert soon(lambda: dark(osc, dmx))
    clock.seek(0.5)  # a seek of a movie that stands moves nothing
    time.sleep(0.2)
    assert dark(osc, dmx)
    clock.play()
    assert soon(lambda: lit(osc, dmx))


@long
def test_a_seek_is_followed_and_scent_is_sent_early(show: tuple[Clock, Show], osc: OscLog, dmx: DmxLog) -> None:
    clock, _ = show
    clock.play()
    clock.seek(1.65)  # ozone ends at 2 s, 400 ms early
    assert soon(lambda: osc.last("/fan") == pytest.approx(0.8))
    assert osc.last("/ozone") == 0
    clock.seek(1.2)
    assert soon(lambda: osc.values("/ozone") == [0, pytest.approx(0.8), 0])
    assert clock.now()[0] >= 1.6
    clock.seek(-5)
    assert osc.last("/ozone") == 0


@long
def test_the_exit_is_zero(movie: Movie, osc: OscLog, dmx: DmxLog) -> None:
    clock, made = Clock(movie.seconds), programme(movie)
    outputs = [
        Osc(HOST, osc.port, [e.osc for e in made.effects]),
        Sacn(HOST, dmx.port, 7, [e.dmx for e in made.effects]),
    ]
    with Show(clock, made, outputs) as running:
        clock.play()
        assert soon(lambda: lit(osc, dmx))
        pid = running._watchdog.pid
    assert soon(lambda: dark(osc, dmx) and dmx.ends > 0)
    assert clock.now()[1] is False and not alive(pid)


@long
def test_no_show_without_its_watchdog(
    show: tuple[Clock, Show], osc: OscLog, dmx: DmxLog, capfd: pytest.CaptureFixture[str]
) -> None:
    clock, running = show
    clock.play()
    assert soon(lambda: lit(osc, dmx))
    os.kill(running._watchdog.pid, signal.SIGKILL)
    assert soon(lambda: running.failure is not None)
    assert soon(lambda: dark(osc, dmx) and not clock.now()[1])
    assert soon(lambda: "watchdog" in capfd.readouterr().err)


@long
def test_a_lost_network_is_said_once_and_tried_again(
    movie: Movie, osc: OscLog, capfd: pytest.CaptureFixture[str]
) -> None:
    clock, made = Clock(movie.seconds), programme(movie)
    out = Osc(HOST, osc.port, [e.osc for e in made.effects])
    with Show(clock, made, [out]) as running:
        broken = out._client._sock
        broken.close()  # every send fails from here
        clock.play()
        time.sleep(0.3)
        out._client = Osc(HOST, osc.port, ["/x"])._client
        assert soon(lambda: osc.last("/fan") == pytest.approx(0.8))
        assert running.failure is None
    assert capfd.readouterr().err.count("OSC to") == 1


PLAYER = """
    import sys, time
    sys.path[:0] = [{tests!r}]
    from conftest import make_movie
    from test_show import programme
    from stale_diffusion.show.clock import Clock
    from stale_diffusion.show.outputs import Osc, Sacn
    from stale_diffusion.show.show import Show
    movie = make_movie(600)
    made = programme(movie)
    clock = Clock(movie.seconds)
    outputs = [Osc("127.0.0.1", {osc}, [e.osc for e in made.effects]),
               Sacn("127.0.0.1", {dmx}, 7, [e.dmx for e in made.effects])]
    with Show(clock, made, outputs) as show:
        clock.play()
        print(show._watchdog.pid, flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_the_player_dies_and_every_effect_goes_to_zero(how: signal.Signals, osc: OscLog, dmx: DmxLog) -> None:
    code = textwrap.dedent(PLAYER).format(tests=str(Path(__file__).parent), osc=osc.port, dmx=dmx.port)
    player = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert player.stdout is not None
        watchdog = int(player.stdout.readline())
        assert soon(lambda: lit(osc, dmx)) and alive(watchdog)
        player.send_signal(how)  # SIGSTOP: it hangs, and the watchdog loses patience
        assert soon(lambda: dark(osc, dmx))
        time.sleep(0.5)
        assert dark(osc, dmx)  # and stays so
        if how == signal.SIGSTOP:  # it comes to, and finds that the show is over
            count = len(osc.events)
            player.send_signal(signal.SIGCONT)
            assert soon(lambda: len(osc.events) > count)
            assert not any(value for _, _, value in osc.events[count:])
            player.kill()
        player.wait(20)
        assert soon(lambda: not alive(watchdog))
    finally:
        player.kill()
        player.communicate()
    assert dark(osc, dmx)


def test_it_sleeps_between_samples() -> None:
    """A movie that plays costs wake-ups, about one a sample, and no polling: counted, not timed."""
    movie = make_movie(600)
    made = programme(movie)
    clock = Clock(movie.seconds)
    looks = []
    at = made.at
    made.at = lambda position: looks.append(position) or at(position)  # type: ignore[method-assign]
    with Show(clock, made, [Osc(HOST, 9, [e.osc for e in made.effects])]):
        clock.play()
        time.sleep(1.0)
        clock.pause()
        played, _ = clock.now()
        count = len(looks)
        time.sleep(0.5)
        assert len(looks) == count  # paused, nothing is looked up
    assert count <= played * 64 * 2 + 20
