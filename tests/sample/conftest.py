"""The default sample corpus, made once for all tests of the package."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import fugashi
import ipadic
import pytest

from tane.sample import stories
from tane.sample.grammar import split_sentences


class Corpus(NamedTuple):
    """The default corpus, its sentences, and its words by surface and by dictionary form."""

    stories: list[str]
    sentences: list[str]
    words: Counter[str]
    lemmas: Counter[str]


@pytest.fixture(scope="session")
def tagger() -> fugashi.GenericTagger:
    return fugashi.GenericTagger(ipadic.MECAB_ARGS)


@pytest.fixture(scope="session")
def corpus(tagger: fugashi.GenericTagger) -> Corpus:
    texts = list(stories())
    words: Counter[str] = Counter()
    lemmas: Counter[str] = Counter()
    for text in texts:
        for word in tagger(text):
            words[word.surface] += 1
            lemmas[word.feature[6]] += 1
    return Corpus(texts, [s for text in texts for s in split_sentences(text)], words, lemmas)
