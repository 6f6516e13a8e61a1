"""Spans of tag sequences: well-formed and odd ones, against what the CoNLL rules say, written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.tasks.tags import spans

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-PER", "S-LOC"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", set()),
        ("O O", set()),
        ("B-PER", {("PER", 0, 1)}),
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("O B-PER I-PER I-PER", {("PER", 1, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 1), ("PER", 1, 3)}),
        ("B-人名 I-人名 O B-組織名-学校 I-組織名-学校", {("人名", 0, 2), ("組織名-学校", 3, 5)}),
    ],
)
def test_well_formed(labels: str, expected: set[tuple[str, int, int]]) -> None:
    assert spans(labels.split()) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("I-PER", {("PER", 0, 1)}),
        ("I-PER I-PER O I-PER", {("PER", 0, 2), ("PER", 3, 4)}),
        ("B-PER I-LOC", {("PER", 0, 1), ("LOC", 1, 2)}),
        ("I-PER I-LOC I-LOC I-PER", {("PER", 0, 1), ("LOC", 1, 3), ("PER", 3, 4)}),
        ("I-PER B-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("B-PER O I-PER", {("PER", 0, 1), ("PER", 2, 3)}),
        ("B I I O I", {("", 0, 3), ("", 4, 5)}),
    ],
)
def test_odd_sequences_of_bio(labels: str, expected: set[tuple[str, int, int]]) -> None:
    assert spans(labels.split()) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("B-PER I-PER E-PER S-LOC", {("PER", 0, 3), ("LOC", 3, 4)}),
        ("S-LOC S-LOC", {("LOC", 0, 1), ("LOC", 1, 2)}),
        ("E-PER I-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("S-PER E-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("B-LOC E-PER", {("LOC", 0, 1), ("PER", 1, 2)}),
    ],
)
def test_with_ends_and_singles(labels: str, expected: set[tuple[str, int, int]]) -> None:
    assert spans(labels.split()) == expected


def test_labels_without_a_prefix_are_types() -> None:
    assert spans(["PER", "PER", "O", "PER"]) == {("PER", 0, 2), ("PER", 3, 4)}
    assert spans(["名詞-一般", "助詞", "助詞"]) == {("名詞-一般", 0, 1), ("助詞", 1, 3)}


@settings(deadline=None)
@given(st.lists(st.sampled_from(LABELS), max_size=12))
def test_spans_cover_just_what_is_not_outside_and_never_overlap(labels: list[str]) -> None:
    places = [at for _, start, end in spans(labels) for at in range(start, end)]
    assert sorted(places) == [at for at, label in enumerate(labels) if label != "O"]
    for kind, start, end in spans(labels):
        assert {label.partition("-")[2] for label in labels[start:end]} == {kind}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "PER", "LOC"]), st.integers(1, 3)), max_size=6))
def test_spans_written_as_bio_are_read_back(parts: list[tuple[str, int]]) -> None:
    labels: list[str] = []
    written = set()
    for kind, length in parts:
        if kind:
            written.add((kind, len(labels), len(labels) + length))
            labels += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
        else:
            labels += ["O"] * length
    assert spans(labels) == written
