"""Every system call of a save, an export and a preparation: killed there, failed there, its writes lost.

Rows 3, 4, 5, 6, 15 and 16. The calls are counted once in an untouched run; each trial takes one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tane import files
from tane.training import checkpoint
from tane.training.loop import Loop

from .fault import Fault, Outcome
from .ground import Ground, chance, data_hashes, differences, leftovers, result_of
from .kills import _same_export
from .starts import Change, End, run
from .tracing import CALLS, DELETING, Injury, available, count, lose_power, traced

SHORT = {"duration": "20 steps", "eval_every": "10 steps"}
NATURAL = {  # errors and the calls that they can come from
    "ENOSPC": "write,pwrite64,mkdir",
    "EIO": "fsync,write",
    "EDQUOT": "write",
    "EMFILE": "openat",
    "EACCES": "mkdir,rename",
}


@dataclass(frozen=True)
class Scene:
    """A stretch of the program under injury. watched: (owner, name, which of its calls)."""

    name: str
    watched: Callable[[], tuple[Any, str, int]]
    command: Callable[[Ground, Path], Sequence[object]]
    whole: Callable[[Ground, Path], str]  # after the command went through: what differs from the whole one
    meanwhile: Callable[[Ground, Path], str]  # right after the injury: what promise is broken

    def play(self, ground: Ground, place: Path, log: Path, injury: Injury | None) -> End:
        """The command, traced in its stretch, injured there."""
        owner, name, nth = self.watched()
        changes: list[Change] = [traced(owner, name, nth, log, injury)]
        return run([*self.command(ground, place), "--quiet"], place, changes)

    def numbers(self, ground: Ground, call: str) -> range:
        """1 to as many calls of this name as the stretch has in the command's own threads."""
        log = ground.root / f"{self.name}.calls"
        if not log.exists():
            with ground.place(f"calls-{self.name}") as place:
                end = self.play(ground, place, place / "log", None)
                assert end.code == 0, end.err
                (place / "log").rename(log)
        return range(1, count(log, call) + 1)


def _save(ground: Ground, place: Path) -> Sequence[object]:
    return ["train", ground.recipe(place / "run", **SHORT)]


def _short_result(ground: Ground) -> dict[str, str]:
    """The run of 20 steps that nothing stopped."""
    folder = ground.root / "short"
    if not (ground.root / "short.done").exists():
        with ground.place("short") as place:
            end = run([*_save(ground, place), "--quiet"], place)
            assert end.code == 0, end.err
            (place / "run").rename(folder)
        (ground.root / "short.done").touch()
    return result_of(folder)


def _saved(ground: Ground, place: Path) -> str:
    return differences(result_of(place / "run"), _short_result(ground))


def _checkpoints_left(ground: Ground, place: Path) -> str:
    folder = place / "run"
    steps = checkpoint.steps_in(folder)
    for step in steps:
        where = checkpoint.folder_of(folder, step)
        try:
            bad = files.Manifest.read(where, checkpoint.KIND).bad_files(where)
        except files.IntegrityError as error:
            return error.message
        if bad:
            return f"step {step}: {bad} damaged"
    return "" if len(steps) >= 2 else f"checkpoints left: {steps}"


def _export(ground: Ground, place: Path) -> Sequence[object]:
    more = ["--overwrite"] if (place / "out").exists() else []
    return ["export", ground.whole, place / "out", *more]


def _exported(ground: Ground, place: Path) -> str:
    same = _same_export(data_hashes(place / "out"), data_hashes(ground.exported))
    return "" if same else "the export differs"


def _export_left(ground: Ground, place: Path) -> str:
    return _exported(ground, place) if (place / "out").exists() else ""


def _prepare(ground: Ground, place: Path) -> Sequence[object]:
    return ["prepare", ground.recipe(place / "run", data=place / "data")]


def _prepared(ground: Ground, place: Path) -> str:
    return "" if data_hashes(place / "data") == data_hashes(ground.data) else "the data differ"


def _data_left(ground: Ground, place: Path) -> str:
    for stage in ("corpus", "tokenizer", "shards"):
        if (place / "data" / stage).exists():
            bad = files.Manifest.read(place / "data" / stage).bad_files(place / "data" / stage)
            if bad:
                return f"{stage}: {bad} damaged"
    return ""


def _nth_publish(nth: int) -> Callable[[], tuple[Any, str, int]]:
    return lambda: (files, "publish", nth)


SAVE = Scene("save", lambda: (Loop, "save", 3), _save, _saved, _checkpoints_left)
EXPORT = Scene("export", _nth_publish(1), _export, _exported, _export_left)
STAGES = tuple(
    Scene(f"prepare {nth}", _nth_publish(nth), _prepare, _prepared, _data_left) for nth in range(1, 6)
)  # a piece, the corpus, the tokenizer, a part of the tokens, the shards
STARTS = STAGES[2]  # the tokenizer is trained by a process of its own
SCENES = (SAVE, EXPORT, *STAGES)


def killed_at(scenes: Sequence[Scene], calls: str, row: str, ground: Ground, number: int) -> Outcome:
    """Killed at one call, then started again."""
    if reason := available():
        return Outcome(skipped=reason, cases=0)
    points = [(s, Injury(c, k)) for s in scenes for c in calls.split(",") for k in s.numbers(ground, c)]
    if number >= len(points):
        return Outcome(cases=0)
    chance(row, 0).shuffle(points)
    return _injured(ground, *points[number], lose=row == "6", draw=chance(row, number))


def failed_at(errors: Sequence[str], row: str, ground: Ground, number: int) -> Outcome:
    """One call, or all from it on, ends in an error."""
    if reason := available():
        return Outcome(skipped=reason, cases=0)
    points = [
        (scene, Injury(call, at, error, ever))
        for error in errors
        for scene in SCENES
        for call in NATURAL[error].split(",")
        if call != "openat" or scene is not STARTS  # Python's own start is not ours
        for at in scene.numbers(ground, call)
        for ever in (False, True)
    ]
    if number >= len(points):
        return Outcome(cases=0)
    chance(row, 0).shuffle(points)
    return _injured(ground, *points[number], lose=False, draw=chance(row, number))


def _injured(ground: Ground, scene: Scene, injury: Injury, *, lose: bool, draw: Any) -> Outcome:
    outcome = Outcome()
    with ground.place("point") as place:
        log = place / ".log"
        end = scene.play(ground, place, log, injury)
        told = f"{scene.name}, {injury.calls}, {injury.told}"
        if injury.error:
            outcome.require(end.code in (0, 3), f"{told}: ended with {end.code}: {end.err[-300:]}")
            outcome.require(end.clean, f"{told}: no clean error: {end.err[-300:]}")
            full = end.code == 3 and injury.error == "ENOSPC"
            outcome.require(not full or "are free" in end.err, f"{told}: no word of space: {end.err}")
            outcome.figures[f"n {injury.error}"] = 1
            outcome.figures["n of them passed over"] = float(end.code == 0)
        elif end.code == 0:
            outcome.cases = 0  # this run had fewer such calls than the one in which they were counted
        else:
            # a child that trains the tokenizer may be what was killed: that is told
            killed = end.code == -9 or (end.code == 3 and "killed by signal 9" in end.err)
            outcome.require(killed, f"{told}: ended with {end.code}: {end.err[-300:]}")
        if lose:
            lost = lose_power(log, draw)
            outcome.figures = {
                "n files cut": lost.cut,
                "n renames undone": lost.undone,
                "n names gone": lost.gone,
            }
        else:
            broken = scene.meanwhile(ground, place)
            outcome.require(not broken, f"{told}: {broken}")
        if scene is SAVE and not lose:
            outcome.figures["least checkpoints left"] = len(checkpoint.steps_in(place / "run"))
        again = run([*scene.command(ground, place), "--quiet"], place)
        outcome.require(
            again.code == 0, f"{told}: the next start ended with {again.code}: {again.err[-300:]}"
        )
        if again.code == 0:
            outcome.require(not (broken := scene.whole(ground, place)), f"{told}: {broken}")
            outcome.require(not leftovers(place), f"{told}: left behind: {leftovers(place)}")
    return outcome


FAULTS = (
    Fault("3", "kill -9 inside a save", "at each system call that opens, writes, syncs or names",
          "the newest whole checkpoint is used, no other is touched; the same bits in the end",
          functools.partial(killed_at, (SAVE,), CALLS, "3"), 130, 2),
    Fault("4b", "kill -9 at each call of an export", "the same", "the target is absent or whole",
          functools.partial(killed_at, (EXPORT,), CALLS, "4b"), 130, 1),
    Fault("1b", "kill -9 at each call of a preparation", "the same: text, tokenizer, tokens",
          "the same command ends with the same bytes",
          functools.partial(killed_at, STAGES, CALLS, "1b"), 300, 2),
    Fault("5", "kill -9 in the deleting of old checkpoints", "at each call that deletes or renames",
          "never fewer than 2 whole checkpoints",
          functools.partial(killed_at, (SAVE,), DELETING, "5"), 30, 1),
    Fault("6", "power loss",
          "killed at any call of rows 1, 3, 4; then what was not synced is cut, zeroed, undone",
          "as those rows",
          functools.partial(killed_at, SCENES, CALLS, "6"), 250, 2),
    Fault("15b", "disk full at any call", "ENOSPC, EDQUOT at each call that writes, once or from then on",
          "exit 3 with the free bytes; the next start ends with the same bytes",
          functools.partial(failed_at, ("ENOSPC", "EDQUOT"), "15b"), 200, 2),
    Fault("16", "input/output errors, no file handles, no rights",
          "EIO on fsync and write, EMFILE, EACCES at each call, once or from then on",
          "exit 3; a failed fsync is never taken for done; the next start ends with the same bytes",
          functools.partial(failed_at, ("EIO", "EMFILE", "EACCES"), "16"), 300, 2),
)  # fmt: skip
