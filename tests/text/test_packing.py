"""gzip and zstd files: all of them, whole, or an error; under caps of output and memory."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.text import packing
from tane.text.packing import GZIP, SKIPPABLE, ZSTD, Packing, unpack
from tane.text.raw import Raw
from tests.fuzz.mutations import survives

TEXT = "一つ目の段落です。\n\n二つ目です。\n".encode()
BOTH = pytest.mark.parametrize("kind", [GZIP, ZSTD], ids=["gzip", "zstd"])
SKIPPED = SKIPPABLE[3] + (5).to_bytes(4, "little") + b"hello"


def pack(kind: Packing, data: bytes) -> bytes:
    if kind is GZIP:
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def unpacked(kind: Packing, data: bytes, step: int = 1 << 20) -> bytes:
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    return b"".join(unpack("f", kind, pieces))


def refused(kind: Packing, data: bytes, step: int = 1 << 20) -> str:
    with pytest.raises(InputError) as error:
        unpacked(kind, data, step)
    return str(error.value)


@BOTH
@pytest.mark.parametrize("step", [1, 7, 511, 1 << 20])
def test_any_pieces_give_the_same(kind: Packing, step: int) -> None:
    data = random.Random(1).randbytes(5_000) + TEXT * 2_000
    assert unpacked(kind, pack(kind, data), step) == data


@BOTH
def test_g1_every_cut_is_seen(kind: Packing) -> None:
    data = pack(kind, TEXT)
    for size in range(len(data)):
        assert "ends before the end of its data" in refused(kind, data[:size])


@BOTH
def test_g1_a_cut_second_member_is_seen(kind: Packing) -> None:
    data = pack(kind, TEXT)
    for size in range(1, len(data)):
        assert "ends before the end" in refused(kind, data + data[:size])


@BOTH
@given(
    st.lists(st.sampled_from([b"", b"a", TEXT, b"\0" * 70_000]), min_size=1, max_size=5), st.integers(1, 40)
)
@settings(max_examples=60, deadline=None)
def test_g2_all_members_are_read(kind: Packing, contents: list[bytes], step: int) -> None:
    assert unpacked(kind, b"".join(pack(kind, c) for c in contents), step) == b"".join(contents)


def test_g2_zero_bytes_pad_a_gzip_file_and_part_its_members() -> None:
    data = pack(GZIP, TEXT)
    for step in (1, 600, 1 << 20):
        assert unpacked(GZIP, data + bytes(2_000), step) == TEXT
        assert unpacked(GZIP, data + bytes(2_000) + data, step) == TEXT * 2
    assert "no gzip follow byte 2,0" in refused(GZIP, data + bytes(2_000) + b"\1")
    assert "no zstd file" in refused(ZSTD, bytes(8) + pack(ZSTD, TEXT))
    assert "no zstd follow" in refused(ZSTD, pack(ZSTD, TEXT) + bytes(8))


def test_g2_skippable_frames_of_zstd_are_skipped() -> None:
    frame = pack(ZSTD, TEXT)
    for step in (1, 1 << 20):
        assert unpacked(ZSTD, SKIPPED + frame + SKIPPED + frame + SKIPPED, step) == TEXT * 2
    assert unpacked(ZSTD, SKIPPED) == b""
    assert "ends before the end" in refused(ZSTD, frame + SKIPPED[:-1])


@BOTH
@pytest.mark.parametrize(
    "garbage", [b"x", b"hello world", b"\x1f\x8c", b"\x28\xb5\x2f\xfe", b"\x1f", b"\x28\xb5"]
)
def test_g3_what_follows_is_an_error(kind: Packing, garbage: bytes) -> None:
    message = refused(kind, pack(kind, TEXT) + garbage)
    assert f"no {kind.name} follow byte" in message or "ends before the end" in message


def bomb(kind: Packing, megabytes: int) -> Iterator[bytes]:
    packer = (
        zlib.compressobj(9, wbits=31) if kind is GZIP else zstandard.ZstdCompressor(level=3).compressobj()
    )
    for _ in range(megabytes):
        yield packer.compress(bytes(1 << 20))
    yield packer.flush()


@BOTH
def test_g4_a_bomb_stops_at_the_cap_with_little_memory(kind: Packing, tmp_path: Path) -> None:
    path = tmp_path / f"bomb.txt{kind.suffix}"
    path.write_bytes(b"".join(bomb(kind, 1_000)))
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom tane.errors import InputError\n"
        "from tane.text.raw import Raw\nimport zstandard\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\ncount = 0\n"
        "try:\n    for piece in Raw(Path(sys.argv[1])).chunks():\n        count += len(piece)\n"
        "except InputError as error:\n    assert 'bomb' in str(error), error\n"
        "    print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    count, kilobytes = map(int, done.stdout.split())
    assert count <= 150 << 20 and kilobytes < 80_000


@BOTH
def test_g4_dense_text_is_no_bomb(kind: Packing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "FREE_OUTPUT", 1_000)
    text = "".join(f"{n}番目の文です。" for n in range(20_000)).encode()
    assert unpacked(kind, pack(kind, text)) == text
    assert "bomb" in refused(kind, pack(kind, bytes(200_000)))
    monkeypatch.setattr(packing, "MAX_OUTPUT", 10_000)
    assert "unpacks to more than" in refused(kind, pack(kind, text))


@BOTH
def test_g5_a_wrong_checksum(kind: Packing) -> None:
    data = pack(kind, TEXT)
    last = 8 if kind is GZIP else 4  # gzip: checksum and length
    for place in range(len(data) - last, len(data)):
        broken = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert f"damaged {kind.name} file near byte {len(data):,}" in refused(kind, broken)


def test_g6_names_that_lie(tmp_path: Path) -> None:
    for kind, other in ((GZIP, ZSTD), (ZSTD, GZIP)):
        for data in (TEXT, pack(other, TEXT), b"\x1f", b"PK\x03\x04"):
            path = tmp_path / f"f.txt{kind.suffix}"
            path.write_bytes(data)
            with pytest.raises(InputError, match=r"is no|ends before"):
                list(Raw(path).chunks())
    assert "begins with 75 6d 61 69" in refused(GZIP, b"umai")
    assert "ends before" in refused(ZSTD, b"")


def test_g7_a_window_of_two_gigabytes_is_refused_with_a_remedy() -> None:
    header = b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3])  # no content size; window: 2 ** (10 + 21)
    message = refused(ZSTD, header + bytes([5 << 3 | 1, 0, 0]) + b"hello")
    assert "too much memory" in message and "zstd -d --long=31 FILE" in message
    usual = bytes([0, 17 << 3])  # 128 MiB, what --long=27 writes
    assert unpacked(ZSTD, header[:4] + usual + bytes([5 << 3 | 1, 0, 0]) + b"hello") == b"hello"


def test_a_zstd_file_that_needs_a_dictionary() -> None:
    samples: list[bytes | bytearray | memoryview] = [
        f"{n}番目の文です。雨が降りました。".encode() for n in range(2_000)
    ]
    words = zstandard.train_dictionary(2_000, samples)
    message = refused(ZSTD, zstandard.ZstdCompressor(dict_data=words).compress(TEXT))
    assert "Dictionary mismatch" in message and "zstd -d -D" in message


@BOTH
def test_many_tiny_members_are_not_copied_again_and_again(kind: Packing) -> None:
    data = pack(kind, b"") * 30_000  # copying the rest at each of them would take minutes
    assert unpacked(kind, data) == b""


@BOTH
def test_mutations_give_the_text_or_an_error(kind: Packing, tmp_path: Path) -> None:
    text = "".join(f"{n}番目の文です。\n" for n in range(40)).encode()
    path = tmp_path / f"f.txt{kind.suffix}"
    members = 0

    def read(path: Path) -> None:
        nonlocal members
        out = b"".join(Raw(path).chunks())
        assert not out.replace(text, b""), "a damaged file gave another text"
        members += len(out) > len(text)

    good = pack(kind, text)
    kept = sum(survives(read, path, good, number) for number in range(400))
    assert 0 < kept < 80 and members < 10  # bits of the header that no reader needs; a whole member twice
