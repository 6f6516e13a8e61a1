"""Japanese words by MeCab or Sudachi, as BertJapaneseTokenizer of transformers cuts them.

Text is brought to NFKC first; white space parts words and is dropped, and so is NUL, at which MeCab would
stop. MeCab keeps its lattice, about 800 bytes a character, at the size of the longest text it saw, and
Sudachi takes 49,149 bytes at most: longer texts are cut at the end of a line or sentence.
"""

from __future__ import annotations

import importlib
import importlib.util
import unicodedata
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from tane.errors import InputError
from tane.text.split import pieces

MECAB = {"ipadic": "ipadic", "unidic-lite": "unidic_lite"}  # dictionary -> the package that holds it
SUDACHI = ("core", "small", "full")  # packages sudachidict_*; the first that is installed is taken
MECAB_LONGEST = 10_000  # characters handed to MeCab at once
SUDACHI_LONGEST = 12_000  # the same for Sudachi: 48,000 bytes at most


class Segmenter(Protocol):
    """Cuts text into words."""

    def words(self, text: str) -> list[str]:
        """The words of a text in order, in NFKC, without white space."""
        ...


def segmenter(dictionary: str) -> Segmenter:
    """The segmenter of "ipadic", "unidic-lite", "sudachi" or "sudachi-core", "-small", "-full".

    Raises InputError where its package is not installed. It cannot be sent to another process.
    """
    if dictionary in MECAB:
        return _Mecab(dictionary)
    return _Sudachi(sudachi_type(dictionary))


def sudachi_type(dictionary: str) -> str:
    """Which of Sudachi's dictionaries a name stands for: the one it says, or the first that is installed."""
    _, _, wanted = dictionary.partition("-")
    choices = (wanted,) if wanted else SUDACHI
    for choice in choices:
        if importlib.util.find_spec(f"sudachidict_{choice}") is not None:
            return choice
    raise _missing(dictionary, f"pip install sudachipy sudachidict-{choices[0]}")


def version(dictionary: str) -> str:
    """The installed segmenter and dictionary with their versions: other ones may cut other words."""
    if dictionary in MECAB:
        return f"fugashi {metadata.version('fugashi')}, {dictionary} {metadata.version(MECAB[dictionary])}"
    name = f"sudachidict-{sudachi_type(dictionary)}"
    return f"sudachipy {metadata.version('sudachipy')}, {name} {metadata.version(name)}"


def mapped_bytes(dictionary: str) -> int:
    """Bytes of the dictionary's files, which are mapped into the memory of each process that uses it."""
    if dictionary in MECAB:
        folder = Path(_package(dictionary, MECAB[dictionary]).DICDIR)
    else:
        kind = sudachi_type(dictionary)
        folder = Path(_package(dictionary, f"sudachidict_{kind}").__path__[0]) / "resources"
    return sum(p.stat().st_size for p in folder.iterdir() if p.suffix in (".dic", ".bin"))


def _missing(dictionary: str, remedy: str) -> InputError:
    return InputError(f"the words of {dictionary} need a package that is not installed", remedy)


def _package(dictionary: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing(dictionary, f"pip install {name.replace('_', '-')}") from None


class _Mecab:
    def __init__(self, dictionary: str) -> None:
        fugashi = _package(dictionary, "fugashi")
        folder = _package(dictionary, MECAB[dictionary]).DICDIR
        # -Owakati alone writes no features, so the tagger must be the generic one
        self.tagger = fugashi.GenericTagger(f'-Owakati -d "{folder}" -r "{folder}/mecabrc"')

    def words(self, text: str) -> list[str]:
        text = unicodedata.normalize("NFKC", text)
        if "\0" in text:
            text = text.replace("\0", " ")
        if len(text) <= MECAB_LONGEST:
            return self.tagger.parse(text).split()
        return [word for piece in pieces(text, MECAB_LONGEST) for word in self.tagger.parse(piece).split()]


class _Sudachi:
    def __init__(self, kind: str) -> None:
        dictionary = _package("sudachi", "sudachipy").Dictionary(dict=kind)
        mode = importlib.import_module("sudachipy").SplitMode.A
        # `tokenizer` since 0.7, `create` before
        self.tokenizer = getattr(dictionary, "tokenizer", None) or dictionary.create
        self.tokenizer = self.tokenizer(mode)

    def words(self, text: str) -> list[str]:
        text = unicodedata.normalize("NFKC", text).replace("\0", " ")
        found: list[str] = []
        for piece in pieces(text, SUDACHI_LONGEST):
            for morpheme in self.tokenizer.tokenize(piece):
                found += morpheme.surface().split()
        return found
