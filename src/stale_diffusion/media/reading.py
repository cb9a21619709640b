"""Reading media files: probe, frames, sound, attachments, packet hashes.

Every file is untrusted: a short list of self-contained formats, local regular files only, caps on pixels and duration.
Time 0 is the start of the file (the earliest track that starts after zero); priming before zero is never counted.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,flac,wav,mp3"  # none of these opens another file or an address
MAX_PIXELS = 8192 * 4320
MAX_SECONDS = 24 * 3600
MAX_ATTACHMENT_BYTES = 64 * 2**20
MAX_LEAP = 60  # seconds that time stamps may leap ahead; more where the file is large enough to be so long
LEAN = 250  # bytes a second: a leap is believed up to the size of the file over this
MAX_GAP = Fraction(1, 20)  # seconds of missing sound above which silence is put in
EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT  # without these every colour comes back 1 darker

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


def open_file(path: str | Path) -> InputContainer:
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
        why = "it is damaged, cut short, or of another format than MP4, MOV, MKV, WebM, Ogg, FLAC, WAV, MP3"
        raise StaleError(f"{path} is not a readable media file.", why, "convert or download it again") from None
    for stream in container.streams.video:
        context = stream.codec_context
        if context is not None and context.width * context.height > MAX_PIXELS:
            container.close()
            why = f"{context.width}x{context.height}, at most {MAX_PIXELS / 1e6:.0f} million pixels are read"
            raise StaleError(f"the picture of {path} is too large.", why, "scale it down first")
        if context is not None:  # it may grow later
            context.options = {"max_pixels": str(MAX_PIXELS)}
    return container


def track_title(stream: Stream) -> str:
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


def origin_of(container: InputContainer) -> Fraction:
    """Time in seconds that counts as 0: a recording cut from a longer one starts late, codec priming starts early."""
    return max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))


def packets_of(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet[Any]]:
    """Demux until the end; a file cut short simply ends there."""
    try:
        yield from container.demux(*streams)
    except FFmpegError:
        return


def _believed(container: InputContainer) -> Fraction:
    """How many seconds without a frame a file of this size may hold."""
    return max(Fraction(MAX_LEAP), Fraction(container.size, LEAN))


def _decoded(
    container: InputContainer, stream: Any, begin: Fraction = Fraction(0), packets: Iterator[Packet[Any]] | None = None
) -> Iterator[tuple[Fraction, Any]]:
    """Decode a track into (time in seconds, frame), damaged packets left out; times never beyond MAX_SECONDS.

    Where time stamps leap further ahead than a file of this size can be long, the leap is closed. `begin` is the time
    that was sought; `packets` are those of the track where somebody else demuxes.
    """
    origin, clock, furthest = origin_of(container), begin, _believed(container)
    for packet in packets if packets is not None else packets_of(container, [stream]):
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                leap = frame.pts * frame.time_base - origin - clock
                if leap > furthest:
                    origin, leap = origin + leap, Fraction(0)
                clock += leap
            if clock > MAX_SECONDS:
                raise StaleError(f"{container.name} is longer than {MAX_SECONDS // 3600} hours.", mend="cut it")
            yield clock, frame
            clock += _frame_seconds(frame, stream)


def _frame_seconds(frame: Any, stream: Any) -> Fraction:
    if isinstance(frame, AudioFrame):
        return Fraction(frame.samples, frame.sample_rate)
    if frame.duration and frame.time_base:
        return min(Fraction(frame.duration * frame.time_base), _believed(stream.container))
    return 1 / Fraction(stream.average_rate or 25)


def _seconds(container: InputContainer) -> float:
    """Duration of the file; counted from the packets where the header does not say."""
    if container.duration and 0 < container.duration <= MAX_SECONDS * 1_000_000:
        return container.duration / 1_000_000
    end = 0.0
    for packet in packets_of(container, list(container.streams)):
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base - origin_of(container)))
    return end


def probe(path: str | Path) -> Probe:
    """What a media file holds.

    Raises:
        StaleError: it is missing, a folder, a pipe, empty, not media, or has neither picture nor sound.
    """
    with open_file(path) as container:
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
    return stream.language or "und", track_title(stream)


def _video_info(path: str | Path) -> VideoInfo:
    """Only a decoded frame knows its rotation, so the first one is decoded."""
    with open_file(path) as container:
        stream = _pictures(container)[0]
        context = stream.codec_context
        frames = stream.frames or None
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        width, height = context.width, context.height
        for _, frame in _decoded(container, stream):
            width, height = (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
            break
        return VideoInfo(width, height, fps, context.name, frames)


def _rgb(frame: VideoFrame, size: tuple[int, int] | None, scaler: VideoReformatter, threads: int) -> RGB:
    """A decoded frame as RGB (H, W, 3), upright; with a size, scaled to cover it and cropped about the centre.

    A scaler of a frame's own would prepare its tables anew for each: three times the time of a small picture.
    """
    turns = round(frame.rotation / 90) % 4
    # players take high-definition video without a tag for BT.709 and the rest for BT.601
    space = Colorspace.ITU709 if frame.colorspace == 2 and frame.height >= 720 else None
    if size is None:
        how = Interpolation.BICUBIC | EXACT
        whole = scaler.reformat(frame, format="rgb24", src_colorspace=space, interpolation=how, threads=threads)
        picture = whole.to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, turns))
    width, height = size[::-1] if turns % 2 else size
    scale = max(Fraction(width, frame.width), Fraction(height, frame.height))
    wide, high = (max(low, round(scale * side)) for low, side in ((width, frame.width), (height, frame.height)))
    if wide * high > 64 * width * height:
        raise StaleError(f"a picture of {frame.width}x{frame.height} is too narrow to be shown at {size[0]}x{size[1]}.")
    how = (Interpolation.AREA if scale < 1 else Interpolation.BICUBIC) | EXACT
    small = scaler.reformat(frame, wide, high, "rgb24", src_colorspace=space, interpolation=how, threads=threads)
    scaled = small.to_ndarray()
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
    with open_file(path) as container:
        pictures = _pictures(container)
        if not pictures:
            raise StaleError(f"{path} has no picture track.", mend="give a video")
        pictures[0].thread_type, pictures[0].codec_context.thread_count = "AUTO", 4
        if begin > 0:  # one second early: the frame nearest to the first tick may lie before it
            container.seek(int((max(begin - 1, Fraction(0)) + origin_of(container)) * 1_000_000))
        decoded = _decoded(container, pictures[0], begin)
        chosen = _between(decoded, begin, end) if fps is None else _ticks(decoded, pictures[0], fps, begin, end)
        shown = None
        for shown in _shown(chosen, size, threads=0):
            yield shown
        if shown is None and begin == 0:
            raise StaleError(f"no picture of {path} can be decoded.", "the file is damaged or cut short")


def _shown(chosen: Iterator[VideoFrame], size: tuple[int, int] | None, threads: int) -> Iterator[RGB]:
    """Frames as RGB; one that is held is converted once. threads: of the scaler, 0: as many as there are cores."""
    last, picture, scaler = None, None, VideoReformatter()
    for frame in chosen:
        if picture is None or frame is not last:
            last, picture = frame, _rgb(frame, size, scaler, threads)
        yield picture


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
    path: str | Path, rate: int, channels: int, start: float = 0.0, seconds: float | None = None, track: int = 0,
    max_gap: Fraction = MAX_GAP,
) -> Iterator[Sound]:  # fmt: skip
    """Sound in chunks of float32 (n, channels), -1..1; sample 0 is the moment `start`, gaps are silence.

    Args:
        rate: samples a second to resample to.
        channels: 1 (mean of the channels) or 2.
        start: seconds from the start of the file.
        seconds: how much to read; None: to the end.
        track: index among the sound tracks.
        max_gap: seconds of missing sound that are closed; longer ones are silence.
    """
    with open_file(path) as container:
        sounds = _sounds(container)
        if track >= len(sounds):
            raise StaleError(f"{path} has no sound track {track + 1}.", f"it has {len(sounds)}")
        if start > 0:  # early enough for a decoder to be in full swing at the first sample
            container.seek(int((max(Fraction(start) - 1, Fraction(0)) + origin_of(container)) * 1_000_000))
        first, left = round(start * rate), round(seconds * rate) if seconds is not None else MAX_SECONDS * rate
        decoded = _decoded(container, sounds[track], Fraction(start))
        yield from _heard(_resampled(decoded, rate, first, max_gap), channels, first, left)


def _heard(chunks: Iterator[tuple[int, Sound]], channels: int, first: int, left: int) -> Iterator[Sound]:
    """Samples from `first` on, `left` at most."""
    for at, chunk in chunks:
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


def _resampled(
    decoded: Iterator[tuple[Fraction, Any]], rate: int, first: int, max_gap: Fraction
) -> Iterator[tuple[int, Sound]]:
    """Decoded sound as (index of the first sample, (n, 1 or 2)) at a rate; gaps, one at `first` too, are silence."""
    swr, done, clock = None, first, Fraction(0)
    for time, frame in decoded:
        if swr is not None and time - clock > max_gap:
            for out in swr.resample(None):
                yield done, _samples(out)
                done += out.samples
            swr = None
        if swr is None:
            start = round(time * rate)
            while done < start:
                silence = np.zeros((min(rate, start - done), 2), np.float32)
                yield done, silence
                done += len(silence)
            done, clock = start, time
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
    """Samples (n, channels) in -1..1; a float track may hold anything."""
    sound = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).astype(np.float32, copy=False)
    return np.clip(np.nan_to_num(sound), -1, 1)


def _attachments(container: InputContainer) -> list[AttachmentStream]:
    return [s for s in container.streams if isinstance(s, AttachmentStream)]


def _file_name(stream: Stream) -> str:
    """The bare name, printable: an attachment must not name a folder to be written to, nor steer a terminal."""
    name = PurePosixPath((stream.metadata.get("filename") or "").replace("\\", "/")).name
    plain = "".join(c if c.isprintable() else "?" for c in name[:200])
    return plain if plain.strip(".") else "attachment"


def read_attachments(path: str | Path) -> dict[str, bytes]:
    """Attached files by name, MAX_ATTACHMENT_BYTES in all at most."""
    with open_file(path) as container:
        found = {_file_name(s): s.data for s in _attachments(container)}
    if sum(map(len, found.values())) > MAX_ATTACHMENT_BYTES:
        raise StaleError(f"the attachments of {path} are larger than {MAX_ATTACHMENT_BYTES >> 20} MB.")
    return found


@dataclass(frozen=True)
class TrackHash:
    """A track of a file: video, audio or subtitle, its title, and SHA-256 over its packets with their times."""

    kind: str
    title: str
    sha256: str


def track_hashes(path: str | Path) -> list[TrackHash]:
    """What a signature covers, for each track in the order of the file; cover images are left out."""
    with open_file(path) as container:
        kinds = ("video", "audio", "subtitle")
        streams = [s for s in container.streams if s.type in kinds and not s.disposition & Disposition.attached_pic]
        digests = {s.index: hashlib.sha256() for s in streams}
        for packet in packets_of(container, streams):
            if packet.size:
                time = round(packet.pts * packet.time_base * 1000) if packet.pts is not None else 0
                digests[packet.stream.index].update(time.to_bytes(8, "big", signed=True) + bytes(packet))
        return [TrackHash(s.type, track_title(s), digests[s.index].hexdigest()) for s in streams]


def packet_hashes(path: str | Path) -> list[str]:
    """SHA-256 over the packet payloads of each picture, sound and subtitle track, in the order of the file."""
    with open_file(path) as container:
        streams = [s for s in container.streams if s.type in ("video", "audio", "subtitle")]
        digests = {s.index: hashlib.sha256() for s in streams}
        for packet in container.demux(*streams):
            digests[packet.stream.index].update(bytes(packet))
    return [digest.hexdigest() for digest in digests.values()]
