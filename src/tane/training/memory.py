"""How much memory training takes: predicted before it is taken.

One optimizer step is played through on torch's fake tensors, which have shapes and no memory, while every
tensor that comes and goes is counted. So whatever the family of the model, the way of its attention, the
precision and the optimizer: what a step holds at its peak is what their own code asks for, and nothing is
computed. A real step held the same to the byte, but for torch's fused attention on a CPU (3 % less).
"""

from __future__ import annotations

import contextlib
import copy
import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tane.model.attention import MOST_SEGMENTS, Attention, Way
from tane.model.loss import CHUNK_BYTES, Loss
from tane.optim.groups import OptimSettings
from tane.training.free import free_memory
from tane.training.runtime import CPU_MICRO_TOKENS, DTYPES, GPU_MICRO_TOKENS
from tane.training.settings import Sections
from tane.types import Batch

SHARE = 0.9  # of the free memory that a step may fill: the allocator's gaps take the rest
CONTEXT = 500 << 20  # bytes of a card that CUDA takes for itself


@dataclass(frozen=True)
class Estimate:
    """Bytes held at the peak of a step, by what holds them.

    weights; gradients: with what a backward pass needs for a moment; optimizer: its state, and what an update
    needs for a moment; activations: kept for the backward pass; copies: weights in half precision; head:
    logits, and the gradients that the loss makes with them.
    """

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    copies: int = 0
    head: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Shape:
    """A micro-batch of text: rows of `length` positions, the share of them that are targets, how attention is
    computed, and whether it keeps the segments of a row apart."""

    rows: int
    length: int
    targets: float = 1.0
    way: Way = "sdpa"
    packed: bool = False


# -------------------------------------------------------------------------------------------------- the step


class _Count(TorchDispatchMode):
    """Counts the bytes of all storages that are alive, by the phase in which they were made."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = "weights"
        self.alive: dict[int, tuple[int, str]] = {}  # storage -> (bytes, phase)
        self.now = dict.fromkeys(vars(Estimate()), 0)
        self.peak = Estimate()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        phase = self.phase
        if phase == "activations" and func is torch.ops.aten._to_copy.default and self._is_weight(args[0]):
            phase = "copies"
        for value in tree_leaves(found):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage(), phase)
        return found

    def _is_weight(self, tensor: Tensor) -> bool:
        return self.alive.get(tensor.untyped_storage()._cdata, (0, ""))[1] == "weights"

    def _add(self, storage: Any, phase: str) -> None:
        key = storage._cdata
        if key in self.alive:
            return
        size = int(storage.nbytes())
        self.alive[key] = size, phase
        self.now[phase] += size
        weakref.finalize(storage, self._drop, key)
        if sum(self.now.values()) > self.peak.total:
            self.peak = Estimate(**self.now)

    def _drop(self, key: int) -> None:
        size, phase = self.alive.pop(key, (0, "weights"))
        self.now[phase] -= size


Forward = Callable[[Any, _Count, str], Tensor]  # (model, count whose phase it may name, device) -> loss


def peak(
    model: Any, optim: OptimSettings, forward: Forward, *, device: str = "cpu", precision: str = "fp32",
    accumulates: bool = False, checkpointing: bool = False,
) -> Estimate | None:  # fmt: skip
    """What training `model` (a real one, or one on torch's meta device; it is not touched) holds at the peak
    of a step: see `text_loss` for `forward`. None where a model's code asks for values.

    accumulates: a step has several micro-batches, so that gradients are there when the next one comes.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    device = "cuda" if device == "cuda" else "cpu"
    count = _Count()
    try:
        # what a model keeps beside its parameters and buffers is real, and is taken as it is
        with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True), count:
            twin = _twin(model, device)
            if checkpointing:
                twin.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            twin.train()
            _step(twin, optim, forward, count, device, precision, 2 if accumulates else 1)
    # a model that is unlike others, in code that is not ours
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError):
        return None
    return count.peak


def _twin(model: Any, device: str) -> Any:
    """A copy of a model whose parameters and buffers are fake."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        value = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
        memo[id(parameter)] = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
    return copy.deepcopy(model, memo)


def _step(
    model: Any, optim: OptimSettings, forward: Forward, count: _Count, device: str, precision: str, times: int
) -> None:
    """An update, so that the optimizer's state is there, then forward and backward passes."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizers = optim.build(model)
    count.phase = "gradients"
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    count.phase = "optimizer"
    for optimizer in optimizers:
        optimizer.step()
    for parameter in trained:
        parameter.grad = None
    for _ in range(times):
        count.phase = "activations"
        on = contextlib.nullcontext() if precision == "fp32" else torch.autocast(device, DTYPES[precision])
        with on:
            loss = forward(model, count, device)
        count.phase = "gradients"
        loss.backward()
        del loss


class _Blind(Loss):
    """The loss where no values are known: it cannot try its head, nor see where targets are."""

    def __init__(self, model: Any, attention: Attention, count: _Count) -> None:
        super().__init__(model, attention)
        self.count = count

    def _agrees(self) -> bool:
        return True

    def _targets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        module, output = (self.model, "logits") if self.base is None else (self.base, "last_hidden_state")
        states = self.attention(module, batch, output, **self._extra()).flatten(0, 1)
        self.count.phase = "head"
        labels = batch.labels.flatten()
        if batch.num_targets != labels.numel():
            chosen = torch.zeros(batch.num_targets, dtype=torch.long, device=labels.device)
            states, labels = states[chosen], labels[chosen]
        return states if self.base is None else self.transform(states), labels


def text_loss(shape: Shape) -> Forward:
    """The forward pass over a micro-batch of text, for `peak`."""

    def forward(model: Any, count: _Count, device: str) -> Tensor:
        # where segments end depends on values; only ways with a mask know of them here, and the others hold
        # nothing more for them
        masked = shape.packed and shape.way in ("eager", "sdpa")
        way: Way = "sdpa" if shape.packed and not masked else shape.way
        ids = torch.zeros(shape.rows, shape.length, dtype=torch.long, device=device)
        targets = max(1, round(shape.targets * ids.numel()))
        segments = ids.to(torch.int32) if masked else None
        batch = Batch({"input_ids": ids}, torch.zeros_like(ids), targets, ids.numel(), segments)
        return _Blind(model, Attention(model, way), count)(batch)

    return forward


def batch_loss(batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> Forward:
    """The forward pass over a micro-batch of this shape with the model's own head, for `peak`; `loss` takes
    (logits, labels)."""

    def forward(model: Any, count: _Count, device: str) -> Tensor:
        def blank(given: Tensor) -> Tensor:
            return torch.zeros(given.shape, dtype=given.dtype, device=device)

        logits = model(**{name: blank(value) for name, value in batch.inputs.items()}).logits
        count.phase = "head"
        return loss(logits, blank(batch.labels))

    return forward


# ------------------------------------------------------------------------------------------ what fits into it


def largest_micro_rows(
    peak_of: Callable[[int], int | None], free: int, rows: int, usual: int | None = None
) -> int:
    """The most rows of a micro-batch, at least 1, whose peak fits into SHARE of the free bytes.

    rows: of the global batch, beyond which none goes; usual: another such limit; peak_of: the bytes held with
    so many rows, which grow with them, or None where that is not known: then `usual` is right.
    """
    most = max(1, rows if usual is None else min(rows, usual))
    room = SHARE * free
    high, above = most, peak_of(most)
    if above is None or above <= room or most == 1:
        return most
    low, below = 1, peak_of(1)
    if below is None or below > room:
        return 1
    while high - low > max(1, low // 32):  # memory is nearly a straight line of the rows
        between = low + int((high - low) * (room - below) / (above - below))
        tried = min(high - 1, max(low + 1, between))
        found = peak_of(tried)
        if found is None:
            break
        if found <= room:
            low, below = tried, found
        else:
            high, above = tried, found
    return low


def micro_rows(
    sections: Sections, model: Any, way: Way, rows: int, *, held: int = 0, processes: int = 1, parts: int = 1
) -> int:
    """Rows of a micro-batch: those that `train.micro_batch_tokens` names, or for auto the most that fit into
    the memory that is free; never more than the `rows` of the global batch, which stays what it is.

    model: real, or on the meta device; settings must be resolved but for this one. held: bytes of the model
    that are taken already. processes: that share the global batch; parts: among which weights, gradients and
    the optimizer's state are divided. On a CPU never more than the usual, since larger ones are no faster
    there.
    """
    train, length = sections.train, sections.objective.block_size
    # a segment has three positions at least, and a row at most one that is padding
    limit = min(rows, MOST_SEGMENTS // (length // 3 + 1)) if way == "varlen" else rows
    if train.micro_batch_tokens != "auto":
        return max(1, min(limit, train.micro_batch_tokens // length))
    card = train.device == "cuda"
    usual = max(1, (GPU_MICRO_TOKENS if card else CPU_MICRO_TOKENS) // length)
    free = free_memory(train.device)
    if free is None:
        return min(limit, usual)
    free += held
    if not card and generous(model, min(limit, usual), length) <= SHARE * free:
        return min(limit, usual)  # it takes a second to know better, and nothing would change

    @functools.cache
    def peak_of(count: int) -> int | None:
        several = count < rows or processes > 1  # replicas keep the buckets of their gradients, too
        found = peak_of_rows(sections, model, way, count, rows, accumulates=several)
        if found is None or parts == 1:
            return None if found is None else found.total
        state = found.weights + found.gradients + found.optimizer
        whole = found.weights if several else 0  # gradients that wait to be divided
        return found.total - state + state // parts + whole

    if peak_of(1) is None:
        return min(limit, usual)
    return largest_micro_rows(peak_of, free, limit, None if card else usual)


def peak_of_rows(
    sections: Sections, model: Any, way: Way, micro: int, rows: int, *, accumulates: bool | None = None
) -> Estimate | None:
    """What a step of `rows` rows in micro-batches of `micro` rows holds at its peak; settings resolved.
    accumulates: as for `peak`; None: where there are several micro-batches."""
    train, objective = sections.train, sections.objective
    share = 1.0 if objective.scores_all_text else objective.mask_prob
    packed = objective.packs_segments or getattr(objective, "isolate_documents", False)
    shape = Shape(micro, objective.block_size, share, way, packed)
    return peak(
        model, sections.optim, text_loss(shape), device=train.device, precision=train.precision,
        accumulates=micro < rows if accumulates is None else accumulates,
        checkpointing=train.gradient_checkpointing,
    )  # fmt: skip


def generous(model: Any, rows: int, length: int) -> float:
    """Bytes that training will surely not exceed, guessed in no time; infinite for a model of another kind.

    Twice what GPT-2, BERT and Llama keep for a token and layer in fp32.
    """
    config = model.config
    try:
        layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
        inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        width = max(int(config.hidden_size), int(inner) // 4)
    except (AttributeError, TypeError, ValueError):
        return float("inf")
    values = rows * length * (layers + 2) * (50 * width + 6 * heads * length)
    weights = sum(p.numel() for p in model.parameters())
    return 4 * (6 * weights + values) + 4 * CHUNK_BYTES
