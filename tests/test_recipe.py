"""The recipe: one mapping, whether from YAML, flags or Python; and what a run remembers of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane import recipe as recipes
from tane.cli import split_overrides
from tane.durations import Duration
from tane.errors import InputError, Interrupted, Stopped
from tane.optim.adamw import AdamW
from tane.recipe import Recipe, train
from tane.settings import leaves
from tane.training import resume
from tane.yamlio import dump_yaml, parse_yaml

FULL = """
run_dir: runs/雪
data_dir: data/snow
seed: 7
corpus: {inputs: [a.txt, {path: b.txt, encoding: cp932}], normalize: nfkc, valid_fraction: 0.05}
tokenizer: {vocab_size: 4000}
model: {config: {model_type: gpt2, n_layer: 2, n_head: 2, n_embd: 64}}
objective: {name: causal, block_size: 128}
optim: {name: muon, lr: 2e-3, momentum: 0.9, schedule: {name: cosine, warmup: 100 steps}}
train: {duration: 1.5k steps, batch_tokens: 8192, save_every: 3 minutes, early_stopping: {patience: 3}}
"""


def write(folder: Path, text: str = FULL) -> Path:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def fault(text: str, folder: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        Recipe.load(write(folder, text), *overrides)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- loading


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path))
    assert (recipe.run_dir, recipe.seed, recipe.tokenizer.vocab_size) == ("runs/雪", 7, 4000)
    assert recipe.corpus.inputs[0] == "a.txt" and recipe.corpus.inputs[1].encoding == "cp932"
    assert recipe.optim.name == "muon" and recipe.optim.lr == 2e-3 and recipe.optim.momentum == 0.9
    assert recipe.optim.schedule.warmup == Duration(100, "steps")
    assert recipe.train.duration == Duration(1500, "steps") and recipe.train.early_stopping.patience == 3
    assert recipe.run_path == Path("runs/雪") and recipe.data_path == Path("data/snow")


def test_the_shortest_recipe_is_an_input(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, "corpus: {inputs: a.txt}"))
    assert (
        recipe.corpus.inputs == ["a.txt"]
        and recipe.optim.name == "muon"
        and recipe.objective.name == "causal"
    )
    assert recipe.data_path == recipe.run_path / "data"
    assert recipe.sections().train is recipe.train


def test_the_shipped_recipes_load() -> None:
    folder = Path(__file__).parent.parent / "recipes"
    for path in sorted(folder.glob("*.yaml")):
        assert (recipe := Recipe.load(path)).corpus.inputs or recipe.task, path


def test_a_missing_recipe_is_told_with_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match=r"the recipe .*r\.yml does not exist\n.*did you mean .*r\.yaml"):
        Recipe.load(tmp_path / "r.yml")


def test_one_message_lists_all_faults_with_the_file(tmp_path: Path) -> None:
    text = fault("seed: -1\ntrian: {}\ncorpus: {valid_fraction: 2}\noptim: {lr: x, momentun: 1}\n", tmp_path)
    for told in ("r.yaml: ", "seed: ", "did you mean 'train'", "corpus.valid_fraction: ", "optim.lr: ",
                 "did you mean 'optim.momentum'"):  # fmt: skip
        assert told in text
    assert "Traceback" not in text and "pydantic" not in text


def test_a_pretrained_model_and_a_shape_exclude_each_other(tmp_path: Path) -> None:
    assert "give either pretrained, or preset and config" in fault(
        "model: {pretrained: a, preset: gpt2-small}", tmp_path
    )


# ----------------------------------------------------------------------------------------------- overrides

PAIRS = [
    ("train.duration=1k steps", {"train": {"duration": "1k steps"}}),
    ("train.duration='2 epochs'", {"train": {"duration": "2 epochs"}}),
    ("optim.lr=1e-4", {"optim": {"lr": 1e-4}}),
    ("optim.schedule.warmup=0.1", {"optim": {"schedule": {"warmup": 0.1}}}),
    ("optim.schedule.warmup=20 steps", {"optim": {"schedule": {"warmup": "20 steps"}}}),
    ("seed=3", {"seed": 3}),
    ("seed=1_000", {"seed": 1000}),
    ("run_dir=runs/new", {"run_dir": "runs/new"}),
    ("run-dir=runs/new", {"run_dir": "runs/new"}),
    ("data_dir=none", {"data_dir": None}),
    ("train.eval_tokens=none", {"train": {"eval_tokens": None}}),
    ("train.early_stopping=none", {"train": {"early_stopping": None}}),
    ("train.early_stopping.patience=9", {"train": {"early_stopping": {"patience": 9}}}),
    ("train.batch-tokens=4096", {"train": {"batch_tokens": 4096}}),
    ("train.compile=false", {"train": {"compile": False}}),
    ("train.micro_batch_tokens=auto", {"train": {"micro_batch_tokens": "auto"}}),
    ("train.freeze=[a*, b]", {"train": {"freeze": ["a*", "b"]}}),
    ("corpus.inputs=x.txt", {"corpus": {"inputs": ["x.txt"]}}),
    ('corpus.inputs=["a b.txt", "#c"]', {"corpus": {"inputs": ["a b.txt", "#c"]}}),
    (
        "corpus.inputs=[{path: q.txt, unit: line}]",
        {"corpus": {"inputs": [{"path": "q.txt", "unit": "line"}]}},
    ),
    ("corpus.inputs={path: q.txt}", {"corpus": {"inputs": [{"path": "q.txt"}]}}),
    ("model.config.n_layer=3", {"model": {"config": {"n_layer": 3}}}),
    ("model.config.activation_function=relu", {"model": {"config": {"activation_function": "relu"}}}),
    ("optim.clip=none", {"optim": {"clip": None}}),
]


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in more.items():
        old = base.get(key)
        both[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return both


@pytest.mark.parametrize(("override", "values"), PAIRS, ids=[o for o, _ in PAIRS])
def test_an_override_equals_the_value_in_the_file(
    tmp_path: Path, override: str, values: dict[str, Any]
) -> None:
    base = parse_yaml(FULL, "w")
    other = tmp_path / "other.yaml"
    other.write_text(dump_yaml(merged(base, values)), encoding="utf-8")
    recipe = Recipe.load(write(tmp_path), override)
    assert recipe == Recipe.load(other)
    assert recipe != Recipe.load(write(tmp_path)) or override == "train.micro_batch_tokens=auto"


def test_several_overrides_and_the_last_of_two() -> None:
    recipe = Recipe.from_mapping({}, "optim.lr=1e-3", "train.keep=4", "optim.lr=2e-3")
    assert recipe.optim.lr == 2e-3 and recipe.train.keep == 4


@pytest.mark.parametrize(
    "text", ["#やさしい日本語", "*.txt", "&x", "!y", "%z", "@a", "`b`", "data: a.txt", "#a, b"]
)
def test_values_that_begin_with_yamls_own_signs_are_text(text: str) -> None:
    assert Recipe.from_mapping({}, f"corpus.inputs={text}").corpus.inputs == [text]
    assert Recipe.from_mapping({}, f"run_dir={text}").run_dir == text


@pytest.mark.parametrize("text", ["[a", "{a: 1", "'a", "[" * 3000])
def test_a_value_that_is_not_yaml_names_its_flag(text: str) -> None:
    with pytest.raises(InputError, match=r"^--corpus.inputs.*: not valid YAML"):
        Recipe.from_mapping({}, f"corpus.inputs={text}")


def test_a_setting_without_a_value() -> None:
    with pytest.raises(InputError, match=r"'train.duration' is no setting with a value"):
        Recipe.from_mapping({}, "train.duration")


def test_unknown_settings_in_overrides_are_told_like_those_in_the_file() -> None:
    with pytest.raises(InputError, match=r"unknown key 'train\.duratoin': did you mean 'train\.duration'"):
        Recipe.from_mapping({}, "train.duratoin=1 step")


def test_the_callers_mapping_is_not_changed() -> None:
    values = parse_yaml(FULL, "w")
    before = copy.deepcopy(values)
    Recipe.from_mapping(values, "optim.name=adamw", "train.keep=5", "corpus.inputs=[x]")
    assert values == before


# ---- flags of the command line become overrides


@pytest.mark.parametrize(
    ("flags", "rest", "overrides"),
    [
        (["r.yaml", "--train.duration", "2 epochs"], ["r.yaml"], ["train.duration=2 epochs"]),
        (["r.yaml", "--train.batch-tokens=64"], ["r.yaml"], ["train.batch_tokens=64"]),
        (["r.yaml", "--corpus.inputs", "a", "b"], ["r.yaml"], ['corpus.inputs=["a", "b"]']),
        (["r.yaml", "--corpus.inputs", "#列", "b"], ["r.yaml"], ['corpus.inputs=["#列", "b"]']),
        (["r.yaml", "--run-dir", "x", "--seed", "3"], ["r.yaml"], ["run_dir=x", "seed=3"]),
        (["r.yaml", "--run_dir", "x", "--data_dir=y"], ["r.yaml"], ["run_dir=x", "data_dir=y"]),
        (["r.yaml", "--fresh", "--optim.lr", "-1"], ["r.yaml", "--fresh"], ["optim.lr=-1"]),
        (["r.yaml", "--dry_run", "--verify=fast"], ["r.yaml", "--dry-run", "--verify=fast"], []),
        (["r.yaml", "--run-dir="], ["r.yaml"], ["run_dir="]),
        (["r.yaml", "--run-dir=a=b"], ["r.yaml"], ["run_dir=a=b"]),
    ],
)
def test_flags_are_split_from_settings(flags: list[str], rest: list[str], overrides: list[str]) -> None:
    assert split_overrides(flags, {"--fresh", "--dry-run", "--verify"}) == (rest, overrides)


@pytest.mark.parametrize(
    "flags", [["--run-dir"], ["--train.duration", "--fresh"], ["--sed", "3"], ["--fresher"]]
)
def test_flags_that_are_none(flags: list[str]) -> None:
    with pytest.raises(InputError, match=r"has no value|unknown flag"):
        split_overrides(flags, {"--fresh"})


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=8).filter(
    lambda s: not s.startswith(("--", "{")) and s.isprintable() and "\ufeff" not in s
)


@given(st.lists(NAMES, min_size=2, max_size=4))
@settings(max_examples=80, deadline=None)
def test_several_values_reach_the_recipe_as_they_are(names: list[str]) -> None:
    _, overrides = split_overrides(["--corpus.inputs", *names], set())
    assert Recipe.from_mapping({}, *overrides).corpus.inputs == names


def test_mappings_stand_among_several_values() -> None:
    values = ["{path: a.csv, column: 本文}", "b, c.txt"]
    _, overrides = split_overrides(["--corpus.inputs", *values], set())
    first, second = Recipe.from_mapping({}, *overrides).corpus.inputs
    assert (first.path, first.column, second) == ("a.csv", "本文", "b, c.txt")


# ------------------------------------------------------------------------------------------------ variants


@pytest.mark.parametrize("override", ["optim.name=adamw", "optim=adamw"])
@pytest.mark.parametrize("before", ["muon", {"name": "muon", "momentum": 0.9}, {"momentum": 0.9}, None])
def test_another_optimizer_drops_what_it_does_not_have(before: Any, override: str) -> None:
    recipe = Recipe.from_mapping({"optim": before} if before else {}, override)
    assert isinstance(recipe.optim, AdamW) and not hasattr(recipe.optim, "momentum")


def test_what_both_variants_have_is_kept_and_what_is_dropped_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {"optim": {"name": "muon", "lr": 1e-4, "momentum": 0.9, "schedule": {"warmup": 0.2}}}
    recipe = Recipe.from_mapping(values, "optim.name=adamw", "optim.eps=1e-6")
    assert (recipe.optim.lr, recipe.optim.eps, recipe.optim.schedule.warmup) == (1e-4, 1e-6, 0.2)
    assert "optim.momentum of the recipe does not apply to adamw: left out" in capsys.readouterr().err


def test_a_key_of_the_other_variant_that_is_asked_for_is_an_error() -> None:
    with pytest.raises(InputError, match=r"unknown key 'optim\.momentum'"):
        Recipe.from_mapping({}, "optim.name=adamw", "optim.momentum=0.9")
    with pytest.raises(InputError, match=r"unknown key 'optim\.momentum'"):
        Recipe.from_mapping({"optim": {"name": "adamw", "momentum": 0.9}})


def test_an_unknown_variant_is_answered_with_the_nearest() -> None:
    for values, override in (({}, "optim.name=adamv"), ({"optim": {"momentum": 0.9}}, "optim.name=adamv")):
        with pytest.raises(InputError, match="did you mean 'adamw'"):
            Recipe.from_mapping(values, override)
    with pytest.raises(InputError, match="did you mean 'causal'"):
        Recipe.from_mapping({"objective": {"name": "causal", "block_size": 64}}, "objective.name=casual")


# -------------------------------------------------------------------------------------- flat, nest, written


def test_flat_and_nest_are_inverse(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path))
    flat = recipe.flat()
    assert flat["train.duration"] == "1500 steps" and flat["optim.schedule.warmup"] == "100 steps"
    assert flat["corpus.inputs"][1]["encoding"] == "cp932" and flat["model.config"]["n_layer"] == 2
    assert Recipe.from_mapping(resume.nest(flat)) == recipe
    assert json.loads(json.dumps(flat)) == flat, "plain values"
    assert set(flat) == {name for name, _ in leaves(Recipe, value=recipe)}
    assert resume.flatten(resume.nest(flat), list(flat)) == flat


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("optim.name=adamw",),
        ("train.early_stopping=none",),
        ("data_dir=none",),
        ("train.eval_tokens=none",),
        ("run_dir='1e-4'", "data_dir='08'"),
        ("corpus.inputs=['2024', '#列', '012', 'no', '- x']",),
        ("train.duration=90 seconds", "train.save_every=7 s"),
        ("model.config={model_type: llama, rope_theta: 1e5}",),
    ],
)
def test_what_a_run_records_is_a_recipe_that_loads(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    recipe = Recipe.load(write(tmp_path), *overrides)
    resume.write(tmp_path, recipe.flat(), recipe.flat())
    for name in (resume.RESOLVED, resume.REQUESTED):
        assert Recipe.load(tmp_path / name) == recipe
        assert Recipe.load(tmp_path / name).flat() == recipe.flat()


def test_with_values_replaces_and_validates(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path))
    other = recipe.with_values({"train.threads": 3, "train.duration": "10 steps"})
    assert other.train.threads == 3 and other.train.duration == Duration(10, "steps")
    assert other.with_values({"train.threads": "auto", "train.duration": "1500 steps"}) == recipe
    with pytest.raises(InputError, match=r"train.keep"):
        recipe.with_values({"train.keep": 0})


# ---------------------------------------------------------------------------------------- what a run keeps


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Recipe, Recipe]:
    """(run folder, what was asked, what it was resolved to) of a run that was recorded."""
    asked = Recipe.from_mapping({"train": {"duration": "20 minutes"}, "corpus": {"inputs": ["a.txt"]}})
    values = {"train.device": "cpu", "train.precision": "fp32", "train.compile": False, "train.threads": 2}
    final = asked.with_values({**values, "train.micro_batch_tokens": 512, "train.duration": "777 steps"})
    resume.write(tmp_path, asked.flat(), final.flat())
    return tmp_path, asked, final


def test_what_was_auto_stays_what_it_became(recorded: tuple[Path, Recipe, Recipe]) -> None:
    folder, asked, final = recorded
    settled, changed = resume.settle(folder, asked.flat(), asked.rules())
    assert settled == final.flat() and changed == []
    again, changed = resume.settle(folder, final.flat(), final.rules())
    assert again == final.flat() and changed == [], "the resolved recipe itself goes on too"


def test_a_free_setting_is_applied_and_told(recorded: tuple[Path, Recipe, Recipe]) -> None:
    folder, asked, final = recorded
    wanted = asked.with_values({"optim.lr": 1e-4, "train.duration": "2k steps", "train.threads": 1})
    settled, changed = resume.settle(folder, wanted.flat(), wanted.rules())
    assert settled == {**final.flat(), "optim.lr": 1e-4, "train.duration": "2000 steps", "train.threads": 1}
    assert sorted(changed) == [
        f"optim.lr: {final.optim.lr!r} -> 0.0001", "train.duration: '777 steps' -> '2000 steps'",
        "train.threads: 2 -> 1",
    ]  # fmt: skip


OTHER: dict[str, Any] = {
    "seed": 9,
    "corpus.inputs": ["b.txt"],
    "corpus.column": "story",
    "corpus.sheet": "S",
    "corpus.split": "test",
    "corpus.format": "jsonl",
    "corpus.quoting": "none",
    "corpus.unit": "line",
    "corpus.encoding": "cp932",
    "corpus.normalize": "nfc",
    "corpus.dedup": "none",
    "corpus.near_threshold": 0.9,
    "corpus.filters.min_chars": 5,
    "corpus.filters.max_chars": 500,
    "corpus.filters.min_japanese": 0.5,
    "corpus.filters.max_repetition": 0.3,
    "corpus.filters.max_urls": 0.1,
    "corpus.filters.max_symbols": 0.1,
    "corpus.filters.max_unprintable": 0.1,
    "corpus.valid_fraction": 0.3,
    "corpus.valid_inputs": ["v.txt"],
    "corpus.max_document_chars": 77,
    "corpus.on_bad": "skip",
    "tokenizer.kind": "bpe",
    "tokenizer.dictionary": "unidic-lite",
    "tokenizer.vocab_size": 999,
    "tokenizer.path": "x",
    "tokenizer.coverage": 0.99,
    "model.preset": "gpt2-small",
    "model.config": {"n_layer": 1},
    "model.pretrained": "x",
    "model.keep_tokenizer": False,
    "objective.block_size": 64,
    "objective.isolate_documents": True,
    "train.batch_tokens": 64,
    "train.freeze": ["a"],
    "train.precision": "bf16",
    "train.compile": True,
    "train.gradient_checkpointing": True,
    "optim.layer_decay": 0.9,
}


def test_every_setting_that_must_match_is_refused_with_the_difference(
    recorded: tuple[Path, Recipe, Recipe],
) -> None:
    folder, asked, _ = recorded
    must = {name for name, rule in asked.rules().items() if rule == "match"}
    only_one = {"objective.name"}  # as yet; of `optim.name` below
    assert must - only_one - {"optim.name"} == set(OTHER), "one value for each setting that must match"
    for name, value in OTHER.items():
        wanted = asked.with_values({name: value})
        with pytest.raises(InputError) as caught:
            resume.settle(folder, wanted.flat(), wanted.rules())
        assert f"{name}: " in str(caught.value) and f"-> {wanted.flat()[name]!r}" in str(caught.value)
        assert "--fresh" in str(caught.value) and caught.value.code == 2
    wanted = Recipe.from_mapping(resume.nest(asked.flat()), "optim.name=adamw")
    with pytest.raises(InputError, match=r"optim.name: 'muon' -> 'adamw'"):
        resume.settle(folder, wanted.flat(), wanted.rules())


def test_all_refused_settings_are_told_at_once(recorded: tuple[Path, Recipe, Recipe]) -> None:
    folder, asked, _ = recorded
    wanted = asked.with_values({"seed": 5, "train.batch_tokens": 64, "optim.lr": 1e-4})
    with pytest.raises(InputError, match=r"seed: 0 -> 5; train.batch_tokens: 4096 -> 64") as caught:
        resume.settle(folder, wanted.flat(), wanted.rules())
    assert "optim.lr" not in str(caught.value)


def test_early_stopping_may_come(recorded: tuple[Path, Recipe, Recipe]) -> None:
    folder, asked, final = recorded
    wanted = asked.with_values({"train.early_stopping.patience": 2})
    settled, changed = resume.settle(folder, wanted.flat(), wanted.rules())
    assert settled == {
        **final.flat(),
        "train.early_stopping.patience": 2,
        "train.early_stopping.min_delta": 0.0,
    }
    assert any("train.early_stopping.patience" in line for line in changed)


def test_run_and_data_in_one_folder_are_refused(tmp_path: Path) -> None:
    recipe = Recipe.from_mapping(
        {"run_dir": str(tmp_path / "x"), "data_dir": str(tmp_path / "y" / ".." / "x")}
    )
    with pytest.raises(InputError, match="the same folder"):
        train(recipe)
    assert not (tmp_path / "x").exists()


def test_a_tokenizer_that_is_stopped_on_its_way_out_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise Stopped("stopped by SIGTERM: reading the text is not finished; 1 of 2 parts are kept", "again")

    monkeypatch.setattr(recipes, "prepare_data", stop)
    with pytest.raises(Interrupted) as caught:
        recipes.train_tokenizer(Recipe.from_mapping({}), out=tmp_path / "out")
    assert "kept" not in str(caught.value) and caught.value.code == 130 and not list(tmp_path.iterdir())
