"""The Dreamscapes corpus: clips drawn from the places' climates, with captions, encoded as bits.

A clip is a pure function of (seed, index): the corpus can be made in any order, by any number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import scene
from stale_diffusion.clips.shards import Example, write_shard
from stale_diffusion.dreamscapes import captions
from stale_diffusion.dreamscapes.perform import BUILT, frame, lanes, place, sound
from stale_diffusion.errors import StaleError
from stale_diffusion.scene import Segment, Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.streams import STREAMS

CLIPS_A_SHARD = 64
TURN = 0.12  # share of clips in which one place turns into another
_THEN = ("{}, then {}", "{}; later, {}", "first {}, and then {}", "{} turns into {}", "from {} to {}")


def draw(rng: np.random.Generator, segments: int, name: str | None = None) -> tuple[list[Segment], str]:
    """A scene and a caption that is true of it.

    Args:
        name: the place; a random one, or a turn from one into another, where there is none.
    """
    first = name or str(rng.choice(BUILT))
    if name is None and segments > 1 and rng.random() < TURN:
        return _turn(rng, segments, first)
    drawn = place(first).draw(rng, segments)
    return drawn, place(first).caption(drawn, rng)


def _turn(rng: np.random.Generator, segments: int, first: str) -> tuple[list[Segment], str]:
    """A scene whose place turns into another; hour and variant stay, and the second's curves are there as it comes."""
    second = str(rng.choice([n for n in BUILT if n != first]))
    at = int(rng.integers(1, segments))  # segments of the first place; its last one turns
    before, after = place(first).draw(rng, at), place(second).draw(rng, segments - at)
    last = before[-1]
    hour = {"hour": last.statics["hour"]}
    after = [replace(s, variant=last.variant, statics={**s.statics, **hour}) for s in after]
    before[-1] = scene.turned(last, after[0])
    said = place(first).caption(before, rng), place(second).caption(after, rng)
    return before + after, str(rng.choice(_THEN)).format(*said)


def clip(index: int, *, seed: int, segments: int, rendered: bool, cartoons: bool = False, free: float = 0.0) -> Example:
    """Clip `index` of a corpus as an Example; with sight and hearing where `rendered`, in flat colours if wanted, its
    plot in free words with probability `free` where it stays in one place."""
    rng = np.random.default_rng([seed, index])
    drawn, caption = draw(rng, segments)
    words = np.random.default_rng([seed, index, 1])
    if words.random() < free and len({s.place for s in drawn}) == 1:
        caption = captions.free(drawn, words)
    bits = {"scene": scene.encode(drawn)}
    stage = Stage(scene.decode(bits["scene"]))  # what is performed is what the bits say
    values = lanes(stage)
    for name, felt in values.items():
        bits |= SENSES[name].encode(felt)
    if rendered:
        sight, hearing = SENSES["sight"], SENSES["hearing"]
        times = np.arange(segments * sight.samples) / float(sight.rate)
        pictures = np.stack([frame(stage, float(t), (160, 96)) for t in times])
        bits |= sight.encode(flat(pictures) if cartoons else pictures)
        stereo = sound(stage, 0, segments * hearing.samples, int(hearing.rate))
        bits |= hearing.encode(stereo.mean(1))
    places = sorted({s.place for s in drawn})
    meta = {"corpus": "dreamscapes", "seed": seed, "index": index, "places": places, "licence": "CC0-1.0"}
    return Example(key=f"dream-{seed}-{index:07d}", caption=caption, label=None, bits=bits, meta=meta)


def flat(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Saturday morning: pictures (T, H, W, 3) in flat colours, one of five levels a channel over fields of 8 pixels."""
    t, h, w, _ = pictures.shape
    fields = pictures.reshape(t, h // 8, 8, w // 8, 8, 3).mean((2, 4))
    levels = np.round(fields / 63.75) * 63.75
    return np.repeat(np.repeat(levels, 8, 1), 8, 2).astype(np.uint8)


def _shard(
    index: int, *, folder: Path, seed: int, segments: int, rendered: bool, cartoons: bool, free: float, clips: int
) -> Path:
    path = folder / f"dreams-{index:05d}.tar"
    if not path.exists():
        first = index * CLIPS_A_SHARD
        indices = range(first, min(first + CLIPS_A_SHARD, clips))
        kind: dict[str, Any] = {
            "seed": seed,
            "segments": segments,
            "rendered": rendered,
            "cartoons": cartoons,
            "free": free,
        }
        write_shard(path, (clip(i, **kind) for i in indices))
    return path


def _claim(folder: Path, made_with: dict[str, Any]) -> None:
    """Note in corpus.json what a folder's bits are; other bits do not mix with them."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = {s.name: [s.tokens, s.bits] for s in STREAMS}
    record = {**made_with, "layout": layout, "places": list(BUILT)}
    path = folder / "corpus.json"
    if not path.exists():
        path.write_text(json.dumps(record, indent=1), "utf-8")
    elif json.loads(path.read_text("utf-8")) != record:
        raise StaleError(f"{folder} holds another corpus.", f"{path} says how it was made.", f"rm -r {folder}")


def write_corpus(
    folder: Path, clips: int, *, seed: int, segments: int, rendered: bool, cartoons: bool = False, free: float = 0.0,
    workers: int = 1,
) -> Iterator[Path]:  # fmt: skip
    """Write a corpus as shards and yield each path; shards that are there are kept, so it goes on where it stopped."""
    kind: dict[str, Any] = {
        "clips": clips,
        "seed": seed,
        "segments": segments,
        "rendered": rendered,
        "cartoons": cartoons,
        "free": free,
    }
    _claim(folder, kind)
    one = partial(_shard, folder=folder, **kind)
    shards = range(-(-clips // CLIPS_A_SHARD))
    if workers == 1:
        yield from map(one, shards)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, shards)
