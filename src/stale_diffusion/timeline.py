"""timeline.json: the source of truth for touch, smell and taste.

    {"format": "stale-diffusion timeline", "version": 1, "seconds": 20.0, "tracks": [
      {"sense": "touch", "origin": "generated", "rate": "64", "samples": 1280, "channels": [
        {"name": "seat_amplitude", "unit": "1", "keyframes": [[0.0, 0.12], [0.5, 0.31], ...]}, ...]}, ...]}

Sample i of a track lies at i / rate seconds. Keyframes are joined by straight lines, before the first and after the
last the value is held; sampled at `rate` they give every value within half a quantisation level, silence exactly.

Shapes: T samples, C channels, K keyframes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.jsonio import Fields, dumps, read_object, refusal, with_list
from stale_diffusion.senses import felt
from stale_diffusion.splice import Curve, sample, splice

Origin = Literal["generated", "derived", "given", "edited"]

FORMAT = "stale-diffusion timeline"
VERSION = 1
CHUNK = 2**15  # samples whose keyframes are made at once
MAX_SECONDS = 24 * 3600.0
MAX_RATE = 1000
MAX_CHANNELS = 256
MAX_TRACKS = 16
MAX_VALUES = 2**26  # samples times channels of all tracks together: a small file may ask for much memory

# (low, high, level): range and quantisation level of each channel.
RANGES: dict[str, tuple[float, float, float]] = {
    name: limits for s in felt().values() for name, limits in zip(s.channels, s.limits, strict=True)
}
ANY = (-1e6, 1e6, 1 / 31)  # a channel of an additional sense
# The channels and the rate of the senses that other formats and the network read.
CLOCKS = {name: (sense.channels, sense.rate) for name, sense in felt().items()}


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
        curves: the keyframes that it was read from, one curve a channel; where they still give the values they are
            written again as they are.
    """

    sense: str
    rate: Fraction
    channels: tuple[str, ...]
    unit: str
    values: NDArray[np.float32]
    origin: Origin
    curves: tuple[Curve, ...] = field(default=(), repr=False, compare=False)

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


def chunked_keyframes(
    values: NDArray[np.float64], tolerance: NDArray[np.float64] | float
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
    """`keyframes` a chunk at a time: (first sample of the chunk, indices, values); no sample occurs twice."""
    slack = np.broadcast_to(tolerance, values.shape)
    for start in range(0, max(1, len(values) - 1), CHUNK):
        cut = slice(start, start + CHUNK + 1)
        at, kept = keyframes(values[cut], slack[cut])
        if len(at):
            whole = len(at) if start + CHUNK + 1 >= len(values) else len(at) - 1  # the last begins the next chunk
            yield start, at[:whole] + start, kept[:whole]


def within_level(name: str, values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of a channel (T,) clipped and rounded to write, and their tolerances: half a level; silence exact.

    Amplitudes are finer where they are small: felt as their square root, half a level there is 2 sqrt(a) / 62.
    """
    low, high, level = RANGES.get(name, ANY)
    rounded = np.asarray(values, np.float64).clip(low, high).round(max(0, math.ceil(-math.log10(level / 50))))
    slack = np.full(len(rounded), 0.45 * level)
    if name.endswith("amplitude"):
        slack = np.minimum(slack, np.sqrt(np.maximum(rounded, 0)) / 40)
    slack[rounded == 0] = 0
    return rounded, slack


# -------------------------------------------------------------------------------------------------------- writing


def to_json(seconds: float, tracks: Mapping[str, Track]) -> str:
    """The timeline of a movie as JSON."""
    return "".join(stream(seconds, tracks))


def stream(seconds: float, tracks: Mapping[str, Track]) -> Iterator[str]:
    """The same in pieces: a movie of hours is never held as one text."""
    head = {"format": FORMAT, "version": VERSION, "seconds": round(seconds, 6)}
    yield from with_list(head, "tracks", (_track(track) for track in tracks.values()))
    yield "\n"


def _track(track: Track) -> Iterator[str]:
    head = {"sense": track.sense, "origin": track.origin, "rate": str(track.rate), "samples": len(track.values)}
    names = enumerate(zip(track.channels, track.units, strict=True))
    channels = (with_list({"name": n, "unit": u}, "keyframes", _pairs(track, c)) for c, (n, u) in names)
    return with_list(head, "channels", channels)


def _pairs(track: Track, c: int) -> Iterator[Iterable[str]]:
    for times, values in _curves(track, c):
        yield (dumps([list(pair) for pair in zip(times.tolist(), values.tolist(), strict=True)])[1:-1],)


def _curves(track: Track, c: int) -> Iterator[Curve]:
    """The keyframes of a channel, in pieces."""

    def fresh(first: int, last: int) -> Iterator[Curve]:
        rounded, slack = within_level(track.channels[c], track.values[first:last, c])
        for _, at, values in chunked_keyframes(rounded, slack):
            yield np.round((first + at) / float(track.rate), 6), values

    if track.curves:
        return splice(track.curves[c], track.values[:, c], track.rate, fresh)
    return fresh(0, len(track.values))


def settled(track: Track) -> Track:
    """The track as it will be read back: what is written from it, in any format, is the same again at every save."""
    if not len(track.values):
        return track
    pieces = [list(zip(*_curves(track, c), strict=True)) for c in range(len(track.channels))]
    curves = tuple((np.concatenate(times), np.concatenate(values)) for times, values in pieces)
    at = np.arange(len(track.values)) / float(track.rate)
    values = np.stack([sample(curve, at) for curve in curves], -1).astype(np.float32)
    return replace(track, values=values, curves=curves)


# -------------------------------------------------------------------------------------------------------- reading


def from_json(data: bytes | str, source: str = "timeline.json") -> tuple[float, dict[str, Track]]:
    """Read a timeline: (seconds, {sense: Track}).

    Raises:
        StaleError: it is damaged, of another version, or asks for more than a movie can hold.
    """
    root = read_object(data, source)
    read = _Tracks(source)
    if root.get("format") != FORMAT or root.get("version") != VERSION:
        raise refusal(source, f"it is not a {FORMAT} of version {VERSION}")
    seconds = read.number(root, "seconds", 0, MAX_SECONDS)
    tracks: dict[str, Track] = {}
    for entry in read.list(root, "tracks", MAX_TRACKS):
        track = read.track(entry, seconds, MAX_VALUES - sum(t.values.size for t in tracks.values()))
        if track.sense in tracks:
            raise refusal(source, f"it has two tracks of {track.sense}")
        tracks[track.sense] = track
    return seconds, tracks


class _Tracks(Fields):
    """The fields of a track."""

    def rate(self, record: Any) -> Fraction:
        try:
            rate = Fraction(self.text(record, "rate"))
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= MAX_RATE or rate.denominator > 1_000_000:
            raise refusal(self.source, f'rate must be a text such as "64" or "30000/1001", at most {MAX_RATE}')
        return rate

    def track(self, record: Any, seconds: float, room: int) -> Track:
        sense, rate, origin = self.text(record, "sense"), self.rate(record), self.text(record, "origin")
        if origin not in get_args(Origin):
            raise refusal(self.source, f"origin must be one of {', '.join(get_args(Origin))}")
        samples = int(self.number(record, "samples", 0, MAX_VALUES))
        if abs(samples - seconds * rate) > 1:
            raise refusal(self.source, f"the track of {sense} is not as long as the movie")
        channels = self.list(record, "channels", MAX_CHANNELS)
        if not channels or samples * len(channels) > room:
            raise refusal(self.source, f"the track of {sense} has no channels, or too many values")
        names, units = (tuple(self.text(c, key) for c in channels) for key in ("name", "unit"))
        if len(set(names)) < len(names):
            raise refusal(self.source, f"two channels of {sense} have one name")
        curves = tuple(self.curve(channel, samples) for channel in channels)
        at = np.arange(samples) / float(rate)
        values = np.empty((samples, len(channels)), np.float32)
        for c, curve in enumerate(curves if samples else ()):
            values[:, c] = sample(curve, at)
        unit = units[0] if len(set(units)) == 1 else ", ".join(units)
        if sense in CLOCKS and (names, rate) != CLOCKS[sense]:
            raise refusal(self.source, f"{sense} has other channels, or another rate, than this program writes")
        return Track(sense, rate, names, unit, values, origin, curves if samples else ())  # type: ignore[arg-type]

    def curve(self, channel: Any, samples: int) -> Curve:
        """The keyframes of a channel, checked."""
        name = self.text(channel, "name")
        low, high, _ = RANGES.get(name, ANY)
        pairs = self.list(channel, "keyframes", samples + 2)
        if samples and not pairs:
            raise refusal(self.source, f"{name} has no keyframes")
        points = np.zeros((len(pairs), 2))
        for i, pair in enumerate(pairs):
            if not isinstance(pair, list) or len(pair) != 2 or not all(type(v) in (int, float) for v in pair):
                raise refusal(self.source, f"a keyframe of {name} must be [seconds, value]")
            if not (0 <= pair[0] <= MAX_SECONDS and low <= pair[1] <= high):
                raise refusal(self.source, f"a keyframe of {name} lies outside {low:g} to {high:g}")
            points[i] = pair
        times, values = points.T
        if np.any(np.diff(times) < 0):
            raise refusal(self.source, f"the keyframes of {name} are not in order of time")
        return times, values
