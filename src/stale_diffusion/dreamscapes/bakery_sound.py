"""What a bakery sounds like: the hum of the oven or its fire, crackling crusts, door, trays, hissing water, a bell.

Shapes: N samples, F frequencies.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.dreamscapes import lanes
from stale_diffusion.dreamscapes.acoustics import add_grain, band, burst, resonance, reverberate, ring, shaped_noise
from stale_diffusion.dreamscapes.place import Array
from stale_diffusion.scene import Event, Stage

Sound = NDArray[np.float32]
ROOM = 0.55  # seconds of reverberation of a tiled room of about 80 m3 (Sabine, absorption 0.25)


def open_seconds(event: Event) -> float:
    """How long the oven's door is open."""
    return 1.5 + 3 * event.strength


def _noises(stage: Stage, start: int, n: int, rate: int) -> Sound:
    """Everything that hums and hisses, (N, 2)."""

    def spectrum(f: Array, t: float) -> Array:
        fire, steam, life = (stage.value(name, t) for name in ("fire", "steam", "life"))
        brick = stage.segment(t).variant >= 32768
        here = np.array([t])
        hiss = float(lanes.pulses(stage, "pour", here, 0.05, 0.7)[0])
        opened = float(lanes.pulses(stage, "creak", here, 0.5, 1.2)[0])
        lick = 1 + 0.35 * np.sin(7.3 * t + 2 * np.sin(2.1 * t)) + 0.25 * np.sin(17 * t + np.sin(5 * t))
        if brick:
            air = (0.02 + 0.10 * fire**1.5) * lick * band(f, 40, 160, 1.2) + 0.010 * fire * lick * band(f, 300, 1200, 1)
        else:
            air = (0.030 + 0.02 * fire) * band(f, 60, 320, 1.0) + 0.012 * resonance(f, 196, 12)
        air = air * (1 + 0.8 * opened)
        water = hiss * (0.05 * band(f, 2600, 9500, 1) + 0.02 * band(f, 500, 2200))
        talk = 0.018 * life**1.5 * (0.4 + max(np.sin(9 * t + 3 * np.sin(1.3 * t)), 0)) * band(f, 260, 900)
        street = 0.004 * (0.3 + life) * band(f, 50, 180)
        return np.asarray(air + water + 0.004 * steam * band(f, 2500, 9000, 1) + talk + street + 0.0006)

    both = shaped_noise(f"bakery {stage.segment(start / rate).variant}", start, n, rate, spectrum)
    return np.asarray(0.8 * both.mean(1, keepdims=True) + 0.6 * both, np.float32)


def _hum(stage: Stage, out: Sound, start: int, rate: int) -> None:
    """The fan of a deck oven: 50 Hz mains and its blades, beating slowly, in place."""
    t = (start + np.arange(len(out))) / rate
    knots = np.arange(np.floor(t[0] * 4), np.ceil(t[-1] * 4) + 1) / 4
    steel = [stage.segment(float(k)).variant < 32768 for k in knots]
    level = np.interp(t, knots, np.array(steel) * (0.6 + 0.4 * stage.values("fire", knots)))
    wow = 1 + 0.15 * np.sin(0.9 * t)
    tone = sum(a * np.sin(2 * np.pi * hz * t + k) for k, (hz, a) in enumerate(((100, 1.0), (200, 0.4), (294.6, 0.5),
               (295.2, 0.5), (589.8, 0.2))))  # fmt: skip
    out += (0.0045 * level * wow * tone)[:, None].astype(np.float32)


def _crackle(stage: Stage, out: Sound, start: int, rate: int) -> None:
    """Crusts that crackle as they dry: ticks of 2 to 6 ms; and in a brick oven the wood."""
    for tick in range((start * 4) // rate - 1, ((start + len(out)) * 4) // rate + 1):
        at = max(tick / 4, 0.0)
        fire, flow = stage.value("fire", at), stage.value("flow", at)
        variant = stage.segment(at).variant
        rng = np.random.default_rng([zlib.crc32(b"crust"), variant, tick & 0xFFFFFFFF])
        for _ in range(rng.poisson(2.2 * flow**1.5 * (0.4 + 0.6 * fire) * rng.gamma(0.8, 1.25))):
            low = rng.uniform(2500, 5500)
            wave = 0.017 * np.exp(0.8 * rng.standard_normal()) * burst(rng, rate, 0.004, low, 2 * low, 0.0002)
            add_grain(out, start, rate, (tick + rng.random()) / 4, wave, rng.normal(0, 0.3))
        for _ in range(rng.poisson(1.6 * fire * rng.gamma(0.7, 1.4)) if variant >= 32768 else 0):
            strength, low = min(0.03 * np.exp(1.1 * rng.standard_normal()), 0.25), rng.uniform(700, 3500)
            wave = strength * (0.3 + 0.7 * fire) * burst(rng, rate, rng.uniform(0.002, 0.012), low, low * 3, 0.0003)
            add_grain(out, start, rate, (tick + rng.random()) / 4, wave, rng.normal(0, 0.15))


def _crust(out: Sound, start: int, rate: int, e: Event) -> None:
    """A crust that cracks: a snap and a shower of ticks; strong ones are a loaf broken open."""
    rng = np.random.default_rng([int(e.time * 1000), 41])
    loud = 0.03 + 0.10 * e.strength**1.5
    add_grain(out, start, rate, e.time, loud * burst(rng, rate, 0.012, 1500, 7000, 0.0002), 0.5 * e.x)
    for _ in range(int(4 + 22 * e.strength**2)):
        low = rng.uniform(1800, 5000)
        wave = loud * 0.6 * rng.random() ** 2 * burst(rng, rate, 0.005, low, 2 * low, 0.0002)
        add_grain(out, start, rate, e.time + rng.gamma(1.4, 0.07 + 0.06 * e.strength), wave, 0.5 * e.x)


def _door(stage: Stage, out: Sound, start: int, rate: int, e: Event) -> None:
    """The oven's door: its hinge sticks and slips as it opens, and the latch knocks as it shuts."""
    rng = np.random.default_rng([int(e.time * 1000), 42])
    seconds = 0.5
    s = np.arange(int(seconds * rate)) / rate
    slips = 38 + 75 * s / seconds + 9 * np.sin(2 * np.pi * 3.1 * s + 6 * rng.random())
    saw = np.modf(np.cumsum(slips) / rate)[0]
    pulses = np.maximum(1 - 6 * saw, 0) * (0.7 + 0.3 * rng.standard_normal(len(s)))
    spectrum = np.fft.rfft(pulses * np.sin(np.pi * s / seconds) ** 0.7)
    f = np.asarray(np.fft.rfftfreq(len(s), 1 / rate), np.float64)
    body = sum(a * resonance(f, hz, q) for hz, a, q in ((430, 0.8, 5), (890, 1.0, 9), (1630, 0.7, 12), (2900, 0.4, 9)))
    wave = np.fft.irfft(spectrum * body, len(s))
    add_grain(out, start, rate, e.time, (0.02 + 0.02 * e.strength) * wave / (np.abs(wave).max() + 1e-9), 0.1)
    modes = [(62.0, 1.0, 0.2), (118, 0.8, 0.16), (310, 0.5, 0.1), (740, 0.35, 0.08), (1900, 0.2, 0.05)]
    for lag, gain in ((0.02, 0.25), (open_seconds(e) - 0.05, 1.0)):
        add_grain(
            out, start, rate, e.time + lag, gain * (0.08 + 0.06 * e.strength) * ring(rate, 0.3, modes, 0.002), 0.1
        )


def _clink(stage: Stage, out: Sound, start: int, rate: int, e: Event) -> None:
    """A tray set down on wood: a thud with the rattle of sheet steel; or a steel bowl touched by a spoon."""
    rng = np.random.default_rng([int(e.time * 1000), 43])
    far = 1 / (0.7 + 1.1 * e.distance)
    if e.strength > 0.5:
        thud = [(78.0, 1.0, 0.15), (143, 0.7, 0.1), (260, 0.3, 0.06)]
        sheet = [(hz * rng.uniform(0.97, 1.03), a, 0.25) for hz, a in ((410, 0.5), (905, 0.6), (1480, 0.5), (2370, 0.4),
                 (3610, 0.25))]  # fmt: skip
        for lag, gain in ((0.0, 1.0), (0.05 + 0.04 * rng.random(), 0.4), (0.16, 0.15)):
            loud = 0.10 * e.strength * gain * far
            add_grain(out, start, rate, e.time + lag, loud * ring(rate, 0.3, thud, 0.002), 0.6 * e.x)
            add_grain(out, start, rate, e.time + lag, 0.35 * loud * ring(rate, 0.35, sheet, 0.0006), 0.6 * e.x)
        return
    modes = [(rng.uniform(1300, 1900), 0.8, 0.5), (rng.uniform(3100, 3900), 0.6, 0.4), (6400, 0.3, 0.25)]
    wave = (0.015 + 0.04 * e.strength) * far * ring(rate, 0.5, modes, 0.0004)
    add_grain(out, start, rate, e.time, wave, 0.7 * e.x)


def _bell(out: Sound, start: int, rate: int, e: Event) -> None:
    """The little brass bell over the shop's door, shaken by its spring."""
    rng, at, gain = np.random.default_rng([int(e.time * 1000), 44]), e.time, 1.0
    base = 2050 + 500 * e.distance
    modes = [(base, 1.0, 0.9), (base * 1.51, 0.4, 0.6), (base * 2.76, 0.35, 0.4), (base * 1.006, 0.6, 0.9)]
    wave = ring(rate, 0.9, modes, 0.0005)
    for _ in range(3 + int(4 * e.strength)):
        add_grain(out, start, rate, at, 0.012 * (0.5 + e.strength) * gain * wave, 0.7 * e.x)
        at, gain = at + rng.uniform(0.09, 0.19), gain * rng.uniform(0.6, 0.95)


def _sparks(out: Sound, start: int, rate: int, e: Event) -> None:
    """A flight of sparks from the embers."""
    rng = np.random.default_rng([int(e.time * 1000), 45])
    for _ in range(int(4 + 20 * e.strength)):
        wave = 0.06 * rng.random() ** 2 * burst(rng, rate, 0.004, 2500, 9000)
        add_grain(out, start, rate, e.time + rng.gamma(1.5, 0.12), wave, 0.3 * e.x)


def perform(stage: Stage, start: int, n: int, rate: int) -> Sound:
    """The sound of samples start .. start + n, (N, 2)."""
    before = int(ROOM * rate)
    begin = start - before
    out = _noises(stage, begin, n + before, rate)
    _hum(stage, out, begin, rate)
    _crackle(stage, out, begin, rate)
    first, last = begin / rate - 6, (start + n) / rate
    for e in stage.events("crack", first, last):
        _crust(out, begin, rate, e)
    for e in stage.events("creak", first, last):
        _door(stage, out, begin, rate, e)
    for e in stage.events("clink", first, last):
        _clink(stage, out, begin, rate, e)
    for e in stage.events("bell", first, last):
        _bell(out, begin, rate, e)
    for e in stage.events("spark", first, last):
        _sparks(out, begin, rate, e)
    return 2.2 * reverberate(out, rate, ROOM, 0.25, seed=13, damping=4500)[before:]
