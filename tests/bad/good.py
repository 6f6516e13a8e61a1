"""Sound things for the bad ones to be made of: a causal, a masked and a labelling model, a small run.

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
KINDS = ("causal", "masked", "labels")
LETTERS = sorted(set("猫犬鳥魚山川海空花木石火走見聞る大白黒きいはがをに。、0123456789"))
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
POSITIONS = 32


def write_tokenizer(folder: Path) -> int:
    """A WordPiece tokenizer of single characters, with BERT's specials; returns its size."""
    folder.mkdir(parents=True, exist_ok=True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*specials, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": piece, **flags} for i, piece in enumerate(specials)],
        "normalizer": None, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {piece: i for i, piece in enumerate(pieces)},
        },
    }  # fmt: skip
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]",
        "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "eos_token": "[SEP]",
        "model_max_length": POSITIONS, "model_input_names": ["input_ids", "attention_mask"],
    }  # fmt: skip
    for name, value in ((TOKENIZER, content), (TOKENIZER_CONFIG, config)):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return len(pieces)


def write_model(folder: Path, kind: str) -> Path:
    """A small random model of one of KINDS with its tokenizer, as `save_pretrained` writes it."""
    import torch
    import transformers

    pieces = write_tokenizer(folder)
    torch.manual_seed(0)
    model: Any
    if kind == "causal":
        shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}
        ends = {"bos_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=pieces, **shape, **ends))
    else:
        head = {"masked": "MaskedLM", "labels": "SequenceClassification"}[kind]
        config = transformers.BertConfig(vocab_size=pieces, max_position_embeddings=POSITIONS, **SIZE)
        model = getattr(transformers, f"BertFor{head}")(config)
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def edit_json(path: Path, **values: Any) -> None:
    """Change keys of a JSON object in a file, which may not be there yet."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**found, **values}, ensure_ascii=False), encoding="utf-8")


def edit_tensors(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the tensors of a safetensors file."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of a safetensors file and nothing behind it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
