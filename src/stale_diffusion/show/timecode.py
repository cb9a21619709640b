"""MIDI timecode (MTC): the movie leads a show, or follows one.

Eight quarter-frame messages, sent over two frames, say together what the time was when the first of them was sent.
Movie time 0 is timecode 00:00:00:00.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from fractions import Fraction
from types import TracebackType
from typing import Any, final

from stale_diffusion.errors import StaleError
from stale_diffusion.show.clock import Clock

# The two bits of the type of a timecode: its rate. Type 2 counts in 30 and leaves out numbers (drop frame).
RATES = (Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30))
LOST = 0.25  # seconds without timecode after which the movie stands
WINDOW = 16  # readings (of two frames each) among which the one that came through fastest counts
SLACK = 0.004  # seconds by which the clock may be off before it is put right
JUMP = 0.1  # seconds from which a reading is another place, not a late message
POLL = 0.002  # seconds


def rate_of(fps: Fraction | None) -> int:
    """The type of timecode for a movie: 24 and 25 as they are; 30, which runs in real time, for all others."""
    return RATES.index(fps) if fps in (24, 25) else 3


def to_fields(frames: int, kind: int) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds, frames of a count of frames, of a type without drop frames."""
    seconds, frame = divmod(frames, int(RATES[kind]))
    return seconds // 3600 % 24, seconds // 60 % 60, seconds % 60, frame


def to_seconds(hours: int, minutes: int, seconds: int, frame: int, kind: int) -> float:
    """The time that a timecode means; drop-frame numbers included."""
    rate = RATES[kind]
    count = (hours * 3600 + minutes * 60 + seconds) * math.ceil(rate) + frame
    if kind == 2:
        whole = 60 * hours + minutes
        count -= 2 * (whole - whole // 10)
    return float(count / rate)


@final
class Leader:
    """Sends timecode while the clock plays, a full message at every start, seek and stop; from enter to exit."""

    def __init__(self, clock: Clock, port: Any, kind: int) -> None:
        self._clock, self._port, self._kind = clock, port, kind
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="timecode", daemon=True)

    def __enter__(self) -> Leader:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._clock.pause()
        self._thread.join()

    def _run(self) -> None:
        from mido import Message

        rate = float(RATES[self._kind])
        moves, playing, quarter = -1, False, 0
        try:
            while not self._stop:
                was = playing
                position, playing = self._clock.now()
                heard = self._clock.wait(moves, 0)
                if heard != moves or playing != was:
                    moves = heard
                    fields = to_fields(math.floor(position * rate + 1e-6), self._kind)
                    hours = fields[0] | self._kind << 5
                    self._port.send(Message("sysex", data=(0x7F, 0x7F, 1, 1, hours, *fields[1:])))
                    quarter = 8 * math.ceil(position * rate / 2)  # pieces begin at an even frame
                if not playing:
                    self._clock.wait(moves, LOST)
                elif position * rate * 4 < quarter:
                    self._clock.wait(moves, quarter / rate / 4 - position)
                else:
                    fields = to_fields(quarter // 8 * 2, self._kind)
                    piece = quarter % 8
                    nibble = fields[3 - piece // 2] >> 4 * (piece % 2) & 15
                    value = nibble | (self._kind << 1 if piece == 7 else 0)
                    self._port.send(Message("quarter_frame", frame_type=piece, frame_value=value))
                    quarter += 1
        except (OSError, ValueError) as error:  # ValueError: mido's word for a port that is closed
            from stale_diffusion.console import console

            console.print(f"timecode: the port is gone ({error})", markup=False, soft_wrap=True)


@final
class Follower:
    """Moves the clock as incoming timecode says; stands when none comes. From enter to exit.

    Messages can only be late, never early: of the last second's readings the one that came through fastest is believed.
    """

    def __init__(self, clock: Clock, port: Any) -> None:
        self._clock, self._port = clock, port
        self._pieces: list[int] = []
        self._offsets: deque[float] = deque(maxlen=WINDOW)  # timecode minus monotonic time
        self._heard = -math.inf
        self._running = self._stop = False
        self._thread = threading.Thread(target=self._run, name="timecode", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._thread.join()
        self._clock.pause()

    def _run(self) -> None:
        try:
            while not self._stop and not self._port.closed:
                for message in self._port.iter_pending():
                    self.hear(message, time.monotonic())
                self.check(time.monotonic())
                time.sleep(POLL)
        except (OSError, ValueError) as error:
            from stale_diffusion.console import console

            console.print(f"timecode: the port is gone ({error})", markup=False, soft_wrap=True)
        finally:
            self._clock.pause()

    def hear(self, message: Any, now: float) -> None:
        """Take a MIDI message that came at `now`, monotonic seconds; others than timecode are passed over."""
        if message.type == "sysex" and tuple(message.data[2:4]) == (1, 1) and message.data[0] == 0x7F:
            self._full(tuple(message.data[4:]))
        elif message.type == "quarter_frame":
            self._heard = now
            if message.frame_type != len(self._pieces):  # begun in the middle, one lost, or wound backwards
                self._pieces.clear()
            if message.frame_type == len(self._pieces):
                self._pieces.append(message.frame_value)
            if len(self._pieces) == 8:
                self._reading(now)
                self._pieces.clear()

    def _full(self, data: tuple[int, ...]) -> None:
        """A jump to a place, and a stop there: whoever plays on sends quarter frames."""
        self._pieces.clear()
        self._offsets.clear()
        if len(data) == 4:
            self._halt()
            self._clock.seek(to_seconds(data[0] & 31, *data[1:], kind=data[0] >> 5 & 3))

    def _reading(self, now: float) -> None:
        frame, second, minute, hour = (low | high << 4 for low, high in zip(*[iter(self._pieces)] * 2, strict=True))
        kind = hour >> 5 & 3
        at = to_seconds(hour & 31, minute, second, frame, kind) + 1.75 / float(RATES[kind])
        offset = at - now
        if self._offsets and abs(offset - max(self._offsets)) > JUMP:
            self._offsets.clear()
        self._offsets.append(offset)
        position = now + max(self._offsets)
        stands, playing = self._clock.now()
        if position >= self._clock.seconds:
            self._halt()
            self._clock.seek(position)
        elif not playing or abs(stands - position) > SLACK:
            self._clock.seek(position)
            self._clock.play()
            self._running = True

    def check(self, now: float) -> None:
        """Stand still where the timecode has stopped."""
        if self._running and now - self._heard > LOST:
            self._halt()
            self._offsets.clear()
            self._pieces.clear()

    def _halt(self) -> None:
        self._running = False
        self._clock.pause()


def open_port(name: str | None, way: str) -> Any:
    """A MIDI port.

    Args:
        name: one that the system has, or HOST:PORT for MIDI over TCP as mido speaks it; None makes a virtual port
            "Stale Diffusion" that other programs connect to.
        way: "in" or "out".

    Raises:
        StaleError: there is no such port, or no MIDI here.
    """
    import mido

    host, colon, number = (name or "").rpartition(":")
    if colon and host and number.isascii() and number.isdigit() and " " not in host:
        from mido.sockets import connect

        try:
            return connect(host, int(number))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise StaleError(f"--midi {name}: nobody answers there.", why, "start its server first") from None
    opened = mido.open_input if way == "in" else mido.open_output
    try:
        return opened(name) if name else opened("Stale Diffusion", virtual=True)
    except ImportError:
        mend = 'pip install "stale-diffusion[show]"'
        raise StaleError("MIDI needs python-rtmidi.", "it is not installed", mend) from None
    except Exception as error:  # python-rtmidi's own types, which this module does not import
        why = " ".join(str(error).split())[:200]
        raise StaleError(f"The MIDI port {name or '(a virtual one)'} cannot be opened.", why, _ports(way)) from None


def _ports(way: str) -> str:
    import mido

    try:
        names = mido.get_input_names() if way == "in" else mido.get_output_names()
    except Exception:  # no MIDI on this machine at all
        return "--midi HOST:PORT sends over TCP, to a server of mido's (mido-serve)"
    return f"--midi one of: {', '.join(names)}" if names else "connect a device, or --midi HOST:PORT"
