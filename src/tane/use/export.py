"""`tane export RUN DIR`: a plain Hugging Face folder with a model card, checked by opening it again.

The check: the folder opens with `AutoTokenizer` and with `AutoModelForCausalLM`, or for a masked model with
`AutoModelForMaskedLM`; its logits equal the run's to the bit; its tokenizer gives the ids that stand in the
shards the model was trained on, and finds a mask that stands in a text.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tane
from tane import files, locks, progress, resources, signals
from tane.errors import InputError, IntegrityError
from tane.model.build import find_model, hushed, open_model, positions
from tane.model.folder import check_folder, check_rows
from tane.model.task_head import takes_types
from tane.text.corpus import Corpus
from tane.tokens import taken
from tane.tokens.shards import SPLITS, Shards
from tane.training.resume import RESOLVED, run_of
from tane.types import Result
from tane.use.card import JAPANESE_CLASS, example, model_card, read_json
from tane.use.classifier import HEADS, is_classifier
from tane.use.masked import architecture, is_masked
from tane.use.usage import use_of
from tane.use.verify import data_of
from tane.yamlio import read_yaml

PARITY_DOCUMENTS = 200  # documents of each split whose ids are compared
CARD, OLD_CARD = "README.md", "README.source.md"  # the card, and the one of the folder that was copied
SKIP = (files.MANIFEST, CARD)
CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
ATTENTION = ("attn_implementation", "_attn_implementation")  # a choice for the machine that trained


def export(run: str | os.PathLike[str], target: str | os.PathLike[str], *, overwrite: bool = False) -> Result:
    """Publish the best model of a run (or any model folder) as `target`. Raises InputError when it exists."""
    folder, target = find_model(run), Path(target)
    run_dir = run_of(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        if not overwrite:
            raise InputError(f"{target} exists already", "choose another folder, or add --overwrite")
        if not (target / CONFIG).is_file():
            raise InputError(
                f"{target} holds something else than a model: it is not replaced",
                "choose another folder, or delete it yourself",
            )
    check_folder(folder)
    checked: dict[str, Any] = {}

    def write(temporary: Path) -> dict[str, Any]:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name not in SKIP:
                shutil.copyfile(path, temporary / path.name)
                signals.poll("nothing was written")
        if (folder / CARD).is_file() and not (temporary / OLD_CARD).exists():
            shutil.copyfile(folder / CARD, temporary / OLD_CARD)
        tokenizer, automatic, compared = _check(folder, temporary, run_dir)
        checked["ids_compared"] = compared
        usage = use_of(temporary, tokenizer, automatic)
        card = model_card(
            temporary, tokenizer, usage, run_dir, folder, tane.__version__, name=target.resolve().name
        )
        (temporary / CARD).write_bytes(card.encode("utf-8", "replace"))  # names may hold half a character
        return {"tane": tane.__version__, "source": str(folder)}

    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    with signals.caught(), hushed(), locks.claimed(target):
        manifest = files.publish(target, "export", write, needs=size)
    told = f"{checked['ids_compared']:,} ids compared with the shards, " if checked["ids_compared"] else ""
    progress.say(f"exported to {target}: {told}logits equal")
    return Result(str(target), {"export": str(target), **checked}, manifest.fingerprint)


def _check(source: Path, copy: Path, run_dir: Path | None) -> tuple[Any, bool, int]:
    """Open the copy as a user would, compare logits with the source, ids with the shards.

    Returns the copy's tokenizer, whether AutoTokenizer opens it, and how many ids were compared.
    """
    import transformers

    auto_model = auto_model_of(source)
    taken.folder(source)  # or AutoTokenizer would make one without pieces
    original = open_model(source, auto_model).eval()
    _leave_to_the_class(copy, original)
    tokenizer, automatic = _open_tokenizer(source, copy)
    check_rows(source, original, len(tokenizer))
    model = getattr(transformers, auto_model).from_pretrained(
        str(copy), local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    way = model.config._attn_implementation
    if way != original.config._attn_implementation:
        original.set_attn_implementation(way)
    ids = torch.arange(min(16, positions(model) or 16))[None] % len(tokenizer)
    if auto_model.endswith("MultipleChoice"):
        ids = ids[None].repeat(1, 2, 1)
    with torch.no_grad():
        if not torch.equal(model.eval()(input_ids=ids).logits, original(input_ids=ids).logits):
            raise IntegrityError(f"the copy of {source} does not give the same logits; nothing was published")
    if auto_model == "AutoModelForMaskedLM":
        _check_mask(source, tokenizer)
    compare = run_dir is not None and not is_classifier(source)  # a task's run has no shards
    return tokenizer, automatic, _compare_ids(tokenizer, run_dir) if compare and run_dir else 0


def auto_model_of(folder: Path) -> str:
    """Name of the transformers class that opens a model folder with its head."""
    name = architecture(folder)
    head = next((end for end in HEADS if name.endswith(end)), None)
    return (
        f"AutoModel{head}"
        if head
        else "AutoModelForMaskedLM"
        if is_masked(folder)
        else "AutoModelForCausalLM"
    )


def _leave_to_the_class(copy: Path, model: Any) -> None:
    """Take out of the copy's configuration a way of attention, and an input that the model does not take."""
    config = read_json(copy / CONFIG)
    if any(name in config for name in ATTENTION):
        config = {name: value for name, value in config.items() if name not in ATTENTION}
        files.write_text(copy / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
    config = read_json(copy / TOKENIZER)
    inputs = config.get("model_input_names") or []
    if "token_type_ids" in inputs and not takes_types(model):
        config["model_input_names"] = [name for name in inputs if name != "token_type_ids"]
        files.write_text(copy / TOKENIZER, json.dumps(config, indent=1, ensure_ascii=False) + "\n")


def _open_tokenizer(source: Path, copy: Path) -> tuple[Any, bool]:
    """The copy's tokenizer, and whether AutoTokenizer opens it; if not, by its class in Python.

    Raises InputError for a folder without a tokenizer that opens.
    """
    from transformers import AutoTokenizer, BertJapaneseTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(copy), local_files_only=True), True
    except (ValueError, OSError, RecursionError) as error:  # the last: an unknown token that is unknown
        if resources.number_of(error) in resources.LACKS:
            raise
        if read_json(copy / TOKENIZER).get("tokenizer_class") != JAPANESE_CLASS:
            told = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InputError(f"transformers does not open the tokenizer of {source}: {told}") from None
    # version 5 takes for a mistake whatever class a file names beside some models, such as ModernBERT
    progress.say(f"warning: AutoTokenizer opens no {JAPANESE_CLASS} for this kind of model; see the card")
    return BertJapaneseTokenizer.from_pretrained(str(copy), local_files_only=True), False


def _check_mask(source: Path, tokenizer: Any) -> None:
    """Raise InputError unless the tokenizer finds a mask in a text, as who asks for a fill will write it."""
    ids = tokenizer(example(tokenizer))["input_ids"]
    if tokenizer.mask_token_id is None or ids.count(tokenizer.mask_token_id) != 1:
        raise InputError(
            f"the tokenizer of {source} finds no mask in a text, so nobody could ask the model for a fill",
            "take split_special_tokens out of its tokenizer_config.json, and name its mask_token there",
        )


def _compare_ids(tokenizer: Any, run_dir: Path) -> int:
    data = data_of(run_dir, read_yaml(run_dir / RESOLVED))
    if not (data / "shards" / files.MANIFEST).exists() or not (data / "corpus" / files.MANIFEST).exists():
        progress.say(f"warning: {data} is gone, so the tokenizer could not be compared with the shards")
        return 0
    corpus, compared = Corpus.open(data / "corpus"), 0
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    for split in SPLITS:
        stored = Shards(data / "shards", split).documents()
        for _, text, row in zip(range(PARITY_DOCUMENTS), corpus.texts(split), stored):  # noqa: B905 - the shortest ends it
            ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
            if special.intersection(ids):
                continue  # a tokenizer that takes text for special tokens; the shards hold it as text
            if not np.array_equal(ids, row[:-1]):
                raise IntegrityError(
                    f"the exported tokenizer gives other ids than the shards for {text[:40]!r}; "
                    "nothing was published"
                )
            compared += len(ids)
    return compared
