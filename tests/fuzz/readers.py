"""The table of all readers, and the modules of tane that open files but are in none, with the reason."""

from __future__ import annotations

from tests.fuzz import of_models, of_recipes, of_rows, of_runs, of_text, of_tokenizers
from tests.fuzz.reader import Reader

TABLES = (of_text, of_rows, of_tokenizers, of_recipes, of_runs, of_models)
READERS: dict[str, Reader] = {reader.name: reader for table in TABLES for reader in table.READERS}

EXCEPTIONS = {  # module -> why nothing of it is fuzzed
    "tane.tokens.tasks": "puts together slices that its own processes wrote a moment ago, in its own folder",
    "tane.tokens.words": "the same, and the shards, whose reader is fuzzed",
    "tane.tokens.trainer": "the kernel's own /proc",
    "tane.tokens.template": "runs on a folder that tane.tokens.taken has just written and opened",
    "tane.resources": "opens a file only to learn why the system does not",
    "tane.tokens.by_lines": "a folder whose files the readers `spm` and `tokenizer.json` have read",
    "tane.hardware": "the kernel's own /proc and /sys",
    "tane.play.app": "the package's own assets",
    "tane.training.probe": "the kernel's own /proc",
    "tane.use.answers": "three bytes of a table that was read before, by the reader `rows`",
    "tane.use.machine": "the kernel's own /proc, and the package's own pyproject.toml",
}
