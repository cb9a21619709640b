"""Rain on glass: a window, drops and runnels on it, and the lights of a city or the green of a garden behind.

The curves: rain (how hard), wind, steam (mist on the pane), life (traffic; city only). Events: drop (a heavy one hits
the pane at x; distance is its height, 0 top to 1 bottom), runnel (water starts to run down at x from that height),
gust, passing (a car: first heard at its time, nearest 1.5 s later at 4 + 40 * distance metres, from side x; city only).

Shapes: H rows, W columns, N samples of sound, T ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, light, rain_glass_picture, words
from stale_diffusion.dreamscapes.acoustics import (
    Sound,
    add_grain,
    band,
    burst,
    resonance,
    reverberate,
    ring,
    shaped_noise,
)
from stale_diffusion.dreamscapes.light import daylight
from stale_diffusion.dreamscapes.place import Array, Place, View, drift
from stale_diffusion.dreamscapes.rain_glass_view import is_garden
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve

NEAREST = 1.5  # seconds from the time of a passing car to its nearest point

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "lying awake while the downpour hammers the panes and the neon outside melts",
        {"hour": "night", "strength": "strong"},
    ),
    ("a few shy beads cling to the kitchen window this afternoon", {"hour": "day", "strength": "weak"}),
    ("sheets of water sluice down the skylight at lunchtime", {"hour": "day", "strength": "strong"}),
    ("barely spitting outside, the streetlamps swim softly past midnight", {"hour": "night", "strength": "weak"}),
    (
        "first light behind a windscreen that the cloudburst will not leave alone",
        {"hour": "dawn", "strength": "strong"},
    ),
    ("evening settles on the sill with hardly a sprinkle", {"hour": "dusk", "strength": "weak"}),
)


def _passing(events: Sequence[Event], t: Array, seconds: float = 0.7) -> Array:
    """How near the cars are, (T,): a Lorentzian around the nearest point, over the distance."""
    near = np.zeros_like(t)
    for e in events:
        age = t - e.time
        rise = np.clip(age / NEAREST, 0, 1)  # nothing before its time
        near += e.strength / (1 + 3 * e.distance) * rise / (1 + ((age - NEAREST) / seconds) ** 2)
    return near


@final
class RainOnGlass(Place):
    """A window on a night city or a grey garden in the rain."""

    name = "rain on glass"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """Draw a scene: drizzle to downpour; night oftenest, and then mostly over a city."""
        low, high = ((0.79, 1.2), (0.225, 0.285), (0.31, 0.69), (0.705, 0.775))[
            rng.choice(4, p=(0.46, 0.13, 0.26, 0.15))
        ]
        hour = float(rng.uniform(low, high)) % 1
        garden = rng.random() < (0.6 if daylight(hour) > 0.5 else 0.2)
        force = rng.beta(0.9, 0.9)
        rain = drift(rng, segments, 0.08 + 0.82 * force, 0.03 + 0.09 * rng.random(), 10)
        wind = drift(rng, segments, np.clip(0.65 * force + rng.normal(0, 0.15), 0.02, 0.9), 0.08, 6)
        steam = drift(rng, segments, np.clip(rng.beta(1.1, 1.6) * (1.1 - 0.4 * wind.mean()), 0, 1), 0.03, 16)
        life = np.zeros_like(rain) if garden else drift(rng, segments, rng.beta(1.2, 1.8), 0.08, 12)
        statics = {
            "hour": hour, "cloud": rng.uniform(0.7, 1),
            "haze": np.clip(0.25 + 0.5 * rain.mean() + rng.normal(0, 0.12), 0, 1),
            "warmth": rng.uniform(0.35, 0.65), "saturation": rng.uniform(0.4, 0.65),
            "exposure": rng.uniform(0.42, 0.58), "contrast": rng.uniform(0.4, 0.62), "height": rng.random(),
            "pan": rng.random(), "focal": rng.random(), "drift": rng.random(), "sun": rng.random(),
        }  # fmt: skip
        statics = {k: float(v) for k, v in statics.items()}
        variant = int(rng.integers(32768)) + 32768 * garden
        out = []
        for i in range(segments):
            events = self._events(rng, rain[i], wind[i], life[i])
            wind[i] = lanes.gusty(wind[i], events)
            named = {"rain": rain[i], "wind": wind[i], "steam": steam[i]} | ({} if garden else {"life": life[i]})
            curves = {name: fit_curve(values) for name, values in named.items()}
            out.append(Segment(self.name, self.name, variant, statics, curves, tuple(events)))
        return out

    @staticmethod
    def _events(rng: np.random.Generator, rain: Array, wind: Array, life: Array) -> list[Event]:
        """What happens in one segment; where it is too much the runnels and drops that came last are left out."""
        events = [
            Event("gust", time, float(np.clip(wind.mean() + rng.normal(0.1, 0.12), 0.1, 1)), float(rng.uniform(-1, 1)))
            for time in lanes.happens(rng, 0.35 * wind**2)[:2]
        ]
        events += [
            Event(
                "passing",
                time,
                float(rng.beta(4, 2)),
                float(rng.choice((-1, 1)) * rng.uniform(0.5, 1)),
                float(rng.random()),
            )
            for time in lanes.happens(rng, 0.32 * life**1.3)[:2]
        ]
        water = [
            Event("runnel", time, float(rng.beta(2, 2.5)), float(rng.uniform(-1, 1)), float(rng.beta(0.9, 2.5)))
            for time in lanes.happens(rng, 0.05 + 1.1 * rain**1.4)
        ]
        water += [
            Event(
                "drop",
                time,
                float(np.clip(rng.beta(2, 3) + 0.3 * rain.mean(), 0, 1)),
                float(rng.uniform(-1, 1)),
                float(rng.random()),
            )
            for time in lanes.happens(rng, 0.15 + 1.7 * rain)
        ]
        rng.shuffle(water)
        return sorted([*events, *water[: SLOTS - len(events)]], key=lambda e: e.time)

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """A sentence on the rain, the pane, what lies behind and when; parts of it are left out at random."""
        return _caption(segments, rng)

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: gusts and cars passing (40-55 Hz). Back: patter, a tick for each heavy drop (130-220 Hz)."""
        since, until = float(t.min()) - 8, float(t.max()) + 1e-6
        rain, wind = stage.values("rain", t), stage.values("wind", t)
        gust = lanes.envelope(stage.events("gust", since, until), t, 0.35, 0.9)
        cars = _passing(stage.events("passing", since, until), t)
        ticks = lanes.envelope(stage.events("drop", since, until), t, 0.006, 0.06)
        slide = lanes.envelope(stage.events("runnel", since, until), t, 0.25, 1.2)
        seat = 0.03 * rain + 0.12 * wind**2 + 0.22 * gust + 0.4 * cars
        back = 0.42 * rain**1.3 + 0.5 * ticks + 0.05 * slide
        hertz = ((42 + 12 * wind) * seat + (130 + 90 * rain) * back + 0.5) / (seat + back + 0.01)
        day = lanes.slow(lambda s: daylight(stage.static("hour", s)), t)
        warm = lanes.slow(lambda s: stage.static("warmth", s), t)
        celsius = 15.5 + 3.5 * day + 2 * (warm - 0.5) - 2.5 * rain - 2 * wind
        draught = 0.1 + 0.9 * wind + 1.6 * gust
        return lanes.felt(seat, back, hertz, celsius, draught)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Wet stone and cold air through the gap of the window; from the garden earth, leaves and flowers."""
        rain, wind, cars = stage.values("rain", t), stage.values("wind", t), stage.values("life", t)
        night = 1 - lanes.slow(lambda s: daylight(stage.static("hour", s)), t)
        garden = lanes.slow(lambda s: float(is_garden(stage.segment(s).variant)), t)
        released = {
            "rain on stone": (0.2 + 0.6 * rain) * (1 - 0.4 * garden),
            "ozone": 0.28 * np.clip(rain - 0.4, 0, 1),
            "cold air": 0.12 + 0.45 * night + 0.25 * wind,
            "wet earth": 0.12 * rain + garden * (0.1 + 0.58 * rain),
            "leaf litter": garden * (0.09 + 0.3 * rain),
            "flowers": garden * 0.35 * (1 - night) * np.clip(0.8 - rain, 0, 1),
            "dust": (1 - garden) * 0.25 * np.clip(0.5 - rain, 0, 1),
            "hot metal": (1 - garden) * 0.15 * cars,
        }
        draught = 0.4 + 0.6 * wind  # brings it in
        return lanes.released({note: strength * draught for note, strength in released.items()}, len(t))

    def taste(self, stage: Stage, t: Array) -> Array:
        """Nothing: the rain stays outside."""
        return np.zeros((len(t), 5))

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Rain outside, patter on the glass, a gutter, drops where they are seen, gusts, tyres on the wet street."""
        before = int(_ROOM_SECONDS * rate)
        dry = _dry(stage, start - before, n + before, rate)
        wet = reverberate(dry, rate, _ROOM_SECONDS, 0.22, damping=2500)[before:]
        return np.asarray(0.89 * np.tanh(wet / 0.89), np.float32)

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """See rain_glass_picture.py."""
        return rain_glass_picture.picture(stage, t, view)


_ROOM_SECONDS = 0.35


@lru_cache(maxsize=4)
def _taps(rate: int) -> list[Array]:
    """Small drops on the pane: a click and a short ring of the glass."""
    rng = np.random.default_rng(7)
    waves = []
    for _ in range(64):
        hz = float(np.exp(rng.uniform(np.log(600), np.log(5200))))
        wave = 0.7 * ring(rate, 0.03, [(hz, 1.0, 0.02), (hz * 1.83, 0.4, 0.012)], attack=0.0004)
        wave[: int(0.012 * rate)] += 0.6 * burst(rng, rate, 0.012, 700, 8000, attack=0.0003)[: int(0.012 * rate)]
        waves.append(wave)
    return waves


@lru_cache(maxsize=4)
def _drips(rate: int) -> list[Array]:
    """Drips in the gutter: a bubble that closes, ringing higher as it does."""
    rng = np.random.default_rng(8)
    t = np.arange(int(0.14 * rate)) / rate
    pitches = np.exp(rng.uniform(np.log(500), np.log(1300), 12))
    return [np.sin(2 * np.pi * hz * t * (1 + 2.2 * t)) * np.exp(-38 * t) * np.minimum(1, t / 0.002) for hz in pitches]


def _scatter(
    out: Sound,
    start: int,
    rate: int,
    key: Sequence[int],
    waves: list[Array],
    density: Callable[[float], float],
    width: float,
) -> None:
    """Add grains at random, `density` a second, each quarter of a second by a counter of its own, in place."""
    for tick in range(int(np.floor(start / rate * 4)) - 1, int(np.ceil((start + len(out)) / rate * 4))):
        rng = np.random.default_rng([*key, tick & 0xFFFFFFFF])
        count = int(rng.poisson(density(tick / 4) / 4))
        times, pans = (tick + rng.random(count)) / 4, rng.uniform(-width, width, count)
        loud = 0.1 + rng.exponential(0.5, count).clip(0, 3.5)
        for time, x, gain, k in zip(times, pans, loud, rng.integers(len(waves), size=count), strict=True):
            add_grain(out, start, rate, float(time), gain * waves[k], float(x))


def _dry(stage: Stage, start: int, n: int, rate: int) -> Sound:
    t = (start + np.arange(n)) / rate
    grid = np.arange(np.floor(t[0] * 64), np.ceil(t[-1] * 64) + 1) / 64
    variant = stage.segment(start / rate).variant
    since, until = float(grid[0]) - 8, float(grid[-1]) + 0.2
    gusts, density = stage.events("gust", since, until), (rate / 48000) ** 0.5

    def weather(f: Array, s: float) -> Array:
        rain, wind = stage.value("rain", s), stage.value("wind", s)
        gust = float(lanes.envelope(gusts, np.array([s]), 0.35, 0.9)[0])
        roof = (0.024 + 0.13 * rain**1.3) * (band(f, 300, 1900, 1.4) + 0.13 * rain * band(f, 2500, 7000, 1))
        howl = resonance(f, 240 + 260 * wind + 160 * gust, 7) * (0.3 * wind**2 + 0.25 * gust)
        rumble = 0.12 * rain * band(f, 50, 200, 1) + 0.25 * (wind**1.5 + gust) * band(f, 40, 160, 1)
        return np.asarray(density * (roof + rumble + howl))

    noise = shaped_noise(f"rain on glass {variant}", start, n, rate, weather, channels=3)
    out = np.asarray(0.8 * noise[:, :2] + 0.6 * noise[:, 2:], np.float32)  # the sides share a part, as in the open
    _scatter(
        out,
        start,
        rate,
        (1, variant),
        [0.09 * w for w in _taps(rate)],
        lambda s: 3 + 190 * stage.value("rain", s) ** 1.3,
        0.9,
    )
    gutter = 0.7 if variant % 2 else -0.7
    drips = np.zeros_like(out)
    _scatter(
        drips,
        start,
        rate,
        (2, variant),
        [0.06 * w for w in _drips(rate)],
        lambda s: 0.5 + 4 * stage.value("rain", s),
        0.1,
    )
    out += drips * np.array([1 - 0.8 * (gutter > 0), 1 - 0.8 * (gutter < 0)], np.float32)
    for e in stage.events("drop", since, until):
        hz = 1500 - 700 * e.strength
        wave = ring(rate, 0.09, [(hz, 1, 0.05), (hz * 2.4, 0.5, 0.03), (hz * 4.1, 0.25, 0.02)], attack=0.0006)
        wave[: int(0.02 * rate)] += burst(np.random.default_rng(int(e.time * 512)), rate, 0.02, 900, 7000)[
            : int(0.02 * rate)
        ]
        add_grain(out, start, rate, e.time, (0.05 + 0.22 * e.strength) * wave, 0.9 * e.x)
    return out + _cars(stage, t, grid, start, rate)


def _cars(stage: Stage, t: Array, grid: Array, start: int, rate: int) -> Sound:
    """Tyres on the wet street: a hiss that comes from one side and goes to the other."""
    out = np.zeros((len(t), 2), np.float32)
    density = (rate / 48000) ** 0.5
    for e in stage.events("passing", float(grid[0]) - 8, float(grid[-1])):
        near = _passing([e], grid)
        if near.max() < 1e-3:
            continue

        def wet(f: Array, s: float) -> Array:
            return np.asarray(density * (0.5 * band(f, 500, 2600, 1) + 0.9 * band(f, 35, 110, 1.5)))

        tyres = shaped_noise(f"tyres {e.time:.2f}", start, len(t), rate, wet)
        side = np.sign(e.x) * np.clip((NEAREST - (grid - e.time)) / 1.2, -1, 1)
        angle = (np.interp(t, grid, side) + 1) * np.pi / 4
        gain = 0.3 * np.interp(t, grid, near)
        out += (tyres * np.stack([gain * np.cos(angle), gain * np.sin(angle)], -1)).astype(np.float32)
    return out


_DAY = ("by day", "in the daytime", "during the day")
_WHEN = {
    "night": ("at night", "in the night", "late at night", "after dark", "around midnight", "by night", "tonight"),
    "dawn": ("at dawn", "at daybreak", "at first light", "at sunrise", "as the day breaks"),
    "morning": (*_DAY, "in the morning", "this morning", "before noon"),
    "noon": (*_DAY, "at noon", "at midday", "in the middle of the day"),
    "afternoon": (*_DAY, "in the afternoon", "this afternoon", "after lunch"),
    "dusk": ("at dusk", "in the evening", "at nightfall", "at twilight", "as evening falls"),
}
_RAIN = (
    (
        "a light drizzle",
        "soft rain",
        "gentle rain",
        "a few drops of rain",
        "faint rain",
        "slow, quiet rain",
        "weak rain",
    ),
    ("steady rain", "rain", "ordinary rain", "even rain", "moderate rain", "rain that keeps falling"),
    ("heavy rain", "pouring rain", "a downpour", "driving rain", "strong rain", "torrential rain", "a cloudburst"),
)
_SHORT = (("drizzle", "gentle rain", "light rain"), ("rain", "steady rain"), ("heavy rain", "downpour", "pouring rain"))
_FALLS = ("on the window", "on the glass", "on a window pane", "against the window", "on the windowpane", "on glass")
_BEHIND = {
    (False, False): (
        "a grey street behind it", "wet roofs and traffic beyond", "a blurred city outside", "the town out of focus",
        "buildings behind the pane",
    ),
    (False, True): (
        "blurred city lights behind it", "street lamps out of focus", "bokeh of headlights and neon",
        "the lit city beyond", "coloured lights of the town",
    ),
    (True, False): (
        "a green garden behind it", "trees and hedges out of focus", "wet leaves outside", "a blurred garden beyond",
    ),
    (True, True): (
        "a dark garden behind it", "the black garden outside", "a garden in the dark", "dim trees beyond the pane",
    ),
}  # fmt: skip
_WIND = (
    ("no wind", "the air is still", "hardly a breath of wind"),
    ("some wind", "a breeze", "a little wind"),
    ("gusts of wind", "strong wind", "the wind shakes the window", "a howling wind", "stormy gusts"),
)
_MIST = (
    ("the pane is clear", "clear glass"),
    ("a little mist on the glass",),
    ("the glass is misted over", "a fogged pane", "steam on the pane"),
)
_RUNS = (
    ("drops hang still", "a drop creeps down now and then", "small drops on the pane"),
    ("drops run down", "runnels wander down the pane"),
    ("water streams down the pane", "runnels race down and merge", "drops beat on the glass"),
)
_CARS = (
    ("an empty street", "no traffic"),
    ("a car now and then",),
    ("cars hiss past", "busy traffic", "car after car passes"),
)


def _caption(segments: list[Segment], rng: np.random.Generator) -> str:
    pick, mean = partial(words.pick, rng=rng), partial(words.mean_where_given, segments)
    first = segments[0]
    hour, garden = first.statics["hour"], is_garden(first.variant)
    dark, rain = daylight(hour) < 0.5, words.level(mean("rain"), rng)
    when = pick(_WHEN[light.part_of_day(hour + rng.normal(0, 0.004))])
    style = rng.random()
    if style < 0.15:
        return pick((f"{pick(_SHORT[rain])} {pick(_FALLS)}", f"{pick(_SHORT[rain])} {pick(_FALLS)}, {when}"))
    subject = f"{pick(_RAIN[rain])} {pick(_FALLS)}"
    more = [when, pick(_BEHIND[garden, dark])]
    if rng.random() < 0.4:
        more.append(pick(_RUNS[words.level(mean("rain"), rng)]))
    if rng.random() < 0.35:
        more.append(pick(_WIND[words.level(mean("wind"), rng)]))
    if rng.random() < 0.25:
        more.append(pick(_MIST[words.level(mean("steam"), rng)]))
    if not garden and rng.random() < 0.25:
        more.append(pick(_CARS[words.level(mean("life"), rng)]))
    if style < 0.35:
        return f"{when}, {subject}, {pick(more[1:])}"
    if style < 0.45:
        opening = pick(("a window", "looking out of the window", "behind the pane"))
        return f"{opening} {when}: {', '.join([subject, *more[1:]])}"
    kept = [m for m in more if rng.random() < 0.75]
    return ", ".join([subject, *kept])
