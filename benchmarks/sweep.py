"""Which defaults train best: named experiments, each with several seeds, compared with today's defaults.

    python benchmarks/sweep.py small confirm [--only NAME...] [--seeds 0 1 2] [--jobs 1] [--work DIR]
    python benchmarks/sweep.py --page

A stage is a recipe with overrides, and experiments that override more. Every run is appended to
benchmarks/results/sweep-STAGE.json when it ends, and is not made again: a killed sweep goes on where it was.
All experiments have seed 0 before any has seed 1. The data of a recipe is prepared once, in DIR.
--page writes the tables of docs/recipe-quality.md from these files; no figure is typed.

The text is TANE_TEST_DATA/ja/aozora-a.txt.gz (causal) or TANE_TEST_DATA/short/snow-t15-shared.xlsx (masked).
One thread a run. The experiments stand in benchmarks/experiments.py.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import math
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments import STAGES

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "recipe-quality.md"
RECIPES = HERE.parent / "recipes"
# the defaults of the day when the sweeps began, with which they are compared whatever has become of them
BEFORE = {
    "optim.weight_decay": 0.1, "optim.momentum": 0.95, "optim.beta1": 0.9, "optim.beta2": 0.95,
    "optim.schedule.name": "wsd", "optim.schedule.warmup": 0.05, "optim.schedule.decay": 0.5,
}  # fmt: skip


# --------------------------------------------------------------------------------------------------- runs


def text_of(recipe: str) -> Path:
    """The shared text of a recipe; ends the program where it is not there."""
    root = os.environ.get("TANE_TEST_DATA")
    path = Path(root or ".") / ("ja/aozora-a.txt.gz" if "gpt" in recipe else "short/snow-t15-shared.xlsx")
    if not root or not path.exists():
        sys.exit(f"{path} is not there: TANE_TEST_DATA must name a folder that holds it")
    return path


def common(recipe: str, work: Path) -> dict[str, Any]:
    """Overrides of all runs of a recipe."""
    own = {"optim.lr": 5e-3} if "gpt" in recipe else {"corpus.column": '["#やさしい日本語"]'}
    return {
        "corpus.inputs": str(text_of(recipe)), **own, **BEFORE, "data_dir": str(work / Path(recipe).stem),
        "train.device": "cpu", "train.threads": 1, "train.precision": "bf16", "train.tensorboard": "false",
        "train.eval_every": 1.0,
    }  # fmt: skip


@contextlib.contextmanager
def ramp(steps: int, tokens: int) -> Iterator[None]:
    """The first `steps` steps have batches of `tokens` tokens; the recipe's batch goes on behind them."""
    from tane.tokens.order import global_batch
    from tane.training.pretraining import Pretraining

    def places(self: Pretraining, step: int) -> Any:
        first = tokens // self.sections.objective.block_size
        sizes, seed = self.train_blocks.sizes, self.sections.seed
        if step < steps:
            return global_batch(step, first, sizes, seed)
        return global_batch(step - steps + steps * first // self.rows, self.rows, sizes, seed)

    with unittest.mock.patch.object(Pretraining, "_places", places):
        yield


def run(job: tuple[str, str, int, str]) -> dict[str, Any]:
    """One run in a folder of its own; a run that diverges is a result as well."""
    import tane
    from tane.errors import TaneError

    stage, name, seed, work = job
    one = STAGES[stage]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        settings = {**common(one.recipe, Path(work)), **one.base, **one.experiments[name],
                    "seed": seed, "run_dir": folder + "/run"}  # fmt: skip
        if settings.get("optim.name") == "adamw":
            settings.pop("optim.momentum", None)
        if "optim.frequencies" in settings:
            settings["optim.frequencies"] = f"{settings['data_dir']}/shards"
        recipe = tane.Recipe.load(RECIPES / one.recipe, *(f"{k}={v}" for k, v in settings.items()))
        patch = ramp(*one.ramps[name]) if name in one.ramps else contextlib.nullcontext()
        overrides = {**one.base, **one.experiments[name]}
        found: dict[str, Any] = {"name": name, "seed": seed, "overrides": overrides}
        try:
            with patch:
                metrics = tane.train(recipe, verify="fast").metrics
        except TaneError as error:
            return {**found, "error": error.message}
    keys = ("valid_loss", "valid_bits_per_char", "valid_accuracy", "train_loss", "steps", "tokens", "seconds")
    return {**found, **{k: metrics[k] for k in keys}}


def load(stage: str) -> list[dict[str, Any]]:
    """The runs of a stage that were made."""
    path = RESULTS / f"sweep-{stage}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def save(stage: str, runs: list[dict[str, Any]]) -> None:
    """Write the runs of a stage, whole or not at all."""
    path = RESULTS / f"sweep-{stage}.json"
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in runs)
    path.with_suffix(".new").write_text(f'{{"runs": [\n{lines}\n]}}\n', encoding="utf-8")
    path.with_suffix(".new").rename(path)


def sweep(stage: str, only: list[str], seeds: list[int], jobs: int, work: Path) -> None:
    """Make the runs of a stage that are still missing."""
    import tane

    one = STAGES[stage]
    settings = {**common(one.recipe, work), **one.base}
    tane.prepare(tane.Recipe.load(RECIPES / one.recipe, *(f"{k}={v}" for k, v in settings.items())))
    runs = load(stage)
    made = {(r["name"], r["seed"]): r["overrides"] for r in runs}
    chosen = [n for n in one.experiments if not only or any(fnmatch.fnmatch(n, p) for p in only)]
    for (name, _), overrides in made.items():
        if name in one.experiments and overrides != {**one.base, **one.experiments[name]}:
            sys.exit(f"{name} was run with other settings: delete its lines in sweep-{stage}.json")
    todo = [(stage, n, s, str(work)) for s in seeds for n in chosen if (n, s) not in made]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for found in pool.imap_unordered(run, todo):
            save(stage, [*load(stage), found])
            told = found.get("error") or f"{found['valid_loss']:.4f}  {found['seconds']:.0f} s"
            print(f"{stage}  {found['name']}  seed {found['seed']}  {told}", file=sys.stderr, flush=True)


# --------------------------------------------------------------------------------------------------- page


def compare(runs: list[dict[str, Any]], default: str) -> list[dict[str, Any]]:
    """One row an experiment: mean and spread over its seeds, and the difference to the default.

    Differences are taken seed by seed, since a seed fixes order and first weights of both. The standard error
    has the spread of an experiment's own differences, but not less than the middle one of the stage: of three
    seeds a spread is known badly. A verdict needs three standard errors.
    """
    losses: dict[str, dict[int, float]] = {}
    for one in runs:
        losses.setdefault(one["name"], {})[one["seed"]] = one.get("valid_loss", math.nan)
    base = losses.get(default, {})
    gaps = {n: [v - base[s] for s, v in found.items() if s in base] for n, found in losses.items()}
    spreads = {n: statistics.stdev(g) for n, g in gaps.items() if n != default and len(g) > 1}
    usual = statistics.median(spreads.values()) if spreads else math.nan
    rows = []
    for name, found in losses.items():
        values, gap = list(found.values()), gaps[name]
        row = {"name": name, "seeds": len(values), "mean": statistics.fmean(values),
               "spread": statistics.stdev(values) if len(values) > 1 else math.nan}  # fmt: skip
        if name != default and gap:
            row["gap"] = statistics.fmean(gap)
            row["error"] = max(usual, spreads.get(name, usual)) / math.sqrt(len(gap))
            clear = len(gap) > 1 and abs(row["gap"]) > 3 * row["error"]
            row["verdict"] = ("better" if row["gap"] < 0 else "worse") if clear else "cannot tell"
            row["verdict"] = "" if len(gap) == 1 else row["verdict"]
            row["verdict"] = "diverged" if math.isnan(row["gap"]) else row["verdict"]
        rows.append(row)
    return rows


def within(spread: float) -> str:
    """A spread as it stands behind a figure; nothing where it is not known."""
    return "" if math.isnan(spread) else f" ± {spread:.4f}"


def table(stage: str) -> str:
    """A stage's experiments as markdown, the best first."""
    runs = load(stage)
    lines = ["| experiment | seeds | valid loss | against the default | verdict |", "|---|---|---|---|---|"]
    for row in sorted(compare(runs, STAGES[stage].default), key=lambda r: (math.isnan(r["mean"]), r["mean"])):
        gap = f"{row['gap']:+.4f}{within(row['error'])}" if "gap" in row else ""
        spread = within(row["spread"])
        cells = [row["name"], str(row["seeds"]), f"{row['mean']:.4f}{spread}", gap, row.get("verdict", "")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page() -> None:
    """Put the tables between their marks in docs/recipe-quality.md."""
    text = PAGE.read_text(encoding="utf-8")
    for stage in STAGES:
        mark = rf"(<!-- sweep {stage} -->\n).*?(<!-- end -->)"
        text = re.sub(mark, lambda m, s=stage: f"{m[1]}{table(s)}\n{m[2]}", text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Read the arguments, make the runs or the page."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []])
    parser.add_argument("--only", nargs="+", default=[], help="names of experiments, with wildcards")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "tane-sweep")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for stage in args.stages:
        sweep(stage, args.only, args.seeds, args.jobs, args.work)
    if args.page:
        write_page()
    for stage in args.stages:
        print(table(stage))


if __name__ == "__main__":
    main()
