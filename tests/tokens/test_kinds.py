"""Each kind with both sets of special tokens: equal bytes each time, transformers' ids, texts come back."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tane import registry
from tane.errors import InputError
from tane.text import words
from tane.tokens import kinds
from tane.tokens.encoder import Encoder
from tane.tokens.kinds.mecab_wordpiece import count_words
from tane.tokens.kinds.unigram import LONGEST, sentences
from tane.tokens.specials import CAUSAL, MASKED, Specials

NAMES = ("unigram", "bpe", "character", "mecab_wordpiece")
SETS = {"causal": CAUSAL, "masked": MASKED}
# a masked set's folder takes "[MASK]" for the mask, as fill-mask needs it, unless told that it is text
AS_TEXT: dict[str, dict[str, bool]] = {"causal": {}, "masked": {"split_special_tokens": True}}
VOCAB = 1200
TEXTS = [
    "", " ", "  二つ の空白 ", "改行\nあり\n\n", "タブ\tと\r\n復帰", "絵文字🙂👨‍👩‍👧‍👦と🇯🇵", "ﾊﾝｶｸとＡＢＣ",
    "\u3000全角の空白", "</s>", "終わり</s>の後", "<0x0A>は改行ではない", "<0x0a>", "[MASK]", "[CLS] a [SEP]",
    "<pad><unk></s>", "[UNK][PAD]", "<<0x41>>", "\x01\x7f", "\ufeff印", "\u2028行\u0085", "𠮷野家", "a" * 300,
    "名前。" * 50, "##あ", "\u2581", "a\u2581 b \u2581", "ねこがねている。",
]  # fmt: skip
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KANA = st.text(st.sampled_from("あいうえおかきくけこのはがをに。、「」ねこ山川 \n\t<>/s0xAF[]▁"), max_size=40)
NAMED = st.sampled_from([*CAUSAL.tokens(), *MASKED.tokens(), "<0x0A>", "<0xFF>", *TEXTS])
MIXED = st.lists(st.one_of(ANY, KANA, NAMED), max_size=5).map("".join)


def job(folder: Path, specials: Specials, **values: Any) -> kinds.Job:
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {"vocab_size": VOCAB, "coverage": 0.9995, "dictionary": "ipadic", "memory": 10**9, **values}
    return kinds.Job(folder, specials=specials, **chosen)


def train(name: str, text: str, folder: Path, specials: Specials, **values: Any) -> Path:
    registry.find(kinds.KIND, name)().train([text], job(folder, specials, **values))
    return folder


@pytest.fixture(scope="module")
def sample(sample_text: Path) -> str:
    return sample_text.read_text(encoding="utf-8")[:60_000]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample: str) -> Callable[..., Path]:
    """The folder of a trained tokenizer, by kind and name of the set."""
    place = tmp_path_factory.mktemp("kinds")

    @functools.cache
    def made(name: str, chosen: str) -> Path:
        return train(name, sample, place / name / chosen, SETS[chosen])

    return made


@functools.cache
def encoder_of(folder: Path) -> Encoder:
    return Encoder(folder)


@functools.cache
def auto_of(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(folder))


def ids(encoder: Encoder, text: str) -> list[int]:
    return encoder.encode_batch([text])[0].tolist()


every = pytest.mark.parametrize(("name", "chosen"), [(n, s) for n in NAMES for s in SETS])
exact = pytest.mark.parametrize(
    ("name", "chosen"), [(n, s) for n in NAMES[:3] for s in SETS if (n, s) != ("character", "masked")]
)


def test_the_kinds() -> None:
    assert set(registry.names(kinds.KIND)) == set(NAMES)


# --------------------------------------------------------------------------------------------- what is saved


@every
def test_the_same_text_gives_the_same_bytes(
    name: str, chosen: str, folder: Callable[..., Path], sample: str, tmp_path: Path
) -> None:
    again = train(name, sample, tmp_path / "again", SETS[chosen])
    expected = {path.name: path.read_bytes() for path in folder(name, chosen).iterdir()}
    assert {path.name: path.read_bytes() for path in again.iterdir()} == expected


@every
def test_special_tokens_have_the_first_ids(name: str, chosen: str, folder: Callable[..., Path]) -> None:
    auto, specials = auto_of(folder(name, chosen)), SETS[chosen]
    tokens = specials.tokens()
    assert auto.convert_ids_to_tokens(list(range(len(tokens)))) == tokens
    assert (auto.pad_token, auto.unk_token, auto.mask_token) == (specials.pad, specials.unk, specials.mask)
    assert auto.eos_token == specials.eos and set(auto.all_special_tokens) == set(tokens)
    if chosen == "causal":
        assert tokens == ["<pad>", "</s>", "<unk>"] and auto.padding_side == "left"
    else:
        assert tokens == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] and auto.padding_side == "right"
        assert (auto.cls_token, auto.sep_token) == ("[CLS]", "[SEP]")


@every
def test_as_many_pieces_as_asked_for(name: str, chosen: str, folder: Callable[..., Path]) -> None:
    encoder = encoder_of(folder(name, chosen))
    assert encoder.vocab_size == len(auto_of(folder(name, chosen)))
    assert encoder.vocab_size == VOCAB if name != "character" else encoder.vocab_size <= VOCAB


@every
def test_special_tokens_round_a_text(name: str, chosen: str, folder: Callable[..., Path]) -> None:
    auto, encoder = auto_of(folder(name, chosen)), encoder_of(folder(name, chosen))
    one, two = ids(encoder, "ねこ"), ids(encoder, "いぬ")
    assert auto("ねこ", add_special_tokens=False)["input_ids"] == one
    if chosen == "masked":
        assert auto("ねこ")["input_ids"] == [2, *one, 3]
        assert auto("ねこ", "いぬ")["input_ids"] == [2, *one, 3, *two, 3]
        assert auto("ねこ[MASK]いぬ")["input_ids"] == [2, *one, 4, *two, 3]
    elif name == "mecab_wordpiece":  # BertJapaneseTokenizer cannot do without
        assert auto("ねこ")["input_ids"] == [1, *one, 1]
    else:
        assert auto("ねこ")["input_ids"] == one


# -------------------------------------------------------------------------------------- ids and round trips


@every
def test_ids_are_those_of_transformers(
    name: str, chosen: str, folder: Callable[..., Path], sample: str
) -> None:
    auto, encoder = auto_of(folder(name, chosen)), encoder_of(folder(name, chosen))
    for text in [*TEXTS, *sample.split("\n")[:100]]:
        found = ids(encoder, text)
        assert auto(text, add_special_tokens=False, **AS_TEXT[chosen])["input_ids"] == found, text
        back = auto.decode(found, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert encoder.decode(found) == back
        assert not set(found) & (set(auto.all_special_ids) - {encoder.unk_id}), (
            "no special token out of a text"
        )


@every
def test_specials_are_left_out_of_decoded_text(name: str, chosen: str, folder: Callable[..., Path]) -> None:
    encoder = encoder_of(folder(name, chosen))
    special = list(range(len(SETS[chosen].tokens())))
    assert encoder.decode([*special, *ids(encoder, "ねこ"), *special]) == "ねこ"


@exact
@given(MIXED)
@settings(max_examples=80, deadline=None)
@example("</s>")
@example("<</s>")
@example("\0")
def test_any_text_comes_back(name: str, chosen: str, folder: Callable[..., Path], text: str) -> None:
    encoder, auto = encoder_of(folder(name, chosen)), auto_of(folder(name, chosen))
    found = ids(encoder, text)
    assert encoder.decode(found) == text and auto.decode(found) == text
    assert auto(text, add_special_tokens=False, **AS_TEXT[chosen])["input_ids"] == found
    assert not set(found) & set(auto.all_special_ids)


@exact
def test_the_sample_comes_back_whole(
    name: str, chosen: str, folder: Callable[..., Path], sample: str
) -> None:
    encoder = encoder_of(folder(name, chosen))
    assert encoder.decode(ids(encoder, sample)) == sample


@pytest.mark.parametrize("name", NAMES)
def test_a_long_line_is_no_special_case(name: str, folder: Callable[..., Path], sample: str) -> None:
    line = ("".join(sample.split()) * 3)[:100_000]  # 300 kB without a space or newline
    assert len(line) == 100_000
    encoder = encoder_of(folder(name, "causal"))
    found = ids(encoder, line)
    assert 0 < len(found) < 1.01 * len(line)
    if name != "mecab_wordpiece":
        assert encoder.decode(found) == line


# -------------------------------------------------------------------------------------------- SentencePiece


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_a_space_is_one_piece_also_where_the_text_has_none(name: str, tmp_path: Path, sample: str) -> None:
    encoder = Encoder(train(name, "".join(sample.split(" ")), tmp_path, CAUSAL))
    space = ids(encoder, " ")
    assert len(space) == 1 and ids(encoder, "a b")[1:2] == space


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_no_line_is_skipped(name: str, tmp_path: Path, sample: str) -> None:
    odd = "魚\tが鳥\0の木" + "森" * (2 * LONGEST)
    encoder = Encoder(train(name, f"{sample}\n" + f"{odd}\n" * 20, tmp_path, CAUSAL))
    assert all(len(ids(encoder, letter)) == 1 for letter in "魚鳥木森")


@given(MIXED)
@settings(max_examples=60, deadline=None)
def test_sentences_leave_nothing_out_but_line_ends(text: str) -> None:
    found = list(sentences(text))
    assert "".join(found) == text.replace("\n", "")
    assert all(s and "\n" not in s and len(s) <= LONGEST for s in found)


def test_long_sentences_are_cut_never_skipped() -> None:
    text = "あ" * (2 * LONGEST + 1) + "。「い。」う"
    found = list(sentences(text))
    assert [len(s) for s in found[:2]] == [LONGEST, LONGEST] and "".join(found) == text
    assert "「い。」" in found and found[-1] == "う"


# ------------------------------------------------------------------------------------------------ characters


def test_characters_by_frequency_up_to_the_coverage(tmp_path: Path) -> None:
    text = "あ" * 500 + "い" * 300 + "う\n" * 99 + "𠮷"
    encoder = Encoder(train("character", text, tmp_path / "a", CAUSAL, coverage=0.998))
    assert ids(encoder, "あい") == [259, 260] and {*ids(encoder, "\nう")} == {261, 262}
    assert ids(encoder, "𠮷") == [3 + byte for byte in "𠮷".encode()], "a rare character is its bytes"
    assert encoder.vocab_size == 263
    few = Encoder(train("character", text, tmp_path / "b", CAUSAL, coverage=1.0, vocab_size=260))
    assert few.vocab_size == 260 and ids(few, "あ") == [259] and len(ids(few, "い")) == 3


def test_a_rare_character_is_unknown_to_a_masked_model(tmp_path: Path) -> None:
    encoder = Encoder(train("character", "あ" * 1000 + "い", tmp_path, MASKED, coverage=0.99))
    assert ids(encoder, "あいいあ") == [5, 1, 1, 5] and encoder.vocab_size == 6


# --------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("dictionary", ["ipadic", "unidic-lite", "sudachi"])
def test_words_are_few_pieces_and_seldom_unknown(dictionary: str, tmp_path: Path, sample: str) -> None:
    encoder = Encoder(train("mecab_wordpiece", sample, tmp_path, MASKED, dictionary=dictionary))
    auto = AutoTokenizer.from_pretrained(str(tmp_path))
    assert type(auto).__name__ == "BertJapaneseTokenizer"
    lines = sample.split("\n")
    found = encoder.encode_batch(lines)
    for line, row in list(zip(lines, found, strict=True))[::10]:
        assert auto(line, add_special_tokens=False)["input_ids"] == row.tolist()
    together = [int(i) for row in found for i in row]
    segmenter = words.segmenter(dictionary)
    cut = [word for line in lines for word in segmenter.words(line)]
    assert len(together) < 1.3 * len(cut) and together.count(1) < 0.001 * len(together)


def test_characters_of_words_in_both_forms(tmp_path: Path, sample: str) -> None:
    folder = train("mecab_wordpiece", sample, tmp_path, MASKED, vocab_size=4000, coverage=1.0)
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(set(pieces)) == len(pieces) <= 4000
    characters = {c for c in unicodedata.normalize("NFKC", sample) if not c.isspace()}
    assert characters | {f"##{character}" for character in characters} <= set(pieces)
    assert len(pieces) > 5 + 2.5 * len(characters), "longer ones too"


def test_forms_that_do_not_occur_leave_half_to_longer_pieces(tmp_path: Path, sample: str) -> None:
    folder = train("mecab_wordpiece", sample, tmp_path, MASKED, vocab_size=1500)
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[5:-1]
    characters = [piece for piece in pieces if len(piece.removeprefix("##")) == 1]
    assert len(pieces) == 1495 and len(characters) == 750


def test_too_small_a_vocabulary_for_the_characters(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + i) + "。" for i in range(600))
    for name in ("unigram", "bpe", "mecab_wordpiece"):
        with pytest.raises(InputError, match=r"tokenizer\.vocab_size is 300, but the characters") as caught:
            train(name, text, tmp_path / name, CAUSAL, vocab_size=300, coverage=1.0)
        assert "--tokenizer.vocab_size" in caught.value.remedy


class Spaces:
    """Words are what stands between spaces."""

    def words(self, text: str) -> list[str]:
        return text.split()


def test_counting_words_keeps_to_its_room() -> None:
    texts = [f"often often {number} {number} rare{number}" for number in range(1000)]
    assert count_words(texts, Spaces(), 10_000)["often"] == 2000
    found = count_words(texts, Spaces(), 100)
    assert len(found) <= 100 and found["often"] == 2000
    assert count_words(["a " + "b" * 101], Spaces(), 100) == {"a": 1}, "too long for BertJapaneseTokenizer"


def test_a_text_of_white_space_gives_the_characters_alone(tmp_path: Path) -> None:
    encoder = Encoder(train("mecab_wordpiece", " \n ", tmp_path, MASKED))
    assert encoder.vocab_size == 5 and ids(encoder, "ねこ") == [1]
