"""The labelled pairs: their files, their balance, and that no cheap trick tells the labels."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tane.sample.grammar import split_sentences
from tane.sample.pair_kinds import KINDS
from tane.sample.pairs import DIFFERENT, SAME, SPLITS, Pair, pairs, write_pairs
from tests.sample.conftest import Corpus

SRC = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Pair]]:
    return pairs()


def test_the_files_hold_the_pairs(splits: dict[str, list[Pair]], tmp_path: Path) -> None:
    paths = write_pairs(tmp_path / "new" / "folder")
    assert list(paths) == list(SPLITS)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "test.csv",
        "train.csv",
        "valid.csv",
    ]
    for split, path in paths.items():
        assert b"\r" not in path.read_bytes()
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["sentence1", "sentence2", "label"]
        assert [tuple(row) for row in rows] == [pair[:3] for pair in splits[split]]


def digest(paths: dict[str, Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths.values())).hexdigest()


@pytest.mark.parametrize("hashseed", ["0", "4242"])
def test_every_process_writes_the_same_bytes(hashseed: str, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    subprocess.run(
        [sys.executable, "-m", "tane.sample", "--pairs", str(there)],
        env={**os.environ, "PYTHONHASHSEED": hashseed, "PYTHONPATH": str(SRC)},
        check=True,
        capture_output=True,
    )
    assert digest(write_pairs(here)) == digest({split: there / f"{split}.csv" for split in SPLITS})


def test_another_seed_other_pairs(splits: dict[str, list[Pair]]) -> None:
    assert pairs(0) == splits
    assert pairs(1)["test"] != splits["test"]


def test_size_and_balance(splits: dict[str, list[Pair]]) -> None:
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 4968,
        "valid": 396,
        "test": 396,
    }
    for split, examples in splits.items():
        counts = Counter((pair.kind, pair.label) for pair in examples)
        assert counts == {(kind, label): SPLITS[split] // 2 for kind in KINDS for label in (SAME, DIFFERENT)}


def test_no_pair_comes_twice_in_either_order(splits: dict[str, list[Pair]]) -> None:
    seen = [frozenset((pair.sentence1, pair.sentence2)) for examples in splits.values() for pair in examples]
    assert len(set(seen)) == len(seen)
    assert all(len(pair) == 2 for pair in seen)


def test_the_splits_share_no_fact_and_no_sentence(splits: dict[str, list[Pair]]) -> None:
    """What they share is what words mean: that はさみ is 紙を切る道具 is told in each, of other people."""
    for part in (lambda pair: {pair.fact}, lambda pair: {pair.sentence1, pair.sentence2}):
        train, valid, test = (set().union(*map(part, examples)) for examples in splits.values())
        assert not train & valid and not train & test and not valid & test


def test_every_state_is_in_every_split(splits: dict[str, list[Pair]]) -> None:
    """What a test asks of a word's meaning can be learnt from the training pairs."""
    named = ("動物", "場所", "道具", "仕事")
    for examples in splits.values():
        text = "".join(pair.sentence1 + pair.sentence2 for pair in examples if pair.kind in named)
        for name in named:
            for key, definition in KINDS[name][0].states:
                assert key in text and definition in text


def test_all_phrases_of_a_state_stand_against_each_other() -> None:
    for kinds in KINDS.values():
        for kind in kinds:
            assert len({len(state) for state in kind.states}) == 1 and len(kind.states) >= 2
            phrases = [phrase for state in kind.states for phrase in state]
            assert len(set(phrases)) == len(phrases) >= 4


def test_sentences_are_those_of_the_corpus(splits: dict[str, list[Pair]], corpus: Corpus) -> None:
    known = set("".join(corpus.stories))
    for examples in splits.values():
        for pair in examples:
            for sentence in (pair.sentence1, pair.sentence2):
                assert 8 <= len(sentence) <= 40, sentence
                assert sentence.endswith("。") and split_sentences(sentence) == [sentence]
                assert set(sentence) <= known, set(sentence) - known


def labels(examples: list[Pair]) -> list[bool]:
    return [pair.label == SAME for pair in examples]


def dice(pair: Pair) -> float:
    """How much of their character bigrams two sentences share."""
    one, two = (Counter(pairwise(text)) for text in (pair.sentence1, pair.sentence2))
    return 2 * (one & two).total() / (one.total() + two.total())


def accuracy(train: object, valid: object, splits: dict[str, list[Pair]]) -> float:
    """How well a logistic regression on these features tells the labels of the validation pairs."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10, max_iter=1000).fit(train, labels(splits["train"]))
    return float(model.score(valid, labels(splits["valid"])))


def test_overlap_and_length_do_not_tell_the_label(splits: dict[str, list[Pair]]) -> None:
    overlap = {split: [[dice(pair)] for pair in splits[split]] for split in ("train", "valid")}
    assert accuracy(overlap["train"], overlap["valid"], splits) < 0.6
    lengths = {
        split: np.array([sorted((len(p.sentence1), len(p.sentence2))) for p in splits[split]]) / 20
        for split in ("train", "valid")
    }
    assert accuracy(lengths["train"], lengths["valid"], splits) < 0.6


def test_no_bag_of_characters_tells_the_label(splits: dict[str, list[Pair]]) -> None:
    """Neither sentence alone, nor the n-grams of both side by side, nor those that only one of them has."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    bags = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    bags.fit([text for pair in splits["train"] for text in pair[:2]])
    train, valid = (
        [bags.transform([pair[i] for pair in splits[split]]) for i in (0, 1)] for split in ("train", "valid")
    )
    assert accuracy(train[0], valid[0], splits) < 0.58
    assert accuracy(train[1], valid[1], splits) < 0.58
    assert accuracy(hstack(train), hstack(valid), splits) < 0.6
    assert accuracy(abs(train[0] - train[1]), abs(valid[0] - valid[1]), splits) < 0.75
