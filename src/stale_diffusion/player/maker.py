"""Makes one movie in a process of its own: orders come by stdin, news goes to stdout, both a JSON object a line.

The first line is the wish; after it "pause", "resume" or "cancel". Where stdin ends (the player is gone), it is as if
"cancel" had come. What is too large for a line lies in a folder: pictures, lanes, and the movie as it grows.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stale_diffusion import scene
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import RGB, Movie, Screen, Sound
from stale_diffusion.player import lanes
from stale_diffusion.player.library import STILL, jpeg
from stale_diffusion.senses import FELT, SEGMENT_SECONDS, SENSES

if TYPE_CHECKING:
    from stale_diffusion.generate import Preview
    from stale_diffusion.media import GrowingMovie

STEPS = 16
SIZE, FPS, RATE = (640, 360), Fraction(24), 48_000
STILLS = 64  # pictures of steps that are kept
PREVIEW = (192, 108)  # their size
STILL_SECONDS = 0.15  # between two of them at least
STILL_SHARE = 3  # and so many times what the last one took: they must not slow down what they show
COLUMNS = 64  # of a lane of a preview
HEARD = 20  # columns of loudness a slot


class Cancelled(BaseException):
    """The person thought better of it."""


class Orders:
    """What the player wants, read by a thread of its own."""

    def __init__(self) -> None:
        self._go, self._stop, self.written = threading.Event(), False, False
        self._go.set()

    def listen(self) -> None:
        """Read orders until there are no more."""
        for line in sys.stdin:
            if line.strip() == "pause":
                self._go.clear()
            elif line.strip() == "resume":
                self._go.set()
            elif line.strip() == "cancel":
                break
        self._stop = True
        self._go.set()
        if not self.written:  # nothing to tidy up, and a network takes seconds to load
            os._exit(130)

    def check(self) -> None:
        """Wait while paused.

        Raises:
            Cancelled: it is to end.
        """
        if not self._go.is_set():
            tell(kind="paused")
            self._go.wait()
            tell(kind="resumed")
        if self._stop:
            raise Cancelled


def tell(**news: Any) -> None:
    """Say something to the player."""
    print(json.dumps(news, allow_nan=False), flush=True)


@final
class Watched(Screen):
    """A screen whose pictures and sound, taken for the first time, go to a growing movie too; it can be held up."""

    def __init__(self, screen: Screen, growing: GrowingMovie, folder: Path, orders: Orders) -> None:
        self.screen, self.growing, self.folder, self.orders = screen, growing, folder, orders
        self.kind, self._grows = screen.kind, True
        self._seen = self._listened = False
        self._heard = np.zeros((0, 2), np.float32)  # of the slots to come

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.screen.seconds

    def sound(self, rate: int) -> Iterator[Sound]:
        """Sound as it is; each segment is taken before its pictures (mkv.write does), the first time at RATE."""
        first, self._listened = not self._listened, True
        for chunk in self.screen.sound(rate):
            if first:
                self.growing.sound(chunk)
                self._heard = np.concatenate([self._heard, chunk])
            yield chunk

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures as they are; a slot of the growing movie is whole every two seconds."""
        first, self._seen = not self._seen, True
        for frame in self.screen.frames(size, fps):
            self.orders.check()
            if first and self._grows:
                self._grow(frame)
            yield frame

    def _grow(self, frame: RGB) -> None:
        try:
            if self.growing.frame(frame):
                self._say(self.growing.written - 1, frame)
        except OverflowError:  # the movie itself goes on
            self._grows = False

    def _say(self, slot: int, frame: RGB) -> None:
        picture = Image.fromarray(frame).resize(STILL, Image.Resampling.BOX)
        (self.folder / f"slot-{slot}.jpg").write_bytes(jpeg(picture))
        sound, self._heard = self._heard[: 2 * RATE], self._heard[2 * RATE :]
        tell(kind="slot", slot=slot, heard=lanes.heard_in(sound, HEARD) if len(sound) else [])


class Steps:
    """Turns the sampler's previews into news: a picture, lanes, and the bits themselves."""

    def __init__(self, folder: Path, orders: Orders) -> None:
        self.folder, self.orders = folder, orders
        self._stills, self._next = 0, 0.0

    def __call__(self, preview: Preview) -> None:
        """Take one preview."""
        self.orders.check()
        segment = scene.decode(preview.bits["scene"][None])[0]
        bits = np.concatenate([b.ravel() for b in preview.bits.values()])
        due = time.monotonic() >= self._next or preview.step == preview.steps
        tell(
            kind="step",
            segment=preview.segment,
            segments=preview.segments,
            step=preview.step,
            steps=preview.steps,
            staleness=round(preview.staleness, 4),
            certainty=round(preview.certainty, 4),
            place=segment.place,
            hour=round(24 * segment.statics["hour"], 2),
            bits=_base64(bits),
            count=len(bits),
            still=self._picture(segment) if due else self._stills - 1,
            lanes=_felt(preview),
        )

    def _picture(self, segment: scene.Segment) -> int:
        from stale_diffusion.dreamscapes import perform

        begun = time.monotonic()
        stage = scene.Stage()
        stage.append(segment)
        picture = perform.frame(stage, SEGMENT_SECONDS / 2, PREVIEW)
        part = self.folder / "still.part"  # the player never reads half a picture
        part.write_bytes(jpeg(Image.fromarray(picture)))
        part.replace(self.folder / f"still-{self._stills % STILLS}.jpg")
        self._stills += 1
        now = time.monotonic()
        self._next = now + max(STILL_SECONDS, STILL_SHARE * (now - begun))
        return self._stills - 1


def _base64(bits: NDArray[np.int8]) -> str:
    return base64.b64encode(np.packbits(bits > 0).tobytes()).decode()


def _felt(preview: Preview) -> dict[str, list[list[float]]]:
    """What is felt of the segment as it is now, COLUMNS values or fewer a channel."""
    found = {}
    for name in FELT:
        sense = SENSES[name]
        if any(s.name not in preview.bits for s in sense.streams):  # this model does not know it
            continue
        values: NDArray[np.float64] = sense.decode({s.name: preview.bits[s.name][None] for s in sense.streams})
        step = max(1, len(values) // COLUMNS)
        channels = [lanes.reduced(v.astype(np.float64), step, highest=True) for v in values.T]
        found[name] = [c.round(3).tolist() for c in channels]
    return found


def make(wish: dict[str, Any], orders: Orders) -> None:
    """Make the movie that was wished for, and tell how it goes."""
    import torch

    from stale_diffusion.generate import load
    from stale_diffusion.media import GrowingMovie
    from stale_diffusion.trust.prude import load_prude
    from stale_diffusion.trust.refusing import refuse

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # a core for the browser that shows it
    folder, output = Path(wish["folder"]), Path(wish["output"])
    prude = load_prude(Path(wish["refuse"])) if wish.get("refuse") else None
    generator = load(wish["model"]).using(refuse=prude)
    tell(kind="loaded")
    steps = Steps(folder, orders)
    movie = generator.generate(wish["plot"], wish["seconds"], wish["seed"], wish.get("steps", STEPS), watch=steps)
    if prude is not None:
        movie = refuse(movie, prude, wish.get("refuse_with", "pixelate"))
    assert movie.screen is not None
    _write_lanes(movie, folder / "lanes.json", output.name)
    tell(kind="sampled")
    size, fps = tuple(wish.get("size", SIZE)), Fraction(wish.get("fps", FPS))
    orders.written = True
    orders.check()
    with GrowingMovie(folder / "growing.mp4", size, fps, movie.seconds, RATE) as growing:
        tell(kind="growing", front=growing.slots.front, size=growing.slots.size, count=growing.slots.count)
        movie.screen = Watched(movie.screen, growing, folder, orders)
        movie.save(output, size, fps)
    tell(kind="done")


def _write_lanes(movie: Movie, path: Path, name: str) -> None:
    about = {**lanes.about(movie, name), "size": list(SIZE)}
    path.write_text(json.dumps({"about": about, "lanes": lanes.lanes(movie, 0, movie.seconds)}), "utf-8")


def main() -> int:
    """Run: 0 done, 1 failed, 130 cancelled."""
    with suppress(AttributeError, OSError):
        os.nice(2)  # the page that shows it comes first
    wish = json.loads(sys.stdin.readline())
    orders = Orders()
    threading.Thread(target=orders.listen, daemon=True).start()
    try:
        make(wish, orders)
    except StaleError as error:
        tell(kind="failed", what=error.what, why=error.why, mend=error.mend)
        return 1
    except (Cancelled, KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the thread that reads stdin would hold up the interpreter's end
