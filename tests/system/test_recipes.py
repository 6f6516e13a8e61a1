"""Every recipe that is shipped loads, can be planned, and trains."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tane import cli
from tane.model.build import PRESETS
from tane.recipe import Recipe, options, train
from tane.sample import __main__ as sample
from tane.text.corpus import Corpus, build_corpus
from tane.yamlio import read_yaml

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
TASKS = [path for path in RECIPES if "task" in read_yaml(path)]
TEXTS = [path for path in RECIPES if path not in TASKS]
SAMPLE, SNOW = FOLDER / "sample-bert.yaml", FOLDER / "snow-bert.yaml"
SMALL = (
    "train.duration=2 steps",
    "train.batch_tokens=128",
    "objective.block_size=64",
    "tokenizer.vocab_size=2000",
)
SMALL_MODEL = {
    "gpt2": ("model.config.n_layer=1", "model.config.n_embd=32", "model.config.n_head=2"),
    "bert": (
        "model.config.num_hidden_layers=1",
        "model.config.hidden_size=32",
        "model.config.num_attention_heads=2",
        "model.config.intermediate_size=64",
    ),
}


def small(path: Path) -> tuple[str, ...]:
    """Overrides that make a recipe short."""
    model = read_yaml(path)["model"]
    kind = {**PRESETS.get(model.get("preset"), {}), **model["config"]}["model_type"]
    return (*SMALL, *SMALL_MODEL["gpt2" if kind == "gpt2" else "bert"])


def keys(values: dict[str, Any], before: str = "") -> Iterator[str]:
    """Dotted names of all settings in a recipe file; a labelled file may stand as its path."""
    for name, value in values.items():
        if isinstance(value, dict) and f"{before}{name}" != "model.config":
            yield from keys(value, f"{before}{name}.")
        else:
            alone = before == "task.data." and name in ("train", "valid", "test")
            yield f"{before}{name}" + (".path" if alone else "")


def test_there_are_recipes() -> None:
    assert TEXTS and {path.stem for path in TASKS} == {"mrpc", "jsts", "jcommonsenseqa", "sample-pairs"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_loads_with_known_keys(path: Path) -> None:
    known = {name for name, *_ in options()}
    assert {key for key in keys(read_yaml(path)) if key not in known} == set()
    recipe = Recipe.load(path)
    assert (recipe.corpus.inputs or recipe.task) and recipe.run_dir.startswith("runs/")
    again = Recipe.from_mapping(recipe.model_dump(mode="json"))
    assert again.flat() == recipe.flat()


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)
def test_can_be_planned(
    path: Path, sample_text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["plan", str(path), "--corpus.inputs", str(sample_text), "--run-dir", str(run)]
    assert cli.main([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    values = json.loads(told.out.splitlines()[-1])
    assert values["parameters"] > 0 and values["steps"] >= 1 and values["tokens_are"] == "estimated"
    assert "parameters" in told.err
    assert not run.exists()  # it plans, and writes nothing


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.stem)
def test_trains(path: Path, sample_text: Path, tmp_path: Path) -> None:
    recipe = Recipe.load(path, *small(path), f"corpus.inputs={sample_text}", f"run_dir={tmp_path / 'run'}")
    metrics = train(recipe).metrics
    assert metrics["steps"] == 2 and metrics["valid_loss"] > 0
    assert (Path(metrics["model"]) / "model.safetensors").is_file()


FILES = {
    "mrpc": ("mrpc/msr_paraphrase_train.txt", "mrpc/msr_paraphrase_test.txt"),
    "jsts": ("jsts/train-v1.3.json", "jsts/valid-v1.3.json"),
    "jcommonsenseqa": ("jcommonsenseqa/train-v1.3.json", "jcommonsenseqa/valid-v1.3.json"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n == "jcommonsenseqa" else []) for n in FILES]
)
def test_fine_tunes_on_the_real_files(
    name: str,
    real_data: Path,
    tmp_path: Path,
    encoder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The recipe with its files at hand, planned and trained for two steps on a tiny model."""
    files = [
        f"--task.data.{side}={real_data / 'pairs' / file}"
        for side, file in zip(("train", "test"), FILES[name], strict=True)
    ]
    flags = [
        "--model.pretrained",
        str(encoder),
        "--run-dir",
        str(tmp_path / "run"),
        "--train.duration",
        "2 steps",
    ]
    arguments = [
        str(FOLDER / f"{name}.yaml"),
        *(word for file in files for word in file.split("=", 1)),
        *flags,
    ]
    assert cli.main(["plan", *arguments, "--json"]) == 0
    values = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert values["steps"] == 2 and values["padding_share"] < 0.25 and not (tmp_path / "run").exists()
    assert cli.main(["finetune", *arguments, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    counts = {"mrpc": (4076, 1725), "jsts": (12_451, 1457), "jcommonsenseqa": (8939, 1119)}[name]
    examples = metrics["examples"]
    assert (examples["train"] + examples["valid"], examples["test"]) == counts, "none is lost"
    assert metrics["split"] == "test" and set(metrics["metrics"]) and set(metrics["baseline"])


def test_a_bert_of_the_sample_fills_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands that the recipe names, in the folder where a reader gives them."""
    monkeypatch.chdir(tmp_path)
    assert sample.main(["--out", "sample.txt", "--count", "300"]) == 0
    flags = [word for text in small(SAMPLE) for word in (f"--{text}".split("=", 1))]
    assert cli.main(["train", str(SAMPLE), *flags]) == 0
    capsys.readouterr()
    assert cli.main(["fill", "runs/sample-bert", "秋には、[MASK]が木から落ちる。"]) == 0
    assert capsys.readouterr().out.startswith("秋には、[MASK]が木から落ちる。\n   1  ")


def test_snow_by_one_of_its_columns(real_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = real_data / "short" / "snow-t15-shared.xlsx"
    flags = [word for text in small(SNOW) for word in (f"--{text}".split("=", 1))]
    arguments = ["--corpus.inputs", str(path), "--corpus.column", "#やさしい日本語", "--run-dir", str(run)]
    assert cli.main(["train", str(SNOW), *arguments, *flags]) == 0
    ledger = Corpus.open(run / "data" / "corpus").meta["ledger"]
    assert (ledger["found"], ledger["kept"]["documents"]) == (40_000, 39_657)


def test_snow_reads_each_cell_of_both_columns_as_a_document(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "short" / "snow-t15-shared.xlsx"
    recipe = Recipe.load(SNOW, f"corpus.inputs={path}", f"run_dir={tmp_path / 'run'}")
    made = build_corpus(recipe.corpus, tmp_path / "corpus")
    assert made.meta["ledger"]["found"] == 80_000
    corpus = Corpus.open(tmp_path / "corpus")
    texts = {text for split in ("train", "valid") for text in corpus.texts(split)}
    assert {"多くの動物が人間によって滅ぼされた。", "多くの動物が人間によって殺された。"} <= texts
