"""A training that is killed, paused, crowded, short of disk or spread over ranks is the training it would have been."""

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stale_diffusion.clips.shards import Example
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.errors import StaleError
from stale_diffusion.model.weights import read_model
from stale_diffusion.training import averages, checkpoint, claim
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.loop import train
from stale_diffusion.training.ranks import one
from stale_diffusion.training.stopping import Stop

fork = multiprocessing.get_context("fork")
SMALL = Train(steps=8, batch=4, warmup=2, log_steps=1, save_minutes=0, dtype="float32", history=2, mix={"dream": 1.0})


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    examples: list[Example] = [clip(i, seed=3, segments=2, rendered=False) for i in range(6)]
    return Corpus(examples)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """A child that a failed test leaves would be waited for when pytest ends: for ever."""
    yield
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


def small(**changes: object) -> Config:
    return Config("small", Data(), Model(32, 1, 2), Train(**{**SMALL.__dict__, **changes}))  # type: ignore[arg-type]


def go(config: Config, corpus: Corpus, run: Path) -> None:
    list(train(config, corpus, run, lambda: False))


def wait_for(found: object, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.0005)


@pytest.mark.parametrize("loaders", [0, 4])
def test_a_run_that_is_killed_inside_its_saves_is_the_same_run(corpus: Corpus, tmp_path: Path, loaders: int) -> None:
    go(small(), corpus, tmp_path / "whole")
    run, inside = tmp_path / "killed", 0
    for at in (2, 4):
        child = fork.Process(target=go, args=(small(loaders=loaders), corpus, run), daemon=False)
        child.start()
        part = run / f"step-{at:09d}.part"
        wait_for(part.exists)
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        inside += part.exists()
    assert inside > 0
    go(small(loaders=loaders), corpus, run)
    assert checkpoint.differences(tmp_path / "whole", run) == []
    assert averages.hashes_of(tmp_path / "whole") == averages.hashes_of(run) != {}
    assert not list(run.glob("*.part"))


def test_differences_are_found(corpus: Corpus, tmp_path: Path) -> None:
    go(small(steps=2), corpus, tmp_path / "one")
    go(small(steps=2, seed=1), corpus, tmp_path / "other")
    found = checkpoint.differences(tmp_path / "one", tmp_path / "other")
    assert any(line.startswith("order") for line in found) and any(line.startswith("model/") for line in found)
    with pytest.raises(StaleError, match="no whole checkpoint"):
        checkpoint.differences(tmp_path / "one", tmp_path / "absent")


def test_a_second_training_in_the_same_folder_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with claim.claim(tmp_path, one()), pytest.raises(StaleError, match="being trained already"):
        go(small(), corpus, tmp_path)
    go(small(steps=1), corpus, tmp_path)
    with pytest.raises(StaleError, match="Nobody trains"):
        claim.pause(tmp_path, 1)


def test_pause_from_another_process_saves_and_ends(corpus: Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = fork.Process(target=go, args=(small(steps=100_000, save_minutes=60.0), corpus, run))
    child.start()
    wait_for(lambda: (run / "run.json").exists() and claim.busy(run))
    claim.pause(run, 60)
    child.join()
    assert child.exitcode == 0 and len(checkpoint.steps(run)) == 1


def test_a_full_disk_keeps_the_last_good_one(corpus: Corpus, tmp_path: Path) -> None:
    go(small(steps=2), corpus, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StaleError, match="Could not save"):
            go(small(steps=3, history=0), corpus, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-000000001", "step-000000002"]
    assert not list(tmp_path.glob("*.part"))
    go(small(steps=3), corpus, tmp_path)


def test_a_damaged_newest_is_set_aside_with_a_warning(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(small(), corpus, tmp_path / "whole")
    stops = iter([False] * 4 + [True])
    list(train(small(), corpus, tmp_path / "rotten", lambda: next(stops)))
    path = tmp_path / "rotten/step-000000005/optimizer.safetensors"
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    go(small(), corpus, tmp_path / "rotten")
    said = capsys.readouterr().err
    assert "optimizer.safetensors is not what was saved" in said and "going on from step-000000004" in said
    assert len(checkpoint.steps(tmp_path / "rotten")) == 2
    assert checkpoint.differences(tmp_path / "whole", tmp_path / "rotten") == []
    assert (tmp_path / "rotten/step-000000005.damaged").is_dir()


def _deaf(path: Path) -> None:
    stop = Stop()
    with stop.listening():
        stop.rescue = lambda: path.write_text("saved") and None
        (path.parent / "ready").touch()
        hashlib.pbkdf2_hmac("sha256", b"a long step", b"", 2**31 - 1)  # minutes within C, where no handler runs


def test_a_signal_during_a_step_without_end_saves_all_the_same(tmp_path: Path) -> None:
    child = fork.Process(target=_deaf, args=(tmp_path / "rescued",))
    child.start()
    wait_for((tmp_path / "ready").exists)
    os.kill(child.pid or 0, signal.SIGTERM)
    child.join(30)
    assert child.exitcode == 143 and (tmp_path / "rescued").read_text() == "saved"


def test_listening_ends_though_a_child_holds_its_pipe() -> None:
    with Stop().listening():
        child = fork.Process(target=time.sleep, args=(60,))
        child.start()
        began = time.monotonic()
    assert time.monotonic() - began < 30
    child.kill()
    child.join()


LEFT = """
import sys
from pathlib import Path
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.loop import train
corpus = Corpus([clip(i, seed=3, segments=2, rendered=False) for i in range(2)])
few = Train(steps=80, batch=2, log_steps=1, save_minutes=60, dtype="float32", history=0, mix={"dream": 1.0}, loaders=1)
left = train(Config("small", Data(), Model(32, 1, 2), few), corpus, Path(sys.argv[1]), lambda: False)
print("step", next(left).step)
"""


def test_an_interpreter_ends_though_a_training_with_loaders_is_left_in_the_middle(tmp_path: Path) -> None:
    args = [sys.executable, "-c", LEFT, str(tmp_path)]
    done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stdout) == (0, "step 1\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_saves_when_it_is_told_to_stop(tmp_path: Path, number: int, code: int) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        "[data]\ndrawn = 4\nperformed = 0\nsegments = 2\n[model]\nwidth = 32\ndepth = 1\nheads = 2\n"
        "[train]\nsteps = 100000\nbatch = 4\nlog_steps = 1\nmix = { dream = 1.0 }\n"
    )
    run = tmp_path / "run"
    args = [sys.executable, "-m", "stale_diffusion", "train", str(config), "--run", str(run), "--workers", "1"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and "examples" not in child.stdout.readline()
        child.send_signal(number)
        _, said = child.communicate(timeout=60)
    assert child.returncode == code and "resume" in said
    assert len(checkpoint.steps(run)) == 1


def test_activations_that_are_made_again_give_the_same_gradients(corpus: Corpus, tmp_path: Path) -> None:
    go(small(steps=2), corpus, tmp_path / "kept")
    go(small(steps=2, recompute=True), corpus, tmp_path / "again")
    assert checkpoint.differences(tmp_path / "kept", tmp_path / "again") == []


def test_the_number_type_of_a_run_is_kept(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stale_diffusion.training.facts.fastest_type", lambda _: torch.float32)
    go(small(steps=1, dtype=""), corpus, tmp_path)
    monkeypatch.setattr("stale_diffusion.training.facts.fastest_type", lambda _: torch.bfloat16)
    go(small(steps=2, dtype=""), corpus, tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["dtype"] == "float32"


RANKS = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.training.claim import claim, enter
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.loop import learn
from stale_diffusion.training.ranks import join, leave
corpus = Corpus([clip(i, seed=3, segments=2, rendered=False) for i in range(6)])
train = Train(steps=8, batch=4, warmup=2, log_steps=1, save_minutes=60, dtype="float32", history=0, mix={"dream": 1.0})
ranks, run = join(), Path(sys.argv[1])
with claim(run, ranks):
    enter(run, ranks)
    for p in learn(Config("small", Data(), Model(32, 1, 2), train), corpus, run, lambda: False, ranks):
        if ranks.first:
            print("loss", p.step, p.loss)
        if p.step == 4:
            break
    else:
        sys.exit()
leave(ranks)
"""


def test_two_ranks_learn_what_one_learns_and_one_goes_on_from_their_shards(corpus: Corpus, tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANKS.replace("lambda: False", "lambda: (seen.append(0), len(seen) == 4)[1]").replace(
        "ranks, run =", "seen = []\nranks, run ="))  # fmt: skip
    (tmp_path / "two").mkdir()
    args = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script), str(tmp_path / "two")]
    made = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False, timeout=300)
    assert made.returncode == 0, made.stderr[-3000:]
    config = small(history=0, save_minutes=60.0)
    alone = [p.loss for p in train(config, corpus, tmp_path / "one", lambda: False)]
    together = [float(line.split()[2]) for line in made.stdout.splitlines() if line.startswith("loss")]
    assert together == pytest.approx(alone[:4], abs=1e-4)
    assert (tmp_path / "two/step-000000004/shards").is_dir()
    read_model(tmp_path / "two")
    rest = [p.loss for p in train(config, corpus, tmp_path / "two", lambda: False)]
    assert len(rest) == 4 and rest == pytest.approx(alone[4:], abs=1e-3)
    orders = [found[0]["order"] for found in map(checkpoint.latest, (tmp_path / "one", tmp_path / "two")) if found]
    assert len(orders) == 2 and orders[0] == orders[1]


def test_an_average_of_any_length_is_rebuilt_from_the_history(corpus: Corpus, tmp_path: Path) -> None:
    length = 0.07
    go(small(steps=60, average=length, history=20, save_minutes=60.0), corpus, tmp_path)
    made, state, missing = averages.rebuild(tmp_path, length)
    kept = checkpoint.latest(tmp_path)
    assert kept is not None and state["step"] == 60 and missing < 0.1
    for name, direct in kept[1]["average"].items():
        moved = (kept[1]["model"][name] - direct).norm()
        assert (made[name] - direct).norm() <= 0.1 * moved + 1e-3 * direct.norm(), name


def test_power_has_the_length_it_is_of() -> None:
    for length in (0.02, 0.05, 0.1, 0.25):
        g = averages.power(length)
        assert ((g + 1) / ((g + 2) ** 2 * (g + 3))) ** 0.5 == pytest.approx(length)
    for wrong in (0.0, 0.3, float("nan")):
        with pytest.raises(StaleError, match="no average"):
            averages.power(wrong)
