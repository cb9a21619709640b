"""What `complete` does with a movie: which senses are kept, which are added, which are made anew, how strong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stale_diffusion.errors import StaleError
from stale_diffusion.senses import FELT

if TYPE_CHECKING:
    from stale_diffusion.edit import Span
    from stale_diffusion.movie import Movie
    from stale_diffusion.trust.keys import Key


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        keep: senses to be kept while the others are made anew; nothing said: all that are there.
        spans: what is to be made anew.
        strength: sense -> what its intensities are multiplied by.
        missing: senses that are to be added.
    """

    keep: tuple[str, ...]
    spans: tuple[Span, ...]
    strength: dict[str, float]
    missing: tuple[str, ...] = ()

    @property
    def edits(self) -> bool:
        """Whether it is about a movie that is there."""
        return bool(self.keep or self.spans or self.strength)

    @classmethod
    def parse(cls, keep: Sequence[str], redo: Sequence[str], strength: Sequence[str]) -> Plan:
        """The plan that options ask for; StaleError where they say what cannot be, or contradict each other."""
        from stale_diffusion import edit

        if keep and redo:
            why = "--redo keeps all the rest already; --keep makes all the rest anew"
            raise StaleError("--keep and --redo cannot go together.", why, "leave one out", usage=True)
        pairs = [edit.parse_strength(text) for text in strength]
        if len(dict(pairs)) < len(pairs):
            raise StaleError("A sense has two strengths.", mend="give --strength once a sense", usage=True)
        kept = tuple(edit.known_sense(sense) for sense in keep)
        return cls(kept, tuple(edit.parse_span(text) for text in redo), dict(pairs))

    def for_movie(self, movie: Movie) -> Plan:
        """The plan with what a movie lacks and what of it is to be made anew.

        Raises:
            StaleError: the movie lacks a sense that is named, a span lies outside it, or nothing is left to be done.
        """
        from stale_diffusion.edit import Span

        missing = () if self.spans else tuple(sense for sense in FELT if sense not in movie.tracks)
        for sense in (*self.keep, *(span.sense for span in self.spans), *self.strength):
            if sense not in movie.tracks and not (sense in self.strength and sense in missing):
                mend = "stale-diffusion complete CLIP -o FILE.mkv adds what is missing"
                raise StaleError(
                    f"This movie has no {sense}.", "it can be neither kept nor made anew", mend, usage=True
                )
        for span in self.spans:
            span.samples(movie.tracks[span.sense], movie.seconds)
        others = [sense for sense in FELT if self.keep and sense in movie.tracks and sense not in self.keep]
        plan = replace(self, missing=missing, spans=(*self.spans, *map(Span, others)))
        if not (plan.spans or plan.missing or plan.strength):
            why = f"it has {', '.join(movie.tracks)}, and all of it is kept"
            mend = "--redo smell@00:10-00:14, --keep touch or --strength smell=0.5"
            raise StaleError("There is nothing to be made in this movie.", why, mend, usage=True)
        return plan


def opened(clip: Path, output: Path | None, plan: Plan) -> Movie:
    """The movie of a clip, with touch that lies beside it; StaleError where writing would lose the clip."""
    from stale_diffusion.console import console
    from stale_diffusion.formats.beside import touch_beside
    from stale_diffusion.movie import Movie

    itself = output is None or (output.exists() and clip.exists() and output.samefile(clip))
    if itself and not plan.edits:
        what = "A movie to write is missing." if output is None else "The movie would overwrite its clip."
        raise StaleError(what, mend="-o another.mkv", usage=True)
    movie = Movie.open(clip)
    if itself and not movie.tracks:
        why = f"{clip} has neither touch nor smell nor taste, and a clip is never overwritten"
        raise StaleError("There is nothing to edit.", why, "-o another.mkv", usage=True)
    given = touch_beside(clip, movie.seconds) if "touch" not in movie.tracks else None
    if given is not None:
        movie.tracks["touch"] = given[0]
        console.print(f"touch is given by {given[1]}", markup=False, soft_wrap=True)
    return movie


def another(target: Path, clip: Path) -> Path:
    """The file to write a movie to whose picture is not the clip's any more; StaleError where it is the clip itself."""
    if target.exists() and clip.exists() and target.samefile(clip):
        why = "its picture is not the clip's any more, and a clip is never overwritten"
        raise StaleError("What was refused cannot be written over its clip.", why, "-o another.mkv", usage=True)
    return target


def format_of(movie: Movie) -> dict[str, Any]:
    """Size and frames a second of a filmed movie, as `Movie.save` takes them; sides are even."""
    from stale_diffusion.movie import Filmed

    assert isinstance(movie.screen, Filmed) and movie.screen.probe.video is not None
    video = movie.screen.probe.video
    return {
        "size": (max(32, video.width // 2 * 2), max(32, video.height // 2 * 2)),
        "fps": min(video.fps, Fraction(240)),
    }


def pictured(plan: Plan, movie: Movie, output: Path) -> bool:
    """Whether a picture is to be made: the clip is a sound alone, it lacks other senses, and OUTPUT holds a picture."""
    from stale_diffusion.alone import heard_only
    from stale_diffusion.movie import SOUNDS

    sound = output.suffix.lower() in (*SOUNDS, ".mka")
    return bool(plan.missing) and not plan.spans and not sound and heard_only(movie)


def run(
    plan: Plan, movie: Movie, clip: Path, plot: str | None, *, seed: int, steps: int, guidance: float, price: float,
    model: str | None, output: Path, key: Key | None,
) -> Movie:  # fmt: skip
    """The movie with what the plan asks for; a sound alone gets a picture as well, marked with `key`."""
    import shlex

    from stale_diffusion import console, edit
    from stale_diffusion.clips.ingest import read_info

    made = replace(movie, tracks=dict(movie.tracks))
    told = plot
    if told is None and not (movie.recipe and movie.recipe.plot):
        told = read_info(clip).caption
    words = ["complete", *(word for span in plan.spans for word in ("--redo", str(span)))]
    if plan.spans or plan.missing:
        from stale_diffusion.generate import load
        from stale_diffusion.redo import redo

        console.console.print(f"seed {seed}")
        generator = load(model)
        rest: dict[str, Any] = {"guidance": guidance, "watch": _watch}
        if plan.spans:
            made = redo(generator, made, plan.spans, told, seed, steps, strength=plan.strength, **rest)
            words += ["--seed", str(seed), "--steps", str(steps), "--guidance", f"{guidance:g}"]
            words += ["--plot", plot] if plot is not None else []
        known = told if told is not None else movie.recipe.plot if movie.recipe else ""
        if pictured(plan, movie, output):
            from stale_diffusion.alone import accompanied

            made = accompanied(generator, made, known, seed, steps, price=price, key=key, **rest)
        elif plan.missing:
            made = generator.complete(made, known, seed, steps, price=price, **rest)
    redone = {span.sense for span in plan.spans}
    for sense, factor in plan.strength.items():
        words += ["--strength", f"{sense}={factor:g}"]
        if sense not in redone:
            track = edit.scaled(made.tracks[sense], factor)
            made.tracks[sense] = replace(track, origin="generated") if sense in plan.missing else track
    return edit.recorded(made, [shlex.join(words)] if words[1:] else [])


def _watch(preview: Any) -> None:
    from stale_diffusion import console

    console.console.print(console.preview_line(preview), markup=False, soft_wrap=True)
