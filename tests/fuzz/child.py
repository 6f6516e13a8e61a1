"""One reader, its mutations one after the other, in a process of its own: `python -m tests.fuzz.child`.

Lines of JSON go to stdout: what was found since the line before. The file AT holds the number of the mutation
in work, so that whoever waits for this process knows what killed it. An alarm ends a reading that takes too
long: it is read once more, since a busy machine may have stood still, and only the second time counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.fuzz.reader import Reader

WARM = 500  # mutations until everything is imported and cached; from then on memory must stay flat
GROWTH_MB = 100  # by which the largest memory may grow all the same
REPORT = 100  # mutations between two lines
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn")  # events that no file may lead to
AT = "at"


class Late(BaseException):
    """A reading takes too long. No `Exception`, so that no reader turns it into an error of its own."""


def _late(signum: int, frame: FrameType | None) -> None:
    raise Late


def peak_mb() -> float:
    """The largest memory that this process has had; getrusage counts that of the parent before it, too."""
    status = Path("/proc/self/status")
    if status.exists():
        told = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(told.split()[1]) / (1 << 10)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1 << 20) if sys.platform == "darwin" else largest / (1 << 10)


class Forbidden:
    """Notes what no file may lead to; `found` since the last look."""

    def __init__(self, place: Path) -> None:
        self.place, self.found = str(place), ""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            self.found = f"{event} {arguments!r}"[:200]
        elif event == "socket.connect" and arguments[1][:2] not in (
            ("localhost", 1),
            ("127.0.0.1", 1),
            ("::1", 1),
        ):
            self.found = f"{event} {arguments[1]!r}"[:200]


def place_of(error: BaseException) -> str:
    """Where an exception rose: the last places in tane, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/tane/" in f.filename and "/tests/" not in f.filename][-2:]
    told = [f"{f.filename.rpartition('/tane/')[2]}:{f.lineno}" for f in ours]
    last = frames[-1]
    return " > ".join(
        [*told, *([] if ours and last == ours[-1] else [f"{Path(last.filename).name}:{last.lineno}"])]
    )


class Ending(NamedTuple):
    """How a reading ended. kind: of the fault, "" for none; what: it was; refused: by an error of tane."""

    kind: str
    what: str
    refused: bool = False


def attempt(reader: Reader, target: Path, data: bytes) -> Ending:
    """Write a damaged file and read it, under an alarm."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    before = signal.signal(signal.SIGALRM, _late)
    begun = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, reader.seconds)
        outcome = reader.outcome(target)
    except Late as late:
        return Ending("hang", f"over {reader.seconds:g} s at {place_of(late)}")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of a Rust library is no `Exception`
        return Ending("traceback", f"{type(error).__name__} at {place_of(error)}: {error}"[:400])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if time.monotonic() - begun > reader.seconds:  # the alarm was swallowed
        return Ending("hang", f"over {reader.seconds:g} s, and no alarm ended it")
    if outcome.fault:
        return Ending("ending", outcome.fault[:400])
    return Ending("", "", outcome.refused)


class Run:
    """The mutations of one reader in a folder. tell: takes what was found since it was called last."""

    def __init__(self, reader: Reader, work: Path, tell: Callable[[dict[str, Any]], object]) -> None:
        self.reader, self.tell = reader, tell
        if reader.torch:  # before any alarm: an import that is broken off cannot be begun again
            import transformers

            for name in ("AutoTokenizer", "BertJapaneseTokenizer", "PreTrainedTokenizerFast", "AutoModel"):
                getattr(transformers, name)
        self.forbidden = Forbidden(work)
        self.at = os.open(work / AT, os.O_WRONLY | os.O_CREAT, 0o644)
        self.good: list[tuple[Path, bytes]] = []
        for number, make in enumerate(reader.seeds):
            folder = work / f"seed{number}"
            folder.mkdir()
            target = make(folder)
            self.good.append((target, target.read_bytes()))
            if (outcome := reader.outcome(target)).refused:
                raise AssertionError(f"{reader.name}: the good file {target} is refused: {outcome}")
        self.read = self.refused = 0
        self.finds: list[dict[str, Any]] = []
        self.warm: float | None = None

    def all(self, start: int, stop: int, skip: set[int]) -> None:
        """Read the mutations [start, stop) but those to skip."""
        begun = time.monotonic()
        warm_from = start + min(WARM, (stop - start) // 4)
        for number in range(start, stop):
            os.pwrite(self.at, b"%12d" % number, 0)
            if number not in skip:
                self._one(number)
            if number >= warm_from:
                self._weigh(number)
            if (number + 1 - start) % REPORT == 0 or number + 1 == stop:
                self._report(number + 1, time.monotonic() - begun)
                begun = time.monotonic()

    def _one(self, number: int) -> None:
        at, damage = self.reader.pick(number)
        target, good = self.good[at]
        data = damage(good, number)
        end = attempt(self.reader, target, data)
        if end.kind == "hang":
            end = attempt(self.reader, target, data)
        if self.forbidden.found:
            end, self.forbidden.found = Ending("forbidden", self.forbidden.found), ""
        if end.kind:
            self.finds.append({"mutation": number, "kind": end.kind, "what": end.what})
        else:
            self.refused += end.refused
            self.read += not end.refused

    def _weigh(self, number: int) -> None:
        """Note a mutation at which the largest memory has grown by more than it may, once a step."""
        peak = peak_mb()
        if self.warm is None:
            self.warm = peak
        if peak - self.warm > GROWTH_MB:
            what = f"the largest memory grew from {self.warm:,.0f} to {peak:,.0f} MB"
            self.finds.append({"mutation": number, "kind": "memory", "what": what})
            self.warm = peak

    def _report(self, following: int, seconds: float) -> None:
        self.tell({
            "next": following, "read": self.read, "refused": self.refused, "finds": self.finds,
            "peak_mb": round(peak_mb(), 1), "seconds": round(seconds, 3), "torch": "torch" in sys.modules,
        })  # fmt: skip
        self.read = self.refused = 0
        self.finds = []


def find(name: str) -> Reader:
    """The reader of a name: of the table, or module:NAME for one that a test defines."""
    import importlib

    if ":" in name:
        module, _, attribute = name.partition(":")
        found: Reader = getattr(importlib.import_module(module), attribute)
        return found
    from tests.fuzz.readers import READERS

    return READERS[name]


def main() -> None:
    """Fuzz one reader from START to STOP."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reader")
    parser.add_argument("work", type=Path)
    parser.add_argument("start", type=int)
    parser.add_argument("stop", type=int)
    parser.add_argument("skip", nargs="*", type=int)
    values = parser.parse_args()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no line of ours

    def tell(line: dict[str, Any]) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    from tane import progress

    with progress.silenced():
        Run(find(values.reader), values.work, tell).all(values.start, values.stop, set(values.skip))
    out.flush()
    os._exit(0)  # what libraries do at the end of a process is no part of any reading


if __name__ == "__main__":
    main()
