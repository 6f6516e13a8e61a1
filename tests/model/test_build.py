"""Models by preset, config and folder; wrong settings are named; foreign folders run no code."""

import json
from pathlib import Path

import pytest
import torch

from tane.errors import InputError
from tane.model.build import PRESETS, ModelSettings, build_model, find_model, freeze, open_model
from tane.types import Vocabulary

VOCABULARY = Vocabulary(1000, 1, 0)
SMALL = {"n_layer": 1, "n_embd": 32, "n_head": 2}


def small(config: dict | None = None, **settings: object) -> torch.nn.Module:
    return build_model(
        ModelSettings(config=config or SMALL, **settings), "AutoModelForCausalLM", 16, VOCABULARY, 0
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_builds(preset: str) -> None:
    with torch.device("meta"):
        head = "AutoModelForMaskedLM" if "bert" in preset or "roformer" in preset else "AutoModelForCausalLM"
        model = build_model(ModelSettings(preset=preset), head, 64, VOCABULARY, 0)
    assert model.config.vocab_size == 1024 and model.config.max_position_embeddings == 64


def test_small_models_get_good_defaults_and_the_person_has_the_last_word() -> None:
    config = small().config
    assert (config.resid_pdrop, config.attn_pdrop, config.embd_pdrop) == (0, 0, 0)
    assert config.activation_function == "gelu_pytorch_tanh"
    assert (config.eos_token_id, config.pad_token_id, config.n_positions) == (1, 0, 16)
    config = small({**SMALL, "resid_pdrop": 0.1, "activation_function": "relu", "n_positions": 99}).config
    assert (config.resid_pdrop, config.activation_function, config.n_positions) == (0.1, "relu", 99)


def test_padding_rows_of_the_vocabulary_are_never_sampled() -> None:
    model = small()
    assert model.generation_config.suppress_tokens == list(range(1000, 1024))
    with torch.no_grad():
        model.transformer.wte.weight[1000:] += 5.0
    ids = model.generate(torch.tensor([[1]]), max_new_tokens=12, do_sample=True, num_return_sequences=50)
    assert ids.max() < 1000


def test_weights_are_a_function_of_the_seed() -> None:
    states = [
        build_model(ModelSettings(config=SMALL), "AutoModelForCausalLM", 16, VOCABULARY, seed).state_dict()
        for seed in (0, 0, 1)
    ]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["transformer.wte.weight"], states[2]["transformer.wte.weight"])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"n_embdd": 10}, ["n_embdd", "n_embd?"]),
        ({"n_embd": 10, "n_head": 3}, ["divisible"]),
        ({"n_layer": "four"}, ["n_layer"]),
        ({"model_type": "gtp2"}, ["gtp2", "gpt2"]),
        ({**SMALL, "vocab_size": 500}, ["500", "1000"]),
        ({**SMALL, "n_positions": 8}, ["16", "8"]),
    ],
)
def test_a_wrong_config_is_named(config: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as found:
        small(config)
    assert all(word in str(found.value) for word in words)


def test_preset_and_pretrained_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either"):
        ModelSettings(preset="gpt2-tiny", pretrained="x")
    with pytest.raises(ValueError, match="gpt2-tiny"):
        ModelSettings(preset="gpt2-tini")


def test_freezing_by_pattern() -> None:
    model = small()
    assert freeze(model, ["transformer.wte*", "*.ln_*"]) > 2
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != (name.startswith("transformer.wte") or ".ln_" in name)
    with pytest.raises(InputError, match="no parameter matches"):
        freeze(model, ["encoder.*"])
    with pytest.raises(InputError, match="every parameter"):
        freeze(model, ["*"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_saved_model_opens_with_equal_weights(folder: Path) -> None:
    opened = open_model(folder)
    assert all(torch.equal(v, opened.state_dict()[k]) for k, v in small().state_dict().items())
    assert find_model(folder.parent) == folder


def test_folders_that_ask_for_code_or_hold_pickles_are_refused(folder: Path, tmp_path: Path) -> None:
    change_config(folder, auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(InputError, match="auto_map"):
        open_model(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps({**config, "_attn_implementation": "someone/kernel"}))
    with pytest.raises(InputError, match="someone/kernel"):
        open_model(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(InputError, match="pickle"):
        open_model(folder)
    (folder / "model.safetensors").symlink_to(weights)
    with pytest.raises(InputError, match="outside"):
        open_model(folder)


def test_damaged_and_absent_folders_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="cannot be read"):
        open_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        open_model(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"config\.json"):
        find_model(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        find_model(tmp_path / "nowhere")


def test_missing_weights_are_never_filled_at_random(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("transformer.h.0.mlp.c_fc.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"c_fc\.weight"):
        open_model(folder)
