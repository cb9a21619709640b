"""Damage of a sound track: packets that are missing, drop-outs, clicks, and chunks that are unlike all around them.

Silence is part of sound: it is damage only where the level falls to nothing within a few samples and comes back as
abruptly, to the same sound. A click is a few samples that no short memory of the sound foretells; a crackling fire
rings on, a click does not.

Shapes: T samples, C channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.media import Marked
from stale_diffusion.restoring.damage import CLICK, CORRUPT, DROPOUT, LOST, Damage, merged

Array = NDArray[np.float32]
ORDER = 24  # of the linear prediction
WINDOW = 2048  # samples that one predictor is fitted on
THRESHOLD = 20.0  # times the usual error of prediction
ALONE = 4.0  # times the largest error of prediction within NEAR around it: drops of rain come with others
NEAR = 480  # samples
LONGEST_CLICK = 0.002  # seconds; what is longer is a sound
CLICK_LEVEL = 0.02  # of full scale: what is smaller, nobody hears
SHORTEST_DROPOUT, LONGEST_DROPOUT = 0.003, 4.0  # seconds
LOUD = 10 ** (-50 / 20)  # RMS beside a drop-out
FLAT = 2e-4  # of full scale: as good as nothing
ABRUPT = 0.25  # the first samples beside a drop-out have so much of the level around it
LIKE = 9.0  # dB, mean difference of the spectra before and after


def look(marks: Iterable[Marked], chunks: Iterable[Array], rate: int) -> list[Damage]:
    """All damage of a sound track.

    Args:
        marks: its decoded frames.
        chunks: its samples, (n, C), the first at 0.
        rate: Hz.
    """
    lost, corrupt = _lost(marks)
    found = [*corrupt]
    holes: list[Damage] = []
    for start, block in _blocks(chunks, rate):
        mono = block.mean(1)
        holes += dropouts(mono, rate, start)
        found += [
            Damage("hearing", CLICK, start + a / rate, start + b / rate)
            for a, b in clicks(block, rate)
            if not _inside(start + a / rate, holes)
        ]
    # what is missing is silence to the reader: a drop-out there is the same thing, by its better name
    found += [Damage("hearing", LOST, d.start, d.end) for d in lost]
    found += [d for d in holes if not any(d.start < x.end + 0.03 and x.start - 0.03 < d.end for x in lost)]
    return merged(found, 0.0005)


def _inside(time: float, spans: Iterable[Damage]) -> bool:
    return any(d.start - 0.01 <= time <= d.end + 0.01 for d in spans)


BLOCK_SECONDS, OVERLAP = 20, 5


def _blocks(chunks: Iterable[Array], rate: int) -> Iterator[tuple[float, Array]]:
    """(start in seconds, samples) of BLOCK_SECONDS, each beginning OVERLAP before the end of the one before."""
    size, keep = BLOCK_SECONDS * rate, OVERLAP * rate
    held: list[Array] = []
    length, done = 0, 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= size:
            block = np.concatenate(held)
            yield done / rate, block
            held, done = [block[-keep:]], done + length - keep
            length = keep
    if length:
        yield done / rate, np.concatenate(held)


def _lost(marks: Iterable[Marked]) -> tuple[list[Damage], list[Damage]]:
    lost, corrupt = [], []
    end: float | None = None
    overlap = 0.0
    for mark in marks:
        time, length = float(mark.time), float(mark.seconds)
        if end is not None and time - end > 0.8 * length:
            lost.append(Damage("hearing", LOST, end, time))
        if end is not None:
            overlap = max(overlap, end - time)
        if mark.corrupt:
            corrupt.append(Damage("hearing", CORRUPT, time, time + length))
        end = time + length
    return [d for d in lost if d.seconds > 2 * overlap + 0.004], corrupt  # a clock that wavers has no holes


def dropouts(mono: Array, rate: int, start: float = 0.0) -> list[Damage]:
    """Spans of nothing between two abrupt edges in one and the same sound, (T,)."""
    quiet = np.abs(mono) < FLAT
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]])))
    found = []
    for a, b in edges.reshape(-1, 2):
        if (
            not SHORTEST_DROPOUT * rate <= b - a <= LONGEST_DROPOUT * rate
            or a < rate // 20
            or b > len(mono) - rate // 20
        ):
            continue
        before, after = mono[max(0, a - rate // 10) : a], mono[b : b + rate // 10]
        levels = [float(np.sqrt((x**2).mean())) for x in (before, after)]
        near = [float(np.abs(x).max()) for x in (before[-rate // 500 :], after[: rate // 500])]
        abrupt = all(n > ABRUPT * level for n, level in zip(near, levels, strict=True))
        if min(levels) > LOUD and abrupt and _unlike(before, after) < LIKE:
            found.append(Damage("hearing", DROPOUT, start + a / rate, start + b / rate))
    return found


def _unlike(a: Array, b: Array) -> float:
    """Mean difference of two spectra in dB, in 24 bands."""
    n = min(len(a), len(b))
    if n < 64:
        return 0.0
    edges = np.unique(np.geomspace(1, n // 2, 25).astype(int))
    power = [np.add.reduceat(np.abs(np.fft.rfft(x[:n] * np.hanning(n))) ** 2, edges[:-1]) + 1e-9 for x in (a, b)]
    return float(np.abs(10 * np.log10(power[0] / power[1])).mean())


def clicks(sound: Array, rate: int) -> list[tuple[int, int]]:
    """Spans (first, last exclusive) of clicks in any channel of sound (T, C)."""
    spans = [span for channel in np.ascontiguousarray(sound.T) for span in _clicks(channel, rate)]
    out: list[tuple[int, int]] = []
    for a, b in sorted(spans):
        if out and a <= out[-1][1] + 4:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        else:
            out.append((a, b))
    return out


def _clicks(x: Array, rate: int) -> Iterator[tuple[int, int]]:
    for start in range(0, max(1, len(x) - WINDOW // 2), WINDOW // 2):
        part = x[max(0, start - ORDER) : start + WINDOW]
        if len(part) < 8 * ORDER or float(np.abs(part).max()) < CLICK_LEVEL:
            continue
        error = np.abs(residual(part, predictor(part)))
        usual = float(np.median(error)) / 0.6745 + 1e-5
        hot = np.flatnonzero(error > THRESHOLD * usual)
        for a, b in _groups(hot, ORDER):
            at = max(0, start - ORDER) + a
            if a >= WINDOW // 2 + ORDER or b - a > LONGEST_CLICK * rate or not _lonely(error, a, b, usual):
                continue
            if float(np.abs(part[a:b]).max()) >= CLICK_LEVEL:
                yield at, at + max(1, b - a)


def _groups(hot: NDArray[np.int64], gap: int) -> Iterator[tuple[int, int]]:
    if not len(hot):
        return
    for run in np.split(hot, np.flatnonzero(np.diff(hot) > gap) + 1):
        yield int(run[0]), int(run[-1]) + 1


def _lonely(error: Array, a: int, b: int, usual: float) -> bool:
    """Whether the sound around a click goes on as before: what rings on, or swells, is no click."""
    peak = float(error[a:b].max())
    after, before = error[b + ORDER : b + ORDER + NEAR], error[max(0, a - NEAR) : max(0, a - 4)]
    calm = [
        float(np.max(x)) < peak / ALONE and float(np.mean(x[:64])) < 3 * usual for x in (after, before) if len(x) > 64
    ]
    return bool(calm) and all(calm)


def predictor(x: NDArray[np.floating], order: int = ORDER) -> NDArray[np.float64]:
    """Coefficients a of x[t] ~ sum_k a[k] x[t-1-k], (order,), by autocorrelation; clipped first, so that a click does
    not teach its own shape."""
    limit = 4 * float(np.median(np.abs(x))) + 1e-9
    y = np.clip(x.astype(np.float64), -limit, limit) * np.hanning(len(x))
    spectrum = np.abs(np.fft.rfft(y, 2 * len(y))) ** 2
    r = np.fft.irfft(spectrum)[: order + 1]
    r[0] = r[0] * (1 + 1e-6) + 1e-12
    toeplitz = r[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
    return np.asarray(np.linalg.solve(toeplitz, r[1:]))


def residual(x: NDArray[np.floating], a: NDArray[np.float64]) -> NDArray[np.float32]:
    """What prediction misses, (T,); the first samples, which have no past, are 0."""
    kernel = np.concatenate([[1.0], -a])
    out = np.convolve(x.astype(np.float64), kernel)[: len(x)]
    out[: len(a)] = 0
    return out.astype(np.float32)
