"""The processes of one training: one by itself, or as many as torchrun started, which agree on when to stop and save.

Every rank draws the whole batch and learns from its own share of the rows, so that data order, staleness and every flip
are the same for any number of ranks; sums are divided by what the whole batch counts.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from stale_diffusion.errors import StaleError
from stale_diffusion.model.transformer import Denoiser
from stale_diffusion.training.data import Batch


@dataclass(frozen=True)
class Ranks:
    """Args: rank: of this process; world: how many there are; device: what this one computes on."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes what one of them has to write."""
        return self.rank == 0

    def either(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag, true where any rank has it so; all ranks must ask."""
        if self.world == 1:
            return flags
        votes = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return tuple(bool(v) for v in votes)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in order; all ranks must ask."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def agree(self, error: StaleError | None) -> None:
        """Raise on every rank what one of them ran into."""
        for found in self.gather(error and (error.what, error.why, error.mend, error.usage)):
            if found:
                raise StaleError(*found[:3], usage=found[3]) from error

    def total(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def slice(self, batch: int) -> slice:
        """The rows of a batch that are this rank's."""
        return slice(self.rank * batch // self.world, (self.rank + 1) * batch // self.world)

    def share(self, batch: Batch) -> Batch:
        """This rank's rows of a batch."""
        if self.world == 1:
            return batch
        rows = self.slice(len(batch.label))
        now, past = (
            {n: t._replace(bits=t.bits[rows], staleness=t.staleness[rows]) for n, t in tokens.items()}
            for tokens in (batch.now, batch.past)
        )
        truth, known = ({n: t[rows] for n, t in parts.items()} for parts in (batch.truth, batch.known))
        return replace(
            batch, now=now, past=past, truth=truth, known=known, captions=batch.captions[rows],
            together=batch.together[rows], label=batch.label[rows],
        )  # fmt: skip

    def shard(self, model: Denoiser) -> None:
        """FSDP2: every block is gathered when it is needed, everything else with the root."""
        if self.world == 1:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        warnings.filterwarnings("ignore", message="FSDP2-wrapped module")  # of views, which nothing here writes into
        mesh = init_device_mesh(self.device.type, (self.world,))
        for block in model.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)


def one(device: torch.device | None = None) -> Ranks:
    """A training by itself."""
    return Ranks(0, 1, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def join() -> Ranks:
    """The ranks that torchrun started, or one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return one()
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    return Ranks(dist.get_rank(), world, device)


def leave(ranks: Ranks) -> None:
    """The training is over for this process."""
    if ranks.world > 1 and dist.is_initialized():
        dist.destroy_process_group()


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the shards of all ranks put together; all ranks must ask."""
    full = getattr(tensor, "full_tensor", None)
    return full() if full is not None else tensor


def alike(full: Tensor, target: Tensor) -> Tensor:
    """A whole tensor as `target` is: this rank's shard of it where the target is sharded."""
    mesh = getattr(target, "device_mesh", None)
    if mesh is None:
        return full
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(full.to(target.device), mesh, target.placements, src_data_rank=None)  # type: ignore[attr-defined]


def state(module: nn.Module) -> dict[str, Tensor]:
    """Named tensors of a module, detached."""
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}
