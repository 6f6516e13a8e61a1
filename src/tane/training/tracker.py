"""What a run tells: a bar, `metrics.jsonl` (the one log), TensorBoard.

`metrics.jsonl` is only ever appended to, one whole line a write. A resumed run may repeat a step: the last
line counts (`read_metrics`). A full disk under the log must not end a healthy run: it is said once, and
training goes on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from pathlib import Path
from typing import Any

from tane import progress, resources

LOG = "metrics.jsonl"


class Tracker:
    """Writes events of one run; `close` it in the end."""

    def __init__(self, run_dir: Path, *, tensorboard: bool, total: int, step: int) -> None:
        with resources.writing(run_dir / LOG):
            self._log = os.open(run_dir / LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._log).st_size
            self._torn = bool(size) and os.pread(self._log, 1, size - 1) != b"\n"
        self._events: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            with resources.writing(run_dir / "tensorboard"):
                self._events = SummaryWriter(
                    str(run_dir / "tensorboard"), purge_step=step + 1 if step else None
                )
        self._bar = progress.bar(total, "training", "step", scale=False, initial=step)
        self._warned = False

    def event(self, kind: str, step: int, **values: Any) -> None:
        """One line in the log, and TensorBoard scalars for its numbers."""
        line = {"event": kind, "step": step, "time": round(time.time(), 3), **values}
        try:
            self._append((json.dumps(line, ensure_ascii=False) + "\n").encode())
            if self._events is not None and kind in ("step", "eval"):
                for name, value in values.items():
                    if isinstance(value, (int, float)):
                        self._events.add_scalar(
                            f"{kind}/{name}" if kind == "eval" else f"train/{name}", value, step
                        )
        except OSError as error:
            if not self._warned:
                progress.say(f"warning: the log cannot be written ({error.strerror}); training goes on")
            self._warned = True

    def _append(self, line: bytes) -> None:
        """One write; what a kill or a full disk tore before is ended first, or it would spoil this line."""
        data = b"\n" + line if self._torn else line
        written = os.write(self._log, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def advance(self, step: int, loss: float, tokens_per_second: float) -> None:
        """Move the bar to `step`."""
        self._bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s", refresh=False)
        self._bar.update(step - self._bar.n)

    def sync(self) -> None:
        """Force the log to the disk; called with each checkpoint."""
        with contextlib.suppress(OSError):
            os.fsync(self._log)
            if self._events is not None:
                self._events.flush()

    def close(self) -> None:
        """Close bar, log and TensorBoard."""
        self._bar.close()
        self.sync()
        os.close(self._log)
        if self._events is not None:
            self._events.close()


class Untold(Tracker):
    """A tracker that tells nothing: of a probe of the speed, and of all processes but the first."""

    def __init__(self) -> None:
        pass

    def event(self, kind: str, step: int, **values: Any) -> None:
        """Nothing."""

    def advance(self, step: int, loss: float, tokens_per_second: float) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_metrics(run_dir: Path | str, kind: str) -> list[dict[str, Any]]:
    """The events of one kind by step; of a repeated step the last counts, a torn last line is left out.

    What an earlier start logged beyond the step from which a later one went on does not count, nor does a
    line that is no event of this log.
    """
    found: dict[int, dict[str, Any]] = {}
    for line in (Path(run_dir) / LOG).read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict) or type(event.get("step")) is not int:
            continue
        if event.get("event") == "start":
            found = {step: kept for step, kept in found.items() if step <= event["step"]}
        if event.get("event") == kind:
            found[event["step"]] = event
    return [found[step] for step in sorted(found)]
