"""Movie bits as an arena: a held-out set of true segments, the bound of a network on them, and what its samples are.

The bits are those that a performed movie is made of (scene, touch, smell, taste; one segment, no past). Nothing here
begins from a draft: it is the network alone that is judged.

Shapes: B segments, L tokens, D bits, N bits of all streams side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stale_diffusion import scene
from stale_diffusion.channel import COSINE, EDGE, bridge, corrupt, posterior
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.dreamscapes.perform import lanes
from stale_diffusion.guidance import guided
from stale_diffusion.machine import fastest_type
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, Tokens
from stale_diffusion.sample import SAMPLERS, Step, pack, unpack
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.senses.touch import to_unit

STREAMS = ("scene", "touch.vibration", "touch.air", "smell", "taste")
HELD_OUT = 9003  # seed; no config trains on it
GRID = 64  # steps of the bound


@dataclass(frozen=True)
class Segments:
    """True segments: plots, and their bits {stream: (B, L, D)}."""

    plots: list[str]
    bits: dict[str, Tensor]

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """{stream: (L, D)}."""
        return {n: (b.shape[1], b.shape[2]) for n, b in self.bits.items()}


@lru_cache
def held_out(count: int) -> Segments:
    """The first segments of `count` clips of a seed that no training saw."""
    clips = [clip(i, seed=HELD_OUT, segments=1, rendered=False) for i in range(count)]
    bits = {n: torch.from_numpy(np.concatenate([c.bits[n] for c in clips])) for n in STREAMS}
    return Segments([c.caption for c in clips], bits)


def denoiser(
    model: Denoiser, plots: Sequence[str], shapes: dict[str, tuple[int, int]], *, guidance: float = 1.0,
    turns: int | None = None, given: dict[str, Tensor] | None = None, thoughts: bool = True,
    shape_odds: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> Callable[[Tensor, Tensor], Tensor]:  # fmt: skip
    """A network as the samplers want it, (x_BN, t_BN) -> eta (B, N), for the streams of `shapes`.

    Args:
        guidance: of the plot; 1 is the network's own odds.
        turns: of the loop.
        given: bits that are known, {stream: (B, L, D)}.
        thoughts: a self-conditioned network reads what it thought a call before.
        shape_odds: changes the log-odds {stream: (B, L, D)} before they are read.
    """
    encode, dtype = PlotEncoder(), next(model.parameters()).dtype
    both = guidance != 1
    plot = encode([*plots, *[""] * len(plots)] if both else list(plots))
    before: dict[str, Tensor] = {}

    def denoise(x_BN: Tensor, t_BN: Tensor) -> Tensor:
        nonlocal before
        bits, t = unpack(x_BN, shapes), unpack(t_BN.expand(x_BN.shape), shapes)
        now = {n: (b, torch.zeros(b.shape[:2]), None) for n, b in (given or {}).items()}
        now |= {n: (bits[n], t[n].amax(-1), before.get(n)) for n in shapes}
        tokens = {n: Tokens(_twice(b, both), _twice(s, both), torch.arange(b.shape[1]),
                            None if e is None else _twice(e, both)) for n, (b, s, e) in now.items()}  # fmt: skip
        with torch.inference_mode():
            margins, _ = model(tokens, {}, (plot[0].to(dtype), plot[1]), turns)
        odds = {n: torch.logit(model.arm.probability(margins[n]), eps=EDGE) for n in shapes}
        if both:
            odds = {n: guided(l, guidance) for n, l in odds.items()}
        odds = shape_odds(odds) if shape_odds else odds
        eta = {n: torch.sigmoid(l) for n, l in odds.items()}
        if thoughts and model.shape.self_conditioned:
            before = {n: (2 * e - 1).float() for n, e in eta.items()}
        return pack(eta)

    return denoise


def _twice(x: Tensor, both: bool) -> Tensor:
    return torch.cat([x, x]) if both else x


def ready(model: Denoiser) -> Denoiser:
    """A network for inference, in the machine's faster type."""
    return model.eval().to(fastest_type())


def bound(
    model: Denoiser, true: Segments, draws: int = 4, batch: int = 64, turns: int | None = None
) -> dict[str, float]:
    """Variational bound of the reverse process with GRID steps, bits a segment, by stream and in all ("total")."""
    means = {n: float(bits_B.mean()) for n, bits_B in bounds(model, true, draws, batch, turns).items()}
    return {**means, "total": sum(means.values())}


def bounds(
    model: Denoiser, true: Segments, draws: int = 4, batch: int = 64, turns: int | None = None
) -> dict[str, Tensor]:
    """The bound of each segment by stream, (B,) bits, always under the same noise.

    Each draw is one step per segment, stratified over the grid: T KL(q(x_s | x_t, x_0) || p(x_s | x_t)).
    """
    shapes, count = true.shapes, len(true.plots)
    generator = torch.Generator().manual_seed(0)
    sums = {n: torch.zeros(count, dtype=torch.float64) for n in shapes}
    for draw in range(draws):
        order = torch.randperm(count, generator=generator)
        step = ((torch.arange(count) + draw / draws) * GRID / count).long()[order]
        for rows in torch.arange(count).split(batch):
            plots = [true.plots[i] for i in rows]
            x_0 = pack({n: b[rows] for n, b in true.bits.items()})
            t = ((step[rows] + 1) / GRID)[:, None].double()
            rho_t, rho_s = COSINE.rho(t), COSINE.rho(step[rows][:, None].double() / GRID)
            x_t = corrupt(x_0, t.expand(x_0.shape), generator)
            eta = denoiser(model, plots, shapes, turns=turns, thoughts=False)(x_t, t)
            kl = _kl(bridge(x_t, x_0, rho_t, rho_s), posterior(x_t, eta.clamp(EDGE, 1 - EDGE), rho_t, rho_s))
            for n, part in unpack(kl, shapes).items():
                sums[n][rows] += GRID * part.flatten(1).sum(1) / draws
    return sums


def _kl(q: Tensor, p: Tensor) -> Tensor:
    """KL of two coins, bits."""
    return (torch.special.xlogy(q, q / p) + torch.special.xlogy(1 - q, (1 - q) / (1 - p))) / np.log(2)


@dataclass(frozen=True)
class Sampled:
    """What a sampler made: bits {stream: (B, L, D)}, calls of the network, certainty after each step."""

    bits: dict[str, Tensor]
    calls: int
    certainty: list[float]


def sample(
    model: Denoiser,
    plots: Sequence[str],
    shapes: dict[str, tuple[int, int]],
    steps: int,
    *,
    sampler: str = "ancestral",
    seed: int = 0,
    given: dict[str, Tensor] | None = None,
    greedy_last: bool = True,
    until_cake: float | None = None,
    guidance: float = 1.0,
    turns: int | None = None,
    shape_odds: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> Sampled:
    """Sample segments for plots, one generator a segment."""
    call = denoiser(model, plots, shapes, guidance=guidance, turns=turns, given=given, shape_odds=shape_odds)
    calls = 0

    def counted(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return call(x, t)

    generators = [torch.Generator().manual_seed(seed * 100_003 + i) for i in range(len(plots))]
    x = torch.ones(len(plots), sum(length * width for length, width in shapes.values()), dtype=torch.int8)
    certainty, last = [], None
    for step in SAMPLERS[sampler](counted, x, torch.ones(1, 1), steps, generators, greedy_last=greedy_last,
                                  until_cake=until_cake):  # fmt: skip
        last = step
        certainty.append(float(step.certainty.mean()))
    assert isinstance(last, Step)
    return Sampled(unpack(last.bits, shapes), calls, certainty)


def judge(made: dict[str, Tensor], true: Segments) -> dict[str, float]:
    """How samples for the plots of true segments look beside them.

    place: share whose scene is of the plot's place; hour_error: mean distance in hours; mmd: see `mmd`, of all bits;
    follows_touch, follows_smell: correlation over time of what is felt with what physics makes of the sample's own
    scene; diversity: mean Hamming distance of samples over that of true segments.
    """
    ours, theirs = (scene.decode(b["scene"].numpy()) for b in (made, true.bits))
    place = np.mean([a.place == b.place for a, b in zip(ours, theirs, strict=True)])
    apart = [abs(a.statics["hour"] - b.statics["hour"]) for a, b in zip(ours, theirs, strict=True)]
    x, y = (pack({n: b[n] for n in true.bits}).float() for b in (made, true.bits))
    return {
        "place": float(place),
        "hour_error": float(np.mean([24 * min(d, 1 - d) for d in apart])),
        "mmd": mmd(x, y),
        "follows_touch": _follows(made, "touch"),
        "follows_smell": _follows(made, "smell"),
        "diversity": float(_distances(x, x).mean() / _distances(y, y).mean()),
    }


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Share of bits that differ, (B, B)."""
    return (1 - x @ y.T / x.shape[1]) / 2


def mmd(x: Tensor, y: Tensor) -> float:
    """Square root of the biased V-statistic with the kernel exp(-8 share of differing bits)."""
    within, across = [torch.exp(-8 * _distances(a, b)).double().mean() for a, b in ((x, x), (y, y))], _distances(x, y)
    return float((within[0] + within[1] - 2 * torch.exp(-8 * across).double().mean()).clamp(min=0).sqrt())


def _follows(made: dict[str, Tensor], sense: str) -> float:
    """Mean correlation over time of a sampled sense with its own scene's physics, where something changes."""
    streams = {s.name: made[s.name].numpy() for s in SENSES[sense].streams}
    values = SENSES[sense].decode(streams).reshape(len(made["scene"]), SENSES[sense].samples, -1)
    found = []
    for bits, sampled in zip(made["scene"].numpy(), values, strict=True):
        implied = lanes(Stage(scene.decode(bits[None])))[sense]
        a, b = (to_unit(v)[:, 0] if sense == "touch" else v.mean(1) for v in (sampled, implied))
        if b.std() > 0.01:
            found.append(float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 else 0.0)
    return float(np.mean(found)) if found else 0.0
