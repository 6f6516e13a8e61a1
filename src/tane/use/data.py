"""`tane data`: a look into a data set or a text before anything is made of it.

tane data pairs.tsv --quoting none --label quality --where quality=1
tane data glue/mrpc --split validation --tokenizer tohoku-nlp/bert-base-japanese-v3
tane data --list --search japanese

Rows with columns (csv, jsonl, xlsx, parquet, a folder that `datasets` saved, the hub) are shown with their
features, labels and lengths; plain text, or one column read as text, with documents, scripts and duplicates.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from tane import hub, progress
from tane.errors import InputError
from tane.settings import build
from tane.text import rows, saved
from tane.text.corpus import CorpusSettings
from tane.text.inputs import HUB, HowToRead, expand
from tane.text.labels import kind_of
from tane.text.survey import quantiles, survey
from tane.types import Result
from tane.use import tokenizers
from tane.use.data_page import report

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

    from tane.tokens.encoder import Encoder

__all__ = ["data", "list_data", "report", "show_data"]

AS_TEXT = ("column", "unit", "normalize")  # what only a text has
LABELS = ("label", "labels")  # names of columns that hold labels
FEW = 20  # different values of a column that counts as one of labels by itself,
SHORT = 40  # and the characters of each
MOST = 1_000  # different values that are counted
BATCH = 1_000  # rows that are tokenised at once
SETTING = re.compile(r"\b(format|quoting|encoding|sheet|split): (?!\w+: )")
LEFT_OUT = re.compile(r"(; to leave|, or leave)[^;]* on_bad: skip")


def data(
    spec: str | os.PathLike[str],
    *,
    split: str | None = None,
    where: Sequence[str] = (),
    format: str | None = None,
    quoting: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    cache_dir: str | None = None,
) -> datasets.Dataset:
    """The rows of a data set, each column of one type.

    spec: a file (csv, tsv, jsonl, json, xlsx, parquet, arrow, txt), a folder, a pattern, a URL, or a data set
    of the hub ("glue/mrpc", "hf://imdb"). where: conditions such as "label=equivalent" that all must hold.
    label, label_names: the column of labels (none: label or labels) and its names, which it then has as a
    ClassLabel. cache_dir: where data sets of the hub are kept (none: below HF_HOME). The other arguments are
    as in `text.rows.RowsSettings`. Raises InputError.
    """
    reading = {"split": split, "format": format, "quoting": quoting, "encoding": encoding, "sheet": sheet}
    table = _named(_read(spec, reading, cache_dir), label, label_names)
    return rows.where(table.data, _several(where))


def show_data(
    *spec: str | os.PathLike[str],
    head: int = 3,
    where: Sequence[str] = (),
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    tokenizer: str | None = None,
    dictionary: str | None = None,
    cache_dir: str | None = None,
    **reading: Unpack[HowToRead],
) -> Result:
    """What a data set or a text holds; `report(metrics)` puts it on a page. Writes nothing.

    Plain text files, and anything with `column`, `unit` or `normalize`, are looked at as text: `metrics` are
    those of `text.survey.survey`, without `normalize` of the text as it stands in the files; equal documents
    are counted and shown, nothing is put aside for validation.

    Of a data set `metrics` are: name; examples, and total (before `where`); features: {column: {type,
    names?}}; labels: {column: {label: count}}; lengths: {column: {characters: {min, p5, median, p95, max},
    tokens?}} of the columns with text, in tokens of `tokenizer` without special ones (dictionary: whose words
    a vocab.txt takes); head: the first examples; found; reading, where: as they were given. The arguments are
    those of `data`. Raises InputError.
    """
    if head < 0:
        raise InputError(f"--head: expected 0 or more, found {head}")
    if not spec:
        raise InputError(
            "there is nothing to look into",
            "name a file, a folder or a data set: tane data pairs.csv; those of the hub: tane data --list",
        )
    names = [os.fspath(one) for one in spec]
    given: dict[str, Any] = {name: value for name, value in reading.items() if value is not None}
    of_rows = {
        "where": where, "label": label, "label-names": label_names, "tokenizer": tokenizer,
        "dictionary": dictionary,
    }  # fmt: skip
    if _is_text(names, given):
        if meant := [f"--{name}" for name, value in of_rows.items() if value]:
            remedy = "leave out --column, --unit and --normalize; of a .txt say what it is: --format tsv"
            raise InputError(f"{meant[0]} is for rows with columns, and this is read as text", remedy)
        with rows.cache_in(cache_dir):
            return Result(None, _survey(names, given, head))
    if len(names) > 1:
        raise InputError(
            f"expected one data set, found {len(names)}: {', '.join(names[:3])}",
            "name a folder, or a pattern in quotes: 'data/*.csv'; one column of all as text: --column NAME",
        )
    table = _named(_read(names[0], given, cache_dir), label, label_names)
    tokenizers.check_dictionary(dictionary, [tokenizer] if tokenizer else [])
    with tokenizers.opened(tokenizer, dictionary) if tokenizer else contextlib.nullcontext() as encoder:
        found = _look(table, _several(where), head, label, encoder)
    if os.path.isfile(table.name):  # of a folder with splits the one file was found, which has none
        given.pop("split", None)
    how = {name: value for name, value in given.items() if value != "auto"}
    return Result(None, {**found, "reading": how})


def list_data(search: str | None = None, *, limit: int = 20) -> Result:
    """Data sets of the hub, those that are fetched most first; search: only those with it in their name.

    `metrics`: {datasets: [{name, downloads, likes}], search}. Raises InputError, without network in seconds.
    """
    if limit < 1:
        raise InputError(f"--head: expected 1 or more, found {limit}")
    return Result(None, {"datasets": hub.data_sets(search, limit=limit), "search": search})


# ----------------------------------------------------------------------------------------- what is looked at


def _is_text(names: list[str], reading: dict[str, Any]) -> bool:
    """Whether specs are read as text: all are plain text files, or it was asked for."""
    if set(AS_TEXT) & reading.keys():
        return True
    for name in names:
        path = os.path.expanduser(name)
        if rows.is_hub_name(path) or (Path(path).is_dir() and saved.is_dataset(Path(path))):
            return False
        settings = build(CorpusSettings, {"inputs": [name], "format": reading.get("format")}, "data")
        with progress.silenced("://" not in name):  # who reads it says it again
            if any(item.source != "plain" for item in expand(settings)):
                return False
    return True


def _survey(names: list[str], reading: dict[str, Any], head: int) -> dict[str, Any]:
    inputs = [f"{HUB}{name.removeprefix(HUB)}" if rows.is_hub_name(name) else name for name in names]
    values = {"inputs": inputs, "normalize": "none", "valid_fraction": 0.0, **reading}
    return survey(build(CorpusSettings, values, "data"), head=head)


def _read(spec: str | os.PathLike[str], reading: dict[str, Any], cache_dir: str | None) -> rows.Table:
    given = {name: value for name, value in reading.items() if value is not None}
    settings = build(rows.RowsSettings, given, "data")
    try:
        return rows.read_table(os.fspath(spec), settings, cache_dir=cache_dir)
    except InputError as error:  # what a recipe calls `quoting: none` is a flag here, and nothing is left out
        error.remedy = SETTING.sub(r"--\1 ", LEFT_OUT.sub("", error.remedy))
        raise


def _named(table: rows.Table, label: str | None, names: Sequence[str] | None) -> rows.Table:
    """The table with the names of its labels; `label` must be a column."""
    if label is not None:
        rows.require_column(table, label, "label")
    if not names:
        return table
    column = label or next((one for one in LABELS if one in table.data.column_names), None)
    if column is None:
        raise InputError(
            f"{table.name} has no column called label", "say whose names these are: --label COLUMN"
        )
    return rows.name_labels(table, column, names)


def _several(value: Sequence[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


# ------------------------------------------------------------------------------------------------ the figures


def _look(
    table: rows.Table, where: list[str], head: int, label: str | None, encoder: Encoder | None
) -> dict[str, Any]:
    everything, kept = table.data, rows.where(table.data, where)
    features: dict[str, Any] = {}
    for name, feature in everything.features.items():
        features[name] = {"type": kind_of(feature)}
        if (names := _label_names(feature)) is not None:
            features[name]["names"] = names
    return {
        "name": table.name,
        "examples": len(kept),
        "total": len(everything),
        "where": where,
        "features": features,
        "labels": _labels(everything, kept, label),
        "lengths": _lengths(kept, [n for n, about in features.items() if about["type"] == "text"], encoder),
        "head": [_plain(row) for row in kept.with_format("arrow")[:head].to_pylist()],
        "found": table.found,
    }


def _label_names(feature: Any) -> list[str] | None:
    """The names of a column's labels, also of one with a list of them in each row."""
    while (inner := getattr(feature, "feature", None)) is not None and not isinstance(inner, dict):
        feature = inner
    names = getattr(feature, "names", None)
    return None if names is None else list(names)


def _labels(
    everything: datasets.Dataset, kept: datasets.Dataset, label: str | None
) -> dict[str, dict[str, int]]:
    """Of each column of labels how often each stands in `kept`; those that only others have, 0 times."""
    named = [name for name, feature in everything.features.items() if _label_names(feature) is not None]
    chosen = dict.fromkeys([*named, *([label] if label else []), *LABELS])
    columns = [name for name in chosen if name in everything.column_names]
    if not columns:
        columns = [name for name in everything.column_names if _few(everything, name)]
    found: dict[str, dict[str, int]] = {}
    for name in columns:
        names = _label_names(everything.features[name])
        counts = dict.fromkeys(range(len(names or [])), 0) | dict.fromkeys(_counts(everything, name), 0)
        if len(counts) <= MOST:
            counts |= _counts(kept, name)
            found[name] = {_shown_label(value, names): count for value, count in _ordered(counts, names)}
    return found


def _column(rows: datasets.Dataset, name: str) -> pa.ChunkedArray:
    return rows.select_columns([name]).with_format("arrow")[:][name]


def _counts(rows: datasets.Dataset, name: str) -> dict[Any, int]:
    """How often each value of a column stands there; of lists how often each of their values does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _column(rows, name)
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = pc.list_flatten(values)
    if pa.types.is_nested(values.type):
        return {}
    return {one["values"]: one["counts"] for one in pc.value_counts(values).to_pylist()}


def _few(rows: datasets.Dataset, name: str) -> bool:
    """Whether a column has few different short values, and fewer than rows."""
    import pyarrow.compute as pc

    if kind_of(rows.features[name]) not in ("text", "integer", "true or false"):
        return False
    distinct = pc.unique(_column(rows, name)).to_pylist()
    short = all(len(value) <= SHORT for value in distinct if isinstance(value, str))
    return 1 < len(distinct) <= min(FEW, len(rows) - 1) and short


def _ordered(counts: dict[Any, int], names: list[str] | None) -> list[tuple[Any, int]]:
    """Named labels and numbers by their number, texts the most frequent first; no value comes last."""
    if names is None and any(isinstance(value, str) for value in counts):
        return sorted(counts.items(), key=lambda one: (one[0] is None, -one[1], str(one[0])))
    return sorted(counts.items(), key=lambda one: (one[0] is None, one[0] if one[0] is not None else 0))


def _shown_label(value: Any, names: list[str] | None) -> str:
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _lengths(
    rows: datasets.Dataset, columns: list[str], encoder: Encoder | None
) -> dict[str, dict[str, dict[str, int]]]:
    """Of each column with text the quantiles of its lengths; rows without a text are not counted."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    with progress.bar(len(rows) * len(columns), "looking", "row") as bar:
        for name in columns:
            characters: Counter[int] = Counter()
            tokens: Counter[int] = Counter()
            values = _column(rows, name)
            for start in range(0, len(values), BATCH):
                batch = values.slice(start, BATCH).to_pylist()
                texts = [text for text in batch if text is not None]
                characters.update(map(len, texts))
                if encoder is not None:
                    tokens.update(len(ids) for ids in encoder.encode_batch(texts))
                bar.update(len(batch))
            if characters:
                found[name] = {"characters": quantiles(characters)}
                found[name] |= {"tokens": quantiles(tokens)} if tokens else {}
    return found


def _plain(value: Any) -> Any:
    """A value of a row as JSON knows it."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if (
        value is None
        or isinstance(value, (str, bool, int))
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    return str(value)
