"""The variational bound of the reverse sampler on digits, and the grid of steps that makes it lowest.

Shapes: B images, N = 784 bits, T steps, P passes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from digits import SCHEDULE
from stale_diffusion.channel import EDGE, bridge, corrupt, posterior
from stale_diffusion.sample import Denoiser


def step_cost(
    denoise: Denoiser, x_0: Tensor, t: Tensor, s: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, N) nats: KL(q(x_s | x_t, x_0) || p(x_s | x_t)), x_t drawn; at s = 0 that is -log p(x_0 | x_t). And x_t.

    Args:
        t, s: staleness (B,), s < t.
    """
    t, s = t.double()[:, None], s.double()[:, None]
    x_t = corrupt(x_0, t, generator, SCHEDULE)
    eta = denoise(x_t, t.expand(x_t.shape)).clamp(EDGE, 1 - EDGE)
    rho_t, rho_s = SCHEDULE.rho(t), SCHEDULE.rho(s)
    return coin_divergence(bridge(x_t, x_0, rho_t, rho_s), posterior(x_t, eta, rho_t, rho_s)), x_t


def coin_divergence(q: Tensor, p: Tensor) -> Tensor:
    """KL between coins, nats; q may be 0 or 1."""
    return torch.special.xlogy(q, q / p) + torch.special.xlogy(1 - q, (1 - q) / (1 - p))


class Control:
    """A control variate: what a flipped bit costs more than a kept one, by staleness and by its neighbours in x_0.

    Whether a bit flips is a coin of known probability, so (flipped - probability) times anything that does not depend
    on that coin has mean zero. The anything is a running mean over the batches before this one: no bias.
    """

    BINS = 24

    def __init__(self, x_0: Tensor) -> None:
        side = math.isqrt(x_0.shape[1])
        picture = (x_0 > 0).float().view(-1, 1, side, side) if side * side == x_0.shape[1] else None
        around = torch.zeros(x_0.shape) if picture is None else F.avg_pool2d(picture, 3, 1, 1).flatten(1) * 9
        self.kind_BN = (around.round() * 2 + (x_0 > 0)).long().clamp(max=19)
        self.sums = torch.zeros(2, 2, self.BINS * 20, dtype=torch.float64)  # [kept or flipped, cost or count]

    def __call__(self, cost_BN: Tensor, flipped_BN: Tensor, t_B: Tensor, chosen: Tensor) -> Tensor:
        """(B,) cost of a step, less its variate; then the running means take it in."""
        place = (t_B * self.BINS).long().clamp(max=self.BINS - 1)[:, None] * 20 + self.kind_BN[chosen]
        mean = self.sums[:, 0] / (self.sums[:, 1] + 3)
        expected = (1 - SCHEDULE.rho(t_B)[:, None]) / 2
        variate = (flipped_BN.double() - expected) * (mean[1] - mean[0])[place]
        for which in (0, 1):
            here = flipped_BN == bool(which)
            self.sums[which, 0].index_add_(0, place[here], cost_BN[here])
            self.sums[which, 1].index_add_(0, place[here], torch.ones_like(cost_BN[here]))
        return (cost_BN - variate).sum(1)


def bound(denoise: Denoiser, x_0: Tensor, grid: Tensor, passes: int, generator: torch.Generator) -> tuple[float, float]:
    """Variational bound on -log p(x_0) of the sampler that walks a grid, mean over all images in nats, and its error.

    The prior term is zero, as rho is exactly 0 at t = 1; the last step is the reconstruction term. Every pass gives
    every image one step: the steps are dealt evenly over the images, and over an image's passes.

    Args:
        grid: staleness (T + 1,), falling from 1 to 0.
        passes: steps an image; the standard error is of this choice and of the noise, not of the choice of images.
    """
    T, B = len(grid) - 1, len(x_0)
    cost_PB, control = torch.empty(passes, B, dtype=torch.float64), Control(x_0)
    start_B = torch.randperm(B, generator=generator) / B
    for k in range(passes):
        place = (start_B + (k + torch.rand(B, generator=generator).mul(0.999)) / passes) % 1
        step = (place.double() * T).long().clamp(max=T - 1)
        for chosen in torch.arange(B).split(500):
            t, s = grid[step[chosen]], grid[step[chosen] + 1]
            cost, x_t = step_cost(denoise, x_0[chosen], t, s, generator)
            cost_PB[k, chosen] = T * control(cost, x_t != x_0[chosen], t, chosen)
    # as if the passes were independent: that they are spread over the grid only makes the error smaller
    error = float(cost_PB.std(0).pow(2).mean() / (passes * B)) ** 0.5
    return float(cost_PB.mean()), error


def exact_bound(denoise: Denoiser, x_0: Tensor, grid: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """The same with every step of the grid for every image: for short grids."""
    pairs = zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True)
    full = torch.ones(len(x_0), dtype=torch.float64)
    cost_TB = torch.stack([step_cost(denoise, x_0, t * full, s * full, generator)[0].sum(1) for t, s in pairs])
    return float(cost_TB.sum(0).mean()), float(cost_TB.var(1).sum() / len(x_0)) ** 0.5


def fitted_grid(
    denoise: Denoiser, x_0: Tensor, steps: list[int], generator: torch.Generator, points: int = 64
) -> dict[int, Tensor]:
    """For each number of steps the grid with the lowest bound on these images, exactly, among `points` even places.

    The cost of a step from t to s does not depend on the others, so this is a shortest path.
    """
    places = torch.linspace(0, 1, points + 1, dtype=torch.float64)
    cost = torch.full((points + 1, points + 1), torch.inf, dtype=torch.float64)  # [t, s]
    for i in range(1, points + 1):
        x_t = corrupt(x_0, places[i], generator, SCHEDULE)
        eta = denoise(x_t, places[i].expand(x_t.shape)).clamp(EDGE, 1 - EDGE)
        rho_t = SCHEDULE.rho(places[i])
        for j in range(i):
            rho_s = SCHEDULE.rho(places[j])
            divergence = coin_divergence(bridge(x_t, x_0, rho_t, rho_s), posterior(x_t, eta, rho_t, rho_s))
            cost[i, j] = divergence.sum(1).mean()
    return {T: places[shortest(cost, T)] for T in steps}


def shortest(cost: Tensor, steps: int) -> list[int]:
    """The cheapest path of so many steps from the last place to the first; cost[i, j] is of a step from i down to j."""
    best, back = cost[:, 0], []
    for _ in range(steps - 1):
        total = cost + best[None]
        back.append(total.argmin(1))
        best = total.amin(1)
    path = [len(cost) - 1]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return [*path, 0]
