"""The data folder: corpus, tokenizer, shards, each made once and kept while it is current; and where words
start in the shards, if that is asked for.

Each stage's manifest holds the fingerprint of what it was made from. Equal: the stage is kept. Another: the
stage is stale and refused, with what changed and the line to type. Absent: it is made, under the folder's
lock.

The work can be divided: `share` makes one part of what can be made at present (reading the text; once corpus
and tokenizer are there, tokenising; then finding words), and `prepare_data` puts the parts together, making
what is missing. The bytes are the same.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tane import files, locks, progress, resources, signals
from tane.errors import InputError, IntegrityError, LockedError, ResourceError
from tane.text import corpus as text
from tane.tokens import tasks, tokenise, tokenizer
from tane.tokens.encoder import Encoder
from tane.tokens.specials import CAUSAL, Specials
from tane.tokens.words import WordStarts
from tane.tokens.words import describe as describe_words
from tane.types import Result

REBUILD = "run the same command with --rebuild to make the data anew"
STAGES = ("corpus", "tokenizer", "shards")


def prepare_data(
    corpus_settings: text.CorpusSettings,
    settings: tokenizer.TokenizerSettings,
    folder: Path,
    specials: Specials = CAUSAL,
    *,
    rebuild: bool = False,
    full: bool = True,
    until: str = "words",
    words: str | None = None,
) -> Result:
    """Make what is missing in `folder`; the result's fingerprint is that of the last stage, with words that
    of the shards and the words.

    A complete folder is only read, so several runs may start from it at once, also from a read-only one.
    specials: those of a tokenizer that is trained. words: find where words start, by the tokenizer's own
    words, a dictionary's or the scripts (see words.py); None: leave them alone. until: the last stage to
    make: tokenizer, shards or words.
    """
    stages = (*STAGES, "words") if words is not None else STAGES
    complete = not rebuild and all((folder / stage).exists() for stage in stages)
    above = resources.existing_parent(folder)
    with (
        signals.caught(),
        contextlib.nullcontext() if complete else locks.locked(folder),
        locks.unmade(folder, above),
        signals.kept(folder / "corpus", folder / text.PIECES),
    ):
        if not complete:
            files.sweep(folder)
            files.sweep(folder / text.PIECES)
        corpus = _corpus(corpus_settings, folder / "corpus", rebuild)
        if not complete:  # a kill may have come between the corpus and the end of its pieces
            shutil.rmtree(folder / text.PIECES, ignore_errors=True)
        ours = _tokenizer(settings, corpus, folder / "tokenizer", specials, rebuild, full)
        meta: dict[str, Any] = {"data": str(folder), "ledger": corpus.manifest.meta["ledger"]}
        meta["pieces"] = ours.meta["pieces"]
        if until == "tokenizer":
            return Result(str(folder), meta, ours.fingerprint)
        tokens = _shards(corpus, ours, folder / "shards", rebuild, full)
        progress.say(tokenise.describe(tokens))
        meta["splits"] = tokens.meta["splits"]
        if complete:
            _tidy(folder, tokens)
        if words is None or until == "shards":
            return Result(str(folder), meta, tokens.fingerprint)
        found = _words(words, corpus, folder, rebuild, full)
        if complete:
            _tidy(folder, found)
    progress.say(describe_words(found))
    meta["words"] = {name: found.meta[name] for name in ("dictionary", "splits")}
    return Result(str(folder), meta, files.digest([tokens.fingerprint, found.fingerprint]))


def _tidy(folder: Path, made: files.Manifest) -> None:
    """Clear what a kill left after the last stage was published, unless somebody works here or nobody may."""
    work = (folder / text.PIECES, tasks.work_of(folder / "shards", made.meta["fingerprint"]))
    if any(place.exists() for place in work) or any(folder.glob(f"{files.TEMPORARY}*")):
        with contextlib.suppress(LockedError, ResourceError), locks.locked(folder):
            files.sweep(folder)
            for place in work:
                shutil.rmtree(place, ignore_errors=True)


def share(
    corpus_settings: text.CorpusSettings,
    settings: tokenizer.TokenizerSettings,
    folder: Path,
    specials: Specials,
    part: int,
    parts: int,
    *,
    words: str | None = None,
) -> Result:
    """Make part `part` (from 1) of `parts` of what can be made at present, beside others that do theirs.

    words: as for `prepare_data`.
    """
    with signals.caught(), locks.locked(folder, shared=True):
        done = {stage: (folder / stage).exists() for stage in (*STAGES, "words")}
        if done["shards"] and (words is None or done["words"]):
            raise InputError(f"{folder} is complete: there is nothing to divide", "leave out --part")
        if not done["corpus"]:
            counts = text.read_part_of(corpus_settings, folder / "corpus", part, parts)
            stage, told = "read", "read {mine:,} of {pieces:,} parts of the text".format(**counts)
            then = "when all parts have run, put them together: tane prepare RECIPE --join"
        elif not done["tokenizer"]:
            raise InputError(
                f"{folder} has a corpus but no tokenizer yet",
                "finish what was begun: tane prepare RECIPE --join",
            )
        else:
            corpus = _corpus(corpus_settings, folder / "corpus", False)
            ours = _tokenizer(settings, corpus, folder / "tokenizer", specials, False, True)
            target, encoder = folder / "shards", Encoder(folder / "tokenizer")
            stage, told = "tokenise", "tokenised {mine:,} of {pieces:,} parts"
            # finding words may be divided next
            then = "when all parts have run, put them together: tane prepare RECIPE"
            then += " --join" if words is not None and not done["shards"] else ""
            if not done["shards"]:
                wanted = _tokens_fingerprint(corpus, ours)
                tasks.make_share(tokenise.Tokens(corpus, encoder), target, wanted, part, parts)
            else:
                assert words is not None
                _shards(corpus, ours, target, False, False)  # every token is compared later
                starts = WordStarts(words, corpus, encoder, folder)
                if not starts.can_be_divided:
                    raise InputError(
                        f"the words in {folder} are its tokenizer's own: there is nothing to divide",
                        "leave out --part",
                    )
                starts.write_share(part, parts)
                stage, told = "words", "found the words of {mine:,} of {pieces:,} parts"
            counts = {"pieces": len(corpus.parts()), "mine": len(corpus.parts()[part - 1 :: parts])}
            told = told.format(**counts)
    progress.say(f"part {part}/{parts}: {told}; {then}")
    return Result(str(folder), {"part": f"{part}/{parts}", "stage": stage, **counts})


def _tokens_fingerprint(corpus: text.Corpus, ours: files.Manifest) -> str:
    return files.digest([corpus.manifest.fingerprint, ours.fingerprint, tokenise.VERSION])


def _shards(
    corpus: text.Corpus, ours: files.Manifest, target: Path, rebuild: bool, full: bool
) -> files.Manifest:
    wanted = _tokens_fingerprint(corpus, ours)
    return _stage(
        target, wanted, lambda meta: [], rebuild, full,
        lambda: tokenise.write_shards(corpus, Encoder(target.parent / "tokenizer"), target, wanted),
    )  # fmt: skip


def _words(asked: str, corpus: text.Corpus, folder: Path, rebuild: bool, full: bool) -> files.Manifest:
    target = folder / "words"
    starts = WordStarts(asked, corpus, Encoder(folder / "tokenizer"), folder)
    remedy = f"delete {target} to have the words found anew, or make all of the data anew with --rebuild"
    return _stage(target, starts.fingerprint, starts.changes, rebuild, full, starts.write, remedy)


def tokenizer_fingerprint(settings: tokenizer.TokenizerSettings, specials: Specials, corpus: str) -> str:
    """What decides a tokenizer: the files that are taken, or the settings and the corpus' fingerprint."""
    if settings.path is not None:
        return files.digest(["taken", tokenizer.source_fingerprint(settings.path, settings.dictionary)])
    kept = settings.model_dump(exclude={"ram", "path"})
    return files.digest([kept, list(specials), corpus])


def _tokenizer(
    settings: tokenizer.TokenizerSettings, corpus: text.Corpus, target: Path, specials: Specials,
    rebuild: bool, full: bool,
) -> files.Manifest:  # fmt: skip
    wanted = tokenizer_fingerprint(settings, specials, corpus.manifest.fingerprint)
    now = settings.model_dump(exclude={"ram"})
    if settings.path is not None and target.exists() and not rebuild:
        gone = not tokenizer.source_fingerprint(settings.path, settings.dictionary)
        kept = files.check(target, target.name, full=full, remedy=REBUILD) if gone else None
        if kept is not None and kept.meta["settings"] == now:
            told = "cannot be read now; using the tokenizer that was taken from it"
            progress.say(f"warning: {settings.path} {told}")
            return kept

    def changes(meta: dict[str, Any]) -> list[str]:
        before = meta["settings"]
        return [f"tokenizer.{k}: {before[k]} -> {v}" for k, v in now.items() if before.get(k, v) != v]

    return _stage(
        target, wanted, changes, rebuild, full,
        lambda: tokenizer.prepare_tokenizer(settings, corpus, target, wanted, specials),
    )  # fmt: skip


def _corpus(settings: text.CorpusSettings, target: Path, rebuild: bool) -> text.Corpus:
    if target.exists() and not rebuild:
        manifest = files.Manifest.read(target, "corpus")
        if not settings.inputs:
            return text.Corpus.open(target)
        try:
            now = text.fingerprint(settings, text.input_state(settings))
        except InputError as error:
            if manifest.meta["settings"] != settings.model_dump(mode="json"):
                raise
            progress.say(f"warning: {error.message}; using the corpus that was prepared from it")
            return text.Corpus.open(target)
        if now != manifest.meta["fingerprint"]:
            changed = _difference(text.Corpus(target, manifest), settings)
            raise IntegrityError(f"{target} is stale: {changed}", REBUILD)
        return text.Corpus.open(target)
    if not settings.inputs:
        raise InputError("corpus.inputs is empty", "name your text: --corpus.inputs FILE...")
    text.build_corpus(settings, target)
    return text.Corpus.open(target)


def _difference(corpus: text.Corpus, settings: text.CorpusSettings) -> str:
    """What changed since a corpus was made, for the person."""
    old = {record["sha256"]: record["path"] for record in corpus.inputs()}
    new = {record["sha256"]: record["path"] for record in text.input_state(settings)}
    gone, come = {old[k] for k in old.keys() - new.keys()}, {new[k] for k in new.keys() - old.keys()}
    lines = [f"{path} was edited" for path in sorted(gone & come)]
    lines += [f"{path} is new" for path in sorted(come - gone)] + [
        f"{path} is gone" for path in sorted(gone - come)
    ]
    before, after = corpus.meta["settings"], settings.model_dump(mode="json")
    lines += [
        f"corpus.{name}: {before.get(name)} -> {value}"
        for name, value in after.items()
        if name not in ("inputs", "valid_inputs") and before.get(name) != value
    ]
    return "; ".join(lines) or "its inputs are read in another way than before"


def _stage(
    target: Path,
    wanted: str,
    changes: Callable[[dict[str, Any]], list[str]],
    rebuild: bool,
    full: bool,
    make: Callable[[], files.Manifest],
    remedy: str = REBUILD,
) -> files.Manifest:
    """Keep a stage's folder when its fingerprint is the wanted one; refuse a stale one, make one.

    changes: what differs from a stale one with this meta, for the person.
    """
    if target.exists() and not rebuild:
        manifest = files.check(target, target.name, full=full, remedy=remedy)
        if manifest.meta["fingerprint"] != wanted:
            changed = changes(manifest.meta)
            why = "; ".join(changed) or "it was made from another corpus, tokenizer or version of tane"
            raise IntegrityError(f"{target} is stale: {why}", remedy)
        return manifest
    return make()
