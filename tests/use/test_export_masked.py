"""Exports of masked models: they fill masks in plain transformers, with the probabilities of the run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tane.errors import InputError
from tane.model.attention import VARLEN, Attention
from tane.recipe import Recipe, train
from tane.tokens.specials import CAUSAL
from tane.use.card import packages
from tane.use.export import export
from tane.use.fill import fill_mask
from tests.training.conftest import settings
from tests.use.cards import check_languages
from tests.use.masked_models import POSITIONS, save_bert, save_gpt2, train_tokenizer

BERT = {
    "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
    "intermediate_size": 64, "initializer_range": 0.3,
}  # fmt: skip
RUNS = {"mecab-wordpiece": "eager", "unigram": "sdpa"}  # tokenizers, and the ways of attention in training
TEXTS = ["秋には、[MASK]が木から落ちる。", "今日は[MASK]がいい。", "[MASK]", "犬は[SEP]と[MASK]。"]
PROCESS = """
import contextlib, io, json, sys
sys.modules["tane"] = None  # so that it cannot be imported
texts, codes = json.loads(sys.argv[1])
found = []
for code in codes:
    names, told = {}, io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(code, names)
    found.append([told.getvalue(), [names["pipe"](text, top_k=60) for text in texts]])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def text(sample_text: Path) -> str:
    return sample_text.read_text(encoding="utf-8")[:40_000]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, text: str) -> dict[str, tuple[Path, Path]]:
    """By tokenizer: a run and its export."""
    place = tmp_path_factory.mktemp("export_masked")
    (place / "text.txt").write_text(text, encoding="utf-8")
    found = {}
    for kind, way in RUNS.items():
        values = settings(place / f"data-{kind}", place / kind, place / "text.txt")
        values["tokenizer"]["kind"] = kind
        values["model"] = {"config": BERT}
        values["objective"] = {"name": "masked", "block_size": 64, "mask_prob": 0.2}
        values["train"] |= {"duration": "4 steps", "eval_every": "2 steps", "attention": way}
        run = Path(train(Recipe.from_mapping(values)).path)
        result = export(run, place / f"{kind}-export")
        assert result.metrics["ids_compared"] > 1000
        found[kind] = run, place / f"{kind}-export"
    return found


@pytest.fixture(scope="module")
def modernbert(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """An export of a random ModernBERT with words of MeCab."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    place = tmp_path_factory.mktemp("modernbert")
    pieces = train_tokenizer("mecab_wordpiece", place / "model", text)
    config = ModernBertConfig(
        vocab_size=pieces, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
        max_position_embeddings=POSITIONS,
    )  # fmt: skip
    torch.manual_seed(0)
    ModernBertForMaskedLM(config).save_pretrained(place / "model")
    export(place / "model", place / "out")
    return place / "out"


@pytest.fixture(scope="module")
def answers(
    exports: dict[str, tuple[Path, Path]], modernbert: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, Any]:
    """Of each export, what a process without tane is told by the lines of its card: the output, and fills."""
    folders = [*(folder for _, folder in exports.values()), modernbert]
    codes = [code_of(folder).replace("THIS_FOLDER", str(folder)) for folder in folders]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, json.dumps([TEXTS, codes])], capture_output=True, text=True,
        check=True, cwd=tmp_path_factory.mktemp("elsewhere"), env=environment,
    )  # fmt: skip
    return dict(zip(folders, json.loads(done.stdout.splitlines()[-1]), strict=True))


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def code_of(folder: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card_of(folder), re.DOTALL)
    assert found
    return found[1]


# -------------------------------------------------------------------------------------------- in transformers


@pytest.mark.parametrize("kind", RUNS)
def test_the_export_fills_masks_without_tane_as_the_run_does(exports: Any, answers: Any, kind: str) -> None:
    run, folder = exports[kind]
    ours = fill_mask(run, TEXTS, top_k=20).metrics["fills"]
    assert 'pipeline("fill-mask", model="THIS_FOLDER")' in code_of(folder)
    for theirs, fills in zip(answers[folder][1], ours, strict=True):
        assert len(fills) == 20
        for fill in fills:  # two pieces may have one spelling: ▁の and の
            scores = [row["score"] for row in theirs if row["token_str"] == fill["token"]]
            assert any(score == pytest.approx(fill["score"], abs=1e-6) for score in scores)


@pytest.mark.parametrize("kind", RUNS)
def test_the_lines_of_the_card_run_as_they_stand(exports: Any, answers: Any, kind: str) -> None:
    _, folder = exports[kind]
    assert "今日は[MASK]がいい。" in code_of(folder)
    told, fills = answers[folder]
    best = fills[TEXTS.index("今日は[MASK]がいい。")][:5]
    assert told == "".join(f"{fill['token_str']} {fill['score']}\n" for fill in best)


def test_modernbert_with_words_of_mecab(modernbert: Path, answers: Any) -> None:
    """AutoTokenizer of transformers 5 takes any class of such a file for a mistake; the card names it."""
    code = code_of(modernbert)
    assert "BertJapaneseTokenizer.from_pretrained" in code and "tokenizer=tokenizer" in code
    told, fills = answers[modernbert]
    assert told.count("\n") == 5 and [len(rows) for rows in fills] == [60] * len(TEXTS)


def test_the_card_tells_scores_objective_and_what_to_install(exports: Any) -> None:
    (run, mecab), (_, unigram) = exports["mecab-wordpiece"], exports["unigram"]
    card = card_of(mecab)
    assert "pipeline_tag: fill-mask" in card and "language: ja" in card
    assert "pip install fugashi ipadic" in card and "pip install" not in card_of(unigram)
    best = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evals = {row["step"]: row for row in best if row["event"] == "eval"}
    step = int((run / "model").resolve().parent.name.removeprefix("step-"))
    assert f"| validation loss (nats per masked token) | {evals[step]['loss']:.4f} |" in card
    assert f"| accuracy at masked tokens | {evals[step]['accuracy']:.2%} |" in card
    assert "bits per character" not in card and "None" not in card
    assert "| mask_prob | 0.2 |" in card and "| whole_word | true |" in card
    assert "| words | the tokenizer's own |" in card and "| words | ipadic (fugashi " in card_of(unigram)
    assert "masked" in card and "block_size: 64" in card and "## Text" in card
    told = check_languages(card)
    assert "隠したトークンの正解率" in told and "### 文章" in told and "トークナイザーのもの" in told


def test_an_export_is_exported_again(exports: Any, tmp_path: Path) -> None:
    _, folder = exports["unigram"]
    export(folder, tmp_path / "again")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    card = card_of(tmp_path / "again")
    assert "fill-mask" in card and "## Scores" not in card and "## Objective" not in card


# ---------------------------------------------------------------------------------------------- the attention


@pytest.mark.parametrize("family", ["bert", "modernbert", "roberta", "distilbert"])
def test_no_way_of_attention_is_saved_with_a_model(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    shape = {"n_layers": 1, "dim": 8, "n_heads": 1, "hidden_dim": 8} if family == "distilbert" else {
        "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8,
    }  # fmt: skip
    model = AutoModelForMaskedLM.from_config(CONFIG_MAPPING[family](vocab_size=20, pad_token_id=0, **shape))
    usual = model.config._attn_implementation
    for way in ("eager", "sdpa", "varlen", "separate"):
        Attention(model, way)
        model.save_pretrained(tmp_path / way)
        written = (tmp_path / way / "config.json").read_text(encoding="utf-8")
        assert "attn_implementation" not in written and VARLEN not in written
        again = AutoModelForMaskedLM.from_pretrained(tmp_path / way)
        assert again.config._attn_implementation == usual


def test_a_way_of_attention_that_a_folder_names_is_left_out(tmp_path: Path, text: str) -> None:
    folder = save_bert(tmp_path / "model", train_tokenizer("unigram", tmp_path / "model", text))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": "eager"}))
    export(folder, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == config


# ---------------------------------------------------------------------------------------------- other folders


def test_a_model_of_few_positions(tmp_path: Path, text: str) -> None:
    pieces = train_tokenizer("character", tmp_path / "model", text)
    folder = save_bert(tmp_path / "model", pieces, max_position_embeddings=5)
    assert export(folder, tmp_path / "out").metrics["ids_compared"] == 0


def test_inputs_that_a_model_does_not_take_are_not_asked_for(tmp_path: Path, text: str) -> None:
    """DistilBERT of transformers 4 stops at token_type_ids, which that of version 5 passes over."""
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM

    folder = tmp_path / "model"
    pieces = train_tokenizer("unigram", folder, text)
    shape = {"n_layers": 1, "dim": 8, "n_heads": 1, "hidden_dim": 8, "max_position_embeddings": POSITIONS}
    DistilBertForMaskedLM(DistilBertConfig(vocab_size=pieces, pad_token_id=0, **shape)).save_pretrained(
        folder
    )
    export(folder, tmp_path / "out")
    names = AutoTokenizer.from_pretrained(tmp_path / "out").model_input_names
    assert names == ["input_ids", "attention_mask"]


def test_a_tokenizer_that_finds_no_mask_is_refused(tmp_path: Path, text: str) -> None:
    folder = save_bert(tmp_path / "model", train_tokenizer("unigram", tmp_path / "model", text))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "split_special_tokens": True}), encoding="utf-8")
    with pytest.raises(InputError, match="finds no mask") as caught:
        export(folder, tmp_path / "out")
    assert "split_special_tokens" in caught.value.remedy and not (tmp_path / "out").exists()
    pieces = train_tokenizer("unigram", tmp_path / "causal", text, CAUSAL)
    with pytest.raises(InputError, match="finds no mask"):
        export(save_bert(tmp_path / "causal", pieces), tmp_path / "out")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "model", 50)
    with pytest.raises(InputError, match="expected a tokenizer"):
        export(folder, tmp_path / "out")


def test_a_causal_card_is_one_for_text(tmp_path: Path, text: str) -> None:
    export(save_gpt2(tmp_path / "gpt2", text), tmp_path / "out")
    assert "pipeline_tag: text-generation" in card_of(tmp_path / "out") and "吾輩は" in code_of(
        tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, ""),
        ({"tokenizer_class": "BertTokenizer", "word_tokenizer_type": "mecab"}, ""),
        ({"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": "ipadic"}}, "fugashi ipadic"),
        ({"word_tokenizer_type": "mecab", "mecab_kwargs": None}, "fugashi unidic-lite"),
        ({"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": None}}, "fugashi"),
        (
            {"word_tokenizer_type": "sudachi", "sudachi_kwargs": {"sudachi_dict_type": "small"}},
            "sudachipy sudachidict-small",
        ),
        ({"word_tokenizer_type": "sudachi"}, "sudachipy sudachidict-core"),
        ({"word_tokenizer_type": "basic", "subword_tokenizer_type": "sentencepiece"}, "sentencepiece"),
        ({"word_tokenizer_type": "jumanpp"}, "rhoknp"),
    ],
)
def test_packages_of_japanese_words(config: dict[str, Any], expected: str) -> None:
    assert packages({"tokenizer_class": "BertJapaneseTokenizer", **config}) == expected.split()
