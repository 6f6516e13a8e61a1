"""The bytes of one input: hashed as they lie on the disk, unpacked on the way, refused where no text."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tane import signals
from tane.errors import InputError, Interrupted, ResourceError
from tane.text import raw as raws
from tane.text.raw import Raw, require_regular, shown

DATA = bytes(range(256)) * 400 + "終わり".encode()
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress,
}  # fmt: skip
PACKED = {suffix: pack(DATA) for suffix, pack in PACK.items()}
EACH = pytest.mark.parametrize("suffix", sorted(PACKED))


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"f.bin{suffix}"
    path.write_bytes(PACKED[suffix])
    return path


@EACH
def test_the_hash_is_of_the_file_as_it_lies_on_the_disk(tmp_path: Path, suffix: str) -> None:
    path, counted = written(tmp_path, suffix), [0]
    expected = hashlib.sha256(PACKED[suffix]).hexdigest(), len(PACKED[suffix])

    def count(size: int) -> None:
        counted[0] += size

    streamed, sought, finished = (Raw(path, count) for _ in range(3))
    assert b"".join(streamed.chunks()) == DATA
    with sought.seekable() as file:
        assert (sought.sha256, sought.bytes) == expected  # before the first byte is asked for
        assert file.read() == DATA
    finished.finish()
    for raw in (streamed, sought, finished):
        assert (raw.sha256, raw.bytes) == expected
    assert counted[0] == 3 * expected[1]


@EACH
@pytest.mark.parametrize("held", [10, 1 << 20])
def test_seekable_files_seek(tmp_path: Path, suffix: str, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raws, "HELD", held)  # 10: everything packed goes to a file without a name
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = written(tmp_path, suffix)
    with Raw(path).seekable() as file:
        assert file.seekable() and file.readable()
        file.seek(-9, io.SEEK_END)
        assert file.read() == "終わり".encode() and file.tell() == len(DATA)
        file.seek(100)
        assert file.read(3) == DATA[100:103]
        assert os.listdir(tmp_path) == [path.name]
    assert file.closed


@EACH
def test_a_reader_may_close_its_file(tmp_path: Path, suffix: str) -> None:
    raw = Raw(written(tmp_path, suffix))
    with raw.seekable() as file:
        file.close()
    assert raw.bytes == raw.path.stat().st_size


@EACH
def test_arrow_and_calamine_take_it(tmp_path: Path, suffix: str) -> None:
    import openpyxl
    import pyarrow
    import pyarrow.parquet as parquet
    from python_calamine import CalamineWorkbook

    table, book = io.BytesIO(), io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["一", "二"]}), table)
    workbook = openpyxl.Workbook()
    workbook.active.append(["文"])
    workbook.save(book)
    pack = PACK[suffix]
    path = tmp_path / f"f{suffix}"
    path.write_bytes(pack(table.getvalue()))
    with Raw(path).seekable() as file:
        assert parquet.read_table(file)["text"].to_pylist() == ["一", "二"]
    path.write_bytes(pack(book.getvalue()))
    with Raw(path).seekable() as file:
        assert CalamineWorkbook.from_filelike(file).get_sheet_by_index(0).to_python() == [["文"]]


def test_no_room_for_the_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(tempfile.SpooledTemporaryFile[bytes]):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(raws.tempfile, "SpooledTemporaryFile", Full)
    raw = Raw(written(tmp_path, ".gz"))
    with pytest.raises(ResourceError, match="the disk is full"), raw.seekable():
        pass


def test_a_file_that_changes_after_it_was_hashed(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    with pytest.raises(InputError, match="changed while it was read"), Raw(path).seekable() as file:
        path.write_bytes(DATA + b"more")
        file.read()


@EACH
@pytest.mark.parametrize(("head", "what"), [(magic, what) for magic, what, _ in raws.MAGIC])
def test_what_is_no_text_is_refused_also_when_packed(
    tmp_path: Path, suffix: str, head: bytes, what: str
) -> None:
    pack = PACK[suffix]
    path = tmp_path / f"f.txt{suffix}"
    path.write_bytes(pack(head + b"rest of the file"))
    with pytest.raises(InputError) as error:
        next(Raw(path).chunks())
    assert f"{path} {'holds' if suffix else 'is'} {what}, not text" in error.value.message
    assert error.value.remedy


def test_magic_is_seen_over_many_small_members(tmp_path: Path) -> None:
    path = tmp_path / "f.txt.gz"
    path.write_bytes(b"".join(gzip.compress(bytes([byte])) for byte in b"\x89PNG\r\n\x1a\n"))
    with pytest.raises(InputError, match="holds a PNG picture"):
        next(Raw(path).chunks())


def test_an_archive_of_texts_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("本文です。\n" * 100)
    with tarfile.open(tmp_path / "all.txt", "w") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    (tmp_path / "all.txt.gz").write_bytes(gzip.compress((tmp_path / "all.txt").read_bytes()))
    for name in ("all.txt", "all.txt.gz"):
        with pytest.raises(InputError, match="a tar archive, not text"):
            next(Raw(tmp_path / name).chunks())


def test_an_empty_file_has_no_chunks(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.touch()
    assert list(Raw(path).chunks()) == []
    with Raw(path).seekable() as file:
        assert file.read() == b""


@EACH
def test_a_signal_is_answered(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, suffix)
    monkeypatch.setattr(signals, "_received", ["SIGINT"])
    with pytest.raises(Interrupted):
        list(Raw(path).chunks())
    with pytest.raises(Interrupted), Raw(path).seekable():
        pass


def test_a_failing_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    path = written(tmp_path, "")
    monkeypatch.setattr(raws.io, "FileIO", Failing)
    with pytest.raises(InputError, match="Input/output error"):
        list(Raw(path).chunks())


def test_names_that_are_no_utf8_can_be_shown(tmp_path: Path) -> None:
    assert shown(os.fsdecode(b"\x8f\xac\x90\xe0.txt")) == "\\x8f\\xac\\x90\\xe0.txt"
    assert shown("小説.txt") == "小説.txt"
    assert Raw(tmp_path / "a.txt", name="https://example.com/a.txt").name == "https://example.com/a.txt"
    with pytest.raises(InputError, match="does not exist"):
        require_regular(tmp_path / "a.txt")
