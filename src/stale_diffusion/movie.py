"""A five-sense movie: a screen (picture and sound) and tracks of what is felt on one clock."""

from __future__ import annotations

import base64
import binascii
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import recipe as recipes
from stale_diffusion import timeline
from stale_diffusion.errors import StaleError
from stale_diffusion.jsonio import MAX_BYTES
from stale_diffusion.recipe import Recipe
from stale_diffusion.senses import FELT
from stale_diffusion.senses.base import Bits
from stale_diffusion.timeline import Track

if TYPE_CHECKING:
    from stale_diffusion.trust.keys import Key

__all__ = ["Filmed", "Movie", "Screen", "Track"]

RGB = NDArray[np.uint8]
Sound = NDArray[np.float32]
SCENE_TOKENS = (25, 32)  # tokens and bits of a scene segment
FORMATS = {"timeline.json": timeline.FORMAT, "recipe.json": recipes.FORMAT}  # what is read back
MOVIES = (".mkv", ".mp4", ".webm", ".mka")  # what `Movie.save` writes whole
SOUNDS = (".flac", ".opus", ".ogg", ".m4a", ".wav")  # sound alone, the other senses in files beside it
PICTURES = (".png", ".webp")  # and what it writes as a still, or as a silent loop
RESERVED = FELT  # the tracks this program writes; never taken for a movie's own sound


class Screen(ABC):
    """Where picture and sound come from; final subclasses are filmed (here), performed and painted."""

    kind: Literal["performed", "painted", "filmed"]
    source: Path | None = None  # a file whose tracks are copied when the movie is written
    anew: tuple[str, ...] = ("sight", "hearing")  # what is written from `frames` and `sound`, not copied
    period: float | None = None  # seconds after which it repeats; a file repeats packets

    @property
    @abstractmethod
    def seconds(self) -> float:
        """Duration in seconds."""

    @abstractmethod
    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """Pictures, (H, W, 3) uint8 sRGB, at (width, height) and fps, from the start; a new pass at every call."""

    @abstractmethod
    def sound(self, rate: int) -> Iterator[Sound]:
        """Chunks of stereo sound, (n, 2) in [-1, 1], at `rate`; nothing where there is no sound."""

    def stills(self, count: int, size: tuple[int, int]) -> Iterator[RGB]:
        """Pictures at `count` equal steps of time, the first at 0."""
        fps = Fraction(count / self.seconds).limit_denominator(1_000_000)
        return islice(self.frames(size, fps), count)


@final
class Filmed(Screen):
    """The picture and sound of a media file, decoded only to be looked at: saving copies its packets."""

    kind = "filmed"
    anew = ()

    def __init__(self, path: str | Path) -> None:
        from stale_diffusion import media  # av takes a while to import

        self.path = self.source = Path(path)
        self.probe = media.probe(path)

    @property
    def seconds(self) -> float:
        """Duration of the file."""
        return self.probe.seconds

    def frames(
        self, size: tuple[int, int], fps: Fraction, start: float = 0.0, seconds: float | None = None
    ) -> Iterator[RGB]:
        """Pictures of the file, scaled to cover `size`; nothing where it has none."""
        from stale_diffusion import media

        return media.read_frames(self.path, fps, size, start, seconds) if self.probe.video else iter(())

    def sound(self, rate: int, start: float = 0.0, seconds: float | None = None) -> Iterator[Sound]:
        """The first sound track that is not the touch track."""
        from stale_diffusion import media

        own = [i for i, audio in enumerate(self.probe.audio) if audio.title.lower() not in RESERVED]
        return media.read_sound(self.path, rate, 2, start, seconds, track=own[0]) if own else iter(())

    def stills(self, count: int, size: tuple[int, int]) -> Iterator[RGB]:
        """The same by seeking: hours are not decoded for a few pictures."""
        from stale_diffusion import media

        for i in range(count if self.probe.video else 0):
            yield from islice(media.read_frames(self.path, None, size, i * self.seconds / count), 1)


@dataclass
class Movie:
    """Five senses on one clock.

    Args:
        seconds: duration.
        screen: picture and sound; None where there is neither.
        tracks: sense -> Track, for touch, smell, taste, balance and additional senses.
        recipe: how it was made; None for a foreign file.
        scene: the scene's bits, (S, 25, 32) in {-1, +1}.
        edges: colours of the picture's left and right edge, (T, 2, 3) at 2 Hz; None: nobody has looked yet.
        key: signs the file it is saved to; None: nobody does.
    """

    seconds: float
    screen: Screen | None = None
    tracks: dict[str, Track] = field(default_factory=dict)
    recipe: Recipe | None = None
    scene: Bits | None = None
    edges: RGB | None = field(default=None, repr=False, compare=False)
    key: Key | None = field(default=None, repr=False, compare=False)

    @property
    def touch(self) -> Track:
        """The touch track; StaleError where there is none."""
        return self.track("touch")

    @property
    def smell(self) -> Track:
        """The smell track."""
        return self.track("smell")

    @property
    def taste(self) -> Track:
        """The taste track."""
        return self.track("taste")

    @property
    def title(self) -> str:
        """The plot on one line, at most 200 characters, or the name of the file."""
        plot = self.recipe.plot if self.recipe is not None else ""
        words = "".join(c if c.isprintable() else " " for c in plot[:1000]).split()
        name = self.screen.source.stem if self.screen is not None and self.screen.source is not None else "untitled"
        return textwrap.shorten(" ".join(words), 200, placeholder=" …") if words else name

    def track(self, sense: str) -> Track:
        """The track of a sense by its name; StaleError where there is none."""
        if sense not in self.tracks:
            what = f"This movie has no {sense}."
            raise StaleError(what, mend="let the diffusion model add it: stale-diffusion complete CLIP -o FILE.mkv")
        return self.tracks[sense]

    @classmethod
    def open(cls, path: str | Path) -> Movie:
        """Open any media file; a movie of ours comes with tracks and recipe, from attachments or sidecars.

        Raises:
            StaleError: it is missing, not media, or its timeline is damaged.
        """
        screen = Filmed(path)
        files = _companions(screen)
        seconds = screen.seconds
        tracks: dict[str, Track] = {}
        if "timeline.json" in files:
            seconds, tracks = timeline.from_json(files["timeline.json"], f"timeline.json of {path}")
        recipe = None
        if "recipe.json" in files:
            recipe = recipes.from_json(files["recipe.json"], f"recipe.json of {path}")
        scene = unpack_scene(recipe.scene) if recipe and recipe.scene else None
        return cls(seconds, screen, tracks, recipe, scene)

    def save(
        self,
        path: str | Path,
        size: tuple[int, int] = (640, 360),
        fps: Fraction | int = 24,
        *,
        recipe: bool = True,
        progress: Callable[[float], None] | None = None,
    ) -> list[Path]:
        """Write the movie; a filmed screen is copied packet for packet, a performed or painted one is encoded.

        Args:
            path: .mkv (one file with attachments; above 30 minutes sidecars), .mp4 or .webm (sidecars beside it), .png
                (one still), .webp (a silent loop of at most 8 seconds), or a sound (SOUNDS).
            size, fps: of the picture, unless it is copied; a loop has 12 frames a second.
            recipe: false leaves the recipe out of the file.
            progress: called with the share done, [0, 1], a few times a second of work.

        Returns:
            The files written, the movie first.
        """
        from stale_diffusion.formats import mkv, sounds, still

        if Path(path).suffix.lower() in PICTURES:
            return still.write(self, Path(path), size, recipe=recipe, progress=progress)
        if Path(path).suffix.lower() in SOUNDS:
            return sounds.write(self, Path(path), recipe=recipe, progress=progress)
        return mkv.write(self, Path(path), size, Fraction(fps), recipe=recipe, progress=progress)

    def contact_sheet(self, path: str | Path) -> Path:
        """Write the movie down-sampled to 2D: film strip, sound, touch, smell and taste lanes in one PNG."""
        from stale_diffusion.formats import export, sheet

        target = Path(path)
        export.write_atomically(target, [sheet.to_png(self)])
        return target

    def described(self) -> Recipe:
        """The recipe as it goes into a file: with duration, origin of each sense and the scene."""
        base = self.recipe or Recipe(plot="")
        senses = dict(base.senses) | {name: track.origin for name, track in self.tracks.items()}
        packed = pack_scene(self.scene) if self.scene is not None else base.scene
        kind = base.picture or (self.screen.kind if self.screen else None)
        return replace(base, seconds=round(self.seconds, 6), senses=senses, scene=packed, picture=kind)


def _companions(screen: Filmed) -> dict[str, bytes]:
    """Our own attachments of a file, and where it has no timeline, the sidecars beside it (NAME.timeline.json, ...)."""
    from stale_diffusion import media

    files = media.read_attachments(screen.path) if screen.probe.attachments else {}
    if "timeline.json" not in files:
        for name in FORMATS:
            sidecar = screen.path.with_suffix(f".{name}")
            if sidecar.is_file():
                files[name] = _read(sidecar, FORMATS[name])
    # another program's file may have the same name; ours says what it is at its very beginning
    return {name: files[name] for name, kind in FORMATS.items() if kind.encode() in files.get(name, b"")[:200]}


def _read(path: Path, kind: str) -> bytes:
    """A sidecar: whole, where it says at its beginning that it is ours, and no further where it does not."""
    try:
        with path.open("rb") as file:
            head = file.read(200)
            data = head + file.read(MAX_BYTES) if kind.encode() in head else head
    except OSError as error:
        raise StaleError(f"{path} cannot be read.", error.strerror or str(error), f"chmod +r {path}") from None
    if len(data) > MAX_BYTES:
        raise StaleError(f"{path} cannot be read.", f"it is larger than {MAX_BYTES >> 20} MB", "export it again")
    return data


def pack_scene(scene: Bits) -> str:
    """Scene bits (S, 25, 32) as base64, one bit a bit."""
    return base64.b64encode(np.packbits(scene > 0).tobytes()).decode("ascii")


def unpack_scene(text: str) -> Bits:
    """The inverse of `pack_scene`."""
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except binascii.Error:
        packed = np.zeros(0, np.uint8)
    size = SCENE_TOKENS[0] * SCENE_TOKENS[1]
    if not len(packed) or len(packed) * 8 % size:
        raise StaleError("The scene in the recipe is damaged.", mend="export the recipe again from the movie")
    return (2 * np.unpackbits(packed).astype(np.int8) - 1).reshape(-1, *SCENE_TOKENS)
