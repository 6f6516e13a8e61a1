"""`tane tokenizer show` and `compare`: small tokenizers counted by hand, and real ones on real text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tane.cli import main
from tane.errors import InputError
from tane.text.columns import width
from tane.types import Result
from tane.use import tokenizers as module
from tane.use.tokenizer_choice import recommend
from tane.use.tokenizer_plot import plot_tokenizers
from tane.use.tokenizers import compare_tokenizers, report_compare, report_show, show_tokenizer
from tests.tokens import small


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders go; whatever happens, none is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    return small.characters(tmp_path / "letters", "あいう。\n ")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("あいう。ええ\n\nあ①い\n\nあ①い\n", encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------- show


def test_without_a_text_a_tokenizer_is_described(letters: Path) -> None:
    result = show_tokenizer(letters)
    found = result.metrics
    assert json.loads(json.dumps(result.json())) == result.json()
    assert result.path == str(letters) and found["kind"] == "WordLevel" and found["text"] is None
    assert found["examples"][0]["text"] == module.WITHOUT_TEXT
    page = report_show(result)
    assert "WordLevel" in page and "0 [UNK] (unk)  1 </s> (eos)" in page and "[UNK]|" in page
    assert "on the text" not in page


def test_on_a_text_it_is_measured_as_the_text_stands(letters: Path, text: Path) -> None:
    found = show_tokenizer(letters, inputs=str(text)).metrics
    figures = found["text"]
    assert (figures["documents"], figures["characters"], figures["tokens"]) == (3, 12, 12)  # the twin counts
    assert figures["characters_per_token"] == 1
    assert figures["unknown_characters"] == [["①", 2], ["え", 2]]  # nothing was normalised before
    assert found["examples"] == [
        {"text": "あいう。", "tokens": ["あ", "い", "う", "。"]},
        {"text": "あ①い", "tokens": ["あ", "[UNK]", "い"]},
        {"text": "あ①い", "tokens": ["あ", "[UNK]", "い"]},
    ]
    page = report_show(show_tokenizer(letters, inputs=[str(text)], head=1))
    assert "unknown" in page and "① U+2460: 2, え U+3048: 2" in page
    assert "4 (33.33 %)" in page and page.endswith("あ|い|う|。")


def test_the_text_is_normalised_where_that_is_asked_for(
    letters: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tokenizer", "show", str(letters), "--data", str(text), "--normalize", "nfkc", "--json"]
    assert main(words) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["text"]
    assert [one for one, _ in figures["unknown_characters"]] == ["1", "え"]


def test_columns_and_units_are_those_of_a_corpus(letters: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b\nあい,う\nあ,い\n", encoding="utf-8")
    assert show_tokenizer(letters, inputs=[str(table)], column="a").metrics["text"]["characters"] == 3
    both = show_tokenizer(letters, inputs=[str(table)], column=("a", "b")).metrics["text"]
    assert (both["documents"], both["characters"]) == (4, 5)
    with pytest.raises(InputError, match="unit"):
        show_tokenizer(letters, inputs=[str(table)], unit="word")


def test_of_a_long_text_an_even_share_is_taken_and_said(
    letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MOST", 8)
    path = tmp_path / "long.txt"
    path.write_text("\n".join(["あい", "いう", "うあ"] * 3), encoding="utf-8")
    figures = show_tokenizer(letters, inputs=[str(path)], unit="line").metrics["text"]
    assert (figures["documents"], figures["characters"], figures["pieces_used"]) == (3, 6, 2)
    assert "18 characters: the figures are of 6 of them, one document in 3" in capsys.readouterr().err


def test_bare_files_are_taken(real_data: Path, tmp_path: Path) -> None:
    found = show_tokenizer(real_data / "tokenizers/wiki-ja-albert-32000.model").metrics
    assert found["kind"] == "Unigram" and found["name"].endswith("wiki-ja-albert-32000.model")
    assert found["longest"][0] == "の世帯数と人口は以下の通りである"
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "今日", "は", "##は"]) + "\n"
    )
    for name in (vocabulary, tmp_path):
        found = show_tokenizer(name, dictionary="ipadic").metrics
        assert found["class"] == "BertJapaneseTokenizer"
        assert found["examples"][0]["tokens"][:3] == ["今日", "は", "[UNK]"]
    with pytest.raises(InputError, match="does not say who cuts words"):
        show_tokenizer(vocabulary)


def test_a_dictionary_that_nothing_takes_is_refused(letters: Path, tmp_path: Path) -> None:
    for name in (letters, letters / "tokenizer.json", "some/name"):
        with pytest.raises(InputError, match=r"ipadic is for a vocab\.txt"):
            show_tokenizer(name, dictionary="ipadic")


def test_what_is_no_tokenizer_is_named(tmp_path: Path, letters: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        show_tokenizer(tmp_path / "nothing")
    with pytest.raises(InputError, match="does not exist"):
        show_tokenizer(letters, inputs=[str(tmp_path / "nothing.txt")])


# ----------------------------------------------------------------------------------------------- compare


def test_two_tokenizers_side_by_side(tmp_path: Path, letters: Path, text: Path) -> None:
    more = small.byte_fallback(tmp_path / "more", ["▁", "あいう", "あ", "い", "う", "。", "え", "1"])
    result = compare_tokenizers(letters, more, inputs=[str(text)], head=1)
    found = result.metrics
    assert json.loads(json.dumps(result.json())) == result.json()
    first, second = (one["text"] for one in found["tokenizers"])
    assert (first["tokens"], second["tokens"]) == (12, 5 + 4 + 4)
    assert found["fewest_tokens"] == str(letters) and found["lossy"] == [str(letters)]
    page = report_compare(result)
    lines = page.split("\n")
    assert f"{letters} writes the fewest tokens: 1.000 a character; the next takes 8.3 % more" in page
    warning = next(line for line in lines if line.startswith("warning"))
    assert warning == (
        f"warning: {letters} cannot write all of this text: unknown ① U+2460: 2, え U+3048: 2; "
        "lost ① U+2460: 2, え U+3048: 2"
    )
    rows = lines[1 : lines.index("")]
    assert rows[0].split() == [f"…{str(letters)[-27:]}", f"…{str(more)[-27:]}"]
    assert len({width(row) for row in rows}) == 1  # aligned at the right
    assert "あ|い|う|。" in page and "▁|あいう|。" in page


def test_equals_are_told_as_equals(letters: Path, text: Path) -> None:
    page = report_compare(compare_tokenizers(letters, letters, inputs=[str(text)]))
    assert f"{letters} and {letters} write equally few tokens: 1.000 a character" in page


def test_what_cannot_be_compared_is_refused(letters: Path, text: Path) -> None:
    with pytest.raises(InputError, match="found 1"):
        compare_tokenizers(letters, inputs=[str(text)])
    with pytest.raises(InputError, match="no text"):
        compare_tokenizers(letters, letters, inputs=[])


def test_real_tokenizers_on_the_sample(tmp_path: Path, real_data: Path, sample_text: Path) -> None:
    gpt2, bert = real_data / "tokenizers/gpt2", real_data / "tokenizers/bert-base-japanese-v3-vocab.txt"
    text = tmp_path / "text.txt"
    text.write_text(sample_text.read_text(encoding="utf-8")[:20_000], encoding="utf-8")
    result = compare_tokenizers(gpt2, bert, inputs=[str(text)], dictionary="unidic-lite")
    english, japanese = (one["text"] for one in result.metrics["tokenizers"])
    assert english["exact"] == english["documents"] and not english["lossy"]
    assert english["characters_per_token"] < 1 < japanese["characters_per_token"]
    assert english["byte_share"] > 0.3 and japanese["byte_tokens"] == 0
    assert result.metrics["fewest_tokens"] == str(bert)
    assert {char for char, _ in japanese["added"]} == {" "}  # between words
    assert "BertJapaneseTokenizer" in report_compare(result) and "BPE, byte-level" in report_compare(result)


# ---------------------------------------------------------------------------------------- the recommendation


def measured(
    name: str, tokens: int, *, pieces: int = 1000, unknown: float = 0.0, used: float = 0.9,
    characters: int = 1_000_000,
) -> dict[str, Any]:  # fmt: skip
    figures = {"tokens": tokens, "characters": characters, "unknown_share": unknown, "used_share": used}
    return {"name": name, "vocabulary": pieces, "text": figures}


def advice(*found: dict[str, Any], share: float = 1.0) -> dict[str, Any]:
    return recommend(found, share)


def test_the_fewest_tokens_win_where_nothing_speaks_against_it() -> None:
    found = advice(measured("dense", 500_000, pieces=4000), measured("wide", 600_000))
    assert found["choice"] == "dense" and not found["out"]
    assert "0.500 tokens a character, 16.7% fewer than the next, wide" in found["reason"]
    assert "90% of its pieces are used" in found["reason"]


def test_unknown_tokens_put_a_tokenizer_out() -> None:
    found = advice(measured("blind", 100_000, unknown=0.02), measured("whole", 600_000))
    assert found["choice"] == "whole" and "only one that fits" in found["reason"] and not found["settle"]
    assert found["out"] == [{"name": "blind", "reason": "2.0% of its tokens are unknown"}]
    assert advice(measured("a", 10, unknown=0.02), measured("b", 20, unknown=0.5))["choice"] is None
    assert advice(measured("blind", 100_000, unknown=0.01), measured("whole", 600_000))["choice"] == "blind"


def test_a_vocabulary_that_the_text_does_not_bear_is_out() -> None:
    found = advice(measured("huge", 400_000, pieces=50_000), measured("small", 600_000, pieces=8000))
    assert found["choice"] == "small" and "come 8 times each on average" in found["out"][0]["reason"]
    found = advice(measured("foreign", 400_000, used=0.3), measured("own", 600_000))
    assert found["choice"] == "own" and "only 30% of its 1,000 pieces" in found["out"][0]["reason"]
    sampled = advice(
        measured("huge", 400_000, pieces=50_000), measured("small", 600_000, pieces=8000), share=0.1
    )
    assert sampled["choice"] == "huge", "of a text ten times as long"


def test_where_counting_cannot_tell_it_says_so_and_what_to_type() -> None:
    near = advice(measured("a b", 500_000), measured("c", 510_000))
    assert near["choice"] is None
    assert "counting cannot tell: c needs only 2.0% more than a b" in near["reason"]
    assert near["settle"] == [
        "tane train RECIPE --tokenizer.path 'a b' --run-dir runs/try-1 --data-dir runs/try-1/data "
        '--train.duration "1 epochs"',
        "tane train RECIPE --tokenizer.path c --run-dir runs/try-2 --data-dir runs/try-2/data "
        '--train.duration "1 epochs"',
        "tane report runs/try-1 runs/try-2 --out tokenizers.html",
    ]
    short = {"characters": 1000}
    found = advice(measured("large", 500, pieces=8000, **short), measured("small", 700, pieces=1000, **short))
    assert found["choice"] is None and "1,000 characters are too few" in found["reason"]
    found = advice(measured("a", 500, pieces=1000, **short), measured("b", 700, pieces=1000, **short))
    assert found["choice"] == "a", "no larger vocabulary helps it"


def test_what_a_comparison_recommends_stands_on_its_page(tmp_path: Path, letters: Path, text: Path) -> None:
    more = small.byte_fallback(tmp_path / "more", ["▁", "あいう", "あ", "い", "う", "。", "え", "1"])
    result = compare_tokenizers(letters, more, inputs=[str(text)])
    found = result.metrics["recommendation"]
    assert found["choice"] == str(more) and found["out"][0]["name"] == str(letters)
    page = report_compare(result)
    assert f"recommended: {more}" in page and "33.3% of its tokens are unknown" in page
    assert "parameters at width 256" in page and "to make sure" not in page
    equal = report_compare(compare_tokenizers(more, more, inputs=[str(text)]))
    assert "recommended: none" in equal and "to settle it" in equal and "tane report runs/try-1" in equal
    worst = result.metrics["tokenizers"][1]["worst"]
    assert sorted(one["characters"] for one in worst) == [3, 3, 6]
    rates = [one["tokens"] / one["characters"] for one in worst]
    assert rates == sorted(rates, reverse=True) and "あ①い" in page


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_comparison_as_a_picture(tmp_path: Path, letters: Path, text: Path, ending: str) -> None:
    result = compare_tokenizers(letters, letters, inputs=[str(text)])
    path = tmp_path / f"図{ending}"
    figure = plot_tokenizers(result, path)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1.0, 1.0]
    assert path.read_bytes().startswith(b"\x89PNG" if ending == ".png" else b"<?xml")
    with pytest.raises(InputError, match=r"ends in \.png or \.svg"):
        plot_tokenizers(result, tmp_path / "compare.jpg")
    with pytest.raises(InputError, match="no folder"):
        plot_tokenizers(result, tmp_path / "nowhere" / "compare.png")
    with pytest.raises(InputError, match="no tokenizers"):
        plot_tokenizers(Result(None, {}), path)


def test_the_picture_is_asked_for_by_a_flag(
    tmp_path: Path, letters: Path, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tokenizer", "compare", str(letters), str(letters), "--data", str(text), "--out"]
    assert main([*words, str(tmp_path / "compare.png")]) == 0
    assert (tmp_path / "compare.png").stat().st_size > 1000 and "recommended: none" in capsys.readouterr().out
    assert main([*words, str(tmp_path / "compare.gif")]) == 2
