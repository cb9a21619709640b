"""Other people's samplers of bits, on one denoiser: same bits, same network, same number of network calls.

Two are their authors' code (`diffusers`, `flow_matching`), two are update rules written down again from the paper or
the published code: Binary Latent Diffusion (Wang et al. 2023) and masked diffusion (Sahoo et al. 2024). The first three
need P(x_0 | x_t) at a correlation rho and nothing else: the uniform mixture path with kappa is the binary
symmetric channel with rho = kappa, and so is D3PM's uniform kernel with alpha = rho.
Shapes: B samples, N bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from stale_diffusion.channel import EDGE

Eta = Callable[[Tensor, float], Tensor]
"""(bits x_t (B, N) in {-1, +1}, correlation rho in [0, 1]) -> P(x_0 = +1 | x_t), (B, N) float64."""


def cooled(eta: Tensor, temperature: float) -> Tensor:
    """Probabilities whose log-odds are divided by a temperature."""
    return torch.sigmoid(torch.logit(eta, EDGE) / temperature) if temperature != 1 else eta


def coins(probability: Tensor, generator: torch.Generator) -> Tensor:
    """+1 with this probability, else -1; int8."""
    u = torch.rand(probability.shape, generator=generator, dtype=torch.float64)
    return torch.where(u < probability, 1, -1).to(torch.int8)


def diffusers_ddim(
    eta: Eta, x: Tensor, calls: int, generator: torch.Generator, temperature: float = 1.0, corrector: int = 0
) -> Tensor:
    """`diffusers.DiscreteDDIMScheduler`; with `corrector` bits redrawn after each step, at the price of a second call.

    The last step has no corrector (the bits are clean), so an odd call is left over: it goes to the predictor.
    """
    from diffusers import DiscreteDDIMScheduler

    scheduler = DiscreteDDIMScheduler(corrector_k=max(1, corrector))
    steps = (calls + 1) // 2 if corrector else calls
    sweeps = calls - steps
    scheduler.set_timesteps(steps)
    token = (x > 0).long()
    for step in range(steps):
        logits = _logits(eta(2 * token - 1, step / steps))
        token = scheduler.step(logits, step, token, temperature=temperature, generator=generator).prev_sample
        if step + 1 < steps and step < sweeps:
            logits = _logits(eta(2 * token - 1, (step + 1) / steps))
            token = scheduler.step_correct(logits, step, token, generator=generator).prev_sample
    return (2 * token - 1).to(torch.int8)


def _logits(eta: Tensor) -> Tensor:
    logit = torch.logit(eta, EDGE)
    return torch.stack([torch.zeros_like(logit), logit], dim=-1)


def flow_matching_euler(
    eta: Eta,
    x: Tensor,
    calls: int,
    generator: torch.Generator,
    power: float = 1.0,
    div_free: float = 0.0,
    temperature: float = 1.0,
) -> Tensor:
    """`flow_matching`'s MixtureDiscreteProbPath, uniform source, MixtureDiscreteEulerSolver, kappa = t^power.

    Its solver draws from the global generator, which is seeded from ours. Its divergence-free term is 0/0 at t = 0.
    """
    from flow_matching.path import MixtureDiscreteProbPath
    from flow_matching.path.scheduler import PolynomialConvexScheduler
    from flow_matching.solver import MixtureDiscreteEulerSolver
    from flow_matching.utils import ModelWrapper

    class Posterior(ModelWrapper):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            probability = cooled(eta(2 * x - 1, float(t[0]) ** power), temperature).clamp(0, 1)
            return torch.stack([1 - probability, probability], dim=-1)

    path, half = MixtureDiscreteProbPath(PolynomialConvexScheduler(power)), torch.full((2,), 0.5)
    solver = MixtureDiscreteEulerSolver(Posterior(None), path, 2, half)
    grid = torch.linspace(0 if div_free == 0 else 1e-3, 1, calls + 1)
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    token = solver.sample((x > 0).long(), step_size=None, time_grid=grid, div_free=div_free)
    return (2 * token - 1).to(torch.int8)


BLD_SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: 1 - t,
    "cos": lambda t: 0.5 + 0.5 * math.cos(math.pi * t),
    "sigmoid": lambda t: (_squash(3) - _squash(3 * t)) / (_squash(3) - _squash(0)),
}
"""Correlation at time t in [0, 1], as in the published code."""


def _squash(z: float) -> float:
    return 1 / (1 + math.exp(-z / 0.8))


def binary_latent_diffusion(
    eta: Eta, x: Tensor, calls: int, generator: torch.Generator, schedule: str = "linear", temperature: float = 1.0
) -> Tensor:
    """The rule of Binary Latent Diffusion: eta itself is put through the channel in the place of x_0, times the
    likelihood of x_t, normalised; in the last step the likelier value is taken."""
    rho = BLD_SCHEDULES[schedule]
    for step in range(calls, 0, -1):
        rho_t, rho_s = max(0.0, rho(step / calls)), rho((step - 1) / calls)
        guess = 2 * cooled(eta(x, rho_t), temperature) - 1
        x = (
            torch.where(guess > 0, 1, -1).to(torch.int8)
            if step == 1
            else coins(plug_in(x, guess, rho_t, rho_s), generator)
        )
    return x


def plug_in(x_t: Tensor, mean: Tensor, rho_t: float, rho_s: float) -> Tensor:
    """P(x_s = +1) with the mean of x_0 put in its place: `channel.bridge`, at a value that is not a bit."""
    a, b = rho_t / rho_s * x_t.double(), rho_s * mean.double()
    plus, minus = (1 + a) * (1 + b), (1 - a) * (1 - b)
    return plus / (plus + minus).clamp(min=1e-300)


def absorbing(
    reveal: Callable[[Tensor, float], Tensor],
    x: Tensor,
    calls: int,
    generator: torch.Generator,
    schedule: str = "linear",
    temperature: float = 1.0,
) -> Tensor:
    """Masked diffusion's ancestral rule (MDLM): a hidden bit is shown with probability (alpha_s - alpha_t) / (1 -
    alpha_t) and then drawn from the network; what is shown stays. Needs a network of its own.

    Args:
        reveal: (bits (B, N), 0 where hidden, share t that is hidden) -> P(x_0 = +1), float64.
    """
    hidden = {"linear": lambda t: t, "cosine": lambda t: 1 - math.cos(math.pi / 2 * t)}[schedule]
    x = torch.zeros_like(x)
    for step in range(calls, 0, -1):
        t, s = hidden(step / calls), hidden((step - 1) / calls)
        drawn = coins(cooled(reveal(x, t), temperature), generator)
        shown = torch.rand(x.shape, generator=generator, dtype=torch.float64) < 1 - s / t
        x = torch.where((x == 0) & shown, drawn, x)
    return x
