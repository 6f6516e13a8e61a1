"""Small random models with the head of a task, in folders as transformers and `tane finetune` write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.labelled import write_tokenizer
from tests.use.masked_models import SPREAD

POSITIONS = 64
SMALL: dict[str, Any] = {
    "vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": POSITIONS, "initializer_range": SPREAD,
}  # fmt: skip


def save(folder: Path, head: str, *labels: str, **config: Any) -> Path:
    """A random BERT with a head (SequenceClassification, TokenClassification, MultipleChoice) and labels."""
    import transformers

    if not folder.exists():
        write_tokenizer(folder)
    if labels:
        config["id2label"] = dict(enumerate(labels))
        config["label2id"] = {name: number for number, name in enumerate(labels)}
    torch.manual_seed(0)
    made = transformers.BertConfig(**{**SMALL, **config})
    getattr(transformers, f"BertFor{head}")(made).save_pretrained(folder)
    return folder


def note(folder: Path, kind: str, **values: Any) -> Path:
    """Write what a model was trained for beside it, as `tane finetune` does."""
    told = {"kind": kind, "max_length": POSITIONS, **values}
    (folder / "task.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return folder


def edit(folder: Path, name: str = "config.json", **values: Any) -> Path:
    """Change keys of a JSON file of a folder; None takes one out."""
    config = json.loads((folder / name).read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in config.items() if value is not None}
    (folder / name).write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    return folder
