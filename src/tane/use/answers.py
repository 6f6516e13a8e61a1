"""What `tane predict` gives for a file: its rows with their labels as csv, tsv or JSON lines, or a table.

The columns of a file come back as they stood in it; ours stand behind them, under names that were free.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tane import files, resources
from tane.errors import InputError, ResourceError
from tane.tasks.examples import Example
from tane.text import cellrows
from tane.text.columns import fit, table, visible
from tane.text.inputs import Input
from tane.text.rows import RowsSettings, Table, files_of, is_hub_name
from tane.text.saved import is_dataset
from tane.types import Result
from tane.use.classifier import Classifier

FORMS = (".csv", ".tsv", ".jsonl")  # what predictions are written as
BOM = "\ufeff"  # by it spreadsheets know UTF-8
PLAIN = ("utf-8", "ascii")  # encodings of files that no spreadsheet wrote
TYPED = ("parquet", "arrow")  # sources whose values have types
WIDTH = 60  # columns of a text on the screen
BEST = 5  # labels of a text on the screen
NONE = "-"  # where a word or a text has no label

Row = dict[str, Any]


# ----------------------------------------------------------------------------------------------- the target


def target(path: Path, source: str | None, how: RowsSettings, *, overwrite: bool) -> Path:
    """The path of a new file of predictions.

    Raises InputError for another form, for a file that is there already (unless `overwrite`), and for one
    that is read; ResourceError where it cannot be written.
    """
    if path.suffix.lower() not in FORMS:
        raise InputError(f"--out {path}: expected a name that ends in {', '.join(FORMS)}", "--out labels.csv")
    if path.is_dir():
        raise InputError(f"--out {path} is a folder", f"--out {path / 'labels.csv'}")
    if path.exists():
        if source is not None and any(_is_same(path, item) for item in read_files(source, how)):
            raise InputError(f"--out {path} is the file that is read", "choose another name")
        if not overwrite:
            raise InputError(f"--out {path} exists already", "choose another name, or add --overwrite")
    parent = resources.existing_parent(path.parent)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ResourceError(f"cannot write {path}: {parent} takes no files", "choose another folder")
    return path


def read_files(source: str, how: RowsSettings) -> list[Input]:
    """The files behind a name, [] for a data set that lies elsewhere or is not there."""
    if is_hub_name(source) or (Path(source).is_dir() and is_dataset(Path(source))) or "://" in source:
        return []
    return files_of(source, how)


def _is_same(path: Path, item: Input) -> bool:
    return item.path.exists() and path.samefile(item.path)


# ------------------------------------------------------------------------------------------------- the rows


class Given(NamedTuple):
    """The rows beside which predictions are written. names: their columns; spreadsheet: whether they come
    from one; words: whether the words that were labelled stand in none of them."""

    names: list[str]
    rows: Iterable[Row]
    spreadsheet: bool = False
    words: bool = True


def rows_of_texts(classifier: Classifier, examples: Sequence[Example | None]) -> Given:
    """The texts that were given one by one, under the columns of the training."""
    names = [] if _is_words(classifier) else classifier.texts
    return Given(names, [dict(zip(names, _texts(one), strict=False)) for one in examples])


def _texts(one: Example | None) -> list[str]:
    """The texts of an example: of several parts the first one stands in each."""
    if one is None or not one.parts:
        return []
    return [one.parts[0][0], *(pair for _, pair in one.parts if pair is not None)]


def rows_of_table(
    read: Table, source: str, how: RowsSettings, classifier: Classifier, examples: Sequence[Example | None],
    form: str,
) -> Given:  # fmt: skip
    """The rows of a file with all their columns, as they stand there. form: what they will be written as."""
    exact = _as_written(read, source, how, form)
    rows = (
        {**row, **{name: values[at] for name, values in exact.items()}} for at, row in enumerate(_typed(read))
    )
    words = _is_words(classifier) and any(
        one is not None and list(one.words) != (cell.split() if isinstance(cell, str) else cell)
        for cell, one in zip(read.data[classifier.texts[0]], examples, strict=True)
    )
    return Given(list(read.data.column_names), rows, _of_spreadsheet(read, source), words)


def _typed(read: Table) -> Iterator[Row]:
    """The rows of a table, labels by their names."""
    features = read.data.features.items()
    named = {name: kind.names for name, kind in features if getattr(kind, "names", None)}
    for part in read.data.with_format("arrow").iter(1000):
        for row in part.to_pylist():
            for name, names in named.items():
                if row[name] is not None and 0 <= row[name] < len(names):
                    row[name] = names[row[name]]
            yield row


def _as_written(read: Table, source: str, how: RowsSettings, form: str) -> dict[str, list[Any]]:
    """The columns that the table holds in another way than their file, as they stand there: 1.10 is 1.1 in
    it, and objects of JSON have the keys of all others."""
    items = read_files(source, how)
    kinds = {item.source for item in items}
    features = read.data.features.items()
    names = [name for name, kind in features if kinds == {"jsonl"} or getattr(kind, "dtype", "") == "float64"]
    if not items or kinds & set(TYPED) or not names:
        return {}
    columns = cellrows.together([(item.name, cellrows.read(item, how.on_bad)) for item in items])
    if columns.positions != read.positions:  # the file was changed meanwhile
        return {}
    exact = {name: columns.values[name] for name in names}
    if form == ".jsonl" and not columns.json:
        return {name: values for name, values in exact.items() if not all(map(_is_exact, values))}
    return exact


def _is_exact(cell: str | None) -> bool:
    """Whether a number is the same when it is written again, but for the .0 of a whole one."""
    return not cell or repr(float(cell)) in (cell, f"{cell}.0")


def _of_spreadsheet(read: Table, source: str) -> bool:
    """Whether a file comes from a spreadsheet, which takes UTF-8 for another encoding where no BOM is."""
    if read.found.get("sheet") or read.found.get("encoding", "utf-8") not in PLAIN:
        return True
    try:
        with open(source, "rb") as file:
            return file.read(3) == BOM.encode()
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------- the file


def write(path: Path, found: Sequence[dict[str, Any]], given: Given, classifier: Classifier) -> None:
    """Write what was read and what was found, all rows in their order, at once or not at all."""
    form = path.suffix.lower()
    own = _own_names(found, classifier, form)
    if not given.words:
        own.pop("words", None)
    named = {key: _free(name, given.names) for key, name in own.items()}
    listed = {*named.values(), *classifier.texts, classifier.task.label} if _is_words(classifier) else set()
    with resources.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    names = [*given.names, *named.values()]
    lines = [] if form == ".jsonl" else [(BOM if given.spreadsheet else "") + _line(names, form)]
    for row, answer in zip(given.rows, found, strict=True):
        values = _values(answer, form)
        whole = {**row, **{name: values.get(key) for key, name in named.items()}}
        if form == ".jsonl":
            lines.append(_json(whole) + "\n")
        else:
            lines.append(_line([_cell(whole.get(name), name in listed) for name in names], form))
    files.write_text(path, "".join(lines))


def _line(cells: Sequence[Any], form: str) -> str:
    """A row of csv or tsv, whose cells with line ends of any kind stand in quotes."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter="\t" if form == ".tsv" else ",", lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()[:-2] + "\n"


def _is_words(classifier: Classifier) -> bool:
    return classifier.task.kind == "token-classification"


def _own_names(found: Sequence[dict[str, Any]], classifier: Classifier, form: str) -> dict[Any, str]:
    """Key of a value -> the name of its column."""
    own: dict[Any, str] = {}
    if _is_words(classifier):
        own["words"] = "words"
    own["label"] = "predicted"
    if any("answer" in one for one in found):
        own["answer"] = "answer"
    if form == ".jsonl":
        own["scores"] = "scores"
    elif _is_words(classifier):
        own["scores"] = "p"
    elif classifier.names:
        own |= {("p", name): f"p({name})" for name in classifier.names}
    return own


def _free(name: str, taken: Sequence[str]) -> str:
    """A name that no column has yet."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _values(answer: dict[str, Any], form: str) -> dict[Any, Any]:
    """The values of an answer by the keys of `_own_names`."""
    scores = answer["scores"]
    if form == ".jsonl" or not isinstance(scores, dict):
        return answer
    return {**answer, "scores": None, **{("p", name): p for name, p in scores.items()}}


def _cell(value: Any, listed: bool) -> Any:
    """A value as a cell: a list of words with spaces between, what else is no plain value as JSON."""
    if isinstance(value, (list, tuple)) and listed:
        items = [NONE if one is None else str(one) for one in value]
        if all(one and one.split() == [one] for one in items):
            return " ".join(items)
    return _json(value) if isinstance(value, (list, tuple, dict)) else value


def _json(value: Any) -> str:
    """JSON in one line; numbers that it does not have are null."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ----------------------------------------------------------------------------------------------- the screen


def report(result: Result, examples: Sequence[Example | None], *, most: int | None = None) -> str:
    """Predictions as a table for a person; of more than `most` the first ones."""
    found = result.metrics["predictions"]
    shown = list(zip(found, examples, strict=True))[:most]
    rest = len(found) - len(shown)
    more = [f"... and {rest:,} more rows; --out FILE writes them all"] if rest else []
    return "\n".join([table([_told(answer, one) for answer, one in shown]), *more])


def _told(answer: dict[str, Any], one: Example | None) -> list[str]:
    label, scores = answer["label"], answer["scores"]
    if "words" in answer:
        both = zip(answer["words"], label, strict=True)
        return ["  ".join(f"{visible(word)}/{visible(tag or NONE)}" for word, tag in both), "", ""]
    texts = _texts(one) if "answer" not in answer else _texts(one)[:1]
    text = fit(" | ".join(texts), WIDTH)
    if label is None:
        return [text, NONE, "no text"]
    if isinstance(label, float):
        return [text, f"{label:.3f}", ""]
    order = sorted(scores, key=lambda name: -scores[name])[:BEST]
    likely = "  ".join(f"{visible(name)} {scores[name]:.1%}" for name in order)
    if isinstance(label, list):
        label = ", ".join(label) or NONE
    return [text, visible(f"{label}: {answer['answer']}" if "answer" in answer else label), likely]
