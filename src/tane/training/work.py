"""What a run trains on and how it is evaluated: all that the loop knows of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from tane.durations import Duration
from tane.training.wide import Inside
from tane.types import Batch

Valid = dict[str, float | None]  # what an evaluation measured, by name; "loss" and "targets" among it


class Work(Protocol):
    """What a run trains on, and how it is evaluated: text under an objective, or the examples of a task."""

    settled: dict[str, Any]  # what `auto` became here: dotted name -> value
    inside: Inside  # calls what needs the model, so that several processes can share it

    @property
    def measures(self) -> tuple[str, ...]:
        """The names that `valid` has, for the run's metrics."""
        ...

    @property
    def evaluates(self) -> bool:
        """Whether there is something to evaluate on."""
        ...

    @property
    def valid_share(self) -> float:
        """How many global batches the validation set makes."""
        ...

    def scale(self, duration: Duration) -> dict[str, Any]:
        """What durations need to become steps: tokens_per_step, steps_per_epoch."""
        ...

    def ids(self, step: int) -> list[int]:
        """Which blocks or examples a step trains on, for a message."""
        ...

    def micro_batches(self, step: int) -> list[tuple[int, Batch]]:
        """This process' pieces of a step's global batch, with their numbers in it; all processes have as
        many, and all together are the same batch however it is cut and dealt."""
        ...

    def lessen(self) -> dict[str, Any] | None:
        """Make the pieces smaller where memory does not hold them: the settings that changed by it, or None
        where they cannot be smaller."""
        ...

    def loss(self, batch: Batch) -> torch.Tensor:
        """The summed loss of a batch on the run's device, with a gradient."""
        ...

    def evaluate(self, stop: Callable[[], bool]) -> Valid | None:
        """What the validation set gives, the same whatever the batches; None where `stop` said so, which
        says the same on all processes."""
        ...

    def samples(self) -> dict[str, Any]:
        """What the model says now of texts that stay the same, for people; {} where nothing is shown. All
        processes call this."""
        ...

    def score(self, valid: Valid) -> float:
        """What decides which checkpoint is the best: the higher the better."""
        ...

    def told(self, valid: Valid) -> str:
        """An evaluation in a few words."""
        ...
