"""Decoding and encoding of clips by many processes, given back in the order in which they were given.

At most two clips a worker are on their way, so memory does not grow with the folder. A worker that dies (the system is
out of memory, say) is replaced; the clip that it dies of twice, alone the second time, is reported.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.clips import derive, lexicon, scenes
from stale_diffusion.clips.safe import Clip, decode
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS, Sense

MIN_SECONDS = 2.0
MAX_SECONDS = 120.0  # of a clip that are read: shorts are what this is for
AHEAD = 2  # clips a worker that are on their way
DIED = "the worker that decoded it died, twice"


@dataclass(frozen=True)
class Made:
    """One scene of a clip: number, (start, end) in seconds, bits, and what it looks like (None: not told apart)."""

    index: int
    span: tuple[float, float]
    bits: dict[str, NDArray[np.int8]]
    look: str | None


def packed(looks: Sequence[str]) -> NDArray[np.uint8]:
    """Looks as (N, 24) bytes."""
    return np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(len(looks), 24)


def work(file: Path, words: str, senses: Mapping[str, Sense]) -> list[Made] | str:
    """The scenes of a clip as bits, or why there are none."""
    try:
        clip = decode(file, seconds=MAX_SECONDS)
        made = []
        pieces = _pieces(clip, senses)
        for index, (start, piece) in enumerate(pieces):
            try:
                bits = encode(piece, words, senses)
            except StaleError:
                if len(pieces) == 1:
                    raise
                continue  # a scene too short to learn from
            look = scenes.look(piece.frames) if piece.frames is not None else None
            made.append(Made(index, (start, start + _seconds(piece, senses)), bits, look))
        return made or f"none of its {len(pieces)} scenes lasts {MIN_SECONDS:g} s"
    except StaleError as error:
        return error.why or error.what
    except OSError as error:
        return error.strerror or str(error)


def _pieces(clip: Clip, senses: Mapping[str, Sense]) -> list[tuple[float, Clip]]:
    """A clip cut at its scene changes, each with its start in seconds; the sound after the last frame goes with it."""
    if clip.frames is None:
        return [(0.0, clip)]
    edges = [0, *scenes.cuts(clip.frames), len(clip.frames)]
    fps, rate = senses["sight"].rate, senses["hearing"].rate
    out = []
    for a, b in pairwise(edges):
        last = None if b == len(clip.frames) else int(b * rate / fps)
        sound = clip.sound[int(a * rate / fps) : last] if clip.sound is not None else None
        out.append((float(a / fps), Clip(clip.frames[a:b], sound)))
    return out


def _seconds(clip: Clip, senses: Mapping[str, Sense]) -> float:
    parts = (("sight", clip.frames), ("hearing", clip.sound))
    return max((len(v) / float(senses[name].rate) for name, v in parts if v is not None), default=0.0)


def encode(clip: Clip, words: str, senses: Mapping[str, Sense]) -> dict[str, NDArray[np.int8]]:
    """Bits of every sense that a clip has or that can be derived, {stream: (S, L, D)}.

    Raises:
        StaleError: it is shorter than MIN_SECONDS.
    """
    seconds = _seconds(clip, senses)
    if seconds < MIN_SECONDS:
        raise StaleError(f"the clip is too short: {seconds:.1f} s of at least {MIN_SECONDS:g} s.")
    segments = max(1, int((seconds + MIN_SECONDS) // SEGMENT_SECONDS))
    values: dict[str, NDArray[Any]] = {}
    if clip.frames is not None:
        values["sight"] = _fill(clip.frames, segments * senses["sight"].samples, hold=True)
    notes, tastes, temperature, wind = lexicon.derive(words)
    if clip.sound is not None:
        rate, n = int(senses["hearing"].rate), segments * senses["hearing"].samples
        values["hearing"] = sound = _fill(clip.sound, n, hold=False)
        ticks, fps = segments * senses["touch"].samples, float(senses["sight"].rate)
        values["touch"] = derive.touch(sound, rate, ticks, values.get("sight"), fps, temperature, wind)
    if notes.any():
        values["smell"] = np.tile(notes, (segments * senses["smell"].samples, 1))
        values["taste"] = np.tile(tastes, (segments * senses["taste"].samples, 1))
    return {stream: bits for name, value in values.items() for stream, bits in senses[name].encode(value).items()}


def _fill(values: NDArray[Any], length: int, *, hold: bool) -> NDArray[Any]:
    """Cut or fill up to a length, with the last value or with zeros."""
    missing = length - len(values)
    if missing <= 0:
        return values[:length]
    tail = np.repeat(values[-1:], missing, axis=0) if hold else np.zeros((missing, *values.shape[1:]), values.dtype)
    return np.concatenate([values, tail])


# ------------------------------------------------------------------------------------------------------ the crew


class Crew:
    """Workers for `work`; one worker is this very process. A context manager."""

    def __init__(self, workers: int, senses: Mapping[str, Sense]) -> None:
        self.workers, self.senses = workers, senses
        self.waiting: deque[tuple[Path, str, Any, Future[list[Made] | str] | None]] = deque()
        self._pool = self._hire(workers)
        self.ahead = AHEAD * workers if self._pool else 1

    def _hire(self, workers: int) -> ProcessPoolExecutor | None:
        if workers <= 1:
            return None
        return self._workers(workers)

    def _workers(self, count: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _settle, (self.senses,))

    def full(self) -> bool:
        """Whether a clip must be taken before another one is given."""
        return len(self.waiting) >= self.ahead

    def give(self, file: Path, words: str, ticket: Any) -> None:
        """Begin a clip; `ticket` comes back with it."""
        self.waiting.append((file, words, ticket, self._submit(file, words)))

    def answer(self, ticket: Any) -> None:
        """Keep the place of a file that needs no work."""
        done: Future[list[Made] | str] = Future()
        done.set_result([])
        self.waiting.append((Path(), "", ticket, done))

    def _submit(self, file: Path, words: str) -> Future[list[Made] | str] | None:
        if self._pool is None:
            return None
        try:
            return self._pool.submit(_hired, file, words)
        except BrokenProcessPool:
            broken: Future[list[Made] | str] = Future()
            broken.set_exception(BrokenProcessPool())
            return broken

    def take(self) -> tuple[list[Made] | str, Any]:
        """The scenes of the oldest clip, or why there are none, and its ticket."""
        file, words, ticket, future = self.waiting.popleft()
        if future is None:
            return work(file, words, self.senses), ticket
        try:
            return future.result(), ticket
        except BrokenProcessPool:
            made = self._alone(file, words)
            self._pool = self._hire(self.workers)
            rest = list(self.waiting)
            self.waiting.clear()
            for other in rest:
                _, _, _, future = other
                finished = future is not None and future.done() and future.exception() is None
                self.waiting.append(other if finished else (*other[:3], self._submit(other[0], other[1])))
            return made, ticket

    def _alone(self, file: Path, words: str) -> list[Made] | str:
        """A clip again, with nobody else to blame."""
        with self._workers(1) as pool:
            try:
                return pool.submit(_hired, file, words).result()
            except BrokenProcessPool:
                return DIED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()) if error[0] else ():
                process.kill()  # stopped: nobody waits for what is on its way
            self._pool.shutdown(wait=True, cancel_futures=True)


_SENSES: dict[str, Sense] = {}  # of a worker: sent once, not with every clip


def _settle(senses: Mapping[str, Sense]) -> None:
    """In a worker: Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _SENSES.update(senses)


def _hired(file: Path, words: str) -> list[Made] | str:
    return work(file, words, _SENSES)


def cores() -> int:
    """How many processes this one may keep busy."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
