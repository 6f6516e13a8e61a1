"""Japanese words by MeCab or Sudachi, as BertJapaneseTokenizer of transformers cuts them.

Text is brought to NFKC first; white space parts words and is dropped, and so is NUL, at which MeCab would
stop. MeCab keeps its lattice, about 800 bytes a character, at the size of the longest text it saw, and
Sudachi takes 49,149 bytes at most: longer texts are cut at the end of a line or sentence.

Where words stand in a text is found on the text as it is, so that the places fit: there without NFKC, and
also by the scripts alone, which need no dictionary.
"""

from __future__ import annotations

import importlib
import importlib.util
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tane.errors import InputError
from tane.text import japanese
from tane.text.chartable import CharTable, codepoints
from tane.text.split import pieces

if TYPE_CHECKING:
    import numpy as np

MECAB = {"ipadic": "ipadic", "unidic-lite": "unidic_lite"}  # dictionary -> the package that holds it
SUDACHI = ("core", "small", "full")  # packages sudachidict_*; the first that is installed is taken
MECAB_LONGEST = 10_000  # characters handed to MeCab at once
SUDACHI_LONGEST = 12_000  # the same for Sudachi: 48,000 bytes at most
SCRIPT = "script"  # words that begin where the script changes
SCRIPT_VERSION = 1  # of the rule for them
MARKS = frozenset("ー々ゝゞヽヾ〻〱〲〳〴〵゛゜ｰﾞﾟ")  # they go on with what stands before them


class Segmenter(Protocol):
    """Cuts text into words."""

    def words(self, text: str) -> list[str]:
        """The words of a text in order, in NFKC, without white space."""
        ...

    def inside(self, text: str) -> np.ndarray:
        """Of each character of a text as it is, whether it stands in a word and is not its first (N,)
        bool."""
        ...


def segmenter(dictionary: str) -> Segmenter:
    """The segmenter of "ipadic", "unidic-lite", "sudachi" or "sudachi-core", "-small", "-full".

    Raises InputError where its package is not installed. It cannot be sent to another process.
    """
    if dictionary in MECAB:
        fugashi, folder = _package(dictionary, "fugashi"), _package(dictionary, MECAB[dictionary]).DICDIR
        return _Mecab(_tagger(fugashi, folder))
    return _Sudachi(sudachi_type(dictionary))


def insides(dictionary: str) -> Callable[[str], np.ndarray]:
    """`inside` of a dictionary's segmenter, or by changes of script for "script".

    Raises InputError where its package is not installed. It cannot be sent to another process.
    """
    return inside_scripts if dictionary == SCRIPT else segmenter(dictionary).inside


def sudachi_type(dictionary: str) -> str:
    """Which of Sudachi's dictionaries a name stands for: the one it says, or the first that is installed."""
    _, _, wanted = dictionary.partition("-")
    choices = (wanted,) if wanted else SUDACHI
    for choice in choices:
        if importlib.util.find_spec(f"sudachidict_{choice}") is not None:
            return choice
    raise _missing(dictionary, f"pip install sudachipy sudachidict-{choices[0]}")


def version(dictionary: str) -> str:
    """The installed segmenter and dictionary with their versions: other ones may cut other words.

    Raises InputError where one of the two is not installed.
    """
    if dictionary == SCRIPT:
        return f"{SCRIPT} {SCRIPT_VERSION}, Unicode {unicodedata.unidata_version}"
    if dictionary in MECAB:
        return f"{_installed(dictionary, 'fugashi')}, {_installed(dictionary, dictionary)}"
    name = f"sudachidict-{sudachi_type(dictionary)}"
    return f"{_installed(dictionary, 'sudachipy')}, {_installed(dictionary, name)}"


def _installed(dictionary: str, package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        raise _missing(dictionary, f"pip install {package}") from None


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


@cache  # one a process: MeCab does not give back the 2 MB that each one takes
def _tagger(fugashi: Any, folder: str) -> Any:
    # -Owakati alone writes no features, so the tagger must be the generic one
    return fugashi.GenericTagger(f'-Owakati -d "{folder}" -r "{folder}/mecabrc"')


class _Mecab:
    def __init__(self, tagger: Any) -> None:
        self.tagger = tagger

    def words(self, text: str) -> list[str]:
        return self._cut(unicodedata.normalize("NFKC", text))

    def inside(self, text: str) -> np.ndarray:
        return _inside(text, self._cut(text))

    def _cut(self, text: str) -> list[str]:
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
        return self._cut(unicodedata.normalize("NFKC", text))

    def inside(self, text: str) -> np.ndarray:
        return _inside(text, self._cut(text))

    def _cut(self, text: str) -> list[str]:
        found: list[str] = []
        for piece in pieces(text.replace("\0", " "), SUDACHI_LONGEST):
            for morpheme in self.tokenizer.tokenize(piece):
                found += morpheme.surface().split()
        return found


# ------------------------------------------------------------------------------------ where words stand


@cache
def _blanks() -> Callable[[np.ndarray], np.ndarray]:
    """Whether characters, given as code points, part words: white space and NUL."""
    return CharTable(lambda char: char.isspace() or char == "\0")


def _inside(text: str, words: list[str]) -> np.ndarray:
    """Where the words of a text, which are all of it but its blanks, go on (N,) bool."""
    import numpy as np

    visible = _blanks()(codepoints(text)) == 0
    ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
    if visible.sum() != ends[-1:].sum():
        raise RuntimeError(f"words are not those of their text: {text[:80]!r}")
    goes_on = np.ones(int(visible.sum()), dtype=bool)
    goes_on[:1] = False
    goes_on[ends[:-1]] = False
    found = np.zeros(len(text), dtype=bool)
    found[visible] = goes_on
    return found


@cache
def _following() -> Callable[[np.ndarray], np.ndarray]:
    """Whether characters, given as code points, belong to the one before them: marks and joiners."""
    return CharTable(lambda char: char in MARKS or unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf"))


def inside_scripts(text: str) -> np.ndarray:
    """Where words by the scripts go on (N,) bool: a word begins where the script changes.

    But hiragana goes on with the kanji before it (okurigana and particles), and marks of length, repetition
    and voice with whatever they follow. Each punctuation mark and symbol is a word of its own.
    """
    import numpy as np

    codes = codepoints(text)
    if not len(codes):
        return np.zeros(0, dtype=bool)
    kinds = japanese.kinds(codes)
    blank = _blanks()(codes) == 1
    follows = _following()(codes) == 1
    follows[0] = False
    follows[1:] &= ~blank[:-1]
    follows &= ~blank
    # what follows takes the kind of the last character that does not
    kinds = kinds[np.maximum.accumulate(np.where(follows, 0, np.arange(len(codes))))]
    hiragana, kanji, *single = map(
        japanese.KINDS.index, ("hiragana", "kanji", "punctuation", "japanese punctuation", "symbols")
    )
    same = (kinds[1:] == kinds[:-1]) | ((kinds[1:] == hiragana) & (kinds[:-1] == kanji))
    found = np.zeros(len(codes), dtype=bool)
    found[1:] = same & ~np.isin(kinds[1:], single) & ~blank[1:] & ~blank[:-1]
    return found | follows
