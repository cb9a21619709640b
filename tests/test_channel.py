"""The channel against brute force: every probability is recomputed by enumeration of all states."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stale_diffusion import channel
from stale_diffusion.channel import COSINE, SCHEDULES, bridge, corrupt, leave_one_out, posterior, to_full

T, S = torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
schedules = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda schedule: schedule.name)


def states(bits: int) -> Tensor:
    return torch.tensor(list(itertools.product((1, -1), repeat=bits)), dtype=torch.float64)


def law(bits: int, seed: int = 0) -> Tensor:
    weights = torch.rand(2**bits, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    return weights / weights.sum()


def transition(x_from: Tensor, x_to: Tensor, rho: Tensor) -> Tensor:
    """(K, N), (M, N) -> (K, M): the product of the bits' flip or stay probabilities."""
    return ((1 + rho * x_from[:, None] * x_to) / 2).prod(-1)


def exact_eta(x: Tensor, p: Tensor, rho: Tensor) -> Tensor:
    joint = p[:, None] * transition(x, x, rho)  # (x_0, x_t)
    return (joint / joint.sum(0)).T @ (x > 0).double()


@schedules
def test_correlation_falls_from_one_to_zero_only_at_the_end(schedule: channel.Schedule) -> None:
    rho = schedule.rho(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert rho[0] == 1
    assert rho[-1] == 0
    assert (rho.diff() < 0).all()


@schedules
@given(t=st.floats(0, 1))
@settings(deadline=None)
def test_inverse_returns_the_staleness(schedule: channel.Schedule, t: float) -> None:
    t_ = torch.tensor(t, dtype=torch.float64)
    assert torch.allclose(schedule.inverse(schedule.rho(t_)), t_, atol=2e-8)  # cosine: rho is flat at 0


def test_the_cosine_is_flat_at_zero_and_the_others_are_not() -> None:
    t = torch.tensor(1e-3, dtype=torch.float64)
    lost = {name: float(1 - schedule.rho(t)) for name, schedule in SCHEDULES.items()}
    assert lost["cosine"] < 2e-6
    assert min(lost["linear"], lost["square_root"]) > 4e-4


@schedules
def test_corrupt_has_the_correlation_it_promises(schedule: channel.Schedule) -> None:
    t = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
    x = torch.ones(100_000, 5, dtype=torch.int8)
    rotten = corrupt(x, t, torch.Generator().manual_seed(0), schedule)
    assert rotten.dtype == torch.int8
    assert (rotten[:, 0] == 1).all()
    measured = rotten.double().mean(0)
    assert torch.allclose(measured, schedule.rho(t), atol=4.5 / 100_000**0.5)


def test_corrupt_takes_a_staleness_per_token_and_repeats_itself() -> None:
    x = 1 - 2 * torch.randint(2, (3, 4, 8), generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None]
    one, two = (corrupt(x, t, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(one[:, 0::2], x[:, 0::2])
    assert not torch.equal(one[:, 1::2], x[:, 1::2])


@schedules
def test_bridge_is_bayes_rule(schedule: channel.Schedule) -> None:
    rho_t, rho_s = schedule.rho(T), schedule.rho(S)
    for x_t, x_0 in itertools.product((-1.0, 1.0), repeat=2):
        joint = {x_s: (1 + rho_s * x_0 * x_s) / 2 * (1 + rho_t / rho_s * x_s * x_t) / 2 for x_s in (-1, 1)}
        expected = joint[1] / (joint[1] + joint[-1])
        assert torch.allclose(bridge(torch.tensor(x_t), torch.tensor(x_0), rho_t, rho_s), expected, atol=1e-15)


def test_bridges_compose() -> None:
    """From t to s and on to u is the same as from t to u: the reverse process is one process, whatever its grid."""
    u = torch.tensor(0.15, dtype=torch.float64)
    rho_t, rho_s, rho_u = COSINE.rho(T), COSINE.rho(S), COSINE.rho(u)
    one = torch.tensor(1.0)
    for x_t, x_0 in itertools.product((-one, one), repeat=2):
        via = bridge(x_t, x_0, rho_t, rho_s)
        two_hops = via * bridge(one, x_0, rho_s, rho_u) + (1 - via) * bridge(-one, x_0, rho_s, rho_u)
        assert torch.allclose(two_hops, bridge(x_t, x_0, rho_t, rho_u), atol=1e-15)


@schedules
@pytest.mark.parametrize("s", [0.0, 0.4, 0.699])
def test_posterior_equals_brute_force(schedule: channel.Schedule, s: float) -> None:
    x, p = states(5), law(5)
    rho_t, rho_s = schedule.rho(T), schedule.rho(torch.tensor(s, dtype=torch.float64))
    p_s = p @ transition(x, x, rho_s)
    joint = p_s[:, None] * transition(x, x, rho_t / rho_s)  # (x_s, x_t)
    expected = (joint / joint.sum(0)).T @ (x > 0).double()
    assert torch.allclose(posterior(x, exact_eta(x, p, rho_t), rho_t, rho_s), expected, atol=1e-13)


def test_drawing_x_0_and_bridging_has_the_law_of_the_posterior() -> None:
    n, eta = 200_000, torch.tensor(0.3, dtype=torch.float64)
    rho_t, rho_s = COSINE.rho(T), COSINE.rho(S)
    generator, x_t = torch.Generator().manual_seed(0), torch.tensor(1.0)
    x_0 = torch.where(torch.rand(n, generator=generator) < eta, 1.0, -1.0)
    x_s = torch.rand(n, generator=generator) < bridge(x_t, x_0, rho_t, rho_s)
    assert abs(x_s.double().mean() - posterior(x_t, eta, rho_t, rho_s)) < 4.5 * 0.5 / n**0.5


def test_given_bits_are_copied_whatever_the_network_says() -> None:
    one = torch.ones((), dtype=torch.float64)
    x = torch.tensor([1.0, -1.0, 1.0, -1.0])
    eta = torch.tensor([0.0, 1.0, 0.5, 0.5])
    assert posterior(x, eta, one, one).tolist() == [1, 0, 1, 0]
    assert posterior(x, eta, COSINE.rho(T), COSINE.rho(T)).tolist() == [1, 0, 1, 0]


def test_leave_one_out_ignores_the_bit_itself() -> None:
    """The leave-one-out log-odds at x_t are those at x_t with that bit flipped, and they equal the enumerated ones."""
    x, p, rho = states(4), law(4), COSINE.rho(T)
    full = torch.logit(exact_eta(x, p, rho))
    loo = leave_one_out(full, x, rho)
    for bit in range(4):
        others = [i for i in range(4) if i != bit]
        joint = p[:, None] * transition(x[:, others], x[:, others], rho)
        expected = torch.logit((joint * (x[:, bit] > 0)[:, None]).sum(0) / joint.sum(0))
        assert torch.allclose(loo[:, bit], expected, atol=1e-12)
    assert torch.allclose(to_full(loo, x, rho), full)


def test_the_plug_in_of_the_mean_is_right_only_with_leave_one_out() -> None:
    x, p = states(4), law(4)
    rho_t, rho_s = COSINE.rho(T), COSINE.rho(S)
    eta = exact_eta(x, p, rho_t)
    exact = posterior(x, eta, rho_t, rho_s)
    loo_mean = 2 * torch.sigmoid(leave_one_out(torch.logit(eta), x, rho_t)) - 1
    assert torch.allclose(bridge(x, loo_mean, rho_t, rho_s), exact, atol=1e-13)
    assert (bridge(x, 2 * eta - 1, rho_t, rho_s) - exact).abs().max() > 0.01


def test_own_evidence_is_finite_for_given_bits() -> None:
    evidence = to_full(torch.zeros(2), torch.tensor([1.0, -1.0]), torch.ones(()))
    expected = torch.tensor([1 - channel.EDGE, channel.EDGE], dtype=torch.float64)
    assert torch.allclose(torch.sigmoid(evidence), expected, rtol=1e-9)


def test_probabilities_are_float64_for_inputs_of_any_type() -> None:
    """A 0-d float64 tensor does not promote a float32 one: every operand has to be converted."""
    x, rho = torch.ones(3, dtype=torch.float16), torch.tensor(0.5)
    for result in (bridge(x, x, rho, rho + 0.1), posterior(x, x, rho, rho + 0.1), leave_one_out(x, x, rho)):
        assert result.dtype == torch.float64
