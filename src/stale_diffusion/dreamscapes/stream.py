"""A forest stream: water between mossy stones under trees, by day and by moonlight.

The curves: flow (how much water, how fast), wind (in the leaves), light (sun or moon through the canopy), life (how
much the birds or frogs have to say). Events: splash (water slaps at x, nearer or farther), bird (sings), frog (calls,
at night), gust. A bird or frog is 3 + 30 * distance metres away; sound is as late as that takes.

Shapes: H rows, W columns, N samples of sound, T ticks.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes import lanes, light, stream_picture, words
from stale_diffusion.dreamscapes.acoustics import Sound, add_grain, band, burst, reverberate, shaped_noise
from stale_diffusion.dreamscapes.light import daylight
from stale_diffusion.dreamscapes.place import Array, Place, View, drift
from stale_diffusion.dreamscapes.stream_wood import is_conifer
from stale_diffusion.scene import SLOTS, Event, Segment, Stage, fit_curve

_envelope = partial(lanes.envelope, spreading=1.0)  # the nearer, the stronger

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("snowmelt thunders through the gorge under a high summer sun", {"hour": "day", "strength": "strong"}),
    ("owls might listen to this thread of water slipping past the roots", {"hour": "night", "strength": "weak"}),
    ("after lunch the creek bed is almost dry, a thin glassy ribbon remains", {"hour": "day", "strength": "weak"}),
    ("whitewater under the stars, foam shining between black boulders", {"hour": "night", "strength": "strong"}),
    ("the first robin, cool air, a spate rolling the pebbles along", {"hour": "dawn", "strength": "strong"}),
    ("fading light and a lazy beck between the ferns", {"hour": "dusk", "strength": "weak"}),
)


@final
class ForestStream(Place):
    """A stream between mossy stones."""

    name = "forest stream"

    def draw(self, rng: np.random.Generator, segments: int) -> list[Segment]:
        """Draw a scene: trickle to torrent, calm air or wind, birds by day, frogs at night."""
        low, high = ((0.79, 1.2), (0.225, 0.285), (0.31, 0.69), (0.705, 0.775))[
            rng.choice(4, p=(0.22, 0.17, 0.45, 0.16))
        ]
        hour = float(rng.uniform(low, high)) % 1
        day, cloud = daylight(hour), rng.beta(0.8, 1.0)
        flow = drift(rng, segments, 0.08 + 0.84 * rng.beta(0.9, 0.9), 0.02 + 0.04 * rng.random(), 16)
        wind = drift(rng, segments, 0.04 + 0.75 * rng.beta(1.0, 1.6), 0.08, 6)
        sun = drift(
            rng,
            segments,
            np.clip(0.95 - 0.8 * cloud + rng.normal(0, 0.06), 0.03, 1),
            0.05 + 0.12 * cloud * (1 - cloud),
            8,
        )
        life = drift(rng, segments, rng.beta(1.2, 1.3) * (1 - 0.5 * wind.mean()), 0.06, 10)
        morning = np.exp(-(((hour - 0.27) / 0.06) ** 2))
        statics = {
            "hour": hour, "cloud": cloud,
            "haze": np.clip(0.1 + 0.5 * rng.beta(1, 1.5) + 0.35 * morning, 0, 1),
            "warmth": rng.uniform(0.38, 0.66), "saturation": rng.uniform(0.42, 0.62),
            "exposure": rng.uniform(0.43, 0.57), "contrast": rng.uniform(0.42, 0.6),
            "height": rng.random(), "pan": rng.random(), "focal": rng.random(),
            "drift": rng.random(), "sun": light.draw_sun(rng),
        }  # fmt: skip
        statics = {k: float(v) for k, v in statics.items()}
        variant = int(rng.integers(65536))
        out = []
        for i in range(segments):
            events = self._events(rng, flow[i], wind[i], life[i], day, float(morning))
            wind[i] = lanes.gusty(wind[i], events)
            named = {"flow": flow[i], "wind": wind[i], "light": sun[i], "life": life[i]}
            curves = {name: fit_curve(values) for name, values in named.items()}
            out.append(Segment(self.name, self.name, variant, statics, curves, tuple(events)))
        return out

    @staticmethod
    def _events(
        rng: np.random.Generator, flow: Array, wind: Array, life: Array, day: float, morning: float
    ) -> list[Event]:
        """What happens in one segment."""

        def x() -> float:
            return float(rng.uniform(-1, 1))

        events = [
            Event("gust", time, float(np.clip(wind.mean() + rng.normal(0.1, 0.12), 0.1, 1)), x())
            for time in lanes.happens(rng, 0.3 * wind**2)[:2]
        ]
        events += [
            Event("bird", time, float(rng.beta(3, 2)), x(), float(rng.random()))
            for time in lanes.happens(rng, 0.9 * life**1.5 * min(day + morning, 1.5))[:4]
        ]
        events += [
            Event("frog", time, float(rng.beta(3, 2)), x(), float(rng.random()))
            for time in lanes.happens(rng, 1.0 * life**1.5 * (1 - day) * (1 - 0.7 * morning))[:4]
        ]
        splashes = [
            Event(
                "splash",
                time,
                float(np.clip(rng.beta(2, 4) + 0.4 * flow.mean(), 0, 1)),
                float(np.clip(rng.normal(0, 0.35), -1, 1)),
                float(rng.random()),
            )
            for time in lanes.happens(rng, 0.05 + 1.8 * flow**1.5)
        ]
        return sorted([*events, *splashes[: SLOTS - len(events)]], key=lambda e: e.time)

    def caption(self, segments: list[Segment], rng: np.random.Generator) -> str:
        """A sentence on the water, the forest, when, the light, wind and voices; parts are left out at random."""
        return _caption(segments, rng)

    def touch(self, stage: Stage, t: Array) -> Array:
        """Seat: the rumble of the water (30-55 Hz) and gusts. Back: splashes and leaves, a flutter of near birds."""
        since, until = float(t.min()) - 8, float(t.max()) + 1e-6
        flow, wind, sun = (stage.values(name, t) for name in ("flow", "wind", "light"))
        gust = _envelope(stage.events("gust", since, until), t, 0.35, 1.0)
        splash = _envelope(stage.events("splash", since, until), t, 0.012, 0.16)
        voices = _envelope(stage.events("bird", since, until), t, 0.05, 0.3)
        frogs = _envelope(stage.events("frog", since, until), t, 0.02, 0.2)
        seat = 0.03 + 0.5 * flow**1.6 + 0.15 * gust + 0.1 * splash
        back = 0.04 * flow + 0.6 * splash + 0.12 * wind**2 + 0.12 * gust + 0.08 * voices + 0.12 * frogs
        hertz = ((32 + 24 * flow) * seat + (110 + 70 * wind) * back + 0.5) / (seat + back + 0.01)
        day = lanes.slow(lambda s: daylight(stage.static("hour", s)), t)
        warm = lanes.slow(lambda s: stage.static("warmth", s), t)
        celsius = 8 + 7 * day + 4 * day * sun + 4 * (warm - 0.5) - 2.5 * flow - 1.5 * wind
        air = 0.3 + 0.4 * flow + 3.2 * wind + 3.5 * gust
        return lanes.felt(seat, back, hertz, celsius, air)

    def smell(self, stage: Stage, t: Array) -> Array:
        """Moss, wet earth and wet stone; pine and resin in the warmth of conifers, leaves and flowers elsewhere."""
        flow, wind, sun = (stage.values(name, t) for name in ("flow", "wind", "light"))
        day = lanes.slow(lambda s: daylight(stage.static("hour", s)), t)
        haze = lanes.slow(lambda s: stage.static("haze", s), t)
        conifer = lanes.slow(lambda s: float(is_conifer(stage.segment(s).variant)), t)
        warm = day * (0.4 + 0.6 * sun)
        thin = 1 - 0.35 * wind  # wind dilutes
        released = {
            "moss": (0.35 + 0.25 * haze + 0.25 * flow) * thin,
            "wet earth": (0.3 + 0.35 * haze + 0.1 * flow) * thin,
            "rain on stone": (0.1 + 0.4 * flow) * thin,
            "cold air": np.clip(0.5 * (1 - day) + 0.2 * flow + 0.15 * wind, 0, 1),
            "leaf litter": (0.45 - 0.27 * conifer) * (0.6 + 0.4 * warm) * thin,
            "pine": conifer * (0.25 + 0.45 * warm + 0.15 * wind) * thin,
            "resin": conifer * (0.08 + 0.5 * warm) * thin,
            "flowers": (1 - conifer) * 0.35 * warm * thin,
            "cut grass": (1 - conifer) * (0.08 + 0.15 * warm) * thin,
        }
        return lanes.released(released, len(t))

    def taste(self, stage: Stage, t: Array) -> Array:
        """Nothing."""
        return np.zeros((len(t), 5))

    def sound(self, stage: Stage, start: int, n: int, rate: int) -> NDArray[np.float32]:
        """Water over stones, bubble by bubble; splashes, leaves in the wind, birds, frogs and crickets, in a wood."""
        before = int(_ECHO_SECONDS * rate)
        dry = _dry(stage, start - before, n + before, rate)
        wet = reverberate(dry, rate, _ECHO_SECONDS, 0.2, damping=3000)[before:]
        return np.asarray(0.89 * np.tanh(wet / 0.89), np.float32)

    def picture(self, stage: Stage, t: float, view: View) -> Tensor:
        """See stream_picture.py."""
        return stream_picture.picture(stage, t, view)


_ECHO_SECONDS = 0.7


@lru_cache(maxsize=4)
def _bubbles(rate: int) -> list[Array]:
    """Bubbles from large to small: a sine that decays and rises, pitch = 3.26 m/s / radius (Minnaert 1933)."""
    rng = np.random.default_rng(5)
    waves = []
    for hz in np.exp(np.linspace(np.log(380), np.log(4400), 96)):
        tau = rng.uniform(2.5, 9) / hz
        t = np.arange(int(7 * tau * rate)) / rate
        rise = rng.uniform(0, 0.25) / (5 * tau)
        waves.append(np.sin(2 * np.pi * hz * t * (1 + rise * t)) * np.exp(-t / tau) * np.minimum(1, t / (0.15 * tau)))
    return waves


@lru_cache(maxsize=4)
def _spray(rate: int) -> list[Array]:
    """Small splashes: short bursts of noise."""
    rng = np.random.default_rng(6)
    return [burst(rng, rate, rng.uniform(0.008, 0.03), 2200, 7000, 0.001) for _ in range(31)]


def _babble(out: Sound, start: int, rate: int, stage: Stage, variant: int) -> None:
    """Bubbles at the stones of this stream, each quarter of a second by a counter of its own, in place."""
    bubbles, spray = _bubbles(rate), _spray(rate)
    spots = np.random.default_rng([variant, 3]).normal(0, 0.45, 6).clip(-1, 1)
    for tick in range(int(np.floor(start / rate * 4)) - 1, int(np.ceil((start + len(out)) / rate * 4))):
        rng = np.random.default_rng([3, variant, tick & 0xFFFFFFFF])
        flow = stage.value("flow", tick / 4)
        count = int(rng.poisson((22 + 150 * flow) / 4))
        at = spots[rng.integers(6, size=count)] + rng.normal(0, 0.12, count)
        size = rng.beta(1.8, 1.6 + 0.8 * flow, count)  # more water, larger bubbles
        gains = rng.exponential(0.040 + 0.05 * flow, count).clip(0, 0.3) * (1.1 - 0.7 * size)
        when = (tick + rng.random(count)) / 4
        for time, x, s, gain in zip(when.tolist(), at.tolist(), size, gains, strict=True):
            add_grain(out, start, rate, time, gain * bubbles[int(s * 95.9)], x)
        for k in range(count // 3):  # the water that is thrown up falls back
            add_grain(
                out, start, rate, float(when[k]) + 0.03, 0.35 * gains[-k - 1] * spray[k % len(spray)], float(at[k])
            )


def _song(e: Event, variant: int, rate: int) -> Array:
    """A bird's phrase: whistled notes that glide; a variant has a few birds, each known by its place."""
    bird = np.random.default_rng([variant, 11, int((e.x + 1) * 2.5)])
    low, high, notes, speed = (
        bird.uniform(2300, 3200),
        bird.uniform(3800, 6200),
        bird.integers(2, 8),
        bird.uniform(0.07, 0.2),
    )
    trill, shapes = bird.random() < 0.4, bird.uniform(0, 1, (3, 3))
    rng = np.random.default_rng([variant, int(e.time * 512)])
    parts = []
    for k in range(int(notes)):
        a, b, bend = shapes[0 if trill else k % 3] + rng.normal(0, 0.03, 3)
        t = np.arange(int(speed * (0.7 + 0.6 * abs(bend)) * rate)) / rate
        p = t / t[-1]
        hz = low + (high - low) * np.clip(a + (b - a) * p + 0.5 * (bend - 0.5) * np.sin(np.pi * p), 0, 1.1)
        tone = np.sin(2 * np.pi * np.cumsum(hz) / rate) + 0.06 * np.sin(4 * np.pi * np.cumsum(hz) / rate)
        parts += [tone * np.sin(np.pi * p) ** 0.7, np.zeros(int(speed * (0.25 if trill else 0.7) * rate))]
    return np.concatenate(parts)


def _croak(e: Event, variant: int, rate: int) -> Array:
    """A frog's call: pulses of a resonant throat."""
    frog = np.random.default_rng([variant, 12, int((e.x + 1) * 2)])
    hz, pulses = frog.uniform(480, 1100), frog.uniform(22, 48)
    t = np.arange(int(frog.uniform(0.22, 0.6) * rate)) / rate
    beat = (t * pulses) % 1
    throat = (
        np.sin(2 * np.pi * hz * t) + 0.5 * np.sin(2 * np.pi * 2.02 * hz * t) + 0.3 * np.sin(2 * np.pi * 3.1 * hz * t)
    )
    return np.asarray(throat * np.exp(-4 * beat) * np.minimum(1, beat * 12) * np.abs(np.sin(np.pi * t / t[-1])) ** 0.5)


def _voices(out: Sound, stage: Stage, start: int, rate: int, variant: int) -> None:
    since, until = start / rate - 6, (start + len(out)) / rate
    for kind, wave, loud in (("bird", _song, 0.13), ("frog", _croak, 0.12)):
        for e in stage.events(kind, since, until):
            metres = 3 + 30 * e.distance
            late = e.time + metres / 343
            add_grain(
                out, start, rate, late, loud * (0.3 + e.strength) / (1 + metres / 10) * wave(e, variant, rate), e.x
            )
    for e in stage.events("splash", since, until):
        rng = np.random.default_rng([variant, 13, int(e.time * 512)])
        loud = (0.03 + 0.14 * e.strength) / (1 + e.distance)
        add_grain(out, start, rate, e.time, loud * burst(rng, rate, 0.12 + 0.2 * e.strength, 500, 4200, 0.006), e.x)
        for _ in range(3 + int(7 * e.strength)):
            bubble = _bubbles(rate)[int(rng.beta(1.2, 3) * 95)]
            add_grain(out, start, rate, e.time + float(rng.exponential(0.06)), 0.9 * loud * rng.random() * bubble, e.x)


def _dry(stage: Stage, start: int, n: int, rate: int) -> Sound:
    t = (start + np.arange(n)) / rate
    grid = np.arange(np.floor(t[0] * 64), np.ceil(t[-1] * 64) + 1) / 64
    variant = stage.segment(start / rate).variant
    gusts, density = stage.events("gust", float(grid[0]) - 8, float(grid[-1]) + 0.2), (rate / 48000) ** 0.5
    leaves = (300.0, 1800.0) if is_conifer(variant) else (1200.0, 6000.0)

    def bed(f: Array, s: float) -> Array:
        flow, wind = stage.value("flow", s), stage.value("wind", s)
        air = wind**1.5 + 1.3 * float(_envelope(gusts, np.array([s]), 0.35, 1.0)[0])
        water = (0.024 + 0.135 * flow**1.3) * (band(f, 620 - 330 * flow, 1800, 2) + 0.07 * band(f, 3500, 6500, 2))
        rest = 0.14 * flow**2 * band(f, 45, 170, 1) + air * (0.11 * band(f, *leaves, 1.2) + 0.05 * band(f, 50, 200, 1))
        return np.asarray(density * (water + rest))

    noise = shaped_noise(f"forest stream {variant}", start, n, rate, bed, channels=3)
    out = np.asarray(0.75 * noise[:, :2] + 0.66 * noise[:, 2:], np.float32)  # the sides share a part
    _babble(out, start, rate, stage, variant)
    _voices(out, stage, start, rate, variant)
    night = 1 - lanes.slow(lambda s: daylight(stage.static("hour", s)), grid)
    crickets = np.interp(t, grid, 0.016 * night * stage.values("life", grid) * (1 - stage.values("flow", grid)))
    if crickets.max() > 1e-4:
        for x, hz, pulse in ((-0.6, 4230.0, 0.41), (0.5, 4510.0, 0.53)):
            chirp = (
                np.maximum(np.sin(2 * np.pi * 29 * t), 0) ** 2 * ((t / pulse) % 1 < 0.25) * np.sin(2 * np.pi * hz * t)
            )
            out += ((crickets * chirp)[:, None] * np.array([1 - x, 1 + x])).astype(np.float32)
    return out


_DAY = ("by day", "in the daytime", "during the day")
_WHEN = {
    "night": ("at night", "in the night", "by moonlight", "after dark", "under the moon", "late at night"),
    "dawn": ("at dawn", "at daybreak", "at first light", "at sunrise", "as the day breaks"),
    "morning": (*_DAY, "in the morning", "this morning", "before noon"),
    "noon": (*_DAY, "at noon", "at midday", "in the middle of the day"),
    "afternoon": (*_DAY, "in the afternoon", "this afternoon", "after lunch"),
    "dusk": ("at dusk", "in the evening", "at nightfall", "at twilight", "as evening falls"),
}
_WATER = (
    (
        "a trickle of water", "a gentle stream", "a quiet brook", "a small, slow stream", "a calm creek",
        "a weak little stream", "a shallow brook",
    ),
    ("a stream", "a brook", "a clear creek", "a lively stream", "a babbling brook", "running water"),
    (
        "a rushing stream", "a strong current", "a roaring torrent", "a swollen creek", "wild water",
        "a powerful stream", "a fast, foaming brook",
    ),
)  # fmt: skip
_FLOWS = (
    ("trickles", "winds slowly", "murmurs", "seeps quietly", "slips softly"),
    ("flows", "runs", "babbles", "ripples", "makes its way"),
    ("rushes", "roars", "foams", "crashes", "thunders", "races"),
)
_SHORT = (("gentle", "quiet", "calm", "slow"), ("", "", "babbling"), ("rushing", "roaring", "wild", "foaming"))
_THROUGH = {
    False: (
        "through a forest",
        "through the woods",
        "between mossy stones",
        "under beech trees",
        "through green woodland",
        "past ferns",
        "over stones",
    ),
    True: (
        "through a pine forest",
        "under tall spruces",
        "between mossy stones",
        "through dark firs",
        "past ferns",
        "between conifers",
        "over rocks",
    ),
}
_LIGHT = (
    ("overcast", "a grey sky above the leaves", "no sun", "dull light"),
    ("soft light", "thin clouds", "a little sun through the leaves"),
    ("sunlight through the leaves", "beams of sun", "bright dapples of light", "shafts of light between the trunks"),
)
_MOON = (
    ("a moonless, cloudy sky", "hardly any light"),
    ("a pale moon",),
    ("bright moonlight", "moonlight through the branches", "a clear moon"),
)
_WIND = (
    ("no wind", "the air is still", "hardly a breath of wind"),
    ("a breeze in the leaves", "some wind", "leaves stirring"),
    ("strong wind in the trees", "gusts shake the branches", "the trees roar in the wind"),
)
_VOICES = {
    "bird": ("birds sing", "birdsong", "a bird calls", "birds in the branches"),
    "frog": ("frogs croak", "a frog calls", "frogs by the water"),
}
_QUIET = {"bird": ("no birds",), "frog": ("no frogs",)}
_HAZE = ("clear air", "light haze", "mist between the trees")


def _caption(segments: list[Segment], rng: np.random.Generator) -> str:
    pick, mean = partial(words.pick, rng=rng), partial(words.mean_where_given, segments)
    first = segments[0]
    hour = first.statics["hour"]
    flow, conifer, day = words.level(mean("flow"), rng), is_conifer(first.variant), daylight(hour)
    dark = day < 0.02
    when = pick(_WHEN[light.part_of_day(hour + rng.normal(0, 0.004))])
    style = rng.random()
    if style < 0.15:
        short = " ".join(
            filter(
                None,
                (
                    pick(_SHORT[flow]),
                    pick(("forest stream", "woodland brook", "stream in a forest", "creek in the woods")),
                ),
            )
        )
        return pick((short, f"{short}, {when}"))
    subject = f"{pick(_WATER[flow])} {pick(_THROUGH[conifer])}"
    if rng.random() < 0.4:
        water = pick(("a stream", "a brook", "a creek", "the stream", "water"))
        subject = f"{water} {pick(_FLOWS[flow])} {pick(_THROUGH[conifer])}"
    more = [when]
    if (dark or day > 0.5) and rng.random() < 0.45:
        more.append(pick((_MOON if dark else _LIGHT)[words.level(mean("light"), rng)]))
    if rng.random() < 0.35:
        more.append(pick(_WIND[words.level(mean("wind"), rng)]))
    kinds = [e.kind for s in segments for e in s.events]
    for kind in ("bird", "frog"):
        if kind in kinds and rng.random() < 0.5:
            more.append(pick(_VOICES[kind]))
    if not {"bird", "frog"} & set(kinds) and rng.random() < 0.15:
        more.append(pick(_QUIET["frog" if dark else "bird"]))
    if rng.random() < 0.2:
        more.append(_HAZE[words.level(first.statics["haze"], rng)])
    if style < 0.3:
        return f"{when}, {subject}, {more[-1]}" if len(more) > 1 else f"{when}, {subject}"
    if style < 0.4:
        return f"{pick(('a forest', 'in the woods', 'a mossy valley'))} {when}: {', '.join([subject, *more[1:]])}"
    return ", ".join([subject, *[m for m in more if rng.random() < 0.75]])
