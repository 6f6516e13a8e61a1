"""Jobs on several processes: results, faults, progress, and children that die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tane import signals, workers
from tane.errors import InputError, Interrupted, ResourceError

HERE = "tests.test_workers:"


def double(job: dict[str, Any], progress: Callable[[int], object]) -> dict[str, Any]:
    progress(job["n"])
    print("what a library prints does not disturb the messages")
    return {"pid": os.getpid(), "twice": 2 * job["n"]}


def refuse(job: dict[str, Any], progress: Callable[[int], object]) -> None:
    if job["n"] == 2:
        raise InputError("row 2 is bad", "mend it")


def divide(job: dict[str, Any], progress: Callable[[int], object]) -> float:
    return 1 / job["n"]


def die(job: dict[str, Any], progress: Callable[[int], object]) -> None:
    Path(job["folder"], str(os.getpid())).touch()
    time.sleep(0.2)
    if job["n"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def jobs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"n": n, **more} for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_job_gives_its_result(count: int) -> None:
    seen: list[int] = []
    found = dict(workers.run_jobs(HERE + "double", jobs(7), count, progress=seen.append))
    assert {n: result["twice"] for n, result in found.items()} == {n: 2 * n for n in range(7)}
    assert sorted(seen) == list(range(7))
    pids = {result["pid"] for result in found.values()}
    assert pids == {os.getpid()} if count == 1 else os.getpid() not in pids and 1 <= len(pids) <= count


def test_one_job_stays_in_this_process() -> None:
    assert [r["pid"] for _, r in workers.run_jobs(HERE + "double", jobs(1), 4)] == [os.getpid()]
    assert list(workers.run_jobs(HERE + "double", [], 4)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_jobs_are_asked_for_as_they_are_given_out(count: int) -> None:
    asked: list[int] = []

    def many() -> Iterator[dict[str, Any]]:
        for n in range(20):
            asked.append(n)
            yield {"n": n}

    found = workers.run_jobs(HERE + "double", many(), count)
    for done in range(1, 21):
        next(found)
        assert len(asked) <= done + count
    assert next(found, None) is None
    assert asked == list(range(20))


def test_a_large_job_arrives_whole() -> None:
    sent = [{"n": n, "text": "日本語" * 500_000} for n in range(3)]
    assert sorted(r["twice"] for _, r in workers.run_jobs(HERE + "double", sent, 2)) == [0, 2, 4]


def test_a_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen
    started: list[Any] = []

    def refuse_the_second(*arguments: Any, **options: Any) -> Any:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", refuse_the_second)
    with pytest.raises(ResourceError, match="cannot be started: Resource temporarily unavailable"):
        list(workers.run_jobs(HERE + "double", jobs(2), 2))
    assert started[0].poll() is not None


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_ours_comes_as_it_is(count: int) -> None:
    with pytest.raises(InputError, match="row 2 is bad") as caught:
        list(workers.run_jobs(HERE + "refuse", jobs(4), count))
    assert caught.value.remedy == "mend it"


def test_another_error_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match=r"in a worker process:[\s\S]*return 1 / job"):
        list(workers.run_jobs(HERE + "divide", jobs(2), 2))


def alive(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if Path("/proc", p.name, "cmdline").exists()
            and b"tane.workers" in Path("/proc", p.name, "cmdline").read_bytes()]  # fmt: skip


def test_a_child_that_is_killed_is_told_and_the_others_go(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="killed by signal 9"):
        list(workers.run_jobs(HERE + "die", jobs(2, folder=str(tmp_path)), 2))
    assert len(list(tmp_path.iterdir())) == 2 and not alive(tmp_path)


def test_a_signal_ends_the_work_and_the_children(tmp_path: Path) -> None:
    with signals.caught():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="stopped by SIGTERM: counting is not finished"):
            list(workers.run_jobs(HERE + "die", [{"n": 0, "folder": str(tmp_path)}] * 2, 2, what="counting"))
    assert not alive(tmp_path)


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2])
def test_a_child_that_is_killed_before_it_works_is_told(tmp_path: Path, moment: float) -> None:
    found = workers.run_jobs(HERE + "die", [{"n": 0, "folder": str(tmp_path)}] * 3, 3)
    born: list[workers._Child] = []

    class Noted(workers._Child):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            born.append(self)
            if len(born) == 3:
                time.sleep(moment)
                born[1].process.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_Child", Noted)
        with pytest.raises(ResourceError, match="killed by signal 9"):
            next(found)
    assert [child.process.returncode for child in born] == [-9, -9, -9] and not alive(tmp_path)


def test_a_child_whose_parent_is_gone_already_does_nothing(tmp_path: Path) -> None:
    """The parent dies after it gave the job, and before its child could ask to be told of it."""
    code = (
        "import os, sys\nfrom tane.workers import _Child\n"
        f"_Child('{HERE}die', {{}}).give(0, {{'n': 0, 'folder': sys.argv[1]}})\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not list(tmp_path.iterdir()):
        if not any(f"{HERE}die".encode() in line and b"child(" in line for line in command_lines()):
            break
        time.sleep(0.05)
    assert not list(tmp_path.iterdir()), "the job of a dead parent was begun"


def command_lines() -> list[bytes]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(place.read_bytes())
    return found


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tane.workers import run_jobs\n"
        f"list(run_jobs('{HERE}die', [{{'n': 0, 'folder': sys.argv[1]}}] * 2, 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(alive(tmp_path)) == 2
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while alive(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(tmp_path)
