"""Inputs of sizes that are no accident: made, prepared by a command, and the memory of all its processes.

    one line of 1 GB                      Japanese sentences without any line end, in UTF-8
    10 million documents of one character a line each; nothing is dropped as a duplicate
    100,000 files                         of one to five sentences, in a hundred folders

Memory is the sum over the command and its children of the proportional set size (Pss: a page that several
processes share counts once), looked at every LOOK seconds.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tane.files import Manifest
from tane.sample import stories
from tane.yamlio import dump_yaml

LOOK = 0.05  # seconds between looks at the memory
LINE, DOCUMENTS, FILES = "one line of 1 GB", "10 million documents of one character", "100,000 files"
KINDS = (LINE, DOCUMENTS, FILES)
SIZES = {LINE: 10**9, DOCUMENTS: 10**7, FILES: 10**5}  # bytes, documents, files


def write_input(folder: Path, kind: str, size: int | None = None) -> tuple[Path, dict[str, Any]]:
    """Write the input of a kind into a folder: (its path, keys of the corpus that it wants).

    size: bytes, documents or files, as SIZES. The same size gives the same bytes.
    """
    size = SIZES[kind] if size is None else size
    chance = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    if kind == DOCUMENTS:
        path = folder / "characters.txt"
        with open(path, "w", encoding="utf-8", newline="\n") as out:
            codes = (*range(33, 127), *range(0x3041, 0x3097), *range(0x4E00, 0x5800))
            letters = [chr(code) for code in codes]
            for start in range(0, size, 1 << 16):
                out.write("".join(f"{c}\n" for c in chance.choices(letters, k=min(1 << 16, size - start))))
        return path, {"unit": "line", "dedup": "none"}
    sentences = [s for story in stories(count=2000) for s in re.findall("[^。]+。", story.replace("\n", ""))]
    if kind == LINE:
        path, left = folder / "line.txt", size
        with open(path, "wb") as out:
            while left:
                data = "".join(chance.choices(sentences, k=10_000)).encode()
                if len(data) > left:  # not within a character
                    data = data[:left].decode(errors="ignore").encode()
                    data += b"." * (left - len(data))
                left -= out.write(data)
        return path, {}
    path = folder / "files"
    for number in range(size):
        parent = path / f"{number % 100:02d}" if number % 10 else path
        if number < 1000:
            parent.mkdir(parents=True, exist_ok=True)
        text = "".join(chance.choices(sentences, k=1 + number % 5))
        (parent / f"{number:06d}.txt").write_text(text + "\n", encoding="utf-8")
    return path, {}


def trial(
    folder: Path, kind: str, size: int | None = None, tokenizer: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Prepare an input of a kind below a folder, from reading to shards; all that was written goes again.

    size: as for `write_input`; tokenizer: its settings, the default ones where nothing is said. Returns
    {"exit": the command's status, "peak_mb": memory, "seconds", "mb_per_second": of input, "documents": in
    the corpus, "said": the end of what the command said on stderr}.
    """
    place = folder / f"scale-{os.getpid()}"
    try:
        path, corpus = write_input(place / "input", kind, size)
        parts = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        stored = sum(p.stat().st_size for p in parts)
        recipe, data = place / "recipe.yaml", place / "data"
        values: dict[str, Any] = {"run_dir": str(place / "run"), "data_dir": str(data)}
        values |= {"tokenizer": tokenizer or {}, "corpus": {"inputs": [str(path)], **corpus}}
        recipe.write_text(dump_yaml(values), encoding="utf-8")
        found = measure([sys.executable, "-m", "tane", "prepare", str(recipe), "--quiet"])
        done = found["exit"] == 0
        counts = Manifest.read(data / "corpus", "corpus").meta["documents"] if done else {}
        found["mb_per_second"] = stored / 1e6 / found["seconds"]
        return {**found, "documents": sum(counts.values())}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(
    command: list[str], look: Callable[[float, int], object] = lambda at, size: None
) -> dict[str, Any]:
    """Run a command: its exit status, the peak of the memory of all its processes, and its seconds.

    look: called with the seconds since the start and the bytes of memory of each look.
    """
    start, peak = time.monotonic(), 0
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaints, process_group=0)
        try:
            while child.poll() is None:
                size = sum(map(proportional, family(child.pid)))
                peak = max(peak, size)
                look(time.monotonic() - start, size)
                time.sleep(LOOK)
        finally:
            if child.poll() is None:
                child.kill()  # its own children die with it
            child.wait()
        seconds = time.monotonic() - start
        complaints.seek(0)
        said = complaints.read().decode(errors="replace")[-2000:]
    return {"exit": child.returncode, "peak_mb": peak / 1e6, "seconds": seconds, "said": said}


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def proportional(pid: int) -> int:
    """The proportional set size of a process in bytes; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
