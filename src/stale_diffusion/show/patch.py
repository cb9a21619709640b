"""The patch: which sense drives which device, how far, how early and for how long: TOML, explained in docs/show.md.

    [[effect]]
    name = "fan"
    sense = "touch"
    channel = "wind"
    osc = "/room/fan"       # an OSC address, or
    dmx = 3                 # a DMX channel, or both
    range = [0, 12]         # m/s: what is off and what is full
    curve = "root"
    latency = 800           # ms
    limit = 0.9             # never above this
    limit_seconds = 60      # on for a minute at a stretch at most
    rest_seconds = 20       # and then off for so long

Shapes: T samples of a track, K points of a curve.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.timeline import ANY, CLOCKS, RANGES

FULL = 255  # levels are bytes, as DMX has them
MAX_BYTES = 2**20
MAX_EFFECTS = 1024
MAX_LATENCY = 60_000.0  # ms
MAX_SECONDS = 86_400.0
CURVES = ("linear", "square", "root")
KEYS = ("name", "sense", "channel", "osc", "dmx", "range", "curve", "latency", "limit", "limit_seconds", "limit_above",
        "rest_seconds")  # fmt: skip
_OSC = re.compile(r"(/[^\x00-\x20\x7f-\U0010ffff#*,/?\[\]{}]+)+")


@dataclass(frozen=True)
class Effect:
    """One device's entry in a patch.

    Args:
        name: what it is called in messages and in the CSV.
        sense, channel: the track and its channel that drive it.
        osc: OSC address, None for none.
        dmx: DMX channel, 1 to 512, None for none.
        range: the values of the channel, in its unit, at which it is off and full; the first may be the larger.
        curve: "linear", "square", "root", or points (K, 2) from (0, 0) to x = 1, joined by straight lines.
        latency: seconds that the device takes; it is told so much earlier.
        limit: the highest level it is ever given, (0, 1].
        limit_seconds: how long it may be above `limit_above` at a stretch; None for ever.
        limit_above: the level above which that time counts, and which is kept while it rests.
        rest_seconds: how long it rests after that, and how long it takes to forget a stretch.
    """

    name: str
    sense: str
    channel: str
    osc: str | None
    dmx: int | None
    range: tuple[float, float]
    curve: str | tuple[tuple[float, float], ...]
    latency: float = 0.0
    limit: float = 1.0
    limit_seconds: float | None = None
    limit_above: float = 0.0
    rest_seconds: float = 0.0

    def levels(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Levels 0 to 255, (T,), for values (T,) in the channel's unit; what is not a number is off."""
        low, high = self.range
        x = np.nan_to_num((np.asarray(values, np.float64) - low) / (high - low)).clip(0, 1)
        if self.curve == "square":
            x = x**2
        elif self.curve == "root":
            x = np.sqrt(x)
        elif self.curve != "linear":
            at, to = np.array(self.curve).T
            x = np.interp(x, at, to)
        return np.minimum(np.round(FULL * x), math.floor(FULL * self.limit + 1e-9)).astype(np.uint8)


def load_patch(path: str | Path | None, tracks: Mapping[str, Collection[str]] | None = None) -> tuple[Effect, ...]:
    """Read a patch file; None is the one that ships.

    Args:
        path: a TOML file.
        tracks: channels of the movie's additional senses, by sense.

    Raises:
        StaleError: it is missing, or anything in it is wrong; one error, the first.
    """
    if path is None:
        shipped = parse_patch(resources.files(__package__).joinpath("default.toml").read_bytes(), "the default patch")
        return (*shipped, *_further(shipped))
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        why = error.strerror or str(error)
        raise StaleError(f"{path} cannot be read.", why, "check the name and the folder", usage=True) from None
    return parse_patch(data, str(path), tracks)


def _further(shipped: tuple[Effect, ...]) -> Iterator[Effect]:
    """Effects of the senses of which the default patch says nothing, on the DMX channels after its last.

    A channel that goes to either side of rest is two effects, each off at rest, so that off never means tilted.
    """
    dmx = itertools.count(1 + max(e.dmx or 0 for e in shipped))
    told = {e.sense for e in shipped}
    for sense, (channels, _) in CLOCKS.items():
        for channel in channels if sense not in told else ():
            low, high, _ = RANGES[channel]
            ways = [("", low, high)] if low >= 0 else [(" plus", 0.0, high), (" minus", 0.0, low)]
            for way, off, full in ways:
                address = f"/stale/{sense}/{channel}{way.replace(' ', '/')}".replace(" ", "_")
                at = next(dmx)
                yield Effect(
                    f"{channel}{way}", sense, channel, address, at if at <= 512 else None, (off, full), "linear"
                )


def parse_patch(data: bytes, source: str, tracks: Mapping[str, Collection[str]] | None = None) -> tuple[Effect, ...]:
    """The effects of a patch in TOML, in the file's order.

    Raises:
        StaleError: anything in it is wrong.
    """
    if len(data) > MAX_BYTES:
        raise _refusal(source, f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        root = tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refusal(source, f"it is not TOML: {error}") from None
    except RecursionError:
        raise _refusal(source, "it is nested too deeply") from None
    extra = [key for key in root if key != "effect"]
    if extra:
        raise _refusal(source, f"{_quoted(extra[0])} is not known; a patch is a list of [[effect]]")
    entries = root.get("effect")
    if not isinstance(entries, list) or not entries or len(entries) > MAX_EFFECTS:
        raise _refusal(source, f"it needs one to {MAX_EFFECTS} [[effect]] entries")
    known = {sense: names for sense, (names, _) in CLOCKS.items()} | dict(tracks or {})
    effects = tuple(_Entry(source, i, entry, known).effect() for i, entry in enumerate(entries, 1))
    for what, key in (("DMX channel", "dmx"), ("OSC address", "osc"), ("name", "name")):
        _once(source, what, [(e.name, getattr(e, key)) for e in effects])
    return effects


def _once(source: str, what: str, named: Iterable[tuple[str, Any]]) -> None:
    taken: dict[Any, str] = {}
    for name, value in named:
        if value is not None and value in taken:
            why = f"{what} {value} is given twice, to {_quoted(taken[value])} and to {_quoted(name)}"
            raise _refusal(source, why)
        taken[value] = name


def _refusal(source: str, why: str) -> StaleError:
    return StaleError(
        f"{source} cannot be used as a patch.", why, "mend the file; docs/show.md has examples", usage=True
    )


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Entry:
    """Typed access to one [[effect]] of an untrusted file."""

    def __init__(self, source: str, number: int, record: Any, known: Mapping[str, Collection[str]]) -> None:
        self.source, self.record, self.known = source, record, known
        self.label = f"effect {number}"
        if not isinstance(record, dict):
            raise self.refusal("it is not a table")
        name = record.get("name")
        if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 60:
            self.label += f" ({name})"

    def refusal(self, why: str) -> StaleError:
        return _refusal(self.source, f"{self.label}: {why}")

    def effect(self) -> Effect:
        """The entry, checked."""
        for key in self.record:
            if key not in KEYS:
                raise self.refusal(f"{_quoted(key)} is not known{_meant(key, KEYS)}")
        sense = self.choice("sense", self.known)
        channel = self.choice("channel", self.known[sense], f" of {sense}")
        osc, dmx = self.osc(), self.dmx()
        if osc is None and dmx is None:
            raise self.refusal("it needs an osc address or a dmx channel")
        limited = "limit_seconds" in self.record
        for key in ("limit_above", "rest_seconds"):
            if key in self.record and not limited:
                raise self.refusal(f"{key} means nothing without limit_seconds")
        seconds = self.number("limit_seconds", None, 0.01, MAX_SECONDS) if limited else None
        limit = self.number("limit", 1.0, 1 / FULL, 1.0)
        return Effect(
            self.name(f"{sense} {channel}"), sense, channel, osc, dmx, self.range(channel), self.curve(),
            self.number("latency", 0.0, 0, MAX_LATENCY) / 1000, limit, seconds,
            self.number("limit_above", 0.0, 0, limit),
            self.number("rest_seconds", seconds or 0.0, 0.01 if limited else 0, MAX_SECONDS),
        )  # fmt: skip

    def name(self, default: str) -> str:
        name = self.record.get("name", default)
        if not isinstance(name, str) or not 0 < len(name) <= 60 or not name.isprintable() or name[0] in "=+-@":
            raise self.refusal(
                f"name must be a short text on one line that begins with none of = + - @, not {_quoted(name)}"
            )
        return name

    def choice(self, key: str, choices: Collection[str], of: str = "") -> str:
        value = self.record.get(key)
        if value is None:
            raise self.refusal(f"it needs a {key}{of}: {', '.join(choices)}")
        if not isinstance(value, str) or value not in choices:
            raise self.refusal(f"there is no {key} {_quoted(value)}{of}{_meant(value, choices)}; "
                               f"there are {', '.join(choices)}")  # fmt: skip
        return value

    def osc(self) -> str | None:
        value = self.record.get("osc")
        if value is not None and not (isinstance(value, str) and len(value) <= 200 and _OSC.fullmatch(value)):
            raise self.refusal(
                f'osc must be an address such as "/room/fan", without spaces or #*,?[]{{}}, not {_quoted(value)}'
            )
        return value

    def dmx(self) -> int | None:
        value = self.record.get("dmx")
        if value is not None and (type(value) is not int or not 1 <= value <= 512):
            raise self.refusal(f"dmx must be a whole number from 1 to 512, not {_quoted(value)}")
        return value

    def number(self, key: str, default: float | None, low: float, high: float) -> float:
        value = self.record.get(key, default)
        if not _is_number(value) or not low <= value <= high:
            raise self.refusal(f"{key} must be a number from {low:.3g} to {high:.15g}, not {_quoted(value)}")
        return float(value)

    def range(self, channel: str) -> tuple[float, float]:
        low, high, _ = RANGES.get(channel, ANY)
        value = self.record.get("range")
        if value is None and low >= 0:
            return low, high
        good = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] != value[1]
        if value is None:
            raise self.refusal(f"{channel} has no value that is off by nature: it needs a range = [off, full]")
        if not good or not all(abs(v) <= ANY[1] for v in value):
            raise self.refusal(f"range must be two different numbers, [off, full], not {_quoted(value)}")
        return float(value[0]), float(value[1])

    def curve(self) -> str | tuple[tuple[float, float], ...]:
        value = self.record.get("curve", "linear")
        if isinstance(value, str) and value in CURVES:
            return value
        points = value if isinstance(value, list) else []
        good = 2 <= len(points) <= 256 and all(
            isinstance(p, list) and len(p) == 2 and all(_is_number(v) and 0 <= v <= 1 for v in p) for p in points
        )
        if not good or points[0] != [0, 0] or points[-1][0] != 1 or any(a[0] >= b[0] for a, b in pairwise(points)):
            why = "curve must be linear, square, root, or points from [0, 0] on, x rising to 1, all from 0 to 1, not "
            raise self.refusal(why + _quoted(value))
        return tuple((float(x), float(y)) for x, y in points)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _meant(word: Any, known: Collection[str]) -> str:
    close = difflib.get_close_matches(str(word), list(known), 1)
    return f" (is {close[0]} meant?)" if close else ""
