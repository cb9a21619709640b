"""Campfire: flames over logs in a clearing, sparks, crackle, warmth on the skin, smoke; night more often than day.

What the scene's words mean here. Curves: fire (height of the flames; under 0.2 only embers), wind, steam (smoke),
life (crickets). Events: crack (a pocket of sap bursts), spark (a flight of sparks), creak (a log settles), gust,
bird (an owl at night, songbirds else). `distance` is 1.5 to 4 m from the fire, 10 to 80 m for birds. Variants from
32768 up stand among pines and burn pine logs (resin), the others among broad-leaved trees.

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
from stale_diffusion.dreamscapes.campfire_picture import flutter, render
from stale_diffusion.dreamscapes.light import quarter_of_day, sun_height
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve
from stale_diffusion.senses.smell import NOTES

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "The logs have nearly gone out, a faint red glow under the midnight stars.",
        {"hour": "night", "strength": "weak"},
    ),
    ("Huge orange tongues leap up into the black sky", {"hour": "night", "strength": "strong"}),
    ("we made a tiny fire at lunchtime to heat the beans", {"hour": "day", "strength": "weak"}),
    ("An enormous bonfire rages in broad daylight.", {"hour": "day", "strength": "strong"}),
    ("As the sun goes down somebody lights a wee campfire.", {"hour": "dusk", "strength": "weak"}),
    (
        "camping trip, everyone sits far back from the heat of the inferno, late at night",
        {"hour": "night", "strength": "strong"},
    ),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""

_SUBJECTS = (
    ("embers", "glowing embers", "a bed of embers", "the last coals of a campfire", "a dying campfire",
     "a campfire burnt down to its coals", "a fire almost out", "red coals among the ashes"),
    ("a small campfire", "a low fire", "a gentle campfire", "a quiet little fire", "a modest fire of twigs",
     "a weak fire with short flames", "a campfire burning low"),
    ("a campfire", "a lively campfire", "a bright fire", "a merry campfire", "a steady wood fire", "a good warm fire",
     "a campfire with tall flames"),
    ("a roaring campfire", "a blazing bonfire", "a huge fierce fire", "a big bonfire", "a wild blaze",
     "a strong fire with high flames", "a bonfire burning hard"),
)  # fmt: skip
_HOURS = {
    "night": (
        "at night",
        "on a dark night",
        "late at night",
        "in the dark",
        "after dark",
        "in the middle of the night",
    ),
    "dusk": ("at dusk", "at nightfall", "in the evening", "after sunset", "in the blue hour", "in the twilight"),
    "dawn": ("at dawn", "at daybreak", "in the early morning", "before sunrise", "at first light"),
    "day": ("by day", "in the daytime", "in daylight", "in broad day", "in the light of day"),
}
_PINES = ("among pines", "in a pine forest", "under the pines", "between pine trees", "in a pinewood")
_LEAVES = (
    "in the woods",
    "in a clearing",
    "under old beeches",
    "at the edge of a wood",
    "among the trees",
    "in a glade",
)
_WIND = (
    ("no wind", "the air is still", "calm air", "hardly a breath of wind"),
    ("a light breeze", "a breeze tugs at the flames", "some wind"),
    ("a strong wind", "the wind tears at the flames", "gusts of wind", "a windy place", "it blows hard"),
)


def _noises(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """Draught, hiss and wind, (N, 2): the flames flutter a few times a second."""

    def spectrum(f: Array, t: float) -> Array:
        fire, wind, gust = (
            stage.value("fire", t),
            stage.value("wind", t),
            float(lanes.pulses(stage, "gust", np.array([t]), 0.5, 1.0)[0]),
        )
        pulse = 1 + (0.25 + 0.3 * wind) * flutter(t)
        draught = fire * (0.012 + 0.6 * fire**1.5) * max(pulse, 0.15) * band(f, 40, 115, 1.5) / (1 + (f / 900) ** 2)
        hiss = (0.002 + 0.02 * fire * (0.7 + 0.3 * pulse)) * band(f, 2500, 9000)
        breeze = (0.004 + 0.22 * wind**2 + 0.14 * gust) * band(f, 120, 380 + 500 * wind, 1) / (1 + f / 700)
        return np.asarray(draught + hiss + breeze + 0.001)

    both = shaped_noise(f"campfire {stage.segment(start / rate).variant}", start, n, rate, spectrum)
    shared = both.mean(1, keepdims=True)
    return np.asarray(0.8 * shared + 0.6 * both, np.float32)


def _crackle(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Small crackle: clicks of 1 to 8 ms, log-normal in strength, up to 40 a second."""
    for tick in range((start * 4) // rate - 1, ((start + len(out)) * 4) // rate + 1):
        fire = stage.value("fire", tick / 4)
        rng = np.random.default_rng([zlib.crc32(b"crackle"), stage.segment(tick / 4).variant, tick & 0xFFFFFFFF])
        for _ in range(rng.poisson((0.8 + 7 * fire) * rng.gamma(0.7, 1.4))):
            strength = min(0.058 * np.exp(1.25 * rng.standard_normal()), 0.5) * (0.4 + 0.8 * fire)
            low = rng.uniform(700, 4500)
            wave = strength * burst(rng, rate, rng.uniform(0.002, 0.012), low, low * 3, 0.0003)
            add_grain(out, start, rate, (tick + rng.random()) / 4, wave, rng.normal(0, 0.25))


def _log(out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """A crack: a snap with a knock of the log and some clicks after; a log that settles: a thud and falling cinders."""
    rng = np.random.default_rng([int(e.time * 1000), 3])
    loud, x = (0.15 + 0.6 * e.strength) * (1 - 0.4 * e.distance), 0.4 * e.x
    if e.kind == "crack":
        snap = burst(rng, rate, 0.03, 900, 7000, 0.0002)
        add_grain(out, start, rate, e.time, 0.8 * loud * snap, x)
        knock = ring(rate, 0.12, [(rng.uniform(170, 260), 1, 0.1), (rng.uniform(420, 700), 0.6, 0.06)])
        add_grain(out, start, rate, e.time, 0.35 * loud * knock, x)
        for _ in range(rng.poisson(2 + 8 * e.strength)):
            wave = 0.12 * loud * rng.random() * burst(rng, rate, 0.006, 1800, 8000, 0.0003)
            add_grain(out, start, rate, e.time + rng.exponential(0.09), wave, x)
        return
    thud = ring(rate, 0.5, [(58, 1, 0.35), (97, 0.7, 0.25), (171, 0.4, 0.12)], 0.006)
    add_grain(out, start, rate, e.time, 0.5 * loud * thud, x)
    for _ in range(int(10 + 40 * e.strength)):
        wave = 0.1 * loud * rng.random() ** 2 * burst(rng, rate, 0.01, 700, 5000, 0.0005)
        add_grain(out, start, rate, e.time + rng.gamma(1.5, 0.12), wave, x + 0.2 * rng.standard_normal())


def _creatures(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Crickets, each with a rhythm and a pitch of its own; owls at night, songbirds else."""
    first, last = start / rate, (start + len(out)) / rate
    rng = stage.rng("crickets", first)
    for k in range(5):
        pitch, period, x, near = rng.uniform(4100, 5000), rng.uniform(0.5, 1.1), rng.uniform(-1, 1), rng.uniform(0.2, 1)
        t = np.arange(int(0.1 * rate)) / rate
        pulses = np.clip(np.sin(2 * np.pi * t / 0.033), 0, 1) ** 2
        chirp = 0.05 * near * pulses * np.sin(2 * np.pi * pitch * t)
        for i in range(int(first / period) - 1, int(last / period) + 1):
            level = max(stage.value("life", i * period) - 0.12 * k, 0)
            if level > 0:
                add_grain(out, start, rate, i * period, min(1.5 * level, 1) * chirp, x)
    for e in stage.events("bird", first - 3, last):
        night = quarter_of_day(stage.segment(e.time).statics.get("hour", 0.5)) == "night"
        calls = ((0, 0.5), (0.9, 0.25), (1.3, 0.7)) if night else ((0, 0.12), (0.2, 0.1), (0.36, 0.14), (0.6, 0.2))
        for i, (lag, seconds) in enumerate(calls):
            t = np.arange(int(seconds * rate)) / rate
            low = 370 + 60 * e.distance if night else 2600 + 1500 * e.distance + 350 * np.sin(i * 2.1 + 9 * e.x)
            phase = low * t + (-12 if night else 500 * np.cos(i * 1.7)) * t * t / seconds
            call = np.sin(np.pi * t / seconds) ** (1.2 if night else 1.0) * np.sin(2 * np.pi * phase)
            add_grain(out, start, rate, e.time + lag, (0.02 + 0.04 * e.strength) * (1.2 - e.distance) * call, e.x)


@final
class Campfire(Place):
    """A fire in a clearing."""

    name = "campfire"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """From embers to a bonfire; wind feeds the flames, damp wood smokes, crickets want still nights."""
        base, dry, windy = rng.beta(1.3, 1.3), rng.beta(2, 2), rng.beta(1.3, 2.3)
        hour = float(rng.choice([rng.normal(0, 0.09) % 1, rng.normal(0.79, 0.018), rng.normal(0.24, 0.015),
                                 rng.uniform(0.33, 0.68)], p=[0.5, 0.26, 0.1, 0.14]))  # fmt: skip
        wind = drift(rng, segments, windy, 0.04 + 0.2 * windy, 5)
        trend = rng.normal(0, 0.12) * np.linspace(-1, 1, segments * 16).reshape(segments, 16)
        fire = np.clip(
            drift(rng, segments, 0.04 + 0.9 * base, 0.03 + 0.07 * base, 4) + trend + 0.25 * (wind - windy), 0, 1
        )
        smoke = drift(rng, segments, 0.1 + 0.5 * (1 - dry) * (0.4 + 0.6 * base), 0.08, 6)
        still_night = float(lanes.between(0.1, -0.3, sun_height(hour))) * (1 - windy)
        life = drift(rng, segments, still_night * rng.beta(1, 1), 0.05, 10) * (still_night > 0.2)
        rates = {
            "crack": (0.05 + 1.3 * fire) * (0.2 + dry), "spark": 0.03 + 0.5 * fire**2 + 0.35 * wind * fire,
            "creak": 0.03 + 0.07 * fire, "gust": 0.5 * wind**2, "bird": np.full_like(fire, 0.07 * (1 - windy)),
        }  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 2.2)]
        variant, statics = int(rng.integers(65536)), self._statics(rng, hour, dry)
        out = []
        for s in range(segments):
            events = sorted((e for i, e in happened if i == s), key=lambda e: -e.strength)[:SLOTS]
            curves = {"fire": fire[s], "wind": wind[s], "steam": smoke[s], "life": life[s]}
            fitted = {name: fit_curve(samples) for name, samples in curves.items()}
            out.append(
                Segment(self.name, self.name, variant, statics, fitted, tuple(sorted(events, key=lambda e: e.time)))
            )
        return out

    @staticmethod
    def _statics(rng: np.random.Generator, hour: float, dry: float) -> dict[str, float]:
        middle = middling(rng, 0.12, 0.05, "warmth", "saturation", "contrast")
        camera = anywhere(rng, "height", "pan", "focal", "drift", "sun")
        mist = 0.25 if quarter_of_day(hour) == "dawn" else 0.0
        haze = float(np.clip(rng.beta(1.5, 3) * (1.2 - 0.6 * dry) + mist, 0, 1))
        return {"hour": hour, "cloud": float(rng.beta(1, 1.4)), "haze": haze, **middle, **camera,
                "exposure": float(np.clip(rng.normal(0.5, 0.06), 0.2, 0.8))}  # fmt: skip

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """How big the fire is, where, when, and some of wind, smoke, sparks, crackle and crickets."""
        first = segments[0]
        mean = {name: words.mean(segments, name) for name in ("fire", "wind", "steam", "life")}
        strength = int(np.searchsorted([0.24, 0.48, 0.72], mean["fire"] + rng.normal(0, 0.02)))
        subject = str(rng.choice(_SUBJECTS[strength]))
        part = quarter_of_day(first.statics["hour"])
        when = str(rng.choice(_HOURS[part]))
        where = str(rng.choice(_PINES if first.variant >= 32768 else _LEAVES))
        style = rng.random()
        if style < 0.12:
            text = f"{subject} {when}" if rng.random() < 0.5 else subject
        elif style < 0.3:
            text = f"{subject} {where} {when}"
        else:
            details = self._details(segments, mean, part, rng)
            chosen = words.some(details, rng)
            head = str(rng.choice([f"{subject} {when}", f"{subject} {where}", f"{subject} {where} {when}",
                                   f"{when}, {subject}", f"{where}, {subject} {when}"]))  # fmt: skip
            text = words.joined([head, *chosen], rng)
        return words.written(text, rng)

    @staticmethod
    def _details(segments: list[Segment], mean: dict[str, float], part: str, rng: np.random.Generator) -> list[str]:
        """Everything true that could be added."""
        count = {kind: sum(e.kind == kind for s in segments for e in s.events) / len(segments) for kind in
                 ("crack", "spark", "bird")}  # fmt: skip
        breeze = 0 if mean["wind"] < 0.22 else 1 if mean["wind"] < 0.5 else 2
        found = [rng.choice(_WIND[breeze])]
        if mean["steam"] > 0.35:
            found.append(rng.choice(["thick smoke", "smoke drifts across", "the wood is damp and smokes", "smoky"]))
        if mean["steam"] < 0.16:
            found.append(rng.choice(["hardly any smoke", "dry wood", "a clear flame without smoke"]))
        if count["spark"] > 1.5:
            found.append(rng.choice(["sparks fly", "showers of sparks rise", "sparks whirl up", "full of sparks"]))
        if count["crack"] > 3:
            found.append(rng.choice(["the wood crackles and pops", "loud crackling", "the logs snap and spit"]))
        if count["crack"] < 1:
            found.append(rng.choice(["hardly a crackle", "it burns quietly", "a soft hiss"]))
        if mean["life"] > 0.3:
            found.append(rng.choice(["crickets sing", "crickets in the grass", "the chirping of crickets"]))
        if count["bird"] > 0.3:
            found.append(
                rng.choice(["an owl calls", "an owl somewhere"] if part == "night" else ["birds call", "birdsong"])
            )
        sky, haze = segments[0].statics["cloud"], segments[0].statics["haze"]
        if part == "night" and sky < 0.3:
            found.append(rng.choice(["a sky full of stars", "a clear starry sky", "cold clear sky"]))
        if sky > 0.7:
            found.append(rng.choice(["clouds overhead", "an overcast sky", "a cloudy sky"]))
        if haze > 0.55:
            found.append(rng.choice(["mist between the trees", "a misty air", "fog around"]))
        return [str(f) for f in found]

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: the draught's rumble (0.12 x fire at 35 Hz), a settling log (0.7, 46 Hz, 0.25 s), gusts; back: crackle
        (0.1 x fire at 170 Hz) and cracks (0.8, 230 Hz, 50 ms). Air 9 C at midnight, 21 C at noon, plus 17 C x fire."""
        fire, wind = stage.values("fire", t), stage.values("wind", t)
        log, gust = lanes.pulses(stage, "creak", t, 0.01, 0.25), lanes.pulses(stage, "gust", t, 0.5, 1.0)
        crack, fizz = lanes.pulses(stage, "crack", t, 0.003, 0.05), lanes.pulses(stage, "spark", t, 0.05, 0.3)
        hearth = np.stack([0.12 * fire, 0.7 * log, 0.15 * gust, 0.1 * fire * (0.6 + 0.4 * np.sin(t * 7.1) ** 2),
                           0.8 * crack, 0.12 * fizz])  # fmt: skip
        hertz = (hearth * np.array([35, 46, 30, 170, 230, 260])[:, None]).sum(0) / (hearth.sum(0) + 1e-6)
        sun = lanes.slow(lambda s: float(sun_height(stage.static("hour", s))), t)
        warmth = 15 + 6 * sun + 17 * fire * (1 - 0.35 * wind) - 2 * wind
        blow = 0.2 + 6.5 * wind**1.3 + 4 * gust
        seat, back = hearth[:3].sum(0), hearth[3:].sum(0)
        return lanes.felt(seat, back, hertz, warmth, blow)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Wood smoke, thinned by wind; resin where pine logs crack; the wood around; cold air at night."""
        fire, wind, smoke = stage.values("fire", t), stage.values("wind", t), stage.values("steam", t)
        crack, gust = lanes.pulses(stage, "crack", t, 0.1, 1.2), lanes.pulses(stage, "gust", t, 0.5, 1.0)
        pines = np.array([stage.segment(float(s)).variant >= 32768 for s in t])
        haze = lanes.slow(lambda s: stage.static("haze", s), t)
        night = lanes.between(0.3, -0.5, lanes.slow(lambda s: float(sun_height(stage.static("hour", s))), t))
        out = np.zeros((len(t), len(NOTES)))
        out[:, NOTES.index("wood smoke")] = (0.15 + 0.3 * fire + 0.9 * smoke) * (1 - 0.45 * wind) + 0.25 * gust * smoke
        out[:, NOTES.index("resin")] = (0.12 + 0.15 * fire + 0.5 * crack) * np.where(pines, 1.0, 0.25)
        out[:, NOTES.index("pine")] = (0.35 - 0.15 * smoke) * pines
        out[:, NOTES.index("leaf litter")] = (0.3 - 0.15 * smoke) * ~pines
        out[:, NOTES.index("moss")] = 0.3 * haze * ~pines
        out[:, NOTES.index("wet earth")] = 0.4 * haze
        out[:, NOTES.index("cold air")] = night * np.clip(0.6 - 0.6 * fire + 0.25 * wind, 0, 1)
        return np.clip(out, 0, 1)

    def taste(self, stage: Stage, t: Array) -> Array:
        """Thick smoke is bitter on the tongue: from smoke 0.3 on, up to 0.4; nothing else is tasted."""
        out = np.zeros((len(t), 5))
        gust = lanes.pulses(stage, "gust", t, 0.5, 1.0)
        out[:, 3] = np.clip(0.4 * lanes.between(0.3, 0.7, stage.values("steam", t)) * (1 + 0.5 * gust), 0, 1)
        return out

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Draught and hiss as shaped noise, crackle drawn every quarter of a second, cracks, logs, crickets, birds; the
        wood around answers for 0.7 s."""
        before = int(0.7 * rate)
        first, last = (start - before) / rate, (start + n) / rate
        out = _noises(stage, start - before, n + before, rate)
        _crackle(stage, out, start - before, rate)
        for e in stage.events("crack", first - 0.6, last) + stage.events("creak", first - 0.6, last):
            _log(out, start - before, rate, e)
        for e in stage.events("spark", first - 0.8, last):
            rng = np.random.default_rng([int(e.time * 1000), 5])
            for _ in range(int(6 + 30 * e.strength)):
                wave = 0.15 * rng.random() ** 2 * burst(rng, rate, 0.004, 2500, 9000)
                add_grain(out, start - before, rate, e.time + rng.gamma(1.5, 0.15), wave, 0.4 * e.x)
        _creatures(stage, out, start - before, rate)
        return 1.5 * reverberate(out, rate, 0.7, 0.12, seed=7)[before:]

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Flames, sparks and smoke over the clearing that they light."""
        return render(stage, t, view)
