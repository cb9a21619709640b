"""Writing sound files."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from stale_diffusion.errors import StaleError
from stale_diffusion.media.reading import Sound

KINDS = {
    ".flac": ("flac", "flac", 0),
    ".opus": ("ogg", "libopus", 128_000),
    ".ogg": ("ogg", "libopus", 128_000),
    ".m4a": ("ipod", "aac", 192_000),
    ".wav": ("wav", "pcm_s16le", 0),
}
"""Ending -> container, encoder, bits a second (0: lossless)."""


class SoundWriter:
    """Write stereo sound to PATH.part and rename that; a context manager. An error leaves what was there.

    Args:
        path: its ending is one of KINDS.
        rate: Hz. title: a tag, if any.
    """

    def __init__(self, path: Path, rate: int, title: str = "") -> None:
        container, encoder, bits = KINDS[path.suffix.lower()]
        self.path, self._part, self._rate, self._samples = path, path.with_name(path.name + ".part"), rate, 0
        options = {"rf64": "auto"} if container == "wav" else {}  # a night is more than 4 GB
        self._out = av.open(str(self._part.absolute()), "w", format=container, options=options)
        if title:
            self._out.metadata["title"] = title
        stream: Any = self._out.add_stream(encoder, rate=rate)
        stream.layout = "stereo"
        if bits:
            stream.bit_rate = bits
        else:
            stream.format = "s16"
        self._stream = stream

    def __enter__(self) -> SoundWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None and self._samples:
                self._guarded(lambda: self._out.mux(self._stream.encode(None)))
                self._guarded(self._out.close)
                os.replace(self._part, self.path)
        finally:
            with suppress(FFmpegError, OSError):
                self._out.close()
            self._part.unlink(missing_ok=True)

    def sound(self, sound: Sound) -> None:
        """Add sound, float32 (n, 2) in -1..1."""
        if not len(sound):
            return
        pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._samples += len(sound)
        self._guarded(lambda: self._out.mux(self._stream.encode(frame)))

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except (FFmpegError, OSError) as error:
            why = error.strerror or str(error)
            raise StaleError(f"{self.path} was not written.", why, "free some space, or write elsewhere") from error
