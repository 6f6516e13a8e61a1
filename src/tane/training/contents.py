"""What a checkpoint's files hold, checked before a run takes any of it: whole, finite, floating point."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tane.errors import IntegrityError

AGAIN = "delete it, or start anew with --fresh"


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file by name, on the CPU.

    Raises IntegrityError for what is no such file, and for a tensor with another number than a finite float.
    """
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        said = str(error).removeprefix("Error while deserializing header: ")
        raise IntegrityError(f"{path} cannot be read: {said}", AGAIN) from None
    for name, value in tensors.items():
        if not value.is_floating_point():
            raise IntegrityError(f"{path}: {name} holds {value.dtype}; expected floating point", AGAIN)
        if not torch.isfinite(value).all():
            raise IntegrityError(f"{path}: {name} is not finite", AGAIN)
    return tensors


def check_tensors(folder: Path) -> None:
    """Read all tensors of a checkpoint. Raises IntegrityError, which names the file."""
    for path in (folder / "model" / "model.safetensors", *sorted((folder / "state").glob("*.safetensors"))):
        read_tensors(path)
