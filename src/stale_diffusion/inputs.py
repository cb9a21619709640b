"""What a filmed movie gives to the network: its senses as bits, read segment by segment.

Shapes: S segments, L tokens, D bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

import numpy as np

from stale_diffusion import drafts
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.base import Bits


def joined(parts: Mapping[str, list[Bits]]) -> dict[str, Bits]:
    """{stream: (S, L, D)}, as many segments as all streams have."""
    whole = min((len(p) for p in parts.values()), default=0)
    return {name: np.concatenate(p[:whole]) for name, p in parts.items()} if whole else {}


def given_senses(movie: Movie, segments: range, plot: str) -> tuple[dict[str, Bits], dict[str, Bits]]:
    """What a filmed movie has of the senses in some segments, as bits {stream: (S, L, D)}, and a draft of touch.

    Read segment by segment; the last one of a movie is filled up.
    """
    screen = movie.screen
    assert isinstance(screen, Filmed)
    given, draft = Gathered(), Gathered()
    sight, hearing = SENSES["sight"], SENSES["hearing"]
    start, length = float(segments.start * SEGMENT_SECONDS), float(len(segments) * SEGMENT_SECONDS)
    pictures = blocks(screen.frames((160, 96), sight.rate, start, length), sight.samples, len(segments))
    chunks = (chunk.mean(1) for chunk in screen.sound(int(hearing.rate), start, length))
    sounds = blocks(regular(chunks, int(hearing.rate)), SEGMENT_SECONDS, len(segments))
    for frames, seconds in zip_longest(pictures, sounds):
        sound = None if seconds is None else seconds.reshape(-1)
        if frames is not None:
            given.add({"sight.coarse": sight.encode(frames)["sight.coarse"]})
        if sound is not None:
            given.add(hearing.encode(sound))
        draft.add(drafts.of_clip(sound, frames, plot))
    bits = joined(given)
    for name, track in movie.tracks.items():
        if name not in SENSES:  # an additional one, which the network does not know
            continue
        samples = SENSES[name].samples
        at = np.arange(segments.start * samples, segments.stop * samples)
        bits |= SENSES[name].encode(track.values[np.minimum(at, len(track.values) - 1)])
    return bits, joined(draft)


class Gathered(dict[str, list[Bits]]):
    """Parts that are gathered a segment at a time."""

    def add(self, segment: Mapping[str, Bits]) -> None:
        """Append one segment's bits, {stream: (1, L, D)}."""
        for name, b in segment.items():
            self.setdefault(name, []).append(b)


def regular(chunks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Sound in chunks of `size` samples, the last one filled up with silence."""
    rest = np.zeros(0, np.float32)
    for chunk in chunks:
        rest = np.concatenate([rest, chunk])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield np.pad(rest, (0, size - len(rest)))


def blocks(items: Iterator[np.ndarray], size: int, count: int) -> Iterator[np.ndarray]:
    """`count` blocks of `size` items, (size, ...); a source that ends early holds its last item. Empty: nothing."""
    block: list[np.ndarray] = []
    made = 0
    for item in items:
        block.append(item)
        if len(block) == size:
            yield np.stack(block)
            last, block, made = block[-1], [], made + 1
            if made == count:
                return
    if block:
        last = block[-1]
    elif not made:
        return
    while made < count:
        yield np.stack(block + [last] * (size - len(block)))
        block, made = [], made + 1
