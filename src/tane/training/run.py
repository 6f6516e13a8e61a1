"""From settings to a running loop: resolve what is `auto`, build, restore the newest good checkpoint, go.

`fit` is what `tane train` calls once data and lock are there. It returns the run's metrics.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tane import files, progress
from tane.errors import InputError, IntegrityError, ResourceError
from tane.model.attention import Attention
from tane.model.build import hushed, positions
from tane.model.loss import Loss
from tane.optim.groups import OptimSettings
from tane.settings import Duration
from tane.tokens.order import Sizes, mean_size
from tane.training import checkpoint, resume, runtime
from tane.training.build import Built, build, choose_attention
from tane.training.loop import Loop, Plan
from tane.training.settings import Sections, TrainSettings
from tane.training.tracker import LOG, Tracker, Untold
from tane.types import TrainState


def resolve_machine(train: TrainSettings) -> dict[str, Any]:
    """The machine's `auto`s as concrete values: dotted name -> value."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "this version trains in one process, and WORLD_SIZE asks for more", "start without torchrun"
        )
    device = runtime.choose_device(train.device)
    return {
        "train.device": device,
        "train.precision": runtime.choose_precision(train.precision, device),
        "train.compile": device == "cuda" if train.compile == "auto" else train.compile,
        "train.threads": torch.get_num_threads() if train.threads == "auto" else train.threads,
    }


def runtime_of(train: TrainSettings) -> runtime.Runtime:
    """The runtime of settings in which every `auto` has been resolved."""
    assert isinstance(train.threads, int) and isinstance(train.compile, bool) and train.precision != "auto"
    return runtime.Runtime(train.device, train.precision, train.compile, train.threads)


def batch_rows(sections: Sections) -> int:
    """Blocks of a global batch."""
    return sections.train.batch_tokens // sections.objective.block_size


def resolve_micro(sections: Sections, device: str) -> int:
    """Tokens of a micro-batch as a concrete value."""
    size, rows = sections.objective.block_size, batch_rows(sections)
    return size * runtime.choose_micro_rows(sections.train.micro_batch_tokens, device, size, rows)


def scale_of(sections: Sections, sizes: int | Sizes) -> dict[str, Any]:
    """What durations need to become steps; `sizes` are the blocks of the epochs.

    An epoch is the mean of those of the run, so that a run of 2 epochs ends with the last block of epoch 1.
    """
    rows, duration = batch_rows(sections), sections.train.duration
    # to count the blocks of an epoch of packed texts takes longer
    usual = 16 if sections.objective.packs_segments else 1000
    mean = mean_size(sizes, duration.amount if duration.unit == "epochs" else usual)
    return {"tokens_per_step": rows * sections.objective.block_size, "steps_per_epoch": mean / rows}


def make_plan(sections: Sections, built: Built, attention: str) -> Plan:
    """All numbers of the run; durations in minutes must have been resolved."""
    train, size = sections.train, sections.objective.block_size
    rows, scale = batch_rows(sections), scale_of(sections, built.train_blocks.sizes)
    total = train.duration.steps(**scale)
    warmup, decay = sections.optim.schedule.lengths(total, **scale)

    def every(value: float | Duration) -> int:
        steps = value.steps(**scale) if isinstance(value, Duration) else round(value * total)
        return max(1, steps)

    stopping, save_every = train.early_stopping, train.save_every
    if stopping is not None and built.valid_blocks is None:
        raise InputError("train.early_stopping needs validation text", "--corpus.valid-fraction 0.02")
    valid_rows, ratio = 0, None
    if built.valid_blocks is not None and built.valid_shards is not None:
        counts = built.valid_shards.meta["splits"]["valid"]
        if sections.objective.scores_all_text:
            ratio = counts["characters"] / max(1, counts["tokens"] - 1)
        cap = train.eval_tokens if train.eval_tokens else len(built.valid_blocks) * size
        valid_rows = min(len(built.valid_blocks), max(1, cap // size))
    return Plan(
        seed=sections.seed,
        total=total,
        batch_rows=rows,
        warmup=warmup,
        decay=decay,
        micro_rows=runtime.choose_micro_rows(train.micro_batch_tokens, train.device, size, rows),
        eval_every=every(train.eval_every),
        keep=train.keep,
        save_steps=None if save_every.unit == "minutes" else save_every.steps(**scale),
        save_minutes=save_every.amount if save_every.unit == "minutes" else None,
        patience=stopping.patience if stopping else None,
        min_delta=stopping.min_delta if stopping else 0.0,
        valid_rows=valid_rows,
        chars_per_target=ratio,
        attention=attention,
    )


def usable_step(old: Plan | None, new: Plan, optim: OptimSettings, newest: int) -> int:
    """The newest step from which a run of another length may go on: the rates before it are the same.

    constant: the last step; wsd: where the decay began; cosine and linear: none but 0.
    """
    if old is None or old.total == new.total:
        return newest
    rate = optim.schedule.multiplier
    for step in range(newest):
        if rate(step, old.total, old.warmup, old.decay) != rate(step, new.total, new.warmup, new.decay):
            return step
    return newest


def fit(
    sections: Sections, data_dir: Path, run_dir: Path, fingerprints: dict[str, str], old: Sections | None,
    *, settled: Callable[[Plan], None], full: bool = True, strict: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train or go on training in `run_dir`, whose lock the caller holds. Returns the run's metrics.

    Settings are resolved; `old` are those with which the run was recorded before. `settled` is called when it
    is clear that the run can start or go on, to record the settings.
    """
    train = sections.train
    machine = runtime_of(train)
    with machine.active(), hushed():
        built = build(sections, data_dir)
        model = built.model.to(machine.device)
        attention = choose_attention(sections, model, built.vocabulary)
        if train.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        plan = make_plan(sections, built, attention.way)
        longest = positions(model) or sections.objective.block_size
        parts = checkpoint.Parts(
            model, sections.optim.build(model), data_dir / "tokenizer", longest, fingerprints
        )
        old_plan = make_plan(old, built, attention.way) if old is not None else None
        state, from_step = _restore(run_dir, parts, plan, old_plan, sections.optim, full=full, strict=strict)
        if state.finished and (state.evaluated_step == state.step or built.valid_blocks is None):
            return _metrics(run_dir, state, None, already=True)
        settled(plan)
        _check_space(run_dir, parts, plan)
        tracker = Tracker(run_dir, tensorboard=train.tensorboard, total=plan.total, step=state.step)
        parameters = sum(p.numel() for p in model.parameters())
        tracker.event(
            "start", state.step, total=plan.total, parameters=parameters, device=machine.device,
            precision=machine.precision, threads=machine.threads, torch=torch.__version__, **fingerprints,
        )  # fmt: skip
        progress.say(
            f"{parameters:,} parameters, {plan.total:,} steps of "
            f"{plan.batch_rows * sections.objective.block_size:,} tokens, "
            f"{machine.precision} on {machine.device}"
            + (f", going on at step {state.step}" if state.step else "")
        )
        loop = _loop(sections, built, plan, machine, parts, run_dir, state, tracker, attention)
        loop.on_eval = _say_eval(plan)
        loop.saved_step = -1 if from_step is None else from_step
        if machine.compiled:
            model.base_model.compile(dynamic=False)
        begin = time.perf_counter()
        try:
            loop.run()
        finally:
            tracker.close()
        return _metrics(run_dir, state, from_step or None, seconds=time.perf_counter() - begin)


def _loop(
    sections: Sections, built: Built, plan: Plan, machine: runtime.Runtime, parts: checkpoint.Parts,
    run_dir: Path, state: TrainState, tracker: Tracker, attention: Attention,
) -> Loop:  # fmt: skip
    return Loop(
        plan, run_dir, parts.model, sections.objective, sections.optim, machine, built.vocabulary,
        built.train_blocks, built.valid_blocks, parts, state, tracker, Loss(parts.model, attention),
    )  # fmt: skip


def _say_eval(plan: Plan) -> Any:
    def say(state: TrainState) -> None:
        best = ", the best so far" if state.best_step == state.step else ""
        if state.valid_bits_per_char is not None:
            beside = f"{state.valid_bits_per_char:.3f} bits per character"
        else:
            beside = f"{state.valid_accuracy:.1%} right"
        progress.say(
            f"step {state.step:>6,} of {plan.total:,}: valid loss {state.valid_loss:.4f}, {beside}{best}"
        )

    return say


def _restore(
    run_dir: Path, parts: checkpoint.Parts, plan: Plan, old: Plan | None, optim: OptimSettings,
    *, full: bool, strict: bool,
) -> tuple[TrainState, int | None]:  # fmt: skip
    """Load the newest checkpoint from which the run may go on: (state, its step), or (a new one, None)."""
    steps = checkpoint.steps_in(run_dir)
    if not steps:
        return TrainState(), None
    if plan.total < steps[-1]:
        raise InputError(
            f"{run_dir} has done {steps[-1]:,} steps already, and {plan.total:,} are asked for",
            "choose another --run-dir, or start anew with --fresh",
        )
    limit = usable_step(old, plan, optim, steps[-1])
    step = checkpoint.newest(run_dir, parts.fingerprints, below=limit, full=full, strict=strict)
    if limit < steps[-1] and not step:
        raise InputError(
            f"this {optim.schedule.name} run cannot get another length: its learning rates depend on it",
            "start anew with --fresh, or use the schedule wsd or constant from the start",
        )
    if step is None:
        raise IntegrityError(f"{run_dir} has no checkpoint that is intact", "start anew with --fresh")
    state = checkpoint.load(run_dir, step, parts)
    # it made way for a better one of the old length
    if state.best_step is not None and state.best_step not in steps:
        state.best_step = state.best_loss = None
    if old is not None and old.total != plan.total:
        state.finished = state.step >= plan.total
        if limit < steps[-1]:
            told = "where its learning rates are the same; what came after makes way"
            progress.say(f"the run gets another length: going on from step {step:,}, {told}")
            checkpoint.point_model(run_dir, step if state.best_step is None else state.best_step)
        for later in (s for s in steps if s > step):
            files.delete(checkpoint.folder_of(run_dir, later))
    return state, step


def _check_space(run_dir: Path, parts: checkpoint.Parts, plan: Plan) -> None:
    have = len(checkpoint.steps_in(run_dir))
    need = max(1, plan.keep + 2 - have) * checkpoint.size_on_disk(parts)
    free = shutil.disk_usage(files.existing_parent(run_dir)).free
    if free < need:
        raise ResourceError(
            f"{run_dir}: checkpoints need {need / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free",
            "free some space, or choose another --run-dir",
        )


def _metrics(
    run_dir: Path, state: TrainState, resumed: int | None, *, already: bool = False, seconds: float = 0.0
) -> dict[str, Any]:
    best = state.best_step if state.best_step is not None else state.step
    return {
        "run": str(run_dir),
        "model": str(run_dir / "model"),
        "steps": state.step,
        "tokens": state.tokens,
        "train_loss": state.train_loss,
        "valid_loss": state.valid_loss,
        "valid_bits_per_char": state.valid_bits_per_char,
        "valid_accuracy": state.valid_accuracy,
        "best_step": best,
        "best_valid_loss": state.best_loss,
        "tokens_per_second": round(state.tokens / state.seconds) if state.seconds else None,
        "seconds": round(seconds, 2),
        "resumed_from": resumed,
        "already_finished": already,
    }


def seconds_per_step(sections: Sections, data_dir: Path, steps: int = 6) -> tuple[float, float]:
    """Measured (seconds a step, seconds an evaluation), on throw-away weights; nothing is written."""
    train = sections.train
    machine = runtime_of(train)
    with machine.active(), hushed():
        built = build(sections, data_dir)
        model = built.model.to(machine.device)
        probe = replace(sections, train=train.model_copy(update={"duration": Duration(1000, "steps")}))
        attention = choose_attention(probe, model, built.vocabulary)
        plan = make_plan(probe, built, attention.way)
        parts = checkpoint.Parts(model, sections.optim.build(model), data_dir / "tokenizer", 0, {})
        loop = _loop(sections, built, plan, machine, parts, data_dir, TrainState(), Untold(), attention)
        laps = []
        for _ in range(steps):
            start = time.perf_counter()
            loop._step()
            laps.append(time.perf_counter() - start)
        evaluation = statistics.median(laps) / 3 * plan.valid_rows / plan.batch_rows
        return statistics.median(laps[1:]), evaluation


def remove_run(run_dir: Path) -> None:
    """`--fresh`: take the old run out of sight, checkpoints first; the data folder below it stays."""
    for name in ("checkpoints", "tensorboard"):
        if (run_dir / name).exists():
            files.delete(run_dir / name)
    for name in ("model", LOG, resume.RESOLVED, resume.REQUESTED):
        (run_dir / name).unlink(missing_ok=True)
