"""The readers of text, tables and packed files. None of them imports torch."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import damages
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader, Seed, written

PROSE = (
    "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。①髙Ⅲ～ｶﾞｷﾞ\n\n"
    "Hello, world 3.14.\n\n　「薄暗いじめじめした所」――ニャーニャー泣いていた事だけは記憶している。\n"
) * 3
AOZORA = (
    "羅生門\n芥川龍之介\n\n-------------------------------------------------------\n【テキスト中に現れる記号について】\n\n"
    "《》：ルビ\n（例）下人《げにん》\n\n｜：ルビの付く文字列の始まりを特定する記号\n（例）所々｜丹塗《にぬり》の剥げた\n\n"
    "［＃］：入力者注　主に外字の説明や、傍点の位置の指定\n（例）※［＃「需＋頁」、第3水準1-94-6］\n"
    "-------------------------------------------------------\n\n［＃７字下げ］一［＃「一」は中見出し］\n\n"
    "　或日の暮方の事である。一人の下人《げにん》が、羅生門の下で雨やみを待つてゐた。［＃改ページ］\n"
    "　広い門の下には、この男の外に※［＃「需＋頁」、第3水準1-94-6］誰もゐない。"
    "｜丹塗《にぬり》の剥げた、大きな円柱に、蟋蟀《きり／″＼す》が一匹とまつてゐる。※［＃二の字点、1-2-22］\n\n底本：「芥川龍之介全集１」ちくま文庫、筑摩書房\n"
    "　　　1986（昭和61）年9月24日第1刷発行\n入力：平山誠\n校正：かとうかおり\n1997年1月1日公開\n"
)
ROWS: list[dict[str, Any]] = [
    {
        "id": n,
        "text": f"これは{n}番目の文です。\n二行目。",
        "score": n / 2,
        "label": ("負", "正")[n % 2],
        "tags": ["a", None],
    }
    for n in range(6)
]
UNITS = ("sentence", "line", "paragraph", "record", "file")


def _records(**more: Any) -> Callable[[Path], object]:
    """Reads a file as the corpus does: all records, normalised, with the law of the ledger checked."""

    def read(path: Path) -> object:
        from tane.text import normalize
        from tests.text.reads import read as read_all

        chance = sum(path.read_bytes()[:64])  # of the options; the same for the same file
        options = {"unit": UNITS[chance % 5], "on_bad": ("stop", "skip")[chance // 5 % 2], **more}
        records, _ = read_all(path, **options)
        return [normalize.normalize(record.text, "nfkc") for record in records]

    return read


# -------------------------------------------------------------------------------------------------- text


def _codec(codec: str, name: str = "f.txt") -> Seed:
    text = PROSE
    if codec in ("euc_jp", "iso2022_jp"):  # plain ones, without Windows' own characters
        text = PROSE.replace("①髙Ⅲ～ｶﾞｷﾞ", "").replace("――", "、")
        codec = {"iso2022_jp": "iso2022_jp_ext"}.get(codec, codec)
    return written(name, text.encode(codec))


PLAIN = (
    Reader(
        "text",
        (_codec("utf-8"), _codec("utf-8-sig"), written("f.md", PROSE.replace("\n", "\r\n"))),
        _records(),
        ("tane.text.raw",),
        (mutate, damages.lines("\ufeff", "\r", "\0", "\ud800", "　", "\x1b$B")),
    ),
    *(
        Reader(f"text-{name}", (_codec(codec),), _records(), ())
        for name, codec in (
            ("cp932", "cp932"),
            ("euc-jp", "euc_jp"),
            ("iso-2022-jp", "iso2022_jp"),
            ("utf-16", "utf-16"),
        )
    ),
    Reader(
        "aozora",
        (written("f.txt", AOZORA), written("f.txt", AOZORA.encode("cp932", "replace"))),
        _records(normalize="aozora"),
        (),
        (mutate, damages.lines("-" * 55, "底本：", "《》", "｜", "［＃", "※［＃「、第3水準1-94-99］", "］")),
    ),
)


# ------------------------------------------------------------------------------------------------ tables


def csv_text(separator: str) -> str:
    quoted = [[str(row["id"]), '"' + row["text"].replace("文", '""文""') + '"', row["label"]] for row in ROWS]
    return "\r\n".join(separator.join(row) for row in (["id", "text", "label"], *quoted)) + "\r\n"


def jsonl_text() -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def xlsx(folder: Path) -> Path:
    from tests.text import make_bad_binaries as bad

    cells = [f'<row r="{n}"><c r="A{n}" t="s"><v>{n - 1}</v></c><c r="B{n}" s="1"><v>4{n}.5</v></c></row>'
             for n in range(1, 5)]  # fmt: skip
    styles = f'<styleSheet {bad.MAIN}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
    whole = bad.parts(cells, sharedStrings=bad.shared(["text", *bad.TEXTS]), styles=styles)
    data = damages.zipped([(name, part.encode()) for name, part in whole.items()])
    return written("f.xlsx", data)(folder)


def _xlsx_inline(folder: Path) -> Path:
    from tests.text import make_bad_binaries as bad

    whole = bad.parts(bad.column(bad.TEXTS))
    return written("f.xlsx", damages.zipped([(n, p.encode()) for n, p in whole.items()]))(folder)


def _table() -> Any:
    import pyarrow as pa

    texts = [row["text"] for row in ROWS] * 2
    kinds = pa.array(["a", "b", None] * 4).dictionary_encode()
    return pa.table({"text": texts, "kind": kinds, "n": list(range(12)), "tags": [["x"], None, []] * 4})


def parquet(**options: Any) -> Seed:
    def make(folder: Path) -> Path:
        import pyarrow.parquet as pq

        pq.write_table(_table(), folder / "f.parquet", row_group_size=5, **options)
        return folder / "f.parquet"

    return make


def arrow(kind: str, **options: Any) -> Seed:
    def make(folder: Path) -> Path:
        from pyarrow import ipc

        opened = ipc.new_file if kind == "file" else ipc.new_stream
        table = _table()
        with opened(folder / "f.arrow", table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table, max_chunksize=5)
        return folder / "f.arrow"

    return make


PARQUETS = (
    parquet(compression="none"),
    parquet(compression="snappy", write_page_checksum=True),
    parquet(
        compression="zstd",
        data_page_version="2.0",
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    ),
)
ARROWS = (arrow("file"), arrow("stream"), arrow("stream", compression="zstd"))
TABLES = (
    Reader(
        "jsonl",
        (written("f.jsonl", jsonl_text()),),
        _records(columns=("text",)),
        (),
        (mutate, damages.json_lines),
    ),
    Reader(
        "json",
        (written("f.json", json.dumps(ROWS, indent=1)), written("f.json", json.dumps(["一", "二"]))),
        _records(),
        (),
        (mutate, damages.json_values),
    ),
    Reader(
        "csv",
        (written("f.csv", csv_text(",")), written("f.csv", csv_text(";").encode("cp932"))),
        _records(columns=("text",)),
        (),
        (mutate, damages.lines('"', '"a', "sep=;", "a,b,c,d", ",,", 'a"b,"c"d,', "\r", "x" * 200_000)),
    ),
    Reader(
        "tsv",
        (written("f.tsv", csv_text("\t").replace("\n二行目。", "")),),
        _records(columns=("text",), quoting="none"),
        (),
        (mutate, damages.lines('"', "\t", "a\tb\tc\td", "sep=\t")),
    ),
    Reader(
        "xlsx",
        (xlsx, _xlsx_inline),
        _records(columns=("text",)),
        ("tane.text.workbook",),
        (mutate, damages.in_zip),
    ),
    Reader(
        "parquet",
        PARQUETS,
        _records(columns=("text", "kind")),
        ("tane.text.sources.parquet",),
        (mutate, damages.steady),
    ),
    Reader(
        "arrow",
        ARROWS,
        _records(columns=("text", "kind")),
        ("tane.text.sources.arrow",),
        (mutate, damages.steady),
    ),
)


# ------------------------------------------------------------------------------------------------ packed


def _zst(data: bytes, parts: int = 1) -> bytes:
    import zstandard

    packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
    size = -(-len(data) // parts)
    return b"".join(packer.compress(data[at : at + size]) for at in range(0, len(data), size))


def _packed_xlsx(folder: Path) -> Path:
    path = xlsx(folder)
    return written("f.xlsx.gz", gzip.compress(path.read_bytes(), mtime=0))(folder)


PACKED = (
    Reader(
        "gz",
        (
            written("f.txt.gz", gzip.compress(PROSE.encode(), mtime=0)),
            written("f.txt.gz", gzip.compress(PROSE.encode(), mtime=0) * 2),
            _packed_xlsx,
        ),
        _records(),
        (),
        (mutate, damages.steady, damages.in_gzip(mutate)),
    ),
    Reader(
        "zst",
        (
            lambda folder: written("f.txt.zst", _zst(PROSE.encode()))(folder),
            lambda folder: written("f.jsonl.zst", _zst(jsonl_text().encode(), 3))(folder),
        ),
        _records(),
        (),
        (mutate, damages.steady),
    ),
)


READERS: tuple[Reader, ...] = (*PLAIN, *TABLES, *PACKED)
