"""Arrow files and streams: types of text, what is cut or lies, and batches that memory could not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tane.errors import InputError
from tane.text.sources import Record, arrow
from tests.fuzz.mutations import survives
from tests.text import make_bad_binaries as bad
from tests.text.reads import packed, read

TEXTS = [f"{n} 番目の文です。" * (1 + n % 3) for n in range(100)]
BOTH = pytest.mark.parametrize("written", [bad.stream, bad.file], ids=["stream", "file"])
Written = Callable[..., bytes]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.arrow"


def texts(path: Path, **options: Any) -> list[str]:
    return [record.text for record in read(path, **options)[0]]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read(path, **options)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ columns


@BOTH
@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.json_()],
    ids=str,
)
@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_every_type_of_text(file: Path, written: Written, kind: pa.DataType, codec: str | None) -> None:
    values = [*TEXTS, None, "", *TEXTS[:3]]
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    else:
        column = pa.array(values, pa.string()).cast(kind)
    file.write_bytes(written(pa.table({"n": range(len(values)), "text": column}), rows=40, compression=codec))
    records, reading = read(file)
    assert records == [Record(value, n) for n, value in enumerate(values, 1) if value]
    assert reading.ledger.dropped_documents == {"no_text": 2} and reading.ledger.notes["rows"] == len(values)


@BOTH
def test_which_column(file: Path, written: Written) -> None:
    table = pa.table({"label": [0, 1], "文": ["一", "二"], "list": [["a"], ["b"]], "none": pa.nulls(2)})
    file.write_bytes(written(table))
    assert texts(file) == ["一", "二"]
    assert "column 'label' holds int64; expected text" in refused(file, columns=("label",))
    assert "column 'list' holds list<" in refused(file, columns=("list",))
    assert "no column 'text'" in refused(file, columns=("text",))
    assert texts(file, columns=("none",)) == []
    assert texts(file, columns=("none", "文")) == ["一", "二"]


@BOTH
def test_changing_and_growing_dictionaries(file: Path, written: Written) -> None:
    batches = [
        pa.record_batch({"text": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), values)})
        for values in (TEXTS[:2], TEXTS[:4], TEXTS[:5])
    ]
    options = {"emit_dictionary_deltas": True, "unify_dictionaries": False}
    file.write_bytes(written(pa.Table.from_batches(batches), **options))
    assert texts(file) == [TEXTS[n] for n in (0, 1, 0) * 3]


@BOTH
def test_tables_without_rows_or_batches(file: Path, written: Written) -> None:
    table = pa.table({"text": pa.array([], pa.string())})
    file.write_bytes(written(table))
    assert texts(file) == []


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files(file: Path, suffix: str) -> None:
    file.write_bytes(bad.stream(pa.table({"text": TEXTS})))
    assert texts(packed(Path(f"{file}{suffix}"))) == TEXTS


def test_streams_from_before_2019(file: Path) -> None:
    file.write_bytes(bad.stream(pa.table({"text": TEXTS}), use_legacy_format=True))
    assert texts(file) == TEXTS


# --------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a1-cut.arrow", "it ends before the end of its data"),
        ("a2-long-header.arrow", "damaged near byte 0: it ends before the end of its data"),
        ("a3-packed.arrow", "a batch of 1,152,921,504,606,84"),
        ("a4-offsets.arrow", "damaged: Offset invariant failure"),
        ("a5-place.arrow", "damaged: value 77 of 3 in a dictionary"),
        ("a6-not-utf8.arrow", "row 2: the text in column 'text' is no UTF-8: 82 a0 at its byte 1"),
        ("a7-parquet.arrow", "is a Parquet file; expected an Arrow file or stream"),
    ],
)
def test_refused_files(tmp_path: Path, name: str, message: str) -> None:
    assert message in refused(bad.make(tmp_path, name))


def test_what_is_no_utf8_can_be_left_out(tmp_path: Path) -> None:
    records, reading = read(bad.make(tmp_path, "a6-not-utf8.arrow"), on_bad="skip")
    assert records == [Record(bad.TEXTS[0], 1), Record(bad.TEXTS[2], 3)]
    assert reading.ledger.dropped_documents == {"undecodable": 1}


@BOTH
def test_every_cut_is_seen(file: Path, written: Written) -> None:
    data = written(pa.table({"text": TEXTS[:4]}), rows=2)
    for size in range(len(data)):
        file.write_bytes(data[:size])
        assert "f.arrow" in refused(file)


def test_other_files_named_arrow(file: Path) -> None:
    for data, message in [
        (b"", "is something else (it begins with nothing)"),
        ("ただの文\n".encode(), "is something else (it begins with e3 81"),
        (b"FEA1" + bytes(100), "is something else (it begins with 46 45 41 31"),
        (b"ARROW1\0\0", "ends before the end"),
    ]:
        file.write_bytes(data)
        assert message in refused(file)


@BOTH
def test_batches_that_memory_could_not_hold(
    file: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "LARGEST", 2_000)
    file.write_bytes(written(pa.table({"text": ["あ" * 300] * 2}), rows=1))
    assert len(texts(file)) == 2
    file.write_bytes(written(pa.table({"text": ["あ" * 3_000]}), compression="zstd"))
    assert file.stat().st_size < 2_000
    assert "a batch of 9," in refused(file) and "write it in smaller batches" in refused(file)
    file.write_bytes(written(pa.table({"text": pa.array(TEXTS).dictionary_encode()}), rows=10))
    assert "dictionaries of " in refused(file)


@BOTH
def test_damage(file: Path, written: Written) -> None:
    table = pa.table({"text": TEXTS[:12], "kind": pa.array(["a", "b"] * 6).dictionary_encode()})
    good = written(table, rows=6)
    columns = ("text", "kind")
    outcomes = {
        survives(lambda path: read(path, columns=columns, on_bad="skip"), file, good, number)
        for number in range(200)
    }
    assert outcomes == {True, False}
