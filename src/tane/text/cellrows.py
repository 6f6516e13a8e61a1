"""Cells to columns: the rows of csv, tsv, JSON and workbooks, each column of one type.

The sources give one cell after the other; here they become rows again, and the columns of all files that
belong together are given their types at once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tane import signals
from tane.errors import InputError
from tane.text import typed
from tane.text.cells import ALL, TEXT
from tane.text.inputs import Input
from tane.text.raw import Raw
from tane.text.sources import Reading, source_for

if TYPE_CHECKING:
    import pyarrow as pa

STOPPED = "the rows were being read; nothing was written"
POLLED = 10_000  # rows after which a signal is looked for
TOLD = ("lone_surrogates", "error_cells", "formulas_without_value", "cells_without_a_name", "blank_rows")


@runtime_checkable
class Cells(Protocol):
    """A source whose files have rows of cells; place: what a position counts."""

    place: str

    def cells(self, reading: Reading) -> Iterator[tuple[int, Any]]:
        """(position, value) of every cell, row by row."""
        ...


@dataclass
class Columns:
    """Rows by column, before they have types.

    values: name -> value of each row (N of them); positions (N,): where each row stands, from 1; place: what
    these count; json: whether values have types of their own; found, dropped: as in `rows.Table`.
    """

    values: dict[str, list[Any]]
    positions: list[int]
    place: str
    json: bool
    found: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def read(item: Input, on_bad: str) -> Columns:
    """All rows of one file of text, cells or JSON. Raises InputError for a file without rows or columns."""
    name, source = source_for(item.path, item.format or item.source)
    reading = Reading(
        raw=Raw(item.path, name=item.name), unit=source.unit, encoding=item.encoding, columns=ALL,
        sheet=item.sheet, quoting=item.quoting, format=item.format, on_bad=on_bad,
    )  # fmt: skip
    if isinstance(source, Cells):
        columns = _rows(source, reading, json=name == "jsonl")
    else:
        records = list(source.records(reading))
        values = {TEXT: [record.text for record in records]}
        columns = Columns(values, [record.position for record in records], "line", False)
    ledger = reading.ledger
    columns.found = {key: value for key, value in reading.found.items() if key != "columns" and value}
    if notes := {key: ledger.notes[key] for key in TOLD if ledger.notes[key]}:
        columns.found["notes"] = notes
    if on_bad == "skip":
        columns.dropped = dict(ledger.dropped_documents)
    return columns


def _rows(source: Cells, reading: Reading, *, json: bool) -> Columns:
    stream = source.cells(reading)
    first = next(stream, None)
    names = reading.found.get("columns") or ([TEXT] if first else [])
    if not names:
        what = "holds no rows" if "columns" not in reading.found else "has no columns"
        raise InputError(f"{reading.raw.name} {what}", "look at the file: is it the right one?")
    if len(set(names)) < len(names):
        raise InputError(f"{reading.raw.name} has columns of the same name", "give each a name of its own")
    values: list[list[Any]] = [[] for _ in names]
    positions: list[int] = []
    notes = reading.ledger.notes
    whole = itertools.chain([first] if first else [], stream)
    for row in zip(*[whole] * len(names), strict=False):
        if not len(positions) % POLLED:
            signals.poll(STOPPED)
        cells = [value for _, value in row]
        if not json and not any(cells):
            notes["blank_rows"] += 1
            continue
        if json and any(map(typed.is_deep, cells)):
            if reading.on_bad != "skip":
                raise InputError(
                    f"{reading.raw.name}, {source.place} {row[0][0]:,}: a value is nested too deeply",
                    f"at most {typed.DEEPEST} lists and objects stand in one another: write it flat",
                )
            reading.ledger.drop("nested", 0)
            continue
        if reading.on_bad == "skip" and any(map(typed.holds_mark, cells)):
            reading.ledger.drop("undecodable", 0)
            continue
        positions.append(row[0][0])
        for column, value in zip(values, cells, strict=True):
            clean, found = typed.without_surrogates(value)
            notes["lone_surrogates"] += found
            column.append(clean)
    return Columns(dict(zip(names, values, strict=True)), positions, source.place, json)


def together(parts: Sequence[tuple[str, Columns]]) -> Columns:
    """The rows of several files (name, columns) one after the other; positions then count the rows of all.

    Raises InputError where a file has other columns than the first.
    """
    columns = parts[0][1]
    if len(parts) == 1:
        return columns
    require_same([(name, list(part.values)) for name, part in parts])
    values = {name: [value for _, part in parts for value in part.values[name]] for name in columns.values}
    count = sum(len(part.positions) for _, part in parts)
    dropped: Counter[str] = Counter()
    for _, part in parts:
        dropped.update(part.dropped)
    found = merged([part.found for _, part in parts])
    return Columns(values, list(range(1, count + 1)), "row", columns.json, found, dict(dropped))


def require_same(parts: Sequence[tuple[str, list[str]]]) -> None:
    """Raise InputError where a file (its name, the names of its columns) has others than the first."""
    first, columns = parts[0]
    for name, other in parts[1:]:
        if set(other) != set(columns):
            lacks = [f"{name} lacks {column!r}" for column in columns if column not in other]
            more = [f"{first} lacks {column!r}" for column in other if column not in columns]
            raise InputError(
                f"{first} and {name} do not have the same columns: {', '.join([*lacks, *more][:4])}",
                "name one file, or call those of one split train, those of another valid or test",
            )


def merged(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was found in several files: counts are added up, of all else each value stands once."""
    keys = dict.fromkeys(key for one in found for key in one)
    result: dict[str, Any] = {"files": len(found)}
    for key in keys:
        values = [one[key] for one in found if key in one]
        if key == "notes":
            total: Counter[str] = Counter()
            for notes in values:
                total.update(notes)
            result[key] = dict(total)
        else:
            different = list(dict.fromkeys(values))
            result[key] = different[0] if len(different) == 1 else different
    return result


def arrow_table(columns: Columns, name: str, wanted: Sequence[str] | None) -> pa.Table:
    """The columns with their types; notes those of mixed types, which become text, in `found`.

    wanted: those that are kept, none: all. A wanted one of mixed types raises InputError.
    """
    import pyarrow as pa

    arrays: dict[str, pa.Array] = {}
    mixed: dict[str, str] = {}
    if (odd := next((column for column in columns.values if "\0" in column), None)) is not None:
        raise InputError(f"{name}: the name of the column {odd[:80]!r} holds a NUL", "give it another name")
    for column in columns.values if wanted is None else wanted:
        values = columns.values[column]
        if not columns.json:
            arrays[column] = typed.of_text(values)
            continue
        arrays[column], fault = typed.of_json(values, columns.positions)
        if fault and wanted is not None:
            raise InputError(
                f"{name}: column {column!r} is of mixed types: {fault.told(columns.place)}",
                "write all its values in one way",
            )
        if fault:
            mixed[column] = fault.told(columns.place)
    if mixed:
        columns.found["mixed"] = mixed
    return pa.table(arrays)
