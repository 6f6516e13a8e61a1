"""Fault 30: inputs without usable text end with exit 2 and the counts, and leave no data behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tane.cli import main
from tests.bad.empty import EMPTY, Empty


@pytest.mark.parametrize("empty", EMPTY, ids=[empty.name for empty in EMPTY])
def test_no_usable_text(empty: Empty, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty.write(tmp_path / empty.name)
    assert main(empty.command(tmp_path)) == 2
    said = capsys.readouterr().err
    assert re.search(empty.said, said) and said.count("tane: ") == 1 and "\n  -> " in said
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))
    if empty.verb == "prepare":
        assert empty.name in said
        assert not any((tmp_path / "run" / "data" / stage).exists() for stage in ("corpus", "shards"))


@pytest.mark.parametrize("data", [b"", b" \n\n", b"text,label\n"])
def test_models_are_not_asked_about_nothing(
    data: bytes, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.csv"
    path.write_bytes(data)
    columns = ["--column", "text"]
    for command in (
        ["evaluate", str(models / "causal"), "--data", str(path)],
        ["evaluate", str(models / "masked"), "--data", str(path)],
        ["evaluate", str(models / "labels"), "--data", str(path), *columns, "--label", "label"],
        ["predict", str(models / "labels"), "--file", str(path), *columns],
        ["tokenizer", "train", "--corpus.inputs", str(path), "--out", str(tmp_path / "tokenizer")],
    ):
        assert main(command) == 2, command
        said = capsys.readouterr().err
        assert said.count("tane: ") == 1 and "none.csv" in said, said
    assert [p.name for p in tmp_path.iterdir()] == ["none.csv"]
