"""The cr-hinge: the paper's loss (eq. 3), made able to sample by randomising its cost.

A hinge knows only which side is likelier. Draw a cost c ~ U(-1, 1), weigh a positive by (1 - c) / 2 and a negative by
(1 + c) / 2, and ask for the sign of a - c: the mean over c has a closed form in z = y a, convex and once
differentiable, and its minimiser determines eta = P(y = +1). Prior art: probabilities from weighted support vector
machines (Wang, Shen, Liu 2008); proper scores as mixtures of cost-weighted losses (Buja, Stuetzle, Shen 2005).

Every arm of an ablation has one signature: loss(margin, y) per element, probability(margin) and its inverse in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stale_diffusion.channel import EDGE


def hinge(margin: Tensor, y: Tensor) -> Tensor:
    """Eq. 3, literally: max(0, 1 - y a), per element, for labels y in {-1, +1}."""
    return F.relu(1 - y * margin)


def cr_hinge(margin: Tensor, y: Tensor) -> Tensor:
    """The cost-randomised hinge, per element, for labels y in {-1, +1}; gradient at most 1/2 in size.

    With z = y a: 1/3 - z/2 below 0, (2 - z)^3 / 24 up to 2, and 0 above.
    """
    z = y * margin
    return (2 - z.clamp(0, 2)) ** 3 / 24 + F.relu(-z) / 2


def odds_hinge(odds: Tensor, y: Tensor) -> Tensor:
    """The cost-randomised hinge of log-odds, per element: e^(-3l/2) / 3 for l = y odds >= 0, else 4/3 - e^(l/2).

    The same loss through the link. It is bounded, so its gradient dies where the network is confidently wrong; in
    return the channel's own evidence adds up with the network's as Bayes' rule adds log-odds.
    """
    l = y * odds
    return torch.where(l >= 0, torch.exp(-1.5 * l.clamp(min=0)) / 3, 4 / 3 - torch.exp(l.clamp(max=0) / 2))


def cross_entropy(margin: Tensor, y: Tensor) -> Tensor:
    """Logistic loss log(1 + exp(-y a)) in nats, per element; its link is the sigmoid."""
    return F.softplus(-y * margin)


def brier(margin: Tensor, y: Tensor) -> Tensor:
    """Brier score ((y - a) / 2)^2, per element; its link is (1 + a) / 2."""
    return ((y - margin) / 2) ** 2


def probability(margin: Tensor) -> Tensor:
    """The link, float64: eta = P(y = +1) = 1 / (1 + (1 - a/2)^2) for the minimiser 0 <= a <= 2, mirrored below 0."""
    odds_against = (1 - margin.double().abs() / 2).clamp(min=0) ** 2
    likelier = 1 / (1 + odds_against)
    return torch.where(margin < 0, 1 - likelier, likelier)


def margin(eta: Tensor) -> Tensor:
    """Inverse of `probability`, float64 in [-2, 2]: 2 (1 - sqrt((1 - eta) / eta)) for eta >= 1/2, mirrored below."""
    eta = eta.double()
    likelier = torch.maximum(eta, 1 - eta)
    return 2 * (1 - torch.sqrt((1 - likelier) / likelier)) * torch.sign(eta - 0.5)


def log_odds(eta: Tensor) -> Tensor:
    """log(eta / (1 - eta)), float64, with eta clamped to [EDGE, 1 - EDGE]; guidance adds these, never margins."""
    return torch.logit(eta.double(), eps=EDGE)


def _logit(eta: Tensor) -> Tensor:
    return torch.logit(eta.double(), eps=EDGE)


def _signed(eta: Tensor) -> Tensor:
    return 2 * eta.double() - 1


def _sigmoid(margin: Tensor) -> Tensor:
    return torch.sigmoid(margin.double())


def _linear(margin: Tensor) -> Tensor:
    return (1 + margin.double().clamp(-1, 1)) / 2


@dataclass(frozen=True)
class Arm:
    """A loss on +-1 labels with the link that reads its minimiser as a probability.

    Args:
        name: what a config calls it.
        loss: (margin, y) -> loss per element.
        probability: margin -> P(y = +1), float64, in [0, 1].
        margin: its inverse, float64.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    probability: Callable[[Tensor], Tensor]
    margin: Callable[[Tensor], Tensor]


CR_HINGE = Arm("cr_hinge", cr_hinge, probability, margin)
LITERAL = Arm("literal", hinge, _linear, _signed)  # not proper: at its minimum the margin is +-1 and this reads 0 or 1
CROSS_ENTROPY = Arm("cross_entropy", cross_entropy, _sigmoid, _logit)
BRIER = Arm("brier", brier, _linear, _signed)
ODDS_HINGE = Arm("odds_hinge", odds_hinge, _sigmoid, _logit)
ARMS = {arm.name: arm for arm in (CR_HINGE, ODDS_HINGE, LITERAL, CROSS_ENTROPY, BRIER)}
