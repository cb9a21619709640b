"""Dreamscapes as five-sense movies with ground truth, and the data card that goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from stale_diffusion import scene
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import BUILT, lanes
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Movie, Track
from stale_diffusion.recipe import Recipe
from stale_diffusion.scene import Stage
from stale_diffusion.screens import Performed
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.version import VERSION

CLIP_SECONDS = 20


def truth(name: str, seconds: float, seed: int) -> Movie:
    """A movie whose touch, smell and taste are the ground truth of its scene."""
    rng = np.random.default_rng([seed, BUILT.index(name)])
    drawn, caption = draw(rng, ceil(seconds / SEGMENT_SECONDS), name)
    bits = scene.encode(drawn)
    values = lanes(Stage(scene.decode(bits)))
    tracks = {}
    for sense, v in values.items():
        s = SENSES[sense]
        tracks[sense] = Track(sense, s.rate, s.channels, s.unit, v[: round(seconds * s.rate)], "derived")
    recipe = Recipe(caption, seed, program=VERSION, picture="performed")
    return Movie(seconds, Performed(bits, seconds), tracks, recipe, bits)


def render(name: str, folder: Path, hours: float, seed: int, size: tuple[int, int], fps: Fraction) -> Iterator[Path]:
    """Write `hours` of a place ("all": of each) as MKVs of 20 s, and README.md, the data card; yields each path.

    Movies that are there are kept: a rendering that was stopped goes on.
    """
    if name != "all" and name not in BUILT:
        raise StaleError(f"There is no place {name!r}.", f"There are: {', '.join(BUILT)}.", usage=True)
    if not hours > 0:
        raise StaleError(f"{hours} hours cannot be rendered.", mend="--hours 0.1", usage=True)
    folder.mkdir(parents=True, exist_ok=True)
    names = BUILT if name == "all" else (name,)
    count = ceil(hours * 3600 / CLIP_SECONDS)
    for place in names:
        for i in range(count):
            path = folder / f"{place.replace(' ', '-')}-{seed + i:06d}.mkv"
            if not path.exists():
                truth(place, CLIP_SECONDS, seed + i).save(path, size, fps)
            yield path
    card = folder / "README.md"
    card.write_text(_card(names, count, seed, size, fps), "utf-8")
    yield card


def _card(names: tuple[str, ...], count: int, seed: int, size: tuple[int, int], fps: Fraction) -> str:
    what = "all" if len(names) > 1 else f'"{names[0]}"'
    frame = f"{size[0]}x{size[1]}"
    hours = f"{count * CLIP_SECONDS / 3600:g}"
    return f"""# Dreamscapes: {count * len(names)} five-sense movies

Rendered by stale-diffusion {VERSION}: {count} clips of {CLIP_SECONDS} s each of {", ".join(names)};
{frame}, {fps} frames a second, seeds {seed} to {seed + count - 1}. Licence: CC0-1.0.

- Picture and sound are rendered from the scene (attached in recipe.json, "scene": 25 tokens of 32 bits for 4 s).
- Touch, smell and taste are computed from the same events: exact ground truth, marked "derived", in timeline.json.
- The plot in recipe.json is drawn from the place's caption grammar and is true of the scene.

Made again, bit for bit on the same machine and versions, by

    stale-diffusion dreamscapes render {what} --seed {seed} --hours {hours} --size {frame} --fps {float(fps):g}
"""
