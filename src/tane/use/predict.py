"""`tane predict`: labels with their probabilities for texts, pairs, or a file of them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane import files, progress
from tane.errors import InputError
from tane.tasks.examples import Example
from tane.text import words
from tane.text.columns import fit, table
from tane.text.rows import RowsSettings, Table, read_table, require_column
from tane.training.finetuning import read_examples
from tane.types import Result
from tane.use import score_page
from tane.use.classifier import Classifier, open_classifier
from tane.use.finetune import report_of

FORMS = (".csv", ".tsv", ".jsonl")  # what predictions are written as
WIDTH = 60  # columns of a text on the screen


def predict(
    model: str | os.PathLike[str],
    texts: str | Sequence[str] = (),
    pairs: str | Sequence[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    columns: Sequence[str] | None = None,
    rows: RowsSettings | None = None,
    device: str = "auto",
) -> Result:
    """Labels for texts: metrics["predictions"], in their order, each {label, scores: {label: probability}}.

    pairs: the second text of each; of a model for multiple choice the choices of the one question. file: a
    table instead, whose columns with text are those of the training, or `columns`; rows: how it is read.
    out: a new .csv, .tsv or .jsonl with the columns of the file, the label, and the probability of each. Of a
    model for numbers the label is the number, and scores is empty; for words, both are lists.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    seconds = [pairs] if isinstance(pairs, str) else list(pairs) if pairs is not None else None
    if bool(texts) == (file is not None):
        raise InputError("what is to be labelled? expected texts or a file", "--text TEXT..., or --file FILE")
    target = None if out is None else _target(Path(out))
    if file is not None:
        source = read_table(str(file), rows or RowsSettings())
        classifier, examples = _of_file(model, source, columns, device)
    else:
        source = None
        classifier = open_classifier(model, pairs=seconds is not None, device=device)
        examples = _of_texts(classifier, texts, seconds)
    found = classifier.task.answers(classifier.outputs(examples), classifier.names)
    if target is not None:
        _write(target, source, examples, found)
        progress.say(f"{len(found):,} predictions: {target}")
    return Result(str(classifier.folder), {"predictions": found})


def _of_texts(classifier: Classifier, texts: list[str], pairs: list[str] | None) -> list[Example]:
    kind, folder = classifier.task.kind, classifier.folder
    if kind == "multiple-choice":
        if len(texts) != 1 or not pairs or len(pairs) != len(classifier.names):
            raise InputError(
                f"{folder} chooses among {len(classifier.names)}: expected one question and as many choices",
                "--text QUESTION --text-pair A B C ...",
            )
        return [Example(tuple((texts[0], choice) for choice in pairs), None, 1)]
    takes_pairs = len(_text_columns(classifier)) == 2
    if pairs is None and takes_pairs:
        raise InputError(f"{folder} was trained on pairs of texts", "give the second one: --text-pair TEXT")
    if pairs is not None and not takes_pairs:
        raise InputError(f"{folder} was trained on single texts", "leave --text-pair out")
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(f"{len(texts):,} texts and {len(pairs):,} pairs", "give each text one --text-pair")
    if kind == "token-classification":
        return [Example((), None, n, tuple(_words(text))) for n, text in enumerate(texts, 1)]
    seconds: Sequence[str | None] = pairs if pairs is not None else [None] * len(texts)
    return [Example(((a, b),), None, n) for n, (a, b) in enumerate(zip(texts, seconds, strict=True), 1)]


def _words(text: str) -> list[str]:
    """The words of a text: what white space parts; of one without it those of MeCab."""
    parted = text.split()
    return parted if len(parted) != 1 or text.isascii() else words.segmenter("ipadic").words(text)


def _text_columns(classifier: Classifier) -> list[str]:
    task = classifier.task
    return [name for names in task.columns().values() for name in names if name != task.label]


def _of_file(
    model: str | os.PathLike[str], source: Table, columns: Sequence[str] | None, device: str
) -> tuple[Classifier, list[Example]]:
    classifier = open_classifier(model, pairs=columns is not None and len(columns) == 2, device=device)
    task, own = classifier.task, _text_columns(classifier)
    if columns is not None:
        if len(columns) != len(own):
            raise InputError(
                f"{classifier.folder} reads {len(own)} column(s) of text, and {len(columns)} are named",
                f"--column {' '.join(own)}",
            )
        if task.kind == "multiple-choice":
            task = task.model_copy(update={"text": columns[0], "choices": list(columns[1:])})
        else:
            task = task.model_copy(update=dict(zip(("text", "text_pair"), columns, strict=False)))
    for name in [n for group in task.columns().values() for n in group if n != task.label]:
        require_column(source, name, "column")
    return classifier, task.read(source, classifier.names, labelled=False).items


def _target(path: Path) -> Path:
    if path.suffix.lower() not in FORMS:
        raise InputError(f"--out {path}: expected a name that ends in {', '.join(FORMS)}", "--out labels.csv")
    return path


def _write(
    path: Path, source: Table | None, examples: Sequence[Example], found: Sequence[dict[str, Any]]
) -> None:
    """Write what was read and what was found, all rows in their order."""
    if source is None:
        given = [
            {"text": " ".join(one.words) or one.parts[0][0], **({"text_pair": one.parts[0][1]} if one.parts
             and one.parts[0][1] is not None else {})} for one in examples
        ]  # fmt: skip
    else:
        given = [dict(row) for row in source.data]
    made: list[dict[str, Any]] = []
    for row, answer in zip(given, found, strict=True):
        scores = answer["scores"]
        more = {f"p({name})": p for name, p in scores.items()} if isinstance(scores, dict) else {"p": scores}
        if path.suffix.lower() == ".jsonl":
            more = {"scores": scores}
        made.append({**row, "predicted": answer["label"], **more})
    if path.suffix.lower() == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in made)
    else:
        buffer = io.StringIO()
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        names = list(dict.fromkeys(name for row in made for name in row))
        writer = csv.DictWriter(buffer, names, delimiter=delimiter, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in made)
        text = buffer.getvalue()
    files.write_text(path, text)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def report(result: Result, texts: Sequence[str], pairs: Sequence[str] | None) -> str:
    """Predictions of `texts` as a table for a person; those of a file have none on the screen."""
    lines = []
    for number, one in enumerate(result.metrics["predictions"]):
        shown = texts[number] if number < len(texts) else f"row {number + 1}"
        if pairs is not None and len(pairs) == len(texts):
            shown += f" | {pairs[number]}"
        scores = one["scores"]
        if isinstance(one["label"], list):
            lines.append([fit(shown, WIDTH), " ".join(one["label"]), ""])
        elif isinstance(one["label"], float):
            lines.append([fit(shown, WIDTH), f"{one['label']:.3f}", ""])
        else:
            order = sorted(scores, key=lambda name: -scores[name])[:5]
            told = "  ".join(f"{name} {scores[name]:.1%}" for name in order)
            lines.append([fit(shown, WIDTH), one["label"], told])
    return table(lines)


def evaluate_labels(
    model: str | os.PathLike[str], file: str, rows: RowsSettings | None = None, *, device: str = "auto"
) -> Result:
    """The scores of a model with the head of a task on a labelled file with the columns of its training.

    metrics: those of the report that `score_page.page` shows (scores, intervals, baseline, confusion, wrong),
    and each score by its name.
    """
    classifier = open_classifier(model, device=device)
    if not classifier.given:
        raise InputError(
            f"{classifier.folder} does not say which columns it was trained on",
            "label the file with tane predict, or fine-tune with tane finetune",
        )
    task = classifier.task
    data = task.data.model_copy(update=(rows or RowsSettings()).model_dump())
    named = type(data.train)(path=file)
    examples = read_examples(task.model_copy(update={"data": data}), named, classifier.names)
    found = report_of(classifier, examples, [], "test", metric=task.decides)
    print(score_page.page(found))
    return Result(str(classifier.folder), {**found, **found["scores"]})
