"""READ FIRST: the values that pass between the stages.

    files -> Document -> Corpus -> tokenizer -> Shards -> Block -> Batch -> loss -> step -> checkpoint ->
    folder

Letters, everywhere in the code and its comments:

    N tokens   D documents   L block length   B rows of a micro-batch   T positions   V vocabulary   H hidden
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

IGNORE = -100  # label of a position that is no target (the value that PyTorch's cross-entropy ignores)


@dataclass(frozen=True, slots=True)
class Document:
    """One text with a stable name: `id` is its file and position, `meta` what its source knew of it."""

    id: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)


class Block(NamedTuple):
    """One training example before batching; a pure function of (shards, length, packing).

    ids (L,) int64; segments (L,) int32, equal within one document; positions (L,) int32, restarting with each
    segment; length: how many of the L ids are real (only the last block of a stream is shorter than L);
    starts (L,) bool: where a word starts, None where the objective does not ask.
    """

    ids: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    length: int
    starts: np.ndarray | None = None


class Vocabulary(NamedTuple):
    """What an objective must know of the tokenizer: how many real pieces there are, and the ids it needs.

    eos_id ends a text ([SEP] where there is no EOS); pad_id is eos_id where there is no padding token;
    special_ids: every id that no text has, that of what is unknown included.
    """

    size: int
    eos_id: int
    pad_id: int
    mask_id: int | None = None
    cls_id: int | None = None
    sep_id: int | None = None
    special_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass takes.

    inputs: dict of (B, T) tensors; labels (B, T) int64, IGNORE = no target: logits[:, t] is scored by
    labels[:, t] (the objective has shifted already; the model never sees labels); of a task with one label an
    example they are (B,); num_targets: how many labels are targets; num_tokens: how many input positions hold
    real tokens; segments (B, T) int32: positions attend only where it is equal, and `model/attention.py`
    makes of it what the model's family takes. None: `model(**inputs)` is right as it is. num_segments: how
    many runs of equal ones it has, each row by itself; 0: not counted.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    num_targets: int
    num_tokens: int
    segments: Tensor | None = None
    num_segments: int = 0

    def to(self, device: str) -> Batch:
        """The same on a device; copies from pinned memory do not wait."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same in memory from which a GPU copies by itself, where there is a GPU."""
        import torch

        return self._with(lambda tensor: tensor.pin_memory()) if torch.cuda.is_available() else self

    def _with(self, change: Callable[[Tensor], Tensor]) -> Batch:
        inputs = {name: change(tensor) for name, tensor in self.inputs.items()}
        segments = None if self.segments is None else change(self.segments)
        return replace(self, inputs=inputs, labels=change(self.labels), segments=segments)


@dataclass(slots=True)
class TrainState:
    """What a run must remember besides weights and optimizer; all else is derived from `step`.

    step: optimizer updates done; tokens: real input tokens seen; seconds: time spent in steps, over all
    starts; best_score (the higher the better), best_step, evals_since_best: for early stopping and the best
    model; evaluated_step: where the last evaluation was, valid: what it measured, by name; train_loss: mean
    nats per target over the steps between the last two evaluations; window_*: nats and targets since the last
    one; log_*: the same since the last line of the log; usual_*: what losses are of late (spikes.py);
    loss_scale, good_steps: fp16 only.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    evals_since_best: int = 0
    evaluated_step: int = -1
    valid: dict[str, float | None] = field(default_factory=dict)
    train_loss: float | None = None
    window_nats: float = 0.0
    window_targets: int = 0
    log_nats: float = 0.0
    log_targets: int = 0
    usual_loss: float = 0.0
    usual_spread: float = 0.0
    usual_steps: int = 0
    finished: bool = False
    loss_scale: float = 65536.0
    good_steps: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What every verb returns: where it wrote, what it measured, and the fingerprint of what it used."""

    path: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def json(self) -> dict[str, Any]:
        """The object that `--json` prints: the metrics at the top level, path and fingerprint beside them."""
        rest = {k: v for k, v in asdict(self).items() if k != "metrics" and v}
        return {**rest, **self.metrics}
