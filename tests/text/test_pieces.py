"""Pieces of a corpus: how inputs are divided, what is kept, and that the bytes are always the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tane import files, signals, workers
from tane.errors import InputError, Interrupted, Stopped
from tane.text import corpus as corpora
from tane.text import pieces
from tane.text.corpus import Corpus, CorpusSettings, build_corpus, read_part_of
from tane.text.inputs import expand


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Nine files: eight of one size and a large one in the middle."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(9):
        lines = [f"{number}番の{line}行目の文です。" for line in range(400 if number == 4 else 40)]
        (folder / f"{number}.txt").write_text("\n".join([*lines, "どこにもある文です。"]), encoding="utf-8")
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2700)


def options(texts: Path, **more: Any) -> CorpusSettings:
    return CorpusSettings(inputs=[str(texts)], unit="line", valid_fraction=0.1, **more)


def planned(settings: CorpusSettings) -> list[pieces.Piece]:
    return pieces.plan(settings, expand(settings))


def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets the name of every piece that is read from now on."""
    names: list[str] = []
    read = pieces.read

    def noted(job: dict[str, Any], progress: Any) -> None:
        names.append(Path(job["folder"]).name)
        read(job, progress)

    monkeypatch.setattr(pieces, "read", noted)
    return names


def test_neighbours_share_a_piece_and_a_large_file_is_alone(texts: Path, small: None) -> None:
    plan = planned(options(texts))
    assert [[i.path.name for i in piece.inputs] for piece in plan] == [
        ["0.txt", "1.txt"], ["2.txt", "3.txt"], ["4.txt"], ["5.txt", "6.txt"], ["7.txt", "8.txt"],
    ]  # fmt: skip
    assert plan == planned(options(texts)) and len({piece.name for piece in plan}) == 5


def test_a_piece_has_no_more_than_so_many_files(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_corpus(options(texts), tmp_path / "whole" / "corpus")
    monkeypatch.setattr(pieces, "PIECE_FILES", 4)
    assert [len(piece.inputs) for piece in planned(options(texts))] == [4, 4, 1]
    cut_up = build_corpus(options(texts), tmp_path / "cut" / "corpus")
    assert len(cut_up.meta["parts"]) == 3 and len(whole.meta["parts"]) == 1
    assert {**cut_up.meta, "parts": 0} == {**whole.meta, "parts": 0}
    found = [Corpus.open(tmp_path / name / "corpus") for name in ("whole", "cut")]
    assert list(found[0].documents("train")) == list(found[1].documents("train"))
    assert list(found[0].inputs()) == list(found[1].inputs()) and len(list(found[0].inputs())) == 9


def test_a_pieces_name_tells_how_it_is_read(texts: Path, small: None) -> None:
    names = [piece.name for piece in planned(options(texts))]
    for other in ({"normalize": "nfc"}, {"max_document_chars": 9}, {"on_bad": "skip"}, {"dedup": "none"}):
        assert not {piece.name for piece in planned(options(texts, **other))} & set(names)


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 7])
def test_every_piece_is_one_parts(texts: Path, small: None, parts: int) -> None:
    plan = planned(options(texts))
    shares = [pieces.share(plan, number, parts) for number in range(1, parts + 1)]
    assert sorted(piece.number for share in shares for piece in share) == [0, 1, 2, 3, 4]
    if parts <= 5:
        assert all(shares)


def test_several_processes_make_the_same_bytes(
    texts: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = build_corpus(options(texts), tmp_path / "alone" / "corpus")
    monkeypatch.setattr(corpora, "ALONE", 0)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    together = build_corpus(options(texts), tmp_path / "together" / "corpus")
    assert alone == together and len(alone.meta["parts"]) == 5
    assert alone.meta["ledger"]["dropped"]["duplicate"]["documents"] == 8
    assert sorted(p.name for p in (tmp_path / "together").iterdir()) == ["corpus"]


def test_fewer_or_more_files_in_a_piece_give_the_same_documents(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for size in (1, 2700, 10**9):
        monkeypatch.setattr(pieces, "PIECE_BYTES", size)
        build_corpus(options(texts), tmp_path / str(size) / "corpus")
        corpus = Corpus.open(tmp_path / str(size) / "corpus")
        found.append(
            (list(corpus.documents("train")), list(corpus.documents("valid")), corpus.meta["ledger"])
        )
    assert found[0] == found[1] == found[2]


def test_what_was_finished_is_kept(
    texts: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_corpus(options(texts), tmp_path / "whole" / "corpus")
    bad = texts / "7.txt"
    good = bad.read_bytes()
    bad.write_bytes(good + b"\xff\xff\n")
    with pytest.raises(InputError, match=r"7\.txt"):
        build_corpus(options(texts), tmp_path / "x" / "corpus")
    bad.write_bytes(good)
    names = made(monkeypatch)
    assert build_corpus(options(texts), tmp_path / "x" / "corpus") == whole
    assert [name[:5] for name in names] == ["00004"]


def test_a_part_that_fails_leaves_what_others_made(
    texts: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_corpus(options(texts), tmp_path / "whole" / "corpus")
    shares = [pieces.share(planned(options(texts)), part, 2) for part in (1, 2)]
    read_part_of(options(texts), tmp_path / "x" / "corpus", 1, 2)
    bad = shares[1][0].inputs[0].path
    good = bad.read_bytes()
    bad.write_bytes(good[:-1] + b"\xff")
    with pytest.raises(InputError):
        read_part_of(options(texts), tmp_path / "x" / "corpus", 2, 2)
    bad.write_bytes(good)
    names = made(monkeypatch)
    assert build_corpus(options(texts), tmp_path / "x" / "corpus") == whole
    assert set(names) == {piece.name for piece in shares[1]}


@pytest.mark.parametrize("damage", ["rows", "part", "manifest", "input"])
def test_what_was_damaged_or_has_changed_is_made_again(
    texts: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    read_part_of(options(texts), tmp_path / "x" / "corpus", 1, 1)
    [place] = (tmp_path / "x" / corpora.PIECES).glob("00001-*")
    if damage == "input":  # of the same size
        path = texts / "2.txt"
        path.write_text(path.read_text(encoding="utf-8").replace("番", "号"), encoding="utf-8")
    else:
        path = (
            place / {"rows": "rows.bin", "part": "part-00000.jsonl.zst", "manifest": files.MANIFEST}[damage]
        )
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    again = made(monkeypatch)
    manifest = build_corpus(options(texts), tmp_path / "x" / "corpus")
    assert [name[:5] for name in again] == ["00001"]
    assert manifest == build_corpus(options(texts), tmp_path / "whole" / "corpus")


def test_a_signal_keeps_what_is_finished(
    texts: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = pieces.read, 0

    def stop_in_the_third(job: dict[str, Any], progress: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        read(job, progress)

    monkeypatch.setattr(pieces, "read", stop_in_the_third)
    with signals.caught(), pytest.raises(Stopped, match="2 of 5 parts are kept") as caught:
        build_corpus(options(texts), tmp_path / "x" / "corpus")
    assert caught.value.code == 75 and "the same command" in caught.value.remedy
    monkeypatch.undo()
    with signals.caught(), pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
        build_corpus(options(texts), tmp_path / "y" / "corpus")
    assert not (tmp_path / "y").exists() or not list((tmp_path / "y").iterdir())


def test_filters_are_in_the_ledger_with_examples(texts: Path, tmp_path: Path) -> None:
    settings = options(texts, filters={"min_chars": 11})
    meta = build_corpus(settings, tmp_path / "corpus").meta
    dropped = meta["ledger"]["dropped"]["too_short"]
    assert dropped["documents"] == sum(len(t) < 11 for t in every_line(texts)) > 0
    assert len(meta["examples"]["too_short"]) == 9
    name, text = meta["examples"]["too_short"][0]
    assert text == "どこにもある文です。" and name.endswith("0.txt:41")


def every_line(folder: Path) -> list[str]:
    return [line for path in sorted(folder.iterdir()) for line in path.read_text("utf-8").split("\n")]


def test_what_normalising_changed_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ＡＢＣと①。\nＡだけ。\nなにもない。", encoding="utf-8")
    meta = build_corpus(CorpusSettings(inputs=[str(path)], unit="line"), tmp_path / "corpus").meta
    assert meta["changes"]["nfkc"]["rows"][0] == ["Ａ", "A", 2]
    assert sum(count for _, _, count in meta["changes"]["nfkc"]["rows"]) == 5


def test_near_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    base = "".join(f"{n}番目の駅で降りて、川沿いの道をゆっくり歩いた。" for n in range(12))
    path = tmp_path / "a.txt"
    path.write_text(
        "\n".join([base, base.replace("5番目", "五つ目"), "まったく別の話を書いておく。" * 3]), "utf-8"
    )
    values: dict[str, Any] = {"inputs": [str(path)], "unit": "line", "valid_fraction": 0}
    exact = build_corpus(CorpusSettings(**values), tmp_path / "a" / "corpus")
    near = build_corpus(CorpusSettings(**values, dedup="near"), tmp_path / "b" / "corpus")
    assert exact.meta["documents"]["train"] == 3 and near.meta["documents"]["train"] == 2
    dropped = near.meta["ledger"]["dropped"]["near_duplicate"]
    assert dropped == {"documents": 1, "characters": len(base.replace("5番目", "五つ目"))}
