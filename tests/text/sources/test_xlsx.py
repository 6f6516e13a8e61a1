"""Workbooks: what each cell reads as, which sheet and column, and files that are damaged, hostile or none."""

from __future__ import annotations

import datetime
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from tane.errors import InputError
from tane.text.raw import Raw
from tane.text.sources import Reading, Record
from tane.text.sources.xlsx import Xlsx
from tests.fuzz.mutations import mutate, survives
from tests.text import make_bad_binaries as bad
from tests.text.reads import packed, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.xlsx"


def save(path: Path, *sheets: list[list[Any]], names: tuple[str, ...] = ()) -> Path:
    """A workbook as openpyxl writes it."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        made = book.create_sheet(names[number] if names else f"Sheet{number + 1}")
        for row in rows:
            made.append(row)
    book.save(path)
    return path


def pairs(path: Path, **options: Any) -> list[tuple[int, str]]:
    return [(record.position, record.text) for record in read(path, **options)[0]]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read(path, **options)
    return str(error.value)


# ------------------------------------------------------------------------------------- sheets and columns


def test_a_column_by_name_with_the_row_numbers_of_excel(file: Path) -> None:
    save(file, [[], ["ID", "文"], [1, "一つ目"], [2, "二つ目"], [], [4, None], [5, "五つ目"]])
    records, reading = read(file, columns=("文",))
    assert [(r.position, r.text) for r in records] == [(3, "一つ目"), (4, "二つ目"), (7, "五つ目")]
    assert reading.found == {"sheet": "Sheet1", "columns": ["文"]}
    assert reading.ledger.notes["rows"] == 4 and reading.ledger.notes["blank_rows"] == 1
    assert reading.ledger.dropped_documents == {"no_text": 1}


def test_the_only_column_with_text_is_taken(file: Path) -> None:
    assert pairs(save(file, [["ID", "文"], [1, "一"], [2, "二"]])) == [(2, "一"), (3, "二")]


def test_several_columns_with_text_must_be_chosen_from(file: Path) -> None:
    save(file, [["ID", "日本語", "英語"], [1, "犬", "dog"]])
    message = refused(file)
    assert "'日本語', '英語'" in message and "--corpus.column 日本語" in message
    assert pairs(file, columns=("英語", "日本語")) == [(2, "dog"), (2, "犬")]
    assert "did you mean: --corpus.column 日本語" in refused(file, columns=("日本",))


def test_a_sheet_by_name(file: Path) -> None:
    save(file, [["text"], ["一"]], [["text"], ["二"]], names=("初め", "次"))
    assert pairs(file) == [(2, "一")] and pairs(file, sheet="次") == [(2, "二")]
    message = refused(file, sheet="ない")
    assert "no sheet 'ない'; it has: '初め', '次'" in message


def test_a_hidden_sheet_is_read_only_by_name(file: Path) -> None:
    save(file, [["text"], ["隠"]], [["text"], ["見"]], names=("h", "v"))
    book = openpyxl.load_workbook(file)
    book["h"].sheet_state = "hidden"
    book.save(file)
    assert pairs(file) == [(2, "見")] and pairs(file, sheet="h") == [(2, "隠")]


@pytest.mark.parametrize("rows", [[], [["text"]]])
def test_no_rows_give_no_record(file: Path, rows: list[list[str]]) -> None:
    assert pairs(save(file, rows)) == []


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_workbooks(file: Path, suffix: str) -> None:
    save(file, [["text"], ["一"]])
    assert pairs(packed(Path(f"{file}{suffix}"))) == [(2, "一")]


def test_snow_by_column_name(real_data: Path) -> None:
    path = real_data / "short" / "snow-t15-shared.xlsx"
    message = refused(path)
    assert all(repr(name) in message for name in ("ID", "#日本語(原文)", "#やさしい日本語", "#英語(原文)"))
    records, reading = read(path, columns=("#やさしい日本語",))
    assert len(records) == 40_000 == reading.ledger.notes["rows"]
    assert records[0] == Record("多くの動物が人間によって殺された。", 2)
    calamine = pytest.importorskip("python_calamine")
    rows = calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    assert [record.text for record in records] == [row[2] for row in rows[1:]]


# ------------------------------------------------------------------------------------------------ cells


def test_numbers_dates_and_booleans_are_read_as_excel_shows_them(file: Path) -> None:
    values = [
        (2020, "2020"), (2020.0, "2020"), (-5, "-5"), (0.1, "0.1"), (0.1 + 0.2, "0.3"), (1e20, "1E+20"),
        (datetime.date(2020, 1, 7), "2020-01-07"),
        (datetime.datetime(2020, 1, 7, 12, 30), "2020-01-07 12:30:00"),
        (datetime.time(9, 5), "09:05:00"), (True, "TRUE"), (False, "FALSE"),
    ]  # fmt: skip
    save(file, [["text"], *([value] for value, _ in values)])
    records, reading = read(file)
    assert [record.text for record in records] == [shown for _, shown in values]
    notes = reading.ledger.notes
    assert (notes["numbers_as_text"], notes["dates_as_text"], notes["booleans_as_text"]) == (6, 3, 2)


def test_errors_are_no_text(file: Path) -> None:
    cells = ['<c t="e"><v>#N/A</v></c>', '<c t="e"><f>A1/0</f><v>#DIV/0!</v></c>']
    file.write_bytes(bad.zipped(bad.parts([*bad.column(["一"]), *(f"<row>{cell}</row>" for cell in cells)])))
    records, reading = read(file)
    assert [record.text for record in records] == ["一"]
    assert reading.ledger.notes["error_cells"] == 2 and reading.ledger.dropped_documents == {"no_text": 2}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('<c t="str"><f>"あ"</f><v>あ</v></c>', "あ"),
        ('<c t="inlineStr"><is><r><t>東</t></r><r><t>京</t></r></is></c>', "東京"),
        ('<c t="inlineStr"><is><t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh></is></c>', "東京"),
        ('<c t="inlineStr"><is><t xml:space="preserve"> 空白 </t></is></c>', " 空白 "),
        ('<c t="inlineStr"><is><t>一_x000D_\n二_x005F_x000D_</t></is></c>', "一\n二_x000D_"),
        ('<c t="inlineStr"><is><t>_xD83D__xDE00_</t></is></c>', "😀"),
        ('<c t="inlineStr"><is><t>_xD83D_</t></is></c>', "\ufffd"),
        ('<c t="inlineStr"><is><t>&lt;b&gt; &amp;amp; &#x611B;</t></is></c>', "<b> &amp; 愛"),
        ('<c t="d"><v>2020-01-07T00:00:00</v></c>', "2020-01-07"),
        ("<c><v> 2020 </v></c>", "2020"),
        ("<c><v>123456789012345678</v></c>", "1.23456789012346E+17"),
        ("<c><v>not a number</v></c>", "not a number"),
        ('<x:c t="str"><x:v>接頭</x:v></x:c>', "接頭"),
    ],
)
def test_what_a_cell_holds(file: Path, cell: str, text: str) -> None:
    made = bad.parts([*bad.column([]), f"<row>{cell}</row>"])
    part = "xl/worksheets/sheet1.xml"
    made[part] = made[part].replace("<worksheet ", '<worksheet xmlns:x="http://x" ')
    file.write_bytes(bad.zipped(made))
    assert pairs(file) == [(2, text)]


def test_shared_strings_with_readings_and_runs(file: Path) -> None:
    strings = [
        "<si><t>text</t></si>",
        '<si><t>漢字</t><rPh sb="0" eb="2"><t>かんじ</t></rPh><phoneticPr fontId="1"/></si>',
        "<si><r><rPr><b/></rPr><t>太</t></r><r><t>字</t></r></si>",
    ]
    rows = [f'<row><c t="s"><v>{n}</v></c></row>' for n in range(3)]
    xml = f"<sst {bad.MAIN}>{''.join(strings)}</sst>"
    file.write_bytes(bad.zipped(bad.parts(rows, sharedStrings=xml)))
    assert pairs(file) == [(2, "漢字"), (3, "太字")]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("yyyy/m/d", "2020-01-07"), ('yyyy"年"m"月"d"日"', "2020-01-07"), ("[$-ja-JP]ggge年", "2020-01-07"),
        ("General", "43837"), ("#,##0.00", "43837"), ("0.00E+00", "43837"), ('0"days"', "43837"),
        ("[Red]0", "43837"), (r"0\m", "43837"),
    ],
)  # fmt: skip
def test_a_number_is_a_date_by_its_format(file: Path, code: str, text: str) -> None:
    save(file, [["text"], [43837]])
    book = openpyxl.load_workbook(file)
    book.active["A2"].number_format = code
    book.save(file)
    assert pairs(file) == [(2, text)]


def test_the_calendars_of_excel(file: Path) -> None:
    save(file, [["text"], [datetime.date(1900, 1, 31)], [datetime.date(1900, 3, 1)], [-1], [1e12]])
    book = openpyxl.load_workbook(file)
    for row in (4, 5):
        book.active[f"A{row}"].number_format = "yyyy-mm-dd"
    book.save(file)
    assert pairs(file) == [(2, "1900-01-31"), (3, "1900-03-01"), (4, "-1"), (5, "1000000000000")]
    book.epoch = CALENDAR_MAC_1904
    book.active.append([datetime.date(2020, 1, 7)])
    book.save(file)
    assert pairs(file)[-1] == (6, "2020-01-07")


TYPED = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), TYPED), min_size=1, max_size=8))
def test_what_openpyxl_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: list[str | None]
) -> None:
    path = save(tmp_path_factory.getbasetemp() / "typed.xlsx", [["text", "n"], *([v, 1] for v in values)])
    expected = [(n, v) for n, v in enumerate(values, 2) if v is not None and not v.startswith("=")]
    formulas = sum(v is not None and v.startswith("=") and len(v) > 1 for v in values)
    records, reading = read(path, columns=("text",))
    kept = [(r.position, r.text) for r in records if r.text != "="]
    assert kept == expected and reading.ledger.notes["formulas_without_value"] == formulas


# --------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x1-laughs-sheet.xlsx", "sheet1.xml declares a document type (XML entities)"),
        ("x1-laughs-strings.xlsx", "sharedStrings.xml declares a document type (XML entities)"),
        ("x2-huge.xlsx", "unpacks to 10,737,418,373 bytes, over 100 times the size of the file"),
        ("x2-huge-lies.xlsx", "is damaged: "),
        ("x3-password.xlsx", "x3-password.xlsx has a password\n"),
        ("x7-old.xlsx", "is an old .xls; expected a workbook (.xlsx)\n  -> save it as .xlsx"),
        ("x11-csv.xlsx", "is no workbook (it begins with 74 65 78 74"),
        ("x12-word.xlsx", "is a Word document; expected an .xlsx workbook"),
    ],
)
def test_refused_files(tmp_path: Path, name: str, message: str) -> None:
    tracemalloc.start()
    try:
        path = bad.make(tmp_path, name)
        tracemalloc.reset_peak()
        assert message in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_x4_a_formula_without_a_value_is_counted(tmp_path: Path) -> None:
    records, reading = read(bad.make(tmp_path, "x4-formula.xlsx"))
    assert [record.text for record in records] == bad.TEXTS[:1]
    assert reading.ledger.notes["formulas_without_value"] == 2
    assert reading.ledger.dropped_documents == {"no_text": 2}


def test_x5_a_million_blank_rows(tmp_path: Path) -> None:
    path = bad.make(tmp_path, "x5-blank.xlsx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    records, reading = read(path)
    assert records == [Record("最後", 1_048_576)] and reading.ledger.notes["blank_rows"] == 1_048_574
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_x6_nothing_is_written_outside(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = bad.make(folder, "x6-outside.xlsx")
    assert [text for _, text in pairs(path)] == bad.TEXTS
    assert {each for each in tmp_path.rglob("*") if each.is_file()} == {path}


def test_x8_merged_and_hidden_cells(tmp_path: Path) -> None:
    path = bad.make(tmp_path, "x8-merged.xlsx")
    records, reading = read(path, columns=("text",))
    assert [(r.position, r.text) for r in records] == [(2, bad.TEXTS[0]), (4, bad.TEXTS[1])]
    assert reading.ledger.dropped_documents == {"no_text": 1}
    assert [text for _, text in pairs(path, columns=("other",))] == ["x", "y", "z"]


def test_cells_at_far_corners(tmp_path: Path) -> None:
    records, reading = read(bad.make(tmp_path, "x9-far.xlsx"))
    assert records == [] and reading.ledger.notes["blank_rows"] == 1_048_574


def test_one_string_in_every_row_is_never_held_twice(tmp_path: Path) -> None:
    path = bad.make(tmp_path, "x10-one-string.xlsx")
    tracemalloc.start()
    try:
        source = Xlsx().records(Reading(Raw(path), unit="record", fragment=1 << 21))
        assert sum(len(record.text) for record in source) == 100_000_000
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_an_empty_file_and_other_containers(file: Path) -> None:
    file.write_bytes(b"")
    assert "is no workbook (it begins with nothing)" in refused(file)
    file.write_bytes(bad.ole("WordDocument"))
    assert "is an old Office file" in refused(file)
    file.write_bytes(b"%PDF-1.7")
    assert "is a PDF file; expected a workbook" in refused(file)
    file.write_bytes(bad.zipped({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}))
    assert "is a zip file without a workbook" in refused(file)
    file.write_bytes(bad.zipped({"_rels/.rels": bad.relations(officeDocument="xl/workbook.bin")}))
    assert "is a binary workbook (.xlsb)" in refused(file)


def _both(path: Path) -> None:
    read(path, columns=("text",), on_bad="skip")


def test_damage_to_the_file(file: Path) -> None:
    good = bad.zipped(bad.parts(bad.column(bad.TEXTS)))
    outcomes = {survives(_both, file, good, number) for number in range(200)}
    assert outcomes == {True, False}


def test_damage_to_the_xml(file: Path) -> None:
    rows = [f'<row r="{n}"><c r="A{n}" t="s"><v>{n - 1}</v></c></row>' for n in range(1, 5)]
    whole = bad.parts(
        rows, sharedStrings=bad.shared(["text", *bad.TEXTS]), styles=f"<styleSheet {bad.MAIN}/>"
    )
    names = list(whole)

    def damaged(path: Path) -> None:
        name = names[number % len(names)]
        path.write_bytes(bad.zipped({**whole, name: mutate(whole[name].encode(), number)}))
        _both(path)

    outcomes = set()
    for number in range(200):
        outcomes.add(survives(damaged, file, b"", number))
    assert outcomes == {True, False}
