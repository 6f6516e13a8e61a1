"""A tiny pretrained encoder, a tiny decoder, and labelled files that they can learn."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tane.recipe import Recipe

ANIMALS = tuple("猫犬鳥魚")
WORDS = (*ANIMALS, *"山川海空花木石火", "走る", "見る", "聞く", "大きい", "白い", "黒い")
CHARACTERS = sorted({c for word in WORDS for c in word} | set("はがをに。、0123456789"))


def write_tokenizer(folder: Path) -> None:
    """A WordPiece tokenizer of single characters with BERT's template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
    inner = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT for masks, not trained, in a Hugging Face folder."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("encoder") / "bert"
    write_tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with the same tokenizer but no template."""
    import torch
    from tokenizers import Tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("decoder") / "gpt2"
    write_tokenizer(folder)
    inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.post_processor = None
    (folder / "tokenizer.json").unlink()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="[SEP]", unk_token="[UNK]", model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    ).save_pretrained(folder)
    return folder


def write_csv(path: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def pairs(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Some words and some more; 同じ where an animal stands first among the second ones."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        first = rng.choice(ANIMALS if number % 2 else WORDS[4:])
        more = [" ".join(rng.choices(WORDS[4:], k=rng.randint(1, 6))) for _ in range(2)]
        found.append((more[0], f"{first} {more[1]}", "同じ" if number % 2 else "違う"))
    return found


@pytest.fixture
def pair_files(tmp_path: Path) -> tuple[Path, Path]:
    """train.csv with 200 pairs, valid.csv with 60."""
    names = ("sentence1", "sentence2", "label")
    return (
        write_csv(tmp_path / "train.csv", names, pairs(200, 1)),
        write_csv(tmp_path / "valid.csv", names, pairs(60, 2)),
    )


@pytest.fixture
def make(tmp_path: Path, encoder: Path, pair_files: tuple[Path, Path]) -> Callable[..., Recipe]:
    """A recipe for the pairs, with overrides."""

    def recipe(*overrides: str, task: dict[str, Any] | None = None, run: str = "run") -> Recipe:
        own = {
            "kind": "pair-classification",
            "data": {"train": str(pair_files[0]), "valid": str(pair_files[1])},
            "batch_examples": 16,
        }
        values = {
            "run_dir": str(tmp_path / run),
            "model": {"pretrained": str(encoder)},
            "task": task or own,
            "optim": {"lr": 1e-3},
            "train": {
                "duration": "12 steps", "eval_every": "6 steps", "save_every": "4 steps", "threads": 1,
                "precision": "fp32", "tensorboard": False,
            },
        }  # fmt: skip
        return Recipe.from_mapping(values, *overrides)

    return recipe
