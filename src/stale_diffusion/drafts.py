"""Drafts of touch, smell and taste: what physics or signal processing says, for the network to begin from.

A draft goes half stale and is made fresh by the network, given everything else: the wave that is felt is the wave
that is seen, and what the draft does not know (a voice, a plot) the network puts right.

Shapes: L tokens, D bits of a token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import scene
from stale_diffusion.clips import derive, lexicon
from stale_diffusion.dreamscapes.perform import KEEP, lanes
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.senses.base import Bits


def of_scene(scenes: list[Bits]) -> dict[str, Bits]:
    """What the last of some scene segments, each (1, 25, 32), does to touch, smell and taste, {stream: (1, L, D)}."""
    kept = scenes[-KEEP:]
    stage = Stage(scene.decode(np.concatenate(kept)), first=len(scenes) - len(kept))
    values = lanes(stage)
    last = {name: v[-SENSES[name].samples :] for name, v in values.items()}
    return {stream: b for name, v in last.items() for stream, b in SENSES[name].encode(v).items()}


def of_clip(sound: NDArray[np.float32] | None, frames: NDArray[np.uint8] | None, plot: str) -> dict[str, Bits]:
    """What four seconds of a clip say of touch (by its sound and motion), smell and taste (by its plot).

    Args:
        sound: (96000,) at 24 kHz; None: nothing is said of touch.
        frames: (48, 96, 160, 3) at 12 a second; None: no motion.
        plot: words; where none of them smells, nothing is said of smell and taste.
    """
    notes, tastes, temperature, wind = lexicon.derive(plot)
    draft: dict[str, Bits] = {}
    if sound is not None:
        rate, fps = int(SENSES["hearing"].rate), float(SENSES["sight"].rate)
        felt = derive.touch(sound, rate, SENSES["touch"].samples, frames, fps, temperature, wind)
        draft |= SENSES["touch"].encode(felt)
    if notes.any():
        for name, levels in (("smell", notes), ("taste", tastes)):
            draft |= SENSES[name].encode(np.tile(levels, (SENSES[name].samples, 1)))
    return draft
