"""Small SentencePiece models, trained or put together piece by piece, for the tests of conversion."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

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
