"""Shore: waves come in, break and run up the sand; gulls, salt on the wind and on the lips."""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import acoustics, lanes, light, words
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.dreamscapes.shore_picture import BORE_SPEED, MEMORY, Picture, metres
from stale_diffusion.scene import Event, Segment, Stage, fit_curve
from stale_diffusion.senses.base import SEGMENT_SECONDS
from stale_diffusion.senses.smell import NOTES

WIND_SPEED = 16.0  # m/s at wind = 1

HELD_OUT_WORDINGS = (
    ("Listen to the ocean hurling itself at the beach under the stars.", {"hour": "night", "strength": "strong"}),
    ("ripples barely touch the pebbles at midday", {"hour": "day", "strength": "weak"}),
    ("I want to fall asleep where tiny waves lap in the moonlight", {"hour": "night", "strength": "weak"}),
    ("A gale at two in the afternoon, white horses and thundering rollers", {"hour": "day", "strength": "strong"}),
    ("an empty seaside, sunlit, hardly a breath of air", {"hour": "day", "strength": "weak"}),
    ("winter storm on the coast after dark, spray flying", {"hour": "night", "strength": "strong"}),
)

_WHEN = {
    "night": ("at night", "under the moon", "in the dark", "late at night", "by night", "after midnight"),
    "dawn": ("at dawn", "at sunrise", "as the sun comes up", "at first light", "early in the morning"),
    "morning": ("in the morning", "on a bright morning", "before noon", "by day"),
    "noon": ("at noon", "at midday", "under a high sun", "in the middle of the day"),
    "afternoon": ("in the afternoon", "late in the day", "on a long afternoon", "by day"),
    "dusk": ("at dusk", "at sunset", "in the evening", "as the sun goes down", "at nightfall"),
}
_WAVES = (
    (
        "tiny waves lap at the sand",
        "ripples on the beach",
        "a flat calm sea",
        "small waves whisper",
        "gentle lapping water",
    ),
    ("soft waves roll in", "a light swell", "low surf on the sand", "easy waves wash ashore", "a quiet surf"),
    ("waves break on the beach", "steady surf", "the tide comes in", "rolling breakers", "an even swell runs in"),
    ("big waves crash on the shore", "heavy surf", "strong breakers", "a rough sea", "tall waves fall on the beach"),
    ("huge waves pound the shore", "thunderous surf", "a wild, stormy sea", "towering breakers", "a raging sea"),
)
_WIND = (
    ("no wind", "still air", "hardly any wind"),
    ("a light breeze", "a gentle breeze", "a soft sea breeze"),
    ("a fresh wind", "a steady breeze", "wind off the sea"),
    ("a strong wind", "a stiff wind", "gusts from the sea"),
    ("a howling gale", "a storm wind", "furious gusts"),
)
_SKY = (
    ("a clear sky", "not a cloud", "a cloudless sky"),
    ("a few clouds", "scattered clouds", "fair-weather clouds"),
    ("a cloudy sky", "broken clouds", "drifting clouds"),
    ("an overcast sky", "a grey sky", "heavy clouds"),
)
_PLACE = ("the shore", "a beach", "the seaside", "the coast", "an empty beach", "the ocean", "a sandy bay", "the sea")
_FORMS = (
    "{waves} {when}", "{waves}, {wind}", "{place} {when}, {waves}", "{place} {when}: {waves}, {wind}, {sky}",
    "{waves}", "{when}, {waves} under {sky}", "{place}, {sky}, {wind}", "{waves} and {wind} {when}",
    "{waves}, {sky} {when}, {extra}", "{place} {when}", "{extra} and {waves}", "{wind} and {waves}, {sky}",
)  # fmt: skip


def _waves(stage: Stage, t: Array) -> tuple[Array, Array, Array]:
    """Times of breaking, strengths and metres, each (E, 1), of the waves that matter to times t."""
    when, strength, distance = lanes.recent(stage, "wave", t, MEMORY)
    return when, strength, metres(distance)


def _gusts(stage: Stage, t: Array) -> Array:
    """What gusts add to the curve `wind`, (T,)."""
    when, strength, _ = lanes.recent(stage, "gust", t, MEMORY)
    return np.asarray(0.5 * (strength * lanes.pulse(t - when, 0.5, 1.5)).sum(0))


def _surf(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """Shaped noise of sea and wind, each ear with its own share of every wave, (N, 2)."""
    centre = np.array([(start + n / 2) / rate])
    waves = [e for e in stage.events("wave", float(centre[0]) - n / rate - MEMORY, float(centre[0]) + n / rate + 1)]
    times, strengths, far, pan = (
        np.array([(e.time, e.strength, float(metres(np.array(e.distance))), e.x) for e in waves]).reshape(-1, 4).T
    )
    ears = (np.sqrt(0.5 - 0.32 * pan), np.sqrt(0.5 + 0.32 * pan))

    def spectrum(f: Array, seconds: float, ear: int) -> Array:
        now = np.array([seconds])
        swell, wind = (
            stage.value("swell", seconds),
            float(np.clip(stage.value("wind", seconds) + _gusts(stage, now)[0], 0, 1.2)),
        )
        age = seconds - times
        power = strengths**1.35 / (0.55 + far / 28) * ears[ear]
        roar = (power * lanes.pulse(age - far / 343, 0.2, 0.95)).sum()
        hiss = (power * lanes.pulse(age - 0.2, 0.45, 1.0)).sum()
        wash = (strengths**0.5 * power * lanes.pulse(age - 0.6 * far / BORE_SPEED, 0.9, 1.7)).sum()
        fall = 1 / (1 + (f / 9000) ** 2)  # air and distance take the top
        sea = (0.006 + 0.035 * swell**1.3) * acoustics.band(f, 110, 700, 1.0)
        sea = sea + 0.95 * roar * acoustics.band(f, 110, 520, 1.1) + 0.55 * hiss * acoustics.band(f, 420, 2700, 0.9)
        sea = (sea + 0.17 * wash * acoustics.band(f, 1500, 7000, 1.0)) * fall
        air = 0.22 * wind**2 * acoustics.band(f, 45, 170, 1.3) + 0.03 * wind**1.5 * acoustics.resonance(
            f, 420 + 350 * wind, 1.2
        )
        return np.asarray((1.75 * sea + air * fall + 0.0015) * np.sqrt(f[-1] / 24000))

    name = f"shore {stage.segment(start / rate).variant}"
    sides = [acoustics.shaped_noise(f"{name} {ear}", start, n, rate, partial(spectrum, ear=ear), 1) for ear in (0, 1)]
    return np.concatenate(sides, 1)


def _bubbles(stage: Stage, tick: int, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Foam that fizzes: bursting bubbles in a quarter of a second, more where a wash runs."""
    now = np.array([tick / 4])
    when, strength, far = _waves(stage, now)
    wash = float((strength * lanes.pulse(now - when - 0.6 * far / BORE_SPEED, 1.0, 3.0)).sum())
    rng = np.random.default_rng([71, stage.segment(tick / 4).variant, max(tick, 0)])
    for _ in range(rng.poisson(40 * min(wash, 1.2)) if tick >= 0 else 0):
        time, hz = (tick + rng.random()) / 4, float(np.exp(rng.uniform(np.log(1200), np.log(7000))))
        wave = acoustics.ring(rate, 0.012, [(hz, 1.0, 0.010)], 0.0006)
        acoustics.add_grain(out, start, rate, time, 0.03 * rng.random() ** 3 * wave, float(rng.uniform(-1, 1)))


def gull(stage: Stage, e: Event, out: NDArray[np.float32], start: int, rate: int) -> None:
    """A gull: one to four falling cries, a harmonic series through a throat."""
    rng = np.random.default_rng([72, stage.segment(e.time).variant, int(e.time * 128)])
    pitch, at = rng.uniform(780, 1150), e.time
    for _ in range(int(rng.integers(1, 5))):
        seconds = rng.uniform(0.22, 0.5)
        s = np.arange(int(seconds * rate)) / rate / seconds
        hz = pitch * (0.82 + 0.5 * np.sin(np.pi * np.minimum(s * 1.25, 1)) ** 0.8 - 0.22 * s)
        phase = 2 * np.pi * np.cumsum(hz) / rate + 0.5 * np.sin(2 * np.pi * 38 * s * seconds)
        cry = sum(
            a * np.sin(k * phase) for k, a in ((1, 0.5), (2, 1.0), (3, 0.7), (4, 0.3), (5, 0.15)) if k * 1700 < rate / 2
        )
        cry = cry * np.sin(np.pi * s) ** 0.6 * (1 - 0.4 * s)
        acoustics.add_grain(out, start, rate, at, 0.022 * e.strength / (0.4 + 1.6 * e.distance) * cry, e.x)
        at += seconds * rng.uniform(1.1, 1.6)


@final
class Shore(Place):
    """A sandy shore; event.distance of a wave: where it breaks, 7 to 36 m away."""

    name = "shore"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """Calm to wild: the swell follows the wind, clouds and haze follow both; waves come in sets."""
        force = rng.beta(1.0, 1.2)
        wind = drift(rng, segments, 0.05 + 0.75 * np.clip(force + rng.normal(0, 0.12), 0, 1), 0.03 + 0.12 * force, 6)
        swell = drift(rng, segments, 0.06 + 0.86 * np.clip(force + rng.normal(0, 0.12), 0, 1), 0.03 + 0.05 * force, 14)
        near = drift(rng, segments, rng.uniform(0.15, 0.75), 0.18, 8)
        cloud = float(np.clip(rng.beta(1.1, 1.3) * 0.8 + 0.35 * force - 0.05, 0, 1))
        sun = drift(rng, segments, 1 - 0.55 * cloud, 0.25 * min(1.0, 2 * cloud), 8)
        life = drift(rng, segments, rng.beta(1, 2) * 0.8, 0.1, 8)
        statics = self._statics(rng, force, cloud)
        variant, creep = int(rng.integers(65536)), rng.normal(0, 0.0006)
        hour, out, due = light.draw_hour(rng), [], rng.uniform(0, 3)
        if light.part_of_day(hour) == "night":
            life = life * 0.15
        for i in range(segments):
            events, due = self._events(rng, wind[i], swell[i], near[i], life[i], due)
            curves = {"wind": wind[i], "swell": swell[i], "near": near[i], "light": sun[i], "life": life[i]}
            fitted = {name: fit_curve(samples) for name, samples in curves.items()}
            at = {**statics, "hour": float((hour + i * creep) % 1)}
            out.append(Segment(self.name, self.name, variant, at, fitted, events))
        return out

    @staticmethod
    def _statics(rng: np.random.Generator, force: float, cloud: float) -> dict[str, float]:
        unit = anywhere(rng, "height", "pan", "focal", "drift")
        look = middling(rng, 0.07, 0, "saturation", "exposure", "contrast")
        warmth = float(np.clip(rng.normal(0.52, 0.1), 0, 1))
        haze = float(np.clip(rng.beta(1.2, 2.5) + 0.2 * force * rng.random(), 0, 1))
        return {**unit, **look, "warmth": warmth, "cloud": cloud, "haze": haze, "sun": light.draw_sun(rng)}

    @staticmethod
    def _events(
        rng: np.random.Generator, wind: Array, swell: Array, near: Array, life: Array, due: float
    ) -> tuple[tuple[Event, ...], float]:
        """Waves at the swell's period, gusts and gulls at their curves' rates; `due` is when the next wave breaks."""
        events = []
        while due < SEGMENT_SECONDS:
            k = min(15, int(due * 4))
            strength = float(np.clip(swell[k] * rng.uniform(0.45, 1.2) + 0.05, 0.04, 1))
            distance = float(np.clip(0.75 * swell[k] + 0.35 * (0.6 - near[k]) + rng.normal(0, 0.08), 0, 1))
            events.append(Event("wave", due, strength, float(rng.uniform(-0.9, 0.9)), distance))
            due += float(np.clip(rng.normal(2.6 + 2.2 * swell[k], 0.6), 1.4, 7))
        for _ in range(min(3, rng.poisson(2.2 * max(0.0, wind.mean() - 0.25)))):
            strength = float(np.clip(wind.mean() * rng.uniform(0.4, 1.1), 0, 1))
            events.append(Event("gust", float(rng.uniform(0, 4)), strength, float(rng.uniform(-1, 1)), 0.5))
        for _ in range(min(4, rng.poisson(2.5 * life.mean()))):
            place = float(rng.uniform(-1, 1)), float(rng.random())
            events.append(Event("bird", float(rng.uniform(0, 4)), float(rng.uniform(0.3, 1)), *place))
        return tuple(sorted(events, key=lambda e: e.time)), due - SEGMENT_SECONDS

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """A sentence of 1 to 4 parts: the waves, the wind, the sky, the hour."""
        statics = {"hour": 0.5, "cloud": 0.5, "haze": 0.5, **segments[0].statics}
        mean = {name: words.mean(segments, name) for name in ("wind", "swell", "life", "near")}
        day = light.part_of_day(statics["hour"] + rng.normal(0, 0.004))
        extra = ["the smell of salt", "sea air", "foam on wet sand"]
        extra += ["gulls call", "seagulls overhead"] * 2 if mean["life"] > 0.3 else []
        extra += ["haze on the horizon", "misty air"] if statics["haze"] > 0.5 else []
        extra += ["stars", "moonlight on the water"] if day == "night" and statics["cloud"] < 0.45 else []
        text = str(rng.choice(_FORMS)).format(
            waves=words.graded(_WAVES, mean["swell"], rng),
            wind=words.graded(_WIND, mean["wind"], rng),
            sky=words.graded(_SKY, statics["cloud"], rng),
            when=rng.choice(_WHEN[day]),
            place=rng.choice(_PLACE),
            extra=rng.choice(extra),
        )
        return text[0].upper() + text[1:] + "." if rng.random() < 0.5 else text

    def touch(self, stage: Stage, t: Array) -> Array:
        """Each breaker in the seat (30-50 Hz, 0.25 s attack, 1.8 s decay), its wash on the back (150 Hz)."""
        wind = np.clip(stage.values("wind", t) + _gusts(stage, t), 0, 1)
        swell = stage.values("swell", t)
        when, strength, far = _waves(stage, t)
        crash = (strength**1.3 / (1 + far / 30) * lanes.pulse(t - when - far / 343, 0.25, 1.8)).sum(0)
        wash = (
            strength
            * lanes.pulse(t - when - 0.6 * far / BORE_SPEED, 0.9, 2.5)
            * np.clip((MEMORY - (t - when)) / 2, 0, 1)
        ).sum(0)
        seat = np.clip(0.02 + 0.22 * swell**1.5 + 1.25 * crash, 0, 1)
        back = np.clip(0.02 + 0.10 * swell + 0.10 * wind**2 + 0.45 * wash, 0, 1)
        hertz = (seat * (52 - 20 * swell) + back * 150) / (seat + back)
        return np.stack([seat, back, hertz, self._celsius(stage, t, wind), WIND_SPEED * wind], -1)

    @staticmethod
    def _celsius(stage: Stage, t: Array, wind: Array) -> Array:
        """Felt temperature: 8 degrees at night to 24 at noon, warmer in the sun, up to 9 degrees of wind chill."""
        hour, warmth = (light.over_time(stage, name, t) for name in ("hour", "warmth"))
        high = -np.cos(2 * np.pi * hour)
        day, sun = (1 + high) / 2, 4 * np.clip(2 * high, 0, 1) * stage.values("light", t)
        return np.asarray(8 + 14 * day + 12 * (warmth - 0.5) + sun - 9 * wind)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Sea salt with wind and spray, seaweed from the wet sand, cold air on cold nights."""
        wind, swell, near = (stage.values(name, t) for name in ("wind", "swell", "near"))
        when, strength, _ = _waves(stage, t)
        spray = (strength * lanes.pulse(t - when, 0.4, 2.0)).sum(0)
        out = np.zeros((len(t), len(NOTES)))
        out[:, NOTES.index("sea salt")] = 0.25 + 0.35 * wind + 0.2 * swell + 0.3 * spray
        out[:, NOTES.index("seaweed")] = 0.12 + 0.4 * (1 - near) * (1 - 0.6 * wind) * (
            0.5 + stage.rng("weed", float(t[0])).random()
        )
        out[:, NOTES.index("cold air")] = 0.06 * (12 - self._celsius(stage, t, wind))
        return np.clip(out, 0, 1)

    def taste(self, stage: Stage, t: Array) -> Array:
        """Salt on the lips, as spray comes over."""
        wind, near = stage.values("wind", t), stage.values("near", t)
        when, strength, far = _waves(stage, t)
        spray = (strength / (1 + far / 25) * lanes.pulse(t - when - 0.5, 0.6, 3.0)).sum(0)
        out = np.zeros((len(t), 5))
        out[:, 2] = np.clip(0.03 + (0.15 + 0.85 * wind) * (0.25 * near + 0.9 * spray), 0, 1)
        return out

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Sky, headland, sea, breakers from far to near, and the sand they run up."""
        return Picture(stage, t, view).render()

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """The roar of the surf, each breaker with its wash, fizzing foam, wind, gulls."""
        out = _surf(stage, start, n, rate)
        first, last = start / rate, (start + n) / rate
        for tick in range(int(np.floor(first * 4)) - 1, int(np.ceil(last * 4))):
            _bubbles(stage, tick, out, start, rate)
        for e in stage.events("bird", first - 4, last):
            gull(stage, e, out, start, rate)
        return out
