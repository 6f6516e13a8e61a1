"""Reading one file as the corpus does, with the law of its ledger checked."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from tane.text.raw import Raw
from tane.text.sources import Reading, Record, source_for


def read(path: Path, unit: str | None = None, **options: Any) -> tuple[list[Record], Reading]:
    """All records of a file, none over the fragment; every character read is accounted for."""
    _, source = source_for(path, options.get("format") or None)
    reading = Reading(Raw(path), unit=unit or source.unit, **options)  # type: ignore[arg-type]
    records = list(source.records(reading))
    book(reading, [record.text for record in records])
    return records, reading


def book(reading: Reading, texts: list[str]) -> None:
    """Book the texts as kept and check the law; no text may be too long or hold a lone surrogate."""
    ledger = reading.ledger
    ledger.found += len(texts)
    ledger.kept_documents += len(texts)
    for text in texts:
        text.encode()
        assert len(text) <= reading.fragment
        ledger.kept_characters += len(text)
    ledger.check(reading.raw.name)


def texts(path: Path, data: bytes | str, unit: str | None = None, **options: Any) -> list[str]:
    """The texts of a file with this content."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [record.text for record in read(path, unit, **options)[0]]


def packed(path: Path) -> Path:
    """The packed twin of a file whose name ends in .gz or .zst: written beside it from the plain one."""
    data = path.with_suffix("").read_bytes()
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    else:
        import zstandard

        path.write_bytes(zstandard.ZstdCompressor().compress(data))
    return path
