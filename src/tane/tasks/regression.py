"""A number for each text or pair of texts: similarity (JSTS), ratings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from tane.errors import InputError
from tane.settings import option
from tane.tasks import scores
from tane.tasks.examples import NO_LABEL, NO_TEXT, Example, Examples, is_missing, text_of
from tane.tasks.settings import Judgement, TaskSettings

if TYPE_CHECKING:
    from tane.text.rows import Table


class Regression(TaskSettings):
    """The head has one output, which is the number itself; the loss is its squared error."""

    measures: ClassVar[tuple[str, ...]] = ("pearson", "spearman", "rmse", "mae")

    kind: Literal["regression"] = option("regression", "the task: a number for each text or pair")
    text: str = option("sentence1", "the column with the text")
    text_pair: str | None = option("sentence2", "the column with the second text; none: single texts")

    def text_columns(self) -> tuple[str, ...]:
        """One or two."""
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Text, the second one if there is one, and the number."""
        pair = {} if self.text_pair is None else {"task.text_pair": (self.text_pair,)}
        return {"task.text": (self.text,), **pair, "task.label": (self.label,)}

    def read(self, table: Table, names: Sequence[str] | None, *, labelled: bool = True) -> Examples:
        """Rows with all their texts and a finite number."""
        texts = [[text_of(value) for value in table.data[column]] for column in self.text_columns()]
        golds = table.data[self.label] if labelled else [None] * len(table.data)
        items, left_out = [], Counter(table.dropped)
        for position, gold, *row in zip(table.positions, golds, *texts, strict=True):
            if labelled and not all(row):
                left_out[NO_TEXT] += 1
            elif labelled and is_missing(gold):
                left_out[NO_LABEL] += 1
            else:
                parts = ((row[0], row[1] if len(row) > 1 else None),)
                number = self._number(table, gold, position) if labelled else None
                items.append(Example(parts, number, position))
        found = Examples(table.name, items, (), left_out, table.place)
        if names is None and labelled and len({one.gold for one in items}) < 2:
            what = f"the same number {items[0].gold:g} everywhere" if items else "no labelled text"
            raise InputError(
                f"{table.name}: {what} in {self.label!r} ({found.told()}), so there is nothing to learn",
                "name another column: --task.label COLUMN",
            )
        return found

    def _number(self, table: Table, value: Any, position: int) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(
                f"{table.name}, {table.place} {position:,}: expected a number in {self.label!r}, found "
                f"{str(value)[:40]!r}",
                "for names of classes: --task.kind classification (or pair-classification)",
            )
        return float(value)

    def head(self, names: Sequence[str]) -> dict[str, Any]:
        """One output."""
        return {
            "num_labels": 1, "id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0},
            "problem_type": "regression",
        }  # fmt: skip

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """The squared error."""
        return (logits.float().squeeze(1) - labels.float()).square().sum()

    def answers(self, outputs: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
        """The number as label; there are no probabilities."""
        return [{"label": float(row[0]), "scores": {}} for row in outputs]

    def judge(
        self, train_gold: Sequence[Any], gold: Sequence[Any], outputs: Sequence[np.ndarray],
        names: Sequence[str], *, full: bool = True,
    ) -> Judgement:  # fmt: skip
        """Correlations and errors beside always answering the training mean."""
        truth = np.asarray(gold, dtype=np.float64)
        found_numbers = np.array([float(row[0]) for row in outputs])
        found = scores.numbers(truth, found_numbers)
        if not full:
            return Judgement(found, {}, {}, "", None, [])
        mean = float(np.mean(np.asarray(train_gold, dtype=np.float64)))
        errors = np.abs(truth - found_numbers)
        wrong = [(i, f"{found_numbers[i]:.2f}", float(errors[i])) for i in np.argsort(-errors).tolist()]
        baseline = scores.constant_numbers(np.asarray(train_gold, dtype=np.float64), truth)
        return Judgement(
            found, scores.number_intervals(truth, found_numbers), baseline, f"always {mean:.2f}", None,
            wrong[: max(1, len(wrong) // 10)],
        )  # fmt: skip

    def text_baseline(self, examples: Sequence[Example]) -> tuple[scores.Scores, str]:
        """How far the number of common characters follows the numbers, for pairs."""
        if self.text_pair is None:
            return {}, ""
        pairs = [one.parts[0] for one in examples]
        overlap = scores.character_overlap([a for a, _ in pairs], [b or "" for _, b in pairs], 1)
        found = scores.numbers(np.array([one.gold for one in examples]), overlap)
        return (
            {name: value for name, value in found.items() if name in ("pearson", "spearman")},
            "; pearson and spearman: the share of common characters",
        )
