"""A pretrained or new model with the head of a task, and LoRA's adapters inside it.

Everything but the head must come from the folder: a model whose layers were missing would train, and be bad.
"""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tane import progress
from tane.errors import InputError
from tane.model.build import (
    DROPOUTS,
    ModelSettings,
    build_config,
    find_model,
    hushed,
    keep_fixed,
)
from tane.model.folder import (
    check_opened,
    check_rows,
    check_size,
    check_weights,
    first_line,
    open_config,
)
from tane.tokens.order import key
from tane.types import Vocabulary

HEAD_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "cls_dropout", "seq_classif_dropout",
                 "summary_first_dropout", "summary_last_dropout", "pooler_dropout")  # fmt: skip


def build_task_model(
    settings: ModelSettings, auto_model: str, head: Mapping[str, Any], vocabulary: Vocabulary,
    *, seed: int, dropout: float | None, max_length: int,
) -> tuple[Any, bool]:  # fmt: skip
    """(the model in fp32 on the CPU, whether its head was trained before); the weights of a new head are a
    function of the seed.

    head: what the task tells the config; dropout: of all parts, or None for the config's own; max_length: of
    a new model. Raises InputError for a kind of model that has no such head, and for weights that lack more
    than the head.
    """
    import transformers

    auto = getattr(transformers, auto_model)
    torch.manual_seed(key(seed, "init"))
    if settings.pretrained is None:
        config = build_config(settings, max_length, vocabulary, "bert-tiny")
        _check_kind(config, auto_model)
        _tell(config, {**head, "pad_token_id": vocabulary.pad_id}, dropout)
        model, has_head = auto.from_config(config), False
    else:
        folder = find_model(settings.pretrained)
        model, has_head = _open(folder, auto_model, head, dropout, vocabulary)
    keep_fixed(model)
    return model.float(), has_head


def _check_kind(config: Any, auto_model: str) -> None:
    import transformers

    if type(config) not in getattr(transformers, auto_model)._model_mapping:
        what = auto_model.removeprefix("AutoModelFor")
        raise InputError(
            f"transformers has no {what} head for models of the kind {config.model_type}",
            "take an encoder such as bert, roberta, roformer or modernbert",
        )


def _tell(config: Any, values: Mapping[str, Any], dropout: float | None) -> None:
    """Set in a config what the task says."""
    values = dict(values)
    if dropout is not None:
        known = config.to_dict()
        values |= {name: dropout for name in (*DROPOUTS, *HEAD_DROPOUTS) if name in known}
    for name, value in values.items():
        if name != "num_labels":  # follows from id2label, and transformers warns where both are set
            setattr(config, name, value)


def _open(
    folder: Path, auto_model: str, head: Mapping[str, Any], dropout: float | None, vocabulary: Vocabulary
) -> tuple[Any, bool]:
    import transformers

    config = open_config(folder)
    _check_kind(config, auto_model)
    own = None if config.pad_token_id is not None else {"pad_token_id": vocabulary.pad_id}
    _tell(config, {**head, **(own or {})}, dropout)
    auto = getattr(transformers, auto_model)
    with hushed():
        check_size(folder, config, auto, check_weights(folder))
    try:
        with hushed():
            model, notes = auto.from_pretrained(
                str(folder), config=config, use_safetensors=True, trust_remote_code=False,
                local_files_only=True, dtype=torch.float32, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:
        raise InputError(f"{folder}: the model cannot be read: {first_line(error)}") from None
    new = {*notes["missing_keys"], *(str(one[0]) for one in notes["mismatched_keys"])}
    heads = head_names(model)
    lacking = sorted(new - heads)
    if lacking:
        raise InputError(f"{folder}: weights are missing or have another shape: {', '.join(lacking[:3])}")
    check_opened(folder, model, notes)
    if not new:
        progress.say(f"{folder} has a head for this task already: it is trained further")
    check_rows(folder, model, vocabulary.size)
    return model, not new


def head_names(model: Any) -> set[str]:
    """Names of the parameters that a task's head brings: those outside the base model, and its pooler."""
    prefix = model.base_model_prefix
    names = set(model.state_dict())
    return {name for name in names if not name.startswith(f"{prefix}.") or ".pooler." in name}


def start_at(model: Any, value: float) -> None:
    """Let a new head with one output begin at a value, such as the mean of the training numbers."""
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 1]
    if last and last[-1].bias is not None:
        with torch.no_grad():
            last[-1].bias.fill_(value)


# ---------------------------------------------------------------------------------------------------- LoRA


def adapt(model: Any, *, rank: int, alpha: int, dropout: float, targets: list[str] | None, seed: int) -> Any:
    """Put adapters into a model in place and freeze all but them and the head; returns peft's wrapper.

    targets: names of modules by their last part; None: every matrix inside the base model but the pooler and
    tables. Raises InputError where peft is not installed, and for names that no module has.
    """
    try:
        import peft
    except ImportError:
        raise InputError("task.lora needs peft, which is not installed", "pip install 'tane[lora]'") from None
    from transformers.pytorch_utils import Conv1D

    base = model.base_model_prefix
    matrices = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D))
        and name.startswith(f"{base}.")
        and ".pooler" not in name
    ]
    if targets is not None:
        last = {name.rpartition(".")[2] for name in matrices}
        unknown = [name for name in targets if name not in last]
        if unknown:
            near = difflib.get_close_matches(unknown[0], last, 1)
            raise InputError(
                f"task.lora.targets: no module is called {unknown[0]!r}",
                f"did you mean {near[0]}?" if near else f"they are {', '.join(sorted(last))}",
            )
        matrices = [name for name in matrices if name.rpartition(".")[2] in targets]
    heads = head_names(model)
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=matrices, bias="none",
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),
    )  # fmt: skip
    torch.manual_seed(key(seed, "lora"))
    wrapped = peft.get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if name in heads:
            parameter.requires_grad_(True)
    return wrapped


def merged(wrapped: Any) -> Any:
    """A copy of an adapted model with the adapters added to its matrices: a plain model of its class."""
    return copy.deepcopy(wrapped).merge_and_unload()


def takes_types(model: Any) -> bool:
    """Whether a model takes token_type_ids, and knows more than one type."""
    known = getattr(model.config, "type_vocab_size", 2) != 1
    return known and "token_type_ids" in inspect.signature(model.forward).parameters
