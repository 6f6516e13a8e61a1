"""Going on from a pretrained folder: its tokenizer comes along, its weights are where training begins."""

from pathlib import Path

import pytest
import torch

from tane.errors import InputError
from tane.model.build import open_model
from tane.recipe import Recipe, train
from tane.training import checkpoint

from .conftest import settings


@pytest.fixture(scope="module")
def first(data_dir: Path, sample_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    return Path(train(Recipe.from_mapping(settings(data_dir, folder / "first", sample_text))).path)


def values(first: Path, tmp_path: Path, text: Path) -> dict:
    found = settings(tmp_path / "data", tmp_path / "run", text)
    return {**found, "model": {"pretrained": str(first)}, "tokenizer": {}}


def test_it_begins_where_the_other_ended_with_the_other_tokenizer(
    first: Path, sample_text: Path, tmp_path: Path
) -> None:
    recipe = Recipe.from_mapping(
        values(first, tmp_path, sample_text), "train.duration=8 steps", "optim.lr=1e-4"
    )
    result = train(recipe)
    start = open_model(checkpoint.folder_of(Path(result.path), 8) / "model").state_dict()
    origin = open_model(first).state_dict()
    assert max((start[k] - origin[k]).abs().max().item() for k in origin) < 0.01
    tokenizers = [(p / "model" / "tokenizer.json").read_text() for p in (first, Path(result.path))]
    assert tokenizers[0] == tokenizers[1]
    assert train(recipe).metrics["already_finished"]


def test_frozen_pretrained_layers_keep_their_weights(first: Path, sample_text: Path, tmp_path: Path) -> None:
    recipe = Recipe.from_mapping(
        values(first, tmp_path, sample_text), "train.duration=4 steps", "train.freeze=[transformer.h.0.*]"
    )
    trained = open_model(train(recipe).path).state_dict()
    for name, weight in open_model(first).state_dict().items():
        assert torch.equal(trained[name], weight) == name.startswith("transformer.h.0."), name


def test_a_tokenizer_with_more_pieces_than_rows_is_refused(
    first: Path, sample_text: Path, tmp_path: Path
) -> None:
    found = values(first, tmp_path, sample_text)
    model = open_model(first)
    model.resize_token_embeddings(900)
    model.save_pretrained(tmp_path / "small")
    found["model"] = {"pretrained": str(tmp_path / "small")}
    found["tokenizer"] = {"path": str(first)}
    with pytest.raises(InputError, match="900 embedding rows"):
        train(Recipe.from_mapping(found))


def test_blocks_longer_than_its_positions_are_refused(first: Path, sample_text: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="32 positions"):
        train(Recipe.from_mapping(values(first, tmp_path, sample_text), "objective.block_size=64"))
