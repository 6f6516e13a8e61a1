"""What a row of the table is, and the flags that several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

Values = argparse.Namespace


class Flag(NamedTuple):
    """One argument of a verb: its names and what argparse is told."""

    names: tuple[str, ...]
    settings: dict[str, Any]


def flag(*names: str, **settings: Any) -> Flag:
    """An argument as argparse takes it."""
    return Flag(names, settings)


class Verb(NamedTuple):
    """One row of the table."""

    meaning: str
    run: Callable[
        [Values, list[str]], Any
    ]  # (parsed flags, dotted overrides) -> Result, or None when printed
    flags: tuple[Flag, ...] = ()
    recipe: bool = False  # takes a RECIPE and dotted overrides
    optional: bool = False  # the RECIPE may be left out
    quick: bool = False  # answers at once, on stdout
    wide: bool = False  # all processes of a run do it together, else the first alone


def load(values: Values, overrides: list[str]) -> Any:
    """The recipe that a verb was given, with its overrides; where it was left out, that of defaults."""
    from tane.recipe import Recipe

    if values.recipe is None:
        return Recipe.from_mapping({}, *overrides, where="flags")
    return Recipe.load(values.recipe, *overrides)


def reading(values: Values) -> dict[str, Any]:
    """How a file is read, as READING's flags say."""
    names = ("column", "sheet", "split", "format", "quoting", "unit", "encoding")
    return {name: getattr(values, name) for name in names}


UNITS = ("sentence", "line", "paragraph", "record", "file")
FORMS = ("none", "nfc", "nfkc", "aozora")
MODEL = "a run, checkpoint, export, Hugging Face folder or hub id"
READING = (
    flag("--column", nargs="+", metavar="NAME", help="the column with the text, or several"),
    flag("--sheet", metavar="NAME", help="the sheet of a workbook"),
    flag("--split", metavar="NAME", help="the split of a saved or hub data set"),
    flag("--format", metavar="NAME", help="what the files are, where their names do not tell, such as tsv"),
    flag("--quoting", choices=("standard", "none"), help="of csv and tsv"),
    flag("--unit", choices=UNITS, help="what one document is"),
    flag("--encoding", default="auto", help="of the files; auto finds it"),
)
COMMON = (
    flag(
        "--json", action="store_true", help="print one JSON object as the last line on stdout, on errors too"
    ),
    flag("--quiet", action="store_true", help="no messages and no bars"),
    flag("--debug", action="store_true", help="show the traceback of an error"),
)
