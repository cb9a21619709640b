"""A sound alone becomes a movie: the network guesses the scene that it is of, and the rest is performed from that.

The sound is given, segment by segment, and kept packet for packet. What is felt begins from what the physics of the
guessed scene says, gone stale, as in `Generator.generate`; the picture is performed by Dreamscapes.

Shapes: S segments, L tokens, D bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from stale_diffusion import drafts
from stale_diffusion.errors import StaleError
from stale_diffusion.inputs import given_senses, joined
from stale_diffusion.movie import RGB, Filmed, Movie, Screen, Sound
from stale_diffusion.screens import Performed
from stale_diffusion.senses import SEGMENT_SECONDS
from stale_diffusion.senses.base import Bits
from stale_diffusion.streams import PERFORMED
from stale_diffusion.timeline import MAX_SECONDS
from stale_diffusion.trust.limits import LIMITS
from stale_diffusion.trust.marking import Marked, payload
from stale_diffusion.trust.sleep_safe import Mastered

if TYPE_CHECKING:
    from stale_diffusion.generate import Generator, Preview
    from stale_diffusion.trust.keys import Key

LEAST = 0.25  # seconds of sound below which there is nothing to be seen


@final
class Accompanied(Screen):
    """A picture from one screen to the sound of a file, which is copied packet for packet."""

    kind = "performed"
    anew = ("sight",)

    def __init__(self, picture: Screen, film: Filmed) -> None:
        self.picture, self.film, self.source = picture, film, film.path

    @property
    def seconds(self) -> float:
        """Duration of the sound."""
        return self.film.seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        """The performed pictures."""
        return self.picture.frames(size, fps)

    def stills(self, count: int, size: tuple[int, int]) -> Iterator[RGB]:
        """A few of them."""
        return self.picture.stills(count, size)

    def sound(self, rate: int) -> Iterator[Sound]:
        """The sound of the file, (n, 2)."""
        return self.film.sound(rate)


def heard_only(movie: Movie) -> bool:
    """Whether a movie is of a file that has sound and no picture."""
    return isinstance(movie.screen, Filmed) and movie.screen.probe.video is None and bool(movie.screen.probe.audio)


def check_sound(movie: Movie) -> None:
    """Refuse a sound that no movie can be made to.

    Raises:
        StaleError: it lasts less than LEAST, or more than a day.
    """
    if not LEAST <= movie.seconds <= MAX_SECONDS:
        name = movie.screen.source.name if movie.screen and movie.screen.source else "The sound"
        why = f"it lasts {movie.seconds:g} s; a movie takes {LEAST:g} s at least and a day at most"
        raise StaleError(f"No picture can be made to {name}.", why, "name a longer recording or a part", usage=True)


def accompanied(
    generator: Generator,
    movie: Movie,
    plot: str = "",
    seed: int = 0,
    steps: int = 16,
    *,
    guidance: float,
    price: float,
    watch: Callable[[Preview], None] | None = None,
    key: Key | None = None,
) -> Movie:
    """A movie to a sound: a performed picture, and what is felt; what the movie has of that is kept.

    Args:
        movie: of a file with sound and no picture.
        plot: what is heard; empty: the network has only its ear.
        seed, steps, guidance, price, watch: as in `Generator.generate`.
        key: marks the picture and signs the file; None: neither.

    Raises:
        StaleError: there is a picture or no sound, the sound is too short or too long, or the model cannot hear.
    """
    if not heard_only(movie) or not isinstance(movie.screen, Filmed):
        raise StaleError("Only a sound without a picture gets one.", mend="Generator.complete(movie)", usage=True)
    check_sound(movie)
    if not {"scene", "hearing"} <= {*generator.streams}:
        why = "it was trained without the scene or without hearing"
        raise StaleError("This model cannot guess a scene from its sound.", why, "Name another --model.", usage=True)
    started = time.monotonic()
    given, _ = given_senses(movie, range(math.ceil(round(movie.seconds / SEGMENT_SECONDS, 9))), plot)
    if "hearing" not in given:
        raise StaleError(f"{movie.screen.path} cannot be heard.", "none of its sound can be decoded")
    known = {n: b for n, b in given.items() if n in generator.streams}
    bits = imagined(generator, known, plot, seed, steps, guidance, watch)
    out = generator.movie_of(bits, movie.seconds, bits["scene"])
    out.tracks |= movie.tracks
    made = {n: b for n, b in bits.items() if n not in given}
    recipe = generator.recipe_of(plot, seed, steps, guidance, made, time.monotonic() - started, price)
    flashes = {name: limit for name, limit in LIMITS.items() if "flash" in name}  # the sound is as it was given
    film, before = movie.screen, movie.recipe
    out.recipe = replace(
        recipe, source=film.path.name, picture="performed", limits=flashes, edits=before.edits if before else [],
        senses={"sight": "generated", "hearing": "given"},
    )  # fmt: skip
    picture: Screen = Mastered(Performed(bits["scene"], movie.seconds))
    out.screen = Accompanied(picture, film)
    if key is not None:
        out.screen = Accompanied(Marked(picture, key, payload(out, key)), film)
    return replace(out, key=key)


def imagined(
    generator: Generator, known: Mapping[str, Bits], plot: str, seed: int, steps: int, guidance: float,
    watch: Callable[[Preview], None] | None,
) -> dict[str, Bits]:  # fmt: skip
    """The scene that is guessed from what is heard, and then what is felt in it, segment by segment.

    Args:
        known: hearing, and what of the felt senses is there already, {stream: (S, L, D)}.

    Returns:
        {stream: (S, L, D)}, the known ones too.
    """
    from stale_diffusion.generate import Preview, segment_seed

    if steps < 1:
        raise StaleError(f"{steps} steps cannot be taken.", mend="Ask for --steps 1 or more.", usage=True)
    felt = tuple(n for n in PERFORMED[1:] if n in generator.streams and n not in known)
    named = drafts.named(plot)
    parts: dict[str, list[Bits]] = {}
    segments = len(known["hearing"])
    for s in range(segments):
        rng = torch.Generator().manual_seed(segment_seed(seed, s))
        past = {n: torch.from_numpy(p[-1].copy()) for n, p in parts.items()}
        here = {n: torch.from_numpy(b[s : s + 1].copy()) for n, b in known.items()}
        # as in training's job "heard": nothing but sound, in this segment and the one before
        ear = {"hearing": here["hearing"]}
        ear_past: dict[str, Tensor] = {n: past[n] for n in ("scene", "hearing") if n in past}
        out: dict[str, Tensor] = {}
        for (step, t, sure), out in generator.segment(ear, ("scene",), ear_past, plot, steps, guidance, rng, {}, {}):
            if watch is not None:
                watch(Preview(s, segments, step, steps, t, sure, {n: b[0].numpy() for n, b in out.items()}))
        out = here | {"scene": out["scene"]}
        if felt:
            begun = drafts.of_scene([*parts.get("scene", []), out["scene"].numpy()])
            walk = generator.segment(out, felt, past, plot, max(1, steps // 2), guidance, rng, begun, named)
            for _, last in walk:
                out = last
        for name, b in out.items():
            parts.setdefault(name, []).append(b.numpy())
    return joined(parts)
