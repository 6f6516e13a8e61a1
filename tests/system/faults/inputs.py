"""Inputs that are too large, empty or hostile: rows 29 to 33."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.bad.empty import EMPTY

from . import scale
from .fault import Fault, Outcome
from .ground import Ground
from .starts import run

CAP = 1000.0  # MB, of the command and its children together
ROOT = Path(__file__).resolve().parents[3]


def too_large(ground: Ground, number: int) -> Outcome:
    """Row 29: one of three inputs of a size that is no accident."""
    outcome, kind = Outcome(), scale.KINDS[number]
    with ground.place("scale") as place:
        found = scale.trial(place, kind)
    outcome.require(found["exit"] == 0, f"{kind}: ended with {found['exit']}: {found.get('said', '')[-200:]}")
    outcome.require(found["peak_mb"] <= CAP, f"{kind}: {found['peak_mb']:.0f} MB")
    outcome.figures = {f"{kind}: MB": found["peak_mb"], f"{kind}: s": found["seconds"]}
    return outcome


def empty(ground: Ground, number: int) -> Outcome:
    """Row 30: no usable text."""
    outcome, one = Outcome(), EMPTY[number]
    with ground.place("empty") as place:
        one.write(place / one.name)
        end = run([*one.command(place), "--quiet"], place)
        outcome.require(end.code == 2, f"{one.name}: ended with {end.code}: {end.err[-200:]}")
        outcome.require(re.search(one.said, end.err) and end.clean, f"{one.name}: {end.err[-200:]}")
        shards = [*place.rglob("*.idx")] if one.verb == "prepare" else []
        outcome.require(not shards, f"{one.name}: shards were written")
    return outcome


def hostile(groups: tuple[str, ...], ground: Ground, number: int) -> Outcome:
    """Rows 31 to 33: every hostile file of a group, opened by every verb under an audit hook."""
    outcome, group = Outcome(), groups[number]
    with ground.place("hostile") as place:
        command = [sys.executable, "-m", "tests.bad.guarded", str(place / "files"), group]
        seen = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_000)
        outcome.require(seen.returncode == 0, f"{group}: {seen.stderr[-300:]}")
        if seen.returncode:
            return outcome
        found = json.loads(seen.stdout.splitlines()[-1])
    for kind in ("executed", "network", "programs", "outside_writes", "secret_reads", "wrong"):
        outcome.require(not found[kind], f"{group}: {kind} {found[kind]}: {found['told'][:2]}")
    outcome.cases = found["openings"]
    outcome.figures = {
        "n files": found["files"],
        "n executed": found["executed"],
        "n network": found["network"],
        "n written or read outside": found["outside_writes"] + found["secret_reads"],
    }
    if found["bomb_megabytes"]:
        outcome.figures["MB for a bomb"] = found["bomb_megabytes"]
    return outcome


def models(ground: Ground, number: int) -> Outcome:
    """Row 31."""
    return hostile(("model", "tokenizer"), ground, number)


def settings(ground: Ground, number: int) -> Outcome:
    """Row 32."""
    return hostile(("recipe", "checkpoint"), ground, number)


def texts(ground: Ground, number: int) -> Outcome:
    """Row 33."""
    return hostile(("text",), ground, number)


FAULTS = (
    Fault("29", "inputs of a size that is no accident", ", ".join(scale.KINDS),
          "prepared within 1 GB, summed over all processes", too_large, len(scale.KINDS), 0),
    Fault("30", "no usable text", "empty, blank, a mark alone, nulls, all dropped, less than one block",
          "exit 2 with the counts; never an empty data folder", empty, len(EMPTY), 2),
    Fault("31", "hostile models and tokenizers",
          "pickles by every name, auto_map, code, templates, links and paths that lead out; opened by "
          "every verb under an audit hook", "nothing runs, connects, or leaves the folder", models, 2, 0),
    Fault("32", "hostile recipes and checkpoints", "YAML objects, pickles, code, links; as row 31",
          "as row 31", settings, 2, 0),
    Fault("33", "bombs and hostile texts",
          "gz, zst, xlsx, XML and JSON that unpack a thousandfold; pickles named as text; as row 31",
          "exit 2, memory flat, nothing runs", texts, 1, 0),
)  # fmt: skip
