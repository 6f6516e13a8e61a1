"""The processes of one run: who leads, and what they tell each other. A single process is a world of one.

    torchrun --nproc-per-node=4 -m tane train RECIPE

torchrun, or whatever sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, starts them. Rank 0 leads: it alone
locks, prepares, records, saves and speaks. What it finds and what goes wrong anywhere is told to all as JSON
over gloo, so that all take the same way and an error ends all of them: one message, one exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tane import errors, progress, resources, signals
from tane.errors import InputError, ResourceError, TaneError

T = TypeVar("T")
WAIT = timedelta(days=30)  # for rank 0, which may prepare a corpus meanwhile; a rank that dies is noticed
KINDS = {cls.__name__: cls for cls in vars(errors).values() if isinstance(cls, type)}
LOST = re.compile(r"connection (was )?(closed|reset|refused)|broken pipe|gloo|nccl|socket", re.IGNORECASE)
REMEDY = "torchrun --nproc-per-node=2 -m tane train RECIPE"


@dataclass(frozen=True)
class World:
    """This process among those of its run; `size` 1 needs no other. Methods with a value in common must be
    called by all ranks in the same order."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of this machine
    local_size: int = 1
    group: Any = None  # torch's, on the CPU, for all that is told here

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """The sums of some numbers over all ranks, in float64, the same bits everywhere."""
        if self.size == 1:
            return list(values)
        import torch
        import torch.distributed as dist

        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, group=self.group)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Whether it holds on one rank at least."""
        return flag if self.size == 1 else self.sum(float(flag))[0] > 0

    def tell(self, value: Any = None) -> Any:
        """What rank 0 gives (a JSON value), on every rank."""
        return value if self.size == 1 else self.gather(value if self.leads else None)[0]

    def gather(self, value: Any) -> list[Any]:
        """What each rank gives (a JSON value), on every rank."""
        if self.size == 1:
            return [value]
        import torch
        import torch.distributed as dist

        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(own)]), group=self.group)
        longest = int(max(lengths))
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(texts, torch.nn.functional.pad(own, (0, longest - len(own))), group=self.group)
        return [json.loads(t[: int(n)].numpy().tobytes()) for t, n in zip(texts, lengths, strict=True)]

    def lead(self, work: Callable[[], T]) -> T:
        """What `work` gives on rank 0 (a JSON value), on every rank; or its error."""
        return self.tell(self.together(lambda: work() if self.leads else None))

    def together(self, work: Callable[[], T]) -> T:
        """What `work` gives here; where it fails on any rank, the first one's error on all of them."""
        if self.size == 1:
            return work()
        found: Any = None  # never given back where the work failed
        error: Exception | None = None
        try:
            found = work()
        except Exception as one:
            error = one
        told = self.gather(None if error is None else _told(error))
        failed = next((rank for rank, one in enumerate(told) if one is not None), None)
        if failed is None:
            return found
        if error is not None and failed == self.rank:
            raise self.alike(error) if isinstance(error, TaneError) else error
        raise self.alike(_heard(told[failed], failed, self.size))

    def alike(self, error: TaneError) -> TaneError:
        """An error that every rank meets, or rank 0 tells: the others are silent about it."""
        error.silent = not self.leads
        return error


ALONE = World()


def _told(error: Exception) -> dict[str, Any]:
    known = error if isinstance(error, TaneError) else resources.foreseen(error)
    if known is None:
        return {"kind": "TaneError", "message": f"unforeseen error: {type(error).__name__}: {error}"}
    return {
        "kind": type(known).__name__, "message": known.message, "remedy": known.remedy,
        "result": json.loads(json.dumps(known.result, default=str)),
    }  # fmt: skip


def _heard(told: dict[str, Any], rank: int, size: int) -> TaneError:
    message = told["message"] if rank == 0 else f"process {rank} of {size}: {told['message']}"
    return KINDS[told["kind"]](message, told.get("remedy", ""), told.get("result"))


def of_environment(environment: Mapping[str, str] = os.environ) -> World:
    """This process as the environment tells it, nothing joined yet. Raises InputError where it makes no
    sense."""
    size = _number(environment, "WORLD_SIZE", 1)
    if size == 1:
        return World()
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name, "").strip():
            raise InputError(f"WORLD_SIZE asks for {size} processes, but {name} is not set", REMEDY)
    rank = _number(environment, "RANK", 0)
    local_size = _number(environment, "LOCAL_WORLD_SIZE", 1)
    local_rank = _number(environment, "LOCAL_RANK", rank % max(1, local_size))
    if size < 1 or not 0 <= rank < size:
        raise InputError(f"RANK is {rank} and WORLD_SIZE {size}: expected 0 <= RANK < WORLD_SIZE", REMEDY)
    return World(rank, size, local_rank, max(1, local_size))


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    try:
        return int(text or default)
    except ValueError:
        raise InputError(f"{name} is {text!r} in the environment; expected a number", REMEDY) from None


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """Meet the other processes of this run; raises ResourceError where one of them is lost later on.

    A torch process group that is there already is used, and left as it was.
    """
    world = of_environment()
    if world.size == 1:
        yield world
        return
    import torch
    import torch.distributed as dist

    signals.die_with(os.getppid())
    mine = not dist.is_initialized()
    if torch.cuda.is_available():
        torch.cuda.set_device(world.local_rank % torch.cuda.device_count())
    try:
        if mine:
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        group = dist.new_group(backend="gloo", timeout=WAIT)
        with progress.silenced(not world.leads):
            yield World(world.rank, world.size, world.local_rank, world.local_size, group)
    except TaneError:  # of all processes
        _leave(mine)
        raise
    except (RuntimeError, ValueError) as error:
        if not torch.cuda.is_available():  # NCCL would wait for those that are gone
            _leave(mine)
        if not LOST.search(str(error)):
            raise
        raise ResourceError(
            f"process {world.rank} of {world.size} lost another process of this run",
            "see what that one said; the same command goes on from the newest checkpoint",
        ) from error
    else:
        _leave(mine)


def _leave(mine: bool) -> None:
    import torch.distributed as dist

    if mine and dist.is_initialized():
        dist.destroy_process_group()
