"""What the prude looks at: the codecs' own coefficients, per place and moment of the picture and per moment of sound.

A moment is a group of the sight codec, 8 frames at 12 a second (2/3 s); a place is one of its blocks, 16 pixels of
160x96.

Shapes: S segments of 4 s, G moments (6 a segment), R, C rows and columns of places (6, 10), F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.inputs import blocks, regular
from stale_diffusion.movie import Screen
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.hearing import HOP, decibels, energies, spectra
from stale_diffusion.senses.sight import COLUMNS, GROUPS, ROWS, analyse
from stale_diffusion.senses.transform import WEIGHTS

Floats = NDArray[np.float32]
MOMENT = SEGMENT_SECONDS / GROUPS
"""Seconds of a moment."""
SIGHT, HEARING = 39, 192
_QUIET = 1e-4  # of a coefficient's mean square: below it energies are all alike


@dataclass(frozen=True)
class Look:
    """What was seen and heard of a movie; None where it has no picture, or no sound.

    Args:
        sight: (G, R, C, F). hearing: (G, F).
    """

    sight: Floats | None
    hearing: Floats | None


def codec_digest() -> str:
    """The first 16 hexadecimal digits of the sha256 of the codecs' tables: a prude is bound to what it looked at."""
    return hashlib.sha256(Path(WEIGHTS).read_bytes()).hexdigest()[:16]


def sight_features(frames: NDArray[np.uint8]) -> Floats:
    """Frames (S * 48, 96, 160, 3) -> (S * 6, 6, 10, 39): colours and log energies of each block's coefficients, the
    same over its neighbours, and over the whole frame."""
    coefficients = analyse(frames)  # (S G, 8, R, 16, C, 16, 3)
    lowest = coefficients[:, 0, :, 0, :, 0] / np.sqrt(8 * 16 * 16)  # (S G, R, C, 3), about [-1, 1]
    x = coefficients**2
    still, moving, luma = x[:, 0], x[:, 1:], x[..., 0]
    u = np.arange(16)
    rings = np.maximum(u[:, None], u[None])
    parts = [lowest[..., 0], lowest[..., 1], lowest[..., 2]]
    for low, high in ((1, 2), (2, 4), (4, 8), (8, 16)):
        mask = ((rings >= low) & (rings < high)).astype(np.float32)
        parts.append(_log(np.einsum("grucv,uv->grc", still[..., 0], mask) / mask.sum()))
    for first, last in ((1, 3), (3, 8)):
        for low, high in ((0, 4), (4, 16)):
            mask = ((rings >= low) & (rings < high)).astype(np.float32)
            parts.append(_log(np.einsum("gtrucv,uv->grc", luma[:, first:last], mask) / mask.sum() / (last - first)))
    mask = (rings > 0).astype(np.float32)
    parts.append(_log(np.einsum("grucvk,uv->grc", still[..., 1:], mask) / mask.sum()))
    parts.append(_log(moving[..., 1:].mean((1, 3, 5, 6))))
    own = np.stack(parts, -1)
    whole = np.broadcast_to(own.mean((1, 2), keepdims=True), own.shape)
    return np.concatenate([own, _around(own), whole], -1).astype(np.float32)


def _log(energy: Floats) -> Floats:
    return np.asarray(np.log10(energy + _QUIET), np.float32)


def _around(x_GRCF: Floats) -> Floats:
    """Mean over each place and its eight neighbours, edges repeated."""
    padded = np.pad(x_GRCF, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return np.asarray(sum(padded[:, i : i + ROWS, j : j + COLUMNS] for i in range(3) for j in range(3)) / 9, np.float32)


def hearing_features(sound: Floats) -> Floats:
    """Sound (S * 96000,) -> (S * 6, 192): of each of 48 bands its level, spread, restlessness and peaks, in 10 dB."""
    levels = decibels(energies(spectra(sound))) / 10
    frames = round(MOMENT * int(SENSES["hearing"].rate) / HOP)
    x = levels.reshape(-1, frames, levels.shape[1])
    peaks = np.quantile(x, 0.97, axis=1) - np.median(x, axis=1)
    parts = [x.mean(1), x.std(1), np.abs(np.diff(x, axis=1)).mean(1), peaks]
    return np.concatenate(parts, -1).astype(np.float32)


def watch(screen: Screen, limit: float | None = None) -> Iterator[Look]:
    """What is seen and heard of a screen, a segment at a time, in constant memory.

    Args:
        limit: seconds that are looked at; None: all.
    """
    sight, hearing = SENSES["sight"], SENSES["hearing"]
    seconds = screen.seconds if limit is None else min(screen.seconds, limit)
    count = max(1, int(np.ceil(round(seconds / SEGMENT_SECONDS, 6))))
    pictures = blocks(screen.frames((160, 96), sight.rate), sight.samples, count)
    chunks = (chunk.mean(1) for chunk in screen.sound(int(hearing.rate)))
    sounds = blocks(regular(chunks, int(hearing.rate)), SEGMENT_SECONDS, count)
    left = count_moments(seconds)  # what fills up the last segment was never filmed
    moments = left
    for frames, heard in zip_longest(pictures, sounds):
        yield Look(
            None if frames is None else sight_features(frames)[:left],
            None if heard is None else hearing_features(heard.reshape(-1))[:left],
        )
        left -= GROUPS
    if left == moments:
        raise StaleError("There is nothing to look at.", "neither picture nor sound could be decoded")


def count_moments(seconds: float) -> int:
    """Moments that some seconds of movie have, the last one begun."""
    return max(1, int(np.ceil(round(seconds / MOMENT, 6))))


def look(screen: Screen, limit: float | None = None) -> Look:
    """All of `watch` in one: a minute of movie is 6 MB."""
    looks = list(watch(screen, limit))
    sight = [x.sight for x in looks if x.sight is not None]
    hearing = [x.hearing for x in looks if x.hearing is not None]
    return Look(np.concatenate(sight) if sight else None, np.concatenate(hearing) if hearing else None)
