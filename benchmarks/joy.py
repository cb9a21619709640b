"""Is the paper right about its emoji? y-hat's accuracy with the crying-joy token, and with others in its place.

    make bench NAME=joy                # the table of the results that are kept
    TRAIN=1 make bench NAME=joy        # 5 tokens x 10 seeds, about ten minutes on two cores; STEPS=200 SEEDS=10

The paper: x with U+1F602 appended works, "experiments with U+1F644 were ultimately unsuccessful, and we defer ablations
with U+1F92A". Each is a fixed vector of one norm drawn from its code point; beside them a learnable token that starts
where U+1F602 stands, and no token (y-hat is read from the mean of all others). Everything else, the order of the data
included, is the same. Only the clip label is learnt, by the literal hinge (eq. 3), from fresh clips. The figure is
the balanced accuracy on held-out clips, a quarter of which have another's plot or sense: 0.5 is a coin.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from scipy import stats

from arena import DATA as CLIPS
from arena import RUNS
from report import Figure, report
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.machine import fastest_type
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, whole
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Batch, Corpus, Sampler
from stale_diffusion.training.loop import build, losses, optimizers, rate_at
from stale_diffusion.training.run import prepare, read

RESULTS = Path(__file__).parent / "results" / "joy.json"
TOKENS = {
    "crying_joy": "U+1F602",
    "rolling_eyes": "U+1F644",
    "zany": "U+1F92A",
    "learnable": "learnable",
    "none": "none",
}
STEPS, SEEDS = int(os.environ.get("STEPS", "200")), int(os.environ.get("SEEDS", "10"))
MIX = {"dream": 1.0}


def fresh(batch: Batch) -> Batch:
    """The batch as the clips are: nothing is stale."""
    now = {n: whole(bits, torch.zeros(bits.shape[:2])) for n, bits in batch.truth.items()}
    return replace(batch, now=now)


def learn(token: str, seed: int, corpus: Corpus) -> Denoiser:
    """A small network that has learnt the clip label with this token."""
    schedule = Train(steps=STEPS, batch=64, rate=0.02, warmup=20, seed=seed, mix=MIX)
    model = build(Config("joy", Data(), Model(64, 3, 2, token=token), schedule), corpus)
    opts, sampler, encode = optimizers(model, schedule), Sampler(corpus, MIX, schedule.batch, seed), PlotEncoder()
    for step in range(STEPS):
        for opt, share in zip(opts.values(), (1.0, 0.1), strict=True):
            opt.param_groups[0]["lr"] = share * rate_at(step, schedule) * schedule.rate
            opt.zero_grad()
        batch = fresh(sampler(step))
        with torch.autocast("cpu", fastest_type(), enabled=fastest_type() != torch.float32):
            _, loss, _ = losses(model, batch, encode(batch.captions))
        torch.autograd.backward(loss)
        for opt in opts.values():
            opt.step()
    return model


def accuracy(model: Denoiser, corpus: Corpus, batches: int = 24) -> float:
    """Balanced accuracy of the sign of y-hat on batches that no training saw."""
    sampler, encode = Sampler(corpus, MIX, 64, 77), PlotEncoder()
    right: dict[bool, list[float]] = {True: [], False: []}
    for step in range(batches):
        batch = fresh(sampler(step))
        with torch.inference_mode():
            _, score_B = model(batch.now, batch.past, encode(batch.captions))
        for score, label in zip(score_B.tolist(), batch.label.tolist(), strict=True):
            right[label > 0].append(float(score * label > 0))
    return statistics.fmean(statistics.fmean(found) for found in right.values())


def collect() -> dict[str, dict[str, float]]:
    """Train and measure; {token: {seed: accuracy}}, kept in RESULTS as it grows."""
    torch.set_num_threads(1)
    corpus = read(prepare(CLIPS, RUNS / "data", 1))
    held_out = Corpus(clip(i, seed=9004, segments=2, rendered=False) for i in range(400))
    results: dict[str, dict[str, float]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in range(SEEDS):
        for name, token in TOKENS.items():
            if str(seed) not in results.setdefault(name, {}):
                results[name][str(seed)] = accuracy(learn(token, seed, corpus), held_out)
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                print(f"{name} {seed}: {results[name][str(seed)]:.3f}", flush=True)
    return results


def figures(results: dict[str, dict[str, float]]) -> list[Figure]:
    """Mean accuracy of each token; the paired difference to crying joy, its standard error, and a t test."""
    out = []
    joy = results["crying_joy"]
    for name, seeds in results.items():
        gap = [seeds[s] - joy[s] for s in seeds if s in joy]
        reference = f"{len(seeds)} seeds"
        if name != "crying_joy" and len(gap) > 1:
            se, p = statistics.stdev(gap) / len(gap) ** 0.5, stats.ttest_1samp(gap, 0).pvalue
            reference = f"{statistics.fmean(gap):+.4f} to crying joy, SE {se:.4f}, p = {p:.2f}"
        out.append(Figure(f"{name}_accuracy", statistics.fmean(seeds.values()), "1", reference, "higher"))
    return out


def main() -> None:
    started = time.monotonic()
    report("joy", figures(collect() if os.environ.get("TRAIN") else json.loads(RESULTS.read_text())), started)


if __name__ == "__main__":
    main()
