"""Flashes of a picture as WCAG 2.3.1 counts them: general and red, by area, on the picture as 1024x768 shows it.

A change counts where relative luminance rises or falls by a tenth of white, the darker side under 0.80; or, red, where
one side has R/(R+G+B) >= 0.8 in linear light and the CIE 1976 u'v' of the two lie more than 0.2 apart. Two opposing
changes are a flash. What matters is the share of any 341x256 window (10 degrees) in which they happen.

Two ways of counting, and the worse one holds: cell by cell, so that parts of a window may flash out of step; and
window by window, where the part that changes may wander, as long as more than the allowed area changes the same way
within a tenth of a second.

Shapes: H x W cells, C = H * W, K changes remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB = NDArray[np.uint8]
Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Kind = Literal["general", "red"]

GRID = (
    128,
    96,
)  # cells: 8x8 pixels of 1024x768, a fifth of a degree; what is finer is taken as its mean
GENERAL_STEP, DARK = 0.10, 0.80  # of relative luminance
RED_SHARE, RED_STEP = 0.80, 0.20  # R / (R + G + B); distance in u'v'
AREA = 0.25  # of a window
GLOW = 0.002  # of white: what a screen reflects; it gives black a colour
TOGETHER = 0.1  # seconds in which changes are one
SECOND, LONG = 1.0, 5.0  # seconds
KEPT = 24  # changes that are remembered a cell
STRIDE = 2  # cells from one window to the next
SLACK = 1e-3  # seconds: time stamps are rounded to milliseconds

_CODED = np.arange(256) / 255
LINEAR = np.where(_CODED <= 0.04045, _CODED / 12.92, ((_CODED + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear light of each sRGB value."""
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# numerators 4X and 9Y and denominator X + 15Y + 3Z of u'v' from linear BT.709
_UV = np.array([[1.6496, 1.9134, 3.6593], [1.4304, 6.4368, 11.4432], [0.7220, 0.6498, 4.1150]], np.float32)


def linear(rgb: RGB) -> Array:
    """Linear light of sRGB values, [0, 1]."""
    return np.asarray(LINEAR.take(rgb))


def shrunk(rgb: RGB, grid: tuple[int, int] = GRID) -> Array:
    """A picture (any H, W, 3) as linear light in cells, (grid height, grid width, 3)."""
    return linear(np.asarray(Image.fromarray(rgb).resize(grid, Image.Resampling.BOX)))


def luminance(light: Array) -> Array:
    """Relative luminance, [0, 1]."""
    return np.asarray(light @ _LUMINANCE)


@dataclass(frozen=True)
class Offer:
    """What a picture would change, by kind: cells that rise and cells that fall."""

    time: float
    level: Array  # (C,) luminance
    red: tuple[Array, Array]  # (C,) share of red, (C, 3) linear light
    up: dict[Kind, Mask]
    down: dict[Kind, Mask]


class Train:
    """The times of the last KEPT changes of n things."""

    def __init__(self, n: int) -> None:
        self.times = np.full((KEPT, n), -np.inf)
        self.head = np.zeros(n, np.int64)

    def add(self, which: NDArray[np.int64], time: float) -> None:
        """A change of some of them, now."""
        self.times[self.head[which], which] = time
        self.head[which] = (self.head[which] + 1) % KEPT

    def at_least(self, count: int, time: float, seconds: float, more: Mask | None = None) -> Mask:
        """Which have changed `count` times within `seconds`; `more`: those that change once more now."""
        if more is not None:
            return np.where(more, self._last(count - 1) > time - seconds, self._last(count) > time - seconds)
        return np.asarray(self._last(count) > time - seconds)

    def _last(self, count: int) -> NDArray[np.float64]:
        """The time of the count-th change from the end; of the 0th: the end of time."""
        if count == 0:
            return np.full(self.head.shape, np.inf)
        return np.asarray(np.take_along_axis(self.times, ((self.head - count) % KEPT)[None], 0)[0])


class Windows:
    """Shares of windows, a third of the picture wide and high."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self.grid = grid
        self.size = (max(1, grid[0] // 3), max(1, grid[1] // 3))
        self.shape = ((grid[1] - self.size[1]) // STRIDE + 1, (grid[0] - self.size[0]) // STRIDE + 1)
        self.count = self.shape[0] * self.shape[1]

    def shares(self, cells: Mask) -> Array:
        """Of each window, the share of cells (C,) that are set, (windows,)."""
        w, h = self.size
        table = np.zeros((self.grid[1] + 1, self.grid[0] + 1), np.int32)
        cells.reshape(self.grid[::-1]).cumsum(0, np.int32).cumsum(1, np.int32, out=table[1:, 1:])
        sums = table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w]
        return (sums[::STRIDE, ::STRIDE] / np.float32(w * h)).astype(np.float32).ravel()

    def over(self, cells: Mask, area: float) -> bool:
        """Whether cells take more than `area` of any window."""
        if np.count_nonzero(cells) <= area * self.size[0] * self.size[1]:
            return False
        return bool(self.shares(cells).max() > area)


class _Counter:
    """Changes of one kind: of every cell, and of every window as a whole."""

    def __init__(self, windows: Windows, cells: int, area: float) -> None:
        self.windows, self.area = windows, area
        self.cells, self.whole = Train(cells), Train(windows.count)
        self.lasts = np.zeros(windows.count, np.int8)  # +1 rose, -1 fell
        self.recent: list[tuple[float, Mask, int]] = []

    def turns(self, time: float, up: Mask, down: Mask) -> NDArray[np.int8]:
        """Which windows turn round now, and which way, (windows,): more than the area changes so, on balance."""
        least = self.area * self.windows.size[0] * self.windows.size[1]
        joint = {1: up.copy(), -1: down.copy()}
        for at, mask, way in self.recent:
            if at > time - TOGETHER:
                joint[way] |= mask
        if max(np.count_nonzero(mask) for mask in joint.values()) <= least:
            return np.zeros(self.windows.count, np.int8)
        net = self.windows.shares(joint[1]) - self.windows.shares(joint[-1])
        ways = np.sign(net) * (np.abs(net) > self.area)
        return np.asarray(np.where(ways == self.lasts, 0, ways), np.int8)

    def exceeds(self, time: float, up: Mask, down: Mask, count: int, seconds: float) -> bool:
        """Whether with these changes more than the area has changed `count` times within `seconds`."""
        changed = up | down
        if self.windows.over(self.cells.at_least(count, time, seconds, changed), self.area):
            return True
        turned = self.turns(time, up, down) != 0
        return bool((turned & self.whole.at_least(count, time, seconds, turned)).any())

    def take(self, time: float, up: Mask, down: Mask) -> None:
        ways = self.turns(time, up, down)
        which = np.flatnonzero(ways)
        self.lasts[which] = ways[which]
        self.whole.add(which, time)
        self.cells.add(np.flatnonzero(up | down), time)
        self.recent = [r for r in self.recent if r[0] > time - TOGETHER]
        self.recent += [(time, mask, way) for way, mask in ((1, up), (-1, down)) if mask.any()]

    def most(self, time: float, seconds: float, known: int) -> int:
        """How often more than the area has changed within `seconds`, if that is more than is known."""
        while known < KEPT and (
            self.windows.over(self.cells.at_least(known + 1, time, seconds), self.area)
            or bool(self.whole.at_least(known + 1, time, seconds).any())
        ):
            known += 1
        return known


class Meter:
    """Counts the flashes of pictures that come one after the other, in constant memory.

    Args:
        grid: cells across and down.
        step: change of relative luminance that counts; a guard takes less than a judge.
        area: share of a window that counts.
    """

    def __init__(self, grid: tuple[int, int] = GRID, step: float = GENERAL_STEP, area: float = AREA) -> None:
        self.grid, self.step, n = grid, step, grid[0] * grid[1]
        windows = Windows(grid)
        self.counters: dict[Kind, _Counter] = {k: _Counter(windows, n, area) for k in ("general", "red")}
        self.lasts: dict[Kind, NDArray[np.int8]] = {k: np.zeros(n, np.int8) for k in ("general", "red")}
        self.low, self.high = np.full(n, np.inf, np.float32), np.full(n, -np.inf, np.float32)
        # the least and the most red light since the last red change: share, and u'v'
        self.pale, self.ruddy = np.full(n, np.inf, np.float32), np.full(n, -np.inf, np.float32)
        self.pale_uv, self.ruddy_uv = np.zeros((n, 2), np.float32), np.zeros((n, 2), np.float32)

    def offer(self, cells: Array, time: float) -> Offer:
        """What a picture of cells (H, W, 3) would change; nothing is remembered."""
        light = cells.reshape(-1, 3)
        level = luminance(light)
        up = (level - self.low >= self.step) & (self.low < DARK) & (self.lasts["general"] <= 0)
        down = (self.high - level >= self.step) & (level < DARK) & (self.lasts["general"] >= 0)
        share = (light[:, 0] + GLOW) / (light.sum(1) + 3 * GLOW)
        none = np.zeros(len(level), bool)
        rise, fall = none, none
        if (red := share >= RED_SHARE).any():
            rise = self._far(red & (self.lasts["red"] <= 0) & np.isfinite(self.pale), light, self.pale_uv)
        if (red := self.ruddy >= RED_SHARE).any():
            fall = self._far(red & (self.lasts["red"] >= 0), light, self.ruddy_uv)
        return Offer(time, level, (share, light), {"general": up, "red": rise}, {"general": down, "red": fall & ~rise})

    def _far(self, where: Mask, light: Array, anchor: Array) -> Mask:
        """Of some cells, those whose colour has gone far from an anchor (C, 2)."""
        which = np.flatnonzero(where)
        out = np.zeros(len(where), bool)
        out[which] = np.linalg.norm(_uv(light[which]) - anchor[which], axis=1) > RED_STEP
        return out

    def exceeds(self, offer: Offer, count: int, seconds: float) -> bool:
        """Whether a picture would bring more than the area to `count` changes within `seconds`, of either kind."""
        return any(
            counter.exceeds(offer.time, offer.up[kind], offer.down[kind], count, seconds)
            for kind, counter in self.counters.items()
            if offer.up[kind].any() or offer.down[kind].any()
        )

    def take(self, offer: Offer) -> dict[Kind, bool]:
        """Remember a picture; which kinds of change there were."""
        self._follow("general", offer, offer.level, self.low, self.high)
        share, light = offer.red
        reset = offer.up["red"] | offer.down["red"]
        for extreme, colours, better in (
            (self.pale, self.pale_uv, share < self.pale),
            (self.ruddy, self.ruddy_uv, share > self.ruddy),
        ):
            which = np.flatnonzero(better | reset)
            if len(which):
                extreme[which], colours[which] = share[which], _uv(light[which])
        changed: dict[Kind, bool] = {}
        for kind, counter in self.counters.items():
            up, down = offer.up[kind], offer.down[kind]
            changed[kind] = bool(up.any() or down.any())
            if changed[kind]:
                self.lasts[kind][up], self.lasts[kind][down] = 1, -1
                counter.take(offer.time, up, down)
        return changed

    def _follow(self, kind: Kind, offer: Offer, value: Array, low: Array, high: Array) -> None:
        np.minimum(low, value, out=low)
        np.maximum(high, value, out=high)
        which = np.flatnonzero(offer.up[kind] | offer.down[kind])
        low[which] = high[which] = value[which]


def _uv(light: Array) -> Array:
    """CIE 1976 u'v' of linear BT.709 light (n, 3), with the screen's glow."""
    tops = (light + GLOW) @ _UV
    return np.asarray(tops[:, :2] / tops[:, 2:])


@dataclass
class Worst:
    """The most changes of one kind within a span of time, and when."""

    changes: int = 0
    time: float = 0.0


class Watch:
    """A meter that remembers the worst moments: {(kind, "second" or "long"): Worst}."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.worst: dict[tuple[Kind, str], Worst] = {}
        for kind in meter.counters:
            self.worst |= {(kind, "second"): Worst(), (kind, "long"): Worst()}

    def see(self, cells: Array, time: float) -> None:
        """Take a picture of cells (H, W, 3), later than the one before."""
        for kind, changed in self.meter.take(self.meter.offer(cells, time)).items():
            for span, seconds in (("second", SECOND - SLACK), ("long", LONG + SLACK)) if changed else ():
                worst = self.worst[kind, span]
                found = self.meter.counters[kind].most(time, seconds, worst.changes)
                if found > worst.changes:
                    self.worst[kind, span] = Worst(found, time)
