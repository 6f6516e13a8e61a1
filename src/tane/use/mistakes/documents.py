"""The documents that a plan looks at: of the prepared corpus, of the inputs as they lie there, or of a task.

However much text there is, no more than a few seconds' worth is read: some parts of a corpus, or the start of
some files, evenly chosen. Nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tane.tasks.examples import Example
from tane.text import normalize
from tane.text.corpus import Corpus, CorpusSettings
from tane.text.inputs import Input, expand
from tane.text.pieces import DIGEST, FRAGMENT
from tane.text.raw import Raw
from tane.text.sources import Reading, source
from tane.training.labelled import Data
from tane.use.mistakes.facts import Looked, Named

TRAIN, VALID = 6_000_000, 600_000  # characters of training and validation text that are looked at
MOST_VALID = 1000  # validation documents
PARTS, FILES = 8, 200  # of a corpus, of its inputs

Item = TypeVar("Item")


class _Taken:
    """Documents up to a number of characters. whole: whether all that were offered are among them."""

    def __init__(self, room: int, most: int | None = None) -> None:
        self.documents: list[Named] = []
        self.room, self.most, self.whole = room, most, True

    @property
    def full(self) -> bool:
        """Whether no more is taken."""
        return self.room <= 0 or len(self.documents) == self.most

    def add(self, name: str, text: str) -> None:
        """Take one more, where there is room."""
        if self.full:
            self.whole = False
            return
        self.room -= len(text)
        self.documents.append((name, text))

    def share(self, parts: int) -> _Taken:
        """What one of so many parts may take of the room."""
        return _Taken(self.room // parts)

    def join(self, other: _Taken) -> None:
        """Take all that a part took."""
        self.documents += other.documents
        self.room -= sum(len(text) for _, text in other.documents)
        self.whole &= other.whole


# --------------------------------------------------------------------------------------------------- a text


def of_corpus(corpus: Corpus) -> Looked:
    """Documents of a prepared corpus: of at most PARTS of its parts, evenly chosen in each."""
    parts = corpus.parts()
    chosen = _evenly(parts, PARTS)
    train, valid = _Taken(TRAIN), _Taken(VALID, MOST_VALID)
    train.whole = len(chosen) == len(parts)
    for number, part in enumerate(chosen):
        mine = train.share(len(chosen) - number)
        step = max(1, -(-part.counts["characters"] // max(1, mine.room)))
        mine.whole = step == 1
        for place, split, document in corpus.part(part):
            if split == "valid":
                valid.add(document.id, document.text)
            elif place % step == 0:
                mine.add(document.id, document.text)
        train.join(mine)
    dropped = corpus.meta["ledger"]["dropped"].get("in_validation", {})
    return Looked(train.documents, valid.documents, train.whole and valid.whole, dropped.get("documents", 0))


def of_inputs(settings: CorpusSettings) -> Looked:
    """Documents as the corpus would hold them, from the start of at most FILES of its files. Raises
    InputError for a file that cannot be read."""
    items = expand(settings)
    roles = {role: [one for one in items if one.role == role] for role in ("valid", "train")}
    train, valid = _Taken(TRAIN), _Taken(VALID, MOST_VALID)
    given: set[str] = set()
    for item in _evenly(roles["valid"], FILES):
        for name, text in _read(item, settings):
            valid.add(name, text)
            given.add(text)
            if not valid.whole:
                break
    seen: set[str] = set()
    border = 0 if settings.valid_inputs else int(settings.valid_fraction * 2**64)
    chosen, left_out = _evenly(roles["train"], FILES), 0
    train.whole = len(chosen) == len(roles["train"])
    for number, item in enumerate(chosen):
        mine = train.share(len(chosen) - number)
        for name, text in _read(item, settings):
            if text in given:
                left_out += 1
            elif settings.dedup == "none" or text not in seen:
                seen.add(text)
                (valid if _high(text) < border else mine).add(name, text)
            if not mine.whole:
                break
        train.join(mine)
    return Looked(train.documents, valid.documents, train.whole and valid.whole, left_out)


def _read(item: Input, settings: CorpusSettings) -> Iterator[Named]:
    """(name, normalised text) of the documents of one file that are neither blank nor filtered."""
    reading = Reading(
        raw=Raw(item.path, name=item.name), unit=item.unit, encoding=item.encoding, normalize=item.normalize,
        columns=item.columns, sheet=item.sheet, quoting=item.quoting, format=item.format,
        on_bad=settings.on_bad, fragment=FRAGMENT,
    )  # fmt: skip
    for text, position, _ in source(item.source).records(reading):
        if item.normalize not in normalize.WHOLE_FILE or item.source != "plain":
            text, _ = normalize.normalize(text, item.normalize)
        if text.strip() and not settings.filters.reason(text):
            yield f"{item.name}:{position}", text


def _high(text: str) -> int:
    """The number of a text by which it falls to validation, as in a corpus."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()[:8], "big")


# --------------------------------------------------------------------------------------------------- a task


def of_task(data: Data) -> Looked:
    """The texts of labelled examples; those of validation and test together."""
    train, valid, test = _Taken(TRAIN), _Taken(VALID, MOST_VALID), _Taken(VALID, MOST_VALID)
    for taken, examples in ((train, data.train), (valid, data.valid), (test, data.test)):
        if examples is not None:
            for one in examples.items:
                taken.add(f"{examples.name}:{one.position}", text_of(one))
    whole = train.whole and valid.whole and test.whole
    return Looked(train.documents, valid.documents + test.documents, whole)


def text_of(example: Example) -> str:
    """All that an example has to read, each text once, a line each."""
    texts = [text for part in example.parts for text in part if text is not None]
    return "\n".join([*dict.fromkeys(texts), *([" ".join(example.words)] if example.words else [])])


def _evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of some items, evenly chosen, the first among them."""
    count = min(most, len(items))
    return [items[number * len(items) // count] for number in range(count)]
