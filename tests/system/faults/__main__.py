"""`python -m tests.system.faults [--minutes M] [--only ROW...]`: every fault, many times, and the page."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from . import starts

ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Run what is left; the exit status tells whether any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=55, help="stop starting trials after this time")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="only these rows")
    parser.add_argument("--fast", action="store_true", help="only the few trials of each that the tests make")
    parser.add_argument("--processes", type=int, default=2, help="trials side by side")
    parser.add_argument("--work", type=Path, default=ROOT / ".faults", help="where trials and results lie")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "reliability.md")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    values = parser.parse_args()
    starts.import_all()
    from . import page
    from .ground import Ground
    from .runner import Done, Results, in_turn, run_all
    from .table import FAULTS

    if values.fresh:
        shutil.rmtree(values.work, ignore_errors=True)
    values.work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    faults = [fault for fault in FAULTS if not values.only or fault.row in values.only]
    results = Results(values.work / "results.jsonl")
    ground = Ground(values.work / "ground")
    print("making what the trials start from", flush=True)
    ground.make()
    trials = [(f, n) for f, n in in_turn(faults, results) if not values.fast or n < f.fast]
    count = [0]

    def tell(done: Done) -> None:
        count[0] += 1
        if done.outcome.failure:
            print(f"FAILED {done.row} trial {done.number}: {done.outcome.failure}", flush=True)
        if count[0] % 100 == 0:
            spent = (time.monotonic() - begin) / 60
            print(f"{count[0]:,} of {len(trials):,} trials, {spent:.1f} minutes", flush=True)

    until = begin + 60 * values.minutes
    try:
        run_all(trials, ground, results, processes=values.processes, until=until, tell=tell)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    for fault in faults:
        done = results.of(fault)
        failures, cases = sum(bool(d.outcome.failure) for d in done), sum(d.outcome.cases for d in done)
        print(f"{fault.row:>4} {fault.name[:50]:<50} {failures:>3} / {cases:,}")
    spent = (
        json.loads((values.work / "minutes.json").read_text())
        if (values.work / "minutes.json").exists()
        else 0
    )
    spent += (time.monotonic() - begin) / 60
    (values.work / "minutes.json").write_text(json.dumps(spent))
    values.page.write_text(page.write(faults, results, spent), encoding="utf-8")
    print(f"{len(results.done):,} trials in {spent:.1f} minutes; the page is {values.page}")
    return int(any(d.outcome.failure for f in faults for d in results.of(f)))


if __name__ == "__main__":
    sys.exit(main())
