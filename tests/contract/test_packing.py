"""Packed texts get the logits and gradients that each gets alone in transformers, for each family and way."""

from __future__ import annotations

import copy
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from tane.errors import InputError
from tane.model import attention as module
from tane.model.attention import Attention, keeps_segments_apart
from tane.model.build import ModelSettings, build_model, hushed
from tane.objectives.masked import Masked
from tane.training.build import choose_attention
from tane.types import Batch, Block, Vocabulary

LENGTH = 48
SPECIAL = (0, 1, 2, 3, 4)
VOCABULARY = Vocabulary(300, 3, 0, 4, 2, 3, SPECIAL)
BODY = {
    "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
    "initializer_range": 0.3,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": BODY,
    "roberta": BODY,
    "distilbert": {"n_layers": 3, "dim": 32, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.3},
    "electra": {**BODY, "embedding_size": 16},
    "modernbert": {
        **BODY, "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        "local_attention": 8, "initializer_cutoff_factor": 3.0,
    },
    "albert": {**BODY, "embedding_size": 16},
    "camembert": BODY,
    "roformer": {**BODY, "embedding_size": 32},
}  # fmt: skip
WAYS = ("eager", "sdpa", "separate", "varlen")
OWN_CODE = ("roformer",)  # families that know plain matrix products alone
CASES = [
    (family, way)
    for family in FAMILIES
    for way in WAYS
    if family not in OWN_CODE or way in ("eager", "separate")
]
SEGMENTS = [[22, 3, 9, 8], [17, 20], [48], [5, 4, 3, 6, 3, 7, 9, 11]]  # positions; rows end in padding or not


def plain_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends_q: torch.Tensor,
    ends_k: torch.Tensor, longest_q: int, longest_k: int, window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:  # fmt: skip
    """What torch's kernel computes, one segment after another: query, key, value (N, heads, D)."""
    assert torch.equal(ends_q, ends_k) and ends_q.dtype == torch.int32 and longest_q == longest_k
    assert ends_q[0] == 0 and ends_q[-1] == len(query)
    found = []
    for begin, end in pairwise(ends_q.tolist()):
        assert end - begin <= longest_q
        q, k, v = (x[begin:end].transpose(0, 1) for x in (query, key, value))
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        place = torch.arange(end - begin)
        ahead = place[None] - place[:, None]
        for far, distance in zip(window_size, (-ahead, ahead), strict=True):
            if far >= 0:
                scores = scores.masked_fill(distance > far, -torch.inf)
        found.append((softmax(scores.float(), -1).to(v.dtype) @ v).transpose(0, 1))
    return torch.cat(found)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_kernel", lambda: plain_kernel)


def make(family: str, vocabulary: Vocabulary = VOCABULARY, **config: Any) -> Any:
    settings = ModelSettings(config={"model_type": family, **FAMILIES.get(family, BODY), **config})
    with hushed():
        return build_model(settings, "AutoModelForMaskedLM", LENGTH, vocabulary, 0).eval()


def batch_of(seed: int = 0, vocabulary: Vocabulary = VOCABULARY) -> Batch:
    """Four rows of random texts with some tokens hidden, as the objective makes them."""
    rng = np.random.default_rng(seed)
    blocks = []
    for sizes in SEGMENTS:
        texts = [[2, *rng.integers(5, vocabulary.size, size - 2).tolist(), 3] for size in sizes]
        segments = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        positions = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
        blocks.append(Block(np.concatenate(texts), segments, positions, sum(sizes)))
    return Masked(block_size=LENGTH, whole_word=False).batch(blocks, [seed, 1, 2, 3], vocabulary)


def each_segment(batch: Batch) -> list[tuple[int, int, int]]:
    """(row, first position, one past the last) of each segment of text."""
    assert batch.segments is not None
    found = []
    for row, sizes in enumerate(SEGMENTS):
        ends = np.cumsum([0, *sizes]).tolist()
        found += [(row, a, b) for a, b in pairwise(ends)]
        assert batch.segments[row, ends[-1] :].tolist() == [-1] * (LENGTH - ends[-1])
    return found


def alone(model: Any, batch: Batch) -> list[torch.Tensor]:
    """The logits of each segment in a call of its own, as anyone calls a model of transformers."""
    ids = batch.inputs["input_ids"]
    return [model(input_ids=ids[row : row + 1, a:b]).logits[0] for row, a, b in each_segment(batch)]


def compare(packed: torch.Tensor, batch: Batch, expected: list[torch.Tensor], tolerance: float) -> None:
    for (row, a, b), logits in zip(each_segment(batch), expected, strict=True):
        torch.testing.assert_close(packed[row, a:b].float(), logits, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("family", "way"), CASES)
@torch.no_grad()
def test_packed_logits_are_those_of_each_text_alone(family: str, way: module.Way) -> None:
    model, batch = make(family), batch_of()
    expected = alone(copy.deepcopy(model), batch)
    assert 1 < torch.cat(expected).std() < 10 and torch.cat(expected).abs().max() > 3
    attention = Attention(model, way)
    assert keeps_segments_apart(model, attention, LENGTH, VOCABULARY.size)
    packed = attention(model, batch, "logits")
    assert packed.isfinite().all()
    compare(packed, batch, expected, 1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["roberta", "camembert", "mpnet", "esm"])
@torch.no_grad()
def test_positions_count_from_where_the_family_counts(family: str, way: module.Way) -> None:
    vocabulary = VOCABULARY._replace(pad_id=1)
    model = make(family, vocabulary, max_position_embeddings=LENGTH + 2)
    batch = batch_of(vocabulary=vocabulary)
    expected = alone(copy.deepcopy(model), batch)
    attention = Attention(model, way)
    if not keeps_segments_apart(model, attention, LENGTH, vocabulary.size):
        assert family not in ("roberta", "camembert") and way != "separate"
        return
    compare(attention(model, batch, "logits"), batch, expected, 2e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["bert", "modernbert"])  # and all, as a loss: test_masked_loss.py
def test_packed_gradients_are_those_of_each_text_alone(family: str, way: module.Way) -> None:
    model, batch = make(family), batch_of()
    plain = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn((*batch.labels.shape, model.config.vocab_size), generator=generator) / 1000
    expected = alone(plain, batch)
    pairs = zip(each_segment(batch), expected, strict=True)
    total = torch.stack([(logits * weights[row, a:b]).sum() for (row, a, b), logits in pairs]).sum()
    total.backward()
    packed = Attention(model, way)(model, batch, "logits")
    assert batch.segments is not None
    (packed * weights * (batch.segments >= 0)[..., None]).sum().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        if theirs[name].grad is None:
            assert parameter.grad is None or not parameter.grad.any()
            continue
        scale = theirs[name].grad.abs().max().item()
        torch.testing.assert_close(
            parameter.grad, theirs[name].grad, rtol=0, atol=1e-5 + 1e-4 * scale, msg=name
        )


@pytest.mark.parametrize(("family", "way"), CASES)
@torch.no_grad()
def test_a_text_changes_nothing_in_its_neighbours(family: str, way: module.Way) -> None:
    model, batch = make(family), batch_of()
    attention = Attention(model, way)
    before = attention(model, batch, "logits")
    others = torch.ones(batch.labels.shape, dtype=torch.bool)
    ids = batch.inputs["input_ids"].clone()
    for row, a, b in ((0, 22, 25), (1, 0, 17), (3, 0, 5), (3, 37, 48)):
        ids[row, a:b] = (ids[row, a:b] + 100) % VOCABULARY.size
        others[row, a:b] = False
    assert batch.segments is not None
    ids[batch.segments < 0] = 77  # what stands in the padding
    others &= batch.segments >= 0
    inputs = {**batch.inputs, "input_ids": ids}
    after = attention(model, Batch(inputs, batch.labels, 0, 0, batch.segments), "logits")
    torch.testing.assert_close(after[others], before[others], rtol=0, atol=2e-6)
    changed = ~others & (batch.segments >= 0)
    assert ((after - before)[changed].abs().amax(-1) > 0.1).all()


@pytest.mark.parametrize(("family", "way"), [case for case in CASES if case[1] in ("eager", "sdpa")])
@torch.no_grad()
def test_half_precision_is_near(family: str, way: module.Way) -> None:
    model, batch = make(family), batch_of()
    plain = copy.deepcopy(model)
    exact = torch.cat(alone(plain, batch))
    attention = Attention(model, way)
    with torch.autocast("cpu", torch.bfloat16):
        packed = attention(model, batch, "logits").float()
        rough = torch.cat(alone(plain, batch)).float()
    ours = torch.cat([packed[row, a:b] for row, a, b in each_segment(batch)])
    assert packed.isfinite().all()
    assert (ours - exact).pow(2).mean().sqrt() < 1.2 * (rough - exact).pow(2).mean().sqrt() + 1e-3
    assert (ours - exact).pow(2).mean().sqrt() < 0.1 * exact.std()


# ----------------------------------------------------------------------------------------- the trial before


def sections(attention: str = "auto", length: int = LENGTH) -> Any:
    train = SimpleNamespace(attention=attention, device="cpu", precision="fp32")
    return SimpleNamespace(train=train, objective=Masked(block_size=length))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fastest_way_is_taken(family: str) -> None:
    assert choose_attention(sections(), make(family), VOCABULARY).way == "eager"
    if family in OWN_CODE:
        with pytest.raises(InputError, match="does not keep packed texts apart"):
            choose_attention(sections("sdpa"), make(family), VOCABULARY)
    else:
        assert choose_attention(sections("sdpa"), make(family), VOCABULARY).way == "sdpa"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("leak", ["all", "the first two"])
def test_the_trial_finds_a_leak_in_a_model_that_is_new(
    family: str, leak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(family, initializer_range=0.02)
    original = Attention._mask

    def mask(self: Attention, segments: torch.Tensor) -> Any:
        return original(self, segments.clamp(min=9 if leak == "all" else 1))

    assert keeps_segments_apart(model, Attention(model, "eager"), LENGTH, VOCABULARY.size)
    monkeypatch.setattr(Attention, "_mask", mask)
    for way in ("eager", "sdpa"):
        assert not keeps_segments_apart(model, Attention(model, way), LENGTH, VOCABULARY.size)
    assert model.training is False


def test_the_trial_finds_wrong_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Attention.__init__

    def shifted(self: Attention, *given: Any) -> None:
        original(self, *given)
        self.offset = 0

    monkeypatch.setattr(Attention, "__init__", shifted)
    model = make("roberta")
    assert not keeps_segments_apart(model, Attention(model, "sdpa"), LENGTH, VOCABULARY.size)


def test_a_family_with_attention_of_its_own_gets_a_row_for_each_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, batch = make("deberta-v2"), batch_of()
    with torch.no_grad():
        expected = alone(copy.deepcopy(model), batch)
        attention = choose_attention(sections(), model, VOCABULARY)
        assert attention.way == "separate"
        assert "does not keep packed texts apart: each gets a row of its own" in capsys.readouterr().err
        compare(attention(model, batch, "logits"), batch, expected, 1e-4)
    with pytest.raises(InputError, match=r"not keep packed texts apart with train\.attention sdpa") as error:
        choose_attention(sections("sdpa"), model, VOCABULARY)
    assert "--train.attention auto" in str(error.value)


@pytest.mark.parametrize("family", ["convbert", "fnet"])
def test_a_family_that_mixes_neighbours_is_refused(family: str) -> None:
    config = {} if family == "convbert" else {"num_attention_heads": None}
    body = {name: value for name, value in BODY.items() if config.get(name, value) is not None}
    settings = ModelSettings(config={"model_type": family, **body})
    with hushed():
        model = build_model(settings, "AutoModelForMaskedLM", LENGTH, VOCABULARY, 0)
    for wanted in ("auto", "separate"):
        with pytest.raises(InputError, match="lets padding and other texts into a text's own predictions"):
            choose_attention(sections(wanted), model, VOCABULARY)


@pytest.mark.parametrize("family", ["xlm", "mpnet", "megatron-bert"])
def test_a_family_whose_code_takes_no_such_mask_is_tried_without_harm(family: str) -> None:
    body = {"emb_dim": 32, "n_layers": 2, "n_heads": 2} if family == "xlm" else BODY
    settings = ModelSettings(config={"model_type": family, **body, "max_position_embeddings": LENGTH + 2})
    with hushed():
        model = build_model(settings, "AutoModelForMaskedLM", LENGTH, VOCABULARY, 0).eval()
        attention = choose_attention(sections(), model, VOCABULARY)
    batch = batch_of()
    batch.inputs["input_ids"][batch.inputs["input_ids"] == 2] = 5  # XLM takes this id for padding
    with torch.no_grad():
        compare(attention(model, batch, "logits"), batch, alone(model, batch), 1e-4)


@pytest.mark.parametrize("family", ["roberta", "camembert", "mpnet", "bert", "modernbert"])
@pytest.mark.parametrize("pad", [0, 1])
@torch.no_grad()
def test_a_text_as_long_as_a_block_has_positions(family: str, pad: int) -> None:
    model = make(family, VOCABULARY._replace(pad_id=pad))
    assert model(input_ids=torch.arange(5, 5 + LENGTH)[None]).logits.isfinite().all()


def test_the_list_of_ends_holds_the_ends_of_padding_too() -> None:
    for sizes in ([3] * 16, [48], [47], [4, 3, 3]):
        row = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(torch.int32)
        padded = torch.cat([row, torch.full((LENGTH - len(row),), -1, dtype=torch.int32)])
        ends = module._ends(torch.stack([padded] * 3))
        real = sorted({*ends.tolist()})
        expected = [0]
        for _ in range(3):
            base = expected[-1]
            expected += [base + end for end in np.cumsum(sizes).tolist()]
            if sum(sizes) < LENGTH:
                expected.append(base + LENGTH)
        assert real == expected
