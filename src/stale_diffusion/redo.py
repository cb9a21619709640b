"""One sense made anew in one span of a movie, everything else given to the network and left as it is.

The segments that a span touches are sampled again. A token is as stale as the share of it that is to be new: what lies
outside the span goes in as it is, a token on the border half forgotten, so that what is made fits what is kept. Where
old and new meet they cross-fade, inside the span; outside, every value stays the same.

Shapes: S segments, L tokens, D bits, T samples of a sense, C its channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion import drafts
from stale_diffusion.edit import Span, scale
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import DRAFT, GUIDANCE, STEPS, Generator, Named, Preview, segment_seed
from stale_diffusion.inputs import given_senses
from stale_diffusion.joins import join
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES, touch
from stale_diffusion.senses.base import Bits
from stale_diffusion.timeline import Origin, Track

Mask = NDArray[np.bool_]
FADE = 1.0  # seconds in which old and new cross-fade; vibration in FADE_VIBRATION
FADE_VIBRATION = 0.2


def redo(
    generator: Generator,
    movie: Movie,
    spans: Sequence[Span],
    plot: str | None = None,
    seed: int = 0,
    steps: int = STEPS,
    *,
    guidance: float = GUIDANCE,
    strength: Mapping[str, float] | None = None,
    watch: Callable[[Preview], None] | None = None,
) -> Movie:
    """Make some senses anew in some spans of a movie that has a file.

    Args:
        spans: what is to be made anew; spans of one sense may overlap.
        plot: what happens there; None: what the recipe says.
        seed, steps, guidance, watch: as in `Generator.generate`.
        strength: sense -> what the intensities of what is made are multiplied by.

    Raises:
        StaleError: the movie has no such sense, or a span lies outside it.
    """
    if not isinstance(movie.screen, Filmed):
        raise StaleError("Only a movie with a file of its own can be edited.", mend="Movie.open(FILE)")
    if steps < 1:
        raise StaleError(f"{steps} steps cannot be taken.", mend="Ask for --steps 1 or more.", usage=True)
    masks: dict[str, Mask] = {}
    for span in spans:
        inside = span.samples(movie.track(span.sense), movie.seconds)
        masks[span.sense] = masks.get(span.sense, np.False_) | inside
    told = plot if plot is not None else movie.recipe.plot if movie.recipe else ""
    named = drafts.named(told) if plot is not None or movie.scene is None else {}
    work = _Work(generator, movie, masks, told, named, seed, steps, guidance, watch)
    made = {sense: movie.tracks[sense].values.copy() for sense in masks}
    for run in _runs(sorted({s for sense, mask in masks.items() for s in _segments(sense, mask)})):
        for sense, values in work.sampled(run).items():
            strong = scale(sense, SENSES[sense].channels, values, (strength or {}).get(sense, 1.0))
            place = made[sense][run.start * SENSES[sense].samples :][: len(strong)]
            place[:] = strong[: len(place)]
    tracks = {sense: _blended(movie.tracks[sense], made[sense], mask) for sense, mask in masks.items()}
    return replace(movie, tracks=movie.tracks | tracks)


def _segments(sense: str, mask: Mask) -> set[int]:
    return set((np.flatnonzero(mask) // SENSES[sense].samples).tolist())


def _runs(segments: list[int]) -> Iterator[range]:
    """Runs of neighbours among some numbers in order."""
    for _, run in groupby(enumerate(segments), lambda pair: pair[1] - pair[0]):
        found = [s for _, s in run]
        yield range(found[0], found[-1] + 1)


@dataclass(frozen=True)
class _Work:
    """What stays the same from segment to segment; see `redo`."""

    generator: Generator
    movie: Movie
    masks: Mapping[str, Mask]
    plot: str
    named: Named
    seed: int
    steps: int
    guidance: float
    watch: Callable[[Preview], None] | None

    def sampled(self, run: range) -> dict[str, NDArray[np.float32]]:
        """The senses that are wanted in a run of segments, as values (S * samples, C)."""
        first = max(0, run.start - 1)
        given, draft = given_senses(self.movie, range(first, run.stop), self.plot)
        scene = self.movie.scene if self.movie.scene is not None and len(self.movie.scene) >= run.stop else None
        if scene is not None:
            given["scene"] = scene[first : run.stop]
        past = {n: torch.from_numpy(b[0:1].copy()) for n, b in given.items()} if first < run.start else {}
        parts: dict[str, list[Bits]] = {stream.name: [] for sense in self.masks for stream in SENSES[sense].streams}
        for s in run:
            here = slice(s - first, s - first + 1)
            if scene is None:
                begun = {n: b[here] for n, b in draft.items()}
            else:
                begun = drafts.of_scene([scene[k : k + 1] for k in range(s + 1)])
            past = self._segment(s, {n: b[here] for n, b in given.items()}, past, begun)
            for n, part in parts.items():
                part.append(past[n].numpy())
        bits = {n: np.concatenate(part) for n, part in parts.items()}
        return {n: join(n, SENSES[n].decode({x.name: bits[x.name] for x in SENSES[n].streams})) for n in self.masks}

    def _segment(
        self, s: int, old: Mapping[str, Bits], past: dict[str, Tensor], begun: Mapping[str, Bits]
    ) -> dict[str, Tensor]:
        """All streams of segment s, the wanted ones sampled from what they were, as stale as the span takes of them."""
        stale = {n: share for n, share in _shares(self.masks, s) if share.any()}
        draft = {n: old[n] for n in stale}
        for n in stale.keys() & begun.keys():  # all new: the draft of physics or signal processing, gone stale
            draft[n] = np.where(stale[n] == 1, begun[n], old[n])
            stale[n] = np.where(stale[n] == 1, DRAFT, stale[n])
        known = {n: torch.from_numpy(b.copy()) for n, b in old.items() if n not in stale}
        named = {n: what for n, what in self.named.items() if n in stale}
        rng = torch.Generator().manual_seed(segment_seed(self.seed, s))
        out: dict[str, Tensor] = {}
        for (step, t, sure), out in self.generator.segment(
            known, tuple(stale), past, self.plot, self.steps, self.guidance, rng, draft, named, stale
        ):
            if self.watch is not None:
                bits = {n: b[0].numpy() for n, b in out.items()}
                segments = math.ceil(self.movie.seconds / SEGMENT_SECONDS)
                self.watch(Preview(s, segments, step, self.steps, t, sure, bits))
        return out


def _shares(masks: Mapping[str, Mask], s: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """(stream, which share of each of its tokens lies in the span, (1, L, 1)) of segment s."""
    for sense, mask in masks.items():
        samples = SENSES[sense].samples
        inside = mask[s * samples : (s + 1) * samples]
        inside = np.pad(inside, (0, samples - len(inside)), mode="edge") if len(inside) else np.zeros(samples, bool)
        for stream in SENSES[sense].streams:
            share = inside.reshape(stream.grid[0], -1).mean(1)
            yield stream.name, share.repeat(stream.tokens // stream.grid[0])[None, :, None].astype(np.float64)


def _blended(track: Track, made: NDArray[np.float32], mask: Mask) -> Track:
    """The track with what was made where the mask says so, faded into what it meets."""
    if track.sense == "touch":
        old, new = touch.to_unit(track.values), touch.to_unit(made)
        vibration = _weights(mask, round(FADE_VIBRATION * track.rate))
        air = _weights(mask, round(FADE * track.rate))
        weights = np.stack([vibration] * 3 + [air] * 2, -1)
        mixed = touch.from_unit(old + weights * (new - old))
    else:
        weights = _weights(mask, round(FADE * track.rate))[:, None]
        mixed = (track.values + weights * (made - track.values)).astype(np.float32)
    values = np.where(mask[:, None], mixed, track.values)
    origin: Origin = "generated" if mask.all() or track.origin == "generated" else "edited"
    return replace(track, values=values, origin=origin)


def _weights(mask: Mask, fade: int) -> NDArray[np.float64]:
    """How much of the new there is, (T,): 0 outside the mask, rising to 1 inside within `fade` samples at most."""
    weights = np.zeros(len(mask))
    edges = np.flatnonzero(np.diff(mask)) + 1
    for first, last in pairwise([0, *edges.tolist(), len(mask)]):
        if not mask[first]:
            continue
        n = min(fade, (last - first) // 3)
        rise = 0.5 - 0.5 * np.cos(math.pi * np.arange(1, n + 1) / (n + 1))
        weights[first:last] = 1
        if first and n:
            weights[first : first + n] = rise
        if last < len(mask) and n:
            weights[last - n : last] = rise[::-1]
    return weights
