"""The trial of isolation finds a model that leaks and passes those that do not."""

import pytest

from tane.model.attention import keeps_documents_apart
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
