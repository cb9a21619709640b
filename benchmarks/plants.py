"""Clips changed on purpose, as they come back from the internet: encoded again, cropped, mirrored, faster, dubbed.

Shapes: T frames, H, W pixels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stale_diffusion import media
from stale_diffusion.movie import Screen

RATE = 48_000
MAX_SECONDS = 6.0


@dataclass(frozen=True)
class Clip:
    """Frames (T, H, W, 3) uint8 or None, fps, and stereo sound (N, 2) at 48 kHz or None."""

    frames: NDArray[np.uint8] | None
    fps: Fraction
    sound: NDArray[np.float32] | None


def read(path: Path) -> Clip:
    """The first seconds of a file."""
    found = media.probe(path)
    frames, fps = None, Fraction(25)
    if found.video is not None:
        fps = min(found.video.fps, Fraction(30))
        frames = np.stack([*media.read_frames(path, fps, seconds=MAX_SECONDS)])
    sound = np.concatenate([*media.read_sound(path, RATE, 2, seconds=MAX_SECONDS)]) if found.audio else None
    return Clip(frames, fps, sound)


def of_screen(screen: Screen, size: tuple[int, int] = (320, 192), fps: Fraction = Fraction(12)) -> Clip:
    """A rendered screen as a clip."""
    return Clip(np.stack([*screen.frames(size, fps)]), fps, np.concatenate([*screen.sound(RATE)]))


def cropped(clip: Clip, rng: np.random.Generator) -> Clip:
    """A tenth of width and height taken away, wherever."""
    assert clip.frames is not None
    h, w = clip.frames.shape[1:3]
    high, wide = int(0.9 * h) // 2 * 2, int(0.9 * w) // 2 * 2
    top, left = int(rng.integers(0, h - high + 1)), int(rng.integers(0, w - wide + 1))
    return replace(clip, frames=np.ascontiguousarray(clip.frames[:, top : top + high, left : left + wide]))


def mirrored(clip: Clip, rng: np.random.Generator) -> Clip:
    """Left and right exchanged."""
    assert clip.frames is not None
    return replace(clip, frames=np.ascontiguousarray(clip.frames[:, :, ::-1]))


def faster(clip: Clip, rng: np.random.Generator) -> Clip:
    """A tenth faster, the pitch with it."""
    sound = clip.sound
    if sound is not None:
        at = np.arange(int(len(sound) / 1.1)) * 1.1
        sound = np.stack([np.interp(at, np.arange(len(sound)), c) for c in sound.T], 1).astype(np.float32)
    return Clip(clip.frames, clip.fps * Fraction(11, 10), sound)


def dubbed(clip: Clip, rng: np.random.Generator) -> Clip:
    """With another sound: brown noise."""
    noise = np.cumsum(rng.standard_normal(int(RATE * MAX_SECONDS)))
    noise -= np.convolve(noise, np.ones(2000) / 2000, "same")
    noise = (0.1 * noise / noise.std()).astype(np.float32)
    return replace(clip, sound=np.repeat(noise[:, None], 2, 1))


def same(clip: Clip, rng: np.random.Generator) -> Clip:
    """Only encoded again."""
    return clip


CHANGES: dict[str, Callable[[Clip, np.random.Generator], Clip]] = {
    "crf35": same, "crop": cropped, "flip": mirrored, "speed": faster, "dub": dubbed,
}  # fmt: skip


def write(clip: Clip, path: Path, crf: int) -> Path:
    """Encode as x264 at a crf and AAC at 64 kbit/s, MP4."""
    with av.open(str(path), "w") as out:
        video = sound = None
        if clip.frames is not None:
            h, w = (s // 2 * 2 for s in clip.frames.shape[1:3])
            video = out.add_stream("libx264", clip.fps, options={"crf": str(crf), "preset": "veryfast"})
            video.width, video.height, video.pix_fmt = w, h, "yuv420p"
            video.codec_context.thread_count = 1
        if clip.sound is not None:
            sound = out.add_stream("aac", RATE, layout="stereo")
            sound.bit_rate = 64_000
        if clip.frames is not None and video is not None:
            for frame in clip.frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:h, :w]), "rgb24")
                out.mux(video.encode(picture))
            out.mux(video.encode(None))
        if clip.sound is not None and sound is not None:
            _write_sound(out, sound, clip.sound)
    return path


def _write_sound(out: Any, stream: Any, sound: NDArray[np.float32]) -> None:
    for k in range(0, len(sound), 1024):
        part = np.ascontiguousarray(sound[k : k + 1024].T)
        frame = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE, k
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
