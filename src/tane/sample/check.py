"""How generated stories stand to the corpus they were learnt from: copied, or made of unknown words?

A small model can be good in two empty ways: by repeating the corpus, or by making up words. The check
counts both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tane.sample.grammar import split_sentences


@dataclass(frozen=True)
class StoryCheck:
    """What `check_stories` found: shares are between 0 and 1."""

    sentences: int
    verbatim_share: float
    outside_share: float

    def __str__(self) -> str:
        return (
            f"{self.sentences} finished sentences: {self.verbatim_share:.1%} stand word for word "
            f"in the corpus; {self.outside_share:.1%} of all words do not occur in it."
        )


def check_stories(texts: Sequence[str], corpus: Iterable[str]) -> StoryCheck:
    """Compares generated texts with the corpus.

    `verbatim_share` is the share of the finished sentences that stand as they are in the corpus; a last
    sentence without an end mark is left out of it. `outside_share` is the share of the words (MeCab with
    ipadic) that do not occur in the corpus. Both are 0 where there is nothing to count.
    """
    import fugashi
    import ipadic

    tagger = fugashi.GenericTagger(ipadic.MECAB_ARGS)
    known_sentences: set[str] = set()
    known_words: set[str] = set()
    for text in corpus:
        for sentence in _sentences(text):
            if sentence not in known_sentences:
                known_sentences.add(sentence)
                known_words.update(word.surface for word in tagger(sentence))
    finished = verbatim = words = outside = 0
    for text in texts:
        for sentence in _sentences(text):
            if sentence[-1] in "。！？":
                finished += 1
                verbatim += sentence in known_sentences
            surfaces = [word.surface for word in tagger(sentence)]
            words += len(surfaces)
            outside += sum(surface not in known_words for surface in surfaces)
    return StoryCheck(finished, verbatim / max(finished, 1), outside / max(words, 1))


def _sentences(text: str) -> list[str]:
    """The sentences of a text of one or more lines, without the space around them."""
    parts = (part.strip() for line in text.splitlines() for part in split_sentences(line))
    return [part for part in parts if part]
