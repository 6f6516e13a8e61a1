"""What is fuzzed: a reader of tane, the good files that are damaged, and how it may end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tane.errors import InputError, TaneError
from tests.fuzz.damages import Damage
from tests.fuzz.mutations import SECONDS, mutate

Seed = Callable[[Path], Path]  # makes a folder of good files; returns the one that is damaged


class Outcome(NamedTuple):
    """How one reading ended. refused: by an error of tane; fault: what was wrong with it, "" for nothing."""

    refused: bool
    fault: str = ""


@dataclass(frozen=True)
class Reader:
    """One way in which tane reads a file.

    seeds: makers of good files; read: does with the damaged file what tane does, to its end; damages: what is
    done to it; modules: those of tane that open the file themselves, `test_fuzz` looks at them; ends: errors
    that are in order; torch: whether it imports torch; fresh: mutations after which a new process goes on,
    where a library gives back no memory (0: none does so); seconds: that a reading may take.
    """

    name: str
    seeds: tuple[Seed, ...]
    read: Callable[[Path], object]
    modules: tuple[str, ...]
    damages: tuple[Damage, ...] = (mutate,)
    ends: tuple[type[TaneError], ...] = (InputError,)
    torch: bool = False
    fresh: int = 0
    seconds: float = SECONDS

    def pick(self, number: int) -> tuple[int, Damage]:
        """(the number of the good file, the damage) of a mutation; all combinations come in turn."""
        at = number % len(self.seeds)
        return at, self.damages[number // len(self.seeds) % len(self.damages)]

    def outcome(self, target: Path) -> Outcome:
        """Read a file. Whatever is no error of tane's goes on to the caller."""
        try:
            self.read(target)
        except TaneError as error:
            if not isinstance(error, self.ends):
                return Outcome(
                    True, f"{type(error).__name__} is not what it should end with: {error.message}"
                )
            named = {target.name, target.parent.name} - {""}
            if not any(name in error.message for name in named):
                return Outcome(True, f"the message does not name the file: {error.message}")
            return Outcome(True)
        return Outcome(False)


def written(name: str, data: bytes | str) -> Seed:
    """A seed of one file with this content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return make


def inside(make: Callable[[Path], object], *names: str) -> tuple[Seed, ...]:
    """A seed for each of some files of a folder that `make` makes."""

    def seed(name: str, folder: Path) -> Path:
        make(folder)
        return folder / name

    return tuple(functools.partial(seed, name) for name in names)
