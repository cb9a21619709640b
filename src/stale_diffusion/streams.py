"""All streams that the network knows, the scene's and every sense's, and which of their bits are one number."""

from __future__ import annotations

from stale_diffusion import scene
from stale_diffusion.senses import SENSES, felt
from stale_diffusion.senses.base import Stream

STREAMS: tuple[Stream, ...] = (scene.STREAM, *(stream for sense in SENSES.values() for stream in sense.streams))
"""In order: scene, sight.coarse, sight.fine, hearing, touch.vibration, touch.air, smell, taste, balance."""

PERFORMED: tuple[str, ...] = ("scene", *(stream.name for sense in felt().values() for stream in sense.streams))
"""The streams that a performed movie is made of: the scene, and what is felt."""

FIELDS: dict[str, list[list[int]]] = {"scene": scene.FIELDS} | {
    stream.name: [SENSES[stream.sense].fields[stream.name]] * stream.kinds
    for stream in STREAMS
    if stream.sense in SENSES and stream.name in SENSES[stream.sense].fields
}
"""{stream: for each kind of token the widths of its Gray-coded numbers in bits, in order}."""
