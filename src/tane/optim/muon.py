"""Muon for the hidden matrices, AdamW for the rest (Jordan et al., "Muon", 2024; torch.optim.Muon).

The update of a matrix is its momentum made orthogonal, scaled so that its root mean square is AdamW's (Liu et
al., "Muon is Scalable for LLM Training", 2025): one learning rate serves both. That scale is the same for a
matrix and its transpose, which matters since GPT-2 stores (in, out). Fused Q, K, V are made orthogonal apart.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from tane.optim.groups import OptimSettings, count, fused_adamw, layered, parameter_groups
from tane.settings import option

FUSED = (
    "c_attn",
    "qkv",
    "query_key_value",
    "Wqkv",
    "qkv_proj",
)  # names of fused projections, by their module


class SplitMuon(torch.optim.Muon):
    """torch's Muon on views: a fused (in, 3 x out) or (3 x out, in) matrix is updated as its three parts.

    The views share memory with the model's parameter; their gradients are taken from its gradient before each
    step. Only the views have state, so a checkpoint names them PARAMETER#0, #1, #2.
    """

    def __init__(self, named: list[tuple[str, torch.nn.Parameter]], **settings: Any) -> None:
        self.views: list[tuple[torch.nn.Parameter, torch.nn.Parameter, int, int]] = []
        self.view_names: dict[torch.nn.Parameter, str] = {}
        plain = []
        for name, parameter in named:
            axis = fused_axis(name, parameter)
            if axis is None:
                plain.append(parameter)
                self.view_names[parameter] = name
                continue
            for part, piece in enumerate(parameter.detach().chunk(3, dim=axis)):
                view = torch.nn.Parameter(piece)
                self.views.append((parameter, view, axis, part))
                self.view_names[view] = f"{name}#{part}"
        super().__init__([*plain, *(v for _, v, _, _ in self.views)], **settings)

    def pieces(self, parameter: torch.nn.Parameter) -> list[torch.nn.Parameter]:
        """What stands for a parameter here: its views, or itself."""
        return [view for whole, view, _, _ in self.views if whole is parameter] or [parameter]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all matrices."""
        for parameter, view, axis, part in self.views:
            view.grad = None if parameter.grad is None else parameter.grad.chunk(3, dim=axis)[part]
        loss = super().step(closure)
        for _, view, _, _ in self.views:
            view.grad = None
        return loss


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
    momentum: float = option(0.95, "momentum of the matrices (Nesterov)", ge=0, lt=1, resume="free")
    beta1: float = option(0.9, "AdamW's decay of the first moment", ge=0, lt=1, resume="free")
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
            settings = {"lr": self.lr, "weight_decay": self.weight_decay, "momentum": self.momentum}
            muon = SplitMuon(groups.hidden, nesterov=True, adjust_lr_fn="match_rms_adamw", **settings)
            if self.layer_decay < 1:
                [whole] = muon.param_groups
                parts = layered(groups.hidden, model, self.layer_decay)
                muon.param_groups = [
                    {**whole, **one, "params": [v for p in one["params"] for v in muon.pieces(p)]}
                    for one in parts
                ]
            found.insert(0, muon)
        return found

    def state_size(self, model: torch.nn.Module) -> int:
        """One momentum of each hidden matrix, two moments of all else."""
        groups = parameter_groups(model)
        return count(groups.hidden) + 2 * count(groups.embedding, groups.vector)
