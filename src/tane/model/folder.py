"""A model folder that somebody else wrote, checked before transformers reads it and after.

Before: what would run code, fetch other repositories, read a pickle or a file outside the folder is refused,
and so are sizes that no memory holds. After: a weight that is not finite, and layers that were left out.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tane import files
from tane.errors import InputError
from tane.tokens import soundness

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
FLOATS = ("F64", "F32", "F16", "BF16")  # the numbers that weights may be, as safetensors names them
PARAMETERS = ("weight", "bias", "gamma", "beta")  # how the names of parameters end; other tensors are tables
CODE = ("auto_map", "custom_pipelines", "custom_generate")  # keys that ask to run a repository's own code
PACKED = ("quantization_config", "compression_config")
LONGEST_NAME = 255  # bytes
SPARE = 10_000_000  # numbers that a model may have beyond twice those of its file, such as a new head
PICKLE = re.compile(rb"\x80[\x02-\x05]|\(d?p0|\(lp0|cos\n|cposix\n|c__builtin__\n")
_PUBLISHED = "give the folder as it was published"
_NUMBER = re.compile(r"\d+")


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keep transformers' bars and advice off the screen while this is open: tane says what matters itself."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


class Stored(NamedTuple):
    """What the weights of a folder hold: tensors, and numbers in them together."""

    tensors: int
    numbers: int


def check_folder(folder: Path) -> dict[str, Any]:
    """Refuse a folder that names code, other repositories, pickles, or files outside itself; its config."""
    soundness.check_links(folder)
    path = folder / CONFIG
    config = soundness.read_model_config(path)
    for key, value in soundness.values(config):
        if key in CODE:
            raise InputError(f"{folder} asks to run code of its own ({key}), which tane never does")
        if "_implementation" in key and "/" in str(value):
            raise InputError(f"{path} asks to load code for {key} from {value!r}, which tane never does")
    packed = next((key for key in PACKED if config.get(key)), None)
    if packed is not None:
        raise InputError(
            f"{folder} holds quantized weights ({packed}), which tane does not read",
            "give the model in full precision",
        )
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{folder} holds an adapter (adapter_config.json), which changes the model beside it or another",
            "give the model with the adapter merged into it (merge_and_unload), as tane writes it",
        )
    if (folder / "custom_generate").exists():
        raise InputError(f"{folder} asks to run code of its own (custom_generate), which tane never does")
    for name in weight_files(folder):
        if not (folder / name).is_file():
            others = sorted(p.name for end in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in folder.glob(end))
            found = f"; {others[0]} is a pickle, which tane does not read" if others else ""
            raise InputError(f"{folder} has no weights {name}{found}", "give weights as safetensors")
    return config


def open_config(folder: Path) -> Any:
    """The transformers config of a folder that `check_folder` lets pass. Raises InputError."""
    import transformers

    kind = check_folder(folder).get("model_type")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind is not None and (not isinstance(kind, str) or kind not in CONFIG_MAPPING):
        raise InputError(
            f"{folder / CONFIG}: transformers {transformers.__version__} knows no model_type {kind!r}",
            "a model newer than that needs a newer transformers",
        )
    try:
        with hushed():
            return transformers.AutoConfig.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # whatever a foreign folder provokes, it is the folder's fault
        raise InputError(f"{folder / CONFIG} cannot be read: {first_line(error)}") from None


def weight_files(folder: Path) -> list[str]:
    """Names of the files with the weights. Raises InputError for an index that names others than such."""
    index = folder / INDEX
    if not index.exists():
        return [WEIGHTS]
    found = soundness.read_object(index).get("weight_map")
    names = set(found.values()) if isinstance(found, dict) and _are_texts(found) else set()
    root = folder.resolve()
    for name in sorted(names):
        if not soundness.is_inside(folder / name, root):
            raise InputError(f"{folder}: the weights {name} lie outside the folder")
    if not names or not all(map(_is_weights, names)):
        raise InputError(f"{index} is not the index that it should be", _PUBLISHED)
    return sorted(names)


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors") and len(name.encode()) <= LONGEST_NAME and "\0" not in name


def _are_texts(found: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) for value in found.values())


def check_weights(folder: Path) -> Stored:
    """Read the headers of the weights. Raises InputError for a file that is no safetensors or holds no
    floats, IntegrityError for one that we wrote and that is no more what it was."""
    from safetensors import SafetensorError, safe_open

    files.require_as_written(folder, weights=True)
    tensors = numbers = 0
    for name in weight_files(folder):
        path = folder / name
        try:
            with safe_open(str(path), "pt") as file:
                parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - no mapping
                shapes = {key: part.get_shape() for key, part in parts.items()}
                kinds = {key: str(part.get_dtype()) for key, part in parts.items()}
        except (SafetensorError, OSError, ValueError) as error:
            raise _unsound(path, error) from None
        for key, kind in kinds.items():
            if kind not in FLOATS and key.rpartition(".")[2] in PARAMETERS:
                raise InputError(
                    f"{path}: {key} holds {kind}; expected floating point ({', '.join(FLOATS)})",
                    "give the model in full precision",
                )
        tensors += len(shapes)
        numbers += sum(torch.Size(shape).numel() for shape in shapes.values())
    return Stored(tensors, numbers)


def _unsound(path: Path, error: Exception) -> InputError:
    """What is wrong with a file that is no safetensors file, told by what it holds and not by its name."""
    try:
        with open(path, "rb") as file:
            start = file.read(32)
    except OSError as unread:
        return InputError(f"cannot read {path}: {unread.strerror or unread}")
    if not start:
        return InputError(f"{path} is empty", _PUBLISHED)
    if is_pickle(start):
        kind = "a zip file, such as torch.save writes" if start.startswith(b"PK") else "a pickle"
        return InputError(f"{path} is {kind}, which tane does not read", "save it as safetensors")
    said = str(error).removeprefix("Error while deserializing header: ")
    return InputError(f"{path} cannot be read: no sound safetensors file: {said[:200]}", _PUBLISHED)


def is_pickle(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a pickle, or of a zip file, which may hold one."""
    return start.startswith(b"PK\3\4") or PICKLE.match(start) is not None


def check_size(folder: Path, config: Any, auto: Any, stored: Stored) -> None:
    """Raise InputError where a config describes a model far larger than what its folder holds.

    transformers would give memory to all that the file lacks. auto: its class that opens the folder.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = auto.from_config(copy.deepcopy(config))
        described = sum(parameter.numel() for parameter in model.parameters())
    except Exception as error:  # whatever a foreign folder provokes, it is the folder's fault
        raise InputError(f"{folder / CONFIG} describes no model: {first_line(error)}") from None
    if described > 2 * stored.numbers + SPARE:
        raise InputError(
            f"{folder / CONFIG} describes a model of {described:,} numbers, but the weights have "
            f"{stored.numbers:,}",
            _PUBLISHED,
        )


def check_opened(folder: Path, model: Any, notes: Mapping[str, Any]) -> None:
    """Raise InputError where weights are not finite, or the file has layers that the model lacks.

    notes: transformers' info on the loading. Other tensors that the model does not have, such as another
    head's, are left out.
    """
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            bad = parameter.numel() - int(torch.isfinite(parameter).sum())
            raise InputError(
                f"{folder}: the weights {name} are not finite ({bad:,} of {parameter.numel():,} numbers)",
                "take an earlier state of the model",
            )
    known = {_NUMBER.sub("#", name) for name in model.state_dict()}
    surplus = sorted(name for name in notes["unexpected_keys"] if _NUMBER.sub("#", name) in known)
    if surplus:
        raise InputError(
            f"{folder}: the weights have layers that config.json does not tell of: {', '.join(surplus[:3])}",
            _PUBLISHED,
        )


def check_rows(folder: Path, model: Any, pieces: int) -> None:
    """Raise InputError where the tokenizer has more pieces than the model has rows for them."""
    rows = model.get_input_embeddings().weight.shape[0]
    if pieces > rows:
        raise InputError(
            f"{folder}: the tokenizer has {pieces:,} pieces, but the model {rows:,} embedding rows",
            "give a folder whose tokenizer and weights belong together",
        )


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """Turn what a model raises at work into an InputError that names its folder: a config.json may fit its
    weights and still ask for what they cannot do. Too little memory is no fault of the folder."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, AssertionError, RuntimeError) as error:
        if "memory" in str(error):
            raise
        raise InputError(f"{folder}: the model does not work: {first_line(error)}", _PUBLISHED) from error


def first_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
