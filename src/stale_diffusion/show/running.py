"""A show as the command line asks for it: with a page, or in the terminal alone."""

from __future__ import annotations

import importlib.util
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.show.clock import Clock
from stale_diffusion.show.cues import Programme
from stale_diffusion.show.outputs import Osc, Output, Sacn, parse_osc, parse_sacn
from stale_diffusion.show.patch import load_patch
from stale_diffusion.show.show import Show

GLANCE = 0.1  # seconds between looks at the keyboard


@dataclass(frozen=True)
class Wanted:
    """The options of `play` that make a show; None and empty for what is not asked for.

    Args:
        osc: HOST:PORT.
        sacn: UNIVERSE[@HOST[:PORT]].
        patch: a TOML file; the one that ships if missing.
        timecode: "out" or "in".
        midi: the MIDI port for it.
    """

    osc: str | None = None
    sacn: str | None = None
    patch: Path | None = None
    timecode: str | None = None
    midi: str | None = None

    def __bool__(self) -> bool:
        return self != Wanted()


@contextmanager
def running(movie: Movie, clock: Clock, wanted: Wanted) -> Iterator[Show | None]:
    """A show, from its first zeros to its last; the Show where there is an output.

    Raises:
        StaleError: an option is wrong, a package is missing, a port cannot be opened.
    """
    _check(wanted)
    programme = Programme(movie, load_patch(wanted.patch, {n: t.channels for n, t in movie.tracks.items()}))
    outputs = list(_outputs(programme, wanted))
    with ExitStack() as stack:
        port = None
        if wanted.timecode:
            from stale_diffusion.show import timecode

            port = timecode.open_port(wanted.midi, wanted.timecode)
            stack.callback(port.close)
            _print(f"timecode {'from' if wanted.timecode == 'in' else 'to'} MIDI port {port.name}")
        show = stack.enter_context(Show(clock, programme, outputs)) if outputs else None
        for output in outputs:
            _print(f"{output.effects} effects by {output.name}")
        if wanted.timecode == "in":
            stack.enter_context(timecode.Follower(clock, port))
        elif wanted.timecode:
            stack.enter_context(timecode.Leader(clock, port, timecode.rate_of(_fps(movie))))
        yield show


@contextmanager
def clock_of(movie: Movie | None, wanted: Wanted) -> Iterator[Clock | None]:
    """The clock that a page is to drive, with the show that follows it; None where no show is wanted."""
    if movie is None or not wanted:
        yield None
        return
    clock = Clock(movie.seconds)
    with running(movie, clock, wanted):
        yield clock


def _check(wanted: Wanted) -> None:
    if wanted.patch is not None and wanted.osc is None and wanted.sacn is None:
        raise StaleError("--patch alone sends nothing.", mend="Add --osc HOST:PORT or --sacn UNIVERSE.", usage=True)
    if wanted.timecode not in (None, "in", "out"):
        raise StaleError(f"--timecode {wanted.timecode} is neither out nor in.", mend="--timecode out", usage=True)
    if wanted.midi is not None and wanted.timecode is None:
        raise StaleError("--midi alone sends nothing.", mend="Add --timecode out or in.", usage=True)
    if sys.platform == "win32" and (wanted.osc is not None or wanted.sacn is not None):
        raise StaleError(
            "Show control does not run on Windows.", "its watchdog needs POSIX pipes", "use Linux or macOS"
        )
    needs = (("--osc", wanted.osc, "pythonosc", "python-osc"), ("--sacn", wanted.sacn, "sacn", "sacn"),
             ("--timecode", wanted.timecode, "mido", "mido"))  # fmt: skip
    for option, value, module, package in needs:
        if value is not None and importlib.util.find_spec(module) is None:
            mend = 'pip install "stale-diffusion[show]"'
            raise StaleError(f"{option} needs the package {package}.", "it is not installed", mend)


def _outputs(programme: Programme, wanted: Wanted) -> Iterator[Output]:
    target = parse_osc(wanted.osc) if wanted.osc is not None else None
    universe = parse_sacn(wanted.sacn) if wanted.sacn is not None else None
    if (target or universe) and not programme.effects:
        mend = "let the diffusion model add touch, smell and taste: stale-diffusion complete CLIP -o FILE.mkv"
        raise StaleError("This movie has no track that the patch sends anywhere.", mend=mend)
    osc, dmx = [e.osc for e in programme.effects], [e.dmx for e in programme.effects]
    for option, asked, kind, found in (
        ("osc", target, "an OSC address", osc),
        ("sacn", universe, "a DMX channel", dmx),
    ):
        if asked and not any(found):
            why = f"of the {len(found)} effects in the patch that the movie has a track for, none has {kind}"
            mend = "mend the patch, or leave the option out"
            raise StaleError(f"--{option} has nothing to send.", why, mend, usage=True)
    if target:
        yield Osc(*target, osc)
    if universe:
        number, host, port = universe
        yield Sacn(host, port, number, dmx)


def _fps(movie: Movie) -> Fraction | None:
    video = movie.screen.probe.video if isinstance(movie.screen, Filmed) else None
    return video.fps if video else None


def headless(movie: Movie, wanted: Wanted) -> None:
    """Play a movie's effects without picture or page: to the end, or until Ctrl-C; space pauses in a terminal.

    With incoming timecode it plays when and where that says, until Ctrl-C.

    Raises:
        StaleError: nothing is asked for, or it cannot begin.
        SystemExit: the show failed on the way, and has said so.
    """
    if wanted.osc is None and wanted.sacn is None and wanted.timecode is None:
        mend = "Add --osc HOST:PORT, --sacn UNIVERSE or --timecode out."
        raise StaleError("--headless has nothing to do.", "there is nothing to send to", mend, usage=True)
    clock = Clock(movie.seconds)
    with running(movie, clock, wanted) as show, _keys() as space:
        follows = wanted.timecode == "in"
        _print("waits for timecode; Ctrl-C stops" if follows else "plays; space pauses, Ctrl-C stops")
        if not follows:
            clock.play()
        while show is None or show.failure is None:
            position, playing = clock.now()
            _say(position, playing, movie.seconds)
            if not playing and position >= movie.seconds and not follows:
                break
            if space() and not follows:
                (clock.pause if playing else clock.play)()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if show is not None and show.failure is not None:
        raise SystemExit(show.failure.exit_code)  # the show's thread has said why


def _print(text: str) -> None:
    from stale_diffusion.console import console

    console.print(text, markup=False, soft_wrap=True)


def _say(position: float, playing: bool, seconds: float) -> None:
    if sys.stderr.isatty():
        state = "playing" if playing else "paused "
        print(f"\r{state} {_hours(position)} of {_hours(seconds)}", end="", file=sys.stderr, flush=True)


def _hours(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


@contextmanager
def _keys() -> Iterator[_Space]:
    """A function that waits a moment and says whether the space bar was pressed; never where there is no terminal."""
    try:
        import termios
        import tty

        before = termios.tcgetattr(sys.stdin.fileno())
    except (ImportError, OSError, ValueError, termios.error):  # Windows, a pipe, no standard input
        yield _Space(None)
        return
    try:
        tty.setcbreak(sys.stdin.fileno())
        yield _Space(sys.stdin.fileno())
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)


@dataclass(frozen=True)
class _Space:
    file: int | None

    def __call__(self) -> bool:
        if self.file is None:
            time.sleep(GLANCE)
            return False
        ready, _, _ = select.select([self.file], [], [], GLANCE)
        return bool(ready) and os.read(self.file, 64).count(b" ") % 2 == 1
