"""Thunderstorm over open country: lightning is seen, then its thunder heard and felt; wet earth and ozone."""

from __future__ import annotations

from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import acoustics, lanes, light, words
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.dreamscapes.thunderstorm_picture import Picture, metres
from stale_diffusion.scene import Event, Segment, Stage, fit_curve
from stale_diffusion.senses.base import SEGMENT_SECONDS
from stale_diffusion.senses.smell import NOTES

WIND_SPEED = 18.0  # m/s at wind = 1
SOUND_SPEED = 343.0  # m/s
THUNDER_SECONDS = 7.0  # of one thunder
MEMORY = 12.0  # seconds for which a flash or gust matters

HELD_OUT_WORDINGS = (
    ("flashes split the midnight sky and the ground trembles", {"hour": "night", "strength": "strong"}),
    (
        "Somewhere beyond the hills the heavens grumble, sleepy and faint, in the small hours.",
        {"hour": "night", "strength": "weak"},
    ),
    ("it is noon and a cloudburst hammers the fields, bolt after bolt", {"hour": "day", "strength": "strong"}),
    ("a lazy summer shower with one far-off mutter, broad daylight", {"hour": "day", "strength": "weak"}),
    ("Zeus is furious tonight", {"hour": "night", "strength": "strong"}),
    ("afternoon murk, drizzle, the storm has nearly passed", {"hour": "day", "strength": "weak"}),
)

_WHEN = {
    "night": ("at night", "in the dark", "late at night", "by night", "after midnight", "in the black of night"),
    "dawn": ("at dawn", "at sunrise", "at first light", "early in the morning"),
    "morning": ("in the morning", "before noon", "on a dark morning", "by day"),
    "noon": ("at noon", "at midday", "in the middle of the day", "by day"),
    "afternoon": ("in the afternoon", "late in the day", "on a summer afternoon", "by day"),
    "dusk": ("at dusk", "in the evening", "at sunset", "at nightfall"),
}
_STORM = (
    (
        "distant thunder",
        "a faint rumble far away",
        "a storm on the horizon",
        "heat lightning far off",
        "thunder mutters far away",
    ),
    (
        "a storm approaches",
        "thunder in the distance",
        "low thunder over the hills",
        "a passing thunderstorm",
        "lightning beyond the hills",
    ),
    (
        "a thunderstorm",
        "lightning and thunder",
        "thunder rolls over the fields",
        "a summer thunderstorm",
        "flashes and rolling thunder",
    ),
    (
        "a heavy thunderstorm",
        "thunder cracks overhead",
        "lightning strikes close by",
        "a violent storm",
        "a fierce electrical storm",
    ),
)
_RAIN = (
    ("no rain yet", "dry air", "not a drop of rain"),
    ("light rain", "a soft drizzle", "a thin rain", "a few drops of rain"),
    ("rain", "steady rain", "rain falls", "a rain shower"),
    ("heavy rain", "pouring rain", "a downpour", "sheets of rain"),
    ("torrential rain", "a cloudburst", "a deluge", "rain in torrents"),
)
_WIND = (
    ("still air", "no wind", "a dead calm"),
    ("a light wind", "a gentle breeze", "a mild wind"),
    ("a fresh wind", "wind over the fields", "a steady wind"),
    ("a strong wind", "a gusty wind", "wild gusts", "a howling wind"),
)
_PLACE = (
    "open country",
    "the fields",
    "the hills",
    "a wide plain",
    "the countryside",
    "farmland",
    "the valley",
    "the prairie",
)
_FORMS = (
    "{storm} {when}", "{storm}, {rain}", "{storm} over {place} {when}", "{rain} and {storm}, {wind}", "{storm}",
    "{storm} {when}, {rain}, {wind}", "{rain} over {place}, {storm}",
    "{when}, {storm} and {rain}", "{storm} and {wind}",
    "{storm} {when}, {extra}", "{extra}, {storm}, {rain} {when}", "{place} {when}: {rain}, {wind}, {storm}",
)  # fmt: skip


def loudness(strength: Array, far: Array) -> Array:
    """How loud thunder is, (0, 1], from `far` metres: spreading, and the air's absorption."""
    return np.asarray((0.35 + 0.65 * strength) / (1 + far / 800))


def _flashes(stage: Stage, t: Array) -> tuple[Array, Array, Array]:
    """Times of the flash, strengths and metres, each (E, 1), of the lightning that matters to times t."""
    when, strength, distance = lanes.recent(stage, "lightning", t, MEMORY)
    return when, strength, metres(distance)


def rumble(stage: Stage, t: Array) -> Array:
    """The envelope of all thunder at times t, (T,): it begins metres / 343 seconds after each flash."""
    when, strength, far = _flashes(stage, t)
    roll = lanes.pulse(t - when - far / SOUND_SPEED, 0.03 + far / 6000, 1.0 + far / 1600)
    fade = np.clip((MEMORY - (t - when)) / 2, 0, 1)
    return np.asarray((loudness(strength, far) * roll * fade).sum(0))


def gusts(stage: Stage, t: Array) -> Array:
    """What gusts add to the curve `wind`, (T,)."""
    when, strength, _ = lanes.recent(stage, "gust", t, MEMORY)
    return np.asarray(0.5 * (strength * lanes.pulse(t - when, 0.6, 1.8)).sum(0))


def _weather(stage: Stage, f: Array, seconds: float) -> Array:
    """Amplitude spectrum of rain on grass and wind over open country."""
    rain, now = stage.value("rain", seconds), np.array([seconds])
    wind = float(np.clip(stage.value("wind", seconds) + gusts(stage, now)[0], 0, 1.2))
    patter = 0.15 * rain**1.2 * acoustics.band(f, 900, 4500, 0.9) + 0.09 * rain**2 * acoustics.band(f, 150, 900, 1.0)
    air = 0.28 * wind**2 * acoustics.band(f, 40, 170, 1.3) + 0.06 * wind**1.5 * acoustics.resonance(
        f, 330 + 380 * wind, 1.4
    )
    return np.asarray((0.75 * (patter + air) + 0.002) * np.sqrt(f[-1] / 24000))


def _drops(stage: Stage, tick: int, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Single drops on leaves and puddles near by, in a quarter of a second."""
    rng = np.random.default_rng([73, stage.segment(tick / 4).variant, max(tick, 0)])
    for _ in range(rng.poisson(28 * stage.value("rain", tick / 4)) if tick >= 0 else 0):
        time, hz, size = (tick + rng.random()) / 4, float(rng.uniform(900, 5000)), float(rng.random() ** 4)
        wave = acoustics.ring(rate, 0.02, [(hz, 1.0, 0.012), (hz * 1.7, 0.5, 0.006)], 0.0008)
        acoustics.add_grain(out, start, rate, time, (0.006 + 0.05 * size) * wave, float(rng.uniform(-1, 1)))


@lru_cache(maxsize=12)
def _thunder(seed: int, far: float, strength: float, x: float, rate: int) -> NDArray[np.float32]:
    """One thunder from its arrival on, (N, 2).

    The channel is a chain of some hundred sources that the air dulls on their way, over a roll of echoes; they arrive
    with the density of the envelope that `rumble` makes felt, in claps (Few 1969).
    """
    rng = np.random.default_rng(seed)
    seconds = np.arange(int(THUNDER_SECONDS * rate)) / rate
    envelope = lanes.pulse(seconds, 0.03 + far / 6000, 1.0 + far / 1600)
    steps = np.arange(0, THUNDER_SECONDS, 0.02)
    claps = np.exp(0.75 * np.convolve(rng.standard_normal(len(steps) + 20), np.hanning(21) / 2.6, "valid"))
    density = np.interp(seconds, steps, claps[: len(steps)]) * envelope
    density[: int(0.01 * rate)] += 0.3 * density.max()
    arrivals = np.searchsorted(np.cumsum(density) / density.sum(), rng.random(500))
    power = rng.standard_normal(500) * (1 + 1.5 * (rng.random(500) < 0.06)) * np.sqrt(rate / 48000)
    power *= np.exp(arrivals / (-1.5 * rate))
    where = np.clip(x + rng.normal(0, 0.35, 500), -1, 1)
    echo = np.convolve(claps[: len(steps)] * np.interp(steps, seconds, envelope), np.exp(-np.arange(40) / 18))[
        : len(steps)
    ]
    train = 0.30 * rng.standard_normal((len(seconds), 2)) * np.interp(seconds, steps, echo / echo.max())[:, None]
    for ear, gain in enumerate((np.sqrt(0.5 - 0.45 * where), np.sqrt(0.5 + 0.45 * where))):
        np.add.at(train[:, ear], np.minimum(arrivals, len(seconds) - 1), power * gain)
    size = int((THUNDER_SECONDS + 1) * rate)
    f = np.fft.rfftfreq(size, 1 / rate).astype(np.float32)[:, None]
    spectrum = np.fft.rfft(train.astype(np.float32), size, axis=0) * f**2 / (f**2 + 50**2) / (1 + (f / 160) ** 2) ** 0.4
    near, late = (
        np.fft.irfft(spectrum / (1 + (f / corner) ** 1.5), size, axis=0)[: len(seconds)]
        for corner in (900000 / (far + 60), 350000 / (far + 400))  # what comes from further up is duller
    )
    roll = late + np.exp(-seconds / 1.2)[:, None] * (near - late)
    fade = np.clip((THUNDER_SECONDS - seconds) / 1.5, 0, 1)[:, None]
    level = float(loudness(np.array(strength), np.array(far)))
    early = np.sqrt((roll[: int(1.5 * rate)] ** 2).mean()) + 1e-9
    return np.asarray(0.22 * level / early * roll * fade, np.float32)


@final
class Thunderstorm(Place):
    """Open country under a storm; event.distance of lightning: 250 to 2700 m away."""

    name = "thunderstorm"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """From far and dry to overhead and wild: the nearer, the more rain, wind and lightning."""
        force = rng.beta(1.0, 1.0)
        near = drift(rng, segments, 0.05 + 0.85 * force, 0.10, 14)
        rain = drift(
            rng, segments, 0.95 * np.clip(1.15 * force - 0.1 + rng.normal(0, 0.15), 0, 1), 0.06 + 0.08 * force, 8
        )
        wind = drift(rng, segments, 0.08 + 0.7 * np.clip(force + rng.normal(0, 0.15), 0, 1), 0.04 + 0.1 * force, 6)
        glow = drift(rng, segments, np.clip(0.15 + 0.6 * force + rng.normal(0, 0.15), 0, 1), 0.12, 8)
        statics = self._statics(rng, force)
        variant, creep = int(rng.integers(65536)), rng.normal(0, 0.0006)
        hour, out = light.draw_hour(rng), []
        for i in range(segments):
            events = self._events(rng, near[i], wind[i], glow[i])
            curves = {"wind": wind[i], "rain": rain[i], "near": near[i], "light": glow[i]}
            fitted = {name: fit_curve(samples) for name, samples in curves.items()}
            at = {**statics, "hour": float((hour + i * creep) % 1)}
            out.append(Segment(self.name, self.name, variant, at, fitted, events))
        return out

    @staticmethod
    def _statics(rng: np.random.Generator, force: float) -> dict[str, float]:
        unit = anywhere(rng, "height", "pan", "focal", "drift")
        look = middling(rng, 0.07, 0, "saturation", "exposure", "contrast")
        warmth = float(np.clip(rng.normal(0.47, 0.09), 0, 1))
        cloud = float(np.clip(0.55 + 0.35 * force + rng.normal(0, 0.1), 0.3, 1))
        haze = float(np.clip(rng.beta(1.2, 2.2) + 0.15 * force, 0, 1))
        return {**unit, **look, "warmth": warmth, "cloud": cloud, "haze": haze, "sun": light.draw_sun(rng)}

    @staticmethod
    def _events(rng: np.random.Generator, near: Array, wind: Array, glow: Array) -> tuple[Event, ...]:
        """Lightning, a Poisson process whose rate and nearness follow `near`; gusts follow the wind."""
        events = []
        for _ in range(min(6, rng.poisson(SEGMENT_SECONDS * (0.05 + 0.20 * near.mean() + 0.05 * glow.mean())))):
            time = float(rng.uniform(0, SEGMENT_SECONDS))
            distance = float(np.clip(0.95 - 0.9 * near[min(15, int(time * 4))] + rng.normal(0, 0.12), 0, 1))
            strength = float(np.clip(rng.beta(2, 2) * 0.8 + 0.25 * near.mean(), 0.05, 1))
            events.append(Event("lightning", time, strength, float(rng.uniform(-0.95, 0.95)), distance))
        for _ in range(min(3, rng.poisson(2.5 * max(0.0, wind.mean() - 0.2)))):
            strength = float(np.clip(wind.mean() * rng.uniform(0.5, 1.2), 0, 1))
            events.append(Event("gust", float(rng.uniform(0, 4)), strength, float(rng.uniform(-1, 1)), 0.5))
        return tuple(sorted(events, key=lambda e: e.time))

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """A sentence of 1 to 4 parts: the storm, the rain, the wind, the hour."""
        statics = {"hour": 0.5, "cloud": 0.5, "haze": 0.5, **segments[0].statics}
        mean = {name: words.mean(segments, name) for name in ("near", "rain", "wind")}
        day = light.part_of_day(statics["hour"] + rng.normal(0, 0.004))
        extra = ["dark clouds", "the sky growls", "storm clouds"]
        extra += ["the smell of wet earth", "mud and wet grass"] if mean["rain"] > 0.3 else ["a heavy, waiting silence"]
        extra += ["the ground shakes"] if mean["near"] > 0.7 else []
        text = str(rng.choice(_FORMS)).format(
            storm=words.graded(_STORM, mean["near"], rng),
            rain=words.graded(_RAIN, mean["rain"], rng),
            wind=words.graded(_WIND, mean["wind"] * 1.2, rng),
            when=rng.choice(_WHEN[day]),
            place=rng.choice(_PLACE),
            extra=rng.choice(extra),
        )
        return text[0].upper() + text[1:] + "." if rng.random() < 0.5 else text

    def touch(self, stage: Stage, t: Array) -> Array:
        """Thunder in the seat (30-60 Hz) as it is heard, rain on the back (170 Hz), the outflow as cool wind."""
        rain, near = stage.values("rain", t), stage.values("near", t)
        wind = np.clip(stage.values("wind", t) + gusts(stage, t), 0, 1)
        thunder = rumble(stage, t)
        seat = np.clip(0.01 + 0.05 * rain**2 + 0.06 * wind**2 + 1.4 * thunder, 0, 1)
        back = np.clip(0.01 + 0.38 * rain**1.3 + 0.25 * thunder, 0, 1)
        hertz = (seat * (30 + 30 * near) + back * 170) / (seat + back)
        hour, warmth = (light.over_time(stage, name, t) for name in ("hour", "warmth"))
        day = (1 - np.cos(2 * np.pi * hour)) / 2
        celsius = 14 + 12 * day + 12 * (warmth - 0.5) - 6 * rain - 5 * wind
        return np.stack([seat, back, hertz, celsius, WIND_SPEED * wind], -1)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Wet earth as rain begins, ozone after close lightning (4 s), cool outflow, dust before the rain."""
        rain, wind, near = (stage.values(name, t) for name in ("rain", "wind", "near"))
        when, strength, far = _flashes(stage, t)
        ozone = (strength / (1 + far / 500) * lanes.pulse(t - when - 0.5, 1.0, 4.0)).sum(0)
        out = np.zeros((len(t), len(NOTES)))
        out[:, NOTES.index("ozone")] = 0.05 + 0.25 * near + 1.1 * ozone
        out[:, NOTES.index("wet earth")] = 0.05 + 1.6 * np.sqrt(rain) * (1 - 0.55 * rain)
        out[:, NOTES.index("rain on stone")] = 0.45 * rain
        out[:, NOTES.index("cut grass")] = 0.08 + 0.25 * wind * (1 - 0.5 * rain)
        out[:, NOTES.index("cold air")] = 0.35 * wind * (0.3 + 0.7 * rain)
        out[:, NOTES.index("dust")] = np.maximum(0, 0.5 * wind - 1.5 * rain)
        return np.clip(out, 0, 1)

    def taste(self, stage: Stage, t: Array) -> Array:
        """Nothing."""
        return np.zeros((len(t), 5))

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Sky, storm, lightning, hills, fields and the rain before them."""
        return Picture(stage, t, view).render()

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Rain and wind, drops near by, and thunder that arrives metres / 343 seconds after its flash."""
        name = f"storm {stage.segment(start / rate).variant}"
        out = acoustics.shaped_noise(name, start, n, rate, lambda f, s: _weather(stage, f, s))
        first, last = start / rate, (start + n) / rate
        for tick in range(int(np.floor(first * 4)) - 1, int(np.ceil(last * 4))):
            _drops(stage, tick, out, start, rate)
        for e in stage.events("lightning", first - MEMORY - THUNDER_SECONDS, last):
            seed, far = (
                stage.segment(e.time).variant * 512 + int(e.time * 128) % 512,
                float(metres(np.array(e.distance))),
            )
            at, roll = round((e.time + far / SOUND_SPEED) * rate) - start, _thunder(seed, far, e.strength, e.x, rate)
            a, b = max(at, 0), min(at + len(roll), n)
            if a < b:
                out[a:b] += roll[a - at : b - at]
        return np.asarray(0.9 * np.tanh(out / 0.9), np.float32)
