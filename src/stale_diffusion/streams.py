"""All streams that the network knows: the scene's and every sense's."""

from __future__ import annotations

from stale_diffusion import scene
from stale_diffusion.senses import SENSES
from stale_diffusion.senses.base import Stream

STREAMS: tuple[Stream, ...] = (scene.STREAM, *(stream for sense in SENSES.values() for stream in sense.streams))
"""In order: scene, sight.coarse, sight.fine, hearing, touch.vibration, touch.air, smell, taste."""
