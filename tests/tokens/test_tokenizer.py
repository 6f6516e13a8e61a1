"""The tokenizer stage: what is published, SentencePiece's ids, the text given back, and clear errors."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tane import files
from tane.errors import InputError
from tane.settings import build
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.tokens import tokenizer, trainer
from tane.tokens.specials import MASKED
from tane.tokens.tokenizer import (
    Encoder,
    TokenizerSettings,
    copy_tokenizer,
    load_tokenizer,
    prepare_tokenizer,
    source_fingerprint,
)

DICTIONARY = {"mecab-wordpiece": "unidic-lite"}
VOCAB = 1200  # 256 bytes, some hundred characters, and some pieces
SPECIAL = ("</s>", "<pad>", "<unk>", "[MASK]", "<0x0A>", "<0xFF>", "<|endoftext|>", "<s>")
TEXTS = [
    "",
    " ",
    "  二つ の空白 ",
    "改行\nあり\n\n",
    "タブ\tと\r\n復帰",
    "絵文字🙂👨‍👩‍👧‍👦と🇯🇵",
    "ﾊﾝｶｸと全角ＡＢＣ",
    "が(NFD)",
    "\u3000全角の空白",
    "</s>",
    "終わり</s>の後",
    "<0x0A>は改行ではない",
    "<0x0a>",
    "<0xGG>",
    "[MASK]",
    "<pad><unk></s>",
    "a<b</s",
    "<<0x41>>",
    "\x00\x01\x7f",
    "\ufeff印",
    "\u2028行\u0085",
    "𠮷野家",
    "a" * 300,
    "名前。" * 50,
    "<|endoftext|>",
    "</s" + ">" * 3,
]
CONTROL = re.compile(r"</?s>|<pad>|<unk>|<0x[0-9A-F]{2}>")
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KANA = st.text(
    st.sampled_from("あいうえおかきくけこのはがをに。、「」ねこ山川大小 \n\t<>/s0xAF"), max_size=40
)
MIXED = st.lists(st.one_of(ANY, KANA, st.sampled_from([*SPECIAL, *TEXTS])), max_size=5).map("".join)


def make_corpus(folder: Path, text: str, **options: Any) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.txt").write_text(text, encoding="utf-8")
    chosen = {"inputs": [str(folder / "source.txt")], "unit": "line", **options}
    build_corpus(CorpusSettings(**chosen), folder / "corpus")
    return Corpus.open(folder / "corpus")


@pytest.fixture(scope="module")
def sample(sample_text: Path) -> str:
    return sample_text.read_text(encoding="utf-8")[:60_000]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sample: str) -> Path:
    """A published small tokenizer."""
    folder = tmp_path_factory.mktemp("trained")
    prepare_tokenizer(
        TokenizerSettings(vocab_size=VOCAB), make_corpus(folder, sample), folder / "tokenizer", "f"
    )
    return folder / "tokenizer"


@pytest.fixture(scope="module")
def encoder(trained: Path) -> Encoder:
    return Encoder(trained)


@pytest.fixture(scope="module")
def auto(trained: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(trained))


@pytest.fixture(scope="module")
def theirs(trained: Path) -> Any:
    return sentencepiece.SentencePieceProcessor(model_file=str(trained / "spiece.model"))


def ids(encoder: Encoder, text: str) -> list[int]:
    return encoder.encode_batch([text])[0].tolist()


# ----------------------------------------------------------------------------------------------- the folder


def test_what_is_published(trained: Path, encoder: Encoder, auto: Any) -> None:
    manifest = files.check(trained, "tokenizer")
    assert set(manifest.files) == {"tokenizer.json", "tokenizer_config.json", "spiece.model"}
    assert manifest.meta | {"settings": {}} == {
        "fingerprint": "f", "settings": {}, "pieces": VOCAB, "eos_token": "</s>", "sampled_share": 1.0,
        "characters_used": manifest.meta["characters_used"],
    }  # fmt: skip
    assert 50_000 < manifest.meta["characters_used"] < 60_000
    assert manifest.meta["settings"]["vocab_size"] >= VOCAB
    config = json.loads((trained / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast", (
        "a name that every version of transformers has"
    )
    assert "auto_map" not in config
    assert encoder.vocab_size == len(auto) == VOCAB and encoder.eos_id == auto.eos_token_id == 1
    assert (auto.pad_token_id, auto.unk_token_id, auto.bos_token_id) == (0, 2, None)
    assert auto.padding_side == "left"


def test_pieces_scores_and_ids_are_sentencepieces(trained: Path, theirs: Any) -> None:
    vocabulary = json.loads((trained / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    pieces = [theirs.id_to_piece(i) for i in range(theirs.get_piece_size())]
    scores = [theirs.get_score(i) for i in range(theirs.get_piece_size())]
    assert vocabulary == [
        [piece.replace("▁", " "), score] for piece, score in zip(pieces, scores, strict=True)
    ]
    assert sum(theirs.is_byte(i) for i in range(VOCAB)) == 256


# -------------------------------------------------------------------------------------- ids and round trips


def test_ids_on_the_corpus_are_sentencepieces(encoder: Encoder, theirs: Any, sample: str) -> None:
    lines = [line for line in sample.split("\n") if line]
    assert [row.tolist() for row in encoder.encode_batch(lines)] == theirs.encode(lines)
    assert sum(len(row) for row in encoder.encode_batch(lines)) < 0.9 * sum(map(len, lines)), (
        "pieces are used"
    )


@given(MIXED)
@settings(max_examples=200, deadline=None)
def test_ids_are_sentencepieces(encoder: Encoder, theirs: Any, text: str) -> None:
    plain = CONTROL.sub("", text)
    while CONTROL.search(plain):
        plain = CONTROL.sub("", plain)
    if not {"\0", "▁"} & set(plain):  # NUL ends a string for SentencePiece, and its sign is a space
        assert ids(encoder, plain) == theirs.encode(plain)


@pytest.mark.parametrize("text", [*TEXTS, *SPECIAL])
def test_awkward_texts_come_back(encoder: Encoder, auto: Any, text: str) -> None:
    found = ids(encoder, text)
    assert encoder.decode(found) == text and encoder.decode(np.array(found, dtype=np.int64)) == text
    assert auto.decode(found) == text


def test_no_special_token_out_of_text(encoder: Encoder, auto: Any) -> None:
    for special in SPECIAL:
        for text in (special, f"前{special}後", special * 3, f" {special}\n"):
            for found in (ids(encoder, text), auto(text)["input_ids"]):
                assert not set(found) & set(auto.all_special_ids) and auto.decode(found) == text


def test_a_copy_in_a_model_folder_gives_the_same_ids(trained: Path, tmp_path: Path, encoder: Encoder) -> None:
    copy_tokenizer(trained, tmp_path, 128)
    copied = AutoTokenizer.from_pretrained(str(tmp_path))
    assert copied.model_max_length == 128 and not (tmp_path / files.MANIFEST).exists()
    assert [copied(t)["input_ids"] for t in TEXTS] == [ids(encoder, t) for t in TEXTS]
    config = json.loads((trained / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "model_max_length" not in config, "the published one is not touched"


# ------------------------------------------------------------------------------------------------- training


def test_the_same_text_gives_the_same_bytes(trained: Path, tmp_path: Path, sample: str) -> None:
    prepare_tokenizer(
        TokenizerSettings(vocab_size=VOCAB), make_corpus(tmp_path, sample), tmp_path / "tokenizer", "f"
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model"):
        assert (tmp_path / "tokenizer" / name).read_bytes() == (trained / name).read_bytes(), name


def test_too_little_text_gives_fewer_pieces_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = make_corpus(tmp_path, "".join(f"{i}ひきのねこがいる。\n" for i in range(40)))
    manifest = prepare_tokenizer(TokenizerSettings(vocab_size=3000), corpus, tmp_path / "tokenizer", "f")
    pieces = manifest.meta["pieces"]
    assert 259 < pieces < 3000
    assert f"the text bears {pieces} pieces, not 3,000: using those" in capsys.readouterr().err
    encoder = Encoder(tmp_path / "tokenizer")
    assert encoder.vocab_size == pieces
    assert encoder.decode(ids(encoder, "いぬ🙂は知らない</s>")) == "いぬ🙂は知らない</s>"


@pytest.mark.parametrize("kind", ["bpe", "character", "mecab-wordpiece"])
def test_the_other_kinds(kind: str, tmp_path: Path, sample: str) -> None:
    corpus = make_corpus(tmp_path, sample[:20_000])
    settings = build(
        TokenizerSettings, {"kind": kind, "vocab_size": VOCAB, "dictionary": DICTIONARY.get(kind)}, ""
    )
    manifest = prepare_tokenizer(settings, corpus, tmp_path / "tokenizer", "f", MASKED)
    auto, encoder = (
        AutoTokenizer.from_pretrained(str(tmp_path / "tokenizer")),
        Encoder(tmp_path / "tokenizer"),
    )
    assert (
        manifest.meta["pieces"] == encoder.vocab_size == len(auto) and manifest.meta["eos_token"] == "[SEP]"
    )
    assert auto("ねこ")["input_ids"] == [2, *ids(encoder, "ねこ"), 3]
    assert manifest.meta.get("segmenter", "").startswith("fugashi" if kind in DICTIONARY else "")


def test_a_sample_is_told_and_noted(
    tmp_path: Path, sample: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(tmp_path, sample)
    monkeypatch.setattr(trainer, "train", lambda *_, **__: trainer.Trained(200, 50, 10**8))
    monkeypatch.setattr(
        tokenizer, "Encoder", lambda folder: SimpleNamespace(vocab_size=8000, eos_token="</s>")
    )
    manifest = prepare_tokenizer(TokenizerSettings(ram="1MB"), corpus, tmp_path / "tokenizer", "f")
    assert (manifest.meta["characters_used"], manifest.meta["sampled_share"]) == (50, 0.25)
    assert "trained on 50 of 200 characters (25.0%): tokenizer.ram is 1MB" in capsys.readouterr().err


def test_too_little_memory_is_an_input_error(tmp_path: Path, sample: str) -> None:
    with pytest.raises(
        InputError, match=r"tokenizer\.ram is 5 MB, but training unigram takes \d+MB at least"
    ):
        prepare_tokenizer(
            TokenizerSettings(ram="5MB"), make_corpus(tmp_path, sample), tmp_path / "tokenizer", "f"
        )
    assert not (tmp_path / "tokenizer").exists()


def test_a_dictionary_where_none_is_used(tmp_path: Path) -> None:
    settings = TokenizerSettings(kind="bpe", dictionary="ipadic")
    with pytest.raises(InputError, match="a tokenizer of the kind bpe takes no words from one"):
        prepare_tokenizer(settings, make_corpus(tmp_path, "一\n二\n"), tmp_path / "tokenizer", "f")


def test_more_characters_than_pieces_is_an_input_error(tmp_path: Path) -> None:
    corpus = make_corpus(
        tmp_path, "".join(chr(0x4E00 + i) + ("\n" if i % 50 == 49 else "") for i in range(2000))
    )
    with pytest.raises(InputError, match=r"vocab_size"):
        prepare_tokenizer(
            TokenizerSettings(vocab_size=300, coverage=1.0), corpus, tmp_path / "tokenizer", "f"
        )
    assert not (tmp_path / "tokenizer").exists()


# ------------------------------------------------------------------------------------- somebody's tokenizer


def test_a_taken_tokenizer_gives_the_same_ids(trained: Path, tmp_path: Path, encoder: Encoder) -> None:
    corpus = make_corpus(tmp_path, "一\n二\n")
    manifest = prepare_tokenizer(TokenizerSettings(path=str(trained)), corpus, tmp_path / "tokenizer", "g")
    assert manifest.meta["pieces"] == VOCAB
    taken = Encoder(tmp_path / "tokenizer")
    assert [ids(taken, t) for t in TEXTS] == [ids(encoder, t) for t in TEXTS]
    config = json.loads((tmp_path / "tokenizer" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_tokenizer_is_known_by_its_content(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    assert source_fingerprint(str(copy)) == source_fingerprint(str(trained))
    raw = (copy / "tokenizer.json").read_text(encoding="utf-8")
    (copy / "tokenizer.json").write_text(raw.replace("。", "、", 1), encoding="utf-8")
    assert source_fingerprint(str(copy)) != source_fingerprint(str(trained))


def edit(folder: Path, **values: object) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_folder_that_says_nothing_of_special_spellings(copy: Path, encoder: Encoder) -> None:
    edit(copy, split_special_tokens=None)
    assert AutoTokenizer.from_pretrained(str(copy))("</s>")["input_ids"] == [1], "as most folders do"
    theirs = Encoder(copy)
    assert [ids(theirs, t) for t in (*SPECIAL, *TEXTS)] == [ids(encoder, t) for t in (*SPECIAL, *TEXTS)]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_cut_json(copy: Path, name: str, share: float) -> None:
    raw = (copy / name).read_bytes()
    (copy / name).write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match="is not valid JSON: it is damaged or cut") as caught:
        load_tokenizer(copy)
    assert name in str(caught.value)


@pytest.mark.parametrize("where", ["tokenizer.json", "tokenizer_config.json"])
def test_code_of_its_own_is_refused(copy: Path, where: str) -> None:
    (copy / "evil.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\nclass T: pass\n", encoding="utf-8")
    content = json.loads((copy / where).read_text(encoding="utf-8"))
    content["auto_map"] = {"AutoTokenizer": ["evil.T", None]}
    (copy / where).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="auto_map"):
        load_tokenizer(copy)
    assert not (copy / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        "3",
        "{}",
        '{"model": {}}',
        '{"version": "1.0", "model": {"type": "Nonsense"}}',
        "[" * 50_000,
    ],
    ids=["list", "null", "number", "empty", "no model", "unknown model", "deep"],
)
def test_json_that_is_no_tokenizer(copy: Path, content: str) -> None:
    (copy / "tokenizer.json").write_text(content, encoding="utf-8")
    (copy / "spiece.model").unlink()
    with pytest.raises(InputError) as caught:
        load_tokenizer(copy)
    assert str(copy) in str(caught.value) and len(str(caught.value)) < 500


def test_a_bare_model_file_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copyfile(trained / "spiece.model", tmp_path / "spiece.model")
    with pytest.raises(InputError, match=r"found only spiece\.model, whose ids transformers would guess"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match="is a file; expected a folder"):
        load_tokenizer(tmp_path / "spiece.model")


def test_folders_that_hold_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no tokenizer\.json"):
        load_tokenizer(tmp_path)
    for name in (tmp_path / "absent", "./absent", "../x", "a b", "a/b/c"):
        with pytest.raises(InputError, match="does not exist"):
            load_tokenizer(name)


def test_a_run_folder_stands_for_its_model(copy: Path, tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "run").mkdir()
    copy.rename(tmp_path / "run" / "model")
    found = Encoder(tmp_path / "run")
    assert ids(found, "ねこ") == ids(encoder, "ねこ")
    assert source_fingerprint(str(tmp_path / "run")) == source_fingerprint(str(tmp_path / "run" / "model"))


@pytest.mark.parametrize("offline", [True, False], ids=["said offline", "no answer"])
def test_a_hub_id_without_network_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        with socket.socket() as closed:  # a port on which nobody listens
            closed.bind(("127.0.0.1", 0))
            monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    start = time.monotonic()
    with pytest.raises(InputError, match="'nobody/nothing-of-this-name' is not in the local cache") as caught:
        load_tokenizer("nobody/nothing-of-this-name")
    assert time.monotonic() - start < 5 and "connect to the network" in str(caught.value)


# ------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2GB", 2 * 10**9), ("500MB", 5 * 10**8), ("1.5 g", 15 * 10**8), ("64k", 64_000), ("1TB", 10**12),
        ("2GiB", 2 * 10**9), (" 10 ", 10), ("3b", 3), ("2.GB", 2 * 10**9),
    ],
)  # fmt: skip
def test_memory_sizes(text: str, value: int) -> None:
    assert TokenizerSettings(ram=text).ram_bytes() == value


@pytest.mark.parametrize("text", ["", "much", "GB", "-1GB", "1.2.3GB", "1,5GB", "2 GBs", "1e9", "inf"])
def test_what_is_no_memory_size_is_refused_with_the_settings(text: str) -> None:
    with pytest.raises(InputError, match="ram: expected a size such as 2GB"):
        build(TokenizerSettings, {"ram": text}, "recipe")


@pytest.mark.parametrize(
    "values",
    [
        {"vocab_size": 299},
        {"vocab_size": 10**7},
        {"kind": "word"},
        {"coverage": 0.5},
        {"dictionary": "juman"},
    ],
)
def test_settings_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        build(TokenizerSettings, values, "recipe")
