"""Fairness across the sample space: which true modes plot-free samples reach, and what shortcuts cost in coverage.

    make bench NAME=fairness         # N=384 scenes an arm; about five minutes on two cores

A mode is a place at a part of the day (12 places by night, dawn, day, dusk). The data's shares come from scenes drawn
from the places' climates, ten times as many. The network alone is judged: the scene, one segment, no past. Each arm:
`modes`, the share of the data's probability that lies in modes the samples reach; `places_tv`, total variation of the
shares of the places (its floor: another draw of the data); `diversity`, mean Hamming distance over that of the data.
Guidance needs a plot, so those arms take the captions of the drawn scenes.

Shapes: N scenes, L = 25 tokens, D = 32 bits.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from movie_bits import ready, sample
from report import Figure, report
from stale_diffusion import scene
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.model.weights import read_model

COUNT = int(os.environ.get("N", "384"))
SEED = 9004  # no config trains on it
SHAPES = {"scene": (scene.STREAM.tokens, scene.STREAM.bits)}
FREE: dict[str, dict[str, Any]] = {
    "ancestral": {"greedy_last": False}, "greedy_last": {}, "until_cake": {"until_cake": 0.99},
    "steps_4": {"steps": 4}, "steps_64": {"steps": 64},
}  # fmt: skip
PLOTTED: dict[str, dict[str, Any]] = {f"guidance_{w:g}": {"guidance": w} for w in (1.0, 1.5, 3.0)}


def drawn(count: int, seed: int) -> tuple[Tensor, list[str]]:
    """Scenes of one segment from the climates, (N, 25, 32), and their captions."""
    rows, captions = [], []
    for i in range(count):
        segments, caption = draw(np.random.default_rng([seed, i]), 1)
        rows.append(scene.encode(segments))
        captions.append(caption)
    return torch.from_numpy(np.concatenate(rows)), captions


def modes(bits: Tensor) -> Counter[tuple[str, str]]:
    """How many of some scenes (N, 25, 32) are in each mode."""
    found = scene.decode(bits.numpy())
    parts = [part_of_day(float(s.statics["hour"])) for s in found]
    return Counter((s.place, p if p in ("night", "dawn", "dusk") else "day") for s, p in zip(found, parts, strict=True))


def reached(ours: Counter[tuple[str, str]], true: Counter[tuple[str, str]]) -> float:
    """Share of the data's probability in modes that we reach at all."""
    return sum(n for mode, n in true.items() if ours[mode]) / true.total()


def places_tv(ours: Counter[tuple[str, str]], true: Counter[tuple[str, str]]) -> float:
    """Total variation of the shares of the places."""
    shares = []
    for found in (ours, true):
        by_place: Counter[str] = Counter()
        for (place, _), n in found.items():
            by_place[place] += n
        shares.append({p: by_place[p] / found.total() for p in scene.PLACES})
    return sum(abs(shares[0][p] - shares[1][p]) for p in scene.PLACES) / 2


def spread(bits: Tensor) -> float:
    """Mean Hamming distance of pairs, a share of all bits."""
    x = bits.flatten(1).float()
    return float(((1 - x @ x.T / x.shape[1]) / 2).sum()) / (len(x) * (len(x) - 1))


def judged(name: str, bits: Tensor, true: Tensor, many: Counter[tuple[str, str]], words: str) -> list[Figure]:
    """The figures of one arm."""
    found = modes(bits)
    lacking = [f"{p} by {h} ({n / many.total():.1%})" for (p, h), n in many.most_common() if not found[p, h]][:3]
    return [
        Figure(f"{name}_modes", reached(found, many), "1", f"lacks {', '.join(lacking) or 'none'}; {words}", "higher"),
        Figure(f"{name}_places_tv", places_tv(found, many), "1", f"{len(bits)} scenes", "lower"),
        Figure(f"{name}_diversity", spread(bits) / spread(true), "1", "of the data's", "higher"),
    ]


def main() -> None:
    started = time.monotonic()
    torch.set_num_threads(1)
    model = ready(read_model(os.environ.get("MODEL"))[0])
    true, captions = drawn(COUNT, SEED)
    many = modes(drawn(10 * COUNT, SEED + 1)[0])
    figures = judged("data", true, true, many, "the floor: another draw of the data")
    for name, manner in {**FREE, **PLOTTED}.items():
        options = dict(manner)
        steps = options.pop("steps", 16)
        plots = captions if name in PLOTTED else [""] * COUNT
        parts, calls = [], 0
        for i in range(0, COUNT, 64):  # until_cake ends a batch when all of it is cake
            made = sample(model, plots[i : i + 64], SHAPES, steps, seed=i + 1, **options)
            parts.append(made.bits["scene"])
            calls += made.calls
        figures += judged(name, torch.cat(parts), true, many, f"{calls / len(parts):.1f} calls")
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    report("fairness", figures, started)


if __name__ == "__main__":
    main()
