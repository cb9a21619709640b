"""The digit benchmarks' arithmetic, on laws small enough to enumerate; nothing here needs the digits themselves."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stale_diffusion.channel import corrupt, leave_one_out
from stale_diffusion.hinge import ARMS
from stale_diffusion.sample import Denoiser
from stale_diffusion.sample import oracle as exact

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import calibration
import copula
import digit_bound
import digit_judge
import digit_training
import digits
import oracle
import peers
import rivals

STATES = torch.tensor([[1, 1, -1], [1, -1, 1], [-1, 1, 1], [-1, -1, -1]])
WEIGHTS = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
ENTROPY = float(torch.special.entr(WEIGHTS).sum())


def drawn(count: int) -> Tensor:
    """The law's states in its proportions."""
    return STATES.repeat_interleave((WEIGHTS * count).round().long(), dim=0)


def truth() -> Denoiser:
    return exact(STATES, WEIGHTS, digits.SCHEDULE)


def one_bit(p: float) -> Callable[[Tensor, float], Tensor]:
    """P(x_0 = +1 | x_t) of a single bit that is +1 with probability p."""

    def eta(x: Tensor, rho: float) -> Tensor:
        plus = p * (1 + rho * x.double())
        return plus / (plus + (1 - p) * (1 - rho * x.double()))

    return eta


def test_the_bound_of_a_perfect_denoiser_is_the_entropy() -> None:
    grid = torch.linspace(1, 0, 401, dtype=torch.float64)
    nats, error = digit_bound.bound(truth(), drawn(4000), grid, 20, torch.Generator().manual_seed(0))
    assert error < 0.02
    assert abs(nats - ENTROPY) < 4 * error + 0.005


def test_few_steps_cost_something_and_both_bounds_agree() -> None:
    grid = torch.linspace(1, 0, 5, dtype=torch.float64)
    some, error = digit_bound.bound(truth(), drawn(20_000), grid, 4, torch.Generator().manual_seed(1))
    every, error_2 = digit_bound.exact_bound(truth(), drawn(20_000), grid, torch.Generator().manual_seed(2))
    assert abs(some - every) < 4 * math.hypot(error, error_2)
    assert every > ENTROPY + 0.05


def test_the_rate_that_is_trained_on_is_the_bound() -> None:
    x_t, x_0, t = digit_training.stale(drawn(100_000), torch.Generator().manual_seed(3))
    full = torch.logit(truth()(x_t, t[:, None].expand(x_t.shape)), 1e-9)
    alone = leave_one_out(full, x_t, digits.SCHEDULE.rho(t)[:, None])
    rate = digit_training.bound_rate(alone.float(), x_t, x_0, t)
    assert float(rate.mean()) == pytest.approx(ENTROPY, abs=4 * float(rate.std()) / len(rate) ** 0.5)


def test_the_cheapest_path_is_found() -> None:
    cost = torch.rand(7, 7, generator=torch.Generator().manual_seed(4)).tril(-1)
    cost[cost == 0] = torch.inf
    for steps in (1, 2, 3, 6):
        between = itertools.combinations(range(5, 0, -1), steps - 1)
        price = {
            path: sum(float(cost[a, b]) for a, b in itertools.pairwise(path)) for path in ((6, *m, 0) for m in between)
        }
        assert tuple(digit_bound.shortest(cost, steps)) == min(price, key=lambda path: price[path])


def test_a_fitted_grid_is_no_worse_than_an_even_one() -> None:
    x_0 = drawn(4000)
    fitted = digit_bound.fitted_grid(truth(), x_0, [3], torch.Generator().manual_seed(5), points=12)[3]
    assert fitted[0] == 1 and fitted[-1] == 0 and (fitted.diff() < 0).all()
    even = torch.linspace(1, 0, 4, dtype=torch.float64)
    bounds = [digit_bound.exact_bound(truth(), x_0, g, torch.Generator().manual_seed(6))[0] for g in (fitted, even)]
    assert bounds[0] < bounds[1] + 0.02


@pytest.mark.parametrize("name", ["diffusers_ddim", "absorbing", "ours"])
@pytest.mark.parametrize("calls", [1, 3])
def test_one_bit_has_the_right_law_after_any_number_of_steps(name: str, calls: int) -> None:
    """A rule that is right per bit is exact where there is but one."""
    p, x, generator = 0.8, torch.ones(40_000, 1, dtype=torch.int8), torch.Generator().manual_seed(7)
    x = rivals.coins(torch.full(x.shape, 0.5), generator)
    if name == "ours":
        found = copula.ours(one_bit(p), x, calls, generator, copula.Settings(fresh=0.5), None)
    elif name == "absorbing":
        found = rivals.absorbing(lambda x, t: torch.full(x.shape, p, dtype=torch.float64), x, calls, generator)
    else:
        pytest.importorskip("diffusers")
        found = rivals.diffusers_ddim(one_bit(p), x, calls, generator)
    assert float((found > 0).double().mean()) == pytest.approx(p, abs=0.01)


def test_the_euler_solver_comes_near_with_steps() -> None:
    """Its jumps are of first order in the step, so even one bit is only right in the limit."""
    pytest.importorskip("flow_matching")
    generator, share = torch.Generator().manual_seed(7), {}
    for calls in (1, 3, 30):
        x = rivals.coins(torch.full((40_000, 1), 0.5), generator)
        share[calls] = float((rivals.flow_matching_euler(one_bit(0.8), x, calls, generator) > 0).double().mean())
    assert share[1] == pytest.approx(0.8, abs=0.01)
    assert share[30] == pytest.approx(0.8, abs=0.01)


def test_the_plug_in_is_wrong_even_for_one_bit() -> None:
    generator, law = torch.Generator().manual_seed(8), one_bit(0.8)
    x = rivals.coins(torch.full((40_000, 1), 0.5), generator)
    found = oracle.plug_in_sampler(law, x, 3, generator)
    assert abs(float((found > 0).double().mean()) - 0.8) > 0.03


def test_a_rule_that_is_certain_gives_its_bits() -> None:
    """All rules agree where there is nothing to draw."""
    sure = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    generator, x = torch.Generator().manual_seed(9), torch.ones(5, 3, dtype=torch.int8)
    for schedule in rivals.BLD_SCHEDULES:
        found = rivals.binary_latent_diffusion(lambda x, _: sure.expand(x.shape), x, 4, generator, schedule)
        assert (found == torch.tensor([1, -1, 1])).all()


def test_coins_fall_together_and_keep_their_marginals() -> None:
    """Two equal bits: what independent coins get wrong half of the time."""
    generator = torch.Generator().manual_seed(10)
    x_0 = rivals.coins(torch.full((20_000, 1), 0.3), generator).expand(-1, 2)
    eta = torch.full(x_0.shape, 0.3, dtype=torch.float64)
    V = copula.factors(eta, x_0, rank=1)
    found = copula.together(eta, V, 1.0, generator)
    assert (found > 0).double().mean(0) == pytest.approx(torch.full((2,), 0.3), abs=0.015)
    assert float((found[:, 0] == found[:, 1]).double().mean()) > 0.85  # independent: 0.58
    apart = copula.together(eta, V, 0.0, generator)
    assert float((apart[:, 0] == apart[:, 1]).double().mean()) == pytest.approx(0.58, abs=0.02)


@pytest.mark.parametrize("fresh", [0.0, 0.5, 1.0])
def test_the_way_back_has_the_channels_law(fresh: float) -> None:
    generator = torch.Generator().manual_seed(11)
    x_0 = torch.ones(40_000, 1, dtype=torch.int8)
    t = digits.SCHEDULE.inverse(torch.tensor(0.3, dtype=torch.float64))
    x_t = corrupt(x_0, t, generator, digits.SCHEDULE)
    x_s = copula.back(x_t, x_0, 0.3, 0.7, fresh, generator)
    assert float((x_s * x_0).double().mean()) == pytest.approx(0.7, abs=0.015)


def test_mmd_and_frechet_know_equals_from_strangers() -> None:
    torch.manual_seed(12)
    x, y = (torch.where(torch.rand(300, digits.BITS) < p, 1, -1).to(torch.int8) for p in (0.2, 0.4))
    judge = digit_judge.Judge()
    yy = digit_judge.kernel_mean(y, y)
    assert digit_judge.mmd(y, y, yy) == pytest.approx(0, abs=1e-3)
    assert digit_judge.mmd(x, y, yy) > 0.1
    by_hand = torch.exp(-(x[:9, None] != y[None, :7]).double().mean(-1)).mean()
    assert digit_judge.kernel_mean(x[:9], y[:7]) == pytest.approx(float(by_hand), abs=1e-6)
    a, b = digit_judge.moments(judge, x), digit_judge.moments(judge, y)
    assert digit_judge.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert digit_judge.frechet(a, b) > 0


def test_frechet_of_two_known_normal_laws() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    assert digit_judge.frechet((zero, eye), (one, 4 * eye)) == pytest.approx(3 + 3)


def test_a_calibrated_coin_has_no_calibration_error() -> None:
    torch.manual_seed(13)
    eta = torch.rand(200_000, dtype=torch.float64)
    x_0 = torch.where(torch.rand_like(eta) < eta, 1, -1)
    assert calibration.curve(eta, x_0, 0.5).error < 0.005
    assert calibration.curve(eta**2, x_0, 0.5).error > 0.1


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    eta = torch.rand(1000, generator=torch.Generator().manual_seed(14))
    one = calibration.curve(eta, torch.where(eta > 0.5, 1, -1), 0.5)
    calibration.picture({"an_arm": [one] * len(calibration.STALENESS)}, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", list(ARMS))
def test_before_training_an_arm_says_what_the_channel_says(name: str) -> None:
    rho, x = 0.6, torch.tensor([[1.0, -1.0]])
    t = digits.SCHEDULE.inverse(torch.tensor([[rho]]))
    found = ARMS[name].probability(digits.channel_margin(ARMS[name], x, t))
    assert torch.allclose(found, torch.tensor([[0.8, 0.2]], dtype=torch.float64), atol=1e-5)


def test_training_learns_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank page against a full one; the second run goes on where the first ended."""
    monkeypatch.setattr(digit_training, "compiled", lambda function: function)
    monkeypatch.setattr(digit_training, "REPORT", 10)
    ticks = itertools.count()  # a clock of its own: a hundred steps on any machine
    monkeypatch.setattr(digit_training.time, "process_time", lambda: next(ticks) * 0.09)
    shape = digits.Shape(fine=8, middle=8, coarse=8, down=1, up=1, bottom=1)
    pages = torch.ones(64, digits.BITS, dtype=torch.int8)
    pages[32:] = -1
    recipe = digit_training.Recipe(0.15, shape, batch=16)
    args = (lambda _: pages, digit_training.bound_rate, tmp_path, pages)
    network = digit_training.train(recipe, *args)
    after = digit_training.held_out(network, digit_training.bound_rate, pages)[0]
    before = digit_training.held_out(digits.UNet(shape), digit_training.bound_rate, pages)[0]
    assert after < 0.7 * before
    run = digit_training.Run.open(recipe, tmp_path, None)
    assert run.step > 0 and run.spent >= 9
    assert all(
        torch.equal(a, b) for a, b in zip(run.mean.state_dict().values(), network.state_dict().values(), strict=True)
    )


def test_weights_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "WEIGHTS", tmp_path)
    network = digits.UNet(digits.Shape(fine=8, middle=8, coarse=8, down=1, up=1, bottom=1))
    digits.save_weights("some", {"a.b": network, "c": network})
    found = digits.load_weights("some")
    assert set(found) == {"a.b", "c"} and found["c"].shape == network.shape
    for name, value in network.state_dict().items():
        back = found["a.b"].state_dict()[name]
        largest = value.abs().amax(-1, keepdim=True)
        assert bool(((value - back).abs() <= largest / 250 + 1e-3 * value.abs()).all())


def test_the_weights_that_ship_load_and_answer() -> None:
    for name in ("mnist", "digits"):
        for network in digits.load_weights(name).values():
            with torch.no_grad():
                out = network(torch.ones(2, digits.BITS), torch.tensor([0.3, 1.0]))
            assert out.shape == (2, digits.BITS) and bool(out.isfinite().all())
    judge, sha = digit_judge.load_judge()
    assert judge(torch.ones(2, digits.BITS)).shape == (2, 10) and len(sha) == 16


def test_everyone_samples_with_the_settings_that_ship() -> None:
    pytest.importorskip("diffusers")
    pytest.importorskip("flow_matching")
    settings = json.loads(peers.TUNED.read_text())
    training = rivals.coins(torch.full((40, digits.BITS), 0.3), torch.Generator().manual_seed(15))
    for name, make in peers.makers(peers.etas(), training).items():
        x = make(3, 4, torch.Generator().manual_seed(16), settings[name]["4"])
        assert x.shape == (3, digits.BITS) and set(x.unique().tolist()) <= {-1, 1}


def test_the_ratio_has_its_error() -> None:
    value, error = peers.ratio([1.0, 2.0, 3.0], [4.0, 4.0, 4.0])
    assert value == 0.5
    assert error == pytest.approx(0.5 * (1 / 2) / 3**0.5)
    assert peers.ratio([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]) == (1.0, 0.0)
