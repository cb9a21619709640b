"""Coins that fall together: x_0 drawn from its marginals with the correlations that training digits leave over.

The reverse sampler draws every bit of a step by itself, and with few steps that is its whole error (theorem.md). The
marginals stay the network's; what is added is a Gaussian copula of low rank for each step: x_0,i = +1 where z_i <
probit(eta_i), z = V f + sqrt(1 - |V|^2) e. V is fitted once to training digits, from the residuals that the network
leaves at that staleness, and costs no call of the network. Then every bit goes back to x_s through `channel.bridge`,
which is exact. Copulas for discrete diffusion: Liu et al. 2024 (there an autoregressive model supplies them).
Shapes: B samples, N bits, R rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from rivals import Eta, coins, cooled
from stale_diffusion.channel import Schedule, bridge, corrupt

CLAMP = 1e-4  # of eta where a probit or a residual is taken
RIDGE = 1e-4  # of a pair's evidence, so that pixels that are always black have no correlation
LARGEST = 0.95  # share of a bit's z that may be common


@dataclass(frozen=True)
class Settings:
    """Args: bend: the grid is sin(pi/2 (k / T)^bend) in rho; strength: of the copula, 0 is independent coins;
    rank: its factors; greedy: the last step takes the likelier value; temperature: of eta; fresh: share of the
    channel's own randomness between steps, 1 is `channel.bridge`, 0 keeps each bit until it takes x_0's value."""

    bend: float = 1.0
    strength: float = 1.0
    rank: int = 48
    greedy: bool = False
    temperature: float = 1.0
    fresh: float = 1.0


def correlations(calls: int, bend: float) -> list[float]:
    """rho before each step and at the end, 0 to 1; the first step asks nothing, so it is one more than calls."""
    return [math.sin(math.pi / 2 * (k / (calls + 1)) ** bend) for k in range(calls + 2)]


def factors(eta: Tensor, x_0: Tensor, rank: int) -> Tensor:
    """V (N, R): factor analysis of the latent residuals of bits x_0 (B, N) whose probabilities were eta.

    z given the bit has mean -phi(q) / eta for +1 and phi(q) / (1 - eta) for -1, q = probit(eta). The mean product of
    two bits' residuals is their latent correlation times phi^2 / (eta (1 - eta)) of both, to first order.
    """
    eta = eta.clamp(CLAMP, 1 - CLAMP)
    density = torch.exp(-(torch.special.ndtri(eta) ** 2) / 2) / math.sqrt(2 * math.pi)
    residual = torch.where(x_0 > 0, -density / eta, density / (1 - eta)).float()
    weight = (density**2 / (eta * (1 - eta))).float()
    correlation = (residual.T @ residual) / (weight.T @ weight + RIDGE * len(eta))
    common = torch.full((len(correlation),), 0.5)
    for _ in range(4):  # principal factors: the diagonal is what the factors explain
        correlation.diagonal().copy_(common)
        value, vector = torch.linalg.eigh(correlation)
        V = vector[:, -rank:] * value[-rank:].clamp(min=0).sqrt()
        common = V.square().sum(1).clamp(max=LARGEST)
    return V


def together(eta: Tensor, V: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Bits (B, N) int8 with marginals eta, drawn together."""
    V = V.double() * math.sqrt(strength)
    common = V.square().sum(1)
    V = V * (LARGEST / common.clamp(min=LARGEST)).sqrt()[:, None]
    common = V.square().sum(1)
    f = torch.randn(len(eta), V.shape[1], generator=generator, dtype=torch.float64)
    e = torch.randn(eta.shape, generator=generator, dtype=torch.float64)
    return torch.where(torch.special.ndtr(f @ V.T + (1 - common).sqrt() * e) < eta, 1, -1).to(torch.int8)


def fit(
    eta: Eta, x_0: Tensor, calls: int, settings: Settings, schedule: Schedule, generator: torch.Generator
) -> list[Tensor]:
    """V of every step, from training digits x_0 that are stale as the sampler's bits will be."""
    found = []
    for rho in correlations(calls, settings.bend)[:-1]:
        t = schedule.inverse(torch.tensor(rho, dtype=torch.float64))
        x_t = corrupt(x_0, t, generator, schedule)
        found.append(factors(eta(x_t, rho), x_0, settings.rank))
    return found


def ours(
    eta: Eta, x: Tensor, calls: int, generator: torch.Generator, settings: Settings, V: list[Tensor] | None
) -> Tensor:
    """Samples (B, N), one step more than there are calls for: at rho = 0 the network says one constant.

    Args:
        eta: asked for all samples once in every step but the first, there for one sample.
        x: gives the shape.
        V: of each step, from `fit`; None for independent coins.
    """
    grid = correlations(calls, settings.bend)
    for k, (rho_t, rho_s) in enumerate(pairwise(grid)):
        seen = eta(x[:1], 0.0).expand(x.shape) if k == 0 else eta(x, rho_t)
        seen = cooled(seen, settings.temperature)
        if k == len(grid) - 2 and settings.greedy:
            return torch.where(seen > 0.5, 1, -1).to(torch.int8)
        x_0 = coins(seen, generator) if V is None else together(seen, V[k], settings.strength, generator)
        x = back(x, x_0, rho_t, rho_s, settings.fresh, generator)
    return x


def back(x_t: Tensor, x_0: Tensor, rho_t: float, rho_s: float, fresh: float, generator: torch.Generator) -> Tensor:
    """x_s between x_t and x_0, with the channel's law at s: exactly the channel's path where `fresh` is 1.

    Where it is 0 a bit is x_t's until it becomes x_0's, with probability (rho_s - rho_t) / (1 - rho_t): the same law at
    every time, less noise on the way (a mixture path's). Between, that choice is made by a coin for every bit.
    """
    rho_t_, rho_s_ = torch.tensor([rho_t, rho_s], dtype=torch.float64)
    stirred = coins(bridge(x_t, x_0, rho_t_, rho_s_), generator)
    if fresh == 1:
        return stirred
    u = torch.rand(2, *x_t.shape, generator=generator, dtype=torch.float64)
    kept = torch.where(u[0] < (rho_s - rho_t) / (1 - rho_t), x_0, x_t)
    return torch.where(u[1] < fresh, stirred, kept)
