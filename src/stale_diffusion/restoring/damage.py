"""What is wrong with a movie: spans of damage, and how stale the bits of each sense are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CORRUPT, LOST, FROZEN, BLACK, BLOCKS = "corrupt", "lost", "frozen", "black", "blocks"
DROPOUT, CLICK, MISSING, ROT = "drop-out", "click", "missing", "bit rot"
WORDS = {
    CORRUPT: "the decoder met errors",
    LOST: "packets are missing",
    FROZEN: "the picture stands still while time goes on",
    BLACK: "black pictures within a shot",
    BLOCKS: "black blocks",
    DROPOUT: "the sound drops out",
    CLICK: "clicks",
    MISSING: "the track is missing or ends early",
    ROT: "bits have rotted",
}


@dataclass(frozen=True)
class Damage:
    """One span of damage.

    Args:
        sense: sight, hearing, touch, smell or taste.
        kind: a key of WORDS.
        start, end: in seconds.
        share: of the picture, the samples or the bits in the span that is damaged, (0, 1].
    """

    sense: str
    kind: str
    start: float
    end: float
    share: float = 1.0

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.end - self.start


@dataclass(frozen=True)
class Findings:
    """All that was found.

    Args:
        seconds: duration of the movie.
        damages: in order of sense and time.
        rates: stream -> estimated share of flipped bits of each segment, (S,) in [0, 0.5].
        blocks: time in seconds -> which 16x16 blocks of the picture are black, (R, C).
        looked: senses that were looked at.
    """

    seconds: float
    damages: tuple[Damage, ...] = ()
    rates: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    blocks: dict[float, NDArray[np.bool_]] = field(default_factory=dict)
    looked: tuple[str, ...] = ()

    def of(self, sense: str, *kinds: str) -> list[Damage]:
        """Damages of a sense; of some kinds, if any are named."""
        return [d for d in self.damages if d.sense == sense and (not kinds or d.kind in kinds)]

    def of_kind(self, kind: str) -> list[Damage]:
        """Damages of one kind, of any sense."""
        return [d for d in self.damages if d.kind == kind]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for --json."""
        return {
            "seconds": round(self.seconds, 3),
            "looked": list(self.looked),
            "damages": [
                {"sense": d.sense, "kind": d.kind, "start": round(d.start, 4), "end": round(d.end, 4),
                 "share": round(d.share, 5)}
                for d in self.damages
            ],
            "bit_error_rates": {n: [round(float(p), 5) for p in rate] for n, rate in self.rates.items()},
        }  # fmt: skip


def merged(damages: list[Damage], gap: float = 0.0) -> list[Damage]:
    """Spans of one sense and kind that touch, or are less than `gap` seconds apart, as one; the share is their mean."""
    out: list[Damage] = []
    for d in sorted(damages, key=lambda d: (d.sense, d.kind, d.start)):
        last = out[-1] if out else None
        if last and (last.sense, last.kind) == (d.sense, d.kind) and d.start <= last.end + gap + 1e-6:
            whole = max(last.seconds + d.seconds, 1e-9)
            share = (last.share * last.seconds + d.share * d.seconds) / whole if whole > 1e-8 else d.share
            out[-1] = Damage(d.sense, d.kind, last.start, max(last.end, d.end), share)
        else:
            out.append(d)
    return out
