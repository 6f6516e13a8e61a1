"""Whether a model really keeps packed documents apart: tried, not believed.

Given restarting `position_ids`, no mask and no cache, transformers keeps attention inside segments for most
causal families. Models with a recurrent state, a sliding window of their own or code of their own may not; so
before a run with isolated documents begins, one document is changed and the other's logits are compared.
"""

from __future__ import annotations

from typing import Any

import torch

TOLERANCE = 1e-3  # of the logits' spread; a leak is of the order of the spread itself


@torch.no_grad()
def keeps_documents_apart(model: Any, length: int, vocabulary_size: int) -> bool:
    """Whether the logits of a second document stay the same when the first one changes, at `length`
    positions."""
    length = min(length, 256)
    half = length // 2
    device = next(model.parameters()).device
    ids = torch.arange(length, device=device) * 7 % vocabulary_size
    other = ids.clone()
    other[:half] = (ids[:half] + 1) % vocabulary_size
    positions = torch.cat([torch.arange(half), torch.arange(length - half)]).to(device)
    training = model.training
    model.eval()
    try:
        rows = [
            model(input_ids=x[None], position_ids=positions[None], use_cache=False).logits[0, half:].float()
            for x in (ids, other)
        ]
    except TypeError:  # a model without positions
        return False
    finally:
        model.train(training)
    return bool((rows[0] - rows[1]).abs().max() <= TOLERANCE * rows[0].std())
