"""The movies that the page looks at, opened once and kept while they are the latest few."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from stale_diffusion.movie import Movie
from stale_diffusion.player import lanes
from stale_diffusion.player.shelf import Shelf

if TYPE_CHECKING:
    from stale_diffusion.media import FileFragments

KEPT = 3  # opened movies
STILLS, STILL = 24, (160, 90)  # of the film strip, and the size of each


class _Opened:
    """One movie, and what is worked out from it when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self.movie = Movie.open(path)
        self._path, self._lock = path, threading.RLock()

    def once(self, look: Callable[[_Opened], Any]) -> Any:
        """What `look` finds, worked out by one thread alone."""
        with self._lock:
            return look(self)

    @cached_property
    def fragments(self) -> FileFragments:
        from stale_diffusion.media import FileFragments

        return FileFragments(self._path)

    @cached_property
    def heard(self) -> list[list[float]]:
        return lanes.heard(self.movie)

    @cached_property
    def strip(self) -> bytes:
        return strip(self.movie)


class Library:
    """Opens movies of a shelf; safe to use from several threads."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._lock = threading.Lock()
        self._opened: OrderedDict[tuple[Path, int, int], _Opened] = OrderedDict()

    def movie(self, name: str) -> Movie:
        """The movie of a name; StaleError where there is none, or it is damaged."""
        return self._get(name).movie

    def fragments(self, name: str) -> FileFragments:
        """The movie as a browser plays it."""
        return self._get(name).once(lambda o: o.fragments)  # type: ignore[no-any-return]

    def heard(self, name: str) -> list[list[float]]:
        """See lanes.heard."""
        return self._get(name).once(lambda o: o.heard)  # type: ignore[no-any-return]

    def strip(self, name: str) -> bytes:
        """See strip."""
        return self._get(name).once(lambda o: o.strip)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for opened in self._opened.values():
                _close(opened)
            self._opened.clear()

    def _get(self, name: str) -> _Opened:
        path = self.shelf.path(name)
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)  # a file that was written anew is another one
        with self._lock:
            if key not in self._opened:
                self._opened[key] = _Opened(path)
                while len(self._opened) > KEPT:
                    _close(self._opened.popitem(last=False)[1])
            self._opened.move_to_end(key)
            return self._opened[key]


def _close(opened: _Opened) -> None:
    if "fragments" in opened.__dict__:
        opened.fragments.close()


def strip(movie: Movie) -> bytes:
    """STILLS pictures side by side as one JPEG; black where the movie has no picture."""
    sheet = Image.new("RGB", (STILL[0] * STILLS, STILL[1]))
    if movie.screen is not None:
        pictures = movie.screen.stills(STILLS, STILL)
        for i, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (i * STILL[0], 0))
    return jpeg(sheet)


def jpeg(picture: Image.Image) -> bytes:
    """A picture as JPEG."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=82)
    return data.getvalue()
