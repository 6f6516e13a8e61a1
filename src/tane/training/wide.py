"""One model on several processes: the summed gradients of DDP, or the shards of FSDP2.

Both are torch's own. A run is the same on any number of processes: the global batch is cut into micro-batches
first, which are dealt out after, and gradients are summed, never averaged, since each micro-batch's loss is
divided by the targets of the global batch already.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import torch

from tane.errors import InputError
from tane.ranks import World

T = TypeVar("T")
STATE_SHARE = 0.6  # of a GPU's memory: what weights, gradients and optimizer may take before they are sharded


class Inside(torch.nn.Module):
    """Calls a function of a model from inside one module's forward: `inside(loss, batch)`.

    Whatever the function calls of the model, DDP and FSDP see a single forward pass of this module. way: how
    processes share the model.
    """

    way = "alone"

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[..., T], *given: Any) -> T:
        """What the function gives."""
        return function(*given)

    def reducing(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Backward passes run in this; the `last` one of a step sums gradients over the processes."""
        return contextlib.nullcontext()


class _Replicas(Inside):
    """The whole model on each process (Li et al., "PyTorch Distributed", 2020)."""

    way = "ddp"

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__(model)
        from torch.nn.parallel import DistributedDataParallel

        known = inspect.signature(DistributedDataParallel).parameters
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        still: dict[str, Any] = {name: False}
        # not a submodule: it holds this one
        wrapper = DistributedDataParallel(Inside(model), gradient_as_bucket_view=True, **still)
        wrapper.register_comm_hook(None, lambda state, bucket: _sum(bucket))
        self.__dict__["wrapper"] = wrapper

    def forward(self, function: Callable[..., T], *given: Any) -> T:
        """What the function gives; with gradients, through DDP."""
        if not torch.is_grad_enabled():
            return function(*given)
        return self.__dict__["wrapper"](function, *given)

    def reducing(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """No communication but in the last backward pass."""
        return contextlib.nullcontext() if last else self.__dict__["wrapper"].no_sync()


def _sum(bucket: Any) -> Any:
    """DDP's own reduction divides by the number of processes."""
    future = torch.distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda done: done.value()[0])


class _Shards(Inside):
    """Each process holds a part of every weight (Zhao et al., "PyTorch FSDP", 2023; torch's second one)."""

    way = "fsdp"

    def __init__(self, model: torch.nn.Module, world: World, device: str) -> None:
        super().__init__(model)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        mesh = init_device_mesh(device, (world.size,))
        for block in blocks_of(model):
            fully_shard(block, mesh=mesh)
        fully_shard(self, mesh=mesh)
        for module in self.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    @property
    def _own(self) -> Any:
        return self  # fully_shard gave it methods of FSDPModule

    def __call__(self, function: Callable[..., T], *given: Any) -> T:
        """What the function gives; without gradients no backward pass parts the weights again."""
        found: T = super().__call__(function, *given)
        if not torch.is_grad_enabled():
            self._own.reshard()
        return found

    def reducing(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """No reduction but in the last backward pass."""
        self._own.set_requires_gradient_sync(last)
        return contextlib.nullcontext()


def blocks_of(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of a model: the members of its longest list of modules that are of one class."""
    lists = [list(m) for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return max((some for some in lists if len({*map(type, some)}) == 1), key=len, default=[])


def spread(
    model: torch.nn.Module, wanted: str, world: World, device: str, *, adapted: bool = False
) -> Inside:
    """The model on all processes; call it before the optimizers are built.

    wanted: ddp, fsdp, or auto: ddp, but fsdp where a GPU would not hold weights, gradients and optimizer.
    """
    if world.size == 1:
        return Inside(model)
    if choose_way(model, wanted, device, adapted=adapted) == "ddp":
        return _Replicas(model)
    if adapted:
        raise InputError("train.parallel fsdp does not train adapters", "--train.parallel ddp")
    return _Shards(model, world, device)


def choose_way(model: torch.nn.Module, wanted: str, device: str, *, adapted: bool = False) -> str:
    """ddp or fsdp; see `spread`."""
    if wanted != "auto":
        return wanted
    state = 16 * sum(p.numel() for p in model.parameters())  # bytes, of AdamW in fp32
    room = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else float("inf")
    return "fsdp" if state > STATE_SHARE * room and not adapted else "ddp"


def deal(pieces: list[T], world: World) -> list[tuple[int, T]]:
    """This process' share of a step's micro-batches, with their numbers in the global batch."""
    return [(number, piece) for number, piece in enumerate(pieces) if number % world.size == world.rank]


def cut(rows: int, most: int, world: World) -> list[range]:
    """The rows of a global batch in micro-batches of about equal size: as many for each process.

    most: rows of a micro-batch; one more only where the rows could not be shared otherwise. Raises InputError
    where there are fewer rows than processes.
    """
    require_rows(rows, world)
    count = world.size * -(-rows // (most * world.size))
    while count > rows:
        count -= world.size
    ends = [rows * number // count for number in range(count + 1)]
    return [range(a, b) for a, b in pairwise(ends)]


def require_rows(rows: int, world: World, what: str = "blocks (train.batch_tokens)") -> None:
    """Raise InputError where a global batch cannot give each process something."""
    if rows < world.size:
        raise InputError(
            f"a step has {rows:,} {what} for {world.size:,} processes; each needs one at least",
            "make the batch larger, or start fewer processes",
        )
