"""Labelled rows: every format, the types of columns, splits of folders, labels by name, conditions."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tane.errors import InputError
from tane.settings import build
from tane.text import typed
from tane.text.rows import RowsSettings, Table, is_hub_name, name_labels, read_table, require_column, where
from tests.fuzz.mutations import survives
from tests.text.hub_server import serve

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
PAIRS = [("猫がいる。", "犬がいる。", 0), ("雨だ。", "雨が降る。", 1), ("a", "a", 1)]
NAMES = ["different", "same"]


@pytest.fixture
def pairs() -> Any:
    features = datasets.Features(
        {"a": datasets.Value("string"), "b": datasets.Value("string"),
         "label": datasets.ClassLabel(names=NAMES)}
    )  # fmt: skip
    columns = dict(zip(("a", "b", "label"), map(list, zip(*PAIRS, strict=True)), strict=True))
    return datasets.Dataset.from_dict(columns, features=features)


def written(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


def types(table: Table) -> dict[str, str]:
    return {name: str(getattr(feature, "dtype", "")) for name, feature in table.data.features.items()}


# --------------------------------------------------------------------------------------------- every format


def test_the_same_rows_from_every_format(tmp_path: Path, pairs: Any) -> None:
    rows = [dict(zip(("a", "b", "label"), row, strict=True)) for row in PAIRS]
    text = "a\tb\tlabel\n" + "".join("\t".join(map(str, row)) + "\n" for row in PAIRS)
    book = openpyxl.Workbook()
    for row in [("a", "b", "label"), *PAIRS]:
        book.active.append(row)
    book.save(tmp_path / "x.xlsx")
    paths = [
        written(tmp_path, "x.tsv", text),
        written(tmp_path, "x.csv", text.replace("\t", ",")),
        written(tmp_path, "cp932.csv", text.replace("\t", ",").encode("cp932")),
        written(tmp_path, "x.csv.gz", gzip.compress(text.replace("\t", ",").encode())),
        written(tmp_path, "x.jsonl", lines(*rows)),
        written(tmp_path, "x.json", json.dumps(rows)),
        str(tmp_path / "x.xlsx"),
        str(tmp_path / "x.parquet"),
        str(tmp_path / "saved"),
        str(tmp_path / "several"),
    ]
    pairs.to_parquet(tmp_path / "x.parquet")
    pairs.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": pairs, "test": pairs.select([0])}).save_to_disk(tmp_path / "several")
    paths += [str(next((tmp_path / "saved").glob("*.arrow")))]
    for path in paths:
        table = read_table(path)
        assert table.data.to_list() == rows, path
        assert types(table)["label"] == "int64" and len(table.positions) == 3
    named = [read_table(path).data.features["label"] for path in paths[-4:]]
    assert all(feature == pairs.features["label"] for feature in named)
    assert read_table(str(tmp_path / "several"), RowsSettings(split="test")).data.to_list() == rows[:1]
    assert read_table(paths[2]).found["encoding"] == "cp932"


def test_positions_are_lines_rows_and_items(tmp_path: Path) -> None:
    csv = written(tmp_path, "a.csv", 'text,n\n"two\nlines",1\n\nx,2\n')
    table = read_table(csv)
    assert (table.place, table.positions) == ("line", [2, 5]) and table.data["text"][0] == "two\nlines"
    assert table.found == {"delimiter": ",", "encoding": "ascii"} and table.dropped == {}
    assert read_table(written(tmp_path, "a.jsonl", '\n{"a": 1}\n\n{"a": 2}\n')).positions == [2, 4]
    array = read_table(written(tmp_path, "a.json", '[{"a": 1},\n{"a": 2}]'))
    assert (array.place, array.positions) == ("item", [1, 2])
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A3"] = "text", "x"
    book.save(tmp_path / "a.xlsx")
    sheet = read_table(str(tmp_path / "a.xlsx"))
    assert (sheet.place, sheet.positions, sheet.found["sheet"]) == ("row", [3], "Sheet")


def test_plain_text_is_one_column(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a.txt", "一つ目。\n続き。\n\n二つ目。\n"))
    assert table.data.to_dict() == {"text": ["一つ目。\n続き。", "二つ目。"]} and table.positions == [1, 4]


def test_strings_of_json_are_one_column(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a.jsonl", '"猫"\n"犬"\n')).data.to_dict() == {"text": ["猫", "犬"]}


def test_packed_and_damaged_arrow(tmp_path: Path, pairs: Any) -> None:
    pairs.save_to_disk(tmp_path / "saved")
    file = next((tmp_path / "saved").glob("*.arrow"))
    packed = written(tmp_path, "a.arrow.gz", gzip.compress(file.read_bytes()))
    assert read_table(packed).data.to_list() == pairs.to_list()
    with pa.OSFile(str(tmp_path / "f.arrow"), "wb") as sink, pa.ipc.new_file(sink, pairs.data.schema) as out:
        out.write_table(pairs.data.table)
    assert read_table(str(tmp_path / "f.arrow")).data.features == pairs.features
    cut = file.read_bytes()[:-8]  # without its end mark it is a stream of fewer batches
    for path in (written(tmp_path, "cut.arrow", cut), written(tmp_path, "cut.arrow.gz", gzip.compress(cut))):
        assert "damaged" in refused(lambda path=path: read_table(path))
    file.write_bytes(cut)
    assert "damaged" in refused(lambda: read_table(str(tmp_path / "saved")))
    assert "damaged" in refused(lambda: read_table(written(tmp_path, "a.parquet", b"PAR1" + bytes(99))))
    assert "expected a Parquet" in refused(lambda: read_table(written(tmp_path, "b.parquet", b"PK\3\4 zip")))


# -------------------------------------------------------------------------------------------- types of text


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-20", "0"], "int64", [1, -20, 0]),
        (["1", "", "3"], "int64", [1, None, 3]),
        (["1", "2.5", ""], "float64", [1.0, 2.5, None]),
        (["1e3", "-0.5"], "float64", [1000.0, -0.5]),
        (["007", "1"], "string", ["007", "1"]),
        (["1", "x", ""], "string", ["1", "x", ""]),
        (["", ""], "string", ["", ""]),
        (["nan", "1"], "string", None),
        (["inf"], "string", None),
        (["1e999", "1"], "string", None),
        (["+1", "1"], "string", None),
        ([" 1", "1"], "string", None),
        (["１"], "string", None),
        (["1_000"], "string", None),
        (["9223372036854775807"], "int64", [2**63 - 1]),
        (["9223372036854775808"], "string", None),
        (["9007199254740993", "0.5"], "string", None),
        (["TRUE", "FALSE"], "string", None),
    ],
)
def test_types_of_columns_of_text(
    cells: list[str], kind: str, values: list[Any] | None, tmp_path: Path
) -> None:
    path = written(tmp_path, "a.csv", "x,other\n" + "".join(f"{cell},t\n" for cell in cells))
    table = read_table(path)
    assert types(table)["x"] == kind and table.data["x"][:] == (cells if values is None else values)


@given(st.lists(st.one_of(st.integers(), st.floats(), st.text()).map(str), min_size=1))
def test_a_column_of_whole_numbers_can_be_written_back(cells: list[str]) -> None:
    array = typed.of_text(cells)
    assert len(array) == len(cells)
    if array.type == pa.int64():
        assert [str(value) if value is not None else "" for value in array.to_pylist()] == cells
    elif array.type == pa.string():
        assert array.to_pylist() == cells
    else:
        assert [value if value is None else float(value) for value in array.to_pylist()] == [
            float(cell) if cell else None for cell in cells
        ]


def test_what_a_workbook_shows(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [("id", "code", "ok", "n"), (1, "001", True, 0.5), (2, "x", None, None), (3, "", False, 2)]:
        book.active.append(row)
    book.active["G2"] = "beside the table"
    book.active["D4"] = "#N/A"
    book.active["D4"].data_type = "e"
    book.save(tmp_path / "a.xlsx")
    table = read_table(str(tmp_path / "a.xlsx"))
    assert table.data.to_dict() == {
        "id": [1, 2, 3], "code": ["001", "x", ""], "ok": ["TRUE", "", "FALSE"], "n": [0.5, None, None]
    }  # fmt: skip
    assert table.found["notes"] == {"cells_without_a_name": 1, "error_cells": 1}


def test_rows_without_anything_are_counted(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a.csv", "a,b\n1,x\n,\n,y\n"))
    assert table.data.to_dict() == {"a": [1, None], "b": ["x", "y"]}
    assert table.found["notes"] == {"blank_rows": 1}


# -------------------------------------------------------------------------------------------- types of JSON


def test_json_keeps_its_types(tmp_path: Path) -> None:
    rows = [
        {"n": 1, "x": 1, "ok": True, "list": ["a"], "o": {"k": 1}, "none": None},
        {"n": 2, "x": 0.5, "ok": None, "list": [], "o": {"k": None}, "late": "here"},
    ]
    table = read_table(written(tmp_path, "a.jsonl", lines(*rows)))
    assert table.data.to_list() == [{**rows[0], "late": None}, {**rows[1], "none": None}]
    assert types(table)["n"] == "int64" and types(table)["x"] == "float64" and types(table)["ok"] == "bool"
    assert types(table)["none"] == "string" and "mixed" not in table.found


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (1, "x", "a number (line 1), text (line 2)"),
        (True, 1, "true or false (line 1), a number (line 2)"),
        ("x", ["y"], "text (line 1), a list (line 2)"),
        ({}, 0.5, "an object (line 1), a number (line 2)"),
        ([1], ["x"], "a list with values of several types (line 1)"),
        (2**63, 1, "a number out of range (line 1), a number (line 2)"),
        (2**53 + 1, 0.5, "a number with values of several types (line 1)"),
    ],
)
def test_columns_of_mixed_types(tmp_path: Path, first: Any, second: Any, told: str) -> None:
    path = written(tmp_path, "a.jsonl", lines({"m": first, "t": "x"}, {"m": second, "t": "y"}))
    table = read_table(path)
    assert table.found["mixed"] == {"m": told}
    shown = [value if isinstance(value, str) else json.dumps(value) for value in (first, second)]
    assert table.data["m"][:] == shown
    assert read_table(path, columns=["t"]).data.to_dict() == {"t": ["x", "y"]}
    message = refused(lambda: read_table(path, columns=["t", "m"]))
    assert f"{path}: column 'm' is of mixed types: {told}" in message


def test_numbers_without_end_are_no_floats(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a.jsonl", '{"x": 1e999}\n{"x": 1}\n'))
    assert table.found["mixed"] == {"x": "a number out of range (line 1), a number (line 2)"}


def test_lone_surrogates_become_marks_and_are_counted(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a.jsonl", '{"x": "\\ud800!", "y": [{"k": "\\udfff"}]}\n{}\n'))
    assert table.data[0] == {"x": "\ufffd!", "y": [{"k": "\ufffd"}]}
    assert table.found["notes"] == {"lone_surrogates": 2}


# ------------------------------------------------------------------------------------------------- bad rows


def test_bad_rows_stop_or_are_counted(tmp_path: Path) -> None:
    ragged = written(tmp_path, "a.csv", "a,b\n1,x\n2\n3,y\n")
    message = refused(lambda: read_table(ragged))
    assert f"{ragged}, line 3: fields: 1, expected 2" in message
    assert "quoting: none" in message and "corpus" not in message and "{" not in message
    table = read_table(ragged, RowsSettings(on_bad="skip"))
    assert table.data["a"][:] == [1, 3] and table.positions == [2, 4] and table.dropped == {"ragged": 1}
    broken = written(tmp_path, "b.jsonl", b'{"a": "x"}\n{"a": \n{"a": "\xff\xfe"}\n{"a": "y"}\n')
    assert "on_bad: skip" in refused(lambda: read_table(written(tmp_path, "c.jsonl", '{"a": 1}\n{"a":\n')))
    table = read_table(broken, RowsSettings(on_bad="skip", encoding="utf-8"))
    assert table.data["a"][:] == ["x", "y"] and table.dropped == {"bad_line": 1, "undecodable": 1}


def test_values_that_are_nested_deeply(tmp_path: Path) -> None:
    for depth in (33, 400, 900):
        deep = '{"a": ' + "[" * depth + "]" * depth + "}\n"
        path = written(tmp_path, "a.jsonl", '{"a": [[]]}\n' + deep)
        assert "line 2: a value is nested too deeply" in refused(lambda path=path: read_table(path))
        table = read_table(path, RowsSettings(on_bad="skip"))
        assert len(table.data) == 1 and table.dropped == {"nested": 1}
    fine = '{"a": ' + '{"b": [' * 16 + "1" + "]}" * 16 + "}\n"
    assert len(read_table(written(tmp_path, "b.jsonl", fine * 2)).data) == 2


def test_files_without_rows(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.json"):
        assert "holds no rows" in refused(lambda name=name: read_table(written(tmp_path, name, "")))
    assert "holds no rows" in refused(lambda: read_table(written(tmp_path, "b.json", "[]")))
    assert "has no columns" in refused(lambda: read_table(written(tmp_path, "b.jsonl", "{}\n{}\n")))
    table = read_table(written(tmp_path, "head.csv", "text,label\n"))
    assert len(table.data) == 0 and types(table) == {"text": "string", "label": "string"}


def test_names_of_columns(tmp_path: Path) -> None:
    assert (
        read_table(written(tmp_path, "bom.csv", b"\xef\xbb\xbftext,n\nx,1\n")).data.column_names[0] == "text"
    )
    assert "2 columns called 'a'" in refused(lambda: read_table(written(tmp_path, "a.csv", "a,a\n1,2\n")))
    index = read_table(written(tmp_path, "b.csv", ",text\n0,x\n"))
    assert index.data.to_dict() == {"": [0], "text": ["x"]}
    one = refused(lambda: read_table(written(tmp_path, "c.csv", "これは文です。\nこれも文です。\n")))
    assert "its first row looks like text" in one
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "a.parquet")
    assert "several columns called 'a'" in refused(lambda: read_table(str(tmp_path / "a.parquet")))


def test_a_number_as_the_name_of_a_column(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a.csv", "1,2\nx,y\n")).data.to_dict() == {"1": ["x"], "2": ["y"]}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "arrow"])
def test_damaged_files_give_rows_or_one_error(ending: str, tmp_path: Path, pairs: Any) -> None:
    path = tmp_path / f"x.{ending}"
    if ending == "arrow":
        pairs.save_to_disk(tmp_path / "saved")
        next((tmp_path / "saved").glob("*.arrow")).rename(path)
    else:
        {"csv": pairs.to_csv, "jsonl": pairs.to_json, "parquet": pairs.to_parquet}[ending](path)
    good = path.read_bytes()
    ends = {survives(lambda at: read_table(str(at)), path, good, number) for number in range(40)}
    assert ends == {True, False}


# ------------------------------------------------------------------------------------------ folders, splits


def test_the_splits_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train-v1.csv", "my_dev.csv", "test-00000-of-00002.csv", "test-00001-of-00002.csv"):
        written(tmp_path, name, f"text\n{name}\n")
    written(tmp_path, "notes.md", "about these data")
    folder = str(tmp_path)

    def read(split: str | None) -> list[str]:
        table = read_table(folder, RowsSettings(split=split))
        assert table.found["split"] in ("train", "validation", "test")
        return table.data["text"][:]

    assert read(None) == read("train") == ["train-v1.csv"]
    assert read("dev") == read("valid") == read("validation") == ["my_dev.csv"]
    assert read("test") == ["test-00000-of-00002.csv", "test-00001-of-00002.csv"]
    assert "left out 1 file(s) beside the data: " in capsys.readouterr().err
    assert "no split 'all'; it has: test, train, validation" in refused(lambda: read("all"))
    assert read_table(str(tmp_path / "test*.csv")).data.num_rows == 2
    assert "no splits" in refused(
        lambda: read_table(str(tmp_path / "my_dev.csv"), RowsSettings(split="test"))
    )


def test_splits_may_be_folders(tmp_path: Path) -> None:
    written(tmp_path, "train/a.csv", "text\ntrained\n")
    written(tmp_path, "test/a.csv", "text\ntested\n")
    assert read_table(str(tmp_path)).data["text"][:] == ["trained"]
    assert read_table(str(tmp_path), RowsSettings(split="test")).data["text"][:] == ["tested"]


def test_the_only_split_is_taken(tmp_path: Path) -> None:
    written(tmp_path, "test.csv", "text\nx\n")
    assert len(read_table(str(tmp_path)).data) == 1
    written(tmp_path, "dev.csv", "text\ny\n")
    assert "no split 'train'" in refused(lambda: read_table(str(tmp_path)))


def test_files_of_a_folder_are_put_together(tmp_path: Path, pairs: Any) -> None:
    written(tmp_path / "same", "a.csv", "id,text\n1,x\n")
    written(tmp_path / "same", "b.csv", "text,id\ny,A2\n")  # the ids of both files are text then
    table = read_table(str(tmp_path / "same"))
    assert table.data.to_dict() == {"id": ["1", "A2"], "text": ["x", "y"]}
    assert table.positions == [1, 2] and table.place == "row" and table.found["files"] == 2
    assert "after a split" in refused(lambda: read_table(str(tmp_path / "same"), RowsSettings(split="test")))
    written(tmp_path / "same", "c.csv", "id,title\n3,z\n")
    message = refused(lambda: read_table(str(tmp_path / "same")))
    assert "do not have the same columns" in message and "lacks 'text'" in message and "'title'" in message
    written(tmp_path / "same", "d.jsonl", '{"id": 1}\n')
    assert "several formats (jsonl, table)" in refused(lambda: read_table(str(tmp_path / "same")))
    (tmp_path / "typed").mkdir()
    for name in ("1", "2"):
        pairs.to_parquet(tmp_path / "typed" / f"{name}.parquet")
    table = read_table(str(tmp_path / "typed"))
    assert len(table.data) == 6 and table.data.features == pairs.features and table.found["files"] == 2
    pairs.cast_column("label", datasets.Value("string")).to_parquet(tmp_path / "typed" / "3.parquet")
    assert "different types in column 'label'" in refused(lambda: read_table(str(tmp_path / "typed")))


# ---------------------------------------------------------------------------------------------- names, hub


@pytest.mark.parametrize(
    ("name", "is_hub"),
    [
        ("glue/mrpc", True), ("nyu-mll/glue/mrpc", True), ("hf://imdb", True), ("imdb", False),
        ("glue/mrpc.csv", False), ("glue/mrpc.csv.gz", False), ("here/data", False), ("./glue/mrpc", False),
        ("../glue/mrpc", False), ("/glue/mrpc", False), ("a/b/c/d", False), ("texts/*", False),
        ("a//b", False), ("https://host/a", False), ("llm-book/wrime-sentiment.v2", True),
    ],
)  # fmt: skip
def test_names_of_the_hub(name: str, is_hub: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert is_hub_name(name) is is_hub


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "here/pairs.csv", "a\n1\n")
    monkeypatch.chdir(tmp_path)
    assert "did you mean here/pairs.csv" in refused(lambda: read_table("here/pear.csv"))
    message = refused(lambda: read_table("here/data"))
    assert "does not exist" in message and "a data set of the hub: hf://here/data" in message
    assert "hf://imdb" in refused(lambda: read_table("imdb"))


def test_a_data_set_of_the_hub_without_network_is_one_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    assert "not in the local cache, and the hub cannot be reached" in refused(lambda: read_table("glue/mrpc"))
    assert time.monotonic() - begun < 5 + 25  # of which an import may take some


HUB_READ = """
import sys
from tane.text.rows import RowsSettings, read_table
table = read_table("me/tiny", RowsSettings(split=sys.argv[1]), cache_dir=sys.argv[2] or None)
place = table.data.cache_files[0]["filename"]
print(table.name, table.data.features["label"].names, table.data["label"][:], place)
"""


def test_a_split_of_the_hub_in_a_cache_of_its_own(tmp_path: Path, pairs: Any) -> None:
    pairs.to_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    files = {"data/train-00000-of-00001.parquet": content, "data/test-00000-of-00001.parquet": content}
    home, cache = tmp_path / "home", tmp_path / "cache"

    def read(endpoint: str, folder: str, offline: str = "0") -> str:
        env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline,
               "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
        command = [sys.executable, "-c", HUB_READ, "test", folder]
        done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path, check=True)
        return done.stdout.splitlines()[-1]

    with serve(files) as endpoint:
        told = read(endpoint, str(cache))
        assert told.startswith(f"hf://me/tiny {NAMES} [0, 1, 1] {cache}/")
        assert (cache / "hub").is_dir() and not (home / "datasets").exists() and not (home / "hub").exists()
        assert f" {home}/datasets/" in read(endpoint, "")
    assert read("http://127.0.0.1:9", str(cache), "1") == told


# -------------------------------------------------------------------------------------------------- columns


def test_only_the_asked_columns(tmp_path: Path, pairs: Any) -> None:
    path = written(tmp_path, "a.csv", "sentence1,sentence2,label\nx,y,1\n")
    assert read_table(path, columns=["label", "sentence1"]).data.column_names == ["label", "sentence1"]
    message = refused(lambda: read_table(path, columns=["label", "sentense1"]))
    assert "it has: sentence1 (text), sentence2 (text), label (integer)" in message
    assert "did you mean: sentence1" in message
    pairs.to_parquet(tmp_path / "a.parquet")
    assert read_table(str(tmp_path / "a.parquet"), columns=["b"]).data.column_names == ["b"]
    assert "has no column 'c'" in refused(lambda: read_table(str(tmp_path / "a.parquet"), columns=["c"]))


def test_a_missing_column_and_the_nearest(tmp_path: Path) -> None:
    rows = {"sentence one": "x", "label": 1, "score": 0.5, "ok": True, "tags": ["a"], "o": {"k": 1}}
    table = read_table(written(tmp_path, "a.jsonl", lines(rows)))
    require_column(table, "label", "task.label")
    message = refused(lambda: require_column(table, "sentence_one", "task.text"))
    assert (
        f"{table.name} has no column 'sentence_one'; it has: sentence one (text), label (integer)" in message
    )
    assert "score (number), ok (true or false), tags (list of text), o (object)" in message
    assert "did you mean: --task.text 'sentence one'" in message
    assert "did you mean: --task.label label" in refused(lambda: require_column(table, "LABEL", "task.label"))
    assert "name one of them: --task.text COLUMN" in refused(lambda: require_column(table, "猫", "task.text"))


# --------------------------------------------------------------------------------------------------- labels


def labelled(folder: Path, values: Sequence[Any]) -> Table:
    return read_table(written(folder, "l.jsonl", lines(*({"label": value, "t": "x"} for value in values))))


def test_labels_by_name(tmp_path: Path, pairs: Any) -> None:
    for values in ([1, 0, 1], ["same", "different", "same"], [True, False, True]):
        table = name_labels(labelled(tmp_path, values), "label", NAMES)
        assert table.data.features["label"].names == NAMES and table.data["label"][:] == [1, 0, 1]
        assert table.data.column_names == ["label", "t"] and table.positions == [1, 2, 3]
    again = name_labels(table, "label", ["same", "different"])  # the same names in another order
    assert again.data["label"][:] == [0, 1, 0]
    other = name_labels(table, "label", ["no", "yes"])
    assert other.data["label"][:] == [1, 0, 1] and other.data.features["label"].names == ["no", "yes"]
    assert name_labels(table, "label", NAMES) is table


@pytest.mark.parametrize(
    ("values", "names", "told"),
    [
        ([0, 2], NAMES, "line 2: the label in 'label' is a number (2); names are given for 0 to 1"),
        ([0, -1], NAMES, "line 2: the label in 'label' is a number (-1)"),
        (["same", "sane"], NAMES, "line 2: the label 'sane' in 'label' is none of: different, same"),
        (["same", "sane"], NAMES, "did you mean 'same'?"),
        ([0, None], NAMES, "line 2: 'label' has no value"),
        (["same", ""], NAMES, "line 2: 'label' has no value"),
        ([0.5, 1.0], NAMES, "'label' holds number; labels are text or whole numbers"),
        ([0, 1], ["a", "a"], "expected different ones, found a, a"),
        ([0, 1], [], "found none"),
    ],
)
def test_labels_that_have_no_name(tmp_path: Path, values: list[Any], names: list[str], told: str) -> None:
    assert told in refused(lambda: name_labels(labelled(tmp_path, values), "label", names))


def test_it_stays_clear_which_label_is_which(tmp_path: Path) -> None:
    table = name_labels(labelled(tmp_path, [0, 1]), "label", NAMES)
    for names in (["same", "other"], ["a", "b", "c"]):
        assert "has the labels different, same" in refused(
            lambda names=names: name_labels(table, "label", names)
        )
    assert "has no column 'lable'" in refused(lambda: name_labels(table, "lable", NAMES))


# ----------------------------------------------------------------------------------------------- conditions


@pytest.fixture
def some(tmp_path: Path) -> Any:
    rows = [
        {"id": 1, "x": 0.5, "t": "猫", "ok": True, "label": 0, "a=b": 1, "l": [1]},
        {"id": 2, "x": None, "t": "", "ok": False, "label": 1, "a=b": 2, "l": [1]},
        {"id": 3, "x": 2.0, "t": "a=b", "ok": None, "label": 1, "a=b": 3, "l": [1]},
        {"id": None, "x": 3.0, "t": None, "ok": True, "label": 0, "a=b": 4, "l": [1]},
    ]
    return name_labels(read_table(written(tmp_path, "w.jsonl", lines(*rows))), "label", NAMES).data


@pytest.mark.parametrize(
    ("conditions", "rows"),
    [
        ([], [1, 2, 3, 4]),
        (["label=same"], [2, 3]),
        (["label=1"], [2, 3]),
        (["label==different"], [1, 4]),
        (["label!=same"], [1, 4]),
        (["label>=1"], [2, 3]),
        (["label=same", "id>2"], [3]),
        (["x>=2"], [3, 4]),
        (["x<2"], [1]),
        (["x=0.5"], [1]),
        (["id!=2"], [1, 3, 4]),
        (["id = 2"], [2]),
        (["id=2.5"], []),
        (["x="], [2]),
        (["x!="], [1, 3, 4]),
        (["t="], [2, 4]),
        (["t!="], [1, 3]),
        (["t=猫"], [1]),
        (["t=a=b"], [3]),
        (["a=b=2"], [2]),
        (["a=b>2"], [3, 4]),
        (["ok=true"], [1, 4]),
        (["ok=False"], [2]),
        (["ok="], [3]),
        (["id>1", "x<1"], []),
    ],
)
def test_where(some: Any, conditions: list[str], rows: list[int]) -> None:
    assert where(some, conditions)["a=b"][:] == rows
    twice = where(where(some, conditions), conditions)
    assert twice["a=b"][:] == rows and twice.features == some.features


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("lable=same", "did you mean: --where label=same"),
        ("label=sane", "did you mean: --where label=same"),
        ("label=zzz", "its labels: different, same"),
        ("label", "'label' is no condition"),
        ("id=x", "'id' holds numbers, and 'x' is none"),
        ("t<x", "compared with = and != alone"),
        ("ok=1", "is true or false, not '1'"),
        ("l=1", "conditions are on text, numbers and labels"),
    ],
)
def test_conditions_that_mean_nothing(some: Any, condition: str, told: str) -> None:
    assert told in refused(lambda: where(some, [condition]))


# ----------------------------------------------------------------------------------------- settings, real


def test_the_settings() -> None:
    assert build(RowsSettings, {"format": "tsv", "encoding": "Shift_JIS"}, "rows").encoding == "cp932"
    assert "quoting" in refused(lambda: build(RowsSettings, {"quoting": "some"}, "rows"))
    assert "unknown key" in refused(lambda: build(RowsSettings, {"colum": "x"}, "rows"))


def test_mrpc_as_it_is_published(real_data: Path) -> None:
    path = str(real_data / "pairs/mrpc/msr_paraphrase_train.txt")
    settings = RowsSettings(format="tsv", quoting="none")
    table = read_table(path, settings)
    assert len(table.data) == 4076 and table.data.column_names[0] == "Quality"  # the file begins with a BOM
    assert types(table) == {
        "Quality": "int64", "#1 ID": "int64", "#2 ID": "int64", "#1 String": "string", "#2 String": "string"
    }  # fmt: skip
    named = name_labels(table, "Quality", ["not_equivalent", "equivalent"])
    assert len(where(named.data, ["Quality=equivalent"])) == 2753
    assert where(named.data, ["Quality=not_equivalent"])[0]["#1 ID"] == 2108705
    raw = Path(path).read_text(encoding="utf-8-sig").split("\n")
    assert [raw[n - 1].split("\t")[3] for n in table.positions] == table.data["#1 String"][:]
    folder = read_table(str(real_data / "pairs/mrpc"), settings.model_copy(update={"split": "test"}))
    assert len(folder.data) == 1725
    message = refused(lambda: read_table(path, RowsSettings(format="tsv")))
    assert "the quote that opens on line 11" in message and "quoting: none" in message


def test_japanese_sets_as_they_are_published(real_data: Path) -> None:
    jsts = read_table(str(real_data / "pairs/jsts"), RowsSettings(split="valid"))
    assert len(jsts.data) == 1457 and types(jsts)["label"] == "float64"
    questions = read_table(str(real_data / "pairs/jcommonsenseqa/valid-v1.3.json"))
    assert len(questions.data) == 1119 and questions.data[0]["choice2"] == "マザーボード"
    assert len(name_labels(questions, "label", list("abcde")).data) == 1119
    jec = read_table(str(real_data / "short/jec-basic-sentences.tsv"))
    assert len(jec.data) == 5304 and jec.data["id"][0] == "0001"
    snow = read_table(str(real_data / "short/snow-t15-shared.xlsx"))
    assert len(snow.data) == 40_000 and types(snow)["ID"] == "int64" and "notes" not in snow.found
