"""Weights out of the past and out of other hands: average, excavate, doctor, shared folders and hub ids."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from stale_diffusion.cli import app
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.errors import StaleError
from stale_diffusion.model.transformer import Denoiser
from stale_diffusion.model.weights import read_model, share, write_model
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.excavate import average, excavate
from stale_diffusion.training.loop import build, train

CONFIG = Config("s", Data(), Model(32, 1, 2), Train(steps=6, batch=4, warmup=2, history=3, mix={"dream": 1.0}))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    torch.set_num_threads(1)
    return Corpus([clip(i, seed=3, segments=2, rendered=False) for i in range(6)])


@pytest.fixture(scope="module")
def model(corpus: Corpus) -> Denoiser:
    return build(CONFIG, corpus)


def commit(repo: Path, date: str) -> None:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
           "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}  # fmt: skip
    for args in (["add", "-A"], ["commit", "-qm", "weights"]):
        subprocess.run(["git", "-C", str(repo), *args], check=True, env=os.environ | who)


def test_models_are_found_in_a_history_dated_and_averaged(model: Denoiser, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    start = {n: torch.full_like(t, 1.0) for n, t in model.state_dict().items()}
    for value, date in ((1.0, "2020-01-01T00:00:00Z"), (3.0, "2021-01-01T00:00:00Z"), (9.0, "2022-01-01T00:00:00Z")):
        tensors = {n: t * value for n, t in start.items()}
        write_model(tensors, model.shape.to_json(), repo / "ä model.safetensors", {})
        (repo / "no model.safetensors").write_bytes(b"\x08" + bytes(20) + date.encode())
        commit(repo, date)
    finds = excavate(repo, "2021-06-01")
    assert [f.date.year for f in finds] == [2021, 2020] and finds[0].parameters > 1000 and finds[0].days > 1000
    tensors, _ = average(repo, finds)
    assert all(torch.all(t == 2.0) for t in tensors.values())
    out = tmp_path / "old.safetensors"
    said = CliRunner().invoke(app, ["excavate", str(repo), "--before", "18 months ago", "-o", str(out), "--span", "3"])
    assert said.exit_code == 0 and len(said.stdout.splitlines()) == 3
    back = read_model(out)[0].state_dict()
    assert all(torch.allclose(t, torch.tensor(13 / 3), rtol=1e-3) for t in back.values())
    with pytest.raises(StaleError, match="Git cannot read"):
        excavate(tmp_path)


def test_average_writes_a_model_and_doctor_finds_a_flipped_bit(corpus: Corpus, tmp_path: Path) -> None:
    list(train(CONFIG, corpus, tmp_path, lambda: False))
    said = CliRunner().invoke(app, ["average", str(tmp_path), "--length", "0.15"])
    assert said.exit_code == 0, said.output
    assert read_model(tmp_path / "average-0.15.safetensors")[0].shape.width == 32
    assert "step-000000006   " in CliRunner().invoke(app, ["doctor", str(tmp_path)]).stdout
    for path in (
        tmp_path / "step-000000006/average.safetensors",
        *sorted((tmp_path / "history").glob("*.safetensors")),
    ):
        data = bytearray(path.read_bytes())
        data[-5] ^= 4
        path.write_bytes(data)
        found = CliRunner().invoke(app, ["doctor", str(tmp_path)])
        assert found.exit_code == 1 and f"{path.name} is not what was saved" in found.stdout
    with pytest.raises(StaleError, match="is damaged"):
        read_model(tmp_path)


def test_a_model_is_shared_as_a_folder_and_by_hub_id(
    model: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(model, tmp_path / "mine", {"licence": "CC0-1.0", "trained on": "nothing"})
    assert read_model(tmp_path / "mine")[0].shape == read_model(tmp_path / "mine/model.safetensors")[0].shape
    rotten = shutil.copytree(tmp_path / "mine", tmp_path / "rotten") / "model.safetensors"
    data = bytearray(rotten.read_bytes())
    rotten.write_bytes(data[:-5] + bytes([data[-5] ^ 4]) + data[-4:])
    with pytest.raises(StaleError, match="is damaged"):
        read_model(tmp_path / "rotten")
    assert "license: cc0-1.0" in (tmp_path / "mine/README.md").read_text()
    commit_id = "a" * 40
    cache = tmp_path / "hub/models--some--dream"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text(commit_id)
    (cache / "snapshots").mkdir()
    (tmp_path / "mine").rename(cache / "snapshots" / commit_id)
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    back = read_model("some/dream")[0].state_dict()
    assert all(torch.allclose(t, back[n], atol=1e-3) for n, t in model.state_dict().items())
    assert json.loads((cache / "snapshots" / commit_id / "config.json").read_text())["licence"] == "CC0-1.0"
    with pytest.raises(StaleError, match="here or on the hub"):
        read_model("some/nightmare")
