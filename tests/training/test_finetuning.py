"""Runs of `tane finetune`: the same gradient however it is cut, stopped and resumed to the bit, adapters."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tane import signals
from tane.errors import InputError, IntegrityError, Stopped
from tane.model.build import find_model
from tane.recipe import Recipe, finetune_once, train
from tane.tokens.tokenizer import load_tokenizer
from tane.training import finetuning, labelled, run
from tane.training.finetuning import run_examples
from tane.training.grouped import by_length, padding_share
from tane.training.labelled import read_data
from tane.training.loop import Loop
from tane.training.runtime import Runtime
from tane.use.finetune import finetune
from tests.labelled import write_csv
from tests.training.conftest import weights_hash

Make = Callable[..., Recipe]
MACHINE = Runtime("cpu", "fp32", False, 1)


def start(recipe: Recipe) -> finetuning.Finetuning:
    """The work of a recipe, whose model has no dropout."""
    assert recipe.task is not None
    folder = recipe.run_path / "tokenizer"
    labelled.prepare_tokenizer(recipe.model, recipe.tokenizer, folder)
    data = read_data(recipe.task)
    return finetuning.start(recipe.task, recipe.model, recipe.sections(), data, folder, {}, MACHINE)[0]


def test_the_gradient_is_that_of_the_whole_batch_however_it_is_cut(make: Make) -> None:
    found = []
    for tokens in (16, 64, 4096):
        work = start(make("task.dropout=0", f"train.micro_batch_tokens={tokens}", run=f"run-{tokens}"))
        batches = work.micro_batches(3)
        targets = sum(batch.num_targets for _, batch in batches)
        for _, batch in batches:
            (work.loss(batch) / targets).backward()
        found.append((len(batches), {n: p.grad.clone() for n, p in work.model.named_parameters()}))
    assert [count for count, _ in found] == sorted((count for count, _ in found), reverse=True)
    assert found[0][0] == 16 and found[2][0] == 1
    for _, gradients in found[1:]:
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, found[0][1][name], rtol=1e-4, atol=1e-7, msg=name)


def test_batches_by_tokens_give_the_outputs_of_padded_ones(make: Make) -> None:
    work = start(make())
    alone, _, _ = run_examples(work.model, work.task, work.valid, 0, 1, MACHINE) or ([], 0, 0)
    some, loss, count = run_examples(work.model, work.task, work.valid, 0, 100, MACHINE) or ([], 0, 0)
    padded = work.task.batch(work.valid, 0)
    with torch.no_grad():
        whole = work.model.eval()(**padded.inputs).logits
        expected = work.task.loss(whole, padded.labels, None)
    assert count == len(work.valid) == 60 and loss == pytest.approx(expected.item(), rel=1e-5)
    for one, two, three in zip(alone, some, whole.numpy(), strict=True):
        assert one == pytest.approx(three, abs=1e-5) and two == pytest.approx(three, abs=1e-5)
    judged = [
        work.task.judge([], work.valid_gold, outputs, work.names, full=False)
        for outputs in (some, whole.numpy())
    ]
    assert judged[0].scores == judged[1].scores


def test_groups_by_length_keep_the_budget_and_every_example(make: Make) -> None:
    work = start(make())
    groups = by_length(work.train, range(len(work.train)), 120)
    assert sorted(i for group in groups for i in group) == list(range(200))
    for group in groups:
        longest = max(work.train[i].length for i in group)
        assert len(group) == 1 or len(group) * longest <= 120
    assert padding_share(work.train, groups) < 0.1
    whole = [list(range(start, min(200, start + 16))) for start in range(0, 200, 16)]
    assert padding_share(work.train, whole) > 0.2


def test_every_example_is_learnt_from_once_an_epoch(make: Make) -> None:
    work = start(make("task.batch_examples=8"))
    seen = [i for step in range(25) for i in work.ids(step)]
    assert sorted(seen) == list(range(200)) and seen != sorted(seen)


def test_it_learns_the_pairs_and_tells_what_it_did(make: Make) -> None:
    result = finetune(make("train.duration=8 epochs", "train.eval_every=2 epochs", "optim.lr=3e-3"))
    metrics = result.metrics
    assert metrics["metrics"]["accuracy"] > 0.7 > metrics["baseline"]["accuracy"]
    assert metrics["examples"] == {"train": 200, "valid": 60} and metrics["split"] == "valid"
    low, high = metrics["valid"]["intervals"]["accuracy"]
    assert low <= metrics["metrics"]["accuracy"] <= high
    assert sum(map(sum, metrics["valid"]["confusion"])) == 60
    config = json.loads((find_model(metrics["model"]) / "config.json").read_text())
    assert config["id2label"] == {"0": "同じ", "1": "違う"} and config["architectures"] == [
        "BertForSequenceClassification"
    ]
    with (Path(metrics["run"]) / "wrong-valid.csv").open(encoding="utf-8-sig") as file:
        wrong = list(csv.DictReader(file))
    assert len(wrong) == round(60 * (1 - metrics["metrics"]["accuracy"]))


@pytest.mark.parametrize(
    "more", [(), ("task.lora={rank: 4, dropout: 0.1}",), ("optim.name=muon", "optim.layer_decay=0.8")]
)
def test_stopped_and_resumed_to_the_bit(
    make: Make, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    whole = finetune(make(*more, run="whole"))
    original = Loop._step
    stops = iter([5, 9])
    at = next(stops)

    def step(self: Loop) -> bool:
        nonlocal at
        if self.state.step == at:
            at = next(stops, -1)
            os.kill(os.getpid(), signal.SIGTERM)
            signals.requested()
        return original(self)

    monkeypatch.setattr(Loop, "_step", step)
    for _ in range(2):
        with pytest.raises(Stopped):
            finetune(make(*more, run="cut"))
    cut = finetune(make(*more, run="cut"))
    assert cut.metrics["resumed_from"] == 9 and cut.metrics["metrics"] == whole.metrics["metrics"]
    assert weights_hash(str(whole.path), 12) == weights_hash(str(cut.path), 12)


def test_adapters_are_merged_into_what_is_saved(make: Make) -> None:
    recipe = make("task.lora={rank: 4}", "task.dropout=0")
    result = finetune(recipe)
    folder = find_model(result.metrics["model"])
    assert not any("lora" in name for name in load_file(str(folder / "model.safetensors")))
    work = start(recipe)
    trained = load_file(str(folder.resolve().parent / "state" / "trained.safetensors"))
    assert all("lora_" in name or "classifier" in name or "pooler" in name for name in trained)
    named = dict(work.model.named_parameters())
    with torch.no_grad():
        for name, value in trained.items():
            named[name].copy_(value)
    from transformers import AutoModelForSequenceClassification

    plain = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    batch = work.task.batch(work.valid, 0)
    with torch.no_grad():
        found = plain(**batch.inputs).logits
        torch.testing.assert_close(found, work.model.eval()(**batch.inputs).logits, rtol=1e-4, atol=1e-5)
    before = load_file(str(recipe.model.pretrained) + "/model.safetensors")
    key = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(before[key], load_file(str(folder / "model.safetensors"))[key])
    key = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(before[key], load_file(str(folder / "model.safetensors"))[key])


def test_layers_learn_slower_the_lower_they_are(make: Make) -> None:
    recipe = make("optim.layer_decay=0.5")
    groups = recipe.optim.build(start(recipe).model)[0].param_groups
    assert sorted({group["scale"] for group in groups}) == [0.125, 0.25, 0.5, 1.0]
    scale = {id(p): group["scale"] for group in groups for p in group["params"]}
    model = start(recipe).model
    groups = recipe.optim.build(model)[0].param_groups
    scale = {id(p): group["scale"] for group in groups for p in group["params"]}
    by_name = {name: scale[id(p)] for name, p in model.named_parameters()}
    assert by_name["bert.embeddings.word_embeddings.weight"] == 0.125
    assert by_name["bert.encoder.layer.0.output.dense.weight"] == 0.25
    assert by_name["bert.encoder.layer.1.output.LayerNorm.bias"] == 0.5
    assert by_name["classifier.weight"] == by_name["bert.pooler.dense.weight"] == 1.0


def test_early_stopping_follows_the_metric(make: Make) -> None:
    recipe = make(
        "train.duration=60 steps",
        "train.eval_every=3 steps",
        "optim.lr=1e-8",
        "train.early_stopping={patience: 2}",
    )
    assert finetune(recipe).metrics["steps"] == 9


def test_a_changed_file_is_another_run(make: Make, pair_files: tuple[Path, Path]) -> None:
    finetune(make())
    pair_files[0].write_text(pair_files[0].read_text() + "猫 犬,鳥 魚,違う\n")
    with pytest.raises(IntegrityError, match="its data are not those"):
        finetune(make("train.duration=14 steps", "optim.schedule.name=constant"))


def test_each_verb_says_which_one_a_recipe_is_for(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has a task") as error:
        train(make())
    assert "tane finetune" in error.value.remedy
    with pytest.raises(InputError, match="no task"):
        finetune(Recipe.from_mapping({"run_dir": str(tmp_path / "x")}))


def test_seeds_and_a_grid_are_runs_of_their_own(make: Make) -> None:
    recipe = make("task.grid={lr: [1e-8, 2e-3]}", "train.duration=6 steps")
    result = finetune(recipe, seeds=2)
    metrics = result.metrics
    assert [one["optim.lr"] for one in metrics["tried"]] == [1e-8, 2e-3]
    assert [one["seed"] for one in metrics["runs"]] == [0, 1]
    names = sorted(path.name for path in (recipe.run_path / "trials").iterdir())
    assert len(names) == 3 and all("lr-" in name for name in names)
    assert find_model(recipe.run_path).is_dir()
    scores = [one["valid"]["accuracy"] for one in metrics["runs"]]
    assert metrics["valid"]["spread"]["accuracy"]["mean"] == pytest.approx(sum(scores) / 2)
    again = finetune(recipe, seeds=2).metrics
    assert again["already_finished"] and again["metrics"] == metrics["metrics"]


def test_weights_of_a_head_are_a_function_of_the_seed(make: Make) -> None:
    one, two, other = (start(make(f"seed={seed}", run=f"r{n}")) for n, seed in enumerate((0, 0, 1)))
    assert torch.equal(one.model.classifier.weight, two.model.classifier.weight)
    assert not torch.equal(one.model.classifier.weight, other.model.classifier.weight)


def test_what_is_frozen_stays(make: Make) -> None:
    recipe = make("train.freeze=['bert.embeddings.*', 'bert.encoder.layer.0.*']")
    folder = find_model(finetune(recipe).metrics["model"])
    before = load_file(f"{recipe.model.pretrained}/model.safetensors")
    after = load_file(str(folder / "model.safetensors"))
    frozen = [n for n in before if n.startswith(("bert.embeddings", "bert.encoder.layer.0"))]
    assert frozen and all(torch.equal(before[n], after[n]) for n in frozen)
    assert not torch.equal(before[n := "bert.encoder.layer.1.output.dense.weight"], after[n])


def test_a_decoder_takes_a_head_too(make: Make, decoder: Path) -> None:
    result = finetune(make(f"model.pretrained={decoder}"))
    assert 0 < result.metrics["metrics"]["accuracy"] <= 1
    config = json.loads((find_model(result.metrics["model"]) / "config.json").read_text())
    assert config["architectures"] == ["GPT2ForSequenceClassification"] and config["pad_token_id"] is not None
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(find_model(result.metrics["model"])))
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("猫", "犬 山")["input_ids"])
    assert pieces == ["猫", "[SEP]", "犬", "山", "[SEP]"], "its pairs are parted, for others too"


def test_a_new_model_needs_a_tokenizer(make: Make, encoder: Path) -> None:
    with pytest.raises(InputError, match="needs a pretrained model"):
        finetune(make("model.pretrained=none"))
    fresh = make(
        "model.pretrained=none",
        "model.preset=bert-tiny",
        f"tokenizer.path={encoder}",
        "train.duration=2 steps",
    )
    assert finetune(fresh).metrics["steps"] == 2


def test_the_plan_of_a_run_counts_epochs_of_examples(make: Make) -> None:
    recipe = make("train.duration=2 epochs", "task.batch_examples=16")
    assert run.make_plan(recipe.sections(), start(recipe)).total == 25


# ------------------------------------------------------------------------------------------ labels and heads


def labelled_by(tmp_path: Path, name: str, labels: Sequence[Any], count: int = 40) -> dict[str, Any]:
    """A task on short texts with these labels in turn."""
    rows = [(f"あ い {number}", labels[number % len(labels)]) for number in range(count)]
    files = {}
    for side in ("train", "valid"):
        files[side] = str(write_csv(tmp_path / f"{name}-{side}.csv", ("text", "label"), rows))
    return {"kind": "classification", "data": files, "batch_examples": 16}


def test_weights_go_by_the_names_of_the_data(make: Make, tmp_path: Path) -> None:
    for name, labels, weights in (
        ("numbers", [1, 2, 3], {"1": 5.0}), ("words", ["spam", "ham"], {"spam": 5.0}),
    ):  # fmt: skip
        task = labelled_by(tmp_path, name, labels) | {"class_weights": weights}
        work = start(make(task=task, run=name))
        heavy = work.names.index(next(iter(weights)))
        assert work.weights is not None and int(work.weights.argmax()) == heavy
        again = start(make(f"task.label_names={list(work.names)}", task=task, run=name))  # as after a resume
        assert torch.equal(again.weights, work.weights)


def test_labels_that_differ_by_a_space_are_one(make: Make, tmp_path: Path) -> None:
    work = start(make(task=labelled_by(tmp_path, "spaces", ["pos", "neg", "pos "])))
    assert work.names == ("neg", "pos") and len({*work.train_gold}) == 2


def test_f1_is_for_two_labels(make: Make, tmp_path: Path) -> None:
    task = labelled_by(tmp_path, "three", ["a", "b", "c"]) | {"metric": "f1"}
    with pytest.raises(InputError, match="f1 is for two labels, and there are 3"):
        start(make(task=task))


def test_a_trained_head_for_numbers_keeps_its_bias(make: Make, tmp_path: Path) -> None:
    task = labelled_by(tmp_path, "numbers", [1.5, 4.5]) | {
        "kind": "regression", "text": "text", "text_pair": "none",
    }  # fmt: skip
    new = start(make(task=task, run="new"))
    assert new.model.classifier.bias.item() == pytest.approx(3.0)
    with torch.no_grad():
        new.model.classifier.bias.fill_(0.25)
    new.model.save_pretrained(tmp_path / "trained")
    load_tokenizer(tmp_path / "new" / "tokenizer").save_pretrained(tmp_path / "trained")
    again = start(make(f"model.pretrained={tmp_path / 'trained'}", task=task, run="again"))
    assert again.model.classifier.bias.item() == 0.25


def test_a_model_whose_files_have_other_names_is_resumed(make: Make, encoder: Path, tmp_path: Path) -> None:
    """BERT of old calls a norm's parts gamma and beta; transformers writes them so again."""
    shutil.copytree(encoder, tmp_path / "old")
    stored = load_file(tmp_path / "old" / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in stored.items()
    }
    save_file(renamed, tmp_path / "old" / "model.safetensors", metadata={"format": "pt"})
    own = f"model.pretrained={tmp_path / 'old'}"
    for name in ("whole", "cut"):
        first = finetune(make(own, run=name)).metrics
    for link in ("model", "scores.json"):
        (tmp_path / "cut" / link).unlink()
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-000000012")
    again = finetune(make(own, run="cut")).metrics
    assert again["resumed_from"] == 8 and again["metrics"] == first["metrics"]
    saved = load_file(tmp_path / "cut" / "model" / "model.safetensors")
    assert any(name.endswith("LayerNorm.gamma") for name in saved)
    assert weights_hash(tmp_path / "cut", 12) == weights_hash(tmp_path / "whole", 12)


def test_another_tokenizer_is_noticed(make: Make, encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "own")
    own = (f"tokenizer.path={tmp_path / 'own'}", "train.duration=4 steps")
    finetune(make(*own))
    text = (tmp_path / "own" / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "own" / "tokenizer.json").write_text(text + " ", encoding="utf-8")
    with pytest.raises(IntegrityError, match="tokenizer"):
        finetune(make(*own))


def test_a_plain_run_after_several_seeds_has_its_own_model(make: Make, tmp_path: Path) -> None:
    short = "train.duration=2 steps"
    finetune(make(short))
    finetune(make(short), seeds=2)
    assert (tmp_path / "run" / "model").resolve().parents[2].name.startswith("seed-")
    finetune(make(short))
    assert (tmp_path / "run" / "model").resolve().parents[1] == (tmp_path / "run" / "checkpoints").resolve()


def test_a_finished_run_says_what_makes_it_longer(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    finetune(make("train.duration=2 steps"))
    finetune(make("train.duration=2 steps"))
    assert "another length needs --fresh" in capsys.readouterr().err


def test_a_parameter_that_never_gets_a_gradient_hinders_no_resume(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as LUKE's table of entities."""
    build = finetuning.task_head.build_task_model

    def with_more(*given: Any, **named: Any) -> Any:
        model, has_head = build(*given, **named)
        model.register_parameter("unused", torch.nn.Parameter(torch.zeros(3)))
        return model, has_head

    monkeypatch.setattr(finetuning.task_head, "build_task_model", with_more)
    recipe = make("train.duration=4 steps")
    assert recipe.task is not None
    data = read_data(recipe.task)
    finetune_once(recipe, data)
    assert finetune_once(recipe, data).metrics["already_finished"]
