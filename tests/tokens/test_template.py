"""The end-of-text token that parts the texts of a pair, and where a decoder then reads its answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tane.tokens.taken import take
from tane.tokens.template import part_pairs
from tane.tokens.tokenizer import load_tokenizer


@pytest.fixture
def parted(decoder: Path, tmp_path: Path) -> Path:
    """The decoder's tokenizer, once it parts pairs."""
    (tmp_path / "tokenizer").mkdir()
    take(decoder, tmp_path / "tokenizer")
    assert part_pairs(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_the_mark_stands_after_each_text(parted: Path) -> None:
    tokenizer = load_tokenizer(parted)
    assert tokenizer("猫", "犬").tokens() == ["猫", "[SEP]", "犬", "[SEP]"]
    assert tokenizer("猫").tokens() == ["猫", "[SEP]"]
    assert not part_pairs(parted), "once is enough"


def test_what_has_a_template_is_left_alone(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    take(encoder, tmp_path / "tokenizer")
    before = (tmp_path / "tokenizer" / "tokenizer.json").read_bytes()
    assert not part_pairs(tmp_path / "tokenizer")
    assert (tmp_path / "tokenizer" / "tokenizer.json").read_bytes() == before


@pytest.mark.parametrize("also_pads", [True, False])
def test_where_a_decoder_reads_its_answer(decoder: Path, parted: Path, also_pads: bool) -> None:
    """At the last token of the text where the mark after it passes for padding, else at the mark."""
    from transformers import GPT2ForSequenceClassification

    tokenizer = load_tokenizer(parted)
    mark = tokenizer.eos_token_id
    pad = mark if also_pads else 0
    model = GPT2ForSequenceClassification.from_pretrained(decoder, pad_token_id=pad, num_labels=2).eval()
    ids = torch.tensor([[*tokenizer("猫", "犬").input_ids, pad, pad]])
    with torch.no_grad():
        answer = model(ids, attention_mask=(torch.arange(6) < 4)[None].long()).logits
        each = model.score(model.transformer(ids[:, :4]).last_hidden_state)[0]
    torch.testing.assert_close(answer[0], each[2 if also_pads else 3])
