"""Oracle: the exact posterior over 500 real digits, and what each sampler makes of it in 4 to 32 steps.

    make bench NAME=oracle

No network, nothing to train: what is measured is the update rule. `exact` is the share of samples that are one of the
500 digits to the bit, `tv` the total variation to the uniform law over them (its floor: 10,000 draws of that law),
`mmd` as in `peers`. All rules draw their last step: taking the likelier value would hide the difference. Every rule
makes as many calls of the oracle as there are steps.
Shapes: K = 500 digits, B samples, N = 784 bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from copula import Settings, fit, ours
from digit_judge import kernel_mean, mmd
from digits import SCHEDULE, static_digits
from report import Figure, report
from rivals import BLD_SCHEDULES, absorbing, coins, diffusers_ddim, flow_matching_euler, plug_in
from stale_diffusion.channel import COSINE
from stale_diffusion.sample import ancestral, oracle

STATES, SAMPLES, STEPS = 500, 10_000, (4, 8, 16, 32)


def exact_eta(states_KN: Tensor) -> Callable[[Tensor, float], Tensor]:
    ask = oracle(states_KN, torch.full((len(states_KN),), 1 / len(states_KN)), SCHEDULE)

    def eta(x: Tensor, rho: float) -> Tensor:
        t = SCHEDULE.inverse(torch.tensor(rho, dtype=torch.float64))
        return torch.cat([ask(part, t) for part in x.split(2000)])

    return eta


def exact_reveal(states_KN: Tensor) -> Callable[[Tensor, float], Tensor]:
    """P(x_0 = +1 | the bits that are shown): even over the digits that agree with them, or most nearly so."""
    states = states_KN.float()

    def reveal(x: Tensor, _: float) -> Tensor:
        agreement = x.float() @ states.T
        nearest = (agreement == agreement.amax(1, keepdim=True)).double()
        return nearest / nearest.sum(1, keepdim=True) @ (states > 0).double()

    return reveal


def plug_in_sampler(
    eta: Callable[[Tensor, float], Tensor], x: Tensor, calls: int, generator: torch.Generator
) -> Tensor:
    """Binary Latent Diffusion's rule on its linear schedule, but its last step drawn like everyone's."""
    rho = BLD_SCHEDULES["linear"]
    for step in range(calls, 0, -1):
        rho_t, rho_s = rho(step / calls), rho((step - 1) / calls)
        x = coins(plug_in(x, 2 * eta(x, rho_t) - 1, rho_t, rho_s), generator)
    return x


def full_posterior(states_KN: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """`sample.ancestral` with the cosine, as the library does it."""
    ask = oracle(states_KN, torch.full((len(states_KN),), 1 / len(states_KN)), COSINE)
    x = torch.ones(1, SAMPLES, states_KN.shape[1], dtype=torch.int8)  # one large sample: one generator serves it
    *_, last = ancestral(ask, x, torch.ones(()), steps, [generator], COSINE, greedy_last=False)
    return last.bits[0]


def samplers(states: Tensor) -> dict[str, Callable[[int, torch.Generator], Tensor]]:
    """Name -> (steps, generator) -> samples."""
    eta, settings = exact_eta(states), Settings()
    blank = lambda generator: coins(torch.full((SAMPLES, states.shape[1]), 0.5), generator)  # noqa: E731

    def with_copula(steps: int, generator: torch.Generator) -> Tensor:
        drawn = states[torch.randint(len(states), (SAMPLES,), generator=generator)]
        V = fit(eta, drawn, steps, settings, SCHEDULE, generator)
        return ours(eta, blank(generator), steps, generator, settings, V)

    return {
        "ours": lambda steps, generator: full_posterior(states, steps, generator),
        "ours_copula": with_copula,
        "diffusers": lambda steps, generator: diffusers_ddim(eta, blank(generator), steps, generator),
        "flow_matching": lambda steps, generator: flow_matching_euler(eta, blank(generator), steps, generator),
        "plug_in": lambda steps, generator: plug_in_sampler(eta, blank(generator), steps, generator),
        "absorbing": lambda steps, generator: absorbing(exact_reveal(states), blank(generator), steps, generator),
    }


def against(states: Tensor, x: Tensor) -> tuple[float, float]:
    """Share of samples that are one of the digits, and the total variation to the uniform law over them."""
    match = (x.float() @ states.float().T) == states.shape[1]
    share_K = match.double().mean(0)
    valid = float(share_K.sum())
    return valid, float((share_K - 1 / len(states)).abs().sum() + 1 - valid) / 2


def main() -> None:
    started, figures = time.monotonic(), []
    states = torch.unique(static_digits("train")[:STATES], dim=0)
    yy = kernel_mean(states, states)
    floor = states[torch.randint(len(states), (SAMPLES,), generator=torch.Generator().manual_seed(0))]
    figures += [
        Figure("tv_floor", against(states, floor)[1], "1", None, "lower"),
        Figure("mmd_floor", mmd(floor, states, yy), "1", None, "lower"),
    ]
    for name, sampler in samplers(states).items():
        for steps in STEPS:
            x = sampler(steps, torch.Generator().manual_seed(steps))
            valid, variation = against(states, x)
            figures += [
                Figure(f"exact_{name}_{steps}_steps", valid, "1", 1.0, "higher"),
                Figure(f"tv_{name}_{steps}_steps", variation, "1", 0.0, "lower"),
                Figure(f"mmd_{name}_{steps}_steps", mmd(x, states, yy), "1", 0.0, "lower"),
            ]
    report("oracle", figures, started)


if __name__ == "__main__":
    main()
