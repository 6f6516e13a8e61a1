"""What stands between a base model's last hidden states and the matrix that gives logits, by family.

Knowing it, the head can be run at the chosen positions alone, which for masked models are one in seven. Which
family a model belongs to is seen by its parts; `Loss` tries whether the guess is right. A family that is not
here gets its logits whole: slower, and as right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import gelu

Transform = Callable[[Tensor], Tensor]  # (n, H) -> (n, H')


def _bert(model: Any) -> Transform:  # and ERNIE, Megatron's BERT
    return model.cls.predictions.transform


def _roberta(model: Any) -> Transform:  # and CamemBERT, XLM-RoBERTa, MPNet
    head = model.lm_head
    if head.decoder.bias is None:  # ESM adds one of its own after the matrix
        return lambda states: states
    return lambda states: head.layer_norm(gelu(head.dense(states)))


def _distilbert(model: Any) -> Transform:
    return lambda states: model.vocab_layer_norm(model.activation(model.vocab_transform(states)))


def _electra(model: Any) -> Transform:
    return model.generator_predictions


def _albert(model: Any) -> Transform:
    head = model.predictions
    return lambda states: head.LayerNorm(head.activation(head.dense(states)))


def _modernbert(model: Any) -> Transform:
    return model.head


# a part that only the family's models have -> the transform
FAMILIES: dict[str, Callable[[Any], Transform]] = {
    "cls.predictions.transform": _bert,
    "lm_head.dense": _roberta,
    "vocab_transform": _distilbert,
    "generator_predictions": _electra,
    "predictions.dense": _albert,
    "head.norm": _modernbert,
}


def transform_of(model: Any) -> Transform:
    """The transform before a model's output matrix; for causal models and unknown families: none."""
    parts = {name for name, _ in model.named_modules()}
    family = next((make for part, make in FAMILIES.items() if part in parts), None)
    return family(model) if family is not None else lambda states: states
