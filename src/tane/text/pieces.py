"""Pieces of a corpus: some input files read, normalised, cut and filtered, each document with its digest.

Inputs are divided into pieces by their order and size alone: a large file is one, small neighbours share one.
A piece depends on nothing but its own files, so pieces are made by several processes or machines at once, and
one that is finished is kept when the work is killed. What needs all documents at a time (duplicates, the
split) comes after, in corpus.py, and looks at the digests only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from tane import files, resources
from tane.errors import IntegrityError
from tane.text import near, normalize
from tane.text.changes import Changes
from tane.text.inputs import CorpusSettings, Input, versions
from tane.text.ledger import Ledger
from tane.text.parts import PartWriter
from tane.text.raw import Raw, require_regular
from tane.text.sources import Reading, source
from tane.text.split import pieces as cut_text
from tane.workers import Progress

PIECE_BYTES = 32 << 20  # of small files, as they lie on the disk, that share a piece
PIECE_FILES = 4096  # files that share a piece, however small they are
LAYOUT = 2  # of a piece's folder
FRAGMENT = 1 << 20  # characters of one record that a source holds, unless max_document_chars is larger
DIGEST = 16  # bytes of blake2b that stand for a text: no two share one
ROWS, SIGNATURES, RECORDS = "rows.bin", "signatures.bin", "inputs.jsonl"
# of rows.bin: the digest of the document's text, that by which duplicates are found, its length in characters
ROW = [("high", ">u8"), ("low", ">u8"), ("key_high", ">u8"), ("key_low", ">u8"), ("characters", "<u4")]
TOGETHER = 1 << 16  # characters of texts whose changes are counted at a time
EXAMPLES = 10  # kept of each reason why documents were dropped
EXCERPT = 200  # characters of an example


class Piece(NamedTuple):
    """Consecutive inputs that are read together; name: of its folder, from all but the files' content."""

    number: int
    name: str
    inputs: list[Input]
    bytes: int


def plan(settings: CorpusSettings, inputs: list[Input]) -> list[Piece]:
    """The pieces of a corpus in order; the same inputs and settings give the same ones."""
    groups: list[list[Input]] = []
    sizes: list[int] = []
    for item in inputs:
        size = require_regular(item.path).st_size
        if groups and sizes[-1] + size <= PIECE_BYTES and len(groups[-1]) < PIECE_FILES:
            groups[-1].append(item)
            sizes[-1] += size
        else:
            groups.append([item])
            sizes.append(size)
    options = settings.model_dump(mode="json", exclude={"inputs", "valid_inputs"})
    found = []
    for number, (group, size) in enumerate(zip(groups, sizes, strict=True)):
        how = [[item.name, item.how()] for item in group]
        used = versions(settings, {item.normalize for item in group})
        key = files.digest([options, how, used, LAYOUT])
        found.append(Piece(number, f"{number:05d}-{key[:16]}", group, size))
    return found


def share(pieces: list[Piece], part: int, parts: int) -> list[Piece]:
    """The pieces of part `part` (from 1) of `parts`: dealt out by size, so that each has about as much."""
    ranked = sorted(pieces, key=lambda piece: (-piece.bytes, piece.number))
    return sorted(ranked[part - 1 :: parts], key=lambda piece: piece.number)


def job(settings: CorpusSettings, piece: Piece, folder: Path) -> dict[str, Any]:
    """What `read` takes, as JSON: it may run in another process."""
    items = [{**asdict(item), "path": str(item.path)} for item in piece.inputs]
    options = settings.model_dump(mode="json", exclude={"inputs", "valid_inputs"})
    return {"settings": options, "inputs": items, "folder": str(folder / piece.name)}


def read(job: dict[str, Any], progress: Progress) -> None:
    """Read one piece and publish its folder. Raises InputError for what cannot be read."""
    inputs = [
        Input(**{**item, "path": Path(item["path"]), "columns": tuple(item["columns"])})
        for item in job["inputs"]
    ]
    settings = CorpusSettings(**job["settings"])
    folder, size = Path(job["folder"]), sum(item.path.stat().st_size for item in inputs)
    with resources.writing(folder, size), ExitStack() as stack:  # files may be flushed when they are closed
        files.publish(
            folder, "piece", lambda place: _Reader(settings, place, stack).run(inputs, progress), needs=size
        )


def finished(piece: Piece, folder: Path) -> bool:
    """Whether a piece is whole and its inputs have the content that it was made from; else it is deleted."""
    place = folder / piece.name
    if not place.exists():
        return False
    try:
        files.check(place, "piece")
    except IntegrityError:
        files.delete(place)
        return False
    for item, record in zip(piece.inputs, read_records(place / RECORDS), strict=True):
        raw = Raw(item.path)
        raw.finish()
        if raw.sha256 != record["sha256"]:
            files.delete(place)
            return False
    return True


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """What is known of each input, from a file of JSON lines: there may be millions."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write what `read_records` reads."""
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


class _Reader:
    """Reads the files of one piece: documents to parts, digests to rows, counts to the ledger."""

    def __init__(self, settings: CorpusSettings, folder: Path, stack: ExitStack) -> None:
        self.settings, self.folder = settings, folder
        self.writer = PartWriter(folder)
        self.rows = stack.enter_context((folder / ROWS).open("wb"))
        self.signatures = None
        if settings.dedup == "near":
            self.signatures = stack.enter_context((folder / SIGNATURES).open("wb"))
        self.changes: dict[str, Changes] = {}
        self._changed: list[tuple[str, str]] = []  # texts before and after, not yet counted in `changes`
        self._changed_size = 0
        self.examples: dict[str, list[list[str]]] = {}

    def run(self, inputs: list[Input], progress: Progress) -> dict[str, Any]:
        """Read all; returns the manifest's meta."""
        write_records(self.folder / RECORDS, (self._read(item, progress) for item in inputs))
        self.writer.close()
        self.rows.close()
        if self.signatures is not None:
            self.signatures.close()
        return {
            "parts": self.writer.counts,
            "changes": {name: changes.json() for name, changes in self.changes.items()},
            "examples": self.examples,
        }

    def _read(self, item: Input, progress: Progress) -> dict[str, Any]:
        """All documents of one file; returns its record."""
        settings = self.settings
        raw = Raw(item.path, progress, item.name)
        reading = Reading(
            raw=raw,
            unit=item.unit,
            encoding=item.encoding,
            normalize=item.normalize,
            columns=item.columns,
            sheet=item.sheet,
            quoting=item.quoting,
            format=item.format,
            on_bad=settings.on_bad,
            fragment=max(FRAGMENT, settings.max_document_chars),
        )
        ledger = reading.ledger
        as_read = settings.dedup == "exact"
        for name, text, meta, before in self._documents(item, reading):
            ledger.found += 1
            if not text or text.isspace():
                ledger.drop("empty", len(text))
                continue
            reason = settings.filters.reason(text)
            if reason:
                ledger.drop(reason, len(text))
                self._note(reason, name, text)
                continue
            ledger.kept_documents += 1
            ledger.kept_characters += len(text)
            digest = key = hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()
            if as_read and before is not text:
                key = hashlib.blake2b(before.encode(), digest_size=DIGEST).digest()
            self.rows.write(digest + key + len(text).to_bytes(4, "little"))
            if self.signatures is not None:
                self.signatures.write(near.signature(text).tobytes())
            self.writer.write(name, text, meta)
        if not ledger.found:  # so that a file without text shows among the reasons
            ledger.found += 1
            ledger.drop("empty", 0)
        ledger.check(item.name)
        return {**item.state(raw.bytes, raw.sha256), "found": reading.found, "ledger": ledger.json()}

    def _documents(
        self, item: Input, reading: Reading
    ) -> Iterator[tuple[str, str, dict[str, Any] | None, str]]:
        """(id, normalised text, meta, text as it was read) of each document of a file.

        As it was read is known of whole records only; for the pieces of a long one it is the normalised text.
        """
        form, limit = item.normalize, self.settings.max_document_chars
        # a form for whole files works on each record where a file holds many
        per_document = form not in normalize.WHOLE_FILE or item.source != "plain"
        ledger = reading.ledger
        place = number = 0
        for text, position, meta in source(item.source).records(reading):
            before = text
            if per_document:
                text, parts = normalize.normalize(text, form)
                if parts:
                    ledger.change.update(parts)
                if text is not before and form in normalize.FORMS:
                    self._note_change(form, before, text)
            few: tuple[str, ...] = (text,)
            if len(text) > limit:
                few = tuple(cut_text(text, limit))
                ledger.notes["documents_split"] += 1
            for piece in few:
                number = number + 1 if position == place else 1
                place = position
                again = f"#{number}" if number > 1 else ""
                yield f"{item.name}:{position}{again}", piece, meta, before if piece is text else piece

        self._count_changes(form)

    def _note_change(self, form: str, before: str, after: str) -> None:
        self._changed.append((before, after))
        self._changed_size += len(before)
        if self._changed_size >= TOGETHER:
            self._count_changes(form)

    def _count_changes(self, form: str) -> None:
        """Many texts at a time: a line end joins nothing, so they may be looked at as one."""
        if self._changed:
            before, after = ("\n".join(texts) for texts in zip(*self._changed, strict=True))
            self.changes.setdefault(form, Changes(form)).add(before, after)
        self._changed, self._changed_size = [], 0

    def _note(self, reason: str, name: str, text: str) -> None:
        kept = self.examples.setdefault(reason, [])
        if len(kept) < EXAMPLES:
            kept.append([name, text[:EXCERPT]])


def ledger_of(record: dict[str, Any]) -> Ledger:
    """The ledger of one file's record."""
    return Ledger.from_json(record["ledger"])
