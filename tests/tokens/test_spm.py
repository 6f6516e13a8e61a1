"""SentencePiece models converted: SentencePiece's ids on every text, before and after AutoTokenizer."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from tane.errors import InputError
from tane.tokens import spm, spm_model
from tane.tokens.encoder import Encoder
from tests.tokens import models
from tests.tokens.models import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED

ODD = [
    "", " ", "   ", "a  b", " a ", "\t", "あ\tい", "\u3000全角\u3000\u3000空白\u3000", "ＡＢＣ１２３",
    "㍻①㌔ﷺ", "ﾊﾞﾋﾟｶﾞ", "か\u3099は\u309a\u3099", "A\u0301\u0323e\u0323\u0301", "Ａ\u0301", "\u0301",
    "x\u0301\u0301y", "👨\u200d👩\u200d👧🏻🇯🇵", "a\u200db", "각", "\u1100\u1161\u11a8", "\x01", "\x01\x01a",
    "a\x7f\u0301", "\x00", "a\x00b", "\ufeff", "\ufeffあ", "\u2028", "\r\n", "x\r\ny", "\n\n", "▁", "▁▁",
    " ▁ ", "a▁", "▁a", "▁ a ▁ b", "</s>", "<s>a</s>", "<unk>", "<pad>", "<0x0A>", "<0x0a>", "<0xFF><0x41>",
    "</s", "<</s>>", "[MASK]", "<sep>", "<sep>\u0338", "a<sep>b", "日本", "\u0344", "\u00b4", "゛が", "0000",
    "ああああああ", "wwwwwwwww", "𠮷野家", "\U0010fffd", "\U0010fffd0\u0301", "\U00100000", "\U0010ffff",
    "ﬁ½", "İı", "ΑΣ ᾳ Ω\u0345",
]  # fmt: skip
MARKS = st.sampled_from("\u3099\u309a\u0301\u0323\u0345\u200d\ufe0fﾞﾟ\u1161\u11a8\U0001f3fb")
PLAIN = st.sampled_from("あかがハｶﾊＡＢabe 　▁\t\n①㍻ㄱ가\u1100<>/s0xA日本000、。\U0010fffd12")
ANY = st.characters(exclude_categories=["Cs"])
TEXT = st.lists(st.one_of(MARKS, PLAIN, PLAIN, ANY, st.sampled_from(ODD)), max_size=12).map("".join)
NORMALISATIONS = ("identity", "nmt_nfkc", "nfkc_cf")
PAIRS = [  # each two choices meet: type, bytes, normalisation, dummy prefix and extra spaces, symbols
    ("unigram", False, "identity", True, True),
    ("unigram", True, "identity", False, False),
    ("unigram", False, "nmt_nfkc", False, False),
    ("unigram", True, "nfkc_cf", True, True),
    ("bpe", True, "identity", True, False),
    ("bpe", False, "identity", False, True),
    ("bpe", True, "nmt_nfkc", False, True),
]


@pytest.fixture(scope="module")
def lines(sample_text: Path) -> list[str]:
    return sample_text.read_text(encoding="utf-8").split("\n")[:400]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> Any:
    """Models by their choices, each trained once."""
    folder = tmp_path_factory.mktemp("models")
    known: dict[tuple[Any, ...], Path] = {}

    def get(kind: str, in_bytes: bool, normalisation: str, spaces: bool, symbols: bool) -> Path:
        key = (kind, in_bytes, normalisation, spaces, symbols)
        if key not in known:
            known[key] = models.train(
                folder / f"{len(known)}.model", lines, model_type=kind, byte_fallback=in_bytes,
                normalization_rule_name=normalisation, add_dummy_prefix=spaces,
                remove_extra_whitespaces=spaces, user_defined_symbols=models.SYMBOLS if symbols else [],
            )  # fmt: skip
        return known[key]

    return get


class Pair:
    """A model read by SentencePiece and by its conversion."""

    def __init__(self, path: Path) -> None:
        self.model = spm_model.read(path)
        self.theirs = self.model.processor()
        self.ours: Tokenizer = spm.convert(path)
        self.ours.encode_special_tokens = True

    def wrong(self, texts: list[str], rows: list[list[int]] | None = None) -> tuple[list[str], int]:
        """Texts whose ids differ, and how many differ in ties alone."""
        found = rows or [e.ids for e in self.ours.encode_batch_fast(texts, add_special_tokens=False)]
        wanted = self.theirs.encode(texts)
        differ = [i for i, row in enumerate(found) if row != wanted[i]]
        bad = [texts[i] for i in differ if not spm.same_ids(self.model, wanted[i], found[i])]
        return bad, len(differ) - len(bad)


def odd_texts(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    letters = [*ODD, *"あかがハｶﾊﾞ゙aAb \u3099\u0301\u200d\u0338①▁<>/s0ですは\n"]
    return ODD + ["".join(chance.choices(letters, k=chance.randrange(1, 9))) for _ in range(count)]


# ------------------------------------------------------------------------------------------ trained models


@pytest.mark.parametrize("choices", PAIRS, ids=lambda choices: "-".join(map(str, choices)))
def test_a_trained_model_gives_its_ids_and_texts(trained: Any, choices: Any, lines: list[str]) -> None:
    pair = Pair(trained(*choices))
    texts = lines + odd_texts(3000, 1)
    bad, ties = pair.wrong(texts)
    assert not bad and ties < len(texts) / 200
    for text, ids in zip(texts, pair.theirs.encode(texts), strict=True):
        wanted = pair.theirs.decode(ids)
        # "▁" that came as bytes stays "▁" there and is a space here, as one that came as a piece
        if pair.model.unk_id not in ids and "▁" not in wanted:
            assert pair.ours.decode(ids) == wanted, text


@pytest.mark.slow
@pytest.mark.parametrize(
    "choices",
    itertools.product(("unigram", "bpe"), (False, True), NORMALISATIONS, (False, True), (False, True)),
    ids=lambda choices: "-".join(map(str, choices)),
)
def test_every_choice_of_a_trained_model(trained: Any, choices: Any, lines: list[str]) -> None:
    bad, _ = Pair(trained(*choices)).wrong(lines + odd_texts(20_000, 2))
    assert not bad


@pytest.mark.parametrize("seed", range(6))
def test_bpe_merges_the_leftmost_of_the_same_piece(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    letters = "ab" if seed % 2 else "abc"

    def text() -> str:
        parts = (chance.choice(letters) * chance.randrange(1, 12), "".join(chance.choices(letters, k=3)) * 4)
        return "".join(chance.choice(parts) for _ in range(chance.randrange(1, 8)))

    path = models.train(
        tmp_path / "m.model", [text() for _ in range(300)], model_type="bpe", vocab_size=140 + seed,
        character_coverage=1.0, normalization_rule_name="identity", max_sentencepiece_length=24,
    )  # fmt: skip
    assert Pair(path).wrong([text() for _ in range(3000)]) == ([], 0)


# --------------------------------------------------------------------------------------------- real models

REAL = ("test_ja_model-8000.model", "wiki-ja-albert-32000.model")


@pytest.fixture(scope="module")
def paragraphs(real_data: Path) -> list[str]:
    found = []
    for path in sorted((real_data / "ja").glob("*.txt*")):
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        found += [line for line in text.split("\n") if line]
    return found


@pytest.fixture(scope="module")
def real(real_data: Path) -> dict[str, Pair]:
    return {name: Pair(real_data / "tokenizers" / name) for name in REAL}


@pytest.mark.parametrize("name", REAL)
def test_every_fifth_paragraph(real: dict[str, Pair], paragraphs: list[str], name: str) -> None:
    bad, ties = real[name].wrong(paragraphs[::5])
    assert not bad and ties <= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_every_paragraph(real: dict[str, Pair], paragraphs: list[str], name: str) -> None:
    bad, ties = real[name].wrong(paragraphs)
    assert not bad and ties <= 40, "SentencePiece's own versions differ on 25"


@pytest.mark.parametrize("name", REAL)
def test_saved_and_opened_by_autotokenizer(
    real: dict[str, Pair], real_data: Path, paragraphs: list[str], name: str, tmp_path: Path
) -> None:
    spm.save(real_data / "tokenizers" / name, tmp_path)
    auto = AutoTokenizer.from_pretrained(str(tmp_path))
    pair, texts = real[name], [*ODD, *paragraphs[::50]]
    assert len(auto) == len(pair.model.pieces)
    as_text = {"split_special_tokens": True} if auto.mask_token else {}
    bad, ties = pair.wrong(texts, auto(texts, **as_text)["input_ids"])
    assert not bad and ties <= 3, "and nothing is added"
    for text in paragraphs[::500]:
        ids = pair.theirs.encode(text)
        if pair.model.unk_id not in ids:
            assert auto.decode(ids) == pair.theirs.decode(ids)


@given(TEXT)
@settings(max_examples=400, deadline=None)
@example("ﾊﾞ")
@example("か\u3099")
@example("Ａ\u0301")
@example("\r\n")
def test_any_text(real: dict[str, Pair], text: str) -> None:
    for pair in real.values():
        assert pair.wrong([text])[0] == []


# -------------------------------------------------------------------------- pieces that no text may become

LETTERS = [(c, -5.0 - i / 8, NORMAL) for i, c in enumerate("</s>0xA▁padunko")]
HIDDEN = [("<unk>", 0.0, UNKNOWN), ("</s>", 0.0, CONTROL), ("<pad>", 0.0, CONTROL)]
BYTES = [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
LONG = ["unko" * 5 + "雪", "雪pad霜", "padunkopadunkop", "<霰>"]
SPELLED = ["</s>", "a</s>b", "<</s>>", "</s></s>", "<pad></s", "<unk>x<pad>", "<0x0A>", "s></s></s"]


@pytest.mark.parametrize(
    ("pieces", "options"),
    [
        ([*HIDDEN, *LETTERS], {}),
        ([*HIDDEN, *LETTERS, ("</", -3.0, NORMAL), ("<s", -3.5, NORMAL), ("x<", -3.6, NORMAL)], {}),
        ([*HIDDEN, *LETTERS, *((p, -3.0, NORMAL) for p in ("</", "/s", "s>", "<p", "pa", "ad", "d>"))], {}),
        ([*HIDDEN, ("あ", -2.0, NORMAL), ("うえ", -3.0, NORMAL)], {}),
        ([*HIDDEN, ("<s>", 0.0, CONTROL), ("あ", -2.0, NORMAL), ("<sep>", 0.0, USER_DEFINED)], {}),
        ([*HIDDEN, *BYTES, *LETTERS, ("x0", -4.0, NORMAL)], {"byte_fallback": True}),
        ([*HIDDEN, *LETTERS, ("so", -1.0, UNUSED), ("ス", -1.0, UNUSED), ("on", -2.0, NORMAL)], {}),
        ([*HIDDEN, *LETTERS, ("xx", -9.0, NORMAL), ("<p", -3.0, USER_DEFINED), ("ん", 0, USER_DEFINED)], {}),
        (
            [*HIDDEN, *LETTERS, ("unko", -1.0, NORMAL), *((s, 0.0, USER_DEFINED) for s in LONG)],
            {},
        ),
    ],
    ids=[
        "letters",
        "cut elsewhere",
        "no cut",
        "unknown",
        "unknown in a symbol",
        "bytes",
        "unused",
        "symbols",
        "long symbols",
    ],
)
def test_hidden_pieces_stay_text(tmp_path: Path, pieces: Any, options: Any) -> None:
    pair = Pair(models.build(tmp_path / "m.model", pieces, **options))
    chance = random.Random(0)
    parts = [*SPELLED, *"<>/spadunkおx0Aス ", "so", "on", "ん", "<s>", "<sep>", *LONG]
    texts = SPELLED + ["".join(chance.choices(parts, k=5)) for _ in range(3000)]
    assert pair.wrong(texts)[0] == []


def test_hidden_pieces_that_cannot_stay_text_are_refused(tmp_path: Path) -> None:
    pieces = [*HIDDEN, *LETTERS, *((p, -3.0, NORMAL) for p in ("</", "/s", "s>", "x?"))]
    path = models.build(tmp_path / "m.model", pieces)
    with pytest.raises(InputError, match=r"cannot be converted exactly: nothing keeps '</s>'"):
        spm.convert(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": 3}, "word or character type"),
        ({"model_type": 4}, "word or character type"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix"),
    ],
)
def test_what_cannot_be_exact_is_refused(tmp_path: Path, change: Any, match: str) -> None:
    path = models.build(tmp_path / "m.model", [*HIDDEN, *LETTERS], **change)
    with pytest.raises(InputError, match=match) as caught:
        spm.convert(path)
    assert str(path) in str(caught.value) and "--tokenizer.kind" in str(caught.value)


def test_bpe_pieces_of_the_same_score_that_may_overlap_are_refused(tmp_path: Path) -> None:
    pieces = [*HIDDEN, *((c, -9.0, NORMAL) for c in "abc"), *((p, -1.0, NORMAL) for p in ("ab", "ba", "bc"))]
    with pytest.raises(InputError, match="several of its pieces have the same score"):
        spm.convert(models.build(tmp_path / "m.model", pieces, model_type=2))
    pieces[-2] = ("cc", -1.0, NORMAL)
    pair = Pair(models.build(tmp_path / "m.model", pieces, model_type=2))
    assert pair.wrong(["abcc", "abc", "bccab", "aabbcc"]) == ([], 0), "in the right order they are not"


# ---------------------------------------------------------------------------------------------- the folder


def test_what_is_saved(trained: Any, tmp_path: Path) -> None:
    path = trained(*PAIRS[0])
    spm.save(path, tmp_path, padding_side="right")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "spiece.model", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert (tmp_path / "spiece.model").read_bytes() == path.read_bytes()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config == {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "model_input_names": ["input_ids", "attention_mask"],
        "split_special_tokens": True, "clean_up_tokenization_spaces": False, "padding_side": "right",
    }  # fmt: skip
    auto = AutoTokenizer.from_pretrained(str(tmp_path))
    assert (auto.unk_token_id, auto.bos_token_id, auto.eos_token_id, auto.pad_token_id) == (0, 1, 2, None)


def test_special_tokens_are_the_models_own_control_pieces(lines: list[str], tmp_path: Path) -> None:
    path = models.train(
        tmp_path / "m.model", lines, normalization_rule_name="identity", pad_id=0, unk_id=1, bos_id=-1,
        eos_id=-1, pad_piece="[PAD]", control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["[MASK]"],
    )  # fmt: skip
    spm.save(path, tmp_path)
    auto = AutoTokenizer.from_pretrained(str(tmp_path))
    assert auto.special_tokens_map == {
        "unk_token": "<unk>", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]",
    }  # fmt: skip
    ids = models.processor(path).encode("東京[CLS]は[MASK]です[SEP]")
    assert auto("東京[CLS]は[MASK]です[SEP]")["input_ids"] == ids and auto.vocab["[MASK]"] in ids
    plain = auto("です。")["input_ids"]
    assert auto.decode([2, *plain, 3], skip_special_tokens=True) == auto.decode(plain) == "です。"


def test_a_mask_is_found_in_a_text_but_never_in_one_that_is_trained_on(
    lines: list[str], tmp_path: Path
) -> None:
    control = ["[CLS]", "[SEP]", "[MASK]"]
    path = models.train(
        tmp_path / "m.model", lines, normalization_rule_name="identity", add_dummy_prefix=False,
        pad_id=0, unk_id=1, bos_id=-1, eos_id=2, control_symbols=control,
    )  # fmt: skip
    (tmp_path / "folder").mkdir()
    spm.save(path, tmp_path / "folder")
    config = json.loads((tmp_path / "folder" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["mask_token"] == "[MASK]" and "split_special_tokens" not in config
    auto = AutoTokenizer.from_pretrained(str(tmp_path / "folder"))
    before, after = (models.processor(path).encode(text) for text in ("東京は", "です。"))
    assert auto("東京は[MASK]です。")["input_ids"] == [*before, auto.mask_token_id, *after]
    texts = ["東京は[MASK]です。", "[CLS]</s>[SEP]", "[MASK][MASK]"]
    for text, ids in zip(texts, Encoder(tmp_path / "folder").encode_batch(texts), strict=True):
        assert ids.tolist() == models.processor(path).encode(text)
        assert not {*range(6)} - {auto.unk_token_id} & {*ids.tolist()}


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes_in_any_process(trained: Any, tmp_path: Path) -> None:
    code = "import sys, pathlib; from tane.tokens import spm; spm.save(*map(pathlib.Path, sys.argv[1:]))"
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        arguments = [sys.executable, "-c", code, str(trained(*PAIRS[3])), str(tmp_path / seed)]
        subprocess.run(arguments, env=environment, check=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
