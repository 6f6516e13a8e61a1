"""Intervals of scores: the fast ways against the plain bootstrap, and against what theory says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.tasks import scores
from tane.tasks.scores import Scores
from tests.tasks.made import COLUMNS, SEQUENCE, Answers, answers, correlated, simulated

pytestmark = pytest.mark.filterwarnings("error")  # what warns here would stand on somebody's screen

few = settings(deadline=None, max_examples=25)


def test_both_ways_of_drawing_classes_agree() -> None:
    gold, predicted = simulated(600, 0.8)
    cells = scores.class_intervals(gold, predicted, 2)
    rows = scores.intervals(lambda at: scores.classes(gold[at], predicted[at], 2), len(gold), rounds=300)
    assert set(cells) == set(rows) == {"accuracy", "f1", "f1_macro", "mcc"}
    for metric, (low, high) in cells.items():
        assert rows[metric] == pytest.approx((low, high), abs=0.25 * (high - low))


def test_both_ways_of_drawing_numbers_are_equal() -> None:
    gold, predicted = correlated(80)
    slow = scores.intervals(lambda at: scores.numbers(gold[at], predicted[at]), len(gold), rounds=60, seed=3)
    fast = scores.number_intervals(gold, predicted, rounds=60, seed=3)
    assert set(fast) == {"pearson", "spearman", "rmse", "mae"}
    assert {m: list(v) for m, v in fast.items()} == {m: pytest.approx(list(v)) for m, v in slow.items()}


@few
@given(COLUMNS)
def test_both_ways_of_drawing_numbers_are_equal_on_any(columns: np.ndarray) -> None:
    gold, predicted = columns
    slow = scores.intervals(lambda at: scores.numbers(gold[at], predicted[at]), len(gold), rounds=3)
    fast = scores.number_intervals(gold, predicted, rounds=3)
    assert {m: list(v) for m, v in fast.items()} == {
        m: pytest.approx(list(v), rel=1e-6, abs=1e-6) for m, v in slow.items()
    }


@few
@given(st.lists(SEQUENCE, min_size=1, max_size=5))
def test_both_ways_of_drawing_tags_are_equal(sequences: list[list[tuple[str, str]]]) -> None:
    gold, predicted = ([[pair[at] for pair in one] for one in sequences] for at in (0, 1))

    def measure(at: np.ndarray) -> Scores:
        return scores.tags([gold[i] for i in at], [predicted[i] for i in at])

    slow = scores.intervals(measure, len(gold), rounds=10, seed=1)
    assert scores.tag_intervals(gold, predicted, rounds=10, seed=1) == slow


GOLD_TAGS = [["B-人", "I-人", "O"], ["O", "O"], ["B-所", "O"]] * 20
FOUND_TAGS = [["B-人", "I-人", "O"], ["O", "B-人"], ["O", "O"]] * 20
FAST: dict[str, tuple[Callable[..., Scores], Callable[..., scores.Intervals], tuple[object, ...]]] = {
    "two classes": (scores.classes, scores.class_intervals, (*simulated(300, 0.75), 2)),
    "three classes": (
        scores.classes, scores.class_intervals, (np.arange(90) % 3, np.minimum(2, np.arange(90) % 4), 3),
    ),
    "numbers": (scores.numbers, scores.number_intervals, correlated(150)),
    "tags": (scores.tags, scores.tag_intervals, (GOLD_TAGS, FOUND_TAGS)),
}  # fmt: skip


@pytest.mark.parametrize("case", FAST)
def test_intervals_contain_the_score_and_grow_with_the_level(case: str) -> None:
    measure, of, columns = FAST[case]
    found, wide, narrow = measure(*columns), of(*columns, rounds=300), of(*columns, rounds=300, level=0.5)
    assert set(wide) == set(narrow) == set(found)
    for metric, value in found.items():
        assert wide[metric][0] <= narrow[metric][0] <= value <= narrow[metric][1] <= wide[metric][1]
        assert wide[metric][0] < wide[metric][1]


@pytest.mark.parametrize("case", FAST)
def test_a_seed_gives_the_same_intervals_and_another_others(case: str) -> None:
    _, of, columns = FAST[case]
    assert of(*columns, rounds=50, seed=7) == of(*columns, rounds=50, seed=7)
    assert of(*columns, rounds=50, seed=7) != of(*columns, rounds=50, seed=8)


def test_more_examples_make_a_narrower_interval() -> None:
    few, many = (scores.class_intervals(*simulated(n, 0.8), 2)["accuracy"] for n in (100, 1600))
    assert 3 < (few[1] - few[0]) / (many[1] - many[0]) < 5


def test_the_interval_of_accuracy_is_that_of_the_binomial() -> None:
    gold, predicted = np.zeros(1000, dtype=int), (np.arange(1000) < 200).astype(int)
    low, high = scores.class_intervals(gold, predicted, 2)["accuracy"]
    half = 1.96 * math.sqrt(0.8 * 0.2 / 1000)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.004)


@few
@given(answers(most=8))
def test_intervals_of_any_classes_are_finite_and_in_order(given_answers: Answers) -> None:
    limits = scores.class_intervals(*given_answers, rounds=20)
    assert set(limits) == set(scores.classes(*given_answers))
    assert all(math.isfinite(low) and low <= high for low, high in limits.values())
