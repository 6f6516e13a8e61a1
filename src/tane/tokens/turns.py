"""How the worker processes of one loader agree, without a lock, on epochs and on who reads which blocks.

`Turns` counts the iterations of a loader in shared memory; `share` tells a worker which blocks are its own
when a loader goes on in the middle of an epoch. Both serve `tokens/stream.py` alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from typing import Any

import torch
import torch.utils.data

from tane.errors import InputError


def require(condition: object, message: str, remedy: str = "") -> None:
    """Raise InputError when a condition does not hold."""
    if not condition:
        raise InputError(message, remedy)


class Turns:
    """Which epoch an iteration reads: agreed on without a lock by all worker processes of one loader.

    A loader's process does not see its workers call iter(), and they may be born anew each time; so its
    iterations ("turns") are counted in shared memory. A row for each process that owns a loader holds its id,
    the turn from which `restart` counts, that one's epoch, blocks and batch size, then marks of the latest
    turns. The first worker of a turn adds its mark, others find it; those that race write the same 8 bytes.
    """

    ROWS, HEAD, MARKS, BITS = 256, 5, 8, 24

    def __init__(self) -> None:
        self.start = (0, 0, 0)
        self.begun: dict[int, int] = {}  # worker id (-1: none) -> iterations begun in this process
        self.__setstate__({"table": torch.zeros(self.ROWS, self.HEAD + self.MARKS, dtype=torch.int64)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        with contextlib.suppress(RuntimeError):  # without shared memory there are no worker processes either
            self.table: torch.Tensor = state["table"].share_memory_()

    def row(self) -> torch.Tensor:
        """This loader's row of the table."""
        process = owner()
        row = self.table[process % self.ROWS]
        if (
            row[0] != process
        ):  # in a new process, such as a rank, which has what was loaded where it came from
            row.copy_(torch.tensor([process, 1, *self.start, *[0] * self.MARKS]))
        return row

    def numbers(self) -> dict[int, int]:
        """Mark -> turn, of the latest turns."""
        return {mark >> self.BITS: mark & ((1 << self.BITS) - 1) for mark in self.row()[self.HEAD :].tolist()}

    def latest(self) -> int:
        """The turn that was begun last."""
        return max(self.numbers().values())

    def pending(self) -> dict[str, int] | None:
        """What `restart` ordered for the next turn; None once that has begun."""
        _, first, epoch, blocks, size = self.row()[: self.HEAD].tolist()
        order = {"epoch": epoch, "blocks": blocks, **({"batch_size": size} if size else {})}
        return order if self.latest() < first else None

    def restart(self, epoch: int, blocks: int = 0, batch_size: int = 0) -> None:
        """Let the next turn read `epoch` from after `blocks` blocks."""
        self.start = (epoch, blocks, batch_size)
        self.row()[1 : self.HEAD] = torch.tensor([self.latest() + 1, *self.start])

    def take(self) -> tuple[int, int, int, int]:
        """Begin an iteration: (turn, epoch, blocks given before, batch size)."""
        info = torch.utils.data.get_worker_info()
        worker = info.id if info else -1
        self.begun[worker] = self.begun.get(worker, 0) + 1
        # Workers of one iteration have a seed in common; process numbers tell those with equal seeds apart.
        born = getattr(multiprocessing.current_process(), "_identity", ())
        seed, number = getattr(info, "seed", worker) - worker, born[-1] - worker if info and born else 0
        mark = hash((info is None, seed, number, self.begun[worker])) & ((1 << 38) - 1) | 1
        turns = self.numbers()  # one look: what another worker writes now is either found or computed alike
        turn = turns.get(mark) or max(turns.values()) + 1
        self.row()[self.HEAD + turn % self.MARKS] = mark << self.BITS | turn
        _, first, epoch, blocks, batch_size = self.row()[: self.HEAD].tolist()
        return (turn, epoch, blocks, batch_size) if turn == first else (turn, epoch + turn - first, 0, 0)


def share(blocks: int, batch_size: int, worker: int, workers: int) -> tuple[int, int]:
    """(part, skip): as which part a worker goes on after `blocks` of its loader, how many of them it gave.

    Batch j comes from part j mod W, and a new loader asks its worker 0 first: so worker 0 becomes the part
    whose turn it is, and the batches that remain come in the same order.
    """
    if workers == 1 or not blocks:
        return worker, blocks
    remedy = 'load_state_dict({"epoch": e, "blocks": batches * batch_size, "batch_size": batch_size})'
    require(batch_size, f"how {workers} workers shared {blocks} blocks depends on the batch size", remedy)
    batches = blocks // batch_size
    part = (worker + batches) % workers
    return part, batch_size * ((batches - part + workers - 1) // workers)


def owner() -> int:
    """Process id of the loader's process: the parent of a worker process, else this one."""
    parent = multiprocessing.parent_process() if torch.utils.data.get_worker_info() else None
    return (parent.pid if parent else None) or os.getpid()
