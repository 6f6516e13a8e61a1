"""What a run's folder tells of itself: its recipe, its log, its scores. Nothing is computed here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.training.resume import RESOLVED
from tane.training.tracker import LOG, read_metrics
from tane.use.finetune import TRIALS
from tane.use.verify import data_of
from tane.yamlio import read_yaml

Events = list[dict[str, Any]]
SCORES = "scores.json"


@dataclass(frozen=True)
class Run:
    """One run. own: where its recipe and log are, below `folder` where several seeds were run; log: its
    events by kind, each kind in the order of the steps; scores: of a task, by split."""

    name: str
    folder: Path
    own: Path
    recipe: dict[str, Any]
    log: dict[str, Events] = field(repr=False)
    scores: dict[str, dict[str, Any]] = field(repr=False)

    @property
    def kind(self) -> str:
        """causal, masked, or task."""
        if self.recipe.get("task"):
            return "task"
        name = (self.recipe.get("objective") or {}).get("name")
        return "masked" if name == "masked" else "causal"

    @property
    def data(self) -> Path:
        """Where its prepared text lies."""
        return data_of(self.own, self.recipe)

    @property
    def model(self) -> Path:
        """The best checkpoint's model folder."""
        return self.folder / "model"

    @property
    def start(self) -> dict[str, Any]:
        """What its last start said of model and machine."""
        return self.log["start"][-1] if self.log["start"] else {}

    @property
    def steps(self) -> int:
        """How far it has come."""
        return max((event["step"] for events in self.log.values() for event in events), default=0)

    @property
    def state(self) -> str:
        """finished (also by early stopping), stopped, or under way: perhaps cut off."""
        if self.steps >= self.start.get("total", 0) or _last(self.log["end"]) == self.steps:
            return "finished"
        return "stopped" if _last(self.log["stop"]) == self.steps else "under way, or cut off,"

    @property
    def best(self) -> dict[str, Any] | None:
        """The evaluation whose model is published; None where there was none."""
        evals = self.log["eval"]
        step = evals[-1].get("best_step") if evals else None
        return next((event for event in evals if event["step"] == step), None)

    @property
    def seconds(self) -> float:
        """From start to end over all its sessions, pauses left out."""
        total, last, begun = 0.0, None, {event.get("time") for event in self.log["start"]}
        times = [event.get("time") for events in self.log.values() for event in events]
        for time in sorted(time for time in times if isinstance(time, (int, float))):
            if last is not None and time not in begun:
                total += time - last
            last = time
        return total


KINDS = ("start", "step", "eval", "samples", "save", "stop", "spike", "memory", "end")


def _last(events: Events) -> int | None:
    return events[-1]["step"] if events else None


def gather(folder: str | Path) -> Run:
    """Read a run. Raises InputError for a folder that is none, or has not begun."""
    folder = Path(folder)
    if folder.name == "model" and (_best_trial(folder.parent) / LOG).is_file():
        folder = folder.parent
    own = _best_trial(folder)
    if not (own / LOG).is_file() or not (own / RESOLVED).is_file():
        what = "has not begun" if (own / RESOLVED).is_file() else "is no run"
        raise InputError(
            f"{folder} {what}: it has no {LOG}" if folder.is_dir() else f"{folder} does not exist",
            "name the run_dir of tane train or tane finetune",
        )
    recipe = read_yaml(own / RESOLVED)
    log = {kind: read_metrics(own, kind) for kind in KINDS}
    return Run(folder.resolve().name, folder, own, recipe, log, _scores(folder / SCORES))


def _best_trial(folder: Path) -> Path:
    """Where the log lies: of several seeds or settings that of the one whose model was taken."""
    link = folder / "model"
    target = folder / os.readlink(link) if link.is_symlink() else link
    return target.parent if target.parent.parent == folder / TRIALS else folder


def _scores(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(report, dict) for report in found.values()):
        raise InputError(
            f"{path} is damaged: it is not the JSON that was written", "score again: tane finetune RECIPE"
        )
    return found
