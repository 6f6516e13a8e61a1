"""The tokenizer stage: train one on the corpus, or take somebody's, and save it as a Hugging Face folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from tane import files, progress
from tane.errors import InputError
from tane.settings import Settings, option
from tane.text import words
from tane.text.corpus import Corpus
from tane.tokens import taken, trainer
from tane.tokens.encoder import Encoder
from tane.tokens.specials import CAUSAL, Specials
from tane.tokens.taken import fingerprint as source_fingerprint
from tane.tokens.taken import load as load_tokenizer

__all__ = [
    "TokenizerSettings",
    "copy_tokenizer",
    "load_tokenizer",
    "prepare_tokenizer",
    "source_fingerprint",
]

_BYTES = re.compile(r"([0-9]+(?:\.[0-9]*)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


class TokenizerSettings(Settings):
    """How text becomes ids."""

    kind: Literal["unigram", "bpe", "character", "mecab-wordpiece"] = option(
        "unigram",
        "the kind to train: unigram and bpe (SentencePiece, byte fallback), character (rare ones as bytes), "
        "mecab-wordpiece (words by MeCab or Sudachi, WordPieces of these)",
    )
    vocab_size: int = option(8000, "pieces of a trained tokenizer, at most", ge=300, le=1_000_000)
    path: str | None = option(None, "take this tokenizer instead of training one: a folder, file or hub id")
    dictionary: Literal["ipadic", "unidic-lite", "sudachi"] | None = option(
        None, "whose words mecab-wordpiece takes, and a vocab.txt given as path; none: ipadic"
    )
    coverage: float = option(
        0.9995,
        "share of the text's characters that get a piece; the rest are bytes, or unknown",
        gt=0.9,
        le=1,
    )
    ram: str = option("700MB", "memory that training may take; a larger text is sampled", resume="free")

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
    settings: TokenizerSettings, corpus: Corpus, folder: Path, fingerprint: str, specials: Specials = CAUSAL
) -> files.Manifest:
    """Train or take the tokenizer and publish it as `folder`; a trained one has these special tokens.

    The manifest's meta: fingerprint, settings, pieces (V), eos_token; of a trained one also characters_used
    and sampled_share of the training text, and for MeCab's or Sudachi's words the segmenter's version.
    """
    if settings.dictionary and not settings.path and settings.kind != "mecab-wordpiece":
        raise InputError(
            f"tokenizer.dictionary is {settings.dictionary}, but a tokenizer of the kind {settings.kind} "
            "takes no words from one",
            "leave it out, or --tokenizer.kind mecab-wordpiece",
        )

    def write(temporary: Path) -> dict[str, Any]:
        meta = {"fingerprint": fingerprint, "settings": settings.model_dump(exclude={"ram"})}
        if settings.path is not None:
            taken.take(settings.path, temporary, dictionary=settings.dictionary)
        else:
            meta |= _train(settings, corpus, temporary, specials)
        encoder = Encoder(temporary)
        return {**meta, "pieces": encoder.vocab_size, "eos_token": encoder.eos_token}

    manifest = files.publish(folder, "tokenizer", write, needs=100 * settings.vocab_size)
    if settings.path is None and manifest.meta["pieces"] < settings.vocab_size:
        progress.say(
            f"the text bears {manifest.meta['pieces']:,} pieces, not {settings.vocab_size:,}: using those"
        )
    return manifest


def _train(settings: TokenizerSettings, corpus: Corpus, folder: Path, specials: Specials) -> dict[str, Any]:
    dictionary = settings.dictionary or "ipadic"
    trained = trainer.train(
        settings.kind, corpus.folder, folder, vocab_size=settings.vocab_size, coverage=settings.coverage,
        dictionary=dictionary, specials=specials, ram=settings.ram_bytes(),
    )  # fmt: skip
    if trained.share < 1:
        progress.say(
            f"the tokenizer was trained on {trained.used:,} of {trained.characters:,} characters "
            f"({trained.share:.1%}): tokenizer.ram is {settings.ram}"
        )
    meta: dict[str, Any] = {"characters_used": trained.used, "sampled_share": round(trained.share, 6)}
    if settings.kind == "mecab-wordpiece":
        meta["segmenter"] = words.version(dictionary)
    return meta


def copy_tokenizer(source: Path, target: Path, max_length: int) -> None:
    """Copy a published tokenizer's files into a model folder and note the model's longest input there."""
    for path in source.iterdir():
        if path.name not in (files.MANIFEST, "tokenizer_config.json") and path.is_file():
            shutil.copyfile(path, target / path.name)
    config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["model_max_length"] = max_length
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    (target / "tokenizer_config.json").write_text(text, encoding="utf-8")
