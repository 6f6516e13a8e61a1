"""`tane plan`: what a recipe amounts to, before anything is paid for. Trains nothing and writes nothing.

Tokens are known where the data is prepared; before that they are estimated from the size of the files.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
from pathlib import Path
from typing import Any

import torch

from tane import files, progress
from tane.errors import InputError, IntegrityError
from tane.model.build import PAD_TO, build_config, check_head, freeze, hushed, open_model
from tane.model.folder import first_line
from tane.recipe import Recipe
from tane.settings import Duration
from tane.tasks.settings import TaskSettings
from tane.text.corpus import fingerprint, input_state
from tane.tokens.encoder import Encoder
from tane.tokens.mix import Mix, mixed
from tane.tokens.shards import Shards
from tane.training import checkpoint, finetuning, labelled, runtime
from tane.training.finetuning import by_length
from tane.training.pretraining import batch_rows, scale_of
from tane.types import Result, Vocabulary

# UTF-8 bytes of Japanese text for each piece of a unigram tokenizer with 8,000 (8.0 MB of prose gave 1.54 M)
BYTES_PER_TOKEN = 5.2


def plan(recipe: Recipe) -> Result:
    """Parameters, steps, tokens, disk and memory of a recipe: `metrics`."""
    if recipe.task is not None:
        return _plan_task(recipe, recipe.task)
    train, objective = recipe.train, recipe.objective
    tokens, valid, pieces, known, sizes = _tokens(recipe)
    rows = batch_rows(recipe.sections())
    if rows < 1:
        raise InputError(
            f"train.batch_tokens is {train.batch_tokens}, less than one block of {objective.block_size}"
        )
    scale = scale_of(recipe.sections(), train.duration, sizes)
    blocks = max(1, round(scale["steps_per_epoch"] * rows))
    device = runtime.choose_device(train.device, "train.device")
    micro = runtime.choose_micro_rows(train.micro_batch_tokens, device, objective.block_size, rows)
    parameters, trained, kept = _parameters(recipe, Vocabulary(pieces, 1, 0))
    minutes = train.duration.unit == "minutes"
    steps = None if minutes else train.duration.steps(**scale)
    checkpoint = 4 * (parameters + kept)  # all fp32
    values: dict[str, Any] = {
        "parameters": parameters,
        "trained_parameters": trained,
        "tokens": tokens,
        "valid_tokens": valid,
        "tokens_are": "counted" if known else "estimated",
        "pieces": pieces,
        "blocks": blocks,
        "tokens_per_step": rows * objective.block_size,
        "micro_batches_per_step": -(-rows // micro),
        "steps": steps,
        "steps_per_epoch": round(scale["steps_per_epoch"], 2),
        "epochs": None if steps is None else round(steps / scale["steps_per_epoch"], 2),
        "flops": None if steps is None else 6 * trained * steps * rows * objective.block_size,
        "checkpoint_bytes": checkpoint,
        "disk_bytes": checkpoint * (train.keep + 2) + _stored(recipe, tokens) * 2,
        "state_memory_bytes": 4 * (parameters + trained + kept),  # weights, gradients, optimizer
        "device": device,
    }
    if steps is not None:
        warmup, decay = recipe.optim.schedule.lengths(steps, **scale)
        values |= {"warmup_steps": warmup, "decay_steps": decay if recipe.optim.schedule.name == "wsd" else 0}
        every = train.eval_every
        values["eval_every_steps"] = (
            every.steps(**scale)
            if isinstance(every, Duration) and every.unit != "minutes"
            else None if isinstance(every, Duration) else max(1, round(every * steps))
        )  # fmt: skip
    return _said(recipe, values)


def _said(recipe: Recipe, values: dict[str, Any]) -> Result:
    for name, value in values.items():
        progress.say(
            f"{name.replace('_', ' '):>24}  {value:,}"
            if isinstance(value, (int, float))
            else f"{name.replace('_', ' '):>24}  {value}"
        )
    if recipe.train.duration.unit == "minutes":
        progress.say("a duration in minutes becomes steps when training has measured its speed")
    return Result(str(recipe.run_path), values)


def _plan_task(recipe: Recipe, task: TaskSettings) -> Result:
    """The same of a recipe with a task: its examples are read, and its model is built."""
    train = recipe.train
    machine = runtime.Runtime(
        runtime.choose_device(train.device, "train.device"), "fp32", False, torch.get_num_threads()
    )
    data = labelled.read_data(task)
    with tempfile.TemporaryDirectory(prefix="tane-") as place, hushed():
        folder = Path(place) / "tokenizer"
        labelled.prepare_tokenizer(recipe.model, recipe.tokenizer, folder)
        work, parts = finetuning.start(task, recipe.model, recipe.sections(), data, folder, {}, machine)
        checkpoint_bytes = checkpoint.size_on_disk(parts)
    scale = work.scale(train.duration)
    steps = None if train.duration.unit == "minutes" else train.duration.steps(**scale)
    parameters = sum(p.numel() for p in parts.model.parameters())
    trained = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    tokens = sum(one.tokens for one in work.train)
    groups = [by_length(work.train, work.ids(step), work.budget) for step in range(20)]
    return _said(recipe, {
        "parameters": parameters,
        "trained_parameters": trained,
        "examples": len(work.train),
        "valid_examples": len(work.valid),
        "test_examples": len(data.test) if data.test is not None else None,
        "labels": len(work.names) or None,
        "tokens": tokens,
        "tokens_are": "counted",
        "longest_example": max(one.length for one in work.train),
        "max_length": work.settled["task.max_length"],
        "examples_per_step": work.rows,
        "tokens_per_step": round(work.tokens_per_step),
        "padding_share": round(finetuning.padding_share(work.train, itertools.chain(*groups)), 4),
        "steps": steps,
        "steps_per_epoch": round(scale["steps_per_epoch"], 2),
        "epochs": None if steps is None else round(steps / scale["steps_per_epoch"], 2),
        "flops": None if steps is None else round(6 * trained * steps * work.tokens_per_step),
        "checkpoint_bytes": checkpoint_bytes,
        "disk_bytes": checkpoint_bytes * (train.keep + 2),
        "device": machine.device,
    })  # fmt: skip


def _tokens(recipe: Recipe) -> tuple[int, int, int, bool, Any]:
    """(training tokens of an epoch, validation tokens, pieces, whether they are counted, blocks by epoch)."""
    folder, block_size = recipe.data_path, recipe.objective.block_size
    try:
        corpus = files.Manifest.read(folder / "corpus", "corpus").meta
        if recipe.corpus.inputs:
            now = fingerprint(recipe.corpus, input_state(recipe.corpus))
            if now != corpus["fingerprint"]:
                raise IntegrityError(f"{folder} was prepared from other text")
        pieces = files.Manifest.read(folder / "tokenizer", "tokenizer").meta["pieces"]
        source = mixed(Shards(folder / "shards", "train"), recipe.seed)
        tokens = int(source.mean_tokens) if isinstance(source, Mix) else len(source)
        vocabulary = Encoder(folder / "tokenizer").vocabulary
        sizes = recipe.objective.blocks(source, vocabulary).sizes
        return tokens, len(Shards(folder / "shards", "valid")), pieces, True, sizes
    except IntegrityError:
        state = list(input_state(recipe.corpus))
        share = recipe.corpus.valid_fraction
        sizes_of = [s["bytes"] * (3 if s["path"].endswith((".gz", ".zst")) else 1) for s in state]
        weighted = sum(size * s["weight"] for size, s in zip(sizes_of, state, strict=True))
        tokens = int(weighted * (1 - share) / BYTES_PER_TOKEN)
        valid = int(sum(sizes_of) * share / BYTES_PER_TOKEN)
        blocks = max(1, -(-(tokens - 1) // block_size))
        return tokens, valid, recipe.tokenizer.vocab_size, False, blocks


def _stored(recipe: Recipe, tokens: int) -> int:
    """Training tokens on the disk, where each document stands once whatever its weight."""
    try:
        return len(Shards(recipe.data_path / "shards", "train"))
    except IntegrityError:
        return tokens


def _parameters(recipe: Recipe, vocabulary: Vocabulary) -> tuple[int, int, int]:
    """(all, trained, values that the optimizer keeps), counted on a model without memory where it can be."""
    import transformers

    if recipe.model.pretrained is not None:
        model = open_model(recipe.model.pretrained, recipe.objective.auto_model)
        if recipe.tokenizer.path is not None or not recipe.model.keep_tokenizer:
            config = copy.deepcopy(model.config)
            config.vocab_size = -(-vocabulary.size // PAD_TO) * PAD_TO
            with torch.device("meta"):
                model = getattr(transformers, recipe.objective.auto_model).from_config(config)
    else:
        config = build_config(
            recipe.model, recipe.objective.block_size, vocabulary, recipe.objective.default_preset
        )
        check_head(config, recipe.objective.auto_model)
        try:
            with torch.device("meta"):
                model = getattr(transformers, recipe.objective.auto_model).from_config(config)
        except Exception as error:  # sizes that do not go together, or that no number counts
            raise InputError(f"model.config: {first_line(error)}") from None
    freeze(model, recipe.train.freeze)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return sum(p.numel() for p in model.parameters()), trained, recipe.optim.state_size(model)
