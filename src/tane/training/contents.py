"""What a checkpoint's files hold, checked before a run takes any of it: whole, finite, floating point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from tane.errors import IntegrityError

AGAIN = "delete it, or start anew with --fresh"
Kind = tuple[torch.Size, torch.dtype]


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file by name, on the CPU.

    Raises IntegrityError for what is no such file, and for a tensor with another number than a finite float.
    """
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise _unreadable(path, error) from None
    for name, value in tensors.items():
        if not value.is_floating_point():
            raise IntegrityError(f"{path}: {name} holds {value.dtype}; expected floating point", AGAIN)
        if not torch.isfinite(value).all():
            raise IntegrityError(f"{path}: {name} is not finite", AGAIN)
    return tensors


def _unreadable(path: Path, error: Exception) -> IntegrityError:
    said = str(error).removeprefix("Error while deserializing header: ")
    return IntegrityError(f"{path} cannot be read: {said}", AGAIN)


def kinds(paths: Sequence[Path]) -> dict[str, Kind]:
    """Shape and type of every tensor in some files, by name; the tensors stay on the disk."""
    found: dict[str, Kind] = {}
    for path in paths:
        try:
            with safe_open(str(path), framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 - it is no mapping
                    slice_ = stored.get_slice(name)
                    empty = torch.empty(0, dtype=DTYPES[slice_.get_dtype()])
                    found[name] = torch.Size(slice_.get_shape()), empty.dtype
        except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
            raise _unreadable(path, error) from None
    return found


DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip


def files_of(stem: Path) -> list[Path]:
    """STEM.safetensors, or STEM-00001-of-00004.safetensors and so on where it is in several files."""
    several = sorted(stem.parent.glob(f"{stem.name}-*-of-*.safetensors"))
    return several or [stem.with_name(f"{stem.name}.safetensors")]


def check_tensors(folder: Path) -> None:
    """Read all tensors of a checkpoint. Raises IntegrityError, which names the file."""
    for path in (*files_of(folder / "model" / "model"), *sorted((folder / "state").glob("*.safetensors"))):
        read_tensors(path)
