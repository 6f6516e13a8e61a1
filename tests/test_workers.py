"""Jobs on several processes: results, faults, progress, and children that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
