"""The movies of one folder, by name; no name leads out of it."""

from __future__ import annotations

import stat
from pathlib import Path

from stale_diffusion.errors import StaleError

ENDINGS = (".mkv", ".mp4", ".webm", ".mov", ".m4v", ".3gp", ".m4a", ".ogg", ".flac", ".wav")
MOST = 500  # names that are listed


class Shelf:
    """A folder whose movies the page may play.

    Args:
        folder: it must exist; nothing below it and nothing outside it is ever opened.
        chosen: a file of the folder that was named on the command line, whatever its name ends in.
    """

    def __init__(self, folder: Path, chosen: str | None = None) -> None:
        self.folder, self.chosen = folder.resolve(strict=True), chosen

    def names(self) -> list[str]:
        """Movies in the folder, the newest first, at most MOST."""
        found = []
        for path in self.folder.iterdir():
            try:
                found.append((self.path(path.name).stat().st_mtime, path.name))
            except (StaleError, OSError):
                continue
        return [name for _, name in sorted(found, key=lambda entry: (-entry[0], entry[1]))[:MOST]]

    def path(self, name: str) -> Path:
        """The file of a name.

        Raises:
            StaleError: the name is a path, or leads out of the folder by a link, or is no movie's.
        """
        plain = name.isprintable() and not set(name) & set("/\\:") and not name.startswith(".")
        if name == self.chosen or (plain and Path(name).suffix.lower() in ENDINGS):
            try:
                path = (self.folder / name).resolve(strict=True)
                # the file itself must lie in the folder: a link that leaves it is as absent as a file that is not there
                if path.parent == self.folder and stat.S_ISREG(path.stat().st_mode):
                    return path
            except (OSError, RuntimeError, ValueError):
                pass
        raise StaleError("There is no such movie in this folder.", mend="choose one of the list")
