"""SentencePiece model files, read and checked before any library of C++ or Rust sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tane.errors import InputError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # types of pieces
UNIGRAM, BPE = 1, 2  # types of models; there are WORD and CHAR too
REMEDY = "take a tokenizer.json of it if there is one, or train one here: --tokenizer.kind unigram"


@dataclass(frozen=True)
class Model:
    """A SentencePiece model file, checked: n pieces with their scores and types, and the whole protobuf."""

    path: Path
    content: bytes
    proto: Any
    pieces: list[str]
    scores: list[float]
    types: list[int]

    @property
    def byte_fallback(self) -> bool:
        """Whether unknown characters come as their bytes."""
        return bool(self.proto.trainer_spec.byte_fallback)

    @property
    def unk_id(self) -> int:
        """Id of the piece for what is unknown."""
        return self.types.index(UNKNOWN)

    def of_type(self, *types: int) -> list[str]:
        """The pieces of these types, by id."""
        return [piece for piece, kind in zip(self.pieces, self.types, strict=True) if kind in types]

    def values(self) -> list[float]:
        """The scores that a unigram search adds up: those of the pieces, and a bonus for symbols.

        The bonus is that of SentencePiece 0.2.3. Before it was -0.1, which is as far above all pieces.
        """
        return [
            0.1 * (len(piece.encode()) - 1) if kind == USER_DEFINED else score
            for piece, score, kind in zip(self.pieces, self.scores, self.types, strict=True)
        ]

    def visible(self) -> list[str]:
        """The pieces that a text may become."""
        return self.of_type(NORMAL, USER_DEFINED)

    def singles(self) -> set[str]:
        """The characters that a piece of their own may stand for."""
        return {piece for piece in self.visible() if len(piece) == 1}

    def processor(self) -> Any:
        """SentencePiece's own reading of the file."""
        import sentencepiece

        try:
            return sentencepiece.SentencePieceProcessor(model_proto=self.content)
        except (RuntimeError, OSError, TypeError, ValueError) as error:
            raise damaged(self.path, str(error).splitlines()[0][:200]) from None


def damaged(path: Path, what: str) -> InputError:
    """The error for a file that is no sound model."""
    return InputError(f"{path} is no sound SentencePiece model: {what}", "give the file as it was published")


def inexact(path: Path, what: str) -> InputError:
    """The error for a sound model whose ids a tokenizer.json cannot give."""
    return InputError(f"{path}: this SentencePiece model cannot be converted exactly: {what}", REMEDY)


def read(path: Path) -> Model:
    """Read a SentencePiece model and check it. Raises InputError for anything that is not one."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    proto: Any = getattr(sentencepiece_model_pb2, "ModelProto")()  # noqa: B009 - a name made at run time
    try:
        proto.ParseFromString(content)
        listed = [(p.piece, p.score, p.type) for p in proto.pieces]
        if not proto.HasField("trainer_spec") or not proto.HasField("normalizer_spec"):
            raise ValueError
        if not all(isinstance(piece, str) for piece, _, _ in listed):  # bytes: it is no UTF-8
            raise ValueError
    except (DecodeError, UnicodeDecodeError, ValueError):
        raise damaged(path, "its bytes do not parse, it is damaged or cut") from None
    if not listed:
        raise damaged(path, "it has no pieces")
    pieces, scores, types = (list(column) for column in zip(*listed, strict=True))
    model = Model(path, content, proto, pieces, scores, types)
    if "" in pieces or any("\0" in p for p in pieces):
        raise damaged(path, "a piece is empty or holds a NUL")
    if len(set(pieces)) < len(pieces):
        twice = next(p for p in pieces if pieces.count(p) > 1)
        raise damaged(path, f"the piece {twice!r} stands in it twice")
    if not all(math.isfinite(s) and abs(s) < 1e6 for s in scores):
        raise damaged(path, "a score is not a sensible number")
    if types.count(UNKNOWN) != 1 or NORMAL not in types:
        raise damaged(path, "it lacks an unknown piece, or has several, or has no ordinary ones")
    if (model.byte_fallback or BYTE in types) and sorted(model.of_type(BYTE)) != [
        f"<0x{b:02X}>" for b in range(256)
    ]:
        raise damaged(path, "it does not have the 256 bytes as pieces")
    return model
