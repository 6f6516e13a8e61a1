"""The data folder: corpus, tokenizer, shards, each made once and kept while it is current.

Each stage's manifest holds the fingerprint of what it was made from. Equal: the stage is kept. Another: the
stage is stale and refused, with what changed and the line to type. Absent: it is made, under the folder's
lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tane import files, progress, signals
from tane.errors import InputError, IntegrityError
from tane.text import corpus as text
from tane.tokens import shards, tokenizer
from tane.types import Result

REBUILD = "run the same command with --rebuild to make the data anew"
STAGES = ("corpus", "tokenizer", "shards")


def prepare_data(
    corpus_settings: text.CorpusSettings,
    settings: tokenizer.TokenizerSettings,
    folder: Path,
    *,
    rebuild: bool = False,
    full: bool = True,
) -> Result:
    """Make what is missing in `folder`; the result's fingerprint is that of the shards.

    A complete folder is only read, so several runs may start from it at once, also from a read-only one.
    """
    complete = not rebuild and all((folder / stage).exists() for stage in STAGES)
    with signals.caught(), contextlib.nullcontext() if complete else files.locked(folder):
        if not complete:
            files.sweep(folder)
        corpus = _corpus(corpus_settings, folder / "corpus", rebuild)
        if settings.path is not None:
            wanted = files.digest(["taken", tokenizer.source_fingerprint(settings.path)])
        else:
            kept = settings.model_dump(exclude={"ram", "path"})
            wanted = files.digest([kept, corpus.manifest.fingerprint])
        target = folder / "tokenizer"
        ours = _stage(
            target,
            wanted,
            settings.model_dump(exclude={"ram"}),
            rebuild,
            full,
            lambda: tokenizer.prepare_tokenizer(settings, corpus, target, wanted),
        )
        wanted = files.digest([corpus.manifest.fingerprint, ours.fingerprint, shards.VERSION])
        tokens = _stage(
            folder / "shards",
            wanted,
            {},
            rebuild,
            full,
            lambda: shards.write_shards(corpus, tokenizer.Encoder(target), folder / "shards", wanted),
        )
    progress.say(shards.describe(tokens))
    meta = {"data": str(folder), "ledger": corpus.manifest.meta["ledger"], "splits": tokens.meta["splits"]}
    return Result(str(folder), {**meta, "pieces": ours.meta["pieces"]}, tokens.fingerprint)


def _corpus(settings: text.CorpusSettings, target: Path, rebuild: bool) -> text.Corpus:
    if target.exists() and not rebuild:
        manifest = files.Manifest.read(target, "corpus")
        if not settings.inputs:
            return text.Corpus.open(target)
        try:
            state = text.input_state(settings)
        except InputError as error:
            if manifest.meta["settings"] != settings.model_dump(mode="json"):
                raise
            progress.say(f"warning: {error.message}; using the corpus that was prepared from it")
            return text.Corpus.open(target)
        if text.fingerprint(settings, state) != manifest.meta["fingerprint"]:
            raise IntegrityError(f"{target} is stale: {_difference(manifest.meta, settings, state)}", REBUILD)
        return text.Corpus.open(target)
    if not settings.inputs:
        raise InputError("corpus.inputs is empty", "name your text: --corpus.inputs FILE...")
    text.build_corpus(settings, target)
    return text.Corpus.open(target)


def _difference(meta: dict[str, Any], settings: text.CorpusSettings, state: list[dict[str, Any]]) -> str:
    """What changed since a corpus was made, for the person."""
    old, new = {i["sha256"]: i["path"] for i in meta["inputs"]}, {i["sha256"]: i["path"] for i in state}
    gone, come = {old[k] for k in old.keys() - new.keys()}, {new[k] for k in new.keys() - old.keys()}
    lines = [f"{path} was edited" for path in sorted(gone & come)]
    lines += [f"{path} is new" for path in sorted(come - gone)] + [
        f"{path} is gone" for path in sorted(gone - come)
    ]
    before, after = meta["settings"], settings.model_dump(mode="json")
    lines += [
        f"corpus.{name}: {before.get(name)} -> {value}"
        for name, value in after.items()
        if name not in ("inputs", "valid_inputs") and before.get(name) != value
    ]
    return "; ".join(lines) or "its inputs are read in another way than before"


def _stage(
    target: Path,
    wanted: str,
    now: dict[str, Any],
    rebuild: bool,
    full: bool,
    make: Callable[[], files.Manifest],
) -> files.Manifest:
    """Keep a stage's folder when its fingerprint is the wanted one; refuse a stale one, make one."""
    if target.exists() and not rebuild:
        manifest = files.check(target, target.name, full=full, remedy=REBUILD)
        if manifest.meta["fingerprint"] != wanted:
            before = manifest.meta.get("settings", {})
            changed = [
                f"{target.name}.{k}: {before[k]} -> {v}" for k, v in now.items() if before.get(k, v) != v
            ]
            why = "; ".join(changed) or "it was made from another corpus, tokenizer or version of tane"
            raise IntegrityError(f"{target} is stale: {why}", REBUILD)
        return manifest
    return make()
