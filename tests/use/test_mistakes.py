"""Twelve common mistakes, each planted in a recipe and caught by `tane plan`; a sound one has no warning."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tane
from tane.errors import InputError, ResourceError
from tane.recipe import Recipe, prepare
from tane.text.corpus import Corpus
from tane.use import mistakes
from tane.use.mistakes import documents, leaks, sizes, texts
from tane.use.mistakes.facts import Looked
from tests.labelled import WORDS, pairs, write_csv
from tests.tokens import small

GPT = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}
BERT = {
    "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
    "intermediate_size": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """Some 500 stories."""
    path = tmp_path_factory.mktemp("story") / "text.txt"
    path.write_text(sample_text.read_text(encoding="utf-8")[:60_000], encoding="utf-8")
    return path


def recipe(folder: Path, *inputs: Path, **sections: dict[str, Any]) -> Recipe:
    """A sound recipe for a small GPT. sections: what they hold besides."""
    values: dict[str, Any] = {
        "run_dir": str(folder / "run"),
        "corpus": {"inputs": [str(path) for path in inputs], "valid_fraction": 0.1},
        "tokenizer": {"kind": "unigram", "vocab_size": 1000},
        "model": {"config": GPT},
        "objective": {"name": "causal", "block_size": 32},
        "train": {"duration": "20 steps", "batch_tokens": 256, "precision": "fp32", "threads": 1},
    }
    for name, more in sections.items():
        values[name] = {**values.get(name, {}), **more}
    return Recipe.from_mapping(values)


def warnings(made: Recipe) -> dict[str, dict[str, Any]]:
    """What `tane plan` warns of, by name."""
    found = tane.plan(made, show=0)
    assert json.loads(json.dumps(found.json()["warnings"])) == found.metrics["warnings"]
    for one in found.metrics["warnings"]:
        assert set(one) == {"name", "message", "remedy", "stops"} and one["message"] and one["remedy"]
    return {one["name"]: one for one in found.metrics["warnings"]}


# ------------------------------------------------------------------------------------------------ planted


def mojibake(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, corpus={"encoding": "latin-1"})


def validation_in_training(folder: Path, story: Path, encoder: Path) -> Recipe:
    some = story.read_text(encoding="utf-8").split("\n\n")[-40:]  # they stand inside the one large document
    (folder / "valid.txt").write_text("\n\n".join(some), encoding="utf-8")
    inputs = [{"path": str(story), "unit": "file"}]
    return recipe(folder, corpus={"inputs": inputs, "valid_inputs": [str(folder / "valid.txt")]})


def near_duplicates(folder: Path, story: Path, encoder: Path) -> Recipe:
    stories = story.read_text(encoding="utf-8").split("\n\n")[:150]
    again = [f"{one[: len(one) // 2]}〇{one[len(one) // 2 + 1 :]}" for one in stories]
    (folder / "twice.txt").write_text("\n\n".join([*stories, *again]), encoding="utf-8")
    return recipe(folder, folder / "twice.txt", corpus={"valid_fraction": 0.3})


def pad_is_eos(folder: Path, story: Path, encoder: Path) -> Recipe:
    tokenizer = small.byte_level(folder / "bytes")  # as GPT-2's, it has one special token alone
    return recipe(folder, story, tokenizer={"path": str(tokenizer)})


def vocabulary_and_embedding(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, model={"config": {**GPT, "n_embd": 8, "vocab_size": 50257}})


def unknown_tokens(folder: Path, story: Path, encoder: Path) -> Recipe:
    some = sorted(set(story.read_text(encoding="utf-8")[:600]))
    tokenizer = small.characters(folder / "letters", "".join(some))
    config = tokenizer / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "pad_token": small.UNK}))
    return recipe(folder, story, tokenizer={"path": str(tokenizer)})


def too_little_text(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, model={"config": {}, "preset": "gpt2-mini"})


def learning_rate(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, optim={"name": "adamw", "lr": 1.0})


def mostly_padding(folder: Path, story: Path, encoder: Path) -> Recipe:
    rows = [(f"{word} {number}", "ab"[number % 2]) for number, word in enumerate(WORDS * 8)]
    rows[5] = ("山川海空" * 12, "a")  # all others are filled up to its length
    train = write_csv(folder / "train.csv", ("text", "label"), rows)
    valid = write_csv(folder / "valid.csv", ("text", "label"), [(f"{n} 火", "ab"[n % 2]) for n in range(20)])
    task = {
        "kind": "classification", "data": {"train": str(train), "valid": str(valid)},
        "batch_examples": len(rows),
    }  # fmt: skip
    values = {
        "run_dir": str(folder / "run"), "model": {"pretrained": str(encoder)}, "task": task,
        "optim": {"lr": 1e-3}, "train": {"micro_batch_tokens": 100_000, "threads": 1, "precision": "fp32"},
    }  # fmt: skip
    return Recipe.from_mapping(values)


def block_beyond_positions(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, model={"config": {**GPT, "n_positions": 16}})


def too_many_epochs(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, train={"duration": "100 epochs"})


def full_disk(folder: Path, story: Path, encoder: Path) -> Recipe:
    return recipe(folder, story, train={"keep": 10**10})  # no disk has room for so many


PLANTED: dict[str, Callable[[Path, Path, Path], Recipe]] = {
    "mojibake": mojibake,
    "validation-in-training": validation_in_training,
    "near-duplicates": near_duplicates,
    "pad-is-eos": pad_is_eos,
    "vocabulary-and-embedding": vocabulary_and_embedding,
    "unknown-tokens": unknown_tokens,
    "too-little-text": too_little_text,
    "learning-rate": learning_rate,
    "mostly-padding": mostly_padding,
    "block-beyond-positions": block_beyond_positions,
    "too-many-epochs": too_many_epochs,
    "full-disk": full_disk,
}
OF_TEXT = ("mojibake", "validation-in-training", "near-duplicates", "unknown-tokens")


def test_there_are_twelve() -> None:
    assert len(PLANTED) == len(mistakes.CHECKS) == 12


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught_and_no_other(
    name: str, story: Path, tmp_path: Path, encoder: Path
) -> None:
    assert list(warnings(PLANTED[name](tmp_path, story, encoder))) == [name]


@pytest.mark.parametrize("name", OF_TEXT)
def test_it_is_caught_in_prepared_text_too(name: str, story: Path, tmp_path: Path, encoder: Path) -> None:
    made = PLANTED[name](tmp_path, story, encoder)
    prepare(made)
    assert list(warnings(made)) == [name]


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("block-beyond-positions", InputError, "the model has 16 positions"),
        ("full-disk", ResourceError, "are free"),
    ],
)
def test_training_stops_with_what_is_said_to_stop_it(
    name: str, error: type[Exception], told: str, story: Path, tmp_path: Path, encoder: Path
) -> None:
    made = PLANTED[name](tmp_path, story, encoder)
    assert warnings(made)[name]["stops"]
    with pytest.raises(error, match=told):
        tane.train(made)


def test_an_embedding_that_is_too_small_is_an_error_as_in_training(story: Path, tmp_path: Path) -> None:
    made = recipe(tmp_path, story, model={"config": {**GPT, "vocab_size": 300}})
    prepare(made)
    for verb in (tane.plan, tane.train):
        with pytest.raises(InputError, match=r"vocab_size is 300, but the tokenizer has \d+ pieces"):
            verb(made)


def test_a_pretrained_model_with_fewer_rows_than_pieces(story: Path, tmp_path: Path, decoder: Path) -> None:
    tokenizer = json.loads((decoder / "tokenizer.json").read_text(encoding="utf-8"))
    folder = tmp_path / "model"
    folder.mkdir()
    for path in decoder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    known = len(tokenizer["model"]["vocab"])
    tokenizer["model"]["vocab"] |= {chr(0x4E00 + n): known + n for n in range(200)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    made = recipe(tmp_path, story, model={"config": {}, "pretrained": str(folder)}, tokenizer={"kind": "bpe"})
    found = warnings(made)["vocabulary-and-embedding"]
    assert found["stops"] and "but the model 128 embedding rows" in found["message"]
    with pytest.raises(InputError, match=r"belong together|embedding rows"):
        tane.train(made)


def test_labelled_examples_that_stand_on_both_sides(make: Callable[..., Recipe], tmp_path: Path) -> None:
    assert not warnings(make())
    names = ("sentence1", "sentence2", "label")
    write_csv(tmp_path / "valid.csv", names, pairs(200, 1)[:60])
    found = warnings(make())
    assert list(found) == ["validation-in-training"]
    assert "--task.data.valid" in found["validation-in-training"]["remedy"]


def test_files_that_are_named_on_both_sides(story: Path, tmp_path: Path) -> None:
    stories = story.read_text(encoding="utf-8").split("\n\n")
    (tmp_path / "a.txt").write_text("\n\n".join(stories[:250]), encoding="utf-8")
    (tmp_path / "b.txt").write_text("\n\n".join(stories[250:]), encoding="utf-8")
    both = {"inputs": [str(tmp_path / "*.txt")], "valid_inputs": [str(tmp_path / "b.txt")]}
    made = recipe(tmp_path, corpus=both)
    count = len(stories) - 250
    for _ in range(2):  # before the text is prepared, and after
        found = warnings(made)["validation-in-training"]
        assert f"{count:,} documents of corpus.inputs" in found["message"] and "left out" in found["message"]
        prepare(made)


def test_blocks_of_a_masked_model_that_the_text_does_not_fill(tmp_path: Path) -> None:
    short = "山に登った。\n\n川を渡った。\n\n海を見た。\n\n空が青い。"
    (tmp_path / "short.txt").write_text(short, encoding="utf-8")
    values = {"name": "masked", "block_size": 256, "words": "script"}
    made = recipe(
        tmp_path, tmp_path / "short.txt", objective=values, model={"config": BERT},
        tokenizer={"kind": "character"}, corpus={"valid_fraction": 0.0},
    )  # fmt: skip
    prepare(made)
    found = warnings(made)["mostly-padding"]
    assert "of the positions of all blocks" in found["message"] and "than 256" in found["remedy"]


# ------------------------------------------------------------------------------------------ sound recipes


def test_a_sound_recipe_has_no_warning_before_and_after_its_text_is_prepared(
    story: Path, tmp_path: Path
) -> None:
    made = recipe(tmp_path, story)
    assert not warnings(made)
    prepare(made)
    assert not warnings(made)


# -------------------------------------------------------------------------------------------- wrong encodings

SENTENCE = "こんにちは。テストをしています。"


@pytest.mark.parametrize("form", [None, "NFKC"])
@pytest.mark.parametrize(
    ("true", "read", "said"),
    [
        ("utf-8", "cp932", "UTF-8 read as cp932"),
        ("utf-8", "latin-1", "UTF-8 read as Latin-1"),
        ("utf-8", "cp1252", "UTF-8 read as Latin-1"),
        ("cp932", "latin-1", "cp932 read as Latin-1"),
        ("cp932", "cp1252", "cp932 read as Latin-1"),
        ("euc_jp", "latin-1", "EUC-JP read as Latin-1"),
        ("euc_jp", "cp932", "EUC-JP read as cp932"),
    ],
)
def test_text_in_a_wrong_encoding_is_known_by_its_traces(true: str, read: str, said: str, form: Any) -> None:
    wrong = SENTENCE.encode(true).decode(read, "ignore")
    found = texts.misread(f"はじめに {unicodedata.normalize(form, wrong) if form else wrong}")
    assert found is not None and found[0].said == said and found[1] >= 4
    assert found[0].right.replace("-", "_") == true.replace("-", "_"), "what is to be typed"


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE, "café, déjà vu, naïve, Ångström, São Paulo, coração", "糸が縺れ、縺れて解けない。",
        "ア、イ、ウ、エ、オの順に読む。", "price: ¤5, 「‚」 is a quote, ƒ(x)", "ﾃｽﾄ、ｶﾀｶﾅ", "", "plain ASCII",
    ],
)  # fmt: skip
def test_sound_text_is_not_taken_for_such(text: str) -> None:
    assert texts.misread(text) is None
    assert texts.misread(unicodedata.normalize("NFKC", text)) is None


@pytest.mark.parametrize(("bad", "expected"), [(0, 0), (3, 0), (4, 1)])
def test_a_few_bad_documents_of_many_are_no_mistake(bad: int, expected: int) -> None:
    many = [(f"text:{number}", "文字\ufffd化け" if number < bad else SENTENCE) for number in range(3000)]
    facts: Any = SimpleNamespace(looked=Looked(many, []))
    assert len(list(texts.mojibake(facts))) == expected


# ----------------------------------------------------------------------------------------------------- leaks


def held(valid: str, train: str) -> float:
    """The share of a text's 5-grams that another has."""
    grams = {valid[n : n + 5] for n in range(len(valid) - 4)}
    return len(grams & {train[n : n + 5] for n in range(len(train) - 4)}) / len(grams)


def test_the_share_that_a_text_has_in_common_with_another(story: Path) -> None:
    stories = [leaks.squeezed(one) for one in story.read_text(encoding="utf-8").split("\n\n")]
    valid, train = stories[:40], [*stories[40:], stories[3], f"前に{stories[7]}後に", stories[9][:30]]
    found = leaks.overlaps([*valid, "短い"], train)
    assert found.share[3] == found.share[7] == 1
    assert train[found.place[3]] == stories[3] and stories[7] in train[found.place[7]]
    assert found.share[40] == 0
    best = np.array([max(held(one, other) for other in train) for one in valid])
    assert np.abs(found.share[:40] - best).max() < 0.25 and np.abs(found.share[:40] - best).mean() < 0.08


def test_it_is_the_same_however_the_training_texts_are_divided(
    story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stories = [leaks.squeezed(one) for one in story.read_text(encoding="utf-8").split("\n\n")]
    whole = leaks.overlaps(stories[:30], stories[30:])
    monkeypatch.setattr(leaks, "CHARACTERS", 500)
    parts = leaks.overlaps(stories[:30], stories[30:])
    assert np.array_equal(whole.share, parts.share) and np.array_equal(whole.place, parts.place)
    assert leaks.overlaps([], stories).share.shape == (0,) and not leaks.overlaps(["短い文"], []).share.any()


# ------------------------------------------------------------------------------------- what is looked at


@pytest.mark.parametrize("unit", ["paragraph", "sentence"])
def test_inputs_are_looked_at_as_the_corpus_would_have_them(story: Path, tmp_path: Path, unit: str) -> None:
    made = recipe(tmp_path, story, corpus={"unit": unit, "filters": {"min_chars": 8}})
    prepare(made)
    before = documents.of_inputs(made.corpus)
    after = documents.of_corpus(Corpus.open(made.data_path / "corpus"))
    for mine, kept in ((before.train, after.train), (before.valid, after.valid)):
        assert sorted(text for _, text in mine) == sorted(text for _, text in kept)
    assert before.whole and after.whole and before.valid


def test_of_much_text_only_some_is_looked_at_and_that_is_said(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = story.read_text(encoding="utf-8")
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(text[number : number + 15_000], encoding="utf-8")
    made = recipe(tmp_path, *(tmp_path / f"{number}.txt" for number in range(4)), corpus={"dedup": "none"})
    monkeypatch.setattr(documents, "TRAIN", 8000)
    monkeypatch.setattr(documents, "MOST_VALID", 5)
    for _ in range(2):
        found = tane.plan(made, show=0).metrics["looked_at"]
        assert not found["all"] and found["validation_documents"] <= 5 and 7000 < found["characters"] < 12_000
        prepare(made)
    looked = documents.of_inputs(made.corpus)
    assert {name.rpartition("/")[2][0] for name, _ in looked.train} == set("0123"), "some of each file"


# ------------------------------------------------------------------------------------------------------ rates


def test_usual_rates_fall_with_the_size_and_differ_by_optimizer() -> None:
    def rates(name: str, parameters: float, **how: bool) -> tuple[float, float]:
        given = {"pretrained": False, "adapters": False, "task": False, **how}
        found = sizes.usual_rates(name, int(parameters), **given)
        assert found is not None and found[0] < found[1]
        return found

    for size in (1e6, 1e7, 1e8, 1e9, 1e10):
        assert rates("adamw", size)[0] >= rates("adamw", 10 * size)[0]
        assert rates("muon", size)[0] > rates("adamw", size)[0]
    low, high = rates("adamw", 124e6)  # GPT-2 small
    assert low < 3e-4 < 6e-4 < 1.8e-3 < high and low > 5e-5, "the default of others' trainers is too low"
    low, high = rates("adamw", 110e6, pretrained=True, task=True)  # BERT base
    assert low < 1e-5 < 5e-5 < 2e-4 < high < 1e-2
    low, high = rates("adamw", 110e6, pretrained=True, task=True, adapters=True)
    assert low < 5e-5 < 2e-3 < high
    low, high = rates("muon", 5e6)  # the recipes
    assert low < 3e-3 < 1e-2 < 2e-2 < high
    assert sizes.usual_rates("package:Own", 1000, pretrained=False, adapters=False, task=False) is None
