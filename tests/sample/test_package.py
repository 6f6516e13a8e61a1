"""The file writer, the command, and that importing is cheap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tane.sample
from tane.sample import stories, write_corpus
from tane.sample.__main__ import main

SRC = Path(__file__).resolve().parents[2] / "src"


def test_write_corpus(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    assert write_corpus(path, seed=5, count=30) == 30
    data = path.read_bytes()
    assert b"\r" not in data
    assert data.decode("utf-8") == "\n\n".join(stories(5, 30)) + "\n"
    assert list(tmp_path.iterdir()) == [path]


def test_write_corpus_replaces_a_file_and_takes_a_string(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("old", encoding="utf-8")
    write_corpus(str(path), count=2)
    assert path.read_text("utf-8").count("\n") == 3


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("old", encoding="utf-8")

    def broken(seed: int, count: int):  # type: ignore[no-untyped-def]
        yield "一つ。"
        raise OSError("no space left")

    monkeypatch.setattr("tane.sample.generate.stories", broken)
    with pytest.raises(OSError, match="no space"):
        write_corpus(path)
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_command_prints_stories(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "4", "--count", "3"]) == 0
    assert capsys.readouterr().out == "\n".join(stories(4, 3)) + "\n"


def test_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.txt"
    assert main(["--count", "3", "--out", str(path)]) == 0
    assert "3 stories" in capsys.readouterr().out
    assert path.read_text("utf-8") == "\n\n".join(stories(0, 3)) + "\n"


def test_command_writes_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pairs", str(tmp_path / "pairs")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote ") and out.count("\n") == 1, "no story beside it"
    for name in ("train.csv", "valid.csv", "test.csv"):
        assert (tmp_path / "pairs" / name).exists() and name in out


def test_command_writes_stories_and_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "3", "--out", str(tmp_path / "out.txt"), "--pairs", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out.txt", "train.csv", "valid.csv", "test.csv"}


def test_command_refuses_a_negative_count() -> None:
    with pytest.raises(SystemExit):
        main(["--count", "-1"])


def test_import_is_light() -> None:
    code = (
        "import sys, tane.sample; "
        "heavy = [m for m in sys.modules if m.startswith('tane.sample.') "
        "or m in ('fugashi', 'ipadic', 'torch', 'numpy')]; "
        "print(heavy)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_exports() -> None:
    for name in tane.sample.__all__:
        assert getattr(tane.sample, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        tane.sample.nothing_here  # noqa: B018
