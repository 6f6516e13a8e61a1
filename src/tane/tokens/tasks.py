"""Work on every document of a corpus, on all cores, a part at a time: tokens, and where words start.

A finished part is kept when the work is cut off, and parts may be made on several machines. The bytes are the
same however the work is divided.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tane import files, progress, resources, signals, workers
from tane.errors import IntegrityError, Interrupted, Stopped
from tane.text.corpus import Corpus, Part
from tane.tokens.shards import SPLITS

BATCH_CHARS = 500_000  # characters handed to the tokenizer at once: bounds the memory, to which
DOCUMENT = 20  # more are counted for each document
ALONE = 4_000_000  # characters that one process tokenises before others have started
MOST = 6  # processes, of about 120 MB each; on more cores each has several threads
CHECK_EVERY = 1000  # one document in so many is decoded back and compared (R16)
AGAIN = "run the same command again"


class Writer(Protocol):
    """Writes what is made of some documents of one part, a file a split."""

    def write(self, batch: list[tuple[str, str, bool]]) -> None:
        """Add documents, given as (split, text, whether to look at it closely)."""
        ...

    def close(self) -> dict[str, Any]:
        """End the files; returns what `Task.finish` must know of these documents, as JSON."""
        ...


class Task(Protocol):
    """What is made of every document of a corpus.

    kind: that of a finished part's manifest; doing: for the person; suffix: of the files that writers write;
    child: "module:name" of a function that gives `make_slice` this task, in another process; job: what this
    function must be told.
    """

    kind: str
    doing: str
    suffix: str
    child: str
    corpus: Corpus
    job: dict[str, Any]

    def writer(self, folder: Path, name: str) -> Writer:
        """A writer of the files `SPLIT-NAME` and suffix."""
        ...

    def finish(self, folder: Path, part: Part, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Make a part's files of what its writers wrote and returned; returns its counts by split."""
        ...


def added(counts: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """The sums of counts by split and name."""
    return {split: {name: sum(c[split][name] for c in counts) for name in names} for split in SPLITS}


def make_all(
    task: Task, kind: str, folder: Path, fingerprint: str,
    meta: Callable[[list[dict[str, Any]]], dict[str, Any]],
) -> files.Manifest:  # fmt: skip
    """Do a task for all parts and publish their files in `folder`; `meta` makes the manifest's of the parts'
    counts. What earlier calls with the same fingerprint finished is reused."""
    work = _work(folder, fingerprint)
    for stale in folder.parent.glob(".parts-*"):
        if stale != work:
            shutil.rmtree(stale, ignore_errors=True)
    files.sweep(work)
    parts = task.corpus.parts()
    told = meta(_make(task, parts, work))

    def gather(temporary: Path) -> dict[str, Any]:
        for part in parts:
            for path in (work / part_folder(part)).glob("*-*.*"):
                _link(path, temporary / path.name)
        return told

    manifest = files.publish(folder, kind, gather)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def make_share(task: Task, folder: Path, fingerprint: str, part: int, parts: int) -> None:
    """Do part `part` (from 1) of `parts` of a task, for a later `make_all` of the same folder."""
    _make(task, task.corpus.parts()[part - 1 :: parts], _work(folder, fingerprint))


def make_slice(task: Task, job: dict[str, Any], advance: Callable[[int], object]) -> dict[str, Any]:
    """Do one slice of a part, in another process; what a part's slices wrote is put together after."""
    part, folder = task.corpus.parts()[job["part"]], Path(job["folder"])
    with resources.writing(folder, _needs(part)):
        return _write(task, part, folder, job["name"], job["first"], job["last"], advance)


def _needs(part: Part) -> int:
    """Bytes that the files of a part take, about: for Japanese a token of two bytes a character and less."""
    return 2 * part.counts["characters"]


def _write(
    task: Task, part: Part, folder: Path, name: str, first: int, last: int, advance: Callable[[int], object]
) -> dict[str, Any]:
    """Write what a task makes of the documents of a part whose numbers are in [first, last)."""
    writer = task.writer(folder, name)
    batch: list[tuple[str, str, bool]] = []
    size = 0  # characters

    def flush() -> None:
        nonlocal size
        signals.poll(f"{task.doing} is not finished")
        writer.write(batch)
        advance(size)
        batch.clear()
        size = 0

    for number, split, document in task.corpus.part(part, first, last):
        batch.append((split, document.text, number % CHECK_EVERY == 0))
        size += len(document.text)
        if size + len(batch) * DOCUMENT >= BATCH_CHARS:
            flush()
    flush()
    return writer.close()


def _work(folder: Path, fingerprint: str) -> Path:
    work = work_of(folder, fingerprint)
    files.make_folder(work)
    return work


def work_of(folder: Path, fingerprint: str) -> Path:
    """Where parts lie until `folder` is published."""
    return folder.parent / f".parts-{fingerprint[:16]}"


def _make(task: Task, mine: list[Part], work: Path) -> list[dict[str, Any]]:
    """Make those parts that are not finished; returns the counts of all in order."""
    done: dict[int, dict[str, Any]] = {}
    with progress.bar(sum(part.counts["characters"] for part in mine), task.doing, "char") as bar:
        for part in mine:
            state = _finished(work / part_folder(part), task.kind)
            if state is not None:
                done[part.number] = state
                bar.update(part.counts["characters"])
        todo = [part for part in mine if part.number not in done]
        try:
            _write_parts(task, todo, work, done, bar.update)
        except Interrupted as error:
            raise Stopped(f"{error.message}; {len(done)} of {len(mine)} parts are kept", AGAIN) from None
    return [done[part.number] for part in mine]


def _write_parts(
    task: Task,
    todo: list[Part],
    work: Path,
    done: dict[int, dict[str, Any]],
    advance: Callable[[int], object],
) -> None:
    """Make and publish the parts of `todo` one after another, noting each in `done`.

    Processes share a part, each with one thread and documents of its own: threads of one process would wait
    for Python while ids become arrays.
    """
    cores = workers.cores()
    slices = 1 if sum(part.counts["characters"] for part in todo) < ALONE else min(cores, MOST)
    if slices == 1:
        for part in todo:

            def write(place: Path, part: Part = part) -> dict[str, Any]:
                every = part.counts["documents"]
                result = _write(task, part, place, part_name(part), 0, every, advance)
                return task.finish(place, part, [result])

            published = files.publish(work / part_folder(part), task.kind, write, needs=_needs(part))
            done[part.number] = published.meta
        return
    threads = {"RAYON_NUM_THREADS": str(-(-cores // slices))}
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=work) as place:
        jobs: list[dict[str, Any]] = []
        for part in todo:
            documents = part.counts["documents"]
            for number in range(slices):
                jobs.append({
                    **task.job, "part": part.number, "folder": place, "name": f"{part_name(part)}-{number}",
                    "first": documents * number // slices, "last": documents * (number + 1) // slices,
                })  # fmt: skip
        found: dict[int, list[Any]] = {part.number: [None] * slices for part in todo}
        by_number = {part.number: part for part in todo}
        for job, result in workers.run_jobs(
            task.child, jobs, slices, progress=advance, what=task.doing, environment=threads
        ):
            part = by_number[jobs[job]["part"]]
            found[part.number][job % slices] = result
            if all(found[part.number]):
                target = work / part_folder(part)
                together = partial(_together, task, Path(place), part, found.pop(part.number))
                done[part.number] = files.publish(target, task.kind, together, needs=_needs(part)).meta


def _together(
    task: Task, slices: Path, part: Part, results: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    """Put the slices of one part together."""
    for split in SPLITS:
        name = f"{split}-{part_name(part)}"
        with open(folder / f"{name}{task.suffix}", "wb") as out:
            for number in range(len(results)):
                path = slices / f"{name}-{number}{task.suffix}"
                with open(path, "rb") as file:
                    shutil.copyfileobj(file, out, 1 << 20)
                path.unlink()
    return task.finish(folder, part, results)


def part_name(part: Part) -> str:
    """What a part's files are named by, after their split."""
    return f"{part.number:05d}"


def part_folder(part: Part) -> str:
    """The name of the folder of one finished part, while the others are being made."""
    return f"part-{part_name(part)}"


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _finished(folder: Path, kind: str) -> dict[str, Any] | None:
    try:
        return files.check(folder, kind).meta
    except IntegrityError:
        if folder.exists():
            files.delete(folder)
        return None
