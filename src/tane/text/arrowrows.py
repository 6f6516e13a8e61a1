"""Rows that have their types already: Parquet and Arrow files, as the `datasets` library writes them.

The names of labels stand in such a file beside the types, and stay. Packed and Parquet files are held in
memory; Arrow files stay on the disk and are mapped, whatever their size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tane.errors import InputError
from tane.text import arrays
from tane.text.cellrows import require_same
from tane.text.inputs import Input
from tane.text.raw import Raw, shown
from tane.text.sources import arrow, parquet

if TYPE_CHECKING:
    import datasets

PARQUET, ARROW = b"PAR1", b"ARROW1"
LARGEST_STRING = 64 << 20  # bytes of one name or value of a Parquet footer
LARGEST_LIST = 1_000_000  # entries of one list of it


def read(item: Input) -> datasets.Dataset:
    """All rows of one Parquet or Arrow file. Raises InputError for a damaged one."""
    raw = Raw(item.path, name=item.name)
    if item.source == "parquet":
        return _parquet(raw)
    if raw.packing:
        return _held(raw)
    with item.path.open("rb") as file:
        is_stream = not file.read(8).startswith(ARROW)
    return mapped([item.path]) if is_stream else _held(raw)


def _parquet(raw: Raw) -> datasets.Dataset:
    import datasets
    import pyarrow.parquet as pq

    with raw.seekable() as file, _damage(raw.name):
        head = file.read(8)
        if not head.startswith(PARQUET):
            kind, remedy = arrays.what(head)
            raise InputError(f"{raw.name} is {kind}; expected a Parquet file", remedy)
        opened = pq.ParquetFile(
            file, pre_buffer=False, page_checksum_verification=True, thrift_string_size_limit=LARGEST_STRING,
            thrift_container_size_limit=LARGEST_LIST,
        )  # fmt: skip
        parquet.require_bounded(opened, file.seek(0, 2), False, raw.name)
        _require_names(opened.schema_arrow.names, raw.name)
        table = opened.read(use_threads=False)
        table.validate(full=True)  # text that is no UTF-8
        return datasets.Dataset(table)


def _held(raw: Raw) -> datasets.Dataset:
    """An Arrow file or stream in memory."""
    import datasets
    from pyarrow import ipc

    with raw.seekable() as file, _damage(raw.name):
        is_file = file.read(8).startswith(ARROW)
        arrow.require_sound(file, raw.name)
        file.seek(0)
        table = (ipc.open_file(file) if is_file else ipc.open_stream(file)).read_all()
        table.validate(full=True)
        _require_names(table.schema.names, raw.name)
        return datasets.Dataset(table)


def mapped(paths: Sequence[Path], *, trusted: bool = False) -> datasets.Dataset:
    """The rows of Arrow streams in their order, mapped into memory. Raises InputError for a damaged file.

    trusted: whether the library wrote them on this machine, so that not each value need be looked at.
    """
    import datasets

    parts = []
    for path in paths:
        name = shown(path)
        with _damage(name):
            with path.open("rb") as file:
                arrow.require_sound(file, name)
            table = datasets.table.MemoryMappedTable.from_file(str(path))
            if not trusted:
                table.table.validate(full=True)
            _require_names(table.column_names, name)
            parts.append((name, datasets.Dataset(table)))
    return together(parts)


def together(parts: Sequence[tuple[str, datasets.Dataset]]) -> datasets.Dataset:
    """The rows of several files (name, rows) one after the other.

    Raises InputError where one has other columns or types than the first.
    """
    import datasets

    (first, rows), *more = parts
    require_same([(name, part.column_names) for name, part in parts])
    for name, part in more:
        for column, feature in rows.features.items():
            if part.features[column] != feature:
                raise InputError(
                    f"{first} and {name} have different types in column {column!r}: "
                    f"{feature} and {part.features[column]}"[:300],
                    "write them alike, or name one file",
                )
    return datasets.concatenate_datasets([part for _, part in parts]) if more else rows


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """Turn what pyarrow and `datasets` raise about a file into an InputError."""
    with arrays.damage(name):
        try:
            yield
        except (TypeError, AttributeError, RecursionError) as error:  # of types that make no sense
            raise ValueError(f"what it says of its columns: {error}") from None


def _require_names(names: Sequence[str], name: str) -> None:
    twice = next((one for one in names if names.count(one) > 1), None)
    if twice is not None:
        raise InputError(f"{name} has several columns called {twice!r}", "give each a name of its own")
