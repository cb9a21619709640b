"""Missing pictures, and missing parts of them, from those around: what is likeliest, scale by scale.

Each band of a pyramid is read as a slow random walk about a mean of its own (an Ornstein-Uhlenbeck process), whose
memory is measured on the sound pictures before and after. Kriging over them then holds what stands still, blends what
moves slowly, and falls back to the local mean for what forgets itself within the gap, such as foam. Beside it stands
what FFmpeg's minterpolate says of the motion, and for short gaps both are mixed.

Shapes: K pictures around, H, W pixels, N pictures missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stale_diffusion.media import minterpolate

RGB = NDArray[np.uint8]
BANDS = 5  # details of 1, 2, 4 and 8 pixels, and the rest
MEMORIES = np.geomspace(0.02, 60, 24)  # seconds that a band may remember
AROUND = 8  # pictures used on either side
MEMORY = 256 * 2**20  # bytes that the bands may take
NUGGET = 0.02  # share of a band's variance that is noise from picture to picture
# chosen on validation clips: `make bench NAME=restore PART=choose`
MOTION = ((1.0, 0.7), (math.inf, 0.3))  # (gap in seconds up to, weight of minterpolate)


def bands(picture_CHW: Tensor) -> list[Tensor]:
    """A picture as BANDS parts that add up to it, finest first."""
    parts, now = [], picture_CHW
    size = picture_CHW.shape[-2:]
    for level in range(1, BANDS):
        small = functional.interpolate(
            picture_CHW[None], size=[max(2, s >> level) for s in size], mode="bilinear", antialias=True
        )
        low = functional.interpolate(small, size=list(size), mode="bilinear", align_corners=False)[0]
        parts.append(now - low)
        now = low
    return [*parts, now]


def memory(parts_KCHW: Tensor, times_K: NDArray[np.float64]) -> float:
    """How long a band remembers, in seconds: the OU process whose variogram fits best (weighted by pairs)."""
    k = len(times_K)
    if k < 3:
        return float(MEMORIES[-1])
    flat = parts_KCHW.reshape(k, -1)[:, :: max(1, parts_KCHW[0].numel() // 20_000)].double()
    lags, halves = [], []
    for i in range(k):
        for j in range(i + 1, k):
            lags.append(times_K[j] - times_K[i])
            halves.append(float(((flat[i] - flat[j]) ** 2).mean() / 2))
    lag, half = np.array(lags), np.array(halves)
    best, found = math.inf, float(MEMORIES[-1])
    for tau in MEMORIES:
        rise = NUGGET + (1 - NUGGET) * (1 - np.exp(-lag / tau))
        scale = float((rise * half).sum() / (rise**2).sum())
        error = float(((half - scale * rise) ** 2).sum())
        if error < best:
            best, found = error, float(tau)
    return found


def weights(times_K: NDArray[np.float64], at: float, tau: float) -> NDArray[np.float64]:
    """Ordinary kriging: how much each picture around says of time `at`, (K,), adding up to 1."""
    k = len(times_K)
    system = np.zeros((k + 1, k + 1))
    system[:k, :k] = np.exp(-np.abs(np.subtract.outer(times_K, times_K)) / tau) * (1 - NUGGET) + NUGGET * np.eye(k)
    system[k, :k] = system[:k, k] = 1
    right = np.append(np.exp(-np.abs(times_K - at) / tau) * (1 - NUGGET), 1.0)
    return np.asarray(np.linalg.solve(system, right)[:k])


def kriged(before: Sequence[RGB], after: Sequence[RGB], count: int, fps: float) -> Iterator[RGB]:
    """`count` pictures between `before` and `after`, each in order of time and next to the gap; either may be empty."""
    most = max(1, MEMORY // (2 * 3 * BANDS * 4 * before_or(before, after)[0][..., 0].size))
    before, after = before[-min(most, AROUND) :], after[: min(most, AROUND)]
    times = np.array([*range(-len(before), 0), *range(count, count + len(after))]) / fps
    around = [bands(torch.from_numpy(p.astype(np.float32)).permute(2, 0, 1)) for p in (*before, *after)]
    stacks = [torch.stack([parts[b] for parts in around]) for b in range(BANDS)]
    del around
    memories = [memory(stack, times) for stack in stacks]
    for i in range(count):
        picture = torch.zeros(stacks[0].shape[1:])
        for stack, tau in zip(stacks, memories, strict=True):
            w = torch.from_numpy(weights(times, i / fps, tau).astype(np.float32))
            picture += torch.einsum("k,kchw->chw", w, stack)
        yield picture.clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def before_or(before: Sequence[RGB], after: Sequence[RGB]) -> Sequence[RGB]:
    """The pictures before a gap, or where there are none, those after it."""
    return before if len(before) else after


def filled(before: Sequence[RGB], after: Sequence[RGB], count: int, fps: float) -> Iterator[RGB]:
    """`count` pictures between two runs, by the means that is best for a gap of that length; see MOTION."""
    motion = next(weight for seconds, weight in MOTION if count / fps <= seconds)
    moved: list[RGB] = []
    if motion and len(before) > 1 and len(after) > 1 and before[0].nbytes * count <= 2 * MEMORY:
        moved = minterpolate(before[-2:], after[:2], count)
    guess = kriged(before, after, count, fps)
    if len(moved) < count:
        yield from guess
        return
    for g, m in zip(guess, moved, strict=True):
        yield mixed(g, m, motion)


def mixed(a: RGB, b: RGB, weight: float) -> RGB:
    """a with `weight` of b."""
    return np.rint(a + weight * (b.astype(np.float32) - a)).astype(np.uint8)


def patched(picture: RGB, guess: RGB, mask_RC: NDArray[np.bool_]) -> RGB:
    """The picture with what a guess says in its black blocks, feathered inside by two pixels of both.

    Args:
        mask_RC: blocks of a grid over the whole picture.
    """
    height, width = picture.shape[:2]
    rows = np.minimum(np.arange(height) * mask_RC.shape[0] // height, mask_RC.shape[0] - 1)
    columns = np.minimum(np.arange(width) * mask_RC.shape[1] // width, mask_RC.shape[1] - 1)
    full = mask_RC[rows][:, columns]
    grown = full.copy()
    for _ in range(2):  # the codec smears a hard edge
        grown[1:] |= grown[:-1]
        grown[:-1] |= grown[1:]
        grown[:, 1:] |= grown[:, :-1]
        grown[:, :-1] |= grown[:, 1:]
    return np.where(grown[..., None], guess, picture)
