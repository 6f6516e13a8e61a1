"""A URL as an input: downloaded once, resumed, checked, published by rename."""

from __future__ import annotations

from pathlib import Path


def fetch(url: str, *, sha256: str | None = None) -> Path:
    """The local file of a URL."""
    raise NotImplementedError
