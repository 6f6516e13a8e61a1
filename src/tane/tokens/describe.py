"""What a tokenizer is: its kind, its normaliser, its special tokens, and its pieces as people read them.

A vocabulary spells its pieces in a code of its own: byte-level BPE writes each byte as some letter, WordPiece
puts ## before what goes on with a word, SentencePiece writes a space as ▁ and a byte as <0xE3>. `Spelling`
reads all of these.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from functools import cache, cached_property
from typing import Any

import numpy as np

from tane.text import japanese

SPACE = "▁"
STAND_IN = "\ufdd0"  # no character, so in no text: for a ▁ of the text itself, while ▁ means a space
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
LONGEST = 10  # of the longest pieces that are listed
SPECIAL, BYTES, MIXED, BLANK = "special", "bytes", "several scripts", "space"


class Spelling:
    """How a transformers tokenizer spells pieces, and what it does to a text before it is cut.

    kind: of its model, such as Unigram, or its class where it is no tokenizer of the library `tokenizers`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        self.parts: dict[str, Any] = json.loads(self.backend.to_str()) if self.backend is not None else {}
        model = self.parts.get("model") or {}
        self.kind = model.get("type") or type(tokenizer).__name__
        steps = {step["type"] for part in ("decoder", "pre_tokenizer") for step in self._steps(part)}
        self.byte_level = "ByteLevel" in steps
        self.byte_fallback = bool(model.get("byte_fallback")) and any(map(BYTE.fullmatch, self.pieces))
        self.prefix: str = model.get("continuing_subword_prefix") or ("" if self.parts else "##")
        self.suffix: str = model.get("end_of_word_suffix") or ""
        coded = [self.parts.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")]
        self.spaces = SPACE in json.dumps(coded, ensure_ascii=False)
        self.special = frozenset(tokenizer.all_special_ids)

    def _steps(self, part: str) -> list[dict[str, Any]]:
        """The steps of a part: those of its sequences, or its only one."""
        found, waiting = [], [self.parts.get(part)]
        while waiting:
            step = waiting.pop(0)
            if step and step["type"] == "Sequence":
                waiting = [*next(v for k, v in step.items() if k != "type"), *waiting]
            elif step:
                found.append(step)
        return found

    @cached_property
    def pieces(self) -> list[str]:
        """Every piece as the vocabulary spells it, by id; "" for an id without one."""
        found = [""] * len(self.tokenizer)
        for piece, number in self.tokenizer.get_vocab().items():
            if number < len(found):
                found[number] = piece
        return found

    @cached_property
    def byte_pieces(self) -> np.ndarray:
        """Which pieces (V,) bool are only bytes: a byte that stands for what has no piece, or a part of a
        character."""
        return np.array([self.text(number) is None for number in range(len(self.pieces))], dtype=bool)

    def text(self, number: int) -> str | None:
        """The text of a piece, spaces as spaces; None where it is bytes that make no whole character."""
        piece = self.pieces[number]
        if number in self.special:
            return piece
        if self.byte_level:
            try:
                return bytes(_letters()[letter] for letter in piece).decode()
            except KeyError:  # a piece that was added by hand is spelled as it is
                return piece
            except UnicodeDecodeError:
                return None
        if self.byte_fallback and BYTE.fullmatch(piece):
            return None
        if self.prefix and piece.startswith(self.prefix) and piece != self.prefix:
            piece = piece[len(self.prefix) :]
        if self.suffix:
            piece = piece.removesuffix(self.suffix)
        return piece.replace(SPACE, " ") if self.spaces else piece

    def shown(self, number: int) -> str:
        """A piece for the person: its text with ▁ for spaces, or its bytes as <E3 81>."""
        text = self.text(number)
        if text is not None:
            return text.replace(" ", SPACE)
        piece = self.pieces[number]
        found = BYTE.fullmatch(piece)
        code = bytes([int(found[1], 16)]) if found else bytes(_letters()[letter] for letter in piece)
        return f"<{code.hex(' ').upper()}>"

    def normalized(self, text: str) -> str:
        """The text as the tokenizer's own normaliser leaves it, spaces as spaces, none put before it."""
        if self.backend is None:
            words = getattr(self.tokenizer, "word_tokenizer", None)
            text = unicodedata.normalize("NFKC", text) if getattr(words, "normalize_text", False) else text
            return text.lower() if getattr(words, "do_lower_case", False) else text
        if self.backend.normalizer is None:
            return text
        if not any(SPACE in str(step) for step in self._steps("normalizer")):
            return self.backend.normalizer.normalize_str(text)
        after = self.backend.normalizer.normalize_str(text.replace(SPACE, STAND_IN))
        if any(step["type"] == "Prepend" for step in self._steps("normalizer")):
            after = after[1:]  # of an empty text nothing
        return after.replace(SPACE, " ").replace(STAND_IN, SPACE)

    @property
    def normalizer(self) -> str:
        """The normaliser in words; "none" where there is none."""
        if self.backend is not None:
            return _words(self._steps("normalizer"))
        words = getattr(self.tokenizer, "word_tokenizer", None)
        found = ["NFKC"] * bool(getattr(words, "normalize_text", False))
        found += ["lower case"] * bool(getattr(words, "do_lower_case", False))
        return ", ".join(found) or "none"

    @property
    def pre_tokenizer(self) -> str:
        """What parts a text into words before the model does its work, in words."""
        if self.backend is not None:
            return _words(self._steps("pre_tokenizer"))
        words = str(getattr(self.tokenizer, "word_tokenizer_type", "unknown"))
        more = [getattr(self.tokenizer, name, None) for name in ("mecab_kwargs", "sudachi_kwargs")]
        told = [str(value) for options in more if options for value in options.values() if value]
        then = getattr(self.tokenizer, "subword_tokenizer_type", None)
        return f"{words}{' (' + ', '.join(told) + ')' if told else ''}{f', then {then}' if then else ''}"


def describe(tokenizer: Any) -> dict[str, Any]:
    """kind, class, vocabulary (pieces), special_tokens [{token, id, roles}], normalizer, pre_tokenizer,
    byte_pieces, longest (pieces, spaces as ▁), scripts: script -> share of the pieces."""
    spelling = Spelling(tokenizer)
    counts: Counter[str] = Counter()
    texts: list[str] = []
    for number in range(len(spelling.pieces)):
        text = spelling.text(number)
        if number in spelling.special:
            counts[SPECIAL] += 1
        elif text is None:
            counts[BYTES] += 1
        else:
            counts[_script(text)] += 1
            texts.append(text)
    longest = sorted(texts, key=lambda text: (-len(text.strip()), text))[:LONGEST]
    total = len(spelling.pieces)
    return {
        "kind": spelling.kind,
        "class": type(tokenizer).__name__,
        "vocabulary": total,
        "special_tokens": _special(tokenizer),
        "normalizer": spelling.normalizer,
        "pre_tokenizer": spelling.pre_tokenizer,
        "byte_level": spelling.byte_level,
        "byte_fallback": spelling.byte_fallback,
        "longest": [text.replace(" ", SPACE) for text in longest],
        "scripts": {name: count / total for name, count in counts.most_common()},
    }


def _special(tokenizer: Any) -> list[dict[str, Any]]:
    """The special tokens by id, each with what it serves as, such as eos and pad."""
    roles: dict[str, list[str]] = {}
    for role, value in tokenizer.special_tokens_map.items():
        if isinstance(value, str):
            roles.setdefault(value, []).append(role.removesuffix("_token"))
    found = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return [
        {"token": str(token), "id": int(number), "roles": roles.get(str(token), [])}
        for token, number in sorted(found, key=lambda pair: pair[1])
    ]


def _script(text: str) -> str:
    """The script of a piece; spaces do not count beside other characters."""
    found = {_kind(char) for char in text} - {BLANK}
    return found.pop() if len(found) == 1 else MIXED if found else BLANK


@cache
def _kind(char: str) -> str:
    found = japanese.kind(char)
    return japanese.COARSE.get(found, found)


def _words(steps: list[dict[str, Any]]) -> str:
    """The steps of a normaliser or pre-tokenizer in words; regular expressions are only counted."""
    told: list[str] = []
    patterns = 0
    for step in steps:
        name = "SentencePiece's table" if step["type"] == "Precompiled" else step["type"]
        texts = [*step.get("pattern", {}).values(), step.get("content"), step.get("prepend")]
        texts = [text for text in texts if text is not None]
        if "Regex" in step.get("pattern", {}) or not all(map(str.isprintable, texts)):
            patterns += 1
            continue
        on = [key.replace("_", " ") for key, value in step.items() if value is True]
        told.append(" ".join([name, *map(repr, texts)]) + (f" ({', '.join(on)})" if on else ""))
    if patterns:
        told.append(f"{patterns} pattern{'s' if patterns > 1 else ''}")
    return ", ".join(told) or "none"


@cache
def _letters() -> dict[str, int]:
    """Byte-level BPE's letter of each byte: itself where it is visible in Latin-1, else one from 256 on."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(b): b for b in visible} | {chr(256 + number): b for number, b in enumerate(others)}
