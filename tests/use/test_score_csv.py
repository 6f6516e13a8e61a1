"""The csv of examples: read back as it was, opened by a spreadsheet without harm."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import ResourceError
from tane.use.score_page import write_examples


def read(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_a_csv_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    rows: list[dict[str, Any]] = [
        {"row": 1, "gold": "同義", "score": 0.123456, "text": '髙①, "引用"\n二行目', "tags": ["B-人", "O"]},
        {"row": 2, "gold": None, "score": -1.5, "text": "", "tags": [], "more": "x"},
    ]
    write_examples(path, rows)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfrow,gold,")
    assert read(path) == [
        ["row", "gold", "score", "text", "tags", "more"],
        ["1", "同義", "0.123456", '髙①, "引用"\n二行目', "B-人 O", ""],
        ["2", "", "-1.5", "", "", "x"],
    ]


def test_no_rows_make_an_empty_csv(tmp_path: Path) -> None:
    write_examples(tmp_path / "wrong.csv", [])
    assert read(tmp_path / "wrong.csv") == []


FORMULAS = [
    "=LINK(1)",
    "+1+2",
    "-2-cmd",
    "-2\n",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
]


@pytest.mark.parametrize("text", [*FORMULAS, ["=a", "b"]])
def test_formulas_are_made_harmless(tmp_path: Path, text: str | list[str]) -> None:
    path = tmp_path / "wrong.csv"
    write_examples(path, [{"=column": text, "b": "1=2", "number": -2}])
    plain = " ".join(text) if isinstance(text, list) else text
    assert read(path) == [["'=column", "b", "number"], [f"'{plain}", "1=2", "-2"]]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    write_examples(
        tmp_path / "wrong.csv", [{"gold": "-1", "predicted": "+1", "score": "-0.50", "error": -0.5}]
    )
    assert read(tmp_path / "wrong.csv")[1] == ["-1", "+1", "-0.50", "-0.5"]


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=2, max_size=2)))
def test_any_texts_come_back_but_for_the_mark(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "all.csv"
    write_examples(path, [{"a": a, "b": b} for a, b in rows])
    found = read(path)[1:]
    assert [[cell.removeprefix("'") for cell in row] for row in found] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]
    for cell in (cell for row in found for cell in row if cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))):
        float(cell)  # a number and no formula


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wrong.csv"
    write_examples(path, [{"a": 1}])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ResourceError, match="disk is full"):
        write_examples(path, [{"a": 2}])
    assert read(path) == [["a"], ["1"]] and list(tmp_path.iterdir()) == [path]
