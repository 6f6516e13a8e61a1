"""What all tasks have in common: their settings, and how examples become batches."""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from tane.errors import InputError
from tane.settings import Settings, option
from tane.tasks.examples import Encoded, Example, Examples
from tane.tasks.scores import Intervals, Scores
from tane.text import words
from tane.text.rows import RowsSettings
from tane.types import Batch

if TYPE_CHECKING:
    from tane.text.rows import Table

AtLeastOne = Annotated[int, Field(ge=1)]
CHUNK = 1000  # texts encoded at a time

# what a recipe with a task has where it names nothing else
DEFAULTS: dict[str, Any] = {
    "optim": {
        "name": "adamw", "lr": 5e-5, "weight_decay": 0.01, "beta2": 0.999,
        "schedule": {"name": "linear", "warmup": 0.1},
    },
    "train": {"duration": "3 epochs", "batch_tokens": 2048, "eval_every": "0.5 epochs"},
}  # fmt: skip


class DataFile(RowsSettings):
    """One labelled file, read by keys of its own where they are given."""

    path: str = option(..., "a file, a folder, a saved data set, or hf://NAME/CONFIG")


class TaskData(RowsSettings):
    """Where the examples are."""

    train: DataFile = option(..., "the examples to learn from")
    valid: DataFile | None = option(
        None, "those that choose among checkpoints; none: valid_fraction of train"
    )
    test: DataFile | None = option(None, "those that are scored once, at the end")
    valid_fraction: float = option(
        0.1, "share of the training file for validation, chosen by a hash of the texts", gt=0, lt=1
    )

    @field_validator("train", "valid", "test", mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) and value != "none" else value

    def how(self, file: DataFile) -> RowsSettings:
        """How a file is read: by its own keys, and by the common ones where it has none."""
        common = self.model_dump(include=set(RowsSettings.model_fields))
        return RowsSettings(**{**common, **file.model_dump(exclude={"path"}, exclude_unset=True)})


class Lora(Settings):
    """Low-rank adapters (Hu et al., "LoRA", 2021): matrices stay, small ones beside them learn."""

    rank: int = option(8, "rank of the adapters", ge=1, le=4096)
    alpha: int = option(16, "their scale is alpha / rank", ge=1)
    dropout: float = option(0.0, "dropout before them", ge=0, lt=1)
    targets: list[str] | None = option(
        None, "names of the modules that get one, such as query, value; none: every matrix inside the layers"
    )


class Grid(Settings):
    """Settings that are tried one after the other; the validation examples choose."""

    lr: list[float] = option([], "learning rates")
    epochs: list[float] = option([], "durations in epochs")


class Judgement(NamedTuple):
    """What a set of answers is worth. baseline_is: the constant answer in words; confusion: rows are gold;
    wrong: (index of the example, what was answered, how sure or how far off), worst first."""

    scores: Scores
    intervals: Intervals
    baseline: Scores
    baseline_is: str
    confusion: list[list[int]] | None
    wrong: list[tuple[int, str, float]]


class TaskSettings(Settings, ABC):
    """Settings that every task has, and the parts of the protocol that tasks share."""

    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    measures: ClassVar[tuple[str, ...]] = ()

    kind: str = option("", "the task")
    data: TaskData = option(
        ..., "the labelled files {train, valid, test}, each a path or {path, split, sheet, format, ...}"
    )
    label: str = option("label", "the column with the answer")
    label_names: list[str] | None = option(
        None, "names of the labels: of 0, 1, ... in this order; none: those of the training file, sorted"
    )
    max_length: AtLeastOne | Literal["auto"] = option(
        "auto", "tokens of an example; longer ones are cut, counted; auto: 512, or what the model takes"
    )
    words: Literal["auto", "none", "ipadic", "unidic-lite", "sudachi"] = option(
        "auto", "whose words get spaces between them before the tokenizer; auto: ipadic's where the "
        "vocabulary was made of parted text, else none"
    )  # fmt: skip
    batch_examples: AtLeastOne | Literal["auto"] = option(
        "auto", "examples of an optimizer step; auto: as many as make train.batch_tokens"
    )
    metric: str = option(
        "auto", "what chooses among checkpoints; auto: the first of the task's", resume="free"
    )
    dropout: float | None = option(
        None, "of all parts of the model; none: as its config says, for tane's own models 0", ge=0, lt=1
    )  # fmt: skip
    lora: Lora | None = option(None, "train low-rank adapters instead of the whole model: {rank: 8}")
    grid: Grid | None = option(
        None, "try these settings, go on with the best: {lr: [2e-5, 5e-5], epochs: [2, 3]}", resume="free"
    )

    @model_validator(mode="after")
    def _is_sound(self) -> TaskSettings:
        if self.metric not in ("auto", "loss", *self.measures):
            raise ValueError(f"task.metric {self.metric!r}: choose one of {', '.join(self.measures)}, loss")
        names = self.label_names or []
        if len(set(names)) != len(names):
            raise ValueError("task.label_names has a name twice")
        return self

    @property
    def decides(self) -> str:
        """The score that chooses among checkpoints."""
        return self.measures[0] if self.metric == "auto" else self.metric

    # ---------------------------------------------------------------------------------------- the protocol

    @abstractmethod
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Setting -> the columns that a labelled file must have by it, the label's among them."""

    @abstractmethod
    def read(self, table: Table, names: Sequence[str] | None, *, labelled: bool = True) -> Examples:
        """The examples of a table. names: of the classes, as the training file had them; None: this is it.

        labelled: False reads texts alone, for predictions. Raises InputError with the line of what is wrong.
        """

    @abstractmethod
    def head(self, names: Sequence[str]) -> dict[str, Any]:
        """What transformers' config is told: num_labels, id2label, label2id, problem_type."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """The loss summed over targets. weights: of the classes, or None."""

    @abstractmethod
    def answers(self, outputs: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
        """What a person is told of each output: {label, scores: {label: probability}}."""

    @abstractmethod
    def judge(
        self, train_gold: Sequence[Any], gold: Sequence[Any], outputs: Sequence[np.ndarray],
        names: Sequence[str], *, full: bool = True,
    ) -> Judgement:  # fmt: skip
        """The scores of outputs; with full also baseline, intervals, confusion and wrong examples."""

    def outputs(self, logits: np.ndarray, rows: Sequence[Encoded]) -> list[np.ndarray]:
        """The part of a batch's logits that belongs to each example: (k,) fp32."""
        return list(logits)

    def text_baseline(self, examples: Sequence[Example]) -> tuple[Scores, str]:
        """Scores that the texts give without a model, and how in words; {} where there is no such way."""
        return {}, ""

    def class_weights_of(self, gold: Sequence[Any], count: int) -> list[float] | None:
        """Weights of the classes in the loss by the training labels, or None."""
        return None

    # ------------------------------------------------------------------------------------ texts to batches

    def encode(self, tokenizer: Any, examples: Sequence[Example], max_length: int | None) -> list[Encoded]:
        """Each example's ids as the tokenizer gives them, special tokens included; max_length cuts.

        Of a pair the longer text is cut first, token by token, as transformers does it.
        """
        parts = [part for one in examples for part in one.parts]
        if self.words not in ("auto", "none"):
            parts = [parted(part, self.words) for part in parts]
        rows: list[tuple[np.ndarray, np.ndarray | None, bool]] = []
        for at in range(0, len(parts), CHUNK):
            rows += encode_parts(tokenizer, parts[at : at + CHUNK], max_length)
        found, at = [], 0
        for one in examples:
            own = rows[at : at + len(one.parts)]
            at += len(one.parts)
            types = None if own[0][1] is None else [row[1] for row in own]
            found.append(
                Encoded([row[0] for row in own], types, one.gold, any(row[2] for row in own))  # type: ignore[arg-type]
            )
        return found

    def batch(self, rows: Sequence[Encoded], pad_id: int) -> Batch:
        """Encoded examples as a Batch padded to its longest: inputs (B, T), labels (B,)."""
        inputs = pad([ids for one in rows for ids in one.ids], pad_id)
        if rows[0].types is not None:
            types = [row for one in rows for row in one.types or ()]
            inputs["token_type_ids"] = pad(types, 0)["input_ids"]
        labels = torch.tensor([0 if one.label is None else one.label for one in rows])
        return Batch(inputs, labels, num_targets=len(rows), num_tokens=sum(one.tokens for one in rows))


def encode_parts(
    tokenizer: Any, parts: Sequence[tuple[str, str | None]], max_length: int | None
) -> list[tuple[np.ndarray, np.ndarray | None, bool]]:
    """(ids, token types or None, whether it was cut) of texts with or without a pair."""
    if not parts:
        return []
    pairs = parts[0][1] is not None
    given: list[Any] = [[text for text, _ in parts]]
    given += [[pair for _, pair in parts]] if pairs else []
    wanted = "token_type_ids" in tokenizer.model_input_names
    settings = {"return_attention_mask": False, "return_token_type_ids": wanted, "verbose": False}
    whole = tokenizer(*given, truncation=False, **settings)
    found = []
    for at, ids in enumerate(whole["input_ids"]):
        types = whole["token_type_ids"][at] if wanted else None
        cut = max_length is not None and len(ids) > max_length
        if cut:
            short = tokenizer(
                *(texts[at] for texts in given), truncation="longest_first", max_length=max_length, **settings
            )
            ids, types = short["input_ids"], short["token_type_ids"] if wanted else None
        if not ids:
            raise InputError("the tokenizer makes nothing of a text", "leave texts without a letter out")
        found.append((np.array(ids), None if types is None else np.array(types), cut))
    return found


def parted(part: tuple[str, str | None], dictionary: str) -> tuple[str, str | None]:
    """A text and its pair with spaces between the words of a dictionary."""
    cut = _segmenter(dictionary)
    text, pair = part
    return " ".join(cut.words(text)), None if pair is None else " ".join(cut.words(pair))


@functools.cache
def _segmenter(dictionary: str) -> words.Segmenter:
    return words.segmenter(dictionary)


def pad(rows: Sequence[np.ndarray], pad_id: int) -> dict[str, torch.Tensor]:
    """Rows of ids as input_ids (B, T) and attention_mask (B, T), padded on the right."""
    length = max(len(row) for row in rows)
    ids = np.full((len(rows), length), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), length), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def option_of(name: str, default: str, meaning: str) -> tuple[str, str]:
    """(default, meaning) of a setting, as `tane options` tells them: a task has no kind unless one is named,
    and a labelled file without keys of its own is read by those of `task.data`."""
    found = re.fullmatch(r"task\.data\.(train|valid|test)\.(\w+)", name)
    if found is None:
        return "required" if name == "task.kind" else default, meaning
    part = TaskData.model_fields[found[1]]
    if found[2] == "path":
        return "required" if part.is_required() else "none", f"{meaning}: {part.description}"
    return f"as task.data.{found[2]}", meaning


def with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """A recipe with a task: what it does not name is as fine-tuning wants it."""
    for section, usual in DEFAULTS.items():
        given = values.get(section)
        given = {} if given is None else given
        if isinstance(given, str) and "name" in usual:
            given = {"name": given}
        if not isinstance(given, dict):
            continue  # the error comes when it is validated
        merged = {**usual, **given}
        if merged.get("name") != usual.get("name"):  # another optimizer: only what all of them have
            merged = {"schedule": usual["schedule"], **given}
        schedule = given.get("schedule")
        if section == "optim" and isinstance(schedule, dict):
            merged["schedule"] = {**usual["schedule"], **schedule}
        values[section] = merged
    return values
