"""Parquet files: types of text, damage, files that lie about their sizes, and memory for huge row groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tane.errors import InputError
from tane.text.sources import Record, parquet
from tests.fuzz.mutations import survives
from tests.text import make_bad_binaries as bad
from tests.text.reads import packed, read

TEXTS = [f"{n} 番目の文です。" * (1 + n % 3) for n in range(200)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.parquet"


def write(path: Path, column: Any, **options: Any) -> Path:
    table = column if isinstance(column, pa.Table) else pa.table({"text": column})
    path.write_bytes(bad.parquet(table, **options))
    return path


def texts(path: Path, **options: Any) -> list[str]:
    return [record.text for record in read(path, **options)[0]]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read(path, **options)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ columns


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
        pa.json_(),
    ],
    ids=str,
)
@pytest.mark.parametrize("store_schema", [True, False])
def test_every_type_of_text(file: Path, kind: pa.DataType, store_schema: bool) -> None:
    values = [*TEXTS[:100], None, "", *TEXTS[:3]]
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    else:
        column = pa.array(values, pa.string()).cast(kind)
    records, reading = read(write(file, column, store_schema=store_schema, row_group_size=40))
    places = [n for n, value in enumerate(values, 1) if value]
    assert records == [Record(values[n - 1], n) for n in places]
    assert reading.ledger.dropped_documents == {"no_text": 2}
    assert reading.ledger.notes["rows"] == len(values) and reading.found == {"columns": ["text"]}


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_codec_and_page_version(file: Path, codec: str, version: str) -> None:
    assert (
        texts(write(file, TEXTS, compression=codec, data_page_version=version, data_page_size=500)) == TEXTS
    )


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files(file: Path, suffix: str) -> None:
    write(file, TEXTS)
    assert texts(packed(Path(f"{file}{suffix}"))) == TEXTS


def test_which_column(file: Path) -> None:
    table = pa.table({"id": [1, 2], "文": ["一", "二"], "raw": [b"a", b"b"], "a.b": ["点", None]})
    write(file, table)
    assert "'id', '文', 'raw', 'a.b'" in refused(file) and "--corpus.column 文" in refused(file)
    assert texts(file, columns=("a.b", "文")) == ["点", "一", "二"]
    assert "holds int64; expected text (string)\n  -> columns with text: '文', 'a.b'" in refused(
        file, columns=("id",)
    )
    write(file, table.select(["id", "文"]))
    assert texts(file) == ["一", "二"]
    write(file, pa.table([["一"], ["二"]], names=["text", "text"]))
    assert "2 columns called 'text'" in refused(file)


def test_a_column_beside_one_whose_name_continues_it(file: Path) -> None:
    table = pa.table({"a": ["一"], "a.b": ["二"], "s": [{"a": "三"}]})
    assert texts(write(file, table), columns=("a",)) == ["一"]


def test_only_the_chosen_column_is_read(file: Path) -> None:
    write(file, pa.table({"other": ["x" * 5_000], "text": ["一"]}), compression="none", use_dictionary=False)
    data = file.read_bytes()
    file.write_bytes(data.replace(b"x" * 5_000, b"\xff" * 5_000))
    assert texts(file) == ["一"]


def test_units_split_a_cell(file: Path) -> None:
    write(file, ["一\n\n二\r\n三", "四"])
    assert texts(file, unit="line") == ["一", "二", "三", "四"]
    assert texts(file, unit="paragraph") == ["一", "二\n三", "四"]
    assert texts(file, unit="file") == ["一\n\n二\n三\n四"]


def test_an_empty_table_gives_no_record(file: Path) -> None:
    assert texts(write(file, pa.array([], pa.string()))) == []


# --------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p1-cut.parquet", "damaged: Parquet magic bytes not found in footer"),
        ("p2-long-footer.parquet", "smaller than the size reported by footer's (2147483648"),
        (
            "p3-binary.parquet",
            "column 'text' holds binary; expected text (string)\n  -> turn bytes that are text",
        ),
        ("p4-list.parquet", "column 'text' holds list<"),
        ("p6-codec.parquet", "needs what the installed pyarrow"),
        ("p7-not-utf8.parquet", "row 2: the text in column 'text' is no UTF-8: 82 a0 at its byte 1"),
        ("p8-statistics.parquet", "damaged: Definition level histogram size mismatch"),
    ],
)
def test_refused_files(tmp_path: Path, name: str, message: str) -> None:
    assert message in refused(bad.make(tmp_path, name))


def test_p4_a_column_of_nulls_has_no_text(tmp_path: Path) -> None:
    records, reading = read(bad.make(tmp_path, "p4-null.parquet"))
    assert records == [] and reading.ledger.dropped_documents == {"no_text": 3}


def test_p7_what_is_no_utf8_can_be_left_out(tmp_path: Path) -> None:
    records, reading = read(bad.make(tmp_path, "p7-not-utf8.parquet"), on_bad="skip")
    assert records == [Record(bad.TEXTS[0], 1), Record(bad.TEXTS[2], 3)]
    assert reading.ledger.dropped_documents == {"undecodable": 1}


def test_other_files_named_parquet(file: Path) -> None:
    for data, message in [
        (b"", "is something else (it begins with nothing)"),
        (b"text\n", "is something else (it begins with 74 65 78 74 0a)"),
        (b"\x1f\x8b\x08", "is a gzip file; expected a Parquet file"),
        (b"PAR1", "is damaged"),
        (b"PAR1PAR1", "is damaged"),
    ]:
        file.write_bytes(data)
        assert message in refused(file)


def test_a_row_count_that_does_not_hold(file: Path) -> None:
    data = write(file, ["一"] * 77, compression="none").read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    said, lie = b"\x16\x9a\x01", b"\x16\x9c\x01"  # 77 and 78 as 64-bit numbers of Thrift's compact form
    file.write_bytes(data[:footer] + data[footer:].replace(said, lie, 1))
    assert "is damaged: it holds 77 rows and says 78" in refused(file)


def test_a_flipped_bit_under_a_checksum(file: Path) -> None:
    data = bytearray(write(file, TEXTS, write_page_checksum=True, compression="none").read_bytes())
    data[data.index("番".encode())] ^= 1
    file.write_bytes(data)
    assert "crc checksum verification failed" in refused(file, on_bad="skip").lower()


def test_a_decompression_bomb(file: Path) -> None:
    write(file, pa.array(["あ" * 25_000_000]), compression="zstd")
    assert file.stat().st_size < 100_000
    assert "unpacks to 75," in refused(file) and "a decompression bomb?" in refused(file)


def test_categories_that_memory_could_not_hold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, pa.array(TEXTS).dictionary_encode())
    monkeypatch.setattr(parquet, "LARGEST_CATEGORIES", 1_000)
    assert "holds its text as categories" in refused(file)
    assert texts(write(file, TEXTS)) == TEXTS


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "zstd", "data_page_version": "2.0", "use_dictionary": False,
         "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    ],
    ids=["plain", "delta"],
)  # fmt: skip
def test_damage(file: Path, options: dict[str, Any]) -> None:
    good = write(file, TEXTS[:20], **options).read_bytes()
    outcomes = {survives(lambda path: read(path, on_bad="skip"), file, good, number) for number in range(200)}
    assert outcomes == {True, False}


# ------------------------------------------------------------------------------------------------- memory

PEAK = """
import re, sys
from pathlib import Path
from tane.text.raw import Raw
from tane.text.sources import Reading
from tane.text.sources.parquet import Parquet
print(sum(len(r.text) for r in Parquet().records(Reading(Raw(Path(sys.argv[1])), "record"))))
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the largest memory there")
def test_p5_a_huge_row_group_is_never_in_memory(file: Path) -> None:
    numbers = pa.array(range(1_000_000, 1_900_000)).cast(pa.string())
    write(
        file, pc.binary_repeat(numbers, 50), compression="none", use_dictionary=False, row_group_size=900_000
    )
    assert file.stat().st_size > 300_000_000 and pq.read_metadata(file).num_row_groups == 1
    ran = subprocess.run([sys.executable, "-c", PEAK, str(file)], capture_output=True, text=True, check=True)
    characters, kilobytes = map(int, ran.stdout.split())
    assert characters == 900_000 * 350 and kilobytes < 200_000
