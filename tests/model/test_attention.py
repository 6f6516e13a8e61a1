"""The trial of isolation finds a model that leaks and passes those that do not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.model.attention import _ends, _padded_ends, keeps_documents_apart
from tane.model.build import ModelSettings, build_model
from tane.types import Vocabulary

FAMILIES = {
    "gpt2": ({"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}, True),
    "llama": (
        {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
         "num_key_value_heads": 2, "intermediate_size": 64}, True,
    ),
    "mamba": ({"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 32, "state_size": 4}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str) -> None:
    config, expected = FAMILIES[name]
    model = build_model(ModelSettings(config=config), "AutoModelForCausalLM", 64, Vocabulary(200, 1, 0), 0)
    assert keeps_documents_apart(model, 64, 200) is expected


@given(st.integers(1, 6), st.integers(3, 200), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_ends_that_are_padded_are_the_ends_and_the_last_one_again(rows: int, length: int, seed: int) -> None:
    made = torch.Generator().manual_seed(seed)
    segments = (torch.rand(rows, length, generator=made) < 0.2).cumsum(1).to(torch.int32)
    exact = _ends(segments)
    known = len(exact) - 1
    padded = _padded_ends(segments, known)
    assert padded.dtype == exact.dtype == torch.int32 and exact[0] == 0
    assert torch.equal(padded[: known + 1], exact) and (padded[known:] == rows * length).all()
    assert len(padded) <= max(known + 64, known * 9 // 8 + 1) + 1


def test_few_lengths_come_of_batches_that_are_alike() -> None:
    segments = torch.arange(8192).div(2, rounding_mode="floor").to(torch.int32)[None]
    lengths = {len(_padded_ends(segments, known)) for known in range(3500, 3580)}
    assert len(lengths) == 1


def test_a_trial_leaves_torch_as_it_was() -> None:
    torch.set_float32_matmul_precision("high")
    torch.use_deterministic_algorithms(True)
    try:
        test_families("llama")
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
