"""The command line: take the arguments apart, call the verb (verbs.py), print its Result or its error."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import tane
from tane.errors import InputError, Interrupted, TaneError
from tane.verbs import COMMON, VERBS, Values, Verb

NARROWEST, WIDEST = 40, 110  # columns of a page of help


def usage() -> str:
    """What `tane --help` prints; meanings are folded where the terminal is narrow."""
    columns = max(NARROWEST, shutil.get_terminal_size((WIDEST, 0)).columns)
    rows = "\n".join(
        textwrap.fill(verb.meaning, columns, initial_indent=f"  {name:<19}", subsequent_indent=" " * 21)
        for name, verb in VERBS.items()
    )
    return f"""tane {tane.__version__}: train language models on your own text, Japanese first

usage: tane VERB ... [--json] [--quiet] [--debug]

{rows}

tane VERB --help tells the flags of one verb. Settings of a recipe are flags too: --train.duration "2 epochs".
Exit codes: 0 done, 1 unforeseen, 2 bad input or settings, 3 disk, memory or rights, 4 damaged or stale,
5 in use by another run, 6 diverged, 75 stopped and can go on, 130 interrupted with nothing to resume."""


def parse(arguments: list[str]) -> tuple[Verb, Values, list[str]]:
    """(verb, its flags, dotted overrides). Raises InputError for what is not understood."""
    name, rest = arguments[0], arguments[1:]
    second = [known.partition(" ")[2] for known in VERBS if known.startswith(f"{name} ")]
    if second:  # a verb of two words
        if not rest or rest[0] not in second:
            raise InputError(f"tane {' '.join(arguments[:2])}: expected one of {', '.join(second)}",
                             f"see: tane {name} {second[0]} --help")  # fmt: skip
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name not in VERBS:
        import difflib

        near = difflib.get_close_matches(name, VERBS, 1)
        raise InputError(
            f"unknown verb {name!r}", f"did you mean: tane {near[0]}" if near else "see: tane --help"
        )
    verb = VERBS[name]
    parser = _Parser(prog=f"tane {name}", description=verb.meaning, allow_abbrev=False)
    if verb.recipe:
        parser.add_argument(
            "recipe", metavar="RECIPE", nargs="?" if verb.optional else None,
            help="a YAML file; its settings are flags too (tane options)",
        )  # fmt: skip
        rest, overrides = split_overrides(rest, {n for f in (*verb.flags, *COMMON) for n in f.names})
    else:
        overrides = []
    for item in (*verb.flags, *COMMON):
        parser.add_argument(*item.names, **item.settings)
    parser.words = rest
    return verb, parser.parse_args(rest), overrides


class _Parser(argparse.ArgumentParser):
    """Words such as -3度 are texts, not flags; errors are InputErrors."""

    words: Sequence[str] = ()  # what is parsed, for its errors

    def _parse_optional(self, arg_string: str) -> Any:
        """None for a word that is no flag: also for one whose only dash stands before no letter of ASCII."""
        return None if re.match("-[^-A-Za-z]", arg_string) else super()._parse_optional(arg_string)

    def error(self, message: str) -> Any:
        hint = f"see: {self.prog} --help"
        if "required: RECIPE" in message:  # a flag before it may have taken it for one of its values
            hint = f"write it first: {self.prog} RECIPE --FLAGS"
        elif lacking := re.match(r"argument (--[\w-]+).*: expected (at least )?one argument", message):
            after = [b for a, b in pairwise(self.words) if a == lacking[1] and b.startswith("-")]
            if after and after[0].partition("=")[0] not in self._option_string_actions:
                hint = f"a value that begins with a dash follows an equals sign: '{lacking[1]}={after[0]}'"
        elif "required: TEXT" in message and any(w[:1] == "-" and w[1:2] != "-" for w in self.words):
            hint = f"a text that begins with a dash follows a bare -- at the end: {self.prog} MODEL -- '-...'"
        raise InputError(f"{self.prog}: {message}", hint)


ROOTS = ("--run-dir", "--data-dir", "--seed")


def split_overrides(arguments: list[str], own: set[str]) -> tuple[list[str], list[str]]:
    """Take settings such as `--train.duration "2 epochs"` or `--corpus.inputs a b` out of a verb's
    arguments."""
    rest: list[str] = []
    overrides: list[str] = []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        key = name.replace("_", "-")
        if key in own:
            rest.append(f"{key}{equals}{value}")
            continue
        if not word.startswith("--") or key in ("--help", "--version"):
            rest.append(word)
            continue
        if "." not in name and key not in ROOTS:
            raise InputError(f"unknown flag {name}", "flags of the verb: --help; settings: tane options")
        found = [value] if equals else []
        several = "." in name  # only settings inside a section take several values
        while not equals and queue and not queue[0].startswith("--") and (several or not found):
            found.append(queue.pop(0))
        if not found:
            raise InputError(f"{name} has no value", f"write {name} VALUE")
        dotted = name[2:].replace("-", "_")
        text = found[0] if len(found) == 1 else f"[{', '.join(map(_item, found))}]"
        overrides.append(f"{dotted}={text}")
    return rest, overrides


def _item(value: str) -> str:
    """One of several values, as YAML: a mapping as it is written, all else as text."""
    mapping = value.startswith("{") and value.endswith("}")
    return value if mapping else json.dumps(value, ensure_ascii=False)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if "--version" in arguments:
        print(f"tane {tane.__version__}")
        return 0
    as_json, debug = "--json" in arguments, "--debug" in arguments
    _speakable()
    try:
        with _terminable():
            return _run(arguments)
    except KeyboardInterrupt:
        error: TaneError = Interrupted("interrupted; what was saved before is as it was")
    except TaneError as found:
        from tane.resources import short_of_handles

        error = short_of_handles(found) or found
        if error is not found:
            error.__cause__ = found  # for --debug
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - so that the interpreter's last flush is silent
        return 0
    except Exception as found:
        from tane.resources import foreseen

        error = foreseen(found) or _unforeseen(found)
        error.__cause__ = found  # for --debug
    if debug:
        import traceback

        traceback.print_exception(error)
    if not error.silent:
        print(f"tane: {error}", file=sys.stderr, flush=True)
    if as_json and not error.silent:
        _print_json({**error.result, "error": str(error), "code": error.code})
    return error.code


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, also where no stage catches both to save first."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name that is no UTF-8, or a terminal that cannot show Japanese
        text = json.dumps(value, allow_nan=False)
    print(text, flush=True)


def _speakable() -> None:
    """What the console's encoding lacks (a Japanese Windows console speaks cp932) is spelled, not fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and (stream.encoding or "").lower() != "utf-8":
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    verb, values, overrides = parse(arguments)
    if sys.stderr.isatty() and not (values.quiet or verb.quick):  # what follows takes seconds to begin
        print(f"tane {tane.__version__}: {verb.meaning}", file=sys.stderr, flush=True)
    from tane import progress, ranks

    try:
        world = ranks.of_environment()
    except InputError:
        if verb.wide:
            raise
        world = ranks.World()
    if not world.leads and not verb.wide:
        return 0  # the first process does it
    with progress.silenced(values.quiet or not world.leads):
        result = verb.run(values, overrides)
    if values.json and result is not None and world.leads:
        _print_json(result.json())
    return 0


def _unforeseen(error: Exception) -> TaneError:
    """Write the traceback to a file; the message names it."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="tane-error-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        where = f"the details are in {file.name}"
    except OSError:
        where = "run again with --debug to see the details"
    return TaneError(f"unforeseen error: {type(error).__name__}: {error}", where)


if __name__ == "__main__":
    sys.exit(main())
