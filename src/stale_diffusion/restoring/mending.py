"""A filmed movie with its damage undone: pictures and sound are mended as they are written, in constant memory.

Shapes: T ticks of the picture, K damaged ones in a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, repeat
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stale_diffusion import media
from stale_diffusion.movie import RGB, Filmed, Screen, Sound
from stale_diffusion.restoring import pictures, seeing, sounds
from stale_diffusion.restoring.damage import (
    BLACK,
    BLOCKS,
    CLICK,
    CORRUPT,
    DROPOUT,
    FROZEN,
    LOST,
    MISSING,
    Findings,
)
from stale_diffusion.restoring.finding import own_sound, tight

REPLACED = (LOST, FROZEN, BLACK)
LONGEST = 60.0  # seconds of picture or sound that are filled; longer ones stay as they are
SIDE_SECONDS = 1.0  # of sound on either side of damage
# weight of what the decoder made of corrupt pictures, beside what lies around them (PART=packets, PART=flips)
CONCEALED = 1.0


@final
class Restored(Screen):
    """A film and what was found wrong with it; a lost picture or sound comes from `instead`.

    Args:
        film: the damaged movie's screen.
        findings: of it.
        instead: where a sense that the film lacks comes from, {sense: screen}.
    """

    kind = "filmed"

    def __init__(self, film: Filmed, findings: Findings, instead: dict[str, Screen] | None = None) -> None:
        self.film, self.findings, self.instead = film, findings, instead or {}
        self.source = film.path
        pictured = findings.of("sight", *REPLACED, BLOCKS) or (CONCEALED < 1 and findings.of("sight", CORRUPT))
        heard = findings.of("hearing", LOST, DROPOUT, CLICK)
        self.anew = tuple(
            sense for sense, wrong in (("sight", pictured), ("hearing", heard)) if wrong or sense in self.instead
        )

    @property
    def seconds(self) -> float:
        """Duration of the film."""
        return self.film.seconds

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the film, made even: colour is stored at half size."""
        video = self.film.probe.video
        return (max(16, video.width // 2 * 2), max(16, video.height // 2 * 2)) if video else (640, 360)

    @property
    def fps(self) -> Fraction:
        """Frames a second of the film."""
        video = self.film.probe.video
        return min(max(video.fps, Fraction(1)), Fraction(240)) if video else Fraction(24)

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures of the film, those that are damaged replaced."""
        if "sight" in self.instead:
            return self.instead["sight"].frames(size, fps)
        return _frames(self.film, self.findings, size, fps)

    def sound(self, rate: int) -> Iterator[Sound]:
        """Its sound, (n, 2), mended."""
        if "hearing" in self.instead:
            return self.instead["hearing"].sound(rate)
        return _sound(self.film, self.findings, rate)


def _ticks(film: Filmed, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
    """The film's pictures at a rate; the last one is held until the end."""
    last: RGB | None = None
    for last in film.frames(size, fps):
        yield last
    if last is not None:
        yield from repeat(last)


def _flags(findings: Findings, total: int, fps: Fraction, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which ticks are damaged, (T,)."""
    at = (np.arange(total) + 0.01) / float(fps)
    flags = np.zeros(total, bool)
    for d in findings.of("sight", *kinds):
        if d.seconds <= LONGEST:
            flags |= (at >= d.start - 0.5 / float(fps)) & (at < d.end - 0.5 / float(fps))
    return flags


def _frames(film: Filmed, findings: Findings, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
    total = round(film.seconds * fps) + 1
    kinds = (*REPLACED, CORRUPT) if CONCEALED < 1 else REPLACED
    whole, masks = _flags(findings, total, fps, kinds), _masks(findings, total, fps)
    wrong = whole | np.array([k in masks for k in range(total)])
    main, ahead = _ticks(film, size, fps), enumerate(_ticks(film, size, fps))
    before: deque[RGB] = deque(maxlen=pictures.AROUND)
    guess: Iterator[RGB] = iter(())
    for k, picture in enumerate(main):
        if k >= total or not wrong[k]:
            before.append(picture)
            yield picture
            continue
        if k == 0 or not wrong[k - 1]:
            sound = np.flatnonzero(~wrong[k:])
            count = int(sound[0]) if len(sound) else total - k
            after = _after(ahead, wrong, k + count, total)
            guess = pictures.filled(list(before), after, count, float(fps)) if before or after else repeat(picture)
        made = next(guess)
        yield made if whole[k] else pictures.patched(picture, made, _cropped(masks[k], film, size))


def _masks(findings: Findings, total: int, fps: Fraction) -> dict[int, NDArray[np.bool_]]:
    found = ((round(time * float(fps)), mask) for time, mask in findings.blocks.items())
    return {k: mask for k, mask in found if 0 <= k < total}


def _after(ahead: Iterator[tuple[int, RGB]], wrong: NDArray[np.bool_], first: int, total: int) -> list[RGB]:
    """The sound pictures from tick `first` on, AROUND at most, read by an iterator that runs ahead."""
    found: list[RGB] = []
    for k, picture in islice(ahead, None):
        if k >= total or (found and wrong[k]):
            break
        if k >= first:
            found.append(picture)
        if len(found) == pictures.AROUND:
            break
    return found


def _cropped(mask: NDArray[np.bool_], film: Filmed, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Black blocks of the film's picture as they lie in a picture that covers `size`, (H, W) of pixels."""
    video = film.probe.video
    assert video is not None
    rows, columns = seeing.size(video.height, video.width)
    fine = np.kron(mask, np.ones((seeing.BLOCK, seeing.BLOCK), bool))[:rows, :columns]
    fine = np.pad(fine, ((0, rows - fine.shape[0]), (0, columns - fine.shape[1])))
    scale = max(size[0] / video.width, size[1] / video.height)
    wide, high = round(video.width * scale), round(video.height * scale)
    grid = Image.fromarray(np.where(fine, 255, 0).astype(np.uint8)).resize((wide, high), Image.Resampling.NEAREST)
    top, left = (high - size[1]) // 2, (wide - size[0]) // 2
    return np.asarray(grid)[top : top + size[1], left : left + size[0]] > 0


def _sound(film: Filmed, findings: Findings, rate: int) -> Iterator[Sound]:
    track = own_sound(film)
    if track is None:
        return
    marks = list(media.read_marks(film.path, track))
    chunks = media.read_sound(film.path, rate, 2, track=track, max_gap=tight(marks))
    wrong = [d for d in findings.of("hearing", LOST, DROPOUT, CLICK, MISSING) if d.seconds <= LONGEST]
    spans = sorted((max(0, round(d.start * rate)), round(d.end * rate), d.kind) for d in wrong)
    side = round(SIDE_SECONDS * rate)
    held, at = np.zeros((0, 2), np.float32), 0  # samples from `at` on
    for chunk in chain(chunks, [None]):
        held = np.concatenate([held, chunk]) if chunk is not None else held
        end = at + len(held)
        while spans and (chunk is None or spans[0][1] + side <= end):
            first, last, kind = spans.pop(0)
            held = _mended(held, first - at, last - at, kind, spans, at, rate)
        keep = end if not spans else min(end, spans[0][0])
        ready = max(0, keep - side - at) if chunk is not None else len(held)
        if ready:
            yield held[:ready]
            held, at = held[ready:], at + ready


def _mended(
    held: Sound, first: int, last: int, kind: str, later: list[tuple[int, int, str]], at: int, rate: int
) -> Sound:
    """Sound with one span made anew; what is damaged further on is not listened to."""
    if kind != CLICK and last > len(held):
        held = np.concatenate([held, np.zeros((last - len(held), 2), np.float32)])
    last = min(last, len(held))
    if last <= first:
        return held
    if kind == CLICK:
        return sounds.predicted(held, [(max(0, first - 1), min(len(held), last + 1))])
    after = held[last : later[0][0] - at] if later else held[last:]
    side = round(SIDE_SECONDS * rate)
    made = sounds.filled(held[max(0, first - side) : first], after[:side], last - first, rate, seed=first)
    return np.concatenate([held[:first], made, held[last:]])
