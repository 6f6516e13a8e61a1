"""Packed bytes (.gz, .zst) unpacked as a stream: all members and frames, complete to the end, under caps.

Nothing is passed over: a member that is cut, damaged, or followed by bytes of another kind is an error, as is
a file that unpacks to far more than text could. Output comes in pieces that stay small whatever the input.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tane.errors import InputError

FREE_OUTPUT = 64 << 20  # an unpacked size that is never suspicious
MAX_RATIO = 100  # beyond FREE_OUTPUT: unpacked bytes per packed byte (text reaches about 10, a bomb 1,000)
MAX_OUTPUT = 1 << 40  # bytes that one packed file may hold
MAX_WINDOW = 1 << 27  # bytes of memory that a zstd frame may ask for (zstd --long=27)
SIP = 512  # bytes unpacked at a time: 4 bytes of zstd may stand for 128 KiB, so at most 16 MiB come of them
PIECE = 1 << 18  # bytes of output that are gathered before they are handed on


class Packing(NamedTuple):
    """One way of packing: its suffix, name, first bytes, and the command that tests a file."""

    suffix: str
    name: str
    magic: tuple[bytes, ...]
    test: str


SKIPPABLE = tuple(bytes([0x50 + n, 0x2A, 0x4D, 0x18]) for n in range(16))  # RFC 8878, 3.1.2
GZIP = Packing(".gz", "gzip", (b"\x1f\x8b",), "gzip -t")
ZSTD = Packing(".zst", "zstd", (b"\x28\xb5\x2f\xfd", *SKIPPABLE), "zstd -t")
PACKINGS = {packing.suffix: packing for packing in (GZIP, ZSTD)}
REMEDIES = {  # part of what zstd says -> what to do about a file that is not damaged
    "too much memory": "unpack it yourself, and name the unpacked file: zstd -d --long=31 FILE",
    "Dictionary mismatch": "unpack it yourself with its dictionary (zstd -d -D), and name the unpacked file",
}


def unpack(name: str, packing: Packing, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The unpacked bytes of a file whose packed bytes come in `pieces`. Raises InputError, as told above."""
    begin = _gzip if packing is GZIP else _zstd()
    unpacker: Any = None
    stored = done = size = 0
    held: list[bytes] = []
    for data in _sips(pieces):
        stored += len(data)
        while data:
            if unpacker is None or unpacker.eof:  # the start, or between members
                if unpacker is not None and packing is GZIP:
                    data = data.lstrip(b"\0")  # zero bytes may pad the end, as gzip itself allows
                    if not data:
                        break
                _require_start(name, packing, data, stored - len(data), unpacker is None)
                unpacker = begin()
            try:
                out = unpacker.decompress(data)
            except Exception as error:  # zlib.error or ZstdError
                if not _is_damage(error):
                    raise
                raise _damaged(name, packing, stored, str(error)) from None
            data = unpacker.unused_data if unpacker.eof else b""
            done += len(out)
            if done > MAX_OUTPUT or (done > FREE_OUTPUT and done > MAX_RATIO * stored):
                raise InputError(
                    f"{name} unpacks to more than {done:,} bytes from {stored:,}, "
                    f"over {done // stored} times its size: a decompression bomb?",
                    "unpack it yourself if you trust it, and name the unpacked file",
                )
            if out:
                held.append(out)
                size += len(out)
            if size >= PIECE:
                yield b"".join(held)
                held, size = [], 0
    if unpacker is None or not unpacker.eof:
        raise _damaged(name, packing, stored, "it ends before the end of its data")
    if size:
        yield b"".join(held)


def _sips(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece[at : at + SIP] for piece in pieces for at in range(0, len(piece), SIP))


def _gzip() -> Any:
    return zlib.decompressobj(31)  # 31: a gzip header and its checksum are required


def _zstd() -> Callable[[], Any]:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj


def _is_damage(error: Exception) -> bool:
    return isinstance(error, zlib.error) or type(error).__name__ == "ZstdError"


def _require_start(name: str, packing: Packing, data: bytes, at: int, first: bool) -> None:
    """Raise InputError where no member begins; a header cut by the end of a piece is let through."""
    if any(magic.startswith(data[: len(magic)]) for magic in packing.magic):
        return
    if first:
        raise InputError(
            f"{name} is named {packing.suffix} but is no {packing.name} file "
            f"(it begins with {data[:4].hex(' ')})",
            "rename it to what it is",
        )
    raise InputError(
        f"{name}: {len(data):,} or more bytes that are no {packing.name} follow byte {at:,}",
        "the file is damaged or was appended to: fetch it again",
    )


def _damaged(name: str, packing: Packing, stored: int, reason: str) -> InputError:
    for part, remedy in REMEDIES.items():
        if part in reason:
            return InputError(
                f"{name}: this {packing.name} file cannot be unpacked here: {_short(reason)}", remedy
            )
    return InputError(
        f"{name}: damaged {packing.name} file near byte {stored:,}: {_short(reason)}",
        f"fetch it again; test it with: {packing.test}",
    )


def _short(reason: str) -> str:
    return reason.removeprefix("Error -3 while decompressing data: ").removeprefix(
        "zstd decompressor error: "
    )
