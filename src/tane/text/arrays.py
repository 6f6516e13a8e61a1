"""Arrow's columns to cells: what Parquet and Arrow files share.

Text is taken as bytes and decoded value by value, so that one that is no UTF-8 has a row, and a value that
stands once in the file but in many rows (dictionaries) is never copied more than a few times at once.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tane.errors import InputError
from tane.text import cells
from tane.text.plausible import MARK
from tane.text.raw import MAGIC
from tane.text.sources import Reading

if TYPE_CHECKING:
    import pyarrow as pa

STEP = 32  # rows whose values are held at a time


@contextlib.contextmanager
def damage(name: str) -> Iterator[None]:
    """Turn what pyarrow raises about a file into an InputError."""
    import pyarrow as pa

    try:
        yield
    except (
        pa.ArrowException, struct.error, MemoryError, OSError, ValueError, LookupError, OverflowError
    ) as error:  # fmt: skip
        reason = (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]
        if isinstance(error, pa.ArrowNotImplementedError) or "support" in reason:  # a codec, an encoding
            raise InputError(
                f"{name} needs what the installed pyarrow {pa.__version__} lacks: {reason}",
                "write it again with a usual codec (zstd, snappy or none), or install a newer pyarrow",
            ) from None
        raise InputError(
            f"{name} cannot be read, it is damaged: {reason}", "fetch it again, or write it again"
        ) from None


def what(head: bytes) -> tuple[str, str]:
    """(what a file is by its first bytes, what to do) for one that is not what its name says."""
    for magic, kind, remedy in MAGIC:
        if head.startswith(magic):
            return kind, remedy
    return f"something else (it begins with {head[:8].hex(' ') or 'nothing'})", "rename it to what it is"


def chosen(schema: pa.Schema, reading: Reading) -> list[int]:
    """Places of the columns to read. Raises InputError for one that holds no text, naming its type."""
    texts = [field.name for field in schema if _holds_text(field.type)]
    places = cells.choose(schema.names, reading, likely=texts)
    for place in places:
        field = schema.field(place)
        if not (_holds_text(field.type) or str(field.type) == "null"):
            kind = str(field.type)
            hint = ", ".join(map(repr, texts[:6])) or "none"
            remedy = f"columns with text: {hint}"
            if "binary" in kind:
                remedy = f"turn bytes that are text into strings (cast the column to string); {remedy}"
            raise InputError(
                f"{reading.raw.name}: column {field.name!r} holds {kind[:60]}; expected text (string)", remedy
            )
    return places


def _stored(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def has_categories(kind: pa.DataType) -> bool:
    """Whether a column holds places in a list of values (dictionary encoding; categories in pandas)."""
    from pyarrow import types

    return types.is_dictionary(_stored(kind))


def _holds_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    kind = _stored(kind)
    if types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def rows(
    batches: Iterable[pa.RecordBatch], names: Sequence[str], reading: Reading, *, trusted: bool
) -> Iterator[tuple[int, str | None]]:
    """(row from 1, text) of the named columns of each row.

    trusted: whether the arrays were built here (Parquet) or lie in the file as they are (Arrow) and so must
    be validated before they are touched.
    """
    row = 0
    for batch in batches:
        columns = [_Column(batch.column(batch.schema.names.index(name)), trusted) for name in names]
        for start in range(0, batch.num_rows, STEP):
            for values in zip(*(column.values(start) for column in columns), strict=True):
                row += 1
                for name, value in zip(names, values, strict=True):
                    yield row, None if value is None else _decoded(value, row, name, reading)
        reading.ledger.notes["rows"] += batch.num_rows


class _Column:
    """One column of a batch as bytes."""

    def __init__(self, array: pa.Array, trusted: bool) -> None:
        import pyarrow as pa

        if isinstance(array.type, pa.BaseExtensionType):
            array = array.storage
        self.kept: pa.Array | None = None  # the values of a dictionary
        if pa.types.is_dictionary(array.type):
            array, self.kept = array.indices, _as_bytes(array.dictionary)
        else:
            array = _as_bytes(array)
        if not trusted:
            array.validate(full=True)
            if self.kept is not None:
                self.kept.validate(full=True)
        self.array = array

    def values(self, start: int) -> Iterator[bytes | None]:
        """The values of STEP rows from `start` on."""
        held = self.array.slice(start, STEP).to_pylist()
        if self.kept is None:
            yield from held
            return
        for index in held:
            if index is not None and not 0 <= index < len(self.kept):
                raise IndexError(f"value {index} of {len(self.kept)} in a dictionary")
            yield None if index is None else self.kept[index].as_py()


def _as_bytes(array: pa.Array) -> pa.Array:
    """The same buffers as an array of bytes, so that nothing is decoded yet."""
    import pyarrow as pa

    if pa.types.is_large_string(array.type):
        return array.cast(pa.large_binary())
    if pa.types.is_string_view(array.type):
        return array.cast(pa.binary_view())
    return array.cast(pa.binary()) if pa.types.is_string(array.type) else array


def _decoded(value: bytes, row: int, name: str, reading: Reading) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        if reading.on_bad == "skip":  # `cells` counts it
            return cells.SURROGATE.sub(MARK, value.decode("utf-8", "surrogateescape"))
        found = value[error.start : error.start + 4].hex(" ")
        raise InputError(
            f"{reading.raw.name}, row {row:,}: the text in column {name!r} is no UTF-8: "
            f"{found} at its byte {error.start + 1:,}",
            "mend it, or leave such rows out, counted: --corpus.on_bad skip",
        ) from None
