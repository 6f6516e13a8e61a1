"""THE loop, for every objective and task. Read it downward: evaluate? save? stop? one step, log.

One turn more than there are steps makes the last evaluation and the last save the same code as all others.
What a step trains on, its masks, its dropout and its learning rate are functions of the step; nothing
iterates. What a run trains on and how it is evaluated is its `Work`; the loop knows nothing else of it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tane import progress, resources, signals
from tane.errors import Stopped
from tane.optim.groups import OptimSettings
from tane.optim.sharded import whole
from tane.ranks import World
from tane.tokens.order import key
from tane.training import checkpoint
from tane.training.ahead import Ahead
from tane.training.judge import judge
from tane.training.made import Made
from tane.training.runtime import Runtime
from tane.training.tracker import Tracker
from tane.training.work import Work
from tane.types import Batch, TrainState

LOG_EVERY = 10  # steps between two lines of the log
COLLECT_EVERY = 50  # steps between two collections of Python's garbage


@dataclass(frozen=True)
class Plan:
    """The run in numbers, all resolved: what the loop obeys."""

    seed: int
    total: int  # steps
    warmup: int  # steps
    decay: int  # steps
    eval_every: int  # steps
    save_steps: int | None  # steps between saves, or None
    save_minutes: float | None  # minutes between saves, or None
    keep: int
    patience: int | None  # evaluations without a gain before stopping
    min_delta: float
    stop_on_spike: bool = False


@dataclass
class Loop:
    """One run: call `run()`; it returns when done and raises Stopped after saving when asked to stop."""

    plan: Plan
    run_dir: Path
    model: Any
    work: Work
    optim: OptimSettings
    runtime: Runtime
    parts: checkpoint.Parts
    state: TrainState
    tracker: Tracker
    on_eval: Callable[[TrainState], None] = lambda state: None
    on_less: Callable[[dict[str, Any]], None] = lambda settings: None  # records what memory made smaller
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = -1
    overdue: bool = False  # whether minutes since the last save say that it is time, by rank 0's clock
    norm: float = 0.0  # of the last gradient, before clipping
    pending: Made | None = None  # the step before, where it is judged late

    def __post_init__(self) -> None:
        # fp16 must know before the update whether it overflowed, and who stops at a spike too
        prompt = self.runtime.device != "cuda" or self.runtime.precision == "fp16" or self.plan.stop_on_spike
        self.delayed = not prompt
        self.batches = Ahead(self.work.micro_batches, on=self.runtime.device == "cuda")

    @property
    def world(self) -> World:
        """The processes of this run; what decides anything is the same on all of them."""
        return self.runtime.world

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
            if not self._step():
                self._stop()

    # ------------------------------------------------------------------------------------------- one step

    def _step(self) -> bool:
        """One optimizer update; False when a signal came before it was made (nothing has changed then)."""
        start, state = time.perf_counter(), self.state
        batches = self.batches(state.step)
        own = (sum(b.num_targets for _, b in batches), sum(b.num_tokens for _, b in batches))
        targets, tokens, asked, late = self.world.sum(*own, signals.requested() is not None, self._late())
        self.overdue = bool(late)
        if asked:
            return False
        scale = state.loss_scale if self.runtime.precision == "fp16" else 1.0
        nats = self._gradients(batches, scale / targets)
        if nats is None:
            return False
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = whole(torch.nn.utils.get_total_norm(grads)) / scale
        state.tokens += int(tokens)
        made = Made(state.step + 1, nats, norm, int(targets), int(tokens), state.tokens)
        if not self.delayed:
            self.batches.begin(state.step + 1)  # judging waits for the device, as settling does
        if self.delayed or judge(self, made):
            self._update(grads, made, scale)
        self.model.zero_grad()
        state.step += 1
        if self.delayed:
            self.batches.begin(state.step)
            self._settle()  # the step before this one, while the device works on this one
            self.pending = made.sent()
        made.seconds = time.perf_counter() - start
        state.seconds += made.seconds
        if not self.delayed:
            self._log(made)
        if state.step % COLLECT_EVERY == 0:
            gc.collect(1)  # on the same step everywhere, so that no process waits for another's
        return True

    def _gradients(self, batches: list[tuple[int, Batch]], factor: float) -> torch.Tensor | None:
        """Nats of this process' batches, with the gradients of `factor` times them in the model; None where a
        signal came."""
        self.model.train()
        nats = torch.zeros((), device=self.runtime.device)
        try:
            for number, batch in batches:
                if self.world.size == 1 and signals.requested():
                    self.model.zero_grad()
                    return None
                torch.manual_seed(key(self.plan.seed, "dropout", self.state.step, number))
                with self.work.inside.reducing(last=number == batches[-1][0]):
                    with self.runtime.autocast():
                        loss = self.work.inside(self.work.loss, batch.to(self.runtime.device))
                    (loss * factor).backward()
                nats += loss.detach()
        except (RuntimeError, MemoryError) as error:
            if not self.runtime.gives_up_bits(error):
                self._lessen(error)
            self.model.zero_grad()
        else:
            return nats
        return self._gradients(self.batches(self.state.step), factor)

    def _lessen(self, error: RuntimeError | MemoryError) -> None:
        """After a want of memory: smaller micro-batches from here on, of the same global batches. Raises the
        error where it was another one, or where they cannot be smaller."""
        memory = resources.is_memory(error) and self.world.size == 1  # others would wait for this one
        smaller = self.work.lessen() if memory else None
        if smaller is None:
            raise error
        self.model.zero_grad()
        self.batches.forget()
        if self.runtime.device == "cuda":
            torch.cuda.empty_cache()
        told = ", ".join(f"{name} is {value:,}" for name, value in smaller.items())
        progress.say(f"out of memory at step {self.state.step + 1}: {told} from here on, the batch as before")
        self.on_less(smaller)
        self.tracker.event("memory", self.state.step, **smaller)

    def _settle(self) -> None:
        """Judge and log the step that was not yet looked at."""
        made, self.pending = self.pending, None
        if made is not None:
            judge(self, made)
            self._log(made)

    def _update(self, grads: list[torch.Tensor], made: Made, scale: float) -> None:
        """Clip, set the learning rate, and step."""
        state = self.state
        factor: Any = 1.0 / scale
        if self.optim.clip and self.delayed:  # on the device: reading the norm would wait for it
            # in the gradients' own type: of another, each is multiplied by itself
            factor = (self.optim.clip / (made.norm.double() + 1e-6)).clamp(max=1.0).to(grads[0].dtype)
        elif self.optim.clip:
            factor = min(1.0, self.optim.clip / (self.norm + 1e-6)) / scale
        if self.delayed or factor != 1.0:
            torch._foreach_mul_(grads, factor)
        multiplier = self.multiplier(state.step)
        for optimizer in self.parts.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.optim.lr * multiplier * group.get("scale", 1.0)
            optimizer.step()
        state.good_steps += 1
        if self.runtime.precision == "fp16" and state.good_steps % 1000 == 0:
            state.loss_scale = min(scale * 2, 2.0**24)

    def multiplier(self, step: int) -> float:
        """Multiplier of the learning rate for the update that leads from `step` to the next."""
        return self.optim.schedule.multiplier(step, self.plan.total, self.plan.warmup, self.plan.decay)

    def _log(self, made: Made) -> None:
        state, step, nats = self.state, made.step, made.nats_of_all
        state.window_nats += nats
        state.window_targets += made.targets
        state.log_nats += nats
        state.log_targets += made.targets
        speed = made.tokens / made.seconds
        self.tracker.advance(step, nats / made.targets, speed)
        if step % LOG_EVERY == 0 or step == 1 or step == self.plan.total:
            mean = state.log_nats / state.log_targets
            state.log_nats, state.log_targets = 0.0, 0
            self.tracker.event(
                "step", step, loss=mean, lr=self.optim.lr * self.multiplier(step - 1), grad_norm=self.norm,
                tokens=made.seen, tokens_per_second=round(speed),
            )  # fmt: skip

    def _evaluation_due(self) -> bool:
        step = self.state.step
        due = (step > 0 and step % self.plan.eval_every == 0) or self.state.finished
        return due and self.work.evaluates and self.state.evaluated_step != step

    def _evaluate(self) -> None:
        """What the validation set gives; keeps the best; decides about early stopping."""
        self._settle()
        state, plan = self.state, self.plan
        valid = self.work.evaluate(lambda: self.world.any(signals.requested() is not None))
        if valid is None:  # a signal came; the evaluation is made again after the resume
            self._stop()
            return
        state.valid = valid
        if state.window_targets:
            state.train_loss = state.window_nats / state.window_targets
        state.window_nats, state.window_targets = 0.0, 0
        state.evaluated_step = state.step
        score = self.work.score(valid)
        improved = state.best_score is None or score > state.best_score + plan.min_delta
        if improved:
            state.best_score, state.best_step, state.evals_since_best = score, state.step, 0
        else:
            state.evals_since_best += 1
        if plan.patience is not None and state.evals_since_best >= plan.patience:
            state.finished = True
        self.tracker.event(
            "eval", state.step, **valid, train_loss=state.train_loss, best_step=state.best_step
        )
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
        return self.overdue

    def _late(self) -> bool:
        minutes = self.plan.save_minutes if self.world.leads else None
        return minutes is not None and time.monotonic() - self.saved_at >= minutes * 60

    def save(self) -> None:
        """Publish a checkpoint of this step, let RUN/model follow the best, delete what need not be kept."""
        self._settle()
        state, plan = self.state, self.plan
        checkpoint.save(self.run_dir, self.parts, state)
        self.saved_step, self.saved_at, self.overdue = state.step, time.monotonic(), False
        best = state.best_step if state.best_step is not None else state.step
        pinned = {best}
        if self.optim.schedule.name == "wsd":
            pinned.add(plan.total - plan.decay)

        def follow() -> None:
            if state.best_step is not None or state.finished:
                checkpoint.point_model(self.run_dir, best)
            checkpoint.retain(self.run_dir, plan.keep, pinned)

        self.world.lead(follow)
        self.tracker.event("save", state.step)
        self.tracker.sync()

    def _stop(self) -> None:
        self._settle()
        if self.saved_step != self.state.step:
            self.save()
        name = next((name for name in self.world.gather(signals.requested()) if name), None)
        self.tracker.event("stop", self.state.step, signal=name)
        raise self.world.alike(Stopped(
            f"stopped by {name} at step {self.state.step} of {self.plan.total}; "
            f"everything is saved in {self.run_dir}",
            "run the same command again to go on",
        ))  # fmt: skip
