"""Picture and sound of a file's start in one pass, by one thread: what is read of ten thousand clips."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.packet import Packet

from stale_diffusion.errors import StaleError
from stale_diffusion.media.reading import (
    MAX_GAP,
    RGB,
    Sound,
    _decoded,
    _heard,
    _pictures,
    _resampled,
    _shown,
    _sounds,
    _ticks,
    open_file,
    packets_of,
    track_title,
)
from stale_diffusion.senses import FELT


def read_clip(
    path: str | Path, fps: Fraction, size: tuple[int, int], rate: int, seconds: float
) -> Iterator[tuple[str, RGB | Sound]]:
    """The start of a file: ("picture", RGB)..., then ("sound", mono)...

    They are what `read_frames` and `read_sound` give; a track that is a lane of a movie is no sound. Packets of sound
    wait while pictures are decoded, so `seconds` bounds the memory.

    Args:
        fps, size: of the pictures, as in `read_frames`.
        rate: samples a second.
        seconds: how much to read.

    Raises:
        StaleError: as `probe`, `read_frames` and `read_sound`.
    """
    end = Fraction(seconds).limit_denominator(1_000_000)
    with open_file(path) as container:
        pictures, every = _pictures(container)[:1], _sounds(container)
        if not pictures and not every:
            raise StaleError(f"{path} holds neither picture nor sound.", "no track that a decoder knows")
        sounds = [s for s in every if track_title(s).lower() not in FELT][:1]
        packets = packets_of(container, [*pictures, *sounds])
        waiting: dict[int, deque[Packet[Any]]] = {s.index: deque() for s in (*pictures, *sounds)}

        def own(index: int) -> Iterator[Packet[Any]]:
            while True:
                if waiting[index]:
                    yield waiting[index].popleft()
                    continue
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.stream.index in waiting:
                    waiting[packet.stream.index].append(packet)

        for stream in pictures:
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            decoded = _decoded(container, stream, packets=own(stream.index))
            shown = None
            for shown in _shown(_ticks(decoded, stream, fps, Fraction(0), end), size, threads=1):
                yield "picture", shown
            if shown is None:
                raise StaleError(f"no picture of {path} can be decoded.", "the file is damaged or cut short")
            del waiting[stream.index]
        for stream in sounds:
            heard = _resampled(_decoded(container, stream, packets=own(stream.index)), rate, 0, MAX_GAP)
            for chunk in _heard(heard, 1, 0, round(seconds * rate)):
                yield "sound", chunk
