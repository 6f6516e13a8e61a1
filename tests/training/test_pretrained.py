"""Going on from a pretrained folder: its weights are where training begins, with its tokenizer or another."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tane import signals
from tane.errors import InputError, Stopped
from tane.model import vocabulary
from tane.model.build import freeze, open_model
from tane.recipe import Recipe, tokenizer_settings, train
from tane.training import checkpoint
from tane.training.loop import Loop

from .conftest import settings, weights_hash

OTHER_TOKENIZER = {"kind": "bpe", "vocab_size": 1200}
BERT = {
    "model_type": "bert", "is_decoder": True, "num_hidden_layers": 2, "hidden_size": 32,
    "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip


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


def test_a_folder_whose_tokenizer_and_weights_do_not_belong_together_is_refused(
    first: Path, sample_text: Path, tmp_path: Path
) -> None:
    found = values(first, tmp_path, sample_text)
    model = open_model(first)
    model.resize_token_embeddings(900)
    model.save_pretrained(tmp_path / "small")
    found["model"] = {"pretrained": str(tmp_path / "small")}
    found["tokenizer"] = {"path": str(first)}
    with pytest.raises(InputError, match="is needed to know its rows"):
        train(Recipe.from_mapping(found))
    for file in (first / "model").glob("tokenizer*"):
        shutil.copy(file, tmp_path / "small")
    with pytest.raises(InputError, match="900 embedding rows, but its tokenizer has 1,000 pieces"):
        train(Recipe.from_mapping(found))


def test_blocks_longer_than_its_positions_are_refused(first: Path, sample_text: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="32 positions"):
        train(Recipe.from_mapping(values(first, tmp_path, sample_text), "objective.block_size=64"))


def test_whose_tokenizer_is_taken() -> None:
    def path(pretrained: str | None, keep: bool, own: str | None) -> str | None:
        model = {"pretrained": pretrained, "keep_tokenizer": keep}
        return tokenizer_settings(Recipe.from_mapping({"model": model, "tokenizer": {"path": own}})).path

    assert path("m", True, None) == "m" and path("m", False, None) is None
    assert path("m", True, "t") == path("m", False, "t") == "t"
    assert path(None, True, None) is path(None, False, None) is None


# ---------------------------------------------------------------------------------------- another tokenizer


@pytest.fixture(scope="module")
def learned(first: Path, sample_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has seen more than the first one."""
    found = values(first, tmp_path_factory.mktemp("learned"), sample_text)
    more = ("train.duration=300 steps", "train.eval_every=300 steps", "optim.lr=0.01")
    return Path(train(Recipe.from_mapping(found, *more)).path)


@pytest.fixture
def changed(learned: Path, sample_text: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """changed(run, *overrides): going on from the learned model with a tokenizer trained anew."""

    def make(run: str = "run", *overrides: str) -> Recipe:
        found = settings(tmp_path / "data", tmp_path / run, sample_text)
        model = {"pretrained": str(learned), "keep_tokenizer": False}
        return Recipe.from_mapping({**found, "model": model, "tokenizer": OTHER_TOKENIZER}, *overrides)

    return make


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal comes after so many steps, once."""
    original = Loop._step

    def then(self: Loop) -> bool:
        done = original(self)
        if self.state.step == step:
            signals._received.append("SIGTERM")
            monkeypatch.setattr(Loop, "_step", original)
        return done

    monkeypatch.setattr(Loop, "_step", then)


def test_it_goes_on_with_a_tokenizer_trained_anew(
    changed: Callable[..., Recipe], learned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(changed())
    assert "the new tokenizer has 1,200 pieces: " in capsys.readouterr().err
    model = open_model(result.path)
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == 1216
    tokenizers = [(p / "model" / "tokenizer.json").read_text() for p in (learned, Path(result.path))]
    assert tokenizers[0] != tokenizers[1]
    assert train(changed()).metrics["already_finished"]
    with pytest.raises(InputError, match=r"model\.keep_tokenizer: False -> True"):
        train(changed("run", "model.keep_tokenizer=true"))


def test_it_learns_sooner_than_from_rows_at_random(
    changed: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("train.duration=8 steps", "train.eval_every=8 steps")
    ours = train(changed("ours", *few)).metrics["valid_loss"]

    def at_random(table: torch.Tensor, found: object, rows: int, *, lowest: bool) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(rows, *table.shape[1:], generator=generator) * 0.02

    monkeypatch.setattr(vocabulary, "_rows", at_random)
    assert ours < train(changed("random", *few)).metrics["valid_loss"] - 0.1


def test_a_stopped_run_with_another_tokenizer_ends_as_a_whole_one(
    changed: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(changed("whole", "train.duration=6 steps"))
    stop_at(3, monkeypatch)
    with pytest.raises(Stopped):
        train(changed("cut", "train.duration=6 steps"))
    cut = train(changed("cut", "train.duration=6 steps"))
    assert cut.metrics["resumed_from"] == 3 and weights_hash(cut.path, 6) == weights_hash(whole.path, 6)


# ----------------------------------------------------------------------------------------- frozen parameters


def test_frozen_parts_of_a_bert_do_not_move_and_have_no_state(
    data_dir: Path, sample_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recipe(run: str, *overrides: str) -> Recipe:
        found = settings(data_dir, tmp_path / run, sample_text)
        frozen = "train.freeze=[bert.embeddings*, '*.layer.0.*']"
        return Recipe.from_mapping({**found, "model": {"config": BERT}}, frozen, *overrides)

    begun = open_model(train(recipe("one", "train.duration=1 steps")).path).state_dict()
    whole = train(recipe("whole", "train.duration=6 steps", "optim.schedule.name=constant"))
    ended = open_model(whole.path).state_dict()
    fixed = {n for n in begun if n.startswith("bert.embeddings") or ".layer.0." in n}
    assert len(fixed) > 15 and "cls.predictions.decoder.weight" in begun  # tied to the embeddings
    for name, weight in begun.items():
        still = name in fixed or name == "cls.predictions.decoder.weight"
        assert torch.equal(ended[name], weight) == still, name
    state = checkpoint.folder_of(Path(whole.path), 6) / "state" / "optimizer.safetensors"
    with safe_open(str(state), framework="pt") as file:
        keys = list(file.keys())
    assert keys and not any("bert.embeddings" in key or ".layer.0." in key for key in keys)
    stop_at(3, monkeypatch)
    with pytest.raises(Stopped):
        train(recipe("cut", "train.duration=6 steps", "optim.schedule.name=constant"))
    cut = train(recipe("cut", "train.duration=6 steps", "optim.schedule.name=constant"))
    assert cut.metrics["resumed_from"] == 3 and weights_hash(cut.path, 6) == weights_hash(whole.path, 6)
    with pytest.raises(InputError, match=r"(?s)no parameter matches 'roberta\.\*'.*names look like"):
        freeze(open_model(whole.path), ["roberta.*"])
