"""Small SentencePiece models, trained or put together piece by piece, and what tests do to any tokenizer."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from tane.tokens import taken

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
LINES = [  # what a trainer needs to have seen, beside a text
    "half ﾊﾝｶｸ ｶﾞｷﾞ and full ＡＢＣ１２３ widths、㍻ ① ㌔",
    "The quick brown fox, 3.14 (000) [x] <y> </z>",
    "ーーーー 「あ」 。。。 ！！？ aaaa bbbb abab",
]
SYMBOLS = ["<sep>", "\n", "\n\n", "日本", "①", "[MASK]", "か\u3099", "です", "すは", "(=", "==", "a"]


def train(path: Path, lines: Iterable[str], **options: Any) -> Path:
    """Train a model of about 700 pieces and write it to `path`."""
    out = io.BytesIO()
    chosen: dict[str, Any] = {
        "model_type": "unigram", "vocab_size": 700, "character_coverage": 0.99, "num_threads": 1,
        "minloglevel": 2, "hard_vocab_limit": False, **options,
    }  # fmt: skip
    if chosen["model_type"] != "unigram":
        del chosen["hard_vocab_limit"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*lines, *LINES * 10]), model_writer=out, **chosen
    )
    path.write_bytes(out.getvalue())
    return path


def read(path: Path) -> Any:
    """The protobuf of a model."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    return proto


def build(path: Path, pieces: Iterable[tuple[str, float, int]], **trainer: Any) -> Path:
    """Write a model of (piece, score, type), without normalisation and dummy prefix."""
    proto = sentencepiece_model_pb2.ModelProto()
    for piece, score, kind in pieces:
        proto.pieces.add(piece=piece, score=score, type=kind)
    for key, value in {"model_type": 1, "unk_piece": "<unk>", **trainer}.items():
        setattr(proto.trainer_spec, key, value)
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    path.write_bytes(proto.SerializeToString())
    return path


def processor(path: Path) -> Any:
    """SentencePiece's own reading of a model."""
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


TEXTS = [
    "", "Hello world", "  two  spaces\n", "今日は東京で、ＡＢＣマートの①番を見た。", "ﾊﾞｽ ｶﾞｽ", "か\u3099",
    "</s><unk>[MASK]<|endoftext|>", "👨\u200d👩\u200d👧 𠮷", "def f(x):\n    return x # ## ####", "it's",
]  # fmt: skip


def take(name: Path | str, target: Path, **options: Any) -> Any:
    """Take a tokenizer into a new folder and open that by AutoTokenizer."""
    from transformers import AutoTokenizer

    target.mkdir()
    taken.take(str(name), target, **options)
    return AutoTokenizer.from_pretrained(str(target))


def plain(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """The ids of texts, nothing added."""
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def config_of(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json says."""
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
