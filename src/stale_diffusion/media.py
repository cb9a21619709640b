"""Media files: probe, read, copy and write pictures, sound, subtitles and attachments. The only module that imports av.

Every file is untrusted: a short list of self-contained formats, local regular files only, caps on pixels and duration.
Time 0 is the start of the file (the earliest track that starts after zero); priming before zero is never counted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,flac,wav"  # none of these opens another file or an address
MAX_PIXELS = 8192 * 4320
MAX_SECONDS = 24 * 3600
MAX_ATTACHMENT_BYTES = 64 * 2**20
MAX_GAP = Fraction(1, 20)  # seconds of missing sound above which silence is put in
LANES = ("touch", "smell", "taste")  # titles of the tracks that this program adds

RGB = NDArray[np.uint8]
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class VideoInfo:
    """A picture track: size as displayed (rotation applied), mean frames a second, frame count where the file tells."""

    width: int
    height: int
    fps: Fraction
    codec: str
    frames: int | None


@dataclass(frozen=True)
class AudioInfo:
    """A sound track: rate in Hz, channels, language and title where the file tells."""

    codec: str
    rate: int
    channels: int
    language: str
    title: str


@dataclass(frozen=True)
class Probe:
    """What a media file holds; subtitles are (codec, language, title), attachments (name, media type, bytes)."""

    path: Path
    container: str
    seconds: float
    video: VideoInfo | None
    audio: tuple[AudioInfo, ...]
    subtitles: tuple[tuple[str, str, str], ...]
    attachments: tuple[tuple[str, str, int], ...]
    tags: dict[str, str]


# ---------------------------------------------------------------------------------------------------------- reading


def _open(path: str | Path) -> InputContainer:
    """Open an untrusted file; StaleError where it is missing, no regular file, empty, or no media of a known format."""
    path = Path(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise StaleError(f"{path} does not exist.", mend="check the name and the folder", usage=True) from None
    except (OSError, ValueError) as error:  # no permission, a loop of links, a name with a zero byte
        raise StaleError(f"{path} cannot be read.", getattr(error, "strerror", None) or str(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise StaleError(f"{path} is a folder, not a media file.", mend="name one file in it", usage=True)
    if not stat.S_ISREG(status.st_mode):
        raise StaleError(f"{path} is not a regular file.", "pipes and devices are not read", "copy it to a file first")
    if status.st_size == 0:
        raise StaleError(f"{path} is empty (0 bytes).", mend="download or copy it again")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path.resolve()), "r", options=options, metadata_errors="replace")
    except PermissionError:
        raise StaleError(f"{path} cannot be read.", "permission denied", f"chmod +r {path}") from None
    except (FFmpegError, OSError, ValueError):
        why = "it is damaged, cut short, or of another format than MP4, MOV, MKV, WebM, Ogg, FLAC, WAV"
        raise StaleError(f"{path} is not a readable media file.", why, "convert or download it again") from None
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return container


def _title(stream: Stream) -> str:
    """The title of a track; MP4 keeps it as the name of its handler."""
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    handler = tags.get("handler_name", "")
    return tags.get("title") or ("" if handler.endswith("Handler") else handler)


def _pictures(container: InputContainer) -> list[Any]:
    """Picture tracks that a decoder knows, cover images left out."""
    found = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return [s for s in found if s.codec_context is not None]


def _sounds(container: InputContainer) -> list[Any]:
    return [s for s in container.streams.audio if s.codec_context is not None and s.codec_context.sample_rate]


def _origin(container: InputContainer) -> Fraction:
    """Time in seconds that counts as 0: a recording cut from a longer one starts late, codec priming starts early."""
    return max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))


def _packets(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet[Any]]:
    """Demux until the end; a file cut short simply ends there."""
    try:
        yield from container.demux(*streams)
    except FFmpegError:
        return


def _decoded(container: InputContainer, stream: Any) -> Iterator[tuple[Fraction, Any]]:
    """Decode a track into (time in seconds, frame), damaged packets left out; times never beyond MAX_SECONDS."""
    origin, clock = _origin(container), Fraction(0)
    for packet in _packets(container, [stream]):
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                clock = frame.pts * frame.time_base - origin
            if clock > MAX_SECONDS:
                raise StaleError(f"{container.name} is longer than {MAX_SECONDS // 3600} hours.", mend="cut it")
            yield clock, frame
            clock += _frame_seconds(frame, stream)


def _frame_seconds(frame: Any, stream: Any) -> Fraction:
    if isinstance(frame, AudioFrame):
        return Fraction(frame.samples, frame.sample_rate)
    if frame.duration and frame.time_base:
        return Fraction(frame.duration * frame.time_base)
    return 1 / Fraction(stream.average_rate or 25)


def _seconds(container: InputContainer) -> float:
    """Duration of the file; counted from the packets where the header does not say."""
    if container.duration and 0 < container.duration <= MAX_SECONDS * 1_000_000:
        return container.duration / 1_000_000
    end = 0.0
    for packet in _packets(container, list(container.streams)):
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base - _origin(container)))
    return end


def probe(path: str | Path) -> Probe:
    """What a media file holds.

    Raises:
        StaleError: it is missing, a folder, a pipe, empty, not media, or has neither picture nor sound.
    """
    with _open(path) as container:
        pictures, sounds = _pictures(container), _sounds(container)
        if not pictures and not sounds:
            raise StaleError(f"{path} holds neither picture nor sound.", "no track that a decoder knows")
        seconds = _seconds(container)
        contexts = [(s.codec_context, s) for s in sounds]
        audio = tuple(AudioInfo(c.name, c.sample_rate, c.channels, *_names(s)) for c, s in contexts)
        subtitles = tuple((s.codec_context.name, *_names(s)) for s in container.streams.subtitles if s.codec_context)
        files = tuple((_file_name(s), s.mimetype or "", len(s.data)) for s in _attachments(container))
        tags, name = dict(container.metadata), container.format.name
    video = _video_info(path) if pictures else None
    return Probe(Path(path), name, seconds, video, audio, subtitles, files, tags)


def _names(stream: Stream) -> tuple[str, str]:
    return stream.language or "und", _title(stream)


def _video_info(path: str | Path) -> VideoInfo:
    """Only a decoded frame knows its rotation, so the first one is decoded."""
    with _open(path) as container:
        stream = _pictures(container)[0]
        context = stream.codec_context
        frames = stream.frames or None
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        width, height = context.width, context.height
        for _, frame in _decoded(container, stream):
            width, height = (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
            break
        return VideoInfo(width, height, fps, context.name, frames)


def _rgb(frame: VideoFrame, size: tuple[int, int] | None) -> RGB:
    """A decoded frame as RGB (H, W, 3), upright; with a size, scaled to cover it and cropped about the centre."""
    turns = round(frame.rotation / 90) % 4
    # players take high-definition video without a tag for BT.709 and the rest for BT.601
    space = Colorspace.ITU709 if frame.colorspace == 2 and frame.height >= 720 else None
    if size is None:
        picture = frame.reformat(format="rgb24", src_colorspace=space).to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, turns))
    width, height = size[::-1] if turns % 2 else size
    scale = max(Fraction(width, frame.width), Fraction(height, frame.height))
    wide, high = (max(low, round(scale * side)) for low, side in ((width, frame.width), (height, frame.height)))
    if wide * high > 64 * width * height:
        raise StaleError(f"a picture of {frame.width}x{frame.height} is too narrow to be shown at {size[0]}x{size[1]}.")
    how = Interpolation.AREA if scale < 1 else Interpolation.BICUBIC
    scaled = frame.reformat(wide, high, "rgb24", src_colorspace=space, interpolation=how).to_ndarray()
    top, left = (high - height) // 2, (wide - width) // 2
    return np.ascontiguousarray(np.rot90(scaled[top : top + height, left : left + width], turns))


def read_frames(
    path: str | Path,
    fps: Fraction | None = None,
    size: tuple[int, int] | None = None,
    start: float = 0.0,
    seconds: float | None = None,
) -> Iterator[RGB]:
    """Frames as RGB uint8 (H, W, 3), upright, in constant memory.

    Args:
        fps: constant rate to resample to, each tick taking the frame nearest in time; None: every frame as it comes.
        size: (width, height) to fill: scaled to cover it, cropped about the centre; None: the size of the file.
        start: seconds from the start of the file.
        seconds: how much to read; None: to the end.
    """
    begin = Fraction(start).limit_denominator(1_000_000)
    end = begin + Fraction(seconds).limit_denominator(1_000_000) if seconds is not None else Fraction(MAX_SECONDS)
    with _open(path) as container:
        pictures = _pictures(container)
        if not pictures:
            raise StaleError(f"{path} has no picture track.", mend="give a video")
        pictures[0].thread_type, pictures[0].codec_context.thread_count = "AUTO", 4
        if begin > 0:  # one second early: the frame nearest to the first tick may lie before it
            container.seek(int((max(begin - 1, Fraction(0)) + _origin(container)) * 1_000_000))
        decoded = _decoded(container, pictures[0])
        chosen = _between(decoded, begin, end) if fps is None else _ticks(decoded, pictures[0], fps, begin, end)
        last, picture = None, None
        for frame in chosen:
            if picture is None or frame is not last:
                last, picture = frame, _rgb(frame, size)
            yield picture
        if picture is None and begin == 0:
            raise StaleError(f"no picture of {path} can be decoded.", "the file is damaged or cut short")


def _between(decoded: Iterator[tuple[Fraction, Any]], begin: Fraction, end: Fraction) -> Iterator[VideoFrame]:
    for time, frame in decoded:
        if time >= end:
            return
        if time >= begin:
            yield frame


def _ticks(
    decoded: Iterator[tuple[Fraction, Any]], stream: Any, fps: Fraction, begin: Fraction, end: Fraction
) -> Iterator[VideoFrame]:
    """The frame nearest in time to each tick begin + k / fps; the last frame is held for its own duration."""
    tick, before, shown_until = begin, None, begin
    for time, frame in decoded:
        while before is not None and tick < min(end, (before[0] + time) / 2):
            yield before[1]
            tick += 1 / fps
        if tick >= end:
            return
        before, shown_until = (time, frame), time + _frame_seconds(frame, stream)
    while before is not None and tick < min(end, shown_until):
        yield before[1]
        tick += 1 / fps


def read_sound(
    path: str | Path, rate: int, channels: int, start: float = 0.0, seconds: float | None = None, track: int = 0
) -> Iterator[Sound]:
    """Sound in chunks of float32 (n, channels), -1..1; sample 0 is the moment `start`, gaps are silence.

    Args:
        rate: samples a second to resample to.
        channels: 1 (mean of the channels) or 2.
        start: seconds from the start of the file.
        seconds: how much to read; None: to the end.
        track: index among the sound tracks.
    """
    with _open(path) as container:
        sounds = _sounds(container)
        if track >= len(sounds):
            raise StaleError(f"{path} has no sound track {track + 1}.", f"it has {len(sounds)}")
        if start > 0:  # early enough for a decoder to be in full swing at the first sample
            container.seek(int((max(Fraction(start) - 1, Fraction(0)) + _origin(container)) * 1_000_000))
        first, left = round(start * rate), round(seconds * rate) if seconds is not None else MAX_SECONDS * rate
        for at, chunk in _resampled(_decoded(container, sounds[track]), rate):
            keep = chunk[max(0, first - at) : first + left - at if first + left > at else 0]
            if len(keep):
                yield _mix(keep, channels)
            if at + len(chunk) >= first + left:
                return


def _mix(sound_NC: Sound, channels: int) -> Sound:
    """One or two channels from one or two, in the middle of both: FFmpeg's own mix changes the level by 3 dB."""
    if sound_NC.shape[1] == channels:
        return sound_NC
    return np.repeat(sound_NC.mean(axis=1, keepdims=True), channels, axis=1)


def _resampled(decoded: Iterator[tuple[Fraction, Any]], rate: int) -> Iterator[tuple[int, Sound]]:
    """Decoded sound as (index of the first sample, (n, 1 or 2)) at a rate, gaps filled with silence."""
    swr, done, clock = None, 0, Fraction(0)
    for time, frame in decoded:
        if swr is not None and time - clock > MAX_GAP:
            for out in swr.resample(None):
                yield done, _samples(out)
                done += out.samples
            swr = None
        if swr is None:
            target = max(0, round(time * rate))
            while done < target:
                silence = np.zeros((min(rate, target - done), 2), np.float32)
                yield done, silence
                done += len(silence)
            done, clock = (round(time * rate), time) if time < 0 else (target, time)
            swr = AudioResampler("flt", frame.layout if frame.layout.nb_channels <= 2 else "stereo", rate)
        clock += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None
        try:
            outs = swr.resample(frame)
        except ValueError:
            raise StaleError("the sound changes its format midway.", mend="convert the file first") from None
        for out in outs:
            yield done, _samples(out)
            done += out.samples
    for out in swr.resample(None) if swr is not None else ():
        yield done, _samples(out)
        done += out.samples


def _samples(frame: AudioFrame) -> Sound:
    return frame.to_ndarray().reshape(-1, frame.layout.nb_channels).astype(np.float32, copy=False)


def _attachments(container: InputContainer) -> list[AttachmentStream]:
    return [s for s in container.streams if isinstance(s, AttachmentStream)]


def _file_name(stream: Stream) -> str:
    """The bare name: an attachment must not name a folder to be written to."""
    return PurePosixPath((stream.metadata.get("filename") or "attachment").replace("\\", "/")).name or "attachment"


def read_attachments(path: str | Path) -> dict[str, bytes]:
    """Attached files by name, MAX_ATTACHMENT_BYTES in all at most."""
    with _open(path) as container:
        found = {_file_name(s): s.data for s in _attachments(container)}
    if sum(map(len, found.values())) > MAX_ATTACHMENT_BYTES:
        raise StaleError(f"the attachments of {path} are larger than {MAX_ATTACHMENT_BYTES >> 20} MB.")
    return found


def packet_hashes(path: str | Path) -> list[str]:
    """SHA-256 over the packet payloads of each picture, sound and subtitle track, in the order of the file."""
    with _open(path) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio", "subtitle")]
        digests = {s.index: hashlib.sha256() for s in streams}
        for packet in container.demux(*streams):
            digests[packet.stream.index].update(bytes(packet))
    return [digest.hexdigest() for digest in digests.values()]


# ---------------------------------------------------------------------------------------------------------- writing

# mbtree and the default quantiser flatten dither in dark gradients into bands; these keep it, at 10-14 times real time
# (640x360, one core). Two threads always: the bytes must not depend on the machine.
X264_PARAMS = "mbtree=0:aq-mode=3:aq-strength=1.3:chroma-qp-offset=-3"
X264 = {"preset": "veryfast", "crf": "20", "threads": "2", "x264-params": X264_PARAMS}
LAYOUTS = {1: "mono", 2: "stereo"}
CONTAINERS = {".mkv": "matroska", ".mp4": "mp4"}


class MovieWriter:
    """Write one movie file: picture, sound, touch as vibration, subtitle lanes, attachments. A context manager.

    Tracks go to PATH.tracks.part; `close` copies them once, with attachments and tags in front, to PATH.part, and
    renames that. Any error or Ctrl-C removes both and leaves an older PATH as it was. Feed the tracks side by side, a
    few seconds of each in turn: memory holds what lies between the slowest and the fastest.

    Args:
        path: .mkv, or .mp4 (which holds no attachments).
        size: (width, height), even; None: no picture track of its own.
        fps: frames a second.
        sound_rate: Hz; None: no sound. sound_channels: 1 or 2.
        touch_rate: Hz of the vibration track; None: none. touch_channels: 1 or 2.
        subtitles: titles of the subtitle tracks.
        copy_from: a file whose picture and sound are copied packet for packet, in place of `size` and `sound_rate`.
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
    ) -> None:
        self.path = Path(path)
        _check_target(self.path, size, copy_from)
        self._kind = CONTAINERS[self.path.suffix.lower()]
        self._stage, self._part = (self.path.with_name(self.path.name + end) for end in (".tracks.part", ".part"))
        self._source = _open(copy_from) if copy_from is not None else None
        self._copied: dict[int, Any] = {}
        self._picture: Any = None
        self._sound: Any = None
        self._frames = self._sound_samples = self._touch_samples = 0
        self._closed = False
        self._tracks = self._create(self._stage)
        try:
            if self._source is not None:
                self._copy_streams(self._source)
            else:
                self._picture = self._add_picture(size, Fraction(fps)) if size else None
                self._sound = self._add_sound(sound_rate, sound_channels, "sound") if sound_rate else None
            self._touch: Any = self._add_sound(touch_rate, touch_channels, "touch") if touch_rate else None
            self._lanes = {name: self._add_lane(name) for name in subtitles}
        except BaseException:
            self.abort()
            raise
        streams = [s for s in self._source.streams if s.index in self._copied] if self._source else []
        self._shift = _origin(self._source) if self._source else Fraction(0)
        self._pending = _packets(self._source, streams) if self._source else iter(())
        self._next: Packet[Any] | None = next(self._pending, None)

    def __enter__(self) -> MovieWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self.abort()
        elif not self._closed:
            self.close()

    def frame(self, rgb: RGB) -> None:
        """Add one picture, uint8 (H, W, 3)."""
        frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = self._frames, 1 / self._picture.codec_context.framerate
        self._frames += 1
        self._mux(self._picture.encode(frame))

    def sound(self, sound: Sound) -> None:
        """Add sound, float32 (n, channels) in -1..1; beyond that it is clipped."""
        self._mux(self._encode(self._sound, sound, self._sound_samples))
        self._sound_samples += len(sound)

    def touch(self, vibration: Sound) -> None:
        """Add vibration, float32 (n, channels) in -1..1, at touch_rate."""
        self._mux(self._encode(self._touch, vibration, self._touch_samples))
        self._touch_samples += len(vibration)
        self._copy_until(Fraction(self._touch_samples, self._touch.codec_context.sample_rate))

    def subtitle(self, track: str, start: float, seconds: float, text: str) -> None:
        """Add a line of a subtitle track; within a track in order of time."""
        packet = Packet(_subtitle_payload(text, self._kind))
        packet.stream, packet.time_base = self._lanes[track], Fraction(1, 1000)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round(seconds * 1000)
        self._copy_until(Fraction(packet.pts, 1000))
        self._mux([packet])

    def close(
        self, attachments: Mapping[str, tuple[str, bytes]] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Finish the file with attachments {name: (media type, bytes)} and tags, and put it in its place."""
        try:
            if attachments and self._kind != "matroska":
                raise StaleError(f"{self.path} cannot hold attachments.", "MP4 has none", "name it .mkv", usage=True)
            self._copy_until(Fraction(MAX_SECONDS))
            for stream in filter(None, (self._picture, self._sound, self._touch)):
                self._mux(stream.encode(None))
            try:
                self._tracks.close()
                self._remux(attachments or {}, tags or {})
                os.replace(self._part, self.path)
            except (FFmpegError, OSError) as error:
                raise self._failure(error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Leave nothing half-written; an older file at the path stays."""
        self._closed = True
        for container in filter(None, (self._tracks, self._source)):
            with suppress(FFmpegError, OSError):
                container.close()
        for part in (self._stage, self._part):
            part.unlink(missing_ok=True)

    def _create(self, path: Path) -> OutputContainer:
        # bitexact: no random identifiers; passthrough: the touch track must not become a default sound track
        options = {"fflags": "+bitexact"}
        options |= {"default_mode": "passthrough"} if self._kind == "matroska" else {"movflags": "+faststart"}
        return av.open(str(path.absolute()), "w", format=self._kind, options=options)

    def _add_picture(self, size: tuple[int, int], fps: Fraction) -> Any:
        stream = self._tracks.add_stream("libx264", rate=fps, options={**X264, "g": str(round(4 * fps))})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        stream.disposition = Disposition.default
        return stream

    def _add_sound(self, rate: int, channels: int, title: str) -> Any:
        # FLAC: sample 0 is at time 0 in every container. Opus packets start at -7 ms and AAC packets at -21 ms, which
        # moves all other tracks when a player or an export shifts the file to begin at 0.
        stream = self._tracks.add_stream("flac", rate=rate)
        stream.layout, stream.format = LAYOUTS[channels], "s16"
        stream.metadata.update(_naming(title, "zxx"))  # zxx: no linguistic content
        stream.disposition = Disposition.default if title == "sound" else Disposition(0)
        return stream

    def _add_lane(self, title: str) -> Stream:
        stream = self._tracks.add_mux_stream("subrip" if self._kind == "matroska" else "mov_text")
        stream.metadata.update(_naming(title, "eng"))
        stream.time_base = Fraction(1, 1000)
        return stream

    def _copy_streams(self, source: InputContainer) -> None:
        """Picture, sound and subtitles of the source, less the lanes that an earlier run added."""
        for stream in source.streams:
            if stream.type not in ("video", "audio", "subtitle") or _title(stream).lower() in LANES:
                continue
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            if codec in self._tracks.supported_codecs:
                self._copied[stream.index] = _copy_stream(self._tracks, stream)
            elif stream.type != "subtitle":
                what = f"{self.path.suffix} cannot hold the {stream.type} track ({codec}) of {source.name}."
                why = "tracks are copied, never re-encoded"
                raise StaleError(what, why, "name the output .mkv, or convert the clip first")
        if not self._copied:
            raise StaleError(f"{source.name} holds neither picture nor sound.", "no track that can be copied")

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
                packet.stream = self._copied[packet.stream.index]
                self._mux([packet])
            self._next = next(self._pending, None)

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

    def _mux(self, packets: Sequence[Packet[Any]]) -> None:
        try:
            self._tracks.mux(packets)
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> StaleError:
        self.abort()
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return StaleError(f"{self.path} was not written: the disk is full.", mend="free some space")
        return StaleError(f"{self.path} was not written.", str(error), "check the folder and the input")

    def _remux(self, attachments: Mapping[str, tuple[str, bytes]], tags: Mapping[str, str]) -> None:
        """Copy the finished tracks with attachments and tags in front: Matroska takes none after the first packet."""
        with _open(self._stage) as tracks, self._create(self._part) as out:
            out.metadata.update(tags)
            streams = {s.index: _copy_stream(out, s) for s in tracks.streams}
            for name, (mime, data) in attachments.items():
                out.add_attachment(name, mime, data)
            for packet in tracks.demux():
                if packet.size:
                    packet.stream = streams[packet.stream.index]
                    out.mux([packet])


def _check_target(path: Path, size: tuple[int, int] | None, copy_from: str | Path | None) -> None:
    """Refuse what cannot be written, before any work."""
    if path.suffix.lower() not in CONTAINERS:
        raise StaleError(f"{path}: unknown kind of movie file.", "movies are .mkv or .mp4", "name it .mkv", usage=True)
    if not path.absolute().parent.is_dir():
        raise StaleError(f"the folder {path.parent} does not exist.", mend=f"mkdir -p {path.parent}", usage=True)
    if path.is_dir():
        raise StaleError(f"{path} is a folder.", mend="name a file in it", usage=True)
    if size and (size[0] % 2 or size[1] % 2 or min(size) < 16):
        why, even = "H.264 stores colour at half size", "x".join(str(max(16, side + side % 2)) for side in size)
        raise StaleError(f"a picture of {size[0]}x{size[1]} cannot be written.", why, f"use {even}", usage=True)
    if copy_from is not None and path.exists() and path.samefile(copy_from):
        raise StaleError(f"{path} is the input itself.", mend="name another output", usage=True)


def _copy_stream(out: OutputContainer, stream: Any) -> Any:
    copy = out.add_stream_from_template(stream)
    copy.metadata.update(_naming(_title(stream), stream.language or "und"))
    copy.disposition = stream.disposition
    return copy


def _naming(title: str, language: str) -> dict[str, str]:
    return {"title": title, "handler_name": title, "language": language} if title else {"language": language}


def _subtitle_payload(text: str, kind: str) -> bytes:
    data = text.encode()
    return data if kind == "matroska" else len(data).to_bytes(2, "big") + data
