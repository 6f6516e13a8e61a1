"""Commands started from a process that has the imports done: a fork each, in a process group of its own.

A start from nothing takes seconds, nearly all of them imports; a fork takes milliseconds, and thousands of
injuries become affordable. What is forked runs `tane.cli.main` as the command line does, on one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 120.0  # seconds; nothing here takes a tenth of it
Change = Callable[[], object]  # something to do in the new process before the command runs


class End(NamedTuple):
    """How a command ended. code: as `subprocess` has it (negative: the signal that killed it)."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The object that `--json` printed last."""
        return json.loads(self.out.strip().split("\n")[-1])

    @property
    def clean(self) -> bool:
        """One message in the house's form, or none, and no traceback."""
        return "Traceback" not in self.err + self.out and (self.code < 1 or "tane: " in self.err)


class Start:
    """A running command."""

    def __init__(
        self, arguments: Sequence[object], place: Path, changes: Sequence[Change] = (), **environment: str
    ) -> None:
        """place: a folder for what it prints, and the command's working folder."""
        place.mkdir(parents=True, exist_ok=True)
        number = time.monotonic_ns()
        self.out, self.err = place / f".out-{number}", place / f".err-{number}"
        self.out.touch(), self.err.touch()  # a kill may come before it opens them
        self.begin = time.monotonic()
        self._status: int | None = None
        sys.stdout.flush(), sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become([str(a) for a in arguments], place, self.out, self.err, changes, environment)
        with contextlib.suppress(OSError):  # whoever comes first
            os.setpgid(self.pid, self.pid)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
                self.seconds = time.monotonic() - self.begin
        return self._status

    def until(self, reached: Callable[[], object], limit: float = LIMIT) -> bool:
        """Wait until something is so, or the command has ended; whether it still runs."""
        deadline = time.monotonic() + limit
        while not reached() and self.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError("what was waited for did not come")
            time.sleep(0.002)
        return self.poll() is None

    def send(self, number: int = signal.SIGKILL) -> None:
        """A signal to the whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, limit: float = LIMIT) -> End:
        """Wait for the end; a command that takes longer is killed, and TimeoutError raised."""
        try:
            self.until(lambda: False, limit)
        except TimeoutError:
            self.send()
            self.until(lambda: False, 10)
            raise TimeoutError(f"hung for {limit:.0f} s") from None
        assert self._status is not None
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (self.out, self.err)]
        self.out.unlink(), self.err.unlink()
        return End(self._status, *texts, self.seconds)


def run(arguments: Sequence[object], place: Path, changes: Sequence[Change] = (), **environment: str) -> End:
    """Start a command and wait for its end."""
    return Start(arguments, place, changes, **environment).end()


def _become(
    arguments: list[str], place: Path, out: Path, err: Path, changes: Sequence[Change], more: dict[str, str]
) -> None:
    """The new process: never returns."""
    code = 70
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for path, handle in ((out, 1), (err, 2)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(opened, handle)
            os.close(opened)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's own
        sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
        os.chdir(place)
        os.environ.update(more)
        for change in changes:
            change()
        from tane.cli import main

        code = main(arguments)
        sys.stdout.flush(), sys.stderr.flush()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def import_all() -> None:
    """Everything that a command imports on its way, once, on one thread."""
    os.environ.update(
        OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1",
        OMP_WAIT_POLICY="passive",
    )  # fmt: skip
    import torch
    import transformers.models.gpt2.modeling_gpt2
    import zstandard
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: F401

    import tane.recipe
    import tane.tokens.prepare
    import tane.training.run
    import tane.use.evaluate
    import tane.use.export
    import tane.use.generate
    import tane.use.verify

    torch.set_num_threads(1)
    assert zstandard and transformers and tane
