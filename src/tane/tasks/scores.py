"""Scores of labelled tasks: metrics, what a constant answer gets, and how far chance may move them.

A score is a float by the name of its metric. What is undefined, as a correlation with a constant, has no
entry: no score is ever NaN. Intervals are percentile bootstraps over examples. `intervals` calls any measure
on resampled examples and is slow; the ones for classes, numbers and tags say the same from weighted sums.

Letters: n examples, k classes.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tane.errors import DivergedError
from tane.tasks.tags import OUTSIDE, spans

Scores = dict[str, float]
Intervals = dict[str, tuple[float, float]]

LOWER_IS_BETTER = {"rmse", "mae", "loss", "perplexity"}
ROUNDS, LEVEL = 1000, 0.95


def better(metric: str) -> int:
    """+1 where a higher value of the metric is better, -1 where a lower one is."""
    return -1 if metric in LOWER_IS_BETTER else 1


# -------------------------------------------------------------------------------------------------- metrics


def classes(gold: np.ndarray, predicted: np.ndarray, count: int) -> Scores:
    """Scores of answers out of `count` classes; gold, predicted (n,) ints.

    accuracy; f1: of class 1, only for two classes (as GLUE does for MRPC); f1_macro: the mean over the
    classes that occur in gold or predicted; mcc: Matthews' correlation. A quotient by nought counts as 0.
    Empty for no examples. Raises ValueError for a number that is no class.
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    gold, predicted = _as_classes(gold, predicted, count)
    if not len(gold):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one class only it warns, and gives the 0 that is documented
        scores = {"accuracy": accuracy_score(gold, predicted)}
        if count == 2:
            scores["f1"] = f1_score(gold, predicted, labels=[1], average="macro", zero_division=0)
        scores["f1_macro"] = f1_score(gold, predicted, average="macro", zero_division=0)
        scores["mcc"] = matthews_corrcoef(gold, predicted)
    return {name: float(value) for name, value in scores.items()}


def numbers(gold: np.ndarray, predicted: np.ndarray) -> Scores:
    """Scores of answers that are numbers; gold, predicted (n,) floats.

    pearson, spearman: left out where a column is constant; rmse, mae: in the unit of gold. Empty for no
    examples. Raises ValueError where gold is not finite, DivergedError where predicted is not.
    """
    from scipy.stats import pearsonr, spearmanr

    gold, predicted = _as_numbers(gold, predicted)
    if not len(gold):
        return {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of columns that are nearly constant
        errors = np.abs(predicted - gold)
        scores = {"rmse": np.sqrt(np.mean(errors**2)), "mae": np.mean(errors)}
        if min(len(np.unique(gold)), len(np.unique(predicted))) > 1:
            correlations = {"pearson": pearsonr, "spearman": spearmanr}
            scores = {name: of(gold, predicted).statistic for name, of in correlations.items()} | scores
    return _defined(scores)


def tags(gold: list[list[str]], predicted: list[list[str]]) -> Scores:
    """Scores of tagged sequences, as the CoNLL-2003 evaluation counts them.

    precision, recall, f1: of spans (tags.py), right only with the exact place and type, over all sequences
    together; 0 where there are none. accuracy: share of tags that are right. Empty for no tags at all. Raises
    ValueError where two sequences differ in length.
    """
    return _of_tags(_tag_counts(gold, predicted).sum(axis=0))


def confusion(gold: np.ndarray, predicted: np.ndarray, count: int) -> list[list[int]]:
    """How often each class (row) was answered as each (column): (k, k). Raises ValueError as `classes`."""
    gold, predicted = _as_classes(gold, predicted, count)
    cells = np.bincount(gold * count + predicted, minlength=count * count)
    return [[int(cell) for cell in row] for row in cells.reshape(count, count)]


# ------------------------------------------------------------------------------------------------ baselines


def constant_classes(train_gold: np.ndarray, gold: np.ndarray, count: int) -> tuple[Scores, int]:
    """What one gets by always answering the commonest class of the training labels, and that class.

    train_gold, gold (n,) ints, of different lengths; of classes equally common the first is taken.
    """
    commonest = int(np.bincount(np.asarray(train_gold, dtype=np.int64), minlength=count).argmax())
    return classes(gold, np.full(len(gold), commonest), count), commonest


def constant_numbers(train_gold: np.ndarray, gold: np.ndarray) -> Scores:
    """rmse and mae of always answering the mean of the training labels; a constant has no correlation."""
    return numbers(gold, np.full(len(gold), float(np.mean(train_gold))))


def constant_tags(gold: list[list[str]]) -> Scores:
    """What one gets by always answering O: no span is found, and every O is right."""
    return tags(gold, [[OUTSIDE] * len(labels) for labels in gold])


def character_overlap(a: Sequence[str], b: Sequence[str], n: int = 2) -> np.ndarray:
    """Dice coefficient of the character n-grams of each pair of texts: (pairs,), from 0 to 1.

    n-grams that occur twice count twice; a text shorter than n is one n-gram; two empty texts are alike (1).
    The texts are compared as they stand. The correlation of this with gold is what a task of similarity is
    worth without a model.
    """
    overlaps = []
    for one, other in zip(a, b, strict=True):
        left, right = _grams(one, n), _grams(other, n)
        total = left.total() + right.total()
        overlaps.append(2 * (left & right).total() / total if total else 1.0)
    return np.array(overlaps, dtype=np.float64)


# ------------------------------------------------------------------------------------------------ intervals


def intervals(
    measure: Callable[[np.ndarray], Scores],
    n: int,
    *,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """Percentile bootstrap of any measure: {metric: (low, high)}.

    measure: takes indices (n,) of examples, drawn with replacement, and gives their scores. A metric that is
    undefined in some rounds has the interval of the others; one that never is defined has none.
    """
    found = (measure(indices) for indices in _draws(n, rounds, seed))
    return _limits(found, level)


def class_intervals(
    gold: np.ndarray,
    predicted: np.ndarray,
    count: int,
    *,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """The intervals of `classes`: cells of the confusion table are drawn anew instead of examples."""
    gold, predicted = _as_classes(gold, predicted, count)
    n = len(gold)
    if not n:
        return {}
    cells, sizes = np.unique(gold * count + predicted, return_counts=True)
    rows, columns = np.divmod(cells, count)
    rng = np.random.default_rng(seed)

    def drawn() -> Iterator[Scores]:
        for _ in range(rounds):
            weights = rng.multinomial(n, sizes / n)
            in_gold = np.bincount(rows, weights, minlength=count)
            in_predicted = np.bincount(columns, weights, minlength=count)
            right = np.bincount(rows, weights * (rows == columns), minlength=count)
            yield _of_sums(in_gold, in_predicted, right)

    return _limits(drawn(), level)


@np.errstate(all="ignore")  # what overflows is left out
def number_intervals(
    gold: np.ndarray, predicted: np.ndarray, *, rounds: int = ROUNDS, level: float = LEVEL, seed: int = 0
) -> Intervals:
    """The intervals of `numbers`: each example is weighted by how often it was drawn, sorted only once."""
    gold, predicted = _as_numbers(gold, predicted)
    n = len(gold)
    if not n:
        return {}
    errors = np.abs(predicted - gold)
    groups = [np.unique(column, return_inverse=True)[1] for column in (gold, predicted)]

    def drawn() -> Iterator[Scores]:
        for indices in _draws(n, rounds, seed):
            weights = np.bincount(indices, minlength=n)
            scores = {"rmse": np.sqrt(weights @ errors**2 / n), "mae": weights @ errors / n}
            sizes = [np.bincount(group, weights) for group in groups]
            if min(np.count_nonzero(size) for size in sizes) > 1:
                scores["pearson"] = _correlation(gold, predicted, weights)
                # equal values share the mean of their ranks
                ranks = [(size.cumsum() - size / 2)[g] for size, g in zip(sizes, groups, strict=True)]
                scores["spearman"] = _correlation(ranks[0], ranks[1], weights)
            yield _defined(scores)

    return _limits(drawn(), level)


def tag_intervals(
    gold: list[list[str]],
    predicted: list[list[str]],
    *,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """The intervals of `tags`; what is drawn are whole sequences."""
    counts = _tag_counts(gold, predicted)
    return _limits(
        (_of_tags(counts[indices].sum(axis=0)) for indices in _draws(len(gold), rounds, seed)), level
    )


def spread(many: Sequence[Scores]) -> dict[str, dict[str, float]]:
    """Over seeds: {metric: {mean, std, min, max}}, std being the sample's (by n - 1; 0 for one).

    Only of metrics that every seed has: a mean without the runs that collapsed would flatter.
    """
    found = {}
    for metric in many[0] if many else ():
        if all(metric in scores for scores in many):
            values = np.array([scores[metric] for scores in many])
            std = values.std(ddof=1) if len(values) > 1 else 0.0
            found[metric] = {
                "mean": float(values.mean()), "std": float(std), "min": float(values.min()),
                "max": float(values.max()),
            }  # fmt: skip
    return found


# ---------------------------------------------------------------------------------------------------- parts


def _as_classes(gold: np.ndarray, predicted: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    columns = []
    for name, column in (("gold", gold), ("predicted", predicted)):
        column = np.asarray(column)
        if column.size and not (
            np.issubdtype(column.dtype, np.integer) and 0 <= column.min() <= column.max() < count
        ):
            raise ValueError(f"{name} holds what is no class: expected whole numbers from 0 to {count - 1}")
        columns.append(column.astype(np.int64))
    _check_lengths(*columns)
    return columns[0], columns[1]


def _as_numbers(gold: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gold, predicted = np.asarray(gold, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    _check_lengths(gold, predicted)
    if not np.isfinite(gold).all():
        raise ValueError("gold holds what is no finite number")
    bad = len(predicted) - int(np.isfinite(predicted).sum())
    if bad:
        found = f"{bad:,} of {len(predicted):,} numbers that the model answers are not finite"
        raise DivergedError(found, "lower the learning rate: --optim.lr")
    return gold, predicted


def _check_lengths(gold: np.ndarray, predicted: np.ndarray) -> None:
    if gold.shape != predicted.shape or gold.ndim != 1:
        raise ValueError(f"gold {gold.shape} and predicted {predicted.shape}: expected (n,) both")


def _defined(scores: dict[str, np.floating]) -> Scores:
    """The scores that are numbers."""
    return {name: float(value) for name, value in scores.items() if math.isfinite(value)}


def _draws(n: int, rounds: int, seed: int) -> Iterator[np.ndarray]:
    """Indices (n,) with replacement, so many times; never for no examples."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds if n else 0):
        yield rng.integers(n, size=n)


def _limits(found: Iterator[Scores], level: float) -> Intervals:
    """The middle `level` of each metric's values."""
    values: dict[str, list[float]] = {}
    for scores in found:
        for name, value in scores.items():
            values.setdefault(name, []).append(value)
    tail = (1 - level) / 2
    quantiles = {name: np.quantile(drawn, [tail, 1 - tail]) for name, drawn in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in quantiles.items()}


def _of_sums(in_gold: np.ndarray, in_predicted: np.ndarray, right: np.ndarray) -> Scores:
    """What `classes` gives, from each class's (k,) counts in gold, in predicted and in both at once."""
    n = in_gold.sum()
    both = in_gold + in_predicted
    f1 = 2 * right / np.maximum(both, 1)
    scores = {"accuracy": right.sum() / n}
    if len(both) == 2:
        scores["f1"] = f1[1]
    scores["f1_macro"] = f1[both > 0].mean()
    # counts below 2**26 make exact floats of their squares' sums
    unequal = [n * n - column @ column for column in (in_gold, in_predicted)]
    scale = math.sqrt(unequal[0]) * math.sqrt(unequal[1])
    scores["mcc"] = (right.sum() * n - in_gold @ in_predicted) / scale if scale else 0.0
    return {name: float(value) for name, value in scores.items()}


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    """Pearson's correlation of two (n,) columns whose rows occur `weights` times; NaN where undefined."""
    n = weights.sum()
    a, b = a - weights @ a / n, b - weights @ b / n
    scale = np.sqrt(weights @ a**2) * np.sqrt(weights @ b**2)
    return float(np.clip(weights @ (a * b) / scale, -1, 1))


def _tag_counts(gold: list[list[str]], predicted: list[list[str]]) -> np.ndarray:
    """(n, 5): spans right, in gold, in predicted; tags right, in all, of each sequence."""
    counts = np.zeros((len(gold), 5), dtype=np.int64)
    for at, (labels, answers) in enumerate(zip(gold, predicted, strict=True)):
        known, found = spans(labels), spans(answers)
        right = sum(a == b for a, b in zip(labels, answers, strict=True))
        counts[at] = len(known & found), len(known), len(found), right, len(labels)
    return counts


def _of_tags(counts: np.ndarray) -> Scores:
    right, in_gold, in_predicted, tags_right, tags_all = counts.tolist()
    if not tags_all:
        return {}
    return {
        "precision": right / in_predicted if in_predicted else 0.0,
        "recall": right / in_gold if in_gold else 0.0,
        "f1": 2 * right / (in_gold + in_predicted) if in_gold + in_predicted else 0.0,
        "accuracy": tags_right / tags_all,
    }


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[at : at + n] for at in range(max(1, len(text) - n + 1)) if text)
