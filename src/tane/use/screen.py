"""The screen that messages go to: how wide it is, and whether it shows colours."""

from __future__ import annotations

import os
import shutil
import sys

WIDTH = 100  # columns where there is no terminal


def columns() -> int | None:
    """Columns of the terminal; None where messages go elsewhere, such as into a file."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stderr.isatty() else None


def colours() -> bool:
    """Whether colours are shown: on a terminal that has some, unless NO_COLOR is set (no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
