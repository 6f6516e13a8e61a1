"""Work on all cores: jobs as JSON to child processes, results and faults as JSON back.

A job is a call `function(job, progress)` of a function named "pkg.module:name"; whatever it makes goes to
files, so that little passes between the processes. Children are plain interpreters: nothing is forked while
threads run, and no script needs a guard around its main part. They die with their parent, and a child that
dies is told at once, never waited for.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from tane import errors, signals
from tane.errors import ResourceError, TaneError
from tane.resources import foreseen

Progress = Callable[[int], object]
MOST = 16  # children: beyond, the disk and this process are the bottleneck, and memory grows with each
_POLL = 0.05  # seconds between looks for a signal


def cores() -> int:
    """How many processes this machine lets us run at once, at most MOST."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, MOST))


def run_jobs(
    function: str,
    jobs: Iterable[dict[str, Any]],
    workers: int,
    *,
    progress: Progress = lambda amount: None,
    what: str = "the work",
    environment: dict[str, str] | None = None,
) -> Iterator[tuple[int, Any]]:
    """(number, result) of each job as it ends; one worker, or one job, works in this process.

    jobs: asked for as they are given out, so that there may be many large ones; progress: called with the
    amounts that jobs report; environment: variables set for children. Raises what a job raised, Interrupted
    when a signal asks to stop (running jobs are given up), ResourceError when a child dies.
    """
    first = list(islice(iterator := iter(jobs), max(1, workers)))
    waiting = enumerate(chain(first, iterator))
    if len(first) <= 1:
        call = _function(function)
        for number, job in waiting:
            signals.poll(f"{what} is not finished")
            yield number, call(job, progress)
        return
    children: list[_Child] = []
    try:
        for _ in first:
            children.append(_Child(function, environment or {}))
        yield from _serve(children, waiting, progress, what)
    finally:
        for child in children:
            child.end()


def _serve(
    children: list[_Child], waiting: Iterator[tuple[int, dict[str, Any]]], progress: Progress, what: str
) -> Iterator[tuple[int, Any]]:
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.output, selectors.EVENT_READ, child)
            child.give(*next(waiting))
        busy = len(children)
        while busy:
            signals.poll(f"{what} is not finished")
            for key, _ in selector.select(_POLL):
                child = key.data
                for message in child.messages():
                    if "progress" in message:
                        progress(message["progress"])
                        continue
                    if "error" in message:
                        raise _error(message["error"])
                    yield child.number, message["result"]
                    following = next(waiting, None)
                    if following is not None:
                        child.give(*following)
                    else:
                        busy -= 1
                        selector.unregister(child.output)


class _Child:
    """One child process, working on one job at a time."""

    def __init__(self, function: str, more: dict[str, str]) -> None:
        environment = {**os.environ, **more, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        code = f"from tane.workers import child; child({function!r}, {os.getpid()})"
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                bufsize=0, process_group=0,
            )  # fmt: skip
        except OSError as error:
            raise ResourceError(
                f"a worker process cannot be started: {error.strerror}",
                "end other programs, or run on fewer cores; what is finished is kept",
            ) from error
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        self.number = -1
        self._rest = b""

    def give(self, number: int, job: dict[str, Any]) -> None:
        """Start a job."""
        self.number = number
        data = memoryview(json.dumps(job).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):  # a dead child is told when its output ends
            while data:  # a signal may cut a write short
                data = data[self.input.write(data) :]

    def messages(self) -> Iterator[dict[str, Any]]:
        """What has arrived; raises ResourceError when the child has died."""
        data = os.read(self.output.fileno(), 1 << 16)
        if not data:
            status = self.process.wait()
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            raise ResourceError(
                f"a worker process {how}", "is the machine out of memory? What is finished is kept: run again"
            )
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def end(self) -> None:
        """Let the child go, or make it go."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.input.close()
        self.output.close()


def _function(name: str) -> Callable[[dict[str, Any], Progress], Any]:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def child(function: str, parent: int) -> None:
    """The main part of a child process: jobs from standard input, messages to standard output."""
    signals.die_with_parent(parent)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not mix with our messages
    call = _function(function)

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode() + b"\n")

    for line in sys.stdin.buffer:
        try:
            send({"result": call(json.loads(line), lambda amount: send({"progress": amount}))})
        except TaneError as error:
            send({"error": [type(error).__name__, error.message, error.remedy]})
        except MemoryError:
            send({"error": ["ResourceError", "a worker process ran out of memory", "run on fewer cores"]})
        except Exception as error:
            lacking = foreseen(error)
            if lacking is not None:
                send({"error": ["ResourceError", lacking.message, lacking.remedy]})
            else:
                send({"error": ["", traceback.format_exc(), ""]})


def _error(told: list[str]) -> Exception:
    """The error that a child met, of its own class; what is no error of ours keeps its traceback as text."""
    kind, message, remedy = told
    if kind:
        return getattr(errors, kind)(message, remedy)
    return RuntimeError(f"in a worker process:\n{message}")
