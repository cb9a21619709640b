"""What a coast in fog sounds like: swell and surf on rocks, a foghorn with its echo, a bell buoy, gulls, a far ship.

Shapes: T ticks, N samples, F frequencies.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.dreamscapes import lanes
from stale_diffusion.dreamscapes.acoustics import add_grain, band, resonance, reverberate, ring, shaped_noise
from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.dreamscapes.shore import gull
from stale_diffusion.scene import Event, Stage

Sound = NDArray[np.float32]
COAST = 2.4  # seconds for which cliffs and sea answer
SPEED = 343.0  # m/s of sound


def metres(distance: Array) -> Array:
    """How far a wave breaks, for event.distance in [0, 1]."""
    return np.asarray(8 + 42 * distance)


def tower_metres(variant: int) -> float:
    """How far the tower with its horn is."""
    return float(np.random.default_rng([variant, 61]).uniform(110, 260))


def horn_hertz(variant: int) -> float:
    """The pitch of the foghorn: a big reed horn or diaphone, 95 to 185 Hz."""
    return float(np.random.default_rng([variant, 65]).uniform(95, 185))


def blast_seconds(event: Event) -> float:
    """How long a blast of the foghorn is."""
    return 1.5 + 2 * event.strength


def blast(stage: Stage, t: Array, delay: Array | float = 0.0) -> Array:
    """How hard the foghorn blows at each time, (T,) in [0, 1], heard `delay` s late: up in 0.25 s, down in 0.35 s."""
    out = np.zeros(len(t))
    for e in stage.events("whistle", float(t.min()) - 6, float(t.max()) + 1e-6):
        s, end = t - e.time - delay, blast_seconds(e)
        level = (0.5 + 0.5 * e.strength) * lanes.between(0, 0.25, s) * lanes.between(end + 0.05, end - 0.3, s)
        out = np.maximum(out, level)
    return out


def _sea(stage: Stage, start: int, n: int, rate: int) -> Sound:
    """Swell, waves on rocks and wind as shaped noise, each ear with its own share of every wave, (N, 2)."""
    middle = (start + n / 2) / rate
    waves = stage.events("wave", middle - n / rate - 10, middle + n / rate + 1)
    times, strengths, far, pan = (
        np.array([(e.time, e.strength, float(metres(np.array(e.distance))), e.x) for e in waves]).reshape(-1, 4).T
    )
    ears = (np.sqrt(0.5 - 0.32 * pan), np.sqrt(0.5 + 0.32 * pan))

    def spectrum(f: Array, t: float, ear: int) -> Array:
        swell, wind, rain = (stage.value(name, t) for name in ("swell", "wind", "rain"))
        gust = float(lanes.pulses(stage, "gust", np.array([t]), 0.5, 1.2)[0])
        ship = float(lanes.pulses(stage, "passing", np.array([t]), 2.0, 4.0)[0])
        blow, age = wind + 0.5 * gust, t - times
        power = strengths**1.35 / (0.6 + far / 30) * ears[ear]
        boom = (power * lanes.pulse(age - far / SPEED, 0.10, 0.55)).sum()
        crash = (power * lanes.pulse(age - far / SPEED - 0.12, 0.22, 0.8)).sum()
        drain = (strengths**0.5 * power * lanes.pulse(age - 1.0, 0.9, 1.8)).sum()
        lap = 1 + 0.4 * np.sin(0.9 * t + ear) + 0.3 * np.sin(2.3 * t + 2 * ear)
        sea = (0.010 + 0.05 * swell**1.3) * lap * band(f, 90, 600, 1.0) + 0.9 * boom * band(f, 45, 210, 1.3)
        sea = sea + 0.50 * crash * band(f, 350, 2600, 0.9) + 0.11 * drain * band(f, 1200, 6000, 1.0)
        air = 0.22 * blow**2 * band(f, 45, 170, 1.3) + 0.025 * blow**1.5 * resonance(f, 450 + 300 * blow, 1.4)
        wet = 0.010 * rain * band(f, 1500, 8000, 1.0)
        engine = 0.03 * ship * band(f, 38, 95, 1.5) * (1 + 0.4 * np.sin(2 * np.pi * 1.7 * t))
        return np.asarray((1.5 * sea / (1 + (f / 8000) ** 2) + air + wet + engine + 0.0012) * np.sqrt(f[-1] / 24000))

    name = f"lighthouse {stage.segment(start / rate).variant}"
    sides = [shaped_noise(f"{name} {ear}", start, n, rate, partial(spectrum, ear=ear), 1) for ear in (0, 1)]
    return np.concatenate(sides, 1)


def _horn(stage: Stage, out: Sound, start: int, rate: int, e: Event) -> None:
    """A blast of the foghorn from the tower: a reed's harmonics, a breath of air, and the fall of pitch at its end."""
    variant = stage.segment(e.time).variant
    far, hz = tower_metres(variant), horn_hertz(variant)
    seconds = blast_seconds(e)
    s = np.arange(int((seconds + 0.1) * rate)) / rate
    level = lanes.between(0, 0.25, s) * lanes.between(seconds + 0.05, seconds - 0.3, s)
    pitch = hz * (0.94 + 0.06 * lanes.between(0, 0.3, s) - 0.22 * lanes.between(seconds - 0.38, seconds + 0.1, s))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = np.zeros_like(s)
    for k in range(1, 15):
        if 1.1 * k * hz < rate / 2:
            formant = 1 / (1 + ((k * hz - 300) / 260) ** 2) + 0.35 / (1 + ((k * hz - 900) / 350) ** 2)
            tone += (0.25 + formant) / k**0.8 / (1 + (k * hz / 1900) ** 2) * level**k**0.4 * np.sin(k * phase + 0.7 * k)
    rng = np.random.default_rng([int(e.time * 128), 62])
    breath = np.convolve(rng.standard_normal(len(s)), np.hanning(max(3, rate // 900)), "same") / np.sqrt(rate / 900)
    wave = (0.09 + 0.10 * e.strength) * (tone + 0.05 * breath * level) / (0.6 + far / 250)
    add_grain(out, start, rate, e.time + far / SPEED, wave, e.x)
    for k, lag in enumerate((0.9, 1.7, 2.6)):  # from headlands further along the coast
        add_grain(out, start, rate, e.time + far / SPEED + lag, 0.10 * 0.6**k * wave, -e.x * (1 - 0.5 * k) + 0.3)


def _buoy(stage: Stage, out: Sound, start: int, rate: int, e: Event) -> None:
    """A bell buoy: clappers strike a bronze bell once to three times as the swell heels it; hum, prime, tierce, quint
    and nominal of a bell (Rossing 2000)."""
    rng = np.random.default_rng([int(e.time * 128), 63])
    prime = float(stage.rng("buoy", e.time).uniform(430, 720))
    partials = ((0.5, 0.5, 3.2), (1.0, 1.0, 2.2), (1.19, 0.8, 1.8), (1.5, 0.4, 1.4), (2.0, 0.7, 1.2), (2.67, 0.3, 0.7),
                (4.1, 0.15, 0.3))  # fmt: skip
    wave = ring(rate, 3.2, [(prime * k, a, d) for k, a, d in partials], 0.002)
    far, at = 150 + 750 * e.distance, e.time
    for _ in range(int(rng.integers(1, 4))):
        loud = (0.030 + 0.080 * e.strength) * rng.uniform(0.5, 1) / (0.5 + far / 400)
        add_grain(out, start, rate, at + far / SPEED, loud * wave, e.x)
        at += rng.uniform(0.5, 1.3)


def perform(stage: Stage, start: int, n: int, rate: int) -> Sound:
    """The sound of samples start .. start + n, (N, 2)."""
    before = int(COAST * rate)
    begin = start - before
    first, last = begin / rate, (start + n) / rate
    far = np.zeros((n + before, 2), np.float32)
    for e in stage.events("whistle", first - 9, last):
        _horn(stage, far, begin, rate, e)
    for e in stage.events("bell", first - 9, last):
        _buoy(stage, far, begin, rate, e)
    for e in stage.events("bird", first - 4, last):
        gull(stage, e, far, begin, rate)
    out = reverberate(far, rate, COAST, 0.35, seed=17, damping=1400)[before:]
    return np.asarray(out + _sea(stage, start, n, rate), np.float32)
