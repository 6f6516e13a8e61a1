"""The examples and the tokenizer of a task, as they are before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tane import files, progress
from tane.errors import InputError
from tane.model.build import find_model
from tane.tasks.examples import Examples, split_by_hash
from tane.tasks.settings import DataFile, TaskSettings
from tane.text.rows import read_table, require_column
from tane.tokens.taken import take
from tane.tokens.template import part_pairs
from tane.tokens.tokenizer import source_fingerprint


@dataclass(frozen=True)
class Data:
    """The examples of a run."""

    train: Examples
    valid: Examples
    test: Examples | None

    def fingerprint(self) -> str:
        """Hash of what is trained on and chosen by."""
        return files.digest([self.train.fingerprint(), self.valid.fingerprint()])


def read_examples(
    task: TaskSettings, file: DataFile, names: Sequence[str] | None, cache_dir: str | None = None
) -> Examples:
    """The examples of one labelled file. names: of the classes; None where this is the training file."""
    how = task.data.how(file)
    columns = task.columns()
    wanted = list(dict.fromkeys(name for group in columns.values() for name in group))
    table = read_table(file.path, how, cache_dir=cache_dir)
    for setting, group in columns.items():
        for column in group:
            require_column(table, column, setting)
    table = read_table(
        file.path, how, columns=wanted, cache_dir=cache_dir
    )  # says which label is of which type
    return task.read(table, names)


def read_data(task: TaskSettings) -> Data:
    """All examples of a task. Says how many there are, what was left out, and what stands on both sides."""
    train = read_examples(task, task.data.train, None)
    names = train.names
    if task.data.valid is None:
        train, valid = split_by_hash(train, task.data.valid_fraction)
        progress.say(f"{train.told()} to learn from, {len(valid):,} for validation, by a hash of their texts")
    else:
        valid = read_examples(task, task.data.valid, names)
        progress.say(train.told())
        progress.say(valid.told())
    test = None
    if task.data.test is not None:
        test = read_examples(task, task.data.test, names)
        progress.say(test.told())
    seen = {one.key for one in train.items}
    for other in (valid, test):
        if other is not None and not other.items:
            raise InputError(f"{other.name} has no usable example ({other.told()})", "give another file")
        twice = sum(one.key in seen for one in other.items) if other is not None else 0
        if other is not None and twice:
            progress.say(
                f"warning: {twice:,} of the {len(other):,} examples of {other.name} stand among those of "
                "training too"
            )
    return Data(train, valid, test)


def prepare_tokenizer(model: Any, tokenizer: Any, folder: Path) -> None:
    """The tokenizer of the pretrained model, or the one of `tokenizer.path`, as `folder`, taken once."""
    source: str | Path | None = tokenizer.path
    if source is None:
        if model.pretrained is None:
            raise InputError(
                "a task needs a pretrained model",
                "--model.pretrained DIR; or for a new one its tokenizer: --tokenizer.path DIR",
            )
        source = find_model(model.pretrained)
    mark = source_fingerprint(source, tokenizer.dictionary)
    if (folder / files.MANIFEST).exists():
        known = files.Manifest.read(folder, "tokenizer").meta["fingerprint"]
        if known == mark or not mark:
            return
        files.delete(folder)

    def write(temporary: Path) -> dict[str, Any]:
        take(source, temporary, dictionary=tokenizer.dictionary)
        part_pairs(temporary)
        return {"fingerprint": mark}

    files.publish(folder, "tokenizer", write)
