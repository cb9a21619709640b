"""A movie as a picture: one still (PNG), or a short silent loop for a web page (WebP)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, PngImagePlugin

from stale_diffusion.errors import StaleError
from stale_diffusion.formats import export

if TYPE_CHECKING:
    from stale_diffusion.movie import RGB, Movie, Screen

AT = 3  # a still is the first of the second third: a movie begins dark, or before anything has happened
LOOP_SECONDS = 8
LOOP_FPS = 12
BLEND_SECONDS = 1  # of what follows a loop, blended into its beginning, so that it goes round without a jump
QUALITY = 60


def write(
    movie: Movie,
    path: Path,
    size: tuple[int, int],
    *,
    recipe: bool = True,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write PATH.png or PATH.webp; see `Movie.save`.

    Raises:
        StaleError: the movie has no picture.
    """
    if movie.screen is None:
        raise StaleError("This movie has no picture.", mend="generate or open one first", usage=True)
    size = _shown(movie.screen, size)
    tell = progress or (lambda share: None)
    data = _still(movie, size, recipe) if path.suffix.lower() == ".png" else _loop(movie, size, tell)
    export.write_atomically(path, [data])
    tell(1.0)
    return [path]


def _shown(screen: Screen, size: tuple[int, int]) -> tuple[int, int]:
    """A filmed picture keeps its own size, as it does in a movie."""
    from stale_diffusion.movie import Filmed

    video = screen.probe.video if isinstance(screen, Filmed) else None
    return (video.width, video.height) if video else size


def _still(movie: Movie, size: tuple[int, int], recipe: bool) -> bytes:
    assert movie.screen is not None
    pictures = list(islice(movie.screen.stills(AT, size), 2))
    if not pictures:
        raise _no_picture(movie)
    about = PngImagePlugin.PngInfo()
    if recipe and movie.recipe is not None:
        about.add_itxt("Title", movie.title)
        about.add_itxt("recipe.json", movie.described().to_json(), zip=True)
    out = io.BytesIO()
    Image.fromarray(pictures[-1]).save(out, "PNG", pnginfo=about)
    return out.getvalue()


def _loop(movie: Movie, size: tuple[int, int], tell: Callable[[float], None]) -> bytes:
    assert movie.screen is not None
    blend = BLEND_SECONDS * LOOP_FPS
    frames = movie.screen.frames(size, Fraction(LOOP_FPS))
    total = min(LOOP_SECONDS * LOOP_FPS + blend, round(movie.seconds * LOOP_FPS))
    if total < 3 * blend:  # too short to lose a second of it
        blend = 0
    pictures = _told(_round(islice(frames, total), total - blend, blend), total - blend, tell)
    first = next(pictures, None)
    if first is None:
        raise _no_picture(movie)
    out = io.BytesIO()
    first.save(
        out, "WEBP", save_all=True, append_images=pictures, duration=round(1000 / LOOP_FPS), loop=0, quality=QUALITY
    )
    return out.getvalue()


def _round(frames: Iterator[RGB], count: int, blend: int) -> Iterator[RGB]:
    """`count` frames that go round: the last `blend` of them turn into what came before the first.

    The loop begins `blend` frames into the movie, so its end, faded into the movie's first frames, meets its beginning.
    """
    before = list(islice(frames, blend))
    for k, frame in enumerate(frames):
        into = k - (count - blend)
        if into < 0:
            yield frame
        else:
            share = (into + 1) / (blend + 1)
            yield np.round(frame * (1 - share) + before[into] * share).astype(np.uint8)


def _told(frames: Iterator[RGB], count: int, tell: Callable[[float], None]) -> Iterator[Image.Image]:
    for k, frame in enumerate(frames):
        yield Image.fromarray(frame)
        tell(min(1.0, (k + 1) / max(count, 1)))


def _no_picture(movie: Movie) -> StaleError:
    return StaleError("This movie has no picture.", "it is sound alone", "name the output .mkv")
