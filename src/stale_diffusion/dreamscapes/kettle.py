"""Kettle and coffee: a table by a window, a kettle coming to the boil, a cup being filled, steam in the light.

What the scene's words mean here. Curves: fire (the flame under the kettle), steam (how hard it boils), flow (how full
the cup is), light (sun through the window, as clouds pass), rain (on the window), life (the house and the street).
Events: whistle (the kettle sings for 1 + 4 x strength s), pour (coffee into the cup for 1.2 + 2.2 x strength s), clink
(strength over 0.5: the cup comes back to its saucer after a sip; else a spoon), drop (from the spout), bird (outside),
passing (a car). `distance` is 1 to 3 m in the room, 8 to 40 m outside. Variants from 32768 up take milk.

Shapes: T ticks, E events, N samples, H rows, W columns.
"""

from __future__ import annotations

import zlib
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, words
from stale_diffusion.dreamscapes.acoustics import add_grain, band, burst, reverberate, ring, shaped_noise
from stale_diffusion.dreamscapes.kettle_picture import render
from stale_diffusion.dreamscapes.light import quarter_of_day, sun_height
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve
from stale_diffusion.senses.smell import NOTES

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("The water boils like mad and shrieks, pitch black outside.", {"hour": "night", "strength": "strong"}),
    ("an espresso break at noon, barely any vapour", {"hour": "day", "strength": "weak"}),
    ("Big clouds of vapour fill the sunny breakfast nook as the pot boils over", {"hour": "day", "strength": "strong"}),
    ("Sleepless, she sits with a lukewarm mug while the stove is cold.", {"hour": "night", "strength": "weak"}),
    ("Sundown over the sink, the teapot puffs furiously.", {"hour": "dusk", "strength": "strong"}),
    ("the first sunrays touch a cold pot on the counter", {"hour": "dawn", "strength": "weak"}),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""

_SUBJECTS = (
    ("a kettle on the stove, not yet hot", "a cold kettle", "a quiet kettle on the table", "a kettle just put on",
     "a silent kettle", "a kettle with hardly any steam"),
    ("a kettle warming up", "a gently steaming kettle", "a kettle beginning to simmer",
     "a thin curl of steam from a kettle",      "a kettle with a little steam", "a softly simmering kettle"),
    ("a steaming kettle", "a kettle coming to the boil", "a kettle that steams", "a bubbling kettle", "a hot kettle",
     "a kettle with plenty of steam"),
    ("a kettle at a full boil", "a kettle boiling hard", "a furiously boiling kettle",
     "clouds of steam from the kettle",      "a kettle in a thick plume of steam", "a kettle at a rolling boil"),
)  # fmt: skip
_HOURS = {
    "night": ("at night", "late at night", "on a dark night", "after midnight", "by lamplight at night"),
    "dusk": ("at dusk", "in the evening", "at sunset", "in the evening light", "at twilight"),
    "dawn": ("at dawn", "early in the morning", "at sunrise", "at daybreak", "in the first light"),
    "day": ("by day", "in the daytime", "in daylight", "in broad day", "in the light of day"),
}
_PLACES = (
    "in the kitchen",
    "by the window",
    "on a wooden table",
    "on the kitchen table",
    "at home",
    "next to the window",
)
_CUP = {
    False: (
        "a cup of coffee",
        "black coffee",
        "a cup of black coffee",
        "an earthenware cup of coffee",
        "a mug of coffee",
    ),
    True: ("milky coffee", "coffee with milk", "a white coffee", "a cup of milk coffee", "a latte"),
}


def whistle_seconds(event: Event) -> float:
    """How long the kettle sings."""
    return 1 + 4 * event.strength


def pour_seconds(event: Event) -> float:
    """How long coffee runs into the cup."""
    return 1.2 + 2.2 * event.strength


def _one_at_a_time(happened: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """Leave out whistles that begin while the kettle sings."""
    kept, free = [], -1.0
    for s, e in sorted(happened, key=lambda pair: 4 * pair[0] + pair[1].time):
        start = 4 * s + e.time
        if e.kind == "whistle":
            if start < free:
                continue
            free = start + whistle_seconds(e)
        kept.append((s, e))
    return kept


def _pours(rng: np.random.Generator, segments: int) -> tuple[Array, list[tuple[int, Event]]]:
    """How full the cup is, (S, 16), with the pours that raise it and the sips (clinks) that lower it."""
    level, ready, busy = np.empty(segments * 16), rng.random() * 6, rng.random() < 0.75
    full, target, events = float(rng.uniform(0.1, 0.8)), 0.0, []
    target = full
    for i in range(segments * 16):
        t = i / 4
        if t >= ready and busy:
            pour = full < 0.35 or (full < 0.75 and rng.random() < 0.6)
            strength = float(rng.beta(2, 2)) if pour else float(rng.uniform(0.5, 1))
            time = float(min(i % 16 / 4 + rng.random() / 4, 3.99))
            event = Event(
                "pour" if pour else "clink", time, strength, float(rng.uniform(0, 0.5)), float(rng.random() * 0.3)
            )
            events.append((i // 16, event))
            target = min(full + 0.2 + 0.35 * strength, 0.95) if pour else max(full - 0.12, 0.05)
            ready = t + (pour_seconds(event) if pour else 0) + rng.gamma(2, 2.5)
        full += float(np.clip(target - full, -0.05, 0.06))
        level[i] = full
    return level.reshape(segments, 16), events


def pouring(stage: Stage, t: Array) -> Array:
    """How strongly coffee runs at each time, (T,) in [0, 1]: up in 0.15 s, down in 0.3 s."""
    out = np.zeros(len(t))
    for e in stage.events("pour", float(t.min()) - 4, float(t.max()) + 1e-6):
        s = t - e.time
        out = np.maximum(out, lanes.between(0, 0.15, s) * lanes.between(pour_seconds(e), pour_seconds(e) - 0.3, s))
    return out


def singing(stage: Stage, t: Array) -> Array:
    """How strongly the kettle whistles at each time, (T,) in [0, 1]: up in 0.8 s, down in 0.5 s."""
    out = np.zeros(len(t))
    for e in stage.events("whistle", float(t.min()) - 6, float(t.max()) + 1e-6):
        s, end = t - e.time, whistle_seconds(e)
        out = np.maximum(out, (0.3 + 0.7 * e.strength) * lanes.between(0, 0.8, s) * lanes.between(end, end - 0.5, s))
    return out


def _noises(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """Everything that hisses and hums, (N, 2)."""

    def spectrum(f: Array, t: float) -> Array:
        steam, fire, rain, life = (stage.value(name, t) for name in ("steam", "fire", "rain", "life"))
        here = np.array([t])
        car, poured = float(lanes.pulses(stage, "passing", here, 1.0, 1.5)[0]), float(pouring(stage, here)[0])
        seethe = 1 + 0.3 * np.sin(11 * t + 2 * np.sin(4.1 * t)) + 0.2 * np.sin(23 * t)
        cavitation = 0.05 * steam * max(1 - 1.1 * steam, 0.1) * band(f, 500, 2600) * seethe
        roll = 0.07 * steam**3 * seethe * band(f, 90, 420)
        hiss = 0.014 * steam**2 * band(f, 2500, 11000, 1)
        flame = 0.012 * fire * (band(f, 120, 600) + 0.15 * band(f, 2000, 9000))
        wet = 0.012 * rain * band(f, 900, 7000, 1)
        talk = 0.02 * life**1.5 * (0.4 + max(np.sin(9 * t + 3 * np.sin(1.3 * t)), 0)) * band(f, 260, 900)
        street = (0.25 * car + 0.01 * life) * band(f, 50, 180) + 0.04 * car * band(f, 300, 1200, 1)
        splash = 0.010 * poured * band(f, 400 + 700 * stage.value("flow", t), 2600)
        hum = 0.0015 * band(f, 48, 90) + 0.0003
        return np.asarray(cavitation + roll + hiss + flame + wet + talk + street + splash + hum)

    both = shaped_noise(f"kettle {stage.segment(start / rate).variant}", start, n, rate, spectrum)
    return np.asarray(0.8 * both.mean(1, keepdims=True) + 0.6 * both, np.float32)


def _bubble(rate: int, hertz: float, seconds: float, rise: float) -> Array:
    """One bubble: a tone that dies away while its pitch rises (van den Doel 2005), (N,)."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * hertz * (t + rise * t**2)
    return np.asarray(np.sin(phase) * np.exp(-5 * t / seconds) * np.minimum(1, t / 0.001))


def _bubbles(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Bubbles in the kettle, small and quick as it simmers, large as it rolls; rain taps on the pane."""
    for tick in range((start * 4) // rate - 1, ((start + len(out)) * 4) // rate + 1):
        steam, rain = stage.value("steam", tick / 4), stage.value("rain", tick / 4)
        rng = np.random.default_rng([zlib.crc32(b"bubbles"), stage.segment(tick / 4).variant, tick & 0xFFFFFFFF])
        for _ in range(rng.poisson(9 * max(steam - 0.12, 0))):
            hertz = rng.uniform(900, 2200) * (1 - 0.75 * steam * rng.random())
            wave = 0.035 * steam * rng.random() ** 1.5 * _bubble(rate, hertz, rng.uniform(0.01, 0.04), 4)
            add_grain(out, start, rate, (tick + rng.random()) / 4, wave, -0.35)
        for _ in range(rng.poisson(10 * rain**1.5)):
            wave = 0.04 * rng.random() ** 2 * burst(rng, rate, 0.012, 900, 5000, 0.0005)
            add_grain(out, start, rate, (tick + rng.random()) / 4, wave, rng.uniform(-0.8, 0.8))


def _whistle(stage: Stage, out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """Two holes, a few hertz apart, that beat; the pitch creeps up by a fifth as the pressure builds."""
    seconds = whistle_seconds(e)
    t = np.arange(int(seconds * rate)) / rate
    base = 1500 + 900 * float(stage.rng("whistle", e.time).random()) + 120 * e.strength
    bend = t * 1.0 - 0.25 * 0.5 * (1 - np.exp(-t / 0.5))  # the integral of 1 - 0.25 exp(-t / 0.5)
    swell = singing(stage, e.time + t) * (1 + 0.08 * np.sin(2 * np.pi * 5.3 * t))
    tone = sum(a * np.sin(2 * np.pi * base * k * bend) for k, a in ((1, 1), (1.0052, 0.7), (2, 0.18), (3.01, 0.06)))
    add_grain(out, start, rate, e.time, 0.045 * swell * tone, -0.08)


def _pour(stage: Stage, out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """Coffee runs into the cup: bubbles whose pitch rises as the air above the coffee shortens."""
    rng, seconds = np.random.default_rng([int(e.time * 1000), 9]), pour_seconds(e)
    full = stage.value("flow", e.time)
    for time in np.sort(rng.random(int(110 * seconds))) * seconds:
        level = full + 0.12 * time
        loud = 0.085 * rng.random() ** 3 * min(time / 0.15, 1, (seconds - time) / 0.3)
        wave = loud * _bubble(
            rate, 420 * np.exp(0.9 * level + 0.45 * rng.standard_normal()), rng.uniform(0.01, 0.05), 3
        )
        add_grain(out, start, rate, e.time + time, wave, 0.25 + 0.1 * rng.standard_normal())


def _clink(stage: Stage, out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """China on china with a knock of the table, or a spoon against the cup."""
    rng = stage.rng("china", e.time)
    if e.strength > 0.5:
        modes = [
            (rng.uniform(1900, 2400), 0.8, 0.16),
            (rng.uniform(3600, 4300), 0.6, 0.12),
            (6900, 0.3, 0.06),
            (160, 1.0, 0.05),
        ]
    else:
        modes = [(rng.uniform(2700, 3300), 0.6, 0.35), (rng.uniform(5200, 6000), 0.7, 0.3), (8800, 0.4, 0.2)]
    for lag, gain in ((0, 1.0), (0.045, 0.35), (0.13, 0.12)):
        wave = (0.04 + 0.08 * e.strength) * gain * ring(rate, 0.4, modes, 0.0004)
        add_grain(out, start, rate, e.time + lag, wave, 0.5 * e.x)


def _drop(stage: Stage, out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """A drop from the spout sizzles on the hot ring where there is a flame, else it plinks."""
    if stage.value("fire", e.time) > 0.2:
        rng = np.random.default_rng([int(e.time * 1000), 4])
        wave = burst(rng, rate, 0.1 + 0.3 * e.strength, 2500, 10000, 0.01)
        add_grain(out, start, rate, e.time, (0.02 + 0.03 * e.strength) * wave, -0.35)
    else:
        add_grain(out, start, rate, e.time, 0.05 * _bubble(rate, 800 + 700 * e.distance, 0.05, 6), -0.2)


def _bird(stage: Stage, out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """A songbird behind the pane."""
    for i, (lag, seconds) in enumerate(((0, 0.12), (0.2, 0.1), (0.36, 0.14), (0.6, 0.2))):
        t = np.arange(int(seconds * rate)) / rate
        phase = (2500 + 1300 * e.distance + 350 * np.sin(i * 2.1 + 9 * e.x)) * t + 500 * np.cos(
            i * 1.7
        ) * t * t / seconds
        call = np.sin(np.pi * t / seconds) * np.sin(2 * np.pi * phase)
        add_grain(out, start, rate, e.time + lag, (0.006 + 0.012 * e.strength) * (1.2 - e.distance) * call, e.x)


@final
class Kettle(Place):
    """A kettle, a cup, a window."""

    name = "kettle and coffee"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """The kettle is cold, warming, boiling or taken off; it whistles as it boils; sun, clouds or rain."""
        hour = float(rng.choice([rng.normal(0, 0.08) % 1, rng.normal(0.77, 0.02), rng.normal(0.255, 0.02),
                                 rng.uniform(0.33, 0.68)], p=[0.22, 0.2, 0.24, 0.34]))  # fmt: skip
        cloud = float(rng.beta(0.9, 1.2))
        wet = float(rng.beta(2, 2)) if rng.random() < 0.5 * cloud else 0.0
        ends = {
            "cold": (0.02, 0.08),
            "warming": (0.1, 0.75),
            "boiling": (0.85, 0.9),
            "off": (0.8, 0.25),
            "simmer": (0.4, 0.5),
        }
        phase = str(rng.choice(list(ends), p=[0.16, 0.26, 0.26, 0.14, 0.18]))
        ramp = np.linspace(*ends[phase], segments * 16).reshape(segments, 16)
        steam = np.clip(ramp + drift(rng, segments, 0.5, 0.06, 4) - 0.5 + rng.normal(0, 0.08), 0, 1)
        heat = {"cold": 0.0, "warming": 0.85, "boiling": 0.6, "off": 0.0, "simmer": 0.3}[phase]
        fire = np.clip(drift(rng, segments, heat + rng.normal(0, 0.07), 0.02, 6), 0, 1) * (heat > 0)
        sun = min(max(float(sun_height(hour)) + 0.2, 0.0), 1.0) ** 0.5
        light = np.clip(drift(rng, segments, sun * (1 - 0.8 * cloud), 0.16 * sun, 6), 0, 1)
        rain = drift(rng, segments, wet, 0.1, 6) * (wet > 0)
        life = drift(rng, segments, float(rng.beta(1, 2)) * (0.3 + 0.7 * sun), 0.06, 8)
        level, happened = _pours(rng, segments)
        outside = np.full_like(steam, 0.12 * sun * (1 - wet))
        rates = {"whistle": 0.35 * (steam > 0.78) * steam * (heat > 0), "clink": 0.02 + 0.08 * life, "bird": outside,
                 "drop": 0.05 + 0.1 * steam, "passing": 0.06 * life}  # fmt: skip
        happened += [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 1.8)]
        happened = _one_at_a_time(happened)
        variant, statics = int(rng.integers(65536)), self._statics(rng, hour, cloud)
        curves = {"fire": fire, "steam": steam, "flow": level, "light": light, "rain": rain, "life": life}
        return [self._segment(s, variant, statics, curves, happened) for s in range(segments)]

    def _segment(
        self,
        s: int,
        variant: int,
        statics: dict[str, float],
        curves: dict[str, Array],
        happened: list[tuple[int, Event]],
    ) -> Segment:
        """Segment s; where there are too many events pours and whistles stay."""
        mine = sorted(
            (e for i, e in happened if i == s), key=lambda e: (e.kind not in ("pour", "whistle"), -e.strength)
        )
        events = tuple(sorted(mine[:SLOTS], key=lambda e: e.time))
        fitted = {name: fit_curve(samples[s]) for name, samples in curves.items()}
        return Segment(self.name, self.name, variant, statics, fitted, events)

    @staticmethod
    def _statics(rng: np.random.Generator, hour: float, cloud: float) -> dict[str, float]:
        middle = middling(rng, 0.12, 0.05, "warmth", "saturation", "contrast")
        camera = anywhere(rng, "height", "pan", "focal", "drift", "sun")
        return {"hour": hour, "cloud": cloud, "haze": float(rng.beta(2, 3)), **middle, **camera,
                "exposure": float(np.clip(rng.normal(0.5, 0.06), 0.2, 0.8))}  # fmt: skip

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """How hard the kettle boils, the coffee, where, when, and some of whistle, pour, light, rain and street."""
        first = segments[0]
        mean = {name: words.mean(segments, name) for name in ("steam", "flow", "fire", "rain", "light", "life")}
        strength = int(np.searchsorted([0.16, 0.45, 0.74], mean["steam"] + rng.normal(0, 0.02)))
        subject, cup = str(rng.choice(_SUBJECTS[strength])), str(rng.choice(_CUP[first.variant >= 32768]))
        part = quarter_of_day(first.statics["hour"])
        when, where = str(rng.choice(_HOURS[part])), str(rng.choice(_PLACES))
        style = rng.random()
        if style < 0.12:
            text = str(rng.choice([f"{subject} {when}", f"kettle and coffee {when}", f"{cup} {when}", subject]))
        elif style < 0.3:
            text = f"{subject} and {cup} {where} {when}"
        else:
            details = self._details(segments, mean, part, rng)
            chosen = words.some(details, rng)
            head = str(rng.choice([f"{subject} {when}", f"{subject} and {cup}", f"{subject} {where} {when}",
                                   f"{when}, {subject} {where}", f"{subject} beside {cup} {when}"]))  # fmt: skip
            text = words.joined([head, *chosen], rng)
        return words.written(text, rng)

    @staticmethod
    def _details(segments: list[Segment], mean: dict[str, float], part: str, rng: np.random.Generator) -> list[str]:
        """Everything true that could be added."""
        count = {kind: sum(e.kind == kind for s in segments for e in s.events) for kind in
                 ("whistle", "pour", "clink", "bird", "passing")}  # fmt: skip
        full = (
            "a full cup" if mean["flow"] > 0.6 else "a half-full cup" if mean["flow"] > 0.3 else "an almost empty cup"
        )
        found = [
            full,
            rng.choice(["steam curls in the light", "steam rises"] if mean["steam"] > 0.3 else ["no steam yet"]),
        ]
        if count["whistle"]:
            found += [rng.choice(["it whistles", "the kettle sings", "a loud whistle", "the whistle blows"])] * 2
        if count["pour"]:
            found += [
                rng.choice(["coffee is poured", "somebody pours the coffee", "fresh coffee runs into the cup"])
            ] * 2
        if count["clink"]:
            found.append(rng.choice(["a cup clinks", "the clink of china", "a spoon clinks", "somebody takes a sip"]))
        if mean["fire"] > 0.5:
            found.append(rng.choice(["a high flame under it", "the gas hisses", "blue gas flames"]))
        if mean["rain"] > 0.2:
            found.append(
                rng.choice(["rain on the window", "it rains outside", "drops run down the pane", "a rainy window"])
            )
        if part != "night" and mean["light"] > 0.5:
            found.append(rng.choice(["sunlight falls through the window", "a sunny window", "bright sunshine"]))
        if part != "night" and mean["light"] < 0.25:
            found.append(rng.choice(["grey light", "a dull sky outside", "an overcast window"]))
        if part == "night":
            found.append(rng.choice(["lights outside the window", "a lamp is on", "dark outside"]))
        if mean["life"] > 0.4:
            found.append(rng.choice(["voices next door", "a lively house", "the street is busy"]))
        if count["bird"]:
            found.append(rng.choice(["a bird sings outside", "birdsong through the window"]))
        if count["passing"]:
            found.append(rng.choice(["a car passes", "traffic goes by outside"]))
        return [str(f) for f in dict.fromkeys(found)]

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: the boil's rumble through the table (0.16 x steam^2 at 60 Hz), a cup set down (0.5, 90 Hz, 60 ms),
        a car; back: hiss, whistle (0.3, 280 Hz), pour (0.22, 140 Hz), china. Air 20 C, sun +5, steam +4."""
        steam, light = stage.values("steam", t), stage.values("light", t)
        clink, car = lanes.pulses(stage, "clink", t, 0.002, 0.06), lanes.pulses(stage, "passing", t, 1.0, 1.5)
        parts = np.stack([0.16 * steam**2, 0.5 * clink, 0.25 * car, 0.05 * steam, 0.3 * singing(stage, t),
                          0.22 * pouring(stage, t), 0.25 * clink,
                          0.2 * lanes.pulses(stage, "drop", t, 0.002, 0.03)])  # fmt: skip
        hertz = (parts * np.array([60, 90, 32, 200, 280, 140, 250, 180])[:, None]).sum(0) / (parts.sum(0) + 1e-6)
        warmth = 20 + 5 * light + 4 * steam + 2 * stage.values("fire", t) + 2 * pouring(stage, t)
        seat, back = np.clip(parts[:3].sum(0), 0, 1), np.clip(parts[3:].sum(0), 0, 1)
        return np.stack([seat, back, np.clip(hertz, 20, 300), warmth, 0.1 + 0.2 * steam], -1)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Coffee by how full the cup is and while it is poured; milk; hot metal by flame and steam; rain on stone."""
        steam, level, fire = (stage.values(name, t) for name in ("steam", "flow", "fire"))
        milk = np.array([stage.segment(float(s)).variant >= 32768 for s in t])
        poured = np.maximum(pouring(stage, t), lanes.pulses(stage, "pour", t, 0.3, 2.5))
        out = np.zeros((len(t), len(NOTES)))
        out[:, NOTES.index("coffee")] = 0.15 + 0.4 * level + 0.5 * poured
        out[:, NOTES.index("warm milk")] = (0.1 + 0.3 * level + 0.2 * poured) * milk
        out[:, NOTES.index("hot metal")] = 0.25 * fire + 0.25 * steam**2
        out[:, NOTES.index("rain on stone")] = 0.3 * stage.values("rain", t)
        return np.clip(out, 0, 1)

    def taste(self, stage: Stage, t: Array) -> Array:
        """A sip (a clink of strength over 0.5) tastes of coffee for 3 s: bitter, a little sour; sweet and less bitter
        with milk; the aroma of a pour is faintly bitter."""
        milk = np.array([stage.segment(float(s)).variant >= 32768 for s in t])
        sips = stage.events("clink", float(t.min()) - 12, float(t.max()) + 1e-6)
        s = np.maximum(t[None] - np.array([e.time for e in sips if e.strength > 0.5]).reshape(-1, 1), 0)
        sip = np.minimum((-np.expm1(-s / 0.2) * np.exp(-s / 3)).sum(0), 1)
        bitter, sweet, sour = np.where(milk, 0.5, 0.85), np.where(milk, 0.4, 0.1), np.where(milk, 0.1, 0.3)
        out = np.zeros((len(t), 5))
        out[:, 0], out[:, 1] = sweet * sip, sour * sip
        out[:, 3] = np.clip(bitter * sip + 0.15 * pouring(stage, t), 0, 1)
        return out

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Simmer, rolling bubbles, steam's hiss, the whistle, coffee running into the cup, china, rain and street; the
        kitchen answers for 0.4 s."""
        before = int(0.4 * rate)
        out = _noises(stage, start - before, n + before, rate)
        _bubbles(stage, out, start - before, rate)
        first, last = start / rate - 6, (start + n) / rate
        for kind, play in (("whistle", _whistle), ("pour", _pour), ("clink", _clink), ("drop", _drop), ("bird", _bird)):
            for e in stage.events(kind, first, last):
                play(stage, out, start - before, rate, e)
        return 2.4 * reverberate(out, rate, 0.4, 0.22, seed=11, damping=5000)[before:]

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Kettle, cup and window; steam, coffee and light of the moment."""
        pours = tuple((t - e.time, pour_seconds(e)) for e in stage.events("pour", t - 5, t + 1e-6))
        return render(stage, t, view, float(singing(stage, np.array([t]))[0]), pours)
