"""Every fault a few times, and the suite itself: what breaks, hangs or dies is seen, and noted once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import page, tracing
from .fault import Fault, Outcome, bound
from .ground import Ground
from .runner import Done, Results, in_turn, run_all
from .table import FAULTS, NOT_TESTED, rows

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """The outcomes of a few trials of each fault, made by the suite's own command."""
    work = tmp_path_factory.mktemp("faults")
    command = [sys.executable, "-m", "tests.system.faults", "--fast", "--work", str(work), "--processes", "1",
               "--page", str(work / "page.md")]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (work / "page.md").exists(), ended.stderr[-2000:]
    results = Results(work / "results.jsonl")
    return {fault.row: [done.outcome for done in results.of(fault)] for fault in FAULTS}


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.fast], ids=lambda fault: fault.row)
def test_what_is_promised_is_kept(fault: Fault, made: dict[str, list[Outcome]]) -> None:
    outcomes = made[fault.row]
    assert len(outcomes) == fault.fast
    if skipped := next((o.skipped for o in outcomes if o.skipped), ""):
        pytest.skip(skipped)
    assert not [o.failure for o in outcomes if o.failure]


def test_every_row_is_measured_or_named_with_the_reason() -> None:
    assert rows() | {int(row) for row in NOT_TESTED} == set(range(1, 40))
    assert not rows() & {int(row) for row in NOT_TESTED}
    assert len(rows()) >= 30
    assert len({fault.row for fault in FAULTS}) == len(FAULTS)


# ------------------------------------------------------------------------------------------ the suite itself


def _kept(ground: Ground, number: int) -> Outcome:
    return Outcome(figures={"s": float(number), "n things": 1.0})


def _broken(ground: Ground, number: int) -> Outcome:
    outcome = Outcome()
    outcome.require(number % 2 == 0, "odd")
    outcome.require(False, "the first one stands")
    return outcome


def _raises(ground: Ground, number: int) -> Outcome:
    raise KeyError("x")


def _dies(ground: Ground, number: int) -> Outcome:
    os._exit(9)


def _fault(row: str, trial: object, full: int = 4) -> Fault:
    return Fault(row, row, "", "", trial, full, 1)  # type: ignore[arg-type]


def test_results_are_kept_and_what_was_made_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = (_fault("1", _kept), _fault("2", _broken), _fault("3", _raises), _fault("4", _dies, 1))
    monkeypatch.setattr("tests.system.faults.table.FAULTS", faults)
    results, ground = Results(tmp_path / "r.jsonl"), Ground(tmp_path)
    until = time.monotonic() + 60
    run_all(in_turn(faults, results)[:5], ground, results, processes=2, until=until, tell=lambda done: None)
    assert len(results.done) == 5
    with open(tmp_path / "r.jsonl", "a") as file:
        file.write('{"row": "torn')
    again = Results(tmp_path / "r.jsonl")
    assert again.done == results.done
    left = in_turn(faults, again)
    assert len(left) == 13 - 5
    run_all(left, ground, again, processes=2, until=until, tell=lambda done: None)
    failures = {f.row: [d.outcome.failure for d in again.of(f)] for f in faults}
    assert failures["1"] == [""] * 4
    assert failures["2"] == ["the first one stands", "odd"] * 2
    assert all("KeyError" in failure for failure in failures["3"]) and len(failures["3"]) == 4
    assert failures["4"] == ["the trial's own process died"]
    text = page.write(faults, again, 1.0)
    assert "| 1 | 1 |  |  | 0 / 4 | 52.71% | s 1.5 (most 3); things 4 |" in text
    assert "9 broke a promise" in text and "- 2, trial 1: odd" in text


def test_a_trial_that_hangs_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(ground: Ground, number: int) -> Outcome:
        time.sleep(600 if number == 0 else 0)
        return Outcome()

    faults = (_fault("1", hangs, 5),)
    monkeypatch.setattr("tests.system.faults.table.FAULTS", faults)
    monkeypatch.setattr("tests.system.faults.runner.HANGS", 1.0)
    results = Results(tmp_path / "r.jsonl")
    until, told = time.monotonic() + 30, list[Done]()
    run_all(in_turn(faults, results), Ground(tmp_path), results, processes=1, until=until, tell=told.append)
    assert [d.outcome.failure for d in results.of(faults[0])] == ["hung", "", "", "", ""]
    assert len(told) == 5


def test_the_quotas_come_first() -> None:
    faults = (
        Fault("1", "", "", "", _kept, 9, 1),
        Fault("2", "", "", "", _kept, 6, 1, 6),
        _fault("3", _kept, 1),
    )
    order = [(fault.row, number) for fault, number in in_turn(faults, Results(Path("absent")))]
    assert order[0] == ("3", 0)
    assert {*order[1:10]} == {*(("1", n) for n in range(3)), *(("2", n) for n in range(6))}


def test_bounds() -> None:
    assert bound(0, 100) == pytest.approx(0.0295, abs=1e-3)
    assert bound(0, 1000) == pytest.approx(0.003, abs=1e-4)
    assert bound(3, 3) == 1.0


LOG = """\
7 openat(AT_FDCWD</w>, "F/a", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 5<F/a>
7 write(5<F/a>, "x"..., 9) = 9
7 openat(AT_FDCWD</w>, "F/b", O_WRONLY|O_CREAT, 0666) = 6<F/b>
7 write(6<F/b>, "x"..., 9) = 9
7 fsync(6<F/b>) = 0
7 fsync(8<F>) = 0
7 openat(AT_FDCWD</w>, "F/c", O_RDONLY) = 9<F/c>
7 rename("F/b", "F/d") = 0
7 fsync(10<F/c>) = -1 EIO (Input/output error) (INJECTED)
"""


def test_what_was_synced_is_never_lost_and_what_was_not_may_be(tmp_path: Path) -> None:
    import random

    seen = set()
    for seed in range(40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        for name in "ad":
            (folder / name).write_bytes(b"123456789")
        log = folder / "log"
        log.write_text(LOG.replace("F", str(folder)).replace(f"{folder}D", "FD"))
        log.write_text(re.sub(r"AT_\S*?CWD", "AT_FDCWD", log.read_text()))
        lost = tracing.lose_power(log, random.Random(seed))
        kept = [p for p in (folder / "b", folder / "d") if p.exists()]
        assert len(kept) == 1 and kept[0].read_bytes() == b"123456789"
        assert (kept[0].name == "b") == bool(lost.undone)
        assert ((folder / "a").read_bytes() == b"123456789") == (lost.cut == 0)
        seen.add((bool(lost.cut), bool(lost.undone)))
    assert len(seen) == 4
    assert tracing.count(tmp_path / "0" / "log", "openat") == 3


def test_the_page_is_the_one_that_the_suite_writes() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for fault in FAULTS:
        assert re.search(rf"^\| {fault.row} \| {re.escape(page._plain(fault.name))} \|", text, re.MULTILINE)
    assert json.dumps(NOT_TESTED) and all(f"- {row}: {why}" in text for row, why in NOT_TESTED.items())
