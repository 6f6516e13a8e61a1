"""What one step measured, on its device until somebody reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Made:
    """step: its number, from 1; nats: of this process' batches, norm: of the whole gradient before clipping,
    both scalars on the device; targets, tokens: of the global batch; seen: tokens with those of all steps
    before; seconds: that it took."""

    step: int
    nats: Tensor
    norm: Tensor
    targets: int
    tokens: int
    seen: int
    seconds: float = 0.0
    nats_of_all: float = 0.0  # summed over all processes, once it is read
    _there: Any = None  # tells when the copy has arrived

    def sent(self) -> Made:
        """Begin to copy the figures to the CPU, without waiting: what comes after on the device runs on."""
        if self.nats.device.type == "cuda":
            both = torch.stack((self.nats.double(), self.norm.double()))
            host = torch.empty(2, dtype=torch.float64, pin_memory=True)
            host.copy_(both, non_blocking=True)
            self.nats, self.norm = host[0], host[1]
            self._there = torch.cuda.Event()
            self._there.record()
        return self

    def read(self) -> tuple[float, float]:
        """(nats of this process, norm); waits for the device."""
        if self._there is not None:
            self._there.synchronize()
        return self.nats.item(), self.norm.item()
