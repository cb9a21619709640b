"""A crew on the machines of a Ray cluster (the extra `ray`); each must see the clips under the same path."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from stale_diffusion.clips.crew import AHEAD, DIED, Crew, Made, work
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import Sense

PATIENCE = 10.0  # seconds until a cluster answers


class Cluster(Crew):
    """Workers for `work` wherever the cluster has a core to spare.

    Args:
        address: of the cluster, as Ray reads it: HOST:PORT, ray://HOST:PORT, or "auto".
        senses: the codecs; sent once.

    Raises:
        StaleError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str, senses: Mapping[str, Sense]) -> None:
        super().__init__(1, senses)
        try:
            import ray
        except ImportError as e:
            raise StaleError("Ray is not installed.", str(e), "pip install 'stale-diffusion[ray]'") from e
        try:
            host, colon, port = address.removeprefix("ray://").rpartition(":")
            if colon:  # Ray itself would try for minutes
                socket.create_connection((host, int(port)), PATIENCE).close()
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (OSError, RuntimeError, ValueError) as e:
            why = str(e).splitlines()[0][:300]
            raise StaleError(f"There is no Ray cluster at {address}.", why, "ray start --head", usage=True) from e
        self._ray: Any = ray
        self.ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._senses = ray.put(dict(senses))
        self._task = ray.remote(num_cpus=1, max_retries=1)(_there)

    def _submit(self, file: Path, words: str) -> Future[Any]:
        future: Future[Any] = self._task.remote(file.resolve(), words, self._senses).future()
        return future

    def take(self) -> tuple[list[Made] | str, Any]:
        """As `Crew.take`; Ray itself gives a clip whose worker died to another one, once."""
        file, _, ticket, future = self.waiting.popleft()
        assert future is not None
        errors = self._ray.exceptions
        try:
            made = future.result()
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError):
            return DIED, ticket
        if isinstance(made, tuple):
            raise StaleError(f"{made[0]} does not see {file}.", "Each machine reads the clips itself.",
                             "Mount the folder under the same path on all machines of the cluster.")  # fmt: skip
        return made, ticket

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()


def _there(file: Path, words: str, senses: Mapping[str, Sense]) -> list[Made] | str | tuple[str]:
    """`work` on another machine; its name, if the file is not there."""
    return work(file, words, senses) if file.exists() else (socket.gethostname(),)
