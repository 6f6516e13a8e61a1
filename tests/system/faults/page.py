"""The page of figures: docs/reliability.md."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version

from .fault import Fault, Outcome, bound
from .runner import Done, Results
from .table import NOT_TESTED


def write(faults: Sequence[Fault], results: Results, minutes: float) -> str:
    """The page in Markdown."""
    made = {fault.row: results.of(fault) for fault in faults}
    trials = sum(_cases(done) for done in made.values())
    bytes_of_manifests = sum(_cases(done) for row, done in made.items() if row == "14")
    failures = sum(_failures(done) for done in made.values())
    lines = [
        "# Reliability: what was injured, and what was lost",
        "",
        f"{time.strftime('%Y-%m-%d')}, {_machine()}. {trials:,} injuries in {len(faults)} ways "
        f"({bytes_of_manifests:,} of them bytes of manifests), in {minutes:.0f} minutes; {failures} broke a "
        "promise.",
        "",
        "`make faults` makes this page; it goes on where it was interrupted, and `--minutes` bounds it.",
        "Nearly every row is tried a few times by `make test` too. Commands are started by a fork of a",
        "process that has the imports done, so kills in the start of Python itself are not among these. A",
        "failure is a broken promise, whatever else went well; the bound is the upper end of the one-sided",
        "95 % interval (Clopper-Pearson) for the share of failures. Two runs are equal when weights,",
        "optimizer state, the blocks of each step and the losses in the log are. What the faults taught",
        "stands in [bugs.md](bugs.md).",
        "",
        "| # | fault | injected by | promise | failures / N | bound | figures | s each |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fault in faults:
        lines.append(_row(fault, made[fault.row]))
    untried = [f"{f.row} ({made[f.row][0].outcome.skipped})" for f in faults if _skipped(made[f.row])]
    lines += ["", "## Not measured", ""]
    lines += [f"- {row}: {reason}" for row, reason in NOT_TESTED.items()]
    lines += [f"- {told}" for told in untried]
    failed = [done for dones in made.values() for done in dones if done.outcome.failure]
    if failed:
        lines += ["", "## Failures", ""]
        lines += [f"- {done.row}, trial {done.number}: {_plain(done.outcome.failure)}" for done in failed]
    return "\n".join(lines) + "\n"


def _row(fault: Fault, done: list[Done]) -> str:
    cases, failures = _cases(done), _failures(done)
    outcomes: list[Outcome] = [d.outcome for d in done if d.outcome.cases]
    share = f"{bound(failures, cases):.2%}" if cases else ""
    seconds = sum(d.seconds for d in done) / max(1, len(outcomes))
    told = f"{failures} / {cases:,}" if cases else "not tried"
    cells = (fault.row, fault.name, fault.injection, fault.promise, told, share, fault.told(outcomes))
    return f"| {' | '.join(_plain(cell) for cell in cells)} | {seconds:.1f} |"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _cases(done: list[Done]) -> int:
    return sum(d.outcome.cases for d in done)


def _failures(done: list[Done]) -> int:
    return sum(bool(d.outcome.failure) for d in done)


def _skipped(done: list[Done]) -> bool:
    return bool(done) and all(d.outcome.skipped for d in done)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    names = ("torch", "transformers", "safetensors")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{cores} cores, {system}, Python {platform.python_version()}, {versions}"
