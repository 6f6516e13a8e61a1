"""`tane predict`: labels with their probabilities for texts, pairs, or a file of them.

Every text and every row gets an answer in its place. One without text gets none: its label is null, and it is
counted for the person.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane import progress
from tane.errors import InputError
from tane.tasks.examples import Example
from tane.text import words
from tane.text.cells import TEXT
from tane.text.inputs import Input
from tane.text.japanese import JAPANESE, kind
from tane.text.raw import Raw
from tane.text.rows import RowsSettings, Table, kind_of, read_table, require_column
from tane.text.sources import Reading, source_for
from tane.types import Result
from tane.use import answers
from tane.use.classifier import Classifier, open_classifier
from tane.use.data import LEFT_OUT, SETTING
from tane.use.given import require_unicode

TOLD = 5  # places in a message
SENTENCE = re.compile("[。、！？「」『』]")  # what a word never has beside other characters


def predict(
    model: str | os.PathLike[str],
    texts: str | Sequence[str] = (),
    pairs: str | Sequence[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    columns: Sequence[str] | None = None,
    rows: RowsSettings | None = None,
    device: str = "auto",
) -> Result:
    """Labels for texts: metrics["predictions"], in their order, each {label, scores: {label: probability}}.

    pairs: the second text of each; of a model for multiple choice the choices of the one question. file: a
    table instead, whose columns with text are those of the training, or `columns` in their order; rows: how
    it is read. out: a .csv, .tsv or .jsonl with the columns of the file, the label, and the probability of
    each; one that is there already stays, unless `overwrite`, and the file that is read stays in any case.

    Of a model for numbers the label is the number, and scores is empty. For words, label and scores are
    lists, one item a word of `words`. For multiple choice `answer` is the text of the choice. What has no
    text has the label None.
    """
    return ask(
        model, texts, pairs, file=file, out=out, overwrite=overwrite, columns=columns, rows=rows,
        device=device,
    )[0]  # fmt: skip


def ask(
    model: str | os.PathLike[str],
    texts: str | Sequence[str] = (),
    pairs: str | Sequence[str] | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    columns: Sequence[str] | None = None,
    rows: RowsSettings | None = None,
    device: str = "auto",
) -> tuple[Result, Sequence[Example | None]]:
    """What `predict` returns, and the examples that it is about, None for a row without words."""
    texts = [texts] if isinstance(texts, str) else list(texts)
    seconds = [pairs] if isinstance(pairs, str) else list(pairs) if pairs is not None else None
    _check_flags(texts, seconds, file, columns, rows)
    how = rows or RowsSettings()
    source = None if file is None else os.path.expanduser(file)
    target = None
    if out is not None:
        target = answers.target(Path(out).expanduser(), source, how, overwrite=overwrite)
    two = seconds is not None or (columns is not None and len(columns) == 2)
    classifier = open_classifier(model, pairs=two, device=device)
    table = None if source is None else _read(source, how)
    examples: Sequence[Example | None]
    if table is None:
        classifier, examples = _of_texts(classifier, texts, seconds)
    else:
        classifier, examples = _of_table(classifier, table, columns)
    found = _found(classifier, examples, table)
    metrics: dict[str, Any] = {"predictions": found}
    if target is not None:
        if table is None or source is None:
            given = answers.rows_of_texts(classifier, examples)
        else:
            form = target.suffix.lower()
            given = answers.rows_of_table(table, source, how, classifier, examples, form)
        answers.write(target, found, given, classifier)
        progress.say(f"{len(found):,} predictions: {target}")
        metrics["out"] = str(target)
    return Result(str(classifier.folder), metrics), examples


def label(
    classifier: Classifier, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """The predictions that `predict` gives for texts, by a model that is open already, and whether one of
    them is longer than what the model reads. Raises InputError as it does."""
    classifier, examples = _of_texts(classifier, list(texts), None if pairs is None else list(pairs))
    return _found(classifier, examples, None), classifier.cuts(examples)


def _check_flags(
    texts: list[str], pairs: list[str] | None, file: Any, columns: Any, rows: RowsSettings | None
) -> None:
    """Raise InputError for what is missing, and for what would be passed over."""
    if not texts and file is None:
        raise InputError(
            "what is to be labelled? found neither texts nor a file", "--text TEXT..., or --file FILE"
        )
    if texts and file is not None:
        raise InputError("found texts and a file: expected one of them", "leave out --text or --file")
    for flag, given in (("--text", texts), ("--text-pair", pairs or ())):
        require_unicode(flag, given)
    if file is not None and pairs is not None:
        raise InputError(
            "--text-pair goes with --text: the second texts of a file are one of its columns",
            "--column FIRST SECOND",
        )
    if file is None and (columns is not None or (rows is not None and rows != RowsSettings())):
        raise InputError(
            "--column, --sheet, --split, --format, --quoting and --encoding say how a file is read, and no "
            "file is named",
            "leave them out, or --file FILE instead of --text",
        )


# ---------------------------------------------------------------------------------------------------- texts


def _of_texts(
    classifier: Classifier, texts: list[str], pairs: list[str] | None
) -> tuple[Classifier, list[Example]]:
    task, folder = classifier.task, classifier.folder
    if task.kind == "multiple-choice":
        if len(texts) != 1 or pairs is None or len(pairs) < 2:
            raise InputError(
                f"{folder} chooses an answer: expected one question and at least two choices, found "
                f"{len(texts)} and {len(pairs or ())}",
                "--text QUESTION --text-pair A B C ...",
            )
        if len(pairs) != len(classifier.names):
            names = [f"choice{number}" for number in range(len(pairs))]
            classifier = classifier.with_columns([classifier.texts[0], *names])
        return classifier, [Example(tuple((texts[0], choice) for choice in pairs), None, 1)]
    two = len(classifier.texts) == 2
    if pairs is None and two:
        raise InputError(f"{folder} was trained on pairs of texts", "give the second one: --text-pair TEXT")
    if pairs is not None and not two:
        raise InputError(f"{folder} was trained on single texts", "leave --text-pair out")
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(
            f"{len(texts):,} texts and {len(pairs):,} second texts", "give each --text one --text-pair"
        )
    if task.kind == "token-classification":
        cut = _Words(classifier)
        return classifier, [Example((), None, n, cut(text)) for n, text in enumerate(texts, 1)]
    seconds: Sequence[str | None] = pairs if pairs is not None else [None] * len(texts)
    both = zip(texts, seconds, strict=True)
    return classifier, [Example(((a, b),), None, n) for n, (a, b) in enumerate(both, 1)]


class _Words:
    """Cuts a text into words: at white space where it was cut so, Japanese sentences by MeCab or Sudachi."""

    def __init__(self, classifier: Classifier) -> None:
        self.dictionary = dictionary_of(classifier.tokenizer)
        self.segmenter: words.Segmenter | None = None

    def __call__(self, text: str) -> tuple[str, ...]:
        """The words of a text."""
        parts = text.split()
        whole = len(parts) == 1 or any(len(part) > 1 and SENTENCE.search(part) for part in parts)
        if not whole or not any(kind(char) in JAPANESE for char in text):
            return tuple(parts)
        if self.segmenter is None:
            self.segmenter = words.segmenter(self.dictionary)
            progress.say(f"texts without spaces between words are cut by {words.version(self.dictionary)}")
        return tuple(self.segmenter.words(text))


def dictionary_of(tokenizer: Any) -> str:
    """The dictionary by which a tokenizer cuts words, ipadic where it has none that is known."""
    means = getattr(tokenizer, "word_tokenizer_type", None)
    if means == "sudachi":
        return f"sudachi-{(tokenizer.sudachi_kwargs or {}).get('sudachi_dict_type', 'core')}"
    package = (tokenizer.mecab_kwargs or {}).get("mecab_dic", "unidic_lite") if means == "mecab" else None
    return next((name for name, known in words.MECAB.items() if known == package), "ipadic")


# --------------------------------------------------------------------------------------------------- tables


def _check_columns(classifier: Classifier, table: Table) -> None:
    """Raise InputError where a table lacks a column of text, or has something else there."""
    for name in classifier.texts:
        try:
            require_column(table, name, "column")
        except InputError as error:
            error.remedy = classifier.column_hint or error.remedy
            raise
        found = kind_of(table.data.features[name])
        listed = found == "list of text" and classifier.task.kind == "token-classification"
        if (found.startswith("list") and not listed) or found in ("object", "dict"):
            raise InputError(
                f"{table.name}: the column {name!r} holds {found}; expected text", "--column NAME of another"
            )


def as_flags(remedy: str) -> str:
    """A remedy of who reads a file in the words of the command, which leaves no rows out."""
    return SETTING.sub(r"--\1 ", LEFT_OUT.sub("", remedy))


def _read(source: str, how: RowsSettings) -> Table:
    """The rows of a file; of plain text its lines, in a column `text`."""
    try:
        items = answers.read_files(source, how)
        plain = bool(items) and all(item.source == "plain" for item in items)
        return _lines(items[0]) if plain and len(items) == 1 else read_table(source, how)
    except InputError as error:
        error.remedy = as_flags(error.remedy)
        raise


def _lines(item: Input) -> Table:
    import datasets

    reading = Reading(Raw(item.path, name=item.name), "line", encoding=item.encoding)
    records = list(source_for(item.path, item.format or item.source)[1].records(reading))
    positions = [record.position for record in records]
    if not records:
        raise InputError(f"{item.name} holds no rows", "look at the file: is it the right one?")
    found: dict[str, Any] = {"encoding": reading.found.get("encoding", "utf-8")}
    if positions[-1] > len(positions):
        found["notes"] = {"blank_lines": positions[-1] - len(positions)}
    texts = {TEXT: [record.text for record in records]}
    return Table(item.name, datasets.Dataset.from_dict(texts), positions, "line", found)


def _of_table(
    classifier: Classifier, table: Table, columns: Sequence[str] | None
) -> tuple[Classifier, list[Example | None]]:
    """An example of each row, None for a row without words."""
    if not len(table.data):
        raise InputError(f"{table.name} has columns and no rows", "look at the file: is it the right one?")
    if columns is None and table.data.column_names == [TEXT] and len(classifier.texts) == 1:
        columns = [TEXT]  # nothing else can be meant
    if columns is not None:
        classifier = classifier.with_columns(columns)
    _check_columns(classifier, table)
    _tell(table)
    items = classifier.task.read(table, classifier.names, labelled=False).items
    if classifier.task.kind == "token-classification":
        name = classifier.texts[0]
        if kind_of(table.data.features[name]) == "text":
            cut, texts = _Words(classifier), table.data[name]
            both = zip(texts, table.positions, strict=True)
            items = [Example((), None, position, cut(text or "")) for text, position in both]
    by_position = {one.position: one for one in items}
    return classifier, [by_position.get(position) for position in table.positions]


def _tell(table: Table) -> None:
    """Say what was found in a file by itself, where it is not the usual."""
    encoding = table.found.get("encoding", "utf-8")
    told = [] if encoding in answers.PLAIN else [f"encoding {encoding}"]
    told += [f"{key} {table.found[key]!r}" for key in ("sheet", "split") if table.found.get(key)]
    notes = {**table.found.get("notes", {}), **table.dropped}
    told += [f"{count:,} {reason.replace('_', ' ')}" for reason, count in notes.items() if count]
    if told:
        progress.say(f"{table.name}: {', '.join(told)}")


# -------------------------------------------------------------------------------------------------- answers


def _found(
    classifier: Classifier, examples: Sequence[Example | None], table: Table | None
) -> list[dict[str, Any]]:
    """The answer to each example; {label: None} where there is no text."""
    filled = [one for one in examples if one is not None and _is_filled(one)]
    asked = iter(classifier.answers(filled) if filled else [])
    found: list[dict[str, Any] | None] = []
    for one in examples:
        answer = next(asked) if one is not None and _is_filled(one) else None
        found.append(None if one is None or answer is None else _whole(one, answer, classifier))
    _tell_empty([at for at, answer in enumerate(found) if answer is None], len(found), table)
    return [{"label": None, "scores": {}} if answer is None else answer for answer in found]


def _is_filled(one: Example) -> bool:
    if one.words:
        return True
    return bool(one.parts) and all(text.strip() for part in one.parts for text in part if text is not None)


def _whole(one: Example, answer: dict[str, Any], classifier: Classifier) -> dict[str, Any]:
    """An answer with the words that it is about, or the text of the choice."""
    if one.words:
        more = [None] * (len(one.words) - len(answer["label"]))  # what was cut off has no label
        return {
            "label": [*answer["label"], *more], "scores": [*answer["scores"], *more], "words": list(one.words)
        }  # fmt: skip
    if classifier.task.kind == "multiple-choice":
        at = classifier.names.index(answer["label"])
        return {"label": answer["label"], "answer": one.parts[at][1], "scores": answer["scores"]}
    return answer


def _tell_empty(empty: list[int], total: int, table: Table | None) -> None:
    """Say which places have no text. Raises InputError where none has any."""
    if not empty:
        return
    what = "texts" if table is None else "rows"
    positions = [at + 1 if table is None else table.positions[at] for at in empty[:TOLD]]
    places = ", ".join(f"{position:,}" for position in positions) + (", ..." if len(empty) > TOLD else "")
    place = "text" if table is None else f"{table.name}, {table.place}"
    if len(empty) == total:
        raise InputError(f"there is no text to label ({place} {places})", "give some")
    progress.say(
        f"warning: {len(empty):,} of {total:,} {what} have no text and get no label: {place} {places}"
    )
