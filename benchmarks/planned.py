"""`tane plan --probe` beside what then comes: memory, speed and time of runs, on a machine that is quiet.

    python benchmarks/planned.py [--times 5] [--recipes gpt bert] [--text FILE] [--train.threads 1 ...]

For each recipe the text is prepared; then the plan is made and the run is trained, in turn, each in a process
of its own. Printed: predicted, measured, their ratio, and the median of its distance from 1. Settings as
flags go to both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "gpt": {
        "corpus": {"unit": "paragraph"},
        "tokenizer": {"kind": "unigram", "vocab_size": 4000},
        "model": {"config": {"model_type": "gpt2", "n_layer": 4, "n_embd": 256, "n_head": 4}},
        "objective": {"name": "causal", "block_size": 256},
        "train": {"duration": "120 steps", "batch_tokens": 2048},
    },
    "bert": {
        "corpus": {"unit": "sentence"},
        "tokenizer": {"kind": "character", "vocab_size": 4000},
        "model": {"preset": "roformer-tiny"},
        "objective": {"name": "masked", "block_size": 128, "whole_word": False, "mask_prob": 0.3},
        "train": {"duration": "200 steps", "batch_tokens": 2048},
    },
}
# what is compared: in the plan -> in the result of training; memory comes from the system
PAIRS = {"memory_bytes": "peak", "tokens_per_second": "tokens_per_second", "seconds": "seconds"}


def tane(*arguments: str) -> dict[str, Any]:
    """The JSON that a command prints, with the most memory that its process held and its whole seconds."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "tane", *arguments, "--json"], stdout=subprocess.PIPE, stderr=errors
        )
        assert child.stdout is not None
        out = child.stdout.read().decode()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            raise SystemExit(f"tane {' '.join(arguments)}:\n{errors.read().decode()[-2000:]}")
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {**json.loads(out.splitlines()[-1]), "peak": peak, "wall": time.perf_counter() - begin}


def compare(name: str, text: Path, place: Path, times: int, more: list[str]) -> dict[str, float]:
    """Plan and train a recipe so many times: the median distance of prediction from measurement, by name."""
    recipe = place / f"{name}.yaml"
    values = {**RECIPES[name], "run_dir": str(place / name), "data_dir": str(place / f"{name}-data")}
    values["corpus"] = {**values["corpus"], "inputs": [str(text)]}
    recipe.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    tane("prepare", str(recipe))
    ratios: dict[str, list[float]] = {key: [] for key in (*PAIRS, "probe_memory_bytes")}
    for turn in range(times):
        plan = tane("plan", str(recipe), "--probe", *more)
        run = tane("train", str(recipe), "--fresh", *more)
        print(f"{name}, turn {turn + 1} (the run's whole process: {run['wall']:.1f} s)")
        for key in ratios:
            measured = run[PAIRS.get(key, "peak")]
            ratios[key].append(plan[key] / measured)
            print(f"  {key:<20} predicted {plan[key]:>14,.1f}  measured {measured:>14,.1f}"
                  f"  ratio {ratios[key][-1]:.3f}")  # fmt: skip
        sys.stdout.flush()
    return {key: statistics.median(abs(ratio - 1) for ratio in found) for key, found in ratios.items()}


def main() -> None:
    """Compare the recipes that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--text", type=Path, help="a text file (default: stories of the bundled generator)")
    values, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="tane-planned-") as folder:
        place = Path(folder)
        text = values.text
        if text is None:
            text = place / "sample.txt"
            subprocess.run([sys.executable, "-m", "tane.sample", "--out", str(text)], check=True)
        found = {name: compare(name, text, place, values.times, more) for name in values.recipes}
    for name, errors in found.items():
        told = ", ".join(f"{key} {error:.1%}" for key, error in errors.items())
        print(f"{name}: median error of {values.times}: {told}")


if __name__ == "__main__":
    main()
