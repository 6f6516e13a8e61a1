"""`tane tokenizer show` and `compare`: small tokenizers counted by hand, and real ones on real text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tane.errors import InputError
from tane.text.columns import width
from tane.use import tokenizers as module
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
