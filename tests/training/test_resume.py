"""What a second start does: finished, longer, changed, damaged, stale, fresh."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tane.errors import InputError, IntegrityError, ResourceError
from tane.recipe import Recipe, prepare, train
from tane.settings import leaves
from tane.training import checkpoint, resume
from tane.training.tracker import read_metrics

from .conftest import settings, weights_hash

Make = Callable[..., Recipe]


def test_a_finished_run_says_so_and_changes_nothing(make_recipe: Make) -> None:
    first = train(make_recipe())
    before = weights_hash(first.path, 24)
    again = train(make_recipe())
    assert again.metrics["already_finished"] and weights_hash(first.path, 24) == before
    for key in ("steps", "valid_loss", "best_step", "tokens"):
        assert again.metrics[key] == first.metrics[key]


def test_a_run_that_was_never_evaluated_is_used_by_its_newest_checkpoint(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tane import signals
    from tane.errors import Stopped
    from tane.model.build import find_model
    from tane.training.loop import Loop

    original = Loop._step

    def step(self: Loop) -> bool:
        done = original(self)
        if self.state.step == 3:
            signals._received.append("SIGTERM")
        return done

    monkeypatch.setattr(Loop, "_step", step)
    recipe = make_recipe()
    with pytest.raises(Stopped):
        train(recipe)
    assert find_model(recipe.run_path) == checkpoint.folder_of(recipe.run_path, 3) / "model"
    assert "using step-000000003" in capsys.readouterr().err


def test_everything_auto_is_written_down_and_reused(make_recipe: Make) -> None:
    train(make_recipe("train.precision=auto", "train.threads=auto"))
    run = make_recipe().run_path
    resolved = Recipe.load(run / resume.RESOLVED)
    assert resolved.train.precision in ("bf16", "fp32") and resolved.train.device == "cpu"
    assert isinstance(resolved.train.threads, int) and isinstance(resolved.train.micro_batch_tokens, int)
    values = yaml.safe_load((run / resume.RESOLVED).read_text())
    values["train"]["precision"] = "fp32"  # as if it had been decided so at the first start
    (run / resume.RESOLVED).write_text(yaml.safe_dump(values))
    from tane.training.resume import settle

    recipe = make_recipe("train.precision=auto", "train.threads=auto")
    final, changed = settle(run, recipe.flat(), recipe.rules())
    assert final["train.precision"] == "fp32" and not changed


def test_minutes_become_steps_once(make_recipe: Make) -> None:
    recipe = make_recipe("train.duration=0.01 minutes", "train.batch_tokens=64")
    result = train(recipe)
    resolved = Recipe.load(recipe.run_path / resume.RESOLVED)
    assert (
        resolved.train.duration.unit == "steps" and resolved.train.duration.amount == result.metrics["steps"]
    )
    assert train(recipe).metrics["already_finished"]


@pytest.mark.parametrize("name", ["constant", "wsd"])
def test_a_longer_run_equals_one_that_was_long_from_the_start(make_recipe: Make, name: str) -> None:
    common = (f"optim.schedule.name={name}",)
    train(make_recipe(*common, run="grown"))  # a warm-up of 1 step, a decay of 12
    grown = train(make_recipe(*common, "train.duration=40 steps", run="grown"))
    whole = train(
        make_recipe(*common, "train.duration=40 steps", "optim.schedule.warmup=1 steps", run="whole")
    )
    assert grown.metrics["resumed_from"] == {"constant": 24, "wsd": 12}[name]
    assert weights_hash(grown.path, 40) == weights_hash(whole.path, 40)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_a_run_whose_rates_depend_on_the_length_cannot_grow(make_recipe: Make, name: str) -> None:
    train(make_recipe(f"optim.schedule.name={name}"))
    with pytest.raises(InputError, match="--fresh"):
        train(make_recipe(f"optim.schedule.name={name}", "train.duration=40 steps"))
    assert train(make_recipe(f"optim.schedule.name={name}")).metrics["already_finished"]  # nothing was lost
    fresh = train(make_recipe(f"optim.schedule.name={name}", "train.duration=40 steps"), fresh=True)
    assert fresh.metrics["steps"] == 40 and fresh.metrics["resumed_from"] is None


CHANGES = {
    "optim.layer_decay": "0.9",
    "seed": "1", "model.config": "{model_type: gpt2, n_layer: 1, n_embd: 32, n_head: 2}",
    "model.preset": "gpt2-tiny", "model.pretrained": "x", "model.keep_tokenizer": "false",
    "objective.name": None,
    "objective.block_size": "64", "objective.isolate_documents": "true", "optim.name": "adamw",
    "train.batch_tokens": "512", "train.precision": "bf16", "train.compile": "true",
    "train.gradient_checkpointing": "true", "train.freeze": "['*.mlp.*']",
}  # fmt: skip


def test_every_setting_is_either_free_or_must_match(make_recipe: Make) -> None:
    rules = make_recipe().rules()
    assert set(rules.values()) == {"match", "free"}
    must = {n for n, rule in rules.items() if rule == "match" and not n.startswith(("corpus.", "tokenizer."))}
    assert must - {"optim.name"} <= set(CHANGES) | {"model.config"}
    assert {n for n, _ in leaves(Recipe)} >= set(rules) - {"optim.momentum"}


@pytest.mark.parametrize("name", [n for n, v in CHANGES.items() if v is not None])
def test_a_setting_that_must_match_is_refused_with_the_difference(make_recipe: Make, name: str) -> None:
    recipe = make_recipe("train.duration=2 steps")
    recipe.run_path.mkdir()
    resume.write(recipe.run_path, recipe.flat(), recipe.flat())
    overrides = [f"{name}={CHANGES[name]}"]
    if name in ("model.pretrained", "model.preset"):
        changed = recipe.model_dump(mode="json") | {"model": {name.split(".")[1]: CHANGES[name]}}
        other = Recipe(**changed)
    else:
        other = make_recipe("train.duration=2 steps", *overrides)
    with pytest.raises(InputError) as found:
        train(other)
    assert name in str(found.value) and "->" in str(found.value) and "--fresh" in str(found.value)


def test_a_free_setting_is_applied_and_said(make_recipe: Make, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("optim.schedule.name=constant",)
    train(make_recipe(*common))
    longer = train(make_recipe(*common, "train.duration=30 steps", "optim.lr=0.001", "train.keep=3"))
    told = capsys.readouterr().err
    assert "train.duration" in told and "optim.lr: 0.005 -> 0.001" in told
    assert longer.metrics["resumed_from"] == 24
    assert read_metrics(longer.path, "step")[-1]["lr"] == pytest.approx(0.001)


@pytest.mark.parametrize("how", ["flip", "cut", "missing", "extra", "manifest", "empty"])
def test_a_damaged_checkpoint_is_passed_over_or_refused(
    make_recipe: Make, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    whole = train(make_recipe(run="whole"))
    recipe = make_recipe()
    train(recipe)
    folder = checkpoint.folder_of(recipe.run_path, 24)
    weights = folder / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 4
        weights.write_bytes(data)
    elif how == "cut":
        weights.write_bytes(data[:-1])
    elif how == "missing":
        (folder / "state" / "optimizer.safetensors").unlink()
    elif how == "extra":
        (folder / "model" / "optimizer.pt").write_bytes(b"\x80\x02")
    elif how == "manifest":
        (folder / "manifest.json").unlink()
    else:
        weights.write_bytes(b"")
    with pytest.raises(IntegrityError):
        train(recipe, strict=True)
    result = train(recipe)
    assert "falling back" in capsys.readouterr().err
    assert result.metrics["resumed_from"] == 16
    assert weights_hash(result.path, 24) == weights_hash(whole.path, 24)


def test_stale_data_is_refused_with_the_line_to_type(
    make_recipe: Make, sample_text: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(sample_text.read_text().splitlines(keepends=True)[:800]))
    values = settings(tmp_path / "data", tmp_path / "run", text)
    prepare(Recipe.from_mapping(values))
    before = text.stat()
    edited = text.read_text().replace("秋", "春")
    text.write_text(edited)
    import os

    os.utime(
        text, ns=(before.st_atime_ns, before.st_mtime_ns)
    )  # same size, same time: only the content tells
    with pytest.raises(IntegrityError, match="was edited") as found:
        train(Recipe.from_mapping(values))
    assert "--rebuild" in str(found.value) and found.value.code == 4
    with pytest.raises(IntegrityError, match=r"corpus\.normalize: nfkc -> nfc"):
        text.write_text(edited.replace("春", "秋"))
        train(Recipe.from_mapping(values, "corpus.normalize=nfc"))
    assert train(Recipe.from_mapping(values, "train.duration=2 steps"), rebuild=True).metrics["steps"] == 2


def test_data_made_anew_does_not_fit_an_old_run(make_recipe: Make, data_dir: Path, tmp_path: Path) -> None:
    own = tmp_path / "data"
    shutil.copytree(data_dir, own)
    recipe = make_recipe(f"data_dir={own}", "train.duration=4 steps")
    train(recipe)
    shutil.rmtree(own)
    changed = make_recipe(
        f"data_dir={own}", "train.duration=4 steps", "corpus.dedup=none", "corpus.valid_fraction=0.1"
    )
    flat = changed.flat()
    resume.write(recipe.run_path, flat, flat)
    with pytest.raises(IntegrityError, match=r"its data are not those of this run"):
        train(changed)


def test_a_damaged_shard_stops_before_the_first_step(
    make_recipe: Make, data_dir: Path, tmp_path: Path
) -> None:
    own = tmp_path / "data"
    shutil.copytree(data_dir, own)
    path = own / "shards" / "train-00000.bin"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"train-00000\.bin"):
        train(make_recipe(f"data_dir={own}"))
    assert not (make_recipe().run_path / "checkpoints").exists()
    assert (
        train(make_recipe(f"data_dir={own}", "train.duration=2 steps"), verify="fast").metrics["steps"] == 2
    )


def test_too_little_text_and_too_large_blocks_are_named(make_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fewer than one block"):
        train(make_recipe("objective.block_size=500000", "train.batch_tokens=1000000"))
    with pytest.raises(InputError, match="less than one block"):
        train(make_recipe("train.batch_tokens=16"))
    for name, content in {"empty": b"", "blank": "\u3000 \n\n".encode(), "bom": b"\xef\xbb\xbf"}.items():
        path = tmp_path / f"{name}.txt"
        path.write_bytes(content)
        with pytest.raises(InputError, match="0 usable documents"):
            prepare(Recipe.from_mapping(settings(tmp_path / name, tmp_path / "run", path)))
        assert not (tmp_path / name / "corpus").exists()


def test_an_output_that_cannot_be_written_is_named(make_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ResourceError, InputError)) as found:
        train(make_recipe(f"run_dir={tmp_path / 'file' / 'run'}"))
    assert str(tmp_path / "file") in str(found.value)


def test_disk_full_in_a_save_leaves_the_newest_checkpoint(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(make_recipe(run="whole"))
    recipe = make_recipe()
    monkeypatch.setenv("TANE_FAILPOINT", "publish.before_manifest=ENOSPC")
    with pytest.raises(ResourceError, match="disk is full"):
        train(recipe)
    monkeypatch.setenv("TANE_FAILPOINT", "")
    assert checkpoint.steps_in(recipe.run_path) == []
    result = train(recipe)
    assert weights_hash(result.path, 24) == weights_hash(whole.path, 24)


def test_a_damaged_checkpoint_is_set_aside_and_counts_no_more(make_recipe: Make) -> None:
    recipe = make_recipe("train.save_every=4 steps")
    train(recipe)
    root = recipe.run_path / "checkpoints"
    newest = checkpoint.folder_of(recipe.run_path, 24)
    kept = (newest / "model" / "model.safetensors").read_bytes()
    (newest / "model" / "model.safetensors").write_bytes(kept[:-1])
    train(recipe)
    aside = [p for p in root.iterdir() if p.name.startswith(".damaged-step-000000024-")]
    assert len(aside) == 1 and (aside[0] / "model" / "model.safetensors").read_bytes() == kept[:-1]
    assert len(checkpoint.steps_in(recipe.run_path)) >= 2
    assert (recipe.run_path / "model" / "config.json").is_file()


def test_without_any_whole_checkpoint_nothing_is_touched(make_recipe: Make) -> None:
    recipe = make_recipe()
    train(recipe)
    steps = checkpoint.steps_in(recipe.run_path)
    for step in steps:
        (checkpoint.folder_of(recipe.run_path, step) / "state" / "state.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(IntegrityError, match="no checkpoint that is intact"):
            train(recipe)
        assert checkpoint.steps_in(recipe.run_path) == steps


def test_a_best_model_that_is_damaged_is_never_what_the_run_gives(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tane.training.pretraining import Pretraining

    monkeypatch.setattr(Pretraining, "score", lambda self, valid: valid["loss"])  # the first is the best
    recipe = make_recipe()
    best = train(recipe).metrics["best_step"]
    assert best == 8
    (checkpoint.folder_of(recipe.run_path, best) / "model" / "config.json").write_text("{}")
    again = train(recipe)
    assert "the best checkpoint is lost" in capsys.readouterr().err
    assert again.metrics["best_step"] == 24
    assert (recipe.run_path / "model").resolve().parent.name == "step-000000024"


@pytest.mark.parametrize("how", ["gone", "older"])
def test_a_link_that_a_kill_left_behind_is_swapped_by_the_next_start(make_recipe: Make, how: str) -> None:
    recipe = make_recipe()
    best = train(recipe).metrics["best_step"]
    link = recipe.run_path / "model"
    expected = link.resolve()
    link.unlink()
    if how == "older":
        other = next(s for s in checkpoint.steps_in(recipe.run_path) if s != best)
        checkpoint.point_model(recipe.run_path, other)
    assert train(recipe).metrics["already_finished"]
    assert link.resolve() == expected


def test_a_kill_between_the_two_records_of_a_run_leaves_one_that_starts(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, written = make_recipe("train.duration=2 steps"), list[str]()
    write_text = resume.files.write_text

    def killed(path: Path, text: str) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path.name)
        write_text(path, text)

    monkeypatch.setattr(resume.files, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        train(recipe)
    monkeypatch.undo()
    assert written and train(recipe).metrics["steps"] == 2


def test_the_log_of_a_resumed_run_tells_the_same_losses(
    make_recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tane import signals
    from tane.errors import Stopped
    from tane.training.loop import Loop

    whole = train(make_recipe(run="whole"))
    original = Loop._step

    def step(self: Loop) -> bool:
        done = original(self)
        if self.state.step in (13, 17):
            signals._received.append("SIGTERM")
        return done

    monkeypatch.setattr(Loop, "_step", step)
    recipe = make_recipe()
    for _ in range(2):
        with pytest.raises(Stopped):
            train(recipe)
    train(recipe)
    losses = [[e["loss"] for e in read_metrics(run, "step")] for run in (whole.path, recipe.run_path)]
    assert losses[0] == losses[1] and len(losses[0]) == 4
