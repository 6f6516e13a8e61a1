"""From settings to a running loop: resolve what is `auto`, build, restore the newest good checkpoint, go.

`fit` is what `tane train` and `tane finetune` call once data and lock are there. It returns the run's
metrics.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tane import files, hardware, progress, resources
from tane.durations import Duration
from tane.errors import InputError, IntegrityError, ResourceError
from tane.model.build import hushed
from tane.optim.groups import OptimSettings
from tane.ranks import ALONE, World
from tane.training import checkpoint, resume, runtime
from tane.training.loop import Loop, Plan
from tane.training.settings import Sections, TrainSettings
from tane.training.tracker import LOG, Tracker, Untold
from tane.training.wide import blocks_of
from tane.training.work import Work
from tane.types import TrainState


def resolve_machine(train: TrainSettings, world: World = ALONE) -> dict[str, Any]:
    """The machine's `auto`s as concrete values: dotted name -> value."""
    device = runtime.choose_device(train.device, "train.device")
    return {
        "train.device": device,
        "train.precision": runtime.choose_precision(train.precision, device),
        "train.compile": device == "cuda" if train.compile == "auto" else train.compile,
        "train.threads": runtime.choose_threads(train.threads, world),
    }


def runtime_of(train: TrainSettings, world: World = ALONE) -> runtime.Runtime:
    """The runtime of settings in which every `auto` has been resolved."""
    assert isinstance(train.threads, int) and isinstance(train.compile, bool) and train.precision != "auto"
    return runtime.Runtime(train.device, train.precision, train.compile, train.threads, world, train.parallel)


def make_plan(sections: Sections, work: Work) -> Plan:
    """All numbers of the run; durations in minutes must have been resolved."""
    train, scale = sections.train, work.scale(sections.train.duration)
    total = train.duration.steps(**scale)
    warmup, decay = sections.optim.schedule.lengths(total, **scale)

    def every(value: float | Duration) -> int:
        steps = value.steps(**scale) if isinstance(value, Duration) else round(value * total)
        return max(1, steps)

    stopping, save_every = train.early_stopping, train.save_every
    if stopping is not None and not work.evaluates:
        raise InputError("train.early_stopping needs validation text", "--corpus.valid-fraction 0.02")
    return Plan(
        seed=sections.seed,
        total=total,
        warmup=warmup,
        decay=decay,
        eval_every=every(train.eval_every),
        keep=train.keep,
        save_steps=None if save_every.unit == "minutes" else save_every.steps(**scale),
        save_minutes=save_every.amount if save_every.unit == "minutes" else None,
        patience=stopping.patience if stopping else None,
        min_delta=stopping.min_delta if stopping else 0.0,
        stop_on_spike=train.stop_on_spike,
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


Start = Callable[[runtime.Runtime], tuple[Work, checkpoint.Parts]]  # all that stands before the first step


def fit(
    sections: Sections, run_dir: Path, start: Start, old: Sections | None,
    *, settled: Callable[[Plan, Work, dict[str, Any]], None], world: World, full: bool = True,
    strict: bool = False,
) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    """Train or go on training in `run_dir`, whose lock the caller holds: the run's metrics and fingerprints.

    Settings are resolved; `old` are those with which the run was recorded before. `settled` is called when it
    is clear that the run can start or go on, and when memory made a setting smaller, to record the settings.
    All processes of the world call this.
    """
    train = sections.train
    machine = runtime_of(train, world)
    with machine.active(), hushed():
        work, parts = start(machine)
        if train.gradient_checkpointing:
            parts.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        plan = world.together(lambda: make_plan(sections, work))
        old_plan = make_plan(old, work) if old is not None else None
        state, from_step = _restore(run_dir, parts, plan, old_plan, sections.optim, full=full, strict=strict)
        if state.finished and (state.evaluated_step == state.step or not work.evaluates):
            return _metrics(run_dir, work, state, None, already=True), parts.fingerprints

        def ready() -> Tracker:
            if not world.leads:
                return Untold()
            settled(plan, work, {})
            _check_space(run_dir, parts, plan)
            return Tracker(run_dir, tensorboard=train.tensorboard, total=plan.total, step=state.step)

        tracker = world.together(ready)
        parameters = sum(p.numel() for p in parts.model.parameters())
        tracker.event(
            "start", state.step, total=plan.total, parameters=parameters, device=machine.device,
            precision=machine.precision, threads=machine.threads, processes=world.size,
            parallel=work.inside.way, torch=torch.__version__, machine=_hardware(machine.device),
            versions=hardware.versions(), verify="full" if full else "fast", **parts.fingerprints,
        )  # fmt: skip
        progress.say(
            f"{parameters:,} parameters, {plan.total:,} steps of "
            f"{work.scale(train.duration)['tokens_per_step']:,.0f} tokens, "
            f"{machine.precision} on {machine.device}"
            + (f", {world.size} processes ({work.inside.way})" if world.size > 1 else "")
            + (f", going on at step {state.step}" if state.step else "")
        )
        loop = Loop(plan, run_dir, parts.model, work, sections.optim, machine, parts, state, tracker)
        loop.on_eval = _tell(plan, work, tracker)
        loop.on_less = lambda settings: settled(plan, work, settings)
        loop.saved_step = -1 if from_step is None else from_step
        if machine.compiled:
            compile_blocks(parts.model)
        begin = time.perf_counter()
        try:
            loop.run()
            tracker.event("end", state.step)
        finally:
            loop.batches.close()
            tracker.close()
        seconds = time.perf_counter() - begin
        return _metrics(run_dir, work, state, from_step or None, seconds=seconds), parts.fingerprints


def _hardware(device: str) -> dict[str, Any]:
    """What the first process runs on, for the log."""
    count = torch.cuda.device_count() if device == "cuda" else 0
    return {
        "processor": hardware.processor(),
        "cores": hardware.cores()["usable"],
        "memory": hardware.memory()["total"],
        "gpus": [torch.cuda.get_device_name(number) for number in range(count)],
    }


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile each layer by itself, in place: one compilation serves all, and names stay what they were.

    What is compiled is a layer's own forward pass; hooks around it, as FSDP's, are not.
    """
    config: Any = torch._dynamo.config
    config.optimize_ddp = False  # it would cut each layer where a bucket of gradients ends
    if hasattr(config, "recompile_limit"):  # for all layers together: several kinds, in several shapes
        config.recompile_limit = max(config.recompile_limit, 64)
    layers: list[Any] = [*blocks_of(model)] or [model]
    for block in layers:
        block.forward = torch.compile(block.forward, dynamic=False)


def _tell(plan: Plan, work: Work, tracker: Tracker) -> Any:
    """After an evaluation: a line for the person, and what the model says now for the log."""

    def tell(state: TrainState) -> None:
        best = ", the best so far" if state.best_step == state.step else ""
        progress.say(f"step {state.step:>6,} of {plan.total:,}: {work.told(state.valid)}{best}")
        shown = work.samples()
        if shown:
            tracker.event("samples", state.step, **shown)

    return tell


def _restore(
    run_dir: Path, parts: checkpoint.Parts, plan: Plan, old: Plan | None, optim: OptimSettings,
    *, full: bool, strict: bool,
) -> tuple[TrainState, int | None]:  # fmt: skip
    """Load the newest checkpoint from which the run may go on: (state, its step), or (a new one, None)."""
    world = parts.world
    step = world.lead(lambda: _step_to_load(run_dir, parts, plan, old, optim, full=full, strict=strict))
    if step is None:
        return TrainState(), None
    state = world.together(lambda: checkpoint.load(run_dir, step, parts))

    def settle() -> dict[str, Any]:
        checkpoint.require_best(run_dir, state, full=full, strict=strict)
        if old is not None and old.total != plan.total:
            state.finished = state.step >= plan.total
            if any(later > step for later in checkpoint.steps_in(run_dir)):
                told = "where its learning rates are the same; what came after makes way"
                progress.say(f"the run gets another length: going on from step {step:,}, {told}")
                checkpoint.point_model(run_dir, step if state.best_step is None else state.best_step)
            for later in (s for s in checkpoint.steps_in(run_dir) if s > step):
                files.delete(checkpoint.folder_of(run_dir, later))
        return asdict(state)

    return TrainState(**world.lead(settle)), step


def _step_to_load(
    run_dir: Path, parts: checkpoint.Parts, plan: Plan, old: Plan | None, optim: OptimSettings,
    *, full: bool, strict: bool,
) -> int | None:  # fmt: skip
    steps = checkpoint.steps_in(run_dir)
    if not steps:
        return None
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
    return step


def _check_space(run_dir: Path, parts: checkpoint.Parts, plan: Plan) -> None:
    have = len(checkpoint.steps_in(run_dir))
    need = max(1, plan.keep + 2 - have) * checkpoint.size_on_disk(parts)
    free = shutil.disk_usage(resources.existing_parent(run_dir)).free
    if free < need:
        raise ResourceError(
            f"{run_dir}: checkpoints need {need / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free",
            "free some space, or choose another --run-dir",
        )


def _metrics(
    run_dir: Path, work: Work, state: TrainState, resumed: int | None,
    *, already: bool = False, seconds: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    best = state.best_step if state.best_step is not None else state.step
    return {
        "run": str(run_dir),
        "model": str(run_dir / "model"),
        "steps": state.step,
        "tokens": state.tokens,
        # without evaluations that of the whole run
        "train_loss": state.window_nats / state.window_targets
        if state.window_targets and not work.evaluates
        else state.train_loss,
        **{f"valid_{name}": state.valid.get(name) for name in work.measures},
        "best_step": best,
        "best_score": state.best_score,
        "tokens_per_second": round(state.tokens / state.seconds) if state.seconds else None,
        "seconds": round(seconds, 2),
        "resumed_from": resumed,
        "already_finished": already,
    }


def remove_run(run_dir: Path) -> None:
    """`--fresh`: take the old run out of sight, checkpoints first; the data folder below it stays."""
    for name in ("checkpoints", "tensorboard"):
        if (run_dir / name).exists():
            files.delete(run_dir / name)
    told = ("report.html", "report.md", "scores.json", "scores.md", "wrong-valid.csv", "wrong-test.csv")
    for name in ("model", LOG, resume.RESOLVED, resume.REQUESTED, *told):
        (run_dir / name).unlink(missing_ok=True)
