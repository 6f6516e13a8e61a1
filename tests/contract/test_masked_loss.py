"""The masked loss is that of transformers: its value, its gradients, and nothing where there is no target."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tane.model import attention as attention_module
from tane.model import loss as loss_module
from tane.model.attention import Attention, Way
from tane.model.build import ModelSettings, build_model, hushed
from tane.model.loss import Loss
from tane.types import IGNORE, Batch, Vocabulary
from tests.contract.test_packing import BODY, FAMILIES, LENGTH, SEGMENTS, batch_of, each_segment, plain_kernel

XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "init_std": 0.3, "embed_init_std": 0.3}
# name -> (config, whether its head is known, so that it is run at the targets alone)
MODELS: dict[str, tuple[dict[str, Any], bool]] = {
    **{family: ({"model_type": family, **config}, True) for family, config in FAMILIES.items()},
    "untied bert": ({"model_type": "bert", **BODY, "tie_word_embeddings": False}, True),
    "deberta-v2": ({"model_type": "deberta-v2", **BODY}, True),
    "megatron-bert": ({"model_type": "megatron-bert", **BODY}, True),
    "xlm": ({"model_type": "xlm", **XLM}, True),
    "rembert": (
        {"model_type": "rembert", **BODY, "input_embedding_size": 32, "output_embedding_size": 24},
        False,
    ),
    "modernbert of a wider window": (
        {"model_type": "modernbert", **FAMILIES["modernbert"], "local_attention": 32},
        True,
    ),
    "esm": ({"model_type": "esm", **BODY, "max_position_embeddings": LENGTH + 2}, False),
}
VOCABULARIES = {  # 300 pieces in a matrix of 320 rows; 320 in one without rows of padding
    "padded": Vocabulary(300, 3, 0, 4, 2, 3, (0, 1, 2, 3, 4)),
    "not padded": Vocabulary(320, 3, 0, 4, 2, 3, (0, 1, 2, 3, 4)),
}


def make(name: str, vocabulary: Vocabulary) -> Any:
    with hushed():
        settings = ModelSettings(config=MODELS[name][0])
        return build_model(settings, "AutoModelForMaskedLM", LENGTH, vocabulary, 0).eval()


def make_batch(name: str, vocabulary: Vocabulary, seed: int = 0) -> Batch:
    batch = batch_of(seed, vocabulary)
    if name == "xlm":  # which takes this id for padding wherever it stands
        batch.inputs["input_ids"][batch.inputs["input_ids"] == 2] = 5
    return batch


def way_of(model: Any) -> Way:
    """The fastest way that is right for a model."""
    with hushed():
        for way in ("eager", "separate"):
            if attention_module.keeps_segments_apart(model, Attention(model, way), LENGTH, 300):
                return way
    raise AssertionError("no way is right")


def plain_loss(model: Any, batch: Batch) -> Tensor:
    """Summed nats as transformers computes them with labels, each text in a call of its own."""
    ids, total = batch.inputs["input_ids"], torch.zeros(())
    for row, a, b in each_segment(batch):
        labels = batch.labels[row : row + 1, a:b]
        count = int((labels != IGNORE).sum())
        assert count > 0
        total = total + count * model(input_ids=ids[row : row + 1, a:b], labels=labels).loss
    return total


def check_gradients(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient = expected[name].grad
        if gradient is None or parameter.grad is None:
            assert not any(g is not None and g.any() for g in (gradient, parameter.grad)), name
            continue
        scale = max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=tolerance * scale, msg=name)


@pytest.mark.parametrize("rows", VOCABULARIES)
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_transformers(name: str, rows: str) -> None:
    vocabulary = VOCABULARIES[rows]
    model, batch = make(name, vocabulary), make_batch(name, vocabulary)
    assert model.config.vocab_size == 320
    theirs = copy.deepcopy(model)
    plain = plain_loss(theirs, batch) / batch.num_targets
    plain.backward()
    loss = Loss(model, Attention(model, way_of(model)))
    assert (loss.base is not None) is MODELS[name][1]
    ours = loss(batch) / batch.num_targets
    ours.backward()
    assert abs(ours.item() - plain.item()) < 1e-5 * plain.item()
    check_gradients(model, theirs)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "albert", "camembert"])
def test_it_is_also_what_one_call_with_a_mask_of_four_dimensions_gives(family: str) -> None:
    vocabulary = VOCABULARIES["padded"]
    model, batch = make(family, vocabulary), make_batch(family, vocabulary)
    assert batch.segments is not None
    inputs = {"input_ids": batch.inputs["input_ids"]}
    if family != "distilbert":  # which takes no positions
        kin = family in ("roberta", "camembert")
        inputs["position_ids"] = batch.inputs["position_ids"] + (vocabulary.pad_id + 1 if kin else 0)
    mask = batch.segments[:, None, :, None] == batch.segments[:, None, None, :]
    theirs = copy.deepcopy(model)
    theirs.set_attn_implementation("sdpa")
    if family == "distilbert":
        batch.inputs["position_ids"] = torch.arange(LENGTH).expand_as(batch.labels)
    plain = theirs(**inputs, attention_mask=mask, labels=batch.labels).loss
    ours = Loss(model, Attention(model, "eager"))(batch) / batch.num_targets
    assert abs(ours.item() - plain.item()) < 1e-5 * plain.item()


@pytest.mark.parametrize("way", ["eager", "sdpa", "separate", "varlen"])
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert of a wider window"])
def test_the_fast_road_is_taken_and_right_with_every_way(
    family: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_module, "_kernel", lambda: plain_kernel)
    vocabulary = VOCABULARIES["padded"]
    model, batch = make(family, vocabulary), make_batch(family, vocabulary)
    plain = plain_loss(copy.deepcopy(model), batch).item()
    loss = Loss(model, Attention(model, way))
    assert loss.base is not None
    assert abs(loss(batch).item() - plain) < 1e-5 * plain


@pytest.mark.parametrize("name", ["bert", "modernbert", "rembert"])
def test_no_gradient_reaches_logits_where_there_is_no_target(name: str) -> None:
    vocabulary = VOCABULARIES["padded"]
    model, batch = make(name, vocabulary), make_batch(name, vocabulary)
    theirs = copy.deepcopy(model)
    logits = Attention(theirs, "eager")(theirs, batch, "logits")
    logits.retain_grad()
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten()).backward()
    target = batch.labels != IGNORE
    assert logits.grad is not None
    assert (logits.grad[~target] == 0).all() and (logits.grad[target].abs().sum(-1) > 0).all()
    # the same of tane's loss, at what its head is given: nothing else, and nothing lost on the way
    given: list[Tensor] = []
    loss = Loss(model, Attention(model, "eager"))
    original = loss._targets
    loss._targets = lambda batch: (given.append((found := original(batch))[0]), found)[1]  # type: ignore[method-assign]
    (loss(batch) / batch.num_targets).backward()
    assert len(given) == 1 and len(given[0]) == batch.num_targets == int(target.sum())
    if loss.base is not None:
        bias = model.get_output_embeddings().bias
        torch.testing.assert_close(bias.grad, logits.grad.sum((0, 1)), rtol=0, atol=1e-5)
    check_gradients(model, theirs)


@pytest.mark.parametrize("chunk", [16, 50, 100_000])
@pytest.mark.parametrize("name", ["bert", "rembert"])
@torch.no_grad()
def test_predictions_are_those_of_the_whole_logits(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK_BYTES", chunk * 4 * 320)
    vocabulary = VOCABULARIES["padded"]
    model = make(name, vocabulary)
    loss = Loss(model, Attention(model, "eager"))
    nats, right, expected_nats, expected_right = [], [], [], []
    for seed in range(8):
        batch = make_batch(name, vocabulary, seed)
        logits = loss.attention(model, batch, "logits")
        # a good half of the labels is made what the model predicts
        guess = logits.argmax(-1)
        chosen = (batch.labels != IGNORE) & (guess % 2 == 0)
        batch.labels[chosen] = guess[chosen]
        found = loss.predictions(batch)
        nats.append(found[0])
        right.append(found[1])
        for row, place in (batch.labels != IGNORE).nonzero().tolist():
            label = int(batch.labels[row, place])
            expected_nats.append(-logits[row, place].log_softmax(-1)[label].item())
            expected_right.append(int(logits[row, place].argmax()) == label)
        assert torch.equal(loss.per_target(batch), found[0]) and found[0].dtype == torch.float32
        assert found[0].sum().item() == pytest.approx(loss(batch).item(), rel=1e-5)
    torch.testing.assert_close(torch.cat(nats), torch.tensor(expected_nats), rtol=1e-4, atol=1e-4)
    assert torch.cat(right).tolist() == expected_right
    assert 0.2 < sum(expected_right) / len(expected_right) < 0.8


def parts_of(batch: Batch, rows: int) -> Iterator[Batch]:
    """The batch in micro-batches."""
    assert batch.segments is not None
    for start in range(0, len(batch.labels), rows):
        cut = slice(start, start + rows)
        inputs = {name: values[cut] for name, values in batch.inputs.items()}
        labels = batch.labels[cut]
        yield Batch(inputs, labels, int((labels != IGNORE).sum()), 0, batch.segments[cut])


@pytest.mark.parametrize("name", ["bert", "modernbert", "rembert", "deberta-v2"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_micro_batches_sum_to_the_whole(name: str, rows: int) -> None:
    vocabulary = VOCABULARIES["padded"]
    model, batch = make(name, vocabulary), make_batch(name, vocabulary)
    whole = copy.deepcopy(model)
    way = way_of(model)
    total = Loss(whole, Attention(whole, way))(batch)
    (total / batch.num_targets).backward()
    loss = Loss(model, Attention(model, way))
    nats = 0.0
    parts = list(parts_of(batch, rows))
    assert len(parts) == -(-len(SEGMENTS) // rows)
    for part in parts:
        found = loss(part)
        (found / batch.num_targets).backward()
        nats += found.item()
    assert nats == pytest.approx(total.item(), rel=1e-5)
    check_gradients(model, whole)


def test_a_batch_in_which_all_are_targets_and_one_with_a_single_target() -> None:
    vocabulary = VOCABULARIES["padded"]
    model = make("bert", vocabulary)
    loss = Loss(model, Attention(model, "eager"))
    for keep in (None, (2, 30)):
        batch = make_batch("bert", vocabulary)
        ids = batch.inputs["input_ids"]
        labels = ids.clone() if keep is None else torch.full_like(ids, IGNORE)
        if keep is not None:
            labels[keep] = 7
        count = int((labels != IGNORE).sum())
        chosen = Batch(batch.inputs, labels, count, 0, batch.segments)
        logits = loss.attention(model, chosen, "logits")
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        assert loss(chosen).item() == pytest.approx(expected.item(), rel=1e-5)


def test_half_precision_is_near() -> None:
    vocabulary = VOCABULARIES["padded"]
    model, batch = make("bert", vocabulary), make_batch("bert", vocabulary)
    loss = Loss(model, Attention(model, "eager"))
    exact = loss(batch).item()
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss(batch)
        nats, _ = loss.predictions(batch)
    assert rough.dtype == nats.dtype == torch.float32
    assert rough.item() == pytest.approx(exact, rel=0.02) and nats.sum().item() == pytest.approx(
        exact, rel=0.02
    )
