"""How the digit benchmarks train: losses, damage, and a loop that stops after so much processor time.

Shapes: B images, N = 784 bits.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from digits import SCHEDULE, Network, Shape, Width, autocast, build, channel_margin, compiled
from stale_diffusion.hinge import Arm
from stale_diffusion.training import checkpoint

Damage = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]]
"""(x_0 (B, N), generator) -> x_t, x_0 as floats, t (B,)."""

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(output of the network, x_t, x_0, t (B,)) -> (B,)."""


def bound_rate(logit: Tensor, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """The bound on -log p(x_0) as steps go to infinity, per unit of t, nats: its mean over t in (0, 1) is the bound.

    A reverse flip has rate r = (1 - rho x_t x_0) / (1 + rho x_t x_0) given x_0, and R with the leave-one-out mean in
    place of x_0; the cost of R is r log(r / R) - r + R, per du / 2 with u = -log rho.
    """
    t = t[:, None].clamp(1e-3, 1 - 1e-5)
    rho = SCHEDULE.rho(t)
    own, guess = rho * x_t * x_0, rho * x_t * torch.tanh(logit / 2)
    log_r, log_R = torch.log1p(-own) - torch.log1p(own), torch.log1p(-guess) - torch.log1p(guess)
    r = log_r.exp()
    cost = r * (log_r - log_R) - r + log_R.exp()
    return (cost * t / (2 * rho**2)).sum(1)


def arm_loss(arm: Arm) -> Loss:
    """An arm of `hinge.ARMS`, summed over bits. The network adds to the margin that the channel alone gives a bit."""

    def loss(output: Tensor, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        return arm.loss(output + channel_margin(arm, x_t, t[:, None]), x_0).sum(1)

    return loss


def absorbing_loss(output: Tensor, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """Masked diffusion's bound (Sahoo et al. 2024), alpha = 1 - t: cross-entropy of hidden bits (zeros), by 1 / t."""
    return (F.softplus(-x_0 * output) * (x_t == 0)).sum(1) / t.clamp(min=1e-3)


# Training


REPORT = 100


@dataclass(frozen=True)
class Recipe:
    """Args: minutes of one thread's processor time: equal compute, whatever else runs; rate: Muon's, AdamW's is a tenth
    of it."""

    minutes: float
    shape: Shape | Width
    batch: int = 128
    rate: float = 0.02
    seed: int = 0


def stale(x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Bits (B, N) gone stale by a stratified t: x_t, x_0 as floats, t (B,)."""
    B = len(x_0)
    t = (torch.randperm(B, generator=generator) + torch.rand(B, generator=generator)) / B
    flips = torch.rand(x_0.shape, generator=generator) < (1 - SCHEDULE.rho(t)[:, None]) / 2
    x_0 = x_0.float()
    return torch.where(flips, -x_0, x_0), x_0, t


def _optimizers(network: Network, rate: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for the convolutions inside, AdamW for the rest."""
    outside = ("condition", "film", "enter", "leave")
    named = dict(network.named_parameters())
    inner = {n for n, p in named.items() if p.ndim == 2 and not any(word in n for word in outside)}
    rest = [p for n, p in named.items() if n not in inner]
    return {
        "muon": torch.optim.Muon([named[n] for n in inner], lr=rate, weight_decay=0.01, adjust_lr_fn="original"),
        "adamw": torch.optim.AdamW(rest, lr=rate / 10, betas=(0.9, 0.98), weight_decay=0.0),
    }


def hidden(x_0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The same for the absorbing state: a bit is 0, hidden, with probability t."""
    B = len(x_0)
    t = (torch.randperm(B, generator=generator) + torch.rand(B, generator=generator)) / B
    x_0 = x_0.float()
    return x_0 * (torch.rand(x_0.shape, generator=generator) >= t[:, None]), x_0, t


@dataclass
class Run:
    """What a training carries from step to step, and what a checkpoint holds."""

    network: Network
    mean: Network
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0
    spent: float = 0.0  # seconds of processor time

    @classmethod
    def open(cls, recipe: Recipe, folder: Path, start: Network | None) -> Run:
        torch.manual_seed(recipe.seed)
        network, mean = build(recipe.shape), build(recipe.shape)
        if start is not None:
            network.load_state_dict(start.state_dict())
        mean.load_state_dict(network.state_dict())
        run = cls(network, mean, _optimizers(network, recipe.rate))
        found = checkpoint.latest(folder)
        if found is not None:
            state, tensors, _ = found
            network.load_state_dict(tensors["model"])
            mean.load_state_dict(tensors["average"])
            checkpoint.unflatten(run.optimizers, tensors["optimizer"])
            run.spent, run.step = state["spent"], state["step"]
        return run

    def save(self, folder: Path) -> None:
        groups = {"model": self.network.state_dict(), "average": self.mean.state_dict()}
        groups["optimizer"] = checkpoint.flatten(self.optimizers)
        checkpoint.save(folder, self.step, groups, {"spent": self.spent})

    def descend(self, loss: Tensor, rate: float) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = rate if name == "muon" else rate / 10
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers.values():
            optimizer.step()
        average(self.mean, self.network, self.step)
        self.step += 1


def train(
    recipe: Recipe,
    digits: Callable[[torch.Generator], Tensor],
    loss: Loss,
    folder: Path,
    valid: Tensor,
    damage: Damage = stale,
    start: Network | None = None,
) -> Network:
    """Train for `recipe.minutes`, from the newest checkpoint in `folder` if there is one; returns the averaged weights.

    Args:
        digits: generator -> all training images (B, N), drawn anew every `REPORT` steps.
        valid: images whose mean loss is printed every `REPORT` steps.
        start: a network to begin with.
    """
    run, seen, clock = Run.open(recipe, folder, start), [], time.process_time()
    forward, images = compiled(run.network), digits(_generator(recipe.seed, run.step // REPORT))
    first, share = run.step, 0.0
    while share < 1:
        generator = _generator(recipe.seed, 10**6 + run.step)
        batch = damage(images[torch.randint(len(images), (recipe.batch,), generator=generator)], generator)
        with autocast():
            output = forward(batch[0], batch[2])
        value = loss(output, *batch).mean()
        share = run.spent / (60 * recipe.minutes)
        run.descend(value, recipe.rate * min(1.0, (run.step + 1) / 50, max(0.0, (1 - share) / 0.7)))
        seen.append(value.item())
        if run.step > first + 2:  # before, the time went into compiling
            run.spent += time.process_time() - clock
        clock = time.process_time()
        if run.step % REPORT == 0 or share >= 1:
            error = held_out(run.mean, loss, valid, damage)
            words = f"train {np.mean(seen):.2f} held out {error[0]:.2f} +- {error[1]:.2f}"
            print(f"{folder.name} step {run.step} {share:.1%} {words}", file=sys.stderr, flush=True)
            run.save(folder)
            seen, images = [], digits(_generator(recipe.seed, run.step // REPORT))
            clock = time.process_time()
    return run.mean


def _generator(*seeds: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1))


@torch.no_grad()
def average(mean: nn.Module, network: nn.Module, step: int) -> None:
    """Running average of the weights over a tenth of the run so far, at most 1,000 steps."""
    keep = min(0.999, step / (step + 10))
    for a, b in zip(mean.parameters(), network.parameters(), strict=True):
        a.lerp_(b, 1 - keep)


@torch.no_grad()
def held_out(network: Network, loss: Loss, images: Tensor, damage: Damage = stale) -> tuple[float, float]:
    """Mean loss, and its standard error, at stratified t; the same noise every time."""
    generator, losses = _generator(7), []
    for part in images.split(500):
        x_t, x_0, t = damage(part, generator)
        with autocast():
            output = network(x_t, t)
        losses.append(loss(output, x_t, x_0, t))
    values = torch.cat(losses)
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
