"""The corpus: files become documents, split into training and validation, every character accounted for.

    files -> records -> normalised -> pieces -> not blank, not seen before -> train or valid -> parts

The split is by a hash of the normalised text alone, so neither the order of the files nor new ones ever move
an old document. The set of seen digests costs about 90 bytes a document (10 million documents: 0.9 GB); all
else is streamed.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tane import files, registry, signals
from tane.errors import InputError, IntegrityError
from tane.files import Manifest
from tane.progress import bar, say
from tane.text import normalize
from tane.text.inputs import CorpusSettings, Input, InputSettings, expand, fingerprint, input_state, versions
from tane.text.ledger import Ledger
from tane.text.parts import PartWriter, read_part
from tane.text.raw import Raw, require_regular
from tane.text.sources import KIND, Reading
from tane.text.split import pieces, shares
from tane.types import Document

__all__ = ["Corpus", "CorpusSettings", "InputSettings", "build_corpus", "fingerprint", "input_state"]

SPLITS = ("train", "valid")
DIGEST = 15  # bytes of blake2b that stand for a text: no two share one, and 48 bytes of memory hold it
FRAGMENT = 1 << 20  # characters of one record that a source holds, unless max_document_chars is larger


def build_corpus(settings: CorpusSettings, folder: str | Path) -> Manifest:
    """Read the inputs and publish the corpus in `folder`; an older one there makes way.

    Raises InputError for unreadable inputs and where no usable document is left, ResourceError where the
    folder cannot be written.
    """
    inputs = expand(settings)
    return files.publish(Path(folder), "corpus", lambda place: _Builder(settings, place).run(inputs))


class _Builder:
    """One run of build_corpus: the open parts, the digests seen, the ledger."""

    def __init__(self, settings: CorpusSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.ledger = Ledger()
        self.seen: set[bytes] = set()
        self.in_validation: set[bytes] = set()
        self.writers = {split: PartWriter(folder, split) for split in SPLITS}
        share = 0.0 if settings.valid_inputs else settings.valid_fraction
        self.threshold = int(share * 2 ** (8 * DIGEST)).to_bytes(DIGEST, "big")
        self.share = share
        # digest and id of the training document nearest to validation, and the other way round
        self.lowest: tuple[bytes, str] | None = None
        self.highest: tuple[bytes, str] | None = None
        self.records: list[dict[str, Any]] = []

    def run(self, inputs: list[Input]) -> dict[str, Any]:
        """Read all inputs, write the parts, and return the manifest's meta."""
        with bar(sum(require_regular(item.path).st_size for item in inputs), "reading", "B") as progress:
            for item in inputs:
                self._read(item, progress)
        for writer in self.writers.values():
            writer.close()
        self._require_documents()
        moved = self._rescue()
        self.ledger.check("the corpus")
        writers = self.writers.values()
        written = sum(w.characters for w in writers), sum(w.documents for w in writers)
        if written != (self.ledger.kept_characters, self.ledger.kept_documents):
            raise RuntimeError(f"the parts hold {written}, the ledger says {self.ledger.json()['kept']}")
        self._report()
        state = [{k: v for k, v in record.items() if k not in ("found", "ledger")} for record in self.records]
        by = "hash of the text" if self.share else "inputs" if self.settings.valid_inputs else "none"
        return {
            "settings": self.settings.model_dump(mode="json"),
            "inputs": self.records,
            "ledger": self.ledger.json(),
            "documents": {split: writer.documents for split, writer in self.writers.items()},
            "characters": {split: writer.characters for split, writer in self.writers.items()},
            "versions": {**versions({i.normalize for i in inputs}), "unidata": unicodedata.unidata_version},
            "split": {"by": by, "moved": moved},
            "fingerprint": fingerprint(self.settings, state),
        }

    def _read(self, item: Input, progress: Any) -> None:
        """All documents of one file."""
        settings = self.settings
        raw = Raw(item.path, progress.update)
        reading = Reading(
            raw=raw,
            unit=item.unit,
            encoding=item.encoding,
            normalize=item.normalize,
            on_bad=settings.on_bad,
            fragment=max(FRAGMENT, settings.max_document_chars),
        )
        ledger, form = reading.ledger, item.normalize
        per_document = form not in normalize.WHOLE_FILE
        limit = settings.max_document_chars
        place = number = 0
        for text, position, meta in registry.find(KIND, item.source)().records(reading):
            if per_document:
                text, parts = normalize.normalize(text, form)
                if parts:
                    ledger.change.update(parts)
            few: tuple[str, ...] = (text,)
            if len(text) > limit:
                few = tuple(pieces(text, limit))
                ledger.notes["documents_split"] += 1
            for piece in few:
                number = number + 1 if position == place else 1
                place = position
                name = f"{item.name}:{position}" if number == 1 else f"{item.name}:{position}#{number}"
                self._keep(item.role, name, piece, meta, ledger)
        if not ledger.found:  # so that a file without text shows among the reasons
            ledger.found += 1
            ledger.drop("empty", 0)
        ledger.check(item.name)
        self.ledger.add(ledger)
        short = {"read": ledger.read, "kept": ledger.kept_characters, "documents": ledger.kept_documents}
        found = {"encoding": reading.found.get("encoding")}
        self.records.append({**item.state(raw.bytes, raw.sha256), "found": found, "ledger": short})

    def _keep(self, role: str, name: str, text: str, meta: dict[str, Any] | None, ledger: Ledger) -> None:
        """Write one document, or book why not."""
        ledger.found += 1
        if not text or text.isspace():
            ledger.drop("empty", len(text))
            return
        digest = hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()
        if role == "train" and digest in self.in_validation:
            ledger.drop("in_validation", len(text))
            return
        if self.settings.dedup == "exact":
            if digest in self.seen:
                ledger.drop("duplicate", len(text))
                return
            self.seen.add(digest)
        split = "train"
        if role == "valid":
            self.in_validation.add(digest)
            split = "valid"
        elif digest < self.threshold:
            split = "valid"
            if self.highest is None or digest > self.highest[0]:
                self.highest = digest, name
        elif self.lowest is None or digest < self.lowest[0]:
            self.lowest = digest, name
        ledger.kept_documents += 1
        ledger.kept_characters += len(text)
        self.writers[split].write(name, text, meta)

    def _require_documents(self) -> None:
        roles = {"the inputs": "train", "corpus.valid_inputs": "valid"} if self.settings.valid_inputs else {}
        for what, split in roles.items():
            if not self.writers[split].documents:
                counts = self.ledger.reasons()
                raise InputError(f"0 usable documents in {what} ({counts})", self._names(split))
        if not self.ledger.kept_documents:
            raise InputError(f"0 usable documents ({self.ledger.reasons()})", self._names("train"))

    def _names(self, role: str) -> str:
        names = [record["path"] for record in self.records if record["role"] == role]
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        return f"look at {', '.join(names[:3])}{more}"

    def _rescue(self) -> str | None:
        """Where the hash put all documents on one side, move one over (or a part of it), so both have some.

        The document is the one whose hash is nearest to the border. It moves whole if it is at most twice as
        long as the share that the other side should have, else it is cut at the end of a sentence: its end is
        for validation. Returns what was done, in words.
        """
        train, valid = self.writers["train"], self.writers["valid"]
        if not self.share or (train.documents and valid.documents):
            return None
        source, target = (train, valid) if train.documents else (valid, train)
        nearest = self.lowest if source is train else self.highest
        assert nearest is not None
        share = self.share if source is train else 1 - self.share
        wanted = max(1, round(share * source.characters))
        old = [self.folder / name for name in source.names]
        document = next(d for path in old for d in read_part(path) if d.id == nearest[1])
        text = document.text
        first, alone = "", source.documents == 1  # first: what stays on the document's old side
        if alone or len(text) > 2 * wanted:
            both = shares(text, wanted, tail=source is train)
            if both is None and alone and source is train:
                say("one document of one character: there is nothing for validation")
                return "nothing: one document of one character"
            first, text = both or (first, text)
        again = {split: PartWriter(self.folder, f"{split}-again") for split in SPLITS}
        keeps, gets = again[source.split], again[target.split]
        for path in old:
            for other in read_part(path):
                if other.id != document.id:
                    keeps.write(other.id, other.text, other.meta)
                elif first:
                    keeps.write(other.id, first, other.meta)
        gets.write(f"{document.id}#{target.split}" if first else document.id, text, document.meta)
        self._replace(again)
        if first:
            self.ledger.found += 1
            self.ledger.kept_documents += 1
        part = f"{len(text):,} characters of " if first else ""
        words = f"{part}{document.id} went to {target.split}: no document's hash fell there"
        say(f"few documents: {words}")
        return words

    def _replace(self, again: dict[str, PartWriter]) -> None:
        for split, writer in again.items():
            writer.close()
            for name in self.writers[split].names:
                (self.folder / name).unlink()
            for name in writer.names:
                (self.folder / name).rename(self.folder / name.replace("-again", ""))
            writer.names = [name.replace("-again", "") for name in writer.names]
            self.writers[split] = writer

    def _report(self) -> None:
        found = Counter(str(record["found"]["encoding"]) for record in self.records)
        if len(self.records) <= 5:
            codecs = ", ".join(f"{r['path']}: {r['found']['encoding']}" for r in self.records)
        else:
            codecs = ", ".join(f"{count:,} files {codec}" for codec, count in found.most_common())
        say(f"encoding: {codecs}")
        say(self.ledger.table())


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
        """The manifest's meta: settings, inputs, ledger, documents, characters, versions, fingerprint."""
        return self.manifest.meta

    def parts(self, split: str) -> list[Path]:
        """The files of a split ("train" or "valid") in order."""
        if split not in SPLITS:
            raise InputError(f"unknown split {split!r}", f"choose one of: {', '.join(SPLITS)}")
        return [self.folder / name for name in sorted(self.manifest.files) if name.startswith(f"{split}-")]

    def documents(self, split: str) -> Iterator[Document]:
        """The documents of a split in order; raises IntegrityError when the manifest counts others."""
        count = 0
        for path in self.parts(split):
            for document in read_part(path):
                count += 1
                if not count % 10_000:
                    signals.poll("the corpus was being read")
                yield document
        if count != self.meta["documents"][split]:
            expected = self.meta["documents"][split]
            raise IntegrityError(
                f"{self.folder} holds {count:,} {split} documents, not {expected:,} as listed"
            )

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split in order."""
        return (document.text for document in self.documents(split))
