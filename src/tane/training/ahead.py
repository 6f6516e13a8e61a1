"""The batches of the next step, made while a GPU works on this one and the loop waits for it.

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
    """`ahead(step)` gives what `make(step)` gives; where `on`, in pinned memory, and made already where
    `begin(step)` was called."""

    def __init__(self, make: Callable[[int], Pieces], on: bool) -> None:
        self.make = make
        self._thread = ThreadPoolExecutor(1, "tane-batches") if on else None
        self._next: tuple[int, Future[Pieces]] | None = None

    def __call__(self, step: int) -> Pieces:
        """The batches of a step."""
        if self._thread is None:
            return self.make(step)
        made = self._next[1] if self._next is not None and self._next[0] == step else None
        return self._pinned(step) if made is None else made.result()

    def begin(self, step: int) -> None:
        """Make the batches of a step in the thread. It takes turns with the interpreter's other threads, so
        the time for it is when those wait for the device."""
        if self._thread is not None and (self._next is None or self._next[0] != step):
            self._next = (step, self._thread.submit(self._pinned, step))

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
