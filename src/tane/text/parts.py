"""The files of a corpus: JSON lines under zstd, one object a document, the same bytes for the same documents.

A part is closed after 32 MB of text and is one complete zstd frame with a checksum; a reader accepts nothing
less.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any

from tane.errors import IntegrityError
from tane.types import Document

PART_BYTES = 32_000_000  # of JSON lines
LEVEL = 3
_BATCH = 1 << 18  # characters that are encoded and packed at a time


class PartWriter:
    """Writes documents into the parts of a folder, counting what it writes; `close` ends the last.

    counts: [documents, characters] of each part.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: list[list[int]] = []
        self._lines: list[str] = []
        self._size = self._bytes = self._documents = self._characters = 0
        self._file: Any = None
        self._packer: Any = None
        self._thread = ThreadPoolExecutor(1)  # packs while the next documents are read
        self._packing: Future[None] | None = None

    def write(self, name: str, text: str, meta: dict[str, Any] | None) -> None:
        """Add one document."""
        extra = f',"meta":{json.dumps(meta, ensure_ascii=False, sort_keys=True)}' if meta else ""
        line = f'{{"id":{quoted(name)},"text":{quoted(text)}{extra}}}\n'
        self._lines.append(line)
        self._size += len(line)
        self._documents += 1
        self._characters += len(text)
        if self._size >= _BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is left and end the part."""
        self._flush()
        self._end()
        self._thread.shutdown()

    def _flush(self) -> None:
        if not self._lines:
            return
        if self._file is None:
            import zstandard

            self._file = open(self.folder / part_name(len(self.counts)), "wb")  # noqa: SIM115 - closed by _end
            self._packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        data = "".join(self._lines).encode()
        self._wait()
        self._packing = self._thread.submit(self._pack, data)
        self._bytes += len(data)
        self._lines, self._size = [], 0
        if self._bytes >= PART_BYTES:
            self._end()

    def _pack(self, data: bytes) -> None:
        self._file.write(self._packer.compress(data))

    def _wait(self) -> None:
        if self._packing is not None:
            self._packing.result()
        self._packing = None

    def _end(self) -> None:
        if self._file is None:
            return
        self._wait()
        self._file.write(self._packer.flush())
        self._file.close()
        self.counts.append([self._documents, self._characters])
        self._file, self._bytes, self._documents, self._characters = None, 0, 0, 0


def part_name(number: int) -> str:
    """The name of a part's file."""
    return f"part-{number:05d}.jsonl.zst"


def read_part(path: Path) -> Iterator[Document]:
    """The documents of one part in order. Raises IntegrityError where it is cut, changed, or not ours."""
    return (document_of(line, path) for line in lines_of(path))


def document_of(line: bytes, path: Path) -> Document:
    """The document of one line of a part."""
    try:
        value = json.loads(line.decode())  # of bytes it would take other encodings, and half characters
        name, text, meta = value["id"], value["text"], value.get("meta", {})
        if not (isinstance(name, str) and isinstance(text, str) and isinstance(meta, dict)):
            raise TypeError
        if b"\\ud" in line or b"\\uD" in line:  # half a character, which is never written
            text.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged(path, "a line is not the JSON that was written") from None
    return Document(name, text, meta)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of one part, each a document. Raises IntegrityError where the part is cut or changed."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 18):
                if unpacker.eof:
                    raise _damaged(path, "bytes follow its end")
                lines = (rest + unpacker.decompress(chunk)).split(b"\n")
                rest = lines.pop()
                yield from lines
    except zstandard.ZstdError as error:
        raise _damaged(path, str(error)) from None
    except FileNotFoundError:
        raise _damaged(path, "the file is missing") from None
    if not unpacker.eof or unpacker.unused_data or rest:
        raise _damaged(path, "it is cut or was appended to")


def _damaged(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is damaged: {reason}", "build the corpus again: tane prepare RECIPE --rebuild"
    )
