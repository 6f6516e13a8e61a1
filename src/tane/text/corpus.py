"""The corpus: files become documents, split into training and validation, every character accounted for.

    files -> records -> normalised -> cut -> not blank, not filtered -> pieces            (each file alone)
    digests of all pieces -> not seen before -> train or valid -> one byte a document     (all together)

The split is by a hash of the normalised text alone, so neither the order of the files nor new ones ever move
an old document. Pieces are made by all cores, or on many machines, and kept when the work is killed; putting
them together moves no text. Memory stays bounded whatever the input: about one byte a document.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tane import files, signals, workers
from tane.errors import InputError, IntegrityError, Interrupted, Stopped
from tane.files import Manifest
from tane.progress import bar, say
from tane.text import fates, near, pieces
from tane.text.changes import Changes
from tane.text.fates import Fate
from tane.text.inputs import CorpusSettings, InputSettings, expand, fingerprint, input_state, versions
from tane.text.ledger import Ledger
from tane.text.parts import part_name, read_part
from tane.text.split import shares
from tane.types import Document

__all__ = ["Corpus", "CorpusSettings", "InputSettings", "build_corpus", "fingerprint", "input_state"]

SPLITS = ("train", "valid")
FATES = "fates.bin"  # one byte a document: see fates.Fate
PIECES = ".pieces"  # beside the corpus, while it is being made
ALONE = 16 << 20  # bytes of input that one process reads faster than several would start


def build_corpus(settings: CorpusSettings, folder: str | Path) -> Manifest:
    """Read the inputs and publish the corpus in `folder`; an older one there makes way.

    What an interrupted call finished is reused. Raises InputError for unreadable inputs and where no usable
    document is left, ResourceError where the folder cannot be written.
    """
    folder = Path(folder)
    inputs = expand(settings)
    planned = pieces.plan(settings, inputs)
    work = folder.parent / PIECES
    made = _read(settings, planned, work)
    missing = [piece.name for piece in planned if piece.name not in made]
    if missing:
        raise RuntimeError(f"pieces are missing: {missing[:3]}")
    manifests = [made[piece.name] for piece in planned]
    manifest = files.publish(
        folder, "corpus", lambda place: _Join(settings, work, planned, manifests, place).run()
    )
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def read_part_of(settings: CorpusSettings, folder: str | Path, part: int, parts: int) -> dict[str, int]:
    """Read part `part` (from 1) of `parts` of the inputs, for a later build_corpus in the same folder.

    Returns {"pieces": all there are, "mine": how many are this part's}.
    """
    planned = pieces.plan(settings, expand(settings))
    mine = pieces.share(planned, part, parts)
    _read(settings, mine, Path(folder).parent / PIECES)
    return {"pieces": len(planned), "mine": len(mine)}


def _read(settings: CorpusSettings, planned: list[pieces.Piece], work: Path) -> dict[str, Manifest]:
    """Make the pieces that are not there yet; returns the manifests by name."""
    done: dict[str, Manifest] = {}
    with bar(sum(piece.bytes for piece in planned), "reading", "B") as progress:
        for piece in planned:
            manifest = pieces.finished(piece, work)
            if manifest is not None:
                done[piece.name] = manifest
                progress.update(piece.bytes)
        todo = [piece for piece in planned if piece.name not in done]
        if done:
            say(f"{len(done):,} of {len(planned):,} parts were read before: kept")
        jobs = [pieces.job(settings, piece, work) for piece in todo]
        count = workers.cores() if sum(piece.bytes for piece in todo) > ALONE else 1
        finished = len(done)
        try:
            for number, _ in workers.run_jobs(
                "tane.text.pieces:read", jobs, count, progress=progress.update, what="reading the text"
            ):
                finished += 1
                done[todo[number].name] = Manifest.read(work / todo[number].name, "piece")
        except BaseException as error:
            if not finished:
                shutil.rmtree(work, ignore_errors=True)
            elif isinstance(error, Interrupted):
                kept = f"{error.message}; {finished:,} of {len(planned):,} parts are kept"
                raise Stopped(kept, "run the same command again") from None
            raise
    return done


class _Join:
    """All pieces together: fates, ledger and manifest of the corpus in `folder`."""

    def __init__(
        self, settings: CorpusSettings, work: Path, planned: list[pieces.Piece], made: list[Manifest],
        folder: Path,
    ) -> None:  # fmt: skip
        self.settings, self.folder = settings, folder
        self.places = [work / piece.name for piece in planned]
        self.made = made
        self.records = [record for manifest in made for record in manifest.meta["inputs"]]
        self.rows = [fates.rows_of(place / pieces.ROWS) for place in self.places]
        self.ledger = Ledger()
        for record in self.records:
            self.ledger.add(pieces.ledger_of(record))
        self.share = 0.0 if settings.valid_inputs else settings.valid_fraction
        self.cut: dict[str, Any] | None = None

    def run(self) -> dict[str, Any]:
        """Write the corpus and return the manifest's meta."""
        parts = self._link()
        total = sum(map(len, self.rows))
        found = self._decide(total)
        counts = fates.totals(self.rows, found)
        for fate, reason in fates.REASONS.items():
            documents, characters = counts[fate]
            if documents:
                self.ledger.drop(reason, characters, documents)
                self.ledger.kept_documents -= documents
                self.ledger.kept_characters -= characters
        self._require_documents(counts)
        moved = self._rescue(found)
        counts = fates.totals(self.rows, found)
        self.ledger.check("the corpus")
        documents, characters = self._splits(counts)
        if (sum(characters.values()), sum(documents.values())) != (
            self.ledger.kept_characters, self.ledger.kept_documents,
        ):  # fmt: skip
            raise RuntimeError(f"the splits hold {characters}, the ledger says {self.ledger.json()['kept']}")
        self._report()
        records = [self._short(record) for record in self.records]
        state = [{k: v for k, v in record.items() if k not in ("found", "ledger")} for record in records]
        by = "hash of the text" if self.share else "inputs" if self.settings.valid_inputs else "none"
        forms = {record["normalize"] for record in records}
        meta = {
            "settings": self.settings.model_dump(mode="json"),
            "inputs": records,
            "parts": self._parts(parts, found),
            "ledger": self.ledger.json(),
            "changes": self._changes(),
            "examples": self._examples(),
            "documents": documents,
            "characters": characters,
            "versions": {**versions(forms), "unidata": unicodedata.unidata_version},
            "split": {"by": by, "moved": moved, "cut": self.cut},
            "weights": self._weights(found),
            "fingerprint": fingerprint(self.settings, state),
        }
        found.flush()
        return meta

    def _link(self) -> list[list[int]]:
        """Take the pieces' parts over under running numbers; returns [documents, characters] of each."""
        counts: list[list[int]] = []
        for place, manifest in zip(self.places, self.made, strict=True):
            for number, count in enumerate(manifest.meta["parts"]):
                target = self.folder / part_name(len(counts))
                try:
                    os.link(place / part_name(number), target)
                except OSError:  # a file system without links
                    shutil.copyfile(place / part_name(number), target)
                counts.append(count)
        return counts

    def _decide(self, total: int) -> Any:
        """The fates (D,) of all documents, mapped to their file."""
        valid = sum(r["ledger"]["kept"]["documents"] for r in self.records if r["role"] == "valid")
        path = self.folder / FATES
        path.write_bytes(b"")
        if not total:
            return np.zeros(0, dtype=np.uint8).view(_Flushable)
        found = np.memmap(path, dtype=np.uint8, mode="w+", shape=(total,))
        exact = self.settings.dedup != "none"
        fates.decide(self.rows, valid, self.share, exact=exact, fates=found)
        if self.settings.dedup == "near":
            with tempfile.TemporaryFile(dir=self.folder) as together:
                for place in self.places:
                    with open(place / pieces.SIGNATURES, "rb") as file:
                        shutil.copyfileobj(file, together, 1 << 20)
                together.flush()
                signatures = np.memmap(together, dtype=np.uint32, mode="r").reshape(total, -1)
                fates.drop_near(found, near.duplicates, signatures, self.settings.near_threshold)
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
        if all(record["weight"] == 1 for record in self.records):
            return None

        def each() -> Iterator[tuple[float, int]]:
            start = 0
            for record in self.records:
                count = record["ledger"]["kept"]["documents"]
                mine = found[start : start + count]
                yield record["weight"], int(((mine == Fate.TRAIN) | (mine == Fate.CUT)).sum())
                start += count

        return fates.runs(each())

    def _changes(self) -> dict[str, Any]:
        """What the normalisers changed, how often."""
        merged: dict[str, Changes] = {}
        for manifest in self.made:
            for name, kept in manifest.meta["changes"].items():
                merged.setdefault(name, Changes(name)).merge(Changes.from_json(kept))
        return {name: changes.json() for name, changes in merged.items()}

    def _examples(self) -> dict[str, list[list[str]]]:
        """[id, beginning] of the first documents that each filter dropped."""
        merged: dict[str, list[list[str]]] = {}
        for manifest in self.made:
            for reason, few in manifest.meta["examples"].items():
                merged.setdefault(reason, []).extend(few)
        return {reason: few[: pieces.EXAMPLES] for reason, few in merged.items()}

    @staticmethod
    def _short(record: dict[str, Any]) -> dict[str, Any]:
        kept = record["ledger"]
        short = {
            "read": kept["read"],
            "kept": kept["kept"]["characters"],
            "documents": kept["kept"]["documents"],
        }
        return {**record, "ledger": short}

    def _require_documents(self, counts: dict[Fate, tuple[int, int]]) -> None:
        roles = {"the inputs": Fate.TRAIN, "corpus.valid_inputs": Fate.VALID}
        for what, fate in roles.items() if self.settings.valid_inputs else ():
            if not counts[fate][0]:
                told = f"0 usable documents in {what} ({self.ledger.reasons()})"
                raise InputError(told, self._names("train" if fate is Fate.TRAIN else "valid"))
        if not self.ledger.kept_documents:
            raise InputError(f"0 usable documents ({self.ledger.reasons()})", self._names("train"))

    def _names(self, role: str) -> str:
        names = [record["path"] for record in self.records if record["role"] == role]
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        return f"look at {', '.join(names[:3])}{more}"

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
        for place, manifest in zip(self.places, self.made, strict=True):
            for part, (documents, _) in enumerate(manifest.meta["parts"]):
                if number < start + documents:
                    for at, document in enumerate(read_part(place / part_name(part)), start):
                        if at == number:
                            return document
                start += documents
        raise RuntimeError(f"there is no document {number}")

    def _report(self) -> None:
        told = [(r["path"], str(r["found"].get("encoding") or r["source"])) for r in self.records]
        if len(told) <= 5:
            say("; ".join(f"{path}: {what}" for path, what in told))
        else:
            kinds = Counter(what for _, what in told)
            say("inputs: " + ", ".join(f"{count:,} x {what}" for what, count in kinds.most_common()))
        say(self.ledger.table())


class _Flushable(np.ndarray):
    """An empty array where a mapped one is expected."""

    def flush(self) -> None:
        """Nothing to write."""


class Part(NamedTuple):
    """One file of a corpus. start: the number of its first document; counts: those of the manifest."""

    number: int
    path: Path
    start: int
    counts: dict[str, int]


class Corpus:
    """A published corpus. Its parts are read strictly: what is cut or changed raises IntegrityError."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest

    @classmethod
    def open(cls, folder: str | Path, *, full: bool = False) -> Corpus:
        """Open a corpus; checks the manifest and the sizes of the parts, with `full` their hashes too."""
        folder = Path(folder)
        remedy = "build it again: tane prepare RECIPE --rebuild"
        return cls(folder, files.check(folder, "corpus", full=full, remedy=remedy))

    @property
    def meta(self) -> dict[str, Any]:
        """The manifest's meta: settings, inputs, parts, ledger, documents, characters, versions, split,
        weights, fingerprint."""
        return self.manifest.meta

    def parts(self) -> list[Part]:
        """The files in order."""
        found, start = [], 0
        for number, counts in enumerate(self.meta["parts"]):
            found.append(Part(number, self.folder / part_name(number), start, counts))
            start += counts["documents"]
        return found

    def part(self, part: Part) -> Iterator[tuple[str, Document]]:
        """(split, document) of each document of one part that stays in the corpus, in order."""
        kept = {int(Fate.TRAIN): "train", int(Fate.VALID): "valid"}
        with open(self.folder / FATES, "rb") as file:
            file.seek(part.start)
            mine = file.read(part.counts["documents"])
        count = 0
        for document in read_part(part.path):
            fate = mine[count] if count < len(mine) else Fate.DUPLICATE
            count += 1
            if not count % 10_000:
                signals.poll("the corpus was being read")
            if fate in kept:
                yield kept[fate], document
            elif fate == Fate.CUT:
                yield from self._halves(document)
        if count != part.counts["documents"]:
            expected = part.counts["documents"]
            raise IntegrityError(f"{part.path} holds {count:,} documents, not {expected:,} as listed")

    def _halves(self, document: Document) -> Iterator[tuple[str, Document]]:
        cut = self.meta["split"]["cut"]
        tail = "valid" if cut["head"] == "train" else "train"
        for split, text in (
            (cut["head"], document.text[: cut["place"]]),
            (tail, document.text[cut["place"] :]),
        ):
            name = f"{document.id}#{split}" if split == cut["renamed"] else document.id
            yield split, Document(name, text, document.meta)

    def documents(self, split: str) -> Iterator[Document]:
        """The documents of a split in order; raises IntegrityError when the manifest counts others."""
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}", f"choose one of: {', '.join(SPLITS)}")
        for part in self.parts():
            if part.counts[split]:
                yield from (document for name, document in self.part(part) if name == split)

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split in order."""
        return (document.text for document in self.documents(split))
