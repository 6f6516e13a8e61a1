"""Memory that is predicted on tensors without memory is what a real step holds."""

from __future__ import annotations

import contextlib
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tane import hardware
from tane.model.attention import Attention, Way
from tane.model.build import ModelSettings, build_config
from tane.model.loss import Loss
from tane.optim.adamw import AdamW
from tane.optim.groups import OptimSettings
from tane.optim.muon import Muon
from tane.recipe import Recipe
from tane.training import free, memory
from tane.training.memory import Shape
from tane.types import IGNORE, Batch, Vocabulary

VOCABULARY = Vocabulary(1000, 1, 0)
LENGTH = 64
CAUSAL, MASKED = "AutoModelForCausalLM", "AutoModelForMaskedLM"
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
WIDE: dict[str, Any] = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}


class RealMemory(TorchDispatchMode):
    """The bytes of real tensors that are alive, and the most that were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in tree_leaves(found):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, storage._cdata, None)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return found


def meta(auto: str, length: int = LENGTH, **config: Any) -> Any:
    made = build_config(ModelSettings(config=config), length, VOCABULARY)
    with torch.device("meta"):
        return getattr(transformers, auto).from_config(made)


def real_peak(auto: str, config: dict[str, Any], optim: OptimSettings, shape: Shape, precision: str) -> int:
    """The most bytes that two real steps hold at once."""
    made = build_config(ModelSettings(config=config), LENGTH, VOCABULARY)
    with RealMemory() as found:
        model = getattr(transformers, auto).from_config(made).train()
        loss = Loss(model, Attention(model, shape.way))
        optimizers = optim.build(model)
        ids = torch.randint(10, 900, (shape.rows, shape.length))
        labels = ids.clone()
        targets = round(shape.targets * ids.numel())
        labels.flatten()[targets:] = IGNORE
        segments = torch.arange(shape.length).expand(shape.rows, -1).div(16).int() if shape.packed else None
        batch = Batch({"input_ids": ids}, labels, targets, ids.numel(), segments)
        for _ in range(2):
            on = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
            with on:
                nats = loss(batch)
            nats.backward()
            del nats
            for optimizer in optimizers:
                optimizer.step()
            for parameter in model.parameters():
                parameter.grad = None
    return found.peak


GPT2: dict[str, Any] = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}
GPT2_WIDE: dict[str, Any] = {"model_type": "gpt2", "n_layer": 3, "n_embd": 96, "n_head": 4}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("auto", "config", "way", "optim"),
    [
        (CAUSAL, GPT2, "eager", Muon()),
        (CAUSAL, GPT2_WIDE, "sdpa", AdamW()),
        (MASKED, {"model_type": "bert", **SMALL}, "eager", Muon()),
        (MASKED, {"model_type": "bert", **WIDE}, "sdpa", AdamW()),
        (CAUSAL, {"model_type": "llama", **SMALL}, "sdpa", AdamW()),
        (CAUSAL, {"model_type": "llama", **WIDE}, "eager", Muon()),
    ],
    ids=lambda value: value.get("model_type") if isinstance(value, dict) else None,
)
def test_a_step_holds_what_was_predicted(
    auto: str, config: dict[str, Any], way: Way, optim: OptimSettings, precision: str
) -> None:
    shape = Shape(8, LENGTH, 0.25 if auto == MASKED else 1.0, way, auto == MASKED)
    predicted = memory.peak(meta(auto, **config), optim, memory.text_loss(shape), precision=precision)
    assert predicted is not None
    real = real_peak(auto, config, optim, shape, precision)
    assert predicted.total == pytest.approx(real, rel=0.05)
    weights = 4 * sum(p.numel() for p in meta(auto, **config).parameters())
    assert weights <= predicted.weights <= 1.1 * weights  # buffers stand beside the parameters
    assert bool(predicted.copies) == (precision == "bf16")


def test_eager_attention_keeps_a_matrix_of_positions_and_the_fused_one_does_not() -> None:
    found, length = [], 256
    for way in ("eager", "sdpa"):
        text = memory.text_loss(Shape(2, length, 1.0, way))
        estimate = memory.peak(meta(CAUSAL, length, **GPT2), Muon(), text)
        assert estimate is not None
        found.append(estimate.activations)
    assert found[0] > 1.25 * found[1]


def test_gradients_that_wait_for_the_next_micro_batch_are_counted() -> None:
    text = memory.text_loss(Shape(4, LENGTH))
    alone, several = (memory.peak(meta(CAUSAL, **GPT2), Muon(), text, accumulates=a) for a in (False, True))
    assert alone is not None and several is not None and several.total > alone.total


def test_checkpointing_takes_less() -> None:
    model = meta(CAUSAL, **{**GPT2, "n_layer": 6})
    text = memory.text_loss(Shape(32, LENGTH, way="eager"))
    plain, less = (memory.peak(model, Muon(), text, checkpointing=c) for c in (False, True))
    assert plain is not None and less is not None and less.activations < 0.7 * plain.activations


def test_a_real_model_is_predicted_too_and_not_touched() -> None:
    model = transformers.AutoModelForCausalLM.from_config(
        build_config(ModelSettings(config=GPT2), LENGTH, VOCABULARY)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    text, drawn = memory.text_loss(Shape(4, LENGTH)), torch.random.get_rng_state()
    assert memory.peak(model, Muon(), text) == memory.peak(meta(CAUSAL, **GPT2), Muon(), text)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_code_that_asks_for_values_is_not_predicted() -> None:
    def forward(model: Any, count: Any, device: str) -> Tensor:
        return torch.zeros(3).nonzero().sum()

    assert memory.peak(meta(CAUSAL, **GPT2), Muon(), forward) is None


# -------------------------------------------------------------------------------------- rows of micro-batches


@pytest.mark.parametrize("free", [0, 1000, 1200, 5000, 50_000, 10**9])
def test_the_rows_are_the_most_that_fit(free: int) -> None:
    def peak_of(rows: int) -> int:
        return 700 + 37 * rows + max(0, 90 - rows)  # not quite a straight line

    found = memory.largest_micro_rows(peak_of, free, 512)
    fits = [rows for rows in range(1, 513) if peak_of(rows) <= memory.SHARE * free]
    best = max(fits, default=1)
    assert found <= best and found >= best - max(1, best // 32)


def test_more_memory_never_means_fewer_rows() -> None:
    rows = [memory.largest_micro_rows(lambda r: 1000 + 10 * r, free, 256) for free in range(0, 6000, 100)]
    assert rows == sorted(rows) and rows[0] == 1 and rows[-1] == 256


def test_no_more_rows_than_the_batch_has_or_is_usual() -> None:
    assert memory.largest_micro_rows(lambda rows: rows, 10**9, 12) == 12
    assert memory.largest_micro_rows(lambda rows: rows, 10**9, 12, usual=5) == 5
    assert memory.largest_micro_rows(lambda rows: None, 1, 12, usual=5) == 5, "nothing is known"


def recipe(**train: Any) -> Recipe:
    values = {
        "model": {"config": GPT2},
        "objective": {"name": "causal", "block_size": LENGTH},
        "train": {"device": "cpu", "precision": "fp32", "batch_tokens": 64 * 256, **train},
    }
    return Recipe.from_mapping(values)


def test_micro_batches_follow_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sections, model = recipe().sections(), meta(CAUSAL, **GPT2)
    usual = 4096 // LENGTH
    least, most = (memory.peak_of_rows(sections, model, "sdpa", rows, 256) for rows in (1, usual))
    assert least is not None and most is not None
    found = []
    for share in (0.0, 0.3, 0.6, 1e6):
        room = round(least.total + share * (most.total - least.total))
        monkeypatch.setattr(memory, "free_memory", lambda device, room=room: room / memory.SHARE + 1)
        rows = memory.micro_rows(sections, model, "sdpa", 256)
        estimate = memory.peak_of_rows(sections, model, "sdpa", rows, 256)
        assert estimate is not None and (rows == 1 or estimate.total <= room + 1)
        found.append(rows)
    assert found[0] == 1 < found[1] < found[2] < found[3]
    assert found[3] == usual, "on a CPU larger ones are no faster"


def test_what_cannot_be_predicted_gets_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    model = meta(CAUSAL, **GPT2)
    monkeypatch.setattr(memory, "peak", lambda *_, **__: None)
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    for device, tokens in (("cpu", 4096), ("cuda", 65_536)):
        sections = recipe(device=device, batch_tokens=10**6).sections()
        assert memory.micro_rows(sections, model, "sdpa", 10_000) == tokens // LENGTH


def test_a_card_is_filled_beyond_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = recipe(device="cuda", batch_tokens=10**6).sections()
    monkeypatch.setattr(memory, "peak_of_rows", lambda *given, **_: memory.Estimate(activations=given[3]))
    monkeypatch.setattr(memory, "free_memory", lambda device: 10_000)
    assert memory.micro_rows(sections, meta(CAUSAL, **GPT2), "sdpa", 5000) == 5000
    found = memory.micro_rows(sections, meta(CAUSAL, **GPT2), "sdpa", 50_000)
    assert 9000 * 31 / 32 <= found <= 9000


def test_the_kernel_for_many_lengths_takes_so_many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "peak_of_rows", lambda *_, **__: memory.Estimate(activations=1))
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**9)
    for train in ({}, {"micro_batch_tokens": 10**7}):
        sections = recipe(device="cuda", batch_tokens=10**7, **train).sections()
        rows = memory.micro_rows(sections, meta(CAUSAL, **GPT2), "varlen", 100_000)
        assert rows * (LENGTH // 3 + 1) <= 65_535 < (rows + 1) * (LENGTH // 3 + 1)


def test_several_cards_hold_buckets_or_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sections, asked = recipe(device="cuda", batch_tokens=10**6).sections(), []

    def peak(*given: Any, accumulates: bool) -> memory.Estimate:
        asked.append(accumulates)
        return memory.Estimate(weights=400, gradients=400, optimizer=800, activations=given[3])

    monkeypatch.setattr(memory, "peak_of_rows", peak)
    monkeypatch.setattr(memory, "free_memory", lambda device: 2000 / memory.SHARE)
    model = meta(CAUSAL, **GPT2)
    assert memory.micro_rows(sections, model, "sdpa", 300, processes=1) == 300 and not asked[-1]
    assert memory.micro_rows(sections, model, "sdpa", 300, processes=4) == 300 and asked[-1]
    whole = memory.micro_rows(sections, model, "sdpa", 5000, processes=4)
    parted = memory.micro_rows(sections, model, "sdpa", 5000, processes=4, parts=4)
    assert 400 * 31 / 32 <= whole <= 400 and 1200 * 31 / 32 <= parted <= 1200


def test_tokens_that_are_named_are_taken() -> None:
    sections = recipe(micro_batch_tokens=640).sections()
    assert memory.micro_rows(sections, meta(CAUSAL, **GPT2), "sdpa", 256) == 10
    assert memory.micro_rows(sections, meta(CAUSAL, **GPT2), "sdpa", 7) == 7


@pytest.mark.parametrize("config", [GPT2, GPT2_WIDE], ids=["small", "wide"])
def test_the_quick_guess_is_more_than_the_prediction(config: dict[str, Any]) -> None:
    model = meta(CAUSAL, **config)
    for rows in (1, 64):
        predicted = memory.peak(model, AdamW(), memory.text_loss(Shape(rows, LENGTH, way="eager")))
        assert predicted is not None and memory.generous(model, rows, LENGTH) > predicted.total


# ------------------------------------------------------------------------------------------------ free memory


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    monkeypatch.setattr(hardware, "PROC", proc)
    monkeypatch.setattr(hardware, "CGROUP", groups)
    assert free.free_memory("cpu") is None
    write(proc / "meminfo", "MemTotal: 8000 kB\nMemAvailable:  6000 kB\n")
    assert free.free_memory("cpu") == 6000 * 1024
    write(proc / "self" / "cgroup", "0::/inner\n")
    write(groups / "memory.max", "max\n")
    write(groups / "inner" / "memory.max", "3000000\n")
    write(groups / "inner" / "memory.current", "1000000\n")
    write(groups / "inner" / "memory.stat", "anon 5\ninactive_file 400000\n")
    assert free.free_memory("cpu") == 2_400_000
    write(proc / "self" / "cgroup", "3:cpu:/x\n4:memory:/old\n")
    write(groups / "memory" / "old" / "memory.limit_in_bytes", "2000000\n")
    write(groups / "memory" / "old" / "memory.usage_in_bytes", "500000\n")
    assert free.free_memory("cpu") == 1_500_000
