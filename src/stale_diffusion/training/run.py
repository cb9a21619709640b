"""A training from its config: the corpus is made where it is missing, then the loop runs, with a line a report."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from stale_diffusion.clips.shards import Example, read_shards
from stale_diffusion.console import bar, console
from stale_diffusion.dreamscapes.corpus import write_corpus
from stale_diffusion.errors import StaleError
from stale_diffusion.training.checkpoint import write_text
from stale_diffusion.training.claim import asked_to_pause, claim, enter
from stale_diffusion.training.config import Config, Data, load_config
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.logbook import Logbook, make_sheet
from stale_diffusion.training.loop import check_train, learn
from stale_diffusion.training.ranks import Ranks, join, leave


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
                free=data.free, workers=workers,
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


def train_config(path: Path, run: Path, workers: int, stopping: Callable[[], bool]) -> bool:
    """Train from a config file into a run's folder, or go on where the folder stopped; under torchrun, with all ranks.

    Returns:
        Whether the training is done; if not, it was told to stop or to pause.

    Raises:
        StaleError: the config is wrong, the folder belongs to another config, or somebody else trains there.
    """
    config = load_config(path)
    check_train(config.train)
    ranks = join()
    try:
        run.mkdir(parents=True, exist_ok=True)
        with claim(run, ranks):
            corpus = _corpus(config, path, run, workers, ranks)
            return _train(config, corpus, run, stopping, ranks)
    except OSError as e:
        raise StaleError(f"{run} cannot be used.", str(e), "Check the folder and the disk.") from e
    except RuntimeError as e:
        if ranks.world == 1 or not re.search(r"[Cc]onnection|peer|Socket|NCCL|gloo", str(e)):
            raise
        why = "The others cannot go on without it: " + str(e).splitlines()[0][:200]
        raise StaleError(
            "Another rank is gone.", why, "Start the same command again: it goes on from the last save."
        ) from e
    finally:
        leave(ranks)


def _corpus(config: Config, path: Path, run: Path, workers: int, ranks: Ranks) -> Corpus:
    """The first rank keeps the config and makes what is missing of the data; then all of them read it."""
    error = None
    if ranks.first:
        try:
            kept = run / "config.toml"
            if kept.exists() and load_config(kept).model != config.model:
                raise StaleError(f"{run} holds a network of another shape.", mend="Give another --run.", usage=True)
            if path.resolve() != kept.resolve():
                write_text(kept, path.read_text("utf-8"))
            prepare(config.data, run / "data", workers)
        except StaleError as e:
            error = e
    enter(run, ranks)
    ranks.agree(error)
    return read(prepare(config.data, run / "data", workers))


def _train(config: Config, corpus: Corpus, run: Path, stopping: Callable[[], bool], ranks: Ranks) -> bool:
    if ranks.first:
        by = f" by {ranks.world} ranks" if ranks.world > 1 else ""
        console.print(f"{len(corpus)} clips; {config.train.steps} steps into {run}{by}", markup=False)
    book = Logbook(run, board=config.train.tensorboard) if ranks.first else None
    sheet_at, done = time.monotonic(), 0
    for progress in learn(config, corpus, run, stopping, ranks):
        done = progress.step
        if book is None:
            continue
        book.write(progress)
        wanted = config.train.sheet_minutes
        late = time.monotonic() - sheet_at >= 60 * wanted or done == config.train.steps
        if wanted and progress.saved and late and not stopping():
            book.sheet(done, make_sheet(run, done))
            sheet_at = time.monotonic()
    if ranks.first and asked_to_pause(run):
        (run / "pause").unlink(missing_ok=True)
        console.print(f"paused; go on with: stale-diffusion resume {run}", markup=False)
        return False
    return not done or done == config.train.steps
