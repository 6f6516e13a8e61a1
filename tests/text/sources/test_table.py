"""Tables as text: every bad file of the list, separators, quotes, columns by name and number, and damage."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.text import raw as raws
from tane.text.sources import Reading, table
from tests.fuzz.mutations import survives
from tests.text.make_bad_inputs import BadFile
from tests.text.make_bad_inputs import table as bad_files
from tests.text.reads import packed, read, texts

UNITS = ["record", "sentence", "line", "paragraph", "file"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.csv"


def read_data(file: Path, data: str, **options: Any) -> tuple[list[str], Reading]:
    file.write_text(data, newline="")
    records, reading = read(file, **options)
    return [record.text for record in records], reading


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
    data = 'id,text\n1,一。\n2,二,三\n3\n4,\n5,"五"。\n6,"六\n7,七\n'
    with pytest.raises(InputError, match="opens on line 7 is not closed up to the end"):
        read_data(file, data, on_bad="skip")
    found, reading = read_data(file, data + '8,"八"\n', on_bad="skip")
    ledger = reading.ledger
    assert found == ["一。", "七", "八"]
    assert ledger.dropped_documents == {"ragged": 2, "no_text": 1, "bad_line": 2}
    assert ledger.dropped_characters == {"ragged": 4, "no_text": 0, "bad_line": len('5,"五"。\n6,"六\n')}
    assert ledger.read == 4 + 4 + 12 and ledger.notes["rows"] == 4


def test_nul_characters_are_kept_and_counted(file: Path) -> None:
    found, reading = read_data(file, "text\na\0b\n")
    assert found == ["a\0b"] and reading.ledger.notes["nul_characters"] == 1


def test_short_cp932_header_is_read_as_such(file: Path) -> None:
    file.write_bytes("番号,本文,備考\n".encode("cp932"))
    for column in ("番号", "本文", "備考"):
        records, reading = read(file, columns=(column,))
        assert records == [] and reading.found["encoding"] == "cp932"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_positions(file: Path, end: str, last: bool) -> None:
    lines = ["", "id,text", '1,"一', "", '行。"', "", "  ", "2,二\u2028。", "", "3,三。"]
    file.write_text(end.join(lines) + (end if last else ""), newline="")
    records, _ = read(file)
    assert [(r.text, r.position) for r in records] == [("一\n\n行。", 3), ("二\u2028。", 8), ("三。", 10)]


def test_byte_order_marks_of_joined_files(file: Path) -> None:
    found, reading = read_data(file, "\ufefftext,id\n一\ufeff。,1\n\ufeff二。,2\n")
    assert found == ["一\ufeff。", "二。"] and reading.ledger.change["bom"] == 2


# ---------------------------------------------------------------------- separators


@pytest.mark.parametrize(
    ("data", "separator"),
    [
        ("text\n一。\n", ","),
        ("id,text\n1,一; 二; 三\n", ","),
        ("id;text\n1;一, 二\n2;三\n", ";"),
        ("id;text, cleaned\n1;一, 二, 三\n2;三\n", ";"),
        ('id,"a;b;c",text\n1,x,一\n', ","),
        ("id\ttext\n1\t一, 二\n", "\t"),
        ("text\n一; 二\n三\n", ","),
        ('"sep=|"\nid|text\n1|一\n', "|"),
        ("SEP=\t\r\nid\ttext\r\n1\t一\r\n", "\t"),
        ("", ","),
    ],
)
def test_the_separator_is_found(file: Path, data: str, separator: str) -> None:
    file.write_text(data, newline="")
    columns = ("text",) if "cleaned" not in data else ("id",)
    reading = read(file, columns=columns)[1]
    assert reading.found["delimiter"] == separator
    assert bool(data) == (reading.ledger.notes["rows"] > 0)


@pytest.mark.parametrize("name", ["f.tsv", "f.tab", "f.TSV", "f.tsv.gz", "f.txt"])
def test_tsv_is_parted_by_tabs_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    plain = tmp_path / name.removesuffix(".gz")
    plain.write_text("text, all\n1, 2\n")
    if path != plain:
        packed(path)
    assert read(path, format="tsv" if name == "f.txt" else "")[0][0].text == "1, 2"


def test_the_format_that_was_said_wins_over_the_name(tmp_path: Path) -> None:
    assert texts(tmp_path / "f.tsv", "id,text\n1,一\t。\n", format="csv") == ["一\t。"]
    assert texts(tmp_path / "f.data", "id;text\n1;一。\n", format="table") == ["一。"]


# ---------------------------------------------------------------------- quotes


def test_the_line_of_an_open_quote_is_told(file: Path) -> None:
    for data, words in (
        ('id,text\n1,"a\nb"\n2,c,"d\n', "opens on line 4 is not closed up to the end"),
        ('id,text\n1,"a\nb","c\n2,d\n', "opens on line 3 is not closed"),
        ('id,text\n1,"a ""b""\n\n2,d', "opens on line 2 is not closed"),
        ('id,text\n1,"a"b\n', "opens on line 2 closes there in the middle"),
        ('id,text\n1,"a\n2,b\n3,"c"\n', "opens on line 2 closes on line 4 in the middle"),
        ('id,text\n"1\n1","a\n2,"b"\n', "opens on line 3 closes on line 4 in the middle"),
    ):
        with pytest.raises(InputError, match=words) as error:
            read_data(file, data)
        assert "quoting: none" in error.value.remedy


def test_rows_behind_an_open_quote_are_read_with_skip(file: Path) -> None:
    data = 'id,text\n1,"一。\n2,二。\n3,"三。"\n4,四。\n'
    found, reading = read_data(file, data, on_bad="skip")
    assert found == ["二。", "三。", "四。"] and reading.ledger.dropped_documents == {"bad_line": 1}


def test_a_broken_first_row_is_never_left_out(file: Path) -> None:
    with pytest.raises(InputError, match="opens on line 1 closes there"):
        read_data(file, 'id,"te"xt\n1,text\n2,x\n', on_bad="skip")


def test_many_open_quotes_do_not_take_for_ever(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "text,x\n" + 'ab","\n' * 2_000 + '"x"y\n'  # every line opens a quote that only the last one closes
    monkeypatch.setattr(table, "LARGEST_ROW", 20_000)
    with pytest.raises(InputError, match="opens on line"):
        read_data(file, data, on_bad="skip")


@pytest.mark.parametrize("on_bad", ["stop", "skip"])
def test_a_row_too_large_to_hold(file: Path, monkeypatch: pytest.MonkeyPatch, on_bad: str) -> None:
    monkeypatch.setattr(table, "LARGEST_ROW", 10_000)
    for data, words in (
        ('id,text\n1,a\n2,"' + "b\n" * 10_000 + '"\n', "opens on line 3 is not closed within 10,000"),
        ("id,text\n1," + "b" * 10_001, "line 2 has over 10,000 characters"),
    ):
        with pytest.raises(InputError, match=words):
            read_data(file, data, on_bad=on_bad)
    with pytest.raises(InputError, match="line 2 has over 10,000 characters"):
        read_data(file, 'text\n"' + "b" * 10_001 + '"', quoting="none")


def test_quotes_as_plain_characters(file: Path) -> None:
    data = 'id\ttext\n1\t"Yes\n2\t"No", he said.\n3\t""\n'
    assert read_data(file, data, quoting="none")[0] == ['"Yes', '"No", he said.', '""']


# ---------------------------------------------------------------------- columns


def test_columns_by_number(file: Path) -> None:
    data = "一。,x\n二。,y\n"
    found, reading = read_data(file, data, columns=("1",))
    assert found == ["一。", "二。"] and reading.found["columns"] == ["1"]
    assert read_data(file, data, columns=("2", "1"))[0] == ["x", "一。", "y", "二。"]
    with pytest.raises(InputError, match="has 2 columns, so there is no column 3"):
        read_data(file, data, columns=("3",))
    for column in ("0", "-1", "1.0", "１", "9" * 5_000):
        with pytest.raises(InputError, match="no column"):
            read_data(file, data, columns=(column,))


def test_columns_whose_names_are_numbers(file: Path) -> None:
    assert read_data(file, ",0,1\n0,一。,x\n", columns=("0",))[0] == ["一。"]
    assert read_data(file, ",0,1\n0,一。,x\n", columns=("1",))[0] == ["x"]
    with pytest.raises(InputError, match="is '1', which stands in the first row, the name"):
        read_data(file, "一。,1\n二。,0\n", columns=("1",))


def test_spaces_around_names(file: Path) -> None:
    assert read_data(file, "id, text \n1, 一。\n")[0] == [" 一。"]


@pytest.mark.parametrize("first", ["これは最初の文です。", "本当ですか？", "長" * 61])
def test_one_column_without_a_header_is_not_robbed_of_its_first_row(file: Path, first: str) -> None:
    data = f"{first}\n次。\n"
    with pytest.raises(InputError, match=r"looks like text.*\n.*column 1"):
        read_data(file, data)
    assert read_data(file, data, columns=("1",))[0] == [first, "次。"]
    assert read_data(file, data, columns=(first,))[0] == ["次。"]


def test_no_column_named_tells_of_numbers(file: Path) -> None:
    with pytest.raises(InputError, match=r"'id', 'body'\n.*without a header: --corpus\.column 2"):
        read_data(file, "id,body\n1,一。\n")


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("unit", UNITS)
def test_packed_files_and_units(tmp_path: Path, unit: str, suffix: str) -> None:
    plain = tmp_path / "f.csv"
    plain.write_text('id,text\r\n1,"一\r\n二\r\n\r\n三"\r\n2,\r\n3,四\r\n', newline="")
    expected = {
        "record": ["一\n二\n\n三", "四"],
        "sentence": ["一", "二", "三", "四"],
        "line": ["一", "二", "三", "四"],
        "paragraph": ["一\n二", "三", "四"],
        "file": ["一\n二\n\n三\n四"],
    }
    for path in (plain, packed(tmp_path / f"f.csv{suffix}")):
        records, reading = read(path, unit)
        assert [record.text for record in records] == expected[unit]
        assert reading.ledger.change["newlines"] == 3


def test_undecodable_bytes(file: Path) -> None:
    file.write_bytes("id,text\n1,一。\n2,二".encode() + b"\xff\n\xff,3\n")
    with pytest.raises(InputError, match="line 3"):
        read(file, encoding="utf-8")
    records, reading = read(file, encoding="utf-8", on_bad="skip")
    assert [record.text for record in records] == ["一。", "3"]
    assert reading.ledger.dropped_documents == {"undecodable": 1}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_chunks_do_not_matter(file: Path, chunk: int, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raws, "CHUNK", chunk)
    data = end.join(["\ufeffid,text", '1,"一', '二"', "", "2,三。", ""])
    assert texts(file, data, encoding="utf-8") == ["一\n二", "三。"]


FIELD = st.text("あa\"', ;\t\n\r\u2028\x85\0😀", max_size=8)


@given(
    st.lists(st.tuples(FIELD, FIELD), max_size=8),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(max_examples=150, deadline=None)
def test_what_csv_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    separator: str,
    quoting: Any,
    end: str,
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows([("id", "text"), *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    expected = [text.replace("\r\n", "\n").replace("\r", "\n") for _, text in rows if text]
    assert texts(path, f"sep={separator}{end}{out.getvalue()}", encoding="utf-8") == expected


@pytest.mark.parametrize("name", ["f.csv", "f.tsv"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    rows = [f'{n},"これは{n}番目の文です。\n""二行目""",{n / 2}' for n in range(6)]
    good = "\r\n".join(["id,text,score", *rows, ""])
    first, data = (0, good.encode()) if name == "f.csv" else (1_000, good.replace(",", "\t").encode("cp932"))
    fates = set()
    for number in range(first, first + 200):
        options = {"unit": UNITS[number % 4], "on_bad": ("stop", "skip")[number % 2]}
        options["quoting"] = "none" if number % 10 == 0 else "standard"
        fates.add(survives(lambda path: read(path, **options), tmp_path / name, data, number))  # noqa: B023
    assert fates == {True, False}


# ---------------------------------------------------------------------- real files


def test_jec_basic_sentences(real_data: Path) -> None:
    path = real_data / "short" / "jec-basic-sentences.tsv"
    records, reading = read(path, columns=("ja",))
    assert len(records) == 5_304 and records[0].text == "Xではないかとつくづく疑問に思う"
    assert reading.found == {"encoding": "utf-8", "delimiter": "\t", "columns": ["ja"]}
    assert len(read(path, columns=("ja", "zh"))[0]) == 2 * 5_304


@pytest.mark.parametrize(("part", "count"), [("train", 4_076), ("test", 1_725)])
def test_mrpc(real_data: Path, part: str, count: int) -> None:
    path = real_data / "pairs" / "mrpc" / f"msr_paraphrase_{part}.txt"
    records, reading = read(path, format="tsv", quoting="none", columns=("#1 String", "#2 String"))
    assert len(records) == 2 * count and reading.ledger.change["bom"] == 1
    with pytest.raises(InputError, match="in the middle of a text"):
        read(path, format="tsv", columns=("#1 String",))
