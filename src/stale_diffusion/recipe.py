"""The recipe of a movie: all that is needed to make it again, and what it cost."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any, get_args, get_type_hints

import numpy as np

from stale_diffusion.errors import StaleError
from stale_diffusion.jsonio import read_object
from stale_diffusion.senses.base import Bits
from stale_diffusion.timeline import Origin

FORMAT = "stale-diffusion recipe"
VERSION = 1
DOLLARS_PER_KESHA = 0.50  # Ke$has: xz bits per 50 cents


@dataclass(frozen=True)
class Recipe:
    """What a movie was made from; `recipe.json` in the file. Fields that are not known are None.

    Args:
        plot: the conditioning text.
        seed, steps, guidance: of the reverse sampler.
        seconds, width, height, fps: of the movie; fps as "24" or "30000/1001".
        model: SHA-256 of the weights. program: version of this package.
        picture: "performed" from the scene, "painted" by the network, or "filmed".
        senses: sense -> generated, derived, given or edited.
        segments: number of segments generated.
        xz_bits: size of the generated token bits, compressed by xz.
        cost_dollars, keshas: what it cost, and xz bits per 50 cents of it.
        sleep_safe: whether picture and sound were mastered to be slept by; None: nobody asked.
        limits: name -> the limit they were mastered to.
        bedtime: minutes at its end in which it grows dim and soft.
        created: ISO 8601.
        source: name of the file that was completed or restored.
        scene: the scene's bits, packed, base64.
        edits: what was done to the movie since, in order, each as a command line says it.
        refused: what a prude refused, when, and by which file.
    """

    plot: str
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    fps: str | None = None
    model: str | None = None
    program: str | None = None
    picture: str | None = None
    senses: Mapping[str, Origin] = field(default_factory=dict)
    segments: int | None = None
    xz_bits: int | None = None
    cost_dollars: float | None = None
    keshas: float | None = None
    sleep_safe: bool | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    bedtime: float | None = None
    created: str | None = None
    source: str | None = None
    scene: str | None = None
    edits: Sequence[str] = field(default_factory=list)
    refused: Sequence[str] = field(default_factory=list)

    def to_json(self) -> str:
        """The recipe as JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION} | asdict(self), indent=1, allow_nan=False) + "\n"


def from_json(data: bytes | str, source: str = "recipe.json") -> Recipe:
    """Read a recipe; fields of later versions are left out.

    Raises:
        StaleError: it is damaged or of another kind.
    """
    record = read_object(data, source)
    if record.get("format") != FORMAT or not isinstance(record.get("plot"), str):
        raise StaleError(f"{source} is not a recipe.", mend="export it again from the movie it belongs to")
    hints = get_type_hints(Recipe)
    known = {f.name: record[f.name] for f in fields(Recipe) if f.name in record}
    for name, value in known.items():
        if not _fits(value, hints[name]):
            raise StaleError(f"{source}: {name} has the wrong type.", mend="export it again from the movie")
    return Recipe(**known)


def _fits(value: Any, hint: Any) -> bool:
    if hint == Mapping[str, Origin]:
        return isinstance(value, dict) and all(v in get_args(Origin) for v in value.values())
    if hint == Mapping[str, float]:
        return isinstance(value, dict) and all(type(v) in (int, float) for v in value.values())
    if hint == Sequence[str]:
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    kinds = get_args(hint) or (hint,)
    if isinstance(value, bool) or value is None:
        return type(value) in kinds or (value is None and NoneType in kinds)
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def xz_bits(arrays: Iterable[Bits]) -> int:
    """Size in bits of generated token bits, {-1, +1}, packed 8 to the byte and compressed by xz at its strongest."""
    packed = b"".join(np.packbits(np.asarray(bits) > 0).tobytes() for bits in arrays)
    return 8 * len(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))


def keshas(bits: int, cost_dollars: float) -> float:
    """Ke$has: xz bits per 50 cents (the paper's unit: 1 Ke$ha = 1 xz bit / 50 cents).

    Args:
        bits: `xz_bits` of the movie.
        cost_dollars: what generating it cost; positive.
    """
    if not cost_dollars > 0:
        raise StaleError(
            "A movie that costs nothing has no price in Ke$has.", mend="give the price of an hour", usage=True
        )
    return bits / (cost_dollars / DOLLARS_PER_KESHA)
