"""Pictures and sound with what the decoder says of them, and FFmpeg's own means of mending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stale_diffusion.media.reading import (
    RGB,
    _decoded,
    _frame_seconds,
    _pictures,
    _sounds,
    open_file,
)

LOOK_WIDTH = 512  # pixels; wider pictures are looked at in this width


@dataclass(frozen=True)
class Marked:
    """One decoded picture or chunk of sound.

    Args:
        time, seconds: where it stands and how long it lasts, in seconds.
        corrupt: the decoder met an error in it and concealed it.
        key: it depends on no other.
        luma: (H, W) uint8; empty for sound.
    """

    time: Fraction
    seconds: Fraction
    corrupt: bool
    key: bool
    luma: NDArray[np.uint8]


def read_marks(path: str | Path, track: int | None = None) -> Iterator[Marked]:
    """Every decoded picture of a file, or every chunk of a sound track, with the decoder's word on it.

    Args:
        track: index among the sound tracks; None: the picture.
    """
    with open_file(path) as container:
        streams = _pictures(container) if track is None else _sounds(container)
        if len(streams) <= (track or 0):
            return
        stream = streams[track or 0]
        if track is None:
            stream.thread_type, stream.codec_context.thread_count = "AUTO", 2
        for time, frame in _decoded(container, stream):
            luma = _luma(frame) if track is None else np.zeros((0, 0), np.uint8)
            yield Marked(time, _frame_seconds(frame, stream), bool(frame.is_corrupt), bool(frame.key_frame), luma)


def _luma(frame: Any) -> NDArray[np.uint8]:
    """Brightness, (H, W), at most LOOK_WIDTH wide, black at 0 and white at 255 for any range."""
    width = min(frame.width, LOOK_WIDTH)
    height = max(16, round(frame.height * width / frame.width))
    gray = frame.reformat(width, height, "gray") if frame.format.name != "gray" or width != frame.width else frame
    return np.ascontiguousarray(gray.to_ndarray())


def minterpolate(before: Sequence[RGB], after: Sequence[RGB], count: int) -> list[RGB]:
    """`count` pictures between two runs of neighbours (at least two each), moved along by FFmpeg's minterpolate.

    Returns:
        Fewer, or none, where the filter gives none.
    """
    places = [*range(-len(before), 0), *range(count, count + len(after))]
    frames = [*zip(places, [*before, *after], strict=True)]
    height, width = frames[0][1].shape[:2]
    graph, rgb24 = Graph(), VideoFormat("rgb24", width, height)
    source = graph.add_buffer(width=width, height=height, format=rgb24, time_base=Fraction(1, 1000))
    moved = graph.add("minterpolate", "fps=100:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none")
    planes, sink = graph.add("format", "rgb24"), graph.add("buffersink")
    source.link_to(moved)
    moved.link_to(planes)
    planes.link_to(sink)
    graph.configure()
    first = frames[0][0]
    out: dict[int, RGB] = {}
    for index, rgb in [*frames, *((count + len(after) + k, after[-1]) for k in range(3))]:
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, frame.time_base = (index - first) * 10, Fraction(1, 1000)
        source.push(frame)
        _drain(sink, first, out)
    source.push(None)
    _drain(sink, first, out)
    return [out[i] for i in range(count) if i in out]


def _drain(sink: Any, first: int, out: dict[int, RGB]) -> None:
    while True:
        try:
            frame = sink.pull()
        except (BlockingIOError, EOFError):
            return
        out[round(frame.pts * frame.time_base * 100) + first] = frame.to_ndarray()
