"""`tane export RUN DIR`: a plain Hugging Face folder with a model card, checked by opening it again.

The check: the folder opens with `AutoModelForCausalLM` and `AutoTokenizer`, its logits equal the run's to the
bit, and its tokenizer gives the ids that stand in the shards the model was trained on.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tane
from tane import files, progress, signals
from tane.errors import InputError, IntegrityError
from tane.model.build import find_model, hushed, open_model
from tane.text.corpus import Corpus
from tane.tokens.encoder import Encoder
from tane.tokens.shards import SPLITS, Shards
from tane.training import checkpoint
from tane.training.resume import RESOLVED, run_of
from tane.training.tracker import LOG, read_metrics
from tane.types import Result
from tane.yamlio import dump_yaml, read_yaml

PARITY_DOCUMENTS = 200  # documents of each split whose ids are compared
SKIP = (files.MANIFEST, "README.md")


def export(run: str | os.PathLike[str], target: str | os.PathLike[str], *, overwrite: bool = False) -> Result:
    """Publish the best model of a run (or any model folder) as `target`. Raises InputError when it exists."""
    folder, target = find_model(run), Path(target)
    run_dir = run_of(folder)
    if target.exists() and not overwrite:
        if not target.is_dir() or any(target.iterdir()):
            raise InputError(f"{target} exists already", "choose another folder, or add --overwrite")
        target.rmdir()
    checked: dict[str, Any] = {}

    def write(temporary: Path) -> dict[str, Any]:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name not in SKIP:
                shutil.copyfile(path, temporary / path.name)
                if signals.requested():
                    raise InputError(f"stopped by {signals.requested()}; nothing was written")
        checked.update(_check(folder, temporary, run_dir))
        (temporary / "README.md").write_text(model_card(temporary, run_dir, folder), encoding="utf-8")
        return {"tane": tane.__version__, "source": str(folder)}

    with signals.caught(), hushed(), files.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        manifest = files.publish(target, "export", write)
    progress.say(
        f"exported to {target}: {checked['ids_compared']:,} ids compared with the shards, logits equal"
    )
    return Result(str(target), {"export": str(target), **checked}, manifest.fingerprint)


def _check(source: Path, copy: Path, run_dir: Path | None) -> dict[str, Any]:
    """Open the copy as a user would; compare logits with the source and ids with the shards."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(copy), local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        str(copy), local_files_only=True, use_safetensors=True
    ).eval()
    original = open_model(source).eval()
    ids = torch.arange(16)[None] % len(tokenizer)
    with torch.no_grad():
        if not torch.equal(model(input_ids=ids).logits, original(input_ids=ids).logits):
            raise IntegrityError(f"the copy of {source} does not give the same logits; nothing was published")
    return {"ids_compared": _compare_ids(tokenizer, run_dir) if run_dir else 0}


def _compare_ids(tokenizer: Any, run_dir: Path) -> int:
    recipe = read_yaml(run_dir / RESOLVED)
    data = Path(recipe["data_dir"]) if recipe.get("data_dir") else run_dir / "data"
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


def model_card(folder: Path, run_dir: Path | None, source: Path) -> str:
    """README.md of an export: what it is, how it was trained, how to use it."""
    encoder = Encoder(folder)
    config = read_config(folder)
    pieces = "".join(encoder.tokenizer.get_vocab())
    lines = [
        "---",
        *(["language: ja"] if any("ぁ" <= c <= "ヶ" for c in pieces) else []),
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [tane]",
        "---",
        "",
        f"# {run_dir.name if run_dir else folder.name}",
        "",
        f"A {config.get('model_type')} model with {encoder.vocab_size:,} pieces, trained with tane "
        f"{tane.__version__}.",
        "",
        "```python",
        "from transformers import pipeline",
        'pipe = pipeline("text-generation", model="THIS_FOLDER")',
        'print(pipe("吾輩は", max_new_tokens=50, do_sample=True)[0]["generated_text"])',
        "```",
        "",
    ]
    if run_dir is not None and (run_dir / LOG).exists():
        evals = read_metrics(run_dir, "eval")
        starts = read_metrics(run_dir, "start")
        step = checkpoint.step_of(source)
        for best in (e for e in evals if e["step"] == step):
            lines += ["## Scores", "", "| measure | value |", "|---|---|"]
            lines += [f"| validation loss (nats per token) | {best['loss']:.4f} |"]
            lines += [
                f"| bits per character | {best['bits_per_char']:.4f} |",
                f"| step | {best['step']:,} |",
                "",
            ]
        if starts:
            lines += [
                f"{starts[0]['parameters']:,} parameters; torch {starts[0]['torch']}; "
                f"{starts[0]['precision']}.",
                "",
            ]
        ledger = _ledger(run_dir)
        if ledger:
            lines += ["## Text", "", "```", ledger, "```", ""]
        lines += ["## Recipe", "", "```yaml", dump_yaml(read_yaml(run_dir / RESOLVED)).strip(), "```", ""]
    lines += ["## Limits", "", "It repeats what its training text says, mistakes and biases included."]
    lines += ["The licence of the model depends on that text; fill it in before you share it.", ""]
    return "\n".join(lines)


def _ledger(run_dir: Path) -> str:
    from tane.text.ledger import Ledger

    recipe = read_yaml(run_dir / RESOLVED)
    data = Path(recipe["data_dir"]) if recipe.get("data_dir") else run_dir / "data"
    try:
        return Ledger.from_json(files.Manifest.read(data / "corpus", "corpus").meta["ledger"]).table()
    except IntegrityError:
        return ""


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json."""
    import json

    return json.loads((folder / "config.json").read_text(encoding="utf-8"))
