"""Which tokens start a word: groups of tokens are whole words, for every kind of tokenizer."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import fugashi
import ipadic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.text.words import insides
from tane.tokens import places, taken
from tane.tokens.encoder import Encoder
from tane.tokens.kinds import Job
from tane.tokens.kinds.bpe import Bpe
from tane.tokens.kinds.character import Character
from tane.tokens.kinds.mecab_wordpiece import MecabWordpiece
from tane.tokens.kinds.unigram import Unigram
from tane.tokens.specials import CAUSAL, MASKED

from . import small

KINDS = {"unigram": Unigram, "bpe": Bpe, "character": Character, "mecab-wordpiece": MecabWordpiece}
TAKEN = {"sentencepiece": "test_ja_model-8000.model", "gpt2": "gpt2"}
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KANA = st.text(st.sampled_from("あいのはが。、山川食べ走 ーカ\n\ta1[]\0㍿ｶﾞ"), max_size=30)


def plain(text: str) -> str:
    """Without white space, in NFKC: what is left of a text by every tokenizer."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def shown(encoder: Encoder, text: str, dictionary: str = "ipadic") -> list[str]:
    """The groups of a text as they decode."""
    [(ids, starts)] = encoder.encode_words([text], insides(dictionary))
    assert ids.tolist() == encoder.encode_batch([text])[0].tolist()
    assert starts.dtype == bool and starts.shape == ids.shape and starts[:1].all()
    places = [*np.flatnonzero(starts).tolist(), len(ids)]
    return [encoder.decode(ids[a:b]) for a, b in pairwise(places)]


def spelled(encoder: Encoder, ids: np.ndarray, starts: np.ndarray) -> list[str]:
    """The groups by the spelling of their pieces."""
    found: list[str] = []
    for number, start in zip(ids.tolist(), starts.tolist(), strict=True):
        found += [""] if start else []
        found[-1] += encoder._road.token(number)
    return found


# ------------------------------------------------------------------------------- real sentences, real words


@pytest.fixture(scope="module")
def sentences(real_data: Path) -> list[str]:
    """2,000 short sentences."""
    from python_calamine import CalamineWorkbook

    rows = CalamineWorkbook.from_path(str(real_data / "short/snow-t15-shared.xlsx")).get_sheet_by_index(0)
    table = rows.to_python()
    column = table[0].index("#やさしい日本語")
    return [str(row[column]) for row in table[1:40_000:20]]


@pytest.fixture(scope="module", params=[*KINDS, *TAKEN])
def encoder(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sentences: list[str],
    real_data: Path,
) -> Encoder:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param in TAKEN:
        taken.take(real_data / "tokenizers" / TAKEN[request.param], folder)
    else:
        specials = MASKED if request.param == "mecab-wordpiece" else CAUSAL
        # some characters must go to bytes, where there are bytes
        coverage = 1.0 if request.param == "mecab-wordpiece" else 0.99
        KINDS[request.param]().train(sentences, Job(folder, 2000, coverage, "ipadic", specials, 10**9))
    return Encoder(folder)


@pytest.fixture(scope="module")
def borders(encoder: Encoder, sentences: list[str]) -> list[set[int]]:
    """Where MeCab's words end in each sentence as `plain` has it."""
    tagger = fugashi.GenericTagger(f'-d "{ipadic.DICDIR}" -r "{ipadic.DICDIR}/mecabrc"')
    found = []
    for sentence in sentences:
        # a tokenizer that cuts words itself brings the text to NFKC first
        text = sentence if encoder.word_table is None else unicodedata.normalize("NFKC", sentence)
        lengths = [len(plain(node.surface)) for node in tagger(text)]
        assert sum(lengths) == len(plain(sentence))
        found.append({0, *np.cumsum(lengths).tolist()})
    return found


def test_groups_are_whole_words(encoder: Encoder, sentences: list[str], borders: list[set[int]]) -> None:
    found = encoder.encode_words(sentences, insides("ipadic"))
    expected = encoder.encode_batch(sentences)
    assert len(found) == len(sentences) == 2000
    groups = words = 0
    for number, (sentence, (ids, starts)) in enumerate(zip(sentences, found, strict=True)):
        assert ids.tolist() == expected[number].tolist() and starts.dtype == bool
        whole = plain(sentence)
        assert plain(encoder.decode(ids)) == whole, "else this tests nothing"
        places = np.flatnonzero(starts).tolist()
        assert places[0] == 0
        for place in places:
            before = plain(encoder.decode(ids[:place]))
            assert whole.startswith(before) and len(before) in borders[number], (sentence, place)
        groups, words = groups + len(places), words + len(borders[number]) - 1
        if number % 20 == 0:  # and no border between two tokens is missed
            lengths = [len(plain(encoder.decode(ids[:place]))) for place in range(len(ids) + 1)]
            texts = [plain(encoder.decode(ids[:place])) for place in range(len(ids))]
            for place in set(range(1, len(ids))) - set(places):
                inside_a_character = not whole.startswith(texts[place])
                no_characters = lengths[place] == lengths[place - 1]
                assert inside_a_character or no_characters or lengths[place] not in borders[number]
    assert 0.6 < groups / words <= 1.0


# ------------------------------------------------------------------------------------------ odd cases by hand


def test_bytes_of_one_character_are_one_group(tmp_path: Path) -> None:
    encoder = Encoder(small.byte_level(tmp_path))
    assert shown(encoder, "今日は山あい") == ["今日", "は", "山あい"]
    assert shown(encoder, "🙂🙃") == ["🙂🙃"] and shown(encoder, "", "script") == []


def test_a_run_of_bytes_that_was_one_unknown_piece_is_parted(tmp_path: Path) -> None:
    encoder = Encoder(small.byte_fallback(tmp_path, ["で", "す", "▁"]))
    [found] = encoder._road.backend.library.encode_batch(["犬猫山"], add_special_tokens=False)  # type: ignore[attr-defined]
    assert found.offsets.count((0, 3)) == 9, "else this tests nothing"
    assert [part.strip() for part in shown(encoder, "山と犬です")] == ["山", "と", "犬", "です"]


def test_what_a_character_was_normalised_to_is_one_group(tmp_path: Path) -> None:
    from tokenizers import normalizers

    encoder = Encoder(small.characters(tmp_path, "キロ株式会社の山", normalizers.NFKC()))
    assert shown(encoder, "㍿の㌔") == ["株式会社", "の", "キロ"]


@pytest.mark.parametrize("llama", [False, True])
def test_a_space_put_before_the_text(tmp_path: Path, llama: bool) -> None:
    encoder = Encoder(small.byte_fallback(tmp_path, ["▁", "山", "と", "川", "山と", "▁山"], llama=llama))
    assert [part.strip() for part in shown(encoder, "山と川")] == ["山と", "川"], "a piece over two words"
    assert [part.strip() for part in shown(encoder, "川 川")] == ["川", "", "川"]


def test_special_tokens_spelled_in_a_text_are_placed(tmp_path: Path) -> None:
    pieces = ["▁", "山", "川", "<", "/", "s", ">", "s>"]
    encoder = Encoder(small.byte_fallback(tmp_path, pieces))
    text = "山川</s>山 川</s>川"
    inside = np.zeros(len(text), dtype=bool)
    inside[[1, 13]] = True  # words as no dictionary has them: 山川, and >川 at the end
    [(ids, starts)] = encoder.encode_words([text], lambda _: inside)
    assert encoder.eos_id not in ids and ids.tolist() == encoder.encode_batch([text])[0].tolist()
    # this one puts a space before whatever it is given, so also before what follows a cut
    expected = ["▁山川", "<", "▁/", "s>", "山", "▁", "川", "<", "▁/", "s>川"]
    assert spelled(encoder, ids, starts) == expected


@given(st.one_of(ANY, KANA))
@settings(max_examples=150, deadline=None)
def test_any_text_keeps_its_ids(sound: list[Encoder], text: str) -> None:
    for encoder in sound:
        for dictionary in ("ipadic", "script"):
            shown(encoder, text, dictionary)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Encoder]:
    makers: list[Callable[[Path], Path]] = [
        small.byte_level,
        lambda folder: small.byte_fallback(folder, ["あ", "▁", "い", "~"]),
        lambda folder: small.wordpiece(folder, ["ねこ", "##いぬ"]),
        lambda folder: small.japanese_bert(folder, ["あ", "##い", "食べ", "山"]),
    ]
    return [Encoder(make(tmp_path_factory.mktemp("sound"))) for make in makers]


# ------------------------------------------------------------------------- tokenizers that tell no places


def test_a_class_of_its_own_over_the_library(tmp_path: Path) -> None:
    folder = small.byte_level(tmp_path)
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace("PreTrainedTokenizerFast", "GPT2Tokenizer"))
    merges = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(merges["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text(
        "\n".join(" ".join(pair) for pair in merges["merges"]), encoding="utf-8"
    )
    encoder = Encoder(folder)
    assert type(encoder._road).__name__ == "_Transformers"
    assert shown(encoder, "今日は山あい") == ["今日", "は", "山あい"]


def groups_of(encoder: Encoder, text: str) -> list[str]:
    [(ids, starts)] = encoder.encode_words([text], insides("ipadic"))
    return spelled(encoder, ids, starts)


@pytest.fixture
def by_character(tmp_path: Path) -> Encoder:
    """BertJapaneseTokenizer that cuts MeCab's words to characters, without ##."""
    folder = small.japanese_bert(tmp_path, [*"今日は山川食べたabc"])
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"subword_tokenizer_type": "character"}), encoding="utf-8")
    return Encoder(folder)


def test_pieces_are_followed_along_the_text(by_character: Encoder) -> None:
    assert by_character.word_table is None
    assert groups_of(by_character, "今日は 山へ\u3000食べた") == ["今日", "は", "山", "[UNK]", "食べ", "た"]
    assert groups_of(by_character, "㍿今日は") == ["[UNK]" * 4, "今日", "は"], "株式会社 in NFKC"
    assert groups_of(by_character, "") == [] and groups_of(by_character, "ＡＢ") == ["[UNK]" * 2]


def test_pieces_of_lower_case_are_followed(by_character: Encoder) -> None:
    inside = insides("ipadic")
    assert places.starts_of_pieces(["a", "b", "c", "山"], "[UNK]", "ABC山", inside).tolist() == [
        True, False, False, True,
    ]  # fmt: skip


def test_pieces_that_are_not_the_text_are_told_by_their_marks() -> None:
    inside = insides("ipadic")
    found = places.starts_of_pieces(["##x", "y", "##z", "w"], None, "今日は", inside)
    assert found.tolist() == [True, True, False, True]


def test_unknown_pieces_reach_to_the_next_known_one() -> None:
    inside = insides("script")
    found = places.starts_of_pieces(["[UNK]", "山", "[UNK]", "[UNK]"], "[UNK]", "カキ山クケ", inside)
    assert found.tolist() == [True, True, True, False]
    found = places.starts_of_pieces(["▁カ", "キ", "▁", "山"], "<unk>", "カキ 山", inside)
    assert found.tolist() == [True, False, True, True]


def test_starts_by_hand() -> None:
    inside = np.array([False, True, False, True, True])
    begins, ends = np.array([0, 0, 1, 2, 2, 3]), np.array([0, 1, 3, 3, 3, 5])
    assert places.starts_of(begins, ends, inside).tolist() == [True, True, False, False, False, False]
    assert places.starts_of(np.array([2, 5]), np.array([5, 5]), inside).tolist() == [True, True]


def test_bytes_are_spread_only_where_they_are_characters() -> None:
    first, later = np.array([1, 2]), np.array([3])
    ids, begins, ends = np.array([9, 1, 3, 2, 9]), np.array([0, 1, 1, 1, 3]), np.array([1, 3, 3, 3, 4])
    moved = places.spread_bytes(ids, begins, ends, first, later)
    assert [row.tolist() for row in moved] == [[0, 1, 1, 2, 3], [1, 2, 2, 3, 4]]
    for other in (np.array([9, 1, 3, 3, 9]), np.array([9, 1, 9, 2, 9])):  # one character; not only bytes
        kept = places.spread_bytes(other, begins, ends, first, later)
        assert [row.tolist() for row in kept] == [begins.tolist(), ends.tolist()]
