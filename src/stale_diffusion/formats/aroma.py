"""Aroma Shooter cues: puffs from six chambers, with pauses in which the air clears.

The cartridge map {chamber 1-6: note} is a JSON object that a person edits to what is in the device. Without one, the
six strongest notes of the movie are assumed. A note without a cartridge is played by the nearest one by odour
similarity, or left out; `report` says which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.formats.notes import notes, similarity
from stale_diffusion.jsonio import read_object
from stale_diffusion.movie import Movie

CHAMBERS = (1, 2, 3, 4, 5, 6)
MAX_CUE_MS = 10_000
PUFF_MS = 3_000  # a nose adapts: what stays is puffed again and again, not blown on and on
REPEAT_SECONDS = 8.0
CLEAR_SECONDS = 1.0  # between the end of a puff and the next
MIN_CUE_MS = 500
ENTER, LEAVE = 0.12, 0.06
AT_ONCE = 3  # chambers blown together; more is mud
NEAR = 0.6  # odour similarity from which a cartridge may stand in for another note


def cartridges_of(data: bytes | str, source: str = "cartridge map") -> dict[int, str]:
    """Read a cartridge map, {"1": "sea salt", ...}.

    Raises:
        StaleError: a chamber or a note does not exist.
    """
    found = {}
    for chamber, note in read_object(data, source).items():
        if chamber not in map(str, CHAMBERS) or note not in list(notes()):
            why = f"chambers are 1 to 6; notes are {', '.join(notes())}"
            raise StaleError(f"{source}: {chamber!r}: {note!r} is no cartridge.", why, "edit the map", usage=True)
        found[int(chamber)] = note
    return found


def to_aroma(movie: Movie, cartridges: Mapping[int, str] | None = None) -> dict[str, Any]:
    """The smell of a movie as cues, in order of time, none before the last has ended and the air has cleared."""
    track = movie.smell
    loaded = dict(cartridges) if cartridges is not None else _strongest(track.channels, track.values)
    chamber_of, report = _assign(_present(track.channels, track.values), loaded)
    strength = np.zeros((len(track.values), len(CHAMBERS)))
    for name, chamber in chamber_of.items():
        column = strength[:, chamber - 1]
        np.maximum(column, track.channel(name), out=column)
    return {
        "format": "stale-diffusion aroma",
        "version": 1,
        "device": "Aroma Shooter",
        "seconds": round(movie.seconds, 3),
        "cartridges": {str(chamber): note for chamber, note in sorted(loaded.items())},
        "report": report,
        "cues": _cues(strength, float(track.rate), movie.seconds),
    }


def stream(movie: Movie) -> Iterator[str]:
    """The cues as text."""
    yield json.dumps(to_aroma(movie), indent=1) + "\n"


def _present(channels: tuple[str, ...], values: NDArray[np.float32]) -> list[str]:
    """Notes that are ever noticed, the strongest over the movie first."""
    peak, total = values.max(axis=0, initial=0), values.sum(axis=0)
    order = sorted(range(len(channels)), key=lambda c: (-float(total[c]), c))
    return [channels[c] for c in order if peak[c] >= ENTER and channels[c] in notes()]


def _strongest(channels: tuple[str, ...], values: NDArray[np.float32]) -> dict[int, str]:
    return dict(zip(CHAMBERS, _present(channels, values), strict=False))


def _assign(present: list[str], loaded: dict[int, str]) -> tuple[dict[str, int], list[str]]:
    """The chamber of each note, and what had to be replaced or left out."""
    chambers: dict[str, int] = {}
    report = []
    for note in present:
        ranked = sorted(loaded, key=lambda chamber: (-similarity(note, loaded[chamber]), chamber))
        if ranked and loaded[ranked[0]] == note:
            chambers[note] = ranked[0]
        elif ranked and similarity(note, loaded[ranked[0]]) >= NEAR:
            chambers[note] = ranked[0]
            report.append(f"{note}: no cartridge, {loaded[ranked[0]]} stands in")
        else:
            report.append(f"{note}: no cartridge like it, left out")
    return chambers, report


def _cues(strength_TC: NDArray[np.float64], rate: float, seconds: float) -> list[dict[str, Any]]:
    """Puffs of the chambers present: when the set or its strengths change, and again every REPEAT_SECONDS."""
    cues: list[dict[str, Any]] = []
    free, last, played = 0.0, -REPEAT_SECONDS, np.zeros(len(CHAMBERS))
    on = np.zeros(len(CHAMBERS), bool)
    for i, level in enumerate(strength_TC):
        time = i / rate
        on = level >= np.where(on, LEAVE, ENTER)
        chosen = [int(c) for c in np.argsort(-level, kind="stable")[:AT_ONCE] if on[c]]
        now = np.zeros(len(CHAMBERS))
        now[chosen] = level[chosen]
        changed = float(np.maximum(now - played, 0).max()) >= 0.15
        if time < free or not chosen or not (changed or time - last >= REPEAT_SECONDS):
            if not chosen:
                played = now
            continue
        duration = min(PUFF_MS, MAX_CUE_MS, round((seconds - time) * 1000))
        if duration < MIN_CUE_MS:
            break
        cues.append(
            {
                "start": round(time * 1000),
                "chambers": sorted(c + 1 for c in chosen),
                "concentrations": [max(1, round(100 * min(1.0, float(level[c])))) for c in sorted(chosen)],
                "duration": duration,
                "internalBoosterIntensity": 100,
            }
        )
        free, last, played = time + duration / 1000 + CLEAR_SECONDS, time, now
    return cues
