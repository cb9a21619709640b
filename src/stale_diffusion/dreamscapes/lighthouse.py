"""Lighthouse: a coast in fog, the beam that turns through it, the foghorn, a bell buoy, surf on the rocks.

What the scene's words mean here. Curves: steam (how thick the fog is), wind, swell (the sea), light (daylight that
comes through), life (gulls), rain (drizzle in the fog). Events: wave (breaks on the rocks), whistle (a blast of the
foghorn, 1.5 + 2 x strength s), bell (the bell buoy, rung by the swell), bird (a gull), gust, passing (a ship out at
sea). `distance` is 8 to 50 m for waves, 10 to 80 m for gulls, 150 to 900 m for buoy and ship. The variant's bits: 15
a tower with red bands, else a white one; 14 on a rock in the sea, else on a headland; 13 two beams, else one; 12 the
keeper's window is lit.

Shapes: T ticks, N samples, H rows, W columns.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, light, words
from stale_diffusion.dreamscapes.lighthouse_picture import Picture, is_lit
from stale_diffusion.dreamscapes.lighthouse_sound import SPEED, blast, horn_hertz, metres, perform, tower_metres
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.base import SEGMENT_SECONDS

WIND_SPEED = 14.0  # m/s at wind = 1; in more the fog lifts

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("You cannot see your hand; somewhere a lamp swings round, midnight", {"hour": "night", "strength": "strong"}),
    ("A harbour beacon, crystal air and constellations", {"hour": "night", "strength": "weak"}),
    ("noon but everything is milk-white and the siren keeps wailing", {"hour": "day", "strength": "strong"}),
    ("just a whiff of vapour round the tower at lunchtime", {"hour": "day", "strength": "weak"}),
    ("Sunset swallowed whole by a grey wall, the beacon wakes", {"hour": "dusk", "strength": "strong"}),
    ("first light and hardly any murk around the beacon", {"hour": "dawn", "strength": "weak"}),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""

_FOG = (
    ("clear air around a lighthouse", "a lighthouse in clear air", "a lighthouse with hardly any fog",
     "a lighthouse and only a trace of mist", "a lighthouse above a clear sea"),
    ("a lighthouse in thin mist", "a misty coast with a lighthouse", "light mist round a lighthouse",
     "a lighthouse and drifting wisps of fog", "a veil of mist before the lighthouse"),
    ("a lighthouse in the fog", "fog and a lighthouse", "a foggy coast with a lighthouse",
     "a lighthouse in drifting fog", "fog banks around a lighthouse"),
    ("a lighthouse in dense fog", "thick fog that hides the lighthouse", "a lighthouse lost in thick fog",
     "a wall of fog and a lighthouse", "a lighthouse barely seen through heavy fog"),
)  # fmt: skip
_SEA = (
    ("a calm sea", "a still sea", "quiet water below", "hardly a wave", "a sea like glass"),
    ("a gentle swell", "soft waves on the rocks", "small waves", "a low swell"),
    ("waves break on the rocks", "a steady swell", "surf on the rocks", "a choppy sea"),
    ("a heavy sea", "big waves crash on the rocks", "rough seas", "breakers against the cliff"),
)
_WIND = (
    ("no wind", "still air", "windless"),
    ("a light breeze", "a faint sea breeze", "a soft wind"),
    ("a fresh wind", "wind off the sea", "a steady wind"),
    ("a strong wind", "a stiff cold wind", "gusts from the sea"),
)
_WHEN = {
    "night": ("at night", "in the dark", "late at night", "after midnight", "by night", "on a dark night"),
    "dawn": ("at dawn", "at sunrise", "at daybreak", "at first light", "early in the morning"),
    "morning": ("in the morning", "on a grey morning", "before noon", "by day"),
    "noon": ("at noon", "at midday", "in the middle of the day"),
    "afternoon": ("in the afternoon", "late in the day", "on a long afternoon", "by day"),
    "dusk": ("at dusk", "at nightfall", "in the evening", "at sunset", "at twilight"),
}
_WHERE = (
    ("on a headland", "above the cliffs", "on the cliff", "at the end of the cape", "on a rocky coast"),
    ("on a rock in the sea", "on a small island", "on a skerry", "off the coast", "on a reef"),
)
_FORMS = (
    "{fog} {when}", "{fog}, {sea}", "{fog} {when}, {sea}, {wind}", "{when}, {fog}", "{fog} {where} {when}",
    "{sea} and {fog}", "{fog}", "{fog} {where}, {extra}", "{fog} {when}: {extra}, {sea}",
    "{extra} and {fog} {when}", "{sea} {when}, {fog}, {extra}", "{fog} {when}, {extra}, {other}",
    "{fog}, {wind}, {extra} {when}",
)  # fmt: skip


def is_banded(variant: int) -> bool:
    """Whether the tower of a variant has red bands: its highest bit."""
    return variant >= 32768


def on_rock(variant: int) -> bool:
    """Whether it stands on a rock in the sea, else on a headland."""
    return bool(variant >> 14 & 1)


@final
class Lighthouse(Place):
    """A tower on a coast in fog."""

    name = "lighthouse"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """Fog from a trace to a wall; it is thickest in little wind, and then the foghorn blows every 9 to 16 s."""
        calm, hour = rng.beta(1.5, 1.3), light.draw_hour(rng)
        night = light.part_of_day(hour) == "night"
        fog = drift(rng, segments, np.clip(rng.beta(1.4, 1.1) - 0.15 * (1 - calm) + 0.03, 0.02, 0.97), 0.07, 9)
        wind = drift(rng, segments, 0.05 + 0.75 * (1 - calm) * rng.uniform(0.5, 1), 0.05 + 0.08 * (1 - calm), 6)
        swell = drift(rng, segments, 0.06 + 0.8 * np.clip(1 - calm + rng.normal(0, 0.15), 0, 1), 0.06, 12)
        wet = drift(rng, segments, float(rng.beta(1.5, 3)), 0.05, 10) if rng.random() < 0.2 else np.zeros_like(fog)
        life = drift(rng, segments, rng.beta(1, 1.5) * (0.1 if night else 1), 0.05, 8)
        cloud = float(np.clip(rng.beta(1.2, 1.2) + 0.2 * fog.mean(), 0, 1))
        sun = drift(rng, segments, 1 - 0.6 * cloud, 0.15, 8)
        variant = int(rng.integers(65536))
        rates = {"bell": 0.08 + 0.35 * swell, "bird": 0.45 * life, "gust": 0.35 * wind**1.5,
                 "passing": np.full_like(fog, 0.02)}  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 1.8)]
        happened += self._waves(rng, swell) + self._blasts(rng, fog)
        fixed, creep = self._statics(rng, cloud), rng.normal(0, 0.0006)
        statics = [{**fixed, "hour": float((hour + s * creep) % 1)} for s in range(segments)]
        curves = {"steam": fog, "wind": wind, "swell": swell, "light": sun, "life": life, "rain": wet}
        return lanes.assembled(self.name, variant, statics, curves, happened, ("whistle", "wave"))

    @staticmethod
    def _statics(rng: np.random.Generator, cloud: float) -> dict[str, float]:
        return {
            **anywhere(rng, "height", "pan", "focal", "drift"),
            **middling(rng, 0.07, 0, "saturation", "exposure", "contrast"),
            "warmth": float(np.clip(rng.normal(0.46, 0.1), 0, 1)), "cloud": cloud,
            "haze": float(rng.beta(2, 2)), "sun": light.draw_sun(rng),
        }  # fmt: skip

    @staticmethod
    def _waves(rng: np.random.Generator, swell: Array) -> list[tuple[int, Event]]:
        """Waves on the rocks at the swell's period, 4 to 8 s."""
        found, due, end = [], rng.uniform(0, 4), len(swell) * SEGMENT_SECONDS
        while due < end:
            s, k = int(due // SEGMENT_SECONDS), min(15, int(due % SEGMENT_SECONDS * 4))
            strength = float(np.clip(swell[s, k] * rng.uniform(0.5, 1.2) + 0.03, 0.03, 1))
            at = float(rng.uniform(-0.9, 0.9)), float(rng.random())
            found.append((s, Event("wave", due % SEGMENT_SECONDS, strength, *at)))
            due += float(np.clip(rng.normal(4.2 + 2.2 * swell[s, k], 0.8), 2.5, 9))
        return found

    @staticmethod
    def _blasts(rng: np.random.Generator, fog: Array) -> list[tuple[int, Event]]:
        """The foghorn, at its own period, wherever the fog is thick (visibility under about 2 km)."""
        found, period, end = [], rng.uniform(9, 16), len(fog) * SEGMENT_SECONDS
        due, strength, x = rng.uniform(0, period), float(rng.uniform(0.35, 0.9)), float(rng.uniform(-0.4, 0.4))
        while due < end:
            s, k = int(due // SEGMENT_SECONDS), min(15, int(due % SEGMENT_SECONDS * 4))
            if fog[s, k] > 0.38:
                found.append((s, Event("whistle", due % SEGMENT_SECONDS, strength, x, 0.5)))
            due += period
        return found

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """The fog and its lighthouse, the sea, the wind, where, when, and what is heard."""
        first = segments[0]
        part = light.part_of_day(first.statics.get("hour", 0.5))
        mean = {name: words.mean(segments, name) for name in ("steam", "swell", "wind")}
        extra = self._extras(segments, part)
        chosen = [extra[i] for i in rng.permutation(len(extra))]
        fog = int(np.searchsorted((0.2, 0.42, 0.68), mean["steam"] + rng.normal(0, 0.02)))
        text = words.pick(_FORMS, rng).format(
            fog=words.pick(_FOG[fog], rng),
            sea=words.graded(_SEA, mean["swell"], rng),
            wind=words.graded(_WIND, mean["wind"], rng),
            where=words.pick(_WHERE[on_rock(first.variant)], rng),
            when=words.pick(_WHEN[part], rng),
            extra=words.pick(chosen[0], rng),
            other=words.pick(next(c for c in chosen if c != chosen[0]), rng),
        )
        return words.written(text, rng)

    @staticmethod
    def _extras(segments: list[Segment], part: str) -> list[tuple[str, ...]]:
        """Everything true that could be added, each in several wordings."""
        first = segments[0]
        mean = {name: words.mean(segments, name) for name in ("steam", "life", "rain", "wind")}
        count = {
            k: sum(e.kind == k for s in segments for e in s.events) for k in ("whistle", "bell", "bird", "passing")
        }
        lit = is_lit(first.statics.get("hour", 0.5), mean["steam"]) > 0.5
        found: list[tuple[str, ...]] = [("the smell of salt", "sea air", "seaweed on the rocks", "cold damp air"),
                 ("a white tower", "an old white lighthouse") if not is_banded(first.variant) else
                 ("a tower with red bands", "a red and white lighthouse")]  # fmt: skip
        if lit:
            found += [("the beam sweeps through the fog", "a turning beam", "the light turns", "the beam goes round",
                       "a sweeping light")] * 2  # fmt: skip
        if count["whistle"]:
            found += [("the foghorn sounds", "a foghorn", "the low call of the foghorn", "the horn booms")] * 3
        if count["bell"]:
            found += [("a bell buoy rings", "a bell out on the water", "the bell of a buoy")]
        if count["bird"]:
            found.append(("gulls cry", "seagulls call", "gulls wheel overhead"))
        if count["passing"]:
            found.append(("a ship passes unseen", "the engine of a ship far out"))
        if mean["rain"] > 0.15:
            found.append(("a fine drizzle", "drizzle in the air", "it drizzles"))
        if first.variant >> 12 & 1 and part in ("night", "dusk", "dawn"):
            found.append(("a lit window", "the keeper's window glows"))
        if mean["steam"] < 0.3 and part == "night" and first.statics.get("cloud", 0.5) < 0.4:
            found.append(("stars over the sea", "a starry sky"))
        return found

    def touch(self, stage: Stage, t: Array) -> Array:
        """The foghorn in the seat at its own pitch (0.5), as late as it is heard; waves (45 Hz, 0.3 s attack, 1.6 s
        decay), their wash and the wind on the back. Air 5 to 14 C, damp: fog takes another 2.5 C, wind up to 7."""
        wind, fog = stage.values("wind", t), stage.values("steam", t)
        swell, gust = stage.values("swell", t), lanes.pulses(stage, "gust", t, 0.5, 1.2)
        away = lanes.constant(stage, t, lambda s: tower_metres(s.variant))
        horn = 0.5 * blast(stage, t, away / SPEED)
        when, strength, distance = lanes.recent(stage, "wave", t, 10.0)
        far = metres(distance)
        crash = (strength**1.3 / (1 + far / 30) * lanes.pulse(t - when - far / 343, 0.3, 1.6)).sum(0)
        wash = (strength / (1 + far / 30) * lanes.pulse(t - when - 0.8, 0.9, 2.0)).sum(0)
        blow = np.clip(wind + 0.5 * gust, 0, 1.3)
        parts = np.stack([0.02 + 0.12 * swell**1.5 + 0.9 * crash, horn, 0.02 + 0.12 * blow**1.5,
                          0.35 * wash, 0.10 * stage.values("rain", t)])  # fmt: skip
        pitch = lanes.constant(stage, t, lambda s: horn_hertz(s.variant))
        hertz = (parts[[0, 2, 3, 4]] * np.array([45, 60, 150, 170])[:, None]).sum(0) + parts[1] * pitch
        hertz = hertz / parts.sum(0)
        hour, warmth = (light.over_time(stage, name, t) for name in ("hour", "warmth"))
        air = 9.5 + 4.5 * light.sun_height(hour) + 8 * (warmth - 0.5) - 2.5 * fog - 7 * np.clip(blow, 0, 1)
        return lanes.felt(parts[:2].sum(0), parts[2:].sum(0), hertz, air, 0.3 + WIND_SPEED * blow)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Sea salt with wind and breaking waves; seaweed on the rocks; wet rock in fog and drizzle; cold air."""
        wind, fog, swell = (stage.values(name, t) for name in ("wind", "steam", "swell"))
        when, strength, _ = lanes.recent(stage, "wave", t, 10.0)
        spray = (strength * lanes.pulse(t - when, 0.4, 2.0)).sum(0)
        weed = lanes.constant(stage, t, lambda s: np.random.default_rng([s.variant, 64]).uniform(0.5, 1.3))
        cold = lanes.between(0.6, -0.6, light.sun_height(light.over_time(stage, "hour", t)))
        return lanes.released(
            {
                "sea salt": 0.22 + 0.25 * wind + 0.2 * swell + 0.25 * spray + 0.05 * fog,
                "seaweed": weed * (0.26 - 0.12 * swell) * (1 - 0.5 * wind) + 0.05,
                "rain on stone": 0.06 + 0.22 * fog + 0.4 * stage.values("rain", t),
                "cold air": 0.10 + 0.30 * cold + 0.2 * wind + 0.12 * fog,
            },
            len(t),
        )

    def taste(self, stage: Stage, t: Array) -> Array:
        """Salt on the lips: a little in the fog (its drops form on sea salt), more as spray comes over."""
        when, strength, distance = lanes.recent(stage, "wave", t, 12.0)
        spray = (strength / (1 + metres(distance) / 25) * lanes.pulse(t - when - 0.8, 0.6, 3.0)).sum(0)
        wind, fog = stage.values("wind", t), stage.values("steam", t)
        out = np.zeros((len(t), 5))
        out[:, 2] = np.clip(0.04 + 0.10 * fog + (0.12 + 0.7 * wind) * spray, 0, 1)
        return out

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Sky, sea, cliffs and tower with the beam through the fog."""
        return Picture(stage, t, view).render()

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Swell and surf on rocks, the foghorn and its echo, the bell buoy, gulls, wind."""
        return perform(stage, start, n, rate)
