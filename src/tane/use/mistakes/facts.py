"""What the checks of a plan look at, and what they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tane.recipe import Recipe
from tane.tokens.encoder import Encoder

Named = tuple[str, str]  # the name of a document, and its text


class Mistake(NamedTuple):
    """Something that a person would rather know before training: what was found and why it hurts, and what
    to type. stops: training ends with an error because of it."""

    name: str
    message: str
    remedy: str
    stops: bool = False


class Looked(NamedTuple):
    """The documents that were looked at. whole: whether they are all there are; left_out: documents of the
    training inputs that are left out, since they are for validation too."""

    train: list[Named]
    valid: list[Named]
    whole: bool = True
    left_out: int = 0

    def told(self) -> dict[str, Any]:
        """As a plan's `looked_at` has it."""
        return {
            "training_documents": len(self.train), "validation_documents": len(self.valid),
            "characters": sum(len(text) for _, text in (*self.train, *self.valid)), "all": self.whole,
        }  # fmt: skip


class Copies(NamedTuple):
    """Validation documents that stand in the training text, word for word or nearly so, each with the name of
    the training document that holds it; long: how many were long enough to be a near copy."""

    exact: list[Named]
    near: list[Named]
    long: int


class Pieces(NamedTuple):
    """What is known of the tokenizer. name: of its folder or file; size: V; pad, eos: their ids; eos_token:
    its spelling; unknown: the share of unknown tokens in the text, None where they were not counted."""

    name: str
    size: int
    pad: int
    eos: int
    eos_token: str
    unknown: float | None = None

    @classmethod
    def of(cls, encoder: Encoder, name: str, unknown: float) -> Pieces:
        """What an encoder knows of it."""
        found = encoder.vocabulary
        return cls(name, found.size, found.pad_id, found.eos_id, encoder.eos_token, unknown)


@dataclass(frozen=True)
class Facts:
    """All that is known of a recipe before training.

    values: those of the plan; tokens: of the training text, each document once; pieces: None where the
    tokenizer is yet to be trained; rows, width, positions: of the model's tables; padding: share of the
    positions of a block or micro-batch that hold nothing; passes: how often training reads what it reads most
    often; needs: bytes that a run writes; free: bytes on its disk. None: not known.
    """

    recipe: Recipe
    values: dict[str, Any]
    looked: Looked
    copies: Copies
    tokens: int
    pieces: Pieces | None
    rows: int
    width: int
    positions: int | None
    padding: float | None
    passes: float | None
    needs: int
    free: int | None
