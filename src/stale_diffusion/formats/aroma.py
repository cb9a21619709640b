"""Aroma Shooter cues: puffs from six chambers, with pauses in which the air clears.

The cartridge map says which note is in which chamber; a person edits it (TOML) to what is in the device. Without one,
the six strongest notes of the movie are assumed. A note without a cartridge is played by the nearest one by odour
similarity, or left out; `report` says which. No note begins before what is no longer there can be smelt off.
"""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.formats.notes import notes, similarity
from stale_diffusion.movie import Movie
from stale_diffusion.timeline import Track

CHAMBERS = (1, 2, 3, 4, 5, 6)
MAX_CUE_MS = 10_000
PUFF_MS = 3_000  # a nose adapts: what stays is puffed again and again, not blown on and on
REPEAT_SECONDS = 8.0
CLEAR_SECONDS = 1.0  # between the end of a puff and the next; a new note waits until what has gone no longer lingers
MAX_MAP_BYTES = 2**16
MAP_MEND = "stale-diffusion export FILE --to DIR --formats cartridges writes a map to edit"
MIN_CUE_MS = 500
ENTER, LEAVE = 0.12, 0.06
AT_ONCE = 3  # chambers blown together; more is mud
NEAR = 0.6  # odour similarity from which a cartridge may stand in for another note


def cartridges_of(data: bytes, source: str = "cartridge map") -> dict[int, str]:
    """Read a cartridge map: TOML, a line a chamber, `1 = "sea salt"`.

    Raises:
        StaleError: it is not TOML, or a chamber or a note does not exist.
    """
    if len(data) > MAX_MAP_BYTES:
        raise StaleError(f"{source} is no cartridge map.", "it is larger than 64 kB", MAP_MEND, usage=True)
    try:
        lines = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise StaleError(f"{source} cannot be read.", str(error) or "it is nested too deeply", MAP_MEND,
                         usage=True) from None  # fmt: skip
    found = {}
    for chamber, note in lines.items():
        if chamber not in map(str, CHAMBERS):
            raise StaleError(f"{source}: there is no chamber {chamber!r}.", "chambers are 1 to 6", MAP_MEND, usage=True)
        if not isinstance(note, str) or note not in notes():
            why = f"notes are {', '.join(notes())}"
            raise StaleError(f"{source}: {note!r} is no note.", why, MAP_MEND, usage=True)
        found[int(chamber)] = note
    if not found:
        raise StaleError(f"{source} names no cartridge.", mend=MAP_MEND, usage=True)
    return found


def to_map(movie: Movie) -> str:
    """A cartridge map to edit: the six strongest notes of the movie."""
    lines = [f'{chamber} = "{note}"' for chamber, note in _strongest(movie.smell).items()]
    head = ["# Which note is in which chamber of the Aroma Shooter. Edit it to what is in yours, then:",
            "#   stale-diffusion export FILE --to DIR --formats aroma --cartridges THIS_FILE", "#",
            "# Notes:", *(f"#   {line}" for line in textwrap.wrap(", ".join(notes()), 100))]  # fmt: skip
    return "\n".join([*head, "", *lines]) + "\n"


def to_aroma(movie: Movie, cartridges: Mapping[int, str] | None = None) -> dict[str, Any]:
    """The smell of a movie as cues, in order of time, none before the last has ended and the air has cleared."""
    track = movie.smell
    loaded = dict(cartridges) if cartridges is not None else _strongest(track)
    chamber_of, report = _assign(_present(track), loaded)
    strength = np.zeros((len(track.values), len(CHAMBERS)))
    for name, chamber in chamber_of.items():
        column = strength[:, chamber - 1]
        np.maximum(column, track.channel(name), out=column)
    linger = [notes()[loaded[chamber]].linger if chamber in loaded else 0.0 for chamber in CHAMBERS]
    return {
        "format": "stale-diffusion aroma",
        "version": 1,
        "device": "Aroma Shooter",
        "seconds": round(movie.seconds, 3),
        "cartridges": {str(chamber): note for chamber, note in sorted(loaded.items())},
        "report": report,
        "cues": _cues(strength, float(track.rate), movie.seconds, np.array(linger)),
    }


def report(movie: Movie, cartridges: Mapping[int, str] | None = None) -> list[str]:
    """A line for each note that another cartridge stands in for, or that is left out."""
    loaded = dict(cartridges) if cartridges is not None else _strongest(movie.smell)
    return _assign(_present(movie.smell), loaded)[1]


def stream(movie: Movie, cartridges: Mapping[int, str] | None = None) -> Iterator[str]:
    """The cues as text."""
    yield json.dumps(to_aroma(movie, cartridges), indent=1) + "\n"


def _present(track: Track) -> list[str]:
    """Notes that are ever noticed, the strongest over the movie first."""
    peak, total = track.values.max(axis=0, initial=0), track.values.sum(axis=0)
    order = sorted(range(len(track.channels)), key=lambda c: (-float(total[c]), c))
    return [track.channels[c] for c in order if peak[c] >= ENTER and track.channels[c] in notes()]


def _strongest(track: Track) -> dict[int, str]:
    return dict(zip(CHAMBERS, _present(track), strict=False))


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


def _cues(
    strength_TC: NDArray[np.float64], rate: float, seconds: float, linger_C: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Puffs of the chambers present: when the set or its strengths change, and again every REPEAT_SECONDS."""
    cues: list[dict[str, Any]] = []
    end, last, played = -np.inf, -REPEAT_SECONDS, np.zeros(len(CHAMBERS))
    on, blown = np.zeros(len(CHAMBERS), bool), np.zeros(len(CHAMBERS), bool)
    for i, level in enumerate(strength_TC):
        time = i / rate
        on = level >= np.where(on, LEAVE, ENTER)
        chosen = [int(c) for c in np.argsort(-level, kind="stable")[:AT_ONCE] if on[c]]
        now = np.zeros(len(CHAMBERS))
        now[chosen] = level[chosen]
        if not chosen:
            played = now
            continue
        gone, new = blown & (now == 0), ((now > 0) & ~blown).any()
        clear = max(CLEAR_SECONDS, float(linger_C[gone].max(initial=0)) if new else 0.0)
        changed = float(np.maximum(now - played, 0).max()) >= 0.15
        if time < end + clear or not (changed or time - last >= REPEAT_SECONDS):
            continue
        duration = min(PUFF_MS, MAX_CUE_MS, round((seconds - time) * 1000))
        if duration < MIN_CUE_MS:
            break
        cues.append(_cue(time, chosen, level, duration))
        end, last, played, blown = time + duration / 1000, time, now, now > 0
    return cues


def _cue(time: float, chosen: list[int], level: NDArray[np.float64], duration: int) -> dict[str, Any]:
    return {
        "start": round(time * 1000),
        "chambers": sorted(c + 1 for c in chosen),
        "concentrations": [max(1, round(100 * min(1.0, float(level[c])))) for c in sorted(chosen)],
        "duration": duration,
        "internalBoosterIntensity": 100,
    }
