"""Fragmented MP4 made on the fly, and one that grows: other readers find the same pictures and sound in them."""

from __future__ import annotations

import random
import struct
import sys
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "formats"))

from storm import Gradient, make_movie

from stale_diffusion.errors import StaleError
from stale_diffusion.media import FileFragments, GrowingMovie, boxes, read_frames, read_sound

CLIP = Path(__file__).parent / "data/sea_island_05.mp4"


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fragments") / "storm.mkv"
    make_movie(20.0).save(path, (96, 54), 12)
    return path


def whole(fragments: FileFragments) -> bytes:
    data = b""
    while piece := fragments.read(len(data), 50_000):
        data += piece
    return data


@pytest.fixture(params=["ours", "clip"])
def source(request: pytest.FixtureRequest, storm: Path) -> Path:
    return storm if request.param == "ours" else CLIP


def test_pictures_and_sound_are_those_of_the_file(source: Path, tmp_path: Path) -> None:
    fragments = FileFragments(source)
    out = tmp_path / "out.mp4"
    out.write_bytes(whole(fragments))
    assert out.stat().st_size == fragments.length
    ours, theirs = list(read_frames(out)), list(read_frames(source))
    assert len(ours) == len(theirs) and all(map(np.array_equal, ours, theirs))
    heard, expected = (np.concatenate(list(read_sound(path, 8000, 1))) for path in (out, source))
    n = min(len(heard), len(expected))
    assert abs(len(heard) - len(expected)) < 400
    assert np.abs(heard[800:n] - expected[800:n]).mean() < 0.01  # a decoder's first moments may differ: it was primed
    with av.open(str(out)) as file:
        assert file.duration is not None and abs(file.duration / 1e6 - fragments.seconds) < 0.2
        assert [s.type for s in file.streams] == ["video", "audio"]


def test_any_bytes_in_any_order(source: Path) -> None:
    data = whole(FileFragments(source))
    other, rng = FileFragments(source), random.Random(3)
    for _ in range(60):
        start = rng.randrange(len(data))
        part = other.read(start, rng.randrange(1, 5000))
        assert part and part == data[start : start + len(part)]
    assert other.read(len(data), 10) == b""
    other.close()
    assert other.read(0, 8) == data[:8] and other.read(len(data) - 5, 50) == data[-5:]


def test_the_index_tells_where_each_fragment_is(storm: Path) -> None:
    data = whole(FileFragments(storm))
    at, kinds, sizes = 0, [], []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        kinds.append(kind)
        sizes.append(size)
        at += size
    assert kinds[:3] == [b"ftyp", b"moov", b"sidx"] and kinds[3:] == [b"moof", b"mdat"] * ((len(kinds) - 3) // 2)
    assert len(kinds) > 9
    entry = sum(sizes[:2]) + 8 + 32
    for k in range(3, len(kinds), 2):
        referenced, duration = struct.unpack_from(">II", data, entry)
        assert referenced == sizes[k] + sizes[k + 1] and duration > 0
        entry += 12
    assert entry == sum(sizes[:3])


def test_what_no_browser_plays_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "old.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((36, 64, 3), np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(StaleError, match="mpeg4"):
        FileFragments(path)


def test_a_file_that_changes_while_it_is_played_is_noticed(storm: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.mkv"
    path.write_bytes(storm.read_bytes())
    fragments = FileFragments(path)
    make_movie(3.0).save(path, (64, 36), 6)
    with pytest.raises(StaleError, match="changed"):
        fragments.read(fragments.length - 10, 10)


def test_a_growing_movie_can_be_read_as_far_as_it_is(tmp_path: Path) -> None:
    screen, path = Gradient(7.0), tmp_path / "growing.mp4"
    sound = np.concatenate(list(screen.sound(48_000)))[: 7 * 48_000]
    frames = list(islice(screen.frames((96, 54), Fraction(12)), 84))
    with GrowingMovie(path, (96, 54), Fraction(12), 7.0, 48_000) as growing:
        assert path.stat().st_size == growing.slots.length and growing.slots.count == 4
        whole_slots = []
        for k in range(2):
            growing.sound(sound[k * 192_000 : (k + 1) * 192_000])
            for frame in frames[k * 48 : (k + 1) * 48]:
                whole_slots.append(growing.frame(frame))
            if k == 0:
                part = tmp_path / "part.mp4"
                part.write_bytes(path.read_bytes()[: growing.slots.front + 2 * growing.slots.size])
                assert len(list(read_frames(part))) == 48
        assert whole_slots.count(True) == growing.written == 4
    shown = list(read_frames(path))
    assert len(shown) == 84
    assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(shown, frames, strict=True)]) < 6
    assert np.abs(np.concatenate(list(read_sound(path, 48_000, 2))) - sound).max() < 1 / 16_000
    with av.open(str(path)) as file:
        assert file.duration is not None and abs(file.duration - 7_000_000) < 1000


def test_the_worst_picture_fits_its_slot(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(1), tmp_path / "noise.mp4"
    with GrowingMovie(path, (640, 360), Fraction(6), 4.0, 48_000) as growing:
        growing.sound(rng.uniform(-1, 1, (192_000, 2)).astype(np.float32))
        for _ in range(24):
            growing.frame(rng.integers(0, 256, (360, 640, 3)).astype(np.uint8))
    assert growing.written == 2 and len(list(read_frames(path))) == 24


def test_sizes_are_known_before_the_content() -> None:
    sizes = np.array([5, 7], np.int64)
    seen = boxes.Samples(1, 0, sizes, sizes, boxes.flags_of([True, False]), np.array([1, -1]))
    heard = boxes.Samples(2, 0, sizes, sizes)
    nothing = boxes.Samples(2, 0, *(np.zeros(0, np.int64),) * 2)
    for tracks, told in (
        ([seen, heard], [(2, True, 12), (2, False, 12)]),
        ([seen, nothing], [(2, True, 12), (0, False, 0)]),
    ):
        data = boxes.fragment(1, [(t, bytes(int(t.sizes.sum()))) for t in tracks])
        assert len(data) == boxes.fragment_size(told)
