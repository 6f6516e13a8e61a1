"""Conditions on rows, as one types them: label=equivalent, score>=3.5, title!=."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tane.errors import InputError

if TYPE_CHECKING:
    import datasets

OPERATORS = {
    "==": "equal", "!=": "not_equal", "<=": "less_equal", ">=": "greater_equal",
    "=": "equal", "<": "less", ">": "greater",
}  # fmt: skip
CONDITION = re.compile(r"\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
EXAMPLE = "write a column, one of = != < <= > >= and a value, such as --where label=equivalent"


def where(data: datasets.Dataset, conditions: Sequence[str]) -> datasets.Dataset:
    """The rows for which all conditions hold, in their order; with none the data as it is.

    A condition is a column, one of = != < <= > >=, and a number, a text, true or false, or the name of a
    label. Nothing after = means: has no value. Raises InputError for a column or the name of a label that is
    not there (with the nearest one), and for a value that cannot be compared with the column's.
    """
    import numpy as np

    for condition in conditions:
        column, operator, value = _parsed(condition, data.column_names)
        keep = _mask(data, column, operator, value, condition)
        if not keep.all():
            data = data.select(np.flatnonzero(keep))
    return data


def _parsed(condition: str, columns: list[str]) -> tuple[str, str, str]:
    """(column, operator, value); a column's own name may hold the signs."""
    for column in sorted(columns, key=len, reverse=True):
        found = CONDITION.fullmatch(condition[len(column) :]) if condition.startswith(column) else None
        if found:
            return column, found[1], found[2]
    generic = re.match(r"(.*?)(==|!=|<=|>=|=|<|>)", condition, re.DOTALL)
    if not generic:
        raise InputError(f"{condition!r} is no condition", EXAMPLE)
    wanted = generic[1].strip()
    near = difflib.get_close_matches(wanted, columns, 1)
    rest = condition[generic.end(1) :]
    raise InputError(
        f"the condition {condition!r} names a column {wanted!r}; there are: {', '.join(map(repr, columns))}",
        f"did you mean: --where {near[0]}{rest}" if near else EXAMPLE,
    )


def _mask(data: datasets.Dataset, column: str, operator: str, text: str, condition: str) -> Any:
    """(N,) bool: for which rows a condition holds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = data.select_columns([column]).with_format("arrow")[:][column]
    unlike = operator == "!="
    if not text and operator in ("=", "==", "!="):
        strings = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        empty = pc.or_kleene(pc.is_null(values), pc.equal(values, "")) if strings else pc.is_null(values)
        found = pc.invert(empty) if unlike else empty
    else:
        value = _value(data, column, values.type, operator, text, condition)
        found = getattr(pc, OPERATORS[operator])(values, value)
    return pc.fill_null(found, unlike).to_numpy()


def _value(
    data: datasets.Dataset, column: str, kind: Any, operator: str, text: str, condition: str
) -> str | int | float | bool:
    """What the column's values are compared with."""
    import pyarrow as pa
    from datasets import ClassLabel

    feature = data.features[column]
    if isinstance(feature, ClassLabel) and text in feature.names:
        return int(feature.str2int(text))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        number = _number(text)
        if number is None and isinstance(feature, ClassLabel):
            raise _no_label(column, feature.names, operator, text)
        if number is None:
            raise InputError(f"{condition!r}: {column!r} holds numbers, and {text!r} is none", EXAMPLE)
        return number
    if pa.types.is_boolean(kind):
        if text.lower() not in ("true", "false"):
            raise InputError(f"{condition!r}: {column!r} is true or false, not {text!r}", EXAMPLE)
        return text.lower() == "true"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if operator not in ("=", "==", "!="):
            raise InputError(f"{condition!r}: {column!r} holds text, which is compared with = and != alone")
        return text
    raise InputError(f"{condition!r}: {column!r} holds {kind}; conditions are on text, numbers and labels")


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if abs(number) < 2**63 else float(number)
    return None


def _no_label(column: str, names: list[str], operator: str, text: str) -> InputError:
    near = difflib.get_close_matches(text, names, 1)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
    return InputError(
        f"{column!r} has no label {text!r}; its labels: {listed}",
        f"did you mean: --where {column}{operator}{near[0]}" if near else "name one of them, or its number",
    )
