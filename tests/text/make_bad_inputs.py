"""Writes the bad JSONL and CSV files that the readers must meet rightly.

    python -m tests.text.make_bad_inputs FOLDER

Each file says what reading it must give: the texts, or words of the InputError, by default and with `on_bad:
skip`. The rows (J1, C2, ...) are those of the project's list of bad inputs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

Expected = list[str] | str  # the texts, or words of the error


class BadFile(NamedTuple):
    """One bad file; stop, skip: what reading it gives for each value of `on_bad`."""

    row: str
    name: str
    data: bytes
    stop: Expected
    skip: Expected
    columns: tuple[str, ...] = ("text",)


def line(text: object) -> str:
    """A row of JSON lines with one key."""
    return json.dumps({"text": text}, ensure_ascii=False) + "\n"


GOOD, LATER = line("よい行。"), line("後の行。")
AROUND = ["よい行。", "後の行。"]


def _file(row: str, name: str, data: str | bytes, stop: Expected, skip: Expected | None = None) -> BadFile:
    """skip: none where it makes no difference."""
    return BadFile(row, name, data.encode() if isinstance(data, str) else data, stop, skip or stop)


def _between(row: str, name: str, bad: str, words: str) -> BadFile:
    """A bad line between good ones: an error by default, left out with skip."""
    return _file(row, name, GOOD + bad + "\n" + LATER, f"line 2.*{words}", AROUND)


def jsonl() -> list[BadFile]:
    """The files of rows J1 to J12."""
    digits, cut = "9" * 5_000, LATER[:15]
    separators = "前\u2028中\u2029後\x85次"
    return [
        _file("J1", "cut.jsonl", GOOD + cut, r"line 2 \(the last.*is the file cut", AROUND[:1]),
        _file("J1", "cut_array.json", f"[{GOOD},{cut}", "item 2"),
        _between("J2", "nan.jsonl", '{"text": "x", "n": NaN}', "no JSON: it holds NaN"),
        _between("J2", "infinity.jsonl", '{"text": "x", "n": -Infinity}', "no JSON: it holds -Infinity"),
        _between("J2", "key_twice.jsonl", '{"text": "x", "text": "y"}', "'text' stands twice"),
        _between("J2", "key_twice_inside.jsonl", '{"text": "x", "m": [{"a": 1, "a": 2}]}', "'a' stands"),
        _file("J3", "lone_surrogate.jsonl", rb'{"text": "a\ud800b"}', ["a\ufffdb"]),
        _file("J3", "surrogate_pair.jsonl", rb'{"text": "\ud83d\ude00"}', ["😀"]),
        _between("J4", "depth_bomb.jsonl", '{"text": ' + "[" * 100_000, "nested too deeply"),
        _file("J4", "depth_bomb.json", "[" * 100_000, "item 1.*nested too deeply"),
        _between("J5", "long_integer.jsonl", f'{{"text": "x", "n": {digits}}}', "thousands of digits"),
        _file("J6", "missing.jsonl", GOOD + '{"other": "x"}\n{}\n' + LATER, AROUND),
        _file("J6", "null.jsonl", GOOD + line(None) + line("") + LATER, AROUND),
        _between("J6", "number.jsonl", '{"text": 3.5}', "expected text, found a number"),
        _between("J6", "list.jsonl", '{"text": ["a", "b"]}', "expected text, found a list"),
        _between("J6", "object.jsonl", '{"text": {"a": "b"}}', "expected text, found an object"),
        _between("J6", "boolean.jsonl", '{"text": true}', "expected text, found true or false"),
        _file("J7", "array.json", f"[\n{GOOD},{LATER}]\n", AROUND),
        _file("J7", "array_named_jsonl.jsonl", f"[{GOOD},{LATER}]", AROUND),
        _file("J7", "arrays_as_lines.jsonl", '["a", "b"]\n["c", "d"]\n', "an object a line"),
        _file("J8", "blank_lines.jsonl", f"\n \n{GOOD}\r\n\n\t\n{LATER}\n\n", AROUND),
        _file("J9", "bom.jsonl", f"\ufeff{GOOD}\ufeff{LATER}", AROUND),
        _between("J10", "two_on_a_line.jsonl", '{"text": "x"} {"text": "y"}', "more follows"),
        _file("J11", "line_separators.jsonl", line(separators), [separators]),
        _file("J12", "no_last_line_end.jsonl", GOOD + LATER[:-1], AROUND),
    ]


def table() -> list[BadFile]:
    """The files of rows C1 to C9, and T2, which is a table too."""
    long = "長い文。" * 50_000
    two = ["一。", "二。"]
    lines = 'id,text\r\n1,"一行目\r\n二行目"\r\n2,後\r\n'
    open_quote = 'id,text\n1,一。\n2,"二。\n' + "3,三。\n" * 99
    excel = 'text,"説明, 補足"\r\n"①髙Ⅲ～の文です。",あ\r\n'
    link = '=HYPERLINK("http://a","b")'
    return [
        _file("C1", "line_end_in_quotes.csv", lines, ["一行目\n二行目", "後"]),
        _file("C1", "separator_in_quotes.csv", b'id,text\n1,"a, ""b"""\n', ['a, "b"']),
        _file("C2", "quote_not_closed.csv", open_quote, "opens on line 3 is not closed"),
        _file("C3", "long_field.csv", f'id,text\n1,"{long}"\n2,後\n', [long, "後"]),
        _file("C4", "too_many.csv", "id,text\n1,一。\n2,x,y\n3,二。\n", "line 3: fields: 3, exp.* 2", two),
        _file("C4", "too_few.tsv", "id\ttext\n1\t一。\n2\n3\t二。\n", "line 3: fields: 1, exp.* 2", two),
        _file("C5", "nul.csv", b'id,text\n1,a\0b\n2,"c\0"\n', ["a\0b", "c\0"]),
        _file("C6", "excel.csv", excel.encode("cp932"), ["①髙Ⅲ～の文です。"]),
        _file("C6", "excel_utf8.csv", excel.encode("utf-8-sig"), ["①髙Ⅲ～の文です。"]),
        _file("C7", "sep_line.csv", "sep=;\r\nid;text\r\n1;一。\r\n2;二。\r\n", two),
        _file("C7", "semicolon.csv", "id;text\n1;一。\n2;二。\n", two),
        _file("C7", "tab.csv", "id\ttext\n1\t一。\n2\t二。\n", two),
        _file("C8", "name_twice.csv", b"text,text\na,b\n", "2 columns called 'text'"),
        _file("C8", "no_such_name.csv", b"id,body\na,b\n", "no column 'text'"),
        _file("C8", "no_names.csv", b",\na,b\n", "no column 'text'"),
        _file("C8", "no_header.csv", "一。,1\n二。,2\n", "no column 'text'"),
        _file("C8", "name_or_number.csv", "一。,1\n二。,0\n", "the name of a col")._replace(columns=("1",)),
        _file("C8", "no_header_by_number.csv", "一。,0\n二。,1\n", two)._replace(columns=("1",)),
        _file("C8", "names_missing.csv", ",text,\n1,一。,a\n2,二。,b\n", two),
        _file("C9", "formula.csv", 'id,text\n1,"{}"\n'.format(link.replace('"', '""')), [link]),
        _file("T2", "header_only.csv", "番号,本文,備考欄\n".encode("cp932"), [])._replace(columns=("本文",)),
    ]


def write(folder: Path, bad: list[BadFile]) -> None:
    """The files into a folder that is there."""
    for one in bad:
        (folder / one.name).write_bytes(one.data)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write(target, [*jsonl(), *table()])
