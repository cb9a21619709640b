"""Keyframes of a curve that was read, edited and is written again: what nobody touched stays as it was, to the bit.

Simplifying a simplified curve once more would move it by half a level each time; so where the keyframes that were read
still give the samples, they are written again, and only the rest gets new ones.

Shapes: T samples, K keyframes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Times in seconds and values of keyframes, (K,) each."""


def sample(curve: Curve, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve at some times: straight lines, held before the first keyframe and after the last."""
    return np.asarray(np.interp(at, *curve))


def splice(
    curve: Curve, values: NDArray[np.float32], rate: Fraction, fresh: Callable[[int, int], Iterator[Curve]]
) -> Iterator[Curve]:
    """Keyframes for samples (T,), in pieces: those of `curve` wherever they give the samples, new ones elsewhere.

    Args:
        curve: the keyframes that were read; at least one.
        values: the samples as they are now.
        fresh: new keyframes of the samples first to last (exclusive).
    """
    at = np.arange(len(values)) / float(rate)
    same = sample(curve, at).astype(np.float32) == values
    edges = np.flatnonzero(np.diff(same)) + 1
    bounds = [0, *edges.tolist(), len(values)]
    for first, last in pairwise(bounds):
        pieces = [_kept(curve, at, first, last)] if same[first] else fresh(first, last)
        yield from (piece for piece in pieces if len(piece[0]))


def _kept(curve: Curve, at: NDArray[np.float64], first: int, last: int) -> Curve:
    """The keyframes of a curve between two samples, and a keyframe at either sample, unless the movie ends there."""
    times, values = curve
    begin = 0 if first == 0 else int(np.searchsorted(times, at[first], "left"))
    end = len(times) if last == len(at) else int(np.searchsorted(times, at[last - 1], "right"))
    inner = (times[begin:end], values[begin:end])
    exact = sample(curve, at[first:last])
    if first == 0 and last == len(at):
        return inner
    # where a line is cut, its rest has the same slope only nearly: more keyframes are put in until each sample is met
    borders = [(at[first], exact[0])] if first and (begin == end or times[begin] > at[first]) else []
    ends = [(at[last - 1], exact[-1])] if last < len(at) and (begin == end or times[end - 1] < at[last - 1]) else []
    if first == last - 1 and borders:
        ends = []
    parts = [np.array(borders).reshape(-1, 2), np.stack(inner, -1), np.array(ends).reshape(-1, 2)]
    points = np.concatenate(parts)
    whole = _until_met((points[:, 0], points[:, 1]), at[first:last], exact)
    return whole


def _until_met(curve: Curve, at: NDArray[np.float64], exact: NDArray[np.float64]) -> Curve:
    """A curve with as many samples of its own made keyframes as it takes to give all of them in single precision."""
    while True:
        wrong = np.flatnonzero(sample(curve, at).astype(np.float32) != exact.astype(np.float32))
        if not len(wrong):
            return curve
        times = np.concatenate([curve[0], at[wrong]])
        order = np.argsort(times, kind="stable")
        curve = times[order], np.concatenate([curve[1], exact[wrong]])[order]
