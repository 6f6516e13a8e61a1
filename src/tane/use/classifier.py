"""A model folder with the head of a task, ready to answer: for `finetune`, `predict` and `evaluate`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tane import progress, registry, signals
from tane.errors import InputError
from tane.model import task_head
from tane.model.build import find_model, open_model
from tane.settings import build
from tane.tasks.examples import Example
from tane.tasks.settings import TaskSettings
from tane.tokens.encoder import Encoder
from tane.tokens.tokenizer import load_tokenizer
from tane.training.checkpoint import TASK
from tane.training.finetuning import micro_tokens, run_examples
from tane.training.runtime import Runtime, choose_device
from tane.use.masked import architecture

# the end of a class in transformers -> the task that its head is for, and the class that opens it
HEADS = {
    "ForSequenceClassification": "classification",
    "ForMultipleChoice": "multiple_choice",
    "ForTokenClassification": "token_classification",
}


def is_classifier(folder: Path) -> bool:
    """Whether a model folder has the head of a task."""
    return architecture(folder).endswith(tuple(HEADS))


@dataclass(frozen=True)
class Classifier:
    """An opened model. names: of its classes by index, () for numbers; given: whether its folder says what it
    was trained for, or that was guessed from its head."""

    folder: Path
    model: Any
    tokenizer: Any
    task: TaskSettings
    names: tuple[str, ...]
    pad_id: int
    machine: Runtime
    given: bool

    def outputs(self, examples: Sequence[Example]) -> list[np.ndarray]:
        """The logits of each example in fp32, in their order; what is longer than its inputs is cut, said."""
        limit = self.task.max_length if isinstance(self.task.max_length, int) else None
        encoded = self.task.encode(self.tokenizer, examples, limit)
        cut = sum(one.cut for one in encoded)
        if cut:
            progress.say(f"{cut:,} of {len(encoded):,} texts are longer than {limit} tokens and are cut")
        if not task_head.takes_types(self.model):
            encoded = [one._replace(types=None) for one in encoded]
        with signals.caught(), self.machine.active(), progress.bar(len(encoded), "scoring", "text") as bar:

            def stop() -> bool:
                signals.poll("nothing was written")
                return False

            found = run_examples(
                self.model, self.task, encoded, self.pad_id, micro_tokens("auto", self.machine.device),
                self.machine, stop=stop, done=bar.update,
            )  # fmt: skip
        assert found is not None
        return found[0]


def open_classifier(
    name: str | os.PathLike[str], *, pairs: bool = False, device: str = "auto", threads: int | None = None
) -> Classifier:
    """Open a run, checkpoint, export, Hugging Face folder or hub id. pairs: of a folder that does not say
    what it was trained for, whether its texts are pairs. Raises InputError for a model of another kind."""
    import torch

    folder = find_model(name)
    kind = next((task for end, task in HEADS.items() if architecture(folder).endswith(end)), None)
    if kind is None:
        raise InputError(
            f"{folder} has no head for labels: it is {architecture(folder) or 'a model without a head'}",
            "train one on labelled data: tane finetune RECIPE",
        )
    end = next(end for end, task in HEADS.items() if task == kind)
    model = open_model(folder, f"AutoModel{end}").eval()
    config = model.config
    task, given = _task_of(folder, kind, config, pairs)
    names: tuple[str, ...] = ()
    if task.kind == "multiple-choice":
        names = tuple(getattr(task, "choices", ()))
    elif task.kind != "regression":
        names = tuple(str(config.id2label[i]) for i in range(config.num_labels))
    vocabulary = Encoder(folder).vocabulary
    machine = Runtime(choose_device(device), "fp32", False, threads or torch.get_num_threads())
    return Classifier(
        folder, model.to(machine.device), load_tokenizer(folder), task, names,
        vocabulary.pad_id, machine, given,
    )  # fmt: skip


def _task_of(folder: Path, kind: str, config: Any, pairs: bool) -> tuple[TaskSettings, bool]:
    """What a folder was trained for: by its own note, or by its head."""
    if (folder / TASK).is_file():
        try:
            told = json.loads((folder / TASK).read_text(encoding="utf-8"))
            chosen = registry.find("tasks", str(told["kind"]))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{folder / TASK} is damaged", "put it back, or delete it") from None
        known = {name: value for name, value in told.items() if name in chosen.model_fields}
        return build(chosen, {**known, "data": {"train": "-"}}, str(folder / TASK)), True
    if kind == "classification" and (config.problem_type == "regression" or config.num_labels == 1):
        kind = "regression"
    elif kind == "classification" and pairs:
        kind = "pair_classification"
    values: dict[str, Any] = {"data": {"train": "-"}, "max_length": _longest(folder, config)}
    if kind == "regression" and not pairs:
        values |= {"text": "text", "text_pair": None}
    return build(registry.find("tasks", kind), values, str(folder)), False


def _longest(folder: Path, config: Any) -> int:
    length = getattr(config, "max_position_embeddings", None) or 512
    told = load_tokenizer(folder).model_max_length
    return int(min(length, told, 4096))
