"""The training loop: batches in, weights out, to be killed and resumed at will.

Shapes: B movies, L tokens, D bits.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stale_diffusion import scene
from stale_diffusion.errors import StaleError
from stale_diffusion.hinge import hinge
from stale_diffusion.machine import fastest_type
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, Shape, Tokens, sizes_of
from stale_diffusion.model.weights import read_model
from stale_diffusion.streams import FIELDS, STREAMS
from stale_diffusion.training import checkpoint
from stale_diffusion.training.config import Config, Train
from stale_diffusion.training.data import Batch, Corpus, Sampler

STREAM_WEIGHT = {"scene": 4.0}  # few bits, and they decide all the others; the rest weigh 1
STATICS_WEIGHT = 6.0  # of a scene's statics beside its curves and events
SCORE_WEIGHT = 0.3  # of the clip score's hinge beside the bits'
_STEEP = 4.0  # of the arctangent at its middle
DECAYS = ("cosine", "arctangent")


@dataclass(frozen=True)
class Progress:
    """Args: step, steps; loss: mean over wanted bits since the last report; losses: by stream; score_accuracy: share of
    clips whose label y-hat has the sign of; seconds: spent on this run by this process; saved: a checkpoint was
    written."""

    step: int
    steps: int
    loss: float
    losses: dict[str, float]
    score_accuracy: float
    seconds: float
    saved: Path | None


def build(config: Config, corpus: Corpus) -> Denoiser:
    """A new denoiser for all streams of a corpus, its weights fixed by the config's seed."""
    torch.manual_seed(config.train.seed)
    sizes = {name: size for name, size in sizes_of(STREAMS).items() if name in corpus.shapes}
    fields = {name: rows for name, rows in FIELDS.items() if name in sizes}
    return Denoiser(Shape(streams=sizes, fields=fields, **asdict(config.model)))


def losses(
    model: Denoiser, batch: Batch, plot: tuple[Tensor, Tensor], turns: int | None = None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The model's loss per bit, {stream: mean over wanted bits}; the hinge per clip (eq. 3); and y-hat (B,)."""
    margins, score_B = model(batch.now, batch.past, plot, turns)
    together_B11 = batch.together.float()[:, None, None]
    out = {}
    for name, margin_BLD in margins.items():
        learnt_B11 = together_B11 * batch.known[name].float()[:, None, None]
        wanted_BL1 = (batch.now[name].staleness > 0).float()[..., None] * learnt_B11
        if name == scene.STREAM.name:
            wanted_BL1 = wanted_BL1 * _importance(batch.now[name].which)[:, None]
        loss_BLD = model.arm.loss(margin_BLD, batch.truth[name].float()) * wanted_BL1
        out[name] = loss_BLD.sum() / (wanted_BL1.sum() * loss_BLD.shape[-1]).clamp(min=1)
    # Mismatched clips are a quarter of all; counted in full, they make +1 for everything no answer.
    weight_B = torch.where(batch.label < 0, 3.0, 1.0)
    return out, (hinge(score_B, batch.label) * weight_B).sum() / weight_B.sum(), score_B


def _importance(which: Tensor) -> Tensor:
    """The weight of scene tokens (L,): the few bits of place, hour and weather decide what all the others look like."""
    return torch.where(which < len(scene.STATICS), STATICS_WEIGHT, 1.0)


def rate_at(step: int, train: Train) -> float:
    """Share of the learning rate at a step: linear warm-up, then down to 2 % along half a cosine or an arctangent."""
    if step < train.warmup:
        return (step + 1) / train.warmup
    done = (step - train.warmup) / max(1, train.steps - train.warmup)
    if train.decay == "arctangent":
        return 0.51 + 0.49 * math.atan(_STEEP * (1 - 2 * done)) / math.atan(_STEEP)
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done))


def optimizers(model: Denoiser, train: Train) -> dict[str, torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the matrices of the blocks, AdamW for everything else."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return {
        "muon": torch.optim.Muon(matrices, lr=train.rate, weight_decay=0.01, adjust_lr_fn="original"),
        "adamw": torch.optim.AdamW(rest, lr=train.rate / 10, betas=(0.9, 0.98), weight_decay=0.0),
    }


def _average(mean: dict[str, Tensor], model: nn.Module, step: int, length: float) -> None:
    """Power-function average of the weights (EDM2, eq. 123-127), in place: beta = (1 - 1/t)^(1 + gamma)."""
    gamma = 1 / length - 1  # about the gamma whose averaging length is `length` of the run so far
    beta = (1 - 1 / (step + 1)) ** (gamma + 1)
    for name, p in model.state_dict().items():
        mean[name].lerp_(p.float(), 1 - beta)


def _learn(
    model: Denoiser,
    batch: Batch,
    plot: tuple[Tensor, Tensor],
    opts: dict[str, torch.optim.Optimizer],
    rates: list[float],
    rng: np.random.Generator,
) -> tuple[dict[str, float], float]:
    """One step of gradient descent; the losses by stream, and the share of clips whose label y-hat has the sign of."""
    for opt, rate in zip(opts.values(), rates, strict=True):
        opt.param_groups[0]["lr"] = rate
        opt.zero_grad(set_to_none=True)
    kind = batch.label.device.type
    dtype = fastest_type(kind)
    turns = int(rng.integers(1, model.shape.turns + 1))  # any number of turns is learnt, up to the shape's
    with torch.autocast(kind, dtype, enabled=dtype != torch.float32):
        if model.shape.self_conditioned and rng.random() < 0.5:
            batch = _thought_through(model, batch, plot, turns)
        by_stream, score_loss, score_B = losses(model, batch, plot, turns)
    bits_loss = torch.stack([STREAM_WEIGHT.get(name, 1.0) * loss for name, loss in by_stream.items()]).sum()
    torch.autograd.backward(bits_loss + SCORE_WEIGHT * score_loss)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for opt in opts.values():
        opt.step()
    right = ((score_B * batch.label) > 0).float().mean()
    return {name: loss.item() for name, loss in by_stream.items()}, right.item()


@torch.no_grad()
def _thought_through(model: Denoiser, batch: Batch, plot: tuple[Tensor, Tensor], turns: int) -> Batch:
    """The batch with what the network thinks of it (self-conditioning, Chen et al. 2023)."""
    margins, _ = model(batch.now, batch.past, plot, turns)
    now = {
        n: Tokens(t.bits, t.staleness, t.which, (2 * model.arm.probability(margins[n]) - 1).float())
        for n, t in batch.now.items()
    }
    return replace(batch, now=now)


def train(config: Config, corpus: Corpus, run: Path, stopping: Callable[[], bool]) -> Iterator[Progress]:
    """Train, from the newest checkpoint in `run` if there is one; yields reports and ends when done or stopped.

    Args:
        stopping: asked after each step; once true, a last checkpoint is written and the run ends.
    """
    t = config.train
    if t.decay not in DECAYS:
        raise StaleError(f"The rate cannot decay by {t.decay!r}.", f"It knows {', '.join(DECAYS)}.", usage=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build(config, corpus).to(device)
    opts = optimizers(model, t)
    mean = {name: p.detach().clone().float() for name, p in model.state_dict().items()}
    if t.compiled:
        _compile(model)
    first = _restore(run, model, mean, opts, Path(t.start) if t.start else None)
    sampler, encode = Sampler(corpus, t.mix, t.batch, t.seed, t.mess_up, t.reworded), PlotEncoder()
    started = saved_at = time.monotonic()
    seen: list[tuple[dict[str, float], float]] = []
    for step in range(first, t.steps):
        batch = sampler(step).to(device)
        vectors, mask = encode(batch.captions)
        torch.manual_seed(t.seed + step)  # the noise of the forms' gates follows from the step, too
        rates = [share * rate_at(step, t) * t.rate for share in (1.0, 0.1)]
        rng = np.random.default_rng([t.seed, step, 1])
        seen.append(_learn(model, batch, (vectors.to(device), mask.to(device)), opts, rates, rng))
        _average(mean, model, step, t.average)
        last = step + 1 == t.steps or stopping()
        saved = None
        if last or time.monotonic() - saved_at > 60 * t.save_minutes:
            saved = _save(config, run, step + 1, model, mean, opts)
            saved_at = time.monotonic()
        if saved or (step + 1) % t.log_steps == 0:
            yield _progress(step + 1, t.steps, seen, time.monotonic() - started, saved)
            seen = []
        if last:
            return


def _compile(model: Denoiser) -> None:
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        mend = "sudo apt install g++, or set compiled = false in [train]."
        raise StaleError("The blocks cannot be compiled.", "There is no C++ compiler here.", mend)
    torch._dynamo.config.cache_size_limit = 64  # a shape a job, with and without a past
    for block in model.blocks:
        block.compile(dynamic=False)


def _progress(
    step: int, steps: int, seen: list[tuple[dict[str, float], float]], seconds: float, saved: Path | None
) -> Progress:
    names = list(dict.fromkeys(name for by_stream, _ in seen for name in by_stream))
    means = {n: fmean(by_stream[n] for by_stream, _ in seen if n in by_stream) for n in names}
    return Progress(step, steps, fmean(means.values()), means, fmean(right for _, right in seen), seconds, saved)


def _save(config: Config, run: Path, step: int, model: Denoiser, mean: dict[str, Tensor], opts: dict[str, Any]) -> Path:
    groups = {"model": model.state_dict(), "average": mean, "optimizer": checkpoint.flatten(opts)}
    return checkpoint.save(run, step, groups, {"config": config.to_json(), "shape": model.shape.to_json()})


def _restore(run: Path, model: Denoiser, mean: dict[str, Tensor], opts: dict[str, Any], start: Path | None) -> int:
    """Load the newest checkpoint of the run, or the weights to start from; returns the first step to do."""
    found = checkpoint.latest(run)
    if found is not None:
        state, tensors, _ = found
        model.load_state_dict(tensors["model"])
        checkpoint.unflatten(opts, tensors["optimizer"])
        for name, value in tensors["average"].items():
            mean[name].copy_(value)
        return int(state["step"])
    if start is not None:
        _begin(model, mean, start)
    return 0


def _begin(model: Denoiser, mean: dict[str, Tensor], start: Path) -> None:
    """Take over the weights of another model, a file or a run; streams that it did not know begin new."""
    older, _ = read_model(start)
    sizes = [(m.shape.width, m.shape.depth, m.shape.heads) for m in (older, model)]
    changed = [n for n, size in older.shape.streams.items() if tuple(model.shape.streams.get(n, ())) != tuple(size)]
    if sizes[0] != sizes[1] or changed:
        why = f"Its width, depth and heads are {sizes[0]}, the config's {sizes[1]}." if not changed else f"{changed[0]}"
        raise StaleError(f"The model {start} has another shape.", why, "Write its [model] into the config.", usage=True)
    model.load_state_dict(older.state_dict(), strict=False)
    for name, value in older.state_dict().items():
        mean[name].copy_(value)
