"""`tane completion`: what a shell needs to complete verbs, flags and settings; written by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from tane.verbs.table import COMMON, Verb

FILES = {
    "RECIPE",
    "FILE",
    "MODEL",
    "RUN",
    "DIR",
    "PATH",
    "F",
    "TOKENIZER",
    "SPEC",
}  # names of a file or folder


def completion(shell: str, verbs: Mapping[str, Verb]) -> str:
    """The script of one of `verbs.SHELLS`, to be sourced in its start-up file."""
    import shtab

    return shtab.complete(_parser(verbs), shell)


def _parser(table: Mapping[str, Verb]) -> argparse.ArgumentParser:
    """All verbs in one parser, as shtab reads them; nothing is parsed by it."""
    parser = argparse.ArgumentParser(prog="tane", description="train language models on your own text")
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(metavar="VERB")
    groups: dict[str, Any] = {}
    settings = _settings()
    for name, verb in table.items():
        first, _, second = name.partition(" ")
        if second and first not in groups:
            groups[first] = verbs.add_parser(first, help=f"{first} ...").add_subparsers(metavar="VERB")
        made = (groups[first] if second else verbs).add_parser(second or first, help=_plain(verb.meaning))
        _add(made, verb, settings)
    return parser


def _add(parser: argparse.ArgumentParser, verb: Verb, settings: list[tuple[str, str]]) -> None:
    import shtab

    flags = [(item.names, dict(item.settings)) for item in (*verb.flags, *COMMON)]
    if verb.recipe:
        flags.insert(0, (("recipe",), {"metavar": "RECIPE", "nargs": "?"}))
        flags += [((f"--{name}",), {"metavar": "VALUE", "help": meaning}) for name, meaning in settings]
    for names, options in flags:
        if "help" in options:
            options["help"] = _plain(options["help"])
        action = parser.add_argument(*names, **options)
        if options.get("metavar") in FILES:
            vars(action)["complete"] = shtab.FILE  # where shtab looks for it


def _settings() -> list[tuple[str, str]]:
    """(dotted name, meaning) of every setting, each name once."""
    from tane.recipe import options

    return list({name: (name, _plain(meaning)) for name, _, _, meaning in options()}.values())


def _plain(text: str) -> str:
    """A text that no shell and no format of argparse reads as something else."""
    return "".join(c for c in text if c not in "%`$\"'\\[]{}()").replace(":", ",")
