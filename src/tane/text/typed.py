"""Values of one column to a column of one type: whole numbers, numbers or text; JSON keeps the types it has.

What a csv, a tsv or a workbook shows is text, and a column of it is one of numbers only where every cell can
be written back as it stood: 007 stays text. Nothing is a number in one row and text in another.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tane.text.cells import SURROGATE
from tane.text.plausible import MARK

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")  # as Python writes an integer of 64 bits (and a little more)
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")
LARGEST = 2**63
DEEPEST = 32  # levels of lists and objects inside one another
EXACT = 2**53  # up to here a float holds every whole number
KINDS = {
    str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"
}  # fmt: skip
HUGE = "a number out of range"


class Mixed(NamedTuple):
    """Kinds of values that one column holds, each with the position where it stands first."""

    kinds: dict[str, int]

    def told(self, place: str) -> str:
        """For a message: `a number (line 2), text (line 5)`."""
        return ", ".join(f"{kind} ({place} {position:,})" for kind, position in self.kinds.items())


def of_text(values: Sequence[str | None]) -> pa.Array:
    """A column of what a table shows (N,): int64, float64 or string.

    A cell without text is null among numbers, and "" among texts.
    """
    import pyarrow as pa

    filled = [value for value in values if value]
    if filled and all(WHOLE.fullmatch(value) for value in filled):
        whole = [int(value) if value else None for value in values]
        if all(-LARGEST <= number < LARGEST for number in whole if number is not None):
            return pa.array(whole, pa.int64())
    if filled and all(_is_number(value) for value in filled):
        return pa.array([float(value) if value else None for value in values], pa.float64())
    return pa.array([value or "" for value in values], pa.string())


def _is_number(text: str) -> bool:
    """Whether a text is a number that a float can hold."""
    if not NUMBER.fullmatch(text):
        return False
    digits = text.lstrip("-")
    if digits.isdecimal():
        return len(digits) <= len(str(EXACT)) and int(digits) <= EXACT
    return math.isfinite(float(text))


def of_json(values: Sequence[Any], positions: Sequence[int]) -> tuple[pa.Array, Mixed | None]:
    """A column of JSON values (N,) in their own type, null where there is none; whole numbers beside others
    are floats.

    What is of mixed types comes as text, what is no text as JSON, and is described.
    """
    import pyarrow as pa

    kinds: dict[str, int] = {}
    for value, position in zip(values, positions, strict=True):
        if value is not None:
            kinds.setdefault(_kind(value), position)
    if len(kinds) < 2 and HUGE not in kinds:
        types = {type(value) for value in values if value is not None}
        wanted = pa.float64() if types == {int, float} else None if types else pa.string()
        try:
            return pa.array(values, wanted), None
        except (
            pa.ArrowException,
            OverflowError,
        ):  # lists of mixed types, numbers that no float or integer holds
            first = next(p for value, p in zip(values, positions, strict=True) if value is not None)
            kinds = {f"{next(iter(kinds))} with values of several types": first}
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    return pa.array(texts, pa.string()), Mixed(kinds)


def _kind(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return HUGE
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        return HUGE
    return KINDS[type(value)]


def is_deep(value: Any) -> bool:
    """Whether lists and objects stand in one another over more than DEEPEST levels."""
    level = [value]
    for _ in range(DEEPEST):
        nested = [one for one in level if isinstance(one, (list, dict))]
        if not nested:
            return False
        level = [inner for one in nested for inner in (one.values() if isinstance(one, dict) else one)]
    return any(isinstance(one, (list, dict)) for one in level)


def holds_mark(value: Any) -> bool:
    """Whether bytes that could not be decoded stand in a value."""
    return _anywhere(value, lambda text: MARK in text)


def without_surrogates(value: Any) -> tuple[Any, int]:
    """(the value with U+FFFD for what is no character, how many there were)."""
    if isinstance(value, str):
        return SURROGATE.subn("\ufffd", value) if not value.isascii() else (value, 0)
    if not isinstance(value, (list, dict)) or not _anywhere(value, SURROGATE.search):
        return value, 0
    count = 0

    def cleaned(inner: Any) -> Any:
        nonlocal count
        if isinstance(inner, str):
            inner, found = SURROGATE.subn("\ufffd", inner)
            count += found
        elif isinstance(inner, list):
            inner = [cleaned(one) for one in inner]
        elif isinstance(inner, dict):
            inner = {cleaned(key): cleaned(one) for key, one in inner.items()}
        return inner

    return cleaned(value), count


def _anywhere(value: Any, found: Any) -> bool:
    if isinstance(value, str):
        return bool(found(value))
    if isinstance(value, list):
        return any(_anywhere(one, found) for one in value)
    if isinstance(value, dict):
        return any(_anywhere(one, found) for pair in value.items() for one in pair)
    return False
