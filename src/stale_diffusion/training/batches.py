"""Batches in the order of their steps, made here or by loader processes ahead of time; the order is the same."""

from __future__ import annotations

import atexit
import hashlib
import multiprocessing
import signal
import sys
from collections.abc import Generator
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

from torch.utils.data import DataLoader, Dataset

from stale_diffusion.training import claim
from stale_diffusion.training.data import Batch, Sampler


class _Steps(Dataset[Batch]):
    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __getitem__(self, step: int) -> Batch:
        return self._sampler(step)


def batches(sampler: Sampler, first: int, steps: int, loaders: int) -> Generator[Batch]:
    """The batches of steps first, first + 1 ... steps - 1.

    Args:
        loaders: processes that make them ahead; 0: none.
    """
    order = range(first, steps)
    if not loaders:
        yield from map(sampler, order)
        return
    others = set(multiprocessing.active_children())
    made: Any = iter(DataLoader(
        _Steps(sampler), batch_size=None, sampler=order, num_workers=loaders, collate_fn=_as_it_is,
        worker_init_fn=_start, multiprocessing_context="fork" if sys.platform == "linux" else None,
    ))  # fmt: skip
    end = partial(_end, made, set(multiprocessing.active_children()) - others)
    atexit.register(end)  # they are deaf to SIGTERM: the interpreter's own way to end them would wait forever
    try:
        yield from made
    finally:
        atexit.unregister(end)
        end()


def _end(made: Any, workers: set[BaseProcess]) -> None:
    """Ask the loaders to end, and make those end that do not."""
    made._shutdown_workers()
    for worker in workers:
        worker.kill()
        worker.join()


def _as_it_is(batch: Any) -> Any:
    return batch


def _start(_: int) -> None:
    """A loader leaves signals to the training, which ends it, and does not hold the run's locks beyond its death."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    claim.drop()


def chained(order: str, batch: Batch) -> str:
    """The hash of all batches so far, given that of those before: what was seen, in which order, how stale."""
    hashed = hashlib.sha256(order.encode())
    hashed.update("\n".join(batch.captions).encode())
    for name, tokens in batch.now.items():
        hashed.update(name.encode())
        for tensor in (batch.truth[name], tokens.bits, tokens.staleness):
            hashed.update(_bytes(tensor))
    return hashed.hexdigest()


def _bytes(tensor: Any) -> bytes:
    return bytes(tensor.contiguous().numpy().tobytes())
