"""What the training loop costs beside the model and the optimizer, and where a step's time goes.

    python benchmarks/loop_cost.py DATA [--steps 30] [--set optim.name=adamw ...] [--brief]

DATA is a folder that `tane prepare` made. Two kinds of step take turns in one process, on the same weights,
the same optimizers and the same batches: the loop's whole step, with its log, and a bare one (forward,
backward, optimizer step, gradients dropped) on batches that were made before. `cost_percent` is the median of
(whole - bare) / whole. Then as many whole steps are measured part by part; what is none of the parts is
`other`. --brief: the seconds of a step alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from ours import batches_of, started
from tane import progress
from tane.recipe import Recipe

WARM = 3  # steps of each kind before the clock starts
MODEL = {"model_type": "gpt2", "n_layer": 4, "n_embd": 256, "n_head": 4}


def bare(loop: Any, batches: list[Any]) -> None:
    """A step without anything around it: the same model, loss, precision and optimizers."""
    targets = sum(batch.num_targets for batch in batches)
    for batch in batches:
        with loop.runtime.autocast():
            loss = loop.work.loss(batch)
        (loss / targets).backward()
    for optimizer in loop.parts.optimizers:
        optimizer.step()
    for parameter in loop.model.parameters():
        parameter.grad = None


def seconds(action: Callable[..., Any], *values: Any) -> float:
    start = time.perf_counter()
    action(*values)
    return time.perf_counter() - start


def in_turn(loop: Any, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of whole and of bare steps; which comes first changes from step to step."""
    whole, plain = [], []
    loop.model.train()
    for number in range(WARM + steps):
        batches = batches_of(loop, loop.state.step)
        if number % 2:
            plain.append(seconds(bare, loop, batches))
        whole.append(seconds(loop._step))
        if not number % 2:
            plain.append(seconds(bare, loop, batches))
    return whole[WARM:], plain[WARM:]


@contextlib.contextmanager
def measured(loop: Any, spent: dict[str, float]) -> Iterator[None]:
    """Add the seconds of each part of a step to `spent`; a part inside another counts for the outer one."""
    inside = False

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **named: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*values, **named)
            inside, start = True, time.perf_counter()
            try:
                return function(*values, **named)
            finally:
                inside = False
                spent[part] += time.perf_counter() - start

        return call

    with contextlib.ExitStack() as stack:

        def watch(part: str, owner: Any, name: str) -> None:
            function = timed(part, getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, function))

        watch("batches", loop.batches, "make")  # on a CPU nothing is made ahead
        watch("forward", loop.work, "loss")
        watch("backward", torch.Tensor, "backward")
        for optimizer in loop.parts.optimizers:
            watch("optimizer", optimizer, "step")
        watch("checks", torch.nn.utils, "get_total_norm")
        watch("checks", torch, "_foreach_mul_")
        watch("log", loop.tracker, "event")
        watch("log", loop.tracker, "advance")
        yield


PARTS = ("batches", "forward", "backward", "optimizer", "checks", "log")


def profile(loop: Any, steps: int) -> dict[str, float]:
    """The share of each part of a step, in percent."""
    spent = dict.fromkeys(PARTS, 0.0)
    with measured(loop, spent):
        whole = sum(seconds(loop._step) for _ in range(steps))
    spent["other"] = whole - sum(spent.values())
    return {f"{part}_percent": 100 * value / whole for part, value in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--brief", action="store_true")
    args = parser.parse_args()
    values = {
        "data_dir": args.data,
        "model": {"config": MODEL},
        "objective": {"name": "causal", "block_size": 256},
        "train": {"batch_tokens": 2048, "duration": "1000 steps"},
    }
    recipe = Recipe.from_mapping(values, *args.set)
    with tempfile.TemporaryDirectory() as place, progress.silenced(), started(recipe, Path(place)) as loop:
        found: dict[str, float] = {"parameters": sum(p.numel() for p in loop.model.parameters())}
        if args.brief:
            laps = [seconds(loop._step) for _ in range(WARM + args.steps)][WARM:]
            found["step_s"] = statistics.median(laps)
        else:
            whole, plain = in_turn(loop, args.steps)
            found["step_s"], found["bare_s"] = statistics.median(whole), statistics.median(plain)
            costs = [100 * (a - b) / a for a, b in zip(whole, plain, strict=True)]
            found["cost_percent"] = statistics.median(costs)
            found |= profile(loop, args.steps)
            found["outside_percent"] = sum(
                found[f"{part}_percent"] for part in ("batches", "checks", "log", "other")
            )
        found["tokens_per_s"] = recipe.train.batch_tokens / found["step_s"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
