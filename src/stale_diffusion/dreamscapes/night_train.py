"""Night train: the window of a sleeping car, the dark country that goes by behind it, the compartment in its glass.

What the scene's words mean here. Curves: flow (speed: TOP_SPEED metres a second at 1), rain (drops on the glass), life
(how many lights there are outside), light (how bright the compartment is), steam (the coffee on the table). Events:
passing (another train, nearest NEAREST s after its time, `strength` is its length), bell (a level crossing, at the
window after NEAREST s; distance 4 to 40 m), whistle (our engine's horn), creak (the car's body), clink (the glass on
the table; where there is coffee, somebody has just drunk). Variants from 32768 up ride through mountains, the others
through a plain.

The rails are jointed: every joint is crossed by each axle, and the seat feels what the ear hears.

Shapes: T ticks, E events, N samples of sound, H rows, W columns.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, night_train_picture, night_train_words
from stale_diffusion.dreamscapes.acoustics import add_grain, band, burst, resonance, reverberate, ring, shaped_noise
from stale_diffusion.dreamscapes.night_train_ride import NEAREST, beside, joints, speed, sway
from stale_diffusion.dreamscapes.night_train_words import HELD_OUT_WORDINGS
from stale_diffusion.dreamscapes.place import Array, Place, View, drift, middling
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve

__all__ = ["HELD_OUT_WORDINGS", "NightTrain"]

_HORNS = ((370.0, 660.0), (311.1, 370.0, 470.0), (255.0, 311.1, 440.0), (420.0,))
"""Hz: the two tones of UIC 644, two chords of American air horns, and a steam-like single tone."""


def _rolling(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """What is heard inside of wheels, track and air, (N, 2).

    Rolling noise grows with 30 log10 of the speed (Thompson, Railway Noise and Vibration, 2009, ch. 2), so amplitude
    goes with v^1.5; the car's body lets through what is under some 300 Hz.
    """
    events = stage.events("passing", start / rate - 9, (start + n) / rate)

    def spectrum(f: Array, t: float) -> Array:
        v, rain = stage.value("flow", t), stage.value("rain", t)
        swing = 1 + 0.22 * sway(stage, np.array([t]))[0]
        train = float(beside(events, np.array([t]))[0])
        rumble = (0.004 + 0.24 * v**1.5 * swing) * band(f, 28, 95, 1.2)
        roll = 0.065 * v**1.5 * band(f, 120, 420, 1) + 0.030 * v**1.5 * resonance(f, 560 + 260 * v, 2.2)
        air = 0.020 * v**2.5 * band(f, 700, 3500, 0.7)
        hall = 0.0035 * band(f, 90, 260, 1) + 0.0018 * resonance(f, 118, 14)  # ventilation
        drops = 0.020 * rain**1.2 * (0.4 + 0.6 * v) * band(f, 1200, 6000, 1)
        rush = train * (0.13 * band(f, 60, 260, 1) + 0.045 * band(f, 300, 2400, 0.8))
        return np.asarray((rumble + roll + air + hall + drops + rush) * np.sqrt(f[-1] / 24000))

    both = shaped_noise(f"night train {stage.segment(start / rate).variant}", start, n, rate, spectrum, channels=3)
    return np.asarray(0.6 * both[:, :2] + 0.75 * both[:, 2:], np.float32)


def _clacks(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Each axle that falls over a joint: a knock of the track and a thump of the car's floor."""
    first, last = start / rate, (start + len(out)) / rate
    rng = np.random.default_rng([61, stage.segment(first).variant])
    knocks = [burst(rng, rate, 0.05, 180, 1500, 0.0008) for _ in range(8)]
    floors = [ring(rate, 0.2, [(hz, 1, 0.14), (1.62 * hz, 0.6, 0.08), (2.9 * hz, 0.3, 0.05)], 0.003)
              for hz in (62, 68, 74)]  # fmt: skip
    for time, loud, index in zip(*joints(stage, first - 0.25, last), strict=True):
        k = int(index)
        x = 0.25 * np.sin(2.4 * k)
        add_grain(out, start, rate, float(time), 0.17 * loud * knocks[k % 8], x)
        add_grain(out, start, rate, float(time), 0.34 * loud * floors[k % 3], 0.3 * x)


def _crossing(e: Event, stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """The bell of a level crossing, heard through the window: louder, then lower, as it goes by (Doppler)."""
    v, far = float(speed(stage, np.array([e.time]))[0]), 4.0 * 10.0**e.distance
    strokes = ring(rate, 0.5, [(1.0 * 940, 1, 0.4), (2.32 * 940, 0.5, 0.2), (3.9 * 940, 0.25, 0.1)], 0.001)
    s = np.arange(len(strokes)) / rate
    for k in range(int(2 * NEAREST / 0.3) + 10):
        lag = 0.3 * k
        along = v * (lag - NEAREST)
        gap = float(np.hypot(along, far))
        shift = 1 / (1 + v * along / gap / 343)
        fade = min(lag / 1.0, 1.0) * float(np.exp(-max(lag - 2 * NEAREST, 0) / 0.8))
        loud = (0.03 + 0.07 * e.strength) * fade * 7 / (3 + gap)
        wave = np.interp(s * shift, s, strokes, right=0.0)
        add_grain(out, start, rate, e.time + lag, loud * wave, float(np.clip(-along / (gap + 5), -1, 1)) * 0.8)


def _events(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Horn, creaks, the glass on the table, crossings, the blow of a train that is suddenly beside us."""
    first, last = start / rate, (start + len(out)) / rate
    for e in stage.events("whistle", first - 3, last):
        seconds = 0.6 + 1.4 * e.strength
        s = np.arange(int((seconds + 0.6) * rate)) / rate
        tones = _HORNS[stage.segment(e.time).variant % len(_HORNS)]
        shape = np.clip(s / 0.12, 0, 1) * np.clip((seconds + 0.6 - s) / 0.6, 0, 1) ** 2
        wave = sum(np.sin(2 * np.pi * k * hz * s + 0.8 * np.sin(2 * np.pi * 5.1 * s)) / k**1.6
                   for hz in tones for k in range(1, 6) if k * hz < rate / 2)  # fmt: skip
        add_grain(out, start, rate, e.time, (0.02 + 0.05 * e.strength) / len(tones) * shape * wave, 0.2 * e.x)
    for e in stage.events("creak", first - 1, last):
        rng = np.random.default_rng([int(e.time * 1000), 62])
        at, pitch = e.time, rng.uniform(190, 480)
        for k in range(int(6 + 14 * e.strength)):
            wave = ring(rate, 0.04, [(pitch * (1 + 0.01 * k), 1, 0.03), (2.31 * pitch, 0.5, 0.02)], 0.0008)
            add_grain(out, start, rate, at, (0.015 + 0.06 * e.strength) * wave, 0.8 * e.x)
            at += rng.uniform(0.012, 0.03)
    for e in stage.events("clink", first - 1, last):
        hz = 2100 + 900 * e.distance
        wave = ring(rate, 0.5, [(hz, 1, 0.35), (1.52 * hz, 0.5, 0.22), (2.4 * hz, 0.35, 0.15), (240, 0.6, 0.03)], 4e-4)
        add_grain(out, start, rate, e.time, (0.02 + 0.08 * e.strength) * wave, 0.4 * e.x)
    for e in stage.events("passing", first - 1, last):
        rng = np.random.default_rng([int(e.time * 1000), 63])
        blow = burst(rng, rate, 0.7, 32, 110, 0.12) * (0.2 + 0.2 * e.strength)
        add_grain(out, start, rate, e.time + 0.35, 0.6 * blow, 0.3 * np.sign(e.x))
    for e in stage.events("bell", first - 2 * NEAREST - 4, last):
        _crossing(e, stage, out, start, rate)


@final
class NightTrain(Place):
    """A window seat in a night train."""

    name = "night train"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """From a halt to full speed; rain in a third of the nights, coffee in four of ten, towns now and then."""
        hour = float(rng.choice([rng.uniform(-0.19, 0.19) % 1, rng.uniform(0.715, 0.80), rng.uniform(0.2, 0.265)],
                                p=[0.66, 0.2, 0.14]))  # fmt: skip
        pace = float(rng.beta(1.5, 1.1))
        trend = rng.normal(0, 0.06) * np.linspace(-1, 1, segments * 16).reshape(segments, 16)
        flow = np.clip(drift(rng, segments, 0.06 + 0.88 * pace, 0.03, 16) + trend, 0, 1)
        wet = rng.random() < 0.36
        rain = drift(rng, segments, rng.beta(1.3, 1.3), 0.05, 12) if wet else np.zeros_like(flow)
        life = drift(rng, segments, float(rng.beta(1.1, 1.5)), 0.14, 7)
        lamp = drift(rng, segments, float(rng.beta(1.4, 1.6)), 0.015, 16)
        cup = drift(rng, segments, 0.3 + 0.6 * rng.random(), 0.03, 12) if rng.random() < 0.42 else np.zeros_like(flow)
        rates = {
            "passing": np.full_like(flow, 0.035) * (flow > 0.1), "bell": 0.03 * (flow > 0.12) * (0.4 + life),
            "whistle": np.full_like(flow, 0.03), "creak": 0.05 + 0.3 * flow * rng.random(),
            "clink": (0.02 + 0.09 * (cup > 0)) * np.ones_like(flow),
        }  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 1.8)]
        variant, statics = int(rng.integers(65536)), self._statics(rng, hour, wet)
        out = []
        for s in range(segments):
            events = sorted((e for i, e in happened if i == s), key=lambda e: -e.strength)[:SLOTS]
            curves = {"flow": flow[s], "rain": rain[s], "life": life[s], "light": lamp[s], "steam": cup[s]}
            fitted = {name: fit_curve(samples) for name, samples in curves.items()}
            out.append(
                Segment(self.name, self.name, variant, statics, fitted, tuple(sorted(events, key=lambda e: e.time)))
            )
        return out

    @staticmethod
    def _statics(rng: np.random.Generator, hour: float, wet: bool) -> dict[str, float]:
        look = middling(rng, 0.09, 0.1, "warmth", "saturation", "exposure", "contrast")
        camera = {name: float(rng.random()) for name in ("height", "pan", "focal", "drift", "sun")}
        cloud = float(rng.uniform(0.65, 1) if wet else rng.beta(1, 1.4))
        return {"hour": hour, "cloud": cloud, "haze": float(rng.beta(1.3, 2.6)), **look, **camera}

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """The window, how fast, when, and some of rain, lights, land, reflections, coffee and what is heard."""
        return night_train_words.caption(segments, rng)

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: rolling (0.03 + 0.2 v^1.5 at 34 Hz, swayed at 0.7 and 1.1 Hz), each axle over a joint (0.5, 44 Hz,
        70 ms), a train beside (0.25); back: half of the joints (95 Hz), creaks (140 Hz), the cup, the train's blow.
        Air 19 to 22 C; a draught of 0.1 to 0.6 m/s."""
        v = stage.values("flow", t)
        since, until = float(t.min()) - 9, float(t.max()) + 1e-6
        times, loud, _ = joints(stage, since + 8, until)
        age = np.maximum(t[:, None] - times, 0)
        knock = ((age > 0) * np.exp(-age / 0.07)) @ loud
        train = beside(stage.events("passing", since, until), t)
        creak = lanes.envelope(stage.events("creak", since, until), t, 0.03, 0.2)
        clink = lanes.envelope(stage.events("clink", since, until), t, 0.004, 0.05)
        roll = (0.03 + 0.20 * v**1.5) * (1 + 0.3 * sway(stage, t))
        parts = np.stack([roll, 0.55 * knock, 0.25 * train, 0.26 * knock, 0.12 * creak, 0.10 * clink, 0.30 * train])
        hertz = (parts * np.array([34, 44, 30, 95, 140, 280, 48])[:, None]).sum(0) / (parts.sum(0) + 1e-6)
        warm = lanes.slow(lambda s: stage.static("warmth", s), t)
        celsius = 20.5 + 2 * (warm - 0.5) + 0.8 * stage.values("light", t) - 0.8 * stage.values("rain", t)
        return lanes.felt(parts[:3].sum(0), parts[3:].sum(0), hertz, celsius, 0.1 + 0.25 * v + 0.3 * train)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Leather and dust of the compartment; hot metal of wheels and brakes, more as the train slows; coffee; wet
        stone of the line where it rains."""
        v, rain, cup = stage.values("flow", t), stage.values("rain", t), stage.values("steam", t)
        slower = np.clip(stage.values("flow", np.maximum(t - 1.0, stage.start)) - v, 0, 1)
        old = lanes.slow(lambda s: float(stage.rng("seat", s).random()), t)
        coffee = 0.95 * lanes.between(0.05, 0.9, cup) + 0.25 * lanes.pulses(stage, "clink", t, 0.3, 3.0) * (cup > 0.1)
        return lanes.released({
            "coffee": coffee,
            "leather": 0.30 + 0.25 * old, "dust": 0.26 - 0.18 * old, "hot metal": 0.12 + 0.2 * v + 2.5 * slower,
            "rain on stone": 0.22 * rain, "cold air": 0.10 + 0.08 * rain,
        }, len(t))  # fmt: skip

    def taste(self, stage: Stage, t: Array) -> Array:
        """Coffee after each clink of the cup, bitter 0.6 and a little sour for 4 s; nothing where there is none."""
        sip = lanes.pulses(stage, "clink", t, 0.4, 4.0) * lanes.between(0.1, 0.35, stage.values("steam", t))
        sugar = lanes.slow(lambda s: float(stage.rng("sugar", s).random() < 0.4), t)
        rest = 0.10 * lanes.between(0.1, 0.4, stage.values("steam", t))
        out = np.zeros((len(t), 5))
        out[:, 3], out[:, 1], out[:, 0] = rest + 0.75 * sip, 0.15 * sip, 0.4 * sugar * (rest + sip)
        return np.clip(out, 0, 1)

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Rolling, rail joints, horn, creaks, glass, crossings and other trains, in a small upholstered room."""
        before = int(0.3 * rate)
        out = _rolling(stage, start - before, n + before, rate)
        _clacks(stage, out, start - before, rate)
        _events(stage, out, start - before, rate)
        return np.asarray(2.0 * reverberate(out, rate, 0.3, 0.12, seed=6, damping=1500)[before:], np.float32)

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """See night_train_picture.py."""
        return night_train_picture.render(stage, t, view)
