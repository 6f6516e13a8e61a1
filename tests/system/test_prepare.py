"""Preparing data: killed at random moments, divided over processes; always the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tane import files, locks
from tane.cli import main
from tane.sample import stories
from tane.tokens.prepare import STAGES

# small pieces and parts, and a note of everything that is published
CHILD = """
import sys
from tane import files
from tane.text import parts, pieces
parts.PART_BYTES, parts._BATCH, pieces.PIECE_BYTES = 30_000, 1000, 40_000
publish = files.publish
def noted(target, kind, write, **more):
    found = publish(target, kind, write, **more)
    with open(sys.argv[1], "a") as log:
        log.write(f"{kind} {target.name}\\n")
    return found
files.publish = noted
from tane.cli import main
sys.exit(main(["prepare", *sys.argv[2:], "--quiet"]))
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve files in three formats, some stories in several of them; one file weighs more."""
    folder = tmp_path_factory.mktemp("prepare")
    texts = list(stories(count=900))
    source = folder / "text"
    source.mkdir()
    for number in range(12):
        few = texts[number * 70 : number * 70 + 100]
        if number % 3 == 0:
            (source / f"{number:02d}.txt").write_text("\n\n".join(few), encoding="cp932", errors="replace")
        else:
            lines = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in few)
            (source / f"{number:02d}.jsonl").write_text(lines, encoding="utf-8")
    path = folder / "recipe.yaml"
    path.write_text(
        f"run_dir: {folder}/run\n"
        f"corpus: {{inputs: [{source}, {{path: {source}/03.txt, weight: 2.5}}], valid_fraction: 0.1}}\n"
        "tokenizer: {vocab_size: 1000, ram: 1GB}\n",
        encoding="utf-8",
    )
    return path


def start(
    recipe: Path, data: Path, *flags: str, log: Path | None = None, **environment: str
) -> subprocess.Popen[bytes]:
    noted = log or data.with_name(data.name + ".log")
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(noted), str(recipe), "--data-dir", str(data), *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip


def finish(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return process.returncode


def hashes(data: Path) -> dict[str, dict[str, Any]]:
    """What every stage holds, by name, size and hash; and its manifest's meta."""
    found = {stage: files.check(data / stage, stage) for stage in STAGES}
    assert sorted(p.name for p in data.iterdir()) == [".lock", "corpus", "shards", "tokenizer"]
    return {stage: {"files": manifest.files, "meta": manifest.meta} for stage, manifest in found.items()}


@pytest.fixture(scope="module")
def whole(recipe: Path) -> dict[str, dict[str, Any]]:
    """The data of one run that nothing stopped."""
    data = recipe.parent / "whole"
    finish(start(recipe, data))
    found = hashes(data)
    assert len(found["corpus"]["meta"]["parts"]) > 8 and found["shards"]["meta"]["weights"]
    assert found["corpus"]["meta"]["ledger"]["dropped"]["duplicate"]["documents"] > 100
    return found


def kill_until_done(recipe: Path, data: Path, number: int) -> int:
    """Start again and again, killing at random moments; returns the kills."""
    chance, kills = random.Random(number), 0
    while True:
        # publishing is stretched, so that no attempt ends before its kill comes
        process = start(recipe, data, TANE_FAILPOINT="publish.before_rename=sleep:0.1")
        try:
            process.wait(chance.uniform(0.3, 4.0) if kills < 4 else 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        finish(process)
        return kills


def check_killed(recipe: Path, whole: dict[str, dict[str, Any]], data: Path, number: int) -> None:
    kills = kill_until_done(recipe, data, number)
    print(f"\n{kills} kills")  # shown by pytest -s
    assert hashes(data) == whole and kills >= 1
    made = data.with_name(data.name + ".log").read_text().split("\n")
    work = [line for line in made if line.startswith(("piece ", "shard "))]
    # what was finished is never made again: at most what was being made when the kill came is redone
    assert len(work) == len(set(work)) >= len(whole["corpus"]["meta"]["parts"]), (kills, work)


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_and_started_again(
    recipe: Path, whole: dict[str, dict[str, Any]], tmp_path: Path, number: int
) -> None:
    check_killed(recipe, whole, tmp_path / "data", number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2, 8))
def test_killed_many_times(
    recipe: Path, whole: dict[str, dict[str, Any]], tmp_path: Path, number: int
) -> None:
    check_killed(recipe, whole, tmp_path / "data", number)


@pytest.mark.slow
def test_three_parts_joined_are_the_bytes_of_one(
    recipe: Path, whole: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for stages in (("corpus", "tokenizer"), STAGES):
        running = [start(recipe, data, "--part", f"{n}/3", log=tmp_path / f"{n}.log") for n in (1, 2, 3)]
        for process in running:
            finish(process)
        finish(start(recipe, data, "--join", log=tmp_path / "join.log"))
        assert {p.name for p in data.iterdir() if not p.name.startswith(".")} == set(stages)
    assert hashes(data) == whole
    made = {n: (tmp_path / f"{n}.log").read_text().split("\n")[:-1] for n in (1, 2, 3)}
    assert all(any(kind in line for line in lines) for lines in made.values() for kind in ("piece", "shard"))
    everything = [line for lines in made.values() for line in lines]
    assert len(set(everything)) == len(everything), "nothing is made twice"
    joined = [line.split()[0] for line in (tmp_path / "join.log").read_text().split("\n")[:-1]]
    assert joined == ["corpus", "tokenizer", "shards"], "joining makes no part itself"


def test_a_part_that_never_came_is_made_by_the_join(
    recipe: Path, whole: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    finish(start(recipe, data, "--part", "2/3"))
    finish(start(recipe, data))
    assert hashes(data) == whole


def test_pieces_that_a_kill_left_behind_go(
    recipe: Path, whole: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(recipe.parent / "whole", data)
    files.delete(data / "shards")
    (data / ".pieces" / "0123").mkdir(parents=True)
    finish(start(recipe, data))
    assert hashes(data) == whole


def test_parts_and_the_join_keep_out_of_each_others_way(recipe: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with locks.locked(data, shared=True):
        join = start(recipe, data)
        assert join.wait(60) == 5 and b"is in use by" in join.stderr.read()  # type: ignore[union-attr]
        finish(start(recipe, data, "--part", "1/3"))
    with locks.locked(data):
        part = start(recipe, data, "--part", "1/3")
        assert part.wait(60) == 5


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_a_part_that_makes_no_sense(
    recipe: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", str(recipe), "--data-dir", str(tmp_path / "data"), f"--part={text}"]) == 2
    assert "expected i/n" in capsys.readouterr().err and not (tmp_path / "data").exists()
