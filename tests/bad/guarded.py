"""Opens every hostile file by every public way that could read it, in one process under an audit hook.

    python -m tests.bad.guarded FOLDER [--quick] [GROUP ...]

quick: each by the few ways that read the most of it. Prints one JSON line: how many files, ways and
openings, and what the hook saw of code run, network, other programs, writes outside the output folder and
reads of the secret outside the hostile folder. The hook cannot be taken away again, hence this process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bad import good, hostile, resumed, ways

CODES = (0, 2, 4)
QUICK = ("generate", "fill", "predict", "export", "prepare", "data", "tokenizer show", "resume")
FIRST = {  # the ways that must refuse what is not harmless
    "model": ("generate", "fill", "predict", "export"), "text": ("prepare",),
    "tokenizer": ("tokenizer show",), "recipe": ("prepare", "plan"), "checkpoint": (),
}  # fmt: skip
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
PROGRAMS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
CHANGES = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.rmdir",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """The audit hook: what it saw while `active`, by kind."""

    def __init__(self, out: Path, hostile_folder: Path, secrets: Path) -> None:
        self.active = False
        self.out, self.inside, self.secrets = (str(p.resolve()) for p in (out, hostile_folder, secrets))
        self.seen: dict[str, list[str]] = {
            kind: [] for kind in ("executed", "network", "programs", "outside_writes", "secret_reads")
        }
        self.now = ""

    def note(self, kind: str, event: str, detail: object) -> None:
        self.active = False  # what noting does is not looked at
        calls = [f"{f.filename}:{f.lineno}" for f in traceback.extract_stack()[-9:-2]]
        self.seen[kind].append(f"{self.now}: {event} {str(detail)[:200]} from {' < '.join(reversed(calls))}")
        self.active = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            self._opened(*arguments)
        elif event in CHANGES:
            for path in _changed(event, arguments):
                if not self._may_write(path):
                    self.note("outside_writes", event, path)
        elif event == "pickle.find_class":
            self.note("executed", event, arguments)
        elif event == "exec" and self._of_hostile(getattr(arguments[0], "co_filename", "")):
            self.note("executed", event, arguments[0])
        elif event == "compile" and self._of_hostile(arguments[1]):
            self.note("executed", event, arguments[1])
        elif event in NETWORK:
            self.note("network", event, arguments[1:])
        elif event in PROGRAMS:
            self.note("programs", event, arguments[:2])

    def _of_hostile(self, name: object) -> bool:
        return isinstance(name, (str, os.PathLike)) and str(name).startswith(self.inside)

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        name = os.path.realpath(os.fsdecode(path))
        writes = bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool((flags or 0) & WRITING)
        if writes and not self._may_write(name):
            self.note("outside_writes", "open", name)
        if name.startswith(self.secrets):
            self.note("secret_reads", "open", name)

    def _may_write(self, path: str) -> bool:
        name = os.path.realpath(path)
        return name.startswith((self.out, "/dev/null", "/dev/shm/", "/dev/tty"))


def _changed(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The paths that a change of the file system touches; some are told relative to an open folder."""
    if event in ("os.rename", "os.link"):
        pairs = [(arguments[0], arguments[2]), (arguments[1], arguments[3])]
    elif event == "os.symlink":
        pairs = [(arguments[1], arguments[2])]
    else:
        pairs = [(arguments[0], arguments[-1] if event in ("os.mkdir", "os.remove", "os.rmdir") else -1)]
    found = []
    for path, folder in pairs:
        if isinstance(path, (str, bytes, os.PathLike)):
            base = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else ""
            found.append(os.path.join(base, os.fsdecode(path)))
    return found


class Runner:
    """Prepares the ground, then opens one hostile thing after the other."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.folder, self.out, self.quick = folder, folder / "out", quick
        self.hostile, self.secrets = folder / "hostile", folder / "secret"
        for place in (self.out / "tmp", self.hostile, self.secrets):
            place.mkdir(parents=True)
        self.secret = self.secrets / "secret.txt"
        self.secret.write_text('{"secret": "never read"}', encoding="utf-8")
        self.mark = folder / "MARK"
        self.wrong: list[str] = []
        self.openings = 0
        self.used: set[str] = set()
        self.peak = 0.0
        self.guard = Guard(self.out, self.hostile, self.secrets)
        self.ground = ways.Ground(folder / "ground")
        for kind in good.KINDS:
            good.write_model(folder / "good" / kind, kind)

    def warm_up(self, groups: set[str]) -> None:
        """Import all that opening imports, and make the run whose checkpoints are spoilt."""
        for kind in good.KINDS:
            for way, command in self._model(self.folder / "good" / kind, kind, self.out / kind).items():
                if not self.quick or way in QUICK:
                    self._call(command)
        for way, command in self._text(self.ground.text, self.out / "warm").items():
            if not self.quick or way in QUICK:
                self._call(command)
        if "checkpoint" in groups:
            run = resumed.recipe(self.folder / "run", self.ground.text)
            run[-1] = str(self.out / "run-data")
            self.run = [*run, "--run-dir"]
            self._call([*self.run, str(self.folder / "run" / "good"), "--train.duration", "6 steps"])

    def _model(self, place: Path, kind: str, out: Path) -> dict[str, list[str]]:
        return {
            **self.ground.ways(place, kind, out),
            "tokenizer show": ["tokenizer", "show", str(place)],
            "verify": ["verify", str(place)],
        }

    def _text(self, place: Path, out: Path) -> dict[str, list[str]]:
        name, models = str(place), self.folder / "good"
        dirs = ["--run-dir", str(out / "run"), "--data-dir", str(out / "data")]
        recipe, labelled = str(self.ground.going_on), ["--column", "text"]
        return {
            "prepare": ["prepare", recipe, "--corpus.inputs", name, "--tokenizer.path",
                        str(models / "causal"), *dirs],
            "data": ["data", name],
            "evaluate": ["evaluate", str(models / "causal"), "--data", name],
            "predict": ["predict", str(models / "labels"), "--file", name, *labelled, "--out",
                        str(out / "found.csv")],
            "finetune": ["finetune", str(self.ground.task), "--task.data.train", name, "--model.pretrained",
                         str(models / "masked"), "--run-dir", str(out / "task"), *ways.FAST],
            "generate": ["generate", str(models / "causal"), "--prompt-file", name, "--max-new-tokens", "2"],
            "tokenizer show": ["tokenizer", "show", name],
            "tokenizer compare": ["tokenizer", "compare", str(models / "causal"), "--data", name],
            "verify": ["verify", name],
        }  # fmt: skip

    def _tokenizer(self, place: Path, out: Path) -> dict[str, list[str]]:
        name, masked = str(place), str(self.folder / "good" / "masked")
        dirs = ["--run-dir", str(out / "run"), "--data-dir", str(out / "data")]
        return {
            "tokenizer show": ["tokenizer", "show", name],
            "tokenizer compare": ["tokenizer", "compare", name, masked, "--data", str(self.ground.text)],
            "data": ["data", str(self.ground.text), "--tokenizer", name],
            "prepare": ["prepare", str(self.ground.going_on), "--tokenizer.path", name, *dirs],
            "finetune": ["finetune", str(self.ground.task), "--tokenizer.path", name, "--model.pretrained",
                         masked, "--run-dir", str(out / "task"), *ways.FAST],
        }  # fmt: skip

    def _recipe(self, place: Path, out: Path) -> dict[str, list[str]]:
        dirs = ["--run-dir", str(out / "run"), "--data-dir", str(out / "data")]
        return {verb: [verb, str(place), *dirs] for verb in ("train", "prepare", "plan", "finetune")}

    def _checkpoint(self, run: Path, out: Path) -> dict[str, list[str]]:
        return {
            "verify": ["verify", str(run)],
            "export": ["export", str(run), str(out / "export")],
            "generate": ["generate", str(run), "--prompt", "猫", "--max-new-tokens", "2"],
            "resume": [*self.run, str(run), "--train.duration", "8 steps"],
        }

    def open(self, one: hostile.Hostile) -> None:
        """Write one hostile thing and open it in all ways of its group."""
        place, out = self.hostile / one.group / one.name, self.out / one.group / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if one.group == "model":
            shutil.copytree(self.folder / "good" / one.kind, place)
            one.write(place, self.secret)
            commands = self._model(place, one.kind, out)
        elif one.group == "checkpoint":
            place = out  # a run writes where it lies
            shutil.copytree(self.folder / "run" / "good", place, symlinks=True)
            newest = place / "checkpoints" / f"step-{resumed.STEPS:09d}"
            one.write(newest, self.secret)
            if one.name != "manifest":
                resumed.sign(newest)
            commands = self._checkpoint(place, out)
        else:
            if one.group == "tokenizer" and one.name.startswith("folder-"):
                place.mkdir()
            one.write(place, self.secret)
            opened = {"text": self._text, "tokenizer": self._tokenizer, "recipe": self._recipe}[one.group]
            commands = opened(place, out)
        for way, command in commands.items():
            if not self.quick or way in QUICK:
                self._open_by(one, way, command)

    def _open_by(self, one: hostile.Hostile, way: str, command: list[str]) -> None:
        self.guard.now = f"{one.group} {one.name} by {way}"
        before = _reset_peak()
        start = time.monotonic()
        self.guard.active = True
        code, said = self._call(command)
        self.guard.active = False
        self.openings += 1
        self.used.add(way)
        grown = (_peak() - before) / 1000
        if one.bomb:
            self.peak = max(self.peak, grown)
        faults = []
        if code not in CODES or "Traceback" in said or "unforeseen" in said or said.count("tane: ") > 1:
            faults.append(f"exit {code}: {said[-400:]}")
        if code == 0 and not one.harmless and way in FIRST[one.group]:
            faults.append("read")
        if self.mark.exists():
            faults.append("executed")
            self.guard.seen["executed"].append(f"{self.guard.now}: the mark is there")
            self.mark.rmdir()
        if time.monotonic() - start > 30:
            faults.append("took over 30 s")
        self.wrong += [f"{self.guard.now}: {fault}" for fault in faults]

    def _call(self, command: list[str]) -> tuple[int, str]:
        from tane.cli import main

        held = io.StringIO()
        with contextlib.redirect_stderr(held), contextlib.redirect_stdout(io.StringIO()):
            code = main(command)
        return code, held.getvalue()

    def result(self, files: int) -> dict[str, Any]:
        """The counts, and for what is not nought the places."""
        seen = self.guard.seen
        return {
            "files": files, "openings": self.openings, "ways": len(self.used),
            **{kind: len(found) for kind, found in seen.items()},
            "wrong": len(self.wrong), "bomb_megabytes": round(self.peak, 1),
            "told": [*self.wrong, *(line for found in seen.values() for line in found)][:60],
        }  # fmt: skip


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def _peak() -> int:
    """The most memory that was resident since `_reset_peak`, in KB."""
    return _status("VmHWM")


def _reset_peak() -> int:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


@contextlib.contextmanager
def no_torch_load() -> Iterator[None]:
    """torch.load raises no audit event where it reads weights alone, so it is watched by itself."""
    import torch

    def refused(*_: Any, **__: Any) -> Any:
        sys.audit("pickle.find_class", "torch", "load")
        raise AssertionError("torch.load was called")

    before, torch.load = torch.load, refused
    try:
        yield
    finally:
        torch.load = before


def main() -> None:
    folder, asked = Path(sys.argv[1]).resolve(), sys.argv[2:]
    quick = "--quick" in asked
    groups = {name for name in asked if name != "--quick"} or {one.group for one in hostile.table()}
    environment = {
        "TMPDIR": folder / "out" / "tmp", "HF_HOME": folder / "out" / "hf", "HF_HUB_OFFLINE": 1,
        "TANE_TEST_MARK": folder / "MARK", "HF_DATASETS_CACHE": folder / "out" / "hf" / "datasets",
    }  # fmt: skip
    os.environ.update({name: str(value) for name, value in environment.items()})
    runner = Runner(folder, quick)
    runner.warm_up(groups)
    sys.addaudithook(runner.guard)
    chosen = [one for one in hostile.table() if one.group in groups]
    with no_torch_load():
        for one in chosen:
            runner.open(one)
    print(json.dumps(runner.result(len(chosen)), ensure_ascii=False))


if __name__ == "__main__":
    main()
