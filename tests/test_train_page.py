"""docs/train.md does what it says: its marked blocks, run in order on a small real set, with the numbers made small."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from stale_diffusion import media
from stale_diffusion.cli import app
from stale_diffusion.training import checkpoint

PAGE = Path(__file__).parents[1] / "docs/train.md"
CLIP = Path(__file__).parent / "data/sea_island_05.mp4"
SMALL = {"drawn": "4", "segments": "1", "steps": "2", "batch": "4", "warmup": "1"}
SMALLER = {"width": "32", "depth": "1", "heads": "2"}  # where nothing is begun with
MORE = {
    "ingest": "--workers 1", "train": "--workers 1", "generate": "--seconds 2 --steps 1 --size 64x36 --fps 6",
    "complete": "--steps 1", "average": "",
}  # fmt: skip


def blocks() -> list[tuple[str, str]]:
    """What is marked to be run, in order: ("", commands) or (name of a config, its text)."""
    text = PAGE.read_text("utf-8")
    found = re.findall(r"^```(?:sh run|toml run (\S+))\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(str(name), str(body)) for name, body in found]


def small(config: str) -> str:
    """The config with smaller numbers."""
    changes = SMALL if "start =" in config else SMALL | SMALLER
    for key, value in changes.items():
        config = re.sub(rf"^{key} = \S+", f"{key} = {value}", config, flags=re.MULTILINE)
    return config.replace("[train]", "[train]\nhistory = 2" if "start =" not in config else "[train]\nhistory = 0")


def test_from_a_folder_of_clips_to_movies_of_a_model_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    (tmp_path / "clips").mkdir()
    for path in (CLIP, CLIP.with_suffix(".info.json")):
        shutil.copy(path, tmp_path / "clips")
    shutil.copy(CLIP, tmp_path / "holiday.mp4")
    verbs = []
    for name, body in blocks():
        if name:
            (tmp_path / name).write_text(small(body), "utf-8")
            continue
        for line in body.splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "stale-diffusion"
            app([*words, *MORE[words[0]].split()], standalone_mode=False)
            verbs.append(words[0])
    assert verbs == ["ingest", "train", "generate", "complete", "train", "generate", "average", "generate"]
    for run in ("runs/mine", "runs/tuned"):
        found = checkpoint.latest(tmp_path / run)
        assert found is not None and found[0]["step"] == 2
    for movie in ("sea.mkv", "holiday.mkv", "tuned.mkv", "averaged.mkv"):
        assert media.probe(tmp_path / movie).video is not None
