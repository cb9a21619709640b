"""The scene: what a director writes down for each segment, as bits.

Between the plot and the senses stands one more stream, a sense like the others to the network: which place, hour,
weather, palette and camera (statics), curves of what goes on, and events. A segment is 25 tokens of 32 bits: 3 for
the statics, one a curve (six DCT coefficients, so that it is smooth by construction), one an event.

Shapes: S segments, L = 25 tokens, D = 32 bits, K = 6 coefficients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS, Bits, Stream
from stale_diffusion.senses.transform import gray_decode, gray_encode

PLACES = (
    "shore", "rain on glass", "forest stream", "campfire", "thunderstorm", "kettle and coffee", "snowfall",
    "night train", "aurora", "meadow", "bakery oven", "lighthouse",
)  # fmt: skip
CURVES = ("wind", "swell", "rain", "fire", "steam", "flow", "light", "life", "near", "mix")
EVENTS = (
    "wave", "lightning", "crack", "spark", "drop", "runnel", "splash", "gust",
    "bird", "frog", "whistle", "pour", "clink", "creak", "passing", "bell",
)  # fmt: skip
SLOTS = 12  # events a segment at most
COEFFICIENTS = 6

# Statics: name -> bits; three tokens of 32. The first is what stays from segment to segment: which shore, what hour.
# All but place, next and variant are read as values in [0, 1].
STATICS: tuple[tuple[tuple[str, int], ...], ...] = (
    (("place", 4), ("variant", 16), ("hour", 8)),
    (("next", 4), ("cloud", 6), ("haze", 6), ("warmth", 4), ("saturation", 4), ("exposure", 4), ("contrast", 4)),
    (("height", 6), ("pan", 6), ("focal", 6), ("drift", 6), ("sun", 8)),
)
_INTEGERS = ("place", "next", "variant")
# Half range and bits of each DCT coefficient of a curve in [0, 1] (16 samples, orthonormal); 32 bits in all.
_CURVE_RANGE = np.array([4.0, 2.0, 1.2, 0.8, 0.6, 0.4])
_CURVE_BITS = (8, 7, 6, 4, 4, 3)
_EVENT_BITS = (("kind", 4), ("time", 9), ("strength", 6), ("x", 6), ("distance", 6))

_TOKENS = len(STATICS) + len(CURVES) + SLOTS
STREAM = Stream("scene", tokens=_TOKENS, bits=32, grid=(1, 1, _TOKENS), kinds=_TOKENS)

# Which bits of each token are one number; those of the variant stand alone.
FIELDS: list[list[int]] = [
    *([w for name, n in row for w in ([1] * n if name == "variant" else [n])] for row in STATICS),
    *([*_CURVE_BITS] for _ in CURVES),
    *([1, *(n for _, n in _EVENT_BITS)] for _ in range(SLOTS)),
]
FIELDS = [[*row, *[1] * (STREAM.bits - sum(row))] for row in FIELDS]


@dataclass(frozen=True)
class Event:
    """Something that happens at a moment.

    Args:
        kind: one of EVENTS.
        time: seconds; within its segment in `Segment`, since the movie's start in a stage.
        strength: [0, 1].
        x: place from left to right, [-1, 1].
        distance: [0, 1], near to far; each place documents its metres.
    """

    kind: str
    time: float
    strength: float = 0.5
    x: float = 0.0
    distance: float = 0.5


@dataclass(frozen=True)
class Segment:
    """Four seconds of scene.

    Args:
        place: name of the place, one of PLACES.
        next: the place it turns into as the curve "mix" goes to 1 (the same place: no transition).
        variant: the identity of the place, 16 bits: another variant is another shore.
        statics: values in [0, 1]: hour (0 = midnight, 0.5 = noon), cloud, haze, warmth, saturation, exposure,
            contrast, height, pan, focal, drift, sun; absent ones are 0.5.
        curves: name -> DCT coefficients (K,); absent ones are zero.
        events: at most SLOTS, in order of time.
    """

    place: str
    next: str
    variant: int
    statics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        if len(self.events) > SLOTS:
            raise StaleError(
                f"A segment holds at most {SLOTS} events, this one has {len(self.events)}.", mend="Keep the strongest."
            )


def _basis(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The orthonormal DCT-II basis of 16 samples a segment, continued to any time, (..., K)."""
    scale = np.where(np.arange(COEFFICIENTS) == 0, np.sqrt(1 / 16), np.sqrt(2 / 16))
    return np.asarray(
        scale * np.cos(np.pi * np.arange(COEFFICIENTS) * np.asarray(seconds)[..., None] / SEGMENT_SECONDS)
    )


_TICKS = (np.arange(16) + 0.5) * SEGMENT_SECONDS / 16


def fit_curve(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """The K coefficients of 16 samples (4 Hz) of a curve in [0, 1]."""
    return np.asarray(np.asarray(samples, np.float64) @ _basis(_TICKS))


def read_curve(coefficients: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve at any seconds within its segment; smooth, not clipped."""
    return np.asarray(_basis(seconds) @ coefficients)


def _code(value: float, bits: int) -> NDArray[np.int8]:
    """A value in [0, 1] as Gray-coded bits."""
    return gray_encode(np.array(round(float(np.clip(value, 0, 1)) * (2**bits - 1))), bits)


def _value(bits: Bits) -> float:
    return float(int(gray_decode(bits)) / (2 ** len(bits) - 1))


def _encode_statics(segment: Segment) -> list[Bits]:
    integers = {"place": PLACES.index(segment.place), "next": PLACES.index(segment.next), "variant": segment.variant}
    tokens = []
    for fields in STATICS:
        parts = [
            gray_encode(np.array(integers[n]), bits) if n in integers else _code(segment.statics.get(n, 0.5), bits)
            for n, bits in fields
        ]
        token = np.concatenate(parts)
        tokens.append(np.pad(token, (0, STREAM.bits - len(token)), constant_values=-1))
    return tokens


def _encode_curve(coefficients: NDArray[np.float64]) -> Bits:
    parts = []
    for c, half_range, bits in zip(coefficients, _CURVE_RANGE, _CURVE_BITS, strict=True):
        half = 2 ** (bits - 1)  # level `half` is zero exactly: a curve at rest stays at rest
        parts.append(gray_encode(np.array(int(np.clip(round(c / half_range * half) + half, 0, 2 * half - 1))), bits))
    return np.concatenate(parts)


def _decode_curve(bits: Bits) -> NDArray[np.float64]:
    out, at = [], 0
    for half_range, n in zip(_CURVE_RANGE, _CURVE_BITS, strict=True):
        half = 2 ** (n - 1)
        out.append((int(gray_decode(bits[at : at + n])) - half) / half * half_range)
        at += n
    return np.array(out)


def _encode_event(event: Event | None) -> Bits:
    if event is None:
        return np.full(STREAM.bits, -1, np.int8)
    present = np.ones(1, np.int8)
    kind = gray_encode(np.array(EVENTS.index(event.kind)), 4)
    time = _code(event.time / SEGMENT_SECONDS, 9)
    rest = [_code(v, 6) for v in (event.strength, (event.x + 1) / 2, event.distance)]
    return np.concatenate([present, kind, time, *rest])


def _decode_event(bits: Bits) -> Event | None:
    if bits[0] < 0:
        return None
    kind = EVENTS[int(gray_decode(bits[1:5]))]
    time, strength, x, distance = _value(bits[5:14]), _value(bits[14:20]), _value(bits[20:26]), _value(bits[26:32])
    return Event(kind, time * SEGMENT_SECONDS, strength, 2 * x - 1, distance)


def encode(segments: Iterable[Segment]) -> Bits:
    """Scene segments as bits, (S, L, D) in {-1, +1}."""
    rows = []
    for s in segments:
        zero = np.zeros(COEFFICIENTS)
        curves = [_encode_curve(np.asarray(s.curves.get(name, zero))) for name in CURVES]
        events = sorted(s.events, key=lambda e: e.time)
        slots = [_encode_event(e) for e in (*events, *[None] * (SLOTS - len(events)))]
        rows.append(np.stack([*_encode_statics(s), *curves, *slots]))
    return np.stack(rows).astype(np.int8)


def decode(bits: Bits) -> list[Segment]:
    """Bits (S, L, D) as scene segments; any bits are a valid scene (a place out of range wraps around)."""
    return [_decode_segment(b) for b in bits]


def _decode_segment(bits: Bits) -> Segment:
    statics: dict[str, float] = {}
    integers: dict[str, int] = {}
    for token, fields in zip(bits, STATICS, strict=False):
        at = 0
        for name, n in fields:
            part, at = token[at : at + n], at + n
            if name in _INTEGERS:
                integers[name] = int(gray_decode(part))
            else:
                statics[name] = _value(part)
    first = len(STATICS)
    curves = {name: _decode_curve(bits[first + i]) for i, name in enumerate(CURVES)}
    events = [_decode_event(b) for b in bits[first + len(CURVES) :]]
    present = tuple(sorted((e for e in events if e is not None), key=lambda e: e.time))
    place, following = (PLACES[integers[k] % len(PLACES)] for k in ("place", "next"))
    return Segment(place, following, integers["variant"], statics, curves, present)


_GRID = 64  # samples a second of the tables a stage reads its curves from
_JOIN_SECONDS = 1.0


def turned(last: Segment, after: Segment) -> Segment:
    """The last segment of one place as it turns into the place of the segment after it; what of that one's curves is
    not in it is there as it comes."""
    ramp = fit_curve(0.5 - 0.5 * np.cos(np.pi * (np.arange(16) + 0.5) / 16))
    start = np.zeros(1)
    coming = {n: fit_curve(np.full(16, read_curve(c, start)[0])) for n, c in after.curves.items()}
    return replace(last, next=after.place, curves={**coming, **last.curves, "mix": ramp})


def turning(last: Bits, after: Bits) -> Bits:
    """`turned` for bits (1, L, D), which know no absent curves: one at rest, under 0.02, counts as absent."""
    segment, coming = decode(last)[0], decode(after)[0]
    curves = {n: c for n, c in segment.curves.items() if np.abs(read_curve(c, _TICKS)).max() > 0.02}
    return encode([turned(replace(segment, curves=curves), coming)])


class Stage:
    """Scene segments laid on the movie's clock: every curve continuous, every event with its absolute time.

    Args:
        segments: the segments to begin with.
        first: index of the first of them in the movie; a stage of a long movie keeps only the last few.
    """

    def __init__(self, segments: Iterable[Segment] = (), first: int = 0) -> None:
        self.first = first
        self.segments: list[Segment] = []
        self._tables: dict[str, list[NDArray[np.float64]]] = {name: [] for name in CURVES}
        self._totals: dict[str, list[float]] = {name: [0.0] for name in CURVES}
        for s in segments:
            self.append(s)

    @property
    def start(self) -> float:
        """Seconds at which the first kept segment begins."""
        return float(self.first * SEGMENT_SECONDS)

    @property
    def end(self) -> float:
        """Seconds at which the last segment ends."""
        return self.start + len(self.segments) * SEGMENT_SECONDS

    def append(self, segment: Segment, keep: int | None = None) -> None:
        """Add a segment; what its curves miss at the join fades out over a second. Forget all but `keep` segments."""
        seconds = np.arange(SEGMENT_SECONDS * _GRID + 1) / _GRID
        fade = 0.5 + 0.5 * np.cos(np.pi * np.clip(seconds / _JOIN_SECONDS, 0, 1))
        for name in CURVES:
            table = read_curve(np.asarray(segment.curves.get(name, np.zeros(COEFFICIENTS))), seconds)
            before = self._tables[name]
            if before and not (name == "mix" and self.segments[-1].next == segment.place != self.segments[-1].place):
                table = table + (before[-1][-1] - table[0]) * fade
            before.append(table)
            step = (np.clip(table[1:], 0, 1) + np.clip(table[:-1], 0, 1)).sum() / (2 * _GRID)
            self._totals[name].append(self._totals[name][-1] + float(step))
        self.segments.append(segment)
        while keep is not None and len(self.segments) > keep:
            self.segments.pop(0)
            self.first += 1
            for name in CURVES:
                self._tables[name].pop(0)
                self._totals[name].pop(0)

    def _at(self, t: float) -> tuple[int, float]:
        """Index of the segment that holds time t, and the seconds into it."""
        i = int(np.clip((t - self.start) // SEGMENT_SECONDS, 0, len(self.segments) - 1))
        return i, t - self.start - i * SEGMENT_SECONDS

    def segment(self, t: float) -> Segment:
        """The segment that holds time t."""
        return self.segments[self._at(t)[0]]

    def value(self, name: str, t: float) -> float:
        """A curve at time t, [0, 1]."""
        i, s = self._at(t)
        at = float(np.clip(s * _GRID, 0, SEGMENT_SECONDS * _GRID))
        table, k = self._tables[name][i], int(at)
        after = table[min(k + 1, len(table) - 1)]
        return float(np.clip(table[k] + (at - k) * (after - table[k]), 0, 1))

    def values(self, name: str, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """A curve at many times, [0, 1]."""
        i = np.clip((t - self.start) // SEGMENT_SECONDS, 0, len(self.segments) - 1).astype(int)
        at = np.clip((t - self.start - i * SEGMENT_SECONDS) * _GRID, 0, SEGMENT_SECONDS * _GRID)
        k = np.minimum(at.astype(int), SEGMENT_SECONDS * _GRID - 1)
        tables = np.stack(self._tables[name])
        return np.asarray(np.clip(tables[i, k] + (at - k) * (tables[i, k + 1] - tables[i, k]), 0, 1))

    def integral(self, name: str, t: float) -> float:
        """The integral of a curve from the movie's start to t: a phase that a changing speed leaves continuous."""
        i, s = self._at(t)
        table = np.clip(self._tables[name][i], 0, 1)
        at = float(np.clip(s * _GRID, 0, SEGMENT_SECONDS * _GRID))
        k = int(at)
        whole = (table[: k + 1].sum() - (table[0] + table[k]) / 2) / _GRID
        part = (table[k] + table[min(k + 1, len(table) - 1)]) / 2 * (at - k) / _GRID
        return self._totals[name][i] + float(whole + part)

    def static(self, name: str, t: float) -> float:
        """A static value at time t, [0, 1]; a change from one segment to the next takes a second (the short way
        round for hour and sun)."""
        i, s = self._at(t)
        now = float(self.segments[i].statics.get(name, 0.5))
        if i == 0 or s >= _JOIN_SECONDS:
            return now
        step = now - float(self.segments[i - 1].statics.get(name, 0.5))
        if name in ("hour", "sun"):
            step = (step + 0.5) % 1 - 0.5
        value = now - step * (0.5 + 0.5 * np.cos(np.pi * max(s, 0.0) / _JOIN_SECONDS))
        return float(value % 1 if name in ("hour", "sun") else value)

    def events(self, kind: str, since: float, until: float) -> list[Event]:
        """Events of a kind with since <= time < until, with their times on the movie's clock."""
        found = []
        for i, s in enumerate(self.segments):
            offset = self.start + i * SEGMENT_SECONDS
            found += [replace(e, time=e.time + offset) for e in s.events if e.kind == kind]
        return [e for e in found if since <= e.time < until]

    def rng(self, tag: str, t: float) -> np.random.Generator:
        """A generator fixed by the variant of the place at time t and a tag: the constants of this shore."""
        return np.random.default_rng([self.segment(t).variant, *tag.encode()])
