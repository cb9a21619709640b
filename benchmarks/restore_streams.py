"""Streams to be damaged: H.264 with a key picture each two seconds, Opus at 64 kbit/s; packets lost, bytes flipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Harm = Callable[[list[bytes], np.random.Generator], list[bytes | None]]


def film(path: Path, frames: Sequence[NDArray[np.uint8]], fps: int) -> Path:
    """Pictures as H.264, crf 23."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=fps, options={"crf": "23", "g": str(2 * fps), "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for k, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def opus(path: Path, sound: NDArray[np.float32], rate: int) -> Path:
    """Sound (T, 2) as Opus, 64 kbit/s, packets of 20 ms."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libopus", rate=rate, layout="stereo")
        stream.bit_rate = 64_000
        pcm = np.ascontiguousarray(np.clip(sound, -1, 1).astype(np.float32).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(pcm, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def harmed(source: Path, target: Path, harm: Harm, rng: np.random.Generator) -> Path:
    """The same file with its packets harmed; None: a packet is left out. The first stays whole."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams[0]
        copy = new.add_stream_from_template(stream)
        packets = [p for p in old.demux(stream) if p.size]
        for packet, data in zip(packets, [bytes(packets[0]), *harm([bytes(p) for p in packets[1:]], rng)], strict=True):
            if data is None:
                continue
            moved: Any = av.Packet(data)
            moved.pts, moved.dts, moved.duration = packet.pts, packet.dts, packet.duration
            moved.time_base, moved.is_keyframe, moved.stream = packet.time_base, packet.is_keyframe, copy
            new.mux(moved)
    return target


def dropping(share: float) -> Harm:
    """Packets lost."""
    return lambda packets, rng: [None if rng.random() < share else p for p in packets]


def flipping(share: float) -> Harm:
    """Bytes replaced by others."""

    def harm(packets: list[bytes], rng: np.random.Generator) -> list[bytes | None]:
        out: list[bytes | None] = []
        for packet in packets:
            data = np.frombuffer(packet, np.uint8).copy()
            hit = rng.random(len(data)) < share
            data[hit] ^= rng.integers(1, 256, int(hit.sum()), np.uint8)
            out.append(data.tobytes())
        return out

    return harm


def adeclick(sound: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """FFmpeg's adeclick at its defaults, (T, 2)."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="fltp", layout="stereo", time_base=Fraction(1, rate))
    declick, sink = graph.add("adeclick"), graph.add("abuffersink")
    source.link_to(declick)
    declick.link_to(sink)
    graph.configure()
    out: list[NDArray[np.float32]] = []
    size = 4800
    for at in range(0, len(sound), size):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[at : at + size].T), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        source.push(frame)
        _pull(sink, out)
    source.push(None)
    _pull(sink, out)
    made = np.concatenate(out, 1).T.astype(np.float32)
    return np.pad(made, ((0, max(0, len(sound) - len(made))), (0, 0)))[: len(sound)]


def _pull(sink: Any, out: list[NDArray[np.float32]]) -> None:
    while True:
        try:
            frame = sink.pull()
        except (BlockingIOError, EOFError, av.error.BlockingIOError, av.error.EOFError):
            return
        out.append(np.asarray(frame.to_ndarray(), np.float32))
