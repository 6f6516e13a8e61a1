"""The ways from texts to ids: each reads a folder by lighter or heavier means, and gives the same ids.

A folder is read by the lightest that gives its ids exactly: `tokenizer.json` by `tokenizers` alone,
BertJapaneseTokenizer's words by MeCab or Sudachi and a table, and only what is neither by transformers, whose
import alone takes 240 MB of memory and some seconds.
"""

from __future__ import annotations

import os
import re
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tane import hub
from tane.errors import InputError
from tane.text import words
from tane.tokens import bare, places, soundness, taken
from tane.tokens.places import Backend, Inside

CACHE = 200_000  # words whose ids are remembered; 40 MB
LONGEST_WORD = 100  # characters; BertJapaneseTokenizer takes longer words as unknown
ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")
MORE = ("extra_special_tokens", "additional_special_tokens")
FAST = ("PreTrainedTokenizerFast", "TokenizersBackend")  # classes that are their tokenizer.json
# keys of tokenizer_config.json that change no ids, as long as its special tokens are the file's own
HARMLESS = {
    "tokenizer_class", "split_special_tokens", "clean_up_tokenization_spaces", "model_max_length", "backend",
    "padding_side", "truncation_side", "model_input_names", "is_local", "local_files_only", "name_or_path",
    "chat_template", "max_length", "pad_to_multiple_of", "stride", "truncation_strategy", "pad_token_type_id",
}  # fmt: skip
WORD_KEYS = {
    "do_lower_case", "do_word_tokenize", "do_subword_tokenize", "word_tokenizer_type",
    "subword_tokenizer_type", "never_split", "mecab_kwargs", "sudachi_kwargs", "jumanpp_kwargs", "spm_file",
}  # fmt: skip
# above this, transformers looks for a fault of some old tokenizers and mends it
MOST_PIECES = 100_000


class Road(Protocol):
    """One way from texts to ids.

    specials: the roles' token ids, None where the folder has none; special_ids: all special ids, rising;
    word_table: of each id whether it starts a word (V,) bool, where the tokenizer cuts words itself; plain:
    the folder whose tokenizer.json alone decides on ids, None where more does.
    """

    parallel: bool
    plain: Path | None
    vocab_size: int
    specials: dict[str, int | None]
    special_ids: tuple[int, ...]
    word_table: np.ndarray | None

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """Ids (n,) int64 of each text."""
        ...

    def encode_words(self, texts: list[str], inside: Inside) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same ids, and which of them start a word (n,) bool."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of ids without special tokens."""
        ...

    def token(self, number: int) -> str:
        """The spelling of an id."""
        ...


def open_road(name: str | os.PathLike[str]) -> Road:
    """The lightest road of a tokenizer, given as a folder or hub id. Raises InputError for a faulty one."""
    folder = hub.local_folder(name, "the tokenizer")
    if not (folder / "tokenizer_config.json").exists():
        folder = folder / "model"  # of a run
    if folder.is_dir():
        soundness.check_links(folder)
    config = soundness.read_config(folder / "tokenizer_config.json")
    try:
        light = _Json.open(folder, config) or _Words.open(folder, config)
    except (AttributeError, KeyError, TypeError):  # at values of types that no configuration has
        light = None
    return light or _Transformers(taken.load(name))  # which also says what is wrong with a folder


def _named(config: dict[str, Any]) -> dict[str, str | None]:
    """The spellings of the special tokens that a configuration names, by role."""
    found = {}
    for role in ROLES:
        token = config.get(f"{role}_token")
        found[role] = token["content"] if isinstance(token, dict) else token
    return found


def _id(vocabulary: dict[str, int], token: str | None) -> int | None:
    return None if token is None else vocabulary.get(token)


def _more(config: dict[str, Any]) -> list[str]:
    """The special tokens without a role that a configuration names."""
    found = [token for key in MORE for token in config.get(key) or []]
    return [token["content"] if isinstance(token, dict) else token for token in found]


def _unusual(config: dict[str, Any]) -> set[str]:
    """The keys of a configuration that may change ids, if its special tokens are known to the tokenizer."""
    keys = config.keys() - HARMLESS - {f"{role}_token" for role in ROLES} - {*MORE}
    added = config.get("added_tokens_decoder") or {}
    if {token["content"] for token in added.values()} <= {*_named(config).values(), *_more(config)}:
        keys -= {"added_tokens_decoder"}
    return keys


# ------------------------------------------------------------------------------------------- tokenizer.json


class _Json:
    """A tokenizer.json by the `tokenizers` library alone."""

    parallel = True
    word_table: np.ndarray | None = None

    def __init__(self, folder: Path, backend: Any, specials: dict[str, int | None]) -> None:
        self.plain: Path | None = folder
        self.backend, self.specials = Backend(backend), specials
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)
        added = {i: t.content for i, t in backend.get_added_tokens_decoder().items() if t.special}
        self.special_ids = tuple(sorted(added))
        never = {i: text for i, text in added.items() if i != specials["unk"]}
        self.never = np.array(sorted(never), dtype=np.int64)
        long = sorted((text for text in never.values() if len(text) > 1), key=len, reverse=True)
        self.spelled = re.compile("|".join(map(re.escape, long))) if long else None

    @classmethod
    def open(cls, folder: Path, config: dict[str, Any]) -> _Json | None:
        """The road of a folder whose tokenizer.json is all that decides on ids; else None."""
        path = folder / "tokenizer.json"
        if config.get("tokenizer_class") not in FAST or _unusual(config) or not path.is_file():
            return None
        backend = soundness.open_tokenizer(path)
        special = {t.content: i for i, t in backend.get_added_tokens_decoder().items() if t.special}
        tokens = _named(config)
        if {*tokens.values(), *_more(config)} - {None} - special.keys():
            return None  # transformers would add one
        if backend.get_vocab_size() > MOST_PIECES:
            return None
        return cls(folder, backend, {role: _id(special, token) for role, token in tokens.items()})

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        found = self.backend.encode(texts)
        for number in self._misread(texts, found):
            found[number] = np.concatenate(self.backend.encode(self._cut(texts[number])))
        return found

    def encode_words(self, texts: list[str], inside: Inside) -> list[tuple[np.ndarray, np.ndarray]]:
        found = self.backend.encode_places(texts)
        for number in self._misread(texts, [ids for ids, _, _ in found]):
            found[number] = self.backend.joined(self._cut(texts[number]))
        return places.with_starts(texts, found, inside)

    def _misread(self, texts: list[str], found: list[np.ndarray]) -> list[int]:
        """The texts whose ids hold a special one: where these are entries of a unigram vocabulary too, what
        spells one must stay text."""
        if not found or self.spelled is None or not np.isin(np.concatenate(found), self.never).any():
            return []
        bad = (number for number, ids in enumerate(found) if np.isin(ids, self.never).any())
        return [number for number in bad if self.spelled.search(texts[number])]

    def _cut(self, text: str) -> list[str]:
        """A text in parts, cut after the first character of whatever spells a special token."""
        assert self.spelled is not None
        borders = [0, *(found.start() + 1 for found in self.spelled.finditer(text)), len(text)]
        return [text[a:b] for a, b in pairwise(borders)]

    def decode(self, ids: list[int]) -> str:
        return self.backend.library.decode(ids, skip_special_tokens=True)

    def token(self, number: int) -> str:
        return self.backend.library.id_to_token(number)


# ------------------------------------------------------------------------------------ BertJapaneseTokenizer


class _Words:
    """BertJapaneseTokenizer's WordPieces of MeCab's or Sudachi's words."""

    parallel = False
    plain: Path | None = None

    def __init__(
        self, vocabulary: dict[str, int], segmenter: words.Segmenter, config: dict[str, Any]
    ) -> None:
        tokens = _named(config)
        self.specials = {role: _id(vocabulary, token) for role, token in tokens.items()}
        self.vocab_size = len(vocabulary)
        self.segmenter = segmenter
        self.pieces = {number: piece for piece, number in vocabulary.items()}
        self.special_ids = tuple(sorted({n for n in self.specials.values() if n is not None}))
        self.word_table: np.ndarray | None
        self.word_table = np.array([not self.pieces[n].startswith("##") for n in range(len(vocabulary))])
        unknown = self.specials["unk"]
        assert unknown is not None
        self.unknown = self.pieces[unknown]
        self.cache = _Cache(vocabulary, unknown)

    @classmethod
    def open(cls, folder: Path, config: dict[str, Any]) -> _Words | None:
        """The road of a folder of plain BertJapaneseTokenizer with WordPieces; else None."""
        path = folder / "vocab.txt"
        dictionary = _dictionary(config)
        if dictionary is None or not path.is_file():
            return None
        lines = bare.lines_of(path)
        vocabulary = {piece: number for number, piece in enumerate(lines)}
        tokens = [token for token in _named(config).values() if token is not None]
        if len(vocabulary) < len(lines) or any(token not in vocabulary for token in tokens):
            return None
        return cls(vocabulary, words.segmenter(dictionary), config)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        found, look = self.segmenter.words, self.cache.__getitem__
        return [np.fromiter(chain.from_iterable(map(look, found(text))), np.int64) for text in texts]

    def encode_words(self, texts: list[str], inside: Inside) -> list[tuple[np.ndarray, np.ndarray]]:
        assert self.word_table is not None
        found = []
        for ids in self.encode(texts):
            starts = self.word_table[ids]
            starts[:1] = True
            found.append((ids, starts))
        return found

    def decode(self, ids: list[int]) -> str:
        found = [self.pieces.get(i, self.unknown) for i in ids if i not in self.special_ids]
        return " ".join(found).replace(" ##", "").strip()

    def token(self, number: int) -> str:
        return self.pieces[number]


def _dictionary(config: dict[str, Any]) -> str | None:
    """The name of the segmenter of a BertJapaneseTokenizer, None for another class or unusual settings."""
    plain = (
        config.get("tokenizer_class") == "BertJapaneseTokenizer"
        and not _unusual(config) - WORD_KEYS
        and not _more(config)
        and all(f"{role}_token" in config for role in ("pad", "unk", "cls", "sep", "mask"))
        and config.get("subword_tokenizer_type", "wordpiece") == "wordpiece"
        and config.get("do_word_tokenize", True)
        and config.get("do_subword_tokenize", True)
        and not config.get("do_lower_case")
        and not config.get("never_split")
    )
    if not plain:
        return None
    if config.get("word_tokenizer_type") == "mecab":
        kwargs = {"mecab_dic": "unidic_lite", **(config.get("mecab_kwargs") or {})}
        known = {package: dictionary for dictionary, package in words.MECAB.items()}
        return known.get(kwargs["mecab_dic"]) if kwargs.keys() == {"mecab_dic"} else None
    if config.get("word_tokenizer_type") == "sudachi":
        defaults = {"sudachi_split_mode": "A", "sudachi_dict_type": "core"}
        kwargs = {**defaults, **(config.get("sudachi_kwargs") or {})}
        usual = kwargs.keys() == defaults.keys() and kwargs["sudachi_split_mode"] == "A"
        return f"sudachi-{kwargs['sudachi_dict_type']}" if usual else None
    return None


class _Cache(dict[str, tuple[int, ...]]):
    """Word -> ids of its WordPieces: the longest piece first, one unknown for a word that cannot be built."""

    def __init__(self, vocabulary: dict[str, int], unknown: int) -> None:
        super().__init__()
        self.vocabulary, self.unknown = vocabulary, unknown

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(self) >= CACHE:
            self.clear()
        self[word] = found = self._pieces(word)
        return found

    def _pieces(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST_WORD:
            return (self.unknown,)
        found: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self.vocabulary.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
            else:
                return (self.unknown,)
            found.append(piece)
            start = end
        return tuple(found)


# -------------------------------------------------------------------------------------------- all the others


class _Transformers:
    """Any other tokenizer, in transformers' class."""

    plain: Path | None = None
    word_table: np.ndarray | None = None

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = len(tokenizer)
        try:
            self.specials = {role: getattr(tokenizer, f"{role}_token_id") for role in ROLES}
        except RecursionError:  # an unknown token that is itself unknown
            what = f"{tokenizer.name_or_path}: the tokenizer's unk_token is none of its tokens"
            raise InputError(what, "name another one in tokenizer_config.json") from None
        added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.special_ids = tuple(sorted(added | {*tokenizer.all_special_ids}))
        self.parallel = bool(tokenizer.is_fast)
        library = getattr(tokenizer, "_tokenizer", None) if tokenizer.is_fast else None
        # the same guard of special tokens that are spelled in a text
        self._json = None if library is None else _Json(Path(tokenizer.name_or_path), library, self.specials)

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        if self._json is not None:
            return self._json.encode(texts)
        options = {"add_special_tokens": False, "split_special_tokens": True}
        return [np.array(self.tokenizer.encode(text, **options), dtype=np.int64) for text in texts]

    def encode_words(self, texts: list[str], inside: Inside) -> list[tuple[np.ndarray, np.ndarray]]:
        if self._json is not None:
            return self._json.encode_words(texts, inside)
        found = []
        for text, ids in zip(texts, self.encode(texts), strict=True):
            pieces = self.tokenizer.convert_ids_to_tokens(ids.tolist())
            found.append((ids, places.starts_of_pieces(pieces, self.tokenizer.unk_token, text, inside)))
        return found

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def token(self, number: int) -> str:
        return self.tokenizer.convert_ids_to_tokens(number)
