"""Pieces put together: what becomes of each document, the ledger of all, and the manifest of the corpus.

No text moves: the pieces' parts are taken over as they are, and one byte a document says what it is for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tane.errors import InputError
from tane.files import Manifest
from tane.progress import say
from tane.text import fates, near, pieces
from tane.text.changes import Changes
from tane.text.fates import Fate
from tane.text.inputs import CorpusSettings, fingerprint_of
from tane.text.ledger import Ledger
from tane.text.parts import part_name, read_part
from tane.text.split import shares
from tane.types import Document

SPLITS = ("train", "valid")
FATES = "fates.bin"  # one byte a document: see fates.Fate
LISTED = 5  # inputs, at most, of which each is told by name
NAMED = 3  # inputs that a message names


class Join:
    """All pieces together: fates, ledger and manifest of the corpus in `folder`.

    What is held of each piece is small, and nothing is held of each file but what the fingerprint needs:
    there may be millions.
    """

    def __init__(self, settings: CorpusSettings, places: list[Path], folder: Path) -> None:
        self.settings, self.places, self.folder = settings, places, folder
        self.rows = fates.Rows([place / pieces.ROWS for place in places])
        self.share = 0.0 if settings.valid_inputs else settings.valid_fraction
        self.cut: dict[str, Any] | None = None
        self.ledger = Ledger()
        self.parts: list[list[list[int]]] = []  # of each piece, [documents, characters] of its parts
        self.changes: dict[str, Changes] = {}
        self.examples: dict[str, list[list[str]]] = {}
        self.valid = 0  # documents that were given for validation
        self.names: dict[str, list[str]] = {}  # by role, the first inputs
        self.inputs: Counter[str] = Counter()  # by role, how many there are
        self.found: Counter[str] = Counter()  # what was found in them
        self.first: list[str] = []  # the same, of the first ones by name
        self.weights: list[list[float]] = []  # [weight, documents] of inputs in order, equal ones together

    def run(self, tell: bool) -> dict[str, Any]:
        """Write the corpus and return the manifest's meta."""
        pieces.write_records(self.folder / pieces.RECORDS, self._gather())
        parts = self._link()
        found = self._decide(self.rows.count)
        counts = fates.totals(self.rows, found)
        for fate, reason in fates.REASONS.items():
            dropped, length = counts[fate]
            if dropped:
                self.ledger.drop(reason, length, dropped)
                self.ledger.kept_documents -= dropped
                self.ledger.kept_characters -= length
        self._require_documents(counts)
        moved = self._rescue(found)
        counts = fates.totals(self.rows, found)
        self.ledger.check("the corpus")
        documents, characters = self._splits(counts)
        written = sum(characters.values()), sum(documents.values())
        if written != (self.ledger.kept_characters, self.ledger.kept_documents):
            raise RuntimeError(f"the splits hold {characters}, the ledger says {self.ledger.json()['kept']}")
        if tell:
            self._report()
        by = "hash of the text" if self.share else "inputs" if self.settings.valid_inputs else "none"
        records = pieces.read_records(self.folder / pieces.RECORDS)
        used, kept = fingerprint_of(self.settings, records)
        meta = {
            "settings": self.settings.model_dump(mode="json"),
            "parts": self._parts(parts, found),
            "ledger": self.ledger.json(),
            "changes": {name: changes.json() for name, changes in self.changes.items()},
            "examples": self.examples,
            "documents": documents,
            "characters": characters,
            "versions": {**used, "unidata": unicodedata.unidata_version},
            "split": {"by": by, "moved": moved, "cut": self.cut},
            "weights": self._weights(found),
            "fingerprint": kept,
        }
        found.flush()
        return meta

    def _gather(self) -> Iterator[dict[str, Any]]:
        """Go through the pieces once; gives the record of each input, shortened."""
        for place in self.places:
            meta = Manifest.read(place, "piece").meta
            self.parts.append(meta["parts"])
            for name, kept in meta["changes"].items():
                self.changes.setdefault(name, Changes(name)).merge(Changes.from_json(kept))
            for reason, few in meta["examples"].items():
                mine = self.examples.setdefault(reason, [])
                mine += few[: pieces.EXAMPLES - len(mine)]
            for record in pieces.read_records(place / pieces.RECORDS):
                yield self._noted(record)

    def _noted(self, record: dict[str, Any]) -> dict[str, Any]:
        """Take one input's counts; returns its record with the short form of its ledger."""
        kept, role = record["ledger"], record["role"]
        count = kept["kept"]["documents"]
        self.ledger.add(pieces.ledger_of(record))
        self.inputs[role] += 1
        self.valid += count if role == "valid" else 0
        if self.inputs[role] <= NAMED:
            self.names.setdefault(role, []).append(record["path"])
        what = _found(record)
        self.found[what] += 1
        if len(self.first) <= LISTED:
            self.first.append(f"{record['path']}: {what}")
        if count and self.weights and self.weights[-1][0] == record["weight"]:
            self.weights[-1][1] += count
        elif count:
            self.weights.append([record["weight"], count])
        return {
            **record,
            "ledger": {"read": kept["read"], "kept": kept["kept"]["characters"], "documents": count},
        }

    def _link(self) -> list[list[int]]:
        """Take the pieces' parts over under running numbers; returns [documents, characters] of each."""
        counts: list[list[int]] = []
        for place, mine in zip(self.places, self.parts, strict=True):
            for number, count in enumerate(mine):
                target = self.folder / part_name(len(counts))
                try:
                    os.link(place / part_name(number), target)
                except OSError:  # a file system without links
                    shutil.copyfile(place / part_name(number), target)
                counts.append(count)
        return counts

    def _decide(self, total: int) -> Any:
        """The fates (D,) of all documents, mapped to their file."""
        path = self.folder / FATES
        path.write_bytes(b"")
        if not total:
            return np.zeros(0, dtype=np.uint8).view(_Flushable)
        found = np.memmap(path, dtype=np.uint8, mode="w+", shape=(total,))
        exact = self.settings.dedup != "none"
        fates.decide(self.rows, self.valid, self.share, exact=exact, fates=found, place=self.folder)
        if self.settings.dedup == "near":
            with tempfile.TemporaryFile(dir=self.folder) as together:
                for place in self.places:
                    with open(place / pieces.SIGNATURES, "rb") as file:
                        shutil.copyfileobj(file, together, 1 << 20)
                together.flush()
                signatures = np.memmap(together, dtype=np.uint32, mode="r").reshape(total, -1)
                alike = near.duplicates(signatures, found <= Fate.CUT, self.settings.near_threshold)
                found[alike] = Fate.NEAR_DUPLICATE
        return found

    def _splits(self, counts: dict[Fate, tuple[int, int]]) -> tuple[dict[str, int], dict[str, int]]:
        """Documents and characters of train and valid; a document that is cut counts in both."""
        documents = {"train": counts[Fate.TRAIN][0], "valid": counts[Fate.VALID][0]}
        characters = {"train": counts[Fate.TRAIN][1], "valid": counts[Fate.VALID][1]}
        if self.cut is not None:
            for split in SPLITS:
                documents[split] += 1
                characters[split] += self.cut["characters"][split]
        return documents, characters

    def _parts(self, parts: list[list[int]], found: Any) -> list[dict[str, int]]:
        """Of each part its documents, characters, and the documents of each split."""
        rows, start = [], 0
        for documents, characters in parts:
            mine = np.bincount(found[start : start + documents], minlength=len(Fate))
            cut = int(mine[Fate.CUT])
            rows.append({
                "documents": documents, "characters": characters,
                "train": int(mine[Fate.TRAIN]) + cut, "valid": int(mine[Fate.VALID]) + cut,
            })  # fmt: skip
            start += documents
        return rows

    def _weights(self, found: Any) -> list[list[float]] | None:
        """[weight, documents] runs over the training documents, or None where every weight is 1."""
        if all(weight == 1 for weight, _ in self.weights):
            return None

        def each() -> Iterator[tuple[float, int]]:
            start = 0
            for weight, count in self.weights:
                stop = start + int(count)
                yield weight, fates.trained(found[start:stop])
                start = stop

        return fates.runs(each())

    def _require_documents(self, counts: dict[Fate, tuple[int, int]]) -> None:
        roles = {"the inputs": Fate.TRAIN, "corpus.valid_inputs": Fate.VALID}
        for what, fate in roles.items() if self.settings.valid_inputs else ():
            if not counts[fate][0]:
                told = f"0 usable documents in {what} ({self.ledger.reasons()})"
                raise InputError(told, self._names("train" if fate is Fate.TRAIN else "valid"))
        if not self.ledger.kept_documents:
            raise InputError(f"0 usable documents ({self.ledger.reasons()})", self._names("train"))

    def _names(self, role: str) -> str:
        names, count = self.names.get(role, []), self.inputs[role]
        more = f" and {count - NAMED:,} more" if count > NAMED else ""
        return f"look at {', '.join(names)}{more}"

    def _rescue(self, found: Any) -> str | None:
        """Where the hash put all documents on one side, move one over (or a part of it), so both have some.

        The document is the one whose hash is nearest to the border. It moves whole if it is at most twice as
        long as the share that the other side should have, else it is cut at the end of a sentence: its end is
        for validation. Returns what was done, in words.
        """
        counts = fates.totals(self.rows, found)
        train, valid = counts[Fate.TRAIN], counts[Fate.VALID]
        if not self.share or (train[0] and valid[0]):
            return None
        source, target = (Fate.TRAIN, Fate.VALID) if train[0] else (Fate.VALID, Fate.TRAIN)
        documents, characters = counts[source]
        number = fates.nearest(self.rows, found, source, lowest=source is Fate.TRAIN)
        share = self.share if source is Fate.TRAIN else 1 - self.share
        wanted = max(1, round(share * characters))
        document = self._document(number)
        text, alone = document.text, documents == 1
        kept = ""  # what stays on the document's old side
        if alone or len(text) > 2 * wanted:
            both = shares(text, wanted, tail=source is Fate.TRAIN)
            if both is None and alone and source is Fate.TRAIN:
                say("one document of one character: there is nothing for validation")
                return "nothing: one document of one character"
            kept, text = both or ("", text)
        name = target.name.lower()
        if kept:
            found[number] = Fate.CUT
            sides = {source.name.lower(): len(kept), name: len(text)}
            head = source if document.text.startswith(kept) else target
            self.cut = {
                "document": number, "place": sides[head.name.lower()], "head": head.name.lower(),
                "renamed": name, "characters": sides,
            }  # fmt: skip
            self.ledger.found += 1
            self.ledger.kept_documents += 1
        else:
            found[number] = target
        part = f"{len(text):,} characters of " if kept else ""
        words = f"{part}{document.id} went to {name}: no document's hash fell there"
        say(f"few documents: {words}")
        return words

    def _document(self, number: int) -> Document:
        """A document by its number."""
        start = 0
        for place, parts in zip(self.places, self.parts, strict=True):
            for part, (documents, _) in enumerate(parts):
                if number < start + documents:
                    for at, document in enumerate(read_part(place / part_name(part)), start):
                        if at == number:
                            return document
                start += documents
        raise RuntimeError(f"there is no document {number}")

    def _report(self) -> None:
        if len(self.first) <= LISTED:
            for line in self.first:
                say(line)
        else:
            kinds = self.found.most_common()
            say("inputs: " + "; ".join(f"{count:,} x {what}" for what, count in kinds))
        say(self.ledger.table())


def _found(record: dict[str, Any]) -> str:
    """What was found in one file, for the person: a wrong guess must be seen."""
    found = record["found"]
    words = [record["source"]] if record["source"] != "plain" else []
    words += [str(found["encoding"])] if "encoding" in found else []
    words += [f"column {', '.join(found['columns'])}"] if found.get("columns") else []
    words += [f"separator {found['delimiter']!r}"] if "delimiter" in found else []
    return ", ".join(words)


class _Flushable(np.ndarray):
    """An empty array where a mapped one is expected."""

    def flush(self) -> None:
        """Nothing to write."""
