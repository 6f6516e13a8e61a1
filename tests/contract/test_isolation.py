"""Packed documents do not see each other: changing one leaves the other's logits unchanged, for each
family."""

import numpy as np
import pytest
import torch

from tane.model.build import ModelSettings, build_model
from tane.objectives.causal import Causal
from tane.types import Block, Vocabulary

FAMILIES = {
    "gpt2": {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2, "initializer_range": 0.3},
    "llama": {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.3,
    },
    "qwen3": {
        "model_type": "qwen3",
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "head_dim": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.3,
    },
}
VOCABULARY = Vocabulary(100, 1, 0)
LENGTH = 24


def block(first: list[int], second: list[int]) -> Block:
    """EOS first EOS second, as Blocks makes it with isolate=True."""
    ids = np.array([1, *first, 1, *second], dtype=np.int64)
    cut = 1 + len(first)
    segments = np.array([1] * cut + [2] * (len(ids) - cut), dtype=np.int32)
    positions = np.concatenate([np.arange(cut), np.arange(len(ids) - cut)]).astype(np.int32)
    return Block(ids, segments, positions, len(ids))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("isolate", [True, False])
def test_documents_of_a_block_are_apart_only_when_asked(family: str, isolate: bool) -> None:
    model = build_model(
        ModelSettings(config=FAMILIES[family]), "AutoModelForCausalLM", LENGTH, VOCABULARY, 0
    ).eval()
    objective = Causal(block_size=LENGTH, isolate_documents=isolate)
    generator = np.random.default_rng(0)
    second = generator.integers(2, 100, 12).tolist()
    rows = [block(generator.integers(2, 100, 11).tolist(), second) for _ in range(2)]
    batch = objective.batch(rows, [0, 0], VOCABULARY)
    with torch.no_grad():
        logits = model(**batch.inputs, use_cache=False).logits
    difference = (logits[0, 12:] - logits[1, 12:]).abs().max().item()
    if isolate:
        assert difference < 1e-4
        alone = torch.tensor([[1, *second[:-1]]])
        with torch.no_grad():
            expected = model(input_ids=alone, use_cache=False).logits[0]
        torch.testing.assert_close(logits[0, 12:], expected, rtol=1e-4, atol=1e-3)
    else:
        assert difference > 0.01


def test_a_short_last_block_has_labels_only_where_it_has_text() -> None:
    objective = Causal(block_size=LENGTH, isolate_documents=True)
    batch = objective.batch([block([5, 6, 7], [8, 9])], [0], VOCABULARY)
    assert batch.labels[0, :6].tolist() == [5, 6, 7, 1, 8, 9]
    assert (batch.labels[0, 6:] == -100).all()
    assert batch.num_targets == batch.num_tokens == 6
    assert batch.inputs["position_ids"][0].tolist() == [0, 1, 2, 3, 0, 1, *range(LENGTH - 6)]
