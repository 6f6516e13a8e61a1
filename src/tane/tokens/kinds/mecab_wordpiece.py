"""Words by MeCab or Sudachi, and WordPieces of these: what Japanese BERT models use.

The words are counted first, in bounded memory; then the pieces are grown from the counts by `tokenizers`. The
vocabulary holds each character that occurs, up to the coverage, in the form in which it occurs (at the start
of a word, or with ## before it), and the other form too as long as half of the vocabulary is left for longer
pieces: unknown words are rare then. Saved for BertJapaneseTokenizer of transformers, which needs `fugashi` or
`sudachipy`. It joins the pieces by spaces when it decodes, so a text does not come back as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.text import words
from tane.tokens.kinds import Job, most_common, write_config
from tane.tokens.specials import Specials

BYTES_PER_WORD = 1500  # of a distinct word, while the pieces are grown (950 measured)
LONGEST_WORD = 100  # BertJapaneseTokenizer gives up on longer ones
REPEAT = 1000  # times that a word is handed to the trainer at once


class MecabWordpiece:
    """Trains WordPieces on counted words."""

    bytes_per_char = 0.0

    def needs(self, job: Job) -> int:
        """The dictionary's files, MeCab's lattice, and the vocabulary while it grows."""
        return words.mapped_bytes(job.dictionary) + 50_000_000 + 1000 * job.vocab_size

    def train(self, texts: Iterable[str], job: Job) -> None:
        """Count the words, grow the pieces, and write `vocab.txt` and the configuration."""
        room = max(10_000, job.memory // BYTES_PER_WORD)
        counts = count_words(texts, words.segmenter(job.dictionary), room)
        save(vocabulary(counts, job), job.folder, job.dictionary, job.specials)


def count_words(texts: Iterable[str], segmenter: words.Segmenter, room: int) -> dict[str, int]:
    """How often each word occurs; at most `room` different words, the rarest making way.

    Words of more than LONGEST_WORD characters are left out.
    """
    counts: Counter[str] = Counter()
    least = 1
    for text in texts:
        found = segmenter.words(text)
        if max(map(len, found), default=0) > LONGEST_WORD:
            found = [word for word in found if len(word) <= LONGEST_WORD]
        counts.update(found)
        while len(counts) > room:
            counts = Counter({word: count for word, count in counts.items() if count > least})
            least += len(counts) > room // 2
    return counts


def vocabulary(counts: dict[str, int], job: Job) -> list[str]:
    """The pieces in the order of their ids: special tokens, characters, longer pieces by frequency."""
    symbols: Counter[str] = Counter()
    for word, count in counts.items():
        for symbol in _symbols(word):
            symbols[symbol] += count
    occurring = most_common(symbols, job.coverage)
    special = job.specials.tokens()
    if len(special) + len(occurring) > job.vocab_size:
        needed = len(special) + len(occurring)
        raise InputError(
            f"tokenizer.vocab_size is {job.vocab_size}, but the characters of the text alone need {needed}",
            f"--tokenizer.vocab_size {2 * needed}, or fewer characters: --tokenizer.coverage 0.99",
        )
    known = dict.fromkeys(occurring)
    for symbol in occurring:  # the frequent ones first
        if len(known) >= job.vocab_size // 2:
            break
        known[symbol[2:] if _continues(symbol) else f"##{symbol}"] = None
    first = special + sorted(known)
    usable = sorted(
        ((word, count) for word, count in counts.items() if all(s in known for s in _symbols(word))),
        key=lambda item: (-item[1], item[0]),
    )
    longer = _grow(usable, sorted({symbol[-1] for symbol in known}), job.vocab_size - len(first))
    return first + [piece for piece in longer if piece not in special]


def _continues(symbol: str) -> bool:
    return len(symbol) == 3


def _symbols(word: str) -> list[str]:
    return [word[0], *(f"##{character}" for character in word[1:])]


def _grow(counts: list[tuple[str, int]], characters: list[str], number: int) -> list[str]:
    """At most `number` pieces of two characters and more, the earliest merges first."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if number <= 0 or not counts:
        return []
    # Given as special tokens, all characters have their ids in our order. Else the trainer would number those
    # with ## in the order of its hash table, and break ties between merges by these numbers.
    fixed = [*characters, *(f"##{character}" for character in characters)]
    tokenizer = Tokenizer(models.WordPiece(unk_token=characters[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=len(fixed) + number, special_tokens=fixed, min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    ids = tokenizer.get_vocab(with_added_tokens=False)
    return sorted(ids, key=ids.__getitem__)[len(fixed) :]


def _repeated(counts: list[tuple[str, int]]) -> Iterator[str]:
    """Each word as often as it was counted: the trainer takes text, not counts."""
    for word, count in counts:
        for start in range(0, count, REPEAT):
            yield f"{word} " * min(REPEAT, count - start)


def save(pieces: list[str], folder: Path, dictionary: str, specials: Specials) -> None:
    """Write the folder that AutoTokenizer opens as BertJapaneseTokenizer."""
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    write_config(folder, specials, **word_config(dictionary), **_class_tokens(specials))


def word_config(dictionary: str) -> dict[str, Any]:
    """BertJapaneseTokenizer's settings for WordPieces of a dictionary's words."""
    settings: dict[str, Any] = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "do_lower_case": False,
        "do_word_tokenize": True,
        "do_subword_tokenize": True,
        "subword_tokenizer_type": "wordpiece",
    }
    if dictionary in words.MECAB:
        mecab = {"mecab_dic": words.MECAB[dictionary]}
        return {**settings, "word_tokenizer_type": "mecab", "mecab_kwargs": mecab}
    sudachi = {"sudachi_split_mode": "A", "sudachi_dict_type": words.sudachi_type(dictionary)}
    return {**settings, "word_tokenizer_type": "sudachi", "sudachi_kwargs": sudachi}


def _class_tokens(specials: Specials) -> dict[str, str | None]:
    """What the class must be told where the set has no [CLS] and [SEP], which it always puts round a text.

    The end of a text stands for both. `add_special_tokens=False` leaves it out.
    """
    if specials.cls is not None:
        return {}
    return {"cls_token": specials.eos, "sep_token": specials.eos, "mask_token": None}
