"""Checkpoints of which a file is cut, flipped, emptied, taken away or added: rows 13, 13b."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tane import files
from tane.files import MANIFEST
from tane.training import checkpoint

from .damage import injure, made, stopping
from .fault import Fault, Outcome
from .ground import Ground, chance, differences, listing, result_of
from .starts import Change, run

STOPPED, BEST = 47, 40  # the last step of the run that was stopped, and its best one
HOW = ("flip", "flip", "flip", "cut", "shorter", "longer", "empty", "deleted", "extra")


def _best_early() -> None:
    """The evaluation at BEST stays the best one."""
    from tane.training.loop import Loop
    from tane.training.pretraining import Pretraining

    score, evaluate = Pretraining.score, Loop._evaluate

    def worse(self: Pretraining, valid: Any) -> float:
        return score(self, valid) - (1.0 if _best_early.step > BEST else 0.0)  # type: ignore[attr-defined]

    def noted(self: Loop) -> None:
        _best_early.step = self.state.step  # type: ignore[attr-defined]
        evaluate(self)

    Pretraining.score, Loop._evaluate = worse, noted  # type: ignore[method-assign]


def stopped(ground: Ground) -> Path:
    """A run that was stopped: its newest checkpoint is not its best."""

    def make(folder: Path) -> None:
        recipe = ground.recipe(folder, name=f"{folder.name}.yaml")
        end = ground.train(recipe, ground.root, [ground.told(folder), stopping(STOPPED)])
        assert end.code == 75 and checkpoint.steps_in(folder)[-1] == STOPPED, end.err

    return made(ground, "stopped", make)


def early(ground: Ground) -> Path:
    """A finished run whose best checkpoint is not its newest."""

    def make(folder: Path) -> None:
        recipe = ground.recipe(folder, name=f"{folder.name}.yaml")
        end = ground.train(recipe, ground.root, [ground.told(folder), _best_early])
        assert end.code == 0 and f"{BEST:09d}" in os.readlink(folder / "model"), end.err

    return made(ground, "early", make)


def _watched(folder: Path, good: Path, note: Path) -> Change:
    """Each checkpoint that is loaded is compared with the one that was saved; a line a load."""

    def change() -> None:
        load = checkpoint.load

        def watched(run_dir: Path, step: int, parts: checkpoint.Parts) -> Any:
            found, due = (checkpoint.folder_of(f, step) for f in (folder, good))
            names = listing(found)
            same = names == listing(due) and all(
                (found / n).read_bytes() == (due / n).read_bytes() for n in names
            )
            with open(note, "a", encoding="utf-8") as file:
                file.write(f"{step} {'good' if same else 'bad'}\n")
            return load(run_dir, step, parts)

        checkpoint.load = watched

    return change


def damaged_checkpoint(ground: Ground, number: int) -> Outcome:
    """Row 13: one file of the newest checkpoint is cut, has another bit, is empty or gone, or there is one
    more; a tenth of the time all checkpoints have such a file. A fifth of the runs go on to their end."""
    draw, outcome = chance("13", number), Outcome()
    base = draw.choice((stopped(ground), ground.whole))
    names = listing(checkpoint.folder_of(base, checkpoint.steps_in(base)[-1]))
    name, how = names[number % len(names)], draw.choice(HOW)
    way = ("end", "strict", "load", "load", "load")[number // len(names) % 5]
    everything = way == "load" and draw.random() < 0.2
    with ground.place("checkpoint") as place:
        folder, note = ground.copy(base, place / "run"), place / "loaded"
        recipe = ground.recipe(folder)
        steps = checkpoint.steps_in(folder)
        hurt = steps if everything else steps[-1:]
        told = "; ".join(injure(checkpoint.folder_of(folder, step) / name, how, draw) for step in hurt)
        outcome.cases = len(hurt)
        before = {step: _bytes_of(checkpoint.folder_of(folder, step)) for step in hurt}
        changes = [ground.told(folder), _watched(folder, base, note)]
        if way == "load":
            changes.append(stopping())
        end = run(["train", recipe, *(["--strict"] if way == "strict" else [])], place, changes)
        loads = note.read_text().splitlines() if note.exists() else []
        outcome.figures["n bad weights loaded"] = sum(line.endswith("bad") for line in loads)
        outcome.figures["n of them gone on to the end"] = float(way == "end")
        outcome.require(not outcome.figures["n bad weights loaded"], f"{told}: loaded")
        outcome.require(end.clean, f"{told}: no plain message: {end.err[-300:]}")
        shown = MANIFEST if how == "deleted" and name == MANIFEST else _shown(name, how)
        outcome.require(shown in end.err, f"{told}: {shown} is not named: {end.err[-400:]}")
        for step, content in before.items():
            kept = [checkpoint.folder_of(folder, step), *_aside(folder, step)]
            outcome.require(
                any(p.exists() and _bytes_of(p) == content for p in kept), f"{told}: it was deleted"
            )
        if way == "strict" or everything:
            outcome.require(end.code == 4, f"{told}: {way}: ended with {end.code}: {end.err[-300:]}")
            outcome.require(not loads, f"{told}: {way}: something was loaded")
            outcome.require(checkpoint.steps_in(folder) == steps, f"{told}: {way}: checkpoints were moved")
            return outcome
        outcome.require(loads and loads[0] == f"{steps[-2]} good", f"{told}: loaded was {loads}")
        outcome.require("falling back" in end.err, f"{told}: not said: {end.err[-300:]}")
        due = 0 if way == "end" else 75
        outcome.require(end.code == due, f"{told}: ended with {end.code}, not {due}: {end.err[-300:]}")
        _require_good_model(folder, told, outcome)
        if way == "end" and end.code == 0:
            told_of = differences(result_of(folder), ground.result)
            outcome.require(not told_of, f"{told}: {told_of}")
    return outcome


def _shown(name: str, how: str) -> str:
    return f"extra{Path(name).suffix}" if how == "extra" else Path(name).name


def _aside(folder: Path, step: int) -> list[Path]:
    return list((folder / "checkpoints").glob(f".damaged-step-{step:09d}-*"))


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in listing(folder)}


def _require_good_model(folder: Path, told: str, outcome: Outcome) -> None:
    """RUN/model leads to a checkpoint that is whole."""
    place = (folder / "model").resolve().parent
    try:
        files.check(place, checkpoint.KIND)
    except files.IntegrityError as error:
        outcome.require(False, f"{told}: RUN/model is no whole checkpoint: {error.message}")


USES = ("train", "generate", "export", "evaluate", "train of a finished run")


def damaged_best(ground: Ground, number: int) -> Outcome:
    """Row 13b: a file of the best model, which is not of the newest step, is damaged; RUN/model leads to it.

    Training goes on with the best looked for anew; whoever wants to use the model is told.
    """
    draw, outcome, use = chance("13b", number), Outcome(), USES[number % len(USES)]
    base = early(ground) if use.endswith("finished run") or draw.random() < 0.5 else stopped(ground)
    base = stopped(ground) if use == "train" else base
    best = checkpoint.folder_of(base, BEST)
    names = [n for n in listing(best) if use.startswith("train") or n.startswith("model/")]
    weights = "model/model.safetensors"
    name, how = draw.choice((weights, draw.choice(names))), draw.choice(HOW)
    with ground.place("best") as place:
        folder = ground.copy(base, place / "run")
        told = f"{use}: " + injure(checkpoint.folder_of(folder, BEST) / name, how, draw)
        if use.startswith("train"):
            end = run(["train", ground.recipe(folder)], place, [ground.told(folder)])
            outcome.require(end.code == 0, f"{told}: ended with {end.code}: {end.err[-300:]}")
            outcome.require(_shown(name, how) in end.err, f"{told}: not said: {end.err[-300:]}")
            _require_good_model(folder, told, outcome)
            if use == "train" and end.code == 0:
                told_of = differences(result_of(folder), ground.result)
                outcome.require(not told_of, f"{told}: {told_of}")
        else:
            target, text = place / "out", ground.text / "部分0.txt"
            more: dict[str, tuple[object, ...]] = {
                "generate": ("--prompt", "春"), "export": (target,), "evaluate": ("--data", text),
            }  # fmt: skip
            end = run([use, folder, *more[use]], place)
            silent = end.code == 0 and "warning" not in end.err
            outcome.figures["n bad weights used"] = float(silent and how != "extra")
            refused = end.code in (2, 4) and _shown(name, how) in end.err
            outcome.require(not silent or how == "extra", f"{told}: nobody was told")
            outcome.require(refused or end.code == 0, f"{told}: ended with {end.code}: {end.err[-300:]}")
            outcome.require(not target.exists() or end.code == 0, f"{told}: an export is there")
        outcome.require(end.clean, f"{told}: no plain message: {end.err[-300:]}")
    return outcome


FAULTS = (
    Fault("13", "a file of the newest checkpoint is damaged", "cut, one bit, empty, missing, one too many",
          "said aloud, the one before it is used, the same bits at the end; --strict: exit 4",
          damaged_checkpoint, 400, 2),
    Fault("13b", "a file of the best model is damaged", "as row 13, where RUN/model leads",
          "training goes on with a whole model; generate, export, evaluate refuse the damaged one",
          damaged_best, 100, 2),
)  # fmt: skip
