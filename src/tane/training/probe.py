"""How fast a run is and what it takes, measured on throw-away weights for some seconds. Nothing is written.

Where the text is not prepared yet, made-up tokens stand for it: a step takes as long whatever the tokens are.
"""

from __future__ import annotations

import contextlib
import gc
import re
import resource
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tane.durations import Duration
from tane.errors import Interrupted
from tane.model.build import hushed
from tane.model.loss import Loss
from tane.ranks import World
from tane.tokens.order import key
from tane.training import checkpoint
from tane.training.build import Built, choose_attention
from tane.training.loop import Loop
from tane.training.pretraining import Pretraining
from tane.training.run import Start, compile_blocks, make_plan
from tane.training.runtime import Runtime
from tane.training.settings import Sections
from tane.training.tracker import Untold
from tane.training.work import Work
from tane.types import Block, TrainState, Vocabulary

WARM_UP = 2  # steps that do not count: the first ones lay out memory, and may compile
LEAST_STEPS, LEAST_SECONDS = 5, 3.0  # so that a median is steady
MOST_SECONDS = 40.0  # of large models, once two steps are measured
# a checkpoint: the bytes that are written and hashed a second, and what each takes beside
SAVE_RATE, SAVE_SECONDS = 250e6, 0.15
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """seconds_per_step and tokens_per_second (real tokens, in steps alone); evaluation: seconds of one on all
    validation text that is used; start: seconds until the first step; memory: bytes at the peak, None where
    the system does not tell; steps: how many were measured."""

    seconds_per_step: float
    tokens_per_second: float
    evaluation: float
    start: float
    memory: int | None
    steps: int


def measure(sections: Sections, start: Start, machine: Runtime) -> Measured:
    """Train some steps on throw-away weights, and evaluate some micro-batches. Settings must be resolved but
    for durations. Raises Interrupted where a signal asks to stop. All processes of the world call this, and
    get what rank 0 measured."""
    begin = time.perf_counter()
    with machine.active(), hushed(), torch.random.fork_rng(devices=_cards(machine)):
        reset_peak(machine.device)
        work, parts = start(machine)
        if sections.train.gradient_checkpointing:
            parts.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        steps = Duration(1000, "steps")
        timed = sections.train.model_copy(update={"duration": steps, "eval_every": steps})
        schedule = sections.optim.schedule.model_copy(update={"warmup": 0.0, "decay": 0.5})
        optim = sections.optim.model_copy(update={"schedule": schedule})
        plan = make_plan(replace(sections, train=timed, optim=optim), work)
        loop = Loop(plan, Path(), parts.model, work, optim, machine, parts, TrainState(), Untold())
        if machine.compiled:
            compile_blocks(parts.model)
        started = time.perf_counter() - begin
        try:
            laps, tokens = _laps(loop)
        finally:
            loop.batches.close()
        evaluation = _evaluation(work, machine.world) if work.evaluates else 0.0
        memory = peak_memory(machine.device)
    gc.collect()
    found = (statistics.median(laps), tokens / sum(laps), evaluation, started, memory, len(laps))
    return Measured(*machine.world.tell(list(found)))


def _cards(machine: Runtime) -> list[int]:
    return [torch.cuda.current_device()] if machine.device == "cuda" else []


def _laps(loop: Loop) -> tuple[list[float], int]:
    """(seconds of each step that counts, their real tokens)."""
    laps: list[float] = []
    before = 0
    while loop.world.tell(_go_on(laps)):
        if len(laps) == WARM_UP:
            before = loop.state.tokens
        begin = time.perf_counter()
        if not loop._step():
            raise Interrupted("stopped while the speed was measured")
        laps.append(time.perf_counter() - begin)
    return laps[WARM_UP:], loop.state.tokens - before


def _go_on(laps: list[float]) -> bool:
    counted = laps[WARM_UP:]
    if len(counted) >= 2 and sum(laps) > MOST_SECONDS:
        return False
    return len(counted) < LEAST_STEPS or sum(counted) < LEAST_SECONDS


def _evaluation(work: Work, world: World) -> float:
    """Seconds of an evaluation, by those micro-batches of it that a second holds."""
    turns: list[float] = []

    def stop() -> bool:
        turns.append(time.perf_counter())
        enough = len(turns) > 4 and turns[-1] - turns[0] > LEAST_SECONDS / 2
        return bool(world.tell(enough))

    begin = time.perf_counter()
    if work.evaluate(stop) is not None:  # there was less
        return time.perf_counter() - begin
    batches = work.valid_share * len(work.micro_batches(0))
    return statistics.median(np.diff(turns).tolist()) * max(1.0, batches)


# ----------------------------------------------------------------------------------------- what it amounts to


def minutes(sections: Sections) -> dict[str, Duration]:
    """The durations in minutes, by their dotted names."""
    train, schedule = sections.train, sections.optim.schedule
    timed = {"train.duration": train.duration, "train.eval_every": train.eval_every}
    timed |= {"optim.schedule.warmup": schedule.warmup, "optim.schedule.decay": schedule.decay}
    return {
        name: value
        for name, value in timed.items()
        if isinstance(value, Duration) and value.unit == "minutes"
    }


def in_steps(sections: Sections, measured: Measured) -> dict[str, str]:
    """The durations in minutes as steps, by their dotted names: {"train.duration": "300 steps"}.

    What a run of minutes spends in evaluations is taken off its steps.
    """
    every, found = sections.train.eval_every, {}
    for name, value in minutes(sections).items():
        overhead = 0.0
        if name == "train.duration":
            count = 1 / every if isinstance(every, float) and every else 10
            overhead = measured.evaluation * count
        found[name] = f"{max(1, int((value.amount * 60 - overhead) / measured.seconds_per_step))} steps"
    return found


def save_seconds(checkpoint_bytes: float) -> float:
    """Seconds that one checkpoint takes, about."""
    return SAVE_SECONDS + checkpoint_bytes / SAVE_RATE


# ------------------------------------------------------------------------------------------------- memory


def resident() -> int | None:
    """Bytes of memory that this process holds now; None where the system does not tell."""
    return _status("VmRSS")


def reset_peak(device: str) -> None:
    """Let `peak_memory` count from here, where the system can."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        CLEAR.write_text("5", encoding="ascii")


def peak_memory(device: str) -> int | None:
    """Bytes held at the peak since `reset_peak`: of the card on a GPU, else of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    found = _status("VmHWM")
    if found is None:
        unit = 1 if sys.platform == "darwin" else 1024
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return found


def _status(name: str) -> int | None:
    with contextlib.suppress(OSError):
        line = re.search(rf"^{name}:\s*(\d+) kB", STATUS.read_text(encoding="utf-8"), re.MULTILINE)
        return int(line[1]) * 1024 if line else None
    return None


# ------------------------------------------------------------------------------------------- made-up text


class _MadeUp:
    """Endless blocks of random tokens, as the shards would give them."""

    sizes = 1 << 40

    def __init__(self, size: int, packed: bool, vocabulary: Vocabulary) -> None:
        self.size, self.packed, self.vocabulary = size, packed, vocabulary

    def __len__(self) -> int:
        return self.sizes

    def at(self, epoch: int) -> _MadeUp:
        """The blocks of an epoch: these."""
        return self

    def rows(self, ids: np.ndarray) -> None:
        """Nothing: they are made one by one."""

    def __getitem__(self, i: int) -> Block:
        """Block i; packed: texts of up to 32 tokens, else one of size + 1."""
        draw = np.random.default_rng(i)
        length = self.size if self.packed else self.size + 1
        lowest = max(self.vocabulary.special_ids, default=-1) + 1
        ids = draw.integers(lowest, self.vocabulary.size, length)
        places = np.arange(length, dtype=np.int32)
        if not self.packed:
            return Block(ids, np.zeros(length, np.int32), places, length)
        each = min(32, length)
        segments, positions = places // each, places % each
        opens = positions == 0
        cls_id, sep_id = self.vocabulary.cls_id, self.vocabulary.sep_id
        assert cls_id is not None and sep_id is not None  # `made_up_vocabulary` has them
        ids[opens], ids[np.append(opens[1:], True)] = cls_id, sep_id
        return Block(ids, segments, positions, length, draw.random(length) < 0.5)


def made_up_vocabulary(pieces: int) -> Vocabulary:
    """The vocabulary of a tokenizer that is not there yet."""
    return Vocabulary(max(pieces, 16), 1, 0, mask_id=4, cls_id=2, sep_id=3, special_ids=(0, 1, 2, 3, 4))


def made_up(sections: Sections, vocabulary: Vocabulary, blueprint: Any, valid_tokens: int) -> Start:
    """A `Start` for `measure` without any text: random tokens, and random weights of the blueprint's shape.

    valid_tokens: of the validation text that there will be.
    """
    objective, train = sections.objective, sections.train

    def start(machine: Runtime) -> tuple[Pretraining, checkpoint.Parts]:
        torch.manual_seed(key(sections.seed, "init"))
        model = type(blueprint)(blueprint.config)
        for old, new in zip(blueprint.parameters(), model.parameters(), strict=True):
            new.requires_grad_(old.requires_grad)
        model.to(machine.device)
        blocks = _MadeUp(objective.block_size, objective.packs_segments, vocabulary)
        attention = choose_attention(sections, model, vocabulary)
        loss = Loss(model, attention, compiled=machine.compiled)
        shards: Any = None  # of which nothing is asked without validation text
        work = Pretraining(sections, Built(model, vocabulary, shards, None, blocks, None), loss, machine)
        used = min(valid_tokens, train.eval_tokens or valid_tokens) // objective.block_size
        if used:
            work.valid_blocks, work.valid_rows = blocks, used
        return work, checkpoint.Parts(model, sections.optim.build(model), Path(), objective.block_size, {})

    return start
