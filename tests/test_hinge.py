"""The cr-hinge against its definition: an integral over costs, a minimiser that is the true probability."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from stale_diffusion import hinge
from stale_diffusion.hinge import ARMS, Arm

ETAS = (0.001, 0.03, 0.2, 0.5, 0.51, 0.8, 0.999)
proper = pytest.mark.parametrize(
    "arm", [arm for arm in ARMS.values() if arm.name != "literal"], ids=lambda arm: arm.name
)


def f64(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_literal_hinge_is_equation_3() -> None:
    a, y = torch.tensor([-2.0, 0.0, 0.5, 1.0, 3.0, 0.5]), torch.tensor([1, 1, 1, 1, 1, -1])
    assert hinge.hinge(a, y).tolist() == [3, 1, 0.5, 0, 0, 1.5]


@pytest.mark.parametrize("a", [-3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 1.7, 2.0, 2.5])
@pytest.mark.parametrize("y", [-1, 1])
def test_closed_form_is_the_integral_of_the_cost_weighted_hinge(a: float, y: int) -> None:
    def weighted(c: float) -> float:
        return (1 - y * c) / 2 * float(hinge.hinge(f64(a - c), f64(y))) / 2  # density of c ~ U(-1, 1) is 1/2

    kink = [c for c in (a - y,) if -1 < c < 1]
    expected, _ = integrate.quad(weighted, -1, 1, points=kink or None)
    assert float(hinge.cr_hinge(f64(a), f64(y))) == pytest.approx(expected, abs=1e-12)


def test_closed_form_is_the_piecewise_polynomial() -> None:
    z = torch.linspace(-3, 3, 601, dtype=torch.float64)
    expected = np.where(z < 0, 1 / 3 - z / 2, np.where(z <= 2, (2 - z) ** 3 / 24, 0))
    assert np.allclose(hinge.cr_hinge(z, torch.ones(())), expected, atol=1e-15)


def test_convex_once_differentiable_gradient_at_most_half() -> None:
    z = torch.linspace(-3, 3, 6001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(hinge.cr_hinge(z, torch.ones(())).sum(), z)
    assert (slope.diff() >= -1e-15).all()  # convex, also at -4e-16, where 2 - z rounds to 2
    assert slope.diff().abs().max() < 1e-3  # no jump in the gradient on a grid of 1e-3
    assert slope.min() == -0.5
    assert slope.max() == 0
    at_joints = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(hinge.cr_hinge(at_joints, torch.ones(())).sum(), at_joints)
    assert slope.tolist() == [-0.5, 0]


def test_gradient_agrees_with_finite_differences() -> None:
    a = torch.tensor([-2.3, -0.4, 0.4, 1.6, 2.7], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1, -1, 1, -1, 1], dtype=torch.float64)
    for arm in ARMS.values():
        assert torch.autograd.gradcheck(arm.loss, (a, y))


@proper
@pytest.mark.parametrize("eta", ETAS)
def test_minimiser_reads_as_the_true_probability(arm: Arm, eta: float) -> None:
    def risk(a: float) -> float:
        return float(eta * arm.loss(f64(a), f64(1)) + (1 - eta) * arm.loss(f64(a), f64(-1)))

    best = optimize.minimize_scalar(risk, bounds=(-8, 8), method="bounded", options={"xatol": 1e-12})
    assert float(arm.probability(f64(best.x))) == pytest.approx(eta, abs=1e-5)


@pytest.mark.parametrize("eta", [0.2, 0.49, 0.51, 0.8])
def test_the_literal_hinge_cannot_sample(eta: float) -> None:
    """Its minimiser says which side is likelier and nothing else: the reason for the randomised cost."""
    grid = torch.linspace(-2, 2, 401, dtype=torch.float64)
    risk = eta * hinge.hinge(grid, f64(1)) + (1 - eta) * hinge.hinge(grid, f64(-1))
    assert float(hinge.LITERAL.probability(grid[risk.argmin()])) == float(eta > 0.5)


@given(st.floats(1e-6, 1 - 1e-6))
@settings(deadline=None)
def test_link_round_trip(eta: float) -> None:
    a = hinge.margin(f64(eta))
    assert -2 <= a <= 2
    assert float(hinge.probability(a)) == pytest.approx(eta, abs=1e-12)


@given(st.floats(-2, 2))
@settings(deadline=None)
def test_inverse_link_round_trip(a: float) -> None:
    assert float(hinge.margin(hinge.probability(f64(a)))) == pytest.approx(a, abs=1e-7)


def test_link_is_the_cost_at_which_the_sign_turns() -> None:
    """d risk / d a = 0 at margin(eta), from the closed form alone."""
    eta = torch.tensor(ETAS, dtype=torch.float64)
    a = hinge.margin(eta).requires_grad_()
    risk = eta * hinge.cr_hinge(a, torch.ones(())) + (1 - eta) * hinge.cr_hinge(a, -torch.ones(()))
    (slope,) = torch.autograd.grad(risk.sum(), a)
    assert slope.abs().max() < 1e-12


def test_margins_beyond_two_read_as_certain_and_log_odds_stay_finite() -> None:
    eta = hinge.probability(torch.tensor([-9.0, -2.0, 0.0, 2.0, 9.0]))
    assert eta.tolist() == [0, 0, 0.5, 1, 1]
    assert torch.allclose(hinge.log_odds(eta)[[0, -1]], torch.tensor([-1, 1]) * f64(np.log(1e6 - 1)), rtol=1e-9)


def test_loss_in_log_odds_is_bounded_on_the_wrong_side() -> None:
    """With l the log-odds of the true side: exp(-3 l / 2) / 3 for l >= 0, 4/3 - exp(l / 2) below."""
    l = torch.linspace(-8, 8, 33, dtype=torch.float64)
    expected = torch.where(l >= 0, torch.exp(-1.5 * l) / 3, 4 / 3 - torch.exp(l / 2))
    assert torch.allclose(hinge.cr_hinge(hinge.margin(torch.sigmoid(l)), torch.ones(())), expected, atol=1e-9)
