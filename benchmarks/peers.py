"""Peers: samplers of the same bits with the same small network and the same number of network calls.

    make bench NAME=peers            # from the weights and settings that ship
    TUNE=1 make bench NAME=peers     # chooses everyone's settings again, on validation digits (peers.json)

Static binarised MNIST, 10,000 samples at 4, 8, 16 and 32 calls, three sampling seeds (one training seed). One network,
trained with cross-entropy and told rho, serves every peer whose noise is uniform; the absorbing peer has one of the
same size and compute with its own noise, ours one trained with the loss that validation chose. Everyone's settings
were chosen at each number of calls by the product of both distances on validation digits (`CHOICES`).
`mmd` is the square root of the biased V-statistic with kernel exp(-Hamming distance / 784), `frechet` a distance in a
small frozen classifier of digits, whose hash is printed; both against the 10,000 test digits. The ratio is that of
three-seed means, ours to the best peer's (per number of calls), its error by the delta method.
Shapes: B samples, N = 784 bits.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

import rivals
from copula import Settings, fit, ours
from digit_judge import Judge, frechet, kernel_mean, load_judge, mmd, moments
from digits import BITS, SCHEDULE, arm_denoiser, ask, denoiser, load_weights, static_digits
from report import Figure, report
from rivals import Eta, coins
from stale_diffusion.hinge import ARMS

SAMPLES, SEEDS, CALLS = 10_000, (1, 2, 3), (4, 8, 16, 32)
TUNED = Path(__file__).parent / "peers.json"
TUNING_SAMPLES, FITTING = 2000, 5000
Maker = Callable[[int, int, torch.Generator, dict[str, Any]], Tensor]
"""(samples, calls, generator, settings) -> bits (B, N)."""

WARMTH = [1.0, 0.9, 0.8, 1.1, 1.2]
CHOICES: dict[str, dict[str, list[Any]]] = {
    "diffusers": {"temperature": WARMTH},
    "diffusers_corrector": {"temperature": WARMTH, "corrector": [8, 32, 128]},
    "flow_matching": {"power": [1.0, 1.5, 2.0], "div_free": [0.0, 1.0], "temperature": WARMTH},
    "binary_latent": {"schedule": ["linear", "cos", "sigmoid"], "temperature": [1.0, 0.8, 1.2]},
    "absorbing": {"schedule": ["linear", "cosine"], "temperature": WARMTH},
    "ours": {
        "loss": ["cross_entropy", "cr_hinge", "bound"],
        "strength": [1.0, 0.7, 0.0],
        "bend": [1.0, 0.8, 1.3],
        "fresh": [1.0, 0.5, 0.0],
        "greedy": [False, True],
        "temperature": WARMTH,
    },
}
PEERS = [name for name in CHOICES if name != "ours"]


def etas() -> dict[str, Eta]:
    """Name of a network -> P(x_0 = +1 | bits, rho), or, for the absorbing one, given the share that is hidden."""
    networks = load_weights("digits")

    def by_rho(ask_t: Callable[[Tensor, Tensor], Tensor]) -> Eta:
        def eta(x: Tensor, rho: float) -> Tensor:
            t = SCHEDULE.inverse(torch.tensor([[rho]], dtype=torch.float64))
            return ask_t(x, t.expand(len(x), 1)).double()

        return eta

    found = {name: by_rho(arm_denoiser(networks[name], ARMS[name])) for name in ("cross_entropy", "cr_hinge")}
    hidden = ask(networks["absorbing"])
    found["bound"] = by_rho(denoiser(networks["bound"]))
    found["absorbing"] = lambda x, t: torch.sigmoid(hidden(x, torch.full((len(x), 1), t)).double())
    return found


def makers(eta: dict[str, Eta], training: Tensor) -> dict[str, Maker]:
    """Everyone, under one signature. Ours fits its copula to training digits, once for each setting."""
    fitted: dict[tuple[int, str, Settings], list[Tensor]] = {}

    def blank(count: int, generator: torch.Generator) -> Tensor:
        return coins(torch.full((count, BITS), 0.5), generator)

    def peer(rule: Callable[..., Tensor], network: str) -> Maker:
        return lambda count, calls, generator, settings: rule(
            eta[network], blank(count, generator), calls, generator, **settings
        )

    def make_ours(count: int, calls: int, generator: torch.Generator, settings: dict[str, Any]) -> Tensor:
        loss, mine = settings["loss"], Settings(**{k: v for k, v in settings.items() if k != "loss"})
        key = (calls, loss, Settings(bend=mine.bend))
        if mine.strength > 0 and key not in fitted:
            fitted[key] = fit(eta[loss], training, calls, key[2], SCHEDULE, torch.Generator().manual_seed(0))
        V = fitted[key] if mine.strength > 0 else None
        return ours(eta[loss], blank(count, generator), calls, generator, mine, V)

    uniform = "cross_entropy"
    return {
        "diffusers": peer(rivals.diffusers_ddim, uniform),
        "diffusers_corrector": peer(rivals.diffusers_ddim, uniform),
        "flow_matching": peer(rivals.flow_matching_euler, uniform),
        "binary_latent": peer(rivals.binary_latent_diffusion, uniform),
        "absorbing": peer(rivals.absorbing, "absorbing"),
        "ours": make_ours,
    }


class Distance:
    """MMD and Fréchet distance to a set of digits."""

    def __init__(self, judge: Judge, digits: Tensor) -> None:
        self.judge, self.digits = judge, digits
        self.within, self.moments = kernel_mean(digits, digits), moments(judge, digits)

    def __call__(self, x: Tensor) -> tuple[float, float]:
        return mmd(x, self.digits, self.within), frechet(moments(self.judge, x), self.moments)


def tune(make: dict[str, Maker], judge: Judge) -> dict[str, dict[str, dict[str, Any]]]:
    """The best settings of everyone at each number of calls, coordinate by coordinate, twice round."""
    distance = Distance(judge, static_digits("valid"))
    chosen: dict[str, dict[str, dict[str, Any]]] = {}
    for calls, (name, lists) in itertools.product(CALLS, CHOICES.items()):
        before = chosen.get(name, {}).get(str(CALLS[max(0, CALLS.index(calls) - 1)]))
        best = before or {key: values[0] for key, values in lists.items()}
        known: dict[str, float] = {}
        for key, values in [*lists.items()] * (2 if before is None else 1):
            for value in values:
                trial = best | {key: value}
                if json.dumps(trial) in known:
                    continue
                x = make[name](TUNING_SAMPLES, calls, torch.Generator().manual_seed(99), trial)
                known[json.dumps(trial)] = sum(math.log(d) for d in distance(x))
            best = json.loads(min(known, key=lambda text: known[text]))
        chosen.setdefault(name, {})[str(calls)] = best
        print(calls, name, best, f"{known[json.dumps(best)]:.3f}", file=sys.stderr, flush=True)
    return chosen


def ratio(mine: list[float], theirs: list[float]) -> tuple[float, float]:
    """Ratio of means, and its standard error by the delta method."""
    value = fmean(mine) / fmean(theirs)
    parts = [(stdev(x) / fmean(x)) ** 2 / len(x) for x in (mine, theirs)]
    return value, value * math.sqrt(sum(parts))


def figures(found: dict[str, dict[int, list[tuple[float, float]]]]) -> list[Figure]:
    """Ratios first, then every arm's means."""
    ratios, means = [], []
    for calls, (which, distance) in itertools.product(CALLS, enumerate(("mmd", "frechet"))):
        values = {name: [pair[which] for pair in found[name][calls]] for name in found}
        best = min(PEERS, key=lambda name: fmean(values[name]))
        value, error = ratio(values["ours"], values[best])
        limit = 1.0 if calls < 16 else 1.05
        ratios += [
            Figure(f"{distance}_ratio_to_best_peer_{calls}_steps", value, f"1 (best peer: {best})", limit, "lower"),
            Figure(f"{distance}_ratio_to_best_peer_{calls}_steps_se", error, "1", None, "lower"),
        ]
        means += [Figure(f"{distance}_{n}_{calls}_steps", fmean(v), "1", None, "lower") for n, v in values.items()]
    return ratios + means


def main() -> None:
    started = time.monotonic()
    judge, sha = load_judge()
    training = static_digits("train")[:FITTING]
    make = makers(etas(), training)
    if os.environ.get("TUNE"):
        TUNED.write_text(json.dumps(tune(make, judge), indent=1) + "\n")
    settings, distance = json.loads(TUNED.read_text()), Distance(judge, static_digits("test"))
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for name, calls, seed in itertools.product(CHOICES, CALLS, SEEDS):
        x = make[name](SAMPLES, calls, torch.Generator().manual_seed(1000 * calls + seed), settings[name][str(calls)])
        found.setdefault(name, {}).setdefault(calls, []).append(distance(x))
        print(
            name,
            calls,
            seed,
            found[name][calls][-1],
            f"{time.monotonic() - started:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    real = distance(static_digits("valid"))
    floors = [
        Figure(f"{n}_of_real_digits", v, "1", None, "lower") for n, v in zip(("mmd", "frechet"), real, strict=True)
    ]
    print(f"judge sha256 {sha}", file=sys.stderr)
    report("peers", [*figures(found), *floors], started)


if __name__ == "__main__":
    main()
