"""The readers of what tane writes itself: shards, manifests, logs, scores, the cache of downloads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tane.errors import InputError, IntegrityError
from tests.fuzz import damages
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader, inside, written

# ------------------------------------------------------------------------------------------------- shards


def _shards(folder: Path) -> None:
    """Two files of tokens, and the bits of their words."""
    import numpy as np

    from tane import files
    from tane.tokens.shards import write_index

    def tokens(place: Path) -> dict[str, Any]:
        for name, lengths in (("train-00000", [5, 9, 2]), ("train-00001", [30]), ("valid-00000", [3, 4])):
            ids = (np.arange(sum(lengths)) % 90 + 2).astype(np.uint16)
            ids[np.cumsum(lengths) - 1] = 1
            (place / f"{name}.bin").write_bytes(ids.tobytes())
            write_index(place / f"{name}.idx", np.array(lengths), ids.dtype)
        return {"eos_id": 1, "dtype": "uint16", "fingerprint": "f", "vocab_size": 100}

    made = files.publish(folder / "shards", "shards", tokens)

    def words(place: Path) -> dict[str, Any]:
        for name, count in (("train-00000", 16), ("train-00001", 30), ("valid-00000", 7)):
            (place / f"{name}.bits").write_bytes(bytes([0b10110110] * -(-count // 8)))
        return {"shards": made.fingerprint, "dictionary": "ipadic", "version": "", "fingerprint": "g"}

    files.publish(folder / "words", "words", words)


def _read_shards(path: Path) -> object:
    """Opens the shards without hashing them, as `--verify fast` does, and reads all of them."""
    import numpy as np

    from tane import files
    from tane.tokens.shards import SPLITS, Shards

    folder = path.parent.parent
    files.check(folder / "shards", "shards", full=False)
    files.check(folder / "words", "words", full=False)
    found = []
    for split in SPLITS:
        shards = Shards(folder / "shards", split, folder / "words")
        places = np.arange(len(shards))[::-1].copy()
        found += [shards.take(places), shards.take_starts(places), *shards.documents()]
        found += [shards.read_starts(0, len(shards))] if len(shards) else []
        found += [shards.eos_id]
    return found


SHARDS = (
    Reader(
        "shards",
        inside(
            _shards,
            "shards/train-00000.idx",
            "shards/valid-00000.idx",
            "shards/train-00001.bin",
            "shards/manifest.json",
            "words/manifest.json",
            "words/train-00000.bits",
        ),
        _read_shards,
        ("tane.tokens.shards", "tane.files"),
        (damages.steady, mutate),
        ends=(IntegrityError,),
    ),
    Reader(
        "shards-manifest",
        inside(_shards, "shards/manifest.json", "words/manifest.json"),
        _read_shards,
        ("tane.files",),
        (damages.sealed,),
        ends=(IntegrityError,),
    ),
)


def _verify(path: Path) -> object:
    """`tane verify`, which names what is bad and raises nothing."""
    from tane.use.verify import verify

    return verify(path.parent.parent), verify(path.parent, fast=True)


VERIFY = (
    Reader(
        "verify",
        inside(_shards, "shards/manifest.json", "shards/train-00000.bin", "words/manifest.json"),
        _verify,
        ("tane.files",),
        (mutate, damages.sealed),
        ends=(),
        torch=True,
    ),
)


# ------------------------------------------------------------------------------------------ logs and scores


def _events() -> str:
    rows: list[dict[str, Any]] = [{"event": "start", "step": 0, "time": 1.5, "machine": "a", "threads": 1}]
    for step in range(1, 7):
        rows.append({"event": "step", "step": step, "time": 2.0 + step, "loss": 5.5 - step / 10, "lr": 1e-3})
    rows += [
        {"event": "eval", "step": 6, "time": 9.0, "loss": 4.9, "perplexity": 130.0},
        {"event": "start", "step": 4},
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def _metrics(path: Path) -> object:
    from tane.training.tracker import read_metrics

    return [
        [event["step"] for event in read_metrics(path.parent, kind)] for kind in ("start", "step", "eval")
    ]


REPORT = {
    "task": {"kind": "classification", "label": "label", "text": "text"}, "examples": 4, "file": "a.csv",
    "scores": {"accuracy": {"value": 0.75, "interval": [0.3, 0.95], "baseline": 0.5}},
    "confusion": [[1, 1], [0, 2]],
    "names": ["負", "正"], "split": "test",
}  # fmt: skip


SCORED = REPORT | {
    "scores": {"accuracy": 0.75}, "intervals": {"accuracy": [0.3, 0.95]}, "baseline": {"accuracy": 0.5},
    "baseline_is": "always 正", "metric": "accuracy",
    "wrong": [{"row": 3, "gold": "正", "predicted": "負", "score": 0.9, "text": "良い。"}],
}  # fmt: skip


def _scores(path: Path) -> object:
    from tane.use.plots import plot_confusion

    with _named(path, "scores"):
        return plot_confusion(path.parent)


def _report(path: Path) -> object:
    from tane.reporting import report

    (path.parent / "recipe.yaml").write_text("objective: {name: causal}\n", encoding="utf-8")
    if path.name != "metrics.jsonl":
        (path.parent / "metrics.jsonl").write_text(_events(), encoding="utf-8")
    with _named(path, "not what was written"):
        return report(path.parent, path.parent / "page.md").text


@contextlib.contextmanager
def _named(path: Path, word: str) -> Iterator[None]:
    """What is said of a file's content ("there are no scores on test") needs no name of the file."""
    try:
        yield
    except InputError as error:
        if word in error.message or "no confusion" in error.message:
            error.message += f" ({path.name})"
        raise


LOGS = (
    Reader(
        "metrics",
        (written("run/metrics.jsonl", _events()),),
        _metrics,
        ("tane.training.tracker",),
        (mutate, damages.json_lines),
        ends=(),
    ),
    Reader(
        "report",
        (
            written("run/metrics.jsonl", _events()),
            written("run/scores.json", json.dumps({"test": SCORED, "valid": SCORED}, indent=1)),
        ),
        _report,
        ("tane.reporting.gather",),
        (mutate, damages.json_lines),
        torch=True,
    ),
    Reader(
        "scores",
        (
            written("run/scores.json", json.dumps({"test": REPORT, "valid": REPORT}, indent=1)),
            written("run/scores.json", json.dumps(REPORT)),
        ),
        _scores,
        ("tane.use.plots",),
        (mutate, damages.json_values),
        torch=True,
    ),
    Reader(
        "prompts",
        (written("p.txt", "吾輩は猫である。\nHello\n\n"), written("p.txt", "\ufeff一\r\n二\r\n")),
        lambda path: _prompts(path),
        ("tane.verbs.models",),
    ),
)


def _prompts(path: Path) -> object:
    from tane.verbs.models import _prompt_lines

    return _prompt_lines(str(path))


# -------------------------------------------------------------------------------------------- the cache

URL = "http://localhost:1/f.txt"  # where nobody answers
KEY = hashlib.sha256(URL.encode()).hexdigest()[:32]


def _cache(folder: Path) -> None:
    place = _cached(folder)
    place.mkdir(parents=True)
    (place / "f.txt").write_text("一つ目の文です。\n", encoding="utf-8")
    record = {
        "url": URL,
        "name": "f.txt",
        "size": 25,
        "sha256": "0" * 64,
        "etag": '"a"',
        "modified": "",
        "fetched": None,
    }
    (place / ".fetched.json").write_text(json.dumps(record))


def _half(folder: Path) -> None:
    """A download that was broken off."""
    place = _cached(folder)
    place.mkdir(parents=True)
    (place / ".partial").write_bytes(b"abc")
    state = {"name": "f.txt", "size": 3, "etag": '"a"', "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    (place / ".partial.json").write_text(json.dumps(state))


def _cached(folder: Path) -> Path:
    return folder / "cache" / "downloads" / KEY


def _fetch(path: Path) -> object:
    """Takes a file from the cache, or says that it cannot be fetched: the URL is the file's name here."""
    from tane.text import web

    before = os.environ.get("TANE_CACHE")
    os.environ["TANE_CACHE"] = str(path.parents[2])
    try:
        return web.fetch(URL)
    except (InputError, IntegrityError) as error:
        if URL in error.message or "localhost" in error.message:
            error.message += f" ({path.name})"
        raise
    finally:
        os.environ.pop("TANE_CACHE")
        os.environ.update({"TANE_CACHE": before} if before is not None else {})


CACHE = (
    Reader(
        "cache",
        (
            *inside(_cache, f"cache/downloads/{KEY}/.fetched.json", f"cache/downloads/{KEY}/f.txt"),
            *inside(_half, f"cache/downloads/{KEY}/.partial.json"),
        ),
        _fetch,
        ("tane.text.web",),
        (mutate, damages.json_values),
        ends=(InputError, IntegrityError),
    ),
)

READERS: tuple[Reader, ...] = (*SHARDS, *VERIFY, *LOGS, *CACHE)
