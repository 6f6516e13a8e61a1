"""Columns: widths as a terminal shows them, one line a cell, nothing invisible."""

import pytest

from tane.text.columns import fit, fit_end, named, pad, table, visible, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("日本", 4),
        ("ﾊﾝｶｸ", 4),
        ("Ａ", 2),
        ("か\u3099", 2),
        ("é", 1),
        ("\u3000", 2),
        ("𠮷🙂", 4),
        ("", 0),
    ],
)
def test_wide_characters_take_two_columns_and_marks_none(text: str, columns: int) -> None:
    assert width(text) == columns
    assert width(pad(text, 12)) == width(pad(text, 12, right=True)) == 12
    assert pad(text, 1).rstrip(" ") == text.rstrip(" ")


@pytest.mark.parametrize("columns", range(1, 12))
def test_a_text_is_cut_to_its_columns_with_a_sign(columns: int) -> None:
    text = "日本語のa文b"
    start, end = fit(text, columns), fit_end(text, columns)
    assert width(start) <= columns and width(end) <= columns
    assert start.endswith("…") and text.startswith(start[:-1])
    assert end.startswith("…") and text.endswith(end[1:])
    assert fit(text, 12) == fit_end(text, 12) == text


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("一\n二\t三\u200b四\u3000五 六\u00a0") == "一⏎二<U+0009>三<U+200B>四\u3000五 六<U+00A0>"
    assert fit("一\n二", 10) == "一⏎二" and "\n" not in fit("\n" * 50, 10)
    assert fit_end("a/\u200bb", 20) == "a/<U+200B>b"
    assert named("髙") == "髙 U+9AD9" and named("\n") == "U+000A line end"
    assert named(" ") == "U+0020 space" and named("\u3000") == "U+3000 ideographic space"
    assert named("\u3099").startswith("U+3099 combining") and named("\ue000") == "U+E000"


def test_a_table_is_aligned() -> None:
    text = table([["名前", "1", "終"], ["ab", "1,000", ""], ["", "12", "end"]], right=[1])
    assert text == "名前      1  終\nab    1,000\n         12  end"
