"""Every recipe that is shipped loads, can be planned, and trains."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tane import cli
from tane.recipe import Recipe, options, train
from tane.yamlio import read_yaml

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
SMALL = (
    "train.duration=2 steps",
    "train.batch_tokens=128",
    "objective.block_size=64",
    "tokenizer.vocab_size=2000",
    "model.config.n_layer=1",
    "model.config.n_embd=32",
    "model.config.n_head=2",
)


def keys(values: dict[str, Any], before: str = "") -> Iterator[str]:
    """Dotted names of all settings in a recipe file."""
    for name, value in values.items():
        if isinstance(value, dict) and f"{before}{name}" != "model.config":
            yield from keys(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_loads_with_known_keys(path: Path) -> None:
    known = {name for name, *_ in options()}
    assert {key for key in keys(read_yaml(path)) if key not in known} == set()
    recipe = Recipe.load(path)
    assert recipe.corpus.inputs and recipe.run_dir.startswith("runs/")
    again = Recipe.from_mapping(recipe.model_dump(mode="json"))
    assert again.flat() == recipe.flat()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
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


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_trains(path: Path, sample_text: Path, tmp_path: Path) -> None:
    recipe = Recipe.load(path, *SMALL, f"corpus.inputs={sample_text}", f"run_dir={tmp_path / 'run'}")
    metrics = train(recipe).metrics
    assert metrics["steps"] == 2 and metrics["valid_loss"] > 0
    assert (Path(metrics["model"]) / "model.safetensors").is_file()
