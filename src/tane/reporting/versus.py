"""Which of two runs is better: a paired bootstrap over the documents or examples that both held out.

Both models are scored on the same items, so what makes an item hard is in both sums and falls out of their
difference (Koehn 2004; Dror et al. 2018). Items are drawn with replacement; the difference of the whole set
stands with the interval between the 2.5th and 97.5th percentile of the draws. Where the interval holds 0, one
cannot tell.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tane import progress, signals
from tane.errors import Interrupted, TaneError
from tane.files import Manifest
from tane.reporting.gather import Run
from tane.tasks.scores import better
from tane.training.resume import RESOLVED

T = TypeVar("T")
ROUNDS, LEVEL = 2000, 0.95
TASK_ROUNDS = 500  # each scores all examples twice
ENOUGH = 30  # documents below which they are cut into stretches, as of books
STRETCH = 500  # characters of a stretch at least
FEWEST = 10  # items from which on anything is said
DOCUMENTS = 400  # that are scored at most
CHARACTERS = 400_000  # of them at most


@dataclass(frozen=True)
class Verdict:
    """How `run` stands beside `other`: better, worse, or cannot tell, and why.

    difference: run minus other in the unit of `measure`, with its interval; None where nothing was measured.
    """

    run: str
    other: str
    says: str
    why: str
    measure: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    items: int = 0


def paired(
    totals: np.ndarray, others: np.ndarray, weights: np.ndarray, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Difference of two weighted means with its interval: totals, others (n,) sums of each item, weights (n,)
    what they are divided by, such as characters."""
    rng, n = np.random.default_rng(seed), len(totals)
    gap = totals - others
    found = np.empty(ROUNDS)
    for number in range(ROUNDS):
        drawn = rng.integers(0, n, n)
        found[number] = gap[drawn].sum() / weights[drawn].sum()
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(gap.sum() / weights.sum()), (float(low), float(high))


def verdict_of(
    name: str, other: str, measure: str, lower_is_better: bool,
    totals: np.ndarray, others: np.ndarray, weights: np.ndarray,
) -> Verdict:  # fmt: skip
    """What a paired bootstrap says; cannot tell below FEWEST items."""
    if len(totals) < FEWEST:
        why = f"only {len(totals):,} held-out items are common to both; {FEWEST} are needed"
        return Verdict(name, other, "cannot tell", why, measure, items=len(totals))
    difference, interval = paired(totals, others, weights)
    return _told(name, other, measure, lower_is_better, difference, interval, len(totals))


def _told(
    name: str, other: str, measure: str, lower_is_better: bool, difference: float,
    interval: tuple[float, float], items: int,
) -> Verdict:  # fmt: skip
    low, high = interval
    if low <= 0 <= high:
        says, why = "cannot tell", "the interval of the difference holds 0"
    else:
        says = "better" if (difference < 0) == lower_is_better else "worse"
        why = "the whole interval of the difference lies on one side of 0"
    return Verdict(name, other, says, why, measure, difference, interval, items)


class Scores:
    """Scores runs' models on a device. What was scored is kept: all runs are compared with one."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._kept: dict[Any, Any] = {}

    def __call__(self, score: Callable[..., T], run: Run, *given: Any) -> T:
        """What `score(run.model, *given, device)` gives; `given` can be hashed."""
        key = (score, run.folder, *given)
        if key not in self._kept:
            self._kept[key] = score(run.model, *given, self.device)
        found: T = self._kept[key]
        return found


def compare(run: Run, other: Run, scores: Scores) -> Verdict:
    """Score both runs' models on what both held out, and say how `run` stands."""

    def no(why: str) -> Verdict:
        return Verdict(run.name, other.name, "cannot tell", why)

    if run.kind != other.kind:
        return no(f"one is of kind {run.kind}, the other of kind {other.kind}")
    if not (run.model.exists() and other.model.exists()):
        return no("one of them has no model yet")
    try:
        if run.kind == "task":
            return _tasks(run, other, scores, no)
        return _texts(run, other, scores, no)
    except Interrupted:
        raise
    except TaneError as error:  # a model or data that is damaged or gone is told, not fatal
        return no(error.message)


# --------------------------------------------------------------------------------------------------- texts


def _texts(run: Run, other: Run, scores: Scores, no: Callable[[str], Verdict]) -> Verdict:
    texts = _common(run, other)
    if texts is None:
        return no("the prepared text of one of them is gone")
    documents = len(texts)
    if documents < ENOUGH:
        texts = [part for text in texts for part in stretches(text)]
    if len(texts) < FEWEST:
        told = f"they have {documents:,} held-out documents in common"
        return no(f"{told}, {len(texts):,} stretches of about {STRETCH:,} characters; {FEWEST} are needed")
    found = _scored(run, other, tuple(texts), scores, no)
    if documents >= ENOUGH or found.difference is None:
        return found
    told = f"drawn are stretches of {documents:,} documents, which are not as independent as documents"
    return replace(found, why=f"{found.why}; {told}")


def _scored(
    run: Run, other: Run, texts: tuple[str, ...], scores: Scores, no: Callable[[str], Verdict]
) -> Verdict:
    from tane.use.per_document import causal_nats, masked_nats

    if run.kind == "causal":
        bits, others = (scores(causal_nats, side, texts) / math.log(2) for side in (run, other))
        characters = np.array([len(text) for text in texts], dtype=np.float64)
        return verdict_of(run.name, other.name, "bits per character", True, bits, others, characters)
    if _tokenizer(run) != _tokenizer(other):
        return no("their tokenizers differ: what they hide is not the same, nor are their losses")
    (nats, hidden), (others, same) = (scores(masked_nats, side, texts) for side in (run, other))
    if not np.array_equal(hidden, same):
        return no("they do not hide the same tokens")
    has = hidden > 0
    weights = hidden[has].astype(np.float64)
    return verdict_of(run.name, other.name, "nats per hidden token", True, nats[has], others[has], weights)


def stretches(text: str) -> Iterator[str]:
    """A document in pieces of whole lines, each of STRETCH characters or a line more."""
    held = ""
    for line in text.splitlines(keepends=True):
        held += line
        if len(held) >= STRETCH:
            yield held.strip("\n")
            held = ""
    if held.strip():
        yield held.strip("\n")


def _common(run: Run, other: Run) -> list[str] | None:
    """The documents that both held out, in the first one's order, as many as are scored."""
    from tane.text.corpus import Corpus

    sides = []
    for side in (run, other):
        if not (side.data / "corpus").is_dir():
            return None
        sides.append(Corpus.open(side.data / "corpus"))
    known = {_digest(text) for text in sides[1].texts("valid")}
    found: list[str] = []
    size = 0
    for text in sides[0].texts("valid"):
        if len(found) == DOCUMENTS or size > CHARACTERS:
            break
        if text and _digest(text) in known:
            found.append(text)
            size += len(text)
    return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _tokenizer(run: Run) -> str:
    return Manifest.read(run.data / "tokenizer", "tokenizer").fingerprint


# --------------------------------------------------------------------------------------------------- tasks


def _tasks(run: Run, other: Run, scores: Scores, no: Callable[[str], Verdict]) -> Verdict:
    """By the answers to the test file, or to the validation examples, that both were given; the measure is
    the one that decides in the task."""
    sides = [scores(_answered, side, side.own) for side in (run, other)]
    (task, mine, items), (theirs, others, same) = sides
    if (task.kind, task.decides) != (theirs.kind, theirs.decides):
        return no(f"one is a {task.kind} by {task.decides}, the other a {theirs.kind} by {theirs.decides}")
    if items != same:
        return no("they were not scored on the same examples")
    metric = task.measures[0] if task.decides == "loss" else task.decides
    n, seen = len(items), np.random.default_rng(0)
    if n < FEWEST:
        return no(f"they were scored on {n:,} examples; {FEWEST} are needed")
    lower = better(metric) < 0

    def gap(drawn: np.ndarray) -> float | None:
        signals.poll("the report was being made")
        found, beside = mine(drawn).get(metric), others(drawn).get(metric)
        return None if found is None or beside is None else found - beside

    difference = gap(np.arange(n))
    if difference is None:
        return no(f"{metric} is not defined for these {n:,} examples")
    draws = (gap(seen.integers(0, n, n)) for _ in range(TASK_ROUNDS))
    low, high = np.quantile([one for one in draws if one is not None], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return _told(run.name, other.name, metric, lower, difference, (float(low), float(high)), n)


def _answered(
    model: Path, own: Path, device: str
) -> tuple[Any, Callable[[np.ndarray], dict[str, float]], list[Any]]:
    """Of the model of a run whose recipe lies in `own`: (the task, scores of a choice of examples, what tells
    the examples apart)."""
    from tane.recipe import Recipe
    from tane.training.labelled import read_data
    from tane.use.classifier import open_classifier

    task = Recipe.load(own / RESOLVED).task
    assert task is not None  # a run of that kind
    with progress.silenced():
        data = read_data(task)
    examples = data.test if data.test is not None else data.valid
    classifier = open_classifier(model, device=device)
    outputs, gold = classifier.outputs(examples.items), [one.gold for one in examples.items]
    names = classifier.names

    def scores(drawn: np.ndarray) -> dict[str, float]:
        chosen = [outputs[i] for i in drawn]
        return task.judge(gold, [gold[i] for i in drawn], chosen, names, full=False).scores

    return task, scores, [(one.parts, one.words, _named(one.gold, names)) for one in examples.items]


def _named(gold: Any, names: Any) -> Any:
    if isinstance(gold, list):
        return [names[i] for i in gold]
    return names[gold] if names else gold
