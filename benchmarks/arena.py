"""What each part of the method is worth, on movie bits, at equal compute, with and without.

    make bench NAME=arena                          # the table of the results that are kept in benchmarks/results/
    TRAIN=1 make bench NAME=arena                  # trains all arms again: STEPS=600 SEEDS=3 ARMS=base,krebs,...

Every arm is the same small network on the same clips with one thing changed, trained for the same number of floating
point operations (counted, forward and backward; an arm whose step costs more takes fewer steps) and judged without a
draft. A run that was interrupted goes on; one that is finished is not done again.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from movie_bits import Segments, bound, denoiser, held_out, judge, ready, sample
from report import Figure, report
from stale_diffusion import scene
from stale_diffusion.model.krebs import Forms
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser
from stale_diffusion.model.weights import read_model
from stale_diffusion.sample import pack
from stale_diffusion.training import checkpoint
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Corpus, Sampler
from stale_diffusion.training.loop import build, losses, train
from stale_diffusion.training.run import prepare, read

RUNS = Path(os.environ.get("RUNS", "out/arena"))
RESULTS = Path(__file__).parent / "results" / "arena.json"
DATA = Data(drawn=3000, performed=0, segments=2, seed=300)
MODEL = Model(width=128, depth=4, heads=4)
TRAIN = Train(batch=32, rate=0.02, warmup=50, average=0.1, save_minutes=1.0, log_steps=100, mix={"dream": 1.0})
STEPS, SEEDS = int(os.environ.get("STEPS", "400")), int(os.environ.get("SEEDS", "3"))
JUDGED = 192  # held-out segments
ARMS: dict[str, tuple[dict[str, object], dict[str, object]]] = {  # name -> changes of the model, of the training
    "base": ({}, {}),
    "krebs": ({"charge": True, "exhale": True}, {}),
    "charge": ({"charge": True}, {}),
    "exhale": ({"exhale": True}, {}),
    "turns": ({"turns": 3}, {}),
    "forms": ({"forms": True}, {}),
    "cross_entropy": ({"loss": "cross_entropy"}, {}),
    "odds_hinge": ({"loss": "odds_hinge"}, {}),
    "brier": ({"loss": "brier"}, {}),
    "literal": ({"loss": "literal"}, {}),
    "self_conditioned": ({"self_conditioned": True}, {}),
    "arctangent": ({}, {"decay": "arctangent"}),
    "mess_up": ({}, {"mess_up": 0.1}),
    "waves": ({"loss": "cross_entropy", "waves": 32}, {}),
}


def config(arm: str, seed: int, steps: int) -> Config:
    """The training of one arm."""
    model, training = ARMS[arm]
    return Config(arm, DATA, replace(MODEL, **model), replace(TRAIN, steps=steps, seed=seed, **training))  # type: ignore[arg-type]


def flops(arm: str, corpus: Corpus) -> float:
    """Floating point operations of a step, forward and backward, on average over turns and self-conditioning."""
    made = config(arm, 0, 1)
    batch = Sampler(corpus, made.train.mix, made.train.batch, 0)(1)
    model, plot = build(made, corpus), PlotEncoder()(batch.captions)
    costs = []
    for turns in range(1, made.model.turns + 1):
        with FlopCounterMode(display=False) as counter:
            losses(model, batch, plot, turns)
        costs.append(3 * counter.get_total_flops())
    again = 1 + 1 / 6 if made.model.self_conditioned else 1  # half of the steps look twice, once without a gradient
    return statistics.fmean(costs) * again


def run(arm: str, seed: int, steps: int, corpus: Corpus) -> tuple[Path, float]:
    """Train one arm from one seed, or go on; its folder, and ms of processor time a step (NaN: it was done)."""
    folder = RUNS / f"{arm}-{seed}-{steps}"
    found = checkpoint.latest(folder)
    if found is not None and int(found[0]["step"]) >= steps:
        return folder, float("nan")
    first = int(found[0]["step"]) if found is not None else 0
    started = time.process_time()
    for progress in train(config(arm, seed, steps), corpus, folder, lambda: False):
        print(f"  {arm} {seed}: {progress.step}/{steps}  loss {progress.loss:.4f}", flush=True)
    return folder, 1000 * (time.process_time() - started) / (steps - first)


def measure(folder: Path, true: Segments) -> dict[str, float]:
    """All that is measured of a trained arm."""
    model = ready(read_model(folder)[0])
    found = {f"bound_{n}": v for n, v in bound(model, true).items()}
    made = sample(model, true.plots, true.shapes, 16)
    found |= judge(made.bits, true)
    found["parameters"] = float(sum(p.numel() for p in model.parameters()))
    if model.forms is not None:
        found |= chosen(model.forms, true) | {"hard_time_ratio": time_of_forms(model, true)}
    if model.shape.turns > 1:
        found |= {f"bound_total_turns_{r}": bound(model, true, turns=r)["total"] for r in range(1, 7)}
    found |= {f"rotten_{p}": completion_error(model, true, p) for p in (0.0, 0.02, 0.1)}
    return found


def chosen(forms: Forms, true: Segments) -> dict[str, float]:
    """Share of the plots of each place for which each block is anthropomorphic, {"local_BLOCK_PLACE": share}."""
    vectors, _ = PlotEncoder()(true.plots)
    local_BK = forms(vectors[:, 0])
    places = [s.place for s in scene.decode(true.bits["scene"].numpy())]
    return {
        f"local_{k}_{place}": float(local_BK[[p == place for p in places], k].mean())
        for k in range(local_BK.shape[1])
        for place in sorted(set(places))
    }


def time_of_forms(model: Denoiser, true: Segments) -> float:
    """Processor time of a call with the forms that the plots choose, over that of the same call all vehicular."""
    few = Segments(true.plots[:32], {n: b[:32] for n, b in true.bits.items()})
    x, t = pack(few.bits), torch.full((1, 1), 0.5)
    forms, spent = model.forms, []
    for gates in (forms, None):
        model.forms = gates
        call, best = denoiser(model, few.plots, few.shapes), float("inf")
        for _ in range(5):
            started = time.process_time()
            call(x, t)
            best = min(best, time.process_time() - started)
        spent.append(best)
    model.forms = forms
    return spent[0] / spent[1]


def completion_error(model: Denoiser, true: Segments, flipped: float) -> float:
    """Share of wrong bits of touch, completed from scene, smell and taste, a share of whose bits is wrong."""
    generator = torch.Generator().manual_seed(1)
    given = {}
    for n in ("scene", "smell", "taste"):
        bits = true.bits[n]
        given[n] = torch.where(torch.rand(bits.shape, generator=generator) < flipped, -bits, bits)
    wanted = {n: true.shapes[n] for n in ("touch.vibration", "touch.air")}
    made = sample(model, true.plots, wanted, 8, given=given)
    wrong = [(made.bits[n] != true.bits[n]).double().mean() for n in wanted]
    return float(np.mean(wrong))


def collect(arms: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Train and measure; {arm: {figure: [by seed]}}, kept in RESULTS as it grows."""
    torch.set_num_threads(1)
    corpus = read(prepare(DATA, RUNS / "data", 1))
    true = held_out(JUDGED)
    base = flops("base", corpus)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in range(SEEDS):
        for arm in arms:
            cost = flops(arm, corpus)
            steps = round(STEPS * base / cost)
            folder, milliseconds = run(arm, seed, steps, corpus)
            entry = results.setdefault(arm, {}).setdefault(str(seed), {})
            if entry.get("steps") != steps or milliseconds == milliseconds:
                entry.clear()
                entry |= {
                    "steps": steps,
                    "flops_ratio": cost / base,
                    "cpu_ms_a_step": milliseconds,
                    **measure(folder, true),
                }
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            print(f"{arm} {seed}: bound {entry['bound_total']:.1f} bits", flush=True)
    return results


SHOWN: dict[str, tuple[str, Literal["lower", "higher"]]] = {
    "bound_total": ("bits", "lower"), "mmd": ("1", "lower"), "place": ("1", "higher"), "hour_error": ("h", "lower"),
    "follows_touch": ("1", "higher"), "diversity": ("1", "higher"), "rotten_0.0": ("1", "lower"),
    "rotten_0.1": ("1", "lower"),
}  # fmt: skip


def figures(results: dict[str, dict[str, dict[str, float]]]) -> list[Figure]:
    """Means over seeds, and the standard error of the difference to base, seed by seed."""
    out = []
    for arm, seeds in results.items():
        both = [s for s in seeds if s in results["base"]]
        for name, (unit, better) in SHOWN.items():
            gap = [seeds[s][name] - results["base"][s][name] for s in both]
            se = statistics.stdev(gap) / len(gap) ** 0.5 if len(gap) > 1 else float("nan")
            words = f"{statistics.fmean(gap):+.4g} to base, SE {se:.2g}" if arm != "base" else f"{len(seeds)} seeds"
            mean = statistics.fmean(seed[name] for seed in seeds.values())
            out.append(Figure(f"{arm}_{name}", mean, unit, words, better))
        one = next(iter(seeds.values()))
        out.append(Figure(f"{arm}_parameters", one["parameters"], "1", None, "lower"))
        out.append(Figure(f"{arm}_steps", one["steps"], "1", "at equal operations", "higher"))
    return out


def main() -> None:
    started = time.monotonic()
    arms = os.environ.get("ARMS", ",".join(ARMS)).split(",")
    results = collect(arms) if os.environ.get("TRAIN") else json.loads(RESULTS.read_text())
    report("arena", figures(results), started)


if __name__ == "__main__":
    main()
