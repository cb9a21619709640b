"""The Generator: a plot, and any senses that are given, in; a five-sense movie out.

Shapes: S segments, B = 1 movie (2 with guidance), L tokens, D bits, N bits of all wanted streams together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion import drafts, scene
from stale_diffusion import recipe as recipes
from stale_diffusion.channel import corrupt
from stale_diffusion.errors import StaleError
from stale_diffusion.guidance import guided, sharpened
from stale_diffusion.hinge import log_odds
from stale_diffusion.inputs import given_senses, joined
from stale_diffusion.joins import join
from stale_diffusion.machine import fastest_type
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, Tokens, whole
from stale_diffusion.model.weights import read_model
from stale_diffusion.movie import Filmed, Movie, Track
from stale_diffusion.recipe import Recipe
from stale_diffusion.sample import SAMPLERS, ancestral, pack, unpack
from stale_diffusion.screenplay import plot_of
from stale_diffusion.screens import Painted, Performed
from stale_diffusion.senses import FELT, SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.base import Bits
from stale_diffusion.streams import PERFORMED
from stale_diffusion.timeline import Origin
from stale_diffusion.trust.keys import Key, own
from stale_diffusion.trust.marking import marked
from stale_diffusion.trust.prude import Prude
from stale_diffusion.trust.sleep_safe import mastered
from stale_diffusion.version import VERSION

SENSED = ("sight.coarse", "hearing")
FINE, GROUPS = "sight.fine", 6
STEPS = 16
DRAFT = 0.1  # staleness that a draft of what is felt is given before the network refines it; see docs/LOG.md
GUIDANCE = 1.5
DOLLARS_PER_HOUR = 0.10  # of a 2-core virtual machine; --price says otherwise


Named = Mapping[str, tuple[Bits, NDArray[np.bool_]]]
"""{stream: bits (1, L, D) and which of them are given}."""
Parts = dict[str, list[Bits]]
"""{stream: segments, each (1, L, D)}: grows without being copied."""


@dataclass(frozen=True)
class Preview:
    """What can be seen while a segment falls out of the noise.

    Args:
        segment, segments: which one, counted from 0, of how many.
        step, steps: of the reverse sampler, counted from 1.
        staleness, certainty: in [0, 1]; see sample.Step.
        bits: {stream: (L, D)} int8 in {-1, +1}, all streams of the segment.
    """

    segment: int
    segments: int
    step: int
    steps: int
    staleness: float
    certainty: float
    bits: dict[str, Bits]


@dataclass(frozen=True)
class Manner:
    """How steps are taken; the defaults are what docs/method.md measures best.

    Args:
        sampler: a name of sample.SAMPLERS.
        until_cake: a segment ends early once every wanted bit is as sure as this, |2 eta - 1| in [0, 1]; None: never.
        sharpen: weight of the Difference-of-Gaussians band that is added to the log-odds over time and place (eq. 1).
        turns: of a looped network; None: as it was trained.
        refuse: a prude that scenes are steered away from; None: nothing is refused.
    """

    sampler: str = "ancestral"
    until_cake: float | None = None
    sharpen: float = 0.0
    turns: int | None = None
    refuse: Prude | None = None


class Generator:
    """A denoiser with its weights, ready to make movies.

    Args:
        model: the network; run in the machine's faster number type.
        digest: sha256 of its weights, written into every recipe.
        manner: how steps are taken.
    """

    def __init__(self, model: Denoiser, digest: str, manner: Manner = Manner()) -> None:
        self.model = model.eval().to(fastest_type())
        self.digest = digest
        self.manner = manner
        self._encode = PlotEncoder()

    def using(self, **changes: Any) -> Generator:
        """The same network in another manner: `gen.using(until_cake=0.99)`; see Manner."""
        return Generator(self.model, self.digest, replace(self.manner, **changes))

    @property
    def streams(self) -> Mapping[str, tuple[int, int]]:
        """The streams that the network reads, name -> (tokens, bits)."""
        return {name: (tokens, bits) for name, (tokens, bits, _) in self.model.shape.streams.items()}

    def generate(
        self,
        plot: str,
        seconds: float = 20,
        seed: int = 0,
        steps: int = STEPS,
        *,
        paint: bool = False,
        guidance: float = GUIDANCE,
        price: float = DOLLARS_PER_HOUR,
        watch: Callable[[Preview], None] | None = None,
        sampled: dict[str, Bits] | None = None,
        sleep_safe: bool = True,
        bedtime: float = 0,
        key: Key | None = None,
        watermark: bool = True,
        plots: Sequence[str] = (),
    ) -> Movie:
        """Generate a movie from a plot.

        Args:
            plot: what is to happen; empty: anything.
            seconds: > 0; made in segments of 4 s and cut to length.
            seed: the same seed, plot, steps and model on the same machine give the same movie.
            steps: calls of the network a segment.
            paint: the network paints picture and sound as well; otherwise they are performed from the scene.
            guidance: how strongly the plot pulls; 1 is the network's own odds.
            price: dollars an hour of this machine.
            watch: called with each step.
            sampled: segments that are there already, from a run that was interrupted; filled as segments come.
            sleep_safe: no flashes, an even loudness, soft onsets (trust.limits).
            bedtime: minutes at the end in which the picture grows dim and warm and the sound soft.
            key: marks picture and sound, and signs the file; None: the user's own, which is made at first use.
            watermark: false leaves picture and sound unmarked and the file unsigned.
            plots: of each segment, where `plot` is a screenplay (screenplay.deal); where they differ, places turn.
        """
        key = (key or own()) if watermark else None
        wanted = tuple(n for n in (*PERFORMED, *(SENSED if paint else ())) if n in self.streams)
        segments = _segments(seconds)
        started = time.monotonic()
        bits = sampled if sampled is not None else {}
        parts: Parts = {name: list(b[:, None]) for name, b in (sampled or {}).items()}
        try:
            self._run(parts, {}, wanted, segments, plots or plot, seed, steps, guidance, watch, fine=paint)
        finally:  # whatever ends it, what was dreamt is there
            bits |= joined(parts)
        movie = self.movie_of(bits, seconds, bits["scene"])
        movie.screen = Painted(bits, seconds) if paint else Performed(bits["scene"], seconds)
        movie.recipe = self.recipe_of(plot, seed, steps, guidance, bits, time.monotonic() - started, price)
        movie = mastered(movie, bedtime) if sleep_safe else movie
        return marked(movie, key) if key is not None else movie

    def complete(
        self,
        movie: Movie,
        plot: str = "",
        seed: int = 0,
        steps: int = STEPS,
        *,
        guidance: float = GUIDANCE,
        price: float = DOLLARS_PER_HOUR,
        watch: Callable[[Preview], None] | None = None,
    ) -> Movie:
        """Add what is felt and missing to a filmed movie; what it has of it already is given, and kept.

        Sight and hearing are encoded segment by segment and given to the network; where a clip has no sound, the
        network imagines one to feel by, and it is not written. A sense that the network does not know is performed
        by the laws of Dreamscapes where the movie's recipe holds its scene, and stays missing where it does not.

        Raises:
            StaleError: nothing of what is missing can be made.
        """
        if not isinstance(movie.screen, Filmed):
            raise StaleError("Only a movie with a file of its own can be completed.", mend="Movie.open(CLIP)")
        started = time.monotonic()
        segments = _segments(movie.seconds)
        known, draft = given_senses(movie, range(segments), plot)
        given = {n: b for n, b in known.items() if n in self.streams}
        self._check_missing(movie)
        wanted = tuple(n for n in (*PERFORMED[1:], *SENSED) if n not in given and n in self.streams)
        if not {n.split(".")[0] for n in wanted} & {*FELT}:  # what is missing is performed; nothing is sampled
            done = self.movie_of({}, movie.seconds, movie.scene)
            return replace(movie, tracks=done.tracks | movie.tracks)
        parts: Parts = {}
        self._run(
            parts,
            given,
            wanted,
            segments,
            plot,
            seed,
            steps,
            guidance,
            watch,
            fine=False,
            draft=draft,
            named=drafts.named(plot) if "smell" not in given else {},
        )
        bits = joined(parts)
        out = self.movie_of(bits, movie.seconds, movie.scene)
        out.tracks |= movie.tracks
        out.screen = movie.screen
        felt = {n: b for n, b in bits.items() if n.split(".")[0] in FELT and n not in given}
        made = self.recipe_of(plot, seed, steps, guidance, felt, time.monotonic() - started, price)
        out.recipe = _with_source(made, movie)
        return out

    def restore(
        self, movie: Movie, plot: str | None = None, seed: int = 0, *, rates: Mapping[str, float] | None = None
    ) -> Movie:
        """The movie with its damage found and undone; see restoring.restore, which also says what was found."""
        from stale_diffusion.restoring.restore import restore  # it needs this module

        return restore(self, movie, plot, seed, rates=rates)[0]

    def _run(
        self, parts: Parts, given: Mapping[str, Bits], wanted: tuple[str, ...], segments: int,
        plots: str | Sequence[str], seed: int, steps: int, guidance: float, watch: Callable[[Preview], None] | None,
        *, fine: bool, draft: Mapping[str, Bits] | None = None, named: Named | None = None,
    ) -> None:  # fmt: skip
        """Sample segment after segment into `parts`; each draws from a generator of its own, so any can be redone."""
        if steps < 1:
            raise StaleError(f"{steps} steps cannot be taken.", mend="Ask for --steps 1 or more.", usage=True)
        names = (*given, *wanted)
        done = min((len(p) for p in parts.values()), default=0)
        for s in range(done, segments):
            generator = torch.Generator().manual_seed(segment_seed(seed, s))
            before, plot, to = (plot_of(plots, min(max(i, 0), segments - 1)) for i in (s - 1, s, s + 1))
            past = {n: torch.from_numpy(parts[n][s - 1].copy()) for n in names} if s else {}
            known = {n: torch.from_numpy(b[s : s + 1].copy()) for n, b in given.items()}
            out: dict[str, Tensor] = {}
            begun = {n: b[s : s + 1] for n, b in (draft or {}).items() if n in wanted}
            for preview, out in self.segment(
                known, wanted, past, plot, steps, guidance, generator, begun, named or {}, hold=plot == before
            ):
                if watch is not None:
                    watch(Preview(s, segments, preview[0], steps, preview[1], preview[2], _numpy(out)))
            if "scene" in wanted:
                out["scene"] = out["scene"] if to == plot else self._turned(out, to, steps, guidance, generator)
                out = self._refelt(out, parts, wanted, past, plot, steps, guidance, generator)
            if fine:
                out[FINE] = self._fine(out, past, plot, max(1, steps // 2), guidance, generator)
            for name, b in out.items():
                parts.setdefault(name, []).append(b.numpy())

    def segment(
        self, known: dict[str, Tensor], wanted: tuple[str, ...], past: dict[str, Tensor], plot: str, steps: int,
        guidance: float, generator: torch.Generator, draft: Mapping[str, Bits], named: Named,
        stale: Mapping[str, NDArray[np.float64]] | None = None, hold: bool = True,
    ) -> Iterator[tuple[tuple[int, float, float], dict[str, Tensor]]]:  # fmt: skip
        """Sample the wanted streams of one segment, given the known ones and the one before, from a draft if any.

        Args:
            known, past: {stream: bits (1, L, D)} of this segment and of the one before.
            draft: {stream: bits (1, L, D)} to begin from, DRAFT stale, or as stale as `stale` says, (1, L, 1).
            named: what a plot names, given bit by bit.
            hold: weather and camera stay as they were.

        Yields:
            (step, staleness, certainty) and {stream: bits (1, L, D)}, the known ones too.
        """
        x, start = {}, {}
        for name in wanted:
            length, width = self.streams[name]
            x[name] = torch.ones(1, length, width, dtype=torch.int8)
            start[name] = torch.ones(1, length, width, dtype=torch.float64)
            if name in draft:
                start[name] *= torch.from_numpy(stale[name]) if stale and name in stale else DRAFT
                x[name] = corrupt(torch.from_numpy(draft[name]), start[name], generator)
            if name in named:
                bits, mask = (torch.from_numpy(a) for a in named[name])
                x[name], start[name] = torch.where(mask, bits, x[name]), start[name].masked_fill(mask, 0)
        if "scene" in x and past:
            _stay(x["scene"], start["scene"], past["scene"])
        shapes = {n: self.streams[n] for n in wanted}
        denoise = self._denoiser(known, shapes, past, plot, guidance, {})
        walk = SAMPLERS[self.manner.sampler]
        for step in walk(denoise, pack(x), pack(start), steps, [generator], until_cake=self.manner.until_cake):
            out = {**known, **unpack(step.bits, shapes)}
            if hold and "scene" in wanted and past:
                _hold(out["scene"], past["scene"])
            yield (step.index, step.staleness, float(step.certainty[0])), out

    def _turned(
        self, now: dict[str, Tensor], plot: str, steps: int, guidance: float, generator: torch.Generator
    ) -> Tensor:
        """The scene (1, L, D) of a segment, turning into the place of another plot, which is dreamt ahead for it."""
        for _, out in self.segment({}, ("scene",), {}, plot, steps, guidance, generator, {}, {}):
            ahead = out["scene"]
        return torch.from_numpy(scene.turning(now["scene"].numpy(), ahead.numpy()))

    def _refelt(
        self, out: dict[str, Tensor], parts: Parts, wanted: tuple[str, ...], past: dict[str, Tensor], plot: str,
        steps: int, guidance: float, generator: torch.Generator,
    ) -> dict[str, Tensor]:  # fmt: skip
        """What is felt once more, now that the scene is known: from what its physics says, gone stale."""
        felt = tuple(n for n in wanted if n.split(".")[0] in FELT)
        draft = drafts.of_scene([*parts.get("scene", []), out["scene"].numpy()])
        known = {n: b for n, b in out.items() if n not in felt}
        for _, refelt in self.segment(known, felt, past, plot, max(1, steps // 2), guidance, generator, draft, {}):
            out = refelt
        return out

    def _fine(
        self, known: dict[str, Tensor], past: dict[str, Tensor], plot: str, steps: int, guidance: float,
        generator: torch.Generator,
    ) -> Tensor:  # fmt: skip
        """Paint the detail of a segment moment by moment, all the rest given, (1, L, D)."""
        length, width = self.streams[FINE]
        each = length // GROUPS
        moments = []
        for g in range(GROUPS):
            index = torch.arange(g * each, (g + 1) * each)
            denoise = self._denoiser(known, {FINE: (each, width)}, past, plot, guidance, {FINE: index})
            x = torch.ones(1, each * width, dtype=torch.int8)
            for step in ancestral(denoise, x, torch.ones(1, 1), steps, [generator]):
                last = step.bits
            moments.append(last.view(1, each, width))
        return torch.cat(moments, 1)

    def _denoiser(
        self, known: dict[str, Tensor], shapes: Mapping[str, tuple[int, int]], past: dict[str, Tensor], plot: str,
        guidance: float, index: Mapping[str, Tensor],
    ) -> Callable[[Tensor, Tensor], Tensor]:  # fmt: skip
        """The network as the sampler wants it: packed bits and staleness in, eta out."""
        both = guidance != 1 and plot.strip() != ""
        plots = [plot, ""] if both else [plot]
        vectors, mask = self._encode(plots)
        b = len(plots)
        zero = {n: whole(t.expand(b, -1, -1), torch.zeros(b, t.shape[1])) for n, t in known.items()}
        before = {n: whole(t.expand(b, -1, -1), torch.zeros(b, t.shape[1])) for n, t in past.items() if n != FINE}

        thoughts: dict[str, Tensor] = {}

        def denoise(x_BN: Tensor, t_BN: Tensor) -> Tensor:
            nonlocal thoughts
            bits, staleness = unpack(x_BN, shapes), unpack(t_BN, shapes)
            now = dict(zero)
            for name, (length, _) in shapes.items():
                where = index.get(name, torch.arange(length))
                t_BL = staleness[name].amax(-1).expand(b, -1)
                now[name] = Tokens(bits[name].expand(b, -1, -1), t_BL, where, thoughts.get(name))
            with torch.inference_mode():
                margins, _ = self.model(now, before, (vectors, mask), self.manner.turns)
            odds = {n: log_odds(self.model.arm.probability(margins[n])) for n in shapes}
            if both:
                odds = {n: guided(l, guidance) for n, l in odds.items()}
            if self.manner.sharpen:
                odds = sharpened(odds, self.manner.sharpen)
            if self.manner.refuse is not None and "scene" in odds:
                odds["scene"] = self.manner.refuse.steer(odds["scene"])
            eta = {n: torch.sigmoid(l) for n, l in odds.items()}
            if self.model.shape.self_conditioned:
                thoughts = {n: (2 * e - 1).float().expand(b, -1, -1) for n, e in eta.items()}
            return pack(eta)

        return denoise

    def denoiser(
        self, known: dict[str, Tensor], shapes: Mapping[str, tuple[int, int]], plot: str = ""
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The network's own odds of one segment, as the sampler wants them: packed bits and staleness in, eta out."""
        return self._denoiser(known, shapes, {}, plot, 1.0, {})

    def seconds_a_step(self, guidance: float = GUIDANCE) -> float:
        """What a step of a performed segment takes here, measured on one that is thrown away; touch is felt twice."""
        shapes = {n: self.streams[n] for n in PERFORMED if n in self.streams}
        past = {n: torch.ones(1, *shape, dtype=torch.int8) for n, shape in shapes.items()}
        denoise = self._denoiser({}, shapes, past, "a plot", guidance, {})
        x = torch.ones(1, sum(length * width for length, width in shapes.values()), dtype=torch.int8)
        spent = []
        for _ in range(3):
            started = time.perf_counter()
            denoise(x, torch.ones(x.shape, dtype=torch.float64))
            spent.append(time.perf_counter() - started)
        return 1.5 * min(spent)

    def score(self, bits: Mapping[str, Bits], plot: str | Sequence[str]) -> float:
        """y-hat, eq. 4: how well the senses and the plot belong together, mean over the segments."""
        streams = [n for n in (*PERFORMED, *SENSED) if n in bits]
        total, count = 0.0, len(bits[streams[0]])
        for s in range(count):
            now = {n: torch.from_numpy(bits[n][s : s + 1]) for n in streams}
            tokens = {n: whole(b, torch.zeros(b.shape[:2])) for n, b in now.items()}
            with torch.inference_mode():
                total += float(self.model(tokens, {}, self._encode([plot_of(plot, s)]))[1])
        return total / count

    def _check_missing(self, movie: Movie) -> None:
        missing = [name for name in FELT if name not in movie.tracks]
        knows = {n.split(".")[0] for n in self.streams}
        if missing and movie.scene is None and not knows & {*missing}:
            why = f"This model was trained without {', '.join(missing)}, and the movie has no scene to perform it from."
            raise StaleError("There is nothing to be made in this movie.", why, "Name another --model.", usage=True)

    def movie_of(self, bits: Mapping[str, Bits], seconds: float, scene: Bits | None) -> Movie:
        """The tracks of sampled bits; a sense that the network does not know is performed from the scene, if any."""
        tracks = {}
        unknown = [n for n in FELT if any(s.name not in self.streams for s in SENSES[n].streams)]
        performed = drafts.performed(scene, unknown) if scene is not None and unknown else {}
        for name, sense in ((n, SENSES[n]) for n in FELT):
            origin: Origin = "derived" if name in performed else "generated"
            if all(stream.name in bits for stream in sense.streams):
                values = join(name, sense.decode({s.name: bits[s.name] for s in sense.streams}))
            elif name in performed:
                values = performed[name]
            else:
                continue
            values = values[: max(1, round(seconds * sense.rate))]
            tracks[name] = Track(name, sense.rate, sense.channels, sense.unit, values, origin)
        return Movie(seconds, None, tracks, scene=scene)

    def recipe_of(
        self, plot: str, seed: int, steps: int, guidance: float, bits: Mapping[str, Bits], spent: float, price: float
    ) -> Recipe:
        """What was sampled, {stream: (S, L, D)}, in `spent` seconds, and what that cost at `price` dollars an hour."""
        size = recipes.xz_bits(bits.values())
        cost = max(spent * price / 3600, 1e-9)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Recipe(
            plot, seed, steps, guidance, model=self.digest, program=VERSION, segments=len(next(iter(bits.values()))),
            xz_bits=size, cost_dollars=cost, keshas=recipes.keshas(size, cost), created=now,
        )  # fmt: skip


def load(source: str | Path | None = None) -> Generator:
    """Load a model: the one that ships in the package, a .safetensors file, or a run's folder (its weight average).

    Raises:
        StaleError: it is missing, damaged, or not a model of this program.
    """
    return Generator(*read_model(source))


def _segments(seconds: float) -> int:
    if not (math.isfinite(seconds) and seconds > 0):
        raise StaleError(f"A movie of {seconds} seconds cannot be made.", mend="Ask for --seconds 20.", usage=True)
    return math.ceil(round(seconds / SEGMENT_SECONDS, 9))


def segment_seed(seed: int, segment: int) -> int:
    return int(np.random.SeedSequence([seed % 2**64, segment]).generate_state(1, np.uint64)[0] >> 1)


def _numpy(streams: Mapping[str, Tensor]) -> dict[str, Bits]:
    return {name: b[0].numpy() for name, b in streams.items()}


_PLACE_BITS = 4


def _stay(x: Tensor, start: Tensor, past: Tensor) -> None:
    """A movie goes on where it is, in place: the first token (place, variant, hour) is given by the segment before,
    its place being what that segment turned into."""
    x[:, 0], start[:, 0] = past[:, 0], 0.0
    x[:, 0, :_PLACE_BITS] = past[:, 1, :_PLACE_BITS]  # "next" is the first field of the second token


def _hold(now: Tensor, past: Tensor) -> None:
    """Weather, palette and camera of a movie stay as they were, in place: a camera that lurches every 4 s wakes one up.

    In the places' climates they are constant or creep; the network alone leaves a few of their bits to chance.
    """
    now[:, 1, _PLACE_BITS:], now[:, 2] = past[:, 1, _PLACE_BITS:], past[:, 2]


def _with_source(made: Recipe, movie: Movie) -> Recipe:
    """The recipe of a completed movie; what its own recipe said of its picture, its scene and its edits stays."""
    assert isinstance(movie.screen, Filmed)
    probe, before = movie.screen.probe, movie.recipe or Recipe("")
    senses = {"sight": "given"} if probe.video else {}
    senses |= {"hearing": "given"} if probe.audio else {}
    return replace(
        made, source=movie.screen.path.name, picture=before.picture or "filmed", senses=senses,  # type: ignore[arg-type]
        scene=before.scene, edits=before.edits,
    )  # fmt: skip
