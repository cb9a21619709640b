"""Other words for a plot, so that the network learns what words mean and not which the grammars use.

Some words are exchanged for near ones in the plot encoder's own table, some are left out. Words of the hour and of
strength stay: there the nearest word is the opposite (night and evening, strong and weak).

Shapes: W words, V words that may take a word's place, E plot dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F

from stale_diffusion.model.plot import PlotEncoder

NEAR = 0.55  # cosine; below it words are of one subject at best
NEIGHBOURS = 6
SWAPPED, DROPPED = 0.3, 0.1  # share of the words of a reworded plot
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
KEPT = frozenset(re.findall(r"[a-z]+", """
    night nighttime day daytime daylight dawn dusk morning noon midday afternoon evening midnight sunrise
    sunset nightfall dark moon moonlight sun sunlight light lights bright late early strong weak heavy loud
    quiet calm wild soft gentle lightly hard tiny small big huge tall low high stiff fresh steady slow fast
    furious still no not never hardly barely without before after then later first warm hot cold cool
"""))  # fmt: skip


class Rewording:
    """Rewords plots with what it knows of the words of some captions."""

    def __init__(self, captions: Iterable[str]) -> None:
        encode = PlotEncoder()
        known = encode.words()
        names = list(known)
        unit_VE = F.normalize(torch.stack([known[n] for n in names]), dim=1)
        self.near: dict[str, list[str]] = {}
        for word in sorted({w.lower() for c in captions for w in _WORD.findall(c)} & known.keys() - KEPT):
            likeness = unit_VE @ F.normalize(known[word], dim=0)
            best = likeness.topk(NEIGHBOURS + 1)
            found = [names[i] for c, i in zip(best.values.tolist(), best.indices.tolist(), strict=True) if c >= NEAR]
            if others := [n for n in found if n != word and n not in KEPT]:
                self.near[word] = others

    def __call__(self, plot: str, rng: np.random.Generator) -> str:
        """The plot in other words; what is drawn follows from `rng` alone."""

        def other(match: re.Match[str]) -> str:
            word, u = match[0], rng.random()
            if u < DROPPED and word.lower() not in KEPT:
                return ""
            if u < DROPPED + SWAPPED and word.lower() in self.near:
                return str(rng.choice(self.near[word.lower()]))
            return word

        return re.sub(r"\s+", " ", _WORD.sub(other, plot)).strip()
