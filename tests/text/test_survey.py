"""The survey of a corpus: figures counted by hand, examples of each kind that is dropped, nothing left."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tane.errors import InputError, Interrupted, Stopped
from tane.text import survey as module
from tane.text.columns import width
from tane.text.corpus import CorpusSettings, build_corpus
from tane.text.survey import quantiles, report, survey


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders go; whatever happens, none is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def look(tmp_path: Path, text: str, *, head: int = 3, examples: int = 10, **options: Any) -> dict[str, Any]:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    values = {"inputs": [str(path)], "unit": "line", "valid_fraction": 0.0, **options}
    found = survey(CorpusSettings(**values), head=head, examples=examples)
    assert json.loads(json.dumps(found)) == found
    return found


def test_figures_of_a_small_text(tmp_path: Path) -> None:
    found = look(tmp_path, "犬がいる。\nネコ2匹\n\n犬がいる。\nＡＢ\n", normalize="nfkc", head=2)
    path = str(tmp_path / "text.txt")
    assert found["documents"] == {"train": 3, "valid": 0} and found["characters"] == {"train": 11, "valid": 0}
    assert found["lengths"] == {"min": 2, "p5": 2, "median": 4, "p95": 5, "max": 5}
    scripts = {name: count for name, count in found["scripts"].items() if count}
    assert scripts == {
        "kanji": 2, "hiragana": 3, "punctuation": 1, "katakana": 2, "digits": 1, "latin": 2,
    }  # fmt: skip
    assert found["ledger"]["found"] == 4 and found["ledger"]["dropped"]["duplicate"]["documents"] == 1
    assert found["examples"] == {
        "duplicate": [{"id": f"{path}:4", "text": "犬がいる。", "copy_of": f"{path}:1"}]
    }
    assert found["head"] == [
        {"id": f"{path}:1", "split": "train", "characters": 5, "text": "犬がいる。"},
        {"id": f"{path}:2", "split": "train", "characters": 4, "text": "ネコ2匹"},
    ]
    only = found["inputs"][0]
    assert only["path"] == path and only["documents"] == 4 and only["found"]["encoding"].startswith("utf-8")
    assert only["bytes"] == (tmp_path / "text.txt").stat().st_size
    assert sorted(row[:2] for row in found["changes"]["nfkc"]["rows"]) == [["Ａ", "A"], ["Ｂ", "B"]]


def test_it_tells_what_the_corpus_will_hold(
    tmp_path: Path, sample_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 1000)
    settings = CorpusSettings(inputs=[str(sample_text)], valid_fraction=0.1)
    meta = build_corpus(settings, tmp_path / "corpus").meta
    found = survey(settings)
    for name in ("ledger", "documents", "characters", "changes"):
        assert found[name] == meta[name]
    assert sum(found["scripts"].values()) == sum(meta["characters"].values())
    assert found["documents"]["valid"] > 50 and "kanji" in report(found)


def test_examples_of_every_kind_that_is_dropped(tmp_path: Path) -> None:
    long = "".join(chr(0x7000 + n) for n in range(100))
    valid = tmp_path / "valid.txt"
    valid.write_text("検証の文です。これは検証だけに使います。\n", encoding="utf-8")
    lines = ["".join(chr(0x4E00 + 40 * row + n) for n in range(20)) for row in range(12)]
    text = "\n".join([*lines, *lines, long, f"{long}に", valid.read_text("utf-8").strip(), *["短い"] * 2])
    found = look(
        tmp_path, text, dedup="near", filters={"min_chars": 5}, valid_inputs=[str(valid)], valid_fraction=0.02
    )
    path, examples = str(tmp_path / "text.txt"), found["examples"]
    counts = {reason: kept["documents"] for reason, kept in found["ledger"]["dropped"].items()}
    assert counts["duplicate"] == 12 and counts["too_short"] == 2 and counts["in_validation"] == 1
    assert set(examples) == {"duplicate", "too_short", "in_validation", "near_duplicate"}
    assert [e["id"] for e in examples["duplicate"]] == [f"{path}:{13 + n}" for n in range(10)]
    assert [e["copy_of"] for e in examples["duplicate"]] == [f"{path}:{1 + n}" for n in range(10)]
    assert examples["in_validation"][0]["copy_of"] == f"{valid}:1"
    assert examples["near_duplicate"] == [{"id": f"{path}:26", "text": f"{long}に"}]
    assert examples["too_short"] == [{"id": f"{path}:{n}", "text": "短い"} for n in (28, 29)]
    shown = report(found)
    assert "dropped as duplicate: 12 documents, the first 10" in shown
    assert "dropped as in_validation: 1 document\n" in shown and "text.txt:28  短い" in shown
    assert all(f"text.txt:{13 + n}  = " in shown for n in range(10))


def test_a_copy_that_was_normalised_otherwise_has_no_twin_to_name(tmp_path: Path) -> None:
    inputs = []
    for name, form in (("a.txt", "none"), ("b.txt", "nfkc")):
        (tmp_path / name).write_text("①番", encoding="utf-8")
        inputs.append({"path": str(tmp_path / name), "normalize": form})
    found = survey(CorpusSettings(inputs=inputs, valid_fraction=0.0))
    assert found["examples"] == {"duplicate": [{"id": f"{tmp_path / 'b.txt'}:1", "text": "1番"}]}
    assert "b.txt:1  1番" in report(found)


def test_no_examples_when_none_are_asked_for_and_long_ones_are_cut(tmp_path: Path) -> None:
    text = f"{'長' * 300}\n{'長' * 300}\n短\n"
    found = look(tmp_path, text, examples=0, head=0, filters={"min_chars": 5})
    assert not any(found["examples"].values()) and found["head"] == []
    found = look(tmp_path, text, head=1)
    assert found["examples"]["duplicate"][0]["text"] == found["head"][0]["text"] == "長" * 200
    assert found["head"][0]["characters"] == 300


def test_a_text_without_a_usable_document_is_an_error_that_counts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 usable documents .*too_short: 2"):
        look(tmp_path, "一\n二\n", filters={"min_chars": 5})


def test_stopping_leaves_nothing_to_go_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(settings: CorpusSettings, folder: Path, *, tell: bool) -> None:
        raise Stopped("stopped by SIGTERM: reading is not finished; 2 of 3 parts are kept", "run again")

    monkeypatch.setattr(module, "build_corpus", stop)
    with pytest.raises(Interrupted) as error:
        look(tmp_path, "一\n")
    assert str(error.value) == "stopped by SIGTERM: reading is not finished"


@given(st.lists(st.integers(1, 50), min_size=1))
def test_quantiles_are_lengths_of_documents(lengths: list[int]) -> None:
    ranked, found = sorted(lengths), quantiles(Counter(lengths))
    assert list(found) == ["min", "p5", "median", "p95", "max"]
    assert found["min"] == ranked[0] and found["max"] == ranked[-1]
    for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95)):
        enough = [n for n in ranked if sum(m <= n for m in ranked) >= share * len(ranked)]
        assert found[name] == enough[0]


def test_the_page_is_aligned_and_shows_no_line_end_inside_a_text(tmp_path: Path) -> None:
    for name, text in {"a.txt": "あ\nい", "日本語の名前.txt": "漢字とabc"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = survey(CorpusSettings(inputs=[str(tmp_path / "*.txt")], valid_fraction=0.0))
    lines = report(found).split("\n")
    at = next(n for n, line in enumerate(lines) if line.startswith("input "))
    rows = lines[at + 1 : at + 3]
    assert len({width(row[: row.index("plain")]) for row in rows}) == 1
    assert any("あ⏎い" in line for line in lines)
    assert not any(line != line.rstrip() for line in lines)
