"""System calls that kill, fail or are lost: `strace` attaches to a command at a chosen moment.

The calls of one stretch of the program (a save, an export) are numbered as they come; a trial kills the
process at one of them, or lets one of them, or all from it on, end in an error. From the record of the calls
follows what a power cut may have lost: what was written and not synced, names that were given in folders that
were not synced.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .starts import Change

WRITING = "openat,write,pwrite64,sendfile,copy_file_range,ftruncate"
NAMING = "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,symlink"
CALLS = f"{WRITING},fsync,fdatasync,{NAMING}"
DELETING = "rename,renameat,renameat2,unlink,unlinkat,rmdir"


def available() -> str:
    """Why calls cannot be traced here, or an empty text."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    try:
        seen = subprocess.run(
            ["strace", "-e", "inject=getppid:error=EPERM", "true"], capture_output=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"strace does not run here: {error}"
    return "" if seen.returncode == 0 else "this machine does not let one process trace another"


class Injury(NamedTuple):
    """What happens at the call of this name that has the number `at`: a kill, or an error once or from then
    on."""

    calls: str
    at: int
    error: str = ""  # "": a kill
    ever: bool = False

    @property
    def told(self) -> str:
        """In words, for a message."""
        return f"{self.error or 'kill'} at call {self.at}{' and all after' if self.ever else ''}"

    @property
    def option(self) -> str:
        """As strace takes it."""
        how = f"error={self.error}" if self.error else "signal=SIGKILL"
        return f"inject={self.calls}:{how}:when={self.at}{'+' if self.ever else ''}"


def traced(owner: Any, name: str, nth: int, log: Path, injury: Injury | None) -> Change:
    """From the start of the n-th call of `owner.name` to its end, the process is traced, and injured."""

    def change() -> None:
        original: Callable[..., Any] = getattr(owner, name)
        calls = [0]

        def wrapped(*args: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] != nth:
                return original(*args, **more)
            tracer = _attach(log, injury)
            try:
                return original(*args, **more)
            finally:
                tracer.terminate()
                tracer.wait()

        setattr(owner, name, wrapped)

    return change


def _attach(log: Path, injury: Injury | None) -> subprocess.Popen[bytes]:
    options = ["-f", "-y", "-s", "8", "-o", str(log), "-e", f"trace={CALLS}", "-e", "signal=none"]
    if injury is not None:
        options += ["-e", injury.option]
    tracer = subprocess.Popen(
        ["strace", *options, "-p", str(os.getpid())], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        process_group=0,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            os._exit(71)  # not a result of the program
        time.sleep(0.002)
    return tracer


def count(log: Path, call: str) -> int:
    """How many calls of a name the first thread of a record made: each thread's are numbered alone."""
    lines = log.read_text(errors="replace").splitlines()
    made = [found for line in lines if (found := re.match(r"(\d+) +(\w+)\(", line))]
    return sum(m[1] == made[0][1] and m[2] == call for m in made)


class Lost(NamedTuple):
    """What a power cut did, for the figures."""

    cut: int  # files
    undone: int  # renames
    gone: int  # names of new files


def lose_power(log: Path, draw: random.Random) -> Lost:
    """Take away what the record shows as not yet forced to the disk: each thing with an even chance."""
    dirty: dict[str, None] = {}  # files that were written and not synced since, in order
    renames: list[tuple[str, str]] = []  # in folders that were not synced since
    fresh: dict[str, None] = {}  # new names in folders that were not synced since
    for line in log.read_text(errors="replace").splitlines():
        made = re.match(r"\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?", line)
        if not made or int(made[3]) < 0:
            continue
        call, told, path = made[1], made[2], made[4] or ""
        if call == "openat" and "O_CREAT" in told:
            dirty[path] = fresh[path] = None
        elif call in ("write", "pwrite64", "sendfile", "copy_file_range", "ftruncate"):
            handles = re.findall(r"\d+<([^>]*)>", told)
            target = handles[1] if call == "copy_file_range" and len(handles) > 1 else handles[:1]
            dirty |= dict.fromkeys([target] if isinstance(target, str) else target)
        elif call in ("fsync", "fdatasync"):
            synced = re.findall(r"\d+<([^>]*)>", told)[0]
            dirty.pop(synced, None)
            renames = [pair for pair in renames if os.path.dirname(pair[1]) != synced]
            fresh = {name: None for name in fresh if os.path.dirname(name) != synced}
        elif call.startswith("rename"):
            source, target = (name for name in re.findall(r'"([^"]*)"', told))
            renames.append((source, target))
            dirty = dict.fromkeys(_moved(name, source, target) for name in dirty)
            fresh = dict.fromkeys(_moved(name, source, target) for name in fresh)
    return _lose(dirty, renames, fresh, draw)


def _moved(name: str, source: str, target: str) -> str:
    return target + name[len(source) :] if name == source or name.startswith(f"{source}/") else name


def _lose(
    dirty: dict[str, None], renames: list[tuple[str, str]], fresh: dict[str, None], draw: random.Random
) -> Lost:
    cut = undone = gone = 0
    for name in dirty:
        path = Path(name)
        if draw.random() < 0.5 and path.is_file() and path.stat().st_size:
            size = path.stat().st_size
            if draw.random() < 0.5:
                os.truncate(path, draw.randrange(size))
            else:
                with open(path, "r+b") as file:
                    start = max(0, size - 4096)
                    file.seek(start)
                    file.write(bytes(size - start))
            cut += 1
    for name in fresh:
        if draw.random() < 0.3 and os.path.isfile(name):
            os.unlink(name)
            gone += 1
    for source, target in reversed(renames):
        if draw.random() < 0.5 and os.path.lexists(target) and not os.path.lexists(source):
            os.rename(target, source)
            undone += 1
    return Lost(cut, undone, gone)
