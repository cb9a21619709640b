"""Meadow: wind in tall grass, cloud shadows over the hills, larks by day and crickets by night.

What the scene's words mean here. Curves: wind, light (how much sun comes between the clouds), rain (how wet a shower
has left the grass; none falls), life (insects and birds). Events: gust (a front that runs through the grass), bird (a
lark by day, a quail at dusk and by night), passing (a bumblebee close by), bell (a cowbell). `distance` is 15 to 150 m
for birds and bells. The variant's bits: 15 a mountain pasture with cowbells, else low hills; 14 and 13 which flowers
(FLOWERS); 12 dry straw-coloured grass, else green; 11 a lone tree.

Shapes: T ticks, N samples, H rows, W columns.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, light, words
from stale_diffusion.dreamscapes.meadow_picture import Picture
from stale_diffusion.dreamscapes.meadow_sound import WIND_SPEED, perform
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.scene import Segment, Stage

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Not a blade moves, bees everywhere, lunchtime heat", {"hour": "day", "strength": "weak"}),
    ("The whole hillside ripples like an ocean at noon, hats fly off!", {"hour": "day", "strength": "strong"}),
    (
        "lying on my back among the stalks, counting constellations, all is hushed",
        {"hour": "night", "strength": "weak"},
    ),
    ("A blustery night out on the prairie", {"hour": "night", "strength": "strong"}),
    ("sundown paints a silent hayfield amber", {"hour": "dusk", "strength": "weak"}),
    ("first rays over dewy stalks that bend flat in the gusts", {"hour": "dawn", "strength": "strong"}),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""

FLOWERS = ("poppies", "buttercups", "daisies", "clover")
_FLOWER_WORDS = {
    "poppies": ("red poppies", "poppies and cornflowers", "poppies in the grass", "wildflowers and poppies"),
    "buttercups": ("yellow buttercups", "buttercups", "yellow wildflowers", "dandelions and buttercups"),
    "daisies": ("white daisies", "ox-eye daisies", "daisies in the grass", "white wildflowers"),
    "clover": ("purple clover", "clover and thistles", "violet wildflowers", "pink clover in bloom"),
}
_GRASS = (
    ("a still meadow", "a meadow without a breath of wind", "motionless tall grass", "a calm field of grass",
     "a quiet grassy field", "a windless meadow", "a hushed meadow"),
    ("a gentle breeze in a meadow", "grass that stirs in a light breeze", "a meadow in a soft wind",
     "tall grass swaying gently", "a breeze in a field of tall grass", "grasses nodding in a mild breeze"),
    ("wind in the meadow", "waves of wind in the tall grass", "a windy meadow", "grass rippling in the wind",
     "a field of tall grass in the wind", "wind combing through the grass"),
    ("a strong wind over the meadow", "gusts that flatten the grass", "a meadow in a stiff wind",
     "a stormy wind in the tall grass", "grass whipped by the wind", "hard gusts over a grassy field"),
)  # fmt: skip
_WHEN = {
    "night": ("at night", "in the moonlight", "late at night", "after midnight", "in the dark", "on a summer night"),
    "dawn": ("at dawn", "at sunrise", "at daybreak", "early in the morning", "at first light"),
    "morning": ("in the morning", "on a summer morning", "before noon", "by day"),
    "noon": ("at noon", "at midday", "in the middle of the day", "under a high sun"),
    "afternoon": ("in the afternoon", "on a long afternoon", "late in the day", "on a lazy afternoon"),
    "dusk": ("at dusk", "at sunset", "in the evening", "as the sun goes down", "at twilight"),
}
_SKY = (
    ("a clear sky", "a cloudless sky", "not a cloud in the sky", "a wide open sky"),
    ("a few clouds", "small white clouds", "scattered clouds", "fair-weather clouds"),
    ("clouds drifting over", "broken clouds", "a cloudy sky", "big clouds"),
    ("an overcast sky", "a grey sky", "low grey clouds", "a heavy sky"),
)
_WHERE = (
    ("among low hills", "in rolling country", "in the countryside", "beyond the village", "by the edge of a wood"),
    ("high in the mountains", "on a mountain pasture", "below the peaks", "in the Alps", "on an alpine meadow"),
)
_FORMS = (
    "{grass} {when}", "{grass}, {sky}", "{grass} {where} {when}", "{when}, {grass} under {sky}",
    "{flowers} and {grass} {when}", "{grass} with {flowers}, {extra}", "{grass}", "{grass} {where}, {extra}, {sky}",
    "{when}: {grass}, {extra}", "{extra} and {grass} {when}", "{grass} {where}, {flowers}, {sky} {when}",
    "{flowers} {where} {when}, {grass}", "{grass} {when}, {extra}, {other}",
)  # fmt: skip


def is_alpine(variant: int) -> bool:
    """Whether the meadow of a variant is a mountain pasture: its highest bit."""
    return variant >= 32768


def flowers(variant: int) -> str:
    """Which of FLOWERS grow there."""
    return FLOWERS[variant >> 13 & 3]


def is_dry(variant: int) -> bool:
    """Whether the grass is straw-coloured."""
    return bool(variant >> 12 & 1)


def has_tree(variant: int) -> bool:
    """Whether a lone tree stands in the meadow."""
    return bool(variant >> 11 & 1)


def _alpine(segment: Segment) -> float:
    return float(is_alpine(segment.variant))


def _dry(segment: Segment) -> float:
    return float(is_dry(segment.variant))


@final
class Meadow(Place):
    """Tall grass as far as the hills."""

    name = "meadow"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """Still to stormy; broken clouds make the light come and go; insects want warm and quiet air."""
        force, cloud, hour = rng.beta(1.1, 1.4), float(rng.beta(1, 1.3)), light.draw_hour(rng)
        night = light.part_of_day(hour) == "night"
        wind = drift(rng, segments, 0.04 + 0.86 * force, 0.03 + 0.12 * force, 5)
        broken = 4 * cloud * (1 - cloud)
        sun = drift(rng, segments, 1 - 0.75 * cloud, 0.32 * broken, 6)
        wet = drift(rng, segments, float(rng.beta(2, 2)), 0.03, 16) if rng.random() < 0.3 else np.zeros_like(wind)
        life = drift(rng, segments, rng.beta(1.4, 1.1) * (1 - 0.7 * force), 0.06, 8)
        variant = int(rng.integers(65536))
        calm = (1 - wind) * life
        rates = {
            "gust": 0.04 + 0.45 * wind**1.5, "bird": (0.06 if night else 0.35) * calm,
            "passing": 0.0 * calm if night else 0.22 * calm**1.5,
            "bell": np.full_like(wind, 0.22 if is_alpine(variant) else 0.0),
        }  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 1.8)]
        fixed, creep = self._statics(rng, hour, cloud), rng.normal(0, 0.0006)
        statics = [{**fixed, "hour": float((hour + s * creep) % 1)} for s in range(segments)]
        curves = {"wind": wind, "light": sun, "rain": wet, "life": life}
        return lanes.assembled(self.name, variant, statics, curves, happened, ("gust",))

    @staticmethod
    def _statics(rng: np.random.Generator, hour: float, cloud: float) -> dict[str, float]:
        mist = 0.3 * rng.random() if light.part_of_day(hour) == "dawn" else 0.0
        return {
            **anywhere(rng, "height", "pan", "focal", "drift"),
            **middling(rng, 0.07, 0, "saturation", "exposure", "contrast"),
            "warmth": float(np.clip(rng.normal(0.54, 0.1), 0, 1)), "cloud": cloud,
            "haze": float(np.clip(rng.beta(1.2, 3) + mist, 0, 1)), "sun": light.draw_sun(rng),
        }  # fmt: skip

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """A sentence of 1 to 4 parts: the grass and its wind, flowers, the sky, the hour, what lives there."""
        first = segments[0]
        statics = {"hour": 0.5, "cloud": 0.5, "haze": 0.2, **first.statics}
        part = light.part_of_day(statics["hour"])
        wind, extra = words.mean(segments, "wind"), self._extras(segments, part)
        chosen = [extra[i] for i in rng.permutation(len(extra))]
        text = words.pick(_FORMS, rng).format(
            grass=words.pick(_GRASS[int(np.searchsorted((0.2, 0.42, 0.66), wind + rng.normal(0, 0.02)))], rng),
            flowers=words.pick(_FLOWER_WORDS[flowers(first.variant)], rng),
            sky=words.graded(_SKY, statics["cloud"], rng),
            where=words.pick(_WHERE[is_alpine(first.variant)], rng),
            when=words.pick(_WHEN[part], rng),
            extra=words.pick(chosen[0], rng),
            other=words.pick(next(c for c in chosen if c != chosen[0]), rng),
        )
        return words.written(text, rng)

    @staticmethod
    def _extras(segments: list[Segment], part: str) -> list[tuple[str, ...]]:
        """Everything true that could be added, each in several wordings."""
        variant, statics = segments[0].variant, segments[0].statics
        mean = {name: words.mean(segments, name) for name in ("wind", "rain", "life", "light")}
        count = {k: sum(e.kind == k for s in segments for e in s.events) for k in ("bird", "passing", "bell")}
        night = part == "night"
        found: list[tuple[str, ...]] = []
        found += [("dry golden grass", "sun-bleached grass", "straw-coloured grass") if is_dry(variant) else
                 ("lush green grass", "deep green grass", "fresh grass")]  # fmt: skip
        found.append(("the smell of flowers", "the scent of cut grass", "a smell of hay"))
        if mean["rain"] > 0.2:
            found += [("wet grass after the rain", "after a shower", "the smell of wet earth", "raindrops on the grass",
                       "rain has just passed")] * 2  # fmt: skip
        if mean["life"] > 0.3:
            found.append(("crickets sing", "the chirping of crickets", "crickets all around") if night else
                         ("insects hum", "grasshoppers and crickets", "the buzz of insects"))  # fmt: skip
        if count["bird"]:
            found.append(("a quail calls", "a bird calls in the dark") if night else
                         ("a skylark sings", "birdsong", "larks overhead", "birds sing"))  # fmt: skip
        if count["passing"]:
            found.append(("a bumblebee flies past", "bees among the flowers", "a bee hums by"))
        if count["bell"]:
            found += [("cowbells ring", "cowbells in the distance", "cattle graze nearby")] * 2
        if has_tree(variant):
            found.append(("a lone tree", "a single tree on the rise", "an old oak in the field"))
        if statics.get("haze", 0.2) > 0.45:
            found.append(("mist in the hollows", "a hazy distance", "haze over the hills"))
        if night and statics.get("cloud", 0.5) < 0.4:
            found.append(("stars overhead", "a starry sky", "moonlight on the grass"))
        if not night and 0.25 < statics.get("cloud", 0.5) < 0.75:
            found.append(("cloud shadows drift over the hills", "sun and shade take turns", "shadows of clouds"))
        return found

    def touch(self, stage: Stage, t: Array) -> Array:
        """Wind on the skin (up to 12 m/s, gusts above); the gust's push in the seat (28 Hz), stalks that brush the
        back (150 Hz), a bumblebee (180 Hz, the beat of its wings: Heinrich 1979). Air 9 to 22 C, the sun up to +6 (the
        radiant gain of a face in full sun; ISO 7730 counts about that), wind -5."""
        wind, gust = stage.values("wind", t), lanes.pulses(stage, "gust", t, 0.6, 1.3)
        bee = lanes.pulses(stage, "passing", t, 0.5, 0.5)
        blow = np.clip(wind + 0.5 * gust, 0, 1.4)
        parts = np.stack([0.16 * blow**1.5 + 0.10 * gust, 0.03 + 0.16 * blow, 0.16 * bee])
        hertz = (parts * np.array([28, 150, 180])[:, None]).sum(0) / parts.sum(0)
        hour, warmth = (light.over_time(stage, name, t) for name in ("hour", "warmth"))
        high = light.sun_height(hour)
        air = 15.5 + 6.5 * high + 10 * (warmth - 0.5) - 1.5 * stage.values("rain", t)
        sun = 6 * np.clip(1.6 * high, 0, 1) * stage.values("light", t)
        return lanes.felt(parts[0], parts[1:].sum(0), hertz, air + sun - 5 * np.clip(blow, 0, 1), WIND_SPEED * blow)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Grass and flowers by day and warmth, thinned by wind but carried by gusts; wet earth after rain; cold air on
        cold nights; animals on the pasture."""
        wind, wet, sun = (stage.values(name, t) for name in ("wind", "rain", "light"))
        gust = lanes.pulses(stage, "gust", t, 0.4, 1.5)
        hour = light.over_time(stage, "hour", t)
        warm = lanes.between(-0.5, 0.7, light.sun_height(hour)) * (0.6 + 0.4 * sun)
        mown = lanes.constant(stage, t, lambda s: np.random.default_rng([s.variant, 34]).uniform(0.5, 1.1))
        bloom = lanes.constant(stage, t, lambda s: np.random.default_rng([s.variant, 35]).uniform(0.6, 1.2))
        dry, alpine = (lanes.constant(stage, t, read) for read in (_dry, _alpine))
        return lanes.released(
            {
                "cut grass": mown * (0.24 + 0.34 * warm + 0.15 * gust + 0.12 * wet) * (1 - 0.3 * wind),
                "flowers": bloom * (0.12 + 0.52 * warm + 0.10 * gust) * (1 - 0.45 * wind),
                "wet earth": 0.05 + 0.75 * wet + 0.3 * light.over_time(stage, "haze", t) * (1 - warm),
                "dust": (0.20 * warm * wind + 0.06) * dry * (1 - wet),
                "animal": 0.18 * alpine * (1 - 0.4 * wind),
                "cold air": np.clip(0.42 * (0.5 - warm) + 0.2 * wind * (1 - warm), 0, 1),
            },
            len(t),
        )

    def taste(self, stage: Stage, t: Array) -> Array:
        """Nothing is tasted in a meadow."""
        return np.zeros((len(t), 5))

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """Sky, hills, the meadow with the wind that runs over it, and the stalks before the camera."""
        return Picture(stage, t, view).render()

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Wind in grass, birds, insects, bees and bells."""
        return perform(stage, start, n, rate)
