"""Labelled rows to examples: texts with an answer, everything that is left out counted."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tane.errors import InputError

if TYPE_CHECKING:
    from tane.text.rows import Table

NO_TEXT, NO_LABEL = "without text", "without label"  # why a row is left out
SHOWN = 40  # characters of a label in a message
LEAST = 5  # examples for validation without which its scores would be a lottery


class Example(NamedTuple):
    """One labelled row.

    parts: the model's input rows, each a text with its pair or None; one, or one for each choice. words: of
    token classification its words instead. gold: the answer as a number (a class or choice by its index, a
    score), or one index a word; None where it is not known. position: where it stands in its file.
    """

    parts: tuple[tuple[str, str | None], ...]
    gold: Any
    position: int
    words: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its texts as one string, the same wherever it stands."""
        return json.dumps([self.parts, self.words], ensure_ascii=False)


@dataclass(frozen=True)
class Examples:
    """The examples of one file. names: of the classes by index, () where the answer is a number; left_out:
    rows that are no examples, by reason."""

    name: str
    items: list[Example]
    names: tuple[str, ...] = ()
    left_out: Counter[str] = field(default_factory=Counter)
    place: str = "line"

    def __len__(self) -> int:
        return len(self.items)

    def take(self, indices: Sequence[int]) -> Examples:
        """Some of them."""
        return Examples(self.name, [self.items[i] for i in indices], self.names, self.left_out, self.place)

    def fingerprint(self) -> str:
        """Hash of the examples in their order."""
        found = hashlib.sha256(json.dumps(self.names, ensure_ascii=False).encode())
        for one in self.items:
            found.update(json.dumps([one.key, one.gold], ensure_ascii=False).encode())
        return found.hexdigest()

    def told(self) -> str:
        """How many, and what was left out."""
        rest = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.left_out.items()))
        return f"{self.name}: {len(self):,} examples" + (f"; left out: {rest}" if rest else "")


class Encoded(NamedTuple):
    """An example as the model takes it. ids: (T,) of each input row; types: its token types, or None; label:
    the answer, for token classification (T,) with IGNORE where there is none; cut: whether text was lost."""

    ids: list[np.ndarray]
    types: list[np.ndarray] | None
    label: Any
    cut: bool

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(len(row) for row in self.ids)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(row) for row in self.ids)


def text_of(value: Any) -> str:
    """A cell as text; "" for none. A number in a column of text is text as it was written."""
    return "" if value is None else str(value).strip()


def split_by_hash(examples: Examples, fraction: float) -> tuple[Examples, Examples]:
    """(training, validation) examples by a hash of their texts: what was added later moves no old example,
    and equal texts stay together. Raises InputError where one side would have hardly any."""
    chosen: list[list[int]] = [[], []]
    for number, one in enumerate(examples.items):
        digest = hashlib.sha256(b"valid" + one.key.encode()).digest()
        chosen[int.from_bytes(digest[:8], "big") < fraction * 2**64].append(number)
    if min(map(len, chosen)) < LEAST:
        raise InputError(
            f"{examples.name} has {len(examples):,} examples, of which {len(chosen[1]):,} fall to validation "
            f"by task.data.valid_fraction {fraction:g}; at least {LEAST} are needed",
            "give more examples, or a file for validation: --task.data.valid FILE",
        )
    return examples.take(chosen[0]), examples.take(chosen[1])


# -------------------------------------------------------------------------------------------------- classes


def class_names(table: Table, column: str, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes in a column by index.

    wanted: `task.label_names`. Without it: those of the column where it has some (a ClassLabel), else its
    values in their order. Raises InputError for labels of mixed types, or too few of them.
    """
    if wanted is not None:
        return tuple(wanted)
    kind = table.data.features[column]
    if getattr(kind, "names", None):
        return tuple(kind.names)
    dtype = getattr(kind, "dtype", "")
    if not (dtype.startswith("int") or dtype in ("string", "large_string", "bool")):
        what = "numbers with fractions" if dtype.startswith("float") else f"of the type {dtype or 'list'}"
        raise InputError(
            f"{table.name}: the labels in {column!r} are {what}; expected names or whole numbers",
            "for scores: --task.kind regression; for labels of words: --task.kind token-classification",
        )
    values = {value for value in table.data[column] if not is_missing(value)}
    if dtype.startswith("int") and values and min(values) < 0:
        raise InputError(
            f"{table.name}: the label {min(values)} in {column!r} is below 0, which stands for an unknown "
            "answer in some data sets",
            "choose a split that has its labels",
        )
    return tuple(dict.fromkeys(_written(value) for value in sorted(values)))  # with and without spaces: one


def is_missing(value: Any) -> bool:
    """Whether a cell holds no answer."""
    return value is None or (isinstance(value, str) and not value.strip())


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def class_index(
    table: Table, column: str, value: Any, names: Sequence[str], index: dict[str, int], position: int
) -> int:
    """The index of a label among the names: by its name, or a number by its place.

    Raises InputError for a label that is not among them, with its line.
    """
    kind = table.data.features[column]
    if getattr(kind, "names", None):  # its numbers stand for its own names
        value = kind.names[value] if isinstance(value, int) and 0 <= value < len(kind.names) else value
    written = _written(value)
    if written in index:
        return index[written]
    numbered = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names)
    if numbered and not any(name.isdigit() for name in names):
        return value
    listed = ", ".join(repr(name) for name in list(names)[:12])
    raise InputError(
        f"{table.name}, {table.place} {position:,}: the label {written[:SHOWN]!r} in {column!r} is not one "
        f"of the {len(names):,} known: {listed}",
        "mend it, or name all labels: --task.label_names A B ...",
    )
