"""Columns and cells: which are chosen, what is no text, and the law of the ledger for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.errors import InputError
from tane.text import cells
from tane.text.ledger import Ledger
from tane.text.raw import Raw
from tane.text.sources import Reading
from tests.text.reads import book

UNITS = ["record", "sentence", "line", "paragraph", "file"]


def reading(unit: str = "record", **options: Any) -> Reading:
    return Reading(Raw(Path("f.csv")), unit=unit, **options)  # type: ignore[arg-type]


def texts(values: list[Any], unit: str = "record", **options: Any) -> tuple[list[str], Ledger]:
    one = reading(unit, **options)
    found = [record.text for record in cells.records(enumerate(values, 2), one)]
    book(one, found)
    return found, one.ledger


# ---------------------------------------------------------------------- choosing


def test_columns_in_the_order_in_which_they_were_named() -> None:
    one = reading(columns=("c", "a"))
    assert cells.choose(["a", "b", "c"], one) == [2, 0]
    assert one.found["columns"] == ["c", "a"]


@pytest.mark.parametrize(
    ("names", "likely", "place"),
    [
        (["body"], [], 0),
        (["id", "text"], [], 1),
        (["id", "body"], ["body"], 1),
        (["id", "text", "body"], ["id", "text", "body"], 1),
    ],
)
def test_without_a_name_the_only_column_or_text(names: list[str], likely: list[str], place: int) -> None:
    one = reading()
    assert cells.choose(names, one, likely=likely) == [place]
    assert one.found["columns"] == [names[place]]


@pytest.mark.parametrize(
    ("names", "columns", "words"),
    [
        (["id", "body"], (), "has 2 columns, and none is called 'text': 'id', 'body'\n.*column id"),
        ([], (), "no names at all\n.*column NAME"),
        (["id", "本文"], ("text",), "no column 'text'; it has: 'id', '本文'\n.*name one of them.* id"),
        (["id", "#やさしい 日本語"], ("やさしい日本語",), "did you mean: --corpus.column '#やさしい 日本語'"),
        (["text", "id", "text"], ("text",), "2 columns called 'text'"),
        (["text", "id", "text"], (), "2 columns called 'text'"),
        ([f"c{n}" for n in range(2_000)], (), "'c11' and 1,988 more"),
        (["\ud800\x1b[31m", "x" * 9_999], ("y",), r"'�\\x1b\[31m', 'x{40}\.\.\.'\n.*column NAME"),
    ],
)
def test_what_cannot_be_chosen_is_told(names: list[str], columns: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        cells.choose(names, reading(columns=columns))
    assert len(str(error.value).encode()) < 1_000


def test_a_name_with_a_lone_surrogate_can_be_chosen_and_stored() -> None:
    one = reading()
    assert cells.choose(["\ud800"], one, likely=["\ud800"]) == [0]
    assert one.found["columns"] == ["\ufffd"]


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("unit", UNITS)
def test_cells_without_text_are_counted(unit: str) -> None:
    found, ledger = texts(["一。", None, "", "二。"], unit)
    assert "".join(found).replace("\n", "") == "一。二。"
    assert ledger.dropped_documents["no_text"] == 2 and ledger.dropped_characters["no_text"] == 0


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (3, r"a number \(3\)"),
        (2.5, "a number"),
        (True, "true or false"),
        (["a"], "a list"),
        ({"a": 1}, "an object"),
        (b"\xff", "bytes"),
        (["a" * 10_000] * 10_000, "a list"),
    ],
)
def test_other_values_stop_or_are_counted(unit: str, value: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"f.csv, row 3: expected text, found {kind}") as error:
        texts(["一。", value], unit)
    assert len(error.value.message) < 200
    found, ledger = texts(["一。", value, "二。"], unit, on_bad="skip")
    assert "".join(found).replace("\n", "") == "一。二。" and ledger.dropped_documents["not_text"] == 1


def test_a_message_names_the_place_by_its_kind() -> None:
    with pytest.raises(InputError, match=r"f\.csv, line 2: expected text"):
        list(cells.records([(2, 1)], reading(), place="line"))


def test_line_ends_surrogates_and_nul() -> None:
    found, ledger = texts(["a\r\nb\rc\nd", "x\ud800y\udc80z", "n\0"])
    assert found == ["a\nb\nc\nd", "x\ufffdy\ufffdz", "n\0"]
    assert ledger.change["newlines"] == 1
    assert ledger.notes["lone_surrogates"] == 2 and ledger.notes["nul_characters"] == 1


def test_undecodable_cells_are_left_out() -> None:
    found, ledger = texts(["良い", "悪\udc80い"], on_bad="skip")
    assert found == ["良い"] and ledger.dropped_characters["undecodable"] == 3


# ---------------------------------------------------------------------- units


def test_units_within_cells() -> None:
    values = ["一\n二\n\n三", "四"]
    assert texts(values)[0] == values
    assert texts(values, "line")[0] == ["一", "二", "三", "四"]
    assert texts(values, "paragraph")[0] == ["一\n二", "三", "四"]
    found, ledger = texts(values, "file")
    assert found == ["一\n二\n\n三\n四"]
    assert ledger.read == 7 and ledger.change["cells_joined"] == -2  # one line end was added after each cell


def test_positions_are_those_of_the_rows() -> None:
    for unit, expected in (("record", [7, 9]), ("line", [7, 7, 9]), ("paragraph", [7, 9]), ("file", [7])):
        found = cells.records([(7, "a\nb"), (9, "c")], reading(unit))
        assert [record.position for record in found] == expected


@pytest.mark.parametrize("unit", UNITS)
def test_long_cells_come_in_pieces(unit: str) -> None:
    found, _ = texts(["長い文です。" * 100, "短い。"], unit, fragment=50)
    assert "".join(found).replace("\n", "") == "長い文です。" * 100 + "短い。"


VALUES = st.one_of(st.none(), st.text("あa 　\n\r\0\ufeff😀\u3099\ud800\udc80", max_size=12), st.integers())


@given(st.lists(VALUES, max_size=12), st.sampled_from(UNITS), st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_the_law_holds_for_any_cells(values: list[Any], unit: str, fragment: int) -> None:
    found, _ = texts(values, unit, on_bad="skip", fragment=fragment)  # the law is checked in there
    kept = "".join(v for v in values if isinstance(v, str) and "\udc80" not in v)
    visible = kept.replace("\ud800", "\ufffd").split()
    assert "".join("".join(found).split()) == "".join(visible)
