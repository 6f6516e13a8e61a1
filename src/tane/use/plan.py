"""`tane plan`: what a recipe amounts to, before anything is paid for. Nothing is written.

Tokens are known where the data is prepared; before that they are estimated from the size of the files. Memory
is predicted by playing a step through without memory; speed and time are told only where `--probe` has
measured them.
"""

from __future__ import annotations

import functools
import itertools
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tane import files, progress
from tane.errors import InputError, IntegrityError
from tane.model.attention import usual_way
from tane.model.build import PAD_TO, build_config, check_head, find_model, freeze, hushed
from tane.model.folder import check_size, check_weights, first_line, open_config
from tane.recipe import Recipe
from tane.settings import Duration
from tane.tasks.settings import TaskSettings
from tane.text.corpus import fingerprint, input_state
from tane.tokens.encoder import Encoder
from tane.tokens.mix import Mix, mixed
from tane.tokens.shards import Shards
from tane.training import checkpoint, finetuning, labelled, memory, pretraining, run
from tane.training import probe as probing
from tane.training.finetuning import Finetuning, by_length
from tane.training.pretraining import batch_rows, scale_of
from tane.types import Batch, Result, Vocabulary
from tane.use import plan_page

# UTF-8 bytes of Japanese text for each piece of a unigram tokenizer with 8,000 (8.0 MB of prose gave 1.54 M)
BYTES_PER_TOKEN = 5.2
# what a training process takes on a CPU beside its libraries and its tensors, measured: what is loaded later,
# and by its tensors gaps of the heap and the kernels' own copies
WORKING, GAPS = 60 << 20, 0.22
# and where each step has other shapes: a kernel for each in half precision, and more gaps; half of it after
# so many steps
VARYING, VARYING_HALF, HALF_AFTER = 250e6, 460e6, 40


def plan(recipe: Recipe, *, probe: bool = False) -> Result:
    """Parameters, steps, tokens, memory and disk of a recipe: `metrics`.

    probe: also train some steps on throw-away weights, and tell speed, time and the memory that they took.
    """
    values = _plan_text(recipe, probe) if recipe.task is None else _plan_task(recipe, recipe.task, probe)
    for line in plan_page.lines(values, str(recipe.train.duration)):
        progress.say(line)
    return Result(str(recipe.run_path), values)


# --------------------------------------------------------------------------------------------------- a text


def _plan_text(recipe: Recipe, probe: bool) -> dict[str, Any]:
    size = recipe.objective.block_size
    tokens, valid, vocabulary, known, sizes = _tokens(recipe)
    rows = batch_rows(recipe.sections())
    if rows < 1:
        raise InputError(f"train.batch_tokens is {recipe.train.batch_tokens}, less than one block of {size}")
    recipe = recipe.with_values(run.resolve_machine(recipe.train))
    model = _blueprint(recipe, vocabulary)
    if not known and _keeps_vocabulary(recipe):
        vocabulary = probing.made_up_vocabulary(model.config.vocab_size)
    base, way = _base(recipe.train.device), recipe.train.attention
    if way == "auto":
        way = usual_way(recipe.train.device, recipe.train.precision, recipe.objective.packs_segments, size)
    micro = memory.micro_rows(recipe.sections(), model, way, rows)
    recipe = recipe.with_values({"train.micro_batch_tokens": micro * size})
    even = -(-rows // -(-rows // micro))  # as the global batch is cut
    estimate = memory.peak_of_rows(recipe.sections(), model, way, even, rows)
    measured = None
    if probe:
        measured = _probe(recipe, vocabulary, model, known, valid)
        recipe = recipe.with_values(probing.in_steps(recipe.sections(), measured))
    scale = scale_of(recipe.sections(), recipe.train.duration, sizes)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    parameters, kept = sum(p.numel() for p in model.parameters()), recipe.optim.state_size(model)
    checkpoint_bytes = 4 * (parameters + kept)  # all fp32
    steps = _steps(recipe, scale, trained * rows * size)
    return {
        "parameters": parameters,
        "trained_parameters": trained,
        "tokens": tokens,
        "valid_tokens": valid,
        "tokens_are": "counted" if known else "estimated",
        "pieces": vocabulary.size,
        "blocks": max(1, round(scale["steps_per_epoch"] * rows)),
        "tokens_per_step": rows * size,
        "micro_batch_tokens": micro * size,
        "micro_batches_per_step": -(-rows // micro),
        **steps,
        "checkpoint_bytes": checkpoint_bytes,
        "disk_bytes": checkpoint_bytes * (recipe.train.keep + 2) + _stored(recipe, tokens) * 2,
        "state_memory_bytes": 4 * (parameters + trained + kept),  # weights, gradients, optimizer
        **_memory(recipe, estimate, base, measured, steps["steps"], varies=recipe.objective.packs_segments),
        **_time(recipe, scale, measured, checkpoint_bytes, evaluates=valid > 1),
    }


def _probe(recipe: Recipe, vocabulary: Vocabulary, model: Any, known: bool, valid: int) -> probing.Measured:
    """Its speed on the prepared text, or on made-up tokens where there is none yet."""
    sections, data = recipe.sections(), recipe.data_path
    ready = known and (recipe.objective.word_starts is None or (data / "words").is_dir())
    start: run.Start = functools.partial(pretraining.start, sections, data, {})
    if not ready:
        start = probing.made_up(sections, vocabulary, model, valid)
    return probing.measure(sections, start, run.runtime_of(recipe.train))


def _tokens(recipe: Recipe) -> tuple[int, int, Vocabulary, bool, Any]:
    """(training tokens of an epoch, validation tokens, vocabulary, whether they are counted, blocks by
    epoch)."""
    folder, block_size = recipe.data_path, recipe.objective.block_size
    try:
        corpus = files.Manifest.read(folder / "corpus", "corpus").meta
        if recipe.corpus.inputs:
            now = fingerprint(recipe.corpus, input_state(recipe.corpus))
            if now != corpus["fingerprint"]:
                raise IntegrityError(f"{folder} was prepared from other text")
        source = mixed(Shards(folder / "shards", "train"), recipe.seed)
        tokens = int(source.mean_tokens) if isinstance(source, Mix) else len(source)
        vocabulary = Encoder(folder / "tokenizer").vocabulary
        sizes = recipe.objective.blocks(source, vocabulary).sizes
        return tokens, len(Shards(folder / "shards", "valid")), vocabulary, True, sizes
    except IntegrityError:
        state = list(input_state(recipe.corpus))
        share = recipe.corpus.valid_fraction
        sizes_of = [s["bytes"] * (3 if s["path"].endswith((".gz", ".zst")) else 1) for s in state]
        weighted = sum(size * s["weight"] for size, s in zip(sizes_of, state, strict=True))
        tokens = int(weighted * (1 - share) / BYTES_PER_TOKEN)
        valid = int(sum(sizes_of) * share / BYTES_PER_TOKEN)
        blocks = max(1, -(-(tokens - 1) // block_size))
        return tokens, valid, probing.made_up_vocabulary(recipe.tokenizer.vocab_size), False, blocks


def _stored(recipe: Recipe, tokens: int) -> int:
    """Training tokens on the disk, where each document stands once whatever its weight."""
    try:
        return len(Shards(recipe.data_path / "shards", "train"))
    except IntegrityError:
        return tokens


def _keeps_vocabulary(recipe: Recipe) -> bool:
    model, taken = recipe.model, recipe.tokenizer
    return model.pretrained is not None and model.keep_tokenizer and taken.path is None


def _blueprint(recipe: Recipe, vocabulary: Vocabulary) -> Any:
    """The recipe's model on torch's meta device: shapes without memory. Raises InputError where there is no
    such model."""
    import transformers

    auto, where = getattr(transformers, recipe.objective.auto_model), "model.config"
    if recipe.model.pretrained is not None:
        folder = find_model(recipe.model.pretrained)
        where, config = str(folder), open_config(folder)
        with hushed():
            check_size(folder, config, auto, check_weights(folder))
        if not _keeps_vocabulary(recipe):
            config.vocab_size = -(-vocabulary.size // PAD_TO) * PAD_TO
    else:
        config = build_config(
            recipe.model, recipe.objective.block_size, vocabulary, recipe.objective.default_preset
        )
        check_head(config, recipe.objective.auto_model)
    try:
        with torch.device("meta"), hushed():
            model = auto.from_config(config)
    except Exception as error:  # sizes that do not go together, or that no number counts
        raise InputError(f"{where}: {first_line(error)}") from None
    freeze(model, recipe.train.freeze)
    return model


# --------------------------------------------------------------------------------------------------- a task


def _plan_task(recipe: Recipe, task: TaskSettings, probe: bool) -> dict[str, Any]:
    """The same of a recipe with a task: its examples are read, and its model is built."""
    train = recipe.train
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
        groups = [by_length(work.train, work.ids(step), work.budget) for step in range(20)]
        held = sum(p.numel() * p.element_size() for p in parts.model.parameters())
        base = _base(machine.device, held)
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
    scale = work.scale(recipe.train.duration)
    parameters = sum(p.numel() for p in parts.model.parameters())
    trained = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    kept = recipe.optim.state_size(parts.model)
    steps = _steps(recipe, scale, trained * work.tokens_per_step)
    return {
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
        "examples_per_step": work.rows,
        "tokens_per_step": round(work.tokens_per_step),
        "micro_batch_tokens": micro,
        "padding_share": round(finetuning.padding_share(work.train, itertools.chain(*groups)), 4),
        **steps,
        "checkpoint_bytes": checkpoint_bytes,
        "disk_bytes": checkpoint_bytes * (recipe.train.keep + 2),
        "state_memory_bytes": 4 * (parameters + trained + kept),
        **_memory(recipe, estimate, base, measured, steps["steps"], varies=True),
        **_time(recipe, scale, measured, checkpoint_bytes, evaluates=True),
    }


def _widest(work: Finetuning, groups: Sequence[Sequence[int]]) -> Batch:
    """The micro-batch that takes the most memory: by its positions, and by how many each attends to."""

    def size(group: Sequence[int]) -> tuple[int, int]:
        length = max(work.train[i].length for i in group)
        return sum(len(work.train[i].ids) for i in group) * length, length

    return work.task.batch([work.train[i] for i in max(groups, key=size)], work.pad_id)


# ----------------------------------------------------------------------------------- steps, memory and time


def _steps(recipe: Recipe, scale: dict[str, Any], values_per_step: float) -> dict[str, Any]:
    """How many steps, and when what happens. values_per_step: trained parameters times tokens."""
    train, schedule = recipe.train, recipe.optim.schedule
    each = round(scale["steps_per_epoch"], 2)
    if train.duration.unit == "minutes":
        return {"steps": None, "steps_per_epoch": each, "epochs": None, "flops": None}
    steps = train.duration.steps(**scale)
    told: dict[str, Any] = {
        "steps": steps,
        "steps_per_epoch": each,
        "epochs": round(steps / scale["steps_per_epoch"], 2),
        "flops": round(6 * values_per_step * steps),
    }
    timed = any(isinstance(v, Duration) and v.unit == "minutes" for v in (schedule.warmup, schedule.decay))
    if not timed:
        warmup, decay = schedule.lengths(steps, **scale)
        told |= {"warmup_steps": warmup, "decay_steps": decay if schedule.name == "wsd" else 0}
    return {**told, "eval_every_steps": _every(train.eval_every, steps, scale)}


def _every(value: float | Duration, steps: int, scale: dict[str, Any]) -> int | None:
    if isinstance(value, Duration):
        return None if value.unit == "minutes" else value.steps(**scale)
    return max(1, round(value * steps))


def _base(device: str, held: int = 0) -> int | None:
    """Bytes that a training process takes beside its tensors; held: those of tensors that are here already.

    What this process takes now is what the libraries take; on a GPU the card's memory counts.
    """
    if device == "cuda":
        return memory.CONTEXT
    resident = probing.resident()
    return None if resident is None else max(0, resident - held)


def _memory(
    recipe: Recipe, estimate: memory.Estimate | None, base: int | None,
    measured: probing.Measured | None, steps: int | None, *, varies: bool,
) -> dict[str, Any]:  # fmt: skip
    """What training takes at its peak and what of it takes what; varies: each step has other shapes."""
    found: dict[str, Any] = {"memory_bytes": None, "memory": None}
    if estimate is not None and base is not None:
        working = 0.0
        if recipe.train.device == "cpu":
            share = 1.0 if steps is None else steps / (steps + HALF_AFTER)
            most = VARYING if recipe.train.precision == "fp32" else VARYING_HALF
            working = WORKING + GAPS * estimate.total + varies * share * most
        parts = {"base": base, "working": round(working), **vars(estimate)}
        found = {"memory_bytes": sum(parts.values()), "memory": parts}
    return found if measured is None else {**found, "probe_memory_bytes": measured.memory}


def _time(
    recipe: Recipe, scale: dict[str, Any], measured: probing.Measured | None, checkpoint_bytes: int,
    *, evaluates: bool,
) -> dict[str, Any]:  # fmt: skip
    """The machine; and where it was measured, speed and the seconds of the run by what takes them."""
    train = recipe.train
    told: dict[str, Any] = {"device": train.device, "precision": train.precision, "threads": train.threads}
    if measured is None:
        return told
    steps = train.duration.steps(**scale)
    every = _every(train.eval_every, steps, scale)
    assert every is not None  # minutes have become steps
    evaluations = math.ceil(steps / every) if evaluates else 0
    training, evaluation = steps * measured.seconds_per_step, evaluations * measured.evaluation
    # the untrained model, each evaluation that is the best so far, and those by the clock or the step
    by_clock = (training + evaluation) / (60 * train.save_every.amount)
    if train.save_every.unit != "minutes":
        by_clock = steps / train.save_every.steps(**scale)
    saves = 1 + max(1, evaluations) + int(by_clock)
    saving = saves * probing.save_seconds(checkpoint_bytes)
    return told | {
        "seconds_per_step": round(measured.seconds_per_step, 4),
        "tokens_per_second": round(measured.tokens_per_second),
        "seconds": round(training + evaluation + saving, 1),
        "training_seconds": round(training, 1),
        "evaluations": evaluations,
        "evaluation_seconds": round(evaluation, 1),
        "save_seconds": round(saving, 1),
        "start_seconds": round(measured.start, 1),
        "probe_steps": measured.steps,
    }
