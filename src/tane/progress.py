"""What a person sees while work goes on: plain lines and bars, all on stderr, all silenced by `--quiet`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

_silent = False


@contextlib.contextmanager
def silenced(quiet: bool = True) -> Iterator[None]:
    """No lines and no bars while this is open (when `quiet`)."""
    global _silent
    before, _silent = _silent, _silent or quiet
    try:
        yield
    finally:
        _silent = before


def say(text: str) -> None:
    """One line for the person, above any open bar."""
    if _silent:
        return
    if "tqdm" in sys.modules:  # a bar may be open
        from tqdm.auto import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel; to have its libraries loaded does not make it one."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def bar(total: float | None, what: str, unit: str, *, scale: bool = True, initial: int = 0) -> Any:
    """A tqdm bar, also in notebooks; nothing is drawn where stderr is no terminal or under `--quiet`."""
    from tqdm.auto import tqdm

    tqdm.monitor_interval = 0  # no thread that watches bars: it fails loudly where memory is short
    hidden = _silent or not (in_notebook() or sys.stderr.isatty())
    return tqdm(
        total=total, desc=what, unit=unit, unit_scale=scale, initial=initial, disable=hidden, file=sys.stderr,
        mininterval=0.5, dynamic_ncols=True, leave=False,
    )  # fmt: skip
