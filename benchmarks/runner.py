"""Run two or more sides in turn (A B A B ...) and write medians with their spread.

A side is a command whose last line on stdout is a JSON object with the figure to compare. Taking turns lets
slow moments of the machine hit all sides alike; the ratio is taken round by round. Peak memory is the
system's own account of each finished process: of the largest one, where a side starts others. Results are
appended to benchmarks/results/DATE-MACHINE.md and .json.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass
class Side:
    """One competitor: `command` prints JSON with `figure`; `peak_mb` and `wall_seconds` are measured from
    outside."""

    name: str
    command: list[str]
    figure: str
    extra: tuple[str, ...] = ()  # further keys of its JSON to keep
    runs: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        values = measured(self.command, self.name)
        kept = (self.figure, *self.extra, "wall_seconds", "peak_mb")
        self.runs.append({k: values.get(k) for k in kept})

    def values(self) -> list[float]:
        return [float(r[self.figure]) for r in self.runs]


def measured(command: list[str], name: str = "") -> dict[str, Any]:
    """What a command prints last, with its wall_seconds and peak_mb; ends where it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # so that nobody waits for it again
        out.seek(0)
        err.seek(0)
        if process.returncode:
            told = err.read()[-2000:]
            sys.exit(f"{name or command[0]} failed ({process.returncode}): {' '.join(command)}\n{told}")
        values = json.loads(out.read().strip().splitlines()[-1])
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    peak = round(usage.ru_maxrss * unit / 1e6, 1)
    return {"peak_mb": peak, **values, "wall_seconds": round(seconds, 2)}  # a side may know its peak better


def interleave(title: str, sides: list[Side], rounds: int, notes: str = "") -> dict[str, Any]:
    """Run every side once a round; print and return the table. Ratios are to the last side."""
    for number in range(rounds):
        for side in sides:
            side.run()
            print(
                f"  round {number + 1}/{rounds}  {side.name}: {side.values()[-1]:,.4g}",
                file=sys.stderr,
                flush=True,
            )
    base = sides[-1].values()
    rows = []
    for side in sides:
        values = side.values()
        ratios = [a / b for a, b in zip(values, base, strict=True)]
        rows.append(
            {
                "side": side.name,
                "figure": side.figure,
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
                "peak_mb": statistics.median(run["peak_mb"] for run in side.runs),
                "runs": side.runs,
                "command": side.command,
            }
        )
    return {"title": title, "rounds": rounds, "notes": notes, "rows": rows}


def machine() -> str:
    """A short name of this machine's processor and cores, without its host name."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores"


def versions() -> str:
    import torch
    import transformers

    libraries = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return f"Python {platform.python_version()}, {libraries}"


def table(result: dict[str, Any]) -> str:
    if "markdown" in result:
        return "\n".join([f"## {result['title']}", "", result["notes"], "", *result["markdown"], ""])
    last = result["rows"][-1]["side"]
    lines = [
        f"## {result['title']}",
        "",
        f"{result['rounds']} rounds, sides in turn. {result['notes']}".strip(),
        "",
    ]
    lines += [
        f"| side | figure | median | min to max | ratio to {last} (min to max) | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        middle, low, high = (_digits(row[name]) for name in ("median", "min", "max"))
        lines.append(
            f"| {row['side']} | {row['figure']} | {middle} | {low} to {high} | {row['ratio']:.2f} "
            f"({row['ratio_min']:.2f} to {row['ratio_max']:.2f}) | {row['peak_mb']:,.0f} |"
        )
    return "\n".join([*lines, ""])


def _digits(value: float) -> str:
    """Four digits at least, and no powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def page_of_today() -> Path:
    """Where today's results of this machine are written."""
    slug = "".join(c if c.isalnum() else "-" for c in machine().lower()).strip("-")
    return RESULTS / f"{datetime.date.today().isoformat()}-{slug}.md"


def earlier(title: str) -> list[dict[str, Any]]:
    """The rows of the last result of today with this title."""
    raw = page_of_today().with_suffix(".json")
    found = json.loads(raw.read_text(encoding="utf-8")) if raw.exists() else []
    return next((result["rows"] for result in reversed(found) if result["title"] == title), [])


def write(results: list[dict[str, Any]], command: str) -> Path:
    """Append the results to today's page of this machine, and the raw figures beside it."""
    RESULTS.mkdir(exist_ok=True)
    page = page_of_today()
    head = f"# Benchmarks, {datetime.date.today().isoformat()}\n\n{machine()}; {versions()}\n"
    before = page.read_text(encoding="utf-8") if page.exists() else head
    text = "\n".join([before, f"`{command}`\n", *(table(r) for r in results)])
    page.write_text(text, encoding="utf-8")
    raw = page.with_suffix(".json")
    old = json.loads(raw.read_text(encoding="utf-8")) if raw.exists() else []
    raw.write_text(json.dumps(old + results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return page
