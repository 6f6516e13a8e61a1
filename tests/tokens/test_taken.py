"""Somebody's tokenizer: exactly the ids of the original, or an InputError; no other ids, no code, no hang."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertJapaneseTokenizer

from tane.errors import InputError
from tane.tokens import soundness, spm, spm_model, taken
from tests.text.mutations import survives
from tests.tokens import make_bad_tokenizers as bad
from tests.tokens import models

TEXTS = [
    "", "Hello world", "  two  spaces\n", "今日は東京で、ＡＢＣマートの①番を見た。", "ﾊﾞｽ ｶﾞｽ", "か\u3099",
    "</s><unk>[MASK]<|endoftext|>", "👨\u200d👩\u200d👧 𠮷", "def f(x):\n    return x # ## ####", "it's",
]  # fmt: skip


def take(name: Path | str, target: Path, **options: Any) -> Any:
    """Take a tokenizer into a new folder and open that by AutoTokenizer."""
    target.mkdir()
    taken.take(str(name), target, **options)
    return AutoTokenizer.from_pretrained(str(target))


def plain(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


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


# -------------------------------------------------------------------------------------------- byte-level BPE


@cache
def byte_letters() -> dict[int, str]:
    """GPT-2's letter for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in kept]
    return {b: chr(b) for b in kept} | {b: chr(256 + i) for i, b in enumerate(moved)}


class SlowBpe:
    """GPT-2's encoding as its paper and code describe it, word by word and merge by merge."""

    def __init__(self, vocabulary: Path, merges: Path) -> None:
        self.ids = json.loads(vocabulary.read_text(encoding="utf-8"))
        pairs = [
            tuple(line.split(" ")) for line in merges.read_text(encoding="utf-8").split("\n")[1:] if line
        ]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}

    def encode(self, text: str) -> list[int]:
        return [number for word in self.words(text) for number in self.word(word)]

    def words(self, text: str) -> list[str]:
        """Contractions, letters, digits and others, each with one space before; then the remaining spaces."""
        found, place = [], 0
        while place < len(text):
            start = place
            for short in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
                if text.startswith(short, place):
                    place += len(short)
                    break
            else:
                place += text[place] == " " and place + 1 < len(text) and not text[place + 1].isspace()
                kind = self.kind(text[place])
                while place < len(text) and self.kind(text[place]) == kind:
                    place += 1
                if kind == "space" and place < len(text) and place - start > 1:
                    place -= 1  # the last one goes to the word behind it
            found.append(text[start:place])
        return found

    @staticmethod
    def kind(letter: str) -> str:
        names = {"L": "letter", "N": "digit"}
        category = unicodedata.category(letter)[0]
        return "space" if letter.isspace() else names.get(category, "other")

    def word(self, word: str) -> list[int]:
        parts = [byte_letters()[b] for b in word.encode()]
        while True:
            pairs = set(pairwise(parts)) & self.ranks.keys()
            if not pairs:
                return [self.ids[part] for part in parts]
            best = min(pairs, key=self.ranks.__getitem__)
            joined, place = [], 0
            while place < len(parts):
                both = tuple(parts[place : place + 2]) == best
                joined.append("".join(best) if both else parts[place])
                place += 1 + both
            parts = joined


@pytest.fixture(scope="module")
def gpt2(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, SlowBpe]:
    source = real_data / "tokenizers" / "gpt2"
    auto = take(source, tmp_path_factory.mktemp("gpt2") / "taken")
    return auto, SlowBpe(source / "encoder.json", source / "vocab.bpe")


def test_gpt2s_known_ids(gpt2: tuple[Any, SlowBpe]) -> None:
    auto, _ = gpt2
    assert auto("Hello world")["input_ids"] == [15496, 995]
    assert (auto.eos_token, auto.eos_token_id, len(auto), auto.pad_token) == (
        "<|endoftext|>",
        50256,
        50257,
        None,
    )
    spelled = auto("a<|endoftext|>b")["input_ids"]
    assert 50256 not in spelled and auto.decode(spelled) == "a<|endoftext|>b", "text stays text"


def test_gpt2s_ids_on_text(gpt2: tuple[Any, SlowBpe], real_data: Path) -> None:
    auto, slow = gpt2
    english = (real_data / "en" / "wikitext-2" / "test.txt").read_text(encoding="utf-8").split("\n")[:300]
    japanese = (real_data / "ja" / "wikipedia-jsquad-valid.txt").read_text(encoding="utf-8").split("\n")[:60]
    for text in [*TEXTS[:-1], *english, *japanese]:
        ids = auto(text)["input_ids"]
        assert ids == slow.encode(text), text
        assert auto.decode(ids) == text


@given(st.text(st.sampled_from("ab c'sltdre1Ａあ\u3000#$ \n\t\u00e9"), max_size=30))
@settings(max_examples=200, deadline=None)
def test_gpt2s_ids_on_any_text(gpt2: tuple[Any, SlowBpe], text: str) -> None:
    auto, slow = gpt2
    assert auto(text)["input_ids"] == slow.encode(text) and auto.decode(slow.encode(text)) == text


def test_all_names_of_the_two_files(tmp_path: Path) -> None:
    ids = []
    for names in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        place = tmp_path / names[0]
        place.mkdir()
        (place / names[0]).write_text(json.dumps(bad.byte_level()), "utf-8")
        (place / names[1]).write_text("#version: 0.2\na b\n", "utf-8")
        for name in (place, place / names[0], place / names[1]):
            auto = take(name, tmp_path / f"taken{len(ids)}")
            ids.append(auto("abba <|endoftext|>")["input_ids"])
            assert auto.eos_token_id == len(auto) - 1
        (place / names[1]).unlink()
        with pytest.raises(InputError, match=f"{names[0]} needs {names[1]} beside it"):
            taken.take(place / names[0], tmp_path)
    assert ids == [ids[0]] * 6 and ids[0][0] == bad.byte_level()["ab"]


def test_a_vocabulary_without_all_bytes_is_refused(tmp_path: Path) -> None:
    bad.pair({"a": 0, "b": 1, "ab": 2}, "a b\n")(tmp_path / "source")
    with pytest.raises(
        InputError, match="no vocabulary of a byte-level BPE like GPT-2's: it lacks 254 bytes"
    ):
        take(tmp_path / "source", tmp_path / "taken")


# ------------------------------------------------------------------------------------------------ WordPiece

MECAB = {"ipadic": "ipadic", "unidic-lite": "unidic_lite"}


@pytest.mark.parametrize("dictionary", [*MECAB, "sudachi"])
def test_a_japanese_vocabulary(real_data: Path, tmp_path: Path, lines: list[str], dictionary: str) -> None:
    vocabulary = real_data / "tokenizers" / "bert-base-japanese-v3-vocab.txt"
    auto = take(vocabulary, tmp_path / "taken", dictionary=dictionary)
    assert type(auto) is BertJapaneseTokenizer and config_of(tmp_path / "taken")["do_lower_case"] is False
    if dictionary == "sudachi":
        kinds = config_of(tmp_path / "taken")["sudachi_kwargs"]
        words: dict[str, Any] = {"word_tokenizer_type": "sudachi", "sudachi_kwargs": kinds}
    else:
        words = {"word_tokenizer_type": "mecab", "mecab_kwargs": {"mecab_dic": MECAB[dictionary]}}
    by_hand = BertJapaneseTokenizer(str(vocabulary), subword_tokenizer_type="wordpiece", **words)
    texts = [*TEXTS, *lines[:100]]
    assert [auto(text)["input_ids"] for text in texts] == [by_hand(text)["input_ids"] for text in texts]
    assert len(auto) == 32768 and auto.mask_token_id == by_hand.mask_token_id
    assert auto("猫", "犬")["token_type_ids"] == [0, 0, 0, 1, 1], "which parts the texts of a pair"
    again = take(tmp_path / "taken", tmp_path / "again")
    assert [again(text)["input_ids"] for text in texts] == [auto(text)["input_ids"] for text in texts]
    assert again("猫", "犬")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_a_japanese_vocabulary_needs_a_dictionary(real_data: Path, tmp_path: Path) -> None:
    vocabulary = real_data / "tokenizers" / "bert-base-japanese-v3-vocab.txt"
    with pytest.raises(InputError, match=r"holds Japanese .* but does not say who cuts words") as caught:
        take(vocabulary, tmp_path / "taken")
    assert "--tokenizer.dictionary unidic-lite" in caught.value.remedy


def test_a_dictionary_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "猫"]), "utf-8"
    )
    monkeypatch.setitem(sys.modules, "unidic_lite", None)
    with pytest.raises(InputError, match="not installed") as caught:
        take(tmp_path, tmp_path / "taken", dictionary="unidic-lite")
    assert "pip install" in caught.value.remedy and "unidic-lite" in caught.value.remedy


def test_a_dictionary_for_what_has_no_words(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.dictionary is ipadic, but .* is no vocab\.txt"):
        take(model, tmp_path / "taken", dictionary="ipadic")


@pytest.mark.parametrize(("piece", "lower", "ids"), [("hello", True, [5, 5]), ("Hello", False, [1, 5])])
def test_an_english_vocabulary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], piece: str, lower: bool, ids: list[int]
) -> None:
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        piece,
        "##s",
        *(f"x{i}" for i in range(20)),
        "の",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    auto = take(tmp_path, tmp_path / "taken")
    assert plain(auto, ["hello Hello"]) == [ids] and plain(auto, [piece + "s"]) == [[5, 6]]
    assert config_of(tmp_path / "taken")["do_lower_case"] is lower
    assert ("in lower case" if lower else "as it is") in capsys.readouterr().err


def test_a_text_file_is_no_vocabulary(tmp_path: Path) -> None:
    for data, match in (
        (b"a\nb\n", r"has no \[PAD\] and no \[UNK\]"),
        (b"\xff\xfe\n", "is not UTF-8: byte 0"),
    ):
        (tmp_path / "notes.txt").write_bytes(data)
        with pytest.raises(InputError, match=match):
            taken.take(tmp_path / "notes.txt", tmp_path)


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


# --------------------------------------------------------------------------------------------- bad tokenizers


@pytest.mark.parametrize("row", bad.rows(), ids=lambda row: f"{row.row}-{row.name}")
def test_bad_tokenizers(tmp_path: Path, row: bad.Bad) -> None:
    row.write(tmp_path / row.name)
    (tmp_path / "taken").mkdir()
    if row.error is None:
        taken.take(tmp_path / row.name, tmp_path / "taken")
        assert taken.load(tmp_path / "taken")("ab")["input_ids"] == [5]
        return
    with pytest.raises(InputError, match=row.error) as caught:
        taken.take(tmp_path / row.name, tmp_path / "taken")
    assert row.name in str(caught.value) and len(str(caught.value)) < 600
    if (tmp_path / row.name / "tokenizer.json").is_file():
        with pytest.raises(InputError, match=row.error):
            taken.load(tmp_path / row.name)


def test_loading_runs_and_writes_nothing(tmp_path: Path) -> None:
    settings_ = bad.config(
        chat_template=bad.HOSTILE, tokenizer_file="/etc/hostname", vocab_file="/etc/hostname"
    )
    bad.folder(bad.unigram(), settings_)(tmp_path / "source")
    (tmp_path / "source" / "evil.py").write_text("raise SystemExit", "utf-8")
    taken.load(tmp_path / "source")  # imports what it needs
    seen: list[tuple[str, Any]] = []
    watching = True
    sys.addaudithook(lambda event, arguments: seen.append((event, arguments)) if watching else None)
    taken.load(tmp_path / "source")
    watching = False
    opened = [arguments for event, arguments in seen if event == "open"]
    forbidden = ("subprocess", "os.system", "os.exec", "os.remove", "socket.connect")
    assert opened and not [event for event, _ in seen if event.startswith(forbidden)]
    assert not [a for a in opened if isinstance(a[1], str) and set(a[1]) & set("wax+")]
    assert not [a for event, a in seen if event in ("exec", "compile", "open") and "evil" in str(a)]
    assert not [a for a in opened if "hostname" in str(a[0])]


# ------------------------------------------------------------------------------------------------- mutations


def json_reader(path: Path) -> None:
    soundness.open_tokenizer(path).encode("ab あい </s>")


@pytest.mark.parametrize("make", [bad.unigram, bad.bpe])
def test_mutated_tokenizer_json(tmp_path: Path, make: Any) -> None:
    good = json.dumps(make(), ensure_ascii=False).encode()
    read = [survives(json_reader, tmp_path / "tokenizer.json", good, number) for number in range(1000)]
    assert 50 < read.count(True) < 950, "some are harmless, most are not"


def test_mutated_sentencepiece_models(tmp_path: Path) -> None:
    good = bad.spm(tmp_path / "good.model")
    read = [survives(spm.convert, tmp_path / "m.model", good, number) for number in range(2000)]
    assert 100 < read.count(True) < 1900


@pytest.mark.slow
def test_mutated_models_with_rules(tmp_path: Path, lines: list[str]) -> None:
    path = models.train(tmp_path / "good.model", lines[:50], vocab_size=400)
    good = path.read_bytes()
    for number in range(300):
        survives(spm.convert, tmp_path / "m.model", good, number)
