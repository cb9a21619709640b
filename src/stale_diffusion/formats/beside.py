"""Touch that lies beside a clip, made by somebody else: NAME.hjif, NAME.haptic or NAME.ahap for NAME.mp4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from stale_diffusion.errors import StaleError
from stale_diffusion.formats import ahap, haptic, hjif
from stale_diffusion.jsonio import MAX_BYTES
from stale_diffusion.timeline import Track

READERS: Mapping[str, Callable[[bytes | str, str], Track]] = {
    ".hjif": hjif.read,
    ".haptic": haptic.read,
    ".ahap": ahap.read,
}
"""The one that says most first: .hjif knows places, warmth and wind."""


def touch_beside(clip: Path, seconds: float) -> tuple[Track, Path] | None:
    """The touch given beside a clip, cut or held still to last `seconds`, and its file; None where there is none.

    Raises:
        StaleError: the file is damaged, or too large.
    """
    path = next((p for p in map(clip.with_suffix, READERS) if p.is_file()), None)
    if path is None:
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StaleError(f"{path} cannot be read.", f"it is larger than {MAX_BYTES >> 20} MB", "shorten it")
        data = path.read_bytes()
    except OSError as error:
        raise StaleError(f"{path} cannot be read.", error.strerror or str(error), f"chmod +r {path}") from None
    track = READERS[path.suffix](data, str(path))
    return fitted(track, seconds), path


def fitted(track: Track, seconds: float) -> Track:
    """A touch track cut to `seconds`, or lengthened: no vibration, the air as it was last."""
    n = max(1, round(seconds * track.rate))
    values = track.values[:n]
    values = np.pad(values, ((0, n - len(values)), (0, 0)), mode="edge")
    for name in ("seat_amplitude", "back_amplitude"):
        values[len(track.values) :, track.channels.index(name)] = 0
    return replace(track, values=values, curves=())
