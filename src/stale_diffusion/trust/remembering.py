"""`audit MOVIE --against SHARDS`: for each segment the nearest training clip, and how unusual so near a one is.

Nearness is that of `contamination`: sight under crop, mirror and re-encoding, sound under speed and pitch, both aligned
in time. What is usual is told by held-out clips, or, where there are none, by how near the training clips are to one
another.

Shapes: T stills, H, W rows and columns of a still.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed, Screen
from stale_diffusion.senses import SEGMENT_SECONDS
from stale_diffusion.trust.contamination import LINES, Pair, against, nearest
from stale_diffusion.trust.fingerprint import Print
from stale_diffusion.trust.prints import Library, of_screen, of_set

SAMPLE = 200  # training clips, or held-out ones, that say what is usual
_LEAST_SECONDS = 1.0
_SCALE = 5  # of a still in the picture


@dataclass(frozen=True)
class Finding:
    """The nearest training clip of a segment in one sense.

    Args:
        start: seconds.
        pair: which, how near, how changed.
        usual: share of held-out clips whose nearest training clip is as near; NaN where there is none to compare with.
        shown: stills of the segment and of the clip where they are most alike, (H, W) grey each; None for sound.
    """

    start: float
    pair: Pair
    usual: float
    shown: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None

    @property
    def copied(self) -> bool:
        """Whether it is nearer than different clips are."""
        return self.pair.match.score > LINES[self.pair.sense]


def segments(screen: Screen) -> Iterator[Print]:
    """Fingerprints of a movie, 4 s by 4 s; a last piece of less than a second is left out."""
    start = 0.0
    while start == 0 or screen.seconds - start >= _LEAST_SECONDS:
        yield of_screen(f"{start:g}", screen, start, SEGMENT_SECONDS)
        start += SEGMENT_SECONDS


def remember(
    movie: Path, training: Path, held_out: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Compare a movie with what a model was trained on.

    Args:
        movie: any media file. training, held_out: folders of shards or clips.

    Raises:
        StaleError: one of them cannot be read, or has nothing to compare.
    """
    screen = Filmed(movie)
    library = Library(of_set(training, lambda line: say(f"skipped {line}")))
    say(f"{len(library.prints)} clips of {training} are fingerprinted")
    if held_out is not None:
        usual = usual_scores(against(library, of_set(held_out, lambda line: say(f"skipped {line}"))))
    else:
        usual = usual_scores(_among(library))
    found = list(findings(segments(screen), library, usual))
    if not found:
        raise StaleError(f"{movie} has nothing in common with {training}.", "not even a sense", "name another movie")
    return found


def findings(prints: Iterator[Print], library: Library, usual: dict[str, list[float]]) -> Iterator[Finding]:
    """The nearest training clip of each print in each sense."""
    kept: list[Print] = []

    def noted() -> Iterator[Print]:
        for one in prints:
            kept.append(one)
            yield one

    by_name = {one.name: one for one in library.prints}
    for i, pairs in enumerate(against(library, noted())):
        for pair in pairs:
            scores = np.array(usual.get(pair.sense, []))
            share = float((scores >= pair.match.score).mean()) if len(scores) else float("nan")
            yield Finding(float(kept[i].name), pair, share, _shown(kept[i], by_name[pair.train], pair))


def _shown(own: Print, other: Print, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    if pair.sense != "sight" or own.stills is None or other.stills is None:
        return None
    s, t = pair.match.at
    return own.stills[min(t, len(own.stills) - 1)], other.stills[min(s, len(other.stills) - 1)]


def usual_scores(rows: Iterator[list[Pair]]) -> dict[str, list[float]]:
    """How near clips are that are not copies, {sense: scores}, of SAMPLE clips at most."""
    out: dict[str, list[float]] = {}
    for _, pairs in zip(range(SAMPLE), rows, strict=False):
        for pair in pairs:
            out.setdefault(pair.sense, []).append(pair.match.score)
    return out


def _among(library: Library) -> Iterator[list[Pair]]:
    """Each clip's nearest other one, clips taken evenly."""
    step = max(1, len(library.prints) // SAMPLE)
    for i in range(0, len(library.prints), step):
        one = library.prints[i]
        near = library.candidates([one])[0]
        found = [nearest(one, sense, [j for j in js if j != i], library) for sense, js in near.items()]
        yield [pair for pair in found if pair is not None]


def lines(found: list[Finding]) -> list[str]:
    """A line a segment and sense."""
    out = []
    for f in found:
        what = "COPY" if f.copied else "    "
        usual = "" if np.isnan(f.usual) else f", as near as {f.usual:.0%} of held-out clips"
        how = f" ({f.pair.match.how})" if f.pair.match.how and f.copied else ""
        out.append(f"{what} {f.start:7.1f} s  {f.pair.sense:<5} {f.pair.match.score:5.2f}  {f.pair.train}{how}{usual}")
    return out


def report(movie: Path, found: list[Finding]) -> dict[str, Any]:
    """The same as plain data."""
    rows = [
        {
            "start": f.start, "sense": f.pair.sense, "train": f.pair.train, "score": round(f.pair.match.score, 4),
            "how": f.pair.match.how, "usual": None if np.isnan(f.usual) else f.usual, "copied": f.copied,
        }
        for f in found
    ]  # fmt: skip
    return {"file": str(movie), "lines": LINES, "segments": rows}


def picture(found: list[Finding]) -> bytes:
    """Segments and their nearest training clips side by side, as PNG; at most 50 rows, the nearest first."""
    rows = sorted((f for f in found if f.shown is not None), key=lambda f: -f.pair.match.score)[:50]
    if not rows:
        raise StaleError("There is nothing to be shown side by side.", "no segment has a picture to compare")
    assert rows[0].shown is not None
    h, w = (side * _SCALE for side in rows[0].shown[0].shape)
    sheet = Image.new("RGB", (2 * w + 24, len(rows) * (h + 28) + 28), "#141414")
    draw = ImageDraw.Draw(sheet)
    draw.text((8, 8), "the movie", "#9a9a9a")
    draw.text((w + 16, 8), "its nearest training clip", "#9a9a9a")
    for i, f in enumerate(rows):
        assert f.shown is not None
        y = 28 + i * (h + 28)
        for x, still in zip((8, w + 16), f.shown, strict=True):
            sheet.paste(Image.fromarray(still).resize((w, h), Image.Resampling.BICUBIC), (x, y))
        colour = "#e08070" if f.copied else "#c8c8c8"
        words = f"{f.start:g} s   {f.pair.match.score:.2f}   {f.pair.train[:40]}   {f.pair.match.how}"
        draw.text((8, y + h + 6), words, colour)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
