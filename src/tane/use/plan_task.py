"""The plan of a recipe with a task: its examples are read and its model is built, so nothing is estimated."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tane.model.build import hushed
from tane.recipe import Recipe
from tane.tokens.encoder import Encoder
from tane.tokens.tokenizer import load_tokenizer
from tane.training import checkpoint, finetuning, labelled, memory, run
from tane.training import probe as probing
from tane.training.finetuning import Finetuning
from tane.training.grouped import by_length, padding_share
from tane.types import Batch
from tane.use import blocks, forecast
from tane.use.mistakes import documents, find_mistakes, gather
from tane.use.mistakes.facts import Pieces

STEPS = 20  # whose micro-batches are looked at


def plan_task(recipe: Recipe, probe: bool, show: int) -> dict[str, Any]:
    """The values of `plan`. Raises InputError as training would."""
    asked, train, task = recipe, recipe.train, recipe.task
    assert task is not None
    micro = finetuning.micro_tokens(train.micro_batch_tokens, run.resolve_machine(train)["train.device"])
    values = {**run.resolve_machine(train), "train.compile": False, "train.micro_batch_tokens": micro}
    recipe = recipe.with_values(values)
    machine, sections = run.runtime_of(recipe.train), recipe.sections()
    data = labelled.read_data(task)
    begin, measured = time.perf_counter(), None
    with tempfile.TemporaryDirectory(prefix="tane-") as place, hushed():
        folder = Path(place) / "tokenizer"
        labelled.prepare_tokenizer(recipe.model, recipe.tokenizer, folder)
        work, parts = finetuning.start(task, recipe.model, sections, data, folder, {}, machine)
        started = time.perf_counter() - begin
        checkpoint_bytes = checkpoint.size_on_disk(parts)
        groups = [by_length(work.train, work.ids(step), work.budget) for step in range(STEPS)]
        held = sum(p.numel() * p.element_size() for p in parts.model.parameters())
        base = forecast.base_of(machine.device, held)
        widest = _widest(work, [group for step in groups for group in step])
        estimate = memory.peak(
            parts.model, recipe.optim,
            memory.batch_loss(widest, lambda logits, labels: work.task.loss(logits, labels, work.weights)),
            device=machine.device, precision=machine.precision,
            checkpointing=recipe.train.gradient_checkpointing,
            accumulates=any(len(step) > 1 for step in groups),
        )  # fmt: skip
        if probe:
            measured = replace(probing.measure(sections, lambda _: (work, parts), machine), start=started)
            recipe = recipe.with_values(probing.in_steps(sections, measured))
        pieces = _pieces(asked, folder, work)
        shown = [one.told() for one in blocks.first_examples(work, load_tokenizer(folder), show)]
    scale = work.scale(recipe.train.duration)
    parameters = sum(p.numel() for p in parts.model.parameters())
    trained = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    kept = recipe.optim.state_size(parts.model)
    # the forward pass and the gradients that pass through go by all parameters, their own gradients by those
    # that are trained
    steps = forecast.steps_of(recipe, scale, (2 * parameters + trained) / 3 * work.tokens_per_step)
    runs = max(1, len(task.grid.lr)) * max(1, len(task.grid.epochs)) if task.grid else 1
    padding = padding_share(work.train, itertools.chain(*groups))
    found: dict[str, Any] = {
        "parameters": parameters,
        "trained_parameters": trained,
        "examples": len(work.train),
        "valid_examples": len(work.valid),
        "test_examples": len(data.test) if data.test is not None else None,
        "labels": len(work.names) or None,
        "tokens": sum(one.tokens for one in work.train),
        "tokens_are": "counted",
        "longest_example": max(one.length for one in work.train),
        "max_length": work.settled["task.max_length"],
        "duration": str(recipe.train.duration),
        "runs": runs,
        "examples_per_step": work.rows,
        "tokens_per_step": round(work.tokens_per_step),
        "micro_batch_tokens": micro,
        "padding_share": round(padding, 4),
        **steps,
        "checkpoint_bytes": checkpoint_bytes,
        "disk_bytes": checkpoint_bytes * (recipe.train.keep + 2) * runs,
        "state_memory_bytes": 4 * (parameters + trained + kept),
        **forecast.memory_of(recipe, estimate, base, measured, steps["steps"], varies=True),
        **forecast.time_of(recipe, scale, measured, checkpoint_bytes, evaluates=True),
    }
    looked = documents.of_task(data)
    facts = gather(
        asked, found, parts.model, looked, tokens=found["tokens"], pieces=pieces, padding=padding,
        passes=found["epochs"],
    )  # fmt: skip
    return {
        **found,
        "looked_at": looked.told(),
        "warnings": [one._asdict() for one in find_mistakes(facts)],
        "first_blocks": shown if show else None,
    }


def _pieces(recipe: Recipe, folder: Path, work: Finetuning) -> Pieces:
    """What is known of the tokenizer, with the share of unknown tokens in the training examples."""
    encoder = Encoder(folder)
    name = str(recipe.tokenizer.path or recipe.model.pretrained)
    rows = [ids for one in work.train for ids in one.ids]
    unknown = sum(int((ids == encoder.unk_id).sum()) for ids in rows) if encoder.unk_id is not None else 0
    return Pieces.of(encoder, name, unknown / max(1, sum(map(len, rows))))


def _widest(work: Finetuning, groups: Sequence[Sequence[int]]) -> Batch:
    """The micro-batch that takes the most memory: by its positions, and by how many each attends to."""

    def size(group: Sequence[int]) -> tuple[int, int]:
        length = max(work.train[i].length for i in group)
        return sum(len(work.train[i].ids) for i in group) * length, length

    return work.task.batch([work.train[i] for i in max(groups, key=size)], work.pad_id)
