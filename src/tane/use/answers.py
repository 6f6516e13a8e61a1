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
from typing import Any

from tane import files
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
MOST = 20  # rows of a file on the screen
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
        if source is not None and any(_is_same(path, item) for item in _read_files(source, how)):
            raise InputError(f"--out {path} is the file that is read", "choose another name")
        if not overwrite:
            raise InputError(f"--out {path} exists already", "choose another name, or add --overwrite")
    parent = files.existing_parent(path.parent)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ResourceError(f"cannot write {path}: {parent} takes no files", "choose another folder")
    return path


def _read_files(source: str, how: RowsSettings) -> list[Input]:
    """The files behind a name, [] for a data set that lies elsewhere or is not there."""
    if is_hub_name(source) or (Path(source).is_dir() and is_dataset(Path(source))) or "://" in source:
        return []
    return files_of(source, how)


def _is_same(path: Path, item: Input) -> bool:
    return item.path.exists() and path.samefile(item.path)


# ------------------------------------------------------------------------------------------------- the rows


class Given:
    """The rows beside which predictions are written. names: their columns; spreadsheet: whether their file
    came from one; texts: columns whose lists of words are written with spaces between."""

    def __init__(self, names: Sequence[str], rows: Iterable[Row], *, spreadsheet: bool = False) -> None:
        self.names, self.rows, self.spreadsheet = list(names), rows, spreadsheet


def rows_of_texts(classifier: Classifier, examples: Sequence[Example | None]) -> Given:
    """The texts that were given one by one, under the columns of the training."""
    names = [] if classifier.task.kind == "token-classification" else classifier.texts
    rows = []
    for one in examples:
        assert one is not None
        texts = [one.parts[0][0], *(pair for _, pair in one.parts if pair is not None)] if one.parts else []
        rows.append(dict(zip(names, texts, strict=True)))
    return Given(names, rows)


def rows_of_table(table: Table | None, source: str | None, how: RowsSettings) -> Given:
    """The rows of a file with all their columns, as they stand there."""
    assert table is not None and source is not None
    names = list(table.data.column_names)
    raw = _as_written(table, source, how)
    rows: Iterator[Row] = (
        _typed(table) if raw is None else (dict(zip(names, row, strict=True)) for row in raw)
    )
    return Given(names, rows, spreadsheet=_of_spreadsheet(table, source))


def _typed(table: Table) -> Iterator[Row]:
    for part in table.data.with_format("arrow").iter(1000):
        yield from part.to_pylist()


def _as_written(table: Table, source: str, how: RowsSettings) -> Iterator[tuple[Any, ...]] | None:
    """The cells of a file as they stand in it, row by row, where the table holds them in another way: 1.10 is
    1.1 there, and objects of JSON have the keys of all others. None: the table is as good."""
    if table.found.get("split") or is_hub_name(source):
        return None
    items = files_of(source, how)
    kinds = {item.source for item in items}
    if kinds & set(TYPED):
        return None
    dtypes = {getattr(feature, "dtype", "") for feature in table.data.features.values()}
    if kinds != {"jsonl"} and "float64" not in dtypes:
        return None
    columns = cellrows.together([(item.name, cellrows.read(item, how.on_bad)) for item in items])
    if columns.positions != table.positions:  # the file was changed meanwhile
        return None
    return zip(*(columns.values[name] for name in table.data.column_names), strict=True)


def _of_spreadsheet(table: Table, source: str) -> bool:
    """Whether a file comes from a spreadsheet, which takes UTF-8 for another encoding where no BOM is."""
    if table.found.get("sheet") or table.found.get("encoding", "utf-8") not in PLAIN:
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
    named = {key: _free(name, given.names) for key, name in own.items()}
    listed = {*named.values(), *classifier.texts, classifier.task.label} if _is_words(classifier) else set()
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer, "excel-tab" if form == ".tsv" else "excel", lineterminator="\n", quoting=csv.QUOTE_MINIMAL
    )
    names = [*given.names, *named.values()]
    if form != ".jsonl":
        buffer.write(BOM if given.spreadsheet else "")
        writer.writerow([_cell(name, False) for name in names])
    for row, answer in zip(given.rows, found, strict=True):
        more = {named[key]: value for key, value in _values(answer, form).items() if key in named}
        whole = {**row, **more}
        if form == ".jsonl":
            buffer.write(_json(whole) + "\n")
        else:
            writer.writerow([_cell(whole.get(name), name in listed) for name in names])
    files.write_text(path, buffer.getvalue())


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
    scores = answer["scores"]
    if form == ".jsonl" or not isinstance(scores, dict):
        return answer
    return {**answer, **{("p", name): p for name, p in scores.items()}}


def _cell(value: Any, listed: bool) -> Any:
    """A value as a cell: a list of words with spaces between, what else is no plain value as JSON."""
    if isinstance(value, (list, tuple)) and listed:
        items = [NONE if one is None else str(one) for one in value]
        if all(one and one.split() == [one] for one in items):
            return " ".join(items)
    if isinstance(value, (list, tuple, dict)):
        return _json(value)
    if isinstance(value, str) and "\r" in value:
        return _Quoted(value)
    return value


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


def report(result: Result, texts: Sequence[str], pairs: Sequence[str] | None) -> str:
    """Predictions as a table for a person: of `texts` all, of a file's rows the first ones."""
    found = result.metrics["predictions"]
    shown = found if texts else found[:MOST]
    lines = []
    for number, one in enumerate(shown):
        text = texts[number] if number < len(texts) else f"row {number + 1}"
        if pairs is not None and len(pairs) == len(texts):
            text += f" | {pairs[number]}"
        lines.append([fit(text, WIDTH), *_told(one)])
    more = len(found) - len(shown)
    rest = [f"... and {more:,} more rows; --out FILE writes them all"] if more else []
    return "\n".join([table(lines), *rest])


def _told(one: dict[str, Any]) -> tuple[str, str]:
    label, scores = one["label"], one["scores"]
    if label is None:
        return NONE, "no text"
    if "words" in one:
        both = zip(one["words"], label, strict=True)
        return "  ".join(f"{visible(word)}/{tag or NONE}" for word, tag in both), ""
    if isinstance(label, float):
        return f"{label:.3f}", ""
    order = sorted(scores, key=lambda name: -scores[name])[:BEST]
    likely = "  ".join(f"{visible(name)} {scores[name]:.1%}" for name in order)
    named = ", ".join(label) or NONE if isinstance(label, list) else label
    return visible(f"{named}: {one['answer']}" if "answer" in one else named), likely
