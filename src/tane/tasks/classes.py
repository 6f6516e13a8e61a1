"""Tasks whose answer is one of some classes: what single texts, pairs and choices share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tane.errors import InputError
from tane.settings import option
from tane.tasks import scores
from tane.tasks.examples import (
    NO_LABEL,
    NO_TEXT,
    Example,
    Examples,
    class_index,
    class_names,
    is_missing,
    text_of,
)
from tane.tasks.settings import Judgement, TaskSettings

if TYPE_CHECKING:
    from tane.text.rows import Table


class ClassTask(TaskSettings):
    """A class for each example."""

    measures: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "f1_macro", "mcc")

    text: str = option("text", "the column with the text")
    class_weights: Literal["none", "balanced"] | dict[str, float] = option(
        "none",
        "weights of the classes in the loss: none, balanced (the rarer, the heavier), or {name: weight}",
    )

    def text_columns(self) -> tuple[str, ...]:
        """The columns with the texts of an example in their order."""
        return (self.text,)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Text and label."""
        return {"task.text": (self.text,), "task.label": (self.label,)}

    def parts(self, texts: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
        """The texts of a row as the model's input rows."""
        return ((texts[0], texts[1] if len(texts) > 1 else None),)

    def read(self, table: Table, names: Sequence[str] | None, *, labelled: bool = True) -> Examples:
        """Rows with all their texts, and a label among the names."""
        columns = self.text_columns()
        texts = [[text_of(value) for value in table.data[column]] for column in columns]
        golds = table.data[self.label] if labelled else [None] * len(table.data)
        if labelled:
            own = tuple(names) if names is not None else class_names(table, self.label, self.label_names)
        else:
            own = tuple(names or ())
        index = {name: number for number, name in enumerate(own)}
        items, left_out = [], Counter(table.dropped)
        for position, gold, *row in zip(table.positions, golds, *texts, strict=True):
            if labelled and not all(row):
                left_out[NO_TEXT] += 1
            elif labelled and is_missing(gold):
                left_out[NO_LABEL] += 1
            else:
                number = class_index(table, self.label, gold, own, index, position) if labelled else None
                items.append(Example(self.parts(row), number, position))
        found = Examples(table.name, items, own, left_out, table.place)
        if names is None and labelled:
            self._check(found)
        return found

    def _check(self, found: Examples) -> None:
        """Raise InputError where the training examples teach nothing."""
        classes = {one.gold for one in found.items}
        if len(classes) < 2:
            what = f"only the label {found.names[classes.pop()]!r}" if classes else "no labelled text"
            raise InputError(
                f"{found.name}: {what} in {self.label!r} ({found.told()}), so there is nothing to tell apart",
                "give examples of two labels at least, or name another column: --task.label COLUMN",
            )

    def head(self, names: Sequence[str]) -> dict[str, Any]:
        """An output for each class."""
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: number for number, name in enumerate(names)},
            "problem_type": "single_label_classification",
        }

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Cross-entropy in nats, each example weighted by its class."""
        nats = cross_entropy(logits.float(), labels, reduction="none")
        return (nats if weights is None else nats * weights[labels]).sum()

    def class_weights_of(self, gold: Sequence[Any], count: int) -> list[float] | None:
        """Weights whose mean over the training examples is 1, so that the learning rate keeps its meaning."""
        if self.class_weights == "none":
            return None
        sizes = np.bincount(np.asarray(gold), minlength=count)
        if self.class_weights == "balanced":
            return [len(gold) / (np.count_nonzero(sizes) * size) if size else 0.0 for size in sizes.tolist()]
        names = self.class_weights
        assert isinstance(names, dict)
        weights = np.array([names.get(name, 1.0) for name in self._named(names, count)])
        return (weights * len(gold) / (weights @ sizes)).tolist()

    def _named(self, weights: dict[str, float], count: int) -> list[str]:
        known = list(self.label_names or map(str, range(count)))
        unknown = [name for name in weights if name not in known]
        if unknown or any(weight < 0 for weight in weights.values()):
            raise InputError(
                f"task.class_weights names {unknown[0]!r}"
                if unknown
                else "task.class_weights has one below 0",
                f"the labels are {', '.join(known[:12])}",
            )
        return known

    def answers(self, outputs: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
        """The likeliest class and the probability of each."""
        found = []
        for row in outputs:
            chances = probabilities(row)
            best = int(chances.argmax())
            scores = {name: float(p) for name, p in zip(names, chances, strict=True)}
            found.append({"label": names[best], "scores": scores})
        return found

    def judge(
        self, train_gold: Sequence[Any], gold: Sequence[Any], outputs: Sequence[np.ndarray],
        names: Sequence[str], *, full: bool = True,
    ) -> Judgement:  # fmt: skip
        """Accuracy, F1 and Matthews' correlation beside always answering the commonest class."""
        truth, count = np.asarray(gold, dtype=np.int64), len(names)
        chosen = np.array([int(row.argmax()) for row in outputs], dtype=np.int64)
        found = self._own(scores.classes(truth, chosen, count))
        if not full:
            return Judgement(found, {}, {}, "", None, [])
        baseline, commonest = scores.constant_classes(np.asarray(train_gold), truth, count)
        sure = [float(probabilities(row).max()) for row in outputs]
        wrong = [
            (number, names[chosen[number]], sure[number])
            for number in np.flatnonzero(truth != chosen).tolist()
        ]
        wrong.sort(key=lambda one: -one[2])
        return Judgement(
            found, self._own(scores.class_intervals(truth, chosen, count)), self._own(baseline),
            f"always {names[commonest]}", scores.confusion(truth, chosen, count), wrong,
        )  # fmt: skip

    def _own(self, found: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name in self.measures}


def probabilities(row: np.ndarray) -> np.ndarray:
    """Softmax of logits (k,), in double precision."""
    powers = np.exp(row.astype(np.float64) - row.max())
    return powers / powers.sum()
