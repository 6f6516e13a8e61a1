"""`tane verify PATH`: is all of it whole, and does it fit together? Data folders, runs, checkpoints, exports.

Whole: each published folder has the files that its manifest names, with those hashes, and no others. Fits:
each stage of the data was made from the one before, a run belongs to its data and its recipe, links lead
somewhere, logs can be read, weights are finite (contents.py). Nothing is written, so a run that goes on
beside it, or a read-only disk, is no hindrance. Leftovers of a crash and a lock that is held are told, and
not bad.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tane import files, locks, progress
from tane.errors import InputError, IntegrityError
from tane.types import Result
from tane.use import contents

STAGES = ("corpus", "tokenizer", "shards", "words")  # folders of prepared data
RECIPE, REQUESTED, LOG, SCORES = "recipe.yaml", "requested.yaml", "metrics.jsonl", "scores.json"  # of a run
CHECKPOINTS, TRIALS, MODEL = "checkpoints", "trials", "model"
UNFINISHED = (".parts-", ".pieces")  # what a cut-off `prepare` keeps
LOCKS = Path("/proc/locks")


def verify(path: str | Path, *, fast: bool = False) -> Result:
    """Check everything at or below `path`; `metrics` are {ok, checked, bad, reasons: {path: why}, notes}.

    fast: sizes instead of hashes, and no look into the files. Raises InputError when nothing there can be
    verified; what is bad is named, and is no exception here.
    """
    root = files.require_file(path, "the path").resolve()
    if not (root / files.MANIFEST).exists() and (root.parent / files.MANIFEST).exists():
        root = root.parent  # RUN/model: the checkpoint that it lies in
    look = _Look(full=not fast)
    folders, runs = look.walk(root) if root.is_dir() else (set(), set())
    if not folders and not runs and not look.bad:
        raise InputError(
            f"{root} holds nothing that can be verified: expected a data folder, a run or an export"
        )
    look.folders(folders)
    for run in sorted(runs):
        with look.noting(run):
            look.run(run)
    for note in look.notes:
        progress.say(note)
    for name, why in look.bad.items():
        progress.say(f"bad: {name}: {why}")
    progress.say(f"{look.checked} files in {len(look.seen)} folders checked, {len(look.bad)} bad")
    metrics = {"ok": not look.bad, "checked": look.checked, "bad": list(look.bad)}
    return Result(str(root), {**metrics, "reasons": look.bad, "notes": look.notes})


class _Look:
    """What has been looked at, and found; nothing here raises for what it finds."""

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.checked = 0
        self.bad: dict[str, str] = {}  # path -> why
        self.notes: list[str] = []
        self.seen: dict[Path, files.Manifest | None] = {}  # published folders; None: the manifest is bad

    def wrong(self, path: Path, why: str) -> None:
        self.bad.setdefault(str(path), why)

    @contextlib.contextmanager
    def noting(self, path: Path) -> Iterator[None]:
        """Make of what goes wrong with a file a finding."""
        try:
            yield
        except OSError as error:
            self.wrong(Path(error.filename or path), f"it cannot be read: {error.strerror or error}".lower())
        except IntegrityError as error:
            self.wrong(path, error.message.removeprefix(f"{path} "))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.wrong(path, f"it says what tane does not write ({type(error).__name__}: {error})")

    def folders(self, folders: set[Path]) -> None:
        """Published folders, and whether those of one data folder fit one another."""
        for folder in sorted(folders):
            self.folder(folder)
        for base in sorted({folder.parent for folder in folders if folder.name in STAGES}):
            with self.noting(base):
                self.chain(base)

    def walk(self, root: Path) -> tuple[set[Path], set[Path]]:
        """(published folders or what should be some, runs) at and below `root`; leftovers and locks noted."""
        folders, runs = set(), set()
        if root.name.startswith("step-") and root.parent.name == CHECKPOINTS:
            folders.add(root)  # also one that lost its manifest

        def unreadable(error: OSError) -> None:
            with self.noting(root):
                raise error

        for place, below, names in os.walk(root, onerror=unreadable):
            here = Path(place)
            self._leftovers(here, [*below, *names])
            below[:] = sorted(name for name in below if not name.startswith("."))
            if files.MANIFEST in names:
                folders.add(here)
            if here.name == CHECKPOINTS:
                folders |= {here / name for name in below if name.startswith("step-")}
            stages = {here / name for name in STAGES if name in below}
            if locks.LOCK in names or any((stage / files.MANIFEST).exists() for stage in stages):
                folders |= (
                    stages  # a stage that lost its manifest; elsewhere a folder of such a name is not ours
                )
            if {CHECKPOINTS, TRIALS} & {*below} or REQUESTED in names or {LOG, locks.LOCK} <= {*names}:
                runs.add(here)
            if locks.LOCK in names and (owner := owner_of(here / locks.LOCK)):
                self.notes.append(f"{here} is in use by {owner}: what it writes may change while it is read")
        return folders, {run for run in runs if not any(run.is_relative_to(one) for one in folders)}

    def _leftovers(self, here: Path, names: Iterable[str]) -> None:
        told = (*files.LEFTOVERS, files.DAMAGED, *UNFINISHED)
        for name in sorted(name for name in names if name.startswith(told)):
            set_aside = name.removeprefix(files.REPLACED).rsplit("-", 2)[0]
            if name.startswith(UNFINISHED):
                what = "work that was cut off is kept for when it goes on"
            elif name.startswith(files.DAMAGED):
                what = "set aside because it is damaged; delete it when you do not want it"
            elif name.startswith(files.REPLACED) and not (here / set_aside).exists():
                what = f"a crash left it; the next start makes it {set_aside} again"
            else:
                what = "a crash left it; the next start removes it"
            self.notes.append(f"{here / name}: {what}")

    # --------------------------------------------------------------------------------------- one folder

    def folder(self, folder: Path) -> None:
        """A published folder: its manifest, its files, and what stands in them."""
        before = dict(self.bad)
        self.seen[folder] = manifest = self._manifest(folder)
        if manifest is not None:
            self.checked += len(manifest.files) + 1
            self._files(folder, manifest)
            if self.full and self.bad == before:
                with self.noting(folder):
                    for name, why in contents.wrong(folder, manifest):
                        self.wrong(folder / name, why)
        if self.bad != before and not folder.exists():  # a run that goes on has deleted it
            self.bad = before
            self.seen[folder] = None
            self.notes.append(f"{folder} was deleted while it was being read")

    def _manifest(self, folder: Path) -> files.Manifest | None:
        path = folder / files.MANIFEST
        with self.noting(path):
            if self._is_file(path):
                return files.Manifest.read(folder)
        return None

    def _is_file(self, path: Path) -> bool:
        """Whether there is a plain file; a pipe would be waited for."""
        if not path.is_file():
            self.wrong(path, "it is no file" if os.path.lexists(path) else "it is missing")
        return path.is_file()

    def _files(self, folder: Path, manifest: files.Manifest) -> None:
        for name, (size, expected) in sorted(manifest.files.items()):
            path = folder / name
            with self.noting(path):
                if not self._is_file(path):
                    continue
                if not path.resolve().is_relative_to(folder.resolve()):
                    self.wrong(path, "it leads out of its folder")
                elif (now := path.stat().st_size) != size:
                    self.wrong(path, f"it has {now:,} bytes, and {size:,} were written")
                elif self.full and files.sha256(path) != expected:
                    self.wrong(path, "its content is not what was written")
        with self.noting(folder):
            for name in sorted({*files.listing(folder)} - {*manifest.files}):
                self.wrong(folder / name, "tane did not write it: the manifest lacks it")

    # -------------------------------------------------------------------------------- stages of the data

    def chain(self, base: Path) -> None:
        """Each stage of a data folder was made from those before it."""
        have = {name: self.seen.get(base / name) for name in STAGES}
        for name, before in zip(STAGES[1:], STAGES, strict=False):
            alone = name == "tokenizer" and not have["shards"]  # as beside a task
            if have[name] is not None and base / before not in self.seen and not alone:
                self.notes.append(f"{base / before} is not there, so {name} cannot be compared with it")
        for name, why in contents.stale(have["corpus"], have["tokenizer"], have["shards"], have["words"]):
            self.wrong(base / name, f"it is stale: {why}")
        shards, words = have["shards"], have["words"]
        if shards and words and self.full:
            for name, why in contents.bits_fit(base / "words", words, base / "shards", shards):
                self.wrong(base / "words" / name, why)

    # ---------------------------------------------------------------------------------------------- a run

    def run(self, run: Path) -> None:
        """What a run has beside its published folders."""
        steps = {p: m for p, m in self.seen.items() if p.parent == run / CHECKPOINTS and m is not None}
        recipe = self._recipes(run, bool(steps))
        self._link(run, steps)
        with self.noting(run / LOG):
            self._log(run / LOG, bool(steps))
        if os.path.lexists(scores := run / SCORES) and self._is_file(scores):
            self.checked += 1
            with self.noting(scores):
                if contents.mapping(scores) is None:
                    self.wrong(scores, "it holds no JSON mapping")
        if recipe is None:
            return
        if self.full:
            self._settings(run, steps)
        if not recipe.get("task"):
            self._data(run, recipe, steps)

    def _recipes(self, run: Path, needed: bool) -> dict[str, Any] | None:
        """The run's resolved recipe, where it can be read."""
        from tane.yamlio import read_yaml

        found: dict[str, Any] | None = None
        for name in (REQUESTED, RECIPE):
            path = run / name
            if not os.path.lexists(path) and not needed:
                continue
            if not self._is_file(path):
                found = None
                continue
            self.checked += 1
            try:
                found = read_yaml(path)
            except InputError as error:
                self.wrong(path, error.message.removeprefix(f"{path}: "))
                found = None
        return found if (run / RECIPE).exists() else None

    def _settings(self, run: Path, steps: dict[Path, files.Manifest]) -> None:
        """The recipe is one, and its settings are those of the checkpoints."""
        try:
            from tane.recipe import Recipe
        except (ImportError, OSError, RuntimeError) as error:  # a torch that is broken
            self.notes.append(f"{run / RECIPE} was not compared with the checkpoints: {error}")
            return
        try:
            settings = files.digest(Recipe.load(run / RECIPE).must_match())
        except InputError as error:
            self.wrong(run / RECIPE, error.message)
            return
        if any(manifest.meta.get("settings") != settings for manifest in steps.values()):
            self.wrong(run / RECIPE, "its settings are not those of the checkpoints")

    def _link(self, run: Path, steps: dict[Path, files.Manifest]) -> None:
        link = run / MODEL
        if not os.path.lexists(link):
            if steps:
                self.notes.append(f"{link} is not there yet: it follows an evaluation")
            return
        self.checked += 1
        target = Path(os.path.realpath(link))
        if not link.is_symlink():
            self.wrong(link, "it is no link to the model of a checkpoint")
        elif not target.is_relative_to(run.resolve()):
            self.wrong(link, f"it leads out of the run, to {target}")
        elif not target.is_dir():
            self.wrong(link, f"it leads nowhere: there is no {os.readlink(link)}")
        elif target.parent not in self.seen:
            self.wrong(link, f"it leads to {target}, which is no checkpoint")

    def _log(self, path: Path, needed: bool) -> None:
        """Every line of the log is an event; a crash may tear the last one before it, or before a start."""
        if (not needed and not os.path.lexists(path)) or not self._is_file(path):
            return
        self.checked += 1
        lines = path.read_bytes().split(b"\n")
        if lines[-1]:
            self.notes.append(f"{path}: the last line is torn, as after a crash; it does not count")
        for number, line in enumerate(lines[:-1]):
            try:
                whole = isinstance(json.loads(line), dict)
            except (ValueError, RecursionError):
                whole = False
            if not whole and b'"event": "start"' in line + lines[number + 1]:
                self.notes.append(f"{path}, line {number + 1}: torn, as after a crash; it does not count")
            elif not whole:
                self.wrong(path, f"line {number + 1} is no event")

    def _data(self, run: Path, recipe: dict[str, Any], steps: dict[Path, files.Manifest]) -> None:
        """The run's data, also where they lie elsewhere, are whole, and those that it was trained on."""
        base = data_of(run, recipe)
        if not (base / "shards").exists():
            if steps:
                self.notes.append(
                    f"{base} has no shards: the run cannot go on, nor be compared with its data"
                )
            return
        base = base.resolve()
        if base / "shards" not in self.seen:
            self.folders(self.walk(base)[0])
        shards, words = self.seen.get(base / "shards"), self.seen.get(base / "words")
        if shards is None:
            return
        known = {shards.fingerprint}
        known |= {files.digest([shards.fingerprint, words.fingerprint])} if words is not None else set()
        if any(manifest.meta.get("data") not in known for manifest in steps.values()):
            self.wrong(base / "shards", f"it is stale: {run} was trained on other data")


def data_of(run: Path, recipe: dict[str, Any]) -> Path:
    """Where the data of a run lie: a path of its recipe starts where the run was started from."""
    named, start = recipe.get("data_dir"), Path(str(recipe.get("run_dir") or ""))
    if not named:
        return run / "data"
    place = run.resolve().parts
    if not start.is_absolute() and start.parts and place[-len(start.parts) :] == start.parts:
        found = Path(*place[: -len(start.parts)], named)
        if found.exists():
            return found
    return Path(named)


def owner_of(lock: Path) -> str | None:
    """Who holds a lock, as the lock says, or None. The kernel's list is read, so that nobody is held up."""
    try:
        stat, text = lock.stat(), lock.read_text(encoding="utf-8", errors="replace")[:500].strip()
        device = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}"
        lines = [line.split() for line in LOCKS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "another process" if _refused(lock) else None
    for _, kind, _, _, pid, place, *_ in (line for line in lines if len(line) > 5):
        same = place == f"{device}:{stat.st_ino}" or f"pid {pid} " in text
        if kind == "FLOCK" and same and place.endswith(f":{stat.st_ino}"):
            return text or "another process"
    return None


def _refused(lock: Path) -> bool:
    """Where the kernel has no such list: whether a lock cannot be shared now."""
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
