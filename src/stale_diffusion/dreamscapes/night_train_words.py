"""How a ride in a night train is said."""

from __future__ import annotations

from functools import partial

import numpy as np

from stale_diffusion.dreamscapes import light, words
from stale_diffusion.scene import Segment

HELD_OUT_WORDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("the night express hurtles past sleeping villages at one in the morning", {"hour": "night", "strength": "strong"}),
    ("crawling out of the yard in a couchette long after bedtime", {"hour": "night", "strength": "weak"}),
    ("as the sun goes down the carriage flies over the points", {"hour": "dusk", "strength": "strong"}),
    ("our sleeping car inches through the suburbs while evening comes", {"hour": "dusk", "strength": "weak"}),
    ("daybreak through the berth window at two hundred an hour", {"hour": "dawn", "strength": "strong"}),
    ("barely rolling on the railway at sunrise, everyone still asleep", {"hour": "dawn", "strength": "weak"}),
)
"""For evaluation only: sentences that `caption` never says, with what they mean."""

_TRAIN = ("a night train", "the night train", "a sleeper train", "an overnight train", "a sleeping car",
          "a train", "an old night train", "a railway carriage")  # fmt: skip
_DAWN_TRAIN = ("a sleeper train", "an overnight train", "a sleeping car", "a train", "the night train",
               "a railway carriage")  # fmt: skip
_WINDOW = ("the window of {train}", "a window seat in {train}", "looking out of the window of {train}",
           "inside {train}", "a compartment of {train}", "riding {train}", "lying awake in {train}",
           "in the compartment of {train}", "the view from {train}", "aboard {train}")  # fmt: skip
_PACE = (
    ("rolling slowly", "creeping along", "barely moving", "moving at a walking pace", "pulling out slowly",
     "slowing down", "rolling gently along", "a slow train"),
    ("at an easy speed", "rolling along", "rattling along", "at a steady pace", "travelling on", "clattering along"),
    ("at full speed", "racing along", "speeding through the country", "rushing through the night", "going very fast",
     "thundering along", "flying along the rails", "a fast train"),
)  # fmt: skip
_DAWN_PACE = tuple(tuple(p for p in row if "night" not in p) for row in _PACE)
_WHEN = {
    "night": ("at night", "in the middle of the night", "late at night", "in the dark", "after midnight",
              "through the night", "around midnight", "in the small hours", "tonight"),
    "dusk": ("at dusk", "in the evening", "at nightfall", "at twilight", "in the blue hour", "after sunset"),
    "dawn": ("at dawn", "at daybreak", "before sunrise", "at first light", "early in the morning"),
    "morning": ("at dawn", "at daybreak", "early in the morning"),
}  # fmt: skip
_LIGHTS = (
    ("hardly a light outside", "black country outside", "nothing but darkness outside", "an empty dark landscape",
     "one far light"),
    ("a few lights go by", "lamps pass now and then", "distant lights of a village", "scattered farm lights"),
    ("town lights stream past", "the lights of a city", "street lamps and windows fly past", "lit suburbs go by",
     "signals and street lamps flash by"),
)  # fmt: skip
_DAWN_LIGHTS = (("hardly a light outside", "an empty landscape", "one far light"), _LIGHTS[1], _LIGHTS[2])
_RAIN = (
    ("a few raindrops on the glass", "a little rain on the window", "drizzle on the pane"),
    ("rain on the window", "raindrops run across the glass", "rain streaks the pane"),
    ("heavy rain on the window", "rain lashes the glass", "rain streams across the pane", "pouring rain outside"),
)
_LAMP = (
    ("the lamp is out", "a dark compartment", "the compartment is dark"),
    ("a dim reading lamp", "the reflection of a small lamp in the glass", "a faint reflection in the window"),
    ("a lit compartment reflected in the window", "warm lamplight in the glass", "the lamp mirrored in the pane",
     "a cosy lit compartment"),
)  # fmt: skip
_LAND = {
    True: ("mountains against the sky", "through the mountains", "dark mountains go by", "an alpine line"),
    False: ("across a plain", "flat fields outside", "open country", "through the lowlands"),
}
_RAILS = ("the clack of the rail joints", "the rhythm of the rails", "wheels clicking over the joints",
          "clickety-clack of the wheels", "the wheels sing on the rails", "the rumble of the wheels")  # fmt: skip
_COFFEE = ("coffee on the table", "a cup of coffee", "the smell of coffee", "a steaming coffee by the window",
           "a hot coffee in a glass")  # fmt: skip
_HEARD = {
    "passing": ("another train rushes past", "a train passes on the other track", "a lit train flashes by"),
    "bell": ("a level crossing goes by", "the bell of a level crossing", "a crossing bell rings past"),
    "whistle": ("the engine whistles", "a train whistle", "the horn sounds ahead", "a long whistle"),
    "creak": ("the carriage creaks", "the woodwork creaks", "the car sways and creaks"),
    "clink": ("a glass clinks on the table", "a spoon clinks in a cup"),
}
_FORMS = (
    "{window} {when}", "{window} {when}, {pace}", "{window}, {pace}, {more}", "{when}, {window}, {more}",
    "{train} {when}, {pace}, {more}", "{window} {when}: {more}, {more2}", "{more}, {more2}, {window} {when}, {pace}",
    "{train} {pace} {when}", "{train} {pace}, {more}", "{pace} in {train} {when}, {more}", "{window}",
    "{more} and {more2}, {window} {when}", "{window} {when}, {pace}, {more} and {more2}", "{when} in {train}, {pace}",
    "{train} {when}", "{pace} {when}, {window}, {more}, {more2}",
)  # fmt: skip


def _details(segments: list[Segment], night: bool, rng: np.random.Generator) -> list[str]:
    """Everything true that could be added."""
    pick, mean = partial(words.pick, rng=rng), partial(words.mean_where_given, segments)
    first, heard = segments[0], {e.kind for s in segments for e in s.events}
    details = [pick((_LIGHTS if night else _DAWN_LIGHTS)[words.level(mean("life"), rng)])]
    details.append(pick(_LAMP[words.level(mean("light"), rng)]))
    details.append(pick(_LAND[first.variant >= 32768]))
    if mean("rain") > 0.05:
        details += [pick(_RAIN[words.level(mean("rain"), rng)])] * 2
    if mean("flow") > 0.12:
        details.append(pick(_RAILS))
    if mean("steam") > 0.1:
        details += [pick(_COFFEE)] * 2
    if night and first.statics["cloud"] < 0.3:
        details.append(pick(("a starry sky", "stars over the fields", "moonlight outside")))
    if first.statics["haze"] > 0.6:
        details.append(pick(("mist over the fields", "a foggy night") if night else ("mist over the fields", "fog")))
    return [*details, *(pick(_HEARD[kind]) for kind in sorted(heard) if kind in _HEARD)]


def caption(segments: list[Segment], rng: np.random.Generator) -> str:
    """The window, how fast, when, and some of rain, lights, land, reflections, coffee and what is heard."""
    pick = partial(words.pick, rng=rng)
    part = light.part_of_day(segments[0].statics["hour"] + rng.normal(0, 0.004))
    part = part if part in _WHEN else "dusk" if part == "afternoon" else "dawn"
    night = part == "night"
    pace = words.level(words.mean_where_given(segments, "flow"), rng)
    train = pick(_TRAIN if night else _DAWN_TRAIN)
    details = _details(segments, night, rng)
    order = [details[i] for i in rng.permutation(len(details))]
    others = [m for m in order if m != order[0]]
    text = pick(_FORMS).format(
        window=pick(_WINDOW).format(train=train), train=train, when=pick(_WHEN[part]), more=order[0], more2=others[0],
        pace=pick((_PACE if night else _DAWN_PACE)[pace]),
    )  # fmt: skip
    return words.written(text, rng)
