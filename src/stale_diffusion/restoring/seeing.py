"""Damage of a picture track: what the decoder says, missing, frozen and black pictures, black blocks.

A still, a fade to black and a cut are how films are made. So a black or frozen picture is damage only if the same shot
was in motion before it and is again after it, and the change came, and went, within one picture.

Shapes: H, W pixels of luma; R, C rows and columns of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.media import LOOK_WIDTH, Marked
from stale_diffusion.restoring.damage import BLACK, BLOCKS, CORRUPT, FROZEN, LOST, Damage, merged

THUMB = (18, 32)  # rows and columns in which pictures are compared
LONGEST = 4.0  # seconds of black or stillness that may be damage; longer ones are meant
DARK = 26  # luma below which every pixel of a black picture lies
LIT = 40  # mean luma of a picture, or of a block, that is not black
ALIKE = 0.6  # correlation of two thumbnails of one shot
STILL = 0.1  # mean difference of luma of two pictures that are the same one
MOVING = 0.35  # mean difference of luma from picture to picture of a shot in motion
JUMP = 1.4  # a freeze ends with a jump so many times as large as the usual step
BLOCK_DARK, BLOCK_RANGE = 14, 6  # of a black block: no pixel is brighter, none differ by more
SHORTEST_FREEZE = 0.15  # seconds
BLOCK = 16  # pixels of the picture as it is decoded
MAX_BLOCKS = 0.6  # share of black blocks above which the whole picture is black

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Look:
    """What is kept of one picture: its thumbnail, how much it differs from the one before, its darkness."""

    time: float
    seconds: float
    corrupt: bool
    key: bool
    thumb: NDArray[np.float32]
    step: float  # mean |difference| of luma to the picture before
    brightest: int
    mean: float


def look(marks: Iterable[Marked], seconds: float) -> tuple[list[Damage], dict[float, Mask]]:
    """All damage of a picture track, and the black blocks of each picture that has any, {time: (R, C)}.

    Args:
        marks: its pictures in order of time.
        seconds: duration of the movie.
    """
    looks: list[_Look] = []
    blocks = _BlackBlocks()
    before: NDArray[np.uint8] | None = None
    for mark in marks:
        luma = mark.luma
        same = before is not None and before.shape == luma.shape
        step = float(np.abs(luma.astype(np.int16) - before).mean()) if same and before is not None else 255.0
        looks.append(
            _Look(float(mark.time), float(mark.seconds), mark.corrupt, mark.key, _thumb(luma), step, int(luma.max()),
                  float(luma.mean()))
        )  # fmt: skip
        blocks.see(float(mark.time), luma)
        before = luma
    if not looks:
        return [], {}
    found = _decoder(looks) + _lost(looks, seconds) + _black(looks) + _frozen(looks)
    masks = blocks.done()
    tick = looks[-1].seconds
    found += [Damage("sight", BLOCKS, t, t + tick, float(mask.mean())) for t, mask in masks.items()]
    return merged(found, tick / 2), masks


def size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns at which a picture is looked at (media.damaged)."""
    wide = min(width, LOOK_WIDTH)
    return max(16, round(height * wide / width)), wide


def _thumb(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    rows, columns = THUMB
    height, width = luma.shape[0] // rows * rows, luma.shape[1] // columns * columns
    if not height or not width:
        return np.full(THUMB, luma.mean(), np.float32)
    cells = luma[:height, :width].reshape(rows, height // rows, columns, width // columns)
    return np.asarray(cells.mean((1, 3)), np.float32)


def alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two thumbnails are of one shot."""
    x, y = a - a.mean(), b - b.mean()
    power = float(np.sqrt((x**2).sum() * (y**2).sum()))
    close = abs(float(a.mean() - b.mean())) < 40
    return close and (float((x * y).sum()) / power > ALIKE if power > 1e-6 else bool(np.abs(x - y).max() < 8))


def _decoder(looks: list[_Look]) -> list[Damage]:
    """From a picture with errors to the next that depends on no other: what lies between is built on the errors."""
    found, drifting = [], False
    for one in looks:
        drifting = one.corrupt or (drifting and not one.key)
        if drifting:
            found.append(Damage("sight", CORRUPT, one.time, one.time + one.seconds))
    return found


def _lost(looks: list[_Look], seconds: float) -> list[Damage]:
    """Holes in an even clock. A clock that is uneven by nature (a recorded screen) has none."""
    if len(looks) < 4:
        return []
    gaps = np.diff([one.time for one in looks])
    usual = float(np.median(gaps))
    even = np.abs(gaps / usual - np.round(gaps / usual)) < 0.2
    if usual <= 0 or even.mean() < 0.95 or (np.abs(gaps - usual) < 0.2 * usual).mean() < 0.6:
        return []
    holes = [
        Damage("sight", LOST, a.time + usual, b.time)
        for a, b in pairwise(looks)
        if b.time - a.time > 1.5 * usual and a.seconds < 1.5 * usual
    ]
    return holes


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """First and last (exclusive) of each run of true."""
    edges = np.flatnonzero(np.diff([False, *flags, False]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _black(looks: list[_Look]) -> list[Damage]:
    """Black pictures between two lit ones of one shot, next to them: no fade, no cut, not at an end."""
    found = []
    for first, last in _runs([one.brightest <= DARK for one in looks]):
        if first == 0 or last == len(looks):
            continue
        before, after = looks[first - 1], looks[last]
        short = after.time - looks[first].time <= LONGEST
        if short and min(before.mean, after.mean) > LIT and alike(before.thumb, after.thumb):
            found.append(Damage("sight", BLACK, looks[first].time, after.time))
    return found


def _frozen(looks: list[_Look]) -> list[Damage]:
    """Pictures that repeat one, between motion, and the shot has gone on meanwhile; a still that is meant does not."""
    found = []
    for first, last in _runs([one.step <= STILL for one in looks]):
        if first < 3 or last >= len(looks) - 2:
            continue
        frozen, after = looks[first - 1], looks[last]
        length = after.time - looks[first].time
        steps = [one.step for one in (*looks[max(0, first - 9) : first], *looks[last + 1 : last + 9])]
        usual = float(np.median(steps))
        moving = min(looks[first - 1].step, looks[last + 1].step, usual) > MOVING
        jumped = after.step > JUMP * usual and alike(frozen.thumb, after.thumb)
        if SHORTEST_FREEZE <= length <= LONGEST and moving and jumped and frozen.brightest > DARK:
            found.append(Damage("sight", FROZEN, looks[first].time, after.time))
    return found


class _BlackBlocks:
    """Blocks that turn black within one picture and come back within one, while the picture around them is lit.

    Kept while they last: the block's mean before, and since when it is black.
    """

    def __init__(self) -> None:
        self.last: NDArray[np.float32] | None = None  # mean of each block, of the last picture in which it was lit
        self.since: dict[tuple[int, int], list[float]] = {}
        self.masks: dict[float, Mask] = {}
        self.shape = (0, 0)

    def see(self, time: float, luma: NDArray[np.uint8]) -> None:
        """Look at the next picture."""
        rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
        if not rows or not columns:
            return
        cells = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
        mean = cells.mean((1, 3))
        dark = (cells.max((1, 3)) <= BLOCK_DARK) & (cells.max((1, 3)) - cells.min((1, 3)) <= BLOCK_RANGE)
        if self.last is None or self.shape != (rows, columns):
            self.last, self.shape, self.since = np.where(dark, 0, mean).astype(np.float32), (rows, columns), {}
            return
        if dark.mean() > MAX_BLOCKS:
            return
        for r, c in zip(*np.nonzero(dark & (self.last > LIT)), strict=True):
            self.since.setdefault((int(r), int(c)), []).append(time)
        for (r, c), times in list(self.since.items()):
            if dark[r, c]:
                continue
            del self.since[r, c]
            if times[-1] - times[0] <= LONGEST and mean[r, c] > LIT / 2 and abs(mean[r, c] - self.last[r, c]) < 60:
                for t in times:
                    self.masks.setdefault(t, np.zeros(self.shape, bool))[r, c] = True
        self.last = np.where(dark, self.last, mean).astype(np.float32)

    def done(self) -> dict[float, Mask]:
        """{time: (R, C)} of all pictures with black blocks; one alone may be a shadow."""
        return {t: mask for t, mask in sorted(self.masks.items()) if mask.sum() > 1}
