"""The frozen judge: for each sense a small network that names the place, trained on true Dreamscapes alone.

`TRAIN=1 python benchmarks/classifier.py` trains it again; else its held-out accuracies are measured. What a movie is
judged by are statistics of each sense over the whole movie, so that length does not matter; sight and hearing are those
of the performed movie, 2 frames a segment at 160x96 and the sound at 24 kHz.

Shapes: M movies, F features, P places, S segments, T ticks, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from report import Figure, report
from stale_diffusion import scene
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import BUILT, frame, lanes, sound
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.base import Bits
from stale_diffusion.senses.touch import to_unit

Features = NDArray[np.float32]
FELT = ("touch", "smell", "taste")
PERFORMED = ("sight", "hearing")
WEIGHTS = Path(__file__).parent / "weights/classifier.safetensors"
SEGMENTS = 2  # of every movie that is judged
SIZE = (160, 96)
RATE = 24_000
TRAINING, HELD_OUT = 9001, 9002  # seeds; no config trains a denoiser on these
DRAWN, RENDERED = 1200, 360  # movies that the judge learns from: felt, and seen and heard
HIDDEN = 32
NEIGHBOURS = 5
# Places without a taste: what is judged there is that the tongue stays silent.
SILENT = "rain on glass"
TASTED = ("shore", "campfire", "kettle and coffee", "bakery oven", "lighthouse")
TASTES = {name: name if name in TASTED else SILENT for name in BUILT}


@dataclass(frozen=True)
class Dream:
    """One movie to be judged.

    Args:
        place: its true place, or the one its plot asks for.
        plot: the plot.
        scene: bits (S, 25, 32).
        felt: values of touch, smell and taste, {sense: (T, C)}, as decoded from bits.
    """

    place: str
    plot: str
    scene: Bits
    felt: dict[str, NDArray[np.float32]]


def coded(values: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Tracks after their codec, so that true and generated ones have the same rounding."""
    return {name: SENSES[name].decode(SENSES[name].encode(v)) for name, v in values.items()}


def true_dream(index: int, *, seed: int, segments: int = SEGMENTS, name: str | None = None) -> Dream:
    """True movie `index` of a seed: places take turns, each as often as the others."""
    place = name or BUILT[index % len(BUILT)]
    drawn, plot = draw(np.random.default_rng([seed, index]), segments, place)
    bits = scene.encode(drawn)
    return Dream(place, plot, bits, coded(lanes(Stage(scene.decode(bits)))))


def _moments(x_TC: NDArray[np.float64]) -> NDArray[np.float64]:
    step = np.abs(np.diff(x_TC, axis=0)).mean(0)
    return np.concatenate([x_TC.mean(0), x_TC.std(0), x_TC.min(0), x_TC.max(0), np.log(step + 1e-4)])


def felt_features(sense: str, values: NDArray[np.float32]) -> Features:
    """Mean, spread, extremes and restlessness of each channel; of touch also the spectrum, (F,)."""
    x_TC = to_unit(values) if sense == "touch" else np.asarray(values, np.float64)
    parts = [_moments(x_TC)]
    if sense == "touch":
        power = np.abs(np.fft.rfft(x_TC - x_TC.mean(0), axis=0)) ** 2 / len(x_TC)
        hertz = np.asarray(np.fft.rfftfreq(len(x_TC), 1 / float(SENSES["touch"].rate)))
        edges = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 33.0)
        bands = [power[(hertz >= a) & (hertz < b)].mean(0) for a, b in pairwise(edges)]
        parts += [np.log(band + 1e-5) for band in bands]
    return np.concatenate(parts).astype(np.float32)


def sight_features(frames_NHWC: NDArray[np.uint8]) -> Features:
    """Colours on a grid of 6x10, energies of five DoG bands above and below the middle, change from frame to frame."""
    x = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255
    grid = F.adaptive_avg_pool2d(x, (6, 10)).mean(0)
    luma = x.mean(1, keepdim=True)
    change = (luma[1:] - luma[:-1]).abs().mean()
    energies = []
    for _ in range(5):
        low = F.avg_pool2d(luma, 2)
        band = luma - F.interpolate(low, luma.shape[-2:], mode="bilinear")
        energies += [half.square().mean() for half in band.chunk(2, 2)]
        luma = low
    logs = torch.stack([change**2, *energies]).add(1e-6).log()
    return torch.cat([grid.flatten(), x.mean((0, 2, 3)), x.std((0, 2, 3)), logs]).numpy()


def hearing_features(mono_N: NDArray[np.float32]) -> Features:
    """Mean, spread, peaks and restlessness of 40 bands' levels in dB, 50 Hz to 11 kHz, (160,)."""
    spectrum = torch.stft(torch.from_numpy(mono_N), 1024, 512, window=torch.hann_window(1024), return_complex=True)
    power = spectrum.abs().square()
    hertz = torch.fft.rfftfreq(1024, 1 / RATE)
    edges = torch.logspace(math.log10(50), math.log10(11_000), 41)
    bands = []
    for low, high in pairwise(edges):
        inside = (hertz >= low) & (hertz < high)
        inside[(hertz - (low * high).sqrt()).abs().argmin()] = True  # narrow bands hold the nearest bin
        bands.append(power[inside].mean(0))
    level = 10 * torch.log10(torch.stack(bands) + 1e-9)
    peak = level.quantile(0.97, dim=1) - level.median(dim=1).values
    return torch.cat([level.mean(1), level.std(1), peak, level.diff(dim=1).abs().mean(1)]).numpy()


def performed_features(bits: Bits) -> dict[str, Features]:
    """Features of sight and hearing of a scene, (S, 25, 32); seconds of work, so done in other processes."""
    torch.set_num_threads(1)
    stage = Stage(scene.decode(bits))
    times = np.arange(1.0, stage.end, SEGMENT_SECONDS / 2)
    frames = np.stack([frame(stage, float(t), SIZE) for t in times])
    heard = sound(stage, 0, round(stage.end * RATE), RATE).mean(1)
    return {"sight": sight_features(frames), "hearing": hearing_features(heard)}


def _rendered_truth(index: int, *, seed: int) -> dict[str, Features]:
    return performed_features(true_dream(index, seed=seed).scene)


def workers() -> ProcessPoolExecutor:
    """A process a core, for rendering."""
    return ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn"))


def gather(rows: Iterable[dict[str, Features]]) -> dict[str, Tensor]:
    """Features of many movies, {sense: (M, F)}."""
    listed = list(rows)
    gathered = {sense: torch.from_numpy(np.stack([row[sense] for row in listed])) for sense in listed[0]}
    for sense, x_MF in gathered.items():
        if not x_MF.isfinite().all():  # a place that performs NaN must not be averaged away
            raise ValueError(
                f"{sense} of movies {(~x_MF.isfinite().all(1)).nonzero().flatten().tolist()} is not finite"
            )
    return gathered


def felt(dreams: Iterable[Dream]) -> dict[str, Tensor]:
    """Features of touch, smell and taste, {sense: (M, F)}."""
    return gather({sense: felt_features(sense, d.felt[sense]) for sense in FELT} for d in dreams)


def labels(sense: str, places: Sequence[str]) -> Tensor:
    """What the judge of a sense should answer, (M,) index into BUILT."""
    return torch.tensor([BUILT.index(TASTES[p] if sense == "taste" else p) for p in places])


@final
class Judge(nn.Module):
    """Features of one sense in, odds of the places out; its hidden layer is what two-sample tests look at."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.hidden = nn.Linear(features, HIDDEN)
        self.out = nn.Linear(HIDDEN, len(BUILT))

    def embed(self, x_MF: Tensor) -> Tensor:
        """The hidden layer, (M, 32)."""
        return F.gelu(self.hidden(((x_MF - self.mean) / self.scale).clamp(-6, 6)))

    def forward(self, x_MF: Tensor) -> Tensor:
        """Logits of the places, (M, P)."""
        logits_MP: Tensor = self.out(self.embed(x_MF))
        return logits_MP

    @torch.no_grad()
    def name(self, x_MF: Tensor) -> Tensor:
        """The likeliest place, (M,) index into BUILT."""
        return self(x_MF).argmax(-1)


def fit(x_MF: Tensor, y_M: Tensor, steps: int = 500) -> Judge:
    """Train a judge by cross-entropy, full batch; noise of a third of the features' spread keeps it from pedantry."""
    torch.manual_seed(0)
    judge = Judge(x_MF.shape[1])
    judge.mean, judge.scale = x_MF.mean(0), x_MF.std(0).clamp(min=1e-3)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.05)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        noisy = x_MF + 0.3 * judge.scale * torch.randn_like(x_MF)
        loss = F.cross_entropy(judge(noisy), y_M, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return judge.eval()


def train() -> dict[str, Judge]:
    """Train all five judges on true Dreamscapes and freeze them into WEIGHTS."""
    places = [BUILT[i % len(BUILT)] for i in range(DRAWN)]
    features = felt(true_dream(i, seed=TRAINING) for i in range(DRAWN))
    with workers() as pool:
        features |= gather(pool.map(partial(_rendered_truth, seed=TRAINING), range(RENDERED), chunksize=6))
    judges = {s: fit(x, labels(s, places[: len(x)])) for s, x in features.items()}
    tensors = {f"{s}.{k}": v.contiguous() for s, j in judges.items() for k, v in j.state_dict().items()}
    WEIGHTS.parent.mkdir(exist_ok=True)
    part = WEIGHTS.with_suffix(".part")
    about = {"places": json.dumps(BUILT), "seed": str(TRAINING), "drawn": str(DRAWN), "rendered": str(RENDERED)}
    save_file(tensors, part, about)
    os.replace(part, WEIGHTS)
    return judges


def frozen() -> dict[str, Judge]:
    """The judges as they were frozen."""
    if not WEIGHTS.is_file():
        sys.exit(f"There is no {WEIGHTS}.\nmend: TRAIN=1 python benchmarks/classifier.py")
    tensors = load_file(WEIGHTS)
    judges = {}
    for sense in (*PERFORMED, *FELT):
        state = {k.removeprefix(f"{sense}."): v for k, v in tensors.items() if k.startswith(f"{sense}.")}
        judges[sense] = Judge(len(state["mean"]))
        judges[sense].load_state_dict(state)
        judges[sense].eval()
    return judges


def digest() -> str:
    """The first 12 hexadecimal digits of the sha256 of the frozen weights."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]


def held_out(count: int, rendered: int) -> tuple[list[Dream], dict[str, Tensor]]:
    """`count` held-out true movies and their features; sight and hearing of the first `rendered`."""
    dreams = [true_dream(i, seed=HELD_OUT) for i in range(count)]
    features = felt(dreams)
    with workers() as pool:
        features |= gather(pool.map(performed_features, (d.scene for d in dreams[:rendered])))
    return dreams, features


def share(right: Tensor) -> tuple[float, float]:
    """A share and its standard error, of M answers right (true) or wrong."""
    p = float(right.float().mean())  # NaN where nothing was asked
    return p, (p * (1 - p) / max(1, len(right))) ** 0.5


def ratio(right: Tensor, reference: Tensor) -> tuple[float, float]:
    """One share divided by another, and its standard error (delta method)."""
    (a, da), (b, db) = share(right), share(reference)
    if b == 0:
        return float("nan"), float("nan")
    return a / b, (da**2 + (a / b * db) ** 2) ** 0.5 / b


def _logistic(x_MK: Tensor, y_M: Tensor) -> Tensor:
    """Weights (K + 1,) of a logistic regression with a ridge of 1, by eight steps of Newton."""
    design = torch.cat([x_MK, torch.ones(len(x_MK), 1, dtype=x_MK.dtype)], 1)
    w, ridge = torch.zeros(design.shape[1], dtype=x_MK.dtype), torch.eye(design.shape[1], dtype=x_MK.dtype)
    for _ in range(8):
        p = torch.sigmoid(design @ w)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + ridge
        w = w + torch.linalg.solve(hessian, design.T @ (y_M - p) - w)
    return w


def two_sample(ours_MK: Tensor, true_MK: Tensor, folds: int = 5) -> tuple[float, float]:
    """How often a logistic regression tells two samples apart on held-out folds: 0.5 is perfect; with its SE."""
    x = torch.cat([ours_MK, true_MK]).double()
    y = torch.cat([torch.ones(len(ours_MK)), torch.zeros(len(true_MK))]).double()
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    generator = torch.Generator().manual_seed(0)
    fold = torch.cat([torch.randperm(len(part), generator=generator) % folds for part in (ours_MK, true_MK)])
    right = torch.empty(len(x))
    for k in range(folds):
        w = _logistic(x[fold != k], y[fold != k])
        said = x[fold == k] @ w[:-1] + w[-1] > 0
        right[fold == k] = (said == y[fold == k].bool()).float()
    return share(right)


def covered(ours_MK: Tensor, true_MK: Tensor) -> float:
    """Share of true movies with one of ours nearer than their fifth true neighbour (Naeem et al. 2020)."""
    x, y = ours_MK.double(), true_MK.double()
    center, spread = y.mean(0), y.std(0).clamp(min=1e-6)
    x, y = (x - center) / spread, (y - center) / spread
    radius = torch.cdist(y, y).kthvalue(NEIGHBOURS + 1, dim=1).values  # the nearest is itself
    return float((torch.cdist(y, x).amin(1) <= radius).double().mean())


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation; NaN where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-6 else float("nan")


def _confusions(sense: str, said: Tensor, true: Tensor) -> Iterator[str]:
    for p in true.unique().tolist():
        wrong = said[(true == p) & (said != p)]
        if len(wrong):
            share = len(wrong) / int((true == p).sum())
            yield f"{sense}: {share:.0%} of {BUILT[p]} taken for {BUILT[int(wrong.mode().values)]} and others"


def main() -> None:
    """Train where TRAIN=1, then measure on held-out true movies."""
    started = time.monotonic()
    if os.environ.get("TRAIN") == "1":
        train()
    judges, count = frozen(), int(os.environ.get("N", "240"))
    dreams, features = held_out(count, count // 2)
    places = [d.place for d in dreams]
    figures, notes = [], []
    for sense, judge in judges.items():
        said = judge.name(features[sense])
        true = labels(sense, places[: len(said)])
        accuracy = float((said == true).float().mean())
        error = (accuracy * (1 - accuracy) / len(said)) ** 0.5
        figures.append(Figure(f"true_accuracy_{sense}", accuracy, "1", f"SE {error:.3f}, {len(said)} movies", "higher"))
        notes.append(_confusions(sense, said, true))
    print("\n".join(chain.from_iterable(notes)))
    print(f"classifier {digest()}")
    report("classifier", figures, started)


if __name__ == "__main__":
    main()
