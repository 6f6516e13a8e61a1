"""The parts of `make bench` on what stands beside the model: loading, the loop's own cost, growth.

The minutes behind each part are those on two cores at five rounds.

    load        7   tokens a second from a text to batches: tane, nanoGPT's windows, list rows, the tutorial
    overhead    6   the loop's step beside a bare one, and where a step's time goes
    growth      6   text of 8, 32 and 128 MB; models of four sizes
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import runner
from causal_parts import Peers

HERE = Path(__file__).parent
SIZES = ((2, 128), (4, 256), (6, 384), (8, 512))  # layers, width
MEGABYTES = (8, 32, 128)
PAIRS = 20  # whole and bare steps of a round


def script(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(HERE / name), *arguments]


def load(bench: Any, rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """Random windows of tokens; and what share of a training step they are."""
    step = runner.measured(script("loop_cost.py", str(bench.data), "--steps", "10"))
    tokens, size = str(Peers(bench).tokens), ("--block", "256", "--seconds", "3")
    tokenizer = ("--tokenizer", str(bench.data / "tokenizer"))
    commands = {
        "tane, steps of 65,536 tokens": ["tane", str(bench.data), *size, "--tokens", "65536"],
        "tane, steps of 2,048 tokens": ["tane", str(bench.data), *size],
        "nanoGPT's windows": ["windows", tokens, *size],
        "list rows, transformers' collator": ["rows", tokens, *size],
        "tutorial's stream of lists": ["stream", str(bench.train), *size, *tokenizer],
    }
    made = [runner.Side(n, script("loading.py", *c), "tokens_per_s") for n, c in commands.items()]
    result = runner.interleave("Loading: batches of random blocks of 256", made, rounds)
    share = 100 * 2048 / result["rows"][1]["median"] / step["step_s"]
    result["notes"] = (
        f"Tokens a second of batches, in steps of 2,048 tokens where nothing else is said. tane's "
        f"loading is {share:.2f} % of a training step of so many ({step['step_s']:.3f} s, GPT-2 4x256)."
    )
    return result


def overhead(bench: Any, rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """The cost of the loop in percent of a step, for both optimizers."""
    names = ("cost", "outside", "batches", "checks", "log", "other", "forward", "backward", "optimizer")
    rows = []
    for _ in range(rounds):
        for optimizer in ("adamw", "muon"):
            flags = ("--steps", str(PAIRS), "--set", f"optim.name={optimizer}")
            command = script("loop_cost.py", str(bench.data), *flags)
            found = runner.measured(command)
            told = ", ".join(f"{n} {found[f'{n}_percent']:.2f} %" for n in names[:2])
            print(f"  {optimizer}: {found['step_s']:.3f} s a step, {told}", file=sys.stderr, flush=True)
            rows.append({"side": f"tane ({optimizer})", **found, "command": command})
    table = [
        "| side | seconds a step | cost over a bare step (min to max) | outside model and optimizer | "
        + " | ".join(names[2:]) + " |",
        "|---|---|---|---|" + "---|" * len(names[2:]),
    ]  # fmt: skip
    for side in dict.fromkeys(row["side"] for row in rows):
        mine = [row for row in rows if row["side"] == side]
        costs = [row["cost_percent"] for row in mine]
        middle = {n: statistics.median(row[f"{n}_percent"] for row in mine) for n in names}
        table.append(
            f"| {side} | {statistics.median(row['step_s'] for row in mine):.3f} | {middle['cost']:.2f} % "
            f"({min(costs):.2f} to {max(costs):.2f}) | {middle['outside']:.2f} % | "
            + " | ".join(f"{middle[n]:.2f} %" for n in names[2:]) + " |"
        )  # fmt: skip
    notes = (
        "GPT-2 4x256, 2,048 tokens a step. A whole step of the loop and a bare one (forward, backward, "
        "optimizer) take turns in one process on the same batches; then whole steps are measured part by "
        "part. checks: the norm, finite or not, and clipping."
    )
    return {
        "title": "The loop's own cost", "rounds": rounds, "notes": notes, "rows": rows, "markdown": table
    }  # fmt: skip


def growth(bench: Any, rounds: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """How preparing and loading grow with the text, and a step with the model."""
    return [texts(bench, args.megabytes), models(bench)]


def texts(bench: Any, megabytes: list[int]) -> dict[str, Any]:
    """Preparing, and loading from what was prepared, for growing texts."""
    tokenizer, rows = str(bench.data / "tokenizer"), []
    table = [
        "| text | prepare, seconds | MB a second | peak memory, MB | seconds to the first block | loading, "
        "tokens a second |",
        "|---|---|---|---|---|---|",
    ]
    for size in megabytes:
        kept = bench.work / f"growth-{size}"
        command = script("preparing.py", "prepare", tokenizer, str(bench.large(size)), "--keep", str(kept))
        made = runner.measured(command)
        found = runner.measured(
            script("loading.py", "tane", str(kept), "--tokens", "65536", "--seconds", "3")
        )
        rows.append({"side": f"{size} MB", **found, **made, "command": command})
        table.append(
            f"| {size} MB | {made['seconds']:.1f} | {made['mb_per_s']:.1f} | {made['peak_mb']:.0f} | "
            f"{found['index_seconds']:.4f} | {found['tokens_per_s']:,.0f} |"
        )
    notes = (
        "One run each. prepare: with a tokenizer that is there already; the peak is that of all processes, "
        "shared pages counted once. Loading: blocks of 256 in steps of 65,536 tokens."
    )
    return {"title": "Growth of the text", "rounds": 1, "notes": notes, "rows": rows, "markdown": table}


def models(bench: Any) -> dict[str, Any]:
    """Seconds of a step for growing models."""
    rows, table = [], ["| model | parameters | seconds a step | tokens a second |", "|---|---|---|---|"]
    for layers, width in SIZES:
        shape = [f"model.config.n_layer={layers}", f"model.config.n_embd={width}"]
        shape.append(f"model.config.n_head={width // 64}")
        command = script("loop_cost.py", str(bench.data), "--brief", "--steps", "8", "--set", *shape)
        found = runner.measured(command)
        rows.append({"side": f"{layers} layers of {width}", **found, "command": command})
        table.append(
            f"| {layers} layers of {width} | {found['parameters']:,} | {found['step_s']:.3f} | "
            f"{found['tokens_per_s']:,.0f} |"
        )
    notes = "GPT-2, Muon, 2,048 tokens a step, blocks of 256; medians of 8 steps."
    return {"title": "Growth of the model", "rounds": 1, "notes": notes, "rows": rows, "markdown": table}


PARTS = {"load": load, "overhead": overhead, "growth": growth}
