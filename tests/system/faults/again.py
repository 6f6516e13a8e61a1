"""Started once more, beside another or after something changed: rows 18, 19, 20."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .damage import made, worded, worded_recipe
from .fault import Fault, Outcome
from .ground import Ground, chance, data_hashes, differences, result_of
from .starts import Change, Start, run

SOON = 1.0  # seconds within which a folder is free after its owner was killed


# --------------------------------------------------------------------------------------- two at one folder


def two_at_once(ground: Ground, number: int) -> Outcome:
    """Row 18: two starts within 0 to 200 ms: one run's folder, one data folder, or two runs on one data
    folder that is not made yet. Half the time the owner is killed, and a third start comes at once."""
    draw, outcome = chance("18", number), Outcome()
    what = ("run", "data", "data of two runs")[number % 3]
    with ground.place("two") as place:
        folder, data = place / "run", ground.data if what == "run" else place / "data"
        recipe = ground.recipe(folder, data=data)
        other = ground.recipe(place / "second", data=data) if what == "data of two runs" else recipe
        verb = "prepare" if what == "data" else "train"
        for locked in (folder, place / "second", place / "data"):
            locked.mkdir()
            (locked / ".lock").write_text("pid 1 on another since long ago\n")  # of one who is gone
        starts = [Start([verb, recipe], place, [_slow])]
        time.sleep(draw.choice((0.0, draw.uniform(0, 0.2))))
        starts.append(Start([verb, other], place, [_slow]))
        while all(start.poll() is None for start in starts):
            time.sleep(0.002)
        loser = starts[starts[0].poll() is None]
        owner = starts[loser is starts[0]]
        alone = owner.poll() is None
        end = loser.end()
        outcome.require(alone, f"{what}: both have ended, the first with {end.code}: {end.err[-300:]}")
        outcome.require(end.code == 5, f"{what}: the second ended with {end.code}: {end.err[-300:]}")
        outcome.require(
            f"pid {owner.pid} " in end.err, f"{what}: pid {owner.pid} not named: {end.err[-300:]}"
        )
        outcome.figures = {"seconds to the refusal": end.seconds, "n double owners": float(not alone)}
        if draw.random() < 0.5:
            owner.send()
            begin = time.monotonic()
            owner.end()
            third = Start([verb, recipe if owner is starts[0] else other], place)
            third.until(lambda: time.monotonic() - begin > SOON)
            outcome.require(third.poll() in (None, 0), f"{what}: not free after {SOON} s: {third.poll()}")
            last = third.end()
            outcome.figures["n owners killed"] = 1
        else:
            last = owner.end()
        outcome.require(last.code == 0, f"{what}: the last one ended with {last.code}: {last.err[-300:]}")
        if last.code == 0 and what == "run":
            # who was killed may have trained on blocks that it did not write down: none are compared
            found = result_of(folder)
            outcome.require(
                all(found[k] == v for k, v in ground.result.items() if k != "blocks of each step"),
                f"{what}: another result",
            )
        elif last.code == 0:
            outcome.require(data_hashes(data) == data_hashes(ground.data), f"{what}: other data")
    return outcome


def _slow() -> None:
    """The text and each step take longer, so that the first is at work when the second comes; and so does
    the time from a lock to the owner's name in it."""
    import fcntl

    from tane.text import corpus
    from tane.training.loop import Loop

    build, step, flock = corpus.build_corpus, Loop._step, fcntl.flock

    def slow_lock(*given: Any) -> None:
        flock(*given)
        time.sleep(0.03)

    def slow_step(self: Loop) -> bool:
        time.sleep(0.01)
        return step(self)

    def slow_build(*given: Any, **more: Any) -> Any:
        time.sleep(0.4)
        return build(*given, **more)

    corpus.build_corpus, fcntl.flock = slow_build, slow_lock
    Loop._step = slow_step  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------ another input


def _edit(folder: Path, draw: random.Random) -> None:
    """One character becomes another of as many bytes; the time of the file is put back."""
    path = draw.choice(sorted(folder.iterdir()))
    before, text = path.stat(), path.read_text(encoding="utf-8")
    at = draw.choice([m.start() for m in re.finditer("[あ-ん]", text)])
    path.write_text(text[:at] + ("ぬ" if text[at] != "ぬ" else "ね") + text[at + 1 :], encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def _append(folder: Path, draw: random.Random) -> None:
    with open(draw.choice(sorted(folder.iterdir())), "ab") as file:
        file.write(draw.choice((b"\n", b" ", b"x")))


def _add(folder: Path, draw: random.Random) -> None:
    (folder / f"新{draw.randrange(100)}.txt").write_text("これは新しい文です。\n", encoding="utf-8")


def _remove(folder: Path, draw: random.Random) -> None:
    draw.choice(sorted(folder.iterdir())).unlink()


def _rename(folder: Path, draw: random.Random) -> None:
    path = draw.choice(sorted(folder.iterdir()))
    path.rename(folder / f"{draw.choice('0あん龍')}-{path.name}")


def _swap(folder: Path, draw: random.Random) -> None:
    one, two = draw.sample(sorted(folder.iterdir()), 2)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes()), two.write_bytes(content)


def _touch(folder: Path, draw: random.Random) -> None:
    for path in folder.iterdir():
        os.utime(path, (draw.randrange(2**31), draw.randrange(2**31)))


STALE: dict[str, Callable[[Path, random.Random], None]] = {
    "edited, with the same size and time": _edit, "appended to": _append, "a file added": _add,
    "a file removed": _remove,
}  # fmt: skip
SAME: dict[str, Callable[[Path, random.Random], None]] = {
    "renamed, which also changes the order": _rename, "contents changed places": _swap, "other times": _touch,
}  # fmt: skip


def other_input(ground: Ground, number: int) -> Outcome:
    """Row 19: the input is edited, or files come, go, are renamed or change places, after tokenising."""
    draw, outcome, kinds = chance("19", number), Outcome(), {**STALE, **SAME}
    told = list(kinds)[number % len(kinds)]
    with ground.place("input") as place:
        text = ground.copy(ground.text, place / "text")
        data, folder = ground.copy(ground.data, place / "data"), place / "run"
        recipe, before = ground.recipe(folder, data=data, text=text), data_hashes(data)
        kinds[told](text, draw)
        end = run(["train", recipe], place, [ground.told(folder)])
        again = run(["prepare", recipe], place)
        due = 4 if told in STALE else 0
        outcome.require(end.code == due, f"{told}: ended with {end.code}, not {due}: {end.err[-300:]}")
        outcome.require(again.code == due, f"{told}: the second start ended with {again.code}, not {due}")
        outcome.require(data_hashes(data) == before, f"{told}: the data were changed")
        if due:
            stale = " is stale: " in end.err and "--rebuild" in end.err and end.clean
            outcome.require(stale, f"{told}: not said what to type: {end.err[-300:]}")
            outcome.require(not (folder / "checkpoints").exists(), f"{told}: training began")
        elif end.code == 0:
            found = differences(result_of(folder), ground.result)
            outcome.require(not found, f"{told}: {found}")
    return outcome


# --------------------------------------------------------------------------------------- another tokenizer


def taken(ground: Ground) -> Path:
    """Prepared data with a tokenizer that was given: the exported one, a copy of which lies beside."""

    def make(folder: Path) -> None:
        shutil.copytree(ground.exported, folder / "source")
        end = run(["prepare", *_taken(ground, folder)], folder)
        assert end.code == 0, end.err

    return made(ground, "taken", make)


def _taken(ground: Ground, folder: Path) -> list[str]:
    recipe = ground.recipe(folder / "run", data=folder / "data")
    return [str(recipe), f"--tokenizer.path={folder / 'source'}"]


def _version(module: str, name: str, value: object) -> Change:
    def change() -> None:
        import importlib

        place: Any = importlib.import_module(module)
        if isinstance(value, dict):
            getattr(place, name).update(value)
        else:
            setattr(place, name, value)

    return change


SETTINGS = ("--tokenizer.vocab-size=999", "--tokenizer.kind=bpe", "--tokenizer.coverage=0.99",
            "--tokenizer.kind=character", "--objective.name=masked")  # fmt: skip
VERSIONS = {
    "the reader": _version("tane.text.inputs", "READER_VERSION", "3"),
    "nfkc": _version("tane.text.normalize", "VERSIONS", {"nfkc": "2"}),
    "tokenising": _version("tane.tokens.tokenise", "VERSION", 2),
    "words": _version("tane.tokens.words", "VERSION", 2),
    "scripts": _version("tane.text.words", "SCRIPT_VERSION", 2),
}
INJURIES = ("tokenizer.json of the data edited", "the tokenizer that was taken edited", *SETTINGS, *VERSIONS)


def other_tokenizer(ground: Ground, number: int) -> Outcome:
    """Row 20: the tokenizer's file is edited, its settings are others, or a version of tane's own is."""
    draw, outcome, told = chance("20", number), Outcome(), INJURIES[number % len(INJURIES)]
    with ground.place("tokenizer") as place:
        folder, data, more, change = place / "run", place / "data", [], []
        if told.startswith("the tokenizer that"):
            shutil.copytree(taken(ground), place, dirs_exist_ok=True)
            arguments = _taken(ground, place)
            _edit_tokenizer(place / "source" / "tokenizer.json", draw)
        elif told in ("words", "scripts"):
            arguments = [str(worded_recipe(ground, ground.copy(worded(ground), data), folder))]
            change = [VERSIONS[told]]
        else:
            arguments = [str(ground.recipe(folder, data=ground.copy(ground.data, data)))]
            if told in VERSIONS:
                change = [VERSIONS[told]]
            elif told in SETTINGS:
                more = [told]
            else:
                _edit_tokenizer(data / "tokenizer" / "tokenizer.json", draw)
        before = data_hashes(data)
        end = run([draw.choice(("train", "prepare")), *arguments, *more], place, change)
        outcome.require(end.code == 4, f"{told}: ended with {end.code}, not 4: {end.err[-300:]}")
        outcome.require(
            end.clean and "--rebuild" in end.err, f"{told}: not said what to type: {end.err[-300:]}"
        )
        outcome.require(data_hashes(data) == before, f"{told}: the data were changed")
        outcome.require(not (folder / "checkpoints").exists(), f"{told}: training began")
    return outcome


def _edit_tokenizer(path: Path, draw: random.Random) -> None:
    """Two pieces change places: still a tokenizer, with other ids."""
    text = path.read_text(encoding="utf-8")
    pieces = sorted(set(re.findall('"(▁?[ぁ-ん一-龥]{1,4})"', text)))
    one, two = draw.sample(pieces, 2)
    swapped = {f'"{one}"': f'"{two}"', f'"{two}"': f'"{one}"'}
    pattern = "|".join(map(re.escape, swapped))
    path.write_text(re.sub(pattern, lambda found: swapped[found[0]], text), encoding="utf-8")


FAULTS = (
    Fault("18", "two starts at one folder", "within 0 to 200 ms; half the time the owner is killed",
          "one works, the other exits 5 and names the owner's pid; a killed owner leaves the folder free",
          two_at_once, 50, 2, 50),
    Fault("19", "the input changes after tokenising", "edited with the same size and time; files come and go",
          "exit 4 with what to type; names, order and times alone change nothing", other_input, 60, 2),
    Fault("20", "the tokenizer or a version changes", "files, settings, versions of reader and tokeniser",
          "exit 4 with what to type", other_tokenizer, 24, 1),
)  # fmt: skip
