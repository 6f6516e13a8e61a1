"""A small prepared data folder and a way to train tiny models on it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tane.recipe import Recipe, prepare

TINY = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2, "resid_pdrop": 0.1, "embd_pdrop": 0.1}


def settings(data: Path, run: Path, text: Path) -> dict[str, Any]:
    return {
        "run_dir": str(run),
        "data_dir": str(data),
        "corpus": {"inputs": [str(text)], "valid_fraction": 0.05},
        "tokenizer": {"vocab_size": 1000},
        "model": {"config": TINY},
        "objective": {"name": "causal", "block_size": 32},
        "train": {
            "duration": "24 steps",
            "batch_tokens": 256,
            "eval_every": "8 steps",
            "eval_tokens": 2048,
            "threads": 1,
            "precision": "fp32",
            "save_every": "1000 steps",
            "tensorboard": False,
            "samples": False,
        },
    }


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """Corpus, tokenizer and shards of the sample text, made once."""
    folder = tmp_path_factory.mktemp("data") / "data"
    prepare(Recipe.from_mapping(settings(folder, folder.parent / "run", sample_text)))
    return folder


@pytest.fixture
def make_recipe(data_dir: Path, sample_text: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """make_recipe("a.b=c", ..., run="name"): a tiny recipe with overrides, its run in tmp_path."""

    def make(*overrides: str, run: str = "run") -> Recipe:
        return Recipe.from_mapping(settings(data_dir, tmp_path / run, sample_text), *overrides)

    return make


def weights_hash(run: Path | str, step: int) -> str:
    """SHA-256 of a checkpoint's weights and optimizer state together."""
    folder = Path(run) / "checkpoints" / f"step-{step:09d}"
    digest = hashlib.sha256()
    for name in ("model/model.safetensors", "state/optimizer.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


TINY_BERT = {
    "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
    "intermediate_size": 64, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip


def masked_settings(data: Path, run: Path, text: Path, **parts: Any) -> dict[str, Any]:
    values = settings(data, run, text)
    values["tokenizer"] = {"kind": "mecab-wordpiece", "vocab_size": 1000}
    values["model"] = {"config": TINY_BERT}
    values["objective"] = {"name": "masked", "block_size": 32, "whole_word": True}
    for name, part in parts.items():
        values[name] = {**values[name], **part}
    return values


@pytest.fixture(scope="module")
def masked_data(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """Corpus, tokenizer, shards and words of the sample text, made once."""
    folder = tmp_path_factory.mktemp("masked") / "data"
    prepare(Recipe.from_mapping(masked_settings(folder, folder.parent / "run", sample_text)))
    return folder
