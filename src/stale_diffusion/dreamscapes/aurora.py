"""Aurora: northern lights and stars over a lake, a frozen lake or a snowfield with firs; night, dusk and dawn.

What the scene's words mean here. Curves: light (how bright the aurora is), flow (how fast it moves), wind, swell
(ripples; open water only), steam (smoke of a cabin; the snowfield only). Events: spark (a meteor, from x at distance =
height in the sky), crack (the ice of a lake, or the frost in a trunk; 20 to 600 m away), gust, bird (an owl or a loon,
50 to 500 m away). The two upper bits of the variant say what lies below: 0 and 1 open water, 2 a snowfield with firs, 3
a frozen lake.

Shapes: T ticks, N samples of sound, H rows, W columns.
"""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import aurora_picture, lanes, light, words
from stale_diffusion.dreamscapes.acoustics import add_grain, band, burst, resonance, reverberate, ring, shaped_noise
from stale_diffusion.dreamscapes.aurora_land import ground
from stale_diffusion.dreamscapes.place import Array, Place, View, drift, middling
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Lapland at 1 a.m. and the whole heaven is on fire, green and violet", {"hour": "night", "strength": "strong"}),
    ("a timid smudge of emerald low in the Arctic midnight", {"hour": "night", "strength": "weak"}),
    ("solar storm! ribbons whip overhead while the day is only just gone", {"hour": "dusk", "strength": "strong"}),
    ("barely any polar glow yet, the western sky still blue", {"hour": "dusk", "strength": "weak"}),
    ("just before the sun the magnetic sky explodes in colour", {"hour": "dawn", "strength": "strong"}),
    ("morning comes and the polar glow is all but spent", {"hour": "dawn", "strength": "weak"}),
)  # fmt: skip
"""For evaluation only: sentences that `caption` never says, with what they mean."""


def metres(distance: float) -> float:
    """How far away a crack is, for event.distance in [0, 1]."""
    return float(20.0 * 30.0**distance)


def _air(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """Wind over open land, and the lapping of a lake that is not frozen, (N, 2)."""
    gusts = stage.events("gust", start / rate - 9, (start + n) / rate)
    water = ground(stage.segment(start / rate).variant) == "lake"

    def spectrum(f: Array, t: float) -> Array:
        wind, swell = stage.value("wind", t), stage.value("swell", t) * water
        gust = float(lanes.envelope(gusts, np.array([t]), 0.7, 1.5)[0])
        rush = (0.004 + 0.26 * wind**1.7 + 0.2 * gust) * band(f, 60, 200 + 320 * wind, 1) / (1 + f / 1600)
        moan = (0.07 * wind**2 + 0.08 * gust) * resonance(f, 260 + 210 * wind + 80 * gust, 8)
        lap = 0.5 + 0.5 * np.sin(2.1 * t + 1.3 * np.sin(0.7 * t)) * np.sin(0.53 * t + 1)
        lake = 0.05 * swell * lap**2 * band(f, 350, 1300, 1.2)
        return np.asarray((rush + moan + lake + 0.0013 / (1 + f / 500)) * np.sqrt(f[-1] / 24000))

    both = shaped_noise(f"aurora {stage.segment(start / rate).variant}", start, n, rate, spectrum, channels=3)
    return np.asarray(0.7 * both[:, :2] + 0.7 * both[:, 2:], np.float32)


def _ice(rate: int, rng: np.random.Generator, far: float) -> Array:
    """A crack in the ice of a lake, heard `far` metres away, (N,).

    Bending waves run through the sheet at a speed that grows with the root of the frequency, so the high notes come
    first: f(t) = (d / (2 c t))^2 with a group speed of 2 c sqrt(f) (Lundmark 2001, "skating on thin ice"); for 0.3 m of
    ice c is about 20 m/s per root Hz.
    """
    metres_a_root, seconds = 20.0, 1.1
    t = np.arange(int(seconds * rate)) / rate
    soonest = far / (2 * metres_a_root * np.sqrt(5200.0))
    f = np.clip((far / (2 * metres_a_root * (t + soonest))) ** 2, 90, None)
    f = np.minimum(f, 5200.0)
    chirp = np.sin(2 * np.pi * np.cumsum(f) / rate) * np.exp(-4.2 * t) * np.minimum(1, t / 0.002)
    boom = ring(rate, seconds, [(74, 0.7, 0.9), (131, 0.35, 0.5)], 0.01)
    rough = burst(rng, rate, seconds, 200, 2400, 0.002)
    return np.asarray(np.where(f < rate / 2.2, 0.8 * chirp, 0) + 0.35 * boom + 0.15 * rough)


def _cracks(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Ice that sings, or wood that bursts in the frost: a dry knock."""
    first, last = start / rate, (start + len(out)) / rate
    for e in stage.events("crack", first - 2, last):
        rng = np.random.default_rng([int(e.time * 1000), 21])
        far = metres(e.distance)
        loud = (0.04 + 0.15 * e.strength) * 50 / (40 + far)
        if ground(stage.segment(e.time).variant) == "snow":
            knock = ring(rate, 0.2, [(rng.uniform(240, 420), 1, 0.12), (rng.uniform(700, 1100), 0.6, 0.06)], 5e-4)
            wave = knock + 0.7 * np.pad(burst(rng, rate, 0.05, 600, 5000, 2e-4), (0, len(knock)))[: len(knock)]
        else:
            wave = _ice(rate, rng, far)
        add_grain(out, start, rate, e.time, loud * wave, e.x)


def _birds(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """A loon on the lake, whose wail slides up and down again; an owl elsewhere."""
    first, last = start / rate, (start + len(out)) / rate
    for e in stage.events("bird", first - 4, last):
        loud = (0.012 + 0.03 * e.strength) / (0.7 + 2 * e.distance)
        if ground(stage.segment(e.time).variant) == "lake":
            seconds = 1.7
            s = np.arange(int(seconds * rate)) / rate / seconds
            hz = 620 + 330 * np.clip((s - 0.2) / 0.12, 0, 1) - 240 * np.clip((s - 0.78) / 0.15, 0, 1)
            phase = 2 * np.pi * np.cumsum(hz) / rate
            call = np.sin(np.pi * s) ** 0.8 * (np.sin(phase) + 0.22 * np.sin(2 * phase) + 0.07 * np.sin(3 * phase))
            add_grain(out, start, rate, e.time, loud * call, e.x)
            continue
        for lag, seconds in ((0.0, 0.45), (0.85, 0.2), (1.2, 0.65)):
            s = np.arange(int(seconds * rate)) / rate / seconds
            call = np.sin(np.pi * s) ** 1.2 * np.sin(2 * np.pi * 365 * seconds * s * (1 - 0.03 * s))
            add_grain(out, start, rate, e.time + lag, loud * call, e.x)


@final
class Aurora(Place):
    """Northern lights in a clear night."""

    name = "aurora"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """From a faint arc to a storm that dances; bright ones are fast; sometimes one breaks up within the clip."""
        hour = float(rng.choice([rng.uniform(-0.2, 0.2) % 1, rng.uniform(0.755, 0.78), rng.uniform(0.221, 0.246)],
                                p=[0.66, 0.18, 0.16]))  # fmt: skip
        force = float(rng.beta(0.95, 0.95))
        glow = drift(rng, segments, 0.07 + 0.84 * force, 0.03 + 0.05 * force, 9)
        if rng.random() < 0.25:  # a substorm: it brightens within seconds and fades over minutes
            onset = rng.uniform(0, 4 * segments)
            s = (np.arange(16 * segments) + 0.5) / 4 - onset
            glow = np.clip(glow + rng.uniform(0.15, 0.5) * lanes.between(-1, 5, s).reshape(segments, 16), 0, 1)
        quick = float(np.clip(0.75 * force + rng.normal(0.1, 0.15), 0.03, 0.97))
        flow = drift(rng, segments, quick, 0.05, 10)
        variant = int(rng.integers(65536))
        below, windy = ground(variant), float(rng.beta(1.1, 3.2))
        wind = drift(rng, segments, windy, 0.03 + 0.08 * windy, 6)
        rates = {
            "spark": np.full_like(wind, float(rng.choice([0.012, 0.03, 0.12], p=[0.6, 0.3, 0.1]))),
            "crack": np.full_like(wind, {"lake": 0.004, "snow": 0.03, "ice": 0.13}[below] * (0.3 + rng.random())),
            "gust": 0.35 * wind**1.7, "bird": np.full_like(wind, 0.05 * (1 - windy) * (below != "ice")),
        }  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 2.0)]
        named = {"light": glow, "flow": flow}
        if below == "lake":
            named["swell"] = drift(
                rng, segments, float(np.clip(0.08 + 0.6 * windy + rng.normal(0, 0.08), 0, 1)), 0.03, 9
            )
        if below == "snow":
            named["steam"] = drift(rng, segments, float(rng.beta(1.1, 2.0)), 0.05, 9)
        statics, out = self._statics(rng), []
        for k in range(segments):
            events = sorted((e for i, e in happened if i == k), key=lambda e: -e.strength)[:SLOTS]
            curves = {**{name: values[k] for name, values in named.items()}, "wind": lanes.gusty(wind[k], events)}
            fitted = {name: fit_curve(samples) for name, samples in curves.items()}
            events.sort(key=lambda e: e.time)
            out.append(Segment(self.name, self.name, variant, {**statics, "hour": hour}, fitted, tuple(events)))
        return out

    @staticmethod
    def _statics(rng: np.random.Generator) -> dict[str, float]:
        look = middling(rng, 0.08, 0.1, "warmth", "saturation", "exposure", "contrast")
        camera = {name: float(rng.random()) for name in ("height", "pan", "focal", "drift", "sun")}
        cloud = float(rng.beta(1, 5) if rng.random() < 0.75 else rng.uniform(0.2, 0.65))
        return {"cloud": cloud, "haze": float(rng.beta(1.1, 4)), **look, **camera}

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """How bright the lights are and how they move, over what, when, and some of sky, stars, wind and ice."""
        return _caption(segments, rng)

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: gusts (0.28, 30 Hz), wind, a crack of the ice (0.55 near by, 62 Hz, 0.3 s; 0.15 of a trunk); back: the
        crack's snap (0.3, 190 Hz, 60 ms), lapping water (0.04). Air -3 C at a lake to -9 C on the ice, to the 10 below
        zero that the lane can hold; wind to 9 m/s."""
        wind, swell = stage.values("wind", t), stage.values("swell", t)
        since, until = float(t.min()) - 9, float(t.max()) + 1e-6
        gust = lanes.envelope(stage.events("gust", since, until), t, 0.7, 1.5)
        heard = [Event("crack", e.time, e.strength * 50 / (40 + metres(e.distance))) for e in
                 stage.events("crack", since, until)]  # fmt: skip
        hollow = lanes.slow(lambda s: 0.15 if ground(stage.segment(s).variant) == "snow" else 0.8, t)
        boom, snap = lanes.envelope(heard, t, 0.012, 0.3), lanes.envelope(heard, t, 0.003, 0.06)
        parts = np.stack([0.09 * wind**2, 0.28 * gust, hollow * boom, 0.35 * snap, 0.04 * swell])
        hertz = ((parts * np.array([36, 30, 62, 190, 80])[:, None]).sum(0) + 0.3) / (parts.sum(0) + 0.01)
        base = lanes.slow(lambda s: {"lake": -3.0, "snow": -7.0, "ice": -8.5}[ground(stage.segment(s).variant)], t)
        cloud = lanes.slow(lambda s: stage.static("cloud", s), t)
        celsius = base + 3 * cloud - 2.5 * wind - gust
        return lanes.felt(parts[:3].sum(0), parts[3:].sum(0), hertz, celsius, 0.1 + 6.5 * wind**1.3 + 4 * gust)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Cold air; firs and a cabin's smoke over the snowfield, moss and wet earth at the lake, ozone nowhere: the
        aurora is 100 km up."""
        wind, smoke = stage.values("wind", t), stage.values("steam", t)
        lake, snow, ice = (
            lanes.slow(partial(lambda s, name: float(ground(stage.segment(s).variant) == name), name=name), t)
            for name in ("lake", "snow", "ice")
        )
        return lanes.released({
            "cold air": 0.55 + 0.3 * wind + 0.1 * ice - 0.15 * lake,
            "pine": (0.45 * snow + 0.22 * lake + 0.08 * ice) * (1 - 0.3 * wind),
            "wood smoke": 0.7 * smoke * snow * (1 - 0.5 * wind),
            "moss": 0.3 * lake, "wet earth": 0.14 * lake,
        }, len(t))  # fmt: skip

    def taste(self, stage: Stage, t: Array) -> Array:
        """Nothing."""
        return np.zeros((len(t), 5))

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Wind, water, ice, frost and birds; on the far shore they find an echo."""
        before = int(1.2 * rate)
        out = _air(stage, start - before, n + before, rate)
        _cracks(stage, out, start - before, rate)
        _birds(stage, out, start - before, rate)
        return np.asarray(2.8 * reverberate(out, rate, 1.2, 0.16, seed=4, damping=1800)[before:], np.float32)

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """See aurora_picture.py."""
        return aurora_picture.render(stage, t, view)


_LIGHTS = (
    ("a faint aurora", "a weak aurora", "a dim green arc of northern lights", "pale northern lights",
     "a quiet aurora low in the sky", "barely visible northern lights", "a soft green glow in the sky",
     "a faint polar light", "a calm arc of aurora"),
    ("the northern lights", "an aurora", "an aurora borealis", "green northern lights", "polar lights",
     "curtains of northern lights", "a green aurora", "ribbons of aurora"),
    ("a bright aurora", "brilliant northern lights", "a strong aurora storm", "blazing northern lights",
     "a spectacular aurora borealis", "intense green and red northern lights", "the sky full of northern lights",
     "a huge bright aurora"),
)  # fmt: skip
_MOVES = (
    ("hanging still", "hardly moving", "drifting slowly", "almost motionless"),
    ("moving slowly", "swaying", "waving softly", "rippling across the sky"),
    ("dancing", "dancing fast", "racing across the sky", "whirling and flickering", "rippling quickly"),
)
_OVER = {
    "lake": ("over a lake", "above a still lake", "mirrored in a lake", "over dark water", "reflected in the water",
             "above a mountain lake", "over a fjord"),
    "snow": ("over snowy firs", "above a snowfield", "over a winter forest", "above a snowy plain", "over the taiga",
             "above snow covered fir trees", "over a snowy valley"),
    "ice": ("over a frozen lake", "above the ice", "over lake ice", "above a frozen fjord", "over the frozen water"),
}  # fmt: skip
_WHEN = {
    "night": ("at night", "on a clear night", "in the middle of the night", "late at night", "on a polar night",
              "around midnight", "tonight", "in the dark"),
    "dusk": ("at dusk", "at nightfall", "in the evening", "in the blue hour", "at twilight", "after sunset"),
    "dawn": ("at dawn", "before sunrise", "at first light", "at daybreak", "in the early morning"),
}  # fmt: skip
_STARS = ("a sky full of stars", "stars behind the lights", "the milky way", "countless stars", "a starry sky",
          "twinkling stars")  # fmt: skip
_WIND = (("no wind", "the air is still", "complete silence", "calm"), ("a light wind", "a breeze", "some wind"),
         ("a strong wind", "icy gusts", "the wind howls", "it blows hard"))  # fmt: skip
_FORMS = (
    "{lights} {over}", "{lights} {over} {when}", "{when}, {lights} {over}", "{lights} {moves} {over}", "{lights}",
    "{lights} {when}", "{lights} {moves} {over} {when}, {more}", "{more} and {lights} {over}", "{lights}, {more}",
    "{when}: {lights} {moves}, {more}, {more2}", "{lights} {over}, {more}, {more2}", "{lights} {moves} {when}",
    "{more}, {lights} {over} {when}", "{lights} {when}, {moves}, {more}", "looking up at {lights} {when}, {more}",
    "{lights} {moves}, {more}",
)  # fmt: skip


def _details(segments: list[Segment], below: str, rng: np.random.Generator) -> list[str]:
    """Everything true that could be added."""
    pick, mean = partial(words.pick, rng=rng), partial(words.mean_where_given, segments)
    first, heard = segments[0].statics, {e.kind for s in segments for e in s.events}
    details = [pick(_WIND[words.level(1.3 * mean("wind"), rng)])]
    clear = first["cloud"] < 0.25
    details.append(pick(_STARS if clear else ("thin clouds", "a few clouds", "clouds drift across the stars")))
    if mean("light") > 0.68:
        details.append(pick(("red and violet fringes", "tall green rays", "violet edges", "rays up to the zenith")))
    if "spark" in heard:
        details.append(pick(("a shooting star", "a meteor", "a falling star")))
    if "crack" in heard:
        ice = ("the ice cracks and sings", "ice booming", "the lake ice pings")
        details.append(pick(("a tree cracks in the frost", "the frost cracks") if below == "snow" else ice))
    if "bird" in heard:
        details.append(pick(("a loon calls", "the wail of a loon") if below == "lake" else ("an owl calls", "an owl")))
    if below == "snow" and mean("steam") > 0.3:
        details.append(pick(("a cabin with smoke from its chimney", "a warm cabin", "wood smoke from a cabin")))
    if below == "lake":
        rough = words.level(1.2 * mean("swell"), rng)
        details.append(pick((("mirror-like water", "still water"), ("small ripples", "rippled water"),
                             ("waves on the lake", "choppy water"))[rough]))  # fmt: skip
    return [*details, pick(("bitter cold", "icy air", "frost", "cold clear air"))]


def _caption(segments: list[Segment], rng: np.random.Generator) -> str:
    pick, mean = partial(words.pick, rng=rng), partial(words.mean_where_given, segments)
    first = segments[0]
    below, part = ground(first.variant), light.part_of_day(first.statics["hour"] + rng.normal(0, 0.003))
    part = part if part in _WHEN else "dusk" if part == "afternoon" else "dawn"
    details = _details(segments, below, rng)
    order = [details[i] for i in rng.permutation(len(details))]
    text = pick(_FORMS).format(
        lights=pick(_LIGHTS[words.level(mean("light"), rng)]), moves=pick(_MOVES[words.level(mean("flow"), rng)]),
        over=pick(_OVER[below]), when=pick(_WHEN[part]), more=order[0], more2=order[1],
    )  # fmt: skip
    return words.written(text, rng)
