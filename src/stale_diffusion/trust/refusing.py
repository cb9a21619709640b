"""`--refuse`: look at a movie and pixelate, cut out or withhold what the prude refuses, in every sense.

Pixels of a picture are large squares, of a sound large fields of time and frequency filled with noise, of touch, smell
and taste one value a moment at four levels.

Shapes: T samples, H rows, W columns, G moments, R, C places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import RGB, Filmed, Movie, Screen, Sound
from stale_diffusion.recipe import Recipe
from stale_diffusion.senses import SENSES, hearing
from stale_diffusion.senses.sight import COLUMNS, ROWS
from stale_diffusion.timeline import RANGES, Track
from stale_diffusion.trust.features import MOMENT, watch
from stale_diffusion.trust.prude import Prude, Verdict

WAYS = ("pixelate", "cut", "stop")
SQUARES = 20  # mosaic squares across the picture
LEVELS = 4
_FIELD = 8  # bands of a pixel of sound


@dataclass(frozen=True)
class Refusal:
    """Which moments (G,) are refused, where (G, R, C), and by which sense of them, {sense: (G,)}."""

    moments: NDArray[np.bool_]
    places: NDArray[np.bool_]
    senses: dict[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, verdict: Verdict) -> Refusal:
        """A verdict with a margin: the moments before and after, the places around; what is only heard, everywhere."""
        moments = _grown(verdict.refused)
        senses = {n: _grown(s > 0) for n, s in verdict.scores.items()}
        places = np.zeros((len(moments), ROWS, COLUMNS), bool)
        if verdict.places is not None:
            seen = verdict.scores["sight"][: len(verdict.places)] > 0
            top = verdict.places.max((1, 2), keepdims=True)
            own = ((verdict.places > 0) | (verdict.places == top)) & seen[:, None, None]
            places[: len(own)] = _grown(own)
        places[moments & ~places.any((1, 2))] = True
        return cls(moments, places & moments[:, None, None], senses)

    @property
    def spans(self) -> list[tuple[float, float, list[str]]]:
        """(from, until, senses that were refused), in seconds."""
        found, at = [], 0
        for refused, run in groupby(self.moments):
            count = len(list(run))
            if refused:
                why = [n for n, s in self.senses.items() if s[at : at + count].any()]
                found.append((at * MOMENT, (at + count) * MOMENT, why))
            at += count
        return found


def _grown(x: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True, or next to what is, along every axis."""
    for axis in range(x.ndim):
        padded = np.pad(x, [(int(a == axis),) * 2 for a in range(x.ndim)])
        n = x.shape[axis]
        x = np.asarray(np.any([padded.take(np.arange(i, i + n), axis) for i in range(3)], 0))
    return x


def check_way(way: str) -> None:
    """Refuse what is none of WAYS."""
    if way not in WAYS:
        mend = f"--refuse-with {' or '.join(WAYS)}"
        raise StaleError(f"What is refused cannot be met with {way!r}.", mend=mend, usage=True)


def refuse(movie: Movie, prude: Prude, way: str = "pixelate") -> Movie:
    """The movie without what the prude refuses; the same movie where there is nothing.

    Args:
        way: one of WAYS. A movie that is cut is shorter, and has no scene to be edited by.

    Raises:
        StaleError: `way` is "stop" and something was refused, or nothing would be left.
    """
    check_way(way)
    if movie.screen is None:
        raise StaleError("This movie has neither picture nor sound to look at.", mend="generate or open one first")
    refusal = Refusal.of(prude.judge(watch(movie.screen)))
    if not refusal.moments.any():
        return _noted(movie, prude, ["nothing was refused"])
    if isinstance(movie.screen, Filmed) and movie.screen.probe.video is None and way != "stop":
        why = "its sound alone cannot be written again yet"
        raise StaleError(f"{prude.name} refuses some of this sound.", why, "--refuse-with stop")
    lines = [f"{way} {a:.2f}-{min(b, movie.seconds):.2f} s, by {' and '.join(why)}" for a, b, why in refusal.spans]
    if way == "stop":
        raise StaleError(
            f"{prude.name} refuses this movie.", "; ".join(lines), "another plot or --seed, or --refuse-with pixelate"
        )
    if way == "cut":
        return _noted(_cut(movie, refusal), prude, lines)
    tracks = {n: _pixelated(track, refusal.moments) for n, track in movie.tracks.items()}
    return _noted(replace(movie, tracks=tracks, screen=Pixelated(movie.screen, refusal)), prude, lines)


def _noted(movie: Movie, prude: Prude, lines: list[str]) -> Movie:
    recipe = movie.recipe or Recipe("")
    by = f"{prude.name}, sha256 {prude.digest}"
    return replace(movie, recipe=replace(recipe, refused=[*recipe.refused, by, *lines]))


def _pixelated(track: Track, moments: NDArray[np.bool_]) -> Track:
    """Each refused moment at its mean, at one of LEVELS levels of the range."""
    values = track.values.copy()
    for g in np.flatnonzero(moments):
        at = slice(round(g * MOMENT * track.rate), max(round((g + 1) * MOMENT * track.rate), 1))
        if not len(values[at]):
            continue
        for c, name in enumerate(track.channels):
            low, high, _ = RANGES.get(name, (float(track.values[:, c].min()), float(track.values[:, c].max()), 0.0))
            step = (high - low) / (LEVELS - 1) or 1.0
            values[at, c] = low + step * np.round((values[at, c].mean() - low) / step)
    return replace(track, values=values, curves=())


@final
class Pixelated(Screen):
    """Another screen, refused places of refused moments in large squares, refused sound in large fields."""

    def __init__(self, screen: Screen, refusal: Refusal) -> None:
        self.screen, self.refusal = screen, refusal
        self.kind = screen.kind

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.screen.seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures at (width, height) and fps."""
        for i, frame in enumerate(self.screen.frames(size, fps)):
            g = min(int(float(i / fps) / MOMENT), len(self.refusal.moments) - 1)
            yield _mosaic(frame, self.refusal.places[g]) if self.refusal.moments[g] else frame

    def sound(self, rate: int) -> Iterator[Sound]:
        """Sound, moment by moment."""
        n = round(rate * MOMENT * 3)  # 2 s: a whole number of samples at any rate
        for k, chunk in enumerate(_regularly(self.screen.sound(rate), n)):
            for g in range(3):
                at = slice(g * n // 3, (g + 1) * n // 3)
                index = 3 * k + g
                if index < len(self.refusal.moments) and self.refusal.moments[index] and len(chunk[at]):
                    chunk[at] = _coarse_sound(chunk[at], rate, index)
            yield chunk


def _regularly(chunks: Iterator[Sound], n: int) -> Iterator[Sound]:
    """Sound in chunks of n samples, the last one shorter."""
    held = np.zeros((0, 2), np.float32)
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while len(held) >= n:
            yield held[:n].copy()
            held = held[n:]
    if len(held):
        yield held.copy()


def _mosaic(frame: RGB, places_RC: NDArray[np.bool_]) -> RGB:
    """A frame with large squares where the places say so."""
    h, w = frame.shape[:2]
    side = max(2, w // SQUARES)
    high, wide = -(-h // side) * side, -(-w // side) * side
    padded = np.pad(frame, ((0, high - h), (0, wide - w), (0, 0)), mode="edge")
    means = padded.reshape(high // side, side, wide // side, side, 3).mean((1, 3))
    large = np.repeat(np.repeat(means, side, 0), side, 1)[:h, :w].round().astype(np.uint8)
    rows, columns = np.arange(h) * ROWS // h, np.arange(w) * COLUMNS // w
    return np.where(places_RC[rows][:, columns, None], large, frame)


def _coarse_sound(sound: Sound, rate: int, seed: int) -> Sound:
    """Noise with the level of each eight bands over the moment, and nothing finer, (n, 2)."""
    own = int(SENSES["hearing"].rate)
    at = np.arange(round(len(sound) * own / rate)) * rate / own
    mono = np.interp(at, np.arange(len(sound)), sound.mean(1)).astype(np.float32)
    mono = np.pad(mono, (0, -len(mono) % hearing.HOP))
    power = hearing.energies(hearing.spectra(mono))
    bands = power.mean(0).reshape(-1, _FIELD).mean(1).repeat(_FIELD)
    levels = hearing.decibels(np.broadcast_to(bands, power.shape))
    noise = np.random.default_rng(seed).standard_normal(len(mono)).astype(np.float32)
    coarse = hearing.limit(hearing.shape(noise, levels))
    filled = np.interp(np.arange(len(sound)) * own / rate, np.arange(len(coarse)), coarse)
    return np.repeat(filled[:, None], 2, 1).astype(np.float32)


@final
class Cut(Screen):
    """Another screen without some spans of time."""

    def __init__(self, screen: Screen, kept: list[tuple[float, float]]) -> None:
        self.screen, self.kept = screen, kept
        self.kind = screen.kind

    @property
    def seconds(self) -> float:
        """Duration of what is left."""
        return sum(b - a for a, b in self.kept)

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures of what is kept; each joint at the nearest frame."""
        wanted = iter(self._times(fps))
        tick = next(wanted, None)
        last = None
        for i, frame in enumerate(self.screen.frames(size, fps)):
            last = frame
            while tick is not None and tick <= i:
                yield frame
                tick = next(wanted, None)
        while tick is not None and last is not None:
            yield last
            tick = next(wanted, None)

    def _times(self, fps: Fraction) -> list[int]:
        """For each frame that is shown the one of the screen that it is."""
        out = []
        for k in range(round(self.seconds * fps) + 1):
            t = float(k / fps)
            for a, b in self.kept:
                if t < b - a or (a, b) == self.kept[-1]:
                    out.append(round((a + t) * fps))
                    break
                t -= b - a
        return out

    def sound(self, rate: int) -> Iterator[Sound]:
        """Sound of what is kept."""
        at = 0
        for chunk in self.screen.sound(rate):
            for a, b in self.kept:
                first, last = round(a * rate) - at, round(b * rate) - at
                part = chunk[max(0, first) : max(0, last)]
                if len(part):
                    yield part
            at += len(chunk)


def _cut(movie: Movie, refusal: Refusal) -> Movie:
    assert movie.screen is not None
    kept, at = [], 0.0
    for a, b, _ in refusal.spans:
        kept += [(at, a)] if a - at > 1e-6 else []
        at = b
    kept += [(at, movie.seconds)] if movie.seconds - at > 1e-6 else []
    if sum(b - a for a, b in kept) < MOMENT:
        raise StaleError("Nothing would be left of this movie.", "all of it is refused", "another plot or --seed")
    screen = Cut(movie.screen, kept)
    tracks = {}
    for name, track in movie.tracks.items():
        parts = [track.values[round(a * track.rate) : round(b * track.rate)] for a, b in kept]
        count = max(1, round(screen.seconds * track.rate))
        values = np.concatenate(parts)[:count]
        values = np.pad(values, ((0, count - len(values)), (0, 0)), mode="edge") if len(values) else track.values[:1]
        tracks[name] = replace(track, values=values, curves=())
    recipe = replace(movie.recipe, scene=None) if movie.recipe else None
    return replace(movie, seconds=screen.seconds, screen=screen, tracks=tracks, scene=None, recipe=recipe, edges=None)
