"""Tensors of which each process may hold a part (torch's DTensor), beside plain ones.

What is sent between processes is sent by all of them: call `whole` on each, in the same order.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts, on every process; itself where it is whole."""
    return tensor.full_tensor() if isinstance(tensor, _parted()) else tensor


def own(tensor: Tensor) -> Tensor:
    """This process' part of a tensor."""
    return tensor.to_local() if isinstance(tensor, _parted()) else tensor


def like(value: Tensor, live: Tensor) -> Tensor:
    """A whole tensor placed as `live` is: on its device, and parted as it is. Nothing is sent.

    What has another shape, such as a count of steps, goes to the device alone.
    """
    if not isinstance(live, _parted()) or value.shape != live.shape:
        return value.to(live.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(live.device), live.device_mesh, live.placements, src_data_rank=None)


def _parted() -> type[Any]:
    # whoever parts a tensor has imported this, which takes a second that a single process need not spend
    module = sys.modules.get("torch.distributed.tensor")
    return type(None) if module is None else module.DTensor
