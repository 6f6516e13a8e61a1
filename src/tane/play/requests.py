"""What the page may ask for: the fields of each request, their types and bounds; nothing else is taken."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tane.errors import InputError

MOST_TEXT = 10_000  # characters of a text that is cut into words or tokens, filled or labelled
MOST_PROMPT = 1_000_000
MOST_TOKENS = 4096  # new ones of one request
MOST_FILLS = 100
MOST_CHOICES = 20


class Asked(BaseModel):
    """A request about the model of this number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    model: int = Field(0, ge=0, le=1)


class Generate(Asked):
    """Go on with a prompt: the settings of `tane generate`."""

    prompt: str = Field("", max_length=MOST_PROMPT)
    max_new_tokens: int = Field(100, ge=1, le=MOST_TOKENS)
    temperature: float = Field(1.0, gt=0, lt=100)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, lt=100)
    seed: int = Field(0, ge=0, lt=2**63)
    greedy: bool = False


class Text(Asked):
    """A text to be cut: into tokens, or into words and masks."""

    text: str = Field(max_length=MOST_TEXT)


class Fill(Text):
    """Fill the masks of a text: the settings of `tane fill`."""

    top_k: int = Field(5, ge=1, le=MOST_FILLS)
    whole_word: bool = False


class Label(Text):
    """Label a text; pair: the second text; choices: of a multiple choice."""

    pair: str | None = Field(None, max_length=MOST_TEXT)
    choices: list[str] = Field([], max_length=MOST_CHOICES)


class TooLong(InputError):
    """A text of more characters than are taken."""


def read(kind: type[Asked], body: bytes) -> Any:
    """A request of a kind. Raises InputError for what is not JSON, or not such a request."""
    try:
        values = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError("the request is not JSON in UTF-8") from None
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        if first["type"] == "string_too_long":
            most = MOST_PROMPT if where == "prompt" else MOST_TEXT
            raise TooLong(f"{where}: expected at most {most:,} characters") from None
        raise InputError(f"{where}: {first['msg']}") from None
