"""Bad text and packed files, a row of the table of bad inputs each.

    python -m tests.text.make_bad_texts FOLDER

A row says what must become of its file: `read` (as if nothing were odd), `counted` (read, with a count in the
ledger) or `refused` (one plain error). The files are made when they are needed; none is kept.
"""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zstandard


@dataclass(frozen=True)
class Bad:
    """A file of the table. texts: its paragraphs; said: a pattern of the error, or the name of the count."""

    row: str
    name: str
    result: Literal["read", "counted", "refused"]
    write: Callable[[Path], object]
    texts: tuple[str, ...] = ()
    said: str = ""


def holds(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def read(row: str, name: str, data: bytes, *texts: str) -> Bad:
    return Bad(row, name, "read", holds(data), texts)


def counted(row: str, name: str, data: bytes, count: str, *texts: str) -> Bad:
    return Bad(row, name, "counted", holds(data), texts, count)


def refused(row: str, name: str, data: bytes, said: str) -> Bad:
    return Bad(row, name, "refused", holds(data), (), said)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 or len(data) :]


# --------------------------------------------------------------------------------------------- large files


def bad_byte(path: Path, megabytes: int) -> None:
    """Lines of text, and after so many megabytes one byte that no encoding has there."""
    line = ("０１２３４５６７" * 42 + "この行の終わり").encode() + b"!!\n"
    assert len(line) == 1_032
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(line * 1_000)
        file.write("最後の".encode() + b"\xff" + "行です。\n".encode())


def long_line(path: Path, megabytes: int) -> None:
    """One line of sentences."""
    sentence = "長い長い一行の中の文です。"
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write((sentence * (1_000_000 // len(sentence.encode()))).encode())


def one_character(path: Path, megabytes: int) -> None:
    """One character, again and again."""
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(b"w" * 1_000_000)


def bomb_gz(path: Path, megabytes: int = 200) -> None:
    """One letter 200 million times, in a thousandth of its size."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(b"w" * 1_000_000) for _ in range(megabytes))
    path.write_bytes(packed + packer.flush())


def bomb_zst(path: Path, megabytes: int = 200) -> None:
    """One letter 200 million times, in a thirty-thousandth of its size."""
    packer = zstandard.ZstdCompressor().compressobj()
    packed = b"".join(packer.compress(b"w" * 1_000_000) for _ in range(megabytes))
    path.write_bytes(packed + packer.flush())


# ----------------------------------------------------------------------------------------------- the table

LINE = "これは一行の文です。"
TWO = f"{LINE}\n二行目です。\n\n次の段落です。"
PARTS = (f"{LINE}\n二行目です。", "次の段落です。")
ROWS = "".join(f"{n}行目です。\n" for n in range(40))
EMPTY = "0 usable documents"
GZ, ZST = gz(TWO.encode()), zst(TWO.encode())
WINDOW = b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3]) + bytes([5 << 3 | 1, 0, 0]) + b"hello"  # 2 GiB
PADDING = b"\x53\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"  # a frame that is skipped
SPECIALS = "<|endoftext|> <s> </s> [MASK] <unk>"
UNMARKED = "番号と氏名と住所を書いてください。" * 3

TEXTS = [
    read("T1", "windows.txt", "①髙Ⅲ～ を含む行です。".encode("cp932"), "①髙Ⅲ～ を含む行です。"),
    read("T2", "header.txt", "番号,氏名,住所,電話\n".encode("cp932"), "番号,氏名,住所,電話"),
    read("T3", "euc.txt", TWO.encode("euc_jp"), *PARTS),
    read("T4", "iso-2022-jp.txt", TWO.encode("iso2022_jp"), *PARTS),
    read("T5", "mark.txt", TWO.encode("utf-8-sig"), *PARTS),
    read("T5", "marks.txt", 2 * f"{LINE}\n\n".encode("utf-8-sig"), LINE, LINE),
    read("T6", "utf-16-le.txt", b"\xff\xfe" + TWO.encode("utf-16-le"), *PARTS),
    read("T6", "utf-16-be.txt", b"\xfe\xff" + TWO.encode("utf-16-be"), *PARTS),
    refused("T7", "unmarked-le.txt", UNMARKED.encode("utf-16-le"), "utf-16-le without a byte order mark"),
    refused("T7", "unmarked-be.txt", UNMARKED.encode("utf-16-be"), "utf-16-be without a byte order mark"),
    refused("T8", "cut.txt", TWO.encode()[:-1], r"ends inside a character at byte 69 \(line 4\): e3 80"),
    refused("T8", "cut-cp932.txt", TWO.encode("cp932")[:-1],
            r"ends inside a character at byte 47 \(line 4\)"),
    Bad("T9", "byte.txt", "refused", lambda path: bad_byte(path, 2), (),
        r"byte 2,064,009 \(line 2,001\) cannot be read as utf-8: ff"),
    refused("T10", "tail.txt", ROWS.encode() + LINE.encode("cp932"), r"\(line 41\) cannot be read as utf-8"),
    counted("T11", "nul.txt", "ある\0日の\0事".encode(), "nul_characters", "ある\0日の\0事"),
    refused("T12", "surrogates.txt", f"{ROWS}\ud83d\ude00".encode("utf-8", "surrogatepass"),
            "cannot be read as utf-8: ed a0 bd"),
    read("T13", "lf.txt", (TWO + "\n").encode(), *PARTS),
    read("T13", "crlf.txt", TWO.replace("\n", "\r\n").encode(), *PARTS),
    read("T13", "cr.txt", TWO.replace("\n", "\r").encode(), *PARTS),
    read("T13", "mixed.txt", f"{LINE}\r二行目です。\r\n\n次の段落です。\r\n".encode(), *PARTS),
    read("T14", "separators.txt", "前\u2028中\u2029後\x85次\f改\v縦\x1c群".encode(),
         "前\u2028中\u2029後\x85次\f改\v縦\x1c群"),
    read("T15", "composed.txt", "か\u3099くせい ｶﾞｸｾｲ".encode(), "か\u3099くせい ｶﾞｸｾｲ"),
    read("T16", "wave.txt", b"5\x81\x606" + "月の予定です。".encode("cp932"), "5～6月の予定です。"),
    read("T17", "specials.txt", SPECIALS.encode(), SPECIALS),
    refused("T18", "empty.txt", b"", EMPTY),
    refused("T19", "only-mark.txt", b"\xef\xbb\xbf", EMPTY),
    refused("T19", "only-mark-16.txt", b"\xff\xfe", EMPTY),
    refused("T20", "blank.txt", " \n　\r\n\t\n\u3000\u3000".encode(), EMPTY),
    refused("T21", "picture.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a PNG picture, not text"),
    Bad("T22", "pipe.txt", "refused", lambda path: os.mkfifo(path), (), "is a pipe"),
    Bad("T22", "device.txt", "refused", lambda path: path.symlink_to("/dev/zero"), (), "is a device"),
    Bad("T22", "folder.txt", "refused", lambda path: path.mkdir(), (), "holds no file that can be read"),
    Bad("T22", "dangling.txt", "refused", lambda path: path.symlink_to("nowhere"), (), "does not exist"),
    Bad("T22", "loop.txt", "refused", lambda path: path.symlink_to(path.name), (), "leads back to itself"),
    Bad("T23", "line.txt", "read", lambda path: long_line(path, 1), ("長い長い一行の中の文です。" * 25_641,)),
    Bad("T24", "character.txt", "read", lambda path: one_character(path, 1), ("w" * 1_000_000,)),
]  # fmt: skip
PACKED = [
    refused("G1", "cut.txt.gz", GZ[:-9], "damaged gzip file near byte .*: it ends before"),
    refused("G1", "cut.txt.zst", ZST[:-5], "damaged zstd file near byte .*: it ends before"),
    read("G2", "members.txt.gz", gz(b"") + gz(f"{TWO}\n\n".encode()) + GZ + bytes(700), *PARTS, *PARTS),
    read("G2", "frames.txt.zst", PADDING + zst(f"{TWO}\n\n".encode()) + zst(b"") + ZST, *PARTS, *PARTS),
    refused("G3", "garbage.txt.gz", GZ + b"garbage", "bytes that are no gzip follow byte"),
    refused("G3", "garbage.txt.zst", ZST + b"garbage", "bytes that are no zstd follow byte"),
    Bad("G4", "bomb.txt.gz", "refused", bomb_gz, (), "a decompression bomb"),
    Bad("G4", "bomb.txt.zst", "refused", bomb_zst, (), "a decompression bomb"),
    refused("G5", "checksum.txt.gz", changed(GZ, -8), "damaged gzip file .*: incorrect data check"),
    refused("G5", "length.txt.gz", changed(GZ, -1), "damaged gzip file .*: incorrect length check"),
    refused("G5", "checksum.txt.zst", changed(ZST, -1), "damaged zstd file .* match checksum"),
    refused("G6", "plain.txt.gz", TWO.encode(), r"is named \.gz but is no gzip file"),
    refused("G6", "plain.txt.zst", TWO.encode(), r"is named \.zst but is no zstd file"),
    refused("G6", "packed-gz.txt", GZ, "is a gzip file, not text"),
    refused("G6", "packed-zst.txt", ZST, "is a zstd file, not text"),
    refused("G7", "window.txt.zst", WINDOW, "cannot be unpacked here: .* too much memory"),
]
TABLE = TEXTS + PACKED


def write_all(folder: Path) -> None:
    """Write every file of the table; a name begins with its row."""
    folder.mkdir(parents=True, exist_ok=True)
    for bad in TABLE:
        bad.write(folder / f"{bad.row}-{bad.name}")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
