"""What a run comes to: its steps and what happens at which, its memory, its time.

Memory is predicted by playing a step through without memory; speed and time are told only where `--probe` has
measured them.
"""

from __future__ import annotations

import math
from typing import Any

from tane.durations import Duration
from tane.recipe import Recipe
from tane.training import memory
from tane.training import probe as probing

# what a training process takes on a CPU beside its libraries and its tensors, measured: what is loaded later,
# and by its tensors gaps of the heap and the kernels' own copies
WORKING, GAPS = 60 << 20, 0.22
# and where each step has other shapes: a kernel for each in half precision, and more gaps; half of it after
# so many steps
VARYING, VARYING_HALF, HALF_AFTER = 250e6, 460e6, 40


def steps_of(recipe: Recipe, scale: dict[str, Any], values_per_step: float) -> dict[str, Any]:
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


def base_of(device: str, held: int = 0) -> int | None:
    """Bytes that a training process takes beside its tensors; held: those of tensors that are here already.

    What this process takes now is what the libraries take; on a GPU the card's memory counts.
    """
    if device == "cuda":
        return memory.CONTEXT
    resident = probing.resident()
    return None if resident is None else max(0, resident - held)


def memory_of(
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


def time_of(
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
