"""Whether a vocabulary was made of text whose words stood apart."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tane.text import words
from tane.tokens.spaced import wants_spaces


def trained(lines: list[str]) -> list[str]:
    """The pieces of a unigram model."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, vocab_size=1200, model_type="unigram",
        minloglevel=2, num_threads=1, hard_vocab_limit=False,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    return [model.id_to_piece(number) for number in range(len(model))]


def test_text_with_and_without_spaces(sample_text: Path) -> None:
    lines = [line for line in sample_text.read_text(encoding="utf-8").splitlines() if line][:800]
    cut = words.segmenter("ipadic")
    assert not wants_spaces(trained(lines))
    assert wants_spaces(trained([" ".join(cut.words(line)) for line in lines]))


def test_vocabularies_without_japanese_say_nothing() -> None:
    assert not wants_spaces(["▁the", "▁of", "ing"] * 300) and not wants_spaces([])


@pytest.mark.parametrize("name", ["test_ja_model-8000.model", "wiki-ja-albert-32000.model"])
def test_real_vocabularies_of_running_text(real_data: Path, name: str) -> None:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(real_data / "tokenizers" / name))
    assert not wants_spaces(model.id_to_piece(number) for number in range(len(model)))
