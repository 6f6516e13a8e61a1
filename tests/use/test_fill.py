"""Fills of masks: those of transformers' pipeline, in order, for whole words too."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tane.cli import main
from tane.errors import InputError, Interrupted
from tane.use import fill
from tane.use.fill import fill_mask
from tests.tokens.small import japanese_bert
from tests.use.masked_models import POSITIONS, save_bert, save_gpt2, train_tokenizer

KINDS = ("unigram", "bpe", "character", "mecab_wordpiece")
TEXTS = [
    "秋には、[MASK]が木から落ちる。", "[MASK]", "[MASK][MASK]で 遊ぶ[MASK]", "ﾊﾝｶｸ[MASK]Ａ\n[MASK] 犬",
    "犬は[SEP]と[MASK]。",
]  # fmt: skip
PIPELINE = """
import json, sys
sys.modules["tane"] = None  # so that it cannot be imported
from transformers import pipeline
texts = json.loads(sys.argv[1])
found = {}
for folder in sys.argv[2:]:
    fill = pipeline("fill-mask", model=folder, top_k=60)
    found[folder] = [fill(text) for text in texts]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def text(sample_text: Path) -> str:
    return sample_text.read_text(encoding="utf-8")[:40_000]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, text: str) -> Callable[[str], Path]:
    place = tmp_path_factory.mktemp("fill")

    @cache
    def made(kind: str) -> Path:
        return save_bert(place / kind, train_tokenizer(kind, place / kind, text))

    return made


def fills(model: Path, texts: str | list[str], **options: Any) -> list[list[dict[str, Any]]]:
    return fill_mask(model, texts, **options).metrics["fills"]


# --------------------------------------------------------------------------------------- single tokens


def test_fills_are_those_of_the_pipeline_in_a_process_without_tane(folder: Callable[[str], Path]) -> None:
    folders = [str(folder(kind)) for kind in KINDS]
    done = subprocess.run(
        [sys.executable, "-I", "-c", PIPELINE, json.dumps(TEXTS), *folders],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(done.stdout.splitlines()[-1])
    for name in folders:
        pieces = len(fill.load_tokenizer(name))
        rows = [row for found in theirs[name] for row in (found if isinstance(found[0], list) else [found])]
        ours = fills(Path(name), TEXTS, top_k=5)
        assert len(ours) == len(rows) == 8
        for mine, row in zip(ours, rows, strict=True):
            real = [one for one in row if 5 <= one["token"] < pieces]  # no special tokens, no padded rows
            assert len(real) < len(row) and len(mine) == 5, "the head would offer them"
            assert [one["score"] for one in mine] == pytest.approx([o["score"] for o in real[:5]], abs=1e-6)
            assert [one["token"] for one in mine] == [o["token_str"] for o in real[:5]]


def test_all_pieces_but_special_ones_are_offered_once_by_rank(folder: Callable[[str], Path]) -> None:
    [found] = fills(folder("character"), "犬は[MASK]が好きです。", top_k=1000)
    pieces = len(fill.load_tokenizer(folder("character")))
    scores = [one["score"] for one in found]
    assert len(found) == len({one["token"] for one in found}) == pieces - 5
    assert scores == sorted(scores, reverse=True) and 0 < sum(scores) < 1
    assert not {one["token"] for one in found} & {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


@pytest.mark.parametrize("mask", ["＿", "＿＿＿", "___", "________"])
def test_a_mask_may_be_written_in_several_ways(folder: Callable[[str], Path], mask: str) -> None:
    model = folder("mecab_wordpiece")
    expected = fills(model, "秋には、[MASK]が木から落ちる。")
    assert fills(model, f"秋には、{mask}が木から落ちる。") == expected


def test_a_mask_is_found_where_the_folder_takes_special_tokens_for_text(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    for kind in ("unigram", "mecab_wordpiece"):
        shutil.copytree(folder(kind), tmp_path / kind)
        path = tmp_path / kind / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, "split_special_tokens": True}), encoding="utf-8")
        assert fills(tmp_path / kind, "犬は[MASK]が") == fills(folder(kind), "犬は[MASK]が")


def test_two_underscores_are_text_and_a_tokenizers_own_spelling_is_a_mask(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="this text has no mask: '犬は__が'"):
        fills(folder("character"), "犬は__が")
    pieces = train_tokenizer("unigram", tmp_path / "own", "犬は骨が好きです。" * 400)
    save_bert(tmp_path / "own", pieces)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = tmp_path / "own" / name
        path.write_text(path.read_text(encoding="utf-8").replace("[MASK]", "<mask>"), encoding="utf-8")
    assert fills(tmp_path / "own", "犬は<mask>が") == fills(tmp_path / "own", "犬は[MASK]が")


def test_masks_come_in_order_and_the_others_stay_as_they_were(folder: Callable[[str], Path]) -> None:
    texts = ["犬は[MASK]が＿＿です。", "秋に___が落ちる。"]
    result = fill_mask(folder("mecab_wordpiece"), texts, top_k=2)
    one, two, three = result.metrics["fills"]
    assert result.metrics["masks"] == [
        {"text": 0, "start": 2, "end": 8},
        {"text": 0, "start": 9, "end": 11},
        {"text": 1, "start": 2, "end": 5},
    ]
    written = [found[0]["token"].removeprefix("##") for found in (one, two, three)]
    assert one[0]["text"] == f"犬は{written[0]}が＿＿です。"
    assert two[0]["text"] == f"犬は[MASK]が{written[1]}です。"
    assert three[0]["text"] == f"秋に{written[2]}が落ちる。"
    assert result.json()["fills"] == [one, two, three]


@pytest.mark.parametrize("whole_word", [False, True])
def test_a_text_does_not_depend_on_its_neighbours(folder: Callable[[str], Path], whole_word: bool) -> None:
    texts = ["犬は[MASK]が好きです。", "秋には、とても大きな[MASK]が、高い木の上から[MASK]落ちる。", "[MASK]"]
    together = fills(folder("mecab_wordpiece"), texts, whole_word=whole_word)
    alone = [row for text in texts for row in fills(folder("mecab_wordpiece"), text, whole_word=whole_word)]
    for one, other in zip(together, alone, strict=True):
        assert [fill["token"] for fill in one] == [fill["token"] for fill in other]
        assert [f["score"] for f in one] == pytest.approx([f["score"] for f in other], abs=1e-6)


def test_of_a_long_text_only_what_stands_around_each_mask_is_read(
    folder: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, room = folder("character"), POSITIONS - 2
    long = "犬" * 100 + "[MASK]" + "が" * 99 + "＿"
    first, second = fills(model, ["秋は[MASK]。", long])[1:]
    told = capsys.readouterr().err
    assert told.count("warning") == 1 and "text 2 has 203 tokens and the model 64 positions" in told
    [around] = fills(model, "犬" * (room // 2) + "[MASK]" + "が" * (room // 2 - 1))
    [at_the_end] = fills(model, "が" * (room - 1) + "[MASK]")
    for one, other in ((first, around), (second, at_the_end)):
        assert [f["score"] for f in one] == pytest.approx([f["score"] for f in other], abs=1e-6)
    assert first[0]["text"] == long.replace("[MASK]", first[0]["token"]), "the text itself is whole"
    assert len(fills(model, "犬" * (room - 1) + "＿")[0]) == 5
    assert "warning" not in capsys.readouterr().err
    words = fills(model, long, whole_word=True)
    assert [len(found) for found in words] == [5, 5]


# ----------------------------------------------------------------------------------------- whole words


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few enough pieces that a beam of ten loses no word of two of them."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    pieces = ["犬", "猫", "は", "が", "。", "山", "川", "##犬", "##山", "##川", "##田"]
    return save_bert(japanese_bert(folder, pieces), 5 + len(pieces))


def by_hand(model: Path, before: str, after: str, word: list[str]) -> float:
    """The product of the pieces' probabilities, put in from left to right."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    network, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(model).eval(),
        AutoTokenizer.from_pretrained(model),
    )
    product = 1.0
    for number, piece in enumerate(word):
        ids = [
            tokenizer.cls_token_id, *tokenizer.encode(before, add_special_tokens=False),
            *tokenizer.convert_tokens_to_ids(word[:number]),
            *[tokenizer.mask_token_id] * (len(word) - number),
            *tokenizer.encode(after, add_special_tokens=False), tokenizer.sep_token_id,
        ]  # fmt: skip
        with torch.no_grad():
            chances = network(input_ids=torch.tensor([ids])).logits[0].softmax(-1)
        place = len(tokenizer.encode(before, add_special_tokens=False)) + 1 + number
        product *= chances[place, tokenizer.convert_tokens_to_ids(piece)].item()
    return product


def test_whole_words_have_the_product_of_their_pieces_chances(tiny: Path) -> None:
    [found] = fills(tiny, "犬は[MASK]が。", whole_word=True, top_k=1000)
    scores = {one["token"]: one["score"] for one in found}
    starts, goes_on = ["犬", "猫", "は", "が", "山", "川"], ["##犬", "##山", "##川", "##田"]
    words = [[start] for start in [*starts, "。"]] + [[start, more] for start in starts for more in goes_on]
    best = sorted(words, key=lambda word: -by_hand(tiny, "犬は", "が。", word))
    for word in best:
        expected = by_hand(tiny, "犬は", "が。", word)
        spelled = "".join(word).replace("##", "")
        if len(word) == 1 or best.index(word) < 7:
            assert scores[spelled] == pytest.approx(expected, rel=1e-4)
    assert [one["score"] for one in found] == sorted(scores.values(), reverse=True)
    assert len(scores) == len(found) and not any("#" in token for token in scores)
    assert {len(token) for token in scores} == {1, 2, 3, 4}
    assert all(one["text"] == f"犬は{one['token']}が。" for one in found)


def test_filling_ends_where_nobody_waits_any_more(tiny: Path) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Interrupted, match="nobody waits"):
        fill.Filler(tiny, "cpu").fill(["秋[MASK]"], whole_word=True, left=lambda: next(asked))
    assert next(asked, None) is None, "between the steps of the search"


def test_a_word_of_one_piece_has_the_score_of_that_piece(tiny: Path) -> None:
    [plain], [words] = (fills(tiny, "＿が。", top_k=1000, whole_word=whole) for whole in (False, True))
    scores = {one["token"]: one["score"] for one in words}
    assert "##山" in {one["token"] for one in plain}, "unless words are asked for"
    for one in plain:
        if not one["token"].startswith("##"):
            assert scores[one["token"]] == pytest.approx(one["score"], rel=1e-5)


def test_words_of_a_tokenizer_without_marks_are_letters_and_each_comes_once(
    folder: Callable[[str], Path],
) -> None:
    for kind in ("unigram", "bpe"):
        tokenizer = fill.load_tokenizer(folder(kind))
        pieces = set(tokenizer.get_vocab())
        [found] = fills(folder(kind), "犬は[MASK]が好きです。", whole_word=True, top_k=1000)
        tokens = [one["token"] for one in found]
        assert len(set(tokens)) == len(tokens)
        long = [token for token in tokens if token not in pieces and len(token) > 1]
        assert long, "words of several pieces"
        assert all(letter.isalpha() or letter.isnumeric() for token in long for letter in token.strip(" ー"))
        assert all(token.isprintable() and token.strip() and "\ufffd" not in token for token in tokens)
        assert all(not token.rstrip().count(" ", 1) for token in long), "no word goes on behind a space"


# ---------------------------------------------------------------------------------------- what is refused


def test_what_cannot_be_filled_is_told(folder: Callable[[str], Path], tmp_path: Path, text: str) -> None:
    model = folder("character")
    with pytest.raises(InputError, match=r"no mask: '秋が来た。'\n.*\[MASK\], ＿ or ___"):
        fills(model, ["犬は[MASK]が", "秋が来た。"])
    with pytest.raises(InputError, match="there is no text"):
        fills(model, [])
    with pytest.raises(InputError, match="text 1 holds bytes that are no UTF-8"):
        fills(model, "\udc80[MASK]")
    for count in (0, -1, 1001):
        with pytest.raises(InputError, match=f"--top-k: expected 1 to 1,000, found {count}"):
            fills(model, "＿", top_k=count)
    gpt2 = save_gpt2(tmp_path / "gpt2", text)
    with pytest.raises(InputError, match=r"is a causal model \(GPT2LMHeadModel\)(.|\n)*use tane generate"):
        fills(gpt2, "秋に＿")
    config = json.loads((gpt2 / "config.json").read_text())
    (gpt2 / "config.json").write_text(json.dumps({**config, "architectures": ["T5EncoderModel"]}))
    with pytest.raises(InputError, match="expected a masked language model, found T5EncoderModel"):
        fills(gpt2, "秋に＿")


# --------------------------------------------------------------------------------------- the command line


def test_the_command_prints_ranks_or_json(
    folder: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, text = str(folder("mecab_wordpiece")), "秋には、＿が木から\n落ちる。"
    assert main(["fill", model, text, "--top-k", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    [found] = fills(Path(model), text, top_k=2)
    assert shown[0] == "秋には、＿が木から\\n落ちる。" and len(shown) == 3
    for rank, (line, one) in enumerate(zip(shown[1:], found, strict=True), 1):
        written = one["text"].replace("\n", "\\n")
        assert line == f"{rank:>4}  {one['token']}  {one['score']:.3f}  {written}"
    assert main(["fill", model, text, "犬は＿と＿。", "--top-k", "1", "--whole-word", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [set(one) for row in answer["fills"] for one in row] == [{"token", "score", "text"}] * 3
    assert all(math.isfinite(one["score"]) for row in answer["fills"] for one in row)
    assert main(["fill", model, "犬は＿と＿。", "--top-k", "1"]) == 0
    assert "犬は＿と＿。  (the mask after 4 characters)" in capsys.readouterr().out
