"""The clips of a folder, for whoever learns from them or compares them."""

from __future__ import annotations

from pathlib import Path

from stale_diffusion.clips.ingest import SUFFIXES
from stale_diffusion.errors import StaleError


def clips_of(folder: Path) -> list[Path]:
    """The clips of a folder and its subfolders, in order of name; hidden ones are left out.

    Raises:
        StaleError: it is not a folder, or holds no clip.
    """
    if not folder.is_dir():
        what = f"{folder} is not a folder." if folder.exists() else f"{folder} does not exist."
        raise StaleError(what, mend="name a folder of clips", usage=True)
    found = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file()]
    found = [p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    if not found:
        raise StaleError(
            f"{folder} holds no clips.", f"looked for {', '.join(sorted(SUFFIXES))}", "name another folder", usage=True
        )
    return found
