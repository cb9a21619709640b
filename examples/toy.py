"""Stale Diffusion on 8 bits, the whole method in one file: rot, learn, sample, complete; under a minute on one core.

    python examples/toy.py

The data is a random law on all 2^8 states, so that every claim can be checked by counting.
Shapes: B samples, N bits, K = 2^N states.
"""

import itertools

import torch
from torch import Tensor, nn

from stale_diffusion.channel import COSINE, corrupt
from stale_diffusion.hinge import cr_hinge, probability
from stale_diffusion.sample import ancestral

BITS, BATCH, TRAINING_STEPS, SAMPLES = 8, 512, 6000, 50_000

states_KN = torch.tensor(list(itertools.product((-1, 1), repeat=BITS)))


class Denoiser(nn.Module):
    """Bits (..., N) and their staleness (..., N) -> one margin a bit; `probability` reads it as P(x_0 = +1 | x_t)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(3 * BITS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, BITS)),
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        rho = COSINE.rho(t.float())
        return self.layers(torch.cat([x, rho * x, rho], dim=-1))


def draw_staleness(generator: torch.Generator) -> Tensor:
    """(B, N): one staleness a sample; in half of the samples each bit is given (staleness 0) with probability 1/2."""
    t_B1 = torch.rand(BATCH, 1, generator=generator)
    completion_B1 = torch.rand(BATCH, 1, generator=generator) < 0.5
    given_BN = torch.rand(BATCH, BITS, generator=generator) < 0.5
    return torch.where(completion_B1 & given_BN, 0.0, t_B1)


def train(law_K: Tensor, generator: torch.Generator) -> Denoiser:
    network = Denoiser()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TRAINING_STEPS)
    for step in range(TRAINING_STEPS):
        x_BN = states_KN[torch.multinomial(law_K, BATCH, replacement=True, generator=generator)]
        t_BN = draw_staleness(generator)
        loss = cr_hinge(network(corrupt(x_BN, t_BN, generator), t_BN), x_BN).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 1000 == 0:
            print(f"step {step:5d}  cr-hinge {loss.item():.4f}")
    return network


def frequencies(x_BN: Tensor) -> Tensor:
    """How often each of the K states occurs."""
    index_B = ((x_BN > 0) * 2 ** torch.arange(BITS - 1, -1, -1)).sum(-1)
    return index_B.bincount(minlength=2**BITS) / len(x_BN)


def distance(p_K: Tensor, q_K: Tensor) -> float:
    """Total variation, 0 to 1."""
    return float((p_K - q_K).abs().sum() / 2)


def main() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    law_K = torch.rand(2**BITS, generator=generator) ** 3
    law_K /= law_K.sum()
    network = train(law_K, generator)

    def eta(x: Tensor, t: Tensor) -> Tensor:
        return probability(network(x, t))

    def sample(x_BN: Tensor, t_N: Tensor, steps: int) -> Tensor:
        # One generator a sample makes it reproducible in any batch; here one serves all, as a single large sample.
        *_, last = ancestral(eta, x_BN[None], t_N, steps, [generator], greedy_last=False)
        return last.bits[0]

    def report(name: str, x_BN: Tensor, p_K: Tensor) -> None:
        print(f"  {name:36}{distance(frequencies(x_BN), p_K):.3f}")

    def truth(p_K: Tensor) -> Tensor:
        return states_KN[torch.multinomial(p_K, SAMPLES, replacement=True, generator=generator)]

    print("\ntotal variation to the truth (0 is perfect)")
    noise_BN, wanted_N = torch.ones(SAMPLES, BITS, dtype=torch.int8), torch.ones(BITS)
    for steps in (1, 2, 8, 32):  # one step draws every bit by itself: Theorem 1's counterexample
        report(f"generated, {steps} steps", sample(noise_BN, wanted_N, steps), law_K)
    report("floor: as many true samples", truth(law_K), law_K)

    wanted_N[:4] = 0  # the first four bits are given, all +1
    conditional_K = law_K * (states_KN[:, :4] == 1).all(1)
    conditional_K /= conditional_K.sum()
    report("completed from 4 given bits", sample(noise_BN, wanted_N, 32), conditional_K)
    report("floor", truth(conditional_K), conditional_K)


if __name__ == "__main__":
    main()
