"""Heartbeat: 20 bits, one beat in five, five phases; log2 5 = 2.322 bits of entropy (Sohl-Dickstein et al. 2015).

    make bench NAME=heartbeat            # from the weights that ship
    TRAIN=1 make bench NAME=heartbeat    # makes the weights again

Every arm is the same small network on the same data, steps and seed; only the loss and its link differ. The schedule is
linear: with a perfect network (`exact` in the table) it has the lowest bound at 64 steps, 2.397 bits; the square root
has 2.404, the cosine 2.420. `bits` is the variational bound of the sampler, eta clamped; `invalid` has a greedy last
step, `invalid_drawn` without.
Shapes: B samples, N = 20 bits, P = 5 phases.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from report import Figure, report
from stale_diffusion.channel import EDGE, LINEAR, bridge, corrupt, posterior
from stale_diffusion.hinge import ARMS, CROSS_ENTROPY, Arm
from stale_diffusion.sample import Denoiser, ancestral, oracle

WEIGHTS = Path(__file__).parent / "weights" / "heartbeat.safetensors"
BITS, PERIOD, BOUND_SAMPLES, SAMPLES = 20, 5, 30_000, 50_000
TRAINING_STEPS, BATCH = 12_000, 512
SOHL_DICKSTEIN = 2.414  # bits, at 2000 steps
BEST = CROSS_ENTROPY  # chosen by the table; the other arms are printed beside it

beats_PN = torch.full((PERIOD, BITS), -1.0)
for phase in range(PERIOD):
    beats_PN[phase, phase::PERIOD] = 1


class Network(nn.Module):
    """(B, N) bits and their staleness -> one margin a bit."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(2 * BITS + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()),
            nn.Linear(width, BITS),
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        rho = LINEAR.rho(t).clamp(max=1 - 2 * EDGE).float()
        evidence = torch.atanh(rho) * x  # what a bit says of itself, in half nats of log-odds
        return self.layers(torch.cat([rho * x, evidence, rho[..., :1]], dim=-1))


def train(arm: Arm) -> Network:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TRAINING_STEPS)
    for _ in range(TRAINING_STEPS):
        x = beats_PN[torch.randint(PERIOD, (BATCH,), generator=generator)]
        t = ((torch.arange(BATCH) + torch.rand(1, generator=generator)) / BATCH)[:, None].expand(x.shape)  # stratified
        loss = arm.loss(network(corrupt(x, t, generator, LINEAR), t), x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@torch.no_grad()
def bound_bits(denoiser: Denoiser, steps: int, generator: torch.Generator) -> tuple[float, float]:
    """Variational bound on -log2 p(x_0) of the sampler with `steps` steps, and its standard error.

    Per step: KL(q(x_s | x_t, x_0) || p(x_s | x_t)), which at s = 0 is -log p(x_0 | x_t); no prior term, as rho(1) = 0.
    x_0 is averaged over its exact posterior given x_t, known from the five phases: a fifth of the variance.
    """
    truth, mean, variance = oracle(beats_PN, torch.full((PERIOD,), 1 / PERIOD), LINEAR), 0.0, 0.0
    x_0 = beats_PN[torch.arange(BOUND_SAMPLES) % PERIOD]
    for step in range(1, steps + 1):
        t, s = (torch.full((), k / steps, dtype=torch.float64) for k in (step, step - 1))
        x_t, rho_t, rho_s = corrupt(x_0, t, generator, LINEAR), LINEAR.rho(t), LINEAR.rho(s)
        p = posterior(x_t, denoiser(x_t, t.expand(x_t.shape)).clamp(EDGE, 1 - EDGE), rho_t, rho_s)
        eta, one = truth(x_t, t.expand(x_t.shape)), torch.ones(x_t.shape)
        kl = eta * _kl(bridge(x_t, one, rho_t, rho_s), p) + (1 - eta) * _kl(bridge(x_t, -one, rho_t, rho_s), p)
        kl_B = kl.sum(1) / math.log(2)
        mean, variance = mean + float(kl_B.mean()), variance + float(kl_B.var()) / BOUND_SAMPLES
    return mean, math.sqrt(variance)


def _kl(q: Tensor, p: Tensor) -> Tensor:
    """Between coins, nats; q may be 0 or 1."""
    return torch.special.xlogy(q, q / p) + torch.special.xlogy(1 - q, (1 - q) / (1 - p))


def invalid_share(denoiser: Denoiser, steps: int, *, greedy_last: bool) -> tuple[float, float]:
    """Share of samples that are none of the five beats, and the entropy in bits of the phases of the others."""
    x = torch.ones(1, SAMPLES, BITS, dtype=torch.int8)  # one large sample: one generator serves them all
    generators = [torch.Generator().manual_seed(2)]
    *_, last = ancestral(denoiser, x, torch.ones(()), steps, generators, LINEAR, greedy_last=greedy_last)
    match_BP = (last.bits[0].float() @ beats_PN.T) == BITS
    share_P = match_BP.double().sum(0) / match_BP.sum()
    return float(1 - match_BP.any(1).double().mean()), float(torch.special.entr(share_P).sum()) / math.log(2)


def networks() -> dict[str, Network]:
    """One network an arm, from the weights that ship, or made again."""
    if os.environ.get("TRAIN"):
        made = {name: train(arm) for name, arm in ARMS.items()}
        tensors = {
            f"{name}.{key}": value for name, network in made.items() for key, value in network.state_dict().items()
        }
        WEIGHTS.parent.mkdir(exist_ok=True)
        save_file(tensors, WEIGHTS.with_suffix(".part"))
        os.replace(WEIGHTS.with_suffix(".part"), WEIGHTS)
    tensors, loaded = load_file(WEIGHTS), {}
    for name in ARMS:
        loaded[name] = Network()
        loaded[name].load_state_dict(
            {key[len(name) + 1 :]: v for key, v in tensors.items() if key.startswith(f"{name}.")}
        )
    return loaded


def main() -> None:
    started, figures = time.monotonic(), []
    denoisers: dict[str, Denoiser] = {"exact": oracle(beats_PN, torch.full((PERIOD,), 1 / PERIOD), LINEAR)}
    for name, network in networks().items():
        denoisers[name] = lambda x, t, network=network, arm=ARMS[name]: arm.probability(network(x, t))
    for name, denoiser in denoisers.items():
        bits, error = bound_bits(denoiser, 64, torch.Generator().manual_seed(1))
        invalid, phases = invalid_share(denoiser, 32, greedy_last=True)
        drawn, _ = invalid_share(denoiser, 32, greedy_last=False)
        if name == BEST.name:
            figures[:0] = [
                Figure("bits_64_steps", bits, f"bits ({name})", 2.41, "lower"),
                Figure("bits_64_steps_se", error, "bits", 0.002, "lower"),
                Figure("invalid_32_steps", invalid, f"1 ({name})", 0.001, "lower"),
            ]
        figures += [
            Figure(f"bits_64_steps_{name}", bits, "bits", SOHL_DICKSTEIN, "lower"),
            Figure(f"invalid_32_steps_{name}", invalid, "1", None, "lower"),
            Figure(f"invalid_drawn_32_steps_{name}", drawn, "1", None, "lower"),
            Figure(f"phase_entropy_{name}", phases, "bits", math.log2(PERIOD), "higher"),
        ]
    report("heartbeat", figures, started)


if __name__ == "__main__":
    main()
