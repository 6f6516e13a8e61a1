"""Which model folders hold a masked language model."""

from __future__ import annotations

from pathlib import Path

from tane.errors import InputError
from tane.model.folder import check_folder

HEADS = ("ForMaskedLM", "ForPreTraining")  # classes that hold a head for masks; the second BERT's first one
CAUSAL = ("ForCausalLM", "LMHeadModel")


def architecture(folder: Path) -> str:
    """The class that a model folder names, "" where it names none. Raises what check_folder raises."""
    named = check_folder(folder).get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def is_masked(folder: Path) -> bool:
    """Whether a model folder holds a masked language model."""
    return architecture(folder).endswith(HEADS)


def require_masked(folder: Path) -> None:
    """Raise InputError unless the folder holds a masked language model."""
    name = architecture(folder)
    if name.endswith(CAUSAL):
        raise InputError(
            f"{folder} is a causal model ({name}): it goes on with a text, but fills no masks",
            f"use tane generate {folder}",
        )
    if not name.endswith(HEADS):
        raise InputError(f"{folder}: expected a masked language model, found {name or 'no architecture'}")
