"""How much memory training may still take, by the card, the machine, and the limits of a container."""

from __future__ import annotations

import torch

from tane import hardware


def free_memory(device: str) -> int | None:
    """Bytes that training may still take on a device; None where the system does not tell.

    cuda: of the current card, with what torch keeps at hand there. Else of the machine, or of the container
    where its control group allows less.
    """
    if device == "cuda":
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + kept
    available: int | None = hardware.memory()["available"]
    return available
