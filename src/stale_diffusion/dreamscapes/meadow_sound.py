"""What a meadow sounds like: wind in grass, larks and quails, crickets and grasshoppers, a bumblebee, cowbells.

Shapes: N samples, F frequencies.
"""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.dreamscapes import lanes
from stale_diffusion.dreamscapes.acoustics import add_grain, band, resonance, ring, shaped_noise
from stale_diffusion.dreamscapes.light import daylight
from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.scene import Event, Stage

WIND_SPEED = 12.0  # m/s at wind = 1: a strong breeze (Beaufort 6), the most in which tall grass still waves
Sound = NDArray[np.float32]


def _eddies(t: float, ear: int) -> float:
    """Turbulence of the air at one ear, about [-1, 1]: incommensurate waves, each lasting some eddy's passage."""
    lag = t - 0.35 * ear
    a = np.sin(1.31 * lag + 1.7 * np.sin(0.23 * lag)) + 0.7 * np.sin(2.93 * lag + 2.1 * np.sin(0.41 * lag + ear))
    return float((a + 0.45 * np.sin(6.7 * lag + 3 * np.sin(0.9 * lag + 2 * ear))) / 2)


def _grass(stage: Stage, start: int, n: int, rate: int) -> Sound:
    """Wind as shaped noise, (N, 2): a roar at the ear under 300 Hz and the rustle of stalks around 2 to 6 kHz.

    The level of the rustle goes with the cube of the wind's speed, its middle rises with it (Fégeant 1999, wind in
    vegetation); a gust is heard on the side that it comes from first.
    """

    def spectrum(f: Array, t: float, ear: int) -> Array:
        wind = stage.value("wind", t)
        gust = float(lanes.pulses(stage, "gust", np.array([t - 0.3 * ear]), 0.6, 1.3)[0])
        blow = max(wind * (1 + 0.35 * _eddies(t, ear)) + 0.5 * gust, 0.0)
        wet = 1 - 0.35 * stage.value("rain", t)
        roar = 0.26 * blow**2 * band(f, 35, 130 + 120 * blow, 1.0)
        body = 0.035 * blow**1.5 * resonance(f, 330 + 260 * blow, 0.9)
        rustle = wet * (0.075 * blow**1.6 + 0.003) * band(f, 1400 + 500 * blow, 5200 + 1800 * blow, 1.0)
        return np.asarray((roar + body + rustle + 0.0008) * np.sqrt(f[-1] / 24000))

    name = f"meadow {stage.segment(start / rate).variant}"
    sides = [shaped_noise(f"{name} {ear}", start, n, rate, partial(spectrum, ear=ear), 1) for ear in (0, 1)]
    shared = shaped_noise(name, start, n, rate, partial(spectrum, ear=0), 1)
    return np.asarray(0.8 * np.concatenate(sides, 1) + 0.5 * shared, np.float32)


def _lark(out: Sound, start: int, rate: int, e: Event, rng: np.random.Generator) -> None:
    """A skylark: two to four seconds of quick syllables of 40 to 120 ms between 2 and 6 kHz, many of them repeated."""
    at, loud = e.time, (0.012 + 0.03 * e.strength) / (0.5 + 1.5 * e.distance)
    until = e.time + 1.6 + 2.2 * e.strength
    while at < until:
        seconds, low = rng.uniform(0.04, 0.12), rng.uniform(2200, 4300)
        bend, trill = rng.normal(0, 1500), rng.uniform(0, 220) * (rng.random() < 0.5)
        s = np.arange(int(seconds * rate)) / rate
        hz = low + bend * s / seconds + trill * np.sin(2 * np.pi * rng.uniform(60, 110) * s)
        note = np.sin(2 * np.pi * np.cumsum(hz) / rate) * np.sin(np.pi * s / seconds) ** 0.7
        for _ in range(int(rng.choice((1, 2, 3, 5), p=(0.35, 0.3, 0.2, 0.15)))):
            add_grain(out, start, rate, at, loud * rng.uniform(0.6, 1) * note, 0.8 * e.x)
            at += seconds * rng.uniform(1.1, 1.3)


def _quail(out: Sound, start: int, rate: int, e: Event) -> None:
    """A quail's call, "wet my lips": three whistled notes near 2 kHz in 0.6 s, said two or three times."""
    loud = (0.012 + 0.03 * e.strength) / (0.5 + 1.5 * e.distance)
    for say in range(2 + (e.strength > 0.5)):
        for lag, seconds, hz in ((0.0, 0.07, 1750), (0.27, 0.06, 1900), (0.40, 0.11, 2050)):
            s = np.arange(int(seconds * rate)) / rate
            note = np.sin(2 * np.pi * (hz * s + 700 * s * s)) * np.sin(np.pi * s / seconds)
            add_grain(out, start, rate, e.time + 1.05 * say + lag, loud * note, 0.8 * e.x)


def _bee(stage: Stage, out: Sound, start: int, rate: int, e: Event) -> None:
    """A bumblebee that flies past: 180 Hz and its harmonics, nearer, past and away with its Doppler shift."""
    seconds, speed, near = 2.6, 3.5, 0.5 + 0.8 * e.distance
    s = np.arange(int(seconds * rate)) / rate
    along = speed * (s - 1.0)
    r = np.sqrt(along**2 + near**2)
    rng = np.random.default_rng([int(e.time * 128), 31])
    hz = (165 + 40 * rng.random()) * (1 - speed * along / r / 343)
    hz = hz * (1 + 0.02 * np.sin(2 * np.pi * 4.3 * s + 6 * rng.random()))
    phase = 2 * np.pi * np.cumsum(hz) / rate
    buzz = sum(np.sin(k * phase + k) / k**1.1 for k in range(1, 14) if 190 * k < rate / 2)
    wave = 0.02 * (0.5 + e.strength) * buzz * near / r * np.sin(np.pi * s / seconds) ** 0.5
    side = np.clip(np.sign(e.x or 1) * along / 3, -1, 1)
    for channel, gain in ((0, np.sqrt(0.5 - 0.45 * side)), (1, np.sqrt(0.5 + 0.45 * side))):
        part = np.zeros((len(out), 2), np.float32)
        add_grain(part, start, rate, e.time, wave * gain * np.sqrt(2))
        out[:, channel] += part[:, 0]


def _cowbell(stage: Stage, out: Sound, start: int, rate: int, e: Event) -> None:
    """A cowbell of bent sheet iron, struck a few times as the cow grazes."""
    rng = np.random.default_rng([stage.segment(e.time).variant, int(5 * e.distance)])  # a cow has her bell
    base = rng.uniform(420, 900)
    modes = [(base * k, a, d) for k, a, d in ((1, 0.6, 0.5), (1.58, 1.0, 0.4), (2.24, 0.5, 0.25), (3.4, 0.4, 0.18),
                                              (4.9, 0.25, 0.12))]  # fmt: skip
    wave, at = ring(rate, 0.6, modes, 0.0008), e.time
    beat = np.random.default_rng([int(e.time * 128), 32])
    for _ in range(int(beat.integers(2, 6))):
        loud = (0.014 + 0.040 * e.strength) * beat.uniform(0.3, 1) / (0.6 + 1.6 * e.distance)
        add_grain(out, start, rate, at, loud * wave, 0.9 * e.x)
        at += beat.uniform(0.18, 0.5)


def _insects(stage: Stage, out: Sound, start: int, rate: int) -> None:
    """Field crickets (chirps of three pulses at 4.5 kHz, three a second) more by night; grasshoppers (rasps at 6 to 11
    kHz of half a second) by day. Each has its place and rhythm; fewer sing as the wind rises."""
    first, last = start / rate, (start + len(out)) / rate
    rng = stage.rng("crickets", max(first, 0.0))
    t = np.arange(int(0.11 * rate)) / rate
    pulses = np.clip(np.sin(2 * np.pi * t / 0.036), 0, 1) ** 1.5
    for k in range(7):
        pitch, period, x, near = rng.uniform(4250, 4800), rng.uniform(0.28, 0.5), rng.uniform(-1, 1), rng.random()
        chirp = 0.028 * (0.15 + near**2) * pulses * np.sin(2 * np.pi * pitch * t)
        for i in range(int(first / period) - 1, int(last / period) + 1):
            at = max(i * period, 0.0)
            level = stage.value("life", at) * (1 - 0.7 * stage.value("wind", at)) - 0.11 * k
            dark = 1 - 0.75 * daylight(stage.static("hour", at))
            pause = np.sin(0.37 * i * period + 5 * near) > -0.55
            if level > 0 and pause:
                add_grain(out, start, rate, i * period + 0.01 * np.sin(7.3 * i), min(2 * level, 1) * dark * chirp, x)
    for tick in range(int(first * 2) - 2, int(last * 2) + 1):
        at = max(tick / 2, 0.0)
        level = stage.value("life", at) * daylight(stage.static("hour", at)) * (1 - stage.value("wind", at))
        rng = np.random.default_rng([zlib.crc32(b"grasshopper"), stage.segment(at).variant, tick & 0xFFFFFFFF])
        for _ in range(rng.poisson(0.9 * level)):
            seconds, beat = rng.uniform(0.3, 0.9), rng.uniform(22, 45)
            s = np.arange(int(seconds * rate)) / rate
            rasp = np.clip(np.sin(2 * np.pi * beat * s), 0, 1) ** 0.5 * np.sin(np.pi * s / seconds) ** 0.5
            hiss = np.diff(rng.standard_normal(len(s) + 2), 2) * rasp
            add_grain(out, start, rate, tick / 2 + rng.random() / 2, 0.0022 * rng.random() * hiss, rng.uniform(-1, 1))


def perform(stage: Stage, start: int, n: int, rate: int) -> Sound:
    """The sound of samples start .. start + n, (N, 2)."""
    out = _grass(stage, start, n, rate)
    _insects(stage, out, start, rate)
    first, last = start / rate, (start + n) / rate
    for e in stage.events("bird", first - 6, last):
        if daylight(stage.static("hour", e.time)) > 0.4:
            _lark(out, start, rate, e, np.random.default_rng([stage.segment(e.time).variant, int(e.time * 128)]))
        else:
            _quail(out, start, rate, e)
    for e in stage.events("passing", first - 3, last):
        _bee(stage, out, start, rate, e)
    for e in stage.events("bell", first - 4, last):
        _cowbell(stage, out, start, rate, e)
    return 1.7 * out
