"""`tane plan` warns of nothing in the recipes of this project and of the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tane
from tane.demo import GPT_STEPS, recipe_for
from tane.recipe import Recipe, prepare
from tane.sample import write_corpus, write_pairs
from tane.tokens import taken
from tests.use.masked_models import save_bert, train_tokenizer

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole bundled text."""
    path = tmp_path_factory.mktemp("bundled") / "sample.txt"
    write_corpus(path)
    return path


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, bundled: Path) -> Path:
    """A BERT whose tokenizer knows the bundled text."""
    folder = tmp_path_factory.mktemp("read") / "bert"
    pieces = train_tokenizer("mecab-wordpiece", folder, bundled.read_text(encoding="utf-8")[:300_000])
    return save_bert(folder, pieces)


def planned(name: str, folder: Path, *overrides: str) -> Recipe:
    """A recipe of this project, its run in a folder."""
    return Recipe.load(RECIPES / f"{name}.yaml", f"run_dir={folder / name}", *overrides)


def warnings(recipe: Recipe) -> list[dict[str, Any]]:
    found = tane.plan(recipe, show=1).metrics
    assert found["looked_at"]["training_documents"] > 0
    return found["warnings"]


def test_the_small_bert_of_the_bundled_text(bundled: Path, tmp_path: Path) -> None:
    assert not warnings(planned("sample-bert", tmp_path, f"corpus.inputs={bundled}"))


def test_the_gpt_of_the_demo(bundled: Path, tmp_path: Path) -> None:
    assert not warnings(recipe_for(tmp_path, [str(bundled)], GPT_STEPS))


def test_the_pairs_of_the_bundled_text(read: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs")
    files = [f"task.data.{side}={tmp_path / 'pairs' / side}.csv" for side in ("train", "valid", "test")]
    assert not warnings(planned("sample-pairs", tmp_path, f"model.pretrained={read}", *files))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sample-bert", "demo"])
def test_the_bundled_text_once_it_is_prepared(name: str, bundled: Path, tmp_path: Path) -> None:
    made = planned(name, tmp_path, f"corpus.inputs={bundled}") if name != "demo" else recipe_for(
        tmp_path, [str(bundled)], GPT_STEPS
    )  # fmt: skip
    prepare(made)
    assert not warnings(made)


@pytest.mark.slow
def test_the_gpt_of_aozora(real_data: Path, tmp_path: Path) -> None:
    made = planned("aozora-gpt", tmp_path, f"corpus.inputs={real_data / 'ja/aozora-a.txt.gz'}")
    for _ in range(2):
        assert not warnings(made)
        prepare(made)


@pytest.mark.slow
def test_the_bert_of_snow(real_data: Path, tmp_path: Path) -> None:
    made = planned("snow-bert", tmp_path, f"corpus.inputs={real_data / 'short/snow-t15-shared.xlsx'}")
    for _ in range(2):
        assert not warnings(made)
        prepare(made)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jsts", "jcommonsenseqa"])
def test_the_japanese_tasks(name: str, real_data: Path, tmp_path: Path) -> None:
    vocabulary, model = real_data / "tokenizers/bert-base-japanese-v3-vocab.txt", tmp_path / "bert"
    model.mkdir()
    taken.take(vocabulary, model, dictionary="unidic-lite")
    save_bert(model, 32_768, max_position_embeddings=128)
    files = [
        f"task.data.{side}={real_data}/pairs/{name}/{file}-v1.3.json"
        for side, file in (("train", "train"), ("test", "valid"))
    ]
    assert not warnings(planned(name, tmp_path, f"model.pretrained={model}", *files))


@pytest.mark.slow
def test_mrpc(real_data: Path, tmp_path: Path) -> None:
    english = (real_data / "en/wikitext-2/valid.txt").read_text(encoding="utf-8")[:400_000]
    pieces = train_tokenizer("unigram", tmp_path / "bert", english)
    model = save_bert(tmp_path / "bert", pieces, max_position_embeddings=256)
    files = [
        f"task.data.{side}={real_data}/pairs/mrpc/msr_paraphrase_{side}.txt" for side in ("train", "test")
    ]
    assert not warnings(planned("mrpc", tmp_path, f"model.pretrained={model}", *files))
