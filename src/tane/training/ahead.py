"""The batches of the next step, made while a GPU works on this one.

What a step trains on is a function of its number, so a batch made ahead is the batch. One thread is enough:
reading a memory map and drawing masks takes far less than a step. On a CPU nothing is made ahead, since the
step's own threads would wait for that one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tane.types import Batch

Pieces = list[tuple[int, Batch]]


class Ahead:
    """`ahead(step)` gives what `make(step)` gives; where `on`, in pinned memory and mostly made already."""

    def __init__(self, make: Callable[[int], Pieces], on: bool) -> None:
        self.make = make
        self._thread = ThreadPoolExecutor(1, "tane-batches") if on else None
        self._next: tuple[int, Future[Pieces]] | None = None

    def __call__(self, step: int) -> Pieces:
        """The batches of a step; those of the next one are begun."""
        if self._thread is None:
            return self.make(step)
        made = self._next[1] if self._next is not None and self._next[0] == step else None
        found = self._pinned(step) if made is None else made.result()
        self._next = (step + 1, self._thread.submit(self._pinned, step + 1))
        return found

    def forget(self) -> None:
        """Make the next step's batches anew: what they depend on has changed."""
        if self._next is not None:
            self._next[1].cancel()
        self._next = None

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _pinned(self, step: int) -> Pieces:
        return [(number, batch.pinned()) for number, batch in self.make(step)]
