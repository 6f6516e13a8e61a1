"""Muon for the hidden matrices, AdamW for the rest (Jordan et al., "Muon", 2024).

The update of a matrix is its momentum made orthogonal, scaled so that its root mean square is AdamW's (Liu et
al., "Muon is Scalable for LLM Training", 2025): one learning rate serves both. That scale is the same for a
matrix and its transpose, which matters since GPT-2 stores (in, out). Fused Q, K, V are made orthogonal apart.
Matrices of one shape are made so together: as many products, each of a size that fills the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from tane.optim.groups import OptimSettings, count, fused_adamw, layered, parameter_groups
from tane.optim.sharded import like, whole
from tane.settings import option

FUSED = (
    "c_attn",
    "qkv",
    "query_key_value",
    "Wqkv",
    "qkv_proj",
)  # names of fused projections, by their module
COEFFICIENTS, STEPS = (3.4445, -4.7750, 2.0315), 5  # of the iteration, by Jordan et al.
AT_ONCE = 1 << 27  # values of matrices that are made orthogonal together: 256 MB in bf16


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (n, rows, columns), rows <= columns, with all singular values brought near 1, in bf16.

    Newton and Schulz' iteration with a quintic: no decomposition, products alone.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def all_orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Each of some matrices of any shapes made orthogonal, in its own place; those of one shape together."""
    shapes: dict[tuple[int, int], list[int]] = {}
    for place, matrix in enumerate(matrices):
        shapes.setdefault((min(matrix.shape), max(matrix.shape)), []).append(place)
    found: list[Tensor] = list(matrices)
    for (rows, columns), places in shapes.items():
        many = max(1, AT_ONCE // (rows * columns))
        for start in range(0, len(places), many):
            some = places[start : start + many]
            flat = [matrices[i] if matrices[i].shape[0] == rows else matrices[i].mT for i in some]
            for place, done in zip(some, orthogonal(torch.stack(flat)), strict=True):
                found[place] = done if matrices[place].shape[0] == rows else done.mT
    return found


class OrthogonalMomentum(torch.optim.Optimizer):
    """Muon's step on all matrices of a model at once; a fused Q, K, V matrix is updated as its three parts.

    fused: the axis along which a parameter holds three parts. The state of a parameter is its momentum.
    Matrices of which each process holds a part are put together for the update.
    """

    def __init__(
        self, groups: list[dict[str, Any]], fused: dict[Tensor, int], *, lr: float, weight_decay: float,
        momentum: float,
    ) -> None:  # fmt: skip
        self.fused = fused
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all matrices that have a gradient."""
        for group in self.param_groups:
            live = [p for p in group["params"] if p.grad is not None]
            if live:
                self._update(live, group["lr"], group["weight_decay"], group["momentum"])

    def _update(self, live: list[Tensor], lr: float, weight_decay: float, momentum: float) -> None:
        for parameter in live:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        grads = [p.grad for p in live if p.grad is not None]
        buffers = [self.state[p]["momentum_buffer"] for p in live]
        torch._foreach_lerp_(buffers, grads, 1 - momentum)
        wanted = [whole(step) for step in torch._foreach_lerp(grads, buffers, momentum)]  # Nesterov's
        pieces = [
            (p, w.chunk(3, self.fused[p]) if p in self.fused else (w,))
            for p, w in zip(live, wanted, strict=True)
        ]
        done = iter(all_orthogonal([piece for _, some in pieces for piece in some]))
        torch._foreach_mul_(live, 1 - lr * weight_decay)
        for parameter, some in pieces:
            parts = [next(done) for _ in some]
            step = parts[0] if len(parts) == 1 else torch.cat(parts, self.fused[parameter])
            scale = 0.2 * max(some[0].shape) ** 0.5
            parameter.add_(like(step.to(parameter.dtype), parameter), alpha=-lr * scale)


def fused_axis(name: str, parameter: torch.Tensor) -> int | None:
    """The axis along which a fused Q, K, V matrix holds its three parts, or None for any other matrix."""
    module = name.removesuffix(".weight").rpartition(".")[2]
    if module not in FUSED:
        return None
    rows, columns = parameter.shape
    return 1 if columns == 3 * rows else 0 if rows == 3 * columns else None


class Muon(OptimSettings):
    """Muon for hidden matrices, AdamW for embeddings, head and vectors."""

    name: Literal["muon"] = option("muon", "the optimizer: Muon for hidden matrices, AdamW for the rest")
    lr: float = option(5e-3, "peak learning rate", gt=0, lt=10, resume="free")
    momentum: float = option(0.9, "momentum of the matrices (Nesterov)", ge=0, lt=1, resume="free")
    beta1: float = option(0.6, "AdamW's decay of the first moment", ge=0, lt=1, resume="free")
    beta2: float = option(0.95, "AdamW's decay of the second moment", ge=0, lt=1, resume="free")

    def build(self, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """[Muon, AdamW], or one of them where the other has nothing to train."""
        groups = parameter_groups(model)
        rest = fused_adamw(
            [
                *layered(groups.embedding, model, self.layer_decay, weight_decay=self.weight_decay),
                *layered(groups.vector, model, self.layer_decay, weight_decay=0.0),
            ],
            lr=self.lr,
            betas=(self.beta1, self.beta2),
        )
        found: list[torch.optim.Optimizer] = [rest] if rest else []
        if groups.hidden:
            axes = {p: fused_axis(name, p) for name, p in groups.hidden}
            found.insert(0, OrthogonalMomentum(
                layered(groups.hidden, model, self.layer_decay),
                {p: axis for p, axis in axes.items() if axis is not None},
                lr=self.lr, weight_decay=self.weight_decay, momentum=self.momentum,
            ))  # fmt: skip
        return found

    def state_size(self, model: torch.nn.Module) -> int:
        """One momentum of each hidden matrix, two moments of all else."""
        groups = parameter_groups(model)
        return count(groups.hidden) + 2 * count(groups.embedding, groups.vector)
