"""The corpus: files become documents, split into training and validation, every character accounted for.

    files -> records -> normalised -> cut -> not blank, not filtered -> pieces            (each file alone)
    digests of all pieces -> not seen before -> train or valid -> one byte a document     (all together)

The split is by a hash of the normalised text alone, so neither the order of the files nor new ones ever move
an old document. Pieces are made by all cores, or on many machines, and kept when the work is killed; putting
them together moves no text. Memory stays bounded whatever the input: about one byte a document.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tane import files, signals, workers
from tane.errors import InputError, IntegrityError, Interrupted, Stopped
from tane.files import Manifest
from tane.progress import bar, say
from tane.text import pieces
from tane.text.fates import Fate
from tane.text.inputs import CorpusSettings, InputSettings, expand, fingerprint, input_state
from tane.text.join import FATES, SPLITS, Join
from tane.text.parts import document_of, lines_of, part_name
from tane.types import Document

__all__ = ["Corpus", "CorpusSettings", "InputSettings", "build_corpus", "fingerprint", "input_state"]

REMEDY = "build it again: tane prepare RECIPE --rebuild"
PIECES = ".pieces"  # beside the corpus, while it is being made
ALONE = 16 << 20  # bytes of input that one process reads faster than several would start,
FEW = 10_000  # and files
MOST = 10  # processes that read, of 50 to 70 MB each: all together stay below 1 GB on any machine


def build_corpus(settings: CorpusSettings, folder: str | Path, *, tell: bool = True) -> Manifest:
    """Read the inputs and publish the corpus in `folder`; an older one there makes way.

    What an interrupted call finished is reused. tell: say what was found and print the ledger. Raises
    InputError for unreadable inputs and where no usable document is left, ResourceError where the folder
    cannot be written.
    """
    folder = Path(folder)
    inputs = expand(settings)
    planned = pieces.plan(settings, inputs)
    work = folder.parent / PIECES
    _read(settings, planned, work)
    places = [work / piece.name for piece in planned]
    # the text is linked, not written again: what is new is a record a file and a byte a document
    needs = 100_000 + 300 * len(inputs)
    manifest = files.publish(
        folder, "corpus", lambda place: Join(settings, places, place).run(tell), needs=needs
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


def _read(settings: CorpusSettings, planned: list[pieces.Piece], work: Path) -> None:
    """Make the pieces that are not there yet."""
    todo: list[pieces.Piece] = []
    with bar(sum(piece.bytes for piece in planned), "reading", "B") as progress:
        for piece in planned:
            if pieces.finished(piece, work):
                progress.update(piece.bytes)
            else:
                todo.append(piece)
        finished = len(planned) - len(todo)
        if finished:
            say(f"{finished:,} of {len(planned):,} parts were read before: kept")
        jobs = (pieces.job(settings, piece, work) for piece in todo)  # made as they are given out
        alone = sum(piece.bytes for piece in todo) <= ALONE and sum(len(p.inputs) for p in todo) <= FEW
        count = 1 if alone else min(workers.cores(), MOST)
        try:
            for _ in workers.run_jobs(
                "tane.text.pieces:read", jobs, count, progress=progress.update, what="reading the text"
            ):
                finished += 1
        except BaseException as error:
            if not finished:
                with contextlib.suppress(OSError):  # others may have finished pieces there
                    work.rmdir()
            elif isinstance(error, Interrupted):
                kept = f"{error.message}; {finished:,} of {len(planned):,} parts are kept"
                raise Stopped(kept, "run the same command again") from None
            raise


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
        manifest = files.check(folder, "corpus", full=full, remedy=REMEDY)
        if not _is_sound(manifest.meta):
            place = folder / files.MANIFEST
            raise IntegrityError(f"{place} lacks what the manifest of a corpus says", REMEDY)
        return cls(folder, manifest)

    @property
    def meta(self) -> dict[str, Any]:
        """The manifest's meta: settings, parts, ledger, documents, characters, versions, split, weights,
        fingerprint."""
        return self.manifest.meta

    def inputs(self) -> Iterator[dict[str, Any]]:
        """What is known of each input file, in the order of reading: path, bytes, sha256, how it was read,
        what was found, counts. Raises IntegrityError where the file of them is damaged."""
        if "inputs" in self.meta:  # of a corpus by 0.1
            yield from self.meta["inputs"]
            return
        path = self.folder / pieces.RECORDS
        try:
            for record in pieces.read_records(path):
                if not isinstance(record, dict):
                    raise ValueError
                yield record
        except (OSError, ValueError, RecursionError):
            raise IntegrityError(f"{path} is damaged or missing", REMEDY) from None

    def parts(self) -> list[Part]:
        """The files in order."""
        found, start = [], 0
        for number, counts in enumerate(self.meta["parts"]):
            found.append(Part(number, self.folder / part_name(number), start, counts))
            start += counts["documents"]
        return found

    def part(
        self, part: Part, first: int = 0, last: int | None = None
    ) -> Iterator[tuple[int, str, Document]]:
        """(number in the part, split, document) of what stays in the corpus of one part, in order.

        first, last: only documents of these numbers; the others are counted, not looked at.
        """
        kept = {int(Fate.TRAIN): "train", int(Fate.VALID): "valid"}
        with open(self.folder / FATES, "rb") as file:
            file.seek(part.start)
            mine = file.read(part.counts["documents"])
        count = 0
        for number, line in enumerate(lines_of(part.path)):
            count += 1
            if not count % 10_000:
                signals.poll("the corpus was being read")
            if number < first or (last is not None and number >= last) or number >= len(mine):
                continue
            document, fate = document_of(line, part.path), mine[number]
            if fate in kept:
                yield number, kept[fate], document
            elif fate == Fate.CUT:
                yield from ((number, *half) for half in self._halves(document))
        if count != part.counts["documents"]:
            expected = part.counts["documents"]
            raise IntegrityError(f"{part.path} holds {count:,} documents, not {expected:,} as listed")

    def _halves(self, document: Document) -> Iterator[tuple[str, Document]]:
        cut = self.meta["split"]["cut"]
        if cut is None:
            place = self.folder / FATES
            raise IntegrityError(f"{place} is damaged: no document of this corpus is cut", REMEDY)
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
                yield from (document for _, name, document in self.part(part) if name == split)

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split in order."""
        return (document.text for document in self.documents(split))


def _is_sound(meta: Any) -> bool:
    """Whether a manifest's meta has what is read of it here; its hash may fit and it be another program's."""
    try:
        parts, split, cut = meta["parts"], meta["split"], meta["split"]["cut"]
        counts = [part[key] for part in parts for key in ("documents", "characters", *SPLITS)]
        counts += [meta[key][name] for key in ("documents", "characters") for name in SPLITS]
        counts += [] if cut is None else [cut["place"], cut["document"], *cut["characters"].values()]
        named = [] if cut is None else [cut["head"], cut["renamed"]]
        told = (
            isinstance(split, dict)
            and isinstance(meta["settings"], dict)
            and isinstance(meta["fingerprint"], str)
        )
    except (TypeError, KeyError, AttributeError, IndexError):
        return False
    return told and all(type(n) is int and n >= 0 for n in counts) and all(name in SPLITS for name in named)
