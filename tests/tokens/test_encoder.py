"""The encoder: transformers' ids by each road, in bounded batches, mostly without transformers."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertJapaneseTokenizer

from tane.errors import InputError
from tane.text import words
from tane.tokens import encoder as module
from tane.tokens import roads, taken
from tane.tokens.encoder import Encoder
from tane.tokens.kinds import Job
from tane.tokens.kinds.bpe import Bpe
from tane.tokens.kinds.mecab_wordpiece import MecabWordpiece
from tane.tokens.specials import CAUSAL, MASKED

from . import small

ODD = [
    "", " ", "\n\n", "  二つ の\u3000空白 ", "a\x1cb\x1f", "\x1c\x1d\x1e\x1f", "あ\x85い\u2028う", "\ufeff印",
    "タブ\tと\r\n復帰", "🙂👨\u200d👩\u200d👧\u200d👦と🇯🇵", "ｶﾞｷﾞｸﾞ ㍿ ①", "か\u3099", "[MASK]と[UNK]</s>[CLS]",
    "##あ", "#", "a" * 100, "a" * 101, "12,345.6円", "\U000f0000x", "\x01\x7f", "<pad>", "ＡＢＣ", "[MASK",
    "[PAD][SEP]",
]  # fmt: skip
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
KANA = st.text(st.sampled_from("あいうねこのはがをに。、「」山川大小食べ走 ーカナ\n\ta1[]"), max_size=40)
NAMED = st.sampled_from([*MASKED.tokens(), *ODD])
MIXED = st.lists(st.one_of(ANY, KANA, NAMED), max_size=5).map("".join)
JAPANESE = ("aozora-a.txt.gz", "debian-docs-a.txt.gz", "libreoffice-help.txt.gz")
JAPANESE += ("wikipedia-jsquad-valid.txt", "knbc-blogs-a.txt")


def lines(real_data: Path) -> Iterator[str]:
    for name in JAPANESE:
        raw = (real_data / "ja" / name).read_bytes()
        yield from (gzip.decompress(raw) if name.endswith(".gz") else raw).decode().split("\n")


def ids(encoder: Encoder, text: str) -> list[int]:
    return encoder.encode_batch([text])[0].tolist()


def theirs(auto: Any, text: str) -> list[int]:
    """Ids by transformers' own class, special tokens neither added nor found."""
    return auto.encode(text, add_special_tokens=False, split_special_tokens=True)


@pytest.fixture(scope="module")
def ipadic(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """WordPieces of ipadic's words, trained on the sample."""
    folder = tmp_path_factory.mktemp("ipadic")
    text = sample_text.read_text(encoding="utf-8")[:60_000]
    MecabWordpiece().train([text], Job(folder, 2000, 0.9995, "ipadic", MASKED, 10**9))
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    """bert-base-japanese-v3's vocabulary, as transformers itself saves it."""
    folder = tmp_path_factory.mktemp("bert")
    path = real_data / "tokenizers" / "bert-base-japanese-v3-vocab.txt"
    made = BertJapaneseTokenizer(
        str(path), word_tokenizer_type="mecab", mecab_kwargs={"mecab_dic": "unidic_lite"}
    )
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    folder = tmp_path_factory.mktemp("bpe")
    text = sample_text.read_text(encoding="utf-8")[:60_000]
    Bpe().train([text], Job(folder, 1200, 0.9995, "ipadic", CAUSAL, 10**9))
    return folder


# ---------------------------------------------------------------------------------------------------- words


@pytest.fixture(scope="module")
def pair(ipadic: Path) -> tuple[Encoder, Any]:
    return Encoder(ipadic), AutoTokenizer.from_pretrained(str(ipadic))


@pytest.mark.parametrize("text", ODD)
def test_words_of_odd_texts(pair: tuple[Encoder, Any], text: str) -> None:
    ours, auto = pair
    found = ids(ours, text)
    assert found == theirs(auto, text)
    assert ours.decode(found) == auto.decode(
        found, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


@given(MIXED)
@settings(max_examples=200, deadline=None)
@example("すもももももももものうち")
def test_words_of_any_text(pair: tuple[Encoder, Any], text: str) -> None:
    ours, auto = pair
    assert ids(ours, text) == theirs(auto, text)


@pytest.mark.parametrize("which", ["ipadic", "bert"])
def test_words_of_real_text(which: str, request: pytest.FixtureRequest, real_data: Path) -> None:
    folder = request.getfixturevalue(which)
    sampled = list(lines(real_data))[::67]
    auto = AutoTokenizer.from_pretrained(str(folder))
    found = Encoder(folder).encode_batch(sampled)
    assert [row.tolist() for row in found] == [theirs(auto, line) for line in sampled] and len(sampled) > 500


@pytest.mark.slow
@pytest.mark.parametrize("which", ["ipadic", "bert"])
def test_words_of_all_real_text(which: str, request: pytest.FixtureRequest, real_data: Path) -> None:
    folder = request.getfixturevalue(which)
    every = list(lines(real_data))
    auto = AutoTokenizer.from_pretrained(str(folder))
    for line, row in zip(every, Encoder(folder).encode_batch(every), strict=True):
        assert row.tolist() == theirs(auto, line)


def test_a_vocabulary_of_the_field(bert: Path) -> None:
    encoder = Encoder(bert)
    assert (encoder.vocab_size, encoder.eos_id, encoder.eos_token, encoder.unk_id) == (32768, 3, "[SEP]", 1)
    assert encoder.decode(ids(encoder, "誰が一番に着くか私には分かりません。")) == (
        "誰 が 一番 に 着く か 私 に は 分かり ませ ん 。"
    )


def test_nul_parts_words(pair: tuple[Encoder, Any]) -> None:
    ours, _ = pair
    assert ids(ours, "ねこ\0いぬ") == ids(ours, "ねこ いぬ") and len(ids(ours, "ねこ\0いぬ")) >= 2


def test_the_table_of_words_stays_bounded(ipadic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Encoder(ipadic)
    monkeypatch.setattr(roads, "CACHE", 50)
    tight = Encoder(ipadic)
    for start in range(0, 3000, 7):
        text = f"ねこ{start}がいる。いぬ{start + 1}もいる。"
        assert ids(tight, text) == ids(expected, text)
        assert len(tight._road.cache) <= 50  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "values",
    [
        {"do_lower_case": True}, {"subword_tokenizer_type": "character"}, {"word_tokenizer_type": "basic"},
        {"never_split": ["ねこ"]}, {"mecab_kwargs": {"mecab_dic": "ipadic", "normalize_text": False}},
        {"mask_token": "<mask>"}, {"extra_special_tokens": ["<x>"]}, {"do_word_tokenize": False},
    ],
)  # fmt: skip
def test_unusual_settings_go_to_transformers(ipadic: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    copy(ipadic, tmp_path, **values)
    ours, auto = Encoder(tmp_path), AutoTokenizer.from_pretrained(str(tmp_path))
    assert isinstance(ours._road, roads._Transformers) and not ours.parallel
    assert ours.vocab_size == len(auto)
    for text in ("ねこがABCをＡＢＣした。", "<mask>と<x>", "[MASK]"):
        assert ids(ours, text) == theirs(auto, text)


def copy(source: Path, target: Path, **values: Any) -> None:
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    path = target / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


# ------------------------------------------------------------------------------------------ tokenizer.json


MAKERS: list[Callable[[Path], Path]] = [
    small.byte_level,
    lambda folder: small.byte_fallback(folder, ["あ", "▁", "い", "~"]),
    lambda folder: small.wordpiece(folder, ["ねこ", "##いぬ"]),
    lambda folder: small.characters(folder, "あい <>/s"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_any_tokenizer_json(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path)
    ours, auto = Encoder(folder), AutoTokenizer.from_pretrained(str(folder))
    assert isinstance(ours._road, roads._Json) and ours.parallel
    assert (ours.vocab_size, ours.eos_id, ours.unk_id) == (len(auto), auto.eos_token_id, auto.unk_token_id)
    assert ours.eos_token == auto.eos_token and ours.tokenizer.get_vocab() == auto.get_vocab()
    special = {*auto.all_special_ids} - {auto.unk_token_id}
    for text in ODD:
        found = ids(ours, text)
        assert not special.intersection(found), "what looks like a special token is text"
        if not special.intersection(theirs(auto, text)):
            assert found == theirs(auto, text), text
        assert ours.decode(found) == auto.decode(found, skip_special_tokens=True)


def test_special_tokens_of_a_unigram_vocabulary_are_not_found_in_a_text(tmp_path: Path) -> None:
    """They are entries of the vocabulary like others, and the library finds them there."""
    folder = small.byte_fallback(tmp_path, ["a", "b", "<", "/", "s", ">"])
    ours, auto = Encoder(folder), AutoTokenizer.from_pretrained(str(folder))
    assert auto.eos_token_id in theirs(auto, "a</s>b"), "else this tests nothing"
    for text in ("a</s>b", "</s>", "a</s></s>b", "<</s>"):
        found = ids(ours, text)
        # this one puts a space before whatever it is given, so also before the second part
        assert ours.eos_id not in found and ours.decode(found).replace(" ", "") == text


@pytest.mark.parametrize(
    "values",
    [
        {"tokenizer_class": "GPT2Tokenizer"}, {"sep_token": "<sep>"}, {"extra_special_tokens": ["<x>"]},
        {"add_prefix_space": True}, {"add_eos_token": True}, {"eos_token": "。"},
    ],
)  # fmt: skip
def test_what_tokenizer_json_does_not_tell_goes_to_transformers(
    bpe: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    copy(bpe, tmp_path, **values)
    ours, auto = Encoder(tmp_path), taken.load(tmp_path)
    assert isinstance(ours._road, roads._Transformers)
    assert (ours.vocab_size, ours.eos_id) == (len(auto), auto.eos_token_id)
    for text in ("ねこ。いぬ。", "<sep>と<x>", "</s>"):
        assert ids(ours, text) == theirs(auto, text)


def test_special_tokens_as_mappings(bpe: Path, tmp_path: Path) -> None:
    token = {"content": "</s>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    copy(bpe, tmp_path, eos_token=token, added_tokens_decoder={"1": {**token, "special": True}})
    ours = Encoder(tmp_path)
    assert isinstance(ours._road, roads._Json) and ours.eos_id == 1


def test_neither_transformers_nor_torch_is_loaded(bpe: Path, ipadic: Path) -> None:
    code = (
        "import sys\nfrom tane.tokens.encoder import Encoder\n"
        "for folder in sys.argv[1:]:\n"
        "    encoder = Encoder(folder)\n"
        "    encoder.decode(encoder.encode_batch(['ねこがいる。'])[0])\n"
        "print(sorted({'torch', 'transformers', 'sentencepiece'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bpe), str(ipadic)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("which", ["bpe", "ipadic"])
def test_batches_are_encoded_each_text_by_itself(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(request.getfixturevalue(which))
    expected = [ids(encoder, text) for text in ODD]
    for size in (1, 10, 250_000):
        monkeypatch.setattr(module, "BATCH_CHARS", size)
        rows = encoder.encode_batch(ODD)
        assert [row.tolist() for row in rows] == expected and all(row.dtype == np.int64 for row in rows)
    assert encoder.encode_batch([]) == []


def test_batches_are_bounded(bpe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(bpe)
    seen: list[int] = []
    inner = encoder._road.encode

    def noting(texts: list[str]) -> list[np.ndarray]:
        seen.append(sum(map(len, texts)))
        return inner(texts)

    monkeypatch.setattr(encoder._road, "encode", noting)
    assert len(encoder.encode_batch(["あ" * 1000] * 1000)) == 1000
    assert len(seen) == 5 and max(seen) <= module.BATCH_CHARS
    seen.clear()
    assert len(encoder.encode_batch(["あ"] * 50_000)) == 50_000
    assert max(seen) <= module.BATCH_CHARS / module.DOCUMENT, "each text takes memory, however short it is"


def test_a_tokenizer_without_an_end_of_text(bpe: Path, tmp_path: Path) -> None:
    copy(bpe, tmp_path, eos_token=None)
    encoder = Encoder(tmp_path)
    assert len(encoder.encode_batch(["ねこ"])[0]) > 0, "it can be looked at"
    with pytest.raises(InputError, match=r"has no end-of-text token\n.*eos_token"):
        _ = encoder.eos_id
    copy(bpe, tmp_path, eos_token=None, sep_token="</s>")
    assert Encoder(tmp_path).eos_id == 1, "[SEP] ends a text where there is no EOS"


def test_what_an_objective_must_know(bpe: Path, ipadic: Path, tmp_path: Path) -> None:
    assert Encoder(bpe).vocabulary == (1200, 1, 0, None, None, None, (0, 1, 2))
    # [PAD] [UNK] [CLS] [SEP] [MASK]; [SEP] ends a text
    assert Encoder(ipadic).vocabulary == (2000, 3, 0, 4, 2, 3, (0, 1, 2, 3, 4))
    byte = Encoder(small.byte_level(tmp_path / "byte"))
    assert byte.vocabulary == (byte.vocab_size, 0, 0, None, None, None, (0,)), "EOS pads where nothing does"
    copy(ipadic, tmp_path, do_lower_case=True)
    slow = Encoder(tmp_path)
    assert isinstance(slow._road, roads._Transformers) and slow.vocabulary == Encoder(ipadic).vocabulary
    copy(bpe, tmp_path, eos_token=None)
    with pytest.raises(InputError, match="has no end-of-text token"):
        _ = Encoder(tmp_path).vocabulary


def test_special_tokens_without_a_role_are_special(tmp_path: Path) -> None:
    folder = small.wordpiece(tmp_path, ["ねこ", "いぬ", "<x>"])
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"].append({**content["added_tokens"][0], "id": 4, "content": "<x>"})
    path.write_text(json.dumps(content), encoding="utf-8")
    assert Encoder(folder).vocabulary.special_ids == (0, 1, 4)
    copy(folder, tmp_path, extra_special_tokens=["<y>"])
    assert Encoder(tmp_path).vocabulary.special_ids == (0, 1, 4, 5)


@pytest.mark.parametrize("which", ["bpe", "ipadic", "slow"])
def test_words_come_with_the_same_ids(
    which: str, request: pytest.FixtureRequest, ipadic: Path, tmp_path: Path
) -> None:
    if which == "slow":
        copy(ipadic, tmp_path, do_lower_case=True)
    encoder = Encoder(tmp_path if which == "slow" else request.getfixturevalue(which))
    found = encoder.encode_words(ODD, words.insides("ipadic"))
    for row, (ids, starts) in zip(encoder.encode_batch(ODD), found, strict=True):
        assert row.tolist() == ids.tolist() and starts.shape == ids.shape and starts.dtype == bool
        assert starts[:1].all()
    assert encoder.encode_words([], words.insides("ipadic")) == []


def test_words_of_its_own_are_told_by_a_table(ipadic: Path, bpe: Path) -> None:
    encoder = Encoder(ipadic)
    table = encoder.word_table
    assert table is not None and table.shape == (encoder.vocab_size,) and Encoder(bpe).word_table is None
    assert [encoder._road.token(i).startswith("##") for i in range(encoder.vocab_size)] == (~table).tolist()
    [(ids, starts)] = encoder.encode_words(
        ["ねこは走っている。"], lambda text: np.ones(len(text), dtype=bool)
    )
    assert starts.tolist() == table[ids].tolist(), "whatever other words there are"


def test_a_run_folder_stands_for_its_model(bpe: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    copy(bpe, tmp_path / "model")
    assert ids(Encoder(tmp_path), "ねこ") == ids(Encoder(bpe), "ねこ")
    assert Encoder(tmp_path).name == str(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_cut_files(bpe: Path, tmp_path: Path, name: str) -> None:
    copy(bpe, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-5])
    with pytest.raises(InputError, match=name):
        Encoder(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"eos_token": 3}, {"eos_token": ["</s>"]}, {"eos_token": {}}, {"added_tokens_decoder": [1]},
        {"added_tokens_decoder": {"1": "</s>"}}, {"extra_special_tokens": 3}, {"extra_special_tokens": [{}]},
    ],
)  # fmt: skip
def test_values_that_no_configuration_has(bpe: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    copy(bpe, tmp_path, **values)
    try:
        expected = taken.load(tmp_path)
    except InputError as error:
        with pytest.raises(InputError) as caught:
            Encoder(tmp_path)
        assert str(caught.value) == str(error)
    else:
        assert ids(Encoder(tmp_path), "ねこ") == theirs(expected, "ねこ")


def test_code_of_its_own_is_refused(bpe: Path, tmp_path: Path) -> None:
    copy(bpe, tmp_path, auto_map={"AutoTokenizer": ["evil.T", None]})
    with pytest.raises(InputError, match="auto_map"):
        Encoder(tmp_path)
