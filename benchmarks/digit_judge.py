"""How far samples are from digits: MMD in Hamming distance, and a Fréchet distance in a frozen classifier.

Shapes: B and M images, N = 784 bits, D features.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from digits import SIDE, WEIGHTS, autocast, binarise, grey_digits

FILE = WEIGHTS / "digit_judge.safetensors"


class Judge(nn.Module):
    """(B, 784) bits -> scores of ten digits; `features` (B, 64) before them."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.ReLU()),
        )
        self.name = nn.Linear(4 * width, 10)

    def features(self, x: Tensor) -> Tensor:
        h: Tensor = self.layers(x.float().view(-1, 1, SIDE, SIDE))
        return h.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        named: Tensor = self.name(self.features(x))
        return named


def train_judge(steps: int = 400) -> float:
    """Make its weights again; returns its accuracy on test digits."""
    torch.manual_seed(0)
    generator, judge = torch.Generator().manual_seed(0), Judge()
    grey, label = grey_digits("train")
    optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(grey), (256,), generator=generator)
        with autocast():
            named = judge(binarise(grey[chosen], generator))
        loss = F.cross_entropy(named.float(), label[chosen])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        decay.step()
    part = FILE.with_suffix(".part")
    save_file(judge.state_dict(), part)
    os.replace(part, FILE)
    return accuracy(judge, generator)


@torch.no_grad()
def accuracy(judge: Judge, generator: torch.Generator) -> float:
    grey, label = grey_digits("test")
    named = torch.cat([judge(part).argmax(1) for part in binarise(grey, generator).split(1000)])
    return float((named == label).double().mean())


def load_judge() -> tuple[Judge, str]:
    """The frozen classifier, and the start of its file's SHA-256."""
    judge = Judge()
    judge.load_state_dict(load_file(FILE))
    return judge.eval().requires_grad_(False), hashlib.sha256(Path(FILE).read_bytes()).hexdigest()[:16]


def kernel_mean(x_BN: Tensor, y_MN: Tensor) -> float:
    """Mean of exp(-share of bits that differ) over all pairs."""
    x, y, total = x_BN.float(), y_MN.float(), 0.0
    for part in x.split(2000):
        total += float(torch.exp((part @ y.T / x.shape[1] - 1) / 2).sum(dtype=torch.float64))
    return total / (len(x) * len(y))


def mmd(x_BN: Tensor, y_MN: Tensor, yy: float) -> float:
    """Square root of the biased V-statistic with kernel exp(-Hamming distance / N); yy = kernel_mean(y, y)."""
    return max(0.0, kernel_mean(x_BN, x_BN) + yy - 2 * kernel_mean(x_BN, y_MN)) ** 0.5


def moments(judge: Judge, x_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of the features of samples, float64."""
    with torch.no_grad():
        features = torch.cat([judge.features(part) for part in x_BN.split(1000)]).double()
    return features.mean(0), features.T.cov()


def frechet(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """Squared distance of the two normal laws: |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))."""
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    root_a = _root(cov_a)
    cross = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross)


def _root(matrix: Tensor) -> Tensor:
    value, vector = torch.linalg.eigh(matrix)
    return vector * value.clamp(min=0).sqrt() @ vector.T
