"""Sound alone: FLAC, Opus, AAC or WAV, with touch, smell and taste in files beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stale_diffusion.errors import StaleError
from stale_diffusion.formats import export
from stale_diffusion.movie import Movie

RATE = 48_000  # Hz
RISE = 4  # seconds in which the sound of a loop rises


def write(
    movie: Movie, path: Path, *, recipe: bool = True, progress: Callable[[float], None] | None = None
) -> list[Path]:
    """Write the sound of a movie, and its other senses beside it.

    Returns:
        The files written, the sound first.

    Raises:
        StaleError: it has no sound, or cannot be written; nothing is half-written.
    """
    from stale_diffusion.media import SoundWriter

    screen = movie.screen
    if screen is None:
        raise StaleError("This movie has neither picture nor sound.", mend="generate or open one first", usage=True)
    if not recipe:
        movie = replace(movie, recipe=None)
    total, done = max(1, round(movie.seconds * RATE)), 0
    with SoundWriter(path, RATE, movie.title if movie.recipe is not None else "") as writer:
        for chunk in screen.sound(RATE):
            piece = chunk[: total - done]
            if screen.period is not None and done < RISE * RATE:  # what repeats does not begin; its file does
                part = np.clip((done + np.arange(len(piece))) / (RISE * RATE), 0, 1)[:, None]
                piece = (piece * part * part * (3 - 2 * part)).astype(np.float32)
            writer.sound(piece)
            done = min(total, done + len(chunk))
            if progress is not None:
                progress(done / total)
    if not done:
        raise StaleError("This movie has no sound.", mend="name the output .mkv", usage=True)
    return [path, *export.write_sidecars(movie, path)]
