"""A class for each pair of texts: paraphrase (MRPC), entailment (JNLI)."""

from __future__ import annotations

from typing import Literal

from tane.settings import option
from tane.tasks.classes import ClassTask


class PairClassification(ClassTask):
    """Pairs of texts, which the model reads together."""

    kind: Literal["pair-classification"] = option(
        "pair-classification", "the task: a class for each pair of texts"
    )
    text: str = option("sentence1", "the column with the first text")
    text_pair: str = option("sentence2", "the column with the second text")

    def text_columns(self) -> tuple[str, ...]:
        """Both."""
        return (self.text, self.text_pair)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """Both texts and the label."""
        return {
            "task.text": (self.text,), "task.text_pair": (self.text_pair,), "task.label": (self.label,)
        }  # fmt: skip
