"""The binary symmetric channel: how bits go stale, and the exact posterior that runs it backwards.

State: bits x in {-1, +1}. Staleness t in [0, 1]: 0 = given, 1 = uniform noise. Correlation rho(t) = E[x_t x_0] falls
strictly from 1 to 0; a bit flips with probability (1 - rho) / 2; correlations multiply: rho(t|s) = rho(t) / rho(s).
This is D3PM's uniform kernel (Austin et al. 2021) on two classes, first used by Sohl-Dickstein et al. (2015).

All tensors of one call broadcast, so every bit may have a staleness of its own. Whatever decides a flip is float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

EDGE = 1e-6
"""Probabilities are clamped to [EDGE, 1 - EDGE] wherever a logarithm or atanh follows."""


@dataclass(frozen=True)
class Schedule:
    """Correlation as a function of staleness, and back.

    Args:
        name: what a config calls it.
        rho: staleness t in [0, 1] -> correlation in [0, 1], strictly falling, exactly 1 at t = 0 and 0 at t = 1.
        inverse: correlation -> staleness.
    """

    name: str
    rho: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


# The sine of the complement is exactly 0 at t = 1 (cos(pi / 2) is 6e-17); 1 - rho ~ t^2 at 0, which Theorem 1 needs.
COSINE = Schedule(
    "cosine", lambda t: torch.sin((1 - t) * (math.pi / 2)), lambda rho: 1 - torch.asin(rho) * (2 / math.pi)
)
LINEAR = Schedule("linear", lambda t: 1 - t, lambda rho: 1 - rho)
SQUARE_ROOT = Schedule("square_root", lambda t: torch.sqrt(1 - t), lambda rho: 1 - rho**2)
SCHEDULES = {schedule.name: schedule for schedule in (COSINE, LINEAR, SQUARE_ROOT)}


def corrupt(x: Tensor, t: Tensor, generator: torch.Generator | None = None, schedule: Schedule = COSINE) -> Tensor:
    """Let bits go stale: each flips with probability (1 - rho(t)) / 2.

    Args:
        x: bits in {-1, +1}, any shape and dtype.
        t: staleness in [0, 1], broadcastable to x; where it is 0 the bit is copied.
        generator: drawn from on its own device, so that a seed means the same bits everywhere.
    """
    device = x.device if generator is None else generator.device
    u = torch.rand(x.shape, generator=generator, dtype=torch.float64, device=device).to(x.device)
    return torch.where(u < (1 - schedule.rho(t.double())) / 2, -x, x)


def bridge(x_t: Tensor, x_0: Tensor, rho_t: Tensor, rho_s: Tensor) -> Tensor:
    """P(x_s = +1 | x_t, x_0) for s <= t: proportional to (1 + a x_t)(1 + b x_0), a = rho_t / rho_s, b = rho_s.

    Where no staleness is lost (rho_t = rho_s, so also where the bit is given) x_t is copied: the formula is 0/0 there.
    """
    x_t, x_0, rho_t, rho_s = x_t.double(), x_0.double(), rho_t.double(), rho_s.double()
    a_x, b_x = rho_t / rho_s * x_t, rho_s * x_0
    plus, minus = (1 + a_x) * (1 + b_x), (1 - a_x) * (1 - b_x)
    return torch.where(rho_t == rho_s, (x_t + 1) / 2, plus / (plus + minus))


def posterior(x_t: Tensor, eta: Tensor, rho_t: Tensor, rho_s: Tensor) -> Tensor:
    """P(x_s = +1 | x_t) for s <= t, exact per bit: x_0 drawn from its full posterior, then bridged, summed over x_0.

    Args:
        x_t: bits in {-1, +1}.
        eta: full posterior P(x_0 = +1 | x_t), in [0, 1] (not leave-one-out), x_t's shape.
        rho_t, rho_s: correlations, rho_t <= rho_s, broadcastable to x_t.

    Returns:
        float64 in [0, 1], x_t's shape; eta where rho_s = 1 > rho_t, a copy of x_t where rho_s = rho_t.
    """
    eta, one = eta.double(), torch.ones((), dtype=torch.float64, device=x_t.device)
    return eta * bridge(x_t, one, rho_t, rho_s) + (1 - eta) * bridge(x_t, -one, rho_t, rho_s)


def leave_one_out(logit: Tensor, x_t: Tensor, rho: Tensor) -> Tensor:
    """Log-odds of x_0 given all *other* bits: full log-odds minus its own evidence, 2 atanh(rho) x_t; float64."""
    return logit.double() - _own_evidence(x_t, rho)


def to_full(logit: Tensor, x_t: Tensor, rho: Tensor) -> Tensor:
    """Inverse of `leave_one_out`: adds the bit's own evidence again (the channel's bits are independent)."""
    return logit.double() + _own_evidence(x_t, rho)


def _own_evidence(x_t: Tensor, rho: Tensor) -> Tensor:
    return 2 * torch.atanh(rho.double().clamp(max=1 - 2 * EDGE)) * x_t.double()
