"""The parts of a workbook: what is damaged, lies about its size, or would fill the memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tane.errors import InputError
from tane.text import sheet, workbook
from tests.text import make_bad_binaries as bad
from tests.text.reads import read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.xlsx"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read(path)
    return str(error.value)


PARTS = bad.parts(bad.column(bad.TEXTS), sharedStrings=bad.shared(["一", "二"]))


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        ("worksheets/sheet1", "<row>", '<row r="0">', "a row '0'; expected 1 to 1,048,576"),
        ("worksheets/sheet1", "<row>", '<row r="1048577">', "a row '1048577'"),
        ("worksheets/sheet1", "<row>", '<row r="-1">', "a row '-1'"),
        ("worksheets/sheet1", 'r="A1"', 'r="XFE1"', "row 1 has over 16,384 columns"),
        ("worksheets/sheet1", 'r="A1"', 'r="ZZZZZZZZ1"', "a cell 'ZZZZZZZZ1'; expected a place such as A1"),
        ("worksheets/sheet1", 'r="A1"', 'r="1"', "a cell '1'"),
        ("worksheets/sheet1", 't="inlineStr"><is><t>text', 't="s"><is><t>2', "string '2'; there are 2"),
        ("worksheets/sheet1", 't="inlineStr"><is><t>text', 't="s"><is><t>-1', "shared string '-1'"),
        ("worksheets/sheet1", "</row>", "", "sheet1.xml is damaged: mismatched tag: line 1"),
        ("worksheets/sheet1", "</worksheet>", "", "sheet1.xml is damaged: no element found"),
        ("worksheets/sheet1", "<sheetData>", "<sheetData>" + "<a>" * 200_000, "tags nested over 100 deep"),
        ("worksheets/sheet1", "<sheetData>", f"<sheetData a='{'b' * 5_000_000}'>", "an endless tag"),
        ("worksheets/sheet1", "text", "b" * (sheet.LARGEST_TEXT + 1), "a string or row of over 16,777,216"),
        ("sharedStrings", "<si>", "".join(f"<a{n}/>" for n in range(20_000)) + "<si>", "10,000 different"),
        ("sharedStrings", "</si>", "", "sharedStrings.xml is damaged"),
        ("workbook", 'r:id="worksheet1"', 'r:id="none"', "has no sheet with cells"),
        ("workbook", "<?xml", "<!--", "xl/workbook.xml is damaged"),
        ("_rels/workbook", "worksheets/sheet1.xml", "nowhere.xml", "it lacks its part 'xl/nowhere.xml'"),
    ],
)  # fmt: skip
def test_damaged_parts(file: Path, part: str, old: str, new: str, message: str) -> None:
    name = next(name for name in PARTS if name.startswith(f"xl/{part}"))
    xml = PARTS[name] if PARTS[name].startswith("<?xml") else f"<?xml version='1.0'?>{PARTS[name]}"
    assert old in xml
    file.write_bytes(bad.zipped({**PARTS, name: xml.replace(old, new, 1)}))
    assert message in refused(file)


def test_strings_that_memory_could_not_hold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "LARGEST_STRINGS", 100)
    file.write_bytes(bad.zipped(PARTS))
    assert "bytes of strings, more than 100" in refused(file)


def test_a_zip_file_that_lists_too_much(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "LARGEST_LISTING", 100)
    file.write_bytes(bad.zipped(PARTS))
    assert "lists its parts in" in refused(file)


def test_parts_packed_otherwise_or_with_a_password(file: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_BZIP2) as archive:
        for name, xml in PARTS.items():
            archive.writestr(name, xml)
    file.write_bytes(held.getvalue())
    assert "packed by method 12; expected deflate" in refused(file)
    data = bytearray(bad.zipped(PARTS))
    place = -1
    while (place := data.find(b"PK\1\2", place + 1)) >= 0:
        data[place + 8] |= 1
    file.write_bytes(data)
    assert "has a password" in refused(file)
