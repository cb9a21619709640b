"""Where a clip is cut into scenes, and what a scene looks like in 192 bits, to find it again in other files.

Shapes: T frames, H, W picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

JUMP = 10.0  # of 255 that the brightness of a pixel changes by, on average, within one frame
CUT = 0.35  # share of the colours that change within one frame
STANDS_OUT = 3.0  # times the usual change around: a hand-held run is not a row of cuts
AROUND = 6  # frames on either side
ALIKE = 4  # bits of 64 that may differ at each of the three moments; other seconds of one recording differ by 7 or more
FLAT = 12  # a moment with fewer steps of brightness than this looks like any other flat one


def cuts(frames: NDArray[np.uint8]) -> list[int]:
    """First frames of scenes after the first, in frames (T, H, W, 3).

    A cut is where the histograms of four quarters of the picture change by CUT, STANDS_OUT times as much as
    around it, and its pixels by JUMP.
    """
    if len(frames) < 2:
        return []
    levels = np.stack([_histograms(frame) for frame in frames])
    change = np.abs(np.diff(levels, axis=0)).sum((1, 2)) / 2 / levels.shape[1]
    found: list[int] = []
    for k in np.flatnonzero(change > CUT).tolist():
        if np.abs(frames[k + 1, ::2, ::2].astype(np.int16) - frames[k, ::2, ::2]).mean() < JUMP:
            continue
        near = np.concatenate([change[max(0, k - AROUND) : k], change[k + 1 : k + 1 + AROUND]])
        if change[k] > STANDS_OUT * (np.median(near) if len(near) else 0.0):
            found.append(k + 1)
    return found


def _histograms(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of the pixels at each of 4 x 4 x 4 colours, a quarter of the picture a row, (4, 64)."""
    small = frame[::2, ::2] >> 6
    colour = small[..., 0] * 16 + small[..., 1] * 4 + small[..., 2]
    high, wide = colour.shape[0] // 2, colour.shape[1] // 2
    quarters = [colour[a : a + high, b : b + wide] for a in (0, high) for b in (0, wide)]
    return np.stack([np.bincount(q.reshape(-1), minlength=64) / max(1, q.size) for q in quarters])


def look(frames: NDArray[np.uint8]) -> str | None:
    """Difference hashes (Krawetz, dHash) of three moments as 48 hexadecimal digits; None where a moment is flat."""
    moments = [frames[round(share * (len(frames) - 1))] for share in (0.1, 0.5, 0.9)]
    hashes = []
    for frame in moments:
        grey = frame.astype(np.float64).mean(-1)
        rows = [part.mean(0) for part in np.array_split(grey, 8)]
        cells = np.array([[part.mean() for part in np.array_split(row, 9)] for row in rows])
        steps = np.diff(cells, axis=1)
        if np.count_nonzero(np.abs(steps) > 1.0) < FLAT:
            return None
        hashes.append(np.packbits(steps > 0).tobytes().hex())
    return "".join(hashes)


def alike(one: str, others: NDArray[np.uint8]) -> int | None:
    """Which of some looks (N, 24) uint8 shows the same moments as `one`; None if none does."""
    if not len(others):
        return None
    own = np.frombuffer(bytes.fromhex(one), np.uint8)
    differ = np.unpackbits(others ^ own, axis=1).reshape(-1, 3, 64).sum(-1)
    same = np.flatnonzero((differ <= ALIKE).all(1))
    return int(same[0]) if len(same) else None
