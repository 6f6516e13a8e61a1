"""The bytes of one input file: opened safely, hashed while they are read, unpacked under caps.

Only regular files are read (a pipe or a device could hang or never end). A gzip file is streamed, all
members, and must be complete; nothing is ever unpacked to the disk. What a file is follows from its first
bytes, and a name that says otherwise is an error: a wrong guess here would become training text.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tane import signals
from tane.errors import InputError

CHUNK = 1 << 20  # bytes read, and at most unpacked, at a time
FREE_OUTPUT = 64 << 20  # an unpacked size that is never suspicious
MAX_RATIO = 100  # beyond FREE_OUTPUT: unpacked bytes per packed byte (text reaches about 10, a bomb 1,000)
MAX_OUTPUT = 1 << 40  # bytes that one packed file may hold

GZIP = b"\x1f\x8b"
MAGIC = (  # first bytes of files that are no text -> what they are, and what to do
    (GZIP, "a gzip file", "end its name in .gz (such as .txt.gz)"),
    (b"\x89PNG\r\n", "a PNG picture", "leave it out"),
    (b"\xff\xd8\xff", "a JPEG picture", "leave it out"),
    (b"GIF8", "a GIF picture", "leave it out"),
    (b"%PDF-", "a PDF file", "turn it into text first (pdftotext)"),
    (b"PK\x03\x04", "a zip file (or xlsx, docx, epub)", "unpack it and name the text files in it"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first (zstd -d)"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it first (xz -d)"),
    (b"BZh9", "a bzip2 file", "unpack it first (bunzip2)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", "unpack it first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (.doc, .xls)", "save it as text"),
    (b"SQLite format 3\x00", "an SQLite data base", "export its text first"),
    (b"PAR1", "a Parquet file", "end its name in .parquet"),
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


def unreadable(path: Path, error: OSError) -> InputError:
    """One plain message for what the system says about an input."""
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
    """One input file. `chunks()` gives its unpacked bytes once; then `bytes` and `sha256` are known."""

    def __init__(self, path: Path, on_bytes: Callable[[int], object] = lambda count: None) -> None:
        self.path = path
        self.name = shown(path)
        self.packed = path.suffix.lower() == ".gz"
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._on_bytes = on_bytes

    @property
    def sha256(self) -> str:
        """Hash of the file as it lies on the disk (packed, if it is packed)."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Unpacked bytes in pieces of at most 1 MiB; checks what the first bytes say the file is."""
        pieces = self._stored()
        first = next(pieces, b"")
        if self.packed:
            if not GZIP.startswith(first[:2]):
                raise InputError(
                    f"{self.name} is named .gz but is no gzip file (it begins with {first[:4].hex(' ')})",
                    "rename it to what it is",
                )
            yield from self._unpacked(first, pieces)
            return
        for magic, what, remedy in MAGIC:
            if first.startswith(magic):
                raise InputError(f"{self.name} is {what}, not text", remedy)
        if first:
            yield first
        yield from pieces

    def finish(self) -> None:
        """Read the whole file for its hash alone (for sources that open the path themselves)."""
        for _ in self._stored():
            pass

    def _stored(self) -> Iterator[bytes]:
        require_regular(self.path)
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(handle, "rb", buffering=0) as file:
                while chunk := file.read(CHUNK):
                    signals.poll("the text was being read; nothing of the corpus is written yet")
                    self._hash.update(chunk)
                    self.bytes += len(chunk)
                    self._on_bytes(len(chunk))
                    yield chunk
        except OSError as error:
            raise unreadable(self.path, error) from None

    def _unpacked(self, first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """All members of a gzip file; zero bytes may pad its end (as gzip itself allows), nothing else."""
        unpack, done = zlib.decompressobj(31), 0  # 31: a gzip header and its checksum are required
        data: bytes | None = first
        while data is not None:
            while data:
                if unpack.eof:  # between members
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    if not GZIP.startswith(data[:2]):
                        at = self.bytes - len(data)
                        raise InputError(
                            f"{self.name}: {len(data):,} or more bytes that are no gzip follow byte {at:,}",
                            "the file is damaged or was appended to: fetch it again",
                        )
                    unpack = zlib.decompressobj(31)
                try:
                    out = unpack.decompress(data, CHUNK)
                except zlib.error as error:
                    raise self._damaged(str(error)) from None
                data = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
                done += len(out)
                if done > MAX_OUTPUT or (done > FREE_OUTPUT and done > MAX_RATIO * self.bytes):
                    raise InputError(
                        f"{self.name} unpacks to more than {done:,} bytes from {self.bytes:,}, "
                        f"over {done // max(self.bytes, 1)} times its size: a decompression bomb?",
                        "unpack it yourself if you trust it, and name the text file",
                    )
                signals.poll("the text was being read; nothing of the corpus is written yet")
                if out:
                    yield out
            data = next(pieces, None)
        if not unpack.eof:
            raise self._damaged("it ends before the end of its data")

    def _damaged(self, reason: str) -> InputError:
        reason = reason.removeprefix("Error -3 while decompressing data: ")
        return InputError(
            f"{self.name}: damaged gzip file near byte {self.bytes:,}: {reason}",
            "fetch it again; test it with: gzip -t",
        )
