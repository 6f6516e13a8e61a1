"""What normalising changed: the rows account for every character, and a person can read them."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.text import changes as module
from tane.text.changes import Changes, joins
from tane.text.normalize import FORMS

# bases, marks, compatibility forms, jamo, vowel signs: where normalising does something
HOT = (
    "aeかがカはe\u0301\u0323\u0327\u3099\u309a\u0300\u0345ｶﾊﾞﾟｱＡ１　㍻㌔①½ﬁﷺ～〜㍿️"
    "\u1100\u1161\u11a8가각ﾡￂ\u09c7\u09be\u0b47\u0b3e\u1025\u102e\u0344\u0f73\u0f71\u2126\u212b\u00a0\u1e9b"
    "\U0001d15e\U0001d165\U00011099\U000110ba\U0001f600漢豈"
)
TEXT = st.text(st.sampled_from(HOT) | st.characters(codec="utf-8"), max_size=40)


def counted(text: str, name: str = "nfkc") -> Changes:
    changes = Changes(name)
    changes.add(text, unicodedata.normalize(FORMS[name], text))
    return changes


def segmented(text: str, name: str) -> list[str]:
    """The text cut before each character that joins nothing before it."""
    found: list[str] = []
    for char in text:
        if found and joins(char, name):
            found[-1] += char
        else:
            found.append(char)
    return found


@given(TEXT, st.sampled_from(["nfc", "nfkc"]))
@settings(max_examples=500, deadline=None)
def test_rows_rebuild_the_normalised_text(text: str, name: str) -> None:
    after = unicodedata.normalize(FORMS[name], text)
    rows = counted(text, name).rows()
    became = {before: done for before, done, _ in rows}
    pieces = segmented(text, name)
    if all(len(piece) <= module.LONGEST for piece in pieces):
        assert "".join(became.get(piece, piece) for piece in pieces) == after
        wanted = Counter(piece for piece in pieces if unicodedata.normalize(FORMS[name], piece) != piece)
        assert {before: count for before, _, count in rows} == wanted


@given(st.lists(TEXT, max_size=6), st.sampled_from(["nfc", "nfkc"]))
@settings(max_examples=100, deadline=None)
def test_the_sum_over_the_rows_is_what_was_taken_away(texts: list[str], name: str) -> None:
    changes, merged = Changes(name), Changes(name)
    for text in texts:
        changes.add(text, unicodedata.normalize(FORMS[name], text))
        merged.merge(Changes.from_json(json.loads(json.dumps(counted(text, name).json()))))
    assert changes.rows() == merged.rows() and changes.other == merged.other
    away = sum((len(before) - len(after)) * count for before, after, count in changes.rows())
    total = sum(len(text) - len(unicodedata.normalize(FORMS[name], text)) for text in texts)
    assert away + changes.other[1] == changes.removed() == total


def test_rows_are_what_a_reader_expects() -> None:
    text = "か\u3099か\u3099ｶﾞ㍻①Ａ　がガ漢字 ～〜"
    assert set(counted(text).rows()) == {
        ("か\u3099", "が", 2), ("ｶﾞ", "ガ", 1), ("㍻", "平成", 1), ("①", "1", 1), ("Ａ", "A", 1),
        ("　", " ", 1), ("～", "~", 1),
    }  # fmt: skip
    assert counted(text, "nfc").rows() == [("か\u3099", "が", 2)]
    assert counted("か\u3099か\u3099Ａ").rows(1) == [("か\u3099", "が", 2)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\u1112\u1161\u11ab", "한"),
        ("하\u11ab", "한"),
        ("\u1025\u102e", "\u1026"),  # a vowel sign that is no combining mark, and yet composes
        ("e\u0323\u0302", "ệ"),
        ("e\u0302\u0323", "ệ"),
        ("\u3099か\u3099", "\u3099が"),
    ],
)
def test_sequences_are_counted_whole(before: str, after: str) -> None:
    for name in ("nfc", "nfkc"):
        rows = counted(f"猫{before}猫", name).rows()
        start = before.index("か") if "か" in before else 0
        assert rows == [(before[start:], after[start:], 1)]


def test_what_is_wrongly_normalised_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="unaccounted"):
        Changes("nfkc").add("㍻", "平")


def test_a_segment_without_end_has_no_row_but_is_counted() -> None:
    text = "か" + "\u3099" * 1000 + "Ａ" + "は" + "\u309a" * 1000 + "は" + "\u309a" * 1000
    changes = counted(text)
    assert changes.rows() == [("Ａ", "A", 1)]
    assert changes.other == [3, 3] and changes.removed() == 3


def test_memory_is_bounded_and_nothing_is_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 10)
    wide = [chr(code) for code in range(0xFF21, 0xFF3B)] + ["㍻", "㌔"]
    changes = Changes("nfkc")
    for number, char in enumerate(wide, 1):
        changes.add(char * number, unicodedata.normalize("NFKC", char * number))
        assert len(changes.rows()) < 20
    total = sum(range(1, len(wide) + 1))
    assert sum(count for _, _, count in changes.rows()) + changes.other[0] == total
    assert changes.removed() == -(len(wide) - 1) - len(wide)
    assert changes.rows(1) == [("㌔", "キロ", len(wide))]


def test_the_table_shows_what_cannot_be_seen() -> None:
    table = counted("ＡＡＡ　か\u3099\u00adﾞ").table()
    assert table.splitlines()[0].split() == ["3", "U+FF21", "Ａ", "->", "U+0041", "A"]
    assert "U+3000         (IDEOGRAPHIC SPACE) -> U+0020 (SPACE)" in table
    assert "U+304B U+3099  か\u3099 -> U+304C が" in table
    assert counted("ＡＡＡ　か\u3099").table(1).splitlines()[1:] == ["2 other changes"]
    assert Changes("nfc").table() == ""
