"""Texts that a person gives on the command line or in a call, before a model sees them."""

from __future__ import annotations

from collections.abc import Sequence

from tane.errors import InputError
from tane.text.cells import SURROGATE


def require_unicode(flag: str, texts: Sequence[str]) -> None:
    """Raise InputError for a text with a lone surrogate: what a terminal's bytes become that are no UTF-8."""
    for number, text in enumerate(texts, 1):
        if SURROGATE.search(text):
            raise InputError(f"{flag}: text {number:,} holds bytes that are no UTF-8", "write it as UTF-8")
