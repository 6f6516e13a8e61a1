"""Parquet files: the chosen columns alone, a few rows at a time, whatever the size of a row group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tane import signals
from tane.errors import InputError
from tane.text import arrays, cells
from tane.text.packing import FREE_OUTPUT, MAX_RATIO
from tane.text.sources import Reading, Record, Unit

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
WHOLE = 64 << 20  # bytes of a file whose columns are read a row group at a time; larger ones in pieces:
BUFFER = 1 << 16  # bytes of a column (there a damaged page may ask for memory that the file does not fill)
LARGEST_STRING = 64 << 20  # bytes of one name or value of the footer
LARGEST_LIST = 1_000_000  # entries of one list of the footer (row groups, columns)
LARGEST_CATEGORIES = 96 << 20  # bytes of a row group, where a column holds categories
CATEGORY_ROWS = 1024  # rows of a batch where a column holds categories: their list is made for each batch


class Parquet:
    """Parquet files; the default document is a row."""

    suffixes: tuple[str, ...] = (".parquet",)
    unit: Unit = "record"

    def records(self, reading: Reading) -> Iterator[Record]:
        """Records of the chosen columns; positions are rows from 1."""
        yield from cells.records(_cells(reading), reading)


def _cells(reading: Reading) -> Iterator[tuple[int, str | None]]:
    import pyarrow.parquet as pq

    name = reading.raw.name
    with reading.raw.seekable() as file, arrays.damage(name):
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(8)
        if not head.startswith(MAGIC):
            kind, remedy = arrays.what(head)
            raise InputError(f"{name} is {kind}; expected a Parquet file", remedy)
        opened = pq.ParquetFile(
            file, pre_buffer=False, buffer_size=BUFFER if size > WHOLE else 0,
            page_checksum_verification=True, thrift_string_size_limit=LARGEST_STRING,
            thrift_container_size_limit=LARGEST_LIST,
        )  # fmt: skip
        places = arrays.chosen(opened.schema_arrow, reading)
        names = [opened.schema_arrow.names[place] for place in places]
        categories = any(arrays.has_categories(opened.schema_arrow.field(place).type) for place in places)
        require_bounded(opened, size, categories, name)
        before = reading.ledger.notes["rows"]
        yield from arrays.rows(_batches(opened, names, categories), names, reading, trusted=True)
        count = reading.ledger.notes["rows"] - before
        if count != opened.metadata.num_rows:
            raise InputError(
                f"{name} is damaged: it holds {count:,} rows and says {opened.metadata.num_rows:,}",
                "fetch it again, or write it again",
            )


def _batches(opened: pq.ParquetFile, names: list[str], categories: bool) -> Iterator[pa.RecordBatch]:
    columns = list(dict.fromkeys(names))
    rows = CATEGORY_ROWS if categories else arrays.STEP
    for batch in opened.iter_batches(rows, columns=columns, use_threads=False):
        signals.poll("the text was being read; nothing of the corpus is written yet")
        yield batch


def require_bounded(opened: pq.ParquetFile, size: int, categories: bool, name: str) -> None:
    """Raise InputError where a row group says that memory could not hold what has to be held of it.

    The footer says more of each column, but asking pyarrow for that ends the process when it is damaged.
    """
    for number in range(opened.metadata.num_row_groups):
        unpacked = opened.metadata.row_group(number).total_byte_size
        if unpacked > FREE_OUTPUT and unpacked > MAX_RATIO * size:
            raise InputError(
                f"{name}: row group {number + 1:,} unpacks to {unpacked:,} bytes, over {MAX_RATIO} times the "
                "size of the file: a decompression bomb?",
                "if you trust it, write it again as .jsonl",
            )
        if categories and unpacked > LARGEST_CATEGORIES:
            raise InputError(
                f"{name} holds its text as categories, whose list memory must hold; row group {number + 1:,} "
                f"is of {unpacked:,} bytes, over {LARGEST_CATEGORIES:,}",
                "write plain strings: frame[column].astype(str) in pandas; or smaller row groups",
            )
