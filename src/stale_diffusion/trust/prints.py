"""Fingerprints of whole sets, folders of clips or shards, streamed; and the index that finds who is near whom.

Shapes: T stills, Q queries, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stale_diffusion.clips.shards import Example, read_shards
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Filmed, Screen
from stale_diffusion.senses import SENSES
from stale_diffusion.trust.clips import clips_of
from stale_diffusion.trust.fingerprint import (
    BANDS,
    HEIGHT,
    RATE,
    STILLS,
    TICKS,
    WIDTH,
    Levels,
    Print,
    Stills,
    _stretch,
    detail,
    grey,
    levels,
)
from stale_diffusion.trust.index import Index

SECONDS = 60.0  # of a clip that are compared
CANDIDATES = 4  # of a clip, in each sense, that are compared closely
_SIZE = (160, 96)
_WINDOW = 2 * TICKS  # of sound whose mean and spread are a vector of the index
_FAINT = 0.15  # length of detail below which a still is too empty to be looked for


def of_screen(name: str, screen: Screen, start: float = 0.0, seconds: float = SECONDS) -> Print:
    """The fingerprint of a screen from `start` on."""
    length = min(seconds, screen.seconds - start)
    if isinstance(screen, Filmed):
        frames = screen.frames(_SIZE, SENSES["sight"].rate / (12 // STILLS), start, length)
        chunks = list(screen.sound(RATE, start, length))
    else:
        frames = screen.frames(_SIZE, SENSES["sight"].rate / (12 // STILLS))
        chunks = list(screen.sound(RATE))
    stills = [grey(f[None])[0] for f in frames]
    sound = np.concatenate(chunks).mean(1) if chunks else np.zeros(0, np.float32)
    return Print(name, np.stack(stills) if stills else None, levels(sound.astype(np.float32)))


def of_example(example: Example) -> Print:
    """The fingerprint of a shard's example, decoded from its bits."""
    bits, stills, heard = example.bits, None, None
    if "sight.coarse" in bits and "sight.fine" in bits:
        frames = SENSES["sight"].decode({n: bits[n] for n in ("sight.coarse", "sight.fine")})
        stills = grey(frames[:: 12 // STILLS])
    if "hearing" in bits:
        heard = levels(SENSES["hearing"].decode({"hearing": bits["hearing"]}))
    name = str(example.meta.get("file") or example.key)
    return Print(name, stills, heard)


def of_set(path: Path, skipped: Callable[[str], None] = lambda _: None) -> Iterator[Print]:
    """Fingerprints of a set: a folder of shards, one .tar, or a folder of clips; what cannot be read is told.

    Raises:
        StaleError: there is no such folder, or nothing in it to compare.
    """
    shards = path.is_file() or (path.is_dir() and any(path.glob("*.tar")))
    found = 0
    if shards:
        for example in read_shards(path):
            made = of_example(example)
            if made.stills is None and made.levels is None:
                skipped(f"{example.key}: neither picture nor sound")
                continue
            found += 1
            yield made
    else:
        for file in clips_of(path):
            try:
                made = of_screen(file.relative_to(path).as_posix(), Filmed(file))
            except StaleError as error:
                skipped(f"{file.name}: {error.why or error.what}")
                continue
            if made.stills is None and made.levels is None:
                skipped(f"{file.name}: no picture, and no sound of {1.5} s")
                continue
            found += 1
            yield made
    if not found:
        raise StaleError(f"Nothing in {path} can be compared.", "no clip has a picture or sound", "name another folder")


# ------------------------------------------------------------------------------------------------------------ vectors


def _pooled(x: Tensor) -> Tensor:
    """Detail (..., P) -> (..., 80), of length one, averaged over 3x4 pixels."""
    y = x.reshape(*x.shape[:-1], HEIGHT // 3, 3, WIDTH // 4, 4).mean((-3, -1)).flatten(-2)
    return F.normalize(y, dim=-1)


def _query_maps() -> tuple[Tensor, Tensor]:
    """As it is, a tenth cropped at five places, and as if a tenth had been cropped from it, (11, H, H), (11, W, W)."""
    rows, columns = [_stretch(HEIGHT, 1.0, 0.0)], [_stretch(WIDTH, 1.0, 0.0)]
    for scale in (0.9, 1 / 0.9):
        for y, x in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            rows.append(_stretch(HEIGHT, scale, float(y)))
            columns.append(_stretch(WIDTH, scale, float(x)))
    return torch.stack(rows), torch.stack(columns)


def sight_vectors(stills: Stills) -> tuple[Tensor, Tensor]:
    """Vectors (n, 80) of the stills that show enough, and which they are (n,)."""
    x = detail(torch.from_numpy(stills).float())
    kept = torch.nonzero(x.norm(dim=-1) > _FAINT).flatten()
    return _pooled(x[kept]), kept


def sight_queries(stills: Stills) -> Tensor:
    """Every crop, mirrored and not, of one still a second, (Q, 80)."""
    rows, columns = _query_maps()
    x = torch.from_numpy(np.ascontiguousarray(stills[::STILLS][:5])).float()
    both = torch.cat([x, x.flip(-1)])
    y = detail(rows[:, None] @ both[None] @ columns.mT[:, None]).flatten(0, 1)
    return _pooled(y[y.norm(dim=-1) > _FAINT])


def sound_vectors(heard: Levels, shift: float = 0.0) -> Tensor:
    """Mean and spread of each band over 2 s, each second, (n, 64), of length one.

    Args:
        shift: of pitch, in bands.
    """
    x = torch.from_numpy(heard)
    if shift:
        at = (torch.arange(BANDS) + shift).clamp(0, BANDS - 1)
        low = at.floor().long().clamp(max=BANDS - 2)
        x = x[:, low] * (1 - (at - low)) + x[:, low + 1] * (at - low)
    windows = x.unfold(0, min(_WINDOW, len(x)), TICKS)
    mean, spread = windows.mean(-1), windows.std(-1)
    mean = mean - mean.mean(1, keepdim=True)
    return F.normalize(torch.cat([mean, 3 * (spread - 5)], 1), dim=1)


def sound_queries(heard: Levels) -> Tensor:
    """As it is, and at a tenth faster and slower, (Q, 64)."""
    band = np.log(1.1) / (np.log(11_000 / 80) / (BANDS + 1))
    return torch.cat([sound_vectors(heard[: 6 * TICKS], s) for s in (0.0, band, -band)])


class Library:
    """The fingerprints of a set, kept, and an index of each sense.

    Five seconds of a clip take 14 kB.
    """

    def __init__(self, prints: Iterator[Print]) -> None:
        self.prints: list[Print] = []
        vectors: dict[str, list[Tensor]] = {"sight": [], "sound": []}
        owners: dict[str, list[Tensor]] = {"sight": [], "sound": []}
        for i, one in enumerate(prints):
            self.prints.append(one)
            if one.stills is not None:
                found, _ = sight_vectors(one.stills)
                vectors["sight"].append(found)
                owners["sight"].append(torch.full((len(found),), i))
            if one.levels is not None:
                found = sound_vectors(one.levels)
                vectors["sound"].append(found)
                owners["sound"].append(torch.full((len(found),), i))
        self.indices = {s: Index(torch.cat(v)) for s, v in vectors.items() if sum(map(len, v))}
        self.owners = {s: torch.cat(owners[s]) for s in self.indices}

    def candidates(self, prints: list[Print]) -> list[dict[str, list[int]]]:
        """For each of some clips the clips of the library that may be its like, {sense: indices}, nearest first."""
        out: list[dict[str, list[int]]] = [{} for _ in prints]
        for sense in self.indices:
            queries = [_queries(sense, one) for one in prints]
            sizes = [len(q) for q in queries]
            if not sum(sizes):
                continue
            scores, found = self.indices[sense].search(torch.cat(queries), 2 * CANDIDATES)
            for one, s, f in zip(out, torch.split(scores, sizes), torch.split(found, sizes), strict=True):
                one[sense] = _best(self.owners[sense], s, f)
        return out


def _queries(sense: str, one: Print) -> Tensor:
    if sense == "sight":
        return sight_queries(one.stills) if one.stills is not None else torch.zeros(0, 80)
    return sound_queries(one.levels) if one.levels is not None else torch.zeros(0, 2 * BANDS)


def _best(owners: Tensor, scores: Tensor, found: Tensor) -> list[int]:
    """The CANDIDATES clips with the nearest vectors."""
    keep = found >= 0
    own, score = owners[found[keep]], scores[keep]
    best: dict[int, float] = {}
    for o, s in zip(own.tolist(), score.tolist(), strict=True):
        best[o] = max(s, best.get(o, -2.0))
    return sorted(best, key=lambda o: -best[o])[:CANDIDATES]
