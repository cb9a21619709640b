"""Real clips into shards: one bad file costs one line, a run goes on where it stopped, what is unknown is left out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stale_diffusion import media
from stale_diffusion.clips import crew, safe, scenes
from stale_diffusion.clips import ingest as module
from stale_diffusion.clips.ingest import engagement, ingest, read_info
from stale_diffusion.clips.safe import decode
from stale_diffusion.clips.shards import Example, read_shards, write_shard
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import Bits, Sense, Stream, Values
from stale_diffusion.senses.smell import Smell
from stale_diffusion.senses.taste import Taste
from stale_diffusion.senses.touch import Touch

CLIP = Path(__file__).parent / "data" / "sea_island_05.mp4"


class Coarse(Sense):
    """A codec small enough for a test: one bit a second, set where the mean of a segment's quarter is above 0."""

    def __init__(self, name: str, rate: int) -> None:
        self.name, self.unit, self.rate, self.channels = name, "", Fraction(rate), (name,)
        self.streams = (Stream(f"{name}.coarse", 4, 8, (4, 1, 1)),)

    def encode(self, values: Values) -> dict[str, Bits]:
        """(S * samples, ...) -> (S, 4, 8)."""
        level = np.abs(values.astype(np.float64)).reshape(-1, self.samples // 4, *values.shape[1:])
        bits = np.where(level.mean(axis=tuple(range(1, level.ndim))) > 0, 1, -1).astype(np.int8)
        return {self.streams[0].name: bits.reshape(-1, 4, 1).repeat(8, -1)}

    def decode(self, bits: dict[str, Bits]) -> Values:
        """Not needed here."""
        raise NotImplementedError


SENSES: Mapping[str, Sense] = {
    "sight": Coarse("sight", 12),
    "hearing": Coarse("hearing", 24000),
    "touch": Touch(),
    "smell": Smell(),
    "taste": Taste(),
}


def movie(path: Path, seconds: float, *, picture: bool = True, sound: bool = True) -> Path:
    """A small clip."""
    with media.MovieWriter(path, (64, 48) if picture else None, Fraction(12), 48000 if sound else None, 1) as out:
        for index in range(round(seconds * 12) if picture else 0):
            out.frame(np.full((48, 64, 3), 60 + index, np.uint8))
        if sound:
            time = np.arange(int(48000 * seconds))[:, None] / 48000
            out.sound((0.3 * np.sin(2 * np.pi * 50 * time)).astype(np.float32))
    return path


class Deadly(Coarse):
    """A codec that its worker does not outlive."""

    def encode(self, values: Values) -> dict[str, Bits]:
        """Ends this very process, as a system out of memory would."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(values)


def statuses(out: Path) -> dict[str, tuple[str, str]]:
    lines = (out / "report.csv").read_text(encoding="utf-8").splitlines()[1:]
    return {name: (status, reason) for name, status, reason in (line.split(",", 2) for line in lines)}


def test_a_real_clip_becomes_bits_of_five_senses(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "shards"
    folder.mkdir()
    for path in (CLIP, CLIP.with_suffix(".info.json")):
        shutil.copy(path, folder)
    report = ingest(folder, out, senses=SENSES)
    assert [(e.file, e.status) for e in report.entries] == [("sea_island_05.mp4", "ingested")]
    (example,) = read_shards(out)
    assert example.caption == "blue ocean horizon and headland, waves crashing on rocks, surf sound"
    assert example.label is None
    expected = {s.name: (1, s.tokens, s.bits) for sense in SENSES.values() for s in sense.streams}
    assert {name: bits.shape for name, bits in example.bits.items()} == expected
    assert all(set(np.unique(bits)) <= {-1, 1} for bits in example.bits.values())
    assert example.meta["licence"] == "CC0-1.0"
    assert set(example.meta["derived"]) == {"touch", "smell", "taste"}
    assert Smell().decode({"smell": example.bits["smell"]})[0, 0] > 0.5  # sea salt
    assert Taste().decode({"taste": example.bits["taste"]})[0, 2] > 0.2  # salty
    assert Touch().decode(example.bits)[:, 3].mean() == pytest.approx(17, abs=2)


def test_lengths_and_missing_senses(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "shards"
    folder.mkdir()
    cases = {"a": 1.5, "b": 2.5, "c": 5.5, "d": 6.5}
    for name, seconds in cases.items():
        movie(folder / f"{name}.mp4", seconds)
    movie(folder / "mute.mkv", 4, sound=False)
    movie(folder / "sound.mp4", 4, picture=False)
    ingest(folder, out, senses=SENSES)
    found = {e.meta["file"]: e.bits for e in read_shards(out)}
    assert {name: len(next(iter(bits.values()))) for name, bits in found.items()} == {
        "b.mp4": 1,
        "c.mp4": 1,
        "d.mp4": 2,
        "mute.mkv": 1,
        "sound.mp4": 1,
    }
    assert statuses(out)["a.mp4"] == ("skipped", "the clip is too short: 1.5 s of at least 2 s.")
    assert set(found["mute.mkv"]) == {"sight.coarse"}  # no sound, no caption: nothing is made up
    assert set(found["sound.mp4"]) == {"hearing.coarse", "touch.vibration", "touch.air"}
    hearing = found["d.mp4"]["hearing.coarse"][:, :, 0]
    assert hearing.tolist() == [[1, 1, 1, 1], [1, 1, 1, -1]]  # filled up with silence
    assert (found["d.mp4"]["sight.coarse"] == 1).all()  # filled up with the last frame


def hostile(folder: Path) -> set[str]:
    """Files that must each cost one line."""
    folder.mkdir()
    whole = movie(folder / "good.mp4", 3).read_bytes()
    (folder / "text.mp4").write_text("this is not a movie")
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    (folder / "concat.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.mp4").mkdir()
    outside = movie(folder.parent / "outside.mp4", 3)
    (folder / "link.mp4").symlink_to(outside)
    (folder / "zero.mp4").symlink_to("/dev/zero")
    (folder / "dangling.mp4").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe.mp4")
    shutil.copy(folder / "good.mp4", folder / "same.mp4")
    (folder / "a,\nb.mp4").write_bytes(b"x")
    return {p.name for p in folder.iterdir() if p.is_file() or p.is_symlink() or p.is_fifo()} - {"good.mp4"}


def test_a_hostile_folder_costs_one_line_a_file(tmp_path: Path) -> None:
    folder, out, lines = tmp_path / "clips", tmp_path / "shards", []
    bad = hostile(folder)
    report = ingest(folder, out, senses=SENSES, report=lines.append)
    assert {e.file for e in report.entries if e.status == "skipped"} == bad
    assert [e.file for e in report.entries if e.status == "ingested"] == ["good.mp4"]
    assert lines == report.entries
    assert all(e.reason and "\n" not in e.reason for e in report.entries if e.status == "skipped")
    assert [e.meta["file"] for e in read_shards(out)] == ["good.mp4"]


def test_a_second_run_decodes_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out, decoded = tmp_path / "clips", tmp_path / "shards", []

    def counted(path: Path, **limits: float) -> object:
        decoded.append(path.name)
        return decode(path, **limits)

    monkeypatch.setattr(crew, "decode", counted)
    monkeypatch.setattr(module, "CLIPS_A_SHARD", 1)
    (folder / "sub").mkdir(parents=True)
    for name, seconds in (("a.mp4", 2), ("b.mp4", 2.5), ("sub/c.mp4", 3)):
        movie(folder / name, seconds)
    assert ingest(folder, out, limit=2, senses=SENSES).count("ingested") == 2
    before = (out / "clips-00000.tar").read_bytes()
    report = ingest(folder, out, senses=SENSES)
    assert decoded == ["a.mp4", "b.mp4", "c.mp4"]
    assert (report.count("kept"), report.count("ingested")) == (2, 1)
    assert (out / "clips-00000.tar").read_bytes() == before
    assert [e.meta["file"] for e in read_shards(out)] == ["a.mp4", "b.mp4", "sub/c.mp4"]
    (out / "clips-00001.tar").unlink()
    assert ingest(folder, out, senses=SENSES).count("ingested") == 1
    assert [e.meta["file"] for e in read_shards(out)] == ["a.mp4", "b.mp4", "sub/c.mp4"]
    with pytest.raises(StaleError, match="other codecs"):
        ingest(folder, out, senses={**SENSES, "sight": Smell()})


def test_a_stopped_run_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tmp_path / "clips", tmp_path / "shards"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        movie(folder / name, 2 + 0.5 * (name == "b.mp4"))

    def stopped(path: Path, **limits: float) -> object:
        if path.name == "b.mp4":
            raise KeyboardInterrupt
        return decode(path, **limits)

    monkeypatch.setattr(crew, "decode", stopped)
    monkeypatch.setattr(module, "CLIPS_A_SHARD", 1)
    with pytest.raises(KeyboardInterrupt):
        ingest(folder, out, senses=SENSES)
    assert sorted(p.name for p in out.iterdir()) == ["clips-00000.tar", "manifest.json", "report.csv"]
    assert statuses(out) == {"a.mp4": ("ingested", "")}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[1]", '{"title": 3, "tags": {}, "like_count": "1"}', "\xff"])
def test_a_broken_info_file_is_no_info(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.info.json").write_text(text, encoding="latin-1")
    info = read_info(tmp_path / "a.mp4")
    assert (info.caption, info.rate) == ("", None)


def test_caption_and_counts_of_an_info_file(tmp_path: Path) -> None:
    record = {"title": "waves at…", "description": "waves at dusk #sea\nagain", "like_count": 5, "view_count": 20}
    path = tmp_path / "a.info.json"
    path.write_text(json.dumps(record | {"tags": ["sea", 3], "license": "CC0\ud800"}))
    info = read_info(tmp_path / "a.mp4")
    assert info.caption == "waves at dusk again"
    assert "#sea" in info.words
    assert info.rate == 0.25
    assert info.meta == {"licence": "CC0?"}
    for count in (float("nan"), float("inf"), -1, True, 10**400):
        path.write_text(json.dumps(record | {"view_count": count}))
        assert read_info(tmp_path / "a.mp4").rate is None


def test_engagement_is_relative_to_the_folder() -> None:
    rates = {Path(name): rate for name, rate in zip("abcde", (0.1, 0.2, 0.3, None, 0.3), strict=True)}
    assert list(engagement(rates).values()) == [-1, -1, 1, None, 1]
    assert set(engagement({Path("a"): None}).values()) == {None}


def test_a_folder_without_clips(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StaleError):
            ingest(folder, tmp_path / "out", senses=SENSES)


def test_shards_are_read_as_written(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)

    def bits(segments: int) -> dict[str, NDArray[np.int8]]:
        draw = dice.integers(0, 2, (segments, 3, 16)).astype(np.int8) * 2 - 1
        return {"scene": draw, "sight.coarse": -draw[:, :2]}

    written = [Example(f"k-{i}", f"ｗave {i} \ud83c", (1, -1, None)[i % 3], bits(1 + i), {"n": i}) for i in range(5)]
    assert write_shard(tmp_path / "b.tar", written[2:]) == 3
    assert write_shard(tmp_path / "a.tar", written[:2]) == 2
    read = list(read_shards(tmp_path))
    for one, other in zip(written, read, strict=True):
        assert (one.key, one.caption, one.label, one.meta) == (other.key, other.caption, other.label, other.meta)
        assert all(np.array_equal(one.bits[name], other.bits[name]) for name in one.bits)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [m.name for m in tar][:3] == ["k-0.scene.npy", "k-0.sight.coarse.npy", "k-0.json"]
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:700])
    with pytest.raises(StaleError, match="damaged"):
        list(read_shards(tmp_path))
    with pytest.raises(StaleError, match="no shards"):
        list(read_shards(tmp_path / "nothing"))


def test_a_failed_shard_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield Example("a", "", None, {})
        raise StaleError("stop")

    with pytest.raises(StaleError, match="stop"):
        write_shard(tmp_path / "a.tar", broken())
    assert list(tmp_path.iterdir()) == []


def test_many_workers_write_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    hostile(folder)
    for name, seconds in (("a.mp4", 2.5), ("b.mp4", 3.5)):
        movie(folder / name, seconds, picture=False)
    for workers in (1, 2):
        ingest(folder, tmp_path / str(workers), senses=SENSES, workers=workers)
    names = sorted(p.name for p in (tmp_path / "1").iterdir())
    assert (
        names
        == ["clips-00000.tar", "manifest.json", "report.csv"]
        == sorted(p.name for p in (tmp_path / "2").iterdir())
    )
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_worker_that_dies_is_replaced_and_its_clip_reported(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b", "c"):
        movie(folder / f"{name}.mp4", 2 + ord(name) % 5, sound=name == "b")
    report = ingest(folder, tmp_path / "out", senses={**SENSES, "hearing": Deadly("hearing", 24000)}, workers=2)
    assert [(e.file, e.status) for e in report.entries] == [
        ("a.mp4", "ingested"),
        ("b.mp4", "skipped"),
        ("c.mp4", "ingested"),
    ]
    assert "died" in report.entries[1].reason


def test_scenes_are_cut_and_twins_left_out(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "shards"
    folder.mkdir()
    dice = np.random.default_rng(0)
    views = [dice.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(2)]
    for name, quality in (("a.mp4", 0), ("b.mp4", 6)):  # the same picture, other bytes
        with media.MovieWriter(folder / name, (64, 48), Fraction(12), None, 1) as writer:
            for index in range(72):
                writer.frame(np.clip(views[index // 36].astype(int) + quality, 0, 255).astype(np.uint8))
    report = ingest(folder, out, senses=SENSES)
    assert [(e.status, e.reason) for e in report.entries] == [
        ("ingested", "2 of 2 scenes"),
        ("skipped", "it looks like a.mp4"),
    ]
    examples = list(read_shards(out))
    assert [e.meta["scene"] for e in examples] == [[0.0, 3.0], [3.0, 6.0]]
    assert len({e.key for e in examples}) == 2
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["shards"][0]["clips"][0]["scenes"] == 2
    again = ingest(folder, out, senses=SENSES)
    assert [e.status for e in again.entries] == ["kept", "skipped"]


def test_a_pan_and_a_flash_of_noise_are_no_row_of_cuts() -> None:
    dice = np.random.default_rng(1)
    wide = dice.integers(0, 255, (12, 60, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    assert scenes.cuts(np.stack([wide[:, 4 * k : 4 * k + 160] for k in range(48)])) == []
    assert len(scenes.cuts(dice.integers(0, 255, (30, 96, 160, 3), dtype=np.uint8))) == 0
    assert scenes.look(np.full((10, 96, 160, 3), 9, np.uint8)) is None  # black frames are no twins


def test_a_slow_decoder_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(StaleError) as error:
        decode(movie(tmp_path / "a.mp4", 2), wall_seconds=0.01)
    assert error.value.why == "it took longer than 0.01 s"


def test_an_interpreter_is_not_held_up_by_a_clip_on_its_way() -> None:
    decoder = safe.Decoder()
    messages = decoder._messages(CLIP, (160, 96), Fraction(12), 24000, 2.0, 180.0)
    next(messages)
    clocks = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert clocks and all(clock.daemon for clock in clocks)
    messages.close()
    decoder.close()
    assert not any(clock.is_alive() for clock in clocks if clock.join(5) is None)


LIARS = {
    "dies": "import os; os.abort()",
    "babbles": "print('hello')",
    "endless line": "print('x' * 10000)",
    "wrong shape": 'print(\'{"kind": "picture", "shape": [9999, 9999, 3]}\')',
    "negative shape": 'print(\'{"kind": "sound", "shape": [-1, 1]}\')',
    "unknown kind": 'print(\'{"kind": "pickle", "shape": [1]}\')',
    "cut short": 'print(\'{"kind": "sound", "shape": [9, 1]}\')',
    "too much": "import json, sys\nmessage = json.dumps({'kind': 'sound', 'shape': [60000, 1]}).encode() + b'\\n'\n"
    "while 1: sys.stdout.buffer.write(message + bytes(240000))",
}


@pytest.mark.parametrize("code", LIARS.values(), ids=LIARS.keys())
def test_a_child_that_cannot_be_trusted_is_one_error(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    def start() -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)

    decoder = safe.Decoder()
    with monkeypatch.context() as patch:
        patch.setattr(safe, "_start", start)
        with pytest.raises(StaleError, match="cannot be decoded"):
            decoder.decode(CLIP, seconds=10)
    assert decoder.replaced == 1
    assert decoder.decode(CLIP, seconds=2).frames is not None  # by a new child
    decoder.close()


def test_one_child_decodes_many_clips_and_outlives_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a movie")
    decoder = safe.Decoder()
    first = decoder.decode(CLIP, seconds=2)
    child = decoder._child
    with pytest.raises(StaleError):
        decoder.decode(tmp_path / "text.mp4")
    again = decoder.decode(CLIP, seconds=2)
    assert decoder._child is child and decoder.replaced == 0
    assert first.frames is not None and again.frames is not None and np.array_equal(first.frames, again.frames)
    decoder.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits hold on Linux")
def test_a_child_keeps_its_limits() -> None:
    code = "from stale_diffusion.clips import safe; safe._limit(); bytearray(8 * 2**30)"
    packages = str(Path(module.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": packages}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "MemoryError" in done.stderr


def test_the_child_imports_no_torch() -> None:
    code = "import sys; import stale_diffusion.clips.safe, stale_diffusion.media; print('torch' in sys.modules)"
    packages = str(Path(module.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": packages}, capture_output=True)
    assert done.stdout.strip() == b"False"
