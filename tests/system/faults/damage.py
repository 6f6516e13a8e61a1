"""Prepared data cut, flipped, emptied and taken away, and manifests with another byte: rows 10, 11, 14."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tane import files
from tane.files import MANIFEST, Manifest
from tane.training import checkpoint
from tane.training.tracker import LOG
from tane.yamlio import dump_yaml

from .fault import Fault, Outcome
from .ground import STEPS, Ground, chance, listing, settings
from .starts import Change, run

FLIPS = 2  # single bits in one trial of row 11, each with a start of its own
CUTS = ("cut", "shorter", "longer", "empty", "deleted")
GIGABYTE = 10**9


# ----------------------------------------------------------------------------------------------- injuries


def injure(path: Path, how: str, draw: random.Random) -> str:
    """Do this to a file; returns it in words. extra: a file beside it that no manifest names."""
    size = path.stat().st_size
    if how == "flip":
        place, bit = draw.randrange(size), draw.randrange(8)
        data = bytearray(path.read_bytes())
        data[place] ^= 1 << bit
        path.write_bytes(data)
        return f"bit {bit} of byte {place} of {path.name} flipped"
    if how == "deleted":
        path.unlink()
    elif how == "extra":
        (path.parent / f"extra{path.suffix}").write_bytes(path.read_bytes())
    else:
        length = {"cut": draw.randrange(size), "shorter": size - 1, "longer": size + 1, "empty": 0}[how]
        os.truncate(path, length)
    return f"{path.name}: {how}"


def stopping(at: int | None = None) -> Change:
    """The run gets a SIGTERM before this step; none: before the first one that it does."""

    def change() -> None:
        from tane.training.loop import Loop

        step = Loop._step

        def stopped(self: Loop) -> bool:
            if at is None or self.state.step == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self)

        Loop._step = stopped  # type: ignore[method-assign]

    return change


def made(ground: Ground, name: str, make: Callable[[Path], object]) -> Path:
    """A folder below the ground's that is made once, also where several processes want it."""
    folder = ground.root / name
    if not folder.exists():
        making = ground.root / f"{name}-{os.getpid()}"
        shutil.rmtree(making, ignore_errors=True)
        make(making)
        try:
            making.rename(folder)
        except OSError:  # another was faster
            shutil.rmtree(making)
    return folder


def worded(ground: Ground) -> Path:
    """Prepared data that also tell where words start."""

    def make(folder: Path) -> None:
        end = ground.prepare(worded_recipe(ground, folder, ground.root / f"{folder.name}-run"), ground.root)
        assert end.code == 0, end.err

    return made(ground, "worded", make)


def worded_recipe(ground: Ground, data: Path, folder: Path) -> Path:
    """A recipe of a masked model that needs these data."""
    values = settings(ground.text, data, folder)
    values["objective"] = {"name": "masked", "block_size": 32, "words": "script"}
    values["model"] = {"preset": "bert-tiny"}
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(dump_yaml(values), encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------ prepared data


def cut_data(ground: Ground, number: int) -> Outcome:
    """Row 10: one file of the prepared data (tokens, index, bits of words, text, tokenizer, manifest) is cut
    at a random byte, is one byte shorter or longer, is empty, or is gone."""
    draw, outcome = chance("10", number), Outcome()
    source = worded(ground)
    names = listing(source)
    name, how = names[number % len(names)], CUTS[number // len(names) % len(CUTS)]
    with ground.place("cut") as place:
        data, folder = ground.copy(source, place / "data"), place / "run"
        told = injure(data / name, how, draw)
        end = ground.train(worded_recipe(ground, data, folder), place)
        outcome.require(end.code == 4, f"{told}: ended with {end.code}, not 4: {end.err[-300:]}")
        missing = how == "deleted" and Path(name).name == MANIFEST
        outcome.require(missing or Path(name).name in end.err, f"{told}: not named: {end.err[-300:]}")
        outcome.require(end.clean, f"{told}: no plain message: {end.err[-300:]}")
        outcome.require(not (folder / "checkpoints").exists(), f"{told}: training began")
        outcome.figures["seconds to the message"] = end.seconds
    return outcome


def flipped_shards(ground: Ground, number: int) -> Outcome:
    """Row 11: one bit of a token file, an index or their manifest is another, FLIPS times."""
    draw, outcome = chance("11", number), Outcome(cases=FLIPS)
    with ground.place("flip") as place:
        data, folder = ground.copy(ground.data, place / "data"), place / "run"
        recipe = ground.recipe(folder, data=data)
        names = listing(data / "shards")
        for flip in range(FLIPS):
            path = data / "shards" / names[(FLIPS * number + flip) % len(names)]
            good = path.read_bytes()
            told = injure(path, "flip", draw)
            end = ground.train(recipe, place)
            outcome.require(end.code == 4, f"{told}: ended with {end.code}, not 4: {end.err[-300:]}")
            outcome.require(path.name in end.err and end.clean, f"{told}: not named: {end.err[-300:]}")
            outcome.require(not (folder / "checkpoints").exists(), f"{told}: training began")
            path.write_bytes(good)
        if number % 10 == 0:
            _flipped_and_fast(ground, draw, place, outcome)
    if number == 0:
        outcome.figures["seconds to hash a GB"] = _hashing(ground)
    return outcome


def _flipped_and_fast(ground: Ground, draw: random.Random, place: Path, outcome: Outcome) -> None:
    """With sizes only, a flip passes, and that hashes were not compared is said and recorded."""
    data, folder = place / "data", place / "fast"
    injure(data / "shards" / "train-00000.bin", "flip", draw)
    recipe = ground.recipe(folder, data=data)
    end = run(["train", recipe, "--verify", "fast"], place, [stopping()])
    outcome.require(end.code == 75, f"--verify fast: ended with {end.code}: {end.err[-300:]}")
    outcome.require("hashes are not" in end.err, "--verify fast: it is not said")
    log = (folder / LOG).read_text(encoding="utf-8") if (folder / LOG).exists() else ""
    outcome.require('"fast"' in log, "--verify fast: the run's log does not say so")
    os.truncate(data / "shards" / "train-00000.bin", 1000)
    end = run(["train", recipe, "--verify", "fast"], place, [stopping()])
    outcome.require(end.code == 4, f"--verify fast: a cut shard ended with {end.code}: {end.err[-300:]}")
    outcome.cases += 2


def _hashing(ground: Ground, size: int = 1 << 27) -> float:
    path = ground.root / f"hashed-{os.getpid()}"
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    begin = time.perf_counter()
    files.sha256(path)
    seconds = time.perf_counter() - begin
    path.unlink()
    return seconds / size * GIGABYTE


# ---------------------------------------------------------------------------------------------- manifests


def every_byte(ground: Ground, number: int) -> Outcome:
    """Row 14: each byte of a manifest in turn is another one; the others are as they were written."""
    draw, outcome = chance("14", number), Outcome()
    stages = [ground.data / name for name in ("shards", "tokenizer", "corpus")]
    source = [checkpoint.folder_of(ground.whole, STEPS), *stages][number % 4]
    good = (source / MANIFEST).read_bytes()
    outcome.cases = len(good)
    with ground.place("manifest") as place:
        path = place / MANIFEST
        path.write_bytes(good)
        Manifest.read(place)
        for at in range(len(good)):
            data = bytearray(good)
            data[at] ^= draw.randrange(1, 256)
            path.write_bytes(data)
            try:
                Manifest.read(place)
            except files.IntegrityError:
                continue
            except Exception as error:
                outcome.require(False, f"{source.name}: byte {at} as {data[at]}: {type(error).__name__}")
            else:
                outcome.require(False, f"{source.name}: byte {at} as {data[at]} was accepted")
    return outcome


FAULTS = (
    Fault("10", "a file of the data is cut", "at a random byte, by one byte, longer by one, empty, deleted",
          "exit 4 before the first step, and the file is named", cut_data, 200, 2),
    Fault("11", "a bit of a shard flips", f"{FLIPS} single bits a trial, anywhere; each with a start",
          "exit 4 before the first step, and the file is named; --verify fast: sizes only, and it is said",
          flipped_shards, 600, 2, 500),
    Fault("14", "every byte of a manifest", "each one changed in turn", "never accepted", every_byte, 16, 1),
)  # fmt: skip
