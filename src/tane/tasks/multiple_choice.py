"""The right one of some choices for each question: JCommonsenseQA.

Each choice is read with the question as a pair and gets one score; the softmax runs over the choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tane.errors import InputError
from tane.settings import option
from tane.tasks.classes import ClassTask
from tane.tasks.examples import Encoded, Examples
from tane.types import Batch

if TYPE_CHECKING:
    from tane.text.rows import Table

COLUMNS = [f"choice{number}" for number in range(5)]


class MultipleChoice(ClassTask):
    """The label is the place of the right choice from 0, or the name of its column."""

    auto_model: ClassVar[str] = "AutoModelForMultipleChoice"
    measures: ClassVar[tuple[str, ...]] = ("accuracy",)

    kind: Literal["multiple-choice"] = option("multiple-choice", "the task: the right one of some choices")
    text: str = option("question", "the column with the question")
    choices: list[str] = Field(
        default_factory=lambda: list(COLUMNS), min_length=2, description="the columns with the choices",
        json_schema_extra={"resume": "match"},
    )  # fmt: skip

    def text_columns(self) -> tuple[str, ...]:
        """The question and its choices."""
        return (self.text, *self.choices)

    def columns(self) -> dict[str, tuple[str, ...]]:
        """The question, its choices and the label."""
        return {
            "task.text": (self.text,), "task.choices": tuple(self.choices), "task.label": (self.label,)
        }  # fmt: skip

    def parts(self, texts: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
        """The question with each choice."""
        return tuple((texts[0], choice) for choice in texts[1:])

    def read(self, table: Table, names: Sequence[str] | None, *, labelled: bool = True) -> Examples:
        """Rows whose label is one of the choices."""
        return super().read(table, tuple(self.choices), labelled=labelled)

    def head(self, names: Sequence[str]) -> dict[str, Any]:
        """The head scores one choice at a time."""
        return {}

    def batch(self, rows: Sequence[Encoded], pad_id: int) -> Batch:
        """inputs (B, C, T), labels (B,)."""
        flat, count = super().batch(rows, pad_id), len(self.choices)
        inputs = {name: value.view(len(rows), count, -1) for name, value in flat.inputs.items()}
        return Batch(inputs, flat.labels, flat.num_targets, flat.num_tokens)

    def class_weights_of(self, gold: Sequence[Any], count: int) -> list[float] | None:
        """None: choices are no classes."""
        if self.class_weights != "none":
            raise InputError("task.class_weights: choices are no classes", "leave it out")
        return None
