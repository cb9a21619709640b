"""Writing movie files: encode or copy the picture and the sound, add touch, subtitle lanes and attachments."""

from __future__ import annotations

import errno
import io
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import Codec, CodecContext
from av.audio.frame import AudioFrame
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from stale_diffusion.errors import StaleError
from stale_diffusion.media.joining import CONTAINER_TAGS, copy_stream, create, join, naming
from stale_diffusion.media.reading import (
    EXACT,
    MAX_SECONDS,
    RGB,
    Sound,
    TrackHash,
    open_file,
    origin_of,
    packets_of,
    track_hashes,
    track_title,
)
from stale_diffusion.senses import FELT

# mbtree and the default quantiser flatten dither in dark gradients into bands; these keep it, at 10-14 times real time
# (640x360, one core). Two threads always: the bytes must not depend on the machine.
X264_PARAMS = "mbtree=0:aq-mode=3:aq-strength=1.3:chroma-qp-offset=-3"
X264 = {"preset": "veryfast", "crf": "20", "threads": "2", "x264-params": X264_PARAMS}
# realtime, 190 frames a second where "good" makes 43 (640x360, two threads) at the same quality; 24 is H.264's 20
VP9 = {"deadline": "realtime", "cpu-used": "7", "crf": "24", "b": "0", "row-mt": "1", "threads": "2"}
LANES = FELT  # titles of the tracks that this program adds
LAYOUTS = {1: "mono", 2: "stereo"}
CONTAINERS = {".mkv": "matroska", ".mka": "matroska", ".mp4": "mp4", ".webm": "webm"}
PICTURE = {"matroska": ("libx264", X264), "mp4": ("libx264", X264), "webm": ("libvpx-vp9", VP9)}
SOUND = {"matroska": "flac", "mp4": "flac", "webm": "libopus"}
TEXT = {"matroska": "subrip", "mp4": "mov_text", "webm": "webvtt"}
# what makes a clip fit a container, for a person to run
CONVERT = {
    ".mkv": "-c:v libx264 -c:a flac",
    ".mka": "-vn -c:a flac",
    ".mp4": "-c:v libx264 -c:a aac",
    ".webm": "-c:v libvpx-vp9 -c:a libopus",
}


def missing_encoders() -> list[str]:
    """The encoders a movie needs that this build of FFmpeg lacks."""
    missing = []
    for name in ("libx264", "flac", "subrip", "libvpx-vp9", "libopus"):
        try:
            Codec(name, "w")
        except ValueError:  # av's UnknownCodecError
            missing.append(name)
    return missing


class MovieWriter:
    """Write one movie file: picture, sound, touch as vibration, subtitle lanes, attachments. A context manager.

    Picture and sound go to PATH.tracks.part, which can be played while it grows, what is felt to PATH.felt.part;
    `close` copies both once, with attachments and tags in front, to PATH.part, and renames that. Any error or Ctrl-C
    removes them and leaves an older PATH as it was. Feed the tracks of a file side by side, a few seconds of each in
    turn: memory holds what lies between the slowest and the fastest.

    Args:
        path: .mkv, or .mp4 or .webm (which hold no attachments).
        size: (width, height), even; None: no picture track of its own.
        fps: frames a second.
        sound_rate: Hz; None: no sound. sound_channels: 1 or 2.
        touch_rate: Hz of the vibration track; None: none. touch_channels: 1 or 2.
        subtitles: titles of the subtitle tracks.
        copy_from: a file whose picture and sound are copied packet for packet, in place of `size` and `sound_rate`.
        anew: "sight", "hearing": of such a file, the first track of that sense is written anew, not copied.
        repeats: what was fed is written so many times, its packets copied; the first time the sound rises from silence.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None = None,
        fps: Fraction = Fraction(24),
        sound_rate: int | None = 48000,
        sound_channels: int = 2,
        touch_rate: int | None = None,
        touch_channels: int = 2,
        subtitles: Sequence[str] = LANES,
        copy_from: str | Path | None = None,
        anew: Sequence[str] = (),
        repeats: int = 1,
    ) -> None:
        self.path = Path(path)
        _check_target(self.path, size, copy_from)
        self._kind = CONTAINERS[self.path.suffix.lower()]
        ends = (".tracks.part", ".felt.part", ".part")
        self._stage, self._lower, self._part = (self.path.with_name(self.path.name + end) for end in ends)
        self._source = open_file(copy_from) if copy_from is not None else None
        self._shift = origin_of(self._source) if self._source else Fraction(0)
        self._copied: dict[int, Any] = {}
        self._texts: set[int] = set()  # of those, the subtitles that are written anew
        self._pending: Iterator[Packet[Any]] = iter(())
        self._picture: Any = None
        self._sound: Any = None
        self._frames = self._sound_samples = self._touch_samples = 0
        self._repeats = repeats
        self._fed_to: set[OutputContainer] = set()
        self._opening: list[Packet[Any]] = []
        self._closed = False
        self._tracks = create(self._stage, self._kind, growing=copy_from is None)
        self._felt: OutputContainer | None = None
        self._touch: Any = None
        self._lanes: dict[str, Stream] = {}
        try:
            if size and (copy_from is None or "sight" in anew):
                self._picture = self._add_picture(size, Fraction(fps))
            if self._source is not None:  # the picture comes first, copied or not
                self._copy_streams(self._source, anew)
            if sound_rate and (copy_from is None or "hearing" in anew):
                self._sound = self._add_sound(self._tracks, sound_rate, sound_channels, "sound")
            self.lanes(touch_rate, touch_channels, subtitles)
            self._next = next(self._pending, None)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> MovieWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self.abort()
        elif not self._closed:
            self.close()

    def lanes(self, touch_rate: int | None, touch_channels: int = 2, subtitles: Sequence[str] = ()) -> None:
        """Add the tracks of what is felt, once; they may be known only when the picture is written."""
        if not touch_rate and not subtitles:
            return
        self._felt = create(self._lower, self._kind)
        if touch_rate:
            self._touch = self._add_sound(self._felt, touch_rate, touch_channels, "touch")
        self._lanes = {name: self._add_lane(self._felt, name) for name in subtitles}

    def frame(self, rgb: RGB) -> None:
        """Add one picture, uint8 (H, W, 3)."""
        context = self._picture.codec_context
        if rgb.shape != (context.height, context.width, 3):
            raise ValueError(f"a picture must be ({context.height}, {context.width}, 3), not {rgb.shape}")
        frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | EXACT,
        )
        frame.pts, frame.time_base = self._frames, 1 / context.framerate
        self._frames += 1
        self._mux(self._picture.encode(frame))
        self._copy_until(self._frames / context.framerate)

    def sound(self, sound: Sound) -> None:
        """Add sound, float32 (n, channels) in -1..1; beyond that it is clipped."""
        if self._repeats > 1 and not self._sound_samples:
            self._opening = _risen(self._sound.codec_context, sound)
        self._mux(self._encode(self._sound, sound, self._sound_samples))
        self._sound_samples += len(sound)
        self._copy_until(Fraction(self._sound_samples, self._sound.codec_context.sample_rate))

    def touch(self, vibration: Sound) -> None:
        """Add vibration, float32 (n, channels) in -1..1, at touch_rate."""
        self._mux(self._encode(self._touch, vibration, self._touch_samples), self._felt)
        self._touch_samples += len(vibration)

    def subtitle(self, track: str, start: float, seconds: float, text: str) -> None:
        """Add a line of a subtitle track; within a track in order of time."""
        packet = Packet(_subtitle_payload(text, self._kind))
        packet.stream, packet.time_base = self._lanes[track], Fraction(1, 1000)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round(seconds * 1000)
        self._mux([packet], self._felt)

    def close(
        self,
        attachments: Mapping[str, tuple[str, bytes]] | None = None,
        tags: Mapping[str, str] | None = None,
        sign: Callable[[list[TrackHash]], bytes] | None = None,
    ) -> None:
        """Finish the file with attachments {name: (media type, bytes)} and tags, and put it in its place.

        Args:
            sign: makes one more attachment, manifest.json, of the finished tracks.
        """
        try:
            if attachments and self._kind != "matroska":
                raise StaleError(f"{self.path} cannot hold attachments.", "only .mkv can", "name it .mkv", usage=True)
            self._copy_until(Fraction(MAX_SECONDS))
            for stream in filter(None, (self._picture, self._sound)):
                self._mux(stream.encode(None))
            if self._touch is not None:
                self._mux(self._touch.encode(None), self._felt)
            try:
                parts = self._parts()
                files = dict(attachments or {})
                if sign is not None and self._kind == "matroska":
                    hashes = [found for part in parts for found in track_hashes(part)]
                    files["manifest.json"] = ("application/json", sign(hashes))
                opening = self._opening, self._sound.index if self._opening else -1
                join(parts, self._part, self._kind, files, tags or {}, self._repeats, self._fed(), opening)
                os.replace(self._part, self.path)
            except (FFmpegError, OSError) as error:
                raise self._failure(error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Leave nothing half-written; an older file at the path stays."""
        self._closed = True
        for container in filter(None, (self._tracks, self._felt, self._source)):
            with suppress(FFmpegError, OSError):
                container.close()
        for part in (self._stage, self._lower, self._part):
            part.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        """The finished files of tracks."""
        found = []
        for path, container in ((self._stage, self._tracks), (self._lower, self._felt)):
            if container is not None and container in self._fed_to:
                container.close()
                found.append(path)
        return found

    def _add_picture(self, size: tuple[int, int], fps: Fraction) -> Any:
        encoder, options = PICTURE[self._kind]
        stream: Any = self._tracks.add_stream(encoder, rate=fps, options={**options, "g": str(round(4 * fps))})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        stream.disposition = Disposition.default
        return stream

    def _add_sound(self, container: OutputContainer, rate: int, channels: int, title: str) -> Any:
        # FLAC: sample 0 is at time 0 in every container. Opus packets start at -7 ms and AAC packets at -21 ms, which
        # moves all other tracks when a player or an export shifts the file to begin at 0. WebM takes no FLAC.
        stream: Any = container.add_stream(SOUND[self._kind], rate=rate)
        stream.layout, stream.format = LAYOUTS[channels], "s16"
        stream.metadata.update(naming(title, "zxx", self._kind))  # zxx: no linguistic content
        stream.disposition = Disposition.default if title == "sound" else Disposition(0)
        return stream

    def _add_lane(self, container: OutputContainer, title: str) -> Stream:
        stream = container.add_mux_stream(TEXT[self._kind])
        stream.metadata.update(naming(title, "eng", self._kind))
        stream.time_base = Fraction(1, 1000)
        return stream

    def _copy_streams(self, source: InputContainer, anew: Sequence[str]) -> None:
        """Take over picture, sound, subtitles and tags, less cover images and the lanes that an earlier run added."""
        wanted = [stream for stream in source.streams if _is_own(stream)]
        for sense, kind in (("sight", "video"), ("hearing", "audio")):
            old = next((stream for stream in wanted if stream.type == kind), None)
            if sense in anew and old is not None:
                wanted.remove(old)
        for stream in wanted:
            codec = _codec(stream)
            if codec in self._tracks.supported_codecs:
                self._copied[stream.index] = copy_stream(self._tracks, stream)
            elif codec in TEXT.values():
                lane = self._tracks.add_mux_stream(TEXT[self._kind])
                lane.metadata.update(naming(track_title(stream), stream.language or "und", self._kind))
                lane.time_base, lane.disposition = Fraction(1, 1000), stream.disposition
                self._copied[stream.index] = lane
                self._texts.add(stream.index)
            elif stream.type != "subtitle":  # pictures of text have no place in MP4 and WebM
                raise _does_not_fit(self.path, source, stream, wanted)
        if not self._copied and not anew:
            raise StaleError(f"{source.name} holds neither picture nor sound.", "no track that can be copied")
        self._tracks.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in CONTAINER_TAGS})
        copied = [stream for stream in source.streams if stream.index in self._copied]
        self._pending = packets_of(source, copied) if copied else iter(())

    def _copy_until(self, until: Fraction) -> None:
        """Copy packets of the source up to a time, so that tracks stay side by side and memory small."""
        while self._next is not None:
            packet = self._next
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is not None and stamp * packet.time_base > until + self._shift:
                return
            if packet.size and stamp is not None:
                shift = int(self._shift / packet.time_base)
                packet.pts = packet.pts - shift if packet.pts is not None else None
                packet.dts = packet.dts - shift if packet.dts is not None else None
                self._mux(self._moved(packet))
            self._next = next(self._pending, None)

    def _moved(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """A packet of the source as one of ours; a subtitle of another container's kind is written anew."""
        target = self._copied[packet.stream.index]
        if packet.stream.index not in self._texts:
            packet.stream = target
            return [packet]
        text = _text_of(bytes(packet), _codec(packet.stream))
        if not text:  # MP4 fills the time between two lines with empty ones
            return []
        line: Packet[Any] = Packet(_subtitle_payload(text, self._kind))
        line.stream, line.time_base = target, packet.time_base
        line.pts = line.dts = packet.pts
        line.duration = packet.duration
        return [line]

    def _encode(self, stream: Any, sound: Sound, at: int) -> list[Packet[Any]]:
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if sound.ndim != 2 or sound.shape[1] != channels:
            raise ValueError(f"sound must be (n, {channels}), not {sound.shape}")
        if not len(sound):
            return []
        pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(pcm, format="s16", layout=LAYOUTS[channels])
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        return list(stream.encode(frame))

    def _mux(self, packets: Sequence[Packet[Any]], container: OutputContainer | None = None) -> None:
        container = container or self._tracks
        if packets:
            self._fed_to.add(container)
        try:
            container.mux(packets)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: FFmpegError | OSError) -> StaleError:
        self.abort()
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StaleError(f"{self.path} was not written: the disk is full.", mend="free some space")
        if self._source is not None and not isinstance(error, PermissionError):
            why = f"a track of {self._source.name} cannot be copied: {error.strerror or error}"
            return StaleError(f"{self.path} was not written.", why, "repair or convert the clip first")
        return StaleError(f"{self.path} was not written.", error.strerror or str(error), "check the folder")

    def _fed(self) -> Fraction:
        """Seconds that were fed."""
        if self._sound is not None:
            return Fraction(self._sound_samples, self._sound.codec_context.sample_rate)
        return self._frames / Fraction(self._picture.codec_context.framerate) if self._picture else Fraction(0)


def _risen(context: Any, sound: Sound) -> list[Packet[Any]]:
    """The first whole packets of a sound, rising from silence, to be put in the place of those of its first time."""
    encoder: Any = CodecContext.create(context.name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = context.sample_rate, context.layout, context.format
    encoder.time_base = Fraction(1, context.sample_rate)
    encoder.open()
    whole = len(sound) // encoder.frame_size * encoder.frame_size
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(whole) / max(whole, 1))
    pcm = np.round(np.clip(sound[:whole] * rise[:, None], -1, 1) * 32767).astype(np.int16).reshape(1, -1)
    frame = AudioFrame.from_ndarray(pcm, format="s16", layout=LAYOUTS[sound.shape[1]])
    frame.sample_rate, frame.pts, frame.time_base = context.sample_rate, 0, encoder.time_base
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    for packet in packets:
        packet.time_base = encoder.time_base
    return [packet for packet in packets if packet.size]


def _check_target(path: Path, size: tuple[int, int] | None, copy_from: str | Path | None) -> None:
    """Refuse what cannot be written, before any work."""
    if path.suffix.lower() not in CONTAINERS:
        raise StaleError(
            f"{path}: unknown kind of movie file.", "movies are .mkv, .mp4 or .webm", "name it .mkv", usage=True
        )
    if not path.absolute().parent.is_dir():
        raise StaleError(f"the folder {path.parent} does not exist.", mend=f"mkdir -p {path.parent}", usage=True)
    if path.is_dir():
        raise StaleError(f"{path} is a folder.", mend="name a file in it", usage=True)
    if size and (size[0] % 2 or size[1] % 2 or min(size) < 16):
        why, even = "colour is stored at half size", "x".join(str(max(16, side + side % 2)) for side in size)
        raise StaleError(f"a picture of {size[0]}x{size[1]} cannot be written.", why, f"use {even}", usage=True)
    if copy_from is not None and path.exists() and path.samefile(copy_from):
        raise StaleError(f"{path} is the input itself.", mend="name another output", usage=True)


def _is_own(stream: Stream) -> bool:
    """Whether a track of a source is the movie's own: no cover image, none of the lanes of an earlier run."""
    cover = bool(stream.disposition & Disposition.attached_pic)
    return stream.type in ("video", "audio", "subtitle") and not cover and track_title(stream).lower() not in LANES


def _codec(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def check_fits(path: Path, clip: str | Path) -> None:
    """Whether the container of a path can hold the packets of a clip, before anything is computed.

    Raises:
        StaleError: a track of picture or sound does not fit; which container takes it, and the command that converts.
    """
    with open_file(clip) as source, av.open(io.BytesIO(), "w", format=CONTAINERS[path.suffix.lower()]) as container:
        wanted = [stream for stream in source.streams if _is_own(stream)]
        for stream in wanted:
            if stream.type != "subtitle" and _codec(stream) not in container.supported_codecs:
                raise _does_not_fit(path, source, stream, wanted)


def _does_not_fit(path: Path, source: InputContainer, stream: Stream, wanted: Sequence[Stream]) -> StaleError:
    """The error for a track that a container cannot hold: which one can, and the command that makes it fit."""
    media = {_codec(s) for s in wanted if s.type != "subtitle"}
    others = []
    for suffix, kind in CONTAINERS.items():
        with av.open(io.BytesIO(), "w", format=kind) as container:
            if media <= container.supported_codecs and suffix != ".mka":  # that is for sound alone
                others.append(suffix)
    suffix, clip = path.suffix.lower(), Path(source.name)
    what = f"{suffix} cannot hold the {stream.type} track ({_codec(stream)}) of {source.name}."
    can = f"; {' and '.join(others)} can hold these" if others else ""
    made = shlex.quote(str(clip.with_name(clip.stem + "-converted" + suffix)))
    convert = f"ffmpeg -i {shlex.quote(str(clip))} {CONVERT[suffix]} {made}"
    mend = f"name the output {path.with_suffix(others[0]).name}, or convert the clip: {convert}" if others else convert
    return StaleError(what, f"tracks are copied, never re-encoded{can}", mend, usage=True)


def _subtitle_payload(text: str, kind: str) -> bytes:
    data = (text.replace("&", "&amp;") if kind == "webm" else text).encode()
    return len(data).to_bytes(2, "big") + data if kind == "mp4" else data


def _text_of(payload: bytes, codec: str) -> str:
    """The line in a packet of text subtitles, without the styles that may follow it in MP4."""
    if codec == "mov_text":
        payload = payload[2 : 2 + int.from_bytes(payload[:2], "big")]
    text = payload.decode("utf-8", "replace").strip()
    return text.replace("&amp;", "&") if codec == "webvtt" else text
