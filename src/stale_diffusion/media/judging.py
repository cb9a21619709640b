"""Reading a file to judge it: every picture, small, with its time; loudness by FFmpeg's ebur128."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.filter import Graph
from av.video.reformatter import Colorspace, Interpolation

from stale_diffusion.media.reading import EXACT, RGB, Sound, _decoded, _pictures, open_file

LOWEST = -70.0  # LUFS: what ebur128 says of silence


def read_small(path: str | Path, size: tuple[int, int]) -> Iterator[tuple[float, RGB]]:
    """Every picture of a file with its time in seconds, squeezed into (width, height), as it is stored: not turned."""
    with open_file(path) as container:
        stream = _pictures(container)[0]
        stream.thread_type, stream.codec_context.thread_count = "AUTO", 4
        for time, frame in _decoded(container, stream):
            space = Colorspace.ITU709 if frame.colorspace == 2 and frame.height >= 720 else None
            how = Interpolation.AREA | EXACT
            small = frame.reformat(*size, "rgb24", src_colorspace=space, interpolation=how)
            yield float(time), small.to_ndarray()


class LoudnessMeter:
    """Integrated loudness and true peak of stereo sound, ITU-R BS.1770 by FFmpeg's ebur128.

    Args:
        rate: Hz; fed in pieces of a tenth of a second, which are the steps of the answer.
    """

    def __init__(self, rate: int) -> None:
        self.rate, self._samples, self._rest = rate, 0, np.zeros((0, 2), np.float32)
        self._graph = Graph()
        source = self._graph.add_abuffer(sample_rate=rate, format="flt", layout="stereo", time_base=Fraction(1, rate))
        meter = self._graph.add("ebur128", "metadata=1:peak=true")
        sink = self._graph.add("abuffersink")
        source.link_to(meter)
        meter.link_to(sink)
        self._graph.configure()
        self._loud, self._peak, self._when = LOWEST, 0.0, 0.0

    def add(self, sound: Sound) -> None:
        """Hear some more, float32 (n, 2)."""
        both, n = np.concatenate([self._rest, sound]), self.rate // 10
        whole = len(both) // n * n
        for at in range(0, whole, n):
            self._push(both[at : at + n])
        self._rest = both[whole:]

    def result(self) -> tuple[float | None, float | None, float | None]:
        """LUFS (None: nothing above the gate), dBTP (None: silence) and when that peak was, seconds."""
        if len(self._rest):
            self._push(self._rest)
            self._rest = self._rest[:0]
        loud = self._loud if self._loud > LOWEST else None
        return (loud, 20 * math.log10(self._peak), self._when) if self._peak > 0 else (loud, None, None)

    def _push(self, sound: Sound) -> None:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._samples, Fraction(1, self.rate)
        self._samples += len(sound)
        self._graph.push(frame)
        while True:
            try:
                heard: Any = self._graph.pull()
            except (av.BlockingIOError, av.EOFError, FFmpegError):
                return
            told = {key.removeprefix("lavfi.r128."): float(value) for key, value in heard.metadata.items()}
            self._loud = told.get("I", self._loud)
            peak = max((v for k, v in told.items() if k.startswith("true_peaks_ch")), default=0.0)
            if peak > self._peak:
                self._peak, self._when = peak, float(heard.pts * heard.time_base)
