"""Scores: small cases by hand, laws on random ones, and the baseline that is published of MRPC."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tane.errors import DivergedError
from tane.tasks import scores
from tane.tasks.scores import Scores
from tests.tasks.made import COLUMNS, SEQUENCE, Answers, answers

pytestmark = pytest.mark.filterwarnings("error")  # what warns here would stand on somebody's screen

law = settings(deadline=None)  # the first example waits for scikit-learn's import

# -------------------------------------------------------------------------------------------------- classes


def test_two_classes_by_hand() -> None:
    gold, predicted = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([1, 1, 0, 0, 0, 1, 0, 1])
    found = scores.classes(gold, predicted, 2)  # 3 right of class 1, 3 of class 0, one wrong of each
    assert found == pytest.approx({"accuracy": 6 / 8, "f1": 3 / 4, "f1_macro": 3 / 4, "mcc": 1 / 2})
    assert scores.confusion(gold, predicted, 2) == [[3, 1], [1, 3]]


def test_three_classes_by_hand() -> None:
    found = scores.classes(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), 3)
    assert found["accuracy"] == 3 / 4 and "f1" not in found
    assert found["f1_macro"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found["mcc"] == pytest.approx((3 * 4 - 5) / math.sqrt((16 - 6) * (16 - 6)))


def test_a_class_that_never_occurs_does_not_lower_the_macro_mean() -> None:
    assert scores.classes(np.array([0, 1]), np.array([0, 1]), 9)["f1_macro"] == 1


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([1, 1], [1, 1], {"accuracy": 1, "f1": 1, "f1_macro": 1, "mcc": 0}),
        ([0, 0], [0, 0], {"accuracy": 1, "f1": 0, "f1_macro": 1, "mcc": 0}),
        ([0, 0], [1, 1], {"accuracy": 0, "f1": 0, "f1_macro": 0, "mcc": 0}),
        ([0, 1], [1, 0], {"accuracy": 0, "f1": 0, "f1_macro": 0, "mcc": -1}),
        ([1], [0], {"accuracy": 0, "f1": 0, "f1_macro": 0, "mcc": 0}),
    ],
    ids=["one class", "the other class", "never right", "all wrong", "one example"],
)
def test_edges_of_two_classes(gold: list[int], predicted: list[int], expected: Scores) -> None:
    assert scores.classes(np.array(gold), np.array(predicted), 2) == expected
    limits = scores.class_intervals(np.array(gold), np.array(predicted), 2, rounds=20)
    assert limits["accuracy"] == (expected["accuracy"],) * 2


def test_nothing_has_no_scores() -> None:
    nothing = np.array([], dtype=np.int64)
    assert scores.classes(nothing, nothing, 2) == scores.class_intervals(nothing, nothing, 2) == {}
    assert scores.numbers(nothing, nothing) == scores.number_intervals(nothing, nothing) == {}
    assert scores.tags([], []) == scores.tag_intervals([], []) == scores.spread([]) == {}
    assert scores.intervals(lambda indices: {"accuracy": 1.0}, 0) == {}
    assert scores.confusion(nothing, nothing, 2) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("wrong", [[0, 2], [0, -100], [0, 0.5]])
def test_what_is_no_class_is_refused(wrong: list[float]) -> None:
    for gold, predicted in (([0, 1], wrong), (wrong, [0, 1])):
        for measure in (scores.classes, scores.confusion, scores.class_intervals):
            with pytest.raises(ValueError, match="no class: expected whole numbers from 0 to 1"):
                measure(np.array(gold), np.array(predicted), 2)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        scores.classes(np.array([0, 1]), np.array([0]), 2)
    with pytest.raises(ValueError, match="expected"):
        scores.numbers(np.array([0.0, 1.0]), np.array([[0.0], [1.0]]))


@law
@given(answers())
def test_laws_of_the_confusion_table(given_answers: Answers) -> None:
    gold, predicted, count = given_answers
    table = np.array(scores.confusion(gold, predicted, count))
    assert table.shape == (count, count) and table.sum() == len(gold)
    assert table.sum(axis=1).tolist() == np.bincount(gold, minlength=count).tolist()
    assert table.sum(axis=0).tolist() == np.bincount(predicted, minlength=count).tolist()
    assert scores.classes(gold, predicted, count)["accuracy"] == pytest.approx(table.trace() / len(gold))
    assert scores.confusion(predicted, gold, count) == table.T.tolist()
    assert json.loads(json.dumps(table.tolist())) == scores.confusion(gold, predicted, count)


@law
@given(answers(), st.randoms(use_true_random=False))
def test_the_order_of_examples_and_classes_is_nothing(given_answers: Answers, random: Random) -> None:
    gold, predicted, count = given_answers
    order = np.array(random.sample(range(len(gold)), len(gold)))
    found = scores.classes(gold, predicted, count)
    assert scores.classes(gold[order], predicted[order], count) == pytest.approx(found)
    renamed = scores.classes(count - 1 - gold, count - 1 - predicted, count)
    for metric in ("accuracy", "f1_macro", "mcc"):
        assert renamed[metric] == pytest.approx(found[metric])


@law
@given(answers())
def test_the_intervals_measure_what_the_scores_measure(given_answers: Answers) -> None:
    """The weighted sums behind `class_intervals` give on the whole file what scikit-learn gives."""
    gold, predicted, count = given_answers
    table = np.array(scores.confusion(gold, predicted, count))
    whole = scores._of_sums(table.sum(axis=1), table.sum(axis=0), table.diagonal())
    assert whole == pytest.approx(scores.classes(gold, predicted, count))
    assert all(isinstance(value, float) and math.isfinite(value) for value in whole.values())


# -------------------------------------------------------------------------------------------------- numbers


def test_numbers_by_hand() -> None:
    found = scores.numbers(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 8.0]))
    deviations = [(-1.5, -2.5), (-0.5, -0.5), (0.5, -1.5), (1.5, 4.5)]
    above = sum(a * b for a, b in deviations)
    below = math.sqrt(sum(a * a for a, _ in deviations) * sum(b * b for _, b in deviations))
    assert found == pytest.approx(
        {"pearson": above / below, "spearman": 0.8, "rmse": math.sqrt(18 / 4), "mae": 6 / 4}
    )


def test_equal_numbers_share_their_rank() -> None:
    gold, predicted = np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])  # ranks 1.5 1.5 3 and 1 2 3
    assert scores.numbers(gold, predicted)["spearman"] == pytest.approx(1.5 / math.sqrt(1.5 * 2))


@pytest.mark.parametrize("gold", [[1.0, 2.0, 3.0], [1.0]])
def test_the_correlation_with_a_constant_is_left_out(gold: list[float]) -> None:
    constant = np.full(len(gold), 2.0)
    for pair in ((np.array(gold), constant), (constant, np.array(gold))):
        assert set(scores.numbers(*pair)) == set(scores.number_intervals(*pair, rounds=9)) == {"rmse", "mae"}


def test_answers_that_are_no_numbers_are_an_error_of_the_run() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(DivergedError, match="1 of 2 numbers"):
            scores.numbers(np.array([1.0, 2.0]), np.array([1.0, bad]))
        with pytest.raises(ValueError, match="gold"):
            scores.number_intervals(np.array([1.0, bad]), np.array([1.0, 2.0]))


@law
@given(COLUMNS)
def test_laws_of_numbers(columns: np.ndarray) -> None:
    gold, predicted = columns
    found = scores.numbers(gold, predicted)
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    assert found["rmse"] >= found["mae"] * (1 - 1e-9) >= 0
    assert ("pearson" in found) == (len(set(gold)) > 1 and len(set(predicted)) > 1)
    assert all(abs(found.get(metric, 0)) <= 1 for metric in ("pearson", "spearman"))
    assert scores.numbers(gold[::-1], predicted[::-1]) == pytest.approx(found)
    assert scores.numbers(gold, gold).items() >= {("rmse", 0.0), ("mae", 0.0)}


@law
@example([(1.7e308, -1.7e308)])
@example([(1.7e308, 1.0), (1.6e308, 1.0)])
@example([(1e-320, 1.0), (2e-320, 2.0)])
@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=6))
def test_the_greatest_and_smallest_floats_give_no_nan_and_no_warning(
    pairs: list[tuple[float, float]],
) -> None:
    gold, predicted = np.array(pairs).T
    limits = scores.number_intervals(gold, predicted, rounds=5)
    flat = [*scores.numbers(gold, predicted).values(), *(end for pair in limits.values() for end in pair)]
    assert all(math.isfinite(value) for value in flat)


# ----------------------------------------------------------------------------------------------------- tags


def test_tags_by_hand() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    predicted = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "I-LOC"]]
    found = scores.tags(gold, predicted)  # of three spans in each one is right: type wrong, start wrong
    expected = {"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3, "accuracy": 3 / 6}
    assert found == pytest.approx(expected)
    assert scores.constant_tags(gold) == {"precision": 0, "recall": 0, "f1": 0, "accuracy": 2 / 6}


def test_a_span_that_opens_with_i_is_the_same_span() -> None:
    found = scores.tags([["I-PER", "I-PER"]], [["B-PER", "I-PER"]])
    assert found == {"precision": 1, "recall": 1, "f1": 1, "accuracy": 0.5}


def test_tags_without_any_span() -> None:
    assert scores.tags([["O"]], [["O"]]) == {"precision": 0, "recall": 0, "f1": 0, "accuracy": 1}
    assert scores.tags([[]], [[]]) == {}


def test_sequences_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError):
        scores.tags([["O", "O"]], [["O"]])
    with pytest.raises(ValueError):
        scores.tags([["O"], ["O"]], [["O"]])


@law
@given(st.lists(SEQUENCE, min_size=1, max_size=5))
def test_laws_of_tags(sequences: list[list[tuple[str, str]]]) -> None:
    gold, predicted = ([[pair[at] for pair in one] for one in sequences] for at in (0, 1))
    found, other = scores.tags(gold, predicted), scores.tags(predicted, gold)
    assert (found["precision"], found["recall"]) == (other["recall"], other["precision"])
    assert found["f1"] == pytest.approx(other["f1"]) and found["accuracy"] == other["accuracy"]
    assert scores.tags(gold[::-1], predicted[::-1]) == found
    assert all(0 <= value <= 1 for value in found.values())
    assert min(found["precision"], found["recall"]) - 1e-9 <= found["f1"]
    assert found["f1"] <= max(found["precision"], found["recall"]) + 1e-9
    assert scores.tags(gold, gold)["accuracy"] == 1


# ------------------------------------------------------------------------------------------------ baselines


def mrpc(path: Path) -> np.ndarray:
    """The labels of a file of MRPC: 1 where two sentences say the same."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")[1:]
    return np.array([int(line.split("\t")[0]) for line in lines if line])


def test_the_constant_baseline_of_mrpc(real_data: Path) -> None:
    train, gold = (mrpc(real_data / f"pairs/mrpc/msr_paraphrase_{name}.txt") for name in ("train", "test"))
    assert (len(train), len(gold)) == (4076, 1725)
    found, answer = scores.constant_classes(train, gold, 2)
    assert answer == 1
    assert round(found["accuracy"], 3) == 0.665 and round(found["f1"], 3) == 0.799 and found["mcc"] == 0


def test_the_constant_is_that_of_the_training_labels() -> None:
    found, answer = scores.constant_classes(np.array([2, 2, 0]), np.array([0, 0, 2, 1]), 3)
    assert answer == 2 and found["accuracy"] == 0.25
    assert scores.constant_classes(np.array([1, 0]), np.array([0]), 2)[1] == 0
    numbers = scores.constant_numbers(np.array([1.0, 3.0]), np.array([1.0, 2.0, 6.0]))
    assert numbers == pytest.approx({"rmse": math.sqrt(17 / 3), "mae": 5 / 3})


def test_character_overlap_by_hand() -> None:
    pairs = [("白い猫", "白い犬"), ("ああああ", "ああ"), ("猫", "猫"), ("猫", "犬"), ("", ""), ("", "猫が")]
    expected = [1 / 2, 2 / 4, 1, 0, 1, 0]
    found = scores.character_overlap([a for a, _ in pairs], [b for _, b in pairs])
    assert found.shape == (6,) and found.tolist() == pytest.approx(expected)
    assert scores.character_overlap(["白い猫"], ["白い犬"], 1).tolist() == pytest.approx([2 / 3])
    with pytest.raises(ValueError):
        scores.character_overlap(["猫"], [])


@law
@given(st.lists(st.tuples(*[st.text("あい猫", max_size=6)] * 2), max_size=5))
def test_laws_of_character_overlap(pairs: list[tuple[str, str]]) -> None:
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = scores.character_overlap(a, b)
    assert found.tolist() == scores.character_overlap(b, a).tolist()
    assert np.all((found >= 0) & (found <= 1)) and np.all(scores.character_overlap(a, a) == 1)


def test_character_overlap_tells_similar_sentences_from_others(real_data: Path) -> None:
    lines = (real_data / "pairs/jsts/valid-v1.3.json").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    overlap = scores.character_overlap([r["sentence1"] for r in rows], [r["sentence2"] for r in rows])
    gold = np.array([row["label"] for row in rows])
    found = scores.numbers(gold, overlap)
    assert 0.6 < found["pearson"] < 0.9 and 0.6 < found["spearman"] < 0.9


# ---------------------------------------------------------------------------------------------------- seeds


def test_spread_over_seeds() -> None:
    found = scores.spread([{"accuracy": 0.7}, {"accuracy": 0.8}, {"accuracy": 0.9}])
    assert found["accuracy"] == pytest.approx({"mean": 0.8, "std": 0.1, "min": 0.7, "max": 0.9})
    assert scores.spread([{"mcc": 0.5}]) == {"mcc": {"mean": 0.5, "std": 0.0, "min": 0.5, "max": 0.5}}


def test_a_metric_that_one_seed_lacks_has_no_mean() -> None:
    assert set(scores.spread([{"pearson": 0.9, "mae": 1.0}, {"mae": 2.0}])) == {"mae"}
    assert set(scores.spread([{"mae": 2.0}, {"pearson": 0.9, "mae": 1.0}])) == {"mae"}


def test_direction() -> None:
    assert [scores.better(m) for m in ("accuracy", "f1", "pearson", "rmse", "mae", "loss")] == [
        1,
        1,
        1,
        -1,
        -1,
        -1,
    ]
