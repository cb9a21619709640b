"""The Generator: a plot, and any senses that are given, in; a five-sense movie out.

Shapes: S segments, B = 1 movie (2 with guidance), L tokens, D bits, N bits of all wanted streams together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion import drafts
from stale_diffusion import recipe as recipes
from stale_diffusion.channel import corrupt
from stale_diffusion.errors import StaleError
from stale_diffusion.hinge import log_odds
from stale_diffusion.joins import join
from stale_diffusion.machine import fastest_type
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, Tokens, whole
from stale_diffusion.model.weights import read_model
from stale_diffusion.movie import Filmed, Movie, Track
from stale_diffusion.recipe import Recipe
from stale_diffusion.sample import ancestral, pack, unpack
from stale_diffusion.screens import Painted, Performed
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.base import Bits
from stale_diffusion.version import VERSION

PERFORMED = ("scene", "touch.vibration", "touch.air", "smell", "taste")
SENSED = ("sight.coarse", "hearing")
FELT = ("touch", "smell", "taste")
FINE, GROUPS = "sight.fine", 6
STEPS = 16
DRAFT = 0.1  # staleness that a draft of touch, smell and taste is given before the network refines it; see docs/LOG.md
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


class Generator:
    """A denoiser with its weights, ready to make movies.

    Args:
        model: the network; run in the machine's faster number type.
        digest: sha256 of its weights, written into every recipe.
    """

    def __init__(self, model: Denoiser, digest: str) -> None:
        self.model = model.eval().to(fastest_type())
        self.digest = digest
        self._encode = PlotEncoder()

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
        """
        wanted = (*PERFORMED, *SENSED) if paint else PERFORMED
        segments = _segments(seconds)
        started = time.monotonic()
        bits = sampled if sampled is not None else {}
        parts: Parts = {name: list(b[:, None]) for name, b in (sampled or {}).items()}
        try:
            self._run(parts, {}, wanted, segments, plot, seed, steps, guidance, watch, fine=paint)
        finally:  # whatever ends it, what was dreamt is there
            bits |= joined(parts)
        movie = self._movie(bits, seconds, "generated")
        movie.scene = bits["scene"]
        movie.screen = Painted(bits, seconds) if paint else Performed(bits["scene"], seconds)
        movie.recipe = self._recipe(plot, seed, steps, guidance, bits, time.monotonic() - started, price)
        return movie

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
        """Add touch, smell and taste to a filmed movie; what it has of them already is given, and kept.

        Sight and hearing are encoded segment by segment and given to the network; where a clip has no sound, the
        network imagines one to feel by, and it is not written.
        """
        if not isinstance(movie.screen, Filmed):
            raise StaleError("Only a movie with a file of its own can be completed.", mend="Movie.open(CLIP)")
        started = time.monotonic()
        segments = _segments(movie.seconds)
        given, draft = _given(movie, segments, plot)
        wanted = tuple(n for n in (*PERFORMED[1:], *SENSED) if n not in given)
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
        out = self._movie(bits, movie.seconds, "generated")
        out.tracks |= movie.tracks
        out.screen = movie.screen
        felt = {n: b for n, b in bits.items() if n.split(".")[0] in FELT and n not in given}
        made = self._recipe(plot, seed, steps, guidance, felt, time.monotonic() - started, price)
        out.recipe = _with_source(made, movie)
        return out

    def _run(
        self, parts: Parts, given: Mapping[str, Bits], wanted: tuple[str, ...], segments: int, plot: str,
        seed: int, steps: int, guidance: float, watch: Callable[[Preview], None] | None, *, fine: bool,
        draft: Mapping[str, Bits] | None = None, named: Named | None = None,
    ) -> None:  # fmt: skip
        """Sample segment after segment into `parts`; each draws from a generator of its own, so any can be redone."""
        if steps < 1:
            raise StaleError(f"{steps} steps cannot be taken.", mend="Ask for --steps 1 or more.", usage=True)
        names = (*given, *wanted)
        done = min((len(p) for p in parts.values()), default=0)
        for s in range(done, segments):
            generator = torch.Generator().manual_seed(_segment_seed(seed, s))
            past = {n: torch.from_numpy(parts[n][s - 1].copy()) for n in names} if s else {}
            known = {n: torch.from_numpy(b[s : s + 1].copy()) for n, b in given.items()}
            out: dict[str, Tensor] = {}
            begun = {n: b[s : s + 1] for n, b in (draft or {}).items() if n in wanted}
            for preview, out in self._segment(
                known, wanted, past, plot, steps, guidance, generator, begun, named or {}
            ):
                if watch is not None:
                    watch(Preview(s, segments, preview[0], steps, preview[1], preview[2], _numpy(out)))
            if "scene" in wanted:
                out = self._refelt(out, parts, wanted, past, plot, steps, guidance, generator)
            if fine:
                out[FINE] = self._fine(out, past, plot, max(1, steps // 2), guidance, generator)
            for name, b in out.items():
                parts.setdefault(name, []).append(b.numpy())

    def _segment(
        self, known: dict[str, Tensor], wanted: tuple[str, ...], past: dict[str, Tensor], plot: str, steps: int,
        guidance: float, generator: torch.Generator, draft: Mapping[str, Bits], named: Named,
    ) -> Iterator[tuple[tuple[int, float, float], dict[str, Tensor]]]:  # fmt: skip
        """Sample the wanted streams of one segment, given the known ones and the one before, from a draft if any."""
        x, start = {}, {}
        for name in wanted:
            length, width = self.streams[name]
            x[name] = torch.ones(1, length, width, dtype=torch.int8)
            start[name] = torch.ones(1, length, width, dtype=torch.float64)
            if name in draft:
                start[name] *= DRAFT
                x[name] = corrupt(torch.from_numpy(draft[name]), start[name], generator)
            if name in named:
                bits, mask = (torch.from_numpy(a) for a in named[name])
                x[name], start[name] = torch.where(mask, bits, x[name]), start[name].masked_fill(mask, 0)
        if "scene" in x and past:
            _stay(x["scene"], start["scene"], past["scene"])
        shapes = {n: self.streams[n] for n in wanted}
        denoise = self._denoiser(known, shapes, past, plot, guidance, {})
        for step in ancestral(denoise, pack(x), pack(start), steps, [generator]):
            out = {**known, **unpack(step.bits, shapes)}
            if "scene" in out and past:
                _hold(out["scene"], past["scene"])
            yield (step.index, step.staleness, float(step.certainty[0])), out

    def _refelt(
        self, out: dict[str, Tensor], parts: Parts, wanted: tuple[str, ...], past: dict[str, Tensor], plot: str,
        steps: int, guidance: float, generator: torch.Generator,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Touch, smell and taste once more, now that the scene is known: from what its physics says, gone stale."""
        felt = tuple(n for n in wanted if n.split(".")[0] in FELT)
        draft = drafts.of_scene([*parts.get("scene", []), out["scene"].numpy()])
        known = {n: b for n, b in out.items() if n not in felt}
        for _, refelt in self._segment(known, felt, past, plot, max(1, steps // 2), guidance, generator, draft, {}):
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
        guided = guidance != 1 and plot.strip() != ""
        plots = [plot, ""] if guided else [plot]
        vectors, mask = self._encode(plots)
        b = len(plots)
        zero = {n: whole(t.expand(b, -1, -1), torch.zeros(b, t.shape[1])) for n, t in known.items()}
        before = {n: whole(t.expand(b, -1, -1), torch.zeros(b, t.shape[1])) for n, t in past.items() if n != FINE}

        def denoise(x_BN: Tensor, t_BN: Tensor) -> Tensor:
            bits, staleness = unpack(x_BN, shapes), unpack(t_BN, shapes)
            now = dict(zero)
            for name, (length, _) in shapes.items():
                where = index.get(name, torch.arange(length))
                t_BL = staleness[name].amax(-1).expand(b, -1)
                now[name] = Tokens(bits[name].expand(b, -1, -1), t_BL, where)
            with torch.inference_mode():
                margins, _ = self.model(now, before, (vectors, mask))
            eta = self.model.arm.probability(pack({n: margins[n] for n in shapes}))
            if not guided:
                return eta
            with_plot, without = log_odds(eta).chunk(2)
            return torch.sigmoid(without + guidance * (with_plot - without))

        return denoise

    def score(self, bits: Mapping[str, Bits], plot: str) -> float:
        """y-hat, eq. 4: how well the senses and the plot belong together, mean over the segments."""
        streams = [n for n in (*PERFORMED, *SENSED) if n in bits]
        total = 0.0
        count = len(bits[streams[0]])
        for s in range(count):
            now = {n: torch.from_numpy(bits[n][s : s + 1]) for n in streams}
            tokens = {n: whole(b, torch.zeros(b.shape[:2])) for n, b in now.items()}
            with torch.inference_mode():
                total += float(self.model(tokens, {}, self._encode([plot]))[1])
        return total / count

    def _movie(self, bits: Mapping[str, Bits], seconds: float, origin: str) -> Movie:
        tracks = {}
        for name in FELT:
            sense = SENSES[name]
            values = join(name, sense.decode({s.name: bits[s.name] for s in sense.streams}))
            values = values[: max(1, round(seconds * sense.rate))]
            tracks[name] = Track(name, sense.rate, sense.channels, sense.unit, values, origin)  # type: ignore[arg-type]
        return Movie(seconds, None, tracks)

    def _recipe(
        self, plot: str, seed: int, steps: int, guidance: float, bits: Mapping[str, Bits], spent: float, price: float
    ) -> Recipe:
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


def joined(parts: Parts) -> dict[str, Bits]:
    """{stream: (S, L, D)}, as many segments as all streams have."""
    whole = min((len(p) for p in parts.values()), default=0)
    return {name: np.concatenate(p[:whole]) for name, p in parts.items()} if whole else {}


def _segments(seconds: float) -> int:
    if not (math.isfinite(seconds) and seconds > 0):
        raise StaleError(f"A movie of {seconds} seconds cannot be made.", mend="Ask for --seconds 20.", usage=True)
    return math.ceil(round(seconds / SEGMENT_SECONDS, 9))


def _segment_seed(seed: int, segment: int) -> int:
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


def _given(movie: Movie, segments: int, plot: str) -> tuple[dict[str, Bits], dict[str, Bits]]:
    """What a filmed movie has of the senses, as bits {stream: (S, L, D)}, and a draft of what it lacks.

    Read segment by segment; the last one is filled up.
    """
    screen = movie.screen
    assert isinstance(screen, Filmed)
    given, draft = Gathered(), Gathered()
    sight, hearing = SENSES["sight"], SENSES["hearing"]
    pictures = _blocks(screen.frames((160, 96), sight.rate), sight.samples, segments)
    chunks = (chunk.mean(1) for chunk in screen.sound(int(hearing.rate)))
    sounds = _blocks(_regular(chunks, int(hearing.rate)), SEGMENT_SECONDS, segments)
    for frames, seconds in zip_longest(pictures, sounds):
        sound = None if seconds is None else seconds.reshape(-1)
        if frames is not None:
            given.add({"sight.coarse": sight.encode(frames)["sight.coarse"]})
        if sound is not None:
            given.add(hearing.encode(sound))
        draft.add(drafts.of_clip(sound, frames, plot))
    bits = joined(given)
    for name, track in movie.tracks.items():
        samples = SENSES[name].samples * segments
        padded = np.pad(track.values[:samples], ((0, max(0, samples - len(track.values))), (0, 0)), mode="edge")
        bits |= SENSES[name].encode(padded)
    return bits, joined(draft)


class Gathered(dict[str, list[Bits]]):
    """Parts that are gathered a segment at a time."""

    def add(self, segment: Mapping[str, Bits]) -> None:
        """Append one segment's bits, {stream: (1, L, D)}."""
        for name, b in segment.items():
            self.setdefault(name, []).append(b)


def _regular(chunks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Sound in chunks of `size` samples, the last one filled up with silence."""
    rest = np.zeros(0, np.float32)
    for chunk in chunks:
        rest = np.concatenate([rest, chunk])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield np.pad(rest, (0, size - len(rest)))


def _blocks(items: Iterator[np.ndarray], size: int, count: int) -> Iterator[np.ndarray]:
    """`count` blocks of `size` items, (size, ...); a source that ends early holds its last item. Empty: nothing."""
    block: list[np.ndarray] = []
    made = 0
    for item in items:
        block.append(item)
        if len(block) == size:
            yield np.stack(block)
            last, block, made = block[-1], [], made + 1
            if made == count:
                return
    if block:
        last = block[-1]
    elif not made:
        return
    while made < count:
        yield np.stack(block + [last] * (size - len(block)))
        block, made = [], made + 1


def _with_source(made: Recipe, movie: Movie) -> Recipe:
    assert isinstance(movie.screen, Filmed)
    probe = movie.screen.probe
    senses = {"sight": "given"} if probe.video else {}
    senses |= {"hearing": "given"} if probe.audio else {}
    return replace(made, source=movie.screen.path.name, picture="filmed", senses=senses)  # type: ignore[arg-type]
