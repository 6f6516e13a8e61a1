"""Fuzz tane's readers: thousands of damaged files each; none may give a traceback, hang, or fill the memory.

    python -m tests.fuzz [READER ...] [--count 10000] [--minutes M] [--processes 2] [--out FILE]

Each reader runs in a process of its own. What is done stands in FILE; the same command goes on from there,
and does anew what had finds. Delete FILE after other changes.
`--start N --count 1` does one mutation again. Exit status 1 where anything was found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz import child
from tests.fuzz.child import AT
from tests.fuzz.mutations import SECONDS

STARTS = 120.0  # seconds that a process may take to import and make its good files
STUCK = 4 * SECONDS  # without another mutation, after which a process hangs where no alarm can end it
DEATHS = 20  # of the processes of one reader, after which it is left alone
KINDS = {  # of finds, and the heads of their columns
    "traceback": "tracebacks", "hang": "hangs", "crash": "crashes", "memory": "memory", "ending": "endings",
    "forbidden": "forbidden",
}  # fmt: skip
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONFAULTHANDLER": "1", "PYTHONHASHSEED": "0",
}  # fmt: skip


@dataclass
class Tally:
    """What one reader has given: the mutations [0, next) are done; finds by kind and place, with examples."""

    next: int = 0
    read: int = 0
    refused: int = 0
    finds: list[dict[str, Any]] = field(default_factory=list)
    peak_mb: float = 0.0
    seconds: float = 0.0
    torch: bool = False

    def add(self, line: dict[str, Any]) -> None:
        """Take over what a process has told."""
        self.next = line["next"]
        self.read += line["read"]
        self.refused += line["refused"]
        self.peak_mb = max(self.peak_mb, line["peak_mb"])
        self.seconds = round(self.seconds + line["seconds"], 3)
        self.torch = self.torch or line["torch"]
        for find in line["finds"]:
            self.note(find)

    def note(self, find: dict[str, Any]) -> None:
        """Count a find; those of one kind at one place are one, with the first mutation that led there."""
        place = find["what"].partition(": ")[0]
        for known in self.finds:
            if (known["kind"], known["what"].partition(": ")[0]) == (find["kind"], place):
                known["times"] += 1
                return
        self.finds.append({**find, "times": 1})

    def count(self, kind: str) -> int:
        """How many mutations led to a kind of find."""
        return sum(find["times"] for find in self.finds if find["kind"] == kind)


def fuzz(name: str, tally: Tally, stop: int, end: float, save: Any = lambda: None) -> None:
    """Run a reader's mutations up to `stop`, or until the clock (monotonic) shows `end`, into its tally."""
    skip: set[int] = set()
    fresh = child.find(name).fresh or stop
    while tally.next < stop and time.monotonic() < end and len(skip) < DEATHS:
        with tempfile.TemporaryDirectory(prefix="tane-fuzz-") as place:
            died = _process(name, tally, min(stop, tally.next + fresh), end, skip, Path(place), save)
        if died is not None:
            skip.add(died)


def _process(
    name: str, tally: Tally, stop: int, end: float, skip: set[int], work: Path, save: Any
) -> int | None:
    """One process from where the tally ends. Returns the mutation that killed it, None for a good end."""
    command = [sys.executable, "-m", "tests.fuzz.child", name, str(work), str(tally.next), str(stop)]
    command += map(str, sorted(skip))
    environment = {**os.environ, **ENVIRONMENT, "TMPDIR": str(work)}
    with (work / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment, start_new_session=True
        )
    stuck = threading.Event()
    watch = threading.Thread(target=_watch, args=(process, work / AT, end, stuck), daemon=True)
    watch.start()
    assert process.stdout is not None
    for line in process.stdout:
        tally.add(json.loads(line))
        if tally.torch and not child.find(name).torch:
            tally.note({"mutation": tally.next - 1, "kind": "ending", "what": "torch was imported"})
        save()
    status = process.wait()
    watch.join()
    if status == 0 or (time.monotonic() >= end and not stuck.is_set() and status == -signal.SIGKILL):
        return None
    at = int((work / AT).read_text() or -1) if (work / AT).exists() else -1
    told = (work / "stderr").read_text(encoding="utf-8", errors="replace")[-1500:]
    if at < 0 or (status > 0 and not stuck.is_set()):  # no fault of a damaged file
        print(f"{name}: its process ended with status {status}:\n{told}", file=sys.stderr, flush=True)
        tally.note({"mutation": max(at, 0), "kind": "crash", "what": "the process that reads does not run"})
        raise ChildProcessError(name)
    if stuck.is_set():
        tally.note({"mutation": at, "kind": "hang", "what": f"no answer to the alarm for {STUCK:g} s"})
    else:
        ended = signal.Signals(-status).name
        last = next((row.strip() for row in told.splitlines() if 'File "' in row), "")
        tally.note({"mutation": at, "kind": "crash", "what": f"killed by {ended} {last}".strip()})
    save()
    return at


def _watch(process: subprocess.Popen[bytes], at: Path, end: float, stuck: threading.Event) -> None:
    """Kill a process that stands still, or when the time is over."""
    known, since, begun = b"", time.monotonic(), False
    while process.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        found = at.read_bytes() if at.exists() else b""
        if found != known:
            known, since, begun = found, now, True
        if now - since > (STUCK if begun else STARTS):
            stuck.set()
        if stuck.is_set() or now >= end:
            os.killpg(process.pid, signal.SIGKILL)
            return


# ------------------------------------------------------------------------------------------------ the table


def table(tallies: dict[str, Tally]) -> str:
    """What was done and found, a row for each reader."""
    head = ["reader", "mutations", "read", "refused", *KINDS.values(), "peak MB", "seconds"]
    rows = [head]
    for name, tally in tallies.items():
        counts = [tally.next, tally.read, tally.refused, *(tally.count(kind) for kind in KINDS)]
        rows.append([name, *(f"{n:,}" for n in counts), f"{tally.peak_mb:,.0f}", f"{tally.seconds:,.0f}"])
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines = []
    for name, *counted in rows:
        cells = [cell.rjust(width) for cell, width in zip(counted, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    for name, tally in tallies.items():
        for find in tally.finds:
            again = f"python -m tests.fuzz {name} --start {find['mutation']} --count 1"
            lines.append(f"\n{name}: {find['times']:,} x {find['kind']}: {find['what']}\n  again: {again}")
    return "\n".join(lines)


def _load(path: Path | None) -> dict[str, Tally]:
    """What a call before has done; a reader with finds begins anew, since it may have been mended."""
    done = json.loads(path.read_text(encoding="utf-8"))["readers"] if path and path.exists() else {}
    return {name: Tally(**told) for name, told in done.items() if not told["finds"]}


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; the exit status."""
    from tests.fuzz.readers import READERS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; none: all")
    parser.add_argument("--count", type=int, default=10_000, help="mutations of each reader (10,000)")
    parser.add_argument("--start", type=int, default=0, help="the first mutation")
    parser.add_argument(
        "--minutes", type=float, default=24 * 60, help="stop then; the readers share the time"
    )
    parser.add_argument("--processes", type=int, default=2, help="readers at a time (2)")
    parser.add_argument("--out", type=Path, help="what is done, as JSON: the same command goes on from it")
    values = parser.parse_args(arguments)
    names = values.readers or list(READERS)
    if unknown := set(names) - READERS.keys():
        parser.error(f"no reader {', '.join(sorted(unknown))}; there are: {', '.join(READERS)}")
    try:
        kept = _load(values.out)
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{values.out} holds no results of this program ({error}); name another file")
    tallies = {name: Tally(next=values.start) if values.start else kept.get(name, Tally()) for name in names}
    lock = threading.Lock()

    def save() -> None:
        if values.out and not values.start:
            with lock:
                told = {name: asdict(tally) for name, tally in (kept | tallies).items()}
                text = json.dumps({"readers": told}, indent=1, ensure_ascii=False) + "\n"
                values.out.parent.mkdir(parents=True, exist_ok=True)
                values.out.with_suffix(".new").write_text(text, encoding="utf-8")
                values.out.with_suffix(".new").replace(values.out)

    end = time.monotonic() + 60 * values.minutes
    waiting = list(names)

    def one(name: str) -> None:
        with lock:
            share = (end - time.monotonic()) * values.processes / len(waiting)
            waiting.remove(name)
        with contextlib.suppress(ChildProcessError):
            fuzz(name, tallies[name], values.start + values.count, min(end, time.monotonic() + share), save)
        print(f"{name}: {tallies[name].next:,}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(values.processes) as pool:
        list(pool.map(one, names))
    save()
    print(table(tallies))
    return int(any(tally.finds for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
