"""A training from its config: the corpus is made where it is missing, then the loop runs, with a line a report."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from stale_diffusion.clips.shards import Example, read_shards
from stale_diffusion.console import bar, console
from stale_diffusion.dreamscapes.corpus import write_corpus
from stale_diffusion.errors import StaleError
from stale_diffusion.training.config import Config, Data, load_config
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.loop import Progress, train


def prepare(data: Data, folder: Path, workers: int) -> list[Path]:
    """Folders of shards for a training; Dreamscapes that are missing are drawn and rendered, finished ones kept."""
    folders = []
    for kind, clips, rendered in (("drawn", data.drawn, False), ("performed", data.performed, True)):
        if not clips:
            continue
        target = folder / kind
        seed = 2 * data.seed + rendered  # the two parts hold different clips
        with bar(f"dreamscapes, {kind}") as progress:
            task = progress.task_ids[0]
            total = -(-clips // 64)
            made = write_corpus(
                target, clips, seed=seed, segments=data.segments, rendered=rendered, cartoons=data.cartoons,
                workers=workers,
            )  # fmt: skip
            for i, _ in enumerate(made):
                progress.update(task, completed=(i + 1) / total)
        folders.append(target)
    if data.clips:
        folders.append(Path(data.clips))
    if not folders:
        raise StaleError("This training has no data.", mend="Set drawn, performed or clips in [data].", usage=True)
    return folders


def _may_ship(example: Example) -> bool:
    """Share-alike licences reach what is derived; such clips stay out of training."""
    return not re.search(r"\bSA\b|share.?alike", str(example.meta.get("licence", "")).replace("_", "-"), re.IGNORECASE)


def read(folders: list[Path]) -> Corpus:
    """All examples of some folders of shards that may be trained on."""
    examples: Iterator[Example] = chain.from_iterable(read_shards(f) for f in folders)
    return Corpus(e for e in examples if _may_ship(e))


def train_config(path: Path, run: Path, workers: int, stopping: Callable[[], bool]) -> None:
    """Train from a config file into a run's folder, or go on where the folder stopped.

    Raises:
        StaleError: the config is wrong, or the folder belongs to another config.
    """
    config = load_config(path)
    run.mkdir(parents=True, exist_ok=True)
    kept = run / "config.toml"
    if kept.exists() and load_config(kept).model != config.model:
        raise StaleError(f"{run} holds a network of another shape.", mend="Give another --run.", usage=True)
    shutil.copyfile(path, kept)
    corpus = read(prepare(config.data, run / "data", workers))
    console.print(f"{len(corpus)} clips; {config.train.steps} steps into {run}", markup=False)
    for progress in train(config, corpus, run, stopping):
        _report(config, progress)


def _report(config: Config, p: Progress) -> None:
    streams = "  ".join(f"{name} {loss:.4f}" for name, loss in p.losses.items())
    left = p.seconds / max(1, p.step) * (p.steps - p.step) / 60
    saved = f"  saved {p.saved}" if p.saved else ""
    console.print(
        f"{p.step:>6}/{p.steps}  loss {p.loss:.4f}  y-hat {p.score_accuracy:.2f}  {p.seconds / 60:.1f} min"
        f"  ~{left:.0f} left  {streams}{saved}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
