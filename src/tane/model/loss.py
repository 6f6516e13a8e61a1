"""The loss: summed nats over the targets, in fp32, without ever holding the logits of a whole batch.

Head and cross-entropy are one function. It walks over rows in chunks: logits, loss and the gradient of the
logits are made in one pass while the chunk lies in the cache, and are used at once for the gradients of
hidden states and weight (the idea of Liger-Kernel's fused linear cross-entropy, Hsu et al. 2024). Only rows
with a target take part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tane.model.attention import Attention
from tane.model.heads import transform_of
from tane.types import IGNORE, Batch

CHUNK_BYTES = 8 << 20  # fp32 logits held at once: what a CPU's cache holds
GPU_CHUNK_BYTES = 2 << 30  # a GPU reads and writes the whole gradient of the weight for each chunk


def rows_at_once(columns: int, device: str) -> int:
    """Rows of logits over `columns` pieces that are held at once."""
    return max(16, (GPU_CHUNK_BYTES if device == "cuda" else CHUNK_BYTES) // (4 * columns))


def _piece(
    logits: Tensor, bias: Tensor | None, labels: Tensor, wanted: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Of some rows of logits (n, V): nats, summed in fp64; their gradient, written over the logits; and that
    of the bias (V,) in fp32. Gradients only where `wanted`.

    One function for both roads: eager it works in place, compiled it is two passes over the logits.
    """
    y = labels[:, None]
    values = logits.float()
    if bias is not None:
        values += bias.float()
    right, top = values.gather(1, y), values.amax(1, keepdim=True)
    grad = values.sub_(top).exp_()  # the one pass of exponentials serves loss and gradient
    whole = grad.sum(1, keepdim=True)
    nats = (whole.log() + top - right).sum(dtype=torch.float64 if logits.device.type != "mps" else None)
    if not wanted:
        return nats, None, None
    grad.div_(whole)  # softmax
    if torch.compiler.is_compiling():  # a scatter would be a pass of its own
        grad = grad - (torch.arange(grad.shape[1], device=grad.device) == y).to(grad.dtype)
    else:
        grad.scatter_add_(1, y, grad.new_full(y.shape, -1.0))
    return nats, logits.copy_(grad), None if bias is None else grad.sum(0)


Piece = Callable[[Tensor, Tensor | None, Tensor, bool], tuple[Tensor, Tensor | None, Tensor | None]]


def _compiled_piece() -> Piece:
    """`_piece`, compiled once for any number of rows, of which the last piece of a batch has fewer."""
    compiled = torch.compile(_piece, fullgraph=True)

    def piece(
        logits: Tensor, bias: Tensor | None, labels: Tensor, wanted: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        for given in (logits, labels):
            torch._dynamo.maybe_mark_dynamic(given, 0)
        return compiled(logits, bias, labels, wanted)

    return piece


def _places(mask: Tensor, count: int) -> Tensor:
    """Where a mask with `count` places is true, (count,), without waiting for the device where torch can."""
    try:
        return torch.nonzero_static(mask, size=count).squeeze(1)
    except NotImplementedError:  # an older torch on this device
        return mask.nonzero().squeeze(1)


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of -log softmax(h W^T + b)[y] over rows; gradients are computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, dtype: torch.dtype,
        piece: Piece,
    ) -> Tensor:  # fmt: skip
        h, w = hidden.to(dtype), weight.to(dtype)  # (n, H), (V, H)
        rows, columns = h.shape[0], w.shape[0]
        chunk = rows_at_once(columns, h.device.type)
        need_h, need_w, need_b = ctx.needs_input_grad[:3]
        grad_h = torch.empty_like(h) if need_h else None
        grad_w = torch.zeros(w.shape, dtype=torch.float32, device=w.device) if need_w else None
        grad_b = torch.zeros(columns, dtype=torch.float32, device=w.device) if need_b else None
        total = torch.zeros((), device=h.device)
        for start in range(0, rows, chunk):
            part = h[start : start + chunk]
            logits = part @ w.t()  # (chunk, V)
            nats, grad, grad_of_bias = piece(
                logits, bias, labels[start : start + chunk], need_h or need_w or need_b
            )
            total = total + nats  # in fp64 from here on
            if grad is None:
                continue
            if grad_b is not None and grad_of_bias is not None:
                grad_b += grad_of_bias
            if grad_h is not None:
                torch.mm(grad, w, out=grad_h[start : start + chunk])
            if grad_w is not None:
                grad_w += grad.t() @ part
        ctx.save_for_backward(grad_h, grad_w, grad_b)
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        return total.float()

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        grads = (
            None if grad is None else (grad.float() * scale).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return (*grads, None, None, None)


class Loss:
    """`loss(batch)`: sum of nats over the batch's targets, a scalar with a gradient.

    The fast road calls the base model, then the head at the targets alone; it is taken only if a first try
    shows that the model's own logits are just that, else the model's logits are used whole. compiled: whether
    torch.compile makes what lies between the matrix products of that road.
    """

    def __init__(self, model: Any, attention: Attention | None = None, *, compiled: bool = False) -> None:
        self.model = model
        self.piece = _compiled_piece() if compiled else _piece
        self.attention = attention or Attention(model)
        head = model.get_output_embeddings()
        base = model.base_model if model.base_model is not model else None
        self.transform = transform_of(model)
        self.head: Any = head
        self.base: Any = base
        if not isinstance(head, torch.nn.Linear) or base is None or not self._agrees():
            self.head = self.base = None

    @torch.no_grad()
    def _agrees(self) -> bool:
        ids = torch.arange(8, device=self.head.weight.device)[None] % self.head.weight.shape[0]
        training = self.model.training
        self.model.eval()
        try:
            hidden = self.base(input_ids=ids, **self._extra()).last_hidden_state
            own = self.model(input_ids=ids, **self._extra()).logits
            ours = self.head(self.transform(hidden))
        except (AttributeError, TypeError, ValueError, RuntimeError):
            return False
        finally:
            self.model.train(training)
        return own.shape == ours.shape and torch.allclose(own, ours, rtol=1e-4, atol=1e-4)

    def _extra(self) -> dict[str, Any]:
        # a cache costs memory, and with it GPT-2 and Llama do not keep packed documents apart
        return {"use_cache": False} if getattr(self.model.config, "is_encoder_decoder", None) is False else {}

    def _targets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """At the positions with a target: what the head takes (n, H), or whole logits (n, V) where its
        parts are not known; and the labels (n,)."""
        whole = self.base is None
        module, output = (self.model, "logits") if whole else (self.base, "last_hidden_state")
        states = self.attention(module, batch, output, **self._extra()).flatten(0, 1)
        labels = batch.labels.flatten()
        if batch.num_targets != labels.numel():
            chosen = _places(labels != IGNORE, batch.num_targets)
            states, labels = states[chosen], labels[chosen]
        return states if whole else self.transform(states), labels

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's inputs and labels lie on the model's device; call under autocast or without."""
        states, labels = self._targets(batch)
        if self.base is None:
            return torch.nn.functional.cross_entropy(states.float(), labels, reduction="sum")
        device = states.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
        with torch.autocast(device, enabled=False):
            return _LinearCrossEntropy.apply(
                states, self.head.weight, self.head.bias, labels, dtype, self.piece
            )

    @torch.no_grad()
    def predictions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(nats (n,) fp32, whether the likeliest token is the label (n,)) of each target in the order of the
        rows; in evaluation, without gradients."""
        states, labels = self._targets(batch)
        nats = torch.empty(len(labels), device=states.device)
        right = torch.empty(len(labels), dtype=torch.bool, device=states.device)
        chunk = rows_at_once(self.model.config.vocab_size, states.device.type)
        for start in range(0, len(labels), chunk):
            part, wanted = states[start : start + chunk], labels[start : start + chunk]
            logits = (part if self.head is None else self.head(part)).float()
            nats[start : start + chunk] = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
            right[start : start + chunk] = logits.argmax(1) == wanted
        return nats, right

    @torch.no_grad()
    def likeliest(self, batch: Batch, count: int) -> tuple[Tensor, Tensor]:
        """(probabilities (n, count) fp32, pieces (n, count)), the likeliest first, at each of the few targets
        of the batch in the order of the rows; in evaluation, without gradients."""
        states, _ = self._targets(batch)
        logits = (states if self.head is None else self.head(states)).float()
        found = logits.softmax(-1).topk(min(count, logits.shape[-1]))
        return found.values, found.indices

    def per_target(self, batch: Batch) -> Tensor:
        """Nats of each target in the order of the rows, (n,) fp32."""
        return self.predictions(batch)[0]
