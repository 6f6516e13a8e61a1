"""The one place of the shift: logits at t are scored by token t + 1, and by nothing else."""

import numpy as np
import torch

from tane.model.build import ModelSettings, build_model
from tane.model.loss import Loss
from tane.objectives.causal import Causal
from tane.types import IGNORE, Block, Vocabulary

VOCABULARY = Vocabulary(90, 1, 0)


def make_block(ids: list[int]) -> Block:
    n = len(ids)
    return Block(np.array(ids, dtype=np.int64), np.zeros(n, np.int32), np.arange(n, dtype=np.int32), n)


def test_labels_are_the_next_tokens() -> None:
    batch = Causal(block_size=4).batch(
        [make_block([5, 6, 7, 8, 9]), make_block([1, 2, 3])], [0, 0], VOCABULARY
    )
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7, 8], [1, 2, 0, 0]]
    assert batch.labels.tolist() == [[6, 7, 8, 9], [2, 3, IGNORE, IGNORE]]
    assert (batch.num_targets, batch.num_tokens) == (6, 6)
    assert "labels" not in batch.inputs


def test_loss_is_the_hand_made_cross_entropy_of_the_next_token() -> None:
    model = build_model(ModelSettings(), "AutoModelForCausalLM", 16, VOCABULARY, 0).eval()
    ids = torch.randint(2, 90, (3, 17), generator=torch.Generator().manual_seed(0))
    batch = Causal(block_size=16).batch([make_block(row) for row in ids.tolist()], [0] * 3, VOCABULARY)
    with torch.no_grad():
        loss = Loss(model)(batch).item() / batch.num_targets
        log_probs = model(input_ids=ids[:, :-1]).logits.log_softmax(-1)
    by_hand = -sum(log_probs[b, t, ids[b, t + 1]].item() for b in range(3) for t in range(16)) / 48
    assert abs(loss - by_hand) < 1e-5
    shifted_twice = -sum(log_probs[b, t, ids[b, t + 2]].item() for b in range(3) for t in range(15)) / 45
    assert abs(loss - shifted_twice) > 1e-3


def test_an_end_of_text_that_is_also_the_padding_keeps_its_label() -> None:
    batch = Causal(block_size=4).batch([make_block([5, 1, 6, 1])], [0], Vocabulary(90, 1, 1))
    assert batch.labels.tolist() == [[1, 6, 1, IGNORE]]
