"""A movie that is watched while it is made: a fragmented MP4 whose length and index are known before its content.

Each fragment (slot) has a place of a fixed size, and what it does not need is filled up; so a browser may ask for any
byte from the start, and bytes that are not there yet simply take a while.

Shapes: H rows, W columns, N samples.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from stale_diffusion.media import boxes
from stale_diffusion.media.reading import EXACT, RGB, Sound

SECONDS = 2  # of a slot
BITS = 2_000_000  # a second of picture at 640x360; the buffer holds half a second
_SOUND_BYTES = 1.1 * 4  # a sample of stereo FLAC at the very worst
_START_CODE = re.compile(rb"\x00\x00\x01")


@dataclass(frozen=True)
class Slots:
    """Where everything lies: `front` bytes, then `count` slots of `size` bytes."""

    front: int
    size: int
    count: int

    @property
    def length(self) -> int:
        """Bytes in all."""
        return self.front + self.size * self.count


class GrowingMovie:
    """Encode picture and sound into slots, one after the other. A context manager.

    Args:
        path: the file; it has its full length at once, and reads as zeros where nothing was written yet.
        size: (width, height), even.
        fps: frames a second.
        seconds: duration of the whole.
        rate: of the stereo sound, Hz.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: Fraction, seconds: float, rate: int) -> None:
        self.written = 0  # slots that are whole
        self._fps, self._rate, self._frames_in_all = fps, rate, max(1, round(seconds * fps))
        self._each = max(1, round(SECONDS * fps))
        self._container = io.BytesIO()
        self._out = av.open(self._container, "w", format="mp4", options=boxes.OPTIONS)
        bits = round(BITS * max(1.0, size[0] * size[1] / (640 * 360)))
        self._picture, self._sound = self._add_picture(size, bits), self._add_sound()
        self._out.start_encoding()
        head, (self._units, self._sound_units) = boxes.head(self._container.getvalue(), seconds)
        count = math.ceil(self._frames_in_all / self._each)
        room = round((bits * (SECONDS + 0.5)) / 8 * 1.25 + _SOUND_BYTES * rate * (SECONDS + 0.2)) + 4096
        self.slots = Slots(len(head) + boxes.index_size(count), room, count)
        starts = [min(i * self._each, self._frames_in_all) for i in range(count + 1)]
        durations = np.diff([self._time(n) for n in starts])
        table = boxes.index(1, self._units, np.full(count, room, np.int64), durations, 0)
        self._file = path.open("wb")
        self._file.write(head + table)
        self._file.truncate(self.slots.length)
        self._pictures: list[tuple[bytes, bool]] = []
        self._sounds: list[Any] = []  # packets
        self._frames = self._samples = 0

    def __enter__(self) -> GrowingMovie:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def frame(self, rgb: RGB) -> bool:
        """Add one picture, uint8 (H, W, 3); whether a slot is whole now. Its sound must have been added before.

        Raises:
            OverflowError: a slot cannot hold its content; what follows cannot be watched.
        """
        frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | EXACT,
        )  # fmt: skip
        frame.pts, frame.time_base = self._frames, 1 / self._fps
        self._frames += 1
        self._pictures += [(_length_prefixed(bytes(p)), p.is_keyframe) for p in self._picture.encode(frame) if p.size]
        if self._frames % self._each and self._frames < self._frames_in_all:
            return False
        self._write()
        return True

    def sound(self, sound: Sound) -> None:
        """Add sound, float32 (N, 2) in -1..1."""
        pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._samples += len(sound)
        self._sounds += [p for p in self._sound.encode(frame) if p.size]

    def _add_picture(self, size: tuple[int, int], bits: int) -> Any:
        # no picture waits for a later one: a slot is whole with its last frame
        options = {"preset": "veryfast", "tune": "zerolatency", "crf": "20", "threads": "1", "g": str(self._each),
                   "maxrate": str(bits), "bufsize": str(bits // 2), "x264-params": "scenecut=0"}  # fmt: skip
        stream = self._out.add_stream("libx264", rate=self._fps, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _add_sound(self) -> Any:
        stream = self._out.add_stream("flac", rate=self._rate)
        stream.layout, stream.format = "stereo", "s16"
        return stream

    def _time(self, frame: int) -> int:
        return boxes.ticks(frame / self._fps, self._units)

    def _write(self) -> None:
        """Put the pictures that wait, and the sound up to their end, into the next slot."""
        first = self.written * self._each
        times = np.array([self._time(first + i) for i in range(len(self._pictures) + 1)], np.int64)
        sizes = np.array([len(data) for data, _ in self._pictures], np.int64)
        flags = boxes.flags_of([key for _, key in self._pictures])
        seen = boxes.Samples(1, int(times[0]), np.diff(times), sizes, flags, np.zeros(len(sizes), np.int64))
        data = boxes.fragment(self.written + 1, [(seen, b"".join(d for d, _ in self._pictures)), self._heard(first)])
        if len(data) > self.slots.size - 8:
            raise OverflowError("a slot is too small for what it must hold")
        self._file.seek(self.slots.front + self.written * self.slots.size)
        self._file.write(data + boxes.free(self.slots.size - len(data)))  # its body is the hole that is there
        self._file.flush()
        self._pictures = []
        self.written += 1

    def _heard(self, first: int) -> tuple[boxes.Samples, bytes]:
        last = self._frames >= self._frames_in_all
        if last:
            self._sounds += [p for p in self._sound.encode(None) if p.size]
        end = (first + len(self._pictures)) / self._fps
        taken = [p for p in self._sounds if last or p.pts * p.time_base < end]
        self._sounds = self._sounds[len(taken) :]
        times = np.array([boxes.ticks(p.pts * p.time_base, self._sound_units) for p in taken], np.int64)
        durations = np.array([boxes.ticks(p.duration * p.time_base, self._sound_units) for p in taken], np.int64)
        sizes = np.array([p.size for p in taken], np.int64)
        return boxes.Samples(2, int(times[0]) if taken else 0, durations, sizes), b"".join(bytes(p) for p in taken)


def _length_prefixed(data: bytes) -> bytes:
    """H.264 with start codes as MP4 wants it: each unit after its length."""
    marks = [m.start() for m in _START_CODE.finditer(data)]
    units = [data[a + 3 : b].rstrip(b"\x00") for a, b in zip(marks, [*marks[1:], len(data)], strict=True)]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
