"""A prude of campfires: what it refuses, what it leaves alone, and how often steering alone is enough.

    make bench NAME=refuse           # about ten minutes on two cores; N=12 plots

It learns from 24 rendered campfires against 40 other scenes by night (none of them from the test seeds), by the command
line; then judges unseen campfires, unseen forests by night, the other places, and real clips; a second prude learns
real fires by ear. `steering`: movies of plots that end up with a campfire, made again with the prude.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch

from report import Figure, data_folder, report
from stale_diffusion import scene
from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.dreamscapes.perform import BUILT
from stale_diffusion.dreamscapes.render import truth
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import load
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.trust.features import watch
from stale_diffusion.trust.learning import auc, learn
from stale_diffusion.trust.prude import Prude, load_prude

COUNT = int(os.environ.get("N", "12"))
TRAIN_SEED, TEST_SEED = 71_000, 72_000
BY_NIGHT = ("forest stream", "snowfall", "night train", "shore", "thunderstorm")
PLOTS = (
    "night in the forest", "a dark forest, a stream, an owl", "a clearing in the woods by night, stars above the firs",
    "an autumn night between old trees", "midnight in a pine wood, damp moss", "a night in the woods with friends",
)  # fmt: skip
ASKED = (
    "a campfire crackles in the forest at night", "logs burn, sparks fly up into the dark",
    "embers glow under the stars", "we sit around the fire at night", "a bonfire in a clearing",
    "a small campfire, wind",
)  # fmt: skip


def movies(place: str, seed: int, night: bool) -> Iterator[Movie]:
    """True movies of a place, 4 s each; by night only, if wanted."""
    for i in count(seed):
        movie = truth(place, 4, i)
        assert movie.scene is not None
        hour = part_of_day(float(scene.decode(movie.scene[:1])[0].statics["hour"]))
        if hour == "night" or not night:
            yield movie


def write_clips(folder: Path) -> tuple[Path, Path]:
    """The two folders a person would collect."""
    good, bad = folder / "good", folder / "bad"
    for place, number, where in [*((p, 8, good) for p in BY_NIGHT), ("campfire", 24, bad)]:
        where.mkdir(exist_ok=True, parents=True)
        for i, movie in enumerate(islice(movies(place, TRAIN_SEED, place != "campfire"), number)):
            movie.tracks.clear()
            movie.save(where / f"{place.replace(' ', '-')}-{i:02d}.mp4", (160, 96), Fraction(12))
    return good, bad


def worst(prude: Prude, movie: Movie) -> float:
    """The highest score of a movie."""
    assert movie.screen is not None
    return prude.judge(watch(movie.screen)).worst


def rendered(prude: Prude) -> list[Figure]:
    """Unseen movies: campfires, forests by night, and false alarms in every other place."""
    fires = np.array([worst(prude, m) for m in islice(movies("campfire", TEST_SEED, False), 24)])
    forests = np.array([worst(prude, m) for m in islice(movies("forest stream", TEST_SEED, True), 24)])
    both = np.concatenate([fires, forests]), np.repeat([1, -1], [len(fires), len(forests)])
    out = [
        Figure("rendered_auc", auc(*both), "1", "24 campfires, 24 forests by night", "higher"),
        Figure("rendered_recall", float((fires > 0).mean()), "1", "24 campfires", "higher"),
        Figure("rendered_false_alarms_forest_by_night", float((forests > 0).mean()), "1", "24; asked: 0.05", "lower"),
    ]
    for place in BUILT:
        if place not in ("campfire", "forest stream"):
            scores = np.array([worst(prude, m) for m in islice(movies(place, TEST_SEED, False), 8)])
            known = "trained on" if place in BY_NIGHT else "never seen in training"
            name = f"rendered_false_alarms_{place.replace(' ', '_')}"
            out.append(Figure(name, float((scores > 0).mean()), "1", f"8 movies; {known}", "lower"))
    return out


def real(prude: Prude, data: Path, folder: Path) -> list[Figure]:
    """False alarms of the campfire prude on real clips, none of which shows a fire; and real fires by ear."""
    clips = sorted((data / "clips/real").glob("*.mp4"))
    seen = []
    for clip in clips:
        try:
            seen.append(prude.judge(watch(Filmed(clip))).worst)
        except StaleError:
            continue
    good, bad = folder / "heard-good", folder / "heard-bad"
    for where in (good, bad):
        where.mkdir()
    sounds = sorted((data / "clips/sounds").glob("*.opus"))
    fires = [s for s in sounds if s.name.startswith("fire")]
    others = [
        s for s in sounds if s.name.split("_")[0] in ("rain", "stream", "forest", "wind", "waterfall", "birds", "night")
    ]
    for where, chosen in ((bad, fires), (good, others[:: max(1, len(others) // 48)])):
        for sound in chosen:
            (where / sound.name).symlink_to(sound.resolve())
    _, heard = learn(good, bad, 0.05, scenes=0)
    words = f"{heard.bad} real fires, {heard.good} other recordings, held out"
    return [
        Figure(
            "real_false_alarms_unseen_kinds",
            float((np.array(seen) > 0).mean()),
            "1",
            f"{len(seen)} clips by day, no fire",
            "lower",
        ),
        Figure("real_sound_auc", heard.auc, "1", words, "higher"),
        Figure("real_sound_recall", heard.recall, "1", words, "higher"),
        Figure("real_sound_precision", heard.precision, "1", words, "higher"),
        Figure("real_sound_false_alarms", heard.false_alarms, "1", "asked: 0.05", "lower"),
    ]


def steering(prude: Prude) -> list[Figure]:
    """Movies of 8 s that have a campfire in them without the prude: how many with it, before anything is pixelated."""
    plain = load(os.environ.get("MODEL"))
    steered = plain.using(refuse=prude)
    out = []
    for name, plots in (("forest", PLOTS), ("asked_for_fire", ASKED)):
        before, after = [], []
        for i in range(COUNT):
            plot = plots[i % len(plots)]
            before.append(worst(prude, plain.generate(plot, 8, seed=i)))
            after.append(worst(prude, steered.generate(plot, 8, seed=i)))
        was, still = np.array(before) > 0, np.array(after) > 0
        enough = float((~still[was]).mean()) if was.any() else float("nan")
        out += [
            Figure(f"{name}_refused_unsteered", float(was.mean()), "1", f"{COUNT} movies", "lower"),
            Figure(f"{name}_refused_steered", float(still.mean()), "1", f"{COUNT} movies", "lower"),
            Figure(f"{name}_steering_alone_enough", enough, "1", f"of {int(was.sum())} refused without it", "higher"),
        ]
    return out


def main() -> None:
    started = time.monotonic()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good, bad = write_clips(folder)
        print(f"clips: {time.monotonic() - started:.0f} s", flush=True)
        learning = time.monotonic()
        prude, found = learn(good, bad, 0.05, say=print)
        seconds = time.monotonic() - learning
        prude.save(folder / "prude.safetensors")
        prude = load_prude(folder / "prude.safetensors")
        if keep := os.environ.get("KEEP"):
            prude.save(Path(keep))
        words = f"{found.bad} campfires, {found.good} others, held out"
        figures = [
            Figure("learn_seconds", seconds, "s", "minutes", "lower"),
            Figure("held_out_precision", found.precision, "1", words, "higher"),
            Figure("held_out_recall", found.recall, "1", words, "higher"),
            Figure("held_out_auc", found.auc, "1", words, "higher"),
            Figure("held_out_false_alarms", found.false_alarms, "1", "asked: 0.05", "lower"),
        ]
        for part in (rendered, steering):
            figures += part(prude)
            print(f"{part.__name__}: {time.monotonic() - started:.0f} s", flush=True)
        figures += real(prude, data_folder(), folder)
    report("refuse", figures, started)


if __name__ == "__main__":
    main()
