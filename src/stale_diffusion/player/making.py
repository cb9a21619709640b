"""The making of a movie from the page: one at a time, in a process that can be paused, resumed and cancelled."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from stale_diffusion.errors import StaleError
from stale_diffusion.media import Slots
from stale_diffusion.player.maker import STILLS

MOST_SECONDS = 3600.0  # a movie that is asked for by a page; `generate` makes longer ones
MOST_PLOT = 2000  # characters
NEWS = 256  # pieces that are kept for a page that has been away
BYTES_A_SECOND = 2_000_000  # of movie and of what is watched while it grows, together
ORDERS = ("pause", "resume", "cancel")
BUSY = ("loading", "dreaming", "rendering")


@dataclass(frozen=True)
class Wish:
    """What a page asks for; checked."""

    plot: str
    seconds: float
    seed: int

    @classmethod
    def read(cls, body: dict[str, Any]) -> Wish:
        """From a request's body; a seed that is missing is drawn.

        Raises:
            StaleError: something is missing or out of range.
        """
        plot, seconds, seed = body.get("plot", ""), body.get("seconds", 20), body.get("seed")
        if not isinstance(plot, str) or len(plot) > MOST_PLOT:
            raise StaleError("The plot is too long.", f"{MOST_PLOT} characters are enough", usage=True)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MOST_SECONDS:
            what, mend = "The page makes movies of up to an hour.", "stale-diffusion generate makes up to a day"
            raise StaleError(what, mend=mend, usage=True)
        if seed is None:
            seed = secrets.randbelow(2**31)
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**53:
            raise StaleError("A seed is a whole number from 0.", mend="leave it empty to have one drawn", usage=True)
        plain = "".join(c if c.isprintable() else " " for c in plot)
        return cls(" ".join(plain.split()), float(seconds), seed)


class Making:
    """Makes movies into a folder; safe to use from several threads.

    Args:
        folder: where they go.
        model: as for `generate.load`.
        more: "steps", "size", "fps" of what is made.
    """

    def __init__(self, folder: Path, model: str | None, more: Mapping[str, Any] | None = None) -> None:
        self.folder, self.model, self.more = folder, model, dict(more or {})
        self._lock = threading.Lock()
        self._job: _Job | None = None

    def start(self, wish: Wish) -> None:
        """Begin.

        Raises:
            StaleError: one is being made already, or there is no room.
        """
        with self._lock:
            if self._job is not None and self._job.phase in BUSY:
                raise StaleError("A movie is being made already.", mend="wait for it, or cancel it", usage=True)
            free = shutil.disk_usage(self.folder).free
            if free < wish.seconds * BYTES_A_SECOND:
                why = f"{free / 1e6:.0f} MB are free in {self.folder.name}"
                raise StaleError("There is no room for this movie.", why, "ask for a shorter one", usage=True)
            if self._job is not None:
                self._job.close()
            self._job = _Job(wish, free_name(self.folder, wish), self.model, self.more)

    def order(self, order: str) -> None:
        """Pause, resume or cancel what is being made; nothing where nothing is."""
        if order not in ORDERS:
            raise StaleError("There is no such order.", f"orders are {', '.join(ORDERS)}", usage=True)
        if self._job is not None:
            self._job.order(order)

    def state(self, since: int) -> dict[str, Any] | None:
        """How it goes, with the news after number `since`; None where nothing was ever asked for."""
        return self._job.state(since) if self._job is not None else None

    def still(self, number: int) -> bytes:
        """The picture of a step."""
        return self._read(f"still-{number % STILLS}.jpg")

    def slot(self, number: int) -> bytes:
        """The last picture of a slot, small."""
        return self._read(f"slot-{number}.jpg")

    def lanes(self) -> bytes:
        """Touch, smell, taste and captions of the movie that is being made, as JSON, once they are known."""
        return self._read("lanes.json")

    def grown(self) -> Grown:
        """The movie as it grows."""
        if self._job is None or self._job.slots is None:
            raise StaleError("Nothing is growing.", mend="ask for a movie first")
        return Grown(self._job, self._job.slots)

    def close(self) -> None:
        """Cancel what is being made, and leave nothing behind."""
        with self._lock:
            if self._job is not None:
                self._job.close()
            self._job = None

    def _read(self, name: str) -> bytes:
        try:
            if self._job is not None:
                return (self._job.folder / name).read_bytes()
        except OSError:
            pass
        raise StaleError("This is not there yet.", mend="wait a moment")


class _Job:
    """One movie on its way, and the process that makes it."""

    def __init__(self, wish: Wish, output: Path, model: str | None, more: dict[str, Any]) -> None:
        self.wish, self.output = wish, output
        self.id = secrets.token_hex(4)
        self.phase, self.paused, self.error = "loading", False, ""
        self.slots: Slots | None = None
        self.written = self.number = 0
        self._news: deque[dict[str, Any]] = deque(maxlen=NEWS)
        self._cancelled = False
        self._temporary = tempfile.TemporaryDirectory(prefix="stale-diffusion-")
        self.folder = Path(self._temporary.name)
        self._errors = (self.folder / "errors.txt").open("w+")
        command = [sys.executable, "-m", "stale_diffusion.player.maker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                                         text=True, encoding="utf-8")  # fmt: skip
        self._say(json.dumps({"plot": wish.plot, "seconds": wish.seconds, "seed": wish.seed, "output": str(output),
                              "folder": self._temporary.name, "model": model, **more}))  # fmt: skip
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def state(self, since: int) -> dict[str, Any]:
        return {
            "id": self.id, "phase": self.phase, "paused": self.paused, "error": self.error, "name": self.output.name,
            "plot": self.wish.plot, "seconds": self.wish.seconds, "seed": self.wish.seed, "number": self.number,
            "slots": self.slots.count if self.slots else 0, "written": self.written,
            "news": [n for n in tuple(self._news) if n["number"] > since],
        }  # fmt: skip

    def order(self, order: str) -> None:
        if self.phase in BUSY:
            self._cancelled |= order == "cancel"
            self.paused = order == "pause"
            self._say(order)

    def close(self) -> None:
        """End it, kindly first."""
        self.order("cancel")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            for part in (".tracks.part", ".part"):
                self.output.with_name(self.output.name + part).unlink(missing_ok=True)
        self._thread.join(5)
        self._errors.close()
        self._temporary.cleanup()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it has ended
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        """Take the news of the process until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # what a library prints is not news
                news = json.loads(line)
                if isinstance(news, dict) and "kind" in news:
                    self._take(news)
        code = self._process.wait()
        if self._cancelled and self.phase != "done":
            self.phase = "cancelled"
        elif self.phase not in ("done", "failed"):
            self.phase, self.error = "failed", f"The maker ended early (exit code {code}). {self._last_words()}"

    def _take(self, news: dict[str, Any]) -> None:
        kind = news["kind"]
        if kind == "loaded":
            self.phase = "dreaming"
        elif kind == "growing":
            self.slots, self.phase = Slots(news["front"], news["size"], news["count"]), "rendering"
        elif kind == "slot":
            self.written = news["slot"] + 1
        elif kind == "failed":
            self.phase, self.error = "failed", " ".join(filter(None, (news["what"], news["why"], news["mend"])))
        elif kind == "done":
            self.phase = "done"
        self._news.append({**news, "number": self.number + 1})
        self.number += 1

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-2000:].strip().splitlines()
        return lines[-1] if lines else ""


@dataclass(frozen=True)
class Grown:
    """The bytes of a movie that grows; those that are not there yet are waited for."""

    job: _Job
    slots: Slots

    @property
    def length(self) -> int:
        """Bytes in the end."""
        return self.slots.length

    async def read(self, start: int, size: int) -> bytes:
        """See ranges.Read; nothing where the making has ended before these bytes were made."""
        while (there := self._there()) <= start:
            if self.job.phase not in BUSY:
                return b""
            await asyncio.sleep(0.1)
        return await run_in_threadpool(self._read, start, min(size, there - start))

    def _there(self) -> int:
        return self.slots.front + self.slots.size * self.job.written

    def _read(self, start: int, size: int) -> bytes:
        try:
            with (self.job.folder / "growing.mp4").open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError:
            return b""


def free_name(folder: Path, wish: Wish) -> Path:
    """A name for a movie that no file of the folder has: the first words of its plot, and the seed."""
    words = re.sub(r"[^\w]+", "-", wish.plot.lower()).strip("-_")[:48].rstrip("-_") or "movie"
    for n in range(1, 10_000):
        path = folder / (f"{words}-{wish.seed}.mkv" if n == 1 else f"{words}-{wish.seed}-{n}.mkv")
        if not path.exists():
            return path
    raise StaleError(f"{folder} is full of movies of this name.", mend="move some of them away")
