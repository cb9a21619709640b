"""The sleep-safe master: generated pictures without flashes, generated sound without shocks, both ready for bedtime.

Stages over pictures and over sound, each an iterator in and an iterator out, in constant memory. They stand just before
whatever hides something in a movie (a watermark) and before the encoder. What is harmless passes unchanged.

Shapes: H rows, W columns, N samples, T hops of a fiftieth of a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import RGB, Movie, Screen, Sound
from stale_diffusion.trust import flashes
from stale_diffusion.trust.limits import LIMITS, LOUDNESS
from stale_diffusion.trust.loudness import BLOCK, OFFSET, TENTH, Gated, Weighed, decibels, true_peaks

Array = NDArray[np.float64]

# The guard is stricter than the judge (limits.py): what encoders, watermarks and rounding add must fit in between.
STEP, AREA = 0.08, 0.20  # of luminance; of a window
SECOND, LONG = 4, 14  # changes in a second, and in five: at most two flashes, and 1.4 a second for long
_PARTS = (0.5, 0.25, 0.1, 0.0)  # how much of a forbidden change is let through
_COARSE = (16, 12)  # cells of the light that is held back while what moves moves on

HOP = 50  # a second
ONSET = 7.0  # dB that a fiftieth of a second may be louder than the second before it
CEILING = 5.0  # LU above the target
PEAK = 10 ** (-3.4 / 20)  # of full scale; lossy codecs add some
FLOOR = 10 ** ((-50 - OFFSET) / 10)  # power of what counts as silence before a sound
RELEASE = 10 ** (0.4 / 20)  # a hop: 20 dB a second
MEMORY = 60.0  # seconds after which loudness is forgotten: a night is level everywhere
NEAR, FAR = 3.0, 8.0  # dB that what is usual in a piece may lie from the target; beyond FAR it hurries back
UP, DRIFT, DOWN = 4.0, 3.0, 6.0  # dB that the gain may rise, and sink before and after the ceiling does, a piece
SPARE = 0.2  # LU that an event may exceed the target by in the end
SOFTER = 0.35  # share of its power that what follows may lose to make up for an event
RANGE = (-40.0, 40.0)  # dB
FADES = (2.0, 1.0)  # seconds, at the start and at the end


def safe_frames(frames: Iterator[RGB], fps: Fraction) -> Iterator[RGB]:
    """Pictures (H, W, 3) with at most two flashes a second; one that would flash more is held back in part."""
    meter = flashes.Meter(step=STEP, area=AREA)
    held, shown = None, None
    for i, frame in enumerate(frames):
        time = float(i / fps)
        small = np.asarray(Image.fromarray(frame).resize(meter.grid, Image.Resampling.BOX))
        offer = meter.offer(flashes.linear(small), time)
        if held is not None and shown is not None and _forbidden(meter, offer):
            frame, small, offer = _calmed(meter, frame, small, shown, held, time)
        meter.take(offer)
        held, shown = small, frame
        yield frame


def _forbidden(meter: flashes.Meter, offer: flashes.Offer) -> bool:
    return meter.exceeds(offer, SECOND + 1, flashes.SECOND) or meter.exceeds(offer, LONG + 1, flashes.LONG)


def _calmed(
    meter: flashes.Meter, frame: RGB, small: RGB, shown: RGB, held: RGB, time: float
) -> tuple[RGB, RGB, flashes.Offer]:
    """A picture with as much of its change as may be: first only its light is held back, then all of it."""
    for part in _PARTS:
        field = (1 - part) * _coarse(held.astype(np.float32) - small)
        calm = _lit(small, field)
        offer = meter.offer(flashes.linear(calm), time)
        if not _forbidden(meter, offer):
            return _lit(frame, field), calm, offer
    for part in _PARTS:
        calm = _mixed(held, small, part)
        offer = meter.offer(flashes.linear(calm), time)
        if not _forbidden(meter, offer):
            break
    return _mixed(shown, frame, part), calm, offer


def _coarse(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over coarse cells, (12, 16, 3)."""
    (w, h), (rows, columns) = _COARSE, difference.shape[:2]
    return np.asarray(difference.reshape(h, rows // h, w, columns // w, 3).mean((1, 3)), np.float32)


def _lit(picture: RGB, field: NDArray[np.float32]) -> RGB:
    """A picture with a coarse field of light (12, 16, 3) added."""
    size = picture.shape[1], picture.shape[0]
    out = np.empty_like(picture)
    for c in range(3):
        light = np.asarray(Image.fromarray(field[..., c]).resize(size, Image.Resampling.BILINEAR))
        out[..., c] = np.clip(picture[..., c] + light + 0.5, 0, 255)
    return out


def _mixed(before: RGB, after: RGB, part: float) -> RGB:
    return np.asarray(before + part * (after.astype(np.float32) - before) + 0.5, np.float32).astype(np.uint8)


@dataclass(frozen=True)
class Bedtime:
    """How a movie goes to sleep.

    Args:
        seconds: length of the movie.
        minutes: its last ones, in which the picture grows dim and warm and the sound soft; 0: none of that.
        fades: seconds at the start and at the end in which the sound rises and dies away; (0, 0) where a movie repeats.
    """

    seconds: float
    minutes: float = 0.0
    fades: tuple[float, float] = FADES

    def progress(self, time: Array) -> Array:
        """How far towards sleep, [0, 1]."""
        span = min(60 * self.minutes, self.seconds)
        return np.clip(1 - (self.seconds - time) / span, 0, 1) if span > 0 else np.zeros_like(time)

    def curtain(self, time: Array) -> Array:
        """What is left of the light at the very end, [0, 1]: the last tenth of the minutes, at most one."""
        last = min(6 * self.minutes, 60.0, self.seconds / 4)
        left = np.clip((self.seconds - time) / last, 0, 1) if last > 0 else np.ones_like(time)
        return np.asarray(left * left * (3 - 2 * left))

    def hush(self, time: Array) -> Array:
        """The factor of the sound at times: 20 dB down in the minutes, then to nothing."""
        return np.asarray(10 ** (-self.progress(time)) * self.curtain(time))

    def fade(self, time: Array) -> Array:
        """The factor of the sound of any movie at times: it rises at the start and dies away at the end."""
        out = np.ones_like(time)
        for fade, at in ((self.fades[0], time), (self.fades[1], self.seconds - time)):
            fade = min(fade, self.seconds / 4)
            if fade > 0:
                out = out * (0.5 - 0.5 * np.cos(math.pi * np.clip(at / fade, 0, 1)))
        return out


_DIM, _WARM = 1.2, np.array([0.0, 0.35, 0.75])  # decades of light; what red, green and blue lose on top


def bedtime_frames(frames: Iterator[RGB], fps: Fraction, bedtime: Bedtime) -> Iterator[RGB]:
    """Pictures that grow dim and warm: to a sixteenth of their light, of the colour of a candle, then to black."""
    dither = np.random.default_rng(0).integers(0, 256, (8, 64, 1), np.uint16)
    for i, frame in enumerate(frames):
        time = np.array(float(i / fps))
        part, curtain = float(bedtime.progress(time)), float(bedtime.curtain(time))
        if part == 0 and curtain == 1:
            yield frame
            continue
        light = flashes.LINEAR[:, None] * 10 ** (-_DIM * part) * (1 - _WARM * part) * curtain
        coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
        table = (coded * 255 * 256).astype(np.uint16)
        h, w = frame.shape[:2]
        noise = np.roll(dither, i * 29, 1)
        noise = np.tile(noise, (h // 8 + 1, w // 64 + 1, 1))[:h, :w]
        mapped = [(table[:, c].take(frame[..., c]) + noise[..., 0]) >> 8 for c in range(3)]
        yield np.stack(mapped, -1).astype(np.uint8)


class _Level:
    """Keeps sound at the target: a slow gain for loudness, a quick one for onsets and peaks."""

    def __init__(self, rate: int, bedtime: Bedtime) -> None:
        self.rate, self.bedtime, self.seconds = rate, bedtime, 0.0
        self.target = target = LOUDNESS - _lost(bedtime)
        self.ceiling = 10 ** ((target + CEILING - OFFSET) / 10)
        self.before, self.after = Weighed(rate), Weighed(rate)
        self.heard = Gated(MEMORY)
        self.gain: float | None = None  # dB
        self.quick = 1.0
        start = FLOOR if bedtime.fades[0] else 10 ** ((target - OFFSET) / 10)
        self.second = np.full(HOP, start)  # power of the last hops that were put out

    def __call__(self, sound: Sound) -> Sound:
        """The next piece, whole tenths of a second."""
        power = self.before.powers(sound, HOP)
        gain, ceiling = self._slow(power)
        slow = 10 ** (_glide(self.gain, gain, len(power), HOP) / 20)
        self.gain = gain
        out = self._peaks(_scaled(sound, slow * self._quick(power * slow**2, ceiling), self.rate // HOP))
        out = _scaled(out, self._fades(len(power), HOP), self.rate // HOP)
        self.heard.add(self.after.powers(out, TENTH))
        self.seconds += len(sound) / self.rate
        return out

    def _fades(self, count: int, a_second: int) -> Array:
        """The movie's fades at the next pieces of 1 / a_second seconds, (count,)."""
        return self.bedtime.fade(self.seconds + (np.arange(count) + 0.5) / a_second)

    def _slow(self, power: Array) -> tuple[float, float]:
        """The gain in dB that brings what was heard, and this, to the target; and the power that nothing may exceed.

        Where a small change of the gain will not do, as for a thunder, the ceiling falls; where that will not do, both.
        """
        tenths = power.reshape(-1, HOP // TENTH).mean(1)
        if not (tenths > FLOOR * 1e-7).any():
            return self.gain or 0.0, self.ceiling
        usual = float(np.clip(self.target - decibels(float(np.median(tenths[tenths > tenths.max() * 1e-5]))), *RANGE))
        if self.gain is None:  # of what is usual in the first piece, not of what is loudest
            self.gain = usual
        up = self.gain + max(UP, usual - self.gain - FAR)
        lowest = max(self.gain - DOWN, min(usual - NEAR, up))
        low = max(self.gain - DRIFT, lowest)
        high = max(low, min(up, usual + NEAR))

        fades = self._fades(len(tenths), TENTH) ** 2

        def level(gain: float, ceiling: float) -> float:
            power = 10 ** (_glide(self.gain, gain, len(tenths), TENTH) / 10)
            return self.heard.loudness(self.heard.blocks(np.minimum(tenths * power, ceiling) * fades))

        if level(low, self.ceiling) > self.target:
            flat = self.ceiling * 10 ** (-CEILING / 10)
            most = self.target + SPARE + self._credit()
            if level(low, flat) > most:
                return _solved(lambda g: level(g, flat), most, lowest, low), flat
            return low, _solved(lambda c: level(low, c), most, flat, self.ceiling)
        return _solved(lambda g: level(g, self.ceiling), self.target, low, high), self.ceiling

    def _credit(self) -> float:
        """LU above the target that the rest of the movie can make up for."""
        heard = min(self.seconds, MEMORY) + 4
        return 10 * math.log10(1 + SOFTER * min(max(self.bedtime.seconds - heard, 0), MEMORY) / heard)

    def _quick(self, power: Array, ceiling: float) -> Array:
        """Factors (T,) that keep every hop within ONSET of the second before it, and under the ceiling."""
        out = np.empty(len(power))
        floor = FLOOR / HOP
        for i, p in enumerate(power):
            allowed = min(max(self.second.mean(), floor) * 10 ** (ONSET / 10), ceiling)
            self.quick = min(1.0, self.quick * RELEASE, math.sqrt(allowed / max(p, 1e-20)))
            out[i] = self.quick
            self.second = np.append(self.second[1:], p * self.quick**2)
        return out

    def _peaks(self, sound: Sound) -> Sound:
        """Under PEAK, between the samples too."""
        if np.abs(sound).max(initial=0) < PEAK / 2:
            return sound
        n = self.rate // HOP
        highest = true_peaks(sound).reshape(-1, n).max(1)
        return _scaled(sound, PEAK / np.maximum(highest, PEAK), n)


def _glide(last: float | None, gain: float, count: int, a_second: int) -> Array:
    """From the last gain to this one within three seconds, dB, (count,)."""
    ramp = np.clip(np.arange(1, count + 1) / min(3 * a_second, count), 0, 1)
    return np.asarray(gain + (1 - ramp) * ((last if last is not None else gain) - gain))


def _solved(level: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a rising function meets the target, between low and high."""
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if level(middle) > target else (middle, high)
    return (low + high) / 2


def _scaled(sound: Sound, factors: Array, n: int) -> Sound:
    """Sound times factors, one for each n samples: straight lines between them that never exceed a piece's own."""
    if (factors == 1).all():
        return sound
    nodes = np.minimum(np.append(factors, factors[-1]), np.append(factors[0], factors))
    lines = np.interp((np.arange(len(factors) * n) + 0.5) / n, np.arange(len(nodes)), nodes)
    return np.asarray(sound * lines[:, None], np.float32)


def safe_sound(chunks: Iterator[Sound], rate: int, bedtime: Bedtime) -> Iterator[Sound]:
    """Stereo sound (N, 2) at -27 LUFS as a whole, with soft onsets, under -3 dBTP, fading as bedtime wants.

    Pieces come out as they come in, unless they are no whole tenths of a second: then the rest waits for the next.
    """
    level, at, n = _Level(rate, bedtime), 0, rate // TENTH
    rest = np.zeros((0, 2), np.float32)
    for chunk in chunks:
        both = np.concatenate([rest, chunk])
        whole = len(both) // n * n
        rest = both[whole:]
        if whole:
            yield _hushed(level(both[:whole]), at, rate, bedtime)
            at += whole
    if len(rest):
        filled = np.concatenate([rest, np.zeros((n - len(rest), 2), np.float32)])
        yield _hushed(level(filled)[: len(rest)], at, rate, bedtime)


def _hushed(sound: Sound, start: int, rate: int, bedtime: Bedtime) -> Sound:
    if not bedtime.minutes:
        return sound
    coarse = np.arange(start, start + len(sound) + rate // 100, rate // 100)
    factor = np.interp(start + np.arange(len(sound)), coarse, bedtime.hush(coarse / rate))
    return np.asarray(sound * factor[:, None], np.float32)


def _lost(bedtime: Bedtime) -> float:
    """LU that bedtime takes from an even sound; at most 6 of it are made good."""
    if not bedtime.minutes:
        return 0.0
    heard = Gated()
    factor = bedtime.hush((np.arange(max(BLOCK, math.ceil(bedtime.seconds * TENTH))) + 0.5) / TENTH)
    even = 10 ** ((LOUDNESS - OFFSET) / 10)
    heard.add(even * factor**2)
    whole = Gated()
    whole.add(np.full(BLOCK, even))
    return max(heard.loudness() - whole.loudness(), -6.0)


@final
class Mastered(Screen):
    """A generated screen, safe to fall asleep to."""

    def __init__(self, screen: Screen, minutes: float = 0.0) -> None:
        self.screen, self.kind = screen, screen.kind
        self.bedtime = Bedtime(screen.seconds, minutes)

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.screen.seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures without flashes, dim and warm at bedtime."""
        return safe_frames(bedtime_frames(self.screen.frames(size, fps), fps, self.bedtime), fps)

    def sound(self, rate: int) -> Iterator[Sound]:
        """Sound at an even -27 LUFS."""
        return safe_sound(self.screen.sound(rate), rate, self.bedtime)

    def stills(self, count: int, size: tuple[int, int]) -> Iterator[RGB]:
        """Pictures far apart: nothing flashes between them."""
        fps = Fraction(count / self.seconds).limit_denominator(1_000_000)
        return bedtime_frames(self.screen.stills(count, size), fps, self.bedtime)


def mastered(movie: Movie, bedtime: float = 0.0) -> Movie:
    """A generated movie with a safe screen, and the limits in its recipe.

    Args:
        bedtime: minutes, at most the whole movie's.

    Raises:
        StaleError: the bedtime is no number of minutes.
    """
    if not 0 <= bedtime < math.inf:
        raise StaleError(f"{bedtime:g} minutes of bedtime cannot be made.", mend="--bedtime 30", usage=True)
    assert movie.screen is not None
    recipe = movie.recipe and replace(movie.recipe, sleep_safe=True, limits=LIMITS, bedtime=bedtime or None)
    return replace(movie, screen=Mastered(movie.screen, bedtime), recipe=recipe)
