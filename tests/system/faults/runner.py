"""Many trials side by side, within a time, kept on disk: an interrupted run of the suite goes on.

Two processes that were forked after the imports take trials from this one; a trial that hangs is a failure,
and its process is replaced.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .fault import Fault, Outcome
from .ground import Ground

HANGS = 240.0  # seconds; the longest trial that is not marked as long takes a tenth of it


@dataclass(frozen=True)
class Done:
    """A trial that was made."""

    row: str
    number: int
    seconds: float
    outcome: Outcome


class Results:
    """The trials made so far, one line each in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[tuple[str, int], Done] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            self._note(Done(**{**value, "outcome": Outcome(**value["outcome"])}))

    def add(self, done: Done) -> None:
        """Note and keep one."""
        self._note(done)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(done), ensure_ascii=False) + "\n")

    def _note(self, done: Done) -> None:
        self.done[done.row, done.number] = done

    def of(self, fault: Fault) -> list[Done]:
        """The trials of one fault by number."""
        return [done for (row, _), done in sorted(self.done.items()) if row == fault.row]


def in_turn(faults: Iterable[Fault], results: Results) -> list[tuple[Fault, int]]:
    """The trials that are left, all faults getting on alike; what is long
    first, then every fault's quota."""
    left = [
        (fault.full > 3, number >= fault.quota, (number + 1) / fault.full, fault, number)
        for fault in faults
        for number in range(fault.full)
        if (fault.row, number) not in results.done
    ]
    left.sort(key=lambda item: item[:3])
    return [(fault, number) for *_, fault, number in left]


def run_all(
    trials: list[tuple[Fault, int]], ground: Ground, results: Results, *, processes: int, until: float,
    tell: Callable[[Done], object],
) -> None:  # fmt: skip
    """Make the trials in order until `until` (of time.monotonic); what is running then is finished."""
    waiting = list(reversed(trials))
    workers = [_Worker(ground) for _ in range(processes)]
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                for number, worker in enumerate(workers):
                    if worker.trial is not None and time.monotonic() - worker.begin > _limit(worker.trial[0]):
                        fault, at = worker.trial
                        worker.end()
                        selector.unregister(worker.output)
                        done = Done(fault.row, at, time.monotonic() - worker.begin, Outcome("hung"))
                        results.add(done)
                        tell(done)
                        workers[number] = worker = _Worker(ground)
                    if worker.trial is None and waiting and time.monotonic() < until:
                        worker.give(*waiting.pop())
                        if worker.output not in {key.fileobj for key in selector.get_map().values()}:
                            selector.register(worker.output, selectors.EVENT_READ, worker)
                if all(worker.trial is None for worker in workers):
                    return
                for key, _ in selector.select(0.5):
                    done = key.data.take()
                    results.add(done)
                    tell(done)
        finally:
            for worker in workers:
                worker.end()


def _limit(fault: Fault) -> float:
    return HANGS if fault.full > 3 else 20 * 60  # what is done a few times is long


class _Worker:
    """A forked process that makes one trial after another."""

    def __init__(self, ground: Ground) -> None:
        asked, answered = os.pipe(), os.pipe()
        self.trial: tuple[Fault, int] | None = None
        self.begin = 0.0
        self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.close(asked[1]), os.close(answered[0])
            _serve(ground, asked[0], answered[1])
        os.close(asked[0]), os.close(answered[1])
        self.input, self.output = asked[1], answered[0]

    def give(self, fault: Fault, number: int) -> None:
        """Start a trial."""
        self.trial, self.begin = (fault, number), time.monotonic()
        os.write(self.input, f"{fault.row} {number}\n".encode())

    def take(self) -> Done:
        """The outcome of the trial that has ended."""
        assert self.trial is not None
        (fault, number), self.trial = self.trial, None
        data = b""
        while not data.endswith(b"\n"):
            more = os.read(self.output, 1 << 16)
            if not more:
                data = json.dumps(asdict(Outcome("the trial's own process died"))).encode() + b"\n"
                break
            data += more
        return Done(fault.row, number, time.monotonic() - self.begin, Outcome(**json.loads(data)))

    def end(self) -> None:
        """Make it go, with what it started."""
        for send in (os.killpg, os.kill):
            try:
                send(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.waitpid(self.pid, 0)


def _serve(ground: Ground, asked: int, answered: int) -> None:
    from .table import FAULTS

    by_row = {fault.row: fault for fault in FAULTS}
    with open(asked, encoding="utf-8") as lines:
        for line in lines:
            row, number = line.split()
            outcome = try_once(by_row[row], ground, int(number))
            os.write(answered, json.dumps(asdict(outcome)).encode() + b"\n")
    os._exit(0)


def try_once(fault: Fault, ground: Ground, number: int) -> Outcome:
    """One trial; what it raises is its failure."""
    try:
        return fault.trial(ground, number)
    except Exception as error:
        place: Any = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"[:500])
