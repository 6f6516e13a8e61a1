"""The work of `tane train`: blocks of text under an objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from tane.durations import Duration
from tane.model.attention import Attention
from tane.model.build import positions
from tane.model.loss import Loss
from tane.tokens.order import Sizes, global_batch, key, mean_size
from tane.training import checkpoint
from tane.training.build import Built, build, characters_of, choose_attention
from tane.training.memory import micro_rows
from tane.training.runtime import Runtime, choose_micro_rows
from tane.training.samples import Continued, Filled
from tane.training.settings import Sections
from tane.training.wide import Inside, choose_way, cut, deal, require_rows, spread
from tane.training.work import Valid
from tane.types import Batch


def batch_rows(sections: Sections) -> int:
    """Blocks of a global batch."""
    return sections.train.batch_tokens // sections.objective.block_size


def scale_of(sections: Sections, duration: Duration, sizes: int | Sizes) -> dict[str, Any]:
    """What durations need to become steps; `sizes` are the blocks of the epochs.

    An epoch is the mean of those of the run, so that a run of 2 epochs ends with the last block of epoch 1.
    """
    rows = batch_rows(sections)
    # to count the blocks of an epoch of packed texts takes longer
    usual = 16 if sections.objective.packs_segments else 1000
    mean = mean_size(sizes, duration.amount if duration.unit == "epochs" else usual)
    return {"tokens_per_step": rows * sections.objective.block_size, "steps_per_epoch": mean / rows}


class Pretraining:
    """Blocks, objective and loss of one run; see `work.Work`.

    rows: blocks of a global batch; micro_rows: of a micro-batch at most; valid_rows: of the validation set,
    as many as are used; chars_per_target: characters of validation text to a target, None where not all of
    it is scored.
    """

    measures: ClassVar[tuple[str, ...]] = ("loss", "bits_per_char", "accuracy")

    def __init__(
        self,
        sections: Sections,
        built: Built,
        loss: Loss,
        machine: Runtime,
        inside: Inside | None = None,
    ) -> None:
        train, objective = sections.train, sections.objective
        self.inside, self.world = inside or Inside(loss.model), machine.world
        self.sections, self.objective, self.loss, self.machine = sections, objective, loss, machine
        self.built, self.vocabulary = built, built.vocabulary
        self.train_blocks, self.valid_blocks = built.train_blocks, built.valid_blocks
        self.rows = batch_rows(sections)
        self.micro_rows = choose_micro_rows(
            train.micro_batch_tokens, train.device, objective.block_size, self.rows
        )
        self.settled: dict[str, Any] = {
            "train.attention": loss.attention.way,
            "train.micro_batch_tokens": self.micro_rows * objective.block_size,
        }
        self.valid_rows, self.chars_per_target = 0, None
        if built.valid_blocks is not None and built.valid_shards is not None:
            counts = built.valid_shards.meta["splits"]["valid"]
            cap = train.eval_tokens or len(built.valid_blocks) * objective.block_size
            self.valid_rows = min(len(built.valid_blocks), max(1, cap // objective.block_size))
            if objective.scores_all_text:
                whole, some = max(1, counts["tokens"] - 1), self.valid_rows * objective.block_size
                characters = counts["characters"] if some >= whole else characters_of(built, some)
                self.chars_per_target = characters / min(some, whole)

    @property
    def evaluates(self) -> bool:
        """Whether there is validation text."""
        return self.valid_blocks is not None

    @property
    def valid_share(self) -> float:
        """How many global batches the validation set makes."""
        return self.valid_rows / self.rows

    def scale(self, duration: Duration) -> dict[str, Any]:
        """What durations need to become steps."""
        return scale_of(self.sections, duration, self.train_blocks.sizes)

    def _places(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return global_batch(step, self.rows, self.train_blocks.sizes, self.sections.seed)

    def ids(self, step: int) -> list[int]:
        """The blocks of a step."""
        return self._places(step)[1].tolist()

    def micro_batches(self, step: int) -> list[tuple[int, Batch]]:
        """This process' part of a step's global batch; the same blocks and masks however it is cut."""
        epochs, ids = self._places(step)
        dealt = deal(cut(self.rows, self.micro_rows, self.world), self.world)
        return [(n, self._batch(epochs[p.start : p.stop], ids[p.start : p.stop])) for n, p in dealt]

    def _batch(self, epochs: np.ndarray, ids: np.ndarray) -> Batch:
        at, objective = self.train_blocks.at, self.objective
        if not objective.draws and epochs[0] == epochs[-1]:
            rows = at(int(epochs[0])).rows(ids)
            if rows is not None:
                return objective.rows_batch(rows)
        places = list(zip(epochs.tolist(), ids.tolist(), strict=True))
        keys = [key(self.sections.seed, "mask", *place) if objective.draws else 0 for place in places]
        return objective.batch([at(epoch)[i] for epoch, i in places], keys, self.vocabulary)

    def lessen(self) -> dict[str, Any] | None:
        """Halve the micro-batches; None where they are of one block."""
        if self.micro_rows == 1:
            return None
        self.micro_rows //= 2
        return {"train.micro_batch_tokens": self.micro_rows * self.objective.block_size}

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> Valid | None:
        """Loss, accuracy and bits per character on the first `valid_rows` blocks in their fixed order.

        Sums are divided once, so the result does not depend on how the rows are batched. Each process takes
        its part of the batches; where they do not share out, some take one twice and it counts once.
        """
        model = self.loss.model
        training = model.training
        model.eval()
        nats, right, targets = 0.0, 0, 0
        batches = list(_chunks(self.valid_rows, self.micro_rows))
        try:
            for first in range(0, len(batches), self.world.size):
                if stop():
                    return None
                place = first + self.world.rank
                numbers = batches[min(place, len(batches) - 1)]
                keys = [key("valid", i) for i in numbers]
                batch = self.objective.batch([self.valid_blocks[i] for i in numbers], keys, self.vocabulary)
                with torch.no_grad(), self.machine.autocast():
                    found, hits = self.inside(self.loss.predictions, batch.to(self.machine.device))
                if place < len(batches):
                    nats += found.double().sum().item()
                    right += int(hits.sum())
                    targets += batch.num_targets
        finally:
            model.train(training)
        nats, correct, count = self.world.sum(nats, right, targets)
        ratio = self.chars_per_target
        return {
            "loss": nats / count,
            "bits_per_char": None if ratio is None else nats / math.log(2) / (count * ratio),
            "accuracy": correct / count,
            "targets": int(count),
        }

    def samples(self) -> dict[str, Any]:
        """How a few validation texts are continued, or their hidden words filled; see samples.py."""
        if self.looks is None:
            return {}
        model = self.loss.model
        training = model.training
        model.eval()
        try:
            with torch.no_grad(), self.machine.autocast(), torch.compiler.set_stance("force_eager"):
                return self.looks.look(self._likeliest)
        finally:
            model.train(training)

    def _likeliest(self, batch: Batch, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.inside(self.loss.likeliest, batch.to(self.machine.device), count)
        return found[0].cpu(), found[1].cpu()

    @cached_property
    def looks(self) -> Continued | Filled | None:
        """What is looked at with each evaluation."""
        built, objective = self.built, self.objective
        if built.valid_blocks is None or built.valid_shards is None or built.encoder is None:
            return None
        if not self.sections.train.samples:
            return None
        if objective.scores_all_text:
            return Continued(built.encoder, built.valid_shards, objective.block_size, self.sections.seed)
        block = built.valid_blocks[0]
        batch = objective.batch([block], [key("valid", 0)], self.vocabulary)
        borders = np.flatnonzero(np.diff(block.segments[: block.length], prepend=-1, append=-1))
        return Filled(built.encoder, batch, borders, block.ids)

    def score(self, valid: Valid) -> float:
        """The lower the loss, the better."""
        assert valid["loss"] is not None
        return -valid["loss"]

    def told(self, valid: Valid) -> str:
        """The loss and what says more."""
        if valid["bits_per_char"] is not None:
            return f"valid loss {valid['loss']:.4f}, {valid['bits_per_char']:.3f} bits per character"
        return f"valid loss {valid['loss']:.4f}, {valid['accuracy']:.1%} right"


def _chunks(rows: int, size: int) -> Iterator[range]:
    for start in range(0, rows, size):
        yield range(start, min(rows, start + size))


def start(
    sections: Sections, data_dir: Path, fingerprints: dict[str, str], machine: Runtime
) -> tuple[Pretraining, checkpoint.Parts]:
    """Model, blocks and optimizers of a run, on its device. Settings must be resolved."""
    world = machine.world

    def ready() -> tuple[Built, Attention, int]:
        built = build(sections, data_dir)
        require_rows(batch_rows(sections), world)
        built.model.to(machine.device)
        attention = choose_attention(sections, built.model, built.vocabulary)
        rows = -(-batch_rows(sections) // world.size)
        held = sum(p.numel() * p.element_size() for p in built.model.parameters())
        way = choose_way(built.model, machine.parallel, machine.device)
        most = micro_rows(
            sections, built.model, attention.way, rows, held=held, processes=world.size,
            parts=world.size if way == "fsdp" else 1,
        )  # fmt: skip
        return built, attention, most

    built, attention, rows = world.together(ready)
    micro = min(world.gather(rows)) * sections.objective.block_size
    train = sections.train.model_copy(update={"micro_batch_tokens": micro})
    sections, model = replace(sections, train=train), built.model
    loss = Loss(model, attention, compiled=machine.compiled)
    inside = spread(model, machine.parallel, world, machine.device)
    longest = positions(model) or sections.objective.block_size
    parts = checkpoint.Parts(
        model, sections.optim.build(model), data_dir / "tokenizer", longest, fingerprints, world=world,
        kept=sections.optim.state_size(model),
    )  # fmt: skip
    return Pretraining(sections, built, loss, machine, inside), parts
