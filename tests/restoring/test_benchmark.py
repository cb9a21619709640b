"""The benchmark's own arithmetic: harm that is as much as it says, parts that are kept, distances that are known."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import report
import restore
import restore_streams


def test_harm_is_as_much_as_it_says() -> None:
    rng = np.random.default_rng(0)
    packets = [rng.bytes(1000) for _ in range(300)]
    left = restore_streams.dropping(0.2)(packets, rng)
    assert left.count(None) == pytest.approx(60, abs=25)
    flipped = restore_streams.flipping(1e-2)(packets, rng)
    changed = sum(a != b for p, q in zip(packets, flipped, strict=True) for a, b in zip(p, q or b"", strict=True))
    assert changed == pytest.approx(3000, rel=0.1)


def test_a_lost_packet_is_missing_from_the_file(tmp_path: Path) -> None:
    frames = [np.full((32, 32, 3), 8 * k, np.uint8) for k in range(24)]
    whole = restore_streams.film(tmp_path / "a.mkv", frames, 24)
    hurt = restore_streams.harmed(whole, tmp_path / "b.mkv", lambda p, _: [None, *p[1:]], np.random.default_rng(0))
    assert hurt.stat().st_size < whole.stat().st_size


def test_parts_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    total = "psnr_minus_best_baseline_db"
    report.report("restore", restore.merged([report.Figure(f"{total}_gap", 0.5, "dB", "x", "higher")]), 0.0)
    report.report("restore", restore.merged([report.Figure(f"{total}_blocks", 0.1, "dB", "x", "higher")]), 0.0)
    found = {f["name"]: f["value"] for f in json.loads((tmp_path / "out/bench/restore.json").read_text())["figures"]}
    assert found[total] == pytest.approx(0.3)
    assert found[f"{total}_worst"] == pytest.approx(0.1)


def test_distances() -> None:
    rng = np.random.default_rng(1)
    sound = 0.1 * rng.standard_normal((48_000, 2)).astype(np.float32)
    hurt = np.zeros(48_000, bool)
    hurt[20_000:24_000] = True
    assert restore.mel_distance(sound, sound, hurt) == 0
    louder = sound.copy()
    louder[16_000:28_000] *= 10
    assert restore.mel_distance(louder, sound, hurt) == pytest.approx(20, abs=1)
    grey = [np.full((4, 4, 3), 100, np.uint8)]
    assert restore.psnr([grey[0] + 10], grey) == pytest.approx(20 * np.log10(25.5), abs=0.01)
