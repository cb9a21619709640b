"""Snowfall: flakes over a village or a lone cottage among firs, a lit window, muffled silence; every hour.

What the scene's words mean here. Curves: rain (how hard it snows), wind, fire (how bright the windows glow), steam
(smoke from the chimney). Events: gust; creak (a bough lets go of its snow: a creak, 0.5 s later the snow lands; 4 to
40 m away); bell (a stroke of the church bell, 200 to 900 m away; village only); bird (a crow by day, an owl by night).
Variants from 32768 up are a village, the others a lone cottage at the edge of a fir wood.

Shapes: T ticks, N samples of sound, H rows, W columns.
"""

from __future__ import annotations

from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, light, snowfall_picture, words
from stale_diffusion.dreamscapes.acoustics import add_grain, band, burst, resonance, reverberate, ring, shaped_noise
from stale_diffusion.dreamscapes.place import Array, Place, View, drift, middling
from stale_diffusion.dreamscapes.snowfall_plate import is_village
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve

LANDS = 0.5  # seconds from the creak of a bough to the snow on the ground (a fall of about 1.2 m)

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("outside the cabin everything vanishes in whirling white past midnight", {"hour": "night", "strength": "strong"}),
    ("one or two lazy crystals sink past the lamp at bedtime", {"hour": "night", "strength": "weak"}),
    ("a whiteout swallows the hamlet at lunchtime", {"hour": "day", "strength": "strong"}),
    ("hardly any flurries over the sleepy alpine roofs this afternoon", {"hour": "day", "strength": "weak"}),
    ("the evening disappears under a thick curtain of snow", {"hour": "dusk", "strength": "strong"}),
    ("first light, and the last of the storm drifts down in single flakes", {"hour": "dawn", "strength": "weak"}),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""


def metres(distance: float) -> float:
    """How far away a bough is, for event.distance in [0, 1]."""
    return float(4.0 * 10.0**distance)


def _sounds_of_air(stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
    """Wind over snow and the whisper of the flakes, (N, 2).

    Fresh snow absorbs 0.5 to 0.9 of the sound above 500 Hz (Datt et al. 2016), so the wind has no brightness.
    """
    gusts = stage.events("gust", start / rate - 9, (start + n) / rate)

    def spectrum(f: Array, t: float) -> Array:
        wind, snow = stage.value("wind", t), stage.value("rain", t)
        gust = float(lanes.envelope(gusts, np.array([t]), 0.6, 1.3)[0])
        rush = (0.006 + 0.34 * wind**1.7 + 0.24 * gust) * band(f, 55, 170 + 260 * wind, 1) / (1 + (f / 1100) ** 2)
        moan = (0.10 * wind**2 + 0.10 * gust) * resonance(f, 210 + 190 * wind + 70 * gust, 9)
        flakes = 0.0042 * snow * band(f, 2200, 7500, 1) * (0.6 + 0.8 * wind)
        return np.asarray((rush + moan + flakes + 0.0012 / (1 + f / 400)) * np.sqrt(f[-1] / 24000))

    both = shaped_noise(f"snowfall {stage.segment(start / rate).variant}", start, n, rate, spectrum, channels=3)
    return np.asarray(0.75 * both[:, :2] + 0.65 * both[:, 2:], np.float32)


def _bough(out: NDArray[np.float32], start: int, rate: int, e: Event) -> None:
    """A bough that creaks, springs up, and its snow that lands: a soft thump and powder."""
    rng = np.random.default_rng([int(e.time * 1000), 9])
    loud, at = (0.3 + 0.7 * e.strength) * 4.5 / (3 + metres(e.distance)), e.time
    pitch = rng.uniform(260, 520)
    for k in range(int(5 + 9 * e.strength)):
        wave = ring(rate, 0.05, [(pitch * (1 + 0.015 * k), 1, 0.035), (2.7 * pitch, 0.4, 0.02)], 0.0008)
        add_grain(out, start, rate, at, 0.10 * loud * (0.4 + 0.6 * rng.random()) * wave, e.x)
        at += rng.uniform(0.02, 0.05)
    thump = burst(rng, rate, 0.5, 50, 240, 0.012)
    add_grain(out, start, rate, e.time + LANDS, 0.26 * loud * thump, e.x)
    for k in range(4):
        powder = burst(rng, rate, 0.7, 700, 3200, 0.15)
        add_grain(out, start, rate, e.time + LANDS + 0.18 * k, 0.06 * loud * powder, e.x + 0.1 * k - 0.15)


# The partials of a church bell over its strike note, hum to octave nominal (Rossing, Science of Percussion, ch. 11).
_PARTIALS = ((0.5, 0.7, 9.0), (1.0, 1.0, 6.0), (1.2, 0.8, 5.0), (1.5, 0.35, 3.5), (2.0, 0.9, 3.0), (3.0, 0.3, 1.6),
             (4.0, 0.15, 1.0))  # fmt: skip


def _calls(stage: Stage, out: NDArray[np.float32], start: int, rate: int) -> None:
    """Church bell, crows, owls: all far, so their brightness is gone."""
    first, last = start / rate, (start + len(out)) / rate
    for e in stage.events("bell", first - 8, last):
        hz = 250 + 190 * float(stage.rng("bell", e.time).random())
        modes = [(hz * r * 2, a / (1 + (hz * r / 700) ** 2), t60) for r, a, t60 in _PARTIALS]
        loud = (0.03 + 0.05 * e.strength) / (0.6 + e.distance)
        add_grain(out, start, rate, e.time, loud * 0.5 * ring(rate, 7.5, modes, 0.05), 0.7 * e.x)
    for e in stage.events("bird", first - 3, last):
        rng = np.random.default_rng([int(e.time * 1000), 4])
        night = light.quarter_of_day(stage.segment(e.time).statics.get("hour", 0.5)) == "night"
        at, loud = e.time, (0.02 + 0.05 * e.strength) / (0.7 + 1.6 * e.distance)
        for k in range(2 if night else int(rng.integers(2, 5))):
            seconds = (0.35 + 0.4 * k) if night else rng.uniform(0.22, 0.34)
            s = np.arange(int(seconds * rate)) / rate / seconds
            if night:
                wave = np.sin(np.pi * s) ** 1.3 * np.sin(2 * np.pi * 355 * seconds * s * (1 - 0.02 * s))
            else:
                phase = 2 * np.pi * seconds * (520 * s + 60 * np.sin(np.pi * s) * s)
                rasp = 1 + 0.5 * np.sin(2 * np.pi * 71 * seconds * s)
                wave = rasp * np.sin(np.pi * s) ** 0.5 * sum(np.sin(h * phase) / h**0.7 for h in range(1, 6)) / 2.2
            add_grain(out, start, rate, at, loud * np.asarray(wave), e.x)
            at += seconds + (0.35 if night else rng.uniform(0.12, 0.3))


@final
class Snowfall(Place):
    """Snow that falls on a village or a cottage."""

    name = "snowfall"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """A few flakes to a blizzard; heavy snow comes with wind more often than not; fires are lit when it is dark."""
        force = rng.beta(0.9, 1.0)
        rain = drift(rng, segments, 0.05 + 0.86 * force, 0.03 + 0.07 * rng.random(), 10)
        windy = float(np.clip(0.55 * force * rng.random() + rng.beta(1.1, 3.5), 0.02, 0.9))
        wind = drift(rng, segments, windy, 0.03 + 0.1 * windy, 6)
        hour, variant = light.draw_hour(rng), int(rng.integers(65536))
        dark = 1 - light.daylight(hour)
        fire = drift(rng, segments, float(np.clip((0.35 + 0.45 * dark) * (0.5 + rng.random()), 0, 0.95)), 0.03, 12)
        smoke = drift(rng, segments, float(rng.beta(1.2, 1.8) * (0.5 + 0.5 * dark)), 0.06, 8)
        village = is_village(variant)
        rates = {
            "gust": 0.4 * wind**1.7, "creak": np.full_like(wind, (0.03 if village else 0.10) * (0.4 + rng.random())),
            "bird": np.full_like(wind, 0.09 * (1 - windy) * rng.random()),
        }  # fmt: skip
        happened = [pair for kind, rate in rates.items() for pair in lanes.happenings(rng, kind, rate, 2.2)]
        happened += self._bell(rng, segments) if village and rng.random() < 0.35 else []
        statics = self._statics(rng, hour, force)
        out = []
        for s in range(segments):
            events = sorted((e for i, e in happened if i == s), key=lambda e: -e.strength)[:SLOTS]
            blown = lanes.gusty(wind[s], events)
            curves = {"rain": rain[s], "wind": blown, "fire": fire[s], "steam": smoke[s]}
            fitted = {name: fit_curve(samples) for name, samples in curves.items()}
            out.append(
                Segment(self.name, self.name, variant, statics, fitted, tuple(sorted(events, key=lambda e: e.time)))
            )
        return out

    @staticmethod
    def _bell(rng: np.random.Generator, segments: int) -> list[tuple[int, Event]]:
        """The strokes of a bell, every 1.6 to 2.6 s from some time on."""
        at, every = rng.uniform(0, 6), rng.uniform(1.6, 2.6)
        x, far, strength = float(rng.uniform(-1, 1)), float(rng.random()), float(rng.beta(2, 2))
        strokes = []
        for _ in range(int(rng.integers(2, 13))):
            if at < 4 * segments:
                strokes.append((int(at // 4), Event("bell", float(min(at % 4, 3.99)), strength, x, far)))
            at += every
        return strokes

    @staticmethod
    def _statics(rng: np.random.Generator, hour: float, force: float) -> dict[str, float]:
        look = middling(rng, 0.09, 0.1, "warmth", "saturation", "exposure", "contrast")
        camera = {name: float(rng.random()) for name in ("height", "pan", "focal", "drift", "sun")}
        haze = float(np.clip(0.12 + 0.45 * force + rng.normal(0, 0.15), 0, 1))
        cloud = float(np.clip(0.55 + 0.4 * force + rng.normal(0, 0.12), 0.3, 1))
        return {"hour": hour, "cloud": cloud, "haze": haze, **look, **camera}

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """How hard it snows, on what, when, and some of wind, windows, smoke, bell and birds."""
        return _caption(segments, rng)

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: gusts (0.3, 30 Hz), wind, snow that lands (0.5 near by, 42 Hz, 0.25 s); back: flakes (0.05 at
        220 Hz), the creak (0.2, 140 Hz), the bell (0.1, 250 Hz). Air 0 C by day to -5 C at night, wind chills it by up
        to 5 C; wind to 12 m/s (Beaufort 6 is a snow storm)."""
        snow, wind = stage.values("rain", t), stage.values("wind", t)
        since, until = float(t.min()) - 9, float(t.max()) + 1e-6
        gust = lanes.envelope(stage.events("gust", since, until), t, 0.6, 1.3)
        boughs = stage.events("creak", since, until)
        near = [Event("creak", e.time + LANDS, e.strength * 7 / (3 + metres(e.distance))) for e in boughs]
        thump, creak = lanes.envelope(near, t, 0.012, 0.22), lanes.envelope(boughs, t, 0.03, 0.18, 2.0)
        bell = lanes.envelope(stage.events("bell", since, until), t, 0.01, 1.2, 1.0)
        parts = np.stack([0.10 * wind**2, 0.3 * gust, 0.55 * thump, 0.05 * snow, 0.22 * creak, 0.12 * bell])
        hertz = (parts * np.array([36, 30, 42, 220, 140, 250])[:, None]).sum(0) + 40 * 0.01
        day = lanes.slow(lambda s: light.daylight(stage.static("hour", s)), t)
        celsius = -5 + 5 * day - 4 * wind - 1.5 * gust + 1.5 * snow
        return lanes.felt(parts[:3].sum(0), parts[3:].sum(0), hertz / (parts.sum(0) + 0.01), celsius,
                          0.15 + 9 * wind**1.3 + 5 * gust)  # fmt: skip

    def smell(self, stage: Stage, t: Array) -> Array:
        """Cold air, more of it in the wind; wood smoke of the chimney, thinned by wind; firs around the cottage, most
        where a bough has shaken."""
        wind, smoke = stage.values("wind", t), stage.values("steam", t)
        day = lanes.slow(lambda s: light.daylight(stage.static("hour", s)), t)
        firs = lanes.slow(lambda s: float(not is_village(stage.segment(s).variant)), t)
        shaken = lanes.pulses(stage, "creak", t, 0.3, 3.0)
        return lanes.released({
            "cold air": 0.62 - 0.14 * day + 0.3 * wind, "wood smoke": 0.85 * smoke * (1 - 0.55 * wind),
            "pine": firs * (0.28 + 0.35 * shaken), "resin": 0.15 * firs * shaken,
        }, len(t))  # fmt: skip

    def taste(self, stage: Stage, t: Array) -> Array:
        """Snow tastes of nothing."""
        return np.zeros((len(t), 5))

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Soft wind, the whisper of flakes, boughs, bell and birds; a short dark tail: snow swallows the rest."""
        before = int(0.4 * rate)
        first, last = (start - before) / rate, (start + n) / rate
        out = _sounds_of_air(stage, start - before, n + before, rate)
        for e in stage.events("creak", first - 3, last):
            _bough(out, start - before, rate, e)
        _calls(stage, out, start - before, rate)
        return np.asarray(3.0 * reverberate(out, rate, 0.4, 0.10, seed=9, damping=900)[before:], np.float32)

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """See snowfall_picture.py."""
        return snowfall_picture.render(stage, t, view)


_SNOW = (
    ("a few snowflakes", "light snow", "gentle snow", "a little snow", "sparse snowflakes", "a thin snowfall",
     "soft slow flakes", "a light snowfall", "the odd snowflake", "a dusting of snow"),
    ("steady snow", "falling snow", "snow", "snowfall", "quiet steady snowfall", "even snow", "snowflakes",
     "moderate snow"),
    ("heavy snow", "thick snow", "a heavy snowfall", "dense snowfall", "big thick flakes", "snow coming down hard",
     "very heavy snow", "a great fall of snow"),
)  # fmt: skip
_STORM = ("a snowstorm", "driving snow", "a blizzard", "a blizzard of flakes", "a winter storm", "whirling snow")
_VERBS = (
    ("falls gently", "drifts down", "is falling lightly", "floats down", "just begins to fall"),
    ("falls", "is falling", "keeps falling", "comes down", "falls steadily"),
    ("falls thick and fast", "falls heavily", "comes down hard", "pours down", "buries everything"),
)
_VILLAGE = ("on a village", "on a small mountain village", "on a village with its church", "on snowy rooftops",
            "over the houses of a village", "on the roofs of a winter village", "on a sleepy village",
            "in an alpine village", "on a Christmas village")  # fmt: skip
_COTTAGE = ("on a cottage among firs", "at the edge of a fir wood", "on a lonely cottage",
            "around a cabin in the woods", "in a winter forest", "on a little house in the forest",
            "on fir trees and a cottage", "on a log cabin", "in the pine woods")  # fmt: skip
_SUBJECT = {
    True: ("a snowy village", "a village in winter", "a winter village in the snow", "the snow covered village",
           "rooftops under snow"),
    False: ("a snowy forest with a cottage", "a cabin in the snow", "a cottage in winter", "a winter wood",
            "a snowed-in cottage among the firs"),
}  # fmt: skip
_WHEN = {
    "night": ("at night", "on a winter night", "late at night", "after dark", "in the dark", "around midnight",
              "tonight", "in the middle of the night"),
    "dawn": ("at dawn", "at daybreak", "at first light", "on an early winter morning", "as the day breaks"),
    "morning": ("by day", "in the morning", "on a winter morning", "in the daytime", "before noon"),
    "noon": ("by day", "at noon", "at midday", "on a winter day", "in the daytime"),
    "afternoon": ("by day", "in the afternoon", "on a winter afternoon", "in the daytime"),
    "dusk": ("at dusk", "at nightfall", "in the evening", "in the blue hour", "on a winter evening", "as it gets dark"),
}  # fmt: skip
_WIND = (
    ("no wind", "the air is still", "not a breath of wind", "windless", "calm"),
    ("a light wind", "a breeze carries the flakes", "some wind", "the flakes drift sideways"),
    ("a strong wind", "the wind drives the snow", "gusts of icy wind", "the wind howls", "it blows hard"),
)
_WINDOWS = (
    ("the windows are nearly dark", "a dim window"),
    ("a lit window", "a warm window", "light in the windows"),
    ("windows glowing warm", "golden light in every window", "bright warm windows", "a window glowing in the snow"),
)
_SMOKE = ("smoke from the chimney", "the chimney smokes", "wood smoke in the air", "the smell of a wood fire")
_HUSH = ("muffled silence", "everything is hushed", "deep quiet", "the world gone quiet", "silence")
_FORMS = (
    "{snow} {where}", "{snow} {where} {when}", "{when}, {snow} {where}", "{verb} {where} {when}", "{verb} {where}",
    "{subject} {when}, {snow}", "{subject}, {snow} {when}, {more}", "{snow} {when}, {more}", "{when}: {snow}, {more}",
    "{verb} {when}, {more}, {more2}", "{snow} {where} {when}, {more}", "{more} and {snow} {when}", "{subject} {when}: "
    "{snow}, {more}, {more2}", "{snow}", "{snow} {when}", "{more}, {more2}, {snow} {where} {when}",
)  # fmt: skip


def _caption(segments: list[Segment], rng: np.random.Generator) -> str:
    pick, mean = partial(words.pick, rng=rng), partial(words.mean_where_given, segments)
    first = segments[0]
    village, hard = is_village(first.variant), words.level(mean("rain"), rng)
    part = light.part_of_day(first.statics["hour"] + rng.normal(0, 0.004))
    more = [pick(_WIND[words.level(1.3 * mean("wind"), rng)]), pick(_WINDOWS[words.level(mean("fire"), rng)])]
    if mean("steam") > 0.3:
        more.append(pick(_SMOKE))
    if mean("wind") < 0.25:
        more.append(pick(_HUSH))
    heard = {e.kind for s in segments for e in s.events}
    if "bell" in heard:
        more += [pick(("a church bell rings", "a distant bell", "the bell of the church"))] * 2
    if "bird" in heard:
        more.append(pick(("an owl calls",) if part == "night" else ("a crow caws", "crows far off")))
    if "creak" in heard and not village:
        more.append(pick(("snow slides off a bough", "a branch sheds its snow", "boughs creak under the snow")))
    order = [more[i] for i in rng.permutation(len(more))]
    others = [m for m in order if m != order[0]]
    snow = _STORM if hard == 2 and mean("wind") > 0.4 and rng.random() < 0.6 else _SNOW[hard]
    text = pick(_FORMS).format(
        snow=pick(snow), verb=f"snow {pick(_VERBS[hard])}", subject=pick(_SUBJECT[village]),
        where=pick(_VILLAGE if village else _COTTAGE), when=pick(_WHEN[part]), more=order[0], more2=others[0],
    )  # fmt: skip
    return words.written(text, rng)
