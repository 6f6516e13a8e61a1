"""Killed, stopped or cut off at random moments, and started again: rows 1, 2, 4, 7, 8, 9, 12."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from tane import files
from tane.training import checkpoint

from .fault import Fault, Outcome
from .ground import (
    EVERY,
    STEPS,
    Ground,
    chance,
    data_hashes,
    differences,
    leftovers,
    result_of,
)
from .starts import Start

STRETCHED = ("publish.before_write", "publish.before_manifest", "publish.before_rename",
             "publish.between_renames", "publish.after_rename", "publish.before_delete")  # fmt: skip


def _stretch(draw: random.Random, seconds: float) -> dict[str, str]:
    """Two times in three a place of the publishing that takes longer, so that kills fall into it."""
    place = draw.choice((*STRETCHED, "", "", ""))
    return {"TANE_FAILPOINT": f"{place}=sleep:{seconds}"} if place else {"TANE_FAILPOINT": ""}


def tokenising(ground: Ground, number: int) -> Outcome:
    """Row 1: killed while text is read, a tokenizer made, tokens written."""
    draw, outcome = chance("1", number), Outcome()
    with ground.place("prepare") as place:
        data = place / "data"
        recipe = ground.recipe(place / "run", data=data)
        start = Start(["prepare", recipe, "--quiet"], place, **_stretch(draw, 0.15))
        time.sleep(draw.uniform(0, 1.2))
        start.send()
        start.end()
        made = [p.name for p in data.glob("*") if not p.name.startswith(".")] if data.exists() else []
        outcome.figures["n of them with a stage done"] = float(bool(made))
        end = ground.prepare(recipe, place)
        outcome.require(end.code == 0, f"the second start ended with {end.code}: {end.err[-200:]}")
        if end.code == 0:
            outcome.require(data_hashes(data) == data_hashes(ground.data), "the data differ")
            outcome.require(not leftovers(data), f"left behind: {leftovers(data)}")
    return outcome


def training(ground: Ground, number: int) -> Outcome:
    """Row 2: killed once in training, anywhere; gone on to the end."""
    return _killed(ground, chance("2", number), kills=1, latest=2.0)


def recovering(ground: Ground, number: int) -> Outcome:
    """Row 7: killed, and killed again up to five times soon after each new start."""
    draw = chance("7", number)
    return _killed(ground, draw, kills=1 + draw.randint(1, 5), latest=0.8)


def _killed(ground: Ground, draw: random.Random, kills: int, latest: float) -> Outcome:
    outcome, lost, inside = Outcome(), [], 0
    with ground.place("train") as place:
        folder = place / "run"
        recipe = ground.recipe(folder)
        for _ in range(kills):
            start = Start(["train", recipe, "--quiet"], place, [ground.told(folder)], **_stretch(draw, 0.1))
            time.sleep(draw.uniform(0.05, latest))
            start.send()
            start.end()
            done, saved = _steps_done(folder), checkpoint.steps_in(folder)
            lost.append(done - (saved[-1] if saved else 0))
            inside += any(n.startswith(files.TEMPORARY) for n in leftovers(folder))
        end = ground.train(recipe, place, [ground.told(folder)])
        outcome.require(end.code == 0, f"the last start ended with {end.code}: {end.err[-200:]}")
        if end.code == 0:
            outcome.failure = outcome.failure or differences(result_of(folder), ground.result)
            outcome.require(not leftovers(folder), f"left behind: {leftovers(folder)}")
            outcome.require(len(checkpoint.steps_in(folder)) >= 2, "fewer than 2 checkpoints are left")
    outcome.require(max(lost) <= EVERY, f"{max(lost)} steps were lost")
    outcome.figures = {"n kills": kills, "n of them inside a save": inside, "steps lost": max(lost)}
    return outcome


def _steps_done(folder: Path) -> int:
    """How many steps the last start has finished, by what it wrote down."""
    path = folder / "ids.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return int(lines[-1].partition(",")[0][1:]) + 1 if lines else 0


def exporting(ground: Ground, number: int) -> Outcome:
    """Row 4: killed in an export; the target is absent or whole."""
    draw, outcome = chance("4", number), Outcome()
    with ground.place("export") as place:
        target, whole = place / "out", data_hashes(ground.exported)
        start = Start(["export", ground.whole, target, "--quiet"], place, **_stretch(draw, 0.15))
        time.sleep(draw.uniform(0, 0.45))
        start.send()
        start.end()
        there = target.exists()
        outcome.figures = {"n of them with the target there": float(there)}
        if there:
            outcome.require(_same_export(data_hashes(target), whole), "half an export is visible")
        from tane.cli import main  # noqa: F401 - imported before

        end = Start(["export", ground.whole, target, "--quiet", "--overwrite"], place).end()
        outcome.require(end.code == 0, f"the second export ended with {end.code}: {end.err[-200:]}")
        outcome.require(_same_export(data_hashes(target), whole), "the second export differs")
        outcome.require(not leftovers(place), f"left behind: {leftovers(place)}")
    return outcome


def _same_export(found: dict[str, str], whole: dict[str, str]) -> bool:
    # the card tells the folder's own name, and the manifest the card's hash
    return all(found.get(name) == value for name, value in whole.items()
               if name not in ("README.md", files.MANIFEST)) and found.keys() == whole.keys()  # fmt: skip


def resumes(ground: Ground, number: int) -> Outcome:
    """Row 8: two or three resumes inside one epoch, and over its end: the blocks of each step."""
    draw, outcome = chance("8", number), Outcome()
    with ground.place("resumes") as place:
        folder = place / "run"
        recipe = ground.recipe(folder)
        for at in sorted(draw.sample(range(1, STEPS), draw.choice((2, 3)))):
            start = Start(["train", recipe, "--quiet"], place, [ground.told(folder)])
            start.until(lambda at=at: _steps_done(folder) >= at)  # type: ignore[misc]
            start.send()
            start.end()
        ground.train(recipe, place, [ground.told(folder)])
        outcome.failure = differences(result_of(folder), ground.result)
        outcome.figures = {"n steps whose blocks were compared": STEPS}
    return outcome


WHERE = ("start", "train", "eval", "save", "tokenise", "export")


def asked_to_stop(ground: Ground, number: int) -> Outcome:
    """Row 9: SIGTERM or SIGINT, once or twice, to the process or to the group."""
    draw, outcome = chance("9", number), Outcome()
    where, twice = WHERE[number % len(WHERE)], draw.random() < 0.15
    sent = draw.choice((signal.SIGTERM, signal.SIGINT))
    with ground.place("signals") as place:
        folder, data = place / "run", place / "data" if where == "tokenise" else None
        recipe = ground.recipe(folder, data=data)
        verb = ["export", ground.whole, place / "out"] if where == "export" else ["train", recipe]
        stretch = {"save": "publish.before_manifest=sleep:0.2", "export": "publish.before_manifest=sleep:0.2"}
        start = Start([*verb, "--quiet"], place, TANE_FAILPOINT=stretch.get(where, ""))
        reached = {
            "train": lambda: len(checkpoint.steps_in(folder)) >= 2,
            "eval": lambda: len(checkpoint.steps_in(folder)) >= 4,
            "save": lambda: any((folder / "checkpoints").glob(".tmp-*")),
            "export": lambda: any(place.glob(".tmp-*")),
            "tokenise": lambda: (place / "data").exists(),
        }
        time.sleep(draw.uniform(0, 0.3) if where == "start" else 0)
        if where != "start":
            start.until(reached[where])
        time.sleep(draw.uniform(0, 0.1))
        running, begin = start.poll() is None, time.monotonic()
        send = os.killpg if draw.random() < 0.5 else os.kill
        if running:
            send(start.pid, sent)
            if twice:
                time.sleep(0.01)
                start.send(sent)
        end = start.end(30)
        outcome.figures["seconds to the end"] = time.monotonic() - begin
        codes = {75, 130, 0} | ({-sent} if twice else set())
        outcome.require(not running or end.code in codes, f"{where}: ended with {end.code}: {end.err[-200:]}")
        outcome.require("Traceback" not in end.err, f"{where}: a traceback")
        if end.code == 75:
            outcome.require("run the same command again" in end.err, f"{where}: no word of how to go on")
        if where == "export":
            outcome.require(not (place / "out").exists() or end.code == 0, "half an export")
        else:
            again = ground.train(recipe, place)
            outcome.require(again.code == 0, f"{where}: the next start ended with {again.code}: {again.err}")
            found = {k: v for k, v in result_of(folder).items() if k != "blocks of each step"}
            expected = {k: v for k, v in ground.result.items() if k in found}
            outcome.require(not differences(found, expected), f"{where}: {differences(found, expected)}")
    return outcome


def cut_under_the_run(ground: Ground, number: int) -> Outcome:
    """Row 12: a shard is cut while it is mapped."""
    draw, outcome = chance("12", number), Outcome()
    with ground.place("mapped") as place:
        folder, data = place / "run", ground.copy(ground.data, place / "data")
        recipe = ground.recipe(folder, data=data)
        start = Start(["train", recipe, "--quiet"], place)
        start.until(lambda: len(checkpoint.steps_in(folder)) >= 2)
        os.truncate(data / "shards" / "train-00000.bin", draw.choice((0, 1000, 4096)))
        end = start.end()
        outcome.figures["n died of it"] = float(end.code != 0)
        steps = checkpoint.steps_in(folder)
        for step in steps:
            bad = files.Manifest.read(checkpoint.folder_of(folder, step)).bad_files(
                checkpoint.folder_of(folder, step)
            )
            outcome.require(not bad, f"checkpoint {step} is damaged")
        again = ground.train(recipe, place)
        outcome.require(again.code == 4, f"the next start ended with {again.code}, not 4")
        outcome.require("train-00000.bin" in again.err, "the shard is not named")
        outcome.require(checkpoint.steps_in(folder) == steps, "checkpoints were touched")
    return outcome


FAULTS = (
    Fault("1", "kill -9 in tokenise", "at a random moment", "the same command ends with the same bytes",
          tokenising, 500, 2),
    Fault("2", "kill -9 in train", "at a random moment, a third of the time inside a longer save",
          "the same bits in the end; no more than the save interval is lost", training, 100, 2, 100),
    Fault("4", "kill -9 in export", "at a random moment", "the target is absent or whole", exporting, 200, 2),
    Fault("7", "kill -9 in recovery", "killed, then again 1 to 5 times soon after the start", "as row 2",
          recovering, 60, 1),
    Fault("8", "several resumes in one epoch and over its end", "killed at chosen steps",
          "each step trains on the same blocks", resumes, 40, 1),
    Fault("9", "SIGTERM, SIGINT", "in start, train, evaluation, save, tokenise, export; once or twice",
          "exit 75 within 30 s with everything saved (130: nothing to resume); the same bits afterwards",
          asked_to_stop, 120, 2),
    Fault("12", "a shard is cut while it is mapped", "truncate in the running training",
          "the process dies; the next start exits 4; checkpoints stay", cut_under_the_run, 40, 1),
)  # fmt: skip
