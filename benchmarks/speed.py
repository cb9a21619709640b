"""How fast, start-up included, and where the time goes. `python benchmarks/speed.py` (LENGTH=60: a minute of movie).

The two commands are run as a person runs them, in processes of their own; then their parts are timed one by one, in
seconds of work per second of movie at 640x360, 24 frames a second. MODEL names another model than the one that ships.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from report import Figure, report
from stale_diffusion import machine
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import BUILT, frames, sound
from stale_diffusion.generate import PERFORMED, STEPS, Generator, load
from stale_diffusion.media import MovieWriter, read_frames, read_sound
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import whole
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SEGMENT_SECONDS

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "tests/data/sea_island_05.mp4"
SIZE, FPS = (640, 360), 24
PLOT = "waves roll in at dusk, a soft wind, salt on the lips"


def elapsed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(*words: str) -> float:
    """Seconds that a command of the package takes in a process of its own; its words are shown if it fails."""
    command = [sys.executable, "-m", "stale_diffusion", *words]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def a_clip(path: Path, seconds: float) -> Path:
    """A video of 640x360 at 25 frames a second with sound, `seconds` long: the test clip, over and over."""
    pictures = list(read_frames(CLIP, Fraction(25), SIZE))
    heard = np.concatenate(list(read_sound(CLIP, 48_000, 2)))
    with MovieWriter(path, SIZE, Fraction(25)) as writer:
        for second in range(round(seconds)):
            for k in range(25):
                writer.frame(pictures[(second * 25 + k) % len(pictures)])
            writer.sound(np.take(heard, second * 48_000 + np.arange(48_000), axis=0, mode="wrap"))
        writer.close()
    return path


def commands(length: float, model: list[str]) -> list[Figure]:
    """Seconds of movie made in a second, by both commands."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = ["-o", str(folder / "out.mkv"), "--seed", "1", *model]
        generate = run("generate", PLOT, "--seconds", str(length), *out)
        clip = a_clip(folder / "clip.mp4", length)
        complete = run("complete", str(clip), "--plot", "waves on rocks", *out)
    note = f"at least {{}} for 60 s of movie; this one is {length:g} s"
    return [
        Figure("generate_seconds_per_second", length / generate, "s/s", note.format(1), "higher"),
        Figure("complete_seconds_per_second", length / complete, "s/s", note.format(4), "higher"),
    ]


def forward_share(generator: Generator) -> list[Figure]:
    """FLOP/s of the denoiser's forward pass, as `generate` calls it, beside the machine's best matrix product."""
    model, dtype = generator.model, machine.fastest_type()
    bits = {n: torch.ones(2, *generator.streams[n]) for n in PERFORMED}
    tokens = {n: whole(b, torch.full(b.shape[:2], 0.5)) for n, b in bits.items()}
    plot = PlotEncoder()([PLOT, ""])
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model(tokens, tokens, plot)  # with gradients attention is written out, and so counted
    work = counter.get_total_flops()
    with torch.inference_mode():
        seconds = min(elapsed(lambda: model(tokens, tokens, plot)) for _ in range(8))
    best = max(machine.matrix_rate(dtype, size=1024, repeats=8), machine.matrix_rate(dtype))
    return [
        Figure("share_of_matrix_rate", work / seconds / best, "1", 0.5, "higher"),
        Figure("denoiser_forward", work / 1e9, "GFLOP", f"2 movies (plot, no plot), {dtype}", "lower"),
        Figure("denoiser_forward_rate", work / seconds / 1e9, "GFLOP/s", best / 1e9, "higher"),
    ]


def parts(generator: Generator) -> list[Figure]:
    """Seconds of work per second of movie: start-up (in all), denoiser, each place's picture and sound, the file."""
    load_it = [sys.executable, "-c", "from stale_diffusion.generate import load; load()"]
    start = elapsed(lambda: subprocess.run(load_it, check=False, capture_output=True))
    denoiser = elapsed(lambda: generator.generate(PLOT, 2 * SEGMENT_SECONDS, 1)) / (2 * SEGMENT_SECONDS)
    rows = [("start_up", start, "s"), (f"denoiser_{STEPS}_steps", denoiser, "s/s")]
    for place in BUILT:
        rows += performing(place)
    rows.append(("file", elapsed(_encode) / SEGMENT_SECONDS, "s/s"))
    return [Figure(name, value, unit, None, "lower") for name, value, unit in rows]


def performing(place: str) -> list[tuple[str, float, str]]:
    """Seconds for the first frame of a place, and for a second of its picture and of its sound after that."""
    segments, _ = draw(np.random.default_rng(3), 1, place)
    stage, name = Stage(segments), place.replace(" ", "_")
    film = frames(segments, SIZE, Fraction(FPS))
    first = elapsed(lambda: next(film))
    picture = elapsed(lambda: list(islice(frames(segments, SIZE, Fraction(FPS)), 2 * FPS))) / 2
    heard = elapsed(lambda: sound(stage, 0, SEGMENT_SECONDS * 48_000, 48_000)) / SEGMENT_SECONDS
    return [(f"first_frame_{name}", first, "s"), (f"picture_{name}", picture, "s/s"), (f"sound_{name}", heard, "s/s")]


def _encode() -> None:
    pictures = list(read_frames(CLIP, Fraction(FPS), SIZE))
    with tempfile.TemporaryDirectory() as folder, MovieWriter(Path(folder) / "x.mkv", SIZE, Fraction(FPS)) as writer:
        for k in range(SEGMENT_SECONDS * FPS):
            writer.frame(pictures[k % len(pictures)])
        writer.sound(np.zeros((SEGMENT_SECONDS * 48_000, 2), np.float32))
        writer.close()


def main() -> None:
    """Measure and write out/bench/speed.json."""
    started, length = time.monotonic(), float(os.environ.get("LENGTH", "20"))
    model = os.environ.get("MODEL")
    generator = load(model)
    figures = commands(length, ["--model", model] if model else [])
    report("speed", [*figures, *forward_share(generator), *parts(generator)], started)


if __name__ == "__main__":
    main()
