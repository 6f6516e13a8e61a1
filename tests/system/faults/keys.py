"""A run that goes on with another setting: row 21."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tane import files
from tane.recipe import Recipe
from tane.training import checkpoint, resume
from tane.yamlio import parse_yaml, read_yaml

from .checkpoints import stopped
from .damage import stopping, worded_recipe
from .fault import Fault, Outcome
from .ground import Ground
from .starts import End, run

MODEL = '{"model_type": "gpt2", "n_layer": 1, "n_embd": 32, "n_head": 2}'
OTHER = {  # of every key of the recipe: a value that is not the one of the run; None: another folder
    "run_dir": None, "data_dir": None, "seed": "1",
    "corpus.inputs": None, "corpus.column": "text", "corpus.sheet": "a", "corpus.split": "train",
    "corpus.format": "txt", "corpus.quoting": "none", "corpus.unit": "line", "corpus.encoding": "utf-8",
    "corpus.normalize": "nfc", "corpus.filters.min_chars": "2", "corpus.filters.max_chars": "9000",
    "corpus.filters.min_japanese": "0.1", "corpus.filters.max_unprintable": "0.5",
    "corpus.filters.max_symbols": "0.5", "corpus.filters.max_urls": "0.5",
    "corpus.filters.max_repetition": "0.9", "corpus.dedup": "none", "corpus.near_threshold": "0.7",
    "corpus.valid_fraction": "0.06", "corpus.valid_inputs": None, "corpus.max_document_chars": "5000",
    "corpus.on_bad": "skip",
    "tokenizer.kind": "bpe", "tokenizer.vocab_size": "900", "tokenizer.path": None,
    "tokenizer.dictionary": "ipadic", "tokenizer.coverage": "0.99", "tokenizer.ram": "1GB",
    "model.preset": "gpt2-tiny", "model.config": MODEL, "model.pretrained": None,
    "model.keep_tokenizer": "false",
    "objective.name": "masked", "objective.block_size": "16", "objective.isolate_documents": "true",
    "optim.name": "adamw", "optim.lr": "0.004", "optim.weight_decay": "0.2", "optim.layer_decay": "0.9",
    "optim.clip": "0.5", "optim.schedule.name": "constant", "optim.schedule.warmup": "5 steps",
    "optim.schedule.decay": "0.25", "optim.schedule.final": "0.1", "optim.momentum": "0.95",
    "optim.beta1": "0.8", "optim.beta2": "0.99",
    "train.duration": "70 steps", "train.batch_tokens": "512", "train.micro_batch_tokens": "128",
    "train.device": "cpu", "train.precision": "bf16", "train.attention": "eager", "train.compile": "true",
    "train.parallel": "fsdp", "train.threads": "2", "train.gradient_checkpointing": "true",
    "train.freeze": '["*.mlp.*"]',
    "train.eval_every": "10 steps", "train.eval_tokens": "512", "train.save_every": "4 steps",
    "train.keep": "3", "train.early_stopping": "{patience: 3, min_delta: 0.0}", "train.stop_on_spike": "true",
    "train.tensorboard": "true",
    "train.samples": "false",
}  # fmt: skip
MASKED = {  # and of those that only the recipe of a masked model has
    "objective.mask_prob": "0.2", "objective.mask_share": "0.7", "objective.random_share": "0.2",
    "objective.whole_word": "false", "objective.words": "ipadic", "objective.span": "2",
}  # fmt: skip
KEYS = (*OTHER, *MASKED)
# what a run holds in place of `auto`: to name it changes nothing
RESOLVED = {"train.device": "cpu"}


def other_setting(ground: Ground, number: int) -> Outcome:
    """Row 21: one key of the recipe has another value when the run goes on."""
    outcome, key = Outcome(), KEYS[number % len(KEYS)]
    outcome.figures = {"n keys covered": 1.0, "keys in all": float(len(KEYS))}
    with ground.place("setting") as place:
        folder, known = place / "run", OTHER
        if key in MASKED:  # what must match is refused before anything else is looked at
            recipe, known = worded_recipe(ground, ground.data, folder), {**OTHER, **MASKED}
            flat = Recipe.load(recipe).flat()
            folder.mkdir()
            resume.write(folder, flat, flat)
        else:
            ground.copy(stopped(ground), folder)
            recipe = ground.recipe(folder)
        rules = Recipe.load(folder / resume.RESOLVED).rules()
        unknown = {k for k in rules.keys() - known.keys() if not k.startswith("train.early_stopping.")}
        outcome.require(not unknown, f"keys of the recipe without a trial: {sorted(unknown)}")
        rule = rules.get(key, "free")
        value = known[key] or _other_folder(ground, key, place)
        folder = Path(value) if key == "run_dir" else folder
        more = ["--model.config={}"] if key == "model.pretrained" else []  # it has one of its own
        before, changes = _content(folder), [stopping()] if rule == "free" else []
        end = run(["train", recipe, f"--{key}={value}", *more], place, changes)
        _require_settled(outcome, key, rule, end)
        if rule == "match":
            outcome.require(_content(folder) == before, f"{key}: something was changed on the disk")
        elif key not in RESOLVED:
            now = resume.leaves_of(read_yaml(folder / resume.REQUESTED), {key: None})
            kept = str(now[key]) in (value, str(parse_yaml(value, "the trial")))
            outcome.require(kept, f"{key}: recorded is {now[key]!r}")
    return outcome


def _require_settled(outcome: Outcome, key: str, rule: str, end: End) -> None:
    told = re.search(rf"{re.escape(key)}(\.\w+)?: .+ -> ", end.err) is not None
    if rule == "match":
        outcome.require(end.code == 2, f"{key}: ended with {end.code}, not 2: {end.err[-300:]}")
        outcome.require(
            told and "--fresh" in end.err and end.clean, f"{key}: no difference: {end.err[-300:]}"
        )
    else:
        outcome.require(end.code == 75, f"{key}: ended with {end.code}, not 75: {end.err[-300:]}")
        outcome.require(told or key in RESOLVED, f"{key}: not told: {end.err[-300:]}")


def _other_folder(ground: Ground, key: str, place: Path) -> str:
    """A value that is a path, which is there."""
    if key == "run_dir":
        (place / "run").rename(place / "moved")
        return str(place / "moved")
    if key == "data_dir":
        return str(ground.copy(ground.data, place / "data"))
    if key in ("tokenizer.path", "model.pretrained"):
        return str(ground.exported)
    return f'["{next(ground.text.iterdir())}"]'


def _content(folder: Path) -> dict[str, str]:
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    content = {name: files.sha256(path) for name, path in found.items()}
    content["steps"] = str(checkpoint.steps_in(folder))
    return {**content, "model": os.readlink(folder / "model") if (folder / "model").exists() else ""}


FAULTS = (
    Fault("21", "a setting changes on resume", "every key of the recipe, one a trial",
          "must match: exit 2 with the difference, nothing is changed; free: applied and told",
          other_setting, len(KEYS), 3),
)  # fmt: skip
