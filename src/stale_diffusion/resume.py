"""A movie that was interrupted: the bits that were dreamt already, beside the file that they were to become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stale_diffusion.senses.base import Bits


class Unfinished:
    """OUTPUT.unfinished: packed bits, and what they were made with; another plot or model does not go on with them.

    Args:
        output: the movie to be.
        made_with: everything but the seed that decides the bits.
    """

    def __init__(self, output: Path, made_with: dict[str, Any]) -> None:
        self.path = output.with_name(output.name + ".unfinished")
        self._made_with = json.dumps(made_with, sort_keys=True)

    def load(self, seed: int | None) -> tuple[int | None, dict[str, Bits]]:
        """The seed and the bits that are there; the asked seed and nothing where there is no such movie."""
        try:
            data = self.path.read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            packed = load(data)
        except (OSError, ValueError, KeyError, SafetensorError):
            return seed, {}
        if header.get("made_with") != self._made_with or seed not in (None, int(header["seed"])):
            return seed, {}
        bits = {name: np.unpackbits(p, axis=-1).astype(np.int8) * 2 - 1 for name, p in packed.items()}
        return int(header["seed"]), bits

    def save(self, seed: int, bits: dict[str, Bits]) -> None:
        """Keep the whole segments."""
        whole = min((len(b) for b in bits.values()), default=0)
        packed = {name: np.packbits(b[:whole] > 0, axis=-1) for name, b in bits.items()}
        part = self.path.with_name(self.path.name + ".part")
        part.write_bytes(save(packed, {"seed": str(seed), "made_with": self._made_with}))
        part.replace(self.path)

    def forget(self) -> None:
        """The movie is finished."""
        self.path.unlink(missing_ok=True)
