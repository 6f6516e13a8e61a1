"""Plain text files: line ends, units, packed files, and everything that is no text file."""

from __future__ import annotations

import gzip
import os
import random
import re
import socket
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.text import raw as raws
from tane.text.raw import Raw
from tane.text.sources import Reading, Record, by_suffix, source_for, source_name
from tane.text.sources.plain import Plain


def read(path: Path, unit: str = "paragraph", **options: object) -> tuple[list[Record], Reading]:
    reading = Reading(Raw(path), unit=unit, **options)  # type: ignore[arg-type]
    records = list(Plain().records(reading))
    ledger = reading.ledger
    yielded = sum(len(r.text) for r in records)
    gone = sum(ledger.dropped_characters.values()) + sum(ledger.change.values()) + ledger.separators
    assert ledger.read == yielded + gone, (ledger.json(), records)
    return records, reading


def texts(path: Path, data: bytes | str, unit: str = "paragraph", **options: object) -> list[str]:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [r.text for r in read(path, unit, **options)[0]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.txt"


# ---------------------------------------------------------------------- lines, units


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_t13_line_ends(file: Path, end: str, last: bool) -> None:
    data = end.join(["一行目", "二行目", "", "次の段落"]) + (end if last else "")
    assert texts(file, data) == ["一行目\n二行目", "次の段落"]
    assert texts(file, data, "line") == ["一行目", "二行目", "次の段落"]
    assert texts(file, data, "file") == ["一行目\n二行目\n\n次の段落"]
    assert texts(file, "a\nb\r\nc\rd\n\r\ne", "line") == ["a", "b", "c", "d", "e"]
    assert texts(file, "a\r\rb") == ["a", "b"]


def test_crlf_over_a_chunk_border(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raws, "CHUNK", 7)
    data = "あいう\r\nえお\r\n\r\nかき\r\rく\r\n" * 5
    expected = ["あいう\nえお", "かき", "く\nあいう\nえお"]
    assert texts(file, data)[:3] == expected
    assert texts(file, "\ufeffa\r\n\ufeffb\r\n") == ["a\nb"]


def test_t14_other_separators_are_text(file: Path) -> None:
    text = "前\u2028中\u2029後\x85次\f改\v縦\x1c群"
    assert texts(file, text, "line") == [text]
    assert texts(file, text) == [text]


def test_t5_byte_order_marks(file: Path) -> None:
    for codec in ("utf-8-sig", "utf-16", "utf-32"):
        file.write_bytes("日本語\n二行目\n".encode(codec))
        records, reading = read(file)
        assert [r.text for r in records] == ["日本語\n二行目"] and reading.ledger.change["bom"] == 1
    file.write_bytes("\ufeff一つ目\n".encode() + "\ufeff二つ目\ufeffの中\n\n\ufeff\n".encode())
    records, reading = read(file, "line")
    assert [r.text for r in records] == ["一つ目", "二つ目\ufeffの中"] and reading.ledger.change["bom"] == 3


def test_t11_nul_characters_are_kept_and_noted(file: Path) -> None:
    file.write_bytes("ある\0日の\0事\n".encode())
    records, reading = read(file)
    assert records[0].text == "ある\0日の\0事" and reading.ledger.notes["nul_characters"] == 2


def test_t17_special_tokens_are_plain_text(file: Path) -> None:
    text = "<|endoftext|> と <s> と [MASK] と </s>"
    assert texts(file, text) == [text]


def test_blank_lines_and_positions(file: Path) -> None:
    file.write_text("\n　\n一\n二\n \t\n\n三\n　\n")
    records, reading = read(file)
    assert [(r.text, r.position) for r in records] == [("一\n二", 3), ("三", 7)]
    records, reading = read(file, "line")
    assert [(r.text, r.position) for r in records] == [("一", 3), ("二", 4), ("三", 7)]
    assert reading.ledger.dropped_documents["empty"] == 3 and reading.ledger.dropped_characters["empty"] == 4
    records, _ = read(file, "file")
    assert [(r.text, r.position) for r in records] == [("一\n二\n \t\n\n三", 3)]
    assert read(file, "record")[0] == read(file, "paragraph")[0]


@pytest.mark.parametrize("unit", ["sentence", "line", "paragraph", "file"])
@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b" \n\t\n", "　\n　　".encode(), b"\n\n\n"])
def test_t18_t19_t20_no_text_no_record(file: Path, unit: str, data: bytes) -> None:
    assert texts(file, data, unit) == []


ALPHABET = [
    "あ",
    "字",
    "a",
    " ",
    "　",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\u2028",
    "\f",
    "\ufeff",
    "\0",
    "😀",
    "か\u3099",
]
PIECES = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join)


@given(PIECES, st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_units_agree_with_their_definition(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "units.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raws, "CHUNK", chunk)
        lines = [re.sub("^\ufeff+", "", s) for s in re.split("\r\n|\r|\n", text)]
        assert texts(path, text, "line", encoding="utf-8") == [s for s in lines if s.strip()]
        paragraphs = re.split(r"(?:^|\n)\s*(?=\n|$)", "\n".join("" if not s.strip() else s for s in lines))
        expected = [p.strip("\n") for p in paragraphs if p.strip()]
        assert texts(path, text, "paragraph", encoding="utf-8") == expected
        whole = list(lines)
        while whole and not whole[0].strip():
            whole.pop(0)
        while whole and not whole[-1].strip():
            whole.pop()
        assert texts(path, text, "file", encoding="utf-8") == (["\n".join(whole)] if whole else [])


@given(PIECES, st.integers(2, 20), st.sampled_from(["sentence", "line", "paragraph", "file"]))
@settings(max_examples=150, deadline=None)
def test_long_records_are_cut_alike_for_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, text: str, limit: int, unit: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "long.txt"
    results = []
    for chunk in (1, 5, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(raws, "CHUNK", chunk)
            results.append(texts(path, text, unit, encoding="utf-8", fragment=limit))
    assert results[0] == results[1] == results[2]
    assert all(len(t) <= limit for t in results[0])


@pytest.mark.parametrize("char", ["あ", "a", " "])
def test_t23_t24_one_endless_line(file: Path, char: str) -> None:
    out = texts(file, char * 5_000_000, "line", fragment=1 << 20)
    assert "".join(out) == ("" if char == " " else char * 5_000_000) and all(len(t) <= 1 << 20 for t in out)


# ---------------------------------------------------------------------- undecodable bytes


def test_skipped_lines_are_counted(file: Path) -> None:
    good = "よい行です。\n".encode()
    file.write_bytes(good * 3 + b"bad \xff\xfe line\n" + good + b"\n" + b"\xe3\x81")
    with pytest.raises(InputError, match="line 4"):
        read(file)
    for unit, expected in (("line", 4), ("paragraph", 1), ("file", 1)):
        records, reading = read(file, unit, on_bad="skip")
        assert len(records) == expected and "".join(r.text for r in records).count("よい行です。") == 4
        assert reading.ledger.dropped_characters["undecodable"] == len("bad ?? line\n") + 1
        assert reading.ledger.notes["undecodable_lines"] == 2


def test_t9_a_bad_byte_far_in(file: Path) -> None:
    with open(file, "wb") as out:
        for _ in range(40):
            out.write((b"0" * 1023 + b"\n") * 1024)
        out.write("日本語の文です。\n".encode() * 10 + b"\xff\n")
    with pytest.raises(InputError, match=f"byte {40 * (1 << 20) + 250:,} "):
        read(file, "line")


# ---------------------------------------------------------------------- packed


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return tmp_path / "f.txt.gz"


TEXT = "一つ目の段落です。\n\n二つ目です。\n"


def test_gz_reads_like_txt(packed: Path, file: Path) -> None:
    assert texts(packed, gzip.compress(TEXT.encode())) == texts(file, TEXT)
    assert texts(packed, gzip.compress(TEXT.encode("cp932"))) == texts(file, TEXT)
    big = "\n\n".join(f"段落{random.Random(i).random()}" for i in range(200_000))
    assert texts(packed, gzip.compress(big.encode(), 1)) == big.split("\n\n")


def test_g1_every_cut_is_seen(packed: Path) -> None:
    data = gzip.compress(TEXT.encode())
    for size in range(1, len(data)):
        packed.write_bytes(data[:size])
        with pytest.raises(InputError, match="near byte"):
            read(packed)


def test_g2_all_members(packed: Path) -> None:
    data = gzip.compress("前半。".encode()) + gzip.compress(b"") + gzip.compress("後半。".encode())
    assert texts(packed, data) == ["前半。後半。"]
    assert texts(packed, data + b"\0" * 512) == ["前半。後半。"]  # padding, as gzip allows


@pytest.mark.parametrize("garbage", [b"x", b"hello world", b"\x1f\x8c", b"\0\0\x01", b"\x1f"])
def test_g3_what_follows_is_an_error(packed: Path, garbage: bytes) -> None:
    packed.write_bytes(gzip.compress(TEXT.encode()) + garbage)
    with pytest.raises(InputError, match=r"no gzip|near byte"):
        read(packed)


def test_g4_a_bomb_stops(packed: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    with open(packed, "wb") as out:
        for _ in range(200):
            out.write(packer.compress(b"a" * (1 << 20)))
        out.write(packer.flush())
    assert packed.stat().st_size < 300_000
    with pytest.raises(InputError, match="bomb"):
        read(packed, "line")


def test_g5_a_wrong_checksum(packed: Path) -> None:
    data = bytearray(gzip.compress(TEXT.encode()))
    for place in (-1, -5, 20):
        broken = bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place:][1:])
        packed.write_bytes(broken)
        with pytest.raises(InputError, match="gzip"):
            read(packed)


def test_g6_names_that_lie(packed: Path, file: Path) -> None:
    with pytest.raises(InputError, match=r"named \.gz but is no gzip"):
        texts(packed, TEXT)
    with pytest.raises(InputError, match=r"gzip file, not text\s+-> end its name in \.gz"):
        texts(file, gzip.compress(TEXT.encode()))


@pytest.mark.parametrize("head", [magic for magic, _, _ in raws.MAGIC])
def test_t21_files_that_are_no_text(file: Path, head: bytes) -> None:
    with pytest.raises(InputError, match="not text"):
        texts(file, head + b"rest of the file")


def test_offsets_in_packed_files_say_so(packed: Path) -> None:
    with pytest.raises(InputError, match="of its unpacked text"):
        texts(packed, gzip.compress("日本語の文です。".encode() * 9 + b"\xff\n"))


# ---------------------------------------------------------------------- what is no plain file


def test_t22_no_regular_file(tmp_path: Path) -> None:
    fifo, loop, dangling = tmp_path / "fifo.txt", tmp_path / "loop.txt", tmp_path / "dangling.txt"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nowhere")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s.txt"))
    cases = {
        fifo: "pipe",
        loop: "leads back to itself",
        dangling: "does not exist",
        tmp_path: "a folder",
        Path("/dev/zero"): "a device",
        tmp_path / "s.txt": "a socket",
        tmp_path / "none.txt": "does not exist",
    }
    for path, word in cases.items():
        with pytest.raises(InputError, match=word):
            read(path)
    sock.close()


def test_t22_no_rights(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(TEXT)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(raws.os, "open", refuse)
    with pytest.raises(InputError, match="no right to read it"):
        read(file)


def test_the_file_is_hashed_as_it_lies_on_the_disk(packed: Path) -> None:
    import hashlib

    data = gzip.compress(TEXT.encode())
    packed.write_bytes(data)
    reading = read(packed)[1]
    assert reading.raw.sha256 == hashlib.sha256(data).hexdigest() and reading.raw.bytes == len(data)
    assert reading.found["encoding"] == "utf-8"


# ---------------------------------------------------------------------- the registry


def test_sources_are_chosen_by_suffix() -> None:
    assert {".txt", ".text", ".md"} <= set(by_suffix())
    assert source_name(Path("a.TXT")) == source_name(Path("b.txt.gz")) == source_name(Path("c.md")) == "plain"
    assert source_name(Path("a.gz")) is None and source_name(Path("a")) is None
    with pytest.raises(InputError, match=r"no reader for a file that ends in '\.doc'"):
        source_for(Path("a.doc"))
