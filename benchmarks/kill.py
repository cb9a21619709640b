"""Kill a training with SIGKILL, again and again, and compare what it becomes with what it would have been, bit by bit.

    KILLS=100 make bench NAME=kill     # a quarter of them under torchrun, where one of two ranks is killed
    PART=solo KILLS=10 make bench NAME=kill; PART=ranks KILLS=2 make bench NAME=kill    # in pieces; the JSON adds up

After every kill the newest whole checkpoint is compared with that of the same step of a run that nobody killed:
weights, optimisers, all averages, random state and the hash of the data's order. At the end of every run the last one
is, and the history of averages. A kill is inside the save if the half-written folder was left behind. A comparison
that finds no checkpoint of the reference's step is an error, never a difference. Processes that a kill leaves behind
are waited for: they hold a lock on the run's folder until they end, and whoever resumes waits for it, too.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from report import OUT, Figure, report
from stale_diffusion.training import averages, checkpoint, claim
from stale_diffusion.training.run import train_config

STEPS = 24
CONFIG = """[data]
drawn = 16
performed = 0
segments = 2
[model]
width = 64
depth = 2
heads = 2
forms = true
[train]
steps = {steps}
batch = 4
warmup = 2
log_steps = 100
save_minutes = 0.0
dtype = "float32"
loaders = {loaders}
history = 4
mix = {{ dream = 1.0 }}
"""
fork = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Kill:
    """Args: how: the kind of run; step: of the newest whole checkpoint after it; inside: it hit a save; same: that
    checkpoint is the reference's, to the bit."""

    how: str
    step: int
    inside: bool
    same: bool


def fingerprint(folder: Path) -> str:
    """What a checkpoint holds, in whichever form, as one hash."""
    state, wrong = checkpoint.examine(folder)
    if state is None or wrong:
        raise SystemExit(f"{folder} is damaged: {wrong}")
    return checkpoint.fingerprint(state, checkpoint.tensors_of(folder, state))


class Bench:
    """One reference and the runs that are killed.

    Args:
        folder: for all of it.
        loaders: of every run; with ranks, two of torchrun.
    """

    def __init__(self, folder: Path, loaders: int, *, ranks: bool) -> None:
        self.folder, self.ranks = folder, ranks
        self.how = "2 ranks" if ranks else f"{loaders} loaders"
        self.config = folder / f"{self.how.replace(' ', '-')}.toml"
        self.config.write_text(CONFIG.format(steps=STEPS, loaders=loaders))
        self.seen: dict[int, str] = {}
        self.whole = folder / "whole"
        self._reference()

    def start(self, run: Path) -> Callable[[], int | None]:
        """Begin or resume a training; returns what says its exit code, None while it runs."""
        if self.ranks:
            shutil.copytree(self.whole / "data", run / "data", dirs_exist_ok=True) if run != self.whole else None
            command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--",
                       "stale_diffusion", "train", str(self.config), "--run", str(run)]  # fmt: skip
            log = (run.parent / f"{run.name}.log").open("w")
            self.child = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
            return self.child.poll
        child = fork.Process(target=_train, args=(self.config, run))
        child.start()
        self.process = child
        return lambda: child.exitcode

    def _reference(self) -> None:
        """Trains without a kill, and takes the fingerprint of every step on the way: two are always kept."""
        code = self.start(self.whole)
        while code() is None or self.seen.get(STEPS) is None:
            for path in checkpoint.steps(self.whole):
                step = int(path.name[5:])
                if step not in self.seen:
                    with contextlib.suppress(FileNotFoundError, SystemExit):
                        self.seen[step] = fingerprint(path)
            if code() not in (None, 0):
                raise SystemExit(f"the reference ended with {code()}")
            time.sleep(0.0002)

    def pids(self, run: Path) -> list[int]:
        """The processes to choose from: this one, or torchrun's ranks."""
        if not self.ranks:
            return [self.process.pid or 0]
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return [int(p) for p in children.read_text().split()] if claim.busy(run) else []

    def kill(self, run: Path, rng: random.Random, *, inside: bool) -> Kill | None:
        """Resume the run, kill it somewhere, and compare what it left; None where it was over before."""
        code = self.start(run)
        before = max((int(p.name[5:]) for p in checkpoint.steps(run)), default=0)
        at = min(before + rng.randint(1, 4), STEPS)
        part = run / f"step-{at:09d}.part"
        while code() is None and not part.exists():
            time.sleep(0.0001)
        time.sleep(rng.random() * (0.01 if inside else 0.2))
        alive = self.pids(run) if code() is None else []
        if alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(alive), signal.SIGKILL)
        while code() is None:
            time.sleep(0.01)
        if code() == 0:
            return None
        while claim.busy(run):  # left-over loaders and ranks
            time.sleep(0.02)
        hit = any(run.glob("step-*.part"))
        newest, state, damaged = checkpoint.newest(run)
        if newest is None or damaged:
            return Kill(self.how, 0, hit, newest is None and not damaged)
        return Kill(self.how, state["step"], hit, fingerprint(newest) == self._seen(state["step"]))

    def _seen(self, step: int) -> str:
        if step not in self.seen:
            raise SystemExit(f"the reference's step {step} was not seen: nothing to compare with")
        return self.seen[step]

    def finish(self, run: Path) -> bool:
        """Let the run end; whether its end is the reference's, with its history."""
        code = self.start(run)
        while code() is None:
            time.sleep(0.01)
        if code() != 0:
            raise SystemExit(f"{run} ended with {code()}")
        found = checkpoint.differences(self.whole, run)
        if averages.hashes_of(self.whole) != averages.hashes_of(run):
            found.append("history: other hashes")
        for line in found:
            print(f"{run.name}: {line}", file=sys.stderr)
        return not found


def _train(config: Path, run: Path) -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    os.dup2(sys.stdout.fileno(), 2)
    torch.set_num_threads(1)
    train_config(config, run, 1, lambda: False)


def campaign(folder: Path, loaders: int, kills: int, seed: int, *, ranks: bool) -> tuple[list[Kill], list[bool]]:
    """Kill so many times, every other time inside a save, and finish every run."""
    folder.mkdir()
    bench, rng = Bench(folder, loaders, ranks=ranks), random.Random(seed)
    done: list[Kill] = []
    ends: list[bool] = []
    while len(done) < kills:
        run = folder / f"run{len(ends)}"
        shutil.copytree(bench.whole / "data", run / "data")
        while len(done) < kills:
            found = bench.kill(run, rng, inside=len(done) % 2 == 0)
            if found is None:
                break
            done.append(found)
            print(f"{len(done):>4}/{kills}  {found}", file=sys.stderr)
        ends.append(bench.finish(run))
        shutil.rmtree(run)
    return done, ends


def main() -> None:
    """Merge what this call killed with what earlier pieces did, and report."""
    started = time.monotonic()
    kills, part = int(os.environ.get("KILLS", "100")), os.environ.get("PART", "")
    torch.set_num_threads(1)
    shares = {"solo": [(0, False), (4, False)], "ranks": [(0, True)]}.get(part, [(0, False), (4, False), (0, True)])
    weights = [1.0 if ranks else 1.5 for _, ranks in shares]
    path = OUT / "kill-pieces.json"
    kept = json.loads(path.read_text()) if part and path.exists() else {"kills": [], "ends": []}
    with tempfile.TemporaryDirectory() as folder:
        for i, (loaders, ranks) in enumerate(shares):
            count = max(1, round(kills * weights[i] / sum(weights)))
            seed = int(os.environ.get("SEED", "0")) + len(kept["kills"])
            done, ends = campaign(Path(folder) / str(i), loaders, count, seed, ranks=ranks)
            kept["kills"] += [asdict(k) for k in done]
            kept["ends"] += ends
            OUT.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(kept, indent=1))
    report("kill", figures(kept), started)


def figures(kept: dict[str, list[dict[str, object]]]) -> list[Figure]:
    """What is reported of all kills and ends so far."""
    kills, ends = kept["kills"], kept["ends"]
    same = [bool(k["same"]) for k in kills] + [bool(e) for e in ends]
    out = [
        Figure("kills", len(kills), "1", 100, "higher"),
        Figure("kills_inside_save", sum(bool(k["inside"]) for k in kills), "1", 30, "higher"),
        Figure("runs_finished", len(ends), "1", None, "higher"),
        Figure("bit_identical_share", sum(same) / len(same), "1", 1.0, "higher"),
    ]
    for how in sorted({str(k["how"]) for k in kills}):
        own = [k for k in kills if k["how"] == how]
        out.append(Figure(f"kills_{how.replace(' ', '_')}", len(own), "1", None, "higher"))
        out.append(
            Figure(f"identical_{how.replace(' ', '_')}", sum(bool(k["same"]) for k in own), "1", len(own), "higher")
        )
    return out


if __name__ == "__main__":
    main()
