"""tane's real road to a step, without the command: what a run builds, handed out before its first step.

The one place of the benchmarks that knows how a run is put together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tane.model.build import hushed
from tane.recipe import Recipe
from tane.training import pretraining, run
from tane.training.loop import Loop
from tane.training.tracker import Tracker, Untold
from tane.types import Batch, TrainState


def resolved(recipe: Recipe) -> Recipe:
    """The recipe with every `auto` of the machine as a concrete value."""
    return recipe.with_values(run.resolve_machine(recipe.train))


def batches_of(loop: Loop, step: int) -> list[Batch]:
    """The micro-batches of a step, without their numbers."""
    return [batch for _, batch in loop.work.micro_batches(step)]


@contextlib.contextmanager
def started(recipe: Recipe, run_dir: Path | None = None) -> Iterator[Loop]:
    """A loop that stands before its first step, as `tane train` builds it; its data must be prepared.

    run_dir: where the log goes; None: nothing is told, as in a probe of the speed.
    """
    sections = resolved(recipe).sections()
    machine = run.runtime_of(sections.train)
    with machine.active(), hushed():
        work, parts = pretraining.start(sections, recipe.data_path, {}, machine)
        plan = run.make_plan(sections, work)
        tracker: Any = Untold()
        if run_dir is not None:
            tracker = Tracker(run_dir, tensorboard=sections.train.tensorboard, total=plan.total, step=0)
        loop = Loop(
            plan, run_dir or Path(), parts.model, work, sections.optim, machine, parts, TrainState(), tracker
        )
        if machine.compiled:
            run.compile_blocks(parts.model)
        try:
            yield loop
        finally:
            loop.batches.close()
            if run_dir is not None:
                tracker.close()
