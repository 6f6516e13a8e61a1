"""Arrow IPC files and streams (.arrow, as `datasets` writes them), one record batch at a time.

A file is a stream with an index after it, so both are read as streams, in their order. Before pyarrow touches
it, its messages are walked through: each must lie within the file and hold no more than memory may (the
size before packing counts), and the stream must have its end mark, or a cut file would only seem shorter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from tane import signals
from tane.errors import InputError
from tane.text import arrays, cells
from tane.text.sources import Reading, Record, Unit

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"ARROW1"
CONTINUED = 0xFFFFFFFF  # stands before the length of each message since 2019
LARGEST_HEADER = 16 << 20  # bytes that describe one message
LARGEST = 256 << 20  # bytes of one record batch, or of all dictionaries (categories), unpacked
DICTIONARY, BATCH = 2, 3  # kinds of messages
AGAIN = "fetch it again, or write it again"
SMALLER = "write it in smaller batches: pyarrow's write_table(table, max_chunksize=1000), or as Parquet"


class Arrow:
    """Arrow IPC files and streams; the default document is a row."""

    suffixes: tuple[str, ...] = (".arrow",)
    unit: Unit = "record"

    def records(self, reading: Reading) -> Iterator[Record]:
        """Records of the chosen columns; positions are rows from 1."""
        yield from cells.records(_cells(reading), reading)


def _cells(reading: Reading) -> Iterator[tuple[int, str | None]]:
    from pyarrow import ipc

    name = reading.raw.name
    with reading.raw.seekable() as file, arrays.damage(name):
        start = require_sound(file, name)
        file.seek(start)
        schema = ipc.open_stream(file).schema
        places = arrays.chosen(schema, reading)
        file.seek(start)
        wanted = sorted(set(places))
        options = ipc.IpcReadOptions(use_threads=False, included_fields=wanted)
        with ipc.open_stream(file, options=options) as stream:
            names = [schema.names[place] for place in places]
            yield from arrays.rows(_batches(stream), names, reading, trusted=False)


def _batches(stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    for batch in stream:
        signals.poll("the text was being read; nothing of the corpus is written yet")
        yield batch


# ------------------------------------------------------------------------------------------ the messages


def require_sound(file: BinaryIO, name: str) -> int:
    """Where the stream begins in the file; raises InputError for one that is cut or would fill the memory."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(8)
    start = 8 if head.startswith(MAGIC) else 0
    if not start and not _begins_message(head, size):
        kind, remedy = arrays.what(head)
        raise InputError(f"{name} is {kind}; expected an Arrow file or stream", remedy)
    if start:
        file.seek(-len(MAGIC), 2)
        if file.read() != MAGIC:
            raise _cut(name, size)
    place = start
    dictionaries: dict[int, int] = {}  # id -> bytes that its values take
    while True:
        file.seek(place)
        length, before = _length(file.read(8))
        if length == 0:
            return start
        body = place + before + length
        if length < 0 or body > size:
            raise _cut(name, place)
        if length > LARGEST_HEADER:
            raise InputError(f"{name}: the message at byte {place:,} has a header of {length:,} bytes", AGAIN)
        file.seek(place + before)
        message = _Message(file.read(length))
        if not 0 <= message.body_length <= size - body:
            raise _cut(name, place)
        held = _unpacked(file, message, body)
        if message.kind == DICTIONARY:
            added = dictionaries.get(message.dictionary, 0) if message.delta else 0
            dictionaries[message.dictionary] = held + added
            held = sum(dictionaries.values())
        if held > LARGEST:
            what = "dictionaries" if message.kind == DICTIONARY else "a batch"
            raise InputError(
                f"{name}: {what} of {held:,} bytes up to byte {place:,}; at most {LARGEST:,} can be held",
                SMALLER,
            )
        place = body + message.body_length


def _cut(name: str, place: int) -> InputError:
    return InputError(f"{name} is damaged near byte {place:,}: it ends before the end of its data", AGAIN)


def _begins_message(head: bytes, size: int) -> bool:
    length, before = _length(head)
    return before == 8 or 0 < length <= size - before


def _length(lead: bytes) -> tuple[int, int]:
    """(bytes of a message's header, bytes before it); 0 marks the end of the stream."""
    if len(lead) >= 8 and struct.unpack_from("<I", lead)[0] == CONTINUED:
        return struct.unpack_from("<i", lead, 4)[0], 8
    return (struct.unpack_from("<i", lead)[0], 4) if len(lead) >= 4 else (-1, 0)


def _unpacked(file: BinaryIO, message: _Message, body: int) -> int:
    """How many bytes the buffers of a message take in memory."""
    total = 0
    for offset, length in message.buffers:
        if message.packed and length > 8:
            file.seek(body + offset)
            length = max(length, struct.unpack("<q", file.read(8))[0])
        total += length
    return total


class _Message:
    """What the header of a message says of its body: a flatbuffer, of which only these fields are needed.

    kind: schema 1, dictionary 2, record batch 3; body_length: bytes; buffers: (offset in the body, bytes) of
    each; packed: whether they are compressed; dictionary: its id; delta: whether it adds to the one before.
    Raises struct.error or ValueError for nonsense.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        root = self._number("<I", 0)
        self.kind = self._number("<B", self._field(root, 1) or len(data))
        length = self._field(root, 3)
        self.body_length = self._number("<q", length) if length else 0
        self.buffers: list[tuple[int, int]] = []
        self.packed = self.delta = False
        self.dictionary = 0
        if self.kind in (DICTIONARY, BATCH):
            batch = self._table(root, 2)
            if self.kind == DICTIONARY:
                place, delta = self._field(batch, 0), self._field(batch, 2)
                self.dictionary = self._number("<q", place) if place else 0
                self.delta = bool(delta and self._number("<B", delta))
                batch = self._table(batch, 1)
            vector = self._table(batch, 2)
            count = self._number("<I", vector)
            if count * 16 > len(data):
                raise ValueError("a header lists more buffers than it holds")
            self.buffers = [struct.unpack_from("<qq", data, vector + 4 + 16 * at) for at in range(count)]
            self.packed = self._field(batch, 3) is not None

    def _number(self, kind: str, place: int) -> int:
        if place < 0:
            raise ValueError("a header points before its start")
        return struct.unpack_from(kind, self.data, place)[0]

    def _field(self, table: int, number: int) -> int | None:
        """The place of a table's field, or None where it is absent."""
        layout = table - self._number("<i", table)
        offset = 4 + 2 * number
        if offset + 2 > self._number("<H", layout):
            return None
        place = self._number("<H", layout + offset)
        return table + place if place else None

    def _table(self, table: int, number: int) -> int:
        """The place of the table or vector that a field refers to."""
        field = self._field(table, number)
        if field is None:
            raise ValueError("a header lacks a part")
        return field + self._number("<I", field)
