"""The one rule for parameter groups, and what all optimizers share.

Weight decay acts on matrices of hidden layers and on embeddings, never on biases, norms or other vectors. A
stored fused Q, K, V matrix counts as three. Hugging Face's GPT-2 keeps its matrices as `Conv1D`, (in, out).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from tane.optim.schedules import Schedule
from tane.settings import Settings, option


class OptimSettings(Settings, ABC):
    """Settings that every optimizer has."""

    name: str = option("", "short name of the optimizer")
    lr: float = option(1e-3, "peak learning rate", gt=0, lt=10, resume="free")
    weight_decay: float = option(0.1, "decoupled weight decay of matrices", ge=0, lt=10, resume="free")
    layer_decay: float = option(
        1.0, "each layer learns this much slower than the one above, the tables below them slowest; 1: none",
        gt=0, le=1,
    )  # fmt: skip
    clip: float | None = option(1.0, "clip the gradient's norm to this; none: do not", gt=0, resume="free")
    schedule: Schedule = option(Schedule(), "learning rate over the run", resume="free")

    @abstractmethod
    def build(self, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """The optimizers of a model's trainable parameters."""

    @abstractmethod
    def state_size(self, model: torch.nn.Module) -> int:
        """How many values the optimizers keep for a model, beside its parameters."""


def count(*groups: Iterable[tuple[str, Any]]) -> int:
    """How many values the parameters of some groups hold."""
    return sum(p.numel() for p in parameters(*groups))


class Groups(NamedTuple):
    """Trainable parameters by shape and place, each as (name, parameter)."""

    hidden: list[tuple[str, torch.nn.Parameter]]  # 2-D and inside the layers
    embedding: list[tuple[str, torch.nn.Parameter]]  # 2-D tables of input, position and output
    vector: list[tuple[str, torch.nn.Parameter]]  # everything else: biases, norms, scalars


def parameter_groups(model: torch.nn.Module) -> Groups:
    """Sort a model's trainable parameters."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is not None and getattr(head, "weight", None) is not None:
        tables.add(id(head.weight))
    groups = Groups([], [], [])
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = groups.embedding if id(parameter) in tables else groups.hidden
            (kind if parameter.ndim == 2 else groups.vector).append((name, parameter))
    return groups


def layered(
    named: Iterable[tuple[str, torch.nn.Parameter]], model: torch.nn.Module, decay: float, **settings: Any
) -> list[dict[str, Any]]:
    """Parameters as an optimizer's groups with these settings; with decay < 1 one group a layer, whose
    `scale` multiplies the learning rate (Clark et al., "ELECTRA", 2020).

    The head, and what follows the last layer, has scale 1; layer l of L has decay^(L - l), counted from 0;
    tables, and what else stands before the layers, decay^(L + 1).
    """
    named = list(named)
    if decay == 1.0:
        return [{"params": [p for _, p in named], **settings}]
    layers = 1 + max((_layer(name) for name, _ in model.named_parameters()), default=-1)
    tables = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    scales: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in named:
        layer = _layer(name)
        before = layer < 0 and (id(parameter) in tables or "embed" in name)
        depth = 0 if before else layer + 1 if layer >= 0 else layers + 1
        scales.setdefault(decay ** (layers + 1 - depth), []).append(parameter)
    return [{"params": some, "scale": scale, **settings} for scale, some in scales.items()]


def _layer(name: str) -> int:
    """The number of the layer in a parameter's name, -1 where it has none."""
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)


def parameters(*groups: Iterable[tuple[str, Any]]) -> list[Any]:
    """The parameters of some groups, names left out."""
    return [p for group in groups for _, p in group]


def fused_adamw(params: list[dict[str, Any]], **settings: Any) -> torch.optim.Optimizer | None:
    """torch's AdamW with its fused kernel, or None where there is nothing to train."""
    params = [p for p in params if p["params"]]
    return torch.optim.AdamW(params, fused=True, **settings) if params else None
