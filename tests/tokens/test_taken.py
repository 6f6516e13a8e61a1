"""Somebody's tokenizer in a folder: exactly the ids of the original, or an InputError; never other ids."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from tane.errors import InputError
from tane.tokens import spm, spm_model, taken
from tests.tokens import make_bad_tokenizers as bad
from tests.tokens import models
from tests.tokens.models import TEXTS, config_of, plain, take


@pytest.fixture(scope="module")
def lines(sample_text: Path) -> list[str]:
    return sample_text.read_text(encoding="utf-8").split("\n")[:300]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Path:
    """A unigram model as SentencePiece trains it by default, but for its rules."""
    path = tmp_path_factory.mktemp("model") / "spiece.model"
    return models.train(path, lines, normalization_rule_name="identity")


@pytest.fixture(scope="module")
def bpe_model(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Path:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    options = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"}
    return models.train(path, lines, **options)


# ------------------------------------------------------------------------------------- SentencePiece models


@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_bare_sentencepiece_model(model: Path, tmp_path: Path, lines: list[str], form: str) -> None:
    auto = take(model if form == "file" else model.parent, tmp_path / "taken")
    assert plain(auto, [*TEXTS, *lines]) == models.processor(model).encode([*TEXTS, *lines])
    assert auto("a")["input_ids"] == plain(auto, ["a"])[0] and auto.eos_token_id == 2


def hf_folder(place: Path, path: Path, name: str | None, **values: Any) -> Path:
    place.mkdir()
    shutil.copyfile(path, place / path.name)
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **values}), "utf-8")
    return place


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("T5Tokenizer", ([], [2])),
        ("T5TokenizerFast", ([], [2])),
        ("LlamaTokenizer", ([1], [])),
        ("DebertaV2Tokenizer", ([], [])),
        ("BertGenerationTokenizer", ([], [])),
        (None, ([], [])),
    ],
)
def test_a_class_over_a_model_gives_sentencepieces_ids(
    model: Path, tmp_path: Path, lines: list[str], name: str, around: Any
) -> None:
    source = hf_folder(tmp_path / "source", model, name)
    texts = [text for text in [*TEXTS, *lines] if "</s>" not in text]
    ids = models.processor(model).encode(texts)
    assert [0 in row for row in ids].count(True) > 3, "unknown characters, which T5Tokenizer makes </s> of"
    before, after = taken.load(source), take(source, tmp_path / "taken")
    for tokenizer in (before, after):
        assert plain(tokenizer, texts) == ids
        assert tokenizer("a")["input_ids"] == [*around[0], *plain(tokenizer, ["a"])[0], *around[1]]
    assert before.name_or_path == str(source)
    assert config_of(tmp_path / "taken")["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_t5s_extra_ids_stand_behind_the_pieces(model: Path, tmp_path: Path) -> None:
    size = len(spm_model.read(model).pieces)
    default = take(hf_folder(tmp_path / "a", model, "T5Tokenizer"), tmp_path / "b")
    assert len(default) == size + 100
    assert default.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_99>"]) == [size + 99, size]
    assert len(take(hf_folder(tmp_path / "c", model, "T5Tokenizer", extra_ids=0), tmp_path / "d")) == size


def test_added_tokens_keep_their_ids(bpe_model: Path, tmp_path: Path) -> None:
    size = len(spm_model.read(bpe_model).pieces)
    source = hf_folder(tmp_path / "a", bpe_model, "LlamaTokenizer", pad_token="[PAD]", add_bos_token=False)
    (source / "added_tokens.json").write_text(json.dumps({"[PAD]": size + 1, "<|user|>": size}), "utf-8")
    auto = take(source, tmp_path / "b")
    assert auto.pad_token_id == size + 1 and auto("<|user|>")["input_ids"][-1] == size
    assert plain(auto, TEXTS[:4]) == models.processor(bpe_model).encode(TEXTS[:4])
    for wrong, match in (({"[PAD]": size + 1}, "do not follow"), ({"[PAD]": 5}, "which the model gives to")):
        (source / "added_tokens.json").write_text(json.dumps(wrong), "utf-8")
        with pytest.raises(InputError, match=match):
            taken.load(source)
    (source / "added_tokens.json").unlink()
    with pytest.raises(InputError, match=r"pad_token is '\[PAD\]', which is no piece of tokenizer\.model"):
        taken.load(source)


def test_xlm_roberta_has_its_own_ids(model: Path, tmp_path: Path, lines: list[str]) -> None:
    auto = take(hf_folder(tmp_path / "a", model, "XLMRobertaTokenizer"), tmp_path / "b")
    texts = [text for text in [*TEXTS, *lines] if "<" not in text]
    shifted = [[3 if i == 0 else i + 1 for i in row] for row in models.processor(model).encode(texts)]
    assert plain(auto, texts) == shifted, "as fairseq numbers them"
    assert (auto.cls_token_id, auto.pad_token_id, auto.sep_token_id, auto.unk_token_id) == (0, 1, 2, 3)
    assert auto.mask_token_id == len(auto) - 1 == len(spm_model.read(model).pieces) + 1
    assert auto("a", "b")["input_ids"][0] == 0 and auto("a", "b")["input_ids"].count(2) == 3


@pytest.mark.parametrize(
    "name", ["CamembertTokenizer", "MBartTokenizer", "AlbertTokenizer", "PegasusTokenizer"]
)
def test_classes_whose_rule_is_not_known_are_refused(model: Path, tmp_path: Path, name: str) -> None:
    source = hf_folder(tmp_path / "a", model, name)
    for use in (taken.load, lambda folder: take(folder, tmp_path / "b")):
        with pytest.raises(InputError, match=r"its class reads spiece\.model by rules of its own") as caught:
            use(source)
        assert "tokenizer.json" in caught.value.remedy and str(source / "spiece.model") in caught.value.remedy


def test_settings_that_change_ids(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, values in enumerate([{"add_prefix_space": False}, {"split_by_punct": True}]):
        with pytest.raises(InputError, match="which changes the ids"):
            taken.load(hf_folder(tmp_path / str(number), model, "LlamaTokenizer", **values))
    lower = taken.load(hf_folder(tmp_path / "lower", model, "T5Tokenizer", do_lower_case=True))
    assert plain(lower, ["THE Fox"]) == plain(lower, ["the fox"])
    assert "all text becomes lower case" in capsys.readouterr().err


def test_a_model_of_no_class_that_config_json_names(bpe_model: Path, tmp_path: Path) -> None:
    source = hf_folder(tmp_path / "a", bpe_model, None)
    (source / "config.json").write_text(
        '{"model_type": "llama", "auto_map": {"AutoModel": "evil.M"}}', "utf-8"
    )
    assert taken.load(source)("a")["input_ids"][0] == 1, "Llama's own beginning"


# ----------------------------------------------------------------------------------- Hugging Face folders


def test_tokenizer_json_counts_and_not_what_a_class_makes_of_it(
    model: Path, tmp_path: Path, lines: list[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    spm.save(model, source)
    config = {**config_of(source), "tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 512}
    (source / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    ids = models.processor(model).encode([*TEXTS, *lines])
    assert plain(AutoTokenizer.from_pretrained(str(source)), [*TEXTS, *lines]) != ids, "rebuilt by the class"
    assert plain(taken.load(source), [*TEXTS, *lines]) == ids
    auto = take(source, tmp_path / "taken")
    assert plain(auto, [*TEXTS, *lines]) == ids
    assert (tmp_path / "taken" / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    assert auto.model_max_length == 512 and auto.eos_token_id == 2
    assert taken.fingerprint(source) != taken.fingerprint(tmp_path / "taken")


def test_what_other_files_of_a_folder_add_is_taken(tmp_path: Path) -> None:
    settings_ = bad.config(pad_token="<pad>", extra_special_tokens=["<sep>"], padding_side="right")
    bad.folder(bad.bpe(), settings_)(tmp_path / "source")
    auto = take(tmp_path / "source", tmp_path / "taken")
    original = AutoTokenizer.from_pretrained(str(tmp_path / "source"))
    assert len(auto) == len(original) == len(bad.PIECES) + 2 and auto.padding_side == "right"
    assert auto("a<sep>あい<pad>")["input_ids"] == original("a<sep>あい<pad>")["input_ids"] == [3, 10, 8, 9]
    written = Tokenizer.from_file(str(tmp_path / "taken" / "tokenizer.json"))
    assert written.token_to_id("<sep>") == 10, "in the file itself, for readers of it alone"
    assert "extra_special_tokens" not in config_of(tmp_path / "taken"), "transformers 4 wants another form"


def test_a_bare_tokenizer_json(tmp_path: Path) -> None:
    bad.folder(bad.unigram())(tmp_path / "source")
    (tmp_path / "source" / "tokenizer_config.json").unlink()
    for number, name in enumerate((tmp_path / "source", tmp_path / "source" / "tokenizer.json")):
        auto = take(name, tmp_path / str(number))
        assert auto("ab あ</s>")["input_ids"] == [5, 2, 6, 1] and auto.eos_token == "</s>"
    assert taken.load(tmp_path / "source")("ab")["input_ids"] == [5]
    before = taken.fingerprint(tmp_path / "source")
    names = {"pad_token": {"content": "</s>", "lstrip": False}, "eos_token": "</s>", "unk_token": "<unk>"}
    (tmp_path / "source" / "special_tokens_map.json").write_text(json.dumps(names), "utf-8")
    assert take(tmp_path / "source", tmp_path / "named").pad_token_id == 1
    assert taken.fingerprint(tmp_path / "source") != before


def test_a_chat_template_is_kept_as_text(tmp_path: Path) -> None:
    bad.folder(bad.unigram(), bad.config(chat_template=bad.HOSTILE))(tmp_path / "source")
    assert take(tmp_path / "source", tmp_path / "taken").chat_template == bad.HOSTILE


# ------------------------------------------------------------------------------------------ names and hashes


def test_names_that_stand_for_no_tokenizer(model: Path, tmp_path: Path) -> None:
    for name, match in (
        (tmp_path, "holds no tokenizer"),
        (tmp_path / "absent", "does not exist"),
        (Path(__file__), "is no file of a known kind"),
    ):
        with pytest.raises(InputError, match=match):
            taken.take(name, tmp_path)
        assert taken.fingerprint(name) == ""
    for name in ("a.model", "b.model"):
        shutil.copyfile(model, tmp_path / name)
    with pytest.raises(InputError, match=r"holds several tokenizers: a\.model, b\.model"):
        taken.take(tmp_path, tmp_path)


def test_loading_asks_for_a_folder(model: Path, tmp_path: Path) -> None:
    shutil.copyfile(model, tmp_path / "spiece.model")
    with pytest.raises(
        InputError, match=r"found only spiece\.model, whose ids transformers would guess"
    ) as caught:
        taken.load(tmp_path)
    assert f"--tokenizer.path {tmp_path / 'spiece.model'}" in caught.value.remedy
    with pytest.raises(InputError, match="is a file; expected a folder"):
        taken.load(tmp_path / "spiece.model")


def test_the_fingerprint_is_of_the_content(model: Path, tmp_path: Path) -> None:
    shutil.copyfile(model, tmp_path / "spiece.model")
    assert (
        taken.fingerprint(tmp_path)
        == taken.fingerprint(tmp_path / "spiece.model")
        == taken.fingerprint(model)
    )
    assert taken.fingerprint(model) != taken.fingerprint(model, "ipadic")
    bad.folder(bad.bpe())(tmp_path / "run" / "model")
    found = taken.fingerprint(tmp_path / "run")
    assert found == taken.fingerprint(tmp_path / "run" / "model") != ""
    (tmp_path / "run" / "model" / "added_tokens.json").write_text("{}", "utf-8")
    assert taken.fingerprint(tmp_path / "run") != found


def test_a_dictionary_for_what_has_no_words(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.dictionary is ipadic, but .* is no vocab\.txt"):
        take(model, tmp_path / "taken", dictionary="ipadic")
