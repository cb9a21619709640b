"""Bakery oven: loaves rise and brown in the glow of an oven; crusts crackle, the baker works at the counter.

What the scene's words mean here. Curves: fire (how hot the oven is), steam (vapour and heat haze about its mouth), flow
(how far the bread is baked, from pale dough to dark crust), light (daylight through the bakery's window), life (how
busy the bakery is; flour in the air). Events: crack (a crust crackles; strength over 0.7: a loaf is broken and
tasted), creak (the oven's door is open for 1.5 + 3 x strength s), clink (strength over 0.5: a tray set down; else a
bowl), pour (a cup of water hisses on the hot floor of the oven), spark (the embers of a wood oven), bell (the door of
the shop). `distance` is 1 to 5 m. The variant's bits: 15 a wood-fired brick oven, else a deck oven behind glass; 14
buns and brioches with vanilla and milk, else loaves; 13 the window is on the right, else on the left; 12 a copper
lamp hangs over the counter.

Shapes: T ticks, N samples, H rows, W columns.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, words
from stale_diffusion.dreamscapes.bakery_picture import render
from stale_diffusion.dreamscapes.bakery_sound import open_seconds, perform
from stale_diffusion.dreamscapes.light import part_of_day, sun_height
from stale_diffusion.dreamscapes.place import Array, Place, View, anywhere, drift, middling
from stale_diffusion.scene import Segment, Stage

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Three in the morning, the furnace blazes and the baguettes turn brown", {"hour": "night", "strength": "strong"}),
    ("a lunchtime bake that barely warms the room", {"hour": "day", "strength": "weak"}),
    ("The patisserie at noon, scorching, croissants puff up behind the pane", {"hour": "day", "strength": "strong"}),
    ("long past closing time the last coals cool under the rye", {"hour": "night", "strength": "weak"}),
    ("sunup: the stove roars and the first batch is nearly done", {"hour": "dawn", "strength": "strong"}),
    ("End of the working day, sunset, the hearth is only lukewarm.", {"hour": "dusk", "strength": "weak"}),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""

TASTED = 0.7  # a crack of more strength than this is a loaf broken and tasted

_HEAT = (
    ("a {oven} that is cooling down", "a barely warm {oven}", "a {oven} with the fire low", "a faintly glowing {oven}",
     "a {oven} not yet hot"),
    ("a warm {oven}", "a gently glowing {oven}", "a {oven} at a low heat", "the soft glow of a {oven}"),
    ("a hot {oven}", "a glowing {oven}", "a bright {oven}", "the warm glow of a hot {oven}", "a {oven} well heated"),
    ("a blazing {oven}", "a fiercely hot {oven}", "a {oven} at full heat", "a red-hot {oven}",
     "the glare of a very hot {oven}"),
)  # fmt: skip
_OVENS = (
    ("bakery oven", "deck oven", "baker's oven", "bread oven", "oven behind glass"),
    ("wood-fired oven", "brick oven", "stone oven", "wood-fired bread oven", "old brick oven"),
)
_BREAD = (
    (
        ("pale loaves of dough", "loaves just put in", "raw dough rising", "bread dough that begins to rise"),
        ("loaves rising and turning golden", "loaves that begin to brown", "bread baking", "rising loaves"),
        ("golden brown bread", "fresh loaves", "crusty loaves", "bread with a golden crust", "fresh bread"),
        ("dark crusty loaves", "well-baked bread", "loaves with a dark crust", "deep brown bread ready to come out"),
    ),
    (
        ("pale buns", "sweet dough just put in", "brioches of raw dough", "buns that begin to rise"),
        ("buns rising and turning golden", "brioches that begin to brown", "sweet rolls baking", "rising buns"),
        ("golden brown buns", "fresh brioches", "fresh sweet rolls", "warm golden pastries", "sweet buns"),
        ("dark glazed buns", "well-baked brioches", "deep brown sweet rolls", "buns ready to come out"),
    ),
)
_WHEN = {
    "night": ("at night", "before the town wakes", "late at night", "after midnight", "in the dead of night"),
    "dawn": ("at dawn", "early in the morning", "at daybreak", "at sunrise", "at first light"),
    "morning": ("in the morning", "on a busy morning", "before noon", "by day"),
    "noon": ("at noon", "at midday", "in the middle of the day"),
    "afternoon": ("in the afternoon", "on a slow afternoon", "late in the day", "by day"),
    "dusk": ("at dusk", "in the evening", "at sunset", "at the end of the day", "at twilight"),
}
_WHERE = ("in a bakery", "in a village bakery", "in the bakehouse", "in a small bakery", "at the baker's", "in an old "
          "bakery", "in the back of a bakery")  # fmt: skip
_FORMS = (
    "{heat} {when}", "{bread} in {heat}", "{bread} {where} {when}", "{heat} {where}, {bread}",
    "{when}, {bread} in {heat}", "{bread}", "{heat}, {extra}", "{bread} and {extra} {when}",
    "{where}, {heat} {when}: {bread}, {extra}", "{heat} {where} {when}, {extra}, {other}",
    "{bread} {when}, {extra}", "{extra} {where} {when}, {bread}", "{heat} with {bread}, {extra}, {other}",
)  # fmt: skip


def is_brick(variant: int) -> bool:
    """Whether the oven of a variant is of brick and fired with wood: its highest bit."""
    return variant >= 32768


def is_sweet(variant: int) -> bool:
    """Whether buns and brioches are baked, with vanilla and milk."""
    return bool(variant >> 14 & 1)


def _brick(segment: Segment) -> float:
    return float(is_brick(segment.variant))


def _sweet(segment: Segment) -> float:
    return float(is_sweet(segment.variant))


def door(stage: Stage, t: Array) -> Array:
    """How far the oven is open at each time, (T,) in [0, 1]: 0.5 s to open, 0.4 s to shut."""
    out = np.zeros(len(t))
    for e in stage.events("creak", float(t.min()) - 6, float(t.max()) + 1e-6):
        s, end = t - e.time, open_seconds(e)
        out = np.maximum(out, lanes.between(0, 0.5, s) * lanes.between(end, end - 0.4, s))
    return out


@final
class Bakery(Place):
    """An oven, its bread, the counter before it."""

    name = "bakery oven"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """The oven is anywhere from cooling to full heat and the bread from dough to dark; crusts sing when brown."""
        ranges = ((-0.14, 0.16), (0.17, 0.29), (0.3, 0.7), (0.7, 0.8))
        hour = float(rng.uniform(*ranges[int(rng.choice(4, p=(0.28, 0.27, 0.28, 0.17)))]) % 1)
        cloud, heat = float(rng.beta(1, 1.3)), rng.beta(1.5, 1.2)
        done, pace = rng.uniform(0, 0.95), rng.uniform(0.004, 0.03) * (0.3 + heat)
        flow = np.clip(done + pace * np.arange(segments * 16).reshape(segments, 16) / 16, 0, 1)
        fire = drift(rng, segments, 0.04 + 0.9 * heat, 0.02 + 0.05 * heat, 7)
        sun = min(max(float(sun_height(hour)) + 0.2, 0.0), 1.0) ** 0.5
        daylight = np.clip(drift(rng, segments, sun * (1 - 0.75 * cloud), 0.14 * sun, 7), 0, 1)
        steam = drift(rng, segments, rng.beta(1.4, 1.8) * (0.4 + 0.6 * heat), 0.07, 5)
        life = drift(rng, segments, rng.beta(1.3, 1.5), 0.08, 8)
        variant = int(rng.integers(65536))
        rates = {
            "crack": (0.1 + 1.1 * flow**2) * (0.3 + 0.7 * fire), "creak": 0.05 + 0.06 * life,
            "clink": 0.05 + 0.35 * life, "pour": 0.10 * (1 - flow) * fire, "bell": 0.06 * life * (sun > 0),
            "spark": np.asarray(0.5 * fire**2 * is_brick(variant)),
        }  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 1.7)]
        curves = {"fire": fire, "steam": steam, "flow": flow, "light": daylight, "life": life}
        statics = [self._statics(rng, hour, cloud)] * segments
        return lanes.assembled(self.name, variant, statics, curves, happened, ("creak", "pour"))

    @staticmethod
    def _statics(rng: np.random.Generator, hour: float, cloud: float) -> dict[str, float]:
        return {
            "hour": hour, "cloud": cloud, "haze": float(rng.beta(1.6, 2.2)),
            **middling(rng, 0.11, 0.05, "warmth", "saturation", "contrast"),
            **anywhere(rng, "height", "pan", "focal", "drift", "sun"),
            "exposure": float(np.clip(rng.normal(0.5, 0.06), 0.2, 0.8)),
        }  # fmt: skip

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """How hot the oven is, what it bakes and how far it is, where, when, and what else is heard, seen and smelt."""
        first = segments[0]
        variant, part = first.variant, part_of_day(first.statics["hour"])
        fire, flow = (words.mean(segments, name) + rng.normal(0, 0.02) for name in ("fire", "flow"))
        oven = words.pick(_OVENS[is_brick(variant)], rng)
        extra = self._extras(segments, part)
        chosen = [extra[i] for i in rng.permutation(len(extra))]
        heat = words.pick(_HEAT[int(np.searchsorted((0.28, 0.52, 0.76), fire))], rng).format(oven=oven)
        text = words.pick(_FORMS, rng).format(
            heat=heat.replace("a oven", "an oven").replace("a old", "an old"),
            bread=words.pick(_BREAD[is_sweet(variant)][int(np.searchsorted((0.22, 0.5, 0.8), flow))], rng),
            when=words.pick(_WHEN[part], rng),
            where=words.pick(_WHERE, rng),
            extra=words.pick(chosen[0], rng),
            other=words.pick(next(c for c in chosen if c != chosen[0]), rng),
        )
        return words.written(text, rng)

    @staticmethod
    def _extras(segments: list[Segment], part: str) -> list[tuple[str, ...]]:
        """Everything true that could be added, each in several wordings."""
        variant = segments[0].variant
        mean = {name: words.mean(segments, name) for name in ("steam", "light", "life", "flow")}
        count = {
            kind: sum(e.kind == kind for s in segments for e in s.events)
            for kind in ("crack", "creak", "clink", "pour", "spark", "bell")
        }
        found: list[tuple[str, ...]] = []
        found += [("the smell of sweet pastry", "vanilla and warm milk", "a scent of vanilla") if is_sweet(variant) else
                 ("the smell of fresh bread", "the scent of baking", "a smell of warm bread"),
                 ("wood smoke and embers", "embers at the back", "burning logs") if is_brick(variant) else
                 ("the oven hums", "the lamp in the oven", "the hum of the oven")]  # fmt: skip
        if count["crack"] > 1.2 * len(segments):
            found += [("the crusts crackle", "crackling crusts", "the bread sings as it cools")] * 2
        if count["creak"]:
            found += [("the oven door opens", "the baker opens the oven", "a wave of heat from the open door")] * 2
        if count["clink"]:
            found.append(("trays clatter", "the clatter of trays", "bowls clink", "the baker is at work"))
        if count["pour"]:
            found += [("water hisses on the hot stone", "a burst of steam", "steam hisses")] * 2
        if count["spark"] > 1:
            found.append(("sparks rise from the embers", "sparks fly in the oven"))
        if count["bell"]:
            found.append(("the bell of the shop rings", "the shop door rings its bell", "a customer comes in"))
        if mean["steam"] > 0.45:
            found.append(("steam and heat haze", "thick steam", "the air shimmers with heat", "steamy"))
        if mean["life"] > 0.5:
            found.append(("flour dust in the air", "a busy bakery", "flour hangs in the air"))
        if part not in ("night", "dusk", "dawn") and mean["light"] > 0.5:
            found.append(("sunlight through the window", "a shaft of sunlight", "a sunny bakery"))
        if part == "night":
            found.append(("a single lamp", "by lamplight", "dark windows"))
        return found

    def touch(self, stage: Stage, t: Array) -> Array:
        """Radiant warmth: 22 C and 13 C more at full heat, 8 C more as the door opens (about 500 W/m2 at a metre from
        an open oven at 250 C warm a face so). Seat: the burner's hum (0.07, 50 Hz) or the draught (38 Hz), a tray set
        down (0.6, 75 Hz, 80 ms), the door (0.35, 55 Hz); back: crusts (0.35, 230 Hz, 30 ms), the hiss of steam."""
        fire, steam, life = (stage.values(name, t) for name in ("fire", "steam", "life"))
        brick, open_ = lanes.constant(stage, t, _brick), door(stage, t)
        crack, shut = lanes.pulses(stage, "crack", t, 0.002, 0.03), lanes.pulses(stage, "creak", t, 0.01, 0.12)
        clink, hiss = lanes.pulses(stage, "clink", t, 0.003, 0.08), lanes.pulses(stage, "pour", t, 0.08, 0.8)
        parts = np.stack([0.02 + 0.08 * fire * (0.3 + 0.7 * fire), 0.6 * clink, 0.35 * shut,
                          0.03 + 0.05 * life, 0.35 * crack, 0.25 * hiss + 0.04 * steam])  # fmt: skip
        hertz = (parts * np.array([50, 75, 55, 130, 230, 190])[:, None]).sum(0) - 12 * brick * parts[0]
        hertz = hertz / parts.sum(0)
        warmth = 22 + 13 * fire**1.2 + 8 * open_ * (0.4 + 0.6 * fire) + 2 * hiss + 2 * stage.values("light", t)
        draught = 0.15 + 0.2 * steam + (0.5 + 0.7 * fire) * open_
        return lanes.felt(parts[:3].sum(0), parts[3:].sum(0), hertz, warmth, draught)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Bread by how brown it is (the pyrazines and 2-acetyl-1-pyrroline of the crust form from about 120 C on), more
        from the open door; vanilla and milk of sweet dough; wood smoke of a brick oven, hot metal of a deck oven; flour
        dust where it is busy."""
        fire, steam, flow, life = (stage.values(name, t) for name in ("fire", "steam", "flow", "life"))
        brick, sweet = (lanes.constant(stage, t, read) for read in (_brick, _sweet))
        hiss, open_ = lanes.pulses(stage, "pour", t, 0.2, 1.5), door(stage, t)
        crack = lanes.pulses(stage, "crack", t, 0.1, 1.0)
        return lanes.released(
            {
                "baked bread": (0.16 + 0.50 * flow) * (0.75 + 0.45 * open_ + 0.2 * hiss) + 0.08 * crack,
                "vanilla": sweet * (0.28 + 0.22 * flow + 0.2 * open_),
                "warm milk": sweet * (0.26 - 0.08 * flow + 0.1 * open_),
                "wood smoke": brick * (0.14 + 0.30 * fire + 0.15 * open_ - 0.08 * steam),
                "hot metal": (1 - brick) * (0.06 + 0.22 * fire),
                "dust": 0.05 + 0.22 * life,
            },
            len(t),
        )

    def taste(self, stage: Stage, t: Array) -> Array:
        """The air of a bakery tastes a little sweet; a loaf that is broken (a crack of strength over 0.7) is tasted for
        3 s: sweet (the crust's maltose), salty (bread is about 1.2 % salt) and umami; sweet buns are sweeter."""
        flow, sweet = stage.values("flow", t), lanes.constant(stage, t, _sweet)
        bites = stage.events("crack", float(t.min()) - 12, float(t.max()) + 1e-6)
        s = np.maximum(t[None] - np.array([e.time for e in bites if e.strength > TASTED]).reshape(-1, 1), 0)
        bite = np.minimum((-np.expm1(-s / 0.3) * np.exp(-s / 3)).sum(0), 1)
        out = np.zeros((len(t), 5))
        out[:, 0] = (0.07 + 0.10 * flow) * (1 + 0.6 * sweet) + bite * (0.35 + 0.4 * sweet)
        out[:, 2] = bite * (0.40 - 0.25 * sweet)
        out[:, 4] = 0.04 * flow + bite * (0.35 - 0.23 * sweet)
        return np.clip(out, 0, 1)

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """The oven's mouth with its loaves, the counter before it, and flour in the light."""
        now = np.array([t])
        burst = float(lanes.pulses(stage, "pour", now, 0.1, 1.2)[0])
        return render(stage, t, view, float(door(stage, now)[0]), burst)

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """The oven's hum or its fire, crusts, door, trays, steam; the room answers for half a second."""
        return perform(stage, start, n, rate)
