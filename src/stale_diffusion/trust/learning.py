"""`refuse learn`: a prude from two folders of clips.

A clip says only that something in it is refused, not where: its score is the mean of its highest places (or moments),
and the hinge is on that (multiple instances: Andrews et al. 2003). Of a good clip every place is good.

Every clip is judged by a classifier that has not seen it (five folds), and every fold's threshold is chosen on the
other folds, so that precision and recall are held out twice.

Shapes: N clips, G moments of a clip, F features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion import scene
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import BUILT, frame, sound
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.trust.clips import clips_of
from stale_diffusion.trust.features import Floats, Look, hearing_features, look, sight_features
from stale_diffusion.trust.prude import HEADS, Head, Prude, moment_scores, steadied

FOLDS = 5
LEAST = FOLDS  # clips of a folder
LEAST_SPREAD = 0.1  # of a feature, 1 dB or 4 % of white: what varies less is the encoder's doing, not the clip's
SECONDS = 60.0  # of a clip that are looked at
HIDDEN = {"sight": 24, "hearing": 12}
STEPS = 160
SCENES = 120  # Dreamscapes that it looks at to learn how to steer
POOL = {"sight": 0.05, "hearing": 0.25}  # share of places and moments of a clip that its score is the mean of


@dataclass(frozen=True)
class Learnt:
    """What the held-out clips say: at the stated rate of false alarms, and over all thresholds (auc)."""

    precision: float
    recall: float
    false_alarms: float
    auc: float
    good: int
    bad: int


def learn(
    good: Path,
    bad: Path,
    false_alarms: float = 0.05,
    *,
    scenes: int = SCENES,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Prude, Learnt]:
    """Learn a prude.

    Args:
        good, bad: folders of clips; LEAST of each at least.
        false_alarms: share of good clips that may be refused, in (0, 1).
        scenes: Dreamscapes to look at for the steering; 0: it will not steer.
        say: told how it goes.

    Raises:
        StaleError: a folder is missing, empty or too small, or the two share no sense.
    """
    if not 0 < false_alarms < 1:
        raise StaleError(f"{false_alarms} is no rate of false alarms.", mend="--false-alarms 0.05", usage=True)
    looks, labels = _looked(good, bad, say)
    heads, held_out = {}, {}
    for sense in HEADS:
        mine = [x for one in looks if (x := getattr(one, sense)) is not None]
        known = np.array([getattr(one, sense) is not None for one in looks])
        if min((known & (labels > 0)).sum(), (known & (labels < 0)).sum()) < LEAST:
            continue
        scores = np.full(len(looks), -np.inf, np.float32)
        scores[known] = _held_out(sense, mine, labels[known], seed)
        held_out[sense] = scores
        heads[sense] = _fit(sense, mine, labels[known], seed)
        say(f"{sense}: AUC {auc(scores[known], labels[known]):.3f} of {known.sum()} held-out clips")
    if not heads:
        why = f"{LEAST} clips of each folder must have a picture, or {LEAST} of each must have sound"
        raise StaleError("The two folders share no sense to learn by.", why, "add clips")
    share = false_alarms / len(heads)
    learnt = _measured(held_out, labels, share)
    lines = {n: threshold(x[labels < 0], share, x[labels > 0]) for n, x in held_out.items()}
    heads = {n: _with_threshold(h, lines[n]) for n, h in heads.items()}
    about: dict[str, Any] = {"false_alarms": false_alarms, **{k: _number(v) for k, v in vars(learnt).items()}}
    prude = Prude(heads, None, None, about)
    if scenes:
        place, rest, refused = steering(prude, scenes, seed, say)
        say(f"steering: it refuses {refused} of {scenes} scenes")
        prude = Prude(heads, place, rest, about | {"scenes": scenes, "scenes_refused": refused})
    return prude, learnt


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _looked(good: Path, bad: Path, say: Callable[[str], None]) -> tuple[list[Look], NDArray[np.int64]]:
    looks, labels = [], []
    for folder, label in ((good, -1), (bad, 1)):
        found = 0
        for file in clips_of(folder):
            try:
                looks.append(look(Filmed(file), SECONDS))
            except StaleError as error:
                say(f"skipped {file.name}: {error.why or error.what}")
                continue
            labels.append(label)
            found += 1
        if found < LEAST:
            why = f"it has {found} that can be read; {LEAST} are the least, a few dozen are better"
            raise StaleError(f"{folder} has too few clips to learn from.", why, "add clips", usage=True)
        say(f"looked at {found} clips of {folder}")
    return looks, np.array(labels)


def _fit(sense: str, xs: Sequence[Floats], labels: NDArray[np.int64], seed: int) -> Head:
    """Train one head on clips (G, ..., F) with labels +1 (refused) and -1."""
    torch.manual_seed(seed)
    flats = [torch.from_numpy(x.reshape(-1, x.shape[-1])) for x in xs]
    every = torch.cat(flats)
    mean, scale = every.mean(0), every.std(0).clamp(min=LEAST_SPREAD)
    x_NF = ((every - mean) / scale).clamp(-6, 6)
    sizes = [len(f) for f in flats]
    y_N = torch.from_numpy(labels).float()
    weight_N = torch.where(y_N > 0, 0.5 / (y_N > 0).sum(), 0.5 / (y_N < 0).sum())
    width = HIDDEN[sense]
    hidden = (torch.randn(x_NF.shape[1], width) / x_NF.shape[1] ** 0.5).requires_grad_()
    offset = torch.zeros(width, requires_grad=True)
    out = (torch.randn(width) / width**0.5).requires_grad_()
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([hidden, offset, out, bias], lr=0.01, weight_decay=0.05)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / STEPS)
        noisy = x_NF + 0.3 * torch.randn_like(x_NF)
        scores = torch.relu(noisy @ hidden + offset) @ out + bias
        pooled = torch.stack([_pool(part, POOL[sense]) for part in torch.split(scores, sizes)])
        loss = (weight_N * torch.relu(1 - y_N * pooled)).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    mean_, scale_, hidden_, offset_, out_ = (p.detach().numpy() for p in (mean, scale, hidden, offset, out))
    return Head(mean_, scale_, hidden_, offset_, out_, threshold=-float(bias.detach()))


def _pool(scores: Tensor, share: float) -> Tensor:
    return scores.topk(max(1, round(share * len(scores)))).values.mean()


def clip_score(sense: str, head: Head, x: Floats) -> float:
    """What is compared with the threshold: the highest steadied moment of a clip."""
    scores = head.score(x)
    return float(steadied(moment_scores(scores) if sense == "sight" else scores).max())


def _held_out(sense: str, xs: Sequence[Floats], labels: NDArray[np.int64], seed: int) -> Floats:
    """Each clip's score by a head that was not trained on it, (N,)."""
    fold = _folds(labels)
    scores = np.zeros(len(xs), np.float32)
    for k in range(FOLDS):
        head = _fit(sense, [x for x, f in zip(xs, fold, strict=True) if f != k], labels[fold != k], seed)
        for i in np.flatnonzero(fold == k).tolist():
            scores[i] = clip_score(sense, head, xs[i])
    return scores


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs of neighbours in order of name stay together: pieces of one recording are named alike."""
    fold = np.zeros(len(labels), np.int64)
    for label in (-1, 1):
        at = np.flatnonzero(labels == label)
        fold[at] = np.arange(len(at)) * FOLDS // len(at)
    return fold


def threshold(good: Floats, false_alarms: float, bad: Floats | None = None) -> float:
    """The score that a new good clip exceeds with at most this probability, by the rank of held-out ones (conformal).

    Fewer than 1 / false_alarms clips cannot promise that: then it is halfway from the highest of them to the lowest
    tenth of the bad ones, or half of the upper half's spread above, whichever is more.
    """
    known = np.sort(good[np.isfinite(good)])
    rank = int(np.ceil((1 - false_alarms) * (len(known) + 1)))
    if rank <= len(known):
        return float(known[rank - 1])
    top = float(known[-1])
    low = float(np.quantile(bad[np.isfinite(bad)], 0.1)) if bad is not None else top
    return top + max(0.5 * (low - top), 0.5 * (top - float(np.median(known))))


def _with_threshold(head: Head, extra: float) -> Head:
    return Head(head.mean, head.scale, head.hidden, head.offset, head.out, head.threshold + extra)


def _measured(held_out: dict[str, Floats], labels: NDArray[np.int64], share: float) -> Learnt:
    """Precision and recall, each fold's threshold chosen on the other folds."""
    fold = _folds(labels)
    over = np.full(len(labels), -np.inf)
    for scores in held_out.values():
        for k in range(FOLDS):
            line = threshold(scores[(labels < 0) & (fold != k)], share, scores[(labels > 0) & (fold != k)])
            over[fold == k] = np.maximum(over[fold == k], scores[fold == k] - line)
    refused, bad = over > 0, labels > 0
    right = int((refused & bad).sum())
    precision = right / int(refused.sum()) if refused.any() else float("nan")
    alarms = float(refused[~bad].mean())
    return Learnt(precision, right / int(bad.sum()), alarms, auc(over, labels), int((~bad).sum()), int(bad.sum()))


def auc(scores: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Probability that a refused clip scores above a good one; ties count half."""
    bad, good = scores[labels > 0], scores[labels < 0]
    return float(((bad[:, None] > good[None]) + 0.5 * (bad[:, None] == good[None])).mean())


def scene_look(bits: NDArray[np.int8]) -> Look:
    """A glance at a scene segment (1, 25, 32): eight frames there and back, and its sound."""
    stage = Stage(scene.decode(bits))
    rate, sight = int(SENSES["hearing"].rate), SENSES["sight"]
    eight = np.stack([frame(stage, 1.7 + k / float(sight.rate), (160, 96)) for k in range(8)])
    there = np.concatenate([eight, eight[::-1]])
    heard = sound(stage, 0, 4 * rate, rate).mean(1)
    return Look(sight_features(np.concatenate([there] * 3)), hearing_features(heard))


def steering(prude: Prude, scenes: int, seed: int, say: Callable[[str], None]) -> tuple[Floats, Floats, int]:
    """Which scenes the prude refuses, as log-odds of the place and of each other bit: a logistic regression.

    Returns:
        place (P,), rest (D,), and how many of the scenes were refused.
    """
    rows, refused, places = [], [], []
    for i in range(scenes):
        rng = np.random.default_rng([seed, 7, i])
        drawn, _ = draw(rng, 1, BUILT[i % len(BUILT)])
        bits = scene.encode(drawn)
        verdict = prude.judge([scene_look(bits)])
        rows.append(bits.reshape(-1).astype(np.float64))
        places.append(scene.PLACES.index(drawn[0].place))
        refused.append(verdict.refused.mean() >= 0.5)
        if (i + 1) % 40 == 0:
            say(f"looked at {i + 1} of {scenes} scenes")
    x_ND, y_N = torch.from_numpy(np.stack(rows)), torch.tensor(refused, dtype=torch.float64)
    own = torch.nn.functional.one_hot(torch.tensor(places), len(scene.PLACES)).double()
    x_ND[:, :4] = 0  # the place is told by `own`
    design = torch.cat([own, x_ND], 1)
    ridge = torch.cat([torch.full((len(scene.PLACES),), 0.05), torch.full((x_ND.shape[1],), 4.0)]).double()
    weights = torch.zeros(design.shape[1], dtype=torch.float64)
    base = torch.logit(((y_N.sum() + 0.5) / (len(y_N) + 1)).clamp(0.01, 0.99))
    for _ in range(12):  # Newton
        p = torch.sigmoid(design @ weights + base)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + torch.diag(ridge)
        weights = weights + torch.linalg.solve(hessian, design.T @ (y_N - p) - ridge * weights)
    place = (weights[: len(scene.PLACES)] + base).numpy().astype(np.float32)
    return place, weights[len(scene.PLACES) :].numpy().astype(np.float32), int(sum(refused))
