"""One thing at a time: a thread that does jobs in turn, a short queue before it, and a way to leave.

A job that waits and is cancelled leaves the queue at once; one that runs sees `cancelled` and stops at its
next look, after a token at most.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from tane import resources
from tane.errors import InputError, TaneError

POLITE = 10  # niceness: a training beside it goes first


class Busy(Exception):
    """The queue is full."""


class Job:
    """One piece of work. work: called with the job, returns the answer; tell: called with each event, the
    last one {"done": answer} or {"error": ..., "remedy": ..., "status": n}, from the thread that works."""

    def __init__(self, work: Callable[[Job], dict[str, Any]], tell: Callable[[dict[str, Any]], None]) -> None:
        self.work = work
        self.tell = tell
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._cancelled.set()

    def run(self) -> None:
        """Do the work and tell how it ended."""
        try:
            answer = {"done": self.work(self)}
        except Exception as error:  # a request that fails must not end the thread for all others
            answer = _explained(error)
        self.tell(answer)


class Jobs:
    """The thread and its queue. most: jobs that may wait beside the one that runs; started, ended: how many
    were begun and are over."""

    def __init__(self, name: str, most: int) -> None:
        self.most = most
        self.started = self.ended = 0
        self.running: Job | None = None
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"tane-play-{name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def add(self, job: Job) -> int:
        """Queue a job; how many come before it. Raises Busy."""
        with self._changed:
            before = len(self._waiting) + (self.running is not None)
            if self._closed or len(self._waiting) >= self.most:
                raise Busy
            self._waiting.append(job)
            self._changed.notify()
        return before

    def cancel(self, job: Job) -> None:
        """Let a job stop, or never begin."""
        job.cancel()
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(job)

    def close(self, patience: float = 5.0) -> None:
        """Cancel all jobs and end the thread; waits for it no longer than `patience` seconds."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            if self.running is not None:
                self.running.cancel()
            self._changed.notify()
        self._thread.join(patience)

    def _work(self) -> None:
        if sys.platform == "linux":  # where a thread has a niceness of its own
            with contextlib.suppress(OSError):
                os.nice(POLITE)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                job = self.running = self._waiting.popleft()
                self.started += 1
            try:
                job.run()
            finally:
                with self._changed:
                    self.running = None
                    self.ended += 1


def _explained(error: Exception) -> dict[str, Any]:
    """What a person is told of an error, and the status of the reply."""
    found = error if isinstance(error, TaneError) else resources.foreseen(error)
    if found is None:
        told = f"unforeseen error: {type(error).__name__}: {error}"
        print(f"tane: {told}", file=sys.stderr, flush=True)
        return {"error": told, "remedy": "", "status": 500}
    status = 400 if isinstance(found, InputError) else 503
    return {"error": found.message, "remedy": found.remedy, "status": status}
