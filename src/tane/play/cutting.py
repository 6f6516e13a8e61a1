"""Texts taken apart for the eye: into tokens with their borders, and into words that one may click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.text.words import SCRIPT, insides
from tane.tokens.describe import Spelling
from tane.tokens.encoder import Encoder
from tane.use.fill import mask_pattern
from tane.use.predict import dictionary_of


class Cutter:
    """A model's tokenizer, and the words of its dictionary (else those of ipadic, or of the scripts).

    tokenizer: that of a masked model, whose masks are found in texts. pieces: how many the tokenizer has.
    """

    def __init__(self, folder: Path, tokenizer: Any = None) -> None:
        self.encoder = Encoder(folder)
        self.pieces = self.encoder.vocab_size
        self.spelling = Spelling(self.encoder.tokenizer)
        self.masks = mask_pattern(tokenizer) if tokenizer is not None and tokenizer.mask_token else None
        try:
            self.inside = insides(dictionary_of(self.encoder.tokenizer))
        except InputError:  # the dictionary is not installed
            self.inside = insides(SCRIPT)

    def tokens(self, text: str) -> list[dict[str, Any]]:
        """The tokens of a text, special ones not added: {id, piece: as it is read, starts: a word}."""
        if not text:
            return []
        ids, starts = self.encoder.encode_words([text], self.inside)[0]
        return [
            {"id": number, "piece": self.spelling.shown(number), "starts": start}
            for number, start in zip(ids.tolist(), starts.tolist(), strict=True)
        ]

    def parts(self, text: str) -> list[dict[str, str]]:
        """A text in parts that make it up: {text, kind: "word", "space" or "mask"}."""
        found: list[dict[str, str]] = []
        place = 0
        for mask in self.masks.finditer(text) if self.masks else ():
            found += [*self._words(text[place : mask.start()]), {"text": mask[0], "kind": "mask"}]
            place = mask.end()
        return found + self._words(text[place:])

    def _words(self, text: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for char, goes_on in zip(text, self.inside(text).tolist() if text else (), strict=True):
            kind = "space" if char.isspace() or char == "\0" else "word"
            if found and (goes_on or (kind == "space" and found[-1]["kind"] == "space")):
                found[-1]["text"] += char
            else:
                found.append({"text": char, "kind": kind})
        return found
