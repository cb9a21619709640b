"""A movie file as a fragmented MP4, for a browser: packets are copied, and any bytes of it are made when asked for.

One pass over the packets tells where every fragment begins and how large it will be, so the length and the index of
the whole are known at once; the fragments themselves are made when they are read, and none is kept on disk. Memory:
64 bytes a fragment, and the fragments read last.

Shapes: F fragments, N samples of a track in one fragment.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from stale_diffusion.errors import StaleError
from stale_diffusion.media import boxes
from stale_diffusion.media.reading import _pictures, _seconds, _sounds, open_file, origin_of, packets_of, track_title
from stale_diffusion.senses import FELT

SECONDS = 2.0  # a fragment is at least so long, and begins at a key picture
MOST_BYTES = 128 * 2**20  # of one fragment: it is held in memory
KEPT = 4  # fragments that are remembered
PICTURES = ("h264", "vp9", "vp8", "av1", "hevc")  # what a browser may know and MP4 can hold
SOUNDS = ("aac", "mp3", "opus", "flac", "ac3", "eac3", "alac")
OWN = FELT  # tracks of ours that nobody must hear by accident


@dataclass
class _Track:
    """One copied track: what each fragment holds of it; times in the track's units, from the start of the movie."""

    stream: int
    picture: bool
    base: Fraction
    units: int
    counts: array[int] = field(default_factory=lambda: array("q"))
    bytes: array[int] = field(default_factory=lambda: array("q"))
    first: array[int] = field(default_factory=lambda: array("q"))  # stamp of the first packet, as the file has it
    starts: array[int] = field(default_factory=lambda: array("q"))  # earliest time in the fragment

    def open_fragment(self) -> None:
        for column, value in ((self.counts, 0), (self.bytes, 0), (self.first, 0), (self.starts, -1)):
            column.append(value)

    def add(self, packet: Packet[Any], stamp: int, time: int) -> None:
        if not self.counts[-1]:
            self.first[-1] = stamp
        self.counts[-1] += 1
        self.bytes[-1] += packet.size
        self.starts[-1] = time if self.starts[-1] < 0 else min(time, self.starts[-1])


def check_playable(path: str | Path) -> None:
    """Refuse at once what `FileFragments` would refuse.

    Raises:
        StaleError: it is not media, or no browser knows its codecs.
    """
    with open_file(path) as container:
        playable(container)


class FileFragments:
    """The bytes of a fragmented MP4 made from a movie file; safe to use from several threads.

    Args:
        path: a file as in `probe`; its first picture track and its first sound track that is not ours are copied.

    Raises:
        StaleError: it is not media, or no browser knows its codecs.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._reader: _Reader | None = None
        with open_file(path) as container:
            streams = playable(container)
            self.seconds = _seconds(container)
        with open_file(path) as container:
            chosen = [container.streams[i] for i in streams]
            try:
                self._head, units = boxes.copies(chosen, self.seconds)
            except (FFmpegError, ValueError) as error:
                raise StaleError(f"{path} cannot be shown by a browser.", str(error), _MEND) from None
            bases = [Fraction(s.time_base or Fraction(1, 1000)) for s in chosen]
            kinds = [s.type == "video" for s in chosen]
            self._tracks = [_Track(*t) for t in zip(streams, kinds, bases, units, strict=True)]
            self._origin = origin_of(container)
            self._scan(container)
        self._lay_out()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            self._reader = None

    def read(self, start: int, size: int) -> bytes:
        """Bytes [start, start + size) of the whole, fewer at its end and at the end of a fragment, at least one.

        Raises:
            StaleError: the file is not any more what it was.
        """
        if start < len(self._front):
            return self._front[start : start + size]
        k = bisect_right(self._offsets, start) - 1
        if start >= self.length or k >= len(self._sizes):
            return b""
        data = self._fragment(k)
        return data[start - self._offsets[k] : start - self._offsets[k] + size]

    def _scan(self, container: InputContainer) -> None:
        """Find the fragments: what each holds of every track."""
        by_stream = {t.stream: t for t in self._tracks}
        leader, opened = self._tracks[0], False
        for packet in packets_of(container, [container.streams[t.stream] for t in self._tracks]):
            track = by_stream[packet.stream.index]
            stamp = stamp_of(packet)
            time = self._time(track, stamp) if stamp is not None else -1
            if stamp is None or not packet.size or time < 0:
                continue
            starts = track is leader and (packet.is_keyframe or not leader.picture)
            if starts and (not opened or time - leader.starts[-1] >= SECONDS * leader.units):
                for each in self._tracks:
                    each.open_fragment()
                opened = True
            if opened:
                track.add(packet, stamp, time)
                if sum(t.bytes[-1] for t in self._tracks) > MOST_BYTES:
                    why = f"more than {MOST_BYTES >> 20} MB without a key picture"
                    raise StaleError(f"{self.path} cannot be shown piece by piece.", why, _MEND)
        if not opened:
            raise StaleError(f"{self.path} has no picture that can be begun with.", "the file is damaged or cut short")

    def _time(self, track: _Track, stamp: int) -> int:
        return boxes.ticks(stamp * track.base - self._origin, track.units)

    def _lay_out(self) -> None:
        """Sizes, offsets, and what lies before the first fragment."""
        leader, count = self._tracks[0], len(self._tracks[0].counts)
        rows = range(count)
        self._sizes = [boxes.fragment_size([(t.counts[k], t.picture, t.bytes[k]) for t in self._tracks]) for k in rows]
        end = max(boxes.ticks(Fraction(self.seconds).limit_denominator(1_000_000), leader.units), leader.starts[-1] + 1)
        durations = np.diff(np.array([*leader.starts, end], np.int64)).clip(1, 2**32 - 1)
        table = boxes.index(1, leader.units, np.array(self._sizes, np.int64), durations, leader.starts[0])
        self._front = self._head + table
        self._offsets = [len(self._front), *(len(self._front) + s for s in accumulate(self._sizes))]
        self.length = self._offsets[-1]

    def _fragment(self, k: int) -> bytes:
        with self._lock:
            if k in self._cache:
                self._cache.move_to_end(k)
                return self._cache[k]
            if self._reader is None:
                self._reader = _Reader(self.path, self._tracks)
            runs = self._reader.run(k)
            if runs is None:
                raise self._changed()
            data = boxes.fragment(k + 1, [self._samples(i, k, run) for i, run in enumerate(runs)])
            if len(data) != self._sizes[k]:
                raise self._changed()
            self._cache[k] = data
            if len(self._cache) > KEPT:
                self._cache.popitem(last=False)
            return data

    def _changed(self) -> StaleError:
        return StaleError(f"{self.path} has changed while it was played.", mend="load the page again")

    def _samples(self, i: int, k: int, packets: list[Packet[Any]]) -> tuple[boxes.Samples, bytes]:
        """One track of one fragment. Pictures are decoded in the order of the file and at the times of the sorted ones,

        so that decode times never run backwards whatever the file says of them; the difference is the offset.
        """
        track = self._tracks[i]
        shown = np.array([self._time(track, stamp_of(p) or 0) for p in packets], np.int64)
        decoded = np.sort(shown)
        after = next((s for s in track.starts[k + 1 : k + 64] if s >= 0), -1) if len(packets) else -1
        if after < 0 and len(packets):  # the end of the track
            duration = packets[-1].duration
            after = int(decoded[-1]) + max(1, boxes.ticks((duration or 0) * track.base, track.units))
        durations = np.diff(np.append(decoded, after)).clip(0 if track.picture else 1, 2**31 - 1)
        sizes = np.array([p.size for p in packets], np.int64)
        flags = boxes.flags_of([p.is_keyframe for p in packets]) if track.picture else None
        offsets = shown - decoded if track.picture else None
        start = int(decoded[0]) if len(packets) else 0
        return boxes.Samples(i + 1, start, durations, sizes, flags, offsets), b"".join(bytes(p) for p in packets)


class _Reader:
    """Reads the packets of a fragment; of the next one without seeking."""

    def __init__(self, path: Path, tracks: list[_Track]) -> None:
        self._path, self._tracks = path, tracks
        self._next = -1
        self._container: InputContainer | None = None

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None

    def run(self, k: int) -> list[list[Packet[Any]]] | None:
        """The packets of each track in fragment k; None where they are not there any more."""
        # not the next: begin a fragment early, since sound may lie before the picture that it belongs to in the file
        found = self._collect(k) if k == self._next else self._from(k, max(0, k - 1)) or self._from(k, 0)
        self._next = k + 1 if found is not None else -1
        return found

    def _from(self, k: int, start: int) -> list[list[Packet[Any]]] | None:
        self.close()
        self._container = open_file(self._path)
        leader = self._tracks[0]
        streams = [self._container.streams[t.stream] for t in self._tracks]
        if start:
            self._container.seek(leader.first[start], stream=streams[0], backward=True)
        self._packets = packets_of(self._container, streams)
        self._waiting: dict[int, deque[Packet[Any]]] = {t.stream: deque() for t in self._tracks}
        return self._collect(k)

    def _collect(self, k: int) -> list[list[Packet[Any]]] | None:
        runs: list[list[Packet[Any]]] = []
        for track in self._tracks:
            run: list[Packet[Any]] = []
            while len(run) < track.counts[k]:
                packet = self._take(track.stream)
                if packet is None:
                    return None
                stamp = stamp_of(packet)
                if run or stamp == track.first[k]:
                    run.append(packet)
            runs.append(run)
        return runs

    def _take(self, stream: int) -> Packet[Any] | None:
        """The next packet of a stream that counts; those of others wait."""
        while not self._waiting[stream]:
            packet = next(self._packets, None)
            if packet is None:
                return None
            if packet.size and stamp_of(packet) is not None:
                self._waiting[packet.stream.index].append(packet)
        return self._waiting[stream].popleft()


def stamp_of(packet: Packet[Any]) -> int | None:
    """The time of a packet in its stream's units, as the file has it."""
    return packet.pts if packet.pts is not None else packet.dts


def playable(container: InputContainer) -> list[int]:
    """The streams that a browser plays: picture first, then sound.

    Raises:
        StaleError: there is none, or a picture of another codec.
    """
    pictures = _pictures(container)[:1]
    sounds = [s for s in _sounds(container) if track_title(s).lower() not in OWN]
    known = [s for s in sounds if _codec(s) in SOUNDS][:1]
    codecs = [_codec(s) for s in (*pictures, *sounds[:1])]
    if (pictures and _codec(pictures[0]) not in PICTURES) or not (pictures or known):
        why = f"it holds {', '.join(codecs) or 'no picture and no sound'}"
        raise StaleError(f"{container.name} cannot be shown by a browser.", why, _MEND)
    return [s.index for s in (*pictures, *known)]


def _codec(stream: Any) -> str:
    """The codec, whichever decoder stands for it."""
    return str(stream.codec_context.codec.canonical_name)


_MEND = "convert it first: ffmpeg -i CLIP -c:v libx264 -c:a aac CLIP.mp4"
