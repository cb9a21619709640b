"""The limits of a movie that one may fall asleep to, and a judge of any movie file by them.

Flashes: WCAG 2.3.1, and no lasting flicker of two or three flashes a second. Loudness and true peak: ITU-R BS.1770 by
FFmpeg's ebur128. Onset: how much louder a tenth of a second is than the second before it, K-weighted; noise wakes a
sleeper by its rise above the background rather than by its level (WHO, Environmental Noise Guidelines, 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stale_diffusion.trust import flashes
from stale_diffusion.trust.flashes import Kind
from stale_diffusion.trust.loudness import TENTH, Weighed, decibels

FLASHES = 3.0  # a second
FLICKER = 10.0  # flashes in five seconds: two a second
LOUDNESS, TOLERANCE = -27.0, 0.5  # LUFS, LU
PEAK = -3.0  # dBTP
ONSET = 12.0  # LU
BACKGROUND = -50.0  # LUFS: silence counts as this
RATE = 48_000  # Hz

LIMITS: dict[str, float] = {
    "general_flashes_per_second": FLASHES,
    "red_flashes_per_second": FLASHES,
    "general_flashes_in_5_seconds": FLICKER,
    "red_flashes_in_5_seconds": FLICKER,
    "flash_area_of_10_degrees": flashes.AREA,
    "loudness_lufs": LOUDNESS,
    "loudness_tolerance_lu": TOLERANCE,
    "true_peak_dbtp": PEAK,
    "onset_lu": ONSET,
}
"""As a recipe says them."""


@dataclass(frozen=True)
class Finding:
    """One limit and how a movie stands to it.

    Args:
        name: of the limit.
        value: the worst that was found; None: there is no such sense, or silence.
        limit: what is allowed. unit: of both.
        time: seconds of the worst moment; None: it is about the whole.
        kept: whether the limit is kept.
    """

    name: str
    value: float | None
    limit: str
    unit: str
    time: float | None
    kept: bool


def audit(path: str | Path, progress: Callable[[float], None] | None = None) -> list[Finding]:
    """Measure a movie file against every limit, with its worst moments; all pictures are decoded, in constant memory.

    Raises:
        StaleError: it is missing, or not media.
    """
    from stale_diffusion import media
    from stale_diffusion.movie import RESERVED

    probe = media.probe(path)
    tell = progress or (lambda _: None)
    found: list[Finding] = []
    if probe.video:
        found += _seen(path, lambda t: tell(0.9 * min(t / max(probe.seconds, 1e-9), 1)))
    own = [i for i, a in enumerate(probe.audio) if a.title.lower() not in RESERVED]
    for i in own[:1]:
        found += _heard(path, i)
    tell(1.0)
    return found


def _seen(path: str | Path, tell: Callable[[float], None]) -> list[Finding]:
    from stale_diffusion import media

    watch = flashes.Watch(flashes.Meter())
    last = -math.inf
    for time, small in media.read_small(path, flashes.GRID):
        last = max(time, last + 1e-6)  # a damaged file may run backwards
        watch.see(flashes.linear(small), last)
        tell(time)
    kinds: tuple[Kind, ...] = ("general", "red")
    out = []
    for kind in kinds:
        for span, limit, unit in (("second", FLASHES, "a second"), ("long", FLICKER, "in 5 seconds")):
            worst = watch.worst[kind, span]
            name = f"{kind} flashes" if span == "second" else f"{kind} flicker"
            when = worst.time if worst.changes else None
            out.append(Finding(name, worst.changes / 2, f"at most {limit:g}", unit, when, worst.changes <= 2 * limit))
    return out


def _heard(path: str | Path, track: int) -> list[Finding]:
    from stale_diffusion import media

    meter, onsets = media.LoudnessMeter(RATE), _Onsets()
    for chunk in media.read_sound(path, RATE, 2, track=track):
        meter.add(chunk)
        onsets.add(chunk)
    loud, peak, when = meter.result()
    level = f"{LOUDNESS:g} ± {TOLERANCE:g}"
    out = [Finding("loudness", loud, level, "LUFS", None, loud is None or abs(loud - LOUDNESS) <= TOLERANCE)]
    out.append(Finding("true peak", peak, f"at most {PEAK:g}", "dBTP", when, peak is None or peak <= PEAK))
    rise, time = onsets.worst
    out.append(Finding("onset", rise, f"at most {ONSET:g}", "LU", time, rise is None or rise <= ONSET))
    return out


class _Onsets:
    """How much louder each tenth of a second is than the second before; the start of a file comes after silence."""

    def __init__(self) -> None:
        self.weighed, self.rest = Weighed(RATE), np.zeros((0, 2), np.float32)
        self.second = [10 ** (BACKGROUND / 10)] * TENTH
        self.tenths = 0
        self.worst: tuple[float | None, float | None] = (None, None)

    def add(self, sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        both = np.concatenate([self.rest, sound])
        whole = len(both) // (RATE // TENTH) * (RATE // TENTH)
        self.rest = both[whole:]
        for power in self.weighed.powers(both[:whole], TENTH) if whole else ():
            before = max(decibels(sum(self.second) / TENTH), BACKGROUND)
            rise = decibels(float(power)) - before
            if decibels(float(power)) > BACKGROUND and rise > (self.worst[0] if self.worst[0] is not None else 0.0):
                self.worst = (rise, self.tenths / TENTH)
            self.second = [*self.second[1:], float(power)]
            self.tenths += 1


def report(path: str | Path, found: list[Finding]) -> dict[str, Any]:
    """The findings for a program: {"file", "safe", "limits", "findings": [{name, value, limit, unit, time, kept}]}."""
    rows = [asdict(f) | {"value": None if f.value is None else round(f.value, 3)} for f in found]
    return {"file": str(path), "safe": all(f.kept for f in found), "limits": LIMITS, "findings": rows}


def lines(found: list[Finding]) -> list[str]:
    """The findings for a person, a line each."""
    out = []
    for f in found:
        value = "none" if f.value is None else f"{f.value:.1f} {f.unit}"
        when = "" if f.time is None else f"  at {_clock(f.time)}"
        out.append(f"{'ok ' if f.kept else 'BAD'}  {f.name:<16} {value:<20} {f.limit}{when}")
    return out


def _clock(seconds: float) -> str:
    """A moment as hours, minutes and seconds."""
    tenths = round(seconds * 10)
    return f"{tenths // 36000:02}:{tenths // 600 % 60:02}:{tenths / 10 % 60:04.1f}"
