"""Drafts of what is felt: what physics or signal processing says, for the network to begin from.

A draft goes half stale and is made fresh by the network, given everything else: the wave that is felt is the wave
that is seen, and what the draft does not know (a voice, a plot) the network puts right.

Shapes: L tokens, D bits of a token.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import scene
from stale_diffusion.clips import derive, lexicon
from stale_diffusion.dreamscapes.perform import KEEP, lanes
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.senses.base import Bits
from stale_diffusion.senses.smell import CODE

_LATEST: dict[bytes, Stage] = {}  # by beginning of a movie: a night is not read again for each of its segments


def _name(scenes: list[Bits]) -> bytes:
    """What tells one beginning of a movie from another: how long it is, and the segments that a stage keeps."""
    return b"%d:" % len(scenes) + b"".join(s.tobytes() for s in scenes[-KEEP:])


def _stage(scenes: list[Bits]) -> Stage:
    """The last of some scene segments, each (1, 25, 32), on the movie's clock: a train has come all the way."""
    stage = copy.deepcopy(_LATEST.get(_name(scenes[:-1])))
    if stage is None:
        stage = Stage()
        for bits in scenes[:-1]:
            stage.append(scene.decode(bits)[0], keep=KEEP)
    stage.append(scene.decode(scenes[-1])[0], keep=KEEP)
    if len(_LATEST) >= 8:
        _LATEST.clear()
    _LATEST[_name(scenes)] = stage
    return stage


def of_scene(scenes: list[Bits]) -> dict[str, Bits]:
    """What the last of some scene segments, each (1, 25, 32), does to what is felt, {stream: (1, L, D)}."""
    return {stream: b for name, v in _last(scenes).items() for stream, b in SENSES[name].encode(v).items()}


def _last(scenes: list[Bits]) -> dict[str, NDArray[np.float32]]:
    """What is felt in the last of some scene segments, each (1, 25, 32), {sense: (T, C)}."""
    return {name: v[-SENSES[name].samples :] for name, v in lanes(_stage(scenes)).items()}


def performed(scenes: Bits, senses: list[str]) -> dict[str, NDArray[np.float32]]:
    """Some senses as the physics of a whole scene (S, 25, 32) has them, {sense: (S * T, C)}."""
    split = [scenes[s : s + 1] for s in range(len(scenes))]
    parts = [_last(split[: s + 1]) for s in range(len(split))]
    return {name: np.concatenate([part[name] for part in parts]) for name in senses}


def of_clip(sound: NDArray[np.float32] | None, frames: NDArray[np.uint8] | None, plot: str) -> dict[str, Bits]:
    """What four seconds of a clip say of touch, by its sound, its motion and its plot, {stream: (1, L, D)}.

    Args:
        sound: (96000,) at 24 kHz; None: nothing is said of touch.
        frames: (48, 96, 160, 3) at 12 a second; None: no motion.
        plot: words, for warmth and wind.
    """
    if sound is None:
        return {}
    _, _, temperature, wind = lexicon.derive(plot)
    rate, fps = int(SENSES["hearing"].rate), float(SENSES["sight"].rate)
    felt = derive.touch(sound, rate, SENSES["touch"].samples, frames, fps, temperature, wind)
    return SENSES["touch"].encode(felt)


def named(plot: str) -> dict[str, tuple[Bits, NDArray[np.bool_]]]:
    """The notes and tastes that a plot names, as bits (1, L, D) and which of them it names, for smell and taste.

    These are given, not asked for: a network that has met few gardens would rather smell the sea.
    """
    notes, tastes, _, _ = lexicon.derive(plot)
    out = {}
    for name, levels in (("smell", notes), ("taste", tastes)):
        bits = SENSES[name].encode(np.tile(levels, (SENSES[name].samples, 1)))[name]
        mask = np.repeat(levels > 0, CODE.width).reshape(bits.shape)
        if mask.any():
            out[name] = (bits, mask)
    return out
