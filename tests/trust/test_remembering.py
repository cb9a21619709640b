"""A movie that repeats a training clip is caught, with the segment and the clip; another one is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from material import rain, scenery, write
from PIL import Image
from typer.testing import CliRunner

from stale_diffusion.cli import app
from stale_diffusion.errors import StaleError
from stale_diffusion.trust.remembering import lines, picture, remember, report


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    for i in range(3):
        write(folder / f"{i}.mp4", scenery(i), rain(i))
    return folder


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of its own, then four that are clip 1, mirrored, under another sound."""
    frames = np.concatenate([scenery(70, 4), scenery(1, 4)[:, :, ::-1]])
    return write(tmp_path_factory.mktemp("movie") / "movie.mp4", frames, rain(71, 8))


def test_a_copied_segment_is_found_and_shown_beside_its_clip(training: Path, movie: Path, tmp_path: Path) -> None:
    found = remember(movie, training)
    copied = [f for f in found if f.copied]
    assert [(f.start, f.pair.sense, f.pair.train) for f in copied] == [(4.0, "sight", "1.mp4")]
    assert copied[0].usual == 0 and "mirrored" in copied[0].pair.match.how and copied[0].shown is not None
    one, other = (s.astype(float) for s in copied[0].shown)
    assert np.corrcoef(one[:, ::-1].ravel(), other.ravel())[0, 1] > 0.9
    assert any(line.startswith("COPY     4.0 s  sight") for line in lines(found))
    assert sum(row["copied"] for row in report(movie, found)["segments"]) == 1
    (tmp_path / "beside.png").write_bytes(picture(found))
    assert Image.open(tmp_path / "beside.png").size[0] == 2 * 200 + 24


def test_the_command_says_so_and_exits_with_1(training: Path, movie: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(movie), "--against", str(training)])
    assert done.exit_code == 1 and "1 of 2 segments are copies" in done.output
    done = CliRunner().invoke(app, ["audit", str(movie), "--picture", str(tmp_path / "x.png")])
    assert isinstance(done.exception, StaleError)


def test_what_cannot_be_compared(movie: Path, tmp_path: Path) -> None:
    with pytest.raises(StaleError, match="holds no clips"):
        remember(movie, tmp_path)
