"""The chunked loss equals the plain one, in value and in gradient, and touches nothing that is no target."""

import pytest
import torch

from tane.model import loss as module
from tane.model.build import ModelSettings, build_model
from tane.model.loss import Loss
from tane.types import IGNORE, Batch, Vocabulary

LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2,
         "num_key_value_heads": 2, "intermediate_size": 96}  # fmt: skip
MODELS = {
    "tied": {"n_layer": 2, "n_embd": 64, "n_head": 2},
    "untied": {**LLAMA, "tie_word_embeddings": False},
    "scaled logits": {**LLAMA, "model_type": "cohere", "logit_scale": 0.5},
}


def make(config: dict, rows: int = 4, length: int = 32) -> tuple[torch.nn.Module, Batch]:
    model = build_model(
        ModelSettings(config=config), "AutoModelForCausalLM", length, Vocabulary(500, 1, 0), 0
    )
    ids = torch.randint(2, 500, (rows, length + 1), generator=torch.Generator().manual_seed(1))
    labels = ids[:, 1:].clone()
    labels[1, 7:] = IGNORE
    return model.eval(), Batch({"input_ids": ids[:, :-1]}, labels, int((labels != IGNORE).sum()), 0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("chunk_rows", [16, 50, 10_000])
def test_value_and_gradients_equal_the_plain_loss(
    name: str, chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_rows * 4 * 512)
    model, batch = make(MODELS[name])
    ours = Loss(model)(batch)
    (ours / batch.num_targets).backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    logits = model(**batch.inputs, use_cache=False).logits.flatten(0, 1)
    plain = torch.nn.functional.cross_entropy(
        logits, batch.labels.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    (plain / batch.num_targets).backward()
    assert abs(ours.item() - plain.item()) < 1e-5 * abs(plain.item())
    for n, p in model.named_parameters():
        torch.testing.assert_close(gradients[n], p.grad, rtol=1e-4, atol=2e-6, msg=n)


def test_the_fast_road_is_taken_only_where_the_logits_are_the_plain_product() -> None:
    assert Loss(make(MODELS["tied"])[0]).base is not None
    assert Loss(make(MODELS["scaled logits"])[0]).base is None


def test_positions_without_a_target_have_no_gradient() -> None:
    model, batch = make(MODELS["tied"])
    states = []
    hook = model.transformer.register_forward_hook(lambda m, i, o: states.append(o.last_hidden_state))
    loss = Loss(model)
    states.clear()
    total = loss(batch)
    hook.remove()
    states[-1].retain_grad() if not states[-1].is_leaf else None
    total.backward()
    gradient = states[-1].grad
    assert (gradient[1, 7:] == 0).all() and (gradient[0].abs().sum(-1) > 0).all()


def test_nats_of_each_target_sum_to_the_loss() -> None:
    for name in MODELS:
        model, batch = make(MODELS[name])
        loss = Loss(model)
        with torch.no_grad():
            total = loss(batch).item()
        nats = loss.per_target(batch)
        assert nats.shape == (batch.num_targets,)
        assert abs(nats.double().sum().item() - total) < 1e-5 * total


def test_bf16_loss_is_near_and_reported_in_fp32() -> None:
    model, batch = make(MODELS["tied"])
    loss = Loss(model)
    exact = loss(batch).item()
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss(batch)
    assert rough.dtype == torch.float32
    assert abs(rough.item() - exact) < 0.005 * exact


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=["bf16", "fp32"]
)
def test_the_compiled_piece_is_the_eager_one_and_is_compiled_once(dtype: torch.dtype) -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled, made = module._compiled_piece(), torch.Generator().manual_seed(0)
    bias, rtol = torch.randn(500, generator=made), 1e-2 if dtype == torch.bfloat16 else 1e-5
    for rows in (64, 64, 17, 40):
        logits = torch.randn(rows, 500, generator=made).to(dtype)
        labels = torch.randint(500, (rows,), generator=made)
        eager = module._piece(logits.clone(), bias, labels, True)
        for ours, theirs in zip(compiled(logits.clone(), bias, labels, True), eager, strict=True):
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]
