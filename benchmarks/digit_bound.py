"""The variational bound of the reverse sampler on digits, and the grid of steps that makes it lowest.

Shapes: B images, N = 784 bits, T steps, P passes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from digits import SCHEDULE
from stale_diffusion.channel import EDGE, bridge, corrupt, posterior
from stale_diffusion.sample import Denoiser


def step_cost(denoise: Denoiser, x_0: Tensor, t: Tensor, s: Tensor, generator: torch.Generator) -> Tensor:
    """(B,) nats: KL(q(x_s | x_t, x_0) || p(x_s | x_t)) summed over bits, x_t drawn; at s = 0 that is -log p(x_0 | x_t).

    Args:
        t, s: staleness (B,), s < t.
    """
    t, s = t.double()[:, None], s.double()[:, None]
    x_t = corrupt(x_0, t, generator, SCHEDULE)
    eta = denoise(x_t, t.expand(x_t.shape)).clamp(EDGE, 1 - EDGE)
    rho_t, rho_s = SCHEDULE.rho(t), SCHEDULE.rho(s)
    return coin_divergence(bridge(x_t, x_0, rho_t, rho_s), posterior(x_t, eta, rho_t, rho_s)).sum(1)


def coin_divergence(q: Tensor, p: Tensor) -> Tensor:
    """KL between coins, nats; q may be 0 or 1."""
    return torch.special.xlogy(q, q / p) + torch.special.xlogy(1 - q, (1 - q) / (1 - p))


def bound(denoise: Denoiser, x_0: Tensor, grid: Tensor, passes: int, generator: torch.Generator) -> tuple[float, float]:
    """Variational bound on -log p(x_0) of the sampler that walks a grid, mean over all images in nats, and its error.

    The prior term is zero, as rho is exactly 0 at t = 1; the last step is the reconstruction term. Every pass gives
    every image one step: the steps are dealt evenly over the images, and over an image's passes.

    Args:
        grid: staleness (T + 1,), falling from 1 to 0.
        passes: steps an image.

    Returns:
        The mean, and a standard error from differences of costs that are neighbours in the grid: what a cost owes to
        its place there is not random, as all places are dealt; what it owes to its image and its noise is counted.
    """
    T, B = len(grid) - 1, len(x_0)
    cost_PB, step_PB = torch.empty(passes, B, dtype=torch.float64), torch.empty(passes, B, dtype=torch.long)
    start_B = torch.randperm(B, generator=generator) / B
    for k in range(passes):
        place = (start_B + (k + torch.rand(B, generator=generator).mul(0.999)) / passes) % 1
        step_PB[k] = (place.double() * T).long().clamp(max=T - 1)
        for chosen in torch.arange(B).split(500):
            t, s = grid[step_PB[k, chosen]], grid[step_PB[k, chosen] + 1]
            cost_PB[k, chosen] = T * step_cost(denoise, x_0[chosen], t, s, generator)
    in_order = cost_PB.flatten()[step_PB.flatten().argsort(stable=True)]
    error = float(in_order.diff().square().mean() / 2 / in_order.numel()) ** 0.5
    return float(cost_PB.mean()), error


def exact_bound(denoise: Denoiser, x_0: Tensor, grid: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """The same with every step of the grid for every image: for short grids."""
    pairs = zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True)
    full = torch.ones(len(x_0), dtype=torch.float64)
    cost_TB = torch.stack([step_cost(denoise, x_0, t * full, s * full, generator) for t, s in pairs])
    return float(cost_TB.sum(0).mean()), float(cost_TB.var(1).sum() / len(x_0)) ** 0.5


def fitted_grid(
    denoise: Denoiser, x_0: Tensor, steps: list[int], generator: torch.Generator, points: int = 128
) -> dict[int, Tensor]:
    """For each number of steps the grid with the lowest bound on these images, exactly, among `points` even places.

    The cost of a step from t to s does not depend on the others, so this is a shortest path. There are more places than
    steps, or there is no path.
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
