"""One run of a recipe: its folder locked, its settings settled with those it had before, then training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tane import files, locks, progress, ranks, signals
from tane.errors import InputError
from tane.training import finetuning, probe, resume, run
from tane.training.loop import Plan
from tane.training.work import Work
from tane.types import Result

if TYPE_CHECKING:
    from tane.recipe import Recipe

# what must be there before a run: its fingerprints; and what starts it, from a recipe without `auto`
Ready = Callable[["Recipe", bool], dict[str, str]]
Starter = Callable[["Recipe", dict[str, str]], run.Start]


def run_recipe(
    recipe: Recipe, ready: Ready, starter: Starter, *, fresh: bool, full: bool, strict: bool
) -> Result:
    """Lock the run's folder, settle its settings with those it had before, train, tell.

    Of several processes the first does all of this but training, and tells the others.
    """
    run_dir, asked = recipe.run_path, recipe.flat()
    if recipe.data_path.resolve() == run_dir.resolve():
        raise InputError(
            f"run_dir and data_dir are the same folder: {run_dir}", f"--data-dir {run_dir / 'data'}"
        )
    kept = signals.kept(run_dir / "checkpoints", recipe.data_path / "corpus")
    with ranks.joined() as world, signals.caught(), kept, contextlib.ExitStack() as held:

        def settle() -> dict[str, Any]:
            held.enter_context(locks.locked(run_dir))
            before, settled = _settled(recipe, fresh=fresh)
            if not full:
                progress.say("verify fast: sizes are compared, hashes are not")
            return {"before": before, "settings": settled.flat(), "fingerprints": ready(settled, full)}

        told = world.lead(settle)
        fingerprints = told["fingerprints"]
        settled = _resolve(recipe.of(told["settings"]), lambda r: starter(r, fingerprints), world)

        def record(plan: Plan, work: Work, changed: dict[str, Any]) -> None:
            # a warm-up that is a fraction would change its length, and so the past, when the run is made
            # longer
            fixed = {"optim.schedule.warmup": f"{plan.warmup} steps" if plan.warmup else 0.0}
            resume.write(run_dir, asked, {**settled.flat(), **fixed, **work.settled, **changed})

        old = None if told["before"] is None else recipe.of(told["before"]).sections()
        metrics, fingerprints = run.fit(
            settled.sections(), run_dir, starter(settled, fingerprints), old,
            settled=record, world=world, full=full, strict=strict,
        )  # fmt: skip
    if metrics["already_finished"]:
        grows = settled.optim.schedule.name in ("wsd", "constant")
        more = "a longer --train.duration goes on" if grows else "another length needs --fresh"
        progress.say(f"{run_dir} is finished ({metrics['steps']:,} steps); {more}")
    else:
        progress.say(f"done: the model is in {metrics['model']}")
    return Result(str(run_dir), metrics, files.digest(fingerprints))


def _settled(recipe: Recipe, *, fresh: bool) -> tuple[resume.Flat | None, Recipe]:
    """(the settings that the run was recorded with, none for a new one; those to go on with)."""
    run_dir = recipe.run_path
    files.sweep(run_dir)
    files.sweep(run_dir / "checkpoints")
    if fresh:
        run.remove_run(run_dir)
    if not (run_dir / resume.REQUESTED).exists():
        return None, recipe
    old = recipe.load(run_dir / resume.RESOLVED)
    final, changed = resume.settle(run_dir, recipe.flat(), recipe.rules())
    recipe = recipe.of(final, str(run_dir))
    for line in changed:
        progress.say(f"changed since the run began: {line}")
    return old.flat(), recipe


def _resolve(recipe: Recipe, starter: Callable[[Recipe], run.Start], world: ranks.World) -> Recipe:
    """Every `auto` and every duration in minutes as a concrete value; `starter` starts a run to measure."""

    def machine() -> resume.Flat:
        found = recipe.with_values(run.resolve_machine(recipe.train, world))
        if recipe.task is None:
            return found.flat()
        # lengths differ from step to step, and each would be compiled
        micro = finetuning.micro_tokens(found.train.micro_batch_tokens, found.train.device)
        return {**found.flat(), "train.micro_batch_tokens": micro, "train.compile": False}

    recipe = recipe.of(world.lead(machine))
    sections = recipe.sections()
    if not probe.minutes(sections):
        return recipe
    measured = probe.measure(sections, starter(recipe), run.runtime_of(recipe.train, world))
    found = probe.in_steps(sections, measured)
    for name, steps in found.items():
        asked = recipe.flat()[name]
        progress.say(f"{name}: {asked} are {steps} at the measured {measured.seconds_per_step:.3f} s a step")
    return recipe.with_values(found)
