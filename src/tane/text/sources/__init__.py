"""Input formats, one file each: a source knows its suffixes yields records, and counts what it reads.

The protocol:

    class Name:                                # in sources/name.py
        suffixes = (".name",)                  # lower case; a packing suffix (.gz) may follow any of them
        unit = "record"                        # what one document is unless the person says otherwise
        def records(self, reading: Reading) -> Iterator[Record]: ...

`records` books in `reading.ledger`: `read` (all characters decoded), `separators`, `change` (such as CR
removed) and what it drops (undecodable lines, blank documents); what it yields is counted by the corpus. It
sets `reading.found_encoding`. No record may be longer than about `reading.fragment` characters: a source cuts
earlier (at the end of a line or sentence), so memory stays bounded. Lone surrogates never reach a record.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from tane import registry
from tane.errors import InputError
from tane.text.ledger import Ledger
from tane.text.raw import Raw, shown

Unit = Literal["line", "paragraph", "record", "file"]
PACKINGS = (".gz",)
KIND = "text.sources"


class Record(NamedTuple):
    """One text of a file; position: its first line or its row, from 1; meta: what the source knows of it."""

    text: str
    position: int
    meta: dict[str, Any] | None = None


@dataclass
class Reading:
    """One file to be read, how, and what is found on the way.

    raw: its bytes; fragment: the length over which a source cuts by itself; ledger: this file's counts.
    """

    raw: Raw
    unit: Unit
    encoding: str = "auto"
    normalize: str = "none"
    on_bad: str = "stop"
    fragment: int = 1_000_000
    ledger: Ledger = field(default_factory=Ledger)
    found_encoding: str | None = None


class Source(Protocol):
    """A file format; see the module's header."""

    suffixes: tuple[str, ...]
    unit: Unit

    def records(self, reading: Reading) -> Iterator[Record]:
        """The records of one file in their order."""
        ...


@functools.cache
def by_suffix() -> dict[str, str]:
    """Suffix -> short name of the source that reads it."""
    return {suffix: name for name in registry.names(KIND) for suffix in registry.find(KIND, name).suffixes}


def source_name(path: Path) -> str | None:
    """The short name of the source for a file by its name, or None when its suffix is unknown."""
    suffix = path.suffix.lower()
    if suffix in PACKINGS:
        suffix = Path(path.stem).suffix.lower()
    return by_suffix().get(suffix)


def source_for(path: Path) -> tuple[str, Source]:
    """(short name, source) for a file that a person named; raises InputError for an unknown suffix."""
    name = source_name(path)
    if name is None:
        known = ", ".join(sorted(by_suffix()))
        raise InputError(
            f"{shown(path)}: no reader for a file that ends in {path.suffix or 'no suffix'!r}",
            f"known are {known} (also with {', '.join(PACKINGS)} after them): rename it to what it is",
        )
    return name, registry.find(KIND, name)()
