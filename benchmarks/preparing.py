"""The sides of the parts `tokenise` and `prepare` of run.py; each prints one JSON object.

    python benchmarks/preparing.py library TOKENIZER FILE    the tokenizers library alone, texts in memory
    python benchmarks/preparing.py pieces TOKENIZER FILE     the SentencePiece library alone, likewise
    python benchmarks/preparing.py lines TOKENIZER FILE      `encode(line)` for each line, as a stream does
    python benchmarks/preparing.py calls TOKENIZER FILE      `tokenizer(sentence)` for each sentence
    python benchmarks/preparing.py shards TOKENIZER FILE     tane's stage: corpus from the disk to token files
    python benchmarks/preparing.py prepare TOKENIZER FILE    `tane prepare` as a whole, with its peak memory

--cores is how many to use, --keep a folder for what `prepare` makes. Megabytes are of UTF-8 text. The peak is
the memory of all processes together, shared pages counted once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

CALLS_BYTES = 2_000_000  # calls are slow: they get the beginning of the text


def paragraphs(path: Path, limit: int | None = None) -> list[str]:
    """The paragraphs of a text file, or of its first `limit` bytes."""
    text = path.read_bytes()[:limit].decode("utf-8", "ignore")
    return [part for part in text.split("\n\n") if part.strip()]


def batches(texts: list[str], size: int = 1_000_000) -> Iterator[list[str]]:
    """The texts in lists of about `size` characters."""
    batch: list[str] = []
    length = 0
    for text in texts:
        batch.append(text)
        length += len(text)
        if length >= size:
            yield batch
            batch, length = [], 0
    yield batch


def megabytes(texts: list[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def library(tokenizer: Path, path: Path) -> dict[str, float]:
    """The raw library on all its threads, ids taken out as numpy arrays."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    texts = paragraphs(path)
    size = megabytes(texts)
    start = time.perf_counter()
    tokens = 0
    for batch in batches(texts):
        for encoded in backend.encode_batch_fast(batch, add_special_tokens=False):
            tokens += len(np.array(encoded.ids, dtype=np.int64))
    return {"mb_per_s": size / (time.perf_counter() - start), "tokens": tokens}


def pieces(tokenizer: Path, path: Path) -> dict[str, float]:
    """SentencePiece's own library on as many threads as there are cores, ids as numpy arrays."""
    import sentencepiece

    own = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer / "spiece.model"))
    texts = paragraphs(path)
    size, threads = megabytes(texts), len(os.sched_getaffinity(0))
    start = time.perf_counter()
    tokens = 0
    for batch in batches(texts):
        for ids in own.encode(batch, num_threads=threads):
            tokens += len(np.array(ids, dtype=np.int64))
    return {"mb_per_s": size / (time.perf_counter() - start), "tokens": tokens}


def lines(tokenizer: Path, path: Path) -> dict[str, float]:
    """transformers' tokenizer, `encode` for each line, as a stream of lists calls it."""
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(tokenizer)
    texts = [line for text in paragraphs(path, CALLS_BYTES) for line in text.split("\n")]
    size = megabytes(texts)
    start = time.perf_counter()
    tokens = sum(len(own.encode(text)) for text in texts)
    return {"mb_per_s": size / (time.perf_counter() - start), "tokens": tokens}


def calls(tokenizer: Path, path: Path) -> dict[str, float]:
    """transformers' tokenizer, a call a sentence with all that it gives by default."""
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(tokenizer)
    texts = [s for text in paragraphs(path, CALLS_BYTES) for s in re.findall(r"[^。\n]+。?", text)]
    size = megabytes(texts)
    start = time.perf_counter()
    tokens = sum(len(own(text)["input_ids"]) for text in texts)
    return {"mb_per_s": size / (time.perf_counter() - start), "tokens": tokens}


def shards(tokenizer: Path, path: Path) -> dict[str, float]:
    """The stage that tane has for it: a corpus on the disk becomes token files on the disk."""
    from tane import progress
    from tane.text.corpus import Corpus, CorpusSettings, build_corpus
    from tane.tokens.encoder import Encoder
    from tane.tokens.tokenise import write_shards

    with tempfile.TemporaryDirectory() as place, progress.silenced():
        folder = Path(place)
        settings = CorpusSettings(inputs=[str(path)], normalize="none", dedup="none", valid_fraction=0)
        build_corpus(settings, folder / "corpus")
        corpus, encoder = Corpus.open(folder / "corpus"), Encoder(tokenizer)
        size = sum(len(text.encode()) for text in corpus.texts("train")) / 1e6
        start = time.perf_counter()
        meta = write_shards(corpus, encoder, folder / "shards", "0" * 64).meta
        seconds = time.perf_counter() - start
    return {"mb_per_s": size / seconds, "tokens": meta["splits"]["train"]["tokens"]}


def prepare(tokenizer: Path, path: Path, keep: Path | None = None) -> dict[str, float]:
    """The whole command on a folder that is not there yet; the peak is sampled ten times a second."""
    with tempfile.TemporaryDirectory() as place:
        recipe, data = Path(place, "recipe.yaml"), keep or Path(place, "data")
        recipe.write_text(
            f"run_dir: {place}/run\ndata_dir: {data}\ncorpus: {{inputs: [{path}]}}\n"
            f"tokenizer: {{path: {tokenizer}}}\n",
            encoding="utf-8",
        )
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "tane", "prepare", str(recipe), "--quiet"])
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(memory, tree(process.pid))))
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        if process.returncode:
            sys.exit(process.returncode)
    size = path.stat().st_size / 1e6
    return {"mb_per_s": size / seconds, "seconds": seconds, "megabytes": size, "peak_mb": peak}


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def memory(pid: int) -> float:
    """Megabytes of one process, its part of shared pages."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1000
    return 0.0


SIDES: dict[str, Callable[[Path, Path], dict[str, float]]] = {
    "library": library, "pieces": pieces, "lines": lines, "calls": calls, "shards": shards,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=[*SIDES, "prepare"])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    if args.side == "prepare":
        found = prepare(args.tokenizer, args.file, args.keep)
    else:
        found = SIDES[args.side](args.tokenizer, args.file)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
