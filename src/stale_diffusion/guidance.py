"""Eq. 1: sup DoG(y_o), subject to xz bits / 50 cents >= 1. Difference-of-Gaussians guidance, and the budget.

Shapes: B movies, L tokens of a stream on a grid (time, rows, columns), D bits, T frames, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stale_diffusion.errors import StaleError
from stale_diffusion.streams import STREAMS

NARROW, WIDE = 0.7, 1.4  # standard deviations of the two Gaussians, tokens
_REACH = 6  # taps to each side: beyond three standard deviations of the widest
PLACED = {s.name: s.grid for s in STREAMS if s.sense in ("sight", "hearing") or s.name == "touch.vibration"}
"""Streams whose tokens lie in time or place, so that there are neighbours to differ from."""


def _kernel(sigma: float, device: torch.device) -> Tensor:
    x = torch.arange(-_REACH, _REACH + 1, device=device, dtype=torch.float64)
    weights = torch.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def _blur(x_BTRCD: Tensor, sigma: float) -> Tensor:
    """Gaussian along time, rows and columns, edges repeated."""
    for axis in (1, 2, 3):
        if x_BTRCD.shape[axis] > 1:
            moved = x_BTRCD.movedim(axis, -1)
            flat = F.pad(moved.reshape(-1, 1, moved.shape[-1]), (_REACH, _REACH), mode="replicate")
            blurred = F.conv1d(flat, _kernel(sigma, x_BTRCD.device)[None, None])
            x_BTRCD = blurred.reshape(moved.shape).movedim(-1, axis)
    return x_BTRCD


def dog(log_odds_BLD: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """The Difference-of-Gaussians band over time and place, G(0.7) - G(1.4) tokens, float64, (B, L, D)."""
    b, _, d = log_odds_BLD.shape
    x = log_odds_BLD.double().reshape(b, *grid, d)
    return (_blur(x, NARROW) - _blur(x, WIDE)).reshape(log_odds_BLD.shape)


def sharpened(log_odds: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
    """Log-odds {stream: (B, L, D)} with `weight` times their band added, where tokens have neighbours (eq. 1)."""
    return {
        name: odds + weight * dog(odds, PLACED[name]) if name in PLACED and odds.shape[1] == math.prod(PLACED[name])
        else odds
        for name, odds in log_odds.items()
    }  # fmt: skip


def guided(log_odds_BLD: Tensor, weight: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022), of log-odds with the plot (first half of B) and without."""
    with_plot, without = log_odds_BLD.chunk(2)
    return without + weight * (with_plot - without)


def energy(frames_THWC: NDArray[np.uint8]) -> float:
    """DoG energy of a picture: root mean square of the band between 1 and 2 pixels of luma, of [0, 255]."""
    luma = torch.from_numpy(np.asarray(frames_THWC, np.float64) @ np.array([0.2126, 0.7152, 0.0722]))
    x = luma[:, None, :, :, None]
    return float((_blur(x, 1.0) - _blur(x, 2.0)).square().mean().sqrt())


@dataclass(frozen=True)
class Plan:
    """What a budget buys.

    Args:
        steps: of the reverse process a segment.
        candidates: movies of which the best is kept.
    """

    steps: int
    candidates: int


def plan(dollars: float, price: float, seconds_a_step: float, segments: int, steps: int, candidates: int) -> Plan:
    """As many of the wanted steps and candidates as a budget buys; candidates give way before steps do.

    A fifth is kept in hand, because a machine is not equally fast at all times.

    Args:
        dollars: the budget. price: dollars an hour of this machine.
        seconds_a_step: of one step of one segment, measured.

    Raises:
        StaleError: not even one step a segment can be paid.
    """
    if not dollars > 0:
        raise StaleError(f"A budget of {dollars} dollars buys nothing.", mend="--budget 0.50", usage=True)
    affordable = 0.8 * dollars * 3600 / max(price, 1e-12) / (seconds_a_step * segments)
    if affordable < 1:
        least = seconds_a_step * segments * price / 3600 / 0.8
        why = f"One step a segment costs about ${least:.2g} here, at ${price:g} an hour."
        raise StaleError(
            f"${dollars:g} does not buy this movie.", why, f"--budget {1.5 * least:.2g}, or fewer --seconds"
        )
    kept = max(1, min(candidates, int(affordable // steps)))
    return Plan(steps if affordable >= steps else int(affordable), kept)


def check_keshas(keshas: float, minimum: float) -> None:
    """Eq. 1's constraint: xz bits per 50 cents, at least.

    Raises:
        StaleError: the movie holds too little for its price.
    """
    if keshas < minimum:
        why = f"Eq. 1 asks for at least {minimum:,.6g} Ke$has (xz bits per 50 cents)."
        mend = "Fewer --steps make it cheaper, a cheaper machine too (--price); or lower --min-kesha."
        raise StaleError(f"This movie is worth {keshas:,.6g} Ke$has.", why, mend)
