"""Labelled data sets: every row with all its columns, each of one type, read as strictly as text is.

    table = read_table("pairs.tsv", RowsSettings(quoting="none"))
    table = name_labels(table, "label", ["not_equivalent", "equivalent"])
    same = where(table.data, ["label=equivalent"])

csv, tsv, JSON lines and workbooks are read by the sources of the text stage, so encodings, quotes and broken
rows are treated alike; Parquet, Arrow, folders that `datasets` saved and data sets of the hub keep the types
and label names that they have.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from tane.errors import InputError
from tane.progress import say
from tane.settings import Settings, option
from tane.text import arrowrows, cellrows, saved
from tane.text import encoding as encodings
from tane.text.conditions import where
from tane.text.inputs import HUB, WILD, CorpusSettings, Input, expand
from tane.text.labels import kind_of, name_labels, require_column
from tane.text.packing import PACKINGS
from tane.text.raw import shown
from tane.text.sources import by_suffix

if TYPE_CHECKING:
    import datasets

__all__ = [
    "RowsSettings", "Table", "cache_in", "files_of", "is_hub_name", "kind_of", "name_labels", "read_table",
    "require_column", "where",
]  # fmt: skip

SPLITS = {
    "train": "train", "test": "test", "validation": "validation", "valid": "validation", "dev": "validation"
}  # fmt: skip
WORDS = re.compile("[^A-Za-z]+")
TYPED = ("parquet", "arrow")  # sources whose files have types


class RowsSettings(Settings):
    """How files with labelled rows are read."""

    format: str | None = option(None, "the format, where the name's ending does not tell it, such as tsv")
    quoting: Literal["standard", "none"] = option(
        "standard", "of csv and tsv: standard, or none where quotes are plain characters"
    )
    encoding: str = option(
        "auto", "auto (found and printed), or a codec: utf-8, cp932, euc_jp, iso2022_jp, utf-16-le"
    )
    sheet: str | None = option(None, "the sheet of workbooks; none: the first one")
    split: str | None = option(
        None, "the split of a folder, a saved or a hub data set; none: train, or the only one"
    )
    on_bad: Literal["stop", "skip"] = option(
        "stop", "what cannot be read (bytes, rows): stop with its place, or leave it out and count it"
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        return value if value == "auto" else encodings.codec_name(value)


DEFAULT = RowsSettings()


@dataclass(frozen=True)
class Table:
    """Labelled rows.

    name: how they are called in messages; data: every row, with all columns or those asked for, each of one
    type; positions (N,): line, row or item of each in its file, from 1; place: "line", "row" or "item";
    found: what was found by itself (encoding, delimiter, sheet, split, notes, mixed); dropped: rows left out
    by reason, with on_bad "skip".
    """

    name: str
    data: datasets.Dataset
    positions: list[int]
    place: str
    found: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def read_table(
    path: str,
    settings: RowsSettings = DEFAULT,
    *,
    columns: Sequence[str] | None = None,
    cache_dir: str | None = None,
) -> Table:
    """The rows of a file, a pattern, a URL, a folder, or a data set of the hub.

    Columns of tables and workbooks are int64 or float64 where every cell that is not empty is such a number,
    else text; an empty cell is None among numbers and "" among texts. JSON values keep their types. A column
    of mixed types becomes text (what is no text as JSON), noted in `found["mixed"]`; one that was asked for
    is an error. Of a folder whose files are named after splits (train, valid, test) one split is read;
    without such names all files are, which must have the same columns.

    columns: those that are kept; none: all. cache_dir: where data sets of the hub are kept (none: below
    HF_HOME). Raises InputError for what is not there, cannot be read, or holds no rows and no columns.
    """
    path = os.path.expanduser(os.fspath(path))
    with _reworded():
        if is_hub_name(path):
            table = _from_hub(path, settings, cache_dir)
        elif Path(path).is_dir() and saved.is_dataset(Path(path)):
            data = arrowrows.mapped(saved.arrow_files(Path(path), settings.split))
            table = _typed(shown(path), data, _chosen_split(settings.split))
        else:
            return _from_files(path, settings, columns)
    return _with_columns(table, columns)


# ----------------------------------------------------------------------------------------------- the name


def is_hub_name(path: str) -> bool:
    """Whether a name is meant as a data set of the hub: hf://NAME, or USER/NAME and no local path.

    A name that ends as a file does (.csv), or that stands below a folder which is there, is a local one.
    """
    if path.startswith(HUB):
        return True
    first, slash, _ = path.partition("/")
    return bool(slash) and _could_be_on_hub(path) and not os.path.lexists(first)


def _could_be_on_hub(path: str) -> bool:
    parts = path.split("/")
    ending = Path(path).suffix.lower()
    is_file = ending in by_suffix() or ending in PACKINGS
    return not is_file and len(parts) <= 3 and all(saved.PART.fullmatch(part) for part in parts)


def files_of(path: str, settings: RowsSettings = DEFAULT) -> list[Input]:
    """The files that a local name, a pattern or a URL stands for, of a folder with splits those of one.

    Raises InputError for what is not there, and for a split where there is none.
    """
    wanted: dict[str, Any] = settings.model_dump(include={"format", "quoting", "encoding", "sheet"})
    try:
        items = expand(CorpusSettings.model_validate({"inputs": [path], **wanted}))
    except InputError as error:
        if not os.path.lexists(path) and _could_be_on_hub(path):
            error.remedy += f"; a data set of the hub: {HUB}{path}"
        raise
    several = Path(path).is_dir() or (any(c in path for c in WILD) and not os.path.lexists(path))
    if several:
        return _of_split(Path(path), items, settings)
    if settings.split is not None:
        raise InputError(f"{items[0].name} is a file, which has no splits", "leave split out for it")
    return items


def _of_split(folder: Path, items: list[Input], settings: RowsSettings) -> list[Input]:
    """The files of one split, where some are named after splits; all others, where none is."""
    named: dict[str, list[Input]] = {}
    for item in items:
        if (split := _split_of(item.path, folder)) is not None:
            named.setdefault(split, []).append(item)
    if not named:
        if settings.split is not None:
            raise InputError(
                f"no file of {shown(folder)} is named after a split, such as train.csv", "leave split out"
            )
        tables = [item for item in items if item.source != "plain"] or items
        _say_left_out(folder, [item for item in items if item not in tables])
        return tables
    default = "train" if "train" in named or len(named) > 1 else next(iter(named))
    wanted = settings.split or default
    chosen = named.get(SPLITS.get(wanted, wanted))
    if chosen is None:
        raise InputError(
            f"{shown(folder)} has no split {wanted!r}; it has: {', '.join(sorted(named))}",
            f"name one: split: {sorted(named)[0]}",
        )
    _say_left_out(folder, [item for item in items if not any(item in files for files in named.values())])
    return chosen


def _split_of(path: Path, folder: Path) -> str | None:
    """The split that a file is named after, or else the nearest of its folders; None where there is none."""
    inner = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    for name in (inner.name.partition(".")[0] or inner.name, *reversed(inner.parent.parts)):
        words = [SPLITS[word] for word in WORDS.split(name.lower()) if word in SPLITS]
        if len(set(words)) == 1:
            return words[0]
    return None


def _say_left_out(folder: Path, items: list[Input]) -> None:
    if items:
        first = ", ".join(item.name for item in items[:3])
        say(f"{shown(folder)}: left out {len(items):,} file(s) beside the data: {first}")


# ------------------------------------------------------------------------------------------------ reading


def _from_files(path: str, settings: RowsSettings, columns: Sequence[str] | None) -> Table:
    items = files_of(path, settings)
    name = items[0].name if len(items) == 1 else shown(path)
    sources = sorted({item.source for item in items})
    if len(sources) > 1:
        raise InputError(
            f"{name} has files of several formats ({', '.join(sources)})", "name one of them, or a pattern"
        )
    split = _split_of(items[0].path, Path(path)) if Path(path).is_dir() else None
    found = _chosen_split(split)
    if sources[0] in TYPED:
        data = arrowrows.together([(item.name, arrowrows.read(item)) for item in items])
        if len(items) > 1:
            found["files"] = len(items)
        return _with_columns(_typed(name, data, found), columns)
    rows = cellrows.together([(item.name, cellrows.read(item, settings.on_bad)) for item in items])
    import datasets

    if columns is not None and (missing := [c for c in columns if c not in rows.values]):
        data = datasets.Dataset(cellrows.arrow_table(rows, name, None))
        require_column(Table(name, data, rows.positions, rows.place), missing[0], "")
    data = datasets.Dataset(cellrows.arrow_table(rows, name, columns))
    return Table(name, data, rows.positions, rows.place, {**found, **rows.found}, rows.dropped)


def _from_hub(path: str, settings: RowsSettings, cache_dir: str | None) -> Table:
    name = path.removeprefix(HUB)
    with cache_in(cache_dir):
        files = saved.from_hub(name, settings.split)
        data = arrowrows.mapped(files, trusted=True)
    return _typed(f"{HUB}{name}", data, _chosen_split(settings.split))


def _typed(name: str, data: datasets.Dataset, found: dict[str, Any]) -> Table:
    return Table(name, data, list(range(1, len(data) + 1)), "row", found)


def _chosen_split(split: str | None) -> dict[str, Any]:
    return {"split": split} if split else {}


def _with_columns(table: Table, columns: Sequence[str] | None) -> Table:
    if columns is None:
        return table
    for column in columns:
        require_column(table, column, "")
    return replace(table, data=table.data.select_columns(list(columns)))


@contextlib.contextmanager
def cache_in(folder: str | None) -> Iterator[None]:
    """Keep in a folder what the hub's libraries download and prepare; none: where they always do."""
    if folder is None:
        yield
        return
    from datasets import config
    from huggingface_hub import constants

    place = Path(folder).expanduser()
    before = config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE
    config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH = place, place / "downloads"
    constants.HF_HUB_CACHE = str(place / "hub")
    try:
        yield
    finally:
        config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE = before


@contextlib.contextmanager
def _reworded() -> Iterator[None]:
    """Errors of the sources in the words of these settings: a corpus writes {path: ..., quoting: none}."""
    try:
        yield
    except InputError as error:
        remedy = re.sub(r", or for (one|this) input \{path: [^{}]*\}| of corpus\.inputs", "", error.remedy)
        remedy = re.sub(r"\{path: [^{}]*?, (\w+: [^{}]*)\}", r"\1", remedy)
        error.remedy = re.sub(r"--corpus\.(\w+) (\w+)", r"\1: \2", remedy)
        raise
