"""The sampler against enumeration: chi-square, batch-size invariance, given bits, resuming."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from scipy import stats
from torch import Tensor

from stale_diffusion.channel import COSINE, LINEAR, corrupt
from stale_diffusion.errors import StaleError
from stale_diffusion.sample import SAMPLERS, Step, ancestral, corrected, gibbs, oracle, pack, renoised, unpack

Sampler = Callable[..., Iterator[Step]]


def states(bits: int) -> Tensor:
    return torch.tensor(list(itertools.product((-1, 1), repeat=bits)), dtype=torch.int8)


def law(bits: int, seed: int) -> Tensor:
    weights = 0.05 + torch.rand(2**bits, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return weights / weights.sum()


def seeds(values: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(value) for value in values]


def index_of(x: Tensor) -> Tensor:
    """Row number in `states` of each (..., N)."""
    place = 2 ** torch.arange(x.shape[-1] - 1, -1, -1)
    return ((x > 0).long() * place).sum(-1)


def run(x: Tensor, t_start: Tensor, generators: list[torch.Generator], steps: int = 8, **options: object) -> list[Step]:
    bits = x.shape[-1]
    return list(ancestral(oracle(states(bits), law(bits, 0)), x, t_start, steps, generators, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("blocks", [[6], [8], [4, 4, 4]], ids=["6 bits", "8 bits", "12 bits"])
def test_samples_follow_the_law(blocks: list[int]) -> None:
    """Chi-square against the enumerated law, with steps enough that the O(1/T) of Theorem 1 is below the noise.

    The 4,096 probabilities of 12 bits are products over three blocks, whose posteriors are enumerated block by block.
    """
    laws = [law(bits, seed) for seed, bits in enumerate(blocks)]
    oracles = [oracle(states(bits), p) for bits, p in zip(blocks, laws, strict=True)]
    n, bits, p = 10_000, sum(blocks), torch.ones(1, dtype=torch.float64)
    for part in laws:
        p = torch.kron(p, part)

    def denoiser(x: Tensor, t: Tensor) -> Tensor:
        parts = zip(oracles, x.split(blocks, dim=-1), t.split(blocks, dim=-1), strict=True)
        return torch.cat([denoise(x, t) for denoise, x, t in parts], dim=-1)

    x = torch.ones(1, n, bits, dtype=torch.int8)  # one generator for all of them: fast
    *_, last = ancestral(denoiser, x, torch.ones(()), 100, seeds([1]), greedy_last=False)
    counts = index_of(last.bits[0]).bincount(minlength=2**bits)
    rare = p * n < 5
    cell = torch.where(rare, 0, 1 + torch.arange(2**bits))  # rare states share a cell
    observed, expected = (torch.zeros(2**bits + 1).double().index_add(0, cell, v.double()) for v in (counts, p * n))
    used = expected > 0
    assert stats.chisquare(observed[used], expected[used]).pvalue > 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_every_sampler_follows_the_law_of_few_bits(sampler: Sampler) -> None:
    """64 calls, 4 bits: chi-square; the corrector draws several bits at once: a small distance is all that is asked."""
    n, p = 10_000, law(4, 0)
    x = torch.ones(1, n, 4, dtype=torch.int8)
    *_, last = sampler(oracle(states(4), p), x, torch.ones(()), 64, seeds([5]), greedy_last=False)
    counts = index_of(last.bits[0]).bincount(minlength=16)
    if sampler is corrected:
        assert (counts / n - p).abs().sum() / 2 < 0.03
    else:
        assert stats.chisquare(counts, p * n).pvalue > 1e-3


def test_one_gibbs_bit_at_a_time_leaves_the_law_of_stale_bits_as_it_is() -> None:
    """Exact: the law of x_t at one staleness, by enumeration, before and after a sweep over single bits."""
    p, t, n = law(3, 1), torch.tensor(0.3, dtype=torch.float64), 60_000
    flip = (1 - COSINE.rho(t)) / 2
    apart = (states(3)[:, None] != states(3)).sum(-1).double()
    stale = (flip**apart * (1 - flip) ** (3 - apart)).T @ p
    denoiser, generator = oracle(states(3), p), seeds([2])
    x = corrupt(states(3)[torch.multinomial(p, n, True, generator=generator[0])][None], t, generator[0])
    for bit in range(3):
        fresh = gibbs(x, denoiser(x, t.expand(x.shape)), COSINE.rho(t).expand(x.shape), generator, share=1.0)
        x = torch.where(torch.arange(3) == bit, fresh, x)
    assert stats.chisquare(index_of(x[0]).bincount(minlength=8), stale * n).pvalue > 1e-3


@pytest.mark.parametrize("sampler", [renoised, corrected])
def test_given_bits_are_copied_by_every_sampler(sampler: Sampler) -> None:
    x = torch.tensor([[1, -1, 1, -1]], dtype=torch.int8)
    t = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    for step in sampler(lambda x, t: torch.full(x.shape, 0.1), x, t, 6, seeds([0])):
        assert step.bits[0, :2].tolist() == [1, -1]


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_a_corrector_counts_as_a_call(steps: int) -> None:
    calls = []

    def denoiser(x: Tensor, t: Tensor) -> Tensor:
        calls.append(1)
        return torch.full(x.shape, 0.3)

    list(corrected(denoiser, torch.ones(1, 4, dtype=torch.int8), torch.ones(()), steps, seeds([0])))
    assert steps - 1 <= len(calls) <= steps


def test_completion_follows_the_conditional_law() -> None:
    """Two bits of five are given: the rest follows p(rest | given), and no other law."""
    p, x = law(5, 3), torch.tensor([1, -1, 1, 1, 1], dtype=torch.int8).expand(1, 20_000, 5)
    wanted = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0])
    *_, last = ancestral(oracle(states(5), p), x, wanted, 100, seeds([5]), greedy_last=False)
    conditional = p * (states(5)[:, :2] == x[0, 0, :2]).all(1)
    seen = conditional > 0
    counts = index_of(last.bits[0]).bincount(minlength=32)
    assert counts[~seen].sum() == 0
    assert stats.chisquare(counts[seen], conditional[seen] / conditional.sum() * 20_000).pvalue > 1e-3


def test_restoring_damaged_bits_gives_back_the_law() -> None:
    """Stale to 0.5 and restored from 0.5, the law is the one at the start."""
    p, n, t = law(5, 4), 20_000, torch.tensor(0.5)
    clean = states(5)[torch.multinomial(p, n, replacement=True, generator=seeds([0])[0])][None]
    x = corrupt(clean, t, seeds([1])[0], LINEAR)
    *_, last = ancestral(oracle(states(5), p, LINEAR), x, t, 100, seeds([2]), LINEAR, greedy_last=False)
    counts = index_of(last.bits[0]).bincount(minlength=32)
    assert stats.chisquare(counts, p * n).pvalue > 1e-3


def test_batch_size_does_not_matter() -> None:
    x, t = torch.ones(4, 6, dtype=torch.int8), torch.ones(())
    together = run(x, t, seeds(range(4)))[-1].bits
    alone = torch.cat([run(x[:1], t, seeds([b]))[-1].bits for b in range(4)])
    assert torch.equal(together, alone)
    assert len(together.unique(dim=0)) > 1


def test_given_bits_never_change_even_if_the_network_denies_them() -> None:
    x = torch.tensor([[1, -1, 1, -1, 1, -1]], dtype=torch.int8)
    t = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 0.3])
    steps = list(ancestral(lambda x, t: (x < 0).double(), x, t, 5, seeds([0])))
    assert all(torch.equal(step.bits[:, :3], x[:, :3]) for step in steps)


def test_steps_report_what_happens() -> None:
    steps = run(torch.ones(2, 3, 6, dtype=torch.int8), torch.ones(()), seeds([0, 1]), steps=4)
    assert [(step.index, step.steps, step.staleness) for step in steps] == [(i, 4, 1 - i / 4) for i in (1, 2, 3, 4)]
    for step in steps:
        assert step.bits.dtype == torch.int8
        assert step.bits.abs().eq(1).all()
        assert step.eta.shape == step.bits.shape
        assert torch.allclose(step.certainty, (2 * step.eta - 1).abs().flatten(1).mean(1))
    assert torch.equal(steps[-1].bits > 0, steps[-1].eta > 0.5)  # the last step is greedy


def test_certainty_counts_wanted_bits_only() -> None:
    eta = torch.tensor([[0.5, 0.5, 0.75, 0.25]])
    t = torch.tensor([0.0, 0.0, 1.0, 1.0])
    step = next(ancestral(lambda x, t: eta, torch.ones(1, 4, dtype=torch.int8), t, 3, seeds([0])))
    assert step.certainty.tolist() == [0.5]


def test_a_network_that_knows_nothing_leaves_fair_coins() -> None:
    x = torch.ones(1, 10_000, dtype=torch.int8)
    *_, last = ancestral(lambda x, t: torch.full(x.shape, 0.5), x, torch.ones(()), 3, seeds([0]))
    assert abs(last.bits.double().mean()) < 0.05


def test_the_last_step_is_greedy_or_drawn() -> None:
    x, t = torch.ones(1, 10_000, dtype=torch.int8), torch.ones(())
    likelier, drawn = (
        next(ancestral(lambda x, t: torch.full(x.shape, 0.3), x, t, 1, seeds([0]), greedy_last=greedy)).bits
        for greedy in (True, False)
    )
    assert (likelier == -1).all()
    assert abs((drawn > 0).double().mean() - 0.3) < 0.02


def test_resuming_is_bit_identical() -> None:
    x, t = torch.ones(2, 6, dtype=torch.int8), torch.ones(())
    whole = run(x, t, seeds([3, 4]))[-1].bits
    generators, states_after = seeds([3, 4]), []
    for step in ancestral(oracle(states(6), law(6, 0)), x, t, 8, generators):
        if step.index == 3:
            bits, states_after = step.bits, [generator.get_state() for generator in generators]
            break
    fresh = [torch.Generator() for _ in range(2)]
    for generator, state in zip(fresh, states_after, strict=True):
        generator.set_state(state)
    assert torch.equal(run(bits, t, fresh, done=3)[-1].bits, whole)


def test_until_cake_finishes_each_sample_by_itself() -> None:
    """Two equal bits are cake as soon as one is nearly given; the rest of the batch goes on alone."""
    denoiser = oracle(torch.tensor([[1, 1], [-1, -1]]), torch.tensor([0.5, 0.5]))
    x, t = torch.tensor([[1, 1], [1, 1]], dtype=torch.int8), torch.tensor([[0.01, 1.0], [1.0, 1.0]])
    steps = list(ancestral(denoiser, x, t, 50, seeds([0, 1]), until_cake=0.99))
    assert steps[0].bits[0].tolist() == [1, 1]
    assert all(step.bits[0].tolist() == [1, 1] for step in steps)
    assert 1 < len(steps) < 50
    assert steps[-1].staleness == 0
    alone = list(ancestral(denoiser, x[1:], t[1:], 50, seeds([1]), until_cake=0.99))
    assert torch.equal(alone[-1].bits[0], steps[-1].bits[1])


def test_a_finished_sample_stays_as_it_is() -> None:
    def fickle(x: Tensor, t: Tensor) -> Tensor:
        sure = torch.where(t[1, 0] == 1, 1.0, 0.0).expand(4)  # +1 in the first step, -1 ever after
        return torch.stack([sure, torch.full((4,), 0.5)])

    x, t = torch.ones(2, 4, dtype=torch.int8), torch.ones(())
    steps = list(ancestral(fickle, x, t, 5, seeds([0, 1]), until_cake=0.9))
    assert len(steps) == 5
    assert all((step.bits[0] == 1).all() for step in steps)


def test_pack_and_unpack_are_inverse() -> None:
    streams = {"scene": torch.randn(2, 3, 8), "touch.curve": torch.randn(2, 5, 4), "smell": torch.randn(2, 1, 8)}
    back = unpack(pack(streams), {name: stream.shape[1:] for name, stream in streams.items()})
    assert list(back) == list(streams)
    assert all(torch.equal(back[name], streams[name]) for name in streams)


@pytest.mark.parametrize(
    ("steps", "generators", "t"), [(0, 1, 1.0), (4, 2, 1.0), (4, 1, 1.5), (4, 1, -0.1), (4, 1, float("nan"))]
)
def test_bad_calls_say_what_is_wrong(steps: int, generators: int, t: float) -> None:
    x = torch.ones(1, 4, dtype=torch.int8)
    with pytest.raises(StaleError) as error:
        next(ancestral(lambda x, t: t, x, torch.tensor(t), steps, seeds(range(generators))))
    assert error.value.exit_code == 2
