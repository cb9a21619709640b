"""Media files: what is written is read back exactly; what is hostile is refused in one clear error."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stale_diffusion import media
from stale_diffusion.errors import StaleError

SIZE, FPS = (64, 48), Fraction(24)


def column(frame: media.RGB) -> int:
    """Where the bright column stands: the number of the frame."""
    return int(frame.mean(axis=(0, 2)).argmax())


def picture(index: int, size: tuple[int, int] = SIZE) -> media.RGB:
    frame = np.full((size[1], size[0], 3), 40, np.uint8)
    frame[:, index % size[0]] = 250
    return frame


def clicks(rate: int, seconds: int) -> media.Sound:
    sound = np.zeros((rate * seconds, 2), np.float32)
    sound[rate // 2 :: rate] = 0.9
    return sound


def write(path: Path, seconds: int = 2, touch_rate: int | None = 8000) -> Path:
    with media.MovieWriter(path, SIZE, FPS, touch_rate=touch_rate, subtitles=("smell", "taste")) as movie:
        for index in range(int(seconds * FPS)):
            movie.frame(picture(index))
        movie.sound(clicks(48000, seconds))
        if touch_rate:
            movie.touch(0.5 * clicks(touch_rate, seconds))
        movie.subtitle("smell", 0.5, 1.0, "sea salt ▮▮▯")
        attachments = {"timeline.json": ("application/json", b'{"a": 1}')} if path.suffix == ".mkv" else None
        movie.close(attachments, {"title": "a sea"})
    return path


def write_raw(path: Path, times: list[int], size: tuple[int, int] = (4, 4), codec: str = "ffv1") -> Path:
    """A video whose frames stand at given milliseconds; ffv1 takes any size."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 20 * index, np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv444p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_written_movie_is_read_back_on_the_same_clock(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"movie{suffix}")
    found = media.probe(path)
    assert found.video is not None
    assert (found.video.width, found.video.height, found.video.fps) == (*SIZE, FPS)
    assert [(a.title, a.rate) for a in found.audio] == [("sound", 48000), ("touch", 8000)]
    assert [title for _, _, title in found.subtitles] == ["smell", "taste"]
    assert found.seconds == pytest.approx(2, abs=0.05)
    assert [column(f) for f in media.read_frames(path)] == list(range(48))
    for track, rate in ((0, 48000), (1, 8000)):
        sound = np.concatenate(list(media.read_sound(path, rate, 2, track=track)))
        assert sound.shape == (2 * rate, 2)
        assert np.flatnonzero(sound[:, 1] > 0.3).tolist() == [rate // 2, rate * 3 // 2]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm"])
def test_a_movie_is_played_while_it_grows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"movie{suffix}"
    with media.MovieWriter(path, SIZE, FPS, subtitles=()) as movie:
        for second in range(12):
            movie.sound(clicks(48000, 1))
            for k in range(24):
                movie.frame(picture(24 * second + k))
        growing = path.with_name(path.name + ".tracks.part")
        frames = list(media.read_frames(growing))
        assert len(frames) >= 24 and [column(f) for f in frames[:24]] == list(range(24))
        assert sum(len(chunk) for chunk in media.read_sound(growing, 48000, 2)) >= 24000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_part_of_a_movie_begins_exactly_where_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "movie.mkv", seconds=4)
    frames = list(media.read_frames(path, Fraction(12), (32, 24), start=2.0, seconds=1.0))
    assert len(frames) == 12
    assert frames[0].shape == (24, 32, 3)
    assert [2 * column(f) for f in frames] == pytest.approx([(48 + 2 * k) % 64 for k in range(12)], abs=2)
    sound = np.concatenate(list(media.read_sound(path, 24000, 1, start=1.25, seconds=1.5)))
    assert sound.shape == (36000, 1)
    assert np.flatnonzero(sound[:, 0] > 0.3).tolist() == [6000, 30000]


def test_attachments_tags_and_flags(tmp_path: Path) -> None:
    path = write(tmp_path / "movie.mkv")
    assert media.read_attachments(path) == {"timeline.json": b'{"a": 1}'}
    assert media.probe(path).tags["title"] == "a sea"
    with av.open(str(path)) as container:
        default = [bool(s.disposition & av.stream.Disposition.default) for s in container.streams]
        assert default[:3] == [True, True, False]  # picture, sound, touch: a player must not choose touch
        text = [bytes(p) for p in container.demux(container.streams.subtitles[0]) if p.size]
    assert text == ["sea salt ▮▮▯".encode()]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name).read_bytes() for name in ("a.mkv", "b.mkv"))
    assert first == second


def test_webm_is_read_back_on_the_same_clock(tmp_path: Path) -> None:
    """VP9, Opus, WebVTT: Opus is no lossless codec and always 48 kHz, but a click stays within a millisecond."""
    path = write(tmp_path / "movie.webm")
    found = media.probe(path)
    assert found.video is not None
    assert (found.video.codec, found.video.fps) == ("vp9", FPS)
    assert [(a.title, a.codec, a.rate) for a in found.audio] == [("sound", "opus", 48000), ("touch", "opus", 48000)]
    assert [(codec, title) for codec, _, title in found.subtitles] == [("webvtt", "smell"), ("webvtt", "taste")]
    assert [column(f) for f in media.read_frames(path)] == list(range(48))
    for track in (0, 1):
        sound = np.concatenate(list(media.read_sound(path, 48000, 2, track=track)))
        assert len(sound) == pytest.approx(2 * 48000, abs=960)
        peaks = [int(np.abs(sound[k * 48000 : (k + 1) * 48000, 0]).argmax()) for k in (0, 1)]
        assert peaks == pytest.approx([24000, 24000], abs=96)


KINDS = (".mkv", ".mp4", ".webm")


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_subtitles_of_the_clip_go_into_any_container(tmp_path: Path, source: str, target: str) -> None:
    clip = tmp_path / f"clip{source}"
    with media.MovieWriter(clip, None, FPS, None, touch_rate=None, subtitles=("songs",)) as movie:
        movie.subtitle("songs", 0.5, 1.0, "bread & salt\n<i>again</i>")
        movie.subtitle("songs", 2.0, 1.5, "and again")
    path = tmp_path / f"copy{target}"
    with media.MovieWriter(path, touch_rate=None, subtitles=(), copy_from=clip):
        pass
    with av.open(str(path)) as container:
        (stream,) = container.streams.subtitles
        packets = [p for p in container.demux(stream) if p.size > 2]
        lines = [(float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p)) for p in packets]
    assert [line[:2] for line in lines] == [(0.5, 1.0), (2.0, 1.5)]
    assert b"again</i>" in lines[0][2]
    assert (b"&amp;" in lines[0][2]) == (target == ".webm" or (source, target) == (".webm", ".mkv"))


def test_a_webm_takes_the_packets_of_a_webm_and_says_what_else_would_do(tmp_path: Path) -> None:
    clip, path = write(tmp_path / "clip.webm", touch_rate=None), tmp_path / "out.webm"
    with media.MovieWriter(path, touch_rate=8000, copy_from=clip) as movie:
        movie.touch(clicks(8000, 2))
    assert media.packet_hashes(path)[:2] == media.packet_hashes(clip)[:2]
    phone = write(tmp_path / "my clip.mp4")
    with pytest.raises(StaleError, match="cannot hold the video track \\(h264\\)") as error:
        media.MovieWriter(path, copy_from=phone)
    assert ".mkv and .mp4 can hold these" in error.value.why
    assert "out.mkv" in error.value.mend
    assert "ffmpeg -i '" in error.value.mend
    with pytest.raises(StaleError, match="cannot hold"):
        media.check_fits(path, phone)
    for fitting in (tmp_path / "a.mkv", tmp_path / "a.mp4"):
        media.check_fits(fitting, phone)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("source", [".mkv", ".mp4"])
@pytest.mark.parametrize("target", [".mkv", ".mp4"])
def test_copy_keeps_every_packet(tmp_path: Path, source: str, target: str) -> None:
    clip = write(tmp_path / f"clip{source}", touch_rate=None)
    path = tmp_path / f"completed{target}"
    with media.MovieWriter(path, touch_rate=8000, copy_from=clip) as movie:
        movie.touch(clicks(8000, 2))
        movie.subtitle("taste", 0.0, 1.0, "salty")
    assert media.packet_hashes(path)[:2] == media.packet_hashes(clip)[:2]
    assert [a.title for a in media.probe(path).audio] == ["sound", "touch"]
    assert [column(f) for f in media.read_frames(path)] == list(range(48))
    sound = np.concatenate(list(media.read_sound(path, 48000, 2)))
    assert np.flatnonzero(sound[:, 0] > 0.3).tolist() == [24000, 72000]
    again = tmp_path / "again.mkv"
    with media.MovieWriter(again, touch_rate=8000, copy_from=path) as movie:  # old lanes are replaced, not doubled
        movie.touch(clicks(8000, 2))
    assert [a.title for a in media.probe(again).audio] == ["sound", "touch"]
    assert sorted(title for _, _, title in media.probe(again).subtitles) == ["balance", "smell", "taste", "touch"]


def write_foreign(path: Path, video: str, audio: str, options: dict[str, str]) -> Path:
    """Two seconds as other programs write them: a bright column that moves, clicks at 0.5 s and 1.5 s."""
    with av.open(str(path), "w") as out:
        pictures = out.add_stream(video, rate=24, options=options)
        pictures.width, pictures.height, pictures.pix_fmt = *SIZE, "yuv420p"
        sounds = out.add_stream(audio, rate=48000)
        sounds.layout, sounds.format = "mono", "fltp" if audio == "aac" else "flt"
        for index in range(48):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 24)
            out.mux(pictures.encode(frame))
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(clicks(48000, 2)[None, :, 0]), sounds.format.name, "mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        out.mux(sounds.encode(frame))
        for stream in (pictures, sounds):
            out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "video", "audio", "options"),
    [("aac.mp4", "libx264", "aac", {}), ("av1.mkv", "libsvtav1", "libopus", {"preset": "12"})],
)
@pytest.mark.parametrize("target", ["copy.mkv", "copy.mp4"])
def test_copies_stay_on_the_clock_of_the_touch(
    tmp_path: Path, name: str, video: str, audio: str, options: dict[str, str], target: str
) -> None:
    """AAC and Opus begin before zero: that must not move the picture and the touch against the timeline."""
    clip, path = write_foreign(tmp_path / name, video, audio, options), tmp_path / target
    with media.MovieWriter(path, touch_rate=8000, copy_from=clip) as movie:
        movie.touch(clicks(8000, 2))
    assert media.packet_hashes(path)[:2] == media.packet_hashes(clip)[:2]
    before, after = ([column(f) for f in media.read_frames(p, FPS)] for p in (clip, path))
    assert before == after
    for track, rate in ((0, 48000), (1, 8000)):
        sound = np.concatenate(list(media.read_sound(path, rate, 1, track=track)))[:, 0]
        peaks = [int(np.abs(sound[k * rate : (k + 1) * rate]).argmax()) for k in (0, 1)]
        assert peaks == pytest.approx([rate / 2] * 2, abs=rate / 1000)


def test_copy_refuses_a_codec_that_the_container_cannot_hold(tmp_path: Path) -> None:
    clip = write_raw(tmp_path / "clip.mkv", [0, 40], codec="snow")
    with pytest.raises(StaleError, match=r"\.mp4 cannot hold the video track \(snow\)") as error:
        media.MovieWriter(tmp_path / "out.mp4", copy_from=clip)
    assert ".mkv" in error.value.mend
    assert sorted(os.listdir(tmp_path)) == ["clip.mkv"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "movie.mkv"
    path.write_bytes(b"old")

    def stopped() -> None:
        with media.MovieWriter(path, SIZE, FPS) as movie:
            for index in range(100):
                movie.frame(picture(index))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["movie.mkv"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="resource limits are a matter of POSIX")
def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    import resource
    import signal

    path, limits = tmp_path / "movie.mkv", resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    noise = np.random.default_rng(0).uniform(-1, 1, (192_000, 2)).astype(np.float32)

    def fill() -> None:
        with media.MovieWriter(path, SIZE, FPS) as movie:
            movie.sound(noise)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(StaleError, match="disk is full"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "size", "match"),
    [
        ("a.avi", SIZE, "unknown kind"),
        ("no/a.mkv", SIZE, "does not exist"),
        ("a.mkv", (63, 48), "cannot be written"),
    ],
)
def test_a_target_that_cannot_be_written(tmp_path: Path, name: str, size: tuple[int, int], match: str) -> None:
    with pytest.raises(StaleError, match=match) as error:
        media.MovieWriter(tmp_path / name, size, FPS)
    assert error.value.exit_code == 2


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile 'other.mkv'\n"


@pytest.mark.parametrize("content", [b"", b"not a video at all\n" * 20, PLAYLIST, CONCAT, b"\0" * 4096])
def test_a_file_that_is_no_media_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "other.mkv")
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    for read in (media.probe, lambda p: list(media.read_frames(p)), media.read_attachments, media.packet_hashes):
        with pytest.raises(StaleError):
            read(path)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    for name in ("pipe.mp4", "zero.mp4", "loop.mp4", "missing.mp4", ".", "a\0b"):
        with pytest.raises(StaleError):
            media.probe(tmp_path / name)


def test_a_damaged_file_is_refused_or_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4").read_bytes()
    path, dice = tmp_path / "damaged.mp4", np.random.default_rng(5)
    for trial in range(24):
        data = bytearray(whole[: len(whole) * (trial + 1) // 24])
        for at in dice.integers(0, len(data), 8 * (trial % 3)):
            data[at] ^= 1 << dice.integers(0, 8)
        path.write_bytes(data)
        try:
            media.probe(path)
            assert len(list(media.read_frames(path, Fraction(12), (32, 32), seconds=10))) <= 120
            assert sum(map(len, media.read_sound(path, 24000, 1, seconds=10))) <= 240_000
        except StaleError:
            pass


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (101, 7)])
def test_odd_sizes_and_a_single_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_raw(tmp_path / "one.mkv", [0], size)
    assert [f.shape for f in media.read_frames(path)] == [(size[1], size[0], 3)]
    frames = list(media.read_frames(path, Fraction(12), (160, 96)))
    assert len(frames) >= 1
    assert frames[0].shape == (96, 160, 3)
    with pytest.raises(StaleError, match="no sound track"):
        list(media.read_sound(path, 24000, 1))


def test_a_picture_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "movie.mkv")
    monkeypatch.setattr(media.reading, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(StaleError, match="too large"):
        media.probe(path)


def test_a_copy_keeps_tags(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4")
    with media.MovieWriter(tmp_path / "copy.mkv", copy_from=clip) as movie:
        movie.close(None, {"comment": "new"})
    tags = {key.lower(): value for key, value in media.probe(tmp_path / "copy.mkv").tags.items()}
    assert (tags["title"], tags["comment"]) == ("a sea", "new")
    assert "major_brand" not in tags


def test_variable_frame_rate_takes_the_nearest_frame(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "vfr.mkv", [0, 10, 20, 500, 1000])
    levels = [round(int(f[0, 0, 0]) / 20) for f in media.read_frames(path, Fraction(10), seconds=1.0)]
    assert levels == [0, 2, 2, 3, 3, 3, 3, 3, 4, 4]


def test_rotation_of_a_phone_is_honoured(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "upright.mp4").read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes into the box
    assert struct.unpack(">9i", data[at : at + 36])[0] == 65536
    data[at : at + 36] = struct.pack(
        ">9i", 0, 65536, 0, -65536, 0, 0, SIZE[1] << 16, 0, 1 << 30
    )  # 90 degrees clockwise
    path = tmp_path / "phone.mp4"
    path.write_bytes(data)
    video = media.probe(path).video
    assert video is not None
    assert (video.width, video.height) == (48, 64)
    upright, turned = (next(media.read_frames(tmp_path / name)) for name in ("upright.mp4", "phone.mp4"))
    assert np.array_equal(turned, np.rot90(upright, -1))
    assert next(media.read_frames(path, Fraction(12), (24, 32))).shape == (32, 24, 3)
    for copy in (tmp_path / "copy.mkv", tmp_path / "copy.mp4"):
        with media.MovieWriter(copy, copy_from=path):
            pass
        assert np.array_equal(next(media.read_frames(copy)), turned)


def test_a_gap_in_the_sound_is_silence_and_the_rest_stays_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48000)
        stream.layout, stream.format = "mono", "s16"
        for second in (0, 1, 3):
            frame = av.AudioFrame.from_ndarray(np.full((1, 48000), 9000, np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, second * 48000, Fraction(1, 48000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    heard = np.concatenate(list(media.read_sound(path, 24000, 2)))
    assert heard.shape == (4 * 24000, 2)
    assert (heard[::2400, 0] > 0.2).tolist() == [True] * 20 + [False] * 10 + [True] * 10
    part = np.concatenate(list(media.read_sound(path, 24000, 1, start=2.5, seconds=1.0)))
    assert (part[::2400, 0] > 0.2).tolist() == [False] * 5 + [True] * 5


def test_a_float_track_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "float.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=24000)
        stream.layout, stream.format = "mono", "flt"
        wild = np.tile(np.array([np.nan, np.inf, -np.inf, 1e30, 0.5], np.float32), 4800)[None]
        frame = av.AudioFrame.from_ndarray(wild, "flt", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 24000, 0, Fraction(1, 24000)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    heard = np.concatenate(list(media.read_sound(path, 24000, 1)))
    assert heard[:5, 0].tolist() == [0, 1, -1, 1, 0.5]


@pytest.mark.parametrize("times", [[0, 40, 80, 72_000_000, 72_000_040], [0, 40, 7_200_000, 14_400_000, 21_600_000]])
def test_leaping_time_stamps_do_not_become_hours(tmp_path: Path, times: list[int]) -> None:
    path = write_raw(tmp_path / "leap.mkv", times)
    assert len(list(media.read_frames(path, Fraction(12)))) < 20
    sound = tmp_path / "leap.mka.mkv"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("flac", rate=8000, layout="mono")
        for time in times:
            frame = av.AudioFrame.from_ndarray(np.full((1, 320), 1000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, time * 8, Fraction(1, 8000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert sum(map(len, media.read_sound(sound, 8000, 1))) < 16000


def test_a_still_frame_of_a_minute_is_held(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "slide.mkv", [0, 50_000, 50_040])
    assert len(list(media.read_frames(path, Fraction(1)))) == pytest.approx(50, abs=1)


@pytest.mark.parametrize("kind", ["movie.mkv", "cut.mkv", "sound.opus", "real.mp4"])
def test_one_pass_gives_what_two_passes_give(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "real.mp4":
        path = Path(__file__).parent / "data/sea_island_05.mp4"
    elif kind == "sound.opus":
        with media.MovieWriter(tmp_path / "sound.webm", None, FPS, 48000, 1) as movie:
            movie.sound(clicks(48000, 2)[:, :1])
        (tmp_path / "sound.webm").rename(path)
    else:  # the touch's track is no sound
        whole = write(path).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3] if kind == "cut.mkv" else whole)
    size, fps, seconds = (40, 24), Fraction(12), 1.7
    parts = list(media.read_clip(path, fps, size, 24000, seconds))
    found = {k: np.concatenate([a for kind, a in parts if kind == k]) for k in dict(parts)}
    if kind != "sound.opus":
        frames = np.concatenate(list(media.read_frames(path, fps, size, seconds=seconds)))
        assert np.array_equal(found["picture"], frames)
    sound = np.concatenate(list(media.read_sound(path, 24000, 1, seconds=seconds)))
    assert np.array_equal(found["sound"], sound) and ("picture" in found) == (kind != "sound.opus")
