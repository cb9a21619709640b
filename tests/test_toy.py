"""The example and the page for one's own data run as they are printed, with less training."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_toy_learns_and_gets_better_with_steps(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("toy", ROOT / "examples/toy.py")
    assert spec is not None
    assert spec.loader is not None
    toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    toy.TRAINING_STEPS, toy.SAMPLES = 600, 5000
    toy.main()
    table = re.findall(r"^  (.+?) {2,}([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    distance = {name: float(value) for name, value in table}
    assert distance["generated, 1 steps"] > 0.4
    assert distance["generated, 32 steps"] < 0.2
    assert distance["completed from 4 given bits"] < 0.2
    assert distance["floor: as many true samples"] < 0.1


def test_own_data_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both code blocks, in order, with fewer training steps; every completed row is a run that keeps the given ones."""
    monkeypatch.chdir(tmp_path)
    make, use = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own-data.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(make, names)
    assert np.load("bits.npy").shape == (5000, 16)
    assert "3000" in use
    exec(use.replace("3000", "600"), names)
    rows = capsys.readouterr().out.splitlines()[-8:]
    assert all(re.fullmatch("[#.]{16}", row) and row.startswith("####") for row in rows)
    runs = [row for row in rows if len(re.findall("#+", row + row)) <= 3 and 4 <= row.count("#") <= 8]
    assert len(runs) >= 6


def test_own_data_page_is_thirty_lines_of_code() -> None:
    use = re.findall(r"```python\n(.*?)```", (ROOT / "docs/own-data.md").read_text(), re.DOTALL)[1]
    assert len([line for line in use.splitlines() if line.strip()]) <= 30
