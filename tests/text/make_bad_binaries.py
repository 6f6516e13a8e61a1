"""Bad workbooks, Parquet and Arrow files, made anew for each test: nothing binary is checked in.

python -m tests.text.make_bad_binaries FOLDER
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

TEXTS = ["一つ目の文です。", "二つ目の文です。", "三つ目の文です。"]

# ------------------------------------------------------------------------------------------------- workbooks

_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def relations(**parts: str) -> str:
    """A part that names others: kind=target."""
    inner = "".join(
        f'<Relationship Id="{kind}" Type="{_OFFICE}/{kind.rstrip("0123456789")}" Target="{target}"/>'
        for kind, target in parts.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}">{inner}</Relationships>'


def sheet(rows: Iterable[str], before: str = "") -> str:
    """The XML of a sheet with these rows."""
    return (
        f'<?xml version="1.0"?>{before}<worksheet {MAIN}><sheetData>{"".join(rows)}</sheetData></worksheet>'
    )


def text_cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def column(texts: Iterable[str]) -> list[str]:
    """Rows with one text each, below the name `text`."""
    return [f"<row>{text_cell(f'A{n}', t)}</row>" for n, t in enumerate(["text", *texts], 1)]


def parts(rows: Iterable[str] = (), before: str = "", **more: str) -> dict[str, str]:
    """The parts of a workbook with one sheet; more: kind=XML of further parts (sharedStrings, styles)."""
    book = f'<workbook {MAIN} xmlns:r="{_OFFICE}"><sheets><sheet name="S" r:id="worksheet1"/></sheets>'
    targets = {"worksheet1": "worksheets/sheet1.xml", **{kind: f"{kind}.xml" for kind in more}}
    return {
        "_rels/.rels": relations(officeDocument="xl/workbook.xml"),
        "xl/workbook.xml": f"{book}</workbook>",
        "xl/_rels/workbook.xml.rels": relations(**targets),
        **{f"xl/{kind}.xml": xml for kind, xml in more.items()},
        "xl/worksheets/sheet1.xml": sheet(rows, before),
    }


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return held.getvalue()


def shared(strings: Iterable[str], before: str = "") -> str:
    """The part with the shared strings."""
    return (
        f'<?xml version="1.0"?>{before}<sst {MAIN}>{"".join(f"<si><t>{s}</t></si>" for s in strings)}</sst>'
    )


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ははははははははは">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)


def laughs_in_sheet() -> bytes:
    return zipped(parts(column(["&i;"]), LAUGHS))


def laughs_in_strings() -> bytes:
    rows = ['<row><c t="s"><v>0</v></c></row>', '<row><c t="s"><v>1</v></c></row>']
    return zipped(parts(rows, sharedStrings=shared(["text", "&i;"], LAUGHS)))


def huge_sheet(declared: int | None = None) -> bytes:
    """10 GB of blank rows in 10 MB; declared: the size that the zip file says instead."""
    head, blank, tail = (
        sheet([]).partition("</sheetData>")[0].encode(),
        b" " * (1 << 20),
        b"</sheetData></worksheet>",
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = [packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)]
    block = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)  # stands alone, so it can be repeated
    data += [block] * 10_240
    data.append(packer.compress(tail) + packer.flush())
    packed = b"".join(data)
    size = declared or len(head) + 10_240 * len(blank) + len(tail)
    rest = zipped({name: xml for name, xml in parts().items() if "sheet1" not in name})
    return _with_entry(rest, b"xl/worksheets/sheet1.xml", packed, size)


def _with_entry(archive: bytes, name: bytes, packed: bytes, size: int) -> bytes:
    """A zip file and one more part, whose packed bytes and size are given (APPNOTE.TXT 4.3)."""
    end = archive.rindex(b"PK\5\6")
    count, length, start = struct.unpack_from("<HII", archive, end + 10)
    extra = struct.pack("<HHQQ", 1, 16, size, len(packed))  # sizes of 64 bits
    common = struct.pack("<HHHHHIIIHH", 45, 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
    entry = b"PK\3\4" + common + name + extra + packed
    listed = (
        b"PK\1\2" + struct.pack("<H", 45) + common + struct.pack("<HHHII", 0, 0, 0, 0, start) + name + extra
    )
    listing = archive[start:end] + listed
    tail = struct.pack("<HHHHIIH", 0, 0, count + 1, count + 1, length + len(listed), start + len(entry), 0)
    return archive[:start] + entry + listing + b"PK\5\6" + tail


def ole(*names: str) -> bytes:
    """The frame of an OLE container with streams of these names: old Office files, and encrypted new ones."""
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6)
    entries = b""
    for name in ("Root Entry", *names):
        stored = f"{name}\0".encode("utf-16-le")
        entries += stored.ljust(64, b"\0") + struct.pack("<H", len(stored)) + bytes(62)
    return header.ljust(512, b"\0") + entries.ljust(1024, b"\0")


def formula_without_value() -> bytes:
    return zipped(
        parts([*column(TEXTS[:1]), "<row><c><f>A2&amp;A2</f></c></row>", "<row><c><f>1+1</f><v/></c></row>"])
    )


def blank_rows(count: int = 1_048_576) -> bytes:
    rows = [f'<row r="{n}" spans="1:1"/>' for n in range(2, count)]
    last = f'<row r="{count}">{text_cell(f"A{count}", "最後")}</row>'
    return zipped(parts([f'<row r="1">{text_cell("A1", "text")}</row>', *rows, last]))


def entry_outside() -> bytes:
    return zipped({**parts(column(TEXTS)), "../../outside.txt": "外", "/tmp/../outside.txt": "外"})


def merged_and_hidden() -> bytes:
    """Column A of rows 2 and 3 merged, row 4 hidden, column B hidden."""
    rows = [
        f"<row>{text_cell('A1', 'text')}{text_cell('B1', 'other')}</row>",
        f"<row>{text_cell('A2', TEXTS[0])}{text_cell('B2', 'x')}</row>",
        f'<row><c r="A3" s="0"/>{text_cell("B3", "y")}</row>',
        f'<row hidden="1">{text_cell("A4", TEXTS[1])}{text_cell("B4", "z")}</row>',
    ]
    made = parts(rows)
    xml = made["xl/worksheets/sheet1.xml"].replace(
        "<sheetData>", '<cols><col min="2" max="2" width="9" hidden="1"/></cols><sheetData>'
    )
    merged = '</sheetData><mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>'
    return zipped({**made, "xl/worksheets/sheet1.xml": xml.replace("</sheetData>", merged)})


def far_corners() -> bytes:
    """Two cells: a grid that spans both would have 17 billion."""
    return zipped(parts([*column([]), f'<row r="1048576">{text_cell("XFD1048576", "遠い")}</row>']))


def one_string_everywhere() -> bytes:
    """A few KB that are 300 MB of text, if all of it is held at once."""
    rows = [f'<row><c t="s"><v>{n > 0:d}</v></c></row>' for n in range(101)]
    return zipped(parts(rows, sharedStrings=shared(["text", "あ" * 1_000_000])))


def word_document() -> bytes:
    return zipped(
        {"_rels/.rels": relations(officeDocument="word/document.xml"), "word/document.xml": "<w:document/>"}
    )


# --------------------------------------------------------------------------------------------------- Parquet


def parquet(table: pa.Table, **options: object) -> bytes:
    held = io.BytesIO()
    pq.write_table(table, held, **options)
    return held.getvalue()


def _texts(kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"text": pa.array(TEXTS, kind)})


def cut_footer() -> bytes:
    return parquet(_texts())[:-20]


def long_footer() -> bytes:
    return parquet(_texts())[:-8] + struct.pack("<I", 1 << 31) + b"PAR1"


def missing_codec() -> bytes:
    """A file that says that it is packed with LZO, which no reader here has."""
    name, snappy, lzo = b"\x18\x04text", b"\x15\x02", b"\x15\x06"
    data = parquet(_texts(), compression="snappy")
    assert data.count(name + snappy) == 1
    return data.replace(name + snappy, name + lzo)


def not_utf8() -> pa.Array:
    """Strings of which the second is none: あ in CP932."""
    stored = pa.array([TEXTS[0].encode(), "あ".encode("cp932"), TEXTS[2].encode()], pa.binary())
    return pa.Array.from_buffers(pa.string(), len(stored), stored.buffers())


def broken_statistics() -> bytes:
    """A schema that contradicts its statistics: pyarrow ends the process when asked for those of a column."""
    data = parquet(_texts(), compression="none")
    optional, required = b"\x25\x02\x18\x04text", b"\x25\x00\x18\x04text"
    assert data.count(optional) == 1
    return data.replace(optional, required)


# ----------------------------------------------------------------------------------------------------- Arrow


def stream(table: pa.Table, rows: int = 2, **options: object) -> bytes:
    held = io.BytesIO()
    with ipc.new_stream(held, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return held.getvalue()


def file(table: pa.Table, rows: int = 2, **options: object) -> bytes:
    held = io.BytesIO()
    with ipc.new_file(held, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return held.getvalue()


def long_header() -> bytes:
    data = stream(_texts())
    return data[:4] + struct.pack("<i", 1 << 30) + data[8:]


def packed_to_more() -> bytes:
    """A batch whose packed strings say that they are 2**60 bytes."""
    data = stream(pa.table({"text": ["あ" * 1_000]}), compression="zstd")
    place = data.rindex(struct.pack("<q", 3_000))
    return data[:place] + struct.pack("<q", 1 << 60) + data[place + 8 :]


def wild_offsets() -> bytes:
    """Strings that end beyond their buffer."""
    sizes = [len(text.encode()) for text in TEXTS]
    data = stream(_texts(), rows=3)
    sound = struct.pack("<4i", 0, sizes[0], sum(sizes[:2]), sum(sizes))
    assert data.count(sound) == 1
    return data.replace(sound, struct.pack("<4i", 0, sizes[0], 1 << 30, 1 << 30))


def wild_place() -> bytes:
    """A place of a dictionary that it does not have."""
    table = pa.table(
        {"text": pa.DictionaryArray.from_arrays(pa.array([0, 1, 77], pa.int32()), TEXTS, safe=False)}
    )
    return stream(table, rows=3)


MAKERS: dict[str, Callable[[], bytes]] = {
    "x1-laughs-sheet.xlsx": laughs_in_sheet,
    "x1-laughs-strings.xlsx": laughs_in_strings,
    "x2-huge.xlsx": huge_sheet,
    "x2-huge-lies.xlsx": lambda: huge_sheet(1 << 20),
    "x3-password.xlsx": lambda: ole("EncryptionInfo", "EncryptedPackage", "\x06DataSpaces"),
    "x4-formula.xlsx": formula_without_value,
    "x5-blank.xlsx": blank_rows,
    "x6-outside.xlsx": entry_outside,
    "x7-old.xlsx": lambda: ole("Workbook", "\x05SummaryInformation"),
    "x8-merged.xlsx": merged_and_hidden,
    "x9-far.xlsx": far_corners,
    "x10-one-string.xlsx": one_string_everywhere,
    "x11-csv.xlsx": lambda: "text\n一\n".encode(),
    "x12-word.xlsx": word_document,
    "p1-cut.parquet": cut_footer,
    "p2-long-footer.parquet": long_footer,
    "p3-binary.parquet": lambda: parquet(pa.table({"text": [text.encode() for text in TEXTS]})),
    "p4-null.parquet": lambda: parquet(pa.table({"text": pa.nulls(3)})),
    "p4-list.parquet": lambda: parquet(pa.table({"text": [TEXTS[:2], TEXTS[2:], []]})),
    "p6-codec.parquet": missing_codec,
    "p7-not-utf8.parquet": lambda: parquet(pa.table({"text": not_utf8()})),
    "p8-statistics.parquet": broken_statistics,
    "a1-cut.arrow": lambda: stream(_texts())[:-100],
    "a2-long-header.arrow": long_header,
    "a3-packed.arrow": packed_to_more,
    "a4-offsets.arrow": wild_offsets,
    "a5-place.arrow": wild_place,
    "a6-not-utf8.arrow": lambda: stream(pa.table({"text": not_utf8()})),
    "a7-parquet.arrow": lambda: parquet(_texts()),
}


def make(folder: Path, name: str) -> Path:
    """Write one of the files into a folder."""
    path = folder / name
    path.write_bytes(MAKERS[name]())
    return path


if __name__ == "__main__":
    for each in MAKERS:
        print(make(Path(sys.argv[1]), each))
