"""AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019), torch's fused kernel."""

from __future__ import annotations

from typing import Literal

import torch

from tane.optim.groups import OptimSettings, count, fused_adamw, layered, parameter_groups
from tane.settings import option


class AdamW(OptimSettings):
    """AdamW for all parameters."""

    name: Literal["adamw"] = option("adamw", "the optimizer: AdamW")
    lr: float = option(3e-3, "peak learning rate", gt=0, lt=10, resume="free")
    beta1: float = option(0.9, "decay of the first moment", ge=0, lt=1, resume="free")
    beta2: float = option(0.95, "decay of the second moment", ge=0, lt=1, resume="free")
    eps: float = option(1e-8, "term that keeps the division finite", gt=0, lt=1, resume="free")

    def build(self, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """One optimizer: matrices decay, vectors do not; with layer_decay a group for each layer."""
        groups = parameter_groups(model)
        optimizer = fused_adamw(
            [
                *layered(
                    [*groups.hidden, *groups.embedding],
                    model,
                    self.layer_decay,
                    weight_decay=self.weight_decay,
                ),
                *layered(groups.vector, model, self.layer_decay, weight_decay=0.0),
            ],
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
        )
        return [optimizer] if optimizer else []

    def state_size(self, model: torch.nn.Module) -> int:
        """Two moments of each parameter."""
        return 2 * count(*parameter_groups(model))
