"""The bytes of one input file: opened safely, hashed while they are read, unpacked under caps.

Only regular files are read (a pipe or a device could hang or never end). What a file is follows from its
first bytes, and a name that says otherwise is an error: a wrong guess here would become training text. Packed
files are unpacked as a stream (packing.py); one whose format needs seeking goes to a nameless temporary file
when it is large, never to a path that its content could choose.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from tane import signals
from tane.errors import InputError, ResourceError, TaneError
from tane.resources import LACKS, writing
from tane.text.packing import PACKINGS, ZSTD, Packing, unpack

CHUNK = 1 << 20  # bytes read at a time
HELD = 32 << 20  # unpacked bytes of a seekable file that stay in memory; more go to a nameless file

MAGIC = (  # first bytes of files that are no text -> what they are, and what to do
    (b"\x1f\x8b", "a gzip file", "end its name in .gz (such as .txt.gz)"),
    (b"\x89PNG\r\n", "a PNG picture", "leave it out"),
    (b"\xff\xd8\xff", "a JPEG picture", "leave it out"),
    (b"GIF8", "a GIF picture", "leave it out"),
    (b"%PDF-", "a PDF file", "turn it into text first (pdftotext)"),
    (b"PK\x03\x04", "a zip file (or xlsx, docx, epub)", "end the name of a workbook in .xlsx; unpack others"),
    *((magic, "a zstd file", "end its name in .zst (such as .txt.zst)") for magic in ZSTD.magic),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it first (xz -d)"),
    (b"BZh9", "a bzip2 file", "unpack it first (bunzip2)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", "unpack it first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.doc, .xls)", "save it as text"),
    (b"SQLite format 3\x00", "an SQLite data base", "export its text first"),
    (b"PAR1", "a Parquet file", "end its name in .parquet"),
    (b"ARROW1\0\0", "an Arrow file", "end its name in .arrow"),
    (b"\x7fELF", "a program", "leave it out"),
    (b"{\\rtf", "an RTF file", "save it as text"),
)
KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe (FIFO)"), (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket"),
)  # fmt: skip
PLAIN_KINDS = "only regular files are read: copy what it gives into a file first"


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and stored, also when its bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def require_regular(path: Path) -> os.stat_result:
    """The status of a file that can be read; raises InputError for all else, without opening it."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from None
    for is_kind, name in KINDS:
        if is_kind(status.st_mode):
            hint = "name a folder or a pattern that matches files" if name == "a folder" else PLAIN_KINDS
            raise InputError(f"{shown(path)} is {name}, not a file", hint)
    return status


def unreadable(path: Path, error: OSError) -> TaneError:
    """One plain message for what the system says about an input: InputError, or ResourceError where this
    process or machine lacks something and the file may be sound."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return ResourceError(f"cannot read {shown(path)}: {LACKS[error.errno]}", "raise its limit (ulimit)")
    if error.errno == errno.ENOENT and path.is_symlink():
        reason = f"it is a symbolic link to {shown(os.readlink(path))}, which does not exist"
    elif error.errno == errno.ENOENT:
        reason = "it does not exist"
    elif error.errno == errno.ELOOP:
        reason = "it is a symbolic link that leads back to itself"
    elif error.errno in (errno.EACCES, errno.EPERM):
        reason = "no right to read it"
    else:
        reason = error.strerror or str(error)
    return InputError(f"cannot read {shown(path)}: {reason}", "mend it, or leave it out of corpus.inputs")


class Raw:
    """One input file, read once: `chunks()` as a stream, or `seekable()`; then `bytes`, `sha256` are known.

    name: how it is called in messages and ids. packing: by its suffix; given it is unpacked on the way.
    """

    def __init__(
        self, path: Path, on_bytes: Callable[[int], object] = lambda count: None, name: str | None = None
    ) -> None:
        self.path = path
        self.name = name or shown(path)
        self.packing: Packing | None = PACKINGS.get(path.suffix.lower())
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._on_bytes = on_bytes

    @property
    def sha256(self) -> str:
        """Hash of the file as it lies on the disk (packed, if it is packed)."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """The unpacked bytes of a text file in pieces; refuses what its first bytes show to be no text."""
        pieces = self._unpacked()
        first = next(pieces, b"")
        for magic, what, remedy in MAGIC:
            if first.startswith(magic):
                raise self._no_text(what, remedy)
        if first.startswith(b"ustar", 257):
            raise self._no_text("a tar archive", "unpack it first (tar -xf), and name its folder")
        if first:
            yield first
        yield from pieces

    def _no_text(self, what: str, remedy: str) -> InputError:
        return InputError(f"{self.name} {'holds' if self.packing else 'is'} {what}, not text", remedy)

    @contextlib.contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """The unpacked file, open for reading and seeking, already hashed (for formats with an index).

        Raises ResourceError where the temporary file of a large packed one finds no room, and InputError
        when a plain file changes after it was hashed.
        """
        if self.packing:
            with tempfile.SpooledTemporaryFile(HELD) as held:
                for piece in self._unpacked():
                    with writing(Path(tempfile.gettempdir())):
                        held.write(piece)
                held.seek(0)
                yield cast(BinaryIO, held)
            return
        with self._open() as file:
            before = os.fstat(file.fileno())
            for _ in self._read(file):
                pass
            file.seek(0)
            handle = os.dup(file.fileno())  # so that a reader which closes its file does not close ours
            with io.BufferedReader(io.FileIO(handle)) as buffered:
                yield buffered
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError(f"{self.name} changed while it was read", "read it again when it is at rest")

    def finish(self) -> None:
        """Read the whole file for its hash alone."""
        for _ in self._stored():
            pass

    def _unpacked(self) -> Iterator[bytes]:
        if not self.packing:
            return self._stored()
        return (self._polled(piece) for piece in unpack(self.name, self.packing, self._stored()))

    def _stored(self) -> Iterator[bytes]:
        with self._open() as file:
            yield from self._read(file)

    @contextlib.contextmanager
    def _open(self) -> Iterator[io.FileIO]:
        require_regular(self.path)
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            file = io.FileIO(handle)
        except OSError as error:
            raise unreadable(self.path, error) from None
        with file:
            yield file

    def _read(self, file: io.FileIO) -> Iterator[bytes]:
        while True:
            try:
                chunk = file.read(CHUNK)
            except OSError as error:
                raise unreadable(self.path, error) from None
            if not chunk:
                return
            self._hash.update(chunk)
            self.bytes += len(chunk)
            self._on_bytes(len(chunk))
            yield self._polled(chunk)

    @staticmethod
    def _polled(piece: bytes) -> bytes:
        signals.poll("the text was being read; nothing of the corpus is written yet")
        return piece
