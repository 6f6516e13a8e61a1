"""`tane finetune`: a labelled task on a pretrained model: settings tried, seeds, and honest scores.

RUN/                 recipe, metrics, checkpoints, model: as those of `tane train`
RUN/trials/NAME/     the same of each setting of a grid and each seed, where there are several
RUN/scores.md, .json scores with intervals and baseline, confusion table, wrong examples
RUN/wrong-SPLIT.csv  every example that was answered wrong
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane import files, locks, progress, ranks, resources, signals
from tane.errors import InputError
from tane.recipe import Recipe, finetune_once
from tane.tasks.examples import Example, Examples
from tane.tasks.scores import spread
from tane.tasks.settings import TaskSettings
from tane.training import labelled
from tane.training.labelled import Data
from tane.training.run import remove_run
from tane.types import Result
from tane.use import score_page
from tane.use.classifier import open_classifier

TRIALS = "trials"
SHOWN, FEW = 200, 10  # wrong examples in scores.json, and in the result; the csv has them all


def finetune(
    recipe: Recipe, *, seeds: int = 1, fresh: bool = False, verify: str = "full", strict: bool = False
) -> Result:
    """Train a recipe's task, or go on where it was cut off, and score it.

    seeds: so many runs from recipe.seed on, whose mean and spread are told; the model is the one that the
    validation examples like best. The settings of task.grid are tried first with one seed. metrics: model,
    metrics and baseline (of the test file where there is one, else of the validation examples), examples,
    `valid` and `test` as `score_page.page` shows them, and with several runs `runs`.
    """
    task = recipe.task
    if task is None:
        raise InputError(
            "this recipe has no task, so there is nothing to fine-tune for",
            "add one: task: {kind: pair-classification, data: {train: a.csv, valid: b.csv}}",
        )
    if seeds < 1:
        raise InputError(f"--seeds: expected 1 or more, found {seeds}")
    with ranks.joined() as world:
        data = world.together(lambda: labelled.read_data(task))
        once = functools.partial(finetune_once, data=data, fresh=fresh, verify=verify, strict=strict)
        if seeds == 1 and not _cells(task):
            results = [(recipe, once(recipe))]
            tried: list[dict[str, Any]] = []
        else:
            with signals.caught(), contextlib.ExitStack() as held:
                world.lead(lambda: _open(recipe.run_path, held, fresh))
                results, tried = _trials(recipe, task, seeds, once)
                best = max(results, key=lambda one: _standing(one[1], task))
                world.lead(lambda: _point(recipe.run_path, best[0].run_path))
        if not world.leads:
            return results[0][1]
    with signals.caught(), signals.kept(recipe.run_path / "checkpoints", recipe.run_path / TRIALS):
        return _told(recipe, task, data, results, tried)


# --------------------------------------------------------------------------------------------------- trials


def _cells(task: TaskSettings) -> list[dict[str, Any]]:
    """The settings of the grid, by dotted name."""
    if task.grid is None:
        return []
    rates = [{"optim.lr": lr} for lr in task.grid.lr] or [{}]
    lengths = [{"train.duration": f"{epochs:g} epochs"} for epochs in task.grid.epochs] or [{}]
    cells = [{**a, **b} for a, b in itertools.product(rates, lengths)]
    return cells if cells != [{}] else []


def _trials(
    recipe: Recipe, task: TaskSettings, seeds: int, once: Any
) -> tuple[list[tuple[Recipe, Result]], list[dict[str, Any]]]:
    """(the runs of the chosen settings, one a seed; what each setting of the grid gave)."""
    cells = _cells(task)
    tried: list[dict[str, Any]] = []
    runs: dict[tuple[int, int], tuple[Recipe, Result]] = {}

    def run(cell: int, seed: int) -> tuple[Recipe, Result]:
        if (cell, seed) not in runs:
            values = cells[cell] if cells else {}
            name = _name(values, seed)
            one = recipe.with_values(
                {**values, "seed": seed, "run_dir": str(recipe.run_path / TRIALS / name), "task.grid": None}
            )
            progress.say(f"\n{name}")
            runs[cell, seed] = one, once(one)
        return runs[cell, seed]

    chosen = 0
    for cell, values in enumerate(cells):
        result = run(cell, recipe.seed)[1]
        tried.append({**values, task.decides: result.metrics.get(f"valid_{task.decides}"),
                      "standing": _standing(result, task)})  # fmt: skip
    if tried:
        chosen = max(range(len(tried)), key=lambda cell: tried[cell]["standing"])
        progress.say(f"\nchosen by {task.decides} on the validation examples: {_name(cells[chosen], None)}")
    return [run(chosen, recipe.seed + number) for number in range(seeds)], tried


def _open(run_dir: Path, held: contextlib.ExitStack, fresh: bool) -> None:
    """Lock the folder above the trials; what an old run left there goes where that is wanted."""
    held.enter_context(locks.locked(run_dir))
    if fresh:
        remove_run(run_dir)


def _name(values: dict[str, Any], seed: int | None) -> str:
    parts = []
    if "optim.lr" in values:
        parts.append(f"lr-{values['optim.lr']:g}")
    if "train.duration" in values:
        parts.append(f"epochs-{values['train.duration'].split()[0]}")
    return "-".join([*parts, *([f"seed-{seed}"] if seed is not None else [])])


def _standing(result: Result, task: TaskSettings) -> float:
    """How good a run is by its best checkpoint, the higher the better."""
    score = result.metrics["best_score"]
    return float("-inf") if score is None else score


def _point(run_dir: Path, best: Path) -> None:
    """Let RUN/model be the model of one of its trials, swapped by rename."""
    link, temporary = run_dir / "model", run_dir / f"{files.TEMPORARY}model-{os.getpid()}"
    with resources.writing(link):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path(TRIALS) / best.name / "model")
        os.replace(temporary, link)


# --------------------------------------------------------------------------------------------------- scores


def _told(
    recipe: Recipe, task: TaskSettings, data: Data, results: list[tuple[Recipe, Result]],
    tried: list[dict[str, Any]],
) -> Result:  # fmt: skip
    """Score the runs, and write what they are worth."""
    run_dir = recipe.run_path
    sides = {"valid": data.valid, **({"test": data.test} if data.test is not None else {})}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    gold = [one.gold for one in data.train.items]
    for one, result in results:
        classifier = open_classifier(result.metrics["model"], threads=_threads(one))
        for side, examples in sides.items():
            found[side].append(
                report_of(classifier, examples, gold, side, metric=task.decides) | {"seed": one.seed}
            )
    best = max(range(len(results)), key=lambda number: _standing(results[number][1], task))
    reports = {}
    for side, many in found.items():
        reports[side] = {name: value for name, value in many[best].items() if name != "seed"}
        if len(many) > 1:
            reports[side] |= {
                "seeds": [one["seed"] for one in many], "spread": spread([one["scores"] for one in many])
            }  # fmt: skip
        with resources.writing(run_dir):
            score_page.write_examples(run_dir / f"wrong-{side}.csv", reports[side]["wrong"])
        reports[side]["wrong"] = reports[side]["wrong"][:SHOWN]
    text = "\n".join(score_page.markdown(report) for report in reports.values())
    files.write_text(run_dir / "scores.md", text)
    values = {
        "run": str(run_dir),
        "model": str(run_dir / "model"),
        "metrics": reports[list(sides)[-1]]["scores"],
        "baseline": reports[list(sides)[-1]]["baseline"],
        "split": list(sides)[-1],
        "examples": {"train": len(data.train), **{side: len(examples) for side, examples in sides.items()}},
        **{side: _short(report) for side, report in reports.items()},
        "steps": sum(result.metrics["steps"] for _, result in results),
        "seconds": round(sum(result.metrics["seconds"] for _, result in results), 2),
        "resumed_from": results[best][1].metrics["resumed_from"],
        "already_finished": all(result.metrics["already_finished"] for _, result in results),
    }
    if tried:
        values["tried"] = [
            {**one, "standing": one["standing"] if math.isfinite(one["standing"]) else None} for one in tried
        ]
    if len(results) > 1:
        values["runs"] = [
            {"seed": one.seed, "run": str(one.run_path), **{side: found[side][n]["scores"] for side in sides}}
            for n, (one, _) in enumerate(results)
        ]
    files.write_text(run_dir / "scores.json", json.dumps(reports, ensure_ascii=False, indent=1) + "\n")
    progress.say(
        f"scores, confusion and wrong examples: {run_dir / 'scores.md'}; the model: {values['model']}"
    )
    return Result(str(run_dir), values, results[best][1].fingerprint)


def _threads(recipe: Recipe) -> int | None:
    return recipe.train.threads if isinstance(recipe.train.threads, int) else None


def _short(report: dict[str, Any]) -> dict[str, Any]:
    return {**report, "wrong": report["wrong"][:FEW]}


def report_of(
    classifier: Any, examples: Examples, train_gold: Sequence[Any], split: str, *, metric: str
) -> dict[str, Any]:
    """What a model is worth on labelled examples: the value that `score_page.page` shows.

    train_gold: the training labels, for the constant baseline; [] takes these examples' own.
    """
    task, gold = classifier.task, [one.gold for one in examples.items]
    outputs = classifier.outputs(examples.items)
    judged = task.judge(train_gold or gold, gold, outputs, classifier.names)
    overlap, overlap_is = task.text_baseline(examples.items)
    report: dict[str, Any] = {
        "task": task.kind,
        "split": split,
        "file": examples.name,
        "examples": len(examples),
        "metric": metric,
        "scores": judged.scores,
        "intervals": {name: list(limits) for name, limits in judged.intervals.items()},
        "baseline": {**judged.baseline, **overlap},
        "baseline_is": judged.baseline_is + overlap_is,
        "left_out": dict(examples.left_out),
        "wrong": [
            {
                "row": examples.items[i].position, "gold": _shown(gold[i], classifier.names),
                "predicted": answer, "score": round(sure, 4), **_texts(task, examples.items[i]),
            }
            for i, answer, sure in judged.wrong
        ],
    }  # fmt: skip
    if judged.confusion is not None:
        report |= {"names": list(classifier.names), "confusion": judged.confusion}
    return report


def _shown(gold: Any, names: Sequence[str]) -> Any:
    if isinstance(gold, list):
        return " ".join(names[i] for i in gold)
    return names[gold] if names else gold


def _texts(task: TaskSettings, one: Example) -> dict[str, str]:
    """An example's texts by the names of their columns."""
    if one.words:
        return {"text": " ".join(one.words)}
    columns = [name for names in task.columns().values() for name in names if name != task.label]
    texts = [one.parts[0][0], *(pair for _, pair in one.parts if pair is not None)]
    taken = {"row", "gold", "predicted", "score"}
    named = [f"{name} (text)" if name in taken else name for name in columns]
    return dict(zip(named, texts, strict=False))
