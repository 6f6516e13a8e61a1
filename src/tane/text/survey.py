"""What a corpus would hold, before it is made: counts, scripts, lengths, and examples of all that is dropped.

`survey` builds the corpus in a temporary folder, looks through it and removes it, so what it tells is what
`build_corpus` does. `report` puts it on a page.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tane import signals
from tane.errors import Interrupted, Stopped
from tane.progress import bar
from tane.text import fates, japanese
from tane.text.changes import Changes
from tane.text.columns import CUT, fit, fit_end, table, width
from tane.text.corpus import FATES, Corpus, CorpusSettings, build_corpus
from tane.text.ledger import Ledger
from tane.text.parts import read_part
from tane.text.pieces import EXCERPT
from tane.types import Document

QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
BATCH = 1 << 18  # characters that are counted at a time
FEW = 10  # inputs that a page names one by one
CHANGES = 20  # rows of the table of changes
EQUAL = ("duplicate", "in_validation")  # reasons of documents that have a twin before them
COLUMNS = 100  # of a line with an example
ID_COLUMNS = 32


def survey(settings: CorpusSettings, *, head: int = 3, examples: int = 10) -> dict[str, Any]:
    """What `build_corpus` would make of the inputs, as JSON-like values; nothing is left on the disk.

    documents, characters: by split; ledger: as the corpus' manifest keeps it; lengths: of the documents that
    stay, in characters (see `quantiles`); scripts: their characters by script; inputs: of each file path,
    role, source, bytes, what was found in it, and documents before equal ones are dropped; changes: by
    normaliser; examples: of each reason for dropping documents at most `examples` {id, text}, and for an
    equal one `copy_of`, the id of the first document with its normalised text (missing where that was
    normalised otherwise); head: the first documents that stay {id, split, characters, text}. A text here is
    cut at EXCERPT characters. Raises what build_corpus raises, and Interrupted when a stop was asked for.
    """
    with temporary_corpus(settings) as corpus:
        meta = corpus.meta
        lengths, scripts, first = _look(corpus, head)
        dropped = _equal(corpus, examples)
        inputs = [
            {name: record[name] for name in ("path", "role", "source", "bytes", "found")}
            | {"documents": record["ledger"]["documents"]}
            for record in corpus.inputs()
        ]
    filtered = {
        reason: [{"id": name, "text": text} for name, text in kept[:examples]]
        for reason, kept in meta.get("examples", {}).items()
    }
    return {
        "documents": meta["documents"],
        "characters": meta["characters"],
        "ledger": meta["ledger"],
        "lengths": quantiles(lengths),
        "scripts": scripts,
        "inputs": inputs,
        "changes": meta["changes"],
        "examples": {**filtered, **dropped},
        "head": first,
    }


@contextlib.contextmanager
def temporary_corpus(settings: CorpusSettings, *, tell: bool = False) -> Iterator[Corpus]:
    """The corpus of the inputs, which is there only while this is open; tell: as build_corpus takes it.

    Raises what build_corpus raises, but Interrupted for Stopped: nothing is kept to go on from.
    """
    with signals.caught(), tempfile.TemporaryDirectory(prefix="tane-") as temporary:
        folder = Path(temporary) / "corpus"
        try:
            build_corpus(settings, folder, tell=tell)
        except Stopped as error:
            raise Interrupted(error.message.partition(";")[0]) from None
        yield Corpus.open(folder)


def quantiles(lengths: Counter[int]) -> dict[str, int]:
    """For each of QUANTILES the smallest length that at least this share of the documents do not exceed.

    lengths: length -> documents.
    """
    total, reached = sum(lengths.values()), 0
    found: dict[str, int] = {}
    for length in sorted(lengths):
        reached += lengths[length]
        for name, share in QUANTILES.items():
            if name not in found and reached >= share * total:
                found[name] = length
    return found


def _look(corpus: Corpus, head: int) -> tuple[Counter[int], dict[str, int], list[dict[str, Any]]]:
    """(length -> documents, script -> characters, the first documents) of what stays in the corpus."""
    lengths: Counter[int] = Counter()
    scripts = Counter(dict.fromkeys(japanese.SCRIPTS, 0))
    first: list[dict[str, Any]] = []
    held: list[str] = []  # short texts are counted together: a call for each takes longer than the counting
    size = 0
    with bar(sum(part.counts["documents"] for part in corpus.parts()), "looking", "doc") as progress:
        for part in corpus.parts():
            for _, split, document in corpus.part(part):
                text = document.text
                lengths[len(text)] += 1
                if len(first) < head:
                    about = {"id": document.id, "split": split, "characters": len(text)}
                    first.append({**about, "text": text[:EXCERPT]})
                held.append(text)
                size += len(text)
                if size > BATCH:
                    scripts.update(japanese.scripts("".join(held)))
                    held, size = [], 0
            progress.update(part.counts["documents"])
    scripts.update(japanese.scripts("".join(held)))
    return lengths, dict(scripts), first


def _equal(corpus: Corpus, count: int) -> dict[str, list[dict[str, Any]]]:
    """Examples of the documents that were dropped beside others: equal or much like them."""
    import numpy as np

    fate_of = np.fromfile(corpus.folder / FATES, dtype=np.uint8)
    chosen = {reason: fates.first_of(fate_of, fate, count) for fate, reason in fates.REASONS.items()}
    wanted = {number for numbers in chosen.values() for number in numbers}
    texts = {number: document for number, document in _numbered(corpus, wanted)}
    equal = {texts[number].text for reason in EQUAL for number in chosen[reason]}
    firsts = _firsts(corpus, equal)
    found: dict[str, list[dict[str, Any]]] = {}
    for reason, numbers in chosen.items():
        for document in (texts[number] for number in numbers):
            example = {"id": document.id, "text": document.text[:EXCERPT]}
            first = firsts.get(document.text, document.id)
            if first != document.id:
                example["copy_of"] = first
            found.setdefault(reason, []).append(example)
    return found


def _numbered(corpus: Corpus, wanted: set[int]) -> Iterator[tuple[int, Document]]:
    """(number, document) of some documents, also of those that were dropped."""
    for part in corpus.parts():
        mine = wanted.intersection(range(part.start, part.start + part.counts["documents"]))
        if mine:
            last = max(mine)
            for number, document in enumerate(read_part(part.path), part.start):
                if number in mine:
                    yield number, document
                if number == last:
                    break


def _firsts(corpus: Corpus, texts: set[str]) -> dict[str, str]:
    """text -> id of the first document with it."""
    found: dict[str, str] = {}
    missing = set(texts)
    for part in corpus.parts() if missing else ():
        for document in read_part(part.path):
            if document.text in missing:
                missing.remove(document.text)
                found[document.text] = document.id
                if not missing:
                    return found
    return found


# ------------------------------------------------------------------------------------------------ the page


def report(found: dict[str, Any]) -> str:
    """A survey as text for a person, East Asian widths heeded."""
    sections = [
        Ledger.from_json(found["ledger"]).table(),
        _splits(found),
        _inputs(found["inputs"]),
        *_changes(found["changes"]),
        *_examples(found),
        _head(found),
    ]
    return "\n\n".join(section for section in sections if section)


def _splits(found: dict[str, Any]) -> str:
    divided = bool(found["documents"]["valid"])
    rows = [
        [split if divided else "kept", f"{_documents(documents)}, {found['characters'][split]:,} characters"]
        for split, documents in found["documents"].items()
        if documents
    ]
    lengths = "   ".join(
        f"{name.replace('p5', '5 %').replace('p95', '95 %')} {length:,}"
        for name, length in found["lengths"].items()
    )
    rows.append(["length", f"{lengths}   (characters a document)"])
    total = sum(found["scripts"].values())
    ranked = sorted(found["scripts"].items(), key=lambda item: -item[1])
    shares = [f"{name} {_percent(count, total)}" for name, count in ranked if count]
    rows.append(["scripts", "   ".join(shares)])
    return table(rows)


def _documents(count: int) -> str:
    return f"{count:,} document{'s' if count != 1 else ''}"


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{share:.1f} %" if share >= 0.05 else "< 0.1 %"


def _inputs(inputs: list[dict[str, Any]]) -> str:
    kinds = Counter(_kind(record) for record in inputs)
    rows = [
        [fit_end(record["path"], 60), f"{record['bytes']:,}", f"{record['documents']:,}", _kind(record)]
        for record in inputs[:FEW]
    ]
    lines = [table([["input", "bytes", "documents", "read as"], *rows], right=(1, 2))]
    if len(inputs) > FEW:
        summary = ", ".join(f"{count:,} x {kind}" for kind, count in kinds.most_common())
        lines.append(f"... and {len(inputs) - FEW:,} more; all: {summary}")
    return "\n".join(lines)


def _kind(record: dict[str, Any]) -> str:
    """How a file was read, in a few words: its source, encoding, columns."""
    known = [record["source"], *(_words(value) for value in record["found"].values() if value)]
    return ", ".join(known + (["for validation"] if record["role"] == "valid" else []))


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _changes(changes: dict[str, Any]) -> Iterator[str]:
    for name, kept in changes.items():
        told = Changes.from_json(kept).table(CHANGES)
        if told:
            yield f"changed by {name}\n{told}"


def _examples(found: dict[str, Any]) -> Iterator[str]:
    dropped, examples = found["ledger"]["dropped"], found["examples"]
    for reason in sorted({*dropped, *examples}):
        counts = dropped.get(reason, {"documents": 0, "characters": 0})
        if not examples.get(reason):
            continue
        title = f"dropped as {reason}: {_documents(counts['documents'])}"
        shown = len(examples[reason])
        title += f", the first {shown}" if shown < counts["documents"] else ""
        rows = []
        for example in examples[reason]:
            copy = example.get("copy_of")
            rows.append([f"  {_short(example['id'])}", f"= {_short(copy)}" if copy else "", example["text"]])
        if not any(row[1] for row in rows):
            rows = [[name, text] for name, _, text in rows]
        room = COLUMNS - sum(2 + max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1])
        yield "\n".join([title, table([[*row[:-1], fit(row[-1], max(30, room))] for row in rows])])


def _short(name: str) -> str:
    """A document's id in a column: of a long one without the folders."""
    return name if width(name) <= ID_COLUMNS else fit_end(f"{CUT}/{Path(name).name}", ID_COLUMNS)


def _head(found: dict[str, Any]) -> str:
    if not found["head"]:
        return ""
    lines = ["the first documents"]
    for example in found["head"]:
        size = f"{example['characters']:,} character{'s' if example['characters'] != 1 else ''}"
        split = f"{example['split']}, " if found["documents"]["valid"] else ""
        lines.append(f"  {example['id']} ({split}{size})")
        lines.append(f"    {fit(example['text'], 2 * COLUMNS)}")
    return "\n".join(lines)
