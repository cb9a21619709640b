"""The boxes of a fragmented MP4 (ISO/IEC 14496-12), byte for byte: their sizes are known before their content is.

Shapes: N samples of a track in one fragment.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_CONTAINERS = (b"moov", b"trak", b"mdia", b"mvex")
_KEY, _OTHER = 0x02000000, 0x01010000  # sample flags: depends on nothing; depends on others and is no sync sample
OPTIONS = {"movflags": "empty_moov+default_base_moof", "fflags": "+bitexact"}  # with which FFmpeg writes a head


@dataclass(frozen=True)
class Samples:
    """The samples of one track in one fragment.

    Args:
        track: its number in the file, counted from 1.
        start: decode time of the first, in the track's own units.
        durations, sizes: (N,) in the track's units, in bytes.
        flags, offsets: (N,) of a picture track: whether it is a key picture, presentation minus decode time; else None.
    """

    track: int
    start: int
    durations: Ints
    sizes: Ints
    flags: Ints | None = None
    offsets: Ints | None = None


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def children(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes inside a box's body: (kind, body)."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def copies(streams: Sequence[Any], seconds: float) -> tuple[bytes, list[int]]:
    """What begins the file (ftyp, moov) for copies of some streams of an open file; see `head`.

    Raises:
        ValueError, av.FFmpegError: MP4 cannot hold one of them.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options=OPTIONS) as out:
        for stream in streams:
            out.add_stream_from_template(stream, opaque=True)
        out.start_encoding()
        return head(file.getvalue(), seconds)


def head(start: bytes, seconds: float) -> tuple[bytes, list[int]]:
    """What FFmpeg begins a fragmented file with, made to tell the duration; and each track's time units a second.

    The duration of the whole stands where players look for it before they have seen a fragment.
    """
    found = dict(children(start))
    moov = found[b"moov"]
    units = [_units(trak) for kind, trak in children(moov) if kind == b"trak"]
    movie_units = struct.unpack_from(">I", dict(children(moov))[b"mvhd"], 12)[0]
    return box(b"ftyp", found[b"ftyp"]) + box(b"moov", _timed(moov, round(seconds * movie_units))), units


def _units(trak: bytes) -> int:
    mdhd = dict(children(dict(children(trak))[b"mdia"]))[b"mdhd"]
    return int(struct.unpack_from(">I", mdhd, 20 if mdhd[0] == 1 else 12)[0])


def _timed(moov: bytes, duration: int) -> bytes:
    """The body of a moov with the duration of the whole movie in it (mvhd, mehd)."""
    parts = []
    for kind, body in children(moov):
        if kind == b"mvhd" and body[0] == 0:
            body = body[:16] + struct.pack(">I", min(duration, 2**32 - 1)) + body[20:]
        elif kind == b"mvex":
            body = box(b"mehd", struct.pack(">IQ", 1 << 24, duration)) + body
        if kind != b"udta":
            parts.append(box(kind, body))
    return b"".join(parts)


def fragment_size(tracks: Sequence[tuple[int, bool, int]]) -> int:
    """Bytes of a fragment; of each track (samples, whether it is a picture track, bytes of the samples)."""
    held = [track for track in tracks if track[0]]
    heads = sum(64 + 16 * n if picture else 68 + 8 * n for n, picture, _ in held)
    return 8 + 16 + heads + 8 + sum(size for _, _, size in held)


def fragment(number: int, tracks: Sequence[tuple[Samples, bytes]]) -> bytes:
    """One fragment (moof, mdat): the samples of each track, in order of time, and their bytes."""
    held = [(samples, data) for samples, data in tracks if len(samples.sizes)]
    size = 8 + 16 + sum(len(_traf(samples, 0)) for samples, _ in held)
    at, trafs = size + 8, []
    for samples, data in held:
        trafs.append(_traf(samples, at))
        at += len(data)
    moof = box(b"moof", box(b"mfhd", struct.pack(">II", 0, number)), *trafs)
    return moof + box(b"mdat", *(data for _, data in held))


def _traf(samples: Samples, at: int) -> bytes:
    columns: tuple[Ints, ...]
    if samples.flags is not None and samples.offsets is not None:
        header = struct.pack(">II", 0x020000, samples.track)
        columns = (samples.durations, samples.sizes, samples.flags, samples.offsets)
        shown = 0x1000F01  # signed offsets; data offset, and for each sample duration, size, flags, offset
    else:
        header = struct.pack(">III", 0x020020, samples.track, _KEY)
        columns = (samples.durations, samples.sizes)
        shown = 0x1000301
    table = np.stack(columns, 1).astype(">i4").tobytes()
    run = struct.pack(">IIi", shown, len(samples.sizes), at) + table
    time = struct.pack(">IQ", 1 << 24, samples.start)
    return box(b"traf", box(b"tfhd", header), box(b"tfdt", time), box(b"trun", run))


def flags_of(keys: Sequence[bool]) -> Ints:
    """Sample flags from whether each is a key picture, (N,)."""
    return np.where(keys, _KEY, _OTHER).astype(np.int64)


def index(track: int, units: int, sizes: Ints, durations: Ints, start: int) -> bytes:
    """The segment index (sidx) that lies before the first fragment: where each is, without reading the others.

    Args:
        track: whose time it counts in, `units` a second.
        sizes, durations: of the fragments, (F,).
        start: time at which the first is presented.
    """
    table = np.stack([sizes, durations, np.full(len(sizes), 0x90000000)], 1).astype(">u4").tobytes()
    fields = struct.pack(">IIIQQHH", 1 << 24, track, units, start, 0, 0, len(sizes))
    return box(b"sidx", fields, table)


def index_size(fragments: int) -> int:
    """Bytes of the index of so many fragments."""
    return 8 + 32 + 12 * fragments


def free(size: int) -> bytes:
    """The head of a box of `size` bytes (at least 8) that says nothing."""
    return struct.pack(">I4s", size, b"free")


def ticks(seconds: Fraction, units: int) -> int:
    """A time in whole units."""
    return round(seconds * units)
