"""The kinds of tokenizers that can be trained, one file each: a kind turns texts into a Hugging Face folder.

The protocol:

    class Name:                                     # in kinds/name.py; `-` in the setting is `_` here
        bytes_per_char = 60.0                       # of memory, for each character of the texts
        def needs(self, job: Job) -> int: ...       # bytes of memory besides, however short the texts
        def train(self, texts, job: Job) -> None: ...

`train` writes all files that `AutoTokenizer` needs into `job.folder`. The same texts and settings give the
same bytes, in any process. It works in a child process (see trainer.py), may use `job.memory` bytes, and sees
of a larger text a sample that fits, by what `bytes_per_char` says; a kind with 0 there sees all of the text,
and keeps to `job.memory` by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tane.tokens.specials import Specials

KIND = "tokens.kinds"


@dataclass(frozen=True)
class Job:
    """What to train. dictionary: whose words, for kinds that need some; memory: bytes that may be used."""

    folder: Path
    vocab_size: int
    coverage: float
    dictionary: str
    specials: Specials
    memory: int


class Kind(Protocol):
    """A kind of tokenizer; see the module's header."""

    bytes_per_char: float

    def needs(self, job: Job) -> int:
        """Bytes of memory that training takes whatever the length of the texts."""
        ...

    def train(self, texts: Iterable[str], job: Job) -> None:
        """Train on texts and write the folder. Raises InputError where they or the settings do not do."""
        ...


def write_config(folder: Path, specials: Specials, **values: Any) -> None:
    """Write `tokenizer_config.json` for AutoTokenizer, with the special tokens."""
    # the class's name in all versions of transformers; 5 itself would write one that 4 cannot read
    first = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    # said, since 4 and 5 would return other inputs by themselves; models with [CLS] know segments of a pair
    segments = ["token_type_ids"] if specials.cls else []
    inputs = {"model_input_names": ["input_ids", *segments, "attention_mask"]}
    text = json.dumps({**first, **inputs, **values, **specials.config()}, indent=1, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def most_common(counts: dict[str, int], coverage: float) -> list[str]:
    """The most frequent keys that together make up `coverage` of all counts; ties in the keys' order."""
    wanted, seen = coverage * sum(counts.values()), 0
    found = []
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if seen >= wanted:
            break
        found.append(name)
        seen += count
    return found
