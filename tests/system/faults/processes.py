"""Workers that are killed, commands killed above their workers, memory that ends: rows 25, 27, 28."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

from tane.training import checkpoint
from tane.training.tracker import LOG
from tane.yamlio import dump_yaml

from .damage import made
from .fault import Fault, Outcome
from .ground import Ground, chance, data_hashes, differences, leftovers, result_of, settings
from .starts import Change, End, Start, run

WORKERS = 3
TOLD, GONE = 10.0, 5.0  # seconds: to the message of a killed worker; until workers without a parent are gone
MB = 1 << 20


# ------------------------------------------------------------------------------------------------ workers


def _divided(count: int) -> Change:
    """Small inputs are read and tokenised as large ones are: by several processes, a file a piece."""

    def change() -> None:
        from tane import workers
        from tane.text import corpus, pieces
        from tane.tokens import tasks

        corpus.ALONE = tasks.ALONE = 0
        pieces.PIECE_BYTES = 1
        workers.cores = lambda: count

    return change


def divided(ground: Ground) -> Path:
    """Data that one process made of a file a piece."""

    def make(folder: Path) -> None:
        end = ground.prepare(
            ground.recipe(folder, data=folder, name="divided.yaml"), ground.root, (_divided(1),)
        )
        assert end.code == 0, end.err

    return made(ground, "divided", make)


def working_in(place: Path) -> list[int]:
    """Processes whose working folder is this one; none that have ended and are not yet buried."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                here = os.readlink(f"/proc/{name}/cwd") == str(place)
                state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if here and state != "Z":
                found.append(int(name))
    return found


def _children(start: Start, place: Path) -> list[int]:
    return [pid for pid in working_in(place) if pid != start.pid]


def _begun(ground: Ground, data: Path, number: int) -> str:
    """In every second trial the text has been read: tokenising is what is divided then."""
    if number % 2:
        for stage in ("corpus", "tokenizer"):
            ground.copy(divided(ground) / stage, data / stage)
    return "tokenising" if number % 2 else "reading"


def killed_worker(ground: Ground, number: int) -> Outcome:
    """Row 25: one of the processes that read or tokenise is killed at a random moment of its work."""
    draw, outcome = chance("25", number), Outcome()
    expected = data_hashes(divided(ground))
    with ground.place("worker") as place:
        data = place / "data"
        recipe, what = ground.recipe(place / "run", data=data), _begun(ground, data, number)
        start = Start(["prepare", recipe], place, [_divided(WORKERS)])
        start.until(lambda: _children(start, place))
        time.sleep(draw.uniform(0, 0.8))
        children = _children(start, place)
        killed = bool(children)
        if killed:
            os.kill(draw.choice(children), signal.SIGKILL)
        begin = time.monotonic()
        try:
            end = start.end(TOLD)
        except TimeoutError:
            outcome.require(False, f"{what}: nothing for {TOLD:.0f} s after a worker was killed")
            return outcome
        outcome.figures = {"n workers killed": killed, "n ended with 3": end.code == 3}
        if end.code == 3:
            outcome.figures["seconds to the message"] = time.monotonic() - begin
        outcome.require(end.code in (0, 3) and end.clean, f"{what}: ended with {end.code}: {end.err[-300:]}")
        outcome.require(end.code == 0 or "-> " in end.err, f"{what}: no hint: {end.err[-300:]}")
        outcome.require(not working_in(place), f"{what}: workers are left")
        _same_after(ground, recipe, data, expected, outcome, what)
    return outcome


def _same_after(
    ground: Ground, recipe: Path, data: Path, expected: dict[str, str], outcome: Outcome, what: str
) -> None:
    again = ground.prepare(recipe, data.parent, (_divided(WORKERS),))
    outcome.require(again.code == 0, f"{what}: the next start ended with {again.code}: {again.err[-300:]}")
    if again.code == 0:
        outcome.require(data_hashes(data) == expected, f"{what}: the data differ")
        outcome.require(not leftovers(data), f"{what}: left behind: {leftovers(data)}")


def killed_above_workers(ground: Ground, number: int) -> Outcome:
    """Row 27: the command alone is killed while its workers run."""
    draw, outcome = chance("27", number), Outcome()
    expected = data_hashes(divided(ground))
    with ground.place("parent") as place:
        data = place / "data"
        recipe, what = ground.recipe(place / "run", data=data), _begun(ground, data, number)
        start = Start(["prepare", recipe], place, [_divided(WORKERS)])
        start.until(lambda: _children(start, place))
        time.sleep(draw.choice((0.0, draw.uniform(0, 0.8))))
        children = _children(start, place)
        if start.poll() is None:
            os.kill(start.pid, signal.SIGKILL)
        start.end()
        begin = time.monotonic()
        left = working_in(place)
        while left and time.monotonic() - begin < GONE:
            time.sleep(0.01)
            left = working_in(place)
        outcome.figures = {"n workers without a parent": len(children), "n orphans": len(left)}
        outcome.figures["seconds until they are gone"] = time.monotonic() - begin
        outcome.require(not left, f"{what}: {len(left)} workers are there after {GONE:.0f} s")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        _same_after(ground, recipe, data, expected, outcome, what)
    return outcome


# ------------------------------------------------------------------------------------------------- memory


def _limit(megabytes: float) -> None:
    """From now on this process gets so much more address space and none beyond."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + int(megabytes * MB)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _limited(megabytes: float, step: int | None = None) -> Change:
    """The limit is set at the start, or before a step."""

    def change() -> None:
        import tane.cli  # noqa: F401 - before memory is short
        from tane.training.loop import Loop

        if step is None:
            _limit(megabytes)
            return
        original = Loop._step

        def limited(self: Loop) -> bool:
            if self.state.step == step:
                _limit(megabytes)
            return original(self)

        Loop._step = limited  # type: ignore[method-assign]

    return change


STEPS_OF_LARGE = 6


def _large(ground: Ground, folder: Path) -> Path:
    """A recipe whose forward pass takes some hundred megabytes."""
    values = settings(
        ground.text, ground.data, folder, duration=f"{STEPS_OF_LARGE} steps", batch_tokens=16384,
        micro_batch_tokens=16384, save_every="2 steps", eval_every=f"{STEPS_OF_LARGE} steps",
    )  # fmt: skip
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(dump_yaml(values), encoding="utf-8")
    return path


def large(ground: Ground) -> Path:
    """The run of that recipe that nothing stopped."""

    def make(folder: Path) -> None:
        end = ground.train(_large(ground, folder), ground.root)
        assert end.code == 0, end.err

    return made(ground, "large", make)


def no_memory(ground: Ground, number: int) -> Outcome:
    """Row 28: a little more memory than the command has already, while it prepares or trains."""
    return (_training, _training, _preparing)[number % 3](ground, number)


def _training(ground: Ground, number: int) -> Outcome:
    draw, outcome = chance("28", number), Outcome()
    whole, step = large(ground), draw.randrange(STEPS_OF_LARGE)
    with ground.place("memory") as place:
        folder = place / "run"
        recipe, megabytes = _large(ground, folder), draw.uniform(1, 60)
        end = run(["train", recipe], place, [_limited(megabytes, step)])
        told = f"train, {megabytes:.0f} MB more at step {step}"
        fits = end.code == 0
        outcome.figures["n that fit all the same"] = float(fits)
        if not fits:
            _require_told(outcome, end, told, "--train.micro-batch-tokens")
            newest = max(checkpoint.steps_in(folder), default=0)
            outcome.require(step - 2 < newest <= step or step < 2, f"{told}: the newest is {newest}")
        _require_whole(outcome, folder, place, told)
        again = ground.train(recipe, place)
        outcome.require(
            again.code == 0, f"{told}: the next start ended with {again.code}: {again.err[-300:]}"
        )
        less = (folder / LOG).exists() and '"event": "memory"' in (folder / LOG).read_text(encoding="utf-8")
        outcome.figures["n that went on with smaller micro-batches"] = float(less)
        if again.code == 0 and not less:  # dropout depends on how a batch is cut
            found = differences(result_of(folder), result_of(whole))
            outcome.require(not found, f"{told}: {found}")
    return outcome


def _preparing(ground: Ground, number: int) -> Outcome:
    draw, outcome = chance("28", number), Outcome()
    with ground.place("memory") as place:
        data, megabytes = place / "data", draw.uniform(1, 30)
        recipe, told = ground.recipe(place / "run", data=data), f"prepare, {megabytes:.0f} MB more"
        end = ground.prepare(recipe, place, (_limited(megabytes),))
        outcome.figures["n that fit all the same"] = float(end.code == 0)
        if end.code != 0:
            _require_told(outcome, end, told, "")
        _require_whole(outcome, data, place, told)
        again = ground.prepare(recipe, place)
        outcome.require(
            again.code == 0, f"{told}: the next start ended with {again.code}: {again.err[-300:]}"
        )
        outcome.require(data_hashes(data) == data_hashes(ground.data), f"{told}: the data differ")
    return outcome


def _require_told(outcome: Outcome, end: End, told: str, hint: str) -> None:
    outcome.figures["n ended by a signal"] = float(end.code < 0)
    outcome.require(end.code == 3, f"{told}: ended with {end.code}, not 3: {end.err[-400:]}")
    outcome.require(end.clean and hint in end.err, f"{told}: no plain message: {end.err[-400:]}")


def _require_whole(outcome: Outcome, folder: Path, place: Path, told: str) -> None:
    """All that was published is intact."""
    if any(not part.name.startswith(".") for part in folder.glob("*") if part.is_dir()):
        end = run(["verify", folder], place)
        outcome.require(end.code == 0, f"{told}: verify ended with {end.code}: {end.err[-300:]}")


FAULTS = (
    Fault("25", "a worker is killed", f"kill -9 to one of {WORKERS} that read or tokenise",
          f"exit 3 within {TOLD:.0f} s, or the work is done all the same; the next start ends with the same "
          "bytes", killed_worker, 60, 1),
    Fault("27", "a command is killed above its workers", "kill -9 to it alone",
          f"the workers are gone within {GONE:.0f} s; the next start ends with the same bytes",
          killed_above_workers, 40, 1),
    Fault("28", "out of memory", "RLIMIT_AS a little above what is used, in training and in preparing",
          "exit 3 with what to lower; files are whole; without the limit the same bits", no_memory, 30, 1),
)  # fmt: skip
