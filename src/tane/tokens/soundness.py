"""Checks of tokenizer files that others wrote, before a library reads them.

A file that is damaged, contradicts itself, brings code or a pattern that never ends gives an InputError; a
panic of the Rust library below `tokenizers` is one too. Chat templates are text here and are never rendered.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tane.errors import InputError
from tane.tokens import charsmap

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")  # of special tokens
HOLES = 100_000  # ids without a piece that a vocabulary may have
TRIAL_SECONDS = 5.0  # for all patterns of a file; a sound one takes milliseconds
LAYERS, LABELS = 2_000, 1_000_000  # of a model, at most
_CLASS = re.compile(r"\w*Tokenizer(Fast)?|\w*Backend")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{\d*,)")  # only such a pattern may take exponential time
_TRIAL = """
import sys
from tokenizers import Regex, pre_tokenizers
for pattern in sys.argv[1:]:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    letters = sorted(set(pattern) | set("a0 !\\n\\u3042"))[:60]
    texts = [c * 40 + end for c in letters for end in ("", "!", "\\ue000")]
    texts += [(c + d) * 20 + "\\ue000" for c in letters[:20] for d in letters[:20]]
    for text in texts:
        split.pre_tokenize_str(text)
"""


def is_panic(error: BaseException) -> bool:
    """Whether an exception is a panic of a Rust library, which is no `Exception` to Python."""
    return type(error).__name__ == "PanicException"


def check_links(folder: Path) -> None:
    """Raise InputError where something in a folder is a link to a place outside it."""
    root = folder.resolve()
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not is_inside(path, root):
            raise InputError(f"{path} is a link to a place outside its folder", "put the file itself there")


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path lies in a folder, which is resolved; a snapshot of the hub has its files beside it."""
    base = root.parent.parent if root.parent.name == "snapshots" else root
    try:
        return path.resolve().is_relative_to(base)
    except (OSError, RuntimeError, ValueError):  # links in a circle; a name that no system takes
        return False


def read_object(path: Path, *, code: bool = False) -> dict[str, Any]:
    """The JSON object in a file. Raises InputError for anything else, and where one asks to run code.

    code: it may ask to, as a model's config.json, since nothing heeds it here.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_constant)
        if _HALF.search(text):  # half a character, which no text can hold: it could not be written again
            json.dumps(content, ensure_ascii=False).encode()
    except _Twins as error:
        raise InputError(f"{path}: {error} stands twice in one object", "one of the two must go") from None
    except (ValueError, RecursionError):
        raise InputError(
            f"{path} is not valid JSON: it is damaged or cut", "give the file as it was published"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(content).__name__}")
    if "auto_map" in content and not code:
        raise InputError(
            f"{path} asks to run code of its own (auto_map), which tane never does",
            "take a tokenizer that needs none",
        )
    return content


def read_model_config(path: Path) -> dict[str, Any]:
    """The config.json of a model. Raises InputError for one that asks for more than any memory holds.

    transformers reads it beside a tokenizer too, and makes a name for each label before anything else.
    """
    config = read_object(path, code=True)
    check_counts(str(path), config, "give the file as it was published")
    return config


def check_counts(where: str, config: dict[str, Any], remedy: str) -> None:
    """Raise InputError where a model's config asks for layers or labels without end."""
    for key, value in values(config):
        limit = LAYERS if "layer" in key else LABELS if key == "num_labels" else None
        if limit is not None and isinstance(value, int) and value > limit:
            raise InputError(f"{where}: {key} is {value:,}; expected at most {limit:,}", remedy)


def values(value: Any) -> Iterator[tuple[str, Any]]:
    """(key, value) of a JSON object and of all objects and lists in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from values(inner)


def _constant(name: str) -> float:
    """What JSON does not know, as Python reads it: some configurations hold Infinity, but none a NaN."""
    if name == "NaN":
        raise ValueError(name)
    return float(name)


class _Twins(Exception):
    """A key that an object has twice: which of the two counts differs between readers."""


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Twins(repr(next(key for key in keys if keys.count(key) > 1)))
    return found


def read_config(path: Path) -> dict[str, Any]:
    """A `tokenizer_config.json`, {} where there is none. Raises InputError for one that cannot be meant."""
    config = read_object(path) if path.exists() else {}
    name = config.get("tokenizer_class")
    if name is not None and not (isinstance(name, str) and _CLASS.fullmatch(name)):
        raise InputError(f"{path}: tokenizer_class is {name!r}, which is no tokenizer's class")
    for key, value in config.items():
        expected = _expected(key, value)
        if expected:
            raise InputError(
                f"{path}: expected {expected} for {key}, found {value!r:.80}",
                "give the file as it was published",
            )
    return config


def _expected(key: str, value: object) -> str:
    """What the value of a key of a tokenizer_config.json should be, "" where it may be what it is."""
    if value is None:
        return ""
    if key == "model_max_length":  # transformers writes 1e30 for none
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1
        return "" if good else "a number of tokens"
    if key.endswith("_token") and key.removesuffix("_token") in ROLES:
        token = value.get("content") if isinstance(value, dict) else value
        return "" if isinstance(token, str) else "a token"
    if key == "model_input_names":
        good = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return "" if good else "a list of names"
    if key in ("padding_side", "truncation_side"):
        return "" if value in ("left", "right") else "left or right"
    return ""


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, checked. Raises InputError."""
    from tokenizers import Tokenizer

    content = read_object(path)
    model = content.get("model")
    if not isinstance(model, dict):
        raise InputError(f"{path} has no model, so it is no tokenizer.json")
    check_vocabulary(path, model.get("vocab"))
    _check_merges(path, model)
    parts = [content.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder")]
    check_patterns(path, _values(parts, "Regex"))
    for text in _values(parts, "precompiled_charsmap"):
        _check_rules(path, text)
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        for added in content.get("added_tokens") or []:
            if tokenizer.token_to_id(added["content"]) != added["id"]:
                raise InputError(
                    f"{path}: the added token {added['content']!r} is said to have the id {added['id']}, "
                    "but has another one",
                    "give the file as it was published",
                )
        padding, truncation = tokenizer.padding, tokenizer.truncation
        tokenizer.no_padding()  # to how many tokens is anybody's choice
        tokenizer.encode("a あ\n1")
        if padding is not None:
            tokenizer.enable_padding(**padding)
        if truncation is not None:
            tokenizer.enable_truncation(**truncation)
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise unreadable(path, error) from None
    return tokenizer


def unreadable(path: Path, error: BaseException) -> InputError:
    """The error for a file at which a library failed, in the library's words."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return InputError(f"{path}: the tokenizer cannot be read: {lines[0][:300]}")


def check_vocabulary(path: Path, vocabulary: object) -> None:
    """Raise InputError where two pieces share an id or two ids a piece; what is no vocabulary passes."""
    if isinstance(vocabulary, dict):
        owners: dict[object, str] = {}
        for piece, number in vocabulary.items():
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise InputError(f"{path}: the id of the piece {piece!r} is {number!r}")
            if number in owners:
                raise InputError(f"{path}: the pieces {owners[number]!r} and {piece!r} share the id {number}")
            owners[number] = piece
        highest = max((number for number in owners if isinstance(number, int)), default=0)
        if highest > 2 * len(owners) + HOLES:  # the library goes through all numbers up to it
            raise InputError(
                f"{path}: the id {highest:,} is far above the count of the pieces, {len(owners):,}"
            )
    elif isinstance(vocabulary, list):
        check_pieces(path, (row[0] for row in vocabulary if isinstance(row, list) and row))


def check_pieces(path: Path, pieces: Iterable[object]) -> None:
    """Raise InputError where a list of pieces, whose ids are their places, has one of them twice."""
    places: dict[object, int] = {}
    for number, piece in enumerate(pieces):
        if not isinstance(piece, str):
            raise InputError(f"{path}: the piece with the id {number} is no text")
        if places.setdefault(piece, number) != number:
            raise InputError(f"{path}: the piece {piece!r} has two ids, {places[piece]} and {number}")


def _values(value: object, key: str) -> list[str]:
    """The texts under a key, wherever it stands in a JSON value, however deep."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found += [part[key]] if isinstance(part.get(key), str) else []
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


def _check_merges(path: Path, model: dict[str, Any]) -> None:
    """Raise InputError where the library would cut a character in two, which ends the process."""
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if not (isinstance(prefix, str) and prefix and isinstance(merges, list)):
        return
    for merge in merges:  # it takes as many bytes off the second part as the prefix has characters
        parts = merge.split(" ") if isinstance(merge, str) else merge
        second = parts[-1] if isinstance(parts, list) and parts else ""
        data = second.encode()[len(prefix) :] if isinstance(second, str) else b""
        if data[:1] and 0x80 <= data[0] < 0xC0:
            raise InputError(
                f"{path}: the merge {merge!r:.80} does not go on with the prefix {prefix!r:.20}",
                "give the file as it was published",
            )


def _check_rules(path: Path, text: str) -> None:
    try:
        charsmap.check(base64.b64decode(text, validate=True))
    except ValueError as error:  # UnreadableRules is one
        found = error if isinstance(error, charsmap.UnreadableRules) else charsmap.DAMAGED
        raise InputError(f"{path}: {found}", "give the file as it was published") from None


def check_patterns(path: Path, patterns: Iterable[str]) -> None:
    """Raise InputError where a regular expression takes too long on short texts that are made to that end.

    Tried in a process of its own, and only where a group repeats, without which no time is exponential.
    """
    risky = [pattern for pattern in patterns if _REPEATED_GROUP.search(pattern) and "\0" not in pattern]
    if not risky:
        return
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRIAL, *risky], capture_output=True, timeout=TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pass
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    else:
        if not tried.returncode:
            return
    raise InputError(
        f"{path}: a regular expression in it is invalid or backtracks for ever: {risky[0][:80]!r}",
        "take another tokenizer; this one would stop on some texts",
    )
