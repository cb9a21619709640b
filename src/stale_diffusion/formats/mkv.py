"""The movie file: one Matroska file with everything in it, or a movie with sidecars beside it.

Picture (H.264), sound and a track titled "touch" (audio-rate vibration, FLAC at 8 kHz, for a bass shaker), subtitle
tracks smell, taste, touch, and attachments: timeline.json (the source of truth), recipe.json and the device formats.
Segment by segment, so memory does not grow with the movie.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stale_diffusion import timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.formats import ambient, export, subtitles, wav
from stale_diffusion.formats.subtitles import Line
from stale_diffusion.movie import RGB, Movie, Sound
from stale_diffusion.senses.base import SEGMENT_SECONDS

if TYPE_CHECKING:
    from stale_diffusion.media import MovieWriter, TrackHash
    from stale_diffusion.trust.keys import Key

SOUND_RATE = 48_000  # Hz
SIDECAR_SECONDS = 30 * 60  # above this, timelines are files of their own
MAX_FPS = 240


def write(
    movie: Movie,
    path: Path,
    size: tuple[int, int],
    fps: Fraction,
    *,
    recipe: bool = True,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write a movie; see `Movie.save`.

    Raises:
        StaleError: the size, the folder or the container cannot be used, or the disk is full; nothing is half-written.
    """
    from stale_diffusion.media import MovieWriter  # av takes a while to import

    if movie.screen is None:
        raise StaleError("This movie has neither picture nor sound.", mend="generate or open one first", usage=True)
    if not 0 < fps <= MAX_FPS:
        raise StaleError(f"{fps} frames a second cannot be shown.", f"more than 0, at most {MAX_FPS}", usage=True)
    copied, anew, kind = movie.screen.source, movie.screen.anew, movie.screen.kind
    if not recipe:
        movie = replace(movie, recipe=None)  # its plot is the title of other formats, too
    elif movie.recipe is not None and kind != "filmed":
        movie = replace(movie, recipe=replace(movie.recipe, width=size[0], height=size[1], fps=str(fps)))
    movie = replace(movie, tracks={name: timeline.settled(track) for name, track in movie.tracks.items()})
    inside = path.suffix.lower() in (".mkv", ".mka") and movie.seconds <= SIDECAR_SECONDS
    once = _once(movie)
    lanes = {sense: subtitles.to_lines(once, sense) for sense in export.SENSES if sense in movie.tracks}
    writer = MovieWriter(
        path,
        size if "sight" in anew else None,
        fps,
        SOUND_RATE if "hearing" in anew else None,
        touch_rate=wav.SOUND_RATE if "touch" in movie.tracks else None,
        subtitles=tuple(lanes),
        copy_from=copied,
        anew=anew,
        repeats=round(movie.seconds / once.seconds),
    )
    with writer:
        seen = _Edges(fps)
        for segment in _segments(once, size, fps, lanes):
            _feed(writer, segment, seen, lambda share: _tell(progress, share))
        if "sight" in anew:
            movie = replace(movie, edges=np.tile(seen.colours(), (round(movie.seconds / once.seconds), 1, 1)))
        files = export.attachments(movie) if inside else {}
        title = {"title": movie.title} if movie.recipe is not None else {}
        writer.close(files or None, title, _signer(movie, files))
    sidecars = [] if inside else export.write_sidecars(movie, path)
    if movie.key is not None and path.suffix.lower() != ".mkv":
        sidecars += _sign_beside(movie.key, path, sidecars)
    return [path, *sidecars]


def _once(movie: Movie) -> Movie:
    """A movie that repeats, once."""
    if movie.screen is None or movie.screen.period is None:
        return movie
    seconds = movie.screen.period
    tracks = {n: replace(t, values=t.values[: round(seconds * t.rate)]) for n, t in movie.tracks.items()}
    return replace(movie, seconds=seconds, tracks=tracks)


def _signer(movie: Movie, files: Mapping[str, tuple[str, bytes]]) -> Callable[[list[TrackHash]], bytes] | None:
    """What signs a Matroska file with its attachments; None where the movie has no key."""
    from stale_diffusion.trust import manifest

    key = movie.key
    if key is None:
        return None
    return lambda tracks: manifest.sign(tracks, {name: data for name, (_, data) in files.items()}, key)


def _sign_beside(key: Key, path: Path, sidecars: list[Path]) -> list[Path]:
    """Sign a movie that holds no attachments, with what lies beside it: NAME.manifest.json, and in MP4 by C2PA."""
    from stale_diffusion.media import track_hashes
    from stale_diffusion.trust import credentials, manifest

    files = {sidecar.name.removeprefix(f"{path.stem}."): sidecar.read_bytes() for sidecar in sidecars}
    signed = manifest.sign(track_hashes(path), files, key)
    target = path.with_suffix(f".{manifest.NAME}")
    export.write_atomically(target, [signed])
    if path.suffix.lower() == ".mp4":
        credentials.embed(path, signed, key)
    return [target]


@dataclass(frozen=True)
class _Segment:
    """What goes into the file side by side: SEGMENT_SECONDS of every track; frames come one at a time."""

    frames: Iterator[RGB]
    count: int
    share: tuple[float, float]  # of the movie, at its first and after its last frame
    sound: Sound | None
    touch: Sound | None
    lines: list[tuple[str, Line]]


def _segments(
    movie: Movie, size: tuple[int, int], fps: Fraction, lanes: Mapping[str, list[Line]]
) -> Iterator[_Segment]:
    """The movie cut into segments; picture and sound are left out where they are copied."""
    assert movie.screen is not None
    pictured = "sight" in movie.screen.anew
    frames = movie.screen.frames(size, fps) if pictured else iter(())
    sound = Exactly(movie.screen.sound(SOUND_RATE)) if "hearing" in movie.screen.anew else None
    shaker = wav.vibration(movie.touch) if "touch" in movie.tracks else iter(())
    for k in range(math.ceil(movie.seconds / SEGMENT_SECONDS)):
        start = float(k * SEGMENT_SECONDS)
        end = min(start + SEGMENT_SECONDS, movie.seconds)
        lines = [
            (sense, line)
            for sense, lane in lanes.items()
            for line in lane[bisect_left(lane, start, key=_start) : bisect_left(lane, end, key=_start)]
        ]
        yield _Segment(
            frames,
            _count(end, fps) - _count(start, fps) if pictured else 0,
            (start / movie.seconds, end / movie.seconds),
            sound.take(_count(end, SOUND_RATE) - _count(start, SOUND_RATE)) if sound else None,
            next(shaker, None),
            sorted(lines, key=lambda entry: entry[1].start),
        )


def _start(line: Line) -> float:
    return line.start


class _Edges:
    """Looks at the picture's edges as it is written, so that it need not be rendered again for the light of a room."""

    def __init__(self, fps: Fraction) -> None:
        self.step, self.count = fps / ambient.RATE, 0
        self.found: list[RGB] = []

    def see(self, frame: RGB) -> None:
        while self.count >= len(self.found) * self.step:  # below 2 frames a second a frame counts more than once
            self.found.append(ambient.edges(frame))
        self.count += 1

    def colours(self) -> RGB:
        return np.array(self.found, np.uint8).reshape(-1, 2, 3)


def _feed(writer: MovieWriter, segment: _Segment, seen: _Edges, tell: Callable[[float], None]) -> None:
    first, last = segment.share
    for i in range(segment.count):
        frame = _next_frame(segment.frames)
        writer.frame(frame)
        seen.see(frame)
        tell(first + (last - first) * (i + 1) / segment.count)
    if segment.sound is not None:
        writer.sound(segment.sound)
    if segment.touch is not None:
        writer.touch(segment.touch)
    for sense, line in segment.lines:
        writer.subtitle(sense, line.start, line.seconds, line.text)
    tell(last)


def _tell(progress: Callable[[float], None] | None, share: float) -> None:
    if progress is not None:
        progress(min(share, 1.0))


def _count(seconds: float, rate: Fraction | int) -> int:
    """Samples or frames up to a time: what a segment gets is the difference, so that nothing adds up."""
    return round(Fraction(seconds).limit_denominator(1_000_000) * rate)


def _next_frame(frames: Iterator[RGB]) -> RGB:
    try:
        return next(frames)
    except StopIteration:
        raise StaleError("The picture ended before the movie.", "the screen is shorter than it says") from None


class Exactly:
    """Chunks of any length, taken in lengths of one's own; silence after the end."""

    def __init__(self, chunks: Iterator[Sound]) -> None:
        self._chunks = chunks
        self._held: list[Sound] = []

    def take(self, n: int) -> Sound:
        """The next n samples, (n, 2)."""
        have = sum(map(len, self._held))
        while have < n:
            chunk = next(self._chunks, None)
            if chunk is None:
                chunk = np.zeros((n - have, 2), np.float32)
            self._held.append(chunk)
            have += len(chunk)
        joined = np.concatenate(self._held) if self._held else np.zeros((0, 2), np.float32)
        self._held = [joined[n:]]
        return joined[:n]
