"""Laws of the loop: the same numbers however a batch is cut, good schedules, early stopping, freezing,
precision."""

import json
import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tane import signals
from tane.errors import DivergedError, Stopped
from tane.recipe import Recipe, train
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.training import checkpoint, run
from tane.training.build import characters_of
from tane.training.judge import judge
from tane.training.loop import Loop
from tane.training.made import Made
from tane.training.pretraining import Pretraining, start
from tane.training.runtime import Runtime
from tane.training.tracker import Untold, read_metrics
from tane.types import Batch, TrainState

from .conftest import settings, weights_hash

Make = Callable[..., Recipe]


@dataclass
class TextLoop(Loop):
    """The loop with the work of `tane train`."""

    work: Pretraining


def make_loop(recipe: Recipe, tmp_path: Path) -> TextLoop:
    """A loop that has not begun, without tracker files."""
    sections, machine = recipe.sections(), Runtime("cpu", "fp32", False, 1)
    work, parts = start(sections, recipe.data_path, {}, machine)
    plan = run.make_plan(sections, work)
    return TextLoop(plan, tmp_path, parts.model, work, sections.optim, machine, parts, TrainState(), Untold())


def gradients(loop: TextLoop) -> dict[str, torch.Tensor]:
    batches = loop.work.micro_batches(0)
    targets = sum(b.num_targets for _, b in batches)
    for _, batch in batches:
        (loop.work.loss(batch) / targets).backward()
    return {n: p.grad.clone() for n, p in loop.model.named_parameters()}


NO_DROPOUT = "model.config={model_type: gpt2, n_layer: 2, n_embd: 32, n_head: 2}"


def test_gradients_do_not_depend_on_the_micro_batches(make_recipe: Make, tmp_path: Path) -> None:
    found = []
    for tokens in (32 * 32, 32 * 4):  # one micro-batch of 32 rows, eight of 4
        overrides = ("train.batch_tokens=1024", f"train.micro_batch_tokens={tokens}", NO_DROPOUT)
        loop = make_loop(make_recipe(*overrides), tmp_path)
        found.append((len(loop.work.micro_batches(0)), gradients(loop)))
    assert [n for n, _ in found] == [1, 8]
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], rtol=0, atol=1e-6, msg=name)


def test_gradients_weigh_every_target_alike_when_the_last_block_is_short(
    make_recipe: Make, tmp_path: Path
) -> None:
    loops = [
        make_loop(
            make_recipe("train.batch_tokens=256", f"train.micro_batch_tokens={t}", NO_DROPOUT), tmp_path
        )
        for t in (256, 32)
    ]
    last = len(loops[0].work.train_blocks) - 1
    step = next(s for s in range(10_000) if any(len(b) < 33 for b in blocks_of(loops[0], s, last)))
    found = []
    for loop in loops:
        batches = loop.work.micro_batches(step)
        targets = sum(b.num_targets for _, b in batches)
        assert targets < 256
        for _, batch in batches:
            (loop.work.loss(batch) / targets).backward()
        found.append({n: p.grad for n, p in loop.model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=0, atol=1e-6, msg=name)


def blocks_of(loop: Loop, step: int, last: int) -> list:
    from tane.tokens.order import global_batch

    _, ids = global_batch(step, loop.work.rows, len(loop.work.train_blocks), loop.plan.seed)
    return [loop.work.train_blocks[int(i)].ids for i in ids if i == last]


def test_validation_loss_does_not_depend_on_the_batch_size_and_repeats_to_the_bit(
    make_recipe: Make, tmp_path: Path
) -> None:
    loop = make_loop(make_recipe(), tmp_path)

    def score(rows: int) -> float:
        loop.work.micro_rows = rows
        found = loop.work.evaluate()
        assert found and found["loss"]
        return found["loss"]

    one, seven, many = score(1), score(7), score(64)
    assert abs(one - seven) < 1e-6 * one and abs(one - many) < 1e-6 * one
    assert score(7) == seven


def test_every_block_is_seen_once_an_epoch_however_it_is_dealt(make_recipe: Make, tmp_path: Path) -> None:
    loop = make_loop(make_recipe("train.micro_batch_tokens=64"), tmp_path)
    seen = [
        tuple(row)
        for step in range(math.ceil(len(loop.work.train_blocks) / 8))
        for _, batch in loop.work.micro_batches(step)
        for row in batch.inputs["input_ids"].tolist()
    ]
    blocks = loop.work.train_blocks
    expected = {tuple(blocks[i].ids[:32].tolist()) for i in range(len(blocks) - 1)}
    assert expected <= set(seen)


def test_blocks_read_at_once_make_the_batches_of_blocks_read_one_by_one(
    make_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(make_recipe("train.micro_batch_tokens=64"), tmp_path)
    fast = [loop.work.micro_batches(step) for step in range(0, 1000, 7)]  # over the ends of epochs too
    monkeypatch.setattr(type(loop.work.train_blocks), "rows", lambda blocks, ids: None)
    slow = [loop.work.micro_batches(step) for step in range(0, 1000, 7)]
    for ones, others in zip(fast, slow, strict=True):
        assert [number for number, _ in ones] == [number for number, _ in others]
        for (_, one), (_, other) in zip(ones, others, strict=True):
            assert torch.equal(one.inputs["input_ids"], other.inputs["input_ids"])
            assert torch.equal(one.labels, other.labels)
            assert (one.num_targets, one.num_tokens) == (other.num_targets, other.num_tokens)
            assert one.inputs["input_ids"].is_contiguous() and one.labels.is_contiguous()


def test_two_runs_end_with_the_same_bits_and_another_seed_does_not(make_recipe: Make) -> None:
    results = [train(make_recipe(f"seed={seed}", run=f"r{n}")) for n, seed in enumerate((0, 0, 1))]
    hashes = [weights_hash(r.path, 24) for r in results]
    assert hashes[0] == hashes[1] != hashes[2]
    assert results[0].metrics["valid_loss"] == results[1].metrics["valid_loss"]
    assert results[0].metrics["valid_loss"] < math.log(1000)


@pytest.mark.parametrize("optim", ["adamw", "muon"])
@pytest.mark.parametrize("stop_at", [1, 9, 23])
def test_a_stopped_run_goes_on_to_the_same_bits(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, optim: str, stop_at: int
) -> None:
    whole = train(make_recipe(f"optim.name={optim}", run="whole"))
    recipe = make_recipe(f"optim.name={optim}", run="cut")
    original = Loop._step

    def step(self: Loop) -> bool:
        done = original(self)
        if self.state.step == stop_at:
            signals._received.append("SIGTERM")
        return done

    monkeypatch.setattr(Loop, "_step", step)
    with pytest.raises(Stopped, match=f"step {stop_at}"):
        train(recipe)
    monkeypatch.setattr(Loop, "_step", original)
    resumed = train(recipe)
    assert resumed.metrics["resumed_from"] == stop_at
    assert weights_hash(whole.path, 24) == weights_hash(resumed.path, 24)
    for key in ("valid_loss", "train_loss", "best_step", "tokens", "steps"):
        assert whole.metrics[key] == resumed.metrics[key], key


def test_three_resumes_inside_one_epoch_and_over_its_end(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tane.tokens.shards import Shards

    recipe = make_recipe(run="cut")
    blocks = -(-(len(Shards(recipe.data_path / "shards", "train")) - 1) // 32)
    rows = blocks // 10  # an epoch ends inside step 10
    overrides = (f"train.batch_tokens={rows * 32}", NO_DROPOUT)
    whole = train(make_recipe(*overrides, run="whole"))
    original, stops = Loop._step, [3, 5, 8, 10, 11, 17]

    def step(self: Loop) -> bool:
        done = original(self)
        if stops and self.state.step == stops[0]:
            signals._received.append("SIGTERM")
            stops.pop(0)
        return done

    monkeypatch.setattr(Loop, "_step", step)
    for _ in range(6):
        with pytest.raises(Stopped):
            train(make_recipe(*overrides, run="cut"))
    result = train(make_recipe(*overrides, run="cut"))
    assert result.metrics["resumed_from"] == 17 and not stops
    assert weights_hash(whole.path, 24) == weights_hash(result.path, 24)


def test_a_signal_inside_an_evaluation_or_a_micro_batch_loses_nothing(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(make_recipe("train.micro_batch_tokens=64", run="whole"))
    original = Loop._gradients

    def gradients(self: Loop, batches: list[tuple[int, Batch]], factor: float) -> torch.Tensor | None:
        def stopping() -> Iterator[tuple[int, Batch]]:
            for number, piece in enumerate(batches):
                if self.state.step == 10 and number == 1:  # the second micro-batch of step 11
                    signals._received.append("SIGINT")
                yield piece

        class Pieces(list[tuple[int, Batch]]):
            def __iter__(self) -> Iterator[tuple[int, Batch]]:
                return stopping()

        return original(self, Pieces(batches), factor)

    monkeypatch.setattr(Loop, "_gradients", gradients)
    recipe = make_recipe("train.micro_batch_tokens=64", run="cut")
    with pytest.raises(Stopped, match="step 10 of 24"):
        train(recipe)
    monkeypatch.setattr(Loop, "_gradients", original)
    resumed = train(recipe)
    assert weights_hash(whole.path, 24) == weights_hash(resumed.path, 24)


def test_a_loss_that_is_not_finite_stops_before_the_update(make_recipe: Make) -> None:
    recipe = make_recipe("optim.name=adamw", "optim.lr=9", "optim.clip=none", "optim.schedule.name=constant",
                         "optim.schedule.warmup=0", "train.duration=200 steps")  # fmt: skip
    original = Loop._gradients

    def poisoned(self: Loop, *given: Any) -> torch.Tensor | None:
        nats = original(self, *given)
        if self.state.step == 5:
            next(self.model.parameters()).grad[0, 0] = float("nan")
        return nats

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_gradients", poisoned)
        with pytest.raises(DivergedError, match="gradient is not finite at step 6"):
            train(recipe)
    step = checkpoint.steps_in(recipe.run_path)[-1]
    weights = load_file(checkpoint.folder_of(recipe.run_path, step) / "model" / "model.safetensors")
    assert all(torch.isfinite(w).all() for w in weights.values())


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "wsd"])
def test_the_logged_learning_rates_follow_the_schedule(make_recipe: Make, name: str) -> None:
    recipe = make_recipe(
        f"optim.schedule.name={name}",
        "train.duration=40 steps",
        "optim.schedule.warmup=0.1",
        "optim.schedule.decay=0.5",
        "optim.lr=1e-3",
    )
    result = train(recipe)
    rates = {e["step"]: e["lr"] / 1e-3 for e in read_metrics(result.path, "step")}
    expected = {
        "constant": {1: 0.2, 10: 1, 20: 1, 30: 1, 40: 1},
        "linear": {1: 0.2, 10: 1 - 6 / 37, 20: 1 - 16 / 37, 30: 1 - 26 / 37, 40: 1 / 37},
        "cosine": {1: 0.2, 20: 0.5 * (1 + math.cos(math.pi * 16 / 37))},
        "wsd": {1: 0.2, 10: 1, 20: 1, 30: 1 - 10 / 21, 40: 1 / 21},
    }[name]
    for step, value in expected.items():
        assert rates[step] == pytest.approx(value, abs=1e-9), step


def test_early_stopping_keeps_the_best_and_the_last(make_recipe: Make) -> None:
    recipe = make_recipe(
        "train.duration=400 steps",
        "train.eval_every=4 steps",
        "train.early_stopping.patience=3",
        "train.early_stopping.min_delta=0.05",
        "optim.lr=0.02",
        "train.eval_tokens=512",
    )
    result = train(recipe)
    evals = read_metrics(result.path, "eval")
    assert result.metrics["steps"] < 400
    assert result.metrics["steps"] == result.metrics["best_step"] + 3 * 4
    best = checkpoint.folder_of(recipe.run_path, result.metrics["best_step"])
    assert (recipe.run_path / "model").resolve() == (best / "model").resolve()
    assert checkpoint.steps_in(recipe.run_path)[-1] == result.metrics["steps"]
    assert len(evals) == result.metrics["steps"] // 4
    assert train(recipe).metrics["already_finished"]


def test_frozen_parameters_do_not_move_and_others_do(make_recipe: Make) -> None:
    result = train(make_recipe("train.freeze=[transformer.wte*, '*.mlp.*']"))
    first, last = (
        load_file(checkpoint.folder_of(Path(result.path), s) / "model" / "model.safetensors")
        for s in (16, 24)
    )
    for name in first:
        frozen = name.startswith("transformer.wte") or ".mlp." in name
        assert torch.equal(first[name], last[name]) == frozen, name


def test_bf16_learns_what_fp32_learns_and_fp32_enters_no_autocast(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = []

    def note(context: torch.autocast) -> None:
        if context._enabled:
            entered.append(context.fast_dtype)

    original = torch.autocast.__enter__
    monkeypatch.setattr(torch.autocast, "__enter__", lambda self: (note(self), original(self))[1])
    fp32 = train(make_recipe("train.precision=fp32", run="fp32"))
    assert entered == []
    bf16 = train(make_recipe("train.precision=bf16", run="bf16"))
    assert torch.bfloat16 in entered
    assert abs(fp32.metrics["valid_loss"] - bf16.metrics["valid_loss"]) < 0.02
    weights = load_file(checkpoint.folder_of(Path(bf16.path), 24) / "model" / "model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float32}


def test_fp16_scales_its_gradients_and_learns_the_same(make_recipe: Make) -> None:
    fp32 = train(make_recipe("train.precision=fp32", run="fp32"))
    fp16 = train(make_recipe("train.precision=fp16", run="fp16"))
    assert abs(fp32.metrics["valid_loss"] - fp16.metrics["valid_loss"]) < 0.02
    steps = read_metrics(fp16.path, "step")
    assert steps[0]["grad_norm"] == pytest.approx(read_metrics(fp32.path, "step")[0]["grad_norm"], rel=0.05)


def test_an_overflow_of_fp16_lowers_the_scale_and_skips_the_update(make_recipe: Make, tmp_path: Path) -> None:
    loop = make_loop(make_recipe("train.precision=fp16"), tmp_path)
    loop.runtime = Runtime("cpu", "fp16", False, 1)
    before = {n: p.clone() for n, p in loop.model.named_parameters()}
    gradients = torch.full((), float("inf"))
    assert not judge(loop, Made(1, torch.tensor(1.0), gradients, targets=10, tokens=10, seen=10))
    assert loop.state.loss_scale == 32768.0
    assert all(torch.equal(p, before[n]) for n, p in loop.model.named_parameters())


def test_tensorboard_files_hold_what_the_log_holds(make_recipe: Make) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(make_recipe("train.tensorboard=true"))
    events = EventAccumulator(str(Path(result.path) / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/lr", "train/grad_norm", "eval/loss"} <= set(events.Tags()["scalars"])
    logged = {e["step"]: e["loss"] for e in read_metrics(result.path, "eval")}
    shown = {e.step: e.value for e in events.Scalars("eval/loss")}
    assert shown == pytest.approx(logged, rel=1e-6)


def test_the_logged_training_loss_is_the_mean_over_targets(make_recipe: Make) -> None:
    result = train(make_recipe("train.duration=20 steps", "train.eval_every=10 steps"))
    steps, evals = read_metrics(result.path, "step"), read_metrics(result.path, "eval")
    assert [e["step"] for e in steps] == [1, 10, 20]
    first = (steps[0]["loss"] + 9 * steps[1]["loss"]) / 10
    assert evals[0]["train_loss"] == pytest.approx(first, rel=1e-6)
    assert evals[1]["train_loss"] == pytest.approx(steps[2]["loss"], rel=1e-6)
    assert evals[0]["train_loss"] > 1  # the true loss, not one divided by something


def test_gradient_checkpointing_changes_nothing(make_recipe: Make) -> None:
    plain = train(make_recipe(NO_DROPOUT, run="a"))
    thrifty = train(make_recipe(NO_DROPOUT, "train.gradient_checkpointing=true", run="b"))
    assert thrifty.metrics["valid_loss"] == pytest.approx(plain.metrics["valid_loss"], abs=1e-5)


def test_isolated_documents_train_and_resume(make_recipe: Make) -> None:
    result = train(make_recipe("objective.isolate_documents=true"))
    assert result.metrics["valid_loss"] < math.log(1000)


@pytest.mark.slow
def test_a_compiled_run_learns_the_same(make_recipe: Make) -> None:
    plain = train(make_recipe(NO_DROPOUT, run="a"))
    compiled = train(make_recipe(NO_DROPOUT, "train.compile=true", run="b"))
    assert compiled.metrics["valid_loss"] == pytest.approx(plain.metrics["valid_loss"], abs=1e-3)


def test_state_is_plain_json_and_the_log_reads_back(make_recipe: Make) -> None:
    result = train(make_recipe())
    folder = checkpoint.folder_of(Path(result.path), 24)
    state = json.loads((folder / "state" / "state.json").read_text())
    assert state["step"] == 24 and state["finished"] is True and state["tokens"] == 24 * 256
    with (Path(result.path) / "metrics.jsonl").open("a") as log:
        log.write('{"event": "eval", "step": 8, "loss": 1.5}\n{"event": "ev')
    evals = read_metrics(result.path, "eval")
    assert [e["step"] for e in evals] == [8, 16, 24] and evals[0]["loss"] == 1.5
    assert signal.getsignal(signal.SIGTERM) is not signals._note


def test_a_want_of_memory_halves_the_micro_batches_and_nothing_else(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ("train.batch_tokens=1024", "train.micro_batch_tokens=512", NO_DROPOUT)
    whole = train(make_recipe(*overrides, run="whole"))

    class Short:
        """The loss, which lacks memory for more than 8 rows from its tenth call on."""

        calls = 0

        def __init__(self, loss: Any) -> None:
            self.loss = loss

        def __getattr__(self, name: str) -> Any:
            return getattr(self.loss, name)

        def __call__(self, batch: Any) -> torch.Tensor:
            Short.calls += 1
            if Short.calls > 10 and len(batch.labels) > 8:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return self.loss(batch)

    init = Pretraining.__init__
    monkeypatch.setattr(
        Pretraining, "__init__", lambda self, s, b, loss, *rest: init(self, s, b, Short(loss), *rest)
    )
    recipe = make_recipe(*overrides, run="short")
    short = train(recipe)
    told = capsys.readouterr().err
    assert (
        "out of memory at step 6: train.micro_batch_tokens is 256 from here on, the batch as before" in told
    )
    assert short.metrics["steps"] == whole.metrics["steps"]
    assert short.metrics["valid_loss"] == pytest.approx(whole.metrics["valid_loss"], rel=1e-4)
    assert Recipe.load(Path(short.path or "") / "recipe.yaml").train.micro_batch_tokens == 256
    [event] = read_metrics(short.path or "", "memory")
    assert event["step"] == 5

    Short.calls = 11
    monkeypatch.setattr(Short, "__call__", lambda self, batch: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):  # of one row, it cannot be halved
        train(make_recipe(*overrides, run="none"))


def test_an_operation_that_cannot_repeat_its_bits_is_told_once_and_taken(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(make_recipe(run="whole"))
    modes: list[bool] = []

    class Strict:
        """The loss of a model with an operation that has no way to repeat its bits."""

        def __init__(self, loss: Any) -> None:
            self.loss = loss

        def __getattr__(self, name: str) -> Any:
            return getattr(self.loss, name)

        def __call__(self, batch: Any) -> torch.Tensor:
            modes.append(torch.is_deterministic_algorithms_warn_only_enabled())
            if not modes[-1]:
                raise RuntimeError(
                    "cumsum_cuda_kernel does not have a deterministic implementation, but you set "
                    "'torch.use_deterministic_algorithms(True)'. You can turn it off."
                )
            return self.loss(batch)

    init = Pretraining.__init__
    monkeypatch.setattr(
        Pretraining, "__init__", lambda self, s, b, loss, *rest: init(self, s, b, Strict(loss), *rest)
    )
    found = train(make_recipe(run="strict"))
    told = capsys.readouterr().err
    assert told.count("will not have equal bits: cumsum_cuda_kernel") == 1
    assert modes.count(False) == 1 and not torch.is_deterministic_algorithms_warn_only_enabled()
    assert weights_hash(found.path, 24) == weights_hash(whole.path, 24)


def test_a_step_judged_late_as_on_a_gpu_gives_the_same_run(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(make_recipe(run="whole"))
    late = Loop.__post_init__

    def delay(self: Loop) -> None:
        late(self)
        self.delayed = True

    monkeypatch.setattr(Loop, "__post_init__", delay)
    again = train(make_recipe(run="late"))
    assert weights_hash(whole.path, 24) == weights_hash(again.path, 24)
    for kind, names in (("step", ("loss", "lr", "grad_norm", "tokens")), ("eval", ("loss", "train_loss"))):
        ones, others = (read_metrics(r.path or "", kind) for r in (whole, again))
        assert [[e[n] for n in ("step", *names)] for e in ones] == [
            [e[n] for n in ("step", *names)] for e in others
        ]

    loss = Pretraining.__init__

    def spoil(self: Pretraining, *given: Any) -> None:
        loss(self, *given)
        own, calls = self.loss, iter(range(10_000))
        self.__dict__["loss"] = Spoiled(own, lambda: next(calls) == 12)

    monkeypatch.setattr(Pretraining, "__init__", spoil)
    with pytest.raises(
        DivergedError, match=r"the loss is not finite at step 13 .* nothing of it was saved"
    ) as error:
        train(make_recipe(run="nan"))
    run_dir = Path(make_recipe(run="nan").run_dir)
    assert f"the newest checkpoint is of step {max(checkpoint.steps_in(run_dir))}" in str(error.value)
    assert max(checkpoint.steps_in(run_dir)) == 12
    for path in run_dir.glob("checkpoints/*/model/*.safetensors"):
        assert all(torch.isfinite(value).all() for value in load_file(str(path)).values())


class Spoiled:
    """A loss that is not a number where it is told so."""

    def __init__(self, loss: Any, now: Callable[[], bool]) -> None:
        self.loss, self.now = loss, now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loss, name)

    def __call__(self, batch: Any) -> torch.Tensor:
        found: torch.Tensor = self.loss(batch)
        return found * float("nan") if self.now() else found


# ----------------------------------------------------------------------------------------------- what is told


def test_without_validation_text_the_training_loss_is_that_of_the_run(
    sample_text: Path, tmp_path: Path
) -> None:
    values = settings(tmp_path / "data", tmp_path / "run", sample_text)
    values["corpus"] = {**values["corpus"], "valid_fraction": 0.0}
    result = train(Recipe.from_mapping(values))
    assert 0 < result.metrics["train_loss"] < 8 and result.metrics["valid_loss"] is None


def test_a_run_without_warm_up_can_grow(make_recipe: Make) -> None:
    short = ("optim.schedule.name=constant", "train.duration=8 steps")  # of which 0.05 are no step
    assert train(make_recipe(*short)).metrics["steps"] == 8
    grown = train(make_recipe(short[0], "train.duration=16 steps"))
    assert grown.metrics["steps"] == 16 and grown.metrics["resumed_from"] == 8


def test_a_family_whose_files_have_other_names_goes_on(make_recipe: Make) -> None:
    config = (
        "model.config={model_type: gpt_neox, num_hidden_layers: 1, hidden_size: 32, num_attention_heads: 2, "
        "intermediate_size: 64}"
    )
    constant = ("optim.schedule.name=constant", "optim.schedule.warmup=0")
    train(make_recipe(config, *constant, "train.duration=8 steps", run="grown"))
    grown = train(make_recipe(config, *constant, "train.duration=16 steps", run="grown"))
    whole = train(make_recipe(config, *constant, "train.duration=16 steps", run="whole"))
    assert grown.metrics["resumed_from"] == 8
    assert weights_hash(grown.path, 16) == weights_hash(whole.path, 16)


def test_bits_count_the_characters_that_were_scored(tmp_path: Path) -> None:
    """Of two kinds of text the first fills what is scored."""
    texts = ["abcdefgh" * 20 + f" {number}." for number in range(40)]
    texts += [f"犬は骨が好きです{number}。" * 8 for number in range(40)]
    corpus = tmp_path / "data" / "corpus"
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    build_corpus(CorpusSettings(inputs=[str(tmp_path / "text.txt")], valid_fraction=0.5), corpus)
    valid = list(Corpus.open(corpus).texts("valid"))
    lengths = np.array([len(text) // 4 + 1 for text in valid])
    built: Any = SimpleNamespace(corpus=corpus, valid_shards=SimpleNamespace(lengths=lengths))
    assert characters_of(built, int(lengths.sum()) - 1) == sum(map(len, valid))
    assert characters_of(built, int(lengths[0]) - 1) == len(valid[0])
    half = characters_of(built, int(lengths[0] + lengths[1]) // 2 - 1)
    assert half == pytest.approx(len(valid[0]) * (int(lengths[0] + lengths[1]) // 2) / lengths[0])
