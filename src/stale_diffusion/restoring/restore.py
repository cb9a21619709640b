"""Restore a movie: find what is wrong, undo it, keep the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed, Movie, Screen
from stale_diffusion.restoring import bits
from stale_diffusion.restoring.damage import MISSING, ROT, Findings
from stale_diffusion.restoring.finding import FELT, encoded, find, scene_of
from stale_diffusion.restoring.mending import Restored
from stale_diffusion.screens import Performed
from stale_diffusion.senses import SENSES
from stale_diffusion.timeline import Track

if TYPE_CHECKING:
    from stale_diffusion.generate import Generator


def restore(
    generator: Generator, movie: Movie, plot: str | None = None, seed: int = 0, *, findings: Findings | None = None,
    rates: Mapping[str, float] | None = None,
) -> tuple[Movie, Findings]:  # fmt: skip
    """The movie with its damage undone, and what was wrong with it.

    Args:
        plot: what it is about, for senses that are lost; None: what its recipe says.
        findings: of an earlier look; None: it is looked at now.
        rates: share of flipped bits of a lane where it is known, {sense: (0, 0.5)}; elsewhere it is estimated.

    Raises:
        StaleError: the movie has no file, or a rate is no share or of no lane.
    """
    if not isinstance(movie.screen, Filmed):
        raise StaleError("Only a movie with a file of its own can be restored.", mend="Movie.open(FILE)")
    for sense, rate in (rates or {}).items():
        if sense not in movie.tracks or sense not in FELT or not 0 < rate < 0.5:
            why = "a rate is a share of flipped bits, above 0 and below 0.5, of touch, smell or taste that is there"
            raise StaleError(f"{sense}={rate:g} is not a rate of this movie.", why, "--rate touch=0.1", usage=True)
    found = findings or find(movie, generator)
    told = plot if plot is not None else movie.recipe.plot if movie.recipe else ""
    out = replace(movie, tracks=movie.tracks | _fresh(generator, movie, found, rates or {}, told, seed))
    lost = {d.sense for d in found.of_kind(MISSING) if d.start == 0}
    instead = _instead(movie, lost & {"sight", "hearing"})
    if lost & set(FELT):
        completed = generator.complete(out, told, seed)
        out.tracks |= {name: completed.tracks[name] for name in FELT if name in lost}
    out.screen = Restored(movie.screen, found, instead)
    if not out.screen.anew:
        out.screen = movie.screen
    return out, found


def _instead(movie: Movie, lost: set[str]) -> dict[str, Screen]:
    """A lost picture or sound of a performed movie is performed again, from the scene in its recipe."""
    performed = movie.recipe is not None and movie.recipe.picture == "performed" and movie.scene is not None
    if not lost or not performed or movie.scene is None:
        return {}
    return dict.fromkeys(lost, Performed(movie.scene, movie.seconds))


def _fresh(
    generator: Generator, movie: Movie, found: Findings, rates: Mapping[str, float], plot: str, seed: int
) -> dict[str, Track]:
    """The lanes whose bits have rotted, with those bits undone; segments that are sound stay as they are."""
    rotten = {d.sense for d in found.of_kind(ROT)} | set(rates)
    if not rotten:
        return {}
    lanes = encoded(movie)
    share = {n: np.zeros(len(b)) for n, b in lanes.items()}
    for name in rotten:
        spans = found.of(name, ROT)
        for stream in SENSES[name].streams:
            known = rates.get(name)
            for k in range(len(share[stream.name])):
                hit = known is not None or any(d.start <= 4 * k + 0.01 < d.end for d in spans)
                share[stream.name][k] = (known or found.rates[stream.name][k]) if hit else 0.0
    undone = bits.undo(generator, lanes, share, plot, scene_of(movie, lanes), seed=seed)
    out = {}
    for name in rotten:
        track, sense = movie.tracks[name], SENSES[name]
        made = sense.decode({s.name: undone[s.name] for s in sense.streams})[: len(track.values)]
        hit = np.max([share[s.name] for s in sense.streams], 0) > 0
        mask = np.repeat(hit, sense.samples)[: len(track.values), None]
        out[name] = replace(track, values=np.where(mask, made, track.values).astype(np.float32))
    return out
