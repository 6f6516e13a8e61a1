"""Input formats, one file each: a source knows its suffixes, yields records, and counts what it reads.

The protocol:

    class Name:                                # in sources/name.py
        suffixes = (".name",)                  # lower case; .gz or .zst may follow any of them
        unit = "record"                        # what one document is unless the person says otherwise
        def records(self, reading: Reading) -> Iterator[Record]: ...

`records` books in `reading.ledger`: `read` (the characters of the text, decoded), `separators`, `change`
(such as CR removed) and what it drops (undecodable lines, blank documents); what it yields is counted by the
corpus. It notes in `reading.found` what it found by itself, such as the encoding. No record may be longer
than about `reading.fragment` characters: a source cuts earlier (at the end of a line or sentence), so memory
stays bounded. Lone surrogates never reach a record. Formats with columns hand their rows to `cells.py`, which
does all of this for them.
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
from tane.text.packing import PACKINGS
from tane.text.raw import Raw, shown

Unit = Literal["sentence", "line", "paragraph", "record", "file"]
KIND = "text.sources"


class Record(NamedTuple):
    """One text of a file; position: its first line or its row, from 1; meta: what the source knows of it."""

    text: str
    position: int
    meta: dict[str, Any] | None = None


@dataclass
class Reading:
    """One file to be read, how, and what is found on the way.

    raw: its bytes; columns: the names of those with text, none: the only one or `text`, cells.ALL: every one;
    sheet: of a workbook, none: its first; quoting: of tables as text; format: what the person said the file
    is ("" where its name tells), so that one source can tell csv from tsv; fragment: the length over which a
    source cuts by itself; ledger: this file's counts; found: what was found, such as {"encoding": "cp932",
    "columns": ["text"]}.
    """

    raw: Raw
    unit: Unit
    encoding: str = "auto"
    normalize: str = "none"
    columns: tuple[str, ...] = ()
    sheet: str | None = None
    quoting: str = "standard"
    format: str = ""
    on_bad: str = "stop"
    fragment: int = 1_000_000
    ledger: Ledger = field(default_factory=Ledger)
    found: dict[str, Any] = field(default_factory=dict)


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


@functools.cache
def _class(name: str) -> type[Any]:
    return registry.find(KIND, name)  # which takes longer than to read a small file


def source(name: str) -> Source:
    """A source by its short name. Raises InputError for an unknown one."""
    found: Source = _class(name)()
    return found


def source_name(path: Path) -> str | None:
    """The short name of the source for a file by its name, or None when its suffix is unknown."""
    suffix = path.suffix.lower()
    if suffix in PACKINGS:
        suffix = Path(path.stem).suffix.lower()
    return by_suffix().get(suffix)


def source_for(path: Path, wanted: str | None = None) -> tuple[str, Source]:
    """(short name, source) for a file that a person named; `wanted`: the format that they said it has.

    Raises InputError for an unknown suffix or format.
    """
    if wanted is not None:
        named = set(by_suffix().values())
        name: str | None = wanted if wanted in named else by_suffix().get(f".{wanted}")
        if name is None:
            known = ", ".join(sorted({*named, *(s[1:] for s in by_suffix())}))
            raise InputError(f"unknown format {wanted!r}", f"choose one of: {known}")
    else:
        name = source_name(path)
    if name is None:
        known = ", ".join(sorted(by_suffix()))
        raise InputError(
            f"{shown(path)}: no reader for a file that ends in {path.suffix or 'no suffix'!r}",
            f"known are {known} (also with {', '.join(PACKINGS)} after them): rename it to what it is, "
            "or say it: {path: ..., format: jsonl}",
        )
    return name, source(name)
