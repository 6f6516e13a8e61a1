"""Training a tokenizer in a child process that keeps to a limit of memory.

`ram` holds in three ways. The text is sampled, so that what the kind says it needs stays below. The child's
heap is limited by the system. And this process looks at the child's resident memory many times a second and
ends it when it is over the limit. After the last two, half as much text is tried. The child dies with its
parent, and its memory goes with it.

The sample is drawn by keys of the documents' numbers, so the same corpus and limit give the same tokenizer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tane import errors, progress, registry, resources, signals
from tane.errors import InputError, ResourceError, TaneError
from tane.resources import foreseen
from tane.text.corpus import Corpus
from tane.text.split import pieces
from tane.tokens import kinds
from tane.tokens.order import key
from tane.tokens.specials import Specials

PASSAGE = 20_000  # characters: longer documents are cut, and each passage is drawn by itself
FEWEST = 20_000  # characters of a sample: with less memory than they need nothing is tried
SPARE = 0.95  # share of the room that the sample is meant to fill
BASE = 70_000_000  # bytes of Python and the libraries; a constant, or the sample would vary with it
STACKS = 70_000_000  # bytes that threads reserve: the system counts them, though little of them is touched
TRIES = 9  # children at most: the last one gets 1/256 of what should have done
LOOK = 0.01  # seconds between looks at the child
OUT_OF_MEMORY = 17  # exit status of a child that met the limit of its heap


@dataclasses.dataclass(frozen=True)
class Trained:
    """What was seen of the text. characters: of its training split; used: of these by the trainer."""

    characters: int
    used: int
    peak: int  # bytes of memory that the child had at most

    @property
    def share(self) -> float:
        """Share of the characters that were used."""
        return self.used / max(1, self.characters)


def train(
    kind: str,
    corpus_folder: Path,
    folder: Path,
    *,
    vocab_size: int,
    coverage: float,
    dictionary: str,
    specials: Specials,
    ram: int,
) -> Trained:
    """Train a tokenizer of a kind on a corpus and write its files into `folder`, within `ram` bytes.

    Raises InputError where the text or the settings, also `ram`, do not do.
    """
    trainer: kinds.Kind = _kind(kind)
    job = kinds.Job(folder, vocab_size, coverage, dictionary, specials, memory=0)
    total = int(Corpus.open(corpus_folder).manifest.meta["characters"]["train"])
    per_char, fixed = trainer.bytes_per_char, BASE + trainer.needs(job)
    least = fixed + int(per_char * min(total, FEWEST))
    if ram < least:
        needed = f"{-(-least // 1_000_000)}MB"
        raise InputError(
            f"tokenizer.ram is {_megabytes(ram)}, but training {kind} takes {needed} at least",
            f"--tokenizer.ram {needed}",
        )
    room, allowed = min(total, int((ram - fixed) / per_char)) if per_char else total, ram - fixed
    for _ in range(TRIES):
        values = {**dataclasses.asdict(job), "folder": str(folder), "memory": allowed}
        result = _run({"kind": kind, "corpus": str(corpus_folder), "ram": ram, "room": room, "job": values})
        if result is not None:
            return Trained(total, **result)
        for path in folder.iterdir():  # what was begun
            path.unlink()
        progress.say(f"the tokenizer's trainer met tokenizer.ram ({_megabytes(ram)}): using less of the text")
        room, allowed = room // 2 if per_char else room, allowed // 2
    raise InputError(
        f"tokenizer.ram is {_megabytes(ram)}, and training {kind} on a small part of the text takes more",
        f"--tokenizer.ram {-(-2 * ram // 1_000_000)}MB",
    )


def _kind(name: str) -> kinds.Kind:
    return registry.find(kinds.KIND, name.replace("-", "_"))()


def _run(job: dict[str, Any]) -> dict[str, int] | None:
    """The result of one child; None when it met the limit of memory."""
    code = f"from tane.tokens.trainer import child; child({os.getpid()})"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "OMP_NUM_THREADS": "1",
        "RUST_BACKTRACE": "0",  # writing one hangs when there is no memory left
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors_of_child:
        process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(job)],
            env=environment, stdout=subprocess.PIPE, stderr=errors_of_child, text=True, process_group=0,
        )  # fmt: skip
        within = True
        try:
            while within and process.poll() is None:
                signals.poll("the tokenizer was being trained")
                within = memory(process.pid) <= job["ram"]
                time.sleep(LOOK)
        finally:
            if process.poll() is None:
                process.kill()
            out, _ = process.communicate()
        errors_of_child.seek(0)
        complaint = errors_of_child.read()
    status = process.returncode
    if not within or status == OUT_OF_MEMORY or _lacked_memory(status, complaint):
        return None
    return _result(status, out, complaint, Path(job["job"]["folder"]))


def _lacked_memory(status: int, complaint: str) -> bool:
    """Whether a library ended the child since it could not have more memory."""
    return (
        status != 0
        and re.search(r"bad_alloc|memory allocation of|ThreadPoolBuildError", complaint) is not None
    )


def _result(status: int, out: str, complaint: str, folder: Path) -> dict[str, int]:
    if status < 0:
        raise ResourceError(f"the tokenizer's trainer was killed by signal {-status}", "lower tokenizer.ram")
    if status and not complaint.strip():
        raise ResourceError(
            f"the tokenizer's trainer ended with status {status} and could not say why",
            f"is the disk full ({resources.space(folder, None)}), or the memory short?",
        )
    if status:
        failed = RuntimeError(f"the tokenizer's trainer failed:\n{complaint}")
        raise foreseen(failed) or failed
    told = json.loads(out.splitlines()[-1])
    if "error" in told:
        name, message, remedy = told["error"]
        raise getattr(errors, name)(message, remedy)
    return told


def memory(pid: int | str, what: str = "VmRSS") -> int:
    """Bytes of memory of a process by /proc/PID/status; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(rf"^{what}:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


# --------------------------------------------------------------------------------------------- in the child


def child(parent: int) -> None:
    """The main part of the child process: a job as JSON in its argument, the result on standard output."""
    signals.die_with_parent(parent)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not mix with the result
    try:
        told: dict[str, Any] = _train(json.loads(sys.argv[1]))
    except TaneError as error:
        told = {"error": [type(error).__name__, error.message, error.remedy]}
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:
        lacking = foreseen(error)
        if lacking is None:
            raise
        told = {"error": ["ResourceError", lacking.message, lacking.remedy]}
    print(json.dumps(told), file=out, flush=True)


def _train(values: dict[str, Any]) -> dict[str, int]:
    corpus = Corpus.open(Path(values["corpus"]))
    told = values["job"]
    job = kinds.Job(**{**told, "folder": Path(told["folder"]), "specials": Specials(*told["specials"])})
    total = int(corpus.manifest.meta["characters"]["train"])
    texts = Sample(corpus.texts("train"), total, values["room"])
    kind = _kind(values["kind"])
    _limit_heap(values["ram"])
    with resources.writing(job.folder, 100 * job.vocab_size):
        kind.train(texts, job)
    return {"used": texts.used, "peak": memory("self", "VmHWM")}


def _limit_heap(ram: int) -> None:
    import resource

    files = memory("self", "RssFile")
    with contextlib.suppress(ValueError, OSError):  # a system without such a limit, or with a lower one
        resource.setrlimit(resource.RLIMIT_DATA, (ram - files + STACKS,) * 2)


class Sample:
    """Passages of texts that have `total` characters together: all of them, or about `room` characters."""

    def __init__(self, texts: Iterable[str], total: int, room: int) -> None:
        self.texts, self.room = texts, room
        self.whole = total <= room
        self.chance = 1.0 if self.whole else SPARE * room / total
        self.used = 0

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(self.texts):
            for place, passage in enumerate(pieces(text, PASSAGE)):
                if not self.whole:
                    if key("tokenizer", number, place) / 2**63 >= self.chance:
                        continue
                    if self.used + len(passage) > self.room:
                        return
                self.used += len(passage)
                yield passage
