"""MPEG-V sensory effect metadata (ISO/IEC 23005-3), XML: wind, temperature, vibration, scent, light, water, fog,
and, where there is balance, rigid body motion.

Every effect is a pair, activate true and later false, and a change is a new pair. `duration` is left out, because
players read it as seconds whatever the time scale; and as one effect of a type ends the last, there is one scent at a
time, the strongest, one vibration, the stronger of seat and back, and one light, the mean of both edges of the picture.
Colours are names of the ColorCS, because players look them up in its table. Taste does not exist there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.formats import ambient
from stale_diffusion.formats.haptic import body
from stale_diffusion.formats.notes import notes
from stale_diffusion.movie import Movie
from stale_diffusion.senses import Sense, felt
from stale_diffusion.timeline import Track

TIMESCALE = 1000  # ticks a second
STEPS = 20  # levels of an intensity
ENTER, LEAVE = 0.12, 0.06  # of a scent
TAKE_OVER = 1.4  # how much stronger another note must be to replace the one that plays

LIGHT_STEPS = 10  # of a light's brightness
WATER = "urn:mpeg:mpeg-v:01-SI-SprayingTypeCS-NS:water"

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<SEM xmlns="urn:mpeg:mpeg-v:2010:01-SEDL-NS" xmlns:sev="urn:mpeg:mpeg-v:2010:01-SEV-NS"
 xmlns:si="urn:mpeg:mpeg21:2003:01-DIA-XSI-NS" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 si:timeScale="1000">
"""


@dataclass(frozen=True)
class Effect:
    """One change of one effect; intensity None switches it off.

    Args:
        seconds: when.
        kind: of MPEG-V, without "Type": Vibration, Wind, Temperature, Scent, Light, Spraying, Fog.
        intensity: from low to high.
        name: the note of a scent.
        colour: of a light, (3,) in [0, 1].
        location: left or right; everywhere, where nothing is said.
        element: all of it, as a sense has written it.
    """

    seconds: float
    kind: str
    intensity: float | None = None
    low: float = 0.0
    high: float = 100.0
    name: str = ""
    colour: tuple[float, ...] = ()
    location: str = ""
    element: str = ""

    def xml(self) -> str:
        """The element, one line."""
        if self.element:
            return self.element
        on = self.intensity is not None
        parts = [f'<Effect xsi:type="sev:{self.kind}Type" activate="{"true" if on else "false"}"']
        if on and self.name:
            parts.append(f'scent="{notes()[self.name].urn}"')
        if on and self.colour:
            parts.append(f'color="{ambient.COLOUR_CS}{ambient.named(np.array(self.colour))}"')
        if on and self.kind == "Spraying":
            parts.append(f'sprayingType="{WATER}"')
        if on:
            parts.append(f'intensity-value="{self.intensity:g}" intensity-range="{self.low:g} {self.high:g}"')
        parts.append(f'si:anchorElement="true" si:pts="{round(self.seconds * TIMESCALE)}"/>')
        return " ".join(parts)


def to_sem(movie: Movie) -> str:
    """The effects of a movie as an SEM document."""
    return "".join(stream(movie))


def stream(movie: Movie) -> Iterator[str]:
    """The same, a line at a time."""
    colours = ambient.light(movie).mean(axis=1)
    yield HEAD
    for effect in heapq.merge(*lanes(movie), lights(colours, movie.seconds), *_others(movie), key=lambda e: e.seconds):
        yield f"{effect.xml()}\n"
    yield "</SEM>\n"


def _others(movie: Movie) -> list[Iterator[Effect]]:
    """The effects of the senses that write theirs themselves."""

    def written(sense: Sense, track: Track) -> Iterator[Effect]:
        for time, element in sense.effects(track.values, movie.seconds):
            yield Effect(time, sense.name, element=element)

    return [written(felt()[name], track) for name, track in movie.tracks.items() if name in felt()]


def lanes(movie: Movie) -> list[Iterator[Effect]]:
    """The effects of each kind but light, in order of time: on, off, on, off."""
    end, found = movie.seconds, []
    if "touch" in movie.tracks:
        touch = movie.touch
        found.append(_steps("Vibration", body(touch) * 100, touch.rate, 0.25, end))
        found.append(_steps("Wind", touch.channel("wind").astype(np.float64) * 5, touch.rate, 1.0, end))
        found.append(_temperature(touch, end))
    if "smell" in movie.tracks:
        found.append(_scents(movie.smell, end))
    water, fog = ambient.weather(movie)
    found.append(_steps("Spraying", water * 100, ambient.RATE, 0.5, end))
    found.append(_steps("Fog", fog * 100, ambient.RATE, 4.0, end))
    return found


def lights(colours: NDArray[np.float64], end: float, location: str = "") -> Iterator[Effect]:
    """A light, told when its name or its brightness has moved; colours (T, 3) at ambient.RATE, black is off."""
    told: tuple[str, int] | None = None
    for i, colour in enumerate(colours[: round(end * ambient.RATE)]):
        brightness = round(float(colour.max()) * LIGHT_STEPS)
        new = (ambient.named(colour), brightness) if brightness else None
        if new == told or (new and told and new[0] == told[0] and abs(colour.max() * LIGHT_STEPS - told[1]) < 0.75):
            continue
        time = float(i / ambient.RATE)
        if told:
            yield Effect(time, "Light", location=location)
        if new:
            shown = tuple(colour.tolist())
            yield Effect(time, "Light", brightness * 100 / LIGHT_STEPS, colour=shown, location=location)
        told = new
    if told:
        yield Effect(end, "Light", location=location)


def _blocks(values: NDArray[np.float64], rate: Fraction, seconds: float) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Stretches of `seconds`, with the time at which each begins."""
    step = max(1, round(seconds * rate))
    for i in range(0, len(values), step):
        yield float(i / rate), values[i : i + step]


def _steps(kind: str, percent: NDArray[np.float64], rate: Fraction, every: float, end: float) -> Iterator[Effect]:
    """An intensity in 0-100, told when it moves by more than a level: the peak of each block, zero is off."""
    told = 0
    for time, block in _blocks(percent, rate, every):
        level = float(np.clip(block.max(), 0, 100)) / 100 * STEPS
        if abs(level - told) < 0.75 and (told == 0) == (level < 0.5):
            continue
        new = max(1, round(level)) if level >= 0.5 else 0
        if new == told:
            continue
        if told:
            yield Effect(time, kind)
        if new:
            yield Effect(time, kind, new * 100 / STEPS)
        told = new
    if told:
        yield Effect(end, kind)


def _temperature(track: Track, end: float) -> Iterator[Effect]:
    """Degrees Celsius, told when they move by one."""
    told: int | None = None
    for time, block in _blocks(track.channel("temperature").astype(np.float64), track.rate, 1.0):
        celsius = float(np.clip(block.mean(), -10, 50))
        if told is not None and abs(celsius - told) <= 0.75:
            continue
        if told is not None:
            yield Effect(time, "Temperature")
        told = round(celsius)
        yield Effect(time, "Temperature", told, -10, 50)
    if told is not None:
        yield Effect(end, "Temperature")


def _scents(track: Track, end: float) -> Iterator[Effect]:
    """The strongest note, told when it changes or its intensity moves by two levels."""
    table, playing, told = notes(), -1, 0
    for time, block in _blocks(track.values.astype(np.float64), track.rate, 0.5):
        level = block.mean(axis=0)
        top = int(level.argmax())
        if playing >= 0 and level[playing] >= LEAVE and level[top] < TAKE_OVER * level[playing]:
            top = playing
        present = level[top] >= (LEAVE if top == playing else ENTER) and track.channels[top] in table
        new = max(1, round(float(np.clip(level[top], 0, 1)) * STEPS)) if present else 0
        if top == playing and present and abs(new - told) < 2:
            continue
        if playing >= 0:
            yield Effect(time, "Scent")
        if present:
            yield Effect(time, "Scent", new * 100 / STEPS, name=track.channels[top])
        playing, told = (top, new) if present else (-1, 0)
    if playing >= 0:
        yield Effect(end, "Scent")
