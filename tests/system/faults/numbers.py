"""Losses and gradients that are not finite, and losses that leap: rows 23 and 24."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.numpy import load_file

from tane.training import checkpoint
from tane.training.tracker import read_metrics

from .fault import Fault, Outcome
from .ground import STEPS, Ground, chance, differences, result_of
from .starts import Change

BAD = (float("nan"), float("inf"), float("-inf"))


def _spoiled(step: int, spoil: Any) -> Change:
    """`spoil(model, loss)` takes the place of the loss in one step."""

    def change() -> None:
        from tane.training.loop import Loop

        original = Loop._step

        def stepped(self: Loop) -> bool:
            if self.state.step != step:
                return original(self)
            work, loss = self.work, self.work.loss
            work.loss = lambda batch: spoil(self.model, loss(batch))  # type: ignore[method-assign]
            try:
                return original(self)
            finally:
                work.loss = loss  # type: ignore[method-assign]

        Loop._step = stepped  # type: ignore[method-assign]

    return change


def not_finite(ground: Ground, number: int) -> Outcome:
    """Row 23: one loss, or one element of one gradient, is not finite."""
    draw, outcome = chance("23", number), Outcome()
    step, value, gradient = draw.randrange(STEPS), draw.choice(BAD), number % 2 == 1

    def spoil(model: Any, loss: torch.Tensor) -> torch.Tensor:
        if not gradient:
            return loss * value
        parameter = draw.choice([p for p in model.parameters() if p.requires_grad])
        place = tuple(draw.randrange(n) for n in parameter.shape)

        def hurt(grad: torch.Tensor) -> torch.Tensor:
            grad = grad.clone()
            grad[place] = value
            return grad

        parameter.register_hook(hurt)
        return loss

    with ground.place("finite") as place:
        folder = place / "run"
        recipe = ground.recipe(folder)
        end = ground.train(recipe, place, [_spoiled(step, spoil)])
        outcome.require(end.code == 6, f"ended with {end.code}, not 6: {end.err[-200:]}")
        outcome.require(f"at step {step + 1} " in end.err, f"step {step + 1} is not named: {end.err[-200:]}")
        outcome.require("gradient" in end.err or not gradient, "the gradient is not named")
        outcome.require(end.clean, "no clean error")
        saved = checkpoint.steps_in(folder)
        outcome.require(not saved or saved[-1] <= step, f"a checkpoint of step {saved[-1:]} was saved later")
        finite = all(
            bool(torch.isfinite(torch.from_numpy(tensor)).all())
            for kept in saved
            for tensor in load_file(checkpoint.folder_of(folder, kept) / "model/model.safetensors").values()
        )
        outcome.require(finite, "a checkpoint is not finite")
        again = ground.train(recipe, place, [ground.told(folder)])
        found = {k: v for k, v in result_of(folder).items() if k != "blocks of each step"}
        outcome.require(again.code == 0, f"the next start ended with {again.code}: {again.err[-300:]}")
        outcome.require(not differences(found, {k: ground.result[k] for k in found}), "the weights differ")
        outcome.figures = {"steps to do again": step - (saved[-1] if saved else 0)}
    return outcome


def leaping(ground: Ground, number: int) -> Outcome:
    """Row 24: one loss is ten times as large."""
    draw, outcome = chance("24", number), Outcome()
    step, stop = draw.randrange(25, STEPS), number % 2 == 1
    with ground.place("spike") as place:
        folder = place / "run"
        recipe = ground.recipe(folder)
        flags = ["--train.stop-on-spike", "true"] if stop else []
        end = ground.train(recipe, place, [_spoiled(step, lambda model, loss: loss * 10)], *flags)
        if stop:
            outcome.require(end.code == 6, f"ended with {end.code}, not 6")
            outcome.require(f"at step {step + 1}," in end.err, f"the step is not named: {end.err[-200:]}")
        else:
            outcome.require(end.code == 0, f"ended with {end.code}: {end.err[-200:]}")
        seen = [event["step"] for event in read_metrics(folder, "spike")]
        outcome.require(step + 1 in seen, f"not seen: {seen}")
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        steps = max(json.loads(line)["step"] for line in lines)
        outcome.figures = {"n seen": float(step + 1 in seen), "n false alarms": len(set(seen) - {step + 1}),
                           "n steps watched": steps}  # fmt: skip
    return outcome


FAULTS = (
    Fault("23", "a loss or a gradient that is not finite",
          "NaN or infinity in one step, in the loss or one element of a gradient",
          "exit 6 before the update, names the step; every checkpoint finite; the same bits afterwards",
          not_finite, 80, 2),
    Fault("24", "a loss ten times as large", "one step's loss is scaled",
          "logged; training carries on, with train.stop_on_spike it stops (exit 6)", leaping, 60, 2),
)  # fmt: skip
