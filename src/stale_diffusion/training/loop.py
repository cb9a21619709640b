"""The training loop: batches in, weights out, to be killed and resumed at will, by one process or by many.

What is drawn follows from (seed, step), so a step is the same step whoever does it and how often. A checkpoint holds
all the rest: weights, averages, optimisers, random state, and the hash of the data's order so far.

Shapes: B movies, L tokens, D bits.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stale_diffusion import scene
from stale_diffusion.console import console
from stale_diffusion.errors import StaleError
from stale_diffusion.hinge import hinge
from stale_diffusion.machine import matrix_rate
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, Shape, Tokens, sizes_of
from stale_diffusion.model.weights import read_model
from stale_diffusion.streams import FIELDS, STREAMS
from stale_diffusion.training import averages, checkpoint, facts
from stale_diffusion.training.batches import batches, chained
from stale_diffusion.training.claim import asked_to_pause, claim
from stale_diffusion.training.config import Config, Train
from stale_diffusion.training.data import Batch, Corpus, Sampler
from stale_diffusion.training.logbook import Progress, memory, step_flops
from stale_diffusion.training.ranks import Ranks, one, state, whole
from stale_diffusion.training.stopping import Stop

STREAM_WEIGHT = {"scene": 4.0}  # few bits, and they decide all the others; the rest weigh 1
STATICS_WEIGHT = 6.0  # of a scene's statics beside its curves and events
SCORE_WEIGHT = 0.3  # of the clip score's hinge beside the bits'
_STEEP = 4.0  # of the arctangent at its middle
DECAYS = ("cosine", "arctangent")


def build(config: Config, corpus: Corpus, streams: Iterable[str] = ()) -> Denoiser:
    """A new denoiser, its weights fixed by the config's seed, for some streams, or for all of a corpus."""
    torch.manual_seed(config.train.seed)
    wanted = set(streams) or corpus.shapes.keys()
    sizes = {name: size for name, size in sizes_of(STREAMS).items() if name in wanted}
    fields = {name: rows for name, rows in FIELDS.items() if name in sizes}
    return Denoiser(Shape(streams=sizes, fields=fields, **asdict(config.model)))


def losses(
    model: Denoiser, batch: Batch, plot: tuple[Tensor, Tensor], turns: int | None = None, of: Batch | None = None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The model's loss per bit, {stream: mean over wanted bits}; the hinge per clip (eq. 3); and y-hat (B,).

    Args:
        of: the batch that `batch` is a share of: the losses are then this share's part of its means, which add up.
    """
    of = of or batch
    margins, score_B = model(batch.now, batch.past, plot, turns)
    out = {}
    for name, margin_BLD in margins.items():
        loss_BLD = model.arm.loss(margin_BLD, batch.truth[name].float()) * _wanted(batch, name)
        out[name] = loss_BLD.sum() / (_wanted(of, name).sum() * loss_BLD.shape[-1]).clamp(min=1)
    loss_B = hinge(score_B, batch.label) * _weight(batch)
    return out, loss_B.sum() / _weight(of).sum(), score_B


def _wanted(batch: Batch, name: str) -> Tensor:
    """What each token of a stream counts in the loss, (B, L, 1): nothing where it is given, foreign or not known."""
    learnt_B = batch.together.float() * batch.known[name].float()
    wanted_BL = (batch.now[name].staleness > 0).float() * learnt_B[:, None]
    if name == scene.STREAM.name:
        wanted_BL = wanted_BL * _importance(batch.now[name].which)
    return wanted_BL[..., None]


def _weight(batch: Batch) -> Tensor:
    """(B,): mismatched clips are a quarter of all; counted in full, they make +1 for everything no answer."""
    return torch.where(batch.label < 0, 3.0, 1.0)


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


def _learn(
    model: Denoiser,
    batch: Batch,
    plot: tuple[Tensor, Tensor],
    opts: dict[str, torch.optim.Optimizer],
    rng: np.random.Generator,
    dtype: torch.dtype,
    ranks: Ranks,
    of: Batch,
) -> tuple[dict[str, Tensor], Tensor, int]:
    """The gradients of one step; this rank's part of the losses by stream, how many clips' labels y-hat has the sign
    of, and the turns taken."""
    for opt in opts.values():
        opt.zero_grad(set_to_none=True)
    turns = int(rng.integers(1, model.shape.turns + 1))  # any number of turns is learnt, up to the shape's
    with torch.autocast(batch.label.device.type, dtype, enabled=dtype != torch.float32):
        if model.shape.self_conditioned and rng.random() < 0.5:
            batch = _thought_through(model, batch, plot, turns)
        by_stream, score_loss, score_B = losses(model, batch, plot, turns, of)
    bits_loss = torch.stack([STREAM_WEIGHT.get(name, 1.0) * loss for name, loss in by_stream.items()]).sum()
    # The ranks' parts add up to the loss, and FSDP takes the mean of their gradients.
    torch.autograd.backward((bits_loss + SCORE_WEIGHT * score_loss) * ranks.world)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    right = ((score_B.detach() * batch.label) > 0).float().sum()
    return {name: loss.detach() for name, loss in by_stream.items()}, right, turns


@torch.no_grad()
def _thought_through(model: Denoiser, batch: Batch, plot: tuple[Tensor, Tensor], turns: int) -> Batch:
    """The batch with what the network thinks of it (self-conditioning, Chen et al. 2023)."""
    margins, _ = model(batch.now, batch.past, plot, turns)
    now = {
        n: Tokens(t.bits, t.staleness, t.which, (2 * model.arm.probability(margins[n]) - 1).float())
        for n, t in batch.now.items()
    }
    return replace(batch, now=now)


class Trainer:
    """All that a training holds: what a step changes, and what a checkpoint saves.

    Args:
        config, corpus, run: what is learnt, from what, where.
        ranks: who learns it.
    """

    def __init__(self, config: Config, corpus: Corpus, run: Path, ranks: Ranks) -> None:
        t = config.train
        self.config, self.run, self.ranks = config, run, ranks
        self.facts = facts.settle(run, t, ranks)
        self.dtype = facts.TYPES[self.facts.dtype]
        folder, kept = _newest(run, ranks)
        older = _older(t.start) if folder is None and t.start else None
        known = kept["shape"]["streams"] if folder else corpus.shapes | dict(older.shape.streams) if older else ()
        self.model = build(config, corpus, known)
        if older is not None:
            _begin(self.model, older, t.start)
        self.model.to(ranks.device)
        self.model.recompute = t.recompute
        if t.compiled:
            _compile(self.model)
        ranks.shard(self.model)
        self.opts = optimizers(self.model, t)
        self.lengths = {"average": t.average} | (dict(averages.BASIS) if t.history else {})
        self.means = {k: {n: w.clone().float() for n, w in state(self.model).items()} for k in self.lengths}
        self.step, self.order, self.saved_step = 0, "", -1
        self.random = torch.get_rng_state()
        if folder is not None:
            self._restore(folder, kept)
        self._encode = PlotEncoder()
        self._lock = threading.Lock()  # held while weights, averages and step number belong to different steps

    def _restore(self, folder: Path, kept: Mapping[str, Any]) -> None:
        params = {f"{n}.{i}": p for n, o in self.opts.items() for i, p in enumerate(o.param_groups[0]["params"])}
        targets = {f"model/{n}": w for n, w in state(self.model).items()}
        targets |= {f"{kind}/{n}": w for kind, mean in self.means.items() for n, w in mean.items()}
        for key in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
            targets |= {f"optimizer/{n}.{key}": p.detach() for n, p in params.items()}
        read = checkpoint.fill(folder, kept, targets)
        self.model.load_state_dict(read["model"])
        checkpoint.unflatten(self.opts, read["optimizer"])
        for kind, mean in self.means.items():
            for name, value in read.get(kind, read["average"]).items():  # older runs had but one average
                mean[name].copy_(value)
        if "random" in read:
            self.random = read["random"]["torch"]
            torch.set_rng_state(self.random)
        self.step, self.order = int(kept["step"]), str(kept.get("order", ""))
        self.saved_step = self.step

    def learn(self, of: Batch) -> tuple[dict[str, Tensor], Tensor, float]:
        """One step; this rank's parts of the losses, the clips rightly judged, and the operations that it took."""
        t, device = self.config.train, self.ranks.device
        order = chained(self.order, of)
        vectors, mask = self._encode(of.captions)
        rows = self.ranks.slice(len(of.label))
        plot = (vectors[rows].to(device), mask[rows].to(device))
        batch, of = self.ranks.share(of).to(device), of.to(device)
        torch.manual_seed(t.seed + self.step)  # the noise of the forms' gates follows from the step, too
        if self.model.forms is not None:
            torch.rand(rows.start, self.model.shape.depth, device=device)  # that of the ranks before this one
        rng = np.random.default_rng([t.seed, self.step, 1])
        by_stream, right, turns = _learn(self.model, batch, plot, self.opts, rng, self.dtype, self.ranks, of)
        for opt, share in zip(self.opts.values(), (1.0, 0.1), strict=True):
            opt.param_groups[0]["lr"] = share * rate_at(self.step, t) * t.rate
        with self._lock:
            for opt in self.opts.values():
                opt.step()
            for kind, length in self.lengths.items():
                averages.blend(self.means[kind], state(self.model), self.step, length)
            self.step, self.order, self.random = self.step + 1, order, torch.get_rng_state()
            if t.history and self.step % -(-t.steps // t.history) == 0:
                self._keep()
        return by_stream, right, self._flops(batch, plot[0].shape[1], turns)

    def _flops(self, batch: Batch, pieces: int, turns: int) -> float:
        tokens = sum(x.bits.shape[1] for x in (*batch.now.values(), *batch.past.values())) + 1 + pieces
        matrices = sum(p.numel() for p in self.model.blocks[0].parameters() if p.ndim == 2)
        return step_flops(self.model.shape, matrices, len(batch.label), tokens, turns)

    def _keep(self) -> None:
        means = {k: {n: whole(w).cpu() for n, w in self.means[k].items()} for k in averages.BASIS}
        error = None
        if self.ranks.first:
            try:
                averages.keep(self.run, self.step, means)
            except StaleError as e:
                error = e
        self.ranks.agree(error)

    def save(self) -> Path:
        """A checkpoint of the last whole step."""
        with self._lock:
            groups = {"model": state(self.model), **self.means, "optimizer": checkpoint.flatten(self.opts),
                      "random": {"torch": self.random}}  # fmt: skip
            about = {"config": self.config.to_json(), "shape": self.model.shape.to_json(), "order": self.order}
            path = checkpoint.save(self.run, self.step, groups, about, self.ranks)
            self.saved_step = self.step
        return path

    def rescue(self) -> None:
        """Save from another thread while a step is under way, if its last whole state is not saved yet."""
        if self.saved_step != self.step:
            self.save()


def train(config: Config, corpus: Corpus, run: Path, stopping: Callable[[], bool]) -> Iterator[Progress]:
    """Train, from the newest checkpoint in `run` if there is one; yields reports and ends when done or stopped.

    Args:
        stopping: asked after each step; once true, a last checkpoint is written and the run ends.

    Raises:
        StaleError: another training holds the run, or a checkpoint could not be saved.
    """
    check_train(config.train)
    run.mkdir(parents=True, exist_ok=True)
    ranks = one()
    with claim(run, ranks):
        yield from learn(config, corpus, run, stopping, ranks)


def check_train(t: Train) -> None:
    """Refuse what cannot be trained before anything is written."""
    if t.decay not in DECAYS:
        raise StaleError(f"The rate cannot decay by {t.decay!r}.", f"It knows {', '.join(DECAYS)}.", usage=True)
    averages.power(t.average)


def learn(config: Config, corpus: Corpus, run: Path, stopping: Callable[[], bool], ranks: Ranks) -> Iterator[Progress]:
    """`train` within a run that is claimed already, by any number of ranks."""
    t = config.train
    if t.batch < ranks.world:
        raise StaleError(f"A batch of {t.batch} is too small for {ranks.world} ranks.", mend="Raise batch.", usage=True)
    exact = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(ranks.device.type == "cpu" or exact)
    try:
        trainer = Trainer(config, corpus, run, ranks)
        if isinstance(stopping, Stop) and ranks.world == 1:
            stopping.rescue = trainer.rescue
        for unknown in corpus.shapes.keys() - trainer.model.shape.streams.keys():
            del corpus.shapes[unknown]  # a sense that came after this run's first checkpoint
        sampler = Sampler(corpus, t.mix, t.batch, t.seed, t.mess_up, t.reworded)
        yield from _steps(trainer, sampler, stopping)
    finally:
        torch.use_deterministic_algorithms(exact)


def _steps(trainer: Trainer, sampler: Sampler, stopping: Callable[[], bool]) -> Iterator[Progress]:
    t, ranks, run = trainer.config.train, trainer.ranks, trainer.run
    peak = matrix_rate(trainer.dtype, ranks.device.type, 4096 if ranks.device.type == "cuda" else 512)
    seen = _Seen(trainer, peak)
    saved_at = time.monotonic()
    with closing(batches(sampler, trainer.step, t.steps, t.loaders)) as made:
        for batch in made:
            seen.add(*trainer.learn(batch))
            due = ranks.first and time.monotonic() - saved_at >= 60 * t.save_minutes
            stop, due = ranks.either(stopping() or (ranks.first and asked_to_pause(run)), due)
            last = stop or trainer.step == t.steps
            saved = None
            if last or due:
                saved = trainer.save()
                saved_at = time.monotonic()
            if saved or trainer.step % t.log_steps == 0:
                yield seen.report(saved)
                seen = _Seen(trainer, peak, seen.begun)
            if last:
                return


class _Seen:
    """What was seen since the last report."""

    def __init__(self, trainer: Trainer, peak: float, begun: float | None = None) -> None:
        self.since = time.monotonic()
        self.begun = self.since if begun is None else begun
        self._trainer, self._peak, self._flops = trainer, peak, 0.0
        self._steps: list[tuple[dict[str, Tensor], Tensor]] = []

    def add(self, by_stream: dict[str, Tensor], right: Tensor, flops: float) -> None:
        self._steps.append((by_stream, right))
        self._flops += flops

    def report(self, saved: Path | None) -> Progress:
        """The means over all ranks; all of them must ask."""
        trainer, t = self._trainer, self._trainer.config.train
        flat = torch.stack([v.float() for by_stream, right in self._steps for v in (*by_stream.values(), right)])
        values = iter(trainer.ranks.total(flat).tolist())
        rows = [({n: next(values) for n in by_stream}, next(values) / t.batch) for by_stream, _ in self._steps]
        names = list(dict.fromkeys(name for by_stream, _ in rows for name in by_stream))
        means = {n: fmean(by_stream[n] for by_stream, _ in rows if n in by_stream) for n in names}
        now = time.monotonic()
        return Progress(
            trainer.step, t.steps, fmean(means.values()), means, fmean(right for _, right in rows), now - self.begun,
            examples=len(rows) * t.batch / (now - self.since), mfu=self._flops / (now - self.since) / self._peak,
            memory=memory(trainer.ranks.device), saved=saved,
        )  # fmt: skip


def _compile(model: Denoiser) -> None:
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        mend = "sudo apt install g++, or set compiled = false in [train]."
        raise StaleError("The blocks cannot be compiled.", "There is no C++ compiler here.", mend)
    torch._dynamo.config.cache_size_limit = 64  # a shape a job, with and without a past
    for block in model.blocks:
        block.compile(dynamic=False)


def _newest(run: Path, ranks: Ranks) -> tuple[Path | None, dict[str, Any]]:
    """The newest whole checkpoint and its state, as the first rank finds them; damaged newer ones are set aside."""
    found: tuple[Path | None, dict[str, Any]] = (None, {})
    if ranks.first:
        folder, kept, damaged = checkpoint.newest(run)
        for path in damaged:
            for line in checkpoint.examine(path)[1]:
                console.print(f"warning: {path.name} is damaged ({line}) and set aside", markup=False, soft_wrap=True)
        if damaged:
            on = f"going on from {folder.name}" if folder else "there is no whole one: beginning anew"
            console.print(f"warning: {on}", markup=False)
        checkpoint.set_aside(damaged)
        for part in run.glob("step-*.part"):  # what a killed training left
            shutil.rmtree(part, ignore_errors=True)
        found = (folder, kept)
    agreed: tuple[Path | None, dict[str, Any]] = ranks.gather(found)[0]
    return agreed


def _older(start: str) -> Denoiser:
    return read_model(None if start == "shipped" else start)[0]


def _begin(model: Denoiser, older: Denoiser, start: str) -> None:
    """Take over the weights of another model; streams that it did not know begin new."""
    sizes = [(m.shape.width, m.shape.depth, m.shape.heads) for m in (older, model)]
    changed = [n for n, size in older.shape.streams.items() if tuple(model.shape.streams.get(n, ())) != tuple(size)]
    if sizes[0] != sizes[1] or changed:
        why = f"Its width, depth and heads are {sizes[0]}, the config's {sizes[1]}." if not changed else f"{changed[0]}"
        raise StaleError(f"The model {start} has another shape.", why, "Write its [model] into the config.", usage=True)
    model.load_state_dict(older.state_dict(), strict=False)
