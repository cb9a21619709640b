"""Theorem 1 and the paper's appendices B, C and D, by enumeration: no sampling, no network (docs/theorem.md)."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from stale_diffusion.channel import COSINE, LINEAR, SCHEDULES, Schedule, posterior
from stale_diffusion.sample import oracle

TWO_EQUAL_BITS = torch.tensor([0.5, 0, 0, 0.5], dtype=torch.float64)
schedules = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=lambda schedule: schedule.name)


def states(bits: int) -> Tensor:
    return torch.tensor(list(itertools.product((1, -1), repeat=bits)), dtype=torch.float64)


def law(bits: int, seed: int, holes: float = 0.0) -> Tensor:
    """A random law on 2^bits states, without support on about this share of all but the first three of them."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(2**bits, generator=generator, dtype=torch.float64) ** 3
    weights[3:] *= torch.rand(2**bits - 3, generator=generator) >= holes
    return weights / weights.sum()


def output(p: Tensor, steps: int, schedule: Schedule) -> Tensor:
    """Exact law of the reverse sampler with exact marginals: the product of transition matrices, from the uniform."""
    x = states(len(p).bit_length() - 1)
    denoiser, q = oracle(x, p, schedule), torch.full_like(p, 1 / len(p))
    for step in range(steps, 0, -1):
        t, s = (torch.full((), k / steps, dtype=torch.float64) for k in (step, step - 1))
        plus = posterior(x, denoiser(x, t.expand(x.shape)), schedule.rho(t), schedule.rho(s))  # (x_t, bit)
        kernel = torch.ones(len(x), 1, dtype=torch.float64)  # (x_t, x_s), built bit by bit
        for bit in plus.T[:, :, None, None]:
            kernel = (kernel[:, :, None] * torch.cat([bit, 1 - bit], dim=2)).flatten(1)
        q = q @ kernel
    return q


def total_variation(p: Tensor, q: Tensor) -> float:
    return float((p - q).abs().sum() / 2)


def errors(p: Tensor, steps: list[int], schedule: Schedule) -> list[float]:
    return [total_variation(output(p, n, schedule), p) for n in steps]


def slope(steps: list[int], error: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(error), 1)[0])


def bound(bits: int, steps: int, schedule: Schedule) -> float:
    """The theorem's right-hand side: 2 D (D - 1) 3^(D - 2) * sum of (rho_s - rho_t)^2 / (1 - rho_t)."""
    rho = schedule.rho(torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    total = float(((rho[:-1] - rho[1:]) ** 2 / (1 - rho[1:])).sum())
    return 2 * bits * (bits - 1) * 3.0 ** (bits - 2) * total


@pytest.mark.parametrize("holes", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("bits", [3, 5, 7])
def test_theorem_1_rate_is_one_over_steps(bits: int, holes: float) -> None:
    """Appendix B. Cosine: the error falls as 1/T, with or without full support."""
    steps = [32, 64, 128, 256]
    error = errors(law(bits, seed=bits + 10, holes=holes), steps, COSINE)
    assert slope(steps, error) < -0.95


def test_theorem_1_on_twelve_bits() -> None:
    """4,096 states: three independent blocks of four bits each, without support on half of each block's states."""
    blocks, steps = [law(4, seed, holes=0.5) for seed in (1, 2, 3)], [16, 32, 64, 128]

    def joint(parts: list[Tensor]) -> Tensor:
        return torch.kron(torch.kron(parts[0], parts[1]), parts[2])

    error = [total_variation(joint([output(p, n, COSINE) for p in blocks]), joint(blocks)) for n in steps]
    assert len(joint(blocks)) == 4096
    assert slope(steps, error) < -0.95
    assert error[-1] < 0.01


@schedules
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_the_bound_of_the_proof_holds(bits: int, schedule: Schedule) -> None:
    for steps in (1, 4, 16, 64):
        for holes in (0.0, 0.7):
            p = law(bits, seed=bits, holes=holes)
            assert total_variation(output(p, steps, schedule), p) <= bound(bits, steps, schedule)


@schedules
def test_every_schedule_converges(schedule: Schedule) -> None:
    """The largest step decides, not its shape: each falls, the linear one too."""
    error = errors(law(6, seed=6, holes=0.5), [4, 16, 64, 256], schedule)
    assert error == sorted(error, reverse=True)
    assert error[-1] < 0.01


@schedules
def test_one_bit_is_exact_at_every_number_of_steps(schedule: Schedule) -> None:
    p = torch.tensor([0.85, 0.15], dtype=torch.float64)
    assert max(errors(p, [1, 2, 7], schedule)) < 1e-15


@schedules
def test_appendix_c_two_equal_bits_at_one_step(schedule: Schedule) -> None:
    """The finite-T counterexample: one step draws the two bits independently, and TV is exactly 1/2."""
    assert output(TWO_EQUAL_BITS, 1, schedule).tolist() == [0.25] * 4
    assert total_variation(output(TWO_EQUAL_BITS, 1, schedule), TWO_EQUAL_BITS) == 0.5


@schedules
def test_appendix_d_the_counterexample_vanishes(schedule: Schedule) -> None:
    error = errors(TWO_EQUAL_BITS, [1, 2, 4, 8, 16, 32, 64, 128], schedule)
    assert all(late < 0.75 * early for early, late in itertools.pairwise(error))
    assert error[-1] < 0.01


def test_linear_schedule_without_full_support_loses_a_logarithm() -> None:
    """One bit of three is set: T times TV settles with the cosine and grows like log T with the linear schedule.

    The growth per octave, 0.2924 / 2 * log 2, is predicted in docs/theorem.md.
    """
    one_hot = torch.zeros(8, dtype=torch.float64)
    one_hot[[3, 5, 6]] = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    steps = [128, 256, 512, 1024]
    linear = np.array(steps) * errors(one_hot, steps, LINEAR)
    cosine = np.array(steps) * errors(one_hot, steps, COSINE)
    assert np.allclose(np.diff(linear), 0.2924 / 2 * np.log(2), rtol=0.02)
    assert np.abs(np.diff(cosine)).max() < 0.003


def test_linear_schedule_with_full_support_does_not() -> None:
    p, steps = law(5, seed=5) * 0.9 + 0.1 / 32, [64, 128, 256, 512]
    growth = np.diff(np.array(steps) * errors(p, steps, LINEAR))
    assert (np.abs(growth[1:]) < 0.7 * np.abs(growth[:-1])).all()  # a geometric series: it settles


def test_a_plug_in_of_the_mean_does_not_converge() -> None:
    """The control: the posterior mean put in the place of a drawn x_0 keeps its error however many steps it takes."""
    p, x = law(4, seed=1, holes=0.5), states(4)
    exact = total_variation(output(p, 128, COSINE), p)
    denoiser, q = oracle(x, p), torch.full_like(p, 1 / 16)
    for step in range(128, 0, -1):
        rho_t, rho_s = (COSINE.rho(torch.full((), k / 128, dtype=torch.float64)) for k in (step, step - 1))
        mean = 2 * denoiser(x, torch.full(x.shape, step / 128)) - 1
        a_x, b_x = rho_t / rho_s * x, rho_s * mean
        plus = (1 + a_x) * (1 + b_x) / ((1 + a_x) * (1 + b_x) + (1 - a_x) * (1 - b_x))
        q = q @ torch.where(x[None] > 0, plus[:, None], 1 - plus[:, None]).prod(-1)
    assert total_variation(q, p) > 20 * exact
