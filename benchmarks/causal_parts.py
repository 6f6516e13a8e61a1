"""The parts of `make bench` on causal language models: speed, memory, time to a loss, five minutes.

All sides train GPT-2 with 4 layers of 256 on the same text and the same 8,000 pieces. The minutes behind each
part are those on two cores at five rounds.

    causal         8   tokens a second of tane (AdamW, Muon), HF Trainer, the nanoGPT way, the tutorial's loop
    memory         6   peak memory of a training process of each
    time-to-loss   9   how soon tane's recipe has the loss that the tutorial's loop reaches in 300 steps
    five-minutes   6   a side: bits a character after five minutes (--minutes) of each tool's defaults
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import runner

HERE = Path(__file__).parent
STEP = 2048  # tokens
STEPS = 32  # of each side in a round; the tutorial's loop makes half as many
BRIEF = ("--train.eval-every", "1000000 steps", "--train.tensorboard", "false")
SIDES = {  # of five-minutes
    "tane": "tane, recipes/aozora-gpt.yaml",
    "trainer": "HF Trainer, run_clm's defaults",
    "tutorial": "tutorial loop",
}
SHAPE = "GPT-2, 4 layers of 256, 8,000 pieces, blocks of 256, 2,048 tokens a step"


class Peers:
    """Command lines of the peers for one Bench: they read tane's own token files as one row of tokens."""

    def __init__(self, bench: Any) -> None:
        import numpy as np

        from tane.tokens.shards import Shards

        self.bench, self.tokens = bench, bench.work / "train.bin"
        if not self.tokens.exists():
            tokens = Shards(bench.data / "shards", "train")
            np.asarray(tokens.read(0, len(tokens)), dtype=np.uint16).tofile(self.tokens)

    def _script(self, name: str, *flags: str) -> list[str]:
        tokenizer = str(self.bench.data / "tokenizer")
        return [sys.executable, str(HERE / name), tokenizer, str(self.tokens), *flags]

    def trainer(self, *flags: str) -> list[str]:
        """transformers' Trainer."""
        return self._script("causal_trainer.py", *flags)

    def nanogpt(self, *flags: str) -> list[str]:
        """The nanoGPT way."""
        return self._script("nanogpt_way.py", *flags)


def stream_loss(bench: Any, model: Path | str) -> float:
    """Nats a token by the tutorial's own measure (stream_loss.py)."""
    tokenizer = str(bench.data / "tokenizer")
    command = [sys.executable, str(HERE / "stream_loss.py"), str(model), tokenizer, str(bench.valid)]
    return float(runner.measured(command)["loss"])


def model_of(command: list[str]) -> str:
    """The folder of the model that a command leaves."""
    if "--run-dir" in command:
        return f"{command[command.index('--run-dir') + 1]}/model"
    return command[command.index("--save") + 1]


def sides(bench: Any, figures: tuple[str, str], steps: int) -> list[runner.Side]:
    """All five, saving what they train; figures: the names of tane's figure and of the peers'."""
    peers, work, length = Peers(bench), bench.work, ("--train.duration", f"{steps} steps")
    ours, theirs = figures
    count = ("--max-steps", str(steps))
    return [
        runner.Side("tane (AdamW)", bench.ours("--optim.name", "adamw", *BRIEF, *length), ours),
        runner.Side("tane (Muon, the default)", bench.ours(*BRIEF, *length), ours),
        runner.Side(
            "HF Trainer, bf16",
            peers.trainer(*count, "--schedule", "wsd", "--save", str(work / "trainer")),
            theirs,
        ),
        runner.Side("nanoGPT way, bf16", peers.nanogpt(*count, "--save", str(work / "nanogpt")), theirs),
        runner.Side(
            "tutorial loop",
            bench.theirs("--max-steps", str(max(1, steps // 2)), "--save", str(work / "tutorial")),
            theirs,
        ),
    ]


def causal(bench: Any, rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of short runs, and the loss to which they led."""
    made = sides(bench, ("tokens_per_second", "tokens_per_s"), STEPS)
    result = runner.interleave("Causal training, tokens a second", made, rounds)
    told = []
    for side, row in zip(made[:-1], result["rows"], strict=False):
        row["loss"] = stream_loss(bench, model_of(side.command))
        told.append(f"{side.name} {row['loss']:.3f}")
    result["notes"] = (
        f"{SHAPE}, {STEPS} steps ({STEPS // 2} of the tutorial's loop). Held-out loss after these steps, "
        f"nats a token: {', '.join(told)}. AdamW's rate is 3e-3 on all sides but the tutorial's, which has "
        "its own 1e-4 and is not compared; tane and HF Trainer fall linearly over the last half, the nanoGPT "
        "way by a cosine."
    )
    return result


def memory(bench: Any, rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of one training process."""
    made = sides(bench, ("peak_mb", "peak_mb"), 12)
    notes = f"{SHAPE}. The system's account of the largest process of each side, libraries included."
    return runner.interleave("Peak memory of training, MB", made, rounds, notes)


def time_to_loss(bench: Any, rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """The tutorial's 300 steps, and the shortest run of tane that has their loss; both timed in turn."""
    folder, steps, part = bench.work / "reached", args.target_steps, max(1, args.target_steps // 10)
    whole = bench.theirs("--max-steps", str(steps), "--save", str(folder))
    peer, tried, ours = runner.measured(whole), {}, {}
    target = stream_loss(bench, folder)
    for length in args.steps:
        command = bench.ours(*BRIEF, "--train.duration", f"{length} steps")
        ours = runner.measured(command)
        tried[length] = stream_loss(bench, model_of(command))
        if tried[length] <= target:
            break
    length, losses = list(tried.items())[-1]
    # the loop's rate is constant: later rounds time a tenth of its steps
    tenth = bench.theirs("--max-steps", str(part))
    times = [(float(peer["seconds"]), trained(ours))]
    for _ in range(rounds - 1):
        times.append((runner.measured(tenth)["seconds"] * steps / part, trained(runner.measured(command))))
        print(f"  {times[-1][0]:.1f} s beside {times[-1][1]:.1f} s", file=sys.stderr, flush=True)
    ratios = sorted(a / b for a, b in times)
    row = {
        "side": "tane's recipe", "steps": length, "loss": losses, "target": target, "target_steps": steps,
        "tokens_ratio": steps / length, "time_ratio": statistics.median(ratios), "times": times,
        "tried": tried, "command": command,
    }  # fmt: skip
    told = [(statistics.median(side), min(side), max(side)) for side in zip(*times, strict=True)]
    columns = ("side", "steps", "loss, nats", "training seconds (min to max)", "fewer tokens", "less time")
    table = [f"| {' | '.join(columns)} |", "|---|---|---|---|---|---|"]
    for name, count, loss, (middle, low, high), ratio in (
        ("tutorial loop", steps, target, told[0], "1.0 | 1.0"),
        (
            row["side"], length, losses, told[1],
            f"{steps / length:.1f} | {row['time_ratio']:.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})",
        ),
    ):  # fmt: skip
        table.append(f"| {name} | {count} | {loss:.3f} | {middle:.1f} ({low:.1f} to {high:.1f}) | {ratio} |")
    lengths = ", ".join(f"{count} steps {loss:.3f}" for count, loss in tried.items())
    reached = "has" if losses <= target else "does not have"
    notes = (
        f"{SHAPE}. The tutorial: Adam at a constant 1e-4. tane: its recipe as it is, each length a run of "
        f"its own, since the rate falls within the run ({lengths}); the last {reached} the tutorial's loss. "
        f"{rounds} rounds; from the second on the tutorial's loop makes {part} steps, told as {steps}. Whole "
        f"processes, once: {peer['wall_seconds']:.0f} s and {ours['wall_seconds']:.0f} s. The loss by the "
        "tutorial's measure, without line ends and ends of texts."
    )
    title = "Time to the loss of the tutorial's loop"
    return {"title": title, "rounds": rounds, "notes": notes, "rows": [row], "markdown": table}


def trained(found: dict[str, Any]) -> float:
    """Seconds of a run of tane that its steps took, without its start and its end."""
    return float(found["tokens"] / found["tokens_per_second"])


def prose(work: Path, text: str, size: int = 5_000_000) -> Path:
    """About 5 MB of prose, whole documents: of all aozora texts at hand, else of the text that is there."""
    real = os.environ.get("TANE_TEST_DATA")
    found = sorted(Path(real, "ja").glob("aozora-*.txt.gz")) if real else []
    whole = ""
    for path in found or [Path(text)]:
        whole += (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8").read() + "\n\n"
    taken: list[str] = []
    for document in whole.split("\n\n"):
        if size > 0 and document.strip():
            taken.append(document)
            size -= len(document.encode())
    path = work / "prose.txt"
    path.write_text("\n\n".join(taken) + "\n", encoding="utf-8")
    return path


def five_minutes(bench: Any, rounds: int, args: argparse.Namespace) -> dict[str, Any]:
    """Bits a character of held-out text after so many minutes of each tool's defaults: of the sides that are
    wanted; the others' rows are those of earlier today, where there are any.

    tane makes minutes steps by a short measurement, so it may take longer; the others then get as long.
    """
    folder, title = bench.work / "minutes", f"Held-out text after {args.minutes} minutes"
    folder.mkdir()
    bench = type(bench)(str(prose(folder, bench.text)), bench.baseline, folder)
    peers, rows = Peers(bench), {row["side"]: row for row in runner.earlier(title)}
    for side in args.side:
        ours = rows.get(SIDES["tane"])
        limit = max(args.minutes * 60, ours["seconds"] if ours else 0)
        long = ("--max-steps", "1000000", "--seconds", str(limit))
        command = {
            "tane": bench.ours("--train.duration", f"{args.minutes} minutes"),
            "trainer": peers.trainer(*long, "--defaults", "--save", str(folder / "hf")),
            "tutorial": bench.theirs(*long, "--save", str(folder / "tutorial")),
        }[side]
        found, name = runner.measured(command), SIDES[side]
        texts, lines = (bench.score(model_of(command), unit) for unit in ("paragraph", "line"))
        rows[name] = {
            "side": name, "seconds": found["seconds"], "peak_mb": found["peak_mb"],
            "steps": found.get("steps") or found["tokens"] // STEP,
            "whole texts": texts["bits_per_char"], "command": command,
            "lines without EOS": lines["bits_per_char_without_eos"],
        }  # fmt: skip
    theirs = rows.get(SIDES["trainer"])
    table = [
        "| side | training seconds | steps | bits a character, whole texts | under HF's | single lines, EOS "
        "not counted | under HF's |",
        "|---|---|---|---|---|---|---|",
    ]
    kept = [rows[name] for name in SIDES.values() if name in rows]
    for row in kept:
        told = [
            f"{row[k]:.3f} | " + (f"{1 - row[k] / theirs[k]:.1%}" if theirs else "")
            for k in ("whole texts", "lines without EOS")
        ]
        table.append(f"| {row['side']} | {row['seconds']:.0f} | {row['steps']} | {' | '.join(told)} |")
    notes = (
        f"About 5 MB of prose, GPT-2 with 4 layers of 256, 8,000 pieces, {args.minutes} minutes each, one "
        "run each. HF: fp32, AdamW 5e-5 falling over the whole time, batches of 8 blocks of 256, dropout "
        "0.1. The tutorial's loop never sees line ends or end-of-text tokens: for it the columns of single "
        "lines are the fair ones."
    )
    return {"title": title, "rounds": 1, "notes": notes, "rows": kept, "markdown": table}


PARTS = {"causal": causal, "memory": memory, "time-to-loss": time_to_loss, "five-minutes": five_minutes}
