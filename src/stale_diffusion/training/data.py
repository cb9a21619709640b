"""Batches for the denoiser: which streams it sees, which are given, and how stale the rest is.

A batch is one job, so that its tensors are rectangular:
  dream     scene and all that is felt (what a performed movie is made of)
  all       these and sight.coarse and hearing
  complete  sight.coarse and hearing without a scene, as a real clip comes; what a clip lacks is stale and not asked for
  paint     all, and the sight.fine tokens of one moment
  scene     the scene alone, which a performed movie begins with
  heard     the scene by a given sound; seen: by a given picture

Streams of which the corpus holds nothing are left out of every job; an additional sense (balance) may be missing from
some of its examples, where it is stale and not asked for.

The order of examples, their staleness and every flip follow from (seed, step) alone: a run that is resumed at a step
goes on as if it had never stopped.

Shapes: B movies, L tokens, D bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stale_diffusion.channel import corrupt
from stale_diffusion.clips.shards import Example
from stale_diffusion.errors import StaleError
from stale_diffusion.model.transformer import Tokens
from stale_diffusion.streams import PERFORMED
from stale_diffusion.training.rewording import Rewording

SENSED = ("sight.coarse", "hearing")
JOBS: Mapping[str, tuple[str, ...]] = {
    "dream": PERFORMED,
    "all": (*PERFORMED, *SENSED),
    "complete": (*PERFORMED[1:], *SENSED),
    "paint": (*PERFORMED, *SENSED, "sight.fine"),
    "scene": ("scene",),
    "heard": ("scene", "hearing"),
    "seen": ("scene", "sight.coarse"),
}
LEADS = {"heard": "hearing", "seen": "sight.coarse"}  # always given
REQUIRED = ("scene", "touch", "smell", "taste", "sight", "hearing")  # senses that an example of a job must have
GROUP = 60  # sight.fine tokens of one moment
_NO_PLOT = 0.1  # share of examples whose plot is hidden: guidance, and movies without a plot
_ODD = 0.25  # share whose plot or one sense is another movie's: the label y = -1 of eq. 3
_STAYS = 0.6  # share of scenes with a past whose first token is given
_FIRST = 0.3  # share of batches without a past, as at a movie's start


@dataclass(frozen=True)
class Batch:
    """What one step of training sees.

    Args:
        now, past: tokens of this segment, gone stale, and of the one before, as they are.
        truth: {stream: (B, L, D)} what `now` was.
        known: {stream: (B,)} whether an example has that stream; where not, its truth is noise.
        captions: (B,) plots; hidden ones are empty.
        together: (B,) whether senses and plot are one clip's; bits of a mismatched clip teach nothing true.
        label: (B,) y of eq. 3: what was counted of a clip, where it was; else +1 where together, -1 where not.
    """

    now: dict[str, Tokens]
    past: dict[str, Tokens]
    truth: dict[str, Tensor]
    known: dict[str, Tensor]
    captions: list[str]
    together: Tensor
    label: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        now, past = (
            {n: Tokens(t.bits.to(device), t.staleness.to(device), t.which.to(device)) for n, t in tokens.items()}
            for tokens in (self.now, self.past)
        )
        truth, known = ({n: t.to(device) for n, t in parts.items()} for parts in (self.truth, self.known))
        return Batch(now, past, truth, known, self.captions, self.together.to(device), self.label.to(device))


class Corpus:
    """Examples in memory, bits packed eight to the byte."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self.packed: list[dict[str, np.ndarray]] = []
        self.shapes: dict[str, tuple[int, int]] = {}
        self.captions: list[str] = []
        self.labels: list[int | None] = []
        for e in examples:
            self.packed.append({name: np.packbits(b > 0, axis=-1) for name, b in e.bits.items()})
            self.shapes |= {name: (b.shape[1], b.shape[2]) for name, b in e.bits.items()}
            self.captions.append(e.caption)
            self.labels.append(e.label)

    def __len__(self) -> int:
        return len(self.packed)

    def having(self, streams: Iterable[str]) -> list[int]:
        """The examples that have all of these streams."""
        wanted = set(streams)
        return [i for i, bits in enumerate(self.packed) if wanted <= bits.keys()]

    def bits(self, example: int, stream: str, segment: int) -> np.ndarray:
        """(L, D) in {-1, +1}; all -1 where the example does not have the stream."""
        if stream not in self.packed[example]:
            return np.full(self.shapes[stream], -1, np.int8)
        return np.unpackbits(self.packed[example][stream][segment], axis=-1).astype(np.int8) * 2 - 1

    def clips(self) -> list[int]:
        """The examples without a scene that have something to go by and something to learn."""

        def useful(bits: dict[str, np.ndarray]) -> bool:
            return any(n in bits for n in SENSED) and any(n in bits for n in ("touch.vibration", "smell"))

        return [i for i, bits in enumerate(self.packed) if "scene" not in bits and useful(bits)]

    def segments(self, example: int) -> int:
        """How many segments an example has."""
        return len(next(iter(self.packed[example].values())))


class Sampler:
    """Draws batches from a corpus.

    Args:
        corpus: the examples.
        mix: {job: share of the batches}.
        batch: examples a batch.
        seed: with the step, fixes everything that is drawn.
        mess_up: share of given bits that are wrong all the same, at most; drawn anew for each example.
        reworded: share of plots that are said in other words.
    """

    def __init__(
        self, corpus: Corpus, mix: Mapping[str, float], batch: int, seed: int, mess_up: float = 0.0,
        reworded: float = 0.0,
    ) -> None:  # fmt: skip
        self.corpus, self.batch, self.seed, self.mess_up = corpus, batch, seed, mess_up
        self.reworded = reworded
        self._reword = Rewording(corpus.captions) if reworded else None
        self.jobs = {job: share for job, share in mix.items() if share > 0}
        self.reads = {job: [n for n in JOBS[job] if _sense(n) in REQUIRED or n in corpus.shapes] for job in self.jobs}
        self.eligible = {
            job: corpus.having(n for n in names if _sense(n) in REQUIRED) for job, names in self.reads.items()
        }
        if "complete" in self.eligible:
            self.eligible["complete"] = _balanced(self.eligible["complete"], corpus.clips())
        for job, found in self.eligible.items():
            if not found:
                raise StaleError(f"No example has what the job {job!r} needs.", f"It reads {', '.join(JOBS[job])}.",
                                 "Set its share in [train.mix] to 0, or add rendered clips.")  # fmt: skip

        self.longer = {job: [i for i in found if corpus.segments(i) > 1] for job, found in self.eligible.items()}

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng([self.seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        shares = np.array(list(self.jobs.values()))
        job = str(rng.choice(list(self.jobs), p=shares / shares.sum()))
        has_past = rng.random() >= _FIRST and len(self.longer[job]) > 0
        pool = self.longer[job] if has_past else self.eligible[job]
        chosen = rng.choice(pool, self.batch)
        segment = [int(rng.integers(int(has_past), self.corpus.segments(i))) for i in chosen]
        group = int(rng.integers(6))
        names = self.reads[job]
        index = {name: torch.arange(self.corpus.shapes[name][0]) for name in names}
        if job == "paint":
            index["sight.fine"] = torch.arange(group * GROUP, (group + 1) * GROUP)
        truth = {name: self._gather(chosen, name, segment, index[name]) for name in names}
        past = {}
        if has_past:
            kept = {name: index[name] for name in names if name != "sight.fine"}
            past = {n: self._gather(chosen, n, [s - 1 for s in segment], i) for n, i in kept.items()}
        captions = ["" if rng.random() < _NO_PLOT else self.corpus.captions[i] for i in chosen]
        if self._reword is not None:
            captions = [self._reword(c, rng) if c and rng.random() < self.reworded else c for c in captions]
        known = {n: torch.tensor([n in self.corpus.packed[i] for i in chosen]) for n in names}
        together = self._mismatch(rng, truth, captions)
        counted = torch.tensor([float(self.corpus.labels[i] or 1) for i in chosen])
        label = torch.where(together, counted, -1.0)
        staleness = _staleness(rng, truth, self.batch)
        if job in LEADS:
            staleness[LEADS[job]][:] = 0
        now = {}
        for name, bits in truth.items():
            t_BL = staleness[name][:, None].repeat(1, bits.shape[1])
            if name == "scene" and past:  # a movie that goes on stays where it is: place, variant and hour are given
                t_BL[torch.from_numpy(rng.random(self.batch) < _STAYS), 0] = 0
            t_BL[~known[name]] = 1.0
            rotten = corrupt(bits, t_BL[..., None], generator)
            if self.mess_up:
                rotten = torch.where(t_BL[..., None] == 0, self._messed_up(rotten, rng, generator), rotten)
            now[name] = Tokens(rotten, t_BL, index[name])
        lacking = {n: (~known[n]).double()[:, None].repeat(1, len(index[n])) for n in past}
        before = {
            n: Tokens(corrupt(b, lacking[n][..., None], generator), lacking[n], index[n]) for n, b in past.items()
        }
        return Batch(now, before, truth, known, captions, together, label)

    def _messed_up(self, bits: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        """Mess-up regularisation: some bits flipped, of each example a share of its own below `mess_up`; half of the
        examples stay as they are. Nothing tells the network, so it stops trusting what it is given."""
        share = torch.from_numpy(rng.random(self.batch) * self.mess_up * (rng.random(self.batch) < 0.5))
        flips = torch.rand(bits.shape, generator=generator) < share[:, None, None]
        return torch.where(flips, -bits, bits)

    def _gather(self, chosen: np.ndarray, name: str, segments: list[int], index: Tensor) -> Tensor:
        rows = [self.corpus.bits(i, name, s)[index.numpy()] for i, s in zip(chosen, segments, strict=True)]
        return torch.from_numpy(np.stack(rows))

    def _mismatch(self, rng: np.random.Generator, truth: dict[str, Tensor], captions: list[str]) -> Tensor:
        """Swap the plot or one sense of some examples with their neighbour's, in place; returns who was left whole."""
        together = torch.ones(self.batch, dtype=torch.bool)
        originals = {name: bits.clone() for name, bits in truth.items()}
        said = list(captions)
        senses = sorted({name.split(".")[0] for name in truth})
        for b in np.flatnonzero(rng.random(self.batch) < _ODD):
            other, what = (b + 1) % self.batch, str(rng.choice(["plot", *senses]))
            together[b] = False
            if what == "plot":
                captions[b] = said[other]
            for name in truth:
                if name.split(".")[0] == what:
                    truth[name][b] = originals[name][other]
        return together


def _sense(stream: str) -> str:
    return stream.split(".")[0]


def _balanced(dreams: list[int], clips: list[int]) -> list[int]:
    """Dreams and clips in equal parts, whatever there are of each."""
    if not dreams or not clips:
        return dreams or clips
    return dreams * max(1, len(clips) // len(dreams)) + clips * max(1, len(dreams) // len(clips))


def _staleness(rng: np.random.Generator, truth: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
    """A staleness per sense, (B,): of each example either one for all, one for those not given, or one each."""
    senses = sorted({name.split(".")[0] for name in truth})
    common = (np.arange(batch) + rng.random(batch)) / batch  # stratified: every batch sees all of [0, 1]
    rng.shuffle(common)
    t = np.repeat(common[:, None], len(senses), 1)
    kind = rng.random(batch)
    given = rng.random(t.shape) < rng.random((batch, 1))
    t[(kind[:, None] < 0.4) & given] = 0
    own = kind >= 0.85
    t[own] = rng.random((int(own.sum()), len(senses)))
    column = {sense: torch.from_numpy(t[:, i]) for i, sense in enumerate(senses)}
    return {name: column[name.split(".")[0]] for name in truth}
