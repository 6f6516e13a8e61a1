"""Runs of masked models: they learn, go on to the same bits, and say what they cannot do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tane import signals
from tane.errors import InputError, Stopped
from tane.recipe import Recipe, train
from tane.tokens.order import global_batch, key
from tane.training import resume
from tane.training.loop import Loop
from tane.training.tracker import read_metrics
from tane.types import IGNORE
from tane.yamlio import dump_yaml
from tests.system.test_kill import STEPS, STRETCH, kill_until_done, start

from .conftest import TINY_BERT, masked_settings, settings, weights_hash
from .test_loop import gradients, make_loop

Make = Callable[..., Recipe]
NO_DROPOUT = "model.config={model_type: bert, num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 2, intermediate_size: 64}"  # noqa: E501


@pytest.fixture
def make(masked_data: Path, sample_text: Path, tmp_path: Path) -> Make:
    """make("a.b=c", ..., run="name"): a tiny recipe of a masked model with overrides."""

    def make(*overrides: str, run: str = "run") -> Recipe:
        return Recipe.from_mapping(masked_settings(masked_data, tmp_path / run, sample_text), *overrides)

    return make


# ---------------------------------------------------------------------------------------------- learning


def test_the_loss_falls_and_the_metrics_are_those_of_a_masked_model(make: Make) -> None:
    recipe = make("train.duration=40 steps", "train.eval_every=20 steps", "train.batch_tokens=512")
    metrics = train(recipe).json()
    steps, evaluations = (read_metrics(recipe.run_path, kind) for kind in ("step", "eval"))
    assert steps[0]["loss"] > 6.5 and steps[-1]["loss"] < 5.7, "from ln 1,000"
    assert len(evaluations) == 2 and evaluations[0]["loss"] > evaluations[1]["loss"]
    assert metrics["valid_loss"] == evaluations[1]["loss"] < 5.5 and 4 < metrics["train_loss"] < 7
    assert metrics["valid_bits_per_char"] is None
    assert isinstance(metrics["valid_accuracy"], float) and 0.03 < metrics["valid_accuracy"] < 1
    assert 0.9 * 40 * 512 < metrics["tokens"] <= 40 * 512, "real tokens, without padding"


def test_tokens_chosen_one_by_one_and_spans_train_too(make: Make) -> None:
    for number, more in enumerate(
        ("objective.whole_word=false", "objective.span=3", "objective.mask_prob=0.99")
    ):
        metrics = train(make(more, "train.duration=16 steps", run=f"run{number}")).metrics
        assert 0 < metrics["valid_loss"] < 8 and metrics["steps"] == 16


# ------------------------------------------------------------------------------------------------- the same


@pytest.mark.parametrize("stop_at", [1, 13])
def test_a_stopped_run_goes_on_to_the_same_bits(
    make: Make, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    whole = train(make(run="whole"))
    recipe, original = make(run="cut"), Loop._step

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
    assert weights_hash(whole.path, 24) == weights_hash(resumed.path, 24)  # type: ignore[arg-type]
    for name in ("valid_loss", "valid_accuracy", "train_loss", "best_step", "tokens", "steps"):
        assert whole.metrics[name] == resumed.metrics[name], name


def test_another_seed_is_another_run(make: Make) -> None:
    paths = [train(make(f"seed={seed}", "train.duration=2 steps", run=f"r{seed}")).path for seed in (0, 1)]
    assert weights_hash(paths[0], 2) != weights_hash(paths[1], 2)  # type: ignore[arg-type]


def test_masks_and_gradients_do_not_depend_on_the_micro_batches(make: Make, tmp_path: Path) -> None:
    batches, found = [], []
    for tokens in (1024, 256, 32):
        recipe = make("train.batch_tokens=1024", f"train.micro_batch_tokens={tokens}", NO_DROPOUT)
        loop = make_loop(recipe, tmp_path)
        batches.append([batch for _, batch in loop.work.micro_batches(0)])
        found.append(gradients(loop))
    assert [len(parts) for parts in batches] == [1, 4, 32]
    for parts, gradient in zip(batches[1:], found[1:], strict=True):
        assert torch.equal(torch.cat([part.labels for part in parts]), batches[0][0].labels)
        for name, values in batches[0][0].inputs.items():
            assert torch.equal(torch.cat([part.inputs[name] for part in parts]), values)
        for name, expected in found[0].items():
            torch.testing.assert_close(gradient[name], expected, rtol=0, atol=1e-6, msg=name)


def test_masks_are_a_function_of_seed_epoch_and_block(make: Make, tmp_path: Path) -> None:
    loop = make_loop(make("train.batch_tokens=1024", "train.micro_batch_tokens=1024"), tmp_path)
    count = loop.work.train_blocks.sizes
    rows = loop.work.rows
    seen: dict[tuple[int, int], torch.Tensor] = {}
    for step in range(2 * count // rows):  # two epochs, but for less than one step
        [(_, batch)] = loop.work.micro_batches(step)
        epochs, ids = global_batch(step, rows, count, 0)
        for row, place in enumerate(zip(epochs.tolist(), ids.tolist(), strict=True)):
            assert place not in seen
            seen[place] = batch.labels[row]
    both = [number for number in range(count) if (0, number) in seen and (1, number) in seen]
    assert len(both) > count - rows
    for number in both[:50]:
        block = loop.work.train_blocks[number]
        for epoch in (0, 1):
            alone = loop.work.objective.batch([block], [key(0, "mask", epoch, number)], loop.work.vocabulary)
            assert torch.equal(alone.labels[0], seen[epoch, number])
    changed = sum(not torch.equal(seen[0, number], seen[1, number]) for number in both)
    assert changed > 0.95 * len(both), "each epoch has masks of its own"


def test_two_evaluations_of_the_same_weights_are_equal_to_the_bit(make: Make, tmp_path: Path) -> None:
    loop = make_loop(make(), tmp_path)

    def score(rows: int) -> tuple[float | None, ...]:
        loop.work.micro_rows = rows
        found = loop.work.evaluate()
        assert found
        return found["loss"], found["accuracy"], found["targets"]

    first = score(8)
    loop.work.micro_batches(3)
    torch.rand(10)
    assert score(8) == first and (first[2] or 0) > 100
    loss, *others = score(3)
    assert tuple(others) == first[1:] and loss == pytest.approx(first[0], rel=1e-6)
    other = make_loop(make("seed=5"), tmp_path)
    one, two = (
        lo.work.objective.batch([lo.work.valid_blocks[0]], [key("valid", 0)], lo.work.vocabulary).labels
        for lo in (loop, other)
    )
    assert torch.equal(one, two), "whatever the seed"


def test_the_way_of_attention_is_written_down_and_reused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    common = ("optim.schedule.name=constant",)
    recipe = make(*common, "train.duration=4 steps")
    train(recipe)
    assert Recipe.load(recipe.run_path / resume.RESOLVED).train.attention == "eager"
    monkeypatch.setattr("tane.training.build.usual_way", lambda *given: "sdpa")
    ways: list[str] = []
    original = Loop.run
    monkeypatch.setattr(
        Loop, "run", lambda self: (ways.append(self.work.loss.attention.way), original(self))[1]
    )
    assert train(make(*common, "train.duration=6 steps")).metrics["resumed_from"] == 4
    assert ways == ["eager"]
    train(make(*common, "train.duration=8 steps", "train.attention=separate"))
    assert ways == ["eager", "separate"]
    assert Recipe.load(recipe.run_path / resume.RESOLVED).train.attention == "separate"


@pytest.mark.parametrize("way", ["eager", "sdpa", "separate"])
def test_gradients_do_not_depend_on_the_way_of_attention(make: Make, tmp_path: Path, way: str) -> None:
    expected = gradients(make_loop(make(NO_DROPOUT), tmp_path))
    found = gradients(make_loop(make(NO_DROPOUT, f"train.attention={way}"), tmp_path))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("more", ["train.gradient_checkpointing=true", "train.precision=bf16"])
def test_less_memory_or_precision_is_the_same_training(make: Make, more: str) -> None:
    common = (NO_DROPOUT, "train.duration=8 steps")
    plain, other = train(make(*common, run="plain")), train(make(*common, more, run="other"))
    assert other.metrics["valid_loss"] == pytest.approx(plain.metrics["valid_loss"], rel=0.01)
    assert other.metrics["tokens"] == plain.metrics["tokens"]


def test_a_mix_by_weight_trains_over_epochs_of_their_own_and_goes_on_to_the_same_bits(
    sample_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = sample_text.read_text(encoding="utf-8").splitlines(keepends=True)
    inputs = []
    for number, (part, weight) in enumerate(((lines[:90], 1), (lines[90:210], 0.5), (lines[210:230], 2.25))):
        path = tmp_path / f"part{number}.txt"
        path.write_text("".join(part), encoding="utf-8")
        inputs.append({"path": str(path), "weight": weight})
    corpus, lengths = (
        {"inputs": inputs, "valid_fraction": 0.02},
        {"duration": "3 epochs", "batch_tokens": 1024},
    )
    recipes = [
        Recipe.from_mapping(
            masked_settings(tmp_path / "data", tmp_path / name, sample_text, corpus=corpus, train=lengths)
        )
        for name in ("whole", "cut")
    ]
    whole = train(recipes[0])
    steps = whole.metrics["steps"]
    loop = make_loop(recipes[0], tmp_path)
    sizes = [loop.work.train_blocks.sizes[epoch] for epoch in range(4)]
    assert abs(steps * 32 - sum(sizes[:3])) < 32 * 2 and len({*sizes}) > 1
    original = Loop._step

    def step(self: Loop) -> bool:
        done = original(self)
        if self.state.step == steps // 2:
            signals._received.append("SIGTERM")
        return done

    monkeypatch.setattr(Loop, "_step", step)
    with pytest.raises(Stopped):
        train(recipes[1])
    monkeypatch.setattr(Loop, "_step", original)
    resumed = train(recipes[1])
    assert weights_hash(whole.path, steps) == weights_hash(resumed.path, steps)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------- what cannot be


def only(error: pytest.ExceptionInfo[InputError]) -> str:
    """The message, which is one or two short lines."""
    message = str(error.value)
    assert len(message.splitlines()) <= 2 and len(message) < 300 and "Traceback" not in message
    return message


def test_a_model_without_a_masked_head_is_refused(make: Make) -> None:
    with pytest.raises(InputError, match="gpt2 has no MaskedLM head") as error:
        train(make("model.config={model_type: gpt2, n_layer: 1, n_embd: 32, n_head: 2}"))
    assert "--objective.name causal" in only(error)


def test_a_model_that_sees_what_follows_is_refused_for_the_causal_objective(
    sample_text: Path, data_dir: Path, tmp_path: Path
) -> None:
    values = settings(data_dir, tmp_path / "run", sample_text)
    values["model"] = {
        "config": {**TINY_BERT, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    }
    with pytest.raises(InputError, match="BertLMHeadModel sees what follows") as error:
        train(Recipe.from_mapping(values, "train.duration=2 steps"))
    assert "--objective.name masked" in only(error)


def test_a_tokenizer_without_a_mask_is_refused(sample_text: Path, data_dir: Path, tmp_path: Path) -> None:
    values = masked_settings(tmp_path / "data", tmp_path / "run", sample_text)
    values["tokenizer"] = {"path": str(data_dir / "tokenizer")}
    with pytest.raises(InputError, match=r"the tokenizer has no \[CLS\], \[SEP\], \[MASK\] token") as error:
        train(Recipe.from_mapping(values))
    only(error)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("way", ["varlen", "separate"])
def test_a_way_for_packed_texts_is_refused_or_right_for_a_causal_model(
    sample_text: Path, data_dir: Path, tmp_path: Path, way: str
) -> None:
    values = settings(data_dir, tmp_path / "run", sample_text)
    values["model"] = {"config": {"model_type": "gpt2", "n_layer": 1, "n_embd": 32, "n_head": 2}}
    usual = train(Recipe.from_mapping(values, "train.duration=2 steps", f"run_dir={tmp_path / 'usual'}"))
    try:
        found = train(Recipe.from_mapping(values, "train.duration=2 steps", f"train.attention={way}"))
    except InputError:
        return
    assert found.metrics["valid_loss"] == pytest.approx(usual.metrics["valid_loss"], rel=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra"])
@pytest.mark.parametrize("size", [4, 5])
def test_the_smallest_blocks_work(make: Make, family: str, size: int) -> None:
    body = {"n_layers": 1, "dim": 32, "n_heads": 2, "hidden_dim": 64} if family == "distilbert" else {
        "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64
    }  # fmt: skip
    config = ", ".join(f"{name}: {value}" for name, value in {"model_type": family, **body}.items())
    metrics = train(
        make(f"objective.block_size={size}", f"model.config={{{config}}}", "train.duration=2 steps")
    ).metrics
    assert metrics["steps"] == 2 and 0 < metrics["valid_loss"] < 8


def test_blocks_below_the_smallest_are_refused(make: Make) -> None:
    with pytest.raises(InputError, match=r"objective\.block_size"):
        make("objective.block_size=3")


def test_a_corpus_of_one_short_sentence_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "one.txt"
    text.write_text("私は学校へ行きました。\n", encoding="utf-8")
    values = masked_settings(tmp_path / "part", tmp_path / "unscored", text)
    # its last character is kept for validation, and is new there
    assert train(Recipe.from_mapping(values)).metrics["valid_loss"] is None
    told = capsys.readouterr().err
    assert "the valid split has no text with a known token: nothing is evaluated" in told
    values = masked_settings(
        tmp_path / "data",
        tmp_path / "run",
        text,
        corpus={"valid_fraction": 0},
        train={"duration": "12 steps"},
    )
    metrics = train(Recipe.from_mapping(values)).metrics
    assert metrics["steps"] == 12 and metrics["valid_loss"] is None
    # the epochs of one block each have masks of their own
    loop = make_loop(Recipe.from_mapping(values, "train.micro_batch_tokens=256"), tmp_path)
    [(_, batch)] = loop.work.micro_batches(0)
    assert len(loop.work.train_blocks) == 1 and len({tuple(row) for row in batch.labels.tolist()}) > 3
    assert ((batch.labels != IGNORE).sum(1) >= 1).all()


def test_text_without_any_known_piece_is_refused(masked_data: Path, tmp_path: Path) -> None:
    text = tmp_path / "strange.txt"
    text.write_text("ཀཁགང\nཅཆཇཉ\n", encoding="utf-8")
    for number, source in enumerate((str(text), {"path": str(text), "weight": 0.5})):
        values = masked_settings(tmp_path / f"data{number}", tmp_path / f"run{number}", text)
        values["tokenizer"] = {"path": str(masked_data / "tokenizer")}
        values["corpus"] = {"inputs": [source], "valid_fraction": 0, "unit": "line"}
        with pytest.raises(InputError, match="has no text with a known token") as error:
            train(Recipe.from_mapping(values))
        only(error)


# ------------------------------------------------------------------------------------------------ kill -9


@pytest.fixture(scope="module")
def killed(masked_data: Path, sample_text: Path) -> tuple[Path, str]:
    """A recipe of many small steps, and the weights of its uninterrupted run."""
    folder = masked_data.parent
    values = masked_settings(masked_data, folder / "whole", sample_text)
    values["train"] |= {"duration": f"{STEPS} steps", "save_every": "5 steps", "eval_every": "20 steps"}
    path = folder / "recipe.yaml"
    path.write_text(dump_yaml(values), encoding="utf-8")
    process = start(path, folder / "whole")
    assert process.wait() == 0, process.stderr and process.stderr.read().decode()
    return path, weights_hash(folder / "whole", STEPS)


@pytest.mark.slow  # `make test` kills a causal run, which goes on by the same code
@pytest.mark.parametrize("number", range(8))
def test_killed_at_random_moments_the_weights_are_the_same(
    killed: tuple[Path, str], tmp_path: Path, number: int
) -> None:
    recipe, whole = killed
    run = tmp_path / "run"
    kills, _ = kill_until_done(recipe, run, 100 + number, STRETCH[number % len(STRETCH)])
    assert kills >= 1 and weights_hash(run, STEPS) == whole
    assert not [path for path in (run / "checkpoints").glob(".*")]
