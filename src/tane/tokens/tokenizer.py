"""The tokenizer stage: train one on the corpus, or take somebody's, and save it as a Hugging Face folder.

`load_tokenizer` opens any such folder safely; `Encoder` is the fast road from texts to ids for the shards,
with the ids of the saved folder: special tokens are never added, and text that looks like one stays text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import field_validator

from tane import files, hub, progress
from tane.errors import InputError
from tane.settings import Settings, option
from tane.text.corpus import Corpus
from tane.tokens import unigram

_BYTES = re.compile(r"([0-9]+(?:\.[0-9]*)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


class TokenizerSettings(Settings):
    """How text becomes ids."""

    kind: Literal["unigram"] = option("unigram", "the kind to train: unigram (SentencePiece, byte fallback)")
    vocab_size: int = option(8000, "pieces of a trained tokenizer, at most", ge=300, le=1_000_000)
    path: str | None = option(None, "take this tokenizer instead of training one: a folder or hub id")
    coverage: float = option(
        0.9995, "share of the text's characters that get a piece; the rest are bytes", gt=0.9, le=1
    )
    ram: str = option("2GB", "memory that training may take; a larger text is sampled", resume="free")

    @field_validator("ram")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        if not _BYTES.fullmatch(value.strip()):
            raise ValueError("expected a size such as 2GB")
        return value

    def ram_bytes(self) -> int:
        """`ram` in bytes."""
        found = _BYTES.fullmatch(self.ram.strip())
        assert found
        return int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))


def prepare_tokenizer(
    settings: TokenizerSettings, corpus: Corpus, folder: Path, fingerprint: str
) -> files.Manifest:
    """Train or take the tokenizer and publish it as `folder`."""

    def write(temporary: Path) -> dict[str, Any]:
        if settings.path is not None:
            _take(settings.path, temporary)
        else:
            model = temporary / "spiece.model"
            ram = settings.ram_bytes()
            unigram.train(
                corpus.folder, model, vocab_size=settings.vocab_size, coverage=settings.coverage, ram=ram
            )
            unigram.save(model, temporary)
        tokenizer = load_tokenizer(temporary)
        kept = settings.model_dump(exclude={"ram"})
        return {
            "fingerprint": fingerprint,
            "settings": kept,
            "pieces": len(tokenizer),
            "eos_token": tokenizer.eos_token,
        }

    manifest = files.publish(folder, "tokenizer", write)
    if settings.path is None and manifest.meta["pieces"] < settings.vocab_size:
        progress.say(
            f"the text bears {manifest.meta['pieces']:,} pieces, not {settings.vocab_size:,}: using those"
        )
    return manifest


def source_fingerprint(name: str) -> str:
    """Hash of the files of a tokenizer that is taken from elsewhere."""
    folder = hub.local_folder(name, "the tokenizer")
    folder = folder if (folder / "tokenizer_config.json").exists() else folder / "model"
    if not folder.is_dir():
        return ""  # `load_tokenizer` says what is wrong with it
    names = ("tokenizer", "special_tokens", "vocab", "merges", "spiece", "added_tokens")
    chosen = sorted(p for p in folder.iterdir() if p.name.startswith(names) and p.is_file())
    return files.digest([[p.name, files.sha256(p)] for p in chosen])


def _take(name: str, folder: Path) -> None:
    tokenizer = load_tokenizer(name)
    source = Path(tokenizer.name_or_path)
    tokenizer.save_pretrained(folder)
    if (source / "tokenizer.json").is_file():  # as it is: writing it anew would round its scores
        shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    config_path = folder / "tokenizer_config.json"
    config = json.loads(config_path.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":  # a name that transformers 4 cannot read
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        config_path.write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_tokenizer(name: str | os.PathLike[str]) -> Any:
    """Open a tokenizer folder (or hub id) in Hugging Face's layout, without running any code of its own."""
    folder = hub.local_folder(name, "the tokenizer")
    run_model = folder / "model"
    if not (folder / "tokenizer_config.json").exists() and (run_model / "tokenizer_config.json").exists():
        folder = run_model
    present = {p.name for p in folder.iterdir()}
    if not present & {"tokenizer.json", "tokenizer_config.json"}:
        bare = sorted(n for n in present if n.endswith(".model"))
        found = f"only {bare[0]}, whose ids transformers would guess" if bare else "no tokenizer.json"
        raise InputError(f"{folder}: expected a tokenizer in Hugging Face's layout, found {found}")
    for path in (folder / "tokenizer_config.json", folder / "tokenizer.json"):
        if path.exists():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError):
                raise InputError(f"{path} is not valid JSON: it is damaged or cut") from None
            if isinstance(content, dict) and "auto_map" in content:
                raise InputError(f"{path} asks to run code of its own (auto_map), which tane never does")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a foreign file provokes, it is the file's fault
        raise InputError(f"{folder}: the tokenizer cannot be read: {str(error).splitlines()[0]}") from None


def copy_tokenizer(source: Path, target: Path, max_length: int) -> None:
    """Copy a published tokenizer's files into a model folder and note the model's longest input there."""
    for path in source.iterdir():
        if path.name not in (files.MANIFEST, "tokenizer_config.json") and path.is_file():
            shutil.copyfile(path, target / path.name)
    config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["model_max_length"] = max_length
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    (target / "tokenizer_config.json").write_text(text, encoding="utf-8")


class Encoder:
    """Texts to ids and back: the ids of the folder's tokenizer, without special tokens."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.tokenizer = load_tokenizer(name)
        self.vocab_size = len(self.tokenizer)
        self.unk_id: int | None = self.tokenizer.unk_token_id
        eos = self.tokenizer.eos_token_id
        if eos is None:
            eos = self.tokenizer.sep_token_id
        if eos is None:
            raise InputError(
                f"the tokenizer {name} has no end-of-text token",
                "give one with eos_token in tokenizer_config.json",
            )
        self.eos_id: int = eos
        self._backend = getattr(self.tokenizer, "_tokenizer", None) if self.tokenizer.is_fast else None
        if self._backend is not None:
            self._backend.encode_special_tokens = True
            self._backend.no_truncation()
            self._backend.no_padding()

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids (n,) of each text, int64."""
        if self._backend is not None:
            encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
            return [np.array(e.ids, dtype=np.int64) for e in encoded]
        return [
            np.array(
                self.tokenizer.encode(t, add_special_tokens=False, split_special_tokens=True), dtype=np.int64
            )
            for t in texts
        ]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of ids, special tokens left out."""
        return self.tokenizer.decode(
            [int(i) for i in ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
