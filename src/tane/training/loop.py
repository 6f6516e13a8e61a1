"""THE loop, for every objective. Read it downward: evaluate? save? stop? one step, log.

One turn more than there are steps makes the last evaluation and the last save the same code as all others.
What a step trains on, its masks, its dropout and its learning rate are functions of the step; nothing
iterates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tane import signals
from tane.errors import DivergedError, Stopped
from tane.model.loss import Loss
from tane.optim.groups import OptimSettings
from tane.tokens.order import global_batch, key
from tane.training import checkpoint
from tane.training.runtime import Runtime
from tane.training.tracker import Tracker
from tane.types import Batch, TrainState, Vocabulary

LOG_EVERY = 10  # steps between two lines of the log


@dataclass(frozen=True)
class Plan:
    """The run in numbers, all resolved: what `tane plan` prints and the loop obeys."""

    seed: int
    total: int  # steps
    batch_rows: int  # blocks of a global batch
    micro_rows: int  # blocks of a micro-batch
    warmup: int  # steps
    decay: int  # steps
    eval_every: int  # steps
    save_steps: int | None  # steps between saves, or None
    save_minutes: float | None  # minutes between saves, or None
    keep: int
    patience: int | None  # evaluations without a gain before stopping
    min_delta: float
    valid_rows: int  # blocks of the validation set that are used
    chars_per_target: float | None  # characters of validation text to a target; None: not all of it is scored
    attention: str  # how it is computed


@dataclass
class Loop:
    """One run: call `run()`; it returns when done and raises Stopped after saving when asked to stop."""

    plan: Plan
    run_dir: Path
    model: Any
    objective: Any
    optim: OptimSettings
    runtime: Runtime
    vocabulary: Vocabulary
    train_blocks: Any  # `sizes`, and `at(epoch)[i]` gives a Block
    valid_blocks: Any | None
    parts: checkpoint.Parts
    state: TrainState
    tracker: Tracker
    loss: Loss
    on_eval: Callable[[TrainState], None] = lambda state: None
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = -1
    window: list[tuple[torch.Tensor, int]] = field(default_factory=list)  # (nats, targets) since the last log
    norm: float = 0.0  # of the last gradient, before clipping

    def run(self) -> TrainState:
        """Train to the end, or to early stopping, or to a signal."""
        state, plan = self.state, self.plan
        while True:
            state.finished = state.finished or state.step >= plan.total
            if self._evaluation_due():
                self._evaluate()  # may finish the run early
            if state.finished:
                if self.saved_step != state.step:
                    self.save()
                return state
            if self._save_due():
                self.save()
            if signals.requested() or not self._step():
                self._stop()

    # ------------------------------------------------------------------------------------------- one step

    def _step(self) -> bool:
        """One optimizer update; False when a signal came before it was made (nothing has changed then)."""
        start, state = time.perf_counter(), self.state
        batches = self.micro_batches(state.step)
        targets = sum(b.num_targets for b in batches)
        scale = state.loss_scale if self.runtime.precision == "fp16" else 1.0
        self.model.train()
        nats = torch.zeros((), device=self.runtime.device)
        for number, batch in enumerate(batches):
            if signals.requested():
                self._clear()
                return False
            torch.manual_seed(key(self.plan.seed, "dropout", state.step, number))
            with self.runtime.autocast():
                loss = self.loss(self._to_device(batch))
            (loss * (scale / targets)).backward()
            nats += loss.detach()
        self._update(nats, targets, scale)
        self._clear()
        state.step += 1
        state.tokens += sum(b.num_tokens for b in batches)
        state.seconds += time.perf_counter() - start
        self._log(nats, targets, sum(b.num_tokens for b in batches), time.perf_counter() - start)
        return True

    def micro_batches(self, step: int) -> list[Batch]:
        """The global batch of a step, cut into micro-batches; the same blocks however it is cut."""
        epochs, ids = global_batch(step, self.plan.batch_rows, self.train_blocks.sizes, self.plan.seed)
        places = list(zip(epochs.tolist(), ids.tolist(), strict=True))
        keys = [key(self.plan.seed, "mask", epoch, i) for epoch, i in places]
        rows, at = self.plan.micro_rows, self.train_blocks.at
        return [
            self.objective.batch(
                [at(epoch)[i] for epoch, i in places[a : a + rows]], keys[a : a + rows], self.vocabulary
            )
            for a in range(0, len(places), rows)
        ]

    def _update(self, nats: torch.Tensor, targets: int, scale: float) -> None:
        """Finite check first, then clip, set the learning rate, and step."""
        state = self.state
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads) / scale
        loss_finite, norm_finite = math.isfinite(nats.item()), math.isfinite(norm.item())
        if self.runtime.precision == "fp16" and loss_finite and not norm_finite and scale > 1:
            state.loss_scale, state.good_steps = scale / 2, 0  # an overflow of fp16, not of the training
            return
        if not (loss_finite and norm_finite):
            what = "loss" if not loss_finite else "gradient"
            _, ids = global_batch(state.step, self.plan.batch_rows, self.train_blocks.sizes, self.plan.seed)
            raise DivergedError(
                f"the {what} is not finite at step {state.step + 1} (blocks {ids[:8].tolist()}...); "
                "nothing was updated, "
                f"the newest checkpoint is of step {self.saved_step}",
                f"lower the learning rate: --optim.lr {self.optim.lr / 3:.2g}",
            )
        factor = min(1.0, self.optim.clip / (norm.item() + 1e-6)) if self.optim.clip else 1.0
        if factor / scale != 1.0:
            torch._foreach_mul_(grads, factor / scale)
        multiplier = self.multiplier(state.step)
        for optimizer in self.parts.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.optim.lr * multiplier
            optimizer.step()
        state.good_steps += 1
        if self.runtime.precision == "fp16" and state.good_steps % 1000 == 0:
            state.loss_scale = min(scale * 2, 2.0**24)
        self.norm = norm.item()

    def multiplier(self, step: int) -> float:
        """Multiplier of the learning rate for the update that leads from `step` to the next."""
        return self.optim.schedule.multiplier(step, self.plan.total, self.plan.warmup, self.plan.decay)

    def _clear(self) -> None:
        for parameter in self.model.parameters():
            parameter.grad = None

    def _to_device(self, batch: Batch) -> Batch:
        return batch if self.runtime.device == "cpu" else batch.to(self.runtime.device)

    def _log(self, nats: torch.Tensor, targets: int, tokens: int, seconds: float) -> None:
        step = self.state.step
        self.state.window_nats += nats.item()
        self.state.window_targets += targets
        self.window.append((nats, targets))
        loss = nats.item() / targets
        self.tracker.advance(step, loss, tokens / seconds)
        if step % LOG_EVERY == 0 or step == 1 or step == self.plan.total:
            mean = sum(n.item() for n, _ in self.window) / sum(t for _, t in self.window)
            self.window.clear()
            rate = self.optim.lr * self.multiplier(step - 1)
            self.tracker.event(
                "step", step, loss=mean, lr=rate, grad_norm=self.norm, tokens=self.state.tokens,
                tokens_per_second=round(tokens / seconds),
            )  # fmt: skip

    # ------------------------------------------------------------------------------ evaluate, save, stop

    def _evaluation_due(self) -> bool:
        step = self.state.step
        due = (step > 0 and step % self.plan.eval_every == 0) or self.state.finished
        return due and self.valid_blocks is not None and self.state.evaluated_step != step

    def _evaluate(self) -> None:
        """Loss on the fixed validation blocks; keeps the best; decides about early stopping."""
        state, plan = self.state, self.plan
        assert self.valid_blocks is not None
        nats, right, targets = validation_loss(
            self.loss, self.objective, self.valid_blocks, plan.valid_rows, plan.micro_rows, self.vocabulary,
            self.runtime, stop=lambda: signals.requested() is not None,
        )  # fmt: skip
        if targets == 0:  # a signal came; the evaluation is made again after the resume
            self._stop()
        state.valid_loss, state.valid_accuracy = nats / targets, right / targets
        if plan.chars_per_target is not None:
            state.valid_bits_per_char = nats / math.log(2) / (targets * plan.chars_per_target)
        if state.window_targets:
            state.train_loss = state.window_nats / state.window_targets
        state.window_nats, state.window_targets = 0.0, 0
        state.evaluated_step = state.step
        improved = state.best_loss is None or state.valid_loss < state.best_loss - plan.min_delta
        if improved:
            state.best_loss, state.best_step, state.evals_since_best = state.valid_loss, state.step, 0
        else:
            state.evals_since_best += 1
        if plan.patience is not None and state.evals_since_best >= plan.patience:
            state.finished = True
        self.tracker.event(
            "eval", state.step, loss=state.valid_loss, bits_per_char=state.valid_bits_per_char,
            accuracy=state.valid_accuracy, train_loss=state.train_loss, targets=targets,
            best_step=state.best_step,
        )  # fmt: skip
        self.on_eval(state)
        if improved:
            self.save()

    def _save_due(self) -> bool:
        state, plan = self.state, self.plan
        if self.saved_step == state.step:
            return False
        if state.step == 0 or (self.optim.schedule.name == "wsd" and state.step == plan.total - plan.decay):
            return True
        if plan.save_steps and state.step % plan.save_steps == 0:
            return True
        return plan.save_minutes is not None and time.monotonic() - self.saved_at >= plan.save_minutes * 60

    def save(self) -> None:
        """Publish a checkpoint of this step, let RUN/model follow the best, delete what need not be kept."""
        state, plan = self.state, self.plan
        checkpoint.save(self.run_dir, self.parts, state)
        self.saved_step, self.saved_at = state.step, time.monotonic()
        best = state.best_step if state.best_step is not None else state.step
        if state.best_step is not None or state.finished:
            checkpoint.point_model(self.run_dir, best)
        pinned = {best}
        if self.optim.schedule.name == "wsd":
            pinned.add(plan.total - plan.decay)
        checkpoint.retain(self.run_dir, plan.keep, pinned)
        self.tracker.event("save", state.step)
        self.tracker.sync()

    def _stop(self) -> None:
        if self.saved_step != self.state.step:
            self.save()
        self.tracker.event("stop", self.state.step, signal=signals.requested())
        raise Stopped(
            f"stopped by {signals.requested()} at step {self.state.step} of {self.plan.total}; "
            "everything is saved in "
            f"{self.run_dir}",
            "run the same command again to go on",
        )


def validation_loss(
    loss: Loss,
    objective: Any,
    blocks: Any,
    rows: int,
    micro_rows: int,
    vocabulary: Vocabulary,
    runtime: Runtime,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[float, int, int]:
    """(summed nats, right ones, targets) of the first `rows` blocks in their fixed order; all 0 when stopped.

    Sums are divided once, by the caller, so the result does not depend on how the rows are batched.
    """
    training = loss.model.training
    loss.model.eval()
    nats, right, targets = 0.0, 0, 0
    try:
        for numbers in _chunks(rows, micro_rows):
            if stop():
                return 0.0, 0, 0
            keys = [key("valid", int(i)) for i in numbers]
            batch = objective.batch([blocks[int(i)] for i in numbers], keys, vocabulary)
            with torch.no_grad(), runtime.autocast():
                found, hits = loss.predictions(batch.to(runtime.device))
            nats += found.double().sum().item()
            right += int(hits.sum())
            targets += batch.num_targets
    finally:
        loss.model.train(training)
    return nats, right, targets


def _chunks(rows: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, rows, size):
        yield np.arange(start, min(rows, start + size))
