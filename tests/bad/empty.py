"""Inputs without usable text (fault 30), and what the command line says of each: never an empty data folder,
never a loss of nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Empty(NamedTuple):
    """An input without usable text. said: a pattern of the message; verb: what is asked for."""

    name: str
    write: Callable[[Path], object]
    said: str
    verb: str = "prepare"
    options: tuple[str, ...] = ()

    def command(self, folder: Path) -> list[str]:
        """The command line for the input in `folder`."""
        recipe = folder / "recipe.yaml"
        values = {
            "corpus": {"inputs": [str(folder / self.name)]}, "run_dir": str(folder / "run"),
            "tokenizer": {"kind": "character", "vocab_size": 300},
            "objective": {"name": "causal", "block_size": 64},
            "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 1}},
            "train": {"duration": "2 steps", "batch_tokens": 64, "tensorboard": False, "threads": 1},
        }  # fmt: skip
        recipe.write_text(json.dumps(values), encoding="utf-8")
        return [self.verb, str(recipe), *self.options]


def holds(data: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode())


def folder_of(**files: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for name, data in files.items():
            (path / name.replace("_", ".")).write_bytes(data)

    return write


NOTHING = "0 usable documents"
ROWS = "".join(json.dumps({"text": text}) + "\n" for text in ("", " ", "\u3000", None))
EMPTY: list[Empty] = [
    Empty("nothing.txt", holds(b""), NOTHING),
    Empty("mark.txt", holds(b"\xef\xbb\xbf"), NOTHING),
    Empty("blank.txt", holds(" \n\u3000\n\t\r\n"), NOTHING),
    Empty("line_ends.txt", holds("\n" * 5_000), NOTHING),
    Empty("packed.txt.gz", holds(gzip.compress(b"", mtime=0)), NOTHING),
    Empty("rows.jsonl", holds(ROWS), NOTHING),
    Empty("no_rows.jsonl", holds(b""), NOTHING),
    Empty("no_rows.csv", holds(b"id,text\n"), NOTHING),
    Empty("blank_rows.csv", holds('id,text\n1,\n2," "\n'), NOTHING),
    Empty("several", folder_of(a_txt=b"", b_txt=b"\n \n"), NOTHING),
    Empty("no_files", folder_of(), "holds no file that can be read"),
    Empty("dropped.txt", holds("短い。\n\n短い。\n"), NOTHING, options=("--corpus.filters.min_chars", "100")),
    Empty("letters.txt", holds("あ"), "gives 2 tokens, fewer than one block of 65", "train"),
    Empty("sentence.txt", holds("猫が走る。"), "tokens, fewer than one block of 65", "train"),
]
