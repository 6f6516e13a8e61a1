"""The errors that a person meets. Each carries its exit code (see docs of the command line) and a remedy.

A message says what was found and what was expected; the remedy says what to type. `cli.py` prints both on
stderr without a traceback; the Python API raises them as they are.
"""

from __future__ import annotations

from typing import Any


class TaneError(Exception):
    """Base of all foreseen errors; `code` is the exit status of the command."""

    code = 1
    silent = False  # another process of the same run tells it

    def __init__(self, message: str, remedy: str = "", result: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.result = result or {}  # what was found all the same; `--json` prints it beside the error

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class InputError(TaneError):
    """Bad input or settings: an unknown key, a missing or unreadable file, too little text."""

    code = 2


class ResourceError(TaneError):
    """Our outputs lack a resource: disk, memory, rights, file handles."""

    code = 3


class IntegrityError(TaneError):
    """A hash does not match, or data on disk is stale against the settings."""

    code = 4


class LockedError(TaneError):
    """Another process works in this folder."""

    code = 5


class DivergedError(TaneError):
    """The loss or a gradient is not finite; nothing was updated with it."""

    code = 6


class Stopped(TaneError):
    """Stopped by a signal with everything saved; the same command goes on."""

    code = 75


class Interrupted(TaneError):
    """Stopped by a signal with nothing to resume."""

    code = 130
