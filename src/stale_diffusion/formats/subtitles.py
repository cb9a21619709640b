"""Smell, taste and touch as subtitles (SubRip, WebVTT): how a person without devices meets them.

Like audio description: a line when something arrives, grows, stays long or leaves, and silence in between. Hysteresis
keeps it from flickering; at most 2 lines of 42 characters, at least 1.5 seconds, at most 17 characters a second.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats.haptic import onsets
from stale_diffusion.movie import Movie
from stale_diffusion.senses import felt
from stale_diffusion.timeline import Track

LINE = 42  # characters
MIN_SECONDS = 1.5
MAX_SECONDS = 5.0
READING = 15.0  # characters a second that a line is given; 17 is the most
GAP = 4.0  # seconds from the start of one line to the next at least
REMIND = 16.0  # seconds of silence after which what stays is named again
ALSO = 3.0  # seconds of silence after which what is there and was never named is named
AGAIN = 12.0  # seconds before the same arrival is told again
ENTER, LEAVE, PLAIN, STRONG = 0.15, 0.08, 0.25, 0.35  # levels: told, gone, told without "a trace of", worth a reminder
KNOCKS = ("jolt", "surge")
WITHIN = {"breeze": "wind", "cool": "cold", "warmth": "heat"}  # what goes without saying while the other is there
HUM_HERTZ = 110.0  # felt as a hum above, as a rumble below
LATE = 3.0  # an arrival is told at most so much later than it happens
TICKS = 2  # decisions a second

Levels = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Line:
    """One subtitle: seconds from the start, seconds shown, one or two lines of text."""

    start: float
    seconds: float
    text: str


@dataclass(frozen=True)
class _Happening:
    """Something worth a line: when, what, and how strong it becomes."""

    time: float
    kind: str  # "arrive", "stay" or "leave"
    name: str
    level: float


@cache
def _phrases() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(resources.files(__package__).joinpath("phrases.json").read_text("utf-8"))
    return table


def to_lines(movie: Movie, sense: str) -> list[Line]:
    """The subtitle lane of a sense; empty where the movie has no such track."""
    track = movie.tracks.get(sense)
    if track is None or not len(track.values):
        return []
    its = felt().get(sense)
    if its is not None and its.speaks:
        return [Line(*line) for line in its.lines(track.values, movie.seconds)]
    levels, knocks = _touch(track) if sense == "touch" else (_sampled(track), [])
    happenings = sorted([*_changes(levels), *knocks], key=lambda h: h.time)
    return _Teller(sense, levels, movie.seconds).tell(happenings)


def to_srt(movie: Movie, sense: str) -> str:
    """The lane as SubRip text."""
    lines = enumerate(to_lines(movie, sense), 1)
    return "\n".join(f"{i}\n{_span(line, ',')}\n{line.text}\n" for i, line in lines)


def to_vtt(movie: Movie, sense: str) -> str:
    """The lane as WebVTT text."""
    cues = [f"{_span(line, '.')}\n{_escaped(line.text)}\n" for line in to_lines(movie, sense)]
    return "\n".join([f"WEBVTT - {sense}\n", *cues])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _floor(seconds: float) -> float:
    """Whole milliseconds: a line never lasts longer than the movie."""
    return int(seconds * 1000 + 1e-6) / 1000


def _span(line: Line, point: str) -> str:
    """From and to, with the decimal point of the format."""
    return f"{_clock(line.start, point)} --> {_clock(line.start + line.seconds, point)}"


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


# --------------------------------------------------------------------------------------------- what happens when


def _sampled(track: Track) -> Levels:
    """Levels of all channels, TICKS times a second: the mean since the last tick."""
    step = float(track.rate) / TICKS
    n = max(1, int(len(track.values) / step))
    edges = np.minimum((np.arange(n) * step).astype(int), len(track.values) - 1)
    counts = np.diff(np.append(edges, len(track.values)))
    means = np.add.reduceat(track.values.astype(np.float64), edges, axis=0) / np.maximum(counts, 1)[:, None]
    return dict(zip(track.channels, means.T, strict=True))


def _ramp(x: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.clip((x - low) / (high - low), 0, 1)


def _smooth(x: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Moving mean over `reach` ticks to each side."""
    width = 2 * reach + 1
    return np.convolve(np.pad(x, reach, "edge"), np.ones(width) / width, "valid")


def _touch(track: Track) -> tuple[Levels, list[_Happening]]:
    """What touch is to a person: rumble or hum (by frequency), patter, wind, warmth; and knocks."""
    raw = _sampled(track)
    seat, back = (_smooth(raw[f"{place}_amplitude"], 1) for place in ("seat", "back"))
    weight = seat + back + 1e-3
    low = _smooth(raw["frequency"] * weight, 6) / _smooth(weight, 6) < HUM_HERTZ
    air, celsius = raw["wind"], raw["temperature"]
    levels = {
        "rumble": 1.6 * seat * low,
        "hum": 1.6 * seat * ~low,
        "patter": 1.6 * np.maximum(back - 0.5 * seat, 0),
        "breeze": _ramp(air, 1.0, 4.0),
        "wind": _ramp(air, 6.0, 7.5),
        "cold": _ramp(-celsius, -8.0, 2.0),
        "cool": _ramp(-celsius, -16.5, -10.0),
        "warmth": _ramp(celsius, 24.0, 32.0),
        "heat": _ramp(celsius, 34.0, 44.0),
    }
    return levels, _knocks(track)


def _knocks(track: Track) -> list[_Happening]:
    """Jolts (sudden) and surges (within a third of a second) of the seat."""
    amplitude, rate = track.channel("seat_amplitude").astype(np.float64), float(track.rate)
    jolts = [(i / rate, rise) for i, rise in onsets(amplitude, track.rate, 0.4)]
    surges = [(i / rate, rise) for i, rise in onsets(amplitude, track.rate, 0.2, 0.33)]
    alone = [(time, rise) for time, rise in surges if all(abs(time - t) > 1.0 for t, _ in jolts)]
    found = [_Happening(t, "arrive", name, r) for name, at in (("jolt", jolts), ("surge", alone)) for t, r in at]
    return sorted(found, key=lambda h: h.time)


def _changes(levels: Levels) -> list[_Happening]:
    """Arrivals and departures of every level, with hysteresis."""
    found = []
    for name, level in levels.items():
        present, since = False, 0.0
        for i, value in enumerate(level.tolist()):
            time = i / TICKS
            if not present and value >= ENTER:
                coming = float(level[i : i + 2 * TICKS].max())
                found.append(_Happening(time, "arrive", name, coming))
                present, since = True, time
            elif present and value < LEAVE:
                if time - since >= MIN_SECONDS:
                    found.append(_Happening(time, "leave", name, float(level[max(0, i - 4 * TICKS) : i].max())))
                present = False
    return found


# -------------------------------------------------------------------------------------------------- how it is told


class _Teller:
    """Turns happenings into lines that can be read, never the same thing twice in a short time."""

    def __init__(self, sense: str, levels: Levels, seconds: float) -> None:
        table = _phrases()
        self.phrases, self.faint, self.second = table[sense], table["faint"][sense], table["second"][sense]
        self.levels, self.seconds = levels, seconds
        self.used: Counter[tuple[str, str]] = Counter()
        self.told: dict[str, float] = {}  # when each thing was last named
        self.lines: list[Line] = []

    def tell(self, happenings: list[_Happening]) -> list[Line]:
        """Lines in order of time: arrivals first, departures and reminders where there is room."""
        clock, times = 0.0, [h.time for h in happenings]
        knocks = [h.time for h in happenings if h.name in KNOCKS]
        while clock < self.seconds - MIN_SECONDS:
            due = happenings[bisect_left(times, clock - LATE) : bisect_right(times, clock)]
            soon = bisect_right(knocks, clock + GAP) > bisect_right(knocks, clock)  # leave room for a knock to come
            text = self._text([h for h in due if h.name in KNOCKS] if soon else due, clock, soon)
            if text:
                clock += self._show(clock, text)
            else:
                after = bisect_right(times, clock)
                clock = min(clock + 1 / TICKS, times[after] if after < len(times) else self.seconds)
        return self.lines

    def _text(self, due: list[_Happening], clock: float, soon: bool) -> str:
        arrivals = [h for h in due if h.kind == "arrive" and self._new(h, clock)]
        left = [h for h in due if h.kind == "leave" and clock - h.time <= 1.0 and h.name in self.told]
        return self._arrivals(arrivals, clock) or self._leave(left) or ("" if soon else self._stay(clock))

    def _now(self, name: str, clock: float) -> float:
        """The level of something at a time; nothing where it goes without saying."""
        stronger = WITHIN.get(name)
        if stronger is not None and self._now(stronger, clock) >= ENTER:
            return 0.0
        level = self.levels[name] if name in self.levels else np.zeros(1)
        return float(level[min(int(clock * TICKS), len(level) - 1)])

    def _new(self, happening: _Happening, clock: float) -> bool:
        """Whether what arrived is still there to be told, and was not told just now; a knock is over at once."""
        since = clock - self.told.get(happening.name, -AGAIN)
        if happening.name in KNOCKS:
            return clock - happening.time <= 0.5 and since >= AGAIN / 2
        return since >= AGAIN and self._now(happening.name, clock) > LEAVE

    def _show(self, clock: float, text: str) -> float:
        """Add a line; return the time until the next may come."""
        left = self.seconds - clock
        if len(text) > READING * left:  # the movie ends: the first line alone, if that can still be read
            text = text.split("\n")[0]
        wanted = min(max(MIN_SECONDS, 1.0 + len(text) / READING), MAX_SECONDS)
        if len(text) <= READING * left:
            self.lines.append(Line(_floor(clock), _floor(min(wanted, left)), text))
        return max(GAP, wanted + 0.5)

    def _next(self, name: str, kind: str, choices: list[str]) -> str:
        """The next of several wordings, in turn."""
        self.used[name, kind] += 1
        return choices[(self.used[name, kind] - 1) % len(choices)]

    def _arrivals(self, arrivals: list[_Happening], clock: float) -> str:
        """The strongest arrival, a knock before all, and a second one on a line below it."""
        if not arrivals:
            return ""
        first, *others = sorted(arrivals, key=lambda h: (h.name not in KNOCKS, -h.level))
        words = self.phrases[first.name]
        self.told[first.name] = clock
        if first.name in KNOCKS or first.level >= PLAIN:
            line = self._next(first.name, "arrive", words["arrive"])
        else:
            line = self._next("", "faint", self.faint).format(noun=words["noun"])
        second = next((h for h in others if h.name != first.name), None)
        if second is None or first.name in KNOCKS:
            return line
        self.told[second.name] = clock
        return line + "\n" + self._next("", "second", self.second).format(noun=self.phrases[second.name]["noun"])

    def _leave(self, left: list[_Happening]) -> str:
        for happening in sorted(left, key=lambda h: -h.level):
            choices = self.phrases[happening.name]["leave"]
            if choices and happening.level >= PLAIN:
                return self._next(happening.name, "leave", choices)
        return ""

    def _stay(self, clock: float) -> str:
        """After a silence what is there and has no line yet; after a long one, what was not named for longest."""
        quiet = clock - (self.lines[-1].start + self.lines[-1].seconds if self.lines else 0.0)
        if quiet < ALSO:
            return ""
        now = {name: self._now(name, clock) for name in self.levels}
        missed = [_Happening(clock, "arrive", n, v) for n, v in now.items() if v >= ENTER and n not in self.told]
        if missed or quiet < REMIND:
            return self._arrivals(missed, clock)
        present = [name for name, level in now.items() if level >= STRONG]
        for name in sorted(present, key=lambda name: (self.told.get(name, -1.0), -now[name])):
            self.told[name] = clock
            return self._next(name, "stay", self.phrases[name]["stay"])
        return ""
