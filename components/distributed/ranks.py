"""What a trainer needs to be one of several processes that torchrun started: shards, one gradient, one decision.

Every rank draws the same batches from the same seed and takes its share of each, so a batch is as large as in one
process, and so are the number of steps and the learning rate's course. A process that torchrun did not start is
`ALONE`: there every method is the identity, and nothing of torch.distributed is touched. Knows no model.

Letters: B rows of a batch.
"""

import contextlib
import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from feature_repo.errors import ServerError

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
PATIENCE = dt.timedelta(minutes=10)  # that ranks wait for each other, at most
BY_ITSELF = dt.timedelta(days=1)  # that they wait for what one makes by itself; a job's own `minutes` end it before
# How torch says that a peer has gone, in its different backends.
LOSSES = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting", "NCCL", "gloo")


class LostRank(ServerError):
    """Another process of the job ended; its own reason says why."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Say whether this process writes what the job leaves."""
        return self.rank == 0

    def shard(self, size: int) -> tuple[np.ndarray, float]:
        """Return the places of a batch that are this rank's, and what its mean loss weighs in the batch's.

        DDP takes the mean of the ranks' gradients, so the weights are shares times the number of ranks: the result is
        the gradient of the whole batch's mean, also where it cannot be cut evenly. A rank must take part in every
        step; one that is left without rows works on the first and counts for nothing.

        >>> [Ranks(rank, 2).shard(3) for rank in (0, 1)]
        [(array([0, 2]), 1.3333333333333333), (array([1]), 0.6666666666666666)]
        >>> Ranks(1, 2).shard(1)
        (array([0]), 0.0)
        """
        mine = np.arange(self.rank, size, self.world)
        weight = len(mine) * self.world / size
        return (mine if len(mine) else np.zeros(1, dtype=np.int64)), weight

    def parallel(self, net: "nn.Module", *, unused: bool = False) -> Any:
        """Wrap a network so that its gradients are the mean over ranks; all start with the first one's weights.

        `unused`: some of its layers never get a gradient, and must not be waited for.
        """
        if self.world == 1:
            return net
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(net, broadcast_buffers=False, find_unused_parameters=unused)

    def scatter_seed(self, seed: int) -> None:
        """Give each rank its own dropout, once all have drawn the same weights; one process keeps its generator."""
        if self.world > 1:
            import torch

            torch.manual_seed(seed + 1 + self.rank)

    def mean(self, value: float) -> float:
        """Return the mean over ranks, the same on all of them."""
        return self.total(value) / self.world if self.world > 1 else value

    def total(self, value: float) -> float:
        """Return the sum over ranks, the same on all of them."""
        if self.world == 1:
            return value
        import torch
        import torch.distributed as dist

        summed = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(summed)
        return float(summed[0])

    def decided(self, value: float) -> float:
        """Return the first rank's value: what training goes by is decided once."""
        if self.world == 1:
            return value
        import torch
        import torch.distributed as dist

        said = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(said, src=0)
        return float(said[0])

    def gathered(self, mine: "Tensor") -> "list[Tensor]":
        """Return each rank's tensor, by rank; all are of one shape and on the processor."""
        if self.world == 1:
            return [mine]
        import torch
        import torch.distributed as dist

        found = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(found, mine)
        return found

    def of_first(self, work: "Callable[[], T]") -> T:
        """Return what the first rank makes by itself, the same on all of them; the others wait for it.

        What it makes is pickled for them. Where it fails they end with it, as lost ranks do.
        """
        if self.world == 1:
            return work()
        import torch.distributed as dist

        waiting = dist.new_group(backend="gloo", timeout=BY_ITSELF)
        made = [work() if self.first else None]
        dist.broadcast_object_list(made, src=0, group=waiting)
        dist.destroy_process_group(waiting)
        return made[0]  # type: ignore[return-value]

    def agreed(self, weights: "Mapping[str, Tensor]") -> dict[str, Any]:
        """Check that all ranks ended with equal weights; return what there is to say about it."""
        if self.world == 1:
            return {}
        import torch.distributed as dist

        mine = digest(weights)
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, mine)
        if len(set(found)) > 1:
            raise ServerError(f"ranks ended with different weights ({', '.join(found)}); nothing was written")
        return {"rank": self.rank, "ranks": self.world, "weights": mine}

    def meet(self) -> None:
        """Wait until every rank is here."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()


ALONE = Ranks()


def launched() -> bool:
    """Say whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that torchrun started; alone where it started none, or only this one."""
    world = int(os.environ.get("WORLD_SIZE", "1")) if launched() else 1
    if world == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Numbers that ranks exchange are the processor's in either case: gloo carries them.
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=PATIENCE)
    found = Ranks(dist.get_rank(), world)
    try:
        yield found
        found.meet()  # until the first one has written
    except RuntimeError as error:
        if any(sign in str(error) for sign in LOSSES):
            raise LostRank(
                f"rank {found.rank} of {world}: another rank of the job ended early; nothing was written. Its own "
                "output says why; a signal 9 is mostly memory"
            ) from error
        raise
    finally:
        with contextlib.suppress(RuntimeError):  # the group may be broken already, which was said
            dist.destroy_process_group()


def digest(weights: "Mapping[str, Tensor]") -> str:
    """Return the first 12 hex digits of the sha256 of weights, by name."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:12]
