"""Reverse samplers: from stale bits to fresh ones, yielding every step. All have the signature of `ancestral`.

`ancestral` is the default; `renoised` forgets more and mends more a step; `corrected` spends half of its calls on
Gibbs steps at one staleness. docs/method.md has the table of what each is worth at 1 to 64 steps.

Shapes: B samples, ... any further shape of bits ((L,), (L, D), or N packed streams).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stale_diffusion.channel import COSINE, Schedule, leave_one_out, posterior
from stale_diffusion.errors import StaleError

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(bits x_t, staleness t in x_t's shape) -> eta = P(x_0 = +1 | x_t), in [0, 1], x_t's shape."""


@dataclass(frozen=True)
class Step:
    """One step of the reverse process.

    Args:
        index: steps done, 1 to `steps`.
        steps: steps planned.
        staleness: fraction of the starting staleness that is left, in [0, 1].
        bits: (B, ...) int8 in {-1, +1}, after the step.
        eta: (B, ...) float64, P(x_0 = +1) as the denoiser saw it before the step.
        certainty: (B,) float64 in [0, 1], mean |2 eta - 1| over the wanted bits; 1 is cake.
    """

    index: int
    steps: int
    staleness: float
    bits: Tensor
    eta: Tensor
    certainty: Tensor


def ancestral(
    denoiser: Denoiser,
    x: Tensor,
    t_start: Tensor,
    steps: int,
    generators: Sequence[torch.Generator],
    schedule: Schedule = COSINE,
    *,
    greedy_last: bool = True,
    until_cake: float | None = None,
    done: int = 0,
) -> Iterator[Step]:
    """Sample x_0: each step draws all bits independently from the exact per-bit posterior under the denoiser's eta.

    Args:
        denoiser: called once a step, without gradients.
        x: (B, ...) bits in {-1, +1}; where t_start is 1 they are replaced by fair coin flips.
        t_start: staleness in [0, 1], broadcastable to x: 0 = given (never changes), 1 = wanted, between = damaged.
            The path of a bit is t_start times a grid that falls evenly from 1 to 0.
        steps: calls of the denoiser, at least 1.
        generators: one a sample; sample b draws from generators[b] alone, whatever the batch.
        greedy_last: take the likelier value in the last step instead of drawing it (a tie keeps the bit).
        until_cake: finish a sample early once every wanted bit has |2 eta - 1| >= this, in [0, 1].
        done: steps already done, to resume bit for bit: x is then the bits of that step, the generators are as they
            were after it, and samples that were finished early have t_start 0.

    Raises:
        StaleError: no step, a wrong number of generators, or a staleness outside [0, 1].
    """
    yield from _walk(denoiser, x, t_start, steps, generators, schedule, posterior, None, greedy_last, until_cake, done)


def renoised(
    denoiser: Denoiser,
    x: Tensor,
    t_start: Tensor,
    steps: int,
    generators: Sequence[torch.Generator],
    schedule: Schedule = COSINE,
    *,
    greedy_last: bool = True,
    until_cake: float | None = None,
    done: int = 0,
) -> Iterator[Step]:
    """As `ancestral`, but each step draws x_0 and lets it go stale anew, forgetting x_t: P(x_s) = (1 + rho_s m) / 2.

    The marginals are the same; more of each bit is drawn again, so that more mistakes are mended and more are made.
    """
    yield from _walk(denoiser, x, t_start, steps, generators, schedule, _anew, None, greedy_last, until_cake, done)


def corrected(
    denoiser: Denoiser,
    x: Tensor,
    t_start: Tensor,
    steps: int,
    generators: Sequence[torch.Generator],
    schedule: Schedule = COSINE,
    *,
    greedy_last: bool = True,
    until_cake: float | None = None,
    done: int = 0,
) -> Iterator[Step]:
    """As `ancestral`, half of the calls spent on correctors: after each step a tenth of the bits are drawn again from
    P(x_t | all other bits of x_t); `steps` calls of the denoiser in all. See `gibbs` for what that leaves unchanged."""

    def correct(bits: Tensor, t: Tensor) -> Tensor:
        with torch.no_grad():
            eta = denoiser(bits, t).double()
        return gibbs(bits, eta, schedule.rho(t), generators)

    half = (steps + 1) // 2
    yield from _walk(
        denoiser, x, t_start, half, generators, schedule, posterior, correct, greedy_last, until_cake, done
    )


def gibbs(bits: Tensor, eta: Tensor, rho: Tensor, generators: Sequence[torch.Generator], share: float = 0.1) -> Tensor:
    """Draw some bits again given all others at the same staleness: P(x_t = +1 | others) = (1 + rho m) / 2.

    Args:
        bits: (B, ...) in {-1, +1}.
        eta: full posterior P(x_0 = +1 | bits); m = E[x_0 | others] is its leave-one-out part.
        rho: correlation; where it is 1 a bit is given and stays.
        share: of the bits that are drawn again, chosen at random. One bit at a time leaves the law as it is, exactly;
            several at once do so nearly, the better the fewer.
    """
    mean = torch.tanh(leave_one_out(torch.logit(eta.double(), eps=1e-12), bits, rho) / 2)
    drawn = _below((1 + rho * mean) / 2, bits, generators)
    chosen = (_below(share, bits, generators) > 0) & (rho < 1)
    return torch.where(chosen, drawn, bits)


def _anew(x_t: Tensor, eta: Tensor, rho_t: Tensor, rho_s: Tensor) -> Tensor:
    return torch.where(rho_t == rho_s, (x_t.double() + 1) / 2, (1 + rho_s * (2 * eta - 1)) / 2)


def _walk(
    denoiser: Denoiser, x: Tensor, t_start: Tensor, steps: int, generators: Sequence[torch.Generator],
    schedule: Schedule, move: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    correct: Callable[[Tensor, Tensor], Tensor] | None, greedy_last: bool, until_cake: float | None, done: int,
) -> Iterator[Step]:  # fmt: skip
    """The reverse process with a rule for a step, `move`: (x_t, eta, rho_t, rho_s) -> P(x_s = +1)."""
    _check(x, t_start, steps, generators)
    t_full = t_start.to(x.device, torch.float64).expand(x.shape)
    wanted = t_full > 0
    bits = x.to(torch.int8)
    if done == 0:
        bits = torch.where(t_full == 1, _below(0.5, bits, generators), bits)
    for index in range(done + 1, steps + 1):
        before, after = 1 - (index - 1) / steps, 1 - index / steps
        with torch.no_grad():
            eta = denoiser(bits, t_full * before).double()
        hardness = (2 * eta - 1).abs().where(wanted, 1.0).flatten(1)
        plus = move(bits, eta, schedule.rho(t_full * before), schedule.rho(t_full * after))
        finished = torch.full((len(x),), greedy_last and index == steps, device=x.device)
        if until_cake is not None:
            finished |= hardness.amin(1) >= until_cake
        finished = finished.view(-1, *[1] * (x.dim() - 1))
        greedy = torch.where(eta == 0.5, bits, torch.where(eta > 0.5, 1, -1)).to(torch.int8).where(t_full > 0, bits)
        bits = torch.where(finished, greedy, _below(plus, bits, generators))
        t_full = torch.where(finished, 0.0, t_full)  # a finished sample is a given one
        left = after if bool((t_full > 0).any()) else 0.0
        if correct is not None and left > 0:
            bits = correct(bits, t_full * after)
        count = wanted.flatten(1).sum(1)
        certainty = 1 - (1 - hardness).sum(1) / count.clamp(min=1)
        yield Step(index, steps, left, bits, eta, certainty)
        if left == 0:
            return


def oracle(states_KN: Tensor, weights_K: Tensor, schedule: Schedule = COSINE) -> Denoiser:
    """The exact denoiser of a law on K known states, for bits (..., N): Bayes' rule over all of them.

    Args:
        states_KN: bits in {-1, +1}.
        weights_K: probabilities, positive, summing to 1.
    """
    states_KN, log_weights_K = states_KN.double(), weights_K.double().log()

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        # log q(x_t | x_0) = sum_n atanh(rho) x_t x_0 + constant; the clamp stands for atanh(1) = infinity
        evidence = torch.atanh(schedule.rho(t.double()).clamp(max=1 - 1e-15)) * x
        posterior_K = torch.softmax(evidence @ states_KN.T + log_weights_K, dim=-1)
        return posterior_K @ (states_KN > 0).double()

    return denoise


SAMPLERS = {sampler.__name__: sampler for sampler in (ancestral, renoised, corrected)}


def pack(streams: Mapping[str, Tensor]) -> Tensor:
    """{name: (B, ...)} -> (B, N), streams side by side in the mapping's order."""
    return torch.cat([stream.flatten(1) for stream in streams.values()], dim=1)


def unpack(x_BN: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Inverse of `pack`: (B, N) -> {name: (B, *shape)}, for the shapes without B."""
    parts = torch.split(x_BN, [math.prod(shape) for shape in shapes.values()], dim=1)
    return {name: part.reshape(-1, *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _below(probability: Tensor | float, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """(B, ...) int8: +1 with this probability, else -1, each sample from its own generator."""
    u = torch.stack([torch.rand(x.shape[1:], generator=g, dtype=torch.float64, device=g.device) for g in generators])
    return torch.where(u.to(x.device) < probability, 1, -1).to(torch.int8)


def _check(x: Tensor, t_start: Tensor, steps: int, generators: Sequence[torch.Generator]) -> None:
    if steps < 1:
        raise StaleError(f"{steps} steps were asked for", "sampling takes one or more", "ask for 1 or more", usage=True)
    if len(generators) != len(x):
        what = f"{len(generators)} generators for {len(x)} samples"
        raise StaleError(what, "each sample draws from its own", "pass one generator a sample", usage=True)
    if not bool(((t_start >= 0) & (t_start <= 1)).all()):
        raise StaleError("staleness outside [0, 1]", "0 is given, 1 is noise", "clamp t_start to [0, 1]", usage=True)
