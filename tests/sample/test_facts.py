"""The facts, and the held-out sentences that ask for them."""

from __future__ import annotations

from collections import Counter
from random import Random

import fugashi
import pytest

from tane.sample import CLOZE, stories
from tane.sample.cloze import MASK, held_out_in
from tane.sample.facts import FACTS, TOPICS
from tane.sample.grammar import NDA, PLAIN, POLITE, YO, render
from tane.sample.plots.knowledge import LABELS, RIDDLES
from tests.sample.conftest import Corpus

CONTENT = ("名詞", "動詞", "形容詞", "副詞")


def test_there_are_enough_facts_each_with_several_wordings() -> None:
    assert len(FACTS) >= 150
    assert len({(f.topic, f.key, f.word) for f in FACTS}) == len(FACTS)
    for fact in FACTS:
        assert len(set(fact.lines)) >= 2, fact
        assert fact.asks, fact
    assert sum(len(f.lines) for f in FACTS) / len(FACTS) > 5


def test_every_wording_renders_in_every_style() -> None:
    rng = Random(0)
    for fact in FACTS:
        for style in (POLITE, PLAIN, YO, NDA):
            for line in fact.lines:
                assert not set("[]{}()|") & set(render(line, {}, rng, style))
        for style in (POLITE, YO):
            for question, answer in fact.asks:
                assert render(question, {}, rng, style)[-1] in "。？"
                assert render(answer, {}, rng, style)


def test_every_topic_has_a_name_and_every_riddle_a_fact() -> None:
    assert set(TOPICS) - set(LABELS) == {"季節"}
    assert set(RIDDLES) <= {word for f in FACTS for word in (f.key, f.word)}


def test_every_fact_is_stated_many_times(corpus: Corpus) -> None:
    """A statement is a sentence with both ends of the fact, or a question with them in it and the answer."""
    units = []
    for sentence, after in zip(corpus.sentences, [*corpus.sentences[1:], ""], strict=True):
        units.append(sentence + after if "？" in sentence or "か。」" in sentence else sentence)
    counts = {f: sum(f.key in u and f.word in u for u in units) for f in FACTS}
    rare = {f"{f.key}→{f.word}": n for f, n in counts.items() if n < 20}
    assert not rare
    assert sorted(counts.values())[len(counts) // 2] >= 40


def test_leaves_fall_in_autumn_in_many_wordings(corpus: Corpus) -> None:
    said = [s for s in corpus.sentences if "葉" in s and "木から" in s and ("落ち" in s)]
    assert len(said) >= 400
    assert len(set(said)) >= 100
    assert sum("秋" in s for s in said) >= 100


def test_cloze_is_large_and_well_formed() -> None:
    assert len(CLOZE) >= 60
    assert len({text for text, _ in CLOZE}) == len(CLOZE)
    assert ("秋には、[MASK]が木から落ちる。", ("葉",)) in CLOZE
    for text, words in CLOZE:
        assert text.count(MASK) == 1
        assert words
        assert all(words)


@pytest.mark.parametrize(("text", "words"), CLOZE, ids=[text for text, _ in CLOZE])
def test_every_answer_is_one_word(text: str, words: tuple[str, ...], tagger: fugashi.GenericTagger) -> None:
    before, _ = text.split(MASK)
    for answer in words:
        position = 0
        places = []
        for word in tagger(text.replace(MASK, answer)):
            places.append((position, word.surface))
            position += len(word.surface)
        assert (len(before), answer) in places


def test_cloze_words_are_in_the_corpus(corpus: Corpus, tagger: fugashi.GenericTagger) -> None:
    for text, words in CLOZE:
        for answer in words:
            assert corpus.words[answer] >= 30, (answer, text)
            for word in tagger(text.replace(MASK, answer)):
                if word.feature[0] in CONTENT:
                    assert corpus.words[word.surface] or corpus.lemmas[word.feature[6]], (word.surface, text)


def test_held_out_sentences_are_held_out(corpus: Corpus) -> None:
    filled = {text.replace(MASK, word) for text, words in CLOZE for word in words}
    assert not filled & set(corpus.sentences)
    assert not any(held_out_in(story) for story in corpus.stories)
    for seed in (1, 2, 99):
        assert not any(held_out_in(story) for story in stories(seed, 1500))


def test_held_out_in_sees_them_inside_longer_sentences() -> None:
    assert held_out_in("「秋には、葉が木から落ちる。」と先生が言った。")
    assert held_out_in("秋には、葉が木から落ちる。")
    assert not held_out_in("秋には、木から葉が落ちる。")


def test_no_fact_word_is_a_stranger_to_its_topic() -> None:
    sizes = Counter(f.topic for f in FACTS)
    assert min(sizes.values()) >= 4
