"""`audit` of files that are known to be safe, and of files that are known not to be."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stale_diffusion.cli import app
from stale_diffusion.errors import StaleError
from stale_diffusion.media import MovieWriter
from stale_diffusion.trust.limits import audit

RATE = 48_000
LEVEL = 0.0262  # of the noise below, so that it has -27 LUFS


def clip(path: Path, hertz: float, level: float, seconds: float = 4, knock: float = 0.0) -> Path:
    """Grey and white in turn, and noise; at 2.5 s a knock."""
    rng = np.random.default_rng(0)
    with MovieWriter(path, (64, 48), Fraction(24), RATE, subtitles=()) as writer:
        for i in range(round(24 * seconds)):
            bright = int(i / 24 * hertz * 2 + 1e-6) % 2
            writer.frame(np.full((48, 64, 3), 230 if bright else 60, np.uint8))
        sound = rng.standard_normal((round(RATE * seconds), 2)) * level
        sound *= np.clip(np.arange(len(sound)) / RATE / 2, 0.01, 1)[:, None]
        sound[int(2.5 * RATE) : int(2.6 * RATE)] *= 1 + knock
        writer.sound(sound.astype(np.float32))
    return path


def broken(path: Path) -> dict[str, float | None]:
    return {finding.name: finding.time for finding in audit(path) if not finding.kept}


def test_a_calm_clip_is_safe(tmp_path: Path) -> None:
    assert broken(clip(tmp_path / "a.mkv", 0, LEVEL)) == {}


def test_each_limit_is_broken_where_it_is_broken(tmp_path: Path) -> None:
    assert list(broken(clip(tmp_path / "a.mp4", 5, LEVEL))) == ["general flashes", "general flicker"]
    assert list(broken(clip(tmp_path / "b.mkv", 0, 0.004))) == ["loudness"]
    found = broken(clip(tmp_path / "c.mkv", 0, 0.03, knock=9.0))
    assert {"true peak", "onset"} <= found.keys()
    assert found["onset"] == pytest.approx(2.5, abs=0.11)
    assert found["true peak"] == pytest.approx(2.55, abs=0.11)


def test_the_verb_says_it_as_text_and_as_json_and_by_its_exit_code(tmp_path: Path) -> None:
    good, bad = clip(tmp_path / "a.mkv", 0, LEVEL), clip(tmp_path / "b.mkv", 6, 0.3)
    run = CliRunner().invoke
    assert run(app, ["audit", str(good)]).exit_code == 0
    result = run(app, ["audit", str(bad), "--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert not told["safe"]
    kept = {row["name"]: row["kept"] for row in told["findings"]}
    assert kept["red flashes"] and not kept["general flashes"] and not kept["loudness"]
    assert told["limits"]["true_peak_dbtp"] == -3


def test_what_is_no_movie_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_text("no")
    with pytest.raises(StaleError):
        audit(tmp_path / "a.mkv")
