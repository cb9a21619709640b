"""MNIST: the bound of the reverse sampler in nats, on all 10,000 test digits.

    make bench NAME=mnist            # from the weights that ship
    TRAIN=1 make bench NAME=mnist    # makes the weights again; RUNS is where it can be interrupted and resumed

`elbo_nats_static` is of binarised MNIST as Larochelle and Murray (2011) fixed it, with 1,000 steps; `dynamic` draws
every pixel by its intensity (MNIST's own training and test sets), at few steps, on grids fitted to held-out training
digits by exact search. The prior term is zero and the last step is the reconstruction term. The arms are one small
network with four losses, and the bound itself as a loss, at equal compute, one seed.
Shapes: B images, N = 784 bits.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import Tensor

from calibration import curves, picture
from digit_bound import bound, fitted_grid
from digit_training import Loss, Recipe, absorbing_loss, arm_loss, bound_rate, hidden, stale, train
from digits import (
    Network,
    Shape,
    Width,
    arm_denoiser,
    binarise,
    denoiser,
    grey_digits,
    load_weights,
    save_weights,
    static_digits,
)
from report import Figure, report
from stale_diffusion.hinge import ARMS
from stale_diffusion.sample import Denoiser

LARGE = Shape()
STATIC_MINUTES, DYNAMIC_MINUTES, ARM_MINUTES = 24.0, 12.0, 0.75  # of which the weights that ship had 7.4 and 0
STATIC_STEPS, PASSES, LADDER_PASSES = 1000, 16, 8
LADDER = {10: 95.21, 25: 84.40, 50: 81.06, 100: 79.46}  # BFN (Graves et al. 2023), table 1
HELD_OUT = 2000  # of the 60,000 training digits
TO_BEAT = 88.3


def runs() -> Path:
    return Path(os.environ.get("RUNS", "out/runs/mnist"))


def train_all() -> None:
    """All weights of `mnist` and `peers` again."""
    digits, valid = static_digits("train"), static_digits("valid")
    made = {
        "static": train(Recipe(STATIC_MINUTES, LARGE), lambda _: digits, bound_rate, runs() / "static", valid[:4000])
    }
    grey, _ = grey_digits("train")
    drawn = binarise(grey[-HELD_OUT:], torch.Generator().manual_seed(0))
    made["dynamic"] = train(
        Recipe(DYNAMIC_MINUTES, LARGE, rate=0.01),
        lambda generator: binarise(grey[:-HELD_OUT], generator),
        bound_rate,
        runs() / "dynamic",
        drawn,
        start=made["static"],
    )
    save_weights("mnist", made)
    losses: dict[str, Loss] = {name: arm_loss(arm) for name, arm in ARMS.items()}
    losses |= {"bound": bound_rate, "absorbing": absorbing_loss}
    small = {}
    for name, loss in losses.items():
        recipe = Recipe(ARM_MINUTES, Width(scaled=name != "absorbing"), batch=512)
        damage = hidden if name == "absorbing" else stale
        small[name] = train(recipe, lambda _: digits, loss, runs() / name, valid[:2000], damage)
    save_weights("digits", small)


def even(steps: int) -> Tensor:
    """An even grid from 1 to 0."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def static_figures(network: Network) -> list[Figure]:
    test = static_digits("test")
    nats, error = bound(denoiser(network), test, even(STATIC_STEPS), PASSES, torch.Generator().manual_seed(1))
    return [
        Figure("elbo_nats_static", nats, "nats", TO_BEAT, "lower"),
        Figure("elbo_nats_static_se", error, "nats", 0.1, "lower"),
    ]


def dynamic_figures(network: Network) -> list[Figure]:
    ask, generator = denoiser(network), torch.Generator().manual_seed(2)
    train_grey, test_grey = grey_digits("train")[0], grey_digits("test")[0]
    grids = fitted_grid(ask, binarise(train_grey[-500:], generator), list(LADDER), generator)
    test, figures = binarise(test_grey, generator), []
    for steps, reference in LADDER.items():
        nats, error = bound(ask, test, grids[steps], LADDER_PASSES, generator)
        figures += [
            Figure(f"elbo_nats_dynamic_{steps}_steps", nats, "nats", reference, "lower"),
            Figure(f"elbo_nats_dynamic_{steps}_steps_se", error, "nats", 0.2, "lower"),
        ]
    return figures


def arm_figures(networks: dict[str, Network]) -> list[Figure]:
    """The bound of every arm on 2,000 test digits, and how far its probabilities are off, by staleness."""
    test, figures, drawn = static_digits("test")[::5], [], {}  # the file is sorted by digit
    for name, network in networks.items():
        if name == "absorbing":  # another noise
            continue
        ask: Denoiser = arm_denoiser(network, ARMS[name]) if name in ARMS else denoiser(network)
        nats, error = bound(ask, test, even(STATIC_STEPS), 8, torch.Generator().manual_seed(3))
        figures += [
            Figure(f"arm_nats_{name}", nats, "nats", None, "lower"),
            Figure(f"arm_nats_{name}_se", error, "nats", None, "lower"),
        ]
        drawn[name] = curves(ask, test, torch.Generator().manual_seed(4))
        figures += [
            Figure(f"calibration_error_{name}_staleness_{curve.staleness:.1f}", curve.error, "1", 0.0, "lower")
            for curve in drawn[name]
        ]
    picture(drawn, Path("out/bench/calibration.png"))
    return figures


def main() -> None:
    started = time.monotonic()
    if os.environ.get("TRAIN"):
        train_all()
    large = load_weights("mnist")
    # where the second training was not done, the first network answers: a valid bound, though of another training set
    dynamic = large.get("dynamic", large["static"])
    figures = [*static_figures(large["static"]), *dynamic_figures(dynamic), *arm_figures(load_weights("digits"))]
    report("mnist", figures, started)


if __name__ == "__main__":
    main()
