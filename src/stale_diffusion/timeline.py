"""timeline.json: the source of truth for touch, smell and taste; and the strict JSON reader for untrusted files.

    {"format": "stale-diffusion timeline", "version": 1, "seconds": 20.0, "tracks": [
      {"sense": "touch", "origin": "generated", "rate": "64", "samples": 1280, "channels": [
        {"name": "seat_amplitude", "unit": "1", "keyframes": [[0.0, 0.12], [0.5, 0.31], ...]}, ...]}, ...]}

Sample i of a track lies at i / rate seconds. Keyframes are joined by straight lines, before the first and after the
last the value is held; sampled at `rate` they give every value within half a quantisation level, silence exactly.

Shapes: T samples, C channels, K keyframes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError

Origin = Literal["generated", "derived", "given", "edited"]

FORMAT = "stale-diffusion timeline"
VERSION = 1
MAX_BYTES = 32 * 2**20
MAX_SECONDS = 24 * 3600.0
MAX_RATE = 1000
MAX_CHANNELS = 256
MAX_TRACKS = 16
MAX_VALUES = 2**26  # samples times channels of one track

# (low, high, level): range and quantisation level of each channel.
RANGES: dict[str, tuple[float, float, float]] = {
    "seat_amplitude": (0, 1, 1 / 63),
    "back_amplitude": (0, 1, 1 / 63),
    "frequency": (20, 300, 280 / 63),
    "temperature": (-10, 50, 60 / 63),
    "wind": (0, 20, 20 / 63),
}
LEVEL = 1 / 31  # smell and taste, [0, 1]


@dataclass(frozen=True)
class Track:
    """One sense on the movie's clock.

    Args:
        sense: "touch", "smell", "taste" or an additional one.
        rate: samples a second.
        channels: names, (C,).
        unit: one unit for all channels, or one a channel, separated by ", ".
        values: (T, C) float32, in physical units.
        origin: generated (by the network), derived (by signal processing or a lexicon), given, or edited.
    """

    sense: str
    rate: Fraction
    channels: tuple[str, ...]
    unit: str
    values: NDArray[np.float32]
    origin: Origin

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return float(len(self.values) / self.rate)

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each channel."""
        units = tuple(self.unit.split(", "))
        return units if len(units) == len(self.channels) else (self.unit,) * len(self.channels)

    def channel(self, name: str) -> NDArray[np.float32]:
        """The values of one channel, (T,)."""
        return self.values[:, self.channels.index(name)]


# ------------------------------------------------------------------------------------------------------ keyframes


def keyframes(
    values: NDArray[np.float64], tolerance: NDArray[np.float64] | float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and values, (K,), of samples (T,) that, joined by straight lines, pass every sample within its tolerance.

    A cone of admissible slopes narrows from sample to sample (swinging door, Bristol 1990): O(T), no look-ahead.
    A sample with tolerance 0 is met exactly.
    """
    n = len(values)
    if n < 3:
        return np.arange(n), np.asarray(values, np.float64)
    y, slack = values.tolist(), np.broadcast_to(tolerance, (n,)).tolist()
    kept = [0]
    start, low, high = 0, -math.inf, math.inf
    for i in range(1, n):
        run = i - start
        slope = (y[i] - y[start]) / run
        if not low <= slope <= high:
            start, low, high, run = i - 1, -math.inf, math.inf, 1
            kept.append(start)
        low = max(low, (y[i] - slack[i] - y[start]) / run)
        high = min(high, (y[i] + slack[i] - y[start]) / run)
    kept.append(n - 1)
    return np.array(kept), values[kept]


def channel_keyframes(name: str, values: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keyframes of a channel within half a level; amplitudes finer where they are small, silence exact."""
    level = RANGES.get(name, (0.0, 1.0, LEVEL))[2]
    decimals = max(0, math.ceil(-math.log10(level / 50)))
    rounded = np.asarray(values, np.float64).round(decimals)
    slack = np.full(len(rounded), 0.45 * level)
    if name.endswith("amplitude"):  # felt as its square root: a half level there is 2 sqrt(a) / 62
        slack = np.minimum(slack, np.sqrt(np.maximum(rounded, 0)) / 40)
    slack[rounded == 0] = 0
    return keyframes(rounded, slack)


# -------------------------------------------------------------------------------------------------------- writing


def to_json(seconds: float, tracks: Mapping[str, Track]) -> str:
    """The timeline of a movie as JSON."""
    return "".join(stream_json(seconds, tracks))


def stream_json(seconds: float, tracks: Mapping[str, Track]) -> Iterator[str]:
    """The same in pieces, one a channel: a movie of hours is never held as one text."""
    head = json.dumps({"format": FORMAT, "version": VERSION, "seconds": round(seconds, 6)})
    yield head[:-1] + ', "tracks": ['
    for i, track in enumerate(tracks.values()):
        head = json.dumps(
            {"sense": track.sense, "origin": track.origin, "rate": str(track.rate), "samples": len(track.values)}
        )
        yield (",\n" if i else "\n") + head[:-1] + ', "channels": ['
        for c, (name, unit) in enumerate(zip(track.channels, track.units, strict=True)):
            at, values = channel_keyframes(name, track.values[:, c])
            times = np.round(at / float(track.rate), 6).tolist()
            pairs = [list(pair) for pair in zip(times, values.tolist(), strict=True)]
            record = {"name": name, "unit": unit, "keyframes": pairs}
            yield (",\n" if c else "\n") + json.dumps(record, separators=(",", ":"))
        yield "]}"
    yield "]}\n"


# -------------------------------------------------------------------------------------------------------- reading


def _refuse(source: str, why: str) -> StaleError:
    return StaleError(f"{source} cannot be read.", why, "export it again from the movie it belongs to")


def read_object(data: bytes | str, source: str) -> dict[str, Any]:
    """Parse an untrusted JSON object: no NaN, no duplicate keys, bounded size and depth.

    Raises:
        StaleError: it is anything else.
    """
    if len(data) > MAX_BYTES:
        raise _refuse(source, f"it is larger than {MAX_BYTES >> 20} MB")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key occurs twice")
        return found

    def constant(name: str) -> float:
        raise ValueError(f"{name} is not a number of JSON")

    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except RecursionError:
        raise _refuse(source, "it is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise _refuse(source, f"it is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise _refuse(source, "it is not a JSON object")
    return value


def from_json(data: bytes | str, source: str = "timeline.json") -> tuple[float, dict[str, Track]]:
    """Read a timeline: (seconds, {sense: Track}).

    Raises:
        StaleError: it is damaged, of another version, or asks for more than a movie can hold.
    """
    root = read_object(data, source)
    read = _Fields(source)
    if root.get("format") != FORMAT or root.get("version") != VERSION:
        raise _refuse(source, f"it is not a {FORMAT} of version {VERSION}")
    seconds = read.number(root, "seconds", 0, MAX_SECONDS)
    tracks: dict[str, Track] = {}
    for entry in read.list(root, "tracks", MAX_TRACKS):
        track = read.track(entry, seconds)
        if track.sense in tracks:
            raise _refuse(source, f"it has two tracks of {track.sense}")
        tracks[track.sense] = track
    return seconds, tracks


@dataclass(frozen=True)
class _Fields:
    """Typed access to the fields of an untrusted object."""

    source: str

    def number(self, record: Any, name: str, low: float, high: float) -> float:
        value = record.get(name) if isinstance(record, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _refuse(self.source, f"{name} must be a number from {low:g} to {high:g}")
        return float(value)

    def text(self, record: Any, name: str) -> str:
        value = record.get(name) if isinstance(record, dict) else None
        if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
            raise _refuse(self.source, f"{name} must be a short text")
        return value

    def list(self, record: Any, name: str, longest: int) -> Sequence[Any]:
        value = record.get(name) if isinstance(record, dict) else None
        if not isinstance(value, list) or len(value) > longest:
            raise _refuse(self.source, f"{name} must be a list of at most {longest}")
        return value

    def rate(self, record: Any) -> Fraction:
        try:
            rate = Fraction(self.text(record, "rate"))
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= MAX_RATE or rate.denominator > 1_000_000:
            raise _refuse(self.source, f'rate must be a text such as "64" or "30000/1001", at most {MAX_RATE}')
        return rate

    def track(self, record: Any, seconds: float) -> Track:
        sense, rate, origin = self.text(record, "sense"), self.rate(record), self.text(record, "origin")
        if origin not in get_args(Origin):
            raise _refuse(self.source, f"origin must be one of {', '.join(get_args(Origin))}")
        samples = int(self.number(record, "samples", 0, MAX_VALUES))
        if abs(samples - seconds * rate) > 1:
            raise _refuse(self.source, f"the track of {sense} is not as long as the movie")
        channels = self.list(record, "channels", MAX_CHANNELS)
        if not channels or samples * len(channels) > MAX_VALUES:
            raise _refuse(self.source, f"the track of {sense} has no channels, or too many values")
        names, units = (tuple(self.text(c, key) for c in channels) for key in ("name", "unit"))
        if len(set(names)) < len(names):
            raise _refuse(self.source, f"two channels of {sense} have one name")
        values = np.empty((samples, len(channels)), np.float32)
        for c, channel in enumerate(channels):
            values[:, c] = self.curve(channel, samples, rate)
        unit = units[0] if len(set(units)) == 1 else ", ".join(units)
        return Track(sense, rate, names, unit, values, origin)  # type: ignore[arg-type]

    def curve(self, channel: Any, samples: int, rate: Fraction) -> NDArray[np.float64]:
        """Keyframes sampled at the track's rate."""
        name = self.text(channel, "name")
        low, high, _ = RANGES.get(name, (-1e6, 1e6, 0))
        pairs = self.list(channel, "keyframes", samples + 2)
        if samples and not pairs:
            raise _refuse(self.source, f"{name} has no keyframes")
        points = np.zeros((len(pairs), 2))
        for i, pair in enumerate(pairs):
            if not isinstance(pair, list) or len(pair) != 2 or not all(type(v) in (int, float) for v in pair):
                raise _refuse(self.source, f"a keyframe of {name} must be [seconds, value]")
            if not (0 <= pair[0] <= MAX_SECONDS and low <= pair[1] <= high):
                raise _refuse(self.source, f"a keyframe of {name} lies outside {low:g} to {high:g}")
            points[i] = pair
        times, values = points.T
        if np.any(np.diff(times) < 0):
            raise _refuse(self.source, f"the keyframes of {name} are not in order of time")
        return np.interp(np.arange(samples) / float(rate), times, values)
