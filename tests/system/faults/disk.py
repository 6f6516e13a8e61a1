"""Disks that are full, too small or read-only: rows 15, 16b, 17. Mounts are this process's own."""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tane import files
from tane.training import checkpoint
from tane.training.tracker import read_metrics

from .fault import Fault, Outcome
from .ground import STEPS, Ground, chance, data_hashes, differences, leftovers, result_of
from .starts import End, Start, run

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
PRIVATE, READ_ONLY = (1 << 18) | (1 << 14), 1 | 32  # MS_PRIVATE | MS_REC, MS_RDONLY | MS_REMOUNT
Scenario = Callable[[Ground, Path, random.Random], Outcome]  # (ground, a folder on the disk, draw)


def on_a_disk(scenario: Scenario, row: str, megabytes: int, ground: Ground, number: int) -> Outcome:
    """Play a scenario in a process whose `place/disk` is a disk of its own, of so many megabytes."""
    with ground.place("disk") as place:
        told = place / "outcome"
        pid = os.fork()
        if pid == 0:
            try:
                outcome = _mount(place / "disk", megabytes)
                if outcome is None:
                    outcome = scenario(ground, place / "disk", chance(row, number))
            except BaseException as error:
                outcome = Outcome(f"{type(error).__name__}: {error}")
            told.write_text(json.dumps(asdict(outcome)))
            os._exit(0)
        os.waitpid(pid, 0)
        return Outcome(**json.loads(told.read_text()))


def _mount(folder: Path, megabytes: int) -> Outcome | None:
    folder.mkdir()
    system = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if system.unshare(NEW_MOUNTS) and system.unshare(NEW_MOUNTS | NEW_USER):
        return Outcome(skipped="this machine gives a process no mounts of its own", cases=0)
    if user != os.getuid():
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    system.mount(b"none", b"/", None, PRIVATE, None)
    options = f"size={megabytes}m,mode=777".encode()
    if system.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, options):
        return Outcome(skipped="this machine lets a process mount nothing", cases=0)
    return None


def _make_read_only(folder: Path) -> None:
    if ctypes.CDLL(None, use_errno=True).mount(b"none", str(folder).encode(), None, READ_ONLY, None):
        raise OSError(ctypes.get_errno(), "cannot remount")


def _fill(disk: Path, leave: int) -> Path:
    """A file that leaves only so many bytes of a disk."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
    return ballast


def _told(outcome: Outcome, end: End, where: str, needed: bool = True) -> None:
    outcome.require(end.code == 3, f"{where}: ended with {end.code}, not 3: {end.err[-300:]}")
    outcome.require(end.clean, f"{where}: no clean error: {end.err[-300:]}")
    outcome.require("are free" in end.err, f"{where}: free bytes are not told: {end.err[-300:]}")
    outcome.require(not needed or "need" in end.err, f"{where}: needed bytes are not told: {end.err[-300:]}")


def full_in_tokenise(ground: Ground, disk: Path, draw: random.Random) -> Outcome:
    """Row 15, preparing."""
    outcome, data = Outcome(), disk / "data"
    recipe = ground.recipe(disk.parent / "run", data=data)
    ballast = _fill(disk, draw.randrange(0, 200_000))
    end = ground.prepare(recipe, disk.parent)
    _told(outcome, end, "tokenise", needed="folder" not in end.err and "lock" not in end.err)
    ballast.unlink()
    end = ground.prepare(recipe, disk.parent)
    outcome.require(end.code == 0, f"with space: ended with {end.code}: {end.err[-300:]}")
    outcome.require(data_hashes(data) == data_hashes(ground.data), "the data differ")
    outcome.require(not leftovers(data), f"left behind: {leftovers(data)}")
    return outcome


def full_in_a_save(ground: Ground, disk: Path, draw: random.Random) -> Outcome:
    """Row 15, saving."""
    outcome, folder = Outcome(), disk / "run"
    recipe = ground.recipe(folder)
    start = Start(["train", recipe, "--quiet"], disk.parent)
    start.until(lambda: len(checkpoint.steps_in(folder)) >= 2)
    ballast = _fill(disk, draw.randrange(0, 400_000))
    _told(outcome, start.end(), "save")
    steps = checkpoint.steps_in(folder)
    outcome.figures["least checkpoints left"] = len(steps)
    for step in steps:
        where = checkpoint.folder_of(folder, step)
        outcome.require(not files.Manifest.read(where).bad_files(where), f"checkpoint {step} is damaged")
    end = ground.train(recipe, disk.parent)  # refused at once
    _told(outcome, end, "the start on a full disk")
    ballast.unlink()
    end = ground.train(recipe, disk.parent)
    outcome.require(end.code == 0, f"with space: ended with {end.code}: {end.err[-300:]}")
    _same(outcome, ground, folder)
    return outcome


def _same(outcome: Outcome, ground: Ground, folder: Path) -> None:
    found = {k: v for k, v in result_of(folder).items() if k != "blocks of each step"}
    broken = differences(found, {k: ground.result[k] for k in found})
    outcome.require(not broken, broken)


def full_under_the_log(ground: Ground, disk: Path, draw: random.Random) -> Outcome:
    """Row 15, the log and TensorBoard's files: a healthy run goes on."""
    outcome, folder = Outcome(), disk / "run"
    recipe = ground.recipe(folder, save_every="1000 steps", eval_every="1000 steps", tensorboard=True)
    steps = lambda: max([e["step"] for e in read_metrics(folder, "step")], default=0)  # noqa: E731
    start = Start(["train", recipe], disk.parent, [ground.waiting(31, 55, disk / "ballast")])
    log = folder / "metrics.jsonl"
    start.until(lambda: log.exists() and 30 in {e["step"] for e in read_metrics(folder, "save")})
    with open(log, "ab") as file:  # to the end of a page
        file.write(b"\n" * (-file.tell() % 4096))
    ballast = _fill(disk, draw.randrange(0, 200))
    start.until(lambda: "log cannot be written" in start.err.read_text())
    ballast.unlink()
    end = start.end()
    outcome.require(end.code == 0, f"ended with {end.code}: {end.err[-300:]}")
    if end.code:
        return outcome
    outcome.require(end.err.count("log cannot be written") == 1, "the warning is not told once")
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    torn = sum(not line.endswith("}") for line in lines if line)
    outcome.require(torn <= 1, f"{torn} lines of the log are torn")
    outcome.require(steps() == STEPS, "the log does not go on")
    weights = [files.sha256(checkpoint.folder_of(run, STEPS) / "model/model.safetensors")
               for run in (folder, ground.whole)]  # fmt: skip
    outcome.require(weights[0] == weights[1], "the weights differ")
    return outcome


def full_in_an_export(ground: Ground, disk: Path, draw: random.Random) -> Outcome:
    """Row 15, exporting."""
    outcome, target = Outcome(), disk / "out"
    ballast = _fill(disk, draw.randrange(8_192, 200_000))
    end = run(["export", ground.whole, target, "--quiet"], disk.parent)
    _told(outcome, end, "export")
    outcome.require(not target.exists(), "half an export")
    outcome.require(os.listdir(disk) == ["ballast"], f"left behind: {os.listdir(disk)}")
    ballast.unlink()
    end = run(["export", ground.whole, target, "--quiet"], disk.parent)
    outcome.require(end.code == 0, f"with space: ended with {end.code}: {end.err[-300:]}")
    return outcome


FULL = (full_in_tokenise, full_in_a_save, full_under_the_log, full_in_an_export)


def full(ground: Ground, number: int) -> Outcome:
    """Row 15: a disk of 8 MB."""
    return on_a_disk(FULL[number % len(FULL)], "15", 8, ground, number)


def read_only(ground: Ground, number: int) -> Outcome:
    """Row 17: a disk that may only be read, as our output, our cache, or our input."""
    return on_a_disk(_read_only, "17", 8, ground, number)


def _read_only(ground: Ground, disk: Path, draw: random.Random) -> Outcome:
    outcome, place = Outcome(), disk.parent
    (disk / "text").mkdir()
    for path in ground.text.iterdir():
        (disk / "text" / path.name).write_bytes(path.read_bytes())
    copied = ground.copy(ground.data, disk / "data")
    exported = ground.copy(ground.exported, disk / "model")
    _make_read_only(disk)
    outputs: tuple[list[object], ...] = (
        ["prepare", ground.recipe(place / "a", data=disk / "new" / "data")],
        ["train", ground.recipe(disk / "new" / "run", name=f"{place.name}.yaml")],
        ["export", ground.whole, disk / "out"],
        ["tokenizer", "train", ground.recipe(place / "b"), "--out", disk / "tokenizer"],
    )
    slowest = 0.0
    for arguments in outputs:
        begin = time.monotonic()
        end = run([*arguments, "--quiet"], place)
        slowest = max(slowest, time.monotonic() - begin)
        outcome.require(end.code == 3, f"{arguments[0]}: ended with {end.code}, not 3: {end.err[-300:]}")
        outcome.require("read-only" in end.err and end.clean, f"{arguments[0]}: {end.err[-300:]}")
    inputs: tuple[list[object], ...] = (
        ["train", ground.recipe(place / "c", data=copied), "--train.duration", "2 steps"],
        ["prepare", ground.recipe(place / "d", data=place / "data", text=disk / "text")],
        ["generate", exported, "--prompt", "秋の", "--max-new-tokens", "3"],
        ["export", exported, place / "out"],
        ["verify", copied],
    )
    for arguments in inputs:
        end = run([*arguments, "--quiet"], place, HF_HOME=str(disk / "cache"))
        outcome.require(end.code == 0, f"{arguments[0]} of a read-only input: {end.code}: {end.err[-300:]}")
    outcome.figures = {"seconds until refused": slowest}
    outcome.cases = len(outputs) + len(inputs)
    assert draw
    return outcome


def small_limits(ground: Ground, number: int) -> Outcome:
    """Row 16b: the process may write files of so many bytes only, or open so few."""
    draw, outcome = chance("16b", number), Outcome()
    verb, handles = ("train", "export", "prepare")[number % 3], number % 2 == 0

    def limit() -> None:
        which, value = (resource.RLIMIT_NOFILE, 8) if handles else (resource.RLIMIT_FSIZE, 20_000)
        resource.setrlimit(which, (draw.randint(value, 2 * value), resource.getrlimit(which)[1]))

    with ground.place("limits") as place:
        recipe = ground.recipe(place / "run", data=place / "data" if verb == "prepare" else None)
        arguments = ["export", ground.whole, place / "out"] if verb == "export" else [verb, recipe]
        end = run([*arguments, "--quiet"], place, [limit])
        told = f"{verb}, {'handles' if handles else 'size of files'}"
        outcome.require(end.code in ((0, 3) if handles else (3,)), f"{told}: {end.code}: {end.err[-300:]}")
        outcome.require(end.clean, f"{told}: no clean error: {end.err[-300:]}")
        again = run([*arguments, "--quiet"], place)
        outcome.require(again.code == 0 or "exists already" in again.err, f"{told}: then {again.code}")
        if verb == "train" and again.code == 0:
            _same(outcome, ground, place / "run")
    return outcome


FAULTS = (
    Fault("15", "disk full", "a disk of 8 MB filled in tokenise, save, log, export",
          "exit 3 with needed and free bytes; checkpoints valid; the same bytes when there is space",
          full, 60, 2),
    Fault("16b", "files too large, too few handles", "RLIMIT_FSIZE, RLIMIT_NOFILE",
          "exit 3, one message; goes on without the limit", small_limits, 60, 2),
    Fault("17", "read-only output, cache and input", "a disk mounted read-only",
          "an output: exit 3 before any model is loaded; an input or a cache just works", read_only, 20, 1),
)  # fmt: skip
