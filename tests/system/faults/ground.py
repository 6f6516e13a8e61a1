"""What every trial starts from, made once: a text, its prepared data, a run that nothing stopped, its export.

A trial copies what it injures; the originals are never touched. Equality of two runs is that of the bytes of
weights and optimizer state, of the blocks of every step, and of the losses in the log.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tane import files
from tane.sample import write_corpus
from tane.training import checkpoint
from tane.training.tracker import read_metrics
from tane.yamlio import dump_yaml

from .starts import Change, End, run

STEPS, EVERY = 60, 5  # of the run, and between two saves
TEXTS = 6  # files of the corpus: as many pieces, which a killed reading keeps
SMALL = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2, "resid_pdrop": 0.1, "embd_pdrop": 0.1}
IDS = "ids.jsonl"  # beside a run's log: [step, the blocks that it trained on], for each step that was done


def settings(text: Path, data: Path, folder: Path, **train: Any) -> dict[str, Any]:
    """The recipe of all trials: 60 steps of a causal model that a second trains."""
    return {
        "run_dir": str(folder),
        "data_dir": str(data),
        "corpus": {"inputs": [str(text)], "valid_fraction": 0.05},
        "tokenizer": {"vocab_size": 1000},
        "model": {"config": SMALL},
        "objective": {"name": "causal", "block_size": 32},
        "train": {
            "duration": f"{STEPS} steps", "batch_tokens": 256, "eval_every": "20 steps", "eval_tokens": 1024,
            "save_every": f"{EVERY} steps", "threads": 1, "precision": "fp32", "tensorboard": False, **train,
        },
    }  # fmt: skip


class Ground:
    """Folders below `root`; all are made on first use, by commands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def text(self) -> Path:
        """A folder with the files of the corpus."""
        folder = self.root / "text"
        if not folder.exists():
            making = self.root / f"text-{os.getpid()}"
            making.mkdir(parents=True)
            write_corpus(making / "all.txt", count=300)
            stories = (making / "all.txt").read_text(encoding="utf-8").split("\n\n")
            (making / "all.txt").unlink()
            for number in range(TEXTS):
                part = "\n\n".join(stories[number::TEXTS])
                (making / f"部分{number}.txt").write_text(part + "\n", encoding="utf-8")
            making.rename(folder)
        return folder

    @cached_property
    def data(self) -> Path:
        """Corpus, tokenizer and shards."""
        return self._made("data", lambda folder: self.prepare(self.recipe(folder, data=folder), self.root))

    @cached_property
    def whole(self) -> Path:
        """The run that nothing stopped."""
        recipe = lambda folder: self.recipe(folder, name=f"{folder.name}.yaml")  # noqa: E731
        return self._made("whole", lambda folder: self.train(recipe(folder), self.root, [self.told(folder)]))

    @cached_property
    def exported(self) -> Path:
        """The export of the whole run."""
        return self._made("exported", lambda folder: run(["export", self.whole, folder], self.root))

    @cached_property
    def result(self) -> dict[str, str]:
        """What the whole run came to."""
        return result_of(self.whole)

    def _made(self, name: str, make: Callable[[Path], End]) -> Path:
        folder = self.root / name
        if not (self.root / f"{name}.done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            end = make(folder)
            assert end.code == 0, end.err
            (self.root / f"{name}.done").touch()
        return folder

    def make(self) -> None:
        """Make everything now, so that trials side by side find it there."""
        assert self.exported and self.result and self.text

    def recipe(
        self,
        folder: Path,
        *,
        data: Path | None = None,
        name: str = "",
        text: Path | None = None,
        **train: Any,
    ) -> Path:
        """A recipe file for a run in `folder`; data: another data folder than the common one."""
        values = settings(text or self.text, data or self.data, folder, **train)
        path = (self.root if name else folder.parent) / (name or f"{folder.name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump_yaml(values), encoding="utf-8")
        return path

    def prepare(self, recipe: Path, place: Path, changes: tuple[Change, ...] = (), **more: str) -> End:
        """`tane prepare` to its end."""
        return run(["prepare", recipe, "--quiet"], place, changes, **more)

    def train(self, recipe: Path, place: Path, changes: list[Change] | None = None, *flags: str) -> End:
        """`tane train` to its end."""
        return run(["train", recipe, "--quiet", *flags], place, changes or ())

    @staticmethod
    def told(folder: Path) -> Change:
        """The run writes down the blocks that each step trained on."""

        def change() -> None:
            from tane.training.loop import Loop

            step = Loop._step

            def told(self: Loop) -> bool:
                ids, number = self.work.ids(self.state.step), self.state.step
                done = step(self)
                if done:
                    with open(folder / IDS, "a", encoding="utf-8") as file:
                        file.write(json.dumps([number, ids]) + "\n")
                return done

            Loop._step = told  # type: ignore[method-assign]

        return change

    @staticmethod
    def waiting(come: int, gone: int, path: Path) -> Change:
        """The run waits before one step until a file is there, and before a later one until it is gone."""

        def change() -> None:
            from tane.training.loop import Loop

            original = Loop._step

            def waits(self: Loop) -> bool:
                wanted = {come: True, gone: False}.get(self.state.step)
                while wanted is not None and path.exists() != wanted:
                    time.sleep(0.01)
                return original(self)

            Loop._step = waits  # type: ignore[method-assign]

        return change

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A fresh folder for one trial, gone afterwards."""
        folder = self.root / "trials" / f"{name}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def copy(self, source: Path, target: Path) -> Path:
        """A copy that may be injured; links stay links."""
        shutil.copytree(source, target, symlinks=True)
        return target


def result_of(folder: Path) -> dict[str, str]:
    """What two equal runs have in common: name -> what to compare."""
    last = checkpoint.steps_in(folder)[-1]
    place = checkpoint.folder_of(folder, last)
    weights, ids = hashlib.sha256(), {}
    for name in ("model/model.safetensors", "state/optimizer.safetensors", "state/state.json"):
        content = (place / name).read_bytes()
        if name.endswith(".json"):
            state = json.loads(content)
            state.pop("seconds")
            content = json.dumps(state).encode()
        weights.update(content)
    if (folder / IDS).exists():
        for line in (folder / IDS).read_text(encoding="utf-8").splitlines():
            step, blocks = json.loads(line)
            ids[step] = blocks
    losses = {e["step"]: float(e["loss"]).hex() for e in read_metrics(folder, "step")}
    valid = {e["step"]: float(e["loss"]).hex() for e in read_metrics(folder, "eval")}
    return {
        "step": str(last),
        "weights and optimizer": weights.hexdigest(),
        "blocks of each step": json.dumps(sorted(ids.items())),
        "losses in the log": json.dumps([losses, valid]),
    }


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """What differs, in words, or an empty text."""
    return ", ".join(f"{name} differ" for name in expected if found.get(name) != expected[name])


def data_hashes(folder: Path) -> dict[str, str]:
    """Hash of every file of a data folder."""
    return {name: files.sha256(folder / name) for name in listing(folder)}


def listing(folder: Path) -> list[str]:
    """Relative paths of all files but locks."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return sorted(str(p.relative_to(folder)) for p in found)


def leftovers(folder: Path) -> list[str]:
    """Names of what a crash left lying about."""
    return sorted(p.name for p in folder.rglob(".*") if p.name.startswith(files.LEFTOVERS))


def chance(row: str, number: int) -> random.Random:
    """The trial's own randomness, the same whenever it is run."""
    return random.Random(f"{row}/{number}")
