"""Columns by name and labels by name: what is asked of a table, and what is said where it is not there."""

from __future__ import annotations

import dataclasses
import difflib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tane.errors import InputError
from tane.text.cells import described

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from tane.text.rows import Table

SHOWN = 12  # columns or labels that a message lists


def kind_of(feature: Any) -> str:
    """The type of a column in plain words: text, integer, number, true or false, label, list of text."""
    import datasets
    import pyarrow as pa

    if isinstance(feature, datasets.ClassLabel):
        return "label"
    if isinstance(feature, datasets.Value):
        kind = feature.pa_type
        words = {
            "true or false": pa.types.is_boolean(kind),
            "integer": pa.types.is_integer(kind),
            "number": pa.types.is_floating(kind),
            "text": pa.types.is_string(kind) or pa.types.is_large_string(kind),
        }
        return next((word for word, fits in words.items() if fits), str(feature.dtype))
    if isinstance(feature, dict):
        return "object"
    if (inner := getattr(feature, "feature", None)) is not None:
        return f"list of {kind_of(inner)}"
    return type(feature).__name__.lower()


def listed(features: datasets.Features) -> str:
    """The columns with their types, for a message: sentence1 (text), label (integer)."""
    told = [f"{name or repr(name)} ({kind_of(feature)})" for name, feature in features.items()]
    more = f" and {len(told) - SHOWN:,} more" if len(told) > SHOWN else ""
    return ", ".join(told[:SHOWN]) + more


def require_column(table: Table, column: str, setting: str) -> None:
    """Raise InputError where a table lacks a column: it lists those that are there, and names the nearest.

    setting: what named the column, such as task.text; "" where nothing did.
    """
    names = table.data.column_names
    if column in names:
        return
    near = difflib.get_close_matches(column, names, 1) or [n for n in names if n.lower() == column.lower()]
    flag = f"--{setting} " if setting else ""
    raise InputError(
        f"{table.name} has no column {column!r}; it has: {listed(table.data.features)}",
        f"did you mean: {flag}{shlex.quote(near[0])}" if near else f"name one of them: {flag}COLUMN",
    )


def name_labels(table: Table, column: str, names: Sequence[str]) -> Table:
    """The table with a column of labels by name (a ClassLabel whose values are 0 to K-1 for K names).

    Whole numbers 0 to K-1 (and false, true) become these names in order; texts must be among the names. A
    column that has names already is given the new ones by their order, or, where they are the same names, in
    the new order. Raises InputError for all else, with the place and what was found there.
    """
    import datasets
    import pyarrow as pa

    require_column(table, column, "")
    names = list(names)
    if not names or len(set(names)) < len(names) or not all(names):
        told = ", ".join(names) or "none"
        raise InputError(f"the names of the labels in {column!r}: expected different ones, found {told}")
    feature = table.data.features[column]
    if isinstance(feature, datasets.ClassLabel):
        if list(feature.names) == names:
            return table
        _require_comparable(column, list(feature.names), names)
    values = table.data.select_columns([column]).with_format("arrow")[:][column].combine_chunks()
    known: dict[Any, int] = {number: number for number in range(len(names))}
    if isinstance(feature, datasets.ClassLabel) and set(feature.names) == set(names):
        known = {number: names.index(name) for number, name in enumerate(feature.names)}
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        known = {name: number for number, name in enumerate(names)}
    elif not (pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
        raise InputError(
            f"{table.name}: {column!r} holds {kind_of(feature)}; labels are text or whole numbers from 0",
            "name another column, or take it as a number to be predicted",
        )
    found = values.to_pylist()
    for at, value in enumerate(found):
        if value not in known or value is None:
            raise _unknown(table, column, at, value, names)
    numbers = pa.array([known[value] for value in found], pa.int64())
    return dataclasses.replace(table, data=_with_column(table.data, column, numbers, names))


def _require_comparable(column: str, old: list[str], new: list[str]) -> None:
    """Raise InputError where it is open which label becomes which."""
    if len(old) != len(new) or (set(old) & set(new) and set(old) != set(new)):
        raise InputError(
            f"{column!r} has the labels {_few(old)}; found the names {_few(new)}",
            "leave the names out, or give each label one, in this order",
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _unknown(table: Table, column: str, at: int, value: Any, names: list[str]) -> InputError:
    where = f"{table.name}, {table.place} {table.positions[at]:,}"
    if value is None or value == "":
        return InputError(f"{where}: {column!r} has no value", "give it a label, or leave the row out")
    if isinstance(value, str):
        near = difflib.get_close_matches(value, names, 1)
        return InputError(
            f"{where}: the label {value!r} in {column!r} is none of: {_few(names)}",
            f"did you mean {near[0]!r}? mend the row or the names" if near else "add it to the names",
        )
    most = len(names) - 1
    return InputError(
        f"{where}: the label in {column!r} is {described(value)}; names are given for 0 to {most}: "
        f"{_few(names)}",
        "give a name for each number from 0",
    )


def _with_column(
    data: datasets.Dataset, column: str, numbers: pa.Array, names: list[str]
) -> datasets.Dataset:
    """The data set with a column of label numbers in the place of an old one, the order of columns kept."""
    import datasets

    table = data.with_format("arrow")[:]
    features = data.features.copy()
    features[column] = datasets.ClassLabel(names=names)
    at = table.schema.names.index(column)
    table = table.set_column(at, column, numbers).cast(features.arrow_schema)
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=features))
