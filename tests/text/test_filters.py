"""Filters: each drops for its own reason, the first one names it, and none is slow on odd documents."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tane.text.filters import NGRAM, REASONS, FilterSettings, Measures

PROSE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。"
)
STRICT = FilterSettings(
    min_chars=10, max_chars=100_000, min_japanese=0.5, max_unprintable=0.01, max_symbols=0.2, max_urls=0.2,
    max_repetition=0.3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, None),
        (PROSE[:10], None),
        (PROSE[:9], "too_short"),
        (PROSE * 2_000, "too_long"),
        ("The quick brown fox jumps over the lazy dog.", "too_little_japanese"),
        (PROSE + "\x00", "unprintable"),
        (PROSE + "\ue000", "unprintable"),
        (PROSE + "★" * 30, "too_many_symbols"),
        (PROSE + "https://example.jp/abc?d=e#f", "too_many_urls"),
        (PROSE + "taro.yamada@mail.example.co.jp", "too_many_urls"),
        (PROSE * 2, "too_repetitive"),
        ("\n".join([PROSE, "はい", "はい", "はい", *["また明日"] * 30]), "too_repetitive"),
    ],
)
def test_each_filter_has_its_reason(text: str, reason: str | None) -> None:
    assert STRICT.reason(text) == reason
    assert reason is None or reason in REASONS


@pytest.mark.parametrize("name", list(FilterSettings.model_fields))
def test_every_filter_is_off_until_it_is_set(name: str) -> None:
    everything_wrong = "x@y.z\x00★" * 1000
    assert FilterSettings().reason(everything_wrong) is None
    assert not FilterSettings().active()
    limit = 10**6 if name == "min_chars" else 1 if name.startswith(("min", "max_chars")) else 0.0
    alone = FilterSettings.model_validate({name: limit})
    assert alone.active()
    found = alone.reason(everything_wrong)
    assert found is not None
    assert f"corpus.filters.{name}" in REASONS[found]


def test_every_setting_has_a_reason_and_every_reason_a_setting() -> None:
    named = {text.rpartition("corpus.filters.")[2] for text in REASONS.values()}
    assert named == set(FilterSettings.model_fields)


def test_the_first_filter_in_order_names_the_reason() -> None:
    text = "abc@example.com ★★★\x00" * 3
    order = ["min_chars", "max_chars", "min_japanese", "max_unprintable", "max_symbols", "max_urls"]
    limits = [1000, 1000, 0.5, 0.01, 0.01, 0.01]
    reasons = [*REASONS]
    for place in (0, 2, 3, 4, 5):
        later = dict(zip(order[place:], limits[place:], strict=True))
        assert FilterSettings.model_validate(later).reason(text) == reasons[place]


def test_limits_themselves_pass() -> None:
    text = "漢字ab"
    at = FilterSettings(
        min_chars=4, max_chars=4, min_japanese=0.5, max_unprintable=0, max_symbols=0, max_urls=0,
        max_repetition=0,
    )  # fmt: skip
    assert at.reason(text) is None
    assert FilterSettings(min_japanese=0.51).reason(text) == "too_little_japanese"


def test_settings_that_leave_no_length_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_chars"):
        FilterSettings(min_chars=10, max_chars=9)
    with pytest.raises(ValidationError):
        FilterSettings(max_urls=1.5)
    assert FilterSettings.model_validate({"min_chars": "none"}).min_chars is None


# ---------------------------------------------------------------------- measures


def by_hand(text: str) -> float:
    """The share of characters in runs of NGRAM that came before, character by character."""
    bare = "".join(text.split())
    covered: set[int] = set()
    for start in range(len(bare) - NGRAM + 1):
        if bare.find(bare[start : start + NGRAM]) < start:
            covered.update(range(start, start + NGRAM))
    return len(covered) / len(bare) if bare else 0.0


@given(st.text("ab \n", max_size=60) | st.text("あいう、", max_size=80))
def test_repetition_is_the_share_of_runs_seen_before(text: str) -> None:
    assert Measures(text).repetition == pytest.approx(by_hand(text))


def test_repetition_of_known_texts() -> None:
    assert Measures(PROSE).repetition == 0
    assert Measures(PROSE * 4).repetition == pytest.approx(3 / 4)
    assert Measures((PROSE + "\n") * 4).repetition == pytest.approx(3 / 4)
    assert Measures("あ" * 100).repetition == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("見てください：https://example.jp/a_b?c=%E3%81%82#dです。", "https://example.jp/a_b?c=%E3%81%82#d"),
        ("www.example.com", "www.example.com"),
        ("HTTP://EXAMPLE.COM", "HTTP://EXAMPLE.COM"),
        ("宛先はtaro+x@example.co.jpです", "taro+x@example.co.jp"),
        ("ftp://host/と a@b.c", "ftp://host/a@b.c"),
        ("2 @ 3, user@host, www, http:", ""),
    ],
)
def test_urls(text: str, inside: str) -> None:
    assert Measures(text).urls == pytest.approx(len(inside) / len("".join(text.split())))


@given(st.text())
def test_measures_are_shares(text: str) -> None:
    measures = Measures(text)
    found = [
        measures.japanese, measures.unprintable, measures.symbols, measures.urls, measures.repetition
    ]  # fmt: skip
    assert all(0 <= value <= 1 for value in found)
    assert sum(found[:3]) <= 1 + 1e-9


@pytest.mark.parametrize(
    "unit", ["あ", "a", "@", "a@", "a.", "a-", "www.", "http://", "%+", "a@b.", "\x00", "あい\n", " "]
)
def test_a_megabyte_of_anything_is_measured(unit: str) -> None:
    text = unit * (1_000_000 // len(unit)) + " @"  # minutes if any step were quadratic
    limits = FilterSettings(max_unprintable=1, max_symbols=1, max_urls=1, max_repetition=1)
    assert limits.reason(text) is None


def test_real_prose_is_kept(real_data: Path) -> None:
    text = gzip.decompress((real_data / "ja/aozora-a.txt.gz").read_bytes()).decode()
    documents = [document for document in text.split("\n\n") if len(document) >= 100]
    settings = FilterSettings(
        min_japanese=0.5, max_unprintable=0.01, max_symbols=0.2, max_urls=0.2, max_repetition=0.3
    )
    assert len(documents) > 200
    assert [settings.reason(document) for document in documents] == [None] * len(documents)
