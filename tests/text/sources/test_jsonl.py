"""JSON lines: every bad file of the list, columns that come and go, arrays, texts as lines, and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.text import lines
from tane.text import raw as raws
from tane.text.sources import jsonl
from tests.fuzz.mutations import survives
from tests.text.make_bad_inputs import BadFile, line
from tests.text.make_bad_inputs import jsonl as bad_files
from tests.text.reads import packed, read, texts

UNITS = ["record", "sentence", "line", "paragraph", "file"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.jsonl"


def rows(*values: Any) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


@pytest.mark.parametrize("on_bad", ["stop", "skip"])
@pytest.mark.parametrize("bad", bad_files(), ids=lambda bad: f"{bad.row}-{bad.name}")
def test_bad_files(tmp_path: Path, bad: BadFile, on_bad: str) -> None:
    expected = bad.stop if on_bad == "stop" else bad.skip
    path = tmp_path / bad.name
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            texts(path, bad.data, columns=bad.columns, on_bad=on_bad)
    else:
        assert texts(path, bad.data, columns=bad.columns, on_bad=on_bad) == expected


def test_what_is_left_out_is_counted(file: Path) -> None:
    cut = '{"text": "終わり'
    file.write_text(line("一。") + '{"text": 1, "text": 2}\n' + line(3) + line(None) + "[1]\n" + cut)
    ledger = read(file, on_bad="skip")[1].ledger
    assert ledger.dropped_documents == {"bad_line": 3, "not_text": 1, "no_text": 1}
    assert ledger.dropped_characters["bad_line"] == len('{"text": 1, "text": 2}\n[1]\n') + len(cut)
    assert ledger.notes["rows"] == 3


def test_only_the_chosen_cells_count_as_read(file: Path) -> None:
    file.write_text("\ufeff" + rows({"id": "長い名前", "text": "一。"}, {"text": "二。", "more": "三。"}))
    ledger = read(file)[1].ledger
    assert ledger.read == len("\ufeff一。二。") and ledger.change["bom"] == 1 and ledger.notes["rows"] == 2


def test_positions_are_lines(file: Path) -> None:
    file.write_text("\n" + line("一") + "\n\n" + line("二"))
    assert [record.position for record in read(file)[0]] == [2, 5]


# ---------------------------------------------------------------------- columns


def test_the_only_column_with_text_is_taken(file: Path) -> None:
    records, reading = read_rows(file, {"id": 1, "body": "一。"}, {"id": 2, "body": None})
    assert records == ["一。"] and reading.found["columns"] == ["body"]


def test_text_is_taken_where_only_later_rows_have_it(file: Path) -> None:
    for first in ({"title": "題"}, {"title": "題", "text": None}):
        records, reading = read_rows(file, first, {"title": "題", "text": "一。"})
        assert records == ["一。"] and reading.ledger.dropped_documents["no_text"] == 1


def test_two_columns_in_their_order(file: Path) -> None:
    records, _ = read_rows(file, {"a": "1", "b": "2"}, {"b": "4", "a": "3"}, columns=("b", "a"))
    assert records == ["2", "1", "4", "3"]


def test_several_columns_and_none_named(file: Path) -> None:
    with pytest.raises(InputError, match=r"'a', 'b'\n.*--corpus\.column a"):
        read_rows(file, {"a": "1", "b": "2"})


def test_a_column_that_only_late_rows_have(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [{"id": n} for n in range(300)]
    records, reading = read_rows(file, *few, {"late": "一。"}, columns=("late",))
    assert records == ["一。"] and reading.found["columns"] == ["late"]
    with pytest.raises(InputError, match=r"no column 'lat'; it has: 'id', 'late'\n.*did you mean.* late"):
        read_rows(file, *few, {"late": "一。"}, columns=("lat",))
    monkeypatch.setattr(jsonl, "NAMED", 200)
    with pytest.raises(InputError, match="no column 'late'; it has: 'id'"):
        read_rows(file, *few, {"late": "一。"}, columns=("late",))


def test_names_of_columns_that_no_terminal_could_show(file: Path) -> None:
    file.write_bytes(rb'{"\ud800": "a", "\u001b[31m": "b"}')
    with pytest.raises(InputError, match=r"'�', '\\x1b\[31m'") as error:
        read(file)
    str(error.value).encode()
    file.write_bytes(rb'{"\ud800": "a"}')
    records, reading = read(file)
    assert records[0].text == "a" and reading.found["columns"] == ["\ufffd"]


def read_rows(file: Path, *values: Any, **options: Any) -> tuple[list[str], Any]:
    file.write_text(rows(*values))
    records, reading = read(file, **options)
    return [record.text for record in records], reading


# ---------------------------------------------------------------------- other forms


def test_lines_that_are_texts(file: Path) -> None:
    assert read_rows(file, "一。", "二\n行。")[0] == ["一。", "二\n行。"]
    with pytest.raises(InputError, match="line 2: expected text as before, found an object"):
        read_rows(file, "一。", {"text": "二。"})
    with pytest.raises(InputError, match="line 2: expected an object as before, found text"):
        read_rows(file, {"text": "二。"}, "一。")
    with pytest.raises(InputError, match="plain texts, so it has no column 'text'"):
        read_rows(file, "一。", columns=("text",))


@pytest.mark.parametrize("value", [1, None, True, 2.5])
def test_lines_that_are_neither(file: Path, value: Any) -> None:
    for on_bad in ("stop", "skip"):
        with pytest.raises(InputError, match="line 1: expected an object, found"):
            read_rows(file, value, on_bad=on_bad)


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    for indent in (None, 2):
        data = json.dumps([{"text": "一。"}, {"text": None}, {"text": "三。"}], indent=indent)
        path.write_text("\ufeff\n " + data + "\n\n")
        records, reading = read(path)
        assert [(record.text, record.position) for record in records] == [("一。", 1), ("三。", 3)]
        assert reading.ledger.change["bom"] == 1
    assert texts(path, '["一。", "二。"]') == ["一。", "二。"]
    assert texts(path, " [ ] ") == []
    for data, words in (
        ('[{"text": "a"},\n {"text": "b"}\n', r"item 2 of its array \(line 3\): expected , or \]"),
        ('[{"text": "a"},\n]', r"item 2 of its array \(line 2\): expecting value"),
        ('[{"text": "a"},\n {"text": NaN}]', r"item 2 of its array \(line 2\): it holds NaN"),
        ('[{"text": "a"}]\n[]', "item 1 .*more follows the array"),
        ('[{"text": "a"} {"text": "b"}]', r"item 1 .*expected , or \]"),
        ("[", "item 1 .*expecting value"),
        ('[{"text": "a"}, 3]', "item 2: expected an object as before, found a number"),
    ):
        with pytest.raises(InputError, match=words):
            texts(path, data)


def test_an_array_too_large_for_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LARGEST_ARRAY", 50)
    with pytest.raises(InputError, match=r"array of over 50 characters\n.*jq -c '\.\[\]'"):
        texts(file, json.dumps([{"text": "a" * 50}]))


@pytest.mark.parametrize("on_bad", ["stop", "skip"])
def test_one_object_over_several_lines(file: Path, on_bad: str) -> None:
    for indent in (1, None):
        data = json.dumps({"version": "1", "data": [{"text": "一。"}, {"text": "二。"}]}, indent=indent)
        with pytest.raises(InputError, match=r"one JSON object.*\n.*jq -c.*\.data\[\]"):
            texts(file, data, on_bad=on_bad)
        with pytest.raises(InputError, match="one JSON object"):
            texts(file, data, on_bad=on_bad, columns=("text",))
    for data in ('{"data": [\n{"text": "a"}\n]}', '{"id": 1,\n "text": "a"}'):
        with pytest.raises(InputError, match="one JSON object over several lines"):
            texts(file, data, on_bad=on_bad)


def test_one_object_with_text_beside_a_list(file: Path) -> None:
    only = {"text": "一。", "turns": [{"who": "x"}], "body": "二。"}
    assert read_rows(file, only)[0] == ["一。"]
    assert read_rows(file, only, columns=("body",))[0] == ["二。"]
    assert read_rows(file, only, only)[0] == ["一。", "一。"]


def test_a_line_too_long_to_hold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1 << 19)
    with pytest.raises(InputError, match="line 2 has over 524,288 characters"):
        texts(file, line("一。") + line("a" * (1 << 21)))


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("unit", UNITS)
def test_packed_files_and_units(tmp_path: Path, unit: str, suffix: str) -> None:
    plain = tmp_path / "f.jsonl"
    plain.write_text(rows({"text": "一\r\n二\n\n三"}, {"text": ""}, {"text": None}) + r'{"text": "四\ud800"}')
    expected = {
        "record": ["一\n二\n\n三", "四\ufffd"],
        "sentence": ["一", "二", "三", "四\ufffd"],
        "line": ["一", "二", "三", "四\ufffd"],
        "paragraph": ["一\n二", "三", "四\ufffd"],
        "file": ["一\n二\n\n三\n四\ufffd"],
    }
    for path in (plain, packed(tmp_path / f"f.jsonl{suffix}")):
        assert [record.text for record in read(path, unit)[0]] == expected[unit]


@pytest.mark.parametrize("codec", ["cp932", "euc_jp", "iso2022_jp", "utf-16", "utf-8-sig"])
def test_encodings(file: Path, codec: str) -> None:
    many = ["日本語の文章です。", "次の文です。"] * 20
    records, reading = read_data(file, rows(*({"text": text} for text in many)).encode(codec))
    assert [record.text for record in records] == many
    assert reading.found["encoding"].startswith(codec[:5])


def test_undecodable_bytes(file: Path) -> None:
    bad = "二".encode() + b"\xff"
    data = line("一。").encode() + b'{"text": "%s"}\n{"id": "%s", "text": "3"}\n' % (bad, bad)
    with pytest.raises(InputError, match="line 2"):
        read_data(file, data, encoding="utf-8")
    data += b'\xff{"text": "x"}\n'
    records, reading = read_data(file, data, encoding="utf-8", on_bad="skip")
    assert [record.text for record in records] == ["一。", "3"]
    assert reading.ledger.dropped_documents == {"undecodable": 2}


def read_data(file: Path, data: bytes, **options: Any) -> tuple[list[Any], Any]:
    file.write_bytes(data)
    return read(file, **options)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_chunks_do_not_matter(file: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raws, "CHUNK", chunk)
    data = "\ufeff\n" + line("一\u2028。") + "\r\n" + line("二。").replace("\n", "\r\n") + line("三。")
    for whole in (data, json.dumps(["一\u2028。", "二。", "三。"], indent=1)):
        assert texts(file, whole, encoding="utf-8") == ["一\u2028。", "二。", "三。"]


TEXT = st.text('あa"\\ \n\r\u2028\x85\0😀\ud800,[]{}', max_size=10)


@given(st.lists(TEXT, max_size=8), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_json_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, many: list[str], escaped: bool, array: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.json"
    objects = [json.dumps({"text": text, "n": n}, ensure_ascii=escaped) for n, text in enumerate(many)]
    data = f"[{','.join(objects)}]" if array else "\n".join(objects)
    expected = [t.replace("\r\n", "\n").replace("\r", "\n").replace("\ud800", "\ufffd") for t in many if t]
    assert texts(path, data.encode("utf-8", "replace"), encoding="utf-8") == [
        text if escaped else text.replace("\ufffd", "?") for text in expected
    ]


@pytest.mark.parametrize(("first", "name"), [(0, "f.jsonl"), (1_000, "f.json")])
def test_damaged_files(tmp_path: Path, first: int, name: str) -> None:
    many = [{"id": n, "text": f"これは{n}番目の文です。\n二行目。", "tags": ["a", None]} for n in range(5)]
    good = (rows(*many) if name == "f.jsonl" else json.dumps(many, indent=1)).encode()
    fates = set()
    for number in range(first, first + 200):
        unit, on_bad = UNITS[number % 4], ("stop", "skip")[number % 2]
        fates.add(survives(lambda path: read(path, unit, on_bad=on_bad), tmp_path / name, good, number))  # noqa: B023
    assert fates == {True, False}


# ---------------------------------------------------------------------- real files


@pytest.mark.parametrize(
    ("name", "column", "count", "first"),
    [
        ("jsts/train-v1.3.json", "sentence1", 12_451, "川べりでサーフボードを持った人たちがいます。"),
        ("jsts/valid-v1.3.json", "sentence2", 1_457, None),
        ("jcommonsenseqa/train-v1.3.json", "question", 8_939, None),
        ("jcommonsenseqa/valid-v1.3.json", "choice0", 1_119, None),
    ],
)
def test_jglue(real_data: Path, name: str, column: str, count: int, first: str | None) -> None:
    records, reading = read(real_data / "pairs" / name, columns=(column,))
    assert len(records) == reading.ledger.notes["rows"] == count
    assert first is None or records[0].text == first
