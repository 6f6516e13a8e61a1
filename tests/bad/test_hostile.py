"""Hostile files run nothing, reach nothing, read and write nothing outside; bombs leave the memory flat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bad.guarded import Guard
from tests.bad.hostile import table

NOUGHT = ("executed", "network", "programs", "outside_writes", "secret_reads", "wrong")


def opened(folder: Path, *options: str) -> dict[str, Any]:
    """What `python -m tests.bad.guarded` tells."""
    command = [sys.executable, "-m", "tests.bad.guarded", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=environment
    )
    assert not done.returncode, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("options", [["--quick"], pytest.param([], marks=pytest.mark.slow)])
def test_hostile_files(options: list[str], tmp_path: Path) -> None:
    found = opened(tmp_path / "ground", *options)
    assert {name: found[name] for name in NOUGHT} == dict.fromkeys(NOUGHT, 0), "\n".join(found["told"])
    assert found["files"] == len(table()) and found["openings"] > 2 * found["files"]
    assert found["bomb_megabytes"] < 150


def test_the_guard_sees_what_it_should(tmp_path: Path) -> None:
    for name in ("out", "hostile", "secret"):
        (tmp_path / name).mkdir()
    guard = Guard(tmp_path / "out", tmp_path / "hostile", tmp_path / "secret")
    evil = compile("1", str(tmp_path / "hostile" / "evil.py"), "exec")
    (tmp_path / "link").symlink_to(tmp_path / "secret" / "a")
    events: list[tuple[str, str, tuple[Any, ...]]] = [
        ("executed", "pickle.find_class", ("os", "system")),
        ("executed", "exec", (evil,)),
        ("executed", "compile", (b"1", str(tmp_path / "hostile" / "evil.py"))),
        ("network", "socket.connect", (None, ("example.org", 80))),
        ("network", "socket.getaddrinfo", ("example.org", 80, 0, 0, 0)),
        ("programs", "os.system", (b"true",)),
        ("programs", "subprocess.Popen", ("true", ["true"], None, None)),
        ("programs", "os.posix_spawn", ("true", ["true"], {})),
        ("outside_writes", "open", (str(tmp_path / "a"), "w", 0)),
        ("outside_writes", "open", (str(tmp_path / "a"), None, os.O_WRONLY | os.O_CREAT)),
        ("outside_writes", "open", (str(tmp_path / "out" / ".." / "a"), "ab", 0)),
        ("outside_writes", "os.mkdir", (str(tmp_path / "a"), 0o777, -1)),
        ("outside_writes", "os.rename", (str(tmp_path / "out" / "a"), str(tmp_path / "a"), -1, -1)),
        ("secret_reads", "open", (str(tmp_path / "secret" / "a"), "r", 0)),
        ("secret_reads", "open", (str(tmp_path / "link"), "rb", 0)),
    ]
    for kind, event, arguments in events:
        before = len(guard.seen[kind])
        guard.active = True
        guard(event, arguments)
        guard.active = False
        assert len(guard.seen[kind]) == before + 1, (event, arguments)
    harmless: list[tuple[str, tuple[Any, ...]]] = [
        ("open", (str(tmp_path / "out" / "a"), "w", 0)),
        ("open", (str(tmp_path / "hostile" / "a"), "r", 0)),
        ("open", ("/dev/null", "w", 0)),
        ("os.mkdir", (str(tmp_path / "out" / "b"), 0o777, -1)),
        ("exec", (compile("1", "<string>", "exec"),)),
    ]
    total = sum(map(len, guard.seen.values()))
    guard.active = True
    for event, arguments in harmless:
        guard(event, arguments)
    guard.active = False
    assert sum(map(len, guard.seen.values())) == total
