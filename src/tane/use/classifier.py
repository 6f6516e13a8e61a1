"""A model folder with the head of a task, ready to answer: for `finetune`, `predict` and `evaluate`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tane import progress, registry, signals
from tane.errors import InputError
from tane.model import task_head
from tane.model.build import find_model, open_model, positions
from tane.model.folder import check_rows, running
from tane.settings import build
from tane.tasks.examples import Encoded, Example
from tane.tasks.settings import TaskSettings
from tane.tokens.encoder import Encoder
from tane.tokens.tokenizer import load_tokenizer
from tane.training.checkpoint import TASK
from tane.training.finetuning import LONGEST, micro_tokens, run_examples
from tane.training.runtime import Runtime, choose_device
from tane.use.masked import architecture, is_masked

# the end of a class in transformers -> the task that its head is for, and the class that opens it
HEADS = {
    "ForSequenceClassification": "classification",
    "ForMultipleChoice": "multiple_choice",
    "ForTokenClassification": "token_classification",
}
CHUNK = 1000  # examples encoded between two looks for a signal
THRESHOLD = 0.5  # probability from which on a label of several holds
STOPPED = "nothing was written"


def is_classifier(folder: Path) -> bool:
    """Whether a model folder has the head of a task."""
    return architecture(folder).endswith(tuple(HEADS))


@dataclass(frozen=True)
class Classifier:
    """An opened model. names: of its classes by index, () for numbers; given: whether its folder says what it
    was trained for, or that was guessed from its head; several: whether each label holds or not by itself."""

    folder: Path
    model: Any
    tokenizer: Any
    task: TaskSettings
    names: tuple[str, ...]
    pad_id: int
    machine: Runtime
    given: bool
    several: bool = False

    @property
    def texts(self) -> list[str]:
        """The columns with its texts."""
        groups = self.task.columns().items()
        return [name for setting, names in groups for name in names if setting != "task.label"]

    @property
    def column_hint(self) -> str:
        """How to name its columns, where they are several; "" for a single one."""
        if self.task.kind == "multiple-choice":
            return "name the question and its choices: --column QUESTION A B C ..."
        if len(self.texts) > 1:
            return "name both texts in their order: --column FIRST SECOND"
        return "" if self.given else "name one of them, or for pairs two: --column COLUMN [COLUMN2]"

    def with_columns(self, columns: Sequence[str]) -> Classifier:
        """The same for texts in columns of these names, of a multiple choice also more or fewer choices.

        Raises InputError where they are not as many as the texts that it reads.
        """
        if self.task.kind == "multiple-choice" and len(columns) > 2:
            choices = list(columns[1:])
            task = self.task.model_copy(update={"text": columns[0], "choices": choices})
            return replace(self, task=task, names=tuple(choices))
        if len(columns) != len(self.texts):
            raise InputError(
                f"{self.folder} reads {len(self.texts)} column(s) of text, and {len(columns)} are named",
                self.column_hint or "--column COLUMN",
            )
        named = dict(zip(("text", "text_pair"), columns, strict=False))
        return replace(self, task=self.task.model_copy(update=named))

    def outputs(self, examples: Sequence[Example]) -> list[np.ndarray]:
        """The logits of each example in fp32, in their order; what is longer than its inputs is cut, said.

        Raises InputError for a text of which the tokenizer makes nothing.
        """
        encoded = self._encoded(examples)
        for one, row in zip(examples, encoded, strict=True):
            if row is None:
                raise InputError(
                    f"example {one.position:,}: the tokenizer makes nothing of its text", "leave it out"
                )
        return self._run([row for row in encoded if row is not None])

    def answers(self, examples: Sequence[Example]) -> list[dict[str, Any] | None]:
        """{label, scores} of each example in their order, None where the tokenizer makes nothing of a text.

        The label of a model for several labels is a list, of those with a probability of 0.5 or more.
        """
        encoded = self._encoded(examples)
        outputs = self._run([row for row in encoded if row is not None])
        found = iter(several(outputs, self.names) if self.several else self.task.answers(outputs, self.names))
        return [None if row is None else next(found) for row in encoded]

    def cuts(self, examples: Sequence[Example]) -> bool:
        """Whether one of the examples is longer than the inputs of the model."""
        return any(one is not None and one.cut for one in self._encode(examples, self._limit))

    @property
    def _limit(self) -> int | None:
        return self.task.max_length if isinstance(self.task.max_length, int) else None

    def _encoded(self, examples: Sequence[Example]) -> list[Encoded | None]:
        limit = self._limit
        found: list[Encoded | None] = []
        with signals.caught():
            for at in range(0, len(examples), CHUNK):
                signals.poll(STOPPED)
                found += self._encode(examples[at : at + CHUNK], limit)
        cut = sum(one is not None and one.cut for one in found)
        if cut:
            progress.say(f"{cut:,} of {len(found):,} texts are longer than {limit} tokens and are cut")
        return found

    def _encode(self, examples: Sequence[Example], limit: int | None) -> list[Encoded | None]:
        try:
            rows = self.task.encode(self.tokenizer, examples, limit)
        except InputError:  # a text without any token, which may be this one
            if len(examples) == 1:
                return [None]
            return [row for one in examples for row in self._encode([one], limit)]
        typed = task_head.takes_types(self.model)
        return [*rows] if typed else [row._replace(types=None) for row in rows]

    def _run(self, encoded: Sequence[Encoded]) -> list[np.ndarray]:
        with (
            signals.caught(), self.machine.active(), running(self.folder),
            progress.bar(len(encoded), "scoring", "text") as bar,
        ):  # fmt: skip

            def stop() -> bool:
                signals.poll(STOPPED)
                return False

            found = run_examples(
                self.model, self.task, encoded, self.pad_id, micro_tokens("auto", self.machine.device),
                self.machine, stop=stop, done=bar.update,
            )  # fmt: skip
        assert found is not None
        return found[0]


def several(outputs: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, Any]]:
    """The labels that hold, and the probability of each by itself (its sigmoid)."""
    found = []
    for row in outputs:
        chances = 1 / (1 + np.exp(-np.clip(row.astype(np.float64), -500, 500)))
        scores = {name: float(p) for name, p in zip(names, chances, strict=True)}
        found.append({"label": [name for name, p in scores.items() if p >= THRESHOLD], "scores": scores})
    return found


# ------------------------------------------------------------------------------------------------- opening


def open_classifier(
    name: str | os.PathLike[str], *, pairs: bool = False, device: str = "auto", threads: int | None = None
) -> Classifier:
    """Open a run, checkpoint, export, Hugging Face folder or hub id. pairs: of a folder that does not say
    what it was trained for, whether its texts are pairs. Raises InputError for a model of another kind."""
    import torch

    folder = find_model(name)
    end = next((end for end in HEADS if architecture(folder).endswith(end)), None)
    if end is None:
        raise _no_head(folder)
    _check_labels(folder)
    model = open_model(folder, f"AutoModel{end}").eval()
    config, tokenizer = model.config, load_tokenizer(folder)
    check_rows(folder, model, len(tokenizer))
    task, given = _task_of(folder, HEADS[end], config, pairs)
    if given and end == "ForSequenceClassification" and (task.kind == "regression") != _is_number(config):
        raise InputError(
            f"{folder / TASK} says {task.kind}, but the model has {config.num_labels} outputs",
            "put the file back, or delete it",
        )
    task = task.model_copy(update={"max_length": _longest(task, model, tokenizer)})
    names: tuple[str, ...] = ()
    if task.kind == "multiple-choice":
        names = tuple(getattr(task, "choices", ()))
    elif task.kind != "regression":
        names = _different([str(config.id2label[number]) for number in range(config.num_labels)])
    if config.pad_token_id is None:  # a decoder finds the end of a text by it
        config.pad_token_id = _pad_id(folder, tokenizer)
    machine = Runtime(choose_device(device), "fp32", False, threads or torch.get_num_threads())
    return Classifier(
        folder, model.to(machine.device), tokenizer, task, names, config.pad_token_id, machine, given,
        several=task.kind != "token-classification" and config.problem_type == "multi_label_classification",
    )  # fmt: skip


def _no_head(folder: Path) -> InputError:
    kind = architecture(folder)
    what = f"it is a {kind}" if kind else "its config.json names no architecture"
    other = "tane fill" if is_masked(folder) else "tane generate"
    remedy = "train one on labelled data: tane finetune RECIPE"
    return InputError(
        f"{folder} has no head for labels: {what}",
        f"{remedy}; to use it as it is: {other}" if kind else remedy,
    )


def _check_labels(folder: Path) -> None:
    """Raise InputError where a folder's config.json contradicts itself on its labels."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names, count = config.get("id2label"), config.get("num_labels")
    if names is None:
        return
    where = folder / "config.json"
    remedy = 'name each label once: "id2label": {"0": ..., "1": ...}'
    if not isinstance(names, dict) or set(names) != {str(number) for number in range(len(names))}:
        found = ", ".join(map(str, list(names)[:6])) if isinstance(names, (dict, list)) else str(names)
        raise InputError(f"{where}: expected id2label with the numbers from 0, found {found}", remedy)
    if isinstance(count, int) and count != len(names):
        raise InputError(f"{where}: id2label names {len(names)} labels, and num_labels is {count}", remedy)


def _different(names: list[str]) -> tuple[str, ...]:
    """The names of labels, those that stand there twice with their number."""
    return tuple(f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names))


def _longest(task: TaskSettings, model: Any, tokenizer: Any) -> int:
    """Tokens of the longest input: what the task says, the model takes, and the tokenizer's folder says."""
    said = task.max_length if isinstance(task.max_length, int) else None
    limits = [said, positions(model), int(tokenizer.model_max_length)]
    usual = LONGEST if said is None and limits[1] is None else None
    return min(limit for limit in (*limits, usual) if limit is not None)


def _pad_id(folder: Path, tokenizer: Any) -> int:
    return int(
        Encoder(folder).vocabulary.pad_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    )


def _task_of(folder: Path, kind: str, config: Any, pairs: bool) -> tuple[TaskSettings, bool]:
    """What a folder was trained for: by its own note, or by its head."""
    if (folder / TASK).is_file():
        return _noted(folder / TASK, kind), True
    if kind == "classification" and _is_number(config):
        kind = "regression"
    elif kind == "classification" and pairs:
        kind = "pair_classification"
    values: dict[str, Any] = {"data": {"train": "-"}}
    if kind == "regression" and not pairs:
        values |= {"text": "text", "text_pair": None}
    return build(registry.find("tasks", kind), values, str(folder)), False


def _is_number(config: Any) -> bool:
    """Whether a head for texts gives one number instead of labels."""
    return bool(config.num_labels == 1 or config.problem_type == "regression")


def _noted(path: Path, head: str) -> TaskSettings:
    """The task that stands in a folder beside its model. Raises InputError where it does not fit the head."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = str(told["kind"]).replace("-", "_")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is damaged", "put it back, or delete it") from None
    if kind not in registry.names("tasks"):
        raise InputError(f"{path}: there is no task {told['kind']!r}", "put the file back, or delete it")
    chosen = registry.find("tasks", kind)
    if chosen.auto_model != registry.find("tasks", head).auto_model:
        raise InputError(
            f"{path} says {told['kind']}, but the model has a head for {head.replace('_', '-')}",
            "put the file back, or delete it",
        )
    known = {name: value for name, value in told.items() if name in chosen.model_fields}
    task: TaskSettings = build(chosen, {**known, "data": {"train": "-"}}, str(path))
    return task
